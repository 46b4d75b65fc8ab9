"""Audits of small models against NumPy in double precision: every field, the readings, and silence three ways."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylib.attacks import NOISE, Audit, audit, readings, silence
from toylib.model import Params

SHAPES, RADII, SAMPLES, TRIES = ((3, 8), (5, 12)), (0.1, 0.6, 1.5), 20, 2000
UNGUIDED = ("noise", "one_step", "noisy_step", "pgd_unguided", "latent_unguided")
ATTACKED = (*UNGUIDED, "analytic", "analytic_signs", "pgd", "latent")
KEY = jax.random.key(0)


class Model(NamedTuple):
    """A model and inputs in double precision, exactly those that the library gets."""

    W: np.ndarray
    b: np.ndarray
    X: np.ndarray

    @property
    def gram(self):
        return self.W.T @ self.W

    def before(self, deltas=0.0):
        """Pre-activations, (samples, n), or (..., samples, n) for δ (..., samples, n)."""
        return (self.X + deltas) @ self.gram + self.b

    def errors(self, deltas=0.0):
        return np.square(np.maximum(self.before(deltas), 0) - self.X).sum(-1)

    def gradients(self):
        z = self.before()
        return 2 * ((np.maximum(z, 0) - self.X) * (z > 0)) @ self.gram

    def directions(self):
        """G_i/‖G_i‖ in rows, 0 for a dead feature."""
        norms = np.linalg.norm(self.gram, axis=1, keepdims=True)
        return self.gram / np.where(norms > 0, norms, 1)

    def arrays(self):
        return Params(*(jnp.asarray(a, jnp.float32) for a in self[:2])), jnp.asarray(self.X, jnp.float32)


def model(m, n, samples=SAMPLES):
    """A model with mostly negative biases and a dead feature; inputs from empty, two of them, to dense."""
    rng = np.random.default_rng(m)
    W, b = 0.8 * rng.normal(size=(m, n)) / np.sqrt(m), -0.5 - 0.3 * rng.random(n)
    W[:, 2], b[2] = 0, -0.1
    X = rng.random((samples, n)) * (rng.random((samples, n)) < np.linspace(0, 0.7, samples)[:, None])
    X[:2] = 0
    X[2] = 0.1 * np.eye(n)[0]  # not empty, and too faint to turn a unit on
    X[3, 2] = 1.0  # one with the dead feature
    return Model(*(np.asarray(a, np.float32).astype(float) for a in (W, b, X)))


class Case(NamedTuple):
    model: Model
    radius: float
    found: Audit


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def cases(request):
    """One model audited at each of RADII."""
    small = model(*request.param)
    params, X = small.arrays()

    def at(radius):
        found = audit(params, X, radius, key=KEY)
        return Case(small, float(np.float32(radius)), Audit(*(np.asarray(column) for column in found)))

    return [at(radius) for radius in RADII]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def candidates(case):
    """Errors of ±radius·G_i/‖G_i‖, (2n, samples)."""
    pushes = case.model.directions()
    return case.model.errors(case.radius * np.concatenate([pushes, -pushes])[:, None])


def random_attacks(case, radius, seed=0):
    """(TRIES, 1, n): half of norm `radius`, half shorter."""
    rng = np.random.default_rng(seed)
    deltas = rng.normal(size=(TRIES, 1, case.model.X.shape[1]))
    deltas *= radius / np.linalg.norm(deltas, axis=-1, keepdims=True)
    deltas[TRIES // 2 :] *= rng.random((TRIES // 2, 1, 1))
    return deltas


def test_fields_have_one_entry_a_sample(cases):
    for case in cases:
        assert {column.shape for column in case.found} == {(SAMPLES,)}
        flags = {name for name, column in case.found._asdict().items() if column.dtype == bool}
        assert flags == {"certified", "silent", "empty"}


def test_clean_and_analytic_errors_by_brute_force(cases):
    for case in cases:
        tried = candidates(case)
        close(case.found.clean, case.model.errors())
        close(case.found.analytic, tried[: len(tried) // 2].max(0))
        close(case.found.analytic_signs, tried.max(0))


def test_one_step_follows_the_gradient(cases):
    for case in cases:
        slopes = case.model.gradients()
        norms = np.linalg.norm(slopes, axis=1, keepdims=True)
        close(case.found.one_step, case.model.errors(case.radius * slopes / np.where(norms > 0, norms, 1)))
        still = case.found.silent & (case.found.distance > NOISE)  # the start of the noisy step is in the dead zone
        assert still.any()
        assert (case.found.noisy_step == case.found.clean)[still].all()
        assert (case.found.noisy_step != case.found.one_step)[~case.found.silent].any()


def test_noise_stays_below_the_norm_of_the_model(cases):
    reached = []
    for case in cases:
        most = np.square(np.sqrt(case.model.errors()) + case.radius * np.linalg.norm(case.model.gram, 2))
        assert (case.found.noise <= most * (1 + 1e-5)).all()
        reached.append((case.found.noise != case.found.clean).mean())
    assert reached[-1] > 0.5


def test_order_of_attacks_and_bounds(cases):
    for case in cases:
        found = case.found
        for name in ("clean", *ATTACKED):
            errors = getattr(found, name)
            assert (found.lower >= errors).all(), name
            assert (found.upper >= errors * (1 - 1e-6)).all(), name
        assert (found.upper >= found.lower * (1 - 1e-6)).all()
        assert (found.pgd >= found.analytic_signs * (1 - 1e-5)).all()
        assert (found.latent >= found.analytic_signs * (1 - 1e-5)).all()
        assert (found.analytic_signs >= found.analytic).all()
        assert (found.pgd >= found.pgd_unguided).all()
        assert (found.latent >= found.latent_unguided).all()
        assert (found.pgd_unguided >= found.one_step * (1 - 1e-5)).all()
    # Where biases hide what the analytic attack finds, a search without it has less.
    assert any((case.found.pgd_unguided < 0.5 * case.found.pgd).any() for case in cases)


def test_no_random_attack_exceeds_the_bound(cases):
    for case in cases:
        tried = case.model.errors(random_attacks(case, case.radius)).max(0)
        assert (tried <= case.found.upper * (1 + 1e-6)).all()
        if len(case.model.W) <= 3:
            assert (case.found.upper - case.found.lower <= 1e-3 * case.found.upper + 1e-5).all()
            assert (tried <= case.found.lower * (1 + 1e-3)).all()


def test_silent_is_an_exactly_zero_gradient(cases):
    for case in cases:
        zero = (case.model.gradients() == 0).all(1)
        np.testing.assert_array_equal(case.found.silent, zero)
        assert 3 <= zero.sum() < SAMPLES
        assert zero[~case.found.empty].any()


def test_active_and_empty(cases):
    for case in cases:
        on = (case.model.before() > 0).mean(1)
        close(case.found.active, on)
        assert on.max() > 0.2
        np.testing.assert_array_equal(case.found.empty, (case.model.X == 0).all(1))


def test_certified_are_those_whose_every_unit_stays_harmless(cases):
    certified = []
    for case in cases:
        z, x, reach = case.model.before(), case.model.X, case.radius * np.linalg.norm(case.model.gram, axis=1)
        high = z + reach
        harmless = (high <= 0) | (reach == 0) | ((x > 0) & (z <= 0) & (high <= 2 * x))
        np.testing.assert_array_equal(case.found.certified, harmless.all(1))
        held = case.found.certified
        clean, tried = case.model.errors()[held], case.model.errors(random_attacks(case, case.radius))[:, held]
        assert (tried <= clean * (1 + 1e-12)).all()
        for name in ("lower", "upper", *ATTACKED[5:]):
            close(getattr(case.found, name)[held], clean)
        certified.append(held.sum())
    assert 3 <= certified[0] < SAMPLES
    assert certified == sorted(certified, reverse=True)
    assert certified[-1] == 0


def test_distance_is_the_smallest_push_that_turns_a_unit_on(cases):
    for case in cases[:1]:  # it does not depend on the radius
        z, reach = case.model.before(), np.linalg.norm(case.model.gram, axis=1)
        norms = np.array(
            [[-u / r if u <= 0 and r > 0 else np.inf for u, r in zip(row, reach, strict=True)] for row in z]
        )
        np.testing.assert_allclose(case.found.distance, norms.min(1), rtol=1e-5, atol=1e-6)
        first, pushes = norms.argmin(1), case.model.directions()
        for s, (j, distance) in enumerate(zip(first, np.float64(case.found.distance), strict=True)):
            one = case.model._replace(X=case.model.X[s : s + 1])
            below, above = ((distance * (1 + side) + 0.1 * side) * pushes[j] for side in (-1e-5, 1e-5))
            off = z[s] <= 0
            assert one.before(above)[0, j] > 0
            assert (one.before(below)[0, off] <= 0).all()
            shorter = random_attacks(case, np.linalg.norm(below), seed=s)[:, 0]
            assert (one.before(shorter)[:, off] <= 0).all()
    for case in cases[1:]:
        np.testing.assert_array_equal(case.found.distance, cases[0].found.distance)


def test_distance_of_models_with_nothing_to_turn_on():
    small = model(3, 8)
    on = Params(
        jnp.asarray(small.W, jnp.float32), jnp.asarray(np.full(8, 9.0, np.float32))
    )  # and the dead feature, whose unit no push moves
    dead = Params(jnp.zeros((3, 8)), -jnp.ones(8))
    edge = Params(on.W, jnp.zeros(8))
    _, X = small.arrays()
    for params, distance, silent in ((on, np.inf, False), (dead, np.inf, True), (edge, 0, True)):
        found = audit(params, X[:SAMPLES], 0.1, key=KEY)
        assert found.distance[0] == distance
        assert found.silent[0] == silent
    assert not found.certified[0]  # at the edge the least push turns a unit on


def test_a_norm_of_zero_does_nothing(cases):
    params, X = cases[0].model.arrays()
    found = audit(params, X, 0.0, key=KEY)
    for name in ("clean", *ATTACKED, "lower", "upper"):
        close(getattr(found, name), cases[0].model.errors())
    assert found.certified.all()
    for name in ("active", "silent", "distance", "empty"):
        np.testing.assert_array_equal(getattr(found, name), getattr(cases[0].found, name))


def test_the_key_decides_random_attacks_alone(cases):
    params, X = cases[1].model.arrays()
    again, other = (audit(params, X, RADII[1], key=key) for key in (KEY, jax.random.key(1)))
    for name in Audit._fields:
        np.testing.assert_array_equal(getattr(again, name), getattr(cases[1].found, name))
    assert (other.noise != again.noise).any()
    for name in ("clean", "one_step", "analytic", "analytic_signs", "upper", "certified", "active", "silent"):
        np.testing.assert_array_equal(getattr(other, name), getattr(again, name))


# Readings

RADIUS = 0.5


def halves(m, n):
    """Samples of the first features, and as many of the last: which feature harms most may differ."""
    X = model(m, n, samples=40).X
    first = np.arange(n) < n // 2
    return X[::2] * first, X[1::2] * ~first


def gains(small, X, delta):
    """Gains of one δ (n,), or one δ a sample, on each of X, in units of radius²."""
    there = small._replace(X=X)
    return (there.errors(delta) - there.errors()) / RADIUS**2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_readings_choose_on_one_half_and_measure_on_the_other(shape):
    small, (chosen_on, measured_on) = model(*shape), halves(*shape)
    plus = RADIUS * small.directions()
    either = np.concatenate([plus, -plus])
    best, best_either = (max(d, key=lambda delta: gains(small, chosen_on, delta).mean()) for d in (plus, either))
    each, each_either = (np.max([gains(small, measured_on, delta) for delta in d], 0).mean() for d in (plus, either))
    expected = {
        "dataset": gains(small, measured_on, best).mean(),
        "in_sample": gains(small, chosen_on, best).mean(),
        "dataset_signs": gains(small, measured_on, best_either).mean(),
        "sample": each,
        "sample_signs": each_either,
    }
    params, _ = small.arrays()
    found = readings(params, jnp.float32(chosen_on), jnp.float32(measured_on), RADIUS)
    for name, value in found._asdict().items():
        assert value.shape == ()
        assert float(value) == pytest.approx(expected[name], rel=1e-4), name
    assert expected["dataset"] != pytest.approx(expected["in_sample"], rel=1e-3)
    if shape == SHAPES[1]:  # the halves disagree about the feature
        assert expected["dataset"] < max(gains(small, measured_on, d).mean() for d in plus) - 0.01


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_readings_on_one_set_are_ordered(shape):
    params, X = model(*shape).arrays()
    found = readings(params, X, X, RADIUS)
    assert float(found.dataset) == pytest.approx(float(found.in_sample))
    at_most = 1 + 1e-6  # the same sums, in another order
    assert found.in_sample <= found.dataset_signs * at_most <= found.sample_signs * at_most**2
    assert found.in_sample <= found.sample * at_most <= found.sample_signs * at_most**2


# Silence


def table(samples=400):
    """An audit with every combination of what silence looks at."""
    rng = np.random.default_rng(0)
    columns = {name: np.ones(samples, np.float32) for name in Audit._fields}
    flags = {name: rng.random(samples) < 0.5 for name in ("certified", "silent", "empty")}
    return Audit(**columns | flags | {"analytic_signs": rng.choice([0.5, 1, 1.5], samples)})


def split(found, kept):
    """Shares of certified, masked and unresolved, counted one by one."""
    counts, total = [0, 0, 0], 0
    for s in range(len(found.clean)):
        if kept[s]:
            total += 1
            if found.silent[s]:
                works = found.analytic_signs[s] > found.clean[s]
                counts[0 if found.certified[s] else 1 if works else 2] += 1
    return [count / total for count in counts]


def test_silence_of_a_table():
    found = table()
    everything = silence(found)
    assert list(everything) == pytest.approx(split(found, np.ones(400, bool)))
    assert sum(everything) == pytest.approx(found.silent.mean())
    assert min(everything) > 0.05
    rest = silence(found, nonempty=True)
    assert list(rest) == pytest.approx(split(found, ~found.empty))
    assert sum(rest) == pytest.approx(found.silent[~found.empty].mean())
    assert rest != everything
    assert all(type(share) is float for share in (*everything, *rest))


def test_silence_of_audits(cases):
    parts = [silence(case.found) for case in cases]
    for case, part in zip(cases, parts, strict=True):
        assert list(part) == pytest.approx(split(case.found, np.ones(SAMPLES, bool)))
        assert sum(part) == pytest.approx(case.found.silent.mean())
        assert sum(silence(case.found, nonempty=True)) == pytest.approx(case.found.silent[~case.found.empty].mean())
    assert parts[0].masked == 0
    assert parts[-1].certified == 0
    assert parts[-1].masked > 0  # a longer push reaches over the edge of the dead zone
    together = Audit(*(np.concatenate(columns) for columns in zip(*(case.found for case in cases), strict=True)))
    assert list(silence(together)) == pytest.approx(np.mean(parts, 0))


def test_silence_needs_a_sample():
    found = Audit(*(column[:5] for column in table()))._replace(empty=np.ones(5, bool))
    assert sum(silence(found)) == pytest.approx(found.silent.mean())
    with pytest.raises(
        ValueError, match=r"^a share needs at least one sample, got none that is not empty; audit more samples$"
    ):
        silence(found, nonempty=True)


# Arguments


NEGATIVE = "radius must be at least 0 and finite in single precision, got {}; it is an L2 norm"
ATTACKABLE = "attack a model that has not diverged, on finite inputs"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"radius": -0.1}, ValueError, NEGATIVE.format("-0.1")),
        ({"radius": np.nan}, ValueError, NEGATIVE.format("nan")),
        ({"radius": np.inf}, ValueError, NEGATIVE.format("inf")),
        ({"radius": "0.1"}, TypeError, "radius must be a real number, got '0.1'; it is an L2 norm"),
        (
            {"key": np.zeros(2, np.uint32)},
            TypeError,
            "key must come from jax.random.key, got an array of uint32; pass jax.random.key(seed)",
        ),
        ({"key": 0}, TypeError, "key must come from jax.random.key, got 0; pass jax.random.key(seed)"),
        (
            {"key": jax.random.split(KEY, 2)},
            ValueError,
            "key must have rank 0, got shape (2,); pass one key, which is split over the samples",
        ),
        (
            {"X": jnp.full((2, 8), np.nan)},
            ValueError,
            f"x must be finite, got NaN or infinity in 16 of 16 entries; {ATTACKABLE}",
        ),
        (
            {"b": jnp.full(8, np.inf)},
            ValueError,
            f"b must be finite, got NaN or infinity in 8 of 8 entries; {ATTACKABLE}",
        ),
        (
            {"W": jnp.full((3, 8), np.nan)},
            ValueError,
            f"W must be finite, got NaN or infinity in 24 of 24 entries; {ATTACKABLE}",
        ),
        (
            {"X": jnp.ones(8)},
            ValueError,
            "x must have shape (any, 8), got (8,); its rows are samples, so one sample is x[None]",
        ),
        ({"X": jnp.ones((2, 7))}, ValueError, "x must have shape (any, 8), got (2, 7); W (3, 8) has 8 features"),
        (
            {"X": jnp.ones((2, 8), int)},
            TypeError,
            "x must be a floating-point array, got int32; convert it to jnp.float32",
        ),
    ],
)
def test_arguments_of_audit_are_checked(change, error, message):
    arguments = {"W": jnp.ones((3, 8)), "b": jnp.zeros(8), "X": jnp.ones((2, 8)), "radius": 0.1, "key": KEY} | change
    with pytest.raises(error) as caught:
        audit(Params(arguments["W"], arguments["b"]), arguments["X"], arguments["radius"], key=arguments["key"])
    assert str(caught.value) == message


@pytest.mark.parametrize(("radius", "came"), [(0.0, "0"), (-0.5, "-0.5"), (np.nan, "nan")])
def test_readings_need_a_norm(radius, came):
    params, X = model(*SHAPES[0]).arrays()
    rule = "radius must be above 0 and finite in single precision"
    with pytest.raises(ValueError, match=rf"^{rule}, got {came}; vulnerability is a gain relative to its square$"):
        readings(params, X, X, radius)
    with pytest.raises(ValueError, match=f"^W must be finite, got NaN or infinity in 24 of 24 entries; {ATTACKABLE}$"):
        readings(params._replace(W=params.W * jnp.nan), X, X, 0.5)


def test_readings_and_audit_take_a_concrete_radius_while_tracing():
    params, X = model(*SHAPES[0]).arrays()
    radius = jnp.float32(0.5)
    along = jax.jit(jax.vmap(lambda b: readings(Params(params.W, b), X, X, radius)))
    traced = jax.tree.map(lambda field: field[1], along(jnp.stack([0 * params.b, params.b])))
    for ours, plain in zip(traced, readings(params, X, X, radius), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5)
    traced = jax.jit(lambda params: audit(params, X, radius, key=KEY))
    np.testing.assert_allclose(traced(params).upper, audit(params, X, radius, key=KEY).upper, rtol=1e-4)

    # A model that diverged is nan and not counted.
    found = traced(params._replace(W=params.W * jnp.nan))
    assert not np.any(found.certified)
    for name, values in found._asdict().items():
        assert values.dtype == bool or np.isnan(values).all(), name
    message = rf"clean must be finite, got NaN or infinity in {len(X)} of {len(X)} entries; audit a model that has not"
    with pytest.raises(ValueError, match=f"^{message} diverged$"):
        silence(found)
