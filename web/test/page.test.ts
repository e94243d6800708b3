// SPDX-License-Identifier: MIT
// What an operator sees and does.
import assert from "node:assert/strict";
import test from "node:test";
import {eventually, hasText, makeMock, row, text, withBrowser, withPage} from "./harness";
import {scene, TOKEN} from "./mock";

withBrowser();

test("figures move under load", () => withPage(async ({page}) => {
    for (const at of [page.getByTestId("rps"), page.getByTestId("p99"), row(page, "app", "app-1").getByTestId("rate"),
        page.getByTestId("pool-rps-api"), page.getByTestId("listener-rps-web")]) {
        const first = await text(at);
        assert.match(first, /^[1-9]/);
        await eventually(() => text(at), (now) => now !== first && /^[1-9]/.test(now), `still ${first}`);
    }
    const drawn = await page.locator(".plot canvas").evaluateAll((all) => all.map((canvas) => {
        const {width, height} = canvas as HTMLCanvasElement;
        const data = (canvas as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height).data;
        return data.some((n) => n !== 0);
    }));
    assert.deepEqual(drawn, [true, true, true], "every chart has something on it");
}));

test("a killed backend turns red and says why, and its return is seen", () => withPage(async ({mock, page}) => {
    const at = row(page, "app", "app-4");
    const state = at.locator(".state");
    await hasText(state, "Up");
    mock.kill("app", "app-4");
    await hasText(state, "Down");
    await hasText(at, "The backend refused the connection.");
    const [red, tone] = await state.evaluate((e) => [getComputedStyle(e).color, getComputedStyle(document.documentElement)
        .getPropertyValue("--bad").trim()]);
    const expected = await page.evaluate((colour) => {
        const probe = document.createElement("i");
        probe.style.color = colour!;
        return document.body.appendChild(probe) && getComputedStyle(probe).color;
    }, tone);
    assert.equal(red, expected);
    await hasText(page.locator(".troubles"), /app-4 of app is down for \d+ s: The backend refused the connection\./);
    await hasText(page.locator(".sentence"), "13 of 14 backends are up.");
    await hasText(page.locator("#announcer"), "app-4 of app is down: The backend refused the connection.");
    await hasText(page.locator(".event-list"), "app-4 of app is down: The backend refused the connection.");
    assert.equal(await page.title(), "1 out – Poise");
    mock.setState("app", "app-4", "up");
    await hasText(state, "Up");
    await hasText(page.locator(".sentence"), "All 14 backends are up.");
    assert.equal(await page.title(), "Poise");
}));

test("what is spoken stands at each listener and pool, and a certificate that ends soon is told", () => withPage(async ({mock, page}) => {
    const labels = (node: string): Promise<string[]> => page.locator(`[data-node="${node}"] .tag`).allTextContents();
    assert.deepEqual(await labels("l:web"), ["HTTP/1, HTTP/2", "TLS 1.2+", "mTLS optional"]);
    assert.deepEqual(await labels("l:db"), ["TCP"]);
    assert.deepEqual(await labels("p:app"), ["HTTP/1"]);
    assert.deepEqual(await labels("p:api"), ["HTTP/2", "TLS"]);
    assert.deepEqual(await labels("p:postgres"), ["TCP"]);
    const expiry = page.locator("[data-node=\"l:web\"] .expiry");
    await hasText(expiry, "certificate expires in 60 days");
    assert.equal(await page.getByTestId("expiry").count(), 0);
    mock.listeners[0]!.tls!.not_after = new Date(Date.now() + 5.5 * 86400e3).toISOString();
    await hasText(page.getByTestId("expiry"), "That of web expires in 5 days.");
    assert.match(await expiry.getAttribute("class") ?? "", /tone-warn/);
    mock.listeners[0]!.tls!.not_after = new Date(Date.now() - 3.5 * 3600e3).toISOString();
    await hasText(expiry, "certificate expired 3 hours ago");
    assert.match(await page.getByTestId("expiry").getAttribute("class") ?? "", /tone-bad/);
    delete mock.listeners[0]!.tls;
    await page.getByTestId("expiry").waitFor({state: "detached"});
    await eventually(() => labels("l:web"), (now) => now.join() === "HTTP/1, HTTP/2", "no TLS any more");
}));

test("draining asks for the token, refuses a wrong one, and keeps the right one in memory alone", () =>
    withPage(async ({mock, page}) => {
        await row(page, "api", "api-2").getByRole("button", {name: "Drain"}).click();
        const dialog = page.getByRole("dialog");
        await hasText(dialog, "Drain api-2: this needs the token");
        await page.keyboard.type("wrong");
        await page.keyboard.press("Enter");
        await hasText(dialog, "That token was refused");
        await dialog.getByLabel("Token").fill(TOKEN);
        await dialog.getByRole("button", {name: "Go on"}).click();
        await hasText(row(page, "api", "api-2").locator(".state"), "Draining");
        await hasText(page.getByTestId("toast"), "api-2 drains");
        assert.deepEqual(mock.calls, [{method: "PATCH", path: "/api/v1/pools/api/backends/api-2", body: {state: "drain"}}]);
        await row(page, "api", "api-2").getByRole("button", {name: "Enable"}).click(); // no question this time
        await hasText(row(page, "api", "api-2").locator(".state"), "Up");
        const kept = await page.evaluate(() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie]));
        assert.ok(!kept.includes(TOKEN), kept);
    }));

