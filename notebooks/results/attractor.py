"""Maps how strong an attractor the octahedron is over the density, for notebook 5, and writes attractor.npz.

    make results        about 6 minutes on 2 cores for this script; stopped, it goes on where it was when called again

The file holds one row per model, in columns of equal length, as `read` returns them; what does not apply to a model is
NaN, -1 or "". Two correlated sets of three features, three hidden dimensions, infinite data. Experiments:

- "reached": 64 seeds at each density, Adam from small weights; state at 10,000 and at 20,000 steps.
- "octahedron": the lowest minimum near the exact octahedron that is an octahedron, with all its curvatures.
- "search": the four lowest of 96 random starts of two scales, polished. "best": the lowest minimum known, of these, of
  the octahedron, and of the best of the densities beside, polished at this one, up and down the densities.
- "path": eight models go up through more densities from the octahedron at p = 0.03, 4,000 steps of training at each,
  with a little noise on W before, and then down again from what they have become.
- "kick": noise of so many times the norm of W is added to W, then 6,000 steps of training. Stuck runs are what seeds of
  "reached" have become that is no octahedron, taken again with other noise where they are fewer than the kicks; the
  control is the octahedron, kicked by the same noise.

Every density has seeds of its own. Losses are on 131,072 population nodes in double precision, and good to 5e-5 of
their values. Curvatures are over displacements of 0.1, and "finer" over 0.03, where an octahedron has softer ones:
`geometry.curvatures` says why. Helpers come from training_dynamics.py. `about` is a JSON text with key, sizes and
versions.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from results import training_dynamics as shared
from results.training_dynamics import FEATURES, flat, named, params_of, polished

from toylib import model
from toylib.geometry import classify, curvatures, template, template_distance
from toylib.training import train_ensemble

KEY = 20_261_201
DENSITIES = (0.005, 0.01, 0.03, 0.1, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.2, 0.25, 0.3, 0.4, 0.5)
SEEDS, STEPS, BENT = 64, 20_000, 6  # BENT: of how many octahedra and others per density the curvatures are taken
SCALES, STARTS, FALL, POLISHED = (0.3, 1.0), 48, 4000, 4
MARGIN = 1e-4  # by which the best of a density beside must be lower, so that rounding decides nothing
OCTAHEDRA = (*DENSITIES, 0.55, 0.57, 0.58, 0.59, 0.6, 0.62)
NEAR, AWAY = 4, 0.1  # descents to the octahedron beside the one from the exact one, and the noise of their starts
WAY = (
    *(0.03, 0.05, 0.08, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19, 0.2, 0.225, 0.25, 0.3, 0.35),
    *(0.4, 0.45, 0.5, 0.52, 0.54, 0.56, 0.58, 0.6, 0.7),
)
WALKERS, WALK, NOISE = 8, 4000, 1e-3
KICKED = (0.14, 0.15, 0.17, 0.2)
KICKS, RUNS, AFTER = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0), 16, 6000
FINE = 2**17  # nodes
PATH = Path(__file__).with_suffix(".npz")
BLANKS = {
    "experiment": "", "S": np.nan, "seed": -1, "before": "", "final": "", "final_loss": np.nan,
    "curvature": np.full(21, np.nan), "finer": np.full(3, np.nan), "distance": np.nan, "source": "", "kick": np.nan,
    "parameters": np.full(24, np.nan),
}  # fmt: skip
"""Every column with what stands in it where a model has no such thing. `source` is "search", "octahedron" or
"neighbour" for the best, "up" or "down" on the path, "stuck" or "octahedron" for a kick."""
filled = partial(shared.filled, blanks=BLANKS)
read, rows = partial(shared.read, PATH), shared.rows


def main() -> None:
    """Train, descend and write; each job is a part that is not done again."""
    about = {
        "key": KEY,
        "seeds": SEEDS,
        "steps": STEPS,
        "bent": BENT,
        "starts": STARTS * len(SCALES),
        "walkers": WALKERS,
        "walk": WALK,
        "kicks": KICKS,
        "runs": RUNS,
        "after": AFTER,
    }
    folder = shared.folder_of(__file__, PATH)
    shared.collect(PATH, folder, jobs(folder), BLANKS, about)


def jobs(folder: Path) -> dict[str, Callable[[], dict]]:
    """The parts by name; some begin with what earlier ones in the folder have found."""
    found: dict[str, Callable[[], dict]] = {}
    for p in OCTAHEDRA:
        found[f"octahedron {p}"] = partial(octahedron, p)
    for p in DENSITIES:
        found[f"reached {p}"] = partial(reached, p)
        found[f"search {p}"] = partial(searched, p)
    found["best"] = partial(best, folder)
    found["path"] = partial(walked, folder)
    for p in KICKED:
        found[f"kick {p}"] = partial(kicked, folder, p)
    return found


def part(folder: Path, name: str) -> dict[str, np.ndarray]:
    """The columns of a part that is done."""
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def key_of(purpose: int, p: float) -> jax.Array:
    """The key of a density for a purpose."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(KEY), purpose), round(1000 * p))


