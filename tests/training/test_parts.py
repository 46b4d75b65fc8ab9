"""Parts of an ensemble, side by side: every model as if it were trained alone, and JAX's contexts kept."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toylib import attacks
from toylib.features import Correlated, Independent
from toylib.model import Params, loss
from toylib.training import _parts, train_ensemble
from toylib.training._step import Inputs, Setting

KEYS = jax.random.split(jax.random.key(4), 70)
SPARSITIES = [0.2, 0.5, 0.7, 0.95]
OPTIONS = {"n_steps": 150, "learning_rate": 0.01, "data_key": jax.random.key(5), "progress": False, "batch_size": 96}


def run(number, monkeypatch, features, sparsities, keys, **options):
    """An ensemble on so many cores, and the number of members in each part that was advanced."""
    sizes = set()

    def seen(setting, inputs, params, *rest):
        sizes.add(params.W.shape[:3])
        return advance(setting, inputs, params, *rest)

    advance = _parts.advance
    with monkeypatch.context() as patch:
        patch.setattr(_parts, "advance", seen)
        patch.setenv("NPROC", str(number))
        return train_ensemble(features, sparsities, keys, **OPTIONS | options), sizes


RADII = np.linspace(0.1, 0.5, 18)
ENSEMBLES = {
    "densities, one model each": (Independent(12), SPARSITIES, KEYS[:1], {"n_hidden": 4}),
    "densities": (Correlated(2, 3), SPARSITIES, KEYS[:3], {"n_hidden": 3}),
    "keys": (Correlated(2, 3), [0.8], KEYS, {"n_hidden": 3}),
    "keys, on the population": (Correlated(2, 3), [0.8], KEYS, {"n_hidden": 3, "population": True}),
    "two products, keys": (Independent(20), [0.9], KEYS, {"n_hidden": 6}),
    "norms": (
        Independent(12),
        [0.9],
        KEYS[:2],
        {"n_hidden": 4, "perturb": partial(attacks.random_feature, signs="±"), "radius": RADII},
    ),
}
PARTS = {
    "densities, one model each": {1: {(4, 1, 1)}, 2: {(2, 1, 1)}, 3: {(1, 1, 1), (2, 1, 1)}},
    "densities": {1: {(4, 1, 3)}, 2: {(2, 1, 3)}, 3: {(1, 1, 3), (2, 1, 3)}},
    "keys": {number: {(1, 1, 35)} for number in (1, 2, 3)},
    "keys, on the population": {number: {(1, 1, 35)} for number in (1, 2, 3)},
    "two products, keys": {number: {(1, 1, 35)} for number in (1, 2, 3)},
    "norms": {number: {(1, 4, 2), (1, 5, 2)} for number in (1, 2, 3)},
}


@pytest.mark.parametrize("name", ENSEMBLES)
def test_numbers_are_those_of_one_core(name, monkeypatch):
    *ensemble, options = ENSEMBLES[name]
    found = {}
    for number, sizes in PARTS[name].items():
        found[number], seen = run(number, monkeypatch, *ensemble, **options)
        assert seen == sizes
    for other in (2, 3):
        for ours, theirs in zip(jax.tree.leaves(found[other]), jax.tree.leaves(found[1]), strict=True):
            assert np.array_equal(ours, theirs)
    assert len(np.unique(found[1].params.W.reshape(-1, found[1].params.W.shape[-1]), axis=0)) > 1


def test_parts_of_one_density_have_members_enough(monkeypatch):
    monkeypatch.setenv("NPROC", "64")
    plain = Setting(Correlated(2, 3), optax.adam, loss, 96, population=False, linear=False, perturb=None)
    attacked = plain._replace(perturb=attacks.random_feature)  # of as many norms as keys, and with two keys in each
    plainly = [(plain, 1, sizes) for sizes in ([63], [32] * 2, [64, 63], [33, 33, 32, 32])]
    for setting, norms, sizes in [*plainly, (attacked, 8, [2] * 4)]:
        number = sum(sizes)
        params = Params(
            jnp.arange(18.0 * norms * number).reshape(1, norms, number, 3, 6), jnp.zeros((1, norms, number, 6))
        )
        one = jnp.ones(1)
        inputs = Inputs(one, jnp.ones(norms), one[0], one[0], one[0], None, None, jax.random.split(KEYS[0], number))
        parts, axis = _parts.split(setting, inputs, params, params.b)
        assert axis == 2
        assert [(len(some.attack_keys), len(part.W[0, 0]), len(b[0, 0])) for some, part, b in parts] == [
            (size,) * 3 for size in sizes
        ]
        assert np.array_equal(np.concatenate([part.W for _, part, _ in parts], 2), params.W)


def test_a_context_of_the_caller_holds_for_all_parts(monkeypatch):
    ensemble = Independent(12), SPARSITIES[:3], KEYS[:1]
    dtypes = []

    def note(params, x, *, weights):
        dtypes.append(jax.config.values["jax_default_matmul_precision"])
        return jnp.square(params.W @ x.T).sum() * weights.sum()

    run(3, monkeypatch, *ensemble, n_hidden=4, n_steps=2, loss=note)
    assert set(dtypes) == {None}
    del dtypes[:]
    with jax.default_matmul_precision("float32"):
        run(3, monkeypatch, *ensemble, n_hidden=4, n_steps=2, loss=note)
    assert set(dtypes) == {"float32"}


@pytest.mark.parametrize(("given", "number"), [("3", 3), ("1", 1), ("0", None), ("many", None), ("", None)])
def test_cores_are_those_of_xla(given, number, monkeypatch):
    monkeypatch.delenv("NPROC", raising=False)
    own = _parts.cores()
    assert own >= 1
    monkeypatch.setenv("NPROC", given)
    assert _parts.cores() == (number or own)
