"""Where the batches of a sweep are kept: in memory, or in a Zarr group from which a killed sweep resumes.

On disk, with one chunk a batch in every array, the CRC32C of each chunk behind it, and no pickles:

    store/zarr.json                  a group; attribute "sweep": format, function, grid, fixed, versions, block
    store/AXIS/ store/VARIABLE/      arrays over the grid's axes and those that the function adds; `failed` among them
    store/marks/NUMBER/zarr.json     an empty group, the done mark of a batch; attributes "variables" and "failures"

A batch is written chunk by chunk, each under another name and then renamed, and flushed to the disk; then its mark in
the same way. What has no mark does not count and is written anew.
"""

import json
import os
import shutil
import warnings
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from toylib.batches import Field, Outcome, fill_value
from toylib.grids import Grid, extent
from toylib.identity import FORMAT

_CODECS = (ZstdCodec(level=1), Crc32cCodec())


class Mark(NamedTuple):
    """What is known of a finished batch: names of the variables written, (point, message) of each failure."""

    variables: tuple[str, ...]
    failures: list[tuple[int, str]]


class Memory:
    """Batches kept in memory; what a Store is without a disk."""

    def __init__(self, identity: dict[str, Any], grid: Grid, shape: tuple[int, ...]) -> None:
        """Keep nothing yet."""
        self.identity, self.grid, self.blocks = identity, grid, grid.blocks(shape)
        self.marks: dict[int, Mark] = {}
        self.kinds: dict[str, Any] = {}
        self._values: dict[str, np.ndarray] = {}
        self._attrs: dict[str, Any] = {}

    def write(self, number: int, outcome: Outcome) -> None:
        """Keep a batch."""
        _check(self, outcome.fields)
        for name, field in outcome.fields.items():
            if name not in self._values:
                shape, dtype = (*self.grid.shape, *field.values.shape[1:]), field.values.dtype
                self._values[name] = np.full(shape, fill_value(dtype), dtype)
                self.kinds[name], self._attrs[name] = _kind(field), field.attrs
            part = self._values[name][self.blocks[number]]
            part[...] = field.values.reshape(part.shape)
        self.marks[number] = Mark(tuple(outcome.fields), outcome.failures)

    def dataset(self) -> xr.Dataset:
        """The labelled result."""
        dims = {name: (*self.grid.axes, *kind[2]) for name, kind in self.kinds.items()}
        return _labelled(self, {name: (dims[name], self._values[name], self._attrs[name]) for name in dims})


