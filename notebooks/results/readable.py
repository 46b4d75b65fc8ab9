"""Trains models under attack and clean models that lose as much, for notebook 6, and writes readable.nc.

    make results        about 20 minutes of one core for this script; stopped, it goes on where it was when called again

A labelled dataset (xarray.open_dataset) over seed, density and model; all have 40 features and the schedule of
adversarial_training.py. A seed has initial weights, data streams and test samples of its own; all models of a seed
and density are measured on the same samples. `family` and `setting` say what a model is:

- "fewer features": clean, 8 hidden dimensions, trained on so many features alone; the others have no weight and the
  best constant as bias. 40 is the plain model.
- "other dimensions": clean, all features in so many hidden dimensions.
- "stopped early": the plain model after so many of its 4,000 steps.
- "k features, shrunk": s·W of the model of k features, its bias moved to the best constant p/2 as s² falls from 1;
  setting s.
- the names of attacks of adversarial_training.py: trained under this attack; setting its norm over E‖x‖.

Losses under attack are those of the strongest attack by gradients, on inputs that are not empty, and on the empty one;
`empty` is the share of empty inputs. W and b are there for the first seed at the first density, rounded to 16 bits.
Attributes hold key, sizes and versions.
"""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from results import adversarial_training as shared
from results.adversarial_training import FEATURES, N_FEATURES, N_HIDDEN, cosine_adam, mean_norm, rounding
from toylib import sweeps
from toylib.features import Independent
from toylib.model import Params, loss
from toylib.robustness import KEPT, attacked_loss, monosemanticity, probe, rotated, saving, superposition
from toylib.training import train_ensemble

KEY, TEST_KEY = 20_261_231, 20_261_232
SEEDS, DENSITIES = range(20), (0.1, 0.03)
FEWER, DIMENSIONS, STOPS = (4, 8, 10, 12, 14, 16, 18, 20, 24, 28, N_FEATURES), (4, 12), (20, 50, 100, 200)
SHRUNK, FROM = (0.95, 0.9, 0.8, 0.65), (8, 16, 20, 28, N_FEATURES)
TRAININGS = {
    "random feature, +": (0.2, 0.4, 0.6, 0.8, 1.0),
    "one step": (0.1, 0.2, 0.3, 0.4, 0.6),
    "noise in the row space": (0.2, 0.4, 0.6),
}
NORM = 0.4  # of the attack that all models are compared under
FITTED, PROBED, NOT_EMPTY, TESTED, ATTACKED = 8192, 8192, 4096, 16_384, 256
FAMILIES = {
    "fewer features": FEWER,
    "other dimensions": DIMENSIONS,
    "stopped early": STOPS,
    **{f"{k} features, shrunk": SHRUNK for k in FROM},
    **TRAININGS,
}
"""Family -> settings."""
MODELS = {f"{family}: {setting:g}": (family, setting) for family, settings in FAMILIES.items() for setting in settings}
FIXED = {"key": jax.random.key(KEY), "test_key": jax.random.key(TEST_KEY), "n_steps": 4000, "batch_size": 256}
PATH = Path(__file__).with_suffix(".nc")


def point(seed, density, model, *, key, test_key, n_steps, batch_size) -> dict:
    """What one seed's models at one density are worth and how well they are read: a batch has all of them."""
    axes = sweeps.product(seed=seed, density=density, model=model)
    (seed,), (density,), names = axes.values()
    made = models(int(seed), float(density), key=key, n_steps=n_steps, batch_size=batch_size)
    inputs = samples(int(seed), float(density), test_key)
    rows = [measure(made[MODELS[str(name)]], float(density), inputs, test_key) for name in names]
    found = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}
    W = np.zeros((len(names), max(DIMENSIONS), N_FEATURES), np.float32)
    for into, name in zip(W, names, strict=True):
        into[: len(made[MODELS[str(name)]].W)] = made[MODELS[str(name)]].W
    b = np.stack([made[MODELS[str(name)]].b for name in names])
    return found | {"W": (("hidden", "feature"), W), "b": (("feature",), b)}


def models(seed: int, density: float, *, key, n_steps: int, batch_size: int) -> dict[tuple[str, float], Params]:
    """Every model of a seed and density, by family and setting."""
    clean = partial(trained, seed, density, key=key, n_steps=n_steps, batch_size=batch_size)
    made = {}
    for k in FEWER:
        snapshots = [*STOPS, n_steps] if k == N_FEATURES else [n_steps]
        run = clean(n_features=k, snapshots=snapshots)
        for step, W, b in zip(run.steps, run.weights, run.biases, strict=True):
            rest = N_FEATURES - k
            padded = Params(
                jnp.pad(W, ((0, 0), (0, rest))), jnp.pad(b, (0, rest), constant_values=np.float32(density / 2))
            )
            made["fewer features", k] = padded  # the last step stays
            if step in STOPS:
                made["stopped early", int(step)] = padded
    for k, s in product(FROM, SHRUNK):
        W, b = made["fewer features", k]
        made[f"{k} features, shrunk", s] = Params(s * W, s**2 * b + (1 - s**2) * density / 2)
    for m in DIMENSIONS:
        run = clean(n_features=N_FEATURES, n_hidden=m, snapshots=[n_steps])
        made["other dimensions", m] = Params(*run.params)
    for training, norms in TRAININGS.items():
        options = {"key": key, "n_steps": n_steps, "batch_size": batch_size, "scale": 0.1}
        run = shared.train(seed, density, norms, training, **options)
        made |= {(training, norm): Params(run.params.W[i], run.params.b[i]) for i, norm in enumerate(norms)}
    return made


