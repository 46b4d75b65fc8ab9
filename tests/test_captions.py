"""Captions of figures: what counts as one, its plain text, and the link after it."""

import pytest
from captions import caption, caption_of, with_link, without_link
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

LINKED = "*Bars: what is drawn.* [Live](https://y.org/1_small.html#a)"

GOOD = {
    "*Bars: what is drawn.*": "Bars: what is drawn.",
    "*Bars,\n  two lines.*\n\n**Take away.** More.": "Bars, two lines.",
    "*[Linked](x.html) is no link, ± 2 °.*\n": "[Linked](x.html) is no link, ± 2 °.",
    LINKED: "Bars: what is drawn.",
    LINKED + "\n\n*Not this.*": "Bars: what is drawn.",
}
BAD = [
    "Bars.",
    "**Take away.** Bars.",
    "*Bars* and more.",
    "*Bars and $x$.*",
    "*Bars and `x`.*",
    "*Bars and *more*.*",
    "*Bars.*\nand more",
    "\n*Bars.*",
    "**",
    "* one\n* two",
    "",
]


@pytest.mark.parametrize("source", GOOD)
def test_a_caption_is_the_first_paragraph_in_italics(source):
    assert caption_of(new_markdown_cell(source)) == GOOD[source]
    assert caption_of(new_code_cell(source)) is None


@pytest.mark.parametrize("source", BAD)
def test_anything_else_is_no_caption(source):
    assert caption_of(new_markdown_cell(source)) is None
    assert without_link(source) == source


@pytest.mark.parametrize("source", GOOD)
def test_the_link_after_a_caption_can_be_renewed_and_taken_away(source):
    bare = source.replace(" [Live](https://y.org/1_small.html#a)", "")
    linked = with_link(source, "https://x.org/1_small.html#b")
    assert linked != source
    assert linked.count("[Live](https://x.org/1_small.html#b)") == 1
    assert with_link(linked, "https://x.org/1_small.html#b") == linked
    assert without_link(linked) == without_link(source) == bare
    assert with_link(linked, "y#c") == with_link(source, "y#c")
    for each in (linked, bare):
        assert caption_of(new_markdown_cell(each)) == GOOD[source]


def test_the_caption_of_a_cell_is_in_the_next_one():
    cells = [new_code_cell("1"), new_markdown_cell("*Bars.*"), new_code_cell("2"), new_code_cell("3")]
    notebook = new_notebook(cells=cells)
    assert [caption(notebook, cells[i].id) for i in (0, 2, 3)] == ["Bars.", None, None]
