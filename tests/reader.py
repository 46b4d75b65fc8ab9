"""A page of the site in a real Chromium, opened from disk with the network off, its figures moved and read back.

with reading(context, site) as reader:
    reader.open("2_training_dynamics")
    figure = reader.figures()["code-e3bd56e7"]
    reader.press(reader.slider(figure), "Home", "ArrowRight")
    reader.wait_for_data(reader.plot(figure), reader.frame(figure, 1))
    assert not reader.problems
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import DRAWN_S, Lab, _decode
from playwright.sync_api import BrowserContext, Locator, Page

LOCAL = ("file:", "data:", "blob:")
DRAWN = "figure => figure.querySelector('.plot')._fullLayout?._size && figure.querySelector('.main-svg')"


@contextmanager
def reading(context: BrowserContext, site: Path, *, width: int = 1280, **options: Any) -> Iterator["Reader"]:
    """Open a browser context of its own, offline, beside the given one; close it afterwards."""
    own = context.browser.new_context(viewport={"width": width, "height": 844}, **options)
    own.set_offline(True)
    try:
        yield Reader(own.new_page(), site)
    finally:
        own.close()


class Reader(Lab):
    """A page of the site, with what `lab` does with plots and sliders.

    Attributes:
        problems: console errors, uncaught exceptions and requests to anything but the disk.
    """

    def __init__(self, page: Page, site: Path):
        self.page, self.site, self.problems = page, site, []
        page.on("console", lambda message: self._note(message.type == "error", message.text))
        page.on("pageerror", lambda error: self._note(True, str(error)))
        page.on("request", lambda request: self._note(not request.url.startswith(LOCAL), request.url))
        page.set_default_timeout(2000 * DRAWN_S)

    def open(self, name: str) -> None:
        """Go to a page by its name."""
        self.page.goto((self.site / f"{name}.html").as_uri())

    def figures(self) -> dict[str, Locator]:
        """Scroll through all figures, wait until each is drawn, and return them by id."""
        found = {figure.get_attribute("id"): figure for figure in self.page.locator("figure.live").all()}
        for figure in found.values():
            figure.scroll_into_view_if_needed()
            self.page.wait_for_function(DRAWN, arg=figure.element_handle())
        return found

    def plot(self, figure: Locator, index: int = 0) -> Locator:
        """Find the plot of a figure."""
        return figure.locator(".plot").nth(index)

    def slider(self, figure: Locator, label: str | None = None) -> Locator:
        """Find the slider of a figure."""
        return figure.get_by_role("slider", name=label)

    def frame(self, figure: Locator, index: int) -> dict[tuple[int, str], Any]:
        """Return the arrays that a frame of the figure's JSON sets, by trace and key."""
        frame = figure.evaluate("(f, i) => JSON.parse(f.querySelector('script').textContent).frames.at(i)", index)
        arrays = {
            (trace, key): _decode(value)
            for trace, data in zip(frame["traces"], frame["data"], strict=True)
            for key, value in data.items()
            if key in "xyz"
        }
        assert arrays
        return arrays

    def theme(self, wanted: str) -> None:
        """Choose light or dark with the theme's switch."""
        self.page.locator(".theme-switch-button:visible").click()
        self.page.locator(f".theme-change-button[data-mode={wanted}]:visible").click()
        self.page.wait_for_function("wanted => document.documentElement.dataset.theme == wanted", arg=wanted)
