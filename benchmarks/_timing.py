"""Times, and what they were measured on."""

import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from toylib.training._parts import cores

REPEATS = 5
STORED = Path(__file__).parents[1] / "docs" / "speed.json"


def seconds(function: Callable[[], Any]) -> float:
    """The least of REPEATS times, after a call that compiles."""
    jax.block_until_ready(function())
    return min(once(function) for _ in range(REPEATS))


def once(function: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def matmul_rate(size: int = 2048) -> float:
    """Floating-point operations a second of a single-precision (size, size) product."""
    a = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    return 2 * size**3 / seconds(lambda: product(a, a))


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median, least and largest of some times."""
    return {"median": statistics.median(times), "low": min(times), "high": max(times)}


def machine() -> dict[str, Any]:
    """The processor, the cores that this process may use, the versions that decide how fast it computes, the date."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("jax", "jaxlib", "optax")}
    return {
        "processor": named[0] if named else platform.machine(),
        "cores": cores(),
        "versions": versions,
        "date": datetime.date.today().isoformat(),
    }


def keep(part: str, measured: dict[str, Any]) -> None:
    """Put what was measured in the place of that part of docs/speed.json; each says on what and when by itself."""
    stored = json.loads(STORED.read_text(encoding="utf-8")) | {part: measured}
    STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print(f"stored as {part} in {STORED.relative_to(STORED.parents[1])}")
