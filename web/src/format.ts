// SPDX-License-Identifier: MIT
// Numbers, times and states in words, always with their units.
import type {Listener, Pool} from "./api";

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});

export const NONE = "–";

function short(n: number, steps: readonly string[], base: number): [string, string] {
    let i = 0;
    while (Math.abs(n) >= base * 0.9995 && i < steps.length - 1) {
        n /= base;
        i++;
    }
    const digits = i === 0 && Number.isInteger(n) ? 0 : Math.abs(n) < 9.995 ? 2 : Math.abs(n) < 99.95 ? 1 : 0;
    return [n.toFixed(digits), steps[i] ?? ""];
}

/** A count, in full to five digits: 812, 12,345, 1.23 M. */
export function count(n: number | undefined): string {
    if (n === undefined)
        return NONE;
    if (Math.abs(n) < 100000)
        return whole.format(n);
    const [value, step] = short(n, ["", "k", "M", "G", "T"], 1000);
    return `${value} ${step}`;
}

/** A rate without its unit: 0, 0.50, 12.5, 812, 12.3 k. */
export function rate(n: number | undefined): string {
    if (n === undefined)
        return NONE;
    if (n === 0)
        return "0";
    if (n < 9.995)
        return n.toFixed(1);
    if (n < 9999.5)
        return whole.format(n);
    const [value, step] = short(n, ["", "k", "M"], 1000);
    return `${value} ${step}`;
}

/** Milliseconds with a fitting unit, as [number, unit]. */
export function millis(ms: number | undefined): [string, string] {
    if (ms === undefined)
        return [NONE, ""];
    if (ms < 0.0995)
        return [(ms * 1000).toFixed(0), "µs"];
    if (ms < 9.995)
        return [ms.toFixed(2), "ms"];
    if (ms < 99.95)
        return [ms.toFixed(1), "ms"];
    if (ms < 999.5)
        return [ms.toFixed(0), "ms"];
    return [(ms / 1000).toFixed(ms < 9995 ? 2 : 1), "s"];
}

export function time(ms: number | undefined): string {
    return millis(ms).join(" ").trim();
}

/** A round length of time without needless digits: 2 s, 1.5 ms. */
export function duration(ms: number): string {
    const [value, unit] = millis(ms);
    return `${Number(value)} ${unit}`;
}

export function bytes(n: number | undefined): string {
    if (n === undefined)
        return NONE;
    const [value, step] = short(n, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 1024);
    return `${value} ${step}`;
}

/** A share of one as per cent; what is there but tiny does not become nothing. */
export function percent(share: number | undefined): string {
    if (share === undefined)
        return NONE;
    if (share === 0)
        return "0 %";
    if (share < 0.0001)
        return "< 0.01 %";
    return `${(share * 100).toFixed(share < 0.0995 ? 2 : share < 0.995 ? 1 : 0)} %`;
}

