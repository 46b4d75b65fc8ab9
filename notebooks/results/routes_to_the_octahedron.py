"""Trains the censuses of notebook 5 and writes what their members did to routes_to_the_octahedron.npz.

    make results        about 35 minutes on 2 cores for this script; stopped, it goes on where it was when called again

Two sets of three features, three hidden dimensions. Labels and invariants are kept, not weights. Sweeps:

- "census": 2,000 seeds in each of eight cells (Adam and SGD, initial scale 0.01 and 0.3, p = 0.03 and 0.1), infinite
  data. Both optimisers start from the same weights.
- "fresh": 2,000 seeds with fresh batches at p = 0.1, Adam, scale 0.01: eight data streams of 250 seeds.
- "densities" and "scales": 250 seeds at other densities, and at smaller initial scales.
- "dialled": starts on the PCA plateau made by hand, with a chosen share of the differences within the sets along the
  free direction, 250 for each share and density; "again": 250 others, for a criterion that the first ones suggested.

The learning rate is 0.001 under Adam, and 0.03/p under SGD, so that time is the same at every density; but at most 1,
where biases begin to swing. (With a third of that, and three times the steps, 99 % of 250 seeds at p = 0.03 have the
same final matching.)
Every run has 10,000 steps and a snapshot every 20 steps. Batches that are done wait in a store beside the file.
"""

import json
import platform
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

from toylib import sweeps
from toylib.features import Correlated
from toylib.geometry import (
    ROUTES,
    line_coordinates,
    line_sums,
    matching_sums,
    mean_cosine,
    route,
    template,
)
from toylib.model import Params
from toylib.training import Run, train_ensemble

KEY = 20_261_130
STEPS, EVERY = 10_000, 20
SEEDS, FEW, STREAMS, BATCH = 2_000, 250, 8, 500
FEATURES = Correlated(2, 3)
PATH = Path(__file__).with_suffix(".npz")
PLATEAUS = ("pca", "collinear", "other", "none")
CANDIDATES = (
    "nearest at the branch",
    "second at the branch",
    "nearest at the start",
    "second at the start",
    "second at the start, signs",
    "nearest at the opening",
)
"""Rules for the final matching. Nearest: the most antiparallel one. Second: the second most antiparallel one in the
order along the direction at right angles to the set means; of their signs, where it says so."""

