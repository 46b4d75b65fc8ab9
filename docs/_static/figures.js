// Draws the figures of a page when they come near, each that moves above sliders that take keys, mouse and touch: a
// figure with frames, and an explorer whose pictures are stored beside the page. JupyterLab shows stored figures with
// the same sliders. plotly.min.js, colours.js and plot.js, whose Plot follows width, theme and pointer, come before.
"use strict";

const SHOWN_MS = 120; // at least, while playing
const MOVES = {}; // of explorers, by id, once their scripts are there: {axes, play, keys, values, pictures}

// A matrix that is stored as bytes, in units of its own.
const unpacked = (value) => {
  if (!value?.packed) return value;
  const numbers = Array.from(Int8Array.from(atob(value.packed), (c) => c.charCodeAt(0)), (n) => n * value.unit);
  return Array.from({ length: numbers.length / value.columns }, (_, i) => numbers.slice(i * value.columns, (i + 1) * value.columns));
};

class Live {
  constructor(figure) {
    this.figure = figure;
    this.box = figure.querySelector(".plot");
    const { data, layout, frames } = JSON.parse(figure.querySelector("script").textContent);
    this.shown = { data, layout };
    if (frames?.length) {
      const { steps, active, currentvalue } = layout.sliders[0];
      const axis = { name: currentvalue?.prefix ?? "", labels: steps.map((step) => step.label), active };
      layout.margin.b -= layout.height - this.box.clientHeight; // the room of plotly's slider
      layout.height = this.box.clientHeight;
      delete layout.sliders;
      delete layout.updatemenus;
      this.addSliders([axis], axis.name, ([i]) => ({
        traces: Object.fromEntries(frames[i].traces.map((trace, k) => [trace, frames[i].data[k]])),
        layout: frames[i].layout,
      }));
    }
  }

  draw() {
    this.plot = new Plot(this.box, this.shown);
    if (this.axes) this.show();
    const { moves } = this.figure.dataset;
    if (moves) document.head.append(Object.assign(document.createElement("script"), { src: moves, onload: () => this.move() }));
  }

  // The pictures of an explorer have come: each is a value for each of some properties; values are stored once.
  move() {
    const { axes, play, keys, values, pictures } = MOVES[this.figure.id];
    this.addSliders(axes, play, (at) => {
      const change = { traces: {}, layout: {} };
      const picture = pictures[at.reduce((sum, i, k) => sum * axes[k].labels.length + i, 0)];
      keys.forEach(([trace, name], k) => {
        const part = trace === null ? change.layout : (change.traces[trace] ??= {});
        part[name] = unpacked(values[picture[k]]);
      });
      return change;
    });
  }

  // Show the picture of the stops that the sliders are at.
  show(changes = {}) {
    this.at = this.axes.map((axis, k) => changes[k] ?? this.at[k]);
    this.axes.forEach(({ name, labels, range, readout }, k) => {
      range.value = this.at[k];
      readout.textContent = `${name.trim()} ${labels[this.at[k]]}`;
      range.setAttribute("aria-valuetext", readout.textContent);
    });
    return this.plot?.update(this.change(this.at));
  }

  async play(k) {
    const last = this.axes[k].labels.length - 1;
    const turn = (this.turn = {}); // pressed twice, only the last goes on
    this.setPlaying(true);
    if (this.at[k] === last) await this.show({ [k]: 0 });
    while (this.isPlaying && this.turn === turn && this.at[k] < last) {
      await Promise.all([this.show({ [k]: this.at[k] + 1 }), pause(SHOWN_MS)]);
    }
    if (this.turn === turn) this.setPlaying(false);
  }

  setPlaying(isPlaying) {
    this.isPlaying = isPlaying;
    if (!this.button) return;
    this.button.textContent = isPlaying ? "❚❚" : "▶";
    this.button.title = isPlaying ? "Pause" : "Play";
    this.button.setAttribute("aria-label", this.button.title);
  }

  // Sliders stand below the plot, and at the lower edge of the window while the plot is taller.
  addSliders(axes, play, change) {
    const [sliders, button] = ["div", "button"].map((tag) => document.createElement(tag));
    sliders.className = "sliders";
    Object.assign(this, { axes, change, at: axes.map((axis) => axis.active) });
    axes.forEach((axis, k) => {
      const [row, range, readout] = ["div", "input", "output"].map((tag) => document.createElement(tag));
      Object.assign(axis, { range, readout });
      row.className = "slider";
      Object.assign(range, { type: "range", min: 0, max: axis.labels.length - 1, step: 1 });
      range.setAttribute("aria-label", axis.name.replace("=", "").trim() || "frame");
      range.addEventListener("input", () => (this.setPlaying(false), this.show({ [k]: range.valueAsNumber })));
      if (axis.name === play) {
        button.type = "button";
        button.addEventListener("click", () => (this.isPlaying ? this.setPlaying(false) : this.play(k)));
        row.append(button);
        this.button = button;
      }
      row.append(range, readout);
      sliders.append(row);
    });
    this.box.closest(".sideways").after(sliders);
    this.setPlaying(false);
    this.show();
  }
}

{
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const all = new Map([...document.querySelectorAll("figure.live")].map((figure) => [figure, new Live(figure)]));
  const observe = (found, options) => {
    const observer = new IntersectionObserver((entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        observer.unobserve(target);
        found(all.get(target));
      }
    }, options);
    return observer;
  };
  const near = observe((live) => live.draw(), { rootMargin: "100% 0px" });
  const inView = observe((live) => calm || live.play(0), { threshold: 0.6 });
  for (const figure of all.keys()) {
    near.observe(figure);
    if (figure.classList.contains("hero")) inView.observe(figure);
  }
}
