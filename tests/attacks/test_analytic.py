"""Attacks against brute force and each other, on random and trained models; foolbox as an outsider."""

import warnings
from functools import partial

import brute
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attacked import ATTACKS, BATCH, CASES, INPUTS, at_least, deltas_of, errors_of, mixed
from brute import WIDE, Case
from scipy.stats import chisquare

from toylib import attacks
from toylib.attacks import analytic, analytic_dataset, pgd, random_direction, random_feature
from toylib.model import Params


def directions(W, signs):
    """G_i/‖G_i‖ for each feature, then their negatives."""
    G = np.float64(W).T @ W
    norms = np.linalg.norm(G, axis=1, keepdims=True)
    plus = np.divide(G, norms, out=np.zeros_like(G), where=norms > 0)
    return plus if signs == "+" else np.concatenate([plus, -plus])


# All attacks


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_finite_and_no_longer_than_the_radius(name):
    norms, radii = np.linalg.norm(deltas_of(name), axis=1), np.array([case.radius for case in CASES])
    assert (norms <= radii * (1 + 1e-5)).all()
    assert (deltas_of(name)[radii == 0] == 0).all()
    if name in ("analytic +", "random direction"):
        alive = np.array([name == "random direction" or np.any(case.W, axis=0).all() for case in CASES])
        np.testing.assert_allclose(norms[alive], radii[alive], rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ("random direction", "one noisy step")])
def test_dead_models_are_not_attacked(name):
    dead = np.array([not np.any(case.W) for case in CASES])
    assert dead.sum() == 15
    assert (deltas_of(name)[dead] == 0).all()


@pytest.mark.parametrize("name", ["pgd", "latent", "one step", "analytic ±"])
def test_attacks_are_finite_on_rare_inputs(name):
    X = WIDE.sample(1 - 1e-4, INPUTS, key=jax.random.key(20))
    assert 0 < np.asarray(X).any(1).sum() < 5
    params, keys = brute.trained()[0], jax.random.split(jax.random.key(0), INPUTS)
    norms = np.linalg.norm(BATCH[name](params, X, 2.0, key=keys), axis=1)
    assert (norms <= 2 * (1 + 1e-5)).all()
    assert (norms[np.asarray(X).any(1)] > 0).all()


# Attacks on features


@pytest.mark.parametrize("signs", ["+", "±"])
def test_analytic_is_the_most_harmful_of_all_features(signs):
    for case, delta, error in mixed(f"analytic {signs}"):
        candidates = case.radius * directions(case.W, signs)
        assert np.sqrt(error) >= np.sqrt(case.error(candidates).max()) * (1 - 1e-6) - case.rounding()
        assert np.linalg.norm(candidates - delta, axis=1).min() <= 1e-5 * case.radius


def test_both_signs_are_at_least_as_harmful_as_one():
    assert at_least(errors_of("analytic ±"), errors_of("analytic +")).all()
    # Here all outputs are too small: 0.49 of x_i and of δ_i.
    params, x = Params(0.7 * jnp.eye(3), jnp.zeros(3)), jnp.asarray([0.4, 0.9, 0.6])
    np.testing.assert_allclose(analytic(params, x, 0.1, signs="±"), -0.1 * np.eye(3)[1], atol=1e-7)
    np.testing.assert_allclose(analytic(params, x, 0.1, signs="+"), 0.1 * np.eye(3)[0], atol=1e-7)


@pytest.mark.parametrize("signs", ["+", "±"])
def test_analytic_dataset_is_the_best_single_feature(signs):
    attack, chosen = jax.jit(partial(analytic_dataset, signs=signs)), []
    for seed in range(9):
        rng = np.random.default_rng(seed)
        W, b = np.float32(rng.normal(size=(3, 7))), np.float32(-rng.random(7))
        W, b = (W, b) if seed < 8 else (np.float32(0.7 * np.eye(3, 7)), 0 * b)  # all outputs are too small
        X = np.float32(rng.random((40, 7)) * (rng.random((40, 7)) < 0.3))
        candidates = 0.7 * directions(W, signs)
        errors = np.array([Case(W, b, x, 0.7).error(candidates) for x in X])
        params = Params(jnp.asarray(W), jnp.asarray(b))
        delta, feature = attack(params, jnp.asarray(X), 0.7)
        best = errors.mean(0).argmax()
        assert feature == best % 7
        chosen.append(best >= 7)
        np.testing.assert_allclose(delta, candidates[best], atol=1e-6)
        keys = jax.random.split(jax.random.key(0), len(X))
        own = np.asarray(BATCH[f"analytic {signs}"](params, jnp.asarray(X), 0.7, key=keys))
        assert np.mean([Case(W, b, x, 0.7).error(d) for x, d in zip(X, own, strict=True)]) >= errors.mean(0).max()
    assert any(chosen) == (signs == "±")


