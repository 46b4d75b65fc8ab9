"""The stored models of notebook 6 that are read: what is stored follows from the stored weights and from training."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from results import readable

from toylib.model import Params, loss
from toylib.robustness import given_up, superposition


@cache
def stored() -> xr.Dataset:
    return xr.open_dataset(readable.PATH, engine="scipy").load()


def model(name: str) -> Params:
    """Of the first seed at p = 0.1."""
    at = stored().sel(model=name)
    n_hidden = int(at.setting) if at.family == "other dimensions" else readable.N_HIDDEN
    return Params(jnp.asarray(at.W.values[:n_hidden], jnp.float32), jnp.asarray(at.b.values, jnp.float32))


def test_the_rounded_weights_represent_what_is_stored():
    data = stored().isel(seed=0, density=0)
    found = jax.jit(jax.vmap(superposition))(jnp.asarray(data.W.values, jnp.float32))
    alive = ~given_up(data.saving.values)
    np.testing.assert_allclose(found.effective[alive], data.effective.values[alive], rtol=2e-3)
    assert (found.kept == data.kept.values)[alive].mean() > 0.98


def test_a_clean_model_of_few_features_comes_out_again():
    key = readable.FIXED["key"]
    run = readable.trained(0, 0.1, n_features=4, key=key, n_steps=4000, batch_size=256, snapshots=[4000])
    again, there = np.asarray(run.params.W), np.asarray(model("fewer features: 4").W)
    np.testing.assert_allclose(again.T @ again, there[:, :4].T @ there[:, :4], atol=0.02)
    assert (there[:, 4:] == 0).all()


def test_losses_are_those_of_the_stored_weights():
    names = ["fewer features: 8", "16 features, shrunk: 0.8", "one step: 0.3"]
    x = readable.samples(0, 0.1, jax.random.key(readable.TEST_KEY))["tested"]
    for name in names:
        there = stored().sel(density=0.1, seed=0, model=name)
        assert float(loss(model(name), x)) == pytest.approx(float(there.clean_loss), rel=2e-3)


def test_a_shrunk_model_is_read_like_the_one_it_comes_from():
    """A probe does not see the length of W: a difference would be rounding."""
    data = stored().set_index(model="model")
    for k in readable.FROM:
        whole = data.sel(model=f"fewer features: {k}")
        for s in readable.SHRUNK:
            shrunk = data.sel(model=f"{k} features, shrunk: {s:g}")
            np.testing.assert_allclose(shrunk.auc, whole.auc, atol=2e-3)
            np.testing.assert_allclose(shrunk.monosemanticity, whole.monosemanticity, atol=0.03)


def test_no_attack_helps():
    data = stored()
    assert (data.attacked_loss >= data.clean_loss_of_attacked * (1 - 1e-5)).all()
    assert (data.attacked_loss_empty >= data.clean_loss_empty - 1e-6).all()


def test_what_a_probe_explains_is_shared_by_all_features():
    """R² adds up to the rank of W; the models of given-up trainings have none worth reading."""
    data = stored()
    full = data.explained.isel(model=np.flatnonzero(data.family == "fewer features")[1:])
    np.testing.assert_allclose(full, readable.N_HIDDEN / readable.N_FEATURES, atol=0.01)
