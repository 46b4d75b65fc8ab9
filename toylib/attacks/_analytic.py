"""Attacks along columns of WᵀW, and their random controls."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from toylib._checks import check_flag
from toylib.attacks._contract import attacked_error, check_attack, needed, unit
from toylib.attacks._contract import row_space as row_space_of
from toylib.model import Params

Signs = Literal["+", "±"]
SIGNS: tuple[Signs, Signs] = "+", "±"


def analytic(
    params: Params, x: jax.Array, radius: ArrayLike, *, key: jax.Array | None = None, signs: Signs = "+"
) -> jax.Array:
    """The attack radius·G_i/‖G_i‖, G = Wᵀ W, on the feature i for which it harms this sample most.

    It raises the pre-activation of feature i as much as any attack of its norm can. All candidates may lower the error
    of a sample; the least helpful is then returned.

    Args:
        params: one model.
        x: (n,), one sample.
        radius: L2 norm, at least 0; may be traced.
        key: ignored, since nothing is random.
        signs: "+" tries +G_i alone, as the paper's formula reads; "±" tries -G_i as well.

    Returns:
        δ (n,).

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, a negative radius, other signs.
    """
    radius = check_attack(params, x, (None,), radius)
    return radius * most_harmful(params, x, radius, _check_signs(signs))


def analytic_dataset(
    params: Params, X: jax.Array, radius: ArrayLike, *, signs: Signs = "+"
) -> tuple[jax.Array, jax.Array]:
    """The one attack radius·G_i/‖G_i‖ that raises the mean error of a data set most.

    A choice made on few points looks better on these points than on others: choose on one part of the data and measure
    on another.

    Args:
        params: one model.
        X: (batch, n).
        radius: L2 norm, at least 0; may be traced.
        signs: "+" or "±", as in `analytic`.

    Returns:
        δ (n,), and the feature i, an integer scalar.

    Raises:
        ValueError, TypeError: as `analytic`.
    """
    radius = check_attack(params, X, (None, None), radius)
    best, direction = _most_harmful_in_mean(params, X, radius, _check_signs(signs))
    return radius * direction, best % X.shape[1]


def random_feature(
    params: Params, x: jax.Array, radius: ArrayLike, *, key: jax.Array | None = None, signs: Signs = "+"
) -> jax.Array:
    """The attack radius·G_i/‖G_i‖ on a feature i drawn uniformly: cheap enough for adversarial training.

    Args:
        params: one model.
        x: (n,), one sample; the attack does not depend on it.
        radius: L2 norm, at least 0; may be traced.
        key: from `jax.random.key`.
        signs: "+", or "±" for a random sign.

    Returns:
        δ (n,).

    Raises:
        ValueError, TypeError: as `analytic`, and no key, or an old-style one.
    """
    radius = check_attack(params, x, (None,), radius)
    key = needed(key, "random_feature")
    n = x.shape[0]
    drawn = jax.random.randint(key, (), 0, n if _check_signs(signs) == "+" else 2 * n)
    return jnp.where(drawn < n, radius, -radius) * unit(params.W.T @ params.W[:, drawn % n])


def random_direction(
    params: Params, x: jax.Array, radius: ArrayLike, *, key: jax.Array | None = None, row_space: bool = False
) -> jax.Array:
    """Noise of norm `radius` in a uniformly random direction: the control that any attack should beat.

    Of noise in all n directions the model sees the part in the row space of W, a share min(m, n)/n of its energy; noise
    in the row space is the control for attacks that are chosen there.

    Args:
        params: one model.
        x: (n,), one sample; gives the size.
        radius: L2 norm, at least 0; may be traced.
        key: from `jax.random.key`.
        row_space: draw among the directions in the row space of W.

    Returns:
        δ (n,).

    Raises:
        ValueError, TypeError: as `analytic`, and no key, or an old-style one.
    """
    radius = check_attack(params, x, (None,), radius)
    key = needed(key, "random_direction")
    if not check_flag("row_space", row_space):
        return radius * unit(jax.random.normal(key, x.shape))
    space = row_space_of(params, x)
    reach = jnp.abs(space.A).max(0)  # squared singular values, of which those of missing dimensions are rounding
    drawn = jnp.where(reach > 1e-12 * reach.max(), jax.random.normal(key, reach.shape), 0)
    return radius * (space.basis @ unit(drawn))


@partial(jax.jit, static_argnames="signs")
def most_harmful(params: Params, x: jax.Array, radius: jax.Array, signs: Signs) -> jax.Array:
    """The direction (n,) among these that raises the error of x most at this radius."""
    directions = _directions(params, signs)
    return directions[_errors(params, x, radius * _pushes(params, directions)).argmax()]


@partial(jax.jit, static_argnames="signs")
def _most_harmful_in_mean(params: Params, X: jax.Array, radius: jax.Array, signs: Signs) -> tuple:
    """The position and the direction (n,) among these that raises the mean error of X most at this radius."""
    directions = _directions(params, signs)
    pushes = radius * _pushes(params, directions)
    # Gains, because the errors may all be large and alike; and all at once, because a running sum loses digits.
    clean = jax.vmap(lambda x: attacked_error(params, x, jnp.zeros_like(x)))(X)
    gains = jax.lax.map(lambda x: _errors(params, x, pushes), X, batch_size=64) - clean[:, None]
    best = gains.mean(0).argmax()
    return best, directions[best]


def _pushes(params: Params, directions: jax.Array) -> jax.Array:
    """What each direction adds to the pre-activations, (directions, n): the same for every sample."""
    return (directions @ params.W.T) @ params.W


def _errors(params: Params, x: jax.Array, pushes: jax.Array) -> jax.Array:
    """The error of x (n,) under each push (k, n); returns (k,)."""
    z = (x @ params.W.T) @ params.W + params.b
    by_unit = pushes.T  # turned once, so that the loop reads what lies together

    def add(j: jax.Array, errors: jax.Array) -> jax.Array:
        return errors + jnp.square(jax.nn.relu(z[j] + by_unit[j]) - x[j])

    # Unit by unit, because for many samples at once XLA sums (samples, k, n) over its last axis one number at a time.
    return jax.lax.fori_loop(0, len(x), add, jnp.zeros(len(pushes)))


def _directions(params: Params, signs: Signs) -> jax.Array:
    """G_i/‖G_i‖ in rows, (n, n), and their negatives after them for "±", (2n, n)."""
    plus = unit(params.W.T @ params.W)
    return plus if signs == "+" else jnp.concatenate([plus, -plus])


def _check_signs(signs: Signs) -> Signs:
    if not isinstance(signs, str) or signs not in SIGNS:
        raise ValueError(f'signs must be "+" or "±", got {signs!r}; "±" tries both')
    return signs
