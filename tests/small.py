"""A small notebook with what ours have: an explorer, a drawing that scrubs, and a 3-D figure of plotly itself."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
from compare import PLOTLY
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from store import METADATA

from toylib import figures

STORE = Path(__file__).parents[1] / "tools" / "store.py"
CURVES = np.float32([[0.0, 1.0, 3.0], [2.0, 0.5, -1.0], [0.25, 0.0, 1.5]])

CELLS = [
    "import numpy as np, plotly.graph_objects as go\n"
    "from toylib.explorers import explore\n"
    "from toylib.figures import Drawing, frames\n"
    f"curves = np.float32({CURVES.tolist()})\n"
    "layout = {'template': 'none', 'width': 700, 'height': 300}\n"
    "drawn = []",
    """def draw(curve, factor=1):
    drawn.append((curve, factor))
    return Drawing([{"type": "scatter", "y": factor * curves[curve]}], layout)

explorer = explore(draw, play="curve", curve={"a": 0, "b": 1, "c": 2, "none": 3}, factor=[1, 2])
explorer""",
    """baked = frames(lambda curve: draw(curve).with_layout(height=240), curve=range(3))
baked""",
    "go.Figure(go.Scatter3d(x=curves[0], y=curves[1], z=curves[2]), layout)",
]


def run_store(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `store.py` as `make notebooks` does, on another folder."""
    command = [sys.executable, "-W", "error", STORE, *sorted(folder.glob("*.ipynb"))]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def write(folder: Path) -> Path:
    """Write the notebook, not run yet, to a folder; return its path."""
    path = folder / "0_small.ipynb"
    cells = []
    for i, source in enumerate(CELLS):
        cells += [new_code_cell(source, id=f"cell-{i}"), new_markdown_cell("*A figure.*", id=f"caption-{i}")]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def write_turning(folder: Path) -> None:
    """Write a notebook with an explorer in space, beside another one."""
    source = """import ipywidgets as widgets, numpy as np
from toylib.explorers import explore
from toylib.figures import Drawing
from toylib.figures.style import BACKGROUND, INK

def spiral(step):
    z = np.linspace(0, step, 9)
    trace = {"type": "scatter3d", "mode": "lines", "x": np.cos(z), "y": np.sin(z), "z": z, "line": {"color": INK}}
    return Drawing([trace], {"height": 380, "paper_bgcolor": BACKGROUND, "title": {"text": f"step {step}"}})

turning = explore(spiral, play="step", step=range(20))
line = explore(lambda size: Drawing([{"type": "scatter", "y": np.arange(size)}], {"height": 300}), size=[2, 3])
widgets.HBox([turning, line])"""
    nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=METADATA), folder / "0_turning.ipynb")


def write_baked(folder: Path) -> None:
    """Write a notebook as JupyterLab saves it: figures beside their pictures, one that nothing can draw, and one that
    moves in another way than ours."""

    def line(slope):
        texts = {"title": f"slope {slope}", "x_title": "x", "y_title": "y", "y_range": (0, 9)}
        return figures.lines([0, 1], {"y": [0, slope]}, **texts)

    baked = figures.frames(line, slope=[2, 5, 9], start={"slope": 5}).figure().to_dict()
    button = {"buttons": [{"label": "other", "method": "restyle", "args": ["y", [[2, 1]]]}]}
    other = {"data": [{"y": [1, 2]}], "layout": {"updatemenus": [button]}}
    picture = base64.b64encode(png(2, 2)).decode()
    bundles = [{PLOTLY: figure, "image/png": picture} for figure in (baked, {"data": [], "layout": None}, other)]
    cells = [
        new_code_cell(source, outputs=[new_output("display_data", bundle)])
        for source, bundle in zip(("baked", "impossible", "other"), bundles, strict=True)
    ]
    notebook = new_notebook(cells=cells, metadata=METADATA)
    (folder / "0_baked.ipynb").write_text(json.dumps(notebook, default=lambda array: array.tolist()))


def png(width: int, height: int) -> bytes:
    """A grey picture."""
    stream = io.BytesIO()
    Image.new("L", (width, height), 128).save(stream, "PNG")
    return stream.getvalue()


def write_broken(folder: Path) -> None:
    """Write a notebook whose second cell fails."""
    cells = [new_code_cell("print(1)"), new_code_cell("1 / 0"), new_code_cell("print(2)")]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "0_broken.ipynb")


def write_training(folder: Path) -> None:
    """Write a notebook in which five features train in a plane, which shows them twice, and two triples in space."""
    imports = "from toylib import explorers\nfrom toylib.features import Correlated, Independent\n\n"
    flat = "explorer = explorers.train(Independent(5), n_hidden=2, speed=20, n_steps=100_000)\nexplorer"
    solid = "solid = explorers.train(Correlated(2, 3), n_hidden=3, n_steps=1_000_000)\nsolid"
    cells = [new_code_cell(code) for code in (imports + flat, "explorer  # again", solid)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "0_training.ipynb")
