"""Sweeps: xarray labels, Zarr keeps, an executor of `concurrent.futures` works; this module ties them together."""

import inspect
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import closing
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from toylib._checks import check_size
from toylib._paths import checked_path
from toylib._progress import bar
from toylib.sweeps._batches import Computed, check_pool, compute
from toylib.sweeps._grids import Block, Grid, extent
from toylib.sweeps._identity import identity
from toylib.sweeps._open import POLL_S, open_store
from toylib.sweeps._store import Store
from toylib.sweeps._sweep import Sweep

_LARGEST = 256  # points in a batch whose size is left to us: what a kill loses, and what fits a processor's cache
_Start = Callable[[Block], Future[Computed]]


class Plan(NamedTuple):
    """What a sweep will take; `str` says it in words.

    Attributes:
        points: models, or whatever a point is.
        batches: how many of them.
        batch: points in the largest batch.
        bytes: of all results, before compression.
        seconds: of all batches in one worker, its start and compilation included.
    """

    points: int
    batches: int
    batch: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.points:,} points in {self.batches:,} batches of up to {self.batch:,}, "
            f"{self.bytes / 2**20:,.1f} MiB, about {self.seconds:,.0f} s in one worker"
        )


class Status(NamedTuple):
    """What a store holds; `str` says it in words.

    Attributes:
        points: of the grid; done + failed + missing.
        done: points computed.
        failed: points computed that failed.
        missing: points whose batch is not done, or damaged.
        failures: {"point": coordinates, "message": why} of each that failed.
        damaged: files of done batches, and of axes, that are not there or cannot be read, as paths in the store.
    """

    points: int
    done: int
    failed: int
    missing: int
    failures: tuple[dict[str, Any], ...]
    damaged: tuple[str, ...]

    def __str__(self) -> str:
        """A line of numbers, then one per failure and one per damaged file."""
        return "\n".join(
            [
                f"{self.points:,} points: {self.done:,} done, {self.failed:,} failed, {self.missing:,} missing",
                *(f"failed: {_in_words(failure)}" for failure in self.failures),
                *(f"damaged: {file}" for file in self.damaged),
            ]
        )


def run(
    function: Callable[..., Mapping[str, Any]],
    grid: Mapping[str, Any],
    *,
    store: str | Path | None = None,
    executor: Executor | None = None,
    batch: int | None = None,
    memory: int = 2**26,
    in_flight: int = 32,
    progress: bool = True,
    retry: bool = False,
    overwrite: bool = False,
    **fixed: Any,
) -> xr.Dataset:
    """Call a function on every point of a grid, in batches.

    A batch is a run of consecutive points, the last axis fastest, and a product of axis values: `product` gives it
    back. A batch that raises is divided until the points that fail are alone; these are recorded, and the sweep goes
    on. Points that the function marks in a boolean result `diverged` are recorded as failed too.

    Args:
        function: called as function(**columns, **fixed), with a column (points,) for each axis of the grid. Returns a
            dict of arrays (points, ...), each plain or as (dims, array) or (dims, array, attributes), where dims names
            the axes after the first. Other processes must be able to import it.
        grid: name -> values, numbers or strings, each once; or name -> (values, attributes), such as units.
        store: folder to write batches to as they finish, and to resume from; None keeps them in memory. Several
            processes that make the same call share out the batches, and all return the whole.
        executor: where batches run; None runs them here. For dask: `Client.get_executor()`.
        batch: points in a batch, at most; as many as make whole blocks. None: chosen when the store is made, after
            computing the first point alone, with at most 256 points and `memory` bytes of results.
        memory: bytes of results in a batch whose size is chosen.
        in_flight: batches handed to the executor and not yet written, at most; twice the workers keeps all of them
            busy.
        progress: True shows a bar with the time left, unless the environment variable TQDM_DISABLE is set.
        retry: compute the batches anew that have failures or damaged chunks.
        overwrite: remove what the store holds first; refused while another process works on it.
        fixed: the function's other arguments.

    Returns:
        A Dataset over the grid's axes, with the results, `failed` (bool), and NaN, 0, False or "" where a point failed.
        Attributes: function, and as JSON settings, versions and failures. With a store, values are read when used.

    Raises:
        ValueError, TypeError: an argument out of its range or of the wrong type; a function that returns something
            else than it must; a store of another sweep, whose difference is named, or with a damaged chunk, named too.

    Warns:
        UserWarning: some points failed; the first is named.

    What interrupts a sweep, Ctrl-C or a full disk, is raised with a note that says how many batches are done.
    """
    axes, start = _prepare(function, grid, executor, batch, fixed)
    check_size("in_flight", in_flight, remedy="at least one batch must be under way")
    if store is None and (retry or overwrite):
        raise ValueError("retry and overwrite must come with a store, got none; in memory there is nothing to resume")
    path = None if store is None else checked_path("store", store, write=True)
    about, choose = (
        identity(function, axes, fixed, strict=path is not None),
        partial(_shape, axes, start, batch, memory),
    )
    if path is None:
        sweep = Sweep(about, axes, choose())
    else:
        sweep = open_store(path, about, axes, choose, batch, retry=retry, overwrite=overwrite)
    with closing(sweep):
        _finish(sweep, start, 1 if executor is None else in_flight, progress)
    if failed := sweep.failures():
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        warnings.warn(
            f"{len(failed)} of {axes.size} points failed, {_in_words(failed[0])}{more}; the attribute failures of the "
            "result lists them, and with a store retry=True computes them anew",
            stacklevel=2,
        )
    return sweep.dataset()


