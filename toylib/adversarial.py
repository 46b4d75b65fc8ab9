"""Pictures of adversarial examples: the interference that an attack rides on, and one input before and after."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from toylib.drawings import Drawing, figure
from toylib.style import BLUE, FAINT, INK, LABELS, MUTED, ORANGE, TEMPLATE, WIDTH, f4

_COUNTED = 0.05
_ZERO = {"zeroline": True, "zerolinecolor": MUTED, "zerolinewidth": 1}
# Where the panels of an example stand, from top to bottom, as shares of the height; their headings are between.
_DOMAINS = ((0.74, 1.0), (0.42, 0.65), (0.0, 0.33))


def interference(row: np.ndarray, feature: int, *, title: str, limit: float) -> go.Figure:
    """One row of WᵀW as bars: the feature's own entry, then the others from the largest to the smallest.

    Args:
        row: (n,), (WᵀW)_i.
        feature: i, counted from 0.
        title: of the figure.
        limit: the y axis reaches from -limit to limit.
    """
    row = np.asarray(row, float)
    others = np.delete(np.arange(len(row)), feature)
    others = others[np.argsort(-row[others], kind="stable")]
    order, place = np.array([feature, *others]), np.array([-1, *range(1, len(row))])  # a gap after the own entry
    beyond = int((np.abs(row[others]) > _COUNTED).sum())
    bars = [
        {
            "type": "bar",
            "x": place,
            "y": f4(np.where(shown, row[order], np.nan)),
            "name": name,
            "marker": {"color": color, "line": {"width": 0}},
            "width": _width(len(row)),
            "customdata": order + 1,
            "hovertemplate": "feature %{customdata}: %{y:.3f}<extra></extra>",
        }
        for name, color, shown in (("positive", BLUE, row[order] > 0), ("negative", ORANGE, row[order] < 0))
    ]
    text = {"xref": "paper", "yref": "paper", "x": 1, "xanchor": "right", "y": 1, "showarrow": False, "align": "right"}
    said = f"‖(WᵀW)<sub>i</sub>‖ = {np.linalg.norm(row):.2f}<br>{beyond} of {len(others)} others beyond ±{_COUNTED}"
    step = _step(len(row))
    ticks = range(step, len(row), step)
    band = {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": FAINT, "opacity": 0.6}
    layout = {
        "template": TEMPLATE,
        "title": {"text": title},
        "height": 360,
        "barmode": "overlay",
        "showlegend": False,
        "xaxis": {
            "title": {"text": "the feature's own entry, then the others from the largest to the smallest"},
            "range": [-2, len(row)],
            "tickvals": [-1, *ticks],
            "ticktext": ["own", *map(str, ticks)],
            "showgrid": False,
        },
        "yaxis": {"title": {"text": "entry of row i of WᵀW"}, "range": [-limit, limit], **_ZERO},
        "shapes": [{**band, "xref": "paper", "x0": 0, "x1": 1, "y0": -_COUNTED, "y1": _COUNTED}],
        "annotations": [{**text, "yanchor": "top", "text": said}],
    }
    return go.Figure(bars, layout)


class Limits(NamedTuple):
    """The y ranges of the panels of `example`, (low, high) each."""

    input: tuple[float, float]
    """of x and x + δ"""
    direction: tuple[float, float]
    """of δ/‖δ‖"""
    output: tuple[float, float]
    """of the reconstructions and x"""

    @classmethod
    def around(cls, x: np.ndarray, delta: np.ndarray, output: np.ndarray) -> "Limits":
        """Ranges that hold 0, 1 and all of these, with a margin; each (..., n), and x + δ broadcasts."""
        x, delta, output = (np.asarray(values, float) for values in (x, delta, output))
        largest = np.abs(_direction(delta)).max()
        reach = 1.1 * float(largest) if largest > 0 else 1.0
        return cls(_span(x, x + delta), (-reach, reach), _span(x, output))


@figure
def example(
    x: np.ndarray, delta: np.ndarray, before: np.ndarray, after: np.ndarray, *, title: str, limits: Limits
) -> Drawing:
    """One attacked input in three panels over the features: x and x + δ, δ/‖δ‖, and the reconstructions of both.

    Args:
        x: (n,), clean input.
        delta: (n,), attack; zeros show no direction.
        before: (n,), reconstruction of x.
        after: (n,), reconstruction of x + δ.
        title: of the figure.
        limits: the y ranges.
    """
    x, delta, before, after = (np.asarray(values, float) for values in (x, delta, before, after))
    n, width = len(x), _width(len(x))
    silent = (x == 0) & (before == 0) & (after == 0)  # most features of a sparse input: small, so that they stay calm
    size = f4(np.where(silent, 2.5, np.clip(0.8 * WIDTH / n, 4, 9)))
    grey = {"color": MUTED, "opacity": 0.45, "line": {"width": 0}}
    filled = {"color": ORANGE, "opacity": 1, "size": 0.8 * size, "line": {"width": 0}}
    hollow = {"color": INK, "opacity": 1, "size": size, "symbol": "circle-open", "line": {"width": 1}}
    line = {"color": ORANGE, "width": 0}
    dash = {**line, "type": "constant", "value": width / 2, "thickness": 2}
    stem = {**line, "array": f4(np.maximum(before - after, 0)), "arrayminus": f4(np.maximum(after - before, 0))}
    bar, points = {"type": "bar", "width": width}, {"type": "scatter", "mode": "markers"}
    traces = [
        {**bar, "name": "x", "y": x, "yaxis": "y", "marker": grey},
        {**points, "name": "x + δ", "y": x + delta, "yaxis": "y", "marker": {"opacity": 0}, "error_x": dash},
        {**bar, "name": "δ/‖δ‖", "y": _direction(delta), "yaxis": "y2", "marker": {"color": ORANGE}},
        {**bar, "name": "target x", "y": x, "yaxis": "y3", "marker": grey},
        {**points, "name": "after", "y": after, "yaxis": "y3", "marker": filled, "error_y": {**stem, "thickness": 1.5}},
        {**points, "name": "before", "y": before, "yaxis": "y3", "marker": hollow},
    ]
    for trace in traces:
        hover = f"feature %{{x}}: {trace['name']} = %{{y:.3f}}<extra></extra>"
        trace.update(x=np.arange(1, n + 1), y=f4(trace["y"]), hovertemplate=hover)
    e_before, e_after = (f"{np.square(output - x).sum():.3g}" for output in (before, after))
    headings = (
        f"<b>Input</b>   {_ink(MUTED, 'x (bars)')}   {_ink(LABELS[ORANGE], 'x + δ (dashes)')}",
        f"<b>Attack</b>   {_ink(LABELS[ORANGE], 'δ')}, in units of its norm ‖δ‖ = {np.linalg.norm(delta):.3g}",
        f"<b>Reconstruction</b>   {_ink(MUTED, 'target x (bars)')}   ○ before, e = {e_before}   "
        f"{_ink(LABELS[ORANGE], f'● after, e = {e_after}')}",
    )
    return {"data": traces, "layout": {**_example_layout(n, headings, limits), "title": {"text": title}}}


def _example_layout(n: int, headings: Sequence[str], limits: Limits) -> dict:
    """Axes and headings of an example, by hand: plotly's subplot helpers take 20 times as long."""
    step = _step(n)
    features = {
        "title": {"text": "feature"},
        "anchor": "y3",
        "range": [0.5 - 0.01 * n, n + 0.5 + 0.01 * n],
        "tickvals": sorted({1, *range(step, n + 1, step)}),
        "showgrid": False,
    }
    fixed = {"template": TEMPLATE, "height": 580, "barmode": "overlay", "showlegend": False, "margin": {"t": 80}}
    layout = {**fixed, "xaxis": features, "annotations": []}
    text = {"xref": "paper", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "showarrow": False}
    # Standoff and format keep the titles in one line, although only the labels of the middle axis have minus signs.
    styles = (("input", 8, ".1f"), ("δ / ‖δ‖", 1, ""), ("output", 8, ".1f"))
    for i, ((name, standoff, ticks), domain, span) in enumerate(zip(styles, _DOMAINS, limits, strict=True)):
        y = ("y", "y2", "y3")[i]
        layout[f"yaxis{y[1:]}"] = {
            "title": {"text": name, "standoff": standoff},
            "tickformat": ticks,
            "nticks": 5,
            "domain": domain,
            "range": list(span),
            **_ZERO,
        }
        layout["annotations"].append({**text, "text": headings[i], "yref": f"{y} domain"})
    return layout


def _direction(delta: np.ndarray) -> np.ndarray:
    """δ/‖δ‖ along the last axis; 0 for 0."""
    norm = np.linalg.norm(delta, axis=-1, keepdims=True)
    return delta / np.where(norm > 0, norm, 1)


def _span(*values: np.ndarray) -> tuple[float, float]:
    """A range that holds 0, 1 and all values, and 5 % more on either side."""
    low, high = min(0.0, *(v.min() for v in values)), max(1.0, *(v.max() for v in values))
    return float(low - 0.05 * (high - low)), float(high + 0.05 * (high - low))


def _width(n: int) -> float:
    """Of a bar, in features: few bars would be slabs."""
    return 0.4 if n <= 20 else 0.8


def _step(n: int) -> int:
    """Between two ticks on an axis of n features: 1, 2 or 5 times a power of ten, and about ten ticks."""
    return next(step for k in range(9) for step in (10**k, 2 * 10**k, 5 * 10**k) if 12 * step >= n)


def _ink(color: str, text: str) -> str:
    return f"<span style='color: {color}'>{text}</span>"
