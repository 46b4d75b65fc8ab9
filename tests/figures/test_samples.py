"""Samples as pictures, spectra and signed matrices: the numbers they draw, and where."""

import numpy as np
import pytest
from plots import equal

from toylib import figures
from toylib.figures import style

rng = np.random.default_rng(0)
SPECTRA = {"one": np.array([3.0, 1, 1]), "two": np.array([2.0, 2, 1])}
MEASURED = {"one": np.array([3.1, 1.2, 0.8]), "two": np.array([2.1, 1.9, 1.1])}
MATRICES = {"W": rng.normal(size=(2, 3)), "gram": rng.normal(size=(3, 3))}


def test_gallery_draws_samples_as_columns_and_features_as_rows():
    samples = {"one": (rng.random((4, 3)), [(0, 2), (1,)]), "two": (rng.random((4, 5)), [(k,) for k in range(5)])}
    figure = figures.gallery(samples, title="Title").figure()
    traces = list(figure.data)
    for panel, (x, sets) in enumerate(samples.values()):
        for i, members in enumerate(sets):
            trace = traces.pop(0)
            equal(trace.z, [[x[s, j] for s in range(4)] for j in members])
            equal(trace.x, [1, 2, 3, 4])
            equal(trace.y, [j + 1 for j in members])
            assert (trace.zmin, trace.zmax) == (0, 1)
            assert trace.colorscale == ((0, "#FFFFFF"), (1, style.SET_COLORS[i % 4]))
            assert trace.xaxis == ("x", "x2")[panel]
            assert trace.yaxis == ("y", "y2")[panel]
    assert traces == []
    assert [a.text for a in figure.layout.annotations] == ["one", "two"]
    assert figure.layout.yaxis.autorange == figure.layout.yaxis2.autorange == "reversed"


def test_distributions_of_a_gallery_stand_in_two_rows():
    layout = figures.gallery({f"{k}": (np.ones((2, 1)), [(0,)]) for k in range(4)}, title="Title").figure().layout
    numbers = ("", "2", "3", "4")
    across, down = ([layout[f"{letter}axis{number}"] for number in numbers] for letter in "xy")
    assert [axis.title.text for axis in across] == ["", "", "sample", "sample"]
    assert [axis.title.text for axis in down] == ["feature", "", "feature", ""]
    assert [axis.domain[0] == 0 for axis in across] == [True, False, True, False]
    assert [axis.domain[1] == 1 for axis in down] == [True, True, False, False]
    assert [note.xref for note in layout.annotations] == [f"x{number} domain" for number in numbers]


def test_one_distribution_of_a_gallery_has_the_whole_width():
    layout = figures.gallery({"one": (np.ones((2, 1)), [(0,)])}, title="Title").figure().layout
    assert layout.xaxis.domain == layout.yaxis.domain == (0, 1)
    assert (layout.xaxis.title.text, layout.yaxis.title.text) == ("sample", "feature")


@pytest.mark.parametrize("number", [0, 5])
def test_a_gallery_shows_one_to_four_distributions(number):
    message = f"^a gallery must show one to four distributions, got {number}; split it in two$"
    with pytest.raises(ValueError, match=message):
        figures.gallery({f"{k}": (np.ones((2, 1)), [(0,)]) for k in range(number)}, title="Title")


def test_spectra_draws_bars_and_points():
    bars, points = {}, {}
    figure = figures.spectra(SPECTRA, MEASURED, title="Title").figure()
    for trace in figure.data:
        (bars if trace.type == "bar" else points)[trace.xaxis] = trace
    for axis, name in (("x", "one"), ("x2", "two")):
        for found, expected in ((bars, SPECTRA), (points, MEASURED)):
            equal(found[axis].x, [1, 2, 3])
            equal(found[axis].y, expected[name])
    assert (bars["x"].name, points["x"].name) == ("closed form", "measured")
    assert [t.showlegend for t in (bars["x"], points["x"], bars["x2"], points["x2"])] == [True, True, False, False]
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range == (0, pytest.approx(1.06 * 3.1))
    assert [note.text for note in figure.layout.annotations] == list(SPECTRA)


