"""The stored results on the attractor: what was computed, of which seeds, and that losses and states are their own."""

import re
from functools import partial

import jax
import numpy as np
import pytest
from results import attractor as full

from toylib.geometry import classify, curvatures, interference_similarity, template_distance
from toylib.training import train_ensemble

STORED, ABOUT = full.read()
rows = partial(full.rows, STORED)
SETS = full.FEATURES.sets


def test_every_job_is_stored_once():
    names = ("experiment", "S", "source", "kick", "seed")
    told = list(zip(*(STORED[name].tolist() for name in names), strict=True))
    distinct = {tuple(str(value) for value in row) for row in told}  # nan is not nan
    kicks = [row for row in told if row[0] == "kick"]
    stuck_again = len(kicks) - len({tuple(map(str, row)) for row in kicks})
    assert len(distinct) == len(told) - stuck_again
    counts = {name: int((STORED["experiment"] == name).sum()) for name in np.unique(STORED["experiment"])}
    assert counts == {
        "reached": len(full.DENSITIES) * ABOUT["seeds"],
        "octahedron": len(full.OCTAHEDRA),
        "search": len(full.DENSITIES) * full.POLISHED,
        "best": len(full.DENSITIES),
        "path": 2 * len(full.WAY) * ABOUT["walkers"],
        "kick": len(full.KICKED) * 2 * len(full.KICKS) * ABOUT["runs"],
    }
    for p in full.DENSITIES:
        assert rows("reached", 1 - p)["seed"].tolist() == list(range(ABOUT["seeds"]))


def test_the_file_says_how_it_was_made():
    sizes = {"key": full.KEY, "seeds": full.SEEDS, "steps": full.STEPS, "walk": full.WALK, "after": full.AFTER}
    assert {name: ABOUT[name] for name in sizes} == sizes
    assert ABOUT["command"] == "make results"
    assert full.PATH.stat().st_size <= 250 * 1024


def test_densities_have_seeds_of_their_own():
    keys = np.concatenate([jax.random.key_data(full.seeds_of(p)) for p in full.DENSITIES])
    assert len(np.unique(keys, axis=0)) == len(keys)


@pytest.mark.parametrize("experiment", ["reached", "octahedron", "search", "best", "path"])
def test_losses_and_states_are_those_of_the_stored_parameters(experiment):
    for S in np.unique(rows(experiment)["S"])[::7]:
        r = {name: column[:2] for name, column in rows(experiment, S).items()}
        parameters = r["parameters"].astype(float)
        np.testing.assert_allclose(r["final_loss"], full.losses_of(parameters, S), rtol=1e-6)
        W = parameters[:, :18].reshape(-1, 3, 6)
        assert [classify(one, SETS) for one in W] == r["final"].tolist()
        np.testing.assert_allclose(r["distance"], template_distance(W, SETS, "octahedron"), rtol=1e-5)


def test_curvatures_are_those_of_the_stored_parameters():
    for experiment, number in (("octahedron", 21), ("best", 21), ("reached", 3)):
        r = rows(experiment, 0.85)
        at = np.flatnonzero(np.isfinite(r["curvature"][:, 0]))[-1]
        again = curvatures(full.params_of(r["parameters"][at].astype(float)), full.FEATURES, 0.85)
        np.testing.assert_allclose(r["curvature"][at, :number], again[:number], atol=1e-6)
        assert np.isnan(r["curvature"][at, number:]).all()


def test_curvatures_are_taken_of_the_first_few_of_either_kind():
    for p in full.DENSITIES:
        r = rows("reached", 1 - p)
        bent, is_octahedron = np.isfinite(r["curvature"][:, 0]), r["final"] == "octahedron"
        for kind in (True, False):
            first = np.flatnonzero(is_octahedron == kind)[: ABOUT["bent"]]
            assert np.flatnonzero(bent & (is_octahedron == kind)).tolist() == first.tolist()


def test_the_best_known_is_no_higher_than_what_was_found():
    """Than what the search, the octahedron and every trained run have at that density."""
    for p in full.DENSITIES:
        lowest = rows("best", 1 - p)["final_loss"][0]
        for experiment in ("search", "octahedron", "reached"):
            assert lowest <= rows(experiment, 1 - p)["final_loss"].min() * (1 + 2e-4), (p, experiment)


def test_stuck_runs_are_those_of_the_seeds_and_the_control_gets_the_same_kicks():
    for p in full.KICKED:
        reached, kicked = rows("reached", 1 - p), rows("kick", 1 - p)
        stuck = kicked["source"] == "stuck"
        np.testing.assert_array_equal(kicked["before"][stuck], reached["final"][kicked["seed"][stuck]])
        assert "octahedron" not in kicked["before"][stuck]
        assert (kicked["before"][~stuck] == "octahedron").all()
        for kick in full.KICKS:
            at = np.isclose(kicked["kick"], kick)
            assert (at & stuck).sum() == (at & ~stuck).sum() == ABOUT["runs"]


def test_the_path_begins_with_octahedra_and_comes_back_over_the_same_densities():
    r = rows("path")
    up, down = (np.round(1 - r["S"][(r["source"] == way) & (r["seed"] == 0)], 3).tolist() for way in ("up", "down"))
    assert up == list(full.WAY) == down[::-1]
    assert (rows("path", 1 - full.WAY[0], source="up")["final"] == "octahedron").all()


def test_a_stored_seed_is_that_of_its_key():
    """Trained again, two seeds end with the same antipodes as they are stored with, of six that are possible."""
    r = rows("reached", 0.97)
    again = train_ensemble(
        full.FEATURES, [0.97], full.seeds_of(0.03)[:2], n_hidden=3, n_steps=6000, population=True, progress=False
    )
    assert (r["before"][:2] == "octahedron").all()
    for W, stored in zip(again.weights[0, :, -1], r["parameters"][:2, :18].reshape(-1, 3, 6), strict=True):
        assert interference_similarity(W, stored) > 0.99


def test_unknown_columns_are_refused():
    with pytest.raises(ValueError, match="^" + re.escape("columns must be among BLANKS, got surplus; add them there")):
        full.filled({"surplus": 1}, 2)
