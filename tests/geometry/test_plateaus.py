"""Plateaus of loss curves that are made of straight pieces in ln L over ln t."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toylib.geometry import loss_slope, plateaus

STEPS = np.arange(0, 10_001, 20)


def curve(*corners):
    """Return losses at STEPS of a curve that is straight between corners (step, loss) in ln-ln."""
    at, losses = np.array(corners, float).T
    return np.exp(np.interp(np.log(np.maximum(STEPS, 1)), np.log(at), np.log(losses)))


@given(power=st.floats(-3, 3), scale=st.floats(1e-4, 1e3))
def test_the_slope_of_a_power_law_is_its_power(power, scale):
    at, slopes = loss_slope(scale * np.maximum(STEPS, 1.0) ** power, STEPS)
    np.testing.assert_allclose(slopes, power, atol=1e-9)
    np.testing.assert_allclose(np.diff(np.log(at)), 0.02, atol=1e-9)
    assert 40 < at[0] < 50
    assert 8900 < at[-1] < 9200  # half of a window from each end


def test_two_plateaus_and_the_drop_between():
    """Flat from 300 to 1,000 and from 3,000 on; each end is half a window, 0.1 in ln t, inside or less."""
    found = plateaus(curve((1, 1), (100, 1), (300, 0.1), (1000, 0.1), (3000, 0.01), (10_000, 0.01)), STEPS)
    ends = np.log(found / [[40, 100], [300, 1000], [3000, 10_000]])
    assert found.shape == (3, 2)
    assert np.abs(ends).max() < 0.13


def test_a_slow_decay_is_no_plateau_and_a_very_slow_one_is():
    for power, number in ((-0.11, 0), (-0.09, 1), (0.09, 1), (0.11, 0)):
        assert len(plateaus(np.maximum(STEPS, 1.0) ** power, STEPS)) == number


def test_a_plateau_must_last():
    """The window takes 0.2 of the length away where the curve is steep on both sides."""
    for ratio, number in ((1.58, 1), (1.72, 2)):  # 1.35·e^0.2 = 1.65
        begin, end = 500, 500 * ratio
        losses = curve((1, 1), (40, 1), (begin, 0.1), (end, 0.1), (5000, 0.001), (10_000, 0.001))
        assert len(plateaus(losses, STEPS)) == number


def test_units_of_the_loss_do_not_matter():
    losses = curve((1, 1), (100, 1), (300, 0.1), (1000, 0.1), (3000, 0.01), (10_000, 0.01))
    np.testing.assert_allclose(plateaus(1e-3 * losses, STEPS), plateaus(losses, STEPS))


@pytest.mark.parametrize(
    ("losses", "steps", "message"),
    [
        (np.ones(3), [0, 20], "losses must be those of one run at increasing steps, got shapes (3,) and (2,)"),
        (np.ones((2, 2)), np.ones((2, 2)), "losses must be those of one run at increasing steps, got shapes (2, 2)"),
        (np.ones(3), [0, 20, 20], "losses must be those of one run at increasing steps"),
        ([1, 0, 1], [1, 2, 3], "losses must be positive and finite, got others"),
        ([1, np.nan, 1], [1, 2, 3], "losses must be positive and finite, got others"),
        (np.ones(2), [0, 20], "a run must last longer than the window of 0.2, got 0 points; train longer"),
        (np.ones(1), [0], "a run must last longer than the window of 0.2, got 0 points; train longer"),
        (np.ones(2), [1, 2.4], "a run must last longer than the window of 0.2, got 10 points; train longer"),
    ],
)
def test_arguments_are_checked(losses, steps, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        plateaus(losses, steps)
