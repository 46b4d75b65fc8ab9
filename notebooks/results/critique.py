"""Trains models of equal and of decaying importance, attacks them with both targets, and writes it to critique.nc.

    make results        ten minutes of one core for this script; stopped, it goes on where it was when called again

One labelled dataset (xarray.open_dataset): 80 features in 20 dimensions, for each profile of importance twelve
densities and eight seeds with initial weights, a data stream and test samples of their own. Along `kind` stand the
trained model and its controls, along `reading` (and `further`) the gains in error under attack, means over test samples
in units of radius², along `weighting` whether errors are summed as they are or weighted by importance; the attacker
raises the sum that is measured. The radius is a tenth of the mean norm of all inputs. Attributes hold key, sizes and
versions.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toylib import sweeps, theory
from toylib.features import Independent
from toylib.model import Params, reconstruct
from toylib.robustness import superposition
from toylib.training import train_ensemble

KEY = 1706
N_FEATURES, N_HIDDEN, STEPS, BATCH = 80, 20, 6000, 512
FEATURES = Independent(N_FEATURES)
PROFILES = {"equal": 1.0, "decaying": 0.9}
"""The factor from one feature's importance to the next."""
INVERSE_DENSITIES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0)
SEEDS = 8
KEPT = {"seed": 0, "inverse_density": [2.0, 6.0]}  # the models whose weights are stored, to be tested again
AGAIN, MIXED = range(8, 12), ("trained", "tight frame", "random directions")  # more seeds, of equal importance
SHARED_INVERSE_DENSITY = 4.0  # of the data on which the models of all densities are compared
FRACTION, SAMPLES, EACH, CLIMB = 0.1, 2048, 128, 15
"""Radius over the mean norm; samples in each half; those attacked one by one, and the steps of that attack."""
TARGETS = ("fixed", "moved", "kept positive")
"""The clean x; x + δ; x + δ where δ is cut so that no input falls below 0."""
WEIGHTINGS = ("equal", "importance")
READINGS = (*(f"one feature, {target}" for target in TARGETS), "search, fixed")
"""Of every kind: along a column of WᵀW that was chosen on other samples for the fixed target; gradient ascent."""
MORE = (
    *(f"told, {target}" for target in TARGETS[1:]),  # chosen for this target, among columns of WᵀW and single inputs
    "added, moved",  # chosen among single inputs alone: δ = radius·e_i
    *(f"step, {target}" for target in TARGETS),  # one gradient step for each sample, up this target's error
    *(f"search, {target}" for target in TARGETS[1:]),  # gradient ascent on this target's error, from two starts
)
"""Of trained models, and of one without superposition."""
KINDS = ("trained", "best bias", "random directions", "tight frame", "rotated inputs", "permuted", "permuted weights")
KINDS += ("same data", "random directions, same data", "tight frame, same data", "no superposition")
PATH = Path(__file__).with_suffix(".nc")


class Test(NamedTuple):
    """What a model is tested on: halves (SAMPLES, n) to choose and to measure on, importance (n,), radius, E x_i."""

    chosen_on: jax.Array
    measured_on: jax.Array
    importance: jax.Array
    radius: jax.Array
    mean: jax.Array


def importance_of(profile: str) -> np.ndarray:
    """(n,), the greatest first, 1."""
    return PROFILES[profile] ** np.arange(N_FEATURES)


def keys_of(seed: int, *, key: jax.Array) -> jax.Array:
    """For initial weights, the data stream, the test, and the controls."""
    return jax.random.split(jax.random.fold_in(key, int(seed)), 4)


def test_of(profile: str, seed: int, inverse_density: float, *, key: jax.Array) -> Test:
    """Fresh samples; all densities of a seed threshold the same uniform numbers."""
    S = 1 - 1 / inverse_density
    x = FEATURES.sample(S, 2 * SAMPLES, key=keys_of(seed, key=key)[2])
    weights, norm = jnp.asarray(importance_of(profile), jnp.float32), jnp.float32(radius_of(inverse_density))
    return Test(x[:SAMPLES], x[SAMPLES:], weights, norm, jnp.float32((1 - S) / 2))


