"""The programs of docs/recipes.md run as they stand, with public names alone, and do what the page says."""

import ast
import csv
import re
from pathlib import Path

import numpy as np
import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))


def test_the_page_has_a_recipe_each():
    assert list(PROGRAMS) == ["ring.py", "attack.py", "sliders.py", "data.py", "export.py"]
    assert TEXT.count("```python") == len(PROGRAMS)
    assert "(docs/recipes.md)" in (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_recipe_takes_public_names_alone(name):
    nodes = [*ast.walk(ast.parse(PROGRAMS[name]))]
    names = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    names += [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names += [*node.module.split("."), *(alias.name for alias in node.names)]
    assert names
    assert [found for found in names if found.startswith("_")] == []


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a program in an empty folder; return its names and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        found = {"__name__": name}
        exec(compile(PROGRAMS[name], name, "exec"), found)
        return found, capsys.readouterr().out

    return run


def test_features_of_your_own(run):
    found, out = run("ring.py")
    assert out == "as sampled: True\n"
    ring, p, n = found["ring"], 0.3, 6
    joint = np.zeros((n, n))
    for first in range(n):  # every pair, with a value each: E x² = 1/3, E x y = 1/4
        on = [first, (first + 1) % n]
        joint[np.ix_(on, on)] += p / n * np.where(np.eye(2, dtype=bool), 1 / 3, 1 / 4)
    np.testing.assert_allclose(ring.second_moment(1 - p), joint, rtol=1e-5, atol=1e-8)
    x = np.asarray(found["x"]) > 0
    assert set(x.sum(1).tolist()) == {0, 2}
    assert (x & np.roll(x, -1, axis=1)).sum(1).max() == 1
    losses = found["run"].losses
    assert losses[-1] < 0.6 * losses[0]
    assert found["drawing"].title == "A ring of six features in a plane"


def test_an_attack_of_your_own(run):
    found, out = run("attack.py")
    plain, robust = (float(number) for number in re.findall(r": vulnerability (-?\d\.\d\d)$", out, re.MULTILINE))
    assert plain > 1
    assert robust < plain / 2
    model, x, radius = found["model"], np.float32([0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), float(found["radius"])
    W = np.asarray(model.W)
    target = max((j for j in range(10) if x[j] == 0), key=lambda j: np.linalg.norm(W[:, j]))
    row = W.T @ W[:, target]
    np.testing.assert_allclose(found["phantom"](model, x, radius), radius * row / np.linalg.norm(row), rtol=1e-4)


def test_sliders_of_your_own(run):
    found, out = run("sliders.py")
    assert out == "What 5 features in a plane do to the first\n"
    drawn = found["explorer"].drawing()
    heights = np.concatenate([np.asarray(bars["y"], float) for bars in drawn.data])
    row = 1.5**2 * np.cos(2 * np.pi * np.arange(5) / 5)
    np.testing.assert_allclose(np.sort(heights[np.isfinite(heights)]), np.sort(row), atol=1e-6)
    assert len(found["baked"].frames) == 6


def test_export_of_data(run, tmp_path):
    found, out = run("data.py")
    assert out == "True\n"
    trained = found["run"]
    with (tmp_path / "losses.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [*rows[0]] == ["S", "seed", "step", "losses"]
    assert len(rows) == trained.losses.size
    assert float(rows[-1]["losses"]) == pytest.approx(float(trained.losses[1, 2, -1]), rel=1e-6)
    np.testing.assert_allclose(np.loadtxt("W.csv", delimiter=","), trained.weights[1, 2, -1], rtol=1e-6)
