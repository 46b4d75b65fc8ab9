"""Distributions of sparse features against enumeration of their gates, Monte Carlo and integrals in closed form."""

import re
from functools import cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toylib import model
from toylib.features import Anticorrelated, Correlated, Hierarchical, Independent, PartlyCorrelated

SPARSITIES = (0.0, 0.5, 0.9, 0.99)
DISTRIBUTIONS = (
    Independent(1),
    Independent(4),
    Correlated(2, 3),
    Correlated(2, 2),
    PartlyCorrelated(2, 3, copy_probability=0.6),
    PartlyCorrelated(1, 3, copy_probability=0.25),
    Anticorrelated(2, 3),
    Anticorrelated(1, 4),
    Hierarchical(2, 2),
    Hierarchical(1, 3),
)
TREE_PARENTS = {Hierarchical(2, 2): (None, 0, 0, 1, 1, 2, 2), Hierarchical(1, 3): (None, 0, 0, 0)}
each_distribution = pytest.mark.parametrize("features", DISTRIBUTIONS, ids=repr)
five_designs = pytest.mark.parametrize(
    "features",
    [
        Independent(4),
        Correlated(2, 3),
        PartlyCorrelated(2, 3, copy_probability=0.6),
        Anticorrelated(2, 3),
        Hierarchical(2, 2),
    ],
    ids=repr,
)


def bernoulli(is_open, p):
    return np.prod([p if gate else 1 - p for gate in is_open])


