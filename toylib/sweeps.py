"""Sweeps over grids of settings: labelled, resumable after any interruption, on any executor. docs/sweeps.md.

xarray labels, Zarr keeps, an executor of `concurrent.futures` works; this module ties them together.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from toylib.batches import Outcome, compute
from toylib.checks import check_size
from toylib.grids import Grid, extent, product
from toylib.identity import differences, identity
from toylib.progress import bar
from toylib.store import Memory, Store, failures

__all__ = ["Plan", "Status", "plan", "product", "run", "status"]

_LARGEST = 256  # points in a batch whose size is left to us: what a kill loses, and what fits a processor's cache


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
        damaged: chunks of done batches that are not there or fail their checksum, as paths in the store.
    """

    points: int
    done: int
    failed: int
    missing: int
    failures: tuple[dict[str, Any], ...]
    damaged: tuple[str, ...]

    def __str__(self) -> str:
        """A line of numbers, one a failure and one a damaged chunk."""
        lines = [f"{self.points:,} points: {self.done:,} done, {self.failed:,} failed, {self.missing:,} missing"]
        lines += [f"failed: {_in_words(failure)}" for failure in self.failures]
        return "\n".join(lines + [f"damaged: {name}" for name in self.damaged])


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
        store: folder to write batches to as they finish, and to resume from; None keeps them in memory.
        executor: where batches run; None runs them here. For dask: `Client.get_executor()`.
        batch: points in a batch, at most; as many as make whole blocks. None: chosen when the store is made, after
            computing the first point alone, with at most 256 points and `memory` bytes of results.
        memory: bytes of results in a batch whose size is chosen.
        in_flight: batches handed to the executor and not yet written, at most; twice the workers keeps all of them
            busy.
        progress: True shows a bar with the time left, unless the environment variable TQDM_DISABLE is set.
        retry: compute the batches anew that have failures or damaged chunks.
        overwrite: remove what the store holds first.
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
    axes = _check_call(function, grid, fixed)
    check_size("in_flight", in_flight)
    if store is None and (retry or overwrite):
        raise ValueError("retry and overwrite must come with a store, got none; in memory there is nothing to resume")
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}; for a dask Client pass "
            "client.get_executor()"
        )
    about = identity(function, axes, fixed, strict=store is not None)
    path = None if store is None else Path(store)
    if path is not None and _holds_something(path):
        kept = Store(path)
        if overwrite:
            kept.remove()
    if path is not None and _holds_something(path):
        _check_same(kept, about, batch)
        _check_whole(kept, retry)
    else:
        shape = _block(function, axes, executor, batch, memory, fixed)
        kept = Memory(about, axes, shape) if path is None else Store.create(path, about, axes, shape)
    work = [number for number in range(len(kept.blocks)) if number not in kept.marks]
    with bar(len(kept.blocks), "batch", None if progress else False, initial=len(kept.marks)) as shown:
        try:
            for number, outcome in _outcomes(function, kept, work, executor, in_flight, fixed):
                kept.write(number, outcome)
                shown.update()
        except BaseException as error:
            error.add_note(_what_is_done(kept, path))
            raise
    _warn_of_failures(kept)
    return kept.dataset()


def plan(
    function: Callable[..., Mapping[str, Any]],
    grid: Mapping[str, Any],
    *,
    executor: Executor | None = None,
    batch: int | None = None,
    memory: int = 2**26,
    **fixed: Any,
) -> Plan:
    """Say what a sweep will take, from the first batch, which is computed twice and timed the second time.

    Arguments and errors as in `run`; nothing is stored.
    """
    axes = _check_call(function, grid, fixed)
    blocks = axes.blocks(_block(function, axes, executor, batch, memory, fixed))
    first = _call(executor, function, axes, blocks[0], fixed)
    second = _call(executor, function, axes, blocks[0], fixed)
    size = len(second.fields["failed"].values)
    seconds = first.seconds + second.seconds * (axes.size / size - 1)
    return Plan(axes.size, len(blocks), size, round(axes.size * _bytes(second) / size), seconds)


