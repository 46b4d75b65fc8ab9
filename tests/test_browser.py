"""Notebooks in JupyterLab and the site from disk, in a real browser: every slider moved, every plot read back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import moves
import nbformat
import numpy as np
import pytest
from compare import PLOTLY, WIDGET, array
from lab import CURRENT, DRAWN_S, Lab, opened
from playwright.sync_api import Locator
from reader import DRAWN, reading
from small import CURVES

from toylib.figures.style import DARK, INK

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
STILL = "One view of an explorer: run this cell"
in_the_small_one = pytest.mark.xdist_group("small")  # one page, which tests use one after the other


@pytest.fixture(scope="module")
def small(context, served, address, stored) -> Iterator[Lab]:
    shutil.copy(stored, served)
    with opened(context, address, stored.name) as lab:
        lab.page.locator("img.plot-img").nth(2).wait_for(state="attached")  # before anything has run
        lab.run_all()
        yield lab


@pytest.fixture
def explorer(small) -> tuple[Locator, Locator, Locator, Locator]:
    """The small explorer at its first view: its cell, plot and two sliders."""
    cell = small.cell("explorer = explore(")
    cell.get_by_title("back to the first view").click()
    plot = small.plot(cell)
    small.wait_for_data(plot, {(0, "y"): CURVES[0]})
    return cell, plot, small.slider(cell, "curve"), small.slider(cell, "factor")


@in_the_small_one
def test_an_explorer_is_a_live_widget_not_its_picture(small, explorer):
    cell, *_ = explorer
    outputs = next(c for c in small.notebook().cells if "explorer = explore(" in c.source).outputs
    assert [{WIDGET, PLOTLY} & output.data.keys() for output in outputs[:2]] == [{WIDGET}, set()]
    assert cell.locator(".js-plotly-plot:visible").count() == 1
    assert not cell.get_by_text(STILL).is_visible()
    assert cell.locator(".noUi-handle").count() == 2
    buttons = [button.get_attribute("data-title") for button in cell.locator(".toylib-explorer .modebar-btn").all()]
    assert "Zoom in" in buttons
    assert not any("Share" in title or "Cloud" in title for title in buttons)
    assert cell.get_by_title("curve (arrow keys, Home, End)").count() > 0


@in_the_small_one
def test_an_explorers_slider_moves_by_key_and_mouse(small, explorer):
    cell, plot, slider, _ = explorer
    small.press(slider, "ArrowRight")
    small.wait_for_data(plot, {(0, "y"): CURVES[1]})
    assert small.evaluate("explorer.sliders['curve'].value") == 1
    small.press(slider, "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft")
    small.wait_for_data(plot, {(0, "y"): CURVES[1]})
    small.drag(slider, 150)
    small.wait_for_data(plot, {(0, "y"): CURVES[2]})
    small.screenshot("small-explorer", cell)
    with pytest.raises(AssertionError):
        small.wait_for_data(plot, {(0, "y"): CURVES[0]}, within=0.2)


@in_the_small_one
def test_two_sliders_moved_together_cost_one_redraw(small, explorer):
    _, plot, *sliders = explorer
    plot.evaluate("gd => { window.redraws = 0; gd.on('plotly_afterplot', () => { window.redraws += 1 }) }")
    costs = []
    for key, shown in (("ArrowRight", 2 * CURVES[1]), ("ArrowLeft", CURVES[0])) * 3:
        before, _ = small.evaluate("len(drawn)"), small.page.evaluate("window.redraws = 0")
        small.page.evaluate(
            """([key, handles]) => handles.forEach(handle => handle.dispatchEvent(
                new KeyboardEvent('keydown', {key, bubbles: true})))""",
            [key, [slider.element_handle() for slider in sliders]],
        )
        small.wait_for_data(plot, {(0, "y"): shown})
        costs.append((small.evaluate("len(drawn)") - before, small.page.evaluate("window.redraws")))
    assert sum(cost == (1, 1) for cost in costs) >= 4, costs  # a busy machine may part the messages once or twice


@in_the_small_one
def test_an_error_is_shown_in_the_explorer(small, explorer):
    cell, plot, slider, _ = explorer
    small.press(slider, "End")
    cell.get_by_text("IndexError").wait_for()
    small.wait_for_data(plot, {(0, "y"): CURVES[0]})
    small.screenshot("small-error", cell)
    small.press(slider, "ArrowLeft")
    small.wait_for_data(plot, {(0, "y"): CURVES[2]})
    assert cell.get_by_text("IndexError").count() == 0


@in_the_small_one
def test_a_cell_that_runs_again_leaves_no_callback_behind(small, explorer):
    cell, plot, *_ = explorer
    open_widgets = "len(__import__('ipywidgets.widgets.widget', fromlist=['_instances'])._instances)"
    before = small.evaluate(open_widgets)
    cell.get_by_title("play curve").click()
    small.wait_for_data(plot, {(0, "y"): CURVES[1]})  # it plays, and its cell runs again
    small.run(cell)
    small.wait_for_data(small.plot(cell), {(0, "y"): CURVES[0]})
    assert small.evaluate(open_widgets) == before
    drawn = small.evaluate("len(drawn)")
    small.page.wait_for_timeout(400)
    assert small.evaluate("len(drawn)") == drawn
    small.press(small.slider(cell, "curve"), "ArrowRight")
    small.wait_for_data(small.plot(cell), {(0, "y"): CURVES[1]})
    assert small.evaluate("len(drawn)") == drawn + 1


@in_the_small_one
def test_frames_scrub_in_the_page(small):
    plot = small.plot(small.cell("baked = frames("))
    for fraction, i in ((1.0, 2), (0.5, 1), (0.0, 0)):
        small.scrub(plot, fraction)
        small.wait_for_data(plot, {(0, "y"): CURVES[i]})
    small.screenshot("small-frames", plot)


@in_the_small_one
def test_every_figure_is_drawn_without_a_complaint(small):
    small.wait_for_data(small.plot(small.cell("Scatter3d")), {(0, "z"): CURVES[2]})
    assert small.problems == []


@in_the_small_one
def test_a_run_that_is_reopened_shows_its_drawings(small, context, address):
    """After all others of the page: its kernel ends."""
    index = next(i for i, c in enumerate(small.notebook().cells) if "explorer = explore(" in c.source)
    outputs = f"{CURRENT}.content.model.toJSON().cells[{index}].outputs"
    kept = f"{outputs}.map(o => o.data[{PLOTLY!r}]).find(figure => figure)"
    small.page.wait_for_function(f"!!{kept}")  # a second after the widget is shown
    slider = small.slider(small.cell("explorer = explore("), "curve")
    slider.scroll_into_view_if_needed()
    small.press(slider, "Home")
    small.press(slider, "ArrowRight")
    for _ in range(10 * DRAWN_S):  # and follows a second after it rests
        if np.array_equal(array(small.page.evaluate(kept)["data"][0]["y"]), CURVES[1]):
            break
        small.page.wait_for_timeout(100)
    small.page.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => null)")
    small.page.evaluate(f"{CURRENT}.sessionContext.shutdown()")
    with opened(context, address, "0_small.ipynb") as lab:
        lab.page.set_default_timeout(1000 * DRAWN_S)
        cell = lab.cell("explorer = explore(")
        message, line = cell.get_by_text("model not found"), cell.get_by_text(STILL)
        message.wait_for()
        lab.wait_for_data(lab.plot(cell), {(0, "y"): CURVES[1]})
        tops = [each.bounding_box()["y"] for each in (message, line, lab.plot(cell))]
        assert tops == sorted(tops)
        lab.screenshot("small-reopened", cell)
        assert all("widget model not found" in problem for problem in lab.problems)
        for each in (lab.cell("drawn = []"), cell):
            lab.run(each)
        line.wait_for(state="hidden")
        lab.press(lab.slider(cell, "curve"), "ArrowRight")
        lab.wait_for_data(lab.plot(cell), {(0, "y"): CURVES[1]})
        assert cell.locator(".js-plotly-plot:visible").count() == 1
        lab.screenshot("small-run-again", cell)


def test_complaints_are_noticed(context, address):
    with opened(context, address, "0_broken.ipynb") as lab:
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            lab.run_all()
        lab.page.evaluate("console.error('one')")
        lab.page.evaluate("setTimeout(() => { throw new Error('two') })")
        lab.page.evaluate("fetch('http://localhost:1/three').catch(() => null)")
        assert lab.problems[:2] == ["one", "two"]
        assert "http://localhost:1/three" in lab.problems


def check_directions(lab: Lab) -> None:
    """Notebook 0: the arrow of the first feature is that of the model of the stop."""
    arrow = lab.evaluate("[i for i, trace in enumerate(draw(0.0).data) if trace.get('text') == ['1']][0]")
    for name, stops in (("sparsity", ("0.0", "0.98")), ("step", ("0.98, 0", "0.98, stops[-1]"))):
        cell = f'start={{"{name}"'
        baked = lab.plot(lab.cell(cell))
        for fraction, stop in enumerate(stops):
            lab.scrub(baked, fraction)
            lab.wait_for_data(baked, {(arrow, "y"): lab.evaluate(f"model({stop})[1, :1]")})
        lab.screenshot(f"directions-{name}", baked)
    pictures = lab.page.locator(".jp-MarkdownOutput img")
    widths = "images => images.map(image => image.naturalWidth)"
    assert pictures.evaluate_all(widths) == [320] * pictures.count() == [320] * 6  # the map, which is in the cell


def check_samples(lab: Lab) -> None:
    """Notebook 1: the pictures are the uniform numbers, thresholded."""
    x = "np.asarray(distributions['correlated sets'].from_uniforms(SPARSITIES[{}], u['correlated sets'])).T"
    first, second = 6, 7  # traces of the correlated sets, behind six independent features

    def shown(stop: int) -> dict:
        values = np.array(lab.evaluate(x.format(stop)))
        return {(first, "z"): values[:3], (second, "z"): values[3:]}

    cell = lab.cell("explorer = explorers.explore")
    slider, plot = lab.slider(cell, "sparsity"), lab.plot(cell)
    lab.press(slider, "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    lab.wait_for_data(plot, shown(3))
    lab.press(slider, "End")
    lab.wait_for_data(plot, shown(lab.evaluate("len(SPARSITIES) - 1")))
    baked = lab.plot(lab.cell("figures.frames("))
    for fraction, stop in ((0.0, 0), (1.0, 19)):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, shown(stop))


def check_story(lab: Lab) -> None:
    """Notebook 2: polyhedron, Gram matrix and losses are those of the run that the sliders name."""
    corners, gram, losses = 3, 10, 11  # traces: vertices of set 1, heat map, loss of the model

    def shown(weights: str, of: str = "run") -> dict:
        W = np.array(lab.evaluate(weights))
        upright = "geometry.upright"
        turned = np.array(lab.evaluate(f"{upright}({of}.weights[..., -1, :, :], features.sets)")) @ W
        return {(gram, "z"): W.T @ W, **{(corners, axis): turned[i, :3] for i, axis in enumerate("xyz")}}

    cell = lab.cell("explorer = explorers.geometry")
    plot = lab.plot(cell)
    lab.press(lab.slider(cell, "sparsity"), "End")
    lab.press(lab.slider(cell, "seed"), "Home", "ArrowRight")
    lab.press(lab.slider(cell, "step"), "Home", "ArrowRight", "ArrowRight")
    expected = shown("plain.weights[5, 1, 2].values", of="plain[dict(S=5, seed=1)]")
    lab.wait_for_data(plot, {**expected, (losses, "y"): lab.evaluate("plain.losses[5, 1].values")})
    lab.drag(lab.slider(cell, "step"), 1000)
    lab.wait_for_data(plot, shown("plain.weights[5, 1, -1].values", of="plain[dict(S=5, seed=1)]"))
    turned = lab.turn(plot)
    lab.press(lab.slider(cell, "step"), "ArrowLeft")
    lab.wait_for_data(plot, shown("plain.weights[5, 1, -2].values", of="plain[dict(S=5, seed=1)]"))
    assert lab.eye(plot) == pytest.approx(turned, abs=0.05)
    lab.screenshot("geometry-explorer", plot)
    baked = lab.plot(lab.cell("figures.frames("))
    turned = lab.turn(baked)
    for fraction, stop in ((0.0, 0), (1.0, -1)):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, shown(f"run.weights[stops[{stop}]]"))
        assert lab.eye(baked) == pytest.approx(turned, abs=0.05)
    lab.screenshot("story", baked)


def check_attack(lab: Lab) -> None:
    """Notebook 3: the input, the direction of the attack and both outputs are those of the model that is named."""
    clean, direction, after, before = 0, 2, 4, 5  # traces

    def shown(model: int, sample: int, fraction: float, *, along_gradient: bool = False) -> dict:
        W, b = (np.array(lab.evaluate(f"models.{leaf}[{model}]")) for leaf in "Wb")
        x, mean_norm = np.array(lab.evaluate(f"inputs[{model}, {sample}]")), lab.evaluate(f"mean_norms[{model}]")
        G = W.T @ W
        unattacked = np.maximum(x @ G + b, 0)
        slope = ((unattacked - x) * (unattacked > 0)) @ G
        pushes = slope[None] if along_gradient else G
        pushes = pushes / np.maximum(np.linalg.norm(pushes, axis=1, keepdims=True), 1e-30)
        outputs = np.maximum((x + fraction * mean_norm * pushes) @ G + b, 0)
        worst = np.square(outputs - x).sum(1).argmax()
        most = np.lexsort((-x, -np.abs(outputs[worst] - unattacked)))[:24]
        drawn = {clean: x, direction: pushes[worst], after: outputs[worst], before: unattacked}
        return {(trace, "y"): values[most] for trace, values in drawn.items()}

    cell = lab.cell("explorers.attack")
    plot = lab.plot(cell)
    lab.press(lab.slider(cell, "attack"), "Home")
    lab.press(lab.slider(cell, "sparsity"), "End", "ArrowLeft")
    lab.press(lab.slider(cell, "sample"), "Home", "ArrowRight")
    lab.press(lab.slider(cell, "norm"), "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    lab.wait_for_data(plot, shown(4, 1, 0.1))
    lab.drag(lab.slider(cell, "norm"), 1000)
    lab.wait_for_data(plot, shown(4, 1, 0.5))
    lab.screenshot("attack-explorer", plot)
    lab.press(lab.slider(cell, "attack"), "ArrowRight", "ArrowRight")
    lab.press(lab.slider(cell, "sample"), "End")
    lab.wait_for_data(plot, shown(4, 5, 0.5, along_gradient=True))
    baked = lab.plot(lab.cell("figures.frames(lambda norm"))
    for fraction, stop in ((0.0, 0), (1.0, -1)):
        lab.scrub(baked, fraction)
        x, clean_output, output = (
            np.array(lab.evaluate(name)) for name in ("attacked_input", "after[0]", f"list(after.values())[{stop}]")
        )
        most = np.lexsort((-x, -np.abs(output - clean_output)))[:24]
        lab.wait_for_data(baked, {(after, "y"): output[most]})
    lab.screenshot("attacked", baked)


def check_robust(lab: Lab) -> None:
    """Notebook 4: Gram matrix and norms are those of the model that is named, the longest feature first."""

    def shown(weights: str) -> dict:
        W = np.array(lab.evaluate(f"np.asarray({weights}, float)"))
        norms = np.linalg.norm(W, axis=0)
        order = np.argsort(-norms, kind="stable")
        return {(0, "z"): (W.T @ W)[order][:, order], (1, "y"): norms[order]}

    cell = lab.cell("explorer = explorers.robust")
    plot = lab.plot(cell)
    lab.press(lab.slider(cell, "attack"), "Home", *["ArrowRight"] * 3)
    lab.press(lab.slider(cell, "sparsity"), "Home", "ArrowRight")
    lab.press(lab.slider(cell, "norm"), "Home", *["ArrowRight"] * 5)
    lab.wait_for_data(plot, shown("grid.W.sel(training='one step', seed=0, density=0.1, norm=0.5)"))
    lab.drag(lab.slider(cell, "norm"), 1000)
    lab.wait_for_data(plot, shown("grid.W.sel(training='one step', seed=0, density=0.1)[-1]"))
    lab.press(lab.slider(cell, "attack"), "End")
    lab.wait_for_data(plot, shown("grid.W.sel(seed=0, density=0.1)[-1, -1]"))
    lab.screenshot("robust-explorer", plot)
    baked = lab.plot(lab.cell("def at_norm(norm)"))
    for fraction, stop in ((0.0, 0), (1.0, -1)):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, shown(f"trained.sel(norm=small[{stop}])"))
    lab.screenshot("trained-at-norm", baked)


def check_rule(lab: Lab) -> None:
    """Notebook 5: lines have the middle points that the sliders name, and antipodes are those of the better 3-cycle."""
    set_1, set_2 = (3, 23), (5, 25)  # traces: corners of the sets, of the lines and of the octahedron

    def shown(first: float, second: float) -> dict:
        lines = [0.5 * (np.array([-1, middle, 1]) - middle / 3) for middle in (first, second)]
        turns = np.radians([0, 120, 240])
        low = turns + np.radians(60 if first < second else -60)  # the lower middle point goes with the highest
        corners = {set_1[1]: turns, set_2[1]: low}
        found = {(trace, "z"): line for trace, line in zip((set_1[0], set_2[0]), lines, strict=True)}
        for trace, angles in corners.items():
            for axis, part in (("x", np.cos), ("y", np.sin)):
                found[trace, axis] = np.sqrt(2 / 3) * part(angles)
        return found

    cell = lab.cell("explorer = explorers.explore(predicted")
    plot = lab.plot(cell)
    lab.press(lab.slider(cell, "first middle"), "Home", "ArrowRight")
    lab.press(lab.slider(cell, "second middle"), "Home", *["ArrowRight"] * 4)
    lab.wait_for_data(plot, shown(-0.8, -0.5))
    lab.drag(lab.slider(cell, "first middle"), 1000)
    lab.wait_for_data(plot, shown(0.9, -0.5))
    lab.screenshot("rule-explorer", plot)
    baked = lab.plot(lab.cell("def climbing(step)"))
    for fraction, snapshot in ((0.0, 0), (1.0, 48)):
        lab.scrub(baked, fraction)
        W = np.array(lab.evaluate(f"trees[7][0].weights[0, {snapshot}]"))
        unit = W / np.linalg.norm(W, axis=0)
        lab.wait_for_data(baked, {(5, "z"): unit.T @ unit})  # after the branches and the leaves of four sets
    lab.screenshot("tree", baked)


def check_transfer(lab: Lab) -> None:
    """Notebook 6: both outputs are those of the two models that are named, under the attack made on the first."""

    def shown(c: float, norm: float, seeds: tuple[int, int]) -> dict:
        at = f"tr_copies.sel(copy_probability={c})"
        W, b = (np.array(lab.evaluate(f"{at}.{leaf}.values[{list(seeds)}]")) for leaf in "Wb")
        unit = lab.evaluate(f"float(PartlyCorrelated(2, 3, copy_probability={c}).mean_norm(0.9))")
        x, push = np.array([0, 0.6, 0, 0, 0, 0]), W[0].T @ W[0][:, 0]
        delta, found = norm * unit * push / np.linalg.norm(push), {}
        for i in range(2):
            after, before = (np.maximum(W[i].T @ (W[i] @ v) + b[i], 0) for v in (x + delta, x))
            found |= {(3 * i, "y"): after, (3 * i + 1, "y"): x, (3 * i + 2, "y"): before}
        return found

    cell = lab.cell("explorer = explorers.explore(tr_two_models")
    plot = lab.plot(cell)
    lab.press(lab.slider(cell, "correlation"), "End")
    lab.press(lab.slider(cell, "norm"), "Home", "ArrowRight")
    lab.press(lab.slider(cell, "pair"), "Home", "ArrowRight", "ArrowRight")
    lab.wait_for_data(plot, shown(1.0, 0.25, (3, 4)))
    lab.drag(lab.slider(cell, "norm"), 1000)
    lab.wait_for_data(plot, shown(1.0, 3.0, (3, 4)))
    lab.screenshot("transfer-explorer", plot)
    baked = lab.plot(lab.cell("def crit_v_against_f"))
    for fraction, kind in ((0.0, "trained"), (1.0, "same data")):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, {(0, "y"): lab.evaluate(f"crit_equal_v.sel(kind='{kind}').mean('seed').values")})
    lab.screenshot("v-against-f", baked)


CHECKS = {
    "0_start_here.ipynb": (check_directions, ()),
    "1_data_generation.ipynb": (check_samples, ("explorers.explore", "figures.frames(draw, ")),
    "2_training_dynamics.ipynb": (check_story, ("explorers.geometry", "figures.frames(")),
    "3_adversarial_attacks.ipynb": (check_attack, ("explorers.attack", "figures.frames(lambda norm")),
    "4_adversarial_training.ipynb": (check_robust, ("explorers.robust", "def at_norm(norm)")),
    "5_routes_to_the_octahedron.ipynb": (check_rule, ("explorers.explore(predicted", "def climbing(step)")),
    "6_conjectures.ipynb": (check_transfer, ("explorers.explore(tr_two_models", "def crit_v_against_f")),
}
"""Notebook -> what is checked, and texts of the cells that it takes; none for all.

