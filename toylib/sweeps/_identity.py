"""What a sweep is, in JSON: function, grid, settings and library versions; and in which of these two sweeps differ."""

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import takewhile
from typing import Any

import jax
import numpy as np

from toylib.sweeps._grids import Grid

FORMAT = 1
_LIBRARIES = ("toylib", "jax", "jaxlib", "numpy", "optax", "scipy")  # what the numbers depend on
_SHOWN = 64  # entries of an array that are written out; a larger one stands as its hash


def identity(function: Callable, grid: Grid, fixed: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """The JSON-able description of a sweep.

    Args:
        function: a function of a module or script, or a functools.partial of one.
        grid: its axes.
        fixed: the settings. Numbers, strings, arrays, keys, dataclasses, functions and containers of these.
        strict: refuse what cannot be described so that equal means equal; else such a value stands as its text.

    Raises:
        TypeError: strict, and a setting or the function is none of these.
    """
    described = describe if strict else _described_or_text
    return {
        "format": FORMAT,
        "function": described("function", function),
        "grid": {
            name: {"dtype": values.dtype.str, "values": values.tolist(), "attrs": grid.attrs[name]}
            for name, values in grid.axes.items()
        },
        "fixed": {name: described(name, value) for name, value in fixed.items()},
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def _described_or_text(name: str, value: Any) -> Any:
    try:
        return describe(name, value)
    except TypeError:
        return {"text": repr(value)[:200]}


def describe(name: str, value: Any) -> Any:
    """A JSON-able description of a setting; equal descriptions mean equal settings. TypeError where there is none."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case jax.Array() if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            return {"key": str(jax.random.key_impl(value)), "data": np.asarray(jax.random.key_data(value)).tolist()}
        case np.ndarray() | np.generic() | jax.Array() if value.dtype.kind in "biufcU":
            return _describe_array(np.asarray(value))
        case Mapping() if all(isinstance(key, str) for key in value):
            return {key: describe(f"{name}[{key!r}]", value[key]) for key in sorted(value)}
        case range():
            return {"range": [value.start, value.stop, value.step]}
        case tuple() | list():
            return [describe(f"{name}[{i}]", item) for i, item in enumerate(value)]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {type(value).__qualname__: describe(name, fields)}
        case functools.partial():
            return {"partial": describe(name, {"of": value.func, "args": value.args, "keywords": value.keywords})}
        case _ if callable(value):
            return _describe_function(name, inspect.unwrap(value))
    raise TypeError(
        f"{name} must be made of numbers, strings, arrays, keys, dataclasses and functions of modules, so that the "
        f"store can tell sweeps apart, got {type(value).__name__}; pass what it is made from and build it inside"
    )


def _describe_array(array: np.ndarray) -> dict[str, Any]:
    about = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.size <= _SHOWN and array.dtype.kind != "c":
        return about | {"values": array.ravel().tolist()}
    return about | {"sha256": hashlib.sha256(array.tobytes()).hexdigest()}


def _describe_function(name: str, function: Any) -> dict[str, str]:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = None
    if source is None or not inspect.isfunction(function) or function.__closure__:
        raise TypeError(
            f"{name} must be a function with source code and without enclosed variables, got {function!r:.200}; "
            "define it in a module or script, pass settings as arguments, and build optimisers inside"
        )
    # A function is named where users import it from, so that a store outlives a move between a package's own files.
    public = takewhile(lambda part: not part.startswith("_") or part == "__main__", function.__module__.split("."))
    return {
        "function": ".".join([*public, function.__qualname__]),
        "source": hashlib.sha256(inspect.cleandoc(source).encode()).hexdigest(),
    }


def differences(stored: Any, given: Any, path: str = "") -> list[str]:
    """Where two descriptions differ: "fixed n_steps was 100 and is 200", and so on."""
    if not (isinstance(stored, dict) and isinstance(given, dict)):
        was, now = (json.dumps(side, ensure_ascii=False) for side in (stored, given))
        return [] if was == now else [f"{path} was {_shorten(was)} and is {_shorten(now)}"]
    different = []
    for key in stored | given:
        inner = f"{path} {key}".strip()
        if key not in given or key not in stored:
            different.append(f"{inner} {'is no longer there' if key in stored else 'is new'}")
        else:
            different += differences(stored[key], given[key], inner)
    if path == "grid" and not different and list(stored) != list(given):
        different.append(f"the axes were in the order {', '.join(stored)}")
    return different


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:50]} ... {text[-20:]}"
