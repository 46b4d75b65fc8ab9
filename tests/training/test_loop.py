"""The loop: snapshots, runs cut in two and gone on with, interruption, divergence, the progress bar."""

import copy
import pickle
import re
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from loops import (
    BATCH,
    IMPORTANCE,
    KEY,
    KEYS,
    N_STEPS,
    SHIFT,
    F,
    assert_close,
    drawn,
    fresh_batches,
    numpy_adam,
    numpy_train,
    shift,
    trained,
)
from tqdm import tqdm

from toylib import _progress as progress
from toylib import attacks
from toylib.features import Correlated
from toylib.model import Params, loss
from toylib.training import Diverged, Interrupted, State, _loop, _parts, states, train, train_ensemble
from toylib.training._run import summary

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


def test_same_key_same_result():
    again = train(F, 0.7, key=KEY, n_hidden=3, n_steps=N_STEPS, batch_size=BATCH, snapshots=(0, 1, 50, N_STEPS))
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(trained()), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(trained(seed=1).params.W, again.params.W)


# Piece by piece

MOMENTUM = partial(optax.sgd, momentum=0.9)
OPTIONS = {"n_hidden": 3, "key": KEY, "batch_size": BATCH, "scale": 0.3}
CUT, END = 13, 41
KINDS = {
    "fresh": {"optimizer": MOMENTUM, "learning_rate": 0.03},
    "population": {"learning_rate": 0.03, "population": True},
    "attacked": {"learning_rate": 0.03, "perturb": attacks.random_feature, "radius": 0.4, "ramp": 30},
}


def last(*arguments, **options):
    """The last of the states."""
    *_, state = states(*arguments, **options)
    return state


@lru_cache
def cut(kind):
    """A run at step CUT."""
    return last(F, 0.7, n_steps=CUT, **OPTIONS | KINDS[kind])


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_cut_in_two_is_the_uninterrupted_one_bitwise(kind):
    options = OPTIONS | KINDS[kind] | {"n_steps": END}
    whole = train(F, 0.7, snapshots=(0, 7, CUT, 20, END), **options)
    assert cut(kind).step == CUT
    assert same(cut(kind).params, [whole.weights[2], whole.biases[2]])
    assert cut(kind).loss == whole.losses[2]
    rest = train(F, 0.7, start=cut(kind), snapshots=(CUT, 20, END), **options)
    assert same(rest, whole._replace(**{name: getattr(whole, name)[2:] for name in whole._fields[1:-1]}))
    end = last(F, 0.7, start=cut(kind), **options)
    assert same(end.params, whole.params)
    assert same(end, last(F, 0.7, **options))
    anew = train(F, 0.7, start=cut(kind).params, **options | {"n_steps": END - CUT})
    assert not np.array_equal(anew.params.W, whole.params.W)


def test_states_are_those_of_the_snapshots_and_some_between():
    seen = list(states(F, 0.7, n_steps=N_STEPS, snapshots=(1, 50, N_STEPS), **OPTIONS | {"scale": 0.01}))
    assert seen[0].step == 0
    assert all(isinstance(state, State) and isinstance(state.step, int) for state in seen)
    steps = [state.step for state in seen]
    assert steps == sorted(set(steps))
    assert {0, 1, 50, N_STEPS} <= set(steps)
    run = trained()
    for state in seen:
        assert state.params.W.shape == (3, 6)
        assert np.shape(state.loss) == np.shape(state.finite) == ()
        assert state.finite
        for at in np.flatnonzero(run.steps == state.step):
            assert same(state.params, [run.weights[at], run.biases[at]])
            assert state.loss == run.losses[at]


def test_other_settings_from_the_middle_on_equal_the_numpy_loop():
    """The optimizer keeps its moments and its count of steps, and the stream of data goes on."""
    start = last(F, 0.7, n_steps=CUT, learning_rate=0.01, **OPTIONS)
    options = {"n_steps": END, "perturb": shift, "radius": 0.4, "learning_rate": 0.01}
    end = last(F, 0.9, start=start, **OPTIONS | options)
    rules = numpy_adam(0.01), numpy_adam(0.01)
    middle = numpy_train(drawn(0.3), fresh_batches(0.7), *rules, steps=range(CUT))
    assert_close(start.params, middle)
    expected = numpy_train(middle, fresh_batches(0.9), *rules, delta=0.4 * SHIFT, steps=range(CUT, END))
    assert_close(end.params, expected)


