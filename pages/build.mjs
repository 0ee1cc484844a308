// Makes report.html and bench.html: our sources and what they use in one file each, with a place for the data.
// `--check` compares instead.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const PAGES = [
  {
    name: "report", title: "Ebbline report", packages: ["uplot", "@dagrejs/dagre", "@dagrejs/graphlib"],
    instead: "<code>ebbline incident list</code> and <code>ebbline incident show</code> say the same.",
  },
  { name: "bench", title: "Ebbline benchmark", packages: ["uplot"], instead: "<code>ebbline bench --json</code> says the same." },
];

const here = (path) => new URL(path, import.meta.url);

async function bundle(entry) {
  const made = await build({
    entryPoints: [here(entry).pathname], bundle: true, minify: true, write: false, format: "iife", target: "es2022",
    charset: "ascii", legalComments: "none", logLevel: "warning", sourcemap: false,
  });
  return made.outputFiles[0].text.trim();
}

/** The licence of each package that is in the bundle. */
function notices(packages) {
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

async function pageOf({ name, title, instead, packages }) {
  const script = (await bundle(`web/${name}/main.ts`)).replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
  const style = await bundle(`web/${name}/style.css`);
  const policy = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'`;
  const parts = { name, title, instead, policy, style, script, notices: notices(packages), data: "{{data}}" };
  const page = readFileSync(here("web/page.html"), "utf8").replace(/\{\{(\w+)\}\}/g, (_, part) => parts[part]);
  if (page.split("{{data}}").length !== 2) throw new Error(`${name}.html must have one place for data`);
  return page;
}

for (const about of PAGES) {
  const [page, path] = [await pageOf(about), `pages/${about.name}.html`];
  const out = here(`${about.name}.html`);
  if (!process.argv.includes("--check")) {
    writeFileSync(out, page);
    console.error(`wrote ${path}, ${page.length} bytes`);
  } else if (readFileSync(out, "utf8") === page) {
    console.error(`${path} is what its sources give`);
  } else {
    console.error(`error: pages: ${path}: differs from what its sources give; run cargo xtask report`);
    process.exitCode = 1;
  }
}
