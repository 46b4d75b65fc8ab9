"""Time per sample of the attacks, beside foolbox's projected gradient attack and the time of the products alone.

The reference design: n = 100, m = 20, a model trained at 1/p = 10, 128 inputs, norm 0.1 E‖x‖; 40 steps from 13 starts.
The peer is foolbox's L2 PGD with as many steps, from one random start, on the same loss, so its time is multiplied by
13. The limit of a search is the time that its products with W take at the measured rate: two products forward and two
backward, a step and start. `worst_case` has no peer; its rows are ratios to our own PGD.
"""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import optax

from benchmarks._timing import matmul_rate, seconds
from toylib.attacks import analytic, latent, pgd, worst_case
from toylib.features import Independent
from toylib.model import Params
from toylib.training import train

SAMPLES, STEPS, STARTS, S = 128, 40, 13, 0.9


def train_points(n: int, m: int) -> tuple[Params, jax.Array, float]:
    """A model, inputs and a norm."""
    features = Independent(n)
    options = {"n_hidden": m, "n_steps": 1000, "optimizer": optax.adam(1e-2), "snapshots": [1000], "progress": False}
    run = train(features, S, key=jax.random.key(0), **options)
    x = features.sample(S, SAMPLES, key=jax.random.key(1))
    return run.params, x, float(0.1 * features.mean_norm(S))


def each(attack, x: jax.Array, batch: int = 8) -> float:
    """Seconds a sample of an attack on all inputs."""
    attacked = jax.jit(lambda x: jax.lax.map(attack, x, batch_size=batch))
    return seconds(lambda: attacked(x)) / len(x)


def foolbox_pgd(params: Params, x: jax.Array, radius: float) -> float:
    """Seconds a sample of foolbox's L2 PGD from one random start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eagerpy as ep
        import foolbox

    class Attack(foolbox.attacks.L2ProjectedGradientDescentAttack):
        def get_loss_fn(self, model, labels):
            targets = ep.astensor(x)
            return lambda inputs: (model(inputs) - targets).square().sum()

    def reconstruct(v):
        return jax.nn.relu((v @ params.W.T) @ params.W + params.b)

    model = foolbox.JAXModel(reconstruct, bounds=(-1e3, 1e3))
    attack = Attack(rel_stepsize=0.1, steps=STEPS, random_start=True)
    labels = jnp.zeros(len(x), int)
    criterion = foolbox.criteria.Misclassification(labels)
    return seconds(lambda: attack.run(model, x, criterion, epsilon=radius)) / len(x)


def main() -> None:
    """Print the table."""
    params, x, radius = train_points(100, 20)
    key, rate = jax.random.key(2), matmul_rate()
    limit = STEPS * STARTS * 4 * 2 * params.W.size / rate
    peer = STARTS * foolbox_pgd(params, x, radius)
    ours = {
        "pgd": each(lambda v: pgd(params, v, radius, key=key), x),
        "latent": each(lambda v: latent(params, v, radius, key=key), x),
        "analytic, ±": each(lambda v: analytic(params, v, radius, signs="±"), x),
    }
    print(f"attacks, n = 100, m = 20, {STEPS} steps from {STARTS} starts; products run at {rate / 1e9:.0f} GFLOP/s")
    print(f"  {'':24}{'ms per sample':>14}{'of foolbox':>12}{'of the products':>17}")
    for name, time in {"foolbox L2 PGD, × starts": peer, **ours}.items():
        print(f"  {name:24}{1e3 * time:14.2f}{time / peer:12.2f}{time / limit:17.1f}")
    print(f"  {'':24}{'ms per sample':>14}{'of our pgd':>12}")
    for n, m in ((6, 2), (6, 3), (100, 20)):
        params, x, radius = train_points(n, m)
        search = each(lambda v, p=params, r=radius: pgd(p, v, r, key=key), x)
        bracket = each(partial(worst_case, params, radius=radius), x, batch=1 if m <= 3 else 8)
        print(f"  {f'worst_case, m = {m}':24}{1e3 * bracket:14.2f}{bracket / search:12.2f}")


if __name__ == "__main__":
    main()
