"""The progress bar of long runs, and when it is hidden."""

import os

from tqdm.auto import tqdm


def bar(total: int, unit: str, progress: bool | None, *, initial: int = 0) -> tqdm:
    """A bar over `total` units, `initial` of them done before, with the time left.

    Args:
        total: number of units.
        unit: what they are.
        progress: True shows the bar; None too, once a second has passed and unless the environment variable
            TQDM_DISABLE is set; False does not.
        initial: units done before; they do not count for the time left.
    """
    # tqdm's notebook bar does not heed TQDM_DISABLE, its variable for hiding the bars of a whole session; we do.
    hidden = progress is False or (progress is None and os.environ.get("TQDM_DISABLE", "0") not in ("", "0"))
    delay = 0.0 if progress else 1.0
    return tqdm(total=total, unit=unit, disable=hidden, delay=delay, leave=False, initial=initial)
