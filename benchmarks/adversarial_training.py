"""Time per model-step of training under attack, beside plain training of as many models in the same run.

The reference design is that of notebook 4: n = 40, m = 8, 16 norms, batch 256, Adam. A plain model-step is one forward
and one backward pass over the batch. An attack by gradients takes one such pass more for each step it makes, and one
for the error of its start and of each step: that many passes at the plain speed are the limit. Attacks along columns of
WᵀW take none; the worst of them takes the errors of n candidates, n passes over (n, batch).
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from benchmarks._timing import seconds
from toylib import attacks
from toylib.features import Independent
from toylib.training import train_ensemble

FEATURES, HIDDEN, NORMS, BATCH, S, STEPS = Independent(40), 8, 16, 256, 0.9, 1000
FEW = 5
ATTACKS = {
    "none": (None, 0),
    "random feature": (attacks.random_feature, 0),
    "noise": (attacks.random_direction, 0),
    "worst feature": (attacks.analytic, 0),
    "one step": (attacks.one_step, 1),
    f"latent PGD, {FEW} steps": (partial(attacks.latent, n_steps=FEW, restarts=1, starts=("random",)), 2 * FEW + 1),
}
"""What is trained on, and the forward and backward passes it takes besides the model's own."""


def model_step(attack) -> float:
    """Seconds a model-step; plain training has as many models, with other seeds instead of norms."""
    many = jax.random.split(jax.random.key(0), 1 if attack else NORMS)
    radius = jnp.linspace(0.1, 0.5, NORMS) if attack else 0.0
    options = {"n_hidden": HIDDEN, "n_steps": STEPS, "batch_size": BATCH, "snapshots": [STEPS], "progress": False}
    options |= {"data_key": jax.random.key(1), "optimizer": optax.adam(1e-2), "perturb": attack, "radius": radius}
    return seconds(lambda: train_ensemble(FEATURES, [S], many, **options).params) / STEPS / NORMS


def main() -> None:
    """Print the table."""
    print(f"training under attack: n = {FEATURES.n_features}, m = {HIDDEN}, {NORMS} models, batch {BATCH}")
    times = {name: (model_step(attack), passes) for name, (attack, passes) in ATTACKS.items()}
    plain, _ = times["none"]
    print(f"{'trained on':34}{'µs a model-step':>16}{'of plain':>12}{'limit':>9}")
    for name, (took, passes) in times.items():
        print(f"{name:34}{took * 1e6:16.1f}{took / plain:11.1f}×{1 + passes:8}×")


if __name__ == "__main__":
    main()
