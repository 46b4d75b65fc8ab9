"""Phases and trajectories of sets of any sizes: runs made by hand, and trained ones."""

from itertools import pairwise

import jax
import numpy as np
import pytest
from arrangements import orthogonal, polygon, prism, run_of, sets_of

from toylib import geometry
from toylib.features import Anticorrelated, Correlated
from toylib.geometry import templates, trajectory, upright
from toylib.training import train

PAIRS = sets_of(2, 2)


def opened(angle, length=1.0):
    """Two pairs in two dimensions, their means opposite, each opened by an angle in degrees."""
    half = np.radians(angle / 2) * np.array([1, -1, 1, -1])
    return length * np.array([np.cos(half) * [1, 1, -1, -1], np.sin(half)])


ORIGIN, SQUARE = np.zeros((2, 4)), opened(90)
PCA, COLLINEAR = (templates(PAIRS, 2)[name] for name in ("pca", "collinear"))
QUADS = templates(sets_of(4, 4), 4)
CROSS, FOUR_PCA = QUADS["cross-polytope, antipodes between sets"], QUADS["pca"]
LINES = FOUR_PCA + 0.4 * np.array([[0] * 8] * 2 + [[-1, 1, -1, 1] * 2] + [[0] * 8])
FLAT = templates(sets_of(3, 4), 2)["heptagon, sets AAABBBB around"]


def half_opened(energy):
    """Opposite pairs, of which one is opened: a share sin²/2 of ‖W‖² is then within the sets."""
    return np.hstack([opened(0)[:, :2], opened(2 * np.degrees(np.arcsin(np.sqrt(2 * energy))))[:, 2:]])


def triples(squash):
    """Two triangles in four dimensions, the second one of this flatness."""
    W = np.hstack([prism(1.1, 0.5, 0)[:, :3], prism(1.1, 0.5, 0, squash)[:, 3:]])
    return np.vstack([W, np.zeros(6)])


STAGES = {
    "five phases of pairs": (
        [(ORIGIN, 2), (PCA, 3), (opened(59), 2), (opened(61), 2), (SQUARE, 2)],
        PAIRS,
        [("A", 0, 40), ("B", 40, 80), ("C", 80, 120), ("D", 120, 180), ("E", 180, 200)],
    ),
    "collinear B, no D": (
        [(ORIGIN, 2), (COLLINEAR, 3), (opened(59), 2), (SQUARE, 2)],
        PAIRS,
        [("A", 0, 40), ("B (collinear)", 40, 80), ("C", 80, 120), ("D", 120, 140), ("E", 140, 160)],
    ),
    "ends collapsed": ([(ORIGIN, 2), (PCA, 5)], PAIRS, [("A", 0, 40), ("B", 40, 120)]),
    "one set stays at the origin": ([(ORIGIN, 2), (PCA * [1, 1, 0, 0], 3)], PAIRS, [("A", 0, 80)]),
    "leaves the square and comes back": (
        [(ORIGIN, 1), (SQUARE, 2), (opened(61), 1), (SQUARE, 3)],
        PAIRS,
        [("A", 0, 20), ("D", 20, 80), ("E", 80, 120)],
    ),
    "leaves the square for good": (
        [(ORIGIN, 1), (SQUARE, 2), (opened(61), 1)],
        PAIRS,
        [("A", 0, 20), ("D", 20, 60)],
    ),
    "there from the start": ([(SQUARE, 3)], PAIRS, [("E", 0, 40)]),
    "five phases of fours": (
        [(np.zeros((4, 8)), 2), (FOUR_PCA, 3), (LINES, 2), (1.3 * CROSS, 2), (CROSS, 2)],
        sets_of(4, 4),
        [("A", 0, 40), ("B", 40, 80), ("C", 80, 120), ("D", 120, 180), ("E", 180, 200)],
    ),
    "one set alone": (
        [(np.zeros((2, 5)), 2), (0.45 * polygon(5) * [[1], [0.5]], 2), (1.2 * polygon(5), 3)],
        sets_of(5),
        [("A", 0, 80), ("E", 80, 120)],
    ),
    "features of their own have no B": (
        [(np.zeros((2, 5)), 2), (2.5 * polygon(5) * [[1], [0.3]], 2), (1.2 * polygon(5), 3)],
        sets_of(1, 1, 1, 1, 1),
        [("A", 0, 40), ("D", 40, 80), ("E", 80, 120)],
    ),
    "an end with a flat set is an end": (
        [(np.zeros((2, 7)), 2), (FLAT, 3)],
        sets_of(3, 4),
        [("A", 0, 40), ("E", 40, 80)],
    ),
    "an end that is nearly collapsed is an end": (  # within the one pair is a hundredth of ‖W‖²
        [(np.zeros((100, 100)), 2), (np.eye(100), 3)],
        sets_of(2, *[1] * 98),
        [("A", 0, 40), ("E", 40, 80)],
    ),
    "an end of short columns is an end": (
        [(np.zeros((2, 5)), 2), (0.9 * polygon(5), 3)],
        sets_of(1, 1, 1, 1, 1),
        [("A", 0, 40), ("E", 40, 80)],
    ),
    "one set not quite grown": (
        [(ORIGIN, 2), (PCA * np.sqrt([1.3, 1.3, 0.895, 0.895]), 1), (PCA, 2)],
        PAIRS,
        [("A", 0, 60), ("B", 60, 80)],
    ),
    "both sets just grown": (
        [(ORIGIN, 2), (PCA * np.sqrt([1.3, 1.3, 0.905, 0.905]), 1), (PCA, 2)],
        PAIRS,
        [("A", 0, 40), ("B", 40, 80)],
    ),
    "still collapsed": (
        [(ORIGIN, 2), (PCA, 2), (half_opened(0.0198), 1), (opened(61), 2)],
        PAIRS,
        [("A", 0, 40), ("B", 40, 80), ("D", 80, 120)],
    ),
    "no longer collapsed": (
        [(ORIGIN, 2), (PCA, 2), (half_opened(0.0202), 1), (opened(61), 2)],
        PAIRS,
        [("A", 0, 40), ("B", 40, 60), ("C", 60, 80), ("D", 80, 120)],
    ),
    "a triple not quite open": (
        [(np.zeros((4, 6)), 2), (triples(1), 1), (triples(0.297), 1), (triples(1), 2)],
        sets_of(3, 3),
        [("A", 0, 40), ("C", 40, 60), ("D", 60, 100)],
    ),
    "a triple just open": (
        [(np.zeros((4, 6)), 2), (triples(1), 1), (triples(0.303), 1), (triples(1), 2)],
        sets_of(3, 3),
        [("A", 0, 40), ("D", 40, 100)],
    ),
    "not quite at the square": (
        [(ORIGIN, 2), (SQUARE * np.sqrt(1.252), 1), (SQUARE, 2)],
        PAIRS,
        [("A", 0, 40), ("D", 40, 60), ("E", 60, 80)],
    ),
    "just at the square": (
        [(ORIGIN, 2), (SQUARE * np.sqrt(1.248), 1), (SQUARE, 2)],  # distance sqrt(8)·|s² - 1| below sqrt(1/2)
        PAIRS,
        [("A", 0, 40), ("E", 40, 80)],
    ),
    "no template": (
        [(np.zeros((3, 8)), 2), (np.repeat(templates(sets_of(1, 1, 1, 1), 3)["tetrahedron"], 2, 1) * ([1, -1] * 4), 3)],
        sets_of(2, 2, 2, 2),
        [("A", 0, 40), ("D", 40, 80)],
    ),
}


