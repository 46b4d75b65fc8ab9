"""Time per model-step of `train_ensemble`, beside a plain vmapped loop and the machine's matrix product rate.

The reference design: n = 6 features in two sets, m = 3, 64 models, batch 1,024, Adam. A model-step is one update of one
model. The peer is the loop that one would write first: `jax.vmap` over models of a (batch, n) loss with two products,
each model with a data stream of its own. The limit is the time that the products alone take at the measured rate.
"""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toylib.features import Correlated
from toylib.model import Params, loss
from toylib.training import train_ensemble

FEATURES, S, HIDDEN, MODELS, BATCH = Correlated(2, 3), 0.9, 3, 64, 1024
REPEATS = 5


def seconds(function) -> float:
    """The least of REPEATS times, after a call that compiles."""
    jax.block_until_ready(function())
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return min(times)


def matmul_rate(size: int = 2048) -> float:
    """Floating-point operations a second of a single-precision (size, size) product."""
    a = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    return 2 * size**3 / seconds(lambda: product(a, a))


def library(*, population: bool, steps: int = 2000) -> float:
    """Seconds a model-step of `train_ensemble`."""
    keys = jax.random.split(jax.random.key(0), MODELS)

    def run() -> jax.Array:
        return train_ensemble(
            FEATURES,
            [S],
            keys,
            n_hidden=HIDDEN,
            n_steps=steps,
            batch_size=BATCH,
            population=population,
            data_key=jax.random.key(1),
            snapshots=[0, steps],
            progress=False,
        ).params

    return seconds(run) / steps / MODELS


def plain(*, steps: int = 50) -> float:
    """Seconds a model-step of the plain loop, on fresh batches."""
    optimizer = optax.adam(1e-3)

    def train(key: jax.Array) -> Params:
        params = Params(0.01 * jax.random.normal(key, (HIDDEN, FEATURES.n_features)), jnp.zeros(FEATURES.n_features))

        def step(i, carry):
            params, state = carry
            x = FEATURES.sample(S, BATCH, key=jax.random.fold_in(key, i))
            updates, state = optimizer.update(jax.grad(rowwise_loss)(params, x), state)
            return optax.apply_updates(params, updates), state

        return jax.lax.fori_loop(0, steps, step, (params, optimizer.init(params)))[0]

    def rowwise_loss(params: Params, x: jax.Array) -> jax.Array:
        hidden = jax.vmap(lambda row: params.W @ row)(x)
        output = jax.nn.relu(jax.vmap(lambda h: params.W.T @ h + params.b)(hidden))
        return jnp.mean(jnp.sum(jnp.square(output - x), axis=1))

    many = jax.jit(jax.vmap(train))
    keys = jax.random.split(jax.random.key(0), MODELS)
    check = partial(loss, x=FEATURES.sample(S, BATCH, key=keys[0]))
    params = jax.tree.map(lambda leaf: leaf[0], many(keys))
    np.testing.assert_allclose(rowwise_loss(params, check.keywords["x"]), check(params), rtol=1e-4)
    return seconds(lambda: many(keys)) / steps / MODELS


def main() -> None:
    """Print the table."""
    rate = matmul_rate()
    products = 4 * FEATURES.n_features**2 * BATCH  # Wᵀ W x forward, and the gradient of Wᵀ W back
    print(f"matrix product rate: {rate / 1e9:.0f} GFLOP/s; {MODELS} models, n = 6, m = {HIDDEN}, batch {BATCH:,}")
    times = {
        "train_ensemble, population": library(population=True),
        "train_ensemble, fresh batches": library(population=False),
        "plain vmapped loop, fresh batches": plain(),
    }
    peer = times["plain vmapped loop, fresh batches"]
    print(f"{'':34}{'µs a model-step':>16}{'time × rate':>17}{'speed-up':>9}{'of the limit':>14}")
    for name, took in times.items():
        limit = products / rate
        print(f"{name:34}{took * 1e6:16.1f}{took * rate / 1e6:11.2f} MFLOP{peer / took:8.1f}×{limit / took:13.0%}")


if __name__ == "__main__":
    main()
