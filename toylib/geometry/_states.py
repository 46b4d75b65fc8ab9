"""Named states of a model, and the phases of a run."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_array, check_run, on_host
from toylib.geometry._measures import FLAT, flatness, twist, within_energy
from toylib.geometry._templates import (
    ONE,
    Sets,
    check_partition,
    check_triples,
    is_triples,
    nearest_template,
    template_bound,
    template_distance,
    templates,
)
from toylib.training import Run

# The constants that decide between states; `classify` says how.
ORIGIN_NORM = 0.2
OCTAHEDRON_DISTANCE = 1.0
COLLAPSED_ENERGY = 0.05
TEMPLATE_DISTANCE = 0.3
PRISM_TWIST, ANTIPRISM_TWIST = 20.0, 40.0
# The constants that decide between phases; `phases` says how.
PHASE_A_MEAN, PHASE_B_ENERGY, PAIR_ENERGY = 0.9, 0.02, 0.25


class Phase(NamedTuple):
    """A stretch of training: its name and its first and last step."""

    name: str
    first: int
    last: int


def classify(W: ArrayLike, sets: Sets) -> str:
    """Name the state of a model, with sets of any sizes in any number of dimensions.

    "other" if W is not finite; "origin" if ‖W‖²_F < 0.2·n/6; the name of the nearest of `templates` if its
    `template_distance` is below `template_bound`, half of the least distance between two of these and at most 1; else
    "other". `nearest_template` says how near it is.

    Two triples in three dimensions have names for what lies between templates too, because triangles on the way are not
    regular. The first rule that fits decides:

    - "other" if W is not finite; "origin" if ‖W‖²_F < 0.2;
    - "octahedron" within 1.0 of that template, half way to the unit prism;
    - with within-energy below 0.05 the sets have collapsed: "pca" within 0.3 of the two orthogonal directions,
      "collinear" within 0.3 of the opposite ones, else "other";
    - "lines" if a set's flatness is at most 0.3;
    - by the twist: "prism" below 20°, "twisted" below 40°, "antiprism" above.

    An antiprism with the right height is the octahedron.

    Args:
        W: (m, n), m at least 2; a host function, so not for jax.jit.
        sets: the sets, which hold every feature once.

    Returns:
        For two triples in three dimensions one of "origin", "pca", "collinear", "lines", "prism", "twisted",
        "antiprism", "octahedron", "other"; else "origin", "other" or a name that `templates` lists.

    Raises:
        ValueError, TypeError: sets that leave features out or share them, or m below 2.
    """
    W = on_host("W", W, np.float32)
    check_array("W", W, (None, None), ONE)
    check_partition(W, sets)
    if not np.isfinite(W).all():
        return "other"
    with np.errstate(over="ignore"):
        size = np.square(W).sum()
    if size < ORIGIN_NORM * W.shape[1] / 6:
        return "origin"
    if is_triples(W, sets):
        return _between_templates(W, sets)
    if not templates(sets, len(W)):
        return "other"
    name, distance = nearest_template(W, sets)
    return name if distance < template_bound(sets, len(W)) else "other"


def _between_templates(W: np.ndarray, sets: Sets) -> str:
    """The state of two triples that have left the origin."""
    if template_distance(W, sets, "octahedron") < OCTAHEDRON_DISTANCE:
        return "octahedron"
    _, sets = check_triples(W, sets)
    energy, flat, angle = (np.asarray(value[0]) for value in _measures(jnp.asarray(W)[None], sets))
    if energy < COLLAPSED_ENERGY:
        return next((s for s in ("pca", "collinear") if template_distance(W, sets, s) < TEMPLATE_DISTANCE), "other")
    if flat.min() <= FLAT:
        return "lines"
    if np.isnan(angle):
        return "other"
    return "prism" if angle < PRISM_TWIST else "twisted" if angle < ANTIPRISM_TWIST else "antiprism"


def phases(run: Run, sets: Sets) -> list[Phase]:
    """Cut one run of a model, with sets of any sizes, into the phases that it went through.

    A, leaving the origin: until ‖W_set‖²_F of each set is first above 0.9. B, collapsed sets: until the last step with
    within-energy below 0.02; sets of one feature have no B. C, the sets open: until the last step at which one is not
    open. D, the open sets turn: until E begins, before which A, B and C have ended too. E, the final uninterrupted stay
    within `template_bound` of the template that the run ends at. A run that ends at "pca" or "collinear" ends in B.

    A set of three or more is open while its flatness is at least 0.3. A pair, always a line, is open while half of
    ‖W_1 - W_2‖² is at least a quarter of ‖W_1‖² + ‖W_2‖²: from 60° on between columns of one length.

    For two triples in three dimensions A lasts until three times the smaller ‖set mean‖² first exceeds 0.9, which is
    the same for collapsed sets, and D until the final uninterrupted stay within distance 1.0 of the octahedron.

    Snapshots about 20 steps apart are needed to see them; a boundary is the step of a snapshot. A run that diverged is
    cut where W stops being finite.

    Args:
        run: one model's run, without leading axes.
        sets: the sets, which hold every feature once.

    Returns:
        The phases in the order of time, named "A" to "E", each from the step where the one before it ended. A phase
        that does not occur is left out: a run that reaches no template ends in an earlier letter, and one that
        opens its sets before they have grown has no "B". Where `classify` calls the snapshot half way through B
        collinear, the name is "B (collinear)".

    Raises:
        ValueError: a run with leading axes, m below 2, or sets that leave features out or share them.
    """
    check_run("run", run)
    W = on_host("run.weights", run.weights, np.float32)
    check_array("run.weights", W, (None, None, None), "pass one model's run, as run.member(a, c) gives it")
    check_partition(W, sets)
    W = W[np.logical_and.accumulate(np.isfinite(W).all((1, 2)))]
    if not len(W):
        return []
    grown, collapsed, closed, there = (_signs_of_triples if is_triples(W, sets) else _signs)(W, sets)
    last, strays = len(W) - 1, np.flatnonzero(~there)
    ends = {
        "A": np.flatnonzero(grown)[0] if grown.any() else last,
        "B": max(np.flatnonzero(collapsed), default=0),
        "C": max(np.flatnonzero(closed), default=0),
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


_Signs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of the snapshots, (T,) bool each: sets have grown, have collapsed, one is closed, all is where the run ends."""


