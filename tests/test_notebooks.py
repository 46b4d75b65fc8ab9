"""The stored notebooks as files, and the strict check and the storing, on small notebooks."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest
import store
from addresses import IN_A_CLONE, MISSING, Addresses, link
from captions import caption
from compare import PICTURE, PLOTLY, WIDGET
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter, ScriptExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from plots import colours

from toylib.figures import style

TOP = Path(__file__).parents[1]
NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))
OPENING = ("Question", "You will see", "Paper", "Runs in", "Notation")
FIGURE = "display({{'application/vnd.plotly.v1+json': {{'data': [{{'y': [0.0, {y}]}}], 'layout': {{}}}}}}, raw=True)"


def test_jupyterlab_shows_notebooks_and_their_results():
    shown = {path.name for path in (TOP / "notebooks").iterdir() if path.name[0] not in "._"}
    assert NOTEBOOKS
    assert shown == {"conftest.py", "results", *(path.name for path in NOTEBOOKS)}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_run_from_the_first_cell_to_the_last(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_stored_for_every_machine(path, notebook):
    assert notebook.metadata == store.METADATA
    assert path.stat().st_size <= store.LIMIT
    outputs = json.dumps([cell.outputs for cell in code_cells(notebook)])
    assert not re.search(r"/home/|/Users/|/root/|/tmp/|/var/folders/|[A-Z]:\\\\|site-packages", outputs)


def test_outputs_read_everywhere(notebook):
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        store.check(output)
        data = output.get("data", {})
        assert WIDGET not in data
        assert (PICTURE in data) == (PLOTLY in data)


# Figures


def figures(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the outputs with a figure by the ids of their cells, of which each has one at most."""
    found = [(c.id, o) for c in code_cells(notebook) for o in c.outputs if PLOTLY in o.get("data", ())]
    assert len(dict(found)) == len(found) > 0
    return dict(found)


def test_every_figure_has_a_caption_that_is_its_alternative_text(notebook):
    for cell_id, output in figures(notebook).items():
        text = caption(notebook, cell_id)
        assert text, f"{cell_id} has no caption"
        assert output.metadata == {PICTURE: {"alt": text}}
        assert 100 <= len(text) <= 560, (cell_id, len(text))
        assert 1 <= len(re.findall(r"[.?](?= [A-Z]|$)", text)) <= 3, text


def test_links_are_those_of_the_addresses(path, notebook):
    addresses = Addresses.read(store.PYPROJECT)
    assert link(notebook, path.stem, addresses) == []
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    live = re.findall(r"\[Live\]\((.*?)\)", source)
    assert live == [addresses.live(path.stem, cell_id) for cell_id in figures(notebook) if addresses.site]
    there = re.findall(r"\]\((?!https?://|attachment:)([^)#]+)", source)
    assert [target for target in there if not (path.parent / target).exists()] == []


def test_export_to_a_script_writes_python(path, notebook):
    assert notebook.metadata.language_info.file_extension == ".py"
    script, resources = ScriptExporter().from_notebook_node(notebook)
    assert resources["output_extension"] == ".py"
    compile(script, path.name, "exec")


def test_ids_are_fit_for_addresses(notebook):
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9-]{1,64}", cell_id) for cell_id in ids)


def test_every_colour_is_named_in_style(notebook):
    for cell_id, output in figures(notebook).items():
        assert colours(output.data[PLOTLY]) <= style.PALETTE, cell_id


def test_every_figure_has_a_title_that_fits_700_px(notebook):
    for cell_id, output in figures(notebook).items():
        figure = output.data[PLOTLY]
        layouts = [figure["layout"], *(frame.get("layout", {}) for frame in figure.get("frames", []))]
        titles = [layout["title"]["text"] for layout in layouts if "title" in layout]
        assert titles, cell_id
        assert all(8 <= len(title) <= 84 for title in titles), (cell_id, titles)  # at 16 px, 8 px a letter
        assert "width" not in figure["layout"]
        assert figure["layout"]["template"]["layout"]["width"] == style.WIDTH
        assert figure["layout"]["template"]["layout"]["title"]["font"]["size"] == 16


def test_text_is_large_enough_to_read(notebook):
    def sizes(part, name=""):
        if isinstance(part, dict):
            hidden = part.get("color") == style.CLEAR
            own = [part["size"]] if name.endswith("font") and "size" in part and not hidden else []
            return own + [size for key, value in part.items() for size in sizes(value, key)]
        return [size for item in part for size in sizes(item, name)] if isinstance(part, list) else []

    for cell_id, output in figures(notebook).items():
        assert min(sizes(output.data[PLOTLY])) >= 10, cell_id


