"""A sweep on disk: a Zarr group from which it resumes when it was killed, and on which several processes may work.

With one chunk per batch in every array, the CRC32C of each chunk behind it, and no pickles:

    store/zarr.json                  a group; attribute "sweep": format, function, grid, fixed, versions, block, created
    store/AXIS/ store/VARIABLE/      arrays over the grid's axes and those that the function adds; `failed` among them
    store/marks/NUMBER/zarr.json     an empty group, the done mark of a batch; attributes "variables" and "failures"
    store/marks/NUMBER/lease         locked by the process that computes the batch, and removed at its end

A batch is written chunk by chunk, each under another name and then renamed, and flushed to the disk; then its mark in
the same way. What has no mark does not count and is written anew. A store is made beside its place and renamed: of
processes that start together one makes it, the others find it. Whoever works on it shares the lock of marks/zarr.json;
whoever makes an array or removes the store has that of zarr.json alone.
"""

import errno
import json
import os
import shutil
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import IO, Any

import numcodecs
import numpy as np
import xarray as xr
import zarr

from toylib._locks import ALONE, SHARED, lock, scratch
from toylib.sweeps._batches import Computed, Field, check_bytes, check_names
from toylib.sweeps._grids import Grid, extent
from toylib.sweeps._identity import FORMAT, grid_of
from toylib.sweeps._sweep import Mark, Sweep, check_kind

_CODECS = (zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec())
_CONFIG = {"write_empty_chunks": True}  # a chunk that is missing is damage, never a saving


