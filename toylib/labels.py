"""Names at the ends of curves, which take a reader's eye less far than a legend does."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from toylib.style import LABELS, WIDTH

_LINE, _LETTER, _GAP = 15.0, 6.7, 8  # pixels: between two lines of text, of a letter, from a point to its label


class Label(NamedTuple):
    """A name beside a point."""

    text: str
    color: str
    """of the mark"""
    x: float
    """in units of the axis, its logarithm to base 10 where the axis is logarithmic; so is y"""
    y: float


def beside(figure: go.Figure, labels: Sequence[Label]) -> go.Figure:
    """Put a label to the right of each point, up or down by what keeps it off the others, and make room for them.

    Args:
        figure: with a height and fixed ranges; its right margin becomes as wide as the labels need.
        labels: in any order; empty texts are left out.
    """
    margin, ranges = figure.layout.margin, (figure.layout.xaxis.range, figure.layout.yaxis.range)
    if not (labels := [label for label in labels if label.text]):
        return figure
    left, top, bottom = (margin[side] or default for side, default in (("l", 60), ("t", 50), ("b", 50)))
    (x_low, x_high), (y_low, y_high) = ranges
    edge = x_high - 0.03 * (x_high - x_low)  # what ends there has its name outside of the axes
    labels = [label._replace(x=x_high) if label.x > edge else label for label in labels]
    widths = [_GAP + _LETTER * len(label.text) for label in labels]
    # What a label to the right of the last point needs there; each end further left needs less.
    inner = WIDTH - left - 8 - max(widths)
    x = [(label.x - x_low) / (x_high - x_low) * inner for label in labels]
    right = max(20.0, max(at + width for at, width in zip(x, widths, strict=True)) - inner + 8)
    height = figure.layout.height - top - bottom
    wanted = [min(max((y_high - label.y) / (y_high - y_low), 0), 1) * height for label in labels]
    for label, placed, at in zip(labels, apart(wanted, x, widths, height), wanted, strict=True):
        figure.add_annotation(
            text=label.text,
            x=label.x,
            y=min(max(label.y, y_low), y_high),
            showarrow=False,
            xanchor="left",
            xshift=_GAP,
            yshift=round(at - placed, 1),
            font={"color": LABELS[label.color]},
        )
    return figure.update_layout(showlegend=False, margin_r=round(right))


def apart(wanted: Sequence[float], x: Sequence[float], widths: Sequence[float], height: float) -> list[float]:
    """Heights near the wanted ones, a line apart wherever two labels would cover each other; all in pixels.

    Args:
        wanted: heights, from the top.
        x: where the labels begin.
        widths: of the labels.
        height: none is placed below it, if there is room.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    meet = {(i, j): x[i] < x[j] + widths[j] and x[j] < x[i] + widths[i] for i in order for j in order if i != j}
    placed = list(wanted)
    for _ in range(200):  # push each touching pair apart by equal amounts, until none touches
        moved = False
        for k, i in enumerate(order):
            for j in order[k + 1 :]:
                overlap = _LINE - (placed[j] - placed[i])
                if meet[i, j] and overlap > 0.01:
                    placed[i], placed[j], moved = placed[i] - overlap / 2, placed[j] + overlap / 2, True
        for i in order:
            placed[i] = min(max(placed[i], 0.0), height)
        if not moved:
            break
    return placed
