"""The directions of any model: arrows and hulls where they are, labels that cover nothing, and models over sparsity."""

import re
from itertools import combinations

import numpy as np
import pytest
from plots import equal, plain, scrubbed, without_controls

from toylib import figures
from toylib.figures import style
from toylib.geometry import template, template_prism

PENTAGON = np.stack([f(2 * np.pi * np.arange(5) / 5 + 0.2) for f in (np.cos, np.sin)])
SINGLES = [(i,) for i in range(5)]
RNG = np.random.default_rng(0)
PAIRS = {"one": np.array([[1, -0.9, 0.1, 0], [0, 0.1, 1, -1]]), "two": RNG.normal(size=(2, 4))}
LEVELS = {"half": 0.5}
MODELS = RNG.normal(size=(3, 2, 4, 5))
PICTURES = {
    "directions": ((PENTAGON, SINGLES), {"title": "Title"}, 3 + 2 + 2, {"h₁"}, {"h₂"}),
    "planes": ((PAIRS, [(0, 1), (2, 3)]), {"title": "Title"}, 2 * (4 + 2 * 2 + 3), {""}, {""}),
    "plateaus": (
        ([0.9, 0.0, 0.5], MODELS),
        {"title": "Title", "levels": LEVELS},
        2,
        {"1/(1 − S)"},
        {"dimensionality D<sub>i</sub>"},
    ),
}


def drawn(W, sets=None, **options):
    n = np.shape(W)[1]
    return figures.directions(W, sets or [(i,) for i in range(n)], title="Title", **options)


def of(drawing, name):
    return [trace for trace in drawing.data if trace.get("name") == name]


def points(trace):
    return np.stack([np.asarray(trace[axis], float) for axis in "xyz" if axis in trace])


def segments(drawing, *names):
    """All lines that traces of these names show, (k, m, 2)."""
    traces = [trace for name in names for trace in of(drawing, name) if trace["mode"] == "lines"]
    found = np.concatenate([points(t).T.reshape(-1, 3, len(points(t)))[:, :2] for t in traces]).transpose(0, 2, 1)
    return found[np.isfinite(found).all((1, 2))]


def joined(drawing, W, *names):
    """The pairs of features that lines join."""
    ends = [[int(np.abs(W.T - end).sum(1).argmin()) for end in line.T] for line in segments(drawing, *names)]
    return {tuple(sorted(pair)) for pair in ends}


def named(drawing):
    """Label -> its place."""
    return {
        text: place
        for trace in of(drawing, "labels")
        for text, place in zip(trace["text"], points(trace).T, strict=True)
        if np.isfinite(place).all()
    }


def distance(point, line):
    a, b = line.T
    along = np.clip((point - a) @ (b - a) / max((b - a) @ (b - a), 1e-12), 0, 1)
    return np.linalg.norm(a + along * (b - a) - point)


def noted(drawing):
    return drawing.layout["annotations"][-1]["text"]


# In a plane


def test_a_pentagon():
    drawing = drawn(PENTAGON)
    (tips,) = of(drawing, "features")[1:]
    equal(points(tips), PENTAGON)
    np.testing.assert_allclose(tips["marker"]["angle"], np.degrees(np.arctan2(*PENTAGON)), atol=0.07)
    assert joined(drawing, PENTAGON, "edge between sets") == {(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)}
    assert joined(drawing, PENTAGON, "antipodal pair") == set()
    for text, place in named(drawing).items():
        own = PENTAGON[:, int(text) - 1]
        assert place @ own == pytest.approx(np.linalg.norm(place))  # straight outside of its tip
    assert noted(drawing) == ""
    assert {tips["marker"]["color"]} == {style.BLUE}  # single features are not sets to be told apart


