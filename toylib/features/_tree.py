"""Features on the nodes of a tree."""

from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np

from toylib.features._base import MAX_STATES, Sized, States, log_none


@dataclass(frozen=True)
class Hierarchical(Sized):
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

    @property
    def n_features(self) -> int:  # pyrefly: ignore[bad-override]  # nobody sets it
        """Number of nodes, 1 + b + ... + b^depth for b children per node."""
        return sum(self.branching**level for level in range(self.depth + 1))

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """The root alone, then the children of each node."""
        b = self.branching
        return ((0,), *(tuple(range(b * i + 1, b * i + b + 1)) for i in range((self.n_features - 1) // b)))

    @property
    def n_gates(self) -> int:
        """One per node."""
        return self.n_features

    @cached_property
    def _paths(self) -> np.ndarray:
        """(n, n) bool: row i marks i and its ancestors."""
        paths = np.eye(self.n_features, dtype=bool)
        for i in range(1, self.n_features):
            paths[i] |= paths[(i - 1) // self.branching]
        return paths

    def active(self, p: jax.Array, gates: jax.Array) -> jax.Array:
        """Where all gates on its path to the root are open."""
        return _along_paths(gates < p, self)

    def states(self) -> States | None:
        """Every set of nodes that holds each one's parent."""
        parents = (np.arange(self.n_features) - 1) // self.branching
        listed = [np.zeros(self.n_features, bool)]
        for i, parent in enumerate(parents):
            listed += [a | (np.arange(self.n_features) == i) for a in listed if i == 0 or a[parent]]
            if len(listed) > MAX_STATES:
                return None
        active = np.asarray(listed)
        allowed = active[:, parents]
        allowed[:, 0] = True  # the root has no parent
        return States(active, active.sum(1), (allowed & ~active).sum(1), np.ones(len(active)))

    def activity(self, p: jax.Array) -> jax.Array:
        """p to the number of nodes on the two paths to the root."""
        return p ** jnp.asarray((self._paths[:, None] | self._paths).sum(-1), jnp.float32)

    def some_active(self, p: jax.Array, q: jax.Array) -> jax.Array:
        """By recursion from the leaves to the root."""
        some = p * q
        for _ in range(self.depth):
            some = -p * jnp.expm1(log_none(q) + self.branching * log_none(some))
        return some


@partial(jax.jit, inline=True, static_argnums=1)
def _along_paths(is_open: jax.Array, tree: Hierarchical) -> jax.Array:
    return jnp.stack([is_open[path].all(0) for path in tree._paths])
