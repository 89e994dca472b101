// Task × node: scores, or what each drawn stage changed. A real table, so that it reads, prints and scrolls like one.

const SCORED = DATA.nodes.filter((node) => SCORES.some((row) => row.node === node.name));
const CHANGED = DATA.nodes.filter((node) => EFFECTS.some((row) => row.kind === "edge" && row.child === node.name));
let heatMode = "scores";

function drawHeatmap(state) {
  const rows = heatRows(state);
  const cells = heatMode === "scores" ? scoreCells() : deltaCells();
  const nodes = heatMode === "scores" ? SCORED : CHANGED;
  const table = document.getElementById("heat");
  const head = make("tr", {}, make("th", { scope: "col" }, "task · setting"), nodes.map((node) => make("th",
    { scope: "col", class: marked(node.name, state) ? "on-node" : "" },
    make("button", { type: "button", title: node.title || null, on: { click: () => select({ node: node.name }) } }, node.name))));
  const body = [];
  let group = null;
  for (const row of rows) {
    if (row.capability !== group) {
      group = row.capability;
      body.push(make("tr", { class: "group" }, make("th", { colspan: nodes.length + 1, scope: "colgroup" }, make("span", {}, group || "–"))));
    }
    const lower = row.orientation === "lower" ? " (lower is better)" : "";
    body.push(make("tr", {}, make("th", { scope: "row" }, taskName(row), make("span", { class: "small" }, lower)),
      nodes.map((node) => heatCell(cells.get(cellKey(node.name, row.task, row.setting)), row, node, state))));
  }
  table.replaceChildren(make("thead", {}, head), make("tbody", {}, body));
  roving(table);
  const note = heatMode === "scores"
    ? "Depth of blue is the size of the score within its row's scale, not its worth. Point at a cell, or move with arrow keys, for interval and n."
    : "Blue: gained. Orange: lost. Grey: can't tell. Each cell is the node minus its drawn parent, in the row's unit. † confounded: something else differs as well; point at the cell to see what.";
  document.getElementById("heat-note").textContent = note;
}

function heatRows(state) {
  const seen = new Map();
  const asked = new Set(EFFECTS.filter((row) => row.place === state.contrast).map((row) => row.task));
  const answered = new Set(SCORES.filter((row) => row.node === state.node).map((row) => JSON.stringify([row.task, row.setting])));
  for (const row of SCORES) {
    const key = JSON.stringify([row.task, row.setting]);
    if (state.contrast !== null && !asked.has(row.task)) continue;
    if (state.node !== null && !answered.has(key)) continue;
    if (state.capability && row.capability !== state.capability) continue;
    if (state.task && row.task !== state.task && wholeTask(row.task) !== state.task) continue;
    if (!seen.has(key)) seen.set(key, { ...row, top: 0 });
    if (known(row.score)) seen.get(key).top = Math.max(seen.get(key).top, Math.abs(row.score));
  }
  const rows = [...seen.values()];
  const order = [...new Set(rows.map((row) => row.capability))];
  return rows.sort((a, b) => order.indexOf(a.capability) - order.indexOf(b.capability));
}

function cellKey(node, task, setting) { return JSON.stringify([node, task, setting]); }

function scoreCells() {
  return new Map(SCORES.map((row) => [cellKey(row.node, row.task, row.setting), row]));
}

function deltaCells() {
  return new Map(EFFECTS.filter((row) => row.kind === "edge").map((row) => [cellKey(row.child, row.task, row.setting), row]));
}

