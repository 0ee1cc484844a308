// Opens the pages in headless Chromium, with data made up by samples/ and in files that `ebbline` wrote, if some are named:
// no request, no message on the console, no serious fault by axe, and what checks/ wants of each.
// `--shots FOLDER` writes pictures instead, of the files that are named or of made-up data.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import * as bench from "./checks/bench.mjs";
import { checkOne } from "./checks/browser.mjs";
import * as report from "./checks/report.mjs";

const PAGES = { report, bench };
const ARGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const { values: options, positionals: files } = parseArgs({ allowPositionals: true, options: { shots: { type: "string" }, chromium: { type: "string", default: process.env.EBBLINE_CHROMIUM ?? "/usr/bin/chromium" } } });
const folder = mkdtempSync(join(tmpdir(), "ebbline-pages-"));

/** Which page a file is. */
function kindOf(file) {
  const kind = /<html [^>]*data-page="(\w+)"/.exec(readFileSync(file, "utf8").slice(0, 200))?.[1];
  if (!kind || !PAGES[kind]) throw new Error(`${file}: none of our pages`);
  return kind;
}

async function check(context) {
  for (const [name, page] of Object.entries(PAGES)) {
    const own = files.filter((file) => kindOf(file) === name);
    const said = await page.check(context, folder);
    for (const file of own) await checkOne(context, file, file, page.VIEWS);
    console.error(`${name} page: ${said}; no request, no message, no serious fault by axe${own.length ? `; and ${own.length} written by ebbline` : ""}`);
  }
}

/** In light also on paper and narrow. */
async function shots(browser, to) {
  for (const [name, of] of Object.entries(PAGES)) {
    const path = files.find((file) => kindOf(file) === name) ?? of.made(folder);
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
      const page = await of.shots(context, colorScheme, path, to);
      if (colorScheme === "light") {
        await page.screenshot({ path: join(to, `${name}-whole.png`), fullPage: true });
        await page.pdf({ path: join(to, `${name}-print.pdf`), format: "A4" });
        await page.setViewportSize({ width: 420, height: 900 });
        await page.screenshot({ path: join(to, `${name}-narrow.png`), fullPage: true });
      }
      await context.close();
    }
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
  console.error(`error: pages: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
