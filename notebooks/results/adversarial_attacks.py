"""Trains and attacks the full-size models of notebook 3 and writes what they suffered to adversarial_attacks.nc.

    make results        about 40 minutes on 2 cores for this script

The file is a labelled dataset (xarray.open_dataset): `large` models have 100 features in 20 dimensions, one stream of
fresh data per seed, `small` ones 6 features in 2 or 3 dimensions, trained on the population. Gains under attack are
means over samples in units of radius²; `description` on each variable says what it is. Attributes hold key, sizes,
versions.
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from toylib.attacks import Audit, analytic_dataset, audit, readings, silence, vulnerability
from toylib.features import Independent
from toylib.geometry import feature_dimensionality, features_per_dimension
from toylib.model import Params, loss
from toylib.theory import silent_gains
from toylib.training import train_ensemble

KEY = 2022
SEEDS, STEPS = 8, 10_000
SNAPSHOTS = (1250, 2500, 5000, 10_000)
INVERSE_DENSITIES = (1, 1.5, 2, 2.5, 3, 3.5, 4, 6, 8, 10, 14, 20, 30, 50, 100)
LARGE, LARGE_HIDDEN = Independent(100), 20
FRACTIONS = (0.05, 0.1, 0.2, 0.5)
HEADLINE = 0.1
SAMPLES = 4096  # in each half: the feature is chosen on one and the gain measured on the other
AUDITED = {0.05: 64, 0.1: 256, 0.2: 64, 0.5: 64}  # samples of each model under every attack, by fraction
SMALL, SMALL_HIDDEN = Independent(6), (2, 3)
SMALL_INVERSE_DENSITIES, SMALL_FRACTIONS, SMALL_AUDITED = (1.5, 2, 4, 10, 30), (0.05, 0.1, 0.2, 0.5, 1.0), 64
PATH = Path(__file__).with_suffix(".nc")
MEASURED = ("noise", "one_step", "noisy_step", "analytic", "analytic_signs", "pgd_unguided", "pgd")
MEASURED += ("latent_unguided", "latent", "lower", "upper")


def train_large(seed: int, inverse_densities=INVERSE_DENSITIES, n_steps: int = STEPS):
    """The large models of one seed, with a data stream of its own: a Run with leading axis (density,)."""
    k_init, k_data = jax.random.split(jax.random.fold_in(_keys()[0], seed))
    Ss = [1 - 1 / r for r in inverse_densities]
    run = train_ensemble(
        LARGE,
        Ss,
        k_init[None],
        n_hidden=LARGE_HIDDEN,
        n_steps=n_steps,
        data_key=k_data,
        snapshots=[step for step in SNAPSHOTS if step <= n_steps],
        progress=False,
    )
    return run.member(slice(None), 0)


def test_samples(seed: int, inverse_density: float) -> tuple[jax.Array, jax.Array]:
    """The two halves of fresh samples for one large model: to choose on, and to measure on."""
    key = jax.random.fold_in(jax.random.fold_in(_keys()[1], seed), round(10 * inverse_density))
    x = LARGE.sample(1 - 1 / inverse_density, 2 * SAMPLES, key=key)
    return x[:SAMPLES], x[SAMPLES:]


def measure_large(params: Params, seed: int, inverse_density: float) -> dict[str, np.ndarray]:
    """All that is stored of one trained model, by name; axes after the model's are fraction where there is one."""
    S = 1 - 1 / inverse_density
    chosen_on, measured_on = test_samples(seed, inverse_density)
    W, norms = params.W, jnp.linalg.norm(params.W, axis=0)
    gram = W.T @ W
    row = {
        "features_per_dimension": features_per_dimension(W),
        "represented": (norms > 0.5).sum(),
        "mean_dimensionality": feature_dimensionality(W).mean(),
        "interference": jnp.abs(gram - jnp.diag(jnp.diagonal(gram))).sum() / (gram.size - len(gram)),
        "clean_loss": loss(params, measured_on),
        "mean_bias": params.b.mean(),
    }
    radius = float(HEADLINE * LARGE.mean_norm(S))
    for name, b in (("V_at_zero", params.b), ("V_at_zero_without_bias", jnp.zeros_like(params.b))):
        row[name] = silent_gains(W, b, radius).max() / radius**2
    for name, nonempty in (("", False), ("_nonempty_norm", True)):
        radius = HEADLINE * LARGE.mean_norm(S, nonempty=nonempty)
        row |= {f"V_{k}{name}": v for k, v in readings(params, chosen_on, measured_on, radius)._asdict().items()}
    columns: dict[str, list] = {}
    for fraction, number in AUDITED.items():
        radius = float(fraction * LARGE.mean_norm(S))
        found = audit(params, measured_on[:number], radius, key=jax.random.fold_in(_keys()[1], seed))
        part = _gains(found, radius) | {"active": found.active.mean(), "silent": found.silent.mean()}
        part["silent_distance"] = jnp.nanmedian(jnp.where(found.silent, found.distance, jnp.nan))
        part["silent_nonempty"] = found.silent[~found.empty].mean()
        for name, nonempty in (("", False), ("_nonempty", True)):
            part |= {f"silent_{k}{name}": v for k, v in silence(found, nonempty=nonempty)._asdict().items()}
        for name, value in part.items():
            columns.setdefault(name, []).append(value)
    return {k: np.asarray(v, np.float32) for k, v in (row | columns).items()}


