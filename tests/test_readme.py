"""The front page says what the stored notebooks say, and docs/library.md what the library and its results are."""

import base64
import io
import json
import re
from html import escape
from pathlib import Path

import nbformat
import numpy as np
import pictures
import pytest
import xarray as xr
from addresses import FIRST
from captions import caption
from compare import PICTURE
from PIL import Image

import toylib
from toylib.reporting import claims_in

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
LIBRARY = (TOP / "docs" / "library.md").read_text(encoding="utf-8")
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sorted((TOP / "notebooks").glob("*.ipynb"))}
FINDINGS = re.findall(
    r"^<!-- claims of (\w+): (.*?) -->\n(.*?)\n\n<img src=\"(\S+)\"", README, re.MULTILINE | re.DOTALL
)
KILOBYTE = 2**10


def test_every_notebook_has_its_row_and_every_link_leads_somewhere():
    rows = re.findall(r"^\| \[(\S+\.ipynb)\]\((\S+)\) \| [^|]{20,} \| \d+ s \|$", README, re.MULTILINE)
    assert [name for name, _ in rows] == [path.name for path in sorted((TOP / "notebooks").glob("*.ipynb"))]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    links += re.findall(r'(?:src|srcset)="([^"]+)"', README)
    assert len(links) > len(rows)
    assert [link for link in links if not (TOP / link).exists()] == []


def test_the_claims_are_elsewhere_and_their_codes_too():
    assert "[criteria.toml](notebooks/results/criteria.toml)" in README
    seen = re.sub(r"<!--.*?-->|`[^`]*`|\(\S*\)|<[^>]*>", "", README, flags=re.DOTALL)
    assert re.findall(r"\b[ABCR][0-9]{1,2}\b", seen) == []


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding[0])
def test_every_number_of_a_finding_is_that_of_its_claims(finding):
    """Written in digits, they are in what was measured, percentages as parts of 1."""
    notebook, names, text, _ = finding
    claims = {claim.name: claim for claim in claims_in(NOTEBOOKS[notebook])}
    measured = " ".join(claims[name].measured for name in names.split(", "))
    known = {float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", measured)}
    text = re.sub(r"`[^`]*`|\[notebook \d\]\(\S*\)", "", text)
    parts = {float(number) / 100 for number in re.findall(r"(\d+) %", text)}
    said = {float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?! %)(?![\d.]*\d)", text)}
    assert said
    assert said | parts <= known


def test_there_are_five_findings_each_with_the_picture_of_its_cell():
    assert len(FINDINGS) == 5
    assert len({notebook for notebook, *_ in FINDINGS}) == 5
    for notebook, _, text, source in FINDINGS:
        cell_id = re.search(r"Cell `([\w-]+)`\s+of\s+\[notebook \d\]\(notebooks/(\w+)\.ipynb\)\.$", text)
        assert cell_id[2] == notebook
        assert source == f"docs/pictures/{notebook}.{cell_id[1]}.png"
        shown = (TOP / source).read_bytes()
        assert shown == pictures.drawn(NOTEBOOKS[notebook])[cell_id[1]]
        assert len(shown) < 60 * KILOBYTE
        assert f'alt="{escape(caption(NOTEBOOKS[notebook], cell_id[1]))}"' in README


def test_the_moving_picture_moves_and_is_sharp_and_small():
    path = TOP / "docs" / "pictures" / "moving.png"
    width = int(re.search(r'src="docs/pictures/moving.png" width="(\d+)"', README)[1])
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as image:
        assert image.width >= 2 * width
        assert image.n_frames > 30
        frames = []
        for i in (0, 1, image.n_frames - 1):
            image.seek(i)
            frames.append(np.asarray(image.convert("L").resize((140, 70)), float))
    still, first, last = frames
    assert np.abs(still - last).max() < 3  # where nothing moves, its end is shown
    for half in (slice(0, 70), slice(70, 140)):  # both models
        assert np.abs(first - last)[:, half].max() > 50


def test_three_lines_draw_a_pentagon():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    imports, lines = code.strip().split("\n\n")
    assert len(lines.splitlines()) == 3
    assert all(re.match(r"import |from ", line) for line in imports.splitlines())
    *statements, last = lines.splitlines()
    found = {}
    exec("\n".join([imports, *statements, f"drawing = {last}"]), found)
    W = np.asarray(found["run"].params.W)
    angles = np.sort(np.degrees(np.arctan2(W[1], W[0])))
    np.testing.assert_allclose(np.diff(angles, append=angles[0] + 360), 72, atol=1)
    norms = np.linalg.norm(W, axis=0)
    assert norms.max() < 1.02 * norms.min()
    assert found["drawing"].title == "Five features in two dimensions"


def test_the_map_of_the_notebooks_is_that_of_the_front_page():
    cell = next(cell for cell in NOTEBOOKS[FIRST].cells if cell.id == pictures.MAP)
    assert cell.source == pictures.map_of(NOTEBOOKS, README)
    shown = pictures.on_the_map(NOTEBOOKS, README)
    assert [*shown] == [name for name in NOTEBOOKS if name != FIRST]
    assert {f"{name}.png" for name in shown} == {*cell.attachments}
    for name, (_, png) in shown.items():
        stored, fresh = (
            np.asarray(Image.open(io.BytesIO(data)).convert("L"), float)
            for data in (base64.b64decode(cell.attachments[f"{name}.png"][PICTURE]), pictures.small(png))
        )
        assert stored.shape == fresh.shape
        assert np.abs(stored - fresh).mean() < 2  # another version of pillow may round otherwise


def test_every_room_is_in_the_table():
    table = LIBRARY.partition("| room |")[2].partition("\n\n")[0]
    assert (
        sorted(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:]))) == toylib.__all__
    )