class Store(Sweep):
    """A sweep in a Zarr group; `create` makes one, `Store(path)` opens it to look at, `join` to work on.

    Raises:
        ValueError: `path` is not the store of a sweep, or of another format.
    """

    def __init__(self, path: Path) -> None:
        """Read what the sweep is and which batches are done."""
        try:
            self._group = zarr.open_group(path, mode="r+", zarr_format=3, use_consolidated=False)
            identity: Any = self._group.attrs["sweep"]
            if identity["format"] == FORMAT:
                grid, shape = grid_of(identity), tuple(identity["block"])
                if grid.block(prod(shape)) != shape:
                    raise ValueError(f"batches of shape {shape} in a grid of {grid.shape}")
                super().__init__(identity, grid, shape)
        except Exception as error:  # whatever becomes of a damaged or foreign file
            raise ValueError(f"{path} must be the store of a sweep, got {error!r}; name another path") from error
        if identity["format"] != FORMAT:
            raise ValueError(
                f"{path} must have format {FORMAT}, got {identity['format']}; use the toylib that wrote it"
            )
        self.path, self.fate = path, f" and are marked in {path}; the same call resumes there"
        self._joined: IO | None = None
        self._leases: dict[int, IO] = {}
        self._unreadable: list[int] = []  # marks
        for folder in path.glob("marks/*"):
            if folder.name.isdecimal() and int(folder.name) < len(self.blocks):
                self._look(int(folder.name))
        for name in {name for mark in self.marks.values() for name in mark.variables}:
            with suppress(Exception):  # `damaged` names what cannot be opened
                self._open(name)

    @classmethod
    def create(cls, path: Path, identity: dict[str, Any], grid: Grid, shape: tuple[int, ...]) -> None:
        """Make an empty store, whole or not at all, where there is nothing or an empty folder.

        Where another process was faster its store stays.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch(path) as folder:
            made, more = folder / "store", {"block": list(shape), "created": time.time()}
            group = zarr.create_group(made, attributes={"sweep": identity | more})
            (made / "marks").mkdir()
            marks_of(made).write_text(_group({"sweep": "marks"}), encoding="utf-8")
            for name in grid.axes:
                _create_axis(group, grid, name)
            for file in (*made.rglob("*"), made):
                _flush(file)
            try:
                made.replace(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            _flush(path.parent)

    def join(self) -> bool:
        """Whether we may work on it, until `close`; not if it is being removed."""
        with suppress(FileNotFoundError):
            self._joined = lock(marks_of(self.path), SHARED, create=True)
        return self._joined is not None

    def close(self) -> None:
        """Let go of the store and of the batches that were not finished."""
        for number in list(self._leases):
            self.release(number)
        if self._joined:
            self._joined.close()

    def claim(self, number: int) -> bool:
        """Whether a batch is ours to compute, until `release`; else it is done, or another process is at it."""
        lease = self._folder(number) / "lease"
        lease.parent.mkdir(exist_ok=True)
        held = lock(lease, ALONE, create=True)
        if held is None:
            return False
        self._leases[number] = held
        self._look(number)  # another process may have finished it since
        if number in self.marks:
            self.release(number)
        return number not in self.marks

    def release(self, number: int) -> None:
        """Leave a batch, done or not, to others."""
        (self._folder(number) / "lease").unlink(missing_ok=True)
        self._leases.pop(number).close()

    def _write_data(self, number: int, computed: Computed) -> None:
        for name in self._arrays:  # what is there may be damaged, and zarr would read it to fill up a chunk
            self._chunk(name, number).unlink(missing_ok=True)
        super()._write_data(number, computed)
        for name in computed.fields:
            chunk = self._chunk(name, number)
            for file in (chunk, *chunk.parents[: len(chunk.relative_to(self.path).parts)]):
                _flush(file)

    def _create(self, name: str, field: Field) -> zarr.Array:
        with alone(self.path):
            try:
                self._open(name)  # another process has made it
            except Exception:  # there is none, or what was left of one by a kill or by damage
                check_bytes(name, prod(self.shape) * field.values[0].nbytes)
                shutil.rmtree(self.path / name, ignore_errors=True)
                _create_array(
                    self._group,
                    name,
                    (*self.grid.axes, *field.dims),
                    field.attrs,
                    shape=(*self.grid.shape, *field.values.shape[1:]),
                    chunks=(*self.shape, *field.values.shape[1:]),
                    dtype=field.values.dtype,
                    fill_value=field.fill_value,
                )
                _flush(self.path / name / "zarr.json")
                self._open(name)
        check_kind(name, self._kinds[name], field)
        return self._arrays[name]

    def _open(self, name: str) -> None:
        """Open the array of a result; whatever zarr raises if it is not there or damaged."""
        array: Any = self._group[name]
        _check_array(name, array, self.grid.shape, self.shape, tuple(self.grid.axes))
        own = len(self.shape)
        self._arrays[name] = array.with_config(_CONFIG)
        self._kinds[name] = array.dtype.str, array.shape[own:], tuple(array.metadata.dimension_names[own:])

    def _write_mark(self, number: int, mark: Mark) -> None:
        folder = self._folder(number)
        unfinished = folder / "zarr.json.unfinished"
        unfinished.write_text(_group(mark._asdict()), encoding="utf-8")
        _flush(unfinished)
        unfinished.replace(folder / "zarr.json")
        _flush(folder)
        _flush(folder.parent)
        super()._write_mark(number, mark)

    def _look(self, number: int) -> None:
        """Read the mark of a batch, if it has one."""
        file = self._folder(number) / "zarr.json"
        try:
            attributes = json.loads(file.read_text(encoding="utf-8"))["attributes"]
            self.marks[number] = Mark.of(attributes, prod(extent(self.blocks[number])))
        except FileNotFoundError:
            pass
        except Exception:  # whatever becomes of what we have not written
            self._unreadable.append(number)

    def damaged(self) -> list[tuple[str, int | None]]:
        """What is missing or cannot be read, as paths in the store: of each done batch the first file.

        Returns:
            (path, number of the batch, or None for what belongs to all).
        """
        frame = [f"{name}/zarr.json" for name in self.grid.axes if not self._holds_axis(name)]
        frame += [] if about_of(marks_of(self.path)) == "marks" else ["marks/zarr.json"]
        marks = [(f"marks/{number}/zarr.json", number) for number in self._unreadable]
        chunks = ((self._damaged_file(number), number) for number in sorted(self.marks))
        return [*((file, None) for file in frame), *marks, *((file, number) for file, number in chunks if file)]

    def _holds_axis(self, name: str) -> bool:
        try:
            array: Any = self._group[name]
            values = self.grid.axes[name]
            _check_array(name, array, values.shape, values.shape, (name,))
            if array.ndim > 1 or array.dtype != values.dtype:
                return False
            _check_chunk(self.path / name / array.metadata.encode_chunk_key((0,)), array)
            return np.array_equal(np.asarray(array), values)
        except Exception:  # whatever zarr makes of damaged metadata or bytes
            return False

    def _damaged_file(self, number: int) -> str:
        for name in self.marks[number].variables:
            if name not in self._arrays:
                return f"{name}/zarr.json"
            chunk = self._chunk(name, number)
            try:
                _check_chunk(chunk, self._arrays[name])
                self._arrays[name][self.blocks[number]]
            except Exception:  # whatever a codec makes of damaged bytes
                return str(chunk.relative_to(self.path))
        return ""

    def mend(self, number: int | None) -> None:
        """Have a batch computed anew, unless another process is at it; or write anew what belongs to all."""
        if number is None:
            with alone(self.path):
                marks_of(self.path).write_text(_group({"sweep": "marks"}), encoding="utf-8")  # whose lock we share
                for name in self.grid.axes:
                    if not self._holds_axis(name):
                        shutil.rmtree(self.path / name, ignore_errors=True)
                        _create_axis(self._group, self.grid, name)
            return
        self.marks.pop(number, None)
        folder = self._folder(number)
        if lease := lock(folder / "lease", ALONE, create=True):
            self._leases[number] = lease
            (folder / "zarr.json").unlink(missing_ok=True)
            _flush(folder)
            self.release(number)

    def _variables(self) -> Mapping[Any, xr.Variable]:
        """The results and axes; values are read when they are used."""
        return xr.open_zarr(self.path, chunks=None, decode_cf=False, consolidated=False).variables

    def _folder(self, number: int) -> Path:
        return self.path / "marks" / str(number)

    def _chunk(self, name: str, number: int) -> Path:
        at = [part.start // k for part, k in zip(self.blocks[number], self.shape, strict=True)]
        more = [0] * (self._arrays[name].ndim - len(at))
        return self.path / name / self._arrays[name].metadata.encode_chunk_key((*at, *more))


def about_of(file: Path) -> Any:
    """The attribute "sweep" of a group's metadata, by which we know our own; None for any other file."""
    with suppress(Exception):  # whatever becomes of a foreign file
        return json.loads(file.read_text(encoding="utf-8"))["attributes"]["sweep"]
    return None


