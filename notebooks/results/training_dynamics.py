"""Trains the full-size ensembles of notebook 2 and writes what their members did to training_dynamics.npz.

    make results        about 10 minutes on 2 cores for this script; stopped, it goes on where it was when called again

The file holds one row per model, in columns of equal length, as `read` returns them; what does not apply to a model is
NaN, -1 or "". Experiments:

- "population": infinite data, 10,000 steps, at nine densities: 48 seeds each, 96 at the two headline densities, where
  the gaps to the linear twin are in the columns "twin_...", at the moments that `MOMENTS` names.
- "fresh": the same with fresh batches at six densities, eight data streams of six seeds each.
- "controls": other optimisers and initial scales, 32 seeds. "starts": Adam and SGD, 192 seeds at p = 0.03.
- "longer": 30,000 steps, 48 seeds, 96 at p = 0.15. "details": the same, 48 seeds, at p = 0.15 with one thing changed,
  which the column variant says.
- "search": the ends of random starts; "best": the lowest of them polished; "octahedron": the template, polished.

Every density has seeds of its own; at one density all experiments but the search take the first of the same seeds.
Losses are on population nodes: 1,024 of them, and 4,096 in double precision for longer, details, best and octahedron.
Parts that are done wait in a folder beside the file until all are. `about` is a JSON text with key, sizes, versions.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from toylib import model
from toylib.features import Correlated
from toylib.geometry import (
    census,
    classify,
    curvatures,
    descend,
    mean_cosine,
    phases,
    plateaus,
    template,
    twin_gap,
    twin_gaps,
)
from toylib.theory import pca_plateau
from toylib.training import Run, train_ensemble

KEY = 20_261_129
SEEDS, FEW, FEWER, STREAMS, STEPS, LONGER = 96, 48, 32, 8, 10_000, 30_000
DENSITIES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.12, 0.15, 0.2, 0.3)
FRESH = (0.01, 0.03, 0.1, 0.12, 0.15, 0.2)
HEADLINE = (0.03, 0.1)
DENSER = (0.1, 0.13, 0.15, 0.17, 0.2, 0.25, 0.3)
EDGE = 0.15
SCALES = (0.01, 0.03, 0.1, 0.3)
SEARCH_SCALES, SEARCHED, POLISHED = (0.3, 1.0), 64, 6
OPTIMIZERS = {
    "Adam": {"optimizer": optax.adam, "learning_rate": 1e-3},
    "SGD": {"optimizer": optax.sgd, "learning_rate": 0.3},
    "AdamW": {"optimizer": partial(optax.adamw, weight_decay=0.01), "learning_rate": 1e-3},
}
DETAILS = {
    "initial scale 0.1": {"scale": 0.1},
    "initial scale 0.3": {"scale": 0.3},
    "learning rate 0.0003": {"learning_rate": 3e-4},
    "learning rate 0.003": {"learning_rate": 3e-3},
    "SGD, learning rate 0.3": OPTIMIZERS["SGD"],
    "fresh batches of 1,024": {"batch_size": 1024},
}
PROGRESS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
MOMENTS = (*PROGRESS, 1.0, *(1 + p for p in PROGRESS), 2.0)
"""When twins are compared: below 1 shares of the fall from the start to p/3, first reached; 1 the middle of phase B;
above it 1 + shares of the fall from p/3 to the end."""
BOUNDARIES = "BCDE"
FEATURES = Correlated(2, 3)
PATH = Path(__file__).with_suffix(".npz")
FINE, COARSE = range(0, STEPS + 1, 20), (0, STEPS, LONGER)
BLANKS = {
    "experiment": "", "variant": "", "optimizer": "Adam", "scale": 0.01, "S": np.nan, "seed": -1, "stream": -1,
    "final": "", "final_loss": np.nan, "phases": "", "octahedron_step": np.nan, "opening_twist": np.nan,
    "plateau": "", "plateau_loss": np.nan, "plateaus": -1, "near": np.full(len(BOUNDARIES), np.nan),
    "start_cosine": np.nan, "start_opposite": -1, "opposed_until": np.nan,
    "twin_loss": np.full(len(MOMENTS), np.nan), "twin_function": np.full(len(MOMENTS), np.nan),
    "twin_half_loss": np.nan, "twin_half_function": np.nan, "twin_plateau_loss": np.nan,
    "twin_plateau_function": np.nan, "twin_drop_loss": np.nan, "twin_drop_function": np.nan, "twin_final_loss": np.nan,
    "twin_sets_first": -1, "before": "", "curvature": np.full(3, np.nan), "gradient": np.nan,
    "parameters": np.full(24, np.nan),
}  # fmt: skip
"""Every column with what stands in it where a model has no such thing."""


def main() -> None:
    """Train, count and write; each job is a part that is not done again."""
    about = {
        "key": KEY,
        "seeds": SEEDS,
        "few": FEW,
        "fewer": FEWER,
        "streams": STREAMS,
        "steps": STEPS,
        "longer": LONGER,
        "searched": SEARCHED * len(SEARCH_SCALES),
    }
    collect(PATH, folder_of(__file__, PATH), jobs(), BLANKS, about)


def folder_of(script: str, path: Path) -> Path:
    """Where parts wait for the others: a folder beside the file for each version of the script."""
    return path.with_suffix(".parts") / hashlib.sha256(Path(script).read_bytes()).hexdigest()[:12]


def collect(
    path: Path, parts: Path, jobs: Mapping[str, Callable[[], dict]], blanks: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Do the jobs in their order, but for those that are done, and write the rows of all; a part is a job's rows."""
    parts.mkdir(parents=True, exist_ok=True)
    for name, job in tqdm(jobs.items(), unit="part"):
        if not (part := parts / f"{name}.npz").exists():
            save(part, job())
    done = [dict(np.load(parts / f"{name}.npz")) for name in jobs]
    columns = {name: np.concatenate([part[name] for part in done]) for name in blanks}
    about = {
        "command": "make results",
        **about,
        "design": "two correlated sets of three features, three hidden dimensions",
        "versions": {name: version(name) for name in ("toylib", "jax", "jaxlib", "optax", "numpy", "scipy")},
        "python": platform.python_version(),
    }
    save(path, {"about": json.dumps(about), **columns})
    shutil.rmtree(parts.parent)
    print(f"{path.name}: {len(columns['S'])} models, {path.stat().st_size / 1024:.0f} KiB")