@cache
def state_probabilities(features, p):
    """Return the probability of each set of active features, {active: probability}, by enumerating all gates."""
    found = {}

    def add(active, probability):
        active = tuple(bool(a) for a in active)
        found[active] = found.get(active, 0.0) + probability

    if isinstance(features, Correlated):
        for gates in product((0, 1), repeat=features.n_sets):
            add([gate for gate in gates for _ in range(features.set_size)], bernoulli(gates, p))
    elif isinstance(features, PartlyCorrelated):
        g, c = features.set_size, features.copy_probability
        for common in product((0, 1), repeat=features.n_sets):
            for copies in product((0, 1), repeat=features.n_features):
                for own in product((0, 1), repeat=features.n_features):
                    active = [common[i // g] if copy else own[i] for i, copy in enumerate(copies)]
                    add(active, bernoulli(common, p) * bernoulli(copies, c) * bernoulli(own, p))
    elif isinstance(features, Anticorrelated):
        for gates in product((0, 1), repeat=features.n_sets):
            for chosen in product(range(features.set_size), repeat=features.n_sets):
                active = [
                    gate and i == one for gate, one in zip(gates, chosen, strict=True) for i in range(features.set_size)
                ]
                add(active, bernoulli(gates, p) / features.set_size**features.n_sets)
    else:
        parents = TREE_PARENTS.get(features, (None,) * features.n_features)
        for gates in product((0, 1), repeat=features.n_features):
            active = []
            for gate, parent in zip(gates, parents, strict=True):
                active.append(gate and (parent is None or active[parent]))
            add(active, bernoulli(gates, p))
    return found


def exact_products(features, p, center):
    """Return mean and variance, (n, n) each, of (x_i - center_i)(x_j - center_j), from the enumeration."""
    n = features.n_features
    first, second = np.zeros((n, n)), np.zeros((n, n))
    c = np.asarray(center, float)
    for active, probability in state_probabilities(features, p).items():
        on = np.asarray(active)
        power = [np.where(on, ((1 - c) ** (k + 1) - (-c) ** (k + 1)) / (k + 1), (-c) ** k) for k in range(5)]
        mean, square = np.outer(power[1], power[1]), np.outer(power[2], power[2])
        np.fill_diagonal(mean, power[2])
        np.fill_diagonal(square, power[4])
        first += probability * mean
        second += probability * square
    return first, second - first**2


def draw(features, p, number, rng):
    """Draw samples, with NumPy: gates as the class documents them, values from U[0, 1]."""
    values = rng.random((number, features.n_features), np.float32)
    if isinstance(features, Correlated):
        active = np.repeat(rng.random((number, features.n_sets)) < p, features.set_size, axis=1)
    elif isinstance(features, PartlyCorrelated):
        common = np.repeat(rng.random((number, features.n_sets)) < p, features.set_size, axis=1)
        copies = rng.random(values.shape, np.float32) < features.copy_probability
        active = np.where(copies, common, rng.random(values.shape, np.float32) < p)
    elif isinstance(features, Anticorrelated):
        gates = rng.random((number, features.n_sets)) < p
        chosen = rng.integers(features.set_size, size=gates.shape)
        active = (gates[..., None] & (chosen[..., None] == np.arange(features.set_size))).reshape(number, -1)
    else:
        active = rng.random((number, features.n_features)) < p
        for i, parent in enumerate(TREE_PARENTS.get(features, ())):
            if parent is not None:
                active[:, i] &= active[:, parent]
    return values * active


N_SAMPLES = 100_000
SAMPLED = {}


def sampled(features, S):
    """Return samples with key(0), drawn once for each distribution and S."""
    if features not in SAMPLED:
        drawn = jax.jit(lambda S: features.sample(S, N_SAMPLES, key=jax.random.key(0)))
        SAMPLED[features] = {S: np.asarray(drawn(S), np.float64) for S in SPARSITIES}
    return SAMPLED[features][S]


# Samples and moments


@pytest.mark.parametrize("S", SPARSITIES)
@each_distribution
def test_sampled_moments_within_four_standard_errors(features, S):
    x = sampled(features, S)
    p = 1 - S
    mean = (
        np.array([sum(q for a, q in state_probabilities(features, p).items() if a[i]) for i in range(x.shape[1])]) / 2
    )
    rare = 3 / N_SAMPLES  # three events: where less than one is expected, the normal law does not hold
    for center in (np.zeros_like(mean), mean):
        expected, variance = exact_products(features, p, center)
        found = (x - center).T @ (x - center) / N_SAMPLES
        assert (abs(found - expected) <= 4 * np.sqrt(variance / N_SAMPLES) + rare).all()
    spread = np.sqrt(np.diag(exact_products(features, p, mean)[0]) / N_SAMPLES)
    assert (abs(x.mean(0) - mean) <= 4 * spread + rare).all()


@pytest.mark.parametrize("S", SPARSITIES)
@each_distribution
def test_closed_form_moments_equal_the_enumeration(features, S):
    p = 1 - S
    states = state_probabilities(features, p)
    mean = sum(q * np.array(a, float) / 2 for a, q in states.items())
    second, _ = exact_products(features, p, np.zeros(features.n_features))
    covariance, _ = exact_products(features, p, mean)
    np.testing.assert_allclose(features.mean(S), mean, rtol=2e-6)
    np.testing.assert_allclose(features.second_moment(S), second, rtol=4e-6)
    np.testing.assert_allclose(features.covariance(S), covariance, rtol=1e-4, atol=1e-7)


def test_correlated_sets_are_on_or_off_together():
    active = (sampled(Correlated(2, 3), 0.5) > 0).reshape(N_SAMPLES, 2, 3).sum(2)
    assert set(np.unique(active)) == {0, 3}
    assert abs((active[:, 0] == active[:, 1]).mean() - 0.5) < 4 * 0.5 / np.sqrt(N_SAMPLES)


def test_anticorrelated_sets_have_at_most_one_active_feature_chosen_uniformly():
    active = (sampled(Anticorrelated(2, 3), 0.5) > 0).reshape(N_SAMPLES, 2, 3)
    assert set(np.unique(active.sum(2))) == {0, 1}
    for counts in active.sum(0):
        assert (abs(counts / counts.sum() - 1 / 3) < 4 * np.sqrt(2 / 9 / counts.sum())).all()


def test_a_child_is_active_only_with_its_parent():
    features = Hierarchical(2, 2)
    active = sampled(features, 0.5) > 0
    for i, parent in enumerate(TREE_PARENTS[features]):
        if parent is not None:
            assert not (active[:, i] & ~active[:, parent]).any()
    marginal = np.array([0.5, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125])
    assert (abs(active.mean(0) - marginal) < 4 * np.sqrt(marginal * (1 - marginal) / N_SAMPLES)).all()


@each_distribution
def test_sets_hold_every_feature_once(features):
    assert sorted(i for s in features.sets for i in s) == list(range(features.n_features))


def test_sets_are_the_groups_of_the_design():
    assert Independent(2).sets == ((0,), (1,))
    assert Correlated(2, 3).sets == Anticorrelated(2, 3).sets == ((0, 1, 2), (3, 4, 5))
    assert Hierarchical(2, 2).sets == ((0,), (1, 2), (3, 4), (5, 6))


@five_designs
def test_values_are_float32_in_the_unit_interval(features):
    x = jax.jit(lambda key: features.sample(0.5, 4096, key=key))(jax.random.key(0))
    assert x.dtype == jnp.float32
    assert x.shape == (4096, features.n_features)
    values = np.asarray(x[x > 0])
    assert values.min() >= 0
    assert values.max() < 1
    deviation = np.sort(values) - np.arange(len(values)) / len(values)
    assert abs(deviation).max() < 1.95 / np.sqrt(len(values))  # Kolmogorov-Smirnov, one in a thousand


@five_designs
def test_same_key_gives_the_same_samples(features):
    sample = jax.jit(lambda key: features.sample(0.5, 64, key=key))
    first, again, other = (sample(jax.random.key(k)) for k in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


UNIFORMS = {f: np.random.default_rng(5).random((128, f.n_uniforms), np.float32) for f in DISTRIBUTIONS}
THRESHOLDED = {f: jax.jit(f.from_uniforms) for f in DISTRIBUTIONS}


@settings(max_examples=10)
@given(st.floats(0, 0.9990234375, width=32), st.floats(0, 0.9990234375, width=32))
def test_scrubbing_sparsity_only_moves_features_out(S, T):
    low, high = sorted((S, T))
    for features, u in UNIFORMS.items():
        denser, sparser = (np.asarray(THRESHOLDED[features](np.float32(v), u)) for v in (low, high))
        assert not (sparser[denser == 0] != 0).any()
        assert np.array_equal(sparser[sparser > 0], denser[sparser > 0])


@five_designs
def test_sparsity_maps_and_costs_one_trace(features):
    u, traces = UNIFORMS[features], []
    Ss = np.linspace(0, 0.95, 10, dtype=np.float32)

    @jax.jit
    def everything(S):
        traces.append(S)
        x = features.sample(S, 16, key=jax.random.key(0))
        nodes, weights = features.population(S, n_nodes=128)
        return features.from_uniforms(S, u), x, nodes, weights, features.covariance(S), features.mean_norm(S)

    each = [everything(S) for S in Ss]
    assert len(traces) == 1
    mapped = jax.jit(jax.vmap(lambda S: (features.from_uniforms(S, u), features.mean_norm(S))))(Ss)
    assert np.array_equal(mapped[0], [values[0] for values in each])
    np.testing.assert_allclose(mapped[1], [values[-1] for values in each], rtol=1e-5)


@pytest.mark.parametrize(
    "features", [Correlated(2, 3), Anticorrelated(1, 4), Hierarchical(1, 3), Independent(40)], ids=repr
)
def test_gradients_in_sparsity_are_finite_and_right(features):
    def summary(S):
        nodes, weights = features.population(S, n_nodes=512)
        energy = weights @ jnp.square(nodes).sum(1)
        return jnp.stack([features.mean_norm(S), features.mean(S).sum(), features.covariance(S).sum(), energy])

    slope, value = jax.jit(jax.jacfwd(summary)), jax.jit(summary)
    for S in (0.0, 0.5, 1 - 1e-6):
        assert np.isfinite(slope(S)).all()
    quotient = (np.asarray(value(0.51)) - np.asarray(value(0.49))) / 0.02
    known = 3 if features.n_features > 6 else 4  # nodes that are thresholded have no slope
    np.testing.assert_allclose(slope(0.5)[:known], quotient[:known], rtol=5e-3)


# Mean norm


@pytest.mark.parametrize("S", [0.5, 0.95])
@each_distribution
def test_mean_norm_against_a_million_samples(features, S):
    norms = np.linalg.norm(draw(features, 1 - S, 1_000_000, np.random.default_rng(0)), axis=1).astype(np.float64)
    some = norms[norms > 0]
    for found, sample in ((features.mean_norm(S), norms), (features.mean_norm(S, nonempty=True), some)):
        assert abs(float(found) - sample.mean()) < 4 * sample.std() / np.sqrt(len(sample))


# E‖U‖ over the unit interval, square and cube, the last two by integration in polar coordinates
MEAN_NORMS = {
    1: 1 / 2,
    2: (np.sqrt(2) + np.arcsinh(1)) / 3,
    3: np.sqrt(3) / 4 + np.log(2 + np.sqrt(3)) / 2 - np.pi / 24,
}


@pytest.mark.parametrize("S", [0.0, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-12])
def test_mean_norm_in_closed_form(S):
    p = 1 - S
    for n in MEAN_NORMS:
        exact = sum(
            np.prod([n - i for i in range(k)]) / np.prod(range(1, k + 1)) * p**k * (1 - p) ** (n - k) * MEAN_NORMS[k]
            for k in range(1, n + 1)
        )
        assert float(Independent(n).mean_norm(S)) == pytest.approx(exact, rel=1e-3)
        some = -np.expm1(n * np.log1p(-p)) if p < 1 else 1.0
        assert float(Independent(n).mean_norm(S, nonempty=True)) == pytest.approx(exact / some, rel=1e-3)
    one_of_three = p * MEAN_NORMS[1]
    assert float(Anticorrelated(1, 3).mean_norm(S)) == pytest.approx(one_of_three, rel=1e-3)
    assert float(Correlated(1, 3).mean_norm(S)) == pytest.approx(p * MEAN_NORMS[3], rel=1e-3)
    assert float(Correlated(1, 3).mean_norm(S, nonempty=True)) == pytest.approx(MEAN_NORMS[3], rel=1e-3)
    chain = p * (1 - p) * MEAN_NORMS[1] + p * p * MEAN_NORMS[2]
    assert float(Hierarchical(1, 1).mean_norm(S)) == pytest.approx(chain, rel=1e-3)


def test_mean_norm_of_many_features():
    rng = np.random.default_rng(1)
    x = rng.random((100_000, 100), np.float32) * (rng.random((100_000, 100), np.float32) < 0.1)
    norms = np.linalg.norm(x, axis=1)
    assert abs(float(Independent(100).mean_norm(0.9)) - norms.mean()) < 4 * norms.std() / np.sqrt(len(norms))
    assert float(Independent(400).mean_norm(0.0)) == pytest.approx(np.sqrt(400 / 3), rel=1e-3)


# Population


@each_distribution
def test_stratified_weights_are_the_probabilities_of_the_states(features):
    for S in (0.1, 0.9):
        nodes, weights = (np.asarray(a, np.float64) for a in features.population(S))
        found = {}
        for row, weight in zip(nodes > 0, weights, strict=True):
            found[tuple(row.tolist())] = found.get(tuple(row.tolist()), 0.0) + weight
        exact = state_probabilities(features, 1 - S)
        assert found.keys() == exact.keys()
        for active, probability in exact.items():
            assert found[active] == pytest.approx(probability, rel=1e-4)


@pytest.mark.parametrize("features", [*DISTRIBUTIONS, Independent(100), Hierarchical(2, 3)], ids=repr)
def test_population_weights_and_size(features):
    sizes = set()
    for S in (0.0, 0.3, 0.999):
        nodes, weights = features.population(S, n_nodes=700)
        assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
        assert (weights >= 0).all()
        assert nodes.dtype == weights.dtype == jnp.float32
        assert 0 <= float(nodes.min()) <= float(nodes.max()) < 1
        sizes.add((nodes.shape, weights.shape))
    (((k, n), k_weights),) = sizes
    assert (k,) == k_weights
    assert n == features.n_features
    assert 256 <= k <= 701


def moment_error(features, n_nodes):
    nodes, weights = (np.asarray(a, np.float64) for a in features.population(0.9, n_nodes=n_nodes))
    exact, _ = exact_products(features, 0.1, np.zeros(features.n_features))
    return abs((nodes.T * weights) @ nodes - exact).max() / exact.max()


@five_designs
def test_population_moments_approach_the_closed_form(features):
    errors = [moment_error(features, n) for n in (1024, 4096, 32768)]
    assert errors[0] < 0.02
    assert errors[2] < 0.3 * errors[0]
    assert errors[2] < 1e-3


@pytest.mark.parametrize(
    ("most", "too_many"),
    [
        (Independent(6), Independent(7)),
        (Correlated(6, 2), Correlated(7, 1)),
        (PartlyCorrelated(3, 2, copy_probability=0.3), PartlyCorrelated(7, 1, copy_probability=0.3)),
        (Anticorrelated(2, 7), Anticorrelated(2, 8)),
        (Hierarchical(62, 1), Hierarchical(63, 1)),
    ],
    ids=repr,
)
def test_up_to_sixty_four_states_are_listed(most, too_many):
    states = most.states()
    assert len(np.unique(states.active, axis=0)) == len(states.active) == 64
    assert float(states.probabilities(jnp.float32(0.3)).sum()) == pytest.approx(1, rel=1e-5)
    assert too_many.states() is None


def test_strata_are_used_from_sixteen_nodes_a_state_on():
    for n_nodes, number in ((1024, 1), (1023, 512)):
        weights = np.asarray(Independent(6).population(0.3, n_nodes=n_nodes)[1])
        assert (weights == 1 / 512).sum() == (number if number > 1 else 0)
        assert np.isclose(weights, 0.3**6, rtol=1e-5).sum() == (1 if number == 1 else 0)  # the empty input


@pytest.mark.parametrize(("n_nodes", "largest"), [(1024, 512), (1023, 256)])
def test_the_largest_state_has_twice_as_many_nodes_where_they_fit(n_nodes, largest):
    nodes = np.asarray(Correlated(2, 3).population(0.9, n_nodes=n_nodes)[0])
    assert np.bincount((nodes > 0).sum(1)).tolist() == [1, 0, 0, 2 * 256, 0, 0, largest]


def test_many_states_fall_back_to_one_sequence():
    features = Independent(100)
    nodes, weights = features.population(0.9)
    assert nodes.shape == (1024, 100)
    np.testing.assert_allclose(weights, 1 / 1024)
    x = np.asarray(nodes, np.float64)
    exact = float(features.mean_norm(0.9))
    assert np.linalg.norm(x, axis=1).mean() == pytest.approx(exact, rel=0.004)  # documented as 0.2 %
    assert np.square(x).mean() == pytest.approx(0.1 / 3, rel=0.02)
    one_by_one = np.square(x).mean(0) / (0.1 / 3)
    assert 0.3 < abs(one_by_one - 1).max() < 0.5  # documented as up to 40 %


def octahedron():
    W = np.hstack([np.eye(3), -np.eye(3)])
    return W, np.zeros(6)


def unit_prism():
    turns = 2 * np.pi * np.arange(3) / 3
    ring = np.sqrt(2 / 3) * np.array([np.cos(turns), np.sin(turns)])
    height = np.full((1, 3), np.sqrt(1 / 3))
    return np.hstack([np.vstack([ring, height]), np.vstack([ring, -height])]), np.zeros(6)


def random_model():
    rng = np.random.default_rng(3)
    return rng.normal(size=(3, 6)) * 0.6, rng.normal(size=6) * 0.1


@pytest.mark.parametrize("S", [0.97, 0.9])
def test_population_loss_against_ten_million_samples(S):
    number, p = 10_000_000, 1 - S
    features, rng = Correlated(2, 3), np.random.default_rng(0)
    nodes, weights = features.population(S)
    # How many of the samples fall on each state of the gates; only their values are then drawn one by one.
    probabilities = [(1 - p) ** 2, p * (1 - p), p * (1 - p), p * p]
    counts = rng.multinomial(number, probabilities)
    masks = np.repeat([[0, 0], [1, 0], [0, 1], [1, 1]], 3, axis=1).astype(np.float32)
    samples = [rng.random((count, 6), np.float32) * mask for count, mask in zip(counts[1:], masks[1:], strict=True)]
    for name, (W, b) in {"octahedron": octahedron(), "prism": unit_prism(), "random": random_model()}.items():
        W32, b32 = W.astype(np.float32), b.astype(np.float32)
        total = counts[0] * np.square(np.maximum(b, 0)).sum()
        squares = counts[0] * np.square(np.maximum(b, 0)).sum() ** 2
        for x in samples:
            errors = np.square(np.maximum(x @ (W32.T @ W32) + b32, 0) - x).sum(1, dtype=np.float64)
            total, squares = total + errors.sum(), squares + np.square(errors).sum()
        mean = total / number
        standard_error = np.sqrt((squares / number - mean**2) / number)
        params = model.Params(jnp.asarray(W32), jnp.asarray(b32))
        found = float(model.loss(params, nodes, weights=weights))
        assert abs(found - mean) < 4 * standard_error + 1e-3 * mean, name  # 0.1 % of integration error, as documented


# Densities


@five_designs
@pytest.mark.parametrize("p", [0.3, 1e-3, 1e-9, 2.0**-53])
def test_a_small_density_keeps_its_digits(features, p):
    """Down to the double before S = 1; what is below single precision, such as p³ there, comes out as zero."""
    S = 1 - p
    p, tiny = 1 - S, np.finfo(np.float32).tiny
    mean = sum(q * np.array(a, float) / 2 for a, q in state_probabilities(features, p).items())
    np.testing.assert_allclose(features.mean(S), mean, rtol=3e-6, atol=tiny)
    second, _ = exact_products(features, p, np.zeros(features.n_features))
    np.testing.assert_allclose(features.second_moment(S), second, rtol=4e-6, atol=tiny)
    nodes, weights = (np.asarray(a, np.float64) for a in features.population(S))
    np.testing.assert_allclose((nodes > 0).T @ weights, 2 * mean, rtol=1e-5, atol=tiny)
    u = (
        jnp.full((2, features.n_uniforms), 0.25)
        .at[:, : features.n_gates]
        .set(jnp.asarray([[0.999 * p], [1.001 * p]], jnp.float32))
    )
    x = features.from_uniforms(S, u)
    assert (x[0] > 0).any()
    assert not (x[1] > 0).any()


@pytest.mark.parametrize("p", [0.3, 1e-3, 1e-5, 1e-7, 1e-9])
def test_gates_open_with_the_density_rounded_up_to_what_uniform_numbers_resolve(p):
    """These are the multiples of 2⁻²³, all equally likely: so many are below p."""
    number = int(np.ceil(np.float64(np.float32(p)) * 2**23))
    u = jnp.asarray([[(number - 1) / 2**23, 0.5], [number / 2**23, 0.5]], jnp.float32)
    assert Independent(1).from_uniforms(1 - p, u)[:, 0].tolist() == [0.5, 0]
    drawn = np.float64(jax.random.uniform(jax.random.key(0), (1000,)))
    assert (drawn * 2**23 % 1 == 0).all()


def test_flags_are_bools():
    message = r"^nonempty must be True or False, got 'no'; pass a bool, known before tracing$"
    with pytest.raises(TypeError, match=message):
        Independent(2).mean_norm(0.5, nonempty="no")  # pyrefly: ignore[bad-argument-type]


@five_designs
def test_unchecked_versions_take_the_density(features):
    u = UNIFORMS[features]
    assert np.array_equal(features.from_uniforms(0.8, u).T, features.columns(jnp.float32(0.2), u.T))
    for n_nodes in (100, 512):
        checked = features.population(0.8, n_nodes=n_nodes)
        for ours, unchecked in zip(checked, features.population_at(jnp.float32(0.2), n_nodes), strict=True):
            assert np.array_equal(ours, unchecked)


# Bad input

OFF = "it is the probability that a gate is off, and at 1 every input would be zero"


@pytest.mark.parametrize(
    ("S", "error", "message"),
    [
        (1, ValueError, f"S must lie in [0, 1), got 1; {OFF}"),
        (np.float32(1 - 1e-9), ValueError, f"S must lie in [0, 1), got 1; {OFF}"),
        (1.5, ValueError, f"S must lie in [0, 1), got 1.5; {OFF}"),
        (-0.1, ValueError, f"S must lie in [0, 1), got -0.1; {OFF}"),
        (np.nan, ValueError, f"S must lie in [0, 1), got nan; {OFF}"),
        ("0.5", TypeError, f"S must be a real number, got '0.5'; {OFF}"),
        (None, TypeError, f"S must be a real number, got None; {OFF}"),
        (False, TypeError, f"S must be a real number, got False; {OFF}"),
        (0.5j, TypeError, f"S must be a real number, got 0.5j; {OFF}"),
        (
            np.array([0.5, 0.9]),
            ValueError,
            "S must be a scalar, got shape (2,); jax.vmap over this function takes more",
        ),
    ],
)
def test_sparsity_is_checked(S, error, message):
    features = Correlated(2, 3)
    u = jnp.zeros((1, features.n_uniforms))
    calls = (
        lambda: features.sample(S, 8, key=jax.random.key(0)),
        lambda: features.from_uniforms(S, u),
        lambda: features.mean(S),
        lambda: features.second_moment(S),
        lambda: features.covariance(S),
        lambda: features.mean_norm(S),
        lambda: features.population(S),
    )
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "must be at least 1, got 0"),
        (-3, ValueError, "must be at least 1, got -3"),
        (2.5, TypeError, "must be an integer, got 2.5"),
        (True, TypeError, "must be an integer, got True"),
        ("6", TypeError, "must be an integer, got '6'"),
    ],
)
def test_sizes_are_checked(size, error, message):
    designs = ((Correlated, ("n_sets", "set_size")), (Anticorrelated, ("n_sets", "set_size")))
    designs += ((Hierarchical, ("depth", "branching")), (Independent, ("n_features",)))
    calls = {
        "batch_size": lambda: Independent(2).sample(0.5, size, key=jax.random.key(0)),
        "n_nodes": lambda: Independent(2).population(0.5, n_nodes=size),
    }
    named = [
        (name, partial(design, **dict.fromkeys(names, 2) | {name: size})) for design, names in designs for name in names
    ]
    for name, call in (*calls.items(), *named):
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == f"{name} {message}; pass a Python int from 1 up, since sizes cannot be traced"


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (
            np.array([0, 1], np.uint32),
            TypeError,
            "key must come from jax.random.key, got an array of uint32; pass jax.random.key(seed)",
        ),
        (0, TypeError, "key must come from jax.random.key, got 0; pass jax.random.key(seed)"),
        (None, TypeError, "key must come from jax.random.key, got None; pass jax.random.key(seed)"),
        (jax.random.split(jax.random.key(0)), ValueError, "key must have rank 0, got shape (2,); pass one key"),
    ],
)
def test_keys_are_checked(key, error, message):
    with pytest.raises(error) as caught:
        Independent(2).sample(0.5, 8, key=key)
    assert str(caught.value) == message


