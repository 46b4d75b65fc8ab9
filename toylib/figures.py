"""Pure functions from arrays to plotly figures; `frames` turns any of them into one that scrubs without a kernel."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from toylib.drawings import Drawing, figure
from toylib.frames import frames
from toylib.intervals import Interval, Share
from toylib.style import INK, MUTED, SET_COLORS, TEMPLATE, f4, heatmap, log_ticks

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
    name = {"showarrow": False, "xanchor": "center", "yanchor": "bottom", "font": {"size": 16}, "x": 0.5, "y": 1}
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
                    "colorscale": ((0, "#FFFFFF"), (1, SET_COLORS[i % len(SET_COLORS)])),
                    "showscale": False,
                    "xgap": 0.5,
                    "ygap": 1,
                    "hovertemplate": f"feature %{{y}}, sample %{{x}}: %{{z:.2f}}<extra>set {i + 1}</extra>",
                    "xaxis": f"x{number}",
                    "yaxis": f"y{number}",
                }
            )
        layout[f"xaxis{number}"] = {
            "title": {"text": "sample" if row == 1 else ""},
            "domain": [0.55 * column, 0.45 + 0.55 * column],
            "anchor": f"y{number}",
        }
        layout[f"yaxis{number}"] = {
            "title": {"text": "feature" if column == 0 else ""},
            "domain": [0.585 - 0.585 * row, 1 - 0.585 * row],
            "anchor": f"x{number}",
            "autorange": "reversed",
            "dtick": 1,
        }
        here = {"text": distribution, "xref": f"x{number} domain", "yref": f"y{number} domain"}
        layout["annotations"].append({**name, **here})
    frame = {"template": TEMPLATE, "title": {"text": title}, "height": 480, "margin": {"t": 80}}
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
) -> go.Figure:
    """Curves over one axis, with references dashed.

    Args:
        x: (k,).
        series: name -> (k,), at most five.
        title, x_title, y_title: texts.
        log: which axes are logarithmic: "", "x", "y" or "xy".
        dashed: name -> (k,) or a number, drawn as dashed lines with their names beside them.
        y_range: fixed range of the y axis, in its units.
        markers: mark the points.
    """
    figure, x = go.Figure(), np.asarray(x)
    for color, (name, y) in zip(_colors(series), series.items(), strict=True):
        mode = "lines+markers" if markers else "lines"
        figure.add_scatter(x=f4(x), y=f4(y), name=name, mode=mode, line={"color": color, "width": 2})
    for name, y in (dashed or {}).items():
        if "y" in log and np.min(y) <= 0:
            raise ValueError(
                f"on a logarithmic axis a level must be positive, got {np.min(y)} for {name}; leave it out"
            )
        y = f4(np.broadcast_to(y, x.shape))
        figure.add_scatter(
            x=f4(x), y=y, name=name, mode="lines", line={"color": MUTED, "dash": "dash", "width": 1}, showlegend=False
        )
        at = (np.log10(x[-1]) if "x" in log else x[-1], np.log10(y[-1]) if "y" in log else y[-1])
        figure.add_annotation(
            x=at[0], y=at[1], text=name, showarrow=False, xanchor="left", xshift=5, font={"color": MUTED}
        )
    figure.update_layout(template=TEMPLATE, title_text=title, height=400, margin={"r": 120 if dashed else 20, "t": 90})
    figure.update_xaxes(title_text=x_title, type="log" if "x" in log else "linear")
    figure.update_yaxes(title_text=y_title, type="log" if "y" in log else "linear", **log_ticks(log))
    if y_range is not None:
        figure.update_yaxes(range=np.log10(y_range).tolist() if "y" in log else list(y_range))
    return figure


def spectra(exact: Mapping[str, np.ndarray], measured: Mapping[str, np.ndarray], *, title: str) -> go.Figure:
    """Covariance spectra, largest eigenvalue first: closed form as bars, measured as points. name -> (n,) for both."""
    figure = make_subplots(1, len(exact), subplot_titles=list(exact), shared_yaxes=True, horizontal_spacing=0.03)
    for column, name in enumerate(exact, 1):
        order = np.arange(1, len(exact[name]) + 1)
        first = column == 1
        figure.add_bar(
            x=order, y=f4(exact[name]), name="closed form", marker_color="#A6CEE3", showlegend=first, row=1, col=column
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
    figure.update_xaxes(title_text="eigenvalue", dtick=1)
    figure.update_yaxes(title_text="variance", col=1)
    figure.update_layout(template=TEMPLATE, title_text=title, height=360, margin={"t": 110}, legend={"y": 1.12})
    return figure


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
    return figure.update_layout(template=TEMPLATE, title_text=title, height=350, margin={"t": 90})


def shares(
    x: Sequence[float], series: Mapping[str, Sequence[Share]], *, title: str, x_title: str, y_title: str
) -> go.Figure:
    """Shares with their 95 % Wilson intervals over a positive setting, on a logarithmic axis; at most five series."""
    # A little aside, so that intervals at one setting stand beside each other.
    figure = _bars(x, series, 1.04, title=title, x_title=x_title, y_title=y_title)
    figure.update_xaxes(tickvals=list(x), tickformat="~g")
    return figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%")


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
    """
    figure = _bars(x, series, 1.0, title=title, x_title=x_title, y_title=y_title)
    if "x" in log:
        powers = [m * 10.0**k for k in range(-6, 7) for m in (1, 2, 5) if min(x) <= m * 10.0**k <= max(x)]
        figure.update_xaxes(tickvals=powers if ticks is None else list(ticks), tickformat="~g")
    else:
        figure.update_xaxes(type="linear", tickvals=None if ticks is None else list(ticks))
    for name, y in (dashed or {}).items():
        figure.add_hline(y=y, line={"color": MUTED, "dash": "dash", "width": 1})
        at = {"x": 1, "xref": "paper", "xanchor": "right", "y": np.log10(y) if "y" in log else y, "yanchor": "bottom"}
        figure.add_annotation(text=name, showarrow=False, font={"color": MUTED}, **at)
    if "y" in log:
        return figure.update_yaxes(type="log", range=np.log10(y_range).tolist(), **log_ticks(log))
    return figure.update_yaxes(range=list(y_range))


