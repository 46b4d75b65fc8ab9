"""A phase diagram: what becomes of many models along a setting, over what the arrangements cost there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toylib.figures._drawing import Drawing
from toylib.figures._layout import SYMBOLS, Label, Panel, around, axis, band, checked, colors_of, f4, framed, names
from toylib.figures.style import BACKGROUND

_SHARES, _CURVES = Panel("", (0.0, 1.0), (0.57, 1.0)), Panel("2", (0.0, 1.0), (0.0, 0.47))
_HEIGHT, _TOP, _BOTTOM, _RIGHT = 640, 105, 55, 150


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
