"""The stored results of notebook 4: what any rule needs is there, and rules stand where few models are."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from results import adversarial_training as full

from toylib.model import Params
from toylib.robustness import KEPT, Superposition, eliminated, given_up, measured, saving, superposition


@cache
def stored(name: str) -> xr.Dataset:
    return xr.open_dataset(full.path(name), engine="scipy").load()


def as_rows(data: xr.Dataset) -> tuple[jax.Array, jax.Array]:
    """Weights (models, m, n) and biases (models, n) as they are stored, rounded."""
    return tuple(jnp.asarray(data[name].values, jnp.float32).reshape(-1, *data[name].shape[4:]) for name in "Wb")


@pytest.mark.parametrize("name", ["map", "seeds", "mixture"])
def test_outcomes_from_the_rounded_weights_are_those_of_the_exact_ones(name):
    """The stored fields were measured before rounding; every model is measured again from its weights."""
    data = stored(name)
    again = Superposition(*map(np.asarray, jax.jit(jax.vmap(superposition))(as_rows(data)[0])))
    exact = Superposition(*(field.ravel() for field in measured(data)))
    kept_saving = data.saving.values.ravel()
    same = eliminated(again, kept_saving, full.N_HIDDEN) == eliminated(exact, kept_saving, full.N_HIDDEN)
    assert same.mean() > 0.999
    alive = ~given_up(kept_saving)
    np.testing.assert_allclose(again.features_per_dimension[alive], exact.features_per_dimension[alive], rtol=2e-3)
    assert (again.kept == exact.kept)[alive].mean() > 0.998


def test_the_saving_of_the_rounded_weights_is_that_of_the_exact_ones():
    """Of the models nearest to giving up and some others, on the samples on which the exact ones were tested."""
    data = stored("map")
    flat = data.saving.values.ravel()
    chosen = [*np.argsort(abs(flat - 0.1))[:12], *range(0, flat.size, 211)]
    for i in chosen:
        where = np.unravel_index(i, data.saving.shape)
        axes = {axis: data[axis].values[k] for axis, k in zip(data.saving.dims, where, strict=True)}
        x = full.FEATURES.sample(1 - axes["density"], full.SAMPLES, key=full._keys(full.FIXED["key"], axes["seed"])[2])
        model = Params(*(jnp.asarray(data[leaf].values[where], jnp.float32) for leaf in "Wb"))
        assert float(saving(model, x, 1 - axes["density"])) == pytest.approx(flat[i], abs=2e-3)


def test_an_attack_never_helps_on_the_samples_that_it_attacked():
    for name in ("map", "seeds", "mixture", "budget", "capacity"):
        data = stored(name)
        assert (data.attacked_loss >= data.clean_loss_of_attacked * (1 - 1e-5)).all()


def test_what_counts_as_kept_stands_in_a_gap():
    """Between 0.4 and 0.6 of the longest there are a tenth of the features at most that there are at either end."""
    data = stored("map")
    norms = np.sqrt(np.square(data.W).sum("hidden"))
    relative = (norms / norms.max("feature")).where(~data.saving.copy(data=given_up(data.saving.values)))
    counts = {low: int(((relative >= low) & (relative < low + 0.2)).sum()) for low in (0.0, KEPT - 0.1, 0.8)}
    assert counts[0.4] < 0.1 * min(counts[0.0], counts[0.8])


def test_all_norms_of_a_seed_share_their_model_without_attack():
    plain = stored("map").sel(norm=0).W
    spread = abs(plain - plain.isel(training=0)).max()
    assert float(spread) < 0.02  # different programs round differently, and training carries it on
    other_seeds = abs(plain.isel(seed=0) - plain.isel(seed=1)).max()
    assert float(other_seeds) > 0.5
