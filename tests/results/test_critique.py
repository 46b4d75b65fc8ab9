"""The stored results of the critique: gains again by NumPy, closed forms without superposition, matched controls."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from results import critique as full

from toylib.model import Params


@pytest.fixture(scope="module")
def stored():
    with xr.open_dataset(full.PATH, engine="scipy") as data:
        return data.load()


@pytest.fixture(scope="module")
def test():
    """What the equal models of seed 0 at 1/p = 6 are tested on, as NumPy arrays."""
    key = jax.random.fold_in(jax.random.key(full.KEY), 0)
    return full.Test(*(np.asarray(part, float) for part in full.test_of("equal", 0, 6.0, key=key)))


def errors(x, delta, W, b, target):
    """Squared errors by sample, in NumPy alone."""
    if target == "kept positive":
        delta = np.where(x + delta < 0, -x, delta)
    moved = x + delta
    return np.square(np.clip(moved @ W.T @ W + b, 0, None) - (x if target == "fixed" else moved)).sum(1)


def test_the_file_says_how_it_was_made(stored):
    models = [len(full.PROFILES), full.SEEDS, len(full.INVERSE_DENSITIES)]
    assert [stored.sizes[name] for name in full.GRID] == models
    assert models[1] * models[2] >= 24
    assert not set(full.AGAIN) & set(range(full.SEEDS))
    assert dict(stored.again_V.sizes) == {"again": len(full.AGAIN), "inverse_density": models[2], "mixed": 3}
    assert f"key {full.KEY}" in stored.attrs["setting"]
    assert stored.attrs["command"] == "make results"
    assert Path(full.PATH).stat().st_size <= 250 * 1024
    assert all(np.isfinite(stored[name]).all() for name in stored.data_vars)


def test_gains_of_a_stored_model_come_out_again(stored, test):
    model = stored.sel(profile="equal", kept_inverse_density=6.0)
    W, b = (model[name].values.astype(float) for name in "Wb")
    gram = W.T @ W
    columns = test.radius * gram / np.sqrt(np.square(gram).sum(1))[:, None]
    chosen = [errors(test.chosen_on, column, W, b, "fixed").mean() for column in columns]
    delta = columns[np.argmax(chosen)]
    found = stored.sel(profile="equal", seed=0, inverse_density=6.0, kind="trained", weighting="equal")
    for target in full.TARGETS:
        gain = errors(test.measured_on, delta, W, b, target) - errors(test.measured_on, 0 * delta, W, b, target)
        again = gain.mean() / test.radius**2
        assert again == pytest.approx(float(found.gain.sel(reading=f"one feature, {target}")), abs=0.01), target
    assert float(found.F) == pytest.approx(np.square(W).sum() / full.N_HIDDEN, rel=1e-3)
    assert float(found.spectral) == pytest.approx(np.linalg.svd(W)[1][0] ** 2, rel=1e-3)


def test_a_model_without_superposition_has_the_gains_of_its_closed_forms(stored, test):
    """Fixed: radius². Moved along what it keeps: 0. Whoever knows better adds to a mistake in what it drops."""
    none = stored.sel(kind="no superposition")
    np.testing.assert_allclose(none.gain.sel(reading="one feature, fixed"), 1, atol=1e-3)
    np.testing.assert_allclose(none.gain.sel(reading="search, fixed"), 1, atol=2e-3)
    np.testing.assert_allclose(none.gain.sel(reading="one feature, moved"), 0, atol=1e-3)
    np.testing.assert_allclose(none.gain.sel(reading="one feature, kept positive"), 0, atol=1e-3)
    dropped = test.measured_on[: full.EACH, full.N_HIDDEN :]
    mistake = np.sqrt(np.square(dropped - 1 / 12).sum(1)).mean()  # p/2 = 1/12
    searched = stored.more.sel(profile="equal", seed=0, inverse_density=6, model="no superposition", weighting="equal")
    assert float(searched.sel(further="search, moved")) == pytest.approx(1 + 2 * mistake / test.radius, rel=1e-3)


def test_controls_have_what_they_must_have_in_common(stored):
    trained = stored.sel(kind="trained")
    for kind in full.KINDS[1:-1]:
        control = stored.sel(kind=kind)
        np.testing.assert_allclose(control.F, trained.F, rtol=1e-4)
        if "frame" in kind:
            np.testing.assert_allclose(control.spectral, trained.F, rtol=1e-4)
        elif "random" not in kind:
            np.testing.assert_allclose(control.spectral, trained.spectral, rtol=1e-4)
        if "permuted" in kind or kind in ("best bias", "same data"):
            np.testing.assert_allclose(control.interference, trained.interference, rtol=1e-3)
            np.testing.assert_allclose(control.dimensionality, trained.dimensionality, rtol=1e-3)
    at = stored.sel(inverse_density=full.SHARED_INVERSE_DENSITY)
    np.testing.assert_array_equal(at.gain.sel(kind="same data"), at.gain.sel(kind="best bias"))
    equal = stored.sel(profile="equal")
    np.testing.assert_array_equal(equal.gain.sel(weighting="equal"), equal.gain.sel(weighting="importance"))
    assert (trained.gain.sel(profile="decaying").std("weighting") > 0.1).any()


def test_ascent_is_no_weaker_than_the_step_it_starts_from(stored):
    searched = {target: stored.more.sel(further=f"search, {target}") for target in full.TARGETS[1:]}
    searched["fixed"] = stored.gain.sel(reading="search, fixed", kind=["trained", "no superposition"]).rename(
        kind="model"
    )
    for target, search in searched.items():
        assert (search - stored.more.sel(further=f"step, {target}")).min() > -1e-4, target


def test_the_best_bias_is_best():
    rng = np.random.default_rng(0)
    X, W = rng.random((200, 3)) * (rng.random((200, 3)) < 0.4), np.array([[1.0, -0.9, 0], [0.3, 0.2, 0]])
    found = np.asarray(full.best_bias(jnp.asarray(W, jnp.float32), jnp.asarray(X, jnp.float32)))
    assert found[2] == pytest.approx(X[:, 2].mean(), abs=1e-3)  # of a feature that is not represented, its mean
    best = errors(X, 0, W, found, "fixed").mean()
    for j, step in ((0, 0.01), (0, -0.01), (1, 0.01), (1, -0.01)):
        assert errors(X, 0, W, found + step * np.eye(3)[j], "fixed").mean() > best


def test_ascent_finds_the_worst_of_a_circle():
    """In two dimensions all that an attack can do for the fixed target lies on a circle, or inside of it."""
    rng = np.random.default_rng(1)
    W, b, x, weights = rng.normal(size=(2, 5)), rng.normal(size=5) / 5, rng.random(5), np.array([1, 0.5, 2, 0.1, 1])
    rows, radius = np.linalg.svd(W)[2][:2], 0.4
    angles = np.linspace(0, 2 * np.pi, 2001)
    deltas = radius * (np.cos(angles)[:, None] * rows[0] + np.sin(angles)[:, None] * rows[1])
    worst = (np.square(np.clip((x + deltas) @ W.T @ W + b, 0, None) - x) @ weights).max()
    arrays = [jnp.asarray(value, jnp.float32) for value in (W, b, x, radius, weights)]
    ascent = jax.jit(full.climb, static_argnames="target")
    step, found = ascent(Params(*arrays[:2]), *arrays[2:], target="fixed")
    assert float(step) <= float(found) <= worst * 1.001
    assert float(found) >= 0.98 * worst


def test_explained_shares_are_those_of_least_squares():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(5, 4)) + np.arange(5)[:, None]
    y = 2 * x + rng.normal(size=x.shape) + np.array([0, 3, -3, 1, 0])[:, None]
    design = np.c_[x.ravel(), np.ones(20)]
    left = np.linalg.lstsq(design, y.ravel(), rcond=None)[1][0]
    assert full.explained(x, y) == pytest.approx(1 - left / np.square(y - y.mean()).sum())
    assert full.explained_within(x, y + 100 * np.arange(5)[:, None]) == pytest.approx(full.explained_within(x, y))
    assert full.explained_within(x, 3 * x + np.arange(5)[:, None]) == pytest.approx(1)
    assert full.explained_left_out(x, 3 * x + 1) == pytest.approx(1)
    assert (
        full.explained_left_out(np.arange(4)[:, None] * np.ones(3), np.array([0.0, 1, 0, 1])[:, None] * np.ones(3)) < 0
    )
