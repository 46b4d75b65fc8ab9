"""The polyhedron, stages and stories of any number of sets, in one and two dimensions and in more than three."""

import numpy as np
import pytest
from arrangements import orthogonal, polygon, run_of, sets_of
from plots import equal, plain

from toylib.features import Anticorrelated, Correlated
from toylib.figures import branches, directions, planes, polyhedron, stages, story, style
from toylib.geometry import templates, trajectory, upright

AXES = "xyz"


def parts(figure):
    """Return the traces of a polyhedron by their names."""
    return {trace.name: trace for trace in figure.data if trace.name}


def corners(named, sets):
    """Return the columns as they are drawn in space, (3, n)."""
    points = np.empty((3, sum(map(len, sets))))
    for i, s in enumerate(sets, 1):
        points[:, list(s)] = [named[f"set {i}"][axis] for axis in AXES]
    return points


def ends(trace):
    """Return the segments that a trace of lines shows, as rounded pairs of points."""
    points = np.stack([np.asarray(trace[axis], float) for axis in AXES], 1).reshape(-1, 3, 3)[:, :2]
    return {frozenset(tuple(np.round(end, 3) + 0.0) for end in pair) for pair in points if np.isfinite(pair).all()}


def pairs(points, *chosen):
    points = np.float32(points)
    return {frozenset(tuple(np.round(points[:, k].astype(float), 3) + 0.0) for k in pair) for pair in chosen}


def flat(W):
    """Return models of one or two dimensions as they lie in a plane."""
    return np.vstack([W, np.zeros((2 - len(W), W.shape[1]))])


def tips(traces, n):
    """Return the columns as arrows end there in a plane, (2, n)."""
    points = np.full((2, n), np.nan)
    for trace in traces:
        if trace["name"] == "features" and trace["mode"] == "markers":
            assert trace["type"] == "scatter"
            points[:, [int(text) - 1 for text in trace["text"]]] = trace["x"], trace["y"]
    return points


@pytest.mark.parametrize("m", [1, 2])
def test_a_plane_and_a_line_are_drawn_as_directions_are(m):
    """Without WebGL: alone, as stages on axes of one scale, and beside a tree."""
    sets = sets_of(2, 3)
    W = polygon(5)[:m]
    alone = directions(W, sets, title="Title", reach=2)
    assert plain(polyhedron(W, sets, title="Title", reach=2)) == plain(alone)
    models = {"half": W / 2, "whole": W}
    assert plain(stages(models, sets, title="Title", reach=2)) == plain(planes(models, sets, title="Title", reach=2))
    drawing = branches(W, sets, height=2, title="Title", reach=2)
    beside = [trace for trace in drawing.data if trace["xaxis"] == "x2"]
    assert len(beside) == len(alone.data)
    for trace, own in zip(beside, alone.data, strict=True):
        if own["name"] not in ("labels", "to its label"):  # which are larger beside a tree
            equal([trace["x"], trace["y"]], [own["x"], own["y"]])
    assert drawing.layout["xaxis2"]["range"] == drawing.layout["yaxis2"]["range"] == alone.layout["xaxis"]["range"]
    assert drawing.layout["yaxis2"]["scaleanchor"] == "x2"
    assert drawing.layout["yaxis2"].get("visible") == alone.layout["yaxis"].get("visible")


def test_every_set_has_its_colour_and_a_third_none_that_means_antipodes():
    W = templates(sets_of(2, 2, 2), 3)["octahedron, antipodes between sets"]
    named = parts(polyhedron(W, sets_of(2, 2, 2), title="Title").figure())
    assert [named[f"set {i}"].marker.color for i in (1, 2, 3)] == list(style.SET_COLORS[:3])
    assert named["antipodal pair"].line.color == style.INK
    for size, wanted in ((2, [*style.SET_COLORS, style.SET_COLORS[0]]), (1, [style.BLUE] * 5)):
        many = parts(polyhedron(np.eye(3, 5 * size), sets_of(*[size] * 5), title="Title").figure())
        assert [many[f"set {i}"].marker.color for i in range(1, 6)] == wanted


def test_more_than_three_dimensions_are_seen_along_the_strongest():
    sets = sets_of(4, 4)
    rng = np.random.default_rng(0)
    W = orthogonal(0, 5) @ np.diag([1.2, 1, 0.8, 0.4, 0.1]) @ rng.normal(size=(5, 8)) / 2
    figure = polyhedron(W, sets, title="Title").figure()
    points = corners(parts(figure), sets)
    equal(points, (upright(W, sets) @ W)[:3])
    shown, all_of_it = np.square(points).sum(), np.square(np.linalg.svd(W, compute_uv=False))
    assert shown == pytest.approx(all_of_it[:3].sum(), rel=0.02)
    titles = [figure.layout.scene[f"{axis}axis"].title.text for axis in AXES]
    assert titles == ["strongest", "second", "third"]
    again = polyhedron(orthogonal(1, 5) @ W, sets, title="Title").figure()
    np.testing.assert_allclose(corners(parts(again), sets), points, atol=1e-4)


