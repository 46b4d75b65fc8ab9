"""What explorers are made of: a plot moved by one message, calls that merge, widgets that go when their cell reruns."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from ipykernel.ipkernel import IPythonKernel

from toylib.drawings import Drawing, changes, compact

_TOGETHER_S = 0.004  # between two requests that count as one; a kernel takes a millisecond or two for a message


class Plot(anywidget.AnyWidget):
    """A drawing in the browser, moved by the kernel.

    plotly's own FigureWidget reports every property of every trace back to the kernel after each move, and checks each
    value that it sends; this one does neither. `make bench` measures both beside the browser alone.

    Args:
        drawing: what to show first.

    Attributes:
        drawing: what is shown.
    """

    _esm = files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8") + files(
        "toylib"
    ).joinpath("live.js").read_text(encoding="utf-8")
    _figure = traitlets.Dict().tag(sync=True)

    def __init__(self, drawing: Drawing, **kwargs: Any) -> None:
        """Show a first drawing."""
        super().__init__(_figure=compact(drawing), **kwargs)
        self.drawing = drawing

    def move(self, drawing: Drawing) -> None:
        """Show another drawing of the same traces, in one message, or none if nothing changed.

        Raises:
            ValueError: other traces; what is shown stays.
        """
        traces, names = changes(self.drawing, drawing)
        if traces or names:
            new = {i: {name: compact(drawing["data"][i].get(name)) for name in traces[i]} for i in traces}
            layout = {name: compact(drawing["layout"].get(name)) for name in names}
            # Kept here too, unsent, for a page that is loaded anew.
            for i, changed in new.items():
                self._figure["data"][i].update(changed)
            self._figure["layout"].update(layout)
            self.send({"traces": new, "layout": layout})
        self.drawing = drawing


class Soon:
    """A function of no arguments that many requests call once.

    Where an event loop runs, as in a kernel, it is called a little later, so that messages of sliders that move
    together have arrived; elsewhere at once.

    Args:
        function: what to call.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        """Wait for the first request."""
        self._function, self._handle, self._held = function, None, False

    def __call__(self, *_: Any) -> None:
        """Request a call."""
        if self._held or self._handle:
            return
        try:
            self._handle = asyncio.get_running_loop().call_later(_TOGETHER_S, self._call)
        except RuntimeError:
            self._call()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Call once at the end, whatever is requested inside."""
        self.cancel()
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._call()

    def flush(self) -> None:
        """Call now if a call is due."""
        if self._handle:
            self._call()

    def cancel(self) -> None:
        """Forget a call that is due."""
        if self._handle:
            self._handle.cancel()
            self._handle = None

    def _call(self) -> None:
        self.cancel()
        self._function()


_closers: dict[str, tuple[str, list[Callable[[], None]]]] = {}
"""cell -> its last run, and how to close what that run made."""


def close_when_run_again(close: Callable[[], None]) -> None:
    """Call `close` when the cell that is running now runs once more; without a kernel that names its cells, never."""
    request = IPythonKernel.instance().get_parent() if IPythonKernel.initialized() else {}
    cell, run = (request.get(part, {}).get(key) for part, key in (("metadata", "cellId"), ("header", "msg_id")))
    if cell is None:
        return
    last, closers = _closers.get(cell, (run, []))
    if last != run:
        for old in closers:
            old()
        closers = []
    _closers[cell] = run, [*closers, close]


def parts(widget: Any) -> Iterator[Any]:
    """A widget and all widgets that it is made of."""
    yield widget
    for part in (*getattr(widget, "children", ()), getattr(widget, "layout", None), getattr(widget, "style", None)):
        if hasattr(part, "comm"):
            yield from parts(part)
