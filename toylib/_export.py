"""What nbconvert, and with it JupyterLab's export to HTML, does to the figures of a notebook.

nbconvert's default template leaves out the alternative text of a picture, which stands in the metadata of its output,
and says that there is none; of a plotly figure without a picture, as a run of one's own has it, it shows a line of
text. An installation of toylib has nbconvert call `describe_pictures` before it exports to HTML: its configuration,
`etc/jupyter/jupyter_config.json`, comes with the package.
"""

import copy
import html
from importlib.util import find_spec
from typing import Any

_PICTURE, _PLOTLY = "image/png", "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"


def describe_pictures(notebook: Any, resources: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Replace pictures that have an alternative text, and all other figures, by HTML, which every template shows.

    A figure is live, its slider included, and needs no network: plotly.js, 5 MB, comes with the first one. Of an
    explorer there is its drawing, not its widget.

    Args:
        notebook: as nbformat reads it; it is not changed.
        resources: of nbconvert, handed on.

    Returns:
        A copy of the notebook, and the resources.
    """
    notebook = copy.deepcopy(notebook)
    if "widgets" in notebook.metadata:
        notebook.metadata.widgets = _harmless(notebook.metadata.widgets)
    is_first = True
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not _is_widget_of_explorer(output)]
        for output in cell.get("outputs", ()):
            data, text = output.get("data", {}), output.get("metadata", {}).get(_PICTURE, {}).get("alt")
            if text and _PICTURE in data:
                picture = "".join(data.pop(_PICTURE).split())
                data["text/html"] = f'<img src="data:{_PICTURE};base64,{picture}" alt="{html.escape(text)}">'
            elif _PLOTLY in data and "text/html" not in data and find_spec("plotly"):
                data["text/html"] = _live(data[_PLOTLY], with_script=is_first)
                data.pop(_WIDGET, None)
                is_first = False
    return notebook, resources


def _harmless(value: Any) -> Any:
    """The state of widgets, whose text must not open a comment: nbconvert's script would never end."""
    if isinstance(value, dict):
        return {name: _harmless(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_harmless(part) for part in value]
    return value.replace("<!--", "<\u2060!--") if isinstance(value, str) else value  # a joiner, which is not seen


def _is_widget_of_explorer(output: Any) -> bool:
    """Whether it is the widget alone, whose drawing comes below."""
    data = output.get("data", {})
    return _WIDGET in data and _PLOTLY not in data and data.get("text/plain", "").startswith("<explorer")


def _live(figure: dict[str, Any], *, with_script: bool) -> str:
    """The HTML that draws a figure."""
    from plotly.io import to_html

    shown = {part: figure[part] for part in ("data", "layout", "frames") if part in figure}
    return to_html(shown, full_html=False, include_plotlyjs=with_script, validate=False, auto_play=False)
