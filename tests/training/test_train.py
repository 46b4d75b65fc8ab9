"""Training against an independent NumPy loop: single models and ensembles, plain and attacked; checks of arguments."""

import re
from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from loops import (
    BATCH,
    IMPORTANCE,
    KEY,
    KEYS,
    N_STEPS,
    SHIFT,
    TRACED,
    F,
    assert_close,
    drawn,
    fresh_batches,
    numpy_adam,
    numpy_sgd,
    numpy_train,
    shift,
    trained,
)

from toylib import attacks
from toylib.features import Correlated, Features
from toylib.model import Params, init, loss
from toylib.training import Diverged, train, train_ensemble

# The arithmetic of training

CASES = {
    "fresh, adam": ({}, (numpy_adam, 0.01)),
    "fresh, linear, sgd, importance": ({"linear": True, "importance": True}, (numpy_sgd, 0.1)),
    "population, adam": ({"population": True}, (numpy_adam, 0.01)),
    "population, linear, adam, importance": (
        {"population": True, "linear": True, "importance": True},
        (numpy_adam, 0.01),
    ),
}
OPTAX = {numpy_adam: optax.adam, numpy_sgd: optax.sgd}


@pytest.mark.parametrize("case", CASES)
def test_training_equals_an_independent_numpy_loop(case):
    options, (rule, rate) = CASES[case]
    importance = IMPORTANCE if options.get("importance") else None
    extra = {"importance": tuple(IMPORTANCE)} if options.get("importance") else {}
    S, scale = 0.7, 0.1
    run = trained(S, **(options | extra), optimizer=OPTAX[rule], learning_rate=rate, scale=scale)
    start = drawn(scale)
    np.testing.assert_allclose(run.weights[0], start.W, rtol=1e-6)
    batches, weights = fresh_batches(S), None
    if options.get("population"):
        nodes, weights = (np.asarray(a, np.float64) for a in F.population(S))
        batches = nodes[None]
    linear = options.get("linear", False)
    expected = numpy_train(
        start, batches, rule(rate), rule(rate), weights=weights, importance=importance, linear=linear
    )
    assert abs(expected[0] - np.asarray(start.W)).max() > 0.2
    assert_close(run.params, expected)
    nodes, weights = F.population(S)
    kwargs = {"weights": weights, "linear": linear}
    kwargs["importance"] = None if importance is None else jnp.asarray(importance, jnp.float32)
    for t in range(len(run.steps)):
        at = Params(jnp.asarray(run.weights[t]), jnp.asarray(run.biases[t]))
        assert float(run.losses[t]) == pytest.approx(float(loss(at, nodes, **kwargs)), rel=1e-5)
    assert np.array_equal(run.weights[-1], run.params.W)
    assert np.array_equal(run.biases[-1], run.params.b)


@pytest.mark.parametrize(("radius", "mix"), [(0.3, 1.0), (0.3, 0.7), (0.2, 0.0)])
def test_attacked_training_equals_the_numpy_loop(radius, mix):
    run = trained(perturb=shift, radius=radius, mix=mix, learning_rate=0.01, scale=0.1)
    start = drawn()
    rules = numpy_adam(0.01), numpy_adam(0.01)
    expected = numpy_train(start, fresh_batches(0.7), *rules, delta=radius * SHIFT, mix=mix)
    assert_close(run.params, expected)
    if mix:
        plain = trained(learning_rate=0.01, scale=0.1)
        assert abs(plain.params.W - run.params.W).max() > 0.01
    nodes, weights = F.population(0.7)
    assert float(run.losses[-1]) == pytest.approx(float(loss(run.params, nodes, weights=weights)), rel=1e-5)


def nothing(params, x, radius, *, key):
    return 0 * x