def test_going_on_with_other_numbers_compiles_nothing(compiled):
    options = OPTIONS | KINDS["attacked"] | {"n_steps": END}
    steady = last(F, 0.7, start=cut("attacked"), **options)
    del compiled[:]
    for change in ({"learning_rate": 0.2}, {"radius": 0.9}, {"ramp": 3}, {"mix": 0.3}, {"n_steps": END + 5}):
        other = last(F, 0.7, start=cut("attacked"), **options | change)
        assert not np.array_equal(other.params.W, steady.params.W), change
    assert not np.array_equal(last(F, 0.85, start=cut("attacked"), **options).params.W, steady.params.W)
    assert compiled == []


def test_a_state_at_the_end_is_all_there_is():
    state = cut("population")
    only = list(states(F, 0.7, start=state, n_steps=CUT, **OPTIONS | KINDS["population"]))
    assert [s.step for s in only] == [CUT]
    assert same(only[0], state)


MODEL = "it is the model to go on from, of the same sizes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_steps": CUT - 1}, "n_steps must be at least the step of start, 13, got 12; pass a later step"),
        (
            {"snapshots": [5, END]},
            "snapshots must increase within [13, 41], got [5, 41]; sort them, and drop repeats and what is beyond",
        ),
        ({"n_hidden": 2}, f"W of start must have shape (2, 6), got (3, 6); {MODEL}"),
        ({"features": Correlated(3, 3)}, f"W of start must have shape (3, 9), got (3, 6); {MODEL}"),
    ],
)
@pytest.mark.parametrize("call", [train, states])
def test_a_state_must_fit(call, change, message):
    arguments = {"features": F, "n_steps": END, "start": cut("fresh")} | OPTIONS | KINDS["fresh"] | change
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):  # of states too, before the first state
        call(arguments.pop("features"), 0.7, **arguments)


