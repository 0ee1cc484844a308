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

/** Narrow, nothing is pushed out of the page, tables stand row by row, and no cell is squeezed to single letters. */
async function narrow(context, path) {
  const { page } = await open(context, path);
  for (const [width, view] of [[700, "map"], [700, "charts"], [400, "incidents"], [400, "map"]]) {
    await page.setViewportSize({ width, height: 900 });
    await page.evaluate((hash) => { location.hash = hash; }, view);
    await page.waitForTimeout(120);
    const faults = await page.evaluate(() => {
      const most = document.documentElement.clientWidth;
      const cells = [...document.querySelectorAll(".stack td")].filter((cell) => cell.clientWidth);
      const out = [...document.querySelectorAll(".stack, .stack td")].filter((one) => one.clientWidth && one.getBoundingClientRect().right > most);
      const thin = cells.filter((cell) => cell.clientWidth < 200);
      return { cells: cells.length, out: out.length, thin: thin.length, wide: document.documentElement.scrollWidth > most };
    });
    expect(faults.cells > 0 && !faults.out && !faults.thin && !faults.wide, `${view} at ${width} pixels: ${JSON.stringify(faults)}`);
  }
  await page.close();
}

/** What is on paper, whichever way the browser says that it prints: headings have something below, incidents are told before the list. */
async function printed(context, path) {
  for (const way of ["medium", "event"]) {
    const { page, noted } = await open(context, path);
    await page.evaluate((silent) => { if (silent) addEventListener("beforeprint", (event) => event.stopImmediatePropagation(), true); }, way === "medium");
    await page.emulateMedia({ media: "print" });
    if (way === "event") await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    await page.waitForTimeout(200);
    const seen = await page.evaluate(() => {
      const shown = (one) => one.getClientRects().length > 0;
      const bare = [...document.querySelectorAll("h2, h3")].filter(shown).filter((head) => ![...head.parentElement.children].some((one) => one !== head && shown(one)));
      const articles = [...document.querySelectorAll("article")].filter(shown);
      const list = document.querySelector(".list");
      const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
      return { bare: bare.map((head) => head.textContent), articles: articles.length, before: articles.every((one) => one.compareDocumentPosition(list) & Node.DOCUMENT_POSITION_FOLLOWING), twice: ids.length - new Set(ids).size, charts: document.querySelectorAll("canvas").length };
    });
    expect(!seen.bare.length && seen.articles === 10 && seen.before && !seen.twice && seen.charts > 1, `printed by ${way}: ${JSON.stringify(seen)}`);
    await page.emulateMedia({ media: null });
    await page.evaluate(() => dispatchEvent(new Event("afterprint")));
    expect((await page.locator("article").count()) === 1, `printed by ${way}: what was told on paper stays on the screen`);
    expect(!noted.length, noted.join(" | "));
    await page.close();
  }
}

/** Before any script could hear of paper: no heading without anything below. */
async function printedUnheard(context, path) {
  const page = await context.newPage();
  await page.addInitScript(() => {
    const add = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (name, ...rest) { if (name !== "beforeprint" && !(this instanceof MediaQueryList)) add.call(this, name, ...rest); };
  });
  await page.goto(`file://${path}`);
  await page.waitForSelector("html[data-ready]");
  await page.emulateMedia({ media: "print" });
  const heads = await page.evaluate(() => [...document.querySelectorAll("h2")].filter((head) => head.getClientRects().length).map((head) => head.parentElement.children.length));
  expect(heads.length >= 2 && heads.every((children) => children > 1), `printed unheard: headings with ${heads} children`);
  await page.close();
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
  await narrow(context, make("small", sample(40)));
  await printed(context, make("small", sample(40)));
  await printedUnheard(context, make("small", sample(40)));
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
