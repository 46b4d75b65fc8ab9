"""Trains the full-size models of notebook 4 under attack and writes what became of them to adversarial_training_*.nc.

    make results        half an hour on 2 cores for this script; stopped, it goes on where it was when called again

Four labelled datasets (xarray.open_dataset), every model with 40 features of equal importance: `map` crosses what the
model trains on with seed, density and attack norm (8 hidden dimensions), `budget` repeats the paper's attack under
other schedules, `capacity` varies the number of hidden dimensions, `release` attacks a trained model and then stops. A
seed has initial weights, a data stream and test samples of its own. Norms are fractions of the mean input norm E‖x‖.
Attributes hold key, sizes and versions.
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
from toylib.robustness import attacked_loss, superposition
from toylib.training import Run, train_ensemble

KEY = 2209
N_FEATURES, N_HIDDEN = 40, 8
FEATURES = Independent(N_FEATURES)
SEEDS = range(8)
DENSITIES = (0.3, 0.1, 0.05, 0.03, 0.01)
NORMS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
REFERENCE_NORMS = (0.1, 0.4)  # of the attacks that all models are compared under
SAMPLES, ATTACKED = 8192, 256  # of the test: for the clean loss, and for that under attack

_FEW = {"n_steps": 5, "restarts": 1, "starts": ("random",)}
ATTACKS = {
    "random feature, +": attacks.random_feature,
    "random feature, ±": partial(attacks.random_feature, signs="±"),
    "worst feature, +": attacks.analytic,
    "one step": attacks.one_step,
    "latent PGD": partial(attacks.latent, **_FEW),
    "noise": attacks.random_direction,
}
"""What a model can be trained on; latent PGD takes 5 steps from one random start."""
LEGS = ("plain", "attacked", "released")
HALF_CLEAN = {f"{name}, half clean": name for name in ("random feature, +", "latent PGD")}
"""Half of the weight of the loss on clean samples, half on attacked ones."""
FIXED = {"key": jax.random.key(KEY), "n_steps": 4000, "batch_size": 256}
STORED = ("random feature, +", "worst feature, +", "one step", "latent PGD", "noise")  # whose weights are kept, seed 0


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


def measure(seed: int, density: float, norms, run, *, key) -> dict:
    """All that is stored of the models of one seed and density, a run (norm,) trained at these norms."""
    _, _, k_test = _keys(key, seed)
    x = FEATURES.sample(1 - density, SAMPLES, key=k_test)

    def under(fraction, model):
        return float(attacked_loss(model, x[:ATTACKED], float(fraction * mean_norm(density)), key=k_test))

    models = [Params(W, b) for W, b in zip(*run.params, strict=True)]
    row = {
        **jax.vmap(superposition)(run.params.W)._asdict(),
        "clean_loss": [loss(model, x) for model in models],
        "clean_loss_of_attacked": [loss(model, x[:ATTACKED]) for model in models],
        "loss_under_own_norm": [under(norm, model) for norm, model in zip(norms, models, strict=True)],
        "loss_under_reference": [[under(norm, model) for norm in REFERENCE_NORMS] for model in models],
    }
    row = {name: np.asarray(values, np.float32) for name, values in row.items()}
    row["loss_under_reference"] = (("reference_norm",), row["loss_under_reference"])
    return row | {"diverged": run.diverged}


def point_of_map(training, seed, density, norm, *, key, **settings) -> dict:
    """What models trained on `training` (an attack, or half of one) become: a batch of one seed and density."""
    axes = sweeps.product(training=training, seed=seed, density=density, norm=norm)
    (training,), (seed,), (density,), norms = axes.values()
    mix = 0.5 if training in HALF_CLEAN else 1.0
    run = train(seed, density, norms, HALF_CLEAN.get(training, training), mix=mix, key=key, **settings)
    weights = {"W": (("hidden", "feature"), run.params.W), "b": (("feature",), run.params.b)}
    return measure(seed, density, norms, run, key=key) | weights


def point_of_budget(budget, seed, density, norm, *, key, **settings) -> dict:
    """The same for the paper's attack, a random feature with sign +, under another schedule."""
    axes = sweeps.product(budget=budget, seed=seed, density=density, norm=norm)
    (budget,), (seed,), (density,), norms = axes.values()
    run = train(seed, density, norms, "random feature, +", key=key, **settings | BUDGETS[budget])
    return measure(seed, density, norms, run, key=key)