def test_antipodes_are_those_of_all_dimensions():
    sets = sets_of(4, 4)
    W = templates(sets, 4)["cross-polytope, antipodes between sets"]
    figure = polyhedron(W, sets, title="Title").figure()
    points = corners(parts(figure), sets)
    opposite = [(i, j) for i in range(4) for j in range(4, 8) if W[:, i] @ W[:, j] < -0.9]
    assert ends(parts(figure)["antipodal pair"]) == pairs(points, *opposite)
    assert len(opposite) == 4


def test_stages_of_four_dimensions_are_seen_from_the_side_of_the_last():
    sets = sets_of(4, 4)
    found = templates(sets, 4)
    models = {"early": found["pca"], "late": orthogonal(2, 4) @ found["cross-polytope, antipodes between sets"]}
    models["diverged"] = np.full((4, 8), np.nan)
    figure = stages(models, sets, title="Title").figure()
    turn = upright(models["late"], sets)
    for scene, W in zip(("scene", "scene2"), models.values(), strict=False):
        named = {trace.name: trace for trace in figure.data if trace.scene == scene}
        equal(corners(named, sets), (turn @ W)[:3])
    assert len({sum(trace.scene == f"scene{i}" for trace in figure.data) for i in ("", 2, 3)}) == 1
    lost = stages({"a": models["diverged"]}, sets, title="Title").figure()
    assert np.isnan(corners(parts(lost), sets)).all()


SQUARE = templates(sets_of(2, 2), 2)["square, antipodes between sets"]
CUBE = templates(sets_of(4, 4), 4)
RUNS = {
    "pairs on a line": (Correlated(2, 2), [(np.zeros((1, 4)), 2), (np.array([[0.5, 0.6, -0.5, -1.3]]), 2)]),
    "pairs in a plane": (Correlated(2, 2), [(0 * SQUARE, 2), (templates(sets_of(2, 2), 2)["pca"], 2), (SQUARE, 2)]),
    "one set in a plane": (Anticorrelated(1, 5), [(0 * polygon(5), 2), (1.2 * polygon(5), 2)]),
    "three pairs": (Correlated(3, 2), [(np.zeros((3, 6)), 2), (np.hstack([np.eye(3), -np.eye(3)]), 2)]),
    "four dimensions": (
        Correlated(2, 4),
        [
            (0 * CUBE["pca"], 2),
            (CUBE["pca"], 2),
            (orthogonal(1, 4) @ CUBE["cross-polytope, antipodes between sets"], 2),
        ],
    ),
    "diverged": (Correlated(2, 2), [(SQUARE, 2), (np.full((2, 4), np.nan), 2)]),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_story_of_any_size_keeps_its_traces_and_axes(name):
    features, models = RUNS[name]
    run = run_of(*models)
    told = trajectory(run, features, 0.9)
    fixed, lengths = [], []
    for at, step in enumerate(run.steps.tolist()):
        options = {"title": "Run", "levels": {"level": 0.5}, "twin": np.ones(len(run.steps))}
        figure = story(told, features.sets, step=step, **options).figure()
        W = told.weights[at]
        if len(W) > 2:
            equal(corners(parts(figure), features.sets), W[:3])
        else:
            equal(tips(figure.data, W.shape[1]), flat(W))
            assert {trace.xaxis for trace in figure.data if trace.name == "features"} == {"x4"}
            assert figure.layout.yaxis4.scaleanchor == "x4"
        (gram,) = (trace for trace in figure.data if trace.type == "heatmap")
        np.testing.assert_allclose(gram.z, run.weights[at].T @ run.weights[at], atol=1e-5)
        moving = ("edge of a set", "edge between sets", "antipodal pair") if len(W) < 3 else ()
        lengths.append([(t.type, t.name, None if t.name in moving else np.size(t.x)) for t in figure.data])
        fixed.append({k: v for k, v in figure.layout.to_plotly_json().items() if k != "title"})
    assert all(other == lengths[0] for other in lengths[1:])
    assert all(other == fixed[0] for other in fixed[1:])
    colours = len(features.sets)
    above = 2 + 2 * colours + 1 + 1 + colours if len(W) > 2 else 2 + colours + 2 * colours + 1 + colours
    assert len(lengths[0]) == above + 1 + 2 + 1 + 3 + 1
    assert (figure.layout.scene.xaxis.range is None) == (len(W) < 3)
    if len(W) > 2:  # from further away where the axes have longer names
        near = polyhedron(W, features.sets, title="Run").layout["scene"]["camera"]["eye"]["x"]
        assert figure.layout.scene.camera.eye.x == pytest.approx(near * (1.3 if len(W) > 3 else 1))
    notes = {note.text for note in figure.layout.annotations}
    assert "twist / 60°" not in notes
    assert "energy in sets" in notes
    assert {f"<b>{phase.name[0]}</b>" for phase in told.phases} <= notes
