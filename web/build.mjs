// SPDX-License-Identifier: MIT
// Makes the page: build.mjs SOURCES OUT.html OUT.c
// One HTML document with script and style inline, and a C source of the same bytes with the policy that
// names both by their hashes, for src/admin/page.h.
import {createHash} from "node:crypto";
import {readFileSync, writeFileSync} from "node:fs";
import {dirname, join} from "node:path";
import {build} from "esbuild";

const [sources, htmlOut, cOut] = process.argv.slice(2);

async function bundle(entry, extra) {
    const result = await build({
        entryPoints: [join(sources, entry)], bundle: true, minify: true, write: false, legalComments: "none",
        target: ["chrome100", "firefox100", "safari15.4"], preserveSymlinks: true, logLevel: "warning", ...extra,
    });
    return result.outputFiles[0].text.trim();
}

function hash(text) {
    return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** As a JavaScript string, "</script" and "<!--" end or confuse the element: the same value without "<". */
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

const script = insideScript(await bundle("main.tsx", {format: "iife", jsx: "automatic", jsxImportSource: "preact"}));
const style = await bundle("style.css", {});
const html = readFileSync(join(sources, "index.html"), "utf8")
    .replace("/*STYLE*/", () => style).replace("/*SCRIPT*/", () => script);
const policy = policyOf(script, style);
writeFileSync(htmlOut, html);
writeFileSync(join(dirname(htmlOut), "policy.txt"), policy);
if (cOut)
    writeFileSync(cOut, cOf(Buffer.from(html), policy));
