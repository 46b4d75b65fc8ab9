"""Training in a notebook, in a real browser: buttons, sliders moved while it trains, a second view, an interrupt."""

import re

import pytest
from lab import DRAWN_S, Lab, opened
from playwright.sync_api import Locator

pytestmark = pytest.mark.xdist_group("train")  # one page, which tests use one after the other
TITLE = re.compile(r"Step ([\d,]+): loss ([\d.e-]+), S = ([\d.]+)")


@pytest.fixture(scope="module")
def lab(context, address):
    with opened(context, address, "0_training.ipynb") as lab:
        lab.run_all()
        yield lab


def shown(plot: Locator) -> tuple[int, float, float]:
    """Return step, loss and S, as a plot says them."""
    step, loss, S = TITLE.match(plot.evaluate("gd => gd._fullLayout.title.text")).groups()
    return int(step.replace(",", "")), float(loss), float(S)


def button(cell: Locator, name: str) -> Locator:
    """Find a button of an explorer, none of the plot's own."""
    return cell.locator("button.widget-button", has_text=name)


def variance(p: float) -> float:
    """Return that of a feature: what the level of the best linear model is a multiple of."""
    return p / 3 - p**2 / 4


def wait(lab: Lab, plot: Locator, condition: str) -> tuple[int, float, float]:
    """Wait until a condition on step, loss and S holds in a plot."""
    title = "gd._fullLayout.title.text.match(/Step ([\\d,]+): loss ([^,]+), S = ([\\d.]+)/)"
    parsed = f"const [step, loss, S] = {title}.slice(1).map(text => Number(text.replace(',', '')))"
    lab.page.wait_for_function(
        f"gd => {{ {parsed}; return {condition} }}", arg=plot.element_handle(), timeout=1000 * DRAWN_S
    )
    return shown(plot)


def test_training_is_watched_and_steered(lab):
    cell, again = lab.cell("explorer = "), lab.cell("# again")
    plot, other = lab.plot(cell), lab.plot(again)
    press = {name: button(cell, name) for name in ("Start", "Pause", "Step", "Reset", "Stop")}
    assert shown(plot) == shown(other)
    assert shown(plot)[0] == 0

    press["Start"].click()
    _, first, _ = wait(lab, plot, "step > 0")
    wait(lab, plot, f"step > 100 && loss < {first}")
    assert press["Start"].is_disabled()
    lab.screenshot("train-plane", cell)

    # A slider acts while it trains: the exact levels follow, and so does what is trained on.
    level = lab.data(plot)[-1]["y"][0]
    lab.press(lab.slider(cell, "sparsity"), "ArrowLeft")
    step, *_ = wait(lab, plot, "S === 0.85")
    lab.press(lab.slider(again, "learning rate"), "ArrowRight")
    wait(lab, other, f"step > {step + 40}")
    assert lab.data(plot)[-1]["y"][0] == pytest.approx(level * variance(0.15) / variance(0.1), rel=1e-5)
    assert lab.evaluate("explorer.running")

    press["Pause"].click()
    lab.page.wait_for_function("button => button.disabled", arg=press["Pause"].element_handle())
    steps = lab.evaluate("[explorer.run.steps[-1].item(), len(explorer.history), explorer.running]")
    assert steps[1:] == [3, False]
    assert wait(lab, plot, f"step === {steps[0]}") == wait(lab, other, f"step === {steps[0]}")
    assert lab.data(plot)[-3]["y"][-2] == pytest.approx(shown(plot)[1], rel=0.01)

    press["Step"].click()
    wait(lab, plot, f"step === {steps[0] + 20}")
    press["Stop"].click()
    cell.get_by_text(f"kept {steps[0] + 20:,} steps in .kept[0]").wait_for()
    press["Reset"].click()
    wait(lab, plot, "step === 0")
    wait(lab, other, "step === 0")
    assert lab.evaluate("explorer.kept[0].steps[-1].item()") == steps[0] + 20
    assert lab.problems == []


def test_it_can_be_turned_while_it_trains_and_interrupted(lab):
    cell = lab.cell("solid = ")
    plot = lab.plot(cell)
    button(cell, "Start").click()
    wait(lab, plot, "step > 500")
    plot.scroll_into_view_if_needed()
    before, box = lab.eye(plot), plot.locator("canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    lab.page.wait_for_timeout(800)  # a scene answers a moment after it was drawn
    lab.page.mouse.move(x + 100, y, steps=5)
    held = shown(plot)
    lab.wait_for_turn(plot, before)
    lab.page.wait_for_timeout(500)  # and turns on for one
    assert shown(plot) == held  # while the pointer is down nothing else moves it
    lab.page.mouse.up()
    turned = lab.eye(plot)
    assert max(abs(turned[side] - before[side]) for side in "xyz") > 0.3
    wait(lab, plot, f"step > {held[0] + 300}")  # and it goes on, seen from there
    assert lab.eye(plot) == pytest.approx(turned, abs=0.1)
    lab.screenshot("train-space", cell)
    lab.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel').then(() => null)")
    cell.get_by_text("interrupted").wait_for()
    assert lab.evaluate("solid.running") is False
    assert lab.problems == []


def test_a_cell_that_runs_again_ends_what_trained(lab):
    cell = lab.cell("solid = ")
    button(cell, "Start").click()
    wait(lab, lab.plot(cell), "step > 0")
    lab.evaluate("globals().update(former=solid)")
    lab.run(cell)
    wait(lab, lab.plot(cell), "step === 0")
    assert lab.evaluate("[former.running, solid.running, solid.run.steps.tolist()]") == [False, False, [0]]
    assert lab.problems == []
