"""Models by the directions of their features: in a line, a plane, space or as a matrix; and over sparsity."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from toylib._checks import check_real
from toylib._drawable import alike, check_sets, checked, numbers, picture, room
from toylib.figures._adversarial import DIVERGED, represented
from toylib.figures._drawing import SILENT, Drawing, at, between, f4, stroke
from toylib.figures._layout import (
    EYE,
    SPACE,
    Label,
    around,
    axis,
    beside,
    circle,
    framed,
    level,
    panels,
    plane,
    scene,
    square,
)
from toylib.figures.style import BLUE, FAINT, INK, LABELS, MUTED, WIDTH, set_colors
from toylib.geometry import Sets, feature_dimensionality, hull_edges

_DEAD, _ANTIPODAL = 0.05, -0.9
_RING = 1.16  # of the longest feature that has room: where labels stand in a plane
_APART, _TURN = 0.19, 5.8  # radians between two labels, their width on a phone, and those of all that have labels
_PLATEAUS = {"1 own dimension": 1.0, "3/4 tetrahedron": 3 / 4, "2/3 triangle": 2 / 3, "1/2 antipodal pair": 1 / 2}
_PLATEAUS |= {"2/5 pentagon": 2 / 5, "3/8 square antiprism": 3 / 8}


class _Group(NamedTuple):
    """Features that look alike."""

    color: str
    opacity: float
    members: list[int]


@picture
def directions(
    W: ArrayLike, sets: Sets, *, title: str, importance: ArrayLike | None = None, reach: float | None = None
) -> Drawing:
    """The directions W_i in hidden space, whatever its size: on a line, in a plane, in space, or as numbers.

    In up to three dimensions: an arrow for each feature; the edges of the convex hull of all, in the colour of the set
    where both ends are of one; and a pale bar behind each antipodal pair, two that are most opposite to each other,
    with a cosine below -0.9. Of more dimensions: WᵀW, norms and dimensionalities. Features below a twentieth of the
    longest are not represented: they are named above, and have no label and no edge. More than 30 features are drawn
    without labels and bars.

    Labels stand on a ring around all arrows and edges, apart from each other, and lines lead to them. In space that is
    so from where a reader sees it first; as it is turned a label stays beside its tip, and may come before a line.

    Args:
        W: (m, n); of a model that diverged nothing is drawn, which the figure says.
        sets: the sets, which hold every feature once. Each has a colour, and sets of one feature all have the same;
            where there are more than four, colours come again.
        title: of the figure.
        importance: (n,), at least 0: what is more important is less transparent.
        reach: length of the longest feature that has room; by default 1.2, or a multiple of 0.2 that holds the longest
            of these. Give it where axes are to stay while features grow longer.

    Returns:
        A drawing whose traces are the same for all W of one shape, with the same sets and importance.

    Raises:
        ValueError, TypeError: W is no matrix; sets that miss a feature; an importance that is negative, not finite, or
            nowhere positive.
    """
    W = checked("W", W, None, None)
    groups, reach = grouped(sets, W.shape[1], importance), room(reach, W)
    if len(W) > 3:
        return _numbers(W, groups, title, reach)
    note = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
    notes = [{**note, "showarrow": False, "text": _absent(W)}]
    if len(W) == 3:
        layout = framed(title, 480, scene=scene(reach), annotations=notes, margin={"l": 14, "r": 0})
        return Drawing(arrows(W, sets, groups, reach), layout)
    x, y = square(len(W), reach)
    layout = framed(title, 520, showlegend=False, xaxis=x, yaxis=y, shapes=circle(len(W)), annotations=notes)
    return Drawing(arrows(W, sets, groups, reach), layout)


@picture
def planes(
    Ws: Mapping[str, ArrayLike],
    sets: Sets,
    *,
    title: str,
    importance: ArrayLike | None = None,
    reach: float | None = None,
) -> Drawing:
    """Several models in a plane side by side, such as five features in two dimensions over sparsity; or on a line.

    Args:
        Ws: name -> W (2, n), or all (1, n), each drawn as `directions` draws it; up to three in a row.
        sets: of their features.
        title: of the figure.
        importance: (n,), of all the models.
        reach: length of the longest feature that has room, as in `directions`.

    Raises:
        ValueError, TypeError: no model, or one of another size; what `directions` refuses.
    """
    models = alike(Ws, 2)
    W = np.stack([*models.values()])
    groups, reach = grouped(sets, W.shape[2], importance), room(reach, W)
    rows = -(-len(models) // 3)  # on a phone three in a row can still be read
    columns = -(-len(models) // rows)
    height = rows * (WIDTH // max(columns, 2) + 20) + 60
    traces, layout = [], framed(title, height, showlegend=False, margin={"l": 14, "r": 14, "t": 60, "b": 10})
    layout |= {"shapes": [], "annotations": []}
    for panel, (name, W) in zip(panels(len(models), columns, (0.02, 0.1 / rows)), models.items(), strict=True):
        traces += [{**trace, **panel.refs} for trace in arrows(W, sets, groups, reach, 0.8)]
        layout |= plane(panel, len(W), reach, bare=True)
        layout["shapes"] += circle(len(W), panel.number)
        layout["annotations"].append(panel.text(name if np.isfinite(W).all() else f"{name}: diverged"))
    return Drawing(traces, layout)


def grouped(sets: Sets, n: int, importance: ArrayLike | None = None) -> list[_Group]:
    """The features in groups of one colour and opacity."""
    check_sets(sets, n)
    weight = np.ones(n) if importance is None else checked("importance", importance, n)
    if not (weight.min() >= 0 and 0 < weight.max() < np.inf):
        raise ValueError(f"importance must be finite, at least 0, not all 0, got {weight!r:.80}; leave it out")
    opacity = np.round(0.25 + 0.75 * weight / weight.max(), 1)  # few shades, each of which takes two traces
    found: dict[tuple[str, float], list[int]] = {}
    for members, color in zip(sets, set_colors(sets), strict=True):
        for j in members:
            found.setdefault((color, float(opacity[j])), []).append(j)
    return [_Group(*look, members) for look, members in found.items()]


def _live(W: np.ndarray) -> np.ndarray:
    """The features that a model represents; none where it diverged."""
    norms = np.linalg.norm(W, axis=0)
    return np.flatnonzero(norms > _DEAD * norms.max()) if np.isfinite(W).all() else np.zeros(0, int)


def _absent(W: np.ndarray) -> str:
    """What to say of the features that have no direction to be drawn."""
    if not np.isfinite(W).all():
        return DIVERGED
    missing = np.setdiff1d(np.arange(W.shape[1]), _live(W)) + 1
    listed = ", ".join(map(str, missing)) if len(missing) <= 8 else f"{len(missing)} of {W.shape[1]}"
    return f"not represented: {listed}" if len(missing) else ""


def arrows(W: np.ndarray, sets: Sets, groups: Sequence[_Group], reach: float, size: float = 1.0) -> list[dict]:
    """Traces on a line (1, n), in a plane (2, n) or in space (3, n): bars, edges, arrows, and labels if they fit."""
    W = np.vstack([W, np.zeros((2 - len(W), W.shape[1]))]) if len(W) == 1 else W
    W = W if np.isfinite(W).all() else np.full(W.shape, np.nan)  # half of a model that diverged would mislead
    m, n = W.shape
    color_of = {j: group.color for group in groups for j in group.members}
    numbers = labels(W, color_of, reach, size)
    edges, antipodes = _bonds(W)
    of = {j: i for i, members in enumerate(sets) for j in members}
    bars = stroke(between(W, antipodes if numbers else []), "antipodal pair", FAINT, width=9 * size)
    across = [(i, j) for i, j in edges if of[i] != of[j]]
    traces = [bars, stroke(between(W, across), "edge between sets", MUTED, width=1.5)]
    for color in dict.fromkeys(color_of.values()):
        inner = [(i, j) for i, j in edges if of[i] == of[j] and color_of[i] == color]
        traces.append(stroke(between(W, inner), "edge of a set", color, width=3 * size))
    with_center, norms = np.column_stack([W, np.zeros(m)]), np.linalg.norm(W, axis=0)
    for color, opacity, members in groups:
        shafts = between(with_center, [(n, j) for j in members])
        marker: dict[str, Any] = {"size": 5 if m == 3 or not numbers else 11 * size**0.5, "color": color}
        if m == 2:
            eighths = np.round(8 * np.degrees(np.arctan2(*W[:, members])))  # of a degree, which plotly's checks keep
            marker |= {"symbol": "arrow", "angle": f4((eighths / 8 + 180) % 360 - 180)}
        tips = {"mode": "markers", "name": "features", "marker": marker, "showlegend": False, "opacity": opacity}
        hover: dict[str, Any] = {"text": [str(j + 1) for j in members], "customdata": f4(norms[members])}
        hover["hovertemplate"] = "feature %{text}: norm %{customdata:.2f}<extra></extra>"
        line = stroke(shafts, "features", color, width=2.5 * size**0.5 if numbers else 1)
        traces += [{**line, "opacity": opacity}, {**at(W[:, members]), **tips, **hover}]
    return traces + numbers


def _bonds(W: np.ndarray) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The edges of the hull of what is represented, and the antipodal pairs, which have no edge."""
    live = _live(W)
    if not len(live):
        return [], []
    unit = W[:, live] / np.maximum(np.linalg.norm(W[:, live], axis=0), 1e-30)
    cosine = unit.T @ unit
    opposite = cosine.argmin(0)
    pairs = [(i, j) for i, j in enumerate(opposite) if i < j and opposite[j] == i and cosine[i, j] < _ANTIPODAL]
    edges = [(i, j) for i, j in hull_edges(W[:, live]) if cosine[i, j] >= _ANTIPODAL]
    return [(int(live[i]), int(live[j])) for i, j in edges], [(int(live[i]), int(live[j])) for i, j in pairs]


