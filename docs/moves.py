"""Explorers that move on the site: all their pictures in a file beside the page, computed while the site is built.

No notebook is run. Of each explorer named here, `program` takes the statements of its notebook that its drawings
depend on, which read stored results, evaluate closed forms, attack stored models (3), or train for some seconds (2, six
features in three dimensions, where the pictures are stories of training). What they draw at first is compared with the
figure that the notebook stores, so that a page cannot show anything else. An explorer that is not named here says on
its page that it needs a kernel.
"""

import ast
import base64
import itertools
import json
import math
import symtable
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from compare import PLOTLY, difference
from nbformat import NotebookNode

from toylib.explorers import Explorer

MOVING = {
    "1_data_generation": "code-ac9d3170",
    "2_training_dynamics": "code-4927cdce",
    "3_adversarial_attacks": "code-f74d9d35",
    "4_adversarial_training": "code-59",
    "5_routes_to_the_octahedron": "code-explore",
    "6_conjectures": "transfer-explorer",
}
"""Notebook -> the cell of its explorer."""
LIMIT = 2 * 2**20  # bytes a file


def write(name: str, notebook: NotebookNode, notebooks: Path, folder: Path) -> None:
    """Write CELL.js for the explorer of a notebook that moves, if one does and is there.

    Raises:
        ValueError: it draws something else than what is stored, or its pictures take more than the limit.
    """
    cells = {cell.id: cell for cell in notebook.cells}
    if (cell := cells.get(MOVING.get(name, ""))) is None:
        return
    notebooks = notebooks.resolve()
    with chdir(notebooks), patch.object(sys, "path", [str(notebooks), *sys.path]):  # as in its kernel
        scope: dict[str, Any] = {"__name__": name}
        exec(compile(program(notebook, cell.id), f"{name}.ipynb", "exec"), scope)  # our own notebook
        explorer = scope["explorer"]
        text = f"MOVES[{json.dumps(cell.id)}] = {json.dumps(moves(explorer), separators=(',', ':'))}\n"
    (stored,) = (output.data[PLOTLY] for output in cell.outputs if PLOTLY in output.get("data", ()))
    if unlike := difference(stored, json.loads(explorer.drawing().figure().to_json())):
        raise ValueError(f"the explorer of cell {cell.id} is not what is stored: {unlike}; `make notebooks` stores it")
    if len(text) > LIMIT:
        raise ValueError(f"the pictures of cell {cell.id} take {len(text) / 2**20:.1f} MiB; the limit is 2 MiB")
    (folder / f"{cell.id}.js").write_text(text, encoding="utf-8")


def program(notebook: NotebookNode, at: str) -> str:
    """Return the statements that a cell depends on, and the cell: a statement counts if it binds a name that is used.

    What changes a value without binding its name, such as `list.append`, is not seen, nor is a name bound anew after a
    function that reads it; what is drawn would differ from what is stored.
    """
    statements: list[ast.stmt] = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            statements += ast.parse(cell.source).body
            if cell.id == at:
                own = ast.parse(cell.source).body
                break
    wanted, kept = set(), []
    for i, statement in enumerate(reversed(statements)):
        if i < len(own) or wanted & names_of(statement)[0]:
            kept.insert(0, ast.unparse(statement))
            wanted = wanted_before(statement, wanted)
    return "\n".join(kept)


def wanted_before(statement: ast.stmt, after: set[str]) -> set[str]:
    """The names that must be bound before a statement: what it reads, and what is wanted and not bound by it."""
    bound, read = names_of(statement)
    if isinstance(statement, ast.For):  # what its body binds before it reads it need not be there
        header = ast.For(**{**vars(statement), "body": [ast.Pass()], "orelse": []})
        (targets, read), inner = names_of(header), set()
        for part in reversed([*statement.body, *statement.orelse]):
            inner = wanted_before(part, inner)
        read |= inner - targets
    if isinstance(statement, ast.For | ast.While | ast.If | ast.With | ast.Try):  # these may not bind it
        return after | read
    return after - bound | read