@pytest.mark.parametrize(("size", "tick"), [(0.03, 0.02), (1, 1), (4, 1), (50, 50), (99, 50)])
def test_ticks_are_apart_and_on_the_axes(size, tick):
    for W in (PENTAGON, np.vstack([PENTAGON, PENTAGON[:1]])):
        layout = figures.directions(size * W[:, :5] / np.sqrt(len(W) - 1), SINGLES, title="Title", reach=size).layout
        side = layout["xaxis"] if len(W) == 2 else layout["scene"]["zaxis"]
        assert side["tickvals"] == pytest.approx([-tick, 0, tick])
        assert side["range"][1] > tick


def test_a_square_has_two_antipodal_pairs_and_the_rest_is_said():
    W = np.array([[1, 0, -0.95, 0, 0.01], [0, 0.9, 0.05, -1, 0]])
    drawing = drawn(W, [(0, 2), (1, 3), (4,)])
    assert joined(drawing, W, "antipodal pair") == {(0, 2), (1, 3)}
    assert joined(drawing, W, "edge between sets") == {(0, 1), (1, 2), (2, 3), (0, 3)}
    assert noted(drawing) == "not represented: 5"
    assert set(named(drawing)) == {"1", "2", "3", "4"}
    colors = {trace["line"]["color"]: trace for trace in of(drawing, "features") if trace["mode"] == "lines"}
    assert list(colors) == [style.BLUE, style.ORANGE, style.GREEN]


def test_an_edge_of_a_set_has_its_colour():
    W = np.array([[1, 0.2, -1, -0.3], [0, 1, 0.3, -1]])
    drawing = drawn(W, [(0, 1), (2, 3)])
    assert joined(drawing, W, "edge of a set") == {(0, 1), (2, 3)}
    assert joined(drawing, W, "edge between sets") == {(1, 2), (0, 3)}
    assert [trace["line"]["color"] for trace in of(drawing, "edge of a set")] == [style.BLUE, style.ORANGE]


