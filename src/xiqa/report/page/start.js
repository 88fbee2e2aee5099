// The page's data, and small helpers that the other parts share.
const find = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const root = document.documentElement;
const about = JSON.parse(find("#about").textContent);
const rows = JSON.parse(find("#rows").textContent);
rows.forEach((row, index) => { row.rank = index + 1; });
const settings = { evidence: "lines", boxes: true };

// An element with text; file names and reasons never become markup.
function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
