"""What is passed into training: optimizers, losses and attacks against a plain loop; what compiles, what is refused."""

from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from attacked import ROOM
from loops import (
    BATCH,
    KEY,
    KEYS,
    N_STEPS,
    TRACED,
    F,
    assert_close,
    drawn,
    fresh_batches,
    numpy_adam,
    numpy_train,
    plain_loop,
    shift,
    trained,
)
from optax.contrib import reduce_on_plateau

from toylib import attacks
from toylib.features import Correlated, Independent
from toylib.model import Params, init
from toylib.training import train, train_ensemble
from toylib.training._step import comparable

SMALL = Independent(3)
OPTIONS = {"n_hidden": 2, "key": KEY, "population": True, "scale": 0.6, "batch_size": 8, "snapshots": [0]}
START = init(3, 2, key=jax.random.split(KEY, 3)[0], scale=0.6)
STEPS = 12


@lru_cache
def nodes():
    return SMALL.population(0.3)


def close(found, expected, tolerance=1e-5):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


# Optimizers

ZOO = {
    "adam": optax.adam,
    "adamw": partial(optax.adamw, weight_decay=0.2),
    "momentum": partial(optax.sgd, momentum=0.9),
    "rmsprop": optax.rmsprop,
    "adagrad": optax.adagrad,
    "lion": optax.lion,
    "nadam": optax.nadam,
    "cosine": lambda rate: optax.adam(optax.cosine_decay_schedule(rate, 9)),
    "clipped": lambda rate: optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(rate)),
    "masked": lambda rate: optax.chain(
        optax.masked(optax.add_decayed_weights(0.3), Params(True, False)), optax.sgd(rate)
    ),
    "accumulated": lambda rate: optax.MultiSteps(optax.adam(rate), every_k_schedule=5),
    "injected": optax.inject_hyperparams(optax.adam),
}


@pytest.mark.parametrize("name", ZOO)
def test_optimizers_equal_a_plain_loop_and_ten_rates_are_one_compilation(name, compiled):
    rates = np.geomspace(1e-3, 0.15, 10)
    new = {"batch_size": 5}  # as no other test has, so that nothing is there yet
    run = partial(train, SMALL, 0.3, optimizer=ZOO[name], n_steps=STEPS, **OPTIONS | new)
    ends = [run(learning_rate=rates[0]).params]
    assert compiled.count("jit(advance)") == 1
    del compiled[:]
    ends += [run(learning_rate=rate).params for rate in rates[1:]]
    assert compiled == []
    for i in (3, 9):
        expected = plain_loop(ZOO[name], rates[i], START, lambda t: nodes(), STEPS)
        assert max(np.abs(a - b).max() for a, b in zip(expected, START, strict=True)) > 1e-3
        close(ends[i], expected)


def test_a_ready_made_optimizer_is_what_its_maker_makes():
    options = OPTIONS | {"n_steps": STEPS}
    ready = train(SMALL, 0.3, optimizer=optax.adam(0.07), **options)
    made = train(SMALL, 0.3, learning_rate=0.07, **options)
    close(ready.params, made.params, 1e-6)
    default, given = (train(SMALL, 0.3, learning_rate=rate, **options) for rate in (None, 1e-3))
    assert np.array_equal(default.params.W, given.params.W)


def test_partials_of_equal_parts_are_one_compilation(compiled):
    def compiles(**options):
        del compiled[:]
        new = {"batch_size": 7}  # as no other test has, so that nothing is there yet
        train(SMALL, 0.3, n_steps=2, learning_rate=0.03, **OPTIONS | new | options)
        return compiled.count("jit(advance)")

    assert compiles(optimizer=partial(optax.sgd, momentum=0.7)) == 1
    assert compiles(optimizer=partial(optax.sgd, momentum=0.7)) == 0
    one, other = (lambda rate: optax.sgd(rate, momentum=0.7) for _ in range(2))
    assert compiles(optimizer=one) == 1
    assert compiles(optimizer=other) == 1
    assert compiles(optimizer=one) == 0
    assert compiles(perturb=partial(attacks.random_feature, signs="±"), radius=0.2) == 1
    assert compiles(perturb=partial(attacks.random_feature, signs="±"), radius=0.3) == 0