/** A length of time by its two largest units: 4 s, 3 min 12 s, 2 h 5 min, 3 d 4 h. */
export function span(ms: number): string {
    const s = Math.max(0, Math.floor(ms / 1000));
    const parts: [number, string][] = [
        [Math.floor(s / 86400), "d"],
        [Math.floor(s / 3600) % 24, "h"],
        [Math.floor(s / 60) % 60, "min"],
        [s % 60, "s"],
    ];
    const first = parts.findIndex(([n]) => n > 0);
    if (first < 0)
        return "0 s";
    return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

export function clock(at: string | number | undefined): string {
    const d = new Date(at ?? NaN);
    return Number.isNaN(d.getTime()) ? NONE : d.toTimeString().slice(0, 8);
}

export function ago(at: string | undefined, now: number): string {
    const then = Date.parse(at ?? "");
    return Number.isNaN(then) ? NONE : `${span(now - then)} ago`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
    return `${whole.format(n)} ${n === 1 ? one : many}`;
}

/** The kind of a state, which is its colour: few, so that each means something. */
export type Tone = "good" | "bad" | "warn" | "move" | "off";

interface StateWords {
    tone: Tone;
    word: string;
    says: string;
}

const states: Record<string, StateWords> = {
    up: {tone: "good", word: "Up", says: "Healthy and taking traffic."},
    down: {tone: "bad", word: "Down", says: "Its health checks fail, so it takes no traffic."},
    ejected: {tone: "bad", word: "Ejected", says: "Real requests failed at it, so it rests for a while."},
    unresolved: {tone: "warn", word: "Unresolved", says: "Its name has no address yet; it is looked up again."},
    draining: {tone: "move", word: "Draining", says: "Takes nothing new; what runs is finished."},
    drained: {tone: "off", word: "Drained", says: "Takes nothing new, and nothing runs any more."},
    disabled: {tone: "off", word: "Disabled", says: "Switched off by an operator."},
    removing: {tone: "move", word: "Removing", says: "Goes as soon as its last exchange ends."},
};

export function stateWords(state: string): StateWords {
    return states[state] ?? {tone: "warn", word: state || "Unknown", says: ""};
}

export const stateOrder = Object.keys(states);

/** Whether somebody should look at it: not up, and nobody wanted that. */
export function needsAttention(state: string): boolean {
    const tone = stateWords(state).tone;
    return tone === "bad" || tone === "warn";
}

const policies: Record<string, string> = {p2c: "power of two choices", ewma: "latency (EWMA)"};

export function balanceWords(balance: string): string {
    return policies[balance] ?? balance.replace(/_/g, " ");
}

function listOf(value: unknown): string {
    return Array.isArray(value) ? value.map(String).join(", ") : String(value);
}

/** What a route asks for, one part each: "api.example.com", "/v1/*", "GET, HEAD", "x-beta: 1". */
export function matchWords(match: Record<string, unknown> | undefined): string[] {
    const parts: string[] = [];
    for (const [key, value] of Object.entries(match ?? {})) {
        if (key === "path_prefix")
            parts.push(`${listOf(value).replace(/\/$/, "")}/*`);
        else if (key === "header" || key === "headers")
            for (const [name, wanted] of Object.entries((value ?? {}) as Record<string, unknown>))
                parts.push(`${name}: ${listOf(wanted)}`);
        else
            parts.push(listOf(value));
    }
    return parts.length > 0 ? parts : ["every request"];
}

/** A label and what it means in full. */
export type Label = [word: string, says: string];

const protocols: Record<string, Label[]> = {
    tcp: [["TCP", "Bytes, passed on as they are"]],
    http: [["HTTP/1", "HTTP/1.0 and HTTP/1.1"]],
    http2: [["HTTP/2", "HTTP/2, of gRPC too"]],
};

function protocolLabels(protocol: string): Label[] {
    return protocols[protocol] ?? [[protocol, ""]];
}

const clientAuth: Record<string, Label[]> = {
    optional: [["mTLS optional", "Clients may show a certificate"]],
    require: [["mTLS", "Clients must show a certificate"]],
};

/** What clients may speak to a listener. */
export function listenerLabels(l: Listener): Label[] {
    const labels: Label[] = l.http2
        ? [["HTTP/1, HTTP/2", l.tls ? "HTTP/1.1, and HTTP/2 by ALPN" : "HTTP/1.1, and HTTP/2 by prior knowledge"]]
        : [...protocolLabels(l.protocol)];
    if (l.tls)
        labels.push([`TLS ${l.tls.min_version}+`, `TLS ${l.tls.min_version} or newer`], ...clientAuth[l.tls.client_auth] ?? []);
    return labels;
}

/** What is spoken to the backends of a pool. */
export function poolLabels(p: Pool): Label[] {
    const labels = [...protocolLabels(p.protocol)];
    if (p.tls)
        labels.push(p.tls.verify ? ["TLS", "TLS, and their certificates are verified"]
            : ["TLS unverified", "TLS, but whoever answers is believed"]);
    return labels;
}

const DAY_MS = 86400e3;

/** When a certificate ends, and how much that matters: as `poise status` has it. */
export function expiry(notAfter: string, nowMs: number): {words: string; tone: Tone | undefined} {
    const left = Date.parse(notAfter) - nowMs;
    const some = Math.abs(left);
    const n = some >= 2 * DAY_MS ? plural(Math.floor(some / DAY_MS), "day") : plural(Math.floor(some / 3600e3), "hour");
    return {
        words: left <= 0 ? `expired ${n} ago` : `expires in ${n}`,
        tone: left <= 3 * DAY_MS ? "bad" : left <= 14 * DAY_MS ? "warn" : undefined,
    };
}
