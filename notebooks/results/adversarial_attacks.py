"""Trains and attacks the full-size models of notebook 3 and writes what they suffered to adversarial_attacks.nc.

    make results        half an hour on 2 cores for this script; stopped, it goes on where it was when called again

One labelled dataset (xarray.open_dataset) of four sweeps, whose variables begin with their names but for the first:
`large` models have 100 features in 20 dimensions and one stream of fresh data per seed; their weights and biases are
stored as 16-bit numbers. `law` are models of other sizes and importances, trained likewise, `small` ones have 6
features in 2 or 3 dimensions, `octahedron` are runs of two correlated sets of three; both train on the population.

Gains under attack are means over samples in units of radius². An audit is of non-empty samples, the same at every
norm, and of the empty one, whose weight is known: 1 - P(empty) and P(empty) times the two give the mean over all.
`description` on each variable says what it is, attributes hold key, sizes and versions.
"""

import itertools
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from toylib import sweeps
from toylib.attacks import Audit, analytic_dataset, audit, error, readings, vulnerability, worst_case
from toylib.features import Correlated, Features, Independent
from toylib.geometry import feature_dimensionality, features_per_dimension, phases, twist
from toylib.model import Params, loss, reconstruct
from toylib.theory import one_feature_gains, silent_gains
from toylib.training import Run, train_ensemble

KEY = 3011
SEEDS, STEPS, HEADLINE = 8, 10_000, 0.1
SNAPSHOTS = (150, 300, 600, 1250, 2500, 5000, 10_000)
INVERSE_DENSITIES = (1, 1.5, 2, 2.5, 3, 3.5, 4, 6, 8, 10, 14, 20, 30, 50, 100)
LARGE, LARGE_HIDDEN = Independent(100), 20
FRACTIONS = (0.05, 0.1, 0.2, 0.5)
SAMPLES = 4096  # in each half: the feature is chosen on one and the gain measured on the other
AUDITED = 255  # non-empty samples of each large model under every attack, beside the empty one
SETTINGS = {"30 in 5": (30, 5, 1.0), "40 in 8": (40, 8, 1.0), "40 in 8, 0.9ⁱ": (40, 8, 0.9)}
SETTINGS |= {"80 in 20, 0.9ⁱ": (80, 20, 0.9)}
"""Of the law: features, dimensions, and the factor from one feature's importance to the next."""
LAW_INVERSE_DENSITIES = (1, 2, 3, 4, 6, 8, 14, 30, 100)
SMALL, SMALL_HIDDEN, SMALL_AUDITED = Independent(6), (2, 3), 47
SMALL_INVERSE_DENSITIES, SMALL_FRACTIONS = (1.5, 2, 4, 10, 30), (0.05, 0.1, 0.2, 0.5, 1.0)
PAIR, PAIR_S, RUNS = Correlated(2, 3), 0.9, 16
STAGES = np.unique(np.geomspace(100, STEPS, 33).astype(int))
GROUPS = ("empty", "one set", "both sets")
GROUP_WEIGHTS = (PAIR_S**2, 2 * PAIR_S * (1 - PAIR_S), (1 - PAIR_S) ** 2)
IN_GROUP = 32  # samples of each group but the empty one, in each half
BIASES = ("as trained", "zero")
NORMS = {"0.1, all": (0.1, False), "0.1, non-empty": (0.1, True), "0.3, non-empty": (0.3, True)}
"""Fractions of the mean norm, of all inputs or of those that are not empty."""
PATH = Path(__file__).with_suffix(".nc")
MEASURED = ("noise", "one_step", "noisy_step", "analytic", "analytic_signs", "pgd_unguided", "pgd")
MEASURED += ("latent_unguided", "latent", "lower", "upper")


def train_fresh(
    seed: int,
    inverse_densities: Sequence[float],
    features: Features = LARGE,
    n_hidden: int = LARGE_HIDDEN,
    *,
    key: jax.Array,
    n_steps: int = STEPS,
    snapshots: Sequence[int] = SNAPSHOTS,
    importance: np.ndarray | None = None,
) -> Run:
    """The models of one seed, with a data stream of its own: a Run with leading axis (density,)."""
    k_init, k_data, _ = _keys(key, seed)
    run = train_ensemble(
        features,
        [1 - 1 / r for r in inverse_densities],
        k_init[None],
        n_hidden=n_hidden,
        n_steps=n_steps,
        data_key=k_data,
        snapshots=[step for step in snapshots if step <= n_steps],
        importance=importance,
        progress=False,
    )
    return run.member(slice(None), 0)


