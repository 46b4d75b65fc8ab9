"""Searches side by side: each as if it were alone, whatever is mapped over and in what order."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylib.attacks import error, latent, one_step, pgd
from toylib.attacks._columns import side_by_side
from toylib.model import Params, init

POSITION = {"params": 0, "x": 1, "radius": 2, "smoothing": 3}
MAPPED = (
    jax.vmap(lambda key: init(5, 2, key=key, scale=0.6))(jax.random.split(jax.random.key(3), 2)),
    jnp.array([[0.9, 0, 0.2, 0, 0.4], [0, 0.3, 0, 0, 0.8], [0.1, 0.6, 0, 0.7, 0]]),
    jnp.array([0.0, 0.15, 0.4, 1.3]),
    jnp.array([0.03, 0.3]),
)


def scaled_sums(shared: jax.Array, columns: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Of each column its sum, with the weights that all share, and how many columns there are."""
    total = shared @ columns["v"] * columns["by"]
    return {"total": total, "together": jnp.full_like(total, total.shape[-1])}


@pytest.mark.parametrize(
    ("attack", "order"),
    [
        (pgd, ("params", "radius", "x", "smoothing")),
        (pgd, ("smoothing", "x", "radius", "params")),
        (pgd, ("x", "params", "smoothing", "radius")),
        (latent, ("radius", "smoothing", "params", "x")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value.__name__,
)
def test_searches_side_by_side_find_what_each_finds_alone(attack, order):
    def search(params: Params, x, radius, smoothing):
        options = {"key": jax.random.key(8), "n_steps": 4, "restarts": 2, "smoothing": smoothing}
        return attack(params, x, radius, **options)

    mapped = search
    for name in reversed(order):
        mapped = jax.vmap(mapped, tuple(0 if place == POSITION[name] else None for place in POSITION.values()))
    found = jax.jit(mapped)(*MAPPED)
    alone = jax.jit(search)
    for index in np.ndindex(found.shape[:-1]):
        own = dict(zip(order, index, strict=True))
        picked = [jax.tree.map(lambda leaf, i=own[name]: leaf[i], MAPPED[at]) for name, at in POSITION.items()]
        np.testing.assert_allclose(found[index], alone(*picked), atol=1e-4)


def test_what_is_mapped_over_becomes_columns_of_one_product():
    shared, v = jnp.array([[2.0, 3.0]]), jnp.arange(24.0).reshape(3, 2, 4)  # three times four columns
    columns = {"v": v, "by": jnp.full((1, 4), 0.5)}  # one of them the same for all three
    found = jax.vmap(side_by_side(scaled_sums), (None, {"v": 0, "by": None}))(shared, columns)
    np.testing.assert_array_equal(found["together"], np.full((3, 1, 4), 12))
    np.testing.assert_array_equal(found["total"], np.einsum("f,tfc->tc", [1.0, 1.5], v)[:, None])


def test_two_axes_become_columns_and_what_is_shared_may_have_one_of_its_own():
    shared = jnp.array([[[2.0, 3.0]], [[5.0, 7.0]]])
    columns = {"v": jnp.arange(48.0).reshape(2, 3, 2, 4), "by": jnp.array([[[1.0, 2.0, 3.0, 4.0]]] * 3)}
    outer, inner = (None, {"v": 0, "by": None}), (None, 0)
    found = jax.vmap(jax.vmap(side_by_side(scaled_sums), inner), outer)(shared[0], columns)
    np.testing.assert_array_equal(found["together"], np.full((2, 3, 1, 4), 24))
    expected = np.einsum("pf,atfc,c->patc", shared[:, 0], columns["v"], [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(found["total"][:, :, 0], expected[0])
    every = jax.vmap(jax.vmap(jax.vmap(side_by_side(scaled_sums), inner), outer), (0, None))(shared, columns)
    np.testing.assert_array_equal(every["total"][..., 0, :], expected)


@pytest.mark.parametrize("attack", [one_step, partial(pgd, starts=("zero", "analytic"))], ids=["one_step", "pgd"])
def test_of_no_inputs_there_are_no_attacks(attack):
    params = jax.tree.map(lambda leaf: leaf[0], MAPPED[0])
    assert jax.vmap(lambda x: attack(params, x, 0.3))(jnp.zeros((0, 5))).shape == (0, 5)


OFF = Params(MAPPED[0].W[1], jnp.full(5, -50.0))


@pytest.mark.parametrize("attack", [one_step, partial(pgd, n_steps=2, starts=("one_step",))], ids=["one_step", "pgd"])
def test_an_attack_has_derivatives_both_ways(attack):
    params, x = jax.tree.map(lambda leaf: leaf[1], MAPPED[0]), MAPPED[1][2]

    def harm(radius, model=params):
        return error(model, x, attack(model, x, radius))

    middle, off = 0.4, 1e-3
    slope = (harm(middle + off) - harm(middle - off)) / (2 * off)
    _, forwards = jax.jvp(harm, (middle,), (1.0,))
    np.testing.assert_allclose(forwards, slope, rtol=1e-3)
    np.testing.assert_allclose(jax.grad(harm)(middle), forwards, rtol=1e-4)
    many = jax.vmap(jax.grad(harm))(jnp.array([0.2, middle]))
    np.testing.assert_allclose(many[1], forwards, rtol=1e-4)
    at_zero = (harm(off) - harm(0.0)) / off
    np.testing.assert_allclose([jax.grad(harm)(0.0), jax.jvp(harm, (0.0,), (1.0,))[1]], at_zero, rtol=1e-2)
    assert jax.grad(harm)(0.3, OFF) == 0  # where every unit is off


@pytest.mark.parametrize("radius", [1e-30, 1e-19, 1e19, 1e30])
def test_one_step_has_its_length_at_any_scale(radius):
    params, x = jax.tree.map(lambda leaf: leaf[1], MAPPED[0]), MAPPED[1][2]
    delta = jax.jit(lambda norm: one_step(params, x, norm))(radius)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(delta, np.float64)), radius, rtol=1e-5)
