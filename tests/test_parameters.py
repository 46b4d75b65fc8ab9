"""Other values of a notebook's parameters: where they go, what is refused, and what is said of a run."""

import asyncio

import nbformat
import parameters
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NOTEBOOKS = sorted(parameters.NOTEBOOKS.glob("*.ipynb"))


def small(*sources):
    """A notebook with two parameters, and cells after them."""
    tagged = new_code_cell(
        "SEED, S = 3, 0.9  # of one run\nscale = 2\nSTOPS = (1, 2)", metadata={"tags": ["parameters"]}
    )
    return new_notebook(cells=[new_markdown_cell("# 1. Small"), tagged, *map(new_code_cell, sources)])


def test_values_stand_after_the_tagged_cell():
    found = parameters.with_values(small("print(SEED)"), {"STOPS": [0, 0.5], "S": 0})
    assert [cell.source for cell in found.cells[2:]] == ["STOPS = [0, 0.5]\nS = 0", "print(SEED)"]
    assert found.cells[1].source == small().cells[1].source
    nbformat.validate(found)


@pytest.mark.parametrize("name", ["SEEDS", "scale", "RESULTS"])
def test_what_is_no_parameter_is_refused(name):
    with pytest.raises(ValueError, match=f"parameters must be among SEED, S, STOPS, got {name}; take one of these"):
        parameters.with_values(small(), {"S": 0, name: 1})


def test_a_notebook_without_parameters_is_refused():
    with pytest.raises(ValueError, match="must have a code cell tagged parameters, got none; tag one"):
        parameters.with_values(new_notebook(cells=[new_code_cell("S = 1")]), {"S": 0})


def test_a_run_says_what_stopped_it_and_what_it_wrote_to_stderr(tmp_path):
    sources = [
        "from pathlib import Path\nfrom results import FOLDER\nassert not [*Path.cwd().iterdir()]",
        "import sys\nsys.stderr.write(f'S = {S}')\nSTOPS.append(1)",
        "1 / S",
        "raise SystemExit('never run')",
    ]
    notebook = parameters.with_values(small(*sources), {"S": 0, "STOPS": [2]})
    first, second, third, _ = (cell.id for cell in notebook.cells[3:])
    found = asyncio.run(parameters.run(notebook, str(tmp_path), "1_small.ipynb"))
    assert found == [f"{second}, on stderr: S = 0", f"{third}: ZeroDivisionError: division by zero"], first


def test_every_notebook_has_sets():
    assert list(parameters.SETS) == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_three_sets_are_of_parameters_and_no_path_depends_on_the_working_directory(path):
    notebook, sets = nbformat.read(path, as_version=4), parameters.SETS[path.stem]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert not [source for source in code if '"results/' in source or '"."' in source]
    assert len({*map(str, sets)}) >= 3
    for values in sets:
        parameters.with_values(notebook, values)  # which refuses other names
