"""What can be measured of one model's arrangement of features, and the tree in which its columns branch."""

from collections.abc import Sequence
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist

from toylib._checks import check_array, check_finite, check_size, on_host
from toylib.geometry._templates import Sets, check_sets, check_triples

FLAT = 0.3
"""Flatness below which a set is a line, which has no twist."""

# Conditions on a denominator are x == 0, not x > 0, so that NaN stays NaN.


def feature_dimensionality(W: jax.Array) -> jax.Array:
    """D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², the share of a hidden dimension that feature i has to itself.

    Args:
        W: (m, n).

    Returns:
        (n,), in [0, 1]; a zero column gives 0, and NaN in W gives NaN. Under tight packing they sum to the rank of W.

    Source: Elhage et al. 2022, "The Geometry of Superposition".
    """
    check_array("W", W, (None, None))
    gram = W.T @ W
    norm2 = jnp.diagonal(gram)
    shared = jnp.square(gram).sum(1)
    return jnp.where(shared == 0, 0, jnp.square(norm2) / jnp.where(shared == 0, 1, shared))


def features_per_dimension(W: jax.Array) -> jax.Array:
    """‖W‖²_F / m, the number of features per hidden dimension, 1/D* in the paper. W: (m, n). Returns a scalar."""
    check_array("W", W, (None, None))
    return jnp.sum(jnp.square(W)) / W.shape[0]


def pca_overlap(W: jax.Array, covariance: jax.Array, k: int) -> jax.Array:
    """‖V_kᵀ U_k‖²_F / k: how far the k strongest directions of W in input space are the k first principal axes.

    Args:
        W: (m, n).
        covariance: (n, n), of the data.
        k: number of axes, at most min(m, n).

    Returns:
        A scalar in [0, 1]; 1 where the top-k right singular vectors of W span the top-k eigenvectors of the covariance.
        Where eigenvalue k equals eigenvalue k + 1 the axes are not unique, and the value is that of one choice.

    Raises:
        ValueError, TypeError: shapes that do not fit, or k too large.
    """
    check_array("W", W, (None, None), single=True)
    width = f"W {W.shape} has {W.shape[1]} features"
    check_array("covariance", covariance, (W.shape[1],) * 2, width, single=True)
    if check_size("k", k) > min(W.shape):
        raise ValueError(f"k must be at most min(m, n) = {min(W.shape)}, got {k}; W has no more singular vectors")
    right = jnp.linalg.svd(W, full_matrices=False)[2][:k]
    axes = jnp.linalg.eigh(covariance)[1][:, -k:]
    return jnp.sum(jnp.square(right @ axes)) / k


def within_energy(W: jax.Array, sets: Sets) -> jax.Array:
    """Σ_sets Σ_i ‖W_i - set mean‖² / ‖W‖²_F: 0 where each set has collapsed, 2/3 for an octahedron of two sets.

    Args:
        W: (m, n).
        sets: the sets.

    Returns:
        A scalar in [0, 1]; 0 for W = 0, NaN where W has NaN.
    """
    check_sets(W, sets)
    total = jnp.sum(jnp.square(W))
    members, of = np.concatenate([*map(np.array, sets)]), np.repeat(np.arange(len(sets)), [*map(len, sets)])
    within = jnp.sum(jnp.square(W[:, members] - set_means(W, sets)[:, of]))
    return jnp.where(total == 0, 0, within / jnp.where(total == 0, 1, total))


def mode_strengths(W: jax.Array, sets: Sets) -> tuple[jax.Array, jax.Array]:
    """How strongly W holds the two kinds of covariance modes: squared singular values of W on each subspace.

    Args:
        W: (m, n).
        sets: the sets.

    Returns:
        Strengths in the space of the set means, (min(m, n_sets),), and in that of the differences within sets,
        (min(m, n),), both descending; 0 for a mode that is not there, 1 for one reconstructed in full.
    """
    check_sets(W, sets)
    means = np.zeros((W.shape[1], len(sets)), np.float32)
    for column, s in enumerate(sets):
        means[list(s), column] = len(s) ** -0.5
    along = W @ means
    sets_part, rest = (jnp.linalg.svd(part, compute_uv=False) for part in (along, W - along @ means.T))
    return jnp.square(sets_part), jnp.square(rest)


def set_means(W: jax.Array, sets: Sets) -> jax.Array:
    """The mean of each set's columns, (m, n_sets). W: (m, n)."""
    weights = np.zeros((W.shape[1], len(sets)), np.float32)
    for i, s in enumerate(sets):
        weights[list(s), i] = 1 / len(s)
    return W @ weights


