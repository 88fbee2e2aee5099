// Keys, light and dark, and the start.
const keys = find("#keys");
function toggleTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}
const everywhere = { t: toggleTheme, "?": () => (keys.open ? keys.close() : keys.showModal()) };
const enlarged = {
  arrowright: deeds.next, arrowleft: deeds.before, j: deeds.next, k: deeds.before, f: deeds.fit, s: deeds.side, i: deeds.invert, r: deeds.reset,
  h: nextEvidence, b: () => setBoxes(!settings.boxes), "+": deeds.in, "=": deeds.in, "-": deeds.out,
  a: () => decide("agree"), d: () => decide("disagree"),
};
const listKeys = { arrowright: () => turn(1), arrowleft: () => turn(-1), "/": () => find("#search").focus(), 0: () => choose("") };
all(".tile").forEach((tile, index) => { if (!tile.disabled) listKeys[index + 1] = () => choose(tile.dataset.filter); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input[type=search], textarea, select")) return;
  if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
  const action = { ...everywhere, ...(detail.open ? enlarged : listKeys) }[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});
find("#theme").addEventListener("click", toggleTheme);
find("#keys-button").addEventListener("click", () => keys.showModal());
keys.addEventListener("click", () => keys.close());
find("#export").addEventListener("click", exportNotes);
find("#page-before").addEventListener("click", () => turn(-1));
find("#page-next").addEventListener("click", () => turn(1));
prepareFilters(showList);
showNoted();
showList();
