"""Runs followed one by one, and counted by the many: measures, views, and the gap to the linear twin."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_array, check_features, check_finite, check_run, on_host
from toylib.features import Features
from toylib.geometry._measures import flatness, mode_strengths, pca_overlap, set_means, twist, within_energy
from toylib.geometry._states import Phase, classify, phase_middle, phases
from toylib.geometry._templates import ONE, Sets, check_partition, is_triples
from toylib.model import Params, reconstruct
from toylib.training import Run

PCA_OVERLAP = 0.99


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
            for a set of one feature, and in one dimension.
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
        run: one model's run, without leading axes; of one dimension, which has no phases, W stays as it is.
        features: distribution of the inputs, whose sets the measures are of.
        S: the sparsity it was trained at.

    Raises:
        ValueError: as `phases`.
    """
    check_features(features)
    line = run.weights.shape[1] == 1
    found = [] if line else phases(run, features.sets)
    measured = _measure(run.weights, features.sets, features.covariance(S))
    spectrum, overlap, energy, cosine, flat, turned = map(np.array, measured)
    closed = run.steps <= max((phase.last for phase in found if phase.name[0] in "AB"), default=-1)
    flat[closed] = turned[closed] = np.nan
    finite = run.weights[np.isfinite(run.weights).all((1, 2))]
    weights = upright(finite[-1], features.sets) @ run.weights if len(finite) and not line else run.weights
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
    W = on_host("W", W)
    check_array("W", W, (None, None), ONE)
    check_partition(W, sets)
    check_finite("W", W, "leave out what diverged")
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


class Census(NamedTuple):
    """What each of c runs at one sparsity did; all arrays (c,).

    Attributes:
        final: state of the last snapshot, as `geometry.classify` names it.
        final_loss: population loss of the last snapshot.
        phases: letters of the phases found, such as "ABCDE"; "b" stands for a collinear B.
        octahedron_step: first step of the final stay at the octahedron; NaN if there is none.
        opening_twist: degrees, at the first snapshot of phase D, when both sets have become triangles; NaN without one.
        plateau: at the middle of phase B "collinear" if `classify` says so, else "pca" if the overlap with the two set
            directions exceeds 0.99, else "other"; "none" without a phase B.
        plateau_loss: population loss at the middle of phase B; NaN without one.
    """

    final: np.ndarray
    final_loss: np.ndarray
    phases: np.ndarray
    octahedron_step: np.ndarray
    opening_twist: np.ndarray
    plateau: np.ndarray
    plateau_loss: np.ndarray


class TwinGaps(NamedTuple):
    """How far c runs were from their linear twins; all arrays (c,).

    A gap of losses is |L - L_twin|/L_twin; a gap of functions is `twin_gap`. Early is the first snapshot with at most
    0.9 of the starting loss, plateau the middle of phase B (NaN without one), drop the largest gap between the two (or
    from early to the end, without a phase B).
    """

    early_loss: np.ndarray
    early_function: np.ndarray
    drop_loss: np.ndarray
    drop_function: np.ndarray
    plateau_loss: np.ndarray
    plateau_function: np.ndarray
    final_twin_loss: np.ndarray
    sets_first: np.ndarray  # bool: in the twin, all set modes reach strength 1/2 before any difference mode does


def census(runs: Run, features: Features, S: float) -> Census:
    """What each member of an ensemble at one sparsity did.

    Args:
        runs: with one leading axis (c,), and snapshots about 20 steps apart.
        features: two sets of three, `Correlated(2, 3)`.
        S: the sparsity they were trained at.

    Returns:
        A Census. A diverged member has the final state "other", no plateau, and phases up to where W was finite.

    Raises:
        ValueError: other sizes, which have neither a twist nor one octahedron to count.
    """
    check_features(features)
    check_run("runs", runs)
    check_array("runs.weights", np.asarray(runs.weights), (None,) * 4, "pass those of one sparsity, runs.member(a)")
    if not is_triples(runs.weights, features.sets):
        raise ValueError(
            f"a census must be of two sets of three in three dimensions, got {features.sets!r} and weights "
            f"{runs.weights.shape}; of other sizes count classify(W, sets) and phases(run, sets) of each member"
        )
    overlap = jax.jit(partial(pca_overlap, covariance=features.covariance(S), k=len(features.sets)))
    return Census(
        *(np.array(column) for column in zip(*(_row(run, features.sets, overlap) for run in _each(runs)), strict=True))
    )


def twin_gaps(runs: Run, twins: Run, features: Features, S: float) -> TwinGaps:
    """How far each member was from its linear twin; arguments as in `twin_gap`, with one leading axis (c,).

    Raises:
        ValueError: a member or a twin diverged.
    """
    for each, name in ((runs, "runs"), (twins, "twins")):
        check_run(name, each)
        for field in ("losses", "weights", "biases"):
            check_finite(f"{name}.{field}", getattr(each, field), "leave out what diverged, and say so")
    pairs = zip(_each(runs), _each(twins), strict=True)
    return TwinGaps(*map(np.array, zip(*(_twin_row(run, twin, features, S) for run, twin in pairs), strict=True)))