SWEEPS: dict[str, dict[str, Any]] = {
    "census": {"optimizer": ["Adam", "SGD"], "scale": (0.01, 0.3), "S": (0.97, 0.9), "seed": range(SEEDS)},
    "fresh": {"stream": range(STREAMS), "seed": range(SEEDS // STREAMS)},
    "dialled": {"share": (0.5, 0.8, 0.95, 0.99, 1.0), "S": (0.97, 0.9), "seed": range(FEW)},
    "again": {"share": (0.5, 0.8, 0.95, 0.99, 1.0), "S": (0.97, 0.9), "seed": range(FEW, 2 * FEW)},
    "densities": {"optimizer": ["Adam", "SGD"], "S": (0.98, 0.95, 0.93, 0.88), "seed": range(FEW)},
    "scales": {"scale": (0.0001, 0.001), "S": (0.97, 0.9), "seed": range(FEW)},
}


def starts_of(scale: float, S: float, seeds: np.ndarray) -> jax.Array:
    """The keys of seeds in a cell; every scale and density has keys of its own."""
    cell = jax.random.fold_in(jax.random.key(KEY), round(1e5 * scale))
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(cell, round(1e3 * S)), jnp.asarray(seeds))


def followed(optimizer: str, S: float, keys: jax.Array, **options: Any) -> Run:
    """An ensemble at one sparsity, with the snapshots of a census."""
    rate = {"Adam": 1e-3, "SGD": min(0.03 / (1 - S), 1.0)}[optimizer]
    settings = {"n_hidden": 3, "n_steps": STEPS, "snapshots": range(0, STEPS + 1, EVERY), "progress": False}
    made = {"Adam": optax.adam, "SGD": optax.sgd}[optimizer]
    run = train_ensemble(FEATURES, [S], keys, optimizer=made, learning_rate=rate, **{**settings, **options})
    return run.member(0)


def point_of_census(optimizer: np.ndarray, scale: np.ndarray, S: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """What the runs of one cell did."""
    keys = starts_of(scale[0], S[0], seed)
    return measured(followed(optimizer[0], S[0], keys, scale=float(scale[0]), population=True), S[0])


def point_of_fresh(stream: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """The same with a stream of fresh batches, p = 0.1, Adam, scale 0.01."""
    keys = starts_of(0.02, 0.9, stream * len(SWEEPS["fresh"]["seed"]) + seed)
    return measured(followed("Adam", 0.9, keys, data_key=stream_of(int(stream[0]))), 0.9)


def point_of_densities(optimizer: np.ndarray, S: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """The same at scale 0.01."""
    return point_of_census(optimizer, np.full(len(S), 0.01), S, seed)


def point_of_scales(scale: np.ndarray, S: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """The same under SGD."""
    return point_of_census(np.full(len(S), "SGD"), scale, S, seed)


def point_of_dialled(share: np.ndarray, S: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """What SGD makes of starts made by hand."""
    keys = starts_of(1 + share[0], S[0], seed)
    W = dialled(np.random.default_rng(np.asarray(jax.random.key_data(keys)).ravel()), len(seed), float(share[0]))
    start = Params(jnp.asarray(W, jnp.float32)[None], jnp.zeros((1, len(seed), 6)))
    return measured(followed("SGD", S[0], keys, start=start, population=True), S[0])


def point_of_again(share: np.ndarray, S: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """The same, of others."""
    return point_of_dialled(share, S, seed)


def dialled(random: np.random.Generator, number: int, share: float, energy: float = 0.01) -> np.ndarray:
    """PCA templates (number, 3, 6) with random differences in the sets, a share of their energy along the free axis.

    Each set's mean is along an axis of its own. The differences have Gaussian coordinates in the four modes, along the
    third axis and along the two others, scaled to a total energy of 0.01, of the 2 that the means have.
    """
    raw = random.normal(size=(number, 3, 2, 3))
    raw -= raw.mean(-1, keepdims=True)
    size = np.square(raw).sum((2, 3), keepdims=True)
    free, bound = raw[:, 2:] / np.sqrt(size[:, 2:]), raw[:, :2] / np.sqrt(size[:, :2].sum(1, keepdims=True))
    differences = np.sqrt(energy) * np.concatenate([np.sqrt(1 - share) * bound, np.sqrt(share) * free], 1)
    return template("pca") + differences.reshape(number, 3, 6)


def stream_of(stream: int) -> jax.Array:
    """The key of one stream of fresh data."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(KEY), 999), stream)


def measured(runs: Run, S: float) -> dict[str, Any]:
    """Route, candidates and invariants of every member; a member that diverged is marked."""
    rows = [_row(runs.member(c), S) for c in range(len(runs.diverged))]
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {
        **{name: (_DIMS.get(name, ()), values) for name, values in columns.items()},
        "diverged": np.asarray(runs.diverged),
    }


def _row(run: Run, S: float) -> dict[str, Any]:
    if run.diverged:
        return {name: np.full(_SHAPES.get(name, ()), np.nan) for name in _UNITS}
    sets, found = FEATURES.sets, route(run, FEATURES, S)
    W, start, branch = run.weights, run.weights[0], run.weights[found.branch]
    lines, aligned = line_coordinates(branch, sets)
    begun, _ = line_coordinates(start, sets)
    signs = np.cross(*(np.sign(start[:, list(s)].mean(1)) for s in sets))
    centred = np.stack([start[:, list(s)] - start[:, list(s)].mean(1, keepdims=True) for s in sets])
    sums = [
        matching_sums(branch, sets),
        line_sums(lines),
        matching_sums(start, sets),
        line_sums(begun),
        line_sums(signs @ centred) if signs.any() else np.full(6, np.nan),
        matching_sums(W[found.opening], sets),
    ]
    order = np.argsort(sums, axis=1, kind="stable")
    chosen = np.array([order[k, int(name.startswith("second"))] for k, name in enumerate(CANDIDATES)], float)
    chosen[np.isnan(sums).any(1)] = np.nan
    least = np.sort(sums[1])
    size = np.prod(np.linalg.norm(lines, axis=1))
    return {
        "route": float(ROUTES.index(found.name)),
        "plateau": float(PLATEAUS.index(found.plateau)),
        "matching": float(found.matching),
        "chosen": chosen,
        "rank": float(np.argmax(order[1] == found.matching)),
        "margin": (least[2] - least[1]) / size if size > 0 else np.nan,
        "aligned": float(aligned),
        "line_cosine": abs((lines * begun).sum()) / max(np.linalg.norm(lines) * np.linalg.norm(begun), 1e-12),
        "start_cosine": float(mean_cosine(jnp.asarray(start), sets)),
        "turn": found.turn,
        "pairs": float(found.pairs),
        "parity": float(found.parity),
        "moments": found.moments,
        "loss": run.losses[-1] / (1 - S) ** 2,
        **{name: float(getattr(found, name)) for name in ("branch", "opening", "arrival")},
    }


_DIMS = {"chosen": ("candidate",), "moments": ("moment", "invariant")}
_SHAPES = {"chosen": (len(CANDIDATES),), "moments": (3, 7)}
_UNITS = {
    "route": 1, "plateau": 1, "matching": 1, "chosen": 1, "rank": 1, "margin": 0.01, "aligned": 0.01,
    "line_cosine": 0.01, "start_cosine": 0.01, "turn": 1.5, "pairs": 1, "parity": 1, "moments": 0.02, "loss": 0.025,
    "branch": 4, "opening": 4, "arrival": 4,
}  # fmt: skip
"""What is stored: whole numbers of these units, from -127 to 127; -128 stands for NaN. Of the number of antipodal pairs
among the moments, whose unit is that of cosines, 127 stands for three or more."""
_PAIRS = 5  # where among the invariants that number is


def packed(values: np.ndarray, unit: float) -> np.ndarray:
    """Values as 8-bit numbers of a unit, at the nearest end where they go beyond."""
    with np.errstate(invalid="ignore"):
        whole = np.clip(np.round(np.asarray(values, float) / unit), -127, 127)
    return np.where(np.isnan(values), -128, whole).astype(np.int8)


def main() -> None:
    """Sweep, and write what the notebook reads."""
    functions = {name: globals()[f"point_of_{name}"] for name in SWEEPS}
    arrays: dict[str, np.ndarray] = {}
    for name, grid in SWEEPS.items():
        batch = min(BATCH, len(grid["seed"]))
        with ThreadPoolExecutor(2) as executor:  # one batch trains while another is measured
            data = sweeps.run(functions[name], grid, store=store_of(name), batch=batch, executor=executor).load()
        arrays |= {f"{name}.{key}": packed(data[key].values, unit) for key, unit in _UNITS.items()}
    about = {
        "command": "make results",
        "key": KEY,
        "steps": STEPS,
        "grids": {name: {axis: list(values) for axis, values in grid.items()} for name, grid in SWEEPS.items()},
        "versions": {name: version(name) for name in ("toylib", "jax", "jaxlib", "optax", "numpy", "scipy")},
        "python": platform.python_version(),
    }
    unfinished = PATH.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
    unfinished.replace(PATH)
    for name in SWEEPS:
        shutil.rmtree(store_of(name))
    models = sum(arrays[f"{name}.route"].size for name in SWEEPS)
    print(f"{PATH.name}: {models:,} models, {PATH.stat().st_size / 1024:.0f} KiB")


def store_of(name: str) -> Path:
    """Where the batches of a sweep wait."""
    return PATH.with_name(f"{PATH.stem}_{name}.zarr")


def read(path: str | Path = PATH) -> tuple[dict[str, xr.Dataset], Mapping[str, Any]]:
    """The sweeps by name, over the axes of their grids, NaN for what does not apply; and what `about` says."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    found = {}
    for name, grid in about["grids"].items():
        variables = {}
        for key, unit in _UNITS.items():
            stored = arrays[f"{name}.{key}"]
            values = np.where(stored == -128, np.nan, stored * np.float32(unit))
            if key == "moments":
                values[..., _PAIRS] = np.where(stored[..., _PAIRS] == 127, 3, np.round(values[..., _PAIRS]))
            variables[key] = ((*grid, *_DIMS.get(key, ())), values.astype(np.float32))
        found[name] = xr.Dataset(variables, {**grid, "candidate": list(CANDIDATES)})
    return found, about


if __name__ == "__main__":
    main()
