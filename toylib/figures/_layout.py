"""What drawings are laid out with: axes, panels, heat maps, and names at the ends of curves."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from toylib._drawable import powers
from toylib.figures._drawing import f4
from toylib.figures.style import DIVERGING, FAINT, LABELS, MUTED, THEME, WIDTH

PLANE, SPACE = 1.32, 1.1  # how far axes reach in a plane and in space, of the longest feature that has room
EYE = (1.42, 1.2, 0.74)  # from where a space is seen first, in lengths of its axes
_LINE, _LETTER, _GAP = 15.0, 6.7, 8  # pixels: between two lines of text, of a letter, from a point to its label
MARGIN = {"l": 60, "t": 50, "b": 50}


def framed(title: str, height: int, **rest: Any) -> dict[str, Any]:
    """The layout of a drawing: theme, title, height, and what else it has."""
    return {"template": THEME, "title": {"text": title}, "height": height, **rest}


def axis(
    title: str,
    limits: Sequence[float] | None = None,
    *,
    log: bool = False,
    standoff: float | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """An axis, with a fixed range in its units if it has `limits`; `standoff` is from the title to the labels."""
    name = {"text": title} if standoff is None else {"text": title, "standoff": standoff}
    if limits is None:
        return {"title": name, **rest}
    fixed = log_axis(limits) if log else {"range": [float(limit) for limit in limits]}
    return {"title": name, **fixed, **rest}


def log_axis(limits: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with a fixed range; ticks at 1, 2 and 5 times powers of ten, or over a long range at powers.

    Args:
        limits: lowest and highest value, both positive.
    """
    low, high = limits
    powers(low)  # refuses what is not positive
    factors = (1, 2, 5) if high / low < 300 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [(f, k) for k in exponents for f in factors if low * 0.999 <= f * 10.0**k <= high * 1.001]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": [f * 10.0**k for f, k in ticks],
        "ticktext": [_spelled(f, k) for f, k in ticks],
    }


def _spelled(factor: int, exponent: int) -> str:
    """A factor times a power of ten, in digits unless it is small."""
    if exponent >= -3:
        return f"{factor * 10.0**exponent:,.{max(0, -exponent)}f}"
    return f"{factor}·".removeprefix("1·") + f"10<sup>−{-exponent}</sup>"


def middle(ends: tuple[float, float], *, log: bool) -> float:
    """The middle of a stretch, where its name stands; on a logarithmic axis plotly wants a text's power of ten."""
    return float(np.mean(powers(ends) if log else ends))


def around(values: np.ndarray, *, log: bool = False, margin: float = 0.05) -> tuple[float, float]:
    """A range that holds all values, and `margin` times its length more on either side."""
    values = values[np.isfinite(values)] if np.size(values) else values
    if not np.size(values):
        raise ValueError("there must be at least one finite number to draw, got none; leave the curve out")
    low, high = np.min(values), np.max(values)
    low, high = powers([low, high]) if log else (low, high)
    room = margin * (high - low) if high > low else 20 * (margin or 0.05)  # equal values have no length
    low, high = float(low - room), float(high + room)
    return (10.0**low, 10.0**high) if log else (low, high)


def every(n: int) -> int:
    """Between two ticks on an axis of n features: 1, 2 or 5 times a power of ten, and about ten ticks."""
    return next(step for k in range(9) for step in (10**k, 2 * 10**k, 5 * 10**k) if 12 * step >= n)


