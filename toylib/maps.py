"""Pictures of adversarial training: one model's features, the map of how training ended, and what robustness costs."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from toylib.drawings import Drawing, figure
from toylib.figures import SYMBOLS, around, colors_of
from toylib.style import (
    BACKGROUND,
    BLUE,
    BLUE_TINT,
    FAINT,
    GREEN_TINT,
    INK,
    LABELS,
    MUTED,
    ORANGE,
    ORANGE_TINT,
    TEMPLATE,
    f4,
    heatmap,
)

OUTCOMES = {"none": BACKGROUND, "reduced": BLUE_TINT, "eliminated": GREEN_TINT, "given up": ORANGE_TINT}
"""What training under attack can end in, and the colour of each."""
_SPELLED = {"none": "not reduced"}


@figure
def represented(W: np.ndarray, dimensionality: np.ndarray, *, title: str, kept: float) -> Drawing:
    """What a model represents: WᵀW, and the norm and dimensionality of every feature, the longest first in both.

    Args:
        W: (m, n).
        dimensionality: (n,), D_i.
        title: of the figure.
        kept: norm above which a feature counts as kept, drawn as a line.
    """
    W, D = np.asarray(W, float), np.asarray(dimensionality, float)
    norms = np.linalg.norm(W, axis=0)
    order = np.argsort(-norms, kind="stable")
    drawn = {"▮ norm": BLUE, "● D, if kept": ORANGE}
    headings = ["WᵀW", "   ".join(f"<span style='color: {LABELS[c]}'>{text}</span>" for text, c in drawn.items())]
    about = {"x": np.arange(1, len(norms) + 1), "customdata": order + 1, "xaxis": "x2", "yaxis": "y2"}
    hover = "feature %{customdata}: "
    gram = heatmap(W[:, order].T @ W[:, order], 1.0)
    gram |= {"xgap": 0, "ygap": 0, "colorbar": {"x": 0.41, "len": 0.8, "tickvals": [-1, 0, 1]}}
    bars = {
        "type": "bar",
        "y": f4(norms[order]),
        "marker": {"color": BLUE},
        "hovertemplate": f"{hover}norm %{{y:.2f}}<extra></extra>",
        **about,
    }
    points = {
        "type": "scatter",
        "y": f4(np.where(norms[order] > kept, D[order], np.nan)),
        "mode": "markers",
        "marker": {"color": ORANGE, "size": 7, "line": {"color": BACKGROUND, "width": 1}},
        "hovertemplate": f"{hover}D = %{{y:.2f}}<extra></extra>",
        **about,
    }
    layout = _represented_layout(len(norms), kept, headings)
    return {"data": [gram, bars, points], "layout": {**layout, "title": {"text": title}}}


def _represented_layout(n: int, kept: float, headings: Sequence[str]) -> dict:
    """Axes and headings of two panels, by hand: plotly's subplot helpers take 20 times as long."""
    ends, feature = [0.5, n + 0.5], {"text": "feature, the longest first"}
    beside = {**feature, "standoff": 4}
    about = {"range": ends, "showgrid": False}
    square = {**about, "title": beside, "constrain": "domain"}
    heading = {"showarrow": False, "y": 1, "yanchor": "bottom", "font": {"size": 13}}
    line = {"type": "line", "xref": "x2 domain", "x0": 0, "x1": 1, "yref": "y2", "y0": kept, "y1": kept}
    return {
        "template": TEMPLATE,
        "height": 385,
        "margin": {"t": 75},
        "showlegend": False,
        "xaxis": {**square, "domain": [0.0, 0.4], "anchor": "y", "constraintoward": "right"},
        "yaxis": {
            **square,
            "range": ends[::-1],
            "domain": [0.0, 1.0],
            "anchor": "x",
            "scaleanchor": "x",
            "constraintoward": "top",
        },
        "xaxis2": {**about, "title": feature, "domain": [0.6, 1.0], "anchor": "y2"},
        "yaxis2": {
            "range": [0, 1.35],
            "title": {"text": "norm ‖W<sub>i</sub>‖, dimensionality D<sub>i</sub>"},
            "domain": [0.0, 1.0],
            "anchor": "x2",
        },
        "shapes": [{**line, "line": {"color": INK, "dash": "dash", "width": 1}}],
        "annotations": [
            # Over the matrix, which stands beside its scale.
            {**heading, "text": headings[0], "xref": "paper", "yref": "paper", "x": 0.4, "xanchor": "right"},
            {**heading, "text": headings[1], "xref": "paper", "yref": "paper", "x": 0.8, "xanchor": "center"},
        ],
    }


