// SPDX-License-Identifier: MIT
// A balancer that only talks: it plays docs/api.md with made-up traffic, for work on the page and for
// what a real one shows rarely. Run alone, it serves the page: node mock.mjs PAGE.html POLICY.txt [PORT].
import {readFileSync} from "node:fs";
import {createServer} from "node:http";
import type {IncomingMessage, Server, ServerResponse} from "node:http";
import type {AddressInfo} from "node:net";
import type {Backend, Codes, Latency, Listener, Pool, Status} from "../src/api";

export const TOKEN = "open-sesame";

export interface Shape {
    pools: {name: string; balance: string; backends: number; share: number; protocol?: string; tls?: {verify: boolean}; latency: number}[];
    listeners: Listener[];
    rate: number;
    idle?: boolean; // backends without traffic but the first few
}

export const SMALL: Shape = {
    rate: 1840,
    pools: [
        {name: "app", balance: "p2c", backends: 6, share: 0.62, latency: 3.1},
        {name: "api", balance: "least_connections", backends: 4, share: 0.3, protocol: "http2", tls: {verify: true}, latency: 11},
        {name: "static", balance: "round_robin", backends: 2, share: 0.06, latency: 0.4},
        {name: "postgres", balance: "source_hash", backends: 2, share: 0.02, protocol: "tcp", latency: 1.6},
    ],
    listeners: [
        {
            name: "web", addresses: ["0.0.0.0:8080", "[::]:8080"], protocol: "http", connections: 412, max_connections: 10000,
            requests: 0, requests_per_second: 0, pool: "app", at: "poise.yaml:12", http2: true,
            tls: {min_version: "1.2", client_auth: "optional", not_after: new Date(Date.now() + 60.5 * 86400e3).toISOString()},
            routes: [
                {name: "web[0]", match: {host: ["api.example.com"], path_prefix: "/v1"}, pool: "api", at: "poise.yaml:16"},
                {name: "web[1]", match: {path_prefix: "/assets", method: ["GET", "HEAD"]}, pool: "static", at: "poise.yaml:17"},
                {name: "web[2]", match: {headers: {"x-beta": "1"}}, pool: "api", at: "poise.yaml:18"},
            ],
        },
        {
            name: "db", addresses: ["127.0.0.1:5432"], protocol: "tcp", connections: 38, requests: 0,
            requests_per_second: 0, pool: "postgres", at: "poise.yaml:20", routes: [],
        },
    ],
};

export function many(backends: number): Shape {
    return {
        rate: 50000, idle: true,
        pools: [{name: "fleet", balance: "p2c", backends, share: 1, latency: 5}],
        listeners: [{
            name: "web", addresses: ["127.0.0.1:8080"], protocol: "http", connections: 5000, requests: 0,
            requests_per_second: 0, pool: "fleet", routes: [],
        }],
    };
}

/** The same numbers each run. */
function dice(seed: number): () => number {
    return () => {
        seed = (seed * 1664525 + 1013904223) >>> 0;
        return seed / 4294967296;
    };
}

function latencyOf(p50: number): Latency {
    const round = (n: number): number => Math.round(n * 1000) / 1000;
    return {p50: round(p50), p90: round(p50 * 2.1), p99: round(p50 * 4.4), max: round(p50 * 11)};
}

export class Mock {
    status: Status;
    pools: Pool[];
    listeners: Listener[];
    token: string | undefined = TOKEN;
    refuse = false; // every request, as while starting
    calls: {method: string; path: string; body: unknown}[] = [];
    private readonly random = dice(7);
    private server: Server | undefined;
    private readers = new Set<ServerResponse>();
    private timer: NodeJS.Timeout | undefined;
    private beats = 0;

    constructor(private readonly page: string, private readonly policy: string, private readonly shape: Shape,
        private readonly tickMs = 1000) {
        this.pools = shape.pools.map((p) => this.makePool(p));
        this.listeners = structuredClone(shape.listeners);
        this.status = this.makeStatus();
        for (let i = 0; i < 60; i++)
            this.beat();
    }

    /* ---- the balancer ---- */

