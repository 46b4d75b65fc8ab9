"""What the landing page trains on: three presets as `_static/presets.js`, and their colours as `train-colours.css`.

Nothing is computed in the page that toylib can say beforehand. A preset has the nodes of `Features.population`, the
states whose probabilities make their weights at any sparsity, the weights of `model.init` for eight seeds, the exact
losses of `theory` and the mean norm at every stop of the slider, and the templates that name an arrangement. Arrays are
little-endian float32 in base64. With the nodes and weights of `training.train(..., population=True)` the page takes the
same steps; tests/test_browser_page.py compares them.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import jax
import numpy as np

from toylib import geometry, theory
from toylib.features import Anticorrelated, Correlated, Features, Independent
from toylib.figures import style
from toylib.model import init

SPARSITIES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
NORMS = (0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4)
"""Attack norms, as multiples of E‖x‖."""
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
PACES = (30, 100, 300, 1000, 3000, 0)
"""Steps a second; 0 is as fast as it goes."""
SEEDS = 8


@dataclass(frozen=True)
class Preset:
    """A distribution and a size of model.

    Args:
        features: the distribution.
        n_hidden: m.
        scale: of the initial weights.
        sparsity, rate, pace, seed: stops of the sliders to begin with, without an attack.
        levels: name -> exact loss as a function of S.
        rules: name of a template -> the distance below which a model is called so, and the largest share of energy
            within the sets, as `geometry.classify` has them.
    """

    features: Features
    n_hidden: int
    scale: float
    sparsity: float
    rate: float
    pace: int
    seed: int
    levels: dict[str, Callable[[float], float]]
    rules: dict[str, tuple[float, float]]


def of_pairs(loss: Callable[[float], float]) -> Callable[[float], float]:
    """The loss of features of anticorrelated pairs, each of which is active with probability (1 - S)/2."""
    return lambda S: loss((1 + S) / 2)


def bounds(features: Features, n_hidden: int) -> dict[str, tuple[float, float]]:
    """What `geometry.classify` asks of sets without rules of their own: a distance, and nothing of the energy."""
    bound = geometry.template_bound(features.sets, n_hidden)
    return dict.fromkeys(geometry.templates(features.sets, n_hidden), (bound, 1.0))


PRESETS = {
    "triples": Preset(
        Correlated(2, 3),
        n_hidden=3,
        scale=0.01,
        sparsity=0.9,
        rate=3e-4,
        pace=3000,
        seed=0,
        levels={"PCA, p/3": theory.pca_plateau, "octahedron, p²": theory.octahedron_loss},
        rules={"octahedron": (1.0, 1.0), "pca": (0.3, 0.05), "collinear": (0.3, 0.05)},
    ),
    "five": Preset(
        Independent(5),
        n_hidden=2,
        scale=0.3,
        sparsity=0.95,
        rate=1e-3,
        pace=300,
        seed=1,
        levels={
            "2 of 5 kept": lambda S: 3 * theory.dropped_feature_loss(S),
            "2 antipodal pairs": lambda S: 2 * theory.antipodal_pair_loss(S) + theory.dropped_feature_loss(S),
        },
        rules=bounds(Independent(5), 2),
    ),
    "pairs": Preset(
        Anticorrelated(3, 2),
        n_hidden=3,
        scale=0.01,
        sparsity=0.9,
        rate=1e-3,
        pace=300,
        seed=0,
        levels={
            "3 of 6 kept": of_pairs(lambda S: 3 * theory.dropped_feature_loss(S)),
            "antipodes between sets": of_pairs(theory.octahedron_loss),
        },
        rules=bounds(Anticorrelated(3, 2), 3),
    ),
}


def packed(array: Any) -> str:
    """Numbers as base64 of little-endian float32."""
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode()


def first_weights(preset: Preset, seed: int) -> np.ndarray:
    """W (m, n) that `training.train(..., key=jax.random.key(seed), scale=preset.scale)` begins with."""
    key = jax.random.split(jax.random.key(seed), 3)[0]
    return np.asarray(init(preset.features.n_features, preset.n_hidden, key=key, scale=preset.scale).W)


def relabelled(columns: np.ndarray, sets: geometry.Sets) -> list[np.ndarray]:
    """Gram matrices of a template (m, n) for every way to permute features within sets, and sets of one size."""
    found = {}
    for places in permutations(range(len(sets))):
        if any(len(sets[to]) != len(s) for to, s in zip(places, sets, strict=True)):
            continue
        for inner in product(*(permutations(sets[to]) for to in places)):
            order = np.empty(columns.shape[1], int)
            order[[i for s in sets for i in s]] = [i for members in inner for i in members]
            gram = (columns.T @ columns)[np.ix_(order, order)].round(6) + 0.0
            found[gram.tobytes()] = gram
    return list(found.values())


def described(preset: Preset) -> dict[str, Any]:
    """Everything that the page needs of a preset, ready for JSON."""
    features, m = preset.features, preset.n_hidden
    states = features.states()
    if states is None or np.ndim(states.on) > 1:
        raise ValueError(
            f"a preset must list its states, one term each, got {features}; take a design of at most 64 states"
        )
    nodes, _ = features.population(preset.sparsity)
    state = [int(np.flatnonzero((states.active == active).all(1))[0]) for active in np.asarray(nodes) > 0]
    exact = geometry.templates(features.sets, m)
    return {
        "n": features.n_features,
        "m": m,
        "sets": features.sets,
        "first": {
            "sparsity": SPARSITIES.index(preset.sparsity),
            "norm": 0,
            "rate": RATES.index(preset.rate),
            "pace": PACES.index(preset.pace),
            "seed": preset.seed,
        },
        "starts": [packed(first_weights(preset, seed)) for seed in range(SEEDS)],
        "nodes": packed(nodes),
        "state": state,
        "share": (1 / np.bincount(state, minlength=len(states.active))).tolist(),
        "on": np.asarray(states.on).tolist(),
        "off": np.asarray(states.off).tolist(),
        "factor": np.asarray(states.factor).tolist(),
        "mean_norm": [float(features.mean_norm(S)) for S in SPARSITIES],
        "levels": {name: [float(loss(S)) for S in SPARSITIES] for name, loss in preset.levels.items()},
        "templates": [
            # A regular polygon of more than two pairs interferes: its length depends on the data.
            {
                "name": name,
                "grams": packed(relabelled(exact[name], features.sets)),
                "bound": bound,
                "energy": energy,
                "free": name == "pentagon",
                "shape": name not in ("pca", "collinear"),  # these say how sets lie, not where each column does
            }
            for name, (bound, energy) in preset.rules.items()
        ],
    }


def colours() -> str:
    """The palette as CSS properties of the trainer, light and dark."""
    named = {f"set-{i}": color for i, color in enumerate(style.SET_COLORS, 1)}
    named |= {f"label-{i}": style.LABELS[color] for i, color in enumerate(style.SET_COLORS, 1)}
    named |= {name: getattr(style, name.upper()) for name in ("ink", "muted", "faint", "grid", "background")}

    def rule(selector: str, dark: bool) -> str:
        properties = (f"--{name}: {style.DARK.get(color, color) if dark else color};" for name, color in named.items())
        return f"{selector} {{ {' '.join(properties)} }}\n"

    return rule(".trainer", dark=False) + rule('html[data-theme="dark"] .trainer', dark=True)


def write(folder: Path) -> None:
    """Write presets.js, which assigns PRESETS and STOPS, and train-colours.css to a folder."""
    stops = {"sparsity": SPARSITIES, "norm": NORMS, "rate": RATES, "pace": PACES, "seed": tuple(range(SEEDS))}
    values = {"STOPS": stops, "PRESETS": {name: described(preset) for name, preset in PRESETS.items()}}
    lines = [f"const {name} = {json.dumps(value, separators=(',', ':'))};\n" for name, value in values.items()]
    (folder / "presets.js").write_text("".join(lines), encoding="utf-8")
    (folder / "train-colours.css").write_text(colours(), encoding="utf-8")
