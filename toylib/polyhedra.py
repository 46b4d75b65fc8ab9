"""The polyhedron that a model's features span, and the story of one run told around it."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import plotly.graph_objects as go

from toylib.drawings import Drawing, figure
from toylib.labels import apart
from toylib.style import FAINT, INK, LABELS, MUTED, SET_COLORS, TEMPLATE, f4, heatmap, log_axis
from toylib.trajectory import Trajectory

_ANTIPODAL, _NEIGHBOUR = -0.9, -0.5
_REACH = 1.25
_FIRST_STEP = 10  # where the logarithmic axis of steps begins: before, nothing has moved yet
_SUB = "₁₂₃₄₅₆₇₈₉"
_SILENT = {"hoverinfo": "skip", "showlegend": False}
_ASIDE = ("top left", "top center", "top right")  # of its point, a number stands, so that points that coincide have all


def polyhedron(W: np.ndarray, sets: Sequence[Sequence[int]], *, title: str) -> go.Figure:
    """The columns of W (3, n) in hidden space: a set a colour, edges between neighbours, antipodal pairs dashed."""
    figure = go.Figure(_polyhedron(W, sets))
    return figure.update_layout(
        template=TEMPLATE, title_text=title, height=480, scene=_scene(), margin={"l": 0, "r": 0}
    )


def stages(Ws: Mapping[str, np.ndarray], sets: Sequence[Sequence[int]], *, title: str) -> go.Figure:
    """Several models side by side, seen from the same side; name -> W (3, n)."""
    traces, layout = [], {}
    for i, (name, W) in enumerate(Ws.items()):
        scene, middle = "scene" + str(i + 1) * (i > 0), (i + 0.5) / len(Ws)
        traces += [{**trace, "scene": scene} for trace in _polyhedron(W, sets)]
        layout[scene] = {**_scene(ticks=False), "domain": {"x": [i / len(Ws), (i + 1) / len(Ws)], "y": [0, 0.92]}}
        layout.setdefault("annotations", []).append(
            {"text": name, "x": middle, "y": 1, "xref": "paper", "yref": "paper", "yanchor": "top", "showarrow": False}
        )
    margin = {"l": 0, "r": 0, "t": 50, "b": 0}
    return go.Figure(
        traces, {**layout, "template": TEMPLATE, "title": {"text": title}, "height": 290, "margin": margin}
    )


@figure
def story(
    trajectory: Trajectory,
    at: int,
    sets: Sequence[Sequence[int]],
    *,
    title: str,
    levels: Mapping[str, float],
    twin: np.ndarray,
    loss_range: tuple[float, float] | None = None,
) -> Drawing:
    """One run at one snapshot: polyhedron and Gram matrix above, and below a cursor over loss, spectrum and geometry.

    Args:
        trajectory: of the run.
        at: index of the snapshot to show.
        sets: two sets of three.
        title: of the figure.
        levels: name -> loss, drawn as dashed lines.
        twin: (T,), losses of the linear twin.
        loss_range: of the loss axis; by default it spans this run and the levels.
    """
    t, W = trajectory, trajectory.weights[at]
    blue, orange, green, pink = SET_COLORS
    panels = (
        (
            "loss",
            loss_range or (0.5 * min(t.losses.min(), *levels.values()), 1.5 * t.losses[0]),
            {"model": (t.losses, INK), "linear twin": (twin, pink)},
        ),
        (
            "singular values of W",
            (0, 1.6),
            dict(zip(("s₁", "s₂", "s₃"), zip(t.singular_values.T, (INK, MUTED, green), strict=True), strict=True)),
        ),
        (
            "shares, cosine",
            (-1.05, 1.05),
            {
                "PCA overlap": (t.overlap, INK),
                "energy within sets": (t.within_energy, green),
                "cosine of means": (t.mean_cosine, pink),
                "flatness 1": (t.flatness[:, 0], blue),
                "flatness 2": (t.flatness[:, 1], orange),
            },
        ),
        ("twist in °", (0, 62), {"twist": (t.twist, INK)}),
    )
    gram = heatmap(W.T @ W, 1.0)
    gram["colorbar"] = {"x": 1.0, "len": 0.22, "y": 0.845, "tickvals": [-1, 0, 1]}
    traces, x, cursor = (
        [*_polyhedron(W, sets), gram],
        f4(np.maximum(t.steps, 1)),
        f4([max(_FIRST_STEP, t.steps[at])] * 2),
    )
    for number, (_, limits, series) in enumerate(panels, 2):
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}", "mode": "lines"}
        for name, (values, color) in series.items():
            line = {"color": color, "width": 2}
            traces.append({"type": "scatter", "x": x, "y": f4(values), "name": name, "line": line, **axes})
        line = {"color": INK, "width": 1}
        traces.append(
            {
                "type": "scatter",
                "x": cursor,
                "y": f4(limits),
                "line": line,
                "hoverinfo": "skip",
                **axes,
            }
        )
    return {"data": traces, "layout": _layout(t, f"{title}: step {int(t.steps[at]):,}", panels, levels)}


# Where the four curves of a story stand, from top to bottom, as shares of the height; the polyhedron is above.
_DOMAINS = ((0.45, 0.61), (0.3, 0.41), (0.125, 0.265), (0.0, 0.085))
_HEIGHT, _TOP, _BOTTOM = 1080, 60, 50


def _layout(t: Trajectory, title: str, panels: Sequence[tuple], levels: Mapping[str, float]) -> dict:
    """Axes, names, levels and shaded phases of a story, by hand: plotly's subplot helpers take 20 times as long."""
    last = int(t.steps[-1])
    first = min(_FIRST_STEP, last)
    features = {"dtick": 1, "title": {"text": "feature"}}
    layout = {
        "xaxis": {**features, "domain": [0.66, 0.98], "anchor": "y"},
        "yaxis": {**features, "domain": [0.74, 0.95], "anchor": "x", "autorange": "reversed"},
        "scene": {**_scene(), "domain": {"x": [0, 0.6], "y": [0.64, 1]}},
    }
    heading = {"xref": "x domain", "yref": "y domain", "x": 0.5, "y": 1, "yanchor": "bottom", "showarrow": False}
    annotations = [{**heading, "text": "Gram matrix WᵀW"}]
    for number, ((name, limits, series), domain) in enumerate(zip(panels, _DOMAINS, strict=True), 2):
        lowest, log = number == len(panels) + 1, name == "loss"
        layout[f"xaxis{number}"] = {
            **log_axis((first, last)),
            "anchor": f"y{number}",
            "showticklabels": lowest,
            "title": {"text": "training step" if lowest else ""},
        }
        layout[f"yaxis{number}"] = {
            "title": {"text": name},
            "domain": domain,
            "anchor": f"x{number}",
            **(log_axis(limits) if log else {"range": list(limits)}),
        }
        if len(series) > 1:
            ends = {name: (values[np.isfinite(values)][-1:], color) for name, (values, color) in series.items()}
            ends |= {name: (np.array([level]), MUTED) for name, level in levels.items() if log}
            annotations += _names(number, layout[f"yaxis{number}"], ends, log)
    text = {"showarrow": False, "xref": "x2 domain", "yref": "y2"}
    dashed = {
        "type": "line",
        "xref": "x2 domain",
        "x0": 0,
        "x1": 1,
        "yref": "y2",
        "line": {"color": MUTED, "dash": "dash", "width": 1},
    }
    shapes = [{**dashed, "y0": level, "y1": level} for level in levels.values()]
    band = {
        "type": "rect",
        "layer": "below",
        "line": {"width": 0},
        "fillcolor": FAINT,
        "opacity": 0.45,
        "y0": 0,
        "y1": 1,
    }
    for i, phase in enumerate(t.phases):
        begin, end = max(phase.first, first), max(phase.last, first)
        for number in range(2, len(panels) + 2) if i % 2 == 0 else ():
            shapes.append({**band, "x0": begin, "x1": end, "xref": f"x{number}", "yref": f"y{number} domain"})
        middle = np.log10(begin * end) / 2
        letter = {
            "x": middle,
            "xref": "x2",
            "y": 1,
            "yref": "y2 domain",
            "yanchor": "bottom",
            "text": f"<b>{phase.name[0]}</b>",
        }
        annotations.append({**text, **letter})
    return {
        **layout,
        "shapes": shapes,
        "annotations": annotations,
        "template": TEMPLATE,
        "title": {"text": title},
        "height": _HEIGHT,
        "margin": {"r": 125, "t": _TOP, "b": _BOTTOM},
        "showlegend": False,
    }