@pytest.mark.parametrize("mix", [1.0, 0.4])
def test_an_attack_that_does_nothing_changes_nothing(mix):
    """The attacked program, on clean samples, agrees with the plain one to rounding over 500 steps."""
    options = {"n_steps": 500, "snapshots": (0, 500), "scale": 0.1}
    attacked, plain = trained(perturb=nothing, radius=0.3, mix=mix, **options), trained(**options)
    np.testing.assert_allclose(attacked.params.W, plain.params.W, rtol=0, atol=1e-6)
    np.testing.assert_allclose(attacked.params.b, plain.params.b, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "attack",
    [
        shift,
        attacks.random_feature,
        partial(attacks.random_feature, signs="±"),
        attacks.one_step,
        attacks.random_direction,
        partial(attacks.latent, n_steps=2, restarts=1, starts=("random",)),
    ],
)
def test_a_radius_of_zero_is_plain_training_bitwise(attack):
    plain = trained(n_steps=100, snapshots=(0, 100))
    for changes in ({"radius": 0.0}, {"radius": 0.0, "mix": 0.4}, {"radius": 0.3, "mix": 0.0}):
        attacked = trained(n_steps=100, snapshots=(0, 100), perturb=attack, **changes)
        assert np.array_equal(attacked.params.W, plain.params.W)
        assert np.array_equal(attacked.params.b, plain.params.b)
        assert np.array_equal(attacked.losses, plain.losses)


def test_the_ramp_raises_the_radius_linearly():
    """Step t attacks with radius·min(1, (t + 1)/ramp): the NumPy loop with a shift that grows so."""
    run = trained(perturb=shift, radius=0.3, ramp=150, learning_rate=0.01, scale=0.1)
    start = drawn()
    deltas = [0.3 * min(1, (t + 1) / 150) * SHIFT for t in range(N_STEPS)]
    expected = numpy_train(start, fresh_batches(0.7), numpy_adam(0.01), numpy_adam(0.01), delta=deltas)
    assert_close(run.params, expected)
    steady = trained(perturb=shift, radius=0.3, learning_rate=0.01, scale=0.1)
    assert abs(steady.params.W - run.params.W).max() > 1e-3


def test_training_goes_on_from_a_model():
    start = Params(jnp.asarray(IMPORTANCE[None] * np.eye(3, 6), jnp.float32), jnp.asarray(SHIFT, jnp.float32))
    run = train(F, 0.7, n_hidden=3, n_steps=N_STEPS, key=KEY, start=start, batch_size=BATCH, learning_rate=0.01)
    assert np.array_equal(run.weights[0], start.W)
    assert np.array_equal(run.biases[0], start.b)
    assert_close(run.params, numpy_train(start, fresh_batches(0.7), numpy_adam(0.01), numpy_adam(0.01)))


def test_schedules_work():
    schedule = optax.linear_schedule(0.2, 0.0, N_STEPS)
    run = trained(linear=True, importance=tuple(IMPORTANCE), optimizer=optax.sgd(schedule), scale=0.1)
    start = drawn()

    def rule():
        rates = iter(0.2 * (1 - np.arange(N_STEPS) / N_STEPS))
        return lambda gradient: -next(rates) * gradient

    expected = numpy_train(start, fresh_batches(0.7), rule(), rule(), importance=IMPORTANCE, linear=True)
    assert_close(run.params, expected)


# The density


@dataclass(frozen=True)
class Constant(Features):
    """Every sample is p itself."""

    n_features: int = 1

    @property
    def sets(self):
        return ((0,),)

    @property
    def n_gates(self):
        return 1

    def active(self, p, gates):
        return gates >= 0

    def states(self):
        return None

    def columns(self, p, u):
        return jnp.broadcast_to(p, (1, *u.shape[1:]))


