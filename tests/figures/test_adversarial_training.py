"""Pictures of adversarial training: what they draw, their texts, and axes that stay while a reader scrubs."""

import re

import numpy as np
import pytest
from plots import equal

from toylib import figures
from toylib.figures import frames, style

rng = np.random.default_rng(0)
M, N = 3, 7
MODELS = {
    "random": rng.normal(size=(M, N)),
    "one feature": np.eye(M, N) * (np.arange(N) == 4),
    "dead": np.zeros((M, N)),
}
NAMES = np.array([["none", "reduced", "eliminated"], ["none", "none", "given up"]])
SAVING = np.array([[2.44, 1.0, 0.3], [0.96, 0.24, -0.03]])
WRITTEN = [["2.4", "1.0", "0.3"], ["1.0", "0.2", "0.0"]]


def represented(W, kept=0.5, **options):
    return figures.represented(W, np.linspace(0, 1, N), title="Title", kept=kept, **options)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_drawn_with_its_longest_feature_first(name):
    W, D = MODELS[name], np.linspace(0, 1, N)
    gram, bars, points = represented(W).figure().data
    norms = np.sqrt((W**2).sum(0))
    order = sorted(range(N), key=lambda i: -norms[i])
    equal(bars.y, [norms[i] for i in order])
    equal(bars.customdata, [i + 1 for i in order])
    equal(gram.z, [[W[:, i] @ W[:, j] for j in order] for i in order])
    assert (gram.zmin, gram.zmax) == (-1, 1)
    assert gram.colorscale == style.DIVERGING
    equal(points.y, [D[i] if norms[i] > 0.5 else np.nan for i in order])
    equal(points.customdata, bars.customdata)


def test_texts_of_a_model():
    figure = represented(MODELS["random"]).figure()
    assert figure.layout.title.text == "Title"
    assert figure.layout.template.layout.width == style.WIDTH
    heading, other = (a.text for a in figure.layout.annotations)
    assert heading == "WᵀW"
    for text, trace in (("norm", figure.data[1]), ("D, if kept", figure.data[2])):
        assert re.search(rf"<span style='color: {style.LABELS[trace.marker.color]}'>. {text}</span>", other)
    assert figure.layout.xaxis.title.text == figure.layout.xaxis2.title.text == "feature, the longest first"
    assert figure.layout.yaxis.title.text == "feature, the longest first"
    assert figure.layout.yaxis2.title.text == "norm ‖W<sub>i</sub>‖, dimensionality D<sub>i</sub>"
    (line,) = figure.layout.shapes
    assert line.y0 == line.y1 == 0.5


def test_axes_of_a_model_stay_while_scrubbing():
    assert represented(MODELS["dead"]).layout["yaxis2"]["range"] == represented(np.eye(M, N)).layout["yaxis2"]["range"]
    assert represented(MODELS["dead"]).layout["yaxis2"]["range"] == [0, 1.35]
    longest = np.linalg.norm(MODELS["random"], axis=0).max()
    assert longest > 1.35
    assert represented(MODELS["random"]).layout["yaxis2"]["range"][1] > longest
    first, *others = (represented(W, reach=longest).figure().layout for W in MODELS.values())
    assert all(other == first for other in others)
    scrubbed = frames(represented, W=MODELS)
    assert len(scrubbed.frames) == len(MODELS)


def outcome_map(**changes):
    arguments = {"outcomes": {"a": NAMES, "b": NAMES[::-1]}, "saving": {"a": SAVING, "b": SAVING[::-1]}} | changes
    return figures.outcome_map(**arguments, densities=(0.3, 0.01), norms=(0, 0.4, 1.25), title="Title").figure()


def test_a_map_shows_what_happened_in_every_cell():
    figure = outcome_map()
    first, second, *legend = figure.data
    known = ["none", "reduced", "eliminated", "given up"]
    for panel, names, written in ((first, NAMES, WRITTEN), (second, NAMES[::-1], WRITTEN[::-1])):
        assert [[known[int(k)] for k in row] for row in panel.z] == names.tolist()
        assert [list(row) for row in panel.text] == written
        assert tuple(panel.x) == ("0", "0.4", "1.25")
        assert tuple(panel.y) == ("0.3", "0.01")
    assert [t.name for t in legend] == ["not reduced", *known[1:]]
    assert [a.text for a in figure.layout.annotations] == ["a", "b"]
    assert figure.layout.xaxis.title.text == figure.layout.xaxis2.title.text == "attack norm / E‖x‖"
    assert figure.layout.yaxis.title.text == "density p"


def test_each_outcome_has_its_own_colour():
    """The colour of plotly's scale at each number is that of its name in the legend."""
    figure = outcome_map()
    panel, _, *legend = figure.data
    low, high = panel.zmin, panel.zmax
    for number, trace in enumerate(legend):
        place = (number - low) / (high - low)
        below = [color for edge, color in panel.colorscale if edge <= place][-1]
        above = next(color for edge, color in panel.colorscale if edge >= place)
        assert below == above == trace.marker.color
    assert len({trace.marker.color for trace in legend}) == 4


def test_a_map_knows_its_outcomes():
    message = (
        "outcomes must be among ['none', 'reduced', 'eliminated', 'given up'], got ['gone', 'lost']; "
        "take them from robustness.outcomes"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        outcome_map(outcomes={"a": np.where(NAMES == "none", "lost", NAMES), "b": [["gone"]]})


@pytest.mark.parametrize("number", range(1, 9))
def test_maps_of_attacks_stand_in_two_columns(number):
    """Titles and ticks of an axis are written once: at the left of each row, and below the lowest map of a column."""
    names = [str(k) for k in range(number)]
    layout = outcome_map(outcomes=dict.fromkeys(names, NAMES), saving=dict.fromkeys(names, SAVING)).layout
    assert [note.text for note in layout.annotations] == names
    for k in range(number):
        x, y = (layout[f"{letter}axis{k + 1 if k else ''}"] for letter in "xy")
        assert (x.type, y.type) == ("category", "category")
        assert (x.domain[0] == 0) == (k % 2 == 0)
        assert (y.domain[1] == 1) == (k < 2)
        assert (y.domain[0] == 0) == (k // 2 == (number - 1) // 2)
        lowest, leftmost = k + 2 >= number, k % 2 == 0
        assert (x.title.text, x.showticklabels) == ("attack norm / E‖x‖" if lowest else "", lowest)
        assert (y.title.text, y.showticklabels) == ("density p" if leftmost else "", leftmost)
