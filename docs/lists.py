"""What the site lists, derived: cards of the notebooks, the register of their claims, the reference of the library."""

import importlib
import re
from collections.abc import Mapping
from types import ModuleType

from compare import PLOTLY
from nbformat import NotebookNode

import toylib
from toylib.figures.style import WIDTH
from toylib.reporting import Criterion, Register, claims_in

_HEADER = ("", "claim", "criterion and its date", "measured", "verdict")


THUMBNAILS = {
    "0_start_here": ("code-sparsity", 185, 58, 375),
    "1_data_generation": ("code-partly", 236, 70, 174),
    "2_training_dynamics": ("code-1a30c9b9", 502, 76, 180),
    "3_adversarial_attacks": ("code-e5b5a86d", 220, 40, 308),
    "4_adversarial_training": ("code-22", 232, 93, 116),
    "5_routes_to_the_octahedron": ("code-stories-figure", 180, 76, 150),
    "6_conjectures": ("transfer-matrix", 60, 55, 420),
}
"""What a card shows of a notebook: the cell of a stored picture, and from it a square: left, top and side in pixels.

Of a notebook that is not here, a card shows the first picture, from below its title.
"""


def cards(notebooks: Mapping[str, NotebookNode], readme: str) -> str:
    """A picture, a link and a line per notebook; the line is the one that README.md has for it.

    Raises:
        ValueError: README.md has none.
    """
    lines = []
    for name, notebook in notebooks.items():
        row = re.search(rf"^\| \[{name}\.ipynb\]\(\S*\) \| (.*?) \|", readme, re.MULTILINE)
        if row is None:
            raise ValueError(f"README.md must list every notebook, got none of the name {name}.ipynb; add its row")
        lines += [f"- {thumbnail(name, notebook)}", f"  []({name}.ipynb)", "", f"  {row[1]}.", ""]
    return "\n".join([":::{container} cards", *lines, ":::", ""])


def thumbnail(name: str, notebook: NotebookNode) -> str:
    """Markdown of the picture on a card, a blank line behind it; it only decorates. Empty if there is no figure."""
    heights = {
        cell.id: output.data[PLOTLY]["layout"].get("height", 450)
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if PLOTLY in output.get("data", ())
    }
    if not heights:
        return ""
    cell, left, top, side = THUMBNAILS.get(name) or (next(iter(heights)), 0, 50, min(heights.values()) - 50)
    place = f"{left / (WIDTH - side):.1%} {top / (heights[cell] - side):.1%}"
    style = f"background: url(_static/{name}/{cell}.png) {place} / {WIDTH / side:.1%}"
    return f'<div class="thumbnail" style="{style}"></div>\n'


def claims(notebooks: Mapping[str, NotebookNode]) -> dict[str, str]:
    """The stored claims of all notebooks -> the notebook of each."""
    return {claim: name for name, notebook in notebooks.items() for claim in claims_in(notebook)}


def register(notebooks: Mapping[str, NotebookNode], criteria: Mapping[str, Criterion]) -> str:
    """The page of all claims, in a table each for the paper's, other papers' and ours; earlier criteria below.

    Raises:
        ValueError: a claim whose criterion is not that of the file, or whose cell is not there.
    """
    found = claims(notebooks)
    for claim, name in found.items():
        if (*claim[:6],) != criteria[claim.name][:6] if claim.name in criteria else True:
            raise ValueError(f"{claim.name} of {name}.ipynb must have the criterion of criteria.toml; store it again")
        if claim.cell not in {cell.id for cell in notebooks[name].cells}:
            raise ValueError(f"{claim.name} of {name}.ipynb must name one of its cells, got {claim.cell}; mend it")
    parts = ["# Claims", "", _ABOUT, ""]
    for heading, some in Register(*found).tables().items():
        rows = [
            (
                c.name,
                c.sentence if c.source in ("paper", "question") else f"{c.sentence} ({c.source})",
                f"{c.criterion} ({c.date})" + (f"; seen before: {c.seen}" if c.seen else ""),
                f'{_plain(c.measured)} (<a href="{found[c]}.html#{c.cell}">cell</a>)',
                f"holds {c.scope}" if c.scope else c.verdict,
            )
            for c in some
        ]
        parts += [f"## {heading}", "", *table(_HEADER, rows), ""]
    waiting = [
        (c.name, c.sentence, f"{c.criterion} ({c.date})")
        for c in criteria.values()
        if c.name not in {claim.name for claim in found}
    ]
    earlier = [
        (c.name, f"{old['criterion']} ({old['date']})", old["reason"])
        for c in criteria.values()
        for old in c.superseded
    ]
    if waiting:
        parts += ["## Fixed, not measured yet", "", *table(("", "claim", "criterion"), waiting), ""]
    if earlier:
        parts += ["## Criteria that were changed", "", *table(("", "earlier criterion", "why it went"), earlier), ""]
    return "\n".join(parts)


_ABOUT = (
    "What is said, by whom, what was measured, and whether it holds. Verdicts are decided by code, with criteria that "
    "are kept in `notebooks/results/criteria.toml`; brackets hold 95 % intervals. A claim holds, holds within a stated "
    "scope, fails, or is undecided, where the interval or the certificate cannot tell. "
    "[How the numbers are made](numbers.md) says more, and how to reproduce one."
)


def reference() -> dict[str, str]:
    """The pages of the reference: one per room of the library, with all that its face offers, and their list."""
    rooms = {name: importlib.import_module(f"toylib.{name}") for name in toylib.__all__}
    pages = {f"api/{name}.md": _room(room) for name, room in rooms.items()}
    listed = [f"   {room.__name__}" for room in rooms.values()]
    pages["api.md"] = "\n".join(
        [
            "# API reference",
            "",
            "Functions take one model, `jax.vmap` does the rest; `S` is the probability that a gate is off, and shapes",
            "stand with every argument.",
            "",
            *("```{eval-rst}", ".. autosummary::", "", *listed, "```", ""),
            *("```{toctree}", ":hidden:", "", *(f"api/{name}" for name in rooms), "```", ""),
        ]
    )
    return pages


def _room(room: ModuleType) -> str:
    """The page of a room, and of the modules that its face offers."""
    own = [getattr(room, name) for name in getattr(room, "__all__", ())]
    modules = [room, *(module for module in own if isinstance(module, ModuleType))]
    lines = [f"# `{room.__name__}`", ""]
    for module in modules:
        lines += [f"## `{module.__name__}`", ""] * (module is not room)
        lines += [
            "```{eval-rst}",
            f".. automodule:: {module.__name__}",
            "   :members:",
            "   :special-members: __call__",
            "```",
            "",
        ]
    return "\n".join(lines)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """The lines of a table in Markdown; only a cell that holds a link is Markdown already."""
    lines = [
        header,
        ("---",) * len(header),
        *(tuple(cell if "<a " in cell else _plain(cell) for cell in r) for r in rows),
    ]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)
