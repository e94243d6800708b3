// SPDX-License-Identifier: MIT
// AA contrast of every text and glyph on the page as the browser computes it, in both colour schemes,
// and no horizontal scrolling at any width from a small phone's.
import assert from "node:assert/strict";
import test from "node:test";
import type {Page} from "playwright-core";
import {eventually, hasText, withBrowser, withPage} from "./harness";
import {scene} from "./mock";

withBrowser();

interface Weak {
    text: string;
    ratio: number;
    of: string;
}

/** Runs in the page. */
function weakTexts(): Weak[] {
    type Colour = [number, number, number, number];
    const parse = (css: string): Colour => {
        const n = (css.match(/[\d.]+/g) ?? []).map(Number);
        const scale = css.startsWith("color(") ? 255 : 1;
        return [(n[0] ?? 0) * scale, (n[1] ?? 0) * scale, (n[2] ?? 0) * scale, n[3] ?? 1];
    };
    const over = (top: Colour, under: Colour): Colour => [0, 1, 2].map((i) =>
        top[i]! * top[3] + under[i]! * (1 - top[3])).concat(1) as Colour;
    const light = (c: Colour): number => {
        const [r, g, b] = c.slice(0, 3).map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const behind = (at: Element | null): Colour => {
        if (!at)
            return [255, 255, 255, 1];
        const own = parse(getComputedStyle(at).backgroundColor);
        return own[3] === 1 ? own : over(own, behind(at instanceof HTMLDialogElement ? null : at.parentElement));
    };
    const weak: Weak[] = [];
    const judge = (at: Element, text: string, css: string, least: number): void => {
        const back = behind(at);
        const top = parse(css);
        for (let e: Element | null = at; e; e = e.parentElement)
            top[3] *= Number(getComputedStyle(e).opacity);
        const [a, b] = [light(over(top, back)), light(back)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < least)
            weak.push({text, ratio: Math.round(ratio * 100) / 100, of: at.className.toString()});
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const at = node.parentElement!;
        const text = node.textContent!.trim();
        const style = getComputedStyle(at);
        if (!text || at.closest("script, style, noscript, .hidden-text, :disabled, option") || style.visibility === "hidden" ||
            at.getClientRects().length === 0)
            continue;
        const size = parseFloat(style.fontSize);
        judge(at, text, style.color, size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5);
    }
    for (const glyph of document.querySelectorAll(".glyph"))
        judge(glyph.parentElement!, "glyph", getComputedStyle(glyph).color, 3);
    for (const input of document.querySelectorAll("input[placeholder]"))
        judge(input, "placeholder", getComputedStyle(input, "::placeholder").color, 4.5);
    return weak;
}

async function judge(page: Page, what: string): Promise<void> {
    assert.deepEqual(await page.evaluate(weakTexts), [], what);
}

for (const colorScheme of ["light", "dark"] as const)
    test(`contrast, ${colorScheme}`, () => withPage(async ({mock, page}) => {
        scene(mock);
        mock.setState("app", "app-5", "unresolved", "unresolved", "The name of the backend does not resolve.");
        mock.setState("app", "app-6", "disabled");
        await hasText(page.locator(".sentence"), "9 of 14");
        assert.equal(await page.evaluate(() => document.documentElement.dataset["theme"]), colorScheme);
        await judge(page, "page");
        await page.getByRole("button", {name: "Problems"}).click();
        await judge(page, "pressed");
        for (const name of ["app-4", "api-3", "api-2", "app-5", "app-6", "app-1"]) {
            await page.getByRole("button", {name, exact: true}).last().click();
            await page.getByRole("dialog").getByRole("button", {name: "Remove…"}).click();
            await judge(page, name);
            await page.keyboard.press("Escape");
        }
        await page.getByRole("button", {name: "Add a backend to app"}).click();
        await judge(page, "form");
        await page.keyboard.press("Escape");
        await mock.stop();
        await page.getByTestId("lost").waitFor();
        await judge(page, "connection lost");
    }, {colorScheme}));

test("the measure finds weak text", () => withPage(async ({page}) => {
    await page.evaluate(() => {
        document.querySelector<HTMLElement>(".sentence")!.style.color = "#bbb";
    });
    assert.equal((await page.evaluate(weakTexts)).length, 1);
}, {colorScheme: "light"}));

test("the toggle goes from the system's colours to light to dark", () => withPage(async ({page}) => {
    const theme = (): Promise<string | undefined> => page.evaluate(() => document.documentElement.dataset["theme"]);
    const toggle = page.getByRole("button", {name: /^Colours: /});
    assert.equal(await theme(), "dark");
    await toggle.click();
    assert.equal(await theme(), "light");
    await page.reload();
    assert.equal(await theme(), "light", "remembered");
    await toggle.click();
    assert.equal(await theme(), "dark");
    await toggle.click();
    await page.emulateMedia({colorScheme: "light"});
    await eventually(theme, (now) => now === "light", "as the system says");
}, {colorScheme: "dark"}));

for (const width of [320, 360, 412, 768, 1024, 1280])
    test(`no horizontal scrolling at ${width} px`, () => withPage(async ({mock, page}) => {
        scene(mock);
        const long = "a-backend-with-a-name-that-is-longer-than-any-phone-is-wide.example.internal";
        mock.backend("app", "app-1")!.name = long;
        mock.pools[2]!.name = `pool-${long}`;
        mock.log("error", "forward", "no-blank-".repeat(40));
        await page.getByText(long).first().waitFor();
        const wider = (): Promise<string[]> => page.evaluate(() => {
            const root = document.documentElement;
            return root.scrollWidth <= root.clientWidth ? [] : [...document.querySelectorAll("body *")]
                .filter((e) => e.getBoundingClientRect().right > root.clientWidth).map((e) => `${e.tagName}.${e.className.toString()}`);
        });
        assert.deepEqual(await wider(), []);
        await page.getByRole("button", {name: "app-4", exact: true}).last().click();
        const dialog = page.getByRole("dialog");
        assert.ok(await dialog.evaluate((d) => d.scrollWidth <= d.clientWidth && d.getBoundingClientRect().left >= 0));
        await page.keyboard.press("Escape");
        await page.getByRole("button", {name: "Add a backend to app"}).click();
        assert.ok(await dialog.evaluate((d) => d.scrollWidth <= d.clientWidth && d.getBoundingClientRect().left >= 0));
    }, {viewport: {width, height: 780}}));
