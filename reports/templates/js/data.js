// The page's data, unpacked, and how numbers and names are written (the twin of capeval/report/words.py).
// Everything that came from outside reaches the document as text: `make` takes strings and nodes, never markup.

const DATA = JSON.parse(document.getElementById("capeval-data").textContent);
const MARKS = { gained: "▲", lost: "▼", increased: "↑", decreased: "↓", equivalent: "=", "can't tell": "?" };
const EFFECTS = unpack(DATA.effects);
const SCORES = unpack(DATA.scores);
const PUBLISHED = unpack(DATA.published);
const PUBLISHED_EFFECTS = unpack(DATA.publishedEffects);
const NODES = new Map(DATA.nodes.map((node) => [node.name, node]));
const TASKS = new Map(DATA.tasks.map((task) => [task.name, task]));
let flipIndex = null;

EFFECTS.forEach((row, index) => { row.id = index; });
DATA.contrasts.forEach((contrast, index) => { contrast.index = index; });

function unpack(table) {
  const columns = Object.entries(table.columns).map(([name, column]) =>
    [name, column.v || column.c.map((code) => (code < 0 ? null : column.d[code]))]);
  return Array.from({ length: table.n }, (_, i) => Object.fromEntries(columns.map(([name, values]) => [name, values[i]])));
}

// Flips are the bulk of the data; they are decoded when the first row is opened.
function flipsOf(effect) {
  if (!flipIndex) {
    flipIndex = new Map();
    for (const flip of unpack(DATA.flips)) {
      const key = flipKey(flip, flip.task);
      if (!flipIndex.has(key)) flipIndex.set(key, []);
      flipIndex.get(key).push(flip);
    }
  }
  return flipIndex.get(flipKey(effect, effect.task)) || flipIndex.get(flipKey(effect, wholeTask(effect.task))) || [];
}

function flipKey(row, task) { return JSON.stringify([row.kind, row.parent, row.child, task, row.setting]); }

function wholeTask(task) { return task.split(":")[0]; }

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name === "on") Object.entries(value).forEach(([event, listener]) => node.addEventListener(event, listener));
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

function known(value) { return typeof value === "number" && Number.isFinite(value); }

function number(value, unit) {
  if (!known(value)) return "–";
  const large = unit !== "points" && Math.abs(value) >= 100;
  return (large ? Math.round(value).toLocaleString("en") : (unit === "points" ? value * 100 : value).toFixed(1)).replace("-", "−");
}

function signed(value, unit) {
  if (!known(value)) return "–";
  const text = number(value, unit);
  return value < 0 || Object.is(value, -0) || text.startsWith("−") ? text : `+${text}`;
}

function interval(low, high, unit) {
  return known(low) && known(high) ? `[${signed(low, unit)}, ${signed(high, unit)}]` : "";
}

function shortP(p) {
  if (!known(p)) return "–";
  if (p < 0.001) return "<.001";
  return p >= 0.9995 ? "1" : p.toFixed(3).replace("0.", ".");
}

function count(n) { return known(n) ? n.toLocaleString("en") : "–"; }

// A sample size is never known better than to two digits; upwards.
function roundUp(n) {
  if (n < 100) return Math.ceil(n);
  const step = 10 ** (Math.floor(Math.log10(n)) - 1);
  return Math.ceil(n / step) * step;
}

function taskName(row) { return row.setting ? `${row.task} · ${row.setting}` : row.task; }

function unitWord(unit) { return unit === "points" ? "points" : unit; }

function tone(label) { return `tone-${label.replace("'", "").replace(" ", "-")}`; }

function cut(text, length) { return text.length > length ? `${text.slice(0, length - 1)}…` : text; }
