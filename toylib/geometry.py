"""Where a model puts its features: dimensionality, PCA overlap, prisms and their twist, named states, phases of a run.

All functions take one model, W (m, n) with column i for feature i, and depend on W only through its Gram matrix Wᵀ W:
rotating the hidden space changes nothing. `sets` is a tuple of tuples of feature indices, as in `Features.sets`.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toylib.checks import check_array, check_size
from toylib.runs import Run
from toylib.templates import Sets, check_sets, check_triples, distance

# The constants that decide between states; `classify` says how.
ORIGIN_NORM = 0.2
OCTAHEDRON_DISTANCE = 1.0
COLLAPSED_ENERGY = 0.05
TEMPLATE_DISTANCE = 0.3
FLAT = 0.3
PRISM_TWIST, ANTIPRISM_TWIST = 20.0, 40.0
# The constants that decide between phases; `phases` says how.
PHASE_A_MEAN, PHASE_B_ENERGY = 0.9, 0.02


class Phase(NamedTuple):
    """A stretch of training: its name and its first and last step."""

    name: str
    first: int
    last: int


def feature_dimensionality(W: jax.Array) -> jax.Array:
    """D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², the share of a hidden dimension that feature i has to itself.

    Args:
        W: (m, n).

    Returns:
        (n,), in [0, 1]; a zero column gives 0. Under tight packing they sum to the rank of W.

    Source: Elhage et al. 2022, "The Geometry of Superposition".
    """
    check_array("W", W, (None, None))
    gram = W.T @ W
    norm2 = jnp.diagonal(gram)
    shared = jnp.square(gram).sum(1)
    return jnp.where(shared > 0, jnp.square(norm2) / jnp.where(shared > 0, shared, 1), 0)


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
    check_array("W", W, (None, None))
    check_array("covariance", covariance, (W.shape[1], W.shape[1]))
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
        A scalar in [0, 1]; 0 for W = 0.
    """
    check_sets(W, sets)
    total = jnp.sum(jnp.square(W))
    within = sum((jnp.sum(jnp.square(_centred(W, s))) for s in sets), start=jnp.zeros(()))
    return jnp.where(total > 0, within / jnp.where(total > 0, total, 1), 0)


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
    return tuple(jnp.square(jnp.linalg.svd(part, compute_uv=False)) for part in (along, W - along @ means.T))


def mean_cosine(W: jax.Array, sets: Sets) -> jax.Array:
    """Cosine of the angle between the means of two sets, a scalar in [-1, 1]; 0 where a mean is zero. W: (m, n)."""
    check_sets(W, sets)
    if len(sets) != 2:
        raise ValueError(f"sets must be two, got {len(sets)}; pass the pair to compare")
    a, b = (W[:, np.asarray(s)].mean(1) for s in sets)
    scale = jnp.sum(jnp.square(a)) * jnp.sum(jnp.square(b))
    return jnp.where(scale > 0, (a @ b) / jnp.sqrt(jnp.where(scale > 0, scale, 1)), 0)


def flatness(W: jax.Array, sets: Sets) -> jax.Array:
    """s₂/s₁ of each set's centred columns: 0 for points on a line, 1 for a regular triangle.

    Args:
        W: (m, n), m at least 2.
        sets: the sets, each of at least two features.

    Returns:
        (n_sets,); 0 for a set whose columns coincide.
    """
    check_sets(W, sets, size=2)
    values = [jnp.linalg.svd(_centred(W, s), compute_uv=False) for s in sets]
    return jnp.stack([jnp.where(v[0] > 0, v[1] / jnp.where(v[0] > 0, v[0], 1), 0) for v in values])


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

    def third_harmonic(s):
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
    check_array("W", W, (None, None))
    check_array("reference", reference, W.shape)
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
    check_array("other", other, (None, W.shape[1]))
    a, b = (gram - jnp.diag(jnp.diagonal(gram)) for gram in (W.T @ W, other.T @ other))
    scale = jnp.sqrt(jnp.square(a).sum() * jnp.square(b).sum())
    return (a * b).sum() / jnp.where(scale > 0, scale, 1)


