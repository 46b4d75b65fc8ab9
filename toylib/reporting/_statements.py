"""The paper, sentence by sentence: what it says, the claims that test it, and what would change our mind."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from toylib.reporting._claims import CLAIMS, Claim


class Statement(NamedTuple):
    """A sentence of the paper, and what it rests on.

    Attributes:
        section: of the paper.
        says: what it says, in our words.
        claims: names of the claims that test it; the first one decides, the others qualify it.
        mind: what would change our mind.
    """

    section: str
    says: str
    claims: tuple[str, ...]
    mind: str


class Found(NamedTuple):
    """A claim and where it is.

    Attributes:
        claim: with its verdict.
        notebook: the notebook's name, without its ending; "" for the one that shows this.
    """

    claim: Claim
    notebook: str


def claims_in(notebook: Mapping[str, Any]) -> list[Claim]:
    """The claims in a stored notebook, in its order.

    Args:
        notebook: as nbformat or json reads it.
    """
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return [Claim(**row) for output in outputs for row in output.get("data", {}).get(CLAIMS, ())]


def stored_claims(folder: str | Path, *, without: str = "") -> dict[str, Found]:
    """The claims that the notebooks of a folder have stored, by name.

    Args:
        folder: with the notebooks.
        without: the name, without its ending, of a notebook to leave out, such as the one that asks.

    Raises:
        ValueError: the folder has no claims, or two of one name, or no notebook to leave out.
    """
    if without and not (Path(folder) / f"{without}.ipynb").exists():
        raise ValueError(f"without must name a notebook of {folder}, got {without!r}; leave out its ending")
    found: dict[str, Found] = {}
    for path in sorted(Path(folder).glob("*.ipynb")):
        if path.stem != without:
            for claim in claims_in(json.loads(path.read_text(encoding="utf-8"))):
                if claim.name in found:
                    raise ValueError(
                        f"claims must have different names, got {claim.name} in {found[claim.name].notebook} and "
                        f"{path.stem}; rename one"
                    )
                found[claim.name] = Found(claim, path.stem)
    if not found:
        raise ValueError(f"a notebook in {folder} must have stored claims, got none; run `make notebooks`")
    return found


def read_statements(path: str | Path) -> list[Statement]:
    """Read paper.toml: a list [[statement]] of tables with section, says, claims and mind.

    Raises:
        ValueError: there is no such list; a table lacks one of these, has others, or has a value of another type.
    """
    statements, rows = [], tomllib.loads(Path(path).read_text(encoding="utf-8")).get("statement")
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise ValueError(f"there must be tables [[statement]], got {rows!r}; mend {path}")
    for row in rows:
        texts = [row.get(name) for name in ("section", "says", "mind")]
        claims = row.get("claims")
        listed = isinstance(claims, list) and claims and all(isinstance(name, str) for name in claims)
        if row.keys() != set(Statement._fields) or not listed or not all(isinstance(t, str) and t for t in texts):
            raise ValueError(
                f"a statement must have {', '.join(Statement._fields)}, claims as a list of names and all else as "
                f"text, got {', '.join(row)} for {row.get('says')!r}; mend {path}"
            )
        statements.append(Statement(**row | {"claims": tuple(claims)}))
    return statements


class Account:
    """Statements with the verdicts of their claims: a table for each section, and plain text."""

    def __init__(self, statements: Sequence[Statement], claims: Mapping[str, Found]) -> None:
        """Take statements and claims.

        Raises:
            ValueError: no statement, or one that rests on no claim or on one that is not there.
            TypeError: a claim without its notebook.
        """
        statements = tuple(statements)
        if not statements or not all(statement.claims for statement in statements):
            raise ValueError(
                f"an account must have statements that rest on claims, got {len(statements)} statements; read them "
                "with read_statements"
            )
        if odd := [type(found).__name__ for found in claims.values() if not isinstance(found, Found)]:
            raise TypeError(f"claims must be Found, got {odd[0]}; take stored_claims, or Found(claim, notebook)")
        if missing := [name for statement in statements for name in statement.claims if name not in claims]:
            raise ValueError(
                f"a statement must rest on claims that are there, got {', '.join(missing)}; name claims of a register"
            )
        self.statements, self.claims = statements, dict(claims)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        sections: dict[str, list[Statement]] = {}
        for statement in self.statements:
            sections.setdefault(statement.section, []).append(statement)
        html = "".join(f"<h4>{escape(name)}</h4>{self._table(some)}" for name, some in sections.items())
        return {"text/html": html, "text/plain": "\n".join(map(self._line, self.statements))}

    def _line(self, statement: Statement) -> str:
        first, *others = (self.claims[name].claim for name in statement.claims)
        also = "".join(f"; {claim.name} {claim.verdict}" for claim in others)
        return f"{statement.says}: {first.verdict} ({first.name}{also}) | {first.measured} | {statement.mind}"

    def _table(self, statements: Sequence[Statement]) -> str:
        rows = [
            _row("th", *map(escape, ("the paper, in our words", "verdict", "measured", "what would change our mind")))
        ]
        for statement in statements:
            first, *others = (self.claims[name] for name in statement.claims)
            also = "".join(
                f"; {_link(found)} {found.claim.verdict}: {escape(found.claim.sentence)}" for found in others
            )
            measured = f"{_link(first)}: {escape(first.claim.measured)}"
            verdict = f"holds {first.claim.scope}" if first.claim.scope else first.claim.verdict
            rows.append(_row("td", escape(statement.says), escape(verdict), measured + also, escape(statement.mind)))
        return f"<table>{''.join(rows)}</table>"


def _row(tag: str, *cells: str) -> str:
    style = ' style="text-align: left; vertical-align: top"'
    return "<tr>" + "".join(f"<{tag}{style}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _link(found: Found) -> str:
    page = f"{found.notebook}.ipynb" * bool(found.notebook)
    return f'<a href="{page}#{found.claim.cell}">{escape(found.claim.name)}</a>'
