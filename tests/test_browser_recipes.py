"""The recipe that exports figures, whose pictures Chromium or Chrome draws."""

from PIL import Image
from test_recipes import PROGRAMS


def test_export_of_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(PROGRAMS["export.py"], "export.py", "exec"), {})
    with Image.open("pentagon.png") as image:
        assert image.size == (1000, 960)
        assert len(image.convert("RGB").getcolors(2**20)) > 20  # something is drawn
    assert "A pentagon" in (tmp_path / "pentagon.svg").read_text("utf-8")
    assert (tmp_path / "pentagon.svg").read_text("utf-8").startswith("<svg")
    assert "A pentagon" in (tmp_path / "pentagon.html").read_text("utf-8")
