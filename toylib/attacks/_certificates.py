"""What no L2 attack can exceed: the worst case to a tolerance in up to three hidden dimensions, an interval in more.

In more than three dimensions the upper bound comes from Lagrangian duality. Within the ball u_j stays in [l_j, h_j] =
z_j ∓ radius·‖a_j‖ (`_contract` has the notation), and on that interval φ_j lies below a quadratic ψ_j:

- h_j ≤ 0, always off: ψ_j = x_j², exact. l_j ≥ 0, always on: ψ_j = (u - x_j)², exact.
- otherwise, for any t in [l_j, 0]: ψ_j = x_j² + k (u - t)² with k = h_j (h_j - 2x_j)₊/(h_j - t)². It touches φ_j at u =
  h_j; h (h - 2x)₊/(h - t)²·(u - t)² - u (u - 2x) is concave on [0, h_j] and not negative at its ends.
- for x_j > 0 also, for any β in [-2x_j, 0]: ψ_j = x_j² + βu + αu² with α = max(1 - (β + 2x_j)/h_j, β/|l_j|). At u > 0
  it is above (u - x_j)² because β + 2x_j + (α - 1) u ≥ 0, at u < 0 above x_j² because β + αu ≤ 0.

So e ≤ Σ_j ψ_j = qᵀHq + 2gᵀq + c, whose largest value in the ball is at most, for every μ with μ ≥ 0 and μI - H positive
definite, μ·radius² + gᵀ(μI - H)⁻¹g + c: complete the square. The best μ solves ‖(μI - H)⁻¹g‖ = radius, and the bound is
improved over the choice of t and β in every unit, each choice being sound. With t = min(z_j, 0) and β = -2x_j alone,
where it starts, it already refines √e ≤ √e(0) + radius·σ_max.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from toylib.attacks._branch_and_bound import DIMENSIONS, branch_and_bound
from toylib.attacks._contract import RowSpace, check_attack, normalised, row_space
from toylib.model import Params

_ROUNDING = 1e-6  # of a pre-activation, relative to the numbers it is summed from
_IMPROVEMENTS = 60
_OPTIMIZER = optax.adam(optax.linear_schedule(0.1, 0.0, _IMPROVEMENTS), b1=0.8, b2=0.95)
_ASCENTS, _ASCENT_STEPS = 16, 30


def worst_case(params: Params, x: jax.Array, radius: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Bracket the largest error e = ‖x - model(x + δ)‖² over all ‖δ‖ ≤ radius.

    With min(m, n) ≤ 3 by branch and bound (the module of that name has the proof): upper - lower ≤ 1e-3·upper, up to
    rounding. With more, lower is the best of ascents from the analytic attacks on all features, and upper the dual
    bound of this module; their ratio is near 1 for small radii and grows with the radius.

    Where no unit can change in the ball, lower == upper == e(0), exactly: the sample is certified unattackable.
    Elsewhere upper includes an allowance for single precision, a few 1e-6 of the pre-activations. Products are taken
    with all of its digits on every device, also where the session has set `jax_default_matmul_precision` lower.

    Args:
        params: one model.
        x: (n,), one sample.
        radius: L2 norm, at least 0; may be traced.

    Returns:
        (lower, upper), scalars; NaN where traced values are so large that errors overflow. Under jax.vmap each sample
        waits for the slowest; jax.lax.map is faster on a CPU.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, or so large that errors would not be,
            a negative radius.
    """
    return _worst_case(params, x, check_attack(params, x, (None,), radius))


@jax.jit
@jax.default_matmul_precision("highest")  # rounded as TF32 the bounds were broken by up to 9e-4
def _worst_case(params: Params, x: jax.Array, radius: jax.Array) -> tuple[jax.Array, jax.Array]:
    problem = row_space(params, x)
    column = jnp.linalg.norm(problem.A, axis=1)
    reach = radius * column
    high = problem.z + reach
    harmless = ((high <= 0) | (reach == 0) | ((x > 0) & (problem.z <= 0) & (high <= 2 * x))).all()
    clean = problem.error(jnp.zeros(problem.A.shape[1]))
    rounding = _ROUNDING * jnp.linalg.norm(jnp.abs(params.b) + column * (jnp.linalg.norm(x) + radius))
    if problem.A.shape[1] <= DIMENSIONS:
        lower, upper = branch_and_bound(problem, radius, rounding)
    else:
        lower, upper = _ascend(problem, radius), _dual_bound(problem, radius, reach)
    lower, upper = jnp.maximum(lower, clean), jnp.maximum(lower, upper)
    upper = jnp.square(jnp.sqrt(upper) + rounding)
    known = jnp.isfinite(upper)  # infinity on both sides would look like a certificate
    lower, upper = (jnp.where(known, jnp.where(harmless, clean, bound), jnp.nan) for bound in (lower, upper))
    return lower, upper


