"""Execute the notebooks and store them with their pictures: `python tools/store.py [notebook ...]` (default: all).

A stored notebook reads everywhere: each plotly figure has a picture (image/png) beside it, drawn here from the
figure's JSON, which takes a Chromium or Chrome; running a notebook does not. An output that agrees with the stored one
(compare.py says when) stays as it is, picture included, so that a second run changes nothing. The caption that follows
a figure (captions.py) becomes the alternative text of its picture, and the links are written anew (addresses.py).
Widget views and widget state are left out: without their kernel they show an error, or nothing. A notebook that fails,
writes to stderr, shows a widget without a figure or a figure without a caption, or comes to more than 1 MiB is not
stored, and the command fails.
"""

import argparse
import asyncio
import base64
import copy
import io
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

import kaleido
import nbformat
from addresses import Addresses, link
from captions import RULE, caption
from compare import PICTURE, PLOTLY, WIDGET, outputs_difference
from kaleido.errors import ChromeNotFoundError
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
LIMIT = 2**20  # bytes a notebook
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {  # without the version, so that the file is the same on every Python
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


class Refused(Exception):
    """A notebook that must not be stored."""


async def execute(stored: NotebookNode, folder: Path) -> NotebookNode:
    """Run a copy of the notebook in a new kernel, without progress bars."""
    client = NotebookClient(
        copy.deepcopy(stored),
        timeout=300,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # ipykernel's notice, on every start, that it listens on localhost
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    notebook = await client.async_execute(env=os.environ | {"TQDM_DISABLE": "1"})
    notebook.metadata = NotebookNode(METADATA)
    for cell in notebook.cells:
        cell.metadata = NotebookNode({"tags": cell.metadata.tags} if "tags" in cell.metadata else {})
    return notebook


def check(output: NotebookNode) -> None:
    """Raise Refused for an output that must not be stored."""
    if output.output_type == "error" or output.get("name") == "stderr":
        raise Refused(f"an output on stderr, or an error:\n{output.get('text') or output.evalue}")
    if WIDGET in output.get("data", ()) and PLOTLY not in output.data:
        raise Refused(f"a widget without a figure: {output.data.get('text/plain')}")


async def draw(output: NotebookNode, browser: kaleido.Kaleido) -> None:
    """Add the picture of its figure to an output, as large as the figure: JupyterLab swaps one for the other."""
    drawn = await browser.calc_fig(output.data[PLOTLY], opts={"format": "png"})
    with Image.open(io.BytesIO(drawn)) as image, io.BytesIO() as file:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
        png = file.getvalue()
    output.data[PICTURE] = base64.b64encode(png).decode()


async def renew(cell: NotebookNode, known: list[NotebookNode], browser: kaleido.Kaleido) -> list[str]:
    """Put the known outputs of a code cell back where they still hold; say for each that does not what is new."""
    new = []
    for i, output in enumerate(cell.outputs):
        check(output)
        has_figure = PLOTLY in output.get("data", ())
        old = known[i] if i < len(known) else None
        if old and outputs_difference([old], [output]) is None and (not has_figure or PICTURE in old.data):
            cell.outputs[i] = old
        else:
            new.append("new outputs")
            if has_figure:
                await draw(output, browser)
                new.append("new pictures")
                output.metadata = old.metadata if old else NotebookNode()
        if has_figure:
            cell.outputs[i].data.pop(WIDGET, None)
        if output.output_type == "execute_result":
            cell.outputs[i].execution_count = cell.execution_count
    return new


def describe(notebook: NotebookNode, cell: NotebookNode) -> list[str]:
    """Give the figures of a code cell their caption as alternative text; say what is new."""
    new = []
    figures = [output for output in cell.outputs if PLOTLY in output.get("data", ())]
    if figures and (text := caption(notebook, cell.id)) is None:
        raise Refused(f"the figure of cell {cell.id} has no caption: {RULE}, saying what is drawn and what to see")
    for output in figures:
        if output.metadata != (described := {PICTURE: {"alt": text}}):
            output.metadata = NotebookNode(described)
            new.append("new alternative texts")
    return new


async def store(path: Path, browser: kaleido.Kaleido) -> str:
    """Execute and store one notebook; return what changed, in which cells."""
    start = time.perf_counter()
    stored = nbformat.read(path, as_version=4)
    fresh = await execute(stored, path.parent)
    known = {cell.id: cell.outputs for cell in stored.cells if cell.cell_type == "code"}
    changes = defaultdict(list)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            for what in [*await renew(cell, known[cell.id], browser), *describe(fresh, cell)]:
                changes[what].append(cell.id)
    if linked := link(fresh, path.stem, Addresses.read(PYPROJECT)):
        changes["new links"] = linked
    text = nbformat.writes(fresh) + "\n"
    size = len(text.encode())
    if size > LIMIT:
        raise Refused(f"{size / LIMIT:.2f} MiB, the limit is 1 MiB: fewer frames, or arrays as float32")
    if changed := text != path.read_text(encoding="utf-8"):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    said = [
        f"{path.name}: {'stored' if changed else 'unchanged'}, {time.perf_counter() - start:.0f} s, {size >> 10} KiB"
    ]
    said += [f"  {name}: {len(cells)} in {', '.join(dict.fromkeys(cells))}" for name, cells in changes.items()]
    return "\n".join(said)


async def main(paths: list[Path]) -> None:
    """Store the notebooks one after the other with one browser; exit with a message at the first that fails."""
    try:
        browser = kaleido.Kaleido(n=1, mathjax=False)
    except ChromeNotFoundError:
        sys.exit("the pictures of the notebooks are drawn by Chromium or Chrome: install one, or set BROWSER_PATH")
    async with browser:
        for path in paths:
            try:
                print(await store(path, browser), flush=True)
            except (Refused, CellControlSignal) as error:
                sys.exit(f"{path.name} is not stored: {error}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted((ROOT / "notebooks").glob("*.ipynb")))
    asyncio.run(main(parser.parse_args().notebooks))