def _signs_of_triples(W: np.ndarray, sets: Sets) -> _Signs:
    _, sets = check_triples(W[0], sets)
    means = np.stack([W[:, :, list(s)].mean(2) for s in sets])
    energy, flat, _ = (np.asarray(value) for value in _measures(jnp.asarray(W), sets))
    grown = 3 * np.square(means).sum(2).min(0) > PHASE_A_MEAN
    there = template_distance(W, sets, "octahedron") < OCTAHEDRON_DISTANCE
    return grown, energy < PHASE_B_ENERGY, flat.min(1) < FLAT, there


def _signs(W: np.ndarray, sets: Sets) -> _Signs:
    columns = [W[:, :, list(s)] for s in sets]
    centred = [c - c.mean(2, keepdims=True) for c in columns]
    energies, within = (np.array([np.square(c).sum((1, 2)) for c in parts]) for parts in (columns, centred))
    collapsed = (within.sum(0) < PHASE_B_ENERGY * energies.sum(0)) & (max(map(len, sets)) > 1)
    there, end = np.zeros(len(W), bool), classify(W[-1], sets)
    if end in templates(sets, W.shape[1]) and end not in ("pca", "collinear"):
        there = template_distance(W, sets, end) < template_bound(sets, W.shape[1])
    stay = np.logical_and.accumulate(there[::-1])[::-1]
    closed = np.zeros(len(W), bool)
    for s, c, total, part in zip(sets, centred, energies, within, strict=True):
        if len(s) == 2:
            closed |= part < PAIR_ENERGY * total
        elif len(s) > 2:
            values = np.linalg.svd(c, compute_uv=False)
            closed |= values[:, 1] < FLAT * values[:, 0]
    return (energies.min(0) > PHASE_A_MEAN) | stay, collapsed & ~stay, closed & ~stay, there


def phase_middle(phase: Phase, run: Run) -> int:
    """Index of the snapshot nearest to the middle of a phase."""
    return int(np.abs(np.asarray(run.steps) - (phase.first + phase.last) / 2).argmin())


@partial(jax.jit, static_argnums=1)
def _measures(W: jax.Array, sets: Sets) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Within-energy (T,), flatness (T, 2) and twist (T,) of models W (T, 3, 6)."""
    return jax.vmap(lambda w: (within_energy(w, sets), flatness(w, sets), twist(w, sets)))(W)
