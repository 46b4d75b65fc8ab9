"""What adversarial training leaves of a model: what it still represents, how cleanly, and at what loss.

A model trained under attack can end in four ways, each defined here: superposition is eliminated, the model has given
up, superposition is reduced, or none of these. No rule has a unit: an attack shortens a model as a whole, so norms are
relative to the longest, interference to its square, and what a model is worth is the share of the ideal model's saving.

Source: Elhage et al. 2022, "Relationship to Adversarial Robustness", last paragraph.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib._checks import (
    check_array,
    check_attacked,
    check_finite,
    check_key,
    check_model,
    check_size,
    density,
    on_host,
)
from toylib.attacks import error, latent
from toylib.geometry import feature_dimensionality, features_per_dimension
from toylib.model import Params, loss
from toylib.reporting import interval_mean

KEPT = 0.5
"""A feature is kept where ‖W_i‖ exceeds this share of the longest: half, where few models have any feature."""
GIVEN_UP = 0.1
"""A model has given up where it keeps less than this share of the ideal model's saving."""
CLEAN_DIMENSIONALITY, CLEAN_INTERFERENCE = 0.9, 0.25
"""Superposition counts as eliminated above the one, in the mean over kept features, and below the other, anywhere.

Both stand where few models are. Attacks leave traces of interference of up to a fifth of the largest squared norm,
which 0.1 would cut through; pairs that share a dimension have 0.4 and more.
"""


Values = jax.Array | np.ndarray


class Superposition(NamedTuple):
    """What a model represents, and how much of it in superposition; scalars, all NaN where ‖W‖²_F is not finite."""

    features_per_dimension: Values
    """F = ‖W‖²_F/m."""
    longest: Values
    """The largest ‖W_i‖."""
    kept: Values
    """Number of features with ‖W_i‖ above half of the longest, a float because it may be NaN; 0 for W = 0."""
    dimensionality: Values
    """Mean of D_i over the kept features; 0 where none is."""
    interference: Values
    """Largest |(WᵀW)_ij| off the diagonal, over all features, relative to the largest squared norm; 0 for W = 0."""
    mean_interference: Values
    """Mean |(WᵀW)_ij| over pairs of different kept features, relative likewise; 0 for less than two."""
    effective: Values
    """exp of the entropy of the shares ‖W_i‖²/‖W‖²_F, from 1 to n; 0 for W = 0."""


def superposition(W: jax.Array) -> Superposition:
    """Measure W (m, n).

    Raises:
        ValueError, TypeError: W is not a floating-point matrix.

    Source: kept, dimensionality: Elhage et al. 2022; effective features as in Bereska et al. 2025, arXiv 2512.13568,
    with the squared norms of the directions as masses.
    """
    check_array("W", W, (None, None))
    return _superposition(W)


@jax.jit
def _superposition(W: jax.Array) -> Superposition:
    mass = jnp.square(W).sum(0)
    kept = mass > KEPT**2 * mass.max()
    gram = jnp.abs(W.T @ W - jnp.diag(mass)) / jnp.where(mass.max() > 0, mass.max(), 1)
    pairs = kept[:, None] & kept[None] & ~jnp.eye(len(mass), dtype=bool)
    total = mass.sum()
    share = mass / jnp.where(total > 0, total, 1)
    entropy = -jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1)), 0).sum()
    found = Superposition(
        features_per_dimension(W),
        jnp.sqrt(mass.max()),
        kept.sum().astype(W.dtype),
        _mean(feature_dimensionality(W), kept),
        gram.max(),
        _mean(gram, pairs),
        jnp.where(total > 0, jnp.exp(entropy), 0),
    )
    # Comparisons, and on a CPU the largest entry of a product, take NaN for a number.
    return jax.tree.map(lambda field: jnp.where(jnp.isfinite(total), field, jnp.nan), found)


def _mean(values: jax.Array, where: jax.Array) -> jax.Array:
    """The mean over the entries where a condition holds; 0 where it never does."""
    return jnp.where(where, values, 0).sum() / jnp.maximum(where.sum(), 1).astype(values.dtype)


def saving(params: Params, X: jax.Array, S: ArrayLike) -> jax.Array:
    """Share of the ideal model's saving that a model keeps: (L_nothing - L)/(L_nothing - L_ideal), on clean inputs.

    L_nothing is the loss of the constant output p/2, on the same samples, so that their number of active features
    cancels. W = [I_m 0] saves m·(p/3 - p²/4) of it in the mean over the distribution (independent features). 1 is the
    ideal model, 0 one that represents nothing; superposition exceeds 1, and a model worse than a constant is below 0.

    Args:
        params: one model.
        X: (k, n), clean samples with sparsity S.
        S: sparsity in [0, 1); may be traced.

    Returns:
        A scalar, averaged over the samples; NaN for a model of NaN.

    Raises:
        ValueError, TypeError: shapes that do not fit, S outside [0, 1).
    """
    check_model(params, X, (None, None))
    p = density(S)
    nothing = jnp.square(X - p / 2).sum(-1).mean()
    return (nothing - loss(params, X)) / (len(params.W) * (p / 3 - p**2 / 4))


def given_up(kept_saving: ArrayLike) -> np.ndarray:
    """Whether nothing to speak of is represented: less than a tenth of the ideal model's saving is kept.

    Args:
        kept_saving: from `saving`, of one model or with leading axes.

    Returns:
        bool, with the leading axes.

    Raises:
        ValueError: a model that diverged.
    """
    kept = on_host("kept_saving", kept_saving)
    check_finite("kept_saving", kept, _LEAVE_OUT)
    return kept < GIVEN_UP


