"""Gradient attacks: one step, projected ascent and its twin in the row space, against each other and the worst case."""

from functools import partial

import brute
import jax
import numpy as np
import pytest
from attacked import BATCH, INPUTS, MIXED, at_least, errors_of, mixed
from brute import DENSITIES, WIDE, Case
from scipy import special

from toylib.attacks import latent, one_step, pgd, worst_case

SEARCHES = {"pgd": pgd, "latent": latent}


def slope_of(case, at=0.0, h=1e-6):
    return np.array([case.error(at + h * e) - case.error(at - h * e) for e in np.eye(len(case.x))]) / (2 * h)


def test_one_step_follows_the_gradient():
    tested = 0
    for case, delta, _ in mixed("one step"):
        slope = slope_of(case)
        if np.linalg.norm(slope) > 1e-3 * np.linalg.norm(case.W) ** 2:
            tested += 1
            np.testing.assert_allclose(delta, case.radius * slope / np.linalg.norm(slope), atol=2e-3 * case.radius)
        elif not slope.any():
            assert not delta.any()
    assert tested > 25


@pytest.mark.parametrize(("noise", "norm"), [(0.0, 0.0), (0.2, 0.2), (5.0, 0.5)])
def test_noisy_step_starts_from_noise_and_ends_in_the_ball(noise, norm):
    rng = np.random.default_rng(0)
    step = partial(jax.jit(partial(one_step, noise=noise)), key=jax.random.key(0))
    off = brute.single(Case(rng.normal(size=(3, 7)), np.full(7, -100.0), np.eye(7)[0], 0.5))
    on = off._replace(b=np.full(7, 0.1, np.float32))
    start, moved = (np.asarray(step(*brute.arrays(case)), np.float64) for case in (off, on))
    assert np.linalg.norm(start) == pytest.approx(norm, rel=1e-5)
    slope = slope_of(on, start)
    wanted = start + 0.5 * slope / np.linalg.norm(slope)
    np.testing.assert_allclose(moved, wanted * min(1, 0.5 / np.linalg.norm(wanted)), atol=1e-3)


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_are_at_least_as_good_as_their_starts(name):
    assert at_least(errors_of(name), errors_of("analytic ±")).all()
    assert at_least(errors_of(name), errors_of("one step")).all()
    assert at_least(errors_of(name), np.array([case.error() for case in MIXED])).all()
    assert at_least(errors_of("pgd from analytic"), errors_of("analytic ±")).all()
    assert (errors_of(name) > 1.02 * errors_of("analytic ±")).mean() > 0.1


@pytest.mark.parametrize("attack", SEARCHES.values(), ids=SEARCHES)
def test_searches_reach_the_worst_case_in_two_dimensions(attack):
    reached = []
    for case in brute.random_cases(2, 6, 48, seed=1):
        lower, upper = map(float, worst_case(*brute.arrays(case)))
        error = case.error(np.float64(attack(*brute.arrays(case), key=jax.random.key(0))))
        assert np.sqrt(error) <= np.sqrt(upper) + case.rounding()
        reached.append(np.sqrt(error) >= np.sqrt(lower * (1 - 1e-3)) - case.rounding())
    assert np.mean(reached) > 0.9


@pytest.mark.parametrize("i", range(len(DENSITIES)), ids=[f"p={p}" for p in DENSITIES])
def test_stronger_attacks_do_more_harm_to_trained_models(i):
    params, S = brute.trained()[i], 1 - DENSITIES[i]
    radius = float(0.5 * WIDE.mean_norm(S))
    X, keys = WIDE.sample(S, INPUTS, key=jax.random.key(0)), jax.random.split(jax.random.key(1), INPUTS)
    cases = [Case(*params, x, radius) for x in X]

    def gain(name):
        deltas = np.asarray(BATCH[name](params, X, radius, key=keys), np.float64)
        return np.mean([case.error(delta) - case.error() for case, delta in zip(cases, deltas, strict=True)])

    assert gain("pgd") > 1.3 * gain("one step") > 3 * gain("random direction")
    assert gain("pgd") > 1.02 * gain("analytic ±")
    assert gain("latent") > 0.97 * gain("pgd")


@pytest.mark.parametrize("attack", SEARCHES.values(), ids=SEARCHES)
def test_smoothing_leads_out_of_the_dead_zone(attack):
    # Every unit is off at x = 0, but 0.05 away along each of its directions one turns on.
    case = brute.single(Case(np.eye(3, 7), np.full(7, -0.05), np.zeros(7), 0.3))
    options = {"key": jax.random.key(0), "starts": ("zero",)}
    stuck, led = (attack(*brute.arrays(case), **options, smoothing=s) for s in (None, 0.05))
    assert not np.any(stuck)
    assert case.error(np.float64(led)) > 0.5 * 0.25**2


def test_smoothing_keeps_the_choice_of_the_best_exact():
    # And one that is better lowered, for raising its only unit leads to a lower maximum, and all others are off.
    lowered = brute.single(Case(np.eye(3, 7), np.where(np.arange(7) > 0, -5, -0.1), 0.5 * np.eye(7)[0], 0.3))
    errors = []
    for case in [*MIXED, lowered]:
        delta = pgd(*brute.arrays(case), key=jax.random.key(0), starts=["analytic"], smoothing=0.5)
        errors.append(case.error(np.float64(delta)))
    assert at_least(np.array(errors[:-1]), errors_of("analytic ±")).all()
    assert errors[-1] == pytest.approx(0.4**2, rel=1e-5)
    # Where slopes leave single precision the starts are left; what no step improves is no worse for that.
    extreme = jax.jit(partial(pgd, key=jax.random.key(0), starts=("random", "analytic")))
    for smoothing in (1e-39, 1e-36, 1e25):
        delta = extreme(*brute.arrays(lowered), smoothing=smoothing)
        assert lowered.error(np.float64(delta)) >= 0.4**2 * (1 - 1e-5)