def _names(number: int, axis: dict, ends: Mapping[str, tuple[np.ndarray, str]], log: bool) -> list[dict]:
    """The names of the curves of one panel, each beside its last value, a line of text apart."""
    (low, high), (bottom, top) = axis["range"], axis["domain"]
    height = (top - bottom) * (_HEIGHT - _TOP - _BOTTOM)
    at = {name: float(np.log10(y[0]) if log else y[0]) for name, (y, _) in ends.items() if len(y)}
    wanted = [height * (high - min(max(y, low), high)) / (high - low) for y in at.values()]
    placed = apart(wanted, [0.0] * len(wanted), [1.0] * len(wanted), height)
    here = {"xref": f"x{number} domain", "yref": f"y{number}", "x": 1, "xanchor": "left", "xshift": 6}
    return [
        {
            **here,
            "text": name,
            "y": min(max(y, low), high),
            "yshift": round(near - far, 1),
            "showarrow": False,
            "font": {"color": LABELS[ends[name][1]], "size": 12},
        }
        for (name, y), near, far in zip(at.items(), wanted, placed, strict=True)
    ]


def _polyhedron(W: np.ndarray, sets: Sequence[Sequence[int]]) -> list[dict]:
    """Traces of constant number and length, so that only coordinates move: edges, antipodes, triangles, vertices."""
    W = np.asarray(W, float)
    n = W.shape[1]
    norms = np.linalg.norm(W, axis=0)
    cosine = (W.T @ W) / np.maximum(np.outer(norms, norms), 1e-12)
    of = {j: i for i, members in enumerate(sets) for j in members}
    across = [(i, j) for i, j in combinations(range(n), 2) if of[i] != of[j]]
    seen = norms.min() > 0.05
    edges = _segments(W, [(pair, seen and cosine[pair] > _NEIGHBOUR) for pair in across])
    pairs = _segments(W, [(pair, seen and cosine[pair] < _ANTIPODAL) for pair in combinations(range(n), 2)])
    traces = [
        _line(edges, "edge to the other set", MUTED, width=2),
        _line(pairs, "antipodal pair", SET_COLORS[2], width=5, dash="dash"),
    ]
    for i, members in enumerate(sets):
        triangle = _segments(W, [(pair, True) for pair in combinations(members, 2)])
        traces.append(_line(triangle, f"edge of set {i + 1}", SET_COLORS[i % len(SET_COLORS)], width=6))
        columns = f4(W[:, list(members)])
        traces.append(
            {
                "type": "scatter3d",
                **dict(zip("xyz", columns, strict=True)),
                "mode": "markers+text",
                "marker": {"size": 6, "color": SET_COLORS[i % len(SET_COLORS)]},
                "text": [str(j + 1) for j in members],
                "textposition": [_ASIDE[j % len(_ASIDE)] for j in range(len(members))],
                "textfont": {"size": 14, "color": LABELS[SET_COLORS[i % len(SET_COLORS)]]},
                "name": f"set {i + 1}",
                "showlegend": False,
                "hovertemplate": "feature %{text}: (%{x:.2f}, %{y:.2f}, %{z:.2f})<extra></extra>",
            }
        )
    origin = {axis: f4([0]) for axis in "xyz"}
    marker = {"size": 3, "color": INK}
    traces.append({"type": "scatter3d", **origin, "mode": "markers", "marker": marker, **_SILENT})
    return traces


