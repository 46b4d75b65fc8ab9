"""Pure functions from arrays to plotly figures; `frames` turns any of them into one that scrubs without a kernel."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from toylib.drawings import Drawing, figure
from toylib.frames import frames
from toylib.intervals import Interval, Share
from toylib.labels import Label, beside
from toylib.style import BACKGROUND, BLUE, BLUE_TINT, INK, MUTED, SET_COLORS, TEMPLATE, f4, heatmap, log_axis

__all__ = ["frames", "gallery", "lines", "matrices", "means", "outcomes", "scatter", "shares", "spectra"]


@figure
def gallery(samples: Mapping[str, tuple[np.ndarray, Sequence[Sequence[int]]]], *, title: str) -> Drawing:
    """Samples of several distributions as pictures: a row a feature, a column a sample, darker for larger values.

    Args:
        samples: name -> (x (batch, n) in [0, 1], sets); a set has one colour.
        title: of the figure.
    """
    if not 1 <= len(samples) <= 4:
        raise ValueError(f"a gallery shows one to four distributions, got {len(samples)}; split it in two")
    traces, layout = [], {"annotations": []}
    name = {"showarrow": False, "xanchor": "center", "yanchor": "bottom", "font": {"size": 13}, "x": 0.5, "y": 1}
    for panel, (distribution, (x, sets)) in enumerate(samples.items()):
        number, row, column = str(panel + 1) if panel else "", panel // 2, panel % 2
        for i, members in enumerate(sets):
            traces.append(
                {
                    "type": "heatmap",
                    "z": f4(np.asarray(x)[:, list(members)].T),
                    "x": np.arange(1, len(x) + 1),
                    "y": [j + 1 for j in members],
                    "zmin": 0,
                    "zmax": 1,
                    "colorscale": ((0, BACKGROUND), (1, SET_COLORS[i % len(SET_COLORS)])),
                    "showscale": False,
                    "xgap": 0.5,
                    "ygap": 1,
                    "hovertemplate": f"feature %{{y}}, sample %{{x}}: %{{z:.2f}}<extra>set {i + 1}</extra>",
                    "xaxis": f"x{number}",
                    "yaxis": f"y{number}",
                }
            )
        titles = "sample" if row == 1 else "", "feature" if column == 0 else ""
        across, down = [0.55 * column, 0.45 + 0.55 * column], [0.585 - 0.585 * row, 1 - 0.585 * row]
        layout[f"xaxis{number}"] = {"title": {"text": titles[0]}, "domain": across, "anchor": f"y{number}"}
        y = {"title": {"text": titles[1]}, "domain": down, "anchor": f"x{number}"}
        layout[f"yaxis{number}"] = {**y, "autorange": "reversed", "dtick": 1}
        here = {"text": distribution, "xref": f"x{number} domain", "yref": f"y{number} domain"}
        layout["annotations"].append({**name, **here})
    frame = {"template": TEMPLATE, "title": {"text": title}, "height": 480, "margin": {"t": 70}}
    return {"data": traces, "layout": {**layout, **frame}}


def lines(
    x: np.ndarray,
    series: Mapping[str, np.ndarray],
    *,
    title: str,
    x_title: str,
    y_title: str,
    log: str = "",
    dashed: Mapping[str, np.ndarray] | None = None,
    y_range: tuple[float, float] | None = None,
    markers: bool = False,
    colors: Sequence[str] | None = None,
) -> go.Figure:
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
    """
    figure, x, dashed = go.Figure(), np.asarray(x, float), dashed or {}
    pairs = zip(series.items(), colors_of(series, colors), strict=True)
    drawn = [(name, np.asarray(y, float), color) for (name, y), color in pairs]
    mode = "lines+markers" if markers else "lines"
    for name, y, color in drawn:
        figure.add_scatter(x=f4(x), y=f4(y), name=name, mode=mode, line={"color": color, "width": 2})
    levels = [(name, np.broadcast_to(np.asarray(y, float), x.shape), MUTED) for name, y in dashed.items()]
    for name, y, color in levels:
        line = {"color": color, "dash": "dash", "width": 1}
        figure.add_scatter(x=f4(x), y=f4(y), name=name, mode="lines", line=line)
    values = np.concatenate([y[np.isfinite(y)] for _, y, _ in drawn + levels])
    _fix(figure, x, y_range or around(values, "y" in log), log, pad=markers)
    figure.update_layout(template=TEMPLATE, title_text=title, height=400, margin={"l": 60, "t": 50, "b": 50})
    figure.update_layout(xaxis_title_text=x_title, yaxis_title_text=y_title)
    return beside(figure, [_end(name, color, x, y, log) for name, y, color in drawn + levels])


