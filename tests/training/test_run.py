"""What training leaves behind: its shapes, and files that come back bitwise or say what is wrong with them."""

import io
import re
import tracemalloc
import zipfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loops import N_STEPS, trained

from toylib.model import Params
from toylib.sweeps import as_run
from toylib.training import Run, log_spaced
from toylib.training._run import snapshot_steps


@pytest.fixture(scope="module")
def sick():
    """Two members, of which the second diverged after its first snapshot."""
    run = trained()
    pair = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), run.params)
    fields = [np.stack([a, a]) for a in run[2:]]
    fields[0][1, 1:], fields[-1][1] = np.nan, True
    return Run(pair, run.steps, *fields)


def test_shapes_of_a_run():
    run = trained()
    assert run.losses.shape == (4,)
    assert run.weights.shape == (4, 3, 6)
    assert run.biases.shape == (4, 6)
    assert run.diverged.shape == ()
    assert not run.diverged
    assert run.params.W.shape == (3, 6)


def test_a_run_is_shown_in_one_line(sick):
    run = trained()
    parts = f"W (3, 6), 4 snapshots to step {N_STEPS:,}"
    assert repr(run) == str(run) == f"<Run: {parts}, loss {run.losses[-1]:.3g}>"
    assert repr(sick) == f"<Run: 2 models, {parts}, median loss {sick.losses[0, -1]:.3g}, 1 diverged>"
    last = run._replace(losses=run.losses[-1:], steps=run.steps[-1:])
    assert ", 1 snapshot to step " in repr(last)
    assert repr(sick.member(1)) == f"<Run: {parts}, diverged>"
    grid = sick._replace(losses=np.full((2, 3, 4), 0.12345), diverged=np.zeros((2, 3), bool))
    assert repr(grid) == f"<Run: 2 × 3 models, {parts}, median loss 0.123>"


def test_default_snapshots_are_logarithmic():
    steps = trained(snapshots=None).steps
    assert np.array_equal(steps, log_spaced(N_STEPS))
    assert steps[0] == 0
    assert steps[-1] == N_STEPS
    assert (np.diff(steps) > 0).all()
    assert steps[1:20].tolist() == list(range(1, 20))
    assert log_spaced(100, number=4).tolist() == [0, 1, 5, 22, 100]  # of 4.64 and 21.54 the nearest
    log = log_spaced(10_000)
    assert np.array_equal(snapshot_steps(None, 0, 10_000), log)
    assert 150 < len(log) <= 201
    late = np.diff(np.log(log[log > 200]))
    assert late.std() < 0.05 * late.mean()
    later = snapshot_steps(None, 300, 10_000)
    assert later[0] == 300
    assert np.array_equal(later[1:], log[log > 300])


def test_a_dataset_names_the_axes_and_holds_the_run():
    run = trained()
    data = run.to_xarray()
    assert data.weights.dims == ("step", "hidden", "feature")
    assert data.biases.dims == ("step", "feature")
    assert data.step.values.tolist() == run.steps.tolist()
    assert np.array_equal(data.weights.sel(step=run.steps[2]), run.weights[2])
    assert not data.diverged


def test_the_dataset_of_an_ensemble_is_that_of_a_sweep():
    rng, steps = np.random.default_rng(5), np.array([0, 7])
    W, b = (rng.normal(size=(2, 3, 2, *shape)).astype(np.float32) for shape in ((4, 5), (5,)))
    losses, diverged = rng.random((2, 3, 2)), rng.random((2, 3)) < 0.5
    run = Run(Params(jnp.asarray(W[..., -1, :, :]), jnp.asarray(b[..., -1, :])), steps, losses, W, b, diverged)
    data = run.to_xarray(S=[0.9, 0.5], seed=[4, 2, 9])
    assert float(data.losses.sel(S=0.5, seed=9, step=7)) == losses[1, 2, 1]
    assert np.array_equal(data.weights.sel(S=0.9, seed=2).isel(step=0), W[0, 1, 0])
    back = as_run(data)
    for ours, theirs in zip(jax.tree.leaves(run), jax.tree.leaves(back), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("axes", "got"),
    [
        ({}, "none"),
        ({"S": [0.9]}, "S of 1"),
        ({"S": [0.9, 0.5], "seed": [1]}, "S of 2, seed of 1"),
        ({"step": [0.9, 0.5]}, "step of 2"),
        ({"losses": [0.9, 0.5]}, "losses of 2"),
    ],
)
def test_each_leading_axis_needs_a_name(sick, axes, got):
    message = (
        "axes must be name=values for each of the leading axes of sizes (2,), other than step, hidden, feature, "
        "losses, weights, biases, diverged, "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message + f'got {got}; name them in order')}"):
        sick.to_xarray(**axes)


