"""Exact arrangements of sets of features, and how far a model is from them."""

from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import index

import jax
import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_array, check_finite, check_size, on_host
from toylib.geometry._shapes import MOST_RELABELLINGS, Shape, shapes, template_prism

Sets = Sequence[Sequence[int]]

ONE = "pass one model, (m, n)"
"""Remedy of functions of one model."""
MOST_DISTANCE = 1.0
"""Largest bound within which a model has the name of a template."""
_BLOCK = 4096  # relabellings looked at in one product, so that long runs of large models fit in memory


def template(state: str) -> np.ndarray:
    """The exact W (3, 6) of "octahedron", "prism", "pca" or "collinear", features 0-2 being one set and 3-5 the other.

    Octahedron: unit vectors, antipodes from different sets. Prism: the same triangles, not turned. PCA: each set
    collapsed to length 1/sqrt(3), the sets orthogonal. Collinear: the same, the sets opposite. `templates` has those
    of other sizes.
    """
    if state in ("octahedron", "prism"):
        return template_prism(np.sqrt(2 / 3), np.sqrt(1 / 3), 60 if state == "octahedron" else 0)
    if state in ("pca", "collinear"):
        return templates(((0, 1, 2), (3, 4, 5)), 3)[state]
    raise ValueError(
        f'state must be "octahedron", "prism", "pca" or "collinear", got {state!r}; others have no template'
    )


def templates(sets: Sets, n_hidden: int) -> dict[str, np.ndarray]:
    """Every named arrangement that exists for sets of these sizes in m dimensions: name -> W (m, n).

    Of unit vectors:

    - "orthonormal", for n ≤ m; "triangle", "tetrahedron" or "simplex", for n = m + 1;
    - "square", "octahedron" or "cross-polytope", for n = 2m. Where the sets allow several, the name goes on with where
      antipodes are: ", antipodes between sets", ", antipodes within sets", or such as ", 1 of 3 antipodes within a
      set", and with the sets of each pair, such as " (AB AB CD CD)", where that is not enough;
    - "pentagon" to "nonagon", for m = 2. Where the sets allow several, the name goes on with the sets that one meets
      going round, such as ", sets AABBCC around";
    - "prism" and "antiprism", for two sets of k ≥ 3 and m = 3: regular k-gons at the heights ±sqrt(1/3), which makes
      the rows of W orthogonal and of one length.

    And the collapsed ones, in which a set of g is one direction of length 1/sqrt(g): "pca", the sets orthogonal, for at
    most m sets; "collinear", two sets opposite.

    Polygons and prisms of more than 2m features interfere, and have to be longer than 1, by how much depends on the
    data: for them a common factor of W makes no difference. All else has its length.

    For two triples in three dimensions "octahedron" alone is the one with antipodes between the sets, an antiprism too.
    Shapes with more than 50,000 distinct relabellings of their columns are left out: cross-polytopes of more than 12
    features, polygons of more than 9, prisms of more than 12.

    Args:
        sets: the sets, which hold every feature once.
        n_hidden: m, at least 2.

    Raises:
        ValueError, TypeError: sets that leave features out or share them, or m below 2.

    >>> list(templates(((0, 1), (2, 3)), 2))
    ['square, antipodes between sets', 'square, antipodes within sets', 'pca', 'collinear']
    """
    order, sizes = _checked(n_hidden, len(_members(sets)), sets)
    place = np.argsort(order)
    return {name: found.columns[:, found.orders[0, place]] for name, found in shapes(sizes, n_hidden).items()}


def template_distance(W: ArrayLike, sets: Sets, state: str) -> np.ndarray:
    """Frobenius distance of the Gram matrix to that of a template, the least over all relabellings.

    To a polygon or prism of more than 2m features it is that of the best multiple of W: length makes no difference.

    Args:
        W: (..., m, n), m at least 2; a host function, so not for jax.jit.
        sets: the sets, which hold every feature once. Relabellings permute features within each set, and sets of one
            size: for two sets of three there are 72.
        state: a name that `templates` lists for these sizes.

    Returns:
        (...,), at least 0; NaN where W is.

    Raises:
        ValueError, TypeError: sets that leave features out or share them, m below 2, or a name that is not listed.
    """
    W = on_host("W", W)
    order, sizes = check_partition(W, sets, "its last two axes are m and n")
    table = shapes(sizes, W.shape[-2])
    if not isinstance(state, str) or state not in table:
        known = " or ".join(f'"{name}"' for name in table) or "nothing, for these sizes have no template"
        raise ValueError(
            f"state must be {known}, got {state!r}; geometry.templates lists them, without those that have more than "
            f"{MOST_RELABELLINGS:,} relabellings"
        )
    return _distance(W[..., order], table[state])


def nearest_template(W: ArrayLike, sets: Sets) -> tuple[str, float]:
    """The template nearest to one model, and `template_distance` to it: also for what `classify` calls "other".

    Args:
        W: (m, n), finite; a host function, so not for jax.jit.
        sets: the sets, which hold every feature once.

    Returns:
        The name, and the Frobenius distance of the Gram matrices.

    Raises:
        ValueError, TypeError: as `template_distance`, a W that is not finite, or sizes that have no template.
    """
    W = on_host("W", W)
    check_array("W", W, (None, None), ONE)
    order, sizes = check_partition(W, sets)
    check_finite("W", W, "leave out what diverged")
    table = shapes(sizes, len(W))
    if not table:
        raise ValueError(
            f"sets and W must have sizes that geometry.templates knows, got {sets!r} and {W.shape}; look at WᵀW itself"
        )
    distances = {name: float(_distance(W[:, order], found)) for name, found in table.items()}
    name = min(distances, key=distances.__getitem__)
    return name, distances[name]