def spectra(exact: Mapping[str, np.ndarray], measured: Mapping[str, np.ndarray], *, title: str) -> go.Figure:
    """Covariance spectra, largest eigenvalue first: closed form as bars, measured as points. name -> (n,) for both."""
    figure = make_subplots(1, len(exact), subplot_titles=list(exact), shared_yaxes=True, horizontal_spacing=0.03)
    for column, name in enumerate(exact, 1):
        order = np.arange(1, len(exact[name]) + 1)
        first = column == 1
        figure.add_bar(
            x=order, y=f4(exact[name]), name="closed form", marker_color=BLUE_TINT, showlegend=first, row=1, col=column
        )
        figure.add_scatter(
            x=order,
            y=f4(measured[name]),
            name="measured",
            mode="markers",
            marker={"color": INK, "size": 7, "symbol": "circle-open", "line": {"width": 1.5}},
            showlegend=first,
            row=1,
            col=column,
        )
    largest = max(np.max(values) for values in (*exact.values(), *measured.values()))
    figure.update_xaxes(title_text="rank", dtick=1)
    figure.update_yaxes(range=[0, 1.06 * float(largest)])
    figure.update_yaxes(title_text="eigenvalue (variance)", col=1)
    figure.update_annotations(font={"size": 13})
    return figure.update_layout(
        template=TEMPLATE, title_text=title, height=360, margin={"t": 100}, legend={"y": 1.12, "x": -0.02}
    )


def matrices(
    panels: Mapping[str, np.ndarray], *, title: str, x_title: str, y_title: str, limit: float = 1.0
) -> go.Figure:
    """Signed matrices side by side, -limit orange, 0 white, limit blue. name -> (rows, columns)."""
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.08)
    for column, matrix in enumerate(panels.values(), 1):
        figure.add_trace(heatmap(matrix, limit), row=1, col=column)
        figure.update_yaxes(autorange="reversed", dtick=1, title_text=y_title if column == 1 else "", row=1, col=column)
        figure.update_xaxes(dtick=1, title_text=x_title, row=1, col=column)
    figure.update_traces(showscale=False)
    figure.data[-1].showscale = True
    figure.update_xaxes(showgrid=False).update_yaxes(showgrid=False)
    figure.update_annotations(font={"size": 13})
    return figure.update_layout(template=TEMPLATE, title_text=title, height=350, margin={"t": 75})


