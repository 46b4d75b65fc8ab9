"""From `import toylib` to a notebook's first figure, in a new process: what of it is compiling, and what a cache saves.

Every notebook runs as its kernel runs it, cell by cell, without a browser, in three processes one after the other:
without a persistent cache of what is compiled, with an empty one, as the first time under `make lab`, and with the one
that is then full, as the second time. The one with an empty cache also writes down the text of every program.

- *figure*: seconds from the first import to the first figure that a cell shows; *all*: to the end of the notebook.
- *compiling*: what of it JAX spends on tracing, lowering and compiling, or on reading what is in the cache.
- *programs*: how many are lowered; *twice*: how many of these have the text of another but for their names.

    python -m benchmarks.first_use                 the table, and docs/speed.json
    python -m benchmarks.first_use NOTEBOOK ...    the table of these
"""

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
STAGES = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration")
KEPT = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
NAME = re.compile(r"@[\w.]+|#loc.*|loc\(.*?\)")


def run(notebook: Path) -> None:
    """Run a notebook in this process, and print what was measured as JSON."""
    began = time.perf_counter()
    import jax

    spent: Counter[str] = Counter()

    def count(event: str, seconds: float, **_: object) -> None:
        spent[event.rpartition("/")[2]] += seconds

    jax.monitoring.register_event_duration_secs_listener(count)
    sys.path.insert(0, str(NOTEBOOKS))  # as in its kernel, for the results
    scope: dict[str, object] = {"__name__": "__main__"}
    figure = compiling = None
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        body = ast.parse("".join(cell["source"])).body
        last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), notebook.name, "exec"), scope)  # our own notebook
        shown = None if last is None else eval(compile(last, notebook.name, "eval"), scope)
        if figure is None and hasattr(shown, "_repr_mimebundle_"):
            shown._repr_mimebundle_()
            figure, compiling = time.perf_counter() - began, sum(spent[stage] for stage in STAGES)
    found = {"figure": figure, "figure_compiling": compiling, "all": time.perf_counter() - began}
    print("\n" + json.dumps(found | {"all_compiling": sum(spent[stage] for stage in STAGES)}))


def measured(notebook: Path, **environment: str) -> dict[str, float]:
    """What `run` prints in a process of its own."""
    command = [sys.executable, __file__, "--run", str(notebook)]
    settings = {**os.environ, "TQDM_DISABLE": "1", **environment}
    done = subprocess.run(command, env=settings, cwd=NOTEBOOKS, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def programs(folder: Path) -> tuple[int, Counter[str]]:
    """How many programs were lowered, and by name those whose text, without names, another one has as well."""
    texts: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*_compile.mlir")):
        texts.setdefault(NAME.sub("", path.read_text(encoding="utf-8")), []).append(path.name.split("_", 2)[-1])
    again = Counter(name.removesuffix("_compile.mlir") for names in texts.values() for name in names[1:])
    return sum(map(len, texts.values())), again


def measure(notebook: Path) -> dict[str, Any]:
    """The times of a notebook, in seconds, by what the cache holds; its programs and the size of the cache."""
    with tempfile.TemporaryDirectory() as home:
        cache = {"JAX_COMPILATION_CACHE_DIR": f"{home}/cache", **KEPT}
        texts = {"JAX_DUMP_IR_TO": f"{home}/programs", "JAX_DUMP_IR_MODES": "stablehlo"}
        found = {
            "no cache": measured(notebook),
            "empty cache": measured(notebook, **cache, **texts),
            "full cache": measured(notebook, **cache),
        }
        size = sum(path.stat().st_size for path in (Path(home) / "cache").iterdir()) / 2**20
        total, again = programs(Path(home) / "programs")
    return {"seconds": found, "programs": total, "twice": dict(again.most_common()), "cache_mib": size}


def picture(stored: dict[str, Any]) -> "go.Figure":
    """Seconds to the first figure: two bars for each notebook, each of what is compiling and of the rest."""
    import plotly.graph_objects as go

    from benchmarks._drawing import headed
    from toylib.figures.style import BLUE, ORANGE, THEME, WIDTH

    ways = {"full cache": "second start", "no cache": "first start"}
    rows = [(name, way) for name in [*stored["notebooks"]][::-1] for way in ways]
    found = [stored["notebooks"][name]["seconds"][way] for name, way in rows]
    compiling = [each["figure_compiling"] for each in found]
    rest = [each["figure"] - each["figure_compiling"] for each in found]
    title = headed("From import to the first figure of each notebook", stored)
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal"}
    layout = {"template": THEME, "width": WIDTH, "height": 500, "legend": legend, "barmode": "stack", **title}
    figure = go.Figure(layout=layout | {"margin_l": 280, "bargap": 0.25})
    y = [[name for name, _ in rows], [ways[way] for _, way in rows]]
    for name, seconds, color in (
        ("tracing and compiling, or reading what is kept", compiling, ORANGE),
        ("the rest", rest, BLUE),
    ):
        figure.add_bar(x=seconds, y=y, name=name, marker_color=color, orientation="h")
    figure.update_xaxes(title_text=f"seconds, on {stored['cores']} cores", rangemode="tozero")
    return figure


def main(notebooks: list[Path] | None = None) -> None:
    """Print a line for each notebook and way, and the programs of each; store those of all notebooks."""
    from benchmarks._timing import STORED, keep, machine  # imports the library, which `run` does on the clock

    print("\nfirst use: seconds to the first figure, and of the whole notebook; in brackets, of it compiling")
    table = {}
    for notebook in notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        found = table[notebook.stem] = measure(notebook)
        for way, each in found["seconds"].items():
            times = f"figure {each['figure']:5.1f} ({each['figure_compiling']:4.1f})"
            print(f"{notebook.stem:30} {way:12} {times}, all {each['all']:5.1f} ({each['all_compiling']:4.1f})")
        again = found["twice"]
        names = ", ".join(f"{name} {number}" for name, number in [*again.items()][:6]) or "none"
        size = f"the cache takes {found['cache_mib']:.1f} MiB"
        print(f"{'':30} {found['programs']} programs, {sum(again.values())} twice ({names}); {size}", flush=True)
    if not notebooks:
        stored = machine() | {"notebooks": table}
        keep("first_use", stored)
        picture(stored).write_image(STORED.parent / "_static" / "first_use.svg")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(Path(sys.argv[2]))
    else:
        main([Path(name).resolve() for name in sys.argv[1:]])
