"""Attacks on classifiers: hand-made ones, the closed form on safe inputs, and a quadratic programme by brute force."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from toylib.attacks import flipped, least_flip, margin_pgd, pairwise, rivals
from toylib.model import Classifier, label, logits

KEY = jax.random.key(0)
IDEAL = Classifier(jnp.eye(3), jnp.zeros(3), jnp.eye(3))
# Three directions in a plane, readouts turned against them, and a bias for the last class.
TURNED = Classifier(
    jnp.asarray([[1.0, -0.4, -0.5], [0.1, 0.9, -0.8]]),
    jnp.asarray([0.0, 0.05, -0.1]),
    jnp.asarray([[0.9, -0.5, -0.6], [-0.1, 1.1, -0.7]]),
)
X = jnp.asarray([0.9, 0.5, 0.2])


def random_classifier(seed, m=2, n=5):
    rng = np.random.default_rng(seed)
    W, R, b = rng.normal(size=(m, n)), rng.normal(size=(m, n)), 0.1 * rng.normal(size=n)
    near = 0.5 * W + 0.5 * R  # so that some inputs are classified right
    return Classifier(*(jnp.asarray(a, jnp.float32) for a in (near, b, R)))


def inputs(seed, number, n=5):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.random((number, n)) * (rng.random((number, n)) < 0.5), jnp.float32)


def test_rivals_of_a_hand_made_classifier():
    W, b, R = (np.asarray(a, np.float64) for a in TURNED)
    z = R.T @ W @ np.asarray(X, np.float64) + b
    pushes, leads = rivals(TURNED, X)
    assert int(label(X)) == 0
    for j in (1, 2):
        np.testing.assert_allclose(pushes[j], W.T @ (R[:, j] - R[:, 0]), rtol=1e-5)
        assert float(leads[j]) == pytest.approx(z[j] - z[0], rel=1e-5)
    assert float(leads[0]) == -np.inf
    assert np.isneginf(rivals(TURNED, jnp.zeros(3))[1]).all()


def test_rivals_of_classes_of_two_features_sum_their_readouts():
    model, x = random_classifier(3, n=6), inputs(5, 1, n=6)[0]
    W, b, R = (np.asarray(a, np.float64) for a in model)
    pairs, sums = R.reshape(2, 3, 2).sum(2), np.asarray(x, np.float64).reshape(3, 2).sum(1)
    z, k = pairs.T @ W @ np.asarray(x, np.float64) + b.reshape(3, 2).sum(1), int(sums.argmax())
    pushes, leads = rivals(model, x, class_size=2)
    np.testing.assert_allclose(pushes, ((pairs - pairs[:, [k]]).T) @ W, atol=1e-5)
    np.testing.assert_allclose(np.delete(leads, k), np.delete(z - z[k], k), atol=1e-5)


def test_pairwise_gives_the_largest_lead_that_its_norm_allows():
    """Against the directions of a fine grid in the plane that a model of two dimensions sees."""
    t = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    tested = 0
    for seed in range(6):
        model = random_classifier(seed)
        W, b, R = (np.asarray(a, np.float64) for a in model)
        rows = np.linalg.svd(W, full_matrices=False)[2]
        for x, radius in zip(inputs(seed, 6), (0.05, 0.1, 0.3, 0.5, 1.0, 2.0), strict=True):
            if (k := int(label(x))) < 0:
                continue
            tested += 1
            grid = radius * np.stack([np.cos(t), np.sin(t)], 1) @ rows
            z = (np.asarray(x, np.float64) + grid) @ W.T @ R + b
            most = (np.delete(z, k, axis=1).max(1) - z[:, k]).max()
            moved = logits(model, x + pairwise(model, x, radius))
            assert float(jnp.delete(moved, k).max() - moved[k]) == pytest.approx(most, rel=1e-4, abs=1e-4)
    assert tested > 25


def test_ascent_reaches_the_largest_lead_and_not_more():
    """Five starts find the best of two rivals almost always; no point of the ball has a larger lead."""
    reached = []
    for seed in range(24):
        model, x = random_classifier(seed, m=3, n=3), inputs(seed + 50, 1, n=3)[0]
        if (k := int(label(x))) < 0:
            continue
        ends = [logits(model, x + d) for d in (margin_pgd(model, x, 0.3, key=KEY), pairwise(model, x, 0.3))]
        found, most = (float(jnp.delete(z, k).max() - z[k]) for z in ends)
        assert found <= most + 1e-5
        reached.append(found > most - 1e-3 * abs(most) - 1e-4)
    assert np.mean(reached) > 0.7


def test_success_needs_a_right_start_the_same_label_and_another_prediction():
    spoilt = IDEAL._replace(b=jnp.asarray([0.0, 0.2, 0.0]))
    x = jnp.asarray([0.6, 0.3, 0.0])
    assert not flipped(spoilt, x, jnp.zeros(3))
    assert flipped(spoilt, x, jnp.asarray([0.0, 0.15, 0.0]))  # 0.6 against 0.65, and the label still 0
    assert not flipped(spoilt, x, jnp.asarray([0.0, 0.35, 0.0]))  # the label is 1 as well
    assert not flipped(spoilt, x, jnp.asarray([0.0, 0.05, 0.0]))
    wrong = jnp.asarray([0.4, 0.3, 0.0])  # predicted 1 before any attack
    assert not flipped(spoilt, wrong, jnp.asarray([0.0, 0.05, 0.0]))
    assert not flipped(spoilt, jnp.zeros(3), jnp.asarray([0.0, 0.3, 0.0]))
    tie = jnp.asarray([0.0, 0.3, 0.0])
    assert not flipped(spoilt, x, tie)


def test_a_classifier_that_is_exact_is_never_flipped():
    ascents = (margin_pgd, partial(margin_pgd, keep_label=True), partial(margin_pgd, ascent="cross-entropy"))
    for x in inputs(1, 16, n=3):
        for ascent in ascents:
            assert not flipped(IDEAL, x, ascent(IDEAL, x, 0.4, key=KEY))


def test_ascent_that_keeps_the_label_finds_what_the_blind_one_oversteps():
    """A bias of 0.04: the least norm is 0.26/√2, and at 0.3/√2 the label is gone; a norm of 0.4 is far beyond both."""
    spoilt, x = IDEAL._replace(b=jnp.asarray([0.0, 0.04, 0.0])), jnp.asarray([0.6, 0.3, 0.0])
    blind, kept = (margin_pgd(spoilt, x, 0.4, key=KEY, step=0.04, keep_label=keep) for keep in (False, True))
    assert not flipped(spoilt, x, blind)
    assert flipped(spoilt, x, kept)
    assert least_flip(spoilt, x) == pytest.approx(0.26 / np.sqrt(2), rel=1e-5)
    assert least_flip(IDEAL, x) == pytest.approx(0.3 / np.sqrt(2), rel=1e-5)


@pytest.mark.parametrize("lead", [1, 200])
@pytest.mark.parametrize(("ascent", "expected"), [("cross-entropy", [-2, 1, 1]), ("margin", [-1, 1, 0])])
def test_the_cross_entropy_pushes_all_rivals_and_the_margin_one(ascent, expected, lead):
    """Of two rivals almost alike, by one step so long that only the slope at x is left; also where exp(-lead) is 0."""
    model, x, radius = IDEAL._replace(W=lead * IDEAL.W), jnp.asarray([1.0, 1e-3 / lead, 0.0]), 4e-4 / lead
    delta = margin_pgd(model, x, radius, key=KEY, ascent=ascent, n_steps=1, step=1e3)
    np.testing.assert_allclose(delta / radius, np.array(expected) / np.linalg.norm(expected), atol=3e-3)


@pytest.mark.parametrize("options", [{}, {"keep_label": True, "ascent": "cross-entropy"}])
def test_attacked_inputs_stay_at_zero_or_above_where_asked(options):
    x, below = jnp.asarray([0.5, 0.3, 0.0]), []
    for seed in range(6):
        model = random_classifier(seed, m=3, n=3)
        delta = margin_pgd(model, x, 0.5, key=KEY, nonnegative=True, **options)
        assert float((x + delta).min()) >= -1e-7
        assert float(jnp.linalg.norm(delta)) <= 0.5 * (1 + 1e-6)
        below.append(float((x + margin_pgd(model, x, 0.5, key=KEY)).min()) < -0.01)
    assert any(below)


@pytest.mark.parametrize(("class_size", "nonnegative"), [(1, False), (2, False), (1, True)])
def test_least_flip_solves_the_quadratic_programme(class_size, nonnegative):
    tested = 0
    for seed in range(30):
        model, x = random_classifier(seed, n=6), inputs(seed + 20, 1, n=6)[0]
        options = {"class_size": class_size}
        k, found = int(label(x, **options)), least_flip(model, x, nonnegative=nonnegative, **options)
        if k < 0 or int(logits(model, x, **options).argmax()) != k:
            assert found == (np.inf if k < 0 else 0)
            continue
        W, b, R = (np.asarray(a, np.float64) for a in model)
        classes = np.repeat(np.eye(6 // class_size), class_size, axis=1)
        at, A = np.asarray(x, np.float64), classes @ R.T @ W
        z, e, best = A @ at + classes @ b, classes @ at, np.inf
        for j in set(range(len(z))) - {k}:
            rows = np.vstack([A[j] - A[k], classes[k] - np.delete(classes, k, axis=0)])
            low = np.append(z[k] - z[j], -(e[k] - np.delete(e, k)))
            if nonnegative:
                rows, low = np.vstack([rows, np.eye(6)]), np.append(low, -at)
            solved = minimize(
                lambda d: d @ d / 2,
                np.zeros(6),
                jac=lambda d: d,
                constraints=LinearConstraint(rows, low),
                method="SLSQP",
            )
            if (rows @ solved.x > low - 1e-6).all():
                best = min(best, np.linalg.norm(solved.x))
        tested += 1
        assert found == pytest.approx(best, rel=1e-4)
    assert tested > 4


def test_least_flip_is_below_what_an_attack_needs_and_is_the_closed_form_where_the_label_is_far():
    far = 0
    for seed in range(40):
        model, x = random_classifier(seed), inputs(seed + 70, 1)[0]
        pushes, leads = (np.asarray(a, np.float64) for a in rivals(model, x))
        if leads.max() >= 0 or np.isneginf(leads).all():
            continue
        lengths = np.linalg.norm(pushes, axis=1)
        bound = min(-leads[j] / lengths[j] for j in range(5) if lengths[j] > 0)
        first, second = np.sort(np.asarray(x))[::-1][:2]
        found = least_flip(model, x)
        assert found >= bound * (1 - 1e-6)
        if bound < (first - second) / np.sqrt(2):
            far += 1
            assert found == pytest.approx(bound, rel=1e-5)
            assert not flipped(model, x, pairwise(model, x, 0.98 * bound))
            assert flipped(model, x, pairwise(model, x, min(1.02 * bound, (first - second) / np.sqrt(2))))
    assert far > 3


def test_inputs_without_a_label_and_models_without_a_rival_are_left_alone():
    dead = jax.tree.map(jnp.zeros_like, IDEAL)
    for attack in (pairwise, partial(margin_pgd, key=KEY)):
        assert not np.asarray(attack(IDEAL, jnp.zeros(3), 0.3)).any()
        assert not np.asarray(attack(dead, X, 0.3)).any()
    assert least_flip(TURNED, jnp.zeros(3)) == np.inf


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: margin_pgd(TURNED, X, 0.1, key=KEY, ascent="loss"),
            ValueError,
            'ascent must be "margin" or "cross-entropy", got \'loss\'; it is what the gradient is of',
        ),
        (
            lambda: margin_pgd(TURNED, X, 0.1, key=KEY, step=0),
            ValueError,
            "step must be above 0 and finite in single precision, got 0; it is a part of the norm, such as 0.25",
        ),
        (
            lambda: pairwise(TURNED, X, 0.1, class_size=2),
            ValueError,
            "class_size must divide the number of features 3, got 2; classes are of equal size",
        ),
        (
            lambda: flipped(TURNED, X, jnp.zeros(2)),
            ValueError,
            "delta must have shape (3), got (2,); it is added to x; jax.vmap over this function takes more",
        ),
        (
            lambda: jax.jit(least_flip)(TURNED, X),
            TypeError,
            "W must be known, got a call inside of jax.jit, jax.vmap or jax.grad; this function runs on the host, so "
            "call it once per value",
        ),
    ],
)
def test_what_cannot_be_taken(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_one_sample_is_taken_at_a_time():
    pair = jnp.stack([X, X[::-1]])
    for call in (lambda: flipped(TURNED, pair, 0.1 * pair), lambda: rivals(TURNED, pair), lambda: least_flip(None, X)):
        with pytest.raises((ValueError, TypeError), match=r"jax\.vmap takes more samples|Params"):
            call()
    each = jax.vmap(partial(flipped, TURNED))(pair, 0.1 * pair)
    assert each.tolist() == [bool(flipped(TURNED, x, 0.1 * x)) for x in pair]


def test_a_model_that_diverged_is_refused_and_gives_nan_where_it_is_traced():
    for name in ("W", "b", "R"):
        broken = TURNED._replace(**{name: TURNED._asdict()[name] * jnp.nan})
        for attack in (pairwise, partial(margin_pgd, key=KEY)):
            with pytest.raises(ValueError, match=f"{name} must be finite"):
                attack(broken, X, 0.2)
            assert jnp.isnan(jax.jit(attack)(broken, X, 0.2)).all()
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            least_flip(broken, X)


@pytest.mark.parametrize("name", ["keep_label", "nonnegative"])
def test_choices_are_true_or_false(name):
    with pytest.raises(TypeError, match=f"^{name} must be True or False, got 'no'"):
        margin_pgd(TURNED, X, 0.2, key=KEY, **{name: "no"})


def test_an_ascent_starts_in_the_ball_and_takes_steps_in_units_of_the_norm():
    """One step from one start: one of no length to speak of leaves it there; one of a tenth is a tenth of the norm."""
    radius, keys = 0.5, jax.random.split(KEY, 400)

    @jax.jit
    def climb(step):
        return jax.vmap(lambda key: margin_pgd(IDEAL, X, radius, key=key, step=step, n_steps=1, restarts=1))(keys)

    start, moved = (np.asarray(climb(step), np.float64) for step in (1e-6, 0.1))
    told = start.any(1) & moved.any(1)  # a start that does no harm is not
    lengths = np.linalg.norm(start, axis=1)[told] / radius
    assert 0.3 < told.mean() < 0.7
    assert lengths.max() <= 1 + 1e-5
    np.testing.assert_allclose(np.quantile(lengths, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.1)
    inside = np.linalg.norm(moved, axis=1)[told] < 0.999 * radius
    steps = np.linalg.norm(moved - start, axis=1)[told][inside]
    np.testing.assert_allclose(steps, 0.1 * radius, rtol=1e-3)
