"""Distributions that a user writes: what the class promises to those that give the least it asks for."""

import re
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylib.features import Features, States
from toylib.training import train

S, P = 0.7, 0.3


@dataclass(frozen=True)
class Detour(Features):
    """Features 0 and 1 have gates; where 0 is active alone, 2 joins it in a quarter of the cases, else 3."""

    n_features: int = 4

    @property
    def sets(self):
        return (0,), (1,), (2, 3)

    @property
    def n_gates(self):
        return 3

    def active(self, p, gates):
        first, second, rare = gates[0] < p, gates[1] < p, gates[2] < 0.25
        alone = first & ~second
        return jnp.stack([first, second, alone & rare, alone & ~rare])

    def states(self):
        active = [[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0]]
        on, off, factor = [0, 1, 1, 1, 2], [2, 1, 1, 1, 0], [1, 1, 0.25, 0.75, 1]
        return States(np.array(active, bool), np.array(on), np.array(off), np.array(factor))


DETOUR = Detour()
PROBABILITIES = {
    (0, 0, 0, 0): (1 - P) ** 2,
    (0, 1, 0, 0): (1 - P) * P,
    (1, 0, 1, 0): P * (1 - P) / 4,
    (1, 0, 0, 1): P * (1 - P) * 3 / 4,
    (1, 1, 0, 0): P * P,
}


def expected(function):
    """The mean of a function of the active features, over the states."""
    return sum(q * np.asarray(function(np.array(active))) for active, q in PROBABILITIES.items())


def test_samples_fall_on_the_states_as_often_as_they_should():
    number = 100_000
    x = np.asarray(DETOUR.sample(S, number, key=jax.random.key(4)))
    rows, numbers = np.unique(x > 0, axis=0, return_counts=True)
    counts = {tuple(row): count for row, count in zip(rows.astype(int).tolist(), numbers, strict=True)}
    assert counts.keys() == PROBABILITIES.keys()
    for active, q in PROBABILITIES.items():
        assert abs(counts[active] / number - q) < 4 * np.sqrt(q * (1 - q) / number), active
    values = x[x > 0]
    assert abs(values.mean() - 1 / 2) < 4 / np.sqrt(12 * len(values))
    assert abs(np.square(values).mean() - 1 / 3) < 4 * np.sqrt((1 / 5 - 1 / 9) / len(values))


def test_moments_are_those_of_the_states():
    mean = expected(lambda a: a / 2)
    second = expected(lambda a: np.where(np.eye(4), np.diag(a) / 3, np.outer(a, a) / 4))
    np.testing.assert_allclose(DETOUR.mean(S), mean, rtol=1e-6)
    np.testing.assert_allclose(DETOUR.second_moment(S), second, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(DETOUR.covariance(S), second - np.outer(mean, mean), rtol=1e-5, atol=1e-7)


def test_mean_norm_is_that_of_the_states():
    pair = (np.sqrt(2) + np.arcsinh(1)) / 3  # E‖U‖ over the unit square
    exact = expected(lambda a: [0, 1 / 2, pair][a.sum()])
    assert float(DETOUR.mean_norm(S)) == pytest.approx(exact, rel=1e-3)
    assert float(DETOUR.mean_norm(S, nonempty=True)) == pytest.approx(exact / (1 - (1 - P) ** 2), rel=1e-3)


@pytest.mark.parametrize("n_nodes", [64, 1024])  # one sequence, and one for each state
def test_population_stands_for_the_states(n_nodes):
    nodes, weights = (np.asarray(a, np.float64) for a in DETOUR.population(S, n_nodes=n_nodes))
    stratified = n_nodes == 1024
    for active, q in PROBABILITIES.items():
        here = ((nodes > 0) == np.array(active)).all(1)
        assert weights[here].sum() == pytest.approx(q, rel=1e-5 if stratified else 0.25, abs=0 if stratified else 0.02)
    second = expected(lambda a: np.where(np.eye(4), np.diag(a) / 3, np.outer(a, a) / 4))
    found = (nodes.T * weights) @ nodes
    np.testing.assert_allclose(found, second, rtol=5e-3 if stratified else 0.3, atol=1e-6 if stratified else 0.02)


def test_uniforms_make_the_same_picture_at_every_sparsity():
    u = jax.random.uniform(jax.random.key(2), (5, 7, DETOUR.n_uniforms))
    x = np.asarray(DETOUR.from_uniforms(S, u))
    assert x.shape == (5, 7, 4)
    gates, values = np.split(np.asarray(u), [3], -1)
    alone = (gates[..., 0] < P) & (gates[..., 1] >= P)
    active = [gates[..., 0] < P, gates[..., 1] < P, alone & (gates[..., 2] < 0.25), alone & (gates[..., 2] >= 0.25)]
    assert np.array_equal(x, values * np.stack(active, -1))


@dataclass(frozen=True)
class Endless(Detour):
    """The same, but it does not list its states."""

    def states(self):
        return None


@dataclass(frozen=True)
class Half(Endless):
    """The same, with one of the two closed forms."""

    def activity(self, p):
        return Detour().activity(p)


WITHOUT = (
    "a distribution must list its states or give activity and some_active, got {} without either; override these two "
    "methods"
)


@pytest.mark.parametrize("moment", ["mean", "second_moment", "covariance", "mean_norm"])
def test_moments_need_states_or_closed_forms(moment):
    with pytest.raises(TypeError, match=f"^{re.escape(WITHOUT.format('Endless'))}$"):
        getattr(Endless(), moment)(S)


def test_each_moment_needs_its_own_closed_form():
    assert np.array_equal(Half().covariance(S), DETOUR.covariance(S))
    with pytest.raises(TypeError, match=f"^{re.escape(WITHOUT.format('Half'))}$"):
        Half().mean_norm(S)


def test_samples_and_population_need_neither():
    key = jax.random.key(3)
    assert np.array_equal(Endless().sample(S, 50, key=key), DETOUR.sample(S, 50, key=key))
    nodes, weights = Endless().population(S)
    assert nodes.shape == (1024, 4)
    assert np.array_equal(weights, np.full(1024, 1 / 1024))
    found = (np.asarray(nodes) > 0).mean(0)
    np.testing.assert_allclose(found, expected(lambda a: a), atol=0.02)


class Melting(Detour):
    """The same, but as a dataclass that is not frozen makes it."""

    __hash__ = None


HASHABLE = (
    "features must be hashable, so that what is compiled for it serves again, got Melting: unhashable type: 'Melting'; "
    "make its class a dataclass(frozen=True) with hashable fields"
)


@pytest.mark.parametrize(
    "call",
    [
        lambda features: features.population(S),
        lambda features: train(features, S, n_hidden=2, n_steps=1, key=jax.random.key(0)),
    ],
)
def test_a_class_that_is_not_frozen_is_refused(call):
    with pytest.raises(TypeError, match=f"^{re.escape(HASHABLE)}$"):
        call(Melting())