def untitled(figure: dict) -> list[str]:
    """Return the axes with data on them that have no title, and share none with the panels in their row or column."""
    layout, used = figure["layout"], set()
    for trace in figure["data"]:
        if "3d" in trace["type"]:
            used.add(trace.get("scene", "scene"))
        else:
            used |= {f"{letter}axis{trace.get(f'{letter}axis', letter)[1:]}" for letter in "xy"}

    def title(axis):
        return axis.get("title", {}).get("text")

    missing = []
    for name in sorted(used):
        axis = layout.get(name, {})
        if name.startswith("scene"):  # without ticks it says where things are to each other, not where
            axes = [axis.get(f"{letter}axis", {}) for letter in "xyz"]
            missing += [name for each in axes if not title(each) and each.get("showticklabels") is not False]
            continue
        panels = [other for key, other in layout.items() if key.startswith(name[:5])]
        shared = [other for other in panels if other.get("domain") == axis.get("domain")]
        if not any(map(title, [axis, *shared])):
            missing.append(name)
    return missing


def test_every_axis_with_data_has_a_title(notebook):
    for cell_id, output in figures(notebook).items():
        assert untitled(output.data[PLOTLY]) == [], cell_id


def test_an_axis_without_a_title_is_found():
    bars = {"type": "bar"}
    assert untitled({"data": [bars], "layout": {"xaxis": {"title": {"text": "x"}}}}) == ["yaxis"]
    panels = {"xaxis": {"domain": [0, 0.4]}, "xaxis2": {"domain": [0.6, 1], "title": {"text": "x"}}}
    panels |= {"yaxis": {"title": {"text": "y"}}, "yaxis2": {}}
    assert untitled({"data": [bars, bars | {"xaxis": "x2", "yaxis": "y2"}], "layout": panels}) == ["xaxis"]
    assert untitled({"data": [{"type": "scatter3d"}], "layout": {"scene": {}}}) == ["scene"] * 3


def loose(figure: dict) -> list[str]:
    """Return the axes on which the frames of a figure move data without a fixed range."""
    found = set()
    for frame in figure.get("frames", []):
        for position, moved in zip(frame["traces"], frame["data"], strict=True):
            trace = figure["data"][position]
            for letter in {"x", "y", "z"} & moved.keys():
                if "3d" in trace["type"]:
                    axis = figure["layout"][trace.get("scene", "scene")].get(f"{letter}axis", {})
                elif letter == "z":  # the colours of a heat map
                    axis = {"range": trace.get("zmax")} if "zmin" in trace else {}
                else:
                    axis = figure["layout"].get(f"{letter}axis{trace.get(f'{letter}axis', letter)[1:]}", {})
                found |= set() if axis.get("range") is not None else {f"{letter} of trace {position}"}
    return sorted(found)


def scrubbed(notebook):
    """Figures with frames, by cell."""
    return {cell_id: o.data[PLOTLY] for cell_id, o in figures(notebook).items() if o.data[PLOTLY].get("frames")}


def test_notebooks_scrub_without_a_kernel():
    assert sum(bool(scrubbed(nbformat.read(path, as_version=4))) for path in NOTEBOOKS) >= 4


def test_ranges_stay_while_scrubbing(notebook):
    for cell_id, figure in scrubbed(notebook).items():
        assert loose(figure) == [], cell_id
        assert figure["layout"]["uirevision"]
        assert all("uirevision" not in frame.get("layout", {}) for frame in figure["frames"])
        fixed = {key for frame in figure["frames"] for key in frame.get("layout", {})}
        assert fixed <= {"title", "annotations", "shapes"}, cell_id


def test_a_range_that_follows_the_data_is_found():
    figure = {"data": [{"type": "scatter"}], "layout": {"xaxis": {"range": [0, 1]}}}
    figure["frames"] = [{"traces": [0], "data": [{"x": [1], "y": [2]}]}]
    assert loose(figure) == ["y of trace 0"]


def test_a_slider_says_what_it_moves(notebook):
    for cell_id, output in figures(notebook).items():
        for slider in output.data[PLOTLY]["layout"].get("sliders", []):
            assert re.search("[a-z]{4}", slider["currentvalue"]["prefix"]), cell_id


# Cells


def test_every_cell_is_short_and_compared(notebook):
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert 0 < len(lines) <= 20, cell.source
        assert not re.search(r"NBVAL_|nbval-|raises-exception", cell.source + str(cell.metadata))


def test_written_to_the_template(path, notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.name.partition('_')[0]}. ")
    assert [word for word in OPENING if word not in first.source] == []
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code_cells(notebook)) == 1
    titles = re.findall("^## (.*)$", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.M)
    assert titles[-1] == "References"
    assert path.name in (TOP / "README.md").read_text(encoding="utf-8")


