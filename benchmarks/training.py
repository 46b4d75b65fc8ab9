"""Time per model-step of `train_ensemble`, beside PyTorch and beside its products alone, in one run.

A model-step is one update of one model on a fresh batch of 1,024, with Adam. Three sizes: the octahedron's, that of
the adversarial examples, and that of the geometries. Peers are the two loops of benchmarks/peers.py, in the
environment that `make bench-peers` makes; without it toylib is timed alone. The limit is the five products of a step,
two forward and three back (with the Gram matrix, one and one), chained so that nothing else is done, at these shapes
and on all cores, in the threads of training. What a draw takes is timed too: uniform numbers, once for all models of a
thread, and their thresholds. The rest are passes over (n, batch): bias, ReLU, error, its gradient, and Adam.

    python -m benchmarks.training           the table, and docs/speed.json
    python -m benchmarks.training losses    the losses that toylib and both peers reach in 2,000 steps (40 minutes)
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go

from benchmarks._drawing import headed, points
from benchmarks._peers import Peers, peers
from benchmarks._timing import STORED, keep, machine, once, spread
from toylib.features import Correlated, Features, Independent
from toylib.figures.style import BLUE, MUTED, ORANGE, PINK, THEME, WIDTH
from toylib.model import Params, init, loss
from toylib.training import Run, train_ensemble
from toylib.training._parts import cores

DRAWN = STORED.parent / "_static" / "speed.svg"
BATCH, ROUNDS, KEY = 1024, 7, jax.random.key(2511)
MODES = "plain", "compiled"
RANGE = 1 - 20.0 ** -np.linspace(0, 1, 11)[1:]  # 1/p from 1.35 to 20


class Size(NamedTuple):
    """What is trained, how many steps are timed, of toylib and of PyTorch, and on how many streams losses of it are."""

    features: Features
    n_hidden: int
    sparsities: np.ndarray
    models: int
    steps: int
    peer_steps: int
    peer_streams: int

    @property
    def members(self) -> int:
        return len(self.sparsities) * self.models

    def start(self) -> Params:
        """The initial models, (densities, 1, models)."""
        keys = jax.random.split(KEY, self.models)
        drawn = jax.vmap(lambda key: init(self.features.n_features, self.n_hidden, key=key))(keys)
        shape = len(self.sparsities), 1, self.models
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*shape, *leaf.shape[1:])), drawn)

    def train(self, n_steps: int, stream: int = 0) -> Run:
        """These models in toylib."""
        start = jax.tree.map(lambda leaf: leaf[:, 0], self.start())
        options = {"n_hidden": self.n_hidden, "n_steps": n_steps, "batch_size": BATCH, "start": start}
        options |= {"data_key": jax.random.key(stream), "snapshots": [n_steps], "progress": False}
        return train_ensemble(self.features, self.sparsities, jax.random.split(KEY, self.models), **options)

    def loss(self, params: Params) -> np.ndarray:
        """The population loss by density, (densities,), the mean over its models; their leading axes may be merged."""
        n = self.features.n_features
        W, b = params.W.reshape(-1, self.models, self.n_hidden, n), params.b.reshape(-1, self.models, n)
        found = []
        for some, S in zip(zip(W, b, strict=True), self.sparsities, strict=True):
            x, weights = self.features.population(S)
            found.append(jax.vmap(lambda one, x=x, w=weights: loss(one, x, weights=w))(Params(*some)).mean())
        return np.asarray(found)

    def request(self) -> dict[str, Any]:
        """These models for the peers."""
        return {
            "n_features": self.features.n_features,
            "n_hidden": self.n_hidden,
            "set_size": getattr(self.features, "set_size", 1),
            "densities": [float(1 - S) for S in self.sparsities],
            "models": self.models,
            "batch": BATCH,
        }


SIZES = {
    "n = 6, m = 3, two sets, 64 models": Size(Correlated(2, 3), 3, np.array([0.9]), 64, 4000, 150, 8),
    "n = 100, m = 20, ten densities": Size(Independent(100), 20, RANGE, 1, 400, 60, 8),
    "n = 400, m = 30, two models at ten densities": Size(Independent(400), 30, np.repeat(RANGE, 2), 1, 80, 8, 1),
}


# The limit


def parts_of(size: Size) -> list[tuple[jax.Array, jax.Array]]:
    """The densities and initial W (densities, models, m, n) of a part for each core."""
    p, W = jnp.asarray(1 - size.sparsities, jnp.float32), size.start().W[:, 0]
    if len(p) == 1:
        return [(p, part) for part in jnp.array_split(W, cores(), axis=1)]
    return list(zip(jnp.array_split(p, cores()), jnp.array_split(W, cores()), strict=True))


def in_threads(function: Callable, parts: list) -> None:
    """A function of each part, in a thread each."""
    with ThreadPoolExecutor(len(parts)) as executor:
        list(executor.map(lambda part: jax.block_until_ready(function(*part)), parts))


def products(size: Size) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The products of so many steps: ‖Wᵀ W x‖² has those of the loss, and its gradient takes no other pass."""
    n, m = size.features.n_features, size.n_hidden
    x = jax.random.uniform(KEY, (n, BATCH))

    def energy(W: jax.Array) -> jax.Array:
        z = (W.T @ W) @ x if n <= 2 * m else W.T @ (W @ x)
        return jnp.square(z).sum() / 2

    def gradient(W: jax.Array) -> jax.Array:
        return jax.vmap(jax.grad(energy))(W) if len(W) > 1 else jax.grad(energy)(W[0])[None]

    @jax.jit
    def run(p: jax.Array, W: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, size.steps, lambda _, W: jax.lax.map(lambda w: w - 1e-9 * gradient(w), W), W)

    return run