def seeds_of(p: float) -> jax.Array:
    """The keys of a density, which has keys of its own."""
    return jax.random.split(key_of(0, p), SEEDS)


def trained(p: float, W: np.ndarray, b: np.ndarray, n_steps: int) -> np.ndarray:
    """Parameters (c, 24) after Adam from models W (c, 3, 6) and b (c, 6)."""
    run = train_ensemble(
        FEATURES,
        [1 - p],
        jax.random.split(jax.random.key(0), len(W)),  # for nothing: the start is given, and the data has no noise
        start=model.Params(jnp.asarray(W, jnp.float32)[None], jnp.asarray(b, jnp.float32)[None]),
        n_hidden=3,
        n_steps=n_steps,
        population=True,
        snapshots=[n_steps],
        progress=False,
    ).member(0)
    return flat(run.weights[:, -1], run.biases[:, -1])


def reached(p: float) -> dict:
    """Rows of what small initial weights become, with the curvatures of the first few of either kind."""
    run = train_ensemble(
        FEATURES,
        [1 - p],
        seeds_of(p),
        n_hidden=3,
        n_steps=STEPS,
        population=True,
        snapshots=(STEPS // 2, STEPS),
        progress=False,
    ).member(0)
    before, final = ([classify(W, FEATURES.sets) for W in run.weights[:, at]] for at in (0, 1))
    parameters, is_octahedron = flat(run.weights[:, 1], run.biases[:, 1]), np.array(final) == "octahedron"
    bent = np.sort(np.concatenate([np.flatnonzero(is_octahedron == kind)[:BENT] for kind in (True, False)]))
    columns = measured(parameters, 1 - p)
    columns["curvature"] = np.full((len(parameters), 21), np.nan)
    columns["curvature"][bent, :3] = [curvatures(params_of(row), FEATURES, 1 - p)[:3] for row in parameters[bent]]
    columns |= {"experiment": "reached", "S": 1 - p, "seed": np.arange(SEEDS), "before": np.array(before)}
    return filled(columns, SEEDS)


def octahedron(p: float) -> dict:
    """The row of the lowest octahedron that descents from the exact one, a saddle, and from around it end in."""
    noise = AWAY * np.asarray(jax.random.normal(key_of(1, p), (NEAR, 3, 6)))
    starts = flat(template("octahedron") + np.concatenate([np.zeros((1, 3, 6)), noise]), np.zeros((NEAR + 1, 6)))
    columns = measured(np.stack([polished(start, 1 - p) for start in starts]), 1 - p)
    lowest = np.lexsort((columns["final_loss"], columns["final"] != "octahedron"))[:1]
    columns = {name: column[lowest] for name, column in columns.items()}
    end = params_of(columns["parameters"][0])
    columns["curvature"] = curvatures(end, FEATURES, 1 - p)
    columns["finer"] = curvatures(end, FEATURES, 1 - p, displacement=0.03, n_nodes=FINE // 2)[:3]
    return filled({"experiment": "octahedron", "S": 1 - p, **columns}, 1)


def searched(p: float) -> dict:
    """Rows of the lowest ends of random starts, polished."""
    cosine = optax.adam(optax.cosine_decay_schedule(1e-2, FALL))
    common = {"n_hidden": 3, "n_steps": FALL, "population": True, "snapshots": [FALL], "progress": False}
    keys = jax.random.split(key_of(2, p), STARTS)
    runs = [
        train_ensemble(FEATURES, [1 - p], keys, scale=scale, optimizer=cosine, **common).member(0) for scale in SCALES
    ]
    ends = np.concatenate([flat(run.weights[:, -1], run.biases[:, -1]) for run in runs])
    order = np.argsort(np.concatenate([run.losses[:, -1] for run in runs]))[:POLISHED]
    found = np.stack([polished(end, 1 - p) for end in ends[order]])
    return filled({"experiment": "search", "S": 1 - p, "seed": order, **measured(found, 1 - p)}, len(found))


def best(folder: Path) -> dict:
    """Rows of the lowest minimum known at each density."""
    at, sources = [], []
    for p in DENSITIES:
        options = joined([part(folder, f"{source} {p}") for source in ("search", "octahedron")])
        lowest = options["final_loss"].argmin()
        at.append(options["parameters"][lowest].astype(float))
        sources.append(str(options["experiment"][lowest]))
    steps = [(i, i + 1) for i in range(len(DENSITIES) - 1)]
    for beside, here in steps + [(upper, lower) for lower, upper in reversed(steps)]:
        S = 1 - DENSITIES[here]
        offered = polished(at[beside], S)
        losses = losses_of(np.stack([at[here], offered]), S)
        if losses[1] < (1 - MARGIN) * losses[0]:
            at[here], sources[here] = offered, "neighbour"
    rows = []
    for p, end, source in zip(DENSITIES, at, sources, strict=True):
        columns = {"experiment": "best", "S": 1 - p, "source": source, **measured(end[None], 1 - p)}
        columns["curvature"] = curvatures(params_of(end), FEATURES, 1 - p)
        rows.append(filled(columns, 1))
    return joined(rows)


def walked(folder: Path) -> dict:
    """Rows of models that are led up and down through the densities."""
    start = np.repeat(part(folder, f"octahedron {WAY[0]}")["parameters"], WALKERS, 0)
    W, b, rows = start[:, :18].reshape(-1, 3, 6), start[:, 18:], []
    for step, (source, p) in enumerate([("up", p) for p in WAY] + [("down", p) for p in WAY[::-1]]):
        noise = NOISE * np.asarray(jax.random.normal(key_of(3, step), W.shape))
        parameters = trained(p, W + noise, b, WALK)
        W, b = parameters[:, :18].reshape(-1, 3, 6), parameters[:, 18:]
        columns = {"experiment": "path", "S": 1 - p, "seed": np.arange(WALKERS), "source": source}
        rows.append(filled(columns | measured(parameters, 1 - p), WALKERS))
    return joined(rows)


def kicked(folder: Path, p: float) -> dict:
    """Rows of stuck runs and octahedra that were kicked and trained again, each norm with the same directions."""
    there = part(folder, f"reached {p}")
    stuck = np.resize(np.flatnonzero(there["final"] != "octahedron"), RUNS)
    formed = part(folder, f"octahedron {p}")["parameters"]
    starts = {"stuck": there["parameters"][stuck], "octahedron": np.repeat(formed, RUNS, 0)}
    noise = np.asarray(jax.random.normal(key_of(4, p), (RUNS, 3, 6)))
    noise = noise / np.linalg.norm(noise, axis=(1, 2), keepdims=True)
    W, b, told = [], [], []
    for source, start in starts.items():
        weights = start[:, :18].reshape(-1, 3, 6)
        for kick in KICKS:
            W.append(weights + kick * np.linalg.norm(weights, axis=(1, 2), keepdims=True) * noise)
            b.append(start[:, 18:])
            told += [(source, kick, seed) for seed in (stuck if source == "stuck" else np.arange(RUNS))]
    ends = trained(p, np.concatenate(W), np.concatenate(b), AFTER)
    source, kick, seed = (np.array(column) for column in zip(*told, strict=True))
    before = np.where(source == "stuck", there["final"][seed], "octahedron")
    columns = {"experiment": "kick", "S": 1 - p, "source": source, "kick": kick, "seed": seed, "before": before}
    return filled(columns | named(ends), len(ends))


def measured(parameters: np.ndarray, S: float) -> dict:
    """State, distance to the octahedron, and loss of models (c, 24), in the precision in which they are stored."""
    stored = parameters.astype(np.float32).astype(float)
    distance = template_distance(stored[:, :18].reshape(-1, 3, 6), FEATURES.sets, "octahedron")
    return {"parameters": stored, "distance": distance, **named(stored), "final_loss": losses_of(stored, S)}


def losses_of(parameters: np.ndarray, S: float) -> np.ndarray:
    """Losses (c,) of models (c, 24); one at a time, since the nodes are many."""
    with jax.enable_x64(True):
        x, weights = shared.nodes(S, FINE)
        return np.array([float(shared.loss_of(jnp.asarray(row), x, weights)) for row in parameters])


def joined(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The columns of several sets of rows as one."""
    return {name: np.concatenate([row[name] for row in rows]) for name in BLANKS}


if __name__ == "__main__":
    main()
