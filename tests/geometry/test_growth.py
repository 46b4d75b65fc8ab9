"""Growth rates and crossings of curves made by hand; trees of columns against a plain agglomeration and exact cases."""

import re
from itertools import combinations

import numpy as np
import pytest
from arrangements import EXACT, OCTAHEDRON, SETS, orthogonal, prism
from scipy.special import expit

from toylib import geometry
from toylib.features import Hierarchical

STEPS = np.arange(0, 4000, 20)


def logistic(start, rate):
    return expit(np.log(start / (1 - start)) + rate * STEPS)


# Curves


def test_growth_rate_of_the_law_is_its_rate():
    rates = np.array([[0.002, 0.005], [0.01, 0.03]])
    curves = np.stack([[logistic(1e-4, rate) for rate in row] for row in rates])
    np.testing.assert_allclose(geometry.growth_rate(STEPS, curves), rates, rtol=1e-9)
    np.testing.assert_allclose(geometry.growth_rate(STEPS, curves[0, 0], low=0.01, high=0.9), 0.002, rtol=1e-9)


def test_growth_rate_looks_at_its_stretch_alone():
    a = np.where(STEPS < 1000, logistic(1e-4, 0.001), np.where(STEPS < 2000, logistic(1e-5, 0.0045), 0.5))
    low, high = a[STEPS == 1200][0], a[STEPS == 1800][0]
    assert geometry.growth_rate(STEPS, a, low=low, high=high) == pytest.approx(0.0045)
    assert np.isnan(geometry.growth_rate(STEPS, np.full(len(STEPS), 1e-4)))  # never above `low`
    assert np.isnan(geometry.growth_rate(STEPS, logistic(1e-4, 0.3)))  # through in less than three snapshots
    assert geometry.growth_rate(STEPS, logistic(1e-2, 1e-5)) == pytest.approx(1e-5)  # never above `high`


def test_growth_rate_is_fitted_from_above_low_to_not_above_high():
    """By default from 0.001 to 0.05: a line through exactly these, by the formula of least squares."""
    steps = np.array([0, 10, 25, 45, 60, 90, 100, 130.0])
    a = np.array([0.0005, 0.00095, 0.00105, 0.004, 0.02, 0.0495, 0.0505, 0.2])
    t, y = steps[2:6], np.log(a[2:6] / (1 - a[2:6]))
    slope = ((t - t.mean()) * (y - y.mean())).sum() / np.square(t - t.mean()).sum()
    assert geometry.growth_rate(steps, a) == pytest.approx(slope, rel=1e-9)
    for number in (2, 3):
        few = np.array([0.0005, *np.linspace(0.01, 0.04, number), *np.linspace(0.1, 0.9, 7 - number)])
        assert np.isfinite(geometry.growth_rate(steps, few)) == (number == 3)


def test_crossing_interpolates():
    values = [[0, 1, 3, 2, 9], [0, 0, 0, 0, 0], [5, 4, 3, 2, 1], [np.nan, np.nan, 4, 5, 6], [0, 2, 2, 2, 9]]
    found = geometry.crossing([0, 10, 20, 30, 50], values, 2.0)
    np.testing.assert_allclose(found, [15, np.nan, 0, 20, 10])
    halves = geometry.crossing([0, 10, 20, 30, 50], values[:2], np.array([4.5, 0.0]))
    np.testing.assert_allclose(halves, [30 + 20 * 2.5 / 7, 0])
    assert geometry.crossing([0, 1], [0.0, 1.0], 0.25) == 0.25


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: geometry.crossing([0, 1], [1.0, 2.0, 3.0], 1),
            "curves must have as many values as there are steps, got (3,) and (2,); take both from a run",
        ),
        (
            lambda: geometry.growth_rate([0, 1, 2], [0.1] * 3, low=0.5, high=0.1),
            "low and high must be in order in (0, 1), got 0.5 and 0.1; try 0.001 and 0.05",
        ),
        (
            lambda: geometry.dendrogram(np.ones((3, 1))),
            "W must have at least 2 columns, got 1; one has no tree",
        ),
        (
            lambda: geometry.dendrogram(np.full((3, 2), np.nan)),
            "W must be finite, got NaN or infinity in 6 of 6 entries; leave out what diverged, and say so",
        ),
        (
            lambda: geometry.branching(np.ones((3, 6)), ((0, 1, 2),)),
            "sets must be at most 6 that hold all 6 features, got ((0, 1, 2),); take them from features",
        ),
        (
            lambda: geometry.branching(np.ones((3, 7)), [(i,) for i in range(7)]),
            "sets must be at most 6 that hold all 7 features, got [(0,), (1,), (2,), (3,), (4,), (5,), (6,)]; "
            "take them from features",
        ),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


# Trees


