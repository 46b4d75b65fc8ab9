"""Argument checks shared by the public entry points: each message gives the rule, what came, and the remedy."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_traced(value: Any) -> bool:
    """Whether a value is known only while tracing, so that it cannot be checked here."""
    return isinstance(value, jax.core.Tracer)


def check_size(name: str, value: Any, *, minimum: int = 1) -> int:
    """Return `value` if it is an integer of at least `minimum`; raise TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}; sizes are static, so pass a Python int")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}; pass a larger number")
    return int(value)


def check_real(name: str, value: Any, *, minimum: float = -np.inf, below: float = np.inf, ndim: int = 0) -> None:
    """Check that `value` is real, of rank `ndim`, without NaN, and in [minimum, below); traced values pass."""
    if is_traced(value):
        return
    try:
        array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be a number, got {type(value).__name__}; pass a float") from error
    if array.dtype == bool or not (np.issubdtype(array.dtype, np.integer) or jnp.issubdtype(array.dtype, jnp.floating)):
        raise TypeError(f"{name} must be a real number, got {value!r}; pass a float")
    if array.ndim != ndim:
        wanted = "a scalar" if ndim == 0 else f"an array of rank {ndim}"
        raise ValueError(f"{name} must be {wanted}, got shape {array.shape}; use jax.vmap or train_ensemble for grids")
    outside = ~((array >= minimum) & (array < below)) | ~np.isfinite(array)
    if outside.any():
        worst = array[outside].flat[0]
        raise ValueError(f"{name} must lie in [{minimum:g}, {below:g}), got {worst}; pass a finite value in that range")


def check_positive(name: str, value: Any, remedy: str) -> None:
    """Check that `value` is a finite scalar above 0; on the host, so that a constant met while tracing is checked."""
    check_real(name, value)
    if not is_traced(value) and not float(value) > 0:
        raise ValueError(f"{name} must be above 0, got {value}; {remedy}")


def check_sparsity(S: Any, *, ndim: int = 0) -> None:
    """Check that S is a probability in [0, 1), in single precision too."""
    if not is_traced(S) and np.ndim(S) == ndim and np.asarray(S).dtype.kind in "fi":
        one = np.asarray(S)[np.asarray(S, np.float32) == 1]
        if one.size:
            raise ValueError(f"S must lie in [0, 1), got {one[0]:.12g}: every input would be zero; pass a smaller S")
    check_real("S", S, minimum=0.0, below=1.0, ndim=ndim)


def check_key(name: str, key: Any, *, ndim: int = 0) -> None:
    """Check that `key` is a typed key of `jax.random.key`, or an array of them of rank `ndim`."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        came = f"an array of {key.dtype}" if hasattr(key, "dtype") else repr(key)
        raise TypeError(f"{name} must come from jax.random.key, got {came}; old-style PRNGKey arrays are not accepted")
    if key.ndim != ndim:
        remedy = "pass jax.random.split(key, number)" if ndim else "pass one key, or use train_ensemble for many"
        raise ValueError(f"{name} must have rank {ndim}, got shape {key.shape}; {remedy}")


def check_array(name: str, value: Any, shape: Sequence[int | None]) -> None:
    """Check that `value` is a floating-point array whose shape matches; None stands for any length of at least one."""
    dtype, came = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must be a floating-point array, got {dtype or type(value).__name__}; convert it first")
    fits = len(came) == len(shape) and all(c == w if w is not None else c > 0 for c, w in zip(came, shape, strict=True))
    if not fits:
        wanted = "(" + ", ".join("any" if w is None else str(w) for w in shape) + ")"
        raise ValueError(
            f"{name} must have shape {wanted}, got {came}; functions take one model, so use jax.vmap for more"
        )


def check_finite(name: str, value: Any) -> None:
    """Check that an array has no NaN and no infinity; traced values pass."""
    if not is_traced(value) and not np.isfinite(np.asarray(value)).all():
        wrong = int(np.size(value) - np.isfinite(np.asarray(value)).sum())
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {wrong} of {np.size(value)} entries; remove them"
        )
