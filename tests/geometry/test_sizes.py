"""Templates and states of sets of any sizes, against every relabelling and every arrangement written out."""

import re
from functools import cache
from itertools import chain, combinations, permutations, product

import numpy as np
import pytest
from arrangements import orthogonal, polygon, sets_of

from toylib import geometry

LETTERS = "ABCDEF"


@cache
def group(sizes):
    """Every order of the features that keeps sets together and swaps only sets of one size."""
    found = []
    for places in permutations(sets_of(*sizes)):
        if tuple(map(len, places)) == sizes:
            found += [[*chain(*order)] for order in product(*(permutations(s) for s in places))]
    return found


def relabelled(G, order):
    return G[np.ix_(order, order)]


def gram(W):
    return W.T @ W


def nearest(G, T, sizes, *, free=False):
    """The least distance of Gram matrices over relabellings of T, and over multiples of G where these are free."""
    distances = []
    for order in group(sizes):
        target = relabelled(T, order)
        factor = max((G * target).sum(), 0) / (G * G).sum() if free else 1
        distances.append(np.linalg.norm(factor * G - target))
    return min(distances)


def cross_polytope(m):
    return np.hstack([np.eye(m), -np.eye(m)])


def key(G):
    return (np.round(G, 6) + 0.0).tobytes()


# Which arrangements there are

WAYS = [
    (cross_polytope(2), "square", (2, 2), 2),
    (cross_polytope(2), "square", (3, 1), 1),
    (cross_polytope(2), "square", (4,), 1),
    (cross_polytope(3), "octahedron", (3, 3), 2),
    (cross_polytope(3), "octahedron", (2, 2, 2), 3),
    (cross_polytope(3), "octahedron", (4, 2), 2),
    (cross_polytope(3), "octahedron", (3, 2, 1), 3),
    (cross_polytope(3), "octahedron", (6,), 1),
    (cross_polytope(4), "cross-polytope", (4, 4), 3),
    (cross_polytope(4), "cross-polytope", (2, 2, 2, 2), 5),
    (polygon(5), "pentagon", (5,), 1),
    (polygon(5), "pentagon", (3, 2), 2),
    (polygon(6), "hexagon", (3, 3), 3),
    (polygon(6), "hexagon", (2, 2, 2), 5),
    (polygon(6), "hexagon", (1, 2, 3), 6),
]


@pytest.mark.parametrize(("shape", "stem", "sizes", "number"), WAYS)
def test_templates_have_each_way_to_hand_a_shape_to_the_sets_once(shape, stem, sizes, number):
    G = gram(shape)
    labelled = {key(relabelled(G, order)): relabelled(G, order) for order in permutations(range(len(G)))}
    found = {name: W for name, W in geometry.templates(sets_of(*sizes), len(shape)).items() if name.startswith(stem)}
    assert len(found) == number
    orbits = [{key(relabelled(gram(W), order)) for order in group(sizes)} for W in found.values()]
    assert sum(map(len, orbits)) == len(labelled)  # none comes twice
    assert set().union(*orbits) == set(labelled)


@pytest.mark.parametrize(("shape", "stem", "sizes", "number"), WAYS)
def test_names_say_where_the_features_of_a_set_are(shape, stem, sizes, number):
    of = [LETTERS[i] for i, size in enumerate(sizes) for _ in range(size)]
    for name, W in geometry.templates(sets_of(*sizes), len(shape)).items():
        said = name.removeprefix(f"{stem}, ")
        if not name.startswith(stem) or name == stem:
            assert number == 1 or (name in ("octahedron", "prism", "pca", "collinear"))
        elif stem in ("pentagon", "hexagon"):
            way = "".join(of[i] for i in np.argsort(np.arctan2(W[1], W[0])))
            turns = {turn[i:] + turn[:i] for turn in (way, way[::-1]) for i in range(len(way))}
            assert said == f"sets {min(turns)} around"
        else:
            pairs = [(i, j) for i, j in combinations(range(len(of)), 2) if gram(W)[i, j] < -0.9]
            within = sum(of[i] == of[j] for i, j in pairs)
            some = f"{within} of {len(pairs)} antipodes within a set"
            assert said.split(" (")[0] == {
                0: "antipodes between sets",
                len(pairs): "antipodes within sets",
            }.get(within, some)
            if "(" in said:
                assert sorted("".join(sorted(of[i] + of[j])) for i, j in pairs) == said.split(" (")[1][:-1].split()


