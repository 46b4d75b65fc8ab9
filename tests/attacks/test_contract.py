"""Vulnerability against closed forms and NumPy, and what every attack says of arguments that it cannot take."""

import inspect
import re
from functools import partial

import brute
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attacked import ROOM

from toylib.attacks import (
    analytic,
    analytic_dataset,
    error,
    latent,
    one_step,
    pgd,
    random_direction,
    random_feature,
    vulnerability,
    worst_case,
)
from toylib.model import Params


def polygon(k):
    t = 2 * np.pi * np.arange(k) / k
    return np.array([np.cos(t), np.sin(t)])


TETRAHEDRON = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / np.sqrt(3)
FRAMES = {
    "orthonormal": (np.eye(3), 1),
    "tetrahedron": (TETRAHEDRON, 4 / 3),
    "triangle": (polygon(3), 1.5),
    "digon": (np.array([[1.0, -1.0]]), 2),
    "square": (polygon(4), 2),
    "octahedron": (np.hstack([np.eye(3), -np.eye(3)]), 2),
    "pentagon": (polygon(5), 2.98),
    "hexagon": (polygon(6), 4.5),
}


def padded(W, b=0.0):
    """A model with dead units as well, so that all frames have one of two shapes, and x = 0."""
    m, n = W.shape
    shape = (max(m, 2), 7 if m == 3 else 6)
    W = np.pad(W, ((0, shape[0] - m), (0, shape[1] - n)))
    b = np.pad(np.broadcast_to(b, n), (0, shape[1] - n))
    return Params(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32)), jnp.zeros(shape[1])


on_feature = jax.jit(analytic)


@pytest.mark.parametrize("radius", [0.1, 3.0])
@pytest.mark.parametrize("name", FRAMES)
def test_frames_at_the_origin(name, radius):
    W, expected = FRAMES[name]
    (params, x), (m, n) = padded(W), W.shape
    value = float(vulnerability(params, x[None], on_feature(params, x, radius), radius))
    assert value == pytest.approx(expected, rel=0.01)
    assert value == pytest.approx(n / m * np.square(np.maximum(W[:, 0] @ W, 0)).sum(), rel=1e-5)
    lower, upper = np.asarray(worst_case(params, x, radius)) / radius**2
    if name == "pentagon":
        assert lower == pytest.approx(3.27, rel=0.002)
        assert lower > 1.09 * value
    else:
        assert lower == pytest.approx(value, rel=1e-3)
    assert lower <= upper <= lower * (1 + 1e-3)


@pytest.mark.parametrize("name", FRAMES)
def test_bias_lowers_the_gain_as_its_formula_says(name):
    W, _ = FRAMES[name]
    (m, n), radius = W.shape, 0.6
    G, b = W.T @ W, np.linspace(-0.4, 0.2, W.shape[1])
    moved = radius * n / m * G / np.linalg.norm(G, axis=1, keepdims=True)
    gains = (np.square(np.maximum(moved + b, 0)) - np.square(np.maximum(b, 0))).sum(1)
    params, x = padded(W, b)
    found = vulnerability(params, x[None], on_feature(params, x, radius), radius, baseline=1.0)
    assert float(found) == pytest.approx(gains.max(), rel=1e-5)


@pytest.mark.parametrize("attack", [on_feature, partial(pgd, key=jax.random.key(0))], ids=["analytic", "pgd"])
def test_ideal_model_has_vulnerability_one(attack):
    params = Params(jnp.eye(3, 7), jnp.zeros(7))
    X = jnp.asarray(np.random.default_rng(0).random((20, 7)), jnp.float32)
    deltas = jnp.stack([attack(params, x, 0.3) for x in X])
    assert float(vulnerability(params, X, deltas, 0.3)) == pytest.approx(1, rel=1e-5)


def test_vulnerability_against_numpy():
    [case] = brute.random_cases(3, 7, 1, seed=0)
    rng = np.random.default_rng(1)
    X, deltas = rng.random((30, 7)), rng.normal(size=(30, 7))
    deltas *= 0.5 * rng.random((30, 1)) / np.linalg.norm(deltas, axis=1, keepdims=True)
    params, arrays = brute.arrays(case)[0], [jnp.asarray(a, jnp.float32) for a in (X, deltas)]
    for many, attack in ((deltas, arrays[1]), (np.tile(deltas[0], (30, 1)), arrays[1][0])):
        gain = np.mean([case._replace(x=x).error(d) - case._replace(x=x).error() for x, d in zip(X, many, strict=True)])
        assert float(vulnerability(params, arrays[0], attack, 0.5)) == pytest.approx(gain / 0.25, rel=1e-4)
        assert float(vulnerability(params, arrays[0], attack, 0.5, baseline=3)) == pytest.approx(gain / 3, rel=1e-4)


