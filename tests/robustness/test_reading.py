"""Probes and rotations on models whose answer is known, against SciPy, and against a search of all angles."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats

from toylib.model import Params
from toylib.robustness import monosemanticity, probe, rotated

N, M, S = 12, 4, 0.8
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
FIT, HELD_OUT = map(jnp.asarray, np.float32(RNG.random((2, 20_000, N)) * (RNG.random((2, 20_000, N)) > S)))
RANDOM = jnp.asarray(RNG.normal(size=(M, N)) * np.linspace(0.2, 1.5, N), jnp.float32)


def model(W):
    return Params(jnp.asarray(W, jnp.float32), jnp.full(np.shape(W)[1], 0.3))


def turn(m=M):
    """A rotation."""
    return jnp.linalg.qr(jax.random.normal(jax.random.key(7), (m, m)))[0]


# Probes


def test_a_feature_on_an_axis_is_read_and_a_dropped_one_is_not():
    found = probe(model(turn() @ jnp.eye(M, N)), FIT, HELD_OUT)
    np.testing.assert_allclose(found.auc[:M], 1, atol=0.01)
    np.testing.assert_allclose(found.auc[M:], 0.5, atol=0.04)
    np.testing.assert_allclose(found.explained[:M], 1, atol=1e-5)
    np.testing.assert_allclose(found.explained[M:], 0, atol=0.01)


def test_a_short_direction_is_read_as_well_as_a_long_one():
    """Without noise: of a thousandth of the others' length, far above rounding."""
    found = probe(model(jnp.eye(M, N) * jnp.where(jnp.arange(N) == 1, 1e-3, 1)[None]), FIT, HELD_OUT)
    np.testing.assert_allclose(found.auc[:M], 1, atol=0.01)
    np.testing.assert_allclose(found.explained[:M], 1, atol=1e-3)


def test_a_direction_that_the_fit_never_sees_disturbs_no_reading():
    """There the fit has rounding alone, but the samples that are read have a feature."""
    found = probe(model(turn() @ jnp.eye(M, N)), FIT.at[:, 2].set(0), HELD_OUT)
    np.testing.assert_allclose(found.explained[jnp.asarray([0, 1, 3])], 1, atol=1e-5)


def test_nothing_is_read_from_a_dead_model():
    found = probe(model(np.zeros((M, N))), FIT, HELD_OUT)
    np.testing.assert_allclose(found.auc, 0.5, atol=1e-6)
    np.testing.assert_allclose(found.explained, 0, atol=0.01)


def test_opposite_pairs_are_read_as_often_as_their_closed_form_says():
    """The reading is a multiple of U - U' with uniform values: positive if the other is off, else in half of the cases.

    Against a sample without the feature: p both others are on and U + U'' > U' (5/6), and so on.
    """
    p = 1 - S
    W = np.concatenate([np.eye(M), -np.eye(M), np.zeros((M, N - 2 * M))], 1)
    found = probe(model(W), FIT, HELD_OUT)
    expected = (1 - p) + p * (1 - p) / 2 + p**2 * 5 / 6
    np.testing.assert_allclose(found.auc[: 2 * M].mean(), expected, atol=0.006)
    np.testing.assert_allclose(found.explained[: 2 * M].mean(), 0.5, atol=0.01)


def test_probes_agree_with_scipy():
    found = probe(model(RANDOM), FIT, HELD_OUT)
    hidden, held_out = (
        np.c_[np.asarray(x, float) @ np.asarray(RANDOM, float).T, np.ones(len(x))] for x in (FIT, HELD_OUT)
    )
    for i in (0, 5, N - 1):
        value, active = np.asarray(HELD_OUT[:, i], float), np.asarray(HELD_OUT[:, i]) > 0
        readings = held_out @ linalg.lstsq(hidden, np.asarray(FIT[:, i], float) > 0)[0]
        pairs = stats.mannwhitneyu(readings[active], readings[~active]).statistic / (active.sum() * (~active).sum())
        assert float(found.auc[i]) == pytest.approx(pairs, abs=1e-4)
        error = value - held_out @ linalg.lstsq(hidden, np.asarray(FIT[:, i], float))[0]
        assert float(found.explained[i]) == pytest.approx(1 - (error**2).mean() / value.var(), abs=1e-4)


@pytest.mark.parametrize("rank", [M, M - 1])
def test_r2_of_all_features_adds_up_to_the_rank(rank):
    """For any W, and each is the diagonal entry of the projector on its rows."""
    W = RANDOM.at[rank:].set(RANDOM[: M - rank])
    found = probe(model(W), FIT, HELD_OUT)
    assert float(found.explained.sum()) == pytest.approx(rank, abs=0.03)
    wide = np.asarray(W, float)
    np.testing.assert_allclose(found.explained, np.diag(np.linalg.pinv(wide) @ wide), atol=0.03)


def test_length_and_rotation_of_the_hidden_space_do_not_matter_to_a_probe():
    found, other = (probe(model(W), FIT, HELD_OUT) for W in (RANDOM, 1e-3 * turn() @ RANDOM))
    np.testing.assert_allclose(found.auc, other.auc, atol=1e-3)
    np.testing.assert_allclose(found.explained, other.explained, atol=1e-3)


def test_a_feature_that_never_varies_has_no_score():
    found = probe(model(RANDOM), FIT, HELD_OUT.at[:, 2].set(0).at[:, 3].set(1))
    assert np.isnan(found.auc[2:4]).all()
    assert np.isnan(found.explained[2:4]).all()
    assert np.isfinite(found.auc[4:]).all()


