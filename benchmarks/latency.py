"""From a key on an explorer's slider to the drawn plot, in a real browser, beside the browser alone and FigureWidget.

Each notebook runs in JupyterLab in a headless Chromium, and every slider of its explorer is moved by arrow keys, each
key after the plot of the one before has been drawn.

- *key to drawn*: from the key event to the first animation frame after plotly has drawn.
- *browser alone*, the limit: the same time for a bare `Plotly.react` of the same figures in the same order, in a plot
  of the same size in the same page. It has no kernel, no messages and no widgets.
- *kernel*: from the kernel's taking up of the slider's message to its sending of the figure's, by the kernel's clock.
- *bytes*, *messages*: of all widget messages of a move.
- *FigureWidget*, the peer: plotly's own widget in place of ours, moved by the same sliders to the same drawings.

While a model trains (`explorers.train`), steps and drawings a second: those that the kernel sends, at most 12, and
those that the browser draws; and the time from a key on the sparsity slider to the next drawing at that sparsity.
"""

import shutil
import tempfile
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import small
from lab import CURRENT, Lab, browse, opened, serve
from playwright.sync_api import Locator

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MOVES = 60
ECHO_BYTES = 400  # a message that only repeats the slider's is smaller; one with a figure is larger, or the last
TRAINING_S = 5  # of each measurement
QUIET_MS = 150  # without a message, after which a move counts as finished

WATCH = (
    """() => {
    const size = message => JSON.stringify(message.content).length
        + (message.buffers || []).reduce((sum, buffer) => sum + buffer.byteLength, 0)
    window.messages = []
    """
    + CURRENT
    + """.sessionContext.session.kernel.anyMessage.connect((_, {msg, direction}) => window.messages.push({
        at: performance.now(), direction, type: msg.header.msg_type, id: msg.header.msg_id, date: msg.header.date,
        parent: msg.parent_header.msg_id, state: msg.content.execution_state, bytes: size(msg),
    }))
    window.drawing = (plot, start) => new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error('nothing was drawn within 5 s')), 5000)
        plot.once('plotly_afterplot', () => requestAnimationFrame(() => resolve(performance.now() - start())))
    })
    document.addEventListener('keydown', () => { window.pressed = performance.now() }, true)
}"""
)
ARM = "gd => { window.messages.length = 0; window.drawn = window.drawing(gd, () => window.pressed) }"
SETTLE = """async quiet => {
    const drawn = await window.drawn, last = () => window.messages.at(-1)?.at ?? 0
    while (performance.now() - last() < quiet) await new Promise(resolve => setTimeout(resolve, 20))
    return {drawn, messages: window.messages}
}"""
STATE = "gd => { window.states.push(structuredClone({data: gd.data, layout: gd.layout})) }"
ALONE = """async (gd, quiet) => {
    const plot = document.createElement('div')
    plot.style = `position: fixed; left: 0; top: 0; z-index: 1000; width: ${gd.clientWidth}px`
    document.body.append(plot)
    const times = [], states = window.states
    await Plotly.newPlot(plot, structuredClone(states.at(-1).data), structuredClone(states.at(-1).layout))
    for (const {data, layout} of states) {
        await new Promise(resolve => setTimeout(resolve, quiet))
        const start = performance.now(), drawn = window.drawing(plot, () => start)
        Plotly.react(plot, data, layout)
        times.push(await drawn)
    }
    Plotly.purge(plot)
    plot.remove()
    return times
}"""
# Takes the sliders over from our plot.
PEER = """
import plotly.graph_objects as go

shown = [explorer.drawing()]
peer = go.FigureWidget(shown[0].figure())


def move(_):
    drawing = explorer.drawing()
    traces, layout = shown.pop().changes(drawing)
    with peer.batch_update():
        for i, names in traces.items():
            peer.data[i].update({name: drawing.data[i][name] for name in names}, overwrite=True)
        peer.layout.update({name: drawing.layout[name] for name in layout}, overwrite=True)
    shown.append(drawing)


for slider in explorer.sliders.values():
    slider.unobserve(explorer._redraw, "value")
    slider.observe(move, "value")
peer"""
INSERT = (
    "([at, source]) => {"
    + CURRENT
    + ".content.model.sharedModel.insertCell(at, {cell_type: 'code', source}); "
    + CURRENT
    + ".content.activeCellIndex = at; return jupyterapp.commands.execute('notebook:run-cell').then(() => null) }"
)


def kernel_ms(messages: list[dict]) -> float:
    """Milliseconds from the kernel's first sign of work on a move to its sending of what the plot shows."""
    sent = next(m for m in messages if m["direction"] == "send" and m["type"] == "comm_msg")
    received = [m for m in messages if m["direction"] == "recv"]
    begin = next(m["date"] for m in received if m["parent"] == sent["id"] and m["state"] == "busy")
    ours = [m for m in received if m["type"] == "comm_msg"]
    end = next((m for m in ours if m["bytes"] > ECHO_BYTES), ours[-1])["date"]
    return float((np.datetime64(end[:-1]) - np.datetime64(begin[:-1])) / np.timedelta64(1, "us")) / 1000


