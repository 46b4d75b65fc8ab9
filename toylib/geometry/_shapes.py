"""Named shapes of columns, every way to hand their columns to sets of given sizes, and the hull of any columns."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from math import factorial, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import ConvexHull

from toylib._checks import check_array, check_finite, check_real, check_size, on_host

MOST_RELABELLINGS = 50_000
"""A shape with more distinct relabellings of its columns has no name: each of them is looked at."""
_POLYGONS = ("pentagon", "hexagon", "heptagon", "octagon", "nonagon")
_LETTERS = "ABCDEFGHIJKL"
_FLAT = 1e-3  # of the widest extent: thinner is no body
_LEVEL = np.cos(np.radians(6))  # between the normals of two triangles that are one face, of a model trained so far


class Shape(NamedTuple):
    """A shape, and the orders of its columns that relabelling features within sets, and equal sets, leads to.

    Feature i of the sets, taken in order, has column orders[k, i]; each Gram matrix comes once.
    """

    columns: np.ndarray  # (m, n)
    orders: np.ndarray  # (k, n)
    crowded: bool = False  # features interfere that are not antipodes, so that what training finds is longer than 1


def template_prism(radius: float, half_height: float, twist: float, *, corners: int = 3) -> np.ndarray:
    """Two regular polygons of columns, one above the other, the lower one turned: W (3, 2·corners), the upper first.

    Args:
        radius: of the circle through each polygon.
        half_height: distance of each polygon from the plane half way.
        twist: degrees; 0 is a prism, 180/corners an antiprism, and of triangles with radius sqrt(2/3) and half-height
            sqrt(1/3) the octahedron.
        corners: of each polygon, at least 1.

    Raises:
        ValueError, TypeError: lengths or an angle that are not finite numbers, or no corner.
    """
    for name, value in (("radius", radius), ("half_height", half_height), ("twist", twist)):
        check_real(name, value, "it makes one shape", host=True)
    turns = 2 * np.pi * np.arange(check_size("corners", corners)) / corners

    def polygon(angles: np.ndarray, height: float) -> np.ndarray:
        return np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full(corners, height)])

    return np.hstack([polygon(turns, half_height), polygon(turns + np.radians(twist), -half_height)])


def hull_edges(W: ArrayLike) -> np.ndarray:
    """The edges of the convex hull of W's columns; none is drawn across a face that is flat to within 6°.

    Columns in a plane have a polygon, those on a line the segment between the outermost.

    Args:
        W: (m, n), m at most 3; a host function.

    Returns:
        (k, 2), pairs of columns i < j, in order; (0, 2) where all columns coincide.

    Raises:
        ValueError, TypeError: not a matrix of one to three rows, or NaN in it.
    """
    columns = on_host("W", W)
    check_array("W", columns, (None, None))
    check_finite("W", columns, "leave out what diverged, and say so")
    if len(columns) > 3:
        raise ValueError(f"W must have at most 3 rows, got {len(columns)}; of more dimensions a hull shows nothing")
    axes, extents, _ = np.linalg.svd(columns - columns.mean(1, keepdims=True), full_matrices=False)
    rank = int((extents > np.fmax(_FLAT * extents[0], 1e-6 * np.abs(columns).max())).sum())
    points = columns.T @ axes[:, :rank]
    if rank < 2:
        ends = {int(points.argmin()), int(points.argmax())} if rank else {}
        return np.array([sorted(ends)] if ends else np.zeros((0, 2)), int)
    hull = ConvexHull(points)
    if rank == 2:
        return np.unique(np.sort(hull.simplices, axis=1), axis=0)
    normals: dict[tuple[int, int], list[np.ndarray]] = {}
    for corners, normal in zip(np.sort(hull.simplices, axis=1).tolist(), hull.equations[:, :3], strict=True):
        for i, j in combinations(corners, 2):
            normals.setdefault((i, j), []).append(normal)
    return np.array(sorted(pair for pair, (a, b) in normals.items() if a @ b < _LEVEL), int)


@lru_cache(maxsize=32)
def shapes(sizes: tuple[int, ...], m: int) -> dict[str, Shape]:
    """The arrangements that `templates` names, for sets of these sizes, whose features come one set after the other."""
    n = sum(sizes)
    found = {}
    if n <= m:
        found["orthonormal"] = _rigid(np.eye(m, n))
    if n == m + 1:
        found[{2: "triangle", 3: "tetrahedron"}.get(m, "simplex")] = _rigid(_simplex(m))
    if n == 2 * m and prod(range(1, n, 2)) <= MOST_RELABELLINGS:
        name = {2: "square", 3: "octahedron"}.get(m, "cross-polytope")
        ways = _named(name, _ways(np.hstack([np.eye(m), -np.eye(m)]), sizes), sizes, _antipodes)
        # The name that two triples in three dimensions have always had.
        found |= {"octahedron" if sizes == (3, 3) and way.endswith("between sets") else way: ways[way] for way in ways}
    if m == 2 and n > 4 and factorial(n - 1) // 2 <= MOST_RELABELLINGS:
        turns = 2 * np.pi * np.arange(n) / n
        ways = _ways(np.stack([np.cos(turns), np.sin(turns)]), sizes)
        found |= _named(_POLYGONS[n - 5], ways, sizes, _round)
    k = sizes[0]
    if m == 3 and sizes == (k, k) and k > 2 and factorial(k) ** 2 // (2 * k) <= MOST_RELABELLINGS:
        turned = {"prism": 0.0, "antiprism": 180 / k} if k > 3 else {"prism": 0.0}  # the other one is the octahedron
        for name, twist in turned.items():
            columns = template_prism(np.sqrt(2 / 3), np.sqrt(1 / 3), twist, corners=k)
            found[name] = _shape(columns, _orbit(columns, range(n), _moves(sizes)))
    return found | (_collapsed(sizes, m) if n > len(sizes) else {})


def _collapsed(sizes: tuple[int, ...], m: int) -> dict[str, Shape]:
    """Each set on one direction, as long as it is to add up to a unit vector."""
    lengths, found = np.repeat(1 / np.sqrt(sizes), sizes), {}
    if len(sizes) <= m:
        found["pca"] = _rigid(np.repeat(np.eye(m, len(sizes)), sizes, axis=1) * lengths)
    if len(sizes) == 2:
        found["collinear"] = _rigid(np.outer(np.eye(m)[0], np.repeat([1, -1], sizes) * lengths))
    return found


def _rigid(columns: np.ndarray) -> Shape:
    """A shape whose Gram matrix no relabelling within sets, and of equal sets, changes."""
    return Shape(columns, np.arange(columns.shape[1])[None])


def _shape(columns: np.ndarray, orbit: dict[bytes, np.ndarray]) -> Shape:
    m, n = columns.shape
    return Shape(columns, np.array(list(orbit.values())), n > 2 * m)


def _simplex(m: int) -> np.ndarray:
    """m + 1 unit vectors (m, m + 1) at equal angles."""
    centred = np.eye(m + 1) - 1 / (m + 1)
    return np.linalg.svd(centred)[2][:m] * np.sqrt((m + 1) / m)


def _ways(columns: np.ndarray, sizes: Sequence[int]) -> list[Shape]:
    """Each way to hand the columns to the sets that is no relabelling of another."""
    n = columns.shape[1]
    left, ways = _orbit(columns, range(n), _moves([n])), []
    while left:
        way = _orbit(columns, next(iter(left.values())).tolist(), _moves(sizes))
        ways.append(_shape(columns, way))
        left = {key: order for key, order in left.items() if key not in way}
    return ways


def _moves(sizes: Sequence[int]) -> np.ndarray:
    """Exchanges (k, n) of neighbours within a set, and of sets of one size, of which all relabellings are made."""
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    swaps = [([i], [i + 1]) for part in parts for i in part[:-1].tolist()]
    for size in set(sizes):
        swaps += pairwise(part.tolist() for part in parts if len(part) == size)
    moves = np.tile(np.arange(sum(sizes)), (len(swaps), 1))
    for move, (a, b) in zip(moves, swaps, strict=True):
        move[[*a, *b]] = [*b, *a]
    return moves


def _orbit(columns: np.ndarray, start: Sequence[int], moves: np.ndarray) -> dict[bytes, np.ndarray]:
    """All Gram matrices that moves lead to from one order of the columns: a key for each -> an order that gives it."""
    gram = columns.T @ columns
    codes = np.unique(gram.round(6), return_inverse=True)[1].astype(np.uint8).reshape(gram.shape)
    found, border = {}, np.array(start)[None]
    while len(border):
        keys = [code.tobytes() for code in codes[border[:, :, None], border[:, None, :]]]
        fresh = {key: order for key, order in zip(keys, border, strict=True) if key not in found}
        found |= fresh
        border = np.array([*fresh.values()], int).reshape(-1, len(gram))[:, moves].reshape(-1, len(gram))
    return found


def _named(
    name: str, ways: Sequence[Shape], sizes: Sequence[int], spelled: Callable[[np.ndarray, np.ndarray], str]
) -> dict[str, Shape]:
    """The ways by their names, which end in where the sets are, if there are several.

    `spelled` says this of one order. Of a way it is said of the order for which it comes first in the alphabet, which
    is then the first one. What stands in brackets is said only where two ways have all else in common.
    """
    if len(ways) == 1:
        return {name: ways[0]}
    of, found = np.repeat(list(_LETTERS[: len(sizes)]), sizes), {}
    for way in ways:
        said = [spelled(order, of) for order in way.orders]
        first = min(range(len(said)), key=said.__getitem__)
        found[said[first]] = way._replace(orders=np.roll(way.orders, -first, axis=0))
    brief = [words.split(" (")[0] for words in found]
    names = [words if brief.count(short) > 1 else short for words, short in zip(found, brief, strict=True)]
    return {f"{name}, {words}": way for words, way in zip(names, found.values(), strict=True)}


def _antipodes(order: np.ndarray, of: np.ndarray) -> str:
    """Where the antipodes of a cross-polytope are, and the sets of each pair."""
    pairs = sorted("".join(sorted(ends)) for ends in zip(*np.split(of[np.argsort(order)], 2), strict=True))
    within, number = sum(a == b for a, b in pairs), len(pairs)
    some = f"{within} of {number} antipodes within a set"
    words = {0: "antipodes between sets", number: "antipodes within sets"}.get(within, some)
    return f"{words} ({' '.join(pairs)})"


def _round(order: np.ndarray, of: np.ndarray) -> str:
    """The sets that one meets going round a polygon, from where and in the sense that come first in the alphabet."""
    turn = "".join(of[np.argsort(order)])
    return f"sets {min(way[i:] + way[:i] for way in (turn, turn[::-1]) for i in range(len(turn)))} around"
