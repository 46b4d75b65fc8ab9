"""The polyhedron of a model and the story of a run: what they draw, and axes that stay while a reader scrubs."""

import jax.numpy as jnp
import numpy as np
import pytest
from plots import equal

from toylib import figures
from toylib.features import Correlated
from toylib.figures import branches, polyhedron, stages, story, style
from toylib.geometry import template, template_prism, trajectory
from toylib.model import Params
from toylib.training import Run

SETS = ((0, 1, 2), (3, 4, 5))
PLANES = {"early": template("pca"), "late": template("octahedron"), "last": np.zeros((3, 6))}
STEPS = (0, 5, 20, 100, 400, 1000, 3000)
LEVELS = {"PCA": 0.033, "octahedron": 0.01}
TWIN = np.linspace(0.2, 0.03, 7)


@pytest.fixture(scope="module")
def run():
    """A run from the origin over the collapsed sets to the octahedron; log-spaced steps, the first at 0."""
    collapsed, lines = template("pca"), np.array([[0] * 6, [0] * 6, [-0.4, 0, 0.4, -0.4, 0, 0.4]])
    models = [0 * collapsed, 0.1 * collapsed, collapsed, collapsed, collapsed + lines, template_prism(1.1, 0.5, 20)]
    weights = np.float32([*models, template("octahedron")])
    losses = np.array([0.2, 0.19, 0.05, 0.034, 0.03, 0.02, 0.01])
    params = Params(jnp.asarray(weights[-1]), jnp.zeros(6))
    trained = Run(params, np.array(STEPS), losses, weights, np.zeros((7, 6)), np.array(False))
    return trajectory(trained, Correlated(2, 3), 0.9)


def test_features_in_no_sets_have_one_colour():
    drawn = polyhedron(np.eye(3), ((0,), (1,), (2,)), title="Title").data
    assert {trace["marker"]["color"] for trace in drawn if trace.get("name", "").startswith("set ")} == {style.BLUE}


def story_at(run, step, **options):
    return story(run, SETS, step=step, title="Run", levels=LEVELS, twin=TWIN, **options).figure()


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
    named = parts(polyhedron(W, SETS, title="Title").figure())
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
    named = parts(polyhedron(W, SETS, title="Title").figure())
    assert ends(named["edge to the other set"]) == pairs(W, (0, 3), (1, 3), (2, 3))
    assert ends(named["antipodal pair"]) == pairs(W, (0, 5))


def test_a_model_of_zeros_has_no_edges():
    for W in (np.zeros((3, 6)), 0.04 * template("octahedron")):
        named = parts(polyhedron(W, SETS, title="Title").figure())
        assert len(segments(named["antipodal pair"])) == 0
        assert len(segments(named["edge to the other set"])) == 0
    assert not np.any(
        [segments(parts(polyhedron(PLANES["last"], SETS, title="Title").figure())[f"edge of set {i}"]) for i in (1, 2)]
    )


def test_only_coordinates_depend_on_the_model():
    """Traces keep number, type and length, so that frames may move them; the axes keep their range."""
    drawn = [polyhedron(W, SETS, title="Title").figure() for W in PLANES.values()]
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


def test_a_set_has_one_colour_everywhere(run):
    picture = figures.gallery({"one": (np.ones((4, 6)), SETS)}, title="Title").figure()
    solid = parts(polyhedron(template("octahedron"), SETS, title="Title").figure())
    told = parts(story_at(run, 100))
    for i in range(2):
        colour = style.SET_COLORS[i]
        assert picture.data[i].colorscale[1][1] == colour
        for named in (solid, told):
            assert named[f"set {i + 1}"].marker.color == colour
            assert named[f"edge of set {i + 1}"].line.color == colour


def test_stages_shows_a_scene_a_model():
    figure = stages(PLANES, SETS, title="Title").figure()
    assert {trace.scene for trace in figure.data} == {"scene", "scene2", "scene3"}
    right = 0.0
    cameras = set()
    for number, (name, W) in enumerate(PLANES.items(), 1):
        scene = "scene" + str(number) * (number > 1)
        named = {trace.name: trace for trace in figure.data if trace.scene == scene}
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


def test_story_draws_the_trajectory(run):
    figure = story_at(run, 100)
    drawn = curves(figure)
    expected = {
        "model": run.losses,
        "linear twin": TWIN,
        "PCA overlap": np.where(run.steps <= 100, run.overlap, np.nan),  # through phase B
        "energy in sets": run.within_energy,
        "twist / 60°": run.twist / 60,
    }
    assert set(drawn) == set(expected)
    for name, values in expected.items():
        equal(drawn[name].x, np.maximum(run.steps, 1))
        equal(drawn[name].y, values)
    panels = {"model": "loss", "PCA overlap": "share"}
    for name, title in panels.items():
        assert figure.layout["yaxis" + drawn[name].yaxis[1:]].title.text == title
        assert figure.layout["xaxis" + drawn[name].xaxis[1:]].type == "log"
    assert drawn["linear twin"].yaxis == drawn["model"].yaxis
    assert drawn["twist / 60°"].yaxis == drawn["energy in sets"].yaxis == drawn["PCA overlap"].yaxis
    assert figure.layout.yaxis2.type == "log"
    assert figure.layout.yaxis3.type is None


