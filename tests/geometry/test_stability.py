"""Curvatures against closed forms and second differences of the loss; what a descent ends in."""

import re
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arrangements import EXACT, OCTAHEDRON, f32, orthogonal
from loops import numpy_gradient
from scipy.linalg import null_space

from toylib.features import Correlated, Independent
from toylib.geometry import classify, curvatures, descend, template
from toylib.model import Params, loss

PAIR = Correlated(2, 3)


def flat(params):
    return np.concatenate([np.ravel(part) for part in params])


def second_differences(params, features, S, h, n_nodes):
    """Return the Hessian (k, k), taken from the loss alone, which NumPy computes; no direction is left out."""
    x, weights = (np.asarray(part, float) for part in features.population(S, n_nodes=n_nodes))
    (m, n), at = params.W.shape, flat(params)

    def losses(many):
        W, b = many[:, : m * n].reshape(-1, m, n), many[:, m * n :]
        errors = np.maximum(x @ (W.swapaxes(1, 2) @ W) + b[:, None], 0) - x
        return np.square(errors).sum(2) @ weights / weights.sum()

    steps = h * np.eye(len(at))
    corners = [losses((at + a * steps[:, None] + c * steps).reshape(-1, len(at))) for a in (1, -1) for c in (1, -1)]
    return (corners[0] - corners[1] - corners[2] + corners[3]).reshape(len(at), -1) / (4 * h**2)


@pytest.mark.parametrize("w", [0.7, 1.0])
def test_one_feature_in_one_dimension(w):
    """A bias keeps all nodes on one side of the kink, and all is known.

    L = E (w² x + b - x)², so L_ww = (12 w² - 4) E x² + 4 b E x, L_wb = 4 w E x, L_bb = 2. Differences of the gradient
    over ±h have its third derivative too: L_ww gains 4 h² E x².
    """
    p, b, h = 0.4, 0.3, 0.1
    ww = (12 * w**2 - 4 + 4 * h**2) * p / 3 + 4 * b * p / 2
    expected = np.linalg.eigvalsh([[ww, 4 * w * p / 2], [4 * w * p / 2, 2]])
    params = Params(jnp.full((1, 1), w), jnp.full(1, b))
    np.testing.assert_allclose(curvatures(params, Independent(1), 1 - p, displacement=h), expected, rtol=1e-3)


def test_as_many_dimensions_as_features():
    """Inputs are kept whole, and always on. Near Q the error is (D + Dᵀ) x + c for W = Q (1 + D) and b = c.

    Its mean square has no curvature along the three rotations, which are the antisymmetric D; the rest is left.
    """
    mean, square = np.full(3, 1 / 2), np.full((3, 3), 1 / 4) + np.eye(3) / 12
    basis = np.eye(12)

    def bend(u):
        D, c = u[:9].reshape(3, 3), u[9:]
        D = D + D.T
        return np.trace(D @ square @ D) + 2 * c @ D @ mean + c @ c

    hessian = [[bend(u + v) - bend(u) - bend(v) for v in basis] for u in basis]
    expected = np.linalg.eigvalsh(hessian)
    order = np.argsort(np.abs(expected))
    np.testing.assert_allclose(expected[order[:3]], 0, atol=1e-12)
    params = Params(f32(orthogonal(1)), jnp.zeros(3))
    found = curvatures(params, Independent(3), 0.0, displacement=1e-3)
    np.testing.assert_allclose(found, np.sort(expected[order[3:]]), rtol=0.01)


