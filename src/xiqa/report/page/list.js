// The grid of thumbnails, a page at a time: ten thousand rows, forty-eight in the document.
const PAGE = 48;
let listed = [], page = 0;
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    paintThumb(target);
  }
}, { rootMargin: "400px" });

function badge(row) {
  const element = make("span", "badge");
  element.append(icon(row.verdict), about.words[row.verdict]);
  return element;
}
function card(row) {
  const item = make("li"), button = make("button", `card ${row.verdict}`), line = make("span", "line");
  button.type = "button";
  button.dataset.id = row.id;
  button.setAttribute("aria-label", [about.words[row.verdict], row.name, row.percent && `${row.percent} percent`, row.head].filter(Boolean).join(", "));
  if (row.image) {
    const canvas = make("canvas");
    canvas.row = row;
    canvas.style.aspectRatio = String(clamp(row.size[0] / row.size[1], 0.75, 1.4));
    watcher.observe(canvas);
    button.append(canvas);
  } else button.append(make("span", "no-picture", row.verdict === "not_assessed" ? "no image" : "picture not on this page"));
  line.append(badge(row), make("b", "", row.percent ? `${row.percent}\u00a0%` : ""), opinionMark(row));
  button.append(line, make("span", "head", row.head), make("span", "name", row.name));
  button.addEventListener("click", () => openDetail(row));
  item.append(button);
  return item;
}
function opinionMark(row) {
  const opinion = notes[row.id]?.opinion;
  return make("span", "opinion", opinion === "agree" ? "✓ agreed" : opinion === "disagree" ? "✗ disagreed" : notes[row.id] ? "✎ note" : "");
}
async function paintThumb(canvas) {
  const { row } = canvas, found = await picturesOf(row).catch(() => null), ratio = Math.min(2, devicePixelRatio || 1);
  if (!found || !canvas.isConnected) return;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  const zoom = Math.min(canvas.width / row.size[0], canvas.height / row.size[1]);
  paint(canvas.getContext("2d"), row, found, { zoom, ratio, x: (canvas.width - row.size[0] * zoom) / 2, y: (canvas.height - row.size[1] * zoom) / 2 });
  canvas.dataset.ready = "";
}
function showPage(number) {
  const pages = Math.max(1, Math.ceil(listed.length / PAGE)), first = clamp(number, 0, pages - 1) * PAGE;
  page = first / PAGE;
  watcher.disconnect();
  find("#cases").replaceChildren(...listed.slice(first, first + PAGE).map(card));
  find("#pages").hidden = pages === 1;
  find("#page-words").textContent = `${first + 1} to ${Math.min(first + PAGE, listed.length)} of ${listed.length}`;
  find("#page-before").disabled = page === 0;
  find("#page-next").disabled = page === pages - 1;
}
function showList() {
  listed = chosenRows();
  find("#shown").textContent = listed.length === rows.length ? "" : `${listed.length} of ${rows.length} shown`;
  find("#nothing").hidden = listed.length > 0;
  showPage(0);
}
function turn(step) {
  const before = page;
  showPage(page + step);
  if (page !== before) find("main").scrollIntoView();
}
