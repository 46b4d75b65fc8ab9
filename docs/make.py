"""Build the site: `python docs/make.py [folder]`; the default is site/ at the root of the repository.

Sphinx wants its sources in one folder: the pages of docs/, README.md (parts of it are included), the notebooks as
`pages.page` turns them into pages, and plotly.min.js from the installed package are gathered in a temporary one.
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
sys.path.insert(0, str(ROOT / "notebooks"))  # captions.py, compare.py

try:
    import nbformat
    import pages
    import plotly
    from sphinx.cmd.build import build_main

    from toylib.style import DARK
except ImportError as error:
    sys.exit(f"the site needs {error.name}: run `make site`, which installs it, or pip install '.[docs,notebooks]'")

STORY = "2_training_dynamics.ipynb"  # its first scrubbing figure is the hero of the landing page


def gather(notebooks: Path, folder: Path) -> None:
    """Write everything that Sphinx reads to a folder; exit with a message at a notebook that cannot be shown."""
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(ROOT / "README.md", folder)
    static = folder / "_static"
    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", static)
    (static / "colours.js").write_text(f"const DARK = {json.dumps(DARK)};\n", encoding="utf-8")
    for path in sorted(notebooks.glob("*.ipynb")):
        (static / path.stem).mkdir()
        try:
            stored = nbformat.read(path, as_version=4)
            nbformat.write(pages.page(stored, static / path.stem), folder / path.name)
            if path.name == STORY:
                (folder / "hero.html").write_text(pages.landing(stored, static / path.stem), encoding="utf-8")
        except (ValueError, LookupError) as error:
            sys.exit(f"{path} has no page: {error}")


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
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(built, folder)
    for path in options.notebooks.glob("*.ipynb"):
        shutil.copy(path, folder)  # for download
    size = sum(path.stat().st_size for path in folder.rglob("*")) / 2**20
    print(f"{folder}: {size:.0f} MiB, {time.perf_counter() - start:.0f} s. Open {folder / 'index.html'} in a browser.")


if __name__ == "__main__":
    main()