@pytest.mark.parametrize("population", [False, True])
def test_training_sees_the_density_with_all_its_digits(population):
    """A step from W = b = 0 of rate 1/2 brings b to E x, here to p; 1 - S in single precision is off by 1e-5."""
    options = {"n_hidden": 1, "n_steps": 1, "scale": 0.0, "linear": True, "batch_size": 8, "population": population}
    options |= {"optimizer": optax.sgd, "learning_rate": 0.5}
    run = train(Constant(), 0.999, key=KEY, **options)
    assert run.biases[:, 0].tolist() == [0, pytest.approx(0.001, rel=1e-6)]
    assert run.losses.tolist() == [pytest.approx(1e-6, rel=2e-6), pytest.approx(0, abs=1e-12)]
    if not population:
        many = train_ensemble(Constant(), [0.25, 0.999], KEYS[:1], data_key=KEY, **options)
        np.testing.assert_allclose(many.params.b[:, 0, 0], [0.75, 0.001], rtol=1e-6)


def test_the_population_of_a_small_density_is_the_eager_one():
    options = {"n_hidden": 3, "n_steps": 1, "scale": 0.0, "linear": True, "population": True}
    run = train(F, 0.999, key=KEY, optimizer=optax.sgd, learning_rate=0.5, **options)
    nodes, weights = (np.asarray(a, np.float64) for a in F.population_at(jnp.float32(0.001)))
    assert weights @ (nodes > 0)[:, 4] == pytest.approx(0.001, rel=1e-6)
    np.testing.assert_allclose(run.biases[-1], weights @ nodes, rtol=1e-6)
    assert run.losses[0] == pytest.approx(weights @ np.square(nodes).sum(1), rel=1e-6)


# Ensembles

ENSEMBLE = {"n_hidden": 3, "n_steps": N_STEPS, "snapshots": (0, 50, N_STEPS), "scale": 0.1}


@lru_cache
def attacked_ensemble(Ss=(0.7, 0.9), radii=(0.0, 0.3)):
    return train_ensemble(
        F,
        np.array(Ss),
        KEYS,
        data_key=jax.random.key(9),
        perturb=shift,
        radius=np.array(radii),
        batch_size=BATCH,
        learning_rate=0.01,
        **ENSEMBLE,
    )


def test_members_equal_single_models():
    Ss = np.array([0.7, 0.9])
    run = train_ensemble(F, Ss, KEYS, population=True, learning_rate=0.01, batch_size=BATCH, **ENSEMBLE)
    assert run.losses.shape == (2, 3, 3)
    assert run.weights.shape == (2, 3, 3, 3, 6)
    assert run.biases.shape == (2, 3, 3, 6)
    assert run.diverged.shape == (2, 3)
    assert run.params.W.shape == (2, 3, 3, 6)
    for a, c in ((0, 0), (1, 2)):
        single = train(F, Ss[a], key=KEYS[c], population=True, learning_rate=0.01, batch_size=BATCH, **ENSEMBLE)
        member = run.member(a, c)
        np.testing.assert_allclose(member.weights, single.weights, rtol=1e-3, atol=2e-5)
        np.testing.assert_allclose(member.losses, single.losses, rtol=1e-4)


def test_members_share_one_stream_and_equal_the_numpy_loop():
    run = attacked_ensemble()
    assert run.losses.shape == (2, 2, 3, 3)
    assert run.weights.shape == (2, 2, 3, 3, 3, 6)
    for a, r, c in ((0, 0, 0), (1, 1, 2)):
        start = init(6, 3, key=jax.random.split(KEYS[c], 3)[0], scale=0.1)
        batches = fresh_batches((0.7, 0.9)[a], 9, ensemble=True)
        expected = numpy_train(start, batches, numpy_adam(0.01), numpy_adam(0.01), delta=(0.0, 0.3)[r] * SHIFT)
        assert_close((run.params.W[a, r, c], run.params.b[a, r, c]), expected)
    twins = attacked_ensemble((0.7, 0.7), (0.3, 0.3))
    assert np.array_equal(twins.weights[0, 0], twins.weights[1, 1])
    np.testing.assert_allclose(twins.weights[0, 0], run.weights[0, 1], rtol=1e-3, atol=2e-5)