def measure_training(weights: np.ndarray, biases: np.ndarray, seed: int, inverse_density: float) -> dict[str, list]:
    """The headline reading and features per dimension at the snapshots of one run."""
    radius = HEADLINE * LARGE.mean_norm(1 - 1 / inverse_density)
    chosen_on, measured_on = test_samples(seed, inverse_density)
    V, F = [], []
    for params in map(Params, jnp.asarray(weights), jnp.asarray(biases)):
        delta, _ = analytic_dataset(params, chosen_on, radius)
        V.append(vulnerability(params, measured_on, delta, radius))
        F.append(features_per_dimension(params.W))
    return {"V_training": np.asarray(V, np.float32), "F_training": np.asarray(F, np.float32)}


def train_small(n_hidden: int, inverse_densities=SMALL_INVERSE_DENSITIES):
    """Small models on the population: a Run with leading axes (density, seed)."""
    keys = jax.random.split(jax.random.fold_in(_keys()[2], n_hidden), SEEDS)
    Ss = [1 - 1 / r for r in inverse_densities]
    return train_ensemble(
        SMALL, Ss, keys, n_hidden=n_hidden, n_steps=STEPS, population=True, snapshots=[STEPS], progress=False
    )


def measure_small(params: Params, inverse_density: float, seed: int, fraction: float) -> dict[str, float]:
    """Gains of one small model under attacks of one norm."""
    S = 1 - 1 / inverse_density
    radius = float(fraction * SMALL.mean_norm(S))
    key = jax.random.fold_in(_keys()[1], seed)
    return _gains(audit(params, SMALL.sample(S, SMALL_AUDITED, key=key), radius, key=key), radius)


