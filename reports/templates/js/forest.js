// Forest plot: one line per effect, difference with interval over its own margin, in the order of the ledger.
// One chart per unit, because points and characters share no axis.

const FOREST_OPEN = 40;
const FOREST_SELECTED = 120;
const SYMBOLS = { gained: "triangle-up", lost: "triangle-down", increased: "diamond", decreased: "diamond", equivalent: "square", "can't tell": "circle-open" };
const COLOURS = { gained: "--gain", lost: "--loss", increased: "--neutral", decreased: "--neutral", equivalent: "--same", "can't tell": "--unknown" };

function drawForest(rows, state) {
  const estimated = rows.filter((row) => known(row.delta));
  const limit = state.contrast === null ? FOREST_OPEN : FOREST_SELECTED;
  const shown = estimated.slice(0, limit);
  const note = document.getElementById("forest-note");
  note.textContent = shown.length
    ? `Each line: the paired difference with its marginal 95 % interval; the pale band is the task's margin. ${shown.length < estimated.length ? `The first ${shown.length} of ${count(estimated.length)} in the ledger's order; choose a contrast to see all of its effects.` : `${count(shown.length)} effects.`}`
    : "Nothing to draw for this choice.";
  const host = document.getElementById("forest");
  for (const chart of host.children) Plotly.purge(chart);
  host.replaceChildren();
  for (const unit of new Set(shown.map((row) => row.unit))) {
    const mine = shown.filter((row) => row.unit === unit);
    const chart = make("div", { class: "unit", role: "group", "aria-label": `Forest plot of ${mine.length} differences in ${unit}; the ledger below holds the same numbers` });
    host.append(chart);
    forestChart(chart, mine, unit, state);
  }
}

function forestChart(chart, rows, unit, state) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const scale = unit === "points" ? 100 : 1;
  const narrow = chart.clientWidth < 560;
  const place = new Map(rows.map((row, i) => [row.id, rows.length - 1 - i]));
  const single = state.contrast !== null;
  const traces = [...new Set(rows.map((row) => row.label))].map((label) => {
    const mine = rows.filter((row) => row.label === label);
    return {
      type: "scatter", mode: "markers", name: plain(label),
      x: mine.map((row) => row.delta * scale), y: mine.map((row) => place.get(row.id)),
      customdata: mine.map((row) => row.id), text: mine.map(forestTip), hovertemplate: "%{text}<extra></extra>",
      marker: { color: colour(COLOURS[label] || "--unknown"), symbol: SYMBOLS[label] || "circle-open", size: 10, line: { width: label === "can't tell" ? 1.6 : 0 } },
      error_x: {
        type: "data", symmetric: false, thickness: 1.4, width: 3, color: colour(COLOURS[label] || "--unknown"),
        array: mine.map((row) => (known(row.high) ? (row.high - row.delta) * scale : 0)),
        arrayminus: mine.map((row) => (known(row.low) ? (row.delta - row.low) * scale : 0)),
      },
    };
  });
  const room = narrow ? 22 : 46;
  const labels = rows.map((row) => (single ? plain(cut(taskName(row), room))
    : `${plain(cut(taskName(row), room))}<br><span style="font-size:10px">${plain(cut(row.contrast, room))}</span>`));
  const ends = rows.flatMap((row) => [row.delta, row.low, row.high, row.margin, -row.margin]).filter(known).map((value) => value * scale);
  const [left, right] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const pad = (right - left) * 0.04 || 1;
  const layout = {
    height: 92 + rows.length * (single ? 25 : 34), margin: { l: 10, r: 14, t: 34, b: 52 }, showlegend: true,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", dragmode: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--ink") },
    font: { family: style.getPropertyValue("--sans"), size: 12, color: colour("--ink") },
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", itemclick: false, itemdoubleclick: false, font: { size: 11 } },
    hoverlabel: { align: "left", bgcolor: colour("--ink"), bordercolor: colour("--ink"), font: { color: colour("--bg"), size: 12 } },
    xaxis: { title: { text: plain(`difference, ${unitWord(unit)}`), font: { size: 11 }, standoff: 6 }, range: [left - pad, right + pad], zeroline: true, zerolinecolor: colour("--muted"), zerolinewidth: 1.4, gridcolor: colour("--line"), automargin: true },
    yaxis: { tickmode: "array", tickvals: rows.map((row) => place.get(row.id)), ticktext: labels, range: [-0.7, rows.length - 0.3], automargin: true, showgrid: false, zeroline: false, fixedrange: true, ticks: "" },
    shapes: rows.filter((row) => known(row.margin)).map((row) => ({
      type: "rect", xref: "x", yref: "y", x0: -row.margin * scale, x1: row.margin * scale, y0: place.get(row.id) - 0.42, y1: place.get(row.id) + 0.42,
      fillcolor: colour("--line"), opacity: 0.55, line: { width: 0 }, layer: "below",
    })),
  };
  chart.style.height = `${layout.height + 16}px`; // plotly measures its box again whenever the window changes
  const config = { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"], toImageButtonOptions: { format: "svg", filename: "capeval-forest" } };
  Plotly.newPlot(chart, traces, layout, config).then(() => {
    chart.on("plotly_click", (event) => openRow(event.points[0].customdata));
  });
}

function forestTip(row) {
  const lines = [`<b>${plain(row.contrast)}</b>`, plain(taskName(row)),
    plain(`${signed(row.delta, row.unit)} ${interval(row.low, row.high, row.unit)} ${unitWord(row.unit)}`),
    plain(`p adj. ${shortP(row.p_adjusted)} · n = ${count(row.n)} · margin ±${number(row.margin, row.unit)}`),
    plain(`${MARKS[row.label] || ""} ${row.label}${row.reason ? ` (${row.reason})` : ""}`)];
  if (row.confounds) lines.push(plain(`confounded: ${cut(row.confounds, 90)}`));
  return lines.join("<br>");
}

// Plotly reads some markup and entities in its texts; names must stay names.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/[\r\n]+/g, " ");
}