def outcome_map(
    panels: Mapping[str, np.ndarray],
    kept: Mapping[str, np.ndarray],
    densities: Sequence[float],
    norms: Sequence[float],
    *,
    title: str,
) -> go.Figure:
    """How training under each attack ended, over density and norm, with the number of features kept in every cell.

    Args:
        panels: attack -> (densities, norms) of names in OUTCOMES; at most eight attacks.
        kept: attack -> (densities, norms), mean numbers of features kept.
        densities, norms: of the rows and columns; norms as fractions of E‖x‖.
        title: of the figure.

    Raises:
        ValueError: an outcome without a colour.
    """
    known = list(OUTCOMES)
    unknown = {str(name) for panel in panels.values() for name in np.ravel(panel)} - set(known)
    if unknown:
        raise ValueError(f"outcomes must be among {known}, got {sorted(unknown)}")
    rows = -(-len(panels) // 2)
    figure = make_subplots(
        rows,
        2,
        subplot_titles=list(panels),
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.025,
        vertical_spacing=0.22 / rows,
    )
    steps = [(edge / len(known), color) for i, color in enumerate(OUTCOMES.values()) for edge in (i, i + 1)]
    for at, (name, panel) in enumerate(panels.items()):
        row, column = at // 2 + 1, at % 2 + 1
        figure.add_heatmap(
            z=np.array([[known.index(outcome) for outcome in line] for line in panel], np.int8),
            x=[f"{norm:g}" for norm in norms],
            y=[f"{density:g}" for density in densities],
            text=[[f"{count:.0f}" for count in line] for line in kept[name]],
            customdata=np.asarray(panel),
            texttemplate="%{text}",
            textfont={"size": 11, "color": INK},
            zmin=-0.5,
            zmax=len(known) - 0.5,
            colorscale=steps,
            showscale=False,
            xgap=1,
            ygap=1,
            hovertemplate="density %{y}, norm %{x}: %{customdata}, %{text} kept<extra></extra>",
            row=row,
            col=column,
        )
        figure.update_yaxes(type="category", title_text="density p" if column == 1 else "", row=row, col=column)
        last = at + 2 >= len(panels)
        figure.update_xaxes(type="category", title_text="attack norm / E‖x‖" if last else "", row=row, col=column)
    for name, color in OUTCOMES.items():
        marker = {"color": color, "symbol": "square", "size": 12, "line": {"color": MUTED, "width": 1}}
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker=marker, name=_SPELLED.get(name, name), row=1, col=1
        )
    figure.update_xaxes(tickangle=0, tickfont={"size": 10}, showgrid=False, linecolor=FAINT)
    figure.update_yaxes(showgrid=False, linecolor=FAINT)
    figure.update_annotations(font={"size": 13})
    inner = 145 * rows
    legend = {"y": 1 + 25 / inner, "x": -0.02}
    margin = {"l": 55, "r": 10, "t": 95, "b": 50}
    return figure.update_layout(template=TEMPLATE, title_text=title, height=inner + 145, margin=margin, legend=legend)


def trade(
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    level: tuple[str, float] | None = None,
    label: Sequence[str] = (),
    start: str = "",
) -> go.Figure:
    """One quantity against another along a setting, a joined line of points a series.

    Args:
        series: name -> (x (k,), y (k,)), at most five.
        title, x_title, y_title: texts.
        level: name and y of a dashed line.
        label: k texts, one for each point of a series, shown on hovering.
        start: what to write at the first point, which all series share.
    """
    figure = go.Figure()
    for i, (color, (name, (x, y))) in enumerate(zip(colors_of(series), series.items(), strict=True)):
        figure.add_scatter(
            x=f4(x),
            y=f4(y),
            name=name,
            mode="lines+markers",
            line={"color": color, "width": 1.5},
            marker={"color": color, "size": 7, "symbol": SYMBOLS[i]},
            customdata=list(label) or None,
            hovertemplate="%{customdata}: (%{x:.2f}, %{y:.3f})" if label else None,
        )
    if level is not None:
        figure.add_hline(y=level[1], line={"color": MUTED, "dash": "dash", "width": 1})
        text = {"text": level[0], "showarrow": False, "font": {"color": MUTED}, "yanchor": "bottom"}
        figure.add_annotation(x=1, xref="paper", xanchor="right", y=level[1], **text)
    if start:
        x, y = next(iter(series.values()))
        text = {"text": start, "showarrow": False, "font": {"color": MUTED}, "yanchor": "bottom", "yshift": 6}
        figure.add_annotation(x=float(x[0]), y=float(y[0]), xanchor="right", **text)
    values = [np.concatenate([np.asarray(xy[axis], float) for xy in series.values()]) for axis in (0, 1)]
    figure.update_layout(template=TEMPLATE, title_text=title, height=420, margin={"t": 80}, legend={"x": -0.02})
    figure.update_xaxes(title_text=x_title, range=around(values[0], False))
    return figure.update_yaxes(title_text=y_title, range=around(values[1], False))
