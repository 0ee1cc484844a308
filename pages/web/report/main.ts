// The page of `ebbline report`: what was not seen, then incidents, charts, the map and what the numbers mean.

import { follow, resize } from "../charts";
import { day, fold, h, minute, perDay, plural } from "../dom";
import { loss, scores, volume } from "./charts";
import { type Gap, type Incident, type Report, load } from "./data";
import { hosts } from "./hosts";
import { incident } from "./incident";
import { List } from "./list";
import { talk } from "./talk";

const GAPS = 4;
/** Incidents that are told on paper, beside the one that is open. */
const PRINTED = 10;
const VIEWS: [string, string][] = [
  ["incidents", "Incidents"],
  ["charts", "Volume and coverage"],
  ["map", "Who talks to whom"],
  ["about", "How to read this"],
];

function head(report: Report): HTMLElement {
  const links = VIEWS.map(([id, name]) => h("a", { href: `#${id}` }, name));
  const rows = report.from && report.until ? `rows from ${minute(report.from)} to ${minute(report.until)} UTC` : "no rows could be read";
  return h(
    "header",
    {},
    h("a", { class: "skip", href: "#incident" }, "To the incident"),
    h("div", { class: "name" }, h("h1", {}, "Ebbline report"), h("span", { class: "muted" }, `${report.source} · ${rows}`)),
    h("nav", { class: "views", "aria-label": "Parts of the report" }, ...links),
  );
}

/** How much there is, and how much of it is expected to be false. */
function promise(report: Report): HTMLElement {
  const said = [plural(report.incidents.total, "incident", "incidents"), `of ${plural(report.findings, "finding", "findings")}`];
  if (report.expected_per_day !== null) said.push(`false alerts expected: at most ${perDay(report.expected_per_day)} a day`);
  if (report.last_7_days !== null) said.push(`last 7 days: ${plural(report.last_7_days, "incident", "incidents")}`);
  return h("p", { class: "promise" }, said.join(" · "));
}

function coverage(gaps: Gap[]): HTMLElement {
  if (!gaps.length) return h("p", { class: "coverage" }, h("b", {}, "Coverage"), " No gap is known.");
  const item = (gap: Gap) => h("li", {}, h("b", {}, gap.kind.replace("_", " ")), " ", gap.text);
  const box = h("section", { class: "coverage", "aria-label": "Coverage" }, h("b", {}, "Not seen, or not whole"), h("ul", {}, ...gaps.slice(0, GAPS).map(item)));
  if (gaps.length > GAPS) box.append(fold(`${plural(gaps.length - GAPS, "more gap", "more gaps")}`, h("ul", {}, ...gaps.slice(GAPS).map(item))));
  return box;
}

const TERMS: [string, string][] = [
  ["1 in N", "How rare: of units (a process tree in an hour, for example) that are as usual as those learned from, one in N is expected to be as unusual as this or more."],
  ["bits", "How unusual, as a logarithm. Of one reason: how rare what was seen is where it was seen, 10 bits are 1 in 1,024. Of a row: its reasons added up, as they overlap that is more than its rarity. Of an incident: its whole path, by Fisher's combination of the rarities of its findings, so it can be less than a row of it has; it orders incidents and promises nothing."],
  ["given anything", "No finer context knew it: so it was not seen under any program before, whatever the program."],
  ["learning", "A host is known well after some days. Before that, much of what is usual there is still new, and the list is longer than it will be."],
  ["false alerts expected", "How many false alerts a day the baseline expects at the line that was drawn. There are never more incidents than findings."],
  ["seen before", "n of N: how often this was seen in this context, of how often anything was, when the baseline was learned."],
  ["harmless if", "What would explain it without an attack. Nothing here says that something is an attack."],
  ["rows", "The small numbers behind sentences lead to rows of the archive, which are listed at the end of each incident."],
];

