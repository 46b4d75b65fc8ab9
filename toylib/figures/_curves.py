"""Curves, intervals and points over one axis."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from toylib._drawable import checked, distinct, numbers, picture
from toylib.figures._drawing import Drawing, f4
from toylib.figures._layout import Label, around, axis, band, beside, framed, level, middle
from toylib.figures.style import BACKGROUND, BLUE, MUTED, SYMBOLS, colors_of
from toylib.reporting import Interval, Share

Log = Literal["", "x", "y", "xy"]  # which axes are logarithmic


@picture
def lines(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    title: str,
    x_title: str,
    y_title: str,
    log: Log = "",
    dashed: Mapping[str, ArrayLike] | None = None,
    y_range: tuple[float, float] | None = None,
    markers: bool = False,
    colors: Sequence[str] | None = None,
    shaded: Mapping[str, tuple[float, float]] | None = None,
) -> Drawing:
    """Curves over one axis, with references dashed and each name at the end of its curve.

    Args:
        x: (k,).
        series: name -> (k,), at most five.
        title, x_title, y_title: texts.
        log: which axes are logarithmic: "", "x", "y" or "xy".
        dashed: name -> (k,) or a number, drawn as dashed lines.
        y_range: fixed range of the y axis, in its units; by default it holds all curves.
        markers: mark the points.
        colors: of the series, from `style`; by default its set colours and ink in turn.
        shaded: name -> first and last x of a stretch to shade.

    Raises:
        ValueError: no series, more than five, other lengths than x, or what a logarithmic axis cannot show.
    """
    x, mode = checked("x", x, None), "lines+markers" if markers or np.size(x) == 1 else "lines"  # one point has no line
    levels = {name: np.full(x.shape, y) if np.ndim(y) == 0 else y for name, y in (dashed or {}).items()}
    named = zip(series.items(), colors_of(series, colors), strict=True)
    curves = [(name, _as_long(x, name, y), color, mode, {"width": 2}) for (name, y), color in named]
    dash = {"dash": "dash", "width": 1}
    curves += [(name, _as_long(x, name, y), MUTED, "lines", dash) for name, y in levels.items()]
    traces = [
        {**_points(x, y), "name": name, "mode": mode, "line": {"color": color, **line}}
        for name, y, color, mode, line in curves
    ]
    y_range = y_range or around(np.concatenate([y for _, y, *_ in curves]), log="y" in log)
    across = axis(x_title, around(x, log="x" in log, margin=0.02 if markers else 0.0), log="x" in log)
    layout = framed(title, 400, xaxis=across, yaxis=axis(y_title, y_range, log="y" in log))
    if shaded:
        layout["shapes"] = [band(x0=first, x1=last, yref="y domain", y0=0, y1=1) for first, last in shaded.values()]
        above = {"yref": "y domain", "y": 1, "yanchor": "top", "showarrow": False}
        layout["annotations"] = [
            {"text": name, "x": middle(ends, log="x" in log), **above} for name, ends in shaded.items()
        ]
    return Drawing(traces, beside(layout, [Label.at_end(name, color, x, y, log) for name, y, color, *_ in curves]))


@picture
def shares(
    x: Sequence[float],
    series: Mapping[str, Sequence[Share | Interval]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    colors: Sequence[str] | None = None,
) -> Drawing:
    """Shares with their 95 % Wilson intervals over a positive setting, on a logarithmic axis; at most five series."""
    ticks = {"tickvals": list(x), "ticktext": [f"{value:g}" for value in x]}
    # A little aside, so that intervals at one setting stand beside each other.
    return _with_intervals(
        x, series, (title, x_title, y_title), (-0.03, 1.03), colors, ticks, {"tickformat": ".0%"}, aside=1.04
    )


@picture
def means(
    x: Sequence[float],
    series: Mapping[str, Sequence[Interval | Share]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    y_range: tuple[float, float],
    log: Log = "x",
    ticks: Sequence[float] | None = None,
    dashed: Mapping[str, float] | None = None,
    colors: Sequence[str] | None = None,
) -> Drawing:
    """Means with their intervals over a setting; at most five series.

    Args:
        x: (k,).
        series: name -> k intervals, or shares.
        title, x_title, y_title: texts.
        y_range: fixed range of the y axis, in its units.
        log: which axes are logarithmic: "", "x", "y" or "xy"; a setting on a logarithmic axis is positive.
        ticks: values to mark on the x axis, by default 1, 2 and 5 times powers of ten where it is logarithmic.
        dashed: name -> y of a dashed line.
        colors: of the series, from `style`; by default its set colours and ink in turn.

    Raises:
        ValueError: as `lines`.
    """
    marks = {} if ticks is None else {"tickvals": list(ticks), "ticktext": [f"{value:,g}" for value in ticks]}
    return _with_intervals(x, series, (title, x_title, y_title), y_range, colors, marks, {}, log=log, dashed=dashed)


def _with_intervals(
    x: Sequence[float],
    series: Mapping[str, Sequence[Share | Interval]],
    texts: tuple[str, str, str],
    y_range: tuple[float, float],
    colors: Sequence[str] | None,
    x_marks: dict[str, Any],
    y_marks: dict[str, Any],
    *,
    log: str = "x",
    dashed: Mapping[str, float] | None = None,
    aside: float = 1.0,
) -> Drawing:
    """Points with the intervals that each has, joined by lines; each series a factor `aside` from the one before."""
    title, x_title, y_title = texts
    at, levels = checked("x", x, None), dashed or {}
    traces: list[dict[str, Any]] = []
    ends: list[Label] = []
    last = float(at.max() * aside ** ((len(series) - 1) / 2))  # the names begin beside the rightmost point
    reach = around(np.array([at.min() / aside ** ((len(series) - 1) / 2), last]), log="x" in log, margin=0.02)
    for i, (color, (name, values)) in enumerate(zip(colors_of(series, colors), series.items(), strict=True)):
        y, low, high = (_as_long(at, name, [getattr(v, part) for v in values]) for part in ("value", "low", "high"))
        traces.append(
            {
                **_points(at * aside ** (i - (len(series) - 1) / 2), y),
                "name": name,
                "mode": "lines+markers",
                "marker": {"color": color, "size": 8, "symbol": SYMBOLS[i]},
                "line": {"color": color, "width": 1.5},
                "error_y": {**_errors(np.stack([y, low, high], -1)), "color": color},
                "customdata": [str(v) for v in values],
                "hovertemplate": "%{customdata}",
            }
        )
        ends.append(Label.at_end(name, color, np.where(at < at.max(), at, last), y, log))
    ends += [Label.at_end(name, MUTED, np.array([last]), np.array([y]), log) for name, y in levels.items()]
    layout = framed(
        title,
        400,
        xaxis=axis(x_title, reach, log="x" in log, **x_marks),
        yaxis=axis(y_title, y_range, log="y" in log, **y_marks),
        shapes=[level(y) for y in levels.values()],
    )
    return Drawing(traces, beside(layout, ends))


@picture
def scatter(x: ArrayLike, y: ArrayLike, names: Sequence[str], *, title: str, x_title: str, y_title: str) -> Drawing:
    """Groups of points, one point per model, joined in their order by a line through the means of the groups.

    Args:
        x, y: (groups, points).
        names: one per group, written beside it; "" for none.
        title, x_title, y_title: texts.
    """
    x = checked("x", x, None, None)
    y = checked("y", y, *x.shape)
    if len(names) != len(x):
        raise ValueError(
            f"names must be one per group, {len(x)}, got {len(names)}; give a group without one an empty text"
        )
    marker = {"color": BLUE, "size": 7, "opacity": 0.7, "line": {"color": BACKGROUND, "width": 0.5}}
    traces = [
        {**_points(x.mean(1), y.mean(1)), "mode": "lines", "line": {"color": MUTED, "width": 1}, "hoverinfo": "skip"},
        {**_points(x.ravel(), y.ravel()), "mode": "markers", "marker": marker},
    ]
    layout = framed(title, 420, xaxis=axis(x_title, around(x, margin=0.02)), yaxis=axis(y_title, around(y)))
    ends = [Label(name, MUTED, *map(float, at)) for name, *at in zip(names, x.max(1), y.mean(1), strict=True)]
    return Drawing(traces, beside(layout, ends))


@picture
def trade(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    dashed: Mapping[str, float] | None = None,
    label: Sequence[str] = (),
    start: str = "",
) -> Drawing:
    """One quantity against another along a setting, with the intervals of both, one joined line of points per series.

    Args:
        series: name -> (k intervals of x, k of y), value and ends of each, at most five.
        title, x_title, y_title: texts.
        dashed: name -> y of a dashed line.
        label: k texts, one for each point of a series, shown on hovering.
        start: what to write at the first point, which all series share.
    """
    points = {
        name: (checked(f"x of {name}", x, None, 3), checked(f"y of {name}", y, np.shape(x)[0], 3))
        for name, (x, y) in series.items()
    }
    if len(label) and {len(x) for x, _ in points.values()} != {len(label)}:
        raise ValueError(f"label must have a text for each point of a series, got {len(label)}; pass as many, or none")
    hover = {"customdata": list(label), "hovertemplate": "%{customdata}: (%{x:.2f}, %{y:.3f})"} if len(label) else {}
    traces = [
        {
            **_points(x[:, 0], y[:, 0]),
            "name": name,
            "mode": "lines+markers",
            "line": {"color": color, "width": 1.5},
            "marker": {"color": color, "size": 7, "symbol": symbol},
            "error_x": {**_errors(x), "color": color},
            "error_y": {**_errors(y), "color": color},
            **hover,
        }
        for color, symbol, (name, (x, y)) in zip(colors_of(points), SYMBOLS, points.items(), strict=False)
    ]
    x, y = (np.concatenate(values) for values in zip(*points.values(), strict=True))
    levels = dashed or {}
    text = {"showarrow": False, "font": {"color": MUTED}, "yanchor": "bottom", "xanchor": "right"}
    notes = [{**text, "text": name, "x": 1, "xref": "paper", "y": y} for name, y in levels.items()]
    if start:
        notes.append({**text, "text": start, "x": float(x[0, 0]), "y": float(y[0, 0]), "yshift": 6})
    layout = framed(
        title,
        420,
        xaxis=axis(x_title, around(x.ravel())),
        yaxis=axis(y_title, around(y.ravel())),
        margin={"t": 80},
        legend={"x": -0.02},
        shapes=[level(y) for y in levels.values()],
    )
    return Drawing(traces, {**layout, "annotations": notes})


@picture
def stacked(
    x: Sequence[str], counts: Mapping[str, Sequence[int]], *, title: str, x_title: str, y_title: str
) -> Drawing:
    """Stacked bars of how many cases are of which kind; counts: kind -> one number per bar, at most five kinds."""
    numbers = {
        kind: checked(f"counts of {kind}", values, len(x)).astype(int).tolist() for kind, values in counts.items()
    }
    traces = [
        {"type": "bar", "x": distinct("x", x), "y": values, "name": kind, "marker": {"color": color}}
        for color, (kind, values) in zip(colors_of(numbers), numbers.items(), strict=True)
    ]
    highest = float(np.sum([*numbers.values()], axis=0).max())
    layout = framed(
        title,
        380,
        xaxis=axis(x_title, type="category", showgrid=False),
        yaxis=axis(y_title, (0, 1.04 * highest)),
        margin={"t": 80},
        barmode="stack",
        bargap=0.25,
        legend={"traceorder": "normal", "x": -0.02},
    )
    return Drawing(traces, layout)


@picture
def histogram(
    values: Mapping[str, ArrayLike], edges: Sequence[float], *, title: str, x_title: str, y_title: str
) -> Drawing:
    """Bars of how many values fall into each bin, one bar per series beside the others; at most five series.

    Args:
        values: name -> values of any number; NaN is in no bin.
        edges: (k + 1,), of the bins, equally wide; the last bin has its upper edge.
        title, x_title, y_title: texts.
    """
    ends = checked("edges", edges, None)
    if len(ends) < 2 or not (np.diff(ends) > 0).all():
        raise ValueError(f"edges must be two or more that rise, got {ends.tolist()!r:.60}; a bin has two")
    counts = {name: np.histogram(numbers(name, column), ends)[0] for name, column in values.items()}
    middles = f4((ends[1:] + ends[:-1]) / 2)
    traces = [
        {"type": "bar", "x": middles, "y": n.tolist(), "name": name, "marker": {"color": color}}
        for color, (name, n) in zip(colors_of(counts), counts.items(), strict=True)
    ]
    across = axis(x_title, (ends[0], ends[-1]), tickvals=f4(ends), showgrid=False)
    highest = max(float(np.max([*counts.values()])), 1.0)
    layout = framed(title, 360, xaxis=across, yaxis=axis(y_title, (0, 1.04 * highest)))
    return Drawing(traces, {**layout, "margin": {"t": 80}, "barmode": "group", "bargap": 0.2, "legend": {"x": -0.02}})


def _points(x: ArrayLike, y: ArrayLike) -> dict[str, Any]:
    return {"type": "scatter", "x": f4(x), "y": f4(y)}


def _errors(intervals: np.ndarray) -> dict[str, Any]:
    """Bars from the ends of intervals (k, 3) to their values."""
    value, low, high = intervals.T
    return {"array": f4(high - value), "arrayminus": f4(value - low), "thickness": 1.5}


def _as_long(x: np.ndarray, name: str, y: ArrayLike) -> np.ndarray:
    """A curve as an array, which must be as long as x."""
    values = numbers(name, y)
    if values.shape != x.shape or not x.size:
        raise ValueError(
            f"a curve must have a value for each of x {x.shape}, got shape {values.shape} for {name}; pass as many"
        )
    return values
