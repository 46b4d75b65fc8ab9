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
KEY = jax.random.key(0)
SIX = Correlated(2, 3)


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
    return *runs, explorers.geometry(labelled[0], features, twins=labelled[1], levels=levels.__getitem__)


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
    shown = explorers.geometry(data, features, twins=data, levels=lambda S: {"PCA": (1 - S) / 3})
    assert steps[shown.sliders["step"].index] == 100


@pytest.mark.parametrize(
    ("features", "m"),
    [(Correlated(2, 2), 1), (Anticorrelated(1, 5), 2), (Correlated(3, 2), 3), (Correlated(2, 4), 4)],
    ids=str,
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
    shown = explorers.geometry(data, features, twins=data, levels=lambda S: {"level": (1 - S) / 3})
    compiled.clear()
    fixed = []
    for S, seed, step in product((0.8, 0.9), range(2), steps):
        shown.move(sparsity=S, seed=seed, step=step)
        assert error(shown) == ""
        now = figure(shown)
        (gram,) = (trace.z for trace in now.data if trace.type == "heatmap")
        w = data.weights.sel(S=S, seed=seed, step=step).values
        np.testing.assert_allclose(gram, w.T @ w, atol=1e-4)
        if m > 2:
            corners = [curve(now, f"set {i + 1}") for i in range(len(features.sets))]
        else:
            corners = [trace for trace in now.data if trace.name == "features" and trace.mode == "markers"]
            assert not any(trace.type == "scatter3d" for trace in now.data)
        drawn = np.concatenate([[trace[x] for x in "xyz"[: min(m, 3)]] for trace in corners], axis=1, dtype=float)
        if m < 4:  # of more dimensions three are drawn
            np.testing.assert_allclose(drawn.T @ drawn, w.T @ w, atol=1e-4)
        ranges = {
            name: axis["range"]
            for name, axis in shown._plot.drawing.layout.items()
            if name[1:5] == "axis" and "range" in axis
        }
        fixed.append((len(now.data), now.layout.scene, ranges))
    assert all(other == fixed[0] for other in fixed)
    assert compiled == []


def test_geometry_of_one_run_has_its_steps_alone():
    run = train_ensemble(SIX, [0.7], KEY[None], n_hidden=2, n_steps=6, snapshots=(0, 6), population=True).member(0, 0)
    shown = explorers.geometry(run, SIX, S=0.7)
    assert labels_of(shown) == [["0", "6"]]
    now = figure(shown)
    assert now.layout.title.text == "S = 0.7: step 6"
    assert "linear twin" not in [trace.name for trace in now.data]
    np.testing.assert_array_equal(curve(now, "model").y, np.float32(run.losses))
    last = run._replace(**{name: getattr(run, name)[1:] for name in ("steps", "losses", "weights", "biases")})
    alone = figure(explorers.geometry(last, SIX, S=0.7))
    assert curve(alone, "model").mode == "markers"
    assert alone.layout.xaxis2.range[0] < np.log10(6) <= alone.layout.xaxis2.range[1]
    with raises("S must be given where it is no axis, got none; pass what the models were trained at"):
        explorers.geometry(run, SIX)
    with raises("models must be of the 4 features given, got W of 6; pass the features that they were trained on"):
        explorers.geometry(run, Correlated(2, 2), S=0.7)
    with raises("twins must have the axes and steps of runs, got losses of shape (1,) for (2,); train them alike"):
        explorers.geometry(run, SIX, S=0.7, twins=last)


def test_geometry_of_an_ensemble_moves_over_its_axes(geometry):
    """As over a sweep of the same; one that diverged shows what there is of it."""
    runs, twins, swept = geometry
    shown = explorers.geometry(runs, Correlated(2, 3), S=(0.8, 0.9), twins=twins, levels={"PCA": 0.1})
    swept.move(sparsity=0.8, seed=1, step=6)
    shown.move(sparsity=0.8, seed=1, step=6)
    assert plain(figure(shown))["data"][:11] == plain(figure(swept))["data"][:11]
    sick = runs._replace(weights=np.copy(runs.weights), losses=np.copy(runs.losses))
    sick.weights[1, 0, 2], sick.losses[1, 0, 2] = np.nan, np.nan
    shown = explorers.geometry(sick, Correlated(2, 3), S=(0.8, 0.9))
    assert error(shown) == ""
    assert np.isfinite(figure(shown).layout.yaxis2.range).all()


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
FRACTIONS = (0.0, 0.1, 0.5)
MEAN_NORMS = [float(SIX.mean_norm(S)) for S in SPARSITIES]
ATTACKS = {
    "most harmful feature": partial(attacks.analytic, signs="±"),
    "one step": attacks.one_step,
    "search": partial(attacks.pgd, n_steps=5, restarts=2),
}


def attack_explorer(**options):
    fixed = {"attacks": ATTACKS, "fractions": FRACTIONS, "X": INPUTS, "key": KEY}
    return explorers.attack(Params(*map(jax.numpy.asarray, (W, B))), SIX, SPARSITIES, **(fixed | options))


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


def nothing(params, x, radius, *, key):
    return 0 * x


def test_attack_with_one_of_everything():
    """Where no axis has two stops, one slider stays."""
    params, only = Params(W[0], B[0]), {"attacks": {"nothing": nothing}, "fractions": [0.0]}
    shown = explorers.attack(params, SIX, 0.9, X=INPUTS[0, :1], **only)
    assert list(shown.sliders) == ["sample"]
    assert figure(shown).layout.title.text == "S = 0.9, nothing, 0 · E‖x‖, sample 1: V = –"
    np.testing.assert_array_equal(curve(figure(shown), "x + δ").y, INPUTS[0, 0])
    assert error(shown) == ""


def test_attack_on_one_model_draws_its_own_inputs(compiled):
    """Also where few inputs are not empty; the units of the norms are those of the distribution."""
    S, params = 0.99, Params(W[0], B[0])
    shown = explorers.attack(params, SIX, S, attacks={"one step": attacks.one_step}, fractions=(0.0, 2.0), n_samples=3)
    assert list(shown.sliders) == ["norm", "sample"]
    compiled.clear()
    drawn = set()
    for sample in (1, 2, 3):
        shown.move(norm=2.0, sample=sample)
        assert error(shown) == ""
        x = np.asarray(curve(figure(shown), "x").y)
        delta = np.asarray(curve(figure(shown), "x + δ").y) - x
        active = x[:3].any(), x[3:].any()
        assert sum(active) > 0
        assert all(on in (0, 3) for on in np.count_nonzero(x.reshape(2, 3), axis=1))
        assert np.linalg.norm(delta) == pytest.approx(2 * float(SIX.mean_norm(S)), rel=1e-4)
        drawn.add(tuple(x))
    assert len(drawn) == 3
    assert compiled == []


def test_attack_on_an_ensemble_of_a_run():
    """Sliders are its axes: those of train_ensemble, or as named; an axis of one stop has none."""
    run = train_ensemble(SIX, [0.5], jax.random.split(jax.random.key(3), 2), n_hidden=3, n_steps=1, population=True)
    only = {"attacks": {"nothing": nothing}, "fractions": [0.0, 1.0], "n_samples": 1}
    shown = explorers.attack(run, SIX, [0.5], **only)
    assert list(shown.sliders) == ["seed", "norm"]
    shown.move(seed=1)
    W, b = (np.asarray(leaf[0, 1]) for leaf in run.params)
    x = np.asarray(curve(figure(shown), "x").y)
    np.testing.assert_allclose(curve(figure(shown), "before").y, np.maximum(W.T @ (W @ x) + b, 0), atol=1e-6)
    assert figure(shown).layout.title.text.startswith("S = 0.50, seed 1, nothing, ")
    named = explorers.attack(run.member(0), SIX, 0.5, axes={"init": ["left", "right"]}, **only)
    assert list(named.sliders) == ["init", "norm"]
    message = "axes must not be called draw, play, start, norm, attack, sample, got norm; rename it"
    with raises(message):
        explorers.attack(run.member(0), SIX, 0.5, axes={"norm": [0, 1]}, **only)


NONE = "there must be at least one norm, one attack and one sample, got none; pass some"
SINGLE = "finite in single precision"
NAMES = "; pass such as axes={'S': [...], 'seed': [...]}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"S": (0.5, 0.8)}, "axes must name the leading axes (3,) of the models, got {'S': 2}" + NAMES),
        ({"axes": {}}, "axes must name the leading axes (3,) of the models, got {}" + NAMES),
        ({"S": None}, "S must be given where it is no axis, got none; pass what the models were trained at"),
        ({"S": 1.0}, "S must lie in [0, 1), got 1; pass what the models were trained at"),
        ({"X": INPUTS[:1]}, "X must have shape (s, 6), or (3,) before it, got (1, 4, 6); pass (..., s, n)"),
        ({"fractions": ()}, NONE),
        ({"attacks": {}}, NONE),
        ({"X": INPUTS[:, :0]}, NONE),
        (
            {"fractions": (-0.5, 1)},
            f"fractions must be at least 0 and {SINGLE}, got -0.5; norms are positive, 0 is no attack",
        ),
        (
            {"X": INPUTS * np.nan},
            f"X must be finite, got NaN or infinity in {INPUTS.size} of {INPUTS.size} entries; attack finite inputs",
        ),
        (
            {"models": Params(np.where(W == 0, np.nan, W), B)},
            "models must be finite, got NaN or infinity in 3 of 54 entries; attack those that have not diverged",
        ),
        (
            {"features": Correlated(2, 2)},
            "models must be of the 4 features given, got W of 6; pass the features that they were trained on",
        ),
        (
            {"X": None, "S": 1 - 1e-7},
            "inputs must not all be empty, got too few others at S = 1; pass X, or a smaller S",
        ),
    ],
)
def test_arguments_of_attack_are_checked(change, message):
    """Before anything is compiled."""
    arguments = {"S": SPARSITIES, "fractions": FRACTIONS, "X": INPUTS, "attacks": ATTACKS, "features": SIX}
    with raises(message):
        explorers.attack(**({"models": Params(W, B)} | arguments | change), key=KEY)