function about(report: Report): HTMLElement {
  const notices = document.getElementById("notices")?.textContent ?? "";
  return h(
    "section",
    { "data-view": "about" },
    h("h2", {}, "How to read this"),
    h("dl", { class: "terms" }, ...TERMS.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
    h("p", {}, `Written by ebbline ${report.version}. This file needs no network and sends nothing. Keep it as you keep the logs: it has command lines and addresses.`),
    fold("Notices of what this page is built from", h("pre", { tabindex: 0 }, notices.trim())),
  );
}

function main(): void {
  const report = load();
  document.title = `Ebbline report: ${report.source}${report.until ? `, ${day(report.until)}` : ""}`;
  const detail = h("div", { id: "detail", tabindex: -1 });
  const tell = (known: Incident | undefined) => {
    shown = known?.id ?? "";
    detail.replaceChildren(known ? incident(known, report.incidents.total) : h("p", { class: "empty" }, "No incident fits the filter."));
    list.mark(known);
  };
  let [shown, before] = ["", ""];
  const list = new List(report.incidents, (first) => before && tell(first));
  const none = h("p", { class: "empty" }, `No incident: none of the findings in ${report.source} are over the line. What was not seen is said above.`);
  const told = h("div", { class: "told paper-only" });
  const panes = report.incidents.shown.length ? h("div", { class: "panes" }, told, list.element, detail) : none;
  const incidents = h("section", { "data-view": "incidents", "aria-label": "Incidents" }, promise(report), panes);
  const charts = h("section", { "data-view": "charts", class: "unmade" }, h("h2", {}, "Volume and coverage"));
  const map = h("section", { "data-view": "map", class: "unmade" }, h("h2", {}, "Who talks to whom"));
  const body = h("main", {}, coverage(report.coverage), incidents, charts, map, about(report));
  document.body.append(head(report), body);

  // What is not looked at yet is not made.
  const makers: Record<string, () => void> = {
    charts: () => charts.append(volume(report), scores(report), loss(report), hosts(report)),
    map: () => map.append(talk(report.talk)),
  };
  const make = (view: string) => {
    makers[view]?.();
    delete makers[view];
    body.querySelector(`[data-view="${view}"]`)?.classList.remove("unmade");
  };
  const go = (moved: boolean) => {
    const [view = "", id, row] = location.hash.slice(1).split("/");
    const here = VIEWS.some(([name]) => name === view) ? view : "incidents";
    for (const part of body.querySelectorAll<HTMLElement>("[data-view]")) part.classList.toggle("off", part.dataset["view"] !== here);
    for (const link of document.querySelectorAll(".views a")) {
      if (link.getAttribute("href") === `#${here}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    make(here);
    resize();
    if (moved && here !== before) scrollTo(0, 0);
    before = here;
    const known = list.find(view === "incident" ? id : undefined);
    if (here === "incidents" && known && (known.id !== shown || view === "incident")) {
      if (known.id !== shown) tell(known);
      else list.mark(known);
      const target = row ? detail.querySelector<HTMLElement>(`#row-${Number(row)}`) : detail.querySelector<HTMLElement>("h2");
      if (moved && view === "incident") target?.focus();
    } else if (view === "incident" && !known) {
      shown = "";
      detail.replaceChildren(h("p", { class: "empty" }, `This file has no incident ${id ?? ""}.`));
    }
  };
  addEventListener("hashchange", () => go(true));
  go(false);
  follow((onPaper) => {
    for (const view of Object.keys(makers)) make(view);
    for (const more of document.querySelectorAll("details")) if (onPaper && more.closest(".coverage")) more.open = true;
    const first = onPaper ? list.first(PRINTED) : [];
    told.replaceChildren(...first.map((one) => incident(one, report.incidents.total, false)));
  });
  document.documentElement.dataset["ready"] = String(Math.round(performance.now()));
}

try {
  main();
} catch (error) {
  document.body.append(h("p", { class: "empty", role: "alert" }, `The report cannot be shown: ${error instanceof Error ? error.message : String(error)}`));
}
