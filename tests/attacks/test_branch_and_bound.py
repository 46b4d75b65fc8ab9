"""The worst case in up to three hidden dimensions against brute force, and the row space it is searched in."""

import brute
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute import Case

from toylib.attacks import _branch_and_bound as arrangement
from toylib.attacks import worst_case
from toylib.attacks._contract import RowSpace, row_space
from toylib.model import Params


def rotation(m, seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(m, m)))
    return q * np.sign(np.diag(r))


def check_bracket(case, directions):
    """Compare the worst case with brute force; return the best attack's share of the radius."""
    lower, upper = map(float, worst_case(*brute.arrays(case)))
    coarse, fine, share = brute.search(case, directions)
    rounding = case.rounding()
    if lower == upper:
        assert lower == pytest.approx(case.error(), rel=1e-6)
        upper *= 1 + 1e-6
    assert max(coarse, fine, case.error()) <= upper
    assert np.sqrt(lower) >= np.sqrt(coarse * (1 - 1e-3)) - rounding
    assert np.sqrt(lower) <= np.sqrt(fine * (1 + 1e-5)) + rounding
    assert np.sqrt(upper) <= np.sqrt(lower * (1 + 1e-3)) + rounding
    return share


@pytest.mark.parametrize(("m", "n", "number"), [(1, 4, 24), (2, 3, 18), (2, 6, 20), (2, 9, 14), (3, 7, 24)])
def test_worst_case_against_brute_force(m, n, number):
    directions = brute.grid(m)
    for case in brute.random_cases(m, n, number, seed=n):
        check_bracket(case, directions)


def test_worst_case_with_fewer_features_than_dimensions():
    radii = np.linspace(0, 1, 11)
    for case in brute.random_cases(5, 2, 6, seed=0):
        lower, upper = map(float, worst_case(*brute.arrays(case)))
        G = np.float64(case.W).T @ case.W
        found, _ = brute.highest(G, case.x @ G + case.b, case.x, brute.grid(2)[:, ::10], case.radius * radii)
        assert found <= upper * (1 + 1e-6)
        assert upper <= lower * (1 + 1e-3) + case.rounding()
        assert lower >= found * (1 - 1e-3) - case.rounding()


@pytest.mark.parametrize(("m", "n"), [(2, 6), (3, 7)])
def test_worst_case_strictly_inside_the_ball(m, n):
    rng, directions = np.random.default_rng(m), brute.grid(m)[:, ::50]
    inside = []
    while len(inside) < 4:
        W = rng.normal(size=(m, n))
        case = brute.single(Case(W, -W.T @ (W @ np.ones(n)) + 0.3 * rng.normal(size=n), np.ones(n), 0.3))
        A, z = case.hidden_ball()
        on_sphere, _ = brute.highest(A, z, case.x, directions, [case.radius])
        _, fine, share = brute.search(case, directions)
        if fine > 1.02 * on_sphere and 0.1 < share < 0.9:
            inside.append(case)
    for case in inside:
        assert 0.1 < check_bracket(case, brute.grid(m)) < 0.9


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("active", [0, 1, 2])
@pytest.mark.parametrize("signs", [(1,), (1, -1)], ids=["identity", "octahedron"])
def test_flat_maxima(m, active, signs, seed):
    # Every attack on [I -I] of norm radius within the row space has the same gain, as long as no active unit turns off.
    n = {2: 6, 3: 7}[m]
    W = np.hstack([s * np.eye(m) for s in signs])
    W = np.hstack([W, np.zeros((m, n - W.shape[1]))])
    W = W if seed is None else rotation(m, seed) @ W
    x = np.where(np.arange(n) < active, 1.0, 0.0)
    case = brute.single(Case(W, np.zeros(n), x, 1 / np.sqrt(len(signs))))
    check_bracket(case, brute.grid(m)[:, ::10])
    assert float(worst_case(*brute.arrays(case))[0]) == pytest.approx(1, rel=1e-3)


