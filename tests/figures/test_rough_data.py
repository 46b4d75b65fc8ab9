"""What pictures say of data that cannot be drawn: empty, of other lengths or ranks, not finite, without a colour."""

import re

import numpy as np
import pytest

from toylib import figures
from toylib.reporting import Interval, interval_wilson

TEXTS = {"title": "t", "x_title": "x", "y_title": "y"}
SHARE, MEAN = interval_wilson([True, False]), Interval(1.0, 0.5, 1.5)
RAGGED = [[1, 2], [3]]


def must(name, shape, came):
    return f"{name} must have shape ({shape}), none empty, got {came}; pass what belongs together"


def lines(x, series, **options):
    return figures.lines(x, series, **TEXTS | options)


def blocks(groups):
    return figures.blocks(np.ones((2, 2)), groups, limits=(0, 1), unit="u", **TEXTS)


def graded(rows):
    return figures.graded({"a": np.array([[0.25], [0.5]])}, rows, ["c"], **TEXTS)


def test_names_that_are_numbers_are_written():
    assert graded([1, 2.5]).data[0]["y"] == ["1", "2.5"]


def test_what_is_masked_is_a_gap():
    curve = lines([1, 2, 4], {"a": np.ma.array([3, 5, 7], mask=[False, True, False])}).data[0]["y"]
    np.testing.assert_array_equal(curve, [3, np.nan, 7])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lines([], {"a": []}), must("x", "any", "(0,)")),
        (lambda: lines([[1, 2]], {"a": [1, 2]}), must("x", "any", "(1, 2)")),
        (lambda: lines([1, 2], {}), "a figure must have one to 5 series, got 0; pass at least one"),
        (
            lambda: lines([1, 2], {name: [1, 2] for name in "abcdef"}),
            "a figure must have one to 5 series, got 6; split it in two",
        ),
        (
            lambda: lines([1, 2], {"a": [np.nan, np.nan]}),
            "there must be at least one finite number to draw, got none; leave the curve out",
        ),
        (
            lambda: lines([1, 2], {"a": [1, 2]}, log="q"),
            "log must be one of '', 'x', 'y', 'xy', got 'q'; pass one",
        ),
        (
            lambda: lines([1, 2], {"a": [1, 2]}, colors=["red"]),
            "colors must be those of figures.style that have labels, got 'red'; try style.BLUE",
        ),
        (
            lambda: lines([0, 2], {"a": [1, 2]}, log="x"),
            "on a logarithmic axis all values must be positive, got 0.0; leave it out",
        ),
        (lambda: figures.means([], {"a": []}, y_range=(0, 1), **TEXTS), must("x", "any", "(0,)")),
        (
            lambda: figures.means([1, 2], {"a": [MEAN]}, y_range=(0, 1), **TEXTS),
            "a curve must have a value for each of x (2,), got shape (1,) for a; pass as many",
        ),
        (lambda: figures.shares([], {"a": []}, **TEXTS), must("x", "any", "(0,)")),
        (
            lambda: figures.shares([0, 1], {"a": [SHARE, SHARE]}, **TEXTS),
            "on a logarithmic axis all values must be positive, got 0.0; leave it out",
        ),
        (lambda: figures.scatter([1, 2], [1, 2], ["", ""], **TEXTS), must("x", "any, any", "(2,)")),
        (lambda: figures.scatter(np.ones((2, 3)), np.ones((2, 2)), ["", ""], **TEXTS), must("y", "2, 3", "(2, 2)")),
        (
            lambda: figures.scatter(np.ones((2, 3)), np.ones((2, 3)), ["a"], **TEXTS),
            "names must be one per group, 2, got 1; give a group without one an empty text",
        ),
        (lambda: figures.trade({"a": ([MEAN] * 2, [MEAN])}, **TEXTS), must("y of a", "2, 3", "(1, 3)")),
        (lambda: figures.trade({}, **TEXTS), "a figure must have one to 5 series, got 0; pass at least one"),
        (lambda: figures.stacked(["a"], {"k": [1, 2]}, **TEXTS), must("counts of k", "1", "(2,)")),
        (lambda: figures.stacked([], {"k": []}, **TEXTS), must("counts of k", "0", "(0,)")),
        (lambda: figures.matrices({}, **TEXTS), "there must be at least one matrix, got none; pass name -> matrix"),
        (lambda: figures.matrices({"a": np.ones(3)}, **TEXTS), must("a", "any, any", "(3,)")),
        (
            lambda: figures.spectra({"a": [1, 2]}, {"b": [1, 2]}, title="t"),
            "spectra must have the same names, got a and b; pass both of each",
        ),
        (lambda: figures.gallery({"a": (np.ones(3), [(0,)])}, title="t"), must("samples of a", "any, any", "(3,)")),
        (lambda: figures.polyhedron(np.ones(6), ((0, 1, 2), (3, 4, 5)), title="t"), must("W", "any, any", "(6,)")),
        (
            lambda: figures.stages({"a": np.ones((1, 3, 6))}, ((0, 1, 2), (3, 4, 5)), title="t"),
            must("W of a", "any, any", "(1, 3, 6)"),
        ),
        (
            lambda: figures.stages({"a": np.ones((2, 6)), "b": np.ones((3, 6))}, ((0, 1, 2), (3, 4, 5)), title="t"),
            must("W of b", "2, 6", "(3, 6)"),
        ),
        (
            lambda: figures.stages({}, ((0, 1, 2), (3, 4, 5)), title="t"),
            "there must be at least one model by its name, got {}; pass name -> W",
        ),
        (
            lambda: figures.interference(np.ones(3), 7, title="t", limit=1),
            "feature must be a position in the row, from 0 to 2, got 7; name one",
        ),
        (lambda: figures.interference([], 0, title="t", limit=1), must("row", "any", "(0,)")),
        (
            lambda: figures.represented(np.ones((2, 3)), np.ones(4), title="t", kept=0.5),
            must("dimensionality", "3", "(4,)"),
        ),
        (
            lambda: figures.attacked_sample(
                np.ones(3), np.ones(3), np.ones(2), np.ones(3), title="t", limits=figures.Limits(*[(0, 1)] * 3)
            ),
            "x, delta, before and after must be of one length (n), got (3,), (3,), (2,), (3,); pass one sample",
        ),
        (lambda: lines([1, 2], {"a": ["1", "2"]}), "series of a must be numbers, got ['1', '2']; pass an array"),
        (lambda: lines([1, 2], {"a": [1, None]}), "series of a must be numbers, got [1, None]; pass an array"),
        (lambda: lines([1, 2], {"a": [1, 1e38]}), "series of a must be below 1e+30, got 1e+38; scale it down"),
        (lambda: lines([1, 2], [1, 2]), "series must be name -> value, got [1, 2]; pass a dict"),
        (
            lambda: lines([1, 2], {"a": [1, 2]}, y_range=(2, 1)),
            "y_range must be finite and rise, got (2, 1); pass (low, high)",
        ),
        (lambda: lines([1, 2], {"a": [1, 2]}, y_range=(2,)), "y_range must be 2 values, got 1; pass a tuple"),
        (lambda: lines([1, 2], {"a": [1, 2]}, markers="no"), "markers must be True or False, got 'no'; pass one"),
        (lambda: lines([1, 2], {"a": [1, 2]}, title=3), "title must be a text, got 3; pass one"),
        (
            lambda: figures.stacked(["a"], {"k": [1.5]}, **TEXTS),
            "each of counts of k must be an integer, got 1.5; pass one",
        ),
        (
            lambda: figures.interference([1, 2], 0, title="t", limit=np.inf),
            "limit must be below 1e+30, got inf; leave it out",
        ),
        (
            lambda: figures.interference([1, 2], True, title="t", limit=1),
            "feature must be an integer, got True; pass one",
        ),
        (
            lambda: figures.histogram({"a": [1]}, [0, 2, 1], **TEXTS),
            "edges must be two or more that rise, got [0.0, 2.0, 1.0]; a bin has two",
        ),
        (
            lambda: figures.spectra({"a": [1, 2]}, {"a": [1]}, title="t"),
            must("measured a", "2", "(1,)"),
        ),
        (
            lambda: figures.outcome_map({"a": [["none"]]}, {}, [0.1], [0.2], title="t"),
            "saving of a must be numbers, got None; pass an array",
        ),
        (
            lambda: figures.outcome_map({"a": [["none"]]}, {"a": [[1]]}, [0.1, 0.2], [0.2], title="t"),
            "outcomes must be tables of shape (2, 1), got others ['a']; pass attack -> table",
        ),
        (
            lambda: blocks({"a": 10**400}),
            "groups of a must be below 1e+15, got about 1e400; pass a smaller one",
        ),
        (lambda: blocks({"a": 2, "b": 0}), "groups must have models, got {'a': 2, 'b': 0}; leave out what is empty"),
        (
            lambda: lines([1, 2], {"a": [1, 2]}, colors=np.zeros((1, 1, 1))),
            "each of colors must be a text or a number, got array([[0.]]); pass str() of it",
        ),
        (
            lambda: lines([1, 2], {"a": [1, 2]}, log="x", shaded={"here": (0, 2)}),
            "on a logarithmic axis all values must be positive, got 0; leave it out",
        ),
        (
            lambda: lines([1, 2], {"a": [1, 2]}, log="y", y_range=(0, 2)),
            "on a logarithmic axis all values must be positive, got 0; leave it out",
        ),
        (
            lambda: lines([1, 2], {"a": [1, 2]}, log="xy", dashed={"level": 1e-40}),
            "on a logarithmic axis all values must be at least 1e-30, got 1e-40; leave it out",
        ),
        (
            lambda: lines([1, 2], {(1, 2): [1, 2]}),
            "the names of series must be texts or numbers, got (1, 2); pass str() of it",
        ),
        (lambda: lines([1, 2], {"a": [1, 2]}, y_range={1, 2}), "y_range must be 2 values, got {1, 2}; pass a tuple"),
        (lambda: graded(["r", "r"]), "rows must differ from each other, got 'r' again; give each a name of its own"),
        (
            lambda: figures.stacked([1, 1], {"k": [1, 2]}, **TEXTS),
            "x must differ from each other, got '1' again; give each a name of its own",
        ),
        (
            lambda: figures.trade({"a": ([MEAN] * 2, [MEAN] * 2)}, label=["p"], **TEXTS),
            "label must have a text for each point of a series, got 1; pass as many, or none",
        ),
        (
            lambda: figures.gallery({"a": (np.ones((2, 3)), [(0, 1)])}, title="t"),
            "sets must hold each of 3 features, got [(0, 1)]; take them from features.sets",
        ),
        (
            lambda: figures.matrices({"a": np.ones((2, 2))}, limit=0, **TEXTS),
            "limit must be above 0 and finite in single precision, got 0; it is the end of the colours",
        ),
        (
            lambda: figures.Limits.around(np.ones(3), np.ones(2), np.ones(3)),
            "x, delta, output must be (..., n) of one n, got (3,), (2,), (3,); pass samples",
        ),
        (
            lambda: figures.Limits.around(np.ones(3), np.array([1, np.nan, 0]), np.ones(3)),
            "delta must be finite, got NaN or infinity in 1 of 3 entries; leave out what has diverged",
        ),
        (
            lambda: figures.frames(None, a=[1, 2]),
            "draw must take a as keywords, got None: None is not a callable object; pass a function that does",
        ),
        (lambda: figures.frames(lines, start=[1], a=[1, 2]), "start must be axis -> value, got [1]; pass a dict"),
        (
            lambda: figures.frames(lines, a=np.array(1)),
            "the stops of a must be a sequence, or label -> value, got array(1); pass a list",
        ),
        (
            lambda: figures.style.inked("red", "text"),
            "color must be one of figures.style that has labels, got 'red'; try style.BLUE",
        ),
    ],
)
def test_data_that_cannot_be_drawn_are_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize("odd", ["high", RAGGED, None, {"a": 1}])
def test_what_is_no_numbers_is_refused(odd):
    with pytest.raises((TypeError, ValueError), match=r"^W must (be numbers|have shape \(any, any\))"):
        figures.represented(odd, np.ones(4), title="t", kept=0.5)
