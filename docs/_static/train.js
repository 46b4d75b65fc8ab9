// The trainer of the landing page: controls, drawings and an attack by hand around a model that trains in a worker.
// presets.js is written by docs/train.py, the markup is docs/train.html.
"use strict";
{
  const RUN = 30_000; // steps after which training pauses by itself
  const LIMIT = 0.5; // norm of the attack by hand
  const [BOTTOM, TOP] = [-0.6, 1.8]; // of the bars; train.css has 0 at a quarter
  const POINTS = 1200; // of the curve
  const WORDS = {
    origin: "near the origin",
    pca: "PCA: each set is one direction",
    collinear: "the sets are opposite",
    lines: "one set is a line",
    prism: "two triangles",
    twisted: "the triangles turn",
    other: "no shape with a name",
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const core = trainCore();
  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const grouped = (number) => Math.round(number).toLocaleString("en");
  const setAll = (element, attributes) => {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  };

  class Trainer {
    constructor(root) {
      const source = `"use strict"; ${trainCore}; ${trainWorker}; trainWorker(trainCore());`;
      this.worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
      this.worker.onmessage = ({ data }) => data.id === this.id && this.take(data);
      this.root = root;
      this.view = [0.65, 0.35]; // yaw and pitch
      this.id = 0; // of the run
      this.sliders = Object.fromEntries([...root.querySelectorAll("input")].map((input) => [input.name, input]));
      for (const [name, input] of Object.entries(this.sliders)) {
        Object.assign(input, { min: 0, max: STOPS[name].length - 1, step: 1 });
        input.addEventListener("input", () => this.moved(name));
      }
      this.addButtons();
      this.addTurning(this.find(".directions"));
      root.hidden = false;
      this.choose("triples");
      this.addWatching();
    }

    find = (selector) => this.root.querySelector(selector);
    all = (selector) => [...this.root.querySelectorAll(selector)];
    stop = (name) => STOPS[name][this.sliders[name].valueAsNumber];

    addButtons() {
      const actions = {
        ".start": () => (this.running ? this.pause() : this.start()),
        ".more": () => this.worker.postMessage({ more: 100 }),
        ".reset": () => this.reset(),
        ".worst": () => this.pushed(core.analytic(this.W, this.b, this.x, LIMIT)),
        ".none": () => this.pushed(this.x.map(() => 0)),
        ".next": () => this.nextInput(),
      };
      for (const [selector, action] of Object.entries(actions)) this.find(selector).addEventListener("click", action);
      for (const button of this.all("button[data-preset]"))
        button.addEventListener("click", () => this.choose(button.dataset.preset, !calm));
    }

    // Training begins by itself once it is in view, unless the reader asked for no motion; out of view it waits.
    addWatching() {
      const look = () => {
        const seen = this.inView && !document.hidden;
        if (!seen && this.running) {
          this.waits = true;
          this.pause();
        } else if (seen && (this.waits || (!this.hasBegun && !calm))) {
          this.waits = false;
          this.start();
        }
      };
      const watch = (entries) => {
        this.inView = entries.at(-1).isIntersecting;
        look();
      };
      new IntersectionObserver(watch, { threshold: 0.5 }).observe(this.find(".stage"));
      document.addEventListener("visibilitychange", look);
      new ResizeObserver(() => this.draw()).observe(this.find(".loss"));
    }

    // ---- what is trained

    choose(name, start = false) {
      const stored = PRESETS[name];
      const templates = stored.templates.map((template) => ({ ...template, grams: floats(template.grams) }));
      this.preset = { ...stored, templates, nodes: floats(stored.nodes) };
      for (const button of this.all("button[data-preset]"))
        button.setAttribute("aria-pressed", button.dataset.preset === name);
      for (const text of this.all("p[data-preset]")) text.hidden = text.dataset.preset !== name;
      for (const [slider, at] of Object.entries(stored.first)) this.sliders[slider].value = at;
      this.inputs = 0;
      this.W = undefined; // that of another preset
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

    start = () => this.worker.postMessage({ more: RUN });
    pause = () => this.worker.postMessage({ more: 0 });

    // A slider has moved: the worker trains on with it, but another seed begins anew.
    moved(name) {
      this.say(name);
      if (name === "seed") return this.reset(this.running);
      if (name !== "pace") this.history.moves.push(this.history.steps.at(-1) ?? 0);
      this.worker.postMessage(name === "pace" ? { pace: this.stop("pace") } : { set: this.setting() });
      this.draw();
    }

    // Write the value of a slider beside it; the norm depends on the sparsity too.
    say(name) {
      const value = this.stop(name), p = +(1 - this.stop("sparsity")).toFixed(2);
      const texts = {
        sparsity: () => `${value}: active with p = ${p}`,
        norm: () => (value ? `${value} E‖x‖ = ${this.setting().radius.toFixed(2)}` : "0: plain training"),
        pace: () => (value ? `${grouped(value)} steps a second` : "as fast as it goes"),
      };
      const text = texts[name]?.() ?? `${value}`;
      this.sliders[name].previousElementSibling.textContent = text;
      this.sliders[name].setAttribute("aria-valuetext", text);
      if (name === "sparsity") this.say("norm");
    }

    // What the worker needs of the sliders; and E ‖x‖², the loss of a model of zeros.
    setting() {
      const { nodes, n, state, share, on, off, factor, mean_norm } = this.preset, p = 1 - this.stop("sparsity");
      const weights = Float64Array.from(state, (s) => factor[s] * p ** on[s] * (1 - p) ** off[s] * share[s]);
      this.highest = nodes.reduce((sum, value, at) => sum + weights[Math.floor(at / n)] * value * value, 0);
      return { weights, radius: this.stop("norm") * mean_norm[this.sliders.sparsity.value], rate: this.stop("rate") };
    }

    // What the worker says: one point of the curve, and what there is to draw.
    take({ steps, W, b, loss, speed, running }) {
      const { history, preset } = this, G = core.gram(W, preset.n), near = Shape.name(preset, W, G);
      const name = Shape.isRegular(preset, near, G) ? near : `not yet a regular ${near}`;
      Object.assign(this, { W, b, G, loss, speed, running, name, hasBegun: this.hasBegun || running });
      if (history.steps.at(-1) !== steps) {
        history.steps.push(steps);
        history.losses.push(loss);
      }
      if (history.phases.at(-1)?.name !== name) history.phases.push({ name, step: steps });
      const thinned = (values) => values.filter((_, i) => i % 2 === 0 || i === values.length - 1);
      if (history.steps.length > POINTS)
        Object.assign(history, { steps: thinned(history.steps), losses: thinned(history.losses) });
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
      const { preset, W, history, running, speed } = this, { n, m, sets } = preset;
      const step = history.steps.at(-1), state = WORDS[this.name] ?? this.name;
      const opposite = Shape.pairs(Shape.columns(W, n), sets).antipodes.length;
      const pairs = opposite === 1 ? "pair" : "pairs";
      const each = W.reduce((sum, w) => sum + w * w, 0) / m;
      const pace = running && speed ? `, ${grouped(speed)} a second` : "";
      const texts = {
        ".start": running ? "❚❚ Pause" : step ? "▶ Go on" : "▶ Start",
        ".state": state,
        ".measures": `${opposite} antipodal ${pairs}, ${each.toFixed(2)} features per dimension`,
        ".count": `step ${grouped(step)}, loss ${this.loss.toPrecision(2)}${pace}`,
      };
      for (const [selector, text] of Object.entries(texts))
        if (this.find(selector).textContent !== text) this.find(selector).textContent = text;

      const picture = this.find(".directions"), turned = m === 3 ? "; arrow keys turn it" : "";
      picture.innerHTML = Shape.directions(preset, W, this.view);
      picture.setAttribute("aria-label", `The ${n} columns of W in ${m} dimensions: ${state}${turned}`);

      const plot = this.find(".loss"), { clientWidth: width, clientHeight: height } = plot;
      const levels = Object.entries(preset.levels).map(([name, values]) => [name, values[this.sliders.sparsity.value]]);
      levels.sort((a, b) => b[1] - a[1]);
      if (width) plot.innerHTML = Shape.loss({ ...history, levels, highest: this.highest, width, height });
      const exact = levels.map(([name, value]) => `${name} ${value.toPrecision(3)}`).join(", ");
      plot.setAttribute("aria-label", `Loss ${this.loss.toPrecision(3)} at step ${grouped(step)}; exact: ${exact}`);
      this.paintPush();
    }

    // Drag or arrow keys turn a body about the vertical, and tilt it.
    addTurning(picture) {
      const turn = (yaw, pitch) => {
        this.view = [this.view[0] + yaw, clamp(this.view[1] + pitch, -1.5, 1.5)];
        this.draw();
      };
      const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
      const drag = (event) => event.buttons && turn(event.movementX / 120, event.movementY / 120);
      picture.addEventListener("pointerdown", (event) => picture.setPointerCapture(event.pointerId));
      picture.addEventListener("pointermove", drag);
      picture.addEventListener("keydown", (event) => {
        if (!keys[event.key]) return;
        event.preventDefault();
        turn(...keys[event.key]);
      });
    }

    // ---- the attack by hand

    // The next kind of input, fewest active features first; of its nodes one without small values.
    nextInput() {
      const { state, nodes, n, on } = this.preset;
      const kinds = [...on.keys()].filter((s) => on[s]).sort((a, b) => on[a] - on[b]);
      const kind = kinds[this.inputs % kinds.length], round = Math.floor(this.inputs / kinds.length);
      const all = state.flatMap((s, k) => (s === kind ? [Array.from(nodes.subarray(k * n, k * n + n))] : []));
      const clear = all.filter((x) => x.every((value) => !value || value > 0.3));
      this.x = clear[round % clear.length];
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
      const { n, sets } = this.preset, features = [...Array(n).keys()];
      const tint = (j) => Shape.tint(sets, sets.findIndex((members) => members.includes(j)));
      const marks = `<i class="clean"></i><i class="moved"></i><i class="end"></i>`;
      const bars = features.map((j) => `<div class="bar ${tint(j)}">${marks}<span>${j + 1}</span></div>`).join("");
      for (const chart of this.all(".bars")) chart.innerHTML = bars;
      this.all(".bars.input .bar").forEach((bar, j) => this.addPushing(bar, j));
    }

    addPushing(bar, j) {
      const range = { "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT, "aria-orientation": "vertical" };
      setAll(bar, { role: "slider", tabindex: 0, "aria-label": `push on feature ${j + 1}`, ...range });
      const drag = ({ clientY }) => {
        const { bottom, height } = bar.getBoundingClientRect();
        this.push(j, BOTTOM + ((TOP - BOTTOM) * (bottom - clientY)) / height - this.x[j]);
      };
      bar.addEventListener("pointerdown", (event) => {
        bar.setPointerCapture(event.pointerId);
        drag(event);
      });
      bar.addEventListener("pointermove", (event) => event.buttons && drag(event));
      const keys = { ArrowUp: 0.05, ArrowRight: 0.05, ArrowDown: -0.05, ArrowLeft: -0.05, Home: -1, End: 1 };
      bar.addEventListener("keydown", (event) => {
        if (!keys[event.key]) return;
        event.preventDefault();
        this.push(j, this.delta[j] + keys[event.key]);
      });
    }

    paintPush() {
      const { x, delta, G, b } = this, attacked = x.map((value, j) => value + delta[j]);
      const before = core.output(G, b, x), after = core.output(G, b, attacked);
      const error = (out) => out.reduce((sum, value, j) => sum + (value - x[j]) ** 2, 0).toFixed(3);
      const share = (value) => (100 * (clamp(value, BOTTOM, TOP) - BOTTOM)) / (TOP - BOTTOM);
      const place = (mark, ...ends) => {
        const [low, high] = [share(Math.min(...ends)), share(Math.max(...ends))];
        Object.assign(mark.style, { bottom: `${low}%`, height: `${high - low}%` });
      };
      const paint = (chart, from, to) =>
        this.all(`${chart} .bar`).forEach(({ children: [clean, moved, end] }, j) => {
          place(clean, 0, from[j]);
          place(moved, from[j], to[j]);
          place(end, to[j]);
        });
      paint(".bars.input", x, attacked);
      paint(".bars.output", before, after);
      this.all(".bars.input .bar").forEach((bar, j) => bar.setAttribute("aria-valuenow", delta[j].toFixed(2)));
      const length = Math.hypot(...delta), moved = core.moved(G, delta);
      const times = length ? ` (${(moved / length).toFixed(1)} ×)` : "";
      this.find(".told").textContent =
        `‖δ‖ = ${length.toFixed(2)} becomes ‖WᵀWδ‖ = ${moved.toFixed(2)}${times}, before the ReLU. ` +
        `Error of this input: ${error(before)} before, ${error(after)} after.`;
    }
  }

  const root = document.getElementById("train");
  root.trainer = new Trainer(root); // for a console
}
