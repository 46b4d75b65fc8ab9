"""Exact arrangements of two sets of three features in three dimensions, and how far a model is from them."""

from collections.abc import Sequence
from itertools import permutations

import jax
import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_array

Sets = Sequence[Sequence[int]]

_RELABELLINGS = np.array(
    [
        [*a, *b] if first else [*b, *a]
        for first in (True, False)
        for a in permutations(range(3))
        for b in permutations(range(3, 6))
    ]
)


def template_prism(radius: float, half_height: float, twist: float) -> np.ndarray:
    """Two regular triangles of columns, one above the other, the lower one turned: W (3, 6), features 0-2 above.

    Args:
        radius: of the circle through each triangle.
        half_height: distance of each triangle from the plane half way.
        twist: degrees; 0 is a prism, 60 an antiprism, and with radius sqrt(2/3), half-height sqrt(1/3) the octahedron.
    """
    turns = 2 * np.pi * np.arange(3) / 3

    def triangle(angles: np.ndarray, height: float) -> np.ndarray:
        return np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full(3, height)])

    return np.hstack([triangle(turns, half_height), triangle(turns + np.radians(twist), -half_height)])


def template(state: str) -> np.ndarray:
    """The exact W (3, 6) of "octahedron", "prism", "pca" or "collinear", features 0-2 being one set and 3-5 the other.

    Octahedron: unit vectors, antipodes from different sets. Prism: the same triangles, not turned. PCA: each set
    collapsed to length 1/sqrt(3), the sets orthogonal. Collinear: the same, the sets opposite.
    """
    if state in ("octahedron", "prism"):
        return template_prism(np.sqrt(2 / 3), np.sqrt(1 / 3), 60 if state == "octahedron" else 0)
    if state in ("pca", "collinear"):
        first = np.zeros((3, 3))
        first[0] = 1 / np.sqrt(3)
        return np.hstack([first, first[[1, 0, 2]] if state == "pca" else -first])
    raise ValueError(
        f'state must be "octahedron", "prism", "pca" or "collinear", got {state!r}; others have no template'
    )


def template_distance(W: ArrayLike, sets: Sets, state: str) -> np.ndarray:
    """Frobenius distance of the Gram matrix to that of a template, the least over the 72 relabellings.

    Args:
        W: (..., 3, 6); a host function, so not for jax.jit.
        sets: two sets of three. Relabellings permute features within each set and swap the sets.
        state: a name that `template` knows.

    Returns:
        (...,), at least 0; NaN where W is.
    """
    W = np.asarray(W, np.float64)
    order, _ = check_triples(np.zeros((3, 6)) if W.shape[-2:] == (3, 6) else W, sets)
    columns, target = W[..., order], template(state)
    gram = columns.swapaxes(-1, -2) @ columns
    relabelled = (target.T @ target)[_RELABELLINGS[:, :, None], _RELABELLINGS[:, None, :]]
    # |G - T|² = |G|² + |T|² - 2 G·T, with one product for all relabellings.
    products = gram.reshape(*gram.shape[:-2], 36) @ relabelled.reshape(72, 36).T
    squares = np.square(gram).sum((-1, -2)) + np.square(relabelled[0]).sum() - 2 * products.max(-1)
    return np.sqrt(np.maximum(squares, 0))


def check_sets(W: jax.Array | np.ndarray, sets: Sets, *, size: int = 1) -> None:
    """Check W, and that the sets hold distinct features of it, at least `size` each."""
    check_array("W", W, (None, None))
    members = [i for s in sets for i in s]
    if len(set(members)) != len(members) or not set(members) <= set(range(W.shape[1])) or not members:
        raise ValueError(
            f"sets must hold distinct features in [0, {W.shape[1]}), got {sets!r}; take them from features.sets"
        )
    if min(map(len, sets)) < size or (size > 1 and W.shape[0] < size):
        raise ValueError(
            f"sets and W must have at least {size} features and dimensions, got {sets!r} and {W.shape}; with fewer "
            "there is no shape"
        )


def check_triples(W: jax.Array | np.ndarray, sets: Sets) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Check that W is (3, 6) and the sets are two triples; returns the features in order, and the sets, hashable."""
    check_array("W", W, (3, 6), "pass one model of two sets of three in three dimensions")
    check_sets(W, sets)
    if [len(s) for s in sets] != [3, 3]:
        raise ValueError(f"sets must be two sets of three, got {sets!r}; other designs have no octahedron")
    return tuple(int(i) for s in sets for i in s), tuple(tuple(int(i) for i in s) for s in sets)
