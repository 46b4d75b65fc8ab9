"""Run the notebooks with other values of their parameters: `python tools/parameters.py [notebook ...]` (default: all).

As papermill does it: a cell with the values is put after the one tagged `parameters`, in a copy, and nothing is stored.
Each notebook runs once for each of its SETS, in an empty folder, with `notebooks/` on PYTHONPATH: no path in it may be
relative. A run must come to its end without a word on stderr; each is reported with its time or with what stopped it
in which cell, and the command fails if one does. What is not among the parameters of a notebook is refused.
"""

import argparse
import ast
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import compiled
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SETS: dict[str, list[dict[str, Any]]] = {
    "0_start_here": [
        {"SPARSITIES": [0, 0.995], "STARTS": 1, "STEPS": 100, "IMPORTANCE": [1, 1, 1, 1, 1]},
        {"SPARSITIES": [0.5], "STARTS": 2, "STEPS": 1, "SEED": 11},
        {"SPARSITIES": (0.9, 0.3), "STARTS": 40, "STEPS": 300, "IMPORTANCE": (2, 1, 1, 1, 0)},
    ],
    "1_data_generation": [
        {"SPARSITIES": [0, 1 / 3, 0.995], "SHOWN": 1, "SAMPLES": 200, "NODES": [64, 128]},
        {"SPARSITIES": [0.9, 0.5], "SAMPLES": 20_000, "NODES": [2**16, 256, 1024], "SEED": 0},
        {"SHOWN": 100, "SAMPLES": 5_000, "NODES": (2, 4, 8, 16), "SEED": 12345},
    ],
    "2_training_dynamics": [
        {"S": 0, "STEPS": 500, "SEEDS": 1, "TWINS": 4, "EXPLORED": [0.5]},
        {"S": 0.8, "SEED": 0, "STEPS": 2_990, "SEEDS": 3, "TWINS": 1, "EXPLORED": [0, 0.999]},
        {"S": 0.97, "SEEDS": 100, "TWINS": 2, "EXPLORED": (0.9, 0.7)},
    ],
    "3_adversarial_attacks": [
        {"RADIUS": 0.5, "RECOMPUTED": 100, "STREAMS": 1},
        {"RADIUS": 0.05, "RECOMPUTED": 1, "STREAMS": 2},
        {"RADIUS": 0.2, "RECOMPUTED": 7.5, "STREAMS": 10},
    ],
    "4_adversarial_training": [
        {"RECOMPUTED": 0, "AUDITED": 1},
        {"RECOMPUTED": 1, "AUDITED": 20},
        {"RECOMPUTED": 12, "AUDITED": 3},
    ],
    "5_routes_to_the_octahedron": [
        {"SEED": 0, "SEEDS": 1},
        {"SEED": 123, "SEEDS": 3},
        {"SEED": 7, "SEEDS": 100},
    ],
    "6_conjectures": [
        {"SEED": 0, "SAMPLES": 1},
        {"SEED": 7, "SAMPLES": 30},
        {"SEED": 123, "SAMPLES": 1_000},
    ],
}
"""Unusual values for each notebook, by its name: lists and whole numbers, one and many, what is stored and what not."""


def with_values(notebook: NotebookNode, values: Mapping[str, Any]) -> NotebookNode:
    """Put a cell with other values after the cell of parameters, in place, and return the notebook.

    Args:
        notebook: with a code cell tagged `parameters`, in which names in capitals are parameters.
        values: by name; written as Python writes them.

    Raises:
        ValueError: it has no such cell, or no parameter of such a name.
    """
    at = next((i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())), None)
    if at is None:
        raise ValueError("a notebook must have a code cell tagged parameters, got none; tag one")
    parts = [part for line in ast.parse(notebook.cells[at].source).body for part in ast.walk(line)]
    known = [part.id for part in parts if isinstance(part, ast.Name) and part.id.isupper()]
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"parameters must be among {', '.join(known)}, got {', '.join(unknown)}; take one of these")
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    notebook.cells.insert(at + 1, new_code_cell(source))
    return notebook


async def run(notebook: NotebookNode, folder: str, name: str) -> list[str]:
    """Run a notebook in a folder, in place; return what stopped it and what it wrote to stderr, a text for each."""
    environment = os.environ | compiled.settings(name) | {"TQDM_DISABLE": "1", "PYTHONPATH": _path()}
    options = {"extra_arguments": ["--log-level=ERROR"], "resources": {"metadata": {"path": folder}}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", record_timing=False, **options)
    found = []
    try:
        with suppress(CellExecutionError):  # it is among the outputs
            await client.async_execute(env=environment)
    except (CellTimeoutError, DeadKernelError) as error:
        found.append(str(error))
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                found.append(f"{cell.id}: {output.ename}: {output.evalue}")
            elif output.get("name") == "stderr":
                found.append(f"{cell.id}, on stderr: {output.text.strip()}")
    return found


def _path() -> str:
    """PYTHONPATH of a kernel: where `results` is, before what is on it here."""
    return os.pathsep.join([str(NOTEBOOKS), *filter(None, [os.environ.get("PYTHONPATH")])])


async def main(paths: list[Path]) -> int:
    """Run notebooks with each of their sets, one after the other, and say how each ended; return how many failed."""
    failed = 0
    for path in paths:
        for values in SETS[path.stem]:
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                found = await run(with_values(nbformat.read(path, as_version=4), values), folder, path.name)
            told = ", ".join(f"{name} = {value!r}" for name, value in values.items())
            print(f"{path.name}: {told}: {'; '.join(found) or f'{time.perf_counter() - start:.0f} s'}", flush=True)
            failed += bool(found)
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(NOTEBOOKS.glob("*.ipynb")))
    paths = parser.parse_args().notebooks
    if unknown := [path.name for path in paths if path.stem not in SETS]:
        parser.error(f"a notebook must have sets of parameters, got {', '.join(unknown)}; add them to SETS")
    sys.exit(bool(asyncio.run(main(paths))))
