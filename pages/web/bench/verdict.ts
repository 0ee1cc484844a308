// What the figures say, in words, before any of them: whether a GPU is worth it on this machine.

import { count, h, plural } from "../dom";
import { type Device, type Result, type Spread, type Subject, good, nameOf, sorted, widest } from "./data";
import { ARROW, RANDOM, TO_PARQUET } from "./names";
import { percent, rate, size, spread, times } from "./units";

/** As the report writes it (`bench/src/device.rs`). */
const DIFFERS = "differs from the CPU";

interface Said {
  head: string;
  more: string[];
}

/** Batches of a size that both scored, the smallest first. */
function common(cpu: Device, device: Device): { rows: number; one: Spread; other: Spread }[] {
  const pairs = device.batches.flatMap((batch) => {
    const other = cpu.batches.find((known) => known.rows === batch.rows);
    return other && good(batch.rows_per_s.median) && good(other.rows_per_s.median) ? [{ rows: batch.rows, one: batch.rows_per_s, other: other.rows_per_s }] : [];
  });
  return pairs.sort((a, b) => a.rows - b.rows);
}

/** Of batches: from where on, and how much at the end. */
function batches(cpu: Device, device: Device): Said {
  const [name, pairs] = [nameOf(device), common(cpu, device)];
  const [first, last] = [pairs[0], pairs[pairs.length - 1]];
  if (!first || !last) return { head: `Nothing says whether ${name} is faster than your CPU: no batch was timed on both.`, more: [] };
  const from = device.crossover_rows;
  const end = `In batches of ${plural(last.rows, "row", "rows")} ${name} is ${times(last.one, last.other)}.`;
  if (from === null) {
    const always = pairs.every(({ one, other }) => one.median < other.median);
    const where = always ? `in batches of every size that was tried, ${count(first.rows)} to ${plural(last.rows, "row", "rows")}` : `in the largest batches that were tried, ${plural(last.rows, "row", "rows")}`;
    return { head: `Your CPU is faster for this than ${name}, ${where}.`, more: [end] };
  }
  if (from <= first.rows) return { head: `${name} is at least as fast as your CPU in batches of every size that was tried, from ${plural(first.rows, "row", "rows")} on.`, more: [end] };
  return { head: `For batches of ${plural(from, "row", "rows")} or more ${name} is faster; for smaller ones your CPU is.`, more: [end] };
}

/** Of the widest lens and the largest table that both scored, from Arrow to scores; then from file to file. */
function whole(cpu: Device, device: Device): string[] {
  const [name, lines] = [nameOf(device), [] as string[]];
  const views = sorted(device.scores.map((score) => score.views)).reverse();
  const pair = views.map((n) => [widest(device, n), widest(cpu, n)]).find(([one, other]) => one && other && one.table_bytes === other.table_bytes);
  const [one, other] = pair ?? [];
  if (one && other) {
    lines.push(`${ARROW}, with ${plural(one.views, "view", "views")} and a table of ${size(one.table_bytes)}: ${name} ${rate(one.arrow_rows_per_s.median)} rows/s, the CPU ${rate(other.arrow_rows_per_s.median)} rows/s: ${times(one.arrow_rows_per_s, other.arrow_rows_per_s)}.`);
  }
  if (device.files && cpu.files) {
    lines.push(`${TO_PARQUET}: ${name} ${rate(device.files.score_rows_per_s.median)} rows/s, the CPU ${rate(cpu.files.score_rows_per_s.median)} rows/s: ${times(device.files.score_rows_per_s, cpu.files.score_rows_per_s)}.`);
  }
  return lines;
}

/** How much of what memory gives is used, with the largest table. */
function reached(device: Device): string[] {
  const largest = Math.max(0, ...device.scores.map((score) => score.table_bytes));
  const shares = sorted(device.scores.filter((score) => score.table_bytes === largest).map((score) => score.share_of_gathers).filter((share) => good(share) !== null));
  const [least, most] = [shares[0], shares[shares.length - 1]];
  if (least === undefined || most === undefined) return [];
  const range = percent(least) === percent(most) ? percent(least) : `${percent(least)} to ${percent(most)}`;
  const name = device.kind === "cpu" ? "the CPU" : nameOf(device);
  return [`With a table of ${size(largest)} ${name} makes ${range} of the ${RANDOM} a second that its memory gives${most > 1 ? " (more than 100 %: caches answer, or equal rows are looked up once)" : ""}.`];
}

