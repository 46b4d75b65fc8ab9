"""Measures along a run against geometry, one snapshot and one function at a time; the rotation that sets it upright."""

import jax.numpy as jnp
import numpy as np
import pytest

from toylib import geometry
from toylib.features import Correlated
from toylib.geometry import Trajectory, template, template_prism, trajectory, upright
from toylib.model import Params
from toylib.training import Run

F = Correlated(2, 3)
S = 0.9


def orthogonal(seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


LINES = np.array([[0] * 6, [0] * 6, [-0.4, 0, 0.4, -0.4, 0, 0.4]])


def noisy(W, seed, size=0.05):
    return W + size * np.random.default_rng(seed).normal(size=(3, 6))


WEIGHTS = np.float32(
    [
        noisy(np.zeros((3, 6)), 0, 0.01),
        noisy(0.4 * template("pca"), 1, 0.01),
        noisy(template("pca"), 2, 0.01),
        noisy(template("pca"), 3, 0.01),
        noisy(template("pca") + LINES, 4),
        noisy(template_prism(1.1, 0.5, 20), 5),
        noisy(orthogonal(0) @ template("octahedron"), 6),
    ]
)
PHASES = [("A", 0, 40), ("B", 40, 60), ("C", 60, 80), ("D", 80, 120)]
COLLAPSED = 4  # snapshots until the end of B


def run_of(weights):
    weights = np.float32(weights)
    T = len(weights)
    params = Params(jnp.asarray(weights[-1]), jnp.zeros(6))
    return Run(params, 20 * np.arange(T), np.linspace(1, 0, T), weights, np.zeros((T, 6)), np.array(False))


def test_a_trajectory_equals_geometry_snapshot_by_snapshot():
    run = run_of(WEIGHTS)
    found = trajectory(run, F, S)
    covariance = F.covariance(S)
    assert isinstance(found, Trajectory)
    assert np.array_equal(found.steps, run.steps)
    assert np.array_equal(found.losses, run.losses)
    assert found.phases == geometry.phases(run, F.sets)
    assert [tuple(phase) for phase in found.phases] == PHASES
    shapes = [np.shape(value)[1:] for value in found[2:-1]]
    assert shapes == [(3, 6), (3,), (), (), (), (2,), ()]
    for t, W in enumerate(map(jnp.asarray, WEIGHTS)):
        expected = {
            "overlap": geometry.pca_overlap(W, covariance, 2),
            "within_energy": geometry.within_energy(W, F.sets),
            "mean_cosine": geometry.mean_cosine(W, F.sets),
            "flatness": geometry.flatness(W, F.sets),
            "twist": geometry.twist(W, F.sets),
            "singular_values": np.sqrt(np.linalg.eigvalsh(np.float64(W @ W.T))[::-1]),
        }
        if t < COLLAPSED:
            expected |= {"flatness": [np.nan] * 2, "twist": np.nan}
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name)[t], value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert np.isnan(found.twist).tolist() == [True] * 5 + [False] * 2
    assert all(isinstance(value, np.ndarray) for value in found[:-1])


def test_a_trajectory_turns_the_whole_run_by_one_rotation():
    run = run_of(WEIGHTS)
    weights = trajectory(run, F, S).weights
    turns = [np.linalg.lstsq(np.float64(before).T, np.float64(after).T)[0].T for before, after in zip(
        WEIGHTS, weights, strict=True)]  # fmt: skip
    for turn in turns:
        np.testing.assert_allclose(turn, turns[-1], atol=1e-4)
    np.testing.assert_allclose(turns[-1], upright(run.weights[-1], F.sets), atol=1e-4)
    difference = weights[-1][:, :3].mean(1) - weights[-1][:, 3:].mean(1)
    assert difference[2] > 1
    np.testing.assert_allclose(difference[:2], 0, atol=1e-5)


def test_a_trajectory_that_ends_at_zero():
    found = trajectory(run_of(np.zeros((3, 3, 6))), F, S)
    assert np.array_equal(found.weights, np.zeros((3, 3, 6)))
    assert np.isnan(found.twist).all()
    assert np.isnan(found.flatness).all()
    for name in ("singular_values", "overlap", "within_energy", "mean_cosine"):
        assert np.isfinite(getattr(found, name)).all(), name