class Panel(NamedTuple):
    """A place for axes of their own in a figure: their number, "" for the first, and shares of width and height."""

    number: str
    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def refs(self) -> dict[str, str]:
        """What a trace that is drawn there has."""
        return {"xaxis": f"x{self.number}", "yaxis": f"y{self.number}"}

    def axes(self, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
        """Its two axes, for the layout."""
        return {
            f"xaxis{self.number}": {"domain": list(self.x), "anchor": f"y{self.number}", **x},
            f"yaxis{self.number}": {"domain": list(self.y), "anchor": f"x{self.number}", **y},
        }

    def text(self, text: str, **rest: Any) -> dict[str, Any]:
        """A text in the middle above it, or elsewhere, as an annotation."""
        return {
            "text": text,
            "xref": f"x{self.number} domain",
            "yref": f"y{self.number} domain",
            "x": 0.5,
            "y": 1,
            "xanchor": "center",
            "yanchor": "bottom",
            "showarrow": False,
            **rest,
        }


def panels(number: int, columns: int, gap: tuple[float, float] = (0.0, 0.0)) -> list[Panel]:
    """Panels of equal size in rows of `columns`, from the top left, with gaps between columns and rows."""
    rows = -(-number // columns)
    width, height = (1 - gap[0] * (columns - 1)) / columns, (1 - gap[1] * (rows - 1)) / rows
    here = [(i % columns * (width + gap[0]), (rows - 1 - i // columns) * (height + gap[1])) for i in range(number)]
    # Rounding must not bring an edge past the figure's.
    return [
        Panel(n, (left, min(left + width, 1.0)), (bottom, min(bottom + height, 1.0)))
        for n, (left, bottom) in zip(["", *map(str, range(2, number + 1))], here, strict=True)
    ]


def heatmap(matrix: np.ndarray, limit: float, **rest: Any) -> dict[str, Any]:
    """A signed matrix as a trace, a heat map from -limit to limit; rows and columns count from 1."""
    return {
        "type": "heatmap",
        "z": f4(matrix),
        "x": np.arange(1, matrix.shape[1] + 1),
        "y": np.arange(1, matrix.shape[0] + 1),
        "zmin": -limit,
        "zmax": limit,
        "colorscale": DIVERGING,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "row %{y}, column %{x}: %{z:.2f}<extra></extra>",
        **rest,
    }


class Label(NamedTuple):
    """A name beside a point."""

    text: str
    color: str
    """of the mark"""
    x: float
    """in units of the axis, its logarithm to base 10 where the axis is logarithmic; so is y"""
    y: float

    @property
    def width(self) -> float:
        """About how far it reaches from its point, in pixels."""
        return _GAP + _LETTER * len(str(self.text))

    @classmethod
    def at_end(cls, text: str, color: str, x: np.ndarray, y: np.ndarray, log: str) -> "Label":
        """The label of a curve, at its last point that is a number."""
        last = np.flatnonzero(np.isfinite(y))[-1:]
        if not len(last):
            return cls("", color, 0.0, 0.0)
        at = {"x": x[last][0], "y": y[last][0]}
        at |= {letter: powers(at[letter], "a level", f" for {text}") for letter in log}
        return cls(text, color, float(at["x"]), float(at["y"]))


def beside(layout: dict[str, Any], labels: Sequence[Label]) -> dict[str, Any]:
    """Put a label to the right of each point, up or down by what keeps it off the others, and make room for them.

    Args:
        layout: with a height and fixed ranges.
        labels: in any order; empty texts are left out.

    Returns:
        The layout with annotations, a right margin as wide as they need, and no legend.
    """
    if not (labels := [label for label in labels if label.text]):
        return {"margin": MARGIN, **layout, "showlegend": False}
    margin, (low, high) = {**MARGIN, **layout.get("margin", {})}, layout["xaxis"]["range"]
    edge = high - 0.03 * (high - low)  # what ends there has its name outside of the axes
    labels = [label._replace(x=high) if label.x > edge else label for label in labels]
    # What a label to the right of the last point needs there; each end further left needs less.
    inner = WIDTH - margin["l"] - 8 - max(label.width for label in labels)
    lefts = [(label.x - low) / (high - low) * inner for label in labels]
    right = max(20.0, max(left + label.width for left, label in zip(lefts, labels, strict=True)) - inner + 8)
    height = layout["height"] - margin["t"] - margin["b"]
    texts = [*layout.get("annotations", ()), *names(labels, layout["yaxis"]["range"], height, lefts)]
    return {**layout, "annotations": texts, "showlegend": False, "margin": {**margin, "r": round(right)}}


def names(
    labels: Sequence[Label],
    limits: Sequence[float],
    height: float,
    lefts: Sequence[float],
    *,
    font: Mapping[str, Any] | None = None,
    **rest: Any,
) -> list[dict[str, Any]]:
    """Labels as annotations to the right of their points, moved up or down by what keeps them off each other.

    Args:
        labels: with texts.
        limits: of the y axis; beyond them a label stands at the edge.
        height: of the axes, in pixels.
        lefts: where the labels begin, in pixels.
        rest: further properties of each annotation.
    """
    low, high = limits
    y = [min(max(label.y, low), high) for label in labels]
    wanted = [(high - at) / (high - low) * height for at in y]
    placed = apart(wanted, lefts, [label.width for label in labels], height)
    return [
        {
            "text": label.text,
            "x": label.x,
            "y": at,
            "showarrow": False,
            "xanchor": "left",
            "xshift": _GAP,
            "yshift": round(far - near, 1),
            "font": {"color": LABELS[label.color], **(font or {})},
            **rest,
        }
        for label, at, far, near in zip(labels, y, wanted, placed, strict=True)
    ]


def apart(wanted: Sequence[float], x: Sequence[float], widths: Sequence[float], height: float) -> list[float]:
    """Heights near the wanted ones, a line apart wherever two labels would cover each other; all in pixels.

    Args:
        wanted: heights, from the top.
        x: where the labels begin.
        widths: of the labels.
        height: none is placed below it, if there is room.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    meet = [(i, j) for i, j in combinations(order, 2) if x[i] < x[j] + widths[j] and x[j] < x[i] + widths[i]]
    placed = list(wanted)
    for _ in range(200):  # push each touching pair apart by equal amounts, until none touches
        moved = False
        for i, j in meet:
            overlap = _LINE - (placed[j] - placed[i])
            if overlap > 0.01:
                placed[i], placed[j], moved = placed[i] - overlap / 2, placed[j] + overlap / 2, True
        placed = [min(max(at, 0.0), height) for at in placed]
        if not moved:
            break
    return placed


def level(y: float, *, color: str = MUTED, **refs: str) -> dict[str, Any]:
    """A dashed line across a figure, as a shape."""
    line = {"color": color, "dash": "dash", "width": 1}
    return {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "y0": y, "y1": y, "line": line, **refs}


def band(*, opacity: float = 0.45, **where: Any) -> dict[str, Any]:
    """A shaded stretch behind what is drawn, as a shape."""
    return {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": FAINT, "opacity": opacity, **where}


def bar_width(n: int) -> float:
    """Of a bar, in features: few bars would be slabs."""
    return 0.4 if n <= 20 else 0.8


def _ticks(reach: float) -> list[float]:
    """-1, 0 and 1; where these would be too near to each other or beyond the axes, 1, 2 or 5 times a power of ten."""
    if 0.8 <= reach < 5:
        return [-1, 0, 1]
    power = 10.0 ** math.floor(math.log10(reach))
    far = max(factor * power for factor in (1, 2, 5) if factor * power <= reach * 1.001)
    return [-far, 0, far]


def scene(reach: float, m: int = 3, *, bare: bool = False, far: float = 1.0) -> dict[str, Any]:
    """Axes and camera of a space, of more dimensions the strongest; if bare without ticks.

    `far` moves the eye away, which the longer names of more dimensions need in a part of a figure.
    """
    names = ("h₁", "h₂", "h₃") if m == 3 else ("strongest", "second", "third")
    side = {"range": [-SPACE * reach, SPACE * reach], "tickvals": _ticks(reach), "showticklabels": not bare}
    axes = {f"{x}axis": {**side, "title": {"text": "" if bare else name}} for x, name in zip("xyz", names, strict=True)}
    center = (0, 0, 0) if bare else (0.04, -0.05, -0.14)  # ticks take room below and to the left
    camera = {name: dict(zip("xyz", at, strict=True)) for name, at in (("eye", EYE), ("center", center))}
    camera["eye"] = {x: far * at for x, at in camera["eye"].items()}
    return {**axes, "aspectmode": "cube", "camera": camera, "uirevision": "camera"}


def square(m: int, reach: float, x: str = "h₁", y: str = "h₂", **rest: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two axes of one scale, the second unseen where there is one dimension."""
    half = PLANE * reach
    fixed: dict[str, Any] = {"limits": (-half, half), "tickvals": _ticks(reach), "constrain": "domain"}
    up = axis(y, **fixed, scaleanchor="x", **rest)
    return axis(x, **fixed, **rest), {**up, "visible": False} if m == 1 else up


def plane(panel: Panel, m: int, reach: float, *, bare: bool = False) -> dict[str, Any]:
    """The same in a panel, for the layout; if bare, unseen."""
    x, y = square(m, reach, "", "", visible=False) if bare else square(m, reach)
    return panel.axes(x, {**y, "scaleanchor": f"x{panel.number}"})


def circle(m: int, number: str = "") -> list[dict[str, Any]]:
    """The unit circle of a plane, the panel of this number, as a shape; nothing where there is one dimension."""
    ends = {"x0": -1, "x1": 1, "y0": -1, "y1": 1, "xref": f"x{number}", "yref": f"y{number}"}
    return [{"type": "circle", "layer": "below", "line": {"color": FAINT, "width": 1}, **ends}] if m == 2 else []
