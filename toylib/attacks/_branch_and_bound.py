"""Branch and bound for the worst attack in up to three dimensions.

The planes u_j = 0 of the active features (x_j > 0) are where the error stops being convex. They cut the ball of attacks
into O(kʳ) cells for k active features, not 2ᵏ; a cell that no plane crosses has its maximum on the sphere. The search
covers the ball by frustums C = {s·d : d in a spherical simplex with corners d_k, low ≤ s ≤ high} and bounds each:

1. **Convex majorant.** On a frustum where an active u_j changes sign and is at most M, φ_j(u) ≤ x_j² + ReLU(u)·(M -
   2x_j)₊, because u² - 2 x_j u ≤ u (M - 2 x_j) for 0 ≤ u ≤ M. All other φ_j are convex there. Their sum ψ is convex and
   ψ ≥ e.
2. **Corners.** Along a ray ψ is largest at s = low or s = high. Each of these two pieces of a sphere lies in the hull
   of its corners s·d_k and s·d_k/c, if c ≤ ‖Σ w_k d_k‖ for all weights w. As ‖Σ w_k d_k‖² = 1 - Σ_{k<l} w_k w_l ‖d_k -
   d_l‖² and Σ_{k<l} w_k w_l ≤ (r - 1)/2r, c² = 1 - h² (r - 1)/2r will do, h the longest edge. A convex ψ is largest at
   a corner.
3. **Curvature.** Where the units J are on, the Hessian of ψ is at least 2κ with κ a lower bound (Gershgorin's) on the
   eigenvalues of Σ_J a_j a_jᵀ. Then ψ - κ(‖q‖² - high²) is convex too and equals ψ on the sphere s = high; at the outer
   corners it is smaller by κ·high²(1/c² - 1). Without this a flat maximum, an octahedron's, would need very small
   cells.

The error of a bound falls with the square of the size of a cell, or linearly where a plane crosses it. The frustum with
the largest bound is halved, along its longest edge, until the largest bound is within TOLERANCE of the largest error
seen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toylib.attacks._contract import RowSpace, normalised

DIMENSIONS = 3
"""The most dimensions that `branch_and_bound` takes."""
TOLERANCE = 5e-4
"""Relative gap at which the search stops."""

_SIZES = {1: (16, 2), 2: (256, 16), 3: (8192, 64)}  # dimensions -> frustums in the pool, and of these halved at once
_ROUNDS = 1000


class _Frustums(NamedTuple):
    directions: jax.Array  # (c, r, r), unit vectors d_k in rows
    low: jax.Array  # (c,)
    high: jax.Array  # (c,)
    bound: jax.Array  # (c,), on e; -inf marks a free place


def branch_and_bound(problem: RowSpace, radius: jax.Array, rounding: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Bracket the largest error in the ball.

    Args:
        problem: of at most DIMENSIONS dimensions.
        radius: of the ball.
        rounding: the root of an error below which a difference counts as rounding.

    Returns:
        The largest error seen and a bound on all, both scalars; the pool is large enough that they agree to TOLERANCE
        unless very many cells matter, and the bound holds even then.
    """
    r = problem.A.shape[1]
    pool, splits = _SIZES[r]
    off = problem.z + radius * jnp.linalg.norm(problem.A, axis=1) <= 0  # in the whole ball
    signs = np.stack(np.meshgrid(*[[1.0, -1.0]] * r), -1).reshape(-1, r, 1)
    orthants = jnp.asarray(signs * np.eye(r), jnp.float32)
    low, high = jnp.zeros(len(orthants)), jnp.full(len(orthants), radius)
    bound, errors, *_ = _bounds(problem, off, orthants, low, high)
    roots = _Frustums(orthants, low, high, bound)
    frustums = jax.tree.map(lambda root: jnp.resize(root, (pool, *root.shape[1:])), roots)
    frustums = frustums._replace(bound=frustums.bound.at[len(orthants) :].set(-jnp.inf))
    highest = jnp.maximum(errors.max(), problem.error(jnp.zeros(r)))

    def enough(highest: jax.Array) -> jax.Array:
        return jnp.square(jnp.sqrt(highest * (1 + TOLERANCE)) + rounding)

    def unfinished(state: tuple) -> jax.Array:
        frustums, highest, _, rounds = state
        return (frustums.bound.max() > enough(highest)) & (rounds < _ROUNDS)

    def halve(state: tuple) -> tuple:
        frustums, highest, lost, rounds = state
        top, where = jax.lax.top_k(frustums.bound, splits)
        wanted = top > enough(highest)
        # The second halves take the places with the least bounds; what stood there is remembered by its bound.
        least, free = jax.lax.top_k(-frustums.bound, splits)
        lost = jnp.maximum(lost, jnp.where(wanted, -least, -jnp.inf).max())
        halves = _halves(problem, off, frustums.directions[where], frustums.low[where], frustums.high[where])
        bound, errors, *_ = _bounds(problem, off, *halves)
        place = jnp.concatenate([jnp.where(wanted, where, pool), jnp.where(wanted, free, pool)])
        new = _Frustums(*halves, jnp.minimum(bound, jnp.tile(top, 2)))
        frustums = jax.tree.map(lambda old, half: old.at[place].set(half, mode="drop"), frustums, new)
        highest = jnp.maximum(highest, jnp.where(jnp.tile(wanted, 2), errors, -jnp.inf).max())
        return frustums, highest, lost, rounds + 1

    frustums, highest, lost, _ = jax.lax.while_loop(unfinished, halve, (frustums, highest, -jnp.inf, 0))
    return highest, jnp.maximum(highest, jnp.maximum(frustums.bound.max(), lost))


