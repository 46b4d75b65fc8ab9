"""Several processes and threads on one store, and what a store does to the folder that it stands in."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from toylib import _locks, sweeps
from toylib._locks import ALONE, lock, scratch
from toylib.sweeps._open import POLL_S

STARTERS = 5
GRID = {"x": range(12), "y": [0.5, 0.75]}
CALLS = []
HELD = threading.Event()
GO = threading.Event()


@pytest.fixture(autouse=True)
def nothing_called():
    CALLS.clear()
    HELD.clear()
    GO.set()


def slow(x, y, *, shift=0):
    CALLS.append(int(x[0]))
    if x[0] == 3:
        HELD.set()
        assert GO.wait(60)
    time.sleep(0.01)
    return {"sum": x + y + shift, "word": np.char.add("no. ", x.astype(str))}


def run(store, **options):
    return sweeps.run(slow, GRID, **{"store": store, "batch": 2, "progress": False} | options)


def together(function, number=STARTERS):
    """What each of several calls returned that began at one moment."""
    barrier = threading.Barrier(number)

    def call(_):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


GO.set()
EXPECTED = run(None)


@pytest.mark.parametrize("repeat", range(3))
@pytest.mark.parametrize("batch", [2, None])
def test_starters_share_out_one_store(repeat, batch, tmp_path):
    found = together(lambda: run(tmp_path / "s", batch=batch))
    for each in found:
        xr.testing.assert_equal(each, EXPECTED)
    if batch is None:  # each may compute the first point, to choose a size
        assert 2 <= len(CALLS) <= STARTERS + 1
    else:
        assert sorted(CALLS) == list(GRID["x"])
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert not list((tmp_path / "s").rglob("lease"))


@pytest.mark.parametrize("repeat", range(3))
def test_starters_that_overwrite_make_one_store(repeat, tmp_path):
    old = run(tmp_path / "s", shift=1).load()
    assert not np.array_equal(old["sum"], EXPECTED["sum"])
    CALLS.clear()
    for each in together(lambda: run(tmp_path / "s", overwrite=True)):
        xr.testing.assert_equal(each, EXPECTED)
    assert sorted(CALLS) == list(GRID["x"])
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_batch_that_another_is_at_is_waited_for_and_not_computed_twice(tmp_path):
    GO.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, tmp_path / "s")
        assert HELD.wait(60)
        second = pool.submit(run, tmp_path / "s")
        while sweeps.status(tmp_path / "s").done < 22:
            time.sleep(0.01)
        time.sleep(3 * POLL_S)
        assert not second.done()
        assert sorted(CALLS) == list(GRID["x"])
        GO.set()
        for each in (first, second):
            xr.testing.assert_equal(each.result(), EXPECTED)
    assert len(CALLS) == 12


def test_a_store_in_use_is_not_overwritten(tmp_path):
    GO.clear()
    message = (
        f"{tmp_path / 's'} must not be in use when it is overwritten, got another process that works on it; wait for "
        "it, stop it, or name another path"
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, tmp_path / "s")
        assert HELD.wait(60)
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            run(tmp_path / "s", overwrite=True)
        GO.set()
        xr.testing.assert_equal(first.result(), EXPECTED)
    xr.testing.assert_equal(run(tmp_path / "s", shift=2, overwrite=True)["sum"], EXPECTED["sum"] + 2)


def test_an_interruption_lets_go_of_its_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("toylib.sweeps._run.wait", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    GO.clear()
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            sweeps.run(
                slow, {"x": [3, 4, 5, 6], "y": [0.5]}, store=tmp_path / "s", batch=1, executor=pool, progress=False
            )
        monkeypatch.undo()
        GO.set()
    assert not list((tmp_path / "s").rglob("lease"))
    found = sweeps.run(slow, {"x": [3, 4, 5, 6], "y": [0.5]}, store=tmp_path / "s", batch=1, progress=False)
    assert found["sum"].values.tolist() == [[3.5], [4.5], [5.5], [6.5]]


# ---- the folder around a store


def test_what_is_not_ours_stays(tmp_path):
    mine = [tmp_path / "s.unfinished", tmp_path / f".toylib-{'0' * 32}", tmp_path / ".toylib-notes"]
    for folder in mine:
        folder.mkdir()
        (folder / "notes").write_text("mine")
    run(tmp_path / "s")
    run(tmp_path / "s", shift=1, overwrite=True)
    assert all((folder / "notes").read_text() == "mine" for folder in mine)
    assert sorted(tmp_path.iterdir()) == sorted([*mine, tmp_path / "s"])


@pytest.mark.parametrize("sweep", ["mine", {"range": [0, 1]}])
def test_a_group_of_somebody_else_is_not_overwritten(sweep, tmp_path):
    zarr.create_group(tmp_path / "s", attributes={"sweep": sweep})
    for options in ({}, {"overwrite": True}):
        with pytest.raises(ValueError, match=r"s must be the store of a sweep, got .*; name another path"):
            run(tmp_path / "s", **options)
    assert zarr.open_group(tmp_path / "s", mode="r").attrs["sweep"] == sweep


def test_what_killed_processes_left_goes_and_what_others_have_stays(tmp_path):
    dead = tmp_path / f".toylib-{'a' * 32}"
    (dead / "store" / "marks").mkdir(parents=True)
    (dead / "lock").touch()
    with scratch(tmp_path / "t") as alive:
        assert not dead.exists()
        (alive / "half").touch()
        run(tmp_path / "s")
        assert (alive / "half").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_lock_is_of_the_file_that_is_there(tmp_path):
    file = tmp_path / "lock"
    first = lock(file, ALONE, create=True)
    assert lock(file, ALONE, create=True) is None
    file.unlink()
    second = lock(file, ALONE, create=True)  # another file of that name
    assert second is not None
    first.close()
    assert lock(file, ALONE) is None
    second.close()
    lock(file, ALONE).close()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        lock(file, ALONE)


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(_locks.fcntl, "flock", fail)
    with pytest.raises(
        ValueError, match=r"^a store must be on a file system with locks, got .*supported; name another"
    ):
        run(tmp_path / "s")
    assert CALLS == []


# ---- paths


def test_home_and_links_are_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    xr.testing.assert_equal(run("~/inner/s"), EXPECTED)
    assert sweeps.status("~/inner/s").done == 24
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    (tmp_path / "link").symlink_to(tmp_path / "inner" / "s")
    CALLS.clear()
    xr.testing.assert_equal(run("link"), EXPECTED)
    assert CALLS == []
    xr.testing.assert_equal(run(tmp_path / "link", shift=3, overwrite=True)["sum"], EXPECTED["sum"] + 3)
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "dangling").symlink_to(tmp_path / "later")
    run("dangling")
    assert sweeps.status(tmp_path / "later").done == 24


HERE = "store must be on a file system of this machine, got the address '{}'; name a folder here and copy"


@pytest.mark.parametrize(
    ("store", "error", "message"),
    [
        ("s3://bucket/x", ValueError, HERE.format("s3://bucket/x")),
        ("memory://x", ValueError, HERE.format("memory://x")),
        (Path("gs://bucket/x"), ValueError, HERE.format("gs:/bucket/x")),
        ("a::b", ValueError, HERE.format("a::b")),
        (Path("simplecache::x"), ValueError, HERE.format("simplecache::x")),
        ("", ValueError, "store must be a path that can be there, got '': an empty name; name another"),
        ("a" * 300, ValueError, "store must be a path that can be there, got 'aaa"),
        ("a\0b", ValueError, "store must be a path that can be there, got 'a"),
        ("~nobody-of-that-name/x", ValueError, "store must be a path that can be there, got '~nobody"),
        ("file/x", ValueError, "store must be where we may write, got 'file/x', and "),
        (3, TypeError, "store must be a path, got 3; pass a string or a pathlib.Path"),
        (b"x", TypeError, "store must be a path, got b'x'; pass a string or a pathlib.Path"),
    ],
)
def test_other_places_are_refused_before_anything_is_computed(store, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for call in (run, sweeps.status) if store != "file/x" else (run,):
        with pytest.raises(error, match=f"^{re.escape(message)}"):
            call(store)
    assert CALLS == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
