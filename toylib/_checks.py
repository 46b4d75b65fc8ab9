"""Checks of arguments at the border of the library, before anything is compiled.

A message says the rule, what came, and what to do. The first two follow from the check; the remedy is the caller's,
because only the call knows what works for it. Values met while tracing cannot be checked and pass.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SINGLE = "jax.vmap over this function takes more"
"""Remedy of functions of one model or one sample."""
HOST = "this function runs on the host, so call it once per value"
"""Remedy of functions that neither jax.jit nor jax.vmap can take."""
LARGEST = 1e18
"""Of a pre-activation: what is made of its square stays far from the largest number in single precision."""


def is_traced(value: Any) -> bool:
    """Whether a value is known only while tracing."""
    return isinstance(value, jax.core.Tracer)


def check_size(name: str, value: Any, *, least: int = 1, most: int = 2**31 - 1, remedy: str = "") -> int:
    """Return `value` as an int if it is a whole number from `least` to `most`; raise TypeError or ValueError if not.

    By default `most` is what fits into the counters of compiled programs.
    """
    remedy = remedy or f"pass a Python int from {least} up, since sizes cannot be traced"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}; {remedy}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}; {remedy}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}; pass a smaller one")
    return int(value)


def check_batch(batch_size: Any, numbers: int) -> int:
    """Return the size of a batch whose samples take so many random numbers each; all together must be below 2³¹."""
    batch_size = check_size("batch_size", batch_size, most=2**63 - 1)
    if batch_size * numbers >= 2**31:
        raise ValueError(
            f"batch_size must be below 2³¹/{numbers}, by the numbers drawn for a sample, got {batch_size}; draw "
            "several batches, each with a key of its own"
        )
    return batch_size


def check_flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False; "no" and [False] would pass for True."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {_shown(value)}; pass a bool, known before tracing")
    return bool(value)


def on_host(name: str, value: Any, dtype: type | None = np.float64) -> np.ndarray:
    """Return `value` as a NumPy array of real numbers, for functions that run on the host; None keeps their type.

    What the type cannot hold becomes infinite.

    Raises:
        TypeError: a traced value, or one that is not made of real numbers.
    """
    if is_traced(value):
        raise TypeError(f"{name} must be known, got a call inside of jax.jit, jax.vmap or jax.grad; {HOST}")
    try:
        array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be an array of real numbers, got {_shown(value)}; convert it first") from error
    if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        came = array.dtype if array.dtype.kind == "c" else _shown(value)
        raise TypeError(f"{name} must be an array of real numbers, got {came}; convert it first")
    with np.errstate(over="ignore"):
        return array if dtype is None else array.astype(dtype, copy=False)


def _shown(value: Any) -> str:
    """A value in a message: an array by its type and shape, all else as Python shows it, cut where it is long."""
    if hasattr(value, "dtype") and np.ndim(value):
        return f"an array of {value.dtype}, shape {np.shape(value)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
    double: bool = False,
    host: bool = False,
) -> None:
    """Check that a value is real, of a rank, and in a range: as it came, and in the precision in which it is used.

    Args:
        name: of the argument, for the message.
        value: what came.
        remedy: what to do about a value of the wrong type or out of the range.
        least, above: lower end of the range, included or not.
        most, below: its upper end, included or not.
        ndim: rank.
        many: what to do about a value of another rank.
        double: it is used in double precision, not in single.
        host: of a function on the host, which takes no traced value, has double precision, and says so of many.
    """
    if is_traced(value):
        if host:
            on_host(name, value)
        return
    many, dtype = HOST if host else many, np.float64 if double or host else np.float32
    try:
        array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}; {remedy}") from error
    if array.dtype.kind not in "iuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must be a real number, got {_shown(value)}; {remedy}")
    if array.ndim != ndim:
        wanted = "a scalar" if ndim == 0 else f"an array of rank {ndim}"
        raise ValueError(f"{name} must be {wanted}, got shape {array.shape}; {many}")
    with np.errstate(over="ignore", under="ignore"):
        used = array.astype(dtype)
    wrong = ~np.isfinite(used)
    ends = {word: end for word, end in zip(_BEYOND, (least, above, most, below), strict=True) if end is not None}
    for word, end in ends.items():
        wrong |= _BEYOND[word](array, end) | _BEYOND[word](used, end)
    if wrong.any():
        raise ValueError(f"{name} must {_range(ends, dtype)}, got {array[wrong].flat[0]:.12g}; {remedy}")


_BEYOND = {"at least": np.less, "above": np.less_equal, "at most": np.greater, "below": np.greater_equal}


def _range(ends: dict[str, float], dtype: type) -> str:
    """A range in words, from one end or two, or none."""
    if len(ends) == 2:
        lower, upper = (f"{end:g}" for end in ends.values())
        return f"lie in {'[' if 'at least' in ends else '('}{lower}, {upper}{']' if 'at most' in ends else ')'}"
    single = " in single precision" * (dtype is np.float32)
    return "be " + "".join(f"{word} {end:g} and " for word, end in ends.items()) + f"finite{single}"


def check_sparsity(S: Any, *, ndim: int = 0, many: str = SINGLE, host: bool = False) -> None:
    """Check that S is a probability in [0, 1); at 1 every input would be zero. Double, for 1 - S is what is used."""
    remedy = "it is the probability that a gate is off, and at 1 every input would be zero"
    check_real("S", S, remedy, least=0, below=1, ndim=ndim, many=many, double=True, host=host)


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


def check_array(
    name: str, value: Any, shape: Sequence[int | None], remedy: str = SINGLE, *, single: bool = False
) -> None:
    """Check that `value` is a floating-point array whose shape matches, and that JAX will not overflow when it casts.

    Args:
        name: of the argument, for the message.
        value: what came.
        shape: None stands for any length of at least one.
        remedy: what to do about another shape.
        single: refuse half precision too, in which there are no singular values.
    """
    dtype, came = getattr(value, "dtype", None), getattr(value, "shape", ())
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        came = type(value).__name__ if dtype is None else dtype
        raise TypeError(f"{name} must be a floating-point array, got {came}; convert it to jnp.float32")
    if single and jnp.finfo(dtype).bits < 32:
        raise TypeError(f"{name} must be in single precision, got {dtype}; convert it to jnp.float32")
    if not _fits(came, shape):
        wanted = "(" + ", ".join("any" if w is None else str(w) for w in shape) + ")"
        turned = "its transpose fits; " * (len(shape) == 2 and _fits(came[::-1], shape))
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(came)}; {turned}{remedy}")
    if isinstance(value, np.ndarray) and (used := jax.dtypes.canonicalize_dtype(dtype)) != dtype:
        with np.errstate(over="ignore"):
            lost = np.isfinite(value) & ~np.isfinite(value.astype(used))
        if lost.any():
            raise ValueError(f"{name} must be finite in single precision, got {value[lost][0]:.6g}; scale it down")


def _fits(came: Sequence[int], shape: Sequence[int | None]) -> bool:
    return len(came) == len(shape) and all(c == w if w is not None else c > 0 for c, w in zip(came, shape, strict=True))


def check_finite(name: str, value: Any, remedy: str = "see what made it so") -> None:
    """Check that an array has no NaN and no infinity; traced values pass."""
    if not is_traced(value) and (wrong := np.count_nonzero(~np.isfinite(np.asarray(value)))):
        raise ValueError(f"{name} must be finite, got NaN or infinity in {wrong} of {np.size(value)} entries; {remedy}")


def check_params(params: Any, name: str = "params", rule: str = "have W and b") -> None:
    """Check that a model has W and b."""
    if not (hasattr(params, "W") and hasattr(params, "b")):
        raise TypeError(f"{name} must {rule}, got {type(params).__name__}; pass toylib.model.Params(W, b)")


def check_model(params: Any, x: Any, shape: tuple[int | None, ...], *, single: bool = False) -> None:
    """Check that W, b and x fit; `shape` is that of x, its last entry replaced by n. `single` as in `check_array`."""
    check_params(params)
    check_array("W", params.W, (None, None), "it is one model's (m, n); jax.vmap takes more models", single=single)
    m, n = params.W.shape

    def width(value: Any) -> str:
        turned = m != n and np.shape(value)[-1:] == (m,)
        return f"W ({m}, {n}) has {n} features" + f", its columns; pass W.T, which has {m}" * turned

    check_array("b", params.b, (n,), width(params.b), single=single)
    rank = "jax.vmap takes more samples" if len(shape) == 1 else "its rows are samples, so one sample is x[None]"
    check_array("x", x, (*shape[:-1], n), width(x) if np.ndim(x) == len(shape) else rank, single=single)


def check_attacked(params: Any, x: Any, shape: tuple[int | None, ...], radius: Any) -> None:
    """Check what every attack takes: a model and samples that are finite and fit, a norm, and errors that are finite.

    What the squares of single precision cannot hold would be infinite, or NaN, where a certificate is asked for.
    """
    check_model(params, x, shape, single=True)
    out = getattr(params, "R", params.W)
    for name, value in (("W", params.W), ("b", params.b), ("R", out), ("x", x)):
        check_finite(name, value, "attack a model that has not diverged, on finite inputs")
    check_real("radius", radius, "it is an L2 norm", least=0, many="jax.vmap over this function takes more norms")
    W, R, b, far = (0.0 if is_traced(v) else _norm(v) for v in (params.W, out, params.b, radius))
    far += 0.0 if is_traced(x) else max(map(_norm, np.atleast_2d(x)))
    if max(W * R, far, b + W * R * far) > LARGEST:
        raise ValueError(
            f"params, x and radius must keep pre-activations below {LARGEST:g}, whose squares are errors in single "
            f"precision, got ‖W‖² = {W * R:.3g}, ‖b‖ = {b:.3g} and ‖x‖ + radius = {far:.3g}; scale them down"
        )


def _norm(value: Any) -> float:
    return float(np.linalg.norm(np.asarray(value, np.float64)))


def check_features(features: Any) -> None:
    """Check that this is a distribution, not a class of them."""
    if isinstance(features, type) or not hasattr(features, "population_at"):
        raise TypeError(f"features must be a distribution of toylib.features, got {features!r}; try Correlated(2, 3)")


def check_run(name: str, run: Any) -> None:
    """Check that this is what training returns: losses (..., T) and W (..., m, n) at T steps."""
    if not (hasattr(run, "weights") and hasattr(run, "steps") and hasattr(run, "losses")):
        raise TypeError(f"{name} must be a Run, got {type(run).__name__}; pass what training.train returns")
    arrays = run.steps, run.losses, run.weights
    if any(getattr(getattr(array, "dtype", None), "kind", "") not in tuple("iuf") for array in arrays):
        kinds = ", ".join(str(getattr(array, "dtype", type(array).__name__)) for array in arrays)
        raise TypeError(f"{name} must have arrays of numbers, got {kinds}; pass what training.train returns")
    steps, losses, weights = (np.shape(array) for array in arrays)
    known = len(steps) == 1 and np.isfinite(run.steps).all()
    if not (known and losses[-1:] == steps and weights[:-2] == losses and all(weights)):
        came = f"steps {steps}, losses {losses} and weights {weights}"
        raise ValueError(
            f"{name} must have losses (..., T) and weights (..., T, m, n) at T steps, got {came}; as trained"
        )


def check_hashable(name: str, value: Any) -> None:
    """Check that `value` can be hashed, as the key under which what is compiled or computed for it is remembered."""
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            f"{name} must be hashable, so that what is compiled for it serves again, got {type(value).__name__}: "
            f"{error}; make its class a dataclass(frozen=True) with hashable fields"
        ) from error


def try_call(rule: str, remedy: str, wanted: Any, function: Callable, *args: Any) -> None:
    """Trace a function of the caller's on arguments, or what stands for them; TypeError if it fails or gives others."""
    try:
        came = jax.eval_shape(function, *args)
    except Exception as error:
        raise TypeError(f"{rule}, got {type(error).__name__}: {error}; {remedy}") from error
    if described(came) != described(wanted):
        raise TypeError(f"{rule}, got {came}; {remedy}")


def try_attack(name: str, attack: Any, params: Any, x: Any) -> None:
    """Trace an attack of the caller's on one model and sample, or what stands for them; TypeError as of `try_call`."""
    try_call(
        f"{name} must be called as {name}(params, x (n,), radius, key=key) and return δ (n,)",
        "every attack of toylib.attacks does, with its options bound by functools.partial",
        x,
        lambda params, x, radius, key: attack(params, x, radius, key=key),
        params,
        x,
        jax.ShapeDtypeStruct((), jnp.float32),
        jax.eval_shape(jax.random.key, 0),
    )


def described(tree: Any) -> tuple:
    """Structure, shapes and dtypes of a pytree."""
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]
