"""Attacks by gradients: one step, and projected ascent from several starts."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from toylib._checks import check_real, check_size, is_traced
from toylib.attacks._analytic import most_harmful
from toylib.attacks._columns import side_by_side
from toylib.attacks._contract import attacked_error, check_attack, needed, row_space, unit
from toylib.model import Params

STARTS = ("zero", "random", "one_step", "analytic")


def one_step(
    params: Params, x: jax.Array, radius: ArrayLike, *, key: jax.Array | None = None, noise: jax.Array | float = 0.0
) -> jax.Array:
    """One normalised gradient step of length `radius`, from a start of norm `noise`, back into the ball.

    Args:
        params: one model.
        x: (n,), one sample.
        radius: L2 norm, at least 0; may be traced.
        key: from `jax.random.key`, for the start; needed where there is noise.
        noise: norm of the random start, at most `radius` of it; 0 starts at x.

    Returns:
        δ (n,); the start itself where the gradient there is zero.

    Raises:
        ValueError, TypeError: as `analytic`, noise without a key, an old-style key, a negative noise.

    Source: the noise as in Gorton and Lewis 2025, arXiv 2508.17456.
    """
    radius = check_attack(params, x, (None,), radius)
    check_real("noise", noise, "it is the norm of the random start, 0 for none", least=0)
    quiet = noise == 0  # traced inside of a compilation even if noise is not
    if not is_traced(quiet) and quiet:
        return radius * _uphill(params, {"x": x[:, None], "at": x[:, None]})[:, 0]
    start = jnp.minimum(noise, radius) * unit(jax.random.normal(needed(key, "one_step with noise"), x.shape))
    moved = start + radius * _uphill(params, {"x": x[:, None], "at": (x + start)[:, None]})[:, 0]
    length = jnp.linalg.norm(moved)
    return moved * jnp.minimum(1, radius / jnp.where(length > 0, length, 1))


@jax.jit
@side_by_side
def _uphill(params: Params, columns: dict[str, jax.Array]) -> jax.Array:
    """The direction (n, c) in which the error of each target x (n, c) rises most at the input `at` (n, c), or 0."""
    u = params.W.T @ (params.W @ columns["at"]) + params.b[:, None]
    pull = jax.grad(lambda u: jnp.square(jax.nn.relu(u) - columns["x"]).sum())(u)
    return unit(params.W.T @ (params.W @ pull), axis=0)


def pgd(
    params: Params,
    x: jax.Array,
    radius: ArrayLike,
    *,
    key: jax.Array | None = None,
    n_steps: int = 40,
    restarts: int = 10,
    starts: Sequence[str] = STARTS,
    smoothing: ArrayLike | None = None,
) -> jax.Array:
    """Projected gradient ascent with normalised steps from several starts; of all points on the way the most harmful.

    A step has length 2·radius at first, which falls linearly to 0, and ends in the ball. The gradient is zero where
    every unit is off: a start inside this dead zone stays there. Unit j leaves it at the distance -z_j/‖G_j‖, which the
    bias sets, so random starts have the full norm `radius`; smaller ones could only be inside for longer.

    Args:
        params: one model.
        x: (n,), one sample.
        radius: L2 norm, at least 0; may be traced.
        key: from `jax.random.key`, for the random starts; not needed without them.
        n_steps: steps from each start, at least 1.
        restarts: number of random starts, at least 1.
        starts: of "zero", "random", "one_step" and "analytic" (the most harmful feature, both signs).
        smoothing: replaces ReLU(u) by smoothing·log(1 + exp(u/smoothing)) in the gradients, not in the choice of the
            best; in units of u, above 0. None keeps the ReLU.

    Returns:
        δ (n,), with the largest error of all starts and steps.

    Raises:
        ValueError, TypeError: as `analytic`, a random start without a key, an old-style key, unknown or no starts,
            sizes below 1, smoothing not above 0.
    """
    return _search(params, x, radius, key, n_steps, restarts, starts, smoothing, in_row_space=False)


def latent(
    params: Params,
    x: jax.Array,
    radius: ArrayLike,
    *,
    key: jax.Array | None = None,
    n_steps: int = 40,
    restarts: int = 10,
    starts: Sequence[str] = STARTS,
    smoothing: ArrayLike | None = None,
) -> jax.Array:
    """The search of `pgd` among attacks in the row space of W, the min(m, n) directions that matter.

    Gradients lie in the row space anyway, but a random start in n dimensions spends most of its norm outside.
    Arguments, result and errors as in `pgd`.
    """
    return _search(params, x, radius, key, n_steps, restarts, starts, smoothing, in_row_space=True)


def _search(
    params: Params,
    x: jax.Array,
    radius: ArrayLike,
    key: jax.Array | None,
    n_steps: int,
    restarts: int,
    starts: Sequence[str],
    smoothing: ArrayLike | None,
    *,
    in_row_space: bool,
) -> jax.Array:
    radius = check_attack(params, x, (None,), radius)
    starts = tuple(starts) if isinstance(starts, Sequence) else (starts,)
    if not starts or not all(isinstance(start, str) and start in STARTS for start in starts):
        raise ValueError(f"starts must name some of {', '.join(STARTS)}, got {starts!r}; leave out what is not there")
    key = needed(key, "a search with random starts") if "random" in starts else None
    if smoothing is not None:
        check_real("smoothing", smoothing, "pass None for the ReLU", above=0)
    sizes = {"n_steps": check_size("n_steps", n_steps), "restarts": check_size("restarts", restarts)}
    basis = row_space(params, x).basis if in_row_space else jnp.eye(x.shape[0])
    return ascend(params, x, radius, basis, key=key, starts=starts, smoothing=smoothing, **sizes)[0]


@partial(jax.jit, static_argnames=("n_steps", "restarts", "starts"))
def ascend(
    params: Params,
    x: jax.Array,
    radius: jax.Array,
    basis: jax.Array,
    *,
    key: jax.Array | None,
    n_steps: int = 40,
    restarts: int = 10,
    starts: tuple[str, ...] = STARTS,
    smoothing: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The search of `pgd`, without checks, among δ = radius·basis·q, ‖q‖ ≤ 1, basis (n, d) with orthonormal columns.

    Returns:
        The best δ (n,), and the largest error on the way from each start (s,), in the order of `starts`.
    """
    # Of q the model sees k = min(d, m) coordinates, along which all gradients lie. What it does not see keeps the
    # direction of the start and is one more coordinate. In these the steps are the same, with half the products.
    seen = (params.W @ basis).T  # (d, m)
    d, m = seen.shape
    axes, factor = jnp.linalg.qr(seen) if d > m else (jnp.eye(d), seen)  # (d, k), (k, m)
    pushes = jnp.pad((factor @ params.W).T, ((0, 0), (0, 1)))  # (n, k + 1), 0 for what is not seen

    begin = {
        "zero": lambda: jnp.zeros((1, d)),
        "random": lambda: unit(jax.random.normal(needed(key, "a random start"), (restarts, d))),
        "one_step": lambda: unit(jax.grad(partial(attacked_error, params, x))(jnp.zeros_like(x)) @ basis)[None],
        "analytic": lambda: (most_harmful(params, x, radius, "±") @ basis)[None],
    }
    q = jnp.concatenate([begin[name]() for name in starts])  # (s, d)
    along = q @ axes
    rest = q - along @ axes.T
    y = jnp.concatenate([along, jnp.linalg.norm(rest, axis=1, keepdims=True)], axis=1)
    z = (x @ params.W.T) @ params.W + params.b
    own = {"x": x, "z": z, "radius": radius} | ({} if smoothing is None else {"smoothing": smoothing})
    columns = {name: jnp.repeat(jnp.atleast_1d(leaf)[:, None], len(q), axis=1) for name, leaf in own.items()}
    best, (highest,) = side_by_side(partial(_climb, n_steps=n_steps))(pushes, columns | {"y": y.T})
    first = highest.argmax()
    along, beside = best[:-1, first], best[-1, first]
    return radius * (basis @ (axes @ along + beside * unit(rest[first]))), highest


