"""Routes to the octahedron: the matching that a run ends with, what it did on the way, and clusters without names."""

from functools import partial
from itertools import permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment

from toylib._checks import check_array, check_features, check_finite, check_run, check_size, on_host
from toylib.features import Features
from toylib.geometry._measures import FLAT, flatness, twist
from toylib.geometry._states import classify, phases
from toylib.geometry._templates import Sets, check_triples
from toylib.theory import pca_plateau
from toylib.training import Run

MATCHINGS = tuple(permutations(range(3)))
"""The six ways to pair two triples: feature i of the first set goes with feature MATCHINGS[k][i] of the second."""
ROUTES = ("prism", "antiprism", "antipodal pairs", "collinear", "no octahedron")
"""The names that `route` gives, in the order in which the notebook shows them."""
ANTIPODAL_COSINE = -0.9
GROWN_NORM = 2.0
HALF_TURN = 30.0
_MOMENTS = (0.25, 0.5, 0.75)
_UNDEFINED_TWIST = -0.5  # where a twist stands that is not defined: half of its range below every one that is
_PAIRS = np.array(MATCHINGS)
_EVEN = np.array([round(np.linalg.det(np.eye(3)[list(m)])) for m in MATCHINGS])


class Route(NamedTuple):
    """How one run of two triples came to its octahedron; positions count snapshots.

    Attributes:
        name: one of `ROUTES`; `route` says how it is decided.
        plateau: "pca", "collinear", "other", or "none" without a phase B.
        branch: the last snapshot of phase B, or without one the first with a loss of at most p/3.
        opening: the first snapshot from which on both sets stay triangles and ‖W‖²_F is at least 2.
        arrival: the first of the final stay at the octahedron; the last snapshot if there is none.
        matching: position in `MATCHINGS` of the final pairs.
        turn: degrees in [0, 180] by which one triangle has still to turn at the opening.
        pairs: how many of the final antipodal pairs there are at the opening already, 0 to 3.
        parity: +1 if both triangles open with one sense of rotation, which only even matchings have, else -1.
        moments: (3, 7), a quarter, half and three quarters of the way down, in ln L, from the branch to the arrival:
            the three lowest and the highest cosine between the sets, the cosine of the set means, the number of
            cosines below -0.9, and twist/60°, which is NaN while a set is a line.
    """

    name: str
    plateau: str
    branch: int
    opening: int
    arrival: int
    matching: int
    turn: float
    pairs: int
    parity: int
    moments: np.ndarray


def matching_sums(W: ArrayLike, sets: Sets) -> np.ndarray:
    """Σ_i (W_i - mean)·(W_π(i) - mean) for each of the six matchings π of two triples, in the order of `MATCHINGS`.

    The matching with the least sum is the most antiparallel one, and its octahedron is the nearest: the Frobenius
    distance of WᵀW to the Gram matrix of an octahedron depends on its pairs through this sum alone.

    Args:
        W: (..., 3, 6).
        sets: two sets of three.

    Returns:
        (..., 6).
    """
    first, second = _centred(W, sets)
    return _sums(first.swapaxes(-1, -2) @ second)


