"""Checks of arguments at the border of the library, before anything is compiled.

A message says the rule, what came, and what to do. The first two follow from the check; the remedy is the caller's,
because only the call knows what works for it. Values met while tracing cannot be checked and pass.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SINGLE = "jax.vmap over this function takes more"
"""Remedy of functions of one model or one sample."""
HOST = "this function runs on the host, so call it once per value"
"""Remedy of functions that neither jax.jit nor jax.vmap can take."""


def is_traced(value: Any) -> bool:
    """Whether a value is known only while tracing."""
    return isinstance(value, jax.core.Tracer)


def check_size(name: str, value: Any, *, least: int = 1, remedy: str = "") -> int:
    """Return `value` as an int if it is a whole number of at least `least`; raise TypeError or ValueError if not."""
    remedy = remedy or f"pass a Python int from {least} up, since sizes cannot be traced"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}; {remedy}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}; {remedy}")
    return int(value)


def check_real(
    name: str,
    value: Any,
    remedy: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    ndim: int = 0,
    many: str = SINGLE,
) -> None:
    """Check that a value is real, of a rank, and in a range, in the single precision in which it will be used.

    Args:
        name: of the argument, for the message.
        value: what came.
        remedy: what to do about a value of the wrong type or out of the range.
        least, above: lower end of the range, included or not.
        most, below: its upper end, included or not.
        ndim: rank.
        many: what to do about a value of another rank.
    """
    if is_traced(value):
        return
    try:
        array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}; {remedy}") from error
    if array.dtype.kind not in "iuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must be a real number, got {value!r}; {remedy}")
    if array.ndim != ndim:
        wanted = "a scalar" if ndim == 0 else f"an array of rank {ndim}"
        raise ValueError(f"{name} must be {wanted}, got shape {array.shape}; {many}")
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(array.astype(np.float32))
    ends = {word: end for word, end in zip(_BEYOND, (least, above, most, below), strict=True) if end is not None}
    for word, end in ends.items():
        wrong |= _BEYOND[word](array, end)
    if wrong.any():
        raise ValueError(f"{name} must {_range(ends)}, got {array[wrong].flat[0]:.12g}; {remedy}")


_BEYOND = {"at least": np.less, "above": np.less_equal, "at most": np.greater, "below": np.greater_equal}


def _range(ends: dict[str, float]) -> str:
    """A range in words, from one end or two, or none."""
    if len(ends) == 2:
        lower, upper = (f"{end:g}" for end in ends.values())
        return f"lie in {'[' if 'at least' in ends else '('}{lower}, {upper}{']' if 'at most' in ends else ')'}"
    return "be " + "".join(f"{word} {end:g} and " for word, end in ends.items()) + "finite in single precision"


def check_sparsity(S: Any, *, ndim: int = 0, many: str = SINGLE) -> None:
    """Check that S is a probability in [0, 1); at 1 every input would be zero."""
    remedy = "it is the probability that a gate is off, and at 1 every input would be zero"
    check_real("S", S, remedy, least=0, below=1, ndim=ndim, many=many)


def density(S: Any, *, ndim: int = 0, many: str = SINGLE) -> Any:
    """p = 1 - S in single precision for a valid S; from a double where S is known, so that S near 1 loses no digits."""
    check_sparsity(S, ndim=ndim, many=many)
    return 1 - S if is_traced(S) else jnp.asarray(1.0 - np.asarray(S, np.float64), jnp.float32)


def check_key(name: str, key: Any, *, ndim: int = 0, many: str = "pass one key") -> None:
    """Check that `key` is a typed key of `jax.random.key`, or an array of them of rank `ndim`."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        came = f"an array of {key.dtype}" if hasattr(key, "dtype") else repr(key)
        raise TypeError(
            f"{name} must come from jax.random.key, got {came}; {many if ndim else 'pass jax.random.key(seed)'}"
        )
    if key.ndim != ndim:
        raise ValueError(f"{name} must have rank {ndim}, got shape {key.shape}; {many}")


def check_array(name: str, value: Any, shape: Sequence[int | None], remedy: str = SINGLE) -> None:
    """Check that `value` is a floating-point array whose shape matches; None stands for any length of at least one."""
    dtype, came = getattr(value, "dtype", None), getattr(value, "shape", ())
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        came = type(value).__name__ if dtype is None else dtype
        raise TypeError(f"{name} must be a floating-point array, got {came}; convert it to jnp.float32")
    fits = len(came) == len(shape) and all(c == w if w is not None else c > 0 for c, w in zip(came, shape, strict=True))
    if not fits:
        wanted = "(" + ", ".join("any" if w is None else str(w) for w in shape) + ")"
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(came)}; {remedy}")


def check_finite(name: str, value: Any, remedy: str = "see what made it so") -> None:
    """Check that an array has no NaN and no infinity; traced values pass."""
    if not is_traced(value) and (wrong := np.count_nonzero(~np.isfinite(np.asarray(value)))):
        raise ValueError(f"{name} must be finite, got NaN or infinity in {wrong} of {np.size(value)} entries; {remedy}")


def check_model(params: Any, x: Any, shape: tuple[int | None, ...]) -> None:
    """Check that W, b and x fit; `shape` is that of x, its last entry replaced by n."""
    if not (hasattr(params, "W") and hasattr(params, "b")):
        raise TypeError(f"params must have W and b, got {type(params).__name__}; pass toylib.model.Params(W, b)")
    check_array("W", params.W, (None, None), "it is one model's (m, n); jax.vmap takes more models")
    n = params.W.shape[1]
    width = f"W {params.W.shape} has {n} features"
    check_array("b", params.b, (n,), width)
    rank = "jax.vmap takes more samples" if len(shape) == 1 else "its rows are samples, so one sample is x[None]"
    check_array("x", x, (*shape[:-1], n), width if np.ndim(x) == len(shape) else rank)


def check_hashable(name: str, value: Any) -> None:
    """Check that `value` can be hashed, as the key under which what is compiled or computed for it is remembered."""
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            f"{name} must be hashable, so that what is compiled for it serves again, got {type(value).__name__}: "
            f"{error}; make its class a dataclass(frozen=True) with hashable fields"
        ) from error