def test_vulnerability_is_negative_where_the_attack_helps():
    params, X = Params(0.5 * jnp.eye(3), jnp.zeros(3)), jnp.ones((4, 3))
    found = vulnerability(params, X, jnp.asarray([1.0, 0, 0]), 1.0)
    assert float(found) == pytest.approx(0.5**2 - 0.75**2)


def test_error_against_numpy():
    for case in brute.random_cases(3, 7, 8, seed=0):
        params, x, radius = brute.arrays(case)
        delta = jax.random.normal(jax.random.key(0), (7,)) * radius
        assert float(error(params, x, delta)) == pytest.approx(case.error(np.float64(delta)), rel=1e-4, abs=1e-6)


# The contract

KEY = jax.random.key(0)
PARAMS = Params(jnp.eye(3, 7) + 0.1, jnp.full(7, -0.05))
X = jnp.linspace(0.3, 0.9, 7)
WITHOUT_RANDOM = {"starts": ("zero", "one_step", "analytic"), "n_steps": 3}
DETERMINISTIC = {
    "analytic +": analytic,
    "analytic ±": partial(analytic, signs="±"),
    "one step": one_step,
    "pgd": partial(pgd, **WITHOUT_RANDOM),
    "latent": partial(latent, **WITHOUT_RANDOM),
}
RANDOM = {
    "random_feature": random_feature,
    "random_direction": random_direction,
    "one_step with noise": partial(one_step, noise=0.2),
    "a search with random starts": partial(pgd, starts=("zero", "random"), n_steps=3, restarts=2),
    "a search with random starts, latent": partial(latent, n_steps=3, restarts=2),
}


def _draws(attack):
    """Whether an attack asks for a key."""
    try:
        jax.eval_shape(lambda: attack(PARAMS, X, 0.4))  # it is traced and not compiled, in every worker
    except TypeError:
        return True
    return False


for name in sorted(ROOM.keys() - DETERMINISTIC.keys() - RANDOM.keys() - {"analytic", "one_step"}):  # what is new
    (RANDOM if _draws(ROOM[name]) else DETERMINISTIC)[name] = ROOM[name]


def test_the_attacks_of_the_room_are_called_alike():
    assert {"analytic", "latent", "random_feature"} <= ROOM.keys()
    assert not {"worst_case", "vulnerability", "error"} & ROOM.keys()
    for name, attack in ROOM.items():
        parameters = [*inspect.signature(attack).parameters.values()]
        assert [p.name for p in parameters[:4]] == ["params", "x", "radius", "key"], name
        assert parameters[3].default is None, name
        for parameter in parameters[3:]:  # so that partial can bind all else, and nothing else is needed
            assert parameter.kind is parameter.KEYWORD_ONLY, name
            assert parameter.default is not parameter.empty, name


@pytest.mark.parametrize("attack", DETERMINISTIC.values(), ids=DETERMINISTIC)
def test_deterministic_attacks_ignore_the_key(attack):
    without = attack(PARAMS, X, 0.4)
    assert float(jnp.linalg.norm(without)) == pytest.approx(0.4, rel=1e-5)
    for key in (KEY, jax.random.key(1), jax.random.PRNGKey(0), "no key at all"):
        assert np.array_equal(attack(PARAMS, X, 0.4, key=key), without)


@pytest.mark.parametrize("name", RANDOM)
def test_random_attacks_need_a_key(name):
    attack, drawer = RANDOM[name], name.removesuffix(", latent")
    came = [
        (None, TypeError, f"key must be given to {drawer}, which draws at random, got None; pass jax.random.key(seed)"),
        (7, TypeError, "key must come from jax.random.key, got 7; pass jax.random.key(seed)"),
        (
            jax.random.PRNGKey(0),
            TypeError,
            "key must come from jax.random.key, got an array of uint32; pass jax.random.key(seed)",
        ),
        (
            jax.random.split(KEY),
            ValueError,
            "key must have rank 0, got shape (2,); pass one key; jax.vmap takes one per sample",
        ),
    ]
    for key, kind, message in came:
        with pytest.raises(kind) as caught:
            attack(PARAMS, X, 0.4, key=key)
        assert str(caught.value) == message
    one, other = (attack(PARAMS, X, 0.4, key=key) for key in jax.random.split(KEY))
    assert np.array_equal(one, attack(PARAMS, X, 0.4, key=jax.random.split(KEY)[0]))
    for delta in (one, other):
        assert float(jnp.linalg.norm(delta)) <= 0.4 * (1 + 1e-5)
    if not drawer.startswith(("a search", "margin_pgd")):  # two searches may find one peak
        assert not np.array_equal(one, other)


