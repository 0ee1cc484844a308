// Coverage by host: when there were rows, only heartbeats, or nothing, and where events were lost.

import type { Axis, Host, Report } from "./data";
import { count, h, minute, plural, stacked, svg, table, wide } from "../dom";
import { stepInWords } from "./charts";

const [WIDTH, HEIGHT] = [600, 16];

export function hosts(report: Report): HTMLElement {
  const part = h("section", {}, h("h3", {}, "Hosts"));
  const { axis } = report;
  if (!axis || !report.hosts.shown.length) {
    part.append(h("p", {}, "No host is named in the archive's tables, so nothing is known of coverage by host."));
    return part;
  }
  const lines = report.hosts.shown.map((host) => [host.host, strip(host, axis), count(total(host.rows)), count(total(host.lost)), share(host)]);
  const heads = ["Host", `${minute(axis.since)} to ${minute(end(axis))} UTC, by the ${stepInWords(axis)}`, "Rows", "Events lost", "Seen"];
  const rest = report.hosts.total - report.hosts.shown.length;
  part.append(
    h("p", { class: "legend muted" }, key("rows"), "rows  ", key("beat"), "heartbeats, no rows  ", key("gap"), "nothing seen  ", key("loss"), "events lost"),
    wide("Coverage by host", stacked(table("Coverage by host", heads, [false, false, true, true, true], lines))),
  );
  if (rest > 0) part.append(h("p", { class: "muted" }, `And ${plural(rest, "other host", "other hosts")}.`));
  return part;
}

const end = (axis: Axis) => new Date(Date.parse(axis.since) + axis.steps * axis.step_s * 1000).toISOString();
const total = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

function state(host: Host, at: number): string {
  if (host.lost[at]) return "loss";
  if (host.rows[at]) return "rows";
  return host.beats[at] ? "beat" : "gap";
}

function share(host: Host): string {
  const seen = host.rows.filter((_, at) => state(host, at) !== "gap").length;
  return `${count(seen)} of ${count(host.rows.length)}`;
}

/** Equal neighbours are one stretch. */
function strip(host: Host, axis: Axis): SVGElement {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, class: "strip", preserveAspectRatio: "none", role: "img", "aria-label": `${host.host}: ${share(host)} steps seen, ${count(total(host.lost))} events lost` });
  const wide = WIDTH / axis.steps;
  for (let at = 0; at < axis.steps; ) {
    const kind = state(host, at);
    let end = at + 1;
    while (end < axis.steps && state(host, end) === kind) end += 1;
    if (kind !== "gap") picture.append(svg("rect", { x: at * wide, y: 0, width: Math.max(1, (end - at) * wide), height: HEIGHT, class: kind }));
    at = end;
  }
  return picture;
}

function key(kind: string): SVGElement {
  return svg("svg", { width: 14, height: 12, class: "strip", "aria-hidden": "true" }, kind === "gap" ? null : svg("rect", { width: 14, height: 12, class: kind }));
}
