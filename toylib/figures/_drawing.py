"""A drawing: a plotly figure as plain data, which takes a tenth of the time to make; and a slider baked into one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from toylib._drawable import UNORDERED, check_call, scalar, started
from toylib.figures.style import CLEAR, INK, THEME

if TYPE_CHECKING:
    import plotly.graph_objects as go


SILENT = {"hoverinfo": "skip", "showlegend": False}
"""What a trace has that takes no part in hovering."""
_KNOWN = {
    "attack": ("{}", "which attack"),
    "norm": ("{} · E‖x‖", "L2 norm of the attack, in units of the mean norm of an input"),
    "sample": ("{}", "which input"),
    "seed": ("{}", "which random numbers the initial weights are drawn from"),
    "sparsity": ("S = {}", "probability S that a gate is off"),
    "step": ("{}", "number of training steps taken"),
}
"""Names of axes -> how a stop is written, with its unit, and what the axis moves."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """Traces and layout in plotly's names, with NumPy arrays for numbers; a notebook shows it as a figure.

    Attributes:
        data: the traces.
        layout: all else.
        frames: of a slider that scrubs it, as `frames` makes them.
    """

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    frames: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, draw: Callable[..., "Drawing"], **values: Any) -> "Drawing":
        """What `draw` makes of values of its axes; TypeError if it takes others, or that is no drawing."""
        check_call("draw", draw, **values)
        drawing = draw(**values)
        if not isinstance(drawing, cls):
            raise TypeError(
                f"draw must return a Drawing, got {type(drawing).__name__}; return what a picture of figures does"
            )
        return drawing

    @property
    def title(self) -> str:
        """What it says above."""
        return self.layout.get("title", {}).get("text", "")

    def figure(self) -> "go.Figure":
        """A plotly Figure, whose properties plotly has checked: to be changed, exported or shown elsewhere."""
        import plotly.graph_objects as go

        return go.Figure(self.data, self.layout, self.frames)

    def with_layout(self, **properties: Any) -> "Drawing":
        """The same drawing with some properties of the layout replaced."""
        return replace(self, layout={**self.layout, **properties})

    def changes(self, other: "Drawing") -> tuple[dict[int, list[str]], list[str]]:
        """What differs in another drawing of the same traces.

        Returns:
            For each trace that differs, its position and the names of its properties that do; those of the layout.

        Raises:
            ValueError: the other has other traces.
        """
        if not isinstance(other, Drawing):
            raise TypeError(f"other must be a Drawing, got {other!r:.80}; pass what a picture returns")
        ours, theirs = ([trace.get("type", "scatter") for trace in drawing.data] for drawing in (self, other))
        if ours != theirs:
            raise ValueError(
                f"drawings must have the same traces, got {len(ours)} and {len(theirs)}; hide with NaN instead"
            )
        pairs = enumerate(zip(self.data, other.data, strict=True))
        traces = {position: names for position, (a, b) in pairs if (names := _different(a, b))}
        return traces, _different(self.layout, other.layout)

    def __repr__(self) -> str:
        """Short, so that stored outputs compare."""
        return f"<drawing: {self.title}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), **self.figure()._repr_mimebundle_(include, exclude)}


def f4(values: Any) -> np.ndarray:
    """Plotted data: single precision, which halves a stored figure and is more than a pixel can show."""
    return np.asarray(values, np.float32)


def segments(W: np.ndarray, pairs: Iterable[tuple[Sequence[int], bool]]) -> np.ndarray:
    """(m, 3·pairs): both ends and a gap of NaN for each pair, all NaN for a pair that is not shown."""
    with_gap = np.column_stack([W, np.full(len(W), np.nan)])
    return with_gap[:, [k for pair, shown in pairs for k in ((*pair, -1) if shown else (-1, -1, -1))]]


def between(points: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Lines between points, as `segments` has them; a point that is nowhere if there are none."""
    return segments(points, [(pair, True) for pair in pairs] or [((0, 0), False)])