def drawn_samples(seed: int, inverse_density: float, features: Features = LARGE, *, key: jax.Array) -> list[jax.Array]:
    """Two halves of fresh samples, to choose on and to measure on; all densities threshold the same uniform numbers."""
    x = features.sample(1 - 1 / inverse_density, 2 * SAMPLES, key=_keys(key, seed)[2])
    return [x[:SAMPLES], x[SAMPLES:]]


def audited_samples(
    seed: int, inverse_density: float, features: Features = LARGE, number: int = AUDITED, *, key: jax.Array
) -> jax.Array:
    """The empty input, and fresh ones that are not empty."""
    k = jax.random.fold_in(_keys(key, seed)[2], 1)
    x = np.asarray(features.sample(1 - 1 / inverse_density, 20 * number, key=k))
    return jnp.concatenate([jnp.zeros((1, features.n_features)), x[x.any(1)][:number]])


def empty_share(inverse_density: float, features: Features = LARGE) -> float:
    """Probability of an empty input, with independent features."""
    return (1 - 1 / inverse_density) ** features.n_features


def law_of(params: Params, chosen_on: jax.Array, measured_on: jax.Array, radius: float) -> dict[str, float]:
    """V of the headline reading beside the law, and what the law leaves out of it, in the same units.

    V = linear + second + switched: the terms of units that are on before the attack, of first and second order, and
    what units that switch add to them. `second` is the law at the chosen feature.
    """
    delta, i = analytic_dataset(params, chosen_on, radius)
    W, x = np.asarray(params.W, float), np.asarray(measured_on, float)
    z = x @ W.T @ W + np.asarray(params.b)
    moves, on = np.asarray(delta, float) @ W.T @ W, z > 0
    gains = one_feature_gains(W, on.mean(0))
    V = float(((np.maximum(z + moves, 0) - x) ** 2 - (np.maximum(z, 0) - x) ** 2).sum(1).mean()) / radius**2
    linear = float((2 * (z - x) * on * moves).sum(1).mean()) / radius**2
    switching = float((on != (z + moves > 0)).mean())
    parts = {"V": V, "mean": gains.mean(), "second": gains[int(i)], "linear": linear, "switching": switching}
    return parts | {"switched": V - linear - gains[int(i)], "active": on.mean()}


def point_of_large(seed, inverse_density, *, key) -> dict:
    """All that is stored of the large models of one seed: a batch over the densities."""
    (seed,), inverse_densities = sweeps.product(seed=seed, inverse_density=inverse_density).values()
    run = train_fresh(int(seed), inverse_densities, key=key)
    rows = [measure_large(run, i, int(seed), float(r), key=key) for i, r in enumerate(inverse_densities)]
    dims = {"W": ("hidden", "feature"), "b": ("feature",), "V_training": ("step",), "F_training": ("step",)}
    dims["law_training"] = dims["linear_training"] = ("step",)
    return {
        name: (dims.get(name, ("fraction",) if rows[0][name].ndim else ()), np.stack([row[name] for row in rows]))
        for name in rows[0]
    }