def test_two_triples_keep_the_name_of_their_octahedron():
    found = geometry.templates(((0, 1, 2), (3, 4, 5)), 3)
    assert list(found) == ["octahedron", "octahedron, 2 of 3 antipodes within a set", "prism", "pca", "collinear"]
    for name in ("octahedron", "prism", "pca", "collinear"):
        assert nearest(gram(found[name]), gram(geometry.template(name)), (3, 3)) < 1e-9


@pytest.mark.parametrize(
    ("sizes", "m", "names"),
    [
        ((1, 1, 1), 3, ["orthonormal"]),
        ((2, 2), 5, ["orthonormal", "pca", "collinear"]),
        ((3,), 2, ["triangle", "pca"]),
        ((2, 2), 3, ["tetrahedron", "pca", "collinear"]),
        ((1,) * 6, 5, ["simplex"]),
        ((4, 4), 3, ["prism", "antiprism", "pca", "collinear"]),
        ((2, 2, 2, 2), 3, []),
        ((4,), 3, ["tetrahedron", "pca"]),
        ((1,) * 9, 2, ["nonagon"]),
        ((1,) * 10, 2, []),
        ((5, 5), 3, ["prism", "antiprism", "pca", "collinear"]),
        ((7, 7), 3, ["pca", "collinear"]),
        ((12,), 6, ["cross-polytope", "pca"]),
        ((14,), 7, ["pca"]),
        ((100, 100), 3, ["pca", "collinear"]),
    ],
)
def test_which_sizes_have_which_templates(sizes, m, names):
    found = geometry.templates(sets_of(*sizes), m)
    assert list(found) == names
    assert all(W.shape == (m, sum(sizes)) for W in found.values())