# Arguments

ONE_SAMPLE = {name: partial(attack, key=KEY) for name, attack in ROOM.items()} | {"worst_case": worst_case}
ATTACKABLE = "attack a model that has not diverged, on finite inputs"
LARGE = (
    "params, x and radius must keep pre-activations below 1e+18, whose squares are errors in single precision, got "
    "‖W‖² = {}, ‖b‖ = {} and ‖x‖ + radius = {}; scale them down"
)
RADIUS = "radius must be at least 0 and finite in single precision, got {}; it is an L2 norm"


@pytest.mark.parametrize("attack", [*ONE_SAMPLE.values(), analytic_dataset], ids=[*ONE_SAMPLE, "analytic_dataset"])
def test_attacks_check_model_sample_and_radius(attack):
    many = attack is analytic_dataset
    x, shape, rows = (X[None], "any, 7", "1, ") if many else (X, "7", "")
    more = "its rows are samples, so one sample is x[None]" if many else "jax.vmap takes more samples"
    width = "W (3, 7) has 7 features"
    wrong = [
        (
            (PARAMS, x.at[..., 1].set(jnp.nan), 1.0),
            ValueError,
            f"x must be finite, got NaN or infinity in 1 of 7 entries; {ATTACKABLE}",
        ),
        (
            (PARAMS._replace(b=PARAMS.b.at[0].set(jnp.inf)), x, 1.0),
            ValueError,
            f"b must be finite, got NaN or infinity in 1 of 7 entries; {ATTACKABLE}",
        ),
        (
            (PARAMS._replace(W=PARAMS.W * jnp.nan), x, 1.0),
            ValueError,
            f"W must be finite, got NaN or infinity in 21 of 21 entries; {ATTACKABLE}",
        ),
        (
            (PARAMS, x[..., :6], 1.0),
            ValueError,
            f"x must have shape ({shape}), got {x[..., :6].shape}; {width}",
        ),
        ((PARAMS, x[None], 1.0), ValueError, f"x must have shape ({shape}), got (1, {rows}7); {more}"),
        ((PARAMS._replace(b=jnp.zeros(6)), x, 1.0), ValueError, f"b must have shape (7), got (6,); {width}"),
        (
            (PARAMS._replace(W=PARAMS.W.T), x, 1.0),
            ValueError,
            "b must have shape (3), got (7,); W (7, 3) has 3 features, its columns; pass W.T, which has 7",
        ),
        (
            (PARAMS._replace(W=PARAMS.W.astype(jnp.float16)), x, 1.0),
            TypeError,
            "W must be in single precision, got float16; convert it to jnp.float32",
        ),
        (
            (PARAMS, x.astype(jnp.bfloat16), 1.0),
            TypeError,
            "x must be in single precision, got bfloat16; convert it to jnp.float32",
        ),
        (
            (PARAMS._replace(W=PARAMS.W.astype(jnp.complex64)), x, 1.0),
            TypeError,
            "W must be a floating-point array, got complex64; convert it to jnp.float32",
        ),
        (
            (PARAMS._replace(b=np.linspace(1e39, 0, 7)), x, 1.0),
            ValueError,
            "b must be finite in single precision, got 1e+39; scale it down",
        ),
        ((tuple(PARAMS), x, 1.0), TypeError, "params must have W and b, got tuple; pass toylib.model.Params(W, b)"),
        ((PARAMS._replace(W=1e10 * PARAMS.W), x, 1.0), ValueError, LARGE.format("3.81e+20", "0.132", "2.67")),
        ((PARAMS._replace(b=1e20 * PARAMS.b), x, 1.0), ValueError, LARGE.format("3.81", "1.32e+19", "2.67")),
        ((PARAMS, 1e19 * x, 1.0), ValueError, LARGE.format("3.81", "0.132", "1.67e+19")),
        ((PARAMS, x, 1e20), ValueError, LARGE.format("3.81", "0.132", "1e+20")),
        (
            (PARAMS._replace(W=PARAMS.W[None]), x, 1.0),
            ValueError,
            "W must have shape (any, any), got (1, 3, 7); it is one model's (m, n); jax.vmap takes more models",
        ),
        ((PARAMS, x, -0.1), ValueError, RADIUS.format("-0.1")),
        ((PARAMS, x, np.nan), ValueError, RADIUS.format("nan")),
        ((PARAMS, x, 1e39), ValueError, RADIUS.format("1e+39")),
        (
            (PARAMS, x, np.ones(2)),
            ValueError,
            "radius must be a scalar, got shape (2,); jax.vmap over this function takes more norms",
        ),
        (
            (PARAMS, np.ones(x.shape, int), 1.0),
            TypeError,
            "x must be a floating-point array, got int64; convert it to jnp.float32",
        ),
        ((PARAMS, x, "far"), TypeError, "radius must be a real number, got 'far'; it is an L2 norm"),
        (
            (PARAMS.W, x, 1.0),
            TypeError,
            "params must have W and b, got ArrayImpl; pass toylib.model.Params(W, b)",
        ),
    ]
    for arguments, kind, message in wrong:
        with pytest.raises(kind) as caught:
            attack(*arguments)
        assert str(caught.value) == message


