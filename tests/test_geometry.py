"""Geometry on exact, noisy, rotated and relabelled arrangements, near-misses, synthetic runs and one trained run."""

from functools import partial
from itertools import pairwise, permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toylib import geometry
from toylib.features import Correlated
from toylib.model import Params
from toylib.training import Run, train

SETS = ((0, 1, 2), (3, 4, 5))
RELABELLINGS = [
    order
    for a in permutations((0, 1, 2))
    for b in permutations((3, 4, 5))
    for order in ([*a, *b], [*b, *a])
]  # fmt: skip
few = settings(max_examples=25)
seeds = st.integers(0, 2**31)


def prism(r, h, twist, squash=1.0):
    """Two regular triangles, heights h and -h, the second turned by `twist` degrees; y scaled by `squash`."""
    t = np.radians([0, 120, 240])
    up = [r * np.cos(t), squash * r * np.sin(t), np.full(3, h)]
    t = t + np.radians(twist)
    down = [r * np.cos(t), squash * r * np.sin(t), np.full(3, -h)]
    return np.hstack([up, down])


def collapsed(second, opening=0.0):
    """Each set on one direction of length 1/sqrt(3), opened to a line along the third axis."""
    W = np.zeros((3, 6))
    W[0, :3] = W[1, 3:] = 1 / np.sqrt(3)
    if second == "opposite":
        W[0, 3:], W[1, 3:] = -1 / np.sqrt(3), 0
    W[2] = opening * np.array([-1, 0, 1, -1, 0, 1])
    return W


OCTAHEDRON = np.hstack([np.eye(3), -np.eye(3)])
EXACT = {
    "origin": np.zeros((3, 6)),
    "pca": collapsed("orthogonal"),
    "collinear": collapsed("opposite"),
    "lines": collapsed("orthogonal", 0.4),
    "prism": prism(np.sqrt(2 / 3), np.sqrt(1 / 3), 0),
    "twisted": prism(1.1, 0.5, 30),
    "antiprism": prism(1.1, 0.5, 60),
    "octahedron": OCTAHEDRON,
}


def orthogonal(seed, size=3):
    """Return a random rotation or reflection."""
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return q * np.sign(np.diag(r))


def f32(W):
    return jnp.asarray(W, jnp.float32)


twist = jax.jit(partial(geometry.twist, sets=SETS))
flatness = jax.jit(partial(geometry.flatness, sets=SETS))

within_energy = jax.jit(jax.value_and_grad(partial(geometry.within_energy, sets=SETS)))


@jax.jit
def dimensionality_and_slopes(W):
    return geometry.feature_dimensionality(W), jax.jacrev(geometry.feature_dimensionality)(W)


# Dimensionality and overlap


def polygon(k):
    t = 2 * np.pi * np.arange(k) / k
    return np.array([np.cos(t), np.sin(t)])


@pytest.mark.parametrize(
    ("W", "expected"),
    [
        (np.eye(3), [1, 1, 1]),
        (0.3 * np.eye(3), [1, 1, 1]),
        ([[1.0, -1.0]], [0.5, 0.5]),
        (polygon(5), [0.4] * 5),
        (polygon(3), [2 / 3] * 3),
        (OCTAHEDRON, [0.5] * 6),
        ([[1.0, 0, 0], [0, 2.0, 0]], [1, 1, 0]),
        (np.zeros((2, 3)), [0, 0, 0]),
    ],
)
def test_feature_dimensionality(W, expected):
    values, slopes = dimensionality_and_slopes(f32(W))
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert np.isfinite(slopes).all()


def test_feature_dimensionality_against_its_formula():
    W = np.random.default_rng(0).normal(size=(4, 9))
    expected = [w @ w / sum((w @ v / np.linalg.norm(w)) ** 2 for v in W.T) for w in W.T]
    np.testing.assert_allclose(geometry.feature_dimensionality(f32(W)), expected, rtol=1e-5)
    np.testing.assert_allclose(geometry.features_per_dimension(f32(W)), np.sum(W**2) / 4, rtol=1e-5)


def test_dimensionalities_of_a_tight_packing_sum_to_the_rank():
    tight = orthogonal(1, 7)[:4]
    assert float(geometry.feature_dimensionality(f32(tight)).sum()) == pytest.approx(4, rel=1e-5)


