"""Named states of a model, and the phases of a run."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_array
from toylib.geometry._measures import FLAT, flatness, twist, within_energy
from toylib.geometry._templates import Sets, check_triples, template_distance
from toylib.training import Run

# The constants that decide between states; `classify` says how.
ORIGIN_NORM = 0.2
OCTAHEDRON_DISTANCE = 1.0
COLLAPSED_ENERGY = 0.05
TEMPLATE_DISTANCE = 0.3
PRISM_TWIST, ANTIPRISM_TWIST = 20.0, 40.0
# The constants that decide between phases; `phases` says how.
PHASE_A_MEAN, PHASE_B_ENERGY = 0.9, 0.02


class Phase(NamedTuple):
    """A stretch of training: its name and its first and last step."""

    name: str
    first: int
    last: int


def classify(W: ArrayLike, sets: Sets) -> str:
    """Name the state of a model with two sets of three features in three dimensions.

    The first rule that fits decides, with distances from `template_distance`:

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
    if template_distance(W, sets, "octahedron") < OCTAHEDRON_DISTANCE:
        return "octahedron"
    energy, flat, angle = (np.asarray(value[0]) for value in _measures(jnp.asarray(W)[None], sets))
    if energy < COLLAPSED_ENERGY:
        return next((s for s in ("pca", "collinear") if template_distance(W, sets, s) < TEMPLATE_DISTANCE), "other")
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
    octahedron. Snapshots about 20 steps apart are needed to see them; a boundary is the step of a snapshot. A run that
    diverged is cut where W stops being finite.

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
    check_array("run.weights", W, (None, 3, 6), "pass one model's run, as run.member(a, c) gives it")
    _, sets = check_triples(W[0], sets)
    W = W[np.logical_and.accumulate(np.isfinite(W).all((1, 2)))]
    if not len(W):
        return []
    gram_distance = template_distance(W, sets, "octahedron")
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


def phase_middle(phase: Phase, run: Run) -> int:
    """Index of the snapshot nearest to the middle of a phase."""
    return int(np.abs(np.asarray(run.steps) - (phase.first + phase.last) / 2).argmin())


@partial(jax.jit, static_argnums=1)
def _measures(W: jax.Array, sets: Sets) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Within-energy (T,), flatness (T, 2) and twist (T,) of models W (T, 3, 6)."""
    return jax.vmap(lambda w: (within_energy(w, sets), flatness(w, sets), twist(w, sets)))(W)