    private makePool(p: Shape["pools"][number]): Pool {
        const backends = Array.from({length: p.backends}, (_, i): Backend => ({
            name: `${p.name}-${i + 1}`, address: `10.0.${p.name.length}.${(i % 250) + 10}:${8080 + Math.floor(i / 250)}`,
            weight: i === 0 && p.name === "app" ? 2 : 1, backup: p.name === "static" && i === 1, state: "up", admin_state: "ready",
            since: new Date(Date.now() - 3 * 3600e3).toISOString(), last_check: {at: new Date().toISOString(), ok: true, ms: 0.4},
            in_flight: 0, requests: 0, requests_per_second: 0, failures: 0, retries: 0, codes: {}, bytes_in: 0, bytes_out: 0,
            history: [],
        }));
        return {
            name: p.name, balance: p.balance, protocol: p.protocol ?? "http", backends_total: p.backends, backends_up: p.backends,
            waiting: 0, requests: 0, requests_per_second: 0, retries: 0, at: `poise.yaml:${20 + p.name.length}`,
            health: p.protocol === "tcp" ? {type: "tcp", interval_ms: 2000} : {type: "http", path: "/health", interval_ms: 2000},
            backends, ...(p.tls ? {tls: p.tls} : {}),
        };
    }

    private makeStatus(): Status {
        return {
            version: "0.1.0", pid: 4242, engine_pid: 4243, started: new Date(Date.now() - 11.4 * 3600e3).toISOString(),
            uptime_ms: 11.4 * 3600e3, generation: 3, state: "serving", config: "/etc/poise/poise.yaml", engine: "epoll", workers: 4,
            last_reload: {at: new Date().toISOString(), ok: true, message: ""}, listeners: this.listeners.length,
            pools: this.pools.length, backends: {total: 0, up: 0}, clients: 0, requests: 0, requests_per_second: 0, in_flight: 0,
            bytes_in: 0, bytes_out: 0, retries: 0, codes: {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}, history: [],
        };
    }

    private add(codes: Codes, code: string, n: number): void {
        codes[code] = (codes[code] ?? 0) + n;
    }

    private serve(b: Backend, share: number, p50: number): void {
        const takes = b.state === "up" ? share : 0;
        const rps = Math.round(takes * (0.88 + 0.24 * this.random()));
        b.requests_per_second = rps;
        b.requests += rps;
        b.history = [...(b.history ?? []).slice(-59), rps];
        if (b.state !== "draining")
            b.in_flight = rps > 0 ? Math.round((rps * p50) / 1000 + this.random()) : 0;
        if (rps > 0)
            b.latency_ms = latencyOf(p50 * (0.9 + 0.3 * this.random()));
        else
            delete b.latency_ms;
        const failed = this.random() < 0.008 ? Math.round(rps * 0.01) : 0;
        b.failures += failed;
        this.add(b.codes!, "2xx", rps - failed);
        this.add(this.status.codes!, "2xx", rps - failed);
        if (failed) {
            this.add(b.codes!, "5xx", failed);
            this.add(this.status.codes!, "5xx", failed);
        }
        b.bytes_in = (b.bytes_in ?? 0) + rps * 420;
        b.bytes_out = (b.bytes_out ?? 0) + rps * 5800;
    }

    beat(): void {
        this.beats++;
        const swing = 1 + 0.16 * Math.sin(this.beats / 17) + 0.08 * Math.sin(this.beats / 5);
        const s = this.status;
        this.shape.pools.forEach((p, i) => {
            const pool = this.pools[i]!;
            const up = pool.backends.filter((b) => b.state === "up" && !b.backup);
            const busy = this.shape.idle ? up.slice(0, 200) : up;
            const total = busy.reduce((n, b) => n + b.weight, 0) || 1;
            for (const [n, b] of pool.backends.entries())
                this.serve(b, busy.includes(b) ? (this.shape.rate * p.share * swing * b.weight) / total : 0, p.latency * (1 + 0.06 * (n % 5)));
            this.sum(pool, p.latency);
        });
        s.requests_per_second = this.pools.reduce((n, p) => n + p.requests_per_second, 0);
        s.requests += s.requests_per_second;
        s.in_flight = this.pools.reduce((n, p) => n + p.backends.reduce((k, b) => k + b.in_flight, 0), 0);
        s.clients = 450 + Math.round(20 * this.random());
        s.bytes_in += s.requests_per_second * 420;
        s.bytes_out += s.requests_per_second * 5800;
        s.latency_ms = latencyOf(3.4 * (0.85 + 0.3 * this.random()) * swing);
        s.uptime_ms = Date.now() - Date.parse(s.started);
        s.backends = {
            total: this.pools.reduce((n, p) => n + p.backends.length, 0),
            up: this.pools.reduce((n, p) => n + p.backends_up, 0),
        };
        s.history = [...(s.history ?? []).slice(-59), s.requests_per_second];
        const [first, second] = this.listeners;
        if (first)
            first.requests_per_second = s.requests_per_second * (second ? 0.98 : 1);
        if (second)
            second.requests_per_second = s.requests_per_second * 0.02;
    }

