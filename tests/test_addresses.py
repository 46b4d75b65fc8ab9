"""Links made of the addresses: none while they are unset; with an example, what a hosted notebook would need."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import addresses
import nbformat
import pytest
import yaml
from addresses import Addresses
from compare import PLOTLY
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))
URLS = "[project.urls]\nDocumentation = 'https://a.org/toy/'\nRepository = 'https://github.com/a/toys'\n"


def test_addresses_come_from_pyproject(tmp_path):
    path = tmp_path / "pyproject.toml"
    assert Addresses.read(path) == ("", "")
    for text, found in {
        "": ("", ""),
        "[project.urls]\nSource = 'https://x.org'\n": ("", ""),
        URLS: ("https://a.org/toy", "https://github.com/a/toys"),
        URLS.partition("Repository")[0]: ("https://a.org/toy", ""),
    }.items():
        path.write_text(text)
        assert Addresses.read(path) == found


def test_without_addresses_there_is_no_link():
    none = Addresses()
    assert none.live("1_small", "a") is None
    assert none.hosts("1_small") == {}
    assert none.opening("# 1. Small", "1_small") == f"# 1. Small\n\n{addresses.MISSING}{addresses.IN_A_CLONE}"
    assert "://" not in none.opening("# 1. Small", "1_small")
    assert none.opening("# 1. Small", "1_small", results=True).endswith(addresses.IN_A_CLONE + addresses.IN_THE_FOLDER)


@pytest.mark.parametrize("ending", ["", ".git"])
def test_with_addresses_a_notebook_opens_on_each_host(ending):
    set_ = Addresses("https://a.org/toy", "https://github.com/a/toys" + ending)
    assert set_.live("1_small", "b-2") == "https://a.org/toy/1_small.html#b-2"
    assert set_.hosts("1_small") == {
        "the site": "https://a.org/toy/1_small.html",
        "Colab": "https://colab.research.google.com/github/a/toys/blob/main/notebooks/1_small.ipynb",
        "Binder": "https://mybinder.org/v2/gh/a/toys/main?labpath=notebooks/1_small.ipynb",
    }
    assert Addresses("", "https://gitlab.com/a/toys").hosts("1_small") == {}
    assert "%cd toys/notebooks\n" in set_.opening("# 1", "1_small")


def test_an_opening_is_renewed_and_what_it_says_else_stays():
    source, set_ = (
        "# 1. Small\n\n**Question.** Why?\n\n**Notation.** $S$.",
        Addresses("https://a.org", "https://b.org/c"),
    )
    opened = set_.opening(source, "1_small")
    assert opened.startswith(f"{source}\n\n{addresses.OPEN}[the site](https://a.org/1_small.html).\n\n")
    assert set_.opening(opened, "1_small") == opened
    assert Addresses().opening(opened, "1_small") == Addresses().opening(source, "1_small")
    assert Addresses().opening(opened, "1_small").startswith(source)


def test_only_figures_with_captions_are_linked():
    drawn = [{"output_type": "display_data", "data": {PLOTLY: {}}, "metadata": {}}]
    cells = [
        new_markdown_cell("No title", id="a"),
        new_code_cell("1", id="b", outputs=drawn),
        new_markdown_cell("*A line.*\n\nText.", id="c"),
        new_code_cell("2", id="d"),
        new_markdown_cell("*No figure.*", id="e"),
        new_code_cell("3", id="f", outputs=drawn),
        new_markdown_cell("No caption.", id="g"),
    ]
    notebook = new_notebook(cells=cells)
    before = [cell.source for cell in notebook.cells]
    assert addresses.link(notebook, "1_small", Addresses("https://a.org")) == ["b"]
    assert notebook.cells[2].source == "*A line.* [Live](https://a.org/1_small.html#b)\n\nText."
    assert addresses.link(notebook, "1_small", Addresses("https://a.org")) == []
    assert addresses.link(notebook, "1_small", Addresses()) == ["b"]
    assert [cell.source for cell in notebook.cells] == before


@pytest.fixture(scope="module")
def hosted(tmp_path_factory) -> Path:
    """The notebooks and README.md as they are with an example of both addresses."""
    folder = tmp_path_factory.mktemp("hosted")
    (folder / "notebooks").mkdir()
    for path in (TOP / "README.md", *NOTEBOOKS):
        shutil.copy(path, folder / path.relative_to(TOP))
    project = (TOP / "pyproject.toml").read_text("utf-8")
    (folder / "pyproject.toml").write_text(re.sub(r"\[project\.urls\][^[]*", "", project) + "\n" + URLS, "utf-8")
    addresses.main(folder)
    return folder


def test_the_badges_are_those_of_the_addresses():
    """Of the notebooks' links tests/test_notebooks.py says the same; `python tools/addresses.py` writes both."""
    readme = (TOP / "README.md").read_text("utf-8")
    assert Addresses.read(TOP / "pyproject.toml").badges(readme) == readme
    assert len(addresses.MARKED.findall(readme)) == 1


