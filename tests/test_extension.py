"""The extension of JupyterLab: what it says of itself, and that a wheel holds the scripts it shares with the site."""

import json
import tomllib
import zipfile
from pathlib import Path

from flit_core import buildapi

from toylib.figures.style import DARK

ROOT = Path(__file__).parents[1]
WHERE = "share/jupyter/labextensions/toylib"
FOLDER = ROOT / "tools" / "environment" / WHERE


def test_it_has_the_names_that_it_is_loaded_by():
    about = json.loads((FOLDER / "package.json").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (about["name"], about["version"]) == (project["name"], project["version"])
    script = (FOLDER / about["jupyterlab"]["_build"]["load"]).read_text("utf-8")
    assert f"window._JUPYTERLAB ??= {{}}).{about['name']} = {{" in script


def test_its_colours_are_those_of_the_figures():
    text = (FOLDER / "static" / "colours.js").read_text("utf-8")
    assert json.loads(text.removeprefix("const DARK = ").removesuffix(";\n")) == DARK


def test_a_wheel_holds_the_scripts_that_it_shares(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / buildapi.build_wheel(str(tmp_path))) as wheel:
        held = {name.rpartition("/")[2]: wheel.read(name) for name in wheel.namelist() if f"/data/{WHERE}/" in name}
    assert set(held) == {"package.json", "colours.js", "plot.js", "remoteEntry.js", "sliders.css", "sliders.js"}
    assert held["plot.js"] == (ROOT / "toylib" / "explorers" / "plot.js").read_bytes()
    for name in ("sliders.css", "sliders.js"):
        assert held[name] == (ROOT / "docs" / "_static" / name).read_bytes()