def classify(W: jax.Array, sets: Sets) -> str:
    """Name the state of a model with two sets of three features in three dimensions.

    The first rule that fits decides, with distances from `distance`:

    - "other" if W is not finite; "origin" if ‖W‖²_F < 0.2;
    - "octahedron" within 1.0 of that template, half way to the unit prism;
    - with within-energy below 0.05 the sets have collapsed: "pca" within 0.3 of the two orthogonal directions,
      "collinear" within 0.3 of the opposite ones, else "other";
    - "lines" if a set's flatness is at most 0.3;
    - by the twist: "prism" below 20°, "twisted" below 40°, "antiprism" above.

    Triangles on the way are not regular, so distances alone would not find lines, prism and antiprism. An antiprism
    with the right height is the octahedron.

    Args:
        W: (3, 6); a host function, so not for jax.jit.
        sets: two sets of three.

    Returns:
        One of "origin", "pca", "collinear", "lines", "prism", "twisted", "antiprism", "octahedron", "other".

    Raises:
        ValueError, TypeError: W or the sets are of another size.
    """
    W = np.asarray(W, np.float32)
    _, sets = check_triples(W, sets)
    if not np.isfinite(W).all():
        return "other"
    if np.square(W).sum() < ORIGIN_NORM:
        return "origin"
    if distance(W, sets, "octahedron") < OCTAHEDRON_DISTANCE:
        return "octahedron"
    energy, flat, angle = (np.asarray(value[0]) for value in _measures(jnp.asarray(W)[None], sets))
    if energy < COLLAPSED_ENERGY:
        return next((s for s in ("pca", "collinear") if distance(W, sets, s) < TEMPLATE_DISTANCE), "other")
    if flat.min() <= FLAT:
        return "lines"
    if np.isnan(angle):
        return "other"
    return "prism" if angle < PRISM_TWIST else "twisted" if angle < ANTIPRISM_TWIST else "antiprism"


def phases(run: Run, sets: Sets) -> list[Phase]:
    """Cut one run of two sets of three features in three dimensions into the phases that it went through.

    A, leaving the origin: until three times the smaller ‖set mean‖² first exceeds 0.9. B, collapsed sets: until the
    last step with within-energy below 0.02. C, the sets open: until the last step at which a flatness is below 0.3. D,
    the triangles turn: until the final uninterrupted stay within distance 1.0 of the octahedron begins. E, the
    octahedron. Snapshots about 20 steps apart are needed to see them; a boundary is the step of a snapshot.

    Args:
        run: one model's run, without leading axes.
        sets: two sets of three.

    Returns:
        The phases in the order of time, named "A" to "E", each from the step where the one before it ended. A phase
        that does not occur is left out: a run that never reaches the octahedron ends in an earlier letter, and one that
        opens its sets before they have grown has no "B". Where `classify` calls the snapshot half way through B
        collinear, the name is "B (collinear)".

    Raises:
        ValueError: a run with leading axes or of another size.
    """
    W = np.asarray(run.weights, np.float32)
    check_array("run.weights", W, (None, 3, 6))
    _, sets = check_triples(W[0], sets)
    gram_distance = distance(W, sets, "octahedron")
    means = np.stack([W[:, :, list(s)].mean(2) for s in sets])
    energy, flat, _ = (np.asarray(value) for value in _measures(jnp.asarray(W), sets))
    last = len(W) - 1
    grown = np.flatnonzero(3 * np.square(means).sum(2).min(0) > PHASE_A_MEAN)
    strays = np.flatnonzero(~(gram_distance < OCTAHEDRON_DISTANCE))
    ends = {
        "A": grown[0] if len(grown) else last,
        "B": max(np.flatnonzero(energy < PHASE_B_ENERGY), default=0),
        "C": max(np.flatnonzero(flat.min(1) < FLAT), default=0),
        "D": min(strays[-1] + 1, last) if len(strays) else 0,
        "E": last,
    }
    found, begin = [], 0
    for name, end in ends.items():
        if end > begin:
            if name == "B" and classify(W[(begin + end) // 2], sets) == "collinear":
                name = "B (collinear)"
            found.append(Phase(name, int(run.steps[begin]), int(run.steps[end])))
            begin = end
    return found


def middle(phase: Phase, run: Run) -> int:
    """Index of the snapshot nearest to the middle of a phase."""
    return int(np.abs(np.asarray(run.steps) - (phase.first + phase.last) / 2).argmin())


@partial(jax.jit, static_argnums=1)
def _measures(W: jax.Array, sets: Sets) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Within-energy (T,), flatness (T, 2) and twist (T,) of models W (T, 3, 6)."""
    return jax.vmap(lambda w: (within_energy(w, sets), flatness(w, sets), twist(w, sets)))(W)


def _centred(W: jax.Array, members: Sequence[int]) -> jax.Array:
    columns = W[:, np.asarray(members)]
    return columns - columns.mean(1, keepdims=True)
