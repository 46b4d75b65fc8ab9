"""Opening a store: made, joined, mended or removed, whoever else does the same at this moment."""

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from toylib._locks import ALONE, lock, scratch
from toylib.sweeps._grids import Grid
from toylib.sweeps._identity import changes
from toylib.sweeps._store import Store, about_of, alone, marks_of

POLL_S = 0.05
"""Seconds between two looks at what another process is doing."""


def open_store(
    path: Path,
    about: dict[str, Any],
    grid: Grid,
    choose: Callable[[], tuple[int, ...]],
    batch: int | None,
    *,
    retry: bool,
    overwrite: bool,
) -> Store:
    """The store of a sweep, joined: the one that is there or a new one, whoever else does the same at this moment.

    Args:
        path: its folder.
        about: identity of the sweep.
        grid: its axes.
        choose: the shape of the batches of a new store; may compute the first point.
        batch: points in a batch, if the caller has asked for a number.
        retry: have the batches with failures or damage computed anew.
        overwrite: remove what the store holds, unless it was made since this call began.

    Raises:
        ValueError: another sweep is there, damage without `retry`, or one to remove on which another process works.
    """
    began = time.time()
    while True:
        if _is_free(path):
            Store.create(path, about, grid, choose())
        elif overwrite and _remove(path, began):
            continue
        try:
            sweep = Store(path)
        except ValueError:
            if path.exists():
                raise
            continue  # another process has removed it
        if sweep.join():
            break
        time.sleep(POLL_S)
    try:
        _accept(sweep, about, batch, retry=retry)
    except BaseException:
        sweep.close()
        raise
    return sweep


def _accept(sweep: Store, about: dict[str, Any], batch: int | None, *, retry: bool) -> None:
    """Check that a store holds this sweep, whole; with `retry` mend it, and forget the batches with failures."""
    different = changes(sweep.identity, about)
    if batch is not None and sweep.grid.block(batch) != sweep.shape:
        different.append(f"batches had shape {sweep.shape} and have {sweep.grid.block(batch)}")
    if different:
        raise ValueError(
            f"{sweep.path} must hold the same sweep, got another: {'; '.join(different)}. It resumes with the call and "
            "the versions that made it; for this sweep name another path, or pass overwrite=True to lose what it holds"
        )
    if "texts" not in sweep.identity:
        warnings.warn(
            f"{sweep.path} is from a toylib that kept nothing of the helpers and globals that a function uses, so its "
            "results may be those of others; if any has changed, name another path or pass overwrite=True",
            stacklevel=4,
        )
    damaged = sweep.damaged()
    if damaged and not retry:
        files = dict.fromkeys(file for file, _ in damaged)
        raise ValueError(
            f"the files of {sweep.path} must be whole, got damaged or missing {', '.join(files)}; pass retry=True to "
            "compute the batches anew that they belong to"
        )
    failed = [number for number, mark in sweep.marks.items() if retry and mark.failures]
    for number in dict.fromkeys([*failed, *(number for _, number in damaged)]):
        sweep.mend(number)


def _remove(path: Path, began: float) -> bool:
    """Remove a store that is older than a call; False for one that is not.

    Raises:
        ValueError: not a store, or another process works on it.
    """
    root = about_of(path / "zarr.json")
    ours = (isinstance(root, dict) and "format" in root) or about_of(marks_of(path)) == "marks"
    if not ours and path.exists():
        raise ValueError(f"{path} must be the store of a sweep, got something else; name another path")
    with suppress(FileNotFoundError), alone(path):
        about = about_of(path / "zarr.json")  # another process may have removed it and made a new one
        if isinstance(about, dict) and about.get("created", 0) >= began:
            return False
        (path / "marks").mkdir(exist_ok=True)
        if not (users := lock(marks_of(path), ALONE, create=True)):
            raise ValueError(
                f"{path} must not be in use when it is overwritten, got another process that works on it; wait for it, "
                "stop it, or name another path"
            )
        with users, scratch(path) as folder:
            path.replace(folder / "store")  # gone at once, as far as anyone can see
    return True


def _is_free(path: Path) -> bool:
    """Whether there is nothing, or an empty folder."""
    try:
        return not any(path.iterdir())
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
