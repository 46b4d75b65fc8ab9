"""From a key on an explorer's slider to the drawn plot, in a real browser, beside a bare `Plotly.react`.

Each notebook is run in JupyterLab in a headless Chromium, and every slider of its explorer is moved by arrow keys, one
key after the other has been drawn. *Key to drawn* is the time from the key event to the first animation frame after
plotly has drawn. *Bare* is the same time for `Plotly.react` of the same figures, in the same order, in a plot of the
same size in the same page: the limit, for it has no kernel, no messages and no widgets. *Kernel* is the time from the
kernel's taking up of the slider's message to its sending of the figure's, by the kernel's clock. *Bytes* are those of
all messages of a move, from the kernel and back to it.
"""

import tempfile
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np
import plotly
from lab import CURRENT, Lab, browse, opened, serve

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
MOVES = 60
QUIET_MS = 150  # without a message, after which a move counts as finished

WATCH = (
    """gd => {
    const size = message => JSON.stringify(message.content).length
        + (message.buffers || []).reduce((sum, buffer) => sum + buffer.byteLength, 0)
    window.messages = []
    window.states = []
    """
    + CURRENT
    + """.sessionContext.session.kernel.anyMessage.connect((_, {msg, direction}) => window.messages.push({
        at: performance.now(), direction, type: msg.header.msg_type, id: msg.header.msg_id, date: msg.header.date,
        parent: msg.parent_header.msg_id, state: msg.content.execution_state, bytes: size(msg),
    }))
    window.drawing = (plot, start) => new Promise(resolve => {
        plot.once('plotly_afterplot', () => requestAnimationFrame(() => resolve(performance.now() - start())))
    })
    document.addEventListener('keydown', () => { window.pressed = performance.now() }, true)
}"""
)
ARM = "gd => { window.messages.length = 0; window.drawn = window.drawing(gd, () => window.pressed) }"
SETTLE = """async ([gd, quiet]) => {
    const drawn = await window.drawn, last = () => window.messages.at(-1)?.at ?? 0
    while (performance.now() - last() < quiet) await new Promise(resolve => setTimeout(resolve, 20))
    window.states.push(structuredClone({data: gd.data, layout: gd.layout}))
    return {drawn, messages: window.messages}
}"""
BARE = """async gd => {
    const plot = document.createElement('div')
    plot.style = `position: fixed; left: 0; top: 0; z-index: 1000; width: ${gd.clientWidth}px`
    document.body.append(plot)
    const times = [], states = window.states
    await Plotly.newPlot(plot, structuredClone(states.at(-1).data), structuredClone(states.at(-1).layout))
    for (const {data, layout} of states) {
        await new Promise(resolve => setTimeout(resolve, 150))
        const start = performance.now(), drawn = window.drawing(plot, () => start)
        Plotly.react(plot, data, layout)
        times.push(await drawn)
    }
    Plotly.purge(plot)
    plot.remove()
    return times
}"""


def kernel_ms(messages: list[dict]) -> float:
    """Milliseconds from the kernel's first sign of work to its last message before the figure is drawn."""
    sent = next(m for m in messages if m["direction"] == "send" and m["type"] == "comm_msg")
    answers = [m for m in messages if m["direction"] == "recv" and m["parent"] == sent["id"]]
    begin = next(m["date"] for m in answers if m["state"] == "busy")
    largest = max((m for m in answers if m["type"] == "comm_msg"), key=lambda m: m["bytes"])
    return float((np.datetime64(largest["date"][:-1]) - np.datetime64(begin[:-1])) / np.timedelta64(1, "us")) / 1000


def measure(lab: Lab) -> dict[str, list[float]]:
    """Move every slider of the notebook's explorer in turn; return a list of measurements a quantity."""
    cell = lab.cell("explorer = explorers.")
    plot = lab.plot(cell)
    plot.scroll_into_view_if_needed()
    plot.evaluate(WATCH)
    handles = cell.locator(".noUi-handle").all()
    for handle in handles:
        lab.press(handle, "Home")
    keys = [cycle(islice(chain(["ArrowRight"] * 3, ["ArrowLeft"] * 3), 6)) for _ in handles]
    out = {name: [] for name in ("key to drawn", "kernel", "from kernel", "to kernel", "messages")}
    for move in range(MOVES + len(handles)):
        which = move % len(handles)
        plot.evaluate(ARM)
        handles[which].press(next(keys[which]))
        done = plot.evaluate(f"gd => ({SETTLE})([gd, {QUIET_MS}])")
        if move < len(handles):
            continue  # the first move of a slider warms up
        figure = [m for m in done["messages"] if m["type"] == "comm_msg"]
        out["key to drawn"].append(done["drawn"])
        out["kernel"].append(kernel_ms(done["messages"]))
        for name, direction in (("from kernel", "recv"), ("to kernel", "send")):
            out[name].append(sum(m["bytes"] for m in figure if m["direction"] == direction))
        out["messages"].append(sum(m["direction"] == "recv" for m in figure))
    lab.page.add_script_tag(path=PLOTLY_JS)
    out["bare"] = plot.evaluate(BARE)[len(handles) :]
    return out


def main() -> None:
    """Print a line an explorer: medians and 95th percentiles over MOVES moves."""
    print(f"\nlatency of explorers: median / 95th percentile of {MOVES} moves, in ms and bytes")
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "notebooks"
        folder.symlink_to(NOTEBOOKS, target_is_directory=True)
        with serve(folder) as address, browse() as context:
            for name in sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")):
                with opened(context, address, name) as lab:
                    lab.run_all()
                    found = measure(lab)
                cells = [
                    f"{what} {np.median(values):,.0f} / {np.percentile(values, 95):,.0f}"
                    for what, values in found.items()
                ]
                ratio = np.median(found["key to drawn"]) / np.median(found["bare"])
                print(f"{name.partition('.')[0]:24} {'; '.join(cells)}; key to drawn / bare {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
