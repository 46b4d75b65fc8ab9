"""The set-up files agree, the package imports only what it declares, the Makefile installs what it should."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from programs import printed

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
DIRECT = [*CORE, *(requirement for name in ("notebooks", "cluster", "docs", "test") for requirement in EXTRAS[name])]
TARGETS = [
    "help",
    "lab",
    "test",
    "lint",
    "unit",
    "browser",
    "faults",
    "nbval",
    "notebooks",
    "parameters",
    "pictures",
    "results",
    "bench",
    "bench-peers",
    "site",
    "lock",
    "audit",
    "newest",
    "clean",
]


def names(requirements):
    return {canonicalize_name(requirement.name) for requirement in requirements}


def lock_entries():
    """The lock's entries as (requirement, number of hashes); a continued line is one entry."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [
        (Requirement(line.split(" --hash=")[0].strip()), len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)))
        for line in lines
    ]


def locked_versions():
    return {canonicalize_name(entry.name): next(iter(entry.specifier)).version for entry, _ in lock_entries()}


# ---- environment.yml, the lock and pyproject.toml


def test_lock_pins_every_package_once_and_by_hash():
    entries = lock_entries()
    assert len(entries) > len(DIRECT)
    assert all([spec.operator for spec in entry.specifier] == ["=="] for entry, _ in entries)
    assert [entry.name for entry, hashes in entries if hashes == 0] == []
    assert len(names(entry for entry, _ in entries)) == len(entries)


def test_lock_names_no_host_and_no_index():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert set(re.findall(r"--[a-z-]+", text)) == {"--hash"}
    assert not re.search(r"^-", text, flags=re.MULTILINE)
    assert all(entry.url is None for entry, _ in lock_entries())


def test_lock_holds_one_version_of_jax_and_jaxlib():
    locked = locked_versions()
    assert locked["jax"] == locked["jaxlib"] == "0.10.2"
    assert [str(entry.marker) for entry, _ in lock_entries() if entry.name in ("jax", "jaxlib") and entry.marker] == []


def test_lock_satisfies_every_direct_dependency():
    locked = locked_versions()
    assert [str(r) for r in DIRECT if locked.get(canonicalize_name(r.name)) not in r.specifier] == []


def test_environment_holds_the_direct_dependencies_at_the_locked_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python, pip, section = environment["dependencies"]
    assert re.fullmatch(r"python >=3\.11,<3\.\d+", python)
    assert python.startswith(f"python {PROJECT['requires-python']},")
    assert pip == "pip"
    assert list(section) == ["pip"]
    *pins, package = section["pip"]
    assert package == "-e ."
    locked = locked_versions()
    wanted = sorted(f"{name}=={locked[name]}" for name in names(DIRECT))
    found = sorted(f"{canonicalize_name(pin.name)}{pin.specifier}" for pin in map(Requirement, pins))
    assert found == wanted


def test_every_direct_dependency_has_its_reason_in_contributing():
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Dependencies", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(f"`{requirement.name}`" for requirement in DIRECT)


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert citation["version"] == PROJECT["version"]
    assert newest is not None
    assert newest[1] == PROJECT["version"]


def test_licence_and_authors_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    author = PROJECT["authors"][0]["name"]
    assert citation["authors"] == [{"name": author}]
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert author in (ROOT / "LICENSE").read_text()


def test_the_site_is_published_by_make_and_pages_from_main_only():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text())
    assert workflow[True] == {"push": {"branches": ["main"]}, "workflow_dispatch": None}  # YAML reads "on" as true
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"] == "pages"
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    assert {"run": "make site"} in build["steps"]
    upload = next(step for step in build["steps"] if step.get("uses", "").startswith("actions/upload-pages-artifact@"))
    assert upload["with"] == {"path": "site"}
    assert build["steps"].index({"run": "make site"}) < build["steps"].index(upload)
    assert deploy["needs"] == "build"
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}
    assert deploy["environment"]["name"] == "github-pages"
    assert [step["uses"].partition("@")[0] for step in deploy["steps"]] == ["actions/deploy-pages"]


# ---- imports


