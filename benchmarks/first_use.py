"""From `import toylib` to a notebook's first figure, in a new process: what of it is compiling, and what a cache saves.

Every notebook runs as its kernel runs it, cell by cell, without a browser, in three processes one after the other:
without a persistent cache of what is compiled, with an empty one, and with the one that is then full, which is how a
second start under `make lab` finds it.

- *figure*: seconds from the first import to the first figure that a cell shows; *all*: to the end of the notebook.
- *compiling*: what of it JAX spends on tracing, lowering and compiling, or on reading what is in the cache.
- *programs*: how many are lowered; *twice*: how many of these have the text of another but for their names.

    python -m benchmarks.first_use [notebook ...]
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
    found = {"figure": figure, "of it compiling": compiling, "all": time.perf_counter() - began}
    print("\n" + json.dumps(found | {"compiling": sum(spent[stage] for stage in STAGES)}))


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


def main(notebooks: list[Path]) -> None:
    """Print a line for each notebook and way, and the programs of each."""
    print("\nfirst use: seconds to the first figure, and of the whole notebook; in brackets, of it compiling")
    for notebook in notebooks:
        with tempfile.TemporaryDirectory() as home:
            dumped, cache = Path(home) / "programs", {"JAX_COMPILATION_CACHE_DIR": f"{home}/cache", **KEPT}
            measured(notebook, JAX_DUMP_IR_TO=str(dumped), JAX_DUMP_IR_MODES="stablehlo")
            total, again = programs(dumped)
            for way, settings in {"no cache": {}, "empty cache": cache, "full cache": cache}.items():
                found = measured(notebook, **settings)
                times = f"figure {found['figure']:5.1f} ({found['of it compiling']:4.1f})"
                print(f"{notebook.stem:30} {way:12} {times}, all {found['all']:5.1f} ({found['compiling']:4.1f})")
            size = sum(path.stat().st_size for path in (Path(home) / "cache").iterdir()) / 2**20
        names = ", ".join(f"{name} {number}" for name, number in again.most_common(6)) or "none"
        print(f"{'':30} {total} programs, {sum(again.values())} twice ({names}); the cache takes {size:.1f} MiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(Path(sys.argv[2]))
    else:
        main([Path(name).resolve() for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")))