def status(store: str | Path) -> Status:
    """Say what a store holds, from its marks, reading every chunk of the batches that are done.

    Raises:
        ValueError: not the store of a sweep.
    """
    kept = Store(Path(store))
    damaged = kept.damaged()
    computed = sum(prod(extent(kept.blocks[number])) for number in kept.marks if number not in damaged)
    failed = failures(kept, without=damaged)
    missing = kept.grid.size - computed
    return Status(kept.grid.size, computed - len(failed), len(failed), missing, tuple(failed), tuple(damaged.values()))


def _check_call(function: Any, grid: Mapping[str, Any], fixed: Mapping[str, Any]) -> Grid:
    """The grid, checked, and that the function can be called with its columns and the fixed arguments."""
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
    return axes


def _holds_something(path: Path) -> bool:
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def _check_same(kept: Store, about: dict[str, Any], batch: int | None) -> None:
    found = differences({name: kept.identity[name] for name in about}, about)
    if batch is not None and kept.grid.block(check_size("batch", batch)) != kept.shape:
        found.append(f"batches had shape {kept.shape} and have {kept.grid.block(batch)}")
    if found:
        raise ValueError(
            f"{kept.path} must hold the same sweep, got another: {'; '.join(found)}. Name another path, or pass "
            "overwrite=True to lose what it holds"
        )


def _check_whole(kept: Store, retry: bool) -> None:
    damaged = kept.damaged()
    if damaged and not retry:
        raise ValueError(
            f"the chunks of {kept.path} must agree with their checksums, got damaged or missing "
            f"{', '.join(damaged.values())}; pass retry=True to compute these batches anew"
        )
    for number in [n for n, mark in kept.marks.items() if retry and (mark.failures or n in damaged)]:
        kept.forget(number)


def _block(function, grid: Grid, executor, batch: int | None, memory: int, fixed) -> tuple[int, ...]:
    """The shape of the batches."""
    if batch is not None:
        return grid.block(check_size("batch", batch))
    each = _bytes(_call(executor, function, grid, grid.blocks((1,) * len(grid.shape))[0], fixed))
    return grid.block(min(_LARGEST, check_size("memory", memory) // each), even=True)


def _bytes(outcome: Outcome) -> int:
    return sum(field.values.nbytes for field in outcome.fields.values())


def _task(function, grid: Grid, block, fixed) -> tuple:
    return compute, function, grid.columns(block), extent(block), fixed


def _call(executor: Executor | None, function, grid: Grid, block, fixed) -> Outcome:
    """One batch, computed here or by the executor."""
    call, *arguments = _task(function, grid, block, fixed)
    return call(*arguments) if executor is None else executor.submit(call, *arguments).result()


def _outcomes(function, kept, work: list[int], executor, in_flight: int, fixed) -> Iterator[tuple[int, Outcome]]:
    """(number, outcome) of each batch as it finishes."""
    if executor is None:
        for number in work:
            yield number, _call(None, function, kept.grid, kept.blocks[number], fixed)
        return
    queue, running = iter(work), {}
    try:
        while True:
            while len(running) < in_flight and (number := next(queue, None)) is not None:
                running[executor.submit(*_task(function, kept.grid, kept.blocks[number], fixed))] = number
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def _what_is_done(kept: Memory | Store, path: Path | None) -> str:
    done = f"{len(kept.marks)} of {len(kept.blocks)} batches were done"
    return (
        f"{done}, and are lost: pass store=... to keep them"
        if path is None
        else (f"{done} and are marked in {path}; the same call resumes there")
    )


def _in_words(failure: Mapping[str, Any]) -> str:
    return f"{', '.join(f'{name}={value}' for name, value in failure['point'].items())}: {failure['message']}"


def _warn_of_failures(kept: Memory | Store) -> None:
    if found := failures(kept):
        more = "" if len(found) == 1 else f" (and {len(found) - 1} more)"
        warnings.warn(
            f"{len(found)} of {kept.grid.size} points failed, {_in_words(found[0])}{more}; the attribute failures of "
            "the result lists them, and with a store retry=True computes them anew",
            stacklevel=3,
        )
