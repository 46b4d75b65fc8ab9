"""Every figure: its texts, its traces, the numbers it draws, and axes that stay while a reader scrubs."""

import ast
import re
from copy import deepcopy
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
import pytest
from plots import colours, plain

from toylib import figures, style
from toylib.features import Correlated
from toylib.intervals import Interval, wilson
from toylib.model import Params
from toylib.polyhedra import polyhedron, stages, story
from toylib.runs import Run
from toylib.templates import prism, template
from toylib.trajectory import follow

SETS = ((0, 1, 2), (3, 4, 5))
TEXTS = {"title": "Title", "x_title": "across", "y_title": "up"}
X = np.array([1.0, 10.0, 100.0])
F = Correlated(2, 3)
rng = np.random.default_rng(0)


def equal(drawn, expected):
    np.testing.assert_allclose(np.asarray(drawn, float), np.asarray(expected, float), rtol=1e-6, atol=1e-7)


def trajectory():
    """Return a run from the origin over the collapsed sets to the octahedron; log-spaced steps, the first at 0."""
    steps = np.array([0, 5, 20, 100, 400, 1000, 3000])
    collapsed, lines = template("pca"), np.array([[0] * 6, [0] * 6, [-0.4, 0, 0.4, -0.4, 0, 0.4]])
    models = [0 * collapsed, 0.1 * collapsed, collapsed, collapsed, collapsed + lines, prism(1.1, 0.5, 20)]
    weights = np.float32([*models, template("octahedron")])
    losses = np.array([0.2, 0.19, 0.05, 0.034, 0.03, 0.02, 0.01])
    run = Run(Params(jnp.asarray(weights[-1]), jnp.zeros(6)), steps, losses, weights, np.zeros((7, 6)), np.array(False))
    return follow(run, F, 0.9)


@pytest.fixture(scope="module")
def followed():
    return trajectory()


LEVELS = {"PCA": 0.033, "octahedron": 0.01}
TWIN = np.linspace(0.2, 0.03, 7)


def story_at(followed, at, **options):
    return story(followed, at, SETS, title="Run", levels=LEVELS, twin=TWIN, **options)


GALLERY = {f"d{k}": (rng.random((5, 4)), [(0, 1), (2, 3)]) for k in range(4)}
SHARES = {"a": [wilson([1, 0]), wilson([1, 1]), wilson([0])], "b": [wilson([0] * 9 + [1])] * 3}
SPECTRA = {"one": np.array([3.0, 1, 1]), "two": np.array([2.0, 2, 1])}
MEASURED = {"one": np.array([3.1, 1.2, 0.8]), "two": np.array([2.1, 1.9, 1.1])}
MEANS = {"a": [Interval(1, 0.5, 2), Interval(3, 2.5, 3.25)], "b": [Interval(2, 1, 4), Interval(0.5, 0.25, 1)]}
MATRICES = {"W": rng.normal(size=(2, 3)), "gram": rng.normal(size=(3, 3))}
COUNTS = {"octahedron": [7, 0, 3], "pca": [1, 8, 5]}
SERIES = {"first": np.array([1.0, 0.1, 0.01]), "second": np.array([2.0, 0.2, 0.02])}
PLANES = {"early": template("pca"), "late": template("octahedron"), "last": np.zeros((3, 6))}

# name -> (function, arguments, options, number of traces, titles of the x axes, titles of the y axes)
FIGURES = {
    "gallery": (figures.gallery, (GALLERY,), {"title": "Title"}, 8, {"", "sample"}, {"", "feature"}),
    "lines": (figures.lines, (X, SERIES), {**TEXTS, "dashed": {"level": 0.5}}, 3, {"across"}, {"up"}),
    "spectra": (figures.spectra, (SPECTRA, MEASURED), {"title": "Title"}, 4, {"rank"}, {"", "eigenvalue (variance)"}),
    "matrices": (figures.matrices, (MATRICES,), TEXTS, 2, {"across"}, {"", "up"}),
    "shares": (figures.shares, ([0.1, 0.2, 0.5], SHARES), TEXTS, 2, {"across"}, {"up"}),
    "means": (figures.means, ([1.5, 60], MEANS), {**TEXTS, "y_range": (0, 5)}, 2, {"across"}, {"up"}),
    "scatter": (figures.scatter, (MATRICES["W"], MATRICES["W"], ("a", "")), TEXTS, 2, {"across"}, {"up"}),
    "outcomes": (figures.outcomes, (["a", "b", "c"], COUNTS), TEXTS, 2, {"across"}, {"up"}),
    "polyhedron": (polyhedron, (template("octahedron"), SETS), {"title": "Title"}, 7, set(), set()),
    "stages": (stages, (PLANES, SETS), {"title": "Title"}, 21, set(), set()),
    "story": (
        story,
        (trajectory(), 3, SETS),
        {"title": "Title", "levels": LEVELS, "twin": TWIN},
        8 + 2 + 3 + 5 + 1 + 4,
        {"feature", "", "training step"},
        {"feature", "loss", "singular values of W", "shares, cosine", "twist in °"},
    ),
}


