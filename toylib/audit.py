"""How vulnerable one trained model is: every attack on the same samples, and the readings of the paper's protocol.

The paper gives one sentence of protocol. Our headline reading: one feature for the data set, the attack with sign +,
the radius a tenth of the mean norm of all inputs, the gain of the ideal model (radius²) as unit, the feature chosen on
one half of the samples and the gain measured on the other.

Source: Elhage et al. 2022, "Relationship to Adversarial Robustness".
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib import arrangement
from toylib.ascent import ascend
from toylib.attacks import (
    analytic,
    analytic_dataset,
    error,
    one_step,
    random_direction,
    vulnerability,
    worst_case,
)
from toylib.checks import check_key, check_positive
from toylib.model import Params
from toylib.rowspace import check_attack, row_space

NOISE = 1e-4
"""Norm of the random start before a single gradient step, as in Gorton and Lewis 2025, arXiv 2508.17456."""


class Readings(NamedTuple):
    """V = mean gain/radius² under readings of the protocol, scalars."""

    dataset: jax.Array
    """One feature for the data set, sign +, measured on other samples than it was chosen on: the headline."""
    in_sample: jax.Array
    """The same, on the samples it was chosen on: too high."""
    dataset_signs: jax.Array
    """One feature and one sign for the data set."""
    sample: jax.Array
    """The most harmful feature for each sample, sign +."""
    sample_signs: jax.Array
    """The most harmful feature and sign for each sample."""


class Audit(NamedTuple):
    """What k samples suffer, each (k,): errors e under each attack, and what the gradient sees."""

    clean: jax.Array
    noise: jax.Array
    one_step: jax.Array
    noisy_step: jax.Array
    """One step from a start of norm NOISE."""
    analytic: jax.Array
    analytic_signs: jax.Array
    pgd_unguided: jax.Array
    """Without the start from the analytic attack."""
    pgd: jax.Array
    latent_unguided: jax.Array
    latent: jax.Array
    lower: jax.Array
    """The largest error found: by any attack here, or by `worst_case`."""
    upper: jax.Array
    """The certified bound of `worst_case`."""
    certified: jax.Array
    """bool: no attack of this norm raises the error."""
    active: jax.Array
    """Share of the units that are on."""
    silent: jax.Array
    """bool: the gradient of the error in the attack is exactly zero."""
    distance: jax.Array
    """Norm of the smallest attack that turns on a unit that is off; infinite where there is none to turn on."""
    empty: jax.Array
    """bool: x = 0."""


def readings(params: Params, chosen_on: jax.Array, measured_on: jax.Array, radius: ArrayLike) -> Readings:
    """The readings of the protocol for one model.

    Args:
        params: one model.
        chosen_on: (k, n), samples on which the feature for the data set is chosen.
        measured_on: (l, n), samples on which all but `in_sample` are measured.
        radius: above 0; may be traced.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, a radius not above 0.
    """
    check_positive("radius", radius, "vulnerability is a gain relative to it")
    for X in (chosen_on, measured_on):
        norm = check_attack(params, X, (None, None), radius)
    return _readings(params, chosen_on, measured_on, norm)


@jax.jit
def _readings(params: Params, chosen_on: jax.Array, measured_on: jax.Array, radius: jax.Array) -> Readings:
    plus, signs = (analytic_dataset(params, chosen_on, radius, signs=s)[0] for s in ("+", "±"))
    each, each_signs = (jax.vmap(lambda x, s=s: analytic(params, x, radius, signs=s))(measured_on) for s in ("+", "±"))
    measure = partial(vulnerability, params, radius=radius)
    return Readings(
        measure(measured_on, plus),
        measure(chosen_on, plus),
        measure(measured_on, signs),
        measure(measured_on, each),
        measure(measured_on, each_signs),
    )


def audit(params: Params, X: jax.Array, radius: float, *, key: jax.Array) -> Audit:
    """Attack every sample in every way.

    Args:
        params: one model.
        X: (k, n).
        radius: at least 0; may be traced.
        key: from `jax.random.key`, for random starts and directions.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, a negative radius, an old-style key.
    """
    radius = check_attack(params, X, (None, None), radius)
    check_key("key", key)
    return _audit(params, X, radius, jax.random.split(key, len(X)))


@jax.jit
def _audit(params: Params, X: jax.Array, radius: jax.Array, keys: jax.Array) -> Audit:
    def one(sample):
        x, key = sample
        e = partial(error, params, x)
        attacks = {
            "clean": jnp.zeros_like(x),
            "noise": random_direction(params, x, radius, key=key),
            "one_step": one_step(params, x, radius, key=key),
            "noisy_step": one_step(params, x, radius, key=key, noise=NOISE),
            "analytic": analytic(params, x, radius),
            "analytic_signs": analytic(params, x, radius, signs="±"),
        }
        errors = {name: e(delta) for name, delta in attacks.items()}
        for name, basis in (("pgd", jnp.eye(len(x))), ("latent", row_space(params, x).basis)):
            _, by_start = ascend(params, x, radius, basis, key=key)
            # The last start is that of the analytic attack.
            errors |= {f"{name}_unguided": by_start[:-1].max(), name: by_start.max()}
        lower, upper = worst_case(params, x, radius)
        z = (x @ params.W.T) @ params.W + params.b
        reach = jnp.linalg.norm(params.W.T @ params.W, axis=1)
        distance = jnp.where((z <= 0) & (reach > 0), -z / jnp.where(reach > 0, reach, 1), jnp.inf).min()
        return Audit(
            **errors,
            lower=jnp.maximum(lower, jnp.stack(list(errors.values())).max()),
            upper=upper,
            certified=lower == upper,
            active=(z > 0).mean(),
            silent=(jax.grad(e)(jnp.zeros_like(x)) == 0).all(),
            distance=distance,
            empty=(x == 0).all(),
        )

    # Branch and bound waits for the slowest sample of a batch; everything else gains from one.
    exact = min(params.W.shape) <= arrangement.DIMENSIONS
    return jax.lax.map(one, (X, keys), batch_size=1 if exact else 8)


class Silence(NamedTuple):
    """Samples whose gradient is exactly zero, split three ways; shares of all samples considered."""

    certified: float
    """No attack of this norm raises the error: a dead zone, with nothing for a gradient to find."""
    masked: float
    """The analytic attack, either sign, raises the error: what the gradient hides."""
    unresolved: float
    """Neither."""


def silence(found: Audit, *, nonempty: bool = False) -> Silence:
    """Split the samples with zero gradient.

    Args:
        found: an audit, or several with their samples concatenated.
        nonempty: leave out empty inputs.

    Returns:
        Shares that sum to the share of samples with zero gradient.

    Raises:
        ValueError: no sample to consider.
    """
    found = Audit(*(np.asarray(column) for column in found))
    kept = ~found.empty if nonempty else np.ones_like(found.empty)
    if not kept.any():
        raise ValueError("a share needs at least one sample, got none that is not empty; audit more samples")
    masked = ~found.certified & (found.analytic_signs > found.clean)
    parts = (found.certified, masked, ~found.certified & ~masked)
    return Silence(*(float((part & found.silent)[kept].mean()) for part in parts))
