"""Pictures of stored figures: `python tools/pictures.py` writes those of README.md, and the map in notebook 0.

README.md decides: where it shows docs/pictures/NOTEBOOK.CELL.png, that is the stored picture of this cell, with its
caption as alternative text; and its row for a notebook is what the map says of it. On the map a notebook has the
picture that README.md shows of it, else its first; it is stored in the cell itself, since JupyterLab shows nothing from
outside of its folder. Nothing is run, and a second call changes nothing.
"""

import base64
import io
import re
from html import escape
from pathlib import Path

import nbformat
from captions import caption
from compare import PICTURE
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).parents[1]
FIRST, MAP = "0_start_here", "text-map"
SHOWN = re.compile(r"docs/pictures/(\d_\w+)\.([\w-]+)\.png")
WIDTH, COLORS = 320, 48  # of a picture on the map
HEAD = """## 5. A map of the notebooks

Each runs alone, in under a minute. They build on each other in this order, but each says what it needs."""


def drawn(notebook: NotebookNode) -> dict[str, bytes]:
    """The stored pictures of a notebook, as PNG: id of the code cell -> picture."""
    outputs = [(cell.id, output.get("data", {})) for cell in notebook.cells for output in cell.get("outputs", ())]
    return {cell_id: base64.b64decode(data[PICTURE]) for cell_id, data in outputs if PICTURE in data}


def small(png: bytes) -> bytes:
    """The picture as it stands on the map."""
    with Image.open(io.BytesIO(png)) as image, io.BytesIO() as file:
        height = round(WIDTH * image.height / image.width)
        shrunk = image.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
        shrunk.quantize(COLORS, dither=Image.Dither.NONE).save(file, "png", optimize=True)
        return file.getvalue()


def row(readme: str, name: str) -> str:
    """What README.md's table says of a notebook; ValueError if it has no row for it."""
    found = re.search(rf"^\| \[{name}\.ipynb\]\(\S*\) \| (.*?) \|", readme, re.MULTILINE)
    if found is None:
        raise ValueError(f"README.md must list every notebook, got none of the name {name}.ipynb; add its row")
    return found[1]


def on_the_map(notebooks: dict[str, NotebookNode], readme: str) -> dict[str, tuple[str, bytes]]:
    """Each notebook but the first -> the cell whose picture stands for it, and that picture."""
    chosen = dict(reversed(SHOWN.findall(readme)))  # the first that is shown of each
    pictures = {name: drawn(notebook) for name, notebook in notebooks.items() if name != FIRST}
    cells = {name: chosen.get(name, next(iter(own))) for name, own in pictures.items()}
    return {name: (cell_id, pictures[name][cell_id]) for name, cell_id in cells.items()}


def map_of(notebooks: dict[str, NotebookNode], readme: str) -> str:
    """The source of the map: of each notebook its title, what README.md says of it, and its picture."""
    parts = [HEAD]
    for name, (cell_id, _) in on_the_map(notebooks, readme).items():
        title = notebooks[name].cells[0].source.partition("\n")[0].removeprefix("# ")
        text = caption(notebooks[name], cell_id)
        parts.append(f"**[{title}]({name}.ipynb)**  \n{row(readme, name)}.\n\n![{text}](attachment:{name}.png)")
    return "\n\n".join(parts)


def described(readme: str, notebooks: dict[str, NotebookNode]) -> str:
    """README.md with the caption of each figure as the alternative text of its picture."""
    for name, cell_id in SHOWN.findall(readme):
        image = rf'(<img src="docs/pictures/{name}\.{cell_id}\.png" [^>]*alt=")[^"]*'
        text = escape(caption(notebooks[name], cell_id) or "")
        readme = re.sub(image, lambda found, text=text: found[1] + text, readme)
    return readme


def main(root: Path = ROOT) -> None:
    """Write the pictures, their descriptions and the map of a folder that is laid out as the project."""
    readme = (root / "README.md").read_text("utf-8")
    stored = {path.stem: nbformat.read(path, as_version=4) for path in sorted((root / "notebooks").glob("*.ipynb"))}
    for name, cell_id in SHOWN.findall(readme):
        (root / "docs" / "pictures" / f"{name}.{cell_id}.png").write_bytes(drawn(stored[name])[cell_id])
    (root / "README.md").write_text(described(readme, stored), "utf-8")
    cell = next(cell for cell in stored[FIRST].cells if cell.id == MAP)
    cell.source = map_of(stored, readme)
    pictures = {name: small(png) for name, (_, png) in on_the_map(stored, readme).items()}
    cell.attachments = {f"{name}.png": {PICTURE: base64.b64encode(png).decode()} for name, png in pictures.items()}
    path = root / "notebooks" / f"{FIRST}.ipynb"
    path.write_text(nbformat.writes(stored[FIRST]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
