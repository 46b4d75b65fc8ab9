// The model of the landing page and its training: x' = ReLU(WᵀWx + b), Adam, every node at every step. It knows
// nothing of the page: trainCore() runs in the worker and beside it, trainWorker() in the worker alone, both from their
// text, because a page opened from disk may not load a worker from a file.
"use strict";

function trainCore() {
  // Features at most. Rows of samples are padded with zeros, so that loops over samples have no loop inside, which
  // makes them three times faster.
  const WIDTH = 6;

  // WᵀW, (n, n) row by row, of W (m, n) row by row.
  function gram(W, n, G = new Float64Array(n * n)) {
    G.fill(0);
    for (let row = 0; row < W.length; row += n)
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) G[i * n + j] += W[row + i] * W[row + j];
    return G;
  }

  // The candidates of toylib.attacks.analytic: unit rows of G, and what each adds to the pre-activations.
  function candidates(G, n) {
    const units = new Float64Array(n * n), pushes = new Float64Array(n * n);
    for (let c = 0; c < n; c++) {
      const norm = Math.hypot(...G.subarray(c * n, c * n + n));
      for (let j = 0; j < n; j++) units[c * n + j] = norm > 0 ? G[c * n + j] / norm : 0;
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) pushes[c * n + i] += G[i * n + j] * units[c * n + j];
    }
    return { units, pushes };
  }

  // x + δ for rows x of six numbers: δ of norm `radius` along the candidate that raises the error of x most.
  let room; // for as many rows as the last time, because a step that allocates it is slower
  function attacked(rows, G, b, radius) {
    if (room?.Z.length !== rows.length) {
      const number = rows.length / WIDTH;
      room = { Z: rows.slice(), out: rows.slice(), best: new Uint8Array(number), worst: new Float64Array(number) };
    }
    const n = b.length, { units, pushes } = candidates(G, n), { Z, out, best, worst } = room;
    out.set(rows);
    worst.fill(-1);
    for (let i = 0; i < n; i++) {
      const [g0 = 0, g1 = 0, g2 = 0, g3 = 0, g4 = 0, g5 = 0] = G.subarray(i * n, i * n + n), bias = b[i];
      for (let at = 0; at < rows.length; at += WIDTH)
        Z[at + i] =
          bias + g0 * rows[at] + g1 * rows[at + 1] + g2 * rows[at + 2] +
          g3 * rows[at + 3] + g4 * rows[at + 4] + g5 * rows[at + 5];
    }
    for (let c = 0; c < n; c++) {
      const reach = pushes.subarray(c * n, c * n + n).map((push) => radius * push);
      const [p0 = 0, p1 = 0, p2 = 0, p3 = 0, p4 = 0, p5 = 0] = reach;
      for (let k = 0, at = 0; k < best.length; k++, at += WIDTH) {
        const e0 = Math.max(Z[at] + p0, 0) - rows[at], e1 = Math.max(Z[at + 1] + p1, 0) - rows[at + 1];
        const e2 = Math.max(Z[at + 2] + p2, 0) - rows[at + 2], e3 = Math.max(Z[at + 3] + p3, 0) - rows[at + 3];
        const e4 = Math.max(Z[at + 4] + p4, 0) - rows[at + 4], e5 = Math.max(Z[at + 5] + p5, 0) - rows[at + 5];
        const error = e0 * e0 + e1 * e1 + e2 * e2 + e3 * e3 + e4 * e4 + e5 * e5;
        if (error > worst[k]) {
          worst[k] = error;
          best[k] = c;
        }
      }
    }
    for (let k = 0; k < best.length; k++)
      for (let j = 0; j < n; j++) out[k * WIDTH + j] += radius * units[best[k] * n + j];
    return out;
  }

  // Samples (k, n) as rows of six numbers.
  function padded(samples, n) {
    const rows = new Float64Array((samples.length / n) * WIDTH);
    samples.forEach((value, at) => (rows[Math.floor(at / n) * WIDTH + (at % n)] = value));
    return rows;
  }

  function output(G, b, x) {
    const n = b.length;
    return Float64Array.from(b, (bias, i) => {
      for (let j = 0; j < n; j++) bias += G[i * n + j] * x[j];
      return Math.max(bias, 0);
    });
  }

  // ‖Gδ‖: how far an attack moves the pre-activations.
  const moved = (G, delta) =>
    Math.hypot(...delta.map((_, i) => delta.reduce((sum, d, j) => sum + G[i * delta.length + j] * d, 0)));

  // The attack δ of this norm on x that toylib.attacks.analytic makes.
  const analytic = (W, b, x, radius) => {
    const there = attacked(padded(x, x.length), gram(W, x.length), b, radius);
    return x.map((value, j) => there[j] - value);
  };

  // One model, trained on nodes (k, n) with weights (k,) that sum to 1, under an attack of norm `radius`.
  class Model {
    constructor({ nodes, W, b }) {
      const size = W.length + b.length;
      Object.assign(this, { n: b.length, rows: padded(nodes, b.length), steps: 0, radius: 0, rate: 1e-3 });
      this.values = Float64Array.of(...W, ...b);
      [this.slope, this.first, this.second] = [0, 0, 0].map(() => new Float64Array(size));
      this.W = this.values.subarray(0, W.length);
      this.b = this.values.subarray(W.length);
      this.G = new Float64Array(this.n ** 2);
      this.D = new Float64Array(this.n ** 2);
    }

    // The loss at an attack norm; leaves its slope in G, the attack constant, in D (n, n), and that in b in `slope`.
    pass(radius) {
      const { n, rows, weights, b, D } = this, G = gram(this.W, n, this.G);
      const inputs = radius ? attacked(rows, G, b, radius) : rows;
      let loss = 0;
      for (let i = 0; i < n; i++) {
        const [g0 = 0, g1 = 0, g2 = 0, g3 = 0, g4 = 0, g5 = 0] = G.subarray(i * n, i * n + n), bias = b[i];
        let [d0, d1, d2, d3, d4, d5, pull] = [0, 0, 0, 0, 0, 0, 0];
        for (let k = 0, at = 0; k < weights.length; k++, at += WIDTH) {
          const x0 = inputs[at], x1 = inputs[at + 1], x2 = inputs[at + 2];
          const x3 = inputs[at + 3], x4 = inputs[at + 4], x5 = inputs[at + 5];
          const z = bias + g0 * x0 + g1 * x1 + g2 * x2 + g3 * x3 + g4 * x4 + g5 * x5;
          const miss = (z > 0 ? z : 0) - rows[at + i], r = z > 0 ? weights[k] * miss : 0;
          loss += weights[k] * miss * miss;
          d0 += r * x0;
          d1 += r * x1;
          d2 += r * x2;
          d3 += r * x3;
          d4 += r * x4;
          d5 += r * x5;
          pull += r;
        }
        [d0, d1, d2, d3, d4, d5].slice(0, n).forEach((d, j) => (D[i * n + j] = 2 * d));
        this.slope[this.W.length + i] = 2 * pull;
      }
      return loss;
    }

    // One step of Adam, as optax.adam takes it.
    step() {
      const { n, W, D, values, slope, first, second } = this;
      this.pass(this.radius);
      for (let row = 0; row < W.length; row += n) // slope in W: W(D + Dᵀ)
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let i = 0; i < n; i++) sum += W[row + i] * (D[i * n + j] + D[j * n + i]);
          slope[row + j] = sum;
        }
      this.steps++;
      const inFirst = 1 - 0.9 ** this.steps, inSecond = 1 - 0.999 ** this.steps;
      for (let i = 0; i < values.length; i++) {
        first[i] += 0.1 * (slope[i] - first[i]);
        second[i] += 0.001 * (slope[i] ** 2 - second[i]);
        values[i] -= (this.rate * first[i]) / inFirst / (Math.sqrt(second[i] / inSecond) + 1e-8);
      }
    }
  }
  return { gram, output, moved, analytic, Model };
}

