"""How modes grow along a run, and the tree in which the columns of W branch."""

from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist
from scipy.special import logit

from toylib._checks import check_array, check_finite
from toylib.geometry._templates import Sets, check_sets


def growth_rate(steps: ArrayLike, strengths: ArrayLike, *, low: float = 1e-3, high: float = 0.05) -> np.ndarray:
    """Rate at which each mode grows while it is small: the slope of ln(a/(1 - a)), which theory has as a line.

    Args:
        steps: (T,), increasing.
        strengths: (..., T), of one mode each, as `theory.growth` measures them.
        low, high: the slope is a least-squares fit over the stretch that begins where the strength first exceeds `low`,
            and ends before it exceeds `high` or with the run.

    Returns:
        (...,), per step; NaN for a mode with fewer than three snapshots in the stretch.

    Raises:
        ValueError: lengths that differ, or ends not in 0 < low < high < 1.
    """
    at, a = _curves(steps, strengths)
    if not 0 < low < high < 1:
        raise ValueError(f"low and high must be in order in (0, 1), got {low} and {high}; try 0.001 and 0.05")
    return np.apply_along_axis(lambda curve: _slope(at, curve, low, high), -1, a)


def _slope(steps: np.ndarray, a: np.ndarray, low: float, high: float) -> float:
    if not (a > low).any():
        return np.nan
    begin = int(np.argmax(a > low))
    late = a[begin:] > high
    end = begin + int(np.argmax(late)) if late.any() else len(a)
    if end - begin < 3:
        return np.nan
    return float(np.polyfit(steps[begin:end], logit(a[begin:end]), 1)[0])


def crossing(steps: ArrayLike, values: ArrayLike, level: ArrayLike) -> np.ndarray:
    """Step at which each curve first reaches a level, interpolated between snapshots.

    Args:
        steps: (T,), increasing.
        values: (..., T); NaN reaches nothing.
        level: a number, or (...,), one for each curve, such as half of its last value.

    Returns:
        (...,), the first step for a curve that begins there; NaN for one that never does.

    Raises:
        ValueError: lengths that differ.
    """
    at, y = _curves(steps, values)
    wanted = np.broadcast_to(np.asarray(level, float), y.shape[:-1])[..., None]
    reached = y >= wanted
    first = reached.argmax(-1)[..., None]
    before = np.maximum(first - 1, 0)
    low, high = np.take_along_axis(y, before, -1), np.take_along_axis(y, first, -1)
    rise = np.where(high > low, high - low, 1.0)
    share = np.where(first > 0, np.where(np.isnan(low), 1.0, (wanted - low) / rise), 0.0)
    step = at[before] + share * (at[first] - at[before])
    return np.where(reached.any(-1), step[..., 0], np.nan)


def dendrogram(W: ArrayLike) -> np.ndarray:
    """The tree in which the columns of W join, the nearest branches first.

    The distance of two branches is the root mean square of the distances between a column of one and a column of the
    other. Its square is that of the two means plus both branches' spread about their means, so no tree whose branches
    are given sees how one branch is turned against another about the line through their means.

    Args:
        W: (m, n), n at least 2; a host function.

    Returns:
        (n - 1, 4), as `scipy.cluster.hierarchy.linkage` has it: the two branches that join, from n on those made before
        in their order, their distance, and how many columns are in it then. Distances rise from row to row. Where
        several are equal, as at an exact octahedron, which is first is chance.

    Raises:
        ValueError, TypeError: not a matrix of two columns or more, or NaN in it.

    Source: average linkage (UPGMA) of squared distances, Sokal and Michener 1958.
    """
    columns = np.asarray(W, float).T
    check_array("W", columns.T, (None, None))
    check_finite("W", columns, "leave out what diverged, and say so")
    if len(columns) < 2:
        raise ValueError(f"W must have at least 2 columns, got {len(columns)}; one has no tree")
    tree = linkage(pdist(columns, "sqeuclidean"), "average")
    tree[:, 2] = np.sqrt(tree[:, 2])
    return tree


def branching(W: ArrayLike, sets: Sets) -> str:
    """The tree of `dendrogram` as a text, without its heights: what is left of it as topology.

    Args:
        W: (m, n).
        sets: each has a letter, and its features are written alike. At most six sets.

    Returns:
        Brackets around what joins: "(((aa)a)((bb)b))" where each of two triples closes before they join, and
        "(((ab)(ab))(ab))" where three pairs of one feature of each do. Texts are equal for trees that differ by the
        order of branches, by features within sets and by sets among each other.

    Raises:
        ValueError, TypeError: as `dendrogram`; sets that leave out a feature, or more than six.
    """
    tree, n = dendrogram(W), np.shape(W)[1]
    check_sets(np.asarray(W, float), sets)
    if sum(map(len, sets)) != n or len(sets) > 6:
        raise ValueError(f"sets must be at most 6 that hold all {n} features, got {sets!r}; take them from features")
    of = {i: k for k, members in enumerate(sets) for i in members}
    letters = "abcdef"[: len(sets)]
    return min(_spelled(tree, [order[of[i]] for i in range(n)]) for order in permutations(letters))


def _spelled(tree: np.ndarray, leaves: list[str]) -> str:
    texts = list(leaves)
    for i, j in tree[:, :2].astype(int):
        # Longer branches first, so that equal trees are spelled alike.
        texts.append("(" + "".join(sorted((texts[i], texts[j]), key=lambda text: (-len(text), text))) + ")")
    return texts[-1]


def _curves(steps: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    at, y = np.asarray(steps, float), np.asarray(values, float)
    if at.ndim != 1 or not at.size or y.shape[-1:] != at.shape:
        raise ValueError(
            f"curves must have as many values as there are steps, got {y.shape} and {at.shape}; take both from a run"
        )
    return at, y
