"""Strict numerics and no progress bars while testing; a count of what JAX compiles."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
def site(tmp_path_factory) -> Path:
    """The site, built once for all tests as `make site` builds it; return its folder."""
    folder = tmp_path_factory.mktemp("home") / "site"
    command = [sys.executable, Path(__file__).parents[1] / "docs" / "make.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def context() -> Iterator[BrowserContext]:
    """A window of the system's Chromium."""
    with browse() as context:
        yield context


@pytest.fixture(scope="session")
def address(tmp_path_factory, stored) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks and some small ones; return its address."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(Path(__file__).parents[1] / "notebooks", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(stored, folder)
    small.write_broken(folder)
    small.write_training(folder)
    small.write_turning(folder)
    with serve(folder) as address:
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
