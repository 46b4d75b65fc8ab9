"""Attacks on the classifiers of `model`: what makes one predict another class, while the label stays.

With readouts r_c summed over the features of class c, an attack δ moves the lead of the predicted class over class j by
-g_j·δ, g_j = Wᵀ(r_j - r_k): the model is linear, so g_j/‖g_j‖ overtakes with the least norm, (z_k - z_j)/‖g_j‖. The
label, the class with the largest evidence, must not change on the way, else the new prediction would be right.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.optimize import nnls

from toylib._checks import check_array, check_flag, check_model, check_params, check_real, check_size, on_host
from toylib.attacks._contract import check_attack, needed, unit
from toylib.model import Classifier, Params, evidence, label, logits, readouts, unknown

Ascent = Literal["margin", "cross-entropy"]


def flipped(params: Params | Classifier, x: jax.Array, delta: jax.Array, *, class_size: int = 1) -> jax.Array:
    """Whether δ succeeds: x is classified right, x + δ has the label of x, and the prediction there is another.

    Args:
        params: one model.
        x: (n,), one sample.
        delta: (n,), the attack.
        class_size: features per class.

    Returns:
        A bool; False where x has no label.

    Raises:
        ValueError, TypeError: shapes that do not fit, a class_size that does not divide n.
    """
    check_model(params, x, (None,))
    check_array("delta", delta, x.shape, "it is added to x; jax.vmap over this function takes more")
    right, attacked = label(x, class_size=class_size), x + delta
    before, after = (logits(params, at, class_size=class_size).argmax() for at in (x, attacked))
    kept = label(attacked, class_size=class_size) == right
    return (right >= 0) & (before == right) & kept & (after != right)


def pairwise(
    params: Params | Classifier, x: jax.Array, radius: ArrayLike, *, key: jax.Array | None = None, class_size: int = 1
) -> jax.Array:
    """radius·g_j/‖g_j‖ for the rival j that leads most then: no attack of this norm gives a rival a larger lead.

    It does not look at the label, which may change; where no attack of this norm can change it, this is the worst case.

    Args:
        params: one model.
        x: (n,), one sample.
        radius: L2 norm, at least 0; may be traced.
        key: ignored, since nothing is random.
        class_size: features per class.

    Returns:
        δ (n,); 0 where x has no label, or the rival cannot be told apart from it.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, a negative radius, a class_size that
            does not divide n.

    Source: Stevinson et al. 2026, arXiv 2510.11709.
    """
    radius = check_attack(params, x, (None,), radius)
    pushes, leads = rivals(params, x, class_size=class_size)
    best = (leads + radius * jnp.linalg.norm(pushes, axis=1)).argmax()
    delta = radius * jnp.where(leads[best] > -jnp.inf, unit(pushes)[best], 0)
    return delta + unknown(params, x, readouts(params))


def rivals(params: Params | Classifier, x: jax.Array, *, class_size: int = 1) -> tuple[jax.Array, jax.Array]:
    """For every class j its push g_j = Wᵀ(r_j - r_k), k the label of x, and its lead z_j - z_k.

    Args:
        params: one model.
        x: (n,), one sample.
        class_size: features per class.

    Returns:
        (k, n) and (k,); the lead is -∞ for the label itself, and for all where x has none.

    Raises:
        ValueError, TypeError: as `logits`.
    """
    check_model(params, x, (None,))
    found, right = logits(params, x, class_size=class_size), label(x, class_size=class_size)
    ways = evidence(readouts(params), class_size=class_size).T @ params.W
    rival = (jnp.arange(len(found)) != right) & (right >= 0)
    return ways - ways[right][None], jnp.where(rival, found - found[right], -jnp.inf)


def margin_pgd(
    params: Params | Classifier,
    x: jax.Array,
    radius: ArrayLike,
    *,
    key: jax.Array | None = None,
    n_steps: int = 50,
    restarts: int = 5,
    step: float = 0.25,
    ascent: Ascent = "margin",
    keep_label: bool = False,
    nonnegative: bool = False,
    class_size: int = 1,
) -> jax.Array:
    """Projected gradient ascent from random points of the ball; of all points on the way the most harmful.

    Harm is the lead of the best rival over the label of x. Steps have one length and follow the normalised gradient.

    Args:
        params: one model.
        x: (n,), one sample.
        radius: L2 norm, at least 0; may be traced.
        key: from `jax.random.key`, for the starts.
        n_steps: steps from each start, at least 1.
        restarts: number of starts, at least 1.
        step: length of a step, as a part of `radius`, above 0.
        ascent: what the gradient is of, the lead of the best rival or the cross-entropy, which pushes all rivals.
        keep_label: choose among the points at which the label is still that of x, instead of among all.
        nonnegative: keep x + δ at 0 or above, as features are, where x is.
        class_size: features per class.

    Returns:
        δ (n,); 0 where x has no label, or nothing on the way is worse than x itself.

    Raises:
        ValueError, TypeError: as `pairwise`, no key or an old-style one, sizes below 1, a step not above 0, another
            ascent.

    Source: 50 steps of a quarter of the norm from 5 starts are those of Stevinson et al. 2026, arXiv 2510.11709.
    """
    radius = check_attack(params, x, (None,), radius)
    key = needed(key, "margin_pgd")
    sizes = {"n_steps": check_size("n_steps", n_steps), "restarts": check_size("restarts", restarts)}
    check_real("step", step, "it is a part of the norm, such as 0.25", above=0)
    if ascent not in ("margin", "cross-entropy"):
        raise ValueError(f'ascent must be "margin" or "cross-entropy", got {ascent!r}; it is what the gradient is of')
    options = {"ascent": ascent, "keep_label": keep_label, "nonnegative": nonnegative}
    for name in ("keep_label", "nonnegative"):
        options[name] = check_flag(name, options[name])
    return _climb(params, x, radius, key, jnp.float32(step), class_size=class_size, **sizes, **options)


@partial(jax.jit, static_argnames=("n_steps", "restarts", "ascent", "keep_label", "nonnegative", "class_size"))
def _climb(
    params: Params | Classifier,
    x: jax.Array,
    radius: jax.Array,
    key: jax.Array,
    step: jax.Array,
    *,
    n_steps: int,
    restarts: int,
    ascent: Ascent,
    keep_label: bool,
    nonnegative: bool,
    class_size: int,
) -> jax.Array:
    pushes, leads = rivals(params, x, class_size=class_size)
    right = label(x, class_size=class_size)

    def look(delta: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The harm at each of δ (restarts, n), and the slope there."""
        ahead = leads[None] + delta @ pushes.T
        harm = ahead.max(1)
        if keep_label:
            harm = jnp.where(label(x[None] + delta, class_size=class_size) == right, harm, -jnp.inf)
        if ascent == "margin":
            return harm, pushes[ahead.argmax(1)]
        # Among the rivals, so that no lead of the label is too large for a slope; its direction is the same.
        shares = jax.nn.softmax(jnp.where(right >= 0, ahead, 0), axis=1)
        return harm, shares @ pushes

    def inside(delta: jax.Array) -> jax.Array:
        delta = jnp.maximum(delta, -x[None]) if nonnegative else delta  # shrinking keeps this, as 0 is inside
        length = jnp.linalg.norm(delta, axis=1, keepdims=True)
        return delta * jnp.minimum(1, radius / jnp.where(length > 0, length, 1))

    def move(_: jax.Array, state: tuple) -> tuple:
        delta, slope, best, highest = state
        delta = inside(delta + step * radius * unit(slope))
        harm, slope = look(delta)
        return delta, slope, jnp.where((harm > highest)[:, None], delta, best), jnp.maximum(harm, highest)

    k_way, k_length = jax.random.split(key)
    ways, lengths = jax.random.normal(k_way, (restarts, len(x))), jax.random.uniform(k_length, (restarts, 1))
    start, still = inside(radius * lengths * unit(ways)), jnp.zeros((restarts, len(x)))
    state = (start, look(start)[1], still, look(still)[0])
    *_, best, highest = jax.lax.fori_loop(0, n_steps, move, state)
    return jnp.where(right >= 0, best[highest.argmax()], 0) + unknown(params, x, readouts(params))


