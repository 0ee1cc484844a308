// What `ebbline report` puts into the page: docs/contracts.md §11. Times are RFC 3339 texts, UTC.

export const FORMAT = 1;

export interface Report {
  format: number;
  version: string;
  source: string;
  from: string | null;
  until: string | null;
  expected_per_day: number | null;
  last_7_days: number | null;
  findings: number;
  coverage: Gap[];
  incidents: { total: number; shown: Incident[] };
  axis: Axis | null;
  volume: { table: string; rows: number[] }[];
  scores: { table: string; rows: number; counts: number[] }[];
  hosts: { total: number; shown: Host[] };
  talk: Talk;
}

/** Steps of equal length from a moment: what a place in a list of numbers is about. */
export interface Axis {
  since: string;
  step_s: number;
  steps: number;
}

export interface Gap {
  kind: string;
  host: string | null;
  text: string;
  since: string | null;
  until: string | null;
}

export interface Row {
  file: string;
  row: number;
}

export interface Sentence {
  text: string;
  rows: Row[];
}

export interface Step extends Sentence {
  time: string;
  host: string;
}

export interface Technique {
  id: string;
  why: string;
  rows: Row[];
}

export interface Narrative {
  title: Sentence[];
  summary: Sentence[];
  timeline: Step[];
  root: Sentence[];
  reasons: Sentence[];
  links: Sentence[];
  harmless: Sentence[];
  checks: Sentence[];
  techniques: Technique[];
  /** All rows that these name; the first is number 1. */
  evidence: Row[];
}

/** A reason with its numbers: n of N times in the context, among T distinct values. */
export interface Reason {
  bits: number;
  value: string;
  context: string;
  words: string;
  n: number;
  N: number;
  T: number;
  scope: string;
  view: string;
  rows: Row[];
}

export interface GraphNode {
  kind: "process" | "destination" | "name";
  host: string;
  label: string;
  detail: string;
  time: string | null;
  bits: number;
}

export interface GraphEdge {
  from: number;
  to: number;
  kind: string;
}

export interface Incident {
  rank: number;
  id: string;
  aliases: string[];
  first: string;
  last: string;
  hosts: string[];
  title: string;
  bits: number;
  log2_n: number;
  one_in: number;
  steps: number;
  findings: string[];
  root: { host: string | null; key: string | null };
  links: { from: string; to: string; kind: string; value: string; seen: number; of: number }[];
  /** What somebody said of it: in a word, and whole. */
  feedback: { word: string; words: string } | null;
  narrative: Narrative;
  reasons: Reason[];
  graph: { nodes: GraphNode[]; edges: GraphEdge[]; others: number };
}

/** Per step: rows, whether the agent said that it lives, events lost. */
export interface Host {
  host: string;
  rows: number[];
  beats: number[];
  lost: number[];
}

export interface Talk {
  new_since: string | null;
  total: number;
  connections: number;
  crowded: boolean;
  shown: Pair[];
}

/** Program and destination. */
export interface Pair {
  host: string;
  exe: string;
  remote: string;
  port: number | null;
  protocol: string;
  connections: number;
  first: string;
  last: string;
  is_new: boolean;
  log2_n: number | null;
}

/** The data block of this page. */
export function load(): Report {
  const block = document.getElementById("data");
  if (!block?.textContent) throw new Error("the page has no data");
  const report = JSON.parse(block.textContent) as Report;
  if (report.format !== FORMAT) throw new Error(`the data have format ${report.format}, the page reads ${FORMAT}`);
  return report;
}
