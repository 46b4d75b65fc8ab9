"""What a reader has turned stays while a slider moves, in a real browser."""

import json
import os
from pathlib import Path

import nbformat
import numpy as np
import plotly
import pytest
from compare import PLOTLY
from lab import BROWSER, browse

if BROWSER is None and os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.skip("there is no Chromium or Chrome", allow_module_level=True)

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "2_training_dynamics.ipynb"
SCRIPT = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
EYE = "JSON.stringify(document.querySelector('#plot')._fullLayout.scene._scene.getCamera().eye)"
TITLE = "document.querySelector('#plot').layout.title.text"


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=8)
    page.mouse.up()


def middle(locator):
    box = locator.bounding_box()
    return np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])


def test_the_camera_stays_while_scrubbing(tmp_path):
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    stored = [o.data[PLOTLY] for cell in cells for o in cell.get("outputs", []) if PLOTLY in o.get("data", ())]
    figure = next(f for f in stored if f.get("frames") and "scene" in f["layout"])
    page_text = f"<div id='plot'></div><script src='{SCRIPT.as_uri()}'></script>"
    page_text += f"<script>Plotly.newPlot('plot', {json.dumps(figure)})</script>"
    (tmp_path / "page.html").write_text(page_text, encoding="utf-8")
    with browse() as context:
        page = context.new_page()
        page.set_viewport_size({"width": 800, "height": 1300})
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function(f"() => {{ try {{ return {EYE} }} catch (e) {{ return false }} }}")
        first, begun = page.evaluate(EYE), page.evaluate(TITLE)
        centre = middle(page.locator("#scene canvas").first)
        for _ in range(40):  # the scene is drawn before it listens to the mouse
            drag(page, centre, centre + np.array([80, 30]))
            page.wait_for_timeout(250)
            if page.evaluate(EYE) != first:
                break
        labels = [frame["name"] for frame in figure["frames"]]
        page.evaluate(f"() => Plotly.animate('plot', ['{labels[0]}'], {{mode: 'immediate', frame: {{redraw: true}}}})")
        page.wait_for_function(f"() => {TITLE} !== {json.dumps(begun)}")
        turned, title = page.evaluate(EYE), page.evaluate(TITLE)
        assert turned != first
        drag(page, middle(page.locator(".slider-grip-rect")), middle(page.locator(".slider-rail-rect")))
        page.wait_for_function(f"() => {TITLE} !== {json.dumps(title)}")
        assert page.evaluate(EYE) == turned