class Store:
    """Batches kept in a Zarr group; `create` makes one, `Store(path)` opens it.

    Raises:
        ValueError: `path` is not the store of a sweep, or of another format.
    """

    def __init__(self, path: Path) -> None:
        """Read what the sweep is and which batches are done."""
        self.path = path
        try:
            self.identity = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["sweep"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} must be the store of a sweep, got {error!r}; name another path") from error
        if self.identity["format"] != FORMAT:
            raise ValueError(
                f"{path} must have format {FORMAT}, got {self.identity['format']}; use the toylib that wrote it"
            )
        axes = self.identity["grid"]
        self.grid = Grid(
            {name: np.array(axis["values"], axis["dtype"]) for name, axis in axes.items()},
            {name: axis["attrs"] for name, axis in axes.items()},
        )
        self.shape = tuple(self.identity["block"])
        self.blocks = self.grid.blocks(self.shape)
        self.marks = {int(mark.parent.name): self._read_mark(mark) for mark in path.glob("marks/*/zarr.json")}
        with _strings_allowed():
            self._group = zarr.open_group(path, mode="r+", zarr_format=3)
            self._arrays = {name: array for name, array in self._group.arrays() if name not in self.grid.axes}
        ndim = len(self.grid.axes)
        self.kinds = {
            name: (array.dtype.str, array.shape[ndim:], tuple(array.metadata.dimension_names[ndim:]))
            for name, array in self._arrays.items()
        }

    @classmethod
    def create(cls, path: Path, identity: dict[str, Any], grid: Grid, shape: tuple[int, ...]) -> "Store":
        """Make an empty store, whole or not at all; `path` must not exist, or be an empty folder."""
        unfinished = _unfinished(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _strings_allowed():
            group = zarr.create_group(unfinished, attributes={"sweep": identity | {"block": list(shape)}})
            for name, values in grid.axes.items():
                options = {"dimension_names": (name,), "attributes": grid.attrs[name], "compressors": _CODECS}
                group.create_array(name, data=values, chunks=values.shape, **options)
        group.create_group("marks")
        for file in (*unfinished.rglob("*"), unfinished):
            _flush(file)
        unfinished.replace(path)
        _flush(path.parent)
        return cls(path)

    def write(self, number: int, outcome: Outcome) -> None:
        """Write a batch completely and flush it to the disk, then its mark."""
        _check(self, outcome.fields)
        block = self.blocks[number]
        for name, field in outcome.fields.items():
            if name not in self._arrays:
                self._arrays[name], self.kinds[name] = self._create_array(name, field), _kind(field)
                _flush(self.path / name / "zarr.json")
            chunk = self._chunk(name, number)
            chunk.unlink(missing_ok=True)  # zarr would read it to fill up an incomplete one, damaged or not
            self._arrays[name][block] = field.values.reshape(*extent(block), *field.values.shape[1:])
            for file in (chunk, *chunk.parents[: len(chunk.relative_to(self.path).parts)]):
                _flush(file)
        attributes = {"variables": list(outcome.fields), "failures": outcome.failures}
        mark = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        folder = self.path / "marks" / str(number)
        folder.mkdir(exist_ok=True)
        unfinished = folder / "zarr.json.unfinished"
        unfinished.write_text(json.dumps(mark, ensure_ascii=False), encoding="utf-8")
        _flush(unfinished)
        unfinished.replace(folder / "zarr.json")
        _flush(folder)
        _flush(folder.parent)
        self.marks[number] = Mark(tuple(outcome.fields), outcome.failures)

    def forget(self, number: int) -> None:
        """Remove the mark of a batch, so that it is computed anew."""
        folder = self.path / "marks" / str(number)
        (folder / "zarr.json").unlink()
        _flush(folder)
        del self.marks[number]

    def remove(self) -> None:
        """Remove the store, at once as far as anyone can see."""
        away = _unfinished(self.path)
        self.path.replace(away)
        shutil.rmtree(away)

    def damaged(self) -> dict[int, str]:
        """The first chunk of each marked batch that is missing or fails its checksum: batch -> path in the store."""
        found = {}
        for number, mark in sorted(self.marks.items()):
            for name in mark.variables:
                chunk = self._chunk(name, number)
                try:
                    if not chunk.exists():
                        raise FileNotFoundError(chunk)
                    self._arrays[name][self.blocks[number]]
                except Exception:  # whatever a codec makes of damaged bytes
                    found[number] = str(chunk.relative_to(self.path))
                    break
        return found

    def dataset(self) -> xr.Dataset:
        """The labelled result; values are read when they are used."""
        with _strings_allowed():
            found = xr.open_zarr(self.path, chunks=None, decode_cf=False, consolidated=False)
        return _labelled(self, {name: found[name].variable for name in self._arrays})

    def _create_array(self, name: str, field: Field) -> zarr.Array:
        extra = field.values.shape[1:]
        with _strings_allowed():
            return self._group.create_array(
                name,
                shape=(*self.grid.shape, *extra),
                chunks=(*self.shape, *extra),
                dtype=field.values.dtype,
                fill_value=fill_value(field.values.dtype),
                dimension_names=(*self.grid.axes, *field.dims),
                attributes=field.attrs,
                compressors=_CODECS,
                config={"write_empty_chunks": True},  # a chunk that is missing is damage, never a saving
            )

    def _chunk(self, name: str, number: int) -> Path:
        at = [part.start // k for part, k in zip(self.blocks[number], self.shape, strict=True)]
        at += [0] * (self._arrays[name].ndim - len(at))
        return self.path.joinpath(name, "c", *map(str, at))

    def _read_mark(self, path: Path) -> Mark:
        try:
            attributes = json.loads(path.read_text(encoding="utf-8"))["attributes"]
            return Mark(tuple(attributes["variables"]), [(int(at), str(text)) for at, text in attributes["failures"]])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must be the mark of a batch, got {error!r}; remove it, and the batch is computed anew"
            ) from error


def _unfinished(path: Path) -> Path:
    """A name beside `path` for what is half made or half removed, with what an interruption left there gone."""
    unfinished = path.with_name(path.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    return unfinished


def _flush(path: Path) -> None:
    """Have the system write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _strings_allowed() -> Iterator[None]:
    """Let zarr keep fixed-width strings without a warning: its format for them is not yet a standard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        yield


def _kind(field: Field) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
    """What must be alike in every batch: type, shape of an entry, names of its axes."""
    return field.values.dtype.str, field.values.shape[1:], field.dims


def _check(kept: "Memory | Store", fields: dict[str, Field]) -> None:
    """Check that a batch fits the grid and the batches before it; TypeError or ValueError if not."""
    expected, sizes = _names(kept.marks), {}
    if len(fields) > 1 and len(expected) > 1 and set(fields) != set(expected):
        raise ValueError(f"every batch must return {', '.join(expected)}, got {', '.join(fields)}")
    for name, field in fields.items():
        if kept.kinds.get(name, _kind(field)) != _kind(field):
            raise ValueError(
                f"{name} must have one type, shape and axes in every batch, got {kept.kinds[name]} and {_kind(field)}"
            )
        for dim, length in zip(field.dims, field.values.shape[1:], strict=True):
            if dim in kept.grid.axes or dim in fields or sizes.setdefault(dim, length) != length:
                raise ValueError(
                    f"{dim} must name one axis of one length, apart from the grid's axes and the results, got it "
                    f"again in {name}; rename it"
                )
    if taken := set(fields) & set(kept.grid.axes):
        raise ValueError(f"results must have other names than the grid's axes, got {', '.join(taken)}; rename them")


def _names(marks: dict[int, Mark]) -> tuple[str, ...]:
    """The variables of the sweep, in the function's order."""
    return max((mark.variables for mark in marks.values()), key=len, default=())


def failures(kept: "Memory | Store", without: Container[int] = ()) -> list[dict[str, Any]]:
    """Each point that failed, in order, `without` some batches: {"point": coordinates by name, "message": why}."""
    return [
        {"point": kept.grid.label(kept.blocks[number], at), "message": message}
        for number, mark in sorted(kept.marks.items())
        if number not in without
        for at, message in mark.failures
    ]


def _labelled(kept: "Memory | Store", variables: dict[str, Any]) -> xr.Dataset:
    coordinates = {name: (name, values, kept.grid.attrs[name]) for name, values in kept.grid.axes.items()}
    texts = {"settings": kept.identity["fixed"], "versions": kept.identity["versions"], "failures": failures(kept)}
    function = kept.identity["function"]
    attributes = {"function": function["function"] if "function" in function else json.dumps(function)}
    attributes |= {name: json.dumps(value, ensure_ascii=False) for name, value in texts.items()}
    return xr.Dataset({name: variables[name] for name in _names(kept.marks)}, coordinates, attributes)
