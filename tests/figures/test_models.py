"""Models beside models: what an attack does to several, and a quantity between every two of many."""

import re

import numpy as np
import pytest
from plots import equal

from toylib import figures

X = np.array([0.5, 0.0, 0.0, 0.25])
OUTPUTS = {
    "made on": (np.array([0.5, 0.0, 0.0, 0.0]), np.array([0.9, 0.1, 0.0, 0.0])),
    "another": (np.array([0.25, 0.0, 0.0, 0.25]), np.array([0.0, 0.0, 0.75, 0.25])),
}
TABLE = np.arange(9.0).reshape(3, 3)
BLOCKS = {"x_title": "across", "y_title": "up", "limits": (1, 6), "unit": "V"}
PICTURES = {
    "attacked_models": ((X, OUTPUTS), {"title": "Title", "limits": (0, 1)}, 6, {"feature"}, {"output", ""}),
    "blocks": ((TABLE, {"a": 1, "b": 2}), {"title": "Title", **BLOCKS}, 1, {"across"}, {"up"}),
}


def test_each_model_has_its_panel_and_its_gain():
    figure = figures.attacked_models(X, OUTPUTS, title="Title", limits=(0, 1)).figure()
    for k, (before, after) in enumerate(OUTPUTS.values()):
        bars, target, rings = figure.data[3 * k : 3 * k + 3]
        equal(bars.y, after)
        equal(target.y, X)
        equal(rings.y, before)
        equal(bars.x, [1, 2, 3, 4])
        assert {trace.xaxis for trace in (bars, target, rings)} == {("x", "x2")[k]}
        assert bars.showlegend == (k == 0)
    said = [float(re.search(r"gain in error ([-\d.]+)", note.text)[1]) for note in figure.layout.annotations]
    assert said == pytest.approx([0.2325 - 0.0625, 0.8125 - 0.0625], abs=6e-4)
    assert [note.text.partition("<br>")[0] for note in figure.layout.annotations] == [*OUTPUTS]
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range == (0, 1)


@pytest.mark.parametrize("number", [0, 5])
def test_one_to_four_models(number):
    with pytest.raises(ValueError, match=f"^there must be one to four models, got {number}; pass some of them$"):
        figures.attacked_models(X, {str(k): (X, X) for k in range(number)}, title="Title", limits=(0, 1))


def test_blocks_run_down_and_across_with_lines_between_groups():
    figure = figures.blocks(TABLE, {"a": 1, "b": 2}, title="Title", **BLOCKS).figure()
    (trace,) = figure.data
    equal(trace.z, TABLE)
    assert (trace.zmin, trace.zmax, trace.colorbar.title.text) == (1, 6, "V")
    assert figure.layout.xaxis.range == (0.5, 3.5)
    assert figure.layout.yaxis.range == (3.5, 0.5)
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert list(axis.ticktext) == ["a", "b"]
        equal(axis.tickvals, [1, 2.5])
    upright, level = figure.layout.shapes
    assert (upright.x0, upright.x1, level.y0, level.y1) == (1.5, 1.5, 1.5, 1.5)


def test_blocks_need_groups_of_all_models():
    message = r"^table must have shape \(4, 4\), none empty, got \(3, 3\); pass what belongs together$"
    with pytest.raises(ValueError, match=message):
        figures.blocks(TABLE, {"a": 1, "b": 3}, title="Title", **BLOCKS)
