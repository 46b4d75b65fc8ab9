"""What geometry measures along one run of two sets of three features in three dimensions."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toylib.features import Features
from toylib.geometry._measures import flatness, mean_cosine, pca_overlap, twist, within_energy
from toylib.geometry._states import Phase, phases
from toylib.geometry._templates import Sets
from toylib.training import Run


class Trajectory(NamedTuple):
    """Measures of one run at its T snapshots.

    Attributes:
        steps: (T,).
        losses: (T,), on population nodes.
        weights: (T, m, n), turned so that at the end, or where W was last finite, the means of the two sets lie one
            above the other.
        singular_values: (T, min(m, n)) of W, descending.
        overlap: (T,), `pca_overlap` with the space of the set means.
        within_energy: (T,).
        mean_cosine: (T,), of the angle between the two set means.
        flatness: (T, n_sets); NaN in phases A and B, where a set is a point and its shape is what rounding left.
        twist: (T,), degrees; NaN there too, and while a set is a line.
        phases: of the run.
    """

    steps: np.ndarray
    losses: np.ndarray
    weights: np.ndarray
    singular_values: np.ndarray
    overlap: np.ndarray
    within_energy: np.ndarray
    mean_cosine: np.ndarray
    flatness: np.ndarray
    twist: np.ndarray
    phases: list[Phase]


def trajectory(run: Run, features: Features, S: float) -> Trajectory:
    """Measure one run of `Correlated(2, 3)`, m = 3, trained at sparsity S, at every snapshot."""
    measured = _measure(run.weights, features.sets, features.covariance(S))
    spectrum, overlap, energy, cosine, flat, turned = map(np.array, measured)
    found = phases(run, features.sets)
    closed = run.steps <= max((phase.last for phase in found if phase.name[0] in "AB"), default=-1)
    flat[closed] = turned[closed] = np.nan
    finite = run.weights[np.isfinite(run.weights).all((1, 2))]
    weights = upright(finite[-1], features.sets) @ run.weights if len(finite) else run.weights
    return Trajectory(run.steps, run.losses, weights, spectrum, overlap, energy, cosine, flat, turned, found)


def upright(W: np.ndarray, sets: Sets) -> np.ndarray:
    """The rotation (3, 3) that brings the first set's mean above the second's, and its first feature to the front."""
    W = np.asarray(W, np.float64)
    first, second = (W[:, list(s)].mean(1) for s in sets)
    up = _unit(first - second, np.eye(3)[2])
    corner = W[:, sets[0][0]]
    front = _unit(corner - (corner @ up) * up, np.linalg.svd(up[None])[2][1])
    return np.stack([front, np.cross(up, front), up]).astype(np.float32)


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else otherwise


@partial(jax.jit, static_argnums=1)
def _measure(weights: jax.Array, sets: Sets, covariance: jax.Array) -> tuple[jax.Array, ...]:
    def one(W: jax.Array) -> tuple[jax.Array, ...]:
        spectrum = jnp.linalg.svd(W, compute_uv=False)
        cosine, flat = mean_cosine(W, sets), flatness(W, sets)
        return spectrum, pca_overlap(W, covariance, len(sets)), within_energy(W, sets), cosine, flat, twist(W, sets)

    return jax.vmap(one)(weights)