def jobs() -> dict[str, Callable[[], dict]]:
    """The parts by name, what the claims rest on first."""
    found: dict[str, Callable[[], dict]] = {}
    for p in HEADLINE:
        found[f"population {p}"] = partial(followed, "population", p, np.arange(SEEDS), with_twin=True)
    for name in ("Adam", "SGD"):
        found[f"starts {name}"] = partial(followed, "starts", HEADLINE[0], np.arange(2 * SEEDS), optimizer=name)
    for p in DENSER:
        found[f"longer {p}"] = partial(ended, "longer", p, SEEDS if p == EDGE else FEW)
        found[f"search {p}"] = partial(searched, p)
    for variant in DETAILS:
        found[f"details {variant}"] = partial(ended, "details", EDGE, FEW, variant)
    for p in sorted({*DENSITIES} - {*HEADLINE}):
        found[f"population {p}"] = partial(followed, "population", p, np.arange(FEW))
    for stream in range(STREAMS):
        members = np.arange(FEW).reshape(STREAMS, -1)[stream]
        for p in FRESH:
            found[f"fresh {p} {stream}"] = partial(followed, "fresh", p, members, stream=stream)
    for p in HEADLINE:
        for name, scale in [(name, scale) for name in ("Adam", "SGD") for scale in SCALES] + [("AdamW", 0.31)]:
            found[f"controls {p} {name} {scale}"] = partial(
                followed, "controls", p, np.arange(FEWER), optimizer=name, scale=scale
            )
    return found


