// What a model of the landing page looks like: its name, as toylib.geometry.classify gives it, and its drawings as SVG.
// Pure functions of W (m, n), row by row; colours are classes, so that the theme is CSS alone.
"use strict";

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const Shape = {
  // Columns of W as arrays of m numbers.
  columns: (W, n) => Array.from({ length: n }, (_, i) => Array.from(W).filter((_, at) => at % n === i)),
  dot: (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0),
  norm: (a) => Math.hypot(...a),
  centred(columns) {
    const mean = columns[0].map((_, a) => columns.reduce((sum, c) => sum + c[a], 0) / columns.length);
    return { mean, rest: columns.map((c) => c.map((value, a) => value - mean[a])) };
  },

  // The relabelling (n, n) of a template's Gram matrices (k, n, n) that lies most along G, and ⟨it, G⟩.
  nearest({ grams }, G) {
    let best = { along: -Infinity };
    for (let at = 0; at < grams.length; at += G.length) {
      const gram = grams.subarray(at, at + G.length), along = Shape.dot(G, gram);
      if (along > best.along) best = { gram, along };
    }
    return best;
  },

  // Frobenius distance of G to the nearest of a template; of a free one, at the best length.
  distance(template, G) {
    const { gram, along } = Shape.nearest(template, G), size = Shape.dot(G, G), target = Shape.dot(gram, gram);
    const squared = template.free ? target - Math.max(along, 0) ** 2 / (size || 1) : size + target - 2 * along;
    return Math.sqrt(Math.max(squared, 0));
  },

  // Whether a model has the shape of the template that it is named after: all angles within 10° of the template's, and
  // all lengths, over the template's, within 10 % of each other.
  isRegular({ n, templates }, name, G) {
    const template = templates.find((t) => t.shape && t.name === name);
    if (!template) return true;
    const { gram } = Shape.nearest(template, G), all = [...Array(n).keys()];
    const angle = (A, i, j) => Math.acos(clamp(A[i * n + j] / Math.sqrt(A[i * n + i] * A[j * n + j]), -1, 1));
    const lengths = all.map((i) => Math.sqrt(G[i * n + i] / gram[i * n + i]));
    const turned = all.flatMap((i) => all.map((j) => Math.abs(angle(G, i, j) - angle(gram, i, j))));
    return Math.max(...turned) < Math.PI / 18 && Math.max(...lengths) < 1.1 * Math.min(...lengths);
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

  // Pairs of live features: antipodal ones, each the most opposite of the other, and edges. In a plane an edge has all
  // others on one side.
  pairs(columns, sets) {
    const { dot, norm } = Shape, lengths = columns.map(norm), most = Math.max(...lengths, 1e-12);
    const of = columns.map((_, j) => sets.findIndex((members) => members.includes(j)));
    const live = columns.map((_, j) => lengths[j] > 0.05 * most && most > 0.05);
    const side = ([ax, ay], [bx, by], [cx, cy]) => (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    const outer = (i, j) => {
      const sides = columns.filter((_, k) => live[k] && k !== i && k !== j).map((c) => side(columns[i], columns[j], c));
      return sides.every((s) => s > 0) || sides.every((s) => s < 0);
    };
    const cosine = (i, j) => dot(columns[i], columns[j]) / lengths[i] / lengths[j];
    const opposite = columns.map((_, i) => {
      const others = [...columns.keys()].filter((j) => j !== i && live[j]);
      return others.reduce((best, j) => (best === undefined || cosine(i, j) < cosine(i, best) ? j : best), undefined);
    });
    const found = { antipodes: [], edges: [] };
    for (let i = 0; i < columns.length; i++)
      for (let j = i + 1; j < columns.length; j++) {
        if (!live[i] || !live[j]) continue;
        const same = of[i] === of[j], apart = cosine(i, j);
        if (apart < -0.9) {
          if (opposite[i] === j && opposite[j] === i) found.antipodes.push([i, j, same ? of[i] : -1]);
        } else if (columns[i].length === 2 ? outer(i, j) : same || apart > -0.5)
          found.edges.push([i, j, same ? of[i] : -1]);
      }
    return { ...found, live };
  },

  // The class with the colour of a feature's set; sets of one feature all have the same.
  tint: (sets, set) => (set < 0 ? "between" : `set-${sets.length > 4 ? 1 : set + 1}`),

  // An element of SVG, numbers to three digits.
  tag(name, attributes, text = "") {
    const said = (value) => (typeof value === "number" ? +value.toFixed(3) : value);
    const pairs = Object.entries(attributes).map(([key, value]) => `${key}="${said(value)}"`);
    return `<${name} ${pairs.join(" ")}>${text}</${name}>`;
  },
  line: (kind, [x1, y1], [x2, y2]) => Shape.tag("line", { class: kind, x1, y1, x2, y2 }),
  points: (places) => places.map(([x, y]) => `${x.toFixed(3)},${y.toFixed(3)}`).join(" "),

  // Directions in hidden space, as the inside of an SVG with the viewBox -1.35 -1.35 2.7 2.7. A body is seen in
  // parallel projection from [yaw, pitch].
  directions({ n, m, sets }, W, [yaw, pitch]) {
    const { tag, line } = Shape, columns = Shape.columns(W, n), solid = m === 3;
    const { antipodes, edges, live } = Shape.pairs(columns, sets);
    const [c, s, u, v] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const seen = ([x, y, z]) => {
      if (z === undefined) return [x, -y, 0];
      const right = c * x - s * y, away = s * x + c * y;
      return [right, -(u * z + v * away), v * z - u * away]; // across, down, towards the reader
    };
    const points = columns.map(seen), places = Shape.labels(points);
    const kinds = points.map((_, j) => Shape.tint(sets, sets.findIndex((members) => members.includes(j))));
    const depth = ([i, j]) => points[i][2] + points[j][2];

    const parts = [tag("circle", { class: "sphere", r: 1 })];
    if (solid) {
      const angles = Array.from({ length: 49 }, (_, k) => (k * Math.PI) / 24);
      const equator = angles.map((angle) => seen([Math.cos(angle), Math.sin(angle), 0]));
      parts.push(tag("polyline", { class: "sphere", points: Shape.points(equator) }));
    }
    for (const [i, j, set] of antipodes)
      parts.push(line(`antipodes ${Shape.tint(sets, set)}`, points[i], points[j]));
    for (const members of sets.filter((members) => solid && members.length === 3))
      parts.push(tag("polygon", { class: kinds[members[0]], points: Shape.points(members.map((j) => points[j])) }));
    for (const [i, j, set] of [...edges].sort((a, b) => depth(a) - depth(b))) {
      const behind = depth([i, j]) < -0.1 ? " behind" : "";
      parts.push(line(`edge ${Shape.tint(sets, set)}${behind}`, points[i], points[j]));
    }
    if (!solid) parts.push(...points.map((point, j) => line(`arrow ${kinds[j]}`, [0, 0], point)));
    parts.push(tag("circle", { class: "origin", r: 0.02 }));
    const order = [...points.keys()].sort((i, j) => points[i][2] - points[j][2]);
    for (const [cx, cy, z, j] of order.map((j) => [...points[j], j]))
      parts.push(tag("circle", { class: kinds[j], cx, cy, r: 0.05 + 0.012 * z }));
    for (const j of order.filter((j) => live[j] || !live.includes(true)))
      parts.push(tag("text", { class: kinds[j], x: places[j][0], y: places[j][1] }, j + 1));
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
    const { tag, line } = Shape, aside = width >= 500; // whether the names of levels stand beside the plot
    const [left, right, top, bottom] = [46, width - (aside ? 150 : 8), 20, height - 38];
    const last = steps.at(-1), end = 2000 * 2 ** Math.max(0, Math.ceil(Math.log2(last / 2000)));
    const lowest = levels.at(-1)[1], high = 1.4 * Math.max(highest, ...losses);
    const low = Math.max(Math.min(0.5 * lowest, 0.7 * Math.min(...losses)), 2e-3 * lowest);
    const x = (step) => left + ((right - left) * step) / end;
    const y = (loss) => bottom - ((bottom - top) * Math.log(Math.max(loss, low) / low)) / Math.log(high / low);
    const fits = (text, wide) => text && wide > 6.2 * text.length;

    const parts = phases.flatMap(({ name, step }, i) => {
      const wide = x(phases[i + 1]?.step ?? last) - x(step);
      const band = { class: "phase", x: x(step), y: top, width: Math.max(wide, 0), height: bottom - top };
      const whole = { origin: "", other: "", pca: "PCA" }[name] ?? name, short = whole.split(",")[0];
      const text = [whole, short].find((text) => fits(text, wide)) ?? "";
      const above = tag("text", { class: "name", x: x(step) + wide / 2, y: top - 6 }, text);
      return i % 2 ? [above] : [tag("rect", band), above];
    });
    const decades = Array.from({ length: 12 }, (_, k) => 10 ** (k - 10));
    const ticks = decades.flatMap((d) => (high / low < 200 ? [d, 2 * d, 5 * d] : [d]));
    const power = (tick) => `10<tspan class="power" dy="-4">−${-Math.floor(Math.log10(tick) + 1e-9)}</tspan>`;
    const written = (tick) => (tick < 9e-4 && high / low >= 200 ? power(tick) : `${+tick.toPrecision(1)}`);
    for (const tick of ticks.filter((tick) => tick > low && y(tick) > top + 3)) {
      parts.push(line("grid", [left, y(tick)], [right, y(tick)]));
      parts.push(tag("text", { class: "up", x: left - 6, y: y(tick) }, written(tick)));
    }
    for (const step of moves) parts.push(line("move", [x(step), bottom - 7], [x(step), bottom]));
    for (const quarter of [0, 1, 2, 3, 4]) {
      const step = (quarter * end) / 4, kind = quarter === 4 ? "along last" : "along";
      parts.push(tag("text", { class: kind, x: x(step), y: bottom + 16 }, step.toLocaleString("en")));
    }
    parts.push(tag("text", { class: "along", x: (left + right) / 2, y: height - 8 }, "training step"));
    parts.push(tag("text", { class: "up", x: left - 6, y: top - 12 }, "loss"));
    let above = -Infinity; // where the last name stands
    for (const [name, value] of levels) {
      above = Math.max(y(value), above + 15);
      const place = aside ? { x: right + 6, y: above } : { class: "inside", x: right - 4, y: above + 9 };
      parts.push(line("level", [left, y(value)], [right, y(value)]), tag("text", place, name));
    }
    const curve = steps.map((step, i) => [x(step), y(losses[i])]);
    parts.push(tag("polyline", { class: "curve", points: Shape.points(curve) }));
    const now = losses.at(-1) > low ? tag("circle", { class: "now", cx: x(last), cy: y(losses.at(-1)), r: 4 }) : "";
    parts.push(now || tag("text", { class: "along", x: x(last), y: bottom - 6 }, "▼")); // below what is drawn
    return parts.join("");
  },
};