function heatCell(cell, row, node, state) {
  const on = marked(node.name, state) ? " on-node" : "";
  if (!cell) return make("td", { class: `none${on}`, tabindex: -1, "data-tip": `${node.name}\n${taskName(row)}\nno data` }, "·");
  const scores = heatMode === "scores";
  const text = scores ? number(cell.score, cell.unit) : signed(cell.delta, cell.unit);
  const td = make("td", { class: (scores ? "value" : deltaClass(cell)) + on, tabindex: -1, "data-tip": scores ? scoreTip(cell) : deltaTip(cell) },
    scores ? text : `${MARKS[cell.label] || ""} ${text}${cell.confounds ? "†" : ""}`);
  td.style.setProperty("--v", String(scores ? share(cell.score, cell, row) : Math.min(1, Math.abs(cell.delta) * (cell.unit === "points" ? 2.5 : 0))));
  if (!scores) td.addEventListener("click", () => openRow(cell.id));
  return td;
}

function share(score, cell, row) {
  if (!known(score)) return 0;
  return cell.unit === "points" ? Math.max(0, Math.min(1, score)) : row.top ? Math.abs(score) / row.top : 0;
}

function deltaClass(effect) {
  const names = { gained: "delta-gained", lost: "delta-lost", increased: "delta-neutral", decreased: "delta-neutral", "can't tell": "delta-cant-tell" };
  return names[effect.label] || "";
}

function scoreTip(cell) {
  const lines = [cell.node, taskName(cell), `${number(cell.score, cell.unit)} ${unitWord(cell.unit)}`];
  if (known(cell.low)) lines.push(`95 % interval ${number(cell.low, cell.unit)} to ${number(cell.high, cell.unit)}`);
  lines.push(`n = ${count(cell.n)}${cell.n_clusters ? ` in ${cell.n_clusters} clusters` : ""}${cell.missing ? `, ${cell.missing} missing` : ""}`);
  const flags = ["truncated", "unextracted", "refused", "empty"].filter((name) => cell[name] > 0).map((name) => `${Math.round(cell[name] * 100)} % ${name}`);
  if (flags.length) lines.push(flags.join(", "));
  lines.push(cell.metric);
  return lines.join("\n");
}

function deltaTip(effect) {
  return [effect.contrast, taskName(effect),
    `${number(effect.parent_score, effect.unit)} → ${number(effect.child_score, effect.unit)} ${unitWord(effect.unit)}`,
    `${signed(effect.delta, effect.unit)} ${interval(effect.low, effect.high, effect.unit)}, p adj. ${shortP(effect.p_adjusted)}, n = ${count(effect.n)}`,
    effect.label, effect.confounds ? `† confounded: ${cut(effect.confounds, 160)}` : ""].filter(Boolean).join("\n");
}

function marked(node, state) {
  const contrast = state.contrast === null ? null : DATA.contrasts[state.contrast];
  return node === state.node || (contrast !== null && (contrast.parent === node || contrast.child === node));
}

// One tab stop for the whole table; arrow keys move inside it.
function roving(table) {
  const grid = [...table.querySelectorAll("tbody tr")].map((tr) => [...tr.querySelectorAll("td")]).filter((tds) => tds.length);
  if (!grid.length) return;
  grid[0][0].tabIndex = 0;
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  table.onkeydown = (event) => {
    const cell = event.target.closest("td");
    if (!cell) return;
    if (event.key === "Enter") return cell.click();
    const step = steps[event.key];
    if (!step) return;
    const r = grid.findIndex((tds) => tds.includes(cell));
    const next = (grid[r + step[0]] || [])[grid[r].indexOf(cell) + step[1]];
    event.preventDefault();
    if (!next) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
}

function wireTips() {
  const tip = document.getElementById("tip");
  let cell = null;
  const place = () => {
    tip.hidden = !cell;
    if (!cell) return;
    tip.textContent = cell.dataset.tip;
    const box = cell.getBoundingClientRect();
    const below = box.bottom + 6 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - tip.offsetHeight - 6)}px`;
  };
  const show = (event) => {
    cell = event.target.closest ? event.target.closest("[data-tip]") : null;
    place();
  };
  for (const event of ["mouseover", "focusin", "click"]) document.addEventListener(event, show);
  document.addEventListener("scroll", place, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    cell = null;
    place();
  });
}
