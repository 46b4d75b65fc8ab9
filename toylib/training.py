"""One training loop for everything: fresh batches or the population, ReLU or linear, one model or an ensemble.

The defaults, beside the notebook that accompanies the paper (anthropics/toy-models-of-superposition, as of 2022; the
paper itself gives none for correlated features):

    |                | here                                         | the paper's notebook                         |
    |----------------|----------------------------------------------|----------------------------------------------|
    | optimiser      | Adam, learning rate 1e-3, constant           | AdamW, 1e-3, constant, weight decay 0.01     |
    | batch          | 1,024, fresh, or population nodes            | 1,024, fresh                                 |
    | steps          | 10,000                                       | 10,000                                       |
    | loss           | sum over features, mean over the batch       | mean over both                               |
    | initial W      | 0.01·N(0, 1)                                 | Xavier-normal over (instances, n, m):        |
    |                |                                              | deviation sqrt(2/((n + instances)·m)), which |
    |                |                                              | for n = 6, m = 3 is 0.31 with one instance   |
    | initial b      | 0                                            | 0                                            |
"""

import time
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from toylib.checks import check_array, check_finite, check_key, check_real, check_size, check_sparsity
from toylib.features import Features
from toylib.model import Params, init
from toylib.optimizers import Static
from toylib.progress import bar
from toylib.runs import Diverged, Interrupted, Run, snapshot_steps, summary
from toylib.steps import Inputs, Perturb, Setting, advance, members_of

__all__ = ["Diverged", "Interrupted", "Perturb", "Run", "train", "train_ensemble"]

_SECONDS_BETWEEN_LOOKS = 0.25  # how long Ctrl-C and the progress bar may have to wait


def train(
    features: Features,
    S: ArrayLike,
    *,
    n_hidden: int,
    n_steps: int = 10_000,
    key: jax.Array,
    scale: ArrayLike = 0.01,
    start: Params | None = None,
    optimizer: optax.GradientTransformation = optax.adam(1e-3),
    batch_size: int = 1024,
    population: bool = False,
    importance: ArrayLike | None = None,
    linear: bool = False,
    snapshots: Sequence[int] | None = None,
    perturb: Perturb | None = None,
    radius: ArrayLike = 0.0,
    ramp: int = 0,
    mix: ArrayLike = 1.0,
    progress: bool | None = None,
) -> Run:
    """Train one model.

    `key` splits into keys for the initial weights, the data and the attack. Step t draws its batch with
    `features.sample(S, batch_size, key=jax.random.fold_in(data_key, t))`, so the stream does not depend on snapshots.

    Args:
        features: distribution of the inputs.
        S: probability that a gate is off, in [0, 1).
        n_hidden: m.
        n_steps: updates, at least 1.
        key: from `jax.random.key`.
        scale: standard deviation of the initial W.
        start: a model to go on from, W (m, n) and b (n,), instead of initial weights; optimiser and steps begin anew,
            so pass another key for other batches.
        optimizer: any optax optimiser; a constant learning rate may change without a new compilation.
        batch_size: fresh samples a step; not used with `population`.
        population: train on the nodes of `features.population` instead: infinite data, no noise.
        importance: (n,), factor of each feature's error; 1 by default.
        linear: train the linear twin, without the ReLU.
        snapshots: increasing steps in [0, n_steps] at which to keep W, b and the loss; by default about 200 spaced
            logarithmically, 0 and n_steps among them.
        perturb: (params, x (n,), radius, *, key) -> δ (n,), an attack on each sample, constant for the gradient; the
            target stays the clean x.
        radius: L2 norm handed to `perturb`, at least 0; at 0 training is plain, bitwise, as it is with `mix` 0.
        ramp: steps over which the norm rises linearly to `radius`.
        mix: weight of the attacked samples in the loss, in [0, 1]; the clean ones have the rest.
        progress: True shows a bar with the loss; None too, once a run has taken a second and unless the environment
            variable TQDM_DISABLE is set; False does not.

    Returns:
        A Run without leading axes.

    Raises:
        ValueError, TypeError: an argument out of its range, of the wrong rank or type.
        Diverged: loss or parameters are not finite; the message has step, loss and learning rate.
        Interrupted: Ctrl-C; `.run` holds what was done.
    """
    check_key("key", key)
    check_sparsity(S)
    check_real("radius", radius, minimum=0.0)
    k_init, k_data, k_attack = jax.random.split(key, 3)
    setting = _setting(features, optimizer, batch_size, population, linear, perturb, radius, mix)
    params = init(features.n_features, n_hidden, key=k_init, scale=scale)
    if start is not None:
        params = _started(start, params)
    params = jax.tree.map(lambda leaf: leaf[None, None, None], params)
    inputs = _inputs(setting, S, radius, ramp, mix, importance, k_data, k_attack[None])
    return _loop(setting, inputs, params, n_steps, snapshots, progress, single=True)


