"""What a sweep is, in JSON: function, grid, settings and library versions; and in which of these two sweeps differ."""

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from toylib.grids import Grid

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

    def described(name: str, value: Any) -> Any:
        try:
            return describe(name, value)
        except TypeError:
            if strict:
                raise
            return {"text": repr(value)[:200]}

    axes = {
        name: {"dtype": values.dtype.str, "values": values.tolist(), "attrs": grid.attrs[name]}
        for name, values in grid.axes.items()
    }
    return {
        "format": FORMAT,
        "function": described("function", function),
        "grid": axes,
        "fixed": {name: described(name, value) for name, value in fixed.items()},
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def describe(name: str, value: Any) -> Any:
    """A JSON-able description of a setting; equal descriptions mean equal settings. TypeError where there is none."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return {"key": str(jax.random.key_impl(value)), "data": np.asarray(jax.random.key_data(value)).tolist()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.ascontiguousarray(value)
        if array.dtype.kind in "biufcU":
            shown = np.ravel(array).tolist() if array.size <= _SHOWN and array.dtype.kind != "c" else None
            rest = {"values": shown} if shown is not None else {"sha256": hashlib.sha256(array.tobytes()).hexdigest()}
            return {"dtype": array.dtype.str, "shape": list(np.shape(value)), **rest}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: describe(f"{name}[{key!r}]", value[key]) for key in sorted(value)}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, tuple | list):
        return [describe(f"{name}[{i}]", item) for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {type(value).__qualname__: describe(name, fields)}
    if isinstance(value, functools.partial):
        parts = {"of": value.func, "args": value.args, "keywords": value.keywords}
        return {"partial": describe(name, parts)}
    if callable(value):
        return _describe_function(name, inspect.unwrap(value))
    raise TypeError(
        f"{name} must be made of numbers, strings, arrays, keys, dataclasses and functions of modules, so that the "
        f"store can tell sweeps apart, got {type(value).__name__}; pass what it is made from and build it inside"
    )


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
    code = hashlib.sha256(inspect.cleandoc(source).encode()).hexdigest()
    return {"function": f"{function.__module__}.{function.__qualname__}", "source": code}


def differences(stored: Any, given: Any, path: str = "") -> list[str]:
    """Where two descriptions differ: "fixed n_steps was 100 and is 200", and so on."""
    if isinstance(stored, dict) and isinstance(given, dict):
        found = []
        for key in [*stored, *(key for key in given if key not in stored)]:
            there = f"{path} {key}".strip()
            if key not in given or key not in stored:
                found.append(f"{there} {'is no longer there' if key in stored else 'is new'}")
            else:
                found += differences(stored[key], given[key], there)
        if not found and list(stored) != list(given) and path == "grid":
            found.append(f"the axes were in the order {', '.join(stored)}")
        return found
    texts = [json.dumps(side, ensure_ascii=False) for side in (stored, given)]
    return [] if texts[0] == texts[1] else [f"{path} was {_shorten(texts[0])} and is {_shorten(texts[1])}"]


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:50]} ... {text[-20:]}"
