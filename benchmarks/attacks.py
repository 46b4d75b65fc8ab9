"""Attacks on a thousand inputs, beside foolbox, the same search in PyTorch, and the time of the products alone.

The reference design: n = 100, m = 20, a model trained at 1/p = 10, norm 0.1 E‖x‖; 40 steps from 13 starts.
Inputs are attacked 64 at a time, in a thread for each core, as docs/speed.md says.

All are measured one after the other in each of some rounds; medians count.

- *foolbox*: its L2 PGD with as many steps from one random start, on the same loss, 13 times; the best of 13 counts.
- *PyTorch*: the search of `pgd` batched over starts and inputs, *plain* with autograd, and *compiled*, as fast as we
  could write it, with all that made `pgd` fast (benchmarks/peers.py); it takes `make bench-peers`. All inputs have the
  same random starts, as those of `pgd`.
- *products*, the limit: one product forward and one back, of the m coordinates that the model sees, for each step and
  start, at the rate of large matrices.
- *gain*: the mean over inputs of what the attack adds to the error, beside that of `pgd`, whose starts are others.

`worst_case` has no peer: its rows are inputs a second, beside `pgd`, and how far its two bounds are apart: what the
certificate leaves open, as a share of the upper bound.

With the peers the table is stored in docs/speed.json, and drawn.
"""

import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax
import plotly.graph_objects as go

from benchmarks._drawing import headed, points
from benchmarks._peers import Peers, peers
from benchmarks._timing import STORED, keep, machine, matmul_rate, spread
from toylib.attacks import analytic, error, latent, pgd, worst_case
from toylib.features import Independent
from toylib.figures.style import BLUE, THEME, WIDTH
from toylib.model import Params
from toylib.training import train
from toylib.training._parts import cores

SAMPLES, STEPS, STARTS, S, ROUNDS = 1000, 40, 13, 0.9, 7
FLIPPED = {"median": "median", "low": "high", "high": "low"}  # the longest time is the lowest rate
BATCH = 64  # inputs at a time: with their starts a product large enough to be fast, and few enough for the cache


def train_points(n: int, m: int) -> tuple[Params, jax.Array, float]:
    """A model, inputs and a norm."""
    features = Independent(n)
    options = {"n_hidden": m, "n_steps": 1000, "optimizer": optax.adam(1e-2), "snapshots": [1000], "progress": False}
    run = train(features, S, key=jax.random.key(0), **options)
    x = features.sample(S, SAMPLES, key=jax.random.key(1))
    return run.params, x, float(0.1 * features.mean_norm(S))


Contender = Callable[[], tuple[float, jax.Array]]
"""Attacks all inputs once; the seconds that took, and what it found."""


def each(attack: Callable, x: jax.Array, batch: int) -> Contender:
    """An attack on so many inputs at a time, in a thread for each core."""
    attacked = jax.jit(lambda part: jax.lax.map(attack, part, batch_size=batch))
    parts = jnp.array_split(x, cores())

    def run() -> tuple[float, jax.Array]:
        begin = time.perf_counter()
        with ThreadPoolExecutor(len(parts)) as executor:
            found = list(executor.map(lambda part: jax.block_until_ready(attacked(part)), parts))
        return time.perf_counter() - begin, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *found)

    return run


