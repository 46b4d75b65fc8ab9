"""The model and its loss against NumPy, closed forms and finite differences."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

from toylib.features import Correlated, Independent
from toylib.model import Classifier, Params, cross_entropy, evidence, init, label, logits, loss, reconstruct

P = 0.1
ROOT3 = 1 / np.sqrt(3)


def numpy_loss(W, b, x, *, target=None, weights=None, importance=None, linear=False):
    """Return the loss in double precision, one sample after the other."""
    W, b, x, target = (np.asarray(a, np.float64) for a in (W, b, x, x if target is None else target))
    weights = np.full(len(x), 1 / len(x)) if weights is None else np.asarray(weights, np.float64)
    importance = np.ones(len(b)) if importance is None else np.asarray(importance, np.float64)
    total = 0.0
    for sample, wanted, weight in zip(x, target, weights, strict=True):
        hidden = W @ sample
        out = W.T @ hidden + b
        total += weight * sum(importance * ((out if linear else np.maximum(out, 0)) - wanted) ** 2)
    return total


def params_of(W, b=None):
    W = jnp.asarray(W, jnp.float32)
    return Params(W, jnp.zeros(W.shape[1]) if b is None else jnp.asarray(b, jnp.float32))


def collapsed(first, second):
    return np.repeat(np.array([first, second]).T * ROOT3, 3, axis=1)


TRIPLES, PAIR = Correlated(2, 3), Independent(2)
AXES = np.eye(3)
HAND_BUILT = {
    # name: features, W, b, loss at p
    "zero": (TRIPLES, np.zeros((3, 6)), None, 2 * P),
    "bias": (TRIPLES, np.zeros((3, 6)), np.full(6, P / 2), 2 * P - 1.5 * P**2),
    "octahedron": (TRIPLES, np.hstack([AXES, -AXES]), None, P**2),
    "octahedron, other pairs": (TRIPLES, np.hstack([AXES, -AXES[:, [2, 0, 1]]]), None, P**2),
    "collapsed": (TRIPLES, collapsed(AXES[0], AXES[1]), None, P / 3),
    "collinear": (TRIPLES, collapsed(AXES[0], -AXES[0]), None, P / 3 + 1.0976 * P**2),
    "antipodal": (PAIR, np.array([[1.0, -1.0]]), None, P**2 / 3),
    "dropped": (PAIR, np.array([[1.0, 0.0]]), np.array([0, P / 2]), P / 3 - P**2 / 4),
    "exact": (TRIPLES, np.eye(6), None, 0.0),
}


@pytest.mark.parametrize("name", HAND_BUILT)
def test_losses_of_hand_built_models(name):
    features, W, b, expected = HAND_BUILT[name]
    params = params_of(W, b)
    nodes, weights = features.population(1 - P, n_nodes=4096)
    assert float(loss(params, nodes, weights=weights)) == pytest.approx(expected, rel=2e-3, abs=1e-9)

    n, rng = len(params.b), np.random.default_rng(0)
    size = n // len(features.sets)
    gates = rng.random((200_000, len(features.sets))) < P
    x = rng.random((len(gates), n)) * np.repeat(gates, size, axis=1)
    W = np.asarray(W)
    error = np.square(np.maximum(x @ W.T @ W + (0 if b is None else b), 0) - x).sum(1)
    spread = 4 * error.std() / np.sqrt(len(error))
    assert abs(error.mean() - expected) <= spread + 1e-12
    assert float(loss(params, jnp.asarray(x, jnp.float32))) == pytest.approx(error.mean(), rel=1e-4, abs=1e-9)


SHAPES = [(3, 6), (2, 6), (5, 4)]  # n ≤ 2m and n > 2m take different products


def random_case(m, n, batch=20):
    rng = np.random.default_rng(m * 10 + n)
    W, b, x = rng.normal(size=(m, n)), 0.3 * rng.normal(size=n), rng.random((batch, n)) * (rng.random((batch, n)) < 0.5)
    weights = rng.random(batch)
    return W, b, x, weights / weights.sum(), rng.random(n) + 0.2


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_loss_and_reconstruction_equal_numpy(m, n, linear):
    W, b, x, weights, importance = random_case(m, n)
    params, samples = params_of(W, b), jnp.asarray(x, jnp.float32)
    out = np.array([W.T @ (W @ s) + b for s in x])
    out = out if linear else np.maximum(out, 0)
    np.testing.assert_allclose(reconstruct(params, samples, linear=linear), out, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(reconstruct(params, samples[0], linear=linear), out[0], rtol=1e-5, atol=1e-5)
    folded = reconstruct(params, samples.reshape(4, 5, n), linear=linear)
    np.testing.assert_allclose(folded.reshape(20, n), out, rtol=1e-5, atol=1e-5)
    for w in (None, weights):
        for i in (None, importance):
            found = loss(
                params,
                samples,
                weights=None if w is None else jnp.asarray(w, jnp.float32),
                importance=None if i is None else jnp.asarray(i, jnp.float32),
                linear=linear,
            )
            expected = numpy_loss(W, b, x, weights=w, importance=i, linear=linear)
            assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_loss_of_another_target_than_the_input(m, n, linear):
    W, b, x, weights, importance = random_case(m, n)
    target = x[::-1] + 0.3
    params, samples, wanted = params_of(W, b), jnp.asarray(x, jnp.float32), jnp.asarray(target, jnp.float32)
    for options in ({}, {"weights": weights, "importance": importance}):
        arrays = {name: jnp.asarray(value, jnp.float32) for name, value in options.items()}
        expected = numpy_loss(W, b, x, target=target, linear=linear, **options)
        assert float(loss(params, samples, target=wanted, linear=linear, **arrays)) == pytest.approx(expected, rel=1e-5)
    itself = loss(params, samples, target=samples, linear=linear)
    assert float(itself) == float(loss(params, samples, linear=linear))


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(("m", "n"), [(3, 6), (2, 6)])
def test_gradient_equals_finite_differences(m, n, linear):
    W, b, x, weights, importance = random_case(m, n)
    options = {"weights": jnp.asarray(weights, jnp.float32), "importance": jnp.asarray(importance, jnp.float32)}
    found = jax.jit(jax.grad(lambda p: loss(p, jnp.asarray(x, jnp.float32), linear=linear, **options)))(params_of(W, b))

    def difference(which, index, step=1e-6):
        values = []
        for sign in (1, -1):
            moved = {"W": W.copy(), "b": b.copy()}
            moved[which][index] += sign * step
            values.append(numpy_loss(moved["W"], moved["b"], x, weights=weights, importance=importance, linear=linear))
        return (values[0] - values[1]) / (2 * step)

    for which in ("W", "b"):
        gradient = np.asarray(getattr(found, which))
        expected = np.array([difference(which, index) for index in np.ndindex(gradient.shape)]).reshape(gradient.shape)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4 * abs(expected).max())


def test_zero_input_costs_the_open_biases_and_has_a_finite_gradient():
    W, b, *_ = random_case(3, 6)
    value_and_slope = jax.jit(jax.value_and_grad(loss))
    value, slope = value_and_slope(params_of(W, b), jnp.zeros((5, 6)))
    assert float(value) == pytest.approx(np.square(np.maximum(b, 0)).sum(), rel=1e-5)
    np.testing.assert_allclose(slope.b, 2 * np.maximum(b, 0), rtol=1e-5)
    assert np.array_equal(slope.W, np.zeros((3, 6)))
    _, origin = value_and_slope(params_of(np.zeros((3, 6))), jnp.zeros((5, 6)))
    assert np.array_equal(origin.W, np.zeros((3, 6)))
    assert np.isfinite(origin.b).all()


def test_init_is_scaled_normal_with_zero_bias():
    params = init(400, 100, key=jax.random.key(0), scale=0.3)
    W = np.asarray(params.W, np.float64)
    assert params.W.shape == (100, 400)
    assert params.W.dtype == params.b.dtype == jnp.float32
    assert np.array_equal(params.b, np.zeros(400))
    assert abs(W.mean()) < 4 * 0.3 / np.sqrt(W.size)
    assert abs(W.std() / 0.3 - 1) < 4 / np.sqrt(2 * W.size)
    assert abs(np.mean((W / 0.3) ** 4) - 3) < 4 * np.sqrt(96 / W.size)
    assert np.array_equal(init(400, 100, key=jax.random.key(0), scale=0.3).W, params.W)
    assert float(abs(init(2, 2, key=jax.random.key(0), scale=0.0).W).max()) == 0


SIZES = "pass a Python int from 1 up, since sizes cannot be traced"
SCALE = "scale must be at least 0 and finite in single precision, got {}; it is a standard deviation, such as 0.01"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_features": 0}, ValueError, f"n_features must be at least 1, got 0; {SIZES}"),
        ({"n_hidden": -1}, ValueError, f"n_hidden must be at least 1, got -1; {SIZES}"),
        ({"n_hidden": 2.0}, TypeError, f"n_hidden must be an integer, got 2.0; {SIZES}"),
        ({"scale": -0.1}, ValueError, SCALE.format("-0.1")),
        ({"scale": np.nan}, ValueError, SCALE.format("nan")),
        ({"scale": 1e39}, ValueError, SCALE.format("1e+39")),
        (
            {"scale": "a"},
            TypeError,
            "scale must be a real number, got 'a'; it is a standard deviation, such as 0.01",
        ),
        (
            {"scale": np.array([0.1, 0.3])},
            ValueError,
            "scale must be a scalar, got shape (2,); jax.vmap over this function takes more",
        ),
        ({"key": 0}, TypeError, "key must come from jax.random.key, got 0; pass jax.random.key(seed)"),
        (
            {"key": np.array([0, 1], np.uint32)},
            TypeError,
            "key must come from jax.random.key, got an array of uint32; pass jax.random.key(seed)",
        ),
        (
            {"key": jax.random.split(jax.random.key(0), 3)},
            ValueError,
            "key must have rank 0, got shape (3,); pass one key",
        ),
    ],
)
def test_init_checks_its_arguments(change, error, message):
    with pytest.raises(error) as caught:
        init(**{"n_features": 6, "n_hidden": 3, "key": jax.random.key(0)} | change)
    assert str(caught.value) == message


def test_init_takes_more_scales_as_its_message_says():
    scales = jnp.array([0.1, 0.3])
    many = jax.vmap(lambda scale: init(6, 3, key=jax.random.key(0), scale=scale))(scales)
    np.testing.assert_allclose(many.W[1], 3 * many.W[0], rtol=1e-6)


X = jnp.zeros((4, 6))
GOOD = params_of(np.zeros((3, 6)))
FLOAT = "a floating-point array, got {}; convert it to jnp.float32"
WIDTH = "W (3, 6) has 6 features"
ROWS = "its rows are samples, so one sample is x[None]"


@pytest.mark.parametrize(
    ("params", "x", "options", "error", "message"),
    [
        (GOOD, jnp.zeros((4, 5)), {}, ValueError, f"x must have shape (any, 6), got (4, 5); {WIDTH}"),
        (GOOD, jnp.zeros(6), {}, ValueError, f"x must have shape (any, 6), got (6,); {ROWS}"),
        (GOOD, jnp.zeros((2, 4, 6)), {}, ValueError, f"x must have shape (any, 6), got (2, 4, 6); {ROWS}"),
        (GOOD, jnp.zeros((0, 6)), {}, ValueError, f"x must have shape (any, 6), got (0, 6); {WIDTH}"),
        (GOOD, jnp.zeros((4, 6), int), {}, TypeError, f"x must be {FLOAT.format('int32')}"),
        (GOOD, np.zeros((4, 6), bool), {}, TypeError, f"x must be {FLOAT.format('bool')}"),
        (GOOD, [[0.0] * 6], {}, TypeError, f"x must be {FLOAT.format('list')}"),
        (
            Params(jnp.zeros((2, 3, 6)), GOOD.b),
            X,
            {},
            ValueError,
            "W must have shape (any, any), got (2, 3, 6); it is one model's (m, n); jax.vmap takes more models",
        ),
        (Params(GOOD.W, jnp.zeros(5)), X, {}, ValueError, f"b must have shape (6), got (5,); {WIDTH}"),
        (Params(jnp.zeros((3, 6), int), GOOD.b), X, {}, TypeError, f"W must be {FLOAT.format('int32')}"),
        (GOOD.W, X, {}, TypeError, "params must have W and b, got ArrayImpl; pass toylib.model.Params(W, b)"),
        (
            GOOD,
            X,
            {"target": X[:3]},
            ValueError,
            "target must have shape (4, 6), got (3, 6); it stands beside x, sample by sample",
        ),
        (
            GOOD,
            X,
            {"weights": jnp.full(4, 0.225)},
            ValueError,
            "weights must sum to 1, got sum 0.9; divide them by their sum",
        ),
        (
            GOOD,
            X,
            {"weights": jnp.array([0.4, 0.3, 0.2, 0.1002])},
            ValueError,
            "weights must sum to 1, got sum 1.0002; divide them by their sum",
        ),
        (
            GOOD,
            X,
            {"weights": jnp.array([1.5, -0.5, 0, 0])},
            ValueError,
            "weights must be at least 0 and finite in single precision, got -0.5; they are the shares of the samples",
        ),
        (
            GOOD,
            X,
            {"weights": jnp.array([jnp.nan, 1, 0, 0])},
            ValueError,
            "weights must be at least 0 and finite in single precision, got nan; they are the shares of the samples",
        ),
        (
            GOOD,
            X,
            {"weights": jnp.full(5, 0.2)},
            ValueError,
            "weights must have shape (4), got (5,); they are one per sample",
        ),
        (
            GOOD,
            X,
            {"importance": jnp.ones(5)},
            ValueError,
            "importance must have shape (6), got (5,); it is one factor per feature",
        ),
        (
            GOOD,
            X,
            {"importance": jnp.array([1.0, 1, -0.5, 1, 1, 1])},
            ValueError,
            "importance must be at least 0 and finite in single precision, got -0.5; it is one factor per feature, 0 "
            "for none",
        ),
        (
            GOOD,
            X,
            {"importance": jnp.ones(6, jnp.complex64)},
            TypeError,
            "importance must be a floating-point array, got complex64; convert it to jnp.float32",
        ),
        (
            GOOD,
            X,
            {"linear": "no"},
            TypeError,
            "linear must be True or False, got 'no'; pass a bool, known before tracing",
        ),
        (GOOD, X.T, {}, ValueError, f"x must have shape (any, 6), got (6, 4); its transpose fits; {WIDTH}"),
        (
            Params(GOOD.W.T, GOOD.b),
            X,
            {},
            ValueError,
            "b must have shape (3), got (6,); W (6, 3) has 3 features, its columns; pass W.T, which has 6",
        ),
        (
            GOOD,
            np.full((4, 6), 1e39),
            {},
            ValueError,
            "x must be finite in single precision, got 1e+39; scale it down",
        ),
    ],
)
def test_loss_checks_its_arguments(params, x, options, error, message):
    with pytest.raises(error) as caught:
        loss(params, x, **options)
    assert str(caught.value) == message


def test_loss_takes_what_its_messages_recommend():
    W, b, x, *_ = random_case(3, 6)
    params, x = params_of(W, b), jnp.asarray(x, jnp.float32)
    one = float(loss(params, x[0][None]))
    assert one == pytest.approx(numpy_loss(W, b, x[:1]), rel=1e-5)
    models = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.3 * leaf]), params)
    np.testing.assert_allclose(
        jax.vmap(loss, (0, None))(models, x),
        [numpy_loss(W, b, x), numpy_loss(0.3 * W, 0.3 * b, x)],
        rtol=1e-5,
    )
    for near in (1, 1.00005):  # of a sum in single precision the last digits are rounding
        weights = jnp.full(len(x), near / len(x))
        assert float(loss(params, x, weights=weights)) == pytest.approx(near * float(loss(params, x)), rel=1e-5)


def test_reconstruct_checks_its_arguments():
    with pytest.raises(ValueError, match=re.escape(f"x must have shape (6), got (5,); {WIDTH}") + "$"):
        reconstruct(GOOD, jnp.zeros(5))
    with pytest.raises(TypeError, match=f"^x must be {FLOAT.format('int32')}$"):
        reconstruct(GOOD, jnp.zeros(6, int))


@pytest.mark.parametrize(("m", "n"), [(3, 6), (20, 100)])
@pytest.mark.parametrize("name", ["W", "b", "x", "overflow"])
def test_nan_stays_nan_in_one_kernel_with_a_sum(m, n, name):
    """Of this many samples XLA's CPU kernel of product, ReLU and sum takes max(NaN, 0) for 0."""
    arrays = {"W": jnp.ones((m, n)), "b": jnp.zeros(n), "x": jnp.full((1024, n), 0.5)}
    if name == "overflow":  # entries of WᵀW are inf and -inf, and rows of WᵀW x are NaN
        arrays["W"] = jnp.resize(jnp.array([1e20, -1e20]), (m, n))
    else:
        arrays[name] *= jnp.nan

    def mean(params, x):
        return jnp.square(reconstruct(params, x) - 1).sum(1).mean()

    functions = [loss, lambda params, x: loss(params, x, target=jnp.ones_like(x))]
    for function in functions if name == "overflow" else [*functions, mean]:
        assert np.isnan(jax.jit(function)(Params(arrays["W"], arrays["b"]), arrays["x"]))


