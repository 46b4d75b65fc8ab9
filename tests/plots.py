"""Figures as a browser gets them."""

import json
import re

import plotly.graph_objects as go

HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl)a?\([^)]*\)")
SPAN = re.compile(r"color:\s*([^;'\"]+)")


def plain(figure):
    """Return a figure or drawing as the JSON that a browser gets, less empty parts."""
    return json.loads(go.Figure(figure).to_json(), object_hook=without_empty_parts)


def without_empty_parts(part):
    return {key: value for key, value in part.items() if value not in ({}, []) or key in ("data", "traces")}


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
