"""Sweeps against plain loops: labels, batches, failures, what a store accepts, resumes and detects."""

import importlib.util
import itertools
import json
import multiprocessing
import re
import shutil
import sys
import threading
import tracemalloc
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numcodecs
import numpy as np
import optax
import pytest
import xarray as xr

from toylib import _progress as progress
from toylib import sweeps
from toylib.features import Correlated
from toylib.sweeps import _identity as identity
from toylib.sweeps._grids import Grid
from toylib.training import train, train_ensemble

GRID = {"name": ["a", "long"], "seed": range(5), "S": ([0.5, 0.75, 0.875], {"units": "1", "long_name": "sparsity"})}
CALLS = []  # the seeds and names of each call of `results`
LOST = []  # seeds for which it raises
STOPS = []  # how many calls it takes before Ctrl-C


def results(name, seed, S, *, factor=1.0):
    """Something of every kind."""
    if STOPS and len(CALLS) == STOPS[0]:
        raise KeyboardInterrupt
    CALLS.append((name, seed, S))
    if set(LOST) & set(seed.tolist()):
        raise RuntimeError(f"cannot do {sorted(set(LOST) & set(seed.tolist()))}")
    return {
        "value": ((), factor * S * (seed + 1), {"units": "m"}),
        "table": (("step", "side"), (S[:, None, None] * np.arange(6).reshape(1, 3, 2)).astype(np.float32)),
        "plain": np.stack([seed, seed**2], 1),
        "word": np.char.add(name, seed.astype(str)),
        "late": (seed > 3) & (name == "long"),
    }


def one(name, seed, S, factor=1.0):
    """The same for one point, in other words."""
    table = [[np.float32(S * 0), np.float32(S * 1)], [S * 2, S * 3], [S * 4, S * 5]]
    late = bool(seed == 4 and name == "long")
    return {"value": factor * S * (seed + 1), "table": table, "plain": [seed, seed * seed], "word": f"{name}{seed}"} | {
        "late": late
    }


@pytest.fixture(autouse=True)
def nothing_called():
    CALLS.clear()
    LOST.clear()
    STOPS.clear()


def run(function=results, grid=GRID, **options):
    return sweeps.run(function, grid, **{"progress": False} | options)


def sizes():
    return [len(seed) for _, seed, _ in CALLS]


def points():
    return list(itertools.product(["a", "long"], range(5), [0.5, 0.75, 0.875]))


# ---- what comes out


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 15, 30, 1000, None])
@pytest.mark.parametrize("on_disk", [False, True])
def test_every_point_has_its_result(batch, on_disk, tmp_path):
    found = run(batch=batch, store=tmp_path / "store" if on_disk else None, factor=2.0)
    for name, seed, S in points():
        at = found.sel(name=name, seed=seed, S=S)
        for key, value in one(name, seed, S, 2.0).items():
            np.testing.assert_array_equal(at[key], value)
    assert not found.failed.any()
    assert {name: found[name].dtype for name in ("value", "table", "plain", "late")} == {
        "value": np.float64,
        "table": np.float32,
        "plain": np.int64,
        "late": bool,
    }


def test_labels():
    found = run(batch=3, factor=2.0)
    assert list(found.data_vars) == ["value", "table", "plain", "word", "late", "failed"]
    assert found.table.dims == ("name", "seed", "S", "step", "side")
    assert found.plain.dims == ("name", "seed", "S", "plain_0")
    assert found.value.attrs == {"units": "m"}
    assert found.S.attrs == {"units": "1", "long_name": "sparsity"}
    assert list(found.coords) == ["name", "seed", "S"]
    assert found.coords["name"].values.tolist() == ["a", "long"]
    assert found.attrs["function"] == f"{__name__}.results"
    assert json.loads(found.attrs["settings"]) == {"factor": 2.0}
    assert json.loads(found.attrs["versions"])["jax"] == jax.__version__
    assert json.loads(found.attrs["failures"]) == []
    assert float(found.value.sel(S=0.8, method="nearest").sel(name="a", seed=1)) == 2 * 0.75 * 2


def test_a_store_gives_what_memory_gives_and_is_plain_zarr(tmp_path):
    xr.testing.assert_identical(run(batch=3, store=tmp_path / "s"), run(batch=3))
    plain = xr.open_zarr(tmp_path / "s", chunks=None, consolidated=False)
    xr.testing.assert_equal(plain, run(batch=3))
    assert plain.S.attrs["units"] == "1"


def test_stored_values_are_read_when_used(tmp_path):
    run(batch=3, store=tmp_path / "s")
    found = run(batch=3, store=tmp_path / "s")
    (tmp_path / "s" / "value" / "c" / "0" / "0" / "0").unlink()
    assert found.value.sel(name="long").min() == 0.5
    assert np.isnan(found.value.sel(name="a", seed=0)).all()


# ---- batches


def test_batches_are_blocks_of_the_last_axes():
    run(batch=7)
    assert sizes() == [6, 6, 3, 6, 6, 3]
    assert CALLS[1][0].tolist() == ["a"] * 6
    assert CALLS[1][1].tolist() == [2, 2, 2, 3, 3, 3]
    assert CALLS[1][2].tolist() == [0.5, 0.75, 0.875] * 2


