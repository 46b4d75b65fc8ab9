"""From stored notebooks to pages: code folds, printed intervals become tables, and figures live; one is the hero.

A figure on a page is `<figure class="live" id="ID OF ITS CELL">`: a box of its height in one that scrolls sideways on a
phone, its JSON as it is stored, which `_static/figures.js` draws, and its picture for readers without scripts. Its
alternative text is its caption, the paragraph in italics below it.
"""

import base64
import copy
import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from captions import caption, without_link
from compare import PICTURE, PLOTLY
from nbformat import NotebookNode
from nbformat.v4 import new_output
from printed import parts

from toylib.reporting import CLAIMS

CLOSER = 0.83  # the eye of the hero, which shows no axes
DOWNLOAD = '\n\n<p class="download"><a href="{0}.ipynb" download>Download this notebook</a></p>'
KERNEL = "<figcaption>One view of an explorer: its sliders need a kernel, <code>make lab</code>.</figcaption>"
TRAINS = (
    "<figcaption>One view of an explorer that trains: its buttons and sliders need a kernel, <code>make lab</code>. "
    'The trainer of the <a href="index.html#train">front page</a> needs none.</figcaption>'
)
MOVES = "<figcaption>An explorer with all its pictures: its sliders need no kernel.</figcaption>"


