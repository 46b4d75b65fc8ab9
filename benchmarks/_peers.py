"""The process that runs benchmarks/peers.py, in the environment that `make bench-peers` makes."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from toylib.training._parts import cores

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"


class Peers:
    """What PyTorch computes, on all cores, and the seconds that it takes."""

    def __init__(self, process: subprocess.Popen, folder: Path) -> None:
        """Take the process, and wait until it has loaded PyTorch."""
        self.process, self.folder = process, folder
        self.version = self._answer()["torch"]

    def _answer(self) -> dict[str, Any]:
        if not (line := self.process.stdout.readline()):
            sys.exit("the peers stopped; what they said stands above")
        return json.loads(line)

    def ask(self, request: dict[str, Any], **arrays: Any) -> tuple[float, dict[str, np.ndarray]]:
        """Seconds of a request, and the arrays that it makes of these, both by name."""
        start, end = self.folder / "start.npz", self.folder / "end.npz"
        np.savez(start, **arrays)
        self.process.stdin.write(json.dumps(request | {"start": str(start), "end": str(end)}) + "\n")
        self.process.stdin.flush()
        took = self._answer()["seconds"]
        with np.load(end) as found:
            return took, dict(found)


@contextmanager
def peers() -> Iterator[Peers | None]:
    """The peers, or None where there is no environment for them."""
    if not PYTHON.exists():
        print("without PyTorch: `make bench-peers` makes an environment for it")
        yield None
        return
    command = [str(PYTHON), str(HERE / "peers.py"), str(cores())]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        yield Peers(process, Path(folder))
        process.stdin.close()
