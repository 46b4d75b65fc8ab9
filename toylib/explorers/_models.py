"""Models that one has in hand, laid out by the names of their axes: what the explorers of any model share."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from toylib._checks import check_real, check_run, on_host
from toylib._drawable import check_call, scalar
from toylib.explorers._explorer import Explorer, explore
from toylib.features import Features
from toylib.figures import Axis, Drawing
from toylib.model import Params
from toylib.sweeps import as_run
from toylib.training import Run

if TYPE_CHECKING:
    import xarray as xr

Axes = Mapping[str, Sequence[Any]]
"""name -> stops of each leading axis, in order."""

Levels = Callable[[float], Mapping[str, float]] | Mapping[str, float] | None
"""Losses by name, or S -> such, or none."""

_SLIDERS = {"S": "sparsity", "training": "attack"}
"""How the slider of an axis is called where it has another name."""
_ORDER = ("training", "S", "density", "norm", "radius", "seed")
_MOST = 2**19  # numbers drawn in search of inputs that are not empty


def laid_out(
    models: "Params | Run | xr.Dataset", S: ArrayLike | None, axes: Axes | None
) -> tuple[Axes, Params | Run, Callable[[tuple[int, ...]], float]]:
    """Models by their axes.

    Args:
        models: one, several with leading axes, a run, an ensemble, or a sweep of `sweeps.train_points`.
        S: one sparsity of all, or those of the axis S.
        axes: name -> stops of each leading axis; by default S, seed, or S, radius, seed, as `train_ensemble` has them;
            a single one is S if S has several, else seed. A sweep has its own.

    Returns:
        The axes, the models with them in front, and a function from a position on them to the sparsity there.

    Raises:
        TypeError: something else. ValueError: axes that do not fit, or no sparsity.
    """
    if hasattr(models, "data_vars"):
        sweep: Any = models
        if axes is not None:
            raise ValueError(f"axes must be left out of a dataset, which has its own, got {axes!r:.80}; rename those")
        if missing := {"losses", "weights"} - {*sweep.data_vars} or {"step"} - {*sweep["losses"].dims}:
            remedy = "keep the step, as isel(step=[-1]) does" if "step" in missing else "keep all that it returned"
            raise ValueError(
                f"a dataset must be one of train_points, got none with {', '.join(sorted(missing))}; {remedy}"
            )
        names = [str(name) for name in sweep["losses"].dims if name != "step"]
        _check_coordinates(sweep, names)
        sides = {name: sweep[name].values.tolist() for name in names}
        found = as_run(sweep.transpose(*names, "step", "hidden", "feature"))
        if S is None and "S" in sweep.coords and "S" not in sides:
            S = sweep["S"].values  # of one that was selected
        return sides, found, _sparsities(sides, S)
    if not isinstance(models, Params | Run):
        raise TypeError(
            f"models must be Params, a Run or a dataset of train_points, got {type(models).__name__}; pass run.params, "
            "or Params(W, b)"
        )
    if isinstance(models, Run):
        check_run("models", models)
    shape = np.shape(models.losses)[:-1] if isinstance(models, Run) else np.shape(models.W)[:-2]
    sides = named(shape, S, axes)
    return sides, models, _sparsities(sides, S)


def named(shape: tuple[int, ...], S: ArrayLike | None, axes: Axes | None) -> Axes:
    """The axes of arrays with leading axes of this shape, as `laid_out` has them."""
    if axes is None:
        axes = _counted(shape, "S", "S" if S is not None and on_host("S", S).ndim else "seed")
        if "S" in axes and S is not None:
            axes = {**axes, "S": np.ravel(np.asarray(S)).tolist()}
        elif "S" in axes:
            raise ValueError(
                f"S must be given, got none for models of leading axes {shape}; pass S=..., or axes={{...}}"
            )
    if not (isinstance(axes, Mapping) and all(isinstance(name, str) and _listed(axes[name]) for name in axes)):
        raise TypeError(
            f"axes must be name -> list of stops, got {axes!r:.80}; pass such as axes={{'S': [...], 'seed': [...]}}"
        )
    lengths = {name: len(stops) for name, stops in axes.items()}
    if tuple(lengths.values()) != shape:
        raise ValueError(
            f"axes must name the leading axes {shape} of the models, got {lengths}; pass such as "
            "axes={'S': [...], 'seed': [...]}"
        )
    return dict(axes)


def _listed(stops: Any) -> bool:
    """Whether these are the stops of an axis."""
    return (isinstance(stops, Sequence) and not isinstance(stops, str)) or getattr(stops, "ndim", 0) == 1


def _check_coordinates(array: Any, names: Sequence[str]) -> None:
    """Check that axes whose stops have units have some; counted from 0 they would be wrong."""
    if bare := [name for name in names if name in ("S", "density", "norm") and name not in array.coords]:
        raise ValueError(
            f"{bare[0]} must have a coordinate, got a dimension without; pass assign_coords({bare[0]}=[...])"
        )


def _counted(shape: tuple[int, ...], sparsity: str, alone: str = "seed") -> Axes:
    """The leading axes of an ensemble as `train_ensemble` has them, counted from 0; `alone` is one without others."""
    names = {1: (alone,), 2: (sparsity, "seed"), 3: (sparsity, "radius", "seed")}.get(len(shape), ())
    return {name: range(length) for name, length in zip(names, shape, strict=False)}


def _sparsities(sides: Axes, S: ArrayLike | None) -> Callable[[tuple[int, ...]], float]:
    """From a position on the axes to the sparsity there."""
    if "S" in sides:
        place, stops = list(sides).index("S"), sides["S"]
        check_real(
            "S",
            stops,
            "pass those that the models were trained at",
            least=0,
            below=1,
            ndim=1,
            many="pass a list",
            double=True,
        )
        if S is not None and not np.array_equal(np.ravel(np.asarray(S)), stops):
            raise ValueError(f"S must be that of the axis S where there is one, got {S!r:.80}; leave it out")
        return lambda at: float(stops[at[place]])
    if S is None:
        raise ValueError("S must be given where it is no axis, got none; pass what the models were trained at")
    check_real(
        "S",
        S,
        "pass what the models were trained at",
        least=0,
        below=1,
        many="pass one number, or name an axis S",
        double=True,
    )
    return lambda at: float(S)  # pyrefly: ignore


def levels_at(levels: Levels, S: float) -> dict[str, float]:
    """Losses by name at a sparsity, of what an explorer was given; TypeError if these are no such."""
    if callable(levels):
        check_call("levels", levels, S)
    given = levels(S) if callable(levels) else {} if levels is None else levels
    if not isinstance(given, Mapping):
        raise TypeError(f"levels must be name -> loss, or S -> such, got {given!r:.80}; pass a dict")
    for name, loss in given.items():
        scalar(f"levels of {name}", loss, float)
    return {str(name): float(loss) for name, loss in given.items()}


def check_features(W: np.ndarray, features: Features) -> None:
    """Check that models are of as many features as a distribution; TypeError, ValueError if not."""
    if not isinstance(features, Features):
        raise TypeError(
            f"features must be a distribution of toylib.features, got {features!r:.80}; try Correlated(2, 3)"
        )
    if W.shape[-1] != features.n_features:
        raise ValueError(
            f"models must be of the {features.n_features} features given, got W of {W.shape[-1]}; pass the features "
            "that they were trained on"
        )


def inputs(features: Features, S: float, number: int, key: jax.Array) -> np.ndarray:
    """The first inputs that are not empty, (number, n), of those drawn at a sparsity; ValueError if too few are."""
    size = 256
    while size * features.n_features <= _MOST:
        x = np.asarray(features.sample(S, size, key=key))
        full = x[x.any(1)]
        if len(full) >= number:
            return full[:number]
        size *= 16
    raise ValueError(f"inputs must not all be empty, got too few others at S = {S:g}; pass X, or a smaller S")


def weights_of(weights: Any, axes: Axes | None) -> tuple[Axes, np.ndarray]:
    """W by its axes, from whatever has it: an array with named dimensions or without, Params, or a run over its steps.

    Raises:
        ValueError: no dimensions hidden and feature, axes that do not fit, or no matrix.
    """
    if isinstance(weights, Run):
        check_run("weights", weights)
        shape = np.shape(weights.losses)[:-1]
        sides = named(shape, None, _counted(shape, "which_S") if axes is None else axes)
        if "step" in sides:
            raise ValueError("axes must not be called step, which a run has already, got step; rename it")
        return {**sides, "step": weights.steps.tolist()}, on_host("weights", weights.weights, np.float32)
    if hasattr(weights, "dims") and axes is not None:
        raise ValueError(f"axes must be left out of what names its own, got {axes!r:.80}; rename those")
    if hasattr(weights, "data_vars") and "weights" in weights:
        weights = weights["weights"]
    if hasattr(weights, "dims") and not hasattr(weights, "data_vars"):
        if missing := {"hidden", "feature"} - {*weights.dims}:
            raise ValueError(
                f"weights must have the dimensions hidden and feature, got {', '.join(map(str, weights.dims))}; rename "
                f"what is {' and '.join(sorted(missing))}"
            )
        others = {str(name) for name in weights.dims} - {"hidden", "feature"}
        names = sorted(others, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
        _check_coordinates(weights, names)
        values = weights.transpose(*names, "hidden", "feature").values
        return {name: weights[name].values.tolist() for name in names}, on_host("weights", values, np.float32)
    values = on_host("weights", weights.W if isinstance(weights, Params) else weights, np.float32)
    if values.ndim < 2 or not values.size:
        raise ValueError(f"weights must be W (m, n), or have leading axes before it, got shape {values.shape}; pass W")
    shape = values.shape[:-2]
    return named(shape, None, _counted(shape, "which_S") if axes is None else axes), values


class Stops:
    """The axes of models under the names of their sliders.

    Args:
        sides: axes as `laid_out` gives them.
        taken: names of the explorer's other sliders.

    Attributes:
        axes: name of the slider -> stops.

    Raises:
        ValueError: a name that is taken.
    """

    def __init__(self, sides: Axes, *taken: str) -> None:
        """Name them."""
        taken = ("draw", "play", "start", *taken)
        if double := [name for name in sides if _SLIDERS.get(name, name) in taken]:
            raise ValueError(f"axes must not be called {', '.join(taken)}, got {double[0]}; rename it")
        self.axes = {_SLIDERS.get(name, name): stops for name, stops in sides.items()}
        if len(self.axes) < len(sides):
            raise ValueError(
                f"axes must have names of their own, got {', '.join(sides)}, of which two mean one; rename it"
            )
        self._axes = {name: Axis.of(name, stops) for name, stops in self.axes.items()}

    def position(self, stops: Mapping[str, Any]) -> tuple[int, ...]:
        """Where among the models some stops are."""
        return tuple(axis.position(stops[name]) for name, axis in self._axes.items())

    def text(self, stops: Mapping[str, Any], S: float | None = None) -> str:
        """The stops in words, as a title has them; before them the sparsity S, if it is given and no axis."""
        labels = {} if S is None or "sparsity" in self._axes else {"sparsity": f"S = {S:g}"}
        labels |= {name: axis.labels[axis.position(stops[name])] for name, axis in self._axes.items()}
        if isinstance(stops.get("norm"), int | float):
            labels["norm"] = f"{stops['norm']:g} · E‖x‖"
        alone = ("attack", "sparsity")  # their stops say what they are
        return ", ".join(label if name in alone else f"{name} {label}" for name, label in labels.items())

    def middle(self) -> dict[str, Any]:
        """Where to open: in the middle of the sparsities, at the last step, and at the first of all else."""
        places = {"sparsity": lambda stops: len(stops) // 2, "step": lambda _: -1}
        return {name: stops[places.get(name, lambda _: 0)(stops)] for name, stops in self.axes.items()}


def moving(draw: Callable[..., Drawing], axes: Axes, start: Mapping[str, Any], *, play: str | None = None) -> Explorer:
    """An explorer with a slider for each axis that has more than one stop, or for the last one if none has."""
    several = {name: stops for name, stops in axes.items() if len(stops) > 1} or dict([list(axes.items())[-1]])
    fixed = partial(draw, **{name: stops[0] for name, stops in axes.items() if name not in several})
    begin = {name: stop for name, stop in start.items() if name in several}
    return explore(fixed, play=play if play in several else None, start=begin, **several)