test("a token kept for the tab outlives a reload of the page, until it is forgotten", () => withPage(async ({page}) => {
    await page.getByRole("button", {name: "Token for changes"}).click();
    await page.getByLabel("Token", {exact: true}).fill(TOKEN);
    await page.getByLabel(/Keep it until this tab is closed/).check();
    await page.getByRole("button", {name: "Use it"}).click();
    await page.reload();
    await row(page, "app", "app-2").getByRole("button", {name: "Drain"}).click();
    await hasText(row(page, "app", "app-2").locator(".state"), "Draining");
    assert.ok(!JSON.stringify(await page.evaluate(() => ({...localStorage}))).includes(TOKEN));
    await page.getByRole("button", {name: /A token is set/}).click();
    await page.getByRole("button", {name: "Forget it"}).click();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
}));

test("giving up at the token changes nothing", () => withPage(async ({mock, page}) => {
    await row(page, "app", "app-1").getByRole("button", {name: "Drain"}).click();
    await page.getByRole("dialog").getByRole("button", {name: "Cancel"}).click();
    await page.getByRole("dialog").waitFor({state: "detached"});
    assert.deepEqual(mock.calls, []);
    assert.ok(await row(page, "app", "app-1").getByRole("button", {name: "Drain"}).isEnabled());
}));

test("weight, position and removal in the detail of a backend", () => {
    const mock = makeMock();
    mock.token = undefined;
    return withPage(async ({page}) => {
        await page.getByRole("button", {name: "app-3", exact: true}).click();
        const dialog = page.getByRole("dialog");
        await dialog.getByLabel("Weight").fill("5");
        await dialog.getByLabel(/Also write changes into/).check();
        await dialog.getByRole("button", {name: "Set"}).click();
        await eventually(async () => mock.backend("app", "app-3")!.weight, (w) => w === 5, "weight");
        await dialog.getByRole("button", {name: "Disable"}).click();
        await hasText(dialog.locator(".standing"), "Disabled");
        await dialog.getByRole("button", {name: "Remove…"}).click();
        await dialog.getByRole("button", {name: "Keep it"}).click();
        assert.ok(mock.backend("app", "app-3"));
        await dialog.getByRole("button", {name: "Remove…"}).click();
        await dialog.getByRole("button", {name: "Remove app-3"}).click();
        await dialog.waitFor({state: "detached"});
        await row(page, "app", "app-3").waitFor({state: "detached"});
        const path = "/api/v1/pools/app/backends/app-3";
        assert.deepEqual(mock.calls, [
            {method: "PATCH", path, body: {weight: 5, save: true}},
            {method: "PATCH", path, body: {state: "disabled", save: true}},
            {method: "DELETE", path, body: {save: true}},
        ]);
    }, {}, mock);
});

test("adding a backend: what is wrong is said at the field, what is right appears", () => {
    const mock = makeMock();
    mock.token = undefined;
    return withPage(async ({page}) => {
        await page.getByRole("button", {name: "Add a backend to static"}).click();
        const dialog = page.getByRole("dialog");
        const address = dialog.getByLabel("Address");
        await address.fill("10.0.0.99");
        await dialog.getByRole("button", {name: "Add backend"}).click();
        await hasText(dialog.getByRole("alert"), "'address' needs a port");
        assert.equal(await address.getAttribute("aria-invalid"), "true");
        await address.fill("10.0.0.99:8080");
        await dialog.getByLabel("Name").fill("new");
        await dialog.getByRole("button", {name: "Add backend"}).click();
        await row(page, "static", "new").waitFor();
        assert.equal(mock.backend("static", "new")?.address, "10.0.0.99:8080");
    }, {}, mock);
});

test("a balancer that goes is missed, and one that comes back anew is recognised", () => withPage(async ({mock, page, port}) => {
    await mock.stop();
    await hasText(page.getByTestId("lost"), /Connection lost at \d\d:\d\d:\d\d\./);
    await hasText(page.getByTestId("process-state"), "Not connected");
    mock.reborn();
    await mock.start(port);
    await hasText(page.getByTestId("process-state"), "Serving");
    await hasText(page.getByTestId("restarted"), "The balancer was restarted at");
    await page.getByTestId("lost").waitFor({state: "detached"});
    const at = page.getByTestId("rps");
    const first = await text(at);
    await eventually(() => text(at), (now) => now !== first, "figures move again");
    await page.getByTestId("restarted").getByRole("button", {name: "Dismiss"}).click();
    await page.getByTestId("restarted").waitFor({state: "detached"});
}));

