"""Trains the full-size models of notebook 4 under attack and writes what became of them to adversarial_training_*.nc.

    make results        an hour of one core for this script; stopped, it goes on where it was when called again

Labelled datasets (xarray.open_dataset), every model with 40 features: `map` crosses what the model trains on with seed,
density and attack norm (8 hidden dimensions, equal importance), `seeds` has eight more seeds of the paper's attack and
of its control, `mixture` trains on half clean samples, `budget` repeats the paper's attack under other schedules,
`capacity` varies the number of hidden dimensions, with decaying importance, `release` attacks a trained model and then
stops. A seed has initial weights, a data stream and test samples of its own. Norms are fractions of the mean input norm
E‖x‖. Weights are rounded to 16 bits. Attributes hold key, sizes and versions.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from toylib import attacks, sweeps
from toylib.features import Independent
from toylib.geometry import interference_similarity
from toylib.model import Params, loss
from toylib.robustness import attacked_loss, saving, superposition
from toylib.training import Run, train_ensemble

KEY = 2211
N_FEATURES, N_HIDDEN = 40, 8
FEATURES = Independent(N_FEATURES)
SEEDS, MORE_SEEDS = range(8), range(8, 16)
DENSITIES = (0.3, 0.1, 0.05, 0.03, 0.01)
NORMS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
REFERENCE_NORM = 0.4  # of the attack that all models are compared under
SAMPLES, ATTACKED = 8192, 256  # of the test: for the clean loss, and for that under attack

_FEW = {"n_steps": 5, "restarts": 1, "starts": ("random",)}
ATTACKS = {
    "random feature, +": attacks.random_feature,
    "random feature, ±": partial(attacks.random_feature, signs="±"),
    "worst feature, +": attacks.analytic,
    "one step": attacks.one_step,
    "latent PGD": partial(attacks.latent, **_FEW),
    "noise": attacks.random_direction,
    "noise in the row space": partial(attacks.random_direction, row_space=True),
}
"""What a model can be trained on; latent PGD takes 5 steps from one random start."""
LEGS = ("plain", "attacked", "released")
HALF_CLEAN = {f"{name}, half clean": name for name in ("random feature, +", "latent PGD")}
"""Half of the weight of the loss on clean samples, half on attacked ones."""
FIXED = {"key": jax.random.key(KEY), "n_steps": 4000, "batch_size": 256, "scale": 0.1}
CONTROLLED = ("random feature, +", "noise in the row space")
"""The paper's attack, and its control: directions as long, and as visible to the model, but chosen at random."""
IMPORTANCE = 0.9 ** np.arange(N_FEATURES)
"""Of the sweep `capacity`: with equal importance all features count alike wherever there is room, and none can rise."""


def cosine_adam(learning_rate: Any, n_steps: int) -> optax.GradientTransformation:
    """Adam from a learning rate down a cosine to 0; from 0.01, fixed before the map was measured."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, n_steps))


BUDGETS = {
    "0.001 constant, 4,000 steps": {"optimizer": optax.adam, "learning_rate": 0.001},
    "0.001 constant, 16,000 steps": {"optimizer": optax.adam, "learning_rate": 0.001, "n_steps": 16_000},
    "0.01 cosine, 4,000 steps": {},
    "0.01 cosine, 16,000 steps": {"n_steps": 16_000},
    "0.01 cosine, 4,000 steps, norm ramped over half": {"ramp": 2000},
    "0.01 cosine, 4,000 steps, batch 1,024": {"batch_size": 1024},
}
"""Learning rate of Adam, number of steps, and what else differs."""


def train(
    seed: int,
    density: float,
    norms,
    attack: str,
    *,
    key,
    n_steps,
    n_hidden: int = N_HIDDEN,
    optimizer: Callable | None = None,
    learning_rate: float = 0.01,
    start: Params | None = None,
    snapshots: Sequence[int] | None = None,
    **options: Any,
) -> Run:
    """Models of one seed and density, one for each norm: a Run with leading axis (norm,); `start` has it too."""
    k_init, k_data, _ = _keys(key, seed)
    run = train_ensemble(
        FEATURES,
        [1 - density],
        k_init[None],
        n_hidden=n_hidden,
        n_steps=n_steps,
        data_key=k_data,
        start=None if start is None else jax.tree.map(lambda leaf: leaf[None, :, None], start),
        optimizer=optimizer or partial(cosine_adam, n_steps=n_steps),
        learning_rate=learning_rate,
        snapshots=[n_steps] if snapshots is None else snapshots,
        perturb=ATTACKS[attack],
        radius=np.asarray(norms) * mean_norm(density),
        progress=False,
        **options,
    )
    return run.member(0, slice(None), 0)


def measure(seed: int, density: float, run, *, key) -> dict:
    """All that is stored of the models of one seed and density but their weights, a run (norm,)."""
    _, _, k_test = _keys(key, seed)
    x = FEATURES.sample(1 - density, SAMPLES, key=k_test)

    models, radius = [Params(W, b) for W, b in zip(*run.params, strict=True)], REFERENCE_NORM * mean_norm(density)
    row = {
        **jax.vmap(superposition)(run.params.W)._asdict(),
        "saving": [saving(model, x, 1 - density) for model in models],
        "clean_loss": [loss(model, x) for model in models],
        "attacked_loss": [attacked_loss(model, x[:ATTACKED], radius, key=k_test) for model in models],
        "clean_loss_of_attacked": [loss(model, x[:ATTACKED]) for model in models],
    }
    return {name: np.asarray(values, np.float32) for name, values in row.items()} | {"diverged": run.diverged}


def point_of_map(training, seed, density, norm, *, key, **settings) -> dict:
    """What models trained on `training` (an attack, or half of one) become: a batch of one seed and density."""
    axes = sweeps.product(training=training, seed=seed, density=density, norm=norm)
    (training,), (seed,), (density,), norms = axes.values()
    mix = 0.5 if training in HALF_CLEAN else 1.0
    run = train(seed, density, norms, HALF_CLEAN.get(training, training), mix=mix, key=key, **settings)
    weights = {"W": (("hidden", "feature"), run.params.W), "b": (("feature",), run.params.b)}
    return measure(seed, density, run, key=key) | weights


def point_of_budget(budget, seed, density, norm, *, key, **settings) -> dict:
    """The same for the paper's attack, a random feature with sign +, under another schedule."""
    axes = sweeps.product(budget=budget, seed=seed, density=density, norm=norm)
    (budget,), (seed,), (density,), norms = axes.values()
    run = train(seed, density, norms, "random feature, +", key=key, **settings | BUDGETS[budget])
    return measure(seed, density, run, key=key)


