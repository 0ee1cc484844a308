// What was measured where, what was not, and what the words mean.

import { count, fold, h, plural, table, wide } from "../dom";
import type { LeftOut, Result, Subject } from "./data";
import { ARROW, BATCHES, COPY_BACK, COPY_TO, KERNEL, LEARNING, RANDOM, READING, STREAMING, TO_BASELINE, TO_PARQUET } from "./names";
import { size } from "./units";

const KINDS = { cpu: "CPU", hardware: "hardware", software: "software: never chosen by auto" };

function identity({ device }: Subject): string {
  if (!device.identity) return "not compared: nothing is timed";
  return `${plural(device.identity.cases, "case", "cases")}, ${plural(device.identity.rows, "row", "rows")}`;
}

export function measured(all: Subject[]): HTMLElement {
  const rows = all.map((subject) => [count(subject.number), subject.label, KINDS[subject.device.kind] ?? subject.device.kind, subject.device.name, subject.device.details, identity(subject)]);
  const heads = ["no.", "device", "kind", "full name", "details", "scored to the CPU's bits"];
  return h("section", { id: "measured" }, h("h2", {}, "What was measured"), wide("Devices", table("Devices, and what was compared before anything was timed", heads, [true], rows)));
}

/** Of one device and for one reason in one line. */
function grouped(all: LeftOut[]): { device: string; why: string; what: string[] }[] {
  const lines = new Map<string, { device: string; why: string; what: string[] }>();
  for (const { device, what, why } of all) {
    const key = JSON.stringify([device, why]);
    const known = lines.get(key);
    if (known) known.what.push(what);
    else lines.set(key, { device, why, what: [what] });
  }
  return [...lines.values()];
}

export function leftOut(results: Result[]): HTMLElement {
  const part = h("section", { id: "left-out" }, h("h2", {}, "What was left out"));
  for (const { name, report } of results) {
    if (!report.left_out.length) continue;
    if (name !== null && results.length > 1) part.append(h("h3", {}, name));
    part.append(h("ul", {}, ...grouped(report.left_out).map(({ device, what, why }) => h("li", {}, h("b", {}, device), ` ${what.join("; ")}: ${why}`))));
  }
  if (part.childElementCount === 1) part.append(h("p", {}, "Nothing: every figure that was wanted is there."));
  return part;
}

const FACTS: [string, (result: Result) => string][] = [
  ["Processors", ({ report }) => count(report.machine.threads)],
  ["Last cache", ({ report }) => size(report.machine.last_cache_bytes)],
  ["Memory", ({ report }) => size(report.machine.memory_bytes)],
  ["Kernel", ({ report }) => report.machine.kernel || "unknown"],
  ["Energy", ({ report }) => report.machine.energy],
  ["Ebbline", ({ report }) => report.version],
  ["Run", ({ report }) => `${report.quick ? "quick, " : ""}${count(report.wall_seconds)} of ${plural(report.budget_seconds, "second", "seconds")}${report.stopped ? ", stopped" : ""}`],
  ["Rows", ({ report }) => `batches of ${count(report.rows)} at most, seed ${count(report.seed)}`],
  ["Peak memory", ({ report }) => `${size(report.peak_memory_bytes)} of the process, without that of adapters`],
];

export function machines(results: Result[]): HTMLElement {
  const heads = ["", ...results.map(({ name }, at) => name ?? (results.length > 1 ? `Result ${at + 1}` : "This run"))];
  const rows = FACTS.map(([name, of]) => [name, ...results.map(of)]);
  return h("section", { id: "machine" }, h("h2", {}, results.length > 1 ? "Machines" : "Machine"), wide("Machine", table("Where and how", heads, [], rows)));
}

const TERMS: [string, string][] = [
  ["rows/s", "Rows a second: medians of several runs; ± is half of the range of all runs. The rows are made up, alike from one seed, as process trees of 64 hosts."],
  [`${STREAMING}, ${RANDOM}, ${COPY_TO}, ${COPY_BACK}`, "The limits: what memory gives at most, the best of three on the same device in the same run. Look-ups are random reads: their share says how much of the memory is used."],
  [KERNEL, "Scoring, from codes to scores, by the clock of the device where it has one, else the whole call."],
  [ARROW, "Scoring, from columns in memory to scores in memory, with copies to the device and back."],
  [BATCHES, "Scoring from codes by rows of a batch, copies included: from where on a device is as fast as the CPU."],
  [LEARNING, "Counting cells, which a baseline is made of."],
  [`${READING}, ${TO_BASELINE}, ${TO_PARQUET}`, "Files of a generated archive: reading their columns alone, what “ebbline learn” does, and what “ebbline score” does, from files to scores in files."],
  ["views, table", "How many questions the model asks of a row, and how large the table is that answers them. A table that fits into caches is fast on any device."],
  ["software", "A driver that computes on the CPU. It shows that the way over a GPU gives the same bits, and says nothing about GPUs; auto never chooses it."],
];

export function about(version: string): HTMLElement {
  const notices = document.getElementById("notices")?.textContent ?? "";
  return h(
    "section",
    { id: "about" },
    h("h2", {}, "How to read this"),
    h("dl", { class: "terms" }, ...TERMS.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
    h("p", {}, `Written by ebbline ${version}. This file needs no network and sends nothing. It names the machine's processor, devices, drivers and kernel.`),
    fold("Notices of what this page is built from", h("pre", { tabindex: 0 }, notices.trim())),
  );
}
