"""Features in sets of equal size: sets of one, all of a set together, or partly, or at most one of a set."""

from dataclasses import dataclass, field
from functools import partial
from itertools import product
from math import comb

import jax
import jax.numpy as jnp
import numpy as np

from toylib._checks import check_real, check_size, is_traced
from toylib.features._base import MAX_STATES, Sized, States, any_of


def _gate_states(n_gates: int, set_size: int) -> States | None:
    """Every pattern of gates that each let a set through."""
    if 2**n_gates > MAX_STATES:
        return None
    gates = np.asarray(list(product((False, True), repeat=n_gates)))
    on = gates.sum(1)
    return States(gates.repeat(set_size, 1), on, n_gates - on, np.ones(len(on)))


@partial(jax.jit, inline=True, static_argnums=1)
def _each(gates: jax.Array, set_size: int) -> jax.Array:
    """The gate of its set for each feature."""
    return jnp.repeat(gates, set_size, axis=0)


@partial(jax.jit, inline=True, static_argnums=(2, 3))
def _copied(gates: jax.Array, copy_probability: float, n_sets: int, set_size: int) -> jax.Array:
    """For each feature the gate of its set, where the choice falls on it, or its own."""
    common, own, choice = jnp.split(gates, [n_sets, n_sets + n_sets * set_size])
    return jnp.where(choice < copy_probability, _each(common, set_size), own)


@partial(jax.jit, inline=True, static_argnums=2)
def _one_each(p: jax.Array, gates: jax.Array, set_size: int) -> jax.Array:
    """Which feature of each set is active, if its gate is open."""
    gate, choice = jnp.split(gates, 2)
    chosen = jnp.floor(choice * set_size).astype(jnp.int32)
    one_hot = jax.nn.one_hot(chosen, set_size, dtype=bool, axis=1)
    return ((gate < p)[:, None] & one_hot).reshape(-1, *gate.shape[1:])


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
        return _each(gates < p, self.set_size)

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
class PartlyCorrelated(_Sets):
    """Sets of features whose gates copy one gate of their set with probability c, and else are gates of their own.

    All gates, the common ones too, are open with probability p, so every feature is active with probability p, and two
    gates of a set correlate by c². With c = 0 the features are independent, with c = 1 they are `Correlated`; samples
    of one stream are then those of the same distribution, not the same numbers.

    Args:
        n_sets: number of sets, at least 1.
        set_size: features per set, at least 1.
        copy_probability: c, in [0, 1].
    """

    copy_probability: float = field(kw_only=True)

    def __post_init__(self) -> None:
        """Check the sizes and the probability."""
        check_size("n_sets", self.n_sets)
        check_size("set_size", self.set_size)
        remedy = "it is the probability that a gate copies its set's, and their correlation is its square"
        if is_traced(self.copy_probability):
            raise TypeError(f"copy_probability must be known before tracing, got {self.copy_probability}; {remedy}")
        check_real("copy_probability", self.copy_probability, remedy, least=0, most=1)
        object.__setattr__(self, "copy_probability", float(self.copy_probability))

    @property
    def n_gates(self) -> int:
        """One per set, and for each feature one of its own and a choice between the two."""
        return self.n_sets + 2 * self.n_features

    def active(self, p: jax.Array, gates: jax.Array) -> jax.Array:
        """Where the gate that the choice falls on is open; a choice depends neither on p nor on other features."""
        return _copied(gates, self.copy_probability, self.n_sets, self.set_size) < p

    def states(self) -> States | None:
        """Every set of features for c strictly between 0 and 1; at the ends those of the limits."""
        if self.copy_probability in (0, 1):
            ends = Independent(self.n_features), Correlated(self.n_sets, self.set_size)
            return ends[int(self.copy_probability)].states()
        if 2**self.n_features > MAX_STATES:
            return None
        one = [self._terms(number) for number in range(self.set_size + 1)]
        active = np.asarray(list(product((False, True), repeat=self.n_features)))
        on, off, factor = [], [], []
        for numbers in active.reshape(len(active), self.n_sets, self.set_size).sum(2):
            terms = [np.array(term) for term in product(*(one[number] for number in numbers))]
            on.append([term[:, 0].sum() for term in terms])
            off.append([term[:, 1].sum() for term in terms])
            factor.append([term[:, 2].prod() for term in terms])
        return States(active, np.array(on), np.array(off), np.array(factor))

    def _terms(self, number: int) -> list[tuple[int, int, float]]:
        """(on, off, factor) of the ways in which so many given features of a set, and no others of it, are active.

        With the common gate open, k of the active features copy it and all others have gates of their own; with the
        common gate closed, k of the inactive ones do.
        """
        g, c = self.set_size, self.copy_probability
        ways = []
        for is_open, copies in ((1, number), (0, g - number)):
            for k in range(copies + 1):
                on, off = (1 + number - k, g - number) if is_open else (number, 1 + g - number - k)
                ways.append((on, off, comb(copies, k) * c**k * (1 - c) ** (g - k)))
        return ways

    def activity(self, p: jax.Array) -> jax.Array:
        """p on the diagonal, c²p + (1 - c²)p² within a set, p² between sets."""
        share = np.where(self._together, self.copy_probability**2, 0.0)
        share = jnp.asarray(np.where(np.eye(self.n_features, dtype=bool), 1.0, share), jnp.float32)
        return share * p + (1 - share) * p**2

    def some_active(self, p: jax.Array, q: jax.Array) -> jax.Array:
        """1 - (1 - s)^k for k sets of g, s = p(1 - (1 - (c + (1 - c)p)q)^g) + (1 - p)(1 - (1 - (1 - c)pq)^g)."""
        c = self.copy_probability
        is_open, closed = (any_of((share + (1 - c) * p) * q, self.set_size) for share in (c, 0))
        return any_of(p * is_open + (1 - p) * closed, self.n_sets)


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
        return _one_each(p, gates, self.set_size)

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