def test_features_per_dimension():
    assert float(geometry.features_per_dimension(f32(OCTAHEDRON))) == pytest.approx(2)
    assert float(geometry.features_per_dimension(f32(np.eye(5)))) == pytest.approx(1)
    assert float(geometry.features_per_dimension(f32(np.zeros((2, 5))))) == 0


def test_pca_overlap():
    covariance = Correlated(2, 3).covariance(0.9)
    differences = np.zeros((3, 6))
    differences[0, :2], differences[1, 3:5] = (1, -1), (1, -1)
    half = collapsed("opposite")
    half[1, :2] = (0.1, -0.1)
    for W, expected in ((collapsed("orthogonal"), 1), (half, 0.5), (differences, 0)):
        assert float(geometry.pca_overlap(f32(W), covariance, 2)) == pytest.approx(expected, abs=1e-5)
        turned = f32(orthogonal(3) @ W)
        assert float(geometry.pca_overlap(turned, covariance, 2)) == pytest.approx(expected, abs=1e-5)
    # In general: the mean squared cosine of the principal angles, here from projectors.
    rng = np.random.default_rng(0)
    W, A = rng.normal(size=(4, 6)), rng.normal(size=(6, 6))
    C = A @ A.T
    _, values, vectors = np.linalg.svd(W)
    strongest = vectors[np.argsort(-values)[:3]]
    eigenvalues, eigenvectors = np.linalg.eigh(C)
    axes = eigenvectors[:, np.argsort(-eigenvalues)[:3]]
    expected = np.trace(strongest.T @ strongest @ axes @ axes.T) / 3
    assert float(geometry.pca_overlap(f32(W), f32(C), 3)) == pytest.approx(expected, rel=1e-4)


# Sets


@pytest.mark.parametrize(
    ("name", "energy", "flat"),
    [
        ("origin", 0, 0),
        ("pca", 0, 0),
        ("collinear", 0, 0),
        ("octahedron", 2 / 3, 1),
        ("prism", 2 / 3, 1),
        ("lines", 4 * 0.16 / (2 + 4 * 0.16), 0),
    ],
)
def test_within_energy_and_flatness(name, energy, flat):
    W = f32(orthogonal(2) @ EXACT[name])
    value, slope = within_energy(W)
    assert float(value) == pytest.approx(energy, abs=1e-5)
    assert np.isfinite(slope).all()
    if name not in ("pca", "collinear"):  # there the ratio is one of two roundings
        np.testing.assert_allclose(flatness(W), [flat, flat], atol=1e-3)


def test_flatness_of_coinciding_columns_is_zero():
    assert np.array_equal(flatness(jnp.ones((3, 6))), [0, 0])


@few
@given(st.floats(0.05, 1), seeds)
def test_flatness_is_the_squash_of_a_regular_triangle(squash, seed):
    W = f32(orthogonal(seed) @ prism(1.0, 0.7, 0, squash=squash))
    np.testing.assert_allclose(flatness(W), [squash, squash], rtol=1e-3)


@few
@given(st.floats(0.2, 2), st.floats(0.05, 2), st.floats(0, 360), seeds)
def test_twist_is_the_angle_of_the_construction(r, h, angle, seed):
    folded = min(angle % 120, 120 - angle % 120)
    W = f32(orthogonal(seed) @ prism(r, h, angle))
    assert float(twist(W)) == pytest.approx(folded, abs=0.05)
    assert float(twist(W[:, [4, 5, 3, 1, 0, 2]])) == pytest.approx(folded, abs=0.05)


def test_twist_is_nan_where_it_means_nothing():
    assert np.isnan(twist(f32(EXACT["lines"])))
    assert np.isnan(twist(f32(EXACT["pca"])))
    assert np.isnan(twist(f32(np.zeros((3, 6)))))
    assert np.isnan(twist(f32(prism(1, 0, 30))))
    assert np.isnan(twist(f32(prism(1, 0.5, 0, squash=0.29))))
    assert float(twist(f32(prism(1, 0.5, 0, squash=0.31)))) == pytest.approx(0, abs=0.05)


mode_strengths = jax.jit(partial(geometry.mode_strengths, sets=SETS))


