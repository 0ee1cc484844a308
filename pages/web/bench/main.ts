// The page of `ebbline bench`: what it says in words, then the figures, then where and how.

import { follow, resize } from "../charts";
import { h, plural } from "../dom";
import { batches } from "./batches";
import { type Results, load, subjects } from "./data";
import { devices } from "./devices";
import { about, leftOut, machines, measured } from "./facts";
import { roofline } from "./roofline";
import { verdict } from "./verdict";

const PARTS: [string, string][] = [
  ["verdict", "What it says"],
  ["measured", "Measured"],
  ["devices", "Devices"],
  ["batches", "Batches"],
  ["roofline", "Limits"],
  ["left-out", "Left out"],
  ["machine", "Machine"],
  ["about", "How to read this"],
];

function head(title: string): HTMLElement {
  const links = PARTS.map(([id, name]) => h("a", { href: `#${id}` }, name));
  return h("header", {}, h("a", { class: "skip", href: "#verdict" }, "To what it says"), h("div", { class: "name" }, h("h1", {}, "Ebbline benchmark"), h("span", { class: "muted" }, title)), h("nav", { class: "views", "aria-label": "Parts of the page" }, ...links));
}

function titleOf({ results }: Results): string {
  const names = results.flatMap(({ name }) => (name === null ? [] : [name]));
  if (names.length) return names.join(", ");
  return results.map(({ report }) => plural(report.devices.length, "device", "devices")).join(", ");
}

function main(): void {
  const data = load();
  const { results } = data;
  const [all, title] = [subjects(results), titleOf(data)];
  document.title = `Ebbline benchmark: ${title}`;
  document.body.append(head(title), h("main", {}, verdict(results, all), measured(all), devices(all), batches(all), roofline(all), leftOut(results), machines(results), about(data.version)));
  follow(() => {
    for (const more of document.querySelectorAll("details")) if (!more.closest("#about")) more.open = true;
  });
  resize();
  document.documentElement.dataset["ready"] = String(Math.round(performance.now()));
}

try {
  main();
} catch (error) {
  document.body.append(h("p", { class: "empty", role: "alert" }, `The figures cannot be shown: ${error instanceof Error ? error.message : String(error)}`));
}
