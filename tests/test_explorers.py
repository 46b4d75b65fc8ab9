"""Explorers moved through every stop against their drawings; errors, reset, Play, stored forms, no compilation."""

import asyncio
import json
import re
from functools import partial
from itertools import pairwise, product

import ipywidgets as widgets
import jax
import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from ipywidgets.widgets.widget import _instances  # all that are open; the public list is deprecated
from plots import plain

from toylib import attacks, explorers, sweeps
from toylib.adversarial import Limits
from toylib.ensembles import trained
from toylib.explorers import Control, Explorer
from toylib.features import Anticorrelated, Correlated
from toylib.model import Params
from toylib.training import train_ensemble

GRID = np.arange(24.0).reshape(2, 3, 4)
AMOUNT, STEP = ["A = 0.1", "A = 0.2"], ["0", "10", "20"]


def draw(amount, step):
    traces = [{"type": "scatter", "y": GRID[amount, step]}, {"type": "bar", "y": np.zeros(2)}]
    return {"data": traces, "layout": {"title": {"text": f"{amount} {step}"}, "yaxis": {"range": [0, 24]}}}


CONTROLS = {"amount": Control(AMOUNT, "how much"), "step": Control(STEP, "how far")}


def explorer(**options):
    return Explorer("test", draw, CONTROLS, **options)


def listen(shown):
    """Return a list that grows with each message from the plot of an explorer to the browser."""
    messages = []
    shown._plot.send = messages.append
    return messages


def parts(shown):
    """Return all widgets that an explorer shows, by their class."""
    found, queue = {}, [shown._view]
    while queue:
        widget = queue.pop(0)
        found.setdefault(type(widget).__name__, []).append(widget)
        queue += getattr(widget, "children", ())
    return found


def error(shown):
    (html,) = parts(shown)["HTML"]
    return html.value


# Moving


def test_every_stop_shows_its_drawing():
    shown = explorer()
    messages = listen(shown)
    stops = [*product(range(2), range(3)), (0, 0)]
    for amount, step in stops:
        shown.sliders["amount"].index = amount
        shown.sliders["step"].index = step
        assert plain(shown.figure) == plain(draw(amount, step)) == plain(shown.drawing())
        np.testing.assert_array_equal(shown.figure.data[0].y, GRID[amount, step])
        assert shown.figure.layout.title.text == f"{amount} {step}"
    moved = sum(a != b for before, after in pairwise(stops) for a, b in zip(before, after, strict=True))
    assert len(messages) == moved
    assert all(list(message["traces"]) == [0] and set(message["layout"]) == {"title"} for message in messages)
    assert error(shown) == ""


def test_sliders_have_names_and_units():
    shown = explorer(start={"step": 2})
    assert list(shown.sliders) == ["amount", "step"]
    assert [slider.description for slider in shown.sliders.values()] == ["amount", "step"]
    assert [label for label, _ in shown.sliders["amount"].options] == AMOUNT
    assert [label for label, _ in shown.sliders["step"].options] == STEP
    assert shown.sliders["step"].label == "20"
    assert all(slider.continuous_update for slider in shown.sliders.values())
    assert parts(shown)["SelectionSlider"] == list(shown.sliders.values())
    assert parts(shown)["Plot"] == [shown._plot]
    assert [slider.tooltip for slider in shown.sliders.values()] == [
        "how much (arrow keys, Home, End)",
        "how far (arrow keys, Home, End)",
    ]
    assert all(button.tooltip for button in (*parts(shown)["Button"], *parts(explorer(play="step"))["Play"]))


def test_start_and_reset():
    shown = explorer(start={"step": 1})
    assert [slider.index for slider in shown.sliders.values()] == [0, 1]
    assert plain(shown.figure) == plain(draw(0, 1))
    shown.sliders["amount"].index, shown.sliders["step"].index = 1, 2
    assert plain(shown.figure) == plain(draw(1, 2))
    shown.reset()
    assert [slider.index for slider in shown.sliders.values()] == [0, 1]
    assert plain(shown.figure) == plain(draw(0, 1))
    shown.sliders["step"].index = 0
    (button,) = (button for button in parts(shown)["Button"] if button.description == "Reset")
    button.click()
    assert shown.sliders["step"].index == 1
    assert plain(shown.figure) == plain(draw(0, 1))