def test_worst_case_does_not_depend_on_the_frame():
    for case in brute.random_cases(3, 7, 8, seed=0):
        turned = case._replace(W=rotation(3, 5) @ case.W)
        plain, other = (np.asarray(worst_case(*brute.arrays(each))) for each in (case, turned))
        np.testing.assert_allclose(plain, other, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize(("m", "n"), [(2, 6), (3, 7)])
def test_worst_case_grows_with_the_radius_from_the_clean_error(m, n):
    [case] = brute.random_cases(m, n, 1, seed=3)
    cases = [case._replace(radius=r) for r in np.linspace(0, 2, 12)]
    lower, upper = np.array([worst_case(*brute.arrays(each)) for each in cases]).T
    assert lower[0] == upper[0] == pytest.approx(case.error(), rel=1e-6)
    assert (upper[1:] >= lower[:-1]).all()
    assert lower[-1] > 2 * upper[0]


def test_the_bound_holds_where_the_pool_is_too_small(monkeypatch):
    """What had to make room is remembered: the bound is loose then, and no attack on a near hexagon exceeds it."""
    monkeypatch.setitem(arrangement._SIZES, 2, (8, 4))
    search = jax.jit(lambda params, x, radius: arrangement.branch_and_bound(row_space(params, x), radius, 1e-6))
    rng, turns, loose = np.random.default_rng(0), 2 * np.pi * np.arange(6) / 6, 0
    for _ in range(18):
        x = (rng.random(6) < 0.5) * rng.uniform(0.3, 1, 6)
        W = np.array([np.cos(turns), np.sin(turns)]) * rng.uniform(0.8, 1.2) + 0.02 * rng.normal(size=(2, 6))
        b = rng.uniform(-0.3, 0.1) + 0.02 * rng.normal(size=6)
        case = brute.single(Case(W, b, x, rng.uniform(0.5, 3)))
        lower, upper = map(float, search(*brute.arrays(case)))
        best, _, _ = brute.search(case, brute.grid(2)[:, ::1000])
        assert best <= upper
        loose += upper > 1.01 * lower
    assert loose > 2


def test_bounds_allow_for_rounding_and_for_no_more():
    """In one dimension one unit, whose pre-activation is a small difference of large numbers, or four large ones."""
    missed = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        large, small = rng.uniform(400, 900), rng.uniform(0.2, 0.5)
        x, radius = ((rng.uniform(0.5, 1), 1e-3), (0.0, rng.uniform(0.5, 1)), (0.0, rng.uniform(0.5, 1)))[seed % 3]
        b = small - large * (x, radius, 0)[seed % 3]
        W = np.sqrt(large) * (np.eye(1, 4) if seed % 3 < 2 else rng.normal(size=(1, 4)))
        case = brute.single(Case(W, [b, -1, -1, -1], x * np.eye(4)[0], radius))
        direction = np.float64(case.W[0]) / np.linalg.norm(np.float64(case.W[0]))
        most = max(case.error(sign * case.radius * direction) for sign in (0, 1, -1))
        lower, upper = map(float, worst_case(*brute.arrays(case)))
        assert most <= upper
        assert np.sqrt(upper) <= np.sqrt(most * (1 + 1e-3)) + case.rounding()
        missed.append(lower < most)
    assert np.mean(missed) > 0.2  # by rounding alone


# Bounds of single frustums


@pytest.mark.parametrize(("r", "n"), [(1, 4), (2, 5), (3, 7)])
def test_bounds_hold_on_frustums_and_close_as_they_shrink(r, n):
    rng, count = np.random.default_rng(r), 64
    bounds = jax.jit(lambda *a: arrangement._bounds(*a)[:2])
    gaps = {}
    for case in brute.random_cases(r, n, 6, seed=1):
        problem = jax.jit(row_space)(Params(jnp.asarray(case.W), jnp.asarray(case.b)), jnp.asarray(case.x))
        A, z, x = (np.asarray(a, np.float64) for a in problem[1:])
        off = z + case.radius * np.linalg.norm(A, axis=1) <= 0
        for width in (1.0, 0.1, 1e-3):
            middle = rng.normal(size=(count, 1, r))
            middle /= np.linalg.norm(middle, axis=2, keepdims=True)
            corners = middle + 0.4 * width * rng.normal(size=(count, r, r)) * (r > 1)
            corners = np.float32(corners / np.linalg.norm(corners, axis=2, keepdims=True))
            edges = np.square(corners[:, :, None] - corners[:, None]).sum(-1).max((1, 2))
            corners = np.where(
                (edges <= 2)[:, None, None], corners, np.eye(r, dtype=np.float32)
            )  # as the search starts
            low = case.radius * (1 - width) * rng.random(count)
            high = low + width * case.radius * rng.random(count)
            low, high = np.float32(low), np.float32(high)
            bound, found = bounds(problem, jnp.asarray(off), *(jnp.asarray(a) for a in (corners, low, high)))
            weights = np.concatenate([rng.dirichlet(np.full(r, 0.3), 150), rng.dirichlet(np.ones(r), 150), np.eye(r)])
            d = np.einsum("kr,crs->cks", weights, np.float64(corners))
            d /= np.linalg.norm(d, axis=2, keepdims=True)
            share = rng.choice([0, 1, 0.5, 0.1, 0.9], (count, len(weights), 1))
            u = (low[:, None, None] * (1 - share) + high[:, None, None] * share) * d @ A.T + z
            errors = np.square(np.maximum(u, 0) - x).sum(-1).max(1)
            slack = case.rounding() * (np.sqrt(errors) + case.rounding())
            assert (errors <= np.asarray(bound) + 2 * slack).all()
            assert (np.asarray(found) <= np.asarray(bound) + 2 * slack).all()
            gaps.setdefault(width, []).append(np.median((np.asarray(bound) - errors) / (errors + 1e-9)))
    assert np.mean(gaps[1e-3]) < 0.02
    assert np.mean(gaps[1e-3]) < np.mean(gaps[0.1]) < np.mean(gaps[1.0])


def test_a_unit_that_is_off_in_a_part_of_a_frustum_bends_no_bound():
    """Halfway between the axes a unit of ten times the length turns on, which at their ends is off."""
    A = [[1, 0], [0, 1], [50**0.5, 50**0.5], [0, 0], [0, 0]]
    problem = RowSpace(jnp.eye(5, 2), jnp.asarray(A), jnp.asarray([-0.5, -0.5, -9, 0, 0]), jnp.zeros(5))
    off, directions, low, high = np.zeros(5, bool), np.eye(2, dtype=np.float32)[None], np.zeros(1), np.ones(1)
    bound = jax.jit(arrangement._bounds)(problem, off, directions, np.float32(low), np.float32(high))[0]
    assert bound.item() >= 1 + 2 * (np.sqrt(0.5) - 0.5) ** 2


# The row space


@pytest.mark.parametrize(("m", "n"), [(3, 7), (5, 2), (20, 100)])
def test_row_space_holds_every_attack(m, n):
    rng = np.random.default_rng(n)
    case = brute.single(Case(rng.normal(size=(m, n)), rng.normal(size=n), rng.random(n), 1.0))
    problem = jax.jit(row_space)(Params(jnp.asarray(case.W), jnp.asarray(case.b)), jnp.asarray(case.x))
    V, A = np.float64(problem.basis), np.float64(problem.A)
    assert V.shape == A.shape == (n, min(m, n))
    np.testing.assert_allclose(V.T @ V, np.eye(min(m, n)), atol=1e-5)
    G = np.float64(case.W).T @ case.W
    np.testing.assert_allclose(np.linalg.norm(A, axis=1), np.linalg.norm(G, axis=0), rtol=1e-4)
    deltas = rng.normal(size=(50, n))
    q = deltas @ V
    np.testing.assert_allclose(problem.error(jnp.asarray(q, jnp.float32)), case.error(deltas), rtol=1e-4)
    np.testing.assert_allclose(case.error(q @ V.T), case.error(deltas), rtol=1e-4)


def test_row_space_of_a_model_of_rank_one():
    W = np.outer([1.0, 2.0], [1.0, -1.0, 0.5, 0.0, 0.2, -0.4])
    case = brute.single(Case(W, np.zeros(6), np.array([0.2, 0.0, 0.7, 0.0, 1.0, 0.0]), 0.5))
    check_bracket(case, brute.grid(2)[:, ::10])
