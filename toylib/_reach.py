"""What a function reaches in one's own modules: helpers, classes and globals, found in its compiled code.

So one can tell whether stored results are of the same function. A text counts without its comments and blank lines. A
global counts by its value where that does not change in place; a list, a dict or another object counts by the
statements of its module that make it, so that a cache may fill.
"""

import ast
import dataclasses
import dis
import functools
import hashlib
import inspect
import io
import linecache
import sys
import sysconfig
import textwrap
import tokenize
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

_DATA = (type(None), bool, int, float, str, range, np.ndarray, np.generic, jax.Array)

_ITS_OWN = (list, Mapping, functools.partial)  # which count by their value in a notebook, whose text is not there


class _Named(NamedTuple):
    """A value, how it is named, and the globals of the module in which it has that name; none for a part."""

    label: str
    value: Any
    scope: Mapping[str, Any] | None


def name_of(function: Any) -> str:
    """The name of a function or class where users import it from, so that a file may move within its package."""
    return f"{_public(str(function.__module__))}.{function.__qualname__}"


def _public(module: str) -> str:
    return ".".join(takewhile(lambda part: not part.startswith("_") or part == "__main__", module.split(".")))


def reached(
    function: Callable, settings: Mapping[str, Any], versioned: Collection[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """What a function and its settings reach in modules that are not installed, and in that of the function.

    Args:
        function: where to begin; a functools.partial or what wraps a function will do.
        settings: its arguments; functions among them and the classes of dataclasses are followed too.
        versioned: packages whose version stands for all that is in them.

    Returns:
        module.name -> hash of the text of a function or class, or of the statements that make a global.
        module.name -> value of a global, a default or an enclosed variable that does not change in place.
    """
    first = function
    while isinstance(first, functools.partial):
        first = first.func
    home = getattr(inspect.unwrap(first), "__module__", "")
    own = functools.partial(_is_own, home=home, versioned=versioned)
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    seen: dict[Any, Any] = {}  # holds on to the values, whose ids would be used again
    waiting = deque([_Named("", function, None), *(_Named(name, settings[name], None) for name in sorted(settings))])
    while waiting:
        label, value, scope = waiting.popleft()
        is_code = isinstance(value, FunctionType | type)
        key = id(value) if is_code else (label, id(value))
        if key in seen:
            continue
        seen[key] = value
        if is_code:
            if not own(value):  # which may wrap what is
                waiting += (_Named(label, part, None) for part in _enclosed(value).values() if callable(part))
            elif text := _text_of(value):
                label = label if scope else name_of(value)
                texts[label] = _hash(texts.get(label, "") + text)  # two lambdas may have one name
                waiting += _in_class(label, value) if isinstance(value, type) else _in_function(label, value, own)
            continue
        waiting += _parts(label, value)
        if scope and (_is_data(value) or ("__file__" not in scope and isinstance(value, _ITS_OWN))):
            values[label] = value
        elif scope and (statements := _statements(scope, label.rpartition(".")[2])):
            texts[label] = _hash("\n".join(statements))
            trees = map(ast.parse, statements)
            names = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
            waiting += _globals(names, scope)
    return dict(sorted(texts.items())), dict(sorted(values.items()))


def _is_own(value: Any, home: str, versioned: Collection[str]) -> bool:
    """Whether the text of a function, a class or a module counts; of what is installed the version would tell."""
    scope = value.__globals__ if isinstance(value, FunctionType) else {}
    module = str(scope.get("__name__") or getattr(value, "__module__", None) or value.__name__)
    if module.partition(".")[0] in versioned:
        return False
    if module in (home, "__main__"):
        return True
    file = (scope or _scope_of(module)).get("__file__")
    path, library = Path(file or sysconfig.__file__), sysconfig.get_path("stdlib")
    return not (path.is_relative_to(library) or {"site-packages", "dist-packages"} & {*path.parts})


def _scope_of(module: str) -> Mapping[str, Any]:
    """The globals of a module that is loaded."""
    return getattr(sys.modules.get(module), "__dict__", {})


def _globals(names: Collection[str], scope: Mapping[str, Any]) -> list[_Named]:
    module = _public(str(scope.get("__name__")))
    return [_Named(f"{module}.{name}", scope[name], scope) for name in sorted({*names} & {*scope})]


def _in_function(label: str, function: FunctionType, own: Callable[[Any], bool]) -> Iterator[_Named]:
    """The globals that a function reads, those of modules included, what it encloses, and its defaults."""
    scope, (names, attributes) = function.__globals__, _names(function.__code__)
    direct = _globals(names, scope)
    yield from direct
    modules = [named.value for named in direct if isinstance(named.value, ModuleType)]
    for module in modules:  # which grows by those of packages
        if own(module):
            within = _globals(attributes, vars(module))
            yield from within
            modules += [n.value for n in within if isinstance(n.value, ModuleType) and n.value not in modules]
    yield from (_Named(f"{label}.{name}", value, scope) for name, value in _enclosed(function).items())
    positional = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = dict(zip(reversed(positional), reversed(function.__defaults__ or ()), strict=False))
    for name, value in sorted((defaults | (function.__kwdefaults__ or {})).items()):
        yield _Named(f"{label}.{name}", value, scope)


def _enclosed(function: Any) -> dict[str, Any]:
    """The enclosed variables of a function; a class has none."""
    found: dict[str, Any] = {}
    if isinstance(function, FunctionType):
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # it is empty
                found[name] = cell.cell_contents
    return found


def _in_class(label: str, cls: type) -> Iterator[_Named]:
    """The bases of a class, its methods, and other attributes."""
    yield from (_Named("", base, None) for base in cls.__bases__)
    scope = _scope_of(cls.__module__)
    for name, value in vars(cls).items():
        for inner in ("__func__", "fget", "func"):  # of class and static methods, properties, cached properties
            value = getattr(value, inner, value)
        if not name.startswith("__") or (isinstance(value, FunctionType) and not name.startswith("__annotate")):
            yield _Named(f"{label}.{name}", value, scope)


def _names(code: CodeType) -> tuple[set[str], set[str]]:
    """The globals that code reads, and all names in it, attributes among them; functions in it included."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    attributes = {*code.co_names}
    for inner in (constant for constant in code.co_consts if isinstance(constant, CodeType)):
        more, others = _names(inner)
        names, attributes = names | more, attributes | others
    return names, attributes


def _parts(label: str, value: Any) -> Iterator[_Named]:
    """What is called through a value that is neither function nor class."""
    if isinstance(value, functools.partial):
        parts = (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, MethodType):
        parts = (value.__func__, value.__self__)
    elif isinstance(value, list | tuple | Mapping):
        parts = value.values() if isinstance(value, Mapping) else value
    elif dataclasses.is_dataclass(value):
        parts = (type(value), *(getattr(value, field.name) for field in dataclasses.fields(value)))
    else:
        parts = (value.__wrapped__,) if callable(value) and hasattr(value, "__wrapped__") else ()
    return (_Named(label, part, None) for part in parts if not isinstance(part, _DATA))


def _is_data(value: Any) -> bool:
    """Whether a value is numbers or text that nothing changes in place."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(_is_data(getattr(value, field.name)) for field in dataclasses.fields(value))
    return all(map(_is_data, value)) if isinstance(value, tuple) else isinstance(value, _DATA)


def _text_of(value: Any) -> str:
    """The text of a function or class, without comments; empty where there is none."""
    if isinstance(value, type):
        with suppress(OSError, TypeError):
            return _without_comments(textwrap.dedent(inspect.getsource(value)))
        return value.__qualname__  # of a notebook: its methods have a text
    lines = _lines(value.__code__.co_filename, value.__globals__)[value.__code__.co_firstlineno - 1 :]
    return _without_comments(textwrap.dedent("".join(inspect.getblock(lines)))) if lines else ""


def _lines(file: str, scope: Mapping[str, Any]) -> list[str]:
    """The lines of a file as it is now, or of a cell."""
    linecache.checkcache(file)
    return linecache.getlines(file, dict(scope))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _without_comments(text: str) -> str:
    """Text without comments and blank lines."""
    lines: list[str | None] = [*text.splitlines()]
    with suppress(tokenize.TokenError, SyntaxError):  # of a lambda there may be half a statement
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            row, column = token.start[0] - 1, token.start[1]
            if token.type == tokenize.COMMENT:
                lines[row] = token.line[:column].rstrip()
            elif token.type == tokenize.NL and not (lines[row] or "").strip():
                lines[row] = None
    return "\n".join(line for line in lines if line is not None)


def _statements(scope: Mapping[str, Any], name: str) -> list[str]:
    """The texts of the statements of a module that make a global or change it: X = ..., X["a"] = ..., X.append(...)."""
    text = "".join(_lines(scope.get("__file__") or "", scope))
    try:
        statements = _parsed(text).body
    except (SyntaxError, ValueError):
        return []
    found = (ast.get_source_segment(text, statement) for statement in statements if _makes(statement, name))
    return [_without_comments(segment) for segment in found if segment]


_parsed = functools.lru_cache(maxsize=8)(ast.parse)


def _makes(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return _root(statement.value.func) == name
    return any(_root(node) == name for node in ast.walk(statement) if isinstance(getattr(node, "ctx", None), ast.Store))


def _root(node: ast.AST) -> str:
    """X of X.a["b"].c."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