def measure_large(run: Run, i: int, seed: int, inverse_density: float, *, key: jax.Array) -> dict[str, np.ndarray]:
    """The measurements of one model of a run (density,)."""
    S, none = 1 - 1 / inverse_density, jnp.zeros((1, LARGE.n_features))
    params = Params(jnp.asarray(run.weights[i, -1]), jnp.asarray(run.biases[i, -1]))
    chosen_on, measured_on = drawn_samples(seed, inverse_density, key=key)
    W, norms = params.W, jnp.linalg.norm(params.W, axis=0)
    gram, D = W.T @ W, feature_dimensionality(W)
    radius = float(HEADLINE * LARGE.mean_norm(S))
    row = {
        "W": params.W,
        "b": params.b,
        "features_per_dimension": features_per_dimension(W),
        "represented": (norms > 0.5).sum(),
        "per_dimensionality": 1 / D[norms > 0.5].mean(),
        "interference": jnp.abs(gram - jnp.diag(jnp.diagonal(gram))).sum() / (gram.size - len(gram)),
        "clean_loss": loss(params, measured_on),
        "mean_bias": params.b.mean(),
        "mean_activity": reconstruct(params, measured_on).mean(),
        "empty": (measured_on == 0).all(1).mean(),
        "V_at_zero": silent_gains(W, params.b, radius).max() / radius**2,
    }
    row |= {f"law_{k}": v for k, v in law_of(params, chosen_on, measured_on, radius).items()}
    for name, X, length in (
        ("", measured_on, radius),
        ("_empty", none, radius),
        ("_nonempty_norm", measured_on, float(HEADLINE * LARGE.mean_norm(S, nonempty=True))),
    ):
        row |= {f"V_{k}{name}": v for k, v in readings(params, chosen_on, X, length)._asdict().items()}
    past = [Params(jnp.asarray(W), jnp.asarray(b)) for W, b in zip(run.weights[i], run.biases[i], strict=True)]
    during = [law_of(each, chosen_on, measured_on, radius) for each in past]
    row |= {f"{k}_training": [law[j] for law in during] for k, j in (("V", "V"), ("law", "mean"), ("linear", "linear"))}
    row["F_training"] = [features_per_dimension(each.W) for each in past]
    x = audited_samples(seed, inverse_density, key=key)
    found = [audit(params, x, float(f * LARGE.mean_norm(S)), key=_keys(key, seed)[2]) for f in FRACTIONS]
    parts = [by_group(each, float(f * LARGE.mean_norm(S))) for each, f in zip(found, FRACTIONS, strict=True)]
    row |= {name: [part[name] for part in parts] for name in parts[0]}
    return {k: np.asarray(v, np.float32) for k, v in row.items()}


def by_group(found: Audit, radius: float) -> dict[str, float]:
    """Of an audit of the empty input and others: gains in units of radius² and what the gradient sees, for either."""
    found = Audit(*(np.asarray(column, float) for column in found))
    rest, part = slice(1, None), {}
    for name in MEASURED:
        gain = (getattr(found, name) - found.clean) / radius**2
        part |= {f"{name}_empty": gain[0], f"{name}_nonempty": gain[rest].mean()}
    certified, masked = found.certified == 1, (found.certified == 0) & (found.analytic_signs > found.clean)
    for name, kind in (("certified", certified), ("masked", masked), ("unresolved", ~certified & ~masked)):
        kind = kind & (found.silent == 1)
        part |= {f"silent_{name}_empty": kind[0], f"silent_{name}_nonempty": kind[rest].sum()}
    distance = found.distance[rest][found.silent[rest] == 1]
    part["silent_distance_nonempty"] = np.median(distance) if len(distance) else np.nan
    return part | {"active_empty": found.active[0], "active_nonempty": found.active[rest].mean()}


def point_of_law(setting, seed, inverse_density, *, key) -> dict:
    """V, the law and what it leaves out, of models of one setting and seed: a batch over the densities."""
    axes = sweeps.product(setting=setting, seed=seed, inverse_density=inverse_density).values()
    (setting,), (seed,), inverse_densities = axes
    n, m, decay = SETTINGS[str(setting)]
    features, importance = Independent(n), decay ** np.arange(n) if decay < 1 else None
    key = jax.random.fold_in(key, list(SETTINGS).index(str(setting)))
    run = train_fresh(int(seed), inverse_densities, features, m, key=key, snapshots=[STEPS], importance=importance)
    rows = []
    for W, b, r in zip(*run.params, inverse_densities, strict=True):
        radius = float(HEADLINE * features.mean_norm(1 - 1 / r))
        rows.append(law_of(Params(W, b), *drawn_samples(int(seed), float(r), features, key=key), radius))
        rows[-1]["F"] = float(features_per_dimension(W))
    return {f"setting_{name}": np.array([row[name] for row in rows], np.float32) for name in rows[0]}


