"""Trains the full-size ensembles of notebook 2 and writes what their members did to training_dynamics.npz.

    make results        about 8 minutes on 2 cores

The file holds one row per model, in columns of equal length, as `read` returns them: the settings (experiment,
optimizer, scale, S, seed, stream), the fields of `toylib.geometry.Census`, and for the experiment "twins"
those of `TwinGaps`, with "twin_" before their names. `about` is a JSON text with key, sizes and versions.
"""

import json
import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from tqdm.auto import tqdm

from toylib.features import Correlated
from toylib.geometry import Census, TwinGaps, census, twin_gaps
from toylib.training import train_ensemble

KEY = 2022
SEEDS, STREAMS, STEPS = 96, 8, 10_000
DENSITIES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.12, 0.15, 0.2, 0.3)
HEADLINE = (0.03, 0.1)
SCALES = (0.01, 0.03, 0.1, 0.3)
OPTIMIZERS = {
    "Adam": {"optimizer": optax.adam, "learning_rate": 1e-3},
    "SGD": {"optimizer": optax.sgd, "learning_rate": 0.3},
    "AdamW": {"optimizer": partial(optax.adamw, weight_decay=0.01), "learning_rate": 1e-3},
}
FEATURES = Correlated(2, 3)
PATH = Path(__file__).with_suffix(".npz")


def main() -> None:
    """Train, count and write."""
    k_seeds, k_streams = jax.random.split(jax.random.key(KEY))
    seeds, streams = jax.random.split(k_seeds, SEEDS), jax.random.split(k_streams, STREAMS)
    jobs = [("population", "Adam", 0.01, 1 - p, -1) for p in DENSITIES]
    jobs += [("fresh", "Adam", 0.01, 1 - p, stream) for stream in range(STREAMS) for p in DENSITIES]
    jobs += [("controls", name, scale, 1 - p, -1) for p in HEADLINE for name in ("Adam", "SGD") for scale in SCALES]
    jobs += [("controls", "AdamW", 0.31, 1 - p, -1) for p in HEADLINE]
    jobs += [("twins", "Adam", 0.01, 1 - p, -1) for p in HEADLINE]
    rows: dict[str, list] = {name: [] for name in ("experiment", "optimizer", "scale", "S", "seed", "stream")}
    rows |= {name: [] for name in (*Census._fields, *(f"twin_{name}" for name in TwinGaps._fields))}
    for experiment, optimizer, scale, S, stream in tqdm(jobs, unit="ensemble"):
        members = np.arange(SEEDS) if stream < 0 else np.arange(SEEDS).reshape(STREAMS, -1)[stream]
        train = partial(
            train_ensemble,
            FEATURES,
            [S],
            seeds[members],
            n_hidden=3,
            n_steps=STEPS,
            scale=scale,
            **OPTIMIZERS[optimizer],
            population=stream < 0,
            data_key=None if stream < 0 else streams[stream],
            snapshots=range(0, STEPS + 1, 20),
            progress=False,
        )
        runs = train().member(0)
        gaps = TwinGaps(*(np.nan for _ in TwinGaps._fields))
        if experiment == "twins":
            gaps = twin_gaps(runs, train(linear=True).member(0), FEATURES, S)
        columns = {"experiment": experiment, "optimizer": optimizer, "scale": scale, "S": S}
        columns |= {"seed": members, "stream": stream, **census(runs, FEATURES, S)._asdict()}
        columns |= {f"twin_{name}": column for name, column in gaps._asdict().items()}
        for name, column in columns.items():
            rows[name].append(np.broadcast_to(column, len(members)))
    about = {
        "command": "make results",
        "key": KEY,
        "seeds": SEEDS,
        "streams": STREAMS,
        "steps": STEPS,
        "design": "two correlated sets of three features, three hidden dimensions",
        "versions": {name: version(name) for name in ("toylib", "jax", "jaxlib", "optax", "numpy")},
        "python": platform.python_version(),
    }
    columns = {name: np.concatenate(parts) for name, parts in rows.items()}
    unfinished = PATH.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, about=json.dumps(about), **columns)
    unfinished.replace(PATH)
    print(f"{PATH.name}: {len(columns['S'])} models, {PATH.stat().st_size / 1024:.0f} KiB")


def read(path: str | Path = PATH) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The stored columns by name, and what `about` says."""
    with np.load(path, allow_pickle=False) as file:
        columns = dict(file)
    return columns, json.loads(str(columns.pop("about")))


def rows(
    columns: Mapping[str, np.ndarray], experiment: str, S: float, optimizer: str = "Adam", scale: float = 0.01
) -> dict[str, np.ndarray]:
    """The columns of the models of one experiment at one sparsity."""
    chosen = (columns["experiment"] == experiment) & np.isclose(columns["S"], S)
    chosen &= (columns["optimizer"] == optimizer) & np.isclose(columns["scale"], scale)
    return {name: column[chosen] for name, column in columns.items()}


if __name__ == "__main__":
    main()
