// SPDX-License-Identifier: MIT
// Numbers and words, and the order of lists: without a browser.
import assert from "node:assert/strict";
import test from "node:test";
import type {Backend, Pool, Tick} from "../src/api";
import {bytes, count, duration, expiry, matchWords, percent, poolLabels, rate, span, stateWords, time} from "../src/format";
import {share} from "../src/model";
import {keepOrder, select} from "../src/select";
import type {Choice} from "../src/select";
import {Series} from "../src/series";

test("numbers have units and as many digits as say something", () => {
    assert.deepEqual([0, 812, 12345, 1234567, undefined].map(count), ["0", "812", "12,345", "1.23 M", "–"]);
    assert.deepEqual([0, 0.5, 12.5, 812.4, 9999, 12345].map(rate), ["0", "0.5", "13", "812", "9,999", "12.3 k"]);
    assert.deepEqual([0.04, 0.4, 9.999, 12.5, 999.9, 12000, undefined].map(time),
        ["40 µs", "0.40 ms", "10.0 ms", "12.5 ms", "1.00 s", "12.0 s", "–"]);
    assert.deepEqual([2000, 1.5, 250].map(duration), ["2 s", "1.5 ms", "250 ms"]);
    assert.deepEqual([0, 1000, 1024, 10 * 1024 ** 3].map(bytes), ["0 B", "1000 B", "1.00 KiB", "10.0 GiB"]);
    assert.deepEqual([0, 0.00001, 0.0123, 0.5, 1, undefined].map(percent),
        ["0 %", "< 0.01 %", "1.23 %", "50.0 %", "100 %", "–"]);
    assert.deepEqual([0, 59e3, 60e3, 3725e3, 86400e3 * 3 + 4 * 3600e3].map(span),
        ["0 s", "59 s", "1 min", "1 h 2 min", "3 d 4 h"]);
});

test("a state nobody knew when the page was made is shown as it is", () => {
    assert.equal(stateWords("melting").word, "melting");
    assert.equal(stateWords("up").word, "Up");
});

test("routes are told in words", () => {
    assert.deepEqual(matchWords({host: ["a.example", "b.example"], path_prefix: "/v1/", method: ["GET"], header: {"x-beta": "1"}}),
        ["a.example, b.example", "/v1/*", "GET", "x-beta: 1"]);
    assert.deepEqual(matchWords({}), ["every request"]);
});

test("protocols and the end of certificates are told in words", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    const at = (hours: number): string => new Date(now + hours * 3600e3).toISOString();
    assert.deepEqual([24 * 90, 24 * 14, 72, 47, 1, -1, -49].map((h) => expiry(at(h), now)), [
        {words: "expires in 90 days", tone: undefined}, {words: "expires in 14 days", tone: "warn"},
        {words: "expires in 3 days", tone: "bad"}, {words: "expires in 47 hours", tone: "bad"},
        {words: "expires in 1 hour", tone: "bad"}, {words: "expired 1 hour ago", tone: "bad"},
        {words: "expired 2 days ago", tone: "bad"},
    ]);
    const pool = (protocol: string, verify?: boolean): string[] =>
        poolLabels({protocol, ...(verify === undefined ? {} : {tls: {verify}})} as Pool).map(([word]) => word);
    assert.deepEqual([pool("http"), pool("http2", true), pool("tcp", false), pool("quic")],
        [["HTTP/1"], ["HTTP/2", "TLS"], ["TCP", "TLS unverified"], ["quic"]]);
});

test("what did not change stays the same object", () => {
    const before = {a: {x: 1, list: [1, 2]}, b: {y: 1}};
    const after = share(before, {a: {x: 1, list: [1, 2]}, b: {y: 2}});
    assert.equal(after.a, before.a);
    assert.notEqual(after.b, before.b);
    assert.equal(share(before, structuredClone(before)), before);
    assert.notEqual(share(before, {a: before.a} as unknown), before);
});

function backend(name: string, part: Partial<Backend> = {}): Backend {
    return {
        name, address: `${name}:80`, weight: 1, backup: false, state: "up", admin_state: "ready", in_flight: 0, requests: 0,
        requests_per_second: 0, failures: 0, ...part,
    };
}

function pool(name: string, backends: Backend[]): Pool {
    return {
        name, balance: "p2c", protocol: "http", backends_total: backends.length, backends_up: 0, waiting: 0, requests: 0,
        requests_per_second: 0, retries: 0, backends,
    };
}

const pools = [
    pool("app", [backend("app-2", {requests_per_second: 5}), backend("app-10", {state: "down", reason_text: "It refused."})]),
    pool("api", [backend("api-1", {requests_per_second: 9})]),
];
const all: Choice = {words: "", state: "", pool: undefined, sort: "file", up: true};

function names(choice: Partial<Choice>): string[] {
    return select(pools, {...all, ...choice}).map((item) => (item.kind === "pool" ? `[${item.pool.name}]` : item.backend.name));
}

test("backends are found and sorted", () => {
    assert.deepEqual(names({}), ["[app]", "app-2", "app-10", "[api]", "api-1"]);
    assert.deepEqual(names({words: "REFUSED app"}), ["[app]", "app-10"]);
    assert.deepEqual(names({state: "attention"}), ["[app]", "app-10"]);
    assert.deepEqual(names({pool: "api"}), ["[api]", "api-1"]);
    assert.deepEqual(names({sort: "rate", up: false}), ["api-1", "app-2", "app-10"]);
    assert.deepEqual(names({sort: "name"}), ["api-1", "app-2", "app-10"]);
    assert.deepEqual(names({words: "nothing like it"}), []);
});

test("an order is kept while its set is the same", () => {
    const before = select(pools, {...all, sort: "name"});
    const after = select(pools, {...all, sort: "rate", up: true});
    assert.deepEqual(keepOrder(before, after).map((i) => i.id), before.map((i) => i.id));
    assert.equal(keepOrder(before.slice(1), after), after);
});

function tick(requests: number, failed: number): Tick {
    return {
        status: {requests, requests_per_second: 100, codes: {"2xx": requests - failed, "5xx": failed}} as unknown as Tick["status"],
        listeners: [], pools: [],
    };
}

test("curves: a second a point, gaps where nobody told, errors as a share of the last seconds", () => {
    const series = new Series();
    const start = 1_700_000_000_000;
    assert.equal(series.errorShare(), undefined);
    series.add(tick(100, 0), start);
    series.add(tick(200, 10), start + 1000);
    assert.equal(series.errorShare(), 0.1);
    assert.deepEqual(series.errors, [null, 10]);
    series.add(tick(300, 10), start + 9000);
    assert.deepEqual(series.rps, [100, 100, null, 100]);
    series.restart();
    series.add(tick(5, 5), start + 10000);
    assert.equal(series.errors[4], null, "counters that begin anew are no burst");
    for (let i = 11; i < 1000; i++)
        series.add(tick(i * 100, 0), start + i * 1000);
    assert.ok(series.t.length <= 302);
});
