// Draws the figures of a page when they come near: figures with frames, and explorers whose pictures are stored beside
// the page. plotly.min.js, colours.js, plot.js and sliders.js come before.
"use strict";

const MOVES = {}; // of explorers, by id, once their scripts are there: {axes, play, keys, values, pictures}

// A matrix that is stored as bytes, in units of its own.
const unpacked = (value) => {
  if (!value?.packed) return value;
  const numbers = Array.from(Int8Array.from(atob(value.packed), (c) => c.charCodeAt(0)), (n) => n * value.unit);
  return Array.from({ length: numbers.length / value.columns }, (_, i) => numbers.slice(i * value.columns, (i + 1) * value.columns));
};

class Shown extends Live {
  constructor(figure) {
    super(figure.querySelector(".plot"), JSON.parse(figure.querySelector("script").textContent));
    this.figure = figure;
  }

  draw() {
    super.draw();
    const { moves } = this.figure.dataset;
    if (moves) document.head.append(Object.assign(document.createElement("script"), { src: moves, onload: () => this.move() }));
  }

  // The pictures of an explorer have come: each is a value for each of some places; values are stored once.
  move() {
    const { axes, play, keys, values, pictures } = MOVES[this.figure.id];
    this.addSliders(axes, play, (at) => {
      const change = { traces: {}, layout: {} };
      const picture = pictures[at.reduce((sum, i, k) => sum * axes[k].labels.length + i, 0)];
      keys.forEach(([trace, name, ...inner], k) => {
        const [part, first] = trace === null
          ? [change.layout, this.shown.layout]
          : [(change.traces[trace] ??= {}), this.shown.data[trace]];
        if (inner.length) part[name] ??= structuredClone(first[name]); // around what moves all stays
        const path = [name, ...inner], last = path.pop();
        path.reduce((whole, key) => whole[key], part)[last] = unpacked(values[picture[k]]);
      });
      return change;
    });
  }
}

{
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const all = new Map([...document.querySelectorAll("figure.live")].map((figure) => [figure, new Shown(figure)]));
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