def test_play_runs_through_the_stops_in_the_browser(monkeypatch):
    links = []
    monkeypatch.setattr(widgets, "jslink", lambda source, target: links.append((source, target)))
    shown = explorer(play="step", start={"step": 1})
    (play,) = parts(shown)["Play"]
    assert (play.min, play.max, play.value, play.step) == (0, 2, 1, 1)
    assert play.interval > 0
    assert links == [((play, "value"), (shown.sliders["step"], "index"))]
    assert "Play" not in parts(explorer())
    assert len(links) == 1


def test_play_is_linked_without_python(monkeypatch):
    """The real jslink is a widget that holds both ends."""
    made = []
    jslink = widgets.jslink
    monkeypatch.setattr(widgets, "jslink", lambda *ends: made.append(jslink(*ends)) or made[-1])
    shown = explorer(play="amount")
    (link,) = made
    assert link.source == (parts(shown)["Play"][0], "value")
    assert link.target == (shown.sliders["amount"], "index")


def test_sliders_that_move_together_cost_one_drawing():
    drawn = []
    shown = Explorer("test", lambda **at: drawn.append(at) or draw(**at), CONTROLS)
    messages = listen(shown)
    drawn.clear()
    shown.move(amount=1, step=2)
    assert drawn == [{"amount": 1, "step": 2}]
    assert len(messages) == 1
    shown.reset()
    assert drawn[1:] == [{"amount": 0, "step": 0}]

    async def in_a_kernel():
        shown.sliders["amount"].index = 1
        shown.sliders["step"].index = 1
        assert len(drawn) == 2
        await asyncio.sleep(0.02)
        assert drawn[2:] == [{"amount": 1, "step": 1}]
        shown.sliders["step"].index = 2
        assert shown.figure.layout.title.text == "1 2"  # whoever looks sees the last state
        await asyncio.sleep(0.02)
        assert drawn[3:] == [{"amount": 1, "step": 2}]

    asyncio.run(in_a_kernel())
    assert len(messages) == 4
    with pytest.raises(ValueError, match=r"only controls move, got \['time'\]; there are \['amount', 'step'\]"):
        shown.move(step=0, time=1)
    assert len(messages) == 4
    assert error(shown) == ""


def test_a_closed_explorer_leaves_nothing_behind():
    before = set(_instances)
    shown = explorer(play="step")
    drawn = listen(shown)
    slider = shown.sliders["step"]
    assert set(_instances) > before
    shown.close()
    assert set(_instances) == before
    slider.index = 2
    assert drawn == []


# Errors


def test_an_error_is_shown_and_the_figure_stays():
    def fragile(step):
        if step == 1:
            raise RuntimeError("no <b>such</b> step")
        if step == 2:
            return {"data": [], "layout": {}}
        return draw(0, 0)

    shown = Explorer("test", fragile, {"step": Control(["0", "10", "20", "30"], "how far")})
    messages = listen(shown)
    before = plain(shown.figure)
    for step, text in ((1, "RuntimeError: no &lt;b&gt;such&lt;/b&gt; step"), (2, "drawings must have the same traces")):
        shown.sliders["step"].index = step
        assert text in error(shown)
        assert "<b>" not in error(shown)
        assert plain(shown.figure) == before
        assert messages == []
    shown.sliders["step"].index = 3
    assert error(shown) == ""
    assert plain(shown.figure) == before
    shown.sliders["step"].index = 1
    assert "RuntimeError" in error(shown)
    shown.reset()
    assert error(shown) == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"controls": {}}, r"an explorer needs controls with at least one stop each, got \{\}"),
        (
            {"controls": {**CONTROLS, "step": Control([], "")}},
            "an explorer needs controls with at least one stop each, got",
        ),
        ({"play": "time"}, r"play and start must name controls, got \['time'\]; there are \['amount', 'step'\]"),
        ({"start": {"time": 1}}, r"play and start must name controls, got \['time'\]; there are"),
        ({"play": "step", "start": {"step": 1, "x": 0}}, r"play and start must name controls, got \['x'\]"),
    ],
)
def test_arguments_are_checked(arguments, message):
    arguments = {"name": "test", "draw": draw, "controls": CONTROLS} | arguments
    with pytest.raises(ValueError, match=message):
        Explorer(**arguments)