def _climb(pushes: jax.Array, columns: dict[str, jax.Array], *, n_steps: int) -> tuple[jax.Array, jax.Array]:
    """Searches in columns, from y (k + 1, c): x and z (n, c), radius and perhaps smoothing (1, c); pushes (n, k + 1).

    Returns:
        The best y (k + 1, c) on the way, and its error (1, c).
    """
    x, z, radius, y = (columns[name] for name in ("x", "z", "radius", "y"))
    smoothing = columns.get("smoothing")

    def activation(u: jax.Array) -> jax.Array:
        return jax.nn.relu(u) if smoothing is None else jax.nn.softplus(u / smoothing) * smoothing

    def look(y: jax.Array) -> tuple[jax.Array, jax.Array]:
        u = z + pushes @ (radius * y)
        pull = jax.grad(lambda u: jnp.square(activation(u) - x).sum())(u)
        return jnp.square(jax.nn.relu(u) - x).sum(0, keepdims=True), pushes.T @ pull

    project = jax.vmap(partial(optax.projections.projection_l2_ball, scale=1.0), 1, 1)

    def step(t: jax.Array, state: tuple) -> tuple:
        y, slope, best, highest = state
        y = project(y + 2 * (1 - t / n_steps) * unit(slope, axis=0))
        error, slope = look(y)
        # A slope beyond single precision, as of an extreme smoothing, ends its start at the best so far.
        return y, slope, jnp.where(error > highest, y, best), jnp.fmax(highest, error)

    error, slope = look(y)
    return jax.lax.fori_loop(0, n_steps, step, (y, slope, y, error))[2:]
