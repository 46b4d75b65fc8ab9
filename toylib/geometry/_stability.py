"""How firmly a model sits where it is: the minimum next to it, and the curvatures of the loss around it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.optimize import minimize

from toylib import model
from toylib._checks import (
    check_array,
    check_features,
    check_finite,
    check_params,
    check_real,
    check_size,
    check_sparsity,
    on_host,
)
from toylib.features import Features
from toylib.model import Params

_AT_ONCE = 2**25
"""Inputs of all nodes and models together that are differentiated at once: half a GiB at the most."""


def curvatures(
    params: Params, features: Features, S: ArrayLike, *, displacement: float = 0.1, n_nodes: int = 16_384
) -> np.ndarray:
    """Curvatures of the population loss around a model, across the rotations of its hidden space.

    They are the eigenvalues of the Hessian with respect to W and b: all positive in a minimum, some negative at a
    saddle. Turning the hidden space changes no loss, so the directions in which this moves the model are projected out:
    m(m - 1)/2 of them, unless W has a rank below m - 1.

    The Hessian is made of differences of gradients over a finite displacement to either side, because the slope jumps
    where a pre-activation of the ReLU crosses zero. A part of the curvature is in these jumps, and second derivatives
    at the nodes have none of it. A displacement h averages over the jumps that it meets, so it belongs to the result:

    - Beyond the basin of a model the result means nothing.
    - The loss is of the fourth order in W, which adds up to 4 h² E x_i², 0.002 at p = 0.15 and h = 0.1.
    - Turning one set of an octahedron against the other costs about |angle|³, so that these three soft modes have
      curvatures in proportion to h, and compare between models of one h only. With h well below 0.1 they need more
      nodes, or are lost among them.

    Args:
        params: one model, W (m, n) and b (n,); that it is a stationary point is the caller's to see (`descend`).
        features: distribution of the inputs.
        S: probability that a gate is off, in [0, 1).
        displacement: of one parameter at a time, in the units of W: a tenth of a feature's length.
        n_nodes: about how many nodes of the population stand for the average over inputs.

    Returns:
        (m n + n - number of rotations,), ascending, in double precision; loss per squared unit of W or b.

    Raises:
        ValueError, TypeError: a model that is not finite or does not fit, S or a displacement out of range.
    """
    at, shape = _checked(params, features, S)
    check_real("displacement", displacement, "0.1 is a tenth of a feature's length", least=1e-6, most=10, host=True)
    with jax.enable_x64(True):
        x, weights = _nodes(features, S, n_nodes)
        steps = displacement * np.eye(len(at))
        around = np.concatenate([at + steps, at - steps])
        parts = np.array_split(around, -(-len(around) * x.size // _AT_ONCE))
        slopes = np.concatenate([np.asarray(_slopes(jnp.asarray(part), x, weights, shape)) for part in parts])
    up, down = np.split(slopes, 2)
    hessian = (up - down) / (2 * displacement)
    across = _across(at, shape)
    return np.linalg.eigvalsh(across @ (hessian + hessian.T) / 2 @ across.T)


def descend(
    params: Params, features: Features, S: ArrayLike, *, n_nodes: int = 4096, max_steps: int = 500
) -> tuple[Params, float]:
    """The local minimum of the population loss that L-BFGS finds from a model, in double precision.

    A saddle whose symmetry the nodes share is not left: see the sign of the smallest of `curvatures`.

    Args:
        params: where to begin, W (m, n) and b (n,).
        features: distribution of the inputs.
        S: probability that a gate is off, in [0, 1).
        n_nodes: about how many nodes of the population stand for the average over inputs.
        max_steps: iterations after which the search ends in any case.

    Returns:
        The model, NumPy arrays in double precision, and its loss on these nodes, at most that of the beginning.

    Raises:
        ValueError, TypeError: a model that is not finite or does not fit, or S out of range.
    """
    start, shape = _checked(params, features, S)
    check_size("max_steps", max_steps)
    with jax.enable_x64(True):
        x, weights = _nodes(features, S, n_nodes)
        found = minimize(
            lambda at: [np.asarray(part, float) for part in _value_and_slope(jnp.asarray(at), x, weights, shape)],
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_steps, "maxfun": 2 * max_steps, "ftol": 1e-12, "gtol": 1e-9},
        )
    split = shape[0] * shape[1]
    return Params(found.x[:split].reshape(shape), found.x[split:]), float(found.fun)


def _checked(params: Params, features: Features, S: ArrayLike) -> tuple[np.ndarray, tuple[int, int]]:
    """The parameters of a model as one vector (m n + n,), W first, and the shape of W."""
    check_params(params)
    check_features(features)
    for name, value in (("W", params.W), ("b", params.b)):
        on_host(name, value)
    check_array("W", params.W, (None, features.n_features), "pass one model of these features")
    check_array("b", params.b, (features.n_features,), "pass one model of these features")
    check_sparsity(S, host=True)
    for name, value in (("W", params.W), ("b", params.b)):
        check_finite(name, value, "a model that diverged has no surroundings")
    at = np.concatenate([np.asarray(value, np.float64).ravel() for value in (params.W, params.b)])
    return at, (params.W.shape[0], params.W.shape[1])


def _nodes(features: Features, S: ArrayLike, n_nodes: int) -> tuple[jax.Array, jax.Array]:
    """Population nodes in double precision; call it where 64 bits are enabled."""
    x, weights = (np.asarray(part, np.float64) for part in features.population(S, n_nodes=n_nodes))
    return jnp.asarray(x), jnp.asarray(weights / weights.sum())


def _across(at: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An orthonormal basis (k, m n + n) of the directions that are orthogonal to all rotations of hidden space."""
    m, n = shape
    W, turns = at[: m * n].reshape(shape), np.zeros((0, len(at)))
    if m > 1:
        first, second = np.triu_indices(m, 1)
        moved = np.zeros((len(first), m, n))
        pairs = np.arange(len(first))
        moved[pairs, first], moved[pairs, second] = W[second], -W[first]
        turns = np.pad(moved.reshape(len(first), -1), ((0, 0), (0, n)))
    _, lengths, directions = np.linalg.svd(turns, full_matrices=True)
    return directions[np.count_nonzero(lengths > 1e-9 * max(lengths, default=0)) :]


@partial(jax.jit, static_argnums=3)
def _value_and_slope(
    at: jax.Array, x: jax.Array, weights: jax.Array, shape: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Loss and gradient (m n + n,) at one vector of parameters."""

    def loss(at: jax.Array) -> jax.Array:
        split = shape[0] * shape[1]
        return model.loss(Params(at[:split].reshape(shape), at[split:]), x, weights=weights)

    return jax.value_and_grad(loss)(at)


@partial(jax.jit, static_argnums=3)
def _slopes(many: jax.Array, x: jax.Array, weights: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Gradients (k, m n + n) at vectors of parameters."""
    return jax.vmap(lambda at: _value_and_slope(at, x, weights, shape)[1])(many)
