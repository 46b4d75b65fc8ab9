"""Blocks tile a grid in order and are products; products are recognised."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toylib.sweeps import product
from toylib.sweeps._grids import Grid


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 70), st.booleans())
def test_blocks_are_products_that_follow_each_other(lengths, limit, even):
    names = "abcd"[: len(lengths)]
    grid = Grid.of({name: range(10 * i, 10 * i + n) for i, (name, n) in enumerate(zip(names, lengths, strict=True))})
    blocks = grid.blocks(grid.block(limit, even=even))
    seen = []
    for block in blocks:
        columns = grid.columns(block)
        batch = list(zip(*(columns[name].tolist() for name in names), strict=True))
        assert 1 <= len(batch) <= limit
        assert [grid.label(block, i) for i in range(len(batch))] == [dict(zip(names, p, strict=True)) for p in batch]
        assert list(itertools.product(*(axis.tolist() for axis in product(**columns).values()))) == batch
        seen += batch
    assert seen == list(itertools.product(*(grid.axes[name].tolist() for name in names)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 100))
def test_blocks_are_as_large_as_they_may(lengths, limit):
    shape = Grid.of({f"a{i}": range(n) for i, n in enumerate(lengths)}).block(limit)
    cut = max((i for i, k in enumerate(shape) if k < lengths[i]), default=None)
    assert np.prod(shape) <= limit
    assert cut is None or np.prod(shape) // shape[cut] * (shape[cut] + 1) > limit


@pytest.mark.parametrize(
    ("limit", "even", "uneven"), [(9, 6, 9), (6, 6, 6), (5, 4, 5), (4, 4, 4), (12, 12, 12), (99, 12, 12)]
)
def test_an_even_block_divides_its_axis(limit, even, uneven):
    grid = Grid.of({"a": range(2), "b": range(12)})
    assert grid.block(limit, even=True)[1] == even
    assert grid.block(limit)[1] == uneven


def test_an_even_block_is_more_than_half_of_the_largest():
    """Of 13, a prime, 1 alone would divide; 7 points at a time take two calls as 12 do."""
    assert Grid.of({"a": range(13)}).block(12, even=True) == (12,)


def test_product_takes_a_batch_apart():
    axes = product(name=np.array(["b", "b", "a", "a"]), seed=np.array([3, 1, 3, 1]))
    assert {name: axis.tolist() for name, axis in axes.items()} == {"name": ["b", "a"], "seed": [3, 1]}


@pytest.mark.parametrize(
    "columns", [{"a": [0, 1, 0, 1], "b": [0, 0, 1, 1]}, {"a": [0, 1, 1]}, {"a": [0, 1], "b": [0, 1]}]
)
def test_product_refuses_what_is_none(columns):
    with pytest.raises(ValueError, match=r"must be the product of .* name all axes of the grid, in the grid's order"):
        product(**{name: np.array(column) for name, column in columns.items()})
