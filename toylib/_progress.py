"""The progress bar of long runs: when it is hidden, and where it stands in a notebook, in which none stays."""

import os
import sys
from typing import Any

from tqdm import tqdm

from toylib._checks import check_flag


class _Output:
    """A file for the bar of a notebook: an output of the cell, which is empty again when the bar is closed.

    tqdm's own bar for notebooks is a widget: once closed it is not seen, but it is saved as it began, at 0 %.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self._shown: Any = None

    def write(self, text: str) -> None:
        """Show a line in the place of the one before; a blank one empties the output."""
        line = text.strip()
        bundle = {"text/plain": line} if line else {}
        if self._shown is not None:
            self._shown.update(bundle, raw=True)
        elif line:
            display = sys.modules["IPython.display"].display  # which a kernel has loaded; toylib does not depend on it
            self._shown = display(bundle, raw=True, display_id=True)

    def flush(self) -> None:
        """Do nothing: what is written is shown at once."""


def bar(total: int, unit: str, progress: bool | None, *, initial: int = 0) -> tqdm:
    """A bar over `total` units, `initial` of them done before, with the time left.

    Args:
        total: number of units.
        unit: what they are.
        progress: True shows the bar; None too, once a second has passed and unless the environment variable
            TQDM_DISABLE is set; False does not.
        initial: units done before; they do not count for the time left.
    """
    progress = None if progress is None else check_flag("progress", progress)
    # tqdm heeds TQDM_DISABLE, its variable for hiding the bars of a whole session, only where `disable` is not given.
    hidden = progress is False or (progress is None and os.environ.get("TQDM_DISABLE", "0") not in ("", "0"))
    delay = 0.0 if progress else 1.0
    file = _Output() if _in_a_kernel() else None
    return tqdm(total=total, unit=unit, disable=hidden, delay=delay, leave=False, initial=initial, file=file)


def _in_a_kernel() -> bool:
    """Whether outputs go to a notebook, or another front end of a kernel."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None
