"""A JupyterLab in a real Chromium, driven from tests: run a notebook, move its sliders, read its plots back.

    with serve(folder) as address, browse() as context, opened(context, address, "1_data_generation.ipynb") as lab:
        lab.run_all()
        cell = lab.cell("explorer =")
        lab.press(lab.slider(cell, "sparsity"), "ArrowRight")
        lab.wait_for_data(lab.plot(cell), {(0, "y"): lab.evaluate("explorer.means[1]")})
        assert not lab.problems

Plots and sliders are playwright's locators, so whatever playwright can do with them is possible too.
"""

import ast
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import compiled
import nbformat
import numpy as np
from compare import array
from moves import names_of, wanted_before
from nbformat import NotebookNode
from playwright.sync_api import BrowserContext, Locator, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
SCREENSHOTS = Path(__file__).parent / "screenshots"
EXTENSIONS = Path(__file__).parents[1] / "tools" / "environment" / "share" / "jupyter" / "labextensions"
TIMEOUT_S = 240  # for a whole notebook
DRAWN_S = 60  # for one move of a slider, on a busy machine
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight are not drawn
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
STARTUP = f"""def begin():
    import os, sys
    sys.path.append({str(Path(compiled.__file__).parent)!r})
    from compiled import settings
    sys.path.pop()
    os.environ.update(settings(os.environ["JPY_SESSION_NAME"]))  # the notebook, as the server names it
begin()
del begin
"""
CURRENT = "window.jupyterapp.shell.currentWidget"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run a JupyterLab on a folder, with settings of its own beside it; yield its address, token included."""
    home = folder.parent / f"{folder.name}-home"
    for name, values in SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    startup = home / "ipython" / "profile_default" / "startup" / "begin.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(STARTUP)
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    shutil.copytree(EXTENSIONS, home / "data" / "labextensions")  # as it stands here, not as it was installed
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex()
    arguments = [f"--ServerApp.root_dir={folder}", f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    arguments += ["--ServerApp.ip=127.0.0.1", "--ServerApp.allow_root=True", "--LabApp.expose_app_in_browser=True"]
    log = home / "server.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.port_retries=0", *arguments],
            env=os.environ | {variable: str(home / name) for variable, name in folders.items()},
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not any((home / "runtime").glob("jpserver-*.json")):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/lab?token={token}"
    finally:
        server.terminate()
        server.wait(TIMEOUT_S)


@contextmanager
def browse() -> Iterator[BrowserContext]:
    """Start the system's Chromium, which refuses its sandbox to root."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser.new_context(viewport={"width": 1280, "height": 1000})
        browser.close()


@contextmanager
def opened(context: BrowserContext, address: str, name: str) -> Iterator["Lab"]:
    """Open a notebook in a page of its own; end its kernel afterwards."""
    page = context.new_page()
    try:
        lab = Lab(page, address, name)
        yield lab
        page.evaluate(f"{CURRENT}.sessionContext.shutdown()")
    finally:
        page.close()


