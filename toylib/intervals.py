"""Intervals for what is reported: a share of cases, a mean over seeds, a statistic of several seeds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from scipy import stats


class Share(NamedTuple):
    """`count` of `total`, with a 95 % Wilson interval for the share behind it."""

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share, count / total."""
        return self.count / self.total

    def __str__(self) -> str:
        """Counts, share and interval for print."""
        return f"{self.count}/{self.total} = {self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Interval(NamedTuple):
    """A value with a 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Value and interval for print."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def wilson(happened: ArrayLike) -> Share:
    """Share of True in `happened` (k,), with its 95 % Wilson interval; ValueError where k = 0."""
    happened = np.asarray(happened, bool)
    if not happened.size:
        raise ValueError("a share needs at least one case, got none; count over more runs")
    count, total = int(happened.sum()), happened.size
    interval = stats.binomtest(count, total).proportion_ci(method="wilson")
    return Share(count, total, float(interval.low), float(interval.high))


def mean_interval(values: ArrayLike) -> Interval:
    """Mean over seeds with its 95 % interval by Student's t.

    Args:
        values: (k,), one independent seed each, at least 2, finite.

    Raises:
        ValueError: fewer than 2 values, or NaN among them.
    """
    values = _over_seeds("values", values, 1)
    mean, error = values.mean(), stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * error
    return Interval(float(mean), float(mean - half), float(mean + half))


def bootstrap(statistic: Callable[..., float], *columns: ArrayLike) -> Interval:
    """A statistic of measurements that share seeds, with a 95 % percentile interval from 2,000 draws of whole seeds.

    Args:
        statistic: arrays like `columns` -> a number.
        columns: (k, ...) each, the seed first, at least 2 seeds; the same draw of seeds is taken from all.

    Raises:
        ValueError: fewer than 2 seeds, columns of different length, or NaN.
    """
    columns = [_over_seeds("columns", column, None) for column in columns]
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"columns must have as many seeds each, got {[len(column) for column in columns]}; pair them")
    draws = np.random.default_rng(0).integers(len(columns[0]), size=(2000, len(columns[0])))
    values = [statistic(*(column[seeds] for column in columns)) for seeds in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(statistic(*columns)), float(low), float(high))


def _over_seeds(name: str, values: ArrayLike, ndim: int | None) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim == 0 or len(values) < 2 or (ndim and values.ndim != ndim):
        raise ValueError(f"{name} must have a first axis of 2 seeds or more, got shape {values.shape}; run more")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; leave out what diverged, and say so")
    return values
