"""What explorers do beside moving: they share a row, follow width and theme, give way; on the site they move too."""

import numpy as np
import pytest
import xarray as xr
from lab import DRAWN_S, opened
from playwright.sync_api import Locator
from reader import reading
from test_browser import FOLDER

from toylib.features import Independent
from toylib.figures.style import BACKGROUND, DARK, INK

TITLE = "gd => gd.querySelector('.gtitle').textContent"
WIDTHS = "gd => [gd.parentNode.clientWidth, gd.querySelector('.main-svg').clientWidth]"
COLOURS = "gd => [gd.data[0].line.color, getComputedStyle(gd.querySelector('.main-svg')).backgroundColor]"
SAME_COLOURS = f"(gd, it) => JSON.stringify(({COLOURS})(gd)) === JSON.stringify(it)"


def rgb(colour):
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def until(lab, plot: Locator, script: str, argument=None):
    """Wait for a script over a plot."""
    lab.page.wait_for_function(f"([gd, it]) => ({script})(gd, it)", arg=[plot.element_handle(), argument])


def test_explorers_follow_width_and_theme_and_give_way_to_a_pointer(context, address):
    with opened(context, address, "0_turning.ipynb") as lab:
        lab.run_all()
        lab.page.set_default_timeout(1000 * DRAWN_S)
        cell = lab.cell("turning = explore(")
        plot, line = lab.plot(cell, 0), lab.plot(cell, 1)
        for each in (plot, line):
            until(lab, each, "gd => gd.querySelector('.main-svg')")
        assert abs(plot.bounding_box()["y"] - line.bounding_box()["y"]) < 60  # in one row, above them a Play more

        # Width and theme.
        for width in (1500, 1100):
            lab.page.set_viewport_size({"width": width, "height": 900})
            for each in (plot, line):
                until(lab, each, f"gd => {{ const [box, drawn] = ({WIDTHS})(gd); return box === drawn }}")
            drawn = [each.evaluate(WIDTHS)[1] for each in (plot, line)]
            assert 0.6 * width < sum(drawn) < width - 250, (width, drawn)
            assert plot.evaluate("gd => gd.clientHeight") == 380
        until(lab, plot, SAME_COLOURS, [INK, rgb(BACKGROUND)])
        turned = lab.turn(plot)
        for theme, colours in (("Dark", [DARK[INK], rgb(DARK[BACKGROUND])]), ("Light", [INK, rgb(BACKGROUND)])):
            lab.page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
            until(lab, plot, SAME_COLOURS, colours)
            lab.screenshot(f"explorers-{theme}", cell)
        assert lab.eye(plot) == pytest.approx(turned, abs=0.05)

        # Play, and a pointer that turns the plot meanwhile.
        play = cell.get_by_title("play step")
        assert play.text_content().strip() == "Play"
        play.click()
        until(lab, plot, f"gd => ({TITLE})(gd) !== 'step 0'")
        assert play.text_content().strip() == "Pause"  # for three seconds
        box = plot.locator("canvas").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        lab.page.mouse.move(x, y)
        lab.page.mouse.down()
        lab.page.wait_for_timeout(400)  # what was being drawn is there
        held = plot.evaluate(TITLE)
        lab.page.mouse.move(x + 100, y, steps=5)
        lab.wait_for_turn(plot, turned)
        cell.get_by_role("button", name="Play").wait_for()  # it has come to its end meanwhile
        assert lab.evaluate("turning.sliders['step'].index") == 19
        assert plot.evaluate(TITLE) == held != "step 19"
        before = lab.eye(plot)
        lab.page.mouse.up()
        until(lab, plot, f"gd => ({TITLE})(gd) === 'step 19'")
        assert lab.eye(plot) == pytest.approx(before, abs=0.2)
        lab.wait_for_data(plot, {(0, "z"): np.linspace(0, 19, 9)})
        assert lab.problems == []


def moved(reader, cell, **stops):
    """Go to the figure of an explorer and move its sliders to stops, counted from 0."""
    figure = reader.page.locator(f"figure#{cell}")
    figure.scroll_into_view_if_needed()
    for name, stop in stops.items():
        reader.press(reader.slider(figure, name.replace("_", " ")), "Home", *["ArrowRight"] * stop)
    return figure


def test_explorers_on_the_site_show_what_is_stored(context, site):
    with reading(context, site, reduced_motion="reduce") as reader:
        reader.open("4_adversarial_training")
        cell = "code-59"
        with xr.open_dataset(FOLDER / "results" / "adversarial_training_map.nc", engine="scipy") as data:
            W = data.W.sel(seed=0).isel(training=3, norm=5).sel(density=0.1).load()
            W, units = np.asarray(W.transpose("hidden", "feature"), float), f"{float(W.norm):.2f} · E‖x‖"
        figure = moved(reader, cell, attack=3, sparsity=1, norm=5)
        norms = np.linalg.norm(W, axis=0)
        order = np.argsort(-norms, kind="stable")
        expected = {(0, "z"): (W.T @ W)[order][:, order], (1, "y"): norms[order]}
        reader.wait_for_data(reader.plot(figure), expected, atol=0.006 * norms.max() ** 2)
        assert units in figure.locator("output").last.text_content()
        reader.screenshot("site-robust-explorer", figure)
        figure.get_by_role("button", name="Play").click()
        reader.page.wait_for_function("f => !f.querySelector('[title=Pause]')", arg=figure.element_handle())
        assert figure.locator("output").last.text_content() == "norm 4.00 · E‖x‖"

        reader.open("5_routes_to_the_octahedron")
        figure = moved(reader, "code-explore", first_middle=1, second_middle=4)
        lines = [0.5 * (np.array([-1, middle, 1]) - middle / 3) for middle in (-0.8, -0.5)]
        low = np.radians([60, 180, 300])
        expected = {(3, "z"): lines[0], (5, "z"): lines[1], (25, "x"): np.sqrt(2 / 3) * np.cos(low)}
        reader.wait_for_data(reader.plot(figure), expected, atol=0.005)

        reader.open("3_adversarial_attacks")
        figure = moved(reader, "code-f74d9d35", sparsity=0, sample=2, attack=1, norm=5)
        plot, notes = reader.plot(figure), "gd => gd.layout.annotations.map(note => note.text).join('; ')"
        norm = f"‖δ‖ = {0.5 * float(Independent(100).mean_norm(0.0)):.2f}; "
        for said, is_hurt in ((norm, True), ("‖δ‖ = 0; ", False)):
            reader.page.wait_for_function(f"gd => ({notes})(gd).includes('{said}')", arg=plot.element_handle())
            data = reader.data(plot)
            after, before = (np.array(data[i]["y"], float) for i in (4, 5))
            assert (abs(after - before).max() > 1) == is_hurt
            assert is_hurt or np.array_equal(after, before)
            moved(reader, "code-f74d9d35", norm=0)

        reader.open("0_start_here")
        still = reader.page.locator("figure.live", has_text="need a kernel")
        assert still.count() == 1
        assert still.get_by_role("slider").count() == 0
        assert reader.problems == []