def test_chosen_batches_divide_their_axis_and_keep_to_the_memory():
    run(grid=GRID | {"seed": range(300)})
    assert sizes() == [1, *[225] * 8]  # 75 · 3 of at most 256; 85 seeds would do, 75 divide 300
    CALLS.clear()
    run(memory=1300)  # a point takes 24 + 16 + 8 + 256 + 1 + 1 bytes
    assert sizes() == [1, *[3] * 10]


def test_one_compilation_a_shape(compiled):
    double = jax.jit(lambda x: 2 * x)
    jnp.zeros(3)
    compiled.clear()
    run(lambda x: {"y": double(x)}, {"x": np.arange(10, dtype=np.float32)}, batch=4)
    assert len(compiled) == 2  # of 4 and of 2 points


def ensemble(S, seed, *, n_steps, key):
    axes = sweeps.product(S=S, seed=seed)
    keys = jax.vmap(partial(jax.random.fold_in, key))(axes["seed"])
    runs = train_ensemble(
        Correlated(2, 3), axes["S"], keys, n_hidden=3, n_steps=n_steps, population=True, snapshots=[n_steps]
    )
    return {"W": (("hidden", "feature"), runs.params.W.reshape(-1, 3, 6)), "loss": runs.losses.reshape(-1)}


def test_an_ensemble_is_a_sweep():
    key, Ss = jax.random.key(1), [0.5, 0.9]
    found = run(ensemble, {"S": Ss, "seed": range(3)}, batch=6, n_steps=20, key=key)
    for S, seed in itertools.product(Ss, range(3)):
        alone = train(
            Correlated(2, 3),
            S,
            n_hidden=3,
            n_steps=20,
            key=jax.random.fold_in(key, seed),
            population=True,
            snapshots=[20],
        )
        np.testing.assert_allclose(found.W.sel(S=S, seed=seed), alone.params.W, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.loss.sel(S=S, seed=seed), alone.losses[0], rtol=1e-5)
    assert json.loads(found.attrs["settings"])["key"] == {"key": "threefry2x32", "data": [0, 1]}


# ---- executors


class Lazy(Executor):
    """An executor that does nothing until it is waited for, and counts what it was given."""

    def __init__(self):
        self.waiting, self.most, self.cancelled = [], 0, 0

    def submit(self, function, *arguments):
        future = Future()
        self.waiting.append((future, function, arguments))
        self.most = max(self.most, len(self.waiting))
        return future

    def wait(self, futures, return_when):
        assert return_when == "FIRST_COMPLETED"
        future, function, arguments = self.waiting.pop()  # the last comes first
        future.set_result(function(*arguments))
        return type("Waited", (), {"done": {future}})


def test_batches_in_flight_are_bounded_and_may_finish_in_any_order(monkeypatch, tmp_path):
    lazy = Lazy()
    monkeypatch.setattr("toylib.sweeps._run.wait", lazy.wait)
    found = run(batch=3, executor=lazy, in_flight=4, store=tmp_path / "s")
    xr.testing.assert_identical(found, run(batch=3))
    assert lazy.most == 4
    assert lazy.waiting == []


