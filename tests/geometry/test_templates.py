"""Templates against arrangements built by hand, and distances to them against all 72 relabellings written out."""

import re

import numpy as np
import pytest
from arrangements import EXACT, RELABELLINGS, SETS, orthogonal, prism

from toylib import geometry

STATES = ("octahedron", "prism", "pca", "collinear")


def gram_distance(W, V):
    """The least Frobenius distance of the Gram matrices over relabellings of V."""
    return min(np.linalg.norm(W.T @ W - V[:, order].T @ V[:, order]) for order in RELABELLINGS)


@pytest.mark.parametrize("state", STATES)
def test_templates_are_the_arrangements_of_their_names(state):
    W = geometry.template(state)
    assert W.shape == (3, 6)
    assert gram_distance(W, EXACT[state]) < 1e-12
    if state == "octahedron":
        np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1)


@pytest.mark.parametrize(("r", "h", "angle"), [(1.1, 0.5, 0), (0.7, 0.3, 17.0), (np.sqrt(2 / 3), np.sqrt(1 / 3), 60)])
def test_prisms_are_two_triangles_one_turned(r, h, angle):
    np.testing.assert_allclose(geometry.template_prism(r, h, angle), prism(r, h, angle), atol=1e-12)


@pytest.mark.parametrize("state", STATES)
def test_distances_are_the_least_over_all_relabellings(state):
    rng = np.random.default_rng(5)
    W = rng.normal(size=(4, 3, 6))
    found = geometry.template_distance(W, SETS, state)
    assert found.shape == (4,)
    np.testing.assert_allclose(found, [gram_distance(w, EXACT[state]) for w in W], rtol=1e-9)
    near = orthogonal(2) @ EXACT[state][:, RELABELLINGS[17]]
    assert geometry.template_distance(near, SETS, state) < 1e-6
    other = ((0, 2, 4), (5, 3, 1))
    moved = np.empty((3, 6))
    moved[:, [0, 2, 4, 5, 3, 1]] = W[0]
    assert geometry.template_distance(moved, other, state) == pytest.approx(found[0], rel=1e-9)
    W[1, 0, 0] = np.nan
    assert np.isnan(geometry.template_distance(W, SETS, state)).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: geometry.template("lines"),
            'state must be "octahedron", "prism", "pca" or "collinear", got \'lines\'; others have no template',
        ),
        (
            lambda: geometry.template_distance(np.zeros((2, 3, 5)), SETS, "pca"),
            "sets must hold distinct features in [0, 5), got ((0, 1, 2), (3, 4, 5)); take them from features.sets",
        ),
        (
            lambda: geometry.template_distance(np.zeros((3, 6)), ((0, 1, 2), (2, 4, 5)), "pca"),
            "sets must hold distinct features in [0, 6), got ((0, 1, 2), (2, 4, 5)); take them from features.sets",
        ),
    ],
)
def test_arguments_of_templates_are_checked(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