def axis_titles(figure, letter):
    axes = [v for k, v in figure.to_plotly_json()["layout"].items() if k.startswith(f"{letter}axis")]
    return {axis.get("title", {}).get("text", "") for axis in axes}


def same(a, b):
    """Tell whether nested arguments are equal, arrays bitwise."""
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("name", FIGURES)
def test_texts_traces_width_and_inputs(name):
    draw, arguments, options, n_traces, x_titles, y_titles = FIGURES[name]
    before = deepcopy((arguments, options))
    figure = draw(*arguments, **options)
    assert isinstance(figure, go.Figure)
    assert figure.layout.title.text == ("Title: step 100" if name == "story" else "Title")
    assert len(figure.data) == n_traces
    assert axis_titles(figure, "x") == x_titles
    assert axis_titles(figure, "y") == y_titles
    assert figure.layout.template.layout.width == 700
    assert figure.layout.width is None
    assert same((arguments, options), before)
    assert draw(*arguments, **options).to_json() == figure.to_json()


@pytest.mark.parametrize("name", FIGURES)
def test_colours_are_named_in_style(name):
    draw, arguments, options, *_ = FIGURES[name]
    assert colours(plain(draw(*arguments, **options))) <= style.PALETTE


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_fixed(name):
    """An axis has a range of its own, categories, or the rows and columns of a matrix: none follows the data."""
    draw, arguments, options, *_ = FIGURES[name]
    figure = draw(*arguments, **options)
    heatmaps = [trace for trace in figure.data if trace.type == "heatmap"]
    matrices = {f"{k}axis{(trace[f'{k}axis'] or k)[1:]}" for trace in heatmaps for k in "xy"}
    for key, axis in figure.layout.to_plotly_json().items():
        if re.fullmatch(r"[xy]axis\d*", key):
            bars = name in ("spectra", "outcomes") and key[0] == "x"
            assert "range" in axis or key in matrices or bars, key


def test_every_trace_of_a_figure_with_axes_has_an_axis_with_a_title():
    """Panels that share an axis title with their neighbour carry it once: at the left, or below."""
    for name in ("lines", "shares", "means", "scatter", "outcomes"):
        draw, arguments, options, *_ = FIGURES[name]
        figure = draw(*arguments, **options)
        assert {t.xaxis for t in figure.data} <= {None, "x"}
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text


# What is drawn