def test_threads_and_processes_give_the_same(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    for pool in (ThreadPoolExecutor(2), ProcessPoolExecutor(2, spawn)):
        with pool:
            for store in (None, tmp_path / type(pool).__name__):
                xr.testing.assert_identical(run(batch=3, executor=pool, store=store), run(batch=3))


def test_what_waits_is_cancelled_when_a_sweep_stops(monkeypatch):
    lazy = Lazy()
    monkeypatch.setattr("toylib.sweeps._run.wait", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(batch=3, executor=lazy)
    assert [future.cancelled() for future, *_ in lazy.waiting] == [True] * 10


def test_what_waits_is_cancelled_when_writing_fails(monkeypatch):
    lazy = Lazy()
    monkeypatch.setattr("toylib.sweeps._run.wait", lazy.wait)
    with pytest.raises(ValueError, match="other names than the grid's axes") as caught:
        run(lambda x: {"x": x}, {"x": range(8)}, batch=2, executor=lazy)
    assert [future.cancelled() for future, *_ in lazy.waiting] == [True] * 3
    assert caught.value.__notes__ == ["0 of 4 batches were done, and are lost: pass store=... to keep them"]


def test_a_forking_pool_is_refused():
    message = (
        "executor must start its processes afresh, got fork, in which JAX's locks stay shut; pass "
        'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))'
    )
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            run(batch=3, executor=pool)
        assert not pool._processes
    assert CALLS == []


@pytest.mark.parametrize("wrap", [lambda function: function, lambda function: partial(function, factor=2.0)])
def test_a_function_of_a_notebook_is_refused_in_another_process(wrap, monkeypatch):
    def own(name, seed, S, factor=1.0):
        return {"value": factor * seed}

    monkeypatch.setattr(own, "__module__", "__main__")
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    message = (
        "^function must be of a module that other processes can import, got .* of a notebook or prompt; write it to"
    )
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(ValueError, match=message):
            run(wrap(own), batch=3, executor=pool)
        assert not pool._processes
        with pytest.raises(
            ValueError, match=r"^factor must be of a module .*, got <function .* of a notebook or prompt"
        ):
            run(batch=3, executor=pool, factor=wrap(own))
        assert not pool._processes
    assert run(wrap(own), batch=3).value.shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"function": lambda name, seed, S: {"value": seed}}, "function .*<lambda>.*Can't pickle"),
        ({"factor": threading.Lock()}, "factor .*lock.*cannot pickle"),
        ({"factor": [1, lambda: 2]}, "factor .*<lambda>.*Can't pickle"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_a_process_starts(options, named):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(
            TypeError, match=f"{named}.*; define functions at the top of a module, .*ThreadPoolExecutor"
        ):
            run(**{"function": results, "batch": 3, "executor": pool} | options)
        assert not pool._processes


def test_a_program_that_is_not_there_is_refused_before_a_process_starts(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "<stdin>", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
        with pytest.raises(
            ValueError, match=r"executor must find the program that its processes .*, got <stdin>; run a"
        ):
            run(batch=3, executor=pool)
        assert not pool._processes


# ---- failures


def test_failing_points_are_found_and_the_others_kept(tmp_path):
    LOST.append(1)
    with pytest.warns(
        UserWarning, match=r"6 of 30 points failed, name=a, seed=1, S=0.5: RuntimeError: .* \(and 5 more"
    ):
        found = run(batch=15, store=tmp_path / "s")
    for name, seed, S in CALLS:
        sweeps.product(name=name, seed=seed, S=S)  # parts of a batch are products too
    good = run(batch=15, grid=GRID | {"seed": [0, 2, 3, 4]})
    np.testing.assert_array_equal(found.failed, np.broadcast_to(np.array([0, 1, 0, 0, 0], bool)[:, None], (2, 5, 3)))
    for name in ("value", "table", "plain", "word", "late"):
        np.testing.assert_array_equal(found[name].isel(seed=[0, 2, 3, 4]), good[name])
    lost = found.sel(seed=1)
    assert np.isnan(lost.value).all()
    assert np.isnan(lost.table).all()
    assert (lost.plain == 0).all()
    assert (lost.word == "").all()
    failures = json.loads(found.attrs["failures"])
    assert [f["point"] for f in failures] == [dict(zip(GRID, p, strict=True)) for p in points() if p[1] == 1]
    assert {f["message"] for f in failures} == {"RuntimeError: cannot do [1]"}
    state = sweeps.status(tmp_path / "s")
    assert (state.points, state.done, state.failed, state.missing, state.damaged) == (30, 24, 6, 0, ())
    assert list(state.failures) == failures
    assert "30 points: 24 done, 6 failed, 0 missing" in str(state)
    assert "failed: name=long, seed=1, S=0.875: RuntimeError: cannot do [1]" in str(state)


def test_failures_stay_until_a_retry(tmp_path):
    LOST.append(1)
    with pytest.warns(UserWarning, match="6 of 30 points failed"):
        run(batch=3, store=tmp_path / "s")
    LOST.clear()
    CALLS.clear()
    with pytest.warns(UserWarning, match="6 of 30 points failed"):
        run(batch=3, store=tmp_path / "s")
    assert CALLS == []
    xr.testing.assert_identical(run(batch=3, store=tmp_path / "s", retry=True), run(batch=3))
    assert [seed.tolist() for _, seed, _ in CALLS[:2]] == [[1, 1, 1]] * 2


def test_a_retry_that_fails_leaves_nothing_of_before(tmp_path):
    LOST.append(1)
    with pytest.warns(UserWarning, match="6 of 30"):
        run(batch=15, store=tmp_path / "s")
    LOST[:] = range(5)
    with pytest.warns(UserWarning, match="30 of 30"):
        found = run(batch=15, store=tmp_path / "s", retry=True)
    assert list(found.data_vars) == ["failed"]
    LOST[:] = [1]
    with pytest.warns(UserWarning, match="6 of 30"):
        run(batch=15, store=tmp_path / "s", retry=True)
    LOST[:] = range(5)
    STOPS.append(len(CALLS) + 29)  # the first batch fails anew, the second is not reached
    with pytest.raises(KeyboardInterrupt):
        run(batch=15, store=tmp_path / "s", retry=True)
    LOST[:] = [1]
    STOPS.clear()
    with pytest.warns(UserWarning, match="18 of 30"):
        found = run(batch=15, store=tmp_path / "s")
    assert np.isnan(found.value.sel(name="a")).all()
    assert not np.isnan(found.value.sel(name="long", seed=0)).any()


def diverges(x):
    return {"y": np.where(x > 2, np.nan, x), "diverged": x > 2}


def test_diverged_points_count_as_failed():
    with pytest.warns(UserWarning, match="2 of 5 points failed, x=3: diverged"):
        found = run(diverges, {"x": range(5)}, batch=2)
    assert found.failed.values.tolist() == [False, False, False, True, True]
    assert found.y.values[:3].tolist() == [0, 1, 2]


def raises_or_diverges(x):
    if 3 in x:
        raise RuntimeError("cannot do 3" + 600 * ".")
    return diverges(np.where(x == 1, 9, x)) | {"word": np.full(len(x), "a" * 64)}


def test_failures_come_in_the_order_of_the_points_whatever_their_kind():
    with pytest.warns(UserWarning, match="3 of 5 points failed, x=1: diverged"):
        found = run(raises_or_diverges, {"x": range(5)}, batch=5)
    failures = [(f["point"]["x"], f["message"]) for f in json.loads(found.attrs["failures"])]
    assert failures == [(1, "diverged"), (3, "RuntimeError: cannot do 3".ljust(500, ".")), (4, "diverged")]
    assert found.word.values[0] == "a" * 64  # the longest that is taken


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_batch_without_a_success_does_not_need_results(on_disk, tmp_path):
    LOST.append(0)
    with pytest.warns(UserWarning, match="6 of 30"):
        found = run(batch=3, store=tmp_path / "s" if on_disk else None)
    assert np.isnan(found.value.sel(seed=0)).all()
    LOST.extend(range(1, 5))
    with pytest.warns(UserWarning, match="30 of 30"):
        found = run(batch=3, store=tmp_path / "t" if on_disk else None)
    assert list(found.data_vars) == ["failed"]


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda x: x, TypeError, "must return a dict of arrays"),
        (lambda x: {}, TypeError, "must return a dict of arrays"),
        (lambda x: {"y": x[:1]}, ValueError, r"y must have 2 entries on its first axis, got shape \(1,\)"),
        (lambda x: {"y": 1.0}, ValueError, r"y must have 2 entries on its first axis, got shape \(\)"),
        (lambda x: {"y": x.astype(object)}, TypeError, "y must hold numbers or strings, got object"),
        (lambda x: {"y": (("a", "b"), x)}, ValueError, r"y must name each axis after the first, got \('a', 'b'\)"),
        (lambda x: {"y": ((), x, {}, 1)}, TypeError, "y must be an array, .* got 4 parts"),
        (lambda x: {"y": ((), x, {"units": {1}})}, TypeError, "JSON"),
        (lambda x: {"y": np.full(2, "a" * 65)}, ValueError, "at most 64 characters, got <U65 in y"),
        (lambda x: {"failed": x}, ValueError, "must not return 'failed'"),
        (lambda x: {"x": x}, ValueError, "other names than the grid's axes, got x"),
        (lambda x: {"y": (("x",), x[:, None])}, ValueError, "x must name one axis .* got it again in y"),
        (lambda x: {"y": ("k", np.ones((2, 2))), "z": ("k", np.ones((2, 3)))}, ValueError, "k must name one axis"),
        (lambda x: {"y": np.ones(2, int if 0 in x else float)}, ValueError, "y must have one type, shape and axes"),
        (lambda x: {"y": x} | ({} if 0 in x else {"z": x}), ValueError, "every batch must return y, failed, got y, z"),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_function_that_returns_something_else_stops_the_sweep(returned, error, message, on_disk, tmp_path):
    with pytest.raises(error, match=message):
        run(returned, {"x": range(6)}, batch=2, store=tmp_path / "s" if on_disk else None)


# ---- arguments


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        ([1, 2], TypeError, "grid must be a dict of names and values"),
        ({1: [2]}, TypeError, "grid must be a dict of names and values"),
        ({}, ValueError, "at least one axis"),
        ({"x": []}, ValueError, r"values of x must be a sequence, got shape \(0,\)"),
        ({"x": 3}, ValueError, r"values of x must be a sequence, got shape \(\)"),
        ({"x": [1, 2, 1]}, ValueError, "values of x must differ .* remove the repeats"),
        ({"x": [1.0, np.nan]}, ValueError, "values of x must be finite"),
        ({"x": [print]}, TypeError, "values of x must be numbers or strings, got .*print.*; pass seeds for keys"),
        ({"x": jax.random.split(jax.random.key(0))}, TypeError, "values of x must be numbers or strings, got Array"),
        ({"x": [[1, 2], [3]]}, TypeError, "values of x must be numbers or strings, got"),
        (
            {"x": [0.1, "ramp"]},
            TypeError,
            r"all numbers, all strings or .*, got \[0.1, 'ramp'\], .* \['0.1', 'ramp'\]; ",
        ),
        (
            {"x": [np.True_, 2]},
            TypeError,
            r"all numbers, all strings or all True and False, got .* \[1, 2\]; give names",
        ),
    ],
)
def test_grids_are_checked(grid, error, message):
    with pytest.raises(error, match=message):
        run(lambda x: {"y": x}, grid)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": 3}, ValueError, "fixed or an axis, got seed as both"),
        (
            {"unknown": 3},
            TypeError,
            "must accept the axes and the fixed arguments .* unexpected keyword argument 'unkn",
        ),
        (
            {"executor": "dask"},
            TypeError,
            r"executor must be a concurrent.futures.Executor, got str; .*get_executor\(\)",
        ),
        ({"batch": 0}, ValueError, "batch must be at least 1"),
        ({"batch": 2.0}, TypeError, "batch must be an integer"),
        ({"in_flight": 0}, ValueError, "in_flight must be at least 1"),
        ({"memory": 0}, ValueError, "memory must be at least 1"),
        ({"retry": True}, ValueError, "retry and overwrite must come with a store"),
        ({"overwrite": True}, ValueError, "retry and overwrite must come with a store"),
        ({"function": 3}, TypeError, "function must be callable"),
        ({"grid": {"name": ["a"]}}, TypeError, "missing a required argument: 'seed'; the axes are name"),
    ],
)
def test_arguments_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)