def plain_ascent(case, n_steps, smoothing, start=0.0):
    """The documented ascent from x + start, in double precision with the gradient written out; the best on the way."""
    W, b, x = (np.asarray(a, np.float64) for a in case[:3])
    delta = best = np.zeros_like(x) + start
    for t in range(n_steps):
        z = (x + delta) @ W.T @ W + b
        if smoothing:
            slope = (smoothing * np.logaddexp(0, z / smoothing) - x) * special.expit(z / smoothing) @ W.T @ W
        else:
            slope = (np.maximum(z, 0) - x) * (z > 0) @ W.T @ W
        delta = delta + 2 * case.radius * (1 - t / n_steps) * slope / max(np.linalg.norm(slope), 1e-30)
        delta = delta * min(1, case.radius / max(np.linalg.norm(delta), 1e-30))
        best = delta if case.error(delta) > case.error(best) else best
    return best


@pytest.mark.parametrize("smoothing", [None, 3.0])
def test_steps_are_as_long_as_documented(smoothing):
    """Five of them, too few to end where longer or shorter ones would; of models that are on around every point."""
    rng = np.random.default_rng(5)
    cases = [
        brute.single(Case(rng.normal(size=(3, 7)), rng.uniform(2, 4, 7), rng.random(7), rng.uniform(0.05, 0.3)))
        for _ in range(16)
    ]
    search = jax.jit(jax.vmap(partial(pgd, starts=("zero",), n_steps=5, smoothing=smoothing)))
    for case, delta in zip(cases, np.asarray(search(*brute.stacked(cases)), np.float64), strict=True):
        np.testing.assert_allclose(delta, plain_ascent(case, 5, smoothing), atol=1e-3 * case.radius)
    # From random starts as well, of whose seven numbers the model sees three.
    key = jax.random.key(3)
    way = np.asarray(jax.random.normal(key, (1, 7)), np.float64)[0]
    search_on = jax.jit(partial(pgd, starts=("random",), n_steps=2, restarts=1, key=key, smoothing=smoothing))
    for case in cases[:4]:
        found = np.asarray(search_on(*brute.arrays(case)), np.float64)
        wanted = plain_ascent(case, 2, smoothing, case.radius * way / np.linalg.norm(way))
        np.testing.assert_allclose(found, wanted, atol=1e-3 * case.radius)
        assert np.linalg.norm(wanted - np.linalg.pinv(np.float64(case.W)) @ (case.W @ wanted)) > 0.05 * case.radius
    # Of others the end may do less harm than what was on the way to it, as where a step turns on what should be on.
    W = np.eye(3, 1) * [1, 1, 0, 0, 0, 0, 0]
    overstepped = brute.single(Case(W, np.array([-1.1, -0.95, 0, 0, 0, 0, 0]), np.eye(7)[0], 0.3 / np.sqrt(2)))
    others = [*brute.random_cases(3, 7, 15, seed=2), overstepped]
    clean = np.array([case.error() for case in others])
    ends = np.asarray(search(*brute.stacked(others)), np.float64)
    assert at_least(np.array([case.error(end) for case, end in zip(others, ends, strict=True)]), clean, others).all()


def test_latent_attacks_lie_in_the_row_space():
    for case, delta, _ in mixed("latent"):
        outside = delta - np.linalg.pinv(np.float64(case.W)) @ (case.W @ delta)
        assert np.linalg.norm(outside) <= 1e-4 * case.radius


def test_random_starts_in_the_row_space_reach_farther():
    # With n = 100 and m = 20 a random attack has 20/100 of its squared norm in the row space, too little to leave
    # the dead zone.
    rng = np.random.default_rng(0)
    W = rng.normal(size=(20, 100)) / np.sqrt(20)
    reach = np.linalg.norm(W.T @ W, axis=0).mean()
    case = brute.single(Case(W, np.full(100, -0.3 * 0.6 * reach), np.zeros(100), 0.6))

    def ends(attack, case, number):
        search = partial(attack, *brute.arrays(case), n_steps=3, restarts=1, starts=["random"])
        return np.array([search(key=key) for key in jax.random.split(jax.random.key(0), number)], np.float64)

    rows, full = (case.error(ends(attack, case, 64)) for attack in (latent, pgd))
    assert rows.mean() > 2 * full.mean()
    assert (rows > 0).mean() > (full > 0).mean() + 0.2
    for attack in (latent, pgd):  # where nothing turns on, an ascent ends where it starts: on the sphere
        first, second = ends(attack, case._replace(b=np.full(100, -100.0)), 2)
        np.testing.assert_allclose(np.linalg.norm([first, second], axis=1), 0.6, rtol=1e-5)
        assert np.abs(first - second).max() > 0.01


def test_more_steps_and_restarts_do_more_harm():
    roots = []
    for n_steps, restarts in ((2, 1), (40, 10)):
        search = partial(pgd, n_steps=n_steps, restarts=restarts, starts=["random"], key=jax.random.key(0))
        deltas = [np.asarray(search(*brute.arrays(case)), np.float64) for case in MIXED]
        roots.append(np.sqrt([case.error(delta) for case, delta in zip(MIXED, deltas, strict=True)]))
    assert (roots[1] > 1.01 * roots[0]).mean() > 0.2
    assert (roots[1] < 0.99 * roots[0]).mean() < 0.1
