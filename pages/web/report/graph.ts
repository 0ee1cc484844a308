// Lineage and who talks to whom: laid out by dagre, drawn as SVG.

import { Graph, layout } from "@dagrejs/dagre";
import type { GraphNode, Incident } from "./data";
import { bits, clock, cut, fold, h, leaf, plural, svg, visible, wide } from "../dom";

export interface Box {
  id: string;
  lines: string[];
  /** What stands out. */
  marked: boolean;
  round: boolean;
  /** In a column of its own kind all are as wide as the widest. */
  even?: boolean;
  title: string;
}

export interface Arrow {
  from: string;
  to: string;
  marked: boolean;
  /** Pixels. */
  width: number;
  label?: string;
}

const LINE = 15;
/** Widths of letters: of names, and below. */
const LETTERS = [7.4, 6];
/** Wider pictures are scaled down to this before they are moved sideways. */
const LEAST_SCALE = 0.72;

/** Boxes from left to right, with arrows between them. */
export function draw(name: string, boxes: Box[], arrows: Arrow[], gap: number): SVGElement {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "LR", nodesep: 10, ranksep: gap, marginx: 2, marginy: 2 });
  graph.setDefaultEdgeLabel(() => ({}));
  const widest = (round: boolean) => Math.max(0, ...boxes.filter((box) => box.round === round).map(widthOf));
  for (const box of boxes) graph.setNode(box.id, { width: box.even ? widest(box.round) : widthOf(box), height: heightOf(box) });
  arrows.forEach((arrow, at) => graph.setEdge(arrow.from, arrow.to, labelled(arrow, gap), `${at}`));
  layout(graph);
  const size = graph.graph() as { width?: number; height?: number };
  const [width, height] = [Math.ceil(size.width ?? 0), Math.ceil(size.height ?? 0)];
  const picture = svg("svg", { class: "graph", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": name });
  picture.style.minWidth = `${Math.round(width * LEAST_SCALE)}px`;
  arrows.forEach((arrow, at) => picture.append(line(arrow, graph.edge(arrow.from, arrow.to, `${at}`) as unknown as Path)));
  for (const box of boxes) picture.append(drawn(box, graph.node(box.id) as unknown as Place));
  return picture;
}

/** Room for a label that is wider than the gap. */
function labelled(arrow: Arrow, gap: number): { width?: number; height?: number; labelpos?: "c" } {
  const width = 6 * (arrow.label?.length ?? 0) + 12;
  return arrow.label && width > gap ? { width, height: LINE, labelpos: "c" } : {};
}

interface Place {
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Path {
  points: { x: number; y: number }[];
}

function widthOf(box: Box): number {
  return Math.max(80, (box.round ? 34 : 22) + Math.max(...box.lines.map((text, at) => text.length * (LETTERS[Math.min(at, 1)] ?? 0))));
}

function heightOf(box: Box): number {
  return 12 + LINE * box.lines.length;
}

function drawn(box: Box, at: Place): SVGElement {
  const [left, top] = [at.x - at.width / 2, at.y - at.height / 2];
  const text = (line: string, n: number) => svg("text", { x: left + (box.round ? 17 : 11), y: top + 18 + n * LINE, class: n ? "sub" : "name" }, line);
  return svg(
    "g",
    { class: box.marked ? "box marked" : "box" },
    svg("title", {}, box.title),
    svg("rect", { x: left, y: top, width: at.width, height: at.height, rx: box.round ? at.height / 2 : 4 }),
    ...box.lines.map(text),
  );
}

function line(arrow: Arrow, path: Path): SVGElement {
  const [first, ...rest] = path.points;
  if (!first) return svg("g");
  const last = rest[rest.length - 1] ?? first;
  const middle = (first.x + last.x) / 2;
  const bend = rest.length > 2 ? rest.slice(0, -1) : [];
  const over = bend.map((p) => `L${p.x},${p.y}`).join("");
  const d =
    rest.length <= 2
      ? `M${first.x},${first.y}C${middle},${first.y} ${middle},${last.y} ${last.x},${last.y}`
      : `M${first.x},${first.y}${over}L${last.x},${last.y}`;
  const tip = `M${last.x - 6},${last.y - 4}L${last.x},${last.y}L${last.x - 6},${last.y + 4}`;
  const stroke = svg("path", { d, class: "line", "stroke-width": arrow.width });
  const label = arrow.label && svg("text", { x: middle, y: (first.y + last.y) / 2 - 5, class: "arrow" }, arrow.label);
  return svg("g", { class: arrow.marked ? "edge marked" : "edge" }, stroke, svg("path", { d: tip, class: "tip" }), label || null);
}

/** Where it came from and what it reached; the same as a list, for whoever cannot see it. */
export function lineage(graph: Incident["graph"], id: string): HTMLElement {
  const hosts = new Set(graph.nodes.map((node) => node.host));
  const boxes = graph.nodes.map((node, at) => box(node, at, hosts.size > 1));
  const arrows = graph.edges.map((edge) => ({
    from: `${edge.from}`,
    to: `${edge.to}`,
    marked: (graph.nodes[edge.to]?.bits ?? 0) > 0,
    width: 1.25,
    label: edge.kind === "started" ? "" : edge.kind,
  }));
  const processes = graph.nodes.filter((node) => node.kind === "process").length;
  const name = `Lineage of incident ${id}: ${plural(processes, "process", "processes")}, ${plural(graph.edges.length, "step", "steps")}; the list below says the same`;
  const said = graph.edges.map((edge) => {
    const [from, to] = [graph.nodes[edge.from], graph.nodes[edge.to]];
    const last = to && to.bits > 0 ? ` (${bits(to.bits)} bits)` : "";
    return h("li", {}, from && to ? `${full(from)} ${edge.kind} ${full(to)}${last}` : "");
  });
  return h(
    "figure",
    {},
    wide("Lineage graph", draw(name, boxes, arrows, 44)),
    h("figcaption", {}, "Processes are boxes, destinations and names are round. Framed: what the findings are about, with the bits of its strongest row.", graph.others ? ` And ${graph.others} others.` : ""),
    said.length > 0 && fold("The graph as a list", h("ul", {}, ...said)),
  );
}

function box(node: GraphNode, at: number, withHost: boolean): Box {
  const name = node.kind === "process" ? leaf(node.label) : node.label;
  const join = (...parts: (string | false | null)[]) => cut(visible(parts.filter(Boolean).join(" · ")), 34);
  const below = [join(node.detail, node.time && clock(node.time)), join(withHost && node.host, node.bits > 0 && `${bits(node.bits)} bits`)];
  return {
    id: `${at}`,
    lines: [cut(visible(name || "unknown"), 26), ...below.filter(Boolean)],
    marked: node.bits > 0,
    round: node.kind !== "process",
    title: full(node),
  };
}

function full(node: GraphNode): string {
  return [node.label || "unknown", node.detail].filter(Boolean).join(", ") + (node.host ? ` on ${node.host}` : "");
}
