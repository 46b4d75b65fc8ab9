"""Statements of the paper, the stored claims that they rest on, and the account of both."""

import json

import pytest
from tables import Cells

from toylib.reporting import (
    Account,
    Criterion,
    Found,
    Register,
    Statement,
    claims_in,
    read_statements,
    stored_claims,
)

FALLS = Criterion("C1", "paper", "the loss falls", "9 of 10", "2026-11-25").judge("0.9 [0.8, 1.0]", True, cell="code-a")
DIPS = Criterion("R1 dip", "Somebody 2025", "a < b", "below 0.9", "2026-11-26").judge("0.95", False, cell="code-b")
SCOPED = Criterion("Q", "question", "it lasts", "always", "2026-11-27").judge(
    "2", True, cell="code-c", scope="at S = 0"
)


def notebook(*claims):
    cells = [{"cell_type": "markdown", "source": "x"}, {"cell_type": "code", "outputs": []}]
    bundle = Register(*claims)._repr_mimebundle_()
    return {"cells": [*cells, {"cell_type": "code", "outputs": [{"output_type": "display_data", "data": bundle}]}]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "1_one.ipynb").write_text(json.dumps(notebook(FALLS, DIPS)), encoding="utf-8")
    (tmp_path / "2_two.ipynb").write_text(json.dumps(notebook(SCOPED)), encoding="utf-8")
    return tmp_path


def test_claims_are_found_where_they_are_stored(folder):
    assert claims_in(notebook(FALLS, DIPS)) == [FALLS, DIPS]
    assert claims_in({"cells": []}) == []
    one, two = (Found(claim, "1_one") for claim in (FALLS, DIPS))
    assert stored_claims(folder) == {"C1": one, "R1 dip": two, "Q": Found(SCOPED, "2_two")}
    assert stored_claims(str(folder), without="2_two") == {"C1": one, "R1 dip": two}


def test_claims_of_one_name_and_none_at_all_are_refused(folder, tmp_path):
    (folder / "3_three.ipynb").write_text(json.dumps(notebook(DIPS)), encoding="utf-8")
    with pytest.raises(ValueError, match="different names, got R1 dip in 1_one and 3_three; rename one"):
        stored_claims(folder)
    assert "R1 dip" in stored_claims(folder, without="3_three")
    with pytest.raises(ValueError, match=r"must name a notebook of .*, got '3_three\.ipynb'; leave out its ending"):
        stored_claims(folder, without="3_three.ipynb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"must have stored claims, got none; run `make notebooks`"):
        stored_claims(tmp_path / "empty")


TEXT = """
[[statement]]
section = "Dynamics"
says = "the loss falls & falls"
claims = ["C1", "R1 dip"]
mind = "a rise"

[[statement]]
section = "Attacks"
says = "it stays"
claims = ["Q"]
mind = "its end"
"""


def test_statements_are_read(tmp_path):
    path = tmp_path / "paper.toml"
    path.write_text(TEXT, encoding="utf-8")
    assert read_statements(path) == [
        Statement("Dynamics", "the loss falls & falls", ("C1", "R1 dip"), "a rise"),
        Statement("Attacks", "it stays", ("Q",), "its end"),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('mind = "a rise"', ""),
        ('mind = "a rise"', 'mind = ""'),
        ('mind = "a rise"', 'mind = "a rise"\nmore = "x"'),
        ('claims = ["C1", "R1 dip"]', 'claims = "C1"'),
        ('claims = ["C1", "R1 dip"]', "claims = []"),
        ('claims = ["C1", "R1 dip"]', "claims = [1]"),
        ('section = "Dynamics"', "section = 2"),
    ],
)
def test_a_statement_must_be_whole(tmp_path, old, new):
    path = tmp_path / "paper.toml"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^a statement must have section, says, claims, mind, claims as a list"):
        read_statements(path)


@pytest.mark.parametrize("text", ["", "statement = 3", '[statement]\nsection = "x"', TEXT.replace("[[", "[[a.")])
def test_statements_must_be_a_list(tmp_path, text):
    path = tmp_path / "paper.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^there must be tables \[\[statement\]\], got "):
        read_statements(path)


def test_an_account_shows_verdict_measurement_and_where(folder, tmp_path):
    path = tmp_path / "paper.toml"
    path.write_text(TEXT, encoding="utf-8")
    bundle = Account(read_statements(path), stored_claims(folder) | {"Q": Found(SCOPED, "")})._repr_mimebundle_()
    assert bundle["text/plain"].splitlines() == [
        "the loss falls & falls: holds (C1; R1 dip fails) | 0.9 [0.8, 1.0] | a rise",
        "it stays: holds within a scope (Q) | 2 | its end",
    ]
    cells = Cells(bundle["text/html"])
    assert cells.of("h4") == ["Dynamics", "Attacks"]
    assert cells.of("td") == [
        *("the loss falls & falls", "holds", "C1: 0.9 [0.8, 1.0]; R1 dip fails: a < b", "a rise"),
        *("it stays", "holds at S = 0", "Q: 2", "its end"),
    ]
    assert '<a href="1_one.ipynb#code-b">R1 dip</a>' in bundle["text/html"]
    assert '<a href="#code-c">Q</a>' in bundle["text/html"]


def test_an_account_needs_statements_and_their_claims():
    with pytest.raises(ValueError, match="must have statements that rest on claims, got 0 statements"):
        Account([], {})
    with pytest.raises(ValueError, match="must have statements that rest on claims, got 1 statements"):
        Account([Statement("Dynamics", "it falls", (), "a rise")], {})
    statement = Statement("Dynamics", "it falls", ("C1", "C2"), "a rise")
    with pytest.raises(ValueError, match="must rest on claims that are there, got C2; name claims of a register"):
        Account([statement], {"C1": Found(FALLS, "1_one")})
    with pytest.raises(TypeError, match="claims must be Found, got Claim; take stored_claims"):
        Account([statement], {"C1": FALLS, "C2": DIPS})
    alone = Account(iter([statement._replace(claims=("C1",))]), {"C1": Found(FALLS, "")})
    assert len(alone.statements) == 1
