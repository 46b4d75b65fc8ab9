"""The polyhedron that a model's features span, the story of one run told around it, and the tree beside it."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_real
from toylib._drawable import alike, check_along, check_sets, checked, picture, room
from toylib.figures._directions import arrows, directions, grouped, labels, planes
from toylib.figures._drawing import SILENT, Drawing, at, f4, segments, stroke
from toylib.figures._layout import (
    Label,
    Panel,
    axis,
    band,
    circle,
    every,
    framed,
    heatmap,
    level,
    names,
    plane,
    scene,
)
from toylib.figures.style import INK, LABELS, MUTED, SET_COLORS, set_colors
from toylib.geometry import Sets, Trajectory, dendrogram, upright

_ANTIPODAL, _NEIGHBOUR, _SMALL = -0.9, -0.5, 0.7  # cosines; size of what has a part of a figure
_FIRST_STEP = 10  # where the logarithmic axis of steps begins: before, nothing has moved yet
# Where the two curves of a story stand, as shares of the height; the polyhedron is above.
_PANELS = [Panel("2", (0.0, 1.0), (0.25, 0.45)), Panel("3", (0.0, 1.0), (0.0, 0.2))]
_PLANE = Panel("4", (0.0, 0.58), (0.55, 1.0))
_GRAM = Panel("", (0.66, 0.97), (0.62, 0.96))
_HEIGHT, _TOP, _BOTTOM = 640, 50, 50  # with its slider it stands in a laptop's window
_TREE, _COSINES = Panel("", (0.0, 0.5), (0.0, 0.9)), Panel("2", (0.6, 0.97), (0.1, 0.9))
_SCENE, _ABOVE = {"x": [0.54, 1.0], "y": [0.0, 0.9]}, {"xref": "paper", "x": 0.77, "yref": "paper", "y": 0.9}
_Series = Mapping[str, tuple[np.ndarray, str]]
"""Curves of a panel: name -> values, colour."""


@picture
def polyhedron(W: ArrayLike, sets: Sets, *, title: str, reach: float | None = None) -> Drawing:
    """The columns of W (m, n) in hidden space: one colour per set, edges between neighbours, antipodal pairs dashed.

    In one or two dimensions it is what `directions` draws, whose labels and default of `reach` it has in space too; of
    more than three it shows those in which W is strongest, as `geometry.upright` turns it, with neighbours of all.

    Args:
        W: (m, n).
        sets: the sets, which hold every feature once; where there are more than four, colours come again.
        title: of the figure.
        reach: length of the longest feature that has room.

    Raises:
        ValueError, TypeError: W is no matrix; sets that miss a feature.
    """
    W = checked("W", W, None, None)
    if len(W) < 3:
        return directions(W, sets, title=title, reach=reach)
    check_sets(sets, W.shape[1])
    reach = room(reach, W)
    layout = framed(title, 480, scene=scene(reach, len(W)), margin={"l": 0, "r": 0})
    return Drawing(_polyhedron(W, sets, _facing(W, sets), reach, 1.0), layout)


@picture
def stages(Ws: Mapping[str, ArrayLike], sets: Sets, *, title: str, reach: float | None = None) -> Drawing:
    """Several models of one size side by side, seen from the same side, as `polyhedron` shows one; name -> W (m, n).

    Of more than three dimensions, all show the three in which the last model that is finite is strongest. In a plane
    it is what `planes` draws; `reach` is as in `polyhedron`.
    """
    models = [*alike(Ws).values()]
    if len(models[0]) < 3:
        return planes(Ws, sets, title=title, reach=reach)
    check_sets(sets, models[0].shape[1])
    last = next((W for W in reversed(models) if np.isfinite(W).all()), models[-1])
    turn, reach = _facing(last, sets), room(reach, np.stack(models))
    traces, layout = [], framed(title, 340, margin={"l": 0, "r": 0, "t": 50, "b": 0}, annotations=[])
    above = {"y": 1, "xref": "paper", "yref": "paper", "yanchor": "top", "showarrow": False}
    for i, (name, W) in enumerate(zip(Ws, models, strict=True)):
        place = "scene" + str(i + 1) * (i > 0)
        traces += [{**trace, "scene": place} for trace in _polyhedron(W, sets, turn, reach, 0.7)]
        layout[place] = {**scene(reach, bare=True), "domain": {"x": [i / len(Ws), (i + 1) / len(Ws)], "y": [0, 0.92]}}
        layout["annotations"].append({**above, "text": name, "x": (i + 0.5) / len(Ws)})
    return Drawing(traces, layout)


@picture
def story(
    run: Trajectory,
    sets: Sets,
    *,
    step: int,
    title: str,
    levels: Mapping[str, float] | None = None,
    twin: ArrayLike | None = None,
    loss_range: tuple[float, float] | None = None,
    reach: float | None = None,
) -> Drawing:
    """One run at one step: its features and the Gram matrix above, and below a cursor over loss and geometry.

    The features are drawn on a line or in a plane as by `directions`, and as by `polyhedron` in more dimensions, of
    which it shows the three in which the run ends strongest.

    The geometry is three shares: the PCA overlap, through phase B; the energy within the sets; and, of two triples in
    three dimensions, the twist in units of the 60° of an antiprism, from where both sets are triangles on.

    Args:
        run: what geometry measures along it.
        sets: of its features, any number and sizes.
        step: of the snapshot to show.
        title: of the figure, to which the step is added.
        levels: name -> loss, drawn as dashed lines; none by default.
        twin: (T,), losses of the linear twin, if there is one.
        loss_range: of the loss axis; by default it spans this run, up to where it diverged, and the levels.
        reach: length of the longest feature that has room; by default that of the whole run, as in `directions`.

    Raises:
        ValueError: no snapshot was taken at the step; sets that miss a feature; no loss that is above 0.
    """
    check_along(run, sets)
    if step not in run.steps:
        raise ValueError(f"step must be one of a snapshot, got {step}; take one of run.steps")
    W = run.weights[list(run.steps).index(step)]
    _, _, green, pink = SET_COLORS
    levels, twins = levels or {}, {} if twin is None else {"linear twin": (checked("twin", twin, len(run.steps)), pink)}
    seen = checked("losses and levels", [*run.losses, *levels.values()], None)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if not len(seen):
        raise ValueError("run must have a loss that is finite and above 0, got none; show what has not diverged")
    loss_range = loss_range or (0.5 * float(seen.min()), 1.5 * float(seen[0]))
    # Once the sets have opened, three directions are alike, and which two are the strongest is chance.
    collapsed = run.steps <= max((phase.last for phase in run.phases if phase.name.startswith(("A", "B"))), default=-1)
    shares = {"PCA overlap": (np.where(collapsed, run.overlap, np.nan), INK)}
    shares |= {"energy in sets": (run.within_energy, green), "twist / 60°": (run.twist / 60, pink)}
    losses: _Series = {"model": (run.losses, INK), **twins}
    curves: list[tuple[str, tuple[float, float], _Series]]
    curves = [("loss", loss_range, losses), ("share", (-0.03, 1.03), shares)]
    reach = room(reach, run.weights)
    gram = heatmap(W.T @ W, 1.0, colorbar={"x": 1.0, "len": 0.32, "y": 0.78, "tickvals": [-1, 0, 1]})
    traces = [*_part(W, sets, reach, _PLANE), gram]
    x, cursor = f4(np.maximum(run.steps, 1)), f4([max(_span(run.steps[-1])[0], step)] * 2)
    for panel, (_, limits, series) in zip(_PANELS, curves, strict=True):
        curve = {"type": "scatter", "mode": "lines", **panel.refs}
        seen = {**curve, "x": x, **({} if len(x) > 1 else {"mode": "markers", "cliponaxis": False})}
        traces += [
            {**seen, "y": f4(values), "name": name, "line": {"color": color, "width": 2}}
            for name, (values, color) in series.items()
        ]
        traces.append({**curve, "x": cursor, "y": f4(limits), "line": {"color": INK, "width": 1}, "hoverinfo": "skip"})
    return Drawing(traces, _story_layout(run, f"{title}: step {step:,}", curves, levels, reach))


@picture
def branches(W: ArrayLike, sets: Sets, *, height: float, title: str, reach: float | None = None) -> Drawing:
    """Topology beside geometry: the dendrogram of W's columns, and the columns in space or the cosines between them.

    Branches join at their root mean square distance (`geometry.dendrogram`). The branch with the first feature stands
    to the left, so that a tree that stays the same stays where it is while its heights move.

    Args:
        W: (m, n); with m up to 3 it is drawn as by `polyhedron`, else as a matrix of cosines, 0 for a column of zeros.
        sets: the sets, one colour each.
        height: fixed upper end of the axis of distances.
        title: of the figure.
        reach: length of the longest feature that has room, as in `directions`.

    Raises:
        ValueError, TypeError: not a matrix of at least two columns, or a height that is not positive.
    """
    W = checked("W", W, None, None)
    check_real("height", height, "take the largest distance that is to be seen", above=0)
    check_sets(sets, W.shape[1])
    tree, places = _joined(dendrogram(W))
    line = {"type": "scatter", "mode": "lines", "line": {"color": INK, "width": 2}, "name": "branches", **_TREE.refs}
    line |= {"connectgaps": False, "hovertemplate": "distance %{y:.3f}<extra></extra>"}
    traces = [{**line, "x": f4(tree[0]), "y": f4(tree[1])}]
    leaf = {"type": "scatter", "mode": "markers+text", "textposition": "bottom center", **_TREE.refs}
    leaf |= {"hovertemplate": "feature %{text}<extra></extra>"}
    traces += [
        {
            **leaf,
            **{"x": f4([places[j] for j in members]), "y": f4(np.zeros(len(members)))},
            **{"text": [str(j + 1) for j in members], "textfont": {"size": 14, "color": LABELS[color]}},
            **{"marker": {"size": 8, "color": color}, "name": f"leaves of set {i}"},
        }
        for i, (members, color) in enumerate(zip(sets, set_colors(sets), strict=True), 1)
    ]
    across = axis("feature", (-0.6, W.shape[1] - 0.4), showticklabels=False, ticks="", showgrid=False)
    notes = [_TREE.text("topology: which columns join, and how far apart")]
    layout = framed(title, 400, showlegend=False, annotations=notes)
    layout |= _TREE.axes(across, axis("distance between branches", (-0.1 * height, height)))
    limit = room(reach, W)
    if len(W) <= 3:
        notes.append(_COSINES.text("geometry: where they are", **_ABOVE))
        layout |= {"scene": {**scene(limit), "domain": _SCENE}} if len(W) == 3 else plane(_COSINES, len(W), limit)
        layout["shapes"] = circle(len(W), _COSINES.number)
        return Drawing(traces + _part(W, sets, limit, _COSINES), layout)
    norms = np.linalg.norm(W, axis=0)
    cosines = (W.T @ W) / np.maximum(np.outer(norms, norms), 1e-12)
    notes.append(_COSINES.text("geometry: cosines between them"))
    bar = {"x": 1.0, "len": 0.8, "y": 0.5, "tickvals": [-1, 0, 1]}
    step = every(W.shape[1])
    right = _COSINES.axes(axis("feature", dtick=step), axis("feature", dtick=step, autorange="reversed"))
    return Drawing([*traces, heatmap(cosines, 1.0, colorbar=bar, **_COSINES.refs)], layout | right)


def _story_layout(
    run: Trajectory,
    title: str,
    curves: Sequence[tuple[str, tuple[float, float], _Series]],
    levels: Mapping[str, float],
    reach: float,
) -> dict[str, Any]:
    """Axes, names, levels and shaded phases of a story."""
    first, last = _span(int(run.steps[-1]))
    notes = [_GRAM.text("Gram matrix WᵀW")]
    shapes = [level(loss, xref="x2 domain", yref="y2") for loss in levels.values()]
    margin, m = {"r": 125, "t": _TOP, "b": _BOTTOM}, run.weights.shape[1]
    layout = framed(title, _HEIGHT, margin=margin, showlegend=False, annotations=notes, shapes=shapes)
    if m > 2:
        layout["scene"] = {**scene(reach, m, far=1.3 if m > 3 else 1.0), "domain": {"x": [0, 0.6], "y": [0.47, 1]}}
    else:
        layout |= plane(_PLANE, m, reach)
        shapes += circle(m, _PLANE.number)
    step = every(run.weights.shape[2])
    layout |= _GRAM.axes(axis("feature", dtick=step), axis("feature", dtick=step, autorange="reversed"))
    for panel, (name, limits, series) in zip(_PANELS, curves, strict=True):
        log, lowest = "y" if name == "loss" else "", panel is _PANELS[-1]
        x = axis("training step" if lowest else "", (first, last), log=True, showticklabels=lowest)
        y = axis(name, limits, log=bool(log))
        layout |= panel.axes(x, y)
        if len(series) + len(levels) > 1:
            ends = {**series, **{name: (np.full(len(run.steps), loss), MUTED) for name, loss in levels.items() if log}}
            labels = [
                Label.at_end(name, color, run.steps, values, log)
                for name, (values, color) in ends.items()
                if np.isfinite(values).any()
            ]
            height = (panel.y[1] - panel.y[0]) * (_HEIGHT - _TOP - _BOTTOM)
            right = {"xref": f"x{panel.number} domain", "x": 1, "xshift": 6, "yref": f"y{panel.number}"}
            notes += names(labels, y["range"], height, [0.0] * len(labels), font={"size": 12}, **right)
    for i, phase in enumerate(run.phases):
        begin, end = max(phase.first, first), max(phase.last, first)
        if i % 2 == 0:
            whole = {"x0": begin, "x1": end, "y0": 0, "y1": 1}
            shapes += [band(xref=f"x{n}", yref=f"y{n} domain", **whole) for n, *_ in _PANELS]
        notes.append(_PANELS[0].text(f"<b>{phase.name[:1]}</b>", x=np.log10(begin * end) / 2, xref="x2"))
    return layout


def _span(last: int) -> tuple[int, int]:
    """Where the logarithmic axis of steps begins and ends, for a last step."""
    return (_FIRST_STEP, last) if last > _FIRST_STEP else (1, max(last, 2))


def _part(W: np.ndarray, sets: Sets, reach: float, panel: Panel) -> list[dict[str, Any]]:
    """Traces of a model in a part of a figure: in the panel where it is flat, else in the scene."""
    if len(W) > 2:
        return _polyhedron(W, sets, np.eye(len(W)), reach, _SMALL)
    return [{**trace, **panel.refs} for trace in arrows(W, sets, grouped(sets, W.shape[1]), reach, _SMALL)]


def _polyhedron(W: np.ndarray, sets: Sets, turn: np.ndarray, reach: float, size: float) -> list[dict[str, Any]]:
    """Traces of constant number and length, so that only coordinates move: edges, antipodes, sets, origin, labels."""
    norms = np.linalg.norm(W, axis=0)
    cosine = (W.T @ W) / np.maximum(np.outer(norms, norms), 1e-12)
    points = (turn @ W)[:3]
    of = {j: i for i, members in enumerate(sets) for j in members}
    pairs, seen = list(combinations(range(W.shape[1]), 2)), norms.min() > 0.05
    edges = [((i, j), seen and cosine[i, j] > _NEIGHBOUR) for i, j in pairs if of[i] != of[j]]
    antipodes = [(pair, seen and cosine[pair] < _ANTIPODAL) for pair in pairs]
    # The colour of a third set is not to mean something else too.
    dashed = SET_COLORS[2] if len(sets) < 3 else INK
    traces = [
        stroke(segments(points, edges), "edge to the other set", MUTED, width=2),
        stroke(segments(points, antipodes), "antipodal pair", dashed, width=5, dash="dash"),
    ]
    for i, (members, color) in enumerate(zip(sets, set_colors(sets), strict=True), 1):
        # All edges of a triangle; of more features not the diagonals, and no line over that of an antipodal pair.
        least = {2: _ANTIPODAL, 3: -np.inf}.get(len(members), _NEIGHBOUR)
        inner = [(pair, cosine[pair] > least) for pair in combinations(members, 2)]
        traces += [
            stroke(segments(points, inner), f"edge of set {i}", color, width=6),
            {
                **at(points[:, list(members)]),
                **{"mode": "markers", "marker": {"size": 6, "color": color}, "name": f"set {i}"},
                **{"text": [str(j + 1) for j in members], "showlegend": False},
                "hovertemplate": "feature %{text}: (%{x:.2f}, %{y:.2f}, %{z:.2f})<extra></extra>",
            },
        ]
    traces.append({**at(np.zeros((3, 1))), "mode": "markers", "marker": {"size": 3, "color": INK}, **SILENT})
    color_of = {j: color for members, color in zip(sets, set_colors(sets), strict=True) for j in members}
    return traces + labels(points, color_of, reach, size)


def _facing(W: np.ndarray, sets: Sets) -> np.ndarray:
    """How to turn a model of more than three dimensions so that the first three are to be drawn."""
    return upright(W, sets) if len(W) > 3 and np.isfinite(W).all() else np.eye(len(W))


def _joined(tree: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lines of a dendrogram, (2, 5(n - 1)), a gap of NaN after each join, and the places of its leaves, (n,)."""
    n = len(tree) + 1
    leaves = [[i] for i in range(n)]
    for i, j in tree[:, :2].astype(int):
        leaves.append([k for branch in sorted((leaves[i], leaves[j]), key=min) for k in branch])
    places = np.empty(n)
    places[leaves[-1]] = np.arange(n)
    x, y, lines = list(places), [0.0] * n, []
    for i, j, up in tree[:, :3]:
        a, b = int(i), int(j)
        lines.append([[x[a], x[a], x[b], x[b], np.nan], [y[a], up, up, y[b], np.nan]])
        x.append((x[a] + x[b]) / 2)
        y.append(up)
    return np.concatenate(lines, -1), places
