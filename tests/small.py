"""A small notebook with what ours have: an explorer, plotly frames with a slider, and 3-D."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FOLDER = Path(__file__).parents[1] / "notebooks"
CURVES = np.float32([[0.0, 1.0, 3.0], [2.0, 0.5, -1.0], [0.25, 0.0, 1.5]])

CELLS = [
    "import numpy as np, plotly.graph_objects as go\n"
    "from toylib.explorers import Control, Explorer\n"
    f"curves = np.float32({CURVES.tolist()})\n"
    "layout = {'template': 'none', 'width': 700, 'height': 300}\n"
    "drawn = []",
    """def draw(curve, factor):
    drawn.append((curve, factor))
    return {"data": [{"type": "scatter", "y": (factor + 1) * curves[curve]}], "layout": layout}

controls = {"curve": Control(["a", "b", "c", "none"], "which curve"), "factor": Control(["1", "2"], "times what")}
explorer = Explorer("curve", draw, controls, play="curve")
explorer""",
    """frames = [go.Frame(data=[go.Scatter(y=curve)], name=str(i)) for i, curve in enumerate(curves)]
now = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
steps = [{"method": "animate", "label": frame.name, "args": [[frame.name], now]} for frame in frames]
go.Figure(go.Scatter(y=curves[0]), {**layout, "sliders": [{"steps": steps}]}, frames)""",
    "go.Figure(go.Scatter3d(x=curves[0], y=curves[1], z=curves[2]), layout)",
]


def run_store(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `store.py` as `make notebooks` does, on another folder."""
    command = [sys.executable, "-W", "error", str(folder / "store.py")]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def write(folder: Path) -> Path:
    """Write the notebook, not run yet, and all that stores it to a folder; return its path."""
    for name in ("store.py", "compare.py", "captions.py"):
        shutil.copy(FOLDER / name, folder)
    path = folder / "0_small.ipynb"
    cells = []
    for i, source in enumerate(CELLS):
        cells += [new_code_cell(source, id=f"cell-{i}"), new_markdown_cell("*A figure.*", id=f"caption-{i}")]
    nbformat.write(new_notebook(cells=cells), path)
    return path
