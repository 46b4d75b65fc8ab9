"""What the data look like: samples, their covariance and its spectrum."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from toylib.figures._drawing import Drawing
from toylib.figures._layout import axis, checked, f4, framed, heatmap, panels
from toylib.figures.style import BACKGROUND, BLUE_TINT, INK, SET_COLORS

_FOUR = panels(4, 2, (0.1, 0.17))
"""Places for the distributions of a gallery."""


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
    traces, layout = [], framed(title, 480, margin={"t": 70}, annotations=[])
    for panel, (name, (values, sets)) in zip(_FOUR, samples.items(), strict=False):
        x = checked(f"samples of {name}", values, None, None)
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


def spectra(exact: Mapping[str, ArrayLike], measured: Mapping[str, ArrayLike], *, title: str) -> Drawing:
    """Covariance spectra, largest eigenvalue first: closed form as bars, measured as points. name -> (n,) for both."""
    if not exact or exact.keys() != measured.keys():
        raise ValueError(
            f"spectra must have the same names, got {', '.join(exact)} and {', '.join(measured)}; pass both of each"
        )
    largest = max(np.max(values) for values in (*exact.values(), *measured.values()))
    traces, layout = [], framed(title, 360, margin={"t": 100}, legend={"y": 1.12, "x": -0.02}, annotations=[])
    circle = {"color": INK, "size": 7, "symbol": "circle-open", "line": {"width": 1.5}}
    for panel, name in zip(panels(len(exact), len(exact), (0.03, 0)), exact, strict=True):
        first = not panel.number
        common = {"x": np.arange(1, np.size(exact[name]) + 1), "showlegend": first, **panel.refs}
        traces += [
            {"type": "bar", "y": f4(exact[name]), "name": "closed form", "marker": {"color": BLUE_TINT}, **common},
            {
                "type": "scatter",
                "y": f4(measured[name]),
                "name": "measured",
                "mode": "markers",
                "marker": circle,
                **common,
            },
        ]
        y = axis("eigenvalue (variance)" if first else "", (0, 1.06 * largest), showticklabels=first)
        layout |= panel.axes(axis("rank", dtick=1), y)
        layout["annotations"].append(panel.text(name))
    return Drawing(traces, layout)


def matrices(named: Mapping[str, ArrayLike], *, title: str, x_title: str, y_title: str, limit: float = 1.0) -> Drawing:
    """Signed matrices side by side, -limit orange, 0 white, limit blue. name -> (rows, columns)."""
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
