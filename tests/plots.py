"""Figures as a browser gets them."""

import json
import re

import numpy as np
import plotly.graph_objects as go

from toylib.figures import Drawing

HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl)a?\([^)]*\)")
SPAN = re.compile(r"color:\s*([^;'\"]+)")
CONTROLS = ("sliders", "updatemenus", "height", "margin", "uirevision")


def equal(drawn, expected):
    """Assert that numbers agree in single precision, which is what a figure holds; NaN agrees with NaN."""
    np.testing.assert_allclose(np.asarray(drawn, float), np.asarray(expected, float), rtol=1e-6, atol=1e-7)


def plain(figure):
    """Return a drawing, a figure or its dictionary as the JSON that a browser gets, less empty parts."""
    shown = figure.figure() if isinstance(figure, Drawing) else go.Figure(figure)
    return json.loads(shown.to_json(), object_hook=without_empty_parts)


def without_empty_parts(part):
    return {key: value for key, value in part.items() if value not in ({}, []) or key in ("data", "traces")}


def scrubbed(baked, labels):
    """Return data and layout after animating to the frames of these labels in turn, less the controls."""
    document = plain(baked)
    by_name = {frame["name"]: frame for frame in document.pop("frames")}
    assert len(by_name) == len(baked.frames)
    for label in labels:
        frame = {"data": [], **by_name[label]}
        for position, data in zip(frame["traces"], frame["data"], strict=True):
            document["data"][position] = _extended(document["data"][position], data)
        document["layout"] = _extended(document["layout"], frame.get("layout", {}))
    return without_controls(document)


def without_controls(document):
    """Return data and layout of what `plain` returns, less the slider and the room for it."""
    return document["data"], {k: v for k, v in document["layout"].items() if k not in CONTROLS}


def _extended(old, new):
    """Merge as plotly.js does with a frame: objects key by key, everything else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict) and "bdata" not in new:
        return {**old, **{key: _extended(old.get(key), value) for key, value in new.items()}}
    return new


def colours(part, key=""):
    """Return every colour that a figure's JSON names: of traces, layouts, templates, frames, scales and spans.

    A string counts if it looks like a colour, or stands where plotly wants one ("color" or "Cividis", say).
    """
    if isinstance(part, dict):
        return set().union(*(colours(value, name) for name, value in part.items() if name != "bdata"))
    if isinstance(part, list | tuple):
        return set().union(*(colours(value, key) for value in part))
    if not isinstance(part, str):
        return set()
    wanted = re.search(r"color(s|way|scale)?$", key, re.IGNORECASE)
    return {part} if wanted else {*HEX.findall(part), *(name.strip() for name in SPAN.findall(part))}
