// The page of one image: its viewers side by side share window and overlay; keys choose, they do not decide.
import { onKeys } from "./common.js";
import { Viewer } from "./viewer.js";

const get = (name) => document.querySelector(name);
const viewers = [...document.querySelectorAll(".viewer")].map((figure) => new Viewer(figure));
const [level, width, overlay, opacity, boxes] = ["#level", "#window", "#overlay", "#opacity", "#boxes"].map(get);
const all = (change) => viewers.forEach(change);
for (const viewer of viewers) { viewer.change = setWindow; viewer.load(); }

function setWindow(at, wide) {
  level.value = at;
  width.value = wide;
  all((viewer) => viewer.window(Number(level.value), Number(width.value)));
}
const nudge = (by, wider) => setWindow(Number(level.value) - by, Number(width.value) * wider);

function show() {
  const shown = overlay.getAttribute("aria-pressed") !== "true";
  overlay.setAttribute("aria-pressed", shown);
  overlay.textContent = shown ? "Hide what the model found" : "Show what the model found";
  for (const part of document.querySelectorAll(".later")) part.hidden = !shown;
  get("#first").hidden = shown;
  get(".verdict").classList.toggle("shown", shown);
  all((viewer) => { viewer.overlay = shown; viewer.draw(); });
}

const deeds = {
  fit: () => all((viewer) => viewer.fit()),
  one: () => all((viewer) => viewer.oneToOne()),
  in: () => all((viewer) => viewer.zoomBy(1.25)),
  out: () => all((viewer) => viewer.zoomBy(0.8)),
  invert: () => {
    all((viewer) => viewer.invert());
    get("[data-do=invert]").setAttribute("aria-pressed", viewers[0].inverted);
  },
  reset: () => setWindow(32768, 65536),
};
for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", deeds[button.dataset.do]);
for (const slider of [level, width]) slider.addEventListener("input", () => setWindow(level.value, width.value));
overlay.addEventListener("click", show);
opacity.addEventListener("input", () => all((viewer) => { viewer.opacity = opacity.value / 100; viewer.draw(); }));
boxes.addEventListener("change", () => all((viewer) => { viewer.showBoxes = boxes.checked; viewer.draw(); }));

const form = get("#decision"), reason = get("#reason");
function fitForm() {
  const again = form.elements.action.value === "reacquire";
  reason.hidden = !again;
  reason.querySelector("select").required = again;
}
function choose(action) {
  if (!form) return;
  form.elements.action.value = action;
  fitForm();
  (action === "reacquire" ? reason.querySelector("select") : form.elements.note).focus();
}
if (form) {
  form.addEventListener("change", fitForm);
  form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
  fitForm();
}
addEventListener("pageshow", () => { if (form) form.querySelector("button").disabled = false; });

const shift = (x, y) => () => all((viewer) => viewer.move(x, y));
const slides = (event) => event.target.type === "range" || event.target.type === "radio";
const arrows = { ArrowLeft: shift(60, 0), ArrowRight: shift(-60, 0), ArrowUp: shift(0, 60), ArrowDown: shift(0, -60) };
addEventListener("keydown", (event) => {
  if (!arrows[event.key] || slides(event) || event.target.closest("select, textarea, input, dialog")) return;
  event.preventDefault();
  arrows[event.key]();
});
onKeys({
  o: show, f: deeds.fit, 1: deeds.one, "+": deeds.in, "=": deeds.in, "-": deeds.out, i: deeds.invert, 0: deeds.reset,
  "[": () => nudge(2048, 1), "]": () => nudge(-2048, 1), ",": () => nudge(0, 1.15), ".": () => nudge(0, 1 / 1.15),
  a: () => choose("accept"), r: () => choose("reacquire"), n: () => get("#next")?.click(),
});
