"""The stored results on the attractor: what was computed, of which seeds, and that losses and states are their own."""

import re
from functools import partial

import jax
import numpy as np
import pytest
from results import attractor as full

from toylib.geometry import classify, curvatures, interference_similarity, template_distance
from toylib.training import train

STORED, ABOUT = full.read()
rows = partial(full.rows, STORED)
SETS = full.FEATURES.sets


def test_every_job_is_stored_once():
    names = ("experiment", "S", "source", "kick", "seed")
    told = [tuple(map(str, row)) for row in zip(*(STORED[name].tolist() for name in names), strict=True)]
    once = [row for row in told if row[0] not in ("kick", "best", "octahedron")]
    assert len(set(once)) == len(once)
    counts = {name: int((STORED["experiment"] == name).sum()) for name in np.unique(STORED["experiment"])}
    assert counts == {
        "reached": len(full.DENSITIES) * ABOUT["seeds"],
        "fresh": len(full.FRESH) * ABOUT["fresh"],
        "octahedron": len(full.OCTAHEDRA),
        "search": len(full.DENSITIES) * full.POLISHED,
        "best": len(full.DENSITIES),
        "path": 2 * len(full.WAY) * ABOUT["walkers"],
        "kick": len(full.KICKED) * 2 * len(full.KICKS) * ABOUT["runs"],
    }
    for p in full.DENSITIES:
        assert rows("reached", 1 - p)["seed"].tolist() == list(range(ABOUT["seeds"]))


def test_the_file_says_how_it_was_made():
    sizes = {"key": full.KEY, "seeds": full.SEEDS, "steps": full.STEPS, "more": full.MORE, "nodes": full.MANY}
    assert {name: ABOUT[name] for name in sizes} == sizes
    assert ABOUT["command"] == "make results"
    assert full.PATH.stat().st_size <= 250 * 1024


def test_densities_have_seeds_of_their_own():
    keys = np.concatenate([jax.random.key_data(full.seeds_of(p)) for p in full.DENSITIES])
    fresh = [jax.random.key_data(jax.random.split(full.key_of(5, p), full.FRESH_SEEDS)) for p in full.FRESH]
    assert len(np.unique(np.concatenate([keys, *fresh]), axis=0)) == len(keys) + len(full.FRESH) * full.FRESH_SEEDS


def test_the_many_nodes_are_those_that_training_sees():
    """The distribution is the same, and only the default number of nodes differs."""
    finer, p = full.Finer(2, 3), np.float32(0.15)
    assert finer != full.FEATURES
    for a, b in zip(finer.population_at(p), full.FEATURES.population_at(p, full.MANY), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(full.FEATURES.population_at(p)[0]) < 1100 < 16_000 < len(finer.population_at(p)[0])


def test_what_is_no_octahedron_goes_on_and_what_is_one_stays():
    """Octahedra that go on beside the others stay; the others are put down as they were."""
    for p in full.DENSITIES:
        r = rows("reached", 1 - p)
        went, was = r["before"] != "", r["coarse"] == "octahedron"
        assert went[~was].all()
        assert went[was].sum() == min(ABOUT["kept"], was.sum())
        assert (r["final"][was] == "octahedron").all()


@pytest.mark.parametrize("experiment", ["reached", "fresh", "octahedron", "search", "best", "path"])
def test_losses_and_states_are_those_of_the_stored_parameters(experiment):
    for S in np.unique(rows(experiment)["S"])[1::8]:
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
            first = np.flatnonzero(is_octahedron == kind)[: ABOUT["kept"]]
            assert np.flatnonzero(bent & (is_octahedron == kind)).tolist() == first.tolist()


def test_the_best_known_is_no_higher_than_what_was_found():
    """Than what the search, the octahedron and every trained run have at that density."""
    for p in full.DENSITIES:
        lowest = rows("best", 1 - p)["final_loss"][0]
        for experiment in ("search", "octahedron", "reached", "fresh"):
            found = rows(experiment, 1 - p)["final_loss"]
            assert lowest <= found.min(initial=np.inf) * (1 + 2e-4), (p, experiment)


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
    """Trained again, a seed comes to the octahedron that is stored, and not to one of the five other pairings."""
    r = rows("reached", 0.9)
    k = np.flatnonzero(r["final"] == "octahedron")[-1]
    key, features = full.seeds_of(0.1)[k], full.FEATURES
    run = train(features, 0.9, n_hidden=3, n_steps=full.STEPS, key=key, population=True, snapshots=[full.STEPS])
    stored = r["parameters"][k, :18].reshape(3, 6)
    assert interference_similarity(run.params.W, stored) > 0.999
    assert interference_similarity(run.params.W[:, [1, 2, 0, 3, 4, 5]], stored) < 0.9


def test_unknown_columns_are_refused():
    with pytest.raises(ValueError, match="^" + re.escape("columns must be among BLANKS, got surplus; add them there")):
        full.filled({"surplus": 1}, 2)
