"""Explorers moved through every stop against their drawings; errors, reset, Play, stored forms."""

import asyncio
import json
import re
import threading
from itertools import pairwise, product

import ipywidgets as widgets
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from ipywidgets.widgets.widget import _instances  # all that are open; the public list is deprecated
from plots import plain

from toylib import figures
from toylib.explorers import Explorer, explore
from toylib.explorers import _explorer as own
from toylib.explorers import _live as live
from toylib.features import Anticorrelated, Correlated
from toylib.figures import Axis, Drawing

GRID = {
    (amount, step): np.arange(4.0) + 4 * i for i, (amount, step) in enumerate(product((0.1, 0.25), (0, 1000, 20_000)))
}
AMOUNTS, STEPS = (0.1, 0.25), (0, 1000, 20_000)
STOPS = list(GRID)


def draw(amount, step):
    traces = [{"type": "scatter", "y": GRID[amount, step]}, {"type": "bar", "y": np.zeros(2)}]
    return Drawing(traces, {"title": {"text": f"{amount} {step}"}, "yaxis": {"range": [0, 24]}})


def explorer(draw=draw, **options):
    return explore(draw, **options, amount=AMOUNTS, step=STEPS)


def raises(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def shown_by(explorer):
    """Return what the plot of an explorer holds, after a move that is due."""
    explorer._redraw.flush()
    return plain(explorer._plot.drawing)


def listen(shown):
    """Return a list that grows with each message from the plot of an explorer to the browser."""
    messages = []
    shown._plot.send = messages.append
    return messages


def parts(shown):
    """Return all widgets that an explorer shows, by their class."""
    found, queue = {}, [shown]
    while queue:
        widget = queue.pop(0)
        found.setdefault(type(widget).__name__, []).append(widget)
        queue += getattr(widget, "children", ())
    return found


def error(shown):
    (html,) = parts(shown)["HTML"]
    return html.value


def at(shown):
    return [slider.index for slider in shown.sliders.values()]


# Moving


def test_every_stop_shows_its_drawing():
    shown = explorer()
    messages = listen(shown)
    stops = [*product(range(2), range(3)), (0, 0)]
    for stop in stops:
        for slider, index in zip(shown.sliders.values(), stop, strict=True):
            slider.index = index
        amount, step = AMOUNTS[stop[0]], STEPS[stop[1]]
        assert shown_by(shown) == plain(draw(amount, step)) == plain(shown.drawing())
        np.testing.assert_array_equal(shown._plot.drawing.data[0]["y"], GRID[amount, step])
        assert shown._plot.drawing.title == f"{amount} {step}"
    moved = sum(a != b for before, after in pairwise(stops) for a, b in zip(before, after, strict=True))
    assert len(messages) == moved
    assert all(list(message["traces"]) == [0] and set(message["layout"]) == {"title"} for message in messages)
    assert error(shown) == ""


def test_every_move_to_values_shows_their_drawing():
    shown = explorer()
    for amount, step in [*STOPS, *STOPS[::-1]]:
        shown.move(amount=amount, step=step)
        assert shown_by(shown) == plain(draw(amount, step))
    shown.move(amount=np.float64(0.25))
    assert shown_by(shown) == plain(draw(0.25, 0))


def test_sliders_have_names_and_units():
    shown = explorer(start={"step": 20_000})
    assert list(shown.sliders) == ["amount", "step"]
    assert [slider.description for slider in shown.sliders.values()] == ["amount", "step"]
    assert [label for label, _ in shown.sliders["amount"].options] == ["0.10", "0.25"]
    assert [label for label, _ in shown.sliders["step"].options] == ["0", "1,000", "20,000"]
    assert shown.sliders["step"].label == "20,000"
    assert all(slider.continuous_update for slider in shown.sliders.values())
    assert parts(shown)["SelectionSlider"] == list(shown.sliders.values())
    assert parts(shown)["Plot"] == [shown._plot]
    assert [slider.tooltip for slider in shown.sliders.values()] == [
        "amount (arrow keys, Home, End)",
        "number of training steps taken (arrow keys, Home, End)",
    ]
    assert all(button.tooltip for button in (*parts(shown)["Button"], *parts(explorer(play="step"))["Play"]))


def test_labels_of_stops_and_names_of_two_words():
    drawings = {"small": draw(0.1, 0), "large": draw(0.25, 0)}
    shown = explore(
        lambda how_much: drawings["small" if how_much is None else "large"], how_much={"no": None, "yes": 1}
    )
    assert shown.sliders["how_much"].description == "how much"
    assert [label for label, _ in shown.sliders["how_much"].options] == ["no", "yes"]
    assert shown_by(shown) == plain(drawings["small"])
    shown.move(how_much=1)
    assert shown_by(shown) == plain(drawings["large"])
    assert Axis.of("tilt", [-0.5, -1e-17, 0.5]).labels == ["-0.50", "0.00", "0.50"]


def test_start_and_reset():
    shown = explorer(start={"step": 1000})
    assert at(shown) == [0, 1]
    assert shown_by(shown) == plain(draw(0.1, 1000))
    shown.sliders["amount"].index, shown.sliders["step"].index = 1, 2
    assert shown_by(shown) == plain(draw(0.25, 20_000))
    shown.reset()
    assert at(shown) == [0, 1]
    assert shown_by(shown) == plain(draw(0.1, 1000))
    shown.sliders["step"].index = 0
    (button,) = (button for button in parts(shown)["Button"] if button.description == "Reset")
    button.click()
    assert at(shown) == [0, 1]
    assert shown_by(shown) == plain(draw(0.1, 1000))


async def until(happens, seconds=5):
    """Wait for it, while the loop runs."""
    while not happens():
        seconds -= 0.01
        assert seconds > 0
        await asyncio.sleep(0.01)


def test_play_runs_to_the_end_and_stays_there(monkeypatch):
    monkeypatch.setattr(own, "_STOP_S", 0.03)
    shown = explorer(play="step", start={"step": 1000})
    messages = listen(shown)
    (play,) = parts(shown)["Play"]
    assert "Play" not in parts(explorer())
    assert (play.description, play.icon, play.tooltip) == ("Play", "play", "play step")

    async def in_a_kernel():
        play.value = True
        assert (play.description, play.icon) == ("Pause", "pause")
        await until(lambda: not play.value)
        assert (play.description, play.icon, at(shown)) == ("Play", "play", [0, 2])
        assert [message["layout"]["title"]["text"] for message in messages] == ["0.1 20000"]
        play.value = True  # again, from the beginning
        await until(lambda: not play.value)
        assert [message["layout"]["title"]["text"] for message in messages[1:]] == ["0.1 0", "0.1 1000", "0.1 20000"]

    asyncio.run(in_a_kernel())


def test_play_pauses_where_it_is_and_gives_way_to_a_hand(monkeypatch):
    monkeypatch.setattr(own, "_STOP_S", 0.03)
    shown = explore(lambda step: draw(0.1, 0), play="step", step=range(100))
    (play,), slider = parts(shown)["Play"], shown.sliders["step"]

    async def in_a_kernel():
        play.value = True
        await until(lambda: slider.index >= 3)
        play.value = False
        stopped = slider.index
        await asyncio.sleep(0.07)
        assert slider.index == stopped
        play.value = True
        await until(lambda: slider.index > stopped)
        slider.index = 50
        await until(lambda: not play.value)
        assert slider.index == 50
        assert play.description == "Play"
        play.value = True
        await until(lambda: slider.index > 51)
        shown.close()
        closed = slider.index
        await asyncio.sleep(0.07)
        assert slider.index == closed

    asyncio.run(in_a_kernel())


def test_without_a_loop_nothing_plays():
    shown = explorer(play="step")
    (play,) = parts(shown)["Play"]
    play.value = True
    assert (play.value, play.description, at(shown)) == (False, "Play", [0, 0])


def test_explorers_compose():
    """Boxes show them as they show other widgets; what closes the box leaves them to their cell."""
    one, other = explorer(), explorer(play="step", start={"amount": 0.25})
    row = widgets.HBox([one, widgets.VBox([other])])
    assert isinstance(one, widgets.VBox)
    assert repr(row) == "HBox(children=(<explorer: amount, step>, VBox(children=(<explorer: amount, step>,))))"
    assert row.get_state()["children"][0] == f"IPY_MODEL_{one.model_id}"
    other.move(step=1000)
    assert shown_by(other) == plain(draw(0.25, 1000))
    assert shown_by(one) == plain(draw(0.1, 0))
    one.close()
    other.move(step=20_000)
    assert shown_by(other) == plain(draw(0.25, 20_000))


def test_a_drawing_that_fails_at_first_leaves_no_widget_behind():
    before = set(_instances)
    with pytest.raises(KeyError):
        explore(lambda step: {}[step], step=STEPS)
    assert set(_instances) == before


def test_sliders_that_move_together_cost_one_drawing():
    drawn = []
    shown = explorer(lambda **values: drawn.append(values) or draw(**values))
    messages = listen(shown)
    drawn.clear()
    shown.move(amount=0.25, step=20_000)
    assert drawn == [{"amount": 0.25, "step": 20_000}]
    assert len(messages) == 1
    shown.reset()
    assert drawn[1:] == [{"amount": 0.1, "step": 0}]

    async def in_a_kernel():
        shown.sliders["amount"].index = 1
        shown.sliders["step"].index = 1
        assert len(drawn) == 2
        await asyncio.sleep(0.02)
        assert drawn[2:] == [{"amount": 0.25, "step": 1000}]
        shown.sliders["step"].index = 2
        bundle = shown._repr_mimebundle_()  # whoever looks sees the last state
        assert bundle["application/vnd.plotly.v1+json"]["layout"]["title"]["text"] == "0.25 20000"
        await asyncio.sleep(0.02)
        assert drawn[3:] == [{"amount": 0.25, "step": 20_000}]

    asyncio.run(in_a_kernel())
    assert len(messages) == 4
    assert error(shown) == ""


def test_two_threads_draw_in_turn():
    begun, moved = threading.Event(), threading.Event()

    def slow(amount, step):
        if step == 1000:
            begun.set()
            moved.wait(0.2)  # in vain, unless the other draws meanwhile
        return draw(amount, step)

    shown = explorer(slow)
    thread = threading.Thread(target=lambda: shown.move(step=1000))
    thread.start()
    begun.wait()
    shown.move(step=20_000)
    moved.set()
    thread.join()
    assert plain(shown._plot.drawing) == plain(draw(0.1, 20_000))


def test_only_axes_move_and_only_to_their_stops():
    shown = explorer()
    messages = listen(shown)
    with raises("only axes move, got speed, time; there are amount, step"):
        shown.move(step=0, time=1, speed=2)
    with raises("step must be one of its stops, got 3; there are 0, 1,000, 20,000"):
        shown.move(amount=0.25, step=3)
    assert at(shown) == [0, 0]
    assert messages == []
    assert shown_by(shown) == plain(draw(0.1, 0))


def test_a_closed_explorer_leaves_nothing_behind():
    before = set(_instances)
    shown = explorer(play="step")
    drawn = listen(shown)
    slider = shown.sliders["step"]
    assert set(_instances) > before
    shown.close()
    assert set(_instances) == before
    slider.index = 2
    assert drawn == []


# Errors


def test_an_error_is_shown_and_the_plot_stays():
    def fragile(step):
        if step == 1000:
            raise RuntimeError("no <b>such</b> step")
        return Drawing([], {}) if step == 20_000 else draw(0.1, 0)

    shown = explore(fragile, step=[*STEPS, 30_000])
    messages = listen(shown)
    before = shown_by(shown)
    for step, text in (
        (1000, "RuntimeError: no &lt;b&gt;such&lt;/b&gt; step"),
        (20_000, "drawings must have the same traces, got 2 and 0; hide with NaN instead"),
    ):
        shown.move(step=step)
        assert text in error(shown)
        assert "<b>" not in error(shown)
        assert shown_by(shown) == before
        assert messages == []
    shown.move(step=30_000)
    assert error(shown) == ""
    assert shown_by(shown) == before
    shown.move(step=1000)
    assert "RuntimeError" in error(shown)
    shown.reset()
    assert error(shown) == ""


AXES = {"amount": AMOUNTS, "step": STEPS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"play": ["step"]}, "play must be the name of an axis, got ['step']; leave it out"),
        ({"start": [0]}, "start must be axis -> value, got [0]; pass a dict"),
        ({"step": np.array(1)}, "the stops of step must be a sequence, or label -> value, got array(1); pass a list"),
    ],
)
def test_what_names_no_axis_is_refused(arguments, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        explore(None, **{"step": [0, 1]} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"play": "time"}, "only axes move, got time; there are amount, step"),
        ({"start": {"time": 1}}, "only axes move, got time; there are amount, step"),
        ({"play": "speed", "start": {"step": 0, "time": 1}}, "only axes move, got speed, time; there are amount, step"),
        ({"start": {"step": 1}}, "step must be one of its stops, got 1; there are 0, 1,000, 20,000"),
        ({"step": []}, "step must have at least one stop, got none; pass its values"),
        ({"step": [0, 0]}, "the stops of step must differ, got 0, 0; drop the repeats"),
    ],
)
def test_arguments_are_checked_before_anything_is_drawn(arguments, message):
    drawn, before = [], set(_instances)
    with raises(message):
        explore(lambda **values: drawn.append(values), **(AXES | arguments))
    assert drawn == []
    assert not any(isinstance(widget, own.Play) for widget in set(_instances) - before)


