"""Attacks on a thousand inputs, beside foolbox, the same search in PyTorch, and the time of the products alone.

The reference design: n = 100, m = 20, a model trained at 1/p = 10, norm 0.1 E‖x‖; 40 steps from 13 starts.
Inputs are attacked 16 at a time, in a thread for each core, as docs/speed.md says.

- *foolbox*: its L2 PGD with as many steps from one random start, on the same loss; its time and its search are repeated
  13 times, and the best of 13 counts.
- *PyTorch*: the search of `pgd` batched over starts and inputs, with autograd, and as fast as we could write it
  (benchmarks/peers.py); it takes `make bench-peers`. All inputs have the same random starts, as those of `pgd`.
- *products*, the limit: one product forward and one back, of the m coordinates that the model sees, for each step and
  start, at the rate of large matrices.
- *gain*: the mean over inputs of what the attack adds to the error, beside that of `pgd`, whose starts are others.

`worst_case` has no peer: its rows are inputs a second, beside `pgd`, and how far its two bounds are apart: what the
certificate leaves open, as a share of the upper bound.

With the peers the table is stored in docs/speed.json.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks._peers import Peers, peers
from benchmarks._timing import keep, machine, matmul_rate, seconds
from toylib.attacks import analytic, error, latent, pgd, worst_case
from toylib.features import Independent
from toylib.model import Params
from toylib.training import train
from toylib.training._parts import cores

SAMPLES, STEPS, STARTS, S = 1000, 40, 13, 0.9
BATCH = 16  # inputs at a time: with their starts a product large enough to be fast, and few enough for the cache


def train_points(n: int, m: int) -> tuple[Params, jax.Array, float]:
    """A model, inputs and a norm."""
    features = Independent(n)
    options = {"n_hidden": m, "n_steps": 1000, "optimizer": optax.adam(1e-2), "snapshots": [1000], "progress": False}
    run = train(features, S, key=jax.random.key(0), **options)
    x = features.sample(S, SAMPLES, key=jax.random.key(1))
    return run.params, x, float(0.1 * features.mean_norm(S))


def each(attack: Callable, x: jax.Array, batch: int) -> tuple[float, jax.Array]:
    """Seconds of an attack on all inputs, and what it returns."""
    attacked = jax.jit(lambda part: jax.lax.map(attack, part, batch_size=batch))
    parts = jnp.array_split(x, cores())

    def run() -> list:
        with ThreadPoolExecutor(len(parts)) as executor:
            return list(executor.map(lambda part: jax.block_until_ready(attacked(part)), parts))

    return seconds(run), jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *run())


def foolbox_pgd(params: Params, x: jax.Array, radius: float) -> tuple[float, jax.Array]:
    """Seconds of foolbox's L2 PGD from one random start, times 13, and the best of 13 attacks on each input."""
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
    criterion = foolbox.criteria.Misclassification(jnp.zeros(len(x), int))
    found = [attack.run(model, x, criterion, epsilon=radius) - x for _ in range(STARTS)]
    errors = jnp.stack([jax.vmap(partial(error, params))(x, delta) for delta in found])
    best = jnp.stack(found)[errors.argmax(0), jnp.arange(len(x))]
    return STARTS * seconds(lambda: attack.run(model, x, criterion, epsilon=radius)), best


def searched(found: Peers, mode: str, params: Params, x: jax.Array, radius: float) -> tuple[float, np.ndarray]:
    """Seconds of the search in PyTorch, the least of three, and its attacks."""
    request = {"do": "search", "mode": mode, "steps": STEPS, "restarts": STARTS - 3, "seed": 0, "radius": radius}
    runs = [found.ask(request, W=params.W, b=params.b, x=x) for _ in range(3)]
    took, end = min(runs, key=lambda run: run[0])
    return took, end["delta"]


def main() -> None:
    """Print the table; with the peers, store it."""
    about = machine() | {"samples": SAMPLES, "steps": STEPS, "starts": STARTS}
    about["versions"]["foolbox"] = version("foolbox")
    params, x, radius = train_points(100, 20)
    key, rate = jax.random.key(2), matmul_rate()
    limit = SAMPLES * STEPS * STARTS * 2 * 2 * params.W.size / rate
    runs = {"foolbox, best of 13": foolbox_pgd(params, x, radius)}
    with peers() as found:
        if found:
            about["versions"]["torch"] = found.version
        for mode in ("plain", "compiled") if found else ():
            runs[f"PyTorch, {mode}"] = searched(found, mode, params, x, radius)
    runs["pgd"] = each(lambda v: pgd(params, v, radius, key=key), x, BATCH)
    runs["latent"] = each(lambda v: latent(params, v, radius, key=key), x, BATCH)
    runs["analytic, ±"] = each(lambda v: analytic(params, v, radius, signs="±"), x, BATCH)
    clean = jax.vmap(partial(error, params))(x, 0 * x)
    gains = {name: jax.vmap(partial(error, params))(x, jnp.asarray(d)) - clean for name, (_, d) in runs.items()}
    ours, best = runs["pgd"][0], gains["pgd"].mean()
    print(f"attacks, n = 100, m = 20, {STEPS} steps from {STARTS} starts; products run at {rate / 1e9:.0f} GFLOP/s")
    print(f"  {'':24}{'inputs a second':>16}{'time, of pgd':>14}{'of the products':>17}{'gain, of pgd':>14}")
    searches, certificates = {}, {}
    for name, (took, _) in runs.items():
        gain = float(gains[name].mean() / best)
        searches[name] = {"inputs": SAMPLES / took, "time": took / ours, "of_products": took / limit, "gain": gain}
        print(f"  {name:24}{SAMPLES / took:16,.0f}{took / ours:14.2f}{took / limit:17.1f}{gain:14.4f}")
    print(f"  {'':24}{'inputs a second':>16}{'time, of pgd':>14}{'left open':>17}")
    for n, m in ((6, 2), (6, 3), (100, 20)):
        params, x, radius = train_points(n, m)
        search, _ = each(lambda v, p=params, r=radius: pgd(p, v, r, key=key), x, BATCH)
        bracket, (low, high) = each(partial(worst_case, params, radius=radius), x, 1)
        width = jnp.mean((high - low) / jnp.maximum(high, 1e-12))
        row = {"inputs": SAMPLES / bracket, "time": bracket / search, "open": float(width)}
        certificates[f"worst_case, n = {n}, m = {m}"] = row
        print(f"  {f'worst_case, m = {m}':24}{SAMPLES / bracket:16,.0f}{bracket / search:14.2f}{width:17.1e}")
    if "torch" in about["versions"]:
        keep("attacks", about | {"gflops": rate / 1e9, "searches": searches, "certificates": certificates})


if __name__ == "__main__":
    main()
