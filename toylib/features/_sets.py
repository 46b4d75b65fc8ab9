"""Features in sets of equal size: sets of one, all of a set together, or at most one of a set."""

from dataclasses import dataclass
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from toylib.features._base import MAX_STATES, Sized, States, any_of


def _gate_states(n_gates: int, set_size: int) -> States | None:
    """Every pattern of gates that each let a set through."""
    if 2**n_gates > MAX_STATES:
        return None
    gates = np.asarray(list(product((False, True), repeat=n_gates)))
    on = gates.sum(1)
    return States(gates.repeat(set_size, 1), on, n_gates - on, np.ones(len(on)))


@dataclass(frozen=True)
class Independent(Sized):
    """Every feature has a gate of its own, open with probability p.

    Args:
        n_features: number of features, at least 1.
    """

    n_features: int  # pyrefly: ignore[bad-override]  # frozen, and nobody sets it

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """One set per feature."""
        return tuple((i,) for i in range(self.n_features))

    @property
    def n_gates(self) -> int:
        """One per feature."""
        return self.n_features

    def active(self, p: jax.Array, gates: jax.Array) -> jax.Array:
        """Where its gate is open."""
        return gates < p

    def states(self) -> States | None:
        """Every pattern of gates."""
        return _gate_states(self.n_features, 1)

    def activity(self, p: jax.Array) -> jax.Array:
        """p on the diagonal, p² elsewhere."""
        return p ** jnp.asarray(2 - np.eye(self.n_features), jnp.float32)

    def some_active(self, p: jax.Array, q: jax.Array) -> jax.Array:
        """1 - (1 - pq)ⁿ."""
        return any_of(p * q, self.n_features)


@dataclass(frozen=True)
class _Sets(Sized):
    n_sets: int
    set_size: int

    @property
    def n_features(self) -> int:  # pyrefly: ignore[bad-override]  # nobody sets it
        """n_sets · set_size; set i holds the features i·set_size to (i + 1)·set_size - 1."""
        return self.n_sets * self.set_size

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """The sets, as tuples of feature indices."""
        return tuple(tuple(range(i, i + self.set_size)) for i in range(0, self.n_features, self.set_size))

    @property
    def _together(self) -> np.ndarray:
        """(n, n) bool: whether two features share a set."""
        of = np.arange(self.n_features) // self.set_size
        return of[:, None] == of


@dataclass(frozen=True)
class Correlated(_Sets):
    """Sets of features that are on or off together, with one gate per set, open with probability p.

    Args:
        n_sets: number of sets, at least 1.
        set_size: features per set, at least 1.
    """

    @property
    def n_gates(self) -> int:
        """One per set."""
        return self.n_sets

    def active(self, p: jax.Array, gates: jax.Array) -> jax.Array:
        """Where the gate of its set is open."""
        return jnp.repeat(gates < p, self.set_size, axis=0)

    def states(self) -> States | None:
        """Every pattern of gates."""
        return _gate_states(self.n_sets, self.set_size)

    def activity(self, p: jax.Array) -> jax.Array:
        """p within a set, p² between sets."""
        return p ** jnp.asarray(np.where(self._together, 1, 2), jnp.float32)

    def some_active(self, p: jax.Array, q: jax.Array) -> jax.Array:
        """1 - (1 - p(1 - (1 - q)^g))^k for k sets of g."""
        return any_of(p * any_of(q, self.set_size), self.n_sets)


@dataclass(frozen=True)
class Anticorrelated(_Sets):
    """Sets of features of which at most one is active: when a set's gate is open, one of its features, all alike.

    Args:
        n_sets: number of sets, at least 1.
        set_size: features per set, at least 1.
    """

    @property
    def n_gates(self) -> int:
        """A gate and a choice per set."""
        return 2 * self.n_sets

    def active(self, p: jax.Array, gates: jax.Array) -> jax.Array:
        """Where the gate of its set is open and the choice falls on it."""
        gate, choice = jnp.split(gates, 2)
        chosen = jnp.floor(choice * self.set_size).astype(jnp.int32)
        one_hot = jax.nn.one_hot(chosen, self.set_size, dtype=bool, axis=1)
        return ((gate < p)[:, None] & one_hot).reshape(self.n_features, *gate.shape[1:])

    def states(self) -> States | None:
        """None or one feature in each set."""
        if (1 + self.set_size) ** self.n_sets > MAX_STATES:
            return None
        choices = np.vstack([np.zeros(self.set_size), np.eye(self.set_size)])
        active = np.asarray([np.concatenate(rows) for rows in product(choices, repeat=self.n_sets)], bool)
        on = active.sum(1)
        return States(active, on, self.n_sets - on, float(self.set_size) ** -on)

    def activity(self, p: jax.Array) -> jax.Array:
        """p/g on the diagonal, 0 within a set of g, p²/g² between sets."""
        same, eye = self._together, np.eye(self.n_features, dtype=bool)
        factor = np.where(eye, 1 / self.set_size, np.where(same, 0.0, self.set_size**-2.0))
        return jnp.asarray(factor, jnp.float32) * p ** jnp.asarray(np.where(same, 1, 2), jnp.float32)

    def some_active(self, p: jax.Array, q: jax.Array) -> jax.Array:
        """1 - (1 - pq)^k for k sets."""
        return any_of(p * q, self.n_sets)
