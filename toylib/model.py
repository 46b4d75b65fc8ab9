"""The toy model x' = ReLU(Wᵀ W x + b), its linear twin, and its loss.

W has shape (m, n) = (n_hidden, n_features); column i is the direction that represents feature i.
Source: Elhage et al. 2022, section "Experiment Setup" of "Demonstrating Superposition".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib.checks import check_array, check_key, check_real, check_size


class Params(NamedTuple):
    """Weights W (m, n) and biases b (n,); a pytree, so optax and jax.vmap take it as it is."""

    W: jax.Array
    b: jax.Array


def init(n_features: int, n_hidden: int, *, key: jax.Array, scale: ArrayLike = 0.01) -> Params:
    """Draw W ~ scale·N(0, 1); b = 0.

    Args:
        n_features: n, at least 1.
        n_hidden: m, at least 1.
        key: from `jax.random.key`.
        scale: standard deviation of the entries of W, at least 0; may be traced.

    Returns:
        Params with W (m, n) and b (n,), float32.

    Raises:
        ValueError, TypeError: sizes below 1, a negative or non-finite scale, an old-style key.
    """
    shape = (check_size("n_hidden", n_hidden), check_size("n_features", n_features))
    check_key("key", key)
    check_real("scale", scale, minimum=0.0)
    return Params(jax.random.normal(key, shape) * jnp.float32(scale), jnp.zeros(n_features))


def reconstruct(params: Params, x: jax.Array, *, linear: bool = False) -> jax.Array:
    """ReLU(Wᵀ W x + b), or Wᵀ W x + b for the linear twin.

    Args:
        params: one model.
        x: (..., n).
        linear: leave out the ReLU.

    Returns:
        (..., n).

    Raises:
        ValueError, TypeError: ranks or widths that do not fit.
    """
    check_model(params, x, (*jnp.shape(x)[:-1], None))
    z = (x @ params.W.T) @ params.W + jnp.broadcast_to(params.b, x.shape)
    return z if linear else jax.nn.relu(z)


def loss(
    params: Params,
    x: jax.Array,
    *,
    weights: jax.Array | None = None,
    importance: jax.Array | None = None,
    linear: bool = False,
) -> jax.Array:
    """Squared reconstruction error, summed over features and averaged over the batch.

    Args:
        params: one model.
        x: (batch, n).
        weights: (batch,), summing to 1: replaces the plain average, as with `Features.population`.
        importance: (n,), the factor of each feature's error; 1 by default.
        linear: leave out the ReLU.

    Returns:
        A scalar.

    Raises:
        ValueError, TypeError: ranks or widths that do not fit, or weights that do not sum to 1.
    """
    check_model(params, x, (None, None))
    if weights is not None:
        check_array("weights", weights, (len(x),))
        check_weights(weights)
    if importance is not None:
        check_array("importance", importance, (x.shape[1],))
    weights = jnp.full(len(x), 1 / len(x)) if weights is None else weights
    return columns_loss(params, x.T, x.T, weights, importance=importance, linear=linear)


def columns_loss(
    params: Params,
    x: jax.Array,
    target: jax.Array,
    weights: jax.Array,
    *,
    importance: jax.Array | None,
    linear: bool,
) -> jax.Array:
    """The loss of `loss` with samples as columns, x and target (n, batch), and without checks: the kernel of training.

    Under jax.vmap over models that share x, Wᵀ W x becomes one matrix product, (models · n, n) by (n, batch): with
    m = 3, n = 6 several times faster than two products a model. Where n > 2m the two products cost less.
    """
    W, b = params
    z = (W.T @ W) @ x if W.shape[1] <= 2 * W.shape[0] else W.T @ (W @ x)
    z = z + b[:, None]
    error = jnp.square((z if linear else jax.nn.relu(z)) - target)
    by_sample = error.sum(0) if importance is None else importance @ error
    return by_sample @ weights


def check_weights(weights: jax.Array) -> None:
    """Check that known weights are not negative and sum to 1 within 1e-4."""
    if isinstance(weights, jax.core.Tracer):
        return
    values = np.asarray(weights)
    total = float(values.sum())
    if not abs(total - 1) <= 1e-4 or (values < 0).any():
        raise ValueError(f"weights must be at least 0 and sum to 1, got sum {total:.6g}; divide them by their sum")


def check_model(params: Params, x: jax.Array, shape: tuple) -> None:
    """Check that W, b and x fit; `shape` is that of x, its last entry replaced by n."""
    check_array("W", params.W, (None, None))
    n = params.W.shape[1]
    check_array("b", params.b, (n,))
    check_array("x", x, (*shape[:-1], n))