@pytest.mark.parametrize(
    "mine",
    [
        lambda params, x, radius, key: x[:2],
        lambda params, x, radius: x,
        lambda params, x, radius, key: np.array(x),
        None,
        "pgd",
    ],
)
def test_an_attack_of_ones_own_is_called_as_attacks_are(mine):
    rule = "mine must be called as mine(params, x (n,), radius, key=key) and return δ (n,), got "
    with pytest.raises(TypeError, match=f"^{re.escape(rule)}"):
        attack_explorer(attacks={"mine": mine})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attack_explorer(attacks="pgd"), "attacks must be name -> attack, got 'pgd'; pass such as "),
        (lambda: attack_explorer(X="x"), "X must be an array of real numbers, got 'x'; convert it first"),
        (lambda: attack_explorer(key=0), "key must come from jax.random.key, got 0; pass jax.random.key(seed)"),
        (
            lambda: explorers.attack(Params(1e12 * W, B), SIX, SPARSITIES, attacks=ATTACKS, X=INPUTS),
            "params, x and radius must keep pre-activations below 1e+18, ",
        ),
        (lambda: explorers.attack(W[0], SIX, 0.9), "models must be Params, a Run or a dataset of train_points, got "),
        (lambda: explorers.geometry(W[0], SIX, S=0.9), "runs must be a Run or a dataset of train_points, got ndarray"),
        *(
            (lambda axes=axes: explorers.robust(W, axes=axes), f"axes must be name -> list of stops, got {axes!r}; ")
            for axes in (["S"], "S", {"S": 3}, {1: [0, 1, 2]}, {"S": {"low": 0, "middle": 1, "high": 2}})
        ),
        (
            lambda: explorers.attack(Params(W, B), SIX, 0.3, axes={"S": SPARSITIES}),
            "S must be that of the axis S where there is one, got 0.3; leave it out",
        ),
        (lambda: explorers.robust(TRAINED, axes={}), "axes must be left out of what names its own, got {}; "),
        (
            lambda: explorers.robust(TRAINED.drop_vars("density")),
            "density must have a coordinate, got a dimension without; pass assign_coords(density=[...])",
        ),
        (
            lambda: explorers.robust(TRAINED.assign_coords(density=[0.1, 0.2, 3])),
            "density must lie in (0, 1], got 3; it is 1 - S",
        ),
        (lambda: explorers.robust(TRAINED * 1j), "weights must be an array of real numbers, got complex"),
        (lambda: explorers.robust(W * 1j), "weights must be an array of real numbers, got complex"),
    ],
)
def test_what_is_no_argument_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        call()


