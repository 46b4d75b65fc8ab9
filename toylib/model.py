"""The toy model x' = ReLU(Wᵀ W x + b), its linear twin, and its loss; a classifier through the same bottleneck.

W has shape (m, n) = (n_hidden, n_features); column i is the direction that represents feature i.
Sources: Elhage et al. 2022, section "Experiment Setup" of "Demonstrating Superposition"; of the classifier Stevinson et
al. 2026, arXiv 2510.11709.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib._checks import (
    check_array,
    check_flag,
    check_key,
    check_model,
    check_params,
    check_real,
    check_size,
    is_traced,
)


class Params(NamedTuple):
    """Weights W (m, n) and biases b (n,); a pytree, so optax and jax.vmap take it as it is."""

    W: jax.Array
    b: jax.Array


class Classifier(NamedTuple):
    """A linear bottleneck with readouts of its own: W (m, n), b (n,) and R (m, n), evidence Rᵀ W x + b.

    Params(W, b) is the classifier whose readouts are tied, R = W. Training goes on from either: `train(..., loss=
    cross_entropy, start=Classifier(W, b, R))`.
    """

    W: jax.Array
    b: jax.Array
    R: jax.Array


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
    check_model(params, x, (*np.shape(x)[:-1], None))
    return _reconstruct(params, x, check_flag("linear", linear))


# Compiled, as the loss is, so that a first call on a shape waits for one program and not for one per operation;
# inlined, so that inside of another program it is what it would be without.
@partial(jax.jit, inline=True, static_argnums=2)
def _reconstruct(params: Params, x: jax.Array, linear: bool) -> jax.Array:
    z = (x @ params.W.T) @ params.W + jnp.broadcast_to(params.b, x.shape)
    return z if linear else relu(z)


def relu(z: jax.Array) -> jax.Array:
    """max(z, 0), and NaN for NaN, which XLA takes for 0 on a CPU where one kernel holds a product, ReLU and sum."""
    return jnp.where(jnp.isnan(z), z, jax.nn.relu(z))


def unknown(params: Params | Classifier, *arrays: jax.Array) -> jax.Array:
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
        ValueError, TypeError: ranks or widths that do not fit, weights that do not sum to 1, a negative importance.
    """
    _check_batch(params, x, target, weights)
    if importance is not None:
        of_features = "it is one factor per feature"
        check_array("importance", importance, (x.shape[1],), of_features)
        check_real("importance", importance, f"{of_features}, 0 for none", least=0, ndim=1)
    return _loss(params, x, target, weights, importance, check_flag("linear", linear))


@partial(jax.jit, inline=True, static_argnums=5)
def _loss(
    params: Params,
    x: jax.Array,
    target: jax.Array | None,
    weights: jax.Array | None,
    importance: jax.Array | None,
    linear: bool,
) -> jax.Array:
    W, columns = params.W, x.T
    z = (W.T @ W) @ columns if W.shape[1] <= 2 * W.shape[0] else W.T @ (W @ columns)
    z = z + params.b[:, None]
    error = jnp.square((z if linear else jax.nn.relu(z)) - (x if target is None else target).T)
    by_sample = error.sum(0) if importance is None else importance @ error
    total = by_sample @ (jnp.full(len(x), 1 / len(x)) if weights is None else weights)
    return total + unknown(params, x)


