"""Labelled sliders over one live plot."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from toylib._drawable import started
from toylib.explorers._live import Plot, Shown, Soon, close_when_run_again, in_turn, went_wrong
from toylib.figures import Axis, Drawing

_STOP_S = 0.15  # that a stop is shown while playing


class Explorer(Shown):
    """Labelled sliders over one live plot, as `explore` makes it: a widget like others, to be put into boxes and tabs.

    It shows the sliders (arrow keys, Home and End move the one in focus), Play where there is a time axis, and Reset.
    Sliders that move together cost one drawing. An error in drawing appears below the sliders, and the plot stays as it
    was. When its cell runs again, the explorer of the run before is closed. Without a kernel there is its drawing.

    Args:
        draw: one keyword per axis, one of its values -> drawing, with the same traces for all.
        axes: what the sliders run over.
        play: name of the axis that Play runs through, or None.
        start: name of an axis -> value to begin with, the first by default.

    Attributes:
        axes: name -> what its slider runs over.
        play: as given.
        sliders: name -> the slider; setting its `index` moves the plot.

    Raises:
        ValueError: no axes; `play` or `start` names something else, or a value that is no stop.
    """

    def __init__(
        self,
        draw: Callable[..., Drawing],
        axes: Sequence[Axis],
        *,
        play: str | None = None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the sliders and draw once."""
        self._draw, self.play = draw, play
        self.axes = {axis.name: axis for axis in axes}
        if not axes:
            raise ValueError("an explorer must have at least one axis, got none; pass name=values")
        if not (play is None or isinstance(play, str)):
            raise TypeError(f"play must be the name of an axis, got {play!r:.80}; leave it out")
        begin = started(start)
        self._check({*begin, *([play] if play else [])})
        self._start = {name: axis.values[0] for name, axis in self.axes.items()} | begin
        positions = {name: axis.position(self._start[name]) for name, axis in self.axes.items()}
        first = Drawing.of(draw, **self._start)  # before any widget is made, which would stay if it failed
        self.sliders = {
            name: widgets.SelectionSlider(
                options=[(label, i) for i, label in enumerate(axis.labels)],
                value=positions[name],
                description=name.replace("_", " "),
                tooltip=f"{axis.about} (arrow keys, Home, End)",
                continuous_update=True,
                style={"description_width": "90px"},
                layout={"width": "auto", "max_width": "700px"},
            )
            for name, axis in self.axes.items()
        }
        plot, redraw = Plot(first), Soon(self._show)
        self._error = widgets.HTML()
        reset = widgets.Button(description="Reset", icon="undo", tooltip="back to the first view")
        reset.on_click(lambda _: self.reset())
        buttons = widgets.HBox([*([Play(play, self.sliders[play])] if play else []), reset])
        for slider in self.sliders.values():
            slider.observe(redraw, names="value")
        super().__init__([*self.sliders.values(), buttons, self._error, plot], plot, redraw)
        close_when_run_again(self.close)

    def drawing(self, **values: Any) -> Drawing:
        """The drawing of these values, and of those that the other sliders have, drawn anew.

        Raises:
            ValueError: no axis has the name, or no stop the value.
        """
        self._check(values)
        shown = {name: slider.index for name, slider in self.sliders.items()}
        shown |= {name: self.axes[name].position(value) for name, value in values.items()}
        return Drawing.of(self._draw, **{name: self.axes[name].values[i] for name, i in shown.items()})

    def move(self, **values: Any) -> None:
        """Move several sliders to values among their stops, with one drawing.

        Raises:
            ValueError: no axis has the name, or no stop the value.
        """
        self._check(values)
        positions = {name: self.axes[name].position(value) for name, value in values.items()}
        with self._redraw.held():
            for name, position in positions.items():
                self.sliders[name].index = position

    def reset(self) -> None:
        """Back to the first view."""
        self.move(**self._start)

    def _check(self, names: Any) -> None:
        if unknown := {*names} - {*self.axes}:
            raise ValueError(
                f"only axes move, got {', '.join(sorted(map(str, unknown)))}; there are {', '.join(sorted(self.axes))}"
            )

    @in_turn
    def _show(self) -> None:
        try:
            self._plot.move(self.drawing())
        except Exception:
            self._error.value = went_wrong()
        else:
            self._error.value = ""

    def __repr__(self) -> str:
        """Fixed, so that stored outputs compare, of boxes that hold it too."""
        return f"<explorer: {', '.join(self.sliders)}>"


class Play(widgets.ToggleButton):
    """Play, which says Pause while a slider runs through its stops, and stays where that ends.

    It runs in the kernel, so that a slow drawing slows it, and nothing queues. Whoever moves the slider takes over.

    Args:
        name: of what plays.
        slider: what it moves.

    Attributes:
        slider: the same.
    """

    def __init__(self, name: str, slider: widgets.SelectionSlider) -> None:
        """Wait for the first press."""
        super().__init__(icon="play", description="Play", tooltip=f"play {name}")
        self.slider = slider
        self._task: asyncio.Task[None] | None = None
        self.observe(self._toggle, names="value")

    def _toggle(self, change: Any) -> None:
        self.icon, self.description = ("pause", "Pause") if self.value else ("play", "Play")
        self._task = None
        if self.value:
            try:
                self._task = asyncio.get_running_loop().create_task(self._run())
            except RuntimeError:  # no loop runs, so nothing plays
                self.value = False

    async def _run(self) -> None:
        task, last = self._task, len(self.slider.options) - 1
        at = self.slider.index if self.slider.index < last else -1
        while at < last:
            at += 1
            self.slider.index = at
            await asyncio.sleep(_STOP_S)
            if self._task is not task:  # taken away, perhaps in another thread
                return
            if self.slider.index != at:
                break
        self._task = None
        self.value = False

    def close(self) -> None:
        """Stop, and go."""
        self.value = False
        super().close()


def explore(
    draw: Callable[..., Drawing],
    *,
    play: str | None = None,
    start: Mapping[str, Any] | None = None,
    **axes: Sequence[Any] | Mapping[str, Any],
) -> Explorer:
    """Sliders that move a drawing with a live kernel.

    Args:
        draw: called with one keyword per axis, as `figures.frames` calls it; pure, cheap, and compiled before a slider
            moves. Such as a picture of `figures` with all else bound.
        play: name of the axis that Play runs through; no Play without one.
        start: name of an axis -> value to begin with, the first by default.
        axes: name=stops: values, or label -> value. Sparsity, norm, step, seed, attack and sample are written with
            their units. The names draw, play and start are taken.

    Raises:
        ValueError: no axis, an axis without stops or with equal ones, or `play` or `start` that names none.
    """
    return Explorer(draw, [Axis.of(name, stops) for name, stops in axes.items()], play=play, start=start)
