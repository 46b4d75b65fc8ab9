"""Labelled results over seeds."""

from itertools import product

import numpy as np
import pytest
import xarray as xr

from toylib.reporting import Interval, first_where, interval_mean, seed_intervals

VALUES = np.random.default_rng(0).normal(size=(3, 5)) + np.arange(3)[:, None]
DATA = xr.DataArray(VALUES, {"norm": [0.0, 0.5, 2.0]}, ("norm", "seed"))


@pytest.mark.parametrize("data", [DATA, DATA.transpose("seed", "norm")], ids=["seed last", "seed first"])
def test_an_interval_for_each_value_of_the_other_axis(data):
    assert seed_intervals(data) == [interval_mean(row) for row in VALUES]
    assert seed_intervals(data.sel(norm=0.5)) == [interval_mean(VALUES[1])]


def test_where_no_seed_has_a_value_there_is_no_interval():
    first, *rest = seed_intervals(DATA.where(DATA.norm > 0))
    assert isinstance(first, Interval)
    assert np.isnan(first).all()
    assert rest == seed_intervals(DATA)[1:]
    with pytest.raises(ValueError, match="values must be finite"):
        seed_intervals(DATA.where((DATA.norm > 0) | (DATA.seed > 0)))


@pytest.mark.parametrize(
    ("data", "came"), [(DATA.expand_dims("S"), "S, norm, seed"), (DATA.rename(seed="run"), "norm, run")]
)
def test_other_axes_are_named(data, came):
    rule = "data must have the dimension seed and at most one more"
    with pytest.raises(ValueError, match=f"^{rule}, got {came}; select one value of the others$"):
        seed_intervals(data)


def happened(*rows):
    return xr.DataArray(np.array(rows, bool), {"norm": [0.1, 0.2, 0.8][: len(rows)]}, ("norm", "seed"))


def test_the_first_value_at_which_half_of_the_seeds_do_it():
    first = first_where(happened([0, 0, 0, 1], [1, 0, 1, 0], [1, 1, 1, 1]))
    assert first.value == 0.2
    assert (first.share.count, first.share.total) == (2, 4)
    assert str(first) == "0.2 [0.1, 0.8] (2/4)"
    assert str(first_where(happened([1, 1, 1, 1]).transpose("seed", "norm"))) == "0.1 [0.1, 0.1] (4/4)"


def test_the_interval_is_that_of_all_draws_of_seeds():
    """Against every one of the 3^3 draws of three seeds, whose first values are weighed one by one."""
    rows = np.array([[0, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
    first = first_where(happened(*rows))
    draws = [rows[:, seeds].mean(1) >= 0.5 for seeds in product(range(3), repeat=3)]
    values = sorted([0.1, 0.2, 0.8, np.inf][int(np.append(draw, True).argmax())] for draw in draws)
    # 7 of 27 draws take the third seed twice or more (0.1); 1 takes the first thrice, 6 twice (never).
    assert values.count(0.1) == values.count(np.inf) == 7
    assert (first.value, first.low, first.high) == (0.2, 0.1, np.inf)
    assert str(first) == "0.2 [0.1, never] (2/3)"


def test_an_end_of_the_interval_has_one_draw_in_forty_beyond_it():
    """Five of nine draws, each of 2 in 9, come with P = 0.030: more than 0.025, less than 0.05."""
    first = first_where(happened([1] * 2 + [0] * 7, [1] * 7 + [0] * 2, [1] * 9))
    assert (first.value, first.low, first.high) == (0.2, 0.1, 0.8)


def test_never():
    first = first_where(happened([0, 0, 0], [0, 0, 0]))
    assert first == (np.inf, np.inf, np.inf, None)
    assert str(first) == "never [never, never]"


def test_an_axis_that_does_not_increase_is_refused():
    with pytest.raises(ValueError, match=r"the axis beside seed must increase, got \[0.2 0.1\]; sort by it"):
        first_where(happened([1, 0], [0, 0]).assign_coords(norm=[0.2, 0.1]))
    with pytest.raises(ValueError, match="the axis beside seed must increase"):
        first_where(happened([1, 0]).isel(norm=0))


def test_values_that_are_not_true_or_false_are_refused():
    """NaN among them would count as False."""
    shares = happened([0, 0], [1, 1]).astype(float).where(lambda data: data.norm > 0.1)
    message = "happened must be True or False, got float64; compare, as in values > 0.5"
    with pytest.raises(TypeError, match=f"^{message}$"):
        first_where(shares)