def train_ensemble(
    features: Features,
    Ss: ArrayLike,
    keys: jax.Array,
    *,
    n_hidden: int,
    data_key: jax.Array | None = None,
    n_steps: int = 10_000,
    scale: ArrayLike = 0.01,
    start: Params | None = None,
    optimizer: optax.GradientTransformation = optax.adam(1e-3),
    batch_size: int = 1024,
    population: bool = False,
    importance: ArrayLike | None = None,
    linear: bool = False,
    snapshots: Sequence[int] | None = None,
    perturb: Perturb | None = None,
    radius: ArrayLike = 0.0,
    ramp: int = 0,
    mix: ArrayLike = 1.0,
    progress: bool | None = None,
) -> Run:
    """Train the product of sparsities, radii and seeds in one compilation; arguments as in `train`, but for these.

    All members see one stream of data, the same uniforms thresholded at each S. Spread over members is therefore
    spread over initial weights: for intervals that include the data use several data keys, or the population.
    Member (a, c) with `population=True` is the model that `train(features, Ss[a], key=keys[c])` gives, to rounding.

    Args:
        features: distribution of the inputs.
        Ss: (a,), each in [0, 1).
        keys: (c,) keys; each draws initial weights and attacks.
        n_hidden: m.
        data_key: one key for the shared stream; required unless `population`.
        n_steps, scale, optimizer, batch_size, population, importance, linear: see `train`.
        snapshots, perturb, ramp, mix, progress: see `train`.
        radius: a scalar, or (r,) for one more axis; beside others a radius of 0 is plain to rounding.
        start: models to go on from, with the leading axes of the Run that is to come.

    Returns:
        A Run with leading axes (a, c), or (a, r, c) where radius has an axis; members that diverge are marked in
        `diverged`, their losses NaN from there on.

    Raises:
        ValueError, TypeError: an argument out of its range, of the wrong rank or type.
        Interrupted: Ctrl-C; `.run` holds what was done.
    """
    check_key("keys", keys, ndim=1)
    check_sparsity(Ss, ndim=1)
    check_real("radius", radius, minimum=0.0, ndim=np.ndim(radius) and 1)
    for name, axis in (("Ss", Ss), ("keys", keys), ("radius", np.atleast_1d(radius))):
        check_size(f"the length of {name}", len(axis))
    if not population and data_key is None:
        raise ValueError("data_key must be given unless population=True, got None; pass jax.random.key(...)")
    if data_key is not None:
        check_key("data_key", data_key)
    k_init, _, k_attack = jnp.moveaxis(jax.vmap(partial(jax.random.split, num=3))(keys), 1, 0)
    setting = _setting(features, optimizer, batch_size, population, linear, perturb, radius, mix)
    check_size("n_hidden", n_hidden)
    check_real("scale", scale, minimum=0.0)
    params = jax.vmap(lambda k: init(features.n_features, n_hidden, key=k, scale=scale))(k_init)
    shape = (len(Ss), np.size(radius), len(keys))
    params = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*shape, *leaf.shape[1:])), params)
    if start is not None:
        like = params if np.ndim(radius) else jax.tree.map(lambda leaf: leaf[:, 0], params)
        params = jax.tree.map(lambda leaf, old: leaf.reshape(old.shape), _started(start, like), params)
    inputs = _inputs(setting, Ss, radius, ramp, mix, importance, data_key, k_attack)
    run = _loop(setting, inputs, params, n_steps, snapshots, progress, single=False)
    return run if np.ndim(radius) else run.member(slice(None), 0)


