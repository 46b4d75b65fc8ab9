"""Axes, panels and heat maps; names beside curves: where they stand, and that they keep off each other."""

import itertools
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plots import equal

from toylib.figures import style
from toylib.figures._drawing import f4
from toylib.figures._layout import (
    Label,
    Panel,
    apart,
    around,
    axis,
    beside,
    framed,
    heatmap,
    level,
    log_axis,
    panels,
)
from toylib.figures.style import colors_of, inked


def raises(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_f4():
    assert f4([1, 2]).dtype == np.float32


def test_a_layout_has_theme_title_and_height():
    assert framed("Title", 300, showlegend=False) == {
        "template": style.THEME,
        "title": {"text": "Title"},
        "height": 300,
        "showlegend": False,
    }


# Axes


def test_an_axis_has_a_range_in_its_units():
    assert axis("up", (0, np.float32(2))) == {"title": {"text": "up"}, "range": [0.0, 2.0]}
    assert axis("up", dtick=1) == {"title": {"text": "up"}, "dtick": 1}
    assert axis("up", (1, 10), log=True, showgrid=False) == {
        "title": {"text": "up"},
        **log_axis((1, 10)),
        "showgrid": False,
    }


@pytest.mark.parametrize(
    ("limits", "ticks"),
    [
        ((1, 10), ["1", "2", "5", "10"]),
        ((0.009, 0.3), ["0.01", "0.02", "0.05", "0.1", "0.2"]),
        ((10, 10_000), ["10", "100", "1,000", "10,000"]),
        ((1e-6, 1), ["10<sup>−6</sup>", "10<sup>−5</sup>", "10<sup>−4</sup>", "0.001", "0.01", "0.1", "1"]),
        ((1e-5, 1e-4), ["10<sup>−5</sup>", "2·10<sup>−5</sup>", "5·10<sup>−5</sup>", "10<sup>−4</sup>"]),
    ],
)
def test_ticks_of_a_logarithmic_axis(limits, ticks):
    axis = log_axis(limits)
    assert axis["ticktext"] == ticks
    assert axis["type"] == "log"
    assert 10 ** np.array(axis["range"]) == pytest.approx(limits)
    said = [
        eval(t.replace(",", "").replace("·10<sup>−", "e-").replace("10<sup>−", "1e-").replace("</sup>", ""))
        for t in ticks
    ]
    assert axis["tickvals"] == pytest.approx(said)


def test_a_range_around_values_holds_them_with_a_margin():
    assert around(np.array([0.0, 1.0, 2.0])) == pytest.approx((-0.1, 2.1))
    assert around(np.array([3.0, 3.0])) == (2, 4)
    assert around(np.array([3.0]), margin=0) == (2, 4)  # one place has a width too
    assert around(np.array([1.0, 100.0]), log=True) == pytest.approx((10**-0.1, 10**2.1))
    for least in (0.0, -1.0):
        with raises(f"on a logarithmic axis all values must be positive, got {least}; leave it out"):
            around(np.array([least, 1.0]), log=True)


# Panels


@given(st.integers(1, 12), st.integers(1, 4), st.floats(0, 0.2), st.floats(0, 0.1))
def test_panels_have_one_size_and_stand_in_rows_from_the_top_left(number, columns, across, down):
    found = panels(number, columns, (across, down))
    rows = -(-number // columns)
    assert [panel.number for panel in found] == ["", *map(str, range(2, number + 1))]
    size = (1 - across * (columns - 1)) / columns, (1 - down * (rows - 1)) / rows
    for i, panel in enumerate(found):
        row, column = divmod(i, columns)
        assert 0 <= panel.x[0] < panel.x[1] <= 1  # plotly takes nothing outside, not by rounding either
        assert 0 <= panel.y[0] < panel.y[1] <= 1
        assert (panel.x[1] - panel.x[0], panel.y[1] - panel.y[0]) == pytest.approx(size)
        assert panel.x[0] == pytest.approx(column * (size[0] + across))
        assert panel.y[1] == pytest.approx(1 - row * (size[1] + down))
        assert (panel.x[0] == 0) == (column == 0)  # exactly: pictures ask which panels are leftmost and lowest
        assert (panel.y[0] == 0) == (row == rows - 1)


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.025, 0.03, 0.05, 0.08])
def test_rounding_brings_no_panel_past_an_edge(gap):
    for number in range(1, 13):
        for panel in (*panels(number, number, (gap, 0.0)), *panels(number, 1, (0.0, gap))):
            go.Layout(panel.axes({}, {}))
            assert all(0 <= edge <= 1 for edge in (*panel.x, *panel.y))


def test_a_row_of_panels_fills_the_figure():
    left, middle, right = panels(3, 3, (0.05, 0.0))
    assert (left.x[0], right.x[1]) == (0, 1)
    assert middle.x[0] - left.x[1] == pytest.approx(0.05)
    assert right.x[0] - middle.x[1] == pytest.approx(0.05)
    assert all(panel.y == (0, 1) for panel in (left, middle, right))


