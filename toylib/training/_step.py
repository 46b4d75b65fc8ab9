"""The compiled part of training: all members of an ensemble from one step to another.

What decides the program is in `Setting`, what may change without a new compilation in `Inputs`.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toylib._checks import try_attack, try_call
from toylib.attacks import Attack
from toylib.features import Features
from toylib.model import Params

Optimizer = Callable[[Any], optax.GradientTransformation] | optax.GradientTransformation
"""What makes a transformation from a learning rate, such as `optax.adam`, or a transformation."""


@lru_cache(maxsize=1024)
def _bound(function: Callable, args: tuple, keywords: frozenset[tuple[str, Any]]) -> partial:
    return partial(function, *args, **dict(keywords))


def comparable(function: Any) -> Any:
    """A partial as the one of its parts, so that equal parts are one compilation, where these can be hashed.

    Partials of equal parts are not equal themselves. Anything else, and any other partial, comes back as it is.
    """
    if not isinstance(function, partial):
        return function
    try:
        return _bound(function.func, function.args, frozenset(function.keywords.items()))
    except TypeError:
        return function


class Setting(NamedTuple):
    """All that decides the compiled program; hashable."""

    features: Features
    optimizer: Optimizer
    loss: Callable
    batch_size: int
    population: bool
    linear: bool
    perturb: Attack | None


class Inputs(NamedTuple):
    """All that may change without a new compilation. a densities, r radii, c keys."""

    densities: jax.Array  # (a,)
    radii: jax.Array  # (r,)
    ramp: jax.Array
    mix: jax.Array
    rate: jax.Array
    importance: jax.Array | None  # (n,)
    data_key: jax.Array | None
    attack_keys: jax.Array  # (c,)


def is_ready(optimizer: Any) -> bool:
    """Whether this is a transformation, not what makes one."""
    return hasattr(optimizer, "init") and hasattr(optimizer, "update")


def transformation(optimizer: Any, rate: Any) -> optax.GradientTransformation:
    """The transformation of an optimizer at a learning rate."""
    return optimizer if is_ready(optimizer) else optimizer(rate)


# optax promotes dtypes and ranks, so the next two let it where a session has forbidden it.


def initial_state(optimizer: Optimizer, rate: Any, params: Params) -> Any:
    """The optimizer's state for one model."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return transformation(optimizer, rate).init(params)