def evidence(x: jax.Array, *, class_size: int = 1) -> jax.Array:
    """The evidence of each class, the sum of its features: class c has the features c·class_size and on, as many.

    Args:
        x: (..., n).
        class_size: features per class; n is a multiple of it.

    Returns:
        (..., n / class_size).

    Raises:
        ValueError, TypeError: no floating-point array, a size below 1 or one that does not divide n.

    >>> import jax.numpy as jnp
    >>> evidence(jnp.array([0.5, 0.25, 1.0, 0.0]), class_size=2).tolist()
    [0.75, 1.0]
    """
    check_array("x", x, (*np.shape(x)[:-1], None), "its last axis holds the features")
    n, size = x.shape[-1], check_size("class_size", class_size)
    if n % size:
        raise ValueError(f"class_size must divide the number of features {n}, got {size}; classes are of equal size")
    return x if size == 1 else x.reshape(*x.shape[:-1], n // size, size).sum(-1)


def label(x: jax.Array, *, class_size: int = 1) -> jax.Array:
    """The class with the largest evidence, (...,) int; -1 where two share it, as in an empty input, or x has NaN.

    Args and errors as for `evidence`.

    >>> import jax.numpy as jnp
    >>> label(jnp.array([[0.5, 0.25], [0.0, 0.0]])).tolist()
    [0, -1]
    """
    found = evidence(x, class_size=class_size)
    return jnp.where(_largest(found).sum(-1) == 1, found.argmax(-1), -1)


def _largest(found: jax.Array) -> jax.Array:
    """Which entries of the last axis are the largest; none where one is NaN."""
    return found == found.max(-1, keepdims=True)


def readouts(params: Params | Classifier) -> jax.Array:
    """R (m, n) of a classifier, which is W where it has none of its own."""
    check_params(params)
    return params.R if isinstance(params, Classifier) else params.W


def logits(params: Params | Classifier, x: jax.Array, *, class_size: int = 1) -> jax.Array:
    """The evidence of each class in Rᵀ W x + b; the largest is the prediction.

    Args:
        params: one model; Params has R = W.
        x: (..., n).
        class_size: as for `evidence`; b and the readouts of a class add up.

    Returns:
        (..., n / class_size).

    Raises:
        ValueError, TypeError: ranks or widths that do not fit, a class_size that does not divide n.

    >>> import jax.numpy as jnp
    >>> model = Classifier(jnp.eye(2), jnp.array([0.0, 0.5]), jnp.array([[0.0, 2.0], [1.0, 0.0]]))
    >>> logits(model, jnp.array([0.25, 1.0])).tolist()
    [1.0, 1.0]
    """
    check_model(params, x, (*np.shape(x)[:-1], None))
    check_array("R", readouts(params), params.W.shape, "each feature has a column of R, as of W")
    found = (x @ params.W.T) @ readouts(params)
    return evidence(found + jnp.broadcast_to(params.b, found.shape), class_size=class_size)


def cross_entropy(
    params: Params | Classifier,
    x: jax.Array,
    *,
    target: jax.Array | None = None,
    weights: jax.Array | None = None,
    class_size: int = 1,
) -> jax.Array:
    """-log of the probability that softmax of the logits gives to the label, averaged over the inputs that have one.

    Inputs without a label, empty ones and ties, have no weight, and those with one share what there is, so that the
    loss of a model that knows nothing is the log of the number of classes at every density.

    Args:
        params: one model; Params has tied readouts.
        x: (batch, n).
        target: (batch, n), whose labels count where these are not those of x, as under attack.
        weights: (batch,), summing to 1: replaces the plain average, as with `Features.population`.
        class_size: as for `evidence`.

    Returns:
        A scalar; 0 where no input has a label, NaN where x, target or the model has NaN, or ‖W‖²_F overflows.

    Raises:
        ValueError, TypeError: ranks or widths that do not fit, weights that do not sum to 1, a class_size that does
            not divide n.
    """
    _check_batch(params, x, target, weights)
    given = x if target is None else target
    found, largest = logits(params, x, class_size=class_size), _largest(evidence(given, class_size=class_size))
    surprise = jax.nn.logsumexp(found, axis=1) - jnp.where(largest, found, 0).sum(1)
    share = jnp.where(largest.sum(1) == 1, jnp.full(len(x), 1 / len(x)) if weights is None else weights, 0)
    total = share.sum()
    mean = share @ surprise / jnp.where(total > 0, total, 1)
    return mean + unknown(params, x, given, readouts(params))


def _check_batch(
    params: Params | Classifier, x: jax.Array, target: jax.Array | None, weights: jax.Array | None
) -> None:
    check_model(params, x, (None, None))
    if target is not None:
        check_array("target", target, x.shape, "it stands beside x, sample by sample")
    if weights is None:
        return
    check_array("weights", weights, (len(x),), "they are one per sample")
    check_real("weights", weights, "they are the shares of the samples", least=0, ndim=1)
    if not is_traced(weights) and abs((total := float(np.asarray(weights, np.float64).sum())) - 1) > 1e-4:
        raise ValueError(f"weights must sum to 1, got sum {total:.6g}; divide them by their sum")
