// Results by the contract, made up: for looking at the page and for its check. Nothing random, so that runs are equal.

import { NASTY } from "./report.mjs";

const VIEWS = [8, 128];
const TABLES = [2 ** 22, 2 ** 28];
const BATCHES = [256, 1024, 4096, 16384, 65536];

const spread = (median) => ({ median, least: median * 0.94, most: median * 1.05, runs: 9 });

/** A device that is so many times as fast as a CPU in large batches, and answers after so many seconds. */
function device(name, kind, { times, wait, details }) {
  const isCpu = kind === "cpu";
  const rate = (rows, views) => rows / (wait + (rows * views) / (24e6 * times));
  const limits = TABLES.map((bytes, at) => ({
    table_bytes: bytes, buffer_bytes: bytes, stream_bytes_per_s: 1.2e10 * times, gathers_per_s: (at ? 5e7 : 4e8) * times,
    up_bytes_per_s: isCpu ? null : 6e9, down_bytes_per_s: isCpu ? null : 5e9,
  }));
  const scores = VIEWS.flatMap((views) => TABLES.map((bytes, at) => {
    const kernel = rate(65536, views) / (at ? 2 : 1);
    const lookups = kernel * views * 2.4;
    return {
      views, table_bytes: bytes, rows: 65536, kernel_rows_per_s: spread(kernel), timed_by: isCpu ? "host" : "device",
      lookups_per_s: lookups, share_of_gathers: lookups / limits[at].gathers_per_s, arrow_rows_per_s: spread(kernel * 0.6),
      share_of_stream: (kernel * 0.6 * 108) / limits[at].stream_bytes_per_s,
      share_of_copies: isCpu ? null : (kernel * 0.6 * 18) / 5e9, joules_per_million_rows: isCpu && at ? 12.5 : null,
    };
  }));
  return {
    name, kind, details, identity: { cases: isCpu ? 29 : 8, rows: 41_000 }, limits, scores,
    batches: BATCHES.map((rows) => ({ rows, rows_per_s: spread(rate(rows, 8)) })), crossover_rows: null,
    learn: VIEWS.map((views) => ({ views, rows: 65536, rows_per_s: spread(rate(65536, views) * 0.7), share_of_gathers: 0.3 })),
    files: {
      rows: 131_072, read_rows_per_s: spread(9e6), learn_rows_per_s: isCpu ? spread(310_000) : null,
      score_rows_per_s: spread(rate(65536, 8) * 0.3), share_of_read: 0.08,
    },
  };
}

/** From where on the second stays as fast as the first. */
function crossover(cpu, card) {
  const slower = card.batches.map((batch, at) => batch.rows_per_s.median < cpu.batches[at].rows_per_s.median).lastIndexOf(true);
  return card.batches[slower + 1]?.rows ?? null;
}

/** A run; with a card, so many times as fast as the CPU, and with one whose scores are wrong. */
export function result({ card, wrong = false, seed = 1 }) {
  const cpu = device("cpu", "cpu", { times: 1, wait: 2e-5, details: `Made Up CPU, 16 threads ${NASTY}` });
  const program = device("llvmpipe (LLVM 19.1.7, 256 bits)", "software", { times: 0.05, wait: 4e-3, details: "vulkan, llvmpipe 25.0.7" });
  const devices = [cpu, program];
  const left_out = [];
  if (card) {
    const made = device("Made Up RTX 9", "hardware", { times: card, wait: 1.5e-3, details: "vulkan, made-up 999.1" });
    made.crossover_rows = crossover(cpu, made);
    if (wrong) {
      Object.assign(made, { identity: null, limits: [], scores: [], batches: [], crossover_rows: null, learn: [], files: null });
      left_out.push({ device: made.name, what: "identity", why: `differs from the CPU: case 3, row 17 ${NASTY}; nothing of it is timed` });
    }
    devices.splice(1, 0, made);
  }
  return {
    name: null,
    report: {
      format: 1, version: "0.1.0", quick: true, seed, rows: 65536, budget_seconds: 50, wall_seconds: 41.5, stopped: false, peak_memory_bytes: 3e8,
      machine: { threads: 16, last_cache_bytes: 2 ** 25, memory_bytes: 2 ** 36, kernel: "6.12.0-made-up", energy: "unknown: /sys/class/powercap: no such file" },
      devices, left_out,
    },
  };
}

/** A run that was stopped before anything was timed, with figures that are none. */
export function empty() {
  const of = result({});
  Object.assign(of.report, { stopped: true, peak_memory_bytes: null, devices: of.report.devices.map((one) => ({ ...one, identity: null, limits: [], scores: [], batches: [], learn: [], files: null })) });
  of.report.left_out = ["identity", "8 views", "files"].map((what) => ({ device: "all", what, why: "stopped before" }));
  return of;
}

/** A run of which no number makes sense. */
export function odd() {
  const of = result({ card: 8 });
  const numbers = [0, -1, 1e308, 5e-324, 2 ** 53, null];
  let at = 0;
  const twist = (value) => {
    if (typeof value === "number") return numbers[at++ % numbers.length];
    if (Array.isArray(value)) return value.map(twist);
    return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, twist(one)])) : value;
  };
  of.report.devices = twist(of.report.devices);
  return of;
}

/** What goes into the page. */
export const sample = (results) => ({ format: 1, version: "0.1.0", results });