def labels(W: np.ndarray, color_of: Mapping[int, str], reach: float, size: float) -> list[dict[str, Any]]:
    """The numbers of what W (2 or 3, n) represents, off each other and outside of all, with lines to them; if they fit.

    The size is 1 for a drawing that fills a figure.
    """
    (m, n), live = W.shape, _live(W)
    if n * _APART > _TURN * size:
        return []
    places = np.full((m, n), np.nan)
    shown = W[:, live]
    places[:, live] = _RING * reach * _spread(shown, _APART / size) if m == 2 else _ringed(shown, reach, size)
    away = places - W
    away = 0.06 * reach / size * away / np.maximum(np.linalg.norm(away, axis=0), 1e-30)
    leaders = between(np.hstack([W, places - away]), [(j, j + n) for j in range(n)])
    traces = [stroke(leaders, "to its label", FAINT, width=1)]
    for color in dict.fromkeys(color_of.values()):
        members = [j for j in range(n) if color_of[j] == color]
        font = {"size": round(14 * size**0.5), "color": LABELS[color]}
        texts = {"mode": "text", "text": [str(j + 1) for j in members], "textposition": "middle center"}
        traces.append({**at(places[:, members]), **texts, "textfont": font, "name": "labels", **SILENT})
    return traces


def _ringed(W: np.ndarray, reach: float, size: float) -> np.ndarray:
    """Places in space, (3, k): from the first camera they are on a ring around all, each as far away as its tip."""
    if not W.shape[1]:
        return W
    half, eye, gap = SPACE * reach, 2 * SPACE * reach * np.array(EYE), 0.2 * reach / size
    far = np.linalg.norm(eye)
    right = np.cross([0, 0, 1], eye) / np.hypot(*eye[:2])
    view = np.stack([right, np.cross(eye, right) / far, -eye / far])
    depth = far + (view @ W)[2]
    seen = (view @ W)[:2] * far / depth  # as a screen through the origin shows it
    ring = min(half, max(np.linalg.norm(seen, axis=0).max() + gap, gap * len(depth) / 6))
    rays = view.T @ np.vstack([ring * _spread(seen, gap / ring) / far, np.ones(len(depth))])
    with np.errstate(divide="ignore"):  # what is beyond the axes plotly does not show
        enter, leave = np.sort([(side * 0.99 * half - eye[:, None]) / rays for side in (-1, 1)], axis=0)
    return eye[:, None] + rays * np.clip(depth, enter.max(0), leave.min(0))


