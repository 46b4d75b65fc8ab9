"""Printed lines with intervals, such as `p = 0.10: reaches PCA 91/96 = 0.95 [0.88, 0.98]`, become tables.

A *value* is a number, with its count before it, its interval in brackets behind it and a remark in parentheses after
that, where they are printed: `91/96 = 0.95 [0.88, 0.98] (8/8)`. A number without an interval is one only where a comma,
a semicolon, a colon, two spaces or the end of the line follow. Consecutive lines are the rows of one table if each
holds an interval, and if all can be cut so that they differ, behind the cut, in their values only: at a column that
spaces pad to, or behind a comma, a semicolon or a colon, or where the line begins; or, of three lines and more, where
the value begins. Where one or two indented lines stand below each line, they belong to its row.

What stands before the cut heads its row, and the words before a value head its column; a number that is the same in all
lines, with a colon behind it, is one of them, and a line of titles heads values without words. So a row says what its
line said, in the same order: nothing is left out but spaces and punctuation. All other lines stay as they were printed.
"""

import html
import re
from collections.abc import Sequence
from functools import partial
from itertools import groupby, product
from typing import NamedTuple

_END = r"(?:[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?[%°×]?|never)"
_INTERVAL = rf" \[{_END}, {_END}\]"
_REMARK = r"(?: \([^()]*\))?"
_LONGEST = 50  # characters that head a row that was printed in several lines; a longer one reads better as a line
_VALUE = re.compile(
    rf"(?<![\w.,/(\[+-])(?<!\d and )(?:\d+/\d+ = )?{_END}"
    rf"(?:{_INTERVAL}{_REMARK}(?=[,;:\s]|$)|{_REMARK}(?=[,;:](?:\s|$)|\s\s|\s*$))"
)


class _Row(NamedTuple):
    """A line, cut: what heads the row, its values, and what is said before each of them and behind the last."""

    head: str
    values: tuple[str, ...]
    words: tuple[str, ...]


def parts(text: str) -> list[tuple[str, str]]:
    """Cut printed text into what stays, ("text", its lines), and what becomes a table, ("table", HTML), in order."""
    found: list[tuple[str, str]] = []
    for run in (run for lines in _joined(text.split("\n")) for run in _runs(lines)):
        rows = _rows(run)
        if rows is None:
            found += [("text", line) for line in run]
            continue
        labels, columns = _columns(rows)
        titles = re.split(r"\s{2,}", found[-1][1].strip()) if found and found[-1][1].startswith("  ") else []
        if not any(labels) and len(titles) == len(labels):
            labels = titles
            found.pop()
        found.append(("table", _table([row.head for row in rows], labels, columns)))
    joined: list[tuple[str, str]] = []
    for kind, part in found:
        if kind == "text" and joined and joined[-1][0] == "text":
            joined[-1] = ("text", f"{joined[-1][1]}\n{part}")
        else:
            joined.append((kind, part))
    return [(kind, part.strip("\n")) for kind, part in joined if part.strip()]


def _joined(lines: Sequence[str]) -> list[list[str]]:
    """Lines in runs, those with indented ones below them joined with these where that makes them rows of a table."""
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("  ") and line.strip() and blocks and blocks[-1][0].strip():
            blocks[-1].append(line)
        else:
            blocks.append([line])
    found: list[list[str]] = [[]]
    for has_more, some in groupby(blocks, key=lambda block: len(block) > 1):
        run = list(some)
        joined = ["; ".join(line.strip().rstrip(";,") for line in block) for block in run]
        # More than two lines below each are tables themselves.
        rows = _rows(joined) if has_more and {*map(len, run)} == {len(run[0])} and len(run[0]) <= 3 else None
        if rows and max(len(row.head) for row in rows) <= _LONGEST:
            found += [joined, []]
        else:
            found[-1] += [line for block in run for line in block]
    return found


def _runs(lines: Sequence[str]) -> list[list[str]]:
    """Consecutive lines that say the same between their intervals, or where this is no table, behind them too."""
    runs = []
    for _, some in groupby(lines, key=_said):
        run = list(some)
        runs += [run] if _rows(run) else [list(alike) for _, alike in groupby(run, key=partial(_said, whole=False))]
    return runs