def test_a_diverging_member_is_masked_and_the_others_go_on():
    healthy, sick = attacked_ensemble(), attacked_ensemble(radii=(0.0, 1e30))
    assert not healthy.diverged.any()
    assert sick.diverged.tolist() == [[[False] * 3, [True] * 3]] * 2
    assert np.array_equal(sick.weights[:, 0], healthy.weights[:, 0])
    assert np.array_equal(sick.losses[:, 0], healthy.losses[:, 0])
    assert np.isfinite(sick.losses[:, 1, :, 0]).all()
    assert np.isnan(sick.losses[:, 1, :, 1:]).all()


def test_ensembles_compile_once(compiled):
    attacked_ensemble()
    options = {"data_key": jax.random.key(1), "perturb": shift, "batch_size": BATCH, "n_hidden": 3, "n_steps": 20}
    radii = np.array([0.1, 0.2])
    train_ensemble(F, np.array([0.1, 0.2]), KEYS, radius=radii, mix=0.4, ramp=5, **options)
    other = jax.random.split(jax.random.key(0), 3)
    traces = len(TRACED)
    compiled.clear()
    options |= {"mix": 0.7, "ramp": 0, "scale": 0.3, "learning_rate": 0.02}
    train_ensemble(F, np.array([0.5, 0.6]), other, radius=radii * 3, **options)
    assert len(TRACED) == traces
    assert compiled == []


@pytest.mark.parametrize("radius", [0.2, np.array([0.1, 0.3])])
def test_ensembles_go_on_from_their_models(radius):
    options = {"n_hidden": 3, "n_steps": 5, "data_key": KEY, "perturb": shift, "batch_size": BATCH}
    first = train_ensemble(F, np.array([0.5, 0.7]), KEYS, radius=radius, **options)
    again = train_ensemble(F, np.array([0.5, 0.7]), KEYS, radius=radius, start=first.params, **options)
    assert again.weights.shape == first.weights.shape
    np.testing.assert_array_equal(np.take(again.weights, 0, axis=-3), first.params.W)
    assert abs(again.params.W - first.params.W).max() > 1e-3


# Bad input