That every cell runs, and what it shows, is nbval's to check; outputs of cells that do not run here are drawn as stored.
"""


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_shown_and_moves_in_jupyterlab(context, address, name):
    check, texts = CHECKS.get(name, (None, ()))
    with opened(context, address, name) as lab:
        lab.run_for(*texts) if texts else lab.run_all()
        for handle in lab.page.locator(".noUi-handle").all():
            values = set()
            for key in ("Home", "ArrowRight", "End"):
                lab.press(handle, key)
                values.add(handle.get_attribute("aria-valuetext"))
            assert len(values) > 1
        kept = lab.evaluate("__import__('os').environ['JAX_COMPILATION_CACHE_DIR']")  # the kernel has seen it all
        assert Path(kept).name == Path(name).stem
        if check:
            check(lab)
        explorers = "[e._error.value for e in globals().values() if type(e).__name__ == 'Explorer']"
        assert {"", *lab.evaluate(explorers)} == {""}
        lab.screenshot(Path(name).stem)
        assert lab.problems == []


# ---- the site, from disk, with the network off


def test_the_hero_plays_and_takes_keys(context, site):
    with reading(context, site) as reader:
        reader.open("index")
        hero = reader.figures()["hero"]
        slider, plot = reader.slider(hero, "step"), reader.plot(hero)
        begin = int(slider.input_value())
        reader.page.wait_for_function("([s, n]) => s.value > n", arg=[slider.element_handle(), begin + 2])
        hero.get_by_role("button", name="Pause").click()
        assert hero.get_by_role("button", name="Play").is_visible()
        reader.press(slider, "Home", "ArrowRight", "ArrowRight")
        reader.wait_for_data(plot, reader.frame(hero, 2))
        assert slider.get_attribute("aria-valuetext").endswith("A")
        reader.press(slider, "End")
        reader.wait_for_data(plot, reader.frame(hero, -1))
        assert slider.get_attribute("aria-valuetext").endswith("E: octahedron")
        first, last = (reader.frame(hero, i)[3, "x"] for i in (0, -1))  # what is waited for does change
        assert np.abs(first - last).max() > 0.1
        reader.page.evaluate("scrollTo(0, 0)")
        for theme in ("light", "dark"):
            reader.theme(theme)
            reader.wait_for_data(plot, reader.frame(hero, -1))
            reader.screenshot(f"site-landing-{theme}")
        assert reader.problems == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_page_draws_and_moves_every_figure(context, site, name):
    with reading(context, site, reduced_motion="reduce") as reader:
        reader.open(Path(name).stem)
        reader.screenshot(f"site-{Path(name).stem}")
        cells = nbformat.read(FOLDER / name, as_version=4).cells
        stored = {c.id: o.data[PLOTLY] for c in cells for o in c.get("outputs", ()) if PLOTLY in o.get("data", ())}
        found = reader.figures()
        assert list(found) == list(stored)
        buttons = [button.get_attribute("data-title") for button in reader.page.locator(".modebar-btn").all()]
        assert "Zoom in" in buttons
        assert not any("Share" in title or "Cloud" in title for title in buttons)  # plotly's, to send a figure away
        for cell, figure in found.items():
            plot, frames = reader.plot(figure), stored[cell].get("frames")
            assert len(reader.data(plot)) == len(stored[cell]["data"])
            if moves.MOVING.get(Path(name).stem) == cell:
                reader.slider(figure).first.wait_for()
            else:
                assert reader.slider(figure).count() == bool(frames)
            if frames:
                slider = reader.slider(figure)
                reader.press(slider, "Home", "ArrowRight")
                reader.wait_for_data(plot, reader.frame(figure, 1))
                reader.press(slider, "End")
                reader.wait_for_data(plot, reader.frame(figure, len(frames) - 1))
                box = slider.bounding_box()
                reader.page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
                at = int(slider.input_value())
                assert at < len(frames) - 1
                assert at > 0 or len(frames) == 2
                reader.wait_for_data(plot, reader.frame(figure, at))
        assert reader.problems == []


def test_figures_follow_the_theme_and_keep_the_readers_view(context, site):
    look = (
        "gd => [gd.layout.template.layout.font.color, getComputedStyle(gd.querySelector('.main-svg')).backgroundColor]"
    )
    with reading(context, site, reduced_motion="reduce") as reader:
        reader.open("index")
        hero = reader.figures()["hero"]
        plot = reader.plot(hero)
        reader.theme("light")
        light = plot.evaluate(look)
        assert light == [INK, "rgb(255, 255, 255)"]
        turned = reader.turn(plot)
        reader.press(reader.slider(hero, "step"), "Home")
        reader.wait_for_data(plot, reader.frame(hero, 0))
        assert reader.eye(plot) == pytest.approx(turned, abs=0.05)
        reader.theme("dark")
        reader.wait_for_data(plot, reader.frame(hero, 0))
        reader.page.wait_for_function(
            "gd => gd.layout.template.layout.font.color != '#222222'", arg=plot.element_handle()
        )
        assert plot.evaluate(look) == [DARK[INK], "rgb(18, 18, 18)"]
        assert reader.eye(plot) == pytest.approx(turned, abs=0.05)
        reader.theme("light")
        reader.page.wait_for_function(
            "gd => gd.layout.template.layout.font.color == '#222222'", arg=plot.element_handle()
        )
        assert plot.evaluate(look) == light
        assert reader.problems == []


def test_search_works_from_disk(context, site):
    with reading(context, site) as reader:
        reader.open("claims")
        reader.page.keyboard.press("Control+k")
        reader.page.keyboard.type("hysteresis")
        reader.page.keyboard.press("Enter")
        results = reader.page.locator("#search-results li a")
        results.first.wait_for()
        assert "4_adversarial_training.html" in " ".join(link.get_attribute("href") for link in results.all())
        results.first.click()
        reader.page.get_by_text("hysteresis").first.wait_for()
        assert reader.problems == []


def test_no_page_scrolls_sideways_on_a_phone(context, site):
    with reading(context, site, width=390, has_touch=True, is_mobile=True, reduced_motion="reduce") as reader:
        names = [path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")]
        names = [name for name in names if not name.startswith("_static")]
        assert {"index", "api/attacks", *(Path(name).stem for name in NOTEBOOKS)} <= set(names)
        for name in names:
            reader.open(name)
            figures = reader.page.locator("figure.live")
            if figures.count():
                figures.first.scroll_into_view_if_needed()
                reader.page.wait_for_function(DRAWN, arg=figures.first.element_handle())
                reader.screenshot(f"site-{'landing' if name == 'index' else name}-phone")
                drawn = figures.first.locator(".main-svg").first.bounding_box()["width"]
                assert 340 <= drawn <= 358 if name == "index" else drawn == 560
            assert reader.page.evaluate("[innerWidth, document.scrollingElement.scrollWidth]") == [390, 390], name
        assert reader.problems == []