def test_levels_and_datasets_of_geometry_are_checked(geometry):
    runs, _, _ = geometry
    data = runs.to_xarray(S=[0.8, 0.9], seed=[0, 1])
    assert explorers.geometry(data.sel(S=0.9), SIX).drawing().title.startswith("S = 0.9, seed 0: ")
    for levels, message in (
        ({"a": "x"}, "levels of a must be a number, got 'x'; pass one"),
        (lambda S: 0.1, "levels must be name -> loss, or S -> such, got 0.1; pass a dict"),
    ):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            explorers.geometry(data, SIX, levels=levels)
    with raises("a dataset must be one of train_points, got none with weights; keep all that it returned"):
        explorers.geometry(data.drop_vars("weights"), SIX)
    with raises("S must have a coordinate, got a dimension without; pass assign_coords(S=[...])"):
        explorers.geometry(data.drop_vars("S"), SIX)


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
        assert title.endswith(f": {kept.sum()} features kept" if kept.sum() != 1 else ": 1 feature kept")
        seen.add(title)
        axes.add((now.layout.xaxis2.range, now.layout.yaxis2.range, norms.max() > 1.35))
        assert now.layout.yaxis2.range[1] > norms.max()
    assert len(seen) == 24
    assert len(axes) == len({longer for *_, longer in axes})  # one for those within the usual axis, one for others
    assert compiled == []
    assert player(shown).slider is shown.sliders["norm"]


