"""The stored classifiers: their numbers fit each other, and what can be had without training comes out again."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from results import classifier as full

from toylib.features import Correlated, Independent
from toylib.geometry import interference_similarity


@cache
def stored(name: str) -> xr.Dataset:
    return xr.open_dataset(full.path(name), engine="scipy").load()


def test_all_models_are_there_and_finite():
    for name, (_, grid, _) in full.SWEEPS.items():
        data = stored(name)
        for axis, values in grid.items():
            assert [str(v) for v in data[axis].values] == [str(v) for v in values]
        assert not data.failed.any()
        assert all(np.isfinite(data[column].values).all() for column in data.data_vars), name


@pytest.mark.parametrize("name", ["k = 12, k/m = 3", "three features a class", "norm 0.4"])
def test_safe_inputs_are_those_whose_label_is_far(name):
    """The test inputs of two seeds drawn again; distances in NumPy, from sorted sums."""
    it = full.SETTINGS[name]
    for seed in (0, 7):
        x = np.asarray(full.labelled(it.features, it, seed, full.INPUTS, key=full.FIXED["key"]), np.float64)
        sums = np.sort(x.reshape(len(x), it.k, it.class_size).sum(2), axis=1)
        safe = (sums[:, -1] - sums[:, -2]) / np.sqrt(2 * it.class_size) > it.epsilon
        assert len(x) == full.INPUTS
        assert safe.mean() == pytest.approx(float(stored("settings").safe.sel(setting=name, seed=seed)), abs=2e-3)


def test_no_search_beats_the_closed_form_on_safe_inputs_nor_blindness_the_exact_attack():
    data = stored("settings")
    for search in ("free_safe", "kept_safe", "entropy_safe", "noise_safe"):
        assert (data[search] <= data.theory_safe + 1e-6).all(), search
    lost = (data.theory_safe - data.kept_safe).drop_sel(setting="attacked inputs not negative")
    assert float(lost.mean()) < 0.02
    attacked = data.sizes["seed"] * full.ATTACKED
    share = (data.tested - data.successes).sum("seed") / attacked
    np.testing.assert_allclose(data.robust_accuracy.mean("seed"), share, atol=1e-5)
    assert (data.tested.sel(setting=["m = 2, k/m = 1", "m = 5, k/m = 1"]).sum("seed") >= 1000).all()


@pytest.mark.parametrize(("design", "attacked"), [("uncorrelated", 3), ("neighbours on a ring", 11)])
def test_stored_models_transfer_as_told(design, attacked):
    """The attacks on a stored model on all others, again in NumPy: per rival, with float64."""
    data, it = stored("transfer").sel(design=design), full.Setting(full.CLASSES, 2)
    key = jax.random.fold_in(full.FIXED["key"], 1000 + list(full.DESIGNS).index(design))
    x = np.asarray(full.labelled(full.DESIGNS[design], it, attacked, full.INPUTS, key=key), np.float64)
    W, b, R = (data[name].values.astype(float) for name in ("W", "b", "readouts"))
    right = x.argmax(1)

    def predicted(model, at):
        return (at @ W[model].T @ R[model] + b[model]).argmax(1)

    deltas = []
    for sample, k in zip(x, right, strict=True):
        pushes = W[attacked].T @ (R[attacked] - R[attacked][:, [k]])  # a column per rival
        z = sample @ W[attacked].T @ R[attacked] + b[attacked]
        norms = np.linalg.norm(pushes, axis=0)
        j = np.delete(np.arange(full.CLASSES), k)[np.delete(z - z[k] + it.epsilon * norms, k).argmax()]
        deltas.append(it.epsilon * pushes[:, j] / norms[j])
    moved = x + np.array(deltas)
    kept = moved.argmax(1) == right
    clean = [predicted(model, x) == right for model in range(full.TRANSFER_SEEDS)]
    flips = [kept & (predicted(model, moved) != right) for model in range(full.TRANSFER_SEEDS)]
    tested = [clean[attacked] & flips[attacked] & clean[model] for model in range(full.TRANSFER_SEEDS)]
    found = [flip[test].mean() for flip, test in zip(flips, tested, strict=True)]
    np.testing.assert_allclose(found, data.transfer.values[attacked], atol=0.02)
    assert clean[attacked].mean() == pytest.approx(float(data.accuracy[attacked]), abs=0.005)


def test_similarities_are_those_of_the_stored_readouts():
    data = stored("transfer")
    R = jnp.asarray(data.readouts.values)
    np.testing.assert_allclose(R.sum(-1), 0, atol=1e-3 * float(abs(R).max()))
    pairs = jax.jit(jax.vmap(lambda a, b: jax.vmap(partial(interference_similarity, a))(b)))(R[:, 3], R)
    np.testing.assert_allclose(pairs, data.similarity.values[:, 3], atol=1e-4)
    own = data.transfer.values[:, np.arange(40), np.arange(40)]
    np.testing.assert_allclose(own, 1)


def test_copied_gates_have_the_density_and_correlation_that_they_claim():
    """Without copies they are independent; always copied from one of a pair they are a set of `Correlated`."""
    key, S = jax.random.key(0), 0.7
    for name, design in full.DESIGNS.items():
        on = np.asarray(design.sample(S, 20_000, key=key)) > 0
        np.testing.assert_allclose(on.mean(0), 0.3, atol=0.015, err_msg=name)
        found = np.corrcoef(on.T)
        commons = np.asarray(design.commons)
        shared = (commons[:, None, :, None] == commons[None, :, None, :]).mean((2, 3)) * design.copied**2
        np.testing.assert_allclose(found, np.where(np.eye(len(found), dtype=bool), 1, shared), atol=0.03, err_msg=name)
    always = full.Copied(((0, 0), (0, 0), (2, 2), (2, 2)), 1.0)
    on = np.asarray(always.sample(S, 4000, key=key)) > 0
    assert np.array_equal(on[:, 0::2], on[:, 1::2])
    assert on.mean() == pytest.approx(float(Correlated(2, 2).mean(S)[0] * 2), abs=0.03)
    assert isinstance(full.Setting(6, 2, class_size=3).features, Independent)