@cache
def radius_of(inverse_density: float) -> float:
    """The norm of the attacks."""
    return FRACTION * float(FEATURES.mean_norm(1 - 1 / inverse_density))


def train(profile: str, seed: int, inverse_densities, *, key: jax.Array, n_steps: int = STEPS):
    """The models of one seed: a Run with leading axis (density,)."""
    k_init, k_data, *_ = keys_of(seed, key=key)
    run = train_ensemble(
        FEATURES,
        [1 - 1 / r for r in inverse_densities],
        k_init[None],
        n_hidden=N_HIDDEN,
        n_steps=n_steps,
        data_key=k_data,
        scale=0.1,
        batch_size=BATCH,
        optimizer=partial(_cosine_adam, n_steps=n_steps),
        learning_rate=0.01,
        importance=importance_of(profile),
        snapshots=[n_steps],
        progress=False,
    )
    return run.member(slice(None), 0)


def _cosine_adam(learning_rate: Any, n_steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(learning_rate, n_steps))


@jax.jit
def best_bias(W: jax.Array, X: jax.Array) -> jax.Array:
    """The bias of least error on X (k, n) for each unit, to 0.001: errors of units are separate, so a grid finds it."""
    pre = (X @ W.T) @ W
    coarse, fine = jnp.linspace(-2, 1, 151), jnp.linspace(-0.02, 0.02, 41)

    def best(candidates: jax.Array) -> jax.Array:
        errors = jax.lax.map(lambda b: jnp.square(jax.nn.relu(pre + b[None]) - X).mean(0), candidates)
        return jnp.take_along_axis(candidates, errors.argmin(0)[None], 0)[0]

    near = best(jnp.broadcast_to(coarse[:, None], (151, X.shape[1])))
    return best(near[None] + fine[:, None])


def errors_of(params: Params, x: jax.Array, delta: jax.Array, target: str) -> jax.Array:
    """Squared errors of x + δ by feature, (..., n), for x and δ (..., n) alike."""
    delta = jnp.maximum(delta, -x) if target == "kept positive" else delta
    aim = x if target == "fixed" else x + delta
    return jnp.square(reconstruct(params, x + delta) - aim)


def directions_of(W: jax.Array) -> jax.Array:
    """G_i/‖G_i‖ in rows, and the single inputs after them, (2n, n)."""
    gram = W.T @ W
    norms = jnp.linalg.norm(gram, axis=1, keepdims=True)
    return jnp.concatenate([gram / jnp.where(norms > 0, norms, 1), jnp.eye(len(gram))])


def climb(params: Params, x: jax.Array, radius: jax.Array, weights: jax.Array, target: str) -> tuple:
    """Errors of one sample after one gradient step, and the highest of an ascent from there and from the best column.

    What is cut for the target is cut before it is measured, so that every δ on the way counts as it would be used.
    """

    def error(delta: jax.Array) -> jax.Array:
        return errors_of(params, x, delta, target) @ weights

    def unit(v: jax.Array) -> jax.Array:
        norm = jnp.linalg.norm(v, axis=-1, keepdims=True)
        return v / jnp.where(norm > 0, norm, 1)

    errors, slopes = jax.vmap(error), jax.vmap(jax.grad(error))
    # Upward for the target that is kept positive: at an input of 0 the cut has no slope downward.
    step = radius * unit(slopes(jnp.full((1, len(x)), 1e-6)))
    columns = radius * directions_of(params.W)
    delta = jnp.concatenate([step, columns[errors(columns).argmax()][None]])

    def up(t: jax.Array, state: tuple) -> tuple:
        delta, highest = state
        delta = delta + 2 * radius * (1 - t / CLIMB) * unit(slopes(delta))
        delta = jnp.maximum(delta, -x[None]) if target == "kept positive" else delta
        delta = delta * jnp.minimum(1, radius / jnp.maximum(jnp.linalg.norm(delta, axis=1, keepdims=True), radius))
        return delta, jnp.maximum(highest, errors(delta))

    _, highest = jax.lax.fori_loop(0, CLIMB, up, (delta, errors(delta)))
    return error(step[0]), highest.max()


