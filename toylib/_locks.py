"""Locks and scratch folders, by which processes that share a store keep out of each other's way.

A lock belongs to an open file and goes when its process ends, however it ends: nobody waits for the dead, and none has
to be broken by hand. A stopped process keeps its locks until it goes on or is killed.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

SHARED, ALONE = fcntl.LOCK_SH, fcntl.LOCK_EX

_SCRATCH = ".toylib-"
"""How the names of scratch folders begin."""


def lock(path: Path, kind: int, *, create: bool = False, wait: bool = False) -> IO | None:
    """Lock a file until what this returns is closed; None where others hold it, unless we `wait` for them.

    Args:
        path: the file.
        kind: SHARED, which many may have, or ALONE.
        create: make the file where there is none; else FileNotFoundError.
        wait: until the lock is free.

    Raises:
        ValueError: the file system has no locks.
    """
    while True:
        file = path.open("a" if create else "r+")
        try:
            fcntl.flock(file, kind | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BlockingIOError:
            file.close()
            return None
        except FileNotFoundError:
            if not create:
                file.close()
                raise
        except OSError as error:
            file.close()
            raise ValueError(f"a store must be on a file system with locks, got {error}; name another path") from error
        file.close()  # it was removed or replaced before we had it


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """A folder of our own beside a path, for what is half made or half removed; it goes at the end.

    What processes that were killed have left beside the path goes too, and nothing else: it has our name, and a lock
    that nobody holds.
    """
    for left in beside.parent.glob(f"{_SCRATCH}{'?' * 32}"):
        with suppress(FileNotFoundError, NotADirectoryError):  # being made, being removed, or not ours
            if ours := lock(left / "lock", ALONE):
                shutil.rmtree(left, ignore_errors=True)
                ours.close()
    folder, held = beside, None
    while held is None:  # once more where another process took it for left behind before we had the lock
        folder = beside.with_name(_SCRATCH + uuid4().hex)
        folder.mkdir()
        with suppress(FileNotFoundError):
            held = lock(folder / "lock", ALONE, create=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()
