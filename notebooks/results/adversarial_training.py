"""Trains the full-size models of notebook 4 under attack and writes what became of them to adversarial_training_*.nc.

    make results        about XX minutes on 2 cores for this script; stopped, it goes on where it was when called again

Three labelled datasets (xarray.open_dataset), every model with 40 features of equal importance: `map` crosses what the
model trains on with seed, density and attack norm (8 hidden dimensions), `budget` repeats the paper's attack under
other schedules, `capacity` varies the number of hidden dimensions. A seed has initial weights, a data stream and test
samples of its own. Norms are fractions of the mean input norm E‖x‖. Attributes hold key, sizes and versions.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toylib import attacks, sweeps
from toylib.features import Independent
from toylib.model import Params, loss
from toylib.robustness import attacked_loss, superposition
from toylib.training import train_ensemble

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
    "worst feature, +": lambda params, x, radius, *, key: attacks.analytic(params, x, radius),
    "one step": attacks.one_step,
    "latent PGD": partial(attacks.latent, **_FEW),
    "noise": attacks.random_direction,
}
"""What a model can be trained on; latent PGD takes 5 steps from one random start."""
HALF_CLEAN = {f"{name}, half clean": name for name in ("random feature, +", "latent PGD")}
"""Half of the weight of the loss on clean samples, half on attacked ones."""
BATCH, STEPS = 256, 4000
STORED = ("random feature, +", "worst feature, +", "one step", "latent PGD", "noise")  # whose weights are kept, seed 0


def schedule(n_steps: int) -> optax.GradientTransformation:
    """Adam from a learning rate of 0.01 down a cosine to 0: fixed before the map was measured."""
    return optax.adam(optax.cosine_decay_schedule(0.01, n_steps))


FIXED = schedule(STEPS)
BUDGETS = {
    "0.001 constant, 4,000 steps": {"optimizer": optax.adam(0.001)},
    "0.001 constant, 16,000 steps": {"optimizer": optax.adam(0.001), "n_steps": 16_000},
    "0.01 cosine, 4,000 steps": {},
    "0.01 cosine, 16,000 steps": {"optimizer": schedule(16_000), "n_steps": 16_000},
    "0.01 cosine, 4,000 steps, norm ramped over half": {"ramp": STEPS // 2},
    "0.01 cosine, 4,000 steps, batch 1,024": {"batch_size": 1024},
}
"""Learning rate of Adam, number of steps, and what else differs."""


def train(seed: int, density: float, norms, attack: str | None, *, n_hidden: int = N_HIDDEN, **options):
    """Models of one seed and density, one for each norm: a Run with leading axis (norm,)."""
    k_init, k_data, _ = _keys(seed)
    settings = {"n_steps": STEPS, "batch_size": BATCH, "optimizer": FIXED} | options
    run = train_ensemble(
        FEATURES,
        [1 - density],
        k_init[None],
        n_hidden=n_hidden,
        data_key=k_data,
        snapshots=[settings["n_steps"]],
        perturb=ATTACKS[attack],
        radius=np.asarray(norms) * mean_norm(density),
        progress=False,
        **settings,
    )
    return run.member(0, slice(None), 0)


def measure(seed: int, density: float, norms, params: Params) -> dict[str, np.ndarray]:
    """All that is stored of the models of one seed and density, params (norm, ...), trained at these norms."""
    _, _, k_test = _keys(seed)
    x = FEATURES.sample(1 - density, SAMPLES, key=k_test)

    def under(fraction, model):
        return float(attacked_loss(model, x[:ATTACKED], float(fraction * mean_norm(density)), key=k_test))

    models = [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(len(norms))]
    return {
        **jax.vmap(superposition)(params.W)._asdict(),
        "clean_loss": [float(loss(model, x)) for model in models],
        "clean_loss_of_attacked": [under(0, model) for model in models],
        "loss_under_own_norm": [under(norm, model) for norm, model in zip(norms, models, strict=True)],
        "loss_under_reference": [[under(norm, model) for norm in REFERENCE_NORMS] for model in models],
    }


def point_of_map(training, seed, density, norm) -> dict[str, np.ndarray]:
    """What models trained on `training` (an attack, or half of one) become: a batch of one seed and density."""
    axes = sweeps.product(training=training, seed=seed, density=density, norm=norm)
    (training,), (seed,), (density,), norms = axes.values()
    mix = 0.5 if training in HALF_CLEAN else 1.0
    run = train(seed, density, norms, HALF_CLEAN.get(training, training), mix=mix)
    return _row(run, measure(seed, density, norms, run.params)) | {"W": run.params.W, "b": run.params.b}


def point_of_budget(budget, seed, density, norm) -> dict[str, np.ndarray]:
    """The same for the paper's attack, a random feature with sign +, under another schedule."""
    axes = sweeps.product(budget=budget, seed=seed, density=density, norm=norm)
    (budget,), (seed,), (density,), norms = axes.values()
    run = train(seed, density, norms, "random feature, +", **BUDGETS[budget])
    return _row(run, measure(seed, density, norms, run.params))


def point_of_capacity(training, n_hidden, seed, density, norm) -> dict[str, np.ndarray]:
    """The same for another number of hidden dimensions."""
    axes = sweeps.product(training=training, n_hidden=n_hidden, seed=seed, density=density, norm=norm)
    (training,), (n_hidden,), (seed,), (density,), norms = axes.values()
    run = train(seed, density, norms, training, n_hidden=int(n_hidden))
    return _row(run, measure(seed, density, norms, run.params))


def mean_norm(density: float) -> float:
    """E‖x‖ over all inputs, empty ones included."""
    return float(FEATURES.mean_norm(1 - density))


def _keys(seed: int) -> jax.Array:
    """For the initial weights and attacks, the data stream, and the test."""
    return jax.random.split(jax.random.fold_in(jax.random.key(KEY), int(seed)), 3)


def _row(run, columns: dict) -> dict[str, np.ndarray]:
    return {k: np.asarray(v, np.float32) for k, v in columns.items()} | {"diverged": run.diverged}