def test_badges_and_links_appear_with_the_addresses(hosted, capsys):
    readme = (hosted / "README.md").read_text("utf-8")
    badges = re.findall(r"^\[!\[Open on ([^\]]+)\]\(https://\S+\.svg\)\]\((\S+)\)$", readme, re.MULTILINE)
    assert badges == [*Addresses.read(hosted / "pyproject.toml").hosts(addresses.FIRST).items()]
    assert [host for host, _ in badges] == ["the site", "Colab", "Binder"]
    assert f"{addresses.FIRST}.ipynb" in {path.name for path in NOTEBOOKS}
    for path in NOTEBOOKS:
        text = (hosted / "notebooks" / path.name).read_text("utf-8")
        drawn = sum(PLOTLY in o.get("data", ()) for c in nbformat.reads(text, 4).cells for o in c.get("outputs", ()))
        assert text.count(f"[Live](https://a.org/toy/{path.stem}.html#") == text.count("[Live](") == drawn > 0
        assert f"[Colab](https://colab.research.google.com/github/a/toys/blob/main/notebooks/{path.name})" in text
    before = {path: path.read_bytes() for path in hosted.rglob("*.*")}
    capsys.readouterr()
    addresses.main(hosted)
    assert capsys.readouterr().out == ""
    assert before == {path: path.read_bytes() for path in hosted.rglob("*.*")}


def test_the_branch_is_the_one_that_is_published():
    workflow = yaml.safe_load((TOP / ".github" / "workflows" / "site.yml").read_text("utf-8"))
    assert workflow[True]["push"]["branches"] == [addresses.BRANCH]  # YAML reads "on" as true


def commands(path: Path) -> list[str]:
    """What the opening cell of a hosted notebook says to run."""
    opening = nbformat.read(path, as_version=4).cells[0].source
    return re.search(r"```\n(.*?)\n```", opening, re.DOTALL)[1].splitlines()


@pytest.mark.parametrize("name", [path.name for path in NOTEBOOKS])
def test_a_hosted_notebook_is_told_all_that_it_needs(hosted, name):
    clone, folder, install = commands(hosted / "notebooks" / name)
    assert clone == "!git clone --quiet --depth 1 https://github.com/a/toys"
    assert folder == "%cd toys/notebooks"
    target, extra = re.fullmatch(r'%pip install --quiet "(\.\.)\[(\w+)\]"', install).groups()
    assert (TOP / "notebooks" / target).resolve() == TOP  # where pyproject.toml is
    code = "\n".join(
        c.source for c in nbformat.read(TOP / "notebooks" / name, as_version=4).cells if c.cell_type == "code"
    )
    tree = [*ast.walk(ast.parse(code))]
    imported = {(node.module or "").split(".")[0] for node in tree if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name.split(".")[0] for node in tree if isinstance(node, ast.Import) for alias in node.names}
    wanted = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    wanted |= {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"][extra]}
    assert imported - {*sys.stdlib_module_names, "toylib", "results"} <= wanted
    assert {"jax", "toylib"} <= imported
    data = set(re.findall(r'FOLDER / "([\w.]+)"', code))
    modules = {alias.name for n in tree if isinstance(n, ast.ImportFrom) and n.module == "results" for alias in n.names}
    modules = {"__init__" if name == "FOLDER" else name for name in modules}
    listed = subprocess.run(
        ["git", "ls-files", "notebooks"], cwd=TOP, capture_output=True, text=True, check=False
    ).stdout
    cloned = listed.splitlines() or [str(p.relative_to(TOP)) for p in (TOP / "notebooks").rglob("*.*")]  # no git here
    assert {f"notebooks/results/{needed}" for needed in [*data, *(f"{module}.py" for module in modules)]} <= {*cloned}


def test_binder_installs_the_project_and_jupyterlab():
    """What Binder makes of environment.yml; tests/test_environment.py compares its versions."""
    pip = yaml.safe_load((TOP / "environment.yml").read_text("utf-8"))["dependencies"][-1]["pip"]
    assert "-e ." in pip
    assert any(package.startswith("jupyterlab==") for package in pip)
