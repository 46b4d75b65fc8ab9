"""A live plot holds and sends what changed; requests merge; what a cell made goes when the cell runs again."""

import asyncio
import json
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
from compare import array
from plots import plain

from toylib.explorers import _live as live
from toylib.explorers._live import Plot, Soon, _compact, close_when_run_again, parts
from toylib.figures import Drawing
from toylib.figures.style import THEME


def waving(phase, **layout):
    y = np.float32(np.sin(np.arange(4) + phase))
    traces = [{"type": "scatter", "y": y}, {"type": "bar", "y": np.float32([1, 2])}]
    return Drawing(traces, {"title": {"text": f"{phase}"}, "height": 300, **layout})


def as_json(drawing):
    return _compact({"data": drawing.data, "layout": drawing.layout})


def opened(drawing):
    """Return a plot and a list that grows with each message to the browser."""
    shown, messages = Plot(drawing), []
    shown.send = messages.append
    return shown, messages


def test_a_move_sends_one_message_with_what_changed():
    shown, messages = opened(waving(0))
    assert shown._figure == as_json(waving(0))
    for phase in (1, 2, 0):
        shown.move(waving(phase))
        message = messages.pop()
        json.dumps(message)
        assert message == {
            "traces": {0: {"y": _compact(waving(phase).data[0]["y"])}},
            "layout": {"title": {"text": f"{phase}"}},
        }
        assert messages == []
        assert shown._figure == as_json(waving(phase))  # for a page that is loaded anew
        assert plain(shown._figure) == plain(waving(phase))
        shown.move(waving(phase))
        assert messages == []


def test_properties_that_come_and_go():
    full = waving(0, showlegend=True)
    full.data[0]["text"] = list("abcd")
    shown, messages = opened(full)
    shown.move(waving(0))
    assert messages == [{"traces": {0: {"text": None}}, "layout": {"showlegend": None}}]
    shown.move(full)
    assert messages[1:] == [{"traces": {0: {"text": list("abcd")}}, "layout": {"showlegend": True}}]
    assert plain(shown._figure) == plain(full)


def test_other_traces_are_refused_and_the_plot_stays():
    shown, messages = opened(waving(0))
    with pytest.raises(ValueError, match=r"^drawings must have the same traces, got 2 and 0; hide with NaN instead$"):
        shown.move(Drawing([], {}))
    assert messages == []
    assert plain(shown.drawing) == plain(shown._figure) == plain(waving(0))


NAN = float("nan")


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
    typed = json.loads(json.dumps(_compact({"z": values})))["z"]
    assert typed["dtype"] == dtype
    np.testing.assert_array_equal(array(typed), values.astype(dtype))


def test_what_is_sent_is_what_plotly_makes_of_the_figure():
    theme = {"layout": THEME["layout"]}
    shown = Drawing([{"type": "bar", "y": np.float32([1, 2])}], {"template": theme, "xaxis": {"range": (0, 1)}})
    assert json.loads(json.dumps(as_json(shown))) == json.loads(json.dumps(shown.figure().to_dict()))
    assert json.loads(json.dumps(_compact(THEME))) == json.loads(json.dumps(THEME))
    assert _compact(np.array(["a", "b"])) == ["a", "b"]


def test_without_a_loop_each_request_is_a_call():
    calls = []
    soon = Soon(lambda: calls.append(1))
    soon()
    soon({"new": 1})
    assert len(calls) == 2
    soon.flush()
    assert len(calls) == 2


def test_in_a_loop_requests_merge():
    calls = []
    soon = Soon(lambda: calls.append(1))

    async def kernel():
        soon(), soon(), soon()
        assert calls == []
        await asyncio.sleep(0.02)
        assert len(calls) == 1
        soon()
        soon.flush()
        soon.flush()
        assert len(calls) == 2
        await asyncio.sleep(0.02)
        assert len(calls) == 2
        soon()
        soon.cancel()
        await asyncio.sleep(0.02)
        assert len(calls) == 2
        soon()
        with soon.held():
            soon(), soon()
            assert len(calls) == 2
        await asyncio.sleep(0.02)
        assert len(calls) == 3

    asyncio.run(kernel())


def test_what_is_held_is_called_after_an_error_too():
    calls = []
    soon = Soon(lambda: calls.append(1))
    with pytest.raises(KeyError), soon.held():
        raise KeyError
    soon()
    assert len(calls) == 2


def test_a_cell_that_runs_again_closes_what_it_made(monkeypatch):
    request = {}
    kernel = SimpleNamespace(initialized=lambda: True, instance=lambda: SimpleNamespace(get_parent=lambda: request))
    monkeypatch.setattr(live, "IPythonKernel", kernel)
    closed = []

    def run(cell, run, *names):
        request.update(metadata={"cellId": cell} if cell else {}, header={"msg_id": run})
        for name in names:
            close_when_run_again(lambda name=name: closed.append(name))

    run("a", "1", "first", "second")
    run("b", "2", "other")
    run(None, "3", "nameless")
    run(None, "4", "nameless")
    assert closed == []
    run("a", "5", "third")
    assert closed == ["first", "second"]
    run("a", "6", "fourth")
    assert closed == ["first", "second", "third"]


def test_without_a_kernel_nothing_is_closed():
    close_when_run_again(pytest.fail)
    close_when_run_again(pytest.fail)


def test_parts_of_a_widget():
    slider, label = ipywidgets.IntSlider(), ipywidgets.Label()
    box = ipywidgets.VBox([ipywidgets.HBox([slider]), label])
    found = list(parts(box))
    assert {box, slider, label, slider.layout, slider.style, box.layout} < set(found)
    assert len(found) == len(set(found)) == 10