def _spread(W: np.ndarray, apart: float) -> np.ndarray:
    """Unit vectors, (2, k), each as near to the direction of its column as the others let it."""
    angles, k = np.arctan2(W[1], W[0]), W.shape[1]
    if not k:
        return W
    order = np.argsort(angles, kind="stable")
    turns = np.diff(angles[order], append=angles[order[0]] + 2 * np.pi)
    order = np.roll(order, -1 - int(turns.argmax()))  # begin after the widest gap
    ahead = angles[order] + 2 * np.pi * (angles[order] < angles[order[0]])
    least, placed = apart * np.arange(k), np.empty(k)
    placed[order] = isotonic_regression(ahead - least).x + least  # the nearest angles that rise by what labels need
    if np.ptp(placed) > 2 * np.pi - apart:
        placed[order] = ahead.mean() + 2 * np.pi / k * (np.arange(k) - (k - 1) / 2)
    return np.stack([np.cos(placed), np.sin(placed)])


def _numbers(W: np.ndarray, groups: Sequence[_Group], title: str, reach: float) -> Drawing:
    """What `represented` draws, of a model whose features keep their order and have the colours of their sets."""
    finite = np.isfinite(W).all()
    W = W if finite else np.full(W.shape, np.nan)
    D = np.asarray(feature_dimensionality(jnp.asarray(W, jnp.float32)))
    drawing = represented(W, D, title=title, kept=_DEAD * np.linalg.norm(W, axis=0).max(), ordered=False)
    gram, bars, points = drawing.data
    look = {j: group for group in groups for j in group.members}
    by_feature = [look[j] for j in range(W.shape[1])]
    colors = {"color": [group.color for group in by_feature], "opacity": [group.opacity for group in by_feature]}
    size = {**drawing.layout["yaxis2"], "range": [0, 1.2 * reach]}
    traces = [gram, {**bars, "marker": colors}, {**points, "marker": {**points["marker"], "color": INK}}]
    above, beside_it = drawing.layout["annotations"]
    notes = [above, {**beside_it, "text": "▮ norm   ● D, if represented"} if finite else beside_it]
    return Drawing(traces, {**drawing.layout, "yaxis2": size, "annotations": notes})


