// On every page: dark or light, times that tell how long ago, and the keys that lead somewhere.
const root = document.documentElement;
const kept = localStorage.getItem("theme");
if (kept) root.dataset.theme = kept;

export function toggleTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

export function ago(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? units[3];
  return `${Math.max(0, Math.floor(seconds / size))} ${unit} ago`;
}

export function tellTimes(part = document) {
  for (const time of part.querySelectorAll("time[data-at]")) time.textContent = ago(Date.now() / 1000 - time.dataset.at);
}

// Keys act only where nobody types, and never with Ctrl, Alt or Meta.
export function onKeys(actions) {
  addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=radio], [type=checkbox], [type=range]), select, textarea, dialog");
    if (field || event.ctrlKey || event.altKey || event.metaKey) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}

tellTimes();
setInterval(tellTimes, 10000);
document.querySelector("#theme")?.addEventListener("click", toggleTheme);
onKeys({
  t: toggleTheme,
  l: () => location.assign("/limits"),
  w: () => location.assign("/"),
  "?": () => document.querySelector("#keys").showModal(),
});