def main() -> None:
    """Train, attack and write."""
    grid: dict[str, dict] = {"large": {}, "training": {}, "small": {}}
    example_W, example_b = [], []
    for seed in tqdm(range(SEEDS), unit="seed", desc="large"):
        run = train_large(seed)
        for i, r in enumerate(tqdm(INVERSE_DENSITIES, unit="model", leave=False)):
            params = Params(jnp.asarray(run.weights[i, -1]), jnp.asarray(run.biases[i, -1]))
            grid["large"][i, seed] = measure_large(params, seed, r)
            grid["training"][i, seed] = measure_training(run.weights[i], run.biases[i], seed, r)
        if seed == 0:
            example_W, example_b = run.weights[:, -1], run.biases[:, -1]
    for h, n_hidden in enumerate(SMALL_HIDDEN):
        run = train_small(n_hidden)
        cells = list(np.ndindex(len(SMALL_INVERSE_DENSITIES), SEEDS, len(SMALL_FRACTIONS)))
        for i, seed, k in tqdm(cells, unit="cell", desc=f"small, m = {n_hidden}"):
            params = Params(run.params.W[i, seed], run.params.b[i, seed])
            r, fraction = SMALL_INVERSE_DENSITIES[i], SMALL_FRACTIONS[k]
            grid["small"][h, i, seed, k] = measure_small(params, r, seed, fraction)
    dims = {
        "large": ("inverse_density", "seed"),
        "training": ("inverse_density", "seed", "step"),
        "small": ("n_hidden", "small_inverse_density", "seed", "small_fraction"),
    }
    variables: dict = {
        "example_W": (("inverse_density", "hidden", "feature"), example_W),
        "example_b": (("inverse_density", "feature"), example_b),
    }
    for part, cells in grid.items():
        for name in next(iter(cells.values())):
            values = _stack({at: cell[name] for at, cell in cells.items()})
            extra = dims[part] if values.ndim == len(dims[part]) else (*dims[part], "fraction")
            variables[f"small_{name}" if part == "small" else name] = (extra, values)
    data = xr.Dataset(
        variables,
        coords={
            "inverse_density": list(map(float, INVERSE_DENSITIES)),
            "seed": np.arange(SEEDS),
            "step": list(SNAPSHOTS),
            "fraction": list(FRACTIONS),
            "n_hidden": list(SMALL_HIDDEN),
            "small_inverse_density": list(map(float, SMALL_INVERSE_DENSITIES)),
            "small_fraction": list(SMALL_FRACTIONS),
        },
        attrs={
            "command": "make results",
            "key": KEY,
            "about": json.dumps(
                {
                    "large": f"{LARGE.n_features} features, {LARGE_HIDDEN} dimensions, {STEPS} steps of fresh batches",
                    "small": f"{SMALL.n_features} features, {STEPS} steps on the population",
                    "samples": {"chosen on": SAMPLES, "measured on": SAMPLES, "audited": AUDITED},
                    "versions": {name: version(name) for name in ("toylib", "jax", "jaxlib", "optax", "numpy")},
                    "python": platform.python_version(),
                }
            ),
        },
    )
    for name, text in _DESCRIPTIONS.items():
        data[name].attrs["description"] = text
    unfinished = PATH.with_suffix(".unfinished")
    data.to_netcdf(unfinished, engine="scipy")
    unfinished.replace(PATH)
    print(f"{PATH.name}: {SEEDS * len(INVERSE_DENSITIES)} large models, {PATH.stat().st_size / 1024:.0f} KiB")


_DESCRIPTIONS = {
    "features_per_dimension": "squared Frobenius norm of W over its number of rows",
    "represented": "number of features with a norm above 0.5",
    "interference": "mean size of the entries of the Gram matrix off the diagonal",
    "V_dataset": "headline vulnerability: one feature for all, sign +, chosen and measured on different samples",
    "V_in_sample": "the same, measured on the samples it was chosen on",
    "V_at_zero": "gain of the most harmful feature's attack at the empty input, by formula",
    "silent_distance": "median norm that turns a unit on, over samples with zero gradient",
    "upper": "certified bound on the gain under any attack",
    "silent": "share of samples with a gradient of exactly zero",
    "example_W": "weights of the large models of seed 0",
}


def _keys() -> jax.Array:
    """For the large models, for all test samples and attacks, for the small models."""
    return jax.random.split(jax.random.key(KEY), 3)


def _gains(found: Audit, radius: float) -> dict[str, float]:
    clean = np.asarray(found.clean, float)
    return {name: float((np.asarray(getattr(found, name), float) - clean).mean() / radius**2) for name in MEASURED}


def _stack(cells: dict[tuple, np.ndarray]) -> np.ndarray:
    """Values by their positions, as one array."""
    shape = tuple(max(at[axis] for at in cells) + 1 for axis in range(len(next(iter(cells)))))
    first = np.asarray(next(iter(cells.values())))
    values = np.empty((*shape, *first.shape), np.float32)
    for at, cell in cells.items():
        values[at] = cell
    return values


if __name__ == "__main__":
    main()