function software(cpu: Device | undefined, device: Device): string {
  const why = `${nameOf(device)}: a program on the CPU that acts as a GPU. auto never chooses it, and its figures say nothing about GPUs.`;
  if (!cpu?.files || !device.files) return why;
  return `${why} ${TO_PARQUET}: it is ${times(device.files.score_rows_per_s, cpu.files.score_rows_per_s)}.`;
}

/** Of the cards, that which is the fastest in the largest batches speaks first. */
function best(cards: Device[]): Device[] {
  const last = (device: Device) => device.batches[device.batches.length - 1]?.rows_per_s.median ?? 0;
  return [...cards].sort((a, b) => last(b) - last(a));
}

function saidOf({ report }: Result): Said {
  const cpu = report.devices.find((device) => device.kind === "cpu");
  const timed = report.devices.filter((device) => device.identity);
  const cards = best(timed.filter((device) => device.kind === "hardware"));
  const programs = timed.filter((device) => device.kind === "software");
  const own = cpu?.files ? [`${TO_PARQUET}: the CPU scores ${spread(cpu.files.score_rows_per_s)} rows/s.`] : [];
  const ends = [...[...(cpu ? [cpu] : []), ...cards].flatMap(reached), ...programs.map((device) => software(cpu, device))];
  const [card, ...others] = cards;
  const had = report.devices.some((device) => device.kind === "hardware") ? "timed" : "measured";
  if (!card) return { head: cpu?.identity ? `No GPU was ${had} here: your CPU does this work.` : "Nothing was timed that would choose between CPU and GPU.", more: [...own, ...ends] };
  if (!cpu?.identity) return { head: `The CPU was not measured, so nothing says whether ${nameOf(card)} is worth it.`, more: ends };
  const first = batches(cpu, card);
  const rest = others.flatMap((other) => [batches(cpu, other).head, ...whole(cpu, other)]);
  return { head: first.head, more: [...first.more, ...whole(cpu, card), ...rest, ...ends] };
}

/** What must be known before anything is believed. */
function warnings({ report }: Result): string[] {
  const wrong = report.left_out.filter((one) => one.why.startsWith(DIFFERS)).map((one) => `${one.device} gives other scores than the CPU, and must not be used: ${one.what}: ${one.why}.`);
  return [...new Set(wrong), ...(report.stopped ? ["Somebody stopped this run: here is what there was until then."] : [])];
}

function fastest(all: Subject[]): string[] {
  const timed = all.filter((one) => good(one.device.files?.score_rows_per_s.median));
  const of = (one: Subject) => one.device.files?.score_rows_per_s.median ?? 0;
  const [first] = timed.sort((a, b) => of(b) - of(a));
  return first ? [`Of all that was measured, ${first.label} is the fastest from ${TO_PARQUET}: ${rate(of(first))} rows/s.`] : [];
}

/** Of several results, in what they differ that makes them hard to compare. */
function differ(results: Result[]): string[] {
  const facts: [string, (result: Result) => string | number | boolean][] = [
    ["version", ({ report }) => report.version], ["seed", ({ report }) => report.seed],
    ["rows of a batch", ({ report }) => report.rows], ["length (--quick or not)", ({ report }) => report.quick],
  ];
  const named = facts.filter(([, of]) => new Set(results.map(of)).size > 1).map(([name]) => name);
  return named.length ? [`These results differ in ${named.join(", ")}: compare them with care.`] : [];
}

export function verdict(results: Result[], all: Subject[]): HTMLElement {
  const part = h("section", { id: "verdict" }, h("h2", {}, "What it says"));
  for (const result of results) {
    const said = saidOf(result);
    const name = results.length > 1 && h("h3", {}, result.name ?? "This run");
    part.append(h("section", {}, name, ...warnings(result).map((text) => h("p", { class: "warning" }, text)), h("p", { class: "verdict" }, said.head), h("ul", {}, ...said.more.map((text) => h("li", {}, text)))));
  }
  if (results.length > 1) part.append(...[...fastest(all), ...differ(results)].map((text) => h("p", {}, text)));
  return part;
}
