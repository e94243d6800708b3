// SPDX-License-Identifier: MIT
// A thousand backends: only what is seen exists, and only what changed is touched.
import assert from "node:assert/strict";
import test from "node:test";
import {eventually, hasText, makeMock, row, text, withBrowser, withPage} from "./harness";
import {many} from "./mock";

withBrowser();

test("a thousand backends make no more elements than a screen holds", () => withPage(async ({page}) => {
    await row(page, "fleet", "fleet-1").waitFor();
    assert.ok(await page.locator(".backend").count() < 60);
    assert.equal(await page.getByRole("table").getAttribute("aria-rowcount"), "1002");
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await row(page, "fleet", "fleet-1000").waitFor();
    assert.ok(await page.locator(".backend").count() < 60);
    await page.keyboard.press("/");
    await page.keyboard.type("fleet-77");
    await eventually(() => page.locator(".backend").count(), (n) => n === 11, "fleet-77, fleet-770 to fleet-779");
    await page.keyboard.press("Escape");
    await hasText(page.locator(".backends"), "1,000 backends shown");
}, {}, makeMock(many(1000))));

test("rows whose figures stand still are not touched by a tick", () => withPage(async ({page}) => {
    await page.keyboard.press("/");
    await page.keyboard.type("fleet-9"); // without traffic: only the first two hundred have some
    await row(page, "fleet", "fleet-900").waitFor();
    const touched = await page.evaluateHandle(() => {
        const list: string[] = [];
        for (const at of document.querySelectorAll(".backend"))
            if (/^fleet-9\d\d$/.test(at.querySelector("button")!.textContent!))
                new MutationObserver((all) => list.push(...all.map((m) => m.type)))
                    .observe(at, {childList: true, characterData: true, attributes: true, subtree: true});
        return list;
    });
    const first = await text(page.getByTestId("rps"));
    await eventually(() => text(page.getByTestId("rps")), (now) => now !== first, "a tick");
    const second = await text(page.getByTestId("rps"));
    await eventually(() => text(page.getByTestId("rps")), (now) => now !== second, "another tick");
    assert.deepEqual(await touched.jsonValue(), []);
}, {}, makeMock(many(1000))));

test("a row with the focus stays though it be scrolled away", () => withPage(async ({page}) => {
    const name = page.getByRole("button", {name: "fleet-3", exact: true});
    await name.focus();
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await row(page, "fleet", "fleet-1000").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "fleet-3");
}, {}, makeMock(many(1000))));

test("sorted by figures, the order holds for some seconds", () => withPage(async ({page}) => {
    await page.getByRole("columnheader", {name: "Requests"}).getByRole("button").click();
    const rates = (): Promise<number[]> => page.locator(".backend").evaluateAll((rows) => rows
        .map((r) => ({y: r.getBoundingClientRect().top, n: Number(r.querySelector("[data-testid=rate]")!.textContent!.replace(/\D/g, ""))}))
        .sort((a, b) => a.y - b.y).map((r) => r.n));
    await eventually(rates, (n) => n.length > 5 && n[0]! >= n[5]! && n[0]! > 0, "the largest first");
    await page.getByRole("columnheader", {name: "Backend"}).getByRole("button").click();
    assert.equal(await page.getByRole("columnheader", {name: "Backend"}).getAttribute("aria-sort"), "ascending");
}, {}, makeMock(many(300))));
