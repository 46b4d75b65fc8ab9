"""Curves, intervals, points and bars over one axis: the numbers they draw, their names, and their ranges."""

import re

import numpy as np
import pytest
from plots import equal, plain

from toylib import figures
from toylib.figures import style
from toylib.reporting import Interval, interval_wilson

TEXTS = {"title": "Title", "x_title": "across", "y_title": "up"}
X = np.array([1.0, 10.0, 100.0])
SERIES = {"first": np.array([1.0, 0.1, 0.01]), "second": np.array([2.0, 0.2, 0.02])}
FEW = interval_wilson([True, False]), interval_wilson([True, True]), interval_wilson([False])
SHARES = {"a": list(FEW), "b": [interval_wilson([False] * 9 + [True])] * 3}
MEANS = {"a": [Interval(1, 0.5, 2), Interval(3, 2.5, 3.25)], "b": [Interval(2, 1, 4), Interval(0.5, 0.25, 1)]}
COUNTS = {"octahedron": [7, 0, 3], "pca": [1, 8, 5]}
ONE, TWO = np.random.default_rng(0).random((2, 2, 4))
TRADE = {
    name: tuple([Interval(v, v - 0.01, v + 0.03) for v in values] for values in xy)
    for name, xy in (("one", ONE), ("two", TWO))
}


