// How devices are told apart: colour says what one is, dashes which one of several of its kind.

import uPlot from "uplot";
import { DASHES, colour, powers } from "../charts";
import { type Spread, type Subject, good } from "./data";
import { rate, tick } from "./units";

const COLOURS = { cpu: "--ink", hardware: "--accent", software: "--muted" };

export const ink = (one: Subject) => colour(COLOURS[one.device.kind] ?? "--ink");

export const dash = (one: Subject): Partial<uPlot.Series> => {
  const kind = DASHES[one.nth % DASHES.length];
  return kind ? { dash: kind } : {};
};

/** Of a legend whose lines have these dashes, after the axis across. */
export function legend(names: string[]): uPlot.Legend {
  return { markers: { width: 2, dash: (_, at) => names[at - 1] ?? "solid" } };
}

/** How a browser draws nearly the same. */
export const dashName = (one: Subject) => ["solid", "dashed", "dotted", "dashed"][one.nth % DASHES.length] ?? "solid";

/** In a legend: rates, where the pointer is. */
export const rates = (_: uPlot, n: number | null) => rate(n);

/** A logarithmic scale around all that is drawn, for charts that are to be compared; with two ticks at least. */
export function logarithmic(numbers: (number | null)[]): uPlot.Scale {
  const known = numbers.filter((n): n is number => n !== null);
  let [least, most] = known.length ? [Math.min(...known) / 2, Math.max(...known) * 2] : [1, 10];
  if (!(most / least > 100)) [least, most] = [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(most))];
  return { distr: 3, log: 10, range: (): [number, number] => [least, most] };
}

/** A logarithmic axis across, with a tick at each place that has figures. */
export function places(at: number[], words: (n: number) => string): { scale: uPlot.Scale; axis: Partial<uPlot.Axis> } {
  const [least, most] = [Math.min(...at), Math.max(...at)];
  const room = Math.max(1.3, (most / least) ** 0.14);
  return {
    scale: { time: false, distr: 3, log: 2, range: (): [number, number] => [least / room, most * room] },
    axis: { splits: () => at, filter: (_, ticks) => ticks, values: (_, ticks) => ticks.map((n) => words(n)) },
  };
}

/** Up: powers of ten. */
export const upwards: Partial<uPlot.Axis> = { ...powers, values: (_, ticks) => ticks.map(tick) };

/** How far the runs of each point lie apart, by series: a line from the least to the most, set off from what is below or not. */
export function ranges(spreads: (Spread | null | undefined)[][], setOff: boolean): uPlot.Plugin {
  const draw = (plot: uPlot) => {
    const { ctx } = plot;
    ctx.save();
    for (const [width, name] of [[setOff ? 4 : 0, "--paper"], [1.5, "--muted"]] as const) {
      if (!width) continue;
      ctx.lineWidth = width * uPlot.pxRatio;
      ctx.strokeStyle = colour(name);
      ctx.beginPath();
      spreads.flat().forEach((spread, n) => {
        const x = plot.data[0]?.[n % (plot.data[0]?.length ?? 1)];
        if (!spread || spread.runs < 2 || typeof x !== "number" || good(spread.least) === null || good(spread.most) === null) return;
        const left = plot.valToPos(x, "x", true);
        ctx.moveTo(left, plot.valToPos(spread.least, "y", true));
        ctx.lineTo(left, plot.valToPos(spread.most, "y", true));
      });
      ctx.stroke();
    }
    ctx.restore();
  };
  return { hooks: { draw } };
}

/** Words above the points of a series: one for each or none. */
export interface Words {
  words?: (string | null)[];
  colour?: string;
  above?: number;
  /** Where they stand, if that is higher than the points. */
  at?: (number | null)[];
}

/**
 * Words above points, by series. What would cover others is left out; where points are `apart` on the axis across, and the
 * longest has no room in that, all are.
 */
export function labels(lines: Words[], apart = 0): uPlot.Plugin {
  const draw = (plot: uPlot) => {
    const { ctx } = plot;
    const unit = uPlot.pxRatio;
    const taken: [number, number, number][] = [];
    ctx.save();
    ctx.font = `${11 * unit}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.strokeStyle = colour("--paper");
    ctx.lineWidth = 3 * unit;
    ctx.lineJoin = "round";
    const room = plot.valToPos(apart, "x", true) - plot.valToPos(0, "x", true);
    const fits = !apart || lines.every(({ words }) => words?.every((text) => ctx.measureText(text ?? "").width < room));
    lines.forEach(({ words, colour: name, above, at: higher }, series) => {
      ctx.fillStyle = colour(name ?? "--ink");
      words?.forEach((text, at) => {
        const [x, y] = [plot.data[0]?.[at], higher?.[at] ?? plot.data[series + 1]?.[at]];
        if (!fits || !text || typeof x !== "number" || typeof y !== "number") return;
        const half = ctx.measureText(text).width / 2 + 2 * unit;
        const [left, top] = [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true) - (above ?? 7) * unit];
        if (taken.some(([l, t, h]) => Math.abs(l - left) < h + half && Math.abs(t - top) < 13 * unit)) return;
        taken.push([left, top, half]);
        ctx.strokeText(text, left, top);
        ctx.fillText(text, left, top);
      });
    });
    ctx.restore();
  };
  return { hooks: { draw } };
}