test("what the server says is text, never markup", () => {
    const mock = makeMock();
    const evil = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>";
    const b = mock.pools[0]!.backends[0]!;
    b.name = evil;
    mock.pools[1]!.name = evil;
    mock.listeners[0]!.name = evil;
    mock.listeners[0]!.routes![0]!.match = {host: [evil]};
    mock.status.version = evil;
    return withPage(async ({page}) => {
        mock.setState("app", evil, "down", "probe_status", evil);
        mock.log("error", evil, evil, {[evil]: evil});
        mock.emit("change", {what: evil, name: evil, change: evil, detail: evil});
        await eventually(() => page.getByText("<img src=x").count(), (n) => n >= 8, "shown as text");
        await page.getByRole("button", {name: evil, exact: true}).first().click();
        await hasText(page.getByRole("dialog"), evil);
        assert.equal(await page.locator("img").count(), 0);
        assert.equal(await page.locator("script").count(), 1);
        assert.equal(await page.evaluate(() => (window as unknown as {hit?: number}).hit), undefined);
    }, {}, mock);
});

test("nothing is read aloud while nothing happens", () => withPage(async ({mock, page}) => {
    const heard = await page.evaluateHandle(() => {
        const list: string[] = [];
        for (const region of document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log]"))
            new MutationObserver(() => list.push(region.textContent ?? "")).observe(region, {childList: true, characterData: true, subtree: true});
        return list;
    });
    const first = await text(page.getByTestId("rps"));
    for (let i = 0; i < 3; i++)
        await eventually(() => text(page.getByTestId("rps")), (now) => now !== first, "ticks");
    mock.log("info", "accept", "listening");
    await hasText(page.locator(".event-list"), "listening");
    assert.deepEqual(await heard.jsonValue(), []);
    scene(mock); // two backends fall at once: one message
    await hasText(page.locator("#announcer"), /app-4 .*api-3 /);
    assert.equal((await heard.jsonValue()).length, 1);
}));

test("with the keyboard alone: search, open, act, come back", () => {
    const mock = makeMock();
    mock.token = undefined;
    return withPage(async ({page}) => {
        const focus = (): Promise<string> => page.evaluate(() => document.activeElement?.textContent ?? "");
        await page.keyboard.press("Tab");
        assert.equal(await focus(), "Skip to the backends");
        const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle);
        assert.equal(outline, "solid", "the focus is seen");
        await page.keyboard.press("/");
        await page.keyboard.type("app-");
        await eventually(() => page.locator(".backend").count(), (n) => n === 6, "six found");
        await page.getByRole("button", {name: "app-1", exact: true}).focus();
        await page.keyboard.press("ArrowDown");
        assert.equal(await focus(), "app-2");
        await page.keyboard.press("Enter");
        await page.getByRole("dialog").waitFor();
        for (let i = 0; i < 12 && (await focus()) !== "Drain"; i++)
            await page.keyboard.press("Tab");
        await page.keyboard.press("Enter");
        await hasText(page.getByRole("dialog").locator(".standing"), "Draining");
        await page.keyboard.press("Escape");
        await page.getByRole("dialog").waitFor({state: "detached"});
        assert.equal(await focus(), "app-2", "the focus is where it was");
        assert.equal(mock.backend("app", "app-2")!.admin_state, "drain");
    }, {}, mock);
});

test("every action can be reached with Tab, and each has a name", () => withPage(async ({mock, page}) => {
    scene(mock);
    await hasText(page.locator(".sentence"), "11 of 14");
    const nameless = await page.locator("button, a, input, select").evaluateAll((all) => all.filter((e) =>
        !(e.getAttribute("aria-label") ?? e.textContent?.trim() ?? "") && !(e as HTMLInputElement).labels?.length).map((e) => e.outerHTML));
    assert.deepEqual(nameless, []);
    const outside = await page.locator("button, a, input, select").evaluateAll((all) => all.filter((e) => (e as HTMLElement).tabIndex < 0).length);
    assert.equal(outside, 0);
}));

test("nothing configured: each part says so", () => {
    const mock = makeMock({rate: 0, pools: [], listeners: []});
    return withPage(async ({page}) => {
        for (const said of ["No backends are configured yet.", "No listener is configured.", "No pool is configured.",
            "There are no backends yet.", "Nothing has happened since this page was opened."])
            await page.getByText(said).waitFor();
    }, {}, mock);
});

test("a balancer that refuses says why on the page", () => withPage(async ({mock, page, port}) => {
    await mock.stop();
    mock.refuse = true;
    await mock.start(port);
    await hasText(page.getByTestId("lost"), "The balancer is starting.");
    mock.refuse = false;
    await hasText(page.getByTestId("process-state"), "Serving");
}));