def test_a_trajectory_of_a_run_that_diverged_is_that_of_its_finite_part():
    nan = np.full((2, 3, 6), np.nan)
    plain, found = (trajectory(run_of(W), F, S) for W in (WEIGHTS, np.concatenate([WEIGHTS, nan])))
    assert found.phases == plain.phases
    for name in ("weights", "singular_values", "overlap", "within_energy", "mean_cosine", "flatness", "twist"):
        np.testing.assert_allclose(getattr(found, name)[:-2], getattr(plain, name), rtol=1e-5, atol=1e-6, err_msg=name)
        assert np.isnan(getattr(found, name)[-2:]).all(), name
    assert np.isnan(trajectory(run_of(nan), F, S).weights).all()


@pytest.mark.parametrize("sets", [((0, 1, 2), (3, 4, 5)), ((5, 0, 3), (4, 2, 1))])
@pytest.mark.parametrize("seed", range(4))
def test_upright_is_a_rotation_that_stands_the_means_up(seed, sets):
    W = np.float32(np.random.default_rng(seed).normal(size=(3, 6)))
    Q = upright(W, sets)
    assert Q.dtype == np.float32
    np.testing.assert_allclose(Q @ Q.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(np.float64(Q)) == pytest.approx(1, abs=1e-6)
    moved = np.float64(Q) @ W
    np.testing.assert_allclose(moved.T @ moved, np.float64(W).T @ W, atol=1e-5)
    difference = moved[:, list(sets[0])].mean(1) - moved[:, list(sets[1])].mean(1)
    length = np.linalg.norm(W[:, list(sets[0])].mean(1) - W[:, list(sets[1])].mean(1))
    np.testing.assert_allclose(difference, [0, 0, length], atol=1e-5)
    front = moved[:, sets[0][0]]
    assert front[0] > 0
    assert front[1] == pytest.approx(0, abs=1e-5)


def test_upright_does_not_depend_on_how_the_model_was_turned():
    W = WEIGHTS[-1]
    turn = orthogonal(3)
    turn *= np.linalg.det(turn)  # of three dimensions: now a rotation
    np.testing.assert_allclose(upright(turn @ W, F.sets) @ turn @ W, upright(W, F.sets) @ W, atol=1e-5)


CORNER = np.array([[0.0] * 6, [0.0] * 6, [1, 1, 1, -1, -1, -1]])


@pytest.mark.parametrize(
    "W", [np.zeros((3, 6)), np.ones((3, 6)), CORNER, -CORNER, CORNER[[2, 1, 0]], 1e-9 * WEIGHTS[-1]]
)
def test_upright_of_a_degenerate_model_is_still_a_rotation(W):
    """The means may coincide, or the first feature may lie on the axis."""
    Q = upright(W, F.sets)
    assert np.isfinite(Q).all()
    np.testing.assert_allclose(Q @ Q.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(np.float64(Q)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("part", "sign"), [(0.35, -1), (0.25, 1)])
def test_an_axis_points_to_the_first_feature_that_has_a_clear_part_in_it(part, sign):
    W = np.array([[-part, 1, 0], [0, 0, 2]])
    np.testing.assert_allclose(upright(W, ((0,), (1,), (2,)))[1], [sign, 0], atol=0.01)


def test_axes_of_one_strength_come_in_the_order_of_the_features_the_first_set_last():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    np.testing.assert_allclose(upright(turn, ((0,), (1,), (2,), (3,))) @ turn, np.eye(4)[[1, 2, 3, 0]], atol=1e-5)


def test_upright_leaves_the_array_alone():
    W = WEIGHTS[-1].copy()
    upright(W, F.sets)
    assert np.array_equal(W, WEIGHTS[-1])


def test_without_phases_a_and_b_shapes_are_measured_everywhere():
    """A model that starts as an octahedron has phase E alone."""
    found = trajectory(run_of([template("octahedron")] * 3), F, S)
    assert [phase.name for phase in found.phases] == ["E"]
    np.testing.assert_allclose(found.flatness, 1, atol=1e-3)
    np.testing.assert_allclose(found.twist, 60, atol=0.05)