@pytest.mark.parametrize(("m", "n"), [(2, 5), (4, 5), (1, 2)])
def test_second_differences_of_the_loss(m, n):
    """Of any model, here without kinks; what rotations do to it is taken from small ones, in each plane."""
    rng, features = np.random.default_rng(m), Independent(n)
    params = Params(rng.normal(size=(m, n)) / 2, np.full(n, 5.0))
    turns = []
    for i, j in combinations(range(m), 2):
        Q = np.eye(m)
        Q[[i, j], [j, i]] = 1e-6, -1e-6
        turns.append(flat(params._replace(W=Q @ params.W)) - flat(params))
    across = null_space(np.array(turns)).T if turns else np.eye(m * n + n)
    expected = np.linalg.eigvalsh(across @ second_differences(params, features, 0.6, 1e-3, 512) @ across.T)
    found = curvatures(params, features, 0.6, displacement=1e-3, n_nodes=512)
    assert found.shape == (m * n + n - m * (m - 1) // 2,)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_differences_across_kinks_are_made_symmetric():
    """Over 0.3, where many pre-activations change sign; the gradients are those of NumPy."""
    rng, features, h = np.random.default_rng(0), Independent(5), 0.3
    params = Params(rng.normal(size=(2, 5)) / 2, rng.normal(size=5) / 5)
    x, weights = (np.asarray(part, float) for part in features.population(0.6, n_nodes=512))

    def slope(at):
        return flat(numpy_gradient(at[:10].reshape(2, 5), at[10:], x, x, weights / weights.sum(), np.ones(5), False))

    hessian = np.array([slope(flat(params) + step) - slope(flat(params) - step) for step in h * np.eye(15)]) / (2 * h)
    assert np.abs(hessian - hessian.T).max() > 0.01
    turned = flat((params.W[::-1] * [[1], [-1]], np.zeros(5)))
    across = null_space(turned[None]).T
    expected = np.linalg.eigvalsh(across @ (hessian + hessian.T) / 2 @ across.T)
    found = curvatures(params, features, 0.6, displacement=h, n_nodes=512)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_minimum_has_three_modes_without_curvature_that_are_left_out():
    """Differences of gradients and of losses average over the kinks with other weights, hence the tolerance."""
    params, _ = descend(Params(OCTAHEDRON, np.full(6, 0.2)), PAIR, 0.5)
    found = curvatures(params, PAIR, 0.5, displacement=0.02, n_nodes=4096)
    full = np.linalg.eigvalsh(second_differences(params, PAIR, 0.5, 0.02, 4096))
    zeros = np.argsort(np.abs(full))[:3]
    assert found.shape == (24 - 3,)
    np.testing.assert_allclose(full[zeros], 0, atol=4e-3)
    np.testing.assert_allclose(np.delete(full, zeros), found, rtol=0.06, atol=0.01)


def test_the_exact_octahedron_is_a_saddle_and_what_it_descends_to_is_a_minimum():
    """Turned by an angle a about one of its antipodal pairs, unit lengths and no bias, its loss changes by
    p (1 - p) |a|³ / 6 - p² a² / 3: below a = 4 p / (3 (1 - p)) or so, turning one set against the other pays.
    """
    p, a = 0.1, 0.05
    x, weights = PAIR.population(1 - p, n_nodes=2**17)
    turned = OCTAHEDRON.copy()
    turned[:2, 3:] = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ turned[:2, 3:]
    at, off = (float(loss(Params(f32(W), jnp.zeros(6)), x, weights=weights)) for W in (OCTAHEDRON, turned))
    assert off - at == pytest.approx(p * (1 - p) * a**3 / 6 - p**2 * a**2 / 3, rel=0.1)
    exact = Params(OCTAHEDRON, np.zeros(6))
    assert (curvatures(exact, PAIR, 1 - p, displacement=0.02)[:2] < -(p**2) / 2).all()
    assert curvatures(descend(exact, PAIR, 1 - p)[0], PAIR, 1 - p)[0] > 0


def test_a_turned_model_has_the_same_curvatures():
    """On one side of every kink, and with a displacement so small that no direction of it counts."""
    params = Params(f32(EXACT["prism"]), jnp.full(6, 2.0))
    turned = params._replace(W=f32(orthogonal(3) @ EXACT["prism"]))
    a, b = (curvatures(each, PAIR, 0.8, displacement=1e-3) for each in (params, turned))
    np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("W", "rotations"),
    [
        (template("octahedron"), 3),
        (template("pca"), 3),
        (template("collinear"), 2),
        (template("collinear") + 1e-3 * np.eye(3, 6), 3),
        (np.zeros((3, 6)), 0),
    ],
)
def test_as_many_modes_as_the_rotations_leave(W, rotations):
    """A line does not feel the turn about itself, one that is hardly open does, and the origin feels none."""
    assert curvatures(Params(f32(W), jnp.zeros(6)), PAIR, 0.9).shape == (24 - rotations,)


def test_a_saddle_that_training_leaves_has_a_negative_curvature():
    assert curvatures(Params(f32(template("pca")), jnp.zeros(6)), PAIR, 0.9)[0] < -0.01


def test_many_directions_are_taken_in_parts(monkeypatch):
    params = Params(f32(OCTAHEDRON), jnp.zeros(6))
    whole = curvatures(params, PAIR, 0.9, n_nodes=512)
    monkeypatch.setattr("toylib.geometry._stability._AT_ONCE", 512 * 6 * 7)
    np.testing.assert_allclose(curvatures(params, PAIR, 0.9, n_nodes=512), whole, atol=1e-12)


