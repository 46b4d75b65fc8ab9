"""Names of states on exact, noisy, rotated and relabelled arrangements and near-misses; phases of runs."""

import re
from functools import partial
from itertools import pairwise

import jax
import numpy as np
import pytest
from arrangements import EXACT, OCTAHEDRON, RELABELLINGS, SETS, collapsed, f32, orthogonal, prism, run_of

from toylib import geometry
from toylib.features import Correlated
from toylib.training import train

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
        (np.hstack([prism(1.1, 0.5, 0)[:, :3], prism(1.1, 0.5, 0, squash=0.29)[:, 3:]]), "lines"),  # of one set
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


def test_the_phases_of_a_run_that_diverged_end_where_it_was_finite():
    nan = np.full((3, 6), np.nan)
    before = [(A, 2), (B, 3), (C, 2)]
    assert geometry.phases(run_of(*before, (nan, 3)), SETS) == geometry.phases(run_of(*before), SETS)
    assert geometry.phases(run_of(*before, (nan, 1), (E, 4)), SETS) == geometry.phases(run_of(*before), SETS)
    assert geometry.phases(run_of((nan, 3)), SETS) == []


def test_middle_of_a_phase():
    run = run_of((A, 2), (B, 3), (C, 2), (D, 2), (E, 2))
    assert geometry.phase_middle(geometry.phases(run, SETS)[1], run) == 3


def test_phases_of_a_trained_run():
    features = Correlated(2, 3)
    options = {"n_hidden": 3, "population": True, "batch_size": 64, "snapshots": range(0, 10_001, 20)}
    run = train(features, 0.9, key=jax.random.key(0), **options)
    found = geometry.phases(run, features.sets)
    assert [phase.name for phase in found] == ["A", "B", "C", "D", "E"]
    assert found[0].first == 0
    assert found[-1].last == 10_000
    assert all(a.last == b.first for a, b in pairwise(found))
    states = [geometry.classify(run.weights[geometry.phase_middle(phase, run)], features.sets) for phase in found]
    assert states[1] == "pca"
    assert states[2] == "lines"
    assert states[4] == "octahedron"
    assert float(run.losses[geometry.phase_middle(found[1], run)]) == pytest.approx(0.1 / 3, rel=0.03)
    assert float(run.losses[-1]) == pytest.approx(0.01, rel=0.03)


# Phases: states just beside each threshold

PCA, OPENED = EXACT["pca"], prism(1.1, 0.5, 0)


def squashed(share):
    """Two triangles, of which the first one alone has this flatness."""
    return np.hstack([prism(1.1, 0.5, 0, squash=share)[:, :3], OPENED[:, 3:]])


def opened_to(energy):
    """Collapsed sets opened to lines, with this within-energy, 4t²/(2 + 4t²)."""
    return collapsed("orthogonal", np.sqrt(energy / (2 - 2 * energy)))


@pytest.mark.parametrize(
    ("stages", "ends"),
    [
        # A: three times the smaller ‖set mean‖² first exceeds 0.9, whatever follows
        ([(A, 2), (PCA * np.sqrt([0.895] * 3 + [1.3] * 3), 1), (PCA, 6)], "A60 B160"),
        ([(A, 2), (PCA * np.sqrt([0.905] * 3 + [1.3] * 3), 1), (PCA, 6)], "A40 B160"),
        ([(A, 2), (PCA, 1), (PCA * 0.5, 1), (PCA, 5)], "A40 B160"),
        # B: the last step with within-energy below 0.02
        ([(A, 2), (PCA, 2), (opened_to(0.0198), 1), (OPENED, 4)], "A40 B80 D160"),
        ([(A, 2), (PCA, 2), (opened_to(0.0202), 1), (OPENED, 4)], "A40 B60 C80 D160"),
        # C: the last step at which a set has a flatness below 0.3
        ([(A, 2), (PCA, 2), (squashed(0.297), 1), (OPENED, 4)], "A40 B60 C80 D160"),
        ([(A, 2), (PCA, 2), (squashed(0.303), 1), (OPENED, 4)], "A40 B60 D160"),
        # E: within distance 1 of the octahedron, sqrt(12)·|s² - 1|, to the end
        ([(A, 2), (OCTAHEDRON * np.sqrt(1.287), 1), (OCTAHEDRON, 6)], "A40 E160"),
        ([(A, 2), (OCTAHEDRON * np.sqrt(1.291), 1), (OCTAHEDRON, 6)], "A40 D60 E160"),
    ],
)
def test_phases_on_both_sides_of_each_threshold(stages, ends):
    found = geometry.phases(run_of(*stages), SETS)
    assert " ".join(f"{phase.name}{phase.last}" for phase in found) == ends


def test_b_has_the_name_of_its_middle():
    """Not of its ends, which here are of the other kind."""
    collinear = EXACT["collinear"]
    for ends, middle, name in ((PCA, collinear, "B (collinear)"), (collinear, PCA, "B")):
        run = run_of((A, 2), (ends, 2), (middle, 3), (ends, 2))
        assert [phase.name for phase in geometry.phases(run, SETS)] == ["A", name]


# Bad input

PARTS = "sets must hold {}, got {}; take them from features.sets"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: geometry.classify(np.zeros((3, 5)), SETS),
            PARTS.format("distinct features in [0, 5)", SETS),
        ),
        (
            lambda: geometry.classify(np.zeros((2, 3, 6)), SETS),
            "W must have shape (any, any), got (2, 3, 6); pass one model, (m, n)",
        ),
        (
            lambda: geometry.classify(np.zeros((3, 6)), ((0, 1), (2, 3))),
            PARTS.format("each of 6 features", "((0, 1), (2, 3))"),
        ),
        (
            lambda: geometry.phases(run_of((A, 2)), ((0, 1), (2, 3))),
            PARTS.format("each of 6 features", "((0, 1), (2, 3))"),
        ),
        (
            lambda: geometry.classify(np.zeros((1, 6)), SETS),
            "n_hidden must be at least 2, got 1; in one dimension there is no shape",
        ),
    ],
)
def test_arguments_of_states_are_checked(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_phases_take_one_run():
    run = run_of((A, 2), (E, 2))
    message = (
        "run.weights must have shape (any, any, any), got (1, 4, 3, 6); "
        "pass one model's run, as run.member(a, c) gives it"
    )
    many = run._replace(
        params=jax.tree.map(lambda leaf: leaf[None], run.params),
        **{name: getattr(run, name)[None] for name in ("losses", "weights", "biases", "diverged")},
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        geometry.phases(many, SETS)
    assert geometry.phases(many.member(0), SETS) == geometry.phases(run, SETS)
