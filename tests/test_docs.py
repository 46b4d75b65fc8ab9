"""The programs of docs/sweeps.md and docs/numbers.md run as they stand."""

import os
import re
import sys
from pathlib import Path

import lists
import nbformat
import pytest
from programs import printed

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "sweeps.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))
STATUS = "96 points: 96 done, 0 failed, 0 missing"


def run(folder, name):
    for file, text in PROGRAMS.items():
        (folder / file).write_text(text, encoding="utf-8")
    # dask warns when a slow disk takes it a second to make a folder, which says nothing about the program.
    filters = "error::UserWarning,ignore:Creating scratch directories is taking:UserWarning"
    environment = os.environ | {"PYTHONWARNINGS": filters, "DASK_TEMPORARY_DIRECTORY": str(folder)}
    return printed([sys.executable, name], cwd=folder, env=environment)


def test_the_first_program(tmp_path):
    planned, status, loss = run(tmp_path, "octahedra.py").splitlines()
    assert re.fullmatch(r"96 points in 1 batches of up to 96, \d\.\d MiB, about \d+ s in one worker", planned)
    assert status == STATUS
    assert 0 < float(loss) < 0.3


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "octahedra.py"])
def test_the_programs_for_executors(tmp_path, name):
    assert run(tmp_path, name).splitlines() == [STATUS]


def test_the_reproduced_number_is_the_claim():
    text = (DOCS / "numbers.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    stored, anew = re.findall(r"\d+/\d+ = .*", printed([sys.executable, "-c", code], cwd=DOCS.parent))
    notebook = nbformat.read(DOCS.parent / "notebooks" / "2_training_dynamics.ipynb", as_version=4)
    claim = next(claim for claim in lists.claims({"2": notebook}) if claim.name == "C4")
    assert stored == anew
    assert claim.measured.endswith(f"p = 0.10: {stored}")


def test_the_page_is_linked():
    for file in ("README.md", "CONTRIBUTING.md"):
        assert "(docs/sweeps.md)" in (DOCS.parent / file).read_text(encoding="utf-8")
    assert sorted(PROGRAMS) == ["octahedra.py", "processes.py", "with_dask.py"]
