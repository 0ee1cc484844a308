// What `ebbline bench` puts into the page: docs/contracts.md §13. Rates are per second, sizes bytes.

export const FORMAT = 1;

/** The middle of several runs, and how far they lay apart. */
export interface Spread {
  median: number;
  least: number;
  most: number;
  runs: number;
}

export interface Limits {
  table_bytes: number;
  buffer_bytes: number;
  stream_bytes_per_s: number;
  gathers_per_s: number;
  up_bytes_per_s: number | null;
  down_bytes_per_s: number | null;
}

export interface Score {
  views: number;
  table_bytes: number;
  rows: number;
  kernel_rows_per_s: Spread;
  timed_by: string;
  lookups_per_s: number;
  share_of_gathers: number;
  lookups_done?: number | null;
  arrow_rows_per_s: Spread;
  share_of_stream: number;
  share_of_copies: number | null;
  joules_per_million_rows: number | null;
}

export interface Device {
  name: string;
  kind: "cpu" | "hardware" | "software";
  details: string;
  identity: { cases: number; rows: number } | null;
  limits: Limits[];
  scores: Score[];
  batches: { rows: number; rows_per_s: Spread }[];
  crossover_rows: number | null;
  learn: { views: number; rows: number; rows_per_s: Spread; share_of_gathers: number }[];
  files: { rows: number; read_rows_per_s: Spread; learn_rows_per_s: Spread | null; score_rows_per_s: Spread; share_of_read: number } | null;
}

export interface LeftOut {
  device: string;
  what: string;
  why: string;
}

export interface Report {
  format: number;
  version: string;
  quick: boolean;
  seed: number;
  rows: number;
  budget_seconds: number;
  wall_seconds: number;
  stopped: boolean;
  peak_memory_bytes: number | null;
  machine: { threads: number; last_cache_bytes: number; memory_bytes: number | null; kernel: string; energy: string };
  devices: Device[];
  left_out: LeftOut[];
}

export interface Result {
  name: string | null;
  report: Report;
}

export interface Results {
  format: number;
  version: string;
  results: Result[];
}

/** A device of a result, under a name that no other has. */
export interface Subject {
  label: string;
  device: Device;
  result: Result;
  /** Its number on this page, from 1. */
  number: number;
  /** Which one of its kind, from 0. */
  nth: number;
}

/** A name without what drivers put in parentheses, with what must be known of it. */
export function nameOf(device: Device): string {
  const short = device.name.split(" (")[0] || device.name;
  return device.kind === "software" ? `${short}, software` : short;
}

export function subjects(results: Result[]): Subject[] {
  const known = new Map<string, number>();
  const nth = new Map<string, number>();
  const next = (of: Map<string, number>, key: string) => {
    of.set(key, (of.get(key) ?? -1) + 1);
    return of.get(key) ?? 0;
  };
  return results.flatMap((result) =>
    result.report.devices.map((device) => {
      const plain = result.name === null || results.length === 1 ? nameOf(device) : `${result.name}: ${nameOf(device)}`;
      const twin = next(known, plain);
      return { label: twin ? `${plain} #${twin + 1}` : plain, device, result, number: next(known, "") + 1, nth: next(nth, device.kind) };
    }),
  );
}

/** A number that can be drawn where there is no zero. */
export function good(n: number | null | undefined): number | null {
  return typeof n === "number" && Number.isFinite(n) && n > 0 ? n : null;
}

/** Each once, in order. */
export function sorted(numbers: number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** The score of so many views with the largest table. */
export function widest(device: Device, views: number): Score | undefined {
  const all = device.scores.filter((score) => score.views === views);
  return all.sort((a, b) => b.table_bytes - a.table_bytes)[0];
}

/** The data block of this page. */
export function load(): Results {
  const block = document.getElementById("data");
  if (!block?.textContent) throw new Error("the page has no data");
  const results = JSON.parse(block.textContent) as Results;
  if (results.format !== FORMAT) throw new Error(`the data have format ${results.format}, the page reads ${FORMAT}`);
  return results;
}