def test_the_number_of_stored_models_is_that_of_the_file():
    results = TOP / "notebooks" / "results"
    with np.load(results / "training_dynamics.npz", allow_pickle=False) as stored:
        assert f"({len(stored['S']):,} models)" in LIBRARY
    with xr.open_dataset(results / "adversarial_attacks.nc", engine="scipy") as stored:
        small = stored.small_upper_nonempty.isel(small_fraction=0)
        models = stored.V_dataset.size + stored.setting_V.size + small.size + stored.sizes["run"]
        assert f"({models} models, " in LIBRARY
    models = 0
    for path in results.glob("adversarial_training_*.nc"):
        with xr.open_dataset(path, engine="scipy") as stored:
            models += stored.failed.size
            assert not stored.failed.any()
    assert f"({models:,} models in six resumable sweeps)" in LIBRARY
    models = 0
    for name, column in (("routes_to_the_octahedron", ".route"), ("attractor", "seed"), ("other_sizes", "loss")):
        with np.load(results / f"{name}.npz", allow_pickle=False) as stored:
            models += sum(stored[key].size for key in stored.files if key.endswith(column))
    assert f"({models:,} models)" in LIBRARY
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
    assert f"({models:,} models)" in LIBRARY


SPEED = json.loads((TOP / "docs" / "speed.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [README, LIBRARY], ids=["README.md", "library.md"])
def test_the_times_of_training_are_those_of_the_stored_run(page):
    stored = SPEED["training"]
    rows = stored["microseconds"].values()
    assert (stored["cores"], stored["batch"]) == (2, 1024)
    ours = "{:.1f}, {:.0f} and {:,.0f} µs".format(*(row["toylib"]["median"] for row in rows))
    best = "{:.1f}, {:.1f} and {:.1f} times".format(
        *(row["compiled"]["median"] / row["toylib"]["median"] for row in rows)
    )
    said = " ".join(page.split())
    for quoted in (ours, best, f"batch 1,024, {stored['date']};"):
        assert quoted in said


def test_the_times_of_attacks_and_of_first_use_are_those_of_the_same_run():
    attacks, first_use, said = SPEED["attacks"], SPEED["first_use"], " ".join(README.split())
    assert len({(part["processor"], part["cores"], part["date"]) for part in SPEED.values()}) == 1
    attacked = {name: each["median"] for name, each in SPEED["under_attack"]["microseconds"].items()}
    feature, step = (attacked[name] / attacked["none"] for name in ("random feature", "one step"))
    assert f"on a random feature takes {feature:.2f} times, on one step {step:.2f} times as long as plain" in said
    assert set(first_use["notebooks"]) <= set(NOTEBOOKS)
    searches = attacks["searches"]
    foolbox, plain, compiled = (
        searches[name]["time"] for name in ("foolbox, best of 13", "PyTorch, plain", "PyTorch, compiled")
    )
    assert f"attacks {searches['pgd']['inputs']['median']:,.0f} inputs a second, {foolbox:.0f} times as many as" in said
    assert f"{plain:.1f} times as many as the same search in PyTorch and {compiled:.1f} times as many" in said
    assert f"{attacks['steps']} steps from {attacks['starts']} starts, {attacks['date']})" in said
    figures = {
        way: [found["seconds"][way]["figure"] for found in first_use["notebooks"].values()]
        for way in ("no cache", "full cache")
    }
    once, again = (f"{min(seconds):.0f} to {max(seconds):.0f} s" for seconds in figures.values())
    assert f"first figure after {once}, at a second start after {again} ({first_use['date']}," in said


def test_the_example_runs(capsys):
    code = re.search(r"```python\n(.*?)```", LIBRARY, re.DOTALL).group(1)
    exec(compile(code, "library.md", "exec"), {})
    state, ratio = capsys.readouterr().out.split()
    assert state == "octahedron"
    assert abs(float(ratio) - 1) < 0.03
