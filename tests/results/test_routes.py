"""The stored results of notebook 5: seeds of their own, labels that follow from what is stored, starts as they say."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from results import other_sizes as sizes
from results import routes_to_the_octahedron as full

from toylib import geometry
from toylib.features import Correlated
from toylib.geometry import mean_cosine
from toylib.training import train

STORED, ABOUT = full.read()
CENSUS = STORED["census"]
SETS = full.FEATURES.sets
RESULTS = Path(full.__file__).parent


def test_sizes_of_the_cells():
    assert dict(CENSUS.sizes) | {"seed": 2000} == dict(CENSUS.sizes)
    assert all(CENSUS.sizes[axis] == 2 for axis in ("optimizer", "scale", "S"))
    assert STORED["fresh"].sizes["stream"] * STORED["fresh"].sizes["seed"] == 2000
    assert STORED["fresh"].sizes["stream"] >= 8
    assert {name: list(grid) for name, grid in ABOUT["grids"].items()} == {
        name: list(grid) for name, grid in full.SWEEPS.items()
    }


def test_files_are_small():
    mine = [RESULTS / f"{name}.npz" for name in ("routes_to_the_octahedron", "attractor", "other_sizes")]
    assert sum(path.stat().st_size for path in mine) < 1e6
    assert sum(path.stat().st_size for path in RESULTS.glob("*.n[cp]*")) < 9e6


def test_seeds_of_cells_differ():
    keys = [full.starts_of(scale, S, np.arange(40)) for scale in (0.0001, 0.001, 0.01, 0.02, 0.3, 1.5, 2.0) for S in
            (0.99, 0.98, 0.97, 0.95, 0.93, 0.9, 0.88)]  # fmt: skip
    numbers = np.concatenate([jax.random.key_data(each) for each in keys])
    assert len(np.unique(numbers, axis=0)) == len(numbers)


def test_both_optimisers_start_from_the_same_weights():
    adam, sgd = (CENSUS.start_cosine.sel(optimizer=name).values for name in ("Adam", "SGD"))
    np.testing.assert_array_equal(adam, sgd)


@pytest.mark.parametrize(("scale", "S", "seed"), [(0.01, 0.97, 3), (0.3, 0.9, 1999)])
def test_stored_seeds_are_those_of_their_keys(scale, S, seed):
    key = full.starts_of(scale, S, np.array([seed]))[0]
    run = train(full.FEATURES, S, n_hidden=3, n_steps=1, key=key, scale=scale, population=True, progress=False)
    stored = CENSUS.start_cosine.sel(scale=scale, S=S, seed=seed, optimizer="SGD")
    assert stored == pytest.approx(float(mean_cosine(run.weights[0], SETS)), abs=0.0051)


def test_names_follow_from_what_is_stored_beside_them():
    """Where pairs and turn decide, they do; 0.75 degrees is what rounding may move."""
    for cell in (CENSUS, STORED["fresh"]):
        route, pairs, turn = cell.route.values, cell.pairs.values, cell.turn.values
        assert (pairs[route == 2] >= 2).all()
        assert (pairs[route < 2] < 2).all()
        assert (turn[route == 0] >= 29).all()
        assert (turn[route == 1] <= 31).all()
        assert ((route == 3) == ((cell.plateau.values == 1) & (route < 4))).all()


def test_the_rule_and_the_rank_agree():
    for name in full.SWEEPS:
        cell = STORED[name]
        second = cell.chosen.sel(candidate="second at the branch").values == cell.matching.values
        has = np.isfinite(cell["rank"].values) & np.isfinite(cell.chosen.sel(candidate="second at the branch").values)
        np.testing.assert_array_equal(second[has], (cell["rank"].values == 1)[has])


def test_moments_are_in_the_order_of_time():
    small = CENSUS.sel(scale=0.01)
    octahedra = small.route.values < 4
    assert (small.branch.values <= small.arrival.values)[octahedra].all()
    assert (small.opening.values <= small.arrival.values)[octahedra].mean() > 0.999


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
def test_starts_made_by_hand_are_as_they_say(share):
    W = full.dialled(np.random.default_rng(0), 50, share)
    _, along = geometry.line_coordinates(W, SETS)
    means = np.stack([W[:, :, list(s)].mean(2) for s in SETS], 1)
    np.testing.assert_allclose(along, share, atol=1e-9)
    np.testing.assert_allclose(np.square(W).sum((1, 2)), 2.01, atol=1e-9)
    np.testing.assert_allclose(means, np.broadcast_to(np.eye(2, 3) / np.sqrt(3), means.shape), atol=1e-9)


def test_packing():
    values = np.array([0.0, 0.995, -0.3, np.nan, 9.0, -9.0])
    packed = full.packed(values, 0.01)
    assert packed.tolist() == [0, 100, -30, -128, 127, -127] or packed.tolist() == [0, 99, -30, -128, 127, -127]
    assert packed.dtype == np.int8


def test_nothing_was_stored_at_the_ends_of_its_range():
    """Numbers beyond 127 units are cut off; only the loss and the margin may be, and pairs, which are three then."""
    with np.load(full.PATH, allow_pickle=False) as file:
        cut = {name for name in file.files if name != "about" and (np.abs(file[name].astype(int)) == 127).any()}
        others = np.delete(file["census.moments"], full._PAIRS, axis=-1).astype(int)
    assert {name.partition(".")[2] for name in cut} <= {"loss", "margin", "moments"}
    assert np.abs(others[others != -128]).max() < 127
    found = CENSUS.moments.values[..., full._PAIRS]
    assert set(np.unique(found[np.isfinite(found)])) == {0, 1, 2, 3}


def test_a_stored_run_again():
    """Route, matching and every rule of four seeds are what training them gives."""
    run = full.followed("Adam", 0.9, full.starts_of(0.01, 0.9, np.arange(4)), scale=0.01, population=True)
    again = full.measured(run, 0.9)
    stored = CENSUS.sel(optimizer="Adam", scale=0.01, S=0.9).isel(seed=slice(4))
    for name in ("route", "matching", "chosen", "rank", "plateau"):
        np.testing.assert_array_equal(again[name][1], stored[name].values)


# Other sizes


def test_other_sizes_are_stored_once_each():
    data, about = sizes.read()
    assert data.sizes["seed"] == 96
    assert list(data.design.values) == list(sizes.DESIGNS)
    assert about["key"] == sizes.KEY
    assert np.isfinite(data.loss.values).all()
    json.dumps(about)


def test_names_of_other_sizes_follow_from_the_distance():
    data, _ = sizes.read()
    for design, (features, m) in sizes.DESIGNS.items():
        cell = data.sel(design=design)
        near = cell.distance.values < geometry.template_bound(features.sets, m)
        np.testing.assert_array_equal(near, (cell.final == cell.nearest).values)
        assert set(cell.nearest.values.ravel()) <= set(geometry.templates(features.sets, m))


def test_two_triples_are_not_among_the_other_sizes():
    assert Correlated(2, 3) not in [features for features, _ in sizes.DESIGNS.values()]