def test_probes_refuse_what_they_cannot_read():
    with pytest.raises(ValueError, match="W must be finite"):
        probe(model(RANDOM.at[0, 0].set(jnp.nan)), FIT, HELD_OUT)
    with pytest.raises(ValueError, match="x must have shape"):
        probe(model(RANDOM), FIT, HELD_OUT[:, 1:])
    with pytest.raises(ValueError, match="held_out must be finite"):
        probe(model(RANDOM), FIT, HELD_OUT.at[0, 0].set(jnp.inf))


# Axes


def test_a_feature_on_each_axis_is_found_again():
    turned = rotated(turn() @ jnp.eye(M, N), key=KEY)
    np.testing.assert_allclose(turned, np.eye(M, N), atol=1e-5)  # in their order, and with their signs
    assert float(monosemanticity(turned)) == pytest.approx(1, abs=1e-5)
    assert float(monosemanticity(turn() @ jnp.eye(M, N))) < 0.9


def test_opposite_pairs_share_their_units():
    W = turn() @ jnp.concatenate([jnp.eye(M), -jnp.eye(M), jnp.zeros((M, N - 2 * M))], 1)
    assert float(monosemanticity(rotated(W, key=KEY))) == pytest.approx(0.5, abs=1e-5)


def test_varimax_is_the_best_of_all_angles():
    W = np.asarray(RANDOM[:2], float)

    def criterion(B):
        return np.square(B).var(-1).sum()

    turns = ([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]] for t in np.linspace(0, np.pi, 2001))
    best = max(criterion(np.array(R) @ W) for R in turns)
    turned = rotated(RANDOM[:2], key=KEY)
    assert criterion(np.asarray(turned, float)) == pytest.approx(best, rel=1e-4)
    np.testing.assert_allclose(turned.T @ turned, W.T @ W, atol=1e-5)


def kaiser(B, sweeps=20):
    """Varimax as Kaiser did it: two rows at a time by the angle that is best for them."""
    for _ in range(sweeps):
        for i, j in combinations(range(len(B)), 2):
            u, v = B[i] ** 2 - B[j] ** 2, 2 * B[i] * B[j]
            both = 2 * (u @ v - u.sum() * v.sum() / len(u))
            t = np.arctan2(both, u @ u - v @ v - (u.sum() ** 2 - v.sum() ** 2) / len(u)) / 4
            B[[i, j]] = [[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]] @ B[[i, j]]
    return np.square(B).var(-1).sum()


def test_of_several_maxima_the_largest_is_kept():
    """Half of the starts end in one that is 4 % lower."""
    rng = np.random.default_rng(467)
    W = np.linalg.qr(rng.normal(size=(N, M)))[0].T
    ends = [kaiser(R @ W) for R in np.linalg.qr(rng.normal(size=(12, M, M)))[0]]
    assert min(ends) < 0.97 * max(ends)
    for key in jax.random.split(KEY, 2):
        turned = np.asarray(rotated(jnp.asarray(W, jnp.float32), key=key), float)
        assert np.square(turned).var(-1).sum() == pytest.approx(max(ends), rel=1e-4)


def test_no_rotation_at_random_is_better():
    turns = np.linalg.qr(np.random.default_rng(0).normal(size=(500, M, M)))[0]
    best = np.square(turns @ np.asarray(RANDOM)).var(-1).sum(-1).max()
    assert np.square(rotated(RANDOM, key=KEY)).var(-1).sum() >= best


def test_monosemanticity_of_unequal_units_weighs_them():
    W = jnp.asarray([[2.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    assert float(monosemanticity(W)) == pytest.approx((4 + 1) / 7)
    assert float(monosemanticity(jnp.zeros((M, N)))) == 0
    assert np.isnan(monosemanticity(W.at[0, 0].set(jnp.nan)))


def test_rotations_refuse_what_they_cannot_turn():
    with pytest.raises(ValueError, match="W must be finite"):
        rotated(RANDOM.at[0, 0].set(jnp.nan), key=KEY)
    with pytest.raises(ValueError, match="restarts must be at least 1"):
        rotated(RANDOM, key=KEY, restarts=0)
    with pytest.raises(TypeError, match="key must come from"):
        rotated(RANDOM, key=0)
    with pytest.raises(ValueError, match="W must have shape"):
        monosemanticity(RANDOM[0])


def test_nan_is_read_as_nan_where_it_is_traced():
    with_hole = HELD_OUT[:64].at[3, 1].set(jnp.nan)
    found = jax.jit(probe)(Params(RANDOM, jnp.zeros(N)), FIT[:64], with_hole)
    assert jnp.isnan(found.auc).all()
    assert jnp.isnan(jax.jit(probe)(model(RANDOM * jnp.nan), FIT[:64], HELD_OUT[:64]).auc).all()


@pytest.mark.parametrize("scale", [1e-25, 1e10, 1e25])
def test_the_size_of_the_weights_does_not_matter_to_axes(scale):
    assert float(monosemanticity(RANDOM * scale)) == pytest.approx(float(monosemanticity(RANDOM)), rel=1e-5)
    turned = rotated(RANDOM * scale, key=KEY)
    np.testing.assert_allclose(turned / scale, rotated(RANDOM, key=KEY), atol=1e-4)


def test_half_precision_is_taken():
    half = RANDOM.astype(jnp.bfloat16)
    assert float(monosemanticity(jnp.full((8, 20), 60, jnp.float16))) == pytest.approx(0.05)
    assert rotated(half, key=KEY).dtype == jnp.float32
    assert jnp.isfinite(probe(Params(half, jnp.zeros(N, jnp.bfloat16)), FIT[:64], HELD_OUT[:64]).auc).any()
