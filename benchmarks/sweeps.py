"""What a sweep adds to training: its rate beside `train_ensemble` alone, its memory, and two workers beside one.

The reference design: n = 6 features in two sets, m = 3, fresh samples, Adam; batches of the size that a sweep chooses
go to a Zarr store. The peer is the ensemble of 64 models of benchmarks/training.py, timed between the batches, so that
both see the same load of the machine. Workers compute on one thread each; their first batches, which compile, are not
timed.

    python -m benchmarks.sweeps 10000 4000    a full-size sweep: models, steps
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import jax
import numpy as np

from toylib import sweeps
from toylib.features import Correlated
from toylib.training import train_ensemble

EVERY, MODELS = 4, 64
ONE_THREAD = {"NPROC": "1"}  # the size of XLA's pool of threads; its flags for one thread leave the pool as it is


def models(S, seed, *, n_steps: int, key: jax.Array) -> dict:
    """Train one model per point."""
    axes = sweeps.product(S=S, seed=seed)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(axes["seed"])
    options = {"n_hidden": 3, "n_steps": n_steps, "snapshots": [n_steps], "progress": False}
    run = train_ensemble(Correlated(2, 3), axes["S"], keys, data_key=key, **options)
    return {
        "loss": np.reshape(run.losses, -1),
        "W": (("hidden", "feature"), np.reshape(run.params.W, (-1, 3, 6))),
        "diverged": np.reshape(run.diverged, -1),
    }


def grid(n_models: int) -> dict:
    """About so many models, at ten densities, or at one where they are few."""
    densities = 10 if n_models >= 10_000 else 1
    return {"S": np.linspace(0.5, 0.95, densities), "seed": range(-(-n_models // densities))}


class Interleaved(Executor):
    """Runs batches here, and times the bare function before every fourth of them."""

    def __init__(self, reference) -> None:
        """Take the bare function."""
        self.reference, self.batches, self.apart, self.memory = reference, [], [], []

    def submit(self, function, *arguments) -> Future:
        """Run at once."""
        if len(self.batches) % EVERY == 0:
            self.apart.append(timed(self.reference))
        future = Future()
        self.batches.append(timed(lambda: future.set_result(function(*arguments))))
        self.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return future


def timed(function) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rate(n_models: int, n_steps: int) -> None:
    """Time a sweep, and the bare ensemble between its batches."""
    key, axes = jax.random.key(0), grid(n_models)

    def reference() -> None:
        keys = jax.random.split(key, MODELS)
        options = {"n_hidden": 3, "n_steps": n_steps, "snapshots": [n_steps], "progress": False}
        jax.block_until_ready(train_ensemble(Correlated(2, 3), [0.9], keys, data_key=key, **options).params)

    reference()
    between = Interleaved(reference)
    with tempfile.TemporaryDirectory() as folder:
        options = {"store": Path(folder) / "store", "executor": between, "in_flight": 1}
        took = timed(lambda: sweeps.run(models, axes, n_steps=n_steps, key=key, **options)) - sum(between.apart)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*"))
    count = len(axes["S"]) * len(axes["seed"])
    alone, each = np.mean(between.apart) / MODELS / n_steps, took / count / n_steps
    tenth = between.memory[len(between.memory) // 10]
    print(f"sweep of {count:,} models, {n_steps:,} steps, {len(between.batches)} batches: {took:.0f} s")
    print(f"  {'train_ensemble alone':24}{1e6 * alone:8.2f} µs a model-step ({len(between.apart)} times in between)")
    print(f"  {'sweep, all included':24}{1e6 * each:8.2f} µs a model-step, {alone / each:.0%} of the rate")
    print(f"  peak memory after a tenth of the batches {tenth / 1024:.0f} MiB", end="")
    print(f", at the end {between.memory[-1] / 1024:.0f} MiB; store {size / 2**20:.1f} MiB")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let processes that start now compute on one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ |= ONE_THREAD
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def dask_workers() -> Iterator[Executor]:
    """Two processes of dask on this machine."""
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(processes=True, **options) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        yield client.get_executor()


def workers(n_models: int = 2000, n_steps: int = 1000, repeats: int = 3) -> None:
    """Time the same sweep in one single-threaded process and on two workers of dask, in turn."""
    times = {"one": [], "two": []}

    def sweep(executor: Executor, number: int, repeat: int) -> None:
        options = {"batch": 250, "executor": executor, "progress": False, "n_steps": n_steps}
        sweeps.run(models, {"S": [0.9], "seed": range(number)}, key=jax.random.key(repeat), **options)

    with one_thread(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one, dask_workers() as two:
        for repeat in range(repeats + 1):
            for name, executor in (("one", one), ("two", two)):
                times[name].append(timed(partial(sweep, executor, n_models if repeat else 1000, repeat)))
    one, two = (np.array(times[name][1:]) for name in ("one", "two"))
    print(f"{n_models:,} models, {n_steps:,} steps, {repeats} times in turn")
    print(f"  one single-threaded process {one.min():.1f} s, two dask workers {two.min():.1f} s", end="")
    print(f": {np.median(one / two):.2f}× the speed")


def main() -> None:
    """Print the tables."""
    rate(2500, 1000)
    workers()


if __name__ == "__main__":
    rate(*map(int, sys.argv[1:])) if sys.argv[1:] else main()
