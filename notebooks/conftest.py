"""Strict nbval with a tolerance: `pytest --nbval --nbval-current-env --nbval-cell-timeout=300 notebooks`.

nbval runs the cells and decides what a cell's outputs are; whether they equal the stored ones, compare.py decides.
"""

import os
from functools import partial
from pathlib import Path

import compiled
import pytest
from compare import outputs_difference
from nbval.plugin import IPyNbCell

os.environ["TQDM_DISABLE"] = "1"  # for the kernels: stored outputs hold no progress bars
# They have no network: Python imports sitecustomize.py when it starts, which says how.
OFFLINE = Path(compiled.__file__).with_name("offline")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Replace nbval's comparison of a cell, which is by equality and skips some keys."""
    if isinstance(item, IPyNbCell):
        item.compare_outputs = partial(_compare_outputs, item)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse what nbval would run without comparing: cells that were never run, and exempt ones."""
    if isinstance(item, IPyNbCell):
        os.environ.update(compiled.settings(item.path.name))  # of the kernel, which starts with the first cell
        if item.cell.execution_count is None:
            pytest.fail("this cell has no stored execution; `make notebooks` stores it", pytrace=False)
        if not item.options["check"] or item.options["skip"] or item.options["check_exception"]:
            pytest.fail("this cell asks to be exempt from the comparison, which none is", pytrace=False)


def _compare_outputs(cell: IPyNbCell, fresh: list[dict], stored: list[dict]) -> bool:
    """Compare the outputs of a cell, in nbval's argument order; nbval reports `comparison_traceback`."""
    difference = outputs_difference(stored, fresh)
    cell.comparison_traceback = [] if difference is None else [difference]
    return difference is None
