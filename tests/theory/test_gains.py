"""What the analytic attack gains, against attacked models, and the regular arrangements of which it is known."""

import numpy as np
import pytest

from toylib import theory


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "orthonormal": 1,
        "tetrahedron": 4 / 3,
        "triangle": 1.5,
        "digon": 2,
        "square": 2,
        "octahedron": 2,
        "pentagon": 2.977,
        "hexagon": 4.5,
    }.items(),
)
def test_polytopes_are_tight_and_have_their_published_gains(name, value):
    W = theory.POLYTOPES[name]
    m, n = W.shape
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1)
    np.testing.assert_allclose(W @ W.T, n / m * np.eye(m), atol=1e-12)
    np.testing.assert_allclose(theory.silent_gains(W, np.zeros(n), 0.1), 0.01 * value, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("octahedron", {0, -1}),
        ("tetrahedron", {-1 / 3}),
        ("triangle", {-0.5}),
        ("square", {0, -1}),
        ("orthonormal", {0}),
        ("digon", {-1}),
        ("pentagon", {np.cos(2 * np.pi / 5), np.cos(4 * np.pi / 5)}),
        ("hexagon", {0.5, -0.5, -1}),
    ],
)
def test_polytopes_have_their_angles(name, entries):
    W = theory.POLYTOPES[name]
    off = (W.T @ W)[~np.eye(W.shape[1], dtype=bool)]
    assert {round(value, 6) + 0.0 for value in off} == {round(value, 6) for value in entries}


def test_silent_gains_against_the_attacked_model():
    rng = np.random.default_rng(0)
    for _ in range(20):
        m, n = rng.integers(1, 5), rng.integers(2, 8)
        W, b = rng.normal(size=(m, n)), rng.normal(size=n) - 0.3
        W[:, 0] = 0
        gains = theory.silent_gains(W, b, 0.7)
        assert gains[0] == 0
        for i in range(1, n):
            push = W.T @ W[:, i]
            u = W.T @ (W @ (0.7 * push / np.sqrt(push @ push))) + b
            before = np.clip(b, 0, None)
            assert gains[i] == pytest.approx(np.sum(np.clip(u, 0, None) ** 2 - before**2), abs=1e-12)


def test_silent_gains_of_attacks_made_on_another_model():
    """Against the error itself, attack by attack; the source has other dimensions, another scale and a dead feature."""
    rng = np.random.default_rng(5)
    W, b, source = rng.normal(size=(2, 3, 7)), rng.normal(size=(2, 7)) - 0.2, rng.normal(size=(4, 1, 2, 7)) / 3
    source[..., 3] = 0
    gains = theory.silent_gains(W, b, 0.4, source=source)
    assert gains.shape == (4, 2, 7)
    for s in range(4):
        for t in range(2):
            for i in set(range(7)) - {3}:
                push = source[s, 0].T @ source[s, 0][:, i]
                u = W[t].T @ (W[t] @ (0.4 * push / np.sqrt(push @ push))) + b[t]
                error = np.sum(np.clip(u, 0, None) ** 2) - np.sum(np.clip(b[t], 0, None) ** 2)
                assert gains[s, t, i] == pytest.approx(error, abs=1e-12)
    assert (gains[..., 3] == 0).all()
    np.testing.assert_allclose(theory.silent_gains(W, b, 0.4, source=W), theory.silent_gains(W, b, 0.4))


def test_octahedra_take_two_from_a_shared_pair_and_one_from_another():
    """The target has the pairs 0-3, 1-4, 2-5, the source 0-3, 1-2, 4-5, turned in space."""
    target = theory.POLYTOPES["octahedron"]
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    source = turn @ target[:, [0, 1, 4, 3, 2, 5]]
    assert [int(j) for j in (source.T @ source).argmin(1)] == [3, 2, 1, 0, 5, 4]
    gains = theory.silent_gains(target, np.zeros(6), 0.1, source=source)
    np.testing.assert_allclose(gains / 0.01, [2, 1, 1, 2, 1, 1])
    np.testing.assert_allclose(theory.silent_gains(source, np.zeros(6), 0.1, source=source) / 0.01, 2)
    np.testing.assert_allclose(theory.silent_gains(np.eye(6), np.zeros(6), 0.1, source=target) / 0.01, 1 / 2)


def test_silent_gains_take_a_source_of_the_same_features():
    message = r"^source must have the features of W \(2, 3\), got shape \(2, 4\); pass a model of the same data$"
    with pytest.raises(ValueError, match=message):
        theory.silent_gains(np.eye(2, 3), np.zeros(3), 0.1, source=np.eye(2, 4))


def matchings(items):
    """All ways to pair them."""
    if not items:
        return [()]
    first, *others = items
    return [((first, other), *rest) for other in others for rest in matchings([i for i in others if i != other])]


