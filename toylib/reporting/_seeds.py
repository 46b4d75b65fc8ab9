"""Labelled results over seeds: their intervals, and where along an axis something first happens."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from toylib.reporting._intervals import Interval, Share, interval_mean, interval_wilson

if TYPE_CHECKING:
    import xarray as xr


class First(NamedTuple):
    """The first value of a setting at which at least half of the seeds do something."""

    value: float
    """infinite where that is never"""
    low: float
    """lower end of the 95 % interval: infinite likewise"""
    high: float
    """upper end"""
    share: Share | None
    """of the seeds, at the value"""

    def __str__(self) -> str:
        """Value, interval and count for print; "never" for infinity."""
        value, low, high = ("never" if np.isinf(v) else f"{v:g}" for v in self[:3])
        count = f" ({self.share.count}/{self.share.total})" if self.share else ""
        return f"{value} [{low}, {high}]{count}"


def seed_intervals(data: "xr.DataArray") -> list[Interval]:
    """Means over seeds with their 95 % intervals, one for each value of the other axis.

    Args:
        data: over the dimension `seed` and at most one more.

    Returns:
        The intervals in the order of the other axis, a list of one where there is none; NaN where every seed is NaN.

    Raises:
        ValueError: no dimension `seed`, more than one other, or what `interval_mean` refuses.
    """
    rows = np.atleast_2d(_seeds_last(data).values)
    nothing = Interval(np.nan, np.nan, np.nan)
    return [nothing if np.isnan(row).all() else interval_mean(row) for row in rows]


def first_where(happened: "xr.DataArray") -> First:
    """The first value of the axis beside the seeds at which something happened in at least half of the seeds.

    Its interval is that of 2,000 draws of whole seeds, 2.5 % of which lie beyond either end; it knows nothing of what
    happens between two values of the axis.

    Args:
        happened: bool, over the dimension `seed` and one more, with coordinates that increase.

    Raises:
        ValueError: no dimension `seed`, none or more than one other, or coordinates that do not increase.
        TypeError: values other than True and False, among which NaN would count as False.
    """
    table = _seeds_last(happened)
    if table.dtype != bool:
        raise TypeError(f"happened must be True or False, got {table.dtype}; compare, as in values > 0.5")
    values = table[table.dims[0]].values
    if table.ndim != 2 or not (np.diff(values) > 0).all():
        raise ValueError(f"the axis beside seed must increase, got {values}; sort by it")
    rows, stops = table.values, np.append(values, np.inf)

    def first(seeds: np.ndarray) -> int:
        return int(np.append(rows[:, seeds].mean(1) >= 0.5, True).argmax())

    n_seeds = rows.shape[1]
    at = first(np.arange(n_seeds))
    drawn = sorted(first(seeds) for seeds in np.random.default_rng(0).integers(n_seeds, size=(2000, n_seeds)))
    low, high = (float(stops[drawn[i]]) for i in (49, 1950))
    return First(float(stops[at]), low, high, interval_wilson(rows[at]) if at < len(rows) else None)


def _seeds_last(data: "xr.DataArray") -> "xr.DataArray":
    others = [dim for dim in data.dims if dim != "seed"]
    if "seed" not in data.dims or len(others) > 1:
        raise ValueError(
            f"data must have the dimension seed and at most one more, got {', '.join(map(str, data.dims))}; select "
            "one value of the others"
        )
    return data.transpose(*others, "seed")
