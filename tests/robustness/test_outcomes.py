"""Outcomes of adversarial training on models built to have them, and robustness against brute force."""

import re
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from toylib import attacks, theory
from toylib.features import Independent
from toylib.model import Params, loss
from toylib.robustness import (
    Superposition,
    attacked_loss,
    eliminated,
    given_up,
    outcome,
    outcomes,
    reduced,
    saving,
    superposition,
)
from toylib.training import train

KEY = jax.random.key(0)
N, M = 12, 4
BATCH = 256  # wherever samples are attacked, so that one compilation serves all


def ideal(kept=M, length=1.0):
    """W that stores `kept` features on axes of their own, and no other."""
    return jnp.asarray(length * np.eye(M, N) * (np.arange(N) < kept), jnp.float32)


def pairs(angle=np.pi):
    """W with two features a dimension, at this angle in their plane with the next axis."""
    W = np.zeros((M, N), np.float32)
    for i in range(M):
        W[i, i] = 1
        W[i, M + i] = np.cos(angle)
        W[(i + 1) % M, M + i] = np.sin(angle)
    return jnp.asarray(W)


def lean(dimensionality):
    """W with a feature on each axis, leaning to each other at one angle by which each has this D_i, 1/(1 + 3 cos²)."""
    cosine = np.sqrt((1 / dimensionality - 1) / 3)
    return ideal().at[:, :M].set(np.linalg.cholesky((1 - cosine) * np.eye(M) + cosine).T)


def seeds(F, kept, dimensionality=0.3, interference=0.5):
    """Measurements of several seeds, of which only the given ones matter."""
    F, kept = np.asarray(F, float), np.asarray(kept)
    fill = np.ones_like(F)
    return Superposition(F, fill, kept, dimensionality * fill, interference * fill, fill, fill)


# What a model represents


def test_the_ideal_model_has_one_feature_a_dimension():
    found = superposition(ideal())
    assert float(found.features_per_dimension) == 1
    assert int(found.kept) == M
    assert float(found.dimensionality) == 1
    assert float(found.interference) == float(found.mean_interference) == 0
    assert float(found.effective) == pytest.approx(M)


def test_antipodal_pairs_have_half_a_dimension_each():
    found = superposition(pairs())
    assert float(found.features_per_dimension) == pytest.approx(2)
    assert int(found.kept) == 2 * M
    assert float(found.dimensionality) == pytest.approx(0.5)
    assert float(found.interference) == pytest.approx(1)
    # Of the 8·7 ordered pairs of different features, the 8 antipodal ones have an entry of size 1.
    assert float(found.mean_interference) == pytest.approx(1 / 7, rel=1e-5)
    assert float(found.effective) == pytest.approx(2 * M, rel=1e-5)


def test_dropped_features_count_in_the_interference_but_not_in_the_means():
    W = pairs().at[:, M:].mul(0.4)  # half of the features are too short to be kept
    found = superposition(W)
    assert int(found.kept) == M
    assert float(found.interference) == pytest.approx(0.4)
    assert float(found.mean_interference) == 0
    # D of a unit vector with an antipode of length 0.4: 1/(1 + 0.4²).
    assert float(found.dimensionality) == pytest.approx(1 / 1.16, rel=1e-5)
    shares = np.array([1.0] * M + [0.16] * M) / (1.16 * M)
    assert float(found.effective) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)


def test_a_dead_model_is_measured_without_nan():
    found = superposition(jnp.zeros((M, N)))
    assert all(float(value) == 0 for value in found)
    gradient = jax.grad(lambda W: superposition(W).effective + superposition(W).dimensionality)(jnp.zeros((M, N)))
    assert np.isfinite(gradient).all()


def test_only_matrices_are_measured():
    message = "W must have shape (any, any), got (2, 4, 12); jax.vmap over this function takes more"
    with pytest.raises(ValueError, match=re.escape(message)):
        superposition(jnp.zeros((2, M, N)))


# Outcomes