    private sum(pool: Pool, p50: number): void {
        pool.backends_total = pool.backends.length;
        pool.backends_up = pool.backends.filter((b) => b.state === "up").length;
        pool.requests_per_second = pool.backends.reduce((n, b) => n + b.requests_per_second, 0);
        pool.requests += pool.requests_per_second;
        if (pool.requests_per_second > 0)
            pool.latency_ms = latencyOf(p50 * (0.9 + 0.2 * this.random()));
        else
            delete pool.latency_ms;
    }

    backend(pool: string, name: string): Backend | undefined {
        return this.pools.find((p) => p.name === pool)?.backends.find((b) => b.name === name);
    }

    setState(pool: string, name: string, state: string, reason?: string, text?: string): void {
        const b = this.backend(pool, name)!;
        b.state = state;
        b.since = new Date().toISOString();
        delete b.reason;
        delete b.reason_text;
        if (reason && text)
            Object.assign(b, {reason, reason_text: text});
        if (state === "down" || state === "ejected")
            b.last_check = {at: b.since, ok: false, ms: 0.2, ...(reason ? {reason} : {})};
        this.emit("log", {
            at: b.since, level: state === "up" ? "info" : "warning", area: "health", message: "health",
            fields: {pool, backend: name, state, reason},
        });
        this.emit("health", {pool, backend: name, state, reason: b.reason, reason_text: b.reason_text});
    }

    kill(pool: string, name: string): void {
        this.setState(pool, name, "down", "connect_refused", "The backend refused the connection.");
    }

    log(level: string, area: string, message: string, fields: Record<string, unknown> = {}): void {
        this.emit("log", {at: new Date().toISOString(), level, area, message, fields});
    }

    /* ---- its server ---- */

    emit(event: string, data: unknown): void {
        for (const reader of this.readers)
            reader.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    }

    tick(): void {
        this.beat();
        this.emit("tick", {status: this.status, listeners: this.listeners, pools: this.pools});
    }

    async start(port = 0): Promise<number> {
        this.server = createServer((request, answer) => void this.answer(request, answer));
        await new Promise<void>((resolve) => this.server!.listen(port, "127.0.0.1", resolve));
        this.timer = setInterval(() => this.tick(), this.tickMs);
        return (this.server.address() as AddressInfo).port;
    }

    async stop(): Promise<void> {
        clearInterval(this.timer);
        this.server?.closeAllConnections();
        this.readers.clear();
        await new Promise((resolve) => this.server?.close(resolve));
    }

    /** What a supervisor does to a dead engine, slowly. */
    reborn(): void {
        this.status = {...this.makeStatus(), started: new Date().toISOString(), uptime_ms: 0, pid: 5001, engine_pid: 5002};
        for (const pool of this.pools)
            for (const b of pool.backends)
                Object.assign(b, {requests: 0, failures: 0, codes: {}, history: []});
    }

    private fail(answer: ServerResponse, status: number, reason: string, message: string, field?: string): void {
        this.json(answer, status, {error: {reason, message, ...(field ? {field} : {})}});
    }

    private json(answer: ServerResponse, status: number, body: unknown): void {
        answer.writeHead(status, {"Content-Type": "application/json"}).end(JSON.stringify(body));
    }

