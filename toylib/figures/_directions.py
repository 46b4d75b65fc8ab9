"""Models by the directions of their features: in a line, a plane, space or as a matrix; and what becomes of many."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from toylib.figures._adversarial import represented
from toylib.figures._drawing import Drawing
from toylib.figures._layout import SYMBOLS, Label, Panel, around, axis, band, checked, colors_of, f4, framed, names
from toylib.figures._polyhedra import SILENT, at, scene, segments, stroke
from toylib.figures.style import BACKGROUND, BLUE, FAINT, INK, LABELS, MUTED, SET_COLORS
from toylib.geometry import Sets, feature_dimensionality, hull_edges

_DEAD, _ANTIPODAL = 0.05, -0.9
_NAMED = 30  # features: the labels of more would cover each other
_RING, _ROOM = 1.16, 1.32  # of the longest feature that has room: where labels stand, and how far the axes reach
_APART = 0.19  # radians between two labels, which is their width on a phone
_SHARES, _CURVES = Panel("", (0.0, 1.0), (0.57, 1.0)), Panel("2", (0.0, 1.0), (0.0, 0.47))
_HEIGHT, _TOP, _BOTTOM, _RIGHT = 640, 105, 55, 150


def directions(
    W: ArrayLike, sets: Sets, *, title: str, importance: ArrayLike | None = None, reach: float | None = None
) -> Drawing:
    """The directions W_i in hidden space, whatever its size: a line, arrows in a plane, a body in space, or numbers.

    In up to three dimensions, an arrow for each feature, the edges of the convex hull of all, in the colour of a set
    between its features, and a pale bar behind each antipodal pair (two that are most opposite to each other, with a
    cosine below -0.9). Of more dimensions: WᵀW, norms and dimensionalities. Features below a twentieth of the longest
    are not represented: they have no label and no edge. More than 30 features have no labels.

    Args:
        W: (m, n); NaN is not drawn.
        sets: the sets, which hold every feature once. Each has a colour, and sets of one feature all have the same;
            where there are more than four, colours come again.
        title: of the figure.
        importance: (n,), at least 0: the more important, the less transparent.
        reach: longest feature that has room; by default 1, or the longest of these where that is more.

    Returns:
        A drawing whose traces are the same for all W of one size, with the same sets and importance.

    Raises:
        ValueError, TypeError: not a matrix; sets that miss a feature; an importance that is negative, or nowhere
            positive.
    """
    W = checked("W", W, None, None)
    groups = _groups(sets, W.shape[1], importance)
    if reach is None:
        reach = max(1.0, float(np.max(np.linalg.norm(W, axis=0), initial=0, where=np.isfinite(W).all(0))))
    if len(W) > 3:
        return _numbers(W, groups, title)
    if len(W) == 3:
        sides = scene(3)
        for name in "xyz":
            sides[f"{name}axis"] |= {"range": [-_ROOM * reach, _ROOM * reach]}
        return Drawing(_arrows(W, sets, groups, reach), framed(title, 480, scene=sides, margin={"l": 0, "r": 0}))
    plane = np.vstack([W, np.zeros((2 - len(W), W.shape[1]))])
    square = axis("h₁", (-_ROOM * reach, _ROOM * reach), tickvals=[-1, 0, 1], constrain="domain")
    up = {**square, **axis("h₂" if len(W) == 2 else ""), "scaleanchor": "x"}
    layout = framed(title, 520, showlegend=False, xaxis=square, yaxis=up, shapes=[_circle()])
    return Drawing(_arrows(plane, sets, groups, reach), layout)


def _groups(sets: Sets, n: int, importance: ArrayLike | None) -> list[tuple[str, float, list[int]]]:
    """The features in groups of one colour and opacity: each with both."""
    if sorted(j for members in sets for j in members) != list(range(n)):
        raise ValueError(f"sets must hold each of {n} features, got {sets!r:.80}; take them from features.sets")
    weight = np.ones(n) if importance is None else checked("importance", importance, n)
    if not (weight.min() >= 0 and 0 < weight.max() < np.inf):
        raise ValueError(f"importance must be at least 0, and somewhere above, got {weight.min():g}; leave it out")
    opacity = np.round(0.25 + 0.75 * weight / weight.max(), 1)  # few shades, each of which costs two traces
    colors = cycle([BLUE] if max(map(len, sets)) == 1 else SET_COLORS)
    found: dict[tuple[str, float], list[int]] = {}
    for members, color in zip(sets, colors, strict=False):
        for j in members:
            found.setdefault((color, float(opacity[j])), []).append(j)
    return [(color, shade, members) for (color, shade), members in found.items()]


def _arrows(W: np.ndarray, sets: Sets, groups: Sequence[tuple[str, float, list[int]]], reach: float) -> list[dict]:
    """Traces in the plane (2, n) or in space (3, n): bars, edges, arrows, tips, labels with leaders, the origin."""
    m, n = W.shape
    norms = np.linalg.norm(W, axis=0)
    live = np.flatnonzero(norms > _DEAD * norms.max()) if np.isfinite(W).all() else np.zeros(0, int)
    unit = W / np.maximum(norms, 1e-12)
    of = {j: i for i, members in enumerate(sets) for j in members}
    cosine = unit[:, live].T @ unit[:, live]
    opposite = cosine.argmin(0) if len(live) else live
    pairs = [(i, j) for i, j in enumerate(opposite) if i < j and opposite[j] == i and cosine[i, j] < _ANTIPODAL]
    edges = hull_edges(W[:, live]) if len(live) else []
    edges = [(live[i], live[j]) for i, j in edges if cosine[i, j] >= _ANTIPODAL]
    antipodes = [(live[i], live[j]) for i, j in pairs if n <= _NAMED]
    many, colors = n > _NAMED, list(dict.fromkeys(color for color, *_ in groups))
    color_of = {j: color for color, _, members in groups for j in members}
    traces = [
        stroke(_between(W, antipodes), "antipodal pair", FAINT, width=9),
        stroke(_between(W, [e for e in edges if of[e[0]] != of[e[1]]]), "edge between sets", MUTED, width=1.5),
    ]
    for color in colors:
        inner = [(i, j) for i, j in edges if of[i] == of[j] and color_of[i] == color]
        traces.append(stroke(_between(W, inner), "edge of a set", color, width=3))
    center = np.column_stack([W, np.zeros(m)])
    for color, opacity, members in groups:
        shafts = segments(center, [((n, j), True) for j in members])
        marker = {"size": 5 if many or m == 3 else 11, "color": color}
        if m == 2:
            marker |= {"symbol": "arrow", "angle": f4(np.degrees(np.arctan2(*W[:, members])))}
        tips = {"mode": "markers", "name": "features", "marker": marker, "showlegend": False}
        tips |= {"text": [str(j + 1) for j in members], "customdata": f4(norms[members])}
        tips["hovertemplate"] = "feature %{text}: norm %{customdata:.2f}<extra></extra>"
        traces.append({**stroke(shafts, "features", color, width=1 if many else 2.5), "opacity": opacity})
        traces.append({**at(W[:, members]), **tips, "opacity": opacity})
    if many:
        return traces
    ring = np.full((m, n), np.nan)
    ring[:, live] = _around(W[:, live], reach) if m == 2 else _outside(W[:, live], reach)
    traces.append(
        stroke(
            _between(np.hstack([W + 0.04 * unit, ring - 0.07 * unit]), [(j, j + n) for j in live]),
            "to its label",
            FAINT,
            width=1,
        )
    )
    for color in colors:
        members = [j for j in range(n) if color_of[j] == color]
        font = {"size": 14, "color": LABELS[color]}
        aside = ["middle center" if m == 2 else f"{'bottom' if z < 0 else 'top'} center" for z in ring[-1, members]]
        numbers = {
            "mode": "text",
            "textposition": aside,
            "text": [str(j + 1) for j in members],
            "textfont": font,
            "name": "labels",
        }
        traces.append({**at(ring[:, members]), **numbers, **SILENT})
    return traces


def _between(points: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Lines between points, as `segments` has them; a point that is nowhere where there is none."""
    return segments(points, [(pair, True) for pair in pairs] or [((0, 0), False)])


