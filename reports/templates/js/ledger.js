// The effect ledger: sorted, filtered, searched, exported; a row opens into its evidence.

const PAGE = 50;
const LEDGER = [
  { id: "contrast", title: "contrast", value: (row) => row.contrast },
  { id: "task", title: "task · setting", value: (row) => taskName(row) },
  { id: "n", title: "n", num: true, value: (row) => row.n },
  { id: "scores", title: "parent → child", num: true, value: (row) => row.child_score },
  { id: "delta", title: "difference [95 %]", num: true, value: (row) => row.delta },
  { id: "items", title: "items ▲ ▼", num: true, help: "items on which the child is better, and worse", value: (row) => (row.gained || 0) - (row.lost || 0) },
  { id: "p", title: "p adj.", num: true, help: "two-sided p after Benjamini-Hochberg within the family", value: (row) => row.p_adjusted },
  { id: "mde", title: "MDE", num: true, help: "smallest true difference that this many items would have shown with 80 % power", value: (row) => row.mde },
  { id: "grade", title: "grade", help: "evidence: A three training seeds and a control, B adjusted p, C unadjusted p, D none of these", value: (row) => row.grade },
  { id: "answer", title: "answer", value: (row) => row.rank },
];
const opened = new Set();
let sorting = { id: "answer", down: false };
let pages = 1;

function passes(row, state) {
  if (state.contrast !== null && row.place !== state.contrast) return false;
  if (state.contrast === null && state.kind && row.kind !== state.kind) return false;
  if (state.node && row.parent !== state.node && row.child !== state.node) return false;
  if (state.label && row.label !== state.label) return false;
  if (state.capability && row.capability !== state.capability) return false;
  if (state.task && row.task !== state.task && wholeTask(row.task) !== state.task) return false;
  if (!state.q) return true;
  const text = [row.contrast, row.parent, row.child, row.task, row.setting, row.capability, row.sentence, row.confounds].join(" ").toLowerCase();
  return state.q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function filtered(state) {
  const value = LEDGER.find((column) => column.id === sorting.id).value;
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    const missing = (v) => v === null || v === undefined;
    if (missing(x) || missing(y)) return missing(x) - missing(y) || a.rank - b.rank; // missing is last, up or down
    const sign = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return (sorting.down ? -sign : sign) || a.rank - b.rank;
  };
  return EFFECTS.filter((row) => passes(row, state)).sort(order);
}

function drawLedger(rows) {
  const shown = rows.slice(0, pages * PAGE);
  const head = make("tr", {}, LEDGER.map((column) => make("th",
    { scope: "col", class: column.num ? "num" : "", "aria-sort": sorting.id === column.id ? (sorting.down ? "descending" : "ascending") : "none" },
    make("button", { type: "button", "data-sort": column.id, title: column.help || null, on: { click: () => sortBy(column.id) } }, column.title))));
  const body = shown.flatMap((row) => (opened.has(row.id) ? [ledgerRow(row), drillRow(row)] : [ledgerRow(row)]));
  if (!rows.length) body.push(make("tr", {}, make("td", { colspan: LEDGER.length, class: "muted" }, "No effect matches; widen the filters.")));
  document.getElementById("ledger").replaceChildren(make("thead", {}, head), make("tbody", {}, body));
  document.getElementById("ledger-count").textContent = `${count(rows.length)} of ${count(EFFECTS.length)} effects`;
  const more = document.getElementById("more");
  more.hidden = shown.length === rows.length;
  more.textContent = `Show ${count(Math.min(PAGE, rows.length - shown.length))} more`;
}

function ledgerRow(row) {
  const lower = row.orientation === "lower" ? "lower is better" : "";
  const notes = [row.reason === "negligible" ? "inside the margin" : row.reason, row.confounds ? "confounded" : ""].filter(Boolean).join(" · ");
  return make("tr", { class: "row", "data-row": row.id },
    make("td", { class: "what" }, make("button", { type: "button", class: "open-row", "aria-expanded": String(opened.has(row.id)), on: { click: () => toggleRow(row.id) } }, row.contrast),
      make("span", { class: "small" }, [row.kind, row.certainty && row.certainty !== "documented" ? `${row.certainty} link` : ""].filter(Boolean).join(" · "))),
    make("td", { class: "what" }, row.task, make("span", { class: "small" }, [row.setting, row.capability, lower].filter(Boolean).join(" · "))),
    make("td", { class: "num" }, count(row.n)),
    make("td", { class: "num" }, `${number(row.parent_score, row.unit)} → ${number(row.child_score, row.unit)}`),
    make("td", { class: "num" }, `${signed(row.delta, row.unit)} `, make("span", { class: "small" }, `${interval(row.low, row.high, row.unit)}${row.unit === "points" ? "" : ` ${row.unit}`}`)),
    make("td", { class: "num" }, `${count(row.gained)} ▲ ${count(row.lost)} ▼`),
    make("td", { class: "num" }, shortP(row.p_adjusted)),
    make("td", { class: "num" }, number(row.mde, row.unit)),
    make("td", { title: row.grade_reason || null }, row.grade),
    make("td", { class: `answer-cell ${tone(row.label)}` }, `${MARKS[row.label] || ""} ${row.label}`, make("span", { class: "small" }, cut(notes, 60))));
}

function sortBy(id) {
  const firstDown = ["n", "scores", "delta", "items"].includes(id);
  sorting = sorting.id === id ? { id, down: !sorting.down } : { id, down: firstDown };
  draw();
  document.querySelector(`#ledger [data-sort="${id}"]`).focus();
}

function toggleRow(id) {
  if (!opened.delete(id)) opened.add(id);
  drawLedger(filtered(STATE));
  document.querySelector(`#ledger tr[data-row="${id}"] .open-row`).focus();
}

// Show one row and its evidence, whatever is filtered now.
function openRow(id) {
  const row = EFFECTS[id];
  if (!row) return;
  if (!passes(row, STATE)) Object.assign(STATE, { contrast: row.place, node: null, training: null, kind: "", label: "", capability: "", task: "", q: "" });
  opened.clear();
  opened.add(id);
  pages = Math.max(1, Math.ceil((filtered(STATE).findIndex((other) => other.id === id) + 1) / PAGE));
  draw();
  const place = document.querySelector(`#ledger tr[data-row="${id}"]`);
  place.scrollIntoView({ block: "center" });
  place.querySelector(".open-row").focus({ preventScroll: true });
}

const EXPORTED = ["kind", "contrast", "parent", "child", "capability", "task", "setting", "n", "dropped", "gained", "lost", "delta", "low", "high", "p", "p_adjusted", "mde", "answer", "confounds", "label", "reason", "metric", "unit", "margin", "parent_score", "child_score", "n_needed", "method", "sentence", "grade", "grade_reason", "seeds", "seed_delta", "seed_low", "seed_high", "delta_completers", "n_completers", "noise", "noise_share", "noise_high"];

function exportRows(format) {
  const rows = filtered(STATE).map((row) => Object.fromEntries(EXPORTED.map((name) => [name, row[name] ?? null])));
  const text = format === "json" ? `${JSON.stringify(rows, null, 2)}\n` : [EXPORTED.join(","), ...rows.map((row) => EXPORTED.map((name) => csvCell(row[name])).join(","))].join("\r\n") + "\r\n";
  const url = URL.createObjectURL(new Blob([text], { type: format === "json" ? "application/json" : "text/csv" }));
  make("a", { href: url, download: `effects-${DATA.tree.replace(/[^\w.-]+/g, "_")}.${format}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// A spreadsheet takes a text that begins with = + - @ for a formula; an apostrophe keeps it a text.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}