@pytest.mark.parametrize(
    ("W", "set_modes", "differences"),
    [
        (EXACT["pca"], [1, 1], [0, 0, 0]),
        (EXACT["collinear"], [2, 0], [0, 0, 0]),
        (EXACT["lines"], [1, 1], [4 * 0.16, 0, 0]),
        (EXACT["octahedron"], [2, 0], [2, 2, 0]),
        (EXACT["prism"], [2, 0], [2, 2, 0]),
        (EXACT["origin"], [0, 0], [0, 0, 0]),
        (np.eye(6), [1, 1], [1, 1, 1, 1, 0, 0]),
        (np.ones((1, 6)), [6], [0]),
    ],
)
def test_mode_strengths_of_known_models(W, set_modes, differences):
    turned = orthogonal(7, len(W)) @ W
    for found, expected in zip(mode_strengths(f32(turned)), (set_modes, differences), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("sets", [SETS, ((4, 0), (1, 5), (2, 3)), ((2, 0, 5, 3), (1,), (4,))])
def test_mode_strengths_against_projectors(sets):
    W = np.random.default_rng(0).normal(size=(4, 6))
    belongs = np.array([[j in s for j in range(6)] for s in sets], float)
    means = belongs.T @ np.diag(1 / belongs.sum(1)) @ belongs  # replaces each value by the mean of its set
    spectra = [np.linalg.eigvalsh(P @ W.T @ W @ P)[::-1] for P in (means, np.eye(6) - means)]
    set_modes, differences = geometry.mode_strengths(f32(W), sets)
    assert (len(set_modes), len(differences)) == (len(sets), 4)
    np.testing.assert_allclose(set_modes, spectra[0][: len(sets)], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(differences, spectra[1][:4], rtol=1e-4, atol=1e-5)
    assert float(set_modes.sum() + differences.sum()) == pytest.approx(np.square(W).sum(), rel=1e-5)


def test_mean_cosine():
    for W, expected in (
        (EXACT["pca"], 0),
        (EXACT["collinear"], -1),
        (OCTAHEDRON, -1),
        (np.ones((3, 6)), 1),
        (EXACT["origin"], 0),
    ):
        assert float(geometry.mean_cosine(f32(W), SETS)) == pytest.approx(expected, abs=1e-6)


@few
@given(seeds)
def test_align_recovers_a_rotation(seed):
    W = np.random.default_rng(seed).normal(size=(3, 6))
    aligned = geometry.align(f32(orthogonal(seed + 1) @ W), f32(W))
    np.testing.assert_allclose(aligned, W, atol=1e-4)


def test_align_is_the_best_rotation():
    rng = np.random.default_rng(0)
    W, reference = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    aligned = np.asarray(geometry.align(f32(W), f32(reference)))
    np.testing.assert_allclose(aligned.T @ aligned, W.T @ W, atol=1e-4)
    turns = np.linspace(0, 2 * np.pi, 2000)
    tried = [
        np.linalg.norm(np.array([[np.cos(t), -s * np.sin(t)], [np.sin(t), s * np.cos(t)]]) @ W - reference)
        for t in turns
        for s in (1, -1)
    ]
    assert np.linalg.norm(aligned - reference) == pytest.approx(min(tried), rel=1e-4)


# States


@pytest.mark.parametrize("state", EXACT)
def test_classify_knows_all_rotations_and_relabellings(state):
    for seed, order in enumerate(RELABELLINGS):
        assert geometry.classify(orthogonal(seed) @ EXACT[state][:, order], SETS) == state
    assert len({tuple(order) for order in RELABELLINGS}) == 72


@pytest.mark.parametrize("state", EXACT)
def test_classify_bears_noise(state):
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=(3, 6)) * 0.02
        assert geometry.classify(f32(orthogonal(seed) @ EXACT[state] + noise), SETS) == state


def test_classify_takes_the_sets_as_given():
    other = ((0, 2, 4), (5, 3, 1))
    for state, W in EXACT.items():
        moved = np.empty((3, 6))
        moved[:, [i for s in other for i in s]] = W
        assert geometry.classify(moved, other) == state


OPEN = partial(collapsed, "orthogonal")


@pytest.mark.parametrize(
    ("W", "state"),
    [
        # ‖W‖²_F < 0.2
        (EXACT["prism"] * np.sqrt(0.19 / 6), "origin"),
        (EXACT["prism"] * np.sqrt(0.21 / 6), "prism"),
        # distance of the Gram matrix to the octahedron, sqrt(12)·|s² - 1|, below 1
        (OCTAHEDRON * np.sqrt(1.28), "octahedron"),
        (OCTAHEDRON * np.sqrt(1.30), "antiprism"),
        (OCTAHEDRON * np.sqrt(0.72), "octahedron"),
        (OCTAHEDRON * np.sqrt(0.70), "antiprism"),
        # distance to collapsed sets, sqrt(2)·|s² - 1| and 2·|s² - 1|, below 0.3
        (EXACT["pca"] * np.sqrt(1.20), "pca"),
        (EXACT["pca"] * np.sqrt(1.23), "other"),
        (EXACT["collinear"] * np.sqrt(1.14), "collinear"),
        (EXACT["collinear"] * np.sqrt(1.16), "other"),
        # within-energy 4t²/(2 + 4t²) below 0.05, that is t² below 0.0263
        (OPEN(np.sqrt(0.0255)), "pca"),
        (OPEN(np.sqrt(0.0270)), "lines"),
        # flatness 0.3
        (prism(1.1, 0.5, 0, squash=0.29), "lines"),
        (prism(1.1, 0.5, 0, squash=0.31), "prism"),
        # twist 20° and 40°
        (prism(1.1, 0.5, 19.5), "prism"),
        (prism(1.1, 0.5, 20.5), "twisted"),
        (prism(1.1, 0.5, 39.5), "twisted"),
        (prism(1.1, 0.5, 40.5), "antiprism"),
        (prism(1.1, 0.5, 100.5), "prism"),
        # no axis to twist about
        (prism(1.1, 0, 30), "other"),
    ],
)
def test_near_misses_on_both_sides_of_each_threshold(W, state):
    assert geometry.classify(W, SETS) == state
    assert geometry.classify(orthogonal(5) @ W, SETS) == state


def test_an_octahedron_with_antipodes_in_one_set_is_not_one():
    a, b, c = np.eye(3)
    for columns in ((a, -a, b, -b, c, -c), (a, -a, b, c, -b, -c)):
        assert geometry.classify(np.array(columns).T, SETS) != "octahedron"
    assert geometry.classify(np.array((a, b, c, -b, -c, -a)).T, SETS) == "octahedron"
    assert geometry.classify(np.array((a, -b, c, b, -c, -a)).T, SETS) == "octahedron"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_models_that_are_not_finite_are_other(bad):
    W = OCTAHEDRON.copy()
    W[1, 2] = bad
    assert geometry.classify(W, SETS) == "other"


# Phases


def run_of(*stages):
    """Return a run with a snapshot every 20 steps, made of (W, number of snapshots)."""
    W = np.concatenate([np.repeat(f32(w)[None], number, 0) for w, number in stages])
    steps = 20 * np.arange(len(W))
    params = Params(jnp.asarray(W[-1]), jnp.zeros(6))
    return Run(params, steps, np.ones(len(W)), W, np.zeros((len(W), 6)), np.array(False))


A, B, C, D, E = (EXACT[name] for name in ("origin", "pca", "lines", "prism", "octahedron"))


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (
            [(A, 2), (B, 3), (C, 2), (D, 2), (E, 2)],
            [("A", 0, 40), ("B", 40, 80), ("C", 80, 120), ("D", 120, 180), ("E", 180, 200)],
        ),
        ([(A, 2), (C, 2), (D, 2), (E, 2)], [("A", 0, 40), ("C", 40, 60), ("D", 60, 120), ("E", 120, 140)]),
        (
            [(A, 2), (EXACT["collinear"], 3), (C, 2), (D, 2), (E, 2)],
            [("A", 0, 40), ("B (collinear)", 40, 80), ("C", 80, 120), ("D", 120, 180), ("E", 180, 200)],
        ),
        ([(A, 2), (B, 3), (C, 2), (D, 2)], [("A", 0, 40), ("B", 40, 80), ("C", 80, 120), ("D", 120, 160)]),
        (
            [(A, 2), (B, 3), (C, 2), (D, 2), (E, 2), (D, 1), (E, 2)],
            [("A", 0, 40), ("B", 40, 80), ("C", 80, 120), ("D", 120, 240), ("E", 240, 260)],
        ),
        ([(A, 4)], [("A", 0, 60)]),
    ],
)
def test_phases_of_prescribed_runs(stages, expected):
    run = run_of(*stages)
    found = geometry.phases(run, SETS)
    assert [tuple(phase) for phase in found] == expected
    assert [phase.name for phase in found] == [name for name, _, _ in expected]
    turned = run._replace(weights=np.stack([f32(orthogonal(4) @ W) for W in run.weights]))
    assert geometry.phases(turned, SETS) == found


