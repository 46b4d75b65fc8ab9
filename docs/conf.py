"""Sphinx configuration of the site; make.py gathers the sources and calls Sphinx."""

import re
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax.typing
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "Toy Models of Superposition, live"
author = PROJECT["authors"][0]["name"]
copyright = author
version = release = PROJECT["version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.githubpages",
    "mathml",
]
exclude_patterns = ["cards.md", "speed_*.md"]  # included
nb_execution_mode = "off"  # pages show what is stored
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

jax.typing.ArrayLike = type("ArrayLike", (), {"__module__": "jax.typing"})  # signatures name it, instead of its union
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
napoleon_use_ivar = True  # else each attribute is described twice
default_role = "py:obj"
python_use_unqualified_type_names = True
maximum_signature_line_length = 90

html_theme = "sphinx_book_theme"
html_title = project
html_math_renderer = "mathml"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is, until told otherwise
html_css_files = ["sliders.css", "site.css"]
html_js_files = [("reading.js", {"defer": "defer"})]
html_show_sphinx = False
html_show_search_summary = False  # it fetches pages, which a browser refuses to one opened from disk
html_copy_source = False  # make.py copies the notebooks themselves
html_theme_options: dict[str, Any] = {
    "navbar_persistent": [],  # a second search field
    "use_download_button": False,  # offers this file's source, and a script in an attribute
    "home_page_in_toc": True,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
}
if "Repository" in PROJECT.get("urls", {}):
    html_theme_options |= {"repository_url": PROJECT["urls"]["Repository"], "use_repository_button": True}


def _add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load plotly on pages with figures only, and let what folds be read out by what stands there."""
    context["body"] = context.get("body", "").replace(' aria-label="Toggle hidden content"', "")
    if '<figure class="live' in context["body"]:
        for name in ("plotly.min.js", "colours.js", "plot.js", "sliders.js", "figures.js"):
            app.add_js_file(name, loading_method="defer")


def _from_markdown(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Show a docstring's table as it stands, and let bars and stars outside of code mean themselves."""
    converted = []
    for above, line in pairwise(["", *lines]):
        if not line.startswith("|"):
            converted.append(re.sub(r"(`+[^`]*`+)|([|*])", lambda m: m[1] or "\\" + m[2], line))
        else:
            converted += ["::", ""] * (not above.startswith("|")) + ["   " + line]
    lines[:] = converted


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what Python itself says of the fields of a named tuple, which their class describes."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    """Connect what this configuration adds."""
    app.connect("autodoc-process-docstring", _from_markdown, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", _skip)
    app.connect("html-page-context", _add_scripts)
