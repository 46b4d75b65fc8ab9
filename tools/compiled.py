"""Where JAX keeps what it has compiled: for the checks that run a notebook, and for the kernels of `make lab`.

    python tools/compiled.py -m jupyterlab ...    run this Python with what follows, in the environment of such kernels

Tests of the library keep nothing. JAX writes an entry in place, without a lock, and never writes it again: a kernel
that is killed in that moment, or a full disk, leaves one that cannot be read: JAX warns at every start and
compiles anew. So entries are looked through before JupyterLab starts, and the oldest go where there are too many.
"""

import os
import sys
import zlib
from pathlib import Path

LIMIT = 2**28
"""Bytes that are kept for `make lab`: many times what all notebooks take as they are stored."""


def settings(name: str) -> dict[str, str]:
    """Environment of a kernel that runs this notebook, or of all kernels of `make lab`.

    The folder is that of the virtual environment, whose JAX alone can read it, and the checks have one for each
    notebook, because these run side by side.
    """
    return {
        "JAX_COMPILATION_CACHE_DIR": str(Path(sys.prefix) / "compiled" / Path(name).stem),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def tidy(folder: Path, limit: int = LIMIT) -> None:
    """Remove entries that were cut short since the last call, and those not read for longest until the rest fits.

    Args:
        folder: is made where there is none.
        limit: bytes.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    looked = folder / "looked_through"
    since = looked.stat().st_mtime if looked.exists() else 0
    looked.touch()
    entries = {path: path.stat() for path in folder.glob("*-cache")}
    total = sum(entry.st_size for entry in entries.values())
    for path, entry in sorted(entries.items(), key=lambda item: item[1].st_atime):
        if total > limit or (entry.st_mtime >= since and _cut_short(path.read_bytes())):
            path.unlink()
            total -= entry.st_size


def _cut_short(entry: bytes) -> bool:
    """Whether an entry is empty, or is not all of what zlib wrote; what zstd wrote, from Python 3.14 on, passes."""
    try:
        return not zlib.decompress(entry) if entry.startswith(b"x") else not entry
    except zlib.error:
        return True


if __name__ == "__main__":
    environment = settings("lab")
    try:
        tidy(Path(environment["JAX_COMPILATION_CACHE_DIR"]))
    except OSError as error:
        print(f"What kernels compile is not kept for the next start: {error}", file=sys.stderr)
        environment = {}
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], os.environ | environment)
