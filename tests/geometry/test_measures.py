"""Measures of exact, rotated and random models against their formulas, projectors and grids of rotations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arrangements import EXACT, OCTAHEDRON, SETS, collapsed, f32, orthogonal, prism
from hypothesis import given, settings
from hypothesis import strategies as st

from toylib import geometry
from toylib.features import Correlated
from toylib.model import Params
from toylib.reporting import interval_mean

few = settings(max_examples=25)
seeds = st.integers(0, 2**31)

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
    for columns in (slice(6), slice(3), slice(3, 6)):  # of both triangles, or one
        W = prism(1, 0.5, 0)
        W[:, columns] = prism(1, 0.5, 0, squash=0.29)[:, columns]
        assert np.isnan(twist(f32(W)))
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


def test_interference_similarity_against_numpy():
    rng = np.random.default_rng(0)
    W, other = rng.normal(size=(3, 7)), rng.normal(size=(5, 7))
    a, b = (gram[~np.eye(7, dtype=bool)] for gram in (W.T @ W, other.T @ other))
    found = float(geometry.interference_similarity(f32(W), f32(other)))
    assert found == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    assert abs(found) < 0.9
    turned = f32(-2.5 * orthogonal(1) @ W)
    assert float(geometry.interference_similarity(f32(W), turned)) == pytest.approx(1, abs=1e-5)
    opposed = np.array([[1.0, -1.0, 0.0]]), np.array([[1.0, 1.0, 0.0]])
    assert float(geometry.interference_similarity(*map(f32, opposed))) == pytest.approx(-1)
    for none in (np.eye(3, 7), np.zeros((3, 7))):
        assert float(geometry.interference_similarity(f32(W), f32(none))) == 0


# Bad input

W36 = jnp.zeros((3, 6))
MORE = "jax.vmap over this function takes more"
FLOAT = "W must be a floating-point array, got {}; convert it to jnp.float32"
DISTINCT = "sets must hold distinct features in [0, 6), got {}; take them from features.sets"
SHAPE = "sets and W must have at least 2 features and dimensions, got {}; with fewer there is no shape"
PAIR = ((0, 1), (1, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: geometry.feature_dimensionality(jnp.zeros(6)),
            ValueError,
            f"W must have shape (any, any), got (6,); {MORE}",
        ),
        (lambda: geometry.feature_dimensionality(np.eye(3, dtype=int)), TypeError, FLOAT.format("int64")),
        (lambda: geometry.feature_dimensionality([[1.0]]), TypeError, FLOAT.format("list")),
        (
            lambda: geometry.features_per_dimension(jnp.zeros((2, 3, 6))),
            ValueError,
            f"W must have shape (any, any), got (2, 3, 6); {MORE}",
        ),
        (
            lambda: geometry.pca_overlap(W36, jnp.eye(5), 2),
            ValueError,
            "covariance must have shape (6, 6), got (5, 5); W (3, 6) has 6 features",
        ),
        (
            lambda: geometry.pca_overlap(W36, jnp.eye(6), 4),
            ValueError,
            "k must be at most min(m, n) = 3, got 4; W has no more singular vectors",
        ),
        (
            lambda: geometry.pca_overlap(W36, jnp.eye(6), 0),
            ValueError,
            "k must be at least 1, got 0; pass a Python int from 1 up, since sizes cannot be traced",
        ),
        (
            lambda: geometry.pca_overlap(W36, jnp.eye(6), 1.5),
            TypeError,
            "k must be an integer, got 1.5; pass a Python int from 1 up, since sizes cannot be traced",
        ),
        (lambda: geometry.within_energy(W36, PAIR), ValueError, DISTINCT.format(PAIR)),
        (lambda: geometry.within_energy(W36, ((0, 6),)), ValueError, DISTINCT.format("((0, 6),)")),
        (lambda: geometry.within_energy(W36, ()), ValueError, DISTINCT.format("()")),
        (lambda: geometry.mode_strengths(W36, PAIR), ValueError, DISTINCT.format(PAIR)),
        (
            lambda: geometry.flatness(W36, ((0,), (1, 2))),
            ValueError,
            SHAPE.format("((0,), (1, 2)) and (3, 6)"),
        ),
        (lambda: geometry.flatness(jnp.zeros((1, 6)), SETS), ValueError, SHAPE.format(f"{SETS} and (1, 6)")),
        (
            lambda: geometry.mean_cosine(W36, ((0, 1, 2),)),
            ValueError,
            "sets must be two, got 1; pass the pair to compare",
        ),
        (
            lambda: geometry.twist(jnp.zeros((2, 6)), SETS),
            ValueError,
            "W must have shape (3, 6), got (2, 6); pass one model of two sets of three in three dimensions",
        ),
        (
            lambda: geometry.twist(W36, ((0, 1), (2, 3, 4))),
            ValueError,
            "sets must be two sets of three, got ((0, 1), (2, 3, 4)); other designs have no octahedron",
        ),
        (
            lambda: geometry.align(W36, jnp.zeros((3, 5))),
            ValueError,
            "reference must have shape (3, 6), got (3, 5); it must be of the sizes of W",
        ),
        (
            lambda: geometry.interference_similarity(W36, jnp.zeros((3, 5))),
            ValueError,
            "other must have shape (any, 6), got (3, 5); both models must have the same features",
        ),
        (
            lambda: geometry.flatness(W36.astype(jnp.float16), SETS),
            TypeError,
            "W must be in single precision, got float16; convert it to jnp.float32",
        ),
        (
            lambda: geometry.twist(W36, [{0, 1, 2}, {3, 4, 5}]),
            TypeError,
            "sets must be sequences of whole numbers, got [{0, 1, 2}, {3, 4, 5}]; take them from features.sets",
        ),
        (
            lambda: geometry.within_energy(W36.T, SETS),
            ValueError,
            f"sets must hold distinct features in [0, 3), got {SETS}; take them from features.sets, and pass W.T, for "
            "W (6, 3) has features in rows",
        ),
        (
            lambda: geometry.classify(1j * np.ones((3, 6)), SETS),
            TypeError,
            "W must be an array of real numbers, got complex128; convert it first",
        ),
        (
            lambda: geometry.template_prism("1", 0.5, 60),
            TypeError,
            "radius must be a real number, got '1'; it makes one shape",
        ),
        (
            lambda: geometry.phases(None, SETS),
            TypeError,
            "run must be a Run, got NoneType; pass what training.train returns",
        ),
        (
            lambda: geometry.route(None, Correlated, 0.9),
            TypeError,
            f"features must be a distribution of toylib.features, got {Correlated!r}; try Correlated(2, 3)",
        ),
    ],
)
def test_arguments_of_measures_are_checked(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [slice(None), (1, 4)], ids=["everywhere", "in one entry"])
def test_measures_of_a_model_that_is_not_finite_are_nan(bad, where):
    W = np.array(EXACT["prism"], np.float32)
    W[where] = bad
    measures = {
        "feature_dimensionality": geometry.feature_dimensionality,
        "within_energy": partial(geometry.within_energy, sets=SETS),
        "mean_cosine": partial(geometry.mean_cosine, sets=SETS),
        "flatness": lambda W: geometry.flatness(W, SETS)[1],  # of the set with the entry
        "twist": partial(geometry.twist, sets=SETS),
        "mode_strengths": partial(geometry.mode_strengths, sets=SETS),
        "pca_overlap": lambda W: geometry.pca_overlap(W, Correlated(2, 3).covariance(0.9), 2),
        "interference_similarity": partial(geometry.interference_similarity, other=f32(EXACT["prism"])),
        "align": lambda W: geometry.align(W, f32(EXACT["prism"])),
        "features_per_dimension": geometry.features_per_dimension,
    }
    for name, measure in measures.items():
        for wrap in (lambda function: function, jax.jit):
            values = np.hstack([np.ravel(value) for value in jax.tree.leaves(wrap(measure)(jnp.asarray(W)))])
            if name == "feature_dimensionality" and where == (1, 4) and bad == np.inf:
                values = values[4]  # a feature beside one of infinite length has no share of its dimension
            if name == "features_per_dimension" and bad == np.inf:
                assert np.isinf(values)
            else:
                assert np.isnan(values).all(), name


def test_vmap_takes_more_models_as_the_messages_say():
    models = f32(np.stack([EXACT["prism"], 0.7 * EXACT["lines"]]))
    for measure in (
        geometry.feature_dimensionality,
        geometry.features_per_dimension,
        partial(geometry.within_energy, sets=SETS),
        partial(geometry.flatness, sets=SETS),
        partial(geometry.mean_cosine, sets=SETS),
    ):
        expected = [measure(W) for W in models]
        np.testing.assert_allclose(jax.vmap(measure)(models), expected, rtol=1e-5, atol=1e-6)


ON_HOST = {
    name: partial(getattr(geometry, name), sets=SETS)
    for name in ("classify", "upright", "nearest_template", "branching", "matching_sums", "line_coordinates")
} | {
    "template_distance": partial(geometry.template_distance, sets=SETS, state="pca"),
    "dendrogram": geometry.dendrogram,
    "hull_edges": geometry.hull_edges,
    "turn": partial(geometry.turn, sets=SETS, matching=1),
    "curvatures": lambda W: geometry.curvatures(Params(W, jnp.zeros(6)), Correlated(2, 3), 0.9),
    "descend": lambda W: geometry.descend(Params(W, jnp.zeros(6)), Correlated(2, 3), 0.9),
    "crossing": lambda W: geometry.crossing(np.arange(6), W, 1.0),
    "interval_mean": lambda W: interval_mean(W[0]),
}


@pytest.mark.parametrize("name", ON_HOST)
def test_host_functions_say_that_they_are(name):
    for transform in (jax.jit, lambda function: lambda W: jax.vmap(function)(W[None])):
        with pytest.raises(TypeError, match=r" must be known.*this function runs on the host"):
            transform(ON_HOST[name])(W36)