@picture
def plateaus(Ss: Sequence[float], Ws: ArrayLike, *, title: str, levels: Mapping[str, float] | None = None) -> Drawing:
    """The dimensionality of every feature of many models over 1/(1 − S), with that of regular arrangements dashed.

    The line is the number of hidden dimensions per feature, m/‖W‖²_F, in the mean over the models at each sparsity.

    Args:
        Ss: (k,), sparsities of the models, in [0, 1), which differ.
        Ws: (k, ..., m, n), any number of models at each; those that diverged are left out.
        title: of the figure.
        levels: name -> dimensionality; by default those that the paper meets: 1 for a feature of its own dimension, 3/4
            for a tetrahedron, 2/3 a triangle, 1/2 an antipodal pair, 2/5 a pentagon, 3/8 a square antiprism.

    Raises:
        ValueError, TypeError: sparsities out of range or repeated, or models that are not as many.

    Source: Elhage et al. 2022, "The Geometry of Superposition".
    """
    S, W = checked("Ss", Ss, None), numbers("Ws", Ws)
    W = checked("Ws", W, len(S), *[None] * max(W.ndim - 1, 2))
    if not ((S >= 0).all() and (S < 1).all() and len({*S}) == len(S)):
        raise ValueError(f"Ss must be in [0, 1) and differ, got {S.tolist()!r:.80}; drop the others")
    order, (m, n) = np.argsort(S), W.shape[-2:]
    S, W = S[order], W[order].reshape(len(S), -1, m, n)
    across = 1 / (1 - S)
    D = np.asarray(jax.vmap(jax.vmap(feature_dimensionality))(jnp.asarray(W, jnp.float32))).reshape(len(S), -1)
    # Beside each other, so that one sees how many are alike; steps of the golden ratio spread any number evenly.
    aside = (0.618034 * np.arange(D.shape[1]) % 1 - 0.5) * 0.6 * np.diff(np.log(across)).min(initial=0.5)
    mass = np.square(W).sum((2, 3))
    alive = np.isfinite(mass) & (mass > 0)
    star = np.where(alive, m / np.where(alive, mass, 1), 0).sum(1) / np.where(alive.any(1), alive.sum(1), np.nan)
    spread = {"x": f4(np.outer(across, np.exp(aside)).ravel()), "y": f4(D.ravel()), "name": "feature"}
    hover = {"text": [str(j + 1) for j in range(n)] * (D.size // n), "customdata": f4(np.repeat(S, D.shape[1]))}
    hover |= {"hovertemplate": "feature %{text}, S = %{customdata:.3g}: D = %{y:.3f}<extra></extra>"}
    dots = {"type": "scatter", "mode": "markers", "marker": {"color": BLUE, "size": 4, "opacity": 0.5}}
    line = {"type": "scatter", "mode": "lines", "line": {"color": INK, "width": 2}, "name": "m/‖W‖²"}
    traces = [{**dots, **spread, **hover}, {**line, "x": f4(across), "y": f4(star)}]
    lines = _PLATEAUS if levels is None else dict(levels)
    for name, level_of_it in lines.items():
        check_real(f"levels of {name}", level_of_it, "leave it out: D lies in [0, 1]", least=0)
    wide, high = around(np.array([*across, 2 * across[0]]), log=True), (-0.04, max(1.08, *lines.values(), 0))
    labels = [Label(name, MUTED, float(np.log10(wide[1])), at) for name, at in lines.items()]
    labels.append(Label.at_end("m/‖W‖²", INK, across, star, "x"))
    sides = {"xaxis": axis("1/(1 − S)", wide, log=True), "yaxis": axis("dimensionality D<sub>i</sub>", high)}
    return Drawing(traces, beside(framed(title, 440, **sides, shapes=[level(y) for y in lines.values()]), labels))