def test_what_is_drawn_on_a_panel_refers_to_its_axes():
    first, third = Panel("", (0.0, 0.5), (0.25, 1.0)), Panel("3", (0.5, 1.0), (0.0, 1.0))
    assert first.refs == {"xaxis": "x", "yaxis": "y"}
    assert third.refs == {"xaxis": "x3", "yaxis": "y3"}
    assert first.axes({}, {"dtick": 1}) == {
        "xaxis": {"domain": [0.0, 0.5], "anchor": "y"},
        "yaxis": {"domain": [0.25, 1.0], "anchor": "x", "dtick": 1},
    }
    axes = third.axes({"anchor": "y5"}, {})
    assert set(axes) == {"xaxis3", "yaxis3"}
    assert (axes["xaxis3"]["anchor"], axes["yaxis3"]["anchor"]) == ("y5", "x3")
    above = third.text("name")
    assert (above["text"], above["xref"], above["yref"]) == ("name", "x3 domain", "y3 domain")
    assert (above["x"], above["xanchor"], above["y"], above["yanchor"]) == (0.5, "center", 1, "bottom")
    assert third.text("name", x=3, xref="x3") == {**above, "x": 3, "xref": "x3"}
    go.Layout({**first.axes({}, {}), **axes, "annotations": [above]})


# Marks


def test_a_heat_map_counts_rows_and_columns_from_1():
    trace = heatmap(np.array([[1.0, -2, 3], [4, 5, 6]]), 2.5, showscale=False, xgap=0)
    assert (trace["type"], trace["zmin"], trace["zmax"]) == ("heatmap", -2.5, 2.5)
    equal(trace["z"], [[1, -2, 3], [4, 5, 6]])
    equal(trace["x"], [1, 2, 3])
    equal(trace["y"], [1, 2])
    assert trace["colorscale"] == style.DIVERGING
    assert (trace["showscale"], trace["xgap"]) == (False, 0)
    go.Figure([trace])


def test_text_has_the_shade_for_text():
    assert inked(style.ORANGE, "δ") == f"<span style='color: {style.LABELS[style.ORANGE]}'>δ</span>"


def test_a_level_is_a_dashed_line_across():
    line = go.Figure(layout={"shapes": [level(0.4)]}).layout.shapes[0]
    assert (line.type, line.x0, line.x1, line.xref) == ("line", 0, 1, "x domain")
    assert (line.y0, line.y1, line.yref, line.line.dash) == (0.4, 0.4, "y", "dash")
    assert level(0.4, xref="x2 domain", yref="y2") == {**level(0.4), "xref": "x2 domain", "yref": "y2"}


def test_series_have_a_colour_each():
    five = dict.fromkeys("abcde")
    assert list(colors_of(five)) == [*style.SET_COLORS, style.INK]
    assert list(colors_of({"a": 1})) == [style.BLUE]
    assert colors_of({"a": 1, "b": 2}, [style.PINK, style.INK]) == [style.PINK, style.INK]
    for number in (0, 6):
        remedy = "split it in two" if number else "pass at least one"
        with raises(f"a figure must have one to 5 series, got {number}; {remedy}"):
            colors_of(dict.fromkeys(range(number)))
    with raises("colors must be one per series, got 3 for 5; name one for each"):
        colors_of(five, [*"abc"])


# Names


def drawn(*labels, height=400, **rest):
    layout = {"height": height, "margin": {"l": 60, "t": 50, "b": 50}, **rest}
    given = {**layout, "xaxis": {"range": (0, 10)}, "yaxis": {"range": (0, 1)}}
    before = repr(given)
    made = beside(given, labels)
    assert repr(given) == before
    assert all(made[name] == given[name] for name in given if name not in ("annotations", "margin"))
    return go.Figure(layout=made)


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


def test_other_texts_and_margins_are_kept():
    figure = drawn(Label("x", style.BLUE, 1, 1), annotations=[{"text": "there"}], margin={"t": 80})
    assert [note.text for note in figure.layout.annotations] == ["there", "x"]
    assert figure.layout.margin.to_plotly_json() == {"l": 60, "t": 80, "b": 50, "r": 20}


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_a_label_stands_at_the_last_point_that_is_a_number(log):
    x, y = np.array([1.0, 10, 100]), np.array([5.0, 0.1, np.nan])
    at = 1 if "x" in log else 10, -1 if "y" in log else 0.1
    assert Label.at_end("name", style.BLUE, x, y, log) == ("name", style.BLUE, *map(pytest.approx, at))
    assert Label.at_end("name", style.BLUE, x, y * np.nan, log).text == ""
    if "y" in log:
        with raises("on a logarithmic axis a level must be positive, got 0.0 for name; leave it out"):
            Label.at_end("name", style.BLUE, x, 0 * x, log)


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


@given(st.lists(st.tuples(st.floats(0, 300), st.booleans()), min_size=1, max_size=8))
def test_labels_of_two_columns_are_placed_as_if_each_were_alone(labels):
    wanted, x = [at for at, _ in labels], [200.0 * right for _, right in labels]
    placed = apart(wanted, x, [50.0] * len(labels), 300)
    for column in (0.0, 200.0):
        of = [i for i in range(len(labels)) if x[i] == column]
        alone = apart([wanted[i] for i in of], [column] * len(of), [50.0] * len(of), 300)
        assert [placed[i] for i in of] == pytest.approx(alone)
