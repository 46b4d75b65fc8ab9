"""Trains the classifiers of notebook 6, attacks them, and writes what became of them to classifier_*.nc.

    make results        about 7 minutes on 2 cores for this script; stopped, it goes on where it was when called again

Labelled datasets (xarray.open_dataset). `settings`: 20 linear bottleneck classifiers for each of the settings below,
their accuracy, and how often an attack makes them predict another class while the label stays. `transfer`: 40
classifiers of 6 classes in 2 dimensions for each of four designs, and how often the attacks on one (row) succeed on
another (column). All are trained on fresh batches by Adam from 0.01 down a cosine; a seed has initial weights and test
inputs of its own, and two seeds share a data stream. Attributes hold key, sizes and versions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toylib import attacks, sweeps
from toylib.features import Features, Independent
from toylib.geometry import interference_similarity
from toylib.model import Classifier, Params, cross_entropy, evidence, init, label, logits, readouts
from toylib.training import train_ensemble

KEY = 20_261_129
SEEDS, TRANSFER_SEEDS, STREAM = 20, 40, 2
INPUTS, ATTACKED, EXACT = 512, 64, 16  # labelled test inputs; of these under gradient ascent; under the exact attack
FIXED = {"key": jax.random.key(KEY), "n_steps": 3000, "batch_size": 256}


class Setting(NamedTuple):
    """What a classifier and the attack on it are; the defaults are the middle of the choices that were left open."""

    k: int
    m: int
    active: float = 1.5  # features of an input, on average, empty inputs included
    tied: bool = False
    bias: bool = True
    class_size: int = 1
    nonnegative: bool = False
    epsilon: float = 0.2
    longer: int = 1

    @property
    def features(self) -> Independent:
        """One gate per feature."""
        return Independent(self.k * self.class_size)

    @property
    def density(self) -> float:
        """p."""
        return self.active / self.features.n_features


SERIES = {f"m = {m}, k/m = {ratio}": Setting(m * ratio, m) for m in (2, 5) for ratio in (1, 2, 3, 4)}
"""Classes are added at a fixed number of dimensions."""
SQUEEZE = {f"k = 12, k/m = {ratio}": Setting(12, 12 // ratio) for ratio in (1, 2, 3, 4)}
"""Dimensions are taken away from the same classes: the same inputs, labels and margins."""
SIZES = {f"k = {k}, m = {m}": Setting(k, m) for k, m in ((6, 2), (30, 10), (90, 30))}
CHOICES = {
    "tied readouts": Setting(6, 2, tied=True),
    "no bias": Setting(6, 2, bias=False),
    "0.5 active features": Setting(6, 2, active=0.5),
    "3 active features": Setting(6, 2, active=3),
    "three features a class": Setting(6, 2, class_size=3),
    "attacked inputs not negative": Setting(6, 2, nonnegative=True),
    "norm 0.1": Setting(6, 2, epsilon=0.1),
    "norm 0.4": Setting(6, 2, epsilon=0.4),
    "trained three times longer": Setting(6, 2, longer=3),
}
"""Each differs from k = 6, m = 2 in one choice."""
SETTINGS = SERIES | SQUEEZE | SIZES | CHOICES


@dataclass(frozen=True)
class Copied(Features):
    """Every feature has a gate of its own, but takes one of its common gates instead with probability `copied`."""

    commons: tuple[tuple[int, int], ...]  # of each feature: one or the other, evenly
    copied: float

    @property
    def n_features(self) -> int:  # pyrefly: ignore[bad-override]  # nobody sets it
        """One for each pair of commons."""
        return len(self.commons)

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """One per feature."""
        return tuple((i,) for i in range(self.n_features))

    @property
    def n_gates(self) -> int:
        """An own gate, a common one and a choice for each feature."""
        return 3 * self.n_features

    def active(self, p: jax.Array, gates: jax.Array) -> jax.Array:
        """Where the gate that it takes is open."""
        own, common, choice = jnp.split(gates, 3)
        first, second = (common[jnp.asarray(column)] for column in np.transpose(self.commons))
        taken = jnp.where(choice < self.copied / 2, first, jnp.where(choice < self.copied, second, own))
        return taken < p

    def states(self) -> None:
        """Not listed."""


CLASSES = 6
_RING = tuple((i, (i + 1) % CLASSES) for i in range(CLASSES))
DESIGNS = {
    "uncorrelated": Copied(_RING, 0.0),
    "paired": Copied(tuple((i // 2, i // 2) for i in range(CLASSES)), 0.9),
    "all with all": Copied(((0, 0),) * CLASSES, 0.9),
    "neighbours on a ring": Copied(_RING, 0.9),
}
"""Classes 0 and 1, 2 and 3, 4 and 5 are pairs; on the ring, class i takes the common gate i or i + 1."""


def cosine_adam(learning_rate: Any, n_steps: int) -> optax.GradientTransformation:
    """Adam from a learning rate down a cosine to 0."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, n_steps))


