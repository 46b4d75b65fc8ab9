"""Attacks in pictures: the interference they ride on, one input before and after, what training under them leaves."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_finite, check_real
from toylib._drawable import checked, distinct, height_of_norms, numbers, picture, tables, together
from toylib.figures._drawing import Drawing, f4
from toylib.figures._layout import Panel, around, axis, band, bar_width, every, framed, heatmap, level, panels
from toylib.figures.style import (
    BACKGROUND,
    BLUE,
    BLUE_TINT,
    FAINT,
    GREEN_TINT,
    INK,
    MUTED,
    ORANGE,
    ORANGE_TINT,
    WIDTH,
    inked,
)

_COUNTED, _ALL, _MOST = 0.05, 40, 24  # entries that count; features: as many as are drawn all, and how many of more
DIVERGED = "diverged: W is not finite"
_ZERO = {"zeroline": True, "zerolinecolor": MUTED, "zerolinewidth": 1}
# The panels of an attacked sample from top to bottom, which share the first one's x axis; title, standoff and format of
# their y axes. These keep the titles in one line, although only the labels of the middle axis have minus signs.
_PANELS = (
    (Panel("", (0, 1), (0.74, 1.0)), "input", 8, ".1f"),
    (Panel("2", (0, 1), (0.42, 0.65)), "δ / ‖δ‖", 1, ""),
    (Panel("3", (0, 1), (0.0, 0.33)), "output", 8, ".1f"),
)
_OUTCOMES = {"none": BACKGROUND, "reduced": BLUE_TINT, "eliminated": GREEN_TINT, "given up": ORANGE_TINT}
"""What training under attack can end in, as `robustness.outcome` says, and the colour of each."""
_MATRIX, _BARS = Panel("", (0.0, 0.4), (0.0, 1.0)), Panel("2", (0.6, 1.0), (0.0, 1.0))  # of what a model represents


@picture
def interference(row: ArrayLike, feature: int, *, title: str, limit: float) -> Drawing:
    """One row of WᵀW as bars: the feature's own entry, then the others from the largest to the smallest.

    Args:
        row: (n,), (WᵀW)_i.
        feature: i, counted from 0.
        title, limit: of the figure, whose y axis reaches from -limit to limit.

    Raises:
        ValueError: NaN or infinity in the row, which would count as no interference.
    """
    row = checked("row", row, None)
    check_real("limit", limit, "it is the end of the axis", above=0)
    check_finite("row", row, "show a model that has not diverged")
    if not 0 <= feature < len(row):
        raise ValueError(f"feature must be a position in the row, from 0 to {len(row) - 1}, got {feature}; name one")
    order = np.lexsort((-row, np.arange(len(row)) != feature))
    bars = [
        {
            "type": "bar",
            "x": np.array([-1, *range(1, len(row))]),  # a gap after the own entry
            "y": f4(np.where(shown, row[order], np.nan)),
            "name": name,
            "marker": {"color": color, "line": {"width": 0}},
            "width": bar_width(len(row)),
            "customdata": order + 1,
            "hovertemplate": "feature %{customdata}: %{y:.3f}<extra></extra>",
        }
        for name, color, shown in (("positive", BLUE, row[order] > 0), ("negative", ORANGE, row[order] < 0))
    ]
    beyond = (np.abs(row[order[1:]]) > _COUNTED).sum()
    said = f"‖(WᵀW)<sub>i</sub>‖ = {np.linalg.norm(row):.2f}<br>{beyond} of {len(row) - 1} others beyond ±{_COUNTED}"
    corner = {"xref": "paper", "yref": "paper", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top", "align": "right"}
    ticks = range(every(len(row)), len(row), every(len(row)))
    layout = framed(
        title,
        360,
        barmode="overlay",
        showlegend=False,
        xaxis=axis(
            "the feature's own entry, then the others from the largest to the smallest",
            (-2, len(row)),
            tickvals=[-1, *ticks],
            ticktext=["own", *map(str, ticks)],
            showgrid=False,
        ),
        yaxis=axis("entry of row i of WᵀW", (-limit, limit), **_ZERO),
        shapes=[band(opacity=0.6, xref="paper", x0=0, x1=1, y0=-_COUNTED, y1=_COUNTED)],
        annotations=[{**corner, "showarrow": False, "text": said}],
    )
    return Drawing(bars, layout)


class Limits(NamedTuple):
    """The y ranges of the panels of `attacked_sample`, (low, high) each."""

    input: tuple[float, float]
    """of x and x + δ"""
    direction: tuple[float, float]
    """of δ/‖δ‖"""
    output: tuple[float, float]
    """of the reconstructions and x"""

    @classmethod
    def around(cls, x: ArrayLike, delta: ArrayLike, output: ArrayLike) -> "Limits":
        """Ranges that hold 0, 1 and all of these, with a margin; each (..., n), and x + δ broadcasts."""
        x, delta, output = together(x=x, delta=delta, output=output)
        reach = 1.1 * float(np.abs(_direction(delta)).max()) or 1.0
        inputs, outputs = (np.hstack([0, 1, x.ravel(), values.ravel()]) for values in (x + delta, output))
        return cls(around(inputs), (-reach, reach), around(outputs))


@picture
def attacked_sample(
    x: ArrayLike, delta: ArrayLike, before: ArrayLike, after: ArrayLike, *, title: str, limits: Limits
) -> Drawing:
    """One attacked input in three panels over the features: x and x + δ, δ/‖δ‖, and the reconstructions of both.

    Of more than 40 features the 24 are drawn whose reconstruction changes most, in that order; the axis says so, and
    the heading how much the others change at most.

    Args:
        x: (n,), clean input.
        delta: (n,), attack; zeros show no direction.
        before: (n,), reconstruction of x.
        after: (n,), reconstruction of x + δ.
        title: of the figure.
        limits: the y ranges.
    """
    x, delta, before, after = (numbers("sample", values) for values in (x, delta, before, after))
    if not (x.shape == delta.shape == before.shape == after.shape and x.ndim == 1 and x.size):
        shapes = ", ".join(str(values.shape) for values in (x, delta, before, after))
        raise ValueError(f"x, delta, before and after must be of one length (n), got {shapes}; pass one sample")
    norm, errors = np.linalg.norm(delta), [f"{np.square(output - x).sum():.3g}" for output in (before, after)]
    direction, shown, words, rest = _direction(delta), np.arange(len(x)), "feature", ""
    if len(x) > _ALL:
        change = np.abs(after - before)
        shown = np.lexsort((-x, -change))[:_MOST]
        words = f"features by how much their output changes: the first {_MOST} of {len(x)}, {len(x) - _MOST} left out"
        rest = f"   (others: at most {np.delete(change, shown).max():.2g})"
    x, delta, before, after, direction = (values[shown] for values in (x, delta, before, after, direction))
    n, width = len(x), bar_width(len(x))
    silent = (x == 0) & (before == 0) & (after == 0)  # most features of a sparse input: small, so that they stay calm
    size = f4(np.where(silent, 2.5, min(max(0.8 * WIDTH / n, 4), 9)))
    grey = {"color": MUTED, "opacity": 0.45, "line": {"width": 0}}
    filled = {"color": ORANGE, "opacity": 1, "size": 0.8 * size, "line": {"width": 0}}
    hollow = {"color": INK, "opacity": 1, "size": size, "symbol": "circle-open", "line": {"width": 1}}
    dash = {"color": ORANGE, "width": 0, "type": "constant", "value": width / 2, "thickness": 2}
    stem = {"color": ORANGE, "width": 0, "thickness": 1.5}
    stem |= {"array": f4(np.maximum(before - after, 0)), "arrayminus": f4(np.maximum(after - before, 0))}
    bar, points = {"type": "bar", "width": width}, {"type": "scatter", "mode": "markers"}
    traces = [
        {**bar, "name": "x", "y": x, "yaxis": "y", "marker": grey},
        {**points, "name": "x + δ", "y": x + delta, "yaxis": "y", "marker": {"opacity": 0}, "error_x": dash},
        {**bar, "name": "δ/‖δ‖", "y": direction, "yaxis": "y2", "marker": {"color": ORANGE}},
        {**bar, "name": "target x", "y": x, "yaxis": "y3", "marker": grey},
        {**points, "name": "after", "y": after, "yaxis": "y3", "marker": filled, "error_y": stem},
        {**points, "name": "before", "y": before, "yaxis": "y3", "marker": hollow},
    ]
    for trace in traces:
        hover = f"feature %{{customdata}}: {trace['name']} = %{{y:.3f}}<extra></extra>"
        trace.update(x=np.arange(1, n + 1), y=f4(trace["y"]), customdata=shown + 1, hovertemplate=hover)
    headings = (
        f"<b>Input</b>   {inked(MUTED, 'x (bars)')}   {inked(ORANGE, 'x + δ (dashes)')}",
        f"<b>Attack</b>   {inked(ORANGE, 'δ')}, in units of its norm ‖δ‖ = {norm:.3g}",
        f"<b>Reconstruction</b>   {inked(MUTED, 'target x (bars)')}   ○ before, e = {errors[0]}   "
        f"{inked(ORANGE, f'● after, e = {errors[1]}')}{rest}",
    )
    layout = framed(title, 580, barmode="overlay", showlegend=False, margin={"t": 80}, annotations=[])
    ends, ticks = (0.5 - 0.01 * n, n + 0.5 + 0.01 * n), sorted({1, *range(every(n), n + 1, every(n))})
    layout["xaxis"] = axis(words, ends, anchor="y3", tickvals=ticks, showgrid=False)
    for (panel, name, standoff, form), heading, span in zip(_PANELS, headings, limits, strict=True):
        y = {"standoff": standoff, "tickformat": form, "nticks": 5, "domain": list(panel.y), **_ZERO}
        layout[f"yaxis{panel.number}"] = axis(name, span, **y)
        layout["annotations"].append(panel.text(heading, xref="paper", x=0, xanchor="left"))
    return Drawing(traces, layout)


@picture
def represented(
    W: ArrayLike, dimensionality: ArrayLike, *, title: str, kept: float, ordered: bool = True, reach: float = 1.0
) -> Drawing:
    """What a model represents: WᵀW, and the norm and dimensionality of every feature, the longest first in both.

    Args:
        W: (m, n).
        dimensionality: (n,), D_i.
        title: of the figure.
        kept: norm above which a feature counts as kept, drawn as a line; NaN for a model of NaN, which has none.
        ordered: False keeps the order of the features.
        reach: length of a feature that has room, where W has none that is longer.
    """
    W = checked("W", W, None, None)
    D = checked("dimensionality", dimensionality, W.shape[1])
    norms, finite = np.linalg.norm(W, axis=0), np.isfinite(W).all()
    order = np.argsort(-norms * ordered, kind="stable")
    W, D, norms = W[:, order], D[order], norms[order]
    gram = heatmap(W.T @ W, 1.0, colorbar={"x": 0.41, "len": 0.8, "tickvals": [-1, 0, 1]}, xgap=0, ygap=0)
    about = {"x": np.arange(1, len(norms) + 1), "customdata": order + 1, **_BARS.refs}
    hover = "feature %{customdata}: norm %{y:.2f}<extra></extra>"
    bars = {"type": "bar", "y": f4(norms), "marker": {"color": BLUE}, "hovertemplate": hover, **about}
    points = {"type": "scatter", "mode": "markers", "y": f4(np.where(norms > kept, D, np.nan)), **about}
    points |= {"marker": {"color": ORANGE, "size": 7, "line": {"color": BACKGROUND, "width": 1}}}
    points |= {"hovertemplate": "feature %{customdata}: D = %{y:.2f}<extra></extra>"}
    # Over the matrix, which stands beside its scale; and over the bars.
    notes = [
        _MATRIX.text("WᵀW", xref="paper", x=0.4, xanchor="right"),
        _BARS.text(f"{inked(BLUE, '▮ norm')}   {inked(ORANGE, '● D, if kept')}" if finite else DIVERGED),
    ]
    line = level(kept if kept >= 0 else -1, color=INK, xref="x2 domain", yref="y2")  # at -1 out of sight
    layout = framed(title, 385, margin={"t": 75}, showlegend=False, shapes=[line], annotations=notes)
    words, ends = "feature, the longest first" if ordered else "feature", (0.5, len(norms) + 0.5)
    square = axis(words, ends, standoff=4, showgrid=False, constrain="domain")
    down = {"range": list(ends[::-1]), "scaleanchor": "x", "constraintoward": "top"}
    layout |= _MATRIX.axes({**square, "constraintoward": "right"}, {**square, **down})
    size = axis("norm ‖W<sub>i</sub>‖, dimensionality D<sub>i</sub>", (0, height_of_norms(reach, norms)))
    return Drawing([gram, bars, points], layout | _BARS.axes(axis(words, ends, showgrid=False), size))


@picture
def outcome_map(
    outcomes: Mapping[str, Any],
    saving: Mapping[str, ArrayLike],
    densities: Sequence[float],
    norms: Sequence[float],
    *,
    title: str,
) -> Drawing:
    """How training under each attack ended, over density and norm, with what the models are still worth in every cell.

    Args:
        outcomes: attack -> (densities, norms) of names that `robustness.outcome` gives; at most eight attacks.
        saving: attack -> (densities, norms), mean shares of the ideal model's saving, written with one decimal.
        densities, norms: of the rows and columns; norms as fractions of E‖x‖.
        title: of the figure.

    Raises:
        ValueError: an outcome without a colour.
    """
    known, shape = list(_OUTCOMES), (len(densities), len(norms))
    outcomes = tables(outcomes, known, shape)
    steps = [(edge / len(known), color) for i, color in enumerate(_OUTCOMES.values()) for edge in (i, i + 1)]
    sides = (("norms", norms), ("densities", densities))
    ends = dict(zip("xy", (distinct(name, [f"{value:g}" for value in values]) for name, values in sides), strict=True))
    look = {"zmin": -0.5, "zmax": len(known) - 0.5, "colorscale": steps, "showscale": False, "xgap": 1, "ygap": 1}
    hover = "density %{y}, norm %{x}: %{customdata}, %{text} of the ideal saving<extra></extra>"
    texts = {"texttemplate": "%{text}", "textfont": {"size": 10, "color": INK}, "hovertemplate": hover}
    sides = {"type": "category", "showgrid": False, "linecolor": FAINT}
    rows = -(-len(outcomes) // 2)
    margin, legend = {"l": 55, "r": 10, "t": 95, "b": 50}, {"y": 1 + 25 / (145 * rows), "x": -0.02}
    traces, layout = [], framed(title, 145 * rows + 145, margin=margin, annotations=[], legend=legend)
    for panel, (name, table) in zip(panels(len(outcomes), 2, (0.025, 0.22 / rows)), outcomes.items(), strict=True):
        worth = checked(f"saving of {name}", saving.get(name), *shape)
        cells = {
            "z": np.array([[known.index(outcome) for outcome in line] for line in table], np.int8),
            "text": [[f"{share:.1f}" for share in line] for line in worth.round(1) + 0.0],  # no "-0.0"
            "customdata": table,
        }
        traces.append({"type": "heatmap", **ends, **look, **texts, **cells, **panel.refs})
        last, first = len(traces) > len(outcomes) - 2, panel.x[0] == 0
        x = axis("attack norm / E‖x‖" if last else "", **sides, tickangle=0, tickfont={"size": 10}, showticklabels=last)
        layout |= panel.axes(x, axis("density p" if first else "", **sides, showticklabels=first))
        layout["annotations"].append(panel.text(name))
    traces += [
        {
            **{"type": "scatter", "x": [None], "y": [None], "mode": "markers"},
            "marker": {"color": color, "symbol": "square", "size": 12, "line": {"color": MUTED, "width": 1}},
            "name": "not reduced" if name == "none" else name,
        }
        for name, color in _OUTCOMES.items()
    ]
    return Drawing(traces, layout)


@picture
def attacked_models(
    x: ArrayLike, outputs: Mapping[str, tuple[ArrayLike, ArrayLike]], *, title: str, limits: tuple[float, float]
) -> Drawing:
    """What several models make of one input before and after an attack, side by side, with the gain in error of each.

    Args:
        x: (n,), clean input, the target.
        outputs: heading -> reconstructions before and after, (n,) each; at most four.
        title: of the figure.
        limits: of the y axis that all share.

    Raises:
        ValueError: no model or more than four, or lengths that differ.
    """
    if not 1 <= len(outputs) <= 4:
        raise ValueError(f"there must be one to four models, got {len(outputs)}; pass some of them")
    target = checked("x", x, None)
    features = np.arange(1, len(target) + 1)
    traces, layout = [], framed(title, 360, margin={"t": 95}, barmode="overlay", annotations=[])
    for panel, (name, both) in zip(panels(len(outputs), len(outputs), (0.05, 0)), outputs.items(), strict=True):
        before, after = (checked(f"outputs of {name}", part, len(target)) for part in both)
        gain = np.square(after - target).sum() - np.square(before - target).sum()
        common = {"x": features, "showlegend": not panel.number, **panel.refs}
        ring = {"color": INK, "size": 8, "symbol": "circle-open", "line": {"width": 1.5}}
        traces += [
            {"type": "bar", "y": f4(after), "name": "after", "marker": {"color": ORANGE}, "width": 0.5, **common},
            {"type": "bar", "y": f4(target), "name": "target x", "marker": {"color": MUTED}, "width": 0.15, **common},
            {"type": "scatter", "y": f4(before), "name": "before", "mode": "markers", "marker": ring, **common},
        ]
        ends = (0.5, len(target) + 0.5)
        up = axis("" if panel.number else "output", limits, showticklabels=not panel.number, zeroline=True)
        layout |= panel.axes(axis("feature", ends, dtick=1, showgrid=False), up)
        layout["annotations"].append(panel.text(f"{name}<br>{inked(ORANGE, f'gain in error {gain:.3f}')}"))
    return Drawing(traces, {**layout, "legend": {"y": 1.17, "x": -0.02}})


def _direction(delta: np.ndarray) -> np.ndarray:
    """δ/‖δ‖ along the last axis; 0 for 0."""
    norm = np.linalg.norm(delta, axis=-1, keepdims=True)
    return delta / np.where(norm > 0, norm, 1)