def test_gallery_draws_samples_as_columns_and_features_as_rows():
    samples = {"one": (rng.random((4, 3)), [(0, 2), (1,)]), "two": (rng.random((4, 5)), [(k,) for k in range(5)])}
    figure = figures.gallery(samples, title="Title")
    traces = list(figure.data)
    for panel, (x, sets) in enumerate(samples.values()):
        for i, members in enumerate(sets):
            trace = traces.pop(0)
            equal(trace.z, [[x[s, j] for s in range(4)] for j in members])
            equal(trace.x, [1, 2, 3, 4])
            equal(trace.y, [j + 1 for j in members])
            assert (trace.zmin, trace.zmax) == (0, 1)
            assert trace.colorscale == ((0, "#FFFFFF"), (1, style.SET_COLORS[i % 4]))
            assert trace.xaxis == ("x", "x2")[panel]
    assert traces == []
    assert [a.text for a in figure.layout.annotations] == ["one", "two"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_lines_draws_its_series():
    figure = figures.lines(X, SERIES, **TEXTS)
    for trace, (name, y) in zip(figure.data, SERIES.items(), strict=True):
        equal(trace.x, X)
        equal(trace.y, y)
        assert (trace.name, trace.mode) == (name, "lines")
    assert len({trace.line.color for trace in figure.data}) == 2
    assert figures.lines(X, SERIES, **TEXTS, markers=True).data[0].mode == "lines+markers"


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_dashed_levels_and_log_axes(log):
    dashed = {"level": 0.5, "curve": np.array([1.0, 2, 4])}
    figure = figures.lines(X, SERIES, **TEXTS, log=log, dashed=dashed, y_range=(0.01, 10))
    assert figure.layout.xaxis.type == ("log" if "x" in log else None)
    assert figure.layout.yaxis.type == ("log" if "y" in log else None)
    equal(figure.layout.xaxis.range, (0, 2) if "x" in log else (1, 100))
    equal(figure.layout.yaxis.range, (-2, 1) if "y" in log else (0.01, 10))
    level, curve = figure.data[2:]
    for trace, y, name in ((level, [0.5] * 3, "level"), (curve, [1, 2, 4], "curve")):
        assert (trace.name, trace.line.dash) == (name, "dash")
        equal(trace.x, X)
        equal(trace.y, y)


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
@pytest.mark.parametrize("draw", ["lines", "means"])
def test_each_curve_has_its_name_at_its_end(draw, log):
    """In the shade of its colour that is for text; a curve that stops early has it where it stops."""
    curves = {"first": [1.0, 0.1, np.nan], "second": [2.0, 0.2, 0.02]}
    levels = {"level": 0.5}
    if draw == "lines":
        figure = figures.lines(X, curves, **TEXTS, log=log, dashed=levels, y_range=(0.01, 10))
    else:
        values = {name: [Interval(v, v, v) for v in y] for name, y in curves.items()}
        figure = figures.means(X, values, **TEXTS, log=log, dashed=levels, y_range=(0.01, 10))
    notes = {note.text: note for note in figure.layout.annotations}
    assert set(notes) == {*curves, *levels}
    assert figure.layout.showlegend is False
    last = figure.layout.xaxis.range[1]
    ends = {"first": (np.log10(10) if "x" in log else 10, 0.1), "second": (last, 0.02), "level": (last, 0.5)}
    for name, (x, y) in ends.items():
        assert notes[name].x == pytest.approx(x)
        assert notes[name].y == pytest.approx(np.log10(y) if "y" in log else y)
        assert notes[name].xanchor == "left"
    for name, colour in (("first", style.BLUE), ("second", style.ORANGE), ("level", style.MUTED)):
        assert notes[name].font.color == style.LABELS[colour]


def test_a_range_by_default_holds_every_curve():
    for log, inside in (("", (0.0, 2.0)), ("y", np.log10([0.01, 2.0]))):
        low, high = figures.lines(X, SERIES, **TEXTS, log=log).layout.yaxis.range
        assert low <= inside[0] + (log == "") * 0.01
        assert high > inside[1]
    for bad in ({"dashed": {"level": 0.0}}, {"dashed": {"level": 0.0}, "y_range": (0.1, 1)}):
        with pytest.raises(ValueError, match=r"must be positive, got 0\.0.*; leave it out"):
            figures.lines(X, SERIES, **TEXTS, log="y", **bad)


def test_chosen_colours():
    chosen = (style.INK, style.GREEN)
    assert [t.line.color for t in figures.lines(X, SERIES, **TEXTS, colors=chosen).data] == list(chosen)
    for draw, values in ((figures.shares, SHARES), (figures.means, MEANS)):
        x, options = ([0.1, 0.2, 0.5], {}) if draw is figures.shares else ([1.5, 60], {"y_range": (0, 5)})
        figure = draw(x, values, **TEXTS, **options, colors=chosen)
        assert [(t.marker.color, t.line.color, t.error_y.color) for t in figure.data] == [(c,) * 3 for c in chosen]
    with pytest.raises(ValueError, match="colors must be one a series, got 1 for 2"):
        figures.lines(X, SERIES, **TEXTS, colors=(style.INK,))


def test_spectra_draws_bars_and_points():
    bars, points = {}, {}
    for trace in figures.spectra(SPECTRA, MEASURED, title="Title").data:
        (bars if trace.type == "bar" else points)[trace.xaxis] = trace
    for axis, name in (("x", "one"), ("x2", "two")):
        for found, expected in ((bars, SPECTRA), (points, MEASURED)):
            equal(found[axis].x, [1, 2, 3])
            equal(found[axis].y, expected[name])
    assert (bars["x"].name, points["x"].name) == ("closed form", "measured")
    assert [t.showlegend for t in (bars["x"], points["x"], bars["x2"], points["x2"])] == [True, True, False, False]


def test_matrices_draws_signed_values_with_one_scale():
    figure = figures.matrices(MATRICES, **TEXTS, limit=2.5)
    for trace, (name, matrix), note in zip(figure.data, MATRICES.items(), figure.layout.annotations, strict=True):
        equal(trace.z, matrix)
        equal(trace.x, np.arange(matrix.shape[1]) + 1)
        equal(trace.y, np.arange(matrix.shape[0]) + 1)
        assert (trace.zmin, trace.zmax) == (-2.5, 2.5)
        assert note.text == name
        assert trace.colorscale[1] == (0.5, "#FFFFFF")
    assert [trace.showscale for trace in figure.data] == [False, True]
    assert figure.layout.yaxis.autorange == figure.layout.yaxis2.autorange == "reversed"


def test_shares_draws_points_with_their_intervals():
    figure = figures.shares([0.1, 0.2, 0.5], SHARES, **TEXTS)
    for trace, (name, values) in zip(figure.data, SHARES.items(), strict=True):
        y = np.asarray(trace.y, float)
        equal(y, [v.count / v.total for v in values])
        np.testing.assert_allclose(y + trace.error_y.array, [v.high for v in values], atol=1e-6)
        np.testing.assert_allclose(y - trace.error_y.arrayminus, [v.low for v in values], atol=1e-6)
        np.testing.assert_allclose(trace.x, [0.1, 0.2, 0.5], rtol=0.03)
        assert trace.name == name
        assert list(trace.customdata) == [str(v) for v in values]
    assert not set(figure.data[0].x) & set(figure.data[1].x)  # intervals stand beside each other
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.tickvals == (0.1, 0.2, 0.5)
    low, high = figure.layout.yaxis.range
    assert low < 0
    assert high > 1
    equal(figures.shares([0.1, 0.2, 0.5], {"a": SHARES["a"]}, **TEXTS).data[0].x, [0.1, 0.2, 0.5])


def test_outcomes_stacks_counts():
    figure = figures.outcomes(["a", "b", "c"], COUNTS, **TEXTS)
    for trace, (state, values) in zip(figure.data, COUNTS.items(), strict=True):
        assert (trace.type, trace.name) == ("bar", state)
        assert list(trace.x) == ["a", "b", "c"]
        assert list(trace.y) == values
    assert figure.layout.barmode == "stack"
    assert figure.layout.xaxis.type == "category"


def test_at_most_five_series():
    five, six = ({str(k): np.ones(3) for k in range(number)} for number in (5, 6))
    assert len({trace.line.color for trace in figures.lines(X, five, **TEXTS).data}) == 5
    assert len({trace.marker.color for trace in figures.outcomes("abc", five, **TEXTS).data}) == 5
    for draw, x in ((figures.lines, X), (figures.outcomes, "abc")):
        with pytest.raises(ValueError, match="a figure has at most 5 series, got 6; split it in two"):
            draw(x, six, **TEXTS)


# Polyhedra


def segments(trace):
    """Return the segments that a trace of lines shows, (k, 2, 3); between two there is a gap."""
    points = np.stack([np.asarray(trace[axis], float) for axis in "xyz"], 1).reshape(-1, 3, 3)
    assert np.isnan(points[:, 2]).all()
    assert not trace.connectgaps
    shown = np.isfinite(points[:, :2]).all((1, 2))
    assert np.isnan(points[~shown]).all()
    return points[shown, :2]


def ends(trace):
    return {frozenset(tuple(np.round(end, 4) + 0.0) for end in segment) for segment in segments(trace)}


def pairs(W, *chosen):
    return {frozenset(tuple(np.round(W[:, k], 4) + 0.0) for k in pair) for pair in chosen}


def parts(figure):
    """Return the traces of a polyhedron by their names."""
    return {trace.name: trace for trace in figure.data}


def test_an_octahedron_has_its_edges_and_antipodes():
    """Columns 0 1 2 are e1 e2 e3, 3 4 5 are -e2 -e3 -e1."""
    W = np.hstack([np.eye(3), -np.eye(3)[:, [1, 2, 0]]])
    named = parts(polyhedron(W, SETS, title="Title"))
    assert ends(named["antipodal pair"]) == pairs(W, (0, 5), (1, 3), (2, 4))
    assert ends(named["edge to the other set"]) == pairs(W, (0, 3), (0, 4), (1, 4), (1, 5), (2, 3), (2, 5))
    assert ends(named["edge of set 1"]) == pairs(W, (0, 1), (0, 2), (1, 2))
    assert ends(named["edge of set 2"]) == pairs(W, (3, 4), (3, 5), (4, 5))
    assert named["antipodal pair"].line.dash == "dash"
    for name, columns in (("set 1", [0, 1, 2]), ("set 2", [3, 4, 5])):
        equal([named[name].x, named[name].y, named[name].z], W[:, columns])
        assert list(named[name].text) == [str(k + 1) for k in columns]


def test_edges_follow_the_cosines():
    """Edges reach below 120 degrees, 118 and 117 but not 121; antipodes begin near 154; lengths do not matter."""
    angles = np.radians([0, 1, 2, 118, 123, 155])
    W = np.stack([np.cos(angles), np.sin(angles), 0 * angles]) * np.array([1, 0.2, 1, 3, 1, 1])
    named = parts(polyhedron(W, SETS, title="Title"))
    assert ends(named["edge to the other set"]) == pairs(W, (0, 3), (1, 3), (2, 3))
    assert ends(named["antipodal pair"]) == pairs(W, (0, 5))


def test_a_model_of_zeros_has_no_edges():
    for W in (np.zeros((3, 6)), 0.04 * template("octahedron")):
        named = parts(polyhedron(W, SETS, title="Title"))
        assert len(segments(named["antipodal pair"])) == 0
        assert len(segments(named["edge to the other set"])) == 0
    assert len(named) == 7
    assert not np.any(
        [segments(parts(polyhedron(PLANES["last"], SETS, title="Title"))[f"edge of set {i}"]) for i in (1, 2)]
    )


def test_only_coordinates_depend_on_the_model():
    """Traces keep number, type and length, so that frames may move them; the axes keep their range."""
    drawn = [polyhedron(W, SETS, title="Title") for W in PLANES.values()]
    for figure in drawn:
        assert figure.layout.to_plotly_json() == drawn[0].layout.to_plotly_json()
        for trace, first in zip(figure.data, drawn[0].data, strict=True):
            a, b = trace.to_plotly_json(), first.to_plotly_json()
            assert [len(a[axis]) for axis in "xyz"] == [len(b[axis]) for axis in "xyz"]
            assert {k: v for k, v in a.items() if k not in "xyz"} == {k: v for k, v in b.items() if k not in "xyz"}
    scene = drawn[0].layout.scene
    assert scene.xaxis.range == scene.yaxis.range == scene.zaxis.range
    assert scene.xaxis.range[0] < -1
    assert scene.xaxis.range[1] > 1
    assert scene.aspectmode == "cube"
    assert [scene[f"{axis}axis"].title.text for axis in "xyz"] == ["h₁", "h₂", "h₃"]


def test_a_set_has_one_colour_everywhere():
    picture = figures.gallery({"one": (rng.random((4, 6)), SETS)}, title="Title")
    solid = parts(polyhedron(template("octahedron"), SETS, title="Title"))
    told = parts(FIGURES["story"][0](*FIGURES["story"][1], **FIGURES["story"][2]))
    for i in range(2):
        colour = style.SET_COLORS[i]
        assert picture.data[i].colorscale[1][1] == colour
        for named in (solid, told):
            assert named[f"set {i + 1}"].marker.color == colour
            assert named[f"edge of set {i + 1}"].line.color == colour
        assert told[f"flatness {i + 1}"].line.color == colour


def test_stages_shows_a_scene_a_model():
    figure = stages(PLANES, SETS, title="Title")
    assert {trace.scene for trace in figure.data} == {"scene", "scene2", "scene3"}
    right = 0.0
    cameras = set()
    for number, (name, W) in enumerate(PLANES.items(), 1):
        scene = "scene" + str(number) * (number > 1)
        named = {trace.name: trace for trace in figure.data if trace.scene == scene}
        assert len(named) == 7
        equal([named["set 1"].x, named["set 1"].y, named["set 1"].z], W[:, :3])
        equal([named["set 2"].x, named["set 2"].y, named["set 2"].z], W[:, 3:])
        domain = figure.layout[scene].domain.x
        assert domain[0] == pytest.approx(right)
        right = domain[1]
        note = figure.layout.annotations[number - 1]
        assert note.text == name
        assert note.x == pytest.approx(sum(domain) / 2)
        cameras.add(str(figure.layout[scene].camera.eye))
    assert right == 1
    assert len(cameras) == 1


# The story of a run


def curves(figure):
    return {trace.name: trace for trace in figure.data if trace.type == "scatter" and trace.name}


def test_story_draws_the_trajectory(followed):
    figure = story_at(followed, 3)
    drawn = curves(figure)
    expected = {
        "model": followed.losses,
        "linear twin": TWIN,
        **{f"s{'₁₂₃'[k]}": followed.singular_values[:, k] for k in range(3)},
        "PCA overlap": followed.overlap,
        "energy within sets": followed.within_energy,
        "cosine of means": followed.mean_cosine,
        "flatness 1": followed.flatness[:, 0],
        "flatness 2": followed.flatness[:, 1],
        "twist": followed.twist,
    }
    assert set(drawn) == set(expected)
    for name, values in expected.items():
        equal(drawn[name].x, np.maximum(followed.steps, 1))
        equal(drawn[name].y, values)
    panels = {"model": "loss", "s₁": "singular values of W", "PCA overlap": "shares, cosine", "twist": "twist in °"}
    for name, title in panels.items():
        assert figure.layout["yaxis" + drawn[name].yaxis[1:]].title.text == title
        assert figure.layout["xaxis" + drawn[name].xaxis[1:]].type == "log"
    assert drawn["linear twin"].yaxis == drawn["model"].yaxis
    assert drawn["flatness 1"].yaxis == drawn["PCA overlap"].yaxis
    assert figure.layout.yaxis2.type == "log"
    assert [figure.layout[f"yaxis{k}"].type for k in (3, 4, 5)] == [None] * 3


@pytest.mark.parametrize("at", range(7))
def test_story_shows_the_snapshot(followed, at):
    figure = story_at(followed, at)
    W = followed.weights[at]
    named = parts(figure)
    equal([named["set 1"].x, named["set 1"].y, named["set 1"].z], W[:, :3])
    (gram,) = (trace for trace in figure.data if trace.type == "heatmap")
    equal(gram.z, W.T @ W)
    assert (gram.zmin, gram.zmax) == (-1, 1)
    cursors = [trace for trace in figure.data if trace.type == "scatter" and not trace.name]
    assert [trace.yaxis for trace in cursors] == ["y2", "y3", "y4", "y5"]
    for trace in cursors:
        equal(trace.x, [max(10, followed.steps[at])] * 2)  # the axis begins at step 10
        limits = figure.layout["yaxis" + trace.yaxis[1:]].range
        equal(np.log10(trace.y) if trace.yaxis == "y2" else trace.y, limits)
    assert figure.layout.title.text == f"Run: step {followed.steps[at]:,}"


def test_axes_of_a_story_stay_while_scrubbing(followed):
    def fixed(at):
        return {k: v for k, v in story_at(followed, at).layout.to_plotly_json().items() if k != "title"}

    assert all(fixed(at) == fixed(0) for at in range(1, 7))
    layout = story_at(followed, 0).layout
    assert all(layout[f"{axis}axis{k}"].range for axis in "xy" for k in range(2, 6))
    assert layout.xaxis2.range == pytest.approx((1, np.log10(3000)))
    low, high = 10 ** np.array(layout.yaxis2.range)
    assert low < 0.01 < 0.2 < high
    given = story_at(followed, 0, loss_range=(0.001, 1.0)).layout
    assert given.yaxis2.range == pytest.approx((-3, 0))


def test_levels_and_phases_of_a_story(followed):
    """On a logarithmic axis plotly wants shapes in units of the axis, and annotations in powers of ten."""
    layout = story_at(followed, 0).layout
    notes = {note.text: note for note in layout.annotations}
    dashed = [shape for shape in layout.shapes if shape.type == "line"]
    for shape, (name, level) in zip(dashed, LEVELS.items(), strict=True):
        assert shape.y0 == shape.y1 == level
        assert (shape.xref, shape.yref, shape.line.dash) == ("x2 domain", "y2", "dash")
        assert notes[name].y == pytest.approx(np.log10(level))
        assert notes[name].yref == "y2"
    assert [phase.name for phase in followed.phases] == ["A", "B", "C", "D"]
    spans = [(10, 20), (20, 100), (100, 400), (400, 3000)]
    assert [tuple(phase[1:]) for phase in followed.phases] == [(0, 20), *spans[1:]]
    for letter, span in zip("ABCD", spans, strict=True):
        note = notes[f"<b>{letter}</b>"]
        assert note.xref == "x2"
        assert note.x == pytest.approx(np.log10(span).mean())
    bands = {(shape.x0, shape.x1): [] for shape in layout.shapes if shape.type == "rect"}
    for shape in layout.shapes:
        if shape.type == "rect":
            bands[shape.x0, shape.x1].append((shape.xref, shape.yref, shape.y0, shape.y1))
    panels = [(f"x{k}", f"y{k} domain", 0, 1) for k in range(2, 6)]
    assert bands == {spans[0]: panels, spans[2]: panels}  # every second phase is shaded, over all curves


def imported(path):
    """Return the names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_figures_need_no_widgets():
    """plotly loads ipywidgets where it is installed, so what counts is what our own modules ask for."""
    modules = sorted(Path(figures.__file__).parent.glob("*.py"))
    assert {"figures.py", "frames.py", "polyhedra.py", "style.py", "explorers.py"} <= {path.name for path in modules}
    for path in modules:
        names = imported(path)
        widgets = any(name.split(".")[0] in ("ipywidgets", "anywidget") for name in names)
        assert widgets == (path.name in ("explorers.py", "live.py")), path.name
        assert "toylib.explorers" not in names, path.name


def test_means_draws_points_with_their_intervals_at_their_settings():
    values = MEANS
    figure = figures.means([1.5, 60], values, **TEXTS, y_range=(0, 5))
    for trace, (name, intervals) in zip(figure.data, values.items(), strict=True):
        equal(trace.x, [1.5, 60])
        equal(trace.y, [v.value for v in intervals])
        equal(trace.error_y.array, [v.high - v.value for v in intervals])
        equal(trace.error_y.arrayminus, [v.value - v.low for v in intervals])
        assert trace.name == name
        assert list(trace.customdata) == [str(v) for v in intervals]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.tickvals == (2, 5, 10, 20, 50)
    assert figure.layout.yaxis.range == (0, 5)
    assert figure.layout.yaxis.type is None
    logarithmic = figures.means([1.5, 60], values, **TEXTS, y_range=(0.1, 10), log="xy", ticks=[1.5, 60])
    assert logarithmic.layout.yaxis.type == "log"
    equal(logarithmic.layout.yaxis.range, [-1, 1])
    assert logarithmic.layout.xaxis.tickvals == (1.5, 60)
    assert logarithmic.layout.xaxis.ticktext == ("1.5", "60")
    with pytest.raises(ValueError, match="at most 5 series, got 6"):
        figures.means([1.5, 60], {str(i): values["a"] for i in range(6)}, **TEXTS, y_range=(0, 5))


@pytest.mark.parametrize("log", ["", "y"])
def test_means_over_a_linear_setting_with_a_level(log):
    figure = figures.means([0, 60], MEANS, **TEXTS, y_range=(0.1, 10), log=log, dashed={"level": 4.0})
    equal(figure.data[0].x, [0, 60])
    assert figure.layout.xaxis.type is None
    assert figure.layout.xaxis.tickvals is None
    (line,) = figure.layout.shapes
    assert line.y0 == line.y1 == 4
    equal(figure.layout.yaxis.range, np.log10([0.1, 10]) if log else [0.1, 10])


def test_scatter_joins_the_means_of_named_groups():
    x, y = np.array([[1.0, 2], [3, 5], [6, 6]]), np.array([[4.0, 5], [6, 8], [7, 9]])
    figure = figures.scatter(x, y, ["one", "", "three"], **TEXTS)
    path, points = figure.data
    equal(path.x, [1.5, 4, 6])
    equal(path.y, [4.5, 7, 8])
    equal(points.x, x.ravel())
    equal(points.y, y.ravel())
    assert (path.mode, points.mode) == ("lines", "markers")
    one, three = figure.layout.annotations
    assert (one.text, one.x, one.y) == ("one", 2, 4.5)
    assert (three.text, three.y) == ("three", 8)
    assert three.x == figure.layout.xaxis.range[1] > 6
