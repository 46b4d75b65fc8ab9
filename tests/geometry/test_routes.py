"""Matchings against distances to octahedra built by hand, and routes on runs made to follow each of them."""

from itertools import permutations

import numpy as np
import pytest
from arrangements import EXACT, OCTAHEDRON, SETS, collapsed, orthogonal, prism, run_of

from toylib import geometry
from toylib.features import Correlated

FEATURES = Correlated(2, 3)
TRIANGLES = np.sqrt(2 / 3), np.sqrt(1 / 3)
A, PCA, OPPOSITE, LINES = (EXACT[name] for name in ("origin", "pca", "collinear", "lines"))
END = prism(*TRIANGLES, 60)  # an octahedron in which feature i of the first set has i + 1 of the second as antipode
CYCLE = geometry.MATCHINGS.index((1, 2, 0))


def octahedron_of(matching):
    """Unit vectors in which feature i of the first set is opposite to 3 + matching[i]."""
    W = np.zeros((3, 6))
    W[:, :3] = np.eye(3)
    W[:, [3 + j for j in matching]] = -np.eye(3)
    return W


# Matchings


@pytest.mark.parametrize("seed", range(5))
def test_the_most_antiparallel_matching_has_the_nearest_octahedron(seed):
    """Squared distances of Gram matrices differ by four times the difference of the sums."""
    W = np.random.default_rng(seed).normal(size=(3, 6))
    sums = geometry.matching_sums(W, SETS)
    gram = W.T @ W
    squares = [np.square(gram - (T := octahedron_of(m)).T @ T).sum() for m in permutations(range(3))]
    np.testing.assert_allclose(np.diff(squares), 4 * np.diff(sums), rtol=1e-10)
    np.testing.assert_allclose(geometry.matching_sums(np.stack([W, orthogonal(seed) @ W]), SETS), [sums, sums])


@pytest.mark.parametrize("k", range(6))
def test_each_octahedron_has_its_own_matching(k):
    W = octahedron_of(geometry.MATCHINGS[k])
    assert geometry.matching_sums(W, SETS).argmin() == k
    assert geometry.parity_of(k) == round(np.linalg.det(-W[:, 3:]))


def test_sets_may_be_written_in_any_order():
    W, sets = np.random.default_rng(3).normal(size=(3, 6)), ((4, 0, 2), (5, 1, 3))
    moved = W[:, [4, 0, 2, 5, 1, 3]]
    np.testing.assert_allclose(geometry.matching_sums(W, sets), geometry.matching_sums(moved, SETS))


def test_sorted_orders_rank_matchings_by_how_far_they_reverse():
    """On a line the reversed order is the most antiparallel, the two 3-cycles come next, the same order is last."""
    random = np.random.default_rng(0)
    for _ in range(50):
        along = np.sort(random.normal(size=(2, 3)), axis=1)
        order = [geometry.MATCHINGS[k] for k in np.argsort(geometry.line_sums(along))]
        assert order[0] == (2, 1, 0)
        assert set(order[1:3]) == {(1, 2, 0), (2, 0, 1)}
        assert order[5] == (0, 1, 2)


def test_of_the_two_cycles_the_one_is_second_that_sends_the_lower_middle_to_the_top():
    """Middle points at -0.4 and 0.5 of lines from -1 to 1: feature 1 of the lower one goes with feature 2."""
    lower, upper = [-1, -0.4, 1], [-1, 0.5, 1]
    assert geometry.MATCHINGS[np.argsort(geometry.line_sums([lower, upper]))[1]] == (1, 2, 0)
    assert geometry.MATCHINGS[np.argsort(geometry.line_sums([upper, lower]))[1]] == (2, 0, 1)


def test_line_coordinates_of_opened_lines():
    W = collapsed("orthogonal", 0.4)
    along, share = geometry.line_coordinates(orthogonal(1) @ W, SETS)
    np.testing.assert_allclose(along * np.sign(along[0, 2]), 0.4 * np.array([[-1, 0, 1], [-1, 0, 1]]), atol=1e-12)
    assert share == pytest.approx(1)
    W[0] += [0.3, -0.3, 0, 0, 0.3, -0.3]  # along the first mean, which is bound
    assert geometry.line_coordinates(W, SETS)[1] == pytest.approx(0.64 / (0.64 + 0.36))
    np.testing.assert_allclose(geometry.line_sums(0.4 * np.array([[-1, 0, 1]] * 2))[[0, 5]], [0.32, -0.32])


def test_without_a_free_direction_there_are_no_coordinates():
    along, share = geometry.line_coordinates(collapsed("opposite", 0.4), SETS)
    assert np.isnan(along).all()
    assert np.isnan(share)
    assert np.isnan(geometry.line_coordinates(collapsed("orthogonal"), SETS)[1])  # no differences to share