def test_an_explorer_has_axes():
    for make in (lambda: explore(draw), lambda: Explorer(draw, []), lambda: explore(draw, play="step")):
        with raises("an explorer must have at least one axis, got none; pass name=values"):
            make()


def test_an_explorer_of_ones_own_axes():
    shown = Explorer(draw, [Axis("amount", [0.25], ["all"], "how much"), Axis.of("step", STEPS)], play="step")
    assert [label for label, _ in shown.sliders["amount"].options] == ["all"]
    assert shown.sliders["amount"].tooltip == "how much (arrow keys, Home, End)"
    assert shown_by(shown) == plain(draw(0.25, 0))


# Stored


def test_stored_forms():
    shown = explorer(play="step")
    shown.sliders["step"].index = 2
    bundle = shown._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) >= {"text/plain", "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == "<explorer: amount, step>"
    assert bundle["application/vnd.plotly.v1+json"] == draw(0.1, 20_000).figure().to_dict()
    json.dumps(bundle)
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == shown.model_id


def test_stored_forms_of_two_sessions_compare_equal():
    bundles = [explorer()._repr_mimebundle_() for _ in range(2)]
    views = [bundle.pop("application/vnd.jupyter.widget-view+json") for bundle in bundles]
    assert bundles[0] == bundles[1]
    assert views[0] != views[1]


@pytest.fixture
def displayed(monkeypatch):
    """A list that grows with each output that is displayed, not returned."""
    outputs = []
    monkeypatch.setattr(live, "_publish", lambda data, *_, **__: outputs.append(data))
    return outputs


@pytest.mark.parametrize("metadata", [{}, {"cellId": "a"}])
def test_one_bundle_where_no_jupyterlab_asks(metadata, displayed, monkeypatch):
    monkeypatch.setattr(live, "_request", lambda: {"metadata": metadata})
    shown = explorer()
    assert DisplayFormatter().format(shown) == (shown._repr_mimebundle_(), {})
    assert displayed == []


def test_jupyterlab_saves_the_drawing_beside_the_widget(displayed, monkeypatch):
    """Of a bundle it shows the widget alone, also where the kernel of the widget is gone."""
    monkeypatch.setattr(live, "_request", lambda: {"metadata": {"cellId": "a", "deletedCells": []}})
    shown = explorer()
    shown.sliders["step"].index = 1
    assert DisplayFormatter().format(shown) == ({}, {})  # nothing more
    assert len(displayed) == 3
    shown._plot._handle_custom_msg("shown", [])  # by the page; the drawing follows, once
    shown._plot._handle_custom_msg("shown", [])
    widget, line, text, drawing = displayed
    assert text == {"text/plain": "<explorer: amount, step>"}
    assert set(widget) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert widget["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.model_id
    assert widget["text/plain"] == drawing["text/plain"] == "<explorer: amount, step>"
    assert "run this cell" in line["text/plain"]
    assert line["text/html"] == f'<p class="toylib-still">{line["text/plain"]}</p>'
    assert drawing["application/vnd.plotly.v1+json"] == draw(0.1, 1000).figure().to_dict()
    assert set(drawing) == {"text/plain", "application/vnd.plotly.v1+json"}
    displayed.clear()
    shown.sliders["step"].index = 1  # where it is
    assert displayed == []
    shown.move(amount=0.25, step=0)
    assert [output["application/vnd.plotly.v1+json"] for output in displayed] == [draw(0.25, 0).figure().to_dict()]
    displayed.clear()
    shown.close()
    assert DisplayFormatter().format(shown) == ({"text/plain": "<explorer: amount, step>"}, {})
    assert displayed == []


def test_a_saved_notebook_keeps_where_an_explorer_rests(displayed, monkeypatch):
    monkeypatch.setattr(live, "_request", lambda: {"metadata": {"cellId": "a", "deletedCells": []}})
    monkeypatch.setattr(live, "_REST_S", 0.1)
    shown = explorer()

    async def in_a_kernel():
        DisplayFormatter().format(shown)
        shown._plot._handle_custom_msg("shown", [])
        displayed.clear()
        for index in (1, 2, 1, 2):
            shown.sliders["step"].index = index
            await asyncio.sleep(0.03)
        assert displayed == []  # while it moves
        await until(lambda: displayed)
        await asyncio.sleep(0.15)
        assert [output["application/vnd.plotly.v1+json"] for output in displayed] == [
            draw(0.1, 20_000).figure().to_dict()
        ]
        shown.sliders["step"].index = 0
        await asyncio.sleep(0.03)
        shown.close()
        await asyncio.sleep(0.15)
        assert len(displayed) == 1

    asyncio.run(in_a_kernel())


# A draw that computes


def test_samples_of_distributions_are_scrubbed_over_sparsity(compiled):
    """As a notebook explores them: with the same uniform numbers at every S, and no program compiled by a move."""
    distributions = {"correlated": Correlated(2, 3), "one of three": Anticorrelated(2, 3)}
    rng, sparsities = np.random.default_rng(0), (0.5, 0.8, 0.9)
    u = {name: np.float32(rng.random((12, d.n_uniforms))) for name, d in distributions.items()}

    def draw(sparsity):
        pictures = {name: (d.from_uniforms(sparsity, u[name]), d.sets) for name, d in distributions.items()}
        return figures.gallery(pictures, title=f"Samples at S = {sparsity:.2f}")

    shown = explore(draw, sparsity=sparsities)
    compiled.clear()
    seen = {}
    for sparsity in (0.8, 0.9, 0.5):
        shown.move(sparsity=sparsity)
        assert shown.sliders["sparsity"].label == f"S = {sparsity:.2f}"
        assert error(shown) == ""
        assert shown_by(shown) == plain(draw(sparsity))
        drawing = shown._plot.drawing
        assert drawing.title == f"Samples at S = {sparsity:.2f}"
        for panel, name in enumerate(distributions):
            seen[name, sparsity] = np.concatenate([trace["z"] for trace in drawing.data[2 * panel : 2 * panel + 2]]).T
    assert compiled == []
    for (name, sparsity), x in seen.items():
        np.testing.assert_array_equal(x, distributions[name].from_uniforms(sparsity, u[name]))
    # With one stream of uniforms a feature that is on stays on as S falls.
    for sparser, denser in ((0.9, 0.8), (0.8, 0.5)):
        few, more = seen["correlated", sparser], seen["correlated", denser]
        assert np.count_nonzero(few) < np.count_nonzero(more)
        assert ((few == more) | (few == 0)).all()
    assert np.count_nonzero(seen["correlated", 0.9])
