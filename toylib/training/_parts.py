"""Parts of an ensemble side by side, a thread each.

XLA spreads one product over the cores, but those of training are too small for that to pay: at n = 100 a single core
does them as fast as two. Two halves of the densities, each with its own copy of the stream, take less time together.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toylib.model import Params
from toylib.training._step import Inputs, Setting, advance

Part = tuple[Inputs, Params, Any]
"""What `advance` takes of some of the members, besides the setting and the steps."""

_ALONG = "densities", "radii", "attack_keys"  # the inputs that run along a, r and c
# A part of one density has so many members at least, for each draws the samples for itself, which takes as long as
# training 8 models. Under attack a model takes longer, so that the draw weighs less.
_MEMBERS, _ATTACKED_MEMBERS = 32, 8


def cores() -> int:
    """How many threads XLA has on this machine: NPROC, which it reads too, or the cores that this process may use."""
    if (given := os.environ.get("NPROC", "")).isdecimal() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split(setting: Setting, inputs: Inputs, params: Params, opt_state: Any) -> tuple[list[Part], int]:
    """The parts of the members (a, r, c), and the axis that they divide.

    Several densities, which are independent computations, make a part for each core. The members of one are a product,
    whose last digits depend on its size: norms or keys, whichever are more, make parts of sizes that do not depend on
    the cores, so that every model comes out the same on any number.
    """
    a, r, c = shape = params.W.shape[:3]
    axis = 0 if a > 1 else 1 if r > c else 2
    least = _ATTACKED_MEMBERS if setting.perturb else _MEMBERS
    number = min(a, cores()) if axis == 0 else 2 ** int(np.log2(max(1, min(shape[axis] // 2, r * c // least))))
    name = _ALONG[axis]
    leaves, tree = jax.tree.flatten((params, opt_state))
    members = zip(*_divided(leaves, number, axis), strict=True)
    ranges = _divided([getattr(inputs, name)], number, 0)[0]
    return [
        (inputs._replace(**{name: some}), *jax.tree.unflatten(tree, part))
        for some, part in zip(ranges, members, strict=True)
    ], axis


@partial(jax.jit, static_argnums=(1, 2))
def _divided(leaves: list[jax.Array], number: int, axis: int) -> list[list[jax.Array]]:
    """The parts of each array, cut by one program."""
    return [jnp.array_split(leaf, number, axis) for leaf in leaves]


def joined(states: list[Any], axis: int) -> Any:
    """Arrays of all members from those of the parts."""
    return states[0] if len(states) == 1 else _joined(states, axis)


@partial(jax.jit, static_argnums=1)
def _joined(states: list[Any], axis: int) -> Any:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis), *states)


@contextmanager
def threads(parts: list[Part]) -> Iterator[Executor | None]:
    """Threads for these; none where one would do, or where the caller is in a context of JAX's, which they are not."""
    number = min(len(parts), cores())
    if number == 1:
        yield None
        return
    with ThreadPoolExecutor(number) as executor:
        same = executor.submit(lambda: dict(jax.config.values)).result() == dict(jax.config.values)
        yield executor if same else None


def advance_all(executor: Executor | None, setting: Setting, parts: list[Part], start: int, stop: int) -> list[tuple]:
    """`advance` for each part, and wait for all."""

    def one(part: Part) -> tuple:
        return jax.block_until_ready(advance(setting, *part, start, stop))

    return list((executor.map if executor else map)(one, parts))