    private async answer(request: IncomingMessage, answer: ServerResponse): Promise<void> {
        const {method = "GET", url = "/"} = request;
        if (this.refuse) {
            this.fail(answer, 503, "unavailable", "The balancer is starting.");
        } else if (url === "/") {
            answer.writeHead(200, {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": this.policy}).end(this.page);
        } else if (url === "/api/v1/events") {
            answer.writeHead(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-store"});
            answer.write(`event: hello\ndata: ${JSON.stringify(this.status)}\n\n`);
            this.readers.add(answer);
            answer.on("close", () => this.readers.delete(answer));
        } else if (url === "/api/v1/status") {
            this.json(answer, 200, this.status);
        } else {
            await this.change(method, decodeURIComponent(url), request, answer);
        }
    }

    private async change(method: string, path: string, request: IncomingMessage, answer: ServerResponse): Promise<void> {
        let text = "";
        for await (const piece of request)
            text += String(piece);
        const at = /^\/api\/v1\/pools\/([^/]+)\/backends(?:\/(.+))?$/.exec(path);
        const pool = at && this.pools.find((p) => p.name === at[1]);
        if (!at || !pool)
            return this.fail(answer, 404, "not_found", `there is no ${path}`);
        if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`)
            return this.fail(answer, 401, "token_needed", "changing needs the token");
        const body = text ? (JSON.parse(text) as Record<string, unknown>) : {};
        this.calls.push({method, path, body});
        if (method === "POST")
            return this.addBackend(pool, body, answer);
        const b = pool.backends.find((x) => x.name === at[2]);
        if (!b)
            return this.fail(answer, 404, "not_found", `there is no backend '${at[2]}'`);
        if (method === "DELETE")
            pool.backends = pool.backends.filter((x) => x !== b);
        else
            this.patch(pool, b, body);
        this.json(answer, 200, {...b, ...(method === "DELETE" ? {state: "removing"} : {})});
    }

    private patch(pool: Pool, b: Backend, body: Record<string, unknown>): void {
        if (typeof body["weight"] === "number")
            b.weight = body["weight"];
        if (typeof body["state"] === "string") {
            b.admin_state = body["state"];
            b.state = {ready: "up", drain: "draining", disabled: "disabled"}[b.admin_state] ?? "up";
            b.since = new Date().toISOString();
            delete b.reason_text;
        }
        this.emit("change", {what: "backend", name: b.name, change: "changed", detail: `pool=${pool.name} ${JSON.stringify(body)}`});
    }

    private addBackend(pool: Pool, body: Record<string, unknown>, answer: ServerResponse): void {
        const address = String(body["address"] ?? "");
        if (!/:\d+$/.test(address))
            return this.fail(answer, 400, "bad_request", "'address' needs a port, such as \"10.0.0.5:8080\"", "address");
        const b: Backend = {
            name: String(body["name"] ?? address), address, weight: Number(body["weight"] ?? 1), backup: body["backup"] === true,
            state: "up", admin_state: "ready", in_flight: 0, requests: 0, requests_per_second: 0, failures: 0, codes: {}, history: [],
        };
        pool.backends.push(b);
        this.emit("change", {what: "backend", name: b.name, change: "added", detail: `pool=${pool.name}`});
        this.json(answer, 201, b);
    }
}

/** A scene with something of everything. */
export function scene(mock: Mock): void {
    mock.log("info", "app", "configuration loaded", {file: "/etc/poise/poise.yaml", generation: 3});
    mock.kill("app", "app-4");
    mock.setState("api", "api-3", "ejected", "passive_failures", "Too many requests failed at this backend in a short time.");
    Object.assign(mock.backend("api", "api-2")!, {admin_state: "drain", state: "draining", in_flight: 3});
    mock.backend("app", "app-4")!.failures = 12;
    mock.emit("change", {what: "backend", name: "api-2", change: "changed", detail: "pool=api state=drain"});
}

if (process.argv[2]?.endsWith(".html")) {
    const [, , page, policy, port, backends] = process.argv;
    const mock = new Mock(readFileSync(page!, "utf8"), readFileSync(policy!, "utf8"), backends ? many(Number(backends)) : SMALL);
    console.log(`http://127.0.0.1:${await mock.start(Number(port ?? 0))}/`);
    setTimeout(() => scene(mock), 3000);
}
