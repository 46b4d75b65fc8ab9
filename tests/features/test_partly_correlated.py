"""Partly correlated features: the ends of their scale, the correlation between, and what a slider over it moves."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylib.features import Correlated, Independent, PartlyCorrelated

MOMENTS = ("mean", "second_moment", "covariance", "mean_norm")


@pytest.mark.parametrize(("c", "limit"), [(0, Independent(6)), (1, Correlated(2, 3))])
def test_at_the_ends_moments_and_nodes_are_those_of_the_limits(c, limit):
    features = PartlyCorrelated(2, 3, copy_probability=c)
    for S in (0.0, 0.4, 0.97):
        for moment in MOMENTS:
            np.testing.assert_allclose(getattr(features, moment)(S), getattr(limit, moment)(S), rtol=1e-5, atol=1e-8)
        for ours, theirs in zip(features.population(S), limit.population(S), strict=True):
            assert np.array_equal(ours, theirs)


def test_near_the_ends_the_states_tend_to_those_of_the_limits():
    p = jnp.float32(0.3)
    for c, limit in ((1e-6, Independent(6)), (1 - 1e-6, Correlated(2, 3))):
        near, exact = PartlyCorrelated(2, 3, copy_probability=c).states(), limit.states()
        known = {tuple(a): float(q) for a, q in zip(exact.active.tolist(), exact.probabilities(p), strict=True)}
        for active, q in zip(near.active.tolist(), near.probabilities(p), strict=True):
            assert float(q) == pytest.approx(known.get(tuple(active), 0.0), abs=1e-5)


@pytest.mark.parametrize(("c", "S"), [(0.3, 0.9), (0.8, 0.5)])
def test_moments_against_a_million_samples(c, S):
    features, number = PartlyCorrelated(2, 3, copy_probability=c), 1_000_000
    x = np.asarray(jax.jit(lambda key: features.sample(S, number, key=key))(jax.random.key(8)))
    squares = np.square(x)
    second, fourth = (part.T @ part / number for part in (x, squares))
    for found, spread, exact in (
        (x.mean(0), x.std(0), features.mean(S)),
        (second, np.sqrt(fourth - second**2), features.second_moment(S)),
    ):
        assert (abs(found - np.asarray(exact)) < 4.5 * spread / np.sqrt(number)).all()
    gates = np.corrcoef((x > 0).T)
    within = np.kron(np.eye(2), np.ones((3, 3))).astype(bool) & ~np.eye(6, dtype=bool)
    assert gates[within].mean() == pytest.approx(c**2, abs=0.01)
    assert abs(gates[~within & ~np.eye(6, dtype=bool)]).max() < 0.01


def test_copying_moves_single_features_and_leaves_values_and_choices():
    cs, u = np.linspace(0, 1, 9), jax.random.uniform(jax.random.key(1), (4096, 14 + 6))
    x = np.stack([PartlyCorrelated(2, 3, copy_probability=c).from_uniforms(0.7, u) for c in cs])
    assert np.array_equal(x[x > 0], np.broadcast_to(u[:, 14:], x.shape)[x > 0])
    active = x > 0
    assert (np.diff(active.astype(int), axis=0) != 0).sum(0).max() == 1  # each choice turns once
    assert np.array_equal(active[0], np.asarray(u[:, 2:8] < 1 - np.float32(0.7)))
    assert np.array_equal(active[-1], np.repeat(np.asarray(u[:, :2] < 1 - np.float32(0.7)), 3, axis=1))


def test_equal_designs_are_one_and_others_are_not():
    half = PartlyCorrelated(2, 3, copy_probability=0.5)
    same = PartlyCorrelated(2, 3, copy_probability=np.float64(0.5))
    assert half == same
    assert hash(half) == hash(same)
    assert repr(same) == "PartlyCorrelated(n_sets=2, set_size=3, copy_probability=0.5)"
    others = (PartlyCorrelated(2, 3, copy_probability=0.25), PartlyCorrelated(3, 2, copy_probability=0.5))
    assert half not in (*others, Correlated(2, 3))
    assert PartlyCorrelated(3, 2, copy_probability=1) == PartlyCorrelated(3, 2, copy_probability=1.0)
    assert others[1].n_features == 6
    assert others[1].sets == ((0, 1), (2, 3), (4, 5))


def test_many_features_have_no_list_of_states_but_all_moments():
    features = PartlyCorrelated(20, 5, copy_probability=0.5)
    assert features.states() is None
    assert features.population(0.9)[0].shape == (1024, 100)
    x = np.asarray(features.sample(0.9, 50_000, key=jax.random.key(2)), np.float64)
    norms = np.linalg.norm(x, axis=1)
    assert abs(float(features.mean_norm(0.9)) - norms.mean()) < 4 * norms.std() / np.sqrt(len(norms))


ABOUT = "it is the probability that a gate copies its set's, and their correlation is its square"


@pytest.mark.parametrize(
    ("c", "error", "came"),
    [
        (1.5, ValueError, "must lie in [0, 1], got 1.5"),
        (-0.1, ValueError, "must lie in [0, 1], got -0.1"),
        (np.nan, ValueError, "must lie in [0, 1], got nan"),
        (True, TypeError, "must be a real number, got True"),
        ("0.5", TypeError, "must be a real number, got '0.5'"),
    ],
)
def test_the_probability_is_checked(c, error, came):
    with pytest.raises(error, match=f"^{re.escape(f'copy_probability {came}; {ABOUT}')}$"):
        PartlyCorrelated(2, 3, copy_probability=c)


def test_the_probability_is_not_traced_and_sizes_are_checked():
    with pytest.raises(TypeError, match=r"^copy_probability must be known before tracing"):
        jax.jit(lambda c: PartlyCorrelated(2, 3, copy_probability=c).mean(0.5))(0.5)
    with pytest.raises(ValueError, match=r"^n_sets must be at least 1, got 0"):
        PartlyCorrelated(0, 3, copy_probability=0.5)
    with pytest.raises(TypeError, match=r"^set_size must be an integer, got 2\.5"):
        PartlyCorrelated(2, 2.5, copy_probability=0.5)