_rivals = jax.jit(jax.default_matmul_precision("highest")(rivals), static_argnames="class_size")


def least_flip(params: Params | Classifier, x: ArrayLike, *, nonnegative: bool = False, class_size: int = 1) -> float:
    """The least norm of an attack that lets another class draw level while the label stays, exactly.

    For each rival this is the shortest δ with g_j·δ ≥ z_k - z_j, and evidence of k at x + δ no less than that of any
    other class: least distance programming (Lawson and Hanson 1974, chapter 23), solved by non-negative least squares.

    Args:
        params: one model.
        x: (n,), one sample; a host function.
        nonnegative: keep x + δ at 0 or above.
        class_size: features per class.

    Returns:
        The norm; 0 where x is classified wrong already, infinity where no attack does it or x has no label.

    Raises:
        ValueError, TypeError: shapes that do not fit, values that are not finite, traced ones, a class_size that does
            not divide n.
    """
    check_params(params)
    for name, value in (("W", params.W), ("b", params.b), ("R", readouts(params)), ("x", x)):
        on_host(name, value)
    sample, size = jnp.asarray(x, jnp.float32), check_size("class_size", class_size)
    check_attack(params, sample, (None,), 0.0)
    pushes, leads = (np.asarray(a, np.float64) for a in _rivals(params, sample, class_size=size))
    if np.isneginf(leads).all():
        return np.inf
    if leads.max() >= 0:
        return 0.0
    lengths, values = np.linalg.norm(pushes, axis=1), np.asarray(sample, np.float64)
    bounds = np.divide(-leads, lengths, out=np.full(len(leads), np.inf), where=lengths > 0)
    right = int(np.flatnonzero(np.isneginf(leads))[0])
    members = np.repeat(np.eye(len(leads)), size, axis=1)
    keep = np.delete(members[right] - members, right, axis=0)
    if check_flag("nonnegative", nonnegative):
        keep = np.vstack([keep, np.eye(len(values))])
    least = np.inf
    for j in np.argsort(bounds):
        if bounds[j] >= least:  # without the label's constraint it would take more already
            break
        rows, room = np.vstack([pushes[j] / lengths[j], keep]), np.append(bounds[j], -keep @ values)
        least = min(least, _shortest(rows, room))
    return float(least)


def _shortest(A: np.ndarray, h: np.ndarray) -> float:
    """min ‖δ‖ with A δ ≥ h; infinite where there is none."""
    scale = max(np.abs(h).max(), 1e-12)
    system, wanted = np.vstack([A.T, h[None] / scale]), np.append(np.zeros(A.shape[1]), 1.0)
    weights, _ = nnls(system, wanted, maxiter=50 * len(h))
    rest = system @ weights - wanted
    return np.inf if -rest[-1] < 1e-10 else scale * float(np.linalg.norm(rest[:-1] / rest[-1]))
