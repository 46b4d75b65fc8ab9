// What a model of the landing page looks like: its name, as toylib.geometry.classify gives it, and its drawings as SVG.
// Pure functions of W (m, n), row by row; colours are classes, so that the theme is CSS alone.
"use strict";

const Shape = {
  // Columns of W as arrays of m numbers.
  columns: (W, n) => Array.from({ length: n }, (_, i) => Array.from(W).filter((_, at) => at % n === i)),
  dot: (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0),
  norm: (a) => Math.hypot(...a),
  centred(columns) {
    const mean = columns[0].map((_, a) => columns.reduce((sum, c) => sum + c[a], 0) / columns.length);
    return { mean, rest: columns.map((c) => c.map((value, a) => value - mean[a])) };
  },

  // Frobenius distance of the Gram matrix to a template, the least over relabellings (k, n, n); of a free one, at the
  // best length.
  distance({ grams, free }, G) {
    const size = G.reduce((sum, g) => sum + g * g, 0);
    let along = -Infinity, target = 0;
    for (let at = 0; at < grams.length; at += G.length) {
      let sum = 0;
      for (let i = 0; i < G.length; i++) sum += G[i] * grams[at + i];
      along = Math.max(along, sum);
    }
    for (let i = 0; i < G.length; i++) target += grams[i] ** 2;
    const squared = free ? target - Math.max(along, 0) ** 2 / (size || 1) : size + target - 2 * along;
    return Math.sqrt(Math.max(squared, 0));
  },

  // s₂/s₁ of three centred columns, from the two invariants of their Gram matrix, whose third value is 0.
  flatness(rest) {
    const [a, b, c] = rest, { dot } = Shape, trace = dot(a, a) + dot(b, b) + dot(c, c);
    const minors = [[a, b], [a, c], [b, c]].reduce((sum, [u, v]) => sum + dot(u, u) * dot(v, v) - dot(u, v) ** 2, 0);
    const root = Math.sqrt(Math.max(trace * trace - 4 * minors, 0));
    return trace > 0 ? Math.sqrt(Math.max(trace - root, 0) / (trace + root)) : 0;
  },

  // Degrees by which one triangle is turned against the other about the axis through their means.
  twist(sets) {
    const axis = sets[0].mean.map((value, a) => value - sets[1].mean[a]);
    const least = axis.indexOf([...axis].sort((u, v) => Math.abs(u) - Math.abs(v))[0]);
    const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const scaled = (u) => u.map((value) => value / Shape.norm(u));
    const e1 = scaled(cross(axis, [0, 1, 2].map((a) => +(a === least)))), e2 = cross(scaled(axis), e1);
    const [p, q] = sets.map(({ rest }) => {
      const points = rest.map((c) => [Shape.dot(e1, c), Shape.dot(e2, c)]);
      const part = (f) => points.reduce((sum, [x, y]) => sum + Math.hypot(x, y) * f(3 * Math.atan2(y, x)), 0);
      return [part(Math.cos), part(Math.sin)];
    });
    return (Math.abs(Math.atan2(q[1] * p[0] - q[0] * p[1], q[0] * p[0] + q[1] * p[1])) / 3) * (180 / Math.PI);
  },

  // The name of a model, by the rules of geometry.classify; two triples have some for what lies between templates.
  name({ n, sets, templates }, W, G) {
    const columns = Shape.columns(W, n), total = W.reduce((sum, w) => sum + w * w, 0);
    if (!Number.isFinite(total)) return "other";
    if (total < (0.2 * n) / 6) return "origin";
    const parts = sets.map((members) => Shape.centred(members.map((j) => columns[j])));
    const within = parts.reduce((sum, { rest }) => sum + rest.reduce((s, c) => s + Shape.dot(c, c), 0), 0) / total;
    const near = templates.find((t) => within <= t.energy && Shape.distance(t, G) < t.bound);
    if (near) return near.name;
    if (sets.length !== 2 || sets[0].length !== 3 || within < 0.05) return "other";
    if (Math.min(...parts.map(({ rest }) => Shape.flatness(rest))) <= 0.3) return "lines";
    const angle = Shape.twist(parts);
    return Number.isNaN(angle) ? "other" : angle < 20 ? "prism" : angle < 40 ? "twisted" : "antiprism";
  },

  // Pairs of live features: antipodal ones, and edges. In a plane an edge has all others on one side.
  pairs(columns, sets) {
    const { dot, norm } = Shape, lengths = columns.map(norm), most = Math.max(...lengths, 1e-12);
    const of = columns.map((_, j) => sets.findIndex((members) => members.includes(j)));
    const live = columns.map((_, j) => lengths[j] > 0.05 * most && most > 0.05);
    const side = ([ax, ay], [bx, by], [cx, cy]) => (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    const outer = (i, j) => {
      const sides = columns.filter((_, k) => live[k] && k !== i && k !== j).map((c) => side(columns[i], columns[j], c));
      return sides.every((s) => s > 0) || sides.every((s) => s < 0);
    };
    const found = { antipodes: [], edges: [] };
    for (let i = 0; i < columns.length; i++)
      for (let j = i + 1; j < columns.length; j++) {
        if (!live[i] || !live[j]) continue;
        const cosine = dot(columns[i], columns[j]) / lengths[i] / lengths[j], same = of[i] === of[j];
        if (cosine < -0.9) found.antipodes.push([i, j, same ? of[i] : -1]);
        else if (columns[i].length === 2 ? outer(i, j) : same || cosine > -0.5) found.edges.push([i, j, same ? of[i] : -1]);
      }
    return { ...found, live };
  },

  // The class with the colour of a feature's set; sets of one feature all have the same.
  tint: (sets, set) => (set < 0 ? "between" : `set-${sets.length > 4 ? 1 : set + 1}`),

  // Directions in hidden space, as the inside of an SVG with the viewBox -1.35 -1.35 2.7 2.7. A body is seen in parallel
  // projection from [yaw, pitch].
  directions({ n, sets }, W, [yaw, pitch]) {
    const columns = Shape.columns(W, n), { antipodes, edges, live } = Shape.pairs(columns, sets);
    const [c, s, u, v] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const seen = ([x, y, z]) => {
      if (z === undefined) return [x, -y, 0];
      const right = c * x - s * y, away = s * x + c * y;
      return [right, -(u * z + v * away), v * z - u * away];
    };
    const points = columns.map(seen), f = (value) => value.toFixed(3);
    const of = points.map((_, j) => sets.findIndex((members) => members.includes(j)));
    const line = (a, b, kind) => `<line class="${kind}" x1="${f(a[0])}" y1="${f(a[1])}" x2="${f(b[0])}" y2="${f(b[1])}"/>`;
    const behind = (a, b) => (a[2] + b[2] < -0.1 ? " behind" : "");
    const solid = columns[0].length === 3;
    const around = Array.from({ length: 49 }, (_, k) => seen([Math.cos((k * Math.PI) / 24), Math.sin((k * Math.PI) / 24), 0]));
    const parts = [`<circle class="sphere" r="1"/>`];
    if (solid) parts.push(`<polyline class="sphere" points="${around.map(([x, y]) => `${f(x)},${f(y)}`).join(" ")}"/>`);
    parts.push(...antipodes.map(([i, j, set]) => line(points[i], points[j], `antipodes ${Shape.tint(sets, set)}`)));
    for (const members of sets.filter((set) => solid && set.length === 3))
      parts.push(`<polygon class="${Shape.tint(sets, of[members[0]])}" points="${members.map((j) => points[j].slice(0, 2).map(f)).join(" ")}"/>`);
    const depth = ([i, j]) => points[i][2] + points[j][2];
    for (const [i, j, set] of [...edges].sort((a, b) => depth(a) - depth(b)))
      parts.push(line(points[i], points[j], `edge ${Shape.tint(sets, set)}${behind(points[i], points[j])}`));
    if (!solid) parts.push(...points.map((p, j) => line([0, 0], p, `arrow ${Shape.tint(sets, of[j])}`)));
    parts.push(`<circle class="origin" r="0.02"/>`);
    const order = points.map((_, j) => j).sort((i, j) => points[i][2] - points[j][2]);
    for (const j of order)
      parts.push(`<circle class="${Shape.tint(sets, of[j])}" cx="${f(points[j][0])}" cy="${f(points[j][1])}" r="${f(0.05 + 0.012 * points[j][2])}"/>`);
    const places = Shape.labels(points);
    for (const j of order.filter((j) => live[j] || !live.includes(true)))
      parts.push(`<text class="${Shape.tint(sets, of[j])}" x="${f(places[j][0])}" y="${f(places[j][1])}">${j + 1}</text>`);
    return parts.join("");
  },

  // Where numbers stand: outside their points, pushed apart where points coincide, and off other points.
  labels(points) {
    const places = points.map(([x, y], j) => {
      const angle = 2.4 * j, length = Math.hypot(x, y) + 0.02;
      return [x + (0.17 * x) / length + 0.02 * Math.cos(angle), y + (0.17 * y) / length + 0.02 * Math.sin(angle)];
    });
    const away = (i, from, least) => {
      const x = places[i][0] - from[0], y = places[i][1] - from[1], apart = Math.hypot(x, y) + 1e-9;
      const push = Math.max(0, least - apart) / apart / 2;
      places[i] = [places[i][0] + push * x, places[i][1] + push * y];
    };
    for (let round = 0; round < 20; round++)
      for (let i = 0; i < places.length; i++)
        for (let j = 0; j < places.length; j++) {
          if (i !== j) away(i, places[j], 0.17);
          away(i, points[j], 0.15);
        }
    return places;
  },

  // The loss over steps with its exact levels, on a logarithmic axis, and ticks where a slider moved: the inside of an
  // SVG of this size in pixels.
  loss({ steps, losses, phases, moves, levels, highest, width, height }) {
    const [left, right, top, bottom] = [46, width < 500 ? 8 : 150, 20, 38], last = steps.at(-1);
    const low = Math.max(Math.min(0.5 * levels.at(-1)[1], 0.7 * Math.min(...losses)), 2e-3 * levels.at(-1)[1]);
    const high = 1.4 * Math.max(highest, ...losses), end = 2000 * 2 ** Math.max(0, Math.ceil(Math.log2(last / 2000)));
    const x = (step) => left + ((width - left - right) * step) / end;
    const share = (loss) => Math.log(Math.max(loss, low) / low) / Math.log(high / low);
    const y = (loss) => height - bottom - (height - top - bottom) * share(loss);
    const parts = phases.map(({ name, step }, i) => {
      const begin = x(step), wide = x(phases[i + 1]?.step ?? last) - begin;
      const whole = { origin: "", other: "", pca: "PCA" }[name] ?? name;
      const text = wide > 6.2 * whole.length ? whole : whole.split(",")[0];
      const band = i % 2 ? "" : `<rect class="phase" x="${begin}" y="${top}" width="${Math.max(wide, 0)}" height="${height - top - bottom}"/>`;
      return band + (text && wide > 6.2 * text.length ? `<text class="name" x="${begin + wide / 2}" y="${top - 6}">${text}</text>` : "");
    });
    const decades = Array.from({ length: 12 }, (_, k) => 10 ** (k - 10));
    const ticks = decades.flatMap((d) => (high / low < 200 ? [d, 2 * d, 5 * d] : [d])).filter((t) => t > low && t < high);
    for (const tick of ticks)
      parts.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${y(tick)}" y2="${y(tick)}"/><text class="up" x="${left - 6}" y="${y(tick)}">${+tick.toPrecision(1)}</text>`);
    for (const step of moves) parts.push(`<line class="move" x1="${x(step)}" x2="${x(step)}" y1="${height - bottom - 7}" y2="${height - bottom}"/>`);
    for (let k = 0; k <= 4; k++)
      parts.push(`<text class="along${k === 4 ? " last" : ""}" x="${x((k * end) / 4)}" y="${height - bottom + 16}">${((k * end) / 4).toLocaleString("en")}</text>`);
    parts.push(`<text class="along" x="${(left + width - right) / 2}" y="${height - 8}">training step</text>`);
    const ends = levels.map(([, value]) => y(value));
    for (let i = 1; i < ends.length; i++) ends[i] = Math.max(ends[i], ends[i - 1] + 15);
    levels.forEach(([name, value], i) => {
      parts.push(`<line class="level" x1="${left}" x2="${width - right}" y1="${y(value)}" y2="${y(value)}"/>`);
      const at = right > 50 ? `x="${width - right + 6}" y="${ends[i]}"` : `class="inside" x="${width - right - 4}" y="${ends[i] + 9}"`;
      parts.push(`<text ${at}>${name}</text>`);
    });
    parts.push(`<polyline class="curve" points="${steps.map((step, i) => `${x(step).toFixed(1)},${y(losses[i]).toFixed(1)}`).join(" ")}"/>`);
    return parts.join("") + `<circle class="now" cx="${x(last)}" cy="${y(losses.at(-1))}" r="4"/>`;
  },
};
