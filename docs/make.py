"""Build the site: `python docs/make.py [folder]`; the default is site/ at the root of the repository.

Sphinx wants its sources in one folder: the pages of docs/, README.md (parts of which are included), the notebooks as
`live.page` turns them into pages, and plotly.min.js from the installed package are gathered in a temporary one.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / "notebooks"))  # compare.py

try:
    import nbformat
    import plotly
    from sphinx.cmd.build import build_main

    import live
except ImportError as error:
    sys.exit(
        f"the site needs {error.name}, which is not installed: run `make site`, or pip install '.[docs,notebooks]'"
    )

from toylib.style import DARK

HERO = "Six directions in three dimensions during training: two lines open into triangles, which form an octahedron."


def gather(notebooks: list[Path], folder: Path) -> None:
    """Write everything that Sphinx reads to a folder; exit with a message at a notebook that cannot be shown."""
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"), dirs_exist_ok=True)
    shutil.copy(ROOT / "README.md", folder)
    static = folder / "_static"
    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", static)
    shutil.copy(ROOT / "notebooks" / "pictures" / "octahedron.png", static)
    (static / "colours.js").write_text(f"const DARK = {json.dumps(DARK)};\n", encoding="utf-8")
    for path in notebooks:
        pictures = static / path.stem
        pictures.mkdir()
        try:
            notebook = nbformat.read(path, as_version=4)
            nbformat.write(live.page(notebook, pictures), folder / path.name)
            if path.stem == "2_training_dynamics":
                (folder / "hero.html").write_text(
                    live.element("hero", live.hero(notebook), HERO, "_static/octahedron.png", classes="live hero"),
                    encoding="utf-8",
                )
        except (ValueError, LookupError) as error:
            sys.exit(f"{path}: {error}")


def main() -> None:
    """Gather, build with every warning an error, and say where the site is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "site")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks")
    options = parser.parse_args()
    start, folder = time.perf_counter(), options.folder
    notebooks = sorted(options.notebooks.glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as temporary:
        sources = Path(temporary) / "sources"
        gather(notebooks, sources)
        shutil.rmtree(folder, ignore_errors=True)
        flags = [
            "-W",
            "--keep-going",
            "-q",
            "-b",
            "html",
            "-c",
            str(DOCS),
            "-d",
            f"{temporary}/doctrees",
            "-D",
            f"html_static_path={sources}/_static",
        ]
        if status := build_main([*flags, str(sources), str(folder)]):
            sys.exit(status)
    for path in notebooks:
        shutil.copy(path, folder / "_sources")  # what the download button of a page offers
    size = sum(path.stat().st_size for path in folder.rglob("*")) / 2**20
    print(f"{folder}: {size:.0f} MiB in {time.perf_counter() - start:.0f} s; open {folder / 'index.html'} in a browser")


if __name__ == "__main__":
    main()