def point_of_capacity(training, n_hidden, seed, density, norm, *, key, **settings) -> dict:
    """The same for another number of hidden dimensions."""
    axes = sweeps.product(training=training, n_hidden=n_hidden, seed=seed, density=density, norm=norm)
    (training,), (n_hidden,), (seed,), (density,), norms = axes.values()
    settings |= {"n_hidden": int(n_hidden), "importance": IMPORTANCE}
    run = train(seed, density, norms, training, key=key, **settings)
    return measure(seed, density, run, key=key)


def point_of_release(training, seed, density, norm, *, key, n_steps, **settings) -> dict:
    """Three legs of n_steps each: plain training, under attack from there on, and plain again."""
    axes = sweeps.product(training=training, seed=seed, density=density, norm=norm)
    (training,), (seed,), (density,), norms = axes.values()
    settings |= {"key": key, "n_steps": n_steps, "snapshots": leg_steps(n_steps)}
    legs, start = [], None
    for leg, fractions in enumerate((np.zeros(len(norms)), norms, np.zeros(len(norms)))):
        # Seeds above all others give each leg batches of its own.
        legs.append(train(int(seed) + 1000 * leg, density, fractions, training, start=start, **settings))
        start = legs[-1].params
    W = np.stack([run.weights for run in legs], axis=1)
    ends = jax.vmap(jax.vmap(superposition))(W[:, :, -1])._asdict()
    x = FEATURES.sample(1 - density, SAMPLES, key=_keys(key, seed)[2])
    kept = [[saving(Params(*model), x, 1 - density) for model in zip(*run.params, strict=True)] for run in legs]
    similarity = jax.vmap(interference_similarity)(W[:, 2, -1], W[:, 0, -1])
    return {name: (("leg",), np.asarray(values, np.float32)) for name, values in ends.items()} | {
        "saving": (("leg",), np.asarray(kept, np.float32).T),
        "course": (("leg", "snapshot"), np.asarray(np.square(W).sum((-2, -1)) / W.shape[-2], np.float32)),
        "returned": np.asarray(similarity),
        "W": (("leg", "snapshot", "hidden", "feature"), W),
        "diverged": np.any([run.diverged for run in legs], axis=0),
    }


def leg_steps(n_steps: int) -> np.ndarray:
    """Steps of a leg at which it is looked at."""
    return np.unique([0, *np.geomspace(10, n_steps, 23).astype(int)])


def mean_norm(density: float) -> float:
    """E‖x‖ over all inputs, empty ones included."""
    return float(FEATURES.mean_norm(1 - density))


def _keys(key: jax.Array, seed: int) -> jax.Array:
    """For the initial weights and attacks, the data stream, and the test."""
    return jax.random.split(jax.random.fold_in(key, int(seed)), 3)


