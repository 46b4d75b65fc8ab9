"""The explorers of the notebooks at every stop, against the models that they show; no compilation while scrubbing."""

import re
from functools import partial
from itertools import product

import jax
import numpy as np
import pytest
import xarray as xr
from plots import plain

from toylib import attacks, explorers, sweeps
from toylib.features import Anticorrelated, Correlated
from toylib.figures import Limits
from toylib.geometry import template, template_prism
from toylib.model import Params
from toylib.training import train_ensemble

SPARSITIES = (0.5, 0.8, 0.9)


def raises(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def figure(shown):
    """Return what the plot of an explorer holds, as a figure of its own."""
    return shown._plot.drawing.figure()


def listen(shown):
    """Return a list that grows with each message from the plot of an explorer to the browser."""
    messages = []
    shown._plot.send = messages.append
    return messages


def error(shown):
    return shown._error.value


def player(shown):
    """Return the Play button of an explorer."""
    buttons = shown.children[len(shown.sliders)]
    (play,) = (button for button in buttons.children if type(button).__name__ == "Play")
    return play


def labels_of(shown):
    return [[label for label, _ in slider.options] for slider in shown.sliders.values()]


# Geometry


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
        found = sweeps.run(sweeps.train_points, {"S": Ss, "seed": range(2)}, batch=4, progress=False, **fixed)
        labelled.append(found.assign_coords(step=list(options["snapshots"])))
    return *runs, explorers.geometry(*labelled, features, levels.__getitem__)


def curve(figure, name):
    (trace,) = (trace for trace in figure.data if trace.name == name)
    return trace


def test_geometry_at_every_stop(geometry, compiled):
    runs, twins, shown = geometry
    assert {name: slider.index for name, slider in shown.sliders.items()} == {"sparsity": 1, "seed": 0, "step": 2}
    assert labels_of(shown) == [
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
        now = figure(shown)
        assert plain(now) == plain(shown.drawing())
        np.testing.assert_array_equal(curve(now, "model").y, np.float32(runs.losses[a, c]))
        np.testing.assert_array_equal(curve(now, "linear twin").y, np.float32(twins.losses[a, c]))
        (gram,) = (trace.z for trace in now.data if trace.type == "heatmap")
        W = runs.weights[a, c, t]
        np.testing.assert_allclose(gram, W.T @ W, atol=1e-5)
        title = now.layout.title.text
        assert title == f"S = {(0.8, 0.9)[a]:.2f}, seed {c}: step {(0, 2, 6)[t]}"
        layout = now.layout
        ranges.add(tuple(layout[f"{axis}axis{k}"].range for axis in "xy" for k in (2, 3)))
        low, high = 10 ** np.array(layout.yaxis2.range)
        assert low < min(runs.losses.min(), 0.1 / 3)
        assert high > runs.losses.max()
        level = next(shape for shape in layout.shapes if shape.type == "line")
        assert level.y0 == pytest.approx((0.2, 0.1)[a] / 3)
    assert len(ranges) == 1  # axes stay while scrubbing, from one sparsity to the other too
    assert len(messages) > 11
    assert compiled == []


def test_geometry_opens_where_the_turn_comes_near_the_octahedron():
    """Phase D lasts here from step 20 to 100."""
    features, steps = Correlated(2, 3), [0, 20, 30, 62, 100, 120]
    lines = template("pca") + np.array([[0] * 6, [0] * 6, [-0.4, 0, 0.4, -0.4, 0, 0.4]])
    turns = [template_prism(1.1, 0.5, angle) for angle in (5, 15)]
    W = np.float32([0 * lines, lines, *turns, template("octahedron"), template("octahedron")])
    run = Params(W[None, None], np.zeros((1, 1, 6, 6), np.float32))
    losses = (("S", "seed", "step"), np.linspace(0.2, 0.01, 6)[None, None])
    names = {"weights": ("hidden", "feature"), "biases": ("feature",)}
    fields = {k: (("S", "seed", "step", *names[k]), v) for k, v in zip(names, run, strict=True)}
    data = xr.Dataset(
        {"losses": losses, "diverged": (("S", "seed"), np.zeros((1, 1), bool)), **fields},
        coords={"S": [0.9], "seed": [0], "step": steps},
    )
    shown = explorers.geometry(data, data, features, lambda S: {"PCA": (1 - S) / 3})
    assert steps[shown.sliders["step"].index] == 100


@pytest.mark.parametrize(
    ("features", "m"), [(Anticorrelated(1, 5), 2), (Correlated(3, 2), 3), (Correlated(2, 4), 4)], ids=str
)
def test_geometry_of_any_sets_in_any_dimensions(features, m, compiled):
    steps, n = (0, 20, 40), features.n_features
    rng = np.random.default_rng(m)
    W = rng.normal(size=(2, 2, 1, m, n)) * np.array([0.01, 0.5, 1])[:, None, None]
    fields = {
        "weights": (("S", "seed", "step", "hidden", "feature"), W.astype(np.float32)),
        "biases": (("S", "seed", "step", "feature"), np.zeros((2, 2, 3, n), np.float32)),
        "losses": (("S", "seed", "step"), rng.uniform(0.01, 0.2, (2, 2, 3))),
        "diverged": (("S", "seed"), np.zeros((2, 2), bool)),
    }
    data = xr.Dataset(fields, coords={"S": [0.8, 0.9], "seed": [0, 1], "step": list(steps)})
    shown = explorers.geometry(data, data, features, lambda S: {"level": (1 - S) / 3})
    compiled.clear()
    fixed = []
    for S, seed, step in product((0.8, 0.9), range(2), steps):
        shown.move(sparsity=S, seed=seed, step=step)
        assert error(shown) == ""
        now = figure(shown)
        (gram,) = (trace.z for trace in now.data if trace.type == "heatmap")
        w = data.weights.sel(S=S, seed=seed, step=step).values
        np.testing.assert_allclose(gram, w.T @ w, atol=1e-4)
        corners = [curve(now, f"set {i + 1}") for i in range(len(features.sets))]
        assert [len(trace.x) for trace in corners] == [len(s) for s in features.sets]
        fixed.append((len(now.data), now.layout.scene, now.layout.yaxis2.range, now.layout.yaxis3.range))
    assert all(other == fixed[0] for other in fixed)
    assert compiled == []


def test_geometry_plays_through_the_steps(geometry):
    *_, shown = geometry
    play = player(shown)
    assert play.slider is shown.sliders["step"]
    assert "step" in play.tooltip
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == "<explorer: sparsity, seed, step>"
    assert bundle["application/vnd.plotly.v1+json"] == shown.drawing().figure().to_dict()


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
    "one step": attacks.one_step,
    "search": partial(attacks.pgd, n_steps=5, restarts=2),
}


def attack_explorer(**options):
    return explorers.attack(
        Params(*map(jax.numpy.asarray, (W, B))), SPARSITIES, FRACTIONS, MEAN_NORMS, INPUTS, ATTACKS, key=KEY, **options
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
    return np.asarray(ATTACKS[name](Params(*map(jax.numpy.asarray, (W[a], B[a]))), x, radius, key=KEY))


def test_attack_at_every_stop(attack):
    labels = labels_of(attack)
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
        shown = figure(attack)
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
            np.testing.assert_allclose(curve(shown, part).y, values, atol=2e-5)
        title = shown.layout.title.text
        wanted = f"S = {SPARSITIES[a]:.2f}, {name}, {labels[1][r]}, sample {s + 1}: V = "
        assert title.startswith(wanted)
        if r == 0:
            assert title == wanted + "–"
        else:
            V = (harm(a, x, delta) - harm(a, x, 0 * x)) / radius**2
            assert float(title.removeprefix(wanted)) == pytest.approx(V, rel=0.006, abs=1e-3)
        *_, heading = shown.layout.annotations
        before, after = map(float, re.findall(r"e = ([-+.\de]+)", heading.text))
        assert before == pytest.approx(harm(a, x, 0 * x), rel=0.006)
        assert after == pytest.approx(harm(a, x, delta), rel=0.006)
        limits = [shown.layout[axis].range for axis in ("yaxis", "yaxis2", "yaxis3")]
        frames.add((shown.layout.xaxis.range, *limits))
        for limit, parts in zip(limits, (["x + δ"], ["δ/‖δ‖"], ["before", "after", "x"]), strict=True):
            for part in parts:
                assert limit[0] < np.min(drawn[part])
                assert np.max(drawn[part]) < limit[1]
        seen.add(title)
    assert len(seen) == 3**3 * 4
    assert len(frames) == 1  # axes stay while scrubbing


def test_every_slider_of_attack_moves_the_figure(attack):
    attack.reset()
    first = plain(figure(attack))
    assert [slider.index for slider in attack.sliders.values()] == [1, 1, 0, 0]
    for name, slider in attack.sliders.items():
        before = plain(figure(attack))
        slider.index = slider.index + 1
        assert plain(figure(attack))["data"] != before["data"], name
        assert plain(figure(attack)) == plain(attack.drawing())
    attack.reset()
    assert plain(figure(attack)) == first
    assert attack._repr_mimebundle_()["text/plain"] == "<explorer: sparsity, norm, attack, sample>"


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
    shown.move(sparsity=0.9, norm=0.5, attack="search", sample=4)
    assert shown._plot.drawing.title.startswith("S = 0.90, search, 0.50 · E‖x‖, sample 4: V = ")
    shown.reset()
    assert compiled == []
    assert error(shown) == ""
    assert len(messages) > 20
    if limits:
        assert tuple(figure(shown).layout[axis].range for axis in ("yaxis", "yaxis2", "yaxis3")) == limits


def test_attack_with_one_of_everything():
    def nothing(params, x, radius, *, key):
        return 0 * x

    params = Params(W[:1], B[:1])
    shown = explorers.attack(params, [0.9], [0.0], [1.0], INPUTS[:1, :1], {"nothing": nothing}, key=KEY)
    assert figure(shown).layout.title.text == "S = 0.90, nothing, 0 · E‖x‖, sample 1: V = –"
    np.testing.assert_array_equal(curve(figure(shown), "x + δ").y, INPUTS[0, 0])
    assert error(shown) == ""


NONE = "there must be at least one norm, one attack and one sample, got none; pass some"


def lengths(**changed):
    got = {"params": 3, "Ss": 3, "mean_norms": 3, "X": 3} | changed
    return f"params, Ss, mean_norms and X must have one entry per model, got {got}; pass as many"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Ss": (0.5, 0.8)}, lengths(Ss=2)),
        ({"mean_norms": (1.0,)}, lengths(mean_norms=1)),
        ({"X": INPUTS[:1]}, lengths(X=1)),
        ({"fractions": ()}, NONE),
        ({"attacks": {}}, NONE),
        ({"X": INPUTS[:, :0]}, NONE),
        (
            {"X": INPUTS * np.nan},
            f"X must be finite, got NaN or infinity in {INPUTS.size} of {INPUTS.size} entries; attack models that have "
            "not diverged, on finite inputs",
        ),
    ],
)
def test_arguments_of_attack_are_checked(change, message):
    arguments = {"Ss": SPARSITIES, "fractions": FRACTIONS, "mean_norms": MEAN_NORMS, "X": INPUTS, "attacks": ATTACKS}
    with raises(message):
        explorers.attack(Params(W, B), **(arguments | change), key=KEY)