@pytest.mark.parametrize("length", [1.0, 0.3, 1e-6])
@pytest.mark.parametrize(
    ("W", "gone"),
    [
        (ideal(), True),
        (ideal(kept=M - 1), False),
        (ideal().at[0, 0].set(0.505), True),  # one that is a little longer than half of the longest
        (ideal().at[0, 0].set(0.5), False),  # not longer
        (ideal().at[0, 0].set(0.495), False),
        (pairs(), False),
        (pairs().at[:, M:].mul(0.247), True),  # a trace of 0.247 is allowed
        (pairs().at[:, M:].mul(0.253), False),  # one of 0.253 is not
        (lean(0.905), True),  # D in the mean
        (lean(0.895), False),
        (pairs().at[:, M:].mul(0.22) + 0.2 * jnp.roll(ideal(), 1, axis=0), False),  # traces of 0.22 each, but D of 0.89
    ],
)
def test_eliminated_at_any_length_of_the_model(W, gone, length):
    found = superposition(length * W)
    assert bool(eliminated(found, 0.11, M)) == gone
    assert not eliminated(found, 0.09, M)  # it has given up
    assert float(found.longest) == pytest.approx(length * float(np.linalg.norm(W, axis=0).max()))
    assert float(found.interference) == pytest.approx(float(superposition(W).interference))


def test_a_model_has_given_up_below_a_tenth_of_the_saving():
    assert given_up([0.101, 0.1, 0.099, 0.0, -3.0, 2.0]).tolist() == [False, False, True, True, True, False]


@pytest.mark.parametrize("density", [0.4, 0.05])
@pytest.mark.parametrize("length", [1.0, 0.6, 0.0])
def test_saving_is_that_of_the_exact_losses(length, density):
    """W = √length [I 0]: a kept feature, read at length·x + bias, costs (1 - length)² of its variance at best."""
    offset = (1 - length) * density / 2
    params = Params(ideal(length=length**0.5), jnp.where(jnp.arange(N) < M, offset, density / 2).astype(jnp.float32))
    X = Independent(N).sample(1 - density, 50_000, key=KEY)
    assert float(saving(params, X, 1 - density)) == pytest.approx(1 - (1 - length) ** 2, abs=0.02)


def test_saving_counts_a_model_that_is_worse_than_nothing_below_zero():
    X = Independent(N).sample(0.9, 512, key=KEY)
    assert float(saving(Params(ideal(), jnp.ones(N)), X, 0.9)) < -1
    with pytest.raises(ValueError, match=r"S must lie in \[0, 1\), got 1"):
        saving(Params(ideal(), jnp.ones(N)), X, 1.0)


def test_outcomes_keep_the_leading_axes():
    found = jax.vmap(superposition)(jnp.stack([ideal(), pairs(), jnp.zeros((M, N))]))
    assert eliminated(found, [1, 2, 0], M).tolist() == [True, False, False]
    message = "n_hidden must be at least 1, got 0; pass a Python int from 1 up, since sizes cannot be traced"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        eliminated(found, [1, 2, 0], 0)


SPREAD = np.array([-0.1, 0.0, 0.1, 0.05])


@pytest.mark.parametrize(
    ("F", "kept", "expected"),
    [
        (1.5 + SPREAD, [9, 9, 10, 9], True),
        (1.5 + SPREAD, [12, 12, 12, 12], False),  # fewer features a dimension, but none dropped
        (2.0 + SPREAD, [9, 9, 10, 9], False),
        (2.5 + SPREAD, [9, 9, 10, 9], False),
        ([0.5, 3.4, 0.6, 3.3], [9, 9, 10, 9], False),  # less in mean, but within the spread of the seeds
    ],
)
def test_reduced_needs_both_beyond_the_interval(F, kept, expected):
    plain = seeds([2.0] * 4, [12] * 4)
    assert reduced(seeds(F, kept), plain) is expected
    assert outcome(seeds(F, kept), np.ones(4), plain, M) == ("reduced" if expected else "none")


