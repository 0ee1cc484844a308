// Rates against the size of the table, under the limits of the same run: all in rows/s, so that the lowest line binds.

import type uPlot from "uplot";
import { axes, chart, colour } from "../charts";
import { count, fold, h, plural, table, wide } from "../dom";
import { type Score, type Subject, good, sorted } from "./data";
import { ARROW, COPY_BACK, COPY_TO, KERNEL, RANDOM, STREAMING } from "./names";
import { type Words, labels, legend, logarithmic, places, rates, upwards } from "./style";
import { perSecond, percent, rate, size, spread } from "./units";

interface Line {
  label: string;
  /** Of a limit, what is beside its line. */
  limit?: string;
  of: (score: Score) => number | null;
  series: () => Partial<uPlot.Series>;
}

/** What was reached, divided by its share: the limit in the unit of what was reached. */
const limit = (reached: number, share: number | null) => (good(reached) !== null && good(share) !== null ? good(reached / (share as number)) : null);

const faint = (dash: number[]) => () => ({ stroke: colour("--muted"), width: 1, dash, points: { show: false } });

const LINES: Line[] = [
  { label: KERNEL, of: (score) => good(score.kernel_rows_per_s.median), series: () => ({ stroke: colour("--accent"), width: 2, points: { show: true, size: 7, fill: colour("--accent") } }) },
  { label: ARROW, of: (score) => good(score.arrow_rows_per_s.median), series: () => ({ stroke: colour("--ink"), width: 1.5, points: { show: true, size: 6, fill: colour("--ink") } }) },
  { label: `limit: ${RANDOM}`, limit: RANDOM, of: (score) => limit(score.kernel_rows_per_s.median, score.share_of_gathers), series: faint([6, 3]) },
  { label: `limit: ${STREAMING}`, limit: STREAMING, of: (score) => limit(score.arrow_rows_per_s.median, score.share_of_stream), series: faint([2, 3]) },
  { label: `limit: ${COPY_BACK}`, limit: COPY_BACK, of: (score) => limit(score.arrow_rows_per_s.median, score.share_of_copies), series: faint([8, 3, 2, 3]) },
];

function one(subject: Subject, views: number, scale: uPlot.Scale): HTMLElement {
  const scores = subject.device.scores.filter((score) => score.views === views && good(score.table_bytes)).sort((a, b) => a.table_bytes - b.table_bytes);
  const at = scores.map((score) => score.table_bytes);
  const lines = LINES.map((line) => ({ ...line, values: scores.map(line.of) })).filter((line) => line.values.some((n) => n !== null));
  const across = places(at, size);
  const beside = lines.map(({ label, limit }): Words => {
    if (limit) return { words: [limit], colour: "--muted", above: 4 };
    return label === KERNEL ? { words: scores.map((score) => percent(score.share_of_gathers)), colour: "--accent" } : {};
  });
  const options = () => {
    const [x, y] = axes("size of the table", "rows/s");
    return {
      series: [{ label: "table", value: (_: uPlot, n: number | null) => (n === null ? "" : size(n)) }, ...lines.map((line) => ({ label: line.label, value: rates, ...line.series() }))],
      axes: [{ ...x, ...across.axis }, { ...y, ...upwards }],
      scales: { x: across.scale, y: scale },
      cursor: { drag: { x: false, y: false } },
      plugins: [labels(beside)],
      legend: legend(["solid", "solid", "dashed", "dotted", "dashed"]),
    };
  };
  const words = `${subject.label}, ${plural(views, "view", "views")}: rows/s by size of the table, under their limits. The table below has the numbers.`;
  return h("figure", {}, h("figcaption", {}, h("b", {}, plural(views, "view", "views"))), chart(words, options, [at, ...lines.map((line) => line.values)] as uPlot.AlignedData, 250));
}

function numbers({ label, device }: Subject): HTMLElement {
  const rows = device.scores.map((score) => [
    count(score.views), size(score.table_bytes), count(score.rows),
    spread(score.kernel_rows_per_s), score.timed_by, percent(score.share_of_gathers),
    spread(score.arrow_rows_per_s), percent(score.share_of_stream), percent(score.share_of_copies),
    score.joules_per_million_rows === null ? "–" : score.joules_per_million_rows.toFixed(1),
  ]);
  const heads = ["views", "table", "rows", KERNEL, "by the clock of the", `of ${RANDOM}`, ARROW, `of ${STREAMING}`, `of ${COPY_BACK}`, "J a million rows"];
  return wide(`Scoring on ${label}`, table(`${label}: scoring, rows/s, median ± half of the range of all runs`, heads, heads.map((_, at) => at !== 4), rows));
}

function memory({ label, device }: Subject): HTMLElement {
  const rows = device.limits.map((at) => [size(at.table_bytes), size(at.buffer_bytes), perSecond(at.stream_bytes_per_s), `${rate(at.gathers_per_s)}/s`, perSecond(at.up_bytes_per_s), perSecond(at.down_bytes_per_s)]);
  const heads = ["table", "of it read", STREAMING, RANDOM, COPY_TO, COPY_BACK];
  return wide(`Memory of ${label}`, table(`${label}: what memory gives at most, the best of three`, heads, heads.map(() => true), rows));
}

function partOf(subject: Subject): HTMLElement {
  const { device, label } = subject;
  const numbersOf = device.scores.flatMap((score) => LINES.map((line) => line.of(score)));
  const scale = logarithmic(numbersOf);
  const charts = sorted(device.scores.map((score) => score.views)).map((views) => one(subject, views, scale));
  return h("section", {}, h("h3", {}, label), h("div", { class: "grid" }, ...charts), fold("The numbers as tables", numbers(subject), memory(subject)));
}

export function roofline(all: Subject[]): HTMLElement {
  const timed = all.filter((subject) => subject.device.scores.length);
  const part = h("section", { id: "roofline" }, h("h2", {}, "Scoring, under the limits of memory"));
  if (!timed.length) {
    part.append(h("p", {}, "No scoring was timed; what was left out is said below."));
    return part;
  }
  part.append(
    h("p", { class: "muted" }, `Measured lines are solid, limits of the same device in the same run are broken: the lowest one binds. Beside the points of “${KERNEL}”: how much of ${RANDOM} is reached; more than 100 % means that caches answered, or that equal rows were looked up once.`),
    ...timed.map(partOf),
  );
  return part;
}