def twin_gap(run: Run, twin: Run, features: Features, S: float) -> np.ndarray:
    """E ‖f(x) - g(x)‖² / E ‖x‖² of a model f and its linear twin g at each snapshot, (T,), on population nodes.

    Args:
        run, twin: without leading axes, with the same snapshots; `twin` was trained with linear=True.
        features: distribution of the inputs.
        S: the sparsity they were trained at.
    """
    check_features(features)
    for each, name in ((run, "run"), (twin, "twin")):
        check_run(name, each)
        for field in ("weights", "biases"):
            on_host(f"{name}.{field}", getattr(each, field), None)
    if np.ndim(run.weights) != 3 or np.shape(run.weights) != np.shape(twin.weights):
        raise ValueError(
            f"run and twin must be of one model each, with the same snapshots, got weights {np.shape(run.weights)} and "
            f"{np.shape(twin.weights)}; pass run.member(a, c) of both"
        )
    x, weights = features.population(S)
    return np.asarray(_gaps(run.weights, run.biases, twin.weights, twin.biases, x, weights))


@jax.jit
@partial(jax.vmap, in_axes=(0, 0, 0, 0, None, None))
def _gaps(
    W: jax.Array, b: jax.Array, twin_W: jax.Array, twin_b: jax.Array, x: jax.Array, weights: jax.Array
) -> jax.Array:
    difference = reconstruct(Params(W, b), x) - reconstruct(Params(twin_W, twin_b), x, linear=True)
    return weights @ jnp.square(difference).sum(1) / (weights @ jnp.square(x).sum(1))


@partial(jax.jit, static_argnums=1)
def _modes(W: jax.Array, sets: Sets) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(lambda w: mode_strengths(w, sets))(W)


def _twin_row(run: Run, twin: Run, features: Features, S: float) -> tuple:
    losses = np.abs(run.losses - twin.losses) / twin.losses
    functions = twin_gap(run, twin, features, S)
    early = int(np.argmax(run.losses <= 0.9 * run.losses[0]))
    middles = [phase_middle(phase, run) for phase in phases(run, features.sets) if phase.name.startswith("B")]
    plateau = middles[0] if middles else None
    between = slice(early, None if plateau is None else max(plateau, early) + 1)
    set_modes, differences = (np.asarray(strength) for strength in _modes(twin.weights, features.sets))
    sets_learned, difference_learned = set_modes.min(1) >= 0.5, differences.max(1) >= 0.5
    sets_first = sets_learned.any() and np.argmax(sets_learned) < np.argmax(np.append(difference_learned, True))
    at_plateau = (np.nan, np.nan) if plateau is None else (losses[plateau], functions[plateau])
    drop = (losses[between].max(), functions[between].max())
    return losses[early], functions[early], *drop, *at_plateau, twin.losses[-1], sets_first


_twist = partial(jax.jit, static_argnums=1)(twist)


def _each(runs: Run) -> list[Run]:
    return [runs.member(c) for c in range(len(runs.diverged))]


def _row(run: Run, sets: Sets, overlap: Callable[[np.ndarray], jax.Array]) -> tuple:
    found = phases(run, sets)
    letters = "".join("b" if "collinear" in phase.name else phase.name for phase in found)
    if run.diverged:
        return "other", run.losses[-1], letters, np.nan, np.nan, "none", np.nan
    final = classify(run.weights[-1], sets)
    plateau, plateau_loss = "none", np.nan
    for phase in found:
        if phase.name.startswith("B"):
            at = phase_middle(phase, run)
            collinear = classify(run.weights[at], sets) == "collinear"
            plateau = "collinear" if collinear else "pca" if overlap(run.weights[at]) > PCA_OVERLAP else "other"
            plateau_loss = run.losses[at]
    last = found[-1] if found else None
    step = np.nan if final != "octahedron" or last is None else last.first if last.name == "E" else last.last
    opening_twist = np.nan
    if "D" in letters:
        opening = found[letters.index("D")].first
        opening_twist = float(_twist(run.weights[np.searchsorted(run.steps, opening) + 1], sets))
    return final, run.losses[-1], letters, step, opening_twist, plateau, plateau_loss


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else otherwise


@partial(jax.jit, static_argnums=1)
def _measure(weights: jax.Array, sets: Sets, covariance: jax.Array) -> tuple[jax.Array, ...]:
    def cosine(W: jax.Array) -> jax.Array:
        if len(sets) == 1:
            return jnp.full((), jnp.nan)
        means = set_means(W, sets)
        scale = jnp.outer(*(jnp.sum(jnp.square(means), 0),) * 2)
        cosines = jnp.where(scale == 0, 0, means.T @ means / jnp.sqrt(jnp.where(scale == 0, 1, scale)))
        return cosines[np.triu_indices(len(sets), 1)].mean()

    def flat(W: jax.Array) -> jax.Array:
        several = np.array([len(s) > 1 and len(W) > 1 for s in sets])
        found = jnp.full(len(sets), jnp.nan, W.dtype)
        return found.at[several].set(flatness(W, tuple(s for s in sets if len(s) > 1))) if several.any() else found

    def one(W: jax.Array) -> tuple[jax.Array, ...]:
        spectrum = jnp.linalg.svd(W, compute_uv=False)
        overlap = pca_overlap(W, covariance, min(len(sets), len(W)))
        turn = twist(W, sets) if is_triples(W, sets) else jnp.full((), jnp.nan)
        return spectrum, overlap, within_energy(W, sets), cosine(W), flat(W), turn

    return jax.vmap(one)(weights)