OLD_KEY = np.array([0, 1], np.uint32)
SIZE = "pass a Python int from 1 up, since sizes cannot be traced"
FINITE = "and finite in single precision"
OFF = "it is the probability that a gate is off, and at 1 every input would be zero"
DEVIATION = "it is the standard deviation of the initial W, such as 0.01"
NORM = "it is an L2 norm"
RATE = "it is handed to the optimizer"
FLAG = "pass a bool, known before tracing"
SCHEDULE = optax.linear_schedule(0.1, 0.0, 10)
INSIDE_OF_ONE = (
    "pass a schedule inside of a ready-made optimizer, such as optimizer=optax.adam(schedule), and no learning_rate"
)
DRAWN = f"by the numbers drawn for a sample, got {2**28}; draw several batches, each with a key of its own"
SHARE = "it is the share of attacked samples in the loss"
ONE = "pass one number for the whole call"
BEYOND = "sort them, and drop repeats and what is beyond"
RANGE = "try range(0, n_steps + 1, 100)"
FROM_RANDOM = "must come from jax.random.key, got"
MODEL = "it is the model to go on from, of the same sizes"
BOTH = [
    ({"n_steps": 0}, ValueError, f"n_steps must be at least 1, got 0; {SIZE}"),
    ({"n_steps": 10.0}, TypeError, f"n_steps must be an integer, got 10.0; {SIZE}"),
    ({"batch_size": 0}, ValueError, f"batch_size must be at least 1, got 0; {SIZE}"),
    ({"n_hidden": 0}, ValueError, f"n_hidden must be at least 1, got 0; {SIZE}"),
    ({"n_hidden": True}, TypeError, f"n_hidden must be an integer, got True; {SIZE}"),
    ({"scale": -1.0}, ValueError, f"scale must be at least 0 {FINITE}, got -1; {DEVIATION}"),
    ({"scale": np.nan}, ValueError, f"scale must be at least 0 {FINITE}, got nan; {DEVIATION}"),
    ({"scale": np.array([0.1, 0.2])}, ValueError, f"scale must be a scalar, got shape (2,); {ONE}"),
    ({"learning_rate": -0.1}, ValueError, f"learning_rate must be at least 0 {FINITE}, got -0.1; {RATE}"),
    ({"learning_rate": "fast"}, TypeError, f"learning_rate must be a real number, got 'fast'; {RATE}"),
    ({"learning_rate": SCHEDULE}, TypeError, f"learning_rate must be a number, got {SCHEDULE!r}; {INSIDE_OF_ONE}"),
    ({"scale": 1e39}, ValueError, f"scale must be at least 0 {FINITE}, got 1e+39; {DEVIATION}"),
    ({"linear": "no"}, TypeError, f"linear must be True or False, got 'no'; {FLAG}"),
    ({"linear": 1}, TypeError, f"linear must be True or False, got 1; {FLAG}"),
    ({"population": [False]}, TypeError, f"population must be True or False, got [False]; {FLAG}"),
    ({"progress": "no"}, TypeError, f"progress must be True or False, got 'no'; {FLAG}"),
    ({"batch_size": 2**28}, ValueError, f"batch_size must be below 2³¹/8, {DRAWN}"),
    ({"n_steps": 2**31}, ValueError, f"n_steps must be at most {2**31 - 1}, got {2**31}; pass a smaller one"),
    ({"learning_rate": np.array([0.1])}, ValueError, f"learning_rate must be a scalar, got shape (1,); {ONE}"),
    ({"snapshots": [5, 3]}, ValueError, f"snapshots must increase within [0, 10], got [5, 3]; {BEYOND}"),
    ({"snapshots": [3, 3]}, ValueError, f"snapshots must increase within [0, 10], got [3, 3]; {BEYOND}"),
    ({"snapshots": [0, 11]}, ValueError, f"snapshots must increase within [0, 10], got [0, 11]; {BEYOND}"),
    ({"snapshots": [-1, 5]}, ValueError, f"snapshots must increase within [0, 10], got [-1, 5]; {BEYOND}"),
    ({"snapshots": [0.0, 5.0]}, TypeError, f"snapshots must be a sequence of integers, got [0.0, 5.0]; {RANGE}"),
    ({"snapshots": []}, TypeError, f"snapshots must be a sequence of integers, got []; {RANGE}"),
    ({"snapshots": 5}, TypeError, f"snapshots must be a sequence of integers, got 5; {RANGE}"),
    ({"radius": 0.1}, ValueError, "radius must be 0 without an attack, got 0.1; pass perturb as well"),
    ({"radius": -0.1, "perturb": shift}, ValueError, f"radius must be at least 0 {FINITE}, got -0.1; it is an L2 norm"),
    (
        {"radius": np.nan, "perturb": shift},
        ValueError,
        f"radius must be at least 0 {FINITE}, got nan; it is an L2 norm",
    ),
    ({"mix": 1.5, "perturb": shift}, ValueError, f"mix must lie in [0, 1], got 1.5; {SHARE}"),
    ({"mix": -0.5, "perturb": shift}, ValueError, f"mix must lie in [0, 1], got -0.5; {SHARE}"),
    ({"mix": np.array([0.3]), "perturb": shift}, ValueError, f"mix must be a scalar, got shape (1,); {ONE}"),
    (
        {"ramp": -1, "perturb": shift},
        ValueError,
        "ramp must be at least 0, got -1; pass a Python int from 0 up, since sizes cannot be traced",
    ),
    (
        {"ramp": 0.5, "perturb": shift},
        TypeError,
        "ramp must be an integer, got 0.5; pass a Python int from 0 up, since sizes cannot be traced",
    ),
    (
        {"importance": np.ones(5)},
        ValueError,
        "importance must have shape (6), got (5,); it is one factor per feature, and there are 6",
    ),
    (
        {"importance": -np.ones(6)},
        ValueError,
        "importance must be at least 0 and finite in single precision, got -1; it is one factor per feature, and there "
        "are 6",
    ),
    (
        {"importance": "high"},
        TypeError,
        "importance must be a real number, got 'high'; it is one factor per feature, and there are 6",
    ),
    (
        {"start": (np.ones((3, 6)), np.ones(6))},
        TypeError,
        "start must be a model or a State, got tuple; pass toylib.model.Params(W, b)",
    ),
    (
        {"features": 6},
        TypeError,
        "features must be a distribution of toylib.features, got 6; try Correlated(2, 3)",
    ),
]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        *BOTH,
        ({"S": 1}, ValueError, f"S must lie in [0, 1), got 1; {OFF}"),
        ({"S": -0.1}, ValueError, f"S must lie in [0, 1), got -0.1; {OFF}"),
        ({"S": np.nan}, ValueError, f"S must lie in [0, 1), got nan; {OFF}"),
        ({"S": "0.9"}, TypeError, f"S must be a real number, got '0.9'; {OFF}"),
        (
            {"S": np.array([0.5])},
            ValueError,
            "S must be a scalar, got shape (1,); pass one sparsity, and several to train_ensemble",
        ),
        (
            {"start": Params(jnp.ones((2, 6)), jnp.ones(6))},
            ValueError,
            f"W of start must have shape (3, 6), got (2, 6); {MODEL}",
        ),
        (
            {"start": Params(jnp.ones((6, 3)), jnp.ones(6))},
            ValueError,
            f"W of start must have shape (3, 6), got (6, 3); its transpose fits; {MODEL}",
        ),
        (
            {"start": Params(np.full((3, 6), -1e39), jnp.ones(6))},
            ValueError,
            "W of start must be finite in single precision, got -1e+39; scale it down",
        ),
        (
            {"start": Params(jnp.ones((3, 6)), jnp.ones(5))},
            ValueError,
            f"b of start must have shape (6), got (5,); {MODEL}",
        ),
        (
            {"start": jnp.ones((3, 6))},
            TypeError,
            "start must be a model or a State, got ArrayImpl; pass toylib.model.Params(W, b)",
        ),
        (
            {"start": Params(jnp.full((3, 6), jnp.nan), jnp.ones(6))},
            ValueError,
            "start must be finite, got NaN or infinity in 18 of 18 entries; go on from a model that has not diverged",
        ),
        ({"key": OLD_KEY}, TypeError, f"key {FROM_RANDOM} an array of uint32; pass jax.random.key(seed)"),
        ({"key": 3}, TypeError, f"key {FROM_RANDOM} 3; pass jax.random.key(seed)"),
        (
            {"key": KEYS},
            ValueError,
            "key must have rank 0, got shape (3,); pass one key, and several to train_ensemble",
        ),
        (
            {"radius": np.array([0.1]), "perturb": shift},
            ValueError,
            "radius must be a scalar, got shape (1,); pass one norm, and several, in one axis, to train_ensemble",
        ),
    ],
)
def test_train_checks_its_arguments(change, error, message):
    arguments = {"features": F, "S": 0.9, "n_hidden": 3, "n_steps": 10, "key": KEY} | change
    with pytest.raises(error) as caught:
        train(arguments.pop("features"), arguments.pop("S"), **arguments)
    assert str(caught.value) == message


