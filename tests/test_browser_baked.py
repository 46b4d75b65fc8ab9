"""Stored figures in JupyterLab, reopened and not run: sliders with keys, theme, width, and their pictures."""

from compare import PLOTLY
from lab import CURRENT, DRAWN_S, opened
from playwright.sync_api import expect
from test_browser_lab import WIDTHS, rgb, until

from toylib.figures.style import BACKGROUND, DARK, INK

DRAWN_ON = "getComputedStyle(gd.querySelector('.main-svg')).backgroundColor"
VISIBLE = "img.plot-img:visible"


def test_stored_figures_move_without_having_run(context, address):
    with opened(context, address, "0_baked.ipynb") as lab:
        lab.page.set_default_timeout(1000 * DRAWN_S)
        before = [cell.outputs[0].data for cell in lab.notebook().cells]
        cell = lab.page.locator(".jp-CodeCell").nth(0)
        plot, slider, active = lab.plot(cell), cell.get_by_role("slider"), f"{CURRENT}.content.activeCellIndex"
        lab.wait_for_data(plot, {(0, "y"): [0, 5]})  # the start
        assert cell.locator(VISIBLE).count() == 0
        assert cell.locator(".slider-rail-touch-rect").count() == 0  # plotly's

        # Keys are the slider's, not the notebook's; then mouse, and Play.
        for key, stop in (("Home", 2), ("ArrowUp", 5), ("ArrowRight", 9), ("ArrowDown", 5)):
            lab.press(slider, key)
            lab.wait_for_data(plot, {(0, "y"): [0, stop]})
            assert slider.get_attribute("aria-valuetext") == f"slope {stop}"
        assert lab.page.evaluate(active) == 0
        lab.scrub(plot, 0)
        lab.wait_for_data(plot, {(0, "y"): [0, 2]})
        cell.get_by_role("button", name="Play").click()
        lab.wait_for_data(plot, {(0, "y"): [0, 9]})
        cell.get_by_role("button", name="Play").wait_for()  # it has been Pause

        # Theme and width.
        for width, theme in ((1500, "Dark"), (1100, "Light")):
            lab.page.set_viewport_size({"width": width, "height": 900})
            until(lab, plot, f"gd => {{ const [box, drawn] = ({WIDTHS})(gd); return box === drawn }}")
            assert width - 500 < plot.evaluate(WIDTHS)[1] < width - 250
            lab.page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
            paper, ink = (DARK[BACKGROUND], DARK[INK]) if theme == "Dark" else (BACKGROUND, INK)
            until(lab, plot, "(gd, it) => gd._fullLayout.font.color === it", ink)
            until(
                lab,
                plot,
                "(gd, it) => getComputedStyle(gd.querySelector('.main-svg')).backgroundColor === it",
                rgb(paper),
            )
            lab.screenshot(f"baked-{theme}", cell)
        lab.wait_for_data(plot, {(0, "y"): [0, 9]})

        # What cannot be drawn keeps its picture; what moves in another way is plotly's.
        broken, other = (lab.page.locator(".jp-CodeCell").nth(i) for i in (1, 2))
        broken.scroll_into_view_if_needed()
        expect(broken.locator(VISIBLE)).to_have_count(1)
        other.locator("img.plot-img").dispatch_event("mouseenter")
        other.locator(".updatemenu-header").first.wait_for()
        (problem,) = lab.problems  # that of the figure without a layout
        assert "of null" in problem

        lab.page.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => null)")
        load = "jupyterapp.serviceManager.contents.get('0_baked.ipynb').then(model => model.content.cells)"
        saved = [cell["outputs"][0]["data"] for cell in lab.page.evaluate(load)]
        assert [data[PLOTLY] for data in saved] == [data[PLOTLY] for data in before]
        assert saved[0]["image/png"] == before[0]["image/png"]
