// Figures in words, as `ebbline bench` prints them (`terminal/src/rates.rs`).

import { type Spread, good } from "./data";

const NONE = "–";

/** Three digits: nobody knows more. */
function three(n: number): string {
  return [2, 1].map((digits) => n.toFixed(digits)).find((text) => text.length <= 4) ?? n.toFixed(0);
}

const SCALES: [number, string][] = [[1, ""], [1e3, " k"], [1e6, " M"], [1e9, " G"], [1e12, " T"]];

/** How many a second, without what of. */
export function rate(n: number | null | undefined): string {
  const known = good(n);
  if (known === null) return NONE;
  const [unit, name] = SCALES.find(([scale]) => known / scale < 999.5) ?? [1e12, " T"];
  return `${name ? three(known / unit) : known.toFixed(0)}${name}`;
}

/** Of an axis, whose ticks are round. */
export function tick(n: number): string {
  const [unit, name] = n >= 1e9 ? [1e9, " G"] : n >= 1e6 ? [1e6, " M"] : n >= 1e3 ? [1e3, " k"] : [1, ""];
  return `${Number((n / unit).toPrecision(3))}${name}`;
}

/** The median, and half of the range of all runs. */
export function spread(of: Spread | null | undefined): string {
  if (!of || good(of.median) === null || of.runs === 1) return rate(of?.median);
  return `${rate(of.median)} ±${percent((of.most - of.least) / 2 / of.median)}`;
}

export function percent(share: number | null | undefined): string {
  if (typeof share !== "number" || !Number.isFinite(share)) return NONE;
  return `${(share * 100).toFixed(share !== 0 && Math.abs(share) < 0.01 ? 1 : 0)} %`;
}

export function perSecond(bytes: number | null | undefined): string {
  const known = good(bytes);
  return known === null ? NONE : `${three(known / 1e9)} GB/s`;
}

export function size(bytes: number | null | undefined): string {
  const known = good(bytes);
  if (known === null) return NONE;
  if (known < 1024) return `${known.toFixed(0)} B`;
  const [unit, name] = known >= 2 ** 30 ? [2 ** 30, "GiB"] : known >= 2 ** 20 ? [2 ** 20, "MiB"] : [2 ** 10, "KiB"];
  return `${(known / unit).toFixed(1)} ${name}`;
}

/** Runs of which the range means something, as in `compare`. */
const ENOUGH = 3;

/** How many times as fast `one` is as the CPU, or that the runs do not tell. */
export function times(one: Spread, cpu: Spread): string {
  const factor = one.median / cpu.median;
  if (!Number.isFinite(factor)) return "not to be compared with the CPU";
  const words = `${factor < 0.995 ? percent(factor) : `${factor.toFixed(factor < 9.95 ? 1 : 0)} times`} as fast as the CPU`;
  if (Math.min(one.runs, cpu.runs) < ENOUGH) return `${words}, by too few runs to rely on`;
  return one.least > cpu.most || cpu.least > one.most ? words : `${words}, which says little: some runs of both were as fast`;
}
