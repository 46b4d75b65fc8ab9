"""Searches that have nothing to do with each other, side by side in the columns of one matrix."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def side_by_side(search: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A search (shared, columns) -> columns, whose columns under `jax.vmap` lie side by side in one.

    With an axis of its own in front, as `jax.vmap` would add, XLA turns every product round, twice a step. What is
    shared by all columns may be mapped over as well; then products are batched as usual.

    Args:
        search: takes arrays that all columns share, and a tree of arrays (..., c) of two axes or more, whose last one
            is that of the columns; returns such a tree, each column as if it were alone.

    Returns:
        The same function, differentiable as the search is.
    """

    @jax.custom_batching.custom_vmap
    def run(shared: Any, columns: Any) -> Any:
        return search(shared, columns)

    @run.def_vmap
    def rule(size: int, mapped: Any, shared: Any, columns: Any) -> tuple[Any, Any]:
        width = jax.tree.leaves(columns)[0].shape[-1]

        def join(leaf: jax.Array, has: bool) -> jax.Array:
            many = jnp.moveaxis(leaf, 0, -1) if has else jnp.broadcast_to(leaf[..., None], (*leaf.shape, size))
            return many.reshape(*many.shape[:-2], width * size)

        def part(leaf: jax.Array) -> jax.Array:
            return jnp.moveaxis(leaf.reshape(*leaf.shape[:-1], width, size), -1, 0)

        if any(jax.tree.leaves(mapped[0])):
            axes = tuple(jax.tree.map(lambda has: 0 if has else None, mapped))
            found = side_by_side(jax.vmap(search, axes, axis_size=size))(shared, columns)
        else:
            found = jax.tree.map(part, run(shared, jax.tree.map(join, columns, mapped[1])))
        return found, jax.tree.map(lambda _: True, found)

    @jax.custom_jvp  # a function with a rule for vmap has no derivatives backwards
    def differentiable(shared: Any, columns: Any) -> Any:
        return run(shared, columns)

    differentiable.defjvp(lambda at, along: jax.jvp(search, at, along))
    return differentiable
