"""Attacks by brute force, in NumPy and double precision, on random and on trained models."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toylib.features import Independent
from toylib.model import Params
from toylib.training import train_ensemble

RADII = (0.15, 0.35, 0.55, 0.75, 0.9, 1.0)


class Case(NamedTuple):
    """A model, an input and a radius."""

    W: np.ndarray
    b: np.ndarray
    x: np.ndarray
    radius: float

    def error(self, deltas=0.0):
        """‖x - ReLU(Wᵀ W (x + δ) + b)‖² for δ (..., n)."""
        W, b, x = (np.asarray(a, np.float64) for a in self[:3])
        return np.square(np.maximum((x + deltas) @ W.T @ W + b, 0) - x).sum(-1)

    def hidden_ball(self):
        """A and z: u = z + A c, ‖c‖ ≤ radius, are the pre-activations under all attacks, c (m,)."""
        W, b, x = (np.asarray(a, np.float64) for a in self[:3])
        values, vectors = np.linalg.eigh(W @ W.T)
        return W.T @ (vectors * np.sqrt(np.maximum(values, 0))), W.T @ (W @ x) + b

    def rounding(self):
        """What single precision may lose of √e."""
        W, b, x = (np.abs(np.asarray(a, np.float64)) for a in self[:3])
        return 3e-6 * np.linalg.norm(b + np.linalg.norm(W.T @ W, axis=0) * (np.linalg.norm(x) + self.radius))


def arrays(case):
    """Params, x and radius of a case, as the library takes them."""
    W, b, x, radius = (jnp.asarray(a, jnp.float32) for a in case)
    return Params(W, b), x, radius


def stacked(cases):
    """The same of many cases, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(arrays, cases))


def single(case):
    """The case as the library gets it, its numbers rounded to single precision."""
    return Case(*(np.asarray(a, np.float32) for a in case[:3]), float(np.float32(case.radius)))


def grid(m):
    """(m, k): 10^5 points of [-1, 1], 10^6 unit vectors of the plane or 2·10^5 of space."""
    if m == 1:
        return np.linspace(-1, 1, 10**5 + 1)[None]
    if m == 2:
        angle = 2 * np.pi * np.arange(10**6) / 10**6
        return np.stack([np.cos(angle), np.sin(angle)])
    k = np.arange(2 * 10**5) + 0.5
    angle, height = np.pi * (1 + 5**0.5) * k, 1 - k / 10**5
    return np.stack([np.sqrt(1 - height**2) * np.cos(angle), np.sqrt(1 - height**2) * np.sin(angle), height])


def highest(A, z, x, points, scales):
    """The largest error over c = s·points, s of `scales`, and its c."""
    best, where = -np.inf, None
    shift, least, memory = (z - x)[:, None], -x[:, None], np.empty((len(z), 4096))
    for first in range(0, points.shape[1], 4096):
        u = A @ points[:, first : first + 4096]
        gap = memory[:, : u.shape[1]]
        for s in scales:
            np.multiply(u, s, out=gap)
            np.maximum(np.add(gap, shift, out=gap), least, out=gap)  # ReLU(su + z) - x
            errors = np.square(gap, out=gap).sum(0)
            if errors.max() > best:
                best, where = errors.max(), s * points[:, first + errors.argmax()]
    return best, where


def search(case, directions, radii=RADII):
    """The largest error on a grid over the ball; the same refined around its best point; ‖c‖/radius of that point."""
    (A, z), x, rng = case.hidden_ball(), np.asarray(case.x, np.float64), np.random.default_rng(0)
    best, c = highest(A, z, x, directions, [r * case.radius for r in radii])
    coarse, size = best, 0.3 * case.radius
    for _ in range(30):
        near = c[:, None] + size * rng.normal(size=(len(c), 2000)) * rng.random(2000)
        near = np.concatenate([near, near * case.radius / np.maximum(np.linalg.norm(near, axis=0), 1e-30)], 1)
        near = near[:, np.linalg.norm(near, axis=0) <= case.radius * (1 + 1e-12)]
        found, there = highest(A, z, x, near, [1.0])
        best, c = (found, there) if found > best else (best, c)
        size /= 1.5
    return coarse, best, np.linalg.norm(c) / case.radius


def random_cases(m, n, number, seed):
    """Models and inputs of mixed kinds: bias of either sign, zero to all features active, tiny and huge radii, dead."""
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(number):
        W = rng.normal(size=(m, n)) * 10 ** rng.uniform(-0.5, 0.3)
        b = rng.normal(size=n) * rng.choice([0, 0.3, 1]) - rng.choice([0, 0.3, 1])
        x = rng.random(n) * (rng.random(n) < rng.choice([0, 0.3, 0.6, 1]))
        radius = 10 ** rng.uniform(-1.3, 0.7)
        kind = i % 6
        if kind == 1:
            radius = 10 ** rng.uniform(-4, -2)
        elif kind == 2:
            radius = 10 ** rng.uniform(1, 2)
        elif kind == 3:
            W[:, rng.integers(n)] = 0
        elif kind == 4:
            W[:, : n // 2] = -W[:, n - n // 2 :]
        elif kind == 5:
            x = np.where(x > 0, 1.0, 0.0)
            b = -np.abs(b) - W.T @ (W @ x) * rng.choice([0, 1])
        cases.append(single(Case(W, b, x, radius)))
    return cases


DENSITIES = (0.01, 0.05, 0.25)
WIDE = Independent(100)


@cache
def trained():
    """Models with n = 100, m = 20, one for each of DENSITIES."""
    run = train_ensemble(
        WIDE,
        [1 - p for p in DENSITIES],
        jax.random.split(jax.random.key(0), 1),
        n_hidden=20,
        data_key=jax.random.key(1),
        n_steps=600,
        batch_size=256,
        scale=0.1,
        learning_rate=3e-3,
        snapshots=[0, 600],
        progress=False,
    )
    return [Params(run.params.W[i, 0], run.params.b[i, 0]) for i in range(len(DENSITIES))]
