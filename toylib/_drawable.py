"""Checks of what is to be drawn: arguments by what their annotations say, numbers by their shape; and their room.

A picture of bad data would be empty or wrong rather than fail, so each checks its arguments before it draws.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from inspect import signature
from math import log10, prod
from numbers import Real
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_finite, check_real

_P = ParamSpec("_P")
_R = TypeVar("_R")
ENOUGH = 1.35
"""Where an axis of norms ends, unless they are longer."""
_LARGEST = 1e30  # what is made of it stays within single precision
_LEAST = 1e-30  # and so does this, on a logarithmic axis
_COUNTED = 1e15  # from where on not every whole number is one in double precision
UNORDERED = str | bytes | set | frozenset
"""What holds several, but is no sequence of them: a text and its letters, or what has no order."""
_NAMES = {str: "a text", bool: "True or False", int: "an integer", float: "a number"}


def picture(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function that checks its arguments by its annotations, then draws.

    Numbers, arrays of them, texts, flags, sequences, mappings and ranges (tuples of two floats, finite, the second
    larger) are checked, and what these hold; a number may be NaN, which stands for a gap. A name, as a key or where a
    sequence is of texts, may be a number, which is written as one.

    Raises:
        TypeError, ValueError: by the function that is returned, of an argument that is something else.
    """

    @wraps(draw)
    def checking(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        kinds = _kinds(draw)
        for name, value in {**dict(zip(kinds, args, strict=False)), **kwargs}.items():
            if name in kinds:  # else Python says that there is no such argument
                _check(name, value, kinds[name])
        return draw(*args, **kwargs)

    return checking


@cache
def _kinds(draw: Callable[..., Any]) -> dict[str, Any]:
    """What each argument is annotated with, in order."""
    return {name: kind for name, kind in get_type_hints(draw).items() if name != "return"}


def _check(name: str, value: Any, kind: Any) -> None:
    """Check one argument, or a part of it, by its annotation."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if origin in (Union, UnionType):
        if value is None and NoneType in parts:
            return
        if {*get_args(ArrayLike)} <= {*parts}:
            numbers(name, value)
        else:
            given = (part for part in parts if isinstance(part, type) and isinstance(value, part))
            _check(name, value, next(given, next(part for part in parts if part is not NoneType)))
    elif origin is Literal:
        if not (isinstance(value, str) and value in parts):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, parts))}, got {value!r:.80}; pass one")
    elif origin is tuple:
        _held(name, value, Sequence, f"{len(parts)} values", "pass a tuple")
        if len(value) != len(parts):
            raise ValueError(f"{name} must be {len(parts)} values, got {len(value)}; pass a tuple")
        for part, its_kind in zip(value, parts, strict=True):
            _check(name, part, its_kind)
        if parts == (float, float) and not -np.inf < float(value[0]) < float(value[1]) < np.inf:
            raise ValueError(f"{name} must be finite and rise, got {value!r:.80}; pass (low, high)")
    elif origin is Mapping or (origin and issubclass(origin, Mapping)):
        _held(name, value, Mapping, "name -> value", "pass a dict")
        for key, part in value.items():
            _check_name(f"the names of {name} must be texts or numbers", key)
            _check(f"{name} of {key}", part, parts[1])
    elif origin is Sequence or (origin and issubclass(origin, Sequence)):
        _held(name, value, Sequence, "a sequence", "pass a list")
        for part in value:
            if parts[0] is str:
                _check_name(f"each of {name} must be a text or a number", part)
            else:
                _check(f"each of {name}", part, parts[0])
    elif kind in _NAMES:
        scalar(name, value, kind)
    elif isinstance(kind, type) and (not isinstance(value, kind) or isinstance(value, np.ma.MaskedArray)):
        raise TypeError(f"{name} must be {kind.__name__}, got {value!r:.80}; pass one")
    elif hasattr(kind, "_fields"):
        for field, its_kind in _kinds(kind).items():
            _check(f"{field} of {name}", getattr(value, field), its_kind)


def _held(name: str, value: Any, kind: type, rule: str, remedy: str) -> None:
    """Check that a value holds others: a mapping, or a sequence or array of any kind, but not a text."""
    right = isinstance(value, kind if kind is Mapping else Collection)
    if kind is Sequence and right:  # a text, a set or a number of NumPy holds others too, but none in order
        right = not isinstance(value, UNORDERED | Mapping) and getattr(value, "shape", None) != ()
    if not right:
        raise TypeError(f"{name} must be {rule}, got {value!r:.80}; {remedy}")


def _check_name(rule: str, name: Any) -> None:
    """Check what is written beside something drawn."""
    if not isinstance(name, str | Real):
        raise TypeError(f"{rule}, got {name!r:.80}; pass str() of it")


def scalar(name: str, value: Any, kind: type) -> None:
    """Check a text, a flag or a number, of NumPy, JAX or xarray too; a flag is no number."""
    most = {int: _COUNTED, float: _LARGEST}.get(kind, np.inf)
    if kind is str:
        right = isinstance(value, str)
    elif isinstance(value, int) and abs(value) > most:  # NumPy may have no number for it
        raise ValueError(f"{name} must be below {most:g}, got about 1e{log10(abs(value)):.0f}; pass a smaller one")
    else:
        array = np.asarray(value) if np.isscalar(value) or hasattr(value, "dtype") else np.empty(1)
        right = array.ndim == 0 and array.dtype.kind in ("b" if kind is bool else "iuf")
        right = right and value is not np.ma.masked and (kind is not int or float(array).is_integer())
    if not right:
        raise TypeError(f"{name} must be {_NAMES[kind]}, got {value!r:.80}; pass one")
    if kind is not str and abs(float(value)) > most:
        raise ValueError(f"{name} must be below {most:g}, got {value}; leave it out")


def numbers(name: str, values: Any) -> np.ndarray:
    """An array of real numbers below 1e30, with NaN for infinity or a mask; TypeError or ValueError if not."""
    try:
        array = np.ma.filled(values.astype(float), np.nan) if isinstance(values, np.ma.MaskedArray) else values
        array = np.asarray(array)
        if array.dtype.kind in "cOSUMmV":
            raise TypeError(f"{array.dtype}")
        array = array.astype(float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numbers, got {values!r:.80}; pass an array") from error
    if (large := np.isfinite(array) & (np.abs(array) > _LARGEST)).any():
        raise ValueError(f"{name} must be below {_LARGEST:g}, got {array[large].flat[0]:g}; scale it down")
    return np.where(np.isinf(array), np.nan, array)


def checked(name: str, values: Any, *shape: int | None) -> np.ndarray:
    """Numbers to be drawn, as an array of this shape; None stands for any length but 0."""
    array = numbers(name, values)
    alike = array.ndim == len(shape) and all(w in (None, n) for n, w in zip(array.shape, shape, strict=True))
    if not (alike and array.size):
        rule = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
        raise ValueError(f"{name} must have shape ({rule}), none empty, got {array.shape}; pass what belongs together")
    return array


def together(**arrays: ArrayLike) -> tuple[np.ndarray, ...]:
    """Finite numbers, (..., n) each and of one n, whose leading axes broadcast; ValueError or TypeError if not."""
    found = {name: numbers(name, values) for name, values in arrays.items()}
    for name, array in found.items():
        check_finite(name, array, "leave out what has diverged")
    shapes = [array.shape for array in found.values()]
    try:
        fit = {shape[-1:] for shape in shapes} == {np.broadcast_shapes(*shapes)[-1:]} and all(map(prod, shapes))
    except ValueError:
        fit = False
    if not (fit and all(shapes)):
        raise ValueError(
            f"{', '.join(found)} must be (..., n) of one n, got {', '.join(map(str, shapes))}; pass samples"
        )
    return tuple(found.values())


def powers(values: ArrayLike, what: str = "all values", where: str = "") -> np.ndarray:
    """The logarithms to base 10 of what is to be seen on a logarithmic axis; ValueError if one has none to be seen."""
    if not (lowest := np.min(values)) >= _LEAST:
        rule = f"at least {_LEAST:g}" if lowest > 0 else "positive"
        raise ValueError(f"on a logarithmic axis {what} must be {rule}, got {lowest}{where}; leave it out")
    return np.log10(values)


def distinct(name: str, names: Collection[Any]) -> list[str]:
    """Names of places on an axis as texts, which must differ: what has one name is drawn in one place."""
    texts = [*map(str, names)]
    if again := [text for text in dict.fromkeys(texts) if texts.count(text) > 1]:
        raise ValueError(f"{name} must differ from each other, got {again[0]!r:.80} again; give each a name of its own")
    return texts


def check_call(name: str, function: Any, *args: Any, **named: Any) -> None:
    """Check that a function can be called with these arguments; TypeError if not."""
    try:
        signature(function).bind(*args, **named)
    except ValueError:  # of what tells no signature, such as a method of a dict
        return
    except TypeError as error:
        takes = f"{', '.join(named)} as keywords" if named else "one argument"
        raise TypeError(f"{name} must take {takes}, got {function!r:.80}: {error}; pass a function that does") from None


def started(start: Any) -> dict[str, Any]:
    """Where axes begin; TypeError if it is something else than their values by name, or None."""
    if start is not None and not isinstance(start, Mapping):
        raise TypeError(f"start must be axis -> value, got {start!r:.80}; pass a dict")
    return dict(start or {})


def tables(named: Mapping[str, Any], known: Collection[str], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Tables of known names by attack, all of a shape, at least one; ValueError if not."""
    found = {}
    for name, table in named.items():
        try:
            found[name] = np.asarray(table)
        except ValueError:  # rows of several lengths
            found[name] = np.empty(0)
    if unknown := {str(word) for table in found.values() for word in table.ravel()} - {*known}:
        raise ValueError(
            f"outcomes must be among {list(known)}, got {sorted(unknown)}; take them from robustness.outcomes"
        )
    if odd := [name for name, table in found.items() if table.shape != shape] or [""] * (not found):
        raise ValueError(f"outcomes must be tables of shape {shape}, got others {odd}; pass attack -> table")
    return found


def check_along(run: Any, sets: Any) -> None:
    """Check that what geometry measured along a run is of one length, and of the features in sets; error if not."""
    steps = checked("steps of run", run.steps, None)
    if not (steps[0] >= 0 and (np.diff(steps) > 0).all()):
        raise ValueError(f"steps of run must rise from 0 on, got {run.steps!r:.80}; take those of geometry.trajectory")
    check_sets(sets, checked("weights of run", run.weights, len(steps), None, None).shape[2])
    for name in ("losses", "overlap", "within_energy", "twist"):
        checked(f"{name} of run", getattr(run, name), len(steps))


def check_sets(sets: Any, n: int) -> None:
    """Check that sets hold each of n features once; ValueError if not."""
    try:
        held = sorted(j for members in sets for j in members)
        held = held if all(isinstance(j, int | np.integer) for j in held) else None
    except TypeError:  # such as the features that have them
        held = None
    if held != list(range(n)):
        raise ValueError(f"sets must hold each of {n} features, got {sets!r:.80}; take them from features.sets")


def alike(Ws: Mapping[str, ArrayLike], most: int | None = None) -> dict[str, np.ndarray]:
    """Models by name, all of the size of the first, which has at most so many rows; ValueError if not."""
    if not (isinstance(Ws, Mapping) and Ws):
        raise ValueError(f"there must be at least one model by its name, got {Ws!r:.40}; pass name -> W")
    (first, W), *_ = Ws.items()
    m, n = checked(f"W of {first}", W, None, None).shape
    return {name: checked(f"W of {name}", W, min(m, most or m), n) for name, W in Ws.items()}


def room(reach: float | None, W: np.ndarray) -> float:
    """The length that axes have room for: what is given, or 1.2, or a multiple of 0.2 that holds models (..., m, n)."""
    if reach is not None:
        check_real("reach", reach, "it is the length of the longest feature to be drawn", above=0)
        return float(reach)
    norms = np.linalg.norm(W, axis=-2)
    longest = float(norms.max(initial=0, where=np.isfinite(norms)))
    return max(1.2, float(np.ceil(5 * longest - 1e-6) / 5))  # in steps, so that axes seldom move


def height_of_norms(reach: float, norms: np.ndarray) -> float:
    """Where an axis of norms (n,) and dimensionalities ends: at `ENOUGH`, or above a feature that is longer."""
    longest = norms.max(initial=room(reach, norms), where=np.isfinite(norms))
    return ENOUGH if longest <= ENOUGH else 1.2 * room(None, np.array([[longest]]))
