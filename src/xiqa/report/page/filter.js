// Which rows are shown, and in which order.
const chosen = { verdict: "", words: "", problem: "", code: "", range: "", sort: "worst" };
const RANGES = ["0-10", "10-25", "25-50", "50-75", "75-90", "90-100"];
const probability = (row) => row.probability ?? -1;
const ORDERS = {
  worst: (a, b) => a.rank - b.rank,
  best: (a, b) => b.rank - a.rank,
  name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }) || a.rank - b.rank,
  limit: (a, b) => distance(a) - distance(b) || a.rank - b.rank,
};
const distance = (row) => (row.probability === undefined ? 2 : Math.abs(row.probability - row.limit));

function inRange(row) {
  if (!chosen.range) return true;
  const [low, high] = chosen.range.split("-").map((edge) => edge / 100), value = probability(row);
  return value >= low && (value < high || (high === 1 && value === 1));
}
function fits(row) {
  return (!chosen.verdict || row.verdict === chosen.verdict) && (!chosen.problem || row.problem === chosen.problem)
    && (!chosen.code || row.code === chosen.code) && inRange(row)
    && (!chosen.words || `${row.folder ?? ""}/${row.name}`.toLowerCase().includes(chosen.words));
}
const chosenRows = () => rows.filter(fits).sort(ORDERS[chosen.sort]);

function fill(select, values, words) {
  const any = make("option", "", "any");
  any.value = "";
  select.append(any, ...values.map((value) => Object.assign(make("option", "", words(value)), { value })));
}
function prepareFilters(changed) {
  const plain = (value) => value.replaceAll("_", " "), each = (key) => [...new Set(rows.map((row) => row[key]))].filter(Boolean).sort();
  fill(find("#problem"), each("problem"), plain);
  fill(find("#code"), each("code"), plain);
  fill(find("#range"), RANGES, (value) => `${value.replace("-", " to ")} %`);
  find("#problem-choice").hidden = each("problem").length === 0;
  for (const name of ["problem", "code", "range", "sort"]) {
    find(`#${name}`).addEventListener("change", (event) => { chosen[name] = event.target.value; changed(); });
  }
  find("#search").addEventListener("input", (event) => { chosen.words = event.target.value.trim().toLowerCase(); changed(); });
  for (const tile of all(".tile")) tile.addEventListener("click", () => choose(tile.dataset.filter));
}
function choose(name) {
  chosen.verdict = chosen.verdict === name ? "" : name;
  for (const tile of all(".tile")) tile.setAttribute("aria-pressed", String(tile.dataset.filter === chosen.verdict));
  showList();
}
