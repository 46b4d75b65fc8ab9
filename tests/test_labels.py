"""Names beside curves: where they stand, and that they keep off each other."""

import itertools

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toylib import style
from toylib.labels import Label, apart, beside


def drawn(*labels, height=400):
    layout = {"height": height, "margin": {"l": 60, "t": 50, "b": 50}}
    return beside(go.Figure(layout={**layout, "xaxis": {"range": (0, 10)}, "yaxis": {"range": (0, 1)}}), labels)


def heights(figure):
    """Return how far each label stands below the top of the axes, in pixels."""
    inner = figure.layout.height - 100
    return [(1 - note.y) * inner - note.yshift for note in figure.layout.annotations]


def test_a_lone_label_stands_beside_its_point():
    figure = drawn(Label("name", style.GREEN, 4, 0.25))
    (note,) = figure.layout.annotations
    assert (note.text, note.x, note.y, note.yshift, note.xanchor) == ("name", 4, 0.25, 0, "left")
    assert note.xshift > 0
    assert note.font.color == style.LABELS[style.GREEN]
    assert figure.layout.showlegend is False
    assert figure.layout.margin.r == 20  # there is room in the axes


def test_names_of_curves_that_reach_the_end_stand_outside_of_the_axes():
    figure = drawn(Label("short", style.BLUE, 10, 0.9), Label("a longer name", style.PINK, 9.8, 0.1))
    assert [note.x for note in figure.layout.annotations] == [10, 10]
    assert figure.layout.margin.r > 6 * len("a longer name")


def test_points_out_of_range_have_their_name_at_the_edge():
    above, below = drawn(Label("a", style.BLUE, 10, 7.0), Label("b", style.BLUE, 10, -7.0)).layout.annotations
    assert (above.y, below.y) == (1, 0)


def test_labels_without_text_are_left_out():
    figure = drawn(Label("", style.BLUE, 1, 1))
    assert figure.layout.annotations == ()
    assert len(drawn(Label("", style.BLUE, 1, 1), Label("x", style.BLUE, 1, 1)).layout.annotations) == 1


def test_names_of_curves_that_end_together_stand_under_each_other():
    figure = drawn(*(Label(str(k), style.INK, 10, 0.5 + 0.001 * k) for k in range(5)))
    placed = heights(figure)
    assert placed == sorted(placed, reverse=True)  # the highest curve has the highest name
    gaps = [a - b for a, b in itertools.pairwise(placed)]
    assert gaps == pytest.approx([15] * 4, abs=0.3)
    assert sum(placed) / 5 == pytest.approx(150, abs=2)


def test_labels_that_do_not_meet_may_be_level():
    assert apart([50, 50], [0, 200], [100, 100], 300) == [50, 50]


@given(st.lists(st.floats(0, 300), min_size=1, max_size=8))
def test_labels_never_cover_each_other(wanted):
    placed = apart(wanted, [0.0] * len(wanted), [50.0] * len(wanted), 300)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    assert all(placed[j] - placed[i] > 14 for i, j in itertools.pairwise(order))
    assert all(-0.1 <= at <= 300.1 for at in placed)