def _first(line: str) -> int:
    """Where the first value with an interval begins; -1 if there is none."""
    return next((value.start() for value in _VALUE.finditer(line) if " [" in value[0]), -1)


def _cut(line: str, at: int, *, whole: bool = False) -> _Row:
    """Cut a line at a position; `whole` takes what is behind its last interval for one value."""
    values = list(_VALUE.finditer(line, at))
    if whole:
        values = values[: 1 + max(i for i, value in enumerate(values) if " [" in value[0])]
    starts, ends = [at, *(value.end() for value in values)], [*(value.start() for value in values), len(line)]
    words = tuple(_words(line[start:end]) for start, end in zip(starts, ends, strict=True))
    told = tuple(value[0] for value in values)
    if whole:
        told, words = (*told, words[-1]), (*words[:-1], "", "")
    return _Row(_words(line[:at]), told, words)


def _words(text: str) -> str:
    """Text without the spaces and the punctuation at its ends; a colon that it begins with stays."""
    return re.sub(r"\s+", " ", text).rstrip(" ,;:").lstrip(" ,;") or ":" * text.startswith(":")


def _said(line: str, *, whole: bool = True) -> tuple[str, ...] | None:
    """What a line says from its first interval on, without the values; None if it has no interval."""
    first = _first(line)
    return _cut(line, first, whole=whole).words if first >= 0 else None


def _rows(lines: Sequence[str]) -> list[_Row] | None:
    """Cut lines where all say the same behind it: at a padded column, else as far to the left as can be."""
    if len(lines) < 2 or _first(lines[0]) < 0:
        return None
    firsts = [_first(line) for line in lines]
    before = [line[:first] for line, first in zip(lines, firsts, strict=True)]
    padded = {found.end() for text in before for found in re.finditer(r"\S\s{2,}", text)}
    padded = {at for at in padded if at <= min(firsts) and all(line[at - 1] == " " != line[at] for line in lines)}
    places = [[found.end() for found in re.finditer(r"[,;:]\s+", text)][::-1] for text in before]
    cuts = [[at] * len(lines) for at in (*sorted(padded, reverse=True), 0)]
    cuts += [[ends[i] for ends in places] for i in reversed(range(min(map(len, places))))]
    cuts += [firsts] * (len(lines) > 2)
    for whole, cut in product((False, True), cuts):
        rows = [_cut(line, at, whole=whole) for line, at in zip(lines, cut, strict=True)]
        if all(row.words == rows[0].words for row in rows):
            headed = zip(*_columns(rows), strict=True)
            if all(label or " [" in cells[0] or not _VALUE.fullmatch(cells[0]) for label, cells in headed):
                return rows
    return None


def _columns(rows: Sequence[_Row]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headings and cells of the columns."""
    labels, columns, said = [], [], ""
    words = rows[0].words
    for i, cells in enumerate(zip(*(row.values for row in rows), strict=True)):
        said += f" {words[i].lstrip(': ')}" if not said else words[i]
        if " [" not in cells[0] and len(set(cells)) == 1 and words[i + 1].startswith(":"):
            said += f" {cells[0]}"  # such as `norm 0.4: `, which heads the value behind it
        else:
            labels.append(said.strip(" :").removesuffix(" ="))
            columns.append(cells)
            said = ""
    if words[-1]:
        labels.append("")
        columns.append((words[-1],) * len(rows))
    return labels, columns


def _table(heads: Sequence[str], labels: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    """The HTML of a table; its first column heads the rows."""
    if not any(heads):
        heads, columns, corner, labels = columns[0], columns[1:], labels[0], labels[1:]
    else:
        corner = ""
    above = "".join(f'<th scope="col">{html.escape(label)}</th>' for label in (corner, *labels))
    lines = ["<thead><tr>" + above + "</tr></thead>"] if corner or any(labels) else []
    for head, *cells in zip(heads, *columns, strict=True):
        lines.append(f'<tr><th scope="row">{html.escape(head)}</th>{"".join(map(_cell, cells))}</tr>')
    return f'<table class="printed">{"".join(lines)}</table>'


def _cell(text: str) -> str:
    """A cell; an interval stands back behind its value."""
    return "<td>" + re.sub(rf"({_INTERVAL})", r"<span>\1</span>", html.escape(text)) + "</td>"
