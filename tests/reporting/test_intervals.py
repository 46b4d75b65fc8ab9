"""Intervals against textbook formulas, published values and another library's bootstrap."""

from math import sqrt
from statistics import NormalDist, mean, stdev

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from toylib.reporting import Interval, Share, interval_bootstrap, interval_mean, interval_wilson


@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (8, 10), (0, 7), (7, 7), (50, 100), (1, 1000)])
def test_wilson_against_its_formula(count, total):
    z = NormalDist().inv_cdf(0.975)
    centre = (count + z**2 / 2) / (total + z**2)
    half = z * sqrt(count * (total - count) / total + z**2 / 4) / (total + z**2)
    share = interval_wilson([True] * count + [False] * (total - count))
    assert (share.count, share.total) == (count, total)
    assert share.value == count / total
    assert share.low == pytest.approx(centre - half, abs=1e-9)
    assert share.high == pytest.approx(centre + half, abs=1e-9)
    assert 0 <= share.low <= share.value <= share.high <= 1


@pytest.mark.parametrize(
    ("count", "low", "high"), [(8, 0.4902, 0.9433), (0, 0, 0.2775), (10, 0.7225, 1), (5, 0.2366, 0.7634)]
)
def test_wilson_gives_the_published_intervals_for_ten(count, low, high):
    share = interval_wilson(np.arange(10) < count)
    assert share[2:] == pytest.approx((low, high), abs=5e-5)


def test_wilson_takes_truth_values_of_any_kind_and_prints():
    share = interval_wilson(jnp.asarray([1, 0, 1, 1, 1, 1, 1, 1, 1, 0]) > 0)
    assert isinstance(share, Share)
    assert [type(value) for value in share] == [int, int, float, float]
    assert str(share) == "8/10 = 0.80 [0.49, 0.94]"
    assert f"{interval_wilson([False])}" == "0/1 = 0.00 [0.00, 0.79]"


def test_wilson_needs_a_case():
    with pytest.raises(ValueError, match="a share must have at least one case, got none; count over more runs"):
        interval_wilson([])


@pytest.mark.parametrize(("values", "dtype"), [([np.nan, 1.0], "float64"), ([0, 1, 1], "int64"), (["True"], "<U4")])
def test_numbers_are_no_truth_values(values, dtype):
    with pytest.raises(TypeError) as caught:
        interval_wilson(values)
    assert str(caught.value) == f"cases must be True or False, got {dtype}; compare, as in values > 0.5"


def test_an_interval_is_written_as_its_format_says():
    interval = Interval(0.1694, 0.0121, 0.3261)
    assert f"{interval}" == "0.17 [0.01, 0.33]"
    assert f"{interval:+.3f}" == "+0.169 [+0.012, +0.326]"
    assert f"{interval:.1%}" == "16.9% [1.2%, 32.6%]"


@pytest.mark.parametrize(("values", "quantile"), [([1.0, 3.0], 12.7062), ([2.0, 2.5, 4.0, 1.0, 0.0], 2.7764)])
def test_mean_interval_with_tabulated_quantiles_of_t(values, quantile):
    half = quantile * stdev(values) / sqrt(len(values))
    assert interval_mean(values) == pytest.approx((mean(values), mean(values) - half, mean(values) + half), abs=2e-4)
    assert str(Interval(1.234, 0.5, 2.0)) == "1.23 [0.50, 2.00]"


def test_bootstrap_of_a_correlation_draws_whole_seeds():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 5))
    y = x + rng.normal(size=(12, 5)) + rng.normal(size=(12, 1))

    def correlation(x, y):
        return np.corrcoef(x.ravel(), y.ravel())[0, 1]

    found = interval_bootstrap(correlation, x, y)
    other = stats.bootstrap(
        (np.arange(12),),
        lambda seeds: correlation(x[seeds], y[seeds]),
        method="percentile",
        vectorized=False,
        random_state=3,
    ).confidence_interval
    assert found.value == pytest.approx(correlation(x, y))
    assert found[1:] == pytest.approx((other.low, other.high), abs=0.02)
    one_draw = interval_bootstrap(correlation, np.tile(x[:1], (5, 1)), np.tile(y[:1], (5, 1)))
    assert one_draw.low == pytest.approx(one_draw.high)


@pytest.mark.parametrize("function", [interval_mean, lambda values: interval_bootstrap(np.mean, values)])
def test_intervals_need_two_finite_seeds(function):
    with pytest.raises(ValueError, match=r"must have a first axis of 2 seeds or more, got shape \(1,\); run more"):
        function([1.0])
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity; leave out what diverged, and say so"):
        function([1.0, np.nan])


def test_bootstrap_needs_as_many_seeds_in_each_column():
    with pytest.raises(ValueError, match=r"columns must have as many seeds each, got \[2, 3\]; pair them"):
        interval_bootstrap(lambda x, y: 0.0, [1.0, 2.0], [1.0, 2.0, 3.0])
