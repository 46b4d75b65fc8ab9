"""Ensembles as sweeps: a function that trains the points of a sweep together, and its results as a Run again."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from toylib._checks import check_key
from toylib.features import Features
from toylib.model import Params
from toylib.sweeps._grids import product
from toylib.training import Run, train_ensemble

if TYPE_CHECKING:
    import xarray as xr


def train_points(
    S: np.ndarray, seed: np.ndarray, *, features: Features, keys: jax.Array, **options: Any
) -> dict[str, Any]:
    """Train a product of sparsities and seeds in one program: sweeps.run(train_points, {"S": ..., "seed": ...}, ...).

    Args:
        S: (points,), sparsities.
        seed: (points,), positions in `keys`.
        features: distribution of the inputs.
        keys: (c,); each draws initial weights and attacks.
        options: of `train_ensemble`; where an optimiser matters, write such a function with it inside.

    Returns:
        losses (points, T), weights (points, T, m, n), biases (points, T, n), diverged (points,), as in a Run; the
        steps of the snapshots are for `assign_coords(step=...)`.

    Raises:
        ValueError, TypeError: as `train_ensemble`; a seed without a key.
    """
    check_key("keys", keys, ndim=1, many="pass jax.random.split(key, number)")
    axes = product(S=S, seed=seed)
    if axes["seed"].min() < 0 or axes["seed"].max() >= len(keys):
        raise ValueError(
            f"seed must lie in [0, {len(keys)}), the positions in keys, got {axes['seed']}; pass more keys"
        )
    run = train_ensemble(features, axes["S"], keys[axes["seed"]], **options)
    return {
        name: (dims, np.concatenate(getattr(run, name)), {"description": about})  # (a, c, ...) as (points, ...)
        for name, (dims, about) in _DIMS.items()
    }


_DIMS = {
    "losses": (("step",), "population loss at each snapshot: summed over features, averaged over the distribution"),
    "weights": (("step", "hidden", "feature"), "W at each snapshot"),
    "biases": (("step", "feature"), "b at each snapshot"),
    "diverged": ((), "the loss or a parameter stopped being finite"),
}


def as_run(dataset: "xr.Dataset") -> Run:
    """The Run that a dataset of `train_points`, or a selection from it, holds; its last snapshot gives `params`.

    Args:
        dataset: with a coordinate `step`.

    Raises:
        ValueError: `step` has no coordinate, or a result is missing.
    """
    if missing := {"step", *_DIMS} - {*dataset.coords, *dataset.data_vars}:
        raise ValueError(
            f"the dataset must have {', '.join(sorted(missing))}, got {', '.join(map(str, dataset.variables))}; "
            "take a sweep of `train_points`, and assign_coords(step=snapshots)"
        )
    arrays = {name: dataset[name].values for name in _DIMS}
    params = Params(jnp.asarray(arrays["weights"][..., -1, :, :]), jnp.asarray(arrays["biases"][..., -1, :]))
    return Run(params, dataset["step"].values, **arrays)
