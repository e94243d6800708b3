// SPDX-License-Identifier: MIT
// The page and the balancer it belongs to: real traffic, real deaths, real changes.
import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import type {ChildProcess} from "node:child_process";
import {mkdtempSync, rmSync, writeFileSync} from "node:fs";
import {Agent, get} from "node:http";
import {tmpdir} from "node:os";
import {join} from "node:path";
import test from "node:test";
import {eventually, hasText, openPage, row, text, withBrowser} from "./harness";

withBrowser();

const TOKEN = "a-token-of-the-test";
const work = mkdtempSync(join(tmpdir(), "poise-web-"));
const running = new Set<ChildProcess>();

/** Starts the program and waits for what its output says. */
function start(args: string[], says: RegExp): Promise<[ChildProcess, RegExpExecArray]> {
    const child = spawn(process.env["POISE"]!, args, {cwd: work, stdio: ["ignore", "pipe", "pipe"]});
    running.add(child);
    return new Promise((resolve, reject) => {
        let said = "";
        const look = (piece: Buffer): void => {
            said += piece.toString();
            const found = says.exec(said);
            if (found)
                resolve([child, found]);
        };
        child.stdout!.on("data", look);
        child.stderr!.on("data", look);
        child.on("exit", (code) => {
            running.delete(child);
            reject(new Error(`poise ${args.join(" ")} ended with ${code}: ${said}`));
        });
    });
}

async function end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null)
        return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
}

async function backend(name: string, port = 0): Promise<[ChildProcess, number]> {
    const [child, found] = await start(["test-server", "--name", name, "--host", "127.0.0.1", "--port", String(port)],
        /listening on 127\.0\.0\.1:(\d+)/);
    return [child, Number(found[1])];
}

function configuration(admin: number, ports: number[]): string {
    const backends = ports.map((port, i) => `      - {name: B${i + 1}, address: "127.0.0.1:${port}"}`);
    return [
        `admin: {listen: "127.0.0.1:${admin}", token: ${TOKEN}}`,
        "listeners:",
        "  - {name: web, listen: \"127.0.0.1:0\", pool: app}",
        "pools:",
        "  - name: app",
        "    health: {type: http, path: /health, interval: 100ms, timeout: 90ms, rise: 1, fall: 2}",
        "    backends:", ...backends, "",
    ].join("\n");
}

interface Balancer {
    child: ChildProcess;
    port: number;
    admin: number;
}

async function balancer(admin: number, ports: number[]): Promise<Balancer> {
    writeFileSync(join(work, "poise.yaml"), configuration(admin, ports));
    const [child, found] = await start(["run", "-c", "poise.yaml"],
        /listening on 127\.0\.0\.1:(\d+)[\s\S]*Admin at http:\/\/127\.0\.0\.1:(\d+)/);
    return {child, port: Number(found[1]), admin: Number(found[2])};
}

/** Requests one after the other on a few connections, until stopped. */
function traffic(port: () => number): () => void {
    const agent = new Agent({keepAlive: true, maxSockets: 4});
    let on = true;
    const again = (): void => {
        if (!on)
            return;
        const next = (): void => void setTimeout(again, 2);
        get({host: "127.0.0.1", port: port(), agent}, (answer) => answer.resume().on("end", next)).on("error", next);
    };
    for (let i = 0; i < 4; i++)
        again();
    return () => {
        on = false;
        agent.destroy();
    };
}

test("an operator's day", async (t) => {
    const [first, port1] = await backend("B1");
    const [second, port2] = await backend("B2");
    let poise = await balancer(0, [port1, port2]);
    const stop = traffic(() => poise.port);
    const {page, said} = await openPage(`http://127.0.0.1:${poise.admin}/`);
    t.after(async () => {
        stop();
        await page.context().close();
        await Promise.all([...running].map(end));
        rmSync(work, {recursive: true});
    });
    const rps = page.getByTestId("rps");

    await hasText(page.locator(".sentence"), "All 2 backends are up.");
    await eventually(() => text(rps), (now) => Number(now.replace(/\D/g, "")) > 10, "figures move under load");
    await eventually(() => text(row(page, "app", "B1").getByTestId("rate")), (now) => now !== "0", "of a backend too");
    await eventually(() => text(page.getByTestId("p50")), (now) => /^\d/.test(now), "latency");

    await end(second);
    const state2 = row(page, "app", "B2").locator(".state");
    await hasText(state2, "Down");
    await hasText(row(page, "app", "B2"), "The backend refused the connection.");
    await hasText(page.locator(".troubles"), /B2 of app is down/);
    await backend("B2", port2);
    await hasText(state2, "Up");

    await row(page, "app", "B1").getByRole("button", {name: "Drain"}).click();
    await page.getByLabel("Token", {exact: true}).fill("not it");
    await page.keyboard.press("Enter");
    await hasText(page.getByRole("dialog"), "That token was refused");
    await page.getByLabel("Token", {exact: true}).fill(TOKEN);
    await page.keyboard.press("Enter");
    await hasText(row(page, "app", "B1").locator(".state"), /Drain(ing|ed)/);
    await eventually(() => text(row(page, "app", "B1").getByTestId("rate")), (now) => now === "0", "nothing new for B1");
    await row(page, "app", "B1").getByRole("button", {name: "Enable"}).click();
    await hasText(row(page, "app", "B1").locator(".state"), "Up");

    await page.getByRole("button", {name: "B1", exact: true}).click();
    await page.getByRole("dialog").getByLabel("Weight").fill("7");
    await page.getByRole("button", {name: "Set", exact: true}).click();
    await hasText(page.getByTestId("toast"), "The weight of B1 is 7.");
    await page.keyboard.press("Escape");

    const [third, port3] = await backend("B3");
    await page.getByRole("button", {name: "Add a backend to app"}).click();
    await page.getByRole("dialog").getByLabel("Address").fill("127.0.0.1");
    await page.getByRole("button", {name: "Add backend"}).click();
    await page.getByRole("alert").waitFor();
    await page.getByRole("dialog").getByLabel("Address").fill(`127.0.0.1:${port3}`);
    await page.getByRole("dialog").getByLabel("Name").fill("B3");
    await page.getByRole("button", {name: "Add backend"}).click();
    await eventually(() => text(row(page, "app", "B3").getByTestId("rate")), (now) => now !== "0", "traffic for B3");
    await page.getByRole("button", {name: "B3", exact: true}).click();
    await page.getByRole("button", {name: "Remove…"}).click();
    await page.getByRole("button", {name: "Remove B3"}).click();
    await row(page, "app", "B3").waitFor({state: "detached"});
    await end(third);

    await end(poise.child);
    await page.getByTestId("lost").waitFor();
    poise = await balancer(poise.admin, [port1, port2]);
    await page.getByTestId("restarted").waitFor();
    await hasText(page.getByTestId("process-state"), "Serving");
    await eventually(() => text(rps), (now) => Number(now.replace(/\D/g, "")) > 10, "figures move again");
    assert.ok(first.exitCode === null);
    assert.deepEqual(said.filter((line) => !/^Failed to load resource/.test(line)), []);
});