def _weights(test: Test) -> jax.Array:
    """(weighting, n)."""
    return jnp.stack([jnp.ones(N_FEATURES), test.importance])


def by_direction(params: Params, X: jax.Array, test: Test, directions: jax.Array, target: str) -> jax.Array:
    """Mean gains of pushes along these directions (k, n), the same for all samples; (k, weighting)."""
    clean = errors_of(params, X, jnp.zeros_like(X), target)

    def of_one(direction: jax.Array) -> jax.Array:
        delta = jnp.broadcast_to(test.radius * direction, X.shape)
        return _weights(test) @ (errors_of(params, X, delta, target) - clean).mean(0)

    return jax.lax.map(of_one, directions)


def one_by_one(params: Params, test: Test, target: str) -> tuple[jax.Array, jax.Array]:
    """Mean gains (weighting,) of a gradient step for each sample, and of an ascent."""
    x, each = test.measured_on[:EACH], []
    clean = (errors_of(params, x, jnp.zeros_like(x), target) @ _weights(test).T).mean(0)
    for weights in _weights(test):
        step, highest = jax.vmap(lambda one, w=weights: climb(params, one, test.radius, w, target))(x)
        each.append(jnp.stack([step.mean(), highest.mean()]))
    return tuple(jnp.stack(each, 1) - clean[None])


@jax.jit
def gains_of(params: Params, test: Test) -> dict[str, jax.Array]:
    """What is measured of every kind: gains (weighting, common reading) over radius², and errors without attack.

    The feature is chosen for each weighting, on the fixed target.
    """
    columns, each = directions_of(params.W)[:N_FEATURES], jnp.arange(len(WEIGHTINGS))
    usual = columns[by_direction(params, test.chosen_on, test, columns, "fixed").argmax(0)]
    found = [by_direction(params, test.measured_on, test, usual, t)[each, each] for t in TARGETS]
    found.append(one_by_one(params, test, "fixed")[1])
    full = test.measured_on.any(1)
    clean = errors_of(params, test.measured_on, jnp.zeros_like(test.measured_on), "fixed")
    pushed = errors_of(params, test.measured_on, jnp.broadcast_to(test.radius * usual[0], clean.shape), "fixed")
    return {
        "gain": jnp.stack(found, 1) / test.radius**2,
        "clean": _weights(test) @ clean.mean(0),
        "nonempty": jnp.where(full, (pushed - clean).sum(1), 0).sum() / full.astype(jnp.float32).sum() / test.radius**2,
    }


@jax.jit
def more_gains_of(params: Params, test: Test) -> jax.Array:
    """The other readings: gains (weighting, reading) over radius²."""
    directions, each, found = directions_of(params.W), jnp.arange(len(WEIGHTINGS)), {}
    for target in TARGETS:
        found[f"step, {target}"], found[f"search, {target}"] = one_by_one(params, test, target)
    for target in TARGETS[1:]:
        chosen = by_direction(params, test.chosen_on, test, directions, target)
        told = directions[chosen.argmax(0)]
        found[f"told, {target}"] = by_direction(params, test.measured_on, test, told, target)[each, each]
        if target == "moved":
            added = directions[N_FEATURES + chosen[N_FEATURES:].argmax(0)]
            found["added, moved"] = by_direction(params, test.measured_on, test, added, target)[each, each]
    return jnp.stack([found[name] for name in MORE], 1) / test.radius**2


