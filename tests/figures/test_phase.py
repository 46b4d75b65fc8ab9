"""A phase diagram: stacked shares over curves, on one axis."""

import re

import numpy as np
import pytest
from plots import equal

from toylib import figures
from toylib.figures import style

X = np.array([0.01, 0.1, 0.5])
SHARES = {"octahedron": [1.0, 0.75, 0.0], "lines": [0.0, 0.25, 0.875]}
CURVES = {"up": ([0.03, 0.1, 0.6], [1.0, 0.9, 0.8]), "down": ([0.6, 0.2], [0.5, 0.7])}
TEXTS = {"title": "Title", "x_title": "across", "y_titles": ("share", "loss")}
PICTURES = {
    "phase_diagram": (
        (X, SHARES, CURVES),
        {**TEXTS, "shaded": {"both": (0.1, 0.5)}},
        4,
        {"", "across"},
        {"share", "loss"},
    )
}


def drawn(**changes):
    arguments = {"x": X, "shares": SHARES, "curves": CURVES, **TEXTS} | changes
    return figures.phase_diagram(**arguments).figure()


def test_shares_are_stacked_above_the_curves():
    octahedron, lines, up, down = drawn().data
    for trace, (kind, values) in zip((octahedron, lines), SHARES.items(), strict=True):
        assert (trace.name, trace.stackgroup, trace.yaxis) == (kind, "shares", "y")
        equal(trace.x, X)
        equal(trace.y, values)
    for trace, (name, (x, y)) in zip((up, down), CURVES.items(), strict=True):
        assert (trace.name, trace.stackgroup, trace.yaxis, trace.showlegend) == (name, None, "y2", False)
        equal(trace.x, x)
        equal(trace.y, y)
    layout = drawn().layout
    assert layout.yaxis.domain[0] > layout.yaxis2.domain[1]


def test_both_panels_have_one_axis_of_settings():
    """It holds every point of either panel."""
    layout = drawn().layout
    assert layout.xaxis.type == layout.xaxis2.type == "log"
    assert layout.xaxis.range == layout.xaxis2.range
    low, high = layout.xaxis.range
    assert low < np.log10(0.01) < np.log10(0.6) < high
    assert layout.yaxis.range == (0, 1)


def test_a_name_stands_beside_the_end_of_its_curve():
    """At its largest setting, whatever the order in which the points come."""
    notes = {note.text: note for note in drawn().layout.annotations}
    assert notes["up"].y == pytest.approx(0.8)
    assert notes["down"].y == pytest.approx(0.5)
    assert {note.xref for note in notes.values()} == {"x2 domain"}


def test_a_stretch_is_shaded_behind_the_curves():
    layout = drawn(shaded={"both": (0.1, 0.4)}).layout
    (band,) = layout.shapes
    assert (band.x0, band.x1, band.xref, band.layer) == (0.1, 0.4, "x2", "below")
    note = layout.annotations[-1]
    assert (note.text, note.xref) == ("both", "x2")
    assert note.x == pytest.approx(np.log10(0.2))


def test_colours_of_curves_can_be_chosen():
    assert [trace.line.color for trace in drawn(colors=[style.INK, style.PINK]).data[2:]] == [style.INK, style.PINK]
    assert [trace.fillcolor for trace in drawn().data[:2]] == [style.BLUE, style.ORANGE]


SUM = "shares must be at least 0 and add up to at most 1, got {}; divide by all models"
ORDER = "x must be positive and increasing, got others; sort the settings"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[::-1]}, ORDER),
        ({"x": [0, 0.1, 0.2]}, ORDER),
        ({"x": []}, "x must have shape (any), none empty, got (0,); pass what belongs together"),
        ({"shares": {"a": [1, 1, 1], "b": [0, 0.5, 0]}}, SUM.format("a sum of 1.5")),
        ({"shares": {"a": [-0.1, 1, 1]}}, SUM.format("a share of -0.1")),
        (
            {"shares": {"a": [1, 1]}},
            "shares of a must have shape (3), none empty, got (2,); pass what belongs together",
        ),
        ({"shares": {}}, "a figure must have one to 5 series, got 0; pass at least one"),
        ({"curves": {}}, "a figure must have one to 5 series, got 0; pass at least one"),
        (
            {"curves": {"a": ([1, 2], [1])}},
            "y of a must have shape (2), none empty, got (1,); pass what belongs together",
        ),
        (
            {"curves": {"a": ([0, 2], [1, 1])}},
            "on a logarithmic axis all values must be positive, got 0.0; leave it out",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        drawn(**changes)
