// Charts: volume, scores, loss. Each has its numbers as a table below.

import uPlot from "uplot";
import { DASHES, axes, chart, colour, legend, powers } from "../charts";
import { count, day, fold, h, minute, plural, table } from "../dom";
import type { Axis, Report } from "./data";

/** The time of day, and the day below where it is another. */
function moments(_: uPlot, ticks: number[]): string[] {
  let before = "";
  return ticks.map((tick) => {
    const time = new Date(tick * 1000).toISOString();
    const fresh = day(time) !== before;
    before = day(time);
    return fresh ? `${time.slice(11, 16)}\n${before}` : time.slice(11, 16);
  });
}

/** Across is time. */
function timed(y: string): uPlot.Axis[] {
  const [across, up] = axes("time, UTC", y);
  return [{ ...across, values: moments }, up];
}

const times = (axis: Axis) => Array.from({ length: axis.steps }, (_, at) => Date.parse(axis.since) / 1000 + at * axis.step_s);
const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

export function stepInWords(axis: Axis): string {
  const s = axis.step_s;
  const of = (n: number, unit: string) => (n === 1 ? unit : `${count(n)} ${unit}s`);
  if (s % 86400 === 0) return of(s / 86400, "day");
  return s % 3600 === 0 ? of(s / 3600, "hour") : of(s / 60, "minute");
}

const utc = (ts: number) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC");
const isoAt = (axis: Axis, at: number) => new Date(Date.parse(axis.since) + at * axis.step_s * 1000).toISOString();

export function volume(report: Report): HTMLElement {
  const { axis, volume } = report;
  const part = h("section", {}, h("h3", {}, "Volume"));
  if (!axis || !volume.length) {
    part.append(h("p", {}, "No rows of the archive could be read, so there is no volume to show."));
    return part;
  }
  const unit = `rows per ${stepInWords(axis)}`;
  const totals = volume.map((one) => `${one.table} ${count(sum(one.rows))}`).join(", ");
  const stroke = (at: number) => colour(["--accent", "--ink", "--muted", "--muted"][Math.min(at, 3)] ?? "--ink");
  const series = volume.map((one, at): uPlot.Series => ({ label: one.table, stroke: stroke(at), width: 1.5, points: { show: false }, ...(DASHES[at % 4] ? { dash: DASHES[at % 4] } : {}) }));
  const options = () => ({
    tzDate: utc,
    series: [{ label: "UTC", value: (_: uPlot, n: number | null) => (n === null ? "–" : minute(new Date(n * 1000).toISOString())) }, ...series.map((one, at) => ({ ...one, stroke: stroke(at) }))],
    axes: timed(unit),
    legend,
    scales: { y: { range: (_: uPlot, __: number, most: number): [number, number] => [0, Math.max(1, most * 1.05)] } },
    cursor: { drag: { x: false, y: false } },
  });
  const data = [times(axis), ...volume.map((one) => one.rows)] as uPlot.AlignedData;
  const lines = Array.from({ length: axis.steps }, (_, at) => [minute(isoAt(axis, at)), ...volume.map((one) => count(one.rows[at] ?? 0))]);
  part.append(
    h("p", { class: "muted" }, `Rows by table, ${unit}. In all: ${totals}.`),
    // One step is no line.
    ...(axis.steps > 1 ? [] : [h("p", {}, `All of it is within one ${stepInWords(axis)}: there is no course to draw.`)]),
    ...(axis.steps > 1 ? [chart(`Volume, ${unit}. In all: ${totals}. The table below has the numbers.`, options, data)] : []),
    fold("The numbers as a table", table(unit, ["From (UTC)", ...volume.map((one) => one.table)], [false, ...volume.map(() => true)], lines)),
  );
  return part;
}

export function scores(report: Report): HTMLElement {
  const part = h("section", {}, h("h3", {}, "Scores"));
  if (!report.scores.length) {
    part.append(h("p", {}, "No scores of single rows are in this folder."));
    return part;
  }
  const most = Math.max(...report.scores.map((one) => one.counts.length));
  const totals = report.scores.map((one) => `${one.table} ${plural(one.rows, "row", "rows")}`).join(", ");
  const stroke = (at: number) => colour(["--accent", "--ink", "--muted"][Math.min(at, 2)] ?? "--ink");
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const options = () => ({
    series: [
      { label: "bits from" },
      ...report.scores.map((one, at): uPlot.Series => ({ label: one.table, stroke: stroke(at), width: 1.5, points: { show: true, size: 4 }, ...(stepped ? { paths: stepped } : {}), ...(DASHES[at % 4] ? { dash: DASHES[at % 4] } : {}) })),
    ],
    axes: axes("bits", "rows, logarithmic").map((one, at) => (at ? { ...one, ...powers } : one)),
    legend,
    scales: { x: { time: false }, y: { distr: 3 as const, log: 10 as const } },
    cursor: { drag: { x: false, y: false } },
  });
  // No rows have no place on a logarithmic axis.
  const data = [Array.from({ length: most }, (_, at) => at), ...report.scores.map((one) => Array.from({ length: most }, (_, at) => one.counts[at] || null))] as uPlot.AlignedData;
  const lines = Array.from({ length: most }, (_, at) => [`${at} to ${at + 1}`, ...report.scores.map((one) => count(one.counts[at] ?? 0))]);
  part.append(
    h("p", { class: "muted" }, `How many rows got how many bits: the further right, the more unusual. Scored: ${totals}.`),
    chart(`Distribution of scores. Scored: ${totals}. The table below has the numbers.`, options, data),
    fold("The numbers as a table", table("rows by bits", ["Bits", ...report.scores.map((one) => one.table)], [true, ...report.scores.map(() => true)], lines)),
  );
  return part;
}

export function loss(report: Report): HTMLElement {
  const part = h("section", {}, h("h3", {}, "Loss"));
  const { axis } = report;
  const hosts = report.hosts.shown;
  if (!axis || !hosts.some((host) => host.beats.some(Boolean))) {
    part.append(h("p", {}, "The archive has no heartbeats, so nothing says whether events were lost."));
    return part;
  }
  const lost = Array.from({ length: axis.steps }, (_, at) => sum(hosts.map((host) => host.lost[at] ?? 0)));
  if (!sum(lost)) {
    part.append(h("p", {}, `No event was counted as lost, on ${plural(hosts.length, "host", "hosts")}.`));
    return part;
  }
  const unit = `events lost per ${stepInWords(axis)}`;
  const bars = uPlot.paths.bars?.({ size: [0.8, 40] });
  const options = () => ({
    tzDate: utc,
    series: [{ label: "UTC", value: (_: uPlot, n: number | null) => (n === null ? "–" : minute(new Date(n * 1000).toISOString())) }, { label: "events lost", stroke: colour("--accent"), fill: colour("--accent"), points: { show: false }, ...(bars ? { paths: bars } : {}) }],
    axes: timed(unit),
    scales: { y: { range: (_: uPlot, __: number, most: number): [number, number] => [0, Math.max(1, most * 1.05)] } },
    cursor: { drag: { x: false, y: false } },
  });
  const rows = lost.flatMap((n, at) => (n ? [[minute(isoAt(axis, at)), count(n)]] : []));
  part.append(
    h("p", { class: "muted" }, `${plural(sum(lost), "event was", "events were")} lost. A bar stands where the loss was noticed.`),
    ...(axis.steps > 1 ? [chart(`${unit}: ${count(sum(lost))} in all. The table below has the numbers.`, options, [times(axis), lost])] : []),
    fold("The numbers as a table", table(unit, ["From (UTC)", "Events lost"], [false, true], rows)),
  );
  return part;
}
