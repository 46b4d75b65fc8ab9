"""The README says what the stored notebooks say."""

import re
from pathlib import Path

import nbformat
import numpy as np
import xarray as xr

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")


def claims() -> list[tuple[str, str, str, str]]:
    """(name, paper, measured, verdict) of every row of every stored claims table."""
    found = []
    for path in sorted((TOP / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        texts = [o.data["text/plain"] for c in cells for o in c.get("outputs", ()) if "text/html" in o.get("data", ())]
        for line in "\n".join(texts).splitlines():
            name, verdict, rest = re.fullmatch(r"(.+?) (holds|fails): (.*)", line).groups()
            paper, _, measured = rest.split(" | ")
            found.append((name, paper, measured, verdict))
    return found


def test_the_claims_table_is_that_of_the_notebooks():
    table = README.partition("| | the paper says |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]
    assert claims()
    assert rows == claims()


def test_the_number_of_stored_models_is_that_of_the_file():
    results = TOP / "notebooks" / "results"
    with np.load(results / "training_dynamics.npz", allow_pickle=False) as stored:
        assert f"({len(stored['S']):,} models)" in README
    with xr.open_dataset(results / "adversarial_attacks.nc", engine="scipy") as stored:
        assert f"({stored.V_dataset.size + stored.small_upper.isel(small_fraction=0).size} models, " in README
    models = 0
    for path in results.glob("adversarial_training_*.nc"):
        with xr.open_dataset(path, engine="scipy") as stored:
            models += stored.failed.size
            assert not stored.failed.any()
    assert f"({models:,} models in four resumable sweeps)" in README


def test_the_example_runs(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    exec(compile(code, "README.md", "exec"), {})
    state, ratio = capsys.readouterr().out.split()
    assert state == "octahedron"
    assert abs(float(ratio) - 1) < 0.03