def mean_cosine(W: jax.Array, sets: Sets) -> jax.Array:
    """Cosine of the angle between the means of two sets, a scalar in [-1, 1]; 0 where a mean is zero. W: (m, n)."""
    check_sets(W, sets)
    if len(sets) != 2:
        raise ValueError(f"sets must be two, got {len(sets)}; pass the pair to compare")
    a, b = (W[:, np.asarray(s)].mean(1) for s in sets)
    scale = jnp.sum(jnp.square(a)) * jnp.sum(jnp.square(b))
    return jnp.where(scale == 0, 0, (a @ b) / jnp.sqrt(jnp.where(scale == 0, 1, scale)))


def flatness(W: jax.Array, sets: Sets) -> jax.Array:
    """s₂/s₁ of each set's centred columns: 0 for points on a line, 1 for a regular triangle.

    Args:
        W: (m, n), m at least 2.
        sets: the sets, each of at least two features.

    Returns:
        (n_sets,); 0 for a set whose columns coincide, NaN for one with NaN.
    """
    check_sets(W, sets, size=2)
    W, found = jnp.asarray(W), jnp.zeros(len(sets))
    for size in {*map(len, sets)}:  # all sets of one size at once, of which there may be hundreds
        places = np.array([i for i, s in enumerate(sets) if len(s) == size])
        columns = jnp.moveaxis(W[:, np.array([sets[i] for i in places])], 1, 0)
        values = jnp.linalg.svd(columns - columns.mean(-1, keepdims=True), compute_uv=False)
        first, second = values[:, 0], values[:, 1]
        found = found.at[places].set(jnp.where(first == 0, 0, second / jnp.where(first == 0, 1, first)))
    return found


def twist(W: jax.Array, sets: Sets) -> jax.Array:
    """Angle by which one triangle is turned against the other about the axis through their means.

    The centred columns are projected on the plane normal to the difference of the two means; with angles θ and φ and
    lengths ρ there, the twist is |arg(Σ ρ e^{3iφ} / Σ ρ e^{3iθ})| / 3.

    Args:
        W: (3, 6).
        sets: two sets of three.

    Returns:
        Degrees in [0, 60]: 0 a prism, 60 an antiprism; NaN while a set is a line (flatness below 0.3), where an angle
        would mean nothing, and where the means coincide.

    Raises:
        ValueError: W or the sets are of another size.
    """
    _, (a, b) = check_triples(W, sets)
    difference = W[:, np.array(a)].mean(1) - W[:, np.array(b)].mean(1)
    e1, e2 = jnp.linalg.svd(difference[None], full_matrices=True)[2][1:]

    def third_harmonic(s: Sequence[int]) -> tuple[jax.Array, jax.Array]:
        x, y = e1 @ _centred(W, s), e2 @ _centred(W, s)
        length, angle = jnp.hypot(x, y), jnp.arctan2(y, x)
        return jnp.sum(length * jnp.cos(3 * angle)), jnp.sum(length * jnp.sin(3 * angle))

    (cos_a, sin_a), (cos_b, sin_b) = third_harmonic(a), third_harmonic(b)
    angle = jnp.abs(jnp.arctan2(sin_b * cos_a - cos_b * sin_a, cos_b * cos_a + sin_b * sin_a)) / 3
    apart = jnp.sum(jnp.square(difference)) > 1e-8 * jnp.sum(jnp.square(W))  # beyond rounding
    return jnp.where((flatness(W, sets).min() >= FLAT) & apart, jnp.degrees(angle), jnp.nan)


def align(W: jax.Array, reference: jax.Array) -> jax.Array:
    """Q W for the orthogonal Q (m, m), reflections allowed, that brings W closest to `reference`, both (m, n).

    Source: orthogonal Procrustes, Schönemann 1966.
    """
    check_array("W", W, (None, None), single=True)
    check_array("reference", reference, W.shape, "it must be of the sizes of W", single=True)
    left, _, right = jnp.linalg.svd(reference @ W.T)
    return left @ right @ W


def interference_similarity(W: jax.Array, other: jax.Array) -> jax.Array:
    """Cosine between the interferences of two models, the entries of WᵀW off the diagonal: blind to rotations.

    Args:
        W, other: (m, n) and (k, n), with the same features in the same order.

    Returns:
        A scalar in [-1, 1]; 0 where a model has no interference.

    Raises:
        ValueError, TypeError: not floating-point matrices, or different numbers of features.
    """
    check_array("W", W, (None, None))
    check_array("other", other, (None, W.shape[1]), "both models must have the same features")
    a, b = (gram - jnp.diag(jnp.diagonal(gram)) for gram in (W.T @ W, other.T @ other))
    scale = jnp.sqrt(jnp.square(a).sum() * jnp.square(b).sum())
    return (a * b).sum() / jnp.where(scale > 0, scale, 1)


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
    columns = on_host("W", W).T
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
    check_sets(on_host("W", W), sets)
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


def _centred(W: jax.Array, members: Sequence[int]) -> jax.Array:
    columns = W[:, np.asarray(members)]
    return columns - columns.mean(1, keepdims=True)