def moves(lab: Lab, plot: Locator, handles: list[Locator]) -> dict[str, list[float]]:
    """Move every slider in turn; return a list of measurements a quantity, less the first round, which warms up."""
    lab.page.evaluate("window.states = []")
    for handle in handles:
        lab.press(handle, "Home")
    lab.evaluate("None")
    furthest = [min(2, int(float(handle.get_attribute("aria-valuemax") or 0))) for handle in handles]
    keys = [cycle(["ArrowRight"] * steps + ["ArrowLeft"] * steps) for steps in furthest]
    out = {name: [] for name in ("key to drawn", "kernel", "bytes from kernel", "bytes to kernel", "messages")}
    for move in range(MOVES + len(handles)):
        plot.evaluate(ARM)
        handles[move % len(handles)].press(next(keys[move % len(handles)]))
        done = lab.page.evaluate(SETTLE, QUIET_MS)
        plot.evaluate(STATE)
        ours = [m for m in done["messages"] if m["type"] == "comm_msg"]
        out["key to drawn"].append(done["drawn"])
        out["kernel"].append(kernel_ms(done["messages"]))
        for name, direction in (("bytes from kernel", "recv"), ("bytes to kernel", "send")):
            out[name].append(sum(m["bytes"] for m in ours if m["direction"] == direction))
        out["messages"].append(len(ours))
    out["browser alone"] = plot.evaluate(ALONE, QUIET_MS)
    return {name: values[len(handles) :] for name, values in out.items()}


def told(who: str, found: dict[str, list[float]]) -> str:
    """A line: medians and 95th percentiles, and the ratio of the medians."""
    cells = [f"{name} {np.median(v):,.0f} / {np.percentile(v, 95):,.0f}" for name, v in found.items()]
    ratio = np.median(found["key to drawn"]) / np.median(found["browser alone"])
    return f"{who:26} {ratio:.2f} x the browser alone; {'; '.join(cells)}"


def training(lab: Lab, norm: float) -> str:
    """A line on two triples that train in three dimensions, under an attack of this norm, 100 steps a drawing."""
    cell = lab.cell("solid = ")
    plot, handle = lab.plot(cell), lab.slider(cell, "sparsity")
    lab.evaluate(f"(solid.reset(), solid.move(sparsity=0.9, norm={norm}))[0]")
    cell.locator("button.widget-button", has_text="Start").click()
    lab.page.wait_for_function("gd => !gd.layout.title.text.startsWith('Step 0:')", arg=plot.element_handle())
    step = "solid.run.steps[-1].item()"
    began, before = time.perf_counter(), lab.evaluate(step)
    count = "gd => { window.counted = 0; gd.on('plotly_afterplot', () => { window.counted += 1 }) }"
    lab.page.evaluate("window.messages.length = 0")
    plot.evaluate(count)
    lab.page.wait_for_timeout(1000 * TRAINING_S)
    sent = lab.page.evaluate(f"window.messages.filter(m => m.type === 'comm_msg' && m.bytes > {ECHO_BYTES}).length")
    drawn = plot.evaluate("gd => { gd.removeAllListeners('plotly_afterplot'); return window.counted }")
    steps, seconds = lab.evaluate(step) - before, time.perf_counter() - began
    waits = []
    for key, S in (("ArrowLeft", "0.85"), ("ArrowRight", "0.90")) * 3:
        pressed = time.perf_counter()
        handle.press(key)
        lab.page.wait_for_function(f"gd => gd.layout.title.text.includes('S = {S}')", arg=plot.element_handle())
        waits.append(1000 * (time.perf_counter() - pressed))
    lab.evaluate("solid.pause()")
    return (
        f"training, norm {norm:4} · E‖x‖   {steps / seconds:,.0f} steps, {sent / seconds:.1f} drawings sent and "
        f"{drawn / seconds:.1f} drawn a second; key to drawn at another sparsity {np.median(waits):,.0f} ms"
    )


def main() -> None:
    """Print two lines a notebook, its explorer and FigureWidget in its place; and two of a model that trains."""
    print(f"\nlatency of explorers: median / 95th percentile of {MOVES} moves, times in ms")
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "notebooks"
        shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        small.write_training(folder)
        with serve(folder) as address, browse() as context:
            with opened(context, address, "0_training.ipynb") as lab:
                lab.run_all()
                lab.page.evaluate(WATCH)
                for norm in (0, 0.1):
                    print(training(lab, norm), flush=True)
            for name in sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")):
                with opened(context, address, name) as lab:
                    if any("explorer = explorers.train(" in cell.source for cell in lab.notebook().cells):
                        continue  # which draws as it trains, not as its sliders move
                    lab.run_all()
                    lab.page.evaluate(WATCH)
                    cell = lab.cell("explorer = explore")
                    handles = cell.locator(".noUi-handle").all()
                    print(told(name.partition(".")[0], moves(lab, lab.plot(cell), handles)), flush=True)
                    sources = [c.source for c in lab.notebook().cells]
                    at = next(i for i, source in enumerate(sources) if "explorer = explore" in source) + 1
                    lab.page.evaluate(INSERT, [at, PEER.strip()])
                    peer = lab.plot(lab.cell("peer = go.FigureWidget"))
                    peer.wait_for()
                    print(told("    FigureWidget", moves(lab, peer, handles)), flush=True)


if __name__ == "__main__":
    main()