def plan(
    function: Callable[..., Mapping[str, Any]],
    grid: Mapping[str, Any],
    *,
    executor: Executor | None = None,
    batch: int | None = None,
    memory: int = 2**26,
    **fixed: Any,
) -> Plan:
    """Say what a sweep will take: from its first batch, which compiles, and one more of the same size, which is timed.

    Arguments and errors as in `run`; nothing is stored.
    """
    axes, start = _prepare(function, grid, executor, batch, fixed)
    first, *others = axes.blocks(_shape(axes, start, batch, memory))
    timed = [start(block).result() for block in (first, *others[:1]) if extent(block) == extent(first)]
    size = prod(extent(first))
    return Plan(
        points=axes.size,
        batches=1 + len(others),
        batch=size,
        bytes=round(axes.size / size * timed[-1].nbytes),
        seconds=timed[0].seconds + timed[-1].seconds * (axes.size / size - 1),
    )


def status(store: str | Path) -> Status:
    """Say what a store holds, from its marks, reading every chunk of the batches that are done.

    Raises:
        ValueError: not the store of a sweep.
    """
    sweep = Store(checked_path("store", store))
    damaged = sweep.damaged()
    lost = {number for _, number in damaged}
    computed = sum(prod(extent(sweep.blocks[number])) for number in sweep.marks if number not in lost)
    failed = sweep.failures(without=lost)
    return Status(
        points=sweep.grid.size,
        done=computed - len(failed),
        failed=len(failed),
        missing=sweep.grid.size - computed,
        failures=tuple(failed),
        damaged=tuple(dict.fromkeys(file for file, _ in damaged)),
    )


def _prepare(
    function: Any, grid: Mapping[str, Any], executor: Any, batch: int | None, fixed: Mapping[str, Any]
) -> tuple[Grid, _Start]:
    """The grid, and what starts the batch of a block, once the arguments are checked."""
    axes = Grid.of(grid)
    if not callable(function):
        raise TypeError(f"function must be callable, got {function!r}; pass the function itself, then the grid")
    if both := axes.axes.keys() & fixed.keys():
        raise ValueError(f"an argument must be fixed or an axis, got {', '.join(both)} as both; drop one")
    try:
        inspect.signature(function).bind(**axes.axes, **fixed)
    except TypeError as error:
        raise TypeError(
            f"function must accept the axes and the fixed arguments as keywords, got: {error}; "
            f"the axes are {', '.join(axes.axes)}"
        ) from None
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}; for a dask Client pass "
            "client.get_executor()"
        )
    if isinstance(executor, ProcessPoolExecutor):
        check_pool(executor, {"function": function, **fixed})
    if batch is not None:
        check_size("batch", batch, remedy="it is the largest number of points in a batch")
    submit = _here if executor is None else executor.submit
    return axes, lambda block: submit(compute, function, axes.columns(block), extent(block), fixed)


def _here(function: Callable, *arguments: Any) -> Future:
    """Call a function at once, in the place of an executor's `submit`."""
    future = Future()
    future.set_result(function(*arguments))
    return future


def _shape(grid: Grid, start: _Start, batch: int | None, memory: int) -> tuple[int, ...]:
    """The shape of the batches; where their size is left to us, after computing the first point."""
    if batch is not None:
        return grid.block(batch)
    check_size("memory", memory, most=2**63 - 1, remedy="it bounds the bytes of results in a batch")
    first = start((slice(0, 1),) * len(grid.shape)).result()
    return grid.block(min(_LARGEST, memory // first.nbytes), even=True)


def _finish(sweep: Sweep, start: _Start, in_flight: int, progress: bool) -> None:
    """Compute and write the batches that are not done."""
    waiting = deque(number for number in range(len(sweep.blocks)) if number not in sweep.marks)
    running = {}
    with bar(len(sweep.blocks), "batch", None if progress else False, initial=len(sweep.marks)) as shown:
        try:
            while waiting or running:
                for _ in range(len(waiting)):
                    if len(running) == in_flight:
                        break
                    number = waiting.popleft()
                    if sweep.claim(number):
                        running[start(sweep.blocks[number])] = number
                    elif number not in sweep.marks:
                        waiting.append(number)  # another process is at it: see later what has become of it
                if not running:
                    time.sleep(POLL_S)
                finished = [future for future in running if future.done()]
                for future in finished or (wait(running, return_when=FIRST_COMPLETED).done if running else ()):
                    number = running.pop(future)
                    sweep.write(number, future.result())
                    sweep.release(number)
                shown.update(len(sweep.marks) - shown.n)
        except BaseException as error:
            error.add_note(f"{len(sweep.marks)} of {len(sweep.blocks)} batches were done{sweep.fate}")
            raise
        finally:
            for future in running:
                future.cancel()


def _in_words(failure: Mapping[str, Any]) -> str:
    return f"{', '.join(f'{name}={value}' for name, value in failure['point'].items())}: {failure['message']}"