def test_the_state_of_another_optimizer_is_refused():
    arguments = {"n_steps": END, "start": cut("fresh")} | OPTIONS
    came = jax.tree.structure(cut("fresh").opt_state)
    message = (
        f"opt_state of start must be what this optimizer keeps for this model, got {came}; pass the optimizer that "
        "made it, or start=state.params"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        states(F, 0.7, **arguments)
    assert last(F, 0.7, **arguments | {"start": cut("fresh").params}).step == END


# Divergence and interruption


def test_divergence_raises_with_step_loss_and_rate():
    options = {"linear": True, "importance": tuple(IMPORTANCE), "scale": 0.1}
    own = "the optimizer's own learning rate"
    for optimizer, rate, words in ((optax.sgd, 1e6, r"learning rate 1e\+06"), (optax.sgd(1e6), None, own)):
        message = (
            # Which of them is seen first depends on where the clock lets a piece end.
            r"^training must keep loss and parameters finite, got loss (nan|inf) and (NaN or infinity in the|finite) "
            rf"parameters by step \d+ at {words}; lower the learning rate or the init scale\. The run up to there is "
            r"in \.run$"
        )
        with pytest.raises(Diverged, match=message) as caught:
            trained(optimizer=optimizer, learning_rate=rate, **options)
        run = caught.value.run
        assert run.diverged
        assert np.isfinite(run.losses[0])
        assert np.isfinite(run.weights[0]).all()
        assert np.isnan(run.losses[-1])
        assert len(run.steps) == len(run.losses) == len(run.weights)
        assert isinstance(caught.value, ArithmeticError)


@pytest.mark.parametrize("population", [True, False])
def test_a_model_that_overflows_has_diverged_though_its_parameters_are_finite(population):
    """Entries of WᵀW are infinite, pre-activations NaN, and their gradients 0."""
    options = OPTIONS | {"n_steps": 20, "scale": 1e20, "snapshots": [0, 20], "population": population}
    message = "^training must keep loss and parameters finite, got loss nan and finite parameters by step 0 at "
    with pytest.raises(Diverged, match=message) as caught:
        train(F, 0.9, **options)
    assert np.isfinite(caught.value.run.weights).all()
    run = train_ensemble(F, [0.5, 0.9], KEYS, **{k: v for k, v in options.items() if k != "key"}, data_key=KEY)
    assert run.diverged.all()
    assert np.isnan(run.losses).all()


def test_what_is_too_large_from_the_start_is_not_blamed_on_the_learning_rate_later_either():
    begun = cut("population")
    huge = begun._replace(params=jax.tree.map(lambda leaf: leaf * 1e20, begun.params))
    rule = f"by step {CUT} at learning rate 0.03; lower the init scale, start or importance."
    with pytest.raises(Diverged, match=re.escape(rule)):
        train(F, 0.7, start=huge, n_steps=END, **OPTIONS | KINDS["population"])


def test_a_loss_that_hides_nan_does_not_hide_that_parameters_are_not_finite():
    def hides(params, x, **options):
        return jnp.nan_to_num(loss(params, x, **options), nan=0.5, posinf=0.5)

    options = {"optimizer": optax.sgd, "learning_rate": 3e38, "loss": hides, "snapshots": [0, 9], "n_steps": 9}
    message = "got loss nan and NaN or infinity in the parameters by step "
    with pytest.raises(Diverged, match=message) as caught:
        train(F, 0.7, **OPTIONS | {"linear": True, "scale": 1.0} | options)
    assert np.isnan(caught.value.run.losses[-1])


def test_states_show_that_a_run_diverges_and_go_on():
    options = {"n_steps": N_STEPS, "linear": True, "importance": IMPORTANCE, "snapshots": [0, 100]}
    options |= {"optimizer": optax.sgd, "learning_rate": 1e6}
    seen = list(states(F, 0.7, **OPTIONS | options))
    assert seen[0].finite
    assert seen[-1].step == N_STEPS
    assert not seen[-1].finite
    with pytest.raises(
        ValueError, match=r"^start must be finite, got NaN .* go on from a model that has not diverged$"
    ):
        train(F, 0.7, start=seen[-1], **OPTIONS | options)


def interrupt_at(monkeypatch, step):
    advance = _parts.advance

    def interrupted(setting, inputs, params, opt_state, start, stop):
        if stop > step:
            raise KeyboardInterrupt
        return advance(setting, inputs, params, opt_state, start, stop)

    monkeypatch.setattr(_parts, "advance", interrupted)


STEPS = (0, 5, 10, 20, 40, N_STEPS)


def test_interruption_keeps_what_was_done(monkeypatch):
    whole = trained(snapshots=STEPS)
    interrupt_at(monkeypatch, 20)
    with pytest.raises(Interrupted, match=r"^interrupted after step 20; the partial result is in \.run$") as caught:
        trained.__wrapped__(snapshots=STEPS)
    run = caught.value.run
    assert isinstance(caught.value, KeyboardInterrupt)
    assert run.steps.tolist() == [0, 5, 10, 20]
    assert np.array_equal(run.weights, whole.weights[:4])
    assert np.array_equal(run.biases, whole.biases[:4])
    assert np.array_equal(run.losses, whole.losses[:4])
    assert np.array_equal(run.params.W, whole.weights[3])


def test_interruption_before_the_first_snapshot_keeps_where_it_was(monkeypatch):
    interrupt_at(monkeypatch, 50)
    with pytest.raises(Interrupted) as caught:
        trained.__wrapped__(snapshots=(100, N_STEPS))
    run = caught.value.run
    assert len(run.steps) == 1
    assert 0 <= run.steps[0] <= 50
    assert np.array_equal(run.params.W, run.weights[0])


def made(step, finite=(True, True)):
    """A state of two members at a step, which all its numbers tell."""
    params = Params(np.full((2, 3, 6), step, np.float32), np.full((2, 6), -step, np.float32))
    return State(params, None, step, 1 / (1 + step + np.arange(2)), np.array(finite))


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        ([0], [0]),
        ([0, 2], [0, 2]),
        ([0, 2, 4], [0, 4]),  # the step between is not asked for, and not the last one
        ([0, 2, 4, 7], [0, 4, 7]),
        ([0, 2, 4, 6, 7], [0, 4, 7]),
    ],
)
def test_interruption_keeps_the_snapshots_and_the_last_step(seen, kept):
    def interrupted():
        yield from map(made, seen)
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        _loop.collect(interrupted(), np.array([0, 4, 9]), 9, False, axes=1)
    run = caught.value.run
    assert run.steps.tolist() == kept
    assert run.weights[:, :, 1, 2].tolist() == [kept] * 2
    np.testing.assert_allclose(run.losses[1], 1 / (2 + np.array(kept)))
    assert (run.params.b == -kept[-1]).all()
    assert not run.diverged.any()