def test_old_style_keys_are_refused():
    message = "key must come from jax.random.key, got an array of uint32; pass jax.random.key(seed)"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Independent(2).sample(0.5, 8, key=jax.random.PRNGKey(0))


FLOAT = "u must be a floating-point array, got {}; convert it to jnp.float32"
AXIS = "its last axis holds n_uniforms numbers per sample"


@pytest.mark.parametrize(
    ("u", "error", "message"),
    [
        (jnp.zeros((4, 3)), ValueError, f"u must have shape (4, 4), got (4, 3); {AXIS}"),
        (jnp.zeros(()), ValueError, f"u must have shape (4), got (); {AXIS}"),
        (jnp.ones((4, 4)), ValueError, "u must lie in [0, 1), got 1; take jax.random.uniform"),
        (jnp.zeros((4, 4), int), TypeError, FLOAT.format("int32")),
        (np.zeros((4, 4), bool), TypeError, FLOAT.format("bool")),
    ],
)
def test_uniforms_are_checked(u, error, message):
    with pytest.raises(error) as caught:
        Independent(2).from_uniforms(0.5, u)
    assert str(caught.value) == message


@pytest.mark.parametrize("features", [Correlated(2, 3), Independent(12)])
def test_a_traced_sparsity_of_nan_gives_nan(features):
    """It cannot be refused, and no gate would open."""
    sample = jax.jit(lambda S: features.sample(S, 8, key=jax.random.key(0)))
    assert np.isnan(sample(jnp.nan)).all()
    assert np.isnan(jax.jit(features.population)(jnp.nan)[1]).all()
    for moment in (features.mean, features.covariance, features.mean_norm):
        assert np.isnan(jax.jit(moment)(jnp.nan)).all()


def test_beyond_the_dimensions_of_the_sequence_nodes_are_pseudo_random_and_always_the_same():
    wide, p = Independent(10_601), 0.1  # 21,202 gates and values
    nodes, weights = wide.population(1 - p, n_nodes=64)
    assert nodes.shape == (64, 10_601)
    assert float(weights.sum()) == pytest.approx(1, rel=1e-6)
    active = np.asarray(nodes) > 0
    assert abs(active.mean() - p) < 4 * np.sqrt(p * (1 - p) / active.size)
    values = np.asarray(nodes)[active]
    assert abs(values.mean() - 1 / 2) < 4 / np.sqrt(12 * len(values))
    again, _ = Independent(10_601).population(1 - p, n_nodes=64)
    assert np.array_equal(again, nodes)


def test_a_batch_that_no_machine_holds_is_refused():
    message = (
        f"batch_size must be below 2³¹/12, by the numbers drawn for a sample, got {2**40}; draw several batches, each "
        "with a key of its own"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Correlated(2, 5).sample(0.9, 2**40, key=jax.random.key(0))
