"""Sweeps that are killed, lose workers or fill the disk, and resume to the result of an undisturbed one, bit by bit."""

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import faulty
import numpy as np
import pytest
import xarray as xr
from distributed import Client

from toylib import sweeps
from toylib.sweeps import _store as store

HERE = Path(__file__).parents[1]
TIMEOUT = 300  # seconds, which no step comes near
RANDOM_KILLS = int(os.environ.get("RANDOM_KILLS", "5"))  # of each executor; `make faults` sets 25
BATCHES = range(12)
KILLS = [(where, number) for where, number in (("computed", 0), ("written", 5), ("marked", 9))]


class Bench:
    """A store, a log of what was computed, and ways to run the sweep of faulty.py on them."""

    def __init__(self, folder, *address):
        self.store, self.log, self.address, self.elsewhere = folder / "store", folder / "log", address, {}
        self.log.touch()

    def start(self, where="never", number=0):
        """The sweep in a process of its own, which says when it starts."""
        process = program("sweep", self.store, self.log, where, number, *self.address)
        assert process.stdout.readline() == "ready\n"
        return process

    def here(self, **options):
        """The sweep in this process."""
        fixed = {"batch": faulty.BATCH, "log": str(self.log), "seconds": faulty.SECONDS, "progress": False}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "2 of 72 points failed, name=α, seed=5, S=0.9: diverged")
            return sweeps.run(faulty.results, faulty.GRID, **fixed | options)

    def marked(self):
        """The batches whose done mark is in the store."""
        return {int(path.parent.name) for path in self.store.glob("marks/*/zarr.json")}

    def computed(self):
        """The batches computed so far, in order."""
        firsts = [line.split(",") for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [faulty.GRID["name"].index(name) * 6 + int(seed) // 2 for name, seed in firsts]


def program(*arguments):
    """Start faulty.py."""
    environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(HERE / "faulty.py"), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(process):
    """The exit status, once the process has ended."""
    process.communicate(timeout=TIMEOUT)
    return process.returncode


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The result of a sweep that nothing disturbed, in memory."""
    bench = Bench(tmp_path_factory.mktemp("expected"))
    result = bench.here()
    assert bench.computed() == list(BATCHES)
    return result


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two workers on this machine: address, worker ids. None of them is left at the end."""
    process = program("cluster")
    address, *workers = process.stdout.readline().split()
    yield address, [int(worker) for worker in workers]
    assert finish(process) == 0
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker), 0)


@pytest.fixture(scope="module")
def client(cluster):
    """A client of this process, which resumes what the process of another one had begun."""
    with Client(cluster[0]) as client:
        yield client


@pytest.fixture(params=["in-process", "dask"])
def bench(request, tmp_path):
    if request.param == "in-process":
        return Bench(tmp_path)
    bench = Bench(tmp_path, request.getfixturevalue("cluster")[0])
    bench.elsewhere = {"executor": request.getfixturevalue("client").get_executor(), "in_flight": 4}
    return bench


def assert_same(found, expected):
    """Names, labels, attributes and every bit agree; only the log is another one."""
    xr.testing.assert_identical(found.assign_attrs(settings=""), expected.assign_attrs(settings=""))
    for name, variable in expected.variables.items():
        assert found[name].dtype == variable.dtype
        assert np.asarray(found[name]).tobytes() == variable.values.tobytes()


def check_resumption(bench, expected):
    """Resume, on dask if the sweep ran there; compute what has no mark, nothing else. How many batches were marked."""
    marked, before = bench.marked(), len(bench.computed())
    bench.here(store=bench.store, **bench.elsewhere)
    again = bench.computed()[before:]
    assert set(again) | marked == set(BATCHES)
    assert not set(again) & marked
    if not bench.address:  # a cluster may still finish what its killed client had asked for
        assert len(again) == len(set(again))
    assert sweeps.status(bench.store)[:4] == (72, 70, 2, 0)
    before = len(bench.computed())
    assert_same(bench.here(store=bench.store), expected)
    assert len(bench.computed()) == before
    return len(marked)


@pytest.mark.parametrize(("where", "number"), KILLS)
def test_kill_after_each_stage_of_a_batch(bench, expected, where, number):
    assert finish(bench.start(where, number)) == -signal.SIGKILL
    assert len(bench.marked()) == number + (where == "marked")
    check_resumption(bench, expected)