def test_middle_of_a_phase():
    run = run_of((A, 2), (B, 3), (C, 2), (D, 2), (E, 2))
    assert geometry.middle(geometry.phases(run, SETS)[1], run) == 3


def test_phases_of_a_trained_run():
    features = Correlated(2, 3)
    options = {"n_hidden": 3, "population": True, "batch_size": 64, "snapshots": range(0, 10_001, 20)}
    run = train(features, 0.9, key=jax.random.key(0), **options)
    found = geometry.phases(run, features.sets)
    assert [phase.name for phase in found] == ["A", "B", "C", "D", "E"]
    assert found[0].first == 0
    assert found[-1].last == 10_000
    assert all(a.last == b.first for a, b in pairwise(found))
    states = [geometry.classify(run.weights[geometry.middle(phase, run)], features.sets) for phase in found]
    assert states[1] == "pca"
    assert states[2] == "lines"
    assert states[4] == "octahedron"
    assert float(run.losses[geometry.middle(found[1], run)]) == pytest.approx(0.1 / 3, rel=0.03)
    assert float(run.losses[-1]) == pytest.approx(0.01, rel=0.03)


# Bad input

W36 = jnp.zeros((3, 6))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: geometry.feature_dimensionality(jnp.zeros(6)), ValueError, r"W must have shape \(any, any\), got"),
        (lambda: geometry.feature_dimensionality(np.eye(3, dtype=int)), TypeError, "W must be a floating-point array"),
        (lambda: geometry.feature_dimensionality([[1.0]]), TypeError, "W must be a floating-point array, got list"),
        (lambda: geometry.features_per_dimension(jnp.zeros((2, 3, 6))), ValueError, "use jax.vmap for more"),
        (lambda: geometry.pca_overlap(W36, jnp.eye(5), 2), ValueError, r"covariance must have shape \(6, 6\), got"),
        (lambda: geometry.pca_overlap(W36, jnp.eye(6), 4), ValueError, r"k must be at most min\(m, n\) = 3, got 4"),
        (lambda: geometry.pca_overlap(W36, jnp.eye(6), 0), ValueError, "k must be at least 1, got 0"),
        (lambda: geometry.pca_overlap(W36, jnp.eye(6), 1.5), TypeError, "k must be an integer, got 1.5"),
        (lambda: geometry.within_energy(W36, ((0, 1), (1, 2))), ValueError, "sets must hold distinct features"),
        (lambda: geometry.within_energy(W36, ((0, 6),)), ValueError, r"distinct features in \[0, 6\), got \(\(0, 6\)"),
        (lambda: geometry.within_energy(W36, ()), ValueError, r"got \(\); take them from features.sets"),
        (lambda: geometry.mode_strengths(W36, ((0, 1), (1, 2))), ValueError, "sets must hold distinct features"),
        (lambda: geometry.flatness(W36, ((0,), (1, 2))), ValueError, "need at least 2 features and dimensions, got"),
        (lambda: geometry.flatness(jnp.zeros((1, 6)), SETS), ValueError, "need at least 2 features and dimensions"),
        (lambda: geometry.mean_cosine(W36, ((0, 1, 2),)), ValueError, "sets must be two, got 1; pass the pair"),
        (lambda: geometry.twist(jnp.zeros((2, 6)), SETS), ValueError, r"W must have shape \(3, 6\), got \(2, 6\)"),
        (lambda: geometry.twist(W36, ((0, 1), (2, 3, 4))), ValueError, "sets must be two sets of three, got"),
        (lambda: geometry.classify(np.zeros((3, 5)), SETS), ValueError, r"W must have shape \(3, 6\), got \(3, 5\)"),
        (lambda: geometry.classify(np.zeros((2, 3, 6)), SETS), ValueError, r"got \(2, 3, 6\); .* use jax.vmap"),
        (lambda: geometry.classify(W36, ((0, 1), (2, 3), (4, 5))), ValueError, "sets must be two sets of three, got"),
        (lambda: geometry.align(W36, jnp.zeros((3, 5))), ValueError, r"reference must have shape \(3, 6\), got"),
        (lambda: geometry.phases(run_of((A, 2)), ((0, 1), (2, 3))), ValueError, "sets must be two sets of three"),
    ],
)
def test_arguments_are_checked(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_phases_take_one_run():
    run = run_of((A, 2), (E, 2))
    with pytest.raises(ValueError, match=r"run.weights must have shape \(any, 3, 6\), got \(1, 4, 3, 6\)"):
        geometry.phases(run._replace(weights=run.weights[None]), SETS)
