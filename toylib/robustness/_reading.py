"""How well a model can be read: linear probes of its hidden activations, and axes as near to features as can be.

Neither depends on the length of W as a whole: who reads sees the activations as they are, without noise.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toylib._checks import check_array, check_finite, check_key, check_model, check_size
from toylib.model import Params

_CUT = 1e-5  # singular values of the activations below this share of the largest are rounding
_STEPS = 60  # of varimax, from each start
_FINITE = "read a model that has not diverged, on finite inputs"


class Probe(NamedTuple):
    """What linear probes find on samples that they were not fitted on."""

    auc: jax.Array
    """(n,): the probability that a sample in which feature i is active has a higher reading than one in which it is
    not, ties counted half: 1 for a perfect probe, 0.5 for chance; NaN where feature i is active in no sample or in all.
    """
    explained: jax.Array
    """(n,): R² of the value x_i, 1 - the mean squared error of the reading over the variance of x_i; NaN where x_i does
    not vary. Below 0 where the reading is worse than the mean."""


def probe(params: Params, X: jax.Array, held_out: jax.Array) -> Probe:
    """Read every feature from the hidden activations h = Wx by a linear probe of its own.

    For feature i two probes a·h + c are fitted by least squares to X: of whether x_i > 0, and of x_i. For independent
    features of one variance the R² of all n features add up to the rank of W, whatever W is: the reading of x_i
    explains a share equal to the i-th diagonal entry of the projector on the rows of W. So on average over all
    features R² says nothing about a model but its rank; which features share it, and the AUC, do.

    Args:
        params: one model, of which only W is used.
        X: (k, n), samples that the probes are fitted to.
        held_out: (l, n), other samples, on which they are measured.

    Returns:
        A Probe, each field over the features.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite.
    """
    for name, x in (("X", X), ("held_out", held_out)):
        check_model(params, x, (None, None))
        check_finite(name, x, _FINITE)
    check_finite("W", params.W, _FINITE)
    return _probe(*(jnp.asarray(array, jnp.float32) for array in (params.W, X, held_out)))


@jax.jit
def _probe(W: jax.Array, X: jax.Array, held_out: jax.Array) -> Probe:
    hidden = X @ W.T
    middle = hidden.mean(0)
    basis, triangle = jnp.linalg.qr(hidden - middle[None])
    inverse = jnp.linalg.pinv(triangle, rtol=_CUT) @ basis.T

    def reading(target: jax.Array) -> jax.Array:
        mean = target.mean(0)
        return (held_out @ W.T - middle[None]) @ (inverse @ (target - mean[None])) + mean[None]

    active = held_out > 0
    auc = jax.vmap(_auc, 1)(reading((X > 0).astype(W.dtype)), active)
    error = jnp.square(held_out - reading(X)).mean(0)
    variance = held_out.var(0)
    return Probe(auc, jnp.where(variance > 0, 1 - error / jnp.where(variance > 0, variance, 1), jnp.nan))


def _auc(readings: jax.Array, active: jax.Array) -> jax.Array:
    """Mann and Whitney's statistic over the number of pairs, from the mean rank of the active samples."""
    unread = jnp.isnan(readings).any()  # sorting would rank NaN
    readings, active = jax.lax.sort((readings, active), num_keys=1)
    at, ends = jnp.arange(len(active)), jnp.pad(readings[1:] != readings[:-1], 1, constant_values=True)
    first = jax.lax.cummax(jnp.where(ends[:-1], at, 0))  # of the readings that tie
    last = jax.lax.cummin(jnp.where(ends[1:], at, len(at)), reverse=True)
    ranks = ((first + last + 2) / 2).astype(readings.dtype)
    n_active = active.sum().astype(readings.dtype)
    n_off = len(active) - n_active
    mean_rank = jnp.where(active, ranks, 0).sum() / jnp.where(n_active > 0, n_active, jnp.nan)
    share = (mean_rank - (n_active + 1) / 2) / jnp.where(n_off > 0, n_off, jnp.nan)
    return jnp.where(unread, jnp.nan, share)


def monosemanticity(W: jax.Array) -> jax.Array:
    """Share of the squared weight that belongs to the top feature of its unit: Σ_u max_i W_ui² / ‖W‖²_F.

    Args:
        W: (m, n), a unit per row; `rotated` gives the axes for which units are as nearly features as they can be.

    Returns:
        A scalar: 1 where every unit has one feature, 1/2 for opposite pairs on axes, at least 1/n; 0 for W = 0, NaN
        for a W of NaN.

    Raises:
        ValueError, TypeError: W is not a floating-point matrix.
    """
    check_array("W", W, (None, None))
    largest = jnp.abs(W).max()
    mass = jnp.square((W / jnp.where(largest > 0, largest, 1)).astype(jnp.float32))  # no W is too small or large
    total = mass.sum()
    return jnp.where(total == 0, 0, mass.max(1).sum() / jnp.where(total == 0, 1, total))


def rotated(W: jax.Array, *, key: jax.Array, restarts: int = 8) -> jax.Array:
    """R·W with the orthogonal R by which the axes of the hidden space come nearest to features, by varimax.

    The largest found of Σ_u Var_i((RW)_ui²), the variance over features of the squared weights of a unit, summed over
    units: iterated from random rotations, the best kept. Units stand in the order of their top features, whose weights
    are positive. The model is the same function before and after.

    Args:
        W: (m, n).
        key: from `jax.random.key`, for the starts.
        restarts: how many starts, at least 1.

    Returns:
        (m, n), with WᵀW unchanged.

    Raises:
        ValueError, TypeError: W is not a floating-point matrix or not finite, an old-style key, no start.

    Source: Kaiser 1958, The varimax criterion for analytic rotation in factor analysis.
    """
    check_array("W", W, (None, None))
    check_finite("W", W, _FINITE)
    check_key("key", key)
    return _rotated(jnp.asarray(W, jnp.float32), key, check_size("restarts", restarts))


@partial(jax.jit, static_argnums=2)
def _rotated(W: jax.Array, key: jax.Array, restarts: int) -> jax.Array:
    scale = jnp.exp2(jnp.frexp(jnp.abs(W).max())[1].astype(W.dtype))
    A = W / scale  # entries below 1, so that fourth powers neither vanish nor overflow

    def near(M: jax.Array) -> jax.Array:
        left, _, right = jnp.linalg.svd(M)
        return left @ right

    def step(_: int, R: jax.Array) -> jax.Array:
        B = R @ A
        slope = B**3 - B * jnp.square(B).mean(-1, keepdims=True)
        return near(slope @ A.T)

    starts = jax.vmap(near)(jax.random.normal(key, (restarts, len(W), len(W)), W.dtype))
    turned = jax.vmap(lambda R: jax.lax.fori_loop(0, _STEPS, step, R))(starts) @ A
    best = scale * turned[jnp.square(turned).var(-1).sum(-1).argmax()]
    top = jnp.abs(best).argmax(1)
    sign = jnp.where(jnp.take_along_axis(best, top[:, None], 1) < 0, -1, 1).astype(W.dtype)
    return (sign * best)[jnp.argsort(top)]
