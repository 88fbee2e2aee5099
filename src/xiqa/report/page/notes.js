// What a person thinks of each image: kept in this browser, exported as a table. A row's name stands for its
// file, model and method, so a report that is made anew keeps what was noted.
const NOTES = "xiqa-report";
const notes = readNotes();
function readNotes() {
  try { return JSON.parse(localStorage.getItem(NOTES)) ?? {}; } catch { return {}; }
}
function setNote(row, change) {
  const note = { opinion: "", text: "", ...notes[row.id], ...change, time: new Date().toISOString() };
  if (note.opinion || note.text.trim()) notes[row.id] = note; else delete notes[row.id];
  try { localStorage.setItem(NOTES, JSON.stringify(notes)); } catch { /* kept until the page is closed */ }
  showNoted();
}
function showNoted() {
  const count = rows.filter((row) => notes[row.id]).length;
  find("#export").disabled = count === 0;
  find("#export").textContent = count ? `Export notes (${count})` : "Export notes";
}
// A cell that no spreadsheet takes for a formula.
function cell(value) {
  const text = String(value ?? "");
  const harmless = /^\s*[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
  return `"${harmless.replaceAll('"', '""')}"`;
}
function notesTable() {
  const head = ["file", "frame", "sop_instance_uid", "verdict", "probability", "opinion", "note", "time"];
  const lines = rows.filter((row) => notes[row.id]).map((row) => {
    const note = notes[row.id], file = row.folder ? `${row.folder}/${row.name}` : row.name;
    return [file, row.frame, row.uid, row.verdict, row.probability, note.opinion, note.text, note.time];
  });
  return [head, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}
function exportNotes() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", notesTable()], { type: "text/csv" }));
  link.download = "xiqa-notes.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