def test_seeds_are_compared_one_by_one():
    """A spread between seeds that both trainings share does not hide a difference."""
    F = np.array([1.0, 2.0, 3.0, 4.0])
    assert reduced(seeds(F - 0.1, [9, 10, 11, 12]), seeds(F, [10, 11, 12, 13]))
    message = "seeds are compared one by one, got (3,) without attack and (4,) under it; pass the same seeds"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        reduced(seeds(F, [9] * 4), seeds(F[:3], [9] * 3))


def test_what_happened_to_half_of_the_seeds_counts():
    plain = seeds([2.0] * 4, [8] * 4)
    clean = {"dimensionality": 0.99, "interference": 0.01}
    assert outcome(seeds([1.0] * 4, [4, 4, 5, 6], **clean), np.ones(4), plain, M) == "eliminated"
    assert outcome(seeds([1.0] * 4, [4, 5, 6, 6], **clean), np.ones(4), plain, M) == "reduced"
    assert outcome(seeds([0.1] * 4, [4, 4, 4, 4], **clean), [0, 0.09, 1, 1], plain, M) == "given up"
    assert outcome(seeds([0.1] * 4, [4, 4, 4, 4], **clean), [0, 0.11, 1, 1], plain, M) == "eliminated"
    assert outcome(plain, np.ones(4), plain, M) == "none"
    plain, two = seeds([2.0] * 5, [8] * 5), seeds([1.0] * 5, [4, 4, 5, 5, 6], **clean)
    assert outcome(two, np.ones(5), plain, M) == "reduced"
    assert outcome(two, [0.0, 0.0, 1.0, 1.0, 1.0], plain, M) == "reduced"


def test_a_table_of_outcomes_is_that_of_its_cells():
    """Two trainings of three seeds and norms, each cell built to end in one way, whatever the order of the axes."""
    ends = {"none": (2.0, 8, 0.5, 1.0, 2), "eliminated": (1.0, 4, 1.0, 0.0, 1), "given up": (0.0, 0, 0.0, 0.0, 0)}
    ends["reduced"] = (1.5, 7, 0.5, 1.0, 1.5)  # than at norm 0
    wanted = np.array([["none", "reduced", "eliminated"], ["none", "given up", "reduced"]])
    values = np.array([[[ends[name] for name in row] for _ in range(3)] for row in wanted])  # training, seed, norm
    fields = ("features_per_dimension", "kept", "dimensionality", "interference", "saving")
    data = {name: (("training", "seed", "norm"), values[..., i]) for i, name in enumerate(fields)}
    data |= dict.fromkeys(("mean_interference", "effective", "longest"), data["kept"])
    data = xr.Dataset(data, {"training": ["a", "b"], "norm": [0.0, 0.5, 1.0]})
    for order in (("training", "seed", "norm"), ("norm", "seed", "training")):
        table = outcomes(data.transpose(*order), M)
        assert table.dims == ("training", "norm")
        assert (table.values == wanted).all()
    with pytest.raises(ValueError, match=r"^the first norm must be 0, plain training, got 0\.5; sort by norm$"):
        outcomes(data.isel(norm=[1, 0, 2]), M)


# Models that diverged


@pytest.mark.parametrize("shape", [(3, 6), (20, 100)])  # of the larger, XLA's maximum on a CPU leaves NaN out
@pytest.mark.parametrize("where", [slice(None), (1, 2)], ids=["everywhere", "in one entry"])
def test_what_a_model_of_nan_represents_is_not_known(shape, where):
    W = jnp.ones(shape).at[where].set(jnp.nan)
    assert np.isnan(superposition(W)).all()
    found = jax.vmap(superposition)(jnp.stack([W, jnp.ones(shape)]))
    assert np.isnan(found).tolist() == [[True, False]] * 7


LEAVE_OUT = "leave out what diverged, and say so"