def eliminated(found: Superposition, kept_saving: ArrayLike, n_hidden: int) -> np.ndarray:
    """Whether no superposition is left in a model that has not given up and uses every dimension.

    Exactly m features are kept, their mean dimensionality is above 0.9, and no entry of WᵀW off the diagonal reaches a
    quarter of the largest squared norm.

    Args:
        found: of one model, or with leading axes.
        kept_saving: of the same, from `saving`.
        n_hidden: m.

    Returns:
        bool, with the leading axes.

    Raises:
        ValueError, TypeError: m below 1 or not an integer, a model that diverged.
    """
    _check_found(found)
    if np.shape(kept_saving) != np.shape(found.kept):
        raise ValueError(
            f"kept_saving must have a share for each model, shape {np.shape(found.kept)}, got {np.shape(kept_saving)}; "
            "pass saving of the same models"
        )
    kept, dimensionality, interference = (np.asarray(a) for a in (found.kept, found.dimensionality, found.interference))
    clean = (dimensionality > CLEAN_DIMENSIONALITY) & (interference < CLEAN_INTERFERENCE)
    return (kept == check_size("n_hidden", n_hidden)) & clean & ~given_up(kept_saving)


def reduced(found: Superposition, plain: Superposition) -> bool:
    """Whether training under attack lowered both F and the number of kept features by more than the seeds vary.

    Both differences to plain training, seed by seed, have 95 % intervals (Student's t) below 0.

    Args:
        found: of k seeds under attack, each field (k,), k at least 2.
        plain: of the same seeds without.

    Raises:
        ValueError: fewer than two seeds, different numbers of them, or values that are not finite.
    """
    _check_found(found, plain)
    fields = ("features_per_dimension", "kept")
    before, after = ([np.asarray(getattr(each, name), float) for name in fields] for each in (plain, found))
    if [a.shape for a in before] != [a.shape for a in after]:
        raise ValueError(
            f"seeds are compared one by one, got {before[0].shape} without attack and {after[0].shape} under it; "
            "pass the same seeds"
        )
    return all(interval_mean(a - b).high < 0 for a, b in zip(after, before, strict=True))


def outcome(found: Superposition, kept_saving: ArrayLike, plain: Superposition, n_hidden: int) -> str:
    """How training under one attack ended, over k seeds: what happened to at least half of them, or the change in mean.

    Arguments and errors as in `reduced` and `eliminated`.

    Returns:
        "eliminated" or "given up" where at least half of the seeds are, else "reduced" or "none".
    """
    _check_found(found, plain)
    ends = {"given up": given_up(kept_saving), "eliminated": eliminated(found, kept_saving, n_hidden)}
    for name, happened in ends.items():
        if np.mean(happened) >= 0.5:
            return name
    return "reduced" if reduced(found, plain) else "none"


_LEAVE_OUT = "leave out what diverged, and say so"


def _check_found(*found: Superposition) -> None:
    if odd := [type(each).__name__ for each in found if not isinstance(each, Superposition)]:
        raise TypeError(f"found and plain must be Superposition, got {odd[0]}; pass what superposition returns")
    for name, value in (pair for each in found for pair in each._asdict().items()):
        check_finite(name, on_host(name, value), _LEAVE_OUT)


def measured(data: Any) -> Superposition:
    """The fields of a dataset (xarray) of trained models as a Superposition of arrays, in the order of its axes."""
    return Superposition(*(np.asarray(data[name]) for name in Superposition._fields))


def outcomes(data: Any, n_hidden: int) -> Any:
    """How training ended in every cell of a grid of trained models, over its seeds.

    Args:
        data: a dataset (xarray) with `saving` and the fields of Superposition over the dimensions seed, norm and
            others; the first norm is 0, plain training.
        n_hidden: m.

    Returns:
        A DataArray of `outcome`, without the seed; "none" at norm 0.

    Raises:
        ValueError: the first norm is not 0, the seeds are too few, or a model diverged.
    """
    if float(data.norm[0]) != 0:
        raise ValueError(f"the first norm must be 0, plain training, got {float(data.norm[0])}; sort by norm")
    kept = data.kept.transpose("seed", ..., "norm")
    table = kept.isel(seed=0, drop=True).astype("U10")
    data = data.transpose("seed", ..., "norm")
    found, kept_saving = measured(data), data.saving.values
    for at in np.ndindex(table.shape):
        cell, plain = (Superposition(*(field[:, *where] for field in found)) for where in (at, (*at[:-1], 0)))
        table[at] = outcome(cell, kept_saving[:, *at], plain, n_hidden)
    return table


def attacked_loss(params: Params, X: jax.Array, radius: ArrayLike, *, key: jax.Array) -> jax.Array:
    """Mean error under the strongest gradient attack here: 40 steps in the row space from every start, the best kept.

    Meant to be stronger than what a model was trained on, so that masked gradients do not pass for robustness: it
    starts from the analytic attack, either sign, one gradient step, the clean sample and ten random points.

    Args:
        params: one model.
        X: (k, n), samples.
        radius: L2 norm, at least 0; may be traced.
        key: from `jax.random.key`, for the random starts.

    Returns:
        A scalar: summed over features, averaged over samples; at radius 0 the clean loss.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, a negative radius, an old-style key.
    """
    check_attacked(params, X, (None, None), radius)
    check_key("key", key, many="pass one key, which is split over the samples")
    return _attacked_loss(params, X, radius, jax.random.split(key, len(X)))


@jax.jit
def _attacked_loss(params: Params, X: jax.Array, radius: jax.Array, keys: jax.Array) -> jax.Array:
    def one(sample: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, key = sample
        return error(params, x, latent(params, x, radius, key=key))

    return jax.lax.map(one, (X, keys), batch_size=64).mean()
