"""What needs a real browser: storing notebooks with pictures, and running them in JupyterLab, sliders and all."""

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from compare import PICTURE, PLOTLY, WIDGET
from lab import BROWSER, Lab, browse, opened, serve
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import BrowserContext
from store import METADATA

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
CURVES = np.float32([[0.0, 1.0, 3.0], [2.0, 0.5, -1.0], [0.25, 0.0, 1.5]])

# A notebook with what ours have: an explorer that brings its figure along, plotly frames with a slider, and 3-D.
CELLS = [
    "import ipywidgets, json, numpy as np, plotly.graph_objects as go\n"
    f"curves = np.float32({CURVES.tolist()})\n"
    "layout = {'template': 'none', 'width': 700, 'height': 300}",
    """class Explorer:
    def __init__(self):
        self.start = go.Figure(go.Scatter(y=curves[0]), layout)
        self.figure = go.FigureWidget(self.start)
        self.slider = ipywidgets.IntSlider(0, 0, 2, description="curve")
        self.slider.observe(self.move, "value")
        self.box = ipywidgets.VBox([self.slider, self.figure])

    def move(self, change):
        with self.figure.batch_update():
            self.figure.data[0].y = curves[change.new]

    def _repr_mimebundle_(self, **options):
        view = self.box._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "application/vnd.plotly.v1+json": json.loads(self.start.to_json()),
            "text/plain": "<explorer: curve>",
        }

explorer = Explorer()
explorer""",
    """frames = [go.Frame(data=[go.Scatter(y=curve)], name=str(i)) for i, curve in enumerate(curves)]
now = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
steps = [{"method": "animate", "label": frame.name, "args": [[frame.name], now]} for frame in frames]
go.Figure(go.Scatter(y=curves[0]), {**layout, "sliders": [{"steps": steps}]}, frames)""",
    "go.Figure(go.Scatter3d(x=curves[0], y=curves[1], z=curves[2]), layout)",
]

if BROWSER is None and os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.skip("no Chromium or Chrome on this machine", allow_module_level=True)