def page(notebook: NotebookNode, pictures: Path) -> NotebookNode:
    """Return a copy for Sphinx: code folded, printed intervals in tables, figures as HTML, a link to the notebook.

    Pictures are written to a folder of `_static` that has the name of the notebook.

    Raises:
        ValueError: no code cell has an output, or a figure has no picture or no caption.
    """
    notebook = copy.deepcopy(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if not any(cell.outputs for cell in code):
        raise ValueError("it has no stored outputs; `make notebooks` stores them")
    notebook.cells[0].source += DOWNLOAD.format(pictures.name)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = without_link(cell.source)  # to the live figure, which a page has already
            for name, data in cell.pop("attachments", {}).items():  # which Sphinx does not know
                (pictures / name).write_bytes(base64.b64decode(data[PICTURE]))
                cell.source = cell.source.replace(f"(attachment:{name})", f"(_static/{pictures.name}/{name})")
        elif cell.cell_type == "code":
            said = folded(cell, first=cell is code[0])
            cell.metadata |= {"tags": ["hide-input"], "mystnb": {"code_prompt_show": said, "code_prompt_hide": said}}
    for cell in code:
        cell.outputs = [shown for output in cell.outputs for shown in as_tables(output)]
        for output in cell.outputs:
            output.get("data", {}).pop(CLAIMS, None)  # the register has them, this page their table
            if "text/html" in output.get("data", {}):  # an account leads to cells of other notebooks
                output.data["text/html"] = re.sub(r'href="(\w+)\.ipynb#', r'href="\1.html#', output.data["text/html"])
        figures = [output for output in cell.outputs if PLOTLY in output.get("data", ())]
        if cell.outputs and not figures:  # claims lead to cells without a figure too
            cell.outputs.insert(0, new_output("display_data", {"text/html": f'<span id="{cell.id}"></span>'}))
        for i, output in enumerate(figures):
            text = caption(notebook, cell.id)
            if PICTURE not in output.data or text is None:
                raise ValueError(
                    f"the figure of cell {cell.id} has no picture or no caption; `make notebooks` says more"
                )
            name = f"{cell.id}-{i + 1}" if i else cell.id
            picture = pictures / f"{name}.png"
            picture.write_bytes(base64.b64decode(output.data[PICTURE]))
            figure = output.data[PLOTLY]
            below_it, source = "", f"_static/{pictures.name}/{picture.name}"
            moves = source.replace(".png", ".js") if picture.with_suffix(".js").exists() else None
            if (said := output.data.get("text/plain", "")).startswith("<explorer"):
                below_it = MOVES if moves else TRAINS if said == "<explorer: train>" else KERNEL
            html_of_it = element(name, figure, text, source, below_it, moves=moves)
            output.data = NotebookNode({"text/html": html_of_it})
    return notebook


def folded(cell: NotebookNode, *, first: bool) -> str:
    """What stands for a code cell until it is opened: what it is, and of how many lines."""
    if first:
        return "Imports"
    if "parameters" in cell.metadata.get("tags", ()):
        return "Parameters"
    lines = len(cell.source.splitlines())
    return f"Code, {lines} line{'s' * (lines != 1)}"


def as_tables(output: NotebookNode) -> Iterator[NotebookNode]:
    """Yield what takes the place of an output: printed text in parts, its intervals in tables; else the output."""
    if output.output_type != "stream":
        yield output
        return
    for kind, part in parts(output.text):
        if kind == "table":
            yield new_output("display_data", {"text/html": part})
        else:
            yield new_output("stream", name=output.name, text=f"{part}\n")


def element(
    name: str,
    figure: dict,
    text: str,
    picture: str,
    below: str = "",
    *,
    classes: str = "live",
    moves: str | None = None,
) -> str:
    """Return the HTML of one figure; `moves` is the script that holds all pictures of an explorer (`moves.py`)."""
    layout = figure["layout"]
    height = layout.get("height", 450)
    if figure.get("frames"):  # without the room that plotly's slider takes: ours stands below the figure
        height -= layout["margin"]["b"] - layout["template"]["layout"]["margin"]["b"]
    data = json.dumps(figure, separators=(",", ":"), ensure_ascii=False).replace("<", r"\u003c")  # ends no script
    text, moved = html.escape(text), f' data-moves="{moves}"' if moves else ""
    return (
        f'<figure class="{classes}" id="{name}"{moved}>'
        f'<div class="sideways"><div class="plot" role="img" aria-label="{text}" style="height:{height}px"></div></div>'
        f'<noscript><img src="{picture}" alt="{text}"></noscript>'
        f'<script type="application/json">{data}</script>{below}</figure>'
    )


def plain(text: str) -> str:
    """Return text without plotly's tags."""
    return re.sub(r"</?[a-z][^>]*>", "", text)


def landing(notebook: NotebookNode, pictures: Path) -> str:
    """Return the HTML of the hero; its picture, for readers without scripts, is that of the whole figure."""
    name, figure = hero(notebook)
    text = "Six directions in three dimensions, during training: they open into two triangles, then form an octahedron"
    whole = f'<figcaption><a href="{pictures.name}.html#{name}">All that this run shows</a></figcaption>'
    return element("hero", figure, text, f"_static/{pictures.name}/{name}.png", whole, classes="live hero")


def hero(notebook: NotebookNode) -> tuple[str, dict]:
    """Return the notebook's first figure with frames and a polyhedron, reduced to this and the loss, and its cell's id.

    Its slider names phases by their letters in the panel of the loss, and in words where another figure has titles
    such as "B: PCA".

    Raises:
        ValueError: no figure has frames, a polyhedron and a y axis with the title "loss".
    """
    stored = [
        (cell.id, output.data[PLOTLY])
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if PLOTLY in output.get("data", ())
    ]
    for name, figure in stored:
        panels = [key for key, axis in figure["layout"].items() if key.startswith("yaxis") and _title(axis) == "loss"]
        if figure.get("frames") and "scene" in figure["layout"] and panels:
            words = _phases(other for _, other in stored)
            return name, _reduced(copy.deepcopy(figure), panels[0].removeprefix("yaxis"), words)
    raise ValueError("no figure has frames, a polyhedron and a loss, which the landing page shows")


def _title(axis: dict) -> str:
    """Return the title of an axis or a layout."""
    return axis.get("title", {}).get("text", "")


def _phases(figures: Iterable[dict]) -> dict[str, str]:
    """Titles such as "B: PCA", by letter."""
    texts = [note["text"] for figure in figures for note in figure["layout"].get("annotations", ())]
    return {text[0]: text for text in texts if re.match(r"[A-Z]: ", text)}


def _reduced(figure: dict, panel: str, words: dict[str, str]) -> dict:
    """Keep the scene and one panel, below it and as wide; begin where the first phase ends."""
    layout = figure["layout"]
    kept = [i for i, trace in enumerate(figure["data"]) if trace.get("yaxis") == f"y{panel}" or "z" in trace]
    kept = [i for i in kept if figure["data"][i]["type"] != "heatmap"]
    notes = [note for note in layout["annotations"] if note.get("yref", "").split()[0] == f"y{panel}"]
    shapes = [shape for shape in layout["shapes"] if shape["yref"].split()[0] == f"y{panel}"]
    letters = sorted((note["x"], plain(note["text"])) for note in notes if note.get("xref") == f"x{panel}")
    starts = sorted({x for s in shapes if s["type"] == "rect" for x in (s["x0"], s["x1"])})[: len(letters)]
    slider = layout["sliders"][0]
    numbers = [int(step["label"].replace(",", "")) for step in slider["steps"]]
    for number, step in zip(numbers, slider["steps"], strict=True):
        letter = letters[sum(start <= number for start in starts[1:])][1]
        step["label"] += f" · {words.get(letter[0], letter)}"
    slider["active"] = first = sum(number < starts[1] for number in numbers)
    frames = [
        {
            "name": frame["name"],
            "traces": [kept.index(t) for t in frame["traces"] if t in kept],
            "data": [data for t, data in zip(frame["traces"], frame["data"], strict=True) if t in kept],
        }
        for frame in figure["frames"]
    ]
    data = [figure["data"][i] for i in kept]
    for trace, change in zip(frames[first]["traces"], frames[first]["data"], strict=True):
        data[trace] |= change
    across = {"title": {"text": "step"}, "showticklabels": True, "domain": [0.15, 0.74]}  # names stand on its right
    scene = layout["scene"] | {"domain": {"x": [0, 1], "y": [0.4, 1]}}
    for name in ("xaxis", "yaxis", "zaxis"):
        scene[name] = scene.get(name, {}) | {"showticklabels": False, "title": {"text": ""}}
    scene["camera"] = {"eye": {name: CLOSER * value for name, value in scene["camera"]["eye"].items()}}
    return {
        "data": data,
        "frames": frames,
        "layout": {
            "template": layout["template"],
            "height": 560,
            "margin": {"l": 0, "r": 0, "t": 0, "b": 50},
            "scene": scene,
            f"xaxis{panel}": layout[f"xaxis{panel}"] | across,
            f"yaxis{panel}": layout[f"yaxis{panel}"] | {"domain": [0, 0.34]},
            f"legend{panel}": layout.get(f"legend{panel}", {}) | {"x": 0.15, "y": 0.34},
            "showlegend": layout.get("showlegend", True),
            "annotations": notes,
            "shapes": shapes,
            "sliders": [slider],
        },
    }
