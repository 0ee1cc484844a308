// Figures in words, as `ebbline bench` prints them.

import { type Spread, good } from "./data";

const NONE = "–";

export function rate(n: number | null | undefined): string {
  const known = good(n);
  if (known === null) return NONE;
  if (known >= 1e9) return `${(known / 1e9).toFixed(2)} G`;
  if (known >= 1e6) return `${(known / 1e6).toFixed(2)} M`;
  return known >= 1e3 ? `${(known / 1e3).toFixed(1)} k` : known.toFixed(0);
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
  return known === null ? NONE : `${(known / 1e9).toFixed(2)} GB/s`;
}

export function size(bytes: number | null | undefined): string {
  const known = good(bytes);
  if (known === null) return NONE;
  if (known >= 2 ** 30) return `${(known / 2 ** 30).toFixed(1)} GiB`;
  return known >= 2 ** 20 ? `${Math.round(known / 2 ** 20)} MiB` : `${Math.round(known / 2 ** 10)} KiB`;
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
