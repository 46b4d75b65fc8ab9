"""Maps how strong an attractor the octahedron is over the density, for notebook 5, and writes attractor.npz.

    make results        about 8 minutes on 2 cores for this script; stopped, it goes on where it was when called again

The file holds one row per model, in columns of equal length, as `read` returns them; what does not apply to a model is
NaN, -1 or "". Two correlated sets of three features, three hidden dimensions, infinite data. The 1,024 nodes that
training takes for infinite data by default are too few here: they have shallow minima of their own, in which runs stay
that more nodes lead on to an octahedron. So training ends on 16,384 nodes. Experiments:

- "reached": 64 seeds at each density, Adam from small weights, 10,000 steps on 1,024 nodes, the state then being
  "coarse"; what is no octahedron by then goes on for 4,000 steps on 16,384, with its states after half of them and
  after all, and so do a few octahedra.
- "fresh": other seeds at three densities, 10,000 steps on 16,384 nodes from the beginning.
- "octahedron": the lowest minimum near the exact octahedron that is an octahedron, with all its curvatures.
- "search": the four lowest of 96 random starts of two scales, polished. "best": the lowest minimum known, of these, of
  the octahedron, and of the best of the densities beside, polished at this one, up and down the densities.
- "path": models go up through more densities from the octahedron at p = 0.03, 3,000 steps of training at each, on
  16,384 nodes and with a little noise on W before, and then down again from what they have become.
- "kick": noise of so many times the norm of W is added to W, then 3,000 steps of training on 16,384 nodes. Stuck runs
  are what seeds of "reached" have become that is no octahedron, taken again with other noise where they are fewer than
  the kicks; the control is the octahedron, kicked by the same noise.

Every density has seeds of its own. Losses are on 131,072 nodes in double precision, and good to 5e-5 of their values.
Curvatures are over displacements of 0.1, and "finer" over 0.03, where an octahedron has softer ones:
`geometry.curvatures` says why. Helpers come from training_dynamics.py. `about` is a JSON text with key, sizes and
versions.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from results import training_dynamics as shared
from results.training_dynamics import FEATURES, flat, named, params_of, polished
from toylib import model
from toylib.features import Correlated
from toylib.geometry import curvatures, template, template_distance
from toylib.training import Run, train_ensemble

KEY = 20_261_202
DENSITIES = (0.005, 0.01, 0.03, 0.1, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.2, 0.25, 0.3, 0.4, 0.5)
SEEDS, STEPS, MORE, KEPT = 64, 10_000, 4000, 6  # KEPT: octahedra that go on, and curvatures of either kind, a density
FRESH, FRESH_SEEDS = (0.15, 0.16, 0.17), 16
SCALES, STARTS, FALL, POLISHED = (0.3, 1.0), 48, 4000, 4
MARGIN = 1e-4  # by which the best of a density beside must be lower, so that rounding decides nothing
OCTAHEDRA = (*DENSITIES, 0.55, 0.57, 0.58, 0.59, 0.6, 0.62)
NEAR, AWAY = 4, 0.1  # descents to the octahedron beside the one from the exact one, and the noise of their starts
WAY = (
    *(0.03, 0.05, 0.08, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19, 0.2, 0.225, 0.25, 0.3, 0.35),
    *(0.4, 0.45, 0.5, 0.52, 0.54, 0.56, 0.58, 0.6, 0.7),
)
WALKERS, WALK, NOISE = 4, 3000, 1e-3
KICKED = (0.16, 0.17, 0.2)
KICKS, RUNS, AFTER = (0.05, 0.1, 0.2, 0.4, 0.7), 12, 3000
MANY, EXACT = 16_384, 2**17  # nodes of training, and of losses
PATH = Path(__file__).with_suffix(".npz")
BLANKS = {
    "experiment": "", "S": np.nan, "seed": -1, "coarse": "", "before": "", "final": "", "final_loss": np.nan,
    "curvature": np.full(21, np.nan), "finer": np.full(3, np.nan), "distance": np.nan, "source": "", "kick": np.nan,
    "parameters": np.full(24, np.nan),
}  # fmt: skip
"""Every column with what stands in it where a model has no such thing. `source` is "search", "octahedron" or
"neighbour" for the best, "up" or "down" on the path, "stuck" or "octahedron" for a kick."""
filled = partial(shared.filled, blanks=BLANKS)
read, rows = partial(shared.read, PATH), shared.rows


class Finer(Correlated):
    """Correlated features that training sees on more nodes."""

    def population_at(self, p: jax.Array, n_nodes: int = MANY) -> tuple[jax.Array, jax.Array]:
        """The nodes at a density."""
        return super().population_at(p, n_nodes)


def main() -> None:
    """Train, descend and write; each job is a part that is not done again."""
    about = {
        "key": KEY,
        "seeds": SEEDS,
        "steps": STEPS,
        "more": MORE,
        "kept": KEPT,
        "fresh": FRESH_SEEDS,
        "nodes": MANY,
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
    for p in FRESH:
        found[f"fresh {p}"] = partial(fresh, p)
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


def trained(p: float, parameters: np.ndarray, snapshots: Sequence[int]) -> np.ndarray:
    """Parameters (c, snapshots, 24) at these steps of Adam on many nodes, from models (c, 24)."""
    W, b = parameters[:, :18].reshape(1, -1, 3, 6), parameters[None, :, 18:]
    run = train_ensemble(
        Finer(2, 3),
        [1 - p],
        jax.random.split(jax.random.key(0), len(parameters)),  # not used: there are starts, and no noise in the data
        start=model.Params(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32)),
        n_hidden=3,
        n_steps=snapshots[-1],
        population=True,
        snapshots=snapshots,
        progress=False,
    ).member(0)
    return snapshots_of(run)


def snapshots_of(run: Run) -> np.ndarray:
    """Parameters (c, snapshots, 24) along the runs of an ensemble."""
    shape = run.weights.shape[:2]
    return np.concatenate([run.weights.reshape(*shape, 18), run.biases], -1)


def reached(p: float) -> dict:
    """Rows of what small initial weights become."""
    run = train_ensemble(
        FEATURES,
        [1 - p],
        seeds_of(p),
        n_hidden=3,
        n_steps=STEPS,
        population=True,
        snapshots=[STEPS],
        progress=False,
    ).member(0)
    parameters = snapshots_of(run)[:, 0].astype(float)
    coarse = named(parameters)["final"]
    before = np.full(SEEDS, "", "<U64")
    goes_on = first_of(coarse == "octahedron", KEPT, SEEDS)
    half, parameters[goes_on] = trained(p, parameters[goes_on], (MORE // 2, MORE)).swapaxes(0, 1)
    before[goes_on] = named(half)["final"]
    columns = measured(parameters, 1 - p)
    bent = first_of(columns["final"] == "octahedron", KEPT, KEPT)
    columns["curvature"] = np.full((SEEDS, 21), np.nan)
    columns["curvature"][bent, :3] = [curvatures(params_of(row), FEATURES, 1 - p)[:3] for row in parameters[bent]]
    columns |= {"experiment": "reached", "S": 1 - p, "seed": np.arange(SEEDS), "coarse": coarse, "before": before}
    return filled(columns, SEEDS)


def first_of(is_octahedron: np.ndarray, octahedra: int, others: int) -> np.ndarray:
    """The positions of the first so many octahedra and of the first so many others, in order."""
    kinds = ((is_octahedron, octahedra), (~is_octahedron, others))
    return np.sort(np.concatenate([np.flatnonzero(kind)[:number] for kind, number in kinds]))


def fresh(p: float) -> dict:
    """Rows of seeds that see many nodes from the beginning."""
    run = train_ensemble(
        Finer(2, 3),
        [1 - p],
        jax.random.split(key_of(5, p), FRESH_SEEDS),
        n_hidden=3,
        n_steps=STEPS,
        population=True,
        snapshots=(STEPS // 2, STEPS),
        progress=False,
    ).member(0)
    half, end = snapshots_of(run).swapaxes(0, 1)
    columns = {"experiment": "fresh", "S": 1 - p, "seed": np.arange(FRESH_SEEDS), "before": named(half)["final"]}
    return filled(columns | measured(end, 1 - p), FRESH_SEEDS)


def octahedron(p: float) -> dict:
    """The row of the lowest octahedron that descents from the exact one, a saddle, and from around it end in."""
    noise = AWAY * np.asarray(jax.random.normal(key_of(1, p), (NEAR, 3, 6)))
    starts = flat(template("octahedron") + np.concatenate([np.zeros((1, 3, 6)), noise]), np.zeros((NEAR + 1, 6)))
    columns = measured(np.stack([polished(start, 1 - p) for start in starts]), 1 - p)
    lowest = np.lexsort((columns["final_loss"], columns["final"] != "octahedron"))[:1]
    columns = {name: column[lowest] for name, column in columns.items()}
    end = params_of(columns["parameters"][0])
    columns["curvature"] = curvatures(end, FEATURES, 1 - p)
    columns["finer"] = curvatures(end, FEATURES, 1 - p, displacement=0.03, n_nodes=EXACT // 2)[:3]
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
    parameters, rows = np.repeat(part(folder, f"octahedron {WAY[0]}")["parameters"], WALKERS, 0), []
    for step, (source, p) in enumerate([("up", p) for p in WAY] + [("down", p) for p in WAY[::-1]]):
        parameters[:, :18] += NOISE * np.asarray(jax.random.normal(key_of(3, step), (WALKERS, 18)))
        parameters = trained(p, parameters, [WALK])[:, 0]
        columns = {"experiment": "path", "S": 1 - p, "seed": np.arange(WALKERS), "source": source}
        rows.append(filled(columns | measured(parameters, 1 - p), WALKERS))
    return joined(rows)


def kicked(folder: Path, p: float) -> dict:
    """Rows of stuck runs and octahedra that were kicked and trained again, each norm with the same directions."""
    there, formed = part(folder, f"reached {p}"), part(folder, f"octahedron {p}")["parameters"]
    stuck = np.resize(np.flatnonzero(there["final"] != "octahedron"), RUNS)
    noise = np.asarray(jax.random.normal(key_of(4, p), (RUNS, 18)))
    noise = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    kicks, rows = np.repeat(KICKS, RUNS), []
    for source, starts in (("stuck", there["parameters"][stuck]), ("octahedron", np.repeat(formed, RUNS, 0))):
        before = np.tile(starts, (len(KICKS), 1))
        after = before.copy()
        lengths = kicks * np.linalg.norm(before[:, :18], axis=1)
        after[:, :18] += lengths[:, None] * np.tile(noise, (len(KICKS), 1))
        columns = {"experiment": "kick", "S": 1 - p, "source": source, "kick": kicks, "before": named(before)["final"]}
        columns["seed"] = np.tile(stuck if source == "stuck" else np.arange(RUNS), len(KICKS))
        rows.append(filled(columns | named(trained(p, after, [AFTER])[:, 0]), len(after)))
    return joined(rows)


def measured(parameters: np.ndarray, S: float) -> dict:
    """State, distance to the octahedron, and loss of models (c, 24), in the precision in which they are stored."""
    stored = parameters.astype(np.float32).astype(float)
    distance = template_distance(stored[:, :18].reshape(-1, 3, 6), FEATURES.sets, "octahedron")
    return {"parameters": stored, "distance": distance, **named(stored), "final_loss": losses_of(stored, S)}


def losses_of(parameters: np.ndarray, S: float) -> np.ndarray:
    """Losses (c,) of models (c, 24); one at a time, since the nodes are many."""
    with jax.enable_x64(True):
        x, weights = shared.nodes(S, EXACT)
        return np.array([float(shared.loss_of(jnp.asarray(row), x, weights)) for row in parameters])


def joined(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The columns of several sets of rows as one."""
    return {name: np.concatenate([row[name] for row in rows]) for name in BLANKS}


if __name__ == "__main__":
    main()