def train_small(n_hidden: int, inverse_densities, *, key: jax.Array, seeds: int = SEEDS) -> Run:
    """Small models on the population: a Run with leading axes (density, seed)."""
    keys, Ss = jax.random.split(jax.random.fold_in(key, n_hidden), seeds), [1 - 1 / r for r in inverse_densities]
    return train_ensemble(
        SMALL, Ss, keys, n_hidden=n_hidden, n_steps=STEPS, population=True, snapshots=[STEPS], progress=False
    )


def measure_small(params: Params, inverse_density: float, seed: int, fraction: float, *, key) -> dict[str, float]:
    """Gains of one small model under attacks of one norm."""
    radius = float(fraction * SMALL.mean_norm(1 - 1 / inverse_density))
    x = audited_samples(seed, inverse_density, SMALL, SMALL_AUDITED, key=key)
    part = by_group(audit(params, x, radius, key=_keys(key, seed)[2]), radius)
    return {f"{name}_{group}": part[f"{name}_{group}"] for name in MEASURED for group in ("empty", "nonempty")}


def point_of_small(n_hidden, inverse_density, seed, fraction, *, key) -> dict:
    """Small models of one size and density: a batch over seeds and norms."""
    axes = sweeps.product(n_hidden=n_hidden, inverse_density=inverse_density, seed=seed, fraction=fraction)
    (n_hidden,), (r,), seeds, fractions = axes.values()
    run = train_small(int(n_hidden), [float(r)], key=key).member(0)
    models = [Params(W, b) for W, b in zip(*run.params, strict=True)]
    rows = [measure_small(models[seed], float(r), int(seed), float(f), key=key) for seed in seeds for f in fractions]
    return {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}


def group_samples(key: jax.Array) -> dict[str, jax.Array]:
    """The empty input, samples with one set on, half of them either, and samples with both on."""
    both = PAIR.sample(0.0, IN_GROUP, key=key)
    first = jnp.arange(IN_GROUP)[:, None] < IN_GROUP // 2
    one = jnp.where(first == (jnp.arange(6) < 3)[None], both, 0)
    return dict(zip(GROUPS, (jnp.zeros((1, 6)), one, both), strict=True))


def train_pair(key: jax.Array, runs: int = RUNS) -> Run:
    """The runs that end as octahedra, on the population: a Run (run,)."""
    keys = jax.random.split(jax.random.fold_in(key, 3), runs)
    return train_ensemble(PAIR, [PAIR_S], keys, n_hidden=3, n_steps=STEPS, population=True, progress=False).member(0)


@partial(jax.jit, static_argnames="nonempty")
def _group_gains(params: Params, X: jax.Array, fraction: float, *, nonempty: bool) -> jax.Array:
    """Gains (samples, feature) in units of radius² of the analytic attacks with sign +."""
    radius = fraction * PAIR.mean_norm(PAIR_S, nonempty=nonempty)
    gram = params.W.T @ params.W
    norms = jnp.linalg.norm(gram, axis=1, keepdims=True)
    deltas = radius * gram / jnp.where(norms > 0, norms, 1)
    gains = jax.vmap(lambda x: jax.vmap(lambda d: error(params, x, d))(deltas) - error(params, x, 0 * x)[None])(X)
    return gains / radius**2


@jax.jit
def _exact(params: Params, X: jax.Array, radius: jax.Array) -> jax.Array:
    """The worst case of each sample as gains (samples, 2), lower and upper."""
    return jax.lax.map(lambda x: jnp.stack(worst_case(params, x, radius)) - error(params, x, 0 * x)[None], X)


def measure_stage(params: Params, *, key: jax.Array) -> dict[str, np.ndarray]:
    """V of one feature for all inputs by bias, norm and group, and the worst case of the same samples."""
    chosen_on, measured_on = map(group_samples, jax.random.split(jax.random.fold_in(key, 4)))
    V, weights = np.empty((len(BIASES), len(NORMS), len(GROUPS)), np.float32), np.array(GROUP_WEIGHTS)
    cases = itertools.product(enumerate((params.b, 0 * params.b)), enumerate(NORMS.values()))
    for (i, b), (j, (fraction, nonempty)) in cases:
        gains = partial(_group_gains, Params(params.W, b), fraction=fraction, nonempty=nonempty)
        feature = (weights @ [np.asarray(gains(X)).mean(0) for X in chosen_on.values()]).argmax()
        each = [np.asarray(gains(X))[:, feature] for X in measured_on.values()]
        V[i, j] = [gain.mean() for gain in each]
        if i == j == 0:
            samples = np.concatenate(each)
    radius = HEADLINE * PAIR.mean_norm(PAIR_S)
    exact = np.asarray(_exact(params, jnp.concatenate(list(measured_on.values())), radius)) / float(radius) ** 2
    by = np.split(exact, np.cumsum([len(X) for X in measured_on.values()])[:-1])
    return {"V": V, "worst": np.array([part.mean(0) for part in by]), "samples": np.c_[samples, exact]}


