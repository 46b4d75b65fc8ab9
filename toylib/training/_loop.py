"""From the arguments of a run to its states, and from these to a Run: checks, first weights, loop over compiled pieces.

Everything is refused before anything is drawn or compiled.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from toylib._checks import (
    check_array,
    check_batch,
    check_features,
    check_finite,
    check_flag,
    check_hashable,
    check_params,
    check_real,
    check_size,
    described,
    is_traced,
)
from toylib._progress import bar
from toylib.attacks import Attack
from toylib.features import Features
from toylib.model import Params, init
from toylib.training._parts import advance_all, joined, split, threads
from toylib.training._run import Diverged, Interrupted, Run, State, run_of, snapshot_steps, summary
from toylib.training._step import (
    Inputs,
    Optimizer,
    Setting,
    check_length,
    check_setting,
    comparable,
    initial_state,
    is_ready,
    members_of,
)

_SECONDS_BETWEEN_LOOKS = 0.25  # how long Ctrl-C and the progress bar may have to wait
_ONE = "pass one number for the whole call"


class Options(NamedTuple):
    """What `train`, `states` and `train_ensemble` take alike; `train` says what each is."""

    n_hidden: int
    n_steps: int
    scale: ArrayLike
    start: Params | State | None
    optimizer: Optimizer
    learning_rate: ArrayLike | None
    loss: Callable
    batch_size: int
    population: bool
    importance: ArrayLike | None
    linear: bool
    snapshots: Sequence[int] | None
    perturb: Attack | None
    radius: ArrayLike
    ramp: int
    mix: ArrayLike

    @property
    def rate(self) -> ArrayLike:
        """The learning rate, 1e-3 by default."""
        return 1e-3 if self.learning_rate is None else self.learning_rate


def begin(
    features: Features,
    densities: jax.Array,
    keys: jax.Array,
    options: Options,
    *,
    data_key: jax.Array | None = None,
    axes: tuple[int, ...] = (),
) -> tuple[Iterator[State], np.ndarray]:
    """The states of all members, (a, r, c), and the steps of the snapshots.

    Args:
        features: as in `train`.
        densities: (a,), or one.
        keys: (c,), or one; each splits into keys for the initial weights, the data and the attack.
        options: as in `train`.
        data_key: of the data that all members see; by default the one from the first key.
        axes: the leading axes of `start`.
    """
    o, resumed = options, isinstance(options.start, State)
    if any(is_traced(leaf) for leaf in jax.tree.leaves((densities, keys, data_key, *o))):
        raise TypeError(
            "training must run on the host, got a call inside of jax.jit, jax.vmap or jax.grad; call it outside, and "
            "train_ensemble for many models in one compilation"
        )
    begun = cast(State, o.start) if resumed else State(cast(Any, o.start), None, 0, np.nan, True)
    setting = _setting(features, o, ndim=int(len(axes) == 3))
    shapes = _shapes(features, o, begun.params, axes)
    leaves, tree = jax.tree.flatten(shapes)
    check_setting(setting, tuple(leaves), tree, o.importance is not None)
    if setting.perturb is not None:
        check_length(setting.perturb, tuple(leaves), tree, float(np.max(np.asarray(o.radius, np.float32))))
    if resumed:
        _check_state(setting, begun.opt_state, shapes)
    wanted = snapshot_steps(o.snapshots, begun.step, o.n_steps)

    single = partial(jnp.asarray, dtype=jnp.float32)
    k_init, k_data, k_attack = _three_each(keys.reshape(-1))
    inputs = Inputs(
        densities.reshape(-1),
        single(o.radius).reshape(-1),
        single(o.ramp),
        single(o.mix),
        single(o.rate),
        None if o.importance is None else single(o.importance),
        k_data[0] if data_key is None else data_key,
        k_attack,
    )
    shape = len(inputs.densities), len(inputs.radii), len(k_init)
    if o.start is None:
        drawn = jax.vmap(lambda key: init(features.n_features, o.n_hidden, key=key, scale=o.scale))(k_init)
        params = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*shape, *leaf.shape[1:])), drawn)
    else:
        params = jax.tree.map(lambda leaf: single(leaf).reshape(*shape, *leaf.shape[len(axes) :]), begun.params)
    if resumed:
        opt_state = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None, None, None], begun.opt_state)
    else:
        opt_state = _optimizer_states(setting.optimizer, inputs.rate, params)
    return _pieces(setting, inputs, begun._replace(params=params, opt_state=opt_state), wanted, o.n_steps), wanted


@jax.jit
def _three_each(keys: jax.Array) -> tuple[jax.Array, ...]:
    """Three keys for each, (members,) every one."""
    return tuple(jax.vmap(partial(jax.random.split, num=3), out_axes=1)(keys))


@partial(jax.jit, static_argnums=0)
def _optimizer_states(optimizer: Any, rate: jax.Array, params: Params) -> Any:
    """What the optimizer keeps of models (a, r, c) before the first step."""
    return jax.vmap(members_of(partial(initial_state, optimizer, rate)))(params)


def _setting(features: Features, o: Options, ndim: int) -> Setting:
    """What decides the program, with a radius of rank `ndim`, once all options are checked but `start`."""
    check_features(features)
    several = "pass one norm, and several, in one axis, to train_ensemble"
    check_real("radius", o.radius, "it is an L2 norm", least=0, ndim=ndim, many=several)
    attacked = np.any(np.asarray(o.radius, np.float32) != 0)
    if o.perturb is None and attacked:
        raise ValueError(f"radius must be 0 without an attack, got {o.radius}; pass perturb as well")
    check_real("mix", o.mix, "it is the share of attacked samples in the loss", least=0, most=1, many=_ONE)
    check_size("ramp", o.ramp, least=0)
    check_real("scale", o.scale, "it is the standard deviation of the initial W, such as 0.01", least=0, many=_ONE)
    if o.importance is not None:
        of_features = f"it is one factor per feature, and there are {features.n_features}"
        check_real("importance", o.importance, of_features, least=0, ndim=1, many=of_features)
        check_array("importance", np.asarray(o.importance, np.float32), (features.n_features,), of_features)
    if not (callable(o.optimizer) or is_ready(o.optimizer)):
        raise TypeError(f"optimizer must make an optax transformation, or be one, got {o.optimizer!r}; try optax.adam")
    if callable(o.learning_rate):
        raise TypeError(
            f"learning_rate must be a number, got {o.learning_rate!r}; pass a schedule inside of a ready-made "
            "optimizer, such as optimizer=optax.adam(schedule), and no learning_rate"
        )
    if is_ready(o.optimizer) and o.learning_rate is not None:
        raise ValueError(
            f"learning_rate must be None beside a ready-made optimizer, which has its own, got {o.learning_rate}; pass "
            "what makes the optimizer, such as optax.adam, and the rate beside it"
        )
    check_real("learning_rate", o.rate, "it is handed to the optimizer", least=0, many=_ONE)
    # Without a norm or a weight an attack is none: the same program then gives the same numbers.
    perturb = comparable(o.perturb) if attacked and np.asarray(o.mix, np.float32) != 0 else None
    optimizer, loss = comparable(o.optimizer), comparable(o.loss)
    batch_size = check_batch(o.batch_size, features.n_uniforms)
    population, linear = check_flag("population", o.population), check_flag("linear", o.linear)
    setting = Setting(features, optimizer, loss, batch_size, population, linear, perturb)
    for name, value in setting._asdict().items():
        check_hashable(name, value)
    return setting


def _shapes(features: Features, o: Options, start: Any, axes: tuple[int, ...]) -> Any:
    """The shapes of one model: what `init` would draw, or one of `start`, which must be finite and have its W and b.

    Another model may have more arrays than these.
    """
    like = jax.eval_shape(lambda: init(features.n_features, o.n_hidden, key=jax.random.key(0), scale=o.scale))
    if start is None:
        return like
    check_params(start, "start", "be a model or a State")
    for name, wanted in like._asdict().items():
        shape = (*axes, *wanted.shape)
        remedy = "it is the model to go on from, of the same sizes"
        check_array(f"{name} of start", getattr(start, name), shape, remedy)
    for value in jax.tree.leaves(start):
        check_finite("start", value, "go on from a model that has not diverged")
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[len(axes) :], jnp.float32), start)


def _check_state(setting: Setting, opt_state: Any, shapes: Any) -> None:
    """Check that `opt_state` is one of this optimizer for a model of these shapes."""
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    wanted = jax.eval_shape(partial(initial_state, setting.optimizer), rate, shapes)
    if described(wanted) != described(opt_state):
        raise ValueError(
            "opt_state of start must be what this optimizer keeps for this model, got "
            f"{jax.tree.structure(opt_state)}; pass the optimizer that made it, or start=state.params"
        )


def _pieces(setting: Setting, inputs: Inputs, begun: State, wanted: np.ndarray, n_steps: int) -> Iterator[State]:
    """Advance from snapshot to snapshot, in pieces short enough for Ctrl-C and a progress bar."""
    parts, axis = split(setting, inputs, begun.params, begun.opt_state)
    step = stop = begun.step
    stops, piece = np.union1d(wanted, n_steps), 1
    with threads(parts) as executor:
        while True:
            began = time.perf_counter()
            advanced = advance_all(executor, setting, parts, step, stop)
            if stop > step:
                speed = (stop - step) / (time.perf_counter() - began)
                piece = max(1, min(4 * piece, int(speed * _SECONDS_BETWEEN_LOOKS)))
            step = stop
            params, opt_state, *seen = joined(advanced, axis)
            yield State(params, opt_state, step, *map(np.asarray, seen))
            if step == n_steps:
                return
            stop = min(int(stops[np.searchsorted(stops, step, side="right")]), step + piece)
            parts = [(own, *new[:2]) for (own, *_), new in zip(parts, advanced, strict=True)]


def collect(
    states: Iterator[State],
    wanted: np.ndarray,
    n_steps: int,
    progress: bool | None,
    *,
    axes: int = 0,
    first: int = 0,
    rate: str = "",
) -> Run:
    """The Run of all states from step `first` on, their arrays with so many leading axes; one that diverges raises."""
    kept: list[State] = []
    state: State | None = None
    with bar(n_steps, "step", progress, initial=first) as shown:
        try:
            for state in states:
                shown.set_postfix_str(summary(state), refresh=False)
                shown.update(state.step - shown.n)
                failed = axes == 0 and not state.finite
                if failed or state.step in wanted:
                    kept.append(_on_host(state))
                if failed:
                    begun = state.step == first
                    raise Diverged(run_of(kept, state, axes), state.step, float(state.loss), rate, at_start=begun)
        except KeyboardInterrupt:
            if state is None:
                raise
            if not kept or kept[-1].step != state.step:
                kept.append(_on_host(state))
            raise Interrupted(run_of(kept, state, axes)) from None
    return run_of(kept, cast(State, state), axes)


def _on_host(state: State) -> State:
    return jax.tree.map(np.asarray, state._replace(opt_state=None))
