"""Trains other sets than two triples, for notebook 5, and writes the arrangements they reach to other_sizes.npz.

    make results        about 2 minutes on 2 cores for this script; stopped, it goes on where it was when called again

Four designs, infinite data, Adam 0.001, initial scale 0.01, 20,000 steps, 96 seeds for each of three densities. Kept
are the name that `geometry.classify` gives to the end, the nearest template and the distance to it, and the loss.
"""

import json
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from toylib import sweeps
from toylib.features import Anticorrelated, Correlated, Features
from toylib.geometry import classify, nearest_template
from toylib.training import Run, train_ensemble

KEY = 20_261_203
SEEDS, STEPS = 96, 20_000
DESIGNS: dict[str, tuple[Features, int]] = {
    "two pairs, m = 2": (Correlated(2, 2), 2),
    "three pairs, m = 3": (Correlated(3, 2), 3),
    "two sets of four, m = 4": (Correlated(2, 4), 4),
    "three anticorrelated pairs, m = 3": (Anticorrelated(3, 2), 3),
}
GRID: dict[str, Any] = {"design": list(DESIGNS), "S": (0.97, 0.9, 0.8), "seed": range(SEEDS)}
PATH = Path(__file__).with_suffix(".npz")
STORE = PATH.with_suffix(".zarr")
FIELDS = ("final", "nearest", "distance", "loss")


def keys_of(design: str, S: float, seeds: np.ndarray) -> jax.Array:
    """The keys of seeds; every design and density has keys of its own."""
    cell = jax.random.fold_in(jax.random.key(KEY), list(DESIGNS).index(design))
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(cell, round(1000 * S)), jnp.asarray(seeds))


def trained(design: str, S: float, keys: jax.Array, **options: Any) -> Run:
    """An ensemble of one design at one density."""
    features, n_hidden = DESIGNS[design]
    options = {"n_steps": STEPS, "snapshots": [0, STEPS], "population": True, "progress": False, **options}
    return train_ensemble(features, [S], keys, n_hidden=n_hidden, **options).member(0)


def point_of_sizes(design: np.ndarray, S: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """What the seeds of one cell reach."""
    run = trained(design[0], S[0], keys_of(design[0], S[0], seed))
    sets = DESIGNS[design[0]][0].sets
    ends = [W if np.isfinite(W).all() else np.zeros_like(W) for W in run.weights[:, -1]]
    near = [nearest_template(W, sets) for W in ends]
    return {
        "final": np.array([classify(W, sets) for W in ends]),
        "nearest": np.array([name for name, _ in near]),
        "distance": np.array([distance for _, distance in near], np.float32),
        "loss": np.asarray(run.losses[:, -1], np.float32),
        "diverged": np.asarray(run.diverged),
    }


def main() -> None:
    """Sweep, and write what the notebook reads."""
    data = sweeps.run(point_of_sizes, GRID, store=STORE, batch=SEEDS).load()
    about = {
        "command": "make results",
        "key": KEY,
        "steps": STEPS,
        "grid": {axis: list(values) for axis, values in GRID.items()},
        "versions": {name: version(name) for name in ("toylib", "jax", "jaxlib", "optax", "numpy")},
        "python": platform.python_version(),
    }
    unfinished = PATH.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        columns = {
            name: data[name].values.astype("<U64") if data[name].dtype.kind in "OUT" else data[name].values
            for name in FIELDS
        }
        np.savez_compressed(file, about=np.array(json.dumps(about)), **columns)
    unfinished.replace(PATH)
    shutil.rmtree(STORE)
    print(f"{PATH.name}: {data.loss.size:,} models, {PATH.stat().st_size / 1024:.0f} KiB")


def read(path: str | Path = PATH) -> tuple[xr.Dataset, Mapping[str, Any]]:
    """The stored fields over design, S and seed; and what `about` says."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        grid = about["grid"]
        return xr.Dataset({name: ((*grid,), file[name]) for name in FIELDS}, grid), about


if __name__ == "__main__":
    main()
