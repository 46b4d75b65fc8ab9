"""The claims table: verdicts in words, text that cannot break the page, rows that code has decided."""

from html.parser import HTMLParser

import numpy as np
import pytest

from toylib.claims import Claim, Table

HOLDS = Claim("C1", "an octahedron forms", "share of runs at least 90 %", "8/10 = 0.80 [0.49, 0.94]", True)
FAILS = Claim("C2", "loss < 1 & W > 0", 'gap "small" <script>alert(1)</script>', "L' = 2", False)


class Cells(HTMLParser):
    """Read a table back as a browser would."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.rows[-1][-1] += data


def test_html_holds_every_cell_as_written():
    read = Cells(Table([HOLDS, FAILS])._repr_html_())
    assert read.rows[1:] == [[*HOLDS[:4], "holds"], [*FAILS[:4], "fails"]]
    assert read.rows[0] == ["", "the paper says", "criterion, fixed before measuring", "measured", "verdict"]
    assert set(read.tags) == {"table", "tr", "th", "td"}
    assert read.tags.count("th") == 5


def test_html_is_escaped():
    html = Table([FAILS])._repr_html_()
    assert "<script" not in html
    assert "loss &lt; 1 &amp; W &gt; 0" in html
    assert html.startswith("<table>")
    assert html.endswith("</table>")


def test_repr_has_a_line_a_claim():
    assert repr(Table([HOLDS, FAILS])).splitlines() == [
        "C1 holds: an octahedron forms | share of runs at least 90 % | 8/10 = 0.80 [0.49, 0.94]",
        'C2 fails: loss < 1 & W > 0 | gap "small" <script>alert(1)</script> | L\' = 2',
    ]


def test_a_table_needs_claims():
    with pytest.raises(ValueError, match="a table needs at least one claim, got none; pass Claim rows"):
        Table([])


@pytest.mark.parametrize("holds", [np.True_, np.bool_(False), 1, 0, None, "holds", np.array([True])])
def test_a_verdict_is_a_bool(holds):
    with pytest.raises(TypeError, match=r"holds must be a bool, got .* for C2; wrap it in bool\(\.\.\.\)"):
        Table([HOLDS, FAILS._replace(holds=holds)])