def agglomerated(W):
    """Join the two nearest branches until one is left, by brute force; the distances and the sets that joined."""
    branches, made = [frozenset([i]) for i in range(W.shape[1])], []

    def apart(pair):
        return np.sqrt(np.mean([np.sum((W[:, i] - W[:, j]) ** 2) for i in pair[0] for j in pair[1]]))

    while len(branches) > 1:
        a, b = min(combinations(branches, 2), key=apart)
        made.append((apart((a, b)), a | b))
        branches = [branch for branch in branches if branch not in (a, b)] + [a | b]
    return made


@pytest.mark.parametrize("seed", range(10))
def test_dendrogram_against_plain_agglomeration(seed):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(rng.integers(1, 5), rng.integers(2, 9)))
    tree, n = geometry.dendrogram(W), W.shape[1]
    members = [frozenset([i]) for i in range(n)]
    for i, j, *_ in tree:
        members.append(members[int(i)] | members[int(j)])
    expected = agglomerated(W)
    np.testing.assert_allclose(tree[:, 2], [distance for distance, _ in expected])
    assert members[n:] == [joined for _, joined in expected]
    assert (tree[:, 3] == [len(joined) for _, joined in expected]).all()
    np.testing.assert_allclose(geometry.dendrogram(orthogonal(seed, len(W)) @ W)[:, 2], tree[:, 2])


@pytest.mark.parametrize("twist", [0, 17, 30, 60])
def test_a_tree_of_closed_sets_does_not_see_the_twist(twist):
    """While each triangle is tighter than the gap to the other, the last join is √(4h² + 2r²) at every twist."""
    W = prism(0.7, 0.7, twist)
    np.testing.assert_allclose(geometry.dendrogram(W)[:, 2], [0.7 * np.sqrt(3)] * 4 + [0.7 * np.sqrt(6)], rtol=1e-12)
    assert geometry.branching(W, SETS) == "(((aa)a)((bb)b))"


@pytest.mark.parametrize("twist", [0, 17, 50])
def test_a_low_prism_joins_across_the_sets(twist):
    assert geometry.branching(prism(1, 0.5, twist), SETS) == "(((ab)(ab))(ab))"


def test_an_octahedron_has_five_joins_of_which_four_are_alike():
    """All but antipodes are √2 apart, within a set and between them, so nothing is left of the sets."""
    W = OCTAHEDRON[:, [0, 1, 2, 5, 3, 4]]
    distances = [np.linalg.norm(W[:, i] - W[:, j]) for i, j in combinations(range(6), 2)]
    assert sorted(np.round(distances, 9)) == [round(np.sqrt(2), 9)] * 12 + [2.0] * 3
    assert geometry.dendrogram(W)[0, 2] == pytest.approx(np.sqrt(2))


def test_branching_forgets_order_and_names():
    W = EXACT["lines"] + 0.01 * np.random.default_rng(0).normal(size=(3, 6))
    text = geometry.branching(W, SETS)
    for order in ([3, 4, 5, 0, 1, 2], [2, 0, 1, 5, 4, 3], [4, 3, 5, 1, 2, 0]):
        assert geometry.branching(W[:, order], SETS) == text
        assert geometry.branching(W, tuple(tuple(np.argsort(order)[list(s)]) for s in SETS)) == text
    assert geometry.branching([[0.0, 1, 10, 11, 100]], ((0, 1), (2, 3), (4,))) == "(((aa)(bb))c)"
    assert geometry.branching([[0.0, 100, 10, 11, 1]], ((0, 1), (2, 3), (4,))) == "(((aa)(bc))b)"


def test_branching_of_a_tree():
    """Columns with one coordinate for each branch they are on: leaves join siblings, then cousins, then the rest."""
    sets = Hierarchical(2, 2).sets
    leaf = np.array([[0, 0, 0, 0.3, -0.3, 0, 0], [0, 0, 0, 0, 0, 0.31, -0.31]])
    W = np.vstack([[9.0, 1, -1, 1, 1, -1, -1], [0, 0.8, 0.8, 0, 0, 0, 0], leaf])
    assert geometry.branching(W, sets) == "((((aa)b)((cc)b))d)"


@pytest.mark.parametrize("steps", [[3, 2, 1], [0, 1, 1], [0, np.nan, 2]])
def test_steps_increase(steps):
    for call in (geometry.growth_rate, lambda s, a: geometry.crossing(s, a, 0.5)):
        with pytest.raises(ValueError, match="steps must be finite and increasing, got"):
            call(steps, np.array([0.1, 0.2, 0.3]))


def test_levels_are_one_for_each_curve():
    with pytest.raises(ValueError, match="level must be a number, or one for each curve"):
        geometry.crossing([0, 1, 2], np.ones((2, 3)), [0.1, 0.2, 0.3])