def point_of_octahedron(run, *, key) -> dict:
    """The stages of the runs: a batch of them all."""
    trained = train_pair(key, len(run))
    at = np.abs(trained.steps[:, None] - STAGES[None]).argmin(0)
    W, b = trained.weights[:, at], trained.biases[:, at]
    rows = [
        [
            measure_stage(Params(jnp.asarray(W[i, j]), jnp.asarray(b[i, j])), key=jax.random.fold_in(key, 10 + i))
            for j in range(len(STAGES))
        ]
        for i in range(len(run))
    ]
    letters = np.full((len(run), len(STAGES)), -1, np.int8)
    for i in range(len(run)):
        for phase in phases(trained.member(i), PAIR.sets):
            during = (trained.steps[at] >= phase.first) & (trained.steps[at] <= phase.last)
            letters[i, during] = "ABCDE".index(phase.name)
    both = ("stage", "bias", "norm", "group")
    stacked = {name: np.array([[row[name] for row in of] for of in rows], np.float32) for name in rows[0][0]}
    return {
        "octahedron_V": (both, stacked["V"]),
        "octahedron_worst": (("stage", "group", "bound"), stacked["worst"]),
        "octahedron_samples": (("stage", "sample", "attack"), stacked["samples"]),
        "octahedron_W": (("stage", "pair_hidden", "pair_feature"), W),
        "octahedron_b": (("stage", "pair_feature"), b),
        "octahedron_twist": (("stage",), np.array([[twist(each, PAIR.sets) for each in of] for of in W], np.float32)),
        "octahedron_phase": (("stage",), letters),
    }


_SEEDS = list(range(SEEDS))
SWEEPS = {
    "large": (point_of_large, {"seed": _SEEDS, "inverse_density": list(map(float, INVERSE_DENSITIES))}, 15),
    "octahedron": (point_of_octahedron, {"run": list(range(RUNS))}, RUNS),
    "law": (
        point_of_law,
        {"setting": list(SETTINGS), "seed": _SEEDS, "inverse_density": list(map(float, LAW_INVERSE_DENSITIES))},
        len(LAW_INVERSE_DENSITIES),
    ),
    "small": (
        point_of_small,
        {
            "n_hidden": list(SMALL_HIDDEN),
            "inverse_density": list(map(float, SMALL_INVERSE_DENSITIES)),
            "seed": _SEEDS,
            "fraction": list(SMALL_FRACTIONS),
        },
        SEEDS * len(SMALL_FRACTIONS),
    ),
}
"""Function, grid and points in a batch of each sweep."""


def keys() -> dict[str, jax.Array]:
    """One for each sweep."""
    return dict(zip(SWEEPS, jax.random.split(jax.random.key(KEY), len(SWEEPS)), strict=True))


def relative_to_densest(data: xr.Dataset, seed: int, inverse_density: float, *, key: jax.Array) -> float:
    """The headline reading over that of the densest model of the same seed, attacked on the same inputs."""
    densest = data.sel(seed=seed, inverse_density=1)
    params = Params(jnp.asarray(densest.W.values, jnp.float32), jnp.asarray(densest.b.values, jnp.float32))
    chosen_on, measured_on = drawn_samples(seed, inverse_density, key=key)
    radius = float(HEADLINE * LARGE.mean_norm(1 - 1 / inverse_density))
    push, _ = analytic_dataset(params, chosen_on, radius)
    own = float(data.V_dataset.sel(seed=seed, inverse_density=inverse_density))
    return own / float(vulnerability(params, measured_on, push, radius))


