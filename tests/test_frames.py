"""Frames against drawing anew, as plotly's script in the browser would show them."""

import numpy as np
import plotly.graph_objects as go
import pytest
from plots import plain

from toylib import figures, frames
from toylib.polyhedra import polyhedron
from toylib.templates import prism

NAN = np.nan


def extended(old, new):
    """Merge as plotly.js does with a frame: objects key by key, everything else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict) and "bdata" not in new:
        return {**old, **{key: extended(old.get(key), value) for key, value in new.items()}}
    return new


def scrubbed(figure, labels):
    """Return the figure after animating to the frames of these labels in turn, less the controls."""
    document = plain(figure)
    by_name = {frame["name"]: frame for frame in document.pop("frames")}
    assert len(by_name) == len(figure.frames)
    for label in labels:
        frame = {"data": [], **by_name[label]}
        for position, data in zip(frame["traces"], frame["data"], strict=True):
            document["data"][position] = extended(document["data"][position], data)
        document["layout"] = extended(document["layout"], frame.get("layout", {}))
    return without_controls(document)


CONTROLS = ("sliders", "updatemenus", "height", "margin", "uirevision")


def without_controls(document):
    layout = {k: v for k, v in document["layout"].items() if k not in CONTROLS}
    return document["data"], layout


def turning(angle):
    return polyhedron(prism(0.8, 0.6, angle), ((0, 1, 2), (3, 4, 5)), title=f"twist {angle}")


def waving(k):
    """A curve with gaps that move, another that never does, and a title and shapes that follow."""
    y = np.sin(np.arange(5.0) * k)
    y[k % 5] = NAN
    moving = {"wave": y, "still": np.array([0, NAN, 2, 3, 4.0])}
    figure = figures.lines(np.arange(5), moving, title=f"wave {k}", x_title="x", y_title="y", y_range=(-1, 4))
    return figure.update_layout(
        shapes=[{"type": "line", "x0": j, "x1": j, "y0": 0, "y1": 1} for j in range(1 + k % 3)],
    )


def pictured(k):
    x = np.random.default_rng(k).random((4, 3))
    return figures.gallery({"one": (x, ((0, 1), (2,))), "two": (x[::-1], ((0,), (1, 2)))}, title=f"picture {k}")


DRAWINGS = [(turning, [0, 15, 30, 45, 60]), (waving, [3, 1, 4, 2]), (pictured, [0, 1, 2]), (waving, [2])]


# Frames


@pytest.mark.parametrize(("draw", "values"), DRAWINGS)
def test_scrubbing_shows_exactly_the_drawing_of_each_value(draw, values):
    start = len(values) // 2
    figure = frames.frames(draw, values, name="value", start=start)
    assert scrubbed(figure, []) == without_controls(plain(draw(values[start])))
    visited = []
    for value in [*values, *values[::-1]]:
        visited.append(str(value))
        expected = without_controls(plain(draw(value)))
        assert scrubbed(figure, visited[-1:]) == expected
        assert scrubbed(figure, visited) == expected


def test_frames_hold_only_what_changes():
    figure = frames.frames(waving, [1, 2, 3], name="k")
    for frame in figure.frames:
        assert frame.traces == (0,)
        assert [set(trace.to_plotly_json()) for trace in frame.data] == [{"type", "y"}]
        assert set(frame.layout.to_plotly_json()) == {"annotations", "shapes", "title"}
    still = frames.frames(lambda _: waving(1), [1, 2], name="k")
    assert [frame.to_plotly_json() for frame in still.frames] == [
        {"name": "1", "traces": []},
        {"name": "2", "traces": []},
    ]


def test_the_polyhedron_moves_by_its_coordinates_alone():
    figure = frames.frames(turning, [0, 30, 60], name="twist")
    for frame in figure.frames:
        for trace in frame.data:
            assert {"type"} < set(trace.to_plotly_json()) <= {"type", "x", "y", "z"}
        assert set(frame.layout.to_plotly_json()) == {"title"}


def test_the_slider_has_a_labelled_stop_for_each_value():
    labels = ["none", "some", "all"]
    figure = frames.frames(waving, [1, 2, 3], name="amount", start=1, labels=labels)
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == labels
    assert [frame.name for frame in figure.frames] == labels
    assert all(step.method == "animate" for step in slider.steps)
    assert [list(step.args[0]) for step in slider.steps] == [[label] for label in labels]
    assert all(step.args[1]["mode"] == "immediate" for step in slider.steps)
    assert slider.active == 1
    assert slider.currentvalue.prefix == "amount "
    assert figure.layout.title.text == "wave 2"
    by_default = frames.frames(waving, [1, 2], name="amount")
    assert [step.label for step in by_default.layout.sliders[0].steps] == ["1", "2"]
    assert by_default.layout.sliders[0].active == 0


def test_play_and_pause():
    play, pause = frames.frames(waving, [1, 2], name="k").layout.updatemenus[0].buttons
    assert play.method == pause.method == "animate"
    assert play.args[0] is None
    assert play.args[1]["fromcurrent"] is True
    assert play.args[1]["frame"]["duration"] > 0
    assert list(pause.args[0]) == [None]


def test_room_for_the_slider_is_added_below():
    for figure in (waving(1), go.Figure(waving(1)).update_layout(height=None)):
        moving = frames.frames(lambda _, f=figure: f, [1, 2], name="k")
        assert moving.layout.height == (figure.layout.height or 450) + 60
        assert moving.layout.margin.b >= 100


def test_each_value_is_drawn_once_and_drawings_are_left_alone():
    drawn, values = [], [1, 2, 3]

    def draw(k):
        drawn.append((k, waving(k)))
        return drawn[-1][1]

    frames.frames(draw, values, name="k")
    assert [k for k, _ in drawn] == values
    assert all(plain(figure) == plain(waving(k)) for k, figure in drawn)


def test_frames_need_values_and_equal_traces():
    with pytest.raises(ValueError, match="frames needs at least one value, got none; pass the stops of the slider"):
        frames.frames(waving, [], name="k")
    with pytest.raises(ValueError, match=r"the same traces, got 1 and 2; hide with NaN instead"):
        frames.frames(lambda k: go.Figure([{"type": "bar"}] * k), [1, 2], name="k")
    with pytest.raises(ValueError, match="drawings must have the same traces"):
        frames.frames(lambda k: go.Figure([{"type": k}]), ["bar", "scatter"], name="k")
    with pytest.raises(ValueError, match="labels must be different, one a value"):
        frames.frames(waving, [1, 2], name="k", labels=["one"])


def test_the_camera_stays():
    assert {turning(angle).layout.scene.uirevision for angle in (0, 30, 60)} == {"camera"}
    baked = frames.frames(turning, [0, 30, 60], name="twist")
    assert baked.layout.scene.uirevision == "camera"
    assert all("scene" not in frame.layout.to_plotly_json() for frame in baked.frames)
