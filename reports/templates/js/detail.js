// What stands behind one effect: the verdict in words, how it was told, and the items on which the two ends differ.

const FLIPS_OPEN = 20;

function drillRow(row) {
  return make("tr", { class: "drill" }, make("td", { colspan: LEDGER.length }, make("div", { class: "drill-body" },
    make("p", {}, row.sentence), evidence(row), flipList(row))));
}

function evidence(row) {
  const unit = row.unit;
  const task = TASKS.get(wholeTask(row.task)) || {};
  const these = `these ${row.n_clusters} strata${task.cluster ? ` (${task.cluster})` : ""}`;
  const facts = [
    ["Method", row.method],
    ["p (unadjusted → adjusted)", `${shortP(row.p)} → ${shortP(row.p_adjusted)} in the family “${row.family}”`],
    ["Evidence grade", row.grade_reason ? `${row.grade}: ${row.grade_reason}` : row.grade],
    ["Over training seeds", overSeeds(row)],
    ["Pairs", `${count(row.n)} used, ${count(row.dropped)} dropped${row.n_clusters ? `, ${row.n_clusters} clusters${task.cluster ? ` (${task.cluster})` : ""}` : ""}`],
    ["Smallest visible effect (MDE)", known(row.mde) ? `${number(row.mde, unit)} ${unitWord(unit)}` : "–"],
    ["Items that the margin takes", itemsNeeded(row)],
    ["Standard error", known(row.se) ? `${number(row.se, unit)} ${unitWord(unit)}` : ""],
    [known(row.low_clustered) ? `95 % interval, ${these}` : "95 % interval", interval(row.low, row.high, unit)],
    ["95 % interval, over others of their kind", interval(row.low_clustered, row.high_clustered, unit)],
    ["90 % interval, for equivalence and gates", interval(row.low_equivalence, row.high_equivalence, unit)],
    ["Readable at every end", row.n_completers && row.n_completers < row.n ? `${signed(row.delta_completers, unit)} ${unitWord(unit)} on ${count(row.n_completers)} items that no end left truncated, unextracted, refused or empty` : ""],
    ["Metric", [row.metric, row.orientation === "none" ? "neither way is better" : `${row.orientation} is better`, task.threshold].filter(Boolean).join("; ")],
    ["Scorer", task.scorer],
    ["Why it can't be told", row.reason === "negligible" ? "" : row.reason],
    ["Confounds", row.confounds || "none recorded"],
    ["Noise floor", row.noise],
    ...effectSources(row),
    ["Task's source", [task.source, task.licence].filter(Boolean).join("; ")],
    ["Note on the task", task.note],
  ];
  return factList(facts);
}

function overSeeds(row) {
  if (!known(row.seed_delta)) return "";
  const own = known(row.seed_share) ? `; ${Math.round(100 * row.seed_share)} % of one run's variance is the run's own, the rest the items'` : "";
  return `${signed(row.seed_delta, row.unit)} ${interval(row.seed_low, row.seed_high, row.unit)} ${unitWord(row.unit)} over ${row.seeds} training runs${own}`;
}

function itemsNeeded(row) {
  const margin = `±${number(row.margin, row.unit)} ${unitWord(row.unit)}`;
  if (known(row.n_needed)) return `about ${count(roundUp(row.n_needed))} for ${margin}`;
  return row.answer === "cant_tell" ? "unknown" : `these ${count(row.n)} suffice for ${margin}`;
}

function flipList(row) {
  if (row.kind !== "edge") return make("p", { class: "small" }, "Items are listed for the stages of the tree (kind: edge).");
  if (row.unit !== "points") return make("p", { class: "small" }, "Items are listed where scores lie between 0 and 1.");
  const flips = flipsOf(row);
  if (!flips.length) return make("p", { class: "small" }, "No item changed its score by half or more.");
  const whole = row.task !== wholeTask(row.task) && flips[0].task !== row.task ? " of the whole task" : "";
  const texts = flips.filter((flip) => flip.parent_response !== null || flip.child_response !== null);
  const capped = DATA.flipsCut.rows ? ` The page carries at most ${DATA.flipLimit} per effect; flips.parquet holds all.` : "";
  const title = make("h4", {}, flips.length >= DATA.flipLimit ? `The first ${count(flips.length)} items that changed${whole}` : `${count(flips.length)} items changed${whole}`);
  if (!texts.length) {
    return make("div", {}, title, make("p", { class: "small" }, `These records ship numbers only, no texts: item digests with the score of each end.${capped}`), digestTable(flips));
  }
  const box = make("div", {});
  const rest = make("button", { type: "button", class: "quiet", hidden: texts.length <= FLIPS_OPEN, on: { click: () => { box.append(...texts.slice(FLIPS_OPEN).map(flipCard)); rest.remove(); } } }, `Show ${texts.length - FLIPS_OPEN} more`);
  box.append(...texts.slice(0, FLIPS_OPEN).map(flipCard));
  const without = flips.length - texts.length;
  return make("div", {}, title, capped ? make("p", { class: "small" }, capped) : "", box, rest,
    without ? make("p", { class: "small" }, `${count(without)} more without text:`) : "", without ? digestTable(flips.filter((flip) => !texts.includes(flip))) : "");
}

