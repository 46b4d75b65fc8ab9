"""Equal settings have equal descriptions, also after a round trip through JSON, and different ones do not."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylib import attacks, sweeps
from toylib.features import Correlated
from toylib.sweeps import _identity as identity


def double(x, *, factor=2):
    return factor * x


def halve(x):
    return x / 2


SAME = [
    (0.1, 0.1),
    (range(3), range(3)),
    ((1, "a"), [1, "a"]),
    (np.arange(3.0), jnp.arange(3.0).astype(jnp.float32).__array__().astype(float)),
    (jax.random.key(3), jax.random.key(3)),
    (Correlated(2, 3), Correlated(n_sets=2, set_size=3)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (double, double),
    (partial(double, factor=2), partial(double, factor=2)),
    (np.ones((100, 2)), np.ones((100, 2))),
]
DIFFERENT = [
    (0.1, 0.2),
    (1, 1.0),
    (1, True),
    (None, "None"),
    (np.float32(1), np.float64(1)),
    (np.zeros((2, 3)), np.zeros((3, 2))),
    (np.ones((100, 2)), np.full((100, 2), 1 + 1e-15)),
    (np.ones(2, complex), np.full(2, 1j)),
    (jax.random.key(3), jax.random.key(4)),
    (Correlated(2, 3), Correlated(3, 2)),
    (double, halve),
    (partial(double, factor=2), partial(double, factor=3)),
    ({"a": 1}, {"a": 1, "b": 1}),
]


@pytest.mark.parametrize(("left", "right", "same"), [(*p, True) for p in SAME] + [(*p, False) for p in DIFFERENT])
def test_settings_are_compared_by_value(left, right, same):
    left, right = ({"x": json.loads(json.dumps(identity.describe("x", value)))} for value in (left, right))
    assert (identity.differences(left, right) == []) == same
    assert (identity.differences(right, left) == []) == same


def test_a_function_is_named_where_users_import_it_from():
    """So that a file may move within its room, and a store still resumes."""
    assert sweeps.train_points.__module__ == "toylib.sweeps._ensembles"
    assert identity.describe("x", sweeps.train_points)["function"] == "toylib.sweeps.train_points"
    assert identity.describe("x", attacks.pgd)["function"] == "toylib.attacks.pgd"
    assert identity.describe("x", double)["function"] == f"{__name__}.double"
