"""Pictures keep their texts, and figures live, in the HTML that nbconvert makes with the configuration installed."""

import copy
import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

from compare import PICTURE, PLOTLY, WIDGET
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from traitlets.config import Config

TOP = Path(__file__).parents[1]
TEXT = 'Two "bars", 1 < 2, & their difference.'


def installed():
    """The configuration of Jupyter that an installation of toylib brings."""
    flit = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flit"]
    path = TOP / flit["external-data"]["directory"] / "etc" / "jupyter" / "jupyter_config.json"
    return Config(json.loads(path.read_text(encoding="utf-8")))


class Pictures(HTMLParser):
    """The attributes of the pictures of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found += [dict(attributes)] * (tag == "img")


def test_the_default_template_shows_pictures_with_their_texts():
    figure = {PLOTLY: {"data": [], "layout": {}}, PICTURE: "iVBO\nRw0KGgo=", "text/plain": "<drawing: bars>"}
    outputs = [
        new_output("display_data", figure, metadata={PICTURE: {"alt": TEXT}}),
        new_output("stream", name="stdout", text="p"),
        new_output("display_data", {PICTURE: "Rw0KGgo="}),
        new_output("execute_result", {"text/html": "<b>h</b>"}, metadata={PICTURE: {}}, execution_count=1),
    ]
    notebook = new_notebook(cells=[new_code_cell("bars()", outputs=outputs)])
    before = copy.deepcopy(notebook)
    page, _ = HTMLExporter(config=installed()).from_notebook_node(notebook)
    assert notebook == before
    described, bare = Pictures(page).found
    assert described == {"src": "data:image/png;base64,iVBORw0KGgo=", "alt": TEXT}
    assert "No description" in bare["alt"]  # nbconvert's own words
    assert "<b>h</b>" in page
    assert "drawing: bars" not in page


def test_a_run_of_ones_own_has_its_figures_live():
    def figure(name, **more):
        frames = [{"name": f"{name}-{i}", "data": [{"y": [i, 5]}]} for i in range(2)]
        return {PLOTLY: {"data": [{"y": [2, 3]}], "layout": {"title": {"text": name}}, "frames": frames}, **more}

    widget = {WIDGET: {"model_id": "none-there"}, "text/plain": "<explorer: size>"}
    outputs = [
        new_output("display_data", widget),
        new_output("display_data", {"text/html": "<p>run this cell</p>"}),
        new_output("display_data", figure("as JupyterLab saves it", **{PICTURE: "iVBORw0KGgo="})),
        new_output("execute_result", figure("as nbclient saves it", **widget), execution_count=1),
        new_output("display_data", {WIDGET: {"model_id": "of another"}, "text/plain": "IntSlider(value=0)"}),
    ]
    page, _ = HTMLExporter(config=installed()).from_notebook_node(
        new_notebook(cells=[new_code_cell("explorer", outputs=outputs)])
    )
    drawn = re.findall(
        r"Plotly\.newPlot\(\s*\"([\w-]+)\".*?\"text\":\"(.*?)\".*?Plotly\.addFrames\('\1', (.*?)\);", page, re.S
    )
    assert [name for _, name, _ in drawn] == ["as JupyterLab saves it", "as nbclient saves it"]
    assert [json.loads(frames)[1]["data"][0]["y"] for *_, frames in drawn] == [[1, 5], [1, 5]]
    assert page.count("plotly.js v") == 1  # the script, once
    assert page.index("run this cell") < page.index(drawn[0][0])
    assert "none-there" not in page
    assert "IntSlider(value=0)" in page
    assert "explorer: size" not in page
    assert Pictures(page).found == []
