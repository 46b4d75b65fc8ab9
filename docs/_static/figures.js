// Draws the figures of a page when they come near, in the colours of the theme, each with frames above a slider that
// takes keys, mouse and touch. plotly.min.js is plotly; colours.js holds toylib.figures.style.DARK.
"use strict";
{
  const AT_ONCE = { mode: "immediate", frame: { duration: 0, redraw: true }, transition: { duration: 0 } };
  const PAUSE = 120; // ms a frame is shown at least, while playing
  const REST = 400; // ms that playing waits for a wheel to rest
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = {
    displaylogo: false,
    displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d"], // nothing leaves the page
  };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  class Live {
    constructor(figure) {
      this.figure = figure;
      this.plot = figure.querySelector(".plot");
      this.json = figure.querySelector("script").textContent;
      const { frames, layout } = JSON.parse(this.json);
      this.frames = frames?.length ? frames.map((frame) => frame.name) : [];
      if (this.frames.length) {
        const slider = layout.sliders[0];
        this.labels = slider.steps.map((step) => step.label);
        this.stored = this.wanted = slider.active;
        this.addSlider(slider.currentvalue?.prefix ?? "");
        this.giveWay();
      }
    }

    // While a reader turns or zooms the plot, playing waits: a frame would turn it back.
    giveWay() {
      this.held = Promise.resolve();
      let release;
      this.plot.addEventListener("pointerdown", () => (this.held = new Promise((done) => (release = done))), true);
      for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => release?.(), true);
      this.plot.addEventListener("wheel", () => (this.held = Promise.all([this.held, wait(REST)])), { passive: true });
    }

    // What to draw: as stored, but as wide as its box, in the page's colours and without plotly's slider.
    drawing() {
      this.theme = document.documentElement.dataset.theme;
      const text = this.theme === "dark" ? this.json.replace(/#[0-9a-f]{6}\b/gi, (c) => DARK[c.toUpperCase()] ?? c) : this.json;
      const { data, layout, frames } = JSON.parse(text);
      const { clientWidth: width, clientHeight: height } = this.plot;
      if (this.frames.length) {
        layout.margin.b -= layout.height - height;
        delete layout.sliders;
        delete layout.updatemenus;
      }
      Object.assign(layout, { width, height, uirevision: "what a reader turned or zoomed stays" });
      if (touch) {
        layout.dragmode = false; // a finger turns what is 3-D, and scrolls the page elsewhere
        for (const name in layout) if (name.startsWith("scene")) layout[name].dragmode = "turntable";
      }
      return { data, layout, frames: frames ?? [], config };
    }

    async draw() {
      await Plotly.react(this.plot, this.drawing());
      this.isDrawn = true;
      this.shown = this.stored;
      if (this.frames.length) await this.show(this.wanted);
    }

    resize() {
      const width = this.plot.clientWidth;
      if (this.isDrawn && width !== this.plot.layout.width) Plotly.relayout(this.plot, { width });
    }

    // Draw a frame; of several asked for while one is drawn, only the last.
    async show(step) {
      this.wanted = step;
      this.range.value = step;
      this.readout.textContent = this.prefix + this.labels[step];
      this.range.setAttribute("aria-valuetext", this.readout.textContent);
      if (this.isBusy || !this.isDrawn) return;
      this.isBusy = true;
      while (this.shown !== this.wanted) {
        this.shown = this.wanted;
        await Plotly.animate(this.plot, [this.frames[this.shown]], AT_ONCE);
      }
      this.isBusy = false;
    }

    async play() {
      const last = this.frames.length - 1;
      const turn = (this.turn = {}); // pressed twice, only the last goes on
      this.setPlaying(true);
      if (this.wanted === last) await this.show(0);
      while (this.isPlaying && this.turn === turn && this.wanted < last) {
        await Promise.all([this.show(this.wanted + 1), wait(PAUSE)]);
        await this.held;
      }
      if (this.turn === turn) this.setPlaying(false);
    }

    setPlaying(isPlaying) {
      this.isPlaying = isPlaying;
      this.button.textContent = isPlaying ? "❚❚" : "▶";
      this.button.title = isPlaying ? "Pause" : "Play";
      this.button.setAttribute("aria-label", this.button.title);
    }

    // Where sliders stand: below the plot, and at the lower edge of the window while the plot is taller.
    sliders() {
      let box = this.figure.querySelector(".sliders");
      if (!box) {
        box = Object.assign(document.createElement("div"), { className: "sliders" });
        this.plot.closest(".sideways").after(box);
      }
      return box;
    }

    addSlider(prefix) {
      const [row, button, range, readout] = ["div", "button", "input", "output"].map((tag) => document.createElement(tag));
      Object.assign(this, { prefix, button, range, readout });
      row.className = "slider";
      Object.assign(range, { type: "range", min: 0, max: this.frames.length - 1, step: 1 });
      range.setAttribute("aria-label", prefix.replace("=", "").trim() || "frame");
      button.type = "button";
      button.addEventListener("click", () => (this.isPlaying ? this.setPlaying(false) : this.play()));
      range.addEventListener("input", () => (this.setPlaying(false), this.show(range.valueAsNumber)));
      row.append(button, range, readout);
      this.sliders().append(row);
      this.setPlaying(false);
      this.show(this.wanted);
    }
  }

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
  const inView = observe((live) => calm || live.play(), { threshold: 0.6 });
  const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => all.get(target.closest("figure")).resize()));
  for (const [figure, live] of all) {
    near.observe(figure);
    resized.observe(live.plot);
    if (figure.classList.contains("hero")) inView.observe(figure);
  }
  const root = document.documentElement;
  const follow = (live) => live.isDrawn && live.theme !== root.dataset.theme && live.draw();
  new MutationObserver(() => all.forEach(follow)).observe(root, { attributeFilter: ["data-theme"] });
}
