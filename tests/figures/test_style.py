"""The palette for eyes that see colours in other ways, text that contrasts, and the theme."""

import json
import re
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import pytest
from plots import colours

from toylib.figures import style

# Linear RGB as those see it who lack one kind of cone. Machado, Oliveira and Fernandes 2009, "A Physiologically-based
# Model for Simulation of Color Vision Deficiency", severity 1.
SIGHT = {
    "every cone": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# From linear RGB (sRGB primaries) to CIE XYZ; white is D65.
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour):
    """Return the linear RGB of "#RRGGBB"."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Return CIE L*a*b*: a distance of 2.3 can just be noticed."""
    ratio = XYZ @ np.clip(rgb, 0, 1) / (XYZ @ np.ones(3))
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(first, second):
    """Return the contrast ratio of WCAG 2."""
    dark, light = sorted(float(XYZ[1] @ linear(colour)) for colour in (first, second))
    return (light + 0.05) / (dark + 0.05)


def least_distance(palette, sight):
    seen = [lab(np.array(SIGHT[sight]) @ linear(colour)) for colour in palette]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_differ_for_every_eye(sight):
    """Of curves, of their names beside them, and of areas: far more than can just be noticed."""
    assert least_distance([*style.SET_COLORS, style.INK], sight) > 15
    assert least_distance([style.LABELS[c] for c in (*style.SET_COLORS, style.INK)], sight) > 10
    assert least_distance([style.BLUE_TINT, style.GREEN_TINT, style.ORANGE_TINT, style.BACKGROUND], sight) > 10


def test_red_and_green_would_not_do():
    """The distances that the palette is held to say something."""
    assert least_distance(["#D62728", "#2CA02C"], "every cone") > 100
    assert least_distance(["#B35900", "#6B8E00"], "deuteranopia") < 15


def test_text_contrasts_with_what_is_behind():
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for marks."""
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    for colour in style.LABELS.values():
        assert contrast(colour, style.BACKGROUND) >= 4.5
    for tint in (style.BLUE_TINT, style.GREEN_TINT, style.ORANGE_TINT, style.FAINT):
        assert contrast(style.INK, tint) >= 4.5
    for colour in style.SET_COLORS:
        assert contrast(colour, style.BACKGROUND) >= 3


def test_palette():
    assert len({*style.SET_COLORS, style.INK}) == 5
    assert set(style.LABELS) == {*style.SET_COLORS, style.INK, style.MUTED}
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in style.PALETTE - {style.CLEAR})
    assert list(style.DIVERGING) == [(0.0, style.ORANGE), (0.5, style.BACKGROUND), (1.0, style.BLUE)]


def test_plotly_takes_the_theme_and_changes_nothing():
    """Figures hold it as it is written, and an explorer sends it unchecked."""
    template = go.layout.Template(style.THEME).to_plotly_json()
    for trace in (trace for traces in template["data"].values() for trace in traces):
        trace.pop("type")  # plotly's own addition
    assert json.loads(json.dumps(template)) == json.loads(json.dumps(style.THEME))
    assert style.THEME["layout"]["width"] == style.WIDTH == 700
    assert colours(style.THEME) <= style.PALETTE
    assert {style.INK, style.MUTED, style.GRID, style.BACKGROUND} <= colours(style.THEME)


def test_colours_are_found_wherever_they_stand():
    figure = go.Figure([{"type": "heatmap", "colorscale": [(0, "#ABCDEF"), (1, "rgb(1,2,3)")]}])
    figure.add_scatter(y=[1], marker={"color": ["gold", "#123456"]}, text="#notacolour", error_y={"color": "tan"})
    figure.add_annotation(text="<span style='color: navy'>x</span> and <b style=\"color:#00F\">y</b>")
    figure.frames = [go.Frame(data=[{"type": "scatter", "line": {"color": "teal"}}])]
    figure.layout.template = go.layout.Template(layout={"plot_bgcolor": "ivory", "colorway": ["pink"]})
    expected = {"#ABCDEF", "rgb(1,2,3)", "gold", "#123456", "tan", "navy", "#00F", "teal", "ivory", "pink"}
    assert colours(figure.to_plotly_json()) == expected
    assert colours({"marker": {"colorscale": "Cividis"}}) == {"Cividis"}
