"""Pictures keep their texts, and figures live, in the HTML that nbconvert makes with the configuration installed."""

import copy
import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pages
from compare import PICTURE, PLOTLY, WIDGET
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from traitlets.config import Config

TOP = Path(__file__).parents[1]
ENDS = "</script><!--<script>]]></textarea>"
"""What would end a script, or a page, if it were not escaped."""
TEXT = f'Two "bars", 1 < 2, & their difference. {ENDS}'


def installed():
    """The configuration of Jupyter that an installation of toylib brings."""
    flit = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flit"]
    path = TOP / flit["external-data"]["directory"] / "etc" / "jupyter" / "jupyter_config.json"
    return Config(json.loads(path.read_text(encoding="utf-8")))


STATE = "application/vnd.jupyter.widget-state+json"


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
        data = [{"y": [2, 3], "name": ENDS, "customdata": [[ENDS]]}]
        return {PLOTLY: {"data": data, "layout": {"title": {"text": name}}, "frames": frames}, **more}

    widget = {WIDGET: {"model_id": "none-there"}, "text/plain": f"<explorer: {ENDS}>"}
    states = {"state": {"none-there": {"model_name": "AnyModel", "state": {"_figure": {"title": ENDS}}}}}
    outputs = [
        new_output("display_data", widget),
        new_output("display_data", {"text/html": "<p>run this cell</p>"}),
        new_output("display_data", figure("as JupyterLab saves it", **{PICTURE: "iVBORw0KGgo="})),
        new_output("execute_result", figure("as nbclient saves it", **widget), execution_count=1),
        new_output("display_data", {WIDGET: {"model_id": "of another"}, "text/plain": "IntSlider(value=0)"}),
    ]
    page, _ = HTMLExporter(config=installed()).from_notebook_node(
        new_notebook(
            cells=[new_code_cell(f"explorer({ENDS!r})", outputs=outputs)], metadata={"widgets": {STATE: states}}
        )
    )
    _, state, after = re.split(rf'<script type="{re.escape(STATE)}">(.*?)</script>', page, flags=re.S)
    assert json.loads(state)["state"]["none-there"]["state"]["_figure"]["title"].replace("\u2060", "") == ENDS
    assert "</html>" in after
    assert "<!--<script" not in page
    page = page.replace(state, "")
    assert page.count(r"\u003c!--\u003cscript") == 4  # a name and data, of two figures
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


def test_text_of_a_figure_ends_no_script_of_a_page():
    figure = {"data": [{"y": [2], "name": ENDS}], "layout": {"title": {"text": f"{ENDS} ü \u2028"}}}
    page = pages.element("cell-1", figure, TEXT, "cell-1.png")
    script = page.split('<script type="application/json">')[1].split("</script>")[0]
    assert "<" not in script
    assert json.loads(script) == figure
    assert page.count("<script") == page.count("</script") == 1
    assert [picture["alt"] for picture in Pictures(page).found] == [TEXT]
