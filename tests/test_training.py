"""Training against an independent NumPy loop; snapshots, ensembles, attacks, divergence, files, checks."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tqdm import tqdm

from toylib import attacks, progress, training
from toylib.features import Correlated
from toylib.model import Params, init, loss
from toylib.training import Diverged, Interrupted, Run, train, train_ensemble

F = Correlated(2, 3)
N_STEPS, BATCH = 200, 64
KEY = jax.random.key(0)
IMPORTANCE = np.array([1.0, 0.5, 2.0, 1.5, 0.8, 0.2])
SHIFT = np.array([0.3, -0.2, 0.5, 0.0, 0.1, -0.4])
TRACED = []


def shift(params, x, radius, *, key):
    """Move every sample by the same vector, and note each trace."""
    TRACED.append(1)
    return radius * jnp.asarray(SHIFT, jnp.float32)


@lru_cache
def trained(S=0.7, seed=0, **options):
    """Train with small batches, once for each set of options."""
    options = {"n_hidden": 3, "n_steps": N_STEPS, "batch_size": BATCH, "snapshots": (0, 1, 50, N_STEPS)} | options
    return train(F, S, key=jax.random.key(seed), **options)


@lru_cache
def fresh_batches(S, seed, ensemble=False):
    """Return the batches that the docstring of `train` promises."""
    data_key = jax.random.key(seed) if ensemble else jax.random.split(jax.random.key(seed), 3)[1]
    draw = jax.jit(jax.vmap(lambda t: F.sample(S, BATCH, key=jax.random.fold_in(data_key, t))))
    return np.asarray(draw(np.arange(N_STEPS)), np.float64)


def numpy_adam(rate, b1=0.9, b2=0.999, eps=1e-8):
    """Kingma and Ba 2014, algorithm 1."""
    m = v = 0.0
    t = 0

    def step(gradient):
        nonlocal m, v, t
        t += 1
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * gradient**2
        return -rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


def numpy_sgd(rate):
    return lambda gradient: -rate * gradient


def numpy_gradient(W, b, seen, x, weights, importance, linear):
    """Return the gradient of Σ_k weight_k Σ_i importance_i (x'_i(seen_k) - x_ki)², by hand."""
    z = seen @ W.T @ W + b
    out = z if linear else np.maximum(z, 0)
    g = 2 * weights[:, None] * importance * (out - x) * (1 if linear else z > 0)
    return W @ (seen.T @ g + g.T @ seen), g.sum(0)


def numpy_train(
    start, batches, step_W, step_b, *, weights=None, importance=None, linear=False, delta=0.0, mix=1.0, n_steps=N_STEPS
):
    """Return W and b after n_steps, in double precision; delta is one attack for all steps, or one for each."""
    deltas = np.broadcast_to(delta, (n_steps, 6))
    W, b = (np.asarray(a, np.float64) for a in start)
    importance = np.ones(6) if importance is None else importance
    for t in range(n_steps):
        x = batches[t % len(batches)]
        w = np.full(len(x), 1 / len(x)) if weights is None else weights
        gW, gb = numpy_gradient(W, b, x + deltas[t], x, w, importance, linear)
        if mix < 1:
            clean_W, clean_b = numpy_gradient(W, b, x, x, w, importance, linear)
            gW, gb = mix * gW + (1 - mix) * clean_W, mix * gb + (1 - mix) * clean_b
        W, b = W + step_W(gW), b + step_b(gb)
    return W, b


def assert_close(params, expected, rtol=1e-4):
    for found, exact in zip(params, expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=rtol, atol=rtol * abs(exact).max())


# The arithmetic of training

CASES = {
    "fresh, adam": ({}, (numpy_adam, 0.01)),
    "fresh, linear, sgd, importance": ({"linear": True, "importance": True}, (numpy_sgd, 0.1)),
    "population, adam": ({"population": True}, (numpy_adam, 0.01)),
    "population, linear, adam, importance": (
        {"population": True, "linear": True, "importance": True},
        (numpy_adam, 0.01),
    ),
}
OPTAX = {numpy_adam: optax.adam, numpy_sgd: optax.sgd}


@pytest.mark.parametrize("case", CASES)
def test_training_equals_an_independent_numpy_loop(case):
    options, (rule, rate) = CASES[case]
    importance = IMPORTANCE if options.get("importance") else None
    extra = {"importance": tuple(IMPORTANCE)} if options.get("importance") else {}
    S, scale = 0.7, 0.1
    run = trained(S, **(options | extra), optimizer=OPTAX[rule](rate), scale=scale)
    start = init(6, 3, key=jax.random.split(KEY, 3)[0], scale=scale)
    np.testing.assert_allclose(run.weights[0], start.W, rtol=1e-6)
    batches, weights = fresh_batches(S, 0), None
    if options.get("population"):
        nodes, weights = (np.asarray(a, np.float64) for a in F.population(S))
        batches = nodes[None]
    linear = options.get("linear", False)
    expected = numpy_train(
        start, batches, rule(rate), rule(rate), weights=weights, importance=importance, linear=linear
    )
    assert abs(expected[0] - np.asarray(start.W)).max() > 0.2
    assert_close(run.params, expected)
    nodes, weights = F.population(S)
    kwargs = {"weights": weights, "linear": linear}
    kwargs["importance"] = None if importance is None else jnp.asarray(importance, jnp.float32)
    for t in range(len(run.steps)):
        at = Params(jnp.asarray(run.weights[t]), jnp.asarray(run.biases[t]))
        assert float(run.losses[t]) == pytest.approx(float(loss(at, nodes, **kwargs)), rel=1e-5)
    assert np.array_equal(run.weights[-1], run.params.W)
    assert np.array_equal(run.biases[-1], run.params.b)


@pytest.mark.parametrize(("radius", "mix"), [(0.3, 1.0), (0.3, 0.5), (0.2, 0.0)])
def test_attacked_training_equals_the_numpy_loop(radius, mix):
    run = trained(perturb=shift, radius=radius, mix=mix, optimizer=optax.adam(0.01), scale=0.1)
    start = init(6, 3, key=jax.random.split(KEY, 3)[0], scale=0.1)
    rules = numpy_adam(0.01), numpy_adam(0.01)
    expected = numpy_train(start, fresh_batches(0.7, 0), *rules, delta=radius * SHIFT, mix=mix)
    assert_close(run.params, expected)
    if mix:
        plain = trained(optimizer=optax.adam(0.01), scale=0.1)
        assert abs(plain.params.W - run.params.W).max() > 0.01
    nodes, weights = F.population(0.7)
    assert float(run.losses[-1]) == pytest.approx(float(loss(run.params, nodes, weights=weights)), rel=1e-5)


def nothing(params, x, radius, *, key):
    return 0 * x


@pytest.mark.parametrize("mix", [1.0, 0.5])
def test_an_attack_that_does_nothing_changes_nothing(mix):
    """The attacked program, on clean samples, agrees with the plain one to rounding over 500 steps."""
    options = {"n_steps": 500, "snapshots": (0, 500), "scale": 0.1}
    attacked, plain = trained(perturb=nothing, radius=0.3, mix=mix, **options), trained(**options)
    np.testing.assert_allclose(attacked.params.W, plain.params.W, rtol=0, atol=1e-6)
    np.testing.assert_allclose(attacked.params.b, plain.params.b, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "attack",
    [
        shift,
        attacks.random_feature,
        partial(attacks.random_feature, signs="±"),
        attacks.one_step,
        attacks.random_direction,
        partial(attacks.latent, n_steps=2, restarts=1, starts=("random",)),
    ],
)
def test_a_radius_of_zero_is_plain_training_bitwise(attack):
    plain = trained(n_steps=100, snapshots=(0, 100))
    for changes in ({"radius": 0.0}, {"radius": 0.0, "mix": 0.5}, {"radius": 0.3, "mix": 0.0}):
        attacked = trained(n_steps=100, snapshots=(0, 100), perturb=attack, **changes)
        assert np.array_equal(attacked.params.W, plain.params.W)
        assert np.array_equal(attacked.params.b, plain.params.b)
        assert np.array_equal(attacked.losses, plain.losses)


def test_the_ramp_raises_the_radius_linearly():
    """Step t attacks with radius·min(1, (t + 1)/ramp): the NumPy loop with a shift that grows so."""
    run = trained(perturb=shift, radius=0.3, ramp=150, optimizer=optax.adam(0.01), scale=0.1)
    start = init(6, 3, key=jax.random.split(KEY, 3)[0], scale=0.1)
    deltas = [0.3 * min(1, (t + 1) / 150) * SHIFT for t in range(N_STEPS)]
    expected = numpy_train(start, fresh_batches(0.7, 0), numpy_adam(0.01), numpy_adam(0.01), delta=deltas)
    assert_close(run.params, expected)
    steady = trained(perturb=shift, radius=0.3, optimizer=optax.adam(0.01), scale=0.1)
    assert abs(steady.params.W - run.params.W).max() > 1e-3


def test_training_goes_on_from_a_model():
    start = Params(jnp.asarray(IMPORTANCE[None] * np.eye(3, 6), jnp.float32), jnp.asarray(SHIFT, jnp.float32))
    run = train(F, 0.7, n_hidden=3, n_steps=N_STEPS, key=KEY, start=start, batch_size=BATCH, optimizer=optax.adam(0.01))
    assert np.array_equal(run.weights[0], start.W)
    assert np.array_equal(run.biases[0], start.b)
    assert_close(run.params, numpy_train(start, fresh_batches(0.7, 0), numpy_adam(0.01), numpy_adam(0.01)))


@pytest.mark.parametrize("radius", [0.2, np.array([0.1, 0.3])])
def test_ensembles_go_on_from_their_models(radius):
    options = {"n_hidden": 3, "n_steps": 5, "data_key": KEY, "perturb": shift, "batch_size": BATCH}
    first = train_ensemble(F, np.array([0.5, 0.7]), KEYS, radius=radius, **options)
    again = train_ensemble(F, np.array([0.5, 0.7]), KEYS, radius=radius, start=first.params, **options)
    assert again.weights.shape == first.weights.shape
    np.testing.assert_array_equal(np.take(again.weights, 0, axis=-3), first.params.W)
    assert abs(again.params.W - first.params.W).max() > 1e-3


def test_schedules_work():
    schedule = optax.linear_schedule(0.2, 0.0, N_STEPS)
    run = trained(linear=True, importance=tuple(IMPORTANCE), optimizer=optax.sgd(schedule), scale=0.1)
    start = init(6, 3, key=jax.random.split(KEY, 3)[0], scale=0.1)

    def rule():
        rates = iter(0.2 * (1 - np.arange(N_STEPS) / N_STEPS))
        return lambda gradient: -next(rates) * gradient

    expected = numpy_train(start, fresh_batches(0.7, 0), rule(), rule(), importance=IMPORTANCE, linear=True)
    assert_close(run.params, expected)


# Snapshots


def test_snapshots_do_not_change_training():
    full, asked = trained(), trained(snapshots=(3, 50))
    default = trained(snapshots=None)
    assert asked.steps.tolist() == [3, 50]
    assert np.array_equal(asked.weights[1], full.weights[2])
    for run in (asked, default):
        assert np.array_equal(run.params.W, full.params.W)
        assert np.array_equal(run.params.b, full.params.b)
    assert np.array_equal(default.weights[default.steps == 50], full.weights[2:3])
    assert np.array_equal(default.losses[[0, -1]], full.losses[[0, -1]])


def test_default_snapshots_are_logarithmic():
    steps = trained(snapshots=None).steps
    assert steps[0] == 0
    assert steps[-1] == N_STEPS
    assert (np.diff(steps) > 0).all()
    assert steps[1:20].tolist() == list(range(1, 20))
    log = training.snapshot_steps(None, 10_000)
    assert 150 < len(log) <= 201
    late = np.diff(np.log(log[log > 200]))
    assert late.std() < 0.05 * late.mean()


def test_shapes_of_a_run():
    run = trained()
    assert run.losses.shape == (4,)
    assert run.weights.shape == (4, 3, 6)
    assert run.biases.shape == (4, 6)
    assert run.diverged.shape == ()
    assert not run.diverged
    assert run.params.W.shape == (3, 6)


def test_same_key_same_result():
    again = train(F, 0.7, key=KEY, n_hidden=3, n_steps=N_STEPS, batch_size=BATCH, snapshots=(0, 1, 50, N_STEPS))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(trained()), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(trained(seed=1).params.W, again.params.W)


# Ensembles

KEYS = jax.random.split(jax.random.key(7), 3)
ENSEMBLE = {"n_hidden": 3, "n_steps": N_STEPS, "snapshots": (0, 50, N_STEPS), "scale": 0.1}


@lru_cache
def attacked_ensemble(Ss=(0.7, 0.9), radii=(0.0, 0.3)):
    return train_ensemble(
        F,
        np.array(Ss),
        KEYS,
        data_key=jax.random.key(9),
        perturb=shift,
        radius=np.array(radii),
        batch_size=BATCH,
        optimizer=optax.adam(0.01),
        **ENSEMBLE,
    )


def test_members_equal_single_models():
    Ss = np.array([0.7, 0.9])
    run = train_ensemble(F, Ss, KEYS, population=True, optimizer=optax.adam(0.01), batch_size=BATCH, **ENSEMBLE)
    assert run.losses.shape == (2, 3, 3)
    assert run.weights.shape == (2, 3, 3, 3, 6)
    assert run.biases.shape == (2, 3, 3, 6)
    assert run.diverged.shape == (2, 3)
    assert run.params.W.shape == (2, 3, 3, 6)
    for a, c in ((0, 0), (1, 2)):
        single = train(F, Ss[a], key=KEYS[c], population=True, optimizer=optax.adam(0.01), batch_size=BATCH, **ENSEMBLE)
        member = run.member(a, c)
        np.testing.assert_allclose(member.weights, single.weights, rtol=1e-3, atol=2e-5)
        np.testing.assert_allclose(member.losses, single.losses, rtol=1e-4)


def test_members_share_one_stream_and_equal_the_numpy_loop():
    run = attacked_ensemble()
    assert run.losses.shape == (2, 2, 3, 3)
    assert run.weights.shape == (2, 2, 3, 3, 3, 6)
    for a, r, c in ((0, 0, 0), (1, 1, 2)):
        start = init(6, 3, key=jax.random.split(KEYS[c], 3)[0], scale=0.1)
        batches = fresh_batches((0.7, 0.9)[a], 9, ensemble=True)
        expected = numpy_train(start, batches, numpy_adam(0.01), numpy_adam(0.01), delta=(0.0, 0.3)[r] * SHIFT)
        assert_close((run.params.W[a, r, c], run.params.b[a, r, c]), expected)
    twins = attacked_ensemble((0.7, 0.7), (0.3, 0.3))
    assert np.array_equal(twins.weights[0, 0], twins.weights[1, 1])
    np.testing.assert_allclose(twins.weights[0, 0], run.weights[0, 1], rtol=1e-3, atol=2e-5)


def test_a_diverging_member_is_masked_and_the_others_go_on():
    healthy, sick = attacked_ensemble(), attacked_ensemble(radii=(0.0, 1e30))
    assert not healthy.diverged.any()
    assert sick.diverged.tolist() == [[[False] * 3, [True] * 3]] * 2
    assert np.array_equal(sick.weights[:, 0], healthy.weights[:, 0])
    assert np.array_equal(sick.losses[:, 0], healthy.losses[:, 0])
    assert np.isfinite(sick.losses[:, 1, :, 0]).all()
    assert np.isnan(sick.losses[:, 1, :, 1:]).all()


# One compilation


def test_single_models_compile_once(compiled):
    first = trained(perturb=shift, radius=0.3, optimizer=optax.adam(0.01), scale=0.1)
    options = {"n_hidden": 3, "n_steps": N_STEPS, "batch_size": BATCH, "perturb": shift}
    for radius in (0.1, 0.0):  # no norm is plain training, one more program
        train(F, 0.6, key=KEY, radius=radius, mix=0.3, optimizer=optax.adam(1e-3), scale=0.2, **options)
    traces = len(TRACED)
    compiled.clear()
    for i in range(3):
        run = train(
            F,
            0.5 + 0.1 * i,
            key=jax.random.key(i),
            radius=0.1 * i,
            mix=0.5 * i,
            optimizer=optax.adam(0.01 * (i + 1)),
            scale=0.05 * i,
            **options,
        )
        assert np.abs(np.asarray(run.params.W) - np.asarray(first.params.W)).max() > 1e-3
    assert len(TRACED) == traces
    assert compiled == []


def test_ensembles_compile_once(compiled):
    attacked_ensemble()
    options = {"data_key": jax.random.key(1), "perturb": shift, "batch_size": BATCH, "n_hidden": 3, "n_steps": 20}
    radii = np.array([0.1, 0.2])
    train_ensemble(F, np.array([0.1, 0.2]), KEYS, radius=radii, mix=0.5, ramp=5, **options)
    traces = len(TRACED)
    compiled.clear()
    keys = (jax.random.split(jax.random.key(i), 3) for i in range(1))
    for i, other in enumerate(keys):
        Ss = np.array([0.5, 0.6 + 0.1 * i])
        rate = optax.adam(0.01 * (i + 1))
        train_ensemble(F, Ss, other, radius=radii * (i + 3), mix=0.7, ramp=i, scale=0.3, optimizer=rate, **options)
    assert len(TRACED) == traces
    assert compiled == []


# Divergence and interruption


def test_divergence_raises_with_step_loss_and_rate():
    options = {"linear": True, "importance": tuple(IMPORTANCE), "scale": 0.1}
    with pytest.raises(Diverged, match=r"got loss (nan|inf) by step \d+ at learning rate 1e\+06; lower the") as caught:
        trained(optimizer=optax.sgd(1e6), **options)
    run = caught.value.run
    assert run.diverged
    assert np.isfinite(run.losses[0])
    assert np.isfinite(run.weights[0]).all()
    assert np.isnan(run.losses[-1])
    assert len(run.steps) == len(run.losses) == len(run.weights)
    assert isinstance(caught.value, ArithmeticError)


def interrupt_at(monkeypatch, step):
    advance = training.advance

    def interrupted(setting, inputs, state, start, stop):
        if stop > step:
            raise KeyboardInterrupt
        return advance(setting, inputs, state, start, stop)

    monkeypatch.setattr(training, "advance", interrupted)


STEPS = (0, 5, 10, 20, 40, N_STEPS)


def test_interruption_keeps_what_was_done(monkeypatch):
    whole = trained(snapshots=STEPS)
    interrupt_at(monkeypatch, 20)
    with pytest.raises(Interrupted, match=r"interrupted after step 20; the partial result is in .run") as caught:
        trained.__wrapped__(snapshots=STEPS)
    run = caught.value.run
    assert isinstance(caught.value, KeyboardInterrupt)
    assert run.steps.tolist() == [0, 5, 10, 20]
    assert np.array_equal(run.weights, whole.weights[:4])
    assert np.array_equal(run.biases, whole.biases[:4])
    assert np.array_equal(run.losses, whole.losses[:4])
    assert np.array_equal(run.params.W, whole.weights[3])


@pytest.mark.parametrize(("snapshots", "step"), [((0, N_STEPS), -1), ((100, N_STEPS), 50)])
def test_interruption_before_the_first_snapshot(monkeypatch, snapshots, step):
    interrupt_at(monkeypatch, step)
    with pytest.raises(Interrupted):
        trained.__wrapped__(snapshots=snapshots)


# Files


def test_a_saved_run_comes_back_bitwise(tmp_path):
    for i, run in enumerate((trained(), attacked_ensemble(radii=(0.0, 1e30)))):
        path = tmp_path / f"run{i}.npz"
        run.save(path)
        back = Run.load(str(path))
        assert isinstance(back, Run)
        assert isinstance(back.params, Params)
        for a, b in zip(jax.tree.leaves(run), jax.tree.leaves(back), strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype
            assert np.array_equal(a, b, equal_nan=np.issubdtype(np.asarray(a).dtype, np.floating))
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run0.npz", "run1.npz"]


def test_a_bad_file_is_named(tmp_path):
    path = tmp_path / "run.npz"
    trained().save(path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes(b ^ 255 for b in whole[middle : middle + 40]) + whole[middle + 40 :]
    for content in (b"", b"not a run", whole[:middle], whole[:-10], damaged):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run.npz must be a file written by Run.save, got .*; train again"):
            Run.load(path)
    np.savez(path, W=np.zeros(3))
    with pytest.raises(ValueError, match=r"run.npz must be a file written by Run.save"):
        Run.load(path)
    fields = {name: np.array([print], object) for name in ("W", "b", *Run._fields[1:])}
    np.savez(path, **fields)
    with pytest.raises(ValueError, match=r"run.npz must be a file written by Run.save"):
        Run.load(path)
    with pytest.raises(FileNotFoundError, match=r"nothing.npz"):
        Run.load(tmp_path / "nothing.npz")


def test_a_crash_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    trained().save(path)
    whole = path.read_bytes()

    def crash(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", crash)
    with pytest.raises(OSError, match="disk full"):
        trained(seed=1).save(path)
    assert path.read_bytes() == whole
    assert np.array_equal(Run.load(path).weights, trained().weights)


# Progress


class Recorder(tqdm):
    """A bar that is drawn whatever the environment says, and that keeps its texts."""

    shown: list[str]

    def set_postfix_str(self, s="", refresh=True):
        if not self.disable:
            Recorder.shown.append(s)
        super().set_postfix_str(s, refresh)


def test_progress_shows_the_loss_and_false_hides_it(monkeypatch, capsys):
    Recorder.shown = []
    monkeypatch.setattr(progress, "tqdm", Recorder)
    hidden = trained.__wrapped__(progress=False)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""
    assert Recorder.shown == []
    shown = trained.__wrapped__(progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{N_STEPS} [" in captured.err
    assert "step" in captured.err
    assert f"loss {hidden.losses[-1]:.3g}" in Recorder.shown
    assert np.array_equal(hidden.params.W, shown.params.W)
    trained.__wrapped__()
    assert capsys.readouterr().err.strip("\r ") == ""  # nothing within the first second


# Bad input

OLD_KEY = np.array([0, 1], np.uint32)
BOTH = [
    ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0; pass a larger number"),
    ({"n_steps": 10.0}, TypeError, "n_steps must be an integer, got 10.0"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"n_hidden": 0}, ValueError, "n_hidden must be at least 1, got 0"),
    ({"n_hidden": True}, TypeError, "n_hidden must be an integer, got True"),
    ({"scale": -1.0}, ValueError, r"scale must lie in \[0, inf\), got -1.0"),
    ({"scale": np.nan}, ValueError, r"scale must lie in \[0, inf\), got nan"),
    ({"snapshots": [5, 3]}, ValueError, r"snapshots must increase within \[0, 10\], got \[5, 3\]; sort them"),
    ({"snapshots": [3, 3]}, ValueError, r"snapshots must increase within \[0, 10\].*drop repeats"),
    ({"snapshots": [0, 11]}, ValueError, r"snapshots must increase within \[0, 10\], got \[0, 11\]"),
    ({"snapshots": [-1, 5]}, ValueError, r"snapshots must increase within \[0, 10\], got \[-1, 5\]"),
    ({"snapshots": [0.0, 5.0]}, TypeError, r"snapshots must be a sequence of integers, got \[0.0, 5.0\]; try range"),
    ({"snapshots": []}, TypeError, r"snapshots must be a sequence of integers, got \[\]; try range"),
    ({"snapshots": 5}, TypeError, "snapshots must be a sequence of integers, got 5; try range"),
    ({"radius": 0.1}, ValueError, "radius must be 0 without an attack, got 0.1; pass perturb as well"),
    ({"radius": -0.1, "perturb": shift}, ValueError, r"radius must lie in \[0, inf\), got -0.1"),
    ({"radius": np.nan, "perturb": shift}, ValueError, r"radius must lie in \[0, inf\), got nan"),
    ({"mix": 1.5, "perturb": shift}, ValueError, r"mix must lie in \[0, 1.*\), got 1.5"),
    ({"ramp": -1, "perturb": shift}, ValueError, "ramp must be at least 0, got -1"),
    ({"ramp": 0.5, "perturb": shift}, TypeError, "ramp must be an integer, got 0.5"),
    (
        {"start": Params(jnp.ones((2, 6)), jnp.ones(6))},
        ValueError,
        r"W of start must have shape \(.*3, 6\), got \(2, 6\)",
    ),
    ({"mix": -0.5, "perturb": shift}, ValueError, r"mix must lie in \[0, 1.*\), got -0.5"),
    ({"importance": np.ones(5)}, ValueError, r"importance must have shape \(6\), got \(5,\)"),
    ({"features": 6}, TypeError, "features must be a distribution of toylib.features, got 6; try"),
    ({"optimizer": 1e-3}, TypeError, "optimizer must be an optax GradientTransformation, got 0.001; try optax.adam"),
]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        *BOTH,
        ({"S": 1}, ValueError, r"S must lie in \[0, 1\), got 1: every input would be zero; pass a smaller S"),
        ({"S": -0.1}, ValueError, r"S must lie in \[0, 1\), got -0.1; pass a finite value"),
        ({"S": np.nan}, ValueError, r"S must lie in \[0, 1\), got nan; pass a finite value"),
        ({"S": "0.9"}, TypeError, "S must be a real number, got '0.9'; pass a float"),
        ({"S": np.array([0.5])}, ValueError, r"S must be a scalar, got shape \(1,\); use jax.vmap or train_ensemble"),
        ({"start": Params(jnp.full((3, 6), jnp.nan), jnp.ones(6))}, ValueError, "W of start must be finite, got NaN"),
        ({"start": Params(jnp.ones((3, 6)), jnp.ones(5))}, ValueError, r"b of start must have shape \(6\), got \(5,\)"),
        ({"key": OLD_KEY}, TypeError, "key must come from jax.random.key, got an array of uint32; old-style PRNGKey"),
        ({"key": 3}, TypeError, "key must come from jax.random.key, got 3"),
        ({"key": KEYS}, ValueError, r"key must have rank 0, got shape \(3,\); pass one key, or use train_ensemble"),
        ({"radius": np.array([0.1]), "perturb": shift}, ValueError, r"radius must be a scalar, got shape \(1,\)"),
    ],
)
def test_train_checks_its_arguments(change, error, message):
    arguments = {"features": F, "S": 0.9, "n_hidden": 3, "n_steps": 10, "key": KEY} | change
    with pytest.raises(error, match=message):
        train(arguments.pop("features"), arguments.pop("S"), **arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        *BOTH,
        ({"Ss": 0.9}, ValueError, r"S must be an array of rank 1, got shape \(\)"),
        ({"Ss": np.array([0.5, 1.0])}, ValueError, r"S must lie in \[0, 1\), got 1: every input would be zero"),
        ({"Ss": np.array([0.5, np.nan])}, ValueError, r"S must lie in \[0, 1\), got nan"),
        ({"Ss": np.array([])}, ValueError, "the length of Ss must be at least 1, got 0"),
        ({"keys": KEY}, ValueError, r"keys must have rank 1, got shape \(\); pass jax.random.split"),
        ({"keys": OLD_KEY}, TypeError, "keys must come from jax.random.key, got an array of uint32; old-style"),
        ({"keys": KEYS[:0]}, ValueError, "the length of keys must be at least 1, got 0"),
        ({"data_key": None}, ValueError, "data_key must be given unless population=True, got None; pass jax.random"),
        ({"data_key": 5}, TypeError, "data_key must come from jax.random.key, got 5"),
        ({"data_key": KEYS}, ValueError, r"data_key must have rank 0, got shape \(3,\)"),
        ({"radius": np.zeros((2, 2)), "perturb": shift}, ValueError, r"radius must be an array of rank 1, got shape"),
    ],
)
def test_train_ensemble_checks_its_arguments(change, error, message):
    arguments = {"features": F, "Ss": np.array([0.9]), "keys": KEYS, "data_key": KEY, "n_hidden": 3, "n_steps": 10}
    arguments |= change
    with pytest.raises(error, match=message):
        train_ensemble(arguments.pop("features"), arguments.pop("Ss"), arguments.pop("keys"), **arguments)
