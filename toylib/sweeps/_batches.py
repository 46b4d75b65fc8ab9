"""One batch of a sweep: the function called on its points, failures isolated, the result checked.

This is what a worker runs, so it imports nothing but NumPy.
"""

import io
import json
import multiprocessing
import pickle
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

TEXT = np.dtype("<U64")  # every string; on disk the width is that of the first batch, and all must fit
LARGEST = 2**32
"""Bytes that an array may take in a batch; what is read may be from others, and a small file may declare anything."""
_MESSAGE = 500  # characters of an error that are recorded
_TAKEN = ("failed", "marks", "zarr.json")  # the sweep's own result, and what stands beside the results on disk


def check_names(what: str, names: Iterable[Any]) -> None:
    """Check names of axes or results, which are folders on disk."""
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[^\W\d_][\w .-]{0,63}", name) or name in _TAKEN:
            raise ValueError(
                f"{what} must begin with a letter, have at most 64 letters, digits, spaces, dots, hyphens and "
                f"underscores, and not be among {', '.join(_TAKEN)}, got {name!r:.80}; rename it"
            )


def check_pool(pool: ProcessPoolExecutor, sent: Mapping[str, Any]) -> None:
    """Refuse what would hang or die without a reason: forked processes, and what others cannot import.

    Args:
        pool: where batches are to run.
        sent: the function and its settings, by name.

    Raises:
        ValueError: the pool forks, or its processes cannot find what they are sent.
        TypeError: something cannot be sent.
    """
    if getattr(pool, "_mp_context", multiprocessing).get_start_method() == "fork":
        raise ValueError(
            "executor must start its processes afresh, got fork, in which JAX's locks stay shut; pass "
            'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))'
        )
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file and not getattr(sys.modules["__main__"], "__spec__", None) and not Path(file).exists():
        raise ValueError(
            f"executor must find the program that its processes begin with, got {file}; run a script from its file, or "
            "leave the executor out"
        )
    for name, value in sent.items():
        try:
            _Sending(io.BytesIO(), file is not None).dump(value)
        except _Unknown as error:
            raise ValueError(
                f"{name} must be of a module that other processes can import, got {error} of a notebook or prompt; "
                "write it to a file beside, import it, or leave the executor out"
            ) from None
        except Exception as error:  # whatever an object makes of it
            raise TypeError(
                f"{name} must be what pickle can send to other processes, got {value!r:.80}: {error}; define functions "
                "at the top of a module, pass what a value is made from, or take a ThreadPoolExecutor"
            ) from error


class _Unknown(Exception):
    """Something that other processes cannot import."""


class _Sending(pickle.Pickler):
    """Pickles, and finds functions and classes of a program without a file, which pickle sends by name."""

    def __init__(self, file: Any, has_main: bool) -> None:
        super().__init__(file)
        self.has_main = has_main

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type | FunctionType) and value.__module__ == "__main__" and not self.has_main:
            raise _Unknown(f"{value!r:.80}")
        return NotImplemented


def check_bytes(name: str, size: int) -> None:
    """Check what an array takes in a batch, before anything has so many bytes."""
    if size > LARGEST:
        raise ValueError(
            f"{name} must take at most {LARGEST:,} bytes in a batch, got {size:,}; pass a smaller batch or return less"
        )


class Field(NamedTuple):
    """A result of every point: values (points, ...), names of the axes after the first, attributes such as units."""

    dims: tuple[str, ...]
    values: np.ndarray
    attrs: dict[str, Any]

    @property
    def kind(self) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
        """What must be alike at all points: type, shape of an entry, names of its axes."""
        return self.values.dtype.str, self.values.shape[1:], self.dims

    @property
    def fill_value(self) -> Any:
        """What stands where there is no result: NaN, 0, False or the empty string."""
        return np.nan if self.values.dtype.kind in "fc" else np.zeros((), self.values.dtype)[()]

    def blank(self, *shape: int) -> np.ndarray:
        """An array for such entries, without a result: (*shape, ...)."""
        return np.full((*shape, *self.values.shape[1:]), self.fill_value, self.values.dtype)