def trained(seed: int, density: float, *, n_features: int, key, n_steps, batch_size, snapshots, n_hidden=N_HIDDEN):
    """A clean run of one seed, on so many features in so many dimensions; every size has streams of its own."""
    of_size = jax.random.fold_in(key, 100 * n_features + n_hidden)
    k_init, k_data = jax.random.split(jax.random.fold_in(of_size, seed))
    return train_ensemble(
        Independent(n_features),
        [1 - density],
        k_init[None],
        n_hidden=n_hidden,
        n_steps=n_steps,
        data_key=k_data,
        batch_size=batch_size,
        scale=0.1,
        optimizer=partial(cosine_adam, n_steps=n_steps),
        learning_rate=0.01,
        snapshots=snapshots,
        progress=False,
    ).member(0, 0)


def samples(seed: int, density: float, key: jax.Array) -> dict[str, jax.Array]:
    """Inputs of a seed and density, for all its models: to fit and measure probes, for the clean loss, to attack."""
    sizes = {"fitted": FITTED, "probed": PROBED, "tested": TESTED, "attacked": 16 * ATTACKED}
    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, seed), round(1000 * density)), len(sizes))
    drawn = {
        name: FEATURES.sample(1 - density, size, key=k) for (name, size), k in zip(sizes.items(), keys, strict=True)
    }
    full = {name: x[np.asarray((x > 0).any(1))] for name, x in drawn.items()}
    return drawn | {"attacked": full["attacked"][:ATTACKED], "probed, not empty": full["probed"][:NOT_EMPTY]}


def measure(model: Params, density: float, inputs: dict[str, jax.Array], key: jax.Array) -> dict[str, float]:
    """All that is stored of a model but its weights."""
    found, radius = superposition(model.W), NORM * mean_norm(density)
    kept = np.linalg.norm(model.W, axis=0) > KEPT * float(found.longest)
    read, nonempty = (probe(model, inputs["fitted"], inputs[name]) for name in ("probed", "probed, not empty"))
    turned, unturned = rotated(model.W, key=key), turned_at_random(model.W, key)
    x, nothing = inputs["attacked"], jnp.zeros((1, N_FEATURES))
    return found._asdict() | {
        "clean_loss": loss(model, inputs["tested"]),
        "saving": saving(model, inputs["tested"], 1 - density),
        "auc": read.auc.mean(),
        "auc_kept": read.auc[kept].mean(),
        "auc_not_empty": nonempty.auc.mean(),
        "auc_kept_not_empty": nonempty.auc[kept].mean(),
        "explained": read.explained.mean(),
        "explained_kept": read.explained[kept].mean(),
        "monosemanticity": monosemanticity(turned),
        "monosemanticity_by_chance": monosemanticity(unturned),
        "attacked_loss": attacked_loss(model, x, radius, key=key),
        "clean_loss_of_attacked": loss(model, x),
        "attacked_loss_empty": attacked_loss(model, nothing, radius, key=key),
        "clean_loss_empty": loss(model, nothing),
    }


def turned_at_random(W: jax.Array, key: jax.Array) -> jax.Array:
    """R·W with a rotation at random, the same for all models of one size."""
    return jnp.linalg.qr(jax.random.normal(key, (len(W), len(W))))[0] @ W


def main() -> None:
    """Sweep, and write what the notebook shows."""
    grid: dict[str, Any] = {"seed": list(SEEDS), "density": list(DENSITIES), "model": list(MODELS)}
    data = sweeps.run(point, grid, store=PATH.with_suffix(".zarr"), batch=len(MODELS), **FIXED).load()
    empty = [(1 - p) ** N_FEATURES for p in DENSITIES]
    family, setting = zip(*MODELS.values(), strict=True)
    data = data.assign_coords(
        family=("model", list(family)), setting=("model", np.array(setting, float)), empty=("density", empty)
    )
    data = data.assign({name: data[name].isel(seed=0, density=0, drop=True) for name in ("W", "b")}).drop_vars("failed")
    for name in data.data_vars:
        data[name].attrs["description"] = _DESCRIPTIONS[name]
    data.attrs |= {"command": "make results", "setting": _SETTING}
    unfinished = PATH.with_suffix(".unfinished")
    data.to_netcdf(unfinished, engine="scipy", encoding={name: rounding(data[name].values) for name in ("W", "b")})
    unfinished.replace(PATH)
    models_in_all = len(MODELS) * len(SEEDS) * len(DENSITIES)
    print(f"{PATH.name}: {models_in_all:,} models, {PATH.stat().st_size / 1024:,.0f} KiB")


_SETTING = (
    f"{N_FEATURES} features, {N_HIDDEN} hidden dimensions where not said otherwise; probes fitted on {FITTED} samples "
    f"and measured on {PROBED} others, clean losses on {TESTED}, attacks of norm {NORM} E|x| on {ATTACKED} not empty"
)
_DESCRIPTIONS = shared._DESCRIPTIONS | {
    "clean_loss": "loss on test samples",
    "auc": "area under the curve of a linear probe of whether a feature is active, mean over all features",
    "auc_kept": "the same, mean over the kept features",
    "auc_not_empty": "as auc, on samples that are not empty",
    "auc_kept_not_empty": "as auc_kept, on samples that are not empty",
    "explained": "R squared of a linear probe of the value of a feature, mean over all features",
    "explained_kept": "the same, mean over the kept features",
    "monosemanticity": "share of the squared weight in the top feature of its unit, after varimax",
    "monosemanticity_by_chance": "the same after a rotation at random",
    "attacked_loss": "loss under the strongest gradient attack, on inputs that are not empty",
    "clean_loss_of_attacked": "clean loss on the same inputs",
    "attacked_loss_empty": "loss under the strongest gradient attack on the empty input",
    "clean_loss_empty": "clean loss on the empty input",
}

if __name__ == "__main__":
    main()
