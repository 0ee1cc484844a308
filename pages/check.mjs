// Opens the page in headless Chromium, with data made up by samples/ or, given a file that `ebbline report` wrote, that:
// no request, no message on the console, no serious fault by axe, 1,000 incidents usable within 2 s.
// `--shots FOLDER` writes pictures instead, of the file that is named or of made-up data.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { empty, sample } from "./samples/report.mjs";

const MOST_MS = 2000;
const ARGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const { values: options, positionals: files } = parseArgs({ allowPositionals: true, options: { shots: { type: "string" }, chromium: { type: "string", default: process.env.EBBLINE_CHROMIUM ?? "/usr/bin/chromium" } } });
const template = readFileSync(new URL("report.html", import.meta.url), "utf8");
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const folder = mkdtempSync(join(tmpdir(), "ebbline-pages-"));

/** As the Rust side writes them. */
const escape = (json) => json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

function pageOf(name, data) {
  const path = join(folder, `${name}.html`);
  const at = template.lastIndexOf("{{data}}");
  writeFileSync(path, template.slice(0, at) + escape(JSON.stringify(data)) + template.slice(at + 8));
  return path;
}

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

/** A page that notes whatever it asks for or says. */
async function open(context, path) {
  const page = await context.newPage();
  const noted = [];
  page.on("console", (message) => noted.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => noted.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => { noted.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => request.url().startsWith("file://" + path) || noted.push(`request: ${request.url()}`));
  await page.goto(`file://${path}`);
  await page.waitForSelector("html[data-ready]");
  return { page, noted };
}

/** Serious faults by axe, in each part of the page. axe is put in by the debugger, which the policy does not bind. */
async function faults(page, views) {
  const found = [];
  for (const view of views) {
    await page.evaluate((hash) => { location.hash = hash; }, view);
    await page.waitForTimeout(120);
    await page.evaluate(axe);
    const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const one of result.violations.filter((it) => ["serious", "critical"].includes(it.impact))) {
      found.push(`${view}: ${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join("; ")}`);
    }
  }
  return found;
}

const VIEWS = ["incidents", "charts", "map", "about"];

async function checkOne(context, name, path) {
  const { page, noted } = await open(context, path);
  const found = await faults(page, VIEWS);
  expect(!found.length, `${name}: axe: ${found.join(" | ")}`);
  expect(!noted.length, `${name}: ${noted.join(" | ")}`);
  return page;
}

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

async function check(context) {
  const big = pageOf("big", sample(1000));
  const { page, noted } = await open(context, big);
  const ready = Number(await page.getAttribute("html", "data-ready"));
  const start = Date.now();
  await page.fill("#search", "nginx");
  const typed = Date.now() - start;
  expect(ready + typed < MOST_MS, `1,000 incidents: ${ready} ms until drawn and ${typed} ms to search, more than ${MOST_MS}`);
  await page.fill("#search", "");
  await used(page);
  expect(!(await page.evaluate(() => document.querySelectorAll("script").length !== 3 || document.querySelector("img"))), "data became elements");
  const refused = await page.evaluate(() => { try { document.body.innerHTML = "<b>"; return false; } catch { return true; } });
  expect(refused, "the policy does not refuse markup from texts");
  expect(noted.filter((it) => !it.includes("TrustedHTML")).length === 0, noted.join(" | "));
  // axe looks at every element: of a list of a thousand it takes half a minute and finds what it finds in forty.
  await checkOne(context, "40 incidents", pageOf("small", sample(40)));
  const none = await checkOne(context, "nothing found", pageOf("empty", empty()));
  expect((await none.textContent("body")).includes("No gap is known"), "nothing found: the page does not say so");
  for (const file of files) await checkOne(context, file, file);
  console.error(`report page: 1,000 incidents drawn after ${ready} ms, searched in ${typed} ms; no request, no message, no serious fault by axe${files.length ? `; and ${files.length} written by ebbline` : ""}`);
}

async function shots(browser, folder) {
  const path = files[0] ?? pageOf("shots", sample(24));
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
    const { page } = await open(context, path);
    for (const view of VIEWS.slice(0, 3)) {
      await page.evaluate((hash) => { location.hash = hash; }, view);
      await page.waitForTimeout(250);
      await page.screenshot({ path: join(folder, `report-${view}-${colorScheme}.png`), fullPage: view !== "incidents" && view !== "map" });
    }
    if (colorScheme === "light") {
      await page.evaluate(() => { location.hash = "incidents"; });
      await page.screenshot({ path: join(folder, "whole.png"), fullPage: true });
      await page.pdf({ path: join(folder, "print.pdf"), format: "A4" });
      await page.setViewportSize({ width: 420, height: 900 });
      await page.screenshot({ path: join(folder, "narrow.png"), fullPage: true });
    }
    await context.close();
  }
}

const browser = await chromium.launch({ executablePath: options.chromium, args: ARGS, chromiumSandbox: false });
try {
  if (options.shots) await shots(browser, options.shots);
  else {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ colorScheme, offline: true });
      await check(context);
      await context.close();
    }
  }
} catch (error) {
  console.error(`error: report page: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
