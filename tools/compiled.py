"""Where JAX keeps what it has compiled for a notebook, so that the checks that run it compile it once, not twice."""

import sys
from pathlib import Path


def settings(notebook: str) -> dict[str, str]:
    """Environment of a kernel that runs this notebook.

    The folder is that of the virtual environment, whose JAX alone can read it, and there is one for each notebook: JAX
    writes into it without a lock, and notebooks run side by side.
    """
    return {
        "JAX_COMPILATION_CACHE_DIR": str(Path(sys.prefix) / "compiled" / Path(notebook).stem),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
