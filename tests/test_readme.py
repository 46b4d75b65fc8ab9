"""The README says what the stored notebooks say."""

import json
import re
from pathlib import Path

import numpy as np
import xarray as xr

import toylib

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")


def test_every_notebook_has_its_row_and_every_link_leads_somewhere():
    rows = re.findall(r"^\| \[(\S+\.ipynb)\]\((\S+)\) \| [^|]{20,} \| \d+ s \|$", README, re.MULTILINE)
    assert [name for name, _ in rows] == [path.name for path in sorted((TOP / "notebooks").glob("*.ipynb"))]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > len(rows)
    assert [link for link in links if not (TOP / link).exists()] == []


def test_the_register_is_elsewhere():
    assert "[criteria.toml](notebooks/results/criteria.toml)" in README
    assert not re.search(r"^\| ?[A-C][0-9]+\b.* \| (holds|fails|undecided)", README, re.MULTILINE)


def test_every_room_is_in_the_table():
    table = README.partition("| room |")[2].partition("\n\n")[0]
    assert (
        sorted(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:]))) == toylib.__all__
    )


def test_the_number_of_stored_models_is_that_of_the_file():
    results = TOP / "notebooks" / "results"
    with np.load(results / "training_dynamics.npz", allow_pickle=False) as stored:
        assert f"({len(stored['S']):,} models)" in README
    with xr.open_dataset(results / "adversarial_attacks.nc", engine="scipy") as stored:
        small = stored.small_upper_nonempty.isel(small_fraction=0)
        models = stored.V_dataset.size + stored.setting_V.size + small.size + stored.sizes["run"]
        assert f"({models} models, " in README
    models = 0
    for path in results.glob("adversarial_training_*.nc"):
        with xr.open_dataset(path, engine="scipy") as stored:
            models += stored.failed.size
            assert not stored.failed.any()
    assert f"({models:,} models in six resumable sweeps)" in README
    models = 0
    for name, column in (("routes_to_the_octahedron", ".route"), ("attractor", "seed"), ("other_sizes", "loss")):
        with np.load(results / f"{name}.npz", allow_pickle=False) as stored:
            models += sum(stored[key].size for key in stored.files if key.endswith(column))
    assert f"({models:,} models)" in README
    models = 0
    for path in [*results.glob("transfer_*.nc"), *results.glob("classifier_*.nc")]:
        with xr.open_dataset(path, engine="scipy") as stored:
            if "failed" in stored:  # the others are measured on models of these
                models += stored.failed.size
                assert not stored.failed.any()
    with xr.open_dataset(results / "critique.nc", engine="scipy") as stored:
        models += stored.empty.size + stored.again_V.sel(mixed="trained").size
    with xr.open_dataset(results / "readable.nc", engine="scipy") as stored:
        made_of_others = stored.family.str.endswith("shrunk") | (stored.family == "stopped early")
        models += stored.clean_loss.isel(model=~made_of_others.values).size
    assert f"({models:,} models)" in README


def test_the_times_are_those_of_the_stored_run():
    stored = json.loads((TOP / "docs" / "speed.json").read_text(encoding="utf-8"))
    rows = stored["microseconds"].values()
    assert (stored["cores"], stored["batch"]) == (2, 1024)
    ours = "{:.1f}, {:.0f} and {:,.0f} µs".format(*(row["toylib"]["median"] for row in rows))
    best = "{:.1f}, {:.1f} and {:.1f} times".format(
        *(row["compiled"]["median"] / row["toylib"]["median"] for row in rows)
    )
    said = " ".join(README.split())
    for quoted in (ours, best, f"batch 1,024, {stored['date']};"):
        assert quoted in said


def test_the_example_runs(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    exec(compile(code, "README.md", "exec"), {})
    state, ratio = capsys.readouterr().out.split()
    assert state == "octahedron"
    assert abs(float(ratio) - 1) < 0.03