@pytest.mark.parametrize("path", sorted((ROOT / "toylib").rglob("*.py")), ids=lambda path: path.stem)
def test_module_imports_only_declared_dependencies(path):
    tree, provided = ast.walk(ast.parse(path.read_text())), packages_distributions()
    found = [alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names]
    found += [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    tops = {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"toylib"}
    needs_notebooks = path.parent.name in ("figures", "explorers") or path.stem == "_export"
    allowed = CORE + EXTRAS["notebooks"] if needs_notebooks else CORE
    assert {canonicalize_name(provided.get(top, [top])[0]) for top in tops} <= names(allowed)


# ---- the Makefile, driven with a stand-in for Python, so that nothing is downloaded

STAND_IN = """#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
"--version") echo "Python $VERSION" ;;
*version_info*) [ "$VERSION" = 3.9.2 ] && echo False || echo True ;;
"-m venv"*) [ "$MISSING" = venv ] && exit 1 ;;
*ensurepip*) [ "$MISSING" = ensurepip ] && exit 1 ;;
*requirements.lock*) [ "$MISSING" = network ] && exit 1 ;;
esac
case "$*" in "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;; esac
exit 0
"""


class Sandbox:
    """A folder with the Makefile and its inputs, and a Python that only writes down how it is called."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "log"
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            (folder / name).write_text((ROOT / name).read_text())
        self.python = folder / "python3"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def make(self, *arguments, version="3.11.0", missing=""):
        """Run make; return its exit status, the calls of Python, and what it said before make's own closing line."""
        self.log.write_text("")
        environment = {
            k: v
            for k, v in os.environ.items()
            if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARGS")
        }
        environment |= {"LOG": str(self.log), "VERSION": version, "MISSING": missing, "LC_ALL": "C"}
        command = ["make", f"PYTHON={self.python}", *arguments]
        run = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        said = [line for line in run.stderr.splitlines() if not line.startswith("make: ***")]
        return run.returncode, self.log.read_text().splitlines(), said

    def stamps(self):
        return sorted(path.name for path in (self.folder / ".venv").glob(".*"))

    def touch(self, name):
        """Make a file newer than every stamp, whatever the resolution of the file system's clock."""
        newest = max(path.stat().st_mtime for path in (self.folder / ".venv").glob(".*"))
        os.utime(self.folder / name, (newest + 2, newest + 2))
        for path in (self.folder / ".venv").glob(".*"):
            os.utime(path, (newest, newest))


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


def installs(calls):
    """Which of the two installations happened, in order."""
    kinds = {"--requirement requirements.lock": "lock", "--editable .": "package"}
    return [kind for call in calls for text, kind in kinds.items() if " install " in call and text in call]


def test_help_is_the_default_and_lists_every_target(sandbox):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    text = printed(["make"], cwd=sandbox.folder, env=environment)
    assert re.findall(r"^  ([a-z-]+) +\S", text, flags=re.MULTILINE) == TARGETS
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert sorted(phony[1].split()) == sorted(TARGETS)


def test_first_call_installs_and_second_does_not(sandbox):
    status, calls, _ = sandbox.make("lint")
    assert (status, installs(calls), sandbox.stamps()) == (0, ["lock", "package"], [".installed", ".locked"])
    assert any("--require-hashes --requirement requirements.lock" in call for call in calls)
    assert any("--no-deps --no-build-isolation --editable ." in call for call in calls)
    status, calls, said = sandbox.make("lint")
    assert (status, calls, said) == (0, ["-m ruff check .", "-m ruff format --check .", "-m pyrefly check"], [])


@pytest.mark.parametrize(
    ("changed", "expected"), [("pyproject.toml", ["package"]), ("requirements.lock", ["lock", "package"])]
)
def test_changed_file_installs_again(sandbox, changed, expected):
    sandbox.make("lint")
    sandbox.touch(changed)
    assert installs(sandbox.make("lint")[1]) == expected


def test_failed_installation_leaves_no_stamp_and_is_repeated(sandbox):
    assert sandbox.make("lint", missing="network")[0] != 0
    assert sandbox.stamps() == []
    status, calls, _ = sandbox.make("lint")
    assert (status, installs(calls)) == (0, ["lock", "package"])
    assert "-m venv --clear .venv" in calls


def test_old_python_is_refused_in_one_line(sandbox):
    status, calls, said = sandbox.make("test", version="3.9.2")
    assert status != 0
    assert len(said) == 1
    assert re.search(r"needs Python 3\.11 or newer.*'Python 3\.9\.2'.*make PYTHON=python3\.12 test", said[0])
    assert not any("venv" in call for call in calls)


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_module_is_reported_in_one_line(sandbox, module):
    status, calls, said = sandbox.make("lab", missing=module)
    assert status != 0
    assert len(said) == 1
    assert re.search(r"venv or ensurepip module is missing.*apt install python3-venv", said[0])
    assert not any(" install " in call for call in calls)


def test_order_of_the_checks(sandbox):
    sandbox.make("lint")
    _, calls, _ = sandbox.make("-j4", "test")
    *lint, unit, nbval, browser = calls
    assert lint == ["-m ruff check .", "-m ruff format --check .", "-m pyrefly check"]
    assert unit.endswith(" tests --ignore-glob tests/test_browser*")
    assert browser == "-m pytest -n 2 --dist loadgroup tests/test_browser*.py"
    assert "--nbval --nbval-current-env" in nbval
    assert nbval.endswith(" notebooks")
    assert not any("compiled" in call for call in calls)  # that is for `make lab`


def test_lab_listens_on_localhost_and_keeps_its_token(sandbox):
    sandbox.make("lint")
    _, calls, _ = sandbox.make("lab", "ARGS=--no-browser --port=9000")
    assert len(calls) == 1
    kept = "tools/compiled.py"  # what kernels compile, for their next start
    assert calls[0].startswith(f"{kept} -m jupyterlab --ServerApp.root_dir=notebooks --ServerApp.ip=localhost ")
    assert (ROOT / kept).exists()
    assert " notebooks/0_start_here.ipynb " in calls[0]  # what it opens
    assert (ROOT / "notebooks" / "0_start_here.ipynb").exists()
    assert calls[0].endswith("--no-browser --port=9000")
    assert "token" not in calls[0]
    assert "password" not in calls[0]


def test_clean_removes_the_environment_and_caches_only(sandbox):
    sandbox.make("lint")
    kept = sorted(path.name for path in sandbox.folder.iterdir() if path.name != ".venv")
    for litter in (
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        "site",
        "tests/screenshots",
        "toylib/__pycache__",
        "notebooks/.ipynb_checkpoints",
    ):
        (sandbox.folder / litter).mkdir(parents=True)
        (sandbox.folder / litter / "file").write_text("")
    (sandbox.folder / "toylib" / "model.py").write_text("")
    assert sandbox.make("clean")[0] == 0
    left = sorted(str(path.relative_to(sandbox.folder)) for path in sandbox.folder.rglob("*"))
    assert left == sorted([*kept, "notebooks", "tests", "toylib", "toylib/model.py"])
