"""The stored results of notebook 3: same samples, bounds above attacks, non-empty inputs apart, weights, thresholds."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from results import adversarial_attacks as full

from toylib.model import Params

FOUND = full.MEASURED[:-2]
SLACK = 1 + 1e-5


@pytest.fixture(scope="module")
def stored():
    with xr.open_dataset(Path(full.__file__).with_suffix(".nc"), engine="scipy") as data:
        return data.load()


@pytest.mark.parametrize("prefix", ["", "small_"])
@pytest.mark.parametrize("group", ["empty", "nonempty"])
def test_bounds_lie_above_every_attack_in_means_of_the_same_samples(stored, prefix, group):
    lower, upper = (stored[f"{prefix}{name}_{group}"] for name in ("lower", "upper"))
    assert (lower <= upper * SLACK + 1e-4).all()
    for name in FOUND:
        assert (stored[f"{prefix}{name}_{group}"] <= lower * SLACK + 1e-4).all(), name


def test_bounds_lie_above_the_attack_sample_by_sample_while_the_octahedron_forms(stored):
    attack, lower, upper = (stored.octahedron_samples.sel(attack=name) for name in ("one feature", "lower", "upper"))
    assert (lower <= upper).all()
    assert (attack <= upper + 1e-3 * np.abs(upper) + 1e-3).all()


def test_v_and_worst_case_of_the_octahedron_are_of_the_same_samples(stored):
    first = np.array([1] + [full.IN_GROUP] * 2).cumsum()[:-1]
    headline = {"bias": "as trained", "norm": "0.1, all"}
    for k, group in enumerate(full.GROUPS):
        of = stored.octahedron_samples.isel(sample=slice(*np.hstack([0, first, None])[k : k + 2])).mean("sample")
        V = stored.octahedron_V.sel(run=0, group=group, **headline)
        np.testing.assert_allclose(V, of.sel(attack="one feature"), atol=0.02, rtol=1e-3)
        for bound in ("lower", "upper"):
            worst = stored.octahedron_worst.sel(run=0, group=group, bound=bound)
            np.testing.assert_allclose(worst, of.sel(attack=bound), atol=0.02, rtol=1e-3)
    assert sum(full.GROUP_WEIGHTS) == pytest.approx(1)


def test_zero_gradients_are_of_the_same_samples_at_every_norm(stored):
    """The gradient does not know the norm: only what it hides may change."""
    kinds = [stored[f"silent_{kind}_nonempty"] for kind in ("certified", "masked", "unresolved")]
    total = sum(kinds)
    assert (total == total.isel(fraction=0)).all()
    assert ((total >= 0) & (total <= full.AUDITED)).all()
    assert (kinds[0].diff("fraction") <= 0).all()  # what a small push cannot reach is not safe from a larger one


def test_every_share_and_gain_stands_for_empty_and_for_other_inputs(stored):
    for prefix in ("", "small_"):
        names = {name.removeprefix(prefix) for name in stored.data_vars if name.startswith(prefix)}
        for name in full.MEASURED:
            assert {f"{name}_empty", f"{name}_nonempty"} <= names
    assert {"V_dataset_empty", "active_empty", "silent_certified_empty", "octahedron_V"} <= {*stored.data_vars}
    drawn = full.audited_samples(0, 100.0, number=7, key=full.keys()["large"])
    assert not drawn[0].any()
    assert drawn[1:].any(1).all()
    assert len(drawn) == 1 + 7


def test_measures_of_the_stored_weights_are_the_stored_ones(stored):
    """The weights are kept as 16-bit numbers; what is printed, two decimals, does not change."""
    key = full.keys()["large"]
    seed, r = 5, 14.0
    model = stored.sel(seed=seed, inverse_density=r)
    params = Params(*(jnp.asarray(model[name].transpose(..., "feature").values, jnp.float32) for name in "Wb"))
    radius = float(full.HEADLINE * full.LARGE.mean_norm(1 - 1 / r))
    again = full.law_of(params, *full.drawn_samples(seed, r, key=key), radius)
    for name in ("V", "mean", "second", "linear", "active"):
        assert again[name] == pytest.approx(float(model[f"law_{name}"]), abs=0.005), name
    assert again["V"] == pytest.approx(float(model.V_dataset), abs=0.005)


def test_v_is_the_law_at_the_feature_and_what_it_leaves_out(stored):
    for prefix in ("law", "setting"):
        parts = (stored[f"{prefix}_{name}"] for name in ("second", "linear", "switched"))
        np.testing.assert_allclose(sum(parts), stored[f"{prefix}_V"], atol=1e-3)


def test_the_threshold_of_what_is_represented_stands_in_a_gap(stored):
    """From 1/p = 1.5 on; in dense data all lengths are alike, and no number of features is quoted."""
    lengths = np.sqrt(np.square(stored.W).sum("hidden"))
    within = (lengths > 0.35) & (lengths < 0.65)
    assert within.sel(inverse_density=slice(1.5, None)).mean(("seed", "feature")).max() < 0.002
    assert within.sel(inverse_density=1).mean() > 0.5
    counted = (lengths > 0.5).sum("feature")
    assert (np.abs(counted - stored.represented) <= 1).all()


def test_the_seeds_and_runs_are_as_many_as_intervals_need(stored):
    assert stored.sizes["seed"] == 8
    assert stored.sizes["run"] == 16
    assert Path(full.__file__).with_suffix(".nc").stat().st_size < 1.5e6
