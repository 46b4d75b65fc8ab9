"""An attacked sample in the row space of W, the only directions in which an attack does anything.

With W = U S Vᵀ and r = min(m, n), an attack δ = V q, ‖q‖ = ‖δ‖, moves the pre-activations z = Wᵀ W x + b to
u = z + A q, where A = V S². The error e(q) = Σ_j φ_j(u_j), φ_j(u) = (ReLU(u) - x_j)², is a function of r numbers, not
n. It is convex where x_j = 0; where x_j > 0 it is so on either side of u = 0, but not across.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from toylib.checks import check_finite, check_real
from toylib.model import Params, check_model


class RowSpace(NamedTuple):
    """One sample of one model in the row space of W."""

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


def check_attack(params: Params, x: jax.Array, shape: tuple, radius: ArrayLike) -> jax.Array:
    """Check what every attack takes (finite params, x of the shape, radius at least 0); return the radius."""
    check_model(params, x, shape)
    for name, value in (("W", params.W), ("b", params.b), ("x", x)):
        check_finite(name, value)
    check_real("radius", radius, minimum=0.0)
    return jnp.asarray(radius, jnp.float32)


def attacked_error(params: Params, x: jax.Array, delta: jax.Array, activation=jax.nn.relu) -> jax.Array:
    """e = ‖x - activation(Wᵀ W (x + δ) + b)‖², without checks."""
    z = ((x + delta) @ params.W.T) @ params.W + params.b
    return jnp.square(activation(z) - x).sum()


def unit(v: jax.Array) -> jax.Array:
    """v/‖v‖ along the last axis; 0 for 0."""
    largest = jnp.abs(v).max(-1, keepdims=True)
    v = v / jnp.where(largest > 0, largest, 1)  # so that tiny vectors do not underflow when squared
    norm = jnp.linalg.norm(v, axis=-1, keepdims=True)
    return v / jnp.where(norm > 0, norm, 1)
