"""Claims: what is said and by whom, the criterion and its date, what was measured, and the verdict."""

import datetime
import tomllib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

CLAIMS = "application/vnd.toylib.claims+json"
"""MIME type of a register in a stored notebook: a list of claims, from which the site makes its page."""

_PAPER, _OTHERS, _OURS = "What the paper says", "What other papers say", "Our own questions"
_HEADINGS = {"paper": _PAPER, "question": _OURS}  # of the sources that are no citations


class Claim(NamedTuple):
    """A criterion that was put to the test.

    Attributes:
        name: such as "C2".
        source: "paper" (Elhage et al. 2022), "question" (our own), or the citation of another paper.
        sentence: what is claimed, in our words.
        criterion: what is measured and when it counts as holding.
        date: of the criterion, as YYYY-MM-DD.
        seen: where the number had been seen before, or "".
        measured: the numbers, with sample size and interval.
        verdict: "holds", "holds within a scope", "fails" or "undecided".
        scope: where it holds, or "".
        cell: id of the notebook's cell that shows it.
    """

    name: str
    source: str
    sentence: str
    criterion: str
    date: str
    seen: str
    measured: str
    verdict: str
    scope: str
    cell: str


class Criterion(NamedTuple):
    """What a claim must show, as criteria.toml has it; the first fields are those of a Claim.

    Attributes:
        superseded: earlier criteria of the same claim, each with its date and the reason for the change.
    """

    name: str
    source: str
    sentence: str
    criterion: str
    date: str
    seen: str = ""
    superseded: tuple[dict[str, str], ...] = ()

    def judge(self, measured: str | Mapping[str, object], holds: bool | None, *, cell: str, scope: str = "") -> Claim:
        """The claim, with what was measured and the verdict.

        Args:
            measured: the numbers, with sample size and interval, as text or as label -> value.
            holds: whether the criterion is met, computed by code; None where the interval or the certificate cannot
                tell.
            cell: id of the cell that shows it.
            scope: where it holds, if it holds not everywhere.

        Raises:
            TypeError: `holds` is neither a bool nor None; nothing measured, or neither text nor a mapping.
            ValueError: a scope of a claim that does not hold.
        """
        if not (holds is None or type(holds) is bool):
            raise TypeError(f"holds must be a bool or None, got {holds!r} for {self.name}; wrap it in bool(...)")
        if not (isinstance(measured, str | Mapping) and measured):
            raise TypeError(
                f"measured must be a text, or label -> value, got {measured!r} for {self.name}; pass an f-string with "
                "the numbers"
            )
        if scope and not holds:
            raise ValueError(f"a scope must come with a claim that holds there, got {scope!r} for {self.name}; drop it")
        if not isinstance(measured, str):
            measured = "; ".join(f"{label}: {value}" for label, value in measured.items())
        verdicts = {True: "holds within a scope" if scope else "holds", False: "fails", None: "undecided"}
        return Claim(*self[:6], measured, verdicts[holds], scope, cell)


def read_criteria(path: str | Path) -> dict[str, Criterion]:
    """Read criteria.toml: a table per claim with source, sentence, criterion, date, and where needed seen, superseded.

    Raises:
        ValueError: a table lacks one of these, has others, or has a value of another type.
    """
    criteria = {}
    for name, table in tomllib.loads(Path(path).read_text(encoding="utf-8")).items():
        table = table if isinstance(table, dict) else {name: table}  # for the message
        wanted = {"source": str, "sentence": str, "criterion": str, "date": datetime.date}
        earlier = table.pop("superseded", ())
        if not all(isinstance(old, dict) for old in (earlier if isinstance(earlier, list | tuple) else [earlier])):
            raise ValueError(f"superseded must be tables, got {earlier!r} for {name}; write [[{name!r}.superseded]]")
        rows = [(table, wanted | {"seen": str} if "seen" in table else wanted)]
        rows += [(old, {"criterion": str, "date": datetime.date, "reason": str}) for old in earlier]
        for row, types in rows:
            if row.keys() != types.keys() or not all(
                type(row[key]) is kind and row[key] for key, kind in types.items()
            ):
                raise ValueError(
                    f"a criterion must have {', '.join(types)}, the date as YYYY-MM-DD and all else as text, got "
                    f"{', '.join(row)} for {name}; mend {path}"
                )
            row["date"] = row["date"].isoformat()
        criteria[name] = Criterion(name, **table, superseded=tuple(earlier))
    return criteria


class Register:
    """Claims as three tables, by who makes them: HTML in a notebook, JSON for the site, plain text elsewhere."""

    def __init__(self, *claims: Claim) -> None:
        """Take the claims; ValueError for none, or for two of one name, TypeError for what is no claim."""
        if odd := [type(claim).__name__ for claim in claims if not isinstance(claim, Claim)]:
            raise TypeError(f"a register must have claims, got {odd[0]}; pass what Criterion.judge returns, one by one")
        names = [claim.name for claim in claims]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a register must have claims of different names, got {names}; judge each criterion once")
        self.claims = claims

    def tables(self) -> dict[str, list[Claim]]:
        """The claims under their headings; those of the paper, of other papers, and our own questions."""
        tables: dict[str, list[Claim]] = {_PAPER: [], _OTHERS: [], _OURS: []}
        for claim in self.claims:
            tables[_HEADINGS.get(claim.source, _OTHERS)].append(claim)
        return {heading: claims for heading, claims in tables.items() if claims}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            CLAIMS: [claim._asdict() for claim in self.claims],
            "text/html": "".join(f"<h4>{name}</h4>{_table(claims)}" for name, claims in self.tables().items()),
            "text/plain": "\n".join(f"{c.name} {c.verdict}: {c.sentence} | {c.measured}" for c in self.claims),
        }


def _table(claims: Sequence[Claim]) -> str:
    rows = [("", "claim", "criterion and its date", "measured", "verdict")]
    for c in claims:
        sentence = c.sentence if c.source in _HEADINGS else f"{c.sentence} ({c.source})"
        criterion = f"{c.criterion} ({c.date}{'; seen before: ' + c.seen if c.seen else ''})"
        rows.append((c.name, sentence, criterion, c.measured, f"holds {c.scope}" if c.scope else c.verdict))
    style = ' style="text-align: left; vertical-align: top"'
    lines = (
        "".join(f"<{tag}{style}>{escape(cell)}</{tag}>" for cell in row)
        for tag, row in zip(("th", *["td"] * len(claims)), rows, strict=True)
    )
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
