"""Trains the full-size ensembles of notebook 2 and writes what their members did to training_dynamics.npz.

    make results        about 8 minutes on 2 cores

The file holds one row a model, in columns of equal length (read it with numpy.load, allow_pickle=False): the settings
(experiment, optimizer, scale, S, seed, stream), the fields of `toylib.census.Census`, and for the experiment "twins"
those of `TwinGaps`, with "twin_" before their names. `about` is a JSON text with key, sizes and versions.
"""

import json
import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import optax
from tqdm.auto import tqdm

from toylib.census import Census, TwinGaps, compare_twins, take_census
from toylib.features import Correlated
from toylib.training import train_ensemble

KEY = 2022
SEEDS, STREAMS, STEPS = 96, 8, 10_000
DENSITIES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.12, 0.15, 0.2, 0.3)
HEADLINE = (0.03, 0.1)
SCALES = (0.01, 0.03, 0.1, 0.3)
OPTIMIZERS = {"Adam": optax.adam(1e-3), "SGD": optax.sgd(0.3), "AdamW": optax.adamw(1e-3, weight_decay=0.01)}
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
            optimizer=OPTIMIZERS[optimizer],
            population=stream < 0,
            data_key=None if stream < 0 else streams[stream],
            snapshots=range(0, STEPS + 1, 20),
            progress=False,
        )
        runs = train().member(0)
        gaps = TwinGaps(*(np.nan for _ in TwinGaps._fields))
        if experiment == "twins":
            gaps = compare_twins(runs, train(linear=True).member(0), FEATURES, S)
        columns = {"experiment": experiment, "optimizer": optimizer, "scale": scale, "S": S}
        columns |= {"seed": members, "stream": stream, **take_census(runs, FEATURES, S)._asdict()}
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


if __name__ == "__main__":
    main()