class Lab:
    """One notebook in JupyterLab.

    Attributes:
        problems: console errors, uncaught exceptions and requests to other hosts, in order of appearance; but for
            pictures attached to a cell, whose address JupyterLab puts in place a moment late.
    """

    def __init__(self, page: Page, address: str, name: str):
        self.page, self.problems = page, []
        local = (address.partition("/lab")[0], "data:", "blob:", "attachment:")
        page.on(
            "console",
            lambda message: self._note(
                message.type == "error" and not message.location["url"].startswith("attachment:"), message.text
            ),
        )
        page.on("pageerror", lambda error: self._note(True, str(error)))
        page.on("request", lambda request: self._note(not request.url.startswith(local), request.url))
        page.set_default_timeout(1000 * TIMEOUT_S)
        page.goto(address.replace("lab?", f"lab/tree/{name}?reset&"))
        page.wait_for_function(f"window.jupyterapp && {CURRENT}?.context?.path == {name!r}")
        page.evaluate(f"{CURRENT}.sessionContext.ready")
        page.evaluate(f"{CURRENT}.sessionContext.session.kernel.info.then(() => null)")  # a run before this is dropped

    def _note(self, is_problem: bool, text: str) -> None:
        if is_problem:
            self.problems.append(text)

    def run_all(self) -> None:
        """Run all cells from an empty state; fail on an error, on stderr, and on a cell that did not run."""
        self.page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs').then(() => null)")
        self.page.evaluate("""() => {
            window.hasRun = false
            jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.hasRun = true })
        }""")
        self.page.wait_for_function("window.hasRun")
        self._check([cell for cell in self.notebook().cells if cell.cell_type == "code"])

    def _check(self, cells: list[NotebookNode]) -> None:
        """Check that cells ran in this order, without an error."""
        outputs = [output for cell in cells for output in cell.outputs]
        bad = [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
        assert not bad, bad
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))

    def run_for(self, *texts: str) -> None:
        """Run the cells with these texts and all that they depend on; others keep the outputs that are stored.

        Fail on an error, on stderr, and on a cell that did not run.
        """
        code = [i for i, cell in enumerate(self.notebook().cells) if cell.cell_type == "code"]
        sources = [self.notebook().cells[i].source for i in code]
        chosen = [code[i] for i in needed(sources, texts)]
        for i in chosen:
            self._run(i)
        cells = self.notebook().cells
        self._check([cells[i] for i in chosen])

    def run(self, cell: Locator) -> None:
        """Run one cell again and wait for its end."""
        self._run(self.page.locator(".jp-Cell").evaluate_all("(all, cell) => all.indexOf(cell)", cell.element_handle()))

    def _run(self, index: int) -> None:
        self.page.evaluate(f"{CURRENT}.content.activeCellIndex = {index}")
        self.page.evaluate("jupyterapp.commands.execute('notebook:run-cell').then(() => null)")

    def notebook(self) -> NotebookNode:
        """Return the notebook as it stands, outputs included."""
        return nbformat.from_dict(self.page.evaluate(f"{CURRENT}.content.model.toJSON()"))

    def evaluate(self, expression: str) -> Any:
        """Evaluate a Python expression in the kernel, after all that was sent to it before; arrays become lists."""
        code = f"__import__('json').dumps({expression}, default=lambda value: value.tolist())"
        request = {"code": "", "silent": True, "user_expressions": {"value": code}}
        kernel = f"{CURRENT}.sessionContext.session.kernel"
        reply = self.page.evaluate(f"r => {kernel}.requestExecute(r).done.then(m => m.content)", request)
        value = reply["user_expressions"]["value"]
        assert value["status"] == "ok", value
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def cell(self, text: str) -> Locator:
        """Find the one code cell with this text in its source."""
        source = self.page.locator(".jp-InputArea", has_text=text)
        return self.page.locator(".jp-CodeCell", has=source)

    def plot(self, cell: Locator, index: int = 0) -> Locator:
        """Find a plot below a cell; of an explorer its own, not the drawing out of sight below it."""
        return cell.locator(".js-plotly-plot:visible").nth(index)

    def slider(self, cell: Locator, label: str) -> Locator:
        """Find the handle of the ipywidgets slider with this label below a cell."""
        row = cell.locator(".widget-inline-hbox", has=self.page.get_by_text(label, exact=True))
        return row.locator(".noUi-handle")

    def press(self, slider: Locator, *keys: str) -> None:
        """Press keys on a slider's handle, one after the other."""
        for key in keys:
            slider.press(key)

    def drag(self, handle: Locator, pixels: float) -> None:
        """Drag a slider's handle to the right with the mouse."""
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + pixels, y, steps=5)
        self.page.mouse.up()

    def scrub(self, plot: Locator, fraction: float) -> None:
        """Drag the slider of a stored figure to a fraction of its rail."""
        rail = plot.locator("xpath=../..").get_by_role("slider")
        rail.scroll_into_view_if_needed()
        box, last = rail.bounding_box(), int(rail.get_attribute("max"))
        x, y = box["x"], box["y"] + box["height"] / 2
        grip, room = 8, box["width"] - 16  # half of Chromium's thumb
        self.page.mouse.move(x + grip + room * rail.evaluate("it => it.valueAsNumber") / last, y)
        self.page.mouse.down()
        self.page.mouse.move(x + grip + room * fraction, y, steps=5)
        self.page.mouse.up()

    def eye(self, plot: Locator) -> dict[str, float]:
        """Read back from where a 3-D plot is seen."""
        return plot.evaluate("gd => gd._fullLayout.scene._scene.getCamera().eye")

    def turn(self, plot: Locator) -> dict[str, float]:
        """Turn a 3-D plot with the mouse; return from where it is seen then."""
        before = self.eye(plot)
        self.page.wait_for_timeout(300)  # a scene answers a moment after it is drawn
        canvas = plot.locator("canvas").first
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + 100, y, steps=5)
        self.wait_for_turn(plot, before)
        self.page.wait_for_timeout(500)  # and turns on for one
        self.page.mouse.up()
        return self.eye(plot)

    def wait_for_turn(self, plot: Locator, before: dict[str, float]) -> None:
        """Wait until a 3-D plot is seen from elsewhere."""
        script = """([gd, before]) => {
            const { eye } = gd._fullLayout.scene._scene.getCamera()
            return Math.max(...["x", "y", "z"].map(axis => Math.abs(eye[axis] - before[axis]))) > 0.3
        }"""
        self.page.wait_for_function(script, arg=[plot.element_handle(), before], timeout=1000 * DRAWN_S)

    def data(self, plot: Locator) -> list[dict]:
        """Read back the traces a plot has drawn, their numbers as arrays."""
        script = """gd => JSON.stringify(gd.data || [], (key, value) =>
            key.startsWith('_') ? undefined : ArrayBuffer.isView(value) ? Array.from(value) : value)"""
        return [{key: _decode(value) for key, value in trace.items()} for trace in json.loads(plot.evaluate(script))]

    def wait_for_data(
        self, plot: Locator, expected: dict[tuple[int, str], Any], within: float = DRAWN_S, atol: float = 1e-6
    ) -> float:
        """Wait until the plot shows these arrays, given by trace and key; return the seconds this took."""
        start = time.perf_counter()
        while True:
            drawn, seconds = self.data(plot), time.perf_counter() - start
            try:
                for (trace, key), values in expected.items():
                    np.testing.assert_allclose(drawn[trace][key], np.asarray(values, float), rtol=1e-5, atol=atol)
                return seconds
            except (AssertionError, LookupError):
                if seconds > within:
                    raise

    def screenshot(self, name: str, target: Locator | None = None) -> None:
        """Keep a picture of the page, or of one element, in tests/screenshots."""
        (target or self.page).screenshot(path=SCREENSHOTS / f"{name}.png")


def needed(sources: list[str], texts: Iterable[str]) -> list[int]:
    """Which cells, in order: those with one of these texts, and all that bind what these or each other use."""
    chosen: list[int] = []
    wanted: set[str] = set()
    for i in reversed(range(len(sources))):
        statements = ast.parse(sources[i]).body
        if any(text in sources[i] for text in texts) or any(names_of(each)[0] & wanted for each in statements):
            chosen.insert(0, i)
            for each in reversed(statements):
                wanted = wanted_before(each, wanted)
    return chosen


def _decode(value: Any) -> Any:
    """Turn plotly's numbers, typed, plain or nested lists, into arrays, and leave anything else."""
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        rows = [_decode(row) for row in value]
        return np.array(rows) if len({np.shape(row) for row in rows}) == 1 else rows
    numbers = array(value)
    return value if numbers is None else numbers