def in_rounds(contenders: dict[str, Contender]) -> tuple[dict[str, dict[str, float]], dict[str, jax.Array]]:
    """Seconds of each, in rounds in which all have a turn, and what each finds at first, which compiles."""
    found = {name: run()[1] for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            times[name].append(run()[0])
    return {name: spread(each) for name, each in times.items()}, found


def foolbox_pgd(params: Params, x: jax.Array, radius: float) -> Contender:
    """The best of 13 attacks on each input by foolbox's L2 PGD, each from one random start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eagerpy as ep
        import foolbox

    class Attack(foolbox.attacks.L2ProjectedGradientDescentAttack):
        def get_loss_fn(self, model, labels):
            targets = ep.astensor(x)
            return lambda inputs: (model(inputs) - targets).square().sum()

    def reconstruct(v):
        return jax.nn.relu((v @ params.W.T) @ params.W + params.b)

    model = foolbox.JAXModel(reconstruct, bounds=(-1e3, 1e3))
    attack = Attack(rel_stepsize=0.1, steps=STEPS, random_start=True)
    criterion = foolbox.criteria.Misclassification(jnp.zeros(len(x), int))

    def run() -> tuple[float, jax.Array]:
        begin = time.perf_counter()
        found = jnp.stack([attack.run(model, x, criterion, epsilon=radius) - x for _ in range(STARTS)])
        errors = jax.vmap(jax.vmap(partial(error, params)), (None, 0))(x, found)
        best = jax.block_until_ready(found[errors.argmax(0), jnp.arange(len(x))])
        return time.perf_counter() - begin, best

    return run


def searched(found: Peers, mode: str, params: Params, x: jax.Array, radius: float) -> Contender:
    """The search in PyTorch."""
    request = {"do": "search", "mode": mode, "steps": STEPS, "restarts": STARTS - 3, "seed": 0, "radius": radius}

    def run() -> tuple[float, jax.Array]:
        took, end = found.ask(request, W=params.W, b=params.b, x=x)
        return took, jnp.asarray(end["delta"])

    return run


def table(params: Params, x: jax.Array, radius: float, limit: float, found: Peers | None) -> dict[str, dict]:
    """Print the searches, and return their seconds and gains."""
    key = jax.random.key(2)
    runs = {"foolbox, best of 13": foolbox_pgd(params, x, radius)}
    for mode in ("plain", "compiled") if found else ():
        runs[f"PyTorch, {mode}"] = searched(found, mode, params, x, radius)
    runs["pgd"] = each(lambda v: pgd(params, v, radius, key=key), x, BATCH)
    runs["latent"] = each(lambda v: latent(params, v, radius, key=key), x, BATCH)
    runs["analytic, ±"] = each(lambda v: analytic(params, v, radius, signs="±"), x, BATCH)
    times, deltas = in_rounds(runs)
    clean = jax.vmap(partial(error, params))(x, 0 * x)
    gains = {name: float((jax.vmap(partial(error, params))(x, d) - clean).mean()) for name, d in deltas.items()}
    print(f"  {'':24}{'inputs a second':>30}{'time, of pgd':>14}{'of the products':>17}{'gain, of pgd':>14}")
    rows = {}
    for name, took in times.items():
        row = {
            "inputs": {what: SAMPLES / took[other] for what, other in FLIPPED.items()},
            "time": took["median"] / times["pgd"]["median"],
            "of_products": took["median"] / limit,
            "gain": gains[name] / gains["pgd"],
        }
        rows[name] = row
        inputs = "{median:,.0f} [{low:,.0f}, {high:,.0f}]".format(**row["inputs"])
        print(f"  {name:24}{inputs:>30}{row['time']:14.2f}{row['of_products']:17.1f}{row['gain']:14.4f}")
    return rows


def picture(stored: dict) -> go.Figure:
    """Inputs that each search attacks in a second."""
    names = [name for name in stored["searches"] if "analytic" not in name][::-1]  # which is no search
    layout = {"template": THEME, "width": WIDTH, "height": 320, "margin_l": 150}
    figure = go.Figure(layout=layout | headed("Attacks on the same inputs, with as many steps and starts", stored))
    found = [stored["searches"][name]["inputs"] for name in names]
    figure.add_scatter(**points(found), y=names, marker={"color": BLUE, "size": 11})
    figure.update_xaxes(type="log", dtick=1, title_text=f"inputs attacked a second, on {stored['cores']} cores")
    return figure


def main() -> None:
    """Print the table; with the peers, store it."""
    about = machine() | {"samples": SAMPLES, "steps": STEPS, "starts": STARTS, "rounds": ROUNDS}
    about["versions"]["foolbox"] = version("foolbox")
    params, x, radius = train_points(100, 20)
    rate = matmul_rate()
    limit = SAMPLES * STEPS * STARTS * 2 * 2 * params.W.size / rate
    print(f"attacks, n = 100, m = 20, {STEPS} steps from {STARTS} starts; products run at {rate / 1e9:.0f} GFLOP/s")
    with peers() as found:
        searches = table(params, x, radius, limit, found)
    print(f"  {'':24}{'inputs a second':>30}{'time, of pgd':>14}{'left open':>17}")
    key, certificates = jax.random.key(2), {}
    for n, m in ((6, 2), (6, 3), (100, 20)):
        params, x, radius = train_points(n, m)
        runs = {
            "pgd": each(lambda v, p=params, r=radius: pgd(p, v, r, key=key), x, BATCH),
            "bounds": each(partial(worst_case, params, radius=radius), x, 1),
        }
        times, ends = in_rounds(runs)
        low, high = ends["bounds"]
        took, width = times["bounds"], jnp.mean((high - low) / jnp.maximum(high, 1e-12))
        row = {
            "inputs": {what: SAMPLES / took[other] for what, other in FLIPPED.items()},
            "time": took["median"] / times["pgd"]["median"],
            "open": float(width),
        }
        certificates[f"worst_case, n = {n}, m = {m}"] = row
        inputs = "{median:,.0f} [{low:,.0f}, {high:,.0f}]".format(**row["inputs"])
        print(f"  {f'worst_case, m = {m}':24}{inputs:>30}{row['time']:14.2f}{width:17.1e}")
    if found:
        about["versions"]["torch"] = found.version
        stored = about | {"gflops": rate / 1e9, "searches": searches, "certificates": certificates}
        keep("attacks", stored)
        picture(stored).write_image(STORED.parent / "_static" / "attacks.svg")


if __name__ == "__main__":
    main()
