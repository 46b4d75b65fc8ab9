"""The edges of the convex hull of columns, against faces found one by one."""

from itertools import combinations

import numpy as np
import pytest

from toylib.geometry import hull_edges


def brute_edges(W):
    """The edges of triangles that have all other points on one side, but for those of level neighbours."""
    normals = {}
    for corners in combinations(range(W.shape[1]), 3):
        a, b, c = W[:, corners].T
        normal = np.cross(b - a, c - a)
        others = np.delete(normal @ (W - a[:, None]), corners)
        if (others > 0).all() or (others < 0).all():
            outward = -np.sign(others[0]) * normal / np.linalg.norm(normal)
            for pair in combinations(corners, 2):
                normals.setdefault(pair, []).append(outward)
    return {pair for pair, (one, other) in normals.items() if np.degrees(np.arccos(one @ other)) > 6}


@pytest.mark.parametrize("n", [5, 7, 25])
def test_a_hull_has_the_edges_of_its_faces(n):
    W = np.random.default_rng(n).normal(size=(3, n))
    assert [*map(tuple, hull_edges(W).tolist())] == sorted(brute_edges(W))


def test_flat_faces_and_flat_bodies():
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float).T
    assert [*map(tuple, hull_edges(cube))] == [
        p for p in combinations(range(8), 2) if (cube[:, p[0]] != cube[:, p[1]]).sum() == 1
    ]
    square = np.array([[1, 0, -1, 0, 0.1], [0, 1, 0, -1, 0]])
    for W in (square, np.vstack([square, 0 * square[:1] + 0.5])):
        assert hull_edges(W).tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]
    assert hull_edges([[0.5, -2, 3, 1]]).tolist() == [[1, 2]]
    assert hull_edges(np.ones((3, 4))).tolist() == []
    assert hull_edges(np.ones((2, 1))).tolist() == []


@pytest.mark.parametrize(("fold", "number"), [(5.8, 8), (6.2, 9)])
def test_a_roof_has_a_ridge_where_it_is_folded_by_more_than_six_degrees(fold, number):
    drop = np.tan(np.radians(fold / 2))
    W = np.array([[1, -1, 0, 0, 0], [0, 0, 1, -1, 0], [0, 0, -drop, -drop, -1]])
    edges = hull_edges(W).tolist()
    assert len(edges) == number
    assert ([0, 1] in edges) == (number == 9)


@pytest.mark.parametrize(("center", "extents"), [(3, 1e-3), (0, np.array([[0.01], [0.01], [1]]))])
def test_a_small_body_far_away_and_a_needle_are_bodies(center, extents):
    tetrahedron = np.array([[1, -1, 0, 0], [0, 0, 1, -1], [0.5, 0.5, -0.5, -0.5]])
    assert len(hull_edges(center + extents * tetrahedron)) == 6


def test_a_hull_is_of_at_most_three_dimensions():
    with pytest.raises(
        ValueError, match=r"^W must have at most 3 rows, got 4; of more dimensions a hull shows nothing$"
    ):
        hull_edges(np.ones((4, 5)))