function flipCard(flip) {
  const side = (name, score, flag, text) => make("div", {}, make("strong", {}, name), make("span", { class: "small" }, ` score ${flipScore(score)}${flag ? ` · ${flag}` : ""}`), make("pre", {}, text === null ? "(no text)" : text || "(empty)"));
  return make("article", { class: "flip" },
    make("header", {}, make("span", {}, `item ${flip.item}`), flip.cluster ? make("span", {}, flip.cluster) : "", flip.cause ? make("span", {}, `cause: ${flip.cause}`) : ""),
    make("div", { class: "sides" }, side(flip.parent, flip.parent_score, flip.parent_flag, flip.parent_response), side(flip.child, flip.child_score, flip.child_flag, flip.child_response)));
}

function digestTable(flips) {
  const head = ["item", "cluster", flips[0].parent, flips[0].child, "cause", "flags"];
  const body = flips.map((flip) => make("tr", {}, [flip.item, flip.cluster || "–", flipScore(flip.parent_score), flipScore(flip.child_score), flip.cause || "–",
    [flip.parent_flag, flip.child_flag].some(Boolean) ? `${flip.parent_flag || "–"} → ${flip.child_flag || "–"}` : "–"].map((text) => make("td", {}, text))));
  return make("div", { class: "digests scroll", tabindex: 0, role: "region", "aria-label": "Changed items" },
    make("table", {}, make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, body)));
}

function flipScore(score) { return known(score) ? String(Number(score.toFixed(3))) : "–"; }

// Published scores: dashed, apart, never in the ledger. They follow the selected nodes.
function drawPublished(state) {
  const host = document.getElementById("published-body");
  if (!host) return;
  const contrast = state.contrast === null ? null : DATA.contrasts[state.contrast];
  const chosen = (row) => (contrast ? [contrast.parent, contrast.child] : state.node ? [state.node] : null)?.some((name) => [row.node, row.parent, row.child].includes(name)) ?? true;
  const effects = PUBLISHED_EFFECTS.filter(chosen);
  const scores = PUBLISHED.filter(chosen);
  const plainNumber = (value) => (known(value) ? String(Number(value.toPrecision(3))).replace("-", "−") : "–");
  const bounds = (row) => (known(row.low) ? `[${plainNumber(row.low)}, ${plainNumber(row.high)}]` : "no interval");
  const parts = [];
  const stages = new Map();
  for (const row of effects) {
    const stage = `${row.parent} → ${row.child}`;
    stages.set(stage, [...(stages.get(stage) || []), row]);
  }
  if (effects.length) parts.push(make("h3", {}, "Differences of published scores"));
  for (const [stage, rows] of stages) {
    const table = publishedTable(stage, ["benchmark", "setting", "metric", "parent → child", "difference", "unpaired 95 %", "sources"],
      rows.map((row) => [row.benchmark, row.setting, row.metric, `${plainNumber(row.parent_value)} → ${plainNumber(row.child_value)}`, (row.delta > 0 ? "+" : "") + plainNumber(row.delta), bounds(row), `${String(row.same_source).toLowerCase() === "true" ? "" : "different sources: "}${row.source}`]));
    parts.push(make("details", { open: stages.size === 1 }, make("summary", {}, `${stage}: ${count(rows.length)}`), table));
  }
  if (scores.length) {
    const table = publishedTable("Published scores", ["node", "benchmark", "setting", "metric", "score", "95 %", "n", "source", "note"],
      scores.map((row) => [row.node, row.benchmark, row.setting, row.metric, plainNumber(row.value), bounds(row), count(row.n_items), [row.source, row.read_at].filter(Boolean).join(", "), row.note || ""]));
    parts.push(make("h3", {}, "Scores and their sources"), make("details", { open: scores.length < 12 }, make("summary", {}, `${count(scores.length)} published scores`), table));
  }
  if (!parts.length) parts.push(make("p", { class: "muted" }, "Nothing published for this choice."));
  host.replaceChildren(...parts);
}

function publishedTable(label, head, rows) {
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, make("table", { class: "plain" },
    make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map((text) => make("td", {}, text || "–")))))));
}
