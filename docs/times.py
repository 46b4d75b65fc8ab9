"""The tables of docs/speed.md, from docs/speed.json; every part says on what and when it was measured."""

from collections.abc import Mapping
from typing import Any

from lists import table


def tables(stored: Mapping[str, Any]) -> dict[str, str]:
    """Each part as the text of a file that the page includes, by its name."""
    made = {"training": training, "under_attack": under_attack, "attacks": attacks, "first_use": first_use}
    return {f"speed_{part}.md": "\n".join([*make(stored[part]), ""]) for part, make in made.items()}


def training(stored: Mapping[str, Any]) -> list[str]:
    """Microseconds a model-step, which `python -m benchmarks.training` stores."""
    header = ("µs a model-step", "PyTorch, as in notebooks", "PyTorch, at its best", "toylib", "products", "draws")
    rows = []
    for size, row in stored["microseconds"].items():
        ours = row["toylib"]["median"]
        cells = {what: _range(each) for what, each in row.items()}
        for what in ("plain", "compiled"):
            cells[what] += f", {row[what]['median'] / ours:.1f}×"
        cells["toylib"] += f", {ours / row['products']['median']:.2f} of its products"
        rows.append((size, *(cells[what] for what in ("plain", "compiled", "toylib", "products", "draws"))))
    said = (
        f"Medians of {stored['rounds']} rounds and their range; batch {stored['batch']:,}. A factor is the time of "
        "PyTorch over that of toylib."
    )
    return [*table(header, rows), "", f"{conditions(stored)} {said}"]


def under_attack(stored: Mapping[str, Any]) -> list[str]:
    """Microseconds a model-step under attack, which `python -m benchmarks.adversarial_training` stores."""
    plain = stored["microseconds"]["none"]["median"]
    rows = [
        (name, _range(each), f"{each['median'] / plain:.2f}", str(stored["passes"][name]))
        for name, each in stored["microseconds"].items()
    ]
    said = (
        f"n = {stored['n']}, m = {stored['m']}, {stored['models']} models together in one thread, batch "
        f"{stored['batch']}. Medians of {stored['rounds']} rounds and their range."
    )
    return [
        *table(("trained on", "µs a model-step", "of plain training", "looks at the model"), rows),
        "",
        f"{conditions(stored)} {said}",
    ]


def attacks(stored: Mapping[str, Any]) -> list[str]:
    """Inputs attacked a second, and the bounds of the worst case, which `python -m benchmarks.attacks` stores."""
    header = ("n = 100, m = 20", "inputs a second", "time, of pgd", "time, of the products", "gain, of pgd")
    searches = [
        (name, _range(row["inputs"]), f"{row['time']:.2f}", f"{row['of_products']:.1f}", f"{row['gain']:.4f}")
        for name, row in stored["searches"].items()
    ]
    certificates = [
        (name, _range(row["inputs"]), f"{row['time']:.2f}", f"{row['open']:.1e}")
        for name, row in stored["certificates"].items()
    ]
    bounds = ("certificates", "inputs a second", "time, of pgd at that size", "left open, of the upper bound")
    said = (
        f"{stored['samples']:,} inputs, {stored['steps']} steps from {stored['starts']} starts; products run at "
        f"{stored['gflops']:.0f} GFLOP/s. Medians of {stored['rounds']} rounds and their range."
    )
    return [
        *table(header, searches),
        "",
        *table(bounds, certificates),
        "",
        f"{conditions(stored)} {said}",
    ]


def first_use(stored: Mapping[str, Any]) -> list[str]:
    """Seconds to the first figure and to the end of each notebook, which `python -m benchmarks.first_use` stores."""
    header = ("seconds", "first figure", "second start", "all cells", "second start", "programs", "twice", "cache, MiB")
    rows = []
    for name, found in stored["notebooks"].items():
        starts = found["seconds"]["no cache"], found["seconds"]["full cache"]
        times = [f"{way[to]:.1f} ({way[f'{to}_compiling']:.1f})" for to in ("figure", "all") for way in starts]
        numbers = str(found["programs"]), str(sum(found["twice"].values())), f"{found['cache_mib']:.1f}"
        rows.append((name, *times, *numbers))
    return [
        *table(header, rows),
        "",
        f"{conditions(stored)} In brackets, of it tracing, lowering, and compiling or reading the cache.",
    ]


def _range(found: Mapping[str, float]) -> str:
    """The median, and in brackets the range, with four digits or all before the point."""
    each = {what: f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" for what, value in found.items()}
    return "{median} ({low} to {high})".format(**each)


def conditions(stored: Mapping[str, Any]) -> str:
    """The machine, the versions, and the date."""
    versions = ", ".join(f"{name} {version}" for name, version in stored["versions"].items())
    return f"{stored['processor']}, {stored['cores']} cores; {versions}; {stored['date']}."