def draws(size: Size) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The samples of so many steps, drawn once and thresholded for each density."""

    @jax.jit
    def run(p: jax.Array, W: jax.Array) -> jax.Array:
        def step(i: jax.Array, total: jax.Array) -> jax.Array:
            u = size.features.uniforms(BATCH, key=jax.random.fold_in(KEY, i))
            drawn = jax.lax.map(lambda each: jax.lax.optimization_barrier(size.features.columns(each, u))[0, 0], p)
            return total + drawn.sum()

        return jax.lax.fori_loop(0, size.steps, step, jnp.zeros(()))

    return run


# The peers


def peer_train(found: Peers, mode: str, size: Size, steps: int, seed: int = 0) -> tuple[float, Params]:
    """Seconds of so many steps in PyTorch, and the models after them, (densities · models, ...)."""
    start = {name: np.reshape(leaf, (size.members, *leaf.shape[3:])) for name, leaf in size.start()._asdict().items()}
    request = {"do": "train", "mode": mode, "sizes": size.request(), "steps": steps, "seed": seed}
    took, end = found.ask(request, **start)
    return took, Params(jnp.asarray(end["W"]), jnp.asarray(end["b"]))


# The table


def measure(found: Peers | None) -> dict[str, dict[str, dict[str, float]]]:
    """Microseconds a model-step of everything, by size: in each round one after the other, then the median."""
    table = {}
    for name, size in SIZES.items():
        parts, limit, draw = parts_of(size), products(size), draws(size)
        timed: dict[str, tuple[int, Callable[[], float]]] = {
            "toylib": (size.steps, lambda size=size: once(lambda: size.train(size.steps).params)),
            "products": (size.steps, lambda f=limit, parts=parts: once(lambda: in_threads(f, parts))),
            "draws": (size.steps, lambda f=draw, parts=parts: once(lambda: in_threads(f, parts))),
        }
        for mode in MODES if found else ():
            timed[mode] = (
                size.peer_steps,
                lambda mode=mode, size=size: peer_train(found, mode, size, size.peer_steps)[0],
            )
        for _, function in timed.values():
            function()  # compiles
        times: dict[str, list[float]] = {what: [] for what in timed}
        for _ in range(ROUNDS):
            for what, (steps, function) in timed.items():
                times[what].append(1e6 * function() / steps / size.members)
        table[name] = {what: spread(each) for what, each in times.items()}
    return table


def show(table: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the table: medians, and in brackets the range over the rounds."""
    for name, row in table.items():
        print(f"{name}: µs a model-step")
        ours, limit = row["toylib"]["median"], row["products"]["median"]
        for what, each in row.items():
            ratio = {"toylib": f"{ours / limit:5.2f} × the products", "products": "", "draws": ""}.get(
                what, f"{each['median'] / ours:5.1f} × toylib"
            )
            print(f"  {what:10}{each['median']:9.1f} [{each['low']:.1f}, {each['high']:.1f}]  {ratio}")


def losses() -> None:
    """Print the population loss that toylib reaches on eight streams, and beside it that of each peer.

    A standard error is that of the difference of two means, at one density, with the deviation of the eight. Of losses
    that are drawn alike seven in nine lie inside the range of eight others.
    """
    with peers() as found:
        if found is None:
            return
        for name, size in SIZES.items():
            ours = np.asarray([size.loss(size.train(2000, stream).params) for stream in range(8)])
            mean, deviation = ours.mean(0), ours.std(0, ddof=1)
            print(f"{name}: population loss after 2,000 steps, toylib on 8 streams {mean.mean():.5f}")
            for mode in MODES:
                streams = range(1, 1 + size.peer_streams)
                theirs = np.asarray([size.loss(peer_train(found, mode, size, 2000, seed)[1]) for seed in streams])
                off = np.abs(theirs.mean(0) - mean) / deviation / np.sqrt(1 / len(ours) + 1 / len(theirs))
                inside = np.mean((theirs >= ours.min(0)) & (theirs <= ours.max(0)))
                print(
                    f"  {mode:10}{theirs.mean():.5f} on {len(theirs)}; at most {off.max():.1f} standard errors away, "
                    f"at {np.mean(off > 2):.0%} of densities more than 2; {inside:.0%} inside the range of the 8",
                    flush=True,
                )


NAMES = {
    "plain": ("PyTorch, as in notebooks", ORANGE, "diamond"),
    "compiled": ("PyTorch, at its best", PINK, "square"),
    "toylib": ("toylib", BLUE, "circle"),
    "products": ("products alone", MUTED, "line-ns-open"),
}


def picture(stored: dict[str, Any]) -> go.Figure:
    """The table as a picture: a row for each size, a point for each median."""
    table = stored["microseconds"]
    sizes = list(table)[::-1]
    title = headed("toylib beside PyTorch, and beside its matrix products alone", stored)
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": -0.3}
    figure = go.Figure(layout={"template": THEME, "width": WIDTH, "height": 340, "legend": legend, **title})
    for what, (label, color, symbol) in NAMES.items():
        marker = {"color": color, "symbol": symbol, "size": 11, "line": {"color": color, "width": 2}}
        figure.add_scatter(**points([table[size][what] for size in sizes]), y=sizes, marker=marker, name=label)
    figure.update_xaxes(type="log", dtick=1, title_text=f"microseconds a model-step, on {stored['cores']} cores")
    return figure


def main() -> None:
    """Print the table; with the peers, store it."""
    with peers() as found:
        table = measure(found)
        show(table)
        if found:
            about = machine() | {"rounds": ROUNDS, "batch": BATCH}
            about["versions"]["torch"] = found.version
            stored = about | {"microseconds": table}
            keep("training", stored)
            picture(stored).write_image(DRAWN)


if __name__ == "__main__":
    losses() if sys.argv[1:] == ["losses"] else main()
