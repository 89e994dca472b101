// Who says so: where a node comes from, how sure that is, and the caveats of nodes, links and contrasts.

function linkText(link) {
  const said = [link.source, link.note].filter(Boolean).join("; ");
  return `from ${link.parent} (${link.certainty})${said ? `: ${said}` : ""}`;
}

// The reading that the tree is drawn with, and its rivals, as [name, text].
function linkFacts(node) {
  return (node?.links || []).map((link) => [link.rival ? "Rival reading" : "Parent link", linkText(link)]);
}

function nodeSources(node) {
  return [["Source", node.source], ["Note", node.note], ...linkFacts(node)];
}

function contrastSources(contrast) {
  const confounds = new Set(EFFECTS.filter((row) => row.place === contrast.index && row.confounds).flatMap((row) => row.confounds.split("; ")));
  const ends = [...new Set([contrast.child, contrast.parent])].map((name) => NODES.get(name)).filter(Boolean);
  return [["Note", contrast.note], ["Confounds", [...confounds].join("; ")],
    ...(contrast.kind === "edge" ? linkFacts(ends[0]) : []),
    ...ends.map((node) => [`About ${node.name}`, [node.source, node.note].filter(Boolean).join("; ")])];
}

// What stands behind one effect, for its evidence: the link of a stage, or the note of a declared contrast.
function effectSources(row) {
  const child = NODES.get(row.child);
  return [["Contrast's note", DATA.contrasts[row.place].note], ...(row.kind === "edge" ? linkFacts(child) : []),
    ...[child, row.parent === row.child ? null : NODES.get(row.parent)].filter((node) => node?.note).map((node) => [`Note on ${node.name}`, node.note])];
}

function factList(facts) {
  const shown = facts.filter(([, value]) => value);
  return shown.length ? make("dl", { class: "pairs" }, shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))) : "";
}
