// SPDX-License-Identifier: MIT
// A browser, a page and a balancer to look at, for one test each; and what must hold in every test.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {after, before} from "node:test";
import {chromium} from "playwright-core";
import type {Browser, BrowserContextOptions, Locator, Page} from "playwright-core";
import {Mock, SMALL} from "./mock";
import type {Shape} from "./mock";

export const TICK_MS = 150; // a second of the balancer's, so that tests need not wait

function needed(name: string): string {
    const value = process.env[name];
    if (!value)
        throw new Error(`the environment lacks ${name}`);
    return value;
}

let browser: Browser;

/** To be called once by each file. */
export function withBrowser(): void {
    before(async () => {
        browser = await chromium.launch({
            executablePath: needed("CHROMIUM"),
            args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
        });
    });
    after(() => browser.close());
}

export function makeMock(shape: Shape = SMALL): Mock {
    return new Mock(readFileSync(needed("PAGE"), "utf8"), readFileSync(needed("POLICY"), "utf8"), shape, TICK_MS);
}

export interface Scene {
    mock: Mock;
    page: Page;
    port: number;
    said: string[]; // on the console, by mishap
    fetched: string[];
}

const VIEW = {width: 1440, height: 900};

export async function openPage(url: string, options: BrowserContextOptions = {}): Promise<Omit<Scene, "mock" | "port">> {
    const page = await browser.newPage({viewport: VIEW, reducedMotion: "reduce", ...options});
    const said: string[] = [];
    const fetched: string[] = [];
    page.on("console", (line) => {
        if (line.type() === "error" || line.type() === "warning")
            said.push(line.text());
    });
    page.on("pageerror", (error) => said.push(String(error)));
    page.on("request", (request) => fetched.push(request.url()));
    await page.goto(url);
    return {page, said, fetched};
}

/**
 * Runs a test with a page that shows a balancer. Afterwards nothing may have been said on the console,
 * but of refused calls, and nothing fetched from elsewhere.
 */
export async function withPage(
    test: (scene: Scene) => Promise<void>, options: BrowserContextOptions = {}, mock = makeMock()): Promise<void> {
    const port = await mock.start();
    const origin = `http://127.0.0.1:${port}/`;
    const opened = await openPage(origin, options);
    try {
        await opened.page.getByRole("heading", {name: "Backends", exact: true}).waitFor();
        await test({mock, port, ...opened});
        const mishaps = opened.said.filter((line) => !/^Failed to load resource/.test(line));
        assert.deepEqual(mishaps, [], "on the console");
        const foreign = opened.fetched.filter((url) => !url.startsWith(origin) && !url.startsWith("data:"));
        assert.deepEqual(foreign, [], "fetched from elsewhere");
    } finally {
        await opened.page.context().close();
        await mock.stop();
    }
}

export function row(page: Page, pool: string, name: string): Locator {
    return page.getByTestId(`backend-${pool}-${name}`);
}

/** Waits until look gives what is wanted, and fails with what it gave last. */
export async function eventually<T>(look: () => Promise<T>, fits: (value: T) => boolean, what: string): Promise<T> {
    let last: T | undefined;
    for (let i = 0; i < 200; i++) {
        last = await look();
        if (fits(last))
            return last;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${what}: ${JSON.stringify(last)}`);
}

export async function text(at: Locator): Promise<string> {
    return (await at.textContent()) ?? "";
}

export async function hasText(at: Locator, wanted: string | RegExp): Promise<void> {
    await eventually(() => text(at), (now) => (typeof wanted === "string" ? now.includes(wanted) : wanted.test(now)),
        `expected ${String(wanted)}`);
}
