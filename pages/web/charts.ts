// Charts by uPlot, what all of them have in common: place, colours, axes. Each chart has its numbers as a table beside it.

import uPlot from "uplot";
import { h } from "./dom";

const HEIGHT = 200;
const FONT = "12px system-ui, sans-serif";

interface Drawn {
  plot: uPlot;
  box: HTMLElement;
  height: number;
  make: () => uPlot;
}

const all: Drawn[] = [];

/** Charts that are made when their box has its place. */
const waiting: (() => void)[] = [];

export const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Lines are told apart by dashes, too. */
export const DASHES = [undefined, [6, 3], [2, 3], [8, 3, 2, 3]];

export const legend = { markers: { width: 2, dash: (_: uPlot, at: number) => ["solid", "solid", "dashed", "dotted"][at] ?? "dashed" } };

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Short numbers for axes. */
export const compact = (_: uPlot, ticks: (number | null)[]) => ticks.map((n) => (n === null ? "" : short.format(n)));

/** Across and up. */
export function axes(x: string, y: string): [uPlot.Axis, uPlot.Axis] {
  const common = { stroke: colour("--muted"), font: FONT, labelFont: FONT, labelSize: 20, values: compact };
  const grid = { stroke: colour("--line"), width: 1 };
  return [
    { ...common, grid: { show: false }, ticks: grid, label: x },
    { ...common, grid, ticks: { show: false }, label: y, size: 58 },
  ];
}

/** Powers of ten alone. */
export const powers: uPlot.Axis = {
  splits: (_plot, _axis, least, most) => {
    const from = Math.max(0, Math.ceil(Math.log10(Math.max(least, 1)) - 1e-9));
    return Array.from({ length: Math.max(1, Math.floor(Math.log10(Math.max(most, 1))) - from + 1) }, (_, at) => 10 ** (from + at));
  },
  filter: (_plot, ticks) => ticks,
};

/** A chart that is drawn again when its width or the colours change. */
export function chart(label: string, options: () => Omit<uPlot.Options, "width" | "height">, data: uPlot.AlignedData, height = HEIGHT): HTMLElement {
  const box = h("div", { class: "chart", role: "img", "aria-label": label });
  const make = () => new uPlot({ width: box.clientWidth || 600, height, ...options() }, data, box);
  waiting.push(() => all.push({ plot: make(), box, height, make }));
  return box;
}

function redraw(): void {
  waiting.splice(0).forEach((make) => make());
  for (const one of all) {
    one.plot.destroy();
    one.plot = one.make();
  }
}

export function resize(): void {
  waiting.splice(0).forEach((make) => make());
  for (const { plot, box, height } of all) if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height });
}

/**
 * From now on charts follow the window, the scheme of colours, and whoever prints: on paper all is there, in the colours of paper,
 * as wide as a page, and charts are drawn again. `turn` is told before that, and afterwards. Browsers say that they print by
 * events, by the medium, or by both.
 */
export function follow(turn: (onPaper: boolean) => void): void {
  addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  const classes = document.documentElement.classList;
  const paper = (on: boolean) => {
    if (classes.contains("paper") === on) return;
    turn(on);
    classes.toggle("paper", on);
    redraw();
  };
  const medium = matchMedia("print");
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(medium.matches));
  medium.addEventListener("change", () => paper(medium.matches));
  paper(medium.matches);
}