def _segments(W: np.ndarray, pairs: Sequence[tuple[tuple[int, int], bool]]) -> np.ndarray:
    """(3, 3·pairs): both ends and a gap of NaN for each pair, all NaN for a pair that is not shown."""
    out = np.full((3, len(pairs), 3), np.nan)
    for k, (pair, shown) in enumerate(pairs):
        if shown:
            out[:, k, :2] = W[:, pair]
    return f4(out.reshape(3, -1))


def _line(points: np.ndarray, name: str, color: str, *, width: float, dash: str = "solid") -> dict:
    line = {"color": color, "width": width, "dash": dash}
    at = dict(zip("xyz", points, strict=True))
    return {"type": "scatter3d", **at, "mode": "lines", "line": line, "name": name, "connectgaps": False, **_SILENT}


def _scene(*, ticks: bool = True) -> dict:
    axis = {"range": [-_REACH, _REACH], "tickvals": [-1, 0, 1], "showticklabels": ticks}
    titles = [f"h{_SUB[i]}" if ticks else "" for i in range(3)]
    return {
        **{f"{name}axis": {**axis, "title": {"text": title}} for name, title in zip("xyz", titles, strict=True)},
        "aspectmode": "cube",
        "camera": {"eye": {"x": 1.6, "y": 1.35, "z": 0.83}, "center": {"x": 0, "y": 0, "z": -0.08}}
        if ticks
        else {"eye": {"x": 1.2, "y": 1.0, "z": 0.62}},
        "uirevision": "camera",
    }
