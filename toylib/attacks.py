"""L2 attacks on the reconstruction: perturbations δ, ‖δ‖ ≤ radius, that raise e = ‖x - model(x + δ)‖².

Every attack takes one model and, but for `analytic_dataset`, one sample, and returns δ, not x + δ; use jax.vmap for
more. The target is always the clean x, and δ may leave [0, 1]. A dead feature (W_i = 0), a zero gradient and radius 0
give δ = 0.

Source: Elhage et al. 2022, "Relationship to Adversarial Robustness".
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib.analytic import analytic, analytic_dataset, random_direction, random_feature
from toylib.ascent import latent, one_step, pgd
from toylib.certificates import worst_case
from toylib.checks import check_array, check_finite, check_positive, is_traced
from toylib.model import Params, check_model
from toylib.rowspace import attacked_error, check_attack

__all__ = [
    "analytic",
    "analytic_dataset",
    "error",
    "latent",
    "one_step",
    "pgd",
    "random_direction",
    "random_feature",
    "vulnerability",
    "worst_case",
]


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
    check_array("delta", delta, x.shape)
    return attacked_error(params, x, delta)


def vulnerability(
    params: Params, X: jax.Array, deltas: jax.Array, radius: ArrayLike, *, baseline: ArrayLike | None = None
) -> jax.Array:
    """Mean gain in error under attack, in units of a baseline's: V = (L' - L)/(L'₀ - L₀).

    The ideal model without superposition (W = [I 0], its kept features attacked) has the gain radius² at every sample
    on which the attack leaves its pre-activations positive, so it has V = 1.

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
    check_positive("radius", radius, "vulnerability is a gain relative to it")
    norm = check_attack(params, X, (None, None), radius)
    check_array("deltas", deltas, X.shape if jnp.ndim(deltas) == 2 else X.shape[1:])
    check_finite("deltas", deltas)
    if baseline is None:
        baseline = jnp.square(norm)
    else:
        check_positive("baseline", baseline, "vulnerability is a gain relative to it")
    if not is_traced(deltas) and not is_traced(radius):
        longest = float(np.linalg.norm(np.asarray(deltas), axis=-1).max())
        if longest > float(radius) * (1 + 1e-5):
            raise ValueError(
                f"deltas must have norms of at most radius = {radius}, got {longest:.6g}; pass their radius"
            )
    errors = jax.vmap(lambda x, delta: attacked_error(params, x, delta))
    gains = errors(X, jnp.broadcast_to(deltas, X.shape)) - errors(X, jnp.zeros_like(X))
    return gains.mean() / baseline
