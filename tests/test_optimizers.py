"""Optimisers that differ in learning rates only are one shape; taken apart and rebuilt they do the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toylib.features import Correlated
from toylib.model import Params, init
from toylib.optimizers import Static
from toylib.training import train, train_ensemble


@pytest.fixture(autouse=True)
def _standard_promotion():
    """Let optax promote: its Adam takes a float to an int32 power."""
    with jax.numpy_dtype_promotion("standard"):
        yield


SAME = {
    "adam": (lambda: optax.adam(1e-3), lambda: optax.adam(0.1)),
    "adam, once more": (lambda: optax.adam(1e-3), lambda: optax.adam(1e-3)),
    "sgd": (lambda: optax.sgd(1e-3), lambda: optax.sgd(0.5)),
    "momentum": (lambda: optax.sgd(1e-3, momentum=0.9), lambda: optax.sgd(0.5, momentum=0.9)),
    "adamw": (lambda: optax.adamw(1e-3), lambda: optax.adamw(1e-2)),
    "clipped": (
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)),
    ),
    "array": (lambda: optax.adam(jnp.float32(1e-3)), lambda: optax.adam(jnp.float32(1e-2))),
}
DIFFERENT = {
    "kind": (lambda: optax.adam(1e-3), lambda: optax.sgd(1e-3)),
    "b1": (lambda: optax.adam(1e-3, b1=0.9), lambda: optax.adam(1e-3, b1=0.8)),
    "eps": (lambda: optax.adam(1e-3, eps=1e-8), lambda: optax.adam(1e-3, eps=1e-6)),
    "momentum": (lambda: optax.sgd(1e-3, momentum=0.9), lambda: optax.sgd(1e-3, momentum=0.5)),
    "no momentum": (lambda: optax.sgd(1e-3), lambda: optax.sgd(1e-3, momentum=0.5)),
    "nesterov": (lambda: optax.sgd(1e-3, momentum=0.9), lambda: optax.sgd(1e-3, momentum=0.9, nesterov=True)),
    "decay": (lambda: optax.adamw(1e-3, weight_decay=0.1), lambda: optax.adamw(1e-3, weight_decay=0.2)),
    "clip": (
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
        lambda: optax.chain(optax.clip_by_global_norm(2.0), optax.adam(1e-3)),
    ),
    "schedule": (lambda: optax.sgd(1e-3), lambda: optax.sgd(optax.constant_schedule(1e-3))),
}


@pytest.mark.parametrize("name", SAME)
def test_learning_rates_are_not_part_of_the_shape(name):
    a, b = (Static(make()) for make in SAME[name])
    assert a == b
    assert hash(a) == hash(b)
    assert {a: 1}[b] == 1
    assert len(a.rates) == len(b.rates) == 1


@pytest.mark.parametrize("name", DIFFERENT)
def test_all_else_is(name):
    a, b = (Static(make()) for make in DIFFERENT[name])
    assert a != b
    assert a != "adam"


PARAMS = init(6, 3, key=jax.random.key(0), scale=1.0)
GRADIENTS = [init(6, 3, key=jax.random.key(k), scale=2.0) for k in (1, 2, 3)]
MAKERS = {
    **{name: makers[0] for name, makers in SAME.items()},
    "nesterov": DIFFERENT["nesterov"][1],
    "cosine": lambda: optax.adam(optax.cosine_decay_schedule(0.1, 3)),
    "lion": lambda: optax.lion(1e-3),
}


def updates_of(optimizer):
    state, params, found = optimizer.init(PARAMS), PARAMS, []
    for gradient in GRADIENTS:
        update, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, update)
        found += jax.tree.leaves(update)
    return [np.asarray(a) for a in found]


@pytest.mark.parametrize("name", MAKERS)
def test_rebuilt_optimizers_give_the_same_updates_bitwise(name):
    optimizer = MAKERS[name]()
    static = Static(optimizer)
    expected = updates_of(optimizer)
    for a, b in zip(expected, updates_of(static.build(static.rates)), strict=True):
        assert np.array_equal(a, b)
    assert max(abs(a).max() for a in expected) > 0


@pytest.mark.parametrize("name", ["sgd", "adam", "momentum"])
def test_new_rates_are_those_of_a_new_optimizer(name):
    slow, fast = (make() for make in SAME[name])
    rebuilt = Static(slow).build(Static(fast).rates)
    for a, b in zip(updates_of(fast), updates_of(rebuilt), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_learning_rates_in_words():
    assert Static(optax.adam(1e-3)).learning_rate == "0.001"
    assert Static(optax.sgd(0.5, momentum=0.9)).learning_rate == "0.5"
    assert Static(optax.chain(optax.clip(1.0), optax.adam(0.02))).learning_rate == "0.02"
    assert Static(optax.sgd(optax.constant_schedule(0.1))).learning_rate == "a schedule"


@pytest.mark.parametrize("wrong", [1e-3, optax.adam, None, "adam", (1, 2)])
def test_other_things_are_refused(wrong):
    with pytest.raises(TypeError, match=r"optimizer must be an optax GradientTransformation, got .*; try optax.adam"):
        Static(wrong)


def test_clipping_is_per_member():
    # Members with a large and a small gradient: a norm taken over both would shrink the small one's step too.
    keys = jax.random.split(jax.random.key(0), 2)
    optimizer = optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(0.1))
    options = {"n_hidden": 3, "n_steps": 3, "population": True, "optimizer": optimizer, "scale": 0.5}
    features, Ss = Correlated(2, 3), np.array([0.3, 0.999])
    run = train_ensemble(features, Ss, keys, snapshots=(0, 1, 3), **options)
    moved = [(run.weights[..., 1, :, :] - run.weights[..., 0, :, :]), run.biases[..., 1, :]]
    steps = np.sqrt(np.square(moved[0]).sum((2, 3)) + np.square(moved[1]).sum(2))
    np.testing.assert_allclose(steps[0], 0.005, rtol=1e-3)  # clipped: learning rate times the norm
    assert (steps[1] < 0.004).all()
    for a, S in enumerate(Ss):
        single = train(features, S, key=keys[0], **options)
        member = run.member(a, 0).params
        assert isinstance(member, Params)
        np.testing.assert_allclose(member.W, single.params.W, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(member.b, single.params.b, rtol=1e-4, atol=1e-6)