def _around(W: np.ndarray, reach: float) -> np.ndarray:
    """Places on a ring outside all arrows, (2, k): each near the direction of its column, and apart from the others."""
    angles, k = np.arctan2(W[1], W[0]), W.shape[1]
    order = np.argsort(angles, kind="stable")
    turns = np.diff(angles[order], append=angles[order][:1] + 2 * np.pi)
    order = np.roll(order, -1 - int(turns.argmax())) if k else order  # begin after the widest gap
    ahead = angles[order] + 2 * np.pi * (angles[order] < angles[order][:1])
    apart = min(_APART, 2 * np.pi / max(k, 1))
    placed = np.empty(k)
    # The nearest angles that rise by as much as the labels need.
    placed[order] = isotonic_regression(ahead - apart * np.arange(k)).x + apart * np.arange(k) if k else ahead
    return _RING * reach * np.stack([np.cos(placed), np.sin(placed)])


def _outside(W: np.ndarray, reach: float) -> np.ndarray:
    """Places outside the tips in space, (3, k), pushed apart."""
    at_tip = W * (1 + 0.14 * reach / np.maximum(np.linalg.norm(W, axis=0), 1e-12))
    # Columns that coincide leave each other in directions of their own.
    turn = 2.4 * np.arange(W.shape[1])
    places = at_tip + 0.01 * reach * np.stack([np.cos(turn), np.sin(turn), np.cos(1.7 * turn)])
    for _ in range(30):
        away = places[:, :, None] - places[:, None, :]
        length = np.maximum(np.linalg.norm(away, axis=0), 1e-9)
        push = np.clip(0.2 * reach - length, 0, None) / length * (1 - np.eye(W.shape[1]))
        places = places + 0.5 * (away * push).sum(2) / np.maximum(1, (push > 0).sum(1))
    return places


