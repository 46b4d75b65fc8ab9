"""Grids: named axes, their points in row-major order, and blocks of points that are products themselves.

Batches of a sweep are blocks of one shape, (1, ..., 1, k, all, ..., all): a run of consecutive points and at the same
time a product of axis values, so that a function may hand its points to `train_ensemble` as a product, and a batch is
one chunk of an array on disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from toylib.sweeps._batches import check_names

Block = tuple[slice, ...]


@dataclass(frozen=True)
class Grid:
    """Named axes and the attributes of each, such as {"units": "degrees"}; see `Grid.of`."""

    axes: dict[str, np.ndarray]
    attrs: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, grid: Mapping[str, Any]) -> "Grid":
        """Check and copy axes given as name -> values, or name -> (values, attributes).

        Raises:
            TypeError: not a mapping with names for keys; values that are neither numbers nor strings, or a mixture.
            ValueError: no axis; one that has no name for a folder, is empty, not one-dimensional, not finite, or has a
                value twice; 2^63 points or more.
        """
        if not isinstance(grid, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in grid):
            raise TypeError(f"grid must be a dict of names and values, got {grid!r}; try dict(seed=range(8))")
        if not grid:
            raise ValueError("grid must have at least one axis, got none; try dict(seed=range(8))")
        check_names("the name of an axis", grid)
        axes, attrs = {}, {}
        for name, values in grid.items():
            with_attrs = isinstance(values, tuple) and len(values) == 2 and isinstance(values[1], Mapping)
            values, attrs[name] = (values[0], dict(values[1])) if with_attrs else (values, {})
            axes[name] = _axis(name, values)
        if (size := prod(map(len, axes.values()))) >= 2**63:
            raise ValueError(f"grid must have fewer than 2**63 points, got {size:,}; take fewer values on an axis")
        return cls(axes, attrs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def size(self) -> int:
        """Number of points."""
        return prod(self.shape)

    def block(self, limit: int, *, even: bool = False) -> tuple[int, ...]:
        """Shape of the largest block of at most `limit` points; with `even`, one that divides its axis if not small."""
        shape, rest = (), max(int(limit), 1)
        for length in reversed(self.shape):
            k = min(length, rest)
            if even and k < length:
                k = next((divisor for divisor in range(k, k // 2, -1) if length % divisor == 0), k)
            shape = (k, *shape)
            rest //= k  # 1 from the first axis that is cut on
        return shape

    def blocks(self, shape: tuple[int, ...]) -> "Blocks":
        """The blocks that tile the grid in row-major order; the last along an axis may be shorter."""
        return Blocks(self.shape, shape)

    def columns(self, block: Block) -> dict[str, np.ndarray]:
        """The points of a block in row-major order: name -> (points,)."""
        parts = [values[part] for values, part in zip(self.axes.values(), block, strict=True)]
        return {name: mesh.ravel() for name, mesh in zip(self.axes, np.meshgrid(*parts, indexing="ij"), strict=True)}

    def label(self, block: Block, point: int) -> dict[str, Any]:
        """Coordinates of one point of a block, as Python numbers and strings."""
        return {name: column[point].item() for name, column in self.columns(block).items()}


class Blocks(Sequence[Block]):
    """Blocks of a shape that tile a grid, each made when it is asked for: a short text may declare any number."""

    def __init__(self, lengths: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """Begin with the lengths of the grid's axes and the shape of a block."""
        self._lengths, self._shape = lengths, shape
        self._counts = [len(range(0, length, k)) for length, k in zip(lengths, shape, strict=True)]

    def __len__(self) -> int:
        """Number of blocks."""
        return prod(self._counts)

    def __getitem__(self, number: Any) -> Any:
        """The block of a number."""
        number, parts = range(len(self))[number], ()
        for length, k, count in zip(*map(reversed, (self._lengths, self._shape, self._counts)), strict=True):
            number, at = divmod(number, count)
            parts = (slice(at * k, min(at * k + k, length)), *parts)
        return parts


def extent(block: Block) -> tuple[int, ...]:
    """Number of values of each axis in a block."""
    return tuple(part.stop - part.start for part in block)


def _axis(name: str, values: Any) -> np.ndarray:
    try:
        array = np.array(values)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.kind not in "biufU":
        raise TypeError(
            f"the values of {name} must be numbers or strings, got {values!r:.200}; pass seeds for keys and names for "
            "functions, and look them up inside the function"
        )
    if array.ndim != 1 or not array.size:
        raise ValueError(f"the values of {name} must be a sequence, got shape {array.shape}; pass a list")
    kinds = {*map(type, values)}
    if len({(issubclass(kind, str), issubclass(kind, bool | np.bool)) for kind in kinds}) > 1:
        raise TypeError(
            f"the values of {name} must be all numbers, all strings or all True and False, got {values!r:.200}, which "
            f"would become {array.tolist()!r:.200}; give names or numbers to all, and look them up inside the function"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"the values of {name} must be finite, got {values}; remove NaN and infinity")
    if len(np.unique(array)) < len(array):
        raise ValueError(f"the values of {name} must differ from each other, got {values}; remove the repeats")
    return array


def product(**columns: np.ndarray) -> dict[str, np.ndarray]:
    """The axes whose product the points of a batch are: name -> its values in order, each once.

    Args:
        columns: (points,) each, the arguments that `sweeps.run` hands to a function, in the order of the grid's axes.

    Raises:
        ValueError: the points are not a full product in row-major order.
    """
    firsts = {name: np.sort(np.unique(column, return_index=True)[1]) for name, column in columns.items()}
    axes = {name: np.asarray(columns[name])[first] for name, first in firsts.items()}
    for name, mesh in zip(axes, np.meshgrid(*axes.values(), indexing="ij"), strict=True):
        if not np.array_equal(columns[name], mesh.ravel()):
            raise ValueError(
                f"the points must be the product of {', '.join(columns)} in row-major order, got other values of "
                f"{name}; name all axes of the grid, in the grid's order"
            )
    return axes