SPLIT = "pass jax.random.split(key, number), and one key to train"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        *BOTH,
        (
            {"Ss": 0.9},
            ValueError,
            "S must be an array of rank 1, got shape (); pass a list of sparsities, and one sparsity to train",
        ),
        ({"Ss": np.array([0.5, 1.0])}, ValueError, f"S must lie in [0, 1), got 1; {OFF}"),
        ({"Ss": np.array([0.5, np.nan])}, ValueError, f"S must lie in [0, 1), got nan; {OFF}"),
        (
            {"Ss": np.array([])},
            ValueError,
            "the length of Ss must be at least 1, got 0; an axis without entries has no models",
        ),
        ({"keys": KEY}, ValueError, f"keys must have rank 1, got shape (); {SPLIT}"),
        ({"keys": OLD_KEY}, TypeError, f"keys {FROM_RANDOM} an array of uint32; {SPLIT}"),
        (
            {"keys": KEYS[:0]},
            ValueError,
            "the length of keys must be at least 1, got 0; an axis without entries has no models",
        ),
        (
            {"data_key": None},
            ValueError,
            "data_key must be given unless population=True, got None; pass jax.random.key(...)",
        ),
        ({"data_key": 5}, TypeError, f"data_key {FROM_RANDOM} 5; pass jax.random.key(seed)"),
        (
            {"data_key": KEYS},
            ValueError,
            "data_key must have rank 0, got shape (3,); members share one stream, so pass one key",
        ),
        (
            {"radius": np.zeros((2, 2)), "perturb": shift},
            ValueError,
            "radius must be an array of rank 1, got shape (2, 2); pass one norm, and several, in one axis, to "
            "train_ensemble",
        ),
        (
            {"start": Params(jnp.ones((3, 6)), jnp.ones(6))},
            ValueError,
            f"W of start must have shape (1, 3, 3, 6), got (3, 6); {MODEL}",
        ),
    ],
)
def test_train_ensemble_checks_its_arguments(change, error, message):
    arguments = {"features": F, "Ss": np.array([0.9]), "keys": KEYS, "data_key": KEY, "n_hidden": 3, "n_steps": 10}
    arguments |= change
    with pytest.raises(error) as caught:
        train_ensemble(arguments.pop("features"), arguments.pop("Ss"), arguments.pop("keys"), **arguments)
    assert str(caught.value) == message


