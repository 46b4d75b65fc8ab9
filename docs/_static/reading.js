// Says of each box that scrolls sideways on which sides more is hidden, and opens or folds all code of a page at once.
"use strict";
{
  const BOXES = ".sideways, .text_html, .pst-scrollable-table-container, .highlight pre, div.math";
  const mark = (box) => {
    const hidden = box.scrollWidth - box.clientWidth;
    const more = [box.scrollLeft > 1 && "left", hidden - box.scrollLeft > 1 && "right"].filter(Boolean);
    if (hidden > 1 && getComputedStyle(box).overflowX !== "visible") box.dataset.more = more.join(" ");
    else delete box.dataset.more;
  };
  const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target)));
  for (const box of document.querySelectorAll(BOXES)) {
    box.addEventListener("scroll", () => mark(box), { passive: true });
    resized.observe(box);
    if (box.firstElementChild) resized.observe(box.firstElementChild);
  }
  resized.observe(document.documentElement);

  const code = [...document.querySelectorAll("details.above-input")];
  const title = document.querySelector(".bd-article h1");
  if (code.length && title) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "all-code" });
    const say = () => (button.textContent = code.every(({ open }) => open) ? "Fold all code" : "Show all code");
    button.addEventListener("click", () => {
      const open = !code.every(({ open }) => open);
      for (const cell of code) cell.open = open;
    });
    for (const cell of code) cell.addEventListener("toggle", say);
    say();
    document.querySelector(".bd-article .download").append(button);
  }
}
