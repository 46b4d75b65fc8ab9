"""The toy model x' = ReLU(Wᵀ W x + b), its linear twin, and its loss.

W has shape (m, n) = (n_hidden, n_features); column i is the direction that represents feature i.
Source: Elhage et al. 2022, section "Experiment Setup" of "Demonstrating Superposition".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib._checks import check_array, check_key, check_model, check_real, check_size, is_traced


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

    >>> import jax
    >>> init(n_features=5, n_hidden=2, key=jax.random.key(0)).W.shape
    (2, 5)
    """
    shape = (check_size("n_hidden", n_hidden), check_size("n_features", n_features))
    check_key("key", key)
    check_real("scale", scale, "it is a standard deviation, such as 0.01", least=0)
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

    >>> import jax.numpy as jnp
    >>> reconstruct(Params(jnp.eye(2, 3), jnp.zeros(3)), jnp.array([0.5, 0.25, 1.0])).tolist()
    [0.5, 0.25, 0.0]
    """
    check_model(params, x, (*jnp.shape(x)[:-1], None))
    z = (x @ params.W.T) @ params.W + jnp.broadcast_to(params.b, x.shape)
    return z if linear else relu(z)


def relu(z: jax.Array) -> jax.Array:
    """max(z, 0), and NaN for NaN, which XLA takes for 0 on a CPU where one kernel holds a product, ReLU and sum."""
    return jnp.where(jnp.isnan(z), z, jax.nn.relu(z))


def unknown(params: Params, *arrays: jax.Array) -> jax.Array:
    """NaN where ‖W‖²_F is not finite, or b or an array has NaN; else 0. A scalar, without a gradient.

    Added to a mean it does what `relu` would inside, but where only the gradient is used, as in a step of training, it
    is not computed.
    """
    known = jnp.isfinite(jnp.square(params.W).sum())
    for array in (params.b, *arrays):
        known &= ~jnp.isnan(array).any()
    return jax.lax.stop_gradient(jnp.where(known, 0, jnp.nan))


def loss(
    params: Params,
    x: jax.Array,
    *,
    target: jax.Array | None = None,
    weights: jax.Array | None = None,
    importance: jax.Array | None = None,
    linear: bool = False,
) -> jax.Array:
    """Squared reconstruction error, summed over features and averaged over the batch.

    Under jax.vmap over models that share x, Wᵀ W x becomes one matrix product, (models · n, n) by (n, batch): with
    m = 3, n = 6 several times faster than two products per model. Where n > 2m the two products cost less. Samples are
    columns inside, and training hands in transposed columns, so that nothing is transposed there.

    Args:
        params: one model.
        x: (batch, n).
        target: (batch, n), what is to be reconstructed where this is not x, as under attack.
        weights: (batch,), summing to 1: replaces the plain average, as with `Features.population`.
        importance: (n,), the factor of each feature's error; 1 by default.
        linear: leave out the ReLU.

    Returns:
        A scalar; NaN where x or the model has NaN, or ‖W‖²_F overflows.

    Raises:
        ValueError, TypeError: ranks or widths that do not fit, or weights that do not sum to 1.
    """
    check_model(params, x, (None, None))
    if target is not None:
        check_array("target", target, x.shape, "it stands beside x, sample by sample")
    if weights is not None:
        check_array("weights", weights, (len(x),), "they are one per sample")
        _check_weights(weights)
    if importance is not None:
        check_array("importance", importance, (x.shape[1],), "it is one factor per feature")
    W, columns = params.W, x.T
    z = (W.T @ W) @ columns if W.shape[1] <= 2 * W.shape[0] else W.T @ (W @ columns)
    z = z + params.b[:, None]
    error = jnp.square((z if linear else jax.nn.relu(z)) - (x if target is None else target).T)
    by_sample = error.sum(0) if importance is None else importance @ error
    total = by_sample @ (jnp.full(len(x), 1 / len(x)) if weights is None else weights)
    return total + unknown(params, x)


def _check_weights(weights: jax.Array) -> None:
    check_real("weights", weights, "they are the shares of the samples", least=0, ndim=1)
    if not is_traced(weights) and abs((total := float(np.asarray(weights).sum())) - 1) > 1e-4:
        raise ValueError(f"weights must sum to 1, got sum {total:.6g}; divide them by their sum")
