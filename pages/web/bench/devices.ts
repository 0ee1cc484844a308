// Devices side by side: bars of what each does, from codes, from Arrow, of learning, and with files.

import uPlot from "uplot";
import { axes, chart } from "../charts";
import { count, fold, h, plural, table, wide } from "../dom";
import { type Spread, type Subject, good, sorted, widest } from "./data";
import { ARROW, KERNEL, LEARNING, RANDOM, READING, TO_BASELINE, TO_PARQUET } from "./names";
import { ink, labels, ranges } from "./style";
import { percent, rate, size, spread, tick } from "./units";

/** Bars, and gaps between groups, that fit beside another chart with words above each. */
const SLOTS = 12;

/** A chart of bars: groups across, in each a bar for each device. */
interface Bars {
  title: string;
  groups: string[];
  of: (subject: Subject, group: number) => Spread | null | undefined;
}

function picture({ title, groups, of }: Bars, all: Subject[]): HTMLElement {
  const step = all.length + 1;
  const at = groups.flatMap((_, group) => all.map((_, n) => group * step + n));
  const spreads = all.map((subject, n) => groups.flatMap((_, group) => all.map((_, other) => (other === n ? of(subject, group) : null))));
  const values = spreads.map((line) => line.map((spread) => good(spread?.median)));
  const tops = spreads.map((line) => line.map((spread) => good(spread?.most)));
  const most = Math.max(1, ...values.flat().map((n) => n ?? 0), ...tops.flat().map((n) => n ?? 0));
  const middle = Math.floor((all.length - 1) / 2);
  /** Below each bar its number, and below those of a group what they are of. */
  const words = (n: number) => `${all[n % step]?.number ?? ""}${n % step === middle ? `\n${groups[Math.floor(n / step)] ?? ""}` : ""}`;
  const bars = uPlot.paths.bars?.({ size: [0.8, 44] });
  const options = () => {
    const [x, y] = axes("", "rows/s");
    return {
      series: [
        {},
        ...all.map((subject): uPlot.Series => ({ label: `${subject.number} ${subject.label}`, stroke: ink(subject), fill: ink(subject), points: { show: false }, ...(bars ? { paths: bars } : {}) })),
      ],
      axes: [{ ...x, labelSize: 0, ticks: { show: false }, splits: () => at, filter: (_: uPlot, ticks: number[]) => ticks, space: 0, size: 44, values: () => at.map(words) }, { ...y, values: (_: uPlot, ticks: number[]) => ticks.map(tick) }],
      scales: { x: { time: false, range: (): [number, number] => [-1, groups.length * step - 1] }, y: { range: (): [number, number] => [0, most * 1.15] } },
      cursor: { show: false },
      legend: { live: false },
      plugins: [ranges(spreads, true), labels(values.map((line, n) => ({ words: line.map((n) => (n === null ? null : rate(n))), above: 5, at: tops[n] ?? [] })), 1)],
    };
  };
  const label = `${title}: rows/s of ${plural(all.length, "device", "devices")}. The tables below have the numbers.`;
  return h("figure", {}, h("figcaption", {}, h("b", {}, title)), chart(label, options, [at, ...values] as uPlot.AlignedData, 230));
}

function charts(all: Subject[]): Bars[] {
  const views = sorted(all.flatMap(({ device }) => device.scores.map((score) => score.views)));
  const learned = sorted(all.flatMap(({ device }) => device.learn.map((learn) => learn.views)));
  const words = (n: number) => plural(n, "view", "views");
  const files: [string, (subject: Subject) => Spread | null | undefined][] = [
    [TO_BASELINE, ({ device }) => device.files?.learn_rows_per_s],
    [TO_PARQUET, ({ device }) => device.files?.score_rows_per_s],
  ];
  const kinds: Bars[] = [
    { title: `${KERNEL}, with the largest table`, groups: views.map(words), of: (subject, group) => widest(subject.device, views[group] ?? 0)?.kernel_rows_per_s },
    { title: `${ARROW}, with the largest table`, groups: views.map(words), of: (subject, group) => widest(subject.device, views[group] ?? 0)?.arrow_rows_per_s },
    { title: `${LEARNING}: counting cells`, groups: learned.map(words), of: (subject, group) => subject.device.learn.find((learn) => learn.views === learned[group])?.rows_per_s },
    { title: "files", groups: files.map(([name]) => name), of: (subject, group) => files[group]?.[1](subject) },
  ];
  return kinds.filter(({ groups, of }) => groups.some((_, group) => all.some((subject) => good(of(subject, group)?.median) !== null)));
}

function filesOf(all: Subject[]): HTMLElement | null {
  const rows = all.flatMap(({ label, device: { files } }) => (files ? [[label, count(files.rows), spread(files.read_rows_per_s), spread(files.learn_rows_per_s), spread(files.score_rows_per_s), percent(files.share_of_read)]] : []));
  const heads = ["device", "rows", READING, TO_BASELINE, TO_PARQUET, `of ${READING}`];
  return rows.length ? wide("Files", table("Files, rows/s", heads, heads.map((_, at) => at > 0), rows)) : null;
}

function learnedBy(all: Subject[]): HTMLElement | null {
  const rows = all.flatMap(({ label, device }) => device.learn.map((learn) => [label, count(learn.views), count(learn.rows), spread(learn.rows_per_s), percent(learn.share_of_gathers)]));
  const heads = ["device", "views", "rows", "rows/s", `cells of ${RANDOM}`];
  return rows.length ? wide("Learning", table(`Counting cells: ${LEARNING}`, heads, heads.map((_, at) => at > 0), rows)) : null;
}

function scored(all: Subject[]): HTMLElement {
  const rows = all.flatMap(({ label, device }) =>
    sorted(device.scores.map((score) => score.views)).flatMap((views) => {
      const score = widest(device, views);
      return score ? [[label, count(views), size(score.table_bytes), spread(score.kernel_rows_per_s), spread(score.arrow_rows_per_s)]] : [];
    }),
  );
  const heads = ["device", "views", "table", KERNEL, ARROW];
  return wide("Scoring", table("Scoring with the largest table, rows/s", heads, heads.map((_, at) => at > 0), rows));
}

export function devices(subjects: Subject[]): HTMLElement {
  const part = h("section", { id: "devices" }, h("h2", {}, "Devices side by side"));
  const all = subjects.filter(({ device }) => device.scores.length || device.files || device.learn.length);
  if (!all.length) {
    part.append(h("p", {}, "Nothing was timed; what was left out is said below."));
    return part;
  }
  const drawn = charts(all);
  const many = drawn.some(({ groups }) => groups.length * (all.length + 1) > SLOTS);
  part.append(
    h("p", { class: "muted" }, "Rows/s: medians, and lines from the slowest to the fastest run. Bars have the numbers of the devices above. With the largest table that each device was measured with. Files have the lenses of their tables; a baseline is learned by the CPU."),
    h("div", { class: many ? "grid single" : "grid" }, ...drawn.map((bars) => picture(bars, all))),
    fold("The numbers as tables", scored(all), learnedBy(all), filesOf(all)),
  );
  return part;
}
