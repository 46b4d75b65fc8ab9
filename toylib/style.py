"""One visual language for every figure: five colours that colour-blind readers can tell apart, one template, 700 px."""

import numpy as np
import plotly.graph_objects as go

WIDTH = 700
SET_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""A feature set keeps its colour in every figure."""
INK, MUTED, FAINT = "#222222", "#777777", "#DDDDDD"
DIVERGING = ((0.0, "#D55E00"), (0.5, "#FFFFFF"), (1.0, "#0072B2"))
"""For signed quantities: -1 orange, 0 white, 1 blue."""
SEQUENTIAL = ((0.0, "#FFFFFF"), (1.0, "#0072B2"))

_AXIS = {
    "linecolor": MUTED,
    "showline": True,
    "gridcolor": "#EEEEEE",
    "ticks": "outside",
    "tickcolor": MUTED,
    "zeroline": False,
    "title": {"standoff": 8, "font": {"size": 13}},
    "tickfont": {"size": 12},
    "automargin": True,
}
TEMPLATE = go.layout.Template(
    layout={
        "width": WIDTH,
        "font": {"family": "Helvetica, Arial, sans-serif", "size": 13, "color": INK},
        "title": {"x": 0.02, "xanchor": "left", "font": {"size": 16}},
        "colorway": SET_COLORS,
        "paper_bgcolor": "#FFFFFF",
        "plot_bgcolor": "#FFFFFF",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 60, "r": 20, "t": 60, "b": 50},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(255,255,255,0)"},
        "hoverlabel": {"font": {"size": 12}},
    }
)


def heatmap(matrix: np.ndarray, limit: float) -> dict:
    """A signed matrix as a trace, a heat map from -limit to limit; rows and columns count from 1."""
    rows, columns = np.shape(matrix)
    return {
        "type": "heatmap",
        "z": f4(matrix),
        "x": np.arange(1, columns + 1),
        "y": np.arange(1, rows + 1),
        "zmin": -limit,
        "zmax": limit,
        "colorscale": DIVERGING,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"thickness": 10},
        "hovertemplate": "row %{y}, column %{x}: %{z:.2f}<extra></extra>",
    }


def log_ticks(log: str) -> dict:
    """Ticks at powers of ten for a logarithmic y axis; `log` as in `figures.lines`."""
    return {"dtick": 1, "exponentformat": "power"} if "y" in log else {}


def f4(values: np.ndarray) -> np.ndarray:
    """Plotted data: single precision, which halves a stored figure and is more than a pixel can show."""
    return np.asarray(values, np.float32)


DARK = {
    "#FFFFFF": "#121212",  # the page's own background
    INK: "#E3E3E3",
    MUTED: "#A0A0A0",
    FAINT: "#444444",
    "#EEEEEE": "#2B2B2B",
    # tints: areas behind text or points
    "#A6CEE3": "#35586C",
    "#A6CEE4": "#35586C",
    "#66C5AB": "#1F5E4F",
    "#F0C7A6": "#6B4426",
    # shades of the sets' orange, green and pink for text
    "#B04E00": "#F5914A",
    "#007A59": "#3DC49A",
    "#A3487C": "#E3A3C6",
}
"""What the site draws for these on a dark page. The colours of sets stay: a reader knows a set by them."""
