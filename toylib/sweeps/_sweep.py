"""A sweep and its results, in memory; `Store` has them on disk."""

import json
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import xarray as xr

from toylib.sweeps._batches import Computed, Field, check_names
from toylib.sweeps._grids import Grid, extent


class Mark(NamedTuple):
    """What is known of a finished batch: names of the variables written, (point, message) of each failure."""

    variables: tuple[str, ...]
    failures: list[tuple[int, str]]

    @classmethod
    def of(cls, attributes: Mapping[str, Any], points: int) -> "Mark":
        """The mark of a batch of so many points from its attributes; whatever is raised if they are none."""
        *results, last = attributes["variables"]
        check_names("the name of a result", results)  # which are folders on disk
        if last != "failed":
            raise ValueError(f"the last variable must be failed, got {last}")
        return cls((*results, last), [(range(points)[at], str(text)) for at, text in attributes["failures"]])


def check_kind(name: str, kind: tuple, field: Field) -> None:
    """Check that a result is of the kind that it has in other batches."""
    if kind != field.kind:
        raise ValueError(
            f"{name} must have one type, shape and axes in every batch, got {kind} and {field.kind}; return the same "
            "kind of array for all points"
        )


class Sweep:
    """A sweep in memory: its batches, and the results of those that are done.

    Attributes:
        identity: what the sweep is.
        grid: its axes.
        shape: of a batch.
        blocks: the points of each batch.
        marks: number of a batch -> what is known of it, for those that are done.
        fate: what becomes of these when the sweep stops, in words.
    """

    fate: str = ", and are lost: pass store=... to keep them"

    def __init__(self, identity: dict[str, Any], grid: Grid, shape: tuple[int, ...]) -> None:
        """Begin with no batch done."""
        self.identity, self.grid, self.shape, self.blocks = identity, grid, shape, grid.blocks(shape)
        self.marks: dict[int, Mark] = {}
        self._arrays: dict[str, Any] = {}  # the results, over all points
        self._kinds: dict[str, tuple] = {}  # `Field.kind` of each

    @property
    def variables(self) -> tuple[str, ...]:
        """The results in the function's order; `failed` alone while no point has succeeded."""
        return next((mark.variables for mark in self.marks.values() if len(mark.variables) > 1), ("failed",))

    def write(self, number: int, computed: Computed) -> None:
        """Write a batch, then its mark; ValueError if it does not fit the grid and the batches before it."""
        self._check(computed.fields)
        self._write_data(number, computed)
        self._write_mark(number, Mark(tuple(computed.fields), computed.failures))

    def _write_data(self, number: int, computed: Computed) -> None:
        block = self.blocks[number]
        for name, field in computed.fields.items():
            if name not in self._arrays:
                self._arrays[name], self._kinds[name] = self._create(name, field), field.kind
            self._arrays[name][block] = field.values.reshape(*extent(block), *field.values.shape[1:])

    def _write_mark(self, number: int, mark: Mark) -> None:
        self.marks[number] = mark

    def claim(self, number: int) -> bool:
        """Whether a batch is ours to compute, until `release`; else it is done, or another process is at it."""
        return number not in self.marks

    def release(self, number: int) -> None:
        """Leave a batch, done or not, to others."""

    def close(self) -> None:
        """Let go of what was claimed."""

    def _create(self, name: str, field: Field) -> Any:
        """An array for a result of all points, still without values."""
        return xr.Variable((*self.grid.axes, *field.dims), field.blank(*self.grid.shape), field.attrs)

    def _variables(self) -> Mapping[Any, xr.Variable]:
        """The results by name, with the names of their axes, and perhaps more."""
        return self._arrays

    def _check(self, fields: dict[str, Field]) -> None:
        lengths = {}
        if len(fields) > 1 and len(self.variables) > 1 and set(fields) != set(self.variables):
            raise ValueError(f"every batch must return {', '.join(self.variables)}, got {', '.join(fields)}")
        for name, field in fields.items():
            check_kind(name, self._kinds.get(name, field.kind), field)
            for dim, length in zip(field.dims, field.values.shape[1:], strict=True):
                if dim in self.grid.axes or dim in fields or lengths.setdefault(dim, length) != length:
                    raise ValueError(
                        f"{dim} must name one axis of one length, apart from the grid's axes and the results, got it "
                        f"again in {name}; rename it"
                    )
        if taken := set(fields) & set(self.grid.axes):
            raise ValueError(f"results must have other names than the grid's axes, got {', '.join(taken)}; rename them")

    def failures(self, without: Container[int] = ()) -> list[dict[str, Any]]:
        """Each point that failed, in order, `without` some batches: {"point": coordinates by name, "message": why}."""
        return [
            {"point": self.grid.label(self.blocks[number], at), "message": message}
            for number, mark in sorted(self.marks.items())
            if number not in without
            for at, message in mark.failures
        ]

    def dataset(self) -> xr.Dataset:
        """The labelled result."""
        variables, function = self._variables(), self.identity["function"]
        coordinates = {name: (name, values, self.grid.attrs[name]) for name, values in self.grid.axes.items()}
        attributes = {
            "function": function.get("function", json.dumps(function)),
            "settings": json.dumps(self.identity["fixed"], ensure_ascii=False),
            "versions": json.dumps(self.identity["versions"]),
            "failures": json.dumps(self.failures(), ensure_ascii=False),
        }
        return xr.Dataset({name: variables[name] for name in self.variables}, coordinates, attributes)
