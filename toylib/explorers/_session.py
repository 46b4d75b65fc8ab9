"""A model in training whose settings may change at any step, and what it leaves behind."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toylib.attacks import Attack
from toylib.features import Features
from toylib.geometry import classify
from toylib.model import Params
from toylib.training import Run, State, log_spaced, states

_PIECE_S = 0.04  # of training at a time


class Settings(NamedTuple):
    """What may change while a model trains.

    Attributes:
        sparsity: S.
        learning_rate: of the optimiser.
        optimizer: its name.
        norm: of the attack, in units of E‖x‖.
        scale: standard deviation of the initial W.
        seed: of the key that the initial weights come from.
    """

    sparsity: float
    learning_rate: float
    optimizer: str
    norm: float
    scale: float
    seed: int


STOPS: dict[str, tuple[str, Sequence[float], str]] = {
    "sparsity": (
        "sparsity",
        (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99),
        "probability S that a gate is off; acts on the next steps",
    ),
    "learning_rate": (
        "learning rate",
        (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1),
        "step size of the optimiser; acts on the next steps",
    ),
    "norm": (
        "attack norm",
        (0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1),
        "L2 norm of the attack on each input, in units of the mean norm of an input; acts on the next steps",
    ),
    "scale": (
        "initial scale",
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
        "standard deviation of the initial W; draws a new start",
    ),
    "seed": ("seed", range(20), "which random numbers the initial W is drawn from; draws a new start"),
    "speed": ("speed", (1, 3, 10, 30, 100, 300, 1000), "steps from one drawing to the next"),
}
"""name of a slider -> what stands before it, its stops, what it moves."""


class Session:
    """One model, trained by `training.states` from one step to the next with whatever settings hold there.

    Args:
        features: distribution of the inputs.
        n_hidden: m.
        n_steps: the last step.
        perturb: the attack, or None.
        optimizers: name -> what makes an optax transformation from a learning rate.
        options: of `training.states`.
        settings: to begin with. All programs that other settings take are compiled too, but for other optimisers.

    Attributes:
        state: the model as it is, or was before it diverged, with its loss at the sparsity of the last settings.
        diverged: the state that is not finite, or None.
        history: (step, settings) for all settings that steps were taken with.
        attacked: whether there is an attack.
        optimizers: their names.
    """

    def __init__(
        self,
        features: Features,
        n_hidden: int,
        n_steps: int,
        perturb: Attack | None,
        optimizers: Mapping[str, Callable],
        options: Mapping[str, Any],
        settings: Settings,
    ) -> None:
        """Draw the initial weights and compile."""
        self._features, self._perturb, self._optimizers = features, perturb, dict(optimizers)
        self.attacked, self.optimizers = perturb is not None, list(optimizers)
        self._options = {"population": True, **options, "n_hidden": n_hidden}
        self._n_steps, self._grid = n_steps, log_spaced(n_steps)
        self._mean_norm = lru_cache(256)(lambda S: float(features.mean_norm(S)))
        self._pace = 1.0  # steps a second
        self.begin(settings)
        self._compile(settings)
        if n_hidden > 1:  # which compiles what names states
            classify(np.random.default_rng(0).normal(size=(n_hidden, features.n_features)), features.sets)

    def begin(self, settings: Settings) -> None:
        """Go back to step 0, with the weights of this seed and initial scale."""
        self.state: State = next(self._states(settings, self._n_steps))
        self.diverged: State | None = None
        self.history: list[tuple[int, Settings]] = []
        self._seen = [_on_host(self.state)]

    def advance(self, to: int, settings: Settings) -> Iterator[None]:
        """Train to a step, or until it diverges; yields every few hundredths of a second."""
        if not self.history or self.history[-1][1] != settings:
            self.history.append((self.state.step, settings))
        stops = np.arange(self.state.step, to, max(1, int(self._pace * _PIECE_S)))
        stops = np.union1d(stops[1:], self._grid[(self._grid > self.state.step) & (self._grid < to)])
        before, began = self.state.step, 0.0
        for state in self._states(settings, to, start=self.state, snapshots=[*stops.tolist(), to]):
            if not state.finite:
                self.diverged = _on_host(state)
                return
            self.state = state
            if state.step > self._seen[-1].step and state.step in self._grid:
                self._seen.append(_on_host(state))
            now = time.perf_counter()
            if state.step > before:  # the first state is the one it starts from
                self._pace = (state.step - before) / (now - began)
                yield
            before, began = state.step, time.perf_counter()

    def look(self, settings: Settings) -> None:
        """Take the loss of the model as it is at the sparsity of these settings."""
        if not self.diverged:
            self.state = next(self._states(settings, self._n_steps, start=self.state))

    def switch(self, settings: Settings) -> None:
        """Go on with another optimiser, which remembers nothing yet."""
        fresh = next(self._states(settings, self._n_steps, start=self.state.params))
        self.state = fresh._replace(step=self.state.step)
        self._compile(settings)

    @property
    def run(self) -> Run:
        """What has been done, with snapshots at steps spaced as `training.log_spaced` does, and now."""
        seen = [*self._seen, *([_on_host(self.state)] if self.state.step > self._seen[-1].step else [])]
        seen += [self.diverged] if self.diverged else []
        losses = [state.loss if state.finite else np.nan for state in seen]
        W, b = (np.stack([getattr(state.params, name) for state in seen]) for name in ("W", "b"))
        steps, params = np.array([state.step for state in seen]), Params(jnp.asarray(W[-1]), jnp.asarray(b[-1]))
        return Run(params, steps, np.asarray(losses, np.float32), W, b, np.asarray(self.diverged is not None))

    def curve(self) -> tuple[list[int], list[float]]:
        """Steps and losses so far, as long as these were finite."""
        seen = [*self._seen, self.state]
        return [state.step for state in seen], [float(state.loss) for state in seen]

    def _states(self, settings: Settings, n_steps: int, **given: Any) -> Iterator[State]:
        """`training.states` under these settings."""
        norm = settings.norm and settings.norm * self._mean_norm(settings.sparsity)
        arguments: dict[str, Any] = {
            "key": jax.random.key(settings.seed),
            "n_steps": n_steps,
            "scale": settings.scale,
            "optimizer": self._optimizers[settings.optimizer],
            "learning_rate": settings.learning_rate,
            "perturb": self._perturb,
            "radius": norm,
            "snapshots": [n_steps],
        }
        arguments = {**self._options, **arguments, **given}
        return states(self._features, settings.sparsity, **arguments)

    def _compile(self, settings: Settings) -> None:
        """Compile what training takes with an attack and without, which are two programs."""
        for norm in (0.0, 1.0)[: 1 + self.attacked]:
            next(self._states(settings._replace(norm=norm), self._n_steps, start=self.state))


def _on_host(state: State) -> State:
    return jax.tree.map(np.asarray, state._replace(opt_state=None))