@pytest.mark.parametrize("n", [1, 2, 6, 20, 30])
@pytest.mark.parametrize("kind", ["random", "collapsed", "line", "short"])
def test_labels_cover_neither_each_other_nor_a_line(n, kind):
    """As pixels on a phone: 250 of them are 2 · 1.32, and a label is 16 wide and 13 high."""
    rng = np.random.default_rng(n)
    W = rng.normal(size=(2, n)) / 2
    if kind == "collapsed":  # three directions
        W = rng.normal(size=(2, 3))[:, np.arange(n) % 3] * rng.uniform(0.3, 1, n)
    if kind == "line":
        W = W[:1]
    if kind == "short":
        W[:, n // 2 :] *= 0.1
    reach = max(1, np.linalg.norm(W, axis=0).max())
    drawing = drawn(W)
    pixel = 2 * 1.32 * reach / 250
    places = named(drawing)
    assert len(places) == n - noted(drawing).count(",") - noted(drawing).count("represented")
    for a, b in combinations(places.values(), 2):
        assert np.linalg.norm(a - b) > 13 * pixel
    for line in segments(drawing, "features", "edge between sets", "antipodal pair"):
        for place in places.values():
            assert distance(place, line) > 8 * pixel


def test_many_features_have_no_labels():
    drawing = drawn(RNG.normal(size=(2, 400)), [range(0, 100), range(100, 400)])
    assert named(drawing) == {}
    assert sum(len(trace["x"]) for trace in of(drawing, "features") if trace["mode"] == "markers") == 400


def test_one_dimension_is_a_line():
    drawing = drawn(np.array([[1.0, -0.5]]))
    assert drawing.layout["yaxis"]["visible"] is False
    equal(points(of(drawing, "features")[1]), [[1, -0.5], [0, 0]])


def test_importance_is_opacity():
    weight = np.array([1, 0.5, 0.25, 0.5, 0])
    drawing = drawn(PENTAGON, importance=weight)
    shades = {text: trace["opacity"] for trace in of(drawing, "features")[1::2] for text in trace["text"]}
    assert [shades[str(j + 1)] for j in range(5)] == [1.0, 0.6, 0.4, 0.6, 0.2]
    assert {trace["opacity"] for trace in of(drawing, "features")[::2]} == {1.0, 0.6, 0.4, 0.2}


# In space


def test_a_cube_has_its_twelve_edges_and_no_diagonals():
    """Also where it is only nearly one, as after training."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]).T / np.sqrt(3)
    W = corners + RNG.normal(size=corners.shape) / 100
    drawing = drawn(W, [(0, 1, 2, 3), (4, 5, 6, 7)])
    expected = {pair for pair in combinations(range(8), 2) if (corners[:, pair[0]] != corners[:, pair[1]]).sum() == 1}
    assert joined(drawing, W, "edge between sets", "edge of a set") == expected
    assert joined(drawing, W, "antipodal pair") == {(0, 7), (1, 6), (2, 5), (3, 4)}
    assert {trace["type"] for trace in drawing.data} == {"scatter3d"}


SPACES = {
    "antipodal pairs": 1.1 * np.eye(3)[:, [0, 0, 1, 1, 2, 2]] * [1, -1, 1, -1, 1, -1],
    "octahedron": template("octahedron"),
    "prism": template_prism(0.8, 0.6, 5),
    "points": template("pca"),
    "square antiprism": np.array([[*f(2 * np.pi * np.arange(8) / 8)] for f in (np.cos, np.sin)] + [[0.5, -0.5] * 4]),
    "five": np.array([[1, -0.5, -0.5, 0, 0], [0, 0.87, -0.87, 0, 0], [0, 0, 0, 1, -1.2]]),
    "a line and its ends": np.array([[1.0, 1, 1, -1, -1, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0.1]]),
    "small": np.random.default_rng(1).normal(size=(3, 6)) / 50,
    "many": np.random.default_rng(2).normal(size=(3, 20)) / 3,
    "longer": 5 * np.random.default_rng(3).normal(size=(3, 7)),
}


def screen(scene, points, height):
    """Where the first camera shows points (3, k), in pixels: plotly sees 45 degrees in the height of a scene."""
    (low, high), camera = scene["xaxis"]["range"], scene["camera"]
    eye, center = (np.array([camera[name][x] for x in "xyz"]) for name in ("eye", "center"))
    z = (eye - center) / np.linalg.norm(eye - center)
    x = np.array([-z[1], z[0], 0]) / np.hypot(*z[:2])
    right, up, back = np.linalg.solve(np.stack([x, np.cross(z, x), z], axis=1), points / (high - low) - eye[:, None])
    return np.stack([right, up]) / -back * height / 2 / np.tan(np.pi / 8)


@pytest.mark.parametrize("name", SPACES)
def test_labels_in_space_cover_neither_each_other_nor_a_line(name):
    """From the first camera, in pixels; in small scenes too. Two digits are 14 wide and 11 high, and smaller there."""
    W = SPACES[name]
    n = W.shape[1]
    sets = [tuple(range(n // 2)), tuple(range(n // 2, n))]
    pictures = [
        (figures.directions(W, sets, title="Title"), 380, 1),
        (figures.polyhedron(W, sets, title="Title"), 380, 1),
        (figures.branches(W, sets, height=30, title="Title"), 0.9 * 300, 0.85),
        (figures.stages({"it": W}, sets, title="Title"), 0.92 * 290, 0.85),
    ]
    for drawing, height, size in pictures:
        scene = drawing.layout["scene"]
        places = np.stack([*named(drawing).values()], axis=1)
        assert len(places.T) == n
        assert np.abs(places).max() < scene["xaxis"]["range"][1]  # or plotly would not show it
        shown = screen(scene, places, height).T
        for a, b in combinations(shown, 2):
            assert np.linalg.norm(a - b) > 14 * size
        names = {t["name"] for t in drawing.data if t["type"] == "scatter3d" and t["mode"] == "lines"}
        for line in segments(drawing, *names - {"to its label"}):
            ends = screen(scene, line, height)
            assert min(distance(place, ends) for place in shown) > 9 * size
        (leaders,) = of(drawing, "to its label")
        assert np.isfinite(points(leaders)).sum() == 2 * 3 * n


# Of more dimensions


def test_more_dimensions_are_numbers_in_the_order_of_the_features():
    W = np.random.default_rng(5).normal(size=(4, 6))
    W[:, 2] = 0
    drawing = drawn(W, [(0, 1, 2), (3, 4, 5)], importance=[1, 1, 1, 1, 0, 0])
    gram, bars, dots = drawing.data
    equal(gram["z"], W.T @ W)
    norms = np.linalg.norm(W, axis=0)
    equal(bars["y"], norms)
    assert bars["marker"]["color"] == [style.BLUE] * 3 + [style.ORANGE] * 3
    assert bars["marker"]["opacity"] == [1.0] * 4 + [0.2] * 2
    live = norms > 0
    D = np.full(6, np.nan)
    D[live] = norms[live] ** 4 / np.square(W.T @ W).sum(1)[live]
    np.testing.assert_allclose(dots["y"], D, rtol=1e-5)
    assert drawing.layout["yaxis2"]["range"][1] > norms.max()


# All of one shape move


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_traces_are_those_of_the_shape(m):
    """Whatever W is: at the origin, collapsed, flat, trained, dead in part or diverged."""
    rng = np.random.default_rng(m)
    sets = [(0, 1), (2, 3), (4, 5, 6)]
    W = rng.normal(size=(m, 7))
    flat = np.vstack([W[:1], 0 * W[1:]])
    models = [0 * W, W, flat, W[:, [0] * 7], W * (np.arange(7) > 3), np.where(W.max() == W, np.nan, W), 1e-9 * W]
    first = figures.directions(W, sets, title="Title", reach=3)
    for model in models:
        drawing = figures.directions(model, sets, title="Title", reach=3)
        first.changes(drawing)
        assert [trace["name"] for trace in drawing.data if "name" in trace] == [
            t["name"] for t in first.data if "name" in t
        ]
        assert {k: v for k, v in drawing.layout.items() if k not in ("annotations", "shapes")} == {
            k: v for k, v in first.layout.items() if k not in ("annotations", "shapes")
        }
        if np.isnan(model).any():
            assert noted(drawing) == "diverged: W is not finite"
            assert named(drawing) == {}
            seen = [trace["y"] for trace in drawing.data if trace["type"] == "bar" or trace.get("mode") == "markers"]
            assert seen
            assert not np.isfinite(np.concatenate(seen)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W": np.ones(3)}, "W must have shape (any, any), none empty, got (3,); pass what belongs together"),
        ({"sets": [(0, 1)]}, "sets must hold each of 5 features, got [(0, 1)]; take them from features.sets"),
        (
            {"sets": [(0.0, 1.0, 2.0, 3.0, 4.0)]},
            "sets must hold each of 5 features, got [(0.0, 1.0, 2.0, 3.0, 4.0)]; take them from features.sets",
        ),
        ({"sets": None}, "sets must be a sequence, got None; pass a list"),
        (
            {"importance": [1, -1, 1, 1, 1]},
            "importance must be finite, at least 0, not all 0, got array([ 1., -1.,  1.,  1.,  1.]); leave it out",
        ),
        (
            {"importance": [0] * 5},
            "importance must be finite, at least 0, not all 0, got array([0., 0., 0., 0., 0.]); leave it out",
        ),
        (
            {"importance": [1, 2]},
            "importance must have shape (5), none empty, got (2,); pass what belongs together",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}$"):
        figures.directions(**({"W": PENTAGON, "sets": SINGLES} | change), title="Title")


# Several models


def test_planes_are_side_by_side_on_axes_of_one_scale():
    drawing = figures.planes(PAIRS, [(0, 1), (2, 3)], title="Title")
    tips = [trace for trace in of(drawing, "features") if trace["mode"] == "markers"]
    assert [trace["xaxis"] for trace in tips] == ["x", "x", "x2", "x2"]
    equal(np.hstack([points(trace) for trace in tips[:2]]), PAIRS["one"])
    equal(np.hstack([points(trace) for trace in tips[2:]]), PAIRS["two"])
    assert drawing.layout["xaxis"]["range"] == drawing.layout["yaxis2"]["range"]
    assert [note["text"] for note in drawing.layout["annotations"]] == ["one", "two"]
    assert drawing.layout["xaxis"]["domain"][1] < drawing.layout["xaxis2"]["domain"][0]
    sick = figures.planes({**PAIRS, "two": PAIRS["two"] * [1, 1, 1, np.nan]}, [(0, 1), (2, 3)], title="Title")
    assert [note["text"] for note in sick.layout["annotations"]] == ["one", "two: diverged"]
    with pytest.raises(ValueError, match=r"^there must be at least one model by its name, got \{\}; pass name -> W$"):
        figures.planes({}, [(0,)], title="Title")
    with pytest.raises(ValueError, match=r"^W of two must have shape \(2, 4\)"):
        figures.planes({**PAIRS, "two": np.ones((2, 3))}, [(0, 1), (2, 3)], title="Title")


def test_plateaus_are_dimensionalities_over_one_over_density():
    Ss, models = [0.9, 0.0, 0.5], MODELS.copy()
    models[0, 1] = np.nan
    drawing = figures.plateaus(Ss, models, title="Title", levels=LEVELS)
    dots, line = drawing.data
    x, y = points(dots).reshape(2, 3, 10)
    for row, i in enumerate((1, 2, 0)):  # by sparsity
        gram = np.einsum("cmi,cmj->cij", models[i], models[i])
        norm2 = np.einsum("cii->ci", gram)
        np.testing.assert_allclose(y[row], (norm2**2 / np.square(gram).sum(2)).ravel(), rtol=1e-4)
        at = 1 / (1 - Ss[i])
        assert np.all(np.abs(np.log(x[row] / at)) < np.log(2) / 2)  # nearer to it than to the next, at twice as much
        assert len({*x[row]}) == 10
        assert line["y"][row] == pytest.approx(np.nanmean(4 / norm2.sum(1)), rel=1e-5)
    equal(line["x"], [1, 2, 10])
    (shape,) = drawing.layout["shapes"]
    assert shape["y0"] == 0.5
    assert [note["text"] for note in drawing.layout["annotations"]] == ["half", "m/‖W‖²"]
    alone = figures.plateaus([0.5], np.full((1, 2, 3), np.nan), title="Title")
    assert np.isnan(points(alone.data[0])[1]).all()
    assert len(alone.layout["shapes"]) == 6
    for odd in ([0.5, 0.5, 0.6], [0.5, 0.6, 1.0]):
        with pytest.raises(ValueError, match=r"^Ss must be in \[0, 1\) and differ, got "):
            figures.plateaus(odd, MODELS, title="Title")
    for odd in (np.nan, np.inf, -1, "x"):
        with pytest.raises((ValueError, TypeError), match=r"^levels of a must be "):
            figures.plateaus(Ss, MODELS, title="Title", levels={"a": odd})
    for ragged in ("x", [[[1, 2], [3]]]):
        with pytest.raises(TypeError, match=r"^Ws must be numbers, got "):
            figures.plateaus([0.5], ragged, title="Title")
    assert figures.plateaus([0.5], MODELS[:1], title="Title", levels={1: 0.5}).layout["annotations"]
    with pytest.raises(ValueError, match=r"^Ws must have shape \(2, any, any, any\), none empty, got \(3, 2, 4, 5\)"):
        figures.plateaus([0.5, 0.6], MODELS, title="Title")


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_a_slider_can_be_baked_in(m):
    """Every stop sets the same properties, those at which nothing is represented too."""
    W = np.random.default_rng(m).normal(size=(m, 6))
    baked = figures.frames(lambda scale: drawn(scale * W, reach=4), scale=[0.0, 0.5, 1.0, np.nan])
    assert len(baked.frames) == 4
    end = scrubbed(baked, ["0.50", "1.00"])[0]
    assert end == without_controls(plain(drawn(W, reach=4)))[0]
