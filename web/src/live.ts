// SPDX-License-Identifier: MIT
// The line to the balancer: its events, and coming back when it was away.
import type {ChangeEvent, HealthEvent, LogLine, Status, Tick} from "./api";
import {stateWords} from "./format";
import {change, current, greet, take, tell} from "./model";
import {announce} from "./announce";

const QUIET_MS = 5000; // ticks come each second
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5000;

let source: EventSource | undefined;
let retryMs = RETRY_FIRST_MS;
let watchdog = 0;
let retryTimer = 0;

function fieldsText(fields: Record<string, unknown> | undefined): string {
    return Object.entries(fields ?? {}).map(([key, value]) => ` ${key}=${String(value)}`).join("");
}

function onHealth(e: HealthEvent): void {
    const words = stateWords(e.state);
    const why = e.state === "up" || !e.reason_text ? "" : `: ${e.reason_text}`;
    const level = words.tone === "bad" ? "error" : words.tone === "warn" ? "warning" : "info";
    const text = `${e.backend} of ${e.pool} is ${words.word.toLowerCase()}${why}`;
    announce(text);
    if (words.tone !== "move" && words.tone !== "off") // an operator's doing: the event of the change says it
        tell("health", level, "health", text);
}

/** Of backends the events of health and of changes say the same, in words. */
function onLog(e: LogLine): void {
    const fields = e.fields ?? {};
    if ((e.area === "health" || e.area === "pool") && "backend" in fields && ("state" in fields || "change" in fields))
        return;
    tell("log", e.level, e.area, (e.message + fieldsText(e.fields)).trim(), e.at);
}

function onChange(e: ChangeEvent): void {
    tell("change", "info", e.what, `${e.name} ${e.change}${e.detail ? `: ${e.detail}` : ""}`);
}

function listen<T>(name: string, take: (data: T) => void): void {
    source?.addEventListener(name, (event) => {
        let data: T;
        try {
            data = JSON.parse((event as MessageEvent<string>).data) as T;
        } catch {
            tell("page", "warning", "page", `An event '${name}' was not understood.`);
            return;
        }
        feed();
        take(data);
    });
}

/** Somebody is there. */
function feed(): void {
    retryMs = RETRY_FIRST_MS;
    clearTimeout(watchdog);
    watchdog = window.setTimeout(() => lose("No news for five seconds."), QUIET_MS);
}

/** Why there is no stream, where the balancer says it in words: an EventSource cannot tell. */
async function askWhy(): Promise<void> {
    const stop = new AbortController();
    try {
        const answer = await fetch("/api/v1/events", {cache: "no-store", credentials: "omit", signal: stop.signal});
        if (!answer.ok) {
            const body = (await answer.json()) as {error?: {message?: string}};
            const link = current().link;
            if (body.error?.message && link.is === "lost")
                change({link: {...link, why: body.error.message}});
        }
    } catch {
        // It is away: that is what the page says already.
    }
    stop.abort();
}

function lose(why?: string): void {
    source?.close();
    source = undefined;
    clearTimeout(watchdog);
    clearTimeout(retryTimer);
    const now = Date.now();
    const before = current().link;
    if (before.is === "live") {
        tell("page", "warning", "page", "The connection to the balancer was lost.");
        announce("The connection to the balancer was lost. Trying again.");
    }
    const since = before.is === "lost" ? before.since : now;
    change({link: {is: "lost", since, retryAt: now + retryMs, ...(why ? {why} : {})}});
    retryTimer = window.setTimeout(connect, retryMs);
    retryMs = Math.min(RETRY_MAX_MS, retryMs * 1.6);
    if (!why)
        void askWhy();
}

export function connect(): void {
    clearTimeout(retryTimer);
    source?.close();
    source = new EventSource("/api/v1/events");
    source.onerror = () => lose();
    clearTimeout(watchdog);
    watchdog = window.setTimeout(() => lose("No answer for five seconds."), QUIET_MS);
    listen<Status>("hello", (status) => {
        const was = current().link.is;
        greet(status, Date.now());
        if (was === "lost") {
            tell("page", "info", "page", "Connected again.");
            announce("Connected to the balancer again.");
        }
    });
    listen<Tick>("tick", (tick) => take(tick, Date.now()));
    listen<LogLine>("log", onLog);
    listen<HealthEvent>("health", onHealth);
    listen<ChangeEvent>("change", onChange);
}