def line_coordinates(W: ArrayLike, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """Where the features of two triples stand along the hidden direction at right angles to both set means.

    On the PCA plateau this is the one direction that is free, along which all four difference modes grow at one rate.

    Args:
        W: (..., 3, 6), with set means that are not parallel.
        sets: two sets of three.

    Returns:
        Coordinates (..., 2, 3) of the centred columns, whose common sign means nothing, and the share (...,) of the
        energy within the sets that is along this direction; both NaN where the means are parallel.
    """
    first, second = _centred(W, sets)
    normal = np.cross(*_means(W, sets))
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.where(length == 0, np.nan, length)
    along = np.stack([np.einsum("...k,...ki->...i", normal, each) for each in (first, second)], -2)
    total = np.square(first).sum((-1, -2)) + np.square(second).sum((-1, -2))
    return along, np.square(along).sum((-1, -2)) / np.where(total == 0, np.nan, total)


def line_sums(along: ArrayLike) -> np.ndarray:
    """`matching_sums` of coordinates on a line, (..., 2, 3) as `line_coordinates` gives them: (..., 6)."""
    along = on_host("along", along)
    check_array("along", along, (*along.shape[:-2], 2, 3), "pass what line_coordinates returns")
    return _sums(along[..., 0, :, None] * along[..., 1, None, :])


def turn(W: ArrayLike, sets: Sets, matching: int) -> tuple[float, int]:
    """How far the lower triangle of a model has to turn, about the axis through the set means, to pair as `matching`.

    Args:
        W: (3, 6), both sets triangles.
        sets: two sets of three.
        matching: position in `MATCHINGS`.

    Returns:
        Degrees in [0, 180], 0 for an octahedron of these pairs and 60 for a prism, and the parity: +1 if the triangles
        have one sense of rotation. Antipodal triangles have that sense where the matching is even, so a model of the
        other parity has to become flat, or tip over, before it can pair like this.
    """
    W = on_host("W", W)
    check_triples(W, sets)
    check_finite("W", W, "leave out what diverged")
    _check_matching(matching)
    first, second = _centred(W, sets)
    a, b = _means(W, sets)
    e1, e2 = np.linalg.svd((a - b)[None])[2][1:]
    upper, lower = (e1 @ part + 1j * (e2 @ part) for part in (first, second))
    left = np.vdot(-lower[_PAIRS[matching]], upper)
    areas = [((z[0] - z[2]).conjugate() * (z[1] - z[2])).imag for z in (upper, lower)]
    return float(np.degrees(np.abs(np.angle(left)))), 1 if areas[0] * areas[1] > 0 else -1


def route(run: Run, features: Features, S: float) -> Route:
    """The route of one run of two triples in three dimensions.

    The first rule that fits names it:

    - "no octahedron": the last snapshot is none;
    - "collinear": the sets were opposite, not orthogonal, while they were collapsed;
    - "antipodal pairs": at the opening, two or more of the final pairs are there (cosine below -0.9);
    - "prism": at the opening the triangles have still to turn by 30° or more, and are nearer a prism (60°);
    - "antiprism": they have to turn by less.

    Args:
        run: one model's run, with snapshots about 20 steps apart.
        features: `Correlated(2, 3)`.
        S: the sparsity it was trained at.

    Raises:
        ValueError: a run of another size, or one that diverged.
    """
    check_features(features)
    check_run("run", run)
    sets = features.sets
    W = on_host("run.weights", run.weights, np.float32)
    check_array("run.weights", W, (None, 3, 6), "pass one model's run, as run.member(a, c) gives it")
    if not np.isfinite(W).all():
        raise ValueError("run must have finite weights, got one that diverged; leave it out, and say so")
    losses = np.asarray(run.losses)
    if not len(W) == len(losses) == len(run.steps) or not (np.isfinite(losses) & (losses > 0)).all():
        raise ValueError(
            "run must have a positive loss and a step for each of its weights, got others; pass run.member(a, c)"
        )
    last, found = len(W) - 1, phases(run, sets)
    letters = {phase.name[0]: phase for phase in found}
    final, plateau = classify(W[-1], sets), "none"
    branch = int(np.argmax(run.losses <= pca_plateau(S)))
    if "B" in letters:
        middle = (letters["B"].first + letters["B"].last) / 2
        plateau = classify(W[np.abs(run.steps - middle).argmin()], sets)
        plateau = plateau if plateau in ("pca", "collinear") else "other"
        branch = int(np.searchsorted(run.steps, letters["B"].last))
    arrival = last
    if final == "octahedron":
        arrival = int(np.searchsorted(run.steps, letters["E"].first)) if "E" in letters else last
    flat, twists = (np.asarray(part) for part in _shapes(jnp.asarray(W), sets))
    small = np.flatnonzero((flat.min(1) < FLAT) | (np.square(W).sum((1, 2)) < GROWN_NORM))
    opening = min(int(max(small, default=-1)) + 1, last)
    matching = int(matching_sums(W[-1], sets).argmin())
    angle, parity = turn(W[opening], sets, matching)
    cosines = _cosines(W, sets)
    pairs = int((cosines[opening][np.arange(3), _PAIRS[matching]] < ANTIPODAL_COSINE).sum())
    if final != "octahedron":
        name = "no octahedron"
    elif plateau == "collinear":
        name = "collinear"
    else:
        name = "antipodal pairs" if pairs >= 2 else "prism" if angle >= HALF_TURN else "antiprism"
    at = _moments(run.losses, branch, max(arrival, branch))
    moments = np.stack([_invariants(cosines[k], W[k], twists[k], sets) for k in at])
    return Route(name, plateau, branch, opening, arrival, matching, angle, pairs, parity, moments)


def parity_of(matching: ArrayLike) -> np.ndarray:
    """+1 for the even and -1 for the odd ones of positions in `MATCHINGS`, whole numbers of any shape."""
    _check_matching(matching)
    return _EVEN[np.asarray(matching)]


def _check_matching(matching: ArrayLike) -> None:
    array = np.asarray(matching)
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() >= len(MATCHINGS))):
        raise ValueError(f"matching must be a position in MATCHINGS, 0 to 5, got {matching!r}; take it from argmin")