def test_robust_takes_any_dimensions():
    shown = explorers.robust(TRAINED[:, 1, 2].rename(training="seed"))
    assert list(shown.sliders) == ["seed"]
    shown.move(seed="noise")
    W = TRAINED.values[1, 1, 2].astype(float)
    np.testing.assert_allclose(figure(shown).data[1].y, np.sort(np.linalg.norm(W, axis=0))[::-1], rtol=1e-5)
    assert figure(shown).layout.title.text.startswith("seed noise: ")
    run = train_ensemble(SIX, [0.5], KEY[None], n_hidden=2, n_steps=4, snapshots=(0, 4), population=True).member(0, 0)
    stepped = explorers.robust(run)
    assert labels_of(stepped) == [["0", "4"]]
    assert stepped.sliders["step"].value == 1  # trained
    assert player(stepped).slider is stepped.sliders["step"]


def test_robust_of_one_model_moves_what_counts_as_kept():
    W = np.diag([1.0, 0.6, 0.2])
    for one in (W, Params(W, np.zeros(3)), xr.DataArray(W.T, dims=("feature", "hidden"))):
        shown = explorers.robust(one)
        said = []
        for stop in range(5):
            shown.sliders["kept"].index = stop
            said.append(figure(shown).layout.title.text)
        assert said == [*(f"{count} features kept" for count in (3, 3, 2, 2)), "1 feature kept"]
        shown.reset()
        assert figure(shown).layout.title.text == "2 features kept"


def test_weights_of_robust_are_checked():
    with raises("weights must have the dimensions hidden and feature, got norm, m, feature; rename what is hidden"):
        explorers.robust(TRAINED[0, 0].rename(hidden="m"))
    with raises("weights must be W (m, n), or have leading axes before it, got shape (5,); pass W"):
        explorers.robust(np.ones(5))
    with raises("axes must name the leading axes (2, 3) of the models, got {'norm': 2}" + NAMES):
        explorers.robust(np.ones((2, 3, 2, 5)), axes={"norm": (0, 1)})


def test_robust_says_which_model_diverged():
    sick = TRAINED.where(TRAINED.norm != TRAINED.norm[0])
    shown = explorers.robust(sick)
    assert figure(shown).layout.title.text.endswith(": diverged")
    layout = figure(shown).layout
    assert layout.annotations[1].text == "diverged: W is not finite"
    assert layout.shapes[0].y0 == layout.shapes[0].y1 < layout.yaxis2.range[0]  # no threshold
    shown.sliders["norm"].index = 1
    assert figure(shown).layout.title.text.endswith(" features kept")


# What a user may have in hand


def test_the_axes_of_an_ensemble_are_counted_where_none_are_given():
    ensemble = train_ensemble(SIX, [0.5, 0.9], jax.random.split(KEY, 3), n_hidden=2, n_steps=2, population=True)
    assert list(explorers.robust(ensemble).sliders) == ["which_S", "seed", "step"]


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (lambda params, x, radius, key: x * np.nan, "δ of mine must be finite, got NaN or infinity in 6 of 6 entries"),
        (lambda params, x, radius, key: 9 + 0 * x, "δ of mine must be no longer than its norm "),
    ],
)
def test_an_attack_of_ones_own_keeps_to_its_norm(attack, message):
    with pytest.raises(ValueError, match=f"^{message}.*; mend the attack$"):
        explorers.attack(Params(*map(jax.numpy.asarray, (W[0], B[0]))), SIX, 0.9, attacks={"mine": attack})


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"kept": range(3)}, "axes must not be called draw, play, start, kept, got kept; rename it"),
        ({"step": range(3), "seed": range(1)}, "axes must name the leading axes (3,) of the models, got {'step': 3, "),
    ],
)
def test_names_of_axes_that_cannot_be(axes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        explorers.robust(W, axes=axes)
