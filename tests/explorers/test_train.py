"""A model that trains under sliders, beside training.train; buttons, errors, what is kept, what is compiled."""

import asyncio
import re
import threading
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import ipywidgets as widgets
import jax
import numpy as np
import optax
import pytest
from ipywidgets.widgets.widget import _instances  # all that are open; the public list is deprecated

from toylib import attacks, explorers, figures, theory, training
from toylib.explorers import _live
from toylib.explorers._course import course, levels_of, stacked
from toylib.explorers._live import on_interrupt
from toylib.features import Correlated, Independent
from toylib.figures import Drawing

FEATURES = Correlated(2, 2)


def trainer(**options):
    """A small one, which compiles little; 60 steps from drawing to drawing."""
    return explorers.train(FEATURES, n_hidden=2, **{"perturb": None, "speed": 60, "scale": 0.3, "seed": 3} | options)


def trained(S, n_steps, start=None, *, seed=3, scale=0.3, **options):
    """The states of the same model by `training.states` alone, the last of them."""
    options = {"n_hidden": 2, "key": jax.random.key(seed), "scale": scale, "population": True} | options
    *_, state = training.states(FEATURES, S, n_steps=n_steps, start=start, **options)
    return state


def same(run, state):
    """Check that a run ends at a state."""
    assert run.steps[-1] == state.step
    np.testing.assert_allclose(run.params.W, state.params.W, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(run.params.b, state.params.b, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(run.losses[-1], state.loss, rtol=1e-6)


def in_a_loop(call, seconds=5.0):
    """Run `call(until)` in an event loop, where `await until(condition)` waits for one."""

    async def until(condition):
        for _ in range(int(seconds / 0.005)):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it did not come")

    asyncio.run(call(until))


def message(shown):
    return shown._message.value


def title(shown):
    shown._redraw.flush()
    return shown._plot.drawing.title


# What it trains


def test_it_trains_what_train_trains():
    shown = trainer(S=0.7, learning_rate=5e-3)
    W = shown.run.weights[0]
    shown.step()
    shown.step(240)
    expected = trained(0.7, 300, learning_rate=5e-3)
    same(shown.run, expected)
    whole = training.train(
        FEATURES, 0.7, n_hidden=2, n_steps=300, key=jax.random.key(3), scale=0.3, learning_rate=5e-3, population=True
    )
    np.testing.assert_allclose(shown.run.params.W, whole.params.W, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(W, whole.weights[0])
    assert np.abs(whole.params.W - W).max() > 0.1
    assert title(shown).startswith(f"Step 300: loss {float(expected.loss):#.3g}, S = 0.70")
    assert shown.history == [(0, shown.settings)]


def test_a_run_has_the_same_snapshots_however_it_was_cut():
    runs = []
    for pieces in ([400], [7, 1, 92, 300], [133, 267]):
        shown = trainer(n_steps=1000)
        for number in pieces:
            shown.step(number)
        runs.append(shown.run)
    steps = training.log_spaced(1000)
    for run in runs:
        assert run.steps.tolist() == [*steps[steps < 400], 400]
        np.testing.assert_allclose(run.weights, runs[0].weights, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(run.losses, runs[0].losses, rtol=1e-6)
        assert run.weights.shape == (len(run.steps), 2, 4)
        assert run.biases.shape == (len(run.steps), 4)
        assert not run.diverged
    assert (np.diff(runs[0].losses) < 0).all()


def test_it_trains_in_a_loop_under_sliders_that_act_at_once():
    shown = trainer(S=0.5, speed=30, n_steps=2000)
    messages = []
    shown._plot.send = messages.append

    async def act(until):
        shown.start()
        shown.start()  # a second time, which is nothing
        assert shown.running
        await until(lambda: shown.run.steps[-1] > 40)
        shown.move(sparsity=0.8)
        await until(lambda: shown.history[-1][1].sparsity == 0.8 and shown.run.steps[-1] > shown.history[-1][0])
        shown.sliders["learning_rate"].value = 0.01
        await until(lambda: shown.history[-1][1].learning_rate == 0.01)
        await until(lambda: shown.run.steps[-1] > shown.history[-1][0] + 20)
        shown.pause()
        assert not shown.running
        at = shown.run.steps[-1]
        await asyncio.sleep(0.1)
        assert shown.run.steps[-1] == at

    in_a_loop(act)
    (first, a), (second, b), (third, c) = shown.history
    assert (first, a.sparsity, a.learning_rate) == (0, 0.5, 1e-3)
    assert (b.sparsity, b.learning_rate, c.sparsity, c.learning_rate) == (0.8, 1e-3, 0.8, 0.01)
    assert 0 < second < third
    state = trained(0.5, second)
    state = trained(0.8, third, state)
    state = trained(0.8, int(shown.run.steps[-1]), state, learning_rate=0.01)
    same(shown.run, state)
    assert len(messages) > 3
    drawn = [int(m["layout"]["title"]["text"].split(":")[0][5:].replace(",", "")) for m in messages]
    assert drawn == sorted(drawn)
    assert drawn[-1] == shown.run.steps[-1]
    assert message(shown) == ""


def test_attacks_act_at_once_and_nothing_is_compiled(compiled):
    shown = trainer(perturb=attacks.analytic, speed=10)
    compiled.clear()
    for moved in ({"norm": 0.2}, {"sparsity": 0.7, "norm": 0.5}, {"norm": 0}, {"learning_rate": 0.01, "norm": 0.1}):
        shown.move(**moved)
        shown.step(20)
    shown.move(scale=0.1, seed=5, speed=1)
    shown.step()
    shown.reset()
    shown.step()
    assert compiled == []
    shown.reset()
    shown.move(sparsity=0.9, norm=0, learning_rate=1e-3, seed=3, scale=0.3)
    shown.step(10)
    shown.move(norm=0.5)
    shown.step(30)
    radius = 0.5 * float(FEATURES.mean_norm(0.9))
    attacked = trained(0.9, 40, trained(0.9, 10), perturb=attacks.analytic, radius=radius)
    same(shown.run, attacked)
    assert np.abs(trained(0.9, 40).params.W - shown.run.params.W).max() > 1e-4
    assert [(step, settings.norm) for step, settings in shown.history] == [(0, 0), (10, 0.5)]


def test_seed_and_initial_scale_draw_a_new_start():
    shown = trainer()
    first = shown.run.weights[0]
    shown.move(scale=0.1)
    np.testing.assert_allclose(shown.run.weights[0], first / 3, rtol=1e-5)
    shown.move(seed=4)
    expected = training.train(FEATURES, 0.9, n_hidden=2, n_steps=1, key=jax.random.key(4), scale=0.1, population=True)
    np.testing.assert_array_equal(shown.run.weights[0], expected.weights[0])
    shown.step(5)
    shown.move(scale=1)
    assert message(shown) == "the new initial scale acts at Reset"
    assert shown.run.steps[-1] == 5
    shown.reset()
    assert shown.run.steps.tolist() == [0]
    assert shown.history == []
    np.testing.assert_allclose(shown.run.weights[0], 10 * expected.weights[0], rtol=1e-5)

    async def act(until):
        shown.start()
        await until(lambda: shown.run.steps[-1] > 100)
        shown.move(seed=7)  # begins anew, and goes on
        assert shown.running
        assert shown.run.steps[-1] == 0
        await until(lambda: shown.run.steps[-1] > 10)
        shown.reset()
        assert not shown.running
        assert shown.run.steps[-1] == 0

    in_a_loop(act)
    assert np.abs(shown.run.weights[0] - 10 * expected.weights[0]).max() > 0.1


def test_another_optimiser_while_it_trains_ends_what_the_old_one_has_begun():
    shown = trainer(optimizers={"Adam": optax.adam, "descent": optax.sgd}, speed=1000, n_steps=10**6)
    shown._session._pace = 100.0  # a drawing takes many pieces

    async def act(until):
        shown.start()
        await until(lambda: shown._session.state.step > 0)
        shown.optimizer.value = "descent"
        at = shown._session.state.step
        assert at < 1000
        assert shown.running
        await until(lambda: shown._session.state.step > at)
        shown.pause()

    in_a_loop(act)
    assert message(shown) == ""
    (_, first), (second, last) = shown.history
    assert (first.optimizer, last.optimizer) == ("Adam", "descent")
    state = trained(0.9, second)
    options = {
        "n_hidden": 2,
        "key": jax.random.key(3),
        "optimizer": optax.sgd,
        "learning_rate": 1e-3,
        "population": True,
    }
    fresh = next(training.states(FEATURES, 0.9, start=state.params, **options))
    same(
        shown.run,
        trained(0.9, shown.run.steps[-1], fresh._replace(step=second), optimizer=optax.sgd, learning_rate=1e-3),
    )


def test_another_optimiser_goes_on_from_the_model():
    momentum = partial(optax.sgd, momentum=0.5)
    shown = trainer(optimizers={"Adam": optax.adam, "momentum": momentum}, learning_rate=0.01)
    shown.step(30)
    shown.optimizer.value = "momentum"
    shown.step(20)
    begun = trained(0.9, 30, learning_rate=0.01)
    fresh = next(
        training.states(
            FEATURES,
            0.9,
            n_hidden=2,
            key=jax.random.key(3),
            start=begun.params,
            optimizer=momentum,
            learning_rate=0.01,
            population=True,
        )
    )
    same(shown.run, trained(0.9, 50, fresh._replace(step=30), optimizer=momentum, learning_rate=0.01))
    assert [(step, settings.optimizer) for step, settings in shown.history] == [(0, "Adam"), (30, "momentum")]


def test_batches_and_options_of_states():
    options = {"population": False, "batch_size": 16, "importance": np.float32([1, 0.5, 0.25, 0.125])}
    shown = trainer(**options)
    shown.step(25)
    shown.step(25)
    same(shown.run, trained(0.9, 50, **options))
    assert [trace["name"] for trace in shown._plot.drawing.data if trace.get("yaxis") == "y9"] == [""]


# Buttons


def test_stop_keeps_the_run_and_reset_does_not():
    shown = trainer()
    buttons = {button.description: button for button in shown.children[1].children}
    assert [*buttons] == ["Start", "Pause", "Step", "Reset", "Stop"]
    buttons["Step"].click()
    buttons["Stop"].click()
    assert message(shown) == "kept 60 steps in .kept[0]"
    buttons["Step"].click()
    buttons["Stop"].click()
    buttons["Reset"].click()
    assert [run.steps[-1] for run in shown.kept] == [60, 120]
    assert shown.run.steps.tolist() == [0]
    np.testing.assert_array_equal(shown.kept[0].weights[0], shown.run.weights[0])
    same(shown.kept[1], trained(0.9, 120))
    assert title(shown).startswith("Step 0: ")


def test_buttons_say_what_they_can_do():
    shown = trainer()
    start, pause, *_ = shown.children[1].children
    assert (start.disabled, pause.disabled) == (False, True)

    async def act(until):
        start.click()
        assert (start.disabled, pause.disabled) == (True, False)
        await until(lambda: shown.run.steps[-1] > 0)
        pause.click()
        assert (start.disabled, pause.disabled) == (False, True)

    in_a_loop(act)


def test_it_ends_at_the_last_step():
    shown = trainer(n_steps=150)

    async def act(until):
        shown.start()
        await until(lambda: not shown.running)

    in_a_loop(act)
    same(shown.run, trained(0.9, 150))
    assert message(shown) == "step 150 is the last; press Reset, or pass a larger n_steps"
    assert title(shown).startswith("Step 150: ")
    shown.step()
    shown.start()
    assert not shown.running
    assert shown.run.steps[-1] == 150
    shown.reset()
    assert message(shown) == ""
    shown.step(1000)
    assert shown.run.steps[-1] == 150


def test_without_an_event_loop_it_steps_only():
    shown = trainer()
    text = "start must be called where an event loop runs, as in a notebook, got none; call step(number)"
    with pytest.raises(RuntimeError, match=f"^{re.escape(text)}$"):
        shown.start()
    shown.step(3)
    assert shown.run.steps[-1] == 3


def test_two_threads_take_turns():
    shown = trainer(n_steps=400)
    threads = [threading.Thread(target=lambda: [shown.step(5) for _ in range(20)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(shown.run, trained(0.9, 200))


def test_a_button_in_another_thread_trains_in_that_of_the_cells(monkeypatch):
    shown = trainer()
    where = set()

    def advance(*arguments, advance=shown._session.advance):
        for piece in advance(*arguments):
            where.add(threading.current_thread())
            yield piece

    monkeypatch.setattr(shown._session, "advance", advance)

    async def act(until):
        loop = SimpleNamespace(asyncio_loop=asyncio.get_running_loop())
        kernel = SimpleNamespace(initialized=lambda: True, instance=lambda: SimpleNamespace(io_loop=loop))
        monkeypatch.setattr(_live, "IPythonKernel", kernel)
        await asyncio.to_thread(shown.start)
        assert shown.running
        await until(lambda: shown.run.steps[-1] > 0)
        await asyncio.to_thread(shown.pause)
        assert not shown.running
        at = shown.run.steps[-1]
        await asyncio.sleep(0.1)
        assert shown.run.steps[-1] == at

    in_a_loop(act)
    assert where == {threading.current_thread()}


# What goes wrong


def test_divergence_is_said_and_reset_helps():
    shown = trainer(optimizers={"descent": optax.sgd}, learning_rate=30.0)

    async def act(until):
        shown.start()
        await until(lambda: not shown.running)

    in_a_loop(act)
    assert message(shown).startswith("<b>diverged</b> after step ")
    assert message(shown).endswith(" at learning rate 30.0; lower it and press Reset")
    run = shown.run
    assert run.diverged
    assert np.isnan(run.losses[-1])
    assert np.isfinite(run.losses[:-1]).all()
    shown.step()
    shown.move(sparsity=0.5)
    assert "diverged" in message(shown) or shown.run.diverged
    shown.reset()
    shown.move(learning_rate=1e-3)
    shown.step(5)
    assert not shown.run.diverged
    assert shown.run.steps[-1] == 5
    assert message(shown) == ""


def test_an_error_is_shown_and_training_pauses(monkeypatch):
    def levels(S):
        if S == 0.8:
            raise RuntimeError("no <b>such</b> level")
        return {"level": 0.1}

    shown = trainer(levels=levels)

    async def act(until):
        shown.start()
        await until(lambda: shown.run.steps[-1] > 0)
        shown.move(sparsity=0.8)
        await until(lambda: not shown.running)

    in_a_loop(act)
    assert "RuntimeError: no &lt;b&gt;such&lt;/b&gt; level" in message(shown)
    shown.move(sparsity=0.7)
    shown.step()
    assert message(shown) == ""
    monkeypatch.setattr(shown._session, "advance", lambda *_: 1 / 0)
    shown.children[1].children[2].click()
    assert "ZeroDivisionError" in message(shown)
    in_a_loop(act_on(shown))
    assert "ZeroDivisionError" in message(shown)


def act_on(shown):
    async def act(until):
        shown.start()
        await until(lambda: not shown.running)

    return act


def test_an_interrupt_pauses():
    shown = trainer()
    signal = pytest.importorskip("signal")
    before = signal.getsignal(signal.SIGINT)

    async def act(until):
        heard = []
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a kernel does between messages
        shown.start()
        await until(lambda: shown.run.steps[-1] > 0)
        signal.raise_signal(signal.SIGINT)
        await until(lambda: not shown.running)
        await until(lambda: signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
        signal.signal(signal.SIGINT, lambda *_: heard.append("before"))
        with on_interrupt(lambda: heard.append("call")):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)
        assert heard == ["before", "call"]

    try:
        in_a_loop(act)
    finally:
        signal.signal(signal.SIGINT, before)
    assert message(shown) == "interrupted"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"S": 1.0}, ValueError, "S must lie in [0, 1), got 1; it is the probability that a gate is off"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"speed": 0.5}, TypeError, "speed must be an integer, got 0.5"),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0"),
        ({"scale": -1}, ValueError, "scale must lie in [0, 1e+18], got -1"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must lie in [0, 1e+18], got nan"),
        ({"norm": 0.1}, ValueError, "norm must be 0 without an attack, got 0.1; pass perturb as well"),
        ({"optimizers": {}}, ValueError, "there must be at least one optimizer, got none"),
        *(
            ({"optimizers": odd}, TypeError, "optimizers must be name -> what makes one from a rate, got ")
            for odd in (optax.adam, ["adam"], {"a": "x"})
        ),
        ({"levels": lambda S: 3}, TypeError, "levels must be name -> loss, or S -> such, got 3; pass a dict"),
        ({"levels": lambda S: {"a": "x"}}, TypeError, "levels of a must be a number, got 'x'; pass one"),
        ({"optimizers": {"a": optax.adam(1e-3)}}, ValueError, "learning_rate must be None beside a ready-made optim"),
        (
            {"start": None, "key": 1},
            ValueError,
            "options must leave key, optimizer, radius, snapshots, start to the explorer, got key, start; drop it",
        ),
        ({"batch": 3}, TypeError, "states() got an unexpected keyword argument 'batch'"),
    ],
)
def test_arguments_are_checked_before_a_widget_is_made(options, error, text):
    before = set(_instances)
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        trainer(**options)
    assert set(_instances) == before


def test_only_sliders_move_and_only_to_their_stops():
    shown = trainer()
    names = "sparsity, learning_rate, scale, seed, speed"
    with pytest.raises(ValueError, match=f"^only sliders move, got norm; there are {names}$"):
        shown.move(norm=0.1, seed=1)
    with pytest.raises(ValueError, match=r"^sparsity must be one of its stops, got 0\.123; there are S = 0\.00, "):
        shown.move(seed=1, sparsity=0.123)
    assert shown.settings == trainer().settings


# Widgets


def test_sliders_begin_at_what_was_passed():
    shown = explorers.train(FEATURES, n_hidden=2, S=0.87, seed=33, scale=0.02, learning_rate=0.003, norm=0.07, speed=7)
    assert {name: slider.value for name, slider in shown.sliders.items()} == {
        "sparsity": 0.87,
        "learning_rate": 0.003,
        "norm": 0.07,
        "scale": 0.02,
        "seed": 33,
        "speed": 7,
    }
    assert [slider.label for slider in shown.sliders.values()][:3] == ["S = 0.87", "0.003", "0.07 · E‖x‖"]
    for slider in shown.sliders.values():
        values = [value for _, value in slider.options]
        assert values == sorted(values)
    assert shown.optimizer.options == ("Adam", "momentum 0.9", "gradient descent")


def test_one_feature_in_one_dimension():
    shown = explorers.train(Independent(1), n_hidden=1, perturb=None, levels=lambda S: {"half": S / 2})
    shown.step(3)
    assert re.fullmatch(r"Step 3: loss 0\.\d+, S = 0\.90", title(shown))  # its states have no names
    assert shown._plot.drawing.data[-1]["y"][0] == np.float32(0.45)


def test_it_composes_and_closes():
    before = set(_instances)
    shown = trainer()
    box = widgets.HBox([shown])
    assert box.children == (shown,)
    shown.step(3)
    sliders = shown.sliders

    async def act(until):
        shown.start()
        await until(lambda: shown.run.steps[-1] > 3)
        shown.close()
        at = shown._session.state.step
        await asyncio.sleep(0.1)
        assert shown._session.state.step == at

    in_a_loop(act)
    box.close()
    box.layout.close()
    assert set(_instances) == before
    sliders["sparsity"].value = 0.5


def test_stored_forms():
    bundles = [trainer()._repr_mimebundle_() for _ in range(2)]
    views = [bundle.pop("application/vnd.jupyter.widget-view+json")["model_id"] for bundle in bundles]
    assert views[0] != views[1]
    assert bundles[0] == bundles[1]
    assert bundles[0]["text/plain"] == "<explorer: train>"
    shown = trainer()
    assert bundles[0]["application/vnd.plotly.v1+json"] == shown.drawing().figure().to_dict()
    shown.step(50)
    moved = shown._repr_mimebundle_()["application/vnd.plotly.v1+json"]
    assert moved["layout"]["title"]["text"].startswith("Step 50: ")


# Drawings and levels


def test_levels_are_exact_losses():
    assert levels_of(Correlated(2, 3), 3, 0.9) == {
        "PCA, p/3": theory.pca_plateau(0.9),
        "octahedron, p²": theory.octahedron_loss(0.9),
    }
    p = 0.3
    one = p / 3 - p**2 / 4  # the variance of a feature
    five = levels_of(Independent(5), 2, 1 - p)
    assert five == pytest.approx({"bias alone": 5 * one, "best linear": 3 * one}, rel=1e-5)
    pairs = levels_of(Independent(6), 3, 1 - p)
    assert pairs == pytest.approx({"bias alone": 6 * one, "best linear": 3 * one, "antipodal pairs": p**2}, rel=1e-5)
    best = theory.linear_plateau(1 - p, n_modes=4, n_sets=3, set_size=2)
    assert levels_of(Correlated(3, 2), 4, 1 - p)["best linear"] == pytest.approx(best, rel=1e-4)
    assert levels_of(Correlated(3, 2), 9, 1 - p)["best linear"] == 0


def drawn(m, losses=(0.5, 0.1, 0.02), levels=None, scale=1.0):
    W = scale * np.random.default_rng(m).normal(size=(m, 6))
    sets = ((0, 1, 2), (3, 4, 5))
    steps = [0, 100, 2000][: len(losses)]
    return course(W, sets, steps, losses, n_steps=5000, levels=levels or {"a": 0.03, "b": 0.3}, title="T")


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_a_course_has_the_model_above_and_the_loss_below(m):
    drawing = drawn(m)
    drawing.figure()  # plotly checks every property
    alone = figures.directions(drawing_weights(m), ((0, 1, 2), (3, 4, 5)), title="T")
    assert len(drawing.data) == len(alone.data) + 3
    curve, a, b = drawing.data[-3:]
    np.testing.assert_allclose(curve["x"], [10, 10, 100, 2000, 5000])
    np.testing.assert_allclose(curve["y"], [np.nan, 0.5, 0.1, 0.02, np.nan])
    assert {*a["y"].tolist()} == {np.float32(0.03)}
    assert b["name"] == "b"
    assert {trace["yaxis"] for trace in drawing.data[-3:]} == {"y9"}
    below = drawing.layout["yaxis9"]
    assert below["range"] == pytest.approx([-2, 0])
    assert 10 ** below["range"][0] < 0.02
    tops = [axis["domain"] for name, axis in drawing.layout.items() if name.startswith("yaxis") and name != "yaxis9"]
    tops += [scene["domain"]["y"] for name, scene in drawing.layout.items() if name.startswith("scene")]
    assert tops
    assert all(below["domain"][1] < low < high <= 1 for low, high in tops)
    texts = {note["text"]: note for note in drawing.layout["annotations"]}
    assert {"a", "b"} <= {*texts}
    assert all(texts[name]["xref"].startswith("x9") and texts[name]["yref"].startswith("y9") for name in "ab")


def drawing_weights(m):
    return np.random.default_rng(m).normal(size=(m, 6))


def test_courses_of_one_run_have_the_same_traces():
    """From the first step on, with levels that come and go, a loss below its axis, and a model without weights."""
    cases = [
        drawn(3, losses=(0.5,)),
        drawn(3, levels={"a": 0, "b": 0.2}),
        drawn(3, losses=(0.5, 0.0, 1e-9)),
        drawn(3, scale=0.0),
        drawn(3, scale=7.0),
    ]
    for drawing in cases:
        assert isinstance(drawing, Drawing)
        drawing.figure()
        drawn(3).changes(drawing)
    for before, after in pairwise([drawn(3, losses=(0.5, 0.1)), drawn(3, losses=(0.5, 0.1, 0.06))]):
        _, names = before.changes(after)
        assert "yaxis9" not in names  # the axis stays while it holds the loss


def test_what_is_placed_by_the_height_of_the_paper_moves_up():
    notes = [{"text": "top", "yref": "paper", "y": 1.0}, {"text": "data", "yref": "y", "y": 0.2}]
    bar = {"type": "heatmap", "colorbar": {"len": 0.5, "y": 0.5}}
    above = Drawing([bar], {"annotations": notes, "yaxis": {"domain": [0.5, 1]}, "xaxis": {}, "margin": {"r": 200}})
    below = figures.lines([1, 2], {"y": [1, 2]}, title="", x_title="x", y_title="y", dashed={"level": 1.5})
    both = stacked(above, below)
    low = both.layout["yaxis"]["domain"][0]
    assert both.layout["annotations"][0] == {"text": "top", "yref": "paper", "y": 1.0}
    assert both.layout["annotations"][1] == notes[1]
    assert both.layout["yaxis"]["domain"] == pytest.approx([low, 1])
    assert both.data[0]["colorbar"]["y"] == pytest.approx(low)  # its middle was half way up
    assert both.data[0]["colorbar"]["len"] == pytest.approx(1 - low)
    assert both.layout["margin"]["r"] == 200
    assert both.layout["xaxis9"]["anchor"] == "y9"
