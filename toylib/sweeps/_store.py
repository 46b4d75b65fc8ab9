"""A sweep on disk: a Zarr group from which it resumes when it was killed.

With one chunk per batch in every array, the CRC32C of each chunk behind it, and no pickles:

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from toylib.sweeps._batches import Computed, Field
from toylib.sweeps._grids import Grid
from toylib.sweeps._identity import FORMAT, differences
from toylib.sweeps._sweep import Mark, Sweep

_CODECS = (zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec())
_CONFIG = {"write_empty_chunks": True}  # a chunk that is missing is damage, never a saving


class Store(Sweep):
    """A sweep in a Zarr group; `create` makes one, `Store(path)` opens it.

    Raises:
        ValueError: `path` is not the store of a sweep, or of another format.
    """

    def __init__(self, path: Path) -> None:
        """Read what the sweep is and which batches are done."""
        try:
            self._group = zarr.open_group(path, mode="r+", zarr_format=3)
            identity: Any = self._group.attrs["sweep"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} must be the store of a sweep, got {error!r}; name another path") from error
        if identity["format"] != FORMAT:
            raise ValueError(
                f"{path} must have format {FORMAT}, got {identity['format']}; use the toylib that wrote it"
            )
        axes = {
            name: (np.array(axis["values"], axis["dtype"]), axis["attrs"]) for name, axis in identity["grid"].items()
        }
        super().__init__(identity, Grid.of(axes), tuple(identity["block"]))
        self.path, self.fate = path, f" and are marked in {path}; the same call resumes there"
        self.marks = {int(file.parent.name): _read_mark(file) for file in path.glob("marks/*/zarr.json")}
        # Not `group.arrays()`, which stumbles over an array that was being made when a sweep was killed.
        for name in {file.parent.name for file in path.glob("*/zarr.json")} - {"marks", *axes}:
            array: Any = self._group[name]
            entry, dims = (of_all[len(axes) :] for of_all in (array.shape, array.metadata.dimension_names))
            self._arrays[name], self._kinds[name] = array.with_config(_CONFIG), (array.dtype.str, entry, tuple(dims))

    @classmethod
    def create(cls, path: Path, identity: dict[str, Any], grid: Grid, shape: tuple[int, ...]) -> "Store":
        """Make an empty store, whole or not at all; `path` must not exist, or be an empty folder."""
        unfinished = _unfinished(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.create_group(unfinished, attributes={"sweep": identity | {"block": list(shape)}})
        group.create_group("marks")
        for name, values in grid.axes.items():
            _create_array(group, name, (name,), grid.attrs[name], data=values, chunks=values.shape)
        for file in (*unfinished.rglob("*"), unfinished):
            _flush(file)
        unfinished.replace(path)
        _flush(path.parent)
        return cls(path)

    def _write_data(self, number: int, computed: Computed) -> None:
        for name in self._arrays:  # what is there may be damaged, and zarr would read it to fill up a chunk
            self._chunk(name, number).unlink(missing_ok=True)
        super()._write_data(number, computed)
        for name in computed.fields:
            chunk = self._chunk(name, number)
            for file in (chunk, *chunk.parents[: len(chunk.relative_to(self.path).parts)]):
                _flush(file)

    def _create(self, name: str, field: Field) -> zarr.Array:
        array = _create_array(
            self._group,
            name,
            (*self.grid.axes, *field.dims),
            field.attrs,
            shape=(*self.grid.shape, *field.values.shape[1:]),
            chunks=(*self.shape, *field.values.shape[1:]),
            dtype=field.values.dtype,
            fill_value=field.fill_value,
            config=_CONFIG,
        )
        _flush(self.path / name / "zarr.json")
        return array

    def _write_mark(self, number: int, mark: Mark) -> None:
        folder = self.path / "marks" / str(number)
        folder.mkdir(exist_ok=True)
        group = {"zarr_format": 3, "node_type": "group", "attributes": mark._asdict()}
        unfinished = folder / "zarr.json.unfinished"
        unfinished.write_text(json.dumps(group, ensure_ascii=False), encoding="utf-8")
        _flush(unfinished)
        unfinished.replace(folder / "zarr.json")
        _flush(folder)
        _flush(folder.parent)
        super()._write_mark(number, mark)

    def forget(self, number: int) -> None:
        """Remove the mark of a batch, so that it is computed anew."""
        folder = self.path / "marks" / str(number)
        (folder / "zarr.json").unlink()
        _flush(folder)
        del self.marks[number]

    def damaged(self) -> dict[int, str]:
        """The first chunk of each marked batch that is missing or fails its checksum: batch -> path in the store."""
        chunks = {}
        for number, mark in sorted(self.marks.items()):
            for name in mark.variables:
                chunk = self._chunk(name, number)
                try:
                    chunk.stat()  # zarr would read a missing chunk as fill values
                    self._arrays[name][self.blocks[number]]
                except Exception:  # whatever a codec makes of damaged bytes
                    chunks[number] = str(chunk.relative_to(self.path))
                    break
        return chunks

    def _variables(self) -> Mapping[Any, xr.Variable]:
        """The results and axes; values are read when they are used."""
        return xr.open_zarr(self.path, chunks=None, decode_cf=False, consolidated=False).variables

    def _chunk(self, name: str, number: int) -> Path:
        at = [part.start // k for part, k in zip(self.blocks[number], self.shape, strict=True)]
        return self.path.joinpath(name, "c", *map(str, at), *["0"] * (self._arrays[name].ndim - len(at)))


def reopen(path: Path, about: dict[str, Any], batch: int | None, *, retry: bool, overwrite: bool) -> Store | None:
    """The store of a sweep that is to go on, or None where one has to be created.

    Args:
        path: its folder.
        about: identity of the sweep.
        batch: points in a batch, if the caller has asked for a number.
        retry: forget the batches with failures or damaged chunks.
        overwrite: remove what the store holds.

    Raises:
        ValueError: another sweep is there, or damaged chunks without `retry`.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    sweep = Store(path)
    if overwrite:
        shutil.rmtree(path.replace(_unfinished(path)))  # gone at once, as far as anyone can see
        return None
    different = differences({name: sweep.identity[name] for name in about}, about)
    if batch is not None and sweep.grid.block(batch) != sweep.shape:
        different.append(f"batches had shape {sweep.shape} and have {sweep.grid.block(batch)}")
    if different:
        raise ValueError(
            f"{path} must hold the same sweep, got another: {'; '.join(different)}. It resumes with the call and the "
            "versions that made it; for this sweep name another path, or pass overwrite=True to lose what it holds"
        )
    damaged = sweep.damaged()
    if damaged and not retry:
        raise ValueError(
            f"the chunks of {path} must agree with their checksums, got damaged or missing "
            f"{', '.join(damaged.values())}; pass retry=True to compute these batches anew"
        )
    for number in [number for number, mark in sweep.marks.items() if retry and (mark.failures or number in damaged)]:
        sweep.forget(number)
    return sweep


def _create_array(group: zarr.Group, name: str, dims: tuple[str, ...], attrs: dict, **options: Any) -> zarr.Array:
    """An array with the codecs of a store."""
    # zarr's format for fixed-width strings is not yet a standard.
    with warnings.catch_warnings(action="ignore", category=zarr.errors.UnstableSpecificationWarning):
        return group.create_array(name, dimension_names=dims, attributes=attrs, compressors=_CODECS, **options)


def _read_mark(file: Path) -> Mark:
    try:
        attributes = json.loads(file.read_text(encoding="utf-8"))["attributes"]
        return Mark(tuple(attributes["variables"]), [(int(at), str(text)) for at, text in attributes["failures"]])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} must be the mark of a batch, got {error!r}; remove it, and the batch is computed anew"
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
