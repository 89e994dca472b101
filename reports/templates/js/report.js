// The page's state, its filters and its address: one choice of contrast or node drives every view below the tree.

const BLANK = { contrast: null, node: null, training: null, kind: "", label: "", capability: "", task: "", q: "" };
const FILTERS = ["kind", "label", "capability", "task", "q"];
const STATE = { ...BLANK, kind: EFFECTS.some((row) => row.kind === "edge") ? "edge" : "" };
const START = { ...STATE };

function draw() {
  const rows = filtered(STATE);
  for (const name of FILTERS) document.getElementById(`f-${name}`).value = STATE[name];
  document.getElementById("f-contrast").value = STATE.contrast === null ? "" : String(STATE.contrast);
  document.getElementById("f-kind").disabled = STATE.contrast !== null;
  markTree();
  drawSelected(rows);
  drawHeatmap(STATE);
  drawForest(rows, STATE);
  drawLedger(rows);
  drawTraining(STATE);
  drawPublished(STATE);
  saveAddress();
}

// Choose a contrast or a node; choosing it again lets go.
function select(choice, scroll = false) {
  const same = Object.entries(choice).every(([name, value]) => STATE[name] === value);
  Object.assign(STATE, START, { q: STATE.q, capability: STATE.capability, task: STATE.task, label: STATE.label }, same ? {} : choice);
  if (choice.node && !same) STATE.kind = "";
  reset();
  draw();
  if (scroll && !same) document.getElementById("explore").scrollIntoView({ block: "start" });
}

function reset() {
  pages = 1;
  opened.clear();
}

function markTree() {
  document.querySelectorAll(".edge[data-contrast], path[data-contrast]").forEach((edge) => {
    const on = STATE.contrast !== null && Number(edge.dataset.contrast) === STATE.contrast;
    edge.classList.toggle("on", on);
    if (edge.tagName === "BUTTON") edge.setAttribute("aria-pressed", String(on));
  });
  document.querySelectorAll(".node").forEach((node) => {
    const on = DATA.nodes[Number(node.dataset.node)].name === STATE.node;
    node.classList.toggle("on", on);
    node.setAttribute("aria-pressed", String(on));
  });
}

function drawSelected(rows) {
  const box = document.getElementById("selected");
  const what = STATE.contrast !== null ? DATA.contrasts[STATE.contrast] : null;
  if (!what && STATE.node === null) return box.replaceChildren();
  const tally = {};
  rows.forEach((row) => { tally[row.label] = (tally[row.label] || 0) + 1; });
  const parts = Object.keys(MARKS).filter((label) => tally[label]).map((label) => `${MARKS[label]} ${tally[label]} ${label}`);
  const about = what ? [what.kind, what.certainty ? `${what.certainty} link` : ""].filter(Boolean).join(", ") : NODES.get(STATE.node).title;
  box.replaceChildren(make("p", {}, make("strong", {}, what ? what.name : STATE.node), about ? ` (${about})` : "", ` — ${parts.join("  ") || "no paired effects"}  `,
    make("button", { type: "button", class: "quiet", on: { click: () => select(what ? { contrast: STATE.contrast } : { node: STATE.node }) } }, "Show all")),
  factList(what ? contrastSources(what) : nodeSources(NODES.get(STATE.node))));
}

function fillFilters() {
  const option = (value, text) => make("option", { value }, text);
  const distinct = (values) => [...new Set(values)].filter(Boolean);
  const contrast = document.getElementById("f-contrast");
  contrast.append(option("", "all"));
  for (const kind of distinct(DATA.contrasts.map((c) => c.kindWords))) {
    contrast.append(make("optgroup", { label: kind }, DATA.contrasts.map((c, i) => (c.kindWords === kind ? option(i, c.name) : ""))));
  }
  const kinds = new Map(DATA.contrasts.map((c) => [c.kind, c.kindWords]));
  document.getElementById("f-kind").append(option("", "all"), ...[...kinds].map(([kind, words]) => option(kind, words)));
  document.getElementById("f-label").append(option("", "all"), ...Object.keys(MARKS).filter((label) => EFFECTS.some((row) => row.label === label)).map((label) => option(label, `${MARKS[label]} ${label}`)));
  document.getElementById("f-capability").append(option("", "all"), ...distinct(EFFECTS.map((row) => row.capability)).map((name) => option(name, name)));
  document.getElementById("f-task").append(option("", "all"), ...distinct(EFFECTS.flatMap((row) => [wholeTask(row.task), row.task])).sort().map((name) => option(name, name)));
}

