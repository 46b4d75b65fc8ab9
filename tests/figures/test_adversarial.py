"""Pictures of adversarial examples: the numbers they draw and state, and axes that stay while a reader scrubs."""

import re
from copy import deepcopy

import numpy as np
import pytest
from plots import equal, plain

from toylib.figures import Limits, attacked_sample, frames, interference, style

rng = np.random.default_rng(0)
LIMITS = Limits((-0.5, 1.5), (-0.8, 0.8), (-0.1, 2.0))
PANELS = {"y": "input", "y2": "δ / ‖δ‖", "y3": "output"}


def sparse(n, active, seed=0):
    """Return x, δ and the reconstructions before and after of a random model with a ReLU."""
    rng = np.random.default_rng(seed)
    x, delta = np.zeros(n), rng.normal(size=n) / n
    x[rng.permutation(n)[:active]] = rng.random(active)
    G = rng.normal(size=(n, n)) / n
    return x, delta, np.maximum(G @ x, 0), np.maximum(G @ (x + delta), 0)


INPUTS = {
    "sparse": sparse(100, 3),
    "dense": sparse(100, 100),
    "few features": sparse(6, 2),
    "one feature": sparse(1, 1),
    "nothing active": sparse(100, 0),
    "no attack": (sparse(20, 5)[0], np.zeros(20), sparse(20, 5)[2], sparse(20, 5)[2]),
    "nothing at all": (np.zeros(6),) * 4,
}


def named(figure):
    return {trace.name: trace for trace in figure.data}


def stated(text, what):
    """Return the number that follows `what =` in a text."""
    return float(re.search(rf"{re.escape(what)} = ([-+.\de]+)", text)[1])


def fixed(drawing):
    """Return the layout less what may change from one input to another."""
    layout = deepcopy(drawing.figure().layout.to_plotly_json())
    for note in layout["annotations"]:
        note.pop("text")
    return {**layout, "title": None}


# Interference

ROWS = {
    "mixed": (np.array([0.2, -0.3, 1.1, 0.04, -0.06, 0.5]), 2, [1.1, 0.5, 0.2, 0.04, -0.06, -0.3], 4),
    "own is not the largest": (np.array([0.1, 0.9, -0.04]), 0, [0.1, 0.9, -0.04], 1),
    "ties": (np.array([0.3, 0.3, 1.0, 0.3]), 2, [1.0, 0.3, 0.3, 0.3], 3),
    "orthogonal": (np.array([0.0, 1.0, 0.0]), 1, [1.0, 0, 0], 0),
    "dead": (np.zeros(5), 4, [0.0] * 5, 0),
    "all negative": (-np.arange(1.0, 4), 0, [-1.0, -2, -3], 2),
    "alone": (np.array([0.7]), 0, [0.7], 0),
}


@pytest.mark.parametrize("name", ROWS)
def test_interference_sorts_the_others_behind_the_own_entry(name):
    row, feature, expected, beyond = ROWS[name]
    before = row.copy()
    figure = interference(row, feature, title="Title", limit=1.5).figure()
    positive, negative = figure.data
    expected = np.array(expected)
    for trace, shown, colour in ((positive, expected > 0, 0), (negative, expected < 0, 1)):
        assert (trace.type, trace.marker.color) == ("bar", style.SET_COLORS[colour])
        equal(trace.y, np.where(shown, expected, np.nan))
        equal(trace.x, [-1, *range(1, len(row))])
        order = np.asarray(trace.customdata) - 1
        assert order[0] == feature
        assert sorted(order) == list(range(len(row)))
        equal(row[order], expected)
    (note,) = figure.layout.annotations
    assert stated(note.text, "‖(WᵀW)<sub>i</sub>‖") == pytest.approx(np.sqrt((row**2).sum()), abs=0.005)
    assert f"{beyond} of {len(row) - 1} others beyond ±0.05" in note.text
    np.testing.assert_array_equal(row, before)


def test_interference_of_a_model_that_diverged_is_not_none():
    message = "row must be finite, got NaN or infinity in 1 of 3 entries; show a model that has not diverged"
    with pytest.raises(ValueError, match=f"^{message}$"):
        interference(np.array([1.0, np.nan, 0.0]), 0, title="Title", limit=1.0)


