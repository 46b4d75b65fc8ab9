"""Time per model-step of training under attack, beside plain training of as many models in the same rounds.

The design is that of notebook 4, n = 40, m = 8, batch 256, Adam, with ten norms; plain training has as many models,
with other seeds instead. So many of either train together in one thread and share their samples, and nothing but the
attack differs. (From sixteen on the attacked ones are parted in two threads, and plain ones are not yet.)

A plain model-step is one pass through the model, forward and back. An attack by gradients is one more for each look at
an error and its slope: one step takes one look, PGD one at its start and one after each step. Attacks along columns of
WᵀW take none; the worst of them takes the errors of n candidates, n passes over (n, batch) without a product.

The table is stored in docs/speed.json.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax

from benchmarks._timing import keep, machine, once, spread
from toylib import attacks
from toylib.features import Independent
from toylib.training import train_ensemble

FEATURES, HIDDEN, NORMS, BATCH, S, STEPS, ROUNDS = Independent(40), 8, 10, 256, 0.9, 1000, 7
FEW = 5
ATTACKS = {
    "none": (None, 0),
    "random feature": (attacks.random_feature, 0),
    "noise": (attacks.random_direction, 0),
    "worst feature": (attacks.analytic, 0),
    "one step": (attacks.one_step, 1),
    f"latent PGD, {FEW} steps": (partial(attacks.latent, n_steps=FEW, restarts=1, starts=("random",)), 1 + FEW),
}
"""What is trained on, and the passes that it takes besides the model's own."""


def trained(attack: attacks.Attack | None) -> Callable[[], jax.Array]:
    """Trains all models, under attack or not."""
    many = jax.random.split(jax.random.key(0), 1 if attack else NORMS)
    radius = jnp.linspace(0.1, 0.5, NORMS) if attack else 0.0
    options = {"n_hidden": HIDDEN, "n_steps": STEPS, "batch_size": BATCH, "snapshots": [STEPS], "progress": False}
    options |= {"data_key": jax.random.key(1), "optimizer": optax.adam(1e-2), "perturb": attack, "radius": radius}
    return lambda: train_ensemble(FEATURES, [S], many, **options).params


def main() -> None:
    """Print the table, and store it."""
    print(f"\ntraining under attack: n = {FEATURES.n_features}, m = {HIDDEN}, {NORMS} models, batch {BATCH}")
    runs = {name: trained(attack) for name, (attack, _) in ATTACKS.items()}
    for run in runs.values():
        once(run)  # compiles
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(1e6 * once(run) / STEPS / NORMS)
    found = {name: spread(each) for name, each in times.items()}
    plain = found["none"]["median"]
    print(f"{'trained on':24}{'µs a model-step':>24}{'of plain':>12}{'passes':>9}")
    for name, each in found.items():
        took = "{median:.1f} [{low:.1f}, {high:.1f}]".format(**each)
        print(f"{name:24}{took:>24}{each['median'] / plain:11.2f}×{1 + ATTACKS[name][1]:9}")
    passes = {name: 1 + passes for name, (_, passes) in ATTACKS.items()}
    about = machine() | {"rounds": ROUNDS, "n": FEATURES.n_features, "m": HIDDEN, "models": NORMS, "batch": BATCH}
    keep("under_attack", about | {"microseconds": found, "passes": passes})


if __name__ == "__main__":
    main()