def _group(attributes: dict[str, Any]) -> str:
    """The metadata of a group."""
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, ensure_ascii=False)


def marks_of(path: Path) -> Path:
    """The metadata of the group of marks, whose lock is shared by all who work on a store."""
    return path / "marks" / "zarr.json"


def alone(path: Path) -> IO:
    """Wait until no other process makes an array of a store or removes it; a context."""
    held = lock(path / "zarr.json", ALONE, create=True, wait=True)
    assert held is not None
    return held


def _create_axis(group: zarr.Group, grid: Grid, name: str) -> None:
    values = grid.axes[name]
    _create_array(group, name, (name,), grid.attrs[name], data=values, chunks=values.shape)


def _check_array(name: str, array: Any, shape: tuple[int, ...], chunks: tuple[int, ...], dims: tuple[str, ...]) -> None:
    """Check that an array declares what we write for these axes, perhaps with more behind, in chunks that we read."""
    about, names, more = array.metadata, array.metadata.dimension_names, array.shape[len(shape) :]
    declared = array.shape, array.chunks, names[: len(dims)], [type(codec) for codec in about.codecs]
    if declared != ((*shape, *more), (*chunks, *more), dims, [zarr.codecs.BytesCodec, *map(type, _CODECS)]):
        raise ValueError(f"{name} must be over the axes of the sweep, one chunk a batch, got {declared}")
    if len({*names}) < array.ndim or about.codecs[0].to_dict().get("configuration", {}).get("endian") == "big":
        raise ValueError(f"{name} must be little-endian over different axes, got {about.codecs[0]}, {names}")
    check_names("the name of an axis", names)
    check_bytes(name, prod(array.chunks) * array.dtype.itemsize)


def _check_chunk(file: Path, array: Any) -> None:
    """Check that a chunk is there, which zarr would read as fill values, and unpacks to no more than it should."""
    room = np.empty(prod(array.chunks) * array.dtype.itemsize, np.uint8)
    with file.open("rb") as opened:
        packed = opened.read(2 * room.size + 128)  # more than there is if nothing can be compressed
    numcodecs.Zstd().decode(packed[:-4], room)  # the checksum behind is zarr's to compare


def _create_array(group: zarr.Group, name: str, dims: tuple[str, ...], attrs: dict, **options: Any) -> None:
    """An array with the codecs of a store."""
    # zarr's format for fixed-width strings is not yet a standard.
    with warnings.catch_warnings(action="ignore", category=zarr.errors.UnstableSpecificationWarning):
        group.create_array(name, dimension_names=dims, attributes=attrs, compressors=_CODECS, config=_CONFIG, **options)


def _flush(path: Path) -> None:
    """Have the system write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