def predictors_of(params: Params, test: Test) -> dict[str, np.ndarray]:
    """What may explain the gains of a model; laws (weighting,) with the shares of units on of the half to choose on."""
    W, x = np.asarray(params.W, float), np.asarray(test.chosen_on, float)
    on = x @ W.T @ W + np.asarray(params.b) > 0
    missed = (x * ~on).mean(0)  # E[x_j; unit j off]
    found = superposition(jnp.asarray(W, jnp.float32))
    laws = {"law": [], "highest": [], "moved": [], "moved_highest": []}
    for weights in (np.ones(N_FEATURES), np.asarray(test.importance, float)):
        fixed = theory.one_feature_gains(W, weights * on.mean(0))
        moved = theory.moved_target_gains(W, on.mean(0), missed, float(test.radius), weights=weights)
        for name, values in (("law", fixed), ("moved", moved)):
            laws[name].append(values.mean())
            laws["highest" if name == "law" else "moved_highest"].append(values.max())
    return {
        "F": found.features_per_dimension,
        "spectral": np.linalg.norm(W, 2) ** 2,
        "dimensionality": found.dimensionality,
        "interference": found.interference,
        **laws,
    }


def ideal(test: Test) -> Params:
    """The model without superposition: the m most important features as they are, of the others the mean."""
    kept = jnp.arange(N_FEATURES) < N_HIDDEN
    return Params(jnp.eye(N_HIDDEN, N_FEATURES), jnp.where(kept, 0, test.mean))


def controls(params: Params, test: Test, shared: Test, *, key: jax.Array) -> dict[str, tuple[Params, Test]]:
    """The model and what it is compared with, each with what it is tested on."""
    keys = jax.random.split(key, 4)
    norms = jnp.linalg.norm(params.W, axis=0)
    random = jax.random.normal(keys[0], params.W.shape)
    random = norms[None] * random / jnp.linalg.norm(random, axis=0)[None]
    rows = jnp.linalg.qr(jax.random.normal(keys[1], params.W.T.shape))[0].T
    frame = jnp.sqrt(jnp.square(norms).sum() / N_HIDDEN) * rows
    turn = jnp.linalg.qr(jax.random.normal(keys[2], (N_FEATURES, N_FEATURES)))[0]
    order = jax.random.permutation(keys[3], N_FEATURES)

    def refitted(W: jax.Array, on: Test = test) -> tuple[Params, Test]:
        return Params(W, best_bias(W, on.chosen_on)), on

    made = (
        (params, test),
        refitted(params.W),
        refitted(random),
        refitted(frame),
        refitted(params.W @ turn.T),
        (Params(params.W[:, order], params.b[order]), test),
        (Params(params.W[:, order], params.b), test),
        refitted(params.W, shared),
        refitted(random, shared),
        refitted(frame, shared),
        (ideal(test), test),
    )
    return dict(zip(KINDS, made, strict=True))


def point(profile, seed, inverse_density, *, key, n_steps) -> dict:
    """All that is stored of the models of one profile and seed: a batch over the densities."""
    axes = sweeps.product(profile=profile, seed=seed, inverse_density=inverse_density).values()
    (profile,), (seed,), inverse_densities = axes
    profile = str(profile)
    key = jax.random.fold_in(key, list(PROFILES).index(profile))
    run = train(profile, seed, inverse_densities, key=key, n_steps=n_steps)
    shared = test_of(profile, seed, SHARED_INVERSE_DENSITY, key=key)
    rows = []
    for i, r in enumerate(inverse_densities):
        params = Params(jnp.asarray(run.params.W[i]), jnp.asarray(run.params.b[i]))
        test = test_of(profile, seed, float(r), key=key)
        k = jax.random.fold_in(keys_of(seed, key=key)[3], i)
        of_kind = [
            {**gains_of(*pair), **predictors_of(*pair)} for pair in controls(params, test, shared, key=k).values()
        ]
        row = {name: np.stack([np.asarray(each[name]) for each in of_kind]) for name in of_kind[0]}
        row |= {"W": params.W, "b": params.b, "empty": (~test.measured_on.any(1)).mean()}
        rows.append(row | {"more": jnp.stack([more_gains_of(model, test) for model in (params, ideal(test))])})
    dims = {
        "gain": ("kind", "weighting", "reading"),
        "more": ("model", "weighting", "further"),
        "W": ("hidden", "feature"),
        "b": ("feature",),
        "empty": (),
    }
    dims |= dict.fromkeys(("clean", "law", "highest", "moved", "moved_highest"), ("kind", "weighting"))
    return {
        name: (dims.get(name, ("kind",)), np.stack([np.asarray(row[name], np.float32) for row in rows]))
        for name in rows[0]
    } | {"diverged": run.diverged}