def template_bound(sets: Sets, n_hidden: int) -> float:
    """The distance below which `classify` gives a model the name of its nearest template, any sizes.

    Half of the least distance between two templates of these sizes, so that at most one is that near, and at most 1.
    Two triples in three dimensions have rules of their own. Arguments and errors as `templates`.
    """
    return _bound(_checked(n_hidden, len(_members(sets)), sets)[1], n_hidden)


@lru_cache(maxsize=32)
def _bound(sizes: tuple[int, ...], m: int) -> float:
    table = list(shapes(sizes, m).values())
    exact = np.array([found.columns[:, found.orders[0]] for found in table])
    apart = [_distance(np.delete(exact, i, 0), found) for i, found in enumerate(table)]
    return float(min([2 * MOST_DISTANCE, *np.concatenate([[], *apart])]) / 2)


def _distance(W: np.ndarray, found: Shape) -> np.ndarray:
    """As `template_distance`, features in the order of the sets."""
    gram, target = W.swapaxes(-1, -2) @ W, found.columns.T @ found.columns
    flat = gram.reshape(*gram.shape[:-2], target.size)

    def products(orders: np.ndarray) -> np.ndarray:
        relabelled = target[orders[:, :, None], orders[:, None, :]].reshape(len(orders), -1)
        return (flat @ relabelled.T).max(-1)

    # |G - T|² = |G|² + |T|² - 2 G·T, with one product for a block of relabellings.
    blocks = [found.orders[i : i + _BLOCK] for i in range(0, len(found.orders), _BLOCK)]
    along, size = reduce(np.maximum, map(products, blocks)), np.square(gram).sum((-1, -2))
    if found.crowded:
        squares = np.square(target).sum() - np.square(np.maximum(along, 0)) / np.where(size == 0, 1, size)
    else:
        squares = size + np.square(target).sum() - 2 * along
    return np.sqrt(np.maximum(squares, 0))


# What the room's functions check.


def check_sets(W: jax.Array | np.ndarray, sets: Sets, *, size: int = 1) -> None:
    """Check W, and that the sets hold distinct features of it, at least `size` each."""
    check_array("W", W, (None, None), single=True)
    members = _members(sets)
    if len(set(members)) != len(members) or not set(members) <= set(range(W.shape[1])) or not members:
        turned = W.shape[1] <= max(members, default=0) < W.shape[0]
        hint = f", and pass W.T, for W {W.shape} has features in rows" * turned
        raise ValueError(
            f"sets must hold distinct features in [0, {W.shape[1]}), got {sets!r}; take them from features.sets{hint}"
        )
    if min(map(len, sets)) < size or (size > 1 and W.shape[0] < size):
        raise ValueError(
            f"sets and W must have at least {size} features and dimensions, got {sets!r} and {W.shape}; with fewer "
            "there is no shape"
        )


def _members(sets: Sets) -> list[int]:
    """All features that the sets hold, set by set."""
    try:
        if not all(isinstance(s, Sequence | np.ndarray) for s in (sets, *sets)):  # without an order, as set() is
            raise TypeError("no sequence")
        return [index(i) for s in sets for i in s]
    except TypeError as error:
        raise TypeError(
            f"sets must be sequences of whole numbers, got {sets!r}; take them from features.sets"
        ) from error


def check_partition(
    W: np.ndarray, sets: Sets, remedy: str = "pass models (m, n)"
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Check that W is (..., m, n) and the sets hold each feature once; returns the features in order, and the sizes."""
    if W.ndim < 2:
        check_array("W", W, (None, None), remedy)
    return _checked(W.shape[-2], W.shape[-1], sets)


def _checked(n_hidden: int, n: int, sets: Sets) -> tuple[np.ndarray, tuple[int, ...]]:
    """Check that there are two dimensions, and that the sets hold each of n features once."""
    check_size("n_hidden", n_hidden, least=2, remedy="in one dimension there is no shape")
    if not n:
        raise ValueError(f"sets must hold a feature, got {sets!r}; take them from features.sets")
    check_sets(np.zeros((1, n)), sets)
    order = np.array([i for s in sets for i in s])
    if len(order) != n:
        raise ValueError(f"sets must hold each of {n} features, got {sets!r}; take them from features.sets")
    return order, tuple(map(len, sets))


def is_triples(W: jax.Array | np.ndarray, sets: Sets) -> bool:
    """Whether W is (..., 3, 6) and the sets are two triples, which have names of their own."""
    return W.shape[-2:] == (3, 6) and [len(s) for s in sets] == [3, 3]


def check_triples(W: jax.Array | np.ndarray, sets: Sets) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Check that W is (3, 6) and the sets are two triples; returns the features in order, and the sets, hashable."""
    check_array("W", W, (3, 6), "pass one model of two sets of three in three dimensions")
    check_sets(W, sets)
    if [len(s) for s in sets] != [3, 3]:
        raise ValueError(f"sets must be two sets of three, got {sets!r}; other designs have no octahedron")
    return tuple(int(i) for s in sets for i in s), tuple(tuple(int(i) for i in s) for s in sets)