@pytest.mark.parametrize("n", [1, 2, 6, 20, 100])
def test_axes_of_an_interference(n):
    figure = interference(rng.normal(size=n), n - 1, title="Title", limit=1.25).figure()
    layout = figure.layout
    assert layout.title.text == "Title"
    assert layout.xaxis.title.text == "the feature's own entry, then the others from the largest to the smallest"
    assert layout.yaxis.title.text == "entry of row i of WᵀW"
    assert layout.yaxis.range == (-1.25, 1.25)
    assert layout.xaxis.range[0] < -1
    assert layout.xaxis.range[1] > n - 1
    assert layout.xaxis.ticktext[0] == "own"
    assert list(map(str, layout.xaxis.tickvals[1:])) == list(layout.xaxis.ticktext[1:])
    assert all(1 <= tick < n for tick in layout.xaxis.tickvals[1:])
    assert len(layout.xaxis.tickvals) <= 13
    (band,) = layout.shapes
    assert (band.y0, band.y1, band.yref) == (-0.05, 0.05, None)
    assert layout.width is None
    assert layout.template.layout.width == 700


def test_interference_scrubs_through_features_and_models():
    rows = [*map(np.array, ([0, 0, 1.0, 0, 0, 0], [0.5] * 6, [-1.0] * 6, [0.0] * 6)), ROWS["mixed"][0]]

    def draw(k):
        return interference(rows[k], k, title=f"Model {k}", limit=1.0)

    assert len(frames(draw, k=range(len(rows))).frames) == len(rows)
    for k in range(len(rows)):
        assert fixed(draw(k)) == fixed(draw(0))


# Attacked samples


def attacked(*arrays):
    return attacked_sample(*arrays, title="Title", limits=LIMITS).figure()


def shown(name):
    """Return the arrays of an input and the features, from 1, that are drawn of it: all, or 24 of more than 40."""
    x, _, before, after = arrays = INPUTS[name]
    features = list(range(len(x)))
    if len(x) > 40:
        features = sorted(features, key=lambda i: (-abs(after[i] - before[i]), -x[i], i))[:24]
    return [values[features] for values in arrays], np.array(features) + 1


@pytest.mark.parametrize("name", INPUTS)
def test_an_attacked_sample_draws_its_arrays(name):
    arrays = INPUTS[name]
    before_call = deepcopy(arrays)
    (x, delta, before, after), features = shown(name)
    figure = attacked(*arrays)
    traces = named(figure)
    norm = np.sqrt((arrays[1] ** 2).sum())
    drawn = {
        "x": ("bar", "y", x),
        "x + δ": ("scatter", "y", x + delta),
        "δ/‖δ‖": ("bar", "y2", delta / norm if norm else 0 * delta),
        "target x": ("bar", "y3", x),
        "after": ("scatter", "y3", after),
        "before": ("scatter", "y3", before),
    }
    assert list(traces) == list(drawn)
    for name, (kind, axis, values) in drawn.items():
        trace = traces[name]
        assert (trace.type, trace.yaxis, trace.xaxis) == (kind, axis, None)
        equal(trace.x, np.arange(1, len(x) + 1))
        equal(trace.y, values)
        equal(trace.customdata, features)
        if kind == "scatter":
            assert trace.mode == "markers"
    np.testing.assert_array_equal(np.stack(arrays), np.stack(before_call))
    assert plain(attacked(*arrays)) == plain(figure)


@pytest.mark.parametrize("name", INPUTS)
def test_stems_join_after_to_before(name):
    (_, _, before, after), _ = shown(name)
    bars = named(attacked(*INPUTS[name]))["after"].error_y
    up, down = np.asarray(bars.array, float), np.asarray(bars.arrayminus, float)
    equal(after + up - down, before)
    assert (np.minimum(up, down) == 0).all()
    assert (up >= 0).all()
    assert (down >= 0).all()


@pytest.mark.parametrize("name", INPUTS)
def test_headings_state_norm_and_errors(name):
    x, delta, before, after = INPUTS[name]
    figure = attacked(x, delta, before, after)
    first, second, third = figure.layout.annotations
    assert [note.yref for note in figure.layout.annotations] == ["y domain", "y2 domain", "y3 domain"]
    assert [note.text.split("</b>")[0] for note in (first, second, third)] == [
        "<b>Input",
        "<b>Attack",
        "<b>Reconstruction",
    ]
    assert stated(second.text, "‖δ‖") == pytest.approx(np.linalg.norm(delta), rel=0.006)
    assert stated(third.text, "before, e") == pytest.approx(((x - before) ** 2).sum(), rel=0.006)
    assert stated(third.text, "after, e") == pytest.approx(((x - after) ** 2).sum(), rel=0.006)
    left_out = np.delete(np.abs(after - before), shown(name)[1] - 1)
    assert ("others" in third.text) == (len(x) > 40)
    if left_out.size:
        assert float(re.search(r"others: at most ([-+.\de]+)\)", third.text)[1]) == pytest.approx(
            left_out.max(), rel=0.06
        )


