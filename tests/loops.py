"""Training written out again: NumPy in double precision, and optax in a plain loop over one model."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toylib.features import Correlated
from toylib.model import init
from toylib.training import train

F = Correlated(2, 3)
N_STEPS, BATCH = 200, 64
KEY = jax.random.key(0)
KEYS = jax.random.split(jax.random.key(7), 3)
IMPORTANCE = np.array([1.0, 0.5, 2.0, 1.5, 0.8, 0.2])
SHIFT = np.array([0.3, -0.2, 0.5, 0.0, 0.1, -0.4])
TRACED: list[int] = []


def shift(params, x, radius, *, key):
    """Move every sample by the same vector, and note each trace."""
    TRACED.append(1)
    return radius * jnp.asarray(SHIFT, jnp.float32)


@lru_cache
def trained(S=0.7, seed=0, **options):
    """Train with small batches, once for each set of options."""
    options = {"n_hidden": 3, "n_steps": N_STEPS, "batch_size": BATCH, "snapshots": (0, 1, 50, N_STEPS)} | options
    return train(F, S, key=jax.random.key(seed), **options)


def drawn(scale=0.1, seed=0):
    """The model that `trained` starts from."""
    return init(6, 3, key=jax.random.split(jax.random.key(seed), 3)[0], scale=scale)


@lru_cache
def fresh_batches(S, seed=0, ensemble=False):
    """Return the batches that the docstring of `train` promises, (N_STEPS, BATCH, 6)."""
    data_key = jax.random.key(seed) if ensemble else jax.random.split(jax.random.key(seed), 3)[1]
    draw = jax.jit(jax.vmap(lambda t: F.sample(S, BATCH, key=jax.random.fold_in(data_key, t))))
    return np.asarray(draw(np.arange(N_STEPS)), np.float64)


def numpy_adam(rate, b1=0.9, b2=0.999, eps=1e-8):
    """Kingma and Ba 2014, algorithm 1."""
    m = v = 0.0
    t = 0

    def step(gradient):
        nonlocal m, v, t
        t += 1
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * gradient**2
        return -rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


def numpy_sgd(rate):
    return lambda gradient: -rate * gradient


def numpy_gradient(W, b, seen, x, weights, importance, linear):
    """Return the gradient of Σ_k weight_k Σ_i importance_i (x'_i(seen_k) - x_ki)², by hand."""
    z = seen @ W.T @ W + b
    out = z if linear else np.maximum(z, 0)
    g = 2 * weights[:, None] * importance * (out - x) * (1 if linear else z > 0)
    return W @ (seen.T @ g + g.T @ seen), g.sum(0)


def numpy_train(
    start, batches, step_W, step_b, *, weights=None, importance=None, linear=False, delta=0.0, mix=1.0, steps=None
):
    """Return W and b after `steps`, in double precision.

    `delta` is one attack for all steps, one for each, or a function of W, b and x (batch, 6).
    """
    steps = range(N_STEPS) if steps is None else steps
    attack = delta if callable(delta) else lambda W, b, x: 0
    deltas = np.broadcast_to(0.0 if callable(delta) else delta, (N_STEPS, 6))
    W, b = (np.asarray(a, np.float64) for a in start)
    importance = np.ones(6) if importance is None else importance
    for t in steps:
        x = batches[t % len(batches)]
        w = np.full(len(x), 1 / len(x)) if weights is None else weights
        gW, gb = numpy_gradient(W, b, x + deltas[t] + attack(W, b, x), x, w, importance, linear)
        if mix < 1:
            clean_W, clean_b = numpy_gradient(W, b, x, x, w, importance, linear)
            gW, gb = mix * gW + (1 - mix) * clean_W, mix * gb + (1 - mix) * clean_b
        W, b = W + step_W(gW), b + step_b(gb)
    return W, b


def squared(params, x, target, weights):
    """The loss of the library, written out."""
    return weights @ jnp.square(jax.nn.relu(x @ params.W.T @ params.W + params.b[None]) - target).sum(1)


@partial(jax.jit, static_argnums=0)
def _plain_init(make, rate, params):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return make(rate).init(params)


@partial(jax.jit, static_argnums=(0, 1))
def _plain_step(make, loss, rate, params, state, x, deltas, weights):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        gradient = jax.grad(loss)(params, x + deltas, x, weights)
        updates, state = make(rate).update(gradient, state, params)
        return optax.apply_updates(params, updates), state


def plain_loop(make, rate, params, data, n_steps, *, loss=squared, attack=None):
    """One model after n_steps of optax, called as its documentation says.

    Args:
        make: an optimizer of a learning rate.
        rate: the learning rate.
        params: the model to begin with.
        data: step -> x (batch, n) and weights (batch,).
        n_steps: number of updates.
        loss: (params, x, target, weights) -> a scalar.
        attack: (step, params, x) -> deltas (batch, n).
    """
    state = _plain_init(make, rate, params)
    for t in range(n_steps):
        x, weights = data(t)
        deltas = jnp.zeros_like(x) if attack is None else attack(t, params, x)
        params, state = _plain_step(make, loss, rate, params, state, x, deltas, weights)
    return params


def assert_close(params, expected, rtol=1e-4):
    for found, exact in zip(params, expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=rtol, atol=rtol * abs(exact).max())