def _ascend(problem: RowSpace, radius: jax.Array) -> jax.Array:
    """The largest error on the way of normalised gradient steps from the best analytic attacks, ±a_j/‖a_j‖."""
    directions = normalised(problem.A)
    directions = jnp.concatenate([directions, -directions])
    errors = problem.error(radius * directions)
    starts = directions[jax.lax.top_k(errors, min(_ASCENTS, len(errors)))[1]]
    gradient = jax.vmap(jax.grad(lambda d: problem.error(radius * d)))
    project = jax.vmap(partial(optax.projections.projection_l2_ball, scale=1.0))

    def step(_: Any, state: tuple) -> tuple:
        d, best = state
        d = project(d + 2 * normalised(gradient(d)))
        return d, jnp.maximum(best, problem.error(radius * d).max())

    return jax.lax.fori_loop(0, _ASCENT_STEPS, step, (starts, errors.max()))[1]


class _Quadratics(NamedTuple):
    """ψ_j(u) = α_j u² + β_j u + γ_j, each (n,)."""

    alpha: jax.Array
    beta: jax.Array
    gamma: jax.Array

    def at(self, u: jax.Array) -> jax.Array:
        return (self.alpha * u + self.beta) * u + self.gamma


def _majorants(choice: jax.Array, low: jax.Array, high: jax.Array, x: jax.Array) -> _Quadratics:
    """The quadratics of a choice in [0, 1] for each unit: from t = l_j, by t = 0, for active features to β = -2x_j."""
    t = low * jax.nn.relu(1 - jnp.where(x > 0, 2, 1) * choice)
    k = high * jax.nn.relu(high - 2 * x) / jnp.square(jnp.where(high > t, high - t, 1))
    touching = _Quadratics(k, -2 * k * t, k * jnp.square(t) + jnp.square(x))
    beta = -2 * x * jax.nn.relu(2 * choice - 1)
    safe_high, safe_low = jnp.where(high > 0, high, 1), jnp.where(low < 0, -low, 1)
    kinked = _Quadratics(jnp.maximum(1 - (beta + 2 * x) / safe_high, beta / safe_low), beta, jnp.square(x))
    on = _Quadratics(jnp.ones_like(x), -2 * x, jnp.square(x))
    off = _Quadratics(jnp.zeros_like(x), jnp.zeros_like(x), jnp.square(x))
    cases = [high <= 0, low >= 0, (x > 0) & (choice > 0.5)]
    return jax.tree.map(lambda *psi: jnp.select(cases, psi[:3], psi[3]), off, on, kinked, touching)


def _dual_bound(problem: RowSpace, radius: jax.Array, reach: jax.Array) -> jax.Array:
    A, z, x = problem.A, problem.z, problem.x
    low, high = z - reach, z + reach
    radius = jnp.maximum(radius, 1e-30)

    def bound(psi: _Quadratics) -> tuple[jax.Array, jax.Array]:
        """The bound and the q at which the Lagrangian has its largest value."""
        values, vectors = jnp.linalg.eigh((A.T * psi.alpha[None]) @ A)
        g = vectors.T @ (A.T @ (psi.alpha * z + psi.beta / 2))
        # μ = floor + extra; the floor keeps μI - H positive definite in single precision.
        floor = jax.nn.relu(values[-1]) + 4e-6 * jnp.abs(values).max() + 1e-30

        def halve(_: Any, interval: tuple) -> tuple:
            least, most = interval
            middle = (least + most) / 2
            outside = jnp.linalg.norm(g / (floor + middle - values)) > radius
            return jnp.where(outside, middle, least), jnp.where(outside, most, middle)

        extra = jax.lax.fori_loop(0, 30, halve, (jnp.zeros(()), jnp.linalg.norm(g) / radius))[1]
        q = g / (floor + extra - values)
        terms = psi.at(z)
        slack = 2e-6 * jnp.abs(terms).sum()
        return (floor + extra) * jnp.square(radius) + g @ q + terms.sum() + slack, vectors @ q

    def improve(_: Any, state: tuple) -> tuple:
        choice, memory, best = state
        value, q = bound(_majorants(choice, low, high, x))
        # By the envelope theorem the bound varies with ψ as the Lagrangian at q does.
        slope = jax.grad(lambda c: _majorants(c, low, high, x).at(z + A @ q).sum())(choice)
        with jax.numpy_dtype_promotion("standard"):  # as optax expects
            updates, memory = _OPTIMIZER.update(slope, memory)
        return jnp.clip(choice + updates, 0, 1), memory, jnp.minimum(best, value)

    at_clean = 1 - jnp.clip(z, low, 0) / jnp.where(low < 0, low, 1)  # t = min(z, 0)
    choice = jnp.where(x > 0, jnp.where(z > 0, 1.0, at_clean / 2), at_clean)
    return jax.lax.fori_loop(0, _IMPROVEMENTS, improve, (choice, _OPTIMIZER.init(choice), jnp.inf))[2]
