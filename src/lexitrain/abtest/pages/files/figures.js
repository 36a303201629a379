// Tables, and an interval as a line.

import { element } from "./page.js";

/** A table; the first cell of a row is its head. */
export function table(heads, rows) {
  const body = element("tbody", {}, ...rows.map(([head, ...cells]) => element("tr", {},
    element("th", { scope: "row" }, head),
    ...cells.map((cell) => element("td", { className: typeof cell === "number" ? "n" : "" }, cell instanceof Node ? cell : String(cell))))));
  const found = element("table", {}, body);
  if (heads) {
    found.prepend(element("thead", {}, element("tr", {}, ...heads.map((head) =>
      head ? element("th", { scope: "col" }, head) : element("td")))));
  }
  return found;
}

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, properties) {
  const found = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) found.setAttribute(key, value);
  return found;
}

/** The interval of an effect around nothing, which is the dashed line. */
export function interval({ name, difference, low, high }) {
  const most = Math.max(Math.abs(low), Math.abs(high), 1e-9) * 1.15;
  const place = (value) => 100 + (95 * value) / most;
  const found = drawn("svg", { class: "interval", viewBox: "0 0 200 24", role: "img", "aria-label": `${name}: ${low} … ${high}` });
  found.append(
    drawn("line", { class: "zero", x1: 100, x2: 100, y1: 2, y2: 22 }),
    drawn("line", { class: "line", x1: place(low), x2: place(high), y1: 12, y2: 12 }),
    drawn("circle", { class: "point", cx: place(difference ?? (low + high) / 2), cy: 12, r: 4 }),
  );
  return found;
}
