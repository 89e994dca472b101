// How the nodes that capeval trained itself were made: curves against the step, recipe, data, and what the model says.

const TRAINING = new Map(DATA.training.map((node) => [node.name, node]));
const UNCHARTED = ["step", "lr"];
const TOKENS = /(<\|[^<>|\s]{1,40}\|>|<\/?s>)/;
let trainingDrawn = "";

// Chosen in the section's own list; else what is chosen on the page, if it was trained; else the first with a curve.
function trainedNode(state) {
  const contrast = state.contrast === null ? null : DATA.contrasts[state.contrast];
  const led = [state.training, state.node, contrast?.child, contrast?.parent].find((name) => TRAINING.has(name));
  return TRAINING.get(led) || [...TRAINING.values()].find((node) => seriesOf(node).length) || [...TRAINING.values()][0];
}

function seriesOf(node) { return Object.entries(node.curves.columns).filter(([name]) => !UNCHARTED.includes(name)); }

function drawTraining(state) {
  if (!TRAINING.size) return;
  const node = trainedNode(state);
  const key = JSON.stringify([node.name, document.documentElement.dataset.theme]);
  if (key === trainingDrawn) return;
  trainingDrawn = key;
  document.getElementById("training-node").value = node.name;
  document.getElementById("training-name").textContent = node.name;
  document.getElementById("training-facts").replaceChildren(factList(Object.entries(node.facts)));
  document.getElementById("training-tables").replaceChildren(
    make("div", {}, pairTable("Recipe", "field", "value", node.recipe)),
    make("div", {}, pairTable("Data", "source", "digest", node.data), pairTable("Versions", "package", "version", node.versions)));
  document.getElementById("training-samples").replaceChildren(sampleTable(node));
  drawCurves(node);
}

function drawCurves(node) {
  const host = document.getElementById("training-curves");
  for (const chart of host.querySelectorAll(".curve > div")) Plotly.purge(chart);
  const series = seriesOf(node);
  host.replaceChildren(...(series.length ? [] : [make("p", { class: "muted" }, "Nothing was recorded step by step.")]));
  for (const [name, column] of series) {
    const chart = make("div", { role: "img", "aria-label": curveWords(name, column.v) });
    host.append(make("figure", { class: "curve" }, make("figcaption", {}, make("strong", {}, name), ` ${ends(column.v)}`), chart));
    curveChart(chart, node.curves.columns.step.v, column.v);
  }
}

function curveChart(chart, steps, values) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const alone = values.some((value, i) => known(value) && !known(values[i - 1]) && !known(values[i + 1]));
  const axis = { fixedrange: true, gridcolor: colour("--line"), zeroline: false, automargin: true, nticks: 5, tickfont: { size: 11 }, exponentformat: "e", minexponent: 4 };
  const layout = {
    height: 190, margin: { l: 10, r: 22, t: 8, b: 34 }, showlegend: false, dragmode: false, hovermode: "x",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.getPropertyValue("--sans"), size: 12, color: colour("--ink") },
    hoverlabel: { align: "left", bgcolor: colour("--ink"), bordercolor: colour("--ink"), font: { color: colour("--bg"), size: 12 } },
    xaxis: { ...axis, showgrid: false, rangemode: "tozero", title: { text: "step", font: { size: 11 }, standoff: 4 } }, yaxis: axis,
  };
  Plotly.newPlot(chart, [{
    type: "scatter", mode: alone || values.length < 20 ? "lines+markers" : "lines", x: steps, y: values, connectgaps: false,
    text: values.map((value, i) => `step ${count(steps[i])}: ${short(value)}`), hovertemplate: "%{text}<extra></extra>",
    line: { color: colour("--same"), width: 1.8 }, marker: { color: colour("--same"), size: 5 },
  }], layout, { responsive: true, displayModeBar: false });
}

function ends(values) {
  const told = values.filter(known);
  return told.length > 1 ? `${short(told[0])} → ${short(told[told.length - 1])}` : short(told[0]);
}

function curveWords(name, values) {
  const told = values.filter(known);
  if (!told.length) return `${name} against the step: no values`;
  return `${name} against the step: ${told.length} points, first ${short(told[0])}, last ${short(told[told.length - 1])}, least ${short(Math.min(...told))}, most ${short(Math.max(...told))}`;
}

function short(value) {
  if (!known(value)) return "–";
  return (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)))).replace("-", "−");
}

function pairTable(title, left, right, rows) {
  if (!rows.length) return "";
  return make("div", {}, make("h4", {}, title), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, make("table", { class: "plain" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, left), make("th", { scope: "col" }, right))),
    make("tbody", {}, rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)))))));
}

function sampleTable(node) {
  if (!node.samples.length) return make("p", { class: "muted" }, "No samples were kept.");
  const table = make("table", { class: "plain samples" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "prompt"), make("th", { scope: "col" }, "answer"))),
    make("tbody", {}, node.samples.map((sample) => make("tr", {}, sample.map((text) => make("td", {}, make("pre", {}, text ? marks(text) : "(empty)")))))));
  return make("div", {}, make("p", { class: "muted" }, "Samples of the trained model, in its own words; special tokens are marked."),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Samples" }, table),
    node.left ? make("p", { class: "small" }, `${count(node.left)} more in training.json.`) : "");
}

// Special tokens stand out, as text.
function marks(text) {
  return text.split(TOKENS).map((part, i) => (i % 2 ? make("span", { class: "token" }, part) : part));
}

function wireTraining() {
  if (!TRAINING.size) return;
  const list = document.getElementById("training-node");
  list.append(...[...TRAINING.keys()].map((name) => make("option", { value: name }, name)));
  list.addEventListener("change", () => { STATE.training = list.value; drawTraining(STATE); saveAddress(); });
  document.getElementById("training-choice").hidden = false;
}
