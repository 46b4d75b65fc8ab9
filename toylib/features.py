"""Distributions of sparse features: independent, correlated sets, anticorrelated sets, hierarchical tree.

S is the probability that a gate is off and p = 1 - S the density. A feature whose gate lets it through takes a value
from U[0, 1]; all others are exactly zero. Every random quantity is a threshold on, or a copy of, uniform numbers that
do not depend on S (`Features.from_uniforms`): one stream of uniforms serves every sparsity, and scrubbing S moves
single features in and out of the picture instead of drawing a new one.

Source: Elhage et al. 2022, sections "Demonstrating Superposition" and "The Geometry of Superposition" (correlated and
anticorrelated features). The hierarchical tree follows the data of Saxe, McClelland, Ganguli 2019 (arXiv 1810.10531).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from toylib.checks import check_size
from toylib.distribution import Features, States, any_of

__all__ = ["Anticorrelated", "Correlated", "Features", "Hierarchical", "Independent"]


def _blocks(n_sets: int, set_size: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(i * set_size, (i + 1) * set_size)) for i in range(n_sets))


def _subsets(number: int) -> np.ndarray:
    """All (2^number, number) patterns of gates, the empty one first."""
    return np.asarray(list(product((False, True), repeat=number)))


@dataclass(frozen=True)
class Independent(Features):
    """Every feature has a gate of its own, open with probability p.

    Args:
        n_features: number of features, at least 1.
    """

    n_features: int

    def __post_init__(self) -> None:
        """Check the size."""
        check_size("n_features", self.n_features)

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """One set a feature."""
        return _blocks(self.n_features, 1)

    @property
    def n_uniforms(self) -> int:
        """A gate and a value a feature."""
        return 2 * self.n_features

    @property
    def _n_states(self) -> int:
        return 2**self.n_features

    def _active(self, p, gates):
        return gates < p

    def _states(self) -> States:
        active = _subsets(self.n_features)
        on = active.sum(1)
        return States(active, on, self.n_features - on, np.ones(len(on)))

    def _joint(self):
        return np.ones((self.n_features,) * 2), 2 - np.eye(self.n_features)

    def _some(self, p, q):
        return any_of(p * q, self.n_features)


@dataclass(frozen=True)
class _Sets(Features):
    n_sets: int
    set_size: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_size("n_sets", self.n_sets)
        check_size("set_size", self.set_size)

    @property
    def n_features(self) -> int:
        """n_sets · set_size; set i holds the features i·set_size to (i + 1)·set_size - 1."""
        return self.n_sets * self.set_size

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """The sets, as tuples of feature indices."""
        return _blocks(self.n_sets, self.set_size)

    @property
    def _together(self) -> np.ndarray:
        """(n, n) bool: whether two features share a set."""
        of = np.arange(self.n_features) // self.set_size
        return of[:, None] == of


@dataclass(frozen=True)
class Correlated(_Sets):
    """Sets of features that are on or off together, with one gate a set, open with probability p.

    Args:
        n_sets: number of sets, at least 1.
        set_size: features a set, at least 1.
    """

    @property
    def n_uniforms(self) -> int:
        """A gate a set and a value a feature."""
        return self.n_sets + self.n_features

    @property
    def _n_states(self) -> int:
        return 2**self.n_sets

    def _active(self, p, gates):
        return jnp.repeat(gates < p, self.set_size, axis=-1)

    def _states(self) -> States:
        gates = _subsets(self.n_sets)
        on = gates.sum(1)
        return States(gates.repeat(self.set_size, 1), on, self.n_sets - on, np.ones(len(on)))

    def _joint(self):
        return np.ones((self.n_features,) * 2), np.where(self._together, 1, 2)

    def _some(self, p, q):
        return any_of(p * any_of(q, self.set_size), self.n_sets)


@dataclass(frozen=True)
class Anticorrelated(_Sets):
    """Sets of features of which at most one is active: when a set's gate is open, one of its features, all alike.

    Args:
        n_sets: number of sets, at least 1.
        set_size: features a set, at least 1.
    """

    @property
    def n_uniforms(self) -> int:
        """A gate and a choice a set, and a value a feature."""
        return 2 * self.n_sets + self.n_features

    @property
    def _n_states(self) -> int:
        return (1 + self.set_size) ** self.n_sets

    def _active(self, p, gates):
        gate, choice = jnp.split(gates, 2, axis=-1)
        chosen = jnp.floor(choice * self.set_size).astype(jnp.int32)
        one_hot = jax.nn.one_hot(chosen, self.set_size, dtype=bool)
        return ((gate < p)[..., None] & one_hot).reshape(*gate.shape[:-1], self.n_features)

    def _states(self) -> States:
        active = np.asarray([np.concatenate(rows) for rows in product(self._choices, repeat=self.n_sets)], bool)
        on = active.sum(1)
        return States(active, on, self.n_sets - on, float(self.set_size) ** -on)

    @property
    def _choices(self) -> np.ndarray:
        return np.vstack([np.zeros(self.set_size), np.eye(self.set_size)])

    def _joint(self):
        same, eye = self._together, np.eye(self.n_features, dtype=bool)
        factor = np.where(eye, 1 / self.set_size, np.where(same, 0.0, self.set_size**-2.0))
        return factor, np.where(same, 1, 2)

    def _some(self, p, q):
        return any_of(p * q, self.n_sets)


@dataclass(frozen=True)
class Hierarchical(Features):
    """A tree in which a feature can be active only while its parent is: every node is a feature, the root included.

    Each node has a gate, open with probability p; a node is active where its own gate and those of all its ancestors
    are open. A feature on level l (the root has l = 0) is therefore active with probability p^(l + 1), and two features
    together with p to the number of nodes on their two paths to the root. Features are numbered level by level: the
    children of i are branching·i + 1 to branching·i + branching. `sets` holds the root and then each node's children.

    Args:
        depth: levels below the root, at least 1.
        branching: children of each node above the last level, at least 1.
    """

    depth: int
    branching: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_size("depth", self.depth)
        check_size("branching", self.branching)

    @property
    def n_features(self) -> int:
        """Number of nodes, 1 + b + ... + b^depth for b children a node."""
        return sum(self.branching**level for level in range(self.depth + 1))

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """The root alone, then the children of each node."""
        b = self.branching
        return ((0,), *(tuple(range(b * i + 1, b * i + b + 1)) for i in range((self.n_features - 1) // b)))

    @property
    def n_uniforms(self) -> int:
        """A gate and a value a feature."""
        return 2 * self.n_features

    @cached_property
    def _paths(self) -> np.ndarray:
        """(n, n) bool: row i marks i and its ancestors."""
        paths = np.eye(self.n_features, dtype=bool)
        for i in range(1, self.n_features):
            paths[i] |= paths[(i - 1) // self.branching]
        return paths

    @property
    def _n_states(self) -> int:
        below = 1
        for _ in range(self.depth + 1):
            below = 1 + below**self.branching
        return below

    def _active(self, p, gates):
        is_open = gates < p
        return jnp.stack([is_open[..., path].all(-1) for path in self._paths], axis=-1)

    def _states(self) -> States:
        active, parent = [np.zeros(self.n_features, bool)], lambda i: (i - 1) // self.branching
        for i in range(self.n_features):
            active += [a | (np.arange(self.n_features) == i) for a in active if i == 0 or a[parent(i)]]
        active = np.asarray(active)
        allowed = np.stack([np.ones(len(active), bool), *(active[:, parent(i)] for i in range(1, self.n_features))], 1)
        return States(active, active.sum(1), (allowed & ~active).sum(1), np.ones(len(active)))

    def _joint(self):
        return np.ones((self.n_features,) * 2), (self._paths[:, None] | self._paths).sum(-1)

    def _some(self, p, q):
        some = p * q
        for _ in range(self.depth):
            none = jnp.log1p(-jnp.minimum(q, 1 - 2**-24)) + self.branching * jnp.log1p(-jnp.minimum(some, 1 - 2**-24))
            some = -p * jnp.expm1(none)
        return some