@pytest.mark.parametrize("name", STAGES)
def test_phases_of_prescribed_runs(name):
    stages, sets, expected = STAGES[name]
    run = run_of(*stages)
    found = geometry.phases(run, sets)
    assert [tuple(phase) for phase in found] == expected
    turn = np.float32(orthogonal(4, run.weights.shape[1]))
    assert geometry.phases(run._replace(weights=turn @ run.weights), sets) == found
    moved = run._replace(weights=run.weights[:, :, ::-1])
    last = sum(map(len, sets)) - 1
    assert geometry.phases(moved, [[last - i for i in s] for s in sets]) == found
    nan = run_of(*stages, (np.full(run.weights.shape[1:], np.nan), 3))
    assert geometry.phases(nan, sets) == found


def test_a_flat_set_is_flat():
    """So that the run above would have a phase C if the flatness decided."""
    assert geometry.flatness(np.float32(FLAT), sets_of(3, 4)).min() < 0.3


TRAINED = [
    (Correlated(2, 2), 2, 0, "ABCDE", "square, antipodes between sets", 2 / 3),
    (Correlated(2, 2), 2, 2, "AbCDE", "square, antipodes between sets", 2 / 3),
    (Correlated(2, 4), 4, 1, "ABDE", "cross-polytope, antipodes between sets", 4 / 3),
    (Correlated(3, 2), 3, 2, "ABCDE", "octahedron, antipodes between sets", 1),
    (Anticorrelated(3, 2), 3, 2, "ADE", "octahedron, antipodes between sets", 1 / 4),
    (Anticorrelated(3, 2), 3, 0, "ADE", "octahedron, 1 of 3 antipodes within a set", 2 / 3 / 4),
    (Anticorrelated(3, 2), 3, 1, "ADE", "octahedron, antipodes within sets", 0),
]