@pytest.mark.parametrize(
    "call",
    [
        lambda found: eliminated(found, np.ones(4), M),
        lambda found: reduced(found, seeds([2.0] * 4, [8.0] * 4)),
        lambda found: reduced(seeds([2.0] * 4, [8.0] * 4), found),
        lambda found: outcome(found, np.ones(4), seeds([2.0] * 4, [8.0] * 4), M),
        lambda found: outcome(seeds([0.0] * 4, [0.0] * 4), np.zeros(4), found, M),
    ],
)
def test_models_that_diverged_have_no_outcome(call):
    """Not even where the others decide, or where a store has 0 for the number of features kept of a failed point."""
    found = seeds([1.0, np.nan, 1.0, 1.0], [0, 0, 0, 0])
    message = f"features_per_dimension must be finite, got NaN or infinity in 1 of 4 entries; {LEAVE_OUT}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        call(found)
    with pytest.raises(ValueError, match=f"^features_per_dimension must be finite, .*; {LEAVE_OUT}$"):
        call(jax.vmap(superposition)(jnp.full((4, M, N), jnp.nan)))


def test_a_saving_of_nan_is_no_outcome():
    sick = Params(jnp.full((M, N), jnp.nan), jnp.zeros(N))
    kept_saving = saving(sick, jnp.ones((2, N)), 0.9)
    message = "kept_saving must be finite, got NaN or infinity"
    for call in (given_up, lambda value: eliminated(superposition(ideal()), value, M)):
        with pytest.raises(ValueError, match=f"^{message}"):
            call(kept_saving)


def test_a_table_with_a_model_that_diverged_is_refused():
    values = np.ones((2, 3))
    fields = (*Superposition._fields, "saving")
    data = xr.Dataset(dict.fromkeys(fields, (("seed", "norm"), values)), {"norm": [0.0, 0.5, 1.0]})
    assert outcomes(data, M).values.tolist() == ["none"] * 3
    with pytest.raises(ValueError, match=f"^kept must be finite, got NaN or infinity in 1 of 2 entries; {LEAVE_OUT}$"):
        outcomes(data.assign(kept=data.kept.where((data.seed > 0) | (data.norm < 1))), M)


# Robustness


def test_an_attack_of_norm_zero_gives_the_clean_loss():
    params = Params(pairs(), jnp.full(N, -0.1))
    X = Independent(N).sample(0.7, BATCH, key=KEY)
    assert float(attacked_loss(params, X, 0.0, key=KEY)) == pytest.approx(float(loss(params, X)), rel=1e-5)


def test_the_attack_finds_the_worst_of_the_row_space():
    """Of 100 models and sets of samples; a search from 13 starts misses the highest peak of a few."""
    shares = []
    for seed, radius in enumerate(np.random.default_rng(0).uniform(0.05, 1.0, 100)):
        keys = jax.random.split(jax.random.key(seed), 4)
        params = Params(0.6 * jax.random.normal(keys[0], (2, 5)), 0.2 * jax.random.normal(keys[1], (5,)))
        X = Independent(5).sample(0.5, 4, key=keys[2])
        found = float(attacked_loss(params, X, radius, key=keys[3]))
        angles, lengths = np.meshgrid(np.linspace(0, 2 * np.pi, 361), np.linspace(0, radius, 26))
        _, _, rows = np.linalg.svd(np.asarray(params.W, float), full_matrices=False)
        W, b = (np.asarray(leaf, float) for leaf in params)
        deltas = np.stack([lengths * np.cos(angles), lengths * np.sin(angles)], -1).reshape(-1, 2) @ rows
        outputs = np.maximum((np.asarray(X, float)[:, None] + deltas) @ W.T @ W + b, 0)
        worst = np.square(outputs - np.asarray(X, float)[:, None]).sum(-1).max(1).mean()
        shares.append(found / worst)
    assert max(shares) <= 1.005
    assert np.mean(np.array(shares) >= 0.995) >= 0.98
    assert min(shares) >= 0.985