def names_of(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """The names that a statement binds outside of functions, and those that it or a function in it reads from there."""
    top = symtable.symtable(ast.unparse(statement), "", "exec")
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    read = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    if isinstance(statement, ast.AugAssign):
        read |= bound  # it changes what is there
    inner = top.get_children()
    for table in inner:
        inner += table.get_children()
        read |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return bound, read


def moves(explorer: Explorer) -> dict[str, Any]:
    """Return all pictures of an explorer: its axes, the values, and each picture's values at the places that move.

    A place is a trace's position, or None for the layout, and what leads to the value from there.
    """
    axes = explorer.axes
    drawings = [
        explorer.drawing(**dict(zip(axes, values, strict=True)))
        for values in itertools.product(*(axis.values for axis in axes.values()))
    ]
    changed = [drawings[0].changes(drawing) for drawing in drawings]
    places: list[tuple[int | None, str]] = sorted({(t, n) for traces, _ in changed for t in traces for n in traces[t]})
    places += [(None, name) for name in sorted({name for _, names in changed for name in names})]
    numbers: dict[str, int] = {}
    keys, columns = [], []
    for t, name in places:
        parts = [(drawing.layout if t is None else drawing.data[t]).get(name) for drawing in drawings]
        in_space = t is not None and drawings[0].data[t].get("type") == "scatter3d"
        for key, texts in _leaves((t, name), parts, decimals=2 if in_space else None):
            keys.append(key)
            columns.append([numbers.setdefault(text, len(numbers)) for text in texts])
    return {
        "axes": [
            {"name": name.replace("_", " "), "labels": axis.labels, "active": explorer.sliders[name].index}
            for name, axis in axes.items()
        ],
        "play": explorer.play,
        "keys": keys,
        "values": [json.loads(text) for text in numbers],
        "pictures": [*zip(*columns, strict=True)],
    }


def _leaves(
    key: tuple[Any, ...], parts: list[Any], decimals: int | None
) -> Iterator[tuple[tuple[Any, ...], list[str]]]:
    """Yield what differs between alike parts of drawings: where it is in them, and as the JSON of each."""
    first = parts[0]
    if isinstance(first, dict) and all(isinstance(part, dict) and part.keys() == first.keys() for part in parts):
        names = [*first]
    elif all(isinstance(p, list) and len(p) == len(first) > 0 and isinstance(p[0], dict) for p in parts):
        names = [*range(len(first))]
    else:
        texts = [json.dumps(_short(part, decimals), separators=(",", ":")) for part in parts]
        if len({*texts}) > 1:
            yield key, texts
        return
    for name in names:
        yield from _leaves((*key, name), [part[name] for part in parts], decimals)


def _short(value: Any, decimals: int | None = None) -> Any:
    """A part of a drawing as JSON; numbers of arrays to three digits, because an axis may be logarithmic.

    Coordinates in space, whose axes go beyond 1, have so many decimals instead: half a pixel at most. A matrix becomes
    bytes, in units of a 127th of the largest, and `figures.js` makes it a matrix again.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        if value.ndim == 2 and np.isfinite(value).all():
            largest = float(np.abs(value).max(initial=0)) or 1.0
            whole = np.rint(127 * value / largest).astype(np.int8)
            packed = base64.b64encode(whole.tobytes()).decode()
            return {"packed": packed, "unit": largest / 127, "columns": value.shape[1]}
        return _plain((value if decimals is None else value.astype(float).round(decimals)).tolist())
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    return [_short(part) for part in value] if isinstance(value, list | tuple) else value


def _plain(numbers: list[Any] | float) -> Any:
    """Numbers, in nested lists, to three digits: whole ones without a point, and null for what is not finite."""
    if isinstance(numbers, list):
        return [_plain(part) for part in numbers]
    number = float(f"{numbers:.3g}")
    return int(number) if number.is_integer() else number if math.isfinite(number) else None
