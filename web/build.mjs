// SPDX-License-Identifier: MIT
// Makes what meson asks for, beside the packages in the build directory:
//   build.mjs page PAGE.html POLICY.txt PAGE.c   one HTML document with script and style inline, the policy
//                                                that names both by their hashes, and a C source of the two
//   build.mjs types PROJECT [STAMP]              the type-check: of the page, or of "test", which is both
//   build.mjs test NAME.ts OUT.mjs               a test as one program
import {spawnSync} from "node:child_process";
import {createHash} from "node:crypto";
import {readFileSync, writeFileSync} from "node:fs";
import {createRequire} from "node:module";
import {dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";
import {build} from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const common = {bundle: true, preserveSymlinks: true, logLevel: "warning", absWorkingDir: here};

async function bundle(entry, extra) {
    const result = await build({
        ...common, entryPoints: [join(here, "src", entry)], minify: true, write: false, legalComments: "none",
        target: ["chrome100", "firefox100", "safari15.4"], ...extra,
    });
    return result.outputFiles[0].text.trim();
}

function hash(text) {
    return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** In a script element "</script" and "<!--" would end or confuse it; \x3c is the same in a string. */
function insideScript(text) {
    return text.replace(/<(?=\/script|!--)/gi, "\\x3c");
}

function policyOf(script, style) {
    return [
        "default-src 'none'", `script-src ${hash(script)}`, `style-src ${hash(style)}`, "connect-src 'self'",
        "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",
    ].join("; ");
}

function bytesOf(data) {
    const lines = [];
    for (let i = 0; i < data.length; i += 24)
        lines.push(`    ${[...data.subarray(i, i + 24)].join(", ")},`);
    return lines.join("\n");
}

function cOf(data, policy) {
    const tag = createHash("sha256").update(data).digest("hex").slice(0, 16);
    return `/* SPDX-License-Identifier: MIT */
/* Made by web/build.mjs. */
#include "admin/page.h"

static const uint8_t html[] = {
${bytesOf(data)}
};

const struct page page_here = {
    .html = html,
    .html_bytes = sizeof(html),
    .policy = "${policy}",
    .etag = "\\"${tag}\\"",
};
`;
}

async function page(htmlPath, policyPath, cPath) {
    const script = insideScript(await bundle("main.tsx", {format: "iife", jsx: "automatic", jsxImportSource: "preact"}));
    const style = await bundle("style.css", {});
    const html = readFileSync(join(here, "src/index.html"), "utf8")
        .replace("/*STYLE*/", () => style).replace("/*SCRIPT*/", () => script);
    const policy = policyOf(script, style);
    writeFileSync(htmlPath, html);
    writeFileSync(policyPath, policy);
    writeFileSync(cPath, cOf(Buffer.from(html), policy));
}

function types(project, stamp) {
    const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    const {status} = spawnSync(process.execPath, [compiler, "-p", join(here, project)], {cwd: here, stdio: "inherit"});
    if (status === 0 && stamp)
        writeFileSync(stamp, "");
    return status ?? 1;
}

async function test(name, out) {
    await build({
        ...common, entryPoints: [join(here, "test", name)], outfile: resolve(out), platform: "node", format: "esm", target: "node18",
        external: ["playwright-core"],
    });
}

const [what, ...rest] = process.argv.slice(2);
if (what === "page")
    await page(...rest);
else if (what === "test")
    await test(...rest);
else
    process.exitCode = types(...rest);
