"""Modes of a covariance and how they grow, against eigenvalues and simulated gradient flow."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from toylib import theory

few = settings(max_examples=25)
starts = st.floats(1e-6, 0.9)
rates = st.floats(1e-3, 1.0)


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


def test_eigenvalues_count_as_one_within_a_fiftieth():
    W = np.random.default_rng(0).normal(size=(3, 3))
    for second, alike in ((0.9802, True), (0.9798, False)):
        rates = theory.growth(W, np.diag([0.5, second, 1.0]), 0.01).rates
        expected = [(1 + second) / 2] * 2 if alike else [1, second]
        np.testing.assert_allclose(rates, 0.08 * np.array([*expected, 0.5]))


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


HOST = "this function runs on the host, so call it once per value"
MODEL = np.ones((3, 6))
REAL = "must be an array of real numbers, got"
TRACED = f"must be known, got a call inside of jax.jit, jax.vmap or jax.grad; {HOST}"
GROWS = "a mode of strength 0 never grows, and one of 1 is grown"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: theory.linear_plateau(0.5, n_modes=-1),
            ValueError,
            "n_modes must be at least 0, got -1; pass a Python int from 0 up, since sizes cannot be traced",
        ),
        (
            lambda: theory.mode_rates(0.5, -0.1),
            ValueError,
            "learning_rate must be at least 0 and finite, got -0.1; it is a step size",
        ),
        (
            lambda: theory.mode_rates(0.5, np.nan),
            ValueError,
            "learning_rate must be at least 0 and finite, got nan; it is a step size",
        ),
        (
            lambda: theory.mode_rates(0.5, np.array([0.1])),
            ValueError,
            f"learning_rate must be a scalar, got shape (1,); {HOST}",
        ),
        (
            lambda: theory.mode_half_time(0.1, 0.0),
            ValueError,
            "rate must be above 0 and finite, got 0; a mode that does not grow has no half-time",
        ),
        (
            lambda: theory.mode_strength(3, 0.1, np.inf),
            ValueError,
            "rate must be finite, got inf; take it from mode_rates",
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
            "learning_rate must be at least 0 and finite, got -1; it is a step size",
        ),
        (
            lambda: theory.growth(1j * MODEL, np.eye(6), 1),
            TypeError,
            f"W {REAL} complex128; convert it first",
        ),
        (lambda: theory.mode_strength("x", 0.1, 0.1), TypeError, f"step {REAL} 'x'; convert it first"),
        (
            lambda: theory.silent_gains(MODEL, 1j * MODEL[0], 1),
            TypeError,
            f"b {REAL} complex128; convert it first",
        ),
        (
            lambda: theory.one_feature_gains(np.inf * MODEL, MODEL[0]),
            ValueError,
            "W must be finite, got NaN or infinity in 18 of 18 entries; leave out what diverged, and say so",
        ),
        (lambda: jax.jit(theory.octahedron_loss)(0.9), TypeError, f"S {TRACED}"),
        (lambda: jax.jit(lambda rate: theory.mode_half_time(0.1, rate))(0.9), TypeError, f"rate {TRACED}"),
        (lambda: jax.vmap(lambda W: theory.growth(W, np.eye(6), 1))(MODEL[None]), TypeError, f"W {TRACED}"),
        (lambda: theory.mode_half_time(1.0, 0.1), ValueError, f"start must lie in (0, 1), got 1; {GROWS}"),
        (lambda: theory.mode_strength(0, 0.0, 0.1), ValueError, f"start must lie in (0, 1), got 0; {GROWS}"),
        (lambda: theory.mode_strength(0, "a", 0.1), TypeError, f"start must be a real number, got 'a'; {GROWS}"),
    ],
)
def test_arguments_are_checked(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
