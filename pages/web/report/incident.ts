// One incident, in the order in which a person asks: what happened, why it is unusual, what led to it, what to check.

import type { Incident, Reason, Row, Sentence, Step } from "./data";
import { bits, clock, count, day, fold, h, later, oneIn, plural, shorten, span, stacked, table, wide } from "../dom";
import { lineage } from "./graph";

/** Rows, by the numbers that the file gives them. */
class Rows {
  readonly #rows: Row[];
  readonly #numbers: Map<string, number>;

  /** On paper nothing has a name within the page: what is told there is told once more on the screen. */
  constructor(
    readonly incident: Incident,
    readonly named: boolean,
  ) {
    this.#rows = incident.narrative.evidence;
    this.#numbers = new Map(this.#rows.map((row, at) => [`${row.row} ${row.file}`, at + 1]));
  }

  cite(rows: Row[]): HTMLElement {
    const cite = h("span", { class: "cite" });
    const numbers = rows.map((row) => this.#numbers.get(`${row.row} ${row.file}`) ?? 0);
    for (const number of [...new Set(numbers)].sort((a, b) => a - b)) {
      const row = this.#rows[number - 1];
      if (!row) continue;
      const label = `evidence ${number}: row ${row.row} of ${row.file}`;
      cite.append(h("a", { href: `#incident/${this.incident.id}/${number}`, title: label, "aria-label": label }, `${number}`));
    }
    return cite;
  }

  list(): HTMLElement {
    if (!this.#rows.length) return h("p", {}, "None of its rows could be read.");
    const items = this.#rows.map((row, at) =>
      h("li", { id: this.named && `row-${at + 1}`, tabindex: this.named && -1 }, h("code", {}, row.file), ` row ${row.row}`),
    );
    return h("ol", { class: "rows" }, ...items);
  }
}

/** An incident; `named` where it is what the page is about now, and links lead to it. */
export function incident(one: Incident, of: number, named = true): HTMLElement {
  const rows = new Rows(one, named);
  const told = one.narrative;
  const article = h("article", { "aria-labelledby": named && "incident-title" });
  article.append(
    h("p", { class: "eyebrow" }, `Incident ${one.rank} of ${count(of)} · ${one.id}`),
    h("h2", { id: named && "incident-title", tabindex: named && -1, title: one.title }, shorten(one.title)),
    facts(one),
  );
  const part = (name: string, ...content: (Node | false)[]) =>
    content.some(Boolean) && article.append(h("section", {}, h("h3", {}, name), ...content));
  part("Summary", told.summary.length > 0 && paragraphs(told.summary, rows));
  part("What happened", told.timeline.length > 0 && timeline(told.timeline, rows));
  part("Why it is unusual", reasons(one.reasons, rows) || (told.reasons.length > 0 && list(told.reasons, rows)));
  part(
    "What led to it",
    one.graph.nodes.length > 0 && lineage(one.graph, one.id),
    told.root.length > 0 && paragraphs(told.root, rows),
  );
  part("Harmless if", told.harmless.length > 0 && list(told.harmless, rows));
  part("Check next", told.checks.length > 0 && list(told.checks, rows));
  part("Why this is one incident", told.links.length > 0 && list(told.links, rows));
  part("ATT&CK suggestions (not detections)", told.techniques.length > 0 && techniques(one, rows));
  article.append(evidence(one, rows));
  return article;
}

function facts(one: Incident): HTMLElement {
  const pairs: [string, string][] = [
    ["Rarest finding", oneIn(one.one_in)],
    ["Whole path", `${bits(one.bits)} bits`],
    ["When (UTC)", span(one.first, one.last)],
    ["Hosts", one.hosts.join(", ") || "none named"],
    ["Findings", count(one.findings.length)],
  ];
  if (one.feedback) pairs.push(["Said of it", one.feedback.words]);
  if (one.aliases.length) pairs.push(["Also known as", one.aliases.join(", ")]);
  return h("dl", { class: "facts" }, ...pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function paragraphs(sentences: Sentence[], rows: Rows): HTMLElement {
  return h("div", {}, ...sentences.map((one) => h("p", {}, one.text, rows.cite(one.rows))));
}

function list(sentences: Sentence[], rows: Rows): HTMLElement {
  return h("ul", {}, ...sentences.map((one) => h("li", {}, one.text, rows.cite(one.rows))));
}

function timeline(steps: Step[], rows: Rows): HTMLElement {
  const first = steps[0]?.time ?? "";
  const hosts = new Set(steps.map((step) => step.host));
  let today = "";
  const items: HTMLElement[] = [];
  for (const step of steps) {
    if (day(step.time) !== today) {
      today = day(step.time);
      items.push(h("li", { class: "day" }, `${today} UTC`));
    }
    const time = h("time", { datetime: step.time }, clock(step.time));
    const host = hosts.size > 1 && h("b", { class: "host" }, step.host || "no host");
    const text = h("span", { class: "said" }, host, step.text, rows.cite(step.rows));
    items.push(h("li", {}, time, h("span", { class: "later" }, later(first, step.time)), text));
  }
  return h("ol", { class: "timeline" }, ...items);
}

function reasons(all: Reason[], rows: Rows): HTMLElement | false {
  if (!all.length) return false;
  const most = Math.max(...all.map((one) => one.bits), 1);
  const lines = all.map((one) => [
    h("span", { class: "bits" }, meter(one.bits / most), bits(one.bits)),
    h("div", { class: "value" }, h("span", {}, one.value, rows.cite(one.rows)), h("small", {}, `given ${one.context || "anything"}`)),
    h("span", { title: one.words }, `${count(one.n)} of ${count(one.N)}`),
    h("span", {}, count(one.T)),
    h("span", { class: "scope" }, one.scope),
    h("small", {}, one.view),
  ]);
  const heads = ["Bits", "What was seen", "Seen before", "Distinct values", "Where", "View"];
  const name = `${plural(all.length, "reason", "reasons")}, the strongest first`;
  return wide("Reasons", stacked(table(name, heads, [true, false, true, true, false, false], lines)));
}

/** A bar; the number beside it says the same. */
function meter(share: number): HTMLElement {
  const bar = h("i", { class: "meter", "aria-hidden": "true" });
  bar.style.width = `${Math.max(2, Math.round(share * 40))}px`;
  return bar;
}

function techniques(one: Incident, rows: Rows): HTMLElement {
  const items = one.narrative.techniques.map((it) => h("li", {}, h("code", {}, it.id), ` ${it.why}`, rows.cite(it.rows)));
  return h("ul", {}, ...items);
}

function evidence(one: Incident, rows: Rows): HTMLElement {
  const findings = one.findings.map((id) => h("li", {}, h("code", {}, id)));
  return h(
    "section",
    {},
    h("h3", {}, "Rows"),
    rows.list(),
    fold(plural(one.findings.length, "finding", "findings"), h("ul", {}, ...findings)),
    one.root.key ? h("p", { class: "muted" }, "Root process ", h("code", {}, one.root.key), one.root.host ? ` on ${one.root.host}` : "") : null,
  );
}
