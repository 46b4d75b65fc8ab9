"""The examples in docstrings run as they are written, with the names of their room at hand and nothing else."""

import doctest
import importlib
import io
import re
from pathlib import Path

import pytest

import toylib

HOME = Path(toylib.__file__).parent
EXAMPLE = re.compile(r"^ *>>> ", re.MULTILINE)
FILES = {
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(HOME.rglob("*.py"))
    if EXAMPLE.search(path.read_text(encoding="utf-8"))
}


def names_of(room):
    """The names that a room shows: those of its face, or of a single file those that it defines."""
    defined = (name for name, thing in vars(room).items() if getattr(thing, "__module__", None) == room.__name__)
    names = getattr(room, "__all__", None) or [name for name in defined if not name.startswith("_")]
    return {name: getattr(room, name) for name in names}


@pytest.mark.parametrize("name", FILES)
def test_examples_run_as_they_are_written(name):
    room = importlib.import_module(".".join(name.split(".")[:2]))
    found = doctest.DocTestFinder().find(importlib.import_module(name), name, globs=names_of(room))
    runner, report = doctest.DocTestRunner(verbose=False), io.StringIO()
    for test in found:
        runner.run(test, out=report.write)
    assert not runner.failures, report.getvalue()
    assert runner.tries == len(EXAMPLE.findall(FILES[name].read_text(encoding="utf-8")))


def test_there_are_examples():
    assert {"toylib.model", "toylib.training._train", "toylib.features._base"} <= FILES.keys()
