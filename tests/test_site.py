"""The site says what the notebooks, the README and the docstrings say, and needs nothing from elsewhere."""

import importlib
import inspect
import json
import re
import runpy
import sys
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import GenericAlias
from typing import _GenericAlias
from urllib.parse import unquote, urlsplit

import lists
import moves
import nbformat
import pages
import plotly
import pytest
import times
from compare import PICTURE, PLOTLY
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from printed import parts

import toylib
from toylib.figures.style import DARK, INK, MUTED, SET_COLORS
from toylib.reporting import CLAIMS, Criterion

TOP = Path(__file__).parents[1]
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sorted((TOP / "notebooks").glob("*.ipynb"))}
LOADED = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "use": "href"}


@dataclass
class Element:
    """A start tag, with the text inside it."""

    tag: str
    attributes: dict
    texts: list = field(default_factory=list)

    @property
    def text(self):
        return "".join(self.texts)


class Page(HTMLParser):
    """The elements of a page in order; `text` is what a reader sees, without code."""

    EMPTY = ("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr")
    UNREAD = frozenset({"script", "style", "pre", "code", "title", "math"})

    def __init__(self, path):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append(Element(tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        while self.open and self.open.pop().tag != tag:
            pass

    def handle_data(self, text):
        for element in self.open:
            element.texts.append(text)
        if not self.UNREAD & {element.tag for element in self.open}:
            self.text += text

    def all(self, tag, **attributes):
        return [e for e in self.elements if e.tag == tag and attributes.items() <= e.attributes.items()]

    def ids(self):
        return {e.attributes["id"] for e in self.elements if "id" in e.attributes}


@cache
def parsed(path):
    return Page(path)


def everything(site):
    return {
        path.relative_to(site).as_posix(): parsed(path)
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


def figures(notebook):
    """The outputs with a figure, by the id of their cell; none of ours has two in a cell."""
    found = [
        (cell.id, out) for cell in notebook.cells for out in cell.get("outputs", ()) if PLOTLY in out.get("data", ())
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def shown(page):
    """The figures of a page by id: element and JSON."""
    elements = page.all("figure")
    data = [json.loads(script.text) for script in page.all("script", type="application/json")]
    return {e.attributes["id"]: (e, figure) for e, figure in zip(elements, data, strict=True)}


def test_the_pages_are_there(site):
    wanted = {"index", "claims", "numbers", "sweeps", "speed", "api", "search", "genindex", *NOTEBOOKS}
    assert {f"{name}.html" for name in wanted} <= everything(site).keys()
    assert (site / ".nojekyll").exists()
    assert [path.name for path in site.parent.iterdir() if path != site] == []  # nothing is left beside it


def test_every_link_leads_somewhere(site):
    found, count = everything(site), 0
    for name, page in found.items():
        for element in page.all("a"):
            link = urlsplit(element.attributes.get("href", ""))
            if link.scheme or not (link.path or link.fragment):
                continue
            count += 1
            target = (site / name).parent / unquote(link.path) if link.path else site / name
            assert target.is_file(), (name, link.geturl())
            if link.fragment:
                assert unquote(link.fragment) in parsed(target.resolve()).ids(), (name, link.geturl())
    assert count > 1000


def test_notebooks_link_to_each_others_pages(site):
    for name, notebook in NOTEBOOKS.items():
        links = {link.attributes.get("href") for link in parsed(site / f"{name}.html").all("a")}
        wanted = re.findall(r"\]\((\w+)\.ipynb\)", "".join(cell.source for cell in notebook.cells))
        assert {f"{other}.html" for other in wanted} <= links
        assert f"{name}.ipynb" in links
        assert (site / f"{name}.ipynb").read_bytes() == (TOP / "notebooks" / f"{name}.ipynb").read_bytes()
    assert "2_training_dynamics.html" in {
        a.attributes.get("href") for a in parsed(site / "1_data_generation.html").all("a")
    }


def test_nothing_is_loaded_from_elsewhere_and_no_script_hides_in_an_attribute(site):
    count = 0
    for name, page in everything(site).items():
        for element in page.elements:
            assert not [key for key in element.attributes if key.startswith("on")], (name, element)
            address = element.attributes.get(LOADED.get(element.tag, ""), "")
            if address not in ("", "#"):
                count += 1
                link = urlsplit(address)
                assert link.scheme in ("", "data"), (name, address)
                assert link.scheme or ((site / name).parent / unquote(link.path)).is_file(), (name, address)
    assert count > 100
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_plotly_is_there_once_and_where_figures_are(site):
    (copy,) = site.rglob("plotly*.js")
    assert copy.read_bytes() == (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    with_figures = set()
    for name, page in everything(site).items():
        scripts = [urlsplit(script.attributes.get("src") or "").path for script in page.all("script")]
        if page.all("figure"):
            with_figures.add(name)
            assert [s for s in scripts if s.startswith("_static/") and s.split("/")[1] in OURS] == [
                f"_static/{s}" for s in OURS
            ]
        else:
            assert not any("plotly" in script for script in scripts)
    assert with_figures == {"index.html", *(f"{name}.html" for name in NOTEBOOKS)}


OURS = ["plotly.min.js", "colours.js", "plot.js", "sliders.js", "figures.js"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_figure_is_on_its_page_as_it_is_stored(site, name):
    stored, found = figures(NOTEBOOKS[name]), shown(parsed(site / f"{name}.html"))
    assert list(found) == list(stored)
    for cell, output in stored.items():
        element, figure = found[cell]
        assert figure == output.data[PLOTLY]
        is_explorer, moved = output.data.get("text/plain", "").startswith("<explorer"), moves.MOVING.get(name) == cell
        assert ("need a kernel" in element.text) == (is_explorer and not moved)
        assert ("need no kernel" in element.text) == moved


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_figure_has_an_alternative_and_a_picture(site, name):
    page = parsed(site / f"{name}.html")
    plots, pictures = page.all("div", role="img"), page.all("img")
    attached = [picture for picture in pictures if picture.attributes["src"].startswith("_images/")]
    pictures = [picture for picture in pictures if picture not in attached]
    assert len(attached) == sum(len(cell.get("attachments", ())) for cell in NOTEBOOKS[name].cells)
    for picture in attached:
        assert len(picture.attributes["alt"]) >= 100
        assert (site / picture.attributes["src"]).read_bytes().startswith(b"\x89PNG")
    assert len(plots) == len(pictures) == len(figures(NOTEBOOKS[name]))
    for plot, picture in zip(plots, pictures, strict=True):
        assert len(plot.attributes["aria-label"]) >= 8
        assert plot.attributes["aria-label"] == picture.attributes["alt"]
        assert (site / picture.attributes["src"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_and_printed_line_is_on_its_page(site, name):
    page, source = parsed(site / f"{name}.html"), (site / f"{name}.html").read_text(encoding="utf-8")
    blocks = [re.sub(r"\s+", " ", block.text).strip() for block in page.all("pre")]
    for cell in NOTEBOOKS[name].cells:
        printed = [output.text for output in cell.get("outputs", ()) if output.output_type == "stream"]
        told = [part for text in printed for part in parts(text)]
        for kind, text in [("text", cell.source)] * (cell.cell_type == "code") + told:
            assert text in source if kind == "table" else re.sub(r"\s+", " ", text).strip() in blocks


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_code_folds_and_says_how_long_it_is(site, name):
    page = parsed(site / f"{name}.html")
    folds = [fold for fold in page.all("details") if "above-input" in fold.attributes.get("class", "").split()]
    code = [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]
    assert len(folds) == len(code)
    assert not any("open" in fold.attributes for fold in folds)
    for cell, fold in zip(code, folds, strict=True):
        lines = len(cell.source.split("\n"))
        said = "Imports" if cell is code[0] else "Parameters" if "tags" in cell.metadata else f"Code, {lines} lines"
        assert fold.text.strip().split("\n")[0] == (said if lines > 1 else "Code, 1 line")
    assert not page.all("summary", **{"aria-label": "Toggle hidden content"})  # else this is what is read out


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_answers_to_exercises_open(site, name):
    source = "".join(cell.source for cell in NOTEBOOKS[name].cells if cell.cell_type == "markdown")
    _, _, exercises = source.partition("## Exercises\n")
    questions = re.findall(r"^\d+\. \*", exercises, re.MULTILINE)
    answers = [fold for fold in parsed(site / f"{name}.html").all("details") if fold.text.startswith("Answer\n")]
    assert len(answers) == len(questions)
    assert len(questions) >= (3 if exercises else 0)
    assert all(len(answer.text) > len("Answer") + 20 for answer in answers)
    assert not any("open" in answer.attributes for answer in answers)


def test_the_table_of_times_says_what_is_stored():
    each = {"low": 1.5, "high": 45.0}
    medians = {"toylib": 3.0, "products": 2.0, "draws": 1.7, "plain": 39.0, "compiled": 12.0}
    row = {what: each | {"median": median} for what, median in medians.items()}
    about = {"processor": "P", "cores": 3, "versions": {"jax": "9"}, "date": "2026-01-02", "rounds": 5, "batch": 64}
    lines = times.training(about | {"microseconds": {"n = 6": row}})
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "n = 6",
        "39 (1.5 to 45), 13.0×",
        "12 (1.5 to 45), 4.0×",
        "3 (1.5 to 45), 1.50 of its products",
        "2 (1.5 to 45)",
        "1.7 (1.5 to 45)",
    ]
    assert lines[4].startswith("P, 3 cores; jax 9; 2026-01-02. Medians of 5 rounds")
    attacked = {"none": each | {"median": 8.0}, "one step": each | {"median": 15.0}}
    about |= {"n": 40, "m": 8, "models": 7, "passes": {"none": 1, "one step": 2}}
    lines = times.under_attack(about | {"microseconds": attacked})
    assert lines[2:4] == ["| none | 8 (1.5 to 45) | 1.00 | 1 |", "| one step | 15 (1.5 to 45) | 1.88 | 2 |"]
    said = "n = 40, m = 8, 7 models together in one thread, batch 64. "
    assert lines[5].startswith(f"P, 3 cores; jax 9; 2026-01-02. {said}")
    search = {
        "inputs": {"median": 1234.5, "low": 987.65, "high": 45678.9},
        "time": 2.0,
        "of_products": 3.25,
        "gain": 0.98765,
    }
    bounds = {"inputs": each | {"median": 39.68}, "time": 30.25, "open": 0.0123}
    about |= {"samples": 1000, "steps": 40, "starts": 13, "gflops": 149.6}
    lines = times.attacks(about | {"searches": {"pgd": search}, "certificates": {"exact": bounds}})
    assert lines[2] == "| pgd | 1,234 (987.6 to 45,679) | 2.00 | 3.2 | 0.9877 |"
    assert lines[6] == "| exact | 39.68 (1.5 to 45) | 30.25 | 1.2e-02 |"
    assert lines[8].startswith("P, 3 cores; jax 9; 2026-01-02. 1,000 inputs, 40 steps from 13 starts; ")
    took = {"figure": 4.94, "figure_compiling": 2.5, "all": 26.8, "all_compiling": 19.5}
    again = {"figure": 3.14, "figure_compiling": 0.5, "all": 10.9, "all_compiling": 3.5}
    found = {"seconds": {"no cache": took, "empty cache": {}, "full cache": again}, "programs": 478, "cache_mib": 8.46}
    lines = times.first_use(about | {"notebooks": {"1_one": found | {"twice": {"jit_a": 2, "jit_b": 1}}}})
    assert lines[2] == r"| 1\_one | 4.9 (2.5) | 3.1 (0.5) | 26.8 (19.5) | 10.9 (3.5) | 478 | 3 | 8.5 |"
    assert lines[4].startswith("P, 3 cores; jax 9; 2026-01-02. ")


def test_the_register_is_made_from_the_notebooks(site):
    page = parsed(site / "claims.html")
    cells = [re.sub(r"\s+", " ", cell.text).strip() for cell in page.all("td")]
    found = lists.claims(NOTEBOOKS)
    rows = [cells[i : i + 5] for i in range(0, 5 * len(found), 5)]  # below them: criteria that were changed
    assert len(rows) == len(found) > 30
    smart = str.maketrans({"…": "...", "’": "'", "–": "--"})
    for (name, sentence, criterion, measured, verdict), claims in zip(rows, in_tables(found), strict=True):
        assert name == claims.name
        assert sentence.translate(smart).startswith(claims.sentence)
        assert criterion.translate(smart).startswith(f"{claims.criterion} ({claims.date})")
        assert measured.translate(smart) == f"{claims.measured} (cell)"
        assert verdict == (f"holds {claims.scope}" if claims.scope else claims.verdict)
    links = {a.attributes["href"] for a in page.all("a")}
    assert {f"{name}.html#{claim.cell}" for claim, name in found.items()} <= links
    headings = [h.text.rstrip("#") for h in page.all("h2") if h.text.strip() != "Contents"]
    assert headings[:3] == ["What the paper says", "What other papers say", "Our own questions"]


def in_tables(claims):
    order = {"paper": 0, "question": 2}
    return sorted(claims, key=lambda claim: order.get(claim.source, 1))


CRITERION = Criterion("C1", "paper", "it | falls", "in 9 of 10", "2026-11-25")


def with_claims(*claims):
    data = {CLAIMS: [claim._asdict() for claim in claims]}
    return {
        "0_small": new_notebook(cells=[new_code_cell("x", id="code-1", outputs=[new_output("display_data", data)])])
    }


def test_a_register_says_what_waits_and_what_changed():
    old = {"criterion": "in 8 of 10", "date": "2026-11-20", "reason": "too *lenient*"}
    criteria = {"C1": CRITERION, "C2": CRITERION._replace(name="C2", superseded=(old,))}
    text = lists.register(with_claims(CRITERION.judge("9/10", True, cell="code-1")), criteria)
    measured, waiting, changed = text.split("\n## ")[1:]
    assert (
        '| C1 | it \\| falls | in 9 of 10 (2026-11-25) | 9/10 (<a href="0_small.html#code-1">cell</a>) | holds |'
        in measured
    )
    assert "| C2 | it \\| falls | in 9 of 10 (2026-11-25) |" in waiting
    assert "| C2 | in 8 of 10 (2026-11-20) | too \\*lenient\\* |" in changed


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (CRITERION._replace(criterion="in 8 of 10"), "C1 of 0_small.ipynb must have the criterion of criteria.toml"),
        (CRITERION._replace(name="C9"), "C9 of 0_small.ipynb must have the criterion of criteria.toml; store it again"),
        (CRITERION, "C1 of 0_small.ipynb must name one of its cells, got code-2; mend it"),
    ],
)
def test_a_claim_that_does_not_fit_stops_the_site(claim, message):
    with pytest.raises(ValueError, match=message):
        lists.register(with_claims(claim.judge("9/10", True, cell="code-2")), {"C1": CRITERION})


def test_the_cards_are_the_rows_of_the_readme(site):
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    shown = re.sub(r"\s+", " ", parsed(site / "index.html").text)
    for name in NOTEBOOKS:
        (line,) = re.findall(rf"^\| \[{name}\.ipynb\].*? \| (.*?) \|", readme, re.MULTILINE)
        assert line in shown
    with pytest.raises(ValueError, match=r"must list every notebook, got none of the name 0_new\.ipynb; add"):
        lists.cards({"0_new": None}, readme)


def test_cards_show_a_square_of_a_stored_picture(site):
    shown = [box for box in parsed(site / "index.html").all("div") if box.attributes.get("class") == "thumbnail"]
    pictures = [re.search(r"url\((.*?)\) (.*)% (.*)% / (.*)%", box.attributes["style"]).groups() for box in shown]
    assert [picture.split("/")[1] for picture, *_ in pictures] == list(NOTEBOOKS)
    for picture, *place in pictures:
        across, down, zoom = (float(number) / 100 for number in place)
        with Image.open(site / picture) as image:
            side = image.width / zoom
            left, top = across * (image.width - side), down * (image.height - side)
            assert 0 <= left <= left + side <= image.width
            assert 0 <= top <= top + side <= image.height
            colours = image.convert("RGB").crop((left, top, left + side, top + side)).getcolors(2**16)
            assert len(colours) > 8  # something is drawn there
    for name, (cell, *_) in lists.THUMBNAILS.items():
        assert cell in figures(NOTEBOOKS[name])


def test_a_new_notebook_shows_its_first_picture(tmp_path):
    assert "_static/0_small/bars.png" in lists.thumbnail("0_small", small())
    assert lists.thumbnail("0_small", new_notebook()) == ""


@pytest.mark.parametrize("room", toylib.__all__)
def test_every_public_name_is_in_the_reference(site, room):
    ids = set().union(*(page.ids() for path, page in everything(site).items() if path.startswith("api/")))
    module = importlib.import_module(f"toylib.{room}")
    own = [key for key, value in vars(module).items() if inspect.getmodule(value) is module and key[0] != "_"]
    public = [key for key in getattr(module, "__all__", own) if callable(getattr(module, key))]
    # An alias of a type stands with its module.
    public = [key for key in public if not isinstance(getattr(module, key), GenericAlias | _GenericAlias)]
    assert public
    assert f"module-toylib.{room}" in ids
    assert {f"toylib.{room}.{key}" for key in public} <= ids
    assert f"toylib.{room}" in {code.text for code in parsed(site / "api.html").all("code")}


def formulas(notebook):
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"\$\$.+?\$\$|\$[^$]+\$", re.sub(r"`[^`]*`", "", text), re.DOTALL)


def test_every_formula_is_mathml(site):
    for name, notebook in NOTEBOOKS.items():
        page = parsed(site / f"{name}.html")
        assert len(page.all("math")) == len(formulas(notebook)), name
    for name, page in everything(site).items():
        assert not re.search(r"\$|\\[(a-z]", page.text), name
        assert not any("\\" in math.text or "$" in math.text for math in page.all("math")), name
    assert not [
        script
        for page in everything(site).values()
        for script in page.all("script")
        if "mathjax" in str(script).lower()
    ]


def test_the_hero_is_the_figure_of_the_notebook(site):
    notebook = NOTEBOOKS["2_training_dynamics"]
    whole = figures(notebook)["code-e3bd56e7"].data[PLOTLY]
    ((element, hero),) = shown(parsed(site / "index.html")).values()
    assert "2_training_dynamics.html#code-e3bd56e7" in [
        a.attributes.get("href") for a in parsed(site / "index.html").all("a")
    ]
    assert "hero" in element.attributes["class"]
    assert [frame["name"] for frame in hero["frames"]] == [frame["name"] for frame in whole["frames"]]
    named = {json.dumps(trace, sort_keys=True): i for i, trace in enumerate(whole["data"])}
    moving = {t for frame in hero["frames"] for t in frame["traces"]}
    origin = {i: named[json.dumps(trace, sort_keys=True)] for i, trace in enumerate(hero["data"]) if i not in moving}
    assert origin  # the losses, which do not move
    for mine, theirs in zip(hero["frames"], whole["frames"], strict=True):
        stored = [json.dumps(data) for t, data in zip(theirs["traces"], theirs["data"], strict=True)]
        assert all(json.dumps(data) in stored for data in mine["data"])
        assert sum("z" in data for data in mine["data"]) == sum(
            "z" in d and d["type"] == "scatter3d" for d in theirs["data"]
        )
    labels = [step["label"] for step in hero["layout"]["sliders"][0]["steps"]]
    phases = [label.partition(" · ")[2] for label in labels]
    assert [phase[0] for phase in phases] == sorted(phase[0] for phase in phases)
    assert {phase[0] for phase in phases} == set("ABCDE")
    assert phases[-1] == "E: octahedron"
    first = hero["layout"]["sliders"][0]["active"]
    assert phases[first].startswith("B")
    assert phases[first - 1].startswith("A")
    for t, data in zip(hero["frames"][first]["traces"], hero["frames"][first]["data"], strict=True):
        assert data.items() <= hero["data"][t].items()


def test_the_phases_of_the_hero_are_those_that_the_notebook_prints():
    notebook = NOTEBOOKS["2_training_dynamics"]
    printed = "".join(o.text for cell in notebook.cells for o in cell.get("outputs", ()) if o.output_type == "stream")
    starts = {
        m[1]: int(m[2].replace(",", "")) for m in re.finditer(r"^([A-E])  from step +([\d,]+)", printed, re.MULTILINE)
    }
    assert len(starts) == 5
    for step in pages.hero(notebook)[1]["layout"]["sliders"][0]["steps"]:
        number, _, phase = step["label"].partition(" · ")
        began = [letter for letter, start in starts.items() if start <= int(number.replace(",", ""))]
        assert phase[0] == began[-1]


def test_search_knows_the_prose_and_not_the_data(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert len(index) < 300_000
    for word in ("antiprism", "vulner", "octahedron"):
        assert word in index
    assert "bdata" not in index
    assert len(re.findall(r'"[a-z]*\d{4,}[a-z\d]*"', index)) < 100


def test_the_site_is_small(site):
    assert sum(path.stat().st_size for path in site.rglob("*")) < 25e6
    assert max(path.stat().st_size for path in site.rglob("*.html")) < 1.2e6


# ---- colours


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    dark, light = sorted(luminance(color) + 0.05 for color in (a, b))
    return light / dark


def test_ink_reads_in_the_dark_and_sets_keep_their_colours(site):
    background = DARK["#FFFFFF"]
    theme = (site / "_static" / "styles" / "sphinx-book-theme.css").read_text(encoding="utf-8")
    assert f"--pst-color-background:{background.lower()}" in theme
    assert contrast(DARK[INK], background) > 7
    assert contrast(DARK[MUTED], background) > 4.5
    assert not DARK.keys() & set(SET_COLORS)
    assert all(contrast(color, background) > 3 for color in SET_COLORS)
    assert (site / "_static" / "colours.js").read_text(encoding="utf-8") == f"const DARK = {json.dumps(DARK)};\n"


def test_every_grey_of_a_figure_has_a_dark_one():
    used = {color.upper() for notebook in NOTEBOOKS.values() for output in figures(notebook).values()
            for color in re.findall(r"#[0-9a-fA-F]{6}\b", json.dumps(output.data[PLOTLY]["layout"]))}  # fmt: skip
    greys = {color for color in used if max(channels(color)) - min(channels(color)) < 16}
    assert {INK, MUTED} <= greys
    assert greys <= DARK.keys()


def channels(color):
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


# ---- pages.py, and errors


def small():
    figure = {
        "data": [{"type": "bar", "y": [1, 2]}],
        "layout": {"title": {"text": "Two </script> <b>bars</b>"}, "height": 300},
    }
    data = {PLOTLY: figure, PICTURE: "iVBORw0KGgo="}
    outputs = [new_output("display_data", data), new_output("display_data", {**data, "text/plain": "<explorer: bars>"})]
    cells = [
        new_markdown_cell("# Small"),
        new_code_cell("import this", id="first"),
        new_code_cell("bars()", id="bars", outputs=outputs),
        new_markdown_cell("*Two bars.* [Live](../site/0_small.html#bars)\n\nText."),
    ]
    return new_notebook(cells=cells)


def test_a_page_of_a_small_notebook(tmp_path):
    folder = tmp_path / "0_small"
    folder.mkdir()
    before = small()
    page = pages.page(before, folder)
    assert "Live" in before.cells[3].source  # a copy was changed
    assert page.cells[3].source == "*Two bars.*\n\nText."
    for cell, said in zip(page.cells[1:3], ("Imports", "Code, 1 line"), strict=True):
        assert cell.metadata.tags == ["hide-input"]
        assert cell.metadata.mystnb == {"code_prompt_show": said, "code_prompt_hide": said}
    first, second = (output.data["text/html"] for output in page.cells[2].outputs)
    assert 'id="bars"' in first
    assert 'aria-label="Two bars."' in first
    assert 'style="height:300px"' in first
    assert first.count("</script>") == 1
    assert 'id="bars-2"' in second
    assert "kernel" in second
    assert "kernel" not in first
    assert sorted(path.name for path in folder.iterdir()) == ["bars-2.png", "bars.png"]


def test_printed_intervals_are_tables_between_what_else_is_printed(tmp_path):
    printed = "first\np = 0.1: up 0.9 [0.8, 1.0]\np = 0.3: up 0.7 [0.5, 0.8]\nlast\n"
    cells = [new_markdown_cell("# S"), new_code_cell("p", outputs=[new_output("stream", name="stdout", text=printed)])]
    _, *outputs = pages.page(new_notebook(cells=cells), tmp_path).cells[1].outputs  # the first is where links lead
    assert [output.get("text") for output in outputs] == ["first\n", None, "last\n"]
    assert re.findall(r"<td>(.*?)</td>", outputs[1].data["text/html"]) == [
        "0.9<span> [0.8, 1.0]</span>",
        "0.7<span> [0.5, 0.8]</span>",
    ]


def test_a_figure_without_a_picture_or_a_caption_is_refused(tmp_path):
    bare, untold = small(), small()
    del bare.cells[2].outputs[0].data[PICTURE]
    untold.cells[3].source = "Text."
    for notebook in (bare, untold):
        with pytest.raises(ValueError, match="the figure of cell bars has no picture or no caption; `make notebooks`"):
            pages.page(notebook, tmp_path)


@pytest.fixture
def make(monkeypatch, capsys):
    """Run make.py with arguments, which it must refuse; return its exit status: a message, which Python prints."""

    def make(*arguments):
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(sys, "argv", ["make.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(TOP / "docs" / "make.py"), run_name="__main__")
        assert capsys.readouterr() == ("", "")
        return caught.value.code

    return make


def test_a_notebook_without_outputs_is_refused(make, tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tmp_path / "0_empty.ipynb")
    said = make(tmp_path / "site", "--notebooks", tmp_path)
    assert said == f"{tmp_path}/0_empty.ipynb has no page: it has no stored outputs; `make notebooks` stores them"
    assert not (tmp_path / "site").exists()


def test_a_folder_with_other_files_is_left_alone(make, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    said = make(tmp_path)
    assert said == f"{tmp_path} holds something that is not a site: name another folder, or empty it"
    assert (tmp_path / "thesis.tex").exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sphinx.cmd.build", None)
    with pytest.raises(SystemExit, match=r"the site needs sphinx.cmd.build: run `make site`, which installs it"):
        runpy.run_path(str(TOP / "docs" / "make.py"), run_name="__main__")
