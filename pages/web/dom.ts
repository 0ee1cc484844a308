// Elements and texts. Data become text nodes and attributes only; nothing here parses markup.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

const SVG = "http://www.w3.org/2000/svg";

/** Characters that a page would obey or hide: controls, directions, zero widths. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Text as it is, with what cannot be seen written out. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (c) => `\\u{${c.charCodeAt(0).toString(16)}}`);
}

function fill(element: Element, attributes: Attributes, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, typeof value === "string" ? visible(value) : String(value));
    }
  }
  for (const child of children) {
    if (typeof child === "string") element.append(visible(child));
    else if (child) element.append(child);
  }
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

export function svg(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS(SVG, tag) as SVGElement;
  fill(element, attributes, children);
  return element;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(n: number): string {
  return whole.format(n);
}

export function plural(n: number, one: string, many: string): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function bits(n: number): string {
  return n.toFixed(1);
}

const words = new Intl.NumberFormat("en", { notation: "compact", compactDisplay: "long", maximumSignificantDigits: 3 });

/** Rarities have three digits: nobody knows more. */
export function oneIn(n: number): string {
  if (n >= 1e15) return `1 in 10^${Math.floor(Math.log10(n))}`;
  return `1 in ${n < 1e6 ? count(Number(n.toPrecision(3))) : words.format(n)}`;
}

/** How many a day are expected, in the digits that the terminal has them. */
export function perDay(n: number): string {
  return n < 1 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : count(Math.round(n));
}

/** Of an RFC 3339 text: day, and time to the second. */
export function day(time: string): string {
  return time.slice(0, 10);
}

export function clock(time: string): string {
  return time.slice(11, 19);
}

export function minute(time: string): string {
  return `${day(time)} ${time.slice(11, 16)}`;
}

/** From when until when, without saying a day twice. */
export function span(first: string, last: string): string {
  const [from, to] = [`${day(first)} ${clock(first)}`, `${day(last)} ${clock(last)}`];
  if (from === to) return from;
  return day(first) === day(last) ? `${from} – ${clock(last)}` : `${from} – ${to}`;
}

/** How long after, in two units at most. */
export function later(from: string, to: string): string {
  // As the clocks beside it, which have whole seconds.
  const second = (time: string) => Math.floor(Date.parse(time) / 1000);
  const s = second(to) - second(from);
  if (!(s > 0)) return "";
  const [d, hours, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `+${d} d ${hours} h`;
  if (hours) return `+${hours} h ${m} min`;
  return m ? `+${m} min ${s % 60} s` : `+${s} s`;
}

/** The last name of a path. */
export function leaf(path: string): string {
  return path.split("/").pop() || path;
}

export function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Long paths without their middle, as the terminal has them: `/srv/…/bin/httpd`. */
export function shorten(text: string): string {
  const one = (word: string) => {
    const parts = word.split("/");
    return parts.length > 4 && !parts[0] ? `/${parts[1]}/…/${parts.slice(-2).join("/")}` : word;
  };
  return text.split(/(?<=[ =,])/).map(one).join("");
}

/** A table; columns of numbers are right-aligned. */
export function table(caption: string, heads: string[], numbers: boolean[], rows: Child[][]): HTMLTableElement {
  const kind = (at: number) => (numbers[at] ? { class: "number" } : {});
  const head = heads.map((text, at) => h("th", { scope: "col", ...kind(at) }, text));
  const body = rows.map((cells) => h("tr", {}, ...cells.map((cell, at) => h("td", kind(at), cell))));
  return h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body));
}

/** The same table, each row of which stands on its own where there is little room; to a screen reader it stays a table. */
export function stacked(of: HTMLTableElement): HTMLTableElement {
  of.classList.add("stack");
  of.setAttribute("role", "table");
  const heads = [...of.querySelectorAll("thead th")].map((head) => head.textContent ?? "");
  for (const part of of.querySelectorAll("thead, tbody")) part.setAttribute("role", "rowgroup");
  for (const head of of.querySelectorAll("th")) head.setAttribute("role", "columnheader");
  for (const row of of.querySelectorAll("tr")) row.setAttribute("role", "row");
  for (const row of of.querySelectorAll("tbody tr")) {
    [...row.children].forEach((cell, at) => {
      cell.setAttribute("role", "cell");
      cell.setAttribute("data-head", heads[at] ?? "");
    });
  }
  return of;
}

/** Something wide, that can be moved sideways also by keyboard. */
export function wide(label: string, child: Node): HTMLElement {
  return h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": label }, child);
}

export function fold(summary: string, ...children: Child[]): HTMLDetailsElement {
  return h("details", {}, h("summary", {}, summary), ...children);
}
