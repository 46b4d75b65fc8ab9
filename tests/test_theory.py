"""Closed forms against Monte Carlo, integration and simulated gradient flow; NumPy and SciPy only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from toylib import theory

N = 200_000
few = settings(max_examples=25)


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


@pytest.mark.parametrize(("n_sets", "g"), [(2, 3), (3, 2), (4, 1)])
@pytest.mark.parametrize("p", [0.05, 0.6, 1.0])
def test_modes_are_the_eigenvalues_of_the_covariance(p, n_sets, g):
    n = n_sets * g
    same = np.arange(n)[:, None] // g == np.arange(n) // g
    second = np.where(np.eye(n), p / 3, np.where(same, p / 4, p**2 / 4))
    eigenvalues = np.linalg.eigvalsh(second - p**2 / 4)[::-1]
    modes = theory.covariance_modes(1 - p, n_sets=n_sets, set_size=g)
    np.testing.assert_allclose(eigenvalues[:n_sets], modes.set, rtol=1e-9)
    np.testing.assert_allclose(eigenvalues[n_sets:], modes.difference, rtol=1e-9)
    for learned in range(n + 1):
        level = theory.linear_plateau(1 - p, n_modes=learned, n_sets=n_sets, set_size=g)
        assert level == pytest.approx(eigenvalues[learned:].sum(), abs=1e-12)


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


# Growth of modes

starts = st.floats(1e-6, 0.9)
rates = st.floats(1e-3, 1.0)


def test_mode_strength_far_before_and_after():
    # Far before the rise the strength is start·e^(rate·step), far after it 1 less e^(-rate·step)/start.
    for start, rate in ((1e-30, 0.5), (0.3, 1e3)):
        far = np.array([-1e6, -10, 1e6]) / rate
        strength = theory.mode_strength(far, start, rate)
        assert strength[0] == 0
        assert strength[1] == pytest.approx(start * np.exp(-10) / (1 - start), rel=1e-4)
        assert strength[2] == 1
    assert theory.mode_half_time(1e-30, 0.5) == pytest.approx(60 * np.log(10), rel=1e-12)


@few
@given(starts, rates, st.floats(-3, 10))
def test_mode_strength_solves_its_equation(start, rate, scaled):
    step, h = scaled / rate, 1e-4 / rate
    before, here, after = theory.mode_strength(np.array([step - h, step, step + h]), start, rate)
    assert (after - before) / (2 * h) == pytest.approx(rate * here * (1 - here), rel=1e-5, abs=1e-9 * rate)
    assert theory.mode_strength(0.0, start, rate) == pytest.approx(start)


@few
@given(starts, rates)
def test_half_time_is_where_the_strength_is_half(start, rate):
    assert theory.mode_strength(theory.mode_half_time(start, rate), start, rate) == pytest.approx(0.5)


def test_rates_against_gradient_flow_of_the_linear_twin():
    # Flow of E‖x - Wᵀ W x‖² = tr (I - G) C (I - G), with the gradient written out; strengths a = ‖W v‖².
    p, eta = 0.1, 0.05
    same = np.kron(np.eye(2), np.ones((3, 3)))
    C = p / 12 * np.eye(6) + (p - p**2) / 4 * same  # the covariance, as bias takes the means away
    v_set = np.repeat([1, 0], 3) / np.sqrt(3)
    v_difference = np.array([1, -1, 0, 0, 0, 0]) / np.sqrt(2)
    W0 = 0.01 * np.vstack([v_set, v_difference])

    def flow(_, W):
        W = W.reshape(2, 6)
        rest = np.eye(6) - W.T @ W
        return (2 * eta * W @ (rest @ C + C @ rest)).ravel()

    times = np.linspace(0, 3000, 50)
    solved = solve_ivp(flow, (0, 3000), W0.ravel(), t_eval=times, rtol=1e-9, atol=1e-13).y.T.reshape(-1, 2, 6)
    rate = theory.mode_rates(1 - p, eta)
    for v, mode_rate in ((v_set, rate.set), (v_difference, rate.difference)):
        strength = np.square(solved @ v).sum(1)
        np.testing.assert_allclose(theory.mode_strength(times, 1e-4, mode_rate), strength, rtol=1e-5)
    assert rate.set == pytest.approx(0.0303, abs=5e-5)
    assert rate.difference == pytest.approx(0.00333, abs=5e-6)


def flowing(W0, C, eta, times, mean=None):
    """Gradient flow of E‖x - Wᵀ W x - b‖² by integration, from W0 and b = 0, or with the best bias; W (T, m, n)."""
    m, n = W0.shape
    mu = np.zeros(n) if mean is None else mean
    M = C + np.outer(mu, mu)

    def flow(_, state):
        W, b = state[: m * n].reshape(m, n), state[m * n :]
        G = W.T @ W
        cross = M - G @ M - np.outer(b, mu)  # E (x - Gx - b) xᵀ
        slope = 2 * eta * W @ (cross + cross.T)
        return np.concatenate([slope.ravel(), 2 * eta * (mu - G @ mu - b)])

    start = np.concatenate([W0.ravel(), np.zeros(n)])
    solved = solve_ivp(flow, (0, times[-1]), start, t_eval=times, rtol=1e-8, atol=1e-13)
    return solved.y[: m * n].T.reshape(-1, m, n)


def of_spectrum(spectrum, seed):
    """Return a covariance with this spectrum and random axes, and the axes."""
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum),) * 2))[0]
    return axes * spectrum @ axes.T, axes


@pytest.mark.parametrize("seed", range(3))
def test_growth_of_any_covariance_against_gradient_flow(seed):
    """Five features in three dimensions: three modes grow, the others are what is left."""
    eta, spectrum = 0.05, np.array([0.3, 0.1, 0.03, 0.01, 0.003])
    C, axes = of_spectrum(spectrum, seed)
    W0 = 0.003 * np.random.default_rng(10 + seed).normal(size=(3, 5))
    grown = theory.growth(W0, C, eta)
    np.testing.assert_allclose(grown.rates, 8 * eta * spectrum[:3], rtol=1e-9)
    np.testing.assert_allclose(np.abs(grown.patterns.T @ axes), np.eye(3, 5), atol=1e-9)
    assert (np.diff(grown.half_times) > 0).all()
    # Gram and Schmidt, by hand: what is left of W v at right angles to the faster modes.
    left, taken = [], []
    for v in axes.T[:3]:
        rest = W0 @ v - sum((h @ W0 @ v) * h for h in taken)
        left.append(rest @ rest)
        taken.append(rest / np.sqrt(rest @ rest))
    np.testing.assert_allclose(grown.strengths, left, rtol=1e-9)
    times = np.linspace(0, 1.5 * grown.half_times[-1], 400)
    W = flowing(W0, C, eta, times)
    for k in range(3):
        measured = np.square(W @ axes[:, k]).sum(1)
        half = np.interp(0.5, measured, times)
        assert half == pytest.approx(grown.half_times[k], rel=0.02)
        later = measured > 0.05
        np.testing.assert_allclose(grown.after(times)[later, k], measured[later], atol=0.06)
    assert np.square(W[-1] @ axes[:, 3:]).sum() < 1e-2
    gram = W[-1].T @ W[-1]
    columns = grown.columns(times[-1:])[0]
    np.testing.assert_allclose(columns.T @ columns, gram, atol=0.1)


def test_growth_where_the_start_chooses_among_equal_modes():
    """Two triples: each set mode keeps a singular value, and four equal differences compete for one free dimension."""
    p, eta = 0.1, 0.05
    C = p / 12 * np.eye(6) + (p - p**2) / 4 * np.kron(np.eye(2), np.ones((3, 3)))
    W0 = 0.003 * np.random.default_rng(3).normal(size=(3, 6))
    grown = theory.growth(W0, C, eta)
    rate = theory.mode_rates(1 - p, eta)
    np.testing.assert_allclose(grown.rates, [rate.set, rate.set, rate.difference], rtol=1e-9)
    of_sets = np.kron(np.eye(2), np.ones((3, 1))) / np.sqrt(3)
    hidden, singular, _ = np.linalg.svd(W0 @ of_sets)
    differences = np.eye(6) - of_sets @ of_sets.T
    free = hidden[:, 2] @ W0 @ differences
    np.testing.assert_allclose(grown.strengths, [*singular**2, free @ free], rtol=1e-9)
    assert abs(grown.patterns[:, 2] @ free) == pytest.approx(np.sqrt(free @ free), rel=1e-9)
    times = np.linspace(0, 1.4 * grown.half_times[2], 400)
    W = flowing(W0, C, eta, times)
    sets = np.linalg.svd(W @ of_sets, compute_uv=False) ** 2
    early = sets.max(1) < 0.9
    np.testing.assert_allclose(grown.after(times)[early, :2], sets[early], rtol=0.02)
    along = np.square(W @ grown.patterns[:, 2]).sum(1)
    assert np.interp(0.5, along, times) == pytest.approx(grown.half_times[2], rel=0.01)
    # Measured on the way, a strength is what the law says from the start on.
    measured = theory.growth(W, C, eta).strengths
    np.testing.assert_allclose(measured[:, 2], grown.after(times)[:, 2], rtol=0.05)


def test_growth_keeps_leading_axes_and_knows_alike_from_different():
    C = np.diag([2.0, 1.0, 0.99, 0.5, 0.0])
    W = np.random.default_rng(0).normal(size=(2, 7, 4, 5)) / 100
    grown = theory.growth(W, C, 0.1)
    one = theory.growth(W[1, 3], C, 0.1)
    np.testing.assert_allclose(grown.rates, 0.8 * np.array([2.0, 0.995, 0.995, 0.5]))
    np.testing.assert_allclose(theory.growth(W, C, 0.1, alike=0.001).rates, 0.8 * np.array([2.0, 1.0, 0.99, 0.5]))
    assert grown.strengths.shape == (2, 7, 4)
    assert grown.patterns.shape == (2, 7, 5, 4)
    assert grown.after([0, 1, 2]).shape == (2, 7, 3, 4)
    assert grown.columns([0, 1, 2]).shape == (2, 7, 3, 4, 5)
    np.testing.assert_allclose(grown.strengths[1, 3], one.strengths)
    np.testing.assert_allclose(grown.after([0])[:, :, 0], grown.strengths)
    np.testing.assert_allclose(grown.half_times[1, 3, 0], theory.mode_half_time(one.strengths[0], one.rates[0]))
    wide = theory.growth(np.ones((9, 2)) / 100 * np.array([1.0, 2.0]), np.diag([1.0, 0.5]), 0.1)
    assert wide.strengths.shape == (2,)  # no more modes than features


@pytest.mark.parametrize("p", [0.03, 0.1])
def test_a_bias_that_begins_at_zero_lets_the_modes_begin_higher(p):
    eta = 0.05
    C = p / 12 * np.eye(6) + (p - p**2) / 4 * np.kron(np.eye(2), np.ones((3, 3)))
    mean, W0 = np.full(6, p / 2), 1e-4 * np.random.default_rng(4).normal(size=(3, 6))
    times = np.array([0, 6 / (2 * eta)])
    with_bias = flowing(W0, C, eta, times, mean)[-1]
    np.testing.assert_allclose(
        theory.growth(with_bias, C, eta).strengths,
        theory.growth(theory.after_bias(W0, mean), C, eta).after(times)[-1],
        rtol=2e-3,
    )
    np.testing.assert_array_equal(theory.after_bias(W0, np.zeros(6)), W0)
    np.testing.assert_allclose(theory.after_bias(np.stack([W0, 2 * W0]), mean)[1], 2 * theory.after_bias(W0, mean))


def test_a_tree_branches_from_the_root_to_the_leaves():
    """Broad distinctions first: the columns of the integrated flow part in the order, and at the times, predicted."""
    p = 0.7  # that a gate is open, given its parent's: root, two children, four leaves
    paths = [{0}, {0, 1}, {0, 2}, {0, 1, 3}, {0, 1, 4}, {0, 2, 5}, {0, 2, 6}]
    second = np.array([[p ** len(a | b) / (3 if a == b else 4) for b in paths] for a in paths])
    mean = np.array([p ** len(a) / 2 for a in paths])
    C, eta = second - np.outer(mean, mean), 0.05
    W0 = 1e-3 * np.random.default_rng(5).normal(size=(7, 7))
    grown = theory.growth(W0, C, eta)
    times = np.linspace(0, 1.6 * grown.half_times.max(), 500)
    splits = [((1, 3, 4), (2, 5, 6)), ((3,), (4,)), ((5,), (6,))]

    def part_at(W):
        apart = [np.linalg.norm(W[:, :, a].mean(2) - W[:, :, b].mean(2), axis=1) for a, b in splits]
        return [times[np.argmax(distance > distance[-1] / 2)] for distance in apart]

    predicted, found = part_at(grown.columns(times)), part_at(flowing(W0, C, eta, times))
    np.testing.assert_allclose(found, predicted, rtol=0.05)
    assert found[0] < min(found[1:])


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
GROWS = "a mode of strength 0 never grows, and one of 1 is grown"


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
        (
            lambda: theory.linear_plateau(0.5, n_modes=-1),
            ValueError,
            "n_modes must be at least 0, got -1; pass a Python int from 0 up, since sizes cannot be traced",
        ),
        (
            lambda: theory.mode_rates(0.5, -0.1),
            ValueError,
            "learning_rate must be at least 0 and finite in single precision, got -0.1; it is a step size",
        ),
        (
            lambda: theory.mode_rates(0.5, np.nan),
            ValueError,
            "learning_rate must be at least 0 and finite in single precision, got nan; it is a step size",
        ),
        (
            lambda: theory.mode_rates(0.5, np.array([0.1])),
            ValueError,
            f"learning_rate must be a scalar, got shape (1,); {HOST}",
        ),
        (
            lambda: theory.mode_half_time(0.1, 0.0),
            ValueError,
            "rate must be above 0 and finite in single precision, got 0; a mode that does not grow has no half-time",
        ),
        (
            lambda: theory.mode_strength(3, 0.1, np.inf),
            ValueError,
            "rate must be finite in single precision, got inf; take it from mode_rates",
        ),
        (
            lambda: theory.growth(np.ones((3, 6)), np.eye(5), 0.1),
            ValueError,
            "covariance must be (n, n) for W (..., m, n), got shapes (5, 5) and (3, 6); take features.covariance(S)",
        ),
        (
            lambda: theory.growth(np.full((3, 6), np.nan), np.eye(6), 0.1),
            ValueError,
            "W must be finite, got NaN or infinity in 18 of 18 entries; leave out what diverged, and say so",
        ),
        (
            lambda: theory.growth(np.ones((3, 6)), np.eye(6), -1),
            ValueError,
            "learning_rate must be at least 0 and finite in single precision, got -1; it is a step size",
        ),
        (lambda: theory.mode_half_time(1.0, 0.1), ValueError, f"start must lie in (0, 1), got 1; {GROWS}"),
        (lambda: theory.mode_strength(0, 0.0, 0.1), ValueError, f"start must lie in (0, 1), got 0; {GROWS}"),
        (lambda: theory.mode_strength(0, "a", 0.1), TypeError, f"start must be a real number, got 'a'; {GROWS}"),
    ],
)
def test_arguments_are_checked(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


# Regular arrangements under attack


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "orthonormal": 1,
        "tetrahedron": 4 / 3,
        "triangle": 1.5,
        "digon": 2,
        "square": 2,
        "octahedron": 2,
        "pentagon": 2.977,
        "hexagon": 4.5,
    }.items(),
)
def test_polytopes_are_tight_and_have_their_published_gains(name, value):
    W = theory.POLYTOPES[name]
    m, n = W.shape
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1)
    np.testing.assert_allclose(W @ W.T, n / m * np.eye(m), atol=1e-12)
    np.testing.assert_allclose(theory.silent_gains(W, np.zeros(n), 0.1), 0.01 * value, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("octahedron", {0, -1}),
        ("tetrahedron", {-1 / 3}),
        ("triangle", {-0.5}),
        ("square", {0, -1}),
        ("orthonormal", {0}),
        ("digon", {-1}),
        ("pentagon", {np.cos(2 * np.pi / 5), np.cos(4 * np.pi / 5)}),
        ("hexagon", {0.5, -0.5, -1}),
    ],
)
def test_polytopes_have_their_angles(name, entries):
    W = theory.POLYTOPES[name]
    off = (W.T @ W)[~np.eye(W.shape[1], dtype=bool)]
    assert {round(value, 6) + 0.0 for value in off} == {round(value, 6) for value in entries}


def test_silent_gains_against_the_attacked_model():
    rng = np.random.default_rng(0)
    for _ in range(20):
        m, n = rng.integers(1, 5), rng.integers(2, 8)
        W, b = rng.normal(size=(m, n)), rng.normal(size=n) - 0.3
        W[:, 0] = 0
        gains = theory.silent_gains(W, b, 0.7)
        assert gains[0] == 0
        for i in range(1, n):
            push = W.T @ W[:, i]
            u = W.T @ (W @ (0.7 * push / np.sqrt(push @ push))) + b
            before = np.clip(b, 0, None)
            assert gains[i] == pytest.approx(np.sum(np.clip(u, 0, None) ** 2 - before**2), abs=1e-12)


@pytest.mark.parametrize("name", ["W", "b", "radius"])
def test_silent_gains_keep_nan(name):
    arguments = {"W": np.eye(2, 3), "b": np.zeros(3), "radius": 0.1}
    assert np.isnan(theory.silent_gains(**arguments | {name: arguments[name] * np.nan})).all()


def test_one_feature_gains_are_what_is_left_without_the_slope_in_the_biases():
    """On few samples, none within reach of a threshold, gain = λ·Σ_j (G Ĝ_i)_j ∂L/∂b_j + λ²·law, exactly."""
    rng = np.random.default_rng(1)
    W, b, x = rng.normal(size=(3, 6)) / 2, rng.normal(size=6) / 3, rng.random((40, 6)) * (rng.random((40, 6)) < 0.4)
    W[:, 5] = 0

    def errors(b, push=0.0):
        return np.square(np.clip((x + push) @ W.T @ W + b, 0, None) - x).sum(1).mean()

    radius, step = 1e-4, 1e-5
    assert np.abs(x @ W.T @ W + b)[:, :5].min() > 10 * radius
    law = theory.one_feature_gains(W, (x @ W.T @ W + b > 0).mean(0))
    slopes = [(errors(b + step * e) - errors(b - step * e)) / (2 * step) for e in np.eye(6)]
    for i in range(5):
        push = W.T @ W[:, i] / np.sqrt(np.sum((W.T @ W[:, i]) ** 2))
        linear = sum(slope * (W.T @ W @ push)[j] for j, slope in enumerate(slopes))
        gain = errors(b, radius * push) - errors(b)
        assert (gain - radius * linear) / radius**2 == pytest.approx(law[i], rel=1e-4)
    assert law[5] == 0


@pytest.mark.parametrize("name", theory.POLYTOPES)
def test_one_feature_gains_of_tight_frames_are_f_squared_times_a_share_of_units_on(name):
    W = theory.POLYTOPES[name]
    m, n = W.shape
    on = np.random.default_rng(2).random(n)
    cosines = (W.T @ W) ** 2
    expected = (n / m) ** 2 * (cosines @ on) / cosines.sum(1)
    np.testing.assert_allclose(theory.one_feature_gains(W, on), expected)
    np.testing.assert_allclose(theory.one_feature_gains(W, np.ones(n)), (n / m) ** 2)


def test_one_feature_gains_miss_units_at_their_threshold():
    """An octahedron without bias at the empty input: no unit is on, half of those pushed turn on."""
    W = theory.POLYTOPES["octahedron"]
    np.testing.assert_array_equal(theory.one_feature_gains(W, np.zeros(6)), 0)
    np.testing.assert_allclose(theory.silent_gains(W, np.zeros(6), 0.1), 0.02)


@pytest.mark.parametrize("on", [np.zeros(2), np.full(3, 1.1), np.full(3, -0.1), np.full(3, np.nan)])
def test_one_feature_gains_take_a_share_for_each_unit(on):
    with pytest.raises(ValueError, match=r"^on must have a share in \[0, 1\] for each of the columns of W"):
        theory.one_feature_gains(np.eye(2, 3), on)