# The classifier


def random_classifier(m, n, batch=20):
    W, b, x, weights, _ = random_case(m, n, batch)
    R = np.random.default_rng(m + n).normal(size=(m, n))
    x[:3] = 0  # without a label
    return (W, b, R), x, weights


def classifier_of(W, b, R):
    return Classifier(*(jnp.asarray(a, jnp.float32) for a in (W, b, R)))


def numpy_cross_entropy(W, b, R, x, target, weights, size=1):
    """One sample after the other, with SciPy's softmax."""
    total = share = 0.0
    for sample, wanted, weight in zip(x, target, weights, strict=True):
        found = (R.T @ (W @ sample) + b).reshape(-1, size).sum(1)
        sums = wanted.reshape(-1, size).sum(1)
        if (sums == sums.max()).sum() == 1:
            total -= weight * log_softmax(found)[sums.argmax()]
            share += weight
    return total / share


def test_logits_of_a_hand_made_classifier():
    """Two classes read crosswise, so that a swap of W and R, or of rows and columns, shows."""
    W, R = np.array([[1.0, 0.0, 2.0, 0.0]]), np.array([[0.0, 1.0, 0.0, -3.0]])
    model = classifier_of(W, [0.0, 0.1, 0.2, 0.4], R)
    x = jnp.asarray([0.5, 0.7, 0.25, 0.9])  # hidden: 1
    np.testing.assert_allclose(logits(model, x), [0, 1.1, 0.2, -2.6], rtol=1e-6)
    np.testing.assert_allclose(logits(model, x[None], class_size=2), [[1.1, -2.4]], rtol=1e-6)
    tied = Params(model.W, model.b)
    np.testing.assert_allclose(logits(tied, x), [1, 0.1, 2.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(logits(tied, x), reconstruct(tied, x, linear=True), rtol=1e-6)


def test_labels_are_those_of_the_largest_evidence():
    x = jnp.asarray([[0.2, 0.6, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [0.5, 0.25, 0.5, 0.25], [0.1, jnp.nan, 0.2, 0.3]])
    assert label(x).tolist() == [1, -1, -1, -1]
    assert label(x, class_size=2).tolist() == [0, -1, -1, -1]
    np.testing.assert_allclose(evidence(x[0], class_size=2), [0.8, 0.5], rtol=1e-6)
    assert evidence(x[:2], class_size=4).shape == (2, 1)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cross_entropy_equals_numpy(size):
    (W, b, R), x, weights = random_classifier(3, 6)
    model, samples = classifier_of(W, b, R), jnp.asarray(x, jnp.float32)
    plain = np.full(len(x), 1 / len(x))
    target = x[::-1] * 0.9
    for w in (None, weights):
        for t in (None, target):
            options = {
                name: jnp.asarray(a, jnp.float32) for name, a in (("weights", w), ("target", t)) if a is not None
            }
            found = cross_entropy(model, samples, class_size=size, **options)
            expected = numpy_cross_entropy(W, b, R, x, x if t is None else t, plain if w is None else w, size)
            assert float(found) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_equals_that_of_optax_where_all_have_a_label():
    (W, b, _), x, _ = random_classifier(2, 6)
    tied, samples = params_of(W, b), jnp.asarray(x[3:] + 0.01, jnp.float32)
    each = optax.losses.softmax_cross_entropy_with_integer_labels(logits(tied, samples), label(samples))
    assert float(cross_entropy(tied, samples)) == pytest.approx(float(each.mean()), rel=1e-5)


def test_inputs_without_a_label_have_no_weight():
    (W, b, R), x, _ = random_classifier(3, 6)
    model, samples = classifier_of(W, b, R), jnp.asarray(x, jnp.float32)
    assert float(cross_entropy(model, samples)) == pytest.approx(float(cross_entropy(model, samples[3:])), rel=1e-6)
    value, slope = jax.jit(jax.value_and_grad(cross_entropy))(model, samples[:3])
    assert float(value) == 0
    assert all(np.array_equal(leaf, np.zeros(leaf.shape)) for leaf in slope)
    ignorant = classifier_of(0 * W, 0 * b, 0 * R)
    assert float(cross_entropy(ignorant, samples)) == pytest.approx(np.log(6), rel=1e-6)


def test_nan_stays_nan():
    (W, b, R), x, _ = random_classifier(3, 6)
    samples = jnp.asarray(x, jnp.float32)
    for broken in ((W * np.nan, b, R), (W, b * np.nan, R), (W, b, R * np.where(np.eye(3, 6), np.nan, 1))):
        assert np.isnan(cross_entropy(classifier_of(*broken), samples))
    model = classifier_of(W, b, R)
    assert np.isnan(cross_entropy(model, samples.at[4, 1].set(jnp.nan)))
    assert np.isnan(cross_entropy(model, samples, target=samples.at[4, 1].set(jnp.nan)))


def test_gradient_of_the_cross_entropy_equals_finite_differences():
    (W, b, R), x, weights = random_classifier(3, 6)
    samples, options = jnp.asarray(x, jnp.float32), {"weights": jnp.asarray(weights, jnp.float32)}
    found = jax.jit(jax.grad(lambda p: cross_entropy(p, samples, **options)))(classifier_of(W, b, R))
    for which, at in ((0, (1, 4)), (1, (2,)), (2, (0, 5))):
        values = []
        for sign in (1, -1):
            moved = [a.copy() for a in (W, b, R)]
            moved[which][at] += sign * 1e-6
            values.append(numpy_cross_entropy(*moved, x, x, weights))
        assert float(found[which][at]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: evidence(jnp.ones(6), class_size=4),
            ValueError,
            "class_size must divide the number of features 6, got 4; classes are of equal size",
        ),
        (lambda: label(jnp.ones(6), class_size=0), ValueError, "class_size must be at least 1, got 0"),
        (lambda: evidence(jnp.ones(6, int)), TypeError, "x must be a floating-point array, got int32"),
        (
            lambda: logits(Classifier(jnp.ones((2, 3)), jnp.ones(3), jnp.ones((2, 4))), jnp.ones(3)),
            ValueError,
            "R must have shape (2, 3), got (2, 4); each feature has a column of R, as of W",
        ),
        (
            lambda: cross_entropy(Params(jnp.ones((2, 3)), jnp.ones(3)), jnp.ones((4, 3)), weights=jnp.ones(4)),
            ValueError,
            "weights must sum to 1, got sum 4; divide them by their sum",
        ),
    ],
)
def test_a_classifier_refuses_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
