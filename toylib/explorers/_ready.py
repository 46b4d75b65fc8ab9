"""Explorers over the pictures of the notebooks, for whatever models one has in hand."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from toylib import attacks as room
from toylib._checks import LARGEST, check_attacked, check_finite, check_key, check_real, check_size, on_host, try_attack
from toylib._drawable import ENOUGH
from toylib.attacks import Attack
from toylib.explorers._explorer import Explorer, explore
from toylib.explorers._models import Axes, Stops, check_features, inputs, laid_out, levels_at, moving, weights_of
from toylib.features import Features
from toylib.figures import Axis, Drawing, Limits, attacked_sample, represented, story
from toylib.geometry import feature_dimensionality, trajectory
from toylib.model import Params, reconstruct
from toylib.robustness import KEPT
from toylib.training import Run

if TYPE_CHECKING:
    import xarray as xr

_FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
_ATTACKS: dict[str, Attack] = {
    "analytic, ±": partial(room.analytic, signs="±"),
    "one step": room.one_step,
    "PGD": room.pgd,
    "random direction": room.random_direction,
}
_LOOKED_AT = 64  # models and samples that decide what the axes hold


def geometry(
    runs: "Run | xr.Dataset",
    features: Features,
    *,
    S: ArrayLike | None = None,
    axes: Axes | None = None,
    twins: "Run | xr.Dataset | None" = None,
    levels: Callable[[float], Mapping[str, float]] | Mapping[str, float] | None = None,
) -> Explorer:
    """Training runs of sets of any sizes in any dimensions, scrubbed over the axes that they have and their steps.

    Args:
        runs: one run; an ensemble; or a sweep of `sweeps.train_points`, with a coordinate `step`, over any axes.
        features: that they were trained on.
        S: sparsity that they were trained at, or (a,) those of the axis S of an ensemble; a sweep over S has it.
        axes: name -> stops of each leading axis of an ensemble, in order; by default S, seed, or S, radius, seed, as
            `train_ensemble` has them, radius and seed counted from 0.
        twins: of the same axes, the linear twins.
        levels: losses by name, drawn as dashed lines, or S -> such.

    It opens in the middle of the sparsities, where the turn of the first run ends, for two triples near the octahedron,
    or at the end if there is no turn. An axis of one stop has no slider.

    Raises:
        ValueError, TypeError: no sparsity; axes that do not fit; models of other features.
    """
    for name, given in {"runs": runs, "twins": runs if twins is None else twins}.items():
        if not (isinstance(given, Run) or hasattr(given, "data_vars")):
            raise TypeError(
                f"{name} must be a Run or a dataset of train_points, got {type(given).__name__}; pass what training "
                "returns"
            )
    sides, run, sparsity = laid_out(runs, S, axes)
    assert isinstance(run, Run)
    check_features(run.weights, features)
    twin_losses = None
    if twins is not None:
        _, linear, _ = laid_out(twins, S, axes)
        twin_losses = np.asarray(getattr(linear, "losses", ()))
        if twin_losses.shape != np.shape(run.losses):
            raise ValueError(
                f"twins must have the axes and steps of runs, got losses of shape {twin_losses.shape} for "
                f"{np.shape(run.losses)}; train them alike"
            )
    members = list(np.ndindex(run.losses.shape[:-1]))
    paths = {at: trajectory(run.member(*at) if at else run, features, sparsity(at)) for at in members}
    dashed = {at: levels_at(levels, sparsity(at)) for at in members}
    check_finite("levels", [*map(float, (loss for at in dashed.values() for loss in at.values()))], "leave others out")
    seen = np.hstack([run.losses[np.isfinite(run.losses)], *(list(losses.values()) for losses in dashed.values())])
    if not (seen > 0).any():
        raise ValueError("runs must have a loss that is finite and above 0, got none; show what has not diverged")
    loss_range = (0.5 * float(seen[seen > 0].min()), 1.5 * float(seen.max()))
    longest = np.linalg.norm([path.weights for path in paths.values()], axis=-2)
    reach = float(longest.max(initial=1, where=np.isfinite(longest)))
    steps, written = run.steps.tolist(), Stops(sides, "step")

    def draw(step: int, **stops: Any) -> Drawing:
        at = written.position(stops)
        options = {} if twin_losses is None else {"twin": twin_losses[at]}
        title = written.text(stops, sparsity(at))
        fixed = {"step": step, "title": title, "levels": dashed[at], "loss_range": loss_range, "reach": reach}
        return story(paths[at], features.sets, **fixed, **options)

    start = written.middle()
    turning = [phase for phase in paths[written.position(start)].phases if phase.name == "D"]
    turned = turning[0].last if turning else steps[-1]
    start["step"] = min(steps, key=lambda step: abs(step - turned))
    return moving(draw, {**written.axes, "step": steps}, start, play="step")


def attack(
    models: "Params | Run | xr.Dataset",
    features: Features,
    S: ArrayLike | None = None,
    *,
    axes: Axes | None = None,
    attacks: Mapping[str, Attack] | None = None,
    fractions: Sequence[float] = _FRACTIONS,
    X: ArrayLike | None = None,
    n_samples: int = 6,
    key: jax.Array | None = None,
    limits: Limits | None = None,
) -> Explorer:
    """Attacks on trained models, computed while scrubbing over the axes of the models, norm, attack and sample.

    Args:
        models: one, several with leading axes, or the last of a run, an ensemble or a sweep.
        features: that they were trained on, whose mean norm is the unit of the attacks' norms.
        S: sparsity of the inputs, or (a,) those of the axis S; a sweep over S has it.
        axes: as in `geometry`; by default one leading axis is S, if S has several, or seed.
        attacks: name -> attack; by default the analytic one, one step, PGD and a random direction.
        fractions: norms of the attacks in units of the mean norm of an input, at least 0.
        X: inputs to choose from, with the leading axes of the models, (..., s, n), or without, (s, n); by default
            n_samples that are not empty are drawn at each sparsity.
        n_samples: how many.
        key: from `jax.random.key`, of the inputs and of attacks that draw at random; by default of seed 0.
        limits: fixed y ranges; by default they hold what the largest norm does to some 64 models and samples.

    It opens in the middle of the sparsities and norms. An axis of one stop has no slider.

    Raises:
        ValueError, TypeError: no sparsity; axes or inputs that do not fit; no norms, attacks or samples; a model that
            diverged; a sparsity at which inputs are hardly ever not empty.
    """
    sides, found, sparsity = laid_out(models, S, axes)
    W, b = (np.asarray(leaf) for leaf in (found.params if isinstance(found, Run) else found))
    for leaf in (W, b):
        check_finite("models", leaf, "attack those that have not diverged")
    check_features(W, features)
    shape = W.shape[:-2]
    key = jax.random.key(0) if key is None else key
    check_key("key", key)
    if not (attacks is None or isinstance(attacks, Mapping)):
        raise TypeError(f"attacks must be name -> attack, got {attacks!r:.80}; pass such as {{'PGD': attacks.pgd}}")
    if not (limits is None or isinstance(limits, Limits)):
        raise TypeError(f"limits must be figures.Limits, got {limits!r:.80}; leave it out")
    chosen = dict(_ATTACKS if attacks is None else attacks)
    first, x = (0,) * len(shape), jax.ShapeDtypeStruct(b.shape[-1:], np.float32)
    for name, method in chosen.items():
        try_attack(name, method, Params(W[first], b[first]), x)
    check_real("fractions", fractions, "norms are positive, 0 is no attack", least=0, ndim=1, many="pass a list")
    levels = {at: sparsity(at) for at in np.ndindex(shape)}
    if X is None:
        check_size("n_samples", n_samples)
        drawn = {level: inputs(features, level, n_samples, key) for level in {*levels.values()}}
        X = np.reshape([drawn[level] for level in levels.values()], (*shape, n_samples, W.shape[-1]))
    X = on_host("X", X, np.float32)
    check_finite("X", X, "attack finite inputs")
    if X.ndim < 2 or X.shape[-1] != W.shape[-1] or X.shape[:-2] not in ((), shape):
        raise ValueError(f"X must have shape (s, {W.shape[-1]}), or {shape} before it, got {X.shape}; pass (..., s, n)")
    X = np.broadcast_to(X, (*shape, *X.shape[-2:]))
    if not (len(fractions) and chosen and X.shape[-2]):
        raise ValueError("there must be at least one norm, one attack and one sample, got none; pass some")
    units = {level: float(features.mean_norm(level)) for level in {*levels.values()}}

    for at in levels:
        check_attacked(Params(W[at], b[at]), X[at], (None, None), np.float32(max(fractions) * units[levels[at]]))

    @partial(jax.jit, static_argnames="name")
    def compute(name: str, params: Params, x: jax.Array, radius: jax.Array) -> tuple[jax.Array, ...]:
        delta = chosen[name](params, x, radius, key=key)
        return delta, reconstruct(params, x), reconstruct(params, x + delta)

    def attacked(at: tuple[int, ...], fraction: float, name: str, s: int) -> list[np.ndarray]:
        """Return x, δ and the reconstructions of x and x + δ."""
        x = X[(*at, s)]
        outputs = compute(name, Params(W[at], b[at]), x, np.float32(fraction * units[levels[at]]))
        return [x, *map(np.asarray, outputs)]

    # Compiles every attack, so that no move has to.
    stops = list(np.ndindex(X.shape[:-1]))
    stops = stops[:1] if limits else stops[:: -(-len(stops) // _LOOKED_AT)]
    seen = []
    for name, (*at, s) in product(chosen, stops):
        seen.append(attacked(tuple(at), max(fractions), name, s))
        _check_attack(name, seen[-1], max(fractions) * units[levels[tuple(at)]])
    if limits is None:
        x, deltas, *outputs = (np.stack(values) for values in zip(*seen, strict=True))
        limits = Limits.around(x, deltas, np.stack(outputs))
    written = Stops(sides, "norm", "attack", "sample")
    norms = Axis.of("norm", fractions)

    def draw(norm: float, attack: str, sample: int, **stops: Any) -> Drawing:
        at = written.position(stops)
        x, delta, before, after = attacked(at, norm, attack, sample - 1)
        gain = np.square(after - x).sum(dtype=float) - np.square(before - x).sum(dtype=float)
        radius = float(norm * units[levels[at]])
        V = f"{gain / radius**2:.3g}" if radius > 0 else "–"
        model, size = written.text(stops, levels[at]), norms.labels[norms.position(norm)]
        title = f"{model}, {attack}, {size}, sample {sample}: V = {V}"
        return attacked_sample(x, delta, before, after, title=title, limits=limits)

    start = {**written.middle(), "norm": fractions[len(fractions) // 2]}
    rest = {"norm": fractions, "attack": list(chosen), "sample": range(1, X.shape[-2] + 1)}
    return moving(draw, {**written.axes, **rest}, start)


def _check_attack(name: str, seen: Sequence[np.ndarray], radius: float) -> None:
    """Check what an attack did to a model: δ no longer than its norm, outputs finite; ValueError if not."""
    _, delta, *outputs = seen
    check_finite(f"δ of {name}", delta, "mend the attack")
    if (length := float(np.linalg.norm(delta))) > 1.001 * radius + 1e-9:
        raise ValueError(f"δ of {name} must be no longer than its norm {radius:.3g}, got {length:.3g}; mend the attack")
    check_finite("outputs", np.stack(outputs), "attack models that have not diverged")


def robust(weights: "xr.DataArray | Params | Run | ArrayLike", *, axes: Axes | None = None) -> Explorer:
    """What models represent, such as those trained under attack, scrubbed over whatever axes they have.

    Args:
        weights: W over the dimensions hidden and feature, and any others, such as training (str), density or S, norm
            (fractions of E‖x‖) and seed; a run, an ensemble or a sweep, whose steps are then an axis; one model, or W
            (..., m, n).
        axes: name -> stops of each leading axis, where they have no names.

    It opens at the last step, in the middle of the sparsities. An axis of one stop has no slider; where none is
    left, it moves the share of the longest norm from which on a feature counts as kept.

    Raises:
        ValueError: dimensions or axes that do not fit.
    """
    sides, values = weights_of(weights, axes)
    if "density" in sides:
        check_real("density", sides["density"], "it is 1 - S", above=0, most=1, ndim=1, many="pass a list", double=True)
        order = np.argsort(np.asarray(sides["density"], float))[::-1]
        values = np.take(values, order, list(sides).index("density"))
        S = [1 - float(np.asarray(sides["density"])[i]) for i in order]
        sides = {("S" if name == "density" else name): S if name == "density" else sides[name] for name in sides}
    if (far := np.abs(values)[np.isfinite(values)].max(initial=0)) > LARGEST:
        raise ValueError(f"weights must be below {LARGEST:g}, whose squares are drawn, got {far:g}; scale them down")
    dimensionality, written = jax.jit(feature_dimensionality), Stops(sides, "kept")
    norms = np.linalg.norm(values, axis=-2)
    reach = float(norms.max(initial=1, where=np.isfinite(norms)))

    def draw(kept: float = KEPT, **stops: Any) -> Drawing:
        W = values[written.position(stops)]
        lengths = np.linalg.norm(W, axis=0)
        least, number = kept * lengths.max(), int((lengths > kept * lengths.max()).sum())
        held = reach if (lengths > ENOUGH).any() else 1.0  # one axis for all that fit the usual one, and one for others
        count = f"{number} feature{'s' * (number != 1)} kept" if np.isfinite(W).all() else "diverged"
        title = ": ".join(filter(None, [written.text(stops), count]))
        return represented(W, np.asarray(dimensionality(W)), title=title, kept=least, reach=held)

    several = [name for name, stops in written.axes.items() if len(stops) > 1]
    if not several:
        return explore(partial(draw, **written.middle()), start={"kept": KEPT}, kept=[0.05, 0.1, 0.25, KEPT, 0.75])
    play = next((name for name in ("norm", "step") if name in several), None)
    return moving(draw, written.axes, written.middle(), play=play)
