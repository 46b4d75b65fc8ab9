"""The compiled part of training: all members of an ensemble from one step to another.

What decides the program is in `Setting`, what may change without a new compilation in `Inputs`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from toylib.features import Features
from toylib.model import Params, columns_loss
from toylib.optimizers import Static

Perturb = Callable[..., jax.Array]
"""(params, x, radius, key=...) -> what is added to one sample, such as an attack of `toylib.attacks`."""


class Setting(NamedTuple):
    """All that decides the compiled program; hashable."""

    features: Features
    optimizer: Static
    batch_size: int
    population: bool
    linear: bool
    perturb: Perturb | None


class Inputs(NamedTuple):
    """All that may change without a new compilation. a densities, r radii, c keys."""

    Ss: jax.Array  # (a,)
    radii: jax.Array  # (r,)
    ramp: jax.Array
    mix: jax.Array
    importance: jax.Array | None  # (n,)
    data_key: jax.Array | None
    attack_keys: jax.Array  # (c,)
    rates: list[jax.Array]


def _loss(setting: Setting, inputs: Inputs, members: Params, x, weights, step) -> jax.Array:
    """Loss of each member at one density, (r, c), on samples x (n, batch), attacked where `perturb` says so."""

    def member(params: Params, radius, attack_key):
        loss = partial(
            columns_loss, params, target=x, weights=weights, importance=inputs.importance, linear=setting.linear
        )
        if setting.perturb is None:
            return loss(x)
        frozen = jax.lax.stop_gradient(params)
        keys = jax.random.split(jax.random.fold_in(attack_key, step), x.shape[1])
        attack = jax.vmap(lambda column, k: setting.perturb(frozen, column, radius, key=k), (1, 0), 1)
        attacked = loss(x + jax.lax.stop_gradient(attack(x, keys)))
        return jax.lax.cond(
            inputs.mix < 1,  # the clean samples cost as much as the attacked ones
            lambda: (1 - inputs.mix) * loss(x) + inputs.mix * attacked,
            lambda: attacked,
        )

    radii = inputs.radii
    if setting.perturb is not None:
        radii = radii * jnp.minimum(1, (step + 1) / jnp.maximum(inputs.ramp, 1))
    over_keys = jax.vmap(member, (0, None, 0))
    return jax.vmap(over_keys, (0, 0, None))(members, radii, inputs.attack_keys)


def members_of(function: Callable) -> Callable:
    """`function` of one model, over the axes (r, c)."""
    return jax.vmap(jax.vmap(function))


@partial(jax.jit, static_argnums=0)
def advance(setting: Setting, inputs: Inputs, state: tuple, start, stop) -> tuple:
    """Take the members from step `start` to step `stop`; returns their state, population losses and whether finite.

    Densities are taken one after the other within a step: the members of one share their data, and their products with
    it, (c · n, n) by (n, batch), stay in the cache. Both measure faster than one batched product over densities.
    """
    features, optimizer = setting.features, setting.optimizer.build(inputs.rates)
    nodes, node_weights = jax.vmap(features.population)(inputs.Ss)
    nodes = nodes.swapaxes(1, 2)

    def one_density(step, uniforms, carry):
        (params, opt_state), S, x, weights = carry
        if not setting.population:
            x, weights = features.from_uniforms(S, uniforms).T, jnp.full(setting.batch_size, 1 / setting.batch_size)
        grads = jax.grad(lambda p: _loss(setting, inputs, p, x, weights, step).sum())(params)
        updates, opt_state = members_of(optimizer.update)(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def one_step(step, state):
        uniforms = None
        if not setting.population:
            key = jax.random.fold_in(inputs.data_key, step)
            uniforms = jax.random.uniform(key, (setting.batch_size, features.n_uniforms))
        return jax.lax.map(partial(one_density, step, uniforms), (state, inputs.Ss, nodes, node_weights))

    state = jax.lax.fori_loop(start, stop, one_step, state)
    clean = partial(_loss, setting._replace(perturb=None), inputs)
    losses = jax.lax.map(lambda each: clean(*each, None), (state[0], nodes, node_weights))
    finite = [jnp.isfinite(leaf).all(range(3, leaf.ndim)) for leaf in (*state[0], losses)]
    return state, losses, jnp.stack(finite).all(0)
