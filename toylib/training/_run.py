"""What training leaves behind, on disk too, and the errors that carry it."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4
from zipfile import ZipFile

import jax
import jax.numpy as jnp
import numpy as np

from toylib._checks import check_size
from toylib._paths import checked_path
from toylib.model import Params

if TYPE_CHECKING:
    import xarray as xr


class State(NamedTuple):
    """A run at one step, all that is needed to go on; an ensemble has leading axes on all but `step`.

    Attributes:
        params: the model, W (m, n) and b (n,).
        opt_state: the optimizer's.
        step: number of updates made.
        loss: population loss of the parameters, as in a Run; NaN where a parameter is not finite.
        finite: whether loss and parameters are finite.
    """

    params: Params
    opt_state: Any
    step: int
    loss: Any
    finite: Any


class Run(NamedTuple):
    """What training leaves behind; an ensemble adds the leading axes of `train_ensemble` to all but `steps`.

    Attributes:
        params: the model after the last step.
        steps: (T,) int, the number of updates made before each snapshot.
        losses: (..., T), population loss of the parameters at each snapshot (never the loss of a batch): summed over
            features, averaged over the distribution; NaN from where a member diverged.
        weights: (..., T, m, n), W at each snapshot.
        biases: (..., T, n), b at each snapshot.
        diverged: (...,) bool, whether the loss or a parameter stopped being finite.
    """

    params: Params
    steps: np.ndarray
    losses: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    diverged: np.ndarray

    def member(self, *index: Any) -> "Run":
        """The run of one member, or of several: `run.member(a, c)` of density a and seed c."""
        params = jax.tree.map(lambda leaf: leaf[index], self.params)
        return Run(params, self.steps, *(array[index] for array in self[2:]))

    def __repr__(self) -> str:
        """One line: what it holds and how it ended, in three digits, instead of all its numbers."""
        losses, members = np.asarray(self.losses), np.shape(self.losses)[:-1]
        last, sick = losses[..., -1][~np.asarray(self.diverged)], np.count_nonzero(self.diverged)
        number, kept = prod(members), losses.shape[-1]
        parts = [f"{' × '.join(map(str, members))} model{'s' * (number != 1)}"] if members else []
        parts += [f"W {np.shape(self.weights)[-2:]}"]
        parts += [f"{kept} snapshot{'s' * (kept != 1)} to step {int(self.steps[-1]):,}"]
        parts += [f"{'median loss' if members else 'loss'} {np.median(last):.3g}"] if last.size else []
        parts += [f"{sick} diverged" if members else "diverged"] if sick else []
        return f"<Run: {', '.join(parts)}>"

    def to_xarray(self, **axes: Any) -> "xr.Dataset":
        """The run as an xarray Dataset, from which CSV, netCDF and pandas are one call away.

        Args:
            axes: name=values for each leading axis, in order, such as S=Ss, seed=range(c); a single run has none.

        Returns:
            losses (..., step), weights (..., step, hidden, feature), biases (..., step, feature) and diverged (...),
            with the coordinate step, and those of the axes. `sweeps.as_run` takes it back.

        Raises:
            ValueError: not one name for each leading axis, one that is taken, values of another number than members, or
                that repeat.
            TypeError: values that are no list of numbers or texts.

        >>> import jax
        >>> from toylib.features import Independent
        >>> from toylib.training import train
        >>> run = train(Independent(5), 0.9, n_hidden=2, n_steps=10, key=jax.random.key(0), population=True)
        >>> dict(run.to_xarray().weights.sizes)
        {'step': 11, 'hidden': 2, 'feature': 5}
        """
        import xarray as xr

        stops = {name: _stops(name, values) for name, values in axes.items()}
        shape, sizes = np.shape(self.diverged), {name: len(values) for name, values in stops.items()}
        inner: dict[str, tuple[str, ...]] = {"losses": ("step",), "weights": ("step", "hidden", "feature")}
        inner |= {"biases": ("step", "feature"), "diverged": ()}
        if tuple(sizes.values()) != shape or {*axes} & {"step", "hidden", "feature", *inner}:
            got = ", ".join(f"{name} of {size}" for name, size in sizes.items()) or "none"
            raise ValueError(
                f"axes must be name=values for each of the leading axes of sizes {shape}, other than step, hidden, "
                f"feature, {', '.join(inner)}, got {got}; name them in order, such as S=Ss, seed=range(8)"
            )
        variables = {name: ((*axes, *dims), getattr(self, name)) for name, dims in inner.items()}
        return xr.Dataset(variables, {"step": self.steps, **stops})

    def save(self, path: str | Path) -> None:
        """Write the run to one .npz file without pickle; the file appears whole or not at all.

        Raises:
            ValueError: an address, a folder, or where we may not write.
            TypeError: no path; a model other than `toylib.model.Params`, whose two arrays are all that the file holds.
        """
        if type(self.params) is not Params:
            raise TypeError(f"params must be Params(W, b), got {type(self.params).__name__}; save its arrays yourself")
        path = checked_path("path", path, write=True)
        if path.is_dir():
            raise ValueError(f"path must be that of a file, got the folder {path}; add a name such as run.npz")
        arrays: dict[str, Any] = self.params._asdict() | dict(zip(self._fields[1:], self[1:], strict=True))
        unfinished = path.with_name(f".toylib-{uuid4().hex}")
        try:
            with unfinished.open("xb") as file:
                np.savez_compressed(file, **arrays)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path, *, memory: int = 2**32) -> "Run":
        """Read what `save` wrote; nothing is unpickled.

        Args:
            path: of the file.
            memory: bytes that its arrays may take; a small file may declare a thousand times its size.

        Raises:
            ValueError: the file is damaged, something else, or declares more than `memory`.
            FileNotFoundError: there is none.
        """
        path, names = checked_path("path", path), ("W", "b", *cls._fields[1:])
        check_size("memory", memory, most=2**63 - 1, remedy="it bounds the bytes of the arrays that are read")
        try:
            with path.open("rb") as file, ZipFile(file) as archive:
                size = sum(_declared(archive, f"{name}.npy") for name in names)
                if size <= memory:
                    with np.load(path, allow_pickle=False) as arrays:
                        params = Params(jnp.asarray(arrays["W"]), jnp.asarray(arrays["b"]))
                        return cls(params, *(arrays[field] for field in cls._fields[1:]))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(
                f"{path} must be a file written by Run.save, got {error!r}; train again or copy it anew"
            ) from error
        raise ValueError(
            f"{path} must take at most memory={memory:,} bytes, got {size:,}; if it is yours pass memory={size}"
        )


def _stops(name: str, values: Any) -> np.ndarray:
    """The stops of an axis as its coordinate."""
    try:
        array = np.asarray(values)
    except ValueError:  # lists of several lengths
        array = np.empty(())
    if array.ndim != 1 or array.dtype == object:
        raise TypeError(f"{name} must be a list of numbers or texts, got {values!r:.80}; pass one for each member")
    if len(np.unique(array)) < len(array):
        raise ValueError(f"{name} must be a list of values that differ, got {values!r:.80}; name each member once")
    return array


def _declared(archive: ZipFile, name: str) -> int:
    """Bytes of an array in an archive, from what it declares, which must agree with its header; none is read."""
    size = archive.getinfo(name).file_size  # and no more is unpacked
    with archive.open(name) as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if size != file.tell() + prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} of shape {shape} and type {dtype} in {size} bytes")
    return size


class _WithRun(BaseException):
    """An error that carries a run, through pickle and copy too: from a process pool, say."""

    run: Run

    def __reduce__(self) -> tuple:
        return _again, (type(self), self.args, self.run)


def _again(kind: type[_WithRun], args: tuple, run: Run) -> _WithRun:
    error = kind.__new__(kind)
    error.args, error.run = args, run
    return error


class Interrupted(_WithRun, KeyboardInterrupt):
    """Training was interrupted; `run` holds what was done, with all members that far."""

    def __init__(self, run: Run) -> None:
        """Keep the partial run."""
        super().__init__(f"interrupted after step {run.steps[-1]}; the partial result is in .run")
        self.run = run


class Diverged(_WithRun, ArithmeticError):
    """Training left the finite numbers; `run` holds the snapshots up to there."""

    def __init__(self, run: Run, step: int, loss: float, rate: str, *, at_start: bool = False) -> None:
        """Say what is not finite, when, with which loss, at which learning rate, and what to lower."""
        whole = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))
        parameters = "finite parameters" if whole else "NaN or infinity in the parameters"
        lower = "the init scale, start or importance" if at_start else "the learning rate or the init scale"
        super().__init__(
            f"training must keep loss and parameters finite, got loss {loss:g} and {parameters} by step {step} at "
            f"{rate}; lower {lower}. The run up to there is in .run"
        )
        self.run = run


def log_spaced(n_steps: int, number: int = 200) -> np.ndarray:
    """At most `number` whole steps from 1 to n_steps, spaced evenly in their logarithm, and 0.

    >>> log_spaced(1000, number=4).tolist()
    [0, 1, 10, 100, 1000]
    """
    spaced = np.geomspace(1, check_size("n_steps", n_steps), check_size("number", number))
    return np.unique(np.concatenate([[0], np.rint(spaced), [n_steps]]).astype(int))


def snapshot_steps(snapshots: Sequence[int] | None, first: int, n_steps: int) -> np.ndarray:
    """The steps at which a run from `first` to n_steps keeps its state: the given ones, checked, or log-spaced ones."""
    if check_size("n_steps", n_steps) < first:
        raise ValueError(f"n_steps must be at least the step of start, {first}, got {n_steps}; pass a later step")
    if snapshots is None:
        return np.union1d(first, [step for step in log_spaced(n_steps) if step > first])
    steps = np.asarray(snapshots)
    if steps.ndim != 1 or not steps.size or not np.issubdtype(steps.dtype, np.integer):
        raise TypeError(f"snapshots must be a sequence of integers, got {snapshots!r}; try range(0, n_steps + 1, 100)")
    if (np.diff(steps) <= 0).any() or steps[0] < first or steps[-1] > n_steps:
        raise ValueError(
            f"snapshots must increase within [{first}, {n_steps}], got {snapshots!r}; sort them, and drop repeats and "
            "what is beyond"
        )
    return steps


def run_of(snapshots: Sequence[State], last: State, axes: int) -> Run:
    """The Run of the states at its snapshots, whose arrays have so many leading axes, and of the last state."""
    rows = jax.tree.map(lambda *leaves: np.stack(leaves), *snapshots)
    alive = np.logical_and.accumulate(rows.finite)
    series = np.where(alive, rows.loss, np.nan), rows.params.W, rows.params.b
    losses, W, b = (np.moveaxis(array, 0, axes) for array in series)
    return Run(last.params, rows.step, losses, W, b, ~(alive[-1] & np.asarray(last.finite)))


def summary(state: State) -> str:
    """The loss for the progress bar: of one model, or the median of many, with the number that diverged."""
    losses, finite = np.asarray(state.loss), np.asarray(state.finite)
    if not finite.any():
        return "all diverged"
    text = f"{'loss' if losses.size == 1 else 'median loss'} {np.median(losses[finite]):.3g}"
    return text if finite.all() else f"{text}, {np.count_nonzero(~finite)} diverged"
