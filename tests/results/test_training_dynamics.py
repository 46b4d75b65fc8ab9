"""The stored results of notebook 2: same seeds where curves are compared, units of inference, thresholds in gaps."""

from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import jax
import numpy as np
import pytest

from toylib.geometry import classify, mean_cosine, template
from toylib.training import train

PATH = Path(__file__).parents[2] / "notebooks" / "results" / "training_dynamics.py"
SPEC = spec_from_file_location("training_dynamics", PATH)
full = module_from_spec(SPEC)
SPEC.loader.exec_module(full)
STORED, ABOUT = full.read()
rows = partial(full.rows, STORED)
SETS = full.FEATURES.sets


def test_every_job_is_stored_once():
    """No row twice: 96, 48, 32 or 192 seeds per cell, and eight streams of six."""
    names = ("experiment", "variant", "optimizer", "scale", "S", "seed", "stream")
    keys = list(zip(*(STORED[name].tolist() for name in names), strict=True))
    assert len(set(keys)) == len(keys)
    for p in full.HEADLINE:
        assert len(rows("population", 1 - p)["S"]) == ABOUT["seeds"] == 96
    for p in full.FRESH:
        assert np.bincount(rows("fresh", 1 - p)["stream"]).tolist() == [6] * ABOUT["streams"]


def test_densities_have_seeds_of_their_own():
    keys = np.concatenate([jax.random.key_data(full.seeds_of(p)) for p in (*full.DENSITIES, 0.13, 0.17, 0.25)])
    assert len(np.unique(keys, axis=0)) == len(keys)


@pytest.mark.parametrize(("p", "seed"), [(0.03, 0), (0.1, 5)])
def test_stored_seeds_are_those_of_their_keys(p, seed):
    """The start that a row tells of is the one that its key draws; the twin's row is of the same seed."""
    run = train(
        full.FEATURES, 1 - p, n_hidden=3, n_steps=1, key=full.seeds_of(p)[seed], population=True, progress=False
    )
    assert rows("population", 1 - p)["start_cosine"][seed] == pytest.approx(
        float(mean_cosine(run.weights[0], SETS)), abs=1e-5
    )


def test_the_same_starts_under_both_optimisers():
    adam, sgd = (rows("starts", 0.97, optimizer=name) for name in ("Adam", "SGD"))
    for name in ("seed", "start_cosine", "start_opposite"):
        np.testing.assert_allclose(adam[name], sgd[name], atol=1e-6)
    assert len(adam["seed"]) == 192


def test_variants_are_of_the_same_seeds_as_what_they_are_compared_with():
    base = rows("longer", 1 - full.EDGE)["seed"][: ABOUT["few"]]
    for variant in full.DETAILS:
        np.testing.assert_array_equal(rows("details", 1 - full.EDGE, variant=variant)["seed"], base)


def test_losses_that_are_compared_are_on_the_same_nodes():
    """Stored losses are those of the stored parameters on 4,096 nodes; best is at most what the others have."""
    for p in (0.15, 0.3):
        lowest = rows("best", 1 - p)["final_loss"][0]
        for kind in ("longer", "best", "octahedron"):
            r = rows(kind, 1 - p)
            with jax.enable_x64(True):
                x, weights = full.nodes(1 - p, 4096)
                again = float(full.loss_of(r["parameters"][0].astype(float), x, weights))
            assert again == pytest.approx(r["final_loss"][0], rel=1e-5)
            assert lowest <= r["final_loss"].min() * (1 + 1e-3)


def test_states_are_those_of_the_stored_parameters():
    r = rows("longer", 0.83)
    assert [classify(row[:18].reshape(3, 6), SETS) for row in r["parameters"][:6]] == r["final"][:6].tolist()


def test_the_bound_on_distances_stands_in_a_gap():
    """0.25 in ln t divides what is near an end of a plateau from what is not, where the notebook says that it is."""
    for p in full.HEADLINE:
        apart = np.abs(rows("population", 1 - p)["near"])
        for k in (0, 1):  # A|B and B|C
            values = apart[np.isfinite(apart[:, k]), k]
            assert not ((values > 0.22) & (values < 0.38)).any()


def test_the_bound_on_the_cosine_divides_nothing_close():
    """Whether -0.85 or -0.8 is the bound changes no seed that gradient descent leaves collinear."""
    r = rows("starts", 0.97, optimizer="SGD")
    assert r["start_cosine"][r["plateau"] == "collinear"].max() < -0.85


def test_gaps_to_the_twin_grow_with_the_moment_they_cover():
    """What is the largest up to half of the fall is at least what is there at half."""
    at = full.MOMENTS.index(0.5)
    for p in full.HEADLINE:
        r = rows("population", 1 - p)
        for name in ("loss", "function"):
            assert (r[f"twin_half_{name}"] >= r[f"twin_{name}"][:, : at + 1].max(1) - 1e-7).all()


def test_curvatures_of_the_octahedron_do_not_see_rotations():
    """Turned, it has the same; and the rotations that are left out do have none."""
    parameters = rows("octahedron", 0.85)["parameters"].astype(float)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = full.flat((Q @ parameters[:, :18].reshape(3, 6))[None], parameters[:, 18:])
    with_both = full.judged(np.concatenate([parameters, turned]), 0.85)
    np.testing.assert_allclose(with_both["final_loss"][0], with_both["final_loss"][1], rtol=1e-9)
    np.testing.assert_allclose(with_both["curvature"][0], rows("octahedron", 0.85)["curvature"][0], atol=2e-4)
    np.testing.assert_allclose(
        with_both["curvature"][0], with_both["curvature"][1], atol=1.5e-3
    )  # other kinks are near


def test_the_octahedron_is_what_the_template_descends_to():
    start = full.flat(template("octahedron")[None], np.zeros((1, 6)))[0]
    stored = rows("octahedron", 0.85)["parameters"][0]
    np.testing.assert_allclose(full.polished(start, 0.85), stored, atol=1e-4)


def test_a_saddle_has_a_negative_curvature():
    """Two collapsed sets in the PCA solution, which training leaves."""
    found = full.judged(full.flat(template("pca")[None], np.zeros((1, 6))), 0.9)
    assert found["curvature"][0, 0] < -0.01


def test_a_run_that_is_a_phase_has_what_belongs_to_it():
    r = rows("population", 0.9)
    assert (np.isfinite(r["plateau_loss"]) == (r["plateau"] != "none")).all()
    assert (np.isfinite(r["octahedron_step"]) == (r["final"] == "octahedron")).all()


def test_unknown_columns_are_refused():
    with pytest.raises(ValueError, match=r"^columns must be among BLANKS, got surplus; add them there$"):
        full.filled({"surplus": 1}, 2)
