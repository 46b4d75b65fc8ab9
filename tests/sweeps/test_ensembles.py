"""A sweep of trainings holds the runs that train_ensemble gives."""

import jax
import numpy as np
import pytest

from toylib import sweeps
from toylib.features import Correlated
from toylib.sweeps import as_run, train_points
from toylib.training import Run, train_ensemble

F, SS, KEYS = Correlated(2, 3), [0.9, 0.5], jax.random.split(jax.random.key(0), 4)
OPTIONS = {"n_hidden": 3, "n_steps": 8, "population": True, "snapshots": [0, 3, 8], "scale": 0.3}


@pytest.fixture(scope="module")
def dataset():
    found = sweeps.run(train_points, {"S": SS, "seed": [3, 0, 1]}, features=F, keys=KEYS, batch=6, **OPTIONS)
    return found.assign_coords(step=OPTIONS["snapshots"])


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_a_sweep_is_the_ensemble(dataset):
    expected = train_ensemble(F, SS, KEYS[np.array([3, 0, 1])], **OPTIONS)
    assert isinstance(as_run(dataset), Run)
    assert_equal(as_run(dataset), expected)
    assert_equal(as_run(dataset.sel(S=0.45, method="nearest")), expected.member(1))
    assert_equal(as_run(dataset.sel(S=0.9, seed=0)), expected.member(0, 1))


def test_a_sweep_is_labelled(dataset):
    assert dataset.weights.dims == ("S", "seed", "step", "hidden", "feature")
    assert dataset.losses.sel(step=4, method="nearest").step == 3
    assert "population loss" in dataset.losses.attrs["description"]


@pytest.mark.parametrize("seeds", [[4], [-1, 0]])
def test_a_seed_without_a_key_fails(seeds):
    with pytest.warns(UserWarning, match=r"seed must lie in \[0, 4\), the positions in keys, .*; pass more keys"):
        sweeps.run(train_points, {"S": SS, "seed": seeds}, features=F, keys=KEYS, batch=1, **OPTIONS)


def test_what_is_no_sweep_of_trainings_is_refused(dataset):
    with pytest.raises(ValueError, match=r"must have step, got .* assign_coords\(step=snapshots\)"):
        as_run(dataset.drop_vars("step"))
    with pytest.raises(ValueError, match="must have losses, weights, got"):
        as_run(dataset.drop_vars(["losses", "weights"]))
