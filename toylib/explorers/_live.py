"""What explorers are made of: a plot moved by one message, calls that merge, what they show, when they go."""

import asyncio
import base64
import json
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets
from ipykernel.ipkernel import IPythonKernel

from toylib.figures import Drawing
from toylib.figures.style import DARK

_TOGETHER_S = 0.004  # between two requests that count as one; a kernel takes a millisecond or two for a message
_REST_S = 1.0  # without a move, after which what is shown is what a notebook keeps


def _script(name: str, package: str = "toylib.explorers") -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


class Plot(anywidget.AnyWidget):
    """A drawing in the browser, moved by the kernel.

    plotly's own FigureWidget reports every property of every trace back to the kernel after each move, and checks each
    value that it sends; this one does neither. `make bench` measures both beside the browser alone.

    It is as wide as its container, in the colours of JupyterLab's theme. A pointer that is down on it wins over moves:
    the newest is drawn when it is up.

    Args:
        drawing: what to show first.

    Attributes:
        drawing: what is shown.
        moved: called after each move that changes it.
        turn: of `in_turn`.
    """

    _esm = "\n".join(
        [
            # As text, which live.js runs once a page: a widget whose script takes two seconds fails on a slow machine.
            f"const PLOTLY = {json.dumps(_script('package_data/plotly.min.js', 'plotly'), ensure_ascii=False)}",
            f"const DARK = {json.dumps(DARK)}",
            _script("plot.js"),
            _script("live.js"),
        ]
    )
    _css = _script("live.css")
    _figure = traitlets.Dict().tag(sync=True)

    def __init__(self, drawing: Drawing) -> None:
        """Show a first drawing."""
        super().__init__(_figure=_compact({"data": drawing.data, "layout": drawing.layout}))
        self.drawing = drawing
        self.moved: Callable[[], None] = lambda: None
        self.turn = threading.RLock()

    def move(self, drawing: Drawing) -> None:
        """Show another drawing of the same traces, in one message, or none if nothing changed.

        Raises:
            ValueError: other traces; what is shown stays.
        """
        traces, names = self.drawing.changes(drawing)
        if traces or names:
            new = {i: {name: _compact(drawing.data[i].get(name)) for name in traces[i]} for i in traces}
            layout = {name: _compact(drawing.layout.get(name)) for name in names}
            # Kept here too, unsent, for a page that is loaded anew.
            for i, changed in new.items():
                self._figure["data"][i].update(changed)
            self._figure["layout"].update(layout)
            self.send({"traces": new, "layout": layout})
        self.drawing = drawing
        if traces or names:
            self.moved()


def _compact(value: Any) -> Any:
    """A part of a drawing as JSON, its arrays in plotly's typed form: their bytes in base64, not their digits."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        array = np.ascontiguousarray(value, "<i4" if value.dtype.kind in "iu" else "<f4")
        shape = {} if array.ndim == 1 else {"shape": ", ".join(map(str, array.shape))}
        return {"dtype": array.dtype.str[1:], "bdata": base64.b64encode(array.tobytes()).decode(), **shape}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _compact(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_compact(part) for part in value]
    return value


class Soon:
    """A function of no arguments that many requests call once.

    Where an event loop runs, as in a kernel, it is called a little later, so that messages of sliders that move
    together have arrived; elsewhere at once.

    Args:
        function: what to call.
        later: seconds from the first request to the call.
    """

    def __init__(self, function: Callable[[], None], later: float = _TOGETHER_S) -> None:
        """Wait for the first request."""
        self._function, self._later = function, later
        self._forget: Callable[[], None] | None = None
        """Cancels the call that is due, if one is."""

    def __call__(self, *_: Any) -> None:
        """Request a call."""
        if self._forget:
            return
        try:
            self._forget = asyncio.get_running_loop().call_later(self._later, self._call).cancel
        except RuntimeError:  # no loop runs
            self._call()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Call once at the end, whatever is requested inside."""
        self.cancel()
        self._forget = lambda: None  # the call at the end is due
        try:
            yield
        finally:
            self._call()

    def flush(self) -> None:
        """Call now if a call is due."""
        if self._forget:
            self._call()

    def cancel(self) -> None:
        """Forget a call that is due."""
        forget, self._forget = self._forget, None  # at once: another thread may do the same
        if forget:
            forget()

    def _call(self) -> None:
        self.cancel()
        self._function()