# Stored


def test_stored_forms():
    shown = explorer(play="step")
    shown.sliders["step"].index = 2
    bundle = shown._repr_mimebundle_()
    assert set(bundle) >= {"text/plain", "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == "<explorer: test>"
    assert bundle["application/vnd.plotly.v1+json"] == go.Figure(draw(0, 2)).to_dict()
    json.dumps(bundle)
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == shown._view.model_id


def test_stored_forms_of_two_sessions_compare_equal():
    bundles = [explorer()._repr_mimebundle_() for _ in range(2)]
    views = [bundle.pop("application/vnd.jupyter.widget-view+json") for bundle in bundles]
    assert bundles[0] == bundles[1]
    assert views[0] != views[1]


# The explorers of the notebooks

SPARSITIES = (0.5, 0.8, 0.9)


def test_samples(compiled):
    distributions = {"correlated": Correlated(2, 3), "one of three": Anticorrelated(2, 3)}
    rng = np.random.default_rng(0)
    u = {name: np.float32(rng.random((12, d.n_uniforms))) for name, d in distributions.items()}
    shown = explorers.samples(distributions, SPARSITIES, u)
    compiled.clear()
    pictures = []
    for stop in (1, 2, 0):
        shown.sliders["sparsity"].index = stop
        assert shown.sliders["sparsity"].label == f"S = {SPARSITIES[stop]:.2f}"
        assert error(shown) == ""
        pictures.append(plain(shown.figure))
        assert pictures[-1] == plain(shown.drawing())
        assert shown.figure.layout.title.text == f"Samples at S = {SPARSITIES[stop]:.2f}"
    assert compiled == []
    assert len({json.dumps(picture["data"]) for picture in pictures}) == 3
    # Drawn are the samples, and with one stream of uniforms a feature that is on stays on as S falls.
    for panel, (name, d) in enumerate(distributions.items()):
        seen = np.concatenate([trace.z for trace in shown.figure.data[2 * panel : 2 * panel + 2]])
        np.testing.assert_array_equal(seen, np.asarray(d.from_uniforms(0.5, u[name])).T)
    shown.sliders["sparsity"].index = 1
    sparser = np.concatenate([trace.z for trace in shown.figure.data[:2]])
    first = np.asarray(distributions["correlated"].from_uniforms(0.5, u["correlated"])).T
    assert 0 < np.count_nonzero(sparser) < np.count_nonzero(first)
    assert ((sparser == first) | (sparser == 0)).all()


@pytest.fixture(scope="module")
def geometry():
    """A tiny ensemble of two sparsities and two seeds with its twins: it has hardly left the origin."""
    features, Ss = Correlated(2, 3), (0.8, 0.9)
    keys = jax.random.split(jax.random.key(0), 2)
    options = {"n_hidden": 3, "n_steps": 6, "population": True, "snapshots": (0, 2, 6), "scale": 0.3}
    levels = {S: {"PCA": (1 - S) / 3} for S in Ss}
    runs, labelled = [], []
    for linear in (False, True):
        runs.append(train_ensemble(features, np.array(Ss), keys, linear=linear, **options))
        fixed = {"features": features, "keys": keys, "linear": linear, **options}
        found = sweeps.run(trained, {"S": Ss, "seed": range(2)}, batch=4, progress=False, **fixed)
        labelled.append(found.assign_coords(step=list(options["snapshots"])))
    return *runs, explorers.geometry(*labelled, features, levels.__getitem__)


def curve(figure, name):
    (trace,) = (trace for trace in figure.data if trace.name == name)
    return trace


def test_geometry_at_every_stop(geometry, compiled):
    runs, twins, shown = geometry
    assert {name: slider.index for name, slider in shown.sliders.items()} == {"sparsity": 1, "seed": 0, "step": 2}
    assert [[label for label, _ in slider.options] for slider in shown.sliders.values()] == [
        ["S = 0.80", "S = 0.90"],
        ["0", "1"],
        ["0", "2", "6"],
    ]
    ranges = set()
    messages = listen(shown)
    for stops in product(range(2), range(2), range(3)):
        for slider, stop in zip(shown.sliders.values(), stops, strict=True):
            slider.index = stop
        a, c, t = stops
        assert error(shown) == ""
        assert plain(shown.figure) == plain(shown.drawing())
        np.testing.assert_array_equal(curve(shown.figure, "model").y, np.float32(runs.losses[a, c]))
        np.testing.assert_array_equal(curve(shown.figure, "linear twin").y, np.float32(twins.losses[a, c]))
        (gram,) = (trace.z for trace in shown.figure.data if trace.type == "heatmap")
        W = runs.weights[a, c, t]
        np.testing.assert_allclose(gram, W.T @ W, atol=1e-5)
        title = shown.figure.layout.title.text
        assert title == f"S = {(0.8, 0.9)[a]:.2f}, seed {c}: step {(0, 2, 6)[t]}"
        layout = shown.figure.layout
        ranges.add(tuple(layout[f"{axis}axis{k}"].range for axis in "xy" for k in range(2, 6)))
        low, high = 10 ** np.array(layout.yaxis2.range)
        assert low < min(runs.losses.min(), 0.1 / 3)
        assert high > runs.losses.max()
        level = next(shape for shape in layout.shapes if shape.type == "line")
        assert level.y0 == pytest.approx((0.2, 0.1)[a] / 3)
    assert len(ranges) == 1  # axes stay while scrubbing, from one sparsity to the other too
    assert len(messages) > 11
    assert compiled == []


def test_geometry_plays_through_the_steps(geometry):
    *_, shown = geometry
    (play,) = parts(shown)["Play"]
    assert play.max == 2
    assert "step" in play.tooltip
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == "<explorer: geometry>"
    assert bundle["application/vnd.plotly.v1+json"] == go.Figure(shown.drawing()).to_dict()


# Attacks

MODELS = np.random.default_rng(1)
W = np.float32(MODELS.normal(size=(3, 3, 6)))
B = np.float32(MODELS.normal(size=(3, 6)) / 5)
W[2, :, 1] = 0  # a dead feature
INPUTS = np.float32(MODELS.random((3, 4, 6)) * (MODELS.random((3, 4, 6)) < 0.5))
INPUTS[:, 2] = 0
FRACTIONS, MEAN_NORMS = (0.0, 0.1, 0.5), (1.2, 0.9, 0.4)
KEY = jax.random.key(0)
ATTACKS = {
    "most harmful feature": partial(attacks.analytic, signs="±"),
    "one step": partial(attacks.one_step, key=KEY),
    "search": partial(attacks.pgd, key=KEY, n_steps=5, restarts=2),
}


def attack_explorer(**options):
    return explorers.attack(
        Params(*map(jax.numpy.asarray, (W, B))), SPARSITIES, FRACTIONS, MEAN_NORMS, INPUTS, ATTACKS, **options
    )


@pytest.fixture(scope="module")
def attack():
    return attack_explorer()


def output(a, x):
    return np.maximum(W[a].T @ (W[a] @ x) + B[a], 0)


def harm(a, x, delta):
    return np.square(output(a, x + delta) - x).sum()


def expected_delta(name, a, x, radius):
    G = W[a].T @ W[a]
    if name == "most harmful feature":
        norms = np.linalg.norm(G, axis=1, keepdims=True)
        rows = np.concatenate([G, -G]) / np.concatenate([np.maximum(norms, 1e-30)] * 2)
        return radius * max(rows, key=lambda row: harm(a, x, radius * row))
    if name == "one step":
        y = output(a, x)
        slope = G @ ((y - x) * (y > 0))
        return radius * slope / max(np.linalg.norm(slope), 1e-30)
    return np.asarray(ATTACKS[name](Params(*map(jax.numpy.asarray, (W[a], B[a]))), x, radius))


def test_attack_at_every_stop(attack):
    labels = [[label for label, _ in slider.options] for slider in attack.sliders.values()]
    assert list(attack.sliders) == ["sparsity", "norm", "attack", "sample"]
    assert labels == [
        [f"S = {S:.2f}" for S in SPARSITIES],
        ["0.00 · E‖x‖", "0.10 · E‖x‖", "0.50 · E‖x‖"],
        list(ATTACKS),
        ["1", "2", "3", "4"],
    ]
    seen, frames = set(), set()
    for stops in product(range(3), range(3), range(3), range(4)):
        for slider, stop in zip(attack.sliders.values(), stops, strict=True):
            slider.index = stop
        assert error(attack) == ""
        a, r, k, s = stops
        x, radius, name = INPUTS[a, s], FRACTIONS[r] * MEAN_NORMS[a], list(ATTACKS)[k]
        delta = expected_delta(name, a, x, radius)
        drawn = {
            "x": x,
            "x + δ": x + delta,
            "δ/‖δ‖": delta / max(np.linalg.norm(delta), 1e-30),
            "target x": x,
            "before": output(a, x),
            "after": output(a, x + delta),
        }
        for part, values in drawn.items():
            np.testing.assert_allclose(curve(attack.figure, part).y, values, atol=2e-5)
        title = attack.figure.layout.title.text
        wanted = f"S = {SPARSITIES[a]:.2f}, {name}, {labels[1][r]}, sample {s + 1}: V = "
        assert title.startswith(wanted)
        if r == 0:
            assert title == wanted + "–"
        else:
            V = (harm(a, x, delta) - harm(a, x, 0 * x)) / radius**2
            assert float(title.removeprefix(wanted)) == pytest.approx(V, rel=0.006, abs=1e-3)
        *_, heading = attack.figure.layout.annotations
        before, after = map(float, re.findall(r"e = ([-+.\de]+)", heading.text))
        assert before == pytest.approx(harm(a, x, 0 * x), rel=0.006)
        assert after == pytest.approx(harm(a, x, delta), rel=0.006)
        limits = [attack.figure.layout[axis].range for axis in ("yaxis", "yaxis2", "yaxis3")]
        frames.add((attack.figure.layout.xaxis.range, *limits))
        for limit, parts in zip(limits, (["x + δ"], ["δ/‖δ‖"], ["before", "after", "x"]), strict=True):
            for part in parts:
                assert limit[0] < np.min(drawn[part])
                assert np.max(drawn[part]) < limit[1]
        seen.add(title)
    assert len(seen) == 3**3 * 4
    assert len(frames) == 1  # axes stay while scrubbing


def test_every_slider_of_attack_moves_the_figure(attack):
    attack.reset()
    first = plain(attack.figure)
    assert [slider.index for slider in attack.sliders.values()] == [1, 1, 0, 0]
    for name, slider in attack.sliders.items():
        before = plain(attack.figure)
        slider.index = slider.index + 1
        assert plain(attack.figure)["data"] != before["data"], name
        assert plain(attack.figure) == plain(attack.drawing())
    attack.reset()
    assert plain(attack.figure) == first
    assert attack._repr_mimebundle_()["text/plain"] == "<explorer: attack>"


@pytest.mark.parametrize("limits", [None, Limits((-1, 2), (-1, 1), (-1, 9))])
def test_attack_compiles_nothing_while_scrubbing(compiled, limits):
    shown = attack_explorer(limits=limits)
    assert compiled
    compiled.clear()
    messages = listen(shown)
    for slider in shown.sliders.values():
        for stop in (*range(len(slider.options)), 0):
            slider.index = stop
    for k in range(len(ATTACKS)):
        for name, stop in (("attack", k), ("norm", 0), ("norm", 2), ("sparsity", 2), ("sparsity", 0), ("sample", k)):
            shown.sliders[name].index = stop
    shown.reset()
    assert compiled == []
    assert error(shown) == ""
    assert len(messages) > 20
    if limits:
        assert tuple(shown.figure.layout[axis].range for axis in ("yaxis", "yaxis2", "yaxis3")) == limits


def test_attack_with_one_of_everything():
    params = Params(W[:1], B[:1])
    shown = explorers.attack(params, [0.9], [0.0], [1.0], INPUTS[:1, :1], {"nothing": lambda params, x, radius: 0 * x})
    assert shown.figure.layout.title.text == "S = 0.90, nothing, 0.00 · E‖x‖, sample 1: V = –"
    np.testing.assert_array_equal(curve(shown.figure, "x + δ").y, INPUTS[0, 0])
    assert error(shown) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Ss": (0.5, 0.8)}, r"one entry per model, got \{'params': 3, 'Ss': 2, 'mean_norms': 3, 'X': 3\}"),
        ({"mean_norms": (1.0,)}, r"one entry per model, got \{'params': 3, 'Ss': 3, 'mean_norms': 1, 'X': 3\}"),
        ({"X": INPUTS[:1]}, "one entry per model"),
        ({"fractions": ()}, "at least one norm, one attack and one sample, got none"),
        ({"attacks": {}}, "at least one norm, one attack and one sample, got none"),
        ({"X": INPUTS[:, :0]}, "at least one norm, one attack and one sample, got none"),
    ],
)
def test_arguments_of_attack_are_checked(change, message):
    arguments = {"Ss": SPARSITIES, "fractions": FRACTIONS, "mean_norms": MEAN_NORMS, "X": INPUTS, "attacks": ATTACKS}
    with pytest.raises(ValueError, match=message):
        explorers.attack(Params(W, B), **(arguments | change))