// Messages in: {begin: {id, nodes, W, b}}, {set: {weights, radius, rate}}, {pace: steps a second, 0 without a limit},
// {more: steps from here, 0 to pause}. Out, at most 30 a second: {id, steps, W, b, loss, speed, running}.
function trainWorker(core) {
  let id, model, timer, until = 0, pace = 0, origin, posted, measured;
  const BUSY = 20, EVERY = 33; // ms

  function post() {
    const now = performance.now();
    if (now - measured.at > 400 || model.steps < measured.steps) {
      measured = { at: now, steps: model.steps, speed: (1000 * (model.steps - measured.steps)) / (now - measured.at) };
    }
    posted = now;
    const running = model.steps < until;
    const [W, b, loss] = [model.W.slice(), model.b.slice(), model.pass(0)];
    postMessage({ id, steps: model.steps, W, b, loss, speed: measured.speed, running });
  }

  function pump() {
    const begin = performance.now();
    const due = pace ? Math.min(until, origin.steps + (pace * (begin - origin.at)) / 1000) : until;
    while (model.steps < due && performance.now() - begin < BUSY)
      for (let i = 0; i < 8 && model.steps < due; i++) model.step();
    if (model.steps < due) mark(); // slower than the pace: what was missed is not made up for
    if (performance.now() - posted > EVERY || model.steps >= until) post();
    timer = model.steps < until ? setTimeout(pump, pace && model.steps >= due ? 4 : 0) : undefined;
  }

  const mark = () => (origin = { at: performance.now(), steps: model.steps });

  onmessage = ({ data: { begin, set, more, pace: wanted } }) => {
    if (begin) {
      id = begin.id;
      model = new core.Model(begin);
      until = 0;
    }
    Object.assign(model, set);
    if (wanted !== undefined) pace = wanted;
    if (more !== undefined) {
      until = model.steps + more;
      measured = { at: performance.now(), steps: model.steps, speed: NaN };
    }
    measured ??= { at: performance.now(), steps: 0, speed: NaN };
    mark();
    clearTimeout(timer);
    if (model.steps < until) timer = setTimeout(pump, 0);
    else post();
  };
}
