"""A model that trains while one watches, with sliders that act on it."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import optax

from toylib import attacks
from toylib._checks import LARGEST, check_real, check_size, check_sparsity
from toylib.attacks import Attack
from toylib.explorers._course import levels_of
from toylib.explorers._models import levels_at
from toylib.explorers._session import Session, Settings
from toylib.explorers._trainer import Trainer
from toylib.features import Features

_OPTIMIZERS = {"Adam": optax.adam, "momentum 0.9": partial(optax.sgd, momentum=0.9), "gradient descent": optax.sgd}
_OURS = ("key", "optimizer", "radius", "snapshots", "start")  # arguments of `states` that the explorer sets
_PLAIN = ("population", "batch_size", "ramp")  # those that leave the exact levels true


def train(
    features: Features,
    *,
    n_hidden: int,
    S: float = 0.9,
    seed: int = 0,
    scale: float = 0.01,
    learning_rate: float = 1e-3,
    norm: float = 0.0,
    speed: int = 100,
    n_steps: int = 30_000,
    perturb: Attack | None = attacks.analytic,
    optimizers: Mapping[str, Callable] = MappingProxyType(_OPTIMIZERS),
    levels: Callable[[float], Mapping[str, float]] | None = None,
    **options: Any,
) -> Trainer:
    """A model that trains while one watches: Start, Pause, Step, Reset, Stop, and sliders that act while it trains.

    Sparsity, learning rate and attack norm act on the next steps, and the optimiser remembers what it did. Seed and
    initial scale draw a new start: at once while it trains or before the first step, else at Reset. Nothing is compiled
    when a slider moves; another optimiser is, once.

    Args:
        features: distribution of the inputs.
        n_hidden: m.
        S: probability that a gate is off, to begin with; so are the next five.
        seed: from 0; initial weights and attacks are those of `training.train(..., key=jax.random.key(seed))`.
        scale: standard deviation of the initial W.
        learning_rate: of the optimiser.
        norm: of the attack, in units of the mean norm of an input.
        speed: steps from one drawing to the next; there are at most 12 drawings a second.
        n_steps: where training ends by itself, so that a forgotten one does not run for ever.
        perturb: the attack on each input; with None there is no such slider.
        optimizers: name -> what makes an optax transformation from a learning rate; the first is used.
        levels: S -> losses by name, drawn as dashed lines; by default exact ones, where the loss is the plain one.
        options: of `training.states`, such as `importance`; `population` is True by default.

    Raises:
        ValueError, TypeError: as `training.states`; an option that the sliders set; no optimisers; a norm without an
            attack.
    """
    check_sparsity(S, many="pass the one at which its slider begins")
    for name, size, least in (
        ("n_hidden", n_hidden, 1),
        ("seed", seed, 0),
        ("speed", speed, 1),
        ("n_steps", n_steps, 1),
    ):
        check_size(name, size, least=least, most=2**32 - 1)
    for name, value in (("scale", scale), ("learning_rate", learning_rate), ("norm", norm)):
        check_real(name, value, "its slider begins there", least=0, most=LARGEST)
    scale, learning_rate, norm = float(scale), float(learning_rate), float(norm)
    if taken := sorted({*options} & {*_OURS}):
        raise ValueError(f"options must leave {', '.join(_OURS)} to the explorer, got {', '.join(taken)}; drop it")
    named = isinstance(optimizers, Mapping) and all(isinstance(name, str) for name in optimizers)
    if not (named and all(callable(o) or hasattr(o, "init") for o in optimizers.values())):
        raise TypeError(
            f'optimizers must be name -> what makes one from a rate, got {optimizers!r:.80}; try {{"Adam": optax.adam}}'
        )
    if not optimizers:
        raise ValueError('there must be at least one optimizer, got none; pass such as {"Adam": optax.adam}')
    if perturb is None and norm:
        raise ValueError(f"norm must be 0 without an attack, got {norm}; pass perturb as well")
    check_real("seed", seed, "it becomes a key of JAX", least=0, below=2**32, double=True)
    if not (levels is None or callable(levels)):
        raise TypeError(f"levels must be a function of S, got {levels!r:.80}; such as lambda S: {{'p': 1 - S}}")
    if levels is None:
        levels = partial(levels_of, features, n_hidden) if {*options} <= {*_PLAIN} else lambda _: {}
    levels_at(levels, S)
    settings = Settings(S, learning_rate, next(iter(optimizers)), norm, scale, seed)
    session = Session(features, n_hidden, n_steps, perturb, optimizers, options, settings)
    return Trainer(session, settings, features, n_steps=n_steps, speed=speed, levels=partial(levels_at, levels))
