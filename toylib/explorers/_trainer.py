"""The widget of a model in training: sliders, buttons, and a task in the kernel's event loop."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache, partial
from typing import Any

import ipywidgets as widgets
import numpy as np

from toylib._checks import check_size
from toylib.explorers._course import course
from toylib.explorers._live import (
    Plot,
    Shown,
    Soon,
    close_when_run_again,
    in_turn,
    loop_of_cells,
    on_interrupt,
    went_wrong,
)
from toylib.explorers._session import STOPS, Session, Settings
from toylib.features import Features
from toylib.figures import Axis, Drawing
from toylib.geometry import classify
from toylib.training import Run

_BREATH_S = 0.002  # for the kernel to take up messages
_FRAME_S = 0.08  # from one drawing to the next
_NAME_S = 0.5  # from one naming of the state to the next
_BUTTONS = {
    "start": {"description": "Start", "icon": "play", "tooltip": "train, until Pause or Stop"},
    "pause": {"description": "Pause", "icon": "pause", "tooltip": "stay at this step; Start goes on"},
    "step": {"description": "Step", "icon": "step-forward", "tooltip": "take the steps of one drawing"},
    "reset": {"description": "Reset", "icon": "undo", "tooltip": "back to step 0, with this seed and initial scale"},
    "stop": {"description": "Stop", "icon": "stop", "tooltip": "pause, and keep the run in .kept"},
}
_LOOKS = {"layout": {"width": "345px"}, "style": {"description_width": "90px"}}


class Trainer(Shown):
    """A model in training, as `train` makes it: sliders, buttons and one plot; a widget like others, for any box.

    Each button is a method too. `training.states` trains, in pieces of at most some hundredths of a second, between
    which the kernel takes up what sliders and cells ask for; while a cell runs, training waits. When its cell runs
    again, it ends.

    Args:
        session: the model.
        settings: that it begins with.
        features: distribution of the inputs.
        n_steps, speed, levels: as in `train`.

    Attributes:
        sliders: name -> the slider; setting its `value` acts as moving it does.
        optimizer: the menu of optimisers; `value` is a name.
        kept: the runs that `stop` kept, in order.
    """

    def __init__(
        self,
        session: Session,
        settings: Settings,
        features: Features,
        *,
        n_steps: int,
        speed: int,
        levels: Callable[[float], Mapping[str, float]],
    ) -> None:
        """Show the start."""
        self._session, self._sets, self._n_steps = session, features.sets, n_steps
        self._levels = lru_cache(64)(levels)
        values = {**settings._asdict(), "speed": speed}
        names = [name for name in STOPS if name != "norm" or session.attacked]
        self.sliders = {name: _slider(name, values[name]) for name in names}
        self.optimizer = widgets.Dropdown(options=session.optimizers, description="optimiser", **_LOOKS)
        self.kept: list[Run] = []
        self._task: Future[None] | None = None
        self._name, self._named_at = "", -np.inf
        plot, self._message = Plot(self.drawing()), widgets.HTML()
        self._buttons = {name: widgets.Button(**look, layout={"width": "130px"}) for name, look in _BUTTONS.items()}
        for name, button in self._buttons.items():
            button.on_click(partial(lambda press, _: self._tried(press), getattr(self, name)))
        for name, menu in {**self.sliders, "optimizer": self.optimizer}.items():
            menu.observe(partial(lambda name, _: self._tried(partial(self._moved, name)), name), names="value")
        wrap = {"flex_flow": "row wrap", "max_width": "720px"}
        controls = widgets.Box([*self.sliders.values(), self.optimizer], layout=wrap)
        buttons = widgets.Box([*self._buttons.values()], layout=wrap)
        super().__init__([controls, buttons, self._message, plot], plot, Soon(self._show))
        self._say()
        close_when_run_again(self.close)

    @in_turn
    def start(self) -> None:
        """Train until `pause`, `stop` or `n_steps`; while it trains already, nothing.

        Raises:
            RuntimeError: no event loop runs, as one does in a notebook.
        """
        if self.running or self._is_over():
            return
        try:
            loop = loop_of_cells()
        except RuntimeError:
            text = "start must be called where an event loop runs, as in a notebook, got none; call step(number)"
            raise RuntimeError(text) from None
        self._task = asyncio.run_coroutine_threadsafe(self._train(), loop)
        self._say()

    @in_turn
    def pause(self, text: str = "") -> None:
        """Stay at this step, and say why if a text does; `start` goes on."""
        if self._task:
            self._task = None
            self._redraw()
        self._say(text)

    @in_turn
    def step(self, number: int | None = None) -> None:
        """Pause, and take so many steps, by default as many as from one drawing to the next; not beyond `n_steps`."""
        number = self.sliders["speed"].value if number is None else check_size("number", number)
        self.pause()
        if not self._is_over():
            for _ in self._session.advance(min(self._session.state.step + number, self._n_steps), self.settings):
                pass
            self._is_over()
            self._redraw()

    @in_turn
    def reset(self) -> None:
        """Pause, and draw a new start from seed and initial scale; the run so far goes, unless `stop` kept it."""
        self.pause()
        self._session.begin(self.settings)
        self._redraw()

    @in_turn
    def stop(self) -> None:
        """Pause, and keep the run so far in `kept`; `start` goes on, `reset` begins anew."""
        self.kept.append(self.run)
        self.pause(f"kept {self.run.steps[-1]:,} steps in .kept[{len(self.kept) - 1}]")

    def move(self, **values: Any) -> None:
        """Move several sliders to values among their stops.

        Raises:
            ValueError: no slider has the name, or no stop the value.
        """
        if unknown := {*values} - {*self.sliders}:
            there = ", ".join(self.sliders)
            raise ValueError(f"only sliders move, got {', '.join(sorted(unknown))}; there are {there}")
        at = {name: _axis(name, [v for _, v in self.sliders[name].options]).position(v) for name, v in values.items()}
        for name, position in at.items():
            self.sliders[name].index = position

    def close(self) -> None:
        """End training, and take it off the page, its callbacks and widgets out of the kernel."""
        self._task = None
        super().close()

    @property
    def running(self) -> bool:
        """Whether it trains."""
        return self._task is not None

    @property
    def settings(self) -> Settings:
        """What the sliders say."""
        values: dict[str, Any] = {"norm": 0.0, "optimizer": self.optimizer.value}
        values |= {name: slider.value for name, slider in self.sliders.items()}
        return Settings(*(values[name] for name in Settings._fields))

    @property
    @in_turn
    def run(self) -> Run:
        """What has been done since the last new start, as `training.train` would give it; `history` says under what."""
        return self._session.run

    @property
    def history(self) -> list[tuple[int, Settings]]:
        """(step, settings) for all settings that steps were taken with since the last new start."""
        return [*self._session.history]

    def drawing(self) -> Drawing:
        """The drawing of the model as it is."""
        state, (steps, losses) = self._session.state, self._session.curve()
        W, now = np.asarray(state.params.W), time.monotonic()
        if not self.running or now - self._named_at > _NAME_S:
            self._name, self._named_at = classify(W, self._sets) if len(W) > 1 else "other", now
        name = "" if self._name == "other" else f", {self._name}"
        return course(
            W,
            self._sets,
            steps,
            losses,
            n_steps=self._n_steps,
            levels=self._levels(self.sliders["sparsity"].value),
            title=f"Step {state.step:,}: loss {float(state.loss):#.3g}, {self.sliders['sparsity'].label}{name}",
        )

    async def _train(self) -> None:
        """Train, drawing by drawing, until someone takes the task away."""
        with self._plot.turn:  # of `start`, perhaps in another thread
            task = self._task
        try:
            while self._task is task and not self._is_over():
                with on_interrupt(partial(self.pause, "interrupted")):
                    began = time.perf_counter()
                    target = min(self._session.state.step + self.sliders["speed"].value, self._n_steps)
                    pieces = self._session.advance(target, self.settings)
                    while self._goes_on(pieces, task):
                        await asyncio.sleep(_BREATH_S)
                    self._show()
                    await asyncio.sleep(max(_BREATH_S, _FRAME_S - (time.perf_counter() - began)))
        except Exception:
            self._message.value = went_wrong()
        finally:
            with self._plot.turn:
                if self._task is task:  # else who has ended it has said so
                    self._task = None
                    self._redraw()
                    self._say(self._message.value)

    @in_turn
    def _goes_on(self, pieces: Iterator[None], task: Future[None] | None) -> bool:
        """Train one piece, if this is still the task; whether there may be more."""
        return self._task is task and next(pieces, self) is None

    def _is_over(self) -> bool:
        """Whether there is nothing to go on with, which it says."""
        step = self._session.state.step
        if self._session.diverged:
            what = f"learning rate {self.sliders['learning_rate'].label}" if step else "this initial scale"
            self._say(f"<b>diverged</b> after step {step:,} at {what}; lower it and press Reset")
        elif step >= self._n_steps:
            self._say(f"step {self._n_steps:,} is the last; press Reset, or pass a larger n_steps")
        else:
            return False
        return True

    @in_turn
    def _moved(self, name: str) -> None:
        """Do what a slider says."""
        running = self.running
        if name == "optimizer":
            if running:
                self.pause()  # what the old one is in the middle of is not taken up
            self._session.switch(self.settings)
        elif name in ("seed", "scale"):
            if not running and self._session.state.step:
                self._say(f"the new {STOPS[name][0]} acts at Reset")
                return
            self.reset()
        elif name != "speed" and not running:
            self._session.look(self.settings)
        if running:
            self.start()
        self._redraw()

    @in_turn
    def _show(self) -> None:
        self._tried(lambda: self._plot.move(self.drawing()))

    def _tried(self, call: Callable[[], None]) -> None:
        """Call; an error pauses training and appears in the explorer."""
        try:
            call()
        except Exception:
            self.pause(went_wrong())

    def _say(self, text: str = "") -> None:
        """Write a line, and show which buttons do something."""
        self._message.value = text
        self._buttons["start"].disabled, self._buttons["pause"].disabled = self.running, not self.running

    def __repr__(self) -> str:
        """Fixed, so that stored outputs compare."""
        return "<explorer: train>"


def _axis(name: str, stops: Sequence[float]) -> Axis:
    """The axis of a slider; small numbers have no more digits than they need."""
    about = STOPS[name][2]
    if name in ("sparsity", "norm"):
        return Axis.of(name, stops)._replace(about=about)
    return Axis(name, list(stops), [f"{stop:g}" if stop < 1 else f"{stop:,}" for stop in stops], about)


def _slider(name: str, value: float) -> widgets.SelectionSlider:
    """A slider over the stops of a setting and the value that it begins with."""
    axis = _axis(name, sorted({*STOPS[name][1], value}))
    return widgets.SelectionSlider(
        options=list(zip(axis.labels, axis.values, strict=True)),
        index=axis.values.index(value),  # with `value` the label of the first stop would be empty
        description=STOPS[name][0],
        tooltip=f"{axis.about} (arrow keys, Home, End)",
        continuous_update=True,
        **_LOOKS,
    )