def main() -> None:
    """Sweep, and write what the notebook shows."""
    parts, made = {}, {}
    for name, (function, grid, batch) in SWEEPS.items():
        store = PATH.with_name(f"{PATH.stem}_{name}.zarr")
        parts[name] = sweeps.run(function, grid, store=store, batch=batch, key=keys()[name]).load()
        made[name] = json.loads(parts[name].attrs["versions"])
    large = parts["large"].assign_coords(fraction=list(FRACTIONS), step=list(SNAPSHOTS))
    cells = [[relative_to_densest(large, s, r, key=keys()["large"]) for r in INVERSE_DENSITIES] for s in _SEEDS]
    large["V_relative"] = ("seed", "inverse_density"), np.array(cells, np.float32)
    law = parts["law"].rename(inverse_density="law_inverse_density")
    small = parts["small"].rename(inverse_density="small_inverse_density", fraction="small_fraction")
    small = small.rename({name: f"small_{name}" for name in small.data_vars if name != "failed"})
    octahedron = parts["octahedron"].assign_coords(stage=STAGES, bias=list(BIASES), norm=list(NORMS))
    octahedron = octahedron.assign_coords(group=list(GROUPS), bound=["lower", "upper"])
    octahedron = octahedron.assign_coords(attack=["one feature", "lower", "upper"])
    octahedron["octahedron_samples"] = octahedron.octahedron_samples.sel(run=0, drop=True)
    failed = {name: int(part.failed.sum()) for name, part in parts.items()}
    if any(failed.values()):
        raise RuntimeError(f"all points must be computed, got failures {failed}; see the attributes of the stores")
    data = xr.merge([part.drop_vars("failed") for part in (large, law, small, octahedron)], combine_attrs="drop")
    data.attrs = {"command": "make results", "key": KEY, "versions": json.dumps(made), "setting": _SETTING}
    for name, text in _DESCRIPTIONS.items():
        data[name].attrs["description"] = text
    scales = {name: float(np.abs(data[name]).max()) / 32767 for name in ("W", "b", "octahedron_W", "octahedron_b")}
    encoding = {name: {"dtype": "int16", "scale_factor": scale, "_FillValue": -32768} for name, scale in scales.items()}
    unfinished = PATH.with_suffix(".unfinished")
    data.to_netcdf(unfinished, engine="scipy", encoding=encoding)
    unfinished.replace(PATH)
    print(f"{PATH.name}: {SEEDS * len(INVERSE_DENSITIES)} large models, {PATH.stat().st_size / 1024:,.0f} KiB")


_SETTING = (
    f"large: {LARGE.n_features} features, {LARGE_HIDDEN} dimensions, {STEPS} steps of fresh batches; V on {SAMPLES} "
    f"samples, chosen on {SAMPLES} others; audits of {AUDITED} non-empty samples; small: {SMALL_AUDITED} of them"
)
_DESCRIPTIONS = {
    "features_per_dimension": "squared Frobenius norm of W over its number of rows",
    "represented": "number of features with a norm above 0.5",
    "per_dimensionality": "1 over the mean dimensionality of these features",
    "interference": "mean size of the entries of the Gram matrix off the diagonal",
    "V_dataset": "headline vulnerability: one feature for all, sign +, chosen and measured on different samples",
    "V_dataset_empty": "the same on the empty input",
    "V_in_sample": "the same, measured on the samples it was chosen on",
    "V_at_zero": "gain of the most harmful feature's attack at the empty input, by formula",
    "V_relative": "headline vulnerability over that of the densest model of the seed on the same inputs",
    "law_mean": "theory.one_feature_gains, mean over features; law_second at the chosen feature",
    "silent_distance_nonempty": "median norm that turns a unit on, over non-empty samples with zero gradient",
    "silent_certified_nonempty": "number of the non-empty samples with zero gradient that no attack can harm",
    "upper_nonempty": "certified bound on the gain under any attack, mean over non-empty samples",
    "W": "weights of the large models",
    "octahedron_samples": "gains of single samples of run 0 with the biases as trained at norm 0.1 of all",
}


def _keys(key: jax.Array, seed: int) -> jax.Array:
    """Of one seed: for initial weights, the data stream, and the tests."""
    return jax.random.split(jax.random.fold_in(key, seed), 3)


if __name__ == "__main__":
    main()
