"""Criteria from a file, verdicts by code, and registers in three tables."""

import re

import numpy as np
import pytest
from tables import Cells

from toylib.reporting import CLAIMS, Claim, Criterion, Interval, Register, read_criteria

TEXT = """
[C1]
source = "paper"
sentence = "the loss falls"
criterion = "in 9 of 10 seeds"
date = 2026-11-25

["R1 dip"]
source = "Somebody 2025, arXiv 0000.00000"
sentence = "it dips"
criterion = "ratio below 0.9"
date = 2026-11-26
seen = "in a pilot"

[[C1.superseded]]
criterion = "in 8 of 10 seeds"
date = 2026-11-20
reason = "too lenient"

[Q]
source = "question"
sentence = "a < b & c"
criterion = "none"
date = 2026-11-27
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "criteria.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_criteria_are_read_with_what_came_before_them(path):
    criteria = read_criteria(path)
    assert list(criteria) == ["C1", "R1 dip", "Q"]
    old = {"criterion": "in 8 of 10 seeds", "date": "2026-11-20", "reason": "too lenient"}
    assert criteria["C1"] == Criterion(
        "C1", "paper", "the loss falls", "in 9 of 10 seeds", "2026-11-25", superseded=(old,)
    )
    assert criteria["R1 dip"].seen == "in a pilot"
    assert criteria["Q"].superseded == ()


@pytest.mark.parametrize(
    ("change", "came"),
    [
        (("date = 2026-11-27\n", ""), "source, sentence, criterion for Q"),
        (("date = 2026-11-27", 'date = "27 November"'), "source, sentence, criterion, date for Q"),
        (('criterion = "none"', "criterion = 3"), "source, sentence, criterion, date for Q"),
        (('sentence = "it dips"', 'sentence = "it dips"\nverdict = "holds"'), "for R1 dip"),
        (('reason = "too lenient"\n', ""), "criterion, date for C1"),
        (('source = "paper"', 'source = ""'), "for C1"),
    ],
)
def test_an_incomplete_criterion_is_refused(path, change, came):
    path.write_text(TEXT.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"a criterion must have .*, got .*{re.escape(came)}; mend .*criteria.toml"):
        read_criteria(path)


@pytest.mark.parametrize(
    ("holds", "scope", "verdict"),
    [
        (True, "", "holds"),
        (True, "below p = 0.1", "holds within a scope"),
        (False, "", "fails"),
        (None, "", "undecided"),
    ],
)
def test_the_verdict_is_one_of_four(path, holds, scope, verdict):
    claim = read_criteria(path)["R1 dip"].judge("0.84 [0.79, 0.90]", holds, cell="code-1", scope=scope)
    source, seen = "Somebody 2025, arXiv 0000.00000", "in a pilot"
    assert claim == Claim(
        "R1 dip",
        source,
        "it dips",
        "ratio below 0.9",
        "2026-11-26",
        seen,
        "0.84 [0.79, 0.90]",
        verdict,
        scope,
        "code-1",
    )


@pytest.mark.parametrize("text", ["Z = 1", "[Z]\nsuperseded = 3", "[Z]\nsuperseded = [1]"])
def test_what_is_no_table_is_refused(path, text):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r" must (have source|be tables).*, got .* for Z; "):
        read_criteria(path)


@pytest.mark.parametrize("measured", [0.97, Interval(1.0, 0.5, 2.0), "", {}, None, np.ones(2)])
def test_what_is_no_measurement_is_refused(path, measured):
    message = f"measured must be a text, or label -> value, got {measured!r} for C1; pass an f-string with the numbers"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        read_criteria(path)["C1"].judge(measured, True, cell="code-1")


def test_a_register_takes_nothing_but_claims(path):
    criterion = read_criteria(path)["C1"]
    claim = criterion.judge("1", True, cell="code-1")
    for odd, name in ((criterion, "Criterion"), ([claim], "list")):
        message = f"a register must have claims, got {name}; pass what Criterion.judge returns, one by one"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            Register(claim, odd)


def test_measurements_by_label_are_joined(path):
    measured = read_criteria(path)["Q"].judge({"p = 0.1": 3, "p = 0.3": "none"}, False, cell="code-1").measured
    assert measured == "p = 0.1: 3; p = 0.3: none"


def test_verdicts_that_are_no_verdicts_are_refused(path):
    criterion = read_criteria(path)["C1"]
    for wrong in (1, "holds", 0.0):
        with pytest.raises(TypeError) as caught:
            criterion.judge("1", wrong, cell="code-1")
        assert str(caught.value) == f"holds must be a bool or None, got {wrong!r} for C1; wrap it in bool(...)"
    for holds in (False, None):
        with pytest.raises(
            ValueError, match="a scope must come with a claim that holds there, got 'here' for C1; drop it"
        ):
            criterion.judge("1", holds, cell="code-1", scope="here")


def test_a_register_has_a_table_for_each_who_claims(path):
    criteria = read_criteria(path)
    claims = [c.judge(f"<{name}>", name != "C1", cell="code-1") for name, c in criteria.items()]
    claims[2] = criteria["Q"].judge("2", True, cell="code-2", scope="for p < 0.1")
    bundle = Register(*claims)._repr_mimebundle_()
    assert [Claim(**row) for row in bundle[CLAIMS]] == claims
    cells = Cells(bundle["text/html"])
    assert cells.of("h4") == ["What the paper says", "What other papers say", "Our own questions"]
    rows = [cells.of("td")[i : i + 5] for i in range(0, 15, 5)]
    assert rows == [
        ["C1", "the loss falls", "in 9 of 10 seeds (2026-11-25)", "<C1>", "fails"],
        [
            "R1 dip",
            "it dips (Somebody 2025, arXiv 0000.00000)",
            "ratio below 0.9 (2026-11-26; seen before: in a pilot)",
            "<R1 dip>",
            "holds",
        ],
        ["Q", "a < b & c", "none (2026-11-27)", "2", "holds for p < 0.1"],
    ]
    assert bundle["text/plain"].splitlines()[0] == "C1 fails: the loss falls | <C1>"


def test_headings_without_claims_are_left_out(path):
    claim = read_criteria(path)["Q"].judge("2", True, cell="code-2")
    assert list(Register(claim).tables()) == ["Our own questions"]


def test_a_register_needs_claims_each_judged_once(path):
    claim = read_criteria(path)["C1"].judge("1", True, cell="code-1")
    for claims in ((), (claim, claim)):
        with pytest.raises(
            ValueError, match=r"a register must have claims of different names, got .*; judge each criterion once"
        ):
            Register(*claims)
