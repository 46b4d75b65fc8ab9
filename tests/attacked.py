"""The library's attacks on many models, or many inputs of one, at once."""

from functools import cache, partial

import brute
import jax
import numpy as np
from brute import Case

from toylib.attacks import analytic, latent, one_step, pgd, random_direction, random_feature


def with_key(attack):
    return lambda params, x, radius, key: attack(params, x, radius, key=key)


def without_key(attack):
    return lambda params, x, radius, key: attack(params, x, radius)


ATTACKS = {
    "analytic +": without_key(analytic),
    "analytic ±": without_key(partial(analytic, signs="±")),
    "random feature +": with_key(random_feature),
    "random direction": with_key(random_direction),
    "one step": with_key(one_step),
    "one noisy step": with_key(partial(one_step, noise=0.1)),
    "pgd": with_key(pgd),
    "pgd from analytic": with_key(partial(pgd, starts=("analytic",))),
    "latent": with_key(latent),
}
_MANY = {name: jax.jit(jax.vmap(attack)) for name, attack in ATTACKS.items()}
INPUTS = 67
BATCH = {name: jax.jit(jax.vmap(attack, (None, 0, None, 0))) for name, attack in ATTACKS.items()}
"""For INPUTS samples of one model."""


def _awkward():
    """Dead models and features, inputs of zeros and ones, radii from 0 to far beyond the input."""
    W = np.random.default_rng(0).normal(size=(3, 7))
    for matrix in (W, 0 * W, W * (np.arange(7) < 2), 1e-6 * W):
        for x in (np.zeros(7), np.ones(7), np.eye(7)[0]):
            for bias, radius in ((0, 0), (-0.5, 0), (-0.5, 1e-6), (0, 1.0), (-0.5, 1e3)):
                yield brute.single(Case(matrix, np.full(7, bias), x, radius))


MIXED = brute.random_cases(3, 7, 48, seed=0)
CASES = [*MIXED, *_awkward()]


@cache
def deltas_of(name):
    """The attacks of one kind on CASES, (cases, n)."""
    return np.asarray(_MANY[name](*brute.stacked(CASES), jax.random.split(jax.random.key(0), len(CASES))), np.float64)


def mixed(name):
    """Each of MIXED, the attack on it, and its error."""
    return [(case, delta, case.error(delta)) for case, delta in zip(MIXED, deltas_of(name), strict=False)]


def errors_of(name):
    return np.array([error for _, _, error in mixed(name)])


def at_least(errors, others, cases=MIXED):
    """Whether √errors ≥ √others, to rounding."""
    rounding = np.array([case.rounding() for case in cases])
    return np.sqrt(errors) >= np.sqrt(others) * (1 - 1e-6) - rounding
