// Makes page.html: our sources and what they use in one file, with a place for the data. `--check` compares instead.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = (path) => new URL(path, import.meta.url);
const OUT = here("page.html");

async function bundle(entry) {
  const made = await build({
    entryPoints: [here(entry).pathname], bundle: true, minify: true, write: false, format: "iife", target: "es2022",
    charset: "ascii", legalComments: "none", logLevel: "warning", sourcemap: false,
  });
  return made.outputFiles[0].text.trim();
}

/** The licence of each package that is in the bundle. */
function notices() {
  const packages = ["uplot", "@dagrejs/dagre", "@dagrejs/graphlib"];
  return packages
    .map((name) => {
      const about = JSON.parse(readFileSync(here(`node_modules/${name}/package.json`)));
      const text = readFileSync(here(`node_modules/${name}/LICENSE`), "utf8").trim();
      return `${name} ${about.version} (${about.license})\n\n${text}`;
    })
    .join("\n\n--------\n\n")
    .replaceAll("</", "< /");
}

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const script = (await bundle("src/main.ts")).replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
const style = await bundle("src/style.css");
const policy = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'`;
const parts = { policy, style, script, notices: notices(), data: "{{data}}" };
const page = readFileSync(here("src/page.html"), "utf8").replace(/\{\{(\w+)\}\}/g, (_, name) => parts[name]);
if (page.split("{{data}}").length !== 2) throw new Error("the page must have one place for data");

if (process.argv.includes("--check")) {
  if (readFileSync(OUT, "utf8") !== page) {
    console.error("error: report page: triage/report/page.html: differs from what its sources give; run cargo xtask report");
    process.exit(1);
  }
  console.error("triage/report/page.html is what its sources give");
} else {
  writeFileSync(OUT, page);
  console.error(`wrote triage/report/page.html, ${page.length} bytes`);
}
