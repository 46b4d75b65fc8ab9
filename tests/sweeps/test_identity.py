"""Equal settings have equal descriptions, also after a round trip through JSON, and different ones do not."""

import importlib
import json
import linecache
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylib import attacks, sweeps
from toylib.features import Correlated
from toylib.sweeps import _identity as identity
from toylib.sweeps._grids import Grid


def double(x, *, factor=2):
    return factor * x


def halve(x):
    return x / 2


SAME = [
    (0.1, 0.1),
    (range(3), range(3)),
    ((1, "a"), [1, "a"]),
    (np.arange(3.0), jnp.arange(3.0).astype(jnp.float32).__array__().astype(float)),
    (jax.random.key(3), jax.random.key(3)),
    (Correlated(2, 3), Correlated(n_sets=2, set_size=3)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (double, double),
    (partial(double, factor=2), partial(double, factor=2)),
    (np.ones((100, 2)), np.ones((100, 2))),
]
DIFFERENT = [
    (0.1, 0.2),
    (1, 1.0),
    (1, True),
    (None, "None"),
    (np.float32(1), np.float64(1)),
    (np.zeros((2, 3)), np.zeros((3, 2))),
    (np.ones((100, 2)), np.full((100, 2), 1 + 1e-15)),
    (np.ones(2, complex), np.full(2, 1j)),
    (jax.random.key(3), jax.random.key(4)),
    (Correlated(2, 3), Correlated(3, 2)),
    (double, halve),
    (partial(double, factor=2), partial(double, factor=3)),
    ({"a": 1}, {"a": 1, "b": 1}),
]


@pytest.mark.parametrize(("left", "right", "same"), [(*p, True) for p in SAME] + [(*p, False) for p in DIFFERENT])
def test_settings_are_compared_by_value(left, right, same):
    left, right = ({"x": json.loads(json.dumps(identity.describe("x", value)))} for value in (left, right))
    assert (identity.differences(left, right) == []) == same
    assert (identity.differences(right, left) == []) == same


def test_arrays_of_more_than_sixty_four_entries_stand_as_their_hash():
    few, many = (identity.describe("x", np.arange(number)) for number in (64, 65))
    assert few.keys() == {"dtype", "shape", "values"}
    assert many.keys() == {"dtype", "shape", "sha256"}


def test_a_function_is_named_where_users_import_it_from():
    """So that a file may move within its room, and a store still resumes."""
    assert sweeps.train_points.__module__ == "toylib.sweeps._ensembles"
    assert identity.describe("x", sweeps.train_points)["function"] == "toylib.sweeps.train_points"
    assert identity.describe("x", attacks.pgd)["function"] == "toylib.attacks.pgd"
    assert identity.describe("x", double)["function"] == f"{__name__}.double"


# ---- what a function reaches

OWN = """
import contextlib
import functools
from dataclasses import dataclass

import jax
import numpy as np

import reached_common as common
from reached_common import shift as moved

RATE = 2.0
START = np.arange(3.0)
UNUSED = 1
OPTIONS = {"a": 1}
OPTIONS["b"] = 2
CACHE = {}
WEIGHT = 7.5


def inner(x):
    # how far
    return x + 1


def helper(x):
    return inner(x) * RATE


def unused(x):
    return x - 1


class Base:
    def scale(self):
        return 3 * WEIGHT


@dataclass(frozen=True)
class Design(Base):
    size: int
    gain = 0.5

    def __call__(self, x):
        return self.scale() * x * self.gain


class Plain:
    @staticmethod
    def of(x):
        return x + START[0]


def twice(function):
    @functools.wraps(function)
    def wrapper(x):
        return 2 * function(x)

    return wrapper


@twice
def wrapped(x):
    return x - 4


def slow(x):
    return x / 5


fast = jax.jit(slow)


def times(x, by):
    return by * x


sixfold = functools.partial(times, by=6)


def made(k):
    def scaled(x):
        return k * x

    return scaled


triple = made(3)


@contextlib.contextmanager
def opened(x):
    yield x + 14


ATTACKS = {"one": lambda x: x + 8}


def f(x, offset=RATE, design=Design(9), attack=None):
    \"\"\"What is called.\"\"\"

    def nested(y):
        return helper(y) + common.far(y) + moved(y)

    with opened(x) as x:
        CACHE.setdefault("done", []).append(len(x))
    total = nested(x) + Plain.of(x) + wrapped(x) + fast(x) + sixfold(x) + triple(x) + ATTACKS["one"](x)
    return {"y": total * OPTIONS["a"] + design(x) + offset}


def setting(x):
    return x + 10
"""
COMMON = """
FAR = 11


def far(x):
    return x + FAR


def shift(x):
    return x + 12


def other(x):
    return x
"""


def sweep_of(folder, own=OWN, common=COMMON):
    """The identity of a sweep of f, from modules that are written to the disk and imported anew."""
    for name, text in {"reached_own": own, "reached_common": common}.items():
        (folder / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    own = importlib.import_module("reached_own")
    own.CACHE["done"] = [2]
    fixed = {"offset": 1.0, "attack": partial(own.setting), "design": own.Design(9)}
    return own, json.loads(json.dumps(identity.identity(own.f, Grid.of({"x": [1, 2]}), fixed, strict=True)))


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # its times are too coarse for a test
    yield tmp_path
    for name in ("reached_own", "reached_common"):
        sys.modules.pop(name, None)


def test_what_a_function_reaches_is_named_when_it_changes(modules):
    _, before = sweep_of(modules)
    for old, new, *named in [
        ("x + 1\n", "x + 100", "inner has another text"),
        ("inner(x) * RATE", "inner(x) / RATE", "helper has another text"),
        ("RATE = 2.0", "RATE = 2.5", "RATE was 2.0 and is 2.5", "f.offset was 2.0 and is 2.5"),
        ("arange(3.0)", "ones(3)", "START values was [0.0, 1.0, 2.0] and is [1.0, 1.0, 1.0]"),
        ('["b"] = 2', '["b"] = 3', "OPTIONS has another text"),
        ('{"a": 1}', '{"a": 4}', "OPTIONS has another text"),
        ("WEIGHT = 7.5", "WEIGHT = 7", "WEIGHT was 7.5 and is 7"),
        ("3 * W", "4 * W", "Base has another text", "Base.scale has another text"),
        ("gain = 0.5", "gain = 0.6", "Design has another text", "Design.gain was 0.5 and is 0.6"),
        ("x + START", "x - START", "Plain has another text", "Plain.of has another text"),
        ("2 * function", "3 * function", "wrapped has another text"),
        ("x - 4", "x - 5", "wrapped.function has another text"),
        ("x / 5", "x / 6", "slow has another text"),
        ("jax.jit(slow)", "jax.jit(slow, inline=True)", "fast has another text"),
        ("by=6", "by=7", "sixfold has another text"),
        ("by * x", "x * by", "times has another text"),
        ("made(3)", "made(4)", "triple.k was 3 and is 4"),
        ("k * x", "x * k", "triple has another text"),
        ("x + 8", "x + 9", "<lambda> has another text", "ATTACKS has another text"),
        ("yield x + 14", "yield x + 15", "opened has another text"),
        ("+ offset}", "- offset}", "f has another text"),
        ("x + 10", "x + 13", "setting has another text"),
    ]:
        assert OWN.count(old) == 1, old
        found = identity.changes(before, sweep_of(modules, OWN.replace(old, new))[1])
        assert {"reached_own." + name for name in named} <= {*found}, (old, found)
        assert len(found) <= len(named) + 2
    for old, new, name in [("x + FAR", "x", "far"), ("x + 12", "x + 15", "shift"), ("= 11", "= 12", "FAR")]:
        (first, *_) = identity.changes(before, sweep_of(modules, common=COMMON.replace(old, new))[1])
        assert first.split(" ")[0].rpartition(".")[2] in (name, "moved", "FAR"), first


def test_what_does_not_matter_is_not_compared(modules):
    own, before = sweep_of(modules)
    for old, new in [
        ("# how far", "# how far it is"),
        ("    # how far\n", ""),
        ("return x + 1\n", "return x + 1  # one more\n\n"),
        ("UNUSED = 1", "UNUSED = 2"),
        ("return x - 1", "return x - 2"),
        ("    def nested", "    # inside\n    def nested"),
    ]:
        assert OWN.count(old) == 1, old
        assert identity.changes(before, sweep_of(modules, OWN.replace(old, new))[1]) == []
    assert identity.changes(before, sweep_of(modules, common=COMMON.replace("return x\n", "return -x\n"))[1]) == []
    assert own.CACHE == {"done": [2]}
    assert not [name for name in before["texts"] | before["values"] if not name.startswith("reached_")]


def test_a_store_of_before_is_compared_in_what_it_has(modules):
    _, before = sweep_of(modules)
    stored = {name: part for name, part in before.items() if name not in ("texts", "values")}
    assert identity.changes(stored, sweep_of(modules, OWN.replace("x + 1\n", "x + 2\n"))[1]) == []
    (different,) = identity.changes(stored, sweep_of(modules, OWN.replace("+ offset}", "- offset}"))[1])
    assert different.startswith("function source was ")


def test_lists_of_a_notebook_count_by_their_values(monkeypatch):
    def of(options):
        text = "def f(x):\n    return {'y': x * OPTIONS['a']}\n"
        monkeypatch.setitem(linecache.cache, "<cell>", (len(text), None, text.splitlines(True), "<cell>"))
        scope = {"__name__": "__main__", "OPTIONS": options}
        exec(compile(text, "<cell>", "exec"), scope)
        return identity.identity(scope["f"], Grid.of({"x": [1]}), {}, strict=True)

    assert identity.changes(of({"a": 1}), of({"a": 1})) == []
    assert identity.changes(of({"a": 1}), of({"a": 2})) == ["__main__.OPTIONS a was 1 and is 2"]
    assert identity.changes(of({"a": object()}), of({"a": object()})) == []