@pytest.mark.parametrize("attack", [analytic, partial(random_feature, key=KEY), analytic_dataset])
@pytest.mark.parametrize("signs", ["-", "+-", None])
def test_attacks_on_features_check_their_signs(attack, signs):
    message = f'signs must be "+" or "±", got {signs!r}; "±" tries both'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        attack(PARAMS, X[None] if attack is analytic_dataset else X, 1.0, signs=signs)


SIZE = "pass a Python int from 1 up, since sizes cannot be traced"
STARTS = "starts must name some of zero, random, one_step, analytic, got {}; leave out what is not there"


@pytest.mark.parametrize("attack", [pgd, latent])
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"starts": ()}, ValueError, STARTS.format("()")),
        ({"starts": ("zero", "here")}, ValueError, STARTS.format("('zero', 'here')")),
        ({"n_steps": 0}, ValueError, f"n_steps must be at least 1, got 0; {SIZE}"),
        ({"n_steps": 2.5}, TypeError, f"n_steps must be an integer, got 2.5; {SIZE}"),
        ({"restarts": 0}, ValueError, f"restarts must be at least 1, got 0; {SIZE}"),
        (
            {"smoothing": 0},
            ValueError,
            "smoothing must be above 0 and finite in single precision, got 0; pass None for the ReLU",
        ),
        (
            {"smoothing": -0.1},
            ValueError,
            "smoothing must be above 0 and finite in single precision, got -0.1; pass None for the ReLU",
        ),
    ],
)
def test_searches_check_their_options(attack, options, kind, message):
    with pytest.raises(kind) as caught:
        attack(PARAMS, X, 1.0, key=KEY, **options)
    assert str(caught.value) == message


IDEAL = Params(jnp.eye(3, 7), jnp.zeros(7))
UNIT = jnp.full(7, 1 / np.sqrt(7), jnp.float32)


def harm(deltas, radius=1.0, **options):
    return vulnerability(IDEAL, jnp.ones((2, 7)), deltas, radius, **options)