class Computed(NamedTuple):
    """What a batch came to.

    Attributes:
        fields: results by name, with NaN, 0, False or "" where a point failed; last `failed` (points,) bool. Without
            a point that succeeded, `failed` alone.
        failures: (point, message) of each that failed, `point` counting within the batch.
        seconds: how long the function took.
    """

    fields: dict[str, Field]
    failures: list[tuple[int, str]]
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of the results."""
        return sum(field.values.nbytes for field in self.fields.values())


def compute(function: Callable, columns: Mapping[str, np.ndarray], shape: tuple[int, ...], fixed: Mapping) -> Computed:
    """Call the function on the points of a batch, and on ever smaller parts of it where it raises.

    Args:
        function: called with `columns` and `fixed` as keywords.
        columns: (points,) each.
        shape: of the block that the points are; its halves are blocks again.
        fixed: the other arguments.

    Raises:
        TypeError, ValueError: the function returns something other than a dict of arrays, one entry per point.
    """
    start = time.perf_counter()
    index = np.arange(int(np.prod(shape))).reshape(shape)
    fields, failures = {}, []
    for points, result in _attempts(function, columns, index, fixed):
        if isinstance(result, str):
            failures.append((int(points[0]), result))
        else:
            fields = fields or {name: field._replace(values=field.blank(index.size)) for name, field in result.items()}
            _insert(fields, points, result)
    if "diverged" in fields and fields["diverged"].values.dtype == bool and fields["diverged"].values.ndim == 1:
        failures += [(int(point), "diverged") for point in np.flatnonzero(fields["diverged"].values)]
    failed = np.isin(np.arange(index.size), [point for point, _ in failures])
    fields["failed"] = Field((), failed, {"description": "the point failed; attribute failures says why"})
    return Computed(fields, sorted(failures), time.perf_counter() - start)


def _attempts(
    function: Callable, columns: Mapping[str, np.ndarray], index: np.ndarray, fixed: Mapping[str, Any]
) -> Iterator[tuple[np.ndarray, dict[str, Field] | str]]:
    """(points, results) of parts that succeed, (point, message) of single points that do not."""
    points = index.ravel()
    try:
        result = function(**{name: column[points] for name, column in columns.items()}, **fixed)
        # Inside the try, since JAX raises some errors only when a result is read.
        result = {name: _read(value) for name, value in result.items()} if isinstance(result, Mapping) else result
    except Exception as error:
        if points.size == 1:
            yield points, f"{type(error).__name__}: {error}"[:_MESSAGE]
        else:
            for half in np.array_split(index.squeeze(), 2):  # along the first axis that has several values
                yield from _attempts(function, columns, half, fixed)
    else:
        yield points, _fields(result, len(points))


def _read(value: Any) -> Any:
    return (value[0], np.asarray(value[1]), *value[2:]) if isinstance(value, tuple) else np.asarray(value)


def _fields(result: Any, points: int) -> dict[str, Field]:
    """What the function returned for so many points, checked."""
    if not isinstance(result, dict) or not result:
        raise TypeError(
            f"the function must return a dict of arrays, one entry per point, got {result!r:.200}; "
            "try return {'loss': losses}"
        )
    if "failed" in result:
        raise ValueError("the function must not return 'failed', the sweep's own result; return 'diverged' instead")
    check_names("the name of a result", result)
    return {name: _field(name, value, points) for name, value in result.items()}


def _field(name: str, value: Any, points: int) -> Field:
    """A Field from an array, or from (dims, array) or (dims, array, attributes)."""
    parts: Any = value if isinstance(value, tuple) else ([f"{name}_{i}" for i in range(value.ndim - 1)], value)
    if len(parts) not in (2, 3):
        raise TypeError(f"{name} must be an array, (dims, array) or (dims, array, attributes), got {len(parts)} parts")
    dims, values, attrs = (*parts, {})[:3]
    dims = (dims,) if isinstance(dims, str) else tuple(dims)
    if values.dtype.kind not in "biufcU":
        raise TypeError(f"{name} must hold numbers or strings, got {values.dtype}; return an array of one type")
    if values.ndim == 0 or values.shape[0] != points or not values.size:
        raise ValueError(
            f"{name} must have {points} entries on its first axis, got shape {values.shape}; return one per point"
        )
    if len(dims) != values.ndim - 1 or len(set(dims)) < len(dims):
        raise ValueError(f"{name} must name each axis after the first, got {dims} for shape {values.shape}")
    check_names(f"the name of an axis of {name}", dims)
    if values.dtype.kind == "U":
        if values.dtype.itemsize > TEXT.itemsize:
            raise ValueError(f"strings must have at most 64 characters, got {values.dtype} in {name}; shorten them")
        values = values.astype(TEXT)
    json.dumps(dict(attrs))  # TypeError for what the store could not hold
    return Field(dims, values, dict(attrs))


def _insert(fields: dict[str, Field], points: np.ndarray, part: dict[str, Field]) -> None:
    """Put the results of some points among those of the batch."""
    for name in fields.keys() | part.keys():
        kinds = [side[name].kind if name in side else "nothing" for side in (fields, part)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"{name} must have one type and shape at all points, got {kinds[0]} and {kinds[1]}")
        fields[name].values[points] = part[name].values
