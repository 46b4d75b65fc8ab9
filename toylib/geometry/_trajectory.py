"""What geometry measures along one run, and from where its models are best seen."""

from functools import partial
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_array
from toylib.features import Features
from toylib.geometry._measures import flatness, mean_cosine, pca_overlap, twist, within_energy
from toylib.geometry._states import Phase, phases
from toylib.geometry._templates import ONE, Sets, check_partition, is_triples
from toylib.training import Run


class Trajectory(NamedTuple):
    """Measures of one run at its T snapshots.

    Attributes:
        steps: (T,).
        losses: (T,), on population nodes.
        weights: (T, m, n), turned as `upright` says of the end, or of where W was last finite.
        singular_values: (T, min(m, n)) of W, descending.
        overlap: (T,), `pca_overlap` with as many axes as there are sets, but at most m: of correlated sets, the space
            of the set means.
        within_energy: (T,).
        mean_cosine: (T,), of the angle between two set means, averaged over the pairs of sets; NaN for a single set.
        flatness: (T, n_sets); NaN in phases A and B, where a set is a point and its shape is what rounding left, and
            for a set of one feature.
        twist: (T,), degrees; NaN there too, while a set is a line, and for all but two triples in three dimensions.
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
    """Measure one run at every snapshot, of any sizes.

    Args:
        run: one model's run, without leading axes, m at least 2.
        features: distribution of the inputs, whose sets the measures are of.
        S: the sparsity it was trained at.

    Raises:
        ValueError: as `phases`.
    """
    found = phases(run, features.sets)
    measured = _measure(run.weights, features.sets, features.covariance(S))
    spectrum, overlap, energy, cosine, flat, turned = map(np.array, measured)
    closed = run.steps <= max((phase.last for phase in found if phase.name[0] in "AB"), default=-1)
    flat[closed] = turned[closed] = np.nan
    finite = run.weights[np.isfinite(run.weights).all((1, 2))]
    weights = upright(finite[-1], features.sets) @ run.weights if len(finite) else run.weights
    return Trajectory(run.steps, run.losses, weights, spectrum, overlap, energy, cosine, flat, turned, found)


def upright(W: ArrayLike, sets: Sets) -> np.ndarray:
    """The rotation or reflection after which a model is seen from a side of its own, however it was turned before.

    Two sets in three dimensions: the first set's mean is straight above the second's, its first feature to the front.
    Else the axes are the left singular vectors of W, the strongest first. Directions within some 5 % of one strength,
    which have no order of their own, come in that of the features, the mean of the first set last.

    Args:
        W: (m, n), finite.
        sets: the sets, which hold every feature once.

    Returns:
        (m, m) float32, orthogonal.

    Raises:
        ValueError, TypeError: m below 2, or sets that leave features out or share them.
    """
    W = np.asarray(W, np.float64)
    check_array("W", W, (None, None), ONE)
    check_partition(W, sets)
    if len(W) == 3 and len(sets) == 2:
        first, second = (W[:, list(s)].mean(1) for s in sets)
        up = _unit(first - second, np.eye(3)[2])
        corner = W[:, sets[0][0]]
        front = _unit(corner - (corner @ up) * up, np.linalg.svd(up[None])[2][1])
        return np.stack([front, np.cross(up, front), up]).astype(np.float32)
    n = W.shape[1]
    weighted = W * np.linspace(1.01, 1, n)
    one = np.isin(np.arange(n), sets[0]) / np.sqrt(len(sets[0]))
    axes = np.linalg.svd(weighted - 0.1 * np.outer(weighted @ one, one))[0].T
    # An axis points to where the first feature is that it clearly has a part in.
    along = axes @ W
    clear = np.abs(along) > 0.3 * np.abs(along).max(1, keepdims=True)
    signs = np.sign(along[np.arange(len(W)), clear.argmax(1)])
    return (np.where(signs == 0, 1, signs)[:, None] * axes).astype(np.float32)


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else otherwise


@partial(jax.jit, static_argnums=1)
def _measure(weights: jax.Array, sets: Sets, covariance: jax.Array) -> tuple[jax.Array, ...]:
    def cosine(W: jax.Array) -> jax.Array:
        pairs = [mean_cosine(W, pair) for pair in combinations(sets, 2)]
        return jnp.stack(pairs).mean() if pairs else jnp.full((), jnp.nan)

    def flat(W: jax.Array) -> jax.Array:
        return jnp.stack([flatness(W, (s,))[0] if len(s) > 1 else jnp.full((), jnp.nan) for s in sets])

    def one(W: jax.Array) -> tuple[jax.Array, ...]:
        spectrum = jnp.linalg.svd(W, compute_uv=False)
        overlap = pca_overlap(W, covariance, min(len(sets), len(W)))
        turn = twist(W, sets) if is_triples(W, sets) else jnp.full((), jnp.nan)
        return spectrum, overlap, within_energy(W, sets), cosine(W), flat(W), turn

    return jax.vmap(one)(weights)
