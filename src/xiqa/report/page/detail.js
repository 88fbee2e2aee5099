// One image enlarged, with all that is said of it.
const detail = find("#detail");

async function openDetail(row) {
  Object.assign(look, { row, found: null, shown: null, fitted: true });
  detail.className = row.verdict;
  delete marked.dataset.ready;
  if (!detail.open) detail.showModal();
  describe(row);
  find(".stage").hidden = !row.image;
  const found = await picturesOf(row).catch(() => null);
  if (look.row !== row || !found) return;
  look.found = found;
  const [width, height] = row.size, [shown, tall] = [found.image.naturalWidth, found.image.naturalHeight];
  find("#resolution").textContent = `${width} × ${height} pixels` + (shown < width ? `, shown from a picture of ${shown} × ${tall}` : ", shown in full");
  windowed();
  resizeViews();
  marked.dataset.ready = "";
}
function describe(row) {
  find("#detail-badge").replaceChildren(...badge(row).childNodes);
  find("#detail-name").textContent = row.name;
  find("#detail-folder").textContent = row.folder ?? "";
  find("#detail-rank").textContent = `${listed.indexOf(row) + 1} / ${listed.length}`;
  find("#head").textContent = row.head;
  find("#reason").textContent = row.reason;
  describeNumbers(row);
  find("#places").replaceChildren(...(row.places ?? []).map(placeLine));
  const more = [row.frame && `Frame ${row.frame}`, row.uid && `SOP Instance UID ${row.uid}`, ...(row.notes ?? [])].filter(Boolean);
  find("#more").replaceChildren(...more.map((text) => make("p", "", text)));
  if (row.fragility) find("#more").prepend(make("h3", "", "How fragile is this verdict?"), ...row.fragility.map((text) => make("p", "", text)));
  if (row.probability !== undefined && !row.places) find("#more").prepend(make("p", "", "No place could be made out."));
  showOpinion(row);
}
function describeNumbers(row) {
  const gauge = find("#gauge"), share = (value) => `${100 * value}%`, band = row.band ?? [0, 0];
  gauge.hidden = row.probability === undefined;
  if (gauge.hidden) return;
  find("#percent").textContent = `${row.percent}\u00a0%`;
  gauge.setAttribute("aria-label", `Probability of poor quality ${row.percent} percent, limit ${row.limitPercent} percent`);
  find(".value", gauge).setAttribute("width", share(row.probability));
  find(".band", gauge).setAttribute("x", share(band[0]));
  find(".band", gauge).setAttribute("width", share(band[1] - band[0]));
  for (const line of all(".limit", gauge)) { line.setAttribute("x1", share(row.limit)); line.setAttribute("x2", share(row.limit)); }
  find("#limit-words").textContent = `limit ${row.limitPercent}\u00a0%`;
  find("#limit-words").title = about.reason;
  find("#band-words").textContent = row.band ? `a person looks from ${row.bandPercent[0]} to ${row.bandPercent[1]}\u00a0%` : "";
}
function placeLine(place) {
  const line = make("li", "", `${place.words}, strength ${place.strength}\u00a0%`);
  for (const [type, hot] of [["mouseenter", true], ["mouseleave", false]]) {
    line.addEventListener(type, () => { place.hot = hot; drawViews(); });
  }
  return line;
}
function showOpinion(row) {
  for (const button of all("[data-opinion]")) button.setAttribute("aria-pressed", String(notes[row.id]?.opinion === button.dataset.opinion));
  find("#note").value = notes[row.id]?.text ?? "";
}
function decide(opinion) {
  const same = notes[look.row.id]?.opinion === opinion;
  setNote(look.row, { opinion: same ? "" : opinion });
  showOpinion(look.row);
}
function go(step) {
  const next = listed[listed.indexOf(look.row) + step];
  if (next) openDetail(next);
}
function setEvidence(kind) {
  settings.evidence = kind;
  find("#evidence").value = kind;
  drawViews();
}
function setBoxes(shown) {
  settings.boxes = find("#boxes").checked = shown;
  drawViews();
}
const pressed = (name, on) => find(`[data-do="${name}"]`).setAttribute("aria-pressed", String(on));
const deeds = {
  before: () => go(-1), next: () => go(1), close: () => detail.close(), fit: fitView,
  in: () => zoomView(1.4), out: () => zoomView(1 / 1.4),
  side: () => { plain.hidden = !plain.hidden; pressed("side", !plain.hidden); look.fitted = true; resizeViews(); },
  invert: () => { look.inverted = !look.inverted; pressed("invert", look.inverted); windowed(); drawViews(); },
  reset: () => { look.inverted = false; pressed("invert", false); setWindow(128, 256); fitView(); },
};
const KINDS = ["lines", "colour", "none"];
const nextEvidence = () => setEvidence(KINDS[(KINDS.indexOf(settings.evidence) + 1) % KINDS.length]);

for (const button of all("[data-do]")) button.addEventListener("click", deeds[button.dataset.do]);
for (const button of all("[data-opinion]")) button.addEventListener("click", () => decide(button.dataset.opinion));
find("#note").addEventListener("input", (event) => setNote(look.row, { text: event.target.value }));
find("#evidence").addEventListener("change", (event) => setEvidence(event.target.value));
find("#boxes").addEventListener("change", (event) => setBoxes(event.target.checked));
for (const name of ["level", "window"]) find(`#${name}`).addEventListener("input", () => setWindow(Number(find("#level").value), Number(find("#window").value)));
detail.addEventListener("close", () => {
  const place = listed.indexOf(look.row), row = look.row;
  if (place >= 0) showPage(Math.floor(place / PAGE));
  find(`[data-id="${row.id}"]`)?.focus();
});