def shares(
    x: Sequence[float],
    series: Mapping[str, Sequence[Share]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    colors: Sequence[str] | None = None,
) -> go.Figure:
    """Shares with their 95 % Wilson intervals over a positive setting, on a logarithmic axis; at most five series."""
    # A little aside, so that intervals at one setting stand beside each other.
    texts = {"title": title, "x_title": x_title, "y_title": y_title}
    figure = _bars(x, series, 1.04, (-0.03, 1.03), "x", colors=colors, **texts)
    figure.update_xaxes(tickvals=list(x), ticktext=[f"{value:g}" for value in x])
    return figure.update_yaxes(tickformat=".0%")


def means(
    x: Sequence[float],
    series: Mapping[str, Sequence[Interval]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    y_range: tuple[float, float],
    log: str = "x",
    ticks: Sequence[float] | None = None,
    dashed: Mapping[str, float] | None = None,
    colors: Sequence[str] | None = None,
) -> go.Figure:
    """Means with their intervals over a setting; at most five series.

    Args:
        x: (k,).
        series: name -> k intervals.
        title, x_title, y_title: texts.
        y_range: fixed range of the y axis, in its units.
        log: which axes are logarithmic: "", "x", "y" or "xy"; a setting on a logarithmic axis is positive.
        ticks: values to mark on the x axis, by default 1, 2 and 5 times powers of ten where it is logarithmic.
        dashed: name -> y of a dashed line.
        colors: of the series, from `style`; by default its set colours and ink in turn.
    """
    texts = {"title": title, "x_title": x_title, "y_title": y_title}
    figure = _bars(x, series, 1.0, y_range, log, dashed or {}, colors=colors, **texts)
    if ticks is not None:
        figure.update_xaxes(tickvals=list(ticks), ticktext=[f"{value:,g}" for value in ticks])
    return figure


def _bars(
    x: Sequence[float],
    series: Mapping[str, Sequence],
    aside: float,
    y_range: tuple[float, float],
    log: str,
    dashed: Mapping[str, float] | None = None,
    *,
    title: str,
    x_title: str,
    y_title: str,
    colors: Sequence[str] | None,
) -> go.Figure:
    """Points with the intervals that each has, joined by lines; each series a factor `aside` from the one before."""
    figure, ends, x = go.Figure(), [], np.asarray(x, float)
    last = float(x.max() * aside ** ((len(series) - 1) / 2))  # the names begin beside the rightmost point
    for i, (color, (name, values)) in enumerate(zip(colors_of(series, colors), series.items(), strict=True)):
        y = np.array([v.value for v in values])
        figure.add_scatter(
            x=f4(x * aside ** (i - (len(series) - 1) / 2)),
            y=f4(y),
            name=name,
            mode="lines+markers",
            marker={"color": color, "size": 8, "symbol": SYMBOLS[i]},
            line={"color": color, "width": 1.5},
            error_y={
                "array": f4(np.array([v.high for v in values]) - y),
                "arrayminus": f4(y - np.array([v.low for v in values])),
                "thickness": 1.5,
                "color": color,
            },
            customdata=[str(v) for v in values],
            hovertemplate="%{customdata}",
        )
        ends.append(_end(name, color, np.where(x < x.max(), x, last), y, log))
    for name, y in (dashed or {}).items():
        figure.add_hline(y=y, line={"color": MUTED, "dash": "dash", "width": 1})
        ends.append(_end(name, MUTED, np.array([last]), np.array([y]), log))
    _fix(figure, np.array([x.min() / (last / x.max()), last]), y_range, log, pad=True)
    figure.update_layout(template=TEMPLATE, title_text=title, height=400, margin={"l": 60, "t": 50, "b": 50})
    figure.update_layout(xaxis_title_text=x_title, yaxis_title_text=y_title)
    return beside(figure, ends)


def scatter(x: np.ndarray, y: np.ndarray, names: Sequence[str], *, title: str, x_title: str, y_title: str) -> go.Figure:
    """Groups of points, one point a model, joined in their order by a line through the means of the groups.

    Args:
        x, y: (groups, points).
        names: one a group, written beside it; "" for none.
        title, x_title, y_title: texts.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    path = {"mode": "lines", "line": {"color": MUTED, "width": 1}, "hoverinfo": "skip"}
    figure = go.Figure(go.Scatter(x=f4(x.mean(1)), y=f4(y.mean(1)), **path))
    marker = {"color": BLUE, "size": 7, "opacity": 0.7, "line": {"color": BACKGROUND, "width": 0.5}}
    figure.add_scatter(x=f4(x.ravel()), y=f4(y.ravel()), mode="markers", marker=marker)
    _fix(figure, x, around(y, False), "", pad=True)
    figure.update_layout(template=TEMPLATE, title_text=title, height=420, margin={"l": 60, "t": 50, "b": 50})
    figure.update_layout(xaxis_title_text=x_title, yaxis_title_text=y_title)
    ends = zip(names, x.max(1), y.mean(1), strict=True)
    return beside(figure, [Label(name, MUTED, *map(float, at)) for name, *at in ends])


def outcomes(
    x: Sequence[str], counts: Mapping[str, Sequence[int]], *, title: str, x_title: str, y_title: str
) -> go.Figure:
    """Stacked bars of how many runs ended in which state; counts: state -> one number a bar, at most five states."""
    figure = go.Figure()
    for color, (state, values) in zip(colors_of(counts), counts.items(), strict=True):
        figure.add_bar(x=list(x), y=list(map(int, values)), name=state, marker_color=color)
    highest = float(np.sum(list(counts.values()), axis=0).max())
    figure.update_layout(template=TEMPLATE, title_text=title, height=380, margin={"t": 80}, barmode="stack")
    figure.update_layout(legend={"traceorder": "normal", "x": -0.02}, bargap=0.25)
    figure.update_xaxes(title_text=x_title, type="category", showgrid=False)
    return figure.update_yaxes(title_text=y_title, range=[0, 1.04 * highest])


SYMBOLS = ("circle", "square", "diamond", "x", "cross")
"""Of up to five series, for eyes that do not tell their colours apart."""


def colors_of(series: Mapping, chosen: Sequence[str] | None = None) -> Sequence[str]:
    """A colour for each of at most five series."""
    colors = (*SET_COLORS, INK)
    if len(series) > len(colors):
        raise ValueError(f"a figure has at most {len(colors)} series, got {len(series)}; split it in two")
    if chosen is not None and len(chosen) != len(series):
        raise ValueError(f"colors must be one a series, got {len(chosen)} for {len(series)}")
    return chosen or colors[: len(series)]


def _fix(figure: go.Figure, x: np.ndarray, y_range: Sequence[float], log: str, *, pad: bool) -> None:
    """Give both axes a fixed range; `pad` leaves room for markers at the first and last x."""
    low, high = np.log10([x.min(), x.max()]) if "x" in log else (x.min(), x.max())
    room = 0.02 * (high - low) if pad else 0.0
    limits = (float(low - room), float(high + room))
    figure.update_xaxes(log_axis([10.0**limit for limit in limits]) if "x" in log else {"range": limits})
    figure.update_yaxes(log_axis(y_range) if "y" in log else {"range": list(y_range)})


def around(values: np.ndarray, log: bool) -> tuple[float, float]:
    """A range that holds all values, with a margin."""
    if log and np.min(values) <= 0:
        raise ValueError(f"on a logarithmic axis all values must be positive, got {np.min(values)}; leave it out")
    low, high = np.log10([np.min(values), np.max(values)]) if log else (np.min(values), np.max(values))
    room = 0.05 * (high - low) or 1.0
    low, high = float(low - room), float(high + room)
    return (10.0**low, 10.0**high) if log else (low, high)


def _end(name: str, color: str, x: np.ndarray, y: np.ndarray, log: str) -> Label:
    """The label of a curve, at its last point that is a number."""
    last = np.flatnonzero(np.isfinite(y))[-1:]
    if not len(last):
        return Label("", color, 0.0, 0.0)
    at_x, at_y = float(x[last][0]), float(y[last][0])
    if "y" in log and at_y <= 0:
        raise ValueError(f"on a logarithmic axis a level must be positive, got {at_y} for {name}; leave it out")
    return Label(name, color, np.log10(at_x) if "x" in log else at_x, np.log10(at_y) if "y" in log else at_y)