def test_partials_are_compared_by_their_parts_where_these_can_be_hashed():
    one, other = (comparable(partial(attacks.pgd, starts=("zero",), n_steps=3)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one == comparable(partial(attacks.pgd, n_steps=3, starts=("zero",)))
    assert one != comparable(partial(attacks.pgd, starts=("zero",), n_steps=4))
    assert one != comparable(partial(attacks.latent, starts=("zero",), n_steps=3))
    lists = partial(attacks.pgd, starts=["zero"])
    assert comparable(lists) is lists
    assert comparable(attacks.pgd) is attacks.pgd


def test_partials_bind_what_they_say():
    bound = comparable(partial(attacks.analytic, START, radius=0.4, signs="±"))
    x = jnp.array([0.9, 0.8, 0.7])
    found = {signs: attacks.analytic(START, x, 0.4, signs=signs) for signs in ("+", "±")}
    assert not np.array_equal(found["+"], found["±"])
    assert np.array_equal(bound(x, key=None), found["±"])
    assert np.array_equal(bound(x, signs="+"), found["+"])  # as with functools.partial, the call has the last word


RULE = (
    "optimizer must be an optax transformation, or make one from a learning rate, that needs gradients and parameters "
    "alone, got {}; use optax.adam, functools.partial(optax.sgd, momentum=0.9) or a lambda with a schedule of the rate"
)
NEEDS = "TypeError: {}.<locals>.update_fn() missing {} required keyword-only argument{}: {}"
LINE_SEARCH = NEEDS.format("scale_by_zoom_linesearch", 3, "s", "'value', 'grad', and 'value_fn'")
REFUSED = {
    "lbfgs": (optax.lbfgs, LINE_SEARCH),
    "lbfgs, ready-made": (optax.lbfgs(), LINE_SEARCH),
    "polyak_sgd": (optax.polyak_sgd, NEEDS.format("scale_by_polyak", 1, "", "'value'")),
    "reduce_on_plateau": (
        lambda rate: optax.chain(optax.adam(rate), reduce_on_plateau()),
        NEEDS.format("reduce_on_plateau", 1, "", "'value'"),
    ),
    "lookahead": (
        lambda rate: optax.lookahead(optax.sgd(rate), sync_period=5, slow_step_size=0.5),
        "AttributeError: 'Params' object has no attribute 'fast'",
    ),
    "a rate": (lambda rate: rate, "AttributeError: DynamicJaxprTracer has no attribute init"),
    "nothing": (lambda rate: None, "AttributeError: 'NoneType' object has no attribute 'init'"),
    "of no rate": (lambda: optax.adam(1e-3), "TypeError: <lambda>() takes 0 positional arguments but 1 was given"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_optimizers_that_need_more_are_refused_before_anything_is_compiled(name, compiled):
    optimizer, reason = REFUSED[name]
    sizes = {"n_hidden": 5, "n_steps": 3}  # which no other test has
    calls = [
        lambda: train(Correlated(2, 5), 0.3, key=KEY, optimizer=optimizer, **sizes),
        lambda: train_ensemble(Correlated(2, 5), [0.3, 0.4], KEYS, data_key=KEY, optimizer=optimizer, **sizes),
    ]
    for call in calls:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == RULE.format(reason)
    assert "jit(advance)" not in compiled  # optax may convert a number where nothing has yet


@pytest.mark.parametrize("wrong", [1e-3, None, "adam", (1, 2), {}])
def test_what_is_no_optimizer_is_refused(wrong, compiled):
    with pytest.raises(TypeError) as caught:
        train(SMALL, 0.3, optimizer=wrong, n_steps=3, **OPTIONS)
    assert str(caught.value) == f"optimizer must make an optax transformation, or be one, got {wrong!r}; try optax.adam"
    assert compiled == []


def test_a_ready_made_optimizer_has_its_own_rate(compiled):
    message = (
        r"^learning_rate must be None beside a ready-made optimizer, which has its own, got 0\.03; pass what makes the "
        r"optimizer, such as optax\.adam, and the rate beside it$"
    )
    with pytest.raises(ValueError, match=message):
        train(SMALL, 0.3, optimizer=optax.adam(0.1), learning_rate=0.03, n_steps=3, **OPTIONS)
    assert compiled == []


def test_clipping_is_per_member():
    # Members with a large and a small gradient: a norm taken over both would shrink the small one's step too.
    keys = jax.random.split(jax.random.key(0), 2)
    optimizer = optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(0.1))
    options = {"n_hidden": 3, "n_steps": 3, "population": True, "optimizer": optimizer, "scale": 0.5}
    Ss = np.array([0.3, 0.999])
    run = train_ensemble(F, Ss, keys, snapshots=(0, 1, 3), **options)
    moved = [(run.weights[..., 1, :, :] - run.weights[..., 0, :, :]), run.biases[..., 1, :]]
    steps = np.sqrt(np.square(moved[0]).sum((2, 3)) + np.square(moved[1]).sum(2))
    np.testing.assert_allclose(steps[0], 0.005, rtol=1e-3)  # clipped: learning rate times the norm
    assert (steps[1] < 0.004).all()
    for a, S in enumerate(Ss):
        single = train(F, S, key=keys[0], **options)
        member = run.member(a, 0).params
        assert isinstance(member, Params)
        np.testing.assert_allclose(member.W, single.params.W, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(member.b, single.params.b, rtol=1e-4, atol=1e-6)


# Losses


def absolute(params, x, *, weights):
    out = jax.nn.relu(x @ params.W.T @ params.W + params.b[None])
    return weights @ jnp.abs(out - x).sum(1)


class Scaled(NamedTuple):
    """A model with more than W and b."""

    W: jax.Array
    b: jax.Array
    gain: jax.Array


def scaled(params, x, *, weights):
    out = params.gain[None] * jax.nn.relu(x @ params.W.T @ params.W + params.b[None])
    return weights @ jnp.square(out - x).sum(1)


@pytest.mark.parametrize(
    ("loss", "start"),
    [(absolute, None), (scaled, Scaled(*START, jnp.array([0.7, 1.4, 1.1])))],
    ids=["absolute error", "a model with more arrays"],
)
def test_another_loss_equals_a_plain_loop(loss, start):
    options = OPTIONS | {"loss": loss, "start": start, "n_steps": STEPS, "learning_rate": 0.04}
    run = train(SMALL, 0.3, **options | {"snapshots": [0, STEPS]})
    begin = START if start is None else start

    def plain(params, x, target, weights):
        return loss(params, x, weights=weights)

    expected = plain_loop(optax.adam, 0.04, begin, lambda t: nodes(), STEPS, loss=plain)
    assert type(run.params) is type(begin)
    assert all(np.abs(a - b).max() > 0.05 for a, b in zip(expected, begin, strict=True))
    close(run.params, expected)
    x, weights = nodes()
    np.testing.assert_allclose(
        run.losses, [loss(params, x, weights=weights) for params in (begin, expected)], rtol=1e-5
    )
    assert np.array_equal(run.weights[-1], run.params.W)
    assert np.array_equal(run.biases[-1], run.params.b)


def test_members_of_an_ensemble_of_another_model_are_those_trained_alone():
    one = Scaled(*START, jnp.array([0.7, 1.4, 1.1]))
    start = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.8 * leaf, 0.6 * leaf, -leaf]).reshape(2, 2, *leaf.shape), one)
    options = OPTIONS | {"loss": scaled, "n_steps": STEPS, "learning_rate": 0.04}
    single = train(SMALL, 0.6, start=jax.tree.map(lambda leaf: leaf[1, 0], start), **options)
    del options["key"]
    run = train_ensemble(SMALL, [0.3, 0.6], KEYS[:2], start=start, **options)
    assert run.params.gain.shape == (2, 2, 3)
    close(run.member(1, 0).params, single.params)
    assert not np.array_equal(run.params.gain[1, 0], start.gain[1, 0])


LOSS = (
    "loss must be called as loss(params, x (batch, n), weights=weights (batch,)) and return a scalar, got {}; "
    "toylib.model.loss is one; target, importance and linear come with an attack, importance or linear=True"
)
UNEXPECTED = "TypeError: absolute() got an unexpected keyword argument '{}'"


@pytest.mark.parametrize(
    ("options", "came"),
    [
        ({"loss": lambda params, x: 0.0}, "TypeError: <lambda>() got an unexpected keyword argument 'weights'"),
        ({"loss": lambda params, x, *, weights: weights}, str(jax.ShapeDtypeStruct((8,), jnp.float32))),
        ({"loss": "squared"}, "TypeError: 'str' object is not callable"),
        ({"linear": True}, UNEXPECTED.format("linear")),
        ({"importance": np.ones(10)}, UNEXPECTED.format("importance")),
        ({"perturb": attacks.analytic, "radius": 0.2}, UNEXPECTED.format("target")),
    ],
)
def test_losses_that_cannot_be_called_are_refused_before_anything_is_compiled(options, came, compiled):
    arguments = {"loss": absolute, "n_hidden": 5, "n_steps": 3, "key": KEY} | options
    with pytest.raises(TypeError) as caught:
        train(Correlated(2, 5), 0.3, **arguments)
    assert str(caught.value) == LOSS.format(came)
    assert compiled == []


# Attacks


@pytest.mark.parametrize("name", ROOM)
def test_training_under_each_attack_of_the_room(name):
    """A plain loop with the same keys: of every sample of every step, split from the attack's key of that step."""
    # A search takes the most harmful of its points; with this key no two are so close that rounding decides.
    S, radius, rate, batch, steps, key = 0.4, 0.37, 0.3, 6, 3, jax.random.key(2)
    k_init, k_data, k_attack = jax.random.split(key, 3)
    start, attack = init(3, 2, key=k_init, scale=0.6), jax.jit(jax.vmap(ROOM[name], (None, 0, None)))

    def data(t):
        return SMALL.sample(S, batch, key=jax.random.fold_in(k_data, t)), jnp.full(batch, 1 / batch)

    def attacked(t, params, x):
        return attack(params, x, radius, key=jax.random.split(jax.random.fold_in(k_attack, t), batch))

    options = OPTIONS | {"population": False, "batch_size": batch, "n_steps": steps, "learning_rate": rate, "key": key}
    run = train(SMALL, S, perturb=ROOM[name], radius=radius, optimizer=optax.sgd, **options)
    close(run.params, plain_loop(optax.sgd, rate, start, data, steps, attack=attacked))
    clean = plain_loop(optax.sgd, rate, start, data, steps)
    assert np.abs(clean.W - run.params.W).max() > 0.01


def test_training_under_one_step_equals_the_numpy_loop():
    """The attack in double precision, from the gradient written out."""

    def one_step(W, b, x):
        z = x @ W.T @ W + b
        slope = (2 * (np.maximum(z, 0) - x) * (z > 0)) @ W.T @ W
        norm = np.linalg.norm(slope, axis=1, keepdims=True)
        return 0.37 * slope / np.where(norm > 0, norm, 1)

    n_steps = 60
    run = trained(perturb=attacks.one_step, radius=0.37, learning_rate=0.01, scale=0.5, n_steps=n_steps, snapshots=(0,))
    rules = numpy_adam(0.01), numpy_adam(0.01)
    expected = numpy_train(drawn(0.5), fresh_batches(0.7), *rules, delta=one_step, steps=range(n_steps))
    assert_close(run.params, expected, 1e-3)
    plain = numpy_train(drawn(0.5), fresh_batches(0.7), numpy_adam(0.01), numpy_adam(0.01), steps=range(n_steps))
    assert np.abs(plain[0] - expected[0]).max() > 0.02


PERTURB = (
    "perturb must be called as perturb(params, x (n,), radius, key=key) and return δ (n,), got {}; every attack of "
    "toylib.attacks does, with its options bound by functools.partial"
)


@pytest.mark.parametrize(
    ("perturb", "came"),
    [
        (lambda params, x, radius: x, "TypeError: <lambda>() got an unexpected keyword argument 'key'"),
        (lambda params, x, radius, *, key: x[:2], str(jax.ShapeDtypeStruct((2,), jnp.float32))),
        (partial(attacks.pgd, n_step=3), "TypeError: pgd() got an unexpected keyword argument 'n_step'"),
        ("pgd", "TypeError: 'str' object is not callable"),
    ],
)
def test_attacks_that_cannot_be_called_are_refused_before_anything_is_compiled(perturb, came, compiled):
    with pytest.raises(TypeError) as caught:
        train(Correlated(2, 5), 0.3, key=KEY, n_hidden=5, n_steps=3, perturb=perturb, radius=0.3)
    assert str(caught.value) == PERTURB.format(came)
    assert compiled == []


# One compilation


def test_single_models_compile_once(compiled):
    first = trained(perturb=shift, radius=0.3, learning_rate=0.01, scale=0.1)
    options = {"n_hidden": 3, "n_steps": N_STEPS, "batch_size": BATCH, "perturb": shift}
    for radius in (0.1, 0.0):  # no norm is plain training, one more program
        train(F, 0.6, key=KEY, radius=radius, mix=0.3, scale=0.2, **options)
    traces = len(TRACED)
    compiled.clear()
    for i in range(3):
        run = train(
            F,
            0.5 + 0.1 * i,
            key=jax.random.key(i),
            radius=0.1 * i,
            mix=0.4 * i,
            learning_rate=0.01 * (i + 1),
            scale=0.05 * i,
            **options,
        )
        assert np.abs(np.asarray(run.params.W) - np.asarray(first.params.W)).max() > 1e-3
    assert len(TRACED) == traces
    assert compiled == []
