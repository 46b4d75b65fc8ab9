"""What the data look like, samples, covariance, spectrum; tables; results along a setting, linked or stacked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_real
from toylib._drawable import check_sets, checked, distinct, picture
from toylib.figures._drawing import Drawing, f4
from toylib.figures._layout import Label, Panel, around, axis, band, framed, heatmap, level, middle, names, panels
from toylib.figures.style import BACKGROUND, BLUE, BLUE_TINT, FAINT, INK, MUTED, SET_COLORS, SYMBOLS, colors_of

_SHARES, _CURVES = Panel("", (0.0, 1.0), (0.57, 1.0)), Panel("2", (0.0, 1.0), (0.0, 0.47))
_HEIGHT, _TOP, _BOTTOM, _RIGHT = 640, 105, 55, 150
_LINKED = (
    Panel("", (0.0, 0.44), (0.58, 1.0)),
    Panel("2", (0.0, 0.44), (0.0, 0.42)),
    Panel("3", (0.6, 1.0), (0.0, 1.0)),
)
"""Places for two curves, one above the other, and for their scatter."""


@picture
def gallery(samples: Mapping[str, tuple[ArrayLike, Sequence[Sequence[int]]]], *, title: str) -> Drawing:
    """Samples of several distributions as pictures: one row per feature, one column per sample, darker where larger.

    Args:
        samples: name -> (x (batch, n) in [0, 1], sets); a set has one colour.
        title: of the figure.

    Raises:
        ValueError: no distribution, or more than four.
    """
    if not 1 <= len(samples) <= 4:
        raise ValueError(f"a gallery must show one to four distributions, got {len(samples)}; split it in two")
    places = panels(len(samples), min(len(samples), 2), (0.1, 0.17))
    traces, layout = [], framed(title, 480 if len(samples) > 2 else 300, margin={"t": 70}, annotations=[])
    for panel, (name, (values, sets)) in zip(places, samples.items(), strict=True):
        x = checked(f"samples of {name}", values, None, None)
        check_sets(sets, x.shape[1])
        traces += [
            heatmap(
                x[:, list(members)].T,
                1,
                y=[j + 1 for j in members],
                zmin=0,
                colorscale=((0, BACKGROUND), (1, SET_COLORS[i % len(SET_COLORS)])),
                showscale=False,
                xgap=0.5,
                hovertemplate=f"feature %{{y}}, sample %{{x}}: %{{z:.2f}}<extra>set {i + 1}</extra>",
                **panel.refs,
            )
            for i, members in enumerate(sets)
        ]
        across = axis("sample" if panel.y[0] < 0.1 else "")
        layout |= panel.axes(across, axis("" if panel.x[0] else "feature", autorange="reversed", dtick=1))
        layout["annotations"].append(panel.text(name))
    return Drawing(traces, layout)


@picture
def spectra(exact: Mapping[str, ArrayLike], measured: Mapping[str, ArrayLike], *, title: str) -> Drawing:
    """Covariance spectra, largest eigenvalue first: closed form as bars, measured as points. name -> (n,) for both."""
    if not exact or exact.keys() != measured.keys():
        came = " and ".join(", ".join(map(str, names)) for names in (exact, measured))
        raise ValueError(f"spectra must have the same names, got {came}; pass both of each")
    exact = {name: checked(f"spectrum of {name}", values, None) for name, values in exact.items()}
    measured = {name: checked(f"measured {name}", measured[name], np.size(values)) for name, values in exact.items()}
    largest = around(np.hstack([*exact.values(), *measured.values()]), margin=0)[1]
    traces, layout = [], framed(title, 360, margin={"t": 100}, legend={"y": 1.12, "x": -0.02}, annotations=[])
    circle = {"marker": {"color": INK, "size": 7, "symbol": "circle-open", "line": {"width": 1.5}}}
    for panel, name in zip(panels(len(exact), len(exact), (0.03, 0)), exact, strict=True):
        first = not panel.number
        common = {"x": np.arange(1, np.size(exact[name]) + 1), "showlegend": first, **panel.refs}
        traces += [
            {"type": "bar", "y": f4(exact[name]), "name": "closed form", "marker": {"color": BLUE_TINT}, **common},
            {"type": "scatter", "y": f4(measured[name]), "name": "measured", "mode": "markers", **circle, **common},
        ]
        y = axis("eigenvalue (variance)" if first else "", (0, 1.06 * largest), showticklabels=first)
        layout |= panel.axes(axis("rank", dtick=1), y)
        layout["annotations"].append(panel.text(name))
    return Drawing(traces, layout)


@picture
def matrices(named: Mapping[str, ArrayLike], *, title: str, x_title: str, y_title: str, limit: float = 1.0) -> Drawing:
    """Signed matrices side by side, -limit orange, 0 white, limit blue. name -> (rows, columns)."""
    check_real("limit", limit, "it is the end of the colours", above=0)
    if not named:
        raise ValueError("there must be at least one matrix, got none; pass name -> matrix")
    traces, layout = [], framed(title, 350, margin={"t": 75}, annotations=[])
    features = {"dtick": 1, "showgrid": False}
    for panel, (name, matrix) in zip(panels(len(named), len(named), (0.08, 0)), named.items(), strict=True):
        traces.append(
            heatmap(checked(name, matrix, None, None), limit, showscale=len(traces) == len(named) - 1, **panel.refs)
        )
        y = axis("" if panel.number else y_title, autorange="reversed", **features)
        layout |= panel.axes(axis(x_title, **features), y)
        layout["annotations"].append(panel.text(name))
    return Drawing(traces, layout)


@picture
def graded(
    named: Mapping[str, ArrayLike],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    x_title: str,
    y_title: str,
) -> Drawing:
    """Tables of numbers between 0 and 1, one below the other, each number in a cell that is darker where it is larger.

    Args:
        named: name -> (rows, columns); what is below 0 has the colour of 0, NaN an empty cell.
        rows, columns: their names; the rows from the top.
        title, x_title, y_title: texts; of the axis of columns and of that of rows.

    Raises:
        ValueError: no table, or one of another shape.
    """
    if not (named and len(rows) and len(columns)):
        sizes = f"{len(named)} tables of {len(rows)} rows and {len(columns)} columns"
        raise ValueError(f"there must be at least one table with a number, got {sizes}; pass name -> table")
    rows, columns = distinct("rows", rows), distinct("columns", columns)
    size, wide = 24 * len(rows), 6.5 * max(map(len, rows))
    height = (size + 34) * len(named) + 121
    traces, layout = [], framed(title, height, margin={"t": 70, "b": 85, "l": round(wide + 45)}, annotations=[])
    look = {"type": "category", "showgrid": False, "linecolor": FAINT}
    shades = {"x": columns, "y": rows, "zmin": 0, "colorscale": ((0, BACKGROUND), (1, BLUE_TINT))}
    shades |= {"showscale": False, "texttemplate": "%{text}", "textfont": {"size": 11, "color": INK}}
    shades["hovertemplate"] = "%{y}, %{x}: %{z:.2f}<extra></extra>"
    gap = 34 / ((size + 34) * len(named) - 34)
    for panel, (name, table) in zip(panels(len(named), 1, (0, gap)), named.items(), strict=True):
        values = checked(name, table, len(rows), len(columns))
        cells = [["" if np.isnan(value) else f"{value + 0.0:.2f}" for value in line] for line in values.round(2)]
        traces.append(heatmap(values, 1, text=cells, **shades, **panel.refs))
        last = panel.y[0] == 0
        x = axis(x_title if last else "", standoff=4, **look, tickangle=0, tickfont={"size": 10}, showticklabels=last)
        layout |= panel.axes(x, axis(y_title, **look, autorange="reversed", tickfont={"size": 11}))
        layout["annotations"].append(panel.text(name))
    return Drawing(traces, layout)


@picture
def linked(
    x: ArrayLike,
    above: tuple[str, ArrayLike],
    below: tuple[str, ArrayLike],
    *,
    at: float,
    title: str,
    x_title: str,
    levels: Mapping[str, float] | None = None,
) -> Drawing:
    """Two quantities over a positive setting, one above the other, and beside them the second against the first.

    Points up to a value of the setting are filled, and that of the value is ringed in all three panels.

    Args:
        x: (k,), values of the setting, which increase; its axis is logarithmic.
        above, below: title of the axis and values (k,).
        at: one of x.
        title, x_title: texts.
        levels: name -> value of `above`, drawn as dashed lines.

    Raises:
        ValueError: lengths that differ, or an `at` that is not among x.
    """
    x = checked("x", x, None)
    (first, u), (second, v) = ((name, checked(name, values, len(x))) for name, values in (above, below))
    if not (x == at).any():
        raise ValueError(f"at must be one of x, got {at:g}; pass one of {', '.join(f'{value:g}' for value in x)}")
    here, traces = x == at, []
    marker = {"size": 7, "opacity": np.where(x <= at, 1.0, 0.25)}
    ring = {"color": INK, "size": 13, "symbol": "circle-open", "line": {"width": 2}}
    for panel, color, across, up in zip(_LINKED, (SET_COLORS[i] for i in (2, 0, 1)), (x, x, u), (u, v, v), strict=True):
        fixed = {"type": "scatter", **panel.refs, "hovertemplate": "%{x:.3g}, %{y:.3g}<extra></extra>"}
        every, ringed = ({**fixed, "x": f4(across[part]), "y": f4(up[part])} for part in (x > 0, here))
        traces += [
            {**every, "mode": "lines", "line": {"color": MUTED, "width": 1}},
            {**every, "mode": "markers", "marker": {"color": color, **marker}},
            {**ringed, "mode": "markers", "marker": ring},
        ]
    lines = [level(y) for y in (levels or {}).values()]
    wide, high, far = around(x, log=True), *(around(np.hstack([0, part]), margin=0.1) for part in (u, v))
    labels = [Label(name, MUTED, float(np.log10(wide[1])), y) for name, y in (levels or {}).items()]
    right = {"font": {"size": 10}, "yanchor": "bottom", "xanchor": "right", "xshift": 0}
    notes = [{**note, **right} for note in names(labels, high, 175, [0.0] * len(labels))]
    layout = framed(title, 480, showlegend=False, shapes=lines, annotations=notes, margin={"t": 55, "r": 20})
    layout |= _LINKED[0].axes(axis("", wide, log=True), axis(first, high))
    layout |= _LINKED[1].axes(axis(x_title, wide, log=True), axis(second, far))
    return Drawing(traces, layout | _LINKED[2].axes(axis(first, high), axis(second, far)))


@picture
def blocks(
    table: ArrayLike,
    groups: Mapping[str, int],
    *,
    title: str,
    x_title: str,
    y_title: str,
    limits: tuple[float, float],
    unit: str,
) -> Drawing:
    """A quantity between every two of many models, which come in groups: white at the lower limit, blue at the upper.

    Args:
        table: (k, k), rows downwards and columns in the order of the groups; NaN is left blank.
        groups: name -> how many models, k in all; written at either axis, with lines between the groups.
        title, x_title, y_title: texts.
        limits: of the colours.
        unit: what the colours are, beside their scale.

    Raises:
        ValueError: groups that do not add up to k or are empty, limits that do not rise.
    """
    sizes, (low, high) = np.array([*groups.values()], int), limits
    if not (sizes.size and (sizes > 0).all()):
        raise ValueError(f"groups must have models, got {dict(groups)!r:.80}; leave out what is empty")
    z = checked("table", table, sizes.sum(), sizes.sum())
    ends, middles = np.cumsum(sizes), np.cumsum(sizes) - sizes / 2 + 0.5
    scale = {"title": {"text": unit, "side": "right"}, "len": 0.9}
    colors = {"zmin": low, "zmax": high, "colorscale": ((0, BACKGROUND), (1, BLUE)), "colorbar": scale}
    trace = heatmap(z, 1, **colors, xgap=0, ygap=0)
    side = {"range": [0.5, len(z) + 0.5], "tickvals": f4(middles), "ticktext": list(groups), "showgrid": False}
    line = {"type": "line", "line": {"color": INK, "width": 1}}
    cuts = [{**line, "x0": e + 0.5, "x1": e + 0.5, "y0": 0.5, "y1": len(z) + 0.5} for e in map(int, ends[:-1])]
    cuts += [{**line, "y0": e + 0.5, "y1": e + 0.5, "x0": 0.5, "x1": len(z) + 0.5} for e in map(int, ends[:-1])]
    down = {**side, "range": side["range"][::-1], "tickangle": -90}
    layout = framed(title, 560, margin={"t": 60}, shapes=cuts, xaxis=axis(x_title, **side), yaxis=axis(y_title, **down))
    return Drawing([trace], layout)


@picture
def phase_diagram(
    x: ArrayLike,
    shares: Mapping[str, ArrayLike],
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    x_title: str,
    y_titles: tuple[str, str],
    shaded: Mapping[str, tuple[float, float]] | None = None,
    colors: Sequence[str] | None = None,
) -> Drawing:
    """Shares of the kinds that models end as, stacked over a setting, and below them curves over the same setting.

    Args:
        x: (k,), positive settings in increasing order, on a logarithmic axis that both panels share.
        shares: kind -> (k,), shares of all models at each setting, stacked in this order; at most five kinds.
        curves: name -> (x (j,), y (j,)), settings of its own in any order; at most five.
        title, x_title: texts.
        y_titles: of the upper and of the lower panel.
        shaded: name -> first and last setting of a stretch to shade behind the curves.
        colors: of the curves, from `style`; by default its set colours and ink in turn.

    Raises:
        ValueError: no kinds or curves, more than five, other lengths, settings that are not positive and increasing,
            or shares that are negative or add up to more than one.
    """
    at = checked("x", x, None)
    if not ((at > 0).all() and (np.diff(at) > 0).all()):
        raise ValueError("x must be positive and increasing, got others; sort the settings")
    kinds = {kind: checked(f"shares of {kind}", values, len(at)) for kind, values in shares.items()}
    fills = colors_of(kinds)
    least, most = np.min([*kinds.values()]), np.sum([*kinds.values()], axis=0).max()
    if not (least >= 0 and most <= 1 + 1e-6):
        came = f"a share of {least:.6g}" if least < 0 else f"a sum of {most:.6g}"
        raise ValueError(f"shares must be at least 0 and add up to at most 1, got {came}; divide by all models")
    traces: list[dict[str, Any]] = [
        {
            **{"type": "scatter", "x": f4(at), "y": f4(values)},
            **{"stackgroup": "shares", "mode": "lines+markers", "name": kind, "fillcolor": color, **_SHARES.refs},
            **{"line": {"color": BACKGROUND, "width": 1}, "marker": {"color": color, "size": 5}},
            "hovertemplate": f"{kind}, %{{x}}: %{{y:.0%}}<extra></extra>",
        }
        for color, (kind, values) in zip(fills, kinds.items(), strict=True)
    ]
    ends, points = [], []
    for symbol, color, (name, (across, up)) in zip(SYMBOLS, colors_of(curves, colors), curves.items(), strict=False):
        across = checked(f"x of {name}", across, None)
        up = checked(f"y of {name}", up, len(across))
        traces.append(
            {
                **{"type": "scatter", "x": f4(across), "y": f4(up)},
                **{"mode": "lines+markers", "name": name, "showlegend": False, **_CURVES.refs},
                **{"line": {"color": color, "width": 2}, "marker": {"color": color, "size": 6, "symbol": symbol}},
            }
        )
        order = np.argsort(across)
        ends.append(Label.at_end(name, color, across[order], up[order], "x"))
        points.append((across, up))
    limits = around(np.concatenate([at, *[across for across, _ in points]]), log=True, margin=0.02)
    heights = around(np.concatenate([up for _, up in points]))
    layout = framed(
        title,
        _HEIGHT,
        margin={"t": _TOP, "b": _BOTTOM, "r": _RIGHT},
        legend={"traceorder": "normal", "x": -0.02, "y": 1.09},
    )
    layout |= _SHARES.axes(axis("", limits, log=True), axis(y_titles[0], (0, 1), tickformat=".0%"))
    layout |= _CURVES.axes(axis(x_title, limits, log=True), axis(y_titles[1], heights))
    height = (_CURVES.y[1] - _CURVES.y[0]) * (_HEIGHT - _TOP - _BOTTOM)
    right = {"xref": "x2 domain", "x": 1, "xshift": 6, "yref": "y2"}
    layout["annotations"] = names(ends, heights, height, [0.0] * len(ends), font={"size": 12}, **right)
    for name, stretch in (shaded or {}).items():
        layout["annotations"].append(_CURVES.text(name, x=middle(stretch, log=True), xref="x2"))
    layout["shapes"] = [
        band(x0=first, x1=last, y0=0, y1=1, xref="x2", yref="y2 domain") for first, last in (shaded or {}).values()
    ]
    return Drawing(traces, layout)
