"""Drawings: as plotly figures, as a notebook stores them, changed, and compared."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest

from toylib.figures import Drawing
from toylib.figures.style import THEME

NAN = float("nan")


def drawing(*traces, **layout):
    return Drawing(list(traces), layout)


def titled(text):
    return drawing({"type": "bar", "y": np.array([1.0, 2.0])}, title={"text": text}, height=300)


def test_a_drawing_is_a_figure():
    frame = {"name": "1", "data": [{"type": "bar", "y": [3, 4]}], "traces": [0]}
    figure = Drawing([{"type": "bar", "y": [1, 2]}], {"title": {"text": "two"}}, (frame,)).figure()
    assert figure == go.Figure(go.Bar(y=[1, 2]), {"title": {"text": "two"}}, [go.Frame(frame)])
    assert figure.frames[0].name == "1"
    figure.layout.title.text = "changed"  # is the caller's
    assert titled("kept").figure() is not titled("kept").figure()


def test_plotly_checks_the_properties():
    with pytest.raises(ValueError, match="Invalid property"):
        drawing({"type": "bar", "heights": [1]}).figure()
    with pytest.raises(ValueError, match="Invalid property"):
        drawing({"type": "bar"}, heading="no").figure()


def test_title():
    assert titled("A title").title == "A title"
    assert drawing().title == drawing(title={}).title == ""


def test_a_notebook_stores_the_figure_and_a_short_text(monkeypatch):
    monkeypatch.setattr(plotly.io.renderers, "default", "plotly_mimetype")  # as plotly chooses in a Jupyter kernel
    shown = titled("Six features").with_layout(template=THEME)
    bundle = shown._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/plain", "application/vnd.plotly.v1+json"}
    assert bundle["text/plain"] == repr(shown) == "<drawing: Six features>"
    figure = json.loads(json.dumps(bundle["application/vnd.plotly.v1+json"]))
    assert {name: figure[name] for name in ("data", "layout")} == json.loads(shown.figure().to_json())
    assert shown._repr_mimebundle_() == bundle


def test_a_terminal_says_what_is_drawn(monkeypatch):
    monkeypatch.setattr(plotly.io.renderers, "default", "")
    assert titled("Six features")._repr_mimebundle_() == {"text/plain": "<drawing: Six features>"}


def test_with_layout_replaces_properties_and_leaves_the_original_alone():
    first = titled("first")
    layout, data = dict(first.layout), first.data
    other = first.with_layout(title={"text": "other"}, width=500)
    assert (other.title, other.layout["width"], other.layout["height"]) == ("other", 500, 300)
    assert other.data is data
    assert first.layout == layout
    assert first.title == "first"
    assert first.changes(other) == ({}, ["title", "width"])
    assert first.with_layout().layout == layout
    baked = Drawing([], {}, ({"name": "1"},))
    assert baked.with_layout(height=1).frames == baked.frames
    with pytest.raises(FrozenInstanceError):
        first.layout = {}


def test_drawings_compare_by_identity():
    """Equality of arrays is no truth value; `changes` says whether, and where, two drawings differ."""
    first, other = titled("one"), titled("one")
    assert first == first
    assert first != other
    assert len({first, other}) == 2
    assert first.changes(other) == ({}, [])


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
    assert first.changes(other) == other.changes(first) == ({0: expected} if expected else {}, [])


def test_what_differs_between_layouts():
    first = drawing({"y": [1]}, template=THEME, title={"text": "a"}, xaxis={"range": [0, 1]})
    other = drawing({"y": [1]}, template=THEME, title={"text": "b"}, xaxis={"range": (0, 1)}, shapes=[{"x0": 1}])
    assert first.changes(other) == other.changes(first) == ({}, ["shapes", "title"])


@pytest.mark.parametrize("traces", [[], [{"type": "bar"}], [{}, {}]])
def test_other_traces_are_refused(traces):
    message = f"^drawings must have the same traces, got 1 and {len(traces)}; hide with NaN instead$"
    with pytest.raises(ValueError, match=message):
        drawing({"y": [1]}).changes(drawing(*traces))
