"""The library's attacks on many models, or many inputs of one, at once."""

import inspect
from functools import cache, partial

import brute
import jax
import numpy as np
from brute import Case

from toylib import attacks
from toylib.attacks import analytic, latent, one_step, pgd, random_direction, random_feature


def _is_attack(thing):
    """Whether this is a function of params, x, radius, with a keyword key."""
    parameters = inspect.signature(thing).parameters if inspect.isfunction(thing) else {}
    key = parameters.get("key")
    return [*parameters][:3] == ["params", "x", "radius"] and key is not None and key.kind is key.KEYWORD_ONLY


ROOM = {name: getattr(attacks, name) for name in attacks.__all__ if _is_attack(getattr(attacks, name))}
"""Every attack that the face of the room has."""
ATTACKS = {
    "analytic +": analytic,
    "analytic ±": partial(analytic, signs="±"),
    "random feature +": random_feature,
    "random direction": random_direction,
    "random direction in the row space": partial(random_direction, row_space=True),
    "one step": one_step,
    "one noisy step": partial(one_step, noise=0.1),
    "pgd": pgd,
    "pgd from analytic": partial(pgd, starts=("analytic",)),
    "latent": latent,
}
ATTACKS |= {name: attack for name, attack in ROOM.items() if attack not in ATTACKS.values()}  # what is new in the room
_MANY = {name: jax.jit(jax.vmap(attack)) for name, attack in ATTACKS.items()}
INPUTS = 67
BATCH = {name: jax.jit(jax.vmap(attack, (None, 0, None))) for name, attack in ATTACKS.items()}
"""For INPUTS samples of one model, each with a key."""


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
    keys = jax.random.split(jax.random.key(0), len(CASES))
    return np.asarray(_MANY[name](*brute.stacked(CASES), key=keys), np.float64)


def mixed(name):
    """Each of MIXED, the attack on it, and its error."""
    return [(case, delta, case.error(delta)) for case, delta in zip(MIXED, deltas_of(name), strict=False)]


def errors_of(name):
    return np.array([error for _, _, error in mixed(name)])


def at_least(errors, others, cases=MIXED):
    """Whether √errors ≥ √others, to rounding."""
    rounding = np.array([case.rounding() for case in cases])
    return np.sqrt(errors) >= np.sqrt(others) * (1 - 1e-6) - rounding