GRID = {"profile": list(PROFILES), "seed": list(range(SEEDS)), "inverse_density": list(INVERSE_DENSITIES)}


def explained(x: np.ndarray, y: np.ndarray) -> float:
    """R² of a line through all models, the squared correlation; x and y (density, model)."""
    return float(np.corrcoef(np.ravel(x), np.ravel(y))[0, 1] ** 2)


def explained_within(x: np.ndarray, y: np.ndarray) -> float:
    """The same of deviations from the means of each density."""
    return explained(*(np.asarray(v) - np.mean(v, axis=1, keepdims=True) for v in (x, y)))


def explained_left_out(x: np.ndarray, y: np.ndarray) -> float:
    """R² of the models of each density by a line through those of all others; below 0 if their mean does better."""
    x, y, missed, spread = np.asarray(x, float), np.asarray(y, float), 0.0, 0.0
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        line = np.polyfit(x[others].ravel(), y[others].ravel(), 1)
        missed += np.square(y[i] - np.polyval(line, x[i])).sum()
        spread += np.square(y[i] - y[others].mean()).sum()
    return float(1 - missed / spread)


PREDICTORS = {"F": "F", "largest σ²": "spectral", "mean D": "dimensionality", "largest |G|": "interference"}
PREDICTORS |= {"law, mean": "law", "law, largest": "highest", "law, moved": "moved"}
"""Name in a table -> variable. The laws are weighted where the outcome is."""
OUTCOMES = {"equal": (*(f"{name}, {t}" for name in ("V", "ascent") for t in TARGETS), "L′/L", "L′", "L")}
OUTCOMES["importance"] = ("V, fixed", "ascent, fixed", "L′")
"""Columns of a table, unweighted and weighted by importance; L′ is the loss under the attack of V, fixed."""
GROUPS = {"equal importance": ["equal"], "importance 0.9ⁱ": ["decaying"], "both": list(PROFILES)}


def arrays_of(data: Any) -> dict[str, np.ndarray]:
    """Every predictor and outcome of the trained models of a stored dataset, (weighting, profile, density, seed)."""
    trained, more = data.sel(kind="trained"), data.more.sel(model="trained", drop=True)
    squared = data.inverse_density.copy(data=[radius_of(float(r)) ** 2 for r in data.inverse_density])
    found = {name: trained[variable] for name, variable in PREDICTORS.items()}
    found |= {f"V, {t}": trained.gain.sel(reading=f"one feature, {t}") for t in TARGETS}
    found["ascent, fixed"] = trained.gain.sel(reading="search, fixed")
    found |= {f"ascent, {t}": more.sel(further=f"search, {t}") for t in TARGETS[1:]}
    attacked = trained.clean + squared * found["V, fixed"]
    found |= {"L′/L": attacked / trained.clean, "L′": attacked, "L": trained.clean}
    order = ("weighting", "profile", "inverse_density", "seed")
    return {
        name: (v if "weighting" in v.dims else v.expand_dims(weighting=list(WEIGHTINGS))).transpose(*order).values
        for name, v in found.items()
    }


def together(values: np.ndarray, group: str, weighting: str = "equal") -> np.ndarray:
    """The models of a group side by side, (density, model)."""
    of_profile = values[WEIGHTINGS.index(weighting)]
    return np.hstack([of_profile[list(PROFILES).index(name)] for name in GROUPS[group]])


def table(arrays: dict[str, np.ndarray], statistic: Callable[..., float]) -> dict[str, np.ndarray]:
    """A statistic of every predictor (rows) and outcome, unweighted and then weighted: name of a group -> numbers.

    With equal importance nothing is weighted: NaN.
    """
    asked = [(name, weighting) for weighting in WEIGHTINGS for name in OUTCOMES[weighting]]
    found = {group: np.full((len(PREDICTORS), len(asked)), np.nan) for group in GROUPS}
    for group, (i, predictor), (j, (name, weighting)) in product(GROUPS, enumerate(PREDICTORS), enumerate(asked)):
        if weighting == "equal" or GROUPS[group] != ["equal"]:
            x, y = (together(arrays[each], group, weighting) for each in (predictor, name))
            found[group][i, j] = statistic(x, y)
    return found


