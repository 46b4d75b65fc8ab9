"""Intervals against textbook formulas, published values and another library's bootstrap."""

from math import sqrt
from statistics import NormalDist, mean, stdev

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from toylib.reporting import Interval, Share, interval_bootstrap, interval_mean, interval_pairs, interval_wilson


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
    with pytest.raises(TypeError, match=r"must be real numbers, got complex128; convert them first"):
        function([1.0, 2j])


def test_bootstrap_needs_as_many_seeds_in_each_column():
    with pytest.raises(ValueError, match=r"columns must have as many seeds each, got \[2, 3\]; pair them"):
        interval_bootstrap(lambda x, y: 0.0, [1.0, 2.0], [1.0, 2.0, 3.0])


def test_pairs_are_resampled_by_model():
    """T_ij = 2a_i + b_j has the mean 2ā + b̄, whose standard error is that of 2a_i + b_i over models, not over pairs."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=40), rng.normal(size=40) + 1
    table = 2 * a[:, None] + b[None]
    np.fill_diagonal(table, np.nan)
    found = interval_pairs(np.mean, table)
    assert found.value == pytest.approx((2 * a + b).mean())
    half = 1.96 * np.std(2 * a + b) / np.sqrt(40)
    assert found.high - found.value == pytest.approx(half, rel=0.12)
    assert found.value - found.low == pytest.approx(half, rel=0.12)


def test_pairs_of_several_tables_stay_together():
    rng = np.random.default_rng(5)
    first = rng.normal(size=(8, 8))
    second = 3 - 2 * first
    found = interval_pairs(lambda x, y: np.abs(y + 2 * x - 3).max(), first, second)
    assert found == pytest.approx((0, 0, 0), abs=1e-12)
    slope = interval_pairs(lambda x, y: np.polyfit(x, y, 1)[0], first, second)
    assert slope == pytest.approx((-2, -2, -2))
    assert interval_pairs(np.mean, first) == interval_pairs(np.mean, first)


def test_a_model_drawn_twice_is_no_pair_with_itself():
    table = np.where(np.eye(5, dtype=bool), 1e9, 1.0)
    assert interval_pairs(np.max, table) == (1, 1, 1)


@pytest.mark.parametrize(
    "tables", [[np.ones((2, 2))], [np.ones((3, 4))], [np.ones((3, 3)), np.ones((4, 4))], [1.0], []]
)
def test_pairs_need_square_tables(tables):
    with pytest.raises(ValueError, match=r"^tables must be square, of one size from 3 models up, got "):
        interval_pairs(lambda *columns: 0.0, *tables)


def test_pairs_must_be_finite():
    with pytest.raises(ValueError, match="entries of pairs must be finite, got NaN or infinity"):
        interval_pairs(np.mean, np.where(np.eye(4, k=1, dtype=bool), np.nan, 1.0))
