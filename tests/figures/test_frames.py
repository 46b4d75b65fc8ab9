"""Axes and their labels; frames against drawing anew, as plotly's script in the browser would show them."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plots import plain, scrubbed, without_controls

from toylib import explorers, figures
from toylib.figures import Axis, Drawing, frames, polyhedron
from toylib.geometry import template_prism

NAN = np.nan


def raises(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


# Axes


@pytest.mark.parametrize(
    ("name", "stops", "labels"),
    [
        ("sparsity", [0.5, 0.9], ["S = 0.50", "S = 0.90"]),
        ("sparsity", [0.995, 0.9995], ["S = 0.9950", "S = 0.9995"]),
        ("slope", [1e-12, 2e-12], ["1e-12", "2e-12"]),
        ("slope", [0.1234561, 0.1234562], ["0.1234561", "0.1234562"]),
        ("sparsity", [0, 0.7], ["S = 0.00", "S = 0.70"]),
        ("sparsity", 1 - np.array([0.1, 0.01, 0.003]), ["S = 0.900", "S = 0.990", "S = 0.997"]),
        ("norm", (0, 0.1, 1.25), ["0.00 · E‖x‖", "0.10 · E‖x‖", "1.25 · E‖x‖"]),
        ("norm", (0, 1, 2), ["0 · E‖x‖", "1 · E‖x‖", "2 · E‖x‖"]),
        ("step", [0, 1000, 12_000_000], ["0", "1,000", "12,000,000"]),
        ("step", np.array([5, 20]), ["5", "20"]),
        ("step", [1e3, 2e4], ["1,000", "20,000"]),
        ("seed", range(3), ["0", "1", "2"]),
        ("sample", range(1, 3), ["1", "2"]),
        ("attack", ["one step", "PGD"], ["one step", "PGD"]),
        ("attack", {"strong": 0.995, "weak": 0.5}, ["strong", "weak"]),
        ("twist", [-0.5, 1234.5], ["-0.50", "1,234.50"]),
        ("twist", [0.1 + 0.2, 0.4], ["0.30", "0.40"]),  # not 0.30000000000000004
        ("sparsity", np.float32([0.1, 0.995]), ["S = 0.100", "S = 0.995"]),  # not 0.100000001
        ("sparsity", [0, 1 / 3, 0.5], ["S = 0.00", "S = 0.33", "S = 0.50"]),
        ("norm", [1 / 3, 0.3334], ["0.3333 · E‖x‖", "0.3334 · E‖x‖"]),
        ("rate", [1e-7, 1e-6], ["0.0000001", "0.0000010"]),
        ("linear", [False, True], ["False", "True"]),
        ("linear", np.array([False, True]), ["False", "True"]),
        ("model", [1, "two", None], ["1", "two", "None"]),
    ],
)
def test_stops_are_labelled_with_their_unit_and_digits_that_tell_them_apart(name, stops, labels):
    axis = Axis.of(name, stops)
    assert axis.name == name
    assert axis.labels == labels
    assert list(axis.values) == list(stops.values() if isinstance(stops, dict) else stops)
    assert [axis.position(value) for value in axis.values] == list(range(len(labels)))


@given(st.lists(st.decimals(-1000, 1000, places=6), min_size=1, max_size=6, unique=True))
def test_labels_are_the_numbers(numbers):
    values = [float(number) for number in numbers]
    labels = [label.replace(",", "") for label in Axis.of("twist", values).labels]
    assert [float(label) for label in labels] == values
    decimals = {len(label.partition(".")[2]) for label in labels}
    assert len(decimals) == 1
    assert decimals != {1}


def test_an_axis_says_what_it_moves():
    assert Axis.of("sparsity", [0.5]).about == "probability S that a gate is off"
    assert Axis.of("hidden_size", [3]).about == "hidden size"


def test_positions_are_found_by_value():
    matrices = {"one": np.eye(2), "two": np.zeros((2, 2)), "text": "two", "nothing": None, "gap": NAN}
    axis = Axis.of("W", matrices)
    assert [axis.position(value) for value in matrices.values()] == [0, 1, 2, 3, 4]
    assert axis.position([[1, 0], [0, 1]]) == 0
    assert Axis.of("norm", [0, 0.5]).position(np.float32(0.5)) == 1


def test_what_stops_cannot_be():
    with raises("seed must have at least one stop, got none; pass its values"):
        Axis.of("seed", [])
    with raises("seed must have at least one stop, got none; pass its values"):
        Axis.of("seed", {})
    with raises("the stops of sparsity must differ, got S = 0.50, S = 0.50; drop the repeats"):
        Axis.of("sparsity", [0.5, 0.5])
    for value, said in ((0.7, "0.7"), ("0.5", "'0.5'"), (None, "None")):
        with raises(f"sparsity must be one of its stops, got {said}; there are S = 0.50, S = 0.90"):
            Axis.of("sparsity", [0.5, 0.9]).position(value)


# Frames


def turning(twist):
    return polyhedron(template_prism(0.8, 0.6, twist), ((0, 1, 2), (3, 4, 5)), title=f"twist {twist}")


def waving(k):
    """A curve with gaps that move, another that never does, and a title and shapes that follow."""
    y = np.sin(np.arange(5.0) * k)
    y[k % 5] = NAN
    moving = {"wave": y, "still": np.array([0, NAN, 2, 3, 4.0])}
    drawing = figures.lines(np.arange(5), moving, title=f"wave {k}", x_title="x", y_title="y", y_range=(-1, 4))
    lines = [{"type": "line", "x0": j, "x1": j, "y0": 0, "y1": 1} for j in range(1 + k % 3)]
    return drawing.with_layout(shapes=lines)


def pictured(seed):
    x = np.random.default_rng(seed).random((4, 3))
    return figures.gallery({"one": (x, ((0, 1), (2,))), "two": (x[::-1], ((0,), (1, 2)))}, title=f"picture {seed}")


DRAWINGS = [
    (turning, "twist", [0, 15, 30, 45, 60]),
    (waving, "k", [3, 1, 4, 2]),
    (pictured, "seed", [0, 1, 2]),
    (waving, "k", [2]),
]


@pytest.mark.parametrize(("draw", "name", "values"), DRAWINGS)
def test_scrubbing_shows_exactly_the_drawing_of_each_value(draw, name, values):
    start = values[len(values) // 2]
    baked = frames(draw, start={name: start}, **{name: values})
    assert scrubbed(baked, []) == without_controls(plain(draw(start)))
    visited = []
    for value in [*values, *values[::-1]]:
        visited.append(str(value))
        expected = without_controls(plain(draw(value)))
        assert scrubbed(baked, visited[-1:]) == expected
        assert scrubbed(baked, visited) == expected


def test_frames_hold_only_what_changes():
    baked = frames(waving, k=[1, 2, 3])
    assert len(baked.frames) == 3
    for frame in baked.figure().frames:
        assert frame.traces == (0,)
        assert [set(trace.to_plotly_json()) for trace in frame.data] == [{"type", "y"}]
        assert set(frame.layout.to_plotly_json()) == {"annotations", "shapes", "title"}
    still = frames(lambda k: waving(1), k=[1, 2])
    assert plain(still)["frames"] == [{"name": "1", "traces": []}, {"name": "2", "traces": []}]


def test_the_polyhedron_moves_by_its_coordinates_alone():
    for frame in frames(turning, twist=[0, 30, 60]).figure().frames:
        assert frame.data
        for trace in frame.data:
            assert {"type"} < set(trace.to_plotly_json()) <= {"type", "x", "y", "z"}
        assert set(frame.layout.to_plotly_json()) == {"title"}


def test_the_slider_has_a_labelled_stop_for_each_value():
    labels = ["none", "some", "all"]
    figure = frames(waving, start={"k": 2}, k=dict(zip(labels, [1, 2, 3], strict=True))).figure()
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == labels
    assert [frame.name for frame in figure.frames] == labels
    assert all(step.method == "animate" for step in slider.steps)
    assert [list(step.args[0]) for step in slider.steps] == [[label] for label in labels]
    assert all(step.args[1]["mode"] == "immediate" for step in slider.steps)
    assert slider.active == 1
    assert slider.currentvalue.prefix == "k "
    assert figure.layout.title.text == "wave 2"


def test_the_slider_starts_at_the_first_value_and_writes_units():
    (slider,) = frames(lambda sparsity: waving(int(10 * sparsity)), sparsity=[0.1, 0.2]).figure().layout.sliders
    assert [step.label for step in slider.steps] == ["S = 0.10", "S = 0.20"]
    assert slider.active == 0
    assert slider.currentvalue.prefix == "sparsity "
    (spaced,) = frames(lambda training_step: waving(1), training_step=[1000, 2000]).figure().layout.sliders
    assert spaced.currentvalue.prefix == "training step "


def test_play_and_pause():
    play, pause = frames(waving, k=[1, 2]).figure().layout.updatemenus[0].buttons
    assert play.method == pause.method == "animate"
    assert play.args[0] is None
    assert play.args[1]["fromcurrent"] is True
    assert play.args[1]["frame"]["duration"] > 0
    assert list(pause.args[0]) == [None]


def test_room_for_the_slider_is_added_below():
    without = Drawing(waving(1).data, {k: v for k, v in waving(1).layout.items() if k not in ("height", "margin")})
    for drawing in (waving(1), without):
        layout = frames(lambda k, drawing=drawing: drawing, k=[1, 2]).figure().layout
        assert layout.height == drawing.layout.get("height", 450) + 60
        margin = {"l": 60, "r": 20, "t": 50, **drawing.layout.get("margin", {}), "b": 110}
        assert layout.margin.to_plotly_json() == margin


def test_each_value_is_drawn_once_and_drawings_are_left_alone():
    drawn, values = [], [1, 2, 3]

    def draw(k):
        drawn.append((k, waving(k)))
        return drawn[-1][1]

    frames(draw, k=values)
    assert [k for k, _ in drawn] == values
    assert all(plain(drawing) == plain(waving(k)) for k, drawing in drawn)
    assert all(drawing.layout.keys() == waving(k).layout.keys() for k, drawing in drawn)


def test_frames_have_one_axis_and_start_at_one_of_its_stops():
    with raises("frames must have one axis, got 0; explorers.explore takes several"):
        frames(waving)
    with raises("frames must have one axis, got 2; explorers.explore takes several"):
        frames(waving, k=[1], seed=[2])
    with raises("k must have at least one stop, got none; pass its values"):
        frames(waving, k=[])
    with raises("the stops of k must differ, got 1, 1; drop the repeats"):
        frames(waving, k=[1, 1])
    with raises("start must name k, the axis, got seed, step; drop it"):
        frames(waving, start={"step": 1, "k": 1, "seed": 2}, k=[1])
    with raises("k must be one of its stops, got 3; there are 1, 2"):
        frames(waving, start={"k": 3}, k=[1, 2])
    drawn = []
    with raises("k must be one of its stops, got 'one'; there are one, two"):  # a value, not a label
        frames(drawn.append, start={"k": "one"}, k={"one": 1, "two": 2})
    assert drawn == []


def test_drawings_of_frames_have_the_same_traces():
    with raises("drawings must have the same traces, got 1 and 2; hide with NaN instead"):
        frames(lambda k: Drawing([{"type": "bar"}] * k, {}), k=[1, 2])
    with raises("drawings must have the same traces, got 1 and 1; hide with NaN instead"):
        frames(lambda kind: Drawing([{"type": kind}], {}), kind=["bar", "scatter"])


@pytest.mark.parametrize(
    ("with_it", "without", "missing"),
    [
        (Drawing([], {"width": 5}), Drawing([], {}), "layout.width"),
        (Drawing([], {"title": {"text": "a", "x": 0}}), Drawing([], {"title": {"text": "b"}}), "layout.title.x"),
        (Drawing([{"y": [1], "text": "a"}], {}), Drawing([{"y": [1]}], {}), "data[0].text"),
        # In one trace each, so that both have it somewhere.
        (Drawing([{"text": "a"}, {}], {}), Drawing([{}, {"text": "a"}], {}), "data[0].text"),
        (Drawing([{"marker": {"size": 1}}, {}], {}), Drawing([{"marker": {}}, {}], {}), "data[0].marker.size"),
    ],
)
def test_a_frame_cannot_take_a_property_away(with_it, without, missing):
    message = f"drawings must set the same properties, got some without {missing}; set it in each of them"
    for stops in ({"with": with_it, "without": without}, {"without": without, "with": with_it}):
        with raises(message):
            frames(lambda drawing: drawing, drawing=stops)


def test_traces_without_a_type_are_scatters():
    baked = frames(lambda k: Drawing([{"y": [k, 2]}], {}), k=[1, 3])
    assert [frame["data"] for frame in plain(baked)["frames"]] == [
        [{"type": "scatter", "y": [1, 2]}],
        [{"type": "scatter", "y": [3, 2]}],
    ]


def test_the_camera_stays():
    assert {turning(angle).figure().layout.scene.uirevision for angle in (0, 30, 60)} == {"camera"}
    baked = frames(turning, twist=[0, 30, 60]).figure()
    assert baked.layout.scene.uirevision == "camera"
    assert all("scene" not in frame.layout.to_plotly_json() for frame in baked.frames)


def line(slope):
    return figures.lines([0, 1], {"y": [0, slope]}, title="t", x_title="x", y_title="y", y_range=(0, 3))


@pytest.mark.parametrize("odd", [lambda slope: line(slope).figure(), lambda slope: None])
def test_a_draw_that_makes_no_drawing_is_refused(odd):
    name = type(odd(1)).__name__
    message = f"draw must return a Drawing, got {name}; return what a picture of figures does"
    for call in (frames, explorers.explore):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            call(odd, slope=[1, 2])


@pytest.mark.parametrize("stops", [3, None, "12"])
def test_stops_that_are_no_stops_are_refused(stops):
    message = f"the stops of slope must be a sequence, or label -> value, got {stops!r}; pass a list"
    for call in (frames, explorers.explore):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            call(line, slope=stops)