def test_members_stay_diverged_and_may_diverge_after_the_last_snapshot():
    ends = {0: (True, True), 4: (False, True), 6: (True, True), 9: (True, False)}
    run = _loop.collect(iter([made(*end) for end in ends.items()]), np.array([0, 4, 6]), 9, False, axes=1)
    assert run.diverged.tolist() == [True, True]
    np.testing.assert_allclose(run.losses, [[1, np.nan, np.nan], [1 / 2, 1 / 6, 1 / 8]])
    early = _loop.collect(iter([made(0), made(9)]), np.array([0]), 9, False, axes=1)
    assert early.diverged.tolist() == [False, False]


def test_interruption_before_the_first_state_has_no_run(monkeypatch):
    interrupt_at(monkeypatch, -1)
    with pytest.raises(KeyboardInterrupt) as caught:
        trained.__wrapped__(snapshots=(0, N_STEPS))
    assert type(caught.value) is KeyboardInterrupt


# Progress


class Recorder(tqdm):
    """A bar that is drawn whatever the environment says, and that keeps its texts and where it began and ended."""

    shown: list[str]
    ends: list[tuple[int, int]]

    def set_postfix_str(self, s="", refresh=True):
        if not self.disable:
            Recorder.shown.append(s)
        super().set_postfix_str(s, refresh)

    def close(self):
        if not self.disable:
            Recorder.ends.append((self.initial, self.n))
        super().close()


def test_progress_shows_the_loss_and_false_hides_it(monkeypatch, capsys):
    Recorder.shown, Recorder.ends = [], []
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
    assert Recorder.ends[0] == (0, N_STEPS)
    assert np.array_equal(hidden.params.W, shown.params.W)
    trained.__wrapped__()
    assert capsys.readouterr().err.strip("\r ") == ""  # nothing within the first second


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        (0.25, "loss 0.25"),
        ([[0.1, 0.2, 0.7]], "median loss 0.2"),
        ([0.1, np.nan, 0.2, 0.7], "median loss 0.2, 1 diverged"),
        ([np.nan, np.nan], "all diverged"),
    ],
)
def test_progress_shows_the_median_of_what_has_not_diverged(losses, text):
    assert summary(State(drawn(), None, 3, losses, np.isfinite(losses))) == text


def test_progress_of_the_second_half_begins_in_the_middle(monkeypatch, capsys):
    Recorder.shown, Recorder.ends = [], []
    monkeypatch.setattr(progress, "tqdm", Recorder)
    train(F, 0.7, start=cut("population"), n_steps=END, progress=True, **OPTIONS | KINDS["population"])
    assert Recorder.ends[0] == (CUT, END)
    assert f"{END} [" in capsys.readouterr().err


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_keep_their_run_through_pickle_and_copy(again):
    with pytest.raises(Diverged) as caught:
        trained(optimizer=optax.sgd, learning_rate=1e6, linear=True, scale=0.1)
    for error in (caught.value, Interrupted(caught.value.run)):
        other = again(error)
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert np.array_equal(other.run.weights, error.run.weights, equal_nan=True)