@pytest.mark.parametrize("odd", [[0.1, 0.1], [None, 1], [[0], [1]], [[0], [1, 2]], None, 0.5])
def test_names_of_members_are_a_list_that_differs(sick, odd):
    with pytest.raises((TypeError, ValueError), match=f"^S must be a list of .*, got {re.escape(repr(odd))}; "):
        sick.to_xarray(S=odd)


def test_a_saved_run_comes_back_bitwise(tmp_path, sick):
    for i, run in enumerate((trained(), sick)):
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


class Scaled(NamedTuple):
    """A model with more than W and b."""

    W: jax.Array
    b: jax.Array
    gain: jax.Array


def test_a_run_of_another_model_is_not_saved(tmp_path):
    run = trained()
    other = run._replace(params=Scaled(*run.params, jnp.ones(6)))
    with pytest.raises(TypeError, match=r"^params must be Params\(W, b\), got Scaled; save its arrays yourself$"):
        other.save(tmp_path / "run.npz")
    assert not any(tmp_path.iterdir())


def test_a_bad_file_is_named(tmp_path):
    path = tmp_path / "run.npz"
    trained().save(path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes(b ^ 255 for b in whole[middle : middle + 40]) + whole[middle + 40 :]
    message = r"run\.npz must be a file written by Run\.save, got .*; train again or copy it anew$"
    for content in (b"", b"not a run", whole[:middle], whole[:-10], damaged):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            Run.load(path)
    np.savez(path, W=np.zeros(3))
    with pytest.raises(ValueError, match=message):
        Run.load(path)
    fields = {name: np.array([print], object) for name in ("W", "b", *Run._fields[1:])}
    np.savez(path, **fields)
    with pytest.raises(ValueError, match=message):
        Run.load(path)
    trained().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    vast = io.BytesIO()  # 4 TB, of which there are 8 bytes
    np.lib.format.write_array_header_1_0(vast, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    for name, content in {"W.npy": vast.getvalue() + bytes(8), "b.npy": parts["b.npy"] + b"more"}.items():
        with zipfile.ZipFile(path, "w") as archive:
            for other, whole in (parts | {name: content}).items():
                archive.writestr(other, whole)
        with pytest.raises(ValueError, match=rf"got ValueError\('{name} of shape .* and type float32 in \d+ bytes"):
            Run.load(path)
    with pytest.raises(FileNotFoundError, match=r"nothing.npz"):
        Run.load(tmp_path / "nothing.npz")


def test_a_small_file_does_not_expand_without_bound(tmp_path):
    path, run = tmp_path / "run.npz", trained()
    bomb = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 4000, 4000), (0, 0, 0))
    run._replace(weights=bomb).save(path)
    assert path.stat().st_size < 2**18
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r"run.npz must take at most memory=1,000,000 bytes, got 64,\d{3},\d{3}; if it is "
    ):
        Run.load(path, memory=10**6)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
    run.save(path)
    with pytest.raises(ValueError, match=r"pass memory=\d+$") as caught:
        Run.load(path, memory=1)
    needed = int(str(caught.value).rpartition("=")[2])
    assert needed > sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(run))
    assert np.array_equal(Run.load(path, memory=needed).weights, run.weights)
    with pytest.raises(ValueError, match=f"got {needed:,}; if it is yours pass memory={needed}$"):
        Run.load(path, memory=needed - 1)


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
    assert list(tmp_path.iterdir()) == [path]


def test_home_and_links_are_followed_and_other_files_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run.npz.partial").write_text("mine")
    trained().save("~/run.npz")
    (tmp_path / "link.npz").symlink_to(tmp_path / "run.npz")
    trained(seed=1).save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert np.array_equal(Run.load("~/run.npz").weights, trained(seed=1).weights)
    assert (tmp_path / "run.npz.partial").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "s3://bucket/run.npz",
            "path must be on a file system of this machine, got the address 's3://bucket/run.npz'; ",
        ),
        ("", "path must be a path that can be there, got '': an empty name; name another"),
        (".", "path must be that of a file, got the folder "),
    ],
)
def test_other_places_are_refused(path, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        trained().save(path)
    if path != ".":
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            Run.load(path)


SIZE = "pass a Python int from 1 up, since sizes cannot be traced"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: log_spaced(0), ValueError, f"n_steps must be at least 1, got 0; {SIZE}"),
        (lambda: log_spaced(10, number=2.5), TypeError, f"number must be an integer, got 2.5; {SIZE}"),
    ],
)
def test_arguments_of_log_spaced_are_checked(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