# Adversarial training

TRAINED = xr.DataArray(
    np.random.default_rng(3).normal(size=(2, 3, 4, 2, 5)).astype(np.float32),
    {"training": ["one step", "noise"], "density": [0.01, 0.3, 0.1], "norm": [0.0, 0.1, 0.8, 1.25]},
    ("training", "density", "norm", "hidden", "feature"),
)


def test_robust_at_every_stop_compiles_nothing(compiled):
    shown = explorers.robust(TRAINED.transpose("hidden", "norm", "training", "feature", "density"))
    labels = [[label for label, _ in slider.options] for slider in shown.sliders.values()]
    assert list(shown.sliders) == ["attack", "sparsity", "norm"]
    assert labels == [
        ["one step", "noise"],
        ["S = 0.70", "S = 0.90", "S = 0.99"],
        ["0.00 · E‖x‖", "0.10 · E‖x‖", "0.80 · E‖x‖", "1.25 · E‖x‖"],
    ]
    compiled.clear()
    seen, axes = set(), set()
    for attack, sparsity, norm in product(range(2), range(3), range(4)):
        for slider, stop in zip(shown.sliders.values(), (attack, sparsity, norm), strict=True):
            slider.index = stop
        assert error(shown) == ""
        W = TRAINED.values[attack, (1, 2, 0)[sparsity], norm].astype(float)
        norms = np.linalg.norm(W, axis=0)
        order = np.argsort(-norms)
        gram, bars, points = shown.figure.data
        np.testing.assert_allclose(bars.y, norms[order], rtol=1e-5)
        np.testing.assert_allclose(gram.z, W.T[order] @ W[:, order], atol=1e-5)
        D = norms**4 / np.square(W.T @ W).sum(1)
        np.testing.assert_allclose(points.y, np.where(norms > 0.5, D, np.nan)[order], rtol=1e-4)
        title = shown.figure.layout.title.text
        assert title.startswith(f"{labels[0][attack]}, {labels[1][sparsity]}, norm ")
        assert title.endswith(f": {(norms > 0.5).sum()} features kept")
        seen.add(title)
        axes.add((shown.figure.layout.xaxis2.range, shown.figure.layout.yaxis2.range))
    assert len(seen) == 24
    assert len(axes) == 1
    assert compiled == []
    (play,) = parts(shown)["Play"]
    assert play.max == 3


def test_weights_of_robust_are_checked():
    with pytest.raises(ValueError, match="dimensions training, density, norm, hidden, feature, got training, density"):
        explorers.robust(TRAINED[:, :, 0])