@pytest.mark.parametrize(("features", "m", "seed", "letters", "end", "loss"), TRAINED)
def test_phases_of_trained_runs(features, m, seed, letters, end, loss):
    """Of unit vectors the loss is p²/3 for each antipodal pair whose features are on together, p²/12 for one of which
    each is chosen half of the time."""
    options = {"population": True, "batch_size": 64, "learning_rate": 3e-3, "snapshots": range(0, 3001, 10)}
    run = train(features, 0.95, key=jax.random.key(seed), n_hidden=m, n_steps=3000, **options)
    found = geometry.phases(run, features.sets)
    assert "".join("b" if "collinear" in phase.name else phase.name for phase in found) == letters
    assert (found[0].first, found[-1].last) == (0, 3000)
    assert all(a.last == b.first for a, b in pairwise(found))
    assert geometry.classify(run.weights[-1], features.sets) == end
    begin = np.searchsorted(run.steps, found[-1].first)
    distances = geometry.template_distance(run.weights[begin - 1 :], features.sets, end)
    bound = geometry.template_bound(features.sets, m)
    assert distances[0] >= bound > distances[1:].max()
    # The best lengths and angles are a little off the exact ones.
    assert float(run.losses[-1]) == pytest.approx(loss * 0.05**2, rel=0.06, abs=1e-9)
    measured = trajectory(run, features, 0.95)
    assert measured.phases == found
    np.testing.assert_allclose(np.linalg.norm(measured.weights, axis=(1, 2)), np.linalg.norm(run.weights, axis=(1, 2)),
                               rtol=1e-4)  # fmt: skip
    assert np.isnan(measured.twist).all()


# Trajectories


@pytest.mark.parametrize(
    ("features", "m"),
    [
        (Correlated(2, 2), 2),
        (Correlated(3, 2), 3),
        (Anticorrelated(1, 5), 2),
        (Correlated(5, 1), 2),
        (Correlated(2, 3), 2),
    ],
)
def test_a_trajectory_equals_geometry_snapshot_by_snapshot(features, m):
    sets, n, k = features.sets, features.n_features, len(features.sets)
    W = np.float32(np.random.default_rng(m).normal(size=(4, m, n)))
    run = run_of(*((w, 1) for w in W))
    found = trajectory(run, features, 0.9)
    closed = run.steps <= max((phase.last for phase in found.phases if phase.name[0] in "AB"), default=-1)
    pairs = [(sets[i], sets[j]) for i in range(k) for j in range(i)]
    turn = upright(W[-1], sets)
    assert found.flatness.shape == (4, k)
    for t, w in enumerate(W):
        expected = {
            "weights": turn @ w,
            "singular_values": np.linalg.svd(w, compute_uv=False),
            "overlap": geometry.pca_overlap(w, features.covariance(0.9), min(k, m)),
            "within_energy": geometry.within_energy(w, sets),
            "mean_cosine": np.mean([geometry.mean_cosine(w, pair) for pair in pairs]) if pairs else np.nan,
            "flatness": [geometry.flatness(w, (s,))[0] if len(s) > 1 and not closed[t] else np.nan for s in sets],
            "twist": np.nan,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name)[t], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("sizes", "m"), [((2, 2), 2), ((3, 3), 2), ((2, 2, 2), 3), ((6,), 3), ((4, 4), 4), ((4, 4), 3)]
)
@pytest.mark.parametrize("seed", range(3))
def test_upright_is_orthogonal_and_forgets_how_the_model_was_turned(sizes, m, seed):
    sets = sets_of(*sizes)
    rng = np.random.default_rng(seed)
    exact = list(templates(sets, m).values())
    for W in [rng.normal(size=(m, sum(sizes))), *(T + 1e-3 * rng.normal(size=T.shape) for T in exact)]:
        Q = np.float64(upright(W, sets))
        np.testing.assert_allclose(Q @ Q.T, np.eye(m), atol=1e-6)
        turn = orthogonal(seed, m)
        if m == 3 and len(sets) == 2:
            turn = turn * np.linalg.det(turn)  # that view tells a model from its mirror image
        np.testing.assert_allclose(upright(turn @ W, sets) @ turn @ W, Q @ W, atol=1e-4)


def test_upright_puts_the_strongest_directions_first():
    rng = np.random.default_rng(0)
    W = orthogonal(1, 5) @ np.diag([3, 2, 1, 0.5, 0.2]) @ np.linalg.svd(rng.normal(size=(5, 8)), full_matrices=False)[2]
    found = np.linalg.norm(upright(W, sets_of(4, 4)) @ W, axis=1)
    np.testing.assert_allclose(found, [3, 2, 1, 0.5, 0.2], rtol=0.15)


def test_upright_shows_all_corners_of_a_cross_polytope():
    """The mean of the first set is seen last: what is left of four dimensions are the corners of a cube."""
    W = orthogonal(3, 4) @ CROSS
    seen = (upright(W, sets_of(4, 4)) @ W)[:3]
    cosines = (seen.T @ seen) / 0.75
    np.testing.assert_allclose(np.sort(cosines, axis=1), [[-1, *[-1 / 3] * 3, *[1 / 3] * 3, 1]] * 8, atol=0.05)


def test_arguments_of_upright_are_checked():
    with pytest.raises(ValueError, match=r"^n_hidden must be at least 2, got 1; in one dimension there is no shape$"):
        upright(np.zeros((1, 4)), PAIRS)
    with pytest.raises(
        ValueError, match=r"^W must have shape \(any, any\), got \(2, 2, 4\); pass one model, \(m, n\)$"
    ):
        upright(np.zeros((2, 2, 4)), PAIRS)
