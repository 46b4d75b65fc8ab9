"""Build the site: `python docs/make.py [folder]`; the default is site/ at the root of the repository.

Sphinx wants its sources in one folder: the pages of docs/, the notebooks as `pages.page` turns them into pages, the
register and the reference, which `lists` makes from the notebooks and from the library's rooms, what the landing page
trains on (`train`), what explorers move through (`moves`), and plotly.min.js from the installed package are gathered in
a temporary one. What is listed is derived: a new notebook or room appears by itself.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / "tools"))  # captions.py, compare.py

try:
    import lists
    import moves
    import nbformat
    import pages
    import plotly
    import times
    import train
    from sphinx.cmd.build import build_main

    from toylib.figures.style import DARK
    from toylib.reporting import read_criteria
except ImportError as error:
    sys.exit(f"the site needs {error.name}: run `make site`, which installs it, or pip install '.[docs,notebooks]'")

STORY = "2_training_dynamics"  # its first scrubbing figure is the hero of the landing page


def gather(notebooks: Path, folder: Path) -> None:
    """Write everything that Sphinx reads to a folder; exit with a message at a notebook that cannot be shown."""
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    static = folder / "_static"
    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", static)
    shutil.copy(ROOT / "toylib" / "explorers" / "plot.js", static)  # what a page and a kernel draw alike
    (static / "colours.js").write_text(f"const DARK = {json.dumps(DARK)};\n", encoding="utf-8")
    stored = {path.stem: nbformat.read(path, as_version=4) for path in sorted(notebooks.glob("*.ipynb"))}
    for name, notebook in stored.items():
        (static / name).mkdir()
        try:
            moves.write(name, notebook, notebooks, static / name)
            nbformat.write(pages.page(notebook, static / name), folder / f"{name}.ipynb")
            if name == STORY:
                (folder / "hero.html").write_text(pages.landing(notebook, static / name), encoding="utf-8")
        except (ValueError, LookupError) as error:
            sys.exit(f"{notebooks / name}.ipynb has no page: {error}")
    train.write(static)
    try:
        criteria = read_criteria(ROOT / "notebooks" / "results" / "criteria.toml")
        texts = lists.reference() | {"claims.md": lists.register(stored, criteria)}
        texts |= times.tables(json.loads((DOCS / "speed.json").read_text(encoding="utf-8")))
        texts["cards.md"] = lists.cards(stored, (ROOT / "README.md").read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(str(error))
    (folder / "api").mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def build(sources: Path, doctrees: Path, folder: Path) -> int:
    """Let Sphinx build the pages, every warning an error; return its exit status."""
    options = ["-b", "html", "-c", DOCS, "-d", doctrees, "-D", f"html_static_path={sources}/_static"]
    return build_main([*map(str, options), "-W", "--keep-going", "-q", str(sources), str(folder)])


def main() -> None:
    """Gather, build, and say where the site is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "site")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks")
    options = parser.parse_args()
    start, folder = time.perf_counter(), options.folder
    if folder.exists() and any(folder.iterdir()) and not (folder / ".nojekyll").exists():
        sys.exit(f"{folder} holds something that is not a site: name another folder, or empty it")
    with tempfile.TemporaryDirectory() as temporary:
        sources, built = Path(temporary) / "sources", Path(temporary) / "site"
        gather(options.notebooks, sources)
        if status := build(sources, Path(temporary) / "doctrees", built):
            sys.exit(status)
        for path in built.rglob("*.map"):  # of the theme's sources, for those who work on it
            path.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(built, folder)
    for path in options.notebooks.glob("*.ipynb"):
        shutil.copy(path, folder)  # for download
    size = sum(path.stat().st_size for path in folder.rglob("*")) / 2**20
    print(f"{folder}: {size:.0f} MiB, {time.perf_counter() - start:.0f} s. Open {folder / 'index.html'} in a browser.")


if __name__ == "__main__":
    main()