@pytest.mark.parametrize(
    ("twist", "matching", "left"), [(10, (1, 2, 0), 50), (10, (2, 0, 1), 70), (10, (0, 1, 2), 170)]
)
def test_what_is_left_to_turn(twist, matching, left):
    W = orthogonal(2) @ prism(0.9, 0.4, twist)
    angle, parity = geometry.turn(W, SETS, geometry.MATCHINGS.index(matching))
    assert angle == pytest.approx(left)
    assert parity == 1


def test_a_mirrored_triangle_has_the_other_parity():
    W = prism(0.9, 0.4, 25)[:, [0, 1, 2, 4, 3, 5]]
    assert geometry.turn(W, SETS, 0)[1] == -1
    assert geometry.turn(octahedron_of((0, 2, 1)), SETS, geometry.MATCHINGS.index((0, 2, 1))) == (
        pytest.approx(0, abs=1e-6),
        -1,
    )


# Routes


def follow(*stages):
    """The route of a run through arrangements, its loss falling evenly in the logarithm."""
    run = run_of(*stages)
    return geometry.route(run._replace(losses=np.geomspace(0.2, 0.01, len(run.steps))), FEATURES, 0.9)


def turning(first, last=60):
    return [(prism(*TRIANGLES, angle), 2) for angle in range(first, last, 10)]


LEANING = prism(1.1, 0.5, 40) + np.array([[0.6], [0], [0]])  # the set means are not opposite, so hardly any pair is
PAIRED = OCTAHEDRON.copy()
PAIRED[:, 2], PAIRED[:, 5] = (0.5, 0.5, 0.5), (0.6, -0.6, -0.5)  # two antipodal pairs, and two columns at an angle


@pytest.mark.parametrize(
    ("stages", "name", "plateau"),
    [
        ([(A, 2), (PCA, 5), (LINES, 3), *turning(0), (END, 4)], "prism", "pca"),
        ([(A, 2), (PCA, 5), (LINES, 3), *turning(20), (END, 4)], "prism", "pca"),
        ([(A, 2), (PCA, 5), (LINES, 3), (LEANING, 3), (END, 4)], "antiprism", "pca"),
        ([(A, 2), (PCA, 5), (LINES, 3), (PAIRED, 3), (OCTAHEDRON, 4)], "antipodal pairs", "pca"),
        ([(A, 2), (OPPOSITE, 5), *turning(0), (END, 4)], "collinear", "collinear"),
        ([(A, 2), (PCA, 5), (LINES, 3), *turning(0, 40)], "no octahedron", "pca"),
        ([(A, 2), *turning(0), (END, 4)], "prism", "none"),
        ([(A, 2), (LEANING, 3), (END, 4)], "antiprism", "none"),
    ],
)
def test_routes_of_runs_made_to_follow_them(stages, name, plateau):
    found = follow(*stages)
    assert (found.name, found.plateau) == (name, plateau)
    assert found.name in geometry.ROUTES
    turned = follow(*((orthogonal(7) @ W, number) for W, number in stages))
    assert turned._replace(moments=0, turn=0) == found._replace(moments=0, turn=0)


def leaning(twist):
    return prism(1.1, 0.5, twist) + np.array([[0.6], [0], [0]])


def two_pairs(cosine):
    """The octahedron, but for one antipode at this cosine, and the last pair at a right angle and a half."""
    W = PAIRED.copy()
    W[:, 4] = 0, cosine, np.sqrt(1 - cosine**2)
    return W


def squashed(share):
    """Two triangles, of which the first one alone has this flatness."""
    return np.hstack([prism(1.1, 0.5, 0, squash=share)[:, :3], prism(1.1, 0.5, 0)[:, 3:]])


@pytest.mark.parametrize(
    ("stages", "name", "opening"),
    [
        # 30° still to turn
        ([(A, 2), (PCA, 3), (leaning(29), 3), (END, 1)], "prism", 5),
        ([(A, 2), (PCA, 3), (leaning(31), 3), (END, 1)], "antiprism", 5),
        # two pairs with a cosine below -0.9
        ([(A, 2), (PCA, 3), (two_pairs(-0.91), 3), (OCTAHEDRON, 1)], "antipodal pairs", 5),
        ([(A, 2), (PCA, 3), (two_pairs(-0.89), 3), (OCTAHEDRON, 1)], "antiprism", 5),
        # ‖W‖²_F from 2 on, of which the columns of a unit prism have 6
        ([(A, 5), (np.sqrt(1.97 / 6) * EXACT["prism"], 2), (EXACT["prism"], 1), (END, 1)], "prism", 7),
        ([(A, 5), (np.sqrt(2.03 / 6) * EXACT["prism"], 2), (EXACT["prism"], 1), (END, 1)], "prism", 5),
        # no set with a flatness below 0.3
        ([(A, 2), (PCA, 3), (squashed(0.297), 2), (leaning(0), 1), (END, 1)], "prism", 7),
        ([(A, 2), (PCA, 3), (squashed(0.303), 2), (leaning(0), 1), (END, 1)], "prism", 5),
    ],
)
def test_routes_on_both_sides_of_each_threshold(stages, name, opening):
    found = follow(*stages)
    assert (found.name, found.opening) == (name, opening)


