"""Rows of a claims table: what the paper says, what was measured, and whether it holds, decided by code."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Claim(NamedTuple):
    """One row.

    Attributes:
        name: of the claim, such as "C2".
        paper: what the paper says.
        criterion: what was measured and when it counts as holding, fixed before measuring.
        measured: the numbers, with sample size and interval.
        holds: the verdict.
    """

    name: str
    paper: str
    criterion: str
    measured: str
    holds: bool


class Table:
    """Claims as a table: HTML in a notebook, plain text elsewhere."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        """Take the rows; ValueError for none, TypeError for a verdict that is not a bool."""
        if not claims:
            raise ValueError("a table needs at least one claim, got none; pass Claim rows")
        for claim in claims:
            if type(claim.holds) is not bool:
                raise TypeError(f"holds must be a bool, got {claim.holds!r} for {claim.name}; wrap it in bool(...)")
        self.rows = [(c.name, c.paper, c.criterion, c.measured, "holds" if c.holds else "fails") for c in claims]

    _HEADER = ("", "the paper says", "criterion, fixed before measuring", "measured", "verdict")

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Sequence[str]) -> str:
            style = ' style="text-align: left; vertical-align: top"'
            return "<tr>" + "".join(f"<{tag}{style}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        return "<table>" + line("th", self._HEADER) + "".join(line("td", row) for row in self.rows) + "</table>"

    def __repr__(self) -> str:
        """One paragraph a claim."""
        return "\n".join(f"{name} {verdict}: {paper} | {c} | {m}" for name, paper, c, m, verdict in self.rows)