@pytest.mark.parametrize(("signs", "scale"), [("+", 1), ("±", 1e-12)])  # squares of 1e-24 underflow
def test_random_feature_is_uniform(signs, scale):
    W = np.float32(scale * np.random.default_rng(0).normal(size=(3, 7)))
    params, x = Params(jnp.asarray(W), jnp.zeros(7)), jnp.zeros(7)
    keys = jax.random.split(jax.random.key(0), 7000)
    deltas = np.asarray(jax.vmap(lambda key: random_feature(params, x, 0.5, key=key, signs=signs))(keys), np.float64)
    cosines = 2 * deltas @ directions(W, signs).T
    np.testing.assert_allclose(cosines.max(1), 1, atol=1e-5)
    assert chisquare(np.bincount(cosines.argmax(1), minlength=cosines.shape[1])).pvalue > 1e-3


def test_random_feature_may_be_a_dead_one():
    params = Params(jnp.asarray(np.eye(3, 7), jnp.float32), jnp.zeros(7))
    keys = jax.random.split(jax.random.key(0), 2000)
    deltas = np.asarray(jax.vmap(lambda key: random_feature(params, jnp.ones(7), 1.0, key=key))(keys))
    assert (deltas == 0).all(1).mean() == pytest.approx(4 / 7, abs=0.05)
    assert (deltas[:, 3:] == 0).all()


SOME = np.float32(np.random.default_rng(3).normal(size=(3, 7)))


@partial(jax.jit, static_argnames="row_space")
def _drawn(W, radius, keys, row_space):
    params, x = Params(W, jnp.zeros(W.shape[1])), jnp.zeros(W.shape[1])
    return jax.vmap(lambda key: random_direction(params, x, radius, key=key, row_space=row_space))(keys)


def drawn(W, radius, row_space=True):
    """20,000 random directions of `radius`, (20000, n)."""
    keys = jax.random.split(jax.random.key(0), 20_000)
    return np.asarray(_drawn(jnp.asarray(W, jnp.float32), radius, keys, row_space), np.float64)


