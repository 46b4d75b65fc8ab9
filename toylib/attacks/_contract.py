"""What an attack is, what it is checked for, how its harm is measured, and the few directions in which it acts.

With W = U S Vᵀ and r = min(m, n), an attack δ = V q, ‖q‖ = ‖δ‖, moves the pre-activations z = Wᵀ W x + b to
u = z + A q, where A = V S². The error e(q) = Σ_j φ_j(u_j), φ_j(u) = (ReLU(u) - x_j)², is a function of r numbers, not
n. It is convex where x_j = 0; where x_j > 0 it is so on either side of u = 0, but not across.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib._checks import check_array, check_attacked, check_finite, check_key, check_model, check_real, is_traced
from toylib.model import Classifier, Params, relu, unknown


class Attack(Protocol):
    """(params, x (n,), radius, key=key) -> δ (n,), ‖δ‖ ≤ radius: any attack here, its options bound by partial."""

    def __call__(
        self, params: Params, x: jax.Array, radius: ArrayLike, /, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Find δ; a deterministic attack ignores the key, a random one raises TypeError without it."""


def check_attack(
    params: Params | Classifier, x: jax.Array, shape: tuple[int | None, ...], radius: ArrayLike
) -> jax.Array:
    """Check what every attack takes (finite params, x of the shape, radius at least 0); return the radius."""
    check_attacked(params, x, shape, radius)
    return jnp.asarray(radius, jnp.float32)


def needed(key: jax.Array | None, attack: str) -> jax.Array:
    """The key of a random attack; TypeError without one."""
    if key is None:
        raise TypeError(f"key must be given to {attack}, which draws at random, got None; pass jax.random.key(seed)")
    check_key("key", key, many="pass one key; jax.vmap takes one per sample")
    return key


@partial(jax.jit, inline=True, static_argnums=3)
def attacked_error(
    params: Params, x: jax.Array, delta: jax.Array, activation: Callable[[jax.Array], jax.Array] = jax.nn.relu
) -> jax.Array:
    """e = ‖x - activation(Wᵀ W (x + δ) + b)‖², without checks."""
    z = ((x + delta) @ params.W.T) @ params.W + params.b
    return jnp.square(activation(z) - x).sum()


def unit(v: jax.Array, axis: int = -1) -> jax.Array:
    """v/‖v‖ along an axis; 0 for 0."""
    largest = jnp.abs(v).max(axis, keepdims=True)
    return normalised(v / jnp.where(largest > 0, largest, 1), axis)  # so that no tiny vector underflows when squared


def normalised(v: jax.Array, axis: int = -1) -> jax.Array:
    """v/‖v‖ along an axis, for vectors that do not underflow when squared; 0 for 0."""
    squared = jnp.square(v).sum(axis, keepdims=True)
    return v / jnp.sqrt(jnp.where(squared > 0, squared, 1))  # the root is not taken at 0, where it has no slope


class RowSpace(NamedTuple):
    """One sample of one model in the row space of W, the only directions in which an attack does anything."""

    basis: jax.Array
    """V (n, r), orthonormal columns."""
    A: jax.Array
    """(n, r), row j is a_j; ‖a_j‖ is the norm of column j of Wᵀ W."""
    z: jax.Array
    """(n,), pre-activations of the clean sample."""
    x: jax.Array
    """(n,), the target."""

    def error(self, q: jax.Array) -> jax.Array:
        """e at q (..., r); returns (...,)."""
        u = q @ self.A.T
        u = u + jnp.broadcast_to(self.z, u.shape)
        return jnp.square(jax.nn.relu(u) - jnp.broadcast_to(self.x, u.shape)).sum(-1)


def row_space(params: Params, x: jax.Array) -> RowSpace:
    """Reduce one model and one sample x (n,) to the row space of W."""
    _, singular, rows = jnp.linalg.svd(params.W, full_matrices=False)
    z = (x @ params.W.T) @ params.W + params.b
    return RowSpace(rows.T, rows.T * jnp.square(singular)[None], z, x)


def error(params: Params, x: jax.Array, delta: jax.Array) -> jax.Array:
    """e = ‖x - ReLU(Wᵀ W (x + δ) + b)‖², summed over features.

    Args:
        params: one model.
        x: (n,), one clean sample.
        delta: (n,), the attack.

    Returns:
        A scalar.

    Raises:
        ValueError, TypeError: shapes that do not fit.
    """
    check_model(params, x, (None,))
    check_array("delta", delta, x.shape, "it is added to x; jax.vmap over this function takes more")
    return attacked_error(params, x, delta, relu)


def vulnerability(
    params: Params, X: jax.Array, deltas: jax.Array, radius: ArrayLike, *, baseline: ArrayLike | None = None
) -> jax.Array:
    """Mean gain in error under attack, in units of a baseline's: V = (L' - L)/(L'₀ - L₀).

    The ideal model without superposition (W = [I 0], attacked on the features that it represents) has the gain radius²
    at every sample on which the attack leaves its pre-activations positive, so it has V = 1.

    Args:
        params: one model.
        X: (batch, n), clean samples.
        deltas: (batch, n), or (n,) for one attack on all.
        radius: their L2 norm, above 0.
        baseline: the mean gain of the model to compare with, above 0; by default radius², the ideal model's.

    Returns:
        A scalar; below 0 where the attack helps.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, a δ longer than radius, radius or
            baseline not above 0.
    """
    check_real("radius", radius, "vulnerability is a gain relative to its square", above=0)
    norm = check_attack(params, X, (None, None), radius)
    check_array(
        "deltas", deltas, X.shape if jnp.ndim(deltas) == 2 else X.shape[1:], "pass one per sample, or one for all"
    )
    check_finite("deltas", deltas)
    if baseline is not None:
        check_real("baseline", baseline, "vulnerability is a gain relative to it", above=0)
    if not is_traced(deltas) and not is_traced(radius):
        longest = float(np.linalg.norm(np.asarray(deltas), axis=-1).max())
        if longest > float(np.asarray(radius)) * (1 + 1e-5):
            raise ValueError(
                f"deltas must have norms of at most radius = {radius}, got {longest:.6g}; pass their radius"
            )
    errors = jax.vmap(lambda x, delta: attacked_error(params, x, delta))
    gains = errors(X, jnp.broadcast_to(deltas, X.shape)) - errors(X, jnp.zeros_like(X))
    unit_gain = jnp.square(norm) if baseline is None else baseline
    return gains.mean() / unit_gain + unknown(params, deltas)