def raises(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


# Lines


def test_lines_draws_its_series():
    figure = figures.lines(X, SERIES, **TEXTS).figure()
    for trace, (name, y) in zip(figure.data, SERIES.items(), strict=True):
        equal(trace.x, X)
        equal(trace.y, y)
        assert (trace.name, trace.mode) == (name, "lines")
    assert len({trace.line.color for trace in figure.data}) == 2
    assert figures.lines(X, SERIES, **TEXTS, markers=True).figure().data[0].mode == "lines+markers"
    alone = figures.lines([3.0], {"one": [0.5]}, **TEXTS).figure()
    assert (alone.data[0].mode, alone.layout.xaxis.range) == ("lines+markers", (2, 4))  # it has to be seen


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_dashed_levels_and_log_axes(log):
    dashed = {"level": 0.5, "curve": np.array([1.0, 2, 4])}
    figure = figures.lines(X, SERIES, **TEXTS, log=log, dashed=dashed, y_range=(0.01, 10)).figure()
    assert figure.layout.xaxis.type == ("log" if "x" in log else None)
    assert figure.layout.yaxis.type == ("log" if "y" in log else None)
    equal(figure.layout.xaxis.range, (0, 2) if "x" in log else (1, 100))
    equal(figure.layout.yaxis.range, (-2, 1) if "y" in log else (0.01, 10))
    level, curve = figure.data[2:]
    for trace, y, name in ((level, [0.5] * 3, "level"), (curve, [1, 2, 4], "curve")):
        assert (trace.name, trace.line.dash) == (name, "dash")
        equal(trace.x, X)
        equal(trace.y, y)


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
@pytest.mark.parametrize("draw", ["lines", "means"])
def test_each_curve_has_its_name_at_its_end(draw, log):
    """In the shade of its colour that is for text; a curve that stops early has it where it stops."""
    curves = {"first": [1.0, 0.1, np.nan], "second": [2.0, 0.2, 0.02]}
    levels = {"level": 0.5}
    if draw == "lines":
        drawing = figures.lines(X, curves, **TEXTS, log=log, dashed=levels, y_range=(0.01, 10))
    else:
        values = {name: [Interval(v, v, v) for v in y] for name, y in curves.items()}
        drawing = figures.means(X, values, **TEXTS, log=log, dashed=levels, y_range=(0.01, 10))
    layout = drawing.figure().layout
    notes = {note.text: note for note in layout.annotations}
    assert set(notes) == {*curves, *levels}
    assert layout.showlegend is False
    last = layout.xaxis.range[1]
    ends = {"first": (np.log10(10) if "x" in log else 10, 0.1), "second": (last, 0.02), "level": (last, 0.5)}
    for name, (x, y) in ends.items():
        assert notes[name].x == pytest.approx(x)
        assert notes[name].y == pytest.approx(np.log10(y) if "y" in log else y)
        assert notes[name].xanchor == "left"
    for name, colour in (("first", style.BLUE), ("second", style.ORANGE), ("level", style.MUTED)):
        assert notes[name].font.color == style.LABELS[colour]


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_shaded_stretches_reach_from_bottom_to_top_under_their_name(log):
    """On a logarithmic axis plotly wants shapes in units of the axis, and annotations in powers of ten."""
    stretches = {"early": (1, 4), "late": (25, 100)}
    drawing = figures.lines(X, SERIES, **TEXTS, log=log, shaded=stretches)
    layout = drawing.figure().layout
    assert len(layout.shapes) == len(stretches)
    notes = {note.text: note for note in layout.annotations}
    assert set(notes) == {*SERIES, *stretches}
    for band, (name, (first, last)) in zip(layout.shapes, stretches.items(), strict=True):
        assert (band.type, band.x0, band.x1, band.layer) == ("rect", first, last, "below")
        assert (band.yref, band.y0, band.y1) == ("y domain", 0, 1)
        assert (band.fillcolor, band.line.width) == (style.FAINT, 0)
        assert notes[name].x == pytest.approx(np.log10(first * last) / 2 if "x" in log else (first + last) / 2)
        assert (notes[name].yref, notes[name].y, notes[name].yanchor) == ("y domain", 1, "top")
        assert notes[name].xref is band.xref is None  # the axis
    without = figures.lines(X, SERIES, **TEXTS, log=log)
    assert plain(without)["layout"].get("shapes") is None
    assert plain(without)["data"] == plain(drawing)["data"]
    assert without.layout["margin"] == drawing.layout["margin"]


def test_a_range_by_default_holds_every_curve():
    for log, inside in (("", (0.0, 2.0)), ("y", np.log10([0.01, 2.0]))):
        low, high = figures.lines(X, SERIES, **TEXTS, log=log).figure().layout.yaxis.range
        assert low <= inside[0] + (log == "") * 0.01
        assert high > inside[1]


def test_a_logarithmic_axis_has_positive_values():
    with raises("on a logarithmic axis all values must be positive, got 0.0; leave it out"):
        figures.lines(X, SERIES, **TEXTS, log="y", dashed={"level": 0.0})
    with raises("on a logarithmic axis a level must be positive, got 0.0 for level; leave it out"):
        figures.lines(X, SERIES, **TEXTS, log="y", dashed={"level": 0.0}, y_range=(0.1, 1))


def test_chosen_colours():
    chosen = (style.INK, style.GREEN)
    assert [t.line.color for t in figures.lines(X, SERIES, **TEXTS, colors=chosen).figure().data] == list(chosen)
    for draw, values in ((figures.shares, SHARES), (figures.means, MEANS)):
        x, options = ([0.1, 0.2, 0.5], {}) if draw is figures.shares else ([1.5, 60], {"y_range": (0, 5)})
        figure = draw(x, values, **TEXTS, **options, colors=chosen).figure()
        assert [(t.marker.color, t.line.color, t.error_y.color) for t in figure.data] == [(c,) * 3 for c in chosen]
    with raises("colors must be one per series, got 1 for 2; name one for each"):
        figures.lines(X, SERIES, **TEXTS, colors=(style.INK,))


def many(draw, number):
    """Return a picture of so many series."""
    names = [str(k) for k in range(number)]
    if draw is figures.lines:
        return draw(X, dict.fromkeys(names, X), **TEXTS)
    if draw is figures.stacked:
        return draw([*"abc"], dict.fromkeys(names, (1, 2, 3)), **TEXTS)
    if draw is figures.trade:
        return draw(dict.fromkeys(names, TRADE["one"]), **TEXTS)
    if draw is figures.shares:
        return draw([0.1, 0.2, 0.5], dict.fromkeys(names, SHARES["a"]), **TEXTS)
    return draw([1.5, 60], dict.fromkeys(names, MEANS["a"]), **TEXTS, y_range=(0, 5))


@pytest.mark.parametrize("draw", [figures.lines, figures.stacked, figures.trade, figures.shares, figures.means])
def test_one_to_five_series(draw):
    traces = many(draw, 5).figure().data
    assert len({(trace.marker.color, trace.line.color if trace.type == "scatter" else None) for trace in traces}) == 5
    for number in (0, 6):
        remedy = "split it in two" if number else "pass at least one"
        with raises(f"a figure must have one to 5 series, got {number}; {remedy}"):
            many(draw, number)


@pytest.mark.parametrize(("values", "shape"), [([1.0, 2.0], "(2,)"), ([[1.0, 2, 3]], "(1, 3)"), (1.0, "()")])
def test_a_curve_has_a_value_for_each_x(values, shape):
    message = f"a curve must have a value for each of x (3,), got shape {shape} for odd; pass as many"
    with raises(message):
        figures.lines(X, {**SERIES, "odd": values}, **TEXTS)
    if shape != "()":  # a dashed number is a level
        with raises(message):
            figures.lines(X, SERIES, dashed={"odd": values}, **TEXTS)


def test_intervals_are_one_per_setting():
    with raises("a curve must have a value for each of x (2,), got shape (3,) for a; pass as many"):
        figures.shares([0.1, 0.2], SHARES, **TEXTS)
    with raises("a curve must have a value for each of x (3,), got shape (2,) for a; pass as many"):
        figures.means(X, MEANS, **TEXTS, y_range=(0, 5))


# Intervals


def test_shares_draws_points_with_their_intervals():
    figure = figures.shares([0.1, 0.2, 0.5], SHARES, **TEXTS).figure()
    for trace, (name, values) in zip(figure.data, SHARES.items(), strict=True):
        y = np.asarray(trace.y, float)
        equal(y, [v.count / v.total for v in values])
        np.testing.assert_allclose(y + trace.error_y.array, [v.high for v in values], atol=1e-6)
        np.testing.assert_allclose(y - trace.error_y.arrayminus, [v.low for v in values], atol=1e-6)
        np.testing.assert_allclose(trace.x, [0.1, 0.2, 0.5], rtol=0.03)
        assert trace.name == name
        assert list(trace.customdata) == [str(v) for v in values]
    assert not set(figure.data[0].x) & set(figure.data[1].x)  # intervals stand beside each other
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.tickvals == (0.1, 0.2, 0.5)
    assert figure.layout.xaxis.ticktext == ("0.1", "0.2", "0.5")
    assert figure.layout.yaxis.tickformat == ".0%"
    low, high = figure.layout.yaxis.range
    assert low < 0
    assert high > 1
    equal(figures.shares([0.1, 0.2, 0.5], {"a": SHARES["a"]}, **TEXTS).figure().data[0].x, [0.1, 0.2, 0.5])


def test_means_draws_points_with_their_intervals_at_their_settings():
    figure = figures.means([1.5, 60], MEANS, **TEXTS, y_range=(0, 5)).figure()
    for trace, (name, intervals) in zip(figure.data, MEANS.items(), strict=True):
        equal(trace.x, [1.5, 60])
        equal(trace.y, [v.value for v in intervals])
        equal(trace.error_y.array, [v.high - v.value for v in intervals])
        equal(trace.error_y.arrayminus, [v.value - v.low for v in intervals])
        assert trace.name == name
        assert list(trace.customdata) == [str(v) for v in intervals]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.tickvals == (2, 5, 10, 20, 50)
    assert figure.layout.yaxis.range == (0, 5)
    assert figure.layout.yaxis.type is None
    logarithmic = figures.means([1.5, 60], MEANS, **TEXTS, y_range=(0.1, 10), log="xy", ticks=[1.5, 60]).figure()
    assert logarithmic.layout.yaxis.type == "log"
    equal(logarithmic.layout.yaxis.range, [-1, 1])
    assert logarithmic.layout.xaxis.tickvals == (1.5, 60)
    assert logarithmic.layout.xaxis.ticktext == ("1.5", "60")


@pytest.mark.parametrize("log", ["", "y"])
def test_means_over_a_linear_setting_with_a_level(log):
    drawing = figures.means([0, 60], MEANS, **TEXTS, y_range=(0.1, 10), log=log, dashed={"level": 4.0})
    figure = drawing.figure()
    equal(figure.data[0].x, [0, 60])
    assert figure.layout.xaxis.type is None
    assert figure.layout.xaxis.tickvals is None
    (line,) = figure.layout.shapes
    assert line.y0 == line.y1 == 4
    assert (line.type, line.xref, line.x0, line.x1, line.yref) == ("line", "x domain", 0, 1, "y")
    equal(figure.layout.yaxis.range, np.log10([0.1, 10]) if log else [0.1, 10])


# Points and bars


def test_scatter_joins_the_means_of_named_groups():
    x, y = np.array([[1.0, 2], [3, 5], [6, 6]]), np.array([[4.0, 5], [6, 8], [7, 9]])
    figure = figures.scatter(x, y, ["one", "", "three"], **TEXTS).figure()
    path, points = figure.data
    equal(path.x, [1.5, 4, 6])
    equal(path.y, [4.5, 7, 8])
    equal(points.x, x.ravel())
    equal(points.y, y.ravel())
    assert (path.mode, points.mode) == ("lines", "markers")
    one, three = figure.layout.annotations
    assert (one.text, one.x, one.y) == ("one", 2, 4.5)
    assert (three.text, three.y) == ("three", 8)
    assert three.x == figure.layout.xaxis.range[1] > 6


def test_stacked_bars_count_kinds():
    figure = figures.stacked(["a", "b", "c"], COUNTS, **TEXTS).figure()
    for trace, (kind, values) in zip(figure.data, COUNTS.items(), strict=True):
        assert (trace.type, trace.name) == ("bar", kind)
        assert list(trace.x) == ["a", "b", "c"]
        assert list(trace.y) == values
    assert figure.layout.barmode == "stack"
    assert figure.layout.xaxis.type == "category"
    assert figure.layout.yaxis.range == (0, pytest.approx(1.04 * 8))


def test_a_histogram_counts_what_falls_into_each_bin():
    values = {"a": [0.0, 0.5, 1.0, 3.0, np.nan], "b": [2.5, 2.6, -1.0]}
    figure = figures.histogram(values, [0, 1, 2, 3], **TEXTS).figure()
    assert [(trace.type, trace.name, list(trace.y)) for trace in figure.data] == [
        ("bar", "a", [2, 1, 1]),  # the last bin has its upper edge
        ("bar", "b", [0, 0, 2]),
    ]
    equal(figure.data[0].x, [0.5, 1.5, 2.5])
    assert figure.layout.barmode == "group"
    assert figure.layout.xaxis.range == (0, 3)
    assert figure.layout.yaxis.range == (0, pytest.approx(1.04 * 2))
    assert figures.histogram({"none": [np.nan]}, [0, 1], **TEXTS).figure().layout.yaxis.range == (0, 1.04)
    with raises("edges must be two or more that rise, got [0.0]; a bin has two"):
        figures.histogram(values, [0], **TEXTS)


def test_a_trade_joins_its_points():
    drawing = figures.trade(TRADE, dashed={"floor": 0.4, "roof": 0.9}, label=list("pqrs"), start="begin", **TEXTS)
    figure = drawing.figure()
    for trace, name, (x, y) in zip(figure.data, TRADE, (ONE, TWO), strict=True):
        assert (trace.name, trace.mode) == (name, "lines+markers")
        equal(trace.x, x)
        equal(trace.y, y)
        for bars in (trace.error_x, trace.error_y):
            np.testing.assert_allclose(bars.array, [0.03] * 4, rtol=1e-5)
            np.testing.assert_allclose(bars.arrayminus, [0.01] * 4, rtol=1e-5)
        assert tuple(trace.customdata) == ("p", "q", "r", "s")
    assert figure.layout.xaxis.title.text == "across"
    assert figure.layout.yaxis.title.text == "up"
    assert [(line.y0, line.y1) for line in figure.layout.shapes] == [(0.4, 0.4), (0.9, 0.9)]
    floor, roof, begin = figure.layout.annotations
    assert [(note.text, note.y, note.xref) for note in (floor, roof)] == [
        ("floor", 0.4, "paper"),
        ("roof", 0.9, "paper"),
    ]
    assert (begin.text, begin.x, begin.y) == ("begin", *ONE[:, 0])
    for axis, values in ((figure.layout.xaxis, 0), (figure.layout.yaxis, 1)):
        assert axis.range[0] < min(ONE[values].min(), TWO[values].min()) - 0.01
        assert axis.range[1] > max(ONE[values].max(), TWO[values].max()) + 0.03
    without = plain(figures.trade(TRADE, **TEXTS))
    assert without["layout"].get("shapes", without["layout"].get("annotations", [])) == []
    assert not any("customdata" in trace for trace in without["data"])


def test_scatter_without_names_has_no_legend():
    drawing = figures.scatter([[1, 2], [3, 4]], [[1, 2], [3, 4]], ["", ""], title="t", x_title="x", y_title="y")
    assert drawing.figure().layout.showlegend is False
