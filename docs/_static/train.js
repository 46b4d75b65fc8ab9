// The trainer of the landing page: controls, drawings and an attack by hand around a model that trains in a worker.
// presets.js is written by docs/train.py.
"use strict";
{
  const RUN = 30_000; // steps after which training pauses by itself
  const LIMIT = 0.5; // norm of the attack by hand
  const [BOTTOM, TOP] = [-0.6, 1.8]; // of the bars; train.css has 0 at a quarter
  const ABOUT = {
    triples: "Six features in two sets of three, each set on or off together, and a model with three hidden dimensions. It first finds what PCA finds, one direction a set; then the sets open into triangles, and these turn until each feature is opposite to one of the other set.",
    five: "Five independent features and a model with two hidden dimensions. Where features are dense it keeps two and drops the rest; where they are sparse it can hold all five, as a pentagon. Some seeds end with two pairs of opposites, and the fifth feature held badly.",
    pairs: "Six features in three anticorrelated pairs, never both of a pair active, and a model with three hidden dimensions. The two of a pair can share a line without getting into each other's way; whether they find each other depends on the seed.",
  };
  const WORDS = {
    origin: "near the origin", pca: "PCA: each set is one direction", collinear: "the sets are opposite", lines: "one set is a line",
    prism: "two triangles", twisted: "the triangles turn", other: "in between",
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const core = trainCore();
  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  class Trainer {
    constructor(root) {
      this.root = root;
      this.find = (selector) => root.querySelector(selector);
      this.view = [0.65, 0.35];
      this.id = 0;
      const source = `"use strict"; ${trainCore}; ${trainWorker}; trainWorker(trainCore());`;
      this.worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
      this.worker.onmessage = ({ data }) => data.id === this.id && this.take(data);
      this.sliders = Object.fromEntries([...root.querySelectorAll("input")].map((input) => [input.name, input]));
      for (const [name, input] of Object.entries(this.sliders)) {
        Object.assign(input, { min: 0, max: STOPS[name].length - 1, step: 1 });
        input.addEventListener("input", () => this.moved(name));
      }
      this.sliders.rate.value = STOPS.rate.indexOf(3e-4);
      this.sliders.pace.value = STOPS.pace.indexOf(3000);
      this.sliders.norm.value = 0;
      const on = (selector, action) => this.find(selector).addEventListener("click", action);
      on(".start", () => (this.running ? this.pause() : this.start()));
      on(".more", () => this.worker.postMessage({ more: 100 }));
      on(".reset", () => this.reset());
      on(".worst", () => this.pushed(core.analytic(this.W, this.b, this.x, LIMIT)));
      on(".none", () => this.pushed(this.x.map(() => 0)));
      on(".next", () => this.nextInput());
      for (const button of root.querySelectorAll("[data-preset]")) button.addEventListener("click", () => this.choose(button.dataset.preset, !calm));
      this.turnable(this.find(".directions"));
      root.hidden = false;
      this.choose("triples");
      new ResizeObserver(() => this.draw()).observe(this.find(".loss"));
      const look = () => this.seen(this.inView && !document.hidden);
      const observer = new IntersectionObserver((entries) => ((this.inView = entries.at(-1).isIntersecting), look()), { threshold: 0.5 });
      observer.observe(this.find(".stage"));
      document.addEventListener("visibilitychange", look);
    }

    stop = (name) => STOPS[name][this.sliders[name].valueAsNumber];

    // ---- what is trained

    choose(name, start = false) {
      const stored = PRESETS[name];
      const templates = stored.templates.map((template) => ({ ...template, grams: floats(template.grams) }));
      this.preset = { ...stored, templates, nodes: floats(stored.nodes) };
      this.find(".about").textContent = ABOUT[name];
      for (const button of this.root.querySelectorAll("[data-preset]")) button.setAttribute("aria-pressed", button.dataset.preset === name);
      this.sliders.sparsity.value = stored.sparsity;
      this.sliders.seed.value = stored.seed;
      this.inputs = 0;
      this.makeBars();
      this.nextInput();
      this.reset(start);
    }

    reset(start = false) {
      const { starts, n, nodes } = this.preset;
      Object.assign(this, { id: this.id + 1, W: undefined, history: { steps: [], losses: [], phases: [], moves: [] } });
      for (const name in this.sliders) this.say(name);
      const begin = { id: this.id, nodes, W: floats(starts[this.stop("seed")]), b: new Float64Array(n) };
      this.worker.postMessage({ begin, set: this.setting(), pace: this.stop("pace"), more: start ? RUN : 0 });
    }

    start() {
      this.worker.postMessage({ more: RUN });
    }

    pause() {
      this.worker.postMessage({ more: 0 });
    }

    // It begins by itself once it is in view, unless the reader asked for no motion; out of view it waits.
    seen(isSeen) {
      if (!isSeen && this.running) {
        this.waits = true;
        this.pause();
      } else if (isSeen && (this.waits || (!this.hasBegun && !calm))) {
        this.waits = false;
        this.start();
      }
    }

    // A slider has moved: the worker trains on with it, but another seed begins anew.
    moved(name) {
      this.say(name);
      if (name === "seed") return this.reset(this.running);
      if (name !== "pace") this.history.moves.push(this.history.steps.at(-1) ?? 0);
      this.worker.postMessage(name === "pace" ? { pace: this.stop("pace") } : { set: this.setting() });
      this.draw();
    }

    say(name) {
      const { sliders } = this, S = this.stop("sparsity"), norm = this.stop("norm");
      const said = {
        sparsity: () => `${S}: active with p = ${+(1 - S).toFixed(2)}`,
        norm: () => (norm ? `${norm} E‖x‖ = ${this.setting().radius.toFixed(2)}` : "0: plain training"),
        rate: () => `${this.stop("rate")}`,
        pace: () => (this.stop("pace") ? `${this.stop("pace").toLocaleString("en")} steps a second` : "as fast as it goes"),
        seed: () => `${this.stop("seed")}`,
      };
      for (const each of name === "sparsity" ? ["sparsity", "norm"] : [name]) {
        sliders[each].previousElementSibling.textContent = said[each]();
        sliders[each].setAttribute("aria-valuetext", said[each]());
      }
    }

    // What the worker needs of the sliders; and E ‖x‖², the loss of a model of zeros.
    setting() {
      const { nodes, n, mean_norm } = this.preset, weights = this.weights(1 - this.stop("sparsity"));
      this.highest = weights.reduce((sum, w, k) => sum + w * nodes.subarray(k * n, k * n + n).reduce((s, v) => s + v * v, 0), 0);
      return { weights, radius: this.stop("norm") * mean_norm[this.sliders.sparsity.value], rate: this.stop("rate") };
    }

    // Weights of the nodes at density p.
    weights(p) {
      const { state, share, on, off, factor } = this.preset;
      return Float64Array.from(state, (s) => factor[s] * p ** on[s] * (1 - p) ** off[s] * share[s]);
    }

    // What the worker says: one point of the curve, and what there is to draw.
    take({ steps, W, b, loss, speed, running }) {
      const { history, preset } = this;
      Object.assign(this, { W, b, loss, running, speed, G: core.gram(W, preset.n), hasBegun: this.hasBegun || running });
      if (history.steps.at(-1) !== steps) {
        history.steps.push(steps);
        history.losses.push(loss);
      }
      this.name = Shape.name(preset, W, this.G);
      if (history.phases.at(-1)?.name !== this.name) history.phases.push({ name: this.name, step: steps });
      if (history.steps.length > 1200) // every other point, but the last
        for (const key of ["steps", "losses"]) history[key] = history[key].filter((_, i, all) => i % 2 === 0 || i === all.length - 1);
      this.draw();
    }

    // ---- what is drawn

    draw() {
      this.frame ??= requestAnimationFrame(() => {
        this.frame = undefined;
        if (this.W) this.paint(); // else a new run has not begun yet
      });
    }

    paint() {
      const { preset, W, history, running, find } = this, at = this.sliders.sparsity.value;
      const steps = history.steps.at(-1).toLocaleString("en");
      find(".start").textContent = running ? "❚❚ Pause" : history.steps.at(-1) ? "▶ Go on" : "▶ Start";
      find(".state").textContent = WORDS[this.name] ?? this.name;
      const opposite = Shape.pairs(Shape.columns(W, preset.n), preset.sets).antipodes.length;
      const each = W.reduce((sum, w) => sum + w * w, 0) / preset.m;
      find(".measures").textContent = `${opposite} antipodal pair${opposite === 1 ? "" : "s"}, ${each.toFixed(2)} features per dimension`;
      find(".count").textContent = `step ${steps}${running && this.speed ? `, ${Math.round(this.speed).toLocaleString("en")} a second` : ""}`;
      const picture = find(".directions"), plot = find(".loss");
      picture.innerHTML = Shape.directions(preset, W, this.view);
      picture.setAttribute("aria-label", `The ${preset.n} columns of W in ${preset.m} dimensions: ${find(".state").textContent}${preset.m === 3 ? "; arrow keys turn it" : ""}`);
      const levels = Object.entries(preset.levels).map(([name, values]) => [name, values[at]]).sort((a, b) => b[1] - a[1]);
      const { clientWidth: width, clientHeight: height } = plot;
      if (width) plot.innerHTML = Shape.loss({ ...history, levels, highest: this.highest, width, height });
      plot.setAttribute("aria-label", `Loss ${this.loss.toPrecision(3)} at step ${steps}; exact: ${levels.map(([name, value]) => `${name} ${value.toPrecision(3)}`).join(", ")}`);
      this.paintPush();
    }

    // Drag or arrow keys turn a body about the vertical, and tilt it.
    turnable(picture) {
      const turn = (yaw, pitch) => {
        this.view = [this.view[0] + yaw, clamp(this.view[1] + pitch, -1.5, 1.5)];
        this.draw();
      };
      picture.addEventListener("pointerdown", (event) => picture.setPointerCapture(event.pointerId));
      picture.addEventListener("pointermove", (event) => event.buttons && turn(event.movementX / 120, event.movementY / 120));
      picture.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
        if (by) (event.preventDefault(), turn(...by));
      });
    }

    // ---- the attack by hand

    // The next kind of input, fewest active features first; of its nodes one without small values.
    nextInput() {
      const { state, nodes, n, on } = this.preset, kinds = on.map((_, s) => s).filter((s) => on[s]).sort((a, b) => on[a] - on[b]);
      const node = (k) => Array.from(nodes.subarray(k * n, k * n + n)), kind = kinds[this.inputs % kinds.length];
      const found = state.flatMap((s, k) => (s === kind && node(k).every((value) => !value || value > 0.3) ? [node(k)] : []));
      this.x = found[Math.floor(this.inputs / kinds.length) % found.length];
      this.inputs++;
      this.pushed(this.x.map(() => 0));
    }

    pushed(delta) {
      this.delta = delta;
      if (this.W) this.paintPush();
    }

    // Set one entry of δ; the others shrink where all would be longer than allowed.
    push(j, value) {
      const own = clamp(value, -LIMIT, LIMIT), others = Math.hypot(...this.delta.filter((_, k) => k !== j));
      const fit = Math.min(1, Math.sqrt(LIMIT ** 2 - own ** 2) / (others || 1));
      this.pushed(this.delta.map((d, k) => (k === j ? own : d * fit)));
    }

    makeBars() {
      const { n, sets } = this.preset;
      const bar = (j) => `<div class="bar ${Shape.tint(sets, sets.findIndex((members) => members.includes(j)))}"><i class="clean"></i><i class="moved"></i><i class="end"></i><span>${j + 1}</span></div>`;
      for (const chart of this.root.querySelectorAll(".bars")) chart.innerHTML = Array.from({ length: n }, (_, j) => bar(j)).join("");
      this.find(".bars.input").querySelectorAll(".bar").forEach((bar, j) => {
        const drag = (event) => {
          const { bottom, height } = bar.getBoundingClientRect();
          this.push(j, BOTTOM + ((TOP - BOTTOM) * (bottom - event.clientY)) / height - this.x[j]);
        };
        for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-label": `push on feature ${j + 1}`, "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT, "aria-orientation": "vertical" })) bar.setAttribute(name, value);
        bar.addEventListener("pointerdown", (event) => (bar.setPointerCapture(event.pointerId), drag(event)));
        bar.addEventListener("pointermove", (event) => event.buttons && drag(event));
        bar.addEventListener("keydown", (event) => {
          const by = { ArrowUp: 0.05, ArrowRight: 0.05, ArrowDown: -0.05, ArrowLeft: -0.05, Home: -1, End: 1, Delete: -this.delta[j] }[event.key];
          if (by !== undefined) (event.preventDefault(), this.push(j, this.delta[j] + by));
        });
      });
    }

    paintPush() {
      const { x, delta, G, b } = this, attacked = x.map((value, j) => value + delta[j]);
      const before = core.output(G, b, x), after = core.output(G, b, attacked);
      const error = (out) => out.reduce((sum, value, j) => sum + (value - x[j]) ** 2, 0);
      const share = (value) => (100 * (clamp(value, BOTTOM, TOP) - BOTTOM)) / (TOP - BOTTOM);
      const place = (mark, from, to) => Object.assign(mark.style, { bottom: `${share(Math.min(from, to))}%`, height: `${share(Math.max(from, to)) - share(Math.min(from, to))}%` });
      const paint = (chart, from, to) =>
        this.find(chart).querySelectorAll(".bar").forEach((bar, j) => {
          place(bar.children[0], 0, from[j]);
          place(bar.children[1], from[j], to[j]);
          place(bar.children[2], to[j], to[j]);
          bar.setAttribute("aria-valuenow", delta[j].toFixed(2));
        });
      paint(".bars.input", x, attacked);
      paint(".bars.output", before, after);
      const length = Math.hypot(...delta), moved = core.moved(G, delta), times = length ? ` (${(moved / length).toFixed(1)} ×)` : "";
      this.find(".told").textContent = `‖δ‖ = ${length.toFixed(2)} becomes ‖WᵀWδ‖ = ${moved.toFixed(2)}${times}, before the ReLU. Error of this input: ${error(before).toFixed(3)} before, ${error(after).toFixed(3)} after.`;
    }
  }

  const root = document.getElementById("train");
  root.trainer = new Trainer(root); // for a console
}
