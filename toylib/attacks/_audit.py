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

from toylib._checks import check_finite, check_flag, check_key, check_real, on_host
from toylib.attacks._analytic import SIGNS, analytic, analytic_dataset, random_direction
from toylib.attacks._ascent import ascend, one_step
from toylib.attacks._branch_and_bound import DIMENSIONS
from toylib.attacks._certificates import worst_case
from toylib.attacks._contract import check_attack, error, row_space, vulnerability
from toylib.model import Params, unknown

NOISE = 1e-4
"""Norm of the random start before a single gradient step, as in Gorton and Lewis 2025, arXiv 2508.17456."""

Values = jax.Array | np.ndarray


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

    clean: Values
    noise: Values
    one_step: Values
    noisy_step: Values
    """One step from a start of norm NOISE."""
    analytic: Values
    analytic_signs: Values
    pgd_unguided: Values
    """Without the start from the analytic attack."""
    pgd: Values
    latent_unguided: Values
    latent: Values
    lower: Values
    """The largest error that any attack here or `worst_case` reached."""
    upper: Values
    """The certified bound of `worst_case`."""
    certified: Values
    """bool: no attack of this norm raises the error."""
    active: Values
    """Share of the units that are on."""
    silent: Values
    """bool: the gradient of the error in the attack is exactly zero."""
    distance: Values
    """Norm of the smallest attack that turns on a unit that is off; infinite where there is none to turn on."""
    empty: Values
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
    check_real("radius", radius, "vulnerability is a gain relative to its square", above=0)
    for X in (chosen_on, measured_on):
        norm = check_attack(params, X, (None, None), radius)
    return _readings(params, chosen_on, measured_on, norm)


@jax.jit
def _readings(params: Params, chosen_on: jax.Array, measured_on: jax.Array, radius: jax.Array) -> Readings:
    plus, signs = (analytic_dataset(params, chosen_on, radius, signs=s)[0] for s in SIGNS)
    each, each_signs = (jax.vmap(partial(analytic, params, radius=radius, signs=s))(measured_on) for s in SIGNS)
    measure = partial(vulnerability, params, radius=radius)
    return Readings(
        measure(measured_on, plus),
        measure(chosen_on, plus),
        measure(measured_on, signs),
        measure(measured_on, each),
        measure(measured_on, each_signs),
    )


def audit(params: Params, X: jax.Array, radius: ArrayLike, *, key: jax.Array) -> Audit:
    """Attack every sample in every way.

    Args:
        params: one model.
        X: (k, n).
        radius: at least 0; may be traced.
        key: from `jax.random.key`, for random starts and directions.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, a negative radius, an old-style key.
    """
    norm = check_attack(params, X, (None, None), radius)
    check_key("key", key, many="pass one key, which is split over the samples")
    return _audit(params, X, norm, jax.random.split(key, len(X)))


@jax.jit
@jax.default_matmul_precision("highest")  # as in the certificates, whose lower bounds are compared with these errors
def _audit(params: Params, X: jax.Array, radius: jax.Array, keys: jax.Array) -> Audit:
    def one(sample: tuple[jax.Array, jax.Array]) -> Audit:
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
        space = row_space(params, x)
        for name, basis in (("pgd", jnp.eye(len(x))), ("latent", space.basis)):
            _, by_start = ascend(params, x, radius, basis, key=key)
            # The last start is that of the analytic attack.
            errors |= {f"{name}_unguided": by_start[:-1].max(), name: by_start.max()}
        lower, upper = worst_case(params, x, radius)
        reach = jnp.linalg.norm(params.W.T @ params.W, axis=1)
        distances = jnp.where((space.z > 0) | (reach == 0), jnp.inf, -space.z / reach)
        return Audit(
            **errors,
            lower=jnp.maximum(lower, jnp.stack(list(errors.values())).max()),
            upper=upper,
            certified=lower == upper,
            active=(space.z > 0).mean() + unknown(params, x),
            silent=(jax.grad(e)(jnp.zeros_like(x)) == 0).all(),
            distance=distances.min(),
            empty=(x == 0).all(),
        )

    # Branch and bound waits for the slowest sample of a batch; everything else gains from one.
    exact = min(params.W.shape) <= DIMENSIONS
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
        ValueError: no sample to consider, or an audit of a model that diverged.
    """
    if not isinstance(found, Audit):
        raise TypeError(f"found must be an Audit, got {type(found).__name__}; pass what audit returns")
    found = Audit(*(on_host(name, column, None) for name, column in found._asdict().items()))
    for name in ("clean", "analytic_signs", "upper"):
        check_finite(name, getattr(found, name), "audit a model that has not diverged")
    counted = ~found.empty if check_flag("nonempty", nonempty) else np.ones_like(found.empty)
    if not counted.any():
        raise ValueError("a share needs at least one sample, got none that is not empty; audit more samples")
    masked = ~found.certified & (found.analytic_signs > found.clean)
    parts = (found.certified, masked, ~found.certified & ~masked)
    return Silence(*(float((part & found.silent)[counted].mean()) for part in parts))
