"""The stored models between which attacks transfer: a few are trained again, and V is measured again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from results import transfer as full

from toylib import attacks
from toylib.features import Correlated, Independent
from toylib.geometry import classify
from toylib.model import Params


def test_stored_seeds_come_out_as_they_are_stored():
    data = full.read("octahedra").sel(design="anticorrelated pairs")
    again = full.trained(full.DESIGNS["anticorrelated pairs"], 0.1, full.keys_of(np.arange(2)), scale=0.01)
    W = again["W"][1]
    np.testing.assert_allclose(_gram(W), _gram(data.W.values[:2]), atol=2e-3)
    data = data.sel(density=0.1, scale=0.01)
    assert again["octahedron"].tolist() == data.octahedron.values[:2].astype(bool).tolist()
    np.testing.assert_array_equal(full.antipodes(W), data.antipode.values[:2])


def _gram(W):
    return np.swapaxes(W, 1, 2) @ W


def test_at_its_ends_partial_correlation_gives_the_models_of_the_limits():
    copies, octahedra = full.read("copies"), full.read("octahedra")
    for c, design in ((0.0, "independent"), (1.0, "correlated triples")):
        here, there = (data.W.values for data in (copies.sel(copy_probability=c), octahedra.sel(design=design)))
        assert (abs(_gram(here) - _gram(there)).max((1, 2)) < 2e-3).mean() > 0.9


def test_names_and_pairs_from_the_rounded_weights_are_those_of_the_exact_ones():
    data = full.read("octahedra")
    here = data.sel(density=full.densest(data), scale=0.01)
    np.testing.assert_array_equal(full.antipodes(data.W.values), here.antipode.values)
    for W, octahedron in zip(data.W.values.reshape(-1, 3, 6), here.octahedron.values.ravel(), strict=True):
        assert (classify(W, full.ALONE) == "octahedron") == bool(octahedron)


def test_stored_gains_are_those_of_the_attack_one_by_one():
    data, exposed = full.read("octahedra"), full.read("exposed")
    density = exposed.attrs["density"]
    assert full.densest(data) == density
    of = data.sel(design="correlated triples")
    X = full.inputs_of(full.DESIGNS["correlated triples"], density)
    X = X[(X > 0).any(1)]
    W, b = (jnp.asarray(of[name].values, jnp.float32) for name in "Wb")
    for s, t in ((3, 3), (5, 11)):
        gram = np.asarray(W[s].T @ W[s])
        deltas = 0.5 * gram / np.linalg.norm(gram, axis=1, keepdims=True)
        model = Params(W[t], b[t])
        V = jax.vmap(lambda delta, model=model: attacks.vulnerability(model, X, delta, 0.5))(jnp.asarray(deltas))
        stored = exposed.V.sel(design="correlated triples", norm="0.5").values[s, t]
        assert np.mean(V) == pytest.approx(float(stored), abs=5e-3)


def test_controlled_seeds_are_others():
    data = full.read("controlled")
    assert not set(data.seed.values) & set(full.read("octahedra").seed.values)
    relabelled, V = (data[name].isel(inputs=0).values for name in ("relabelled", "V"))
    own, other = np.diagonal(V, axis1=1, axis2=2).mean(1), np.diagonal(relabelled, axis1=1, axis2=2).mean(1)
    assert (own > 1.9).all()
    assert (other < 1.6).all()


def test_respun_models_keep_spectrum_and_norms_and_nothing_else():
    rng = np.random.default_rng(2)
    W = rng.normal(size=(8, 40)) * rng.uniform(0.5, 1.5, 40)
    made = full.respun(W, rng)
    np.testing.assert_allclose(*(np.linalg.svd(w, compute_uv=False) for w in (made, W)), rtol=1e-6)
    np.testing.assert_allclose(*(np.linalg.norm(w, axis=0) for w in (made, W)), rtol=2e-3)
    assert abs(np.corrcoef(_gram(made[None]).ravel(), _gram(W[None]).ravel())[0, 1]) < 0.9
    assert abs(made - W).max() > 1


def test_copies_permute_bias_and_column_together_and_keep_sets():
    features, rng = Correlated(4, 5), np.random.default_rng(0)
    models = Params(
        jnp.asarray(rng.normal(size=(3, 4, 20)), jnp.float32), jnp.asarray(rng.normal(size=(3, 20)), jnp.float32)
    )
    made = full.sources_of(models, features)
    assert list(made) == list(full.SOURCES[:-1])
    for name in ("relabelled", "relabelled within sets"):
        for k in range(3):
            order = [int(np.flatnonzero(models.b[k] == v)[0]) for v in made[name].b[k]]
            assert sorted(order) == list(range(20))
            np.testing.assert_array_equal(made[name].W[k], models.W[k][:, np.array(order)])
            sets = {len({i // 5 for i in order[a : a + 5]}) for a in range(0, 20, 5)}
            assert (sets == {1}) == (name == "relabelled within sets")


def test_antipodes_and_how_many_are_within_sets():
    W = np.stack([np.hstack([np.eye(3), -np.eye(3)]), np.hstack([np.eye(3), -np.eye(3)])[:, [0, 3, 1, 4, 2, 5]]])
    assert full.antipodes(W).tolist() == [[3, 4, 5, 0, 1, 2], [1, 0, 3, 2, 5, 4]]
    np.testing.assert_allclose(full.within_sets(full.antipodes(W), Correlated(2, 3)), [0, 2 / 3])
    np.testing.assert_allclose(full.within_sets(full.antipodes(W), Independent(6)), 0)


@pytest.mark.parametrize("n", [40, 100])
def test_own_attacks_of_the_larger_models_are_the_strongest_on_them(n):
    V = full.read(f"large_{n}").V.sel(source="itself", inputs="all").values
    own = np.diagonal(V, axis1=-2, axis2=-1)
    assert (own[..., None, :] >= V * 0.999).all()
