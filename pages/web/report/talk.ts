// Who talks to whom: programs on the left, destinations on the right, what is new or rare marked.

import type { Pair, Talk } from "./data";
import { type Box, draw } from "./graph";
import { count, cut, h, leaf, minute, oneIn, plural, stacked, table, visible, wide } from "../dom";

const DRAWN = 40;
const ROWS = 500;
/** As in page.css. */
const PRINTED = 40;
/** As the progress of `ebbline score` counts: rows like it are rarer than 1 in 1,000. */
const RARE = Math.log2(1000);

const rare = (pair: Pair) => (pair.log2_n ?? 0) >= RARE;
const at = (pair: Pair) => (pair.port === null ? pair.remote : pair.remote.includes(":") ? `[${pair.remote}]:${pair.port}` : `${pair.remote}:${pair.port}`);

export function talk(data: Talk): HTMLElement {
  if (!data.shown.length) return h("p", {}, "The archive has no connections that went out, so there is no map.");
  const search = h("input", { type: "search", id: "talk-search", placeholder: "program, address, port, host", autocomplete: "off", spellcheck: "false" });
  const only = h("input", { type: "checkbox", id: "talk-new" });
  const said = h("p", { class: "muted", role: "status" });
  const picture = h("div", {});
  const apply = () => {
    const asked = visible(search.value).toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (pair: Pair) => {
      const text = `${pair.host} ${pair.exe} ${at(pair)} ${pair.protocol}`.toLowerCase();
      return asked.every((word) => text.includes(word)) && (!only.checked || pair.is_new || rare(pair));
    };
    const left = data.shown.filter(fits);
    said.textContent = words(left.length, data);
    picture.replaceChildren(...(left.length ? [map(left.slice(0, DRAWN)), all(left)] : []));
  };
  search.addEventListener("input", apply);
  only.addEventListener("input", apply);
  apply();
  const form = h(
    "form",
    { class: "filters", role: "search", "aria-label": "Connections", submit: (event) => event.preventDefault() },
    h("label", { for: "talk-search" }, h("span", {}, "Search"), search),
    h("label", { class: "check", for: "talk-new" }, only, h("span", {}, "Only what is new or rare")),
  );
  return h("div", {}, h("p", {}, meaning(data)), form, said, picture);
}

function meaning(data: Talk): string {
  const rare = "Rare: rows like its most unusual one are rarer than 1 in 1,000. Lines are thicker where there were more connections (by logarithm).";
  const fresh = data.new_since
    ? `New: the archive has none of it before ${minute(data.new_since)} UTC.`
    : "The archive does not reach back before what was scored, so nothing can be called new.";
  return `${fresh} ${rare}`;
}

function words(left: number, data: Talk): string {
  const drawn = left > DRAWN ? ` The first ${DRAWN} are drawn.` : "";
  const rest = data.total - data.shown.length;
  const floor = data.crowded ? "at least " : "";
  const more = rest > 0 ? ` And ${floor}${count(rest)} others are not in this file: new ones, rare ones and frequent ones came first.` : "";
  return `${plural(left, "pair", "pairs")} of program and destination.${drawn}${more}`;
}

function map(pairs: Pair[]): HTMLElement {
  const boxes = new Map<string, Box>();
  const ends = pairs.map((pair): [string, string] => [`p${pair.host}\n${pair.exe}`, `d${at(pair)} ${pair.protocol}`]);
  pairs.forEach((pair, n) => {
    const [from, to] = ends[n] ?? ["", ""];
    const marked = pair.is_new || rare(pair);
    const put = (id: string, box: Box) => {
      const known = boxes.get(id);
      if (known) known.marked ||= box.marked;
      else boxes.set(id, box);
    };
    put(from, { id: from, lines: [cut(visible(leaf(pair.exe) || "unknown"), 30), cut(visible(pair.host), 34)], marked: false, round: false, even: true, title: `${pair.exe} on ${pair.host}` });
    put(to, { id: to, lines: [cut(visible(at(pair)), 34), pair.protocol], marked, round: true, even: true, title: `${at(pair)} ${pair.protocol}` });
  });
  const arrows = pairs.map((pair, n) => ({
    from: ends[n]?.[0] ?? "",
    to: ends[n]?.[1] ?? "",
    marked: pair.is_new || rare(pair),
    width: 1 + Math.log10(Math.max(1, pair.connections)),
    label: pair.is_new ? "new" : rare(pair) ? "rare" : "",
  }));
  const name = `Map of ${plural(pairs.length, "pair", "pairs")} of program and destination; the table below has them all`;
  return wide("Who talks to whom", draw(name, [...boxes.values()], arrows, 180));
}

function all(pairs: Pair[]): HTMLElement {
  const lines = pairs.slice(0, ROWS).map((pair) => [
    [pair.is_new && "new", rare(pair) && "rare"].filter(Boolean).join(", "),
    pair.exe || "unknown",
    pair.host,
    `${at(pair)} ${pair.protocol}`,
    count(pair.connections),
    minute(pair.first),
    minute(pair.last),
    pair.log2_n === null ? "not scored" : oneIn(2 ** pair.log2_n),
  ]);
  const more = pairs.length > PRINTED && h("p", { class: "paper-only muted" }, `Printed: the first ${PRINTED} of ${count(pairs.length)}.`);
  const heads = ["Mark", "Program", "Host", "Destination", "Connections", "First (UTC)", "Last (UTC)", "Rarest row"];
  const rows = stacked(table("Programs and destinations", heads, [false, false, false, false, true, false, false, true], lines));
  rows.classList.add("pairs");
  return h("div", {}, wide("Programs and destinations", rows), more);
}