def test_matrices_draws_signed_values_with_one_scale():
    texts = {"title": "Title", "x_title": "across", "y_title": "up"}
    figure = figures.matrices(MATRICES, **texts, limit=2.5).figure()
    for trace, (name, matrix), note in zip(figure.data, MATRICES.items(), figure.layout.annotations, strict=True):
        equal(trace.z, matrix)
        equal(trace.x, np.arange(matrix.shape[1]) + 1)
        equal(trace.y, np.arange(matrix.shape[0]) + 1)
        assert (trace.zmin, trace.zmax) == (-2.5, 2.5)
        assert note.text == name
        assert trace.colorscale[1] == (0.5, "#FFFFFF")
    assert [trace.showscale for trace in figure.data] == [False, True]
    assert figure.layout.yaxis.autorange == figure.layout.yaxis2.autorange == "reversed"
    assert [figure.layout[f"yaxis{number}"].title.text for number in ("", "2")] == ["up", ""]


# Tables and linked results

AT = np.array([1.0, 10, 100])
TITLES = {"title": "Title", "x_title": "across"}
ABOVE, BELOW = ("F", [1.0, 2, 3]), ("V", [1.0, 4, 2])
TABLES = {"one": np.array([[0.1, 0.25, 1.0], [-0.004, np.nan, 0.5]]), "two": np.full((2, 3), 0.7)}
ROWS, COLUMNS = ["F", "the law"], ["fixed", "moved", "cut"]
PICTURES = {
    "graded": (
        (TABLES, ROWS, COLUMNS),
        {"title": "Title", "x_title": "across", "y_title": "up"},
        2,
        {"", "across"},
        {"up"},
    ),
    "linked": ((AT, ABOVE, BELOW), {"at": 10.0, **TITLES}, 9, {"", "across", "F"}, {"F", "V"}),
}


def test_linked_panels_draw_two_curves_and_their_scatter():
    levels = {"pairs": 2.0}
    figure = figures.linked(AT, ABOVE, BELOW, at=10, title="Title", x_title="across", levels=levels).figure()
    expected = [(AT, ABOVE[1]), (AT, BELOW[1]), (ABOVE[1], BELOW[1])]
    for i, (x, y) in enumerate(expected):
        line, points, ring = figure.data[3 * i : 3 * i + 3]
        for trace in (line, points):
            equal(trace.x, x)
            equal(trace.y, y)
        assert list(points.marker.opacity) == [1, 1, 0.25]
        assert (list(ring.x), list(ring.y)) == ([x[1]], [y[1]])
        assert {trace.xaxis for trace in (line, points, ring)} == {f"x{i + 1}" if i else "x"}
    assert [shape.y0 for shape in figure.layout.shapes] == [2]
    assert [note.text for note in figure.layout.annotations] == ["pairs"]
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"


def test_linked_panels_scrub_with_fixed_ranges():
    drawing = figures.frames(
        lambda value: figures.linked(AT, ABOVE, BELOW, at=value, title="Title", x_title="across"), value=list(AT)
    )
    assert len(drawing.frames) == 3
    assert all(not frame.get("layout") for frame in drawing.frames)


def test_linked_panels_are_at_a_value_of_the_setting():
    with pytest.raises(ValueError, match=r"^at must be one of x, got 3; pass one of 1, 10, 100$"):
        figures.linked(AT, ABOVE, BELOW, at=3, title="Title", x_title="across")


def test_graded_tables_say_their_numbers_and_stand_one_below_the_other():
    figure = figures.graded(TABLES, ROWS, COLUMNS, **TITLES, y_title="up").figure()
    for trace, (name, table), note in zip(figure.data, TABLES.items(), figure.layout.annotations, strict=True):
        equal(trace.z, table)
        assert (list(trace.y), list(trace.x)) == (ROWS, COLUMNS)
        assert (trace.zmin, trace.zmax) == (0, 1)
        assert note.text == name
    assert [list(line) for line in figure.data[0].text] == [["0.10", "0.25", "1.00"], ["0.00", "", "0.50"]]
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
    assert (figure.layout.xaxis.showticklabels, figure.layout.xaxis2.showticklabels) == (False, True)


def test_graded_tables_have_the_shape_of_their_names():
    with pytest.raises(ValueError, match=r"with a number, got 0 tables of 2 rows and 3 columns; pass name -> table$"):
        figures.graded({}, ROWS, COLUMNS, **TITLES, y_title="up")
    with pytest.raises(ValueError, match=r"^one must have shape"):
        figures.graded({"one": np.ones((3, 2))}, ROWS, COLUMNS, **TITLES, y_title="up")
