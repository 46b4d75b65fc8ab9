"""Counting runs against the textbook formula of Wilson, prescribed runs, and sums written out in NumPy."""

from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylib import geometry
from toylib.features import Correlated
from toylib.geometry import TwinGaps, _census, census, template, template_prism, twin_gap, twin_gaps
from toylib.model import Params
from toylib.training import Run, train_ensemble

F = Correlated(2, 3)
S = 0.9
NAN = np.nan


# What a run did


def turned(W, seed):
    """Rotate or reflect W, on which nothing may depend."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0] @ W


def run_of(*stages, seed=0):
    """Return a run with a snapshot every 20 steps, made of (W, number of snapshots); loss 100 - t at snapshot t."""
    W = np.concatenate([np.repeat(turned(w, seed)[None], number, 0) for w, number in stages]).astype(np.float32)
    number = len(W)
    params = Params(jnp.asarray(W[-1]), jnp.zeros(6))
    biases = np.zeros((number, 6), np.float32)
    return Run(params, 20 * np.arange(number), 100.0 - np.arange(number), W, biases, np.array(False))


def ensemble(*runs):
    """Stack runs along one leading axis."""
    fields = {k: np.stack([getattr(run, k) for run in runs]) for k in ("losses", "weights", "biases", "diverged")}
    return runs[0]._replace(params=jax.tree.map(lambda *leaves: jnp.stack(leaves), *(r.params for r in runs)), **fields)


def slightly_open(W, size=0.02):
    """Set 1 leaves its direction a little: the smallest singular value is then that of a difference mode."""
    return W + size * np.array([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, -1, 0, 0, 0, 0]])


ORIGIN, PCA, OCTAHEDRON = np.zeros((3, 6)), template("pca"), template("octahedron")
COLLINEAR = slightly_open(template("collinear"))
LINES = PCA + np.array([[0] * 6, [0] * 6, [-0.4, 0, 0.4, -0.4, 0, 0.4]])
TWIST_12, TWIST_31 = template_prism(1.1, 0.5, 12), template_prism(1.1, 0.5, 31)
OPENING = (TWIST_12, 1), (TWIST_31, 1)

RUNS = {
    "five phases": (
        [(ORIGIN, 2), (PCA, 3), (LINES, 2), *OPENING, (OCTAHEDRON, 2)],
        ("octahedron", 90.0, "ABCDE", 180.0, 12.0, "pca", 97.0),
    ),
    "collinear B": (
        [(ORIGIN, 2), (COLLINEAR, 3), (LINES, 2), *OPENING, (OCTAHEDRON, 2)],
        ("octahedron", 90.0, "AbCDE", 180.0, 12.0, "collinear", 97.0),
    ),
    "no B": (
        [(ORIGIN, 2), (LINES, 2), *OPENING, (OCTAHEDRON, 5)],
        ("octahedron", 90.0, "ACDE", 120.0, 12.0, "none", NAN),
    ),
    "never an octahedron": (
        [(ORIGIN, 2), (PCA, 3), (LINES, 2), (TWIST_31, 3), (TWIST_12, 1)],
        ("prism", 90.0, "ABCD", NAN, 31.0, "pca", 97.0),
    ),
    "leaves the octahedron": (
        [(ORIGIN, 1), (PCA, 3), (LINES, 1), (TWIST_12, 2), (OCTAHEDRON, 2), (TWIST_31, 2)],
        ("twisted", 90.0, "ABCD", NAN, 12.0, "pca", 98.0),
    ),
    "comes back to it": (
        [(ORIGIN, 1), (PCA, 3), (LINES, 1), (TWIST_12, 1), (OCTAHEDRON, 2), (TWIST_31, 1), (OCTAHEDRON, 2)],
        ("octahedron", 90.0, "ABCDE", 180.0, 12.0, "pca", 98.0),
    ),
    "arrives with the last snapshot": (
        [(ORIGIN, 2), (PCA, 3), (LINES, 2), (TWIST_12, 1), (TWIST_31, 2), (OCTAHEDRON, 1)],
        ("octahedron", 90.0, "ABCD", 200.0, 12.0, "pca", 97.0),
    ),
    "stays collapsed": ([(ORIGIN, 1), (PCA, 10)], ("pca", 90.0, "AB", NAN, NAN, "pca", 95.0)),
    "neither direction": (
        [(ORIGIN, 1), (sqrt(1.2) * COLLINEAR, 10)],
        ("other", 90.0, "AB", NAN, NAN, "other", 95.0),
    ),
    "never leaves the origin": ([(ORIGIN, 11)], ("origin", 90.0, "A", NAN, NAN, "none", NAN)),
}


def test_census_of_prescribed_runs():
    counted = census(ensemble(*(run_of(*stages, seed=i) for i, (stages, _) in enumerate(RUNS.values()))), F, S)
    for (name, (_, expected)), row in zip(RUNS.items(), zip(*counted, strict=True), strict=True):
        for field, value, right in zip(counted._fields, row, expected, strict=True):
            if isinstance(right, str):
                assert value == right, (name, field)
            else:
                assert value == pytest.approx(right, abs=0.01, nan_ok=True), (name, field)
    assert all(isinstance(column, np.ndarray) and column.shape == (len(RUNS),) for column in counted)


def test_a_census_is_of_two_triples():
    rule = (
        r"^a census must be of two sets of three in three dimensions, got \(\(0, 1\), \(2, 3\), \(4, 5\)\) and weights "
        r"\(1, 4, 3, 6\); of other sizes count classify\(W, sets\) and phases\(run, sets\) of each member$"
    )
    with pytest.raises(ValueError, match=rule):
        census(ensemble(run_of((ORIGIN, 4))), Correlated(3, 2), S)


def test_plateau_is_read_in_the_middle_of_phase_b():
    """Just before and after the middle the sets lie on opposite directions; only the middle decides."""
    run = run_of((ORIGIN, 2), (COLLINEAR, 1), (PCA, 1), (COLLINEAR, 1), (LINES, 2), *OPENING, (OCTAHEDRON, 2))
    counted = census(ensemble(run), F, S)
    assert counted.plateau.tolist() == ["pca"]
    assert counted.plateau_loss.tolist() == [97.0]


@pytest.mark.parametrize(("size", "plateau"), [(0.13, "pca"), (0.16, "other")])
def test_plateau_is_pca_from_an_overlap_of_99_percent(size, plateau):
    """A set mean of s at angle φ to a difference mode has overlap (1 + cos² φ)/2 with the two set directions."""
    W = PCA.copy()
    W[0, :3] += size * np.array([1, -1, 0]) / sqrt(2)
    cosine2 = 1 / (1 + size**2)
    assert ((1 + cosine2) / 2 > 0.99) == (plateau == "pca")
    assert census(ensemble(run_of((ORIGIN, 1), (W, 9))), F, S).plateau.tolist() == [plateau]


def test_a_member_that_diverged_is_other_and_has_no_plateau():
    run = run_of((ORIGIN, 1), (np.full((3, 6), NAN), 5))
    run = run._replace(losses=np.where(np.arange(6) > 0, NAN, run.losses), diverged=np.array(True))
    counted = census(ensemble(run, run_of((ORIGIN, 1), (PCA, 5))), F, S)
    assert counted.final.tolist() == ["other", "pca"]
    assert counted.plateau.tolist() == ["none", "pca"]
    assert np.isnan(counted.plateau_loss).tolist() == [True, False]
    assert np.isnan(counted.final_loss).tolist() == [True, False]
    assert np.isnan(counted.octahedron_step).all()
    assert counted.phases.tolist() == ["", "AB"]
    # Its W may be finite, and its loss not.
    assert census(ensemble(run_of((PCA, 3))._replace(diverged=np.array(True))), F, S).final.tolist() == ["other"]


# Twins


def test_twin_gap_of_constants():
    """E ‖x‖² = 6 p/3, and a constant difference of 1 in each feature is 6; a negative bias is cut in the model only."""
    one = run_of((ORIGIN, 3))
    run, twin = one._replace(biases=np.float32([[1] * 6, [-1] * 6, [-1] * 6])), one
    twin = twin._replace(biases=np.float32([[0] * 6, [-1] * 6, [0] * 6]))
    gaps = twin_gap(run, twin, F, S)
    assert isinstance(gaps, np.ndarray)
    np.testing.assert_allclose(gaps, [3 / (1 - S), 3 / (1 - S), 0], rtol=1e-3)


def outputs(W, b, x, linear):
    z = x @ W.T @ W + b
    return z if linear else np.maximum(z, 0)


def numpy_gaps(run, twin):
    x, weights = (np.asarray(a, np.float64) for a in F.population(S))
    gaps = []
    for W, b, twin_W, twin_b in zip(run.weights, run.biases, twin.weights, twin.biases, strict=True):
        difference = outputs(W, b, x, False) - outputs(twin_W, twin_b, x, True)
        gaps.append(sum(weights * (difference**2).sum(1)) / sum(weights * (x**2).sum(1)))
    return np.array(gaps)


@pytest.fixture(scope="module")
def trained():
    """Two runs and their linear twins, ten times as fast as in the notebooks."""
    keys = jax.random.split(jax.random.key(1), 2)
    options = {"n_hidden": 3, "n_steps": 600, "population": True, "learning_rate": 0.01}
    options["snapshots"] = range(0, 601, 4)
    return [train_ensemble(F, np.array([S]), keys, linear=linear, **options).member(0) for linear in (False, True)]


def test_twin_gap_of_a_trained_pair(trained):
    run, twin = (each.member(1) for each in trained)
    gaps = twin_gap(run, twin, F, S)
    assert gaps.shape == run.steps.shape
    np.testing.assert_allclose(gaps, numpy_gaps(run, twin), rtol=1e-3, atol=1e-9)
    assert gaps[0] < 1e-6 < 0.01 < gaps[-1]


def test_twin_gaps_of_a_trained_pair(trained):
    found = twin_gaps(*trained, F, S)
    assert all(isinstance(column, np.ndarray) and column.shape == (2,) for column in found)
    for c in range(2):
        run, twin = (each.member(c) for each in trained)
        losses, functions = abs(run.losses - twin.losses) / twin.losses, numpy_gaps(run, twin)
        early = next(t for t, loss in enumerate(run.losses) if loss <= 0.9 * run.losses[0])
        b = next(phase for phase in geometry.phases(run, F.sets) if phase.name == "B")
        plateau = min(range(len(run.steps)), key=lambda t: abs(run.steps[t] - (b.first + b.last) / 2))
        assert 0 < early < plateau < len(run.steps) - 1
        expected = {
            "early_loss": losses[early],
            "early_function": functions[early],
            "drop_loss": max(losses[early : plateau + 1]),
            "drop_function": max(functions[early : plateau + 1]),
            "plateau_loss": losses[plateau],
            "plateau_function": functions[plateau],
            "final_twin_loss": twin.losses[-1],
        }
        for name, value in expected.items():
            assert getattr(found, name)[c] == pytest.approx(value, rel=1e-3), name
        assert len({round(float(value), 6) for value in expected.values()}) == 7  # so that no two can be exchanged
    assert found.sets_first.dtype == bool
    assert found.sets_first.all()


def prescribed(stages, twin_stages=None, losses=None, twin_losses=None):
    """Return the gaps of one run of prescribed weights and losses from a prescribed twin."""
    run = run_of(*stages)
    twin = run_of(*(twin_stages or stages))
    run = run._replace(losses=run.losses if losses is None else np.array(losses))
    twin = twin._replace(losses=twin.losses if twin_losses is None else np.array(twin_losses))
    return TwinGaps(*(column[0] for column in twin_gaps(ensemble(run), ensemble(twin), F, S)))


def test_twin_gaps_take_the_snapshots_it_names():
    losses = [10, 9.1, 9.0, 5, 4, 4, 4, 3, 2, 1]
    gaps = np.array([9, 8, 0.01, 0.5, 0.7, 0.03, 0.04, 0.9, 0.95, 0.99])
    stages = [(ORIGIN, 4), (PCA, 3), (LINES, 3)]  # B from step 80 to 120, with step 100, snapshot 5, in the middle
    found = prescribed(stages, losses=losses, twin_losses=np.array(losses) / (1 + gaps))
    expected = (found.early_loss, found.drop_loss, found.plateau_loss, found.final_twin_loss)
    assert expected == pytest.approx((0.01, 0.7, 0.03, 1 / 1.99))
    # Both ends of the drop belong to it.
    for end in (2, 5):
        widest = np.where(np.arange(10) == end, 0.8, gaps)
        twin_losses = np.array(losses) / (1 + widest)
        assert prescribed(stages, losses=losses, twin_losses=twin_losses).drop_loss == pytest.approx(0.8)
    above = prescribed(stages, losses=losses, twin_losses=np.array(losses) / (1 - gaps / 10))
    assert (above.early_loss, above.drop_loss, above.plateau_loss) == pytest.approx((0.001, 0.07, 0.003))


def test_without_phase_b_the_drop_runs_to_the_end():
    losses, gaps = [10, 9, 8, 7, 6], np.array([9, 0.1, 0.2, 0.3, 0.4])
    found = prescribed([(ORIGIN, 2), (LINES, 3)], losses=losses, twin_losses=np.array(losses) / (1 + gaps))
    assert (found.early_loss, found.drop_loss) == pytest.approx((0.1, 0.4))
    assert np.isnan([found.plateau_loss, found.plateau_function]).all()


DIFFERENCE = np.array([[0.0] * 6, [0.0] * 6, [1, -1, 0, 0, 0, 0]]) / sqrt(2)
ONE_SET = np.vstack([PCA[0], np.zeros((2, 6))])


def half(strength, W):
    return sqrt(strength) * W


@pytest.mark.parametrize(
    ("twin", "expected"),
    [
        ([ORIGIN, PCA, PCA + DIFFERENCE, PCA + DIFFERENCE], True),
        ([ORIGIN, PCA, PCA, PCA], True),  # no difference mode at all
        ([ORIGIN, half(0.51, PCA), PCA + half(0.51, DIFFERENCE), PCA], True),
        ([ORIGIN, half(0.51, PCA) + half(0.49, DIFFERENCE), PCA + DIFFERENCE, PCA], True),
        ([ORIGIN, half(0.49, PCA), half(0.49, PCA) + half(0.51, DIFFERENCE), PCA], False),
        ([ORIGIN, DIFFERENCE, PCA + DIFFERENCE, PCA], False),
        ([ORIGIN, PCA + DIFFERENCE, PCA, PCA], False),  # at one snapshot, so not before
        ([ORIGIN, ONE_SET, ONE_SET + DIFFERENCE, PCA + DIFFERENCE], False),  # one of the two sets
        ([ORIGIN, ONE_SET, ONE_SET, ONE_SET], False),
        ([ORIGIN, ORIGIN, ORIGIN, ORIGIN], False),
        ([PCA, PCA, PCA, PCA], True),
    ],
)
def test_sets_first(twin, expected):
    found = prescribed([(ORIGIN, 4)], [(W, 1) for W in twin])
    assert found.sets_first == expected


def test_a_gap_to_a_model_that_diverged_is_nan_and_twins_must_not_have():
    sick, healthy = run_of((PCA, 2), (PCA * NAN, 2)), run_of((PCA, 4))
    for pair in ((sick, healthy), (healthy, sick)):
        assert np.isnan(twin_gap(*pair, F, S)).tolist() == [False, False, True, True]
    rule = "must be finite, got NaN or infinity in 36 of 72 entries; leave out what diverged, and say so$"
    with pytest.raises(ValueError, match=f"^runs.weights {rule}"):
        twin_gaps(ensemble(sick), ensemble(healthy), F, S)
    with pytest.raises(ValueError, match=f"^twins.weights {rule}"):
        twin_gaps(ensemble(healthy), ensemble(sick), F, S)


def test_members_must_pair_up():
    one, two = ensemble(run_of((ORIGIN, 3))), ensemble(run_of((ORIGIN, 3)), run_of((ORIGIN, 3)))
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is longer"):
        twin_gaps(one, two, F, S)


def test_the_bound_on_the_overlap_is_the_documented_one():
    assert _census.PCA_OVERLAP == 0.99
