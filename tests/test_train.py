"""What docs/train.py writes for the landing page is what toylib computes."""

import base64
import json
import re

import jax
import numpy as np
import pytest
import train

from toylib import geometry, training
from toylib.features import PartlyCorrelated
from toylib.figures import style


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    train.write(folder)
    return folder


@pytest.fixture(scope="module")
def presets(written):
    lines = (written / "presets.js").read_text(encoding="utf-8").splitlines()
    values = dict(re.fullmatch(r"const (\w+) = (.*);", line).groups() for line in lines)
    assert list(json.loads(values["STOPS"])) == ["sparsity", "norm", "rate", "pace", "seed"]
    return json.loads(values["PRESETS"])


def unpacked(text, *shape):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


NAMES = list(train.PRESETS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("S", [0.0, 0.365, 0.974])
def test_the_nodes_are_the_population(presets, name, S):
    stored, features = presets[name], train.PRESETS[name].features
    nodes, weights = features.population(S)
    np.testing.assert_array_equal(unpacked(stored["nodes"], -1, stored["n"]), nodes)
    on, off, factor, share = (np.array(stored[key], float) for key in ("on", "off", "factor", "share"))
    mine = (factor * (1 - S) ** on * S**off * share)[stored["state"]]
    np.testing.assert_allclose(mine, weights, rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_begins_as_a_run_with_its_key_does(presets, name):
    preset, stored = train.PRESETS[name], presets[name]
    assert len(stored["starts"]) == train.SEEDS > 5
    for seed in (0, 5):
        states = training.states(
            preset.features,
            preset.sparsity,
            n_hidden=preset.n_hidden,
            n_steps=1,
            key=jax.random.key(seed),
            scale=preset.scale,
            population=True,
            snapshots=[0, 1],
        )
        first = next(states)
        assert first.step == 0
        np.testing.assert_array_equal(unpacked(stored["starts"][seed], stored["m"], stored["n"]), first.params.W)


def kept(stored, columns, S):
    """W and b of a model that holds these columns and gives up the rest, whose bias is their mean."""
    W = np.zeros((stored["m"], stored["n"]), np.float32)
    for j, column in columns.items():
        W[:, j] = column
    b = np.where(np.abs(W).sum(0) > 0, 0, np.asarray(train.PRESETS[stored["name"]].features.mean(S)))
    return W, b


E1, E2, E3 = np.eye(3)
A, B = np.eye(2)
ARRANGEMENTS = {
    ("triples", "PCA, p/3"): dict(enumerate([E1 / 3**0.5] * 3 + [E2 / 3**0.5] * 3)),
    ("triples", "octahedron, p²"): dict(enumerate([E1, E2, E3, -E2, -E1, -E3])),
    ("five", "2 of 5 kept"): {1: A, 4: B},
    ("five", "2 antipodal pairs"): {0: A, 2: B, 3: -A, 4: -B},
    ("pairs", "3 of 6 kept"): {0: E1, 3: E2, 4: E3},
    ("pairs", "antipodes between sets"): dict(enumerate([E1, E2, -E1, E3, -E2, -E3])),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_levels_are_losses_of_these_arrangements(presets, name):
    stored = presets[name] | {"name": name}
    assert set(stored["levels"]) == {level for preset, level in ARRANGEMENTS if preset == name}
    for at in (3, 8):
        S = train.SPARSITIES[at]
        x, weights = map(np.asarray, train.PRESETS[name].features.population(S, n_nodes=2**14))
        for level, values in stored["levels"].items():
            W, b = kept(stored, ARRANGEMENTS[name, level], S)
            loss = weights @ np.square(np.maximum(x @ (W.T @ W) + b, 0) - x).sum(1)
            assert values[at] == pytest.approx(loss, rel=0.01), (level, S)
        assert stored["mean_norm"][at] == pytest.approx(weights @ np.linalg.norm(x, axis=1), rel=0.003)


@pytest.mark.parametrize("name", NAMES)
def test_templates_have_every_relabelling(presets, name):
    stored, sets = presets[name], train.PRESETS[name].features.sets
    rng = np.random.default_rng(2)
    for entry in stored["templates"]:
        grams = unpacked(entry["grams"], -1, stored["n"], stored["n"])
        assert entry["bound"] > 0.2
        for W in rng.normal(size=(4, stored["m"], stored["n"])):
            gram = W.T @ W
            factor = np.maximum((gram * grams).sum((1, 2)) / (gram**2).sum(), 0) if entry["free"] else np.ones(1)
            mine = np.linalg.norm(factor[:, None, None] * gram - grams, axis=(1, 2)).min()
            assert mine == pytest.approx(geometry.template_distance(W, sets, entry["name"]), abs=1e-4)


def test_colours_are_those_of_figures(written):
    text = (written / "train-colours.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+);", line)) for line in text.splitlines())
    assert light.keys() == dark.keys() >= {"set-1", "set-3", "label-2", "ink", "grid"}
    assert set(light.values()) <= style.PALETTE
    assert {name: style.DARK.get(color, color) for name, color in light.items()} == dark != light
    assert text.splitlines()[1].startswith('html[data-theme="dark"]')


def test_it_is_small(written):
    assert 50_000 < sum(path.stat().st_size for path in written.iterdir()) < 300_000


def test_a_preset_must_list_its_states():
    odd = train.Preset(PartlyCorrelated(2, 2, copy_probability=0.5), 2, 0.01, 0.9, 1e-3, 300, 0, {}, {})
    with pytest.raises(ValueError, match="a preset must list its states"):
        train.described(odd)