def without_bias(params, x, *, weights, class_size=1) -> jax.Array:
    """The loss of a model whose biases stay 0."""
    return cross_entropy(params._replace(b=0 * params.b), x, weights=weights, class_size=class_size)


def trained(features: Features, setting: Setting, seeds: np.ndarray, *, key, n_steps: int, batch_size: int):
    """Classifiers, one for each seed; STREAM of them at a time see one data stream."""
    draw, ends = partial(init, features.n_features, setting.m, scale=0.1), []
    loss = cross_entropy if setting.bias else without_bias
    if setting.class_size > 1:
        loss = partial(loss, class_size=setting.class_size)
    optimizer = partial(cosine_adam, n_steps=n_steps * setting.longer)
    for block in np.split(seeds, range(STREAM, len(seeds), STREAM)):
        keys = jnp.stack([jax.random.fold_in(key, int(seed)) for seed in block])
        start = jax.vmap(lambda k: draw(key=k))(keys)
        if not setting.tied:
            start = Classifier(*start, jax.vmap(lambda k: draw(key=jax.random.fold_in(k, 1)).W)(keys))
        run = train_ensemble(
            features,
            [1 - setting.density],
            keys,
            data_key=jax.random.fold_in(keys[0], 2),
            n_hidden=setting.m,
            n_steps=n_steps * setting.longer,
            batch_size=batch_size,
            start=jax.tree.map(lambda leaf: leaf[None], start),
            loss=loss,
            optimizer=optimizer,
            learning_rate=0.01,
            snapshots=[n_steps * setting.longer],
            progress=False,
        )
        ends.append(run.member(0).params)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *ends)


def member(models, i: int):
    """One of several classifiers."""
    return jax.tree.map(lambda leaf: leaf[i], models)


def labelled(features: Features, setting: Setting, seed: int, number: int, *, key) -> jax.Array:
    """Test inputs of a seed that have a label, (number, n); they depend on the density and not on m."""
    k_test = jax.random.fold_in(jax.random.fold_in(key, int(seed)), 3)
    x = features.sample(1 - setting.density, 6 * number, key=k_test)
    return x[np.flatnonzero(label(x, class_size=setting.class_size) >= 0)[:number]]


def distance(x: jax.Array, class_size: int) -> jax.Array:
    """The least norm that changes the label of x (n,): half the lead of a class in evidence, by its features."""
    first, second = jax.lax.top_k(evidence(x, class_size=class_size), 2)[0]
    return (first - second) / jnp.sqrt(2.0 * class_size)


def least(params, x: jax.Array, class_size: int) -> jax.Array:
    """The least norm with which a rival draws level, whatever becomes of the label."""
    pushes, leads = attacks.rivals(params, x, class_size=class_size)
    lengths = jnp.linalg.norm(pushes, axis=1)
    return jnp.where(lengths > 0, -leads / jnp.where(lengths > 0, lengths, 1), jnp.inf).min()