GAIN = "vulnerability is a gain relative to it"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: harm(0 * X, 0.0),
            ValueError,
            "radius must be above 0 and finite in single precision, got 0; vulnerability is a gain relative to its "
            "square",
        ),
        (
            lambda: harm(0 * X, baseline=0.0),
            ValueError,
            f"baseline must be above 0 and finite in single precision, got 0; {GAIN}",
        ),
        (
            lambda: harm(0 * X, baseline=-1),
            ValueError,
            f"baseline must be above 0 and finite in single precision, got -1; {GAIN}",
        ),
        (lambda: harm(0 * X, baseline="a"), TypeError, f"baseline must be a real number, got 'a'; {GAIN}"),
        (
            lambda: harm(UNIT, 0.999),
            ValueError,
            "deltas must have norms of at most radius = 0.999, got 1; pass their radius",
        ),
        (
            lambda: harm(UNIT[None]),
            ValueError,
            "deltas must have shape (2, 7), got (1, 7); pass one per sample, or one for all",
        ),
        (
            lambda: harm(X[:6]),
            ValueError,
            "deltas must have shape (7), got (6,); pass one per sample, or one for all",
        ),
        (
            lambda: harm(X * jnp.nan),
            ValueError,
            "deltas must be finite, got NaN or infinity in 7 of 7 entries; see what made it so",
        ),
        (
            lambda: vulnerability(PARAMS, X, X, 1.0),
            ValueError,
            "x must have shape (any, 7), got (7,); its rows are samples, so one sample is x[None]",
        ),
        (
            lambda: one_step(PARAMS, X, 1.0, key=KEY, noise=-1.0),
            ValueError,
            "noise must be at least 0 and finite in single precision, got -1; it is the norm of the random start, 0 "
            "for none",
        ),
        (
            lambda: error(PARAMS, X, X[:6]),
            ValueError,
            "delta must have shape (7), got (6,); it is added to x; jax.vmap over this function takes more",
        ),
        (
            lambda: error(PARAMS, X[None], X),
            ValueError,
            "x must have shape (7), got (1, 7); jax.vmap takes more samples",
        ),
    ],
)
def test_arguments_are_checked(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_vmap_takes_more_as_the_messages_say():
    samples, deltas, norms = jnp.stack([X, 0.5 * X]), jnp.stack([UNIT, -UNIT]), jnp.array([1.0, 2.0])
    found = jax.vmap(error, (None, 0, 0))(PARAMS, samples, deltas)
    np.testing.assert_allclose(found, [error(PARAMS, *each) for each in zip(samples, deltas, strict=True)], rtol=1e-6)
    found = jax.vmap(lambda norm: harm(UNIT, norm))(norms)
    np.testing.assert_allclose(found, [harm(UNIT, float(norm)) for norm in norms], rtol=1e-6)
    models = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), PARAMS)
    found = jax.vmap(error, (0, None, None))(models, X, UNIT)
    assert float(found[0]) == pytest.approx(float(error(PARAMS, X, UNIT)), rel=1e-6)
    assert not np.array_equal(found[0], found[1])


def test_deltas_of_exactly_the_radius_are_accepted():
    assert np.isfinite(harm(UNIT))


def test_concrete_arguments_are_taken_while_tracing():
    one = jnp.float32(1)
    np.testing.assert_allclose(jax.jit(lambda d: harm(d, one, baseline=2 * one))(UNIT), harm(UNIT) / 2, rtol=1e-6)
    for attack in (pgd, latent):
        search = partial(attack, IDEAL, key=KEY, smoothing=one)
        np.testing.assert_allclose(
            jax.jit(lambda x, search=search: search(x, radius=one))(0 * X + 1), search(0 * X + 1, radius=one), atol=1e-6
        )


def test_a_norm_of_zero_is_refused_while_tracing():
    with pytest.raises(ValueError, match="radius must be above 0 and finite in single precision, got 0; vulnerability"):
        jax.jit(lambda d: harm(d, 0.0))(0 * UNIT)


@pytest.mark.parametrize("n", [6, 100])
@pytest.mark.parametrize("name", ["W", "b", "delta"])
def test_errors_and_vulnerability_keep_nan_where_it_cannot_be_refused(n, name):
    """Of this many samples XLA's CPU kernel of product, ReLU and sum takes max(NaN, 0) for 0."""
    X = jnp.full((1024, n), 0.5)
    arrays = {"W": jnp.ones((3, n)), "b": jnp.zeros(n), "delta": jnp.full(n, 1e-3)}
    arrays[name] *= jnp.nan

    @jax.jit
    def measure(W, b, delta):
        params = Params(W, b)
        errors = jax.vmap(lambda x: error(params, x, delta))(X)
        return errors, vulnerability(params, X, delta, 0.1), vulnerability(params, X, jnp.resize(delta, X.shape), 0.1)

    for values in measure(**arrays):
        assert np.isnan(values).all()


@pytest.mark.parametrize("starts", [None, 3, [["zero"]], "zero", ()])
def test_searches_check_their_starts(starts):
    for attack in (pgd, latent):
        with pytest.raises(ValueError, match=r"^starts must name some of zero, random, one_step, analytic, got "):
            attack(PARAMS, X, 0.4, key=KEY, starts=starts)


def test_signs_may_not_be_an_array():
    with pytest.raises(ValueError, match=r"^signs must be "):
        analytic(PARAMS, X, 0.4, signs=np.array(["+", "-"]))


def test_noise_may_be_an_array_inside_of_a_compilation():
    attack = partial(one_step, noise=jnp.array(0.1))
    delta = jax.jit(lambda x: attack(PARAMS, x, 0.4, key=KEY))(X)
    np.testing.assert_allclose(delta, one_step(PARAMS, X, 0.4, key=KEY, noise=0.1), rtol=1e-5)
