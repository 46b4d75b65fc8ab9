"""Losses in closed form against Monte Carlo and integration; NumPy and SciPy only."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from toylib import theory

N = 200_000


def samples(p, n_sets=2, g=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((N, n_sets * g)) * np.repeat(rng.random((N, n_sets)) < p, g, axis=1)


def within_four_errors(errors, expected):
    return abs(errors.mean() - expected) < 4 * errors.std() / np.sqrt(len(errors))


@pytest.mark.parametrize("p", [0.03, 0.3, 1.0])
@pytest.mark.parametrize(("n_sets", "g"), [(2, 3), (3, 2)])
def test_levels_of_sets_against_monte_carlo(p, n_sets, g):
    S, x, sizes = 1 - p, samples(p, n_sets, g), {"n_sets": n_sets, "set_size": g}
    assert within_four_errors(np.square(x - p / 2).sum(1), theory.bias_loss(S, **sizes))
    sets = x.reshape(N, n_sets, g)
    mean = sets.mean(2, keepdims=True)
    assert within_four_errors(np.square(sets - mean).sum((1, 2)), theory.pca_plateau(S, **sizes))
    if n_sets == 2:
        opposed = np.maximum(mean - mean[:, ::-1], 0)
        assert within_four_errors(np.square(sets - opposed).sum((1, 2)), theory.collinear_plateau(S, set_size=g))


@pytest.mark.parametrize("p", [0.03, 0.3, 1.0])
def test_levels_of_pairs_against_monte_carlo(p):
    S, x = 1 - p, samples(p)
    W = np.hstack([np.eye(3), -np.eye(3)])
    octahedron = np.square(np.maximum(x @ W.T @ W, 0) - x).sum(1)
    assert within_four_errors(octahedron, theory.octahedron_loss(S))
    y = samples(p, n_sets=2, g=1, seed=1)
    pair = np.square(np.maximum(y @ [[1, -1], [-1, 1]], 0) - y).sum(1)
    assert within_four_errors(pair, theory.antipodal_pair_loss(S))
    assert within_four_errors(np.square(y[:, 0] - p / 2), theory.dropped_feature_loss(S))


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_giving_up_pays_where_the_ideal_model_loses_more(p):
    """Five features in two dimensions; the worst attack on W = [I 0] pushes one kept output up by its whole norm."""
    x = samples(p, n_sets=5, g=1, seed=2)
    norm = theory.giving_up_norm(1 - p, 2)
    kept = np.zeros_like(x)
    kept[:, :2], kept[:, 2:] = x[:, :2], p / 2
    kept[:, 0] += norm
    assert within_four_errors(np.square(kept - x).sum(1) - np.square(p / 2 - x).sum(1), 0)


@pytest.mark.parametrize("g", [1, 2, 3, 4])
def test_collinear_excess_by_brute_force_integration(g):
    # The mean of g values by repeated convolution of the box on a fine grid, then E min² = Σ over the grid.
    cells = 2000
    box = np.full(cells, 1 / cells)
    density = box
    for _ in range(g - 1):
        density = np.convolve(density, box)
    x = (np.arange(len(density)) + g / 2) / cells / g
    above = 1 - np.cumsum(density) + density / 2
    minimum_squared = np.sum(2 * density * above * x**2)
    excess = theory.collinear_plateau(0.9, set_size=g) - theory.pca_plateau(0.9, set_size=g)
    assert excess == pytest.approx(2 * g * 0.01 * minimum_squared, rel=1e-3)


@pytest.mark.parametrize("g", [5, 22, 60, 200])
def test_collinear_excess_of_large_sets_by_quadrature(g):
    # E min² = ∫ 2x P(M > x)² dx, the mean of many values being nearly normal but for its ends.
    x = np.linspace(0, 1, 4001)
    minimum_squared = np.trapezoid(2 * x * stats.irwinhall.sf(g * x, g) ** 2, x)
    excess = theory.collinear_plateau(0.9, set_size=g) - theory.pca_plateau(0.9, set_size=g)
    assert excess == pytest.approx(2 * g * 0.01 * minimum_squared, rel=1e-6)


def test_collinear_constant_of_triples():
    assert (theory.collinear_plateau(0.9) - 0.1 / 3) / 0.01 == pytest.approx(1.0976, abs=1e-4)


@pytest.mark.parametrize("p", [0.03, 0.1, 1 / 3])
def test_levels_of_two_triples(p):
    S = 1 - p
    assert theory.bias_loss(S) == pytest.approx(2 * p - 1.5 * p**2)
    assert theory.pca_plateau(S) == pytest.approx(p / 3)
    assert theory.linear_plateau(S, n_modes=2) == pytest.approx(p / 3)
    assert theory.linear_plateau(S, n_modes=3) == pytest.approx(p / 4)
    assert theory.octahedron_loss(S) == pytest.approx(p**2)


def test_thresholds_are_where_levels_cross():
    crossing = brentq(lambda p: theory.octahedron_loss(1 - p) - theory.pca_plateau(1 - p), 0.05, 0.9)
    assert crossing == pytest.approx(1 / 3, abs=1e-9)
    crossing = brentq(lambda p: theory.antipodal_pair_loss(1 - p) - theory.dropped_feature_loss(1 - p), 0.05, 0.99)
    assert crossing == pytest.approx(4 / 7, abs=1e-9)
    assert theory.octahedron_loss(0.7) < theory.pca_plateau(0.7)
    assert theory.antipodal_pair_loss(0.45) < theory.dropped_feature_loss(0.45)


LEVELS = (
    theory.bias_loss,
    theory.pca_plateau,
    theory.collinear_plateau,
    theory.octahedron_loss,
    theory.dropped_feature_loss,
    lambda S: theory.giving_up_norm(S, 3),
    theory.antipodal_pair_loss,
    theory.covariance_modes,
    lambda S: theory.linear_plateau(S, n_modes=2),
    lambda S: theory.mode_rates(S, 0.1),
)


HOST = "this function runs on the host, so call it once per value"
OFF = "it is the probability that a gate is off, and at 1 every input would be zero"


@pytest.mark.parametrize("level", LEVELS)
def test_levels_check_sparsity(level):
    for S, error, message in (
        (1, ValueError, f"S must lie in [0, 1), got 1; {OFF}"),
        (1.2, ValueError, f"S must lie in [0, 1), got 1.2; {OFF}"),
        (-0.1, ValueError, f"S must lie in [0, 1), got -0.1; {OFF}"),
        (np.nan, ValueError, f"S must lie in [0, 1), got nan; {OFF}"),
        ("0.5", TypeError, f"S must be a real number, got '0.5'; {OFF}"),
        (np.array([0.1, 0.2]), ValueError, f"S must be a scalar, got shape (2,); {HOST}"),
    ):
        with pytest.raises(error) as caught:
            level(S)
        assert str(caught.value) == message


def test_levels_keep_the_digits_of_a_small_density():
    assert theory.pca_plateau(1 - 2**-40) == pytest.approx(2**-40 / 3, rel=1e-12)
    assert theory.octahedron_loss(1 - 2**-40) == pytest.approx(2**-80, rel=1e-12)


SIZE = "pass a Python int from 1 up, since sizes cannot be traced"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: theory.bias_loss(0.5, n_sets=0), ValueError, f"n_sets must be at least 1, got 0; {SIZE}"),
        (lambda: theory.bias_loss(0.5, set_size=2.5), TypeError, f"set_size must be an integer, got 2.5; {SIZE}"),
        (lambda: theory.pca_plateau(0.5, set_size=-1), ValueError, f"set_size must be at least 1, got -1; {SIZE}"),
        (
            lambda: theory.collinear_plateau(0.5, set_size=True),
            TypeError,
            f"set_size must be an integer, got True; {SIZE}",
        ),
    ],
)
def test_arguments_are_checked(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