def test_the_ideal_model_loses_what_it_must():
    """W = [I 0], bias p/2 on the dropped: the floor of the clean loss, and radius² more under attack."""
    density, radius = 0.4, 0.2
    params = Params(ideal(), jnp.where(jnp.arange(N) < M, 0, jnp.float32(density / 2)))
    X = Independent(N).sample(1 - density, 20_000, key=KEY)
    floor = (N - M) * theory.dropped_feature_loss(1 - density)
    clean = float(loss(params, X))
    assert clean == pytest.approx(floor, rel=0.02)
    attacked = float(attacked_loss(params, X[:BATCH], radius, key=KEY))
    assert attacked - float(loss(params, X[:BATCH])) == pytest.approx(radius**2, rel=1e-3)


ATTACKABLE = "attack a model that has not diverged, on finite inputs"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"radius": -0.1},
            ValueError,
            "radius must be at least 0 and finite in single precision, got -0.1; it is an L2 norm",
        ),
        (
            {"radius": np.array([0.1, 0.3])},
            ValueError,
            "radius must be a scalar, got shape (2,); jax.vmap over this function takes more norms",
        ),
        (
            {"X": jnp.ones(N)},
            ValueError,
            "x must have shape (any, 12), got (12,); its rows are samples, so one sample is x[None]",
        ),
        ({"key": 3}, TypeError, "key must come from jax.random.key, got 3; pass jax.random.key(seed)"),
        (
            {"key": jax.random.split(KEY)},
            ValueError,
            "key must have rank 0, got shape (2,); pass one key, which is split over the samples",
        ),
        (
            {"params": Params(ideal().at[1, 2].set(jnp.nan), jnp.zeros(N))},
            ValueError,
            f"W must be finite, got NaN or infinity in 1 of 48 entries; {ATTACKABLE}",
        ),
        (
            {"params": Params(ideal(), jnp.full(N, jnp.inf))},
            ValueError,
            f"b must be finite, got NaN or infinity in 12 of 12 entries; {ATTACKABLE}",
        ),
        (
            {"X": jnp.full((2, N), jnp.nan)},
            ValueError,
            f"x must be finite, got NaN or infinity in 24 of 24 entries; {ATTACKABLE}",
        ),
    ],
)
def test_arguments_of_robustness_are_checked(change, error, message):
    arguments = {"params": Params(ideal(), jnp.zeros(N)), "X": jnp.ones((2, N)), "radius": 0.1, "key": KEY} | change
    with pytest.raises(error) as caught:
        attacked_loss(**arguments)
    assert str(caught.value) == message


def test_robustness_over_norms_by_vmap_as_the_message_says():
    params, X = Params(pairs(), jnp.full(N, -0.1)), Independent(N).sample(0.7, BATCH, key=KEY)
    norms = jnp.array([0.0, 0.4])
    found = jax.vmap(lambda radius: attacked_loss(params, X, radius, key=KEY))(norms)
    assert float(found[0]) == pytest.approx(float(loss(params, X)), rel=1e-5)
    assert float(found[1]) == pytest.approx(float(attacked_loss(params, X, 0.4, key=KEY)), rel=1e-3)


# Training under attack

FEW = {"n_steps": 3, "restarts": 1, "starts": ("random",)}
ATTACKS = {
    "random feature, +": attacks.random_feature,
    "random feature, ±": partial(attacks.random_feature, signs="±"),
    "worst feature": attacks.analytic,
    "one step": attacks.one_step,
    "PGD": partial(attacks.pgd, **FEW),
    "latent PGD": partial(attacks.latent, **FEW),
}


@lru_cache
def trained(attack=None):
    options = {"n_hidden": M, "n_steps": 400, "batch_size": 128, "learning_rate": 0.01, "snapshots": (400,)}
    if attack:
        options |= {"perturb": ATTACKS[attack], "radius": 0.3}
    return train(Independent(N), 0.9, key=KEY, scale=0.1, **options).params


@pytest.mark.parametrize("attack", ATTACKS)
def test_training_on_an_attack_makes_robust_to_stronger_ones(attack):
    X = Independent(N).sample(0.9, BATCH, key=jax.random.key(1))
    under = {name: float(attacked_loss(trained(name), X, 0.3, key=KEY)) for name in (None, attack)}
    assert under[attack] < 0.95 * under[None]
    assert float(loss(trained(attack), X)) > float(loss(trained(), X))