def main() -> None:
    """Sweep, and write what the notebook shows."""
    more = GRID | {"profile": ["equal"], "seed": list(AGAIN)}
    parts = []
    for grid, store in ((GRID, PATH.with_suffix(".zarr")), (more, PATH.with_name(f"{PATH.stem}_again.zarr"))):
        settings = {"key": jax.random.key(KEY), "n_steps": STEPS, "batch": len(INVERSE_DENSITIES)}
        with ThreadPoolExecutor(2) as executor:  # one batch trains while another is measured
            parts.append(sweeps.run(point, grid, store=store, executor=executor, **settings).load())
        if parts[-1].failed.any() or parts[-1].diverged.any():
            raise RuntimeError("all points must be computed, got failures or models that diverged; see the store")
    data, again = parts
    data = data.drop_vars(["failed", "diverged"])
    data = data.assign_coords(
        kind=list(KINDS),
        weighting=list(WEIGHTINGS),
        reading=list(READINGS),
        further=list(MORE),
        model=["trained", "no superposition"],
    )
    again = again.assign_coords(kind=list(KINDS)).sel(kind=list(MIXED), profile="equal", drop=True)
    again = again.rename(seed="again", kind="mixed")
    equal = {"weighting": 0, "drop": True}
    data["again_V"], data["again_F"] = again.gain.isel(reading=0, **equal), again.F
    data["again_law"] = again.highest.isel(**equal)
    for name in ("W", "b"):
        data[name] = data[name].sel(KEPT, drop=True).rename(inverse_density="kept_inverse_density")
    for name, text in _DESCRIPTIONS.items():
        data[name].attrs["description"] = text
    data.attrs |= {"command": "make results", "setting": _SETTING}
    scales = {name: float(np.abs(data[name]).max()) / 32767 for name in ("W", "b")}
    encoding = {
        name: {"dtype": "int16", "scale_factor": s, "_FillValue": np.int16(-32768)} for name, s in scales.items()
    }
    unfinished = PATH.with_suffix(".unfinished")
    data.to_netcdf(unfinished, engine="scipy", encoding=encoding)
    unfinished.replace(PATH)
    models = len(PROFILES) * SEEDS * len(INVERSE_DENSITIES)
    print(f"{PATH.name}: {models} models, {PATH.stat().st_size / 1024:,.0f} KiB")


_SETTING = (
    f"{N_FEATURES} features, {N_HIDDEN} dimensions, {STEPS} steps of fresh batches of {BATCH}, Adam from 0.01 down a "
    f"cosine; gains on {SAMPLES} samples, chosen on {SAMPLES} others, one by one on {EACH}; key {KEY}"
)
_DESCRIPTIONS = {
    "gain": "mean gain in error under attack over radius squared",
    "more": "the same under further attacks",
    "clean": "mean error without attack, weighted or not",
    "nonempty": "gain of one feature, fixed target, equal weights, over non-empty samples",
    "F": "squared Frobenius norm of W over its number of rows",
    "spectral": "squared largest singular value of W",
    "dimensionality": "mean dimensionality of the kept features",
    "interference": "largest entry of the Gram matrix off the diagonal, in size, over the largest squared norm",
    "law": "theory.one_feature_gains, weighted or not, mean over features; highest: the largest",
    "moved": "theory.moved_target_gains, weighted or not, mean over features; moved_highest: the largest",
    "again_V": "gain of one feature, fixed target, of other seeds; with their F and largest law",
    "empty": "share of empty samples among those measured on",
    "W": "weights of two models of seed 0, rounded to 16 bits",
    "b": "biases of the same, rounded to 16 bits",
}

if __name__ == "__main__":
    main()