def seeds_of(p: float, number: int = 2 * SEEDS) -> jax.Array:
    """The first keys of a density, which has keys of its own."""
    return jax.random.split(jax.random.fold_in(jax.random.key(KEY), round(1000 * p)), 2 * SEEDS)[:number]


def stream_of(stream: int) -> jax.Array:
    """The key of one stream of fresh data."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(KEY), 10_000), stream)


def followed(
    experiment: str,
    p: float,
    members: np.ndarray,
    *,
    optimizer: str = "Adam",
    scale: float = 0.01,
    stream: int = -1,
    with_twin: bool = False,
) -> dict:
    """Rows of an ensemble that is looked at every 20 steps."""
    train = partial(
        train_ensemble,
        FEATURES,
        [1 - p],
        seeds_of(p)[members],
        n_hidden=3,
        n_steps=STEPS,
        scale=scale,
        **OPTIMIZERS[optimizer],
        population=stream < 0,
        data_key=None if stream < 0 else stream_of(stream),
        snapshots=FINE,
        progress=False,
    )
    runs = train().member(0)
    columns = {"experiment": experiment, "optimizer": optimizer, "scale": scale, "S": 1 - p, "seed": members}
    columns |= {"stream": stream, **census(runs, FEATURES, 1 - p)._asdict(), **begun(runs), **seen_in_loss(runs)}
    if with_twin:
        columns |= compared(runs, train(linear=True).member(0), 1 - p)
    return filled(columns, len(members))


def begun(runs: Run) -> dict:
    """Cosine of the set means at the start, dimensions in which their signs differ, last step with cosine < -0.9."""
    means = np.stack([runs.weights[..., list(s)].mean(-1) for s in FEATURES.sets])  # (2, c, T, 3)
    cosine = np.asarray(jax.vmap(jax.vmap(lambda W: mean_cosine(W, FEATURES.sets)))(jnp.asarray(runs.weights)))
    opposed = np.logical_and.accumulate(cosine[:, 1:] < -0.9, axis=1).sum(1)
    opposite = (np.sign(means[0, :, 0]) != np.sign(means[1, :, 0])).sum(-1)
    return {"start_cosine": cosine[:, 0], "start_opposite": opposite, "opposed_until": runs.steps[opposed]}


def seen_in_loss(runs: Run) -> dict:
    """Plateaus of each loss curve, and how far in ln(step) the nearest end of one is from where B, C, D and E begin."""
    counts, near = [], np.full((len(runs.diverged), len(BOUNDARIES)), np.nan)
    for c in range(len(runs.diverged)):
        run = runs.member(c)
        ends = np.log(plateaus(run.losses, run.steps)).ravel()
        counts.append(len(ends) // 2)
        for phase in phases(run, FEATURES.sets):
            if phase.name[0] in BOUNDARIES and phase.first > 0 and len(ends):
                apart = ends - np.log(phase.first)
                near[c, BOUNDARIES.index(phase.name[0])] = apart[np.abs(apart).argmin()]
    return {"plateaus": np.array(counts), "near": near}


def compared(runs: Run, twins: Run, S: float) -> dict:
    """The gaps to the linear twins at `MOMENTS`, their largest values up to half of the first fall, and TwinGaps."""
    gaps = twin_gaps(runs, twins, FEATURES, S)
    names = ("plateau_loss", "plateau_function", "drop_loss", "drop_function")
    columns = {f"twin_{name}": getattr(gaps, name) for name in names}
    columns |= {"twin_final_loss": gaps.final_twin_loss, "twin_sets_first": gaps.sets_first.astype(int)}
    curves = [curve(runs.member(c), twins.member(c), S) for c in range(len(runs.diverged))]
    return columns | {name: np.stack([row[name] for row in curves]) for name in curves[0]}


def curve(run: Run, twin: Run, S: float) -> dict:
    """The same of one run."""
    losses, functions = np.abs(run.losses - twin.losses) / twin.losses, twin_gap(run, twin, FEATURES, S)
    start, level, end = run.losses[0], pca_plateau(S), run.losses[-1]
    first = [int(np.argmax((start - run.losses) >= f * (start - level))) for f in PROGRESS]
    second = [int(np.argmax((level - run.losses) >= f * (level - end))) for f in PROGRESS]
    middles = [(p.first + p.last) / 2 for p in phases(run, FEATURES.sets) if p.name[0] == "B"]
    middle = int(np.abs(run.steps - middles[0]).argmin()) if middles else first[-1]
    at, half = [*first, middle, *second, len(run.steps) - 1], first[PROGRESS.index(0.5)]
    return {
        "twin_loss": losses[at],
        "twin_function": functions[at],
        "twin_half_loss": losses[: half + 1].max(),
        "twin_half_function": functions[: half + 1].max(),
    }


def ended(experiment: str, p: float, number: int, variant: str = "") -> dict:
    """Rows of an ensemble of which only the end counts: its states, and its loss, gradient and curvatures."""
    settings = {**OPTIMIZERS["Adam"], "scale": 0.01, **DETAILS.get(variant, {})}
    keys, fresh = seeds_of(p, number), "batch_size" in settings
    common = {"n_hidden": 3, "n_steps": LONGER, "snapshots": COARSE, "progress": False, **settings}
    streams = np.arange(number) // (number // STREAMS) if fresh else np.full(number, -1)
    parts = [
        train_ensemble(
            FEATURES,
            [1 - p],
            keys[streams == stream],
            population=not fresh,
            data_key=stream_of(int(stream)) if fresh else None,
            **common,
        ).member(0)
        for stream in np.unique(streams)
    ]
    weights, biases = (np.concatenate([getattr(run, name) for run in parts]) for name in ("weights", "biases"))
    before, final = ([classify(W, FEATURES.sets) for W in weights[:, at]] for at in (1, 2))
    parameters = flat(weights[:, 2], biases[:, 2])
    return filled(
        {"experiment": experiment, "variant": variant, "S": 1 - p, "seed": np.arange(number), "stream": streams}
        | {"scale": settings["scale"], "optimizer": "SGD" if "SGD" in variant else "Adam"}
        | {"before": np.array(before), "final": np.array(final), "parameters": parameters}
        | judged(parameters, 1 - p),
        number,
    )


def searched(p: float) -> dict:
    """Rows of random starts of two scales, trained fast; the best of them and the octahedron, each polished."""
    steps, rows = 4000, []
    keys = jax.random.split(jax.random.fold_in(jax.random.key(KEY), 20_000 + round(1000 * p)), SEARCHED)
    cosine = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    common = {"n_hidden": 3, "n_steps": steps, "population": True, "snapshots": [steps], "progress": False}
    for scale in SEARCH_SCALES:
        run = train_ensemble(FEATURES, [1 - p], keys, scale=scale, optimizer=cosine, **common).member(0)
        found = flat(run.weights[:, -1], run.biases[:, -1])
        losses = np.array(run.losses[:, -1])
        columns = {"experiment": "search", "S": 1 - p, "scale": scale, "seed": np.arange(SEARCHED)}
        rows.append(filled(columns | {**named(found), "final_loss": losses, "parameters": found}, SEARCHED))
    starts = np.concatenate([row["parameters"] for row in rows])
    starts = starts[np.argsort(np.concatenate([row["final_loss"] for row in rows]))[:POLISHED]]
    best = np.stack([polished(start, 1 - p) for start in starts])
    best = best[judged(best, 1 - p)["final_loss"].argmin()][None]
    octahedron = polished(flat(template("octahedron")[None], np.zeros((1, 6)))[0], 1 - p)[None]
    for name, parameters in (("best", best), ("octahedron", octahedron)):
        columns = {"experiment": name, "S": 1 - p, "parameters": parameters}
        rows.append(filled(columns | named(parameters) | judged(parameters, 1 - p), 1))
    return {name: np.concatenate([row[name] for row in rows]) for name in BLANKS}


def flat(W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """W (c, 3, 6) and b (c, 6) as parameters (c, 24)."""
    return np.concatenate([np.asarray(W, np.float64).reshape(-1, 18), np.asarray(b, np.float64)], 1)


def named(parameters: np.ndarray) -> dict:
    """The states of models (c, 24)."""
    return {"final": np.array([classify(row[:18].reshape(3, 6), FEATURES.sets) for row in parameters])}


@jax.jit
def loss_of(parameters: jax.Array, x: jax.Array, weights: jax.Array) -> jax.Array:
    """Loss of one model (24,) on nodes."""
    return model.loss(model.Params(parameters[:18].reshape(3, 6), parameters[18:]), x, weights=weights)


_values_and_gradients = jax.jit(jax.vmap(jax.value_and_grad(loss_of), in_axes=(0, None, None)))


def nodes(S: float, n_nodes: int) -> tuple[jax.Array, jax.Array]:
    """Population nodes in double precision, inside jax.enable_x64."""
    x, weights = (np.asarray(part, np.float64) for part in FEATURES.population(S, n_nodes=n_nodes))
    return jnp.asarray(x), jnp.asarray(weights / weights.sum())


def params_of(parameters: np.ndarray) -> model.Params:
    """One model (24,)."""
    return model.Params(parameters[:18].reshape(3, 6), parameters[18:])


def polished(start: np.ndarray, S: float) -> np.ndarray:
    """The local minimum (24,) next to a start."""
    return np.concatenate([part.ravel() for part in descend(params_of(start), FEATURES, S)[0]])


def judged(parameters: np.ndarray, S: float) -> dict:
    """Loss, length of the gradient, and the three smallest curvatures across the rotations, of models (c, 24)."""
    with jax.enable_x64(True):
        losses, gradients = _values_and_gradients(jnp.asarray(parameters), *nodes(S, 4096))
    lowest = [curvatures(params_of(row), FEATURES, S)[:3] for row in parameters]
    gradient = np.linalg.norm(np.asarray(gradients), axis=1)
    return {"final_loss": np.asarray(losses), "gradient": gradient, "curvature": np.array(lowest)}


def filled(columns: Mapping[str, Any], number: int, blanks: Mapping[str, Any] = BLANKS) -> dict[str, np.ndarray]:
    """All columns of so many rows, blank where nothing is given; numbers in single precision."""
    full = {}
    for name, blank in blanks.items():
        value = np.asarray(columns.get(name, blank))
        value = value.astype(np.float32) if value.dtype == np.float64 and name != "S" else value
        value = value.astype("<U64") if value.dtype.kind == "U" else value
        full[name] = np.broadcast_to(value, (number, *np.shape(blank)))
    if unknown := columns.keys() - blanks.keys():
        raise ValueError(f"columns must be among BLANKS, got {', '.join(sorted(unknown))}; add them there")
    return full


def save(path: Path, columns: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **columns)
    unfinished.replace(path)


def read(path: str | Path = PATH) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The stored columns by name, and what `about` says."""
    with np.load(path, allow_pickle=False) as file:
        columns = dict(file)
    return columns, json.loads(str(columns.pop("about")))


def rows(
    columns: Mapping[str, np.ndarray], experiment: str, S: float | None = None, **chosen: str | float
) -> dict[str, np.ndarray]:
    """The columns of the models of one experiment, at one sparsity if given, with the chosen values of others."""
    wanted = columns["experiment"] == experiment
    for name, value in (chosen if S is None else {"S": S, **chosen}).items():
        column = columns[name]
        wanted = wanted & (column == value if column.dtype.kind == "U" else np.isclose(column, value))
    return {name: column[wanted] for name, column in columns.items()}


if __name__ == "__main__":
    main()
