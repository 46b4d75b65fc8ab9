"""Drawings: plotly figures as plain dictionaries, which take a tenth of the time, and what differs between two."""

import base64
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go

# {"data": [trace, ...], "layout": {...}} in plotly's names, with NumPy arrays for numbers.
Drawing = dict[str, Any]


def figure(draw: Callable[..., Drawing]) -> Callable[..., go.Figure]:
    """Let a function that returns a drawing return a Figure, which plotly checks and notebooks show.

    What it wraps stays at hand as its attribute `drawing`, for what is drawn many times a second.
    """

    @functools.wraps(draw)
    def checked(*args: Any, **kwargs: Any) -> go.Figure:
        return go.Figure(draw(*args, **kwargs))

    checked.__annotations__ = {**draw.__annotations__, "return": go.Figure}
    checked.drawing = draw
    return checked


def changes(first: Drawing, other: Drawing) -> tuple[dict[int, list[str]], list[str]]:
    """What differs between two drawings of the same traces.

    Returns:
        For each trace that differs, its position and the names of its properties that do; those of the layout.

    Raises:
        ValueError: the drawings have other traces.
    """
    kinds = [[trace.get("type", "scatter") for trace in drawing["data"]] for drawing in (first, other)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"drawings must have the same traces, got {len(kinds[0])} and {len(kinds[1])}; hide with NaN instead"
        )
    pairs = enumerate(zip(first["data"], other["data"], strict=True))
    traces = {position: names for position, (a, b) in pairs if (names := list(_different(a, b)))}
    return traces, list(_different(first["layout"], other["layout"]))


def compact(value: Any) -> Any:
    """A part of a drawing as JSON, its arrays in plotly's typed form: their bytes in base64, not their digits."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        array = np.ascontiguousarray(value, "<i4" if value.dtype.kind in "iu" else "<f4")
        shape = {} if array.ndim == 1 else {"shape": ", ".join(map(str, array.shape))}
        return {"dtype": array.dtype.str[1:], "bdata": base64.b64encode(array).decode(), **shape}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: compact(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [compact(part) for part in value]
    return compact(value.to_plotly_json()) if hasattr(value, "to_plotly_json") else value


def _different(a: dict, b: dict) -> Iterator[str]:
    """Names of the properties in which two traces or layouts differ, in order."""
    yield from (name for name in sorted({*a, *b}) if not _same(a.get(name), b.get(name)))


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return np.array_equal(a, b, equal_nan="f" in a.dtype.kind + b.dtype.kind)
    return a == b
