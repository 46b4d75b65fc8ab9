"""What curves of one run show: regimes of its loss, and how fast modes grow."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit

from toylib._checks import check_real, on_host

GRID = 0.02
"""Spacing of the grid in ln(step) on which a loss is read."""


def loss_slope(losses: ArrayLike, steps: ArrayLike, *, window: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """d ln L / d ln(step) along one run, smoothed by taking each difference over a window of ln(step).

    Args:
        losses: (T,), positive and finite.
        steps: (T,), increasing; a snapshot at step 0 is left out.
        window: width in ln(step) of a difference; 0.2 is a factor 1.22 in steps.

    Returns:
        steps (k,) from twice the first positive snapshot on, 0.02 apart in ln, and the slopes (k,) there. The loss
        between snapshots is interpolated linearly in ln(step) and ln L.

    Raises:
        ValueError: not one loss per snapshot, losses that are not positive, or a run shorter than the window.
    """
    losses, steps = on_host("losses", losses), on_host("steps", steps)
    check_real("window", window, "it is a width in ln(step), such as 0.2", least=2 * GRID, most=2, host=True)
    if losses.ndim != 1 or losses.shape != steps.shape or not (np.diff(steps) > 0).all():
        raise ValueError(
            f"losses must be those of one run at increasing steps, got shapes {losses.shape} and {steps.shape}; pass "
            "run.losses and run.steps of one member"
        )
    if not (np.isfinite(losses) & (losses > 0)).all():
        raise ValueError("losses must be positive and finite, got others; cut a run that diverged where it did")
    losses, steps = losses[steps > 0], steps[steps > 0]
    half = max(round(window / 2 / GRID), 1)
    grid = np.arange(np.log(2 * steps[0]), np.log(steps[-1]) + 1e-9, GRID) if len(steps) else np.zeros(0)
    if len(grid) <= 2 * half:
        raise ValueError(f"a run must last longer than the window of {window}, got {len(grid)} points; train longer")
    values = np.interp(grid, np.log(steps), np.log(losses))
    slopes = (values[2 * half :] - values[: -2 * half]) / (2 * half * GRID)
    return np.exp(grid[half:-half]), slopes


def plateaus(
    losses: ArrayLike, steps: ArrayLike, *, slope: float = 0.1, factor: float = 1.35, window: float = 0.2
) -> np.ndarray:
    """The plateaus of a loss curve: where |d ln L / d ln(step)| stays below `slope` while steps grow by `factor`.

    It looks at the loss alone, so it can agree or disagree with `phases`, which looks at W alone. A run that has
    converged ends on a plateau: what tells of a regime on the way is a plateau before that.

    Args:
        losses, steps: (T,) each, as for `loss_slope`.
        slope: largest absolute slope on a plateau; 0.1 means that doubling the steps changes the loss by 7 %.
        factor: least ratio of the last to the first step of a plateau.
        window: of the smoothing, in ln(step).

    Returns:
        (k, 2): first and last step of each plateau, in the order of time.

    Raises:
        ValueError: as `loss_slope`.
    """
    check_real("slope", slope, "it is a slope of ln L, such as 0.1", above=0, host=True)
    check_real("factor", factor, "it is a ratio of steps, such as 1.35", least=1, host=True)
    at, slopes = loss_slope(losses, steps, window=window)
    flat = np.concatenate([[0], (np.abs(slopes) < slope).astype(int), [0]])
    begins, ends = np.flatnonzero(np.diff(flat) > 0), np.flatnonzero(np.diff(flat) < 0) - 1
    found = np.stack([at[begins], at[ends]], 1)
    return found[found[:, 1] >= factor * found[:, 0]]


def growth_rate(steps: ArrayLike, strengths: ArrayLike, *, low: float = 1e-3, high: float = 0.05) -> np.ndarray:
    """Rate at which each mode grows while it is small: the slope of ln(a/(1 - a)), which theory has as a line.

    Args:
        steps: (T,), increasing.
        strengths: (..., T), of one mode each, as `theory.growth` measures them.
        low, high: the slope is a least-squares fit over the stretch that begins where the strength first exceeds `low`,
            and ends before it exceeds `high` or with the run.

    Returns:
        (...,), per step; NaN for a mode with fewer than three snapshots in the stretch.

    Raises:
        ValueError: lengths that differ, or ends not in 0 < low < high < 1.
    """
    at, a = _curves(steps, strengths)
    for name, end in (("low", low), ("high", high)):
        check_real(name, end, "it is a strength, such as 0.001 or 0.05", above=0, below=1, host=True)
    if not low < high:
        raise ValueError(f"low and high must be in order in (0, 1), got {low} and {high}; try 0.001 and 0.05")
    return np.apply_along_axis(lambda curve: _slope(at, curve, low, high), -1, a)


def _slope(steps: np.ndarray, a: np.ndarray, low: float, high: float) -> float:
    if not (a > low).any():
        return np.nan
    begin = int(np.argmax(a > low))
    late = a[begin:] > high
    end = begin + int(np.argmax(late)) if late.any() else len(a)
    if end - begin < 3:
        return np.nan
    return float(np.polyfit(steps[begin:end], logit(a[begin:end]), 1)[0])


def crossing(steps: ArrayLike, values: ArrayLike, level: ArrayLike) -> np.ndarray:
    """Step at which each curve first reaches a level, interpolated between snapshots.

    Args:
        steps: (T,), increasing.
        values: (..., T); NaN reaches nothing.
        level: a number, or (...,), one for each curve, such as half of its last value.

    Returns:
        (...,), the first step for a curve that begins there; NaN for one that never does.

    Raises:
        ValueError: lengths that differ, steps that do not increase, or levels that are not one for each curve.
    """
    at, y = _curves(steps, values)
    levels = on_host("level", level)
    if levels.shape not in ((), y.shape[:-1]):
        raise ValueError(
            f"level must be a number, or one for each curve, got shape {levels.shape} for {y.shape}; pass a number"
        )
    wanted = np.broadcast_to(levels, y.shape[:-1])[..., None]
    reached = y >= wanted
    first = reached.argmax(-1)[..., None]
    before = np.maximum(first - 1, 0)
    low, high = np.take_along_axis(y, before, -1), np.take_along_axis(y, first, -1)
    rise = np.where(high > low, high - low, 1.0)
    share = np.where(first > 0, np.where(np.isnan(low), 1.0, (wanted - low) / rise), 0.0)
    step = at[before] + share * (at[first] - at[before])
    return np.where(reached.any(-1), step[..., 0], np.nan)


def _curves(steps: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    at, y = on_host("steps", steps), on_host("curves", values)
    if at.ndim != 1 or not at.size or y.shape[-1:] != at.shape:
        raise ValueError(
            f"curves must have as many values as there are steps, got {y.shape} and {at.shape}; take both from a run"
        )
    if not (np.diff(at) > 0).all() or not np.isfinite(at).all():
        raise ValueError(f"steps must be finite and increasing, got {at}; take run.steps")
    return at, y
