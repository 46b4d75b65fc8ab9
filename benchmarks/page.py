"""The trainer of the landing page in a headless Chromium: steps and frames a second while it trains.

The page is docs/train.html with what docs/train.py writes, opened from disk, at 1,280 pixels.

- *steps*: of the worker in a second at the pace "as fast as it goes", by its own step count, plain and under attack.
- *frames*: animation frames that the page shows in a second meanwhile; *drawn*: how many of them drew the model anew,
  which the worker asks for at most 30 times a second.
- *at rest*: frames in a second of the same page while nothing trains, the limit.
"""

import shutil
import tempfile
from pathlib import Path

import train
from lab import browse
from playwright.sync_api import Page

DOCS = Path(__file__).parents[1] / "docs"
SECONDS = 3
SHELL = '<!doctype html><html data-theme="light"><meta charset="utf-8"><body style="max-width: 770px">'
BEGIN = """([preset, pace, norm]) => {
    const trainer = document.getElementById("train").trainer
    trainer.choose(preset)
    for (const [name, at] of Object.entries({pace, norm})) {
        trainer.sliders[name].value = at
        trainer.moved(name)
    }
    trainer.worker.postMessage({more: 1e9})
}"""
COUNT = """async seconds => {
    const trainer = document.getElementById("train").trainer, paint = trainer.paint.bind(trainer)
    const steps = () => trainer.history.steps.at(-1)
    let frames = 0, drawn = 0
    trainer.paint = () => { drawn++; paint() }
    const begin = performance.now(), first = steps()
    while (performance.now() - begin < 1000 * seconds) {
        await new Promise(requestAnimationFrame)
        frames++
    }
    const spent = (performance.now() - begin) / 1000
    return [steps() - first, frames, drawn].map(count => count / spent)
}"""


def write(folder: Path) -> Path:
    """Write the trainer as a page of its own to a folder; return the page."""
    static, page = folder / "_static", folder / "index.html"
    shutil.copytree(DOCS / "_static", static)
    train.write(static)
    page.write_text(SHELL + (DOCS / "train.html").read_text(encoding="utf-8"), encoding="utf-8")
    return page


def measured(page: Page, preset: str, pace: int, norm: float) -> list[float]:
    """Steps, frames and drawings in a second."""
    page.evaluate(BEGIN, [preset, train.PACES.index(pace), train.NORMS.index(norm)])
    page.wait_for_timeout(1000)
    found = page.evaluate(COUNT, SECONDS)
    page.evaluate("document.getElementById('train').trainer.pause()")
    return found


def main() -> None:
    """Print a line a preset, plain and under attack, and one at the pace that the page begins with."""
    print("\ntraining in the page: a second")
    with tempfile.TemporaryDirectory() as home, browse() as context:
        page = context.browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
        page.goto(write(Path(home)).as_uri())
        page.wait_for_function("document.getElementById('train').trainer.W")
        print(f"{'at rest':36} {page.evaluate(COUNT, SECONDS)[1]:6,.0f} frames")
        for preset in train.PRESETS:
            for pace, norm in ((0, 0), (0, 0.5), (3000, 0)):
                name = (
                    f"{preset}, {'attacked' if norm else 'plain'}, {f'pace {pace:,}' if pace else 'as fast as it goes'}"
                )
                steps, frames, drawn = measured(page, preset, pace, norm)
                print(f"{name:36} {steps:6,.0f} steps, {frames:3,.0f} frames, {drawn:3,.0f} drawn", flush=True)


if __name__ == "__main__":
    main()