def point_of_capacity(training, n_hidden, seed, density, norm, *, key, **settings) -> dict:
    """The same for another number of hidden dimensions."""
    axes = sweeps.product(training=training, n_hidden=n_hidden, seed=seed, density=density, norm=norm)
    (training,), (n_hidden,), (seed,), (density,), norms = axes.values()
    run = train(seed, density, norms, training, n_hidden=int(n_hidden), key=key, **settings)
    return measure(seed, density, norms, run, key=key)


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
    found = jax.vmap(jax.vmap(jax.vmap(superposition)))(W)
    similarity = jax.vmap(interference_similarity)(W[:, 2, -1], W[:, 0, -1])
    of_leg = {name: (("leg", "snapshot"), np.asarray(values, np.float32)) for name, values in found._asdict().items()}
    losses = np.stack([run.losses for run in legs], axis=1)
    return of_leg | {
        "population_loss": (("leg", "snapshot"), losses),
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
            "training": [*ATTACKS, *HALF_CLEAN],
            "seed": list(SEEDS),
            "density": DENSITIES,
            "norm": (NORMS, {"units": "E‖x‖"}),
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
    "capacity": (
        point_of_capacity,
        {
            "training": ["random feature, +", "one step"],
            "n_hidden": (4, 8, 16, 24, 40, 60),
            "seed": list(SEEDS),
            "density": (0.1, 0.03),
            "norm": ((0, 0.1, 0.2, 0.4, 0.8), {"units": "E‖x‖"}),
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
}


def path(name: str) -> Path:
    """Of the stored dataset."""
    return Path(__file__).with_name(f"{Path(__file__).stem}_{name}.nc")


def main() -> None:
    """Sweep, and write what the notebook shows."""
    for name, (function, grid) in SWEEPS.items():
        store, size = path(name).with_suffix(".zarr"), len(grid["norm"][0])
        with ThreadPoolExecutor(2) as executor:  # one batch trains while another is measured
            data = sweeps.run(function, grid, store=store, batch=size, executor=executor, **FIXED).load()
        models = int(np.prod([data.sizes[axis] for axis in grid]))
        shown = data.drop_vars([key for key in ("W", "b") if key in data])
        if name == "map":
            weights = data[["W", "b"]].sel(training=list(STORED), seed=0, drop=True)
            shown = shown.merge(weights.rename(training="stored"))
        elif name == "release":
            shown["W"] = data.W.sel(training="random feature, +", seed=0, density=0.1, norm=1.0, drop=True)
            shown = shown.assign_coords(snapshot=leg_steps(FIXED["n_steps"]), leg=list(LEGS))
        if "reference_norm" in shown.dims:
            shown = shown.assign_coords(reference_norm=list(REFERENCE_NORMS))
        for variable in shown.data_vars:
            shown[variable].attrs["description"] = _DESCRIPTIONS[variable]
        shown = shown.assign({key: shown[key].astype(np.int8) for key in ("failed", "diverged")})
        shown.attrs |= {"command": "make results", "setting": _SETTING}
        unfinished = path(name).with_suffix(".unfinished")
        shown.to_netcdf(unfinished, engine="scipy")
        unfinished.replace(path(name))
        print(f"{path(name).name}: {models:,} models, {path(name).stat().st_size / 1024:,.0f} KiB")


_SETTING = (
    f"{N_FEATURES} features, {N_HIDDEN} hidden dimensions, fresh batches, Adam from 0.01 down a cosine, where not said "
    f"otherwise; tests on {SAMPLES} samples, under attack {ATTACKED}"
)
_DESCRIPTIONS = {
    "W": "weights of the models of seed 0",
    "b": "biases of the models of seed 0",
    "diverged": "whether training left the finite numbers",
    "failed": "whether the point could not be computed",
    "population_loss": "loss on the population nodes",
    "returned": "cosine between the interferences at the end of the first and of the last leg",
    "features_per_dimension": "squared Frobenius norm of W over its number of rows",
    "kept": "number of features with a norm above 0.5",
    "dimensionality": "mean dimensionality of the kept features, 0 where none is",
    "interference": "largest entry of the Gram matrix off the diagonal, in size",
    "mean_interference": "mean size of the entries of the Gram matrix between kept features",
    "effective": "exp of the entropy of the shares of the squared norms",
    "clean_loss": "loss on test samples",
    "clean_loss_of_attacked": "loss on those test samples that are attacked",
    "loss_under_own_norm": "loss under the strongest gradient attack, of the norm of the training",
    "loss_under_reference": "loss under the strongest gradient attack, norms 0.1 and 0.4 E|x|",
}

if __name__ == "__main__":
    main()
