"""The interval of the worst case in many dimensions against 10^4 tries an input, other attacks and closed forms."""

from typing import NamedTuple

import brute
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attacked import BATCH, INPUTS
from brute import DENSITIES, WIDE, Case
from jax.extend.core import jaxprs_in_params
from scipy.optimize import brentq

from toylib.attacks import _certificates as certificates
from toylib.attacks import _margin, audit, error, worst_case
from toylib.attacks._contract import row_space
from toylib.model import Params

TRIES = 10_000  # on each input
SHARES = (0.1, 1.0)  # radii, in units of the mean norm


def unit_attacks(W, rng):
    """W δ^T W of TRIES attacks, ‖δ‖ ≤ 1, (n, TRIES): two quarters of norm 1 in the row space, one shorter, one in n."""
    A, _ = Case(W, np.zeros(W.shape[1]), np.zeros(W.shape[1]), 1.0).hidden_ball()
    c, deltas = rng.normal(size=(A.shape[1], TRIES * 3 // 4)), rng.normal(size=(A.shape[0], TRIES // 4))
    c /= np.linalg.norm(c, axis=0)
    c[:, TRIES // 2 :] *= rng.random(TRIES // 4)
    deltas /= np.linalg.norm(deltas, axis=0)
    return np.concatenate([A @ c, W.T @ (W @ deltas)], 1)


class Attacked(NamedTuple):
    """What is known of the inputs of one model at one radius, each (inputs,) or (attacks, inputs)."""

    lower: np.ndarray
    upper: np.ndarray
    clean: np.ndarray
    tried: np.ndarray
    searched: np.ndarray
    radius: float
    norm: float  # ‖Wᵀ W‖₂


@pytest.fixture(scope="module", params=range(len(DENSITIES)), ids=[f"p={p}" for p in DENSITIES])
def attacked(request):
    """Attacked at each of SHARES."""
    i = request.param
    params, S = brute.trained()[i], 1 - DENSITIES[i]
    X, keys = WIDE.sample(S, INPUTS, key=jax.random.key(i)), jax.random.split(jax.random.key(7), INPUTS)
    W, b = (np.asarray(a, np.float64) for a in params)
    U = unit_attacks(W, np.random.default_rng(i))

    def at(radius):
        cases = [Case(W, b, x, radius) for x in np.asarray(X, np.float64)]
        gaps = (np.maximum(radius * U + (c.x @ W.T @ W + b)[:, None], 0) - c.x[:, None] for c in cases)
        deltas = [np.asarray(BATCH[name](params, X, radius, key=keys), np.float64) for name in ("pgd", "latent")]
        return Attacked(
            *np.transpose([np.asarray(worst_case(params, x, radius), np.float64) for x in X]),
            np.array([case.error() for case in cases]),
            np.array([np.square(gap, out=gap).sum(0).max() for gap in gaps]),
            np.array([[case.error(delta) for case, delta in zip(cases, each, strict=True)] for each in deltas]),
            radius,
            np.linalg.norm(W, 2) ** 2,
        )

    return {share: at(float(share * WIDE.mean_norm(S))) for share in SHARES}


@pytest.mark.parametrize("share", SHARES)
def test_nothing_exceeds_the_upper_bound(attacked, share):
    found = attacked[share]
    fixed = found.lower == found.upper
    limit = found.upper * np.where(fixed, 1 + 1e-6, 1)
    for errors in (found.clean, found.tried, *found.searched):
        assert (errors <= limit).all()
    assert (found.lower <= found.upper).all()


@pytest.mark.parametrize("share", SHARES)
def test_lower_bound_is_as_good_as_the_searches(attacked, share):
    found = attacked[share]
    gain, best = (found.lower - found.clean).mean(), (found.searched.max(0) - found.clean).mean()
    assert 0.95 * best <= gain <= 1.05 * best
    assert (found.lower >= found.clean * (1 - 1e-6)).all()


def test_upper_bound_is_not_vacuous(attacked):
    found = attacked[0.1]
    harmed = found.lower > found.clean + 1e-6
    ratios = (found.upper - found.clean)[harmed] / (found.lower - found.clean)[harmed]
    assert harmed.mean() > 0.3
    assert (found.upper - found.clean).mean() < 1.5 * (found.lower - found.clean).mean()
    assert ratios.mean() < 1.5


@pytest.mark.parametrize("share", SHARES)
def test_upper_bound_is_below_that_of_the_largest_singular_value(attacked, share):
    found = attacked[share]
    plain = np.square(np.sqrt(found.clean) + found.radius * found.norm)
    assert (found.upper <= plain * (1 + 1e-5)).all()
    assert found.upper.mean() < 0.95 * plain.mean()


@pytest.mark.parametrize("attacked", [0], indirect=True, ids=["p=0.01"])
def test_some_inputs_are_certified_unattackable(attacked):
    found = attacked[0.1]
    certified = found.upper == found.lower
    assert 0.1 < certified.mean() < 0.9
    np.testing.assert_allclose(found.upper[certified], found.clean[certified], rtol=1e-6)
    for errors in (found.tried, *found.searched):
        assert (errors[certified] == found.clean[certified]).all()
    assert (found.searched.max(0) > found.clean)[~certified].mean() > 0.95


@pytest.mark.parametrize(("m", "n"), [(2, 6), (3, 7), (20, 100)])
@pytest.mark.parametrize("seed", [0, 1])
def test_certificate_ends_where_the_first_unit_turns_on(m, n, seed):
    rng = np.random.default_rng(seed)
    x = np.where(np.arange(n) < 2 * seed, 0.5, 0)
    W = rng.normal(size=(m, n)) / np.sqrt(m)
    case = brute.single(Case(W, -W.T @ (W @ x) - 0.1 - 0.2 * rng.random(n), x, 1.0))
    G = np.float64(case.W).T @ case.W
    distance = -(G @ case.x + case.b) / np.linalg.norm(G, axis=0)
    first = distance.argmin()
    before, after = (case._replace(radius=distance[first] * share) for share in (1 - 1e-4, 1 + 1e-3))
    lower, upper = map(float, worst_case(*brute.arrays(before)))
    assert lower == upper == pytest.approx(case.error(), rel=1e-6)
    lower, upper = map(float, worst_case(*brute.arrays(after)))
    assert lower < upper
    attack = after.radius * G[first] / np.linalg.norm(G[first])
    if case.x[first] == 0:
        assert case.error() < case.error(attack) <= upper


# Closed forms


@pytest.mark.parametrize("radius", [0.01, 0.3])
@pytest.mark.parametrize("active", [20, 60])
def test_worst_case_of_the_ideal_model(radius, active):
    x = np.where(np.arange(100) < active, 0.5, 0)
    case = brute.single(Case(np.eye(20, 100), np.zeros(100), x, radius))
    roots = np.sqrt(worst_case(*brute.arrays(case)))
    np.testing.assert_allclose(roots, np.sqrt(radius**2 + (active - 20) * 0.25), rtol=1e-5, atol=case.rounding())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [0.01, 1.0])
def test_interval_closes_where_all_units_stay_on(seed, radius):
    # The largest value of ‖v + A c‖² on the sphere: (μ - AᵀA) c = Aᵀv, ‖c‖ = radius, μ above the largest eigenvalue.
    rng = np.random.default_rng(seed)
    case = brute.single(Case(rng.normal(size=(20, 100)) / 5, np.full(100, 60.0), rng.random(100), radius))
    A, z = case.hidden_ball()
    values, vectors = np.linalg.eigh(A.T @ A)
    g, top = vectors.T @ (A.T @ (z - case.x)), values[-1]
    interval = top * (1 + 1e-12), top + np.linalg.norm(g) / radius
    mu = brentq(lambda mu: np.linalg.norm(g / (mu - values)) - radius, *interval)
    u = z + A @ (vectors @ (g / (mu - values)))
    assert u.min() > 0
    np.testing.assert_allclose(worst_case(*brute.arrays(case)), np.square(u - case.x).sum(), rtol=2e-5)


def test_interval_in_four_dimensions_against_brute_force():
    directions = np.random.default_rng(0).normal(size=(4, 20_000))
    directions /= np.linalg.norm(directions, axis=0)

    @jax.jit
    def bracket(params, x, radius):
        problem = row_space(params, x)
        dual = certificates._dual_bound(problem, radius, radius * jnp.linalg.norm(problem.A, axis=1))
        return *worst_case(params, x, radius), dual

    found = []
    # In the last one the ascent from the best of the analytic attacks is not the one that ends highest.
    for case in [*brute.random_cases(4, 8, 18, seed=12), brute.random_cases(4, 8, 13, seed=10)[-1]]:
        lower, upper, dual = map(float, bracket(*brute.arrays(case)))
        _, best, _ = brute.search(case, directions)
        assert best <= upper * (1 + 1e-6)
        assert np.sqrt(best) <= np.sqrt(dual) + case.rounding()  # by itself: upper is at least what was reached
        assert np.sqrt(lower) <= np.sqrt(best * (1 + 1e-4)) + case.rounding()
        found.append((lower, best, upper))
    lower, best, upper = np.array(found).T + 1e-9
    assert (lower / best).min() > 0.9999
    assert np.median(upper / best) < 1.01
    assert np.mean(upper / best) < 1.15  # 1.02 and 1.26 where the quadratics are not improved


# What is certified, and how tightly


@pytest.mark.parametrize("m", [3, 20])
@pytest.mark.parametrize("share", [1.98, 2.02])
def test_an_active_unit_that_is_off_may_rise_to_twice_its_value(m, share):
    """There its error is x² again, as it was at 0; beyond it has grown."""
    n = {3: 7, 20: 100}[m]
    x, b = np.where(np.arange(n) == 0, 0.3, 0), np.full(n, -0.9)  # all other units stay off
    b[0], b[-1] = -1.44 * 0.3 - 0.05, 0.05  # but the last one, which is dead, and always on
    case = brute.single(Case(1.2 * np.eye(m, n), b, x, (share * 0.3 + 0.05) / 1.44))
    lower, upper = map(float, worst_case(*brute.arrays(case)))
    if share < 2:
        assert lower == upper == pytest.approx(case.error(), rel=1e-6)
    else:
        most = case.error(case.radius * np.eye(n)[0])
        assert most > 1.03 * case.error()
        assert lower < most <= upper <= (np.sqrt(most * (1 + 1e-3)) + case.rounding()) ** 2
        assert lower >= most * (1 - 1e-3)


@pytest.mark.parametrize("m", [3, 20])
def test_an_active_unit_that_is_just_on_can_be_turned_off(m):
    """Which takes its error from (x - 0.05)² to x², though it stays far below 2x all over the ball."""
    n = {3: 7, 20: 100}[m]
    x, b = np.where(np.arange(n) == 0, 0.3, 0), np.full(n, -0.9)
    b[0] = -1.44 * 0.3 + 0.05
    lower, upper = map(float, worst_case(*brute.arrays(Case(1.2 * np.eye(m, n), b, x, 0.1))))
    assert lower == pytest.approx(0.3**2, rel=1e-3)
    assert lower < upper < 0.3**2 * 1.002


def test_where_no_attack_does_harm_the_lower_bound_is_the_clean_error():
    """Five active units at the corners of a simplex are just off: every way turns one on, for the better."""
    corners = np.linalg.svd(np.eye(5) - 0.2)[2][:4] * np.sqrt(5 / 4)
    # And an inactive unit, which the ball can turn on; two are out of reach, but none is dead.
    W = np.hstack([corners, corners[:, :3] * [1, 0.1, 0.1]])
    x, b = np.array([1.0] * 5 + [0] * 3), np.array([-0.01] * 5 + [-0.5] * 3)
    case = brute.single(Case(W, b, x, 0.4))
    directions = np.random.default_rng(0).normal(size=(4, 20_000))
    best, _ = brute.highest(*case.hidden_ball(), case.x, directions / np.linalg.norm(directions, axis=0), [0.4])
    lower, upper = map(float, worst_case(*brute.arrays(case)))
    assert best < 0.9 * case.error()
    assert lower == pytest.approx(case.error(), rel=1e-6)
    assert lower < upper < 1.01 * lower


# Precision


def precisions(jaxpr):
    """The precision of every product in a program, and in the programs inside of it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for inner in jaxprs_in_params(equation.params):
            yield from precisions(inner)


CERTIFIED = {
    "worst case": lambda params, X: worst_case(params, X[0], 0.1),
    "audit": lambda params, X: audit(params, X, 0.1, key=jax.random.key(0)),
    "least flip": lambda params, X: _margin._rivals(params, X[0]),
}


@pytest.mark.parametrize(("name", "m"), [("worst case", 3), ("worst case", 5), ("audit", 3), ("least flip", 3)])
def test_products_of_certificates_have_all_digits_on_any_device(name, m):
    """Also where the session asks for less, as a device may by default: nothing else has them then."""
    params, X = Params(jnp.ones((m, 6)), jnp.zeros(6)), jnp.ones((2, 6))
    with jax.default_matmul_precision("bfloat16"):
        found = {*precisions(jax.make_jaxpr(lambda X: CERTIFIED[name](params, X))(X).jaxpr)}
        other = {*precisions(jax.make_jaxpr(lambda x: error(params, x, 0.1 * x))(X[0]).jaxpr)}
    assert found == {(jax.lax.Precision.HIGHEST,) * 2}
    assert other == {(jax.lax.Precision.DEFAULT,) * 2}


@pytest.mark.parametrize(("m", "n"), [(3, 7), (20, 100)])
def test_traced_models_whose_errors_overflow_have_no_certificate(m, n):
    """Known ones are refused; two infinities would be equal, as of a sample that is certified."""
    [case] = brute.random_cases(m, n, 1, seed=0)
    params, x, radius = brute.arrays(case)
    for factor in (1e10, 1e19, jnp.nan):
        model = params._replace(W=jnp.float32(factor) * params.W)
        assert np.isnan(certificates._worst_case(model, x, jnp.float32(radius))).all()


# The quadratics of the dual


def units(number=20_000, seed=0):
    """Choices, intervals and targets of every kind and size."""
    rng = np.random.default_rng(seed)
    size = 10 ** rng.uniform(-3, 2, number)
    middle, reach = size * rng.normal(size=number), size * rng.exponential(size=number)
    choice = np.where(rng.random(number) < 0.3, rng.choice([0, 0.5, 1], number), rng.random(number))
    x = np.where(rng.random(number) < 0.4, 0, rng.random(number))
    return (np.float32(a) for a in (choice, middle - reach, middle + reach, x))


def phi(u, x):
    return np.square(np.maximum(u, 0) - x)


def test_quadratics_lie_above_the_error_and_touch_it():
    choice, low, high, x = units()
    psi = certificates._majorants(*(jnp.asarray(a) for a in (choice, low, high, x)))
    alpha, beta, gamma, low, high, x = (np.asarray(a, np.float64) for a in (*psi, low, high, x))

    def above(u):
        """ψ - φ at u, in units of what is added up."""
        terms = (alpha * u**2, beta * u, gamma, u**2, x**2)
        return (sum(terms[:3]) - phi(u, x)) / (sum(map(np.abs, terms)) + 1e-30)

    for share in (*np.linspace(0, 1, 101), None):
        u = np.clip(0, low, high) if share is None else low + share * (high - low)
        assert above(u).min() > -1e-6

    touches = lambda where, u: np.abs(above(u)[where]).max() < 1e-6  # noqa: E731
    off, on, mixed = high <= 0, low >= 0, (low < 0) & (high > 0)
    kinked, touching = mixed & (x > 0) & (choice > 0.5), mixed & ~((x > 0) & (choice > 0.5))
    assert min(map(np.sum, (off, on, kinked, touching))) > 500
    for share in (0, 0.3, 1):
        assert touches(off | on, low + share * (high - low))
    assert touches(touching & (high >= 2 * x), high)
    assert touches(touching & (choice == 0), low)
    assert touches(kinked, np.zeros_like(x))
    assert np.minimum(np.abs(above(low)), np.abs(above(high)))[kinked].max() < 1e-6
