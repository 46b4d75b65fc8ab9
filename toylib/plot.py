"""A live plotly figure: one message a move, and in it only what changed."""

from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from toylib.drawings import Drawing, changes, compact


class Plot(anywidget.AnyWidget):
    """A drawing in the browser, moved by the kernel.

    plotly's own FigureWidget reports every property of every trace back to the kernel after each move, and checks each
    value that it sends; this one does neither (`make bench` compares both with the browser's own time).

    Args:
        drawing: what to show first.

    Attributes:
        drawing: what is shown.
    """

    _esm = files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8") + files(
        "toylib"
    ).joinpath("plot.js").read_text(encoding="utf-8")
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