# Adversarial training

TRAINED = xr.DataArray(
    np.random.default_rng(3).normal(size=(2, 3, 4, 2, 5)).astype(np.float32),
    {"training": ["one step", "noise"], "density": [0.01, 0.3, 0.1], "norm": [0.0, 0.1, 0.8, 1.25]},
    ("training", "density", "norm", "hidden", "feature"),
)


def test_robust_at_every_stop_compiles_nothing(compiled):
    shown = explorers.robust(TRAINED.transpose("hidden", "norm", "training", "feature", "density"))
    labels = labels_of(shown)
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
        now = figure(shown)
        gram, bars, points = now.data
        np.testing.assert_allclose(bars.y, norms[order], rtol=1e-5)
        np.testing.assert_allclose(gram.z, W.T[order] @ W[:, order], atol=1e-5)
        D = norms**4 / np.square(W.T @ W).sum(1)
        kept = norms > 0.5 * norms.max()
        np.testing.assert_allclose(points.y, np.where(kept, D, np.nan)[order], rtol=1e-4)
        title = now.layout.title.text
        assert title.startswith(f"{labels[0][attack]}, {labels[1][sparsity]}, norm ")
        assert title.endswith(f": {kept.sum()} features kept")
        seen.add(title)
        axes.add((now.layout.xaxis2.range, now.layout.yaxis2.range))
    assert len(seen) == 24
    assert len(axes) == 1
    assert compiled == []
    assert player(shown).slider is shown.sliders["norm"]


def test_weights_of_robust_are_checked():
    wanted = "weights must have the dimensions training, density, norm, hidden, feature, got "
    with raises(f"{wanted}training, density, hidden, feature; rename them"):
        explorers.robust(TRAINED[:, :, 0])
    with raises(f"{wanted}stored, density, norm, hidden, feature; rename them"):
        explorers.robust(TRAINED.rename(training="stored"))


def test_robust_says_which_model_diverged():
    sick = TRAINED.where(TRAINED.norm != TRAINED.norm[0])
    shown = explorers.robust(sick)
    assert figure(shown).layout.title.text.endswith(": diverged")
    shown.sliders["norm"].index = 1
    assert figure(shown).layout.title.text.endswith(" features kept")
