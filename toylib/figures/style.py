"""One visual language for every figure: five colours that colour-blind readers can tell apart, one theme, 700 px.

Every colour of every figure is one of those named here, written as #RRGGBB, so that another set can take their place.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from toylib._drawable import picture

WIDTH = 700
SET_COLORS = BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""A feature set keeps its colour in every figure. Source: Okabe and Ito 2008, "Color Universal Design"."""
INK, MUTED, FAINT, GRID, BACKGROUND = "#222222", "#666666", "#DDDDDD", "#EEEEEE", "#FFFFFF"
LABELS = {BLUE: "#006AA6", ORANGE: "#B04E00", GREEN: "#007A59", PINK: "#A3487C", INK: INK, MUTED: MUTED}
"""Colour of a mark -> the shade of it for text, which is small and needs more contrast."""
BLUE_TINT, GREEN_TINT, ORANGE_TINT = "#A6CEE4", "#66C5AB", "#F0C7A6"
"""For areas behind text or points."""
CLEAR = "rgba(0,0,0,0)"
PALETTE = frozenset(
    {*SET_COLORS, INK, MUTED, FAINT, GRID, BACKGROUND, *LABELS.values(), BLUE_TINT, GREEN_TINT, ORANGE_TINT, CLEAR}
)
"""All of the above."""
DARK = {
    BACKGROUND: "#121212",  # the page's own background
    INK: "#E3E3E3",
    MUTED: "#A0A0A0",
    FAINT: "#444444",
    GRID: "#2B2B2B",
    BLUE_TINT: "#35586C",
    GREEN_TINT: "#1F5E4F",
    ORANGE_TINT: "#6B4426",
    LABELS[BLUE]: "#5CB3E8",
    LABELS[ORANGE]: "#F5914A",
    LABELS[GREEN]: "#3DC49A",
    LABELS[PINK]: "#E3A3C6",
}
"""What the site draws for these on a dark page. The colours of sets stay: a reader knows a set by them."""
DIVERGING = ((0.0, ORANGE), (0.5, BACKGROUND), (1.0, BLUE))
"""For signed quantities: -1 orange, 0 white, 1 blue."""
SYMBOLS = ("circle", "square", "diamond", "x", "cross")
"""Of up to five series, for eyes that do not tell their colours apart."""

_AXIS = {
    "linecolor": MUTED,
    "showline": True,
    "gridcolor": GRID,
    "ticks": "outside",
    "tickcolor": MUTED,
    "zeroline": False,
    "exponentformat": "none",
    "separatethousands": True,
    "title": {"standoff": 8, "font": {"size": 13}},
    "tickfont": {"size": 12},
    "automargin": True,
}
_DEPTH = {
    "backgroundcolor": BACKGROUND,
    "gridcolor": GRID,
    "zerolinecolor": FAINT,
    "linecolor": MUTED,
    "tickcolor": MUTED,
    "tickfont": {"size": 12, "color": MUTED},
    "title": {"font": {"size": 14, "color": MUTED}},
    "showspikes": False,
}
_CONTROL = {"bgcolor": BACKGROUND, "bordercolor": MUTED, "font": {"color": INK}}
THEME: dict[str, Any] = {
    "layout": {
        "width": WIDTH,
        "font": {"family": "Helvetica, Arial, sans-serif", "size": 13, "color": INK},
        "title": {
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 14, "t": 14},
            "font": {"size": 16},
        },
        "colorway": SET_COLORS,
        "paper_bgcolor": BACKGROUND,
        "plot_bgcolor": BACKGROUND,
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "scene": {"xaxis": _DEPTH, "yaxis": _DEPTH, "zaxis": _DEPTH, "bgcolor": BACKGROUND},
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": CLEAR},
        "hoverlabel": {"bgcolor": BACKGROUND, "bordercolor": MUTED, "font": {"size": 12, "color": INK}},
        "modebar": {"bgcolor": CLEAR, "color": MUTED, "activecolor": INK},
        "sliderdefaults": {**_CONTROL, "activebgcolor": FAINT, "tickcolor": MUTED},
        "updatemenudefaults": _CONTROL,
    },
    "data": {
        "heatmap": [
            {"colorbar": {"thickness": 10, "outlinewidth": 0, "tickcolor": MUTED, "tickfont": {"size": 12}}},
        ],
        "bar": [{"marker": {"line": {"width": 0}}}],
    },
}


def inked(color: str, text: str) -> str:
    """Text in the colour of a mark; ValueError of one that has none for texts."""
    if str(color) not in LABELS:
        raise ValueError(f"color must be one of figures.style that has labels, got {color!r:.80}; try style.BLUE")
    return f"<span style='color: {LABELS[color]}'>{text}</span>"


@picture
def set_colors(sets: Sequence[Sequence[int]]) -> list[str]:
    """A colour for each set, which come again after four; sets of one feature all have the same."""
    return list(islice(cycle([BLUE] if max(map(len, sets), default=1) == 1 else SET_COLORS), len(sets)))


@picture
def colors_of(series: Mapping[str, Any], chosen: Sequence[str] | None = None) -> Sequence[str]:
    """A colour for each of at most five series."""
    colors = (*SET_COLORS, INK)
    if not 0 < len(series) <= len(colors):
        remedy = "split it in two" if series else "pass at least one"
        raise ValueError(f"a figure must have one to {len(colors)} series, got {len(series)}; {remedy}")
    if chosen is not None and len(chosen) != len(series):
        raise ValueError(f"colors must be one per series, got {len(chosen)} for {len(series)}; name one for each")
    if odd := [color for color in chosen or () if str(color) not in LABELS]:
        raise ValueError(f"colors must be those of figures.style that have labels, got {odd[0]!r}; try style.BLUE")
    return chosen or colors[: len(series)]