INSIDE = (
    "training must run on the host, got a call inside of jax.jit, jax.vmap or jax.grad; call it outside, and "
    "train_ensemble for many models in one compilation"
)


@pytest.mark.parametrize("name", ["S", "learning_rate", "key"])
def test_training_inside_of_a_transformation_is_refused(name):
    def losses(value):
        options = {"n_hidden": 2, "n_steps": 1, "population": True, "key": jax.random.key(0), "learning_rate": 0.1}
        options |= {"features": Correlated(2, 3), "S": 0.9, name: value}
        return train(**options).losses

    value = jax.random.key(1) if name == "key" else 0.5
    with pytest.raises(TypeError, match=f"^{re.escape(INSIDE)}"):
        jax.jit(losses)(value)


BALL = "perturb must return δ (n,) whose norm is at most radius = 0.2, got {}; return radius·v/‖v‖, and 0 where v is 0"


def test_attacks_of_ones_own_stay_in_the_ball():
    """Longer by a thousandth for some samples, or NaN where one is empty; at a large radius, too, ours is not."""
    options = {"n_hidden": 3, "n_steps": 1, "population": True}
    for attack, came in (
        (lambda params, x, radius, *, key: radius * 1.001 * jnp.eye(6)[4], "0.2002"),
        (lambda params, x, radius, *, key: radius * jnp.where(x[4] > 0.3, 1.001, 0.7) * jnp.eye(6)[4], "0.2002"),
        (
            partial(lambda params, x, radius, *, key, norm: norm * x / jnp.linalg.norm(x), norm=0.2),
            "nan at an empty input",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(BALL.format(came))}$"):
            train(F, 0.9, perturb=attack, radius=0.2, key=KEY, **options)
        with pytest.raises(ValueError, match=f"^{re.escape(BALL.format(came))}$"):
            train_ensemble(F, [0.9], KEYS[:1], perturb=attack, radius=np.array([0.2, 0.0]), **options)


def test_what_is_too_large_from_the_start_is_not_blamed_on_the_learning_rate():
    with pytest.raises(
        Diverged, match=r"by step 0 at learning rate 0\.001; lower the init scale, start or importance\."
    ):
        trained(scale=1e20)
