"""Storing notebooks: pictures and alternative texts beside the figures, and what is said of it."""

import base64
import re
import shutil
from pathlib import Path

import nbformat
from compare import PICTURE, PLOTLY
from nbformat import NotebookNode
from small import run_store


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
    assert outputs[0].data["text/plain"] == "<explorer: curve, factor>"


def test_storing_again_changes_nothing_and_redraws_only_changed_figures(stored, tmp_path):
    same, changed, before = tmp_path / stored.name, tmp_path / "1_changed.ipynb", stored.read_bytes()
    shutil.copy(stored, same)
    changed.write_bytes(before.replace(b"go.Scatter3d(x=curves[0]", b"go.Scatter3d(x=-curves[0]"))
    done = run_store(tmp_path)
    first, second, *news = done.stdout.splitlines()
    assert re.fullmatch(r"0_small\.ipynb: unchanged, \d+ s, \d+ KiB", first), done.stderr
    assert same.read_bytes() == before
    assert second.startswith("1_changed.ipynb: stored, ")
    assert news == ["  new outputs: 1 in cell-3", "  new pictures: 1 in cell-3"], done.stderr
    old, new = code_cells(stored), code_cells(changed)
    assert [a.outputs == b.outputs for a, b in zip(old, new, strict=True)] == [True, True, True, False]
    assert old[3].outputs[0].data[PICTURE] != new[3].outputs[0].data[PICTURE]


def test_storing_without_a_browser_says_so(stored):
    before = stored.read_bytes()
    done = run_store(stored.parent, BROWSER_PATH="none", PATH="", HOME="none")
    assert done.returncode == 1
    assert done.stderr.startswith("the pictures of the notebooks are drawn by Chromium or Chrome: ")
    assert done.stderr.count("\n") == 1
    assert stored.read_bytes() == before