function wire() {
  const on = (id, event, listener) => document.getElementById(id).addEventListener(event, listener);
  const change = () => { reset(); draw(); };
  on("filters", "submit", (event) => event.preventDefault());
  for (const name of FILTERS) on(`f-${name}`, name === "q" ? "input" : "change", (event) => { STATE[name] = event.target.value.trim(); reset(); later(name); });
  let timer = 0;
  function later(name) {
    clearTimeout(timer);
    timer = setTimeout(draw, name === "q" ? 150 : 0);
  }
  on("f-contrast", "change", (event) => { Object.assign(STATE, { contrast: event.target.value === "" ? null : Number(event.target.value), node: null, training: null }); change(); });
  on("reset", "click", () => { Object.assign(STATE, START); sorting = { id: "answer", down: false }; change(); });
  on("more", "click", () => { pages += 1; drawLedger(filtered(STATE)); });
  on("csv", "click", () => exportRows("csv"));
  on("json", "click", () => exportRows("json"));
  for (const mode of ["scores", "deltas"]) on(`heat-${mode}`, "click", () => setHeat(mode));
  document.querySelectorAll(".edge[data-contrast]").forEach((edge) => edge.addEventListener("click", () => select({ contrast: Number(edge.dataset.contrast), node: null }, true)));
  document.querySelectorAll(".node").forEach((node) => node.addEventListener("click", () => select({ node: DATA.nodes[Number(node.dataset.node)].name, contrast: null }, true)));
  document.querySelectorAll(".finding").forEach((line) => line.addEventListener("click", () => openRow(Number(line.dataset.row))));
  document.querySelectorAll(".chip").forEach((chip) => chip.addEventListener("click", () => { Object.assign(STATE, BLANK, { label: chip.dataset.label }); change(); document.getElementById("explore").scrollIntoView(); }));
  window.addEventListener("hashchange", () => { if (readAddress()) change(); });
  wireTraining();
  wireTips();
}

function setHeat(mode) {
  heatMode = mode;
  for (const name of ["scores", "deltas"]) document.getElementById(`heat-${name}`).setAttribute("aria-pressed", String(name === mode));
  drawHeatmap(STATE);
}

// The address holds names, not numbers, so that it survives a new trace: #edge=sft → ppo&task=squad
function saveAddress() {
  const parts = new URLSearchParams();
  if (STATE.contrast !== null) {
    const contrast = DATA.contrasts[STATE.contrast];
    parts.set(contrast.kind, contrast.name);
  }
  if (STATE.node !== null) parts.set("node", STATE.node);
  if (STATE.training !== null) parts.set("training", STATE.training);
  for (const name of FILTERS) if (STATE[name] !== START[name] && !(name === "kind" && STATE.node !== null)) parts.set(name === "kind" ? "kinds" : name, STATE[name] || "all");
  const text = parts.toString();
  if (text) history.replaceState(null, "", `#${text}`);
  else if (location.hash.includes("=")) history.replaceState(null, "", location.pathname + location.search);
}

function readAddress() {
  if (!location.hash.includes("=")) return false;
  const parts = new URLSearchParams(location.hash.slice(1));
  Object.assign(STATE, START);
  DATA.contrasts.forEach((contrast, i) => { if (parts.get(contrast.kind) === contrast.name) STATE.contrast = i; });
  if (DATA.nodes.some((node) => node.name === parts.get("node"))) Object.assign(STATE, { node: parts.get("node"), kind: "" });
  if (TRAINING.has(parts.get("training"))) STATE.training = parts.get("training");
  for (const name of FILTERS) {
    const value = parts.get(name === "kind" ? "kinds" : name);
    if (value !== null) STATE[name] = value === "all" ? "" : value;
  }
  return true;
}

function theme() {
  const button = document.getElementById("theme");
  const apply = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${dark ? "light" : "dark"} theme`);
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  apply(system.matches);
  const paint = (dark) => { apply(dark); drawForest(filtered(STATE), STATE); drawTraining(STATE); };
  button.addEventListener("click", () => paint(document.documentElement.dataset.theme !== "dark"));
  system.addEventListener("change", (event) => paint(event.matches));
}

fillFilters();
theme();
wire();
readAddress();
draw();