def updated(optimizer: Optimizer, rate: Any, grads: Params, opt_state: Any, params: Params) -> tuple[Params, Any]:
    """One model and its optimizer's state after one update."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, opt_state = transformation(optimizer, rate).update(grads, opt_state, params)
        return cast(Params, optax.apply_updates(params, updates)), opt_state


@lru_cache(maxsize=64)
def check_setting(setting: Setting, shapes: tuple[jax.ShapeDtypeStruct, ...], tree: Any, weighted: bool) -> None:
    """Try what was passed in, on one model of these arrays, with importance or without; nothing is compiled.

    Raises:
        TypeError: the optimizer, the loss or the attack cannot be called as training calls it, or gives other shapes.
    """
    params, single = jax.tree.unflatten(tree, shapes), partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    n, optimizer = setting.features.n_features, setting.optimizer
    rate, x, columns, weights = single(()), single((n,)), single((n, 8)), single((8,))
    try_call(
        "optimizer must be an optax transformation, or make one from a learning rate, that needs gradients and "
        "parameters alone",
        "use optax.adam, functools.partial(optax.sgd, momentum=0.9) or a lambda with a schedule of the rate",
        params,
        lambda rate, params: updated(optimizer, rate, params, initial_state(optimizer, rate, params), params)[0],
        rate,
        params,
    )
    for attacked in (None,) if setting.perturb is None else (None, columns):
        try_call(
            "loss must be called as loss(params, x (batch, n), weights=weights (batch,)) and return a scalar",
            "toylib.model.loss is one; target, importance and linear come with an attack, importance or linear=True",
            rate,
            partial(member_loss, setting),
            x if weighted else None,
            params,
            columns,
            weights,
            attacked,
        )
    if setting.perturb is not None:
        try_attack("perturb", setting.perturb, params, x)


def check_length(perturb: Attack, shapes: tuple[jax.ShapeDtypeStruct, ...], tree: Any, radius: float) -> None:
    """Try an attack of one's own on a few samples and a model of these arrays: δ must be finite and in the ball.

    Those of `toylib.attacks` have tests for that. The empty sample is among those tried.

    Raises:
        ValueError: δ is not finite, or longer than radius.
    """
    if getattr(perturb, "func", perturb).__module__.startswith("toylib.attacks"):
        return
    rng = np.random.default_rng(0)
    model = jax.tree.unflatten(tree, [jnp.asarray(0.5 * rng.normal(size=s.shape), s.dtype) for s in shapes])
    X = jnp.asarray(rng.random((8, len(model.b))) * np.arange(8)[:, None] / 7, jnp.float32)
    keys = jax.random.split(jax.random.key(0), len(X))
    deltas = np.asarray(_many(perturb, model, X, jnp.float32(radius), keys), np.float64)
    longest = float(np.linalg.norm(deltas, axis=1).max())
    if not longest <= radius * (1 + 1e-4):
        empty = " at an empty input" * bool(np.isnan(deltas[0]).any())
        raise ValueError(
            f"perturb must return δ (n,) whose norm is at most radius = {radius:g}, got {longest:g}{empty}; return "
            "radius·v/‖v‖, and 0 where v is 0"
        )


@partial(jax.jit, static_argnums=0)
def _many(perturb: Attack, model: Params, X: jax.Array, radius: jax.Array, keys: jax.Array) -> jax.Array:
    return jax.vmap(lambda x, key: perturb(model, x, radius, key=key))(X, keys)


def member_loss(setting: Setting, importance: Any, params: Params, x: Any, weights: Any, attacked: Any = None) -> Any:
    """The loss of one model on samples as columns x (n, batch), or on attacked ones, with x as their target."""
    given = {"target": None if attacked is None else x.T, "importance": importance, "linear": setting.linear or None}
    options = {name: value for name, value in given.items() if value is not None}
    return setting.loss(params, (x if attacked is None else attacked).T, weights=weights, **options)


def _losses(setting: Setting, inputs: Inputs, members: Params, x: Any, weights: Any, step: Any) -> jax.Array:
    """Loss of each member at one density, (r, c), on samples x (n, batch), attacked where `perturb` says so."""

    def member(params: Params, radius: jax.Array, attack_key: jax.Array) -> jax.Array:
        loss = partial(member_loss, setting, inputs.importance, params, x, weights)
        if setting.perturb is None:
            return loss()
        frozen = jax.lax.stop_gradient(params)
        keys = jax.random.split(jax.random.fold_in(attack_key, step), x.shape[1])
        attack = jax.vmap(lambda sample, k: setting.perturb(frozen, sample, radius, key=k), (1, 0), 1)
        attacked = loss(x + jax.lax.stop_gradient(attack(x, keys)))
        return jax.lax.cond(
            inputs.mix < 1,  # the clean samples cost as much as the attacked ones
            lambda: (1 - inputs.mix) * loss() + inputs.mix * attacked,
            lambda: attacked,
        )

    radii = inputs.radii
    if setting.perturb is not None:
        radii = radii * jnp.minimum(1, (step + 1) / jnp.maximum(inputs.ramp, 1))
    over_keys = over(member, (0, None, 0))
    return over(over_keys, (0, 0, None))(members, radii, inputs.attack_keys)


def over(function: Callable, in_axes: Sequence[int | None]) -> Callable:
    """`jax.vmap`, but over a single member a plain call.

    XLA orders the products of one model so that no batch is transposed; those of several, batched, it does not, and at
    n = 100 this shows.
    """

    def mapped(*args: Any) -> Any:
        axes = [(arg, axis is not None) for arg, axis in zip(args, in_axes, strict=True)]
        if len(jax.tree.leaves([arg for arg, has_axis in axes if has_axis])[0]) > 1:
            return jax.vmap(function, in_axes)(*args)
        only = [jax.tree.map(lambda leaf: leaf[0], arg) if has_axis else arg for arg, has_axis in axes]
        return jax.tree.map(lambda leaf: leaf[None], function(*only))

    return mapped


def members_of(function: Callable) -> Callable:
    """`function` of one model, over the axes (r, c)."""
    return lambda *args: over(over(function, [0] * len(args)), [0] * len(args))(*args)


@partial(jax.jit, static_argnums=0)
def advance(setting: Setting, inputs: Inputs, params: Params, opt_state: Any, start: Any, stop: Any) -> tuple:
    """Take the members, (a, r, c), from step `start` to step `stop`.

    Densities are taken one after the other within a step: the members of one share their data, and their products with
    it, (c · n, n) by (n, batch), stay in the cache. Both measure faster than one batched product over densities.
    Samples are columns from the draw on, so that nothing as long as the batch is transposed for a density or a model.

    Returns:
        Parameters and optimizer states; population losses, NaN where a parameter is not finite, and whether they are
        finite, (a, r, c).
    """
    features = setting.features

    def population(p: jax.Array) -> tuple:
        nodes, weights = features.population_at(p)
        return nodes.T, weights

    def one_density(step: Any, uniforms: Any, carry: tuple) -> tuple:
        (params, opt_state), p, samples = carry
        if not setting.population:
            samples = features.columns(p, uniforms), jnp.full(setting.batch_size, 1 / setting.batch_size)
        x, weights = samples
        grads = jax.grad(lambda members: _losses(setting, inputs, members, x, weights, step).sum())(params)
        return members_of(partial(updated, setting.optimizer, inputs.rate))(grads, opt_state, params)

    def one_step(step: Any, state: tuple) -> tuple:
        uniforms = None
        if not setting.population:
            key = jax.random.fold_in(cast(jax.Array, inputs.data_key), step)
            uniforms = features.uniforms(setting.batch_size, key=key)
        return jax.lax.map(partial(one_density, step, uniforms), (state, inputs.densities, fixed))

    fixed = jax.vmap(population)(inputs.densities) if setting.population else None
    params, opt_state = jax.lax.fori_loop(start, stop, one_step, (params, opt_state))
    clean = partial(_losses, setting._replace(perturb=None), inputs, step=None)
    losses = jax.lax.map(lambda each: clean(each[0], *population(each[1])), (params, inputs.densities))
    finite = [jnp.isfinite(leaf).all(range(3, leaf.ndim)) for leaf in jax.tree.leaves(params)]
    losses = jnp.where(jnp.stack(finite).all(0), losses, jnp.nan)  # a loss of one's own may take NaN for a number
    return params, opt_state, losses, jnp.isfinite(losses)