def test_what_was_collinear_is_called_so_whatever_came_after():
    """The plateau is that of the middle of phase B, and counts before the pairs."""
    stages = [(PCA, 1), (OPPOSITE, 3), (PCA, 1), (two_pairs(-0.95), 1), (OCTAHEDRON, 1)]
    found = follow((A, 2), *stages)
    assert (found.name, found.plateau, found.pairs) == ("collinear", "collinear", 2)


def test_the_moments_of_a_route():
    found = follow((A, 2), (PCA, 5), (LINES, 3), *turning(0), (END, 4))
    assert (found.branch, found.opening, found.arrival) == (6, 10, 18)  # a prism turned by 50° is near enough
    assert (found.matching, found.parity, found.pairs) == (CYCLE, 1, 0)
    assert found.turn == pytest.approx(60, abs=1e-3)
    lines, prism_10, prism_20 = found.moments  # 3, 6 and 9 snapshots after the branch
    assert np.isnan(lines[-1])
    assert lines[4] == pytest.approx(0, abs=1e-6)
    assert prism_10[-1] == pytest.approx(1 / 6, abs=1e-4)
    assert prism_20[-1] == pytest.approx(2 / 6, abs=1e-4)
    assert prism_20[4] == pytest.approx(-1)
    cosines = [-1 / 3 + 2 / 3 * np.cos(np.radians(120 * k - 20)) for k in range(3)]
    np.testing.assert_allclose(prism_20[:3], [min(cosines)] * 3, atol=1e-5)
    assert prism_20[3] == pytest.approx(max(cosines), abs=1e-5)
    assert prism_20[5] == 0


def test_a_parity_can_change_only_by_becoming_flat_again():
    """The triangles open with opposite senses, but the octahedron of this run has an even matching."""
    found = follow((A, 2), (PCA, 5), (LINES, 3), (prism(1.1, 0.5, 40)[:, [0, 1, 2, 4, 3, 5]], 3), (END, 4))
    assert found.parity == -1
    assert geometry.parity_of(found.matching) == 1


def test_without_a_phase_b_the_branch_is_where_the_loss_reaches_its_level():
    run = run_of((A, 2), *turning(0), (END, 4))
    losses = np.geomspace(0.2, 0.01, len(run.steps))
    losses[4:6] = 1.02 * 0.1 / 3, 0.98 * 0.1 / 3
    assert geometry.route(run._replace(losses=losses), FEATURES, 0.9).branch == 5


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (run_of((END, 3))._replace(weights=np.full((3, 3, 6), np.nan)), "run must have finite weights, got one that"),
        (run_of((END, 3))._replace(weights=np.zeros((3, 2, 6))), r"run.weights must have shape \(any, 3, 6\)"),
    ],
)
def test_runs_that_have_no_route_are_refused(run, message):
    with pytest.raises(ValueError, match=message):
        geometry.route(run, FEATURES, 0.9)


def test_coordinates_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="along must have shape"):
        geometry.line_sums(np.zeros((3, 2)))


@pytest.mark.parametrize("matching", [-1, 6, 1.5, None])
def test_there_are_six_matchings(matching):
    with pytest.raises(ValueError, match="matching must be a position in MATCHINGS, 0 to 5"):
        geometry.turn(OCTAHEDRON, SETS, matching)
    with pytest.raises(ValueError, match="matching must be a position in MATCHINGS, 0 to 5"):
        geometry.parity_of(matching)


@pytest.mark.parametrize("losses", [np.ones(2), np.array([1.0, np.nan, 1.0]), np.zeros(3)])
def test_a_route_needs_a_loss_for_each_snapshot(losses):
    with pytest.raises(
        ValueError,
        match=r"run must have (a positive loss and a step for each of its weights|losses \(\.\.\., T\) and weights)",
    ):
        geometry.route(run_of((END, 3))._replace(losses=losses), FEATURES, 0.9)


@pytest.mark.parametrize("sets", [None, (0, 1, 2, 3, 4, 5), ((0.0, 1.0, 2.0), (3.0, 4.0, 5.0))])
def test_sets_are_sequences_of_whole_numbers(sets):
    for call in (geometry.classify, geometry.nearest_template, geometry.branching, geometry.within_energy):
        with pytest.raises(TypeError, match="sets must be sequences of whole numbers, got"):
            call(np.asarray(OCTAHEDRON), sets)
    with pytest.raises(TypeError, match="sets must be sequences of whole numbers, got"):
        geometry.templates(sets, 3)
