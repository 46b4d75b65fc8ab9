"""Strict numerics and no progress bars while testing; a count of what JAX compiles."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import jax
import pytest
import small
from hypothesis import settings
from lab import BROWSER, browse, serve
from playwright.sync_api import BrowserContext

os.environ["TQDM_DISABLE"] = "1"

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("toylib", deadline=None, derandomize=True, database=None)
settings.load_profile("toylib")


collect_ignore = [*(path.name for path in Path(__file__).parent.glob("test_browser*.py")), "test_store.py"]
if BROWSER or os.environ.get("REQUIRE_BROWSER") == "1":
    collect_ignore.clear()


def pytest_report_header() -> list[str]:
    """Say what is left out on a machine without a browser."""
    return [f"left out, for there is no Chromium or Chrome: {', '.join(collect_ignore)}"] if collect_ignore else []


LONG = {f"test_{name}.py" for name in ("certificates", "docs", "faults", "notebooks", "parts", "recipes", "store")}
"""Files that take longer than their number of tests lets expect."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process is left with one at the end (`make unit` keeps the order)."""
    number = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in LONG, -number[item.path]))


_COMPILED: list[str] = []


def _listen(event: str, duration: float, **details) -> None:
    if event.endswith("backend_compile_duration"):
        _COMPILED.append(details.get("fun_name", event))


jax.monitoring.register_event_duration_secs_listener(_listen)


@pytest.fixture
def compiled() -> list[str]:
    """Grow by one entry with each program that JAX compiles."""
    _COMPILED.clear()
    return _COMPILED


@pytest.fixture(scope="session")
def site() -> Path:
    """The site as `make site` builds it; return its folder. It is built once for all that run tests, until a file of
    its changes, and kept in the virtual environment."""
    top, made_of = Path(__file__).parents[1], hashlib.sha256()
    for part in ("README.md", "docs", "notebooks", "pyproject.toml", "tools", "toylib"):
        files = [top / part] if (top / part).is_file() else sorted((top / part).rglob("*.*"))
        for path in (path for path in files if path.is_file() and "__pycache__" not in path.parts):
            made_of.update(str(path.relative_to(top)).encode() + path.read_bytes())
    kept, name = Path(sys.prefix) / "site", made_of.hexdigest()[:16]
    if not (kept / name).exists():
        kept.mkdir(exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix=name, dir=kept))  # tests that run side by side may build one each
        command = [sys.executable, top / "docs" / "make.py", own / "site"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        for old in (path for path in kept.iterdir() if not path.name.startswith(name)):
            shutil.rmtree(old, ignore_errors=True)  # another may do so too
        with suppress(OSError):
            own.rename(kept / name)
    return kept / name / "site"


@pytest.fixture(scope="session")
def context() -> Iterator[BrowserContext]:
    """A window of the system's Chromium."""
    with browse() as context:
        yield context


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Path:
    """A folder with a copy of the notebooks and some small ones, which a test may add to."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(Path(__file__).parents[1] / "notebooks", folder, ignore=shutil.ignore_patterns("__pycache__"))
    small.write_baked(folder)
    small.write_broken(folder)
    small.write_training(folder)
    small.write_turning(folder)
    return folder


@pytest.fixture(scope="session")
def address(served) -> Iterator[str]:
    """JupyterLab on that folder; return its address."""
    with serve(served) as address:
        yield address


@pytest.fixture(scope="session")
def stored(tmp_path_factory) -> Path:
    """A small notebook, stored as `make notebooks` stores ours; return its path."""
    path = small.write(tmp_path_factory.mktemp("notebooks"))
    done = small.run_store(path.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0_small.ipynb: stored, ")
    for what in ("outputs", "pictures", "alternative texts"):
        assert f"  new {what}: 3 in cell-1, cell-2, cell-3\n" in done.stdout
    return path
