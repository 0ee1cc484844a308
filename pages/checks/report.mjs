// The page of `ebbline report`: 1,000 incidents usable within 2 s, by keyboard; and one in which nothing was found.

import { join } from "node:path";
import { empty, sample } from "../samples/report.mjs";
import { checkOne, expect, open, pageOf, texts } from "./browser.mjs";

const MOST_MS = 2000;
export const VIEWS = ["incidents", "charts", "map", "about"];

/** Used as a person would: search, choose, follow evidence, by keyboard. */
async function used(page) {
  await page.evaluate(() => { location.hash = "incidents"; });
  await page.fill("#search", "memfd:a.out web2");
  const left = await page.locator(".list li:not([hidden])").count();
  expect(left > 0 && left < 1000, `search left ${left} of 1,000 incidents`);
  const first = page.locator(".list li:not([hidden]) > a");
  await first.nth(0).focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const asked = await first.nth(1).locator(".title").textContent();
  await page.waitForFunction((title) => document.querySelector("#detail h2")?.textContent === title, asked);
  await page.locator("#detail .cite a").first().press("Enter");
  await page.waitForFunction(() => document.activeElement?.id === "row-1");
  await page.fill("#search", "nobody has this");
  expect((await page.locator(".list li:not([hidden])").count()) === 0, "a search for nothing finds something");
  expect((await page.locator("[role=status]").first().textContent()).startsWith("0 of 1,000"), "the search does not say what is left");
}

/** Checks the page with made-up data; what it says about time goes into a line. */
export async function check(context, folder) {
  const make = (name, data) => pageOf(folder, "report", name, data);
  const { page, noted } = await open(context, make("big", sample(1000)));
  const ready = Number(await page.getAttribute("html", "data-ready"));
  const start = Date.now();
  await page.fill("#search", "nginx");
  const typed = Date.now() - start;
  expect(ready + typed < MOST_MS, `1,000 incidents: ${ready} ms until drawn and ${typed} ms to search, more than ${MOST_MS}`);
  await page.fill("#search", "");
  await used(page);
  await texts(page);
  expect(noted.filter((it) => !it.includes("TrustedHTML")).length === 0, noted.join(" | "));
  // axe looks at every element: of a list of a thousand it takes half a minute and finds what it finds in forty.
  await checkOne(context, "40 incidents", make("small", sample(40)), VIEWS);
  const none = await checkOne(context, "nothing found", make("empty", empty()), VIEWS);
  expect((await none.textContent("body")).includes("No gap is known"), "nothing found: the page does not say so");
  return `1,000 incidents drawn after ${ready} ms, searched in ${typed} ms`;
}

/** Pictures of its parts; in light also all of it, on paper and narrow. */
export async function shots(context, colorScheme, path, folder) {
  const { page } = await open(context, path);
  for (const view of VIEWS.slice(0, 3)) {
    await page.evaluate((hash) => { location.hash = hash; }, view);
    await page.waitForTimeout(250);
    await page.screenshot({ path: join(folder, `report-${view}-${colorScheme}.png`), fullPage: view !== "incidents" && view !== "map" });
  }
  await page.evaluate(() => { location.hash = "incidents"; });
  return page;
}

/** What pictures are of where no file is named. */
export const made = (folder) => pageOf(folder, "report", "shots", sample(24));
