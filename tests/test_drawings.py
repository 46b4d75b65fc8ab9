"""Drawings: checked as figures, compared, and as JSON."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from compare import array

from toylib.drawings import changes, compact, figure
from toylib.style import TEMPLATE

NAN = float("nan")


def drawing(*traces, **layout):
    return {"data": list(traces), "layout": layout}


def test_a_function_of_a_drawing_returns_a_figure_and_keeps_the_drawing():
    @figure
    def bars(heights, *, title):
        """Bars."""
        return drawing({"type": "bar", "y": heights}, title={"text": title})

    assert bars([1, 2], title="two") == go.Figure(go.Bar(y=[1, 2]), {"title": {"text": "two"}})
    assert bars.drawing([1, 2], title="two") == drawing({"type": "bar", "y": [1, 2]}, title={"text": "two"})
    assert bars.__doc__ == "Bars."
    with pytest.raises(ValueError, match="Invalid property"):
        figure(lambda: drawing({"type": "bar", "heights": [1]}))()


def scatter(y, **properties):
    return drawing({"type": "scatter", "y": y, **properties})


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        (scatter(np.array([1, NAN])), scatter(np.array([1, NAN])), []),
        (scatter(np.array([1, NAN])), scatter(np.array([1, 2])), ["y"]),
        (scatter(np.array([1, NAN])), scatter(np.array([NAN, 1])), ["y"]),
        (scatter(np.array([1, NAN], np.float32)), scatter(np.array([1, NAN])), []),
        (scatter(np.array([1, 2])), scatter(np.array([1, 2, 3])), ["y"]),
        (scatter(np.ones((2, 3))), scatter(np.ones((3, 2))), ["y"]),
        (scatter([1, 2], text=["a", "b"]), scatter([1, 2], text=["a", "c"]), ["text"]),
        (scatter([1], marker={"size": 5}), scatter([1], marker={"size": 6}, name="n"), ["marker", "name"]),
        (scatter([1], marker={"size": 5, "color": "red"}), scatter([1], marker={"size": 5}), ["marker"]),
        (scatter([1], text=np.array(["a"])), scatter([1], text=np.array(["b"])), ["text"]),
    ],
)
def test_what_differs_between_traces(first, other, expected):
    assert changes(first, other) == changes(other, first) == ({0: expected} if expected else {}, [])


def test_what_differs_between_layouts():
    first = drawing({"y": [1]}, template=TEMPLATE, title={"text": "a"}, xaxis={"range": [0, 1]})
    other = drawing({"y": [1]}, template=TEMPLATE, title={"text": "b"}, xaxis={"range": (0, 1)}, shapes=[{"x0": 1}])
    assert changes(first, other) == changes(other, first) == ({}, ["shapes", "title"])


@pytest.mark.parametrize("traces", [[], [{"type": "bar"}], [{}, {}]])
def test_other_traces_are_refused(traces):
    with pytest.raises(ValueError, match=f"drawings must have the same traces, got 1 and {len(traces)}; hide with NaN"):
        changes(drawing({"y": [1]}), drawing(*traces))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([0.1, NAN, -np.inf]), "f4"),
        (np.arange(6.0).reshape(2, 3), "f4"),
        (np.arange(12).reshape(3, 4).T, "i4"),
        (np.array([3, -1], ">i8"), "i4"),
        (np.zeros((0, 3)), "f4"),
    ],
)
def test_arrays_become_typed_and_keep_shape_and_values(values, dtype):
    typed = json.loads(json.dumps(compact({"z": values})))["z"]
    assert typed["dtype"] == dtype
    np.testing.assert_array_equal(array(typed), values.astype(dtype))


def test_compact_is_what_plotly_makes_of_the_figure():
    shown = drawing({"type": "bar", "y": np.float32([1, 2])}, template=TEMPLATE, xaxis={"range": (0, 1)})
    assert json.loads(json.dumps(compact(shown))) == json.loads(json.dumps(go.Figure(shown).to_dict()))
    assert compact(np.array(["a", "b"])) == ["a", "b"]