@pytest.mark.parametrize(("at", "step"), list(enumerate(STEPS)))
def test_story_shows_the_snapshot(run, at, step):
    figure = story_at(run, step)
    W = run.weights[at]
    named = parts(figure)
    equal([named["set 1"].x, named["set 1"].y, named["set 1"].z], W[:, :3])
    (gram,) = (trace for trace in figure.data if trace.type == "heatmap")
    equal(gram.z, W.T @ W)
    assert (gram.zmin, gram.zmax) == (-1, 1)
    cursors = [trace for trace in figure.data if trace.type == "scatter" and not trace.name]
    assert [trace.yaxis for trace in cursors] == ["y2", "y3"]
    for trace in cursors:
        equal(trace.x, [max(10, step)] * 2)  # the axis begins at step 10
        limits = figure.layout["yaxis" + trace.yaxis[1:]].range
        equal(np.log10(trace.y) if trace.yaxis == "y2" else trace.y, limits)
    assert figure.layout.title.text == f"Run: step {step:,}"


@pytest.mark.parametrize("step", [7, -1, 3001])
def test_a_story_is_told_at_its_snapshots(run, step):
    with pytest.raises(ValueError, match=f"^step must be one of a snapshot, got {step}; take one of run.steps$"):
        story_at(run, step)


def test_axes_of_a_story_stay_while_scrubbing(run):
    def fixed(step):
        return {k: v for k, v in story_at(run, step).layout.to_plotly_json().items() if k != "title"}

    assert all(fixed(step) == fixed(0) for step in STEPS[1:])
    layout = story_at(run, 0).layout
    assert all(layout[f"{axis}axis{k}"].range for axis in "xy" for k in (2, 3))
    assert layout.xaxis2.range == pytest.approx((1, np.log10(3000)))
    low, high = 10 ** np.array(layout.yaxis2.range)
    assert low < 0.01 < 0.2 < high
    given = story_at(run, 0, loss_range=(0.001, 1.0)).layout
    assert given.yaxis2.range == pytest.approx((-3, 0))
    sick = run._replace(losses=np.where(run.steps < 1000, run.losses, np.nan))
    assert story_at(sick, 0).layout.yaxis2.range == pytest.approx(np.log10([0.5 * 0.01, 1.5 * 0.2]))


def test_levels_and_phases_of_a_story(run):
    """On a logarithmic axis plotly wants shapes in units of the axis, and annotations in powers of ten."""
    layout = story_at(run, 0).layout
    notes = {note.text: note for note in layout.annotations}
    dashed = [shape for shape in layout.shapes if shape.type == "line"]
    for shape, (name, level) in zip(dashed, LEVELS.items(), strict=True):
        assert shape.y0 == shape.y1 == level
        assert (shape.xref, shape.yref, shape.line.dash) == ("x2 domain", "y2", "dash")
        assert notes[name].y == pytest.approx(np.log10(level))
        assert notes[name].yref == "y2"
    assert [phase.name for phase in run.phases] == ["A", "B", "C", "D"]
    spans = [(10, 20), (20, 100), (100, 400), (400, 3000)]
    assert [tuple(phase[1:]) for phase in run.phases] == [(0, 20), *spans[1:]]
    for letter, span in zip("ABCD", spans, strict=True):
        note = notes[f"<b>{letter}</b>"]
        assert note.xref == "x2"
        assert note.x == pytest.approx(np.log10(span).mean())
    bands = {(shape.x0, shape.x1): [] for shape in layout.shapes if shape.type == "rect"}
    for shape in layout.shapes:
        if shape.type == "rect":
            bands[shape.x0, shape.x1].append((shape.xref, shape.yref, shape.y0, shape.y1))
    panels = [(f"x{k}", f"y{k} domain", 0, 1) for k in (2, 3)]
    assert bands == {spans[0]: panels, spans[2]: panels}  # every second phase is shaded, over all curves


def test_axes_hold_what_is_longer():
    """Of a model, of all that stand beside each other, and of a run at all its steps; they are the usual ones else."""
    W = template("octahedron")
    for scale, options, reach in ((0.1, {}, 1.2), (1.1, {}, 1.2), (2.01, {}, 2.2), (2, {"reach": 3}, 3)):
        for m, key, room in ((3, "scene", 1.1), (2, "xaxis", 1.32)):
            own = scale * (W if m == 3 else W[[0, 2]] / np.linalg.norm(W[[0, 2]], axis=0).max())
            drawings = [
                polyhedron(own, SETS, title="t", **options),
                stages({"small": own / 9, "it": own}, SETS, title="t", **options),
                branches(own, SETS, height=9, title="t", **options),
            ]
            keys = [key, key, "scene" if m == 3 else "xaxis2"]
            for drawing, name in zip(drawings, keys, strict=True):
                found = drawing.layout[name]["zaxis"] if m == 3 else drawing.layout[name]
                assert found["range"] == pytest.approx([-room * reach, room * reach])


def test_axes_of_a_story_hold_the_run(run):
    longer = run._replace(weights=2 * run.weights)
    at_first, at_last = (story_at(longer, step).layout.scene.yaxis.range for step in (0, 3000))
    longest = 2 * np.linalg.norm(run.weights, axis=1).max()
    assert at_first == at_last == pytest.approx((-1.1 * 2.6, 1.1 * 2.6))
    assert 2.4 < longest < 2.6
    assert story_at(run, 0, reach=4).layout.scene.yaxis.range == pytest.approx((-4.4, 4.4))
