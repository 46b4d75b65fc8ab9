"""Intervals for what is reported: a share of cases, a mean over seeds, a statistic of several seeds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Share(NamedTuple):
    """`count` of `total`, with a 95 % Wilson interval for the share behind it."""

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share, count / total; ValueError without a case."""
        if not self.total:
            raise ValueError("a share must have at least one case, got none; count over more runs")
        return self.count / self.total

    def __str__(self) -> str:
        """Counts, share and interval for print."""
        return f"{self.count}/{self.total} = {self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Interval(NamedTuple):
    """A value with a 95 % interval."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Value and interval, each as `spec` says, with two decimals by default: f"{interval:+.3f}"."""
        value, low, high = (format(number, spec or ".2f") for number in self)
        return f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        """Value and interval for print."""
        return f"{self:.2f}"


def interval_wilson(happened: ArrayLike) -> Share:
    """Share of True in `happened`, with its 95 % Wilson interval.

    Args:
        happened: (k,) bool, k at least 1.

    Raises:
        ValueError, TypeError: no case; values other than True and False.

    >>> print(interval_wilson([True, True, True, False]))
    3/4 = 0.75 [0.30, 0.95]
    """
    cases = np.asarray(happened)
    if not cases.size:
        raise ValueError("a share must have at least one case, got none; count over more runs")
    if cases.dtype != bool:
        raise TypeError(f"cases must be True or False, got {cases.dtype}; compare, as in values > 0.5")
    count, total = int(cases.sum()), cases.size
    interval = stats.binomtest(count, total).proportion_ci(method="wilson")
    return Share(count, total, float(interval.low), float(interval.high))


def interval_mean(values: ArrayLike) -> Interval:
    """Mean over seeds with its 95 % interval by Student's t.

    Args:
        values: (k,), one independent seed each, at least 2, finite.

    Raises:
        ValueError: fewer than 2 values, or NaN among them.

    >>> print(interval_mean([0.9, 1.0, 1.1]))
    1.00 [0.75, 1.25]
    """
    seeds = _over_seeds("values", values, 1)
    mean, error = seeds.mean(), stats.sem(seeds)
    half = stats.t.ppf(0.975, len(seeds) - 1) * error
    return Interval(float(mean), float(mean - half), float(mean + half))


def interval_bootstrap(statistic: Callable[..., float], *columns: ArrayLike) -> Interval:
    """A statistic of measurements that share seeds, with a 95 % percentile interval from 2,000 draws of whole seeds.

    Args:
        statistic: arrays like `columns` -> a number.
        columns: (k, ...) each, the seed first, at least 2 seeds; the same draw of seeds is taken from all.

    Raises:
        ValueError: fewer than 2 seeds, columns of different length, or NaN.
    """
    arrays = [_over_seeds("columns", column, None) for column in columns]
    if len({len(array) for array in arrays}) != 1:
        raise ValueError(f"columns must have as many seeds each, got {[len(array) for array in arrays]}; pair them")
    draws = np.random.default_rng(0).integers(len(arrays[0]), size=(2000, len(arrays[0])))
    values = [statistic(*(array[seeds] for array in arrays)) for seeds in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(statistic(*arrays)), float(low), float(high))


def interval_pairs(statistic: Callable[..., float], *tables: ArrayLike) -> Interval:
    """A statistic of what is measured between models, with a 95 % percentile interval from 2,000 draws of whole models.

    Pairs that share a model are not independent, so models are drawn, and the pairs of those drawn follow. A model with
    itself is no pair, also where it is drawn twice; a draw of one model alone, which has none, is left out. Where pairs
    vary but models do not, as for features paired at random, the interval is too wide: it errs on the safe side.

    Args:
        statistic: entries of the pairs, (pairs,) for each table, in one order -> a number.
        tables: (k, k) each, of the same k models in rows and columns, k at least 3; the diagonal is not looked at.

    Raises:
        ValueError: fewer than 3 models, a table that is not square, tables of different size, or NaN off the diagonal.
    """
    squares = [_numbers("tables", table) for table in tables]
    k = len(squares[0]) if squares and squares[0].ndim else 0
    if k < 3 or any(square.shape != (k, k) for square in squares):
        raise ValueError(
            f"tables must be square, of one size from 3 models up, got {[square.shape for square in squares]}; pass "
            "one row and one column per model"
        )
    apart = ~np.eye(k, dtype=bool)
    for square in squares:
        _over_seeds("entries of pairs", square[apart], None)
    draws = np.random.default_rng(0).integers(k, size=(2000, k))
    values = []
    flat = [square.ravel() for square in squares]
    for models in draws:
        rows, columns = models[:, None], models[None]
        if len(pairs := (k * rows + columns)[rows != columns]):
            values.append(statistic(*(square[pairs] for square in flat)))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(statistic(*(square[apart] for square in squares))), float(low), float(high))


def _numbers(name: str, values: ArrayLike) -> np.ndarray:
    """Values in double precision; this room does without JAX, whose traced values NumPy refuses."""
    try:
        array = np.asarray(values)
    except Exception as error:
        raise TypeError(
            f"{name} must be known numbers, got {type(values).__name__}; this function runs on the host, so call it "
            "outside of jax.jit, with columns of one length"
        ) from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, got {array.dtype}; convert them first")
    return array.astype(float)


def _over_seeds(name: str, values: ArrayLike, ndim: int | None) -> np.ndarray:
    array = _numbers(name, values)
    if array.ndim == 0 or len(array) < 2 or (ndim and array.ndim != ndim):
        raise ValueError(f"{name} must have a first axis of 2 seeds or more, got shape {array.shape}; run more")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; leave out what diverged, and say so")
    return array
