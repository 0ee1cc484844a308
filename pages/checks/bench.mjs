// The page of `ebbline bench`: its words and figures, of cards that are worth it and of some that are not.

import { join } from "node:path";
import { empty, odd, result, sample } from "../samples/bench.mjs";
import { checkOne, expect, open, pageOf, texts } from "./browser.mjs";

export const VIEWS = [""];

/** Words that must be there, and how many charts. */
async function says(page, name, charts, ...words) {
  // As a person reads it: texts that are folded up, too, but not the data.
  const text = await page.evaluate(() => document.querySelector("main").textContent);
  for (const word of words) expect(text.includes(word), `${name}: the page does not say "${word}"`);
  expect((await page.locator(".chart canvas").count()) === charts, `${name}: not ${charts} charts`);
}

/** Narrow windows have no bar to move the page sideways. */
async function narrow(page, name) {
  await page.setViewportSize({ width: 420, height: 900 });
  await page.waitForTimeout(120);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(wide <= 0, `${name}: ${wide} pixels wider than a narrow window`);
}

/** Checks the page with made-up data. */
export async function check(context, folder) {
  const make = (name, results) => pageOf(folder, "bench", name, sample(results));
  const card = await checkOne(context, "a card", make("card", [result({ card: 8 })]), VIEWS);
  await says(card, "a card", 11, "For batches of 16,384 rows or more Made Up RTX 9 is faster; for smaller ones your CPU is.", "times as fast as the CPU", "llvmpipe, software", "never chosen by auto", "Nothing: every figure");
  await narrow(card, "a card");
  await texts(card);
  const none = await checkOne(context, "no card", make("none", [result({})]), VIEWS);
  await says(none, "no card", 9, "No GPU was measured here: your CPU does this work.");
  const slow = await checkOne(context, "a slow card", make("slow", [result({ card: 0.2 })]), VIEWS);
  await says(slow, "a slow card", 11, "Your CPU is faster for this than Made Up RTX 9, in batches of every size that was tried");
  const wrong = await checkOne(context, "wrong scores", make("wrong", [result({ card: 8, wrong: true })]), VIEWS);
  await says(wrong, "wrong scores", 9, "gives other scores than the CPU, and must not be used", "No GPU was timed here");
  const many = await checkOne(context, "several", make("many", ["laptop", "server", "old"].map((name, at) => ({ ...result({ card: [0, 12, 0.3][at], seed: at }), name }))), VIEWS);
  await says(many, "several", 21, "server: Made Up RTX 9 is the fastest from Parquet to Parquet", "These results differ in seed");
  const nothing = await checkOne(context, "nothing", make("nothing", [empty()]), VIEWS);
  await says(nothing, "nothing", 0, "Nothing was timed", "stopped this run");
  await checkOne(context, "odd numbers", make("odd", [odd()]), VIEWS);
  return "cards that are worth it and some that are not, told as they are";
}

/** A picture of its figures; what follows is text. */
export async function shots(context, colorScheme, path, folder) {
  const { page } = await open(context, path);
  await page.waitForTimeout(250);
  const height = await page.evaluate(() => document.querySelector("#left-out").getBoundingClientRect().top + scrollY);
  await page.screenshot({ path: join(folder, `bench-${colorScheme}.png`), fullPage: true, clip: { x: 0, y: 0, width: 1280, height } });
  return page;
}

/** What pictures are of where no file is named. */
export const made = (folder) => pageOf(folder, "bench", "shots", sample([result({ card: 8 })]));