def cluster_moments(moments: ArrayLike, number: int) -> np.ndarray:
    """Ward's clusters of runs by the invariants of `Route.moments`, which are cosines and shares.

    The number of antipodal pairs is taken in thirds, so that all of them lie within -1 and 1 or a little beyond.

    Args:
        moments: (c, k, 7), as `Route.moments` of c runs.
        number: of clusters, at most c.

    Returns:
        (c,) labels from 0 on; fewer than `number` where runs coincide.

    Raises:
        ValueError, TypeError: another shape, or more clusters than runs.
    """
    values = on_host("moments", moments).copy()
    check_array("moments", values, (None, None, 7), "stack Route.moments of all runs")
    if check_size("number", number) > len(values):
        raise ValueError(f"number must be at most the {len(values)} runs, got {number}; ask for fewer clusters")
    check_finite("moments", values[..., :6], "leave out what diverged")
    values[..., 5] /= 3
    values[..., 6] = np.where(np.isnan(values[..., 6]), _UNDEFINED_TWIST, values[..., 6])
    if len(values) == 1:
        return np.zeros(1, int)
    return fcluster(linkage(values.reshape(len(values), -1), "ward"), number, "maxclust") - 1


def agreement(labels: ArrayLike, names: ArrayLike) -> np.ndarray:
    """Which runs two ways of naming put together, when their names are matched one to one so as to agree most.

    Args:
        labels, names: (c,) each, of any type.

    Returns:
        (c,) bool; its mean is the share in which they agree.

    Raises:
        ValueError: not one label and one name per run.
    """
    labels, names = np.asarray(labels), np.asarray(names)
    if labels.ndim != 1 or labels.shape != names.shape or not len(labels):
        raise ValueError(
            f"labels and names must be one each per run, got shapes {labels.shape} and {names.shape}; pass two columns"
        )
    (_, a), (_, b) = (np.unique(each, return_inverse=True) for each in (labels, names))
    table = np.zeros((a.max() + 1, b.max() + 1), int)
    np.add.at(table, (a, b), 1)
    partner = np.full(len(table), -1)
    rows, columns = linear_sum_assignment(-table)
    partner[rows] = columns
    return partner[a] == b


def _moments(losses: np.ndarray, branch: int, arrival: int) -> list[int]:
    """The first snapshots at which ln L has come the shares `_MOMENTS` of the way from one to the other."""
    path = np.log(losses[branch : arrival + 1])
    wanted = [path[0] + share * (path[-1] - path[0]) for share in _MOMENTS]
    return [branch + int(np.argmax(path <= level)) for level in wanted]


def _invariants(cosines: np.ndarray, W: np.ndarray, angle: float, sets: Sets) -> np.ndarray:
    ordered = np.sort(cosines.ravel())
    a, b = _means(W, sets)
    means = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
    return np.array([*ordered[:3], ordered[-1], means, (ordered < ANTIPODAL_COSINE).sum(), angle / 60])


@partial(jax.jit, static_argnums=1)
def _shapes(W: jax.Array, sets: Sets) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(lambda w: (flatness(w, sets), twist(w, sets)))(W)


def _cosines(W: np.ndarray, sets: Sets) -> np.ndarray:
    """Cosines (T, 3, 3) between the features of the two sets; 0 where one is dead."""
    unit = W / np.maximum(np.linalg.norm(W, axis=-2, keepdims=True), 1e-12)
    first, second = (unit[..., list(s)] for s in sets)
    return first.swapaxes(-1, -2) @ second


def _sums(products: np.ndarray) -> np.ndarray:
    """The six sums of products (..., 3, 3) over matchings, (..., 6)."""
    return products[..., np.arange(3), _PAIRS].sum(-1)


def _means(W: ArrayLike, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    W = on_host("W", W)
    first, second = (W[..., list(s)].mean(-1) for s in sets)
    return first, second


def _centred(W: ArrayLike, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    W = on_host("W", W)
    check_triples(np.zeros((3, 6)) if W.shape[-2:] == (3, 6) else W, sets)
    first, second = (W[..., list(s)] - W[..., list(s)].mean(-1, keepdims=True) for s in sets)
    return first, second