def small(*cells: tuple[str, list[NotebookNode]]) -> NotebookNode:
    """Make a notebook as if it had been run, from its cells' sources and outputs."""
    code = [new_code_cell(source, outputs=outputs, execution_count=i) for i, (source, outputs) in enumerate(cells, 1)]
    return new_notebook(cells=[new_markdown_cell("# 1. Small"), *code], metadata=store.METADATA)


def printed(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def plotted(y: float) -> NotebookNode:
    data = {PLOTLY: {"data": [{"y": [0.0, y]}], "layout": {}}, PICTURE: "AAAA"}
    return new_output("display_data", data=data)


CHILD = """import subprocess, sys
command = [sys.executable, "-c", "import socket; socket.getaddrinfo('a.org', 1)"]
raise OSError(subprocess.run(command, capture_output=True, text=True).stderr)"""
HERE = """import socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    print(1)"""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, str]:
    """Run strict nbval once on cells that do what is stored, but for noise, or do not; return what it says of each."""
    folder = tmp_path_factory.mktemp("strict")
    cell = "print('loss 0.970')\n" + FIGURE.format(y=1.0)
    cases = {
        "same": (cell, [printed("loss 0.970\n"), plotted(1.0)]),
        "noise": (cell, [printed("loss 0.971\n"), plotted(1.0 + 1e-6)]),
        "text": (cell, [printed("loss 0.980\n"), plotted(1.0)]),
        "figure": (cell, [printed("loss 0.970\n"), plotted(1.1)]),
        "missing": (cell, [printed("loss 0.970\n")]),
        "surplus": ("x = 1", [printed("loss 0.970\n")]),
        "stderr": ("import sys; sys.stderr.write('0.1\\n');", [printed("0.1\n")]),
        "error": ("1 / 0", []),
        "network": ("import socket\nsocket.create_connection(('192.0.2.1', 9), 1)", []),
        "name": ("from urllib.request import urlopen\nurlopen('http://example.org', timeout=1)", []),
        "child": (CHILD, []),
        "here": (HERE, [printed("1\n")]),
        "exempt": ("# NBVAL_IGNORE_OUTPUT\nprint(1)", [printed("2\n")]),
        "stripped": (cell, []),
    }
    notebook = small(*cases.values())
    notebook.cells[-1].execution_count = None
    nbformat.write(notebook, folder / "1_small.ipynb")
    shutil.copy(TOP / "notebooks" / "conftest.py", folder)
    strict = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=60", "--color=no", "-rA", "-W", "error"]
    strict += ["-o", f"pythonpath={TOP / 'tools'}", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *strict, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    found = {int(i): verdict for verdict, i in re.findall(r"^(PASSED|FAILED|ERROR) .*::Cell (\d+)", done.stdout, re.M)}
    assert len(found) == len(cases), done.stdout + done.stderr
    return {name: found[i] for i, name in enumerate(cases)} | {"log": done.stdout}


@pytest.mark.parametrize("name", ["same", "noise", "here"])
def test_strict_check_passes_on_noise(verdicts, name):
    assert verdicts[name] == "PASSED"


@pytest.mark.parametrize(
    "name", ["text", "figure", "missing", "surplus", "stderr", "error", "network", "name", "child"]
)
def test_strict_check_fails_on_change(verdicts, name):
    assert verdicts[name] == "FAILED"


@pytest.mark.parametrize("name", ["stripped", "exempt"])
def test_strict_check_refuses_cells_it_would_not_compare(verdicts, name):
    assert verdicts[name] == "ERROR"


def test_strict_check_names_the_difference(verdicts):
    assert "stored 'loss 0.980', now 'loss 0.970'" in verdicts["log"]
    assert "data[0].y[1]: stored 1.1, now 1.0" in verdicts["log"]
    assert "no stored execution" in verdicts["log"]
    for address in ("192.0.2.1", "example.org", "a.org"):
        assert re.search(f"notebooks must run without a network, got .{address}.; store what it gives", verdicts["log"])


def test_storing_normalises(tmp_path):
    notebook = small(("print('loss 0.970')", [printed("loss 0.971\n")]), ("2 + 2", []))
    notebook.metadata = {"kernelspec": {"name": "other", "display_name": "x"}, "widgets": {}, "signature": "x"}
    notebook.cells[1].metadata = {"tags": ["parameters"], "execution": {"iopub.status.busy": "x"}, "trusted": True}
    for cell, count in zip(notebook.cells[1:], (7, None), strict=True):
        cell.execution_count = count
    path = tmp_path / "1_small.ipynb"
    nbformat.write(notebook, path)
    line = asyncio.run(store.store(path, browser=None))
    first, *changes = line.splitlines()
    assert re.fullmatch(r"1_small\.ipynb: stored, \d+ s, \d KiB", first)
    assert changes == [f"  new outputs: 1 in {notebook.cells[2].id}", f"  new links: 1 in {notebook.cells[0].id}"]
    fresh = nbformat.read(path, as_version=4)
    assert fresh.metadata == store.METADATA
    assert [cell.id for cell in fresh.cells] == [cell.id for cell in notebook.cells]
    assert [cell.metadata for cell in fresh.cells] == [{}, {"tags": ["parameters"]}, {}]
    assert [cell.execution_count for cell in code_cells(fresh)] == [1, 2]
    assert fresh.cells[1].outputs == [printed("loss 0.971\n")]  # within the tolerance: kept
    assert fresh.cells[2].outputs[0].data == {"text/plain": "4"}
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


CAPTION = "*A line that rises from 0 to 1.*"


def captioned(tmp_path: Path, below: NotebookNode) -> Path:
    """Write a notebook with a figure, stored with its picture, and a cell below it."""
    notebook = small((FIGURE.format(y=1.0), [plotted(1.0)]))
    notebook.cells.append(below)
    nbformat.write(notebook, tmp_path / "1_small.ipynb")
    return tmp_path / "1_small.ipynb"


def test_storing_writes_alternative_texts_and_links(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PYPROJECT", tmp_path / "none.toml")
    path = captioned(tmp_path, new_markdown_cell(f"{CAPTION} [Live](a.html#b)\n\n**Take away.** More."))
    first_id, cell_id, _ = (cell.id for cell in nbformat.read(path, as_version=4).cells)
    line = asyncio.run(store.store(path, browser=None))
    changes = [f"  new alternative texts: 1 in {cell_id}", f"  new links: 2 in {first_id}, {cell_id}"]
    assert line.splitlines()[1:] == changes
    first, figure, below = nbformat.read(path, as_version=4).cells
    assert first.source == f"# 1. Small\n\n{MISSING}{IN_A_CLONE}"
    assert figure.outputs[0].metadata == {PICTURE: {"alt": "A line that rises from 0 to 1."}}
    assert below.source == f"{CAPTION}\n\n**Take away.** More."
    before = path.read_bytes()
    assert "unchanged" in asyncio.run(store.store(path, browser=None))
    assert path.read_bytes() == before
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text("[project.urls]\nDocumentation = 'https://x.org/toy/'\n")
    monkeypatch.setattr(store, "PYPROJECT", pyproject)
    line = asyncio.run(store.store(path, browser=None))
    assert line.splitlines()[1:] == [f"  new links: 2 in {first_id}, {cell_id}"]
    assert path.read_text("utf-8").count("[Live](https://x.org/toy/1_small.html#") == 1
    assert path.read_text("utf-8").count("[Live](") == 1


@pytest.mark.parametrize("source", ["**Take away.** More.", "*A line with $y$.*", ""])
def test_a_figure_without_a_caption_is_not_stored(tmp_path, source):
    path = captioned(tmp_path, new_markdown_cell(source))
    before = path.read_bytes()
    cell_id = nbformat.read(path, as_version=4).cells[1].id
    with pytest.raises(store.Refused, match=rf"figure of cell {cell_id} has no caption: the cell after it must be"):
        asyncio.run(store.store(path, browser=None))
    assert path.read_bytes() == before


def test_pictures_have_their_caption_where_a_page_is_made_of_a_notebook(path, notebook):
    """With the template of nbviewer: the picture and not the plot, and its alternative text."""
    page, _ = HTMLExporter(template_name="classic").from_filename(str(path))
    images = re.findall(r'<img[^>]*src="data:image/png;base64,[^>]*>', page)
    texts = [unescape(re.search(r'alt="([^"]*)"', image)[1]) for image in images]
    expected = [
        text
        for cell in notebook.cells
        for text in (
            re.findall(r"!\[(.*?)\]\(attachment:", cell.source)
            if cell.cell_type == "markdown"
            else [caption(notebook, cell.id)] * (cell.id in figures(notebook))
        )
    ]
    assert texts == expected


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("print(1)\n1 / 0", CellExecutionError, "ZeroDivisionError"),
        ("import sys\nsys.stderr.write('rate')", store.Refused, "stderr.*\nrate"),
        ("import ipywidgets\nipywidgets.IntSlider()", store.Refused, "a widget without a figure: IntSlider"),
        ("print('1234567\\n' * 2**17)", store.Refused, "2.38 MiB, the limit is 1 MiB"),
    ],
)
def test_a_notebook_that_must_not_be_stored_is_left_alone(tmp_path, source, error, message):
    path = tmp_path / "1_small.ipynb"
    nbformat.write(small(("0", []), (source, [printed("old\n")])), path)
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        asyncio.run(store.store(path, browser=None))
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == [path.name]