def test_templates_are_exact():
    def of(name, sizes, m):
        return gram(geometry.templates(sets_of(*sizes), m)[name])

    np.testing.assert_allclose(of("orthonormal", (2, 2), 5), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(of("simplex", (1,) * 6, 5), 1.2 * np.eye(6) - 0.2, atol=1e-12)
    np.testing.assert_allclose(of("pca", (2, 3), 3), np.kron(np.eye(2), np.ones((3, 3)))[1:, 1:] / np.outer(*2 * [[
        2**0.5, 2**0.5, 3**0.5, 3**0.5, 3**0.5]]), atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(of("collinear", (2, 2), 3), np.outer([1, 1, -1, -1], [1, 1, -1, -1]) / 2, atol=1e-12)
    for name, apart in (("prism", 0.0), ("antiprism", 45.0)):
        W = geometry.templates(sets_of(4, 4), 3)[name]
        np.testing.assert_allclose(W @ W.T, 8 / 3 * np.eye(3), atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1)
        assert (W[2, :4] > 0).all()
        turns = np.degrees(np.arctan2(W[1], W[0]))
        assert min((turns[4:] - turns[0]) % 90) == pytest.approx(apart, abs=1e-9)


def test_templates_come_in_the_order_of_the_features():
    sets = ((5, 0), (3, 1), (2, 4))
    for name, W in geometry.templates(sets, 3).items():
        assert geometry.classify(W, sets) == name


# Distances and names

DESIGNS = [((2, 2), 2), ((3, 2), 2), ((2, 2, 2), 2), ((2, 2, 2), 3), ((4, 4), 3), ((3, 1), 3), ((4, 4), 4)]
FREE = {"pentagon", "hexagon", "prism", "antiprism"}  # of the designs above, in which these have more than 2m features


def free(name):
    return name.split(",")[0] in FREE


@pytest.mark.parametrize(("sizes", "m"), DESIGNS)
def test_distances_are_the_least_over_all_relabellings(sizes, m):
    n, sets, rng = sum(sizes), sets_of(*sizes), np.random.default_rng(m)
    W = rng.normal(size=(2, m, n)) * 0.7
    mixed = rng.permutation(n)
    moved = np.empty_like(W)
    moved[:, :, mixed] = W
    elsewhere = tuple(tuple(mixed[list(s)].tolist()) for s in sets)
    for name, T in geometry.templates(sets, m).items():
        found = geometry.template_distance(W, sets, name)
        np.testing.assert_allclose(found, [nearest(gram(w), gram(T), sizes, free=free(name)) for w in W], rtol=1e-9)
        np.testing.assert_allclose(geometry.template_distance(moved, elsewhere, name), found, rtol=1e-9)
    W[1, 0, 0] = np.nan
    assert np.isnan(geometry.template_distance(W, sets, name)).tolist() == [False, True]
    distances = {name: geometry.template_distance(W[0], sets, name) for name in geometry.templates(sets, m)}
    assert geometry.nearest_template(W[0], sets) == min(distances.items(), key=lambda pair: pair[1])


@pytest.mark.parametrize(("sizes", "m"), DESIGNS)
def test_the_bound_is_half_of_the_least_distance_between_templates(sizes, m):
    found = geometry.templates(sets_of(*sizes), m)
    apart = [
        nearest(gram(V), gram(T), sizes, free=free(name))
        for name, T in found.items()
        for other, V in found.items()
        if other != name
    ]
    assert min(apart) > 1  # so that no two are the same
    assert geometry.template_bound(sets_of(*sizes), m) == pytest.approx(min(1, min(apart) / 2), rel=1e-9)


@pytest.mark.parametrize(("sizes", "m"), DESIGNS)
def test_classify_knows_all_rotations_and_relabellings(sizes, m):
    sets, orders = sets_of(*sizes), group(sizes)
    for name, T in geometry.templates(sets, m).items():
        for seed, i in enumerate(np.linspace(0, len(orders) - 1, 12).astype(int)):
            W = orthogonal(seed, m) @ T[:, orders[i]]
            assert geometry.classify(W, sets) == name
            said, distance = geometry.nearest_template(W, sets)
            assert said == name
            assert distance < 1e-6
            noise = np.random.default_rng(seed).normal(size=W.shape) * 0.02
            assert geometry.classify(W + noise, sets) == name


@pytest.mark.parametrize(("sizes", "m"), DESIGNS)
def test_near_misses_have_a_distance_and_no_name(sizes, m):
    sets = sets_of(*sizes)
    bound = geometry.template_bound(sets, m)
    for name, T in geometry.templates(sets, m).items():
        if free(name):
            for factor in (0.5, 1.5):
                assert geometry.classify(factor * T, sets) == name
            continue
        size = np.linalg.norm(gram(T))
        for distance, state in ((0.99 * bound, name), (1.01 * bound, "other")):
            W = np.sqrt(1 + distance / size) * T
            assert geometry.classify(W, sets) == state
            assert geometry.nearest_template(W, sets) == (name, pytest.approx(distance))


def test_many_relabellings_are_all_looked_at():
    """A cross-polytope of six pairs has 10,395."""
    W, sets = cross_polytope(6), sets_of(12)
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(12)
        assert geometry.template_distance(W[:, order], sets, "cross-polytope") < 1e-6


def test_a_pentagon_bent_too_far_is_no_pentagon():
    sets = sets_of(5)
    W, bent = polygon(5), []
    for squash in np.linspace(1, 0.3, 30):
        W[1] = squash * polygon(5)[1]
        name, distance = geometry.nearest_template(W, sets)
        assert name == "pentagon"
        assert geometry.classify(3 * W, sets) == ("pentagon" if distance < 1 else "other")
        bent.append(distance)
    assert (np.diff(bent) > 0).all()
    assert bent[0] < 1e-6 < 1 < bent[-1]


def test_states_without_a_template():
    eight = sets_of(2, 2, 2, 2)
    W = np.random.default_rng(0).normal(size=(3, 8))
    assert geometry.templates(eight, 3) == {}
    assert geometry.classify(W, eight) == "other"
    assert geometry.classify(0 * W, eight) == "origin"
    assert geometry.template_bound(eight, 3) == 1
    pairs = sets_of(2, 2)
    square = cross_polytope(2)
    assert geometry.classify(square * np.sqrt(0.99 * 0.2 / 6), pairs) == "origin"  # ‖W‖²_F < 0.2·4/6
    assert geometry.classify(square * np.sqrt(1.01 * 0.2 / 6), pairs) == "other"
    for bad in (np.nan, np.inf):
        assert geometry.classify(np.where(np.eye(2, 4), bad, square), pairs) == "other"


def test_two_triples_elsewhere_have_no_lines_and_no_twist():
    """In two dimensions and in four their states are those of templates alone."""
    sets = sets_of(3, 3)
    W = geometry.template("prism")
    assert geometry.classify(W, sets) == "prism"
    assert geometry.classify(np.vstack([W, np.zeros(6)]), sets) == "other"
    assert geometry.classify(polygon(6), sets) == "hexagon, sets AAABBB around"


SETS = ((0, 1), (2, 3))
NAMES = '"square, antipodes between sets" or "square, antipodes within sets" or "pca" or "collinear"'


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: geometry.template_distance(np.eye(2, 4), SETS, "octahedron"),
            ValueError,
            f"state must be {NAMES}, got 'octahedron'; geometry.templates lists them, without those that have more "
            "than 50,000 relabellings",
        ),
        (
            lambda: geometry.template_distance(np.zeros((2, 10)), (tuple(range(5)), tuple(range(5, 10))), "decagon"),
            ValueError,
            'state must be "pca" or "collinear", got \'decagon\'; geometry.templates lists them, without those that '
            "have more than 50,000 relabellings",
        ),
        (
            lambda: geometry.nearest_template(np.zeros((3, 8)), sets_of(2, 2, 2, 2)),
            ValueError,
            "sets and W must have sizes that geometry.templates knows, got ((0, 1), (2, 3), (4, 5), (6, 7)) and "
            "(3, 8); look at WᵀW itself",
        ),
        (
            lambda: geometry.nearest_template(np.full((2, 4), np.nan), SETS),
            ValueError,
            "W must be finite, got NaN or infinity in 8 of 8 entries; leave out what diverged",
        ),
        (
            lambda: geometry.nearest_template(np.zeros((3, 2, 4)), SETS),
            ValueError,
            "W must have shape (any, any), got (3, 2, 4); pass one model, (m, n)",
        ),
        (
            lambda: geometry.template_distance(np.zeros(4), SETS, "pca"),
            ValueError,
            "W must have shape (any, any), got (4,); its last two axes are m and n",
        ),
        (
            lambda: geometry.templates(((0, 1), (1, 2)), 2),
            ValueError,
            "sets must hold distinct features in [0, 4), got ((0, 1), (1, 2)); take them from features.sets",
        ),
        (
            lambda: geometry.template_bound(((0, 1), (2, 4)), 2),
            ValueError,
            "sets must hold distinct features in [0, 4), got ((0, 1), (2, 4)); take them from features.sets",
        ),
        (
            lambda: geometry.templates(SETS, 1),
            ValueError,
            "n_hidden must be at least 2, got 1; in one dimension there is no shape",
        ),
        (
            lambda: geometry.templates(SETS, 2.0),
            TypeError,
            "n_hidden must be an integer, got 2.0; in one dimension there is no shape",
        ),
    ],
)
def test_arguments_of_any_size_are_checked(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
