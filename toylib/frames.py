"""A figure and a slider that scrubs it without a kernel: what changes between drawings, baked into frames."""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from toylib.drawings import changes
from toylib.style import CLEAR, INK

Draw = Callable[[Any], go.Figure]


def frames(
    draw: Draw, values: Sequence[Any], *, name: str = "", start: int = 0, labels: Sequence[str] | None = None
) -> go.Figure:
    """Bake a figure and a slider that scrubs it, so that a stored notebook moves without a kernel.

    Every drawing must have the same traces in the same order; only properties that change go into the frames.

    Args:
        draw: value -> Figure, a pure function.
        values: one per stop of the slider, at least one.
        name: what the slider moves, such as "step"; shown before the value.
        start: position of the value shown first, and in a static picture.
        labels: text of each stop, with its unit; by default the value itself.

    Returns:
        The drawing of the start, with a frame for each value, a slider and Play and Pause buttons.

    Raises:
        ValueError: no values, labels that are not different, a start out of range, or drawings with other traces or
            properties than the first (a frame cannot take a property away again).
    """
    if not len(values):
        raise ValueError("frames needs at least one value, got none; pass the stops of the slider")
    labels = [str(value) for value in values] if labels is None else list(labels)
    if len(set(labels)) != len(values) or len(labels) != len(values):
        raise ValueError(f"labels must be different, one a value, got {labels!r}; round the values less")
    if not 0 <= start < len(values):
        raise ValueError(f"start must be a position in [0, {len(values)}), got {start}")
    drawings = [draw(value) for value in values]
    first = drawings[start]
    moving: dict[int, set[str]] = {}
    layout: set[str] = set()
    for other in drawings:
        traces, names = changes(first.to_plotly_json(), other.to_plotly_json())
        for trace, changed in traces.items():
            moving.setdefault(trace, set()).update(changed)
        layout |= set(names)
        if odd := _names(first.to_plotly_json()) ^ _names(other.to_plotly_json()):
            raise ValueError(
                f"drawings must set the same properties, got some without {min(odd)}; set it in each of them"
            )
    figure = go.Figure(first)
    figure.frames = [
        go.Frame(
            name=label,
            traces=sorted(moving),
            data=[{"type": d.data[t].type, **{k: d.data[t][k] for k in sorted(moving[t])}} for t in sorted(moving)],
            layout={k: d.layout[k] for k in sorted(layout)},
        )
        for label, d in zip(labels, drawings, strict=True)
    ]
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {**still, "fromcurrent": True, "frame": {"duration": 120, "redraw": True}}
    figure.update_layout(
        sliders=[
            {
                "steps": [{"label": label, "method": "animate", "args": [[label], still]} for label in labels],
                "currentvalue": {"prefix": f"{name} ".lstrip(), "font": {"size": 13, "color": INK}},
                "active": start,
                "x": 0,
                "len": 1,
                "y": 0,
                "yanchor": "top",
                "pad": {"l": 95, "t": 45, "b": 5},
                "ticklen": 0,
                "minorticklen": 0,
                "font": {"color": CLEAR, "size": 1},
            }
        ],
        updatemenus=[
            {
                "type": "buttons",
                "showactive": False,
                "direction": "right",
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
                "pad": {"t": 50, "b": 5},
                "buttons": [
                    {"label": "▶", "method": "animate", "args": [None, play]},
                    {"label": "❚❚", "method": "animate", "args": [[None], still]},
                ],
            }
        ],
    )
    figure.layout.uirevision = "kept"  # what a reader has turned or zoomed stays while scrubbing
    figure.layout.margin.b = 110
    figure.layout.height = (figure.layout.height or 450) + 60
    return figure


def _names(value: Any, path: str = "") -> set[str]:
    """The paths of all properties that are set; the parts of a list, such as shapes, share theirs."""
    if isinstance(value, dict):
        return set().union({path}, *(_names(part, f"{path}.{name}") for name, part in value.items()))
    if isinstance(value, list | tuple):
        return set().union({path}, *(_names(part, path) for part in value))
    return {path}
