"""Explorers on the site: the statements that one depends on, its pictures, and what is refused."""

import base64
import json
import re
import sys

import moves
import numpy as np
import pytest
from compare import PLOTLY
from nbformat.v4 import new_code_cell, new_notebook, new_output

from toylib.explorers import explore
from toylib.figures import Drawing

CELLS = [
    "from math import pi, inf\nfrom os import path, sep as slash\nscale, unused = 2, inf\nturn = pi",
    "def curve(a):\n    scaled = [scale * x for x in range(3)]\n    return scaled",
    "curves = {}\nfor a in (1, 2):\n    curves[a] = curve(a)\nraise SystemExit('not needed')",
    "scale = path.join('x')\nother = [inf for inf in range(3)]",
    "explorer = slash, other, curve\nexplorer",
    "scale = 5",
]


def notebook(*cells):
    return new_notebook(cells=[new_code_cell(cell, id=f"c{i}") for i, cell in enumerate(cells)])


def test_a_program_is_what_the_explorer_depends_on():
    assert moves.program(notebook(*CELLS), "c4").splitlines() == [
        "from math import pi, inf",
        "from os import path, sep as slash",
        "scale, unused = (2, inf)",
        "def curve(a):",
        "    scaled = [scale * x for x in range(3)]",
        "    return scaled",
        "other = [inf for inf in range(3)]",  # its own, not the import
        "explorer = (slash, other, curve)",
        "explorer",
    ]


def test_what_may_not_bind_a_name_hides_nothing():
    cells = ["a = 1", "if a > 2:\n    b = 2\nelse:\n    pass", "b = 5\nb *= 2\nfor c in ():\n    b += a", "b"]
    assert moves.program(notebook(*cells), "c3") == "a = 1\nb = 5\nb *= 2\nfor c in ():\n    b += a\nb"


def test_a_loop_does_not_depend_on_what_it_binds_first():
    loop = "for x in y:\n    if x:\n        z = x\n    w = x\n    y = w + z"
    assert moves.program(notebook("w, x = 1, 2", "y = z = ()", loop, "y"), "c3") == f"y = z = ()\n{loop}\ny"


MATRICES = np.random.default_rng(3).normal(size=(2, 3, 4, 5))
MATRICES[1, 2, 0, 0] = np.nan


def draw(kind, size):
    i = ("a", "b").index(kind)
    return Drawing(
        [
            {"type": "heatmap", "z": np.float32(MATRICES[i, size])},
            {"type": "bar", "y": np.float32([1e-4, 1, 1, 1, 10] * MATRICES[i, size, 1]), "x": [1, 2]},
        ],
        {
            "title": {"text": f"{kind}{size}", "x": 0},
            "annotations": [{"text": "fixed", "y": 1}, {"text": kind, "font": {"size": 9}, "x": size / 7}],
            "shapes": [],
            "height": 300,
        },
    )


def unpacked(value):
    """What figures.js makes of a matrix, and NumPy of a list."""
    if isinstance(value, dict) and "packed" in value:
        whole = np.frombuffer(base64.b64decode(value["packed"]), np.int8)
        return value["unit"] * whole.reshape(-1, value["columns"])
    return np.array(value, float)


def test_every_picture_is_there_at_the_place_of_its_stops():
    explorer = explore(draw, play="size", start={"kind": "b"}, kind=["a", "b"], size=range(3))
    found = json.loads(json.dumps(moves.moves(explorer)))
    assert found["axes"] == [
        {"name": "kind", "labels": ["a", "b"], "active": 1},
        {"name": "size", "labels": ["0", "1", "2"], "active": 0},
    ]
    assert found["play"] == "size"
    notes = [[None, "annotations", 1, "text"], [None, "annotations", 1, "x"]]
    assert found["keys"] == [[0, "z"], [1, "y"], *notes, [None, "title", "text"]]
    for i in range(2):
        for size in range(3):
            z, y, note, x, title = (found["values"][v] for v in found["pictures"][3 * i + size])
            largest = np.nanmax(np.abs(MATRICES[i, size]))
            np.testing.assert_allclose(unpacked(z), MATRICES[i, size], rtol=0.005, atol=0.005 * largest)
            np.testing.assert_allclose(unpacked(y), [1e-4, 1, 1, 1, 10] * MATRICES[i, size, 1], rtol=0.005)
            assert (note, x, title) == ("ab"[i], size / 7, f"{'ab'[i]}{size}")


@pytest.mark.parametrize(
    ("stored", "limit", "message"),
    [
        (1, 10**6, "is not what is stored: "),
        (0, 100, "take 0.0 MiB; the limit is 2 MiB"),
    ],
)
def test_what_differs_or_is_too_large_is_refused(tmp_path, monkeypatch, stored, limit, message):
    source = "from toylib.explorers import explore\nfrom drawn_here import draw\nexplorer = explore(draw, size=[0, 1])"
    (tmp_path / "drawn_here.py").write_text(
        "from toylib.figures import Drawing\ndef draw(size): return Drawing([{'y': [1, size + 0.5]}], {})"
    )
    figure = json.loads(Drawing([{"y": [1, stored + 0.5]}], {}).figure().to_json())
    cell = new_code_cell(source, id="c0", outputs=[new_output("display_data", {PLOTLY: figure})])
    monkeypatch.setattr(moves, "MOVING", {"own": "c0"})
    monkeypatch.setattr(moves, "LIMIT", limit)
    monkeypatch.delitem(sys.modules, "drawn_here", raising=False)
    with pytest.raises(ValueError, match=re.escape(message)):
        moves.write("own", new_notebook(cells=[cell]), tmp_path, tmp_path)
    assert not (tmp_path / "c0.js").exists()
