"use strict";
// What all parts share. Texts go into the page as text nodes and attribute values only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

const counted = (number) => number.toLocaleString("en");

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

/** The colour of a custom property, as the theme has it now. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Texts that came each once, with the place of each row's. */
function decoded(cells) {
  return Array.isArray(cells) ? cells : cells.codes.map((code) => cells.words[code]);
}

/** A marker around (0, 0); the k-th kind of seven. */
function marker(k, size = 4) {
  const shapes = [
    null,
    [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    [[0, -1.25], [1.2, 1], [-1.2, 1]],
    [[0, -1.4], [1.2, 0], [0, 1.4], [-1.2, 0]],
    [[0, 1.25], [1.2, -1], [-1.2, -1]],
    [[-1.2, 0], [1, -1.2], [1, 1.2]],
    [[1.2, 0], [-1, -1.2], [-1, 1.2]],
  ];
  const shape = shapes[k % 7];
  if (!shape) return { round: size };
  return { corners: shape.map(([x, y]) => [x * size, y * size]) };
}

/** Calls `redraw` when the theme changes, by the button or by the system. */
const redraws = [];
function onTheme(redraw) {
  redraws.push(redraw);
}

function themes() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const changed = () => {
    button.textContent = dark() ? "Light theme" : "Dark theme";
    redraws.forEach((redraw) => redraw());
  };
  // A browser may keep nothing for files; then the choice is for this visit.
  try {
    const kept = localStorage.getItem("gleaner-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* as the system has it */ }
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("gleaner-theme", root.dataset.theme); } catch { /* see above */ }
    changed();
  });
  system.addEventListener("change", changed);
  button.hidden = false;
  changed();
}
