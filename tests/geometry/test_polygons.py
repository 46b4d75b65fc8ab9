"""The one-hot limit, one feature on at a time, in two dimensions: losses of polygons in closed form, and gradients.

Source: Chen et al. 2023, arXiv:2310.06301, where k-gons are critical points of the population loss.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arrangements import polygon
from scipy.optimize import minimize

from toylib import geometry, model
from toylib.features import Anticorrelated
from toylib.model import Params


def polygon_loss(n, square, bias):
    """Loss of a k-gon of squared radius `square` and common bias at most 0, one value U[0, 1] on at a time.

    A feature at cosine c > 0 to the one that is on adds ∫ relu(acu + b)² du = (ac + b)³/(3ac) where ac > -b. The own
    one costs ∫ u² du up to the u = -b/a from which it is on, and ∫ ((1 - a)u - b)² du beyond.
    """
    cosines = np.cos(2 * np.pi * np.arange(1, n) / n)
    slopes = square * cosines[cosines > 1e-9]
    others = np.sum(np.maximum(slopes + bias, 0) ** 3 / (3 * slopes))
    on, rest = min(-bias / square, 1), 1 - square
    own = bias**2 * (1 - on) if abs(rest) < 1e-6 else ((rest - bias) ** 3 - (rest * on - bias) ** 3) / (3 * rest)
    return others + on**3 / 3 + own


def params(n, square, bias):
    return Params(jnp.float32(np.sqrt(square) * polygon(n)), jnp.full(n, bias, jnp.float32))


def one_hot(n, square=1.0, bias=0.0):
    """The same values for each feature, (k, n), and weights: no feature is told from another.

    Between the values at which a unit of the polygon goes on the integrand is a polynomial, which Gauss's rule
    integrates exactly.
    """
    u, w = np.polynomial.legendre.leggauss(4)
    with np.errstate(divide="ignore"):
        kinks = -bias / (square * np.cos(2 * np.pi * np.arange(n) / n))
    ends = np.unique([0, *kinks[(kinks > 0) & (kinks < 1)], 1])
    values = np.concatenate([a + (b - a) * (u + 1) / 2 for a, b in pairwise(ends)])
    shares = np.concatenate([(b - a) * w / 2 for a, b in pairwise(ends)])
    return jnp.float32(np.kron(np.eye(n), values[:, None])), jnp.float32(np.tile(shares / n, n))


@jax.jit
def slope(at, x, weights):
    return jax.grad(model.loss)(at, x, weights=weights)


@pytest.mark.parametrize("n", [4, 5, 6, 8])
@pytest.mark.parametrize(("square", "bias"), [(1, 0), (1, -0.1), (0.7, 0), (1.4, -0.3), (2.4, -1.2)])
def test_the_loss_of_a_polygon(n, square, bias):
    features = Anticorrelated(1, n)
    x, weights = features.population(0.0)
    found = float(model.loss(params(n, square, bias), x, weights=weights))
    assert found == pytest.approx(polygon_loss(n, square, bias), rel=5e-3, abs=1e-6)


def best(n):
    """Squared radius and bias of the best k-gon; a positive bias is on where nothing is, and only costs."""

    def loss(at):
        return polygon_loss(n, *at) if at[0] > 0 >= at[1] else np.inf

    start = (1.0, 0.0) if n < 5 else (1.5, -0.4)
    return minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 2000}).x


@pytest.mark.parametrize("n", [4, 5, 6, 8])
def test_polygons_are_critical_points(n):
    """On a polygon the gradient keeps to polygons, and of the best one it is zero; of a bent one it is not."""
    W, b = slope(params(n, 1.3, -0.2), *one_hot(n, 1.3, -0.2))
    radial = np.sum(np.asarray(W) * polygon(n), axis=0)
    np.testing.assert_allclose(W, radial.mean() * polygon(n), atol=1e-6)
    np.testing.assert_allclose(b, b[0], atol=1e-6)
    assert abs(radial.mean()) > 1e-4
    at = best(n)
    for part in slope(params(n, *at), *one_hot(n, *at)):
        np.testing.assert_allclose(part, 0, atol=1e-5)
    bent = params(n, *at)
    bent = bent._replace(W=bent.W.at[:, 0].multiply(1.1))
    assert max(float(jnp.abs(part).max()) for part in slope(bent, *one_hot(n, *at))) > 1e-3
    if n < 5:
        np.testing.assert_allclose(at, [1, 0], atol=1e-3)
    else:
        assert (at[0] > 1.3) & (at[1] < -0.2)


def test_polygons_have_their_names_at_the_lengths_that_are_best():
    names = ("triangle", "square", "pentagon", "hexagon", "heptagon", "octagon", "nonagon")
    for n, name in zip(range(3, 10), names, strict=True):
        W = params(n, *best(n)).W
        found, distance = geometry.nearest_template(W, Anticorrelated(1, n).sets)
        assert geometry.classify(W, Anticorrelated(1, n).sets) == found == name
        assert distance < 2e-3


@pytest.mark.parametrize(("positive", "level"), [(0, 1 / 9), (1, 5 / 48), (2, 7 / 72)])
def test_a_square_and_two_dead_features(positive, level):
    """0.11111, 0.10417 and 0.09722: 1/18 for a dead feature with bias 0, and 7/144 with the best bias, 1/12."""
    W = np.zeros((2, 6), np.float32)
    W[:, :4] = polygon(4)
    b = np.zeros(6, np.float32)
    b[4 : 4 + positive] = 1 / 12
    x, weights = one_hot(6)
    at = Params(jnp.asarray(W), jnp.asarray(b))
    assert float(model.loss(at, x, weights=weights)) == pytest.approx(level, rel=1e-4)
    moved = np.asarray(slope(at, x, weights).b)
    np.testing.assert_allclose(moved[4 : 4 + positive], 0, atol=1e-5)
    features = Anticorrelated(1, 6)
    nodes, weights = features.population(0.0)
    assert float(model.loss(at, nodes, weights=weights)) == pytest.approx(level, rel=2e-3)
    assert geometry.classify(W, features.sets) == "other"
