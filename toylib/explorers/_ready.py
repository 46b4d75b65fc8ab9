"""Explorers over the pictures of the notebooks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import numpy as np

from toylib._checks import check_finite
from toylib.attacks import Attack
from toylib.explorers._explorer import Explorer, explore
from toylib.features import Features
from toylib.figures import Axis, Drawing, Limits, attacked_sample, represented, story
from toylib.geometry import feature_dimensionality, trajectory
from toylib.model import Params, reconstruct
from toylib.robustness import KEPT
from toylib.sweeps import as_run

if TYPE_CHECKING:
    import xarray as xr


def geometry(
    runs: "xr.Dataset", twins: "xr.Dataset", features: Features, levels: Callable[[float], Mapping[str, float]]
) -> Explorer:
    """Training runs of sets of any sizes, in two dimensions or more, scrubbed over sparsity, step and seed.

    Args:
        runs: a sweep of `sweeps.train_points` over S and seed, with a coordinate `step`.
        twins: the same for the linear twins.
        features: that they were trained on.
        levels: S -> losses by name, drawn as dashed lines.

    It opens where the turn of its first seed ends, for two triples near the octahedron, or at the end if there is no
    turn.
    """
    Ss, seeds, steps = (runs[name].values.tolist() for name in ("S", "seed", "step"))
    paths = {(S, c): trajectory(as_run(runs.sel(S=S, seed=c)), features, S) for S in Ss for c in seeds}
    linear = {(S, c): twins.losses.sel(S=S, seed=c, method="nearest").values for S, c in paths}
    dashed, written = {S: levels(S) for S in Ss}, _labels("sparsity", Ss)
    lowest = min(float(runs.losses.min()), *dashed[max(Ss)].values())
    loss_range = (0.5 * lowest, 1.5 * float(runs.losses.max()))

    def draw(sparsity: float, seed: int, step: int) -> Drawing:
        return story(
            paths[sparsity, seed],
            features.sets,
            step=step,
            title=f"{written[sparsity]}, seed {seed}",
            levels=dashed[sparsity],
            twin=linear[sparsity, seed],
            loss_range=loss_range,
        )

    opening = Ss[len(Ss) // 2]
    turning = [phase for phase in paths[opening, seeds[0]].phases if phase.name == "D"]
    turned = turning[0].last if turning else steps[-1]
    start = {"sparsity": opening, "step": min(steps, key=lambda step: abs(step - turned))}
    return explore(draw, play="step", start=start, sparsity=Ss, seed=seeds, step=steps)


def attack(
    params: Params,
    Ss: Sequence[float],
    fractions: Sequence[float],
    mean_norms: Sequence[float],
    X: np.ndarray,
    attacks: Mapping[str, Attack],
    *,
    key: jax.Array,
    limits: Limits | None = None,
) -> Explorer:
    """Attacks on trained models, computed while scrubbing over sparsity, norm, attack and sample.

    Args:
        params: of the models, with a leading axis (a,).
        Ss: (a,), their sparsities.
        fractions: (r,), norms of the attacks in units of the mean norm of an input, at least 0.
        mean_norms: (a,), E‖x‖ at each sparsity, as from `Features.mean_norm`.
        X: (a, s, n), inputs to choose from.
        attacks: name -> attack, such as those of `toylib.attacks`.
        key: from `jax.random.key`, for the attacks that draw at random.
        limits: fixed y ranges; by default they hold every model, sample and attack at the largest norm.

    Raises:
        ValueError: lengths that do not fit; no norms, attacks or samples; a model that diverged.
    """
    W, b, X = (np.asarray(values) for values in (*params, X))  # indexing JAX arrays would compile programs too
    for name, value in (("W", W), ("b", b), ("X", X)):
        check_finite(name, value, "attack models that have not diverged, on finite inputs")
    lengths = {"params": len(W), "Ss": len(Ss), "mean_norms": len(mean_norms), "X": len(X)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"params, Ss, mean_norms and X must have one entry per model, got {lengths}; pass as many")
    if not (len(fractions) and attacks and X.shape[1]):
        raise ValueError("there must be at least one norm, one attack and one sample, got none; pass some")

    @partial(jax.jit, static_argnames="name")
    def compute(name: str, params: Params, x: jax.Array, radius: jax.Array) -> tuple[jax.Array, ...]:
        delta = attacks[name](params, x, radius, key=key)
        return delta, reconstruct(params, x), reconstruct(params, x + delta)

    def attacked(a: int, fraction: float, name: str, s: int) -> list[np.ndarray]:
        """Return x, δ and the reconstructions of x and x + δ."""
        outputs = compute(name, Params(W[a], b[a]), X[a, s], np.float32(fraction * mean_norms[a]))
        return [X[a, s], *map(np.asarray, outputs)]

    # Compiles every attack, so that no move has to.
    stops = [(0, 0)] if limits else list(np.ndindex(X.shape[:2]))
    seen = [attacked(a, max(fractions), name, s) for name in attacks for a, s in stops]
    if limits is None:
        x, deltas, *outputs = (np.stack(values) for values in zip(*seen, strict=True))
        limits = Limits.around(x, deltas, np.stack(outputs))

    written, units = _labels("sparsity", Ss), _labels("norm", fractions)

    def draw(sparsity: float, norm: float, attack: str, sample: int) -> Drawing:
        a = list(Ss).index(sparsity)
        x, delta, before, after = attacked(a, norm, attack, sample - 1)
        gain = np.square(after - x).sum(dtype=float) - np.square(before - x).sum(dtype=float)
        radius = float(norm * mean_norms[a])
        V = f"{gain / radius**2:.3g}" if radius > 0 else "–"
        title = f"{written[sparsity]}, {attack}, {units[norm]}, sample {sample}: V = {V}"
        return attacked_sample(x, delta, before, after, title=title, limits=limits)

    start = {"sparsity": Ss[len(Ss) // 2], "norm": fractions[len(fractions) // 2]}
    samples = range(1, X.shape[1] + 1)
    return explore(draw, start=start, sparsity=Ss, norm=fractions, attack=list(attacks), sample=samples)


def robust(weights: "xr.DataArray") -> Explorer:
    """Models trained under attack, scrubbed over what they were trained on, sparsity and attack norm.

    Args:
        weights: W over the dimensions training (str), density, norm (fractions of E‖x‖), hidden and feature.

    Raises:
        ValueError: other dimensions.
    """
    wanted = ("training", "density", "norm", "hidden", "feature")
    if set(weights.dims) != set(wanted):
        raise ValueError(
            f"weights must have the dimensions {', '.join(wanted)}, got {', '.join(map(str, weights.dims))}; "
            "rename them"
        )
    weights = weights.transpose(*wanted).sortby("density", ascending=False)
    trainings, densities, norms = (weights[name].values.tolist() for name in wanted[:3])
    values = np.asarray(weights.values, np.float32)
    dimensionality = jax.jit(feature_dimensionality)
    sparsities = [1 - density for density in densities]
    written = _labels("sparsity", sparsities)

    def draw(attack: str, sparsity: float, norm: float) -> Drawing:
        W = values[trainings.index(attack), sparsities.index(sparsity), norms.index(norm)]
        least = KEPT * np.linalg.norm(W, axis=0).max()
        kept = f"{(np.linalg.norm(W, axis=0) > least).sum()} features kept" if np.isfinite(W).all() else "diverged"
        title = f"{attack}, {written[sparsity]}, norm {norm:g} · E‖x‖: {kept}"
        return represented(W, np.asarray(dimensionality(W)), title=title, kept=least)

    start = {"sparsity": sparsities[len(sparsities) // 2]}
    return explore(draw, play="norm", start=start, attack=trainings, sparsity=sparsities, norm=norms)


def _labels(name: str, stops: Sequence[float]) -> dict[float, str]:
    """How the stops of an axis are written on its slider."""
    axis = Axis.of(name, stops)
    return dict(zip(axis.values, axis.labels, strict=True))
