"""The stored notebooks as files, and the strict check and the storing, on small notebooks."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import store
from compare import PICTURE, PLOTLY, WIDGET
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

TOP = Path(__file__).parents[1]
NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))
OPENING = ("Question", "You will see", "Paper", "Runs in", "Notation")
FIGURE = "display({{'application/vnd.plotly.v1+json': {{'data': [{{'y': [0.0, {y}]}}], 'layout': {{}}}}}}, raw=True)"


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_run_from_the_first_cell_to_the_last(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_stored_for_every_machine(path, notebook):
    assert notebook.metadata == store.METADATA
    assert path.stat().st_size <= store.LIMIT
    outputs = json.dumps([cell.outputs for cell in code_cells(notebook)])
    assert not re.search(r"/home/|/Users/|/root/|/tmp/|/var/folders/|[A-Z]:\\\\|site-packages", outputs)


def test_outputs_read_everywhere(notebook):
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        store.check(output)
        data = output.get("data", {})
        assert WIDGET not in data
        assert (PICTURE in data) == (PLOTLY in data)


def test_every_cell_is_short_and_compared(notebook):
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert 0 < len(lines) <= 20, cell.source
        assert not re.search(r"NBVAL_|nbval-|raises-exception", cell.source + str(cell.metadata))


def test_written_to_the_template(path, notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.name.partition('_')[0]}. ")
    assert [word for word in OPENING if word not in first.source] == []
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code_cells(notebook)) == 1
    titles = re.findall("^## (.*)$", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.M)
    assert titles[-1] == "References"
    assert path.name in (TOP / "README.md").read_text(encoding="utf-8")


def small(*cells: tuple[str, list[NotebookNode]]) -> NotebookNode:
    """Make a notebook as if it had been run, from its cells' sources and outputs."""
    code = [new_code_cell(source, outputs=outputs, execution_count=i) for i, (source, outputs) in enumerate(cells, 1)]
    return new_notebook(cells=[new_markdown_cell("# 1. Small"), *code], metadata=store.METADATA)


def printed(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def plotted(y: float) -> NotebookNode:
    data = {PLOTLY: {"data": [{"y": [0.0, y]}], "layout": {}}, PICTURE: "AAAA"}
    return new_output("display_data", data=data)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, str]:
    """Run strict nbval once on cells that do what is stored, but for noise, or do not; return what it says of each."""
    folder = tmp_path_factory.mktemp("strict")
    cell = "print('loss 0.970')\n" + FIGURE.format(y=1.0)
    cases = {
        "same": (cell, [printed("loss 0.970\n"), plotted(1.0)]),
        "noise": (cell, [printed("loss 0.971\n"), plotted(1.0 + 1e-6)]),
        "text": (cell, [printed("loss 0.980\n"), plotted(1.0)]),
        "figure": (cell, [printed("loss 0.970\n"), plotted(1.1)]),
        "missing": (cell, [printed("loss 0.970\n")]),
        "surplus": ("x = 1", [printed("loss 0.970\n")]),
        "stderr": ("import sys; sys.stderr.write('0.1\\n');", [printed("0.1\n")]),
        "error": ("1 / 0", []),
        "exempt": ("# NBVAL_IGNORE_OUTPUT\nprint(1)", [printed("2\n")]),
        "stripped": (cell, []),
    }
    notebook = small(*cases.values())
    notebook.cells[-1].execution_count = None
    nbformat.write(notebook, folder / "1_small.ipynb")
    for name in ("conftest.py", "compare.py"):
        shutil.copy(TOP / "notebooks" / name, folder)
    strict = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=60", "--color=no", "-rA", "-W", "error"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *strict, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    found = {int(i): verdict for verdict, i in re.findall(r"^(PASSED|FAILED|ERROR) .*::Cell (\d+)", done.stdout, re.M)}
    assert len(found) == len(cases), done.stdout + done.stderr
    return {name: found[i] for i, name in enumerate(cases)} | {"log": done.stdout}


@pytest.mark.parametrize("name", ["same", "noise"])
def test_strict_check_passes_on_noise(verdicts, name):
    assert verdicts[name] == "PASSED"


@pytest.mark.parametrize("name", ["text", "figure", "missing", "surplus", "stderr", "error"])
def test_strict_check_fails_on_change(verdicts, name):
    assert verdicts[name] == "FAILED"


@pytest.mark.parametrize("name", ["stripped", "exempt"])
def test_strict_check_refuses_cells_it_would_not_compare(verdicts, name):
    assert verdicts[name] == "ERROR"


def test_strict_check_names_the_difference(verdicts):
    assert "stored 'loss 0.980', now 'loss 0.970'" in verdicts["log"]
    assert "data[0].y[1]: stored 1.1, now 1.0" in verdicts["log"]
    assert "no stored execution" in verdicts["log"]


def test_storing_normalises(tmp_path):
    notebook = small(("print('loss 0.970')", [printed("loss 0.971\n")]), ("2 + 2", []))
    notebook.metadata = {"kernelspec": {"name": "other", "display_name": "x"}, "widgets": {}, "signature": "x"}
    notebook.cells[1].metadata = {"tags": ["parameters"], "execution": {"iopub.status.busy": "x"}, "trusted": True}
    for cell, count in zip(notebook.cells[1:], (7, None), strict=True):
        cell.execution_count = count
    path = tmp_path / "1_small.ipynb"
    nbformat.write(notebook, path)
    line = asyncio.run(store.store(path, browser=None))
    assert line.startswith("1_small.ipynb: stored, new outputs: 1, new pictures: 0, ")
    fresh = nbformat.read(path, as_version=4)
    assert fresh.metadata == store.METADATA
    assert [cell.id for cell in fresh.cells] == [cell.id for cell in notebook.cells]
    assert [cell.metadata for cell in fresh.cells] == [{}, {"tags": ["parameters"]}, {}]
    assert [cell.execution_count for cell in code_cells(fresh)] == [1, 2]
    assert fresh.cells[1].outputs == [printed("loss 0.971\n")]  # within the tolerance: kept
    assert fresh.cells[2].outputs[0].data == {"text/plain": "4"}
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("print(1)\n1 / 0", CellExecutionError, "ZeroDivisionError"),
        ("import sys\nsys.stderr.write('rate')", store.Refused, "stderr.*\nrate"),
        ("import ipywidgets\nipywidgets.IntSlider()", store.Refused, "a widget without a figure: IntSlider"),
        ("print('1234567\\n' * 2**17)", store.Refused, "2.38 MiB, the limit is 1 MiB"),
    ],
)
def test_a_notebook_that_must_not_be_stored_is_left_alone(tmp_path, source, error, message):
    path = tmp_path / "1_small.ipynb"
    nbformat.write(small(("0", []), (source, [printed("old\n")])), path)
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        asyncio.run(store.store(path, browser=None))
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == [path.name]