# ---- what a store accepts


def twin(name, seed, S, *, factor=1.0):
    return {"value": factor * S * seed}


def other(x):
    return {"y": x + 1}


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"factor": 3.0}, "fixed factor was 2.0 and is 3.0"),
        ({"factor": 2}, "fixed factor was 2.0 and is 2"),
        ({"grid": GRID | {"seed": range(6)}}, r"grid seed values was \[0, 1, 2, 3, 4\] and is \[0, 1, 2, 3, 4, 5\]"),
        ({"grid": GRID | {"S": [0.5, 0.75, 0.875]}}, "grid S attrs units is no longer there"),
        ({"grid": dict(reversed(GRID.items()))}, "the axes were in the order name, seed, S"),
        ({"grid": {k: GRID[k] for k in ("seed", "S")}, "name": "a"}, "grid name is no longer there; fixed name is new"),
        ({"function": twin}, f'function function was "{__name__}.results" and is "{__name__}.twin"'),
        ({"batch": 5}, r"batches had shape \(1, 2, 3\) and have \(1, 1, 3\)"),
    ],
)
def test_another_sweep_is_refused_and_nothing_lost(changed, difference, tmp_path):
    first = run(store=tmp_path / "s", batch=6, factor=2.0).load()
    CALLS.clear()
    with pytest.raises(ValueError, match=f"must hold the same sweep, got another: .*{difference}.* overwrite=True"):
        run(**{"store": tmp_path / "s", "batch": 6, "factor": 2.0} | changed)
    assert CALLS == []
    xr.testing.assert_identical(run(store=tmp_path / "s", factor=2.0), first)