SWEEPS = {
    "map": (
        point_of_map,
        {
            "training": list(ATTACKS),
            "seed": list(SEEDS),
            "density": DENSITIES,
            "norm": (NORMS, {"units": "E‖x‖"}),
        },
    ),
    "seeds": (
        point_of_map,
        {
            "training": list(CONTROLLED),
            "seed": list(MORE_SEEDS),
            "density": DENSITIES,
            "norm": (NORMS, {"units": "E‖x‖"}),
        },
    ),
    "release": (
        point_of_release,
        {
            "training": ["random feature, +", "one step"],
            "seed": list(SEEDS),
            "density": (0.1, 0.03),
            "norm": ((0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5), {"units": "E‖x‖"}),
        },
    ),
    "capacity": (
        point_of_capacity,
        {
            "training": ["random feature, +", "one step"],
            "n_hidden": (4, 8, 12, 16, 24, 32),
            "seed": list(SEEDS),
            "density": (0.3, 0.1),
            "norm": ((0, 0.1, 0.2, 0.4), {"units": "E‖x‖"}),
        },
    ),
    "budget": (
        point_of_budget,
        {
            "budget": list(BUDGETS),
            "seed": list(SEEDS),
            "density": (0.1, 0.05),
            "norm": ((0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5), {"units": "E‖x‖"}),
        },
    ),
    "mixture": (
        point_of_map,
        {
            "training": list(HALF_CLEAN),
            "seed": list(SEEDS),
            "density": DENSITIES,
            "norm": (NORMS, {"units": "E‖x‖"}),
        },
    ),
}


def path(name: str) -> Path:
    """Of the stored dataset."""
    return Path(__file__).with_name(f"{Path(__file__).stem}_{name}.nc")


def rounding(values: np.ndarray) -> dict[str, Any]:
    """How xarray stores an array in 16 bits: whole numbers times a scale, at most half a scale from the exact ones.

    What is not finite, of a model that diverged, is stored as NaN.
    """
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    return {"dtype": "int16", "scale_factor": float(largest) / 32767 or 1.0, "_FillValue": np.int16(-32768)}


def main() -> None:
    """Sweep, and write what the notebook shows."""
    for name, (function, grid) in SWEEPS.items():
        store, size = path(name).with_suffix(".zarr"), len(grid["norm"][0])
        with ThreadPoolExecutor(2) as executor:  # one batch trains while another is measured
            data = sweeps.run(function, grid, store=store, batch=size, executor=executor, **FIXED).load()
        models = int(np.prod([data.sizes[axis] for axis in grid]))
        shown = data
        if name == "release":
            shown["W"] = data.W.sel(training="random feature, +", seed=0, density=0.1, norm=1.0, drop=True)
            shown = shown.assign_coords(snapshot=leg_steps(FIXED["n_steps"]), leg=list(LEGS))
        for variable in shown.data_vars:
            shown[variable].attrs["description"] = _DESCRIPTIONS[variable]
        shown = shown.assign({key: shown[key].astype(np.int8) for key in ("failed", "diverged")})
        shown.attrs |= {"command": "make results", "setting": _SETTING}
        unfinished = path(name).with_suffix(".unfinished")
        rounded = {key: rounding(shown[key].values) for key in ("W", "b") if key in shown}
        shown.to_netcdf(unfinished, engine="scipy", encoding=rounded)
        unfinished.replace(path(name))
        print(f"{path(name).name}: {models:,} models, {path(name).stat().st_size / 1024:,.0f} KiB")


_SETTING = (
    f"{N_FEATURES} features, {N_HIDDEN} hidden dimensions, fresh batches, Adam from 0.01 down a cosine, where not said "
    f"otherwise; tests on {SAMPLES} samples, under attack {ATTACKED}"
)
_DESCRIPTIONS = {
    "W": "weights, rounded to 16 bits",
    "b": "biases, rounded to 16 bits",
    "diverged": "whether training left the finite numbers",
    "failed": "whether the point could not be computed",
    "course": "squared Frobenius norm of W over its number of rows, along training",
    "returned": "cosine between the interferences at the end of the first and of the last leg",
    "features_per_dimension": "squared Frobenius norm of W over its number of rows",
    "longest": "largest norm of a feature",
    "kept": "number of features with a norm above half of the longest",
    "dimensionality": "mean dimensionality of the kept features, 0 where none is",
    "interference": "largest entry of the Gram matrix off the diagonal, in size, over the largest squared norm",
    "mean_interference": "mean size of the entries of the Gram matrix between kept features, relative likewise",
    "effective": "exp of the entropy of the shares of the squared norms",
    "saving": "share of the saving of the ideal model that is kept, on test samples",
    "clean_loss": "loss on test samples",
    "clean_loss_of_attacked": "loss on those test samples that are attacked",
    "attacked_loss": "loss under the strongest gradient attack, norm 0.4 E|x|",
}

if __name__ == "__main__":
    main()