def in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    """Have a method of an explorer wait until no other thread is in one.

    JupyterLab has a kernel call widgets in a thread of their own, so that they move while a cell runs, which may move
    them too.
    """

    @wraps(method)
    def alone(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._plot.turn:
            return method(self, *args, **kwargs)

    return alone


def went_wrong() -> str:
    """The exception that is being handled, for a widget."""
    text = escape(traceback.format_exc(limit=-3))
    return f"<pre style='color: var(--jp-error-color1, #B00020)'>{text}</pre>"


def loop_of_cells() -> asyncio.AbstractEventLoop:
    """The event loop in whose thread a kernel runs cells, and hears interrupts; without a kernel the one of this call.

    Raises:
        RuntimeError: none runs.
    """
    kernel: Any = IPythonKernel.instance() if IPythonKernel.initialized() else None
    return kernel.io_loop.asyncio_loop if kernel else asyncio.get_running_loop()


_WIDGET = "application/vnd.jupyter.widget-view+json"
_STILL = "One view of an explorer: run this cell, and its controls move it."


class Shown(widgets.VBox):
    """A box of controls and a plot that shows its drawing where no kernel is, as in a notebook that is opened anew.

    Args:
        rows: from top to bottom.
        plot: one of them.
        redraw: draws what is due.
    """

    def __init__(self, rows: Sequence[widgets.Widget], plot: Plot, redraw: Soon) -> None:
        """As wide as there is room; beside others in a row it shrinks with it."""
        self._plot, self._redraw = plot, redraw
        self._kept = Soon(self._keep, _REST_S)
        super().__init__(rows, layout={"width": "100%", "min_width": "0"})
        self.add_class("toylib-explorer")

    def close(self) -> None:
        """Take it off the page, and its callbacks and widgets out of the kernel."""
        if self.comm is None:  # closed before, or never finished
            return
        with self._plot.turn:
            self._redraw.cancel()
            self._kept.cancel()
            for widget in [*parts(self)][1:]:
                widget.close()
                widget.unobserve_all()
            super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The live widget; the drawing, for a page without a kernel; fixed text, so that stored outputs compare."""
        self._redraw.flush()
        return {
            **(super()._repr_mimebundle_(**kwargs) or {}),
            "text/plain": repr(self),
            "application/vnd.plotly.v1+json": self._plot.drawing.figure().to_dict(),
        }

    def _ipython_display_(self) -> None:
        """In JupyterLab, the parts of the bundle one below the other.

        Of a bundle it shows the widget alone, and where the notebook is opened anew, a message that there is none.
        While there is one, `live.css` hides the line and the drawing below it, which comes when the widget is shown,
        and follows where it rests.

        Raises:
            NotImplementedError: elsewhere, where IPython then shows the bundle.
        """
        # JupyterLab and Notebook tell of deleted cells, nothing else does; a closed widget has no view.
        if "deletedCells" not in _request().get("metadata", {}) or self.comm is None:
            raise NotImplementedError
        _publish({"text/plain": repr(self), _WIDGET: self._repr_mimebundle_()[_WIDGET]})
        _publish({"text/plain": _STILL, "text/html": f'<p class="toylib-still">{_STILL}</p>'})
        _publish({"text/plain": repr(self)}, f"{self.model_id}-still")

        def moved() -> None:
            self._kept.cancel()
            self._kept()

        def shown(*about: Any) -> None:  # JupyterLab draws the figure too, which must not delay the widget
            self._plot.on_msg(shown, remove=True)
            self._plot.moved = moved
            self._keep()

        self._plot.on_msg(shown)

    def _keep(self) -> None:
        """Have a notebook that is saved from now on keep what is shown."""
        bundle = self._repr_mimebundle_()
        del bundle[_WIDGET]
        _publish(bundle, f"{self.model_id}-still", update=True)


def _request() -> dict[str, Any]:
    """What the kernel is asked for now; nothing where none runs."""
    return IPythonKernel.instance().get_parent() if IPythonKernel.initialized() else {}


def _publish(data: dict[str, Any], identifier: str = "", *, update: bool = False) -> None:
    """Add an output to what the kernel shows, or replace the one of an identifier."""
    shell: Any = IPythonKernel.instance().shell
    shell.display_pub.publish(data, transient={"display_id": identifier} if identifier else None, update=update)


_closers: dict[str, tuple[str, list[Callable[[], None]]]] = {}
"""cell -> its last run, and how to close what that run made."""


def close_when_run_again(close: Callable[[], None]) -> None:
    """Call `close` when the cell that is running now runs once more; without a kernel that names its cells, never."""
    request = _request()
    cell, run = request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id")
    if cell is None:
        return
    if cell in _closers and _closers[cell][0] != run:
        for old in _closers.pop(cell)[1]:
            old()
    _closers.setdefault(cell, (run, []))[1].append(close)


def parts(widget: Any) -> Iterator[Any]:
    """A widget and all widgets that it is made of."""
    yield widget
    for part in (*getattr(widget, "children", ()), getattr(widget, "layout", None), getattr(widget, "style", None)):
        if hasattr(part, "comm"):
            yield from parts(part)


@contextmanager
def on_interrupt(call: Callable[[], None]) -> Iterator[None]:
    """Have the event loop call this on an interrupt, which a kernel ignores while no cell runs."""
    if threading.current_thread() is not threading.main_thread():  # others get no interrupts
        yield
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)

    def interrupted(*about: Any) -> None:
        loop.call_soon_threadsafe(call)
        if callable(before) and before is not signal.default_int_handler:
            before(*about)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupted:  # else a message is taken up, which puts ours back
            signal.signal(signal.SIGINT, before)