def test_another_version_is_refused(tmp_path, monkeypatch):
    run(store=tmp_path / "s", batch=6)
    version = identity.version
    monkeypatch.setattr(identity, "version", lambda name: "9.9" if name == "jax" else version(name))
    with pytest.raises(ValueError, match=f'got another: versions jax was "{jax.__version__}" and is "9.9". It resumes'):
        run(store=tmp_path / "s", batch=6)


def edited(path, factor):
    """A function from a file, with `factor` written into its source."""
    path.write_text(f"def f(x):\n    return {{'y': {factor} * x}}\n")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.f


def test_an_edited_function_is_refused(tmp_path):
    xs = {"x": range(3)}
    run(edited(tmp_path / "file.py", 2), xs, store=tmp_path / "s", batch=3)
    run(edited(tmp_path / "file.py", 2), xs, store=tmp_path / "s", batch=3)
    with pytest.raises(ValueError, match=r"got another: file.f has another text. It resumes"):
        run(edited(tmp_path / "file.py", 12), xs, store=tmp_path / "s", batch=3)


def test_a_store_that_says_nothing_of_helpers_resumes_with_a_warning(tmp_path):
    first = run(store=tmp_path / "s", batch=15).load()
    root = tmp_path / "s" / "zarr.json"
    about = json.loads(root.read_text())
    assert about["attributes"]["sweep"].pop("texts").keys() >= {f"{__name__}.results", f"{__name__}.LOST"}
    assert about["attributes"]["sweep"].pop("values") == {f"{__name__}.results.factor": 1.0}
    root.write_text(json.dumps(about))
    with pytest.warns(UserWarning, match=r"s is from a toylib that kept nothing of the helpers .* overwrite=True"):
        again = run(store=tmp_path / "s", batch=15)
    xr.testing.assert_identical(again, first)
    assert len(CALLS) == 2


