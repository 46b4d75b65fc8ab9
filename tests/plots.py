"""Figures as a browser gets them."""

import json

import plotly.graph_objects as go


def plain(figure):
    """Return a figure or drawing as the JSON that a browser gets, less empty parts."""
    return json.loads(go.Figure(figure).to_json(), object_hook=without_empty_parts)


def without_empty_parts(part):
    return {key: value for key, value in part.items() if value not in ({}, []) or key in ("data", "traces")}