def unused(params, x: jax.Array, class_size: int = 1) -> jax.Array:
    """How many classes a model never predicts on x (batch, n)."""
    found = logits(params, x, class_size=class_size)
    return (~(found == found.max(1, keepdims=True)).any(0)).sum()


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Of two directions; NaN where one is 0."""
    return a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b))


@partial(jax.jit, static_argnames="setting")
def closed_form(params, x: jax.Array, setting: Setting) -> dict[str, jax.Array]:
    """Of one model and its test inputs: what needs no search, as (inputs,) each."""
    right = logits(params, x, class_size=setting.class_size).argmax(1) == label(x, class_size=setting.class_size)
    safe = jax.vmap(partial(distance, class_size=setting.class_size))(x) > setting.epsilon
    norms = jax.vmap(partial(least, params, class_size=setting.class_size))(x)
    return {"right": right, "safe": safe, "least": norms}


@partial(jax.jit, static_argnames="setting")
def searched(params, x: jax.Array, key: jax.Array, setting: Setting) -> dict[str, jax.Array]:
    """Of one model and one input: which attacks succeed, and where those that do point."""
    size, radius = setting.class_size, setting.epsilon
    k_free, k_kept, k_entropy, k_rival, k_noise = jax.random.split(key, 5)
    climb = partial(attacks.margin_pgd, params, x, radius, nonnegative=setting.nonnegative, class_size=size)
    free, kept = climb(key=k_free), climb(key=k_kept, keep_label=True)
    entropy = climb(key=k_entropy, ascent="cross-entropy")
    theory = attacks.pairwise(params, x, radius, class_size=size)
    noise = attacks.random_direction(params, x, radius, key=k_noise, row_space=True)
    pushes, leads = attacks.rivals(params, x, class_size=size)
    to_free, to_entropy = (logits(params, x + delta, class_size=size).argmax() for delta in (free, entropy))
    others = (leads > -jnp.inf) & (jnp.arange(len(leads)) != to_entropy)
    other = jax.random.categorical(k_rival, jnp.where(others, 0, -jnp.inf))
    tried = {"free": free, "kept": kept, "entropy": entropy, "theory": theory, "noise": noise}
    return {name: attacks.flipped(params, x, delta, class_size=size) for name, delta in tried.items()} | {
        "free_to_reached": cosine(free, pushes[to_free]),
        "free_to_best": cosine(free, theory),
        "entropy_to_reached": cosine(entropy, pushes[to_entropy]),
        "entropy_to_best": cosine(entropy, theory),
        "entropy_to_other": cosine(entropy, pushes[other]),
        "entropy_to_noise": jnp.abs(cosine(entropy, noise)),
    }


def damaged(accuracy: float, x: jax.Array, setting: Setting, *, key) -> Params | Classifier:
    """A classifier with a dimension for every feature, whose readouts have noise enough for this accuracy on x."""
    n, wanted = setting.features.n_features, label(x, class_size=setting.class_size)
    noise = jax.random.normal(key, (n, n))

    def at(scale: jax.Array) -> Classifier:
        return Classifier(jnp.eye(n), jnp.zeros(n), jnp.eye(n) + scale * noise)

    low, high = jnp.float32(0), jnp.float32(4)
    for _ in range(24):
        middle = (low + high) / 2
        right = (logits(at(middle), x, class_size=setting.class_size).argmax(1) == wanted).mean()
        low, high = (middle, high) if right > accuracy else (low, middle)
    return at(low)


def point_of_settings(setting, seed, *, key, **budget) -> dict[str, Any]:
    """What the seeds of one setting become."""
    (name,) = np.unique(setting)
    it = SETTINGS[name]
    models = trained(it.features, it, seed, key=jax.random.fold_in(key, list(SETTINGS).index(name)), **budget)
    # Settings of equal size and density have equal test inputs, whatever m.
    rows = [row_of(member(models, i), it, int(s), key=key) for i, s in enumerate(seed)]
    return {column: np.asarray([row[column] for row in rows], np.float32) for column in rows[0]}


def row_of(params, it: Setting, seed: int, *, key) -> dict[str, Any]:
    """The numbers of one model."""
    x = labelled(it.features, it, seed, INPUTS, key=key)
    k_attack, k_damage = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, seed), 4))
    found = {column: np.asarray(values) for column, values in closed_form(params, x, it).items()}
    right, safe = found["right"], found["safe"]
    few = slice(ATTACKED)
    keys = jax.random.split(k_attack, ATTACKED)
    under = jax.vmap(lambda sample, k: searched(params, sample, k, it))(x[few], keys)
    under = {column: np.asarray(values) for column, values in under.items()}
    one, clean = partial(attacks.least_flip, params, class_size=it.class_size, nonnegative=it.nonnegative), right[few]
    exact = np.array([one(sample) <= it.epsilon for sample in x[:EXACT]])[clean[:EXACT]]
    other = damaged(float(right.mean()), x, it, key=k_damage)
    control = {column: np.asarray(values) for column, values in closed_form(other, x, it).items()}
    ways = evidence(readouts(params), class_size=it.class_size)
    ways = ways - ways.mean(1, keepdims=True)
    likeness = ways.T @ ways / (jnp.linalg.norm(ways, axis=0)[:, None] * jnp.linalg.norm(ways, axis=0)[None])
    tried = ("free", "kept", "entropy", "theory", "noise")
    directions = {column: under[column][under[column.split("_")[0]]] for column in under if "_to_" in column}
    return {
        "accuracy": right.mean(),
        "accuracy_safe": right[safe].mean(),
        "safe": safe.mean(),
        "vulnerable": (found["least"][safe & right] <= it.epsilon).mean(),
        "least_norm": np.median(found["least"][safe & right]),
        "damaged_accuracy": control["right"].mean(),
        "damaged_vulnerable": (control["least"][safe & control["right"]] <= it.epsilon).mean(),
        **{column: under[column][clean].mean() for column in tried},
        **{f"{column}_safe": under[column][clean & safe[few]].mean() for column in tried},
        "exact": exact.mean(),
        "robust_accuracy": (clean & ~under["free"]).mean(),
        "tested": clean.sum(),
        "tested_safe": (clean & safe[few]).sum(),
        "successes": under["free"].sum(),
        **{column: values.mean() if len(values) else 0.0 for column, values in directions.items()},
        "closest": (likeness - 2 * jnp.eye(len(likeness))).max(),
        "unused": unused(params, x, it.class_size),
    }


def point_of_transfer(design, seed, *, key, **budget) -> dict[str, Any]:
    """Of each seed of one design: how often the attacks on it succeed on every other."""
    (name,) = np.unique(design)
    features, it = DESIGNS[name], Setting(CLASSES, 2)
    key = jax.random.fold_in(key, 1000 + list(DESIGNS).index(name))
    models = trained(features, it, seed, key=key, **budget)
    ways = models.R - models.R.mean(-1, keepdims=True)
    rows = []
    for i, s in enumerate(seed):
        x = labelled(features, it, int(s), INPUTS, key=key)
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, int(s)), 4), len(x))
        rows.append(_carried(member(models, i), models, x, keys, it.epsilon))
    data = {column: np.asarray([row[column] for row in rows], np.float32) for column in rows[0]}
    similarity = jax.vmap(lambda a: jax.vmap(partial(interference_similarity, a))(ways))(ways)
    alike = jnp.einsum("sma,smb->sab", ways, ways)
    scale = jnp.sqrt(jnp.diagonal(alike, axis1=1, axis2=2))
    return {
        "transfer": (("other",), data["transfer"]),
        "noise": (("other",), data["noise"]),
        "similarity": (("other",), np.asarray(similarity)),
        "accuracy": data["accuracy"],
        "own": data["own"],
        "unused": data["unused"],
        "W": (("hidden", "class"), np.asarray(models.W)),
        "b": (("class",), np.asarray(models.b)),
        "readouts": (("hidden", "class"), np.asarray(ways)),
        "cosines": (("class", "rival"), np.asarray(alike / (scale[:, :, None] * scale[:, None]))),
    }


@jax.jit
def _carried(one, others, x: jax.Array, keys: jax.Array, radius: float) -> dict[str, jax.Array]:
    """The attacks on one model, and noise that it sees as well, on each of the others: shares of where one succeeds."""
    wanted = label(x)
    right = jax.vmap(lambda model: logits(model, x).argmax(1) == wanted)(others)
    deltas = jax.vmap(lambda sample: attacks.pairwise(one, sample, radius))(x)
    noise = jax.vmap(lambda sample, k: attacks.random_direction(one, sample, radius, key=k, row_space=True))(x, keys)
    won = jax.vmap(partial(attacks.flipped, one))(x, deltas)

    def share(moved: jax.Array) -> jax.Array:
        flips = jax.vmap(lambda model: jax.vmap(partial(attacks.flipped, model))(x, moved))(others)
        tested = right & won[None]
        return (flips & tested).sum(1) / jnp.maximum(tested.sum(1), 1)

    clean = logits(one, x).argmax(1) == wanted
    return {
        "transfer": share(deltas),
        "noise": share(noise),
        "accuracy": clean.mean(),
        "own": won.sum() / jnp.maximum(clean.sum(), 1),
        "unused": unused(one, x),
    }


SWEEPS: dict[str, tuple[Callable, dict[str, Any], int]] = {
    "settings": (point_of_settings, {"setting": list(SETTINGS), "seed": list(range(SEEDS))}, SEEDS),
    "transfer": (point_of_transfer, {"design": list(DESIGNS), "seed": list(range(TRANSFER_SEEDS))}, TRANSFER_SEEDS),
}


def path(name: str) -> Path:
    """Of the stored dataset."""
    return Path(__file__).with_name(f"{Path(__file__).stem}_{name}.nc")


def main() -> None:
    """Sweep, and write what the notebook shows."""
    for name, (function, grid, size) in SWEEPS.items():
        data = sweeps.run(function, grid, store=path(name).with_suffix(".zarr"), batch=size, **FIXED).load()
        for variable in data.data_vars:
            data[variable].attrs["description"] = DESCRIPTIONS[str(variable)]
        data = data.assign(failed=data.failed.astype(np.int8))
        data.attrs |= {"command": "make results", "inputs": INPUTS, "attacked": ATTACKED, "exact": EXACT}
        unfinished = path(name).with_suffix(".unfinished")
        data.to_netcdf(unfinished, engine="scipy")
        unfinished.replace(path(name))
        print(f"{path(name).name}: {data.failed.size:,} models, {path(name).stat().st_size / 1024:,.0f} KiB")


_OF_RIGHT = "share of the inputs classified right on which {} succeeds"
DESCRIPTIONS = {
    "failed": "whether the point could not be computed",
    "accuracy": "share of labelled inputs that are classified right",
    "accuracy_safe": "the same of safe inputs, whose label no attack of this norm can change",
    "safe": "share of labelled inputs that are safe",
    "vulnerable": "share of the safe inputs classified right that an attack flips, in closed form",
    "least_norm": "median of the least norm that flips these inputs",
    "damaged_accuracy": "accuracy of the control, a dimension for every feature and noise in the readouts",
    "damaged_vulnerable": "as vulnerable, of the control",
    "free": _OF_RIGHT.format("gradient ascent blind to the label"),
    "kept": _OF_RIGHT.format("gradient ascent that looks for points with the label"),
    "entropy": _OF_RIGHT.format("ascent of the cross-entropy, blind to the label,"),
    "theory": _OF_RIGHT.format("the pairwise direction"),
    "noise": _OF_RIGHT.format("a random direction in the row space"),
    "free_safe": "as free, of the safe inputs among these",
    "kept_safe": "as kept, of the safe inputs among these",
    "entropy_safe": "as entropy, of the safe inputs among these",
    "theory_safe": "as theory, of the safe inputs among these",
    "noise_safe": "as noise, of the safe inputs among these",
    "exact": "share of the inputs classified right that the exact attack flips",
    "robust_accuracy": "share of the attacked inputs that are classified right and not flipped by gradient ascent",
    "tested": "attacked inputs that are classified right",
    "tested_safe": "safe inputs among these",
    "successes": "of these, flipped by gradient ascent blind to the label",
    "free_to_reached": "cosine of a successful ascent with the pairwise direction to the class reached; 0 without",
    "free_to_best": "the same with the best pairwise direction",
    "entropy_to_reached": "as free_to_reached, of the ascent of the cross-entropy",
    "entropy_to_best": "as free_to_best, of the ascent of the cross-entropy",
    "entropy_to_other": "of the same ascent with the pairwise direction to another rival",
    "entropy_to_noise": "size of the same with a random direction in the row space",
    "unused": "classes that are never predicted",
    "closest": "largest cosine between the readouts of two classes, their mean taken off",
    "transfer": "of the attacks that flip a model, on inputs that both classify right, the share that flips the other",
    "similarity": "cosine between the interferences of the readouts, their mean taken off",
    "own": "share of the inputs classified right that the attacks on this model flip",
    "W": "weights; each class has one feature",
    "b": "biases of the classes",
    "readouts": "readouts of the classes, their mean taken off",
    "cosines": "cosines between these",
}

if __name__ == "__main__":
    main()
