// Rates by the size of a batch, and from where on a device is as fast as the CPU.

import type uPlot from "uplot";
import { axes, chart, colour } from "../charts";
import { count, fold, h, plural, table, wide } from "../dom";
import { type Subject, good, sorted } from "./data";
import { BATCHES } from "./names";
import { dash, dashName, ink, labels, legend, logarithmic, places, ranges, rates, upwards } from "./style";
import { spread } from "./units";

const of = (subject: Subject, rows: number) => subject.device.batches.find((batch) => batch.rows === rows)?.rows_per_s;

function picture(all: Subject[], sizes: number[]): HTMLElement {
  const spreads = all.map((subject) => sizes.map((rows) => of(subject, rows)));
  const values = spreads.map((line) => line.map((spread) => good(spread?.median)));
  // One of them alone marks the point: they are on the lines of their devices.
  const marks = sizes.map((rows, at) => {
    const here = all.flatMap((subject, n) => (subject.device.crossover_rows === rows ? [values[n]?.[at] ?? null] : []));
    return here.find((n) => n !== null) ?? null;
  });
  // At its last point each line has the number of its device.
  const ends = all.map((subject, n) => {
    const last = values[n]?.reduce((known, value, at) => (value === null ? known : at), -1);
    return { words: sizes.map((_, at) => (at === last ? String(subject.number) : null)) };
  });
  const marked = marks.some((n) => n !== null);
  const across = places(sizes, count);
  const options = () => {
    const [x, y] = axes("rows of a batch", "rows/s");
    const mark: uPlot.Series = { label: "crossover", value: rates, stroke: colour("--accent"), width: 0, paths: () => null, points: { show: true, size: 15, width: 2.5, fill: "transparent", stroke: colour("--accent") } };
    return {
      series: [
        { label: "rows", value: (_: uPlot, n: number | null) => (n === null ? "" : count(n)) },
        ...all.map((subject): uPlot.Series => ({ label: `${subject.number} ${subject.label}`, value: rates, stroke: ink(subject), width: 1.75, spanGaps: true, points: { show: true, size: 5, fill: ink(subject) }, ...dash(subject) })),
        ...(marked ? [mark] : []),
      ],
      axes: [{ ...x, ...across.axis }, { ...y, ...upwards }],
      scales: { x: across.scale, y: logarithmic(spreads.flat().flatMap((spread) => [good(spread?.median), good(spread?.least), good(spread?.most)])) },
      cursor: { drag: { x: false, y: false } },
      legend: legend(all.map(dashName)),
      plugins: [ranges(spreads, false), labels([...ends, ...(marked ? [{ words: marks.map((n, at) => (n === null ? null : `from ${count(sizes[at] ?? 0)} rows`)), colour: "--accent", above: 13 }] : [])])],
    };
  };
  const data = [sizes, ...values, ...(marked ? [marks] : [])] as uPlot.AlignedData;
  return chart(`Rows/s by rows of a batch, of ${plural(all.length, "device", "devices")}. The table below has the numbers.`, options, data, 280);
}

/** In words, of each that is no CPU. */
function crossings(all: Subject[]): string[] {
  const compared = all.filter(({ device, result }) => device.kind !== "cpu" && result.report.devices.some((other) => other.kind === "cpu" && other.batches.length));
  return compared.map(({ label, device }) => {
    if (device.crossover_rows !== null) return `${label} is at least as fast as the CPU from ${plural(device.crossover_rows, "row", "rows")} on.`;
    return `${label} does not stay as fast as the CPU at any of these sizes.`;
  });
}

export function batches(subjects: Subject[]): HTMLElement {
  const all = subjects.filter((subject) => subject.device.batches.length);
  const part = h("section", { id: "batches" }, h("h2", {}, `Scoring in ${BATCHES}`));
  const sizes = sorted(all.flatMap((subject) => subject.device.batches.map((batch) => batch.rows))).filter((n) => good(n) !== null);
  if (!sizes.length) {
    part.append(h("p", {}, "No batches were timed; what was left out is said below."));
    return part;
  }
  const lines = sizes.map((rows) => [count(rows), ...all.map((subject) => spread(of(subject, rows)))]);
  const heads = ["Rows of a batch", ...all.map((subject) => subject.label)];
  part.append(
    h("p", { class: "muted" }, "From codes to scores, copies to the device and back included, with the first number of views and the smallest table. Lines across the points go from the slowest to the fastest run. A ring marks from where on a device stays at least as fast as the CPU."),
    ...crossings(all).map((text) => h("p", {}, text)),
    picture(all, sizes),
    fold("The numbers as a table", wide(BATCHES, table("Rows/s by rows of a batch", heads, heads.map(() => true), lines))),
  );
  return part;
}