def test_inputs_that_are_differentiated_at_once_take_half_a_gigabyte_at_most(monkeypatch):
    """A model with 440 directions on 16,384 nodes, whose gradients are not computed."""
    seen = []

    def slopes(many, x, weights, shape):
        seen.append((len(many), 8 * len(many) * x.size))
        return np.zeros(many.shape)

    monkeypatch.setattr("toylib.geometry._stability._slopes", slopes)
    features = Independent(20)
    assert not curvatures(Params(jnp.eye(10, 20), jnp.zeros(20)), features, 0.9).any()
    assert sum(number for number, _ in seen) == 2 * (10 * 20 + 20)
    assert 2**26 < max(taken for _, taken in seen) <= 2**29


# Descents


def test_a_descent_ends_in_a_minimum():
    """From a noisy octahedron: the loss that was told, less than before, no slope left, the same arrangement."""
    noise = np.random.default_rng(0).normal(size=(3, 6)) * 0.1
    start = Params(f32(OCTAHEDRON + noise), jnp.zeros(6))
    params, least = descend(start, PAIR, 0.9)
    x, weights = PAIR.population(0.9, n_nodes=4096)
    on_nodes = jax.tree.map(jnp.float32, params)
    assert params.W.dtype == params.b.dtype == np.float64
    assert least == pytest.approx(float(loss(on_nodes, x, weights=weights)), rel=1e-5)
    assert least < 0.99 * 0.1**2 < float(loss(start, x, weights=weights))
    assert np.abs(flat(jax.grad(loss)(on_nodes, x, weights=weights))).max() < 1e-5
    assert classify(params.W, PAIR.sets) == "octahedron"


def test_a_descent_may_be_cut_short():
    start = Params(f32(template("pca") + 0.1 * np.eye(3, 6)), jnp.zeros(6))
    losses = [descend(start, PAIR, 0.9, max_steps=steps)[1] for steps in (1, 5, 50)]
    assert losses[0] > losses[1] > losses[2]


def test_one_feature_descends_to_the_identity():
    params, least = descend(Params(jnp.full((1, 1), 0.2), jnp.zeros(1)), Independent(1), 0.5)
    assert float(params.W[0, 0]) == pytest.approx(1, abs=1e-4)
    assert least == pytest.approx(0, abs=1e-8)


# Bad input

GOOD = Params(jnp.zeros((3, 6)), jnp.zeros(6))
FITS = "pass one model of these features"


@pytest.mark.parametrize("function", [curvatures, descend])
@pytest.mark.parametrize(
    ("params", "S", "error", "message"),
    [
        (GOOD._replace(W=GOOD.W.at[0, 0].set(np.nan)), 0.9, ValueError, "W must be finite, got NaN or infinity in 1"),
        (GOOD._replace(b=GOOD.b.at[0].set(np.inf)), 0.9, ValueError, "b must be finite, got NaN or infinity in 1"),
        (GOOD._replace(W=jnp.zeros((3, 5))), 0.9, ValueError, f"W must have shape (any, 6), got (3, 5); {FITS}"),
        (GOOD._replace(b=jnp.zeros(5)), 0.9, ValueError, f"b must have shape (6), got (5,); {FITS}"),
        (jnp.zeros((3, 6)), 0.9, TypeError, "params must have W and b, got ArrayImpl; pass toylib.model.Params(W, b)"),
        (GOOD, 1.0, ValueError, "S must lie in [0, 1), got 1; "),
        (GOOD, [0.9], ValueError, "S must be a scalar, got shape (1,); this function runs on the host"),
    ],
)
def test_models_are_checked(function, params, S, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        function(params, PAIR, S)


@pytest.mark.parametrize("displacement", [0, -0.1, np.nan])
def test_a_displacement_is_positive(displacement):
    with pytest.raises(ValueError, match=r"^displacement must lie in .*a tenth of a feature's length$"):
        curvatures(GOOD, PAIR, 0.9, displacement=displacement)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"^max_steps must be at least 1, got 0"):
        descend(GOOD, PAIR, 0.9, max_steps=0)
    with pytest.raises(ValueError, match=r"^n_nodes must be at least 1, got 0"):
        descend(GOOD, PAIR, 0.9, n_nodes=0)
    with pytest.raises(ValueError, match=r"^n_nodes must be at least 1, got 0"):
        curvatures(GOOD, PAIR, 0.9, n_nodes=0)