def _setting(features, optimizer, batch_size, population, linear, perturb, radius, mix) -> Setting:
    if not isinstance(features, Features):
        raise TypeError(f"features must be a distribution of toylib.features, got {features!r}; try Correlated(2, 3)")
    attacked = np.any(np.asarray(radius) != 0)
    if perturb is None and attacked:
        raise ValueError(f"radius must be 0 without an attack, got {radius}; pass perturb as well")
    check_real("mix", mix, minimum=0.0, below=np.nextafter(1, 2))
    batch_size = check_size("batch_size", batch_size)
    # Without a norm or a weight an attack is none: the same program then gives the same numbers.
    perturb = perturb if attacked and mix != 0 else None
    return Setting(features, Static(optimizer), batch_size, bool(population), bool(linear), perturb)


def _inputs(setting, Ss, radius, ramp, mix, importance, data_key, attack_keys) -> Inputs:
    if importance is not None:
        importance = jnp.asarray(importance, jnp.float32)
        check_array("importance", importance, (setting.features.n_features,))
    rates = [jnp.asarray(rate, jnp.float32) for rate in setting.optimizer.rates]
    ramp = check_size("ramp", ramp, minimum=0)
    Ss, radii, ramp, mix = (jnp.asarray(value, jnp.float32) for value in (Ss, radius, ramp, mix))
    return Inputs(jnp.atleast_1d(Ss), jnp.atleast_1d(radii), ramp, mix, importance, data_key, attack_keys, rates)


def _started(start: Params, like: Params) -> Params:
    """`start` if it is finite and of the shapes of `like`."""
    for name, value, wanted in zip(Params._fields, start, like, strict=True):
        check_array(f"{name} of start", value, wanted.shape)
        check_finite(f"{name} of start", value)
    return Params(*(jnp.asarray(value, jnp.float32) for value in start))


def _loop(setting, inputs, params, n_steps, snapshots, progress, *, single: bool) -> Run:
    """Advance from snapshot to snapshot, in pieces short enough for Ctrl-C and a progress bar."""
    wanted = snapshot_steps(snapshots, n_steps)
    stops = np.union1d(wanted, n_steps)
    # The step, the state and what is known of it, assigned as one, so that an interruption finds them in agreement.
    unknown = np.full(params.W.shape[:3], np.nan, np.float32), np.ones(params.W.shape[:3], bool)
    opt_state = jax.vmap(members_of(setting.optimizer.build(setting.optimizer.rates).init))(params)
    now, stop, piece, kept = (0, (params, opt_state), *unknown), 0, 1, []

    def keep() -> None:
        step, ((W, b), _), losses, finite = now
        kept.append([np.asarray(a) for a in (step, losses, W, b, finite)])

    def result() -> Run:
        steps, losses, W, b, finite = (np.asarray(column) for column in zip(*kept, strict=True))
        alive = np.logical_and.accumulate(finite, axis=0)
        series = [np.moveaxis(a, 0, 3) for a in (np.where(alive, losses, np.nan), W, b)]
        run = Run(now[1][0], steps, *series, ~(alive[-1] & np.asarray(now[3])))
        return run.member(0, 0, 0) if single else run

    with bar(n_steps, "step", progress) as shown:
        try:
            while True:
                step, began = now[0], time.perf_counter()
                now = (stop, *jax.block_until_ready(advance(setting, inputs, now[1], step, stop)))
                if stop > step:
                    speed = (stop - step) / (time.perf_counter() - began)
                    piece = max(1, min(4 * piece, int(speed * _SECONDS_BETWEEN_LOOKS)))
                shown.set_postfix_str(summary(*now[2:]), refresh=False)
                shown.update(stop - step)
                failed = single and not now[3].all()
                if failed or stop in wanted:
                    keep()
                if failed:
                    raise Diverged(result(), stop, now[2].item(), setting.optimizer.learning_rate)
                if stop == n_steps:
                    return result()
                stop = min(int(stops[np.searchsorted(stops, stop, side="right")]), stop + piece)
        except KeyboardInterrupt:
            if not kept or kept[-1][0] != now[0]:
                keep()
            raise Interrupted(result()) from None
