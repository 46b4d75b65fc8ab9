"""Arrangements built by hand, most of two sets of three features in three dimensions; rotations and relabellings."""

from itertools import pairwise, permutations

import jax.numpy as jnp
import numpy as np

from toylib.model import Params
from toylib.training import Run

SETS = ((0, 1, 2), (3, 4, 5))
RELABELLINGS = [
    order
    for a in permutations((0, 1, 2))
    for b in permutations((3, 4, 5))
    for order in ([*a, *b], [*b, *a])
]  # fmt: skip


def prism(r, h, twist, squash=1.0):
    """Two regular triangles, heights h and -h, the second turned by `twist` degrees; y scaled by `squash`."""
    t = np.radians([0, 120, 240])
    up = [r * np.cos(t), squash * r * np.sin(t), np.full(3, h)]
    t = t + np.radians(twist)
    down = [r * np.cos(t), squash * r * np.sin(t), np.full(3, -h)]
    return np.hstack([up, down])


def collapsed(second, opening=0.0):
    """Each set on one direction of length 1/sqrt(3), opened to a line along the third axis."""
    W = np.zeros((3, 6))
    W[0, :3] = W[1, 3:] = 1 / np.sqrt(3)
    if second == "opposite":
        W[0, 3:], W[1, 3:] = -1 / np.sqrt(3), 0
    W[2] = opening * np.array([-1, 0, 1, -1, 0, 1])
    return W


OCTAHEDRON = np.hstack([np.eye(3), -np.eye(3)])
EXACT = {
    "origin": np.zeros((3, 6)),
    "pca": collapsed("orthogonal"),
    "collinear": collapsed("opposite"),
    "lines": collapsed("orthogonal", 0.4),
    "prism": prism(np.sqrt(2 / 3), np.sqrt(1 / 3), 0),
    "twisted": prism(1.1, 0.5, 30),
    "antiprism": prism(1.1, 0.5, 60),
    "octahedron": OCTAHEDRON,
}


def orthogonal(seed, size=3):
    """Return a random rotation or reflection."""
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return q * np.sign(np.diag(r))


def f32(W):
    return jnp.asarray(W, jnp.float32)


def polygon(n):
    """A regular polygon of unit vectors, from the first axis on."""
    turns = 2 * np.pi * np.arange(n) / n
    return np.array([np.cos(turns), np.sin(turns)])


def sets_of(*sizes):
    """Sets of these sizes, whose features come one set after the other."""
    ends = np.cumsum((0, *sizes)).tolist()
    return tuple(tuple(range(a, b)) for a, b in pairwise(ends))


def run_of(*stages):
    """Return a run with a snapshot every 20 steps, made of (W, number of snapshots)."""
    W = np.concatenate([np.repeat(f32(w)[None], number, 0) for w, number in stages])
    steps, n = 20 * np.arange(len(W)), W.shape[2]
    params = Params(jnp.asarray(W[-1]), jnp.zeros(n))
    return Run(params, steps, np.ones(len(W)), W, np.zeros((len(W), n)), np.array(False))
