"""The polyhedron that a model's features span, and the story of one run told around it."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import plotly.graph_objects as go

from toylib.drawings import Drawing, figure
from toylib.style import FAINT, INK, MUTED, SET_COLORS, TEMPLATE, f4, heatmap, log_ticks
from toylib.trajectory import Trajectory

_ANTIPODAL, _NEIGHBOUR = -0.9, -0.5
_REACH = 1.25
_FIRST_STEP = 10  # where the logarithmic axis of steps begins: before, nothing has moved yet
_SUB = "₁₂₃₄₅₆₇₈₉"
_SILENT = {"hoverinfo": "skip", "showlegend": False}


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
    margin = {"l": 0, "r": 0, "t": 45, "b": 0}
    return go.Figure(
        traces, {**layout, "template": TEMPLATE, "title": {"text": title}, "height": 270, "margin": margin}
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
            "singular values",
            (0, 1.6),
            dict(zip(("s₁", "s₂", "s₃"), zip(t.singular_values.T, (INK, MUTED, green), strict=True), strict=True)),
        ),
        (
            "geometry",
            (-1.05, 1.05),
            {
                "PCA overlap": (t.overlap, INK),
                "within-energy": (t.within_energy, green),
                "cosine of means": (t.mean_cosine, pink),
                "flatness 1": (t.flatness[:, 0], blue),
                "flatness 2": (t.flatness[:, 1], orange),
            },
        ),
        ("twist in °", (0, 62), {"twist": (t.twist, INK)}),
    )
    gram = heatmap(W.T @ W, 1.0)
    gram["colorbar"] = {"thickness": 10, "len": 0.25, "y": 0.86, "tickvals": [-1, 0, 1]}
    traces, x, cursor = (
        [*_polyhedron(W, sets), gram],
        f4(np.maximum(t.steps, 1)),
        f4([max(_FIRST_STEP, t.steps[at])] * 2),
    )
    for number, (_, limits, series) in enumerate(panels, 2):
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}", "mode": "lines"}
        for name, (values, color) in series.items():
            line = {"color": color, "width": 2}
            legend = {"legend": f"legend{number}", "showlegend": len(series) > 1}
            traces.append({"type": "scatter", "x": x, "y": f4(values), "name": name, "line": line, **axes, **legend})
        line = {"color": INK, "width": 1}
        traces.append(
            {
                "type": "scatter",
                "x": cursor,
                "y": f4(limits),
                "line": line,
                "hoverinfo": "skip",
                "showlegend": False,
                **axes,
            }
        )
    layout = _layout(t, f"{title}: step {int(t.steps[at]):,}", [panel[:2] for panel in panels], levels)
    return {"data": traces, "layout": layout}


# Where the four curves of a story stand, from top to bottom, as shares of the height; the polyhedron is above.
_DOMAINS = ((0.44, 0.6), (0.295, 0.385), (0.135, 0.24), (0.0, 0.085))


def _layout(
    t: Trajectory, title: str, panels: Sequence[tuple[str, tuple[float, float]]], levels: Mapping[str, float]
) -> dict:
    """Axes, legends, levels and shaded phases of a story, by hand: plotly's subplot helpers take 20 times as long."""
    last = int(t.steps[-1])
    first = min(_FIRST_STEP, last)
    features = {"dtick": 1, "title": {"text": "feature"}}
    layout = {
        "xaxis": {**features, "domain": [0.66, 0.98], "anchor": "y"},
        "yaxis": {**features, "domain": [0.75, 0.96], "anchor": "x", "autorange": "reversed"},
        "scene": {**_scene(), "domain": {"x": [0, 0.58], "y": [0.64, 1]}},
    }
    for number, ((name, limits), domain) in enumerate(zip(panels, _DOMAINS, strict=True), 2):
        lowest, log = number == len(panels) + 1, name == "loss"
        layout[f"xaxis{number}"] = {
            "type": "log",
            "range": np.log10([first, last]).tolist(),
            "anchor": f"y{number}",
            "showticklabels": lowest,
            "title": {"text": "step" if lowest else ""},
        }
        layout[f"yaxis{number}"] = {
            "title": {"text": name},
            "domain": domain,
            "anchor": f"x{number}",
            "range": np.log10(limits).tolist() if log else list(limits),
            **({"type": "log", **log_ticks("y")} if log else {}),
        }
        layout[f"legend{number}"] = {
            "x": 0,
            "y": domain[1],
            "yanchor": "bottom",
            "orientation": "h",
            "font": {"size": 11},
        }
    text = {"showarrow": False, "xref": "x2 domain", "yref": "y2"}
    dashed = {
        "type": "line",
        "xref": "x2 domain",
        "x0": 0,
        "x1": 1,
        "yref": "y2",
        "line": {"color": MUTED, "dash": "dash"},
    }
    shapes = [{**dashed, "y0": level, "y1": level} for level in levels.values()]
    annotations = [
        {
            **text,
            "text": name,
            "x": 1.01,
            "xanchor": "left",
            "y": np.log10(level),
            "yanchor": "top" if level == min(levels.values()) else "bottom",  # so that two close ones stay apart
            "font": {"color": MUTED, "size": 11},
        }
        for name, level in levels.items()
    ]
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
            "yanchor": "top",
            "text": f"<b>{phase.name[0]}</b>",
        }
        annotations.append({**text, **letter})
    return {
        **layout,
        "shapes": shapes,
        "annotations": annotations,
        "template": TEMPLATE,
        "title": {"text": title},
        "height": 1080,
        "margin": {"r": 85, "t": 60},
    }


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
                "textposition": "top center",
                "textfont": {"size": 14, "color": SET_COLORS[i % len(SET_COLORS)]},
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
    axis = {
        "range": [-_REACH, _REACH],
        "tickvals": [-1, 0, 1],
        "backgroundcolor": "#FFFFFF",
        "gridcolor": "#EEEEEE",
        "zerolinecolor": FAINT,
        "showticklabels": ticks,
    }
    titles = [f"h{_SUB[i]}" if ticks else "" for i in range(3)]
    return {
        **{f"{name}axis": {**axis, "title": {"text": title}} for name, title in zip("xyz", titles, strict=True)},
        "aspectmode": "cube",
        "camera": {"eye": {"x": 1.55, "y": 1.3, "z": 0.8}},
        "uirevision": "camera",
    }