def run_store(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `store.py` as `make notebooks` does, on another folder."""
    command = [sys.executable, "-W", "error", str(folder / "store.py")]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """Store the notebook made of CELLS; return its path."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name in ("store.py", "compare.py", "captions.py"):
        shutil.copy(FOLDER / name, folder)
    path = folder / "0_small.ipynb"
    captions = [new_markdown_cell("*A figure.*", id=f"caption-{i}") for i in range(len(CELLS))]
    pairs = zip([new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(CELLS)], captions, strict=True)
    nbformat.write(new_notebook(cells=[cell for pair in pairs for cell in pair]), path)
    done = run_store(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0_small.ipynb: stored, ")
    for what in ("outputs", "pictures", "alternative texts", "links"):
        assert f"  new {what}: 3 in cell-1, cell-2, cell-3\n" in done.stdout
    return path


def code_cells(path: Path) -> list[NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_stored_figures_have_pictures_of_their_size(stored):
    outputs = [cell.outputs[0] for cell in code_cells(stored)[1:]]
    assert len(outputs) == 3
    for output in outputs:
        assert output.data.keys() - {"text/plain"} == {PLOTLY, PICTURE}
        png = base64.b64decode(output.data[PICTURE])
        assert png.startswith(b"\x89PNG")
        assert [int.from_bytes(png[16:20]), int.from_bytes(png[20:24])] == [700, 300]
    assert outputs[0].data["text/plain"] == "<explorer: curve>"


def test_storing_again_changes_nothing_and_redraws_only_changed_figures(stored, tmp_path):
    for path in stored.parent.iterdir():
        shutil.copy(path, tmp_path)
    path, before = tmp_path / stored.name, stored.read_bytes()
    done = run_store(tmp_path)
    assert re.fullmatch(r"0_small\.ipynb: unchanged, \d+ s, \d+ KiB\n", done.stdout), done.stderr
    assert path.read_bytes() == before

    path.write_text(path.read_text().replace("go.Scatter3d(x=curves[0]", "go.Scatter3d(x=-curves[0]"))
    done = run_store(tmp_path)
    assert done.stdout.splitlines()[1:] == ["  new outputs: 1 in cell-3", "  new pictures: 1 in cell-3"], done.stderr
    old, new = code_cells(stored), code_cells(path)
    assert [a.outputs == b.outputs for a, b in zip(old, new, strict=True)] == [True, True, True, False]
    assert old[3].outputs[0].data[PICTURE] != new[3].outputs[0].data[PICTURE]


def test_storing_without_a_browser_says_so(stored):
    before = stored.read_bytes()
    done = run_store(stored.parent, BROWSER_PATH="none", PATH="", HOME="none")
    assert done.returncode == 1
    assert done.stderr.startswith("the pictures of the notebooks are drawn by Chromium or Chrome: ")
    assert done.stderr.count("\n") == 1
    assert stored.read_bytes() == before


@pytest.fixture(scope="module")
def address(tmp_path_factory, stored) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks and the small one."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(stored, folder)
    cells = [new_code_cell("print(1)"), new_code_cell("1 / 0"), new_code_cell("print(2)")]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "0_broken.ipynb")
    with serve(folder) as address:
        yield address


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with browse() as context:
        yield context


@pytest.fixture(scope="module")
def small(context, address, stored) -> Iterator[Lab]:
    with opened(context, address, stored.name) as lab:
        assert lab.page.locator(".js-plotly-plot").count() == 0  # pictures, before anything has run
        assert lab.page.locator("img.plot-img:visible").count() == 3
        lab.run_all()
        yield lab


def test_an_explorer_is_a_live_widget_not_its_picture(small):
    cell = small.cell("explorer = Explorer()")
    outputs = next(c for c in small.notebook().cells if "explorer = Explorer()" in c.source).outputs
    assert {WIDGET, PLOTLY} <= outputs[0].data.keys()
    small.wait_for_data(small.plot(cell), {(0, "y"): CURVES[0]})
    assert cell.locator(".js-plotly-plot").count() == 1
    assert cell.locator(".noUi-handle").count() == 1


def test_an_explorers_slider_moves_by_key_and_mouse(small):
    cell = small.cell("explorer = Explorer()")
    slider, plot = small.slider(cell, "curve"), small.plot(cell)
    small.press(slider, "ArrowRight")
    assert small.wait_for_data(plot, {(0, "y"): CURVES[1]}) < 1
    assert small.evaluate("explorer.slider.value") == 1
    small.press(slider, "ArrowRight", "ArrowRight", "ArrowLeft")
    small.wait_for_data(plot, {(0, "y"): small.evaluate("curves[1]")})
    small.drag(slider, 300)
    small.wait_for_data(plot, {(0, "y"): CURVES[2]})
    small.screenshot("small-explorer", cell)
    with pytest.raises(AssertionError):
        small.wait_for_data(plot, {(0, "y"): CURVES[0]})


def test_frames_scrub_in_the_page(small):
    plot = small.plot(small.cell("frames ="))
    for fraction, i in ((1.0, 2), (0.5, 1), (0.0, 0)):
        small.scrub(plot, fraction)
        small.wait_for_data(plot, {(0, "y"): CURVES[i]})
    small.screenshot("small-frames", plot)


def test_every_figure_is_drawn_without_a_complaint(small):
    small.wait_for_data(small.plot(small.cell("Scatter3d")), {(0, "z"): CURVES[2]})
    assert small.problems == []


def test_complaints_are_noticed(context, address):
    with opened(context, address, "0_broken.ipynb") as lab:
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            lab.run_all()
        lab.page.evaluate("console.error('one')")
        lab.page.evaluate("setTimeout(() => { throw new Error('two') })")
        lab.page.evaluate("fetch('http://localhost:1/three').catch(() => null)")
        assert lab.problems[:2] == ["one", "two"]
        assert "http://localhost:1/three" in lab.problems


def check_samples(lab: Lab) -> None:
    """Notebook 1: the pictures are the uniform numbers, thresholded."""
    x = "np.asarray(distributions['correlated sets'].from_uniforms(SPARSITIES[{}], u['correlated sets'])).T"
    first, second = 6, 7  # traces of the correlated sets, behind six independent features

    def shown(stop: int) -> dict:
        values = np.array(lab.evaluate(x.format(stop)))
        return {(first, "z"): values[:3], (second, "z"): values[3:]}

    cell = lab.cell("explorer = explorers.samples")
    slider, plot = lab.slider(cell, "sparsity"), lab.plot(cell)
    lab.press(slider, "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    assert lab.wait_for_data(plot, shown(3)) < 1
    lab.press(slider, "End")
    lab.wait_for_data(plot, shown(lab.evaluate("len(SPARSITIES) - 1")))
    baked = lab.plot(lab.cell("figures.frames("))
    for fraction, stop in ((0.0, 0), (1.0, 19)):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, shown(stop))


def check_story(lab: Lab) -> None:
    """Notebook 2: polyhedron, Gram matrix and losses are those of the run that the sliders name."""
    corners, gram, losses = 3, 7, 8  # traces: vertices of set 1, heat map, loss of the model

    def shown(weights: str, of: str = "run") -> dict:
        W = np.array(lab.evaluate(weights))
        upright = "__import__('toylib.trajectory', fromlist=['upright']).upright"
        turned = np.array(lab.evaluate(f"{upright}({of}.weights[..., -1, :, :], features.sets)")) @ W
        return {(gram, "z"): W.T @ W, **{(corners, axis): turned[i, :3] for i, axis in enumerate("xyz")}}

    cell = lab.cell("explorer = explorers.geometry")
    plot = lab.plot(cell)
    lab.press(lab.slider(cell, "sparsity"), "End")
    lab.press(lab.slider(cell, "seed"), "Home", "ArrowRight")
    lab.press(lab.slider(cell, "step"), "Home", "ArrowRight", "ArrowRight")
    expected = shown("explored.weights[5, 1, 2].values", of="explored[dict(S=5, seed=1)]")
    lab.wait_for_data(plot, {**expected, (losses, "y"): lab.evaluate("explored.losses[5, 1].values")})
    lab.drag(lab.slider(cell, "step"), 1000)
    lab.wait_for_data(plot, shown("explored.weights[5, 1, -1].values", of="explored[dict(S=5, seed=1)]"))
    lab.screenshot("geometry-explorer", plot)
    baked = lab.plot(lab.cell("figures.frames("))
    for fraction, stop in ((0.0, 0), (1.0, -1)):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, shown(f"run.weights[stops[{stop}]]"))
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
        return {
            (clean, "y"): x,
            (direction, "y"): pushes[worst],
            (after, "y"): outputs[worst],
            (before, "y"): unattacked,
        }

    cell = lab.cell("explorer = explorers.attack")
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
    baked = lab.plot(lab.cell("def attacked(i)"))
    for fraction, stop in ((0.0, 0), (1.0, -1)):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, {(after, "y"): lab.evaluate(f"after[{stop}]")})
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
    lab.press(lab.slider(cell, "attack"), "Home", "ArrowRight", "ArrowRight")
    lab.press(lab.slider(cell, "sparsity"), "Home", "ArrowRight")
    lab.press(lab.slider(cell, "norm"), "Home", *["ArrowRight"] * 5)
    lab.wait_for_data(plot, shown("grid.W.sel(stored='one step', density=0.1, norm=0.5)"))
    lab.drag(lab.slider(cell, "norm"), 1000)
    lab.wait_for_data(plot, shown("grid.W.sel(stored='one step', density=0.1)[-1]"))
    lab.press(lab.slider(cell, "attack"), "End")
    lab.wait_for_data(plot, shown("grid.W.sel(stored='noise', density=0.1)[-1]"))
    lab.screenshot("robust-explorer", plot)
    baked = lab.plot(lab.cell("def at_norm(i)"))
    for fraction, stop in ((0.0, 0), (1.0, -1)):
        lab.scrub(baked, fraction)
        lab.wait_for_data(baked, shown(f"trained.sel(norm=small[{stop}])"))
    lab.screenshot("trained-at-norm", baked)


CHECKS = {
    "1_data_generation.ipynb": check_samples,
    "2_training_dynamics.ipynb": check_story,
    "3_adversarial_attacks.ipynb": check_attack,
    "4_adversarial_training.ipynb": check_robust,
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_in_jupyterlab(context, address, name):
    with opened(context, address, name) as lab:
        lab.run_all()
        for handle in lab.page.locator(".noUi-handle").all():
            values = set()
            for key in ("Home", "ArrowRight", "End"):
                lab.press(handle, key)
                values.add(handle.get_attribute("aria-valuetext"))
            assert len(values) > 1
        lab.evaluate("None")  # the kernel has seen it all
        CHECKS[name](lab)
        lab.screenshot(Path(name).stem)
        assert lab.problems == []