def _bounds(problem: RowSpace, off: jax.Array, directions: jax.Array, low: jax.Array, high: jax.Array) -> tuple:
    """Of c frustums: the bound on e, the largest error at the corners s = high, ‖d_k - d_l‖² and where planes cross."""
    A, z, x = problem.A, problem.z, problem.x
    r = A.shape[1]
    edges = jnp.square(directions[:, :, None] - directions[:, None]).sum(-1)  # (c, r, r)
    shrink = jnp.sqrt(1 - edges.max((1, 2)) * (r - 1) / (2 * r))
    scales = jnp.stack([low, low / shrink, high, high / shrink], 1)  # (c, 4)
    u = scales[:, :, None, None] * (directions @ A.T)[:, None]  # (c, 4, r, n)
    u = u + jnp.broadcast_to(z, u.shape)
    most = u.max((1, 2))  # (c, n)
    crossed = ((x > 0) & ~off)[None] & (u.min((1, 2)) < 0) & (most > 0)
    relu, square = jax.nn.relu(u), jnp.broadcast_to(jnp.square(x), u.shape)
    convex = jnp.square(relu - jnp.broadcast_to(x, u.shape))
    chord = square + relu * jax.nn.relu(most - 2 * x[None])[:, None, None]
    psi = jnp.where(crossed[:, None, None], chord, convex)
    psi = jnp.where(jnp.broadcast_to(off, u.shape), square, psi).sum(-1).max(2)  # (c, 4)
    on = (u[:, 2:].min((1, 2)) >= 0) & ~crossed & ~off[None]
    hessian = jnp.einsum("cn,ni,nj->cij", on.astype(A.dtype), A, A)
    diagonal = jnp.diagonal(hessian, axis1=1, axis2=2)
    kappa = jax.nn.relu((2 * diagonal - jnp.abs(hessian).sum(2)).min(1)) * (1 - 1e-5)
    less = kappa * jnp.square(high) * (1 / jnp.square(shrink) - 1)
    bound = jnp.maximum(psi[:, :3].max(1), psi[:, 3] - less)
    return bound, convex[:, 2].sum(-1).max(1), edges, crossed.any(1)


def _halves(
    problem: RowSpace, off: jax.Array, directions: jax.Array, low: jax.Array, high: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Halve c frustums along the radius, where a plane crosses and it is the longest edge, or else in angle: 2c."""
    _, _, edges, crossed = _bounds(problem, off, directions, low, high)
    c, r, _ = directions.shape
    radial = (crossed & (high - low > high * jnp.sqrt(edges.max((1, 2))))) | (r == 1)
    each, (i, j) = jnp.arange(c), jnp.divmod(edges.reshape(c, -1).argmax(1), r)
    middle = normalised(directions[each, i] + directions[each, j])
    half, keep = (low + high) / 2, radial[:, None, None]
    first = jnp.where(keep, directions, directions.at[each, i].set(middle)), low, jnp.where(radial, half, high)
    second = jnp.where(keep, directions, directions.at[each, j].set(middle)), jnp.where(radial, half, low), high
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