def _circle() -> dict[str, Any]:
    """The unit circle, as a shape."""
    ends = {"x0": -1, "x1": 1, "y0": -1, "y1": 1}
    return {"type": "circle", "layer": "below", "line": {"color": FAINT, "width": 1}, **ends}


def _numbers(W: np.ndarray, groups: Sequence[tuple[str, float, list[int]]], title: str) -> Drawing:
    """What `represented` draws, of a model whose features keep their order and colours."""
    look = {j: (color, opacity) for color, opacity, members in groups for j in members}
    norms = np.linalg.norm(W, axis=0)
    D = np.asarray(feature_dimensionality(np.asarray(W, np.float32)))
    drawing = represented(W, D, title=title, kept=_DEAD * norms.max(), ordered=False)
    colors, opacities = zip(*(look[j] for j in range(W.shape[1])), strict=True)
    drawing.data[1]["marker"] = {"color": list(colors), "opacity": list(opacities)}
    drawing.data[2]["marker"] |= {"color": INK}
    return drawing


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
        curves: name -> (x (j,), y (j,)), settings of its own in any order; at most five, each name at the end of its
            curve.
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
            "type": "scatter",
            "x": f4(at),
            "y": f4(values),
            "stackgroup": "shares",
            "mode": "lines+markers",
            "name": kind,
            "line": {"color": BACKGROUND, "width": 1},
            "marker": {"color": color, "size": 5},
            "fillcolor": color,
            "hovertemplate": f"{kind}, %{{x}}: %{{y:.0%}}<extra></extra>",
            **_SHARES.refs,
        }
        for color, (kind, values) in zip(fills, kinds.items(), strict=True)
    ]
    ends, points = [], []
    for symbol, color, (name, (across, up)) in zip(SYMBOLS, colors_of(curves, colors), curves.items(), strict=False):
        across = checked(f"x of {name}", across, None)
        up = checked(f"y of {name}", up, len(across))
        traces.append(
            {
                "type": "scatter",
                "x": f4(across),
                "y": f4(up),
                "mode": "lines+markers",
                "name": name,
                "line": {"color": color, "width": 2},
                "marker": {"color": color, "size": 6, "symbol": symbol},
                "showlegend": False,
                **_CURVES.refs,
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
        layout["annotations"].append(_CURVES.text(name, x=float(np.log10(stretch).mean()), xref="x2"))
    layout["shapes"] = [
        band(x0=first, x1=last, y0=0, y1=1, xref="x2", yref="y2 domain") for first, last in (shaded or {}).values()
    ]
    return Drawing(traces, layout)
