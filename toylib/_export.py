"""What nbconvert, and with it JupyterLab's export to HTML, does to the pictures of a notebook: they keep their text.

nbconvert's default template leaves out the alternative text of a picture, which stands in the metadata of its output,
and says that there is none. An installation of toylib has nbconvert call `describe_pictures` before it exports to HTML:
its configuration, `etc/jupyter/jupyter_config.json`, comes with the package.
"""

import copy
import html
from typing import Any

_PICTURE = "image/png"


def describe_pictures(notebook: Any, resources: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Replace each picture that has an alternative text by HTML that says it, which every template shows.

    Args:
        notebook: as nbformat reads it; it is not changed.
        resources: of nbconvert, handed on.

    Returns:
        A copy of the notebook, and the resources.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            text = output.get("metadata", {}).get(_PICTURE, {}).get("alt")
            if text and _PICTURE in output.data:
                picture = "".join(output.data.pop(_PICTURE).split())
                alternative = html.escape(text)
                output.data["text/html"] = f'<img src="data:{_PICTURE};base64,{picture}" alt="{alternative}">'
    return notebook, resources
