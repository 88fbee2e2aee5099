"use strict";
(() => {
  const find = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const root = document.documentElement;
  const cases = all(".case"), tiles = all(".tile");
  const opacity = find("#opacity"), boxes = find("#boxes"), search = find("#search");
  const zoom = find("#zoom"), keys = find("#keys");
  let verdict = "", current = -1, heatBefore = 70;

  function setHeat(percent) {
    opacity.value = Math.max(0, Math.min(100, percent));
    root.style.setProperty("--heat", opacity.value / 100);
    find("#opacity-value").textContent = `${opacity.value} %`;
  }
  function toggleHeat() {
    const now = Number(opacity.value);
    if (now > 0) heatBefore = now;
    setHeat(now > 0 ? 0 : heatBefore);
  }
  function setBoxes(shown) {
    boxes.checked = shown;
    document.body.classList.toggle("no-boxes", !shown);
  }
  function filter() {
    const words = search.value.trim().toLowerCase();
    for (const item of cases) {
      item.hidden = (verdict && item.dataset.verdict !== verdict) || !item.dataset.name.includes(words);
    }
    for (const tile of tiles) tile.setAttribute("aria-pressed", String(tile.dataset.filter === verdict));
    const shown = cases.filter((item) => !item.hidden).length;
    find("#shown").textContent = shown === cases.length ? "" : `${shown} of ${cases.length} shown`;
    find("#nothing").hidden = shown > 0;
  }
  function choose(name) {
    verdict = verdict === name ? "" : name;
    filter();
  }
  function go(step) {
    const shown = cases.filter((item) => !item.hidden);
    if (!shown.length) return;
    const place = shown.indexOf(cases[current]);
    const next = shown[Math.max(0, Math.min(shown.length - 1, place + step))];
    current = cases.indexOf(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "start" });
    if (zoom.open) enlarge(next);
  }
  function enlarge(item) {
    const picture = item && find(".zoomable svg", item);
    if (!picture) return;
    const copy = picture.cloneNode(true);
    copy.classList.add(item.dataset.verdict);
    find("#zoom-place").replaceChildren(copy);
    find("#zoom-words").textContent = `${find(".badge", item).textContent} · ${find("h2", item).textContent} · ${find(".reason", item).textContent}`;
    if (!zoom.open) zoom.showModal();
  }
  function toggleTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }

  opacity.addEventListener("input", () => setHeat(opacity.value));
  boxes.addEventListener("change", () => setBoxes(boxes.checked));
  search.addEventListener("input", filter);
  find("#theme").addEventListener("click", toggleTheme);
  find("#keys-button").addEventListener("click", () => keys.showModal());
  zoom.addEventListener("click", () => zoom.close());
  keys.addEventListener("click", () => keys.close());
  for (const tile of tiles) tile.addEventListener("click", () => choose(tile.dataset.filter));
  find("#cases").addEventListener("click", (event) => {
    const item = event.target.closest(".case");
    if (!item) return;
    current = cases.indexOf(item);
    if (event.target.closest(".zoomable")) enlarge(item);
  });
  for (const type of ["mouseover", "mouseout"]) {
    find("#cases").addEventListener(type, (event) => {
      const line = event.target.closest(".places li");
      if (!line) return;
      const mark = find(`.mark[data-place="${line.dataset.place}"]`, line.closest(".case"));
      if (mark) mark.classList.toggle("hot", type === "mouseover");
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input[type=search]")) {
      if (event.key === "Escape") { search.value = ""; search.blur(); filter(); }
      return;
    }
    const arrows = event.target.matches("input[type=range]") ? [] : ["ArrowLeft", "ArrowRight"];
    const actions = {
      j: () => go(1), k: () => go(-1), b: () => setBoxes(!boxes.checked), h: toggleHeat, t: toggleTheme,
      "+": () => setHeat(Number(opacity.value) + 10), "-": () => setHeat(Number(opacity.value) - 10),
      "/": () => search.focus(), "?": () => (keys.open ? keys.close() : keys.showModal()), 0: () => choose(""),
    };
    tiles.forEach((tile, index) => { if (!tile.disabled) actions[index + 1] = () => choose(tile.dataset.filter); });
    if (arrows.includes(event.key)) { go(event.key === "ArrowRight" ? 1 : -1); event.preventDefault(); return; }
    if (event.key === "Enter" && !event.target.matches("button, input")) {
      if (zoom.open) zoom.close(); else enlarge(cases[current]);
      event.preventDefault();
      return;
    }
    const action = actions[event.key.toLowerCase()];
    if (action) { action(); event.preventDefault(); }
  });
  setHeat(70);
  filter();
})();