def stroke(points: np.ndarray, name: str, color: str, *, width: float, dash: str = "solid") -> dict[str, Any]:
    """A trace of lines between points, with gaps, that takes no part in hovering."""
    line = {"color": color, "width": width, "dash": dash}
    return {**at(points), "mode": "lines", "line": line, "name": name, "connectgaps": False, **SILENT}


def at(points: np.ndarray) -> dict[str, Any]:
    """A trace of points, (2, k) in a plane or (3, k) in space."""
    return {"type": "scatter3d" if len(points) == 3 else "scatter", **dict(zip("xyz", f4(points), strict=False))}


def _different(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Names of the properties in which two traces or layouts differ, in order."""
    return [name for name in sorted({*a, *b}) if not _same(a.get(name), b.get(name))]


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        # Most have the same bytes from one move to the next, which is much faster to see than equal numbers.
        alike = (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
        return alike or np.array_equal(a, b, equal_nan="f" in a.dtype.kind + b.dtype.kind)
    return a == b


class Axis(NamedTuple):
    """What a slider runs over."""

    name: str
    values: Sequence[Any]
    labels: Sequence[str]
    """text of each stop, with its unit"""
    about: str
    """what it moves"""

    @classmethod
    def of(cls, name: str, stops: Sequence[Any] | Mapping[str, Any]) -> "Axis":
        """The axis of a keyword of `frames` and `explorers.explore`.

        Args:
            name: of the axis; sparsity, norm, step, seed, attack and sample have their units.
            stops: its values, or label -> value.

        Raises:
            TypeError: one value, or a text, instead of stops.
            ValueError: no stops, or two with one label.
        """
        scalar("name", name, str)
        if isinstance(stops, UNORDERED) or not isinstance(stops, Iterable) or getattr(stops, "shape", None) == ():
            raise TypeError(f"the stops of {name} must be a sequence, or label -> value, got {stops!r}; pass a list")
        form, about = _KNOWN.get(name, ("{}", name.replace("_", " ")))
        values = list(stops.values() if isinstance(stops, Mapping) else stops)
        labels = [*map(str, stops)] if isinstance(stops, Mapping) else [*map(form.format, _told_apart(values))]
        if not values:
            raise ValueError(f"{name} must have at least one stop, got none; pass its values")
        if len(set(labels)) != len(labels):
            raise ValueError(f"the stops of {name} must differ, got {', '.join(labels)}; drop the repeats")
        return cls(name, values, labels, about)

    def position(self, value: Any) -> int:
        """Where a value is among the stops; ValueError if it is not."""
        for i, stop in enumerate(self.values):
            if stop is value or np.array_equal(stop, value):
                return i
        raise ValueError(f"{self.name} must be one of its stops, got {value!r}; there are {', '.join(self.labels)}")


def _told_apart(values: Sequence[Any]) -> list[str]:
    """Numbers with the decimals that they all have, at least two where they have any; anything else as its text.

    Of numbers without an end, such as 1/3, as many as tell them apart.
    """
    number = int | float | np.integer | np.floating
    if not all(isinstance(value, number) and not isinstance(value, bool) for value in values):
        return [str(value) for value in values]
    numbers = np.array([float(str(value)) for value in values])  # the digits of 0.1, in single precision too
    exact = (d for d in range(10) if np.allclose(numbers, numbers.round(d), rtol=0, atol=1e-10))
    differ = (d for d in range(2, 10) if len({*numbers.round(d)}) == len(numbers))
    decimals = next(exact, next(differ, 9))
    shown = numbers.round(decimals) + 0.0  # no "-0"
    texts = [f"{number:,.{max(decimals, 2) if decimals else 0}f}" for number in shown]
    return texts if len({*texts}) == len({*numbers}) else [repr(number) for number in numbers.tolist()]


def frames(
    draw: Callable[..., Drawing], *, start: Mapping[str, Any] | None = None, **axis: Sequence[Any] | Mapping[str, Any]
) -> Drawing:
    """Bake a slider into a drawing, so that a stored notebook moves without a kernel.

    The same `draw` serves `explorers.explore`, which moves it with a kernel. Every drawing must have the same traces in
    the same order; only properties that change go into the frames.

    Args:
        draw: called with the axis as its keyword, a pure function, such as a picture of this room with all else bound.
        start: name of the axis -> value shown first, and in a static picture; the first by default.
        axis: one keyword, name=stops: values, or label -> value. Sparsity, norm, step, seed, attack and sample are
            written with their units. The names draw and start are taken.

    Returns:
        The drawing of the start, with a frame for each stop, a slider and Play and Pause buttons.

    Raises:
        ValueError: no axis or more than one, no stops or stops that do not differ, a start that is no stop, or drawings
            with other traces or properties than the first (a frame cannot take a property away again).

    >>> from toylib.figures import lines
    >>> texts = {"title": "A line", "x_title": "x", "y_title": "y", "y_range": (0, 3)}
    >>> draw = lambda slope: lines([0, 1], {"y": [0, slope]}, **texts)
    >>> len(frames(draw, slope=[1, 2, 3]).frames)
    3
    """
    if len(axis) != 1:
        raise ValueError(f"frames must have one axis, got {len(axis)}; explorers.explore takes several")
    ((name, stops),) = axis.items()
    start = started(start)
    if unknown := {*start} - {name}:
        raise ValueError(f"start must name {name}, the axis, got {', '.join(sorted(map(str, unknown)))}; drop it")
    over = Axis.of(name, stops)
    first = over.position(start[name]) if start else 0
    drawings = [Drawing.of(draw, **{name: value}) for value in over.values]
    shown = drawings[first]
    changed, properties = [shown.changes(other) for other in drawings], [*map(_properties, drawings)]
    if odd := set.union(*properties) - set.intersection(*properties):
        raise ValueError(f"drawings must set the same properties, got some without {min(odd)}; set it in each of them")
    moved = sorted({t for traces, _ in changed for t in traces})
    moving = {t: sorted({name for traces, _ in changed for name in traces.get(t, ())}) for t in moved}
    layout = sorted({name for _, names in changed for name in names})
    baked = [
        {
            "name": label,
            "traces": moved,
            "data": [
                {"type": d.data[t].get("type", "scatter"), **{name: d.data[t][name] for name in names}}
                for t, names in moving.items()
            ],
            "layout": {name: d.layout[name] for name in layout},
        }
        for label, d in zip(over.labels, drawings, strict=True)
    ]
    return Drawing(shown.data, {**shown.layout, **_slider(over, first, shown.layout)}, tuple(baked))


def _slider(over: Axis, first: int, layout: Mapping[str, Any]) -> dict[str, Any]:
    """The slider, Play and Pause, and the room that they take."""
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {**still, "fromcurrent": True, "frame": {"duration": 120, "redraw": True}}
    return {
        "sliders": [
            {
                "steps": [{"label": label, "method": "animate", "args": [[label], still]} for label in over.labels],
                "currentvalue": {"prefix": f"{over.name} ".replace("_", " "), "font": {"size": 13, "color": INK}},
                "active": first,
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
        "updatemenus": [
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
        "uirevision": "kept",  # what a reader has turned or zoomed stays while scrubbing
        "margin": {**THEME["layout"]["margin"], **layout.get("margin", {}), "b": 110},
        "height": layout.get("height", 450) + 60,
    }


def _properties(drawing: Drawing) -> set[str]:
    """The paths of all properties that are set: those of each trace, and those of the layout."""
    return _paths(drawing.layout, "layout").union(*(_paths(t, f"data[{i}]") for i, t in enumerate(drawing.data)))


def _paths(value: Any, path: str) -> set[str]:
    """The paths below a value; the parts of a list, such as shapes, share theirs."""
    if isinstance(value, dict):
        return {path}.union(*(_paths(part, f"{path}.{name}") for name, part in value.items()))
    if isinstance(value, list | tuple):
        return {path}.union(*(_paths(part, path) for part in value))
    return {path}