@pytest.mark.parametrize(("n_sets", "set_size"), [(2, 3), (3, 2), (2, 2), (6, 1), (1, 6)])
def test_shared_pairs_by_enumeration(n_sets, set_size):
    """Any mixture of matchings by how many of their pairs are within sets."""
    every = matchings(list(range(n_sets * set_size)))
    inside = np.array([np.mean([i // set_size == j // set_size for i, j in pairs]) for pairs in every])
    for tilt in (0.0, 1.3, -2.0):
        weights = np.exp(tilt * inside) / np.exp(tilt * inside).sum()
        exact = sum(
            u * v * len({*a} & {*b}) / len(a)
            for u, a in zip(weights, every, strict=True)
            for v, b in zip(weights, every, strict=True)
        )
        found = theory.shared_pairs(round(float(weights @ inside), 12), n_sets=n_sets, set_size=set_size)
        assert found == pytest.approx(exact, abs=1e-12)


def test_shared_pairs_known():
    assert theory.shared_pairs(0, n_sets=2, set_size=3) == pytest.approx(1 / 3)
    assert theory.shared_pairs(0.4, n_sets=2, set_size=3) == pytest.approx(1 / 5)
    assert theory.shared_pairs(0.2, n_sets=3, set_size=2) == pytest.approx(1 / 5)
    assert theory.shared_pairs(1, n_sets=3, set_size=2) == pytest.approx(1)


@pytest.mark.parametrize(
    ("within", "n_sets", "set_size", "message"),
    [
        (1.5, 2, 3, r"within must lie in \[0, 1\], got 1\.5; it is a share of pairs"),
        (0.5, 6, 1, "within must be 0 for sets of one and 1 for one set, got 0.5 for 6 of 1; there are no other pairs"),
        (0.5, 1, 6, "within must be 0 for sets of one and 1 for one set, got 0.5 for 1 of 6; there are no other pairs"),
        (0.5, 2, 0, "set_size must be at least 1, got 0"),
        (
            0.68,
            2,
            3,
            r"within must lie in \[0, 0\.666667\] for 2 sets of 3, an even number of features, got 0\.68 for 6",
        ),
        (0.5, 3, 3, r"within must lie in \[0, 0\.666667\] for 3 sets of 3, an even number of features, got 0\.5 for 9"),
    ],
)
def test_shared_pairs_take_a_share_that_exists(within, n_sets, set_size, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        theory.shared_pairs(within, n_sets=n_sets, set_size=set_size)


@pytest.mark.parametrize("name", ["W", "b"])
def test_silent_gains_keep_nan(name):
    arguments = {"W": np.eye(2, 3), "b": np.zeros(3), "radius": 0.1}
    assert np.isnan(theory.silent_gains(**arguments | {name: arguments[name] * np.nan})).all()


def test_one_feature_gains_are_what_is_left_without_the_slope_in_the_biases():
    """On few samples, none within reach of a threshold, gain = λ·Σ_j (G Ĝ_i)_j ∂L/∂b_j + λ²·law, exactly."""
    rng = np.random.default_rng(1)
    W, b, x = rng.normal(size=(3, 6)) / 2, rng.normal(size=6) / 3, rng.random((40, 6)) * (rng.random((40, 6)) < 0.4)
    W[:, 5] = 0

    def errors(b, push=0.0):
        return np.square(np.clip((x + push) @ W.T @ W + b, 0, None) - x).sum(1).mean()

    radius, step = 1e-4, 1e-5
    assert np.abs(x @ W.T @ W + b)[:, :5].min() > 10 * radius
    law = theory.one_feature_gains(W, (x @ W.T @ W + b > 0).mean(0))
    slopes = [(errors(b + step * e) - errors(b - step * e)) / (2 * step) for e in np.eye(6)]
    for i in range(5):
        push = W.T @ W[:, i] / np.sqrt(np.sum((W.T @ W[:, i]) ** 2))
        linear = sum(slope * (W.T @ W @ push)[j] for j, slope in enumerate(slopes))
        gain = errors(b, radius * push) - errors(b)
        assert (gain - radius * linear) / radius**2 == pytest.approx(law[i], rel=1e-4)
    assert law[5] == 0


@pytest.mark.parametrize("name", theory.POLYTOPES)
def test_one_feature_gains_of_tight_frames_are_f_squared_times_a_share_of_units_on(name):
    W = theory.POLYTOPES[name]
    m, n = W.shape
    on = np.random.default_rng(2).random(n)
    cosines = (W.T @ W) ** 2
    expected = (n / m) ** 2 * (cosines @ on) / cosines.sum(1)
    np.testing.assert_allclose(theory.one_feature_gains(W, on), expected)
    np.testing.assert_allclose(theory.one_feature_gains(W, np.ones(n)), (n / m) ** 2)


def test_one_feature_gains_miss_units_at_their_threshold():
    """An octahedron without bias at the empty input: no unit is on, half of those pushed turn on."""
    W = theory.POLYTOPES["octahedron"]
    np.testing.assert_array_equal(theory.one_feature_gains(W, np.zeros(6)), 0)
    np.testing.assert_allclose(theory.silent_gains(W, np.zeros(6), 0.1), 0.02)


@pytest.mark.parametrize("on", [np.zeros(2), np.full(3, 1.1), np.full(3, -0.1), np.full(3, np.nan)])
def test_one_feature_gains_take_a_share_for_each_unit(on):
    with pytest.raises(ValueError, match=r"^on must have a share in \[0, 1\] for each of the columns of W"):
        theory.one_feature_gains(np.eye(2, 3), on)


# The target that moves


def test_moved_target_gains_are_what_is_left_without_the_slope_in_the_biases():
    """On few samples, none within reach of a threshold, gain = linear term of units on + λ²·law, exactly."""
    rng = np.random.default_rng(3)
    W, b, x = rng.normal(size=(3, 6)) / 2, rng.normal(size=6) / 3, rng.random((40, 6)) * (rng.random((40, 6)) < 0.4)
    W[:, 5], weights = 0, np.array([1.0, 0.5, 2, 3, 0.2, 7])

    def errors(push):
        moved = x + push
        return (np.square(np.clip(moved @ W.T @ W + b, 0, None) - moved) @ weights).mean()

    radius, z = 5e-5, x @ W.T @ W + b
    on = z > 0
    assert np.abs(z)[:, :5].min() > 10 * radius
    law = theory.moved_target_gains(W, on.mean(0), (x * ~on).mean(0), radius, weights=weights)
    assert len({round(value, 3) for value in law}) == 6
    for i in range(5):
        push = W.T @ W[:, i] / np.sqrt(np.sum((W.T @ W[:, i]) ** 2))
        linear = (2 * (x - z) * on).mean(0) @ (weights * (push - W.T @ W @ push))
        gain = errors(radius * push) - errors(0.0)
        assert (gain - radius * linear) / radius**2 == pytest.approx(law[i], rel=1e-4)
    assert law[5] == 0


def test_a_model_without_superposition_gains_nothing_along_what_it_keeps():
    W = np.eye(3, 5)
    np.testing.assert_array_equal(theory.moved_target_gains(W, np.ones(5), np.zeros(5), 0.1), 0)
    np.testing.assert_array_equal(theory.one_feature_gains(W, np.ones(5)), [1, 1, 1, 0, 0])


@pytest.mark.parametrize("name", theory.POLYTOPES)
def test_moved_target_gains_of_tight_frames_are_those_of_f_less_1(name):
    W = theory.POLYTOPES[name]
    m, n = W.shape
    gains = theory.moved_target_gains(W, np.ones(n), np.zeros(n), 0.3)
    np.testing.assert_allclose(gains, (n / m - 1) ** 2, atol=1e-12)
    off = theory.moved_target_gains(W, np.zeros(n), np.full(n, 0.25), 0.5, weights=np.full(n, 2.0))
    gram = W.T @ W
    np.testing.assert_allclose(off, 2 + 2 * gram.sum(1) / np.sqrt((gram**2).sum(1)), atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"on": np.full(3, 1.1)}, "^on must have a share"),
        ({"missed": np.zeros(2)}, "^missed must have a number for each column of W"),
        ({"weights": np.ones(4)}, "^weights must have a number for each column of W"),
        ({"radius": 0.0}, "^radius must be above 0|^radius must"),
    ],
)
def test_moved_target_gains_check_their_arguments(changed, message):
    arguments = {"W": np.eye(2, 3), "on": np.ones(3), "missed": np.zeros(3), "radius": 0.1} | changed
    with pytest.raises(ValueError, match=message):
        theory.moved_target_gains(**arguments)


@pytest.mark.parametrize(("within", "n_sets", "set_size"), [(1, 2, 3), (0.9, 2, 3), (1, 1, 3), (0, 3, 1), (0.5, 3, 3)])
def test_shared_pairs_take_a_share_that_a_pairing_has(within, n_sets, set_size):
    with pytest.raises(ValueError, match="no pairing has another share"):
        theory.shared_pairs(within, n_sets=n_sets, set_size=set_size)


@pytest.mark.parametrize(
    ("W", "b", "source", "message"),
    [
        (np.eye(2, 3), np.zeros(1), None, "^b must have a bias for each column of W"),
        (np.eye(2, 3), 0.0, None, "^b must have a bias for each column of W"),
        (np.eye(2, 3), np.zeros(3), np.zeros(3), "^source must have the features of W"),
        (np.zeros(3), np.zeros(3), None, "^source must have the features of W"),
    ],
)
def test_silent_gains_take_a_bias_for_each_feature(W, b, source, message):
    with pytest.raises(ValueError, match=message):
        theory.silent_gains(W, b, 0.1, source=source)


def test_silent_gains_take_one_radius():
    with pytest.raises(ValueError, match=r"^radius must be a scalar, got shape \(3,\); .* call it once per value"):
        theory.silent_gains(np.eye(2, 3), np.zeros(3), np.ones(3))