def test_random_direction_is_uniform_on_the_sphere():
    deltas = drawn(SOME, 2.0, row_space=False)
    np.testing.assert_allclose(np.linalg.norm(deltas, axis=1), 2, rtol=1e-6)
    np.testing.assert_allclose(deltas.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(deltas.T @ deltas / len(deltas), 4 / 7 * np.eye(7), atol=0.03)


def test_random_direction_is_uniform_in_the_row_space():
    deltas, Q = drawn(SOME, 2.0), np.linalg.qr(np.float64(SOME.T))[0]
    np.testing.assert_allclose(np.linalg.norm(deltas, axis=1), 2, rtol=1e-5)
    c = deltas @ Q
    np.testing.assert_allclose(c @ Q.T, deltas, atol=1e-5)  # nothing is outside
    np.testing.assert_allclose(c.mean(0), 0, atol=0.035)
    np.testing.assert_allclose(c.T @ c / len(c), 4 / 3 * np.eye(3), atol=0.035)
    # A coordinate of a uniform point of the sphere is itself uniform, in three dimensions.
    for column in c.T:
        assert chisquare(np.histogram(column, bins=16, range=(-2, 2))[0]).pvalue > 1e-3


def test_the_row_space_has_the_documented_share_of_a_random_direction():
    Q = np.linalg.qr(np.float64(SOME.T))[0]
    assert np.square(drawn(SOME, 0.7, row_space=False) @ Q).sum(1).mean() == pytest.approx(0.49 * 3 / 7, rel=0.02)


def test_random_direction_in_the_row_space_of_a_model_of_lower_rank():
    row = np.array([0.3, -1.0, 0.0, 0.2, 0.5, 0.0, 0.1])
    deltas = drawn(np.outer([1.0, -2.0, 0.5], row), 0.3)
    signs = np.sign(deltas @ row)
    np.testing.assert_allclose(deltas, signs[:, None] * 0.3 * row / np.linalg.norm(row), atol=1e-6)
    assert 0.48 < (signs > 0).mean() < 0.52
    assert not drawn(np.zeros((3, 7)), 0.3).any()
    few = drawn(np.random.default_rng(0).normal(size=(5, 2)), 0.3)  # all of the plane
    np.testing.assert_allclose(few.T @ few / len(few), 0.045 * np.eye(2), atol=0.001)


# In jit and under vmap


@pytest.mark.parametrize(
    "attack",
    [attacks.worst_case, analytic, partial(pgd, key=jax.random.key(0))],
    ids=["worst case", "analytic", "pgd"],
)
def test_new_models_and_radii_compile_nothing(attack, compiled):
    compile_once, cases = jax.jit(attack), [brute.arrays(case) for case in brute.random_cases(2, 6, 11, seed=1)]
    first = jax.block_until_ready(compile_once(*cases[0]))
    assert compiled
    del compiled[:]
    others = [compile_once(*case) for case in cases[1:]]
    assert compiled == []
    assert any(not np.array_equal(first, other) for other in others)


# Foolbox


def foolbox_pgd(params, X, radius, *, runs, steps):
    """The best of some runs of foolbox's L2 PGD with our loss, x + δ anywhere, (batch, n)."""
    with warnings.catch_warnings():
        # Foolbox 3.3.4 imports gaussian_filter from where SciPy had it before 1.8.
        warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
        import foolbox

    class Reconstruction(foolbox.attacks.L2ProjectedGradientDescentAttack):
        def get_loss_fn(self, model, target):
            return lambda x: (model(x) - target).square().sum()

    @jax.jit
    def model(x):
        return jax.nn.relu((x @ params.W.T) @ params.W + params.b)

    bounded = foolbox.models.JAXModel(model, bounds=(-1e3, 1e3))
    criterion = foolbox.criteria.Misclassification(X)  # carries the target
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        attack = Reconstruction(steps=steps, rel_stepsize=0.1)
        return [np.asarray(attack.run(bounded, X, criterion, epsilon=radius) - X, np.float64) for _ in range(runs)]


@pytest.mark.parametrize("m", [2, 3, 20])
def test_foolbox_does_no_more_harm(m, monkeypatch):
    import eagerpy

    monkeypatch.setattr(eagerpy.JAXTensor, "key", None)  # its random numbers start anew
    if m == 20:
        params, X, radius = brute.trained()[1], WIDE.sample(0.95, INPUTS, key=jax.random.key(0)), 0.5
    else:
        rng = np.random.default_rng(m)
        params = Params(jnp.asarray(rng.normal(size=(m, 7)), jnp.float32), jnp.full(7, -0.2))
        X, radius = jnp.asarray(rng.random((INPUTS, 7)) * (rng.random((INPUTS, 7)) < 0.3), jnp.float32), 0.4
    cases = [Case(*params, x, radius) for x in X]
    clean = np.array([case.error() for case in cases])

    def gains(deltas):
        return np.array([case.error(delta) for case, delta in zip(cases, deltas, strict=True)]) - clean

    foreign = np.max([gains(deltas) for deltas in foolbox_pgd(params, X, radius, runs=2, steps=40)], axis=0)
    keys = jax.random.split(jax.random.key(0), INPUTS)
    if m == 20:
        deltas = BATCH["pgd"](params, X, radius, key=keys)
    else:
        deltas = [pgd(params, x, radius, key=key) for x, key in zip(X, keys, strict=True)]
    ours = gains(np.asarray(deltas, np.float64))
    bound = np.array([float(attacks.worst_case(params, x, radius)[1]) for x in X])
    assert (clean + foreign <= bound * (1 + 1e-6)).all()
    assert 0.5 * ours.mean() < foreign.mean() <= ours.mean()