@pytest.mark.parametrize("n", [1, 6, 20, 50, 100, 500])
def test_axes_of_an_attacked_sample(n):
    figure = attacked(*sparse(n, 1))
    layout = figure.layout
    assert layout.title.text == "Title"
    words = f"features by how much their output changes: the first 24 of {n}, {n - 24} left out"
    assert layout.xaxis.title.text == (words if n > 40 else "feature")
    n = min(n, 24) if n > 40 else n
    low, high = layout.xaxis.range
    half = max(trace.width for trace in figure.data if trace.type == "bar") / 2
    assert low < 1 - half
    assert high > n + half
    assert layout.xaxis.tickvals[0] == 1
    assert all(low < tick < high for tick in layout.xaxis.tickvals)
    assert len(layout.xaxis.tickvals) <= 13
    below = 1.0
    for limits, (axis, title) in zip(LIMITS, PANELS.items(), strict=True):
        panel = layout["yaxis" + axis[1:]]
        assert (panel.title.text, panel.range) == (title, limits)
        assert panel.domain[1] <= below  # under the panel before
        below = panel.domain[0]
    assert layout.xaxis.anchor == "y3"  # the lowest
    assert layout.width is None
    assert layout.template.layout.width == 700


def test_markers_shrink_where_nothing_happens():
    """A feature that is off before and after and should be: most of a sparse input. A wrong 0 keeps its size."""
    x, before, after = np.array([0, 0, 0, 0.5]), np.array([0, 0.1, 0, 0]), np.array([0, 0, 0.2, 0])
    traces = named(attacked(x, np.ones(4), before, after))
    for name in ("before", "after"):
        small, *others = np.asarray(traces[name].marker.size)
        assert len(set(others)) == 1
        assert small < others[0] / 2
    assert "open" in traces["before"].marker.symbol


def test_colours():
    figure = attacked(*sparse(6, 2))
    used = {trace.marker.color for trace in figure.data} - {None}
    assert used == {style.MUTED, style.INK, style.SET_COLORS[1]}
    assert named(figure)["x + δ"].error_x.color == style.SET_COLORS[1]


def test_attacked_samples_scrub():
    arrays = [sparse(100, active, seed) for seed, active in enumerate((1, 0, 100, 5))]
    arrays.append((arrays[0][0], np.zeros(100), arrays[0][2], arrays[0][2]))
    arrays.append((np.zeros(100),) * 4)

    def draw(k):
        return attacked_sample(*arrays[k], title=f"Input {k}", limits=LIMITS)

    assert len(frames(draw, start={"k": 2}, k=range(len(arrays))).frames) == len(arrays)
    for k in range(len(arrays)):
        assert fixed(draw(k)) == fixed(draw(0))


# Limits


def holds(limits, values):
    return limits[0] < values.min() and values.max() < limits[1]


@pytest.mark.parametrize("scale", [0.0, 0.1, 3.0])
def test_limits_hold_everything(scale):
    X, deltas = rng.random((2, 5, 10)), scale * rng.normal(size=(3, 2, 5, 10))
    outputs = 2 * scale * rng.random((4, 3, 2, 5, 10))
    limits = Limits.around(X, deltas, outputs)
    assert holds(limits.input, X + deltas)
    assert holds(limits.input, X)
    assert holds(limits.output, outputs)
    assert holds(limits.output, X)
    assert limits.direction[0] == -limits.direction[1]
    for low, high in limits:
        assert low < 0 < high
        assert high - low < 1.5 * max(2, np.abs(X + deltas).max() * 2, outputs.max())
    if scale:
        directions = deltas / np.sqrt((deltas**2).sum(-1, keepdims=True))
        assert holds(limits.direction, directions)
        assert limits.direction[1] == pytest.approx(1.1 * np.abs(directions).max())
        assert limits.direction[1] < 1.2
    else:
        assert limits.direction == (-1, 1)


def test_limits_of_nothing():
    limits = Limits.around(*np.zeros((3, 4)))
    assert limits.input == limits.output == pytest.approx((-0.05, 1.05))
    assert limits.direction == (-1, 1)
    assert all(isinstance(value, float) for limit in limits for value in limit)
