"""The tree in which a model's columns branch, beside where they are."""

from itertools import cycle

import numpy as np
from numpy.typing import ArrayLike

from toylib.figures._drawing import Drawing
from toylib.figures._layout import Panel, axis, checked, f4, framed, heatmap
from toylib.figures._polyhedra import polyhedron
from toylib.figures.style import INK, LABELS, SET_COLORS
from toylib.geometry import Sets, dendrogram

_TREE, _COSINES = Panel("", (0.0, 0.5), (0.0, 0.9)), Panel("2", (0.6, 0.97), (0.1, 0.9))
_SCENE = {"x": [0.54, 1.0], "y": [0.0, 0.9]}
_ABOVE = {"xref": "paper", "x": 0.77, "yref": "paper", "y": 0.9}
_HEIGHT = 400


def branches(W: ArrayLike, sets: Sets, *, height: float, title: str) -> Drawing:
    """Topology beside geometry: the dendrogram of W's columns, and the columns in space or the cosines between them.

    Branches join at their root mean square distance (`geometry.dendrogram`). The branch with the first feature stands
    to the left, so that a tree that stays the same stays where it is while its heights move.

    Args:
        W: (m, n); with m = 3 it is drawn as a polyhedron, else as a matrix of cosines, 0 for a column of zeros.
        sets: the sets, one colour each.
        height: fixed upper end of the axis of distances.
        title: of the figure.

    Raises:
        ValueError, TypeError: not a matrix of at least two columns, or a height that is not positive.
    """
    W = checked("W", W, None, None)
    if not height > 0:
        raise ValueError(f"height must be positive, got {height}; take the largest distance that is to be seen")
    tree, places = _joined(dendrogram(W))
    line = {"type": "scatter", "mode": "lines", "line": {"color": INK, "width": 2}, "name": "branches", **_TREE.refs}
    hover = "distance %{y:.3f}<extra></extra>"
    traces = [{**line, "x": f4(tree[0]), "y": f4(tree[1]), "connectgaps": False, "hovertemplate": hover}]
    traces += [
        {
            "type": "scatter",
            "x": f4([places[j] for j in members]),
            "y": f4(np.zeros(len(members))),
            "mode": "markers+text",
            "marker": {"size": 8, "color": color},
            "text": [str(j + 1) for j in members],
            "textposition": "bottom center",
            "textfont": {"size": 14, "color": LABELS[color]},
            "name": f"leaves of set {i}",
            "hovertemplate": "feature %{text}<extra></extra>",
            **_TREE.refs,
        }
        for i, (members, color) in enumerate(zip(sets, cycle(SET_COLORS)), 1)
    ]
    across = axis("feature", (-0.6, W.shape[1] - 0.4), showticklabels=False, ticks="", showgrid=False)
    notes = [_TREE.text("topology: which columns join, and how far apart")]
    layout = framed(title, _HEIGHT, showlegend=False, annotations=notes)
    layout |= _TREE.axes(across, axis("distance between branches", (-0.1 * height, height)))
    if len(W) == 3:
        space = polyhedron(W, sets, title=title)
        notes.append(_COSINES.text("geometry: where they are", **_ABOVE))
        layout["scene"] = {**space.layout["scene"], "domain": _SCENE}
        return Drawing(traces + space.data, layout)
    norms = np.linalg.norm(W, axis=0)
    cosines = (W.T @ W) / np.maximum(np.outer(norms, norms), 1e-12)
    notes.append(_COSINES.text("geometry: cosines between them"))
    bar = {"x": 1.0, "len": 0.8, "y": 0.5, "tickvals": [-1, 0, 1]}
    right = _COSINES.axes(axis("feature", dtick=1), axis("feature", dtick=1, autorange="reversed"))
    return Drawing([*traces, heatmap(cosines, 1.0, colorbar=bar, **_COSINES.refs)], layout | right)


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
