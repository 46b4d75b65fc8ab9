"""The moving picture of README.md: `python tools/animated.py [file]` trains its two models and draws them (minutes).

It is an animated PNG of twice the width at which README.md shows it, in few colours, since GitHub shows no live plot.
"""

import argparse
import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import kaleido
import numpy as np
from PIL import Image

from toylib import geometry
from toylib.features import Correlated, Features, Independent
from toylib.figures import Drawing, directions
from toylib.training import train

FILE = Path(__file__).parents[1] / "docs" / "pictures" / "moving.png"
FRAMES = 48
PLANE, SPACE = (30, 10_000), (100, 10_000)  # steps that are shown of each model, spaced evenly in their logarithm
WIDTH, HEIGHT, SCALE = 350, 350, 2  # of one of the two pictures, as README.md shows it
TURN = 75  # degrees that the space is turned while the model trains
COLORS, PAUSE, HOLD = 32, 110, 2_500  # of the palette; milliseconds that a frame stays, and the last one


def drawings() -> Iterator[tuple[Drawing, Drawing]]:
    """The two models while they learn: five features in a plane, and two sets of three in space, slowly turned."""
    five, six = Independent(5), Correlated(n_sets=2, set_size=3)
    plane = _course(five, 0.98, PLANE, n_hidden=2, key=jax.random.key(0), scale=0.3)
    space = _course(six, 0.9, SPACE, n_hidden=3, key=jax.random.key(3))
    for i, (flat, deep) in enumerate(zip(plane, space, strict=True)):
        left = directions(flat, five.sets, title="Five features in two dimensions", reach=1.2)
        right = directions(deep, six.sets, title="Two sets of three in three dimensions", reach=1.0)
        yield _bare(left), _turned(_bare(right), np.radians(25 + TURN * i / FRAMES))


def _course(features: Features, S: float, steps: tuple[int, int], **options: Any) -> list[np.ndarray]:
    """W at each frame, turned as little as possible from its end."""
    at = np.geomspace(*steps, FRAMES).round().astype(int)
    course = train(features, S, n_steps=steps[1], population=True, snapshots=at.tolist(), **options).weights
    return [np.asarray(geometry.align(W, course[-1])) for W in course]


def _bare(drawing: Drawing) -> Drawing:
    """The drawing in its small size, without axes."""
    hidden = {"visible": False}
    axes = {name: axis | hidden for name, axis in drawing.layout.items() if name in ("xaxis", "yaxis")}
    title = drawing.layout["title"] | {"font": {"size": 14}}
    margin = {"l": 0, "r": 0, "t": 40, "b": 0}
    return drawing.with_layout(**axes, title=title, width=WIDTH, height=HEIGHT, margin=margin, showlegend=False)


def _turned(drawing: Drawing, angle: float) -> Drawing:
    """The drawing of a space seen from elsewhere."""
    eye = {"x": 1.25 * np.cos(angle), "y": 1.25 * np.sin(angle), "z": 0.7}
    scene = drawing.layout["scene"] | {"camera": {"eye": eye}}
    for name in ("xaxis", "yaxis", "zaxis"):
        scene[name] = scene[name] | {"visible": False}
    return drawing.with_layout(scene=scene)


async def pictures() -> list[Image.Image]:
    """Both drawings of each step side by side."""
    found = []
    async with kaleido.Kaleido(n=1, mathjax=False) as browser:
        for pair in drawings():
            whole = Image.new("RGB", (2 * WIDTH * SCALE, HEIGHT * SCALE), "white")
            for i, drawing in enumerate(pair):
                png = await browser.calc_fig(drawing.figure(), opts={"format": "png", "scale": SCALE})
                with Image.open(io.BytesIO(png)) as image:
                    whole.paste(image.convert("RGB"), (i * WIDTH * SCALE, 0))
            found.append(whole)
    return found


def write(frames: list[Image.Image], file: Path) -> None:
    """Write an animated PNG in the colours of its last frame; where it does not move, that frame stays."""
    palette = frames[-1].quantize(COLORS, dither=Image.Dither.NONE)
    still, *moving = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in [frames[-1], *frames]]
    colors, paper = palette.getpalette(), 3 * still.getpixel((0, 0))
    colors[paper : paper + 3] = [255, 255, 255]  # what was an average of nearly white pixels
    for frame in (still, *moving):
        frame.putpalette(colors)
    pauses = [PAUSE] * (len(moving) - 1) + [HOLD]
    still.save(file, save_all=True, default_image=True, append_images=moving, duration=pauses, loop=0, optimize=True)


def main() -> None:
    """Draw, write, and say how large the file is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    file = parser.parse_args().file
    write(asyncio.run(pictures()), file)
    print(f"{file}: {file.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
