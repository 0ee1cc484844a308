// Pages in headless Chromium: made of data, opened with an eye on whatever they ask for or say, looked over by axe.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const axe = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** As the Rust side writes them. */
const escape = (json) => json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** A page of ours with data, as a file in a folder. */
export function pageOf(folder, page, name, data) {
  const template = readFileSync(new URL(`../${page}.html`, import.meta.url), "utf8");
  const path = join(folder, `${page}-${name}.html`);
  const at = template.lastIndexOf("{{data}}");
  writeFileSync(path, template.slice(0, at) + escape(JSON.stringify(data)) + template.slice(at + 8));
  return path;
}

export function expect(holds, what) {
  if (!holds) throw new Error(what);
}

/** A page that notes whatever it asks for or says. */
export async function open(context, path) {
  const page = await context.newPage();
  const noted = [];
  page.on("console", (message) => noted.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => noted.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => { noted.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => request.url().startsWith("file://" + path) || noted.push(`request: ${request.url()}`));
  await page.goto(`file://${path}`);
  await page.waitForSelector("html[data-ready]", { timeout: 10_000 }).catch(() => { throw new Error(`${path}: not drawn: ${noted.join(" | ")}`); });
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

/** No serious fault in these parts, nothing asked for, nothing said. */
export async function checkOne(context, name, path, views) {
  const { page, noted } = await open(context, path);
  const found = await faults(page, views);
  expect(!found.length, `${name}: axe: ${found.join(" | ")}`);
  expect(!noted.length, `${name}: ${noted.join(" | ")}`);
  return page;
}

/** Data are no elements, and texts cannot become some. */
export async function texts(page) {
  expect(!(await page.evaluate(() => document.querySelectorAll("script").length !== 3 || document.querySelector("img"))), "data became elements");
  const refused = await page.evaluate(() => { try { document.body.innerHTML = "<b>"; return false; } catch { return true; } });
  expect(refused, "the policy does not refuse markup from texts");
}
