"""The three faces of the loop: a finished run, a run piece by piece, an ensemble."""

from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
import optax
from jax.typing import ArrayLike

from toylib import model
from toylib._checks import check_flag, check_key, check_size, density, on_host
from toylib.attacks import Attack
from toylib.features import Features
from toylib.model import Params
from toylib.training._loop import Options, begin, collect
from toylib.training._run import Run, State
from toylib.training._step import Optimizer, is_ready


def train(
    features: Features,
    S: ArrayLike,
    *,
    n_hidden: int,
    n_steps: int = 10_000,
    key: jax.Array,
    scale: ArrayLike = 0.01,
    start: Params | State | None = None,
    optimizer: Optimizer = optax.adam,
    learning_rate: ArrayLike | None = None,
    loss: Callable = model.loss,
    batch_size: int = 1024,
    population: bool = False,
    importance: ArrayLike | None = None,
    linear: bool = False,
    snapshots: Sequence[int] | None = None,
    perturb: Attack | None = None,
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
        n_steps: step at which training ends, at least 1.
        key: from `jax.random.key`.
        scale: standard deviation of the initial W.
        start: what to go on from instead of initial weights. A model, W (m, n) and b (n,): optimizer and steps begin
            anew, so pass another key for other batches. A State of `states`: with the same arguments the run goes on
            as if it had never stopped.
        optimizer: what makes an optax transformation from a learning rate, such as `optax.adam`, a functools.partial or
            a lambda with a schedule; one compilation serves every rate. Or a transformation, compiled for itself.
            One that needs more than gradients and parameters, such as optax.lbfgs, is refused.
        learning_rate: handed to `optimizer`, at least 0; 1e-3 by default.
        loss: called as loss(params, x (batch, n), weights=(batch,)), a scalar, and with `target`, `importance` or
            `linear` where an attack, importance or the linear twin are asked for.
        batch_size: fresh samples per step; not used with `population`.
        population: train on the nodes of `features.population` instead: infinite data, no noise.
        importance: (n,), factor of each feature's error; 1 by default.
        linear: train the linear twin, without the ReLU.
        snapshots: increasing steps up to n_steps at which to keep W, b and the loss; by default about 200 spaced
            logarithmically, the first and the last step among them.
        perturb: an attack on each sample, constant for the gradient; the target stays the clean x. Any attack of
            `toylib.attacks`, with its options bound by functools.partial, or another function that is called alike,
            which is tried on a few samples first.
        radius: L2 norm handed to `perturb`, at least 0; at 0 training is plain, bitwise, as it is with `mix` 0.
        ramp: steps over which the norm rises linearly to `radius`.
        mix: weight of the attacked samples in the loss, in [0, 1]; the clean ones have the rest.
        progress: True shows a bar with the loss; None too, once a run has taken a second and unless the environment
            variable TQDM_DISABLE is set; False does not.

    Returns:
        A Run without leading axes.

    Raises:
        ValueError, TypeError: an argument out of its range, of the wrong rank or type.
        Diverged: loss or parameters are not finite; the message says which, with step, loss and learning rate.
        Interrupted: Ctrl-C; the run that it carries is what was done.

    >>> import jax
    >>> from toylib.features import Correlated
    >>> run = train(Correlated(2, 3), 0.9, n_hidden=3, n_steps=20, key=jax.random.key(0), population=True)
    >>> bool(run.losses[-1] < run.losses[0])
    True
    """
    options = Options(
        n_hidden,
        n_steps,
        scale,
        start,
        optimizer,
        learning_rate,
        loss,
        batch_size,
        population,
        importance,
        linear,
        snapshots,
        perturb,
        radius,
        ramp,
        mix,
    )
    made, wanted = _one(features, S, key, options)
    first = start.step if isinstance(start, State) else 0
    rate = "the optimizer's own learning rate" if is_ready(optimizer) else f"learning rate {options.rate:g}"
    return collect(made, wanted, n_steps, progress, first=first, rate=rate)


def states(
    features: Features,
    S: ArrayLike,
    *,
    n_hidden: int,
    n_steps: int = 10_000,
    key: jax.Array,
    scale: ArrayLike = 0.01,
    start: Params | State | None = None,
    optimizer: Optimizer = optax.adam,
    learning_rate: ArrayLike | None = None,
    loss: Callable = model.loss,
    batch_size: int = 1024,
    population: bool = False,
    importance: ArrayLike | None = None,
    linear: bool = False,
    snapshots: Sequence[int] | None = None,
    perturb: Attack | None = None,
    radius: ArrayLike = 0.0,
    ramp: int = 0,
    mix: ArrayLike = 1.0,
) -> Iterator[State]:
    """Train one model and yield its State piece by piece, to be watched, or to go on from with other settings.

    Yields at the start, at every snapshot, and in between as often as lets Ctrl-C and a watcher in. A state that is
    not finite is yielded too; what to do about it is the caller's.

    Args:
        features, S, n_hidden, n_steps, key, scale, start, optimizer, learning_rate, loss: see `train`.
        batch_size, population, importance, linear, snapshots, perturb, radius, ramp, mix: see `train`.

    Raises:
        ValueError, TypeError: as `train`, before the first state.

    >>> import jax
    >>> from toylib.features import Correlated
    >>> options = {"n_hidden": 3, "key": jax.random.key(0), "population": True, "snapshots": [10]}
    >>> *_, state = states(Correlated(2, 3), 0.9, n_steps=10, **options)
    >>> *_, state = states(Correlated(2, 3), 0.8, n_steps=20, start=state, **options | {"snapshots": [20]})
    >>> state.step
    20
    """
    options = Options(
        n_hidden,
        n_steps,
        scale,
        start,
        optimizer,
        learning_rate,
        loss,
        batch_size,
        population,
        importance,
        linear,
        snapshots,
        perturb,
        radius,
        ramp,
        mix,
    )
    return _one(features, S, key, options)[0]


def _one(features: Features, S: ArrayLike, key: jax.Array, options: Options) -> tuple[Iterator[State], np.ndarray]:
    """The states of one model, without axes, and the steps of the snapshots."""
    check_key("key", key, many="pass one key, and several to train_ensemble")
    p = density(S, many="pass one sparsity, and several to train_ensemble")
    made, wanted = begin(features, p, key, options)
    return (jax.tree.map(lambda leaf: leaf[0, 0, 0] if np.ndim(leaf) else leaf, state) for state in made), wanted


def train_ensemble(
    features: Features,
    Ss: Sequence[float] | np.ndarray,
    keys: jax.Array,
    *,
    n_hidden: int,
    data_key: jax.Array | None = None,
    n_steps: int = 10_000,
    scale: ArrayLike = 0.01,
    start: Params | None = None,
    optimizer: Optimizer = optax.adam,
    learning_rate: ArrayLike | None = None,
    loss: Callable = model.loss,
    batch_size: int = 1024,
    population: bool = False,
    importance: ArrayLike | None = None,
    linear: bool = False,
    snapshots: Sequence[int] | None = None,
    perturb: Attack | None = None,
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
        n_steps, scale, optimizer, learning_rate, loss, batch_size, population, importance, linear: see `train`.
        snapshots, perturb, ramp, mix, progress: see `train`.
        radius: a scalar, or (r,) for one more axis; beside others a radius of 0 is plain to rounding.
        start: models to go on from, with the leading axes of the Run that is to come.

    Returns:
        A Run with leading axes (a, c), or (a, r, c) where radius has an axis; members that diverge are marked in
        `diverged`, their losses NaN from there on.

    Raises:
        ValueError, TypeError: an argument out of its range, of the wrong rank or type.
        Interrupted: Ctrl-C; the run that it carries is what was done.
    """
    check_key("keys", keys, ndim=1, many="pass jax.random.split(key, number), and one key to train")
    densities = density(Ss, ndim=1, many="pass a list of sparsities, and one sparsity to train")
    if not check_flag("population", population) and data_key is None:
        raise ValueError("data_key must be given unless population=True, got None; pass jax.random.key(...)")
    if data_key is not None:
        check_key("data_key", data_key, many="members share one stream, so pass one key")
    for name, axis in (("Ss", Ss), ("keys", keys), ("radius", np.atleast_1d(on_host("radius", radius)))):
        check_size(f"the length of {name}", len(axis), remedy="an axis without entries has no models")
    axes = (len(Ss), *np.shape(radius)[:1], len(keys))
    options = Options(
        n_hidden,
        n_steps,
        scale,
        start,
        optimizer,
        learning_rate,
        loss,
        batch_size,
        population,
        importance,
        linear,
        snapshots,
        perturb,
        radius,
        ramp,
        mix,
    )
    made, wanted = begin(features, densities, keys, options, data_key=data_key, axes=axes)
    run = collect(made, wanted, n_steps, progress, axes=3)
    return run if np.ndim(radius) else run.member(slice(None), 0)
