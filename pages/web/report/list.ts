// The ranked list with search and filters. Rows that are out of sight cost no layout (content-visibility).

import type { Incident } from "./data";
import { bits, count, h, oneIn, plural, shorten, span, visible } from "../dom";

const RARITIES: [string, number][] = [
  ["any rarity", 0],
  ["1 in 1,000 or rarer", 1e3],
  ["1 in 1 million or rarer", 1e6],
  ["1 in 1 billion or rarer", 1e9],
];

interface Entry {
  incident: Incident;
  text: string;
  item: HTMLLIElement;
  link: HTMLAnchorElement;
}

/** What is searched: everything that is told, in lower case. */
function words(one: Incident): string {
  const told = one.narrative;
  const said = [told.title, told.summary, told.timeline, told.root, told.checks].flat().map((it) => it.text);
  const techniques = told.techniques.map((it) => it.id);
  const reasons = one.reasons.map((it) => `${it.value} ${it.context}`);
  return [one.id, ...one.aliases, one.title, ...one.hosts, ...said, ...techniques, ...reasons].join("\n").toLowerCase();
}

function entry(incident: Incident): Entry {
  const link = h(
    "a",
    { href: `#incident/${incident.id}` },
    h("span", { class: "rank" }, `${incident.rank}`),
    h("span", { class: "title", title: incident.title }, incident.feedback && h("b", { class: "said-of" }, `${incident.feedback.word} `), shorten(incident.title)),
    h("span", { class: "below" }, span(incident.first, incident.last)),
    h("span", { class: "below number" }, oneIn(incident.one_in)),
    h("span", { class: "below" }, h("code", {}, incident.id), ` · ${plural(incident.findings.length, "finding", "findings")}`),
    h("span", { class: "below number" }, `${bits(incident.bits)} bits`),
  );
  return { incident, text: "", item: h("li", {}, link), link };
}

export class List {
  readonly element: HTMLElement;
  readonly #entries: Entry[];
  readonly #search = h("input", { type: "search", placeholder: "program, address, host, technique, id", id: "search", autocomplete: "off", spellcheck: "false" });
  readonly #host: HTMLSelectElement;
  readonly #rarity = h("select", { id: "rarity" }, ...RARITIES.map(([name, n]) => h("option", { value: n }, name)));
  readonly #order = h("select", { id: "order" }, h("option", { value: "rank" }, "rarest first"), h("option", { value: "new" }, "latest first"));
  readonly #said = h("p", { class: "muted", role: "status" });
  readonly #list = h("ol", { class: "list" });
  readonly #total: number;
  readonly #moved: (first: Incident | undefined) => void;
  #current: Incident | undefined;

  /** `moved` is told the first that fits, or none, when the filter no longer lets through what is shown. */
  constructor(incidents: { total: number; shown: Incident[] }, moved: (first: Incident | undefined) => void) {
    this.#moved = moved;
    this.#total = incidents.total;
    this.#entries = incidents.shown.map(entry);
    const hosts = [...new Set(incidents.shown.flatMap((one) => one.hosts))].sort();
    this.#host = h("select", { id: "host" }, h("option", { value: "" }, "all hosts"), ...hosts.map((host) => h("option", { value: host }, host)));
    const label = (name: string, input: HTMLElement) => h("label", { for: input.id }, h("span", {}, name), input);
    const filters = h(
      "form",
      { class: "filters", role: "search", "aria-label": "Incidents", submit: (event) => event.preventDefault() },
      label("Search", this.#search),
      label("Host", this.#host),
      label("Rarity", this.#rarity),
      label("Order", this.#order),
    );
    for (const input of [this.#search, this.#host, this.#rarity, this.#order]) input.addEventListener("input", () => this.#apply());
    this.#list.addEventListener("keydown", (event) => this.#step(event));
    this.element = h("nav", { class: "incidents", "aria-label": "Incidents" }, filters, this.#said, this.#list, h("p", { class: "paper-only muted" }, "Printed: the first 30 of those that the filter leaves. The first 10 are told above, and the one that was open."));
    this.#apply();
  }

  /** The incident of an id, an alias, or the first that is listed. */
  find(id?: string): Incident | undefined {
    if (!id) return this.#seen()[0]?.incident;
    return this.#entries.find(({ incident }) => incident.id === id || incident.aliases.includes(id))?.incident;
  }

  /** The first that are listed, and the one that is open. */
  first(most: number): Incident[] {
    const first = this.#seen().slice(0, most).map((one) => one.incident);
    return this.#current && !first.includes(this.#current) ? [this.#current, ...first] : first;
  }

  mark(incident: Incident | undefined): void {
    this.#current = incident;
    for (const one of this.#entries) {
      if (one.incident === incident) {
        one.link.setAttribute("aria-current", "true");
        one.link.scrollIntoView({ block: "nearest" });
      } else one.link.removeAttribute("aria-current");
    }
  }

  #seen(): Entry[] {
    return this.#entries.filter((one) => !one.item.hidden);
  }

  #apply(): void {
    const asked = visible(this.#search.value).toLowerCase().split(/\s+/).filter(Boolean);
    const [host, rarity] = [this.#host.value, Number(this.#rarity.value)];
    let left = 0;
    for (const one of this.#entries) {
      if (asked.length && !one.text) one.text = words(one.incident);
      const fits =
        asked.every((word) => one.text.includes(word)) &&
        (!host || one.incident.hosts.includes(host)) &&
        one.incident.one_in >= rarity;
      one.item.hidden = !fits;
      if (fits) left += 1;
    }
    const order = [...this.#entries];
    if (this.#order.value === "new") order.sort((a, b) => b.incident.last.localeCompare(a.incident.last));
    this.#list.replaceChildren(...order.map((one) => one.item));
    this.#said.textContent = this.#words(left);
    const seen = this.#seen();
    if (this.#current && !seen.some((one) => one.incident === this.#current)) this.#moved(seen[0]?.incident);
    else if (!this.#current && seen[0]) this.#moved(seen[0].incident);
  }

  #words(left: number): string {
    const all = this.#entries.length;
    const rest = this.#total - all;
    const more = rest > 0 ? ` And ${count(rest)} others, less unusual, are not in this file.` : "";
    return `${left === all ? plural(all, "incident", "incidents") : `${count(left)} of ${plural(all, "incident", "incidents")}`}.${more}`;
  }

  /** Up and down move among the incidents. */
  #step(event: KeyboardEvent): void {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    const links = [...this.#list.querySelectorAll<HTMLAnchorElement>("li:not([hidden]) > a")];
    const next = links[links.indexOf(document.activeElement as HTMLAnchorElement) + by];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
}
