"""Links to where the project is hosted: `python tools/addresses.py` writes them into README.md and the notebooks.

The addresses have one place, `[project.urls]` of pyproject.toml: `Documentation` is the site, `Repository` the source.
While one is unset no link is made of it, so that none leads to a page that is not there. What is made of them: the link
to the live figure after each caption; in the opening cell of each notebook a line of links, and what to run where the
library is missing; and the badges of README.md. Nothing is run, and a second call changes nothing.
"""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import nbformat
from captions import caption_of, with_link, without_link
from compare import PLOTLY
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
BRANCH = "main"
FIRST = "0_start_here"
"""The notebook that the badges of README.md open."""
BADGES = {
    "the site": "https://img.shields.io/badge/live-pages-0072B2.svg",
    "Colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "Binder": "https://mybinder.org/badge_logo.svg",
}
MARKED = re.compile(r"(?<=<!-- badges -->\n).*?(?=<!-- /badges -->)", re.DOTALL)
OPEN, MISSING = "**Open it** on ", "**If the next cell says** `No module named 'toylib'`, "
IN_A_CLONE = (
    'its kernel is not the one that `make lab` starts: run `pip install -e ".[notebooks]"` in the clone, with that '
    "kernel's Python, and restart it."
)
IN_THE_FOLDER = (
    " If it says `No module named 'results'`, it runs in another folder than this one: run it in `notebooks/` "
    "(papermill: `--cwd notebooks`), or set `PYTHONPATH` to that folder."
)
ELSEWHERE = """ Where there is no clone, as on Colab, run this first:

```
!git clone --quiet --depth 1 {0}
%cd {1}/notebooks
%pip install --quiet "..[notebooks]"
```"""


class Addresses(NamedTuple):
    """Where the project is hosted, without a slash at the end; "" where that is unset."""

    site: str = ""
    repository: str = ""

    @classmethod
    def read(cls, pyproject: Path) -> "Addresses":
        """Those that a pyproject.toml names; none if there is no such file."""
        project = tomllib.loads(pyproject.read_text("utf-8")) if pyproject.exists() else {}
        urls = project.get("project", {}).get("urls", {})
        return cls(*(urls.get(name, "").rstrip("/") for name in ("Documentation", "Repository")))

    def live(self, notebook: str, cell_id: str) -> str | None:
        """The address of the live figure of a code cell; `notebook` is a file's name without its ending."""
        return f"{self.site}/{notebook}.html#{cell_id}" if self.site else None

    def hosts(self, notebook: str) -> dict[str, str]:
        """Where a notebook can be opened: on its page, and with a kernel by what opens notebooks of GitHub."""
        found = {"the site": f"{self.site}/{notebook}.html"} if self.site else {}
        if there := re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?", self.repository):
            path = f"notebooks/{notebook}.ipynb"
            found["Colab"] = f"https://colab.research.google.com/github/{there[1]}/blob/{BRANCH}/{path}"
            found["Binder"] = f"https://mybinder.org/v2/gh/{there[1]}/{BRANCH}?labpath={path}"
        return found

    def opening(self, source: str, notebook: str, *, results: bool = False) -> str:
        """The source of an opening cell, its last paragraphs anew: where it can be opened, and what may be missing.

        Args:
            source: of the cell.
            notebook: a file's name without its ending.
            results: it imports `results`, which may be missing too.
        """
        text = re.split(rf"\n\n(?:{re.escape(OPEN)}|{re.escape(MISSING)})", source)[0]
        if hosts := self.hosts(notebook):
            text += f"\n\n{OPEN}{', '.join(f'[{host}]({address})' for host, address in hosts.items())}."
        folder = self.repository.removesuffix(".git").rpartition("/")[2]
        text = f"{text}\n\n{MISSING}{IN_A_CLONE}{IN_THE_FOLDER if results else ''}"
        return text + (ELSEWHERE.format(self.repository, folder) if folder else "")

    def badges(self, readme: str) -> str:
        """README.md with its badges, a line each, between the two marks."""
        hosts = self.hosts(FIRST)
        lines = [f"[![Open on {host}]({BADGES[host]})]({address})\n" for host, address in hosts.items()]
        return MARKED.sub(lambda _: "".join(lines), readme)


def link(notebook: NotebookNode, name: str, addresses: Addresses) -> list[str]:
    """Write the links of a notebook, in place.

    Args:
        notebook: an opening cell without a title stays as it is, and so does a figure without a caption.
        name: of its file, without the ending.
        addresses: of the project.

    Returns:
        The ids of the cells that are new: the opening cell, and those whose figure has another link.
    """
    new, first = [], notebook.cells[0]
    if first.cell_type == "markdown" and first.source.startswith("# "):
        results = any(re.search(r"^from results import", cell.source, re.MULTILINE) for cell in notebook.cells)
        opening = addresses.opening(first.source, name, results=results)
        new += [first.id] * (opening != first.source)
        first.source = opening
    for cell, below in zip(notebook.cells, notebook.cells[1:], strict=False):
        drawn = any(PLOTLY in output.get("data", ()) for output in cell.get("outputs", ()))
        if drawn and caption_of(below) is not None:
            address = addresses.live(name, cell.id)
            linked = with_link(below.source, address) if address else without_link(below.source)
            new += [cell.id] * (linked != below.source)
            below.source = linked
    return new


def main(root: Path = ROOT) -> None:
    """Write all links below a folder that is laid out as the project; say which files are new."""
    addresses = Addresses.read(root / "pyproject.toml")
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if cells := link(notebook, path.stem, addresses):
            path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
            print(f"{path.name}: new links in {', '.join(cells)}")
    readme = (root / "README.md").read_text("utf-8")
    if (text := addresses.badges(readme)) != readme:
        (root / "README.md").write_text(text, encoding="utf-8")
        print("README.md: new badges")


if __name__ == "__main__":
    main()
