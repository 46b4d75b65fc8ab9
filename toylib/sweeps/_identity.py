"""What a sweep is, in JSON: function, grid, settings and library versions; and in which of these two sweeps differ."""

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from toylib._reach import name_of, reached
from toylib.sweeps._batches import check_bytes
from toylib.sweeps._grids import Grid

FORMAT = 1
_LIBRARIES = ("toylib", "jax", "jaxlib", "numpy", "optax", "scipy")  # what the numbers depend on
_REACHED = ("texts", "values")
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
    texts, values = reached(function, fixed, _LIBRARIES)
    return {
        "format": FORMAT,
        "function": described("function", function),
        "grid": {
            name: {"dtype": values.dtype.str, "values": values.tolist(), "attrs": grid.attrs[name]}
            for name, values in grid.axes.items()
        },
        "fixed": {name: described(name, value) for name, value in fixed.items()},
        "versions": {name: version(name) for name in _LIBRARIES},
        "texts": texts,
        "values": dict(_described(values)),
    }


def grid_of(identity: Mapping[str, Any]) -> Grid:
    """The grid of a sweep from its description; whatever is raised if it is none, or takes too much room."""
    axes = {}
    for name, axis in identity["grid"].items():
        check_bytes(name, len(axis["values"]) * np.dtype(axis["dtype"]).itemsize)
        axes[name] = np.array(axis["values"], axis["dtype"]), axis["attrs"]
    return Grid.of(axes)


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
    return {"function": name_of(function), "source": hashlib.sha256(inspect.cleandoc(source).encode()).hexdigest()}


def _described(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Descriptions of those values that have one."""
    for name, value in values.items():
        with suppress(TypeError):
            yield name, describe(name, value)


def changes(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """In which two identities differ, in words; what a store of an older toylib does not say is not compared."""
    texts, values = ([side[what] for side in (stored, given)] if what in stored else ({}, {}) for what in _REACHED)
    both = texts[0].keys() & texts[1].keys()
    always = [name for name in given if name not in _REACHED]
    old, new = ({name: _without_sources(side.get(name), both) for name in always} for side in (stored, given))
    different = differences(old, new)
    for was, now in (texts, values):
        different += [
            f"{name} is {'now' if name in now else 'no longer'} used" for name in sorted(was.keys() ^ now.keys())
        ]
    different += [f"{name} has another text" for name in sorted(both) if texts[0][name] != texts[1][name]]
    for name in sorted(values[0].keys() & values[1].keys()):
        different += differences(values[0][name], values[1][name], name)
    return different


def _without_sources(value: Any, names: Collection[str]) -> Any:
    """A description without the hashes of functions whose texts are compared, which leave comments out."""
    if isinstance(value, list):
        return [_without_sources(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"function", "source"} and value["function"] in names:
        return {"function": value["function"]}
    return {name: _without_sources(item, names) for name, item in value.items()}


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
