"""Printed intervals become tables that say what was printed, line by line; everything else stays as it is."""

import html
import re
from pathlib import Path

import nbformat
import pytest
from printed import parts

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def read(table):
    """The cells of each row of a table, its headings first if it has any."""
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    return [[html.unescape(re.sub("<[^>]*>", "", c)) for c in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


TABLES = {
    "labels": (
        "p = 0.03: two or more 90/96 = 0.94 [0.87, 0.97]; at scale 0.3 2/32 = 0.06 [0.02, 0.20]\n"
        "p = 0.10: two or more 87/96 = 0.91 [0.83, 0.95]; at scale 0.3 9/32 = 0.28 [0.16, 0.45]\n",
        [
            ["p", "two or more", "at scale 0.3"],
            ["0.03", "90/96 = 0.94 [0.87, 0.97]", "2/32 = 0.06 [0.02, 0.20]"],
            ["0.10", "87/96 = 0.91 [0.83, 0.95]", "9/32 = 0.28 [0.16, 0.45]"],
        ],
    ),
    "heads, and numbers without an interval": (
        "Adam, p = 0.03, scale  0.1: PCA 0/32 = 0.00 [0.00, 0.11]\n"
        "SGD, p = 0.10, scale 0.01: PCA 4/32 = 0.12 [0.05, 0.28]",
        [
            ["", "p", "scale", "PCA"],
            ["Adam", "0.03", "0.1", "0/32 = 0.00 [0.00, 0.11]"],
            ["SGD", "0.10", "0.01", "4/32 = 0.12 [0.05, 0.28]"],
        ],
    ),
    "a padded column, and numbers that head": (
        "random feature, ±  p = 0.3: 0.6 [0.6, never] (7/8), p = 0.1: never [-2, never]\n"
        "noise, half clean  p = 0.3: 1.25 [1, 1.5] (5/8), p = 0.1: 3 [3, 3] (8/8)",
        [
            ["", "p = 0.3", "p = 0.1"],
            ["random feature, ±", "0.6 [0.6, never] (7/8)", "never [-2, never]"],
            ["noise, half clean", "1.25 [1, 1.5] (5/8)", "3 [3, 3] (8/8)"],
        ],
    ),
    "what is said behind": (
        "prism  here 54/64 = 0.84 [0.74, 0.91]; 22 agree\nlines  here 3/64 = 0.05 [0.02, 0.13]; 4 do not",
        [
            ["", "here", ""],
            ["prism", "54/64 = 0.84 [0.74, 0.91]", "22 agree"],
            ["lines", "3/64 = 0.05 [0.02, 0.13]", "4 do not"],
        ],
    ),
    "titles": (
        "                 k = 6, m = 2         k = 30\nto the class     1.00 [0.99, 1.00]    0.97 [0.96, 0.98]\n"
        "random, <seen>   +0.63 [+0.60, +0.66]  0.26 [0.24, 0.27]",
        [
            ["", "k = 6, m = 2", "k = 30"],
            ["to the class", "1.00 [0.99, 1.00]", "0.97 [0.96, 0.98]"],
            ["random, <seen>", "+0.63 [+0.60, +0.66]", "0.26 [0.24, 0.27]"],
        ],
    ),
    "lines below": (
        "a: rate 0.3, up 0.9 [0.8, 1.0];\n  of classes 0 and 1, 2 and 3, 4 and 5 -0.2\n"
        "b: rate 0.4, up 0.7 [0.5, 0.8];\n  of classes 0 and 1, 2 and 3, 4 and 5 +0.5",
        [
            ["", "rate", "up", "of classes 0 and 1, 2 and 3, 4 and 5"],
            ["a", "0.3", "0.9 [0.8, 1.0]", "-0.2"],
            ["b", "0.4", "0.7 [0.5, 0.8]", "+0.5"],
        ],
    ),
    "three statements": (
        "it falls 0.1 [0.0, 0.2]\nthe other does 3 [2, 4]\nboth in 5/9 = 0.56 [0.27, 0.81]",
        [
            ["it falls", "0.1 [0.0, 0.2]"],
            ["the other does", "3 [2, 4]"],
            ["both in", "5/9 = 0.56 [0.27, 0.81]"],
        ],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_intervals_become_a_table(name):
    text, wanted = TABLES[name]
    ((kind, table),) = parts(text)
    assert kind == "table"
    assert read(table) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "A  from step     0 to    297\nB  from step   297 to  1,084",
        "m = 3: 0.94 [0.87, 0.97]",
        "it opens in 32/32 = 1.00 [0.89, 1.00]\nand turns on in 30/32 = 0.94 [0.80, 0.98]",
        "p = 0.1: up 0.94 [0.87, 0.97]\nno interval here\np = 0.3: up 0.91 [0.83, 0.95]",
        "p = 0.1: up 0.94 [0.87, 0.97]\np = 0.3: down 0.91 [0.83, 0.95], twice 1.2 [1.1, 1.3]",
        "ranks: [353, 978, 74]\nranks: [441, 814, 72]",
        f"{50 * 'a'}b\n  up 0.9 [0.8, 1.0]\n{50 * 'a'}c\n  up 0.7 [0.5, 0.8]",
        "a: up 0.9 [0.8, 1.0]\n  and 5\nb: up 0.7 [0.5, 0.8]\n  and 6\n  or 7",
    ],
)
def test_what_is_no_table_stays(text):
    assert parts(text + "\n") == [("text", text)]


def test_lines_around_a_table_stay_where_they_are():
    text = "two seeds\n  a   0.94 [0.87, 0.97]\n  bc  0.91 [0.83, 0.95]\n\nand <three>\n"
    before, table, after = parts(text)
    assert before == ("text", "two seeds")
    assert read(table[1]) == [["a", "0.94 [0.87, 0.97]"], ["bc", "0.91 [0.83, 0.95]"]]
    assert after == ("text", "and <three>")


def test_intervals_in_a_table_are_marked_and_nothing_else_is():
    ((_, table),) = parts("x: 0.94 [0.87, 0.97], y 5\nz: 0.91 [0.83, never], y 6")
    assert re.findall("<span>(.*?)</span>", table) == [" [0.87, 0.97]", " [0.83, never]"]


def bare(text):
    """Text without spaces and punctuation at the ends of its words."""
    return re.sub(r"[\s,;:=]+", " ", text).strip()


def said(text):
    """The lines that the parts of a text say, each row of a table read out with its headings."""
    for kind, part in parts(text):
        rows = read(part) if kind == "table" else []
        if rows and "<thead>" in part:
            headings, *rows = rows
            yield bare(" ".join(headings))  # the line of titles, where there was one
            yield from (bare(" ".join(sum(zip(headings, row, strict=True), ()))) for row in rows)
        yield from (bare(" ".join(row)) for row in rows)
        yield from map(bare, part.split("\n") if kind == "text" else ())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_printed_line_is_told_and_most_intervals_are_in_tables(path):
    printed = [o.text for c in nbformat.read(path, 4).cells for o in c.get("outputs", ()) if o.output_type == "stream"]
    for text in printed:
        told = "\n".join(f" {line} " for line in said(text))  # a row may say several lines
        assert not [line for line in text.split("\n") if bare(line) and f" {bare(line)} " not in told]
    intervals = sum(len(re.findall(r"\[\S+, \S+\]", text)) for text in printed)
    in_tables = sum(part.count("<span> [") for text in printed for kind, part in parts(text) if kind == "table")
    assert in_tables >= 0.7 * intervals