@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
def test_kill_at_a_random_time(bench, expected, seed):
    process = bench.start()
    delay = random.Random(seed).uniform(0, 1.5 if bench.address else 0.7)
    time.sleep(delay)
    process.kill()
    assert finish(process) in (-signal.SIGKILL, 0)  # 0 where it was faster than we are
    number = check_resumption(bench, expected)
    print(f"\nkilled after {delay:.2f} s: {number} of {len(BATCHES)} batches marked, the others computed on resuming")


def test_processes_that_start_together_share_the_work_and_a_killed_one_leaves_it(tmp_path, expected):
    bench = Bench(tmp_path)
    killed, *others = [bench.start("computed", 2), *(bench.start() for _ in range(3))]
    assert finish(killed) == -signal.SIGKILL
    assert [finish(process) for process in others] == [0, 0, 0]
    computed = bench.computed()
    assert set(computed) == set(BATCHES)
    assert len(computed) <= len(BATCHES) + 1  # what the killed one was at is computed twice, and nothing else
    assert_same(bench.here(store=bench.store), expected)
    assert len(bench.computed()) == len(computed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "store"]


def test_kill_of_a_worker(cluster, tmp_path, expected):
    address, workers = cluster
    bench = Bench(tmp_path, address)
    process, start = bench.start(), time.monotonic()
    while len(bench.marked()) < 2:
        assert process.poll() is None
        assert time.monotonic() < start + TIMEOUT
        time.sleep(0.01)
    os.kill(workers[0], signal.SIGKILL)
    assert finish(process) == 0
    assert_same(bench.here(store=bench.store), expected)


class DyingPool(ProcessPoolExecutor):
    """A pool of which a worker dies when the fifth batch is handed out."""

    handed_out = 0

    def submit(self, function, *arguments):
        self.handed_out += 1
        if self.handed_out == 5:
            super().submit(faulty.die)
        return super().submit(function, *arguments)


def test_kill_of_a_pool_worker_is_an_error_and_resumes(tmp_path, expected):
    bench = Bench(tmp_path)
    with DyingPool(2, multiprocessing.get_context("spawn")) as pool, pytest.raises(BrokenProcessPool) as caught:
        bench.here(store=bench.store, executor=pool, in_flight=2)
    done = f"{len(bench.marked())} of 12 batches were done and are marked in {bench.store}; the same call resumes there"
    assert caught.value.__notes__ == [done]
    check_resumption(bench, expected)


class Tmpfs:
    """A file system of 160 KiB, which holds about half of the sweep."""

    def __init__(self, folder):
        self.folder = folder / "disk"
        self.folder.mkdir()
        self._mount("size=160k")

    def _mount(self, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)

    def enlarge(self):
        self._mount("remount,size=4m")

    def remove(self):
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True, capture_output=True)


class Injected:
    """A folder in which flushing a file to the disk fails after a while, as it does on a full disk."""

    def __init__(self, folder, flushes=170):
        self.folder, self._left, self._flush = folder, flushes, store._flush
        store._flush = self._fail_at_last

    def _fail_at_last(self, path):
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self._flush(path)

    def enlarge(self):
        self._left = 10**6

    def remove(self):
        store._flush = self._flush


def small_disk(folder):
    """A real one where we may mount it."""
    try:
        return Tmpfs(folder)
    except (OSError, subprocess.CalledProcessError):
        return Injected(folder)


@pytest.mark.parametrize("kind", [small_disk, *(partial(Injected, flushes=n) for n in (0, 25, 150, 151, 152, 153))])
def test_full_disk_is_an_error_and_resumes(tmp_path, expected, kind):
    disk = kind(tmp_path)
    try:
        bench = Bench(tmp_path)
        bench.store = disk.folder / "store"
        with pytest.raises(OSError, match="No space left on device") as caught:
            bench.here(store=bench.store)
        marked = bench.marked()
        assert len(marked) < 12
        if bench.store.exists():
            done = f"{len(marked)} of 12 batches were done and are marked in {bench.store}; the same call resumes there"
            assert caught.value.__notes__ == [done]
        disk.enlarge()
        check_resumption(bench, expected)
    finally:
        disk.remove()