def test_overwrite_starts_anew(tmp_path):
    run(store=tmp_path / "s", batch=6)
    found = run(other, {"x": range(4)}, store=tmp_path / "s", batch=2, overwrite=True)
    assert found.y.values.tolist() == [1, 2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["failed", "marks", "x", "y", "zarr.json"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_store_is_never_touched(overwrite, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match=r"must be the store of a sweep, got .*; name another path"):
            run(store=path, overwrite=overwrite)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="must be the store of a sweep"):
        sweeps.status(tmp_path)


def test_another_format_is_refused(tmp_path):
    run(store=tmp_path / "s", batch=6)
    root = tmp_path / "s" / "zarr.json"
    root.write_text(root.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="must have format 1, got 2"):
        run(store=tmp_path / "s", batch=6)


# ---- resuming


# Before the first batch, between, and before the last; batches of a point, of uneven sizes, and of whole axes.
@pytest.mark.parametrize(("batch", "stop", "number"), [(1, 3, 30), (2, 19, 20), (3, 0, 10), (5, 6, 10), (7, 2, 6)])
def test_an_interrupted_sweep_resumes_and_computes_nothing_twice(tmp_path, batch, stop, number):
    store = tmp_path / "s"
    whole = run(batch=batch)
    batches = sizes()
    assert len(batches) == number
    CALLS.clear()
    STOPS.append(stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(batch=batch, store=store)
    STOPS.clear()
    done = f"{stop} of {len(batches)} batches were done and are marked in {store}; the same call resumes there"
    assert caught.value.__notes__ == [done]
    assert sweeps.status(store)[:4] == (30, sum(batches[:stop]), 0, sum(batches[stop:]))
    CALLS.clear()
    xr.testing.assert_identical(run(store=store), whole)
    assert sizes() == batches[stop:]


def test_an_interruption_without_a_store_says_what_is_lost():
    STOPS.append(2)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(batch=3)
    assert caught.value.__notes__ == ["2 of 10 batches were done, and are lost: pass store=... to keep them"]


def test_an_empty_folder_becomes_a_store(tmp_path):
    (tmp_path / "s").mkdir()
    run(store=tmp_path / "s", batch=6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


def test_a_half_made_array_is_no_obstacle(tmp_path):
    whole = run(batch=6, store=tmp_path / "s").load()
    for mark in (tmp_path / "s").glob("marks/*/zarr.json"):
        mark.unlink()
    (tmp_path / "s" / "table" / "zarr.json").rename(tmp_path / "s" / "table" / "zarr.123.partial")
    xr.testing.assert_identical(run(batch=6, store=tmp_path / "s"), whole)


# ---- damage


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["value", "table", "word", "failed"])
@pytest.mark.parametrize("damage", [truncate, alter, empty, lambda path: path.unlink()])
def test_damaged_chunks_are_named_and_computed_anew_on_request(name, damage, tmp_path):
    whole = run(batch=6, store=tmp_path / "s").load()
    chunk = "/".join([name, "c", "1", "1", "0"] + ["0", "0"] * (name == "table"))
    damage(tmp_path / "s" / chunk)
    assert sweeps.status(tmp_path / "s")[:4] == (30, 24, 0, 6)
    assert sweeps.status(tmp_path / "s").damaged == (chunk,)
    assert f"damaged: {chunk}" in str(sweeps.status(tmp_path / "s"))
    with pytest.raises(
        ValueError, match=f"s must be whole, got damaged or missing {chunk}; pass retry=True to compute the batches"
    ):
        run(batch=6, store=tmp_path / "s")
    CALLS.clear()
    xr.testing.assert_identical(run(batch=6, store=tmp_path / "s", retry=True), whole)
    assert [(names[0], seed[0]) for names, seed, _ in CALLS] == [("long", 2)]


def test_a_damaged_chunk_without_a_mark_is_written_anew(tmp_path):
    whole = run(batch=6, store=tmp_path / "s").load()
    truncate(tmp_path / "s" / "value" / "c" / "1" / "2" / "0")  # an incomplete chunk, at the end of the axis
    (tmp_path / "s" / "marks" / "5" / "zarr.json").unlink()
    xr.testing.assert_identical(run(batch=6, store=tmp_path / "s"), whole)


@pytest.mark.parametrize("damage", [empty, lambda path: path.write_text("{}"), lambda path: path.unlink(), truncate])
@pytest.mark.parametrize(
    ("file", "lost"),
    [
        ("value/zarr.json", 30),
        ("failed/zarr.json", 30),
        ("seed/zarr.json", 0),
        ("marks/zarr.json", 0),
        ("marks/4/zarr.json", 6),
    ],
)
def test_damaged_metadata_is_named_and_mended_on_request(file, lost, damage, tmp_path):
    whole = run(batch=6, store=tmp_path / "s").load()
    damage(tmp_path / "s" / file)
    named = () if lost == 6 and not (tmp_path / "s" / file).exists() else (file,)  # a batch without a mark is not done
    state = sweeps.status(tmp_path / "s")
    assert (state.damaged, state.done, state.missing) == (named, 30 - lost, lost)
    CALLS.clear()
    if named:
        with pytest.raises(ValueError, match=f"s must be whole, got damaged or missing {file}; pass retry=True"):
            run(batch=6, store=tmp_path / "s")
        assert CALLS == []
    xr.testing.assert_identical(run(batch=6, store=tmp_path / "s", retry=True), whole)
    assert sum(sizes()) == lost
    assert sweeps.status(tmp_path / "s")[:4] == (30, 30, 0, 0)


def zeros(size, *, declared):
    """A chunk of zeros, 32,768 times smaller: a frame of zstd in blocks of 128 KiB, and its checksum."""
    start = b"\xe0" + size.to_bytes(8, "little") if declared else b"\x00\x58"
    blocks = [(last | 2 | 2**20).to_bytes(3, "little") + b"\x00" for last in [0] * (size // 2**17 - 1) + [1]]
    return numcodecs.CRC32C(location="end").encode(b"".join([b"\x28\xb5\x2f\xfd", start, *blocks]))


def declare(path, **entries):
    """Change entries of a file of JSON, those of a part under its name."""
    whole = json.loads(path.read_text())
    for name, entry in entries.items():
        whole[name] = whole[name] | entry if isinstance(entry, dict) else entry
    path.write_text(json.dumps(whole))


def chunks(*shape):
    return {"configuration": {"chunk_shape": shape}}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A sweep of two batches, and its store: not to be changed."""
    path = tmp_path_factory.mktemp("stored") / "s"
    return run(batch=15, store=path).load(), path


LARGE = [
    ("value/c/1/0/0", 15, lambda path: path.write_bytes(zeros(2**30, declared=True))),
    ("word/c/1/0/0", 15, lambda path: path.write_bytes(zeros(2**30, declared=False))),
    ("seed/c/0", 0, lambda path: path.write_bytes(zeros(2**30, declared=False))),
    ("table/zarr.json", 30, partial(declare, shape=[2, 5, 3, 2**28, 2], chunk_grid=chunks(1, 5, 3, 2**28, 2))),
    ("table/zarr.json", 30, partial(declare, shape=[2, 5, 3, 2**28, 2])),
    ("value/zarr.json", 30, partial(declare, chunk_grid=chunks(2, 5, 2**30))),
    ("value/zarr.json", 30, partial(declare, codecs=[{"name": "bytes"}, {"name": "gzip"}])),
    ("table/zarr.json", 30, partial(declare, dimension_names=["name", "seed", "S", "step", None])),
    ("table/zarr.json", 30, partial(declare, dimension_names=["name", "seed", "S", "step", "step"])),
    ("value/zarr.json", 30, lambda path: path.write_text(path.read_text().replace('"little"', '"big"'))),
    ("word/zarr.json", 30, partial(declare, data_type={"configuration": {"length_bytes": 2**30}})),
    ("seed/zarr.json", 0, partial(declare, shape=[2**34], chunk_grid=chunks(2**34))),
    ("marks/1/zarr.json", 15, partial(declare, attributes={"variables": ["../value", "failed"]})),
    ("marks/1/zarr.json", 15, partial(declare, attributes={"failures": [[15, "of 15"]]})),
    ("marks/1/zarr.json", 15, partial(declare, attributes={"failures": [[float("inf"), "of 15"]]})),
]


@pytest.mark.parametrize(("file", "lost", "damage"), LARGE)
def test_a_store_does_not_expand_without_bound(file, lost, damage, stored, tmp_path):
    """What declares or unpacks to more than the sweep has written is named as damage, before it takes room."""
    store = shutil.copytree(stored[1], tmp_path / "s")
    damage(store / file)
    tracemalloc.start()
    state = sweeps.status(store)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert state[1:4] == (30 - lost, 0, lost)
    assert state.damaged == (file.replace("seed/c/0", "seed/zarr.json"),)


def test_what_declares_too_much_is_written_anew(stored, tmp_path):
    store = shutil.copytree(stored[1], tmp_path / "s")
    for file, _, damage in (LARGE[0], LARGE[2], LARGE[3]):
        damage(store / file)
    with pytest.raises(ValueError, match=r"missing seed/zarr.json, table/zarr.json, value/c/1/0/0; pass"):
        run(batch=15, store=store)
    xr.testing.assert_identical(run(batch=15, store=store, retry=True), stored[0])


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"grid": {"x": {"dtype": "<U500000000", "values": [*"abc"], "attrs": {}}}}, "x must take at most 4,294"),
        ({"grid": {name: {"dtype": "<i8", "values": [*range(50)], "attrs": {}} for name in "abcdefghijkl"}}, "fewer"),
        ({"block": [1, 6, 3]}, r"batches of shape \(1, 6, 3\) in a grid of \(2, 5, 3\)"),
        ({"block": [1, -2, 3]}, r"batches of shape \(1, -2, 3\)"),
    ],
)
def test_a_store_whose_root_declares_too_much_is_none(change, got, stored, tmp_path):
    root = shutil.copytree(stored[1], tmp_path / "s") / "zarr.json"
    declare(root, attributes={"sweep": json.loads(root.read_text())["attributes"]["sweep"] | change})
    with pytest.raises(ValueError, match=rf"must be the store of a sweep, got .*{got}.*; name another path"):
        sweeps.status(tmp_path / "s")


def test_a_grid_of_many_points_takes_no_room_before_they_are_computed():
    grid = Grid.of({name: range(50) for name in "abcdefgh"})
    blocks = grid.blocks((1,) * 8)
    assert len(blocks) == 50**8
    assert [part.start for part in blocks[-2]] == [49] * 7 + [48]


def test_a_batch_that_would_not_be_read_is_not_written(monkeypatch, tmp_path):
    monkeypatch.setattr("toylib.sweeps._batches.LARGEST", 1000)
    with pytest.raises(ValueError, match="word must take at most 1,000 bytes in a batch, got 1,536; pass a smaller"):
        run(batch=6, store=tmp_path / "s")
    run(batch=3, store=tmp_path / "t", grid={"name": ["a"], "seed": range(2), "S": [0.5, 0.75, 0.875]})


@pytest.mark.parametrize("damage", [empty, lambda path: path.unlink(), lambda path: path.write_text("{}")])
def test_a_store_without_its_root_is_refused_until_it_is_overwritten(damage, tmp_path):
    whole = run(batch=6, store=tmp_path / "s").load()
    damage(tmp_path / "s" / "zarr.json")
    for call in (run, partial(run, retry=True)):
        with pytest.raises(ValueError, match=r"s must be the store of a sweep, got .*; name another path"):
            call(batch=6, store=tmp_path / "s")
    xr.testing.assert_identical(run(batch=6, store=tmp_path / "s", overwrite=True), whole)


@pytest.mark.parametrize("name", ["a", "04", "6", "-1"])
def test_marks_that_are_no_batches_do_not_count(name, tmp_path):
    whole = run(batch=6, store=tmp_path / "s").load()
    folder = tmp_path / "s" / "marks" / name
    folder.mkdir()
    (tmp_path / "s" / "marks" / "4" / "zarr.json").rename(folder / "zarr.json")
    assert sweeps.status(tmp_path / "s")[:4] == (30, 24, 0, 6)
    xr.testing.assert_identical(run(batch=6, store=tmp_path / "s"), whole)


NAMED = (
    "must begin with a letter, have at most 64 letters, digits, spaces, dots, hyphens and underscores, and not be "
    "among failed, marks, zarr.json, got {}; rename it"
)


@pytest.mark.parametrize("name", ["x/y", "marks", "", "..", ".", "zarr.json", "a" * 65, "_x", "1", "a\n", 3])
@pytest.mark.parametrize("on_disk", [False, True])
def test_names_are_checked_before_anything_is_written(name, on_disk, tmp_path):
    store = tmp_path / "s" if on_disk else None
    said = NAMED.format(f"{name!r:.80}")
    with pytest.raises(ValueError, match=f"^{re.escape(f'the name of a result {said}')}$"):
        run(lambda x, name: {"y": x, name: x}, {"x": range(6)}, store=store, name=name)
    with pytest.raises(ValueError, match=f"^{re.escape(f'the name of an axis of y {said}')}$"):
        run(lambda x, name: {"y": ((name,), x[:, None])}, {"x": range(6)}, store=store, name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["failed", "marks", "a" * 65, "_x"])
def test_names_of_axes_are_checked(name):
    with pytest.raises(ValueError, match=f"^{re.escape(f'the name of an axis {NAMED.format(repr(name))}')}$"):
        run(lambda **axes: {"y": axes[name]}, {name: range(3)})


def test_every_chunk_has_a_checksum_and_nothing_is_pickled(tmp_path):
    run(batch=6, store=tmp_path / "s")
    files = {path.relative_to(tmp_path / "s") for path in (tmp_path / "s").rglob("*") if path.is_file()}
    about = [json.loads((tmp_path / "s" / path).read_text()) for path in files if path.name == "zarr.json"]
    arrays = [node for node in about if node["node_type"] == "array"]
    assert len(arrays) == 9
    assert all(node["codecs"][-1]["name"] == "crc32c" for node in arrays)
    kinds = {
        str(node["data_type"] if isinstance(node["data_type"], str) else node["data_type"]["name"]) for node in arrays
    }
    assert kinds == {"float64", "float32", "int64", "bool", "fixed_length_utf32"}
    assert all(path.name == "zarr.json" or path.parts[1] == "c" for path in files)


# ---- plan and progress


def test_plan_says_what_a_sweep_takes(tmp_path, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("toylib.sweeps._batches.time.perf_counter", lambda: float(next(clock)))
    planned = sweeps.plan(results, GRID, batch=6, factor=2.0)
    assert sizes() == [6, 6]
    assert planned == (30, 6, 6, 30 * (8 + 24 + 16 + 256 + 1 + 1), 5.0)  # each batch takes one second
    assert str(planned) == "30 points in 6 batches of up to 6, 0.0 MiB, about 5 s in one worker"
    whole = run(batch=6)
    assert planned.bytes == sum(variable.nbytes for variable in whole.data_vars.values())


def test_plan_with_one_batch_and_with_chosen_batches():
    assert sweeps.plan(results, GRID, batch=30)[:3] == (30, 1, 30)
    assert sizes() == [30]
    CALLS.clear()
    with ThreadPoolExecutor(1) as pool:
        assert sweeps.plan(results, GRID, memory=1300, executor=pool)[:3] == (30, 10, 3)
    assert sizes() == [1, 3, 3]
    with pytest.raises(ValueError, match="grid must have at least one axis"):
        sweeps.plan(results, {})


def test_the_bar_counts_batches_and_those_done_before(monkeypatch, tmp_path):
    bars, hidden = [], []

    class Bar(progress.tqdm):
        def __init__(self, **options):
            super().__init__(**options)
            bars.append(self)
            hidden.append(options["disable"])

    monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.setenv("TQDM_DISABLE", "0")
    STOPS.append(3)
    with pytest.raises(KeyboardInterrupt):
        run(batch=6, store=tmp_path / "s", progress=True)
    STOPS.clear()
    run(batch=6, store=tmp_path / "s", progress=True)
    assert [(bar.total, bar.initial, bar.n, bar.unit) for bar in bars] == [(6, 0, 3, "batch"), (6, 3, 6, "batch")]
    run(progress=False)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    run(progress=True)
    assert hidden == [False, False, True, True]


@pytest.mark.parametrize(
    ("setting", "shown", "hidden"),
    [("1", True, False), ("1", None, True), ("0", None, False), ("", None, False), ("0", False, True)],
)
def test_when_the_bar_is_hidden(monkeypatch, setting, shown, hidden):
    monkeypatch.setenv("TQDM_DISABLE", setting)
    with progress.bar(3, "batch", shown) as bar:
        assert bar.disable == hidden


# ---- settings that a store cannot hold


def closure():
    secret = 3
    return lambda x: x + secret


@pytest.mark.parametrize("value", [optax.adam(1e-3), closure(), object(), np.array([None]), {1: 2}, "abc".upper, print])
def test_settings_without_a_description_are_refused_by_a_store_only(value, tmp_path):
    with pytest.raises(
        TypeError, match=r"extra.* must be .* got .*; (pass what it is made from|define it in a module)"
    ):
        run(accepts, {"x": range(3)}, store=tmp_path / "s", extra=value)
    assert not (tmp_path / "s").exists()
    found = run(accepts, {"x": range(3)}, batch=3, extra=value)
    assert found.y.values.tolist() == [0, 1, 2]
    assert "text" in json.loads(found.attrs["settings"])["extra"]


def accepts(x, *, extra):
    return {"y": x}


def test_a_function_with_enclosed_variables_is_refused_by_a_store_only(tmp_path):
    secret = 3
    with pytest.raises(TypeError, match="function must be a function with source code and without enclosed variables"):
        run(lambda x: {"y": x + secret}, {"x": range(3)}, store=tmp_path / "s")
    assert run(lambda x: {"y": x + secret}, {"x": range(3)}).y.values.tolist() == [3, 4, 5]
