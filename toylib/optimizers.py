"""An optax optimiser as a static shape plus its learning rates, so that one compilation serves every learning rate.

An optax optimiser is a pair of closures. Two calls of `optax.adam` give different objects, and a loop compiled for the
one would be compiled again for the other, although they may differ in one number only. `Static` describes the closures
by their code and by what they close over, except for the step sizes of `optax.scale`, through which optax applies a
constant learning rate: those are taken out and become an argument. Schedules, and optimisers that close over what
cannot be compared by value, work too; another such object is compiled anew.
"""

from collections.abc import Callable, Sequence
from types import CellType, FunctionType
from typing import Any

import jax
import optax

_SCALE = optax.scale(1.0).update.__code__
_Build = Callable[[Sequence[Any]], Any]


class Static:
    """An optax optimiser, equal to any other that differs from it in the learning rates only.

    Attributes:
        rates: the step sizes taken out, in order; for a descent optimiser minus the learning rate.

    Raises:
        TypeError: `optimizer` is not an optax GradientTransformation.
    """

    def __init__(self, optimizer: optax.GradientTransformation) -> None:
        """Take `optimizer` apart."""
        if not (isinstance(optimizer, tuple) and callable(getattr(optimizer, "update", None))):
            raise TypeError(
                f"optimizer must be an optax GradientTransformation, got {optimizer!r}; try optax.adam(1e-3)"
            )
        self._optimizer = optimizer
        self.rates: list[Any] = []
        init, _ = _split(optimizer.init, [], ())
        update, self._build = _split(optimizer.update, self.rates, ())
        self._shape = (init, update)

    def __eq__(self, other: object) -> bool:
        """Whether both compile to the same program."""
        return isinstance(other, Static) and self._shape == other._shape

    def __hash__(self) -> int:
        """Hash of the shape."""
        return hash(self._shape)

    def build(self, rates: Sequence[Any]) -> optax.GradientTransformation:
        """The optimiser with these step sizes, traced or not, in place of its own."""
        return optax.GradientTransformation(self._optimizer.init, self._build(rates))

    @property
    def learning_rate(self) -> str:
        """The learning rate in words, for messages."""
        return ", ".join(f"{-float(rate):g}" for rate in self.rates) or "a schedule"


def _split(value: Any, rates: list[Any], inside: tuple[int, ...]) -> tuple[Any, _Build]:
    """A hashable description of `value` without its learning rates, which go to `rates`, and a function of new ones.

    `inside` holds the ids of the objects around `value`, since a function may close over itself.
    """
    before = len(rates)
    if id(value) in inside:
        return ("recursion", inside[::-1].index(id(value))), lambda new: value
    inside = (*inside, id(value))
    if isinstance(value, FunctionType):
        closure = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = [
            _take(content, rates) if _is_rate(value, name, content) else _split(content, rates, inside)
            for name, content in zip(value.__code__.co_freevars, closure, strict=True)
        ]
        defaults, _ = _split([value.__defaults__, sorted((value.__kwdefaults__ or {}).items())], [], inside)

        def build(new: Sequence[Any]) -> FunctionType:
            cells = tuple(CellType(part(new)) for _, part in parts)
            copy = FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
            copy.__kwdefaults__ = value.__kwdefaults__
            return copy

        description = (value.__code__, defaults, *(part for part, _ in parts))
    elif isinstance(value, tuple | list):
        parts = [_split(item, rates, inside) for item in value]
        description = (type(value), *(part for part, _ in parts))

        def build(new: Sequence[Any]) -> Any:
            items = [part(new) for _, part in parts]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    else:
        return _by_value(value), lambda new: value
    return description, build if len(rates) > before else lambda new: value


def _is_rate(function: FunctionType, name: str, value: Any) -> bool:
    return function.__code__ is _SCALE and name == "step_size" and isinstance(value, float | int | jax.Array)


def _take(value: Any, rates: list[Any]) -> tuple[Any, _Build]:
    position = len(rates)
    rates.append(value)
    return "learning rate", lambda new: new[position]


def _by_value(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return type(value), id(value)
    return type(value), value