def _bars(
    x: Sequence[float], series: Mapping[str, Sequence], aside: float, *, title: str, x_title: str, y_title: str
) -> go.Figure:
    """Points with the intervals that each has, joined by lines; each series a factor `aside` from the one before."""
    figure = go.Figure()
    for i, (color, (name, values)) in enumerate(zip(_colors(series), series.items(), strict=True)):
        y = np.array([v.value for v in values])
        figure.add_scatter(
            x=f4(np.array(x) * aside ** (i - (len(series) - 1) / 2)),
            y=f4(y),
            name=name,
            mode="lines+markers",
            marker={"color": color, "size": 8, "symbol": ("circle", "square", "diamond", "x", "cross")[i]},
            line={"color": color, "width": 1.5},
            error_y={
                "array": f4(np.array([v.high for v in values]) - y),
                "arrayminus": f4(y - np.array([v.low for v in values])),
                "thickness": 1.5,
            },
            customdata=[str(v) for v in values],
            hovertemplate="%{customdata}",
        )
    figure.update_layout(template=TEMPLATE, title_text=title, height=400, margin={"t": 90})
    return figure.update_xaxes(title_text=x_title, type="log").update_yaxes(title_text=y_title)


def scatter(
    x: np.ndarray,
    y: np.ndarray,
    shade: np.ndarray,
    *,
    title: str,
    x_title: str,
    y_title: str,
    shade_title: str,
) -> go.Figure:
    """One point a model, shaded by a positive setting on a logarithmic scale; x, y and shade (k,)."""
    shade = np.asarray(shade, float)
    ticks = [v for v in (1, 2, 5, 10, 20, 50, 100) if shade.min() <= v <= shade.max()]
    marker = {
        "color": f4(np.log10(shade)),
        "colorscale": "Cividis",
        "reversescale": True,
        "size": 7,
        "line": {"color": INK, "width": 0.5},
        "colorbar": {
            "title": {"text": shade_title},
            "tickvals": np.log10(ticks).tolist(),
            "ticktext": [f"{t:g}" for t in ticks],
            "thickness": 12,
        },
    }
    figure = go.Figure(go.Scatter(x=f4(x), y=f4(y), mode="markers", marker=marker, showlegend=False))
    figure.update_layout(template=TEMPLATE, title_text=title, height=420)
    return figure.update_xaxes(title_text=x_title).update_yaxes(title_text=y_title)


def outcomes(
    x: Sequence[str], counts: Mapping[str, Sequence[int]], *, title: str, x_title: str, y_title: str
) -> go.Figure:
    """Stacked bars of how many runs ended in which state; counts: state -> one number a bar, at most five states."""
    figure = go.Figure()
    for color, (state, values) in zip(_colors(counts), counts.items(), strict=True):
        figure.add_bar(x=list(x), y=list(map(int, values)), name=state, marker_color=color)
    figure.update_layout(template=TEMPLATE, title_text=title, height=380, margin={"t": 90}, barmode="stack")
    figure.update_layout(legend_traceorder="normal")
    return figure.update_xaxes(title_text=x_title, type="category").update_yaxes(title_text=y_title)


def _colors(series: Mapping) -> tuple[str, ...]:
    """A colour for each of at most five series."""
    colors = (*SET_COLORS, INK)
    if len(series) > len(colors):
        raise ValueError(f"a figure has at most {len(colors)} series, got {len(series)}; split it in two")
    return colors[: len(series)]
