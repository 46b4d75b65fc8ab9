// A figure that moves above sliders that take keys, mouse and touch; pages of the site and JupyterLab draw with it.
// plot.js, whose Plot follows width, theme and pointer, comes before.
"use strict";

const SHOWN_MS = 120; // at least, while playing

// The box has the height of the figure without plotly's own slider as its style, and stands in one of the class
// "sideways", in which it may be wider.
class Live {
  constructor(box, { data, layout, frames }) {
    this.box = box;
    this.shown = { data, layout };
    if (frames?.length) {
      const { steps, active, currentvalue } = layout.sliders[0];
      const axis = { name: currentvalue?.prefix ?? "", labels: steps.map((step) => step.label), active: active ?? 0 };
      layout.margin.b -= layout.height - parseFloat(box.style.height); // the room of plotly's slider
      layout.height = parseFloat(box.style.height);
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
    return this.plot.draw(); // when it is drawn
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
