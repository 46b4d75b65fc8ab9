"""Captions of figures: the first paragraph, in italics, of the Markdown cell that follows a figure's code cell.

A caption says what is drawn and what to see. It is the alternative text of the figure's picture, for those who cannot
see it, so it is plain: neither mathematics nor other marks inside. After it stands the link to the live figure, where
the project has a site (addresses.py).
"""

import re

from nbformat import NotebookNode

RULE = "the cell after it must be Markdown and begin with a paragraph *in italics*, without $, * or ` inside"
CAPTION = re.compile(r"\*([^*$`]+)\*(?: \[Live\]\([^)\s]*\))?(?=\n\s*\n|\s*\Z)")
LINK = re.compile(r"(?<=\*) \[Live\]\([^)\s]*\)")


def caption_of(cell: NotebookNode) -> str | None:
    """The caption that a cell begins with, as plain text in one line; None if it begins with something else."""
    found = CAPTION.match(cell.source) if cell.cell_type == "markdown" else None
    return " ".join(found[1].split()) if found else None


def caption(notebook: NotebookNode, cell_id: str) -> str | None:
    """The caption of the figure of a code cell, as plain text in one line; None if no caption follows it."""
    at = next(i for i, cell in enumerate(notebook.cells) if cell.id == cell_id)
    return caption_of(notebook.cells[at + 1]) if at + 1 < len(notebook.cells) else None


def with_link(source: str, address: str) -> str:
    """The source of a cell that begins with a caption, with a link to the live figure after it."""
    end = CAPTION.match(source).end()
    return f"{without_link(source[:end])} [Live]({address}){source[end:]}"


def without_link(source: str) -> str:
    """The source of a cell without the link after its caption; unchanged if there is none."""
    found = CAPTION.match(source)
    return LINK.sub("", source[: found.end()]) + source[found.end() :] if found else source
