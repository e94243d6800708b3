// SPDX-License-Identifier: MIT
// The data of docs/api.md as types, and the calls that change something. What a value may lack is
// optional here, so that the page shows what an older or newer balancer says as far as it can.

export interface Latency {
    p50: number;
    p90: number;
    p99: number;
    max: number;
}

export type Codes = Record<string, number>;

export interface Status {
    version: string;
    pid: number;
    engine_pid?: number;
    started: string;
    uptime_ms: number;
    generation: number;
    state: string;
    config?: string;
    engine: string;
    workers: number;
    last_reload?: {at?: string; ok: boolean; message?: string};
    listeners: number;
    pools: number;
    backends: {total: number; up: number};
    clients: number;
    requests: number;
    requests_per_second: number;
    in_flight: number;
    bytes_in: number;
    bytes_out: number;
    retries: number;
    latency_ms?: Latency;
    codes?: Codes;
    history?: number[];
}

export interface Route {
    name: string;
    match?: Record<string, unknown>;
    pool?: string;
    at?: string;
}

export interface ListenerTls {
    min_version: string;
    client_auth: string;
    not_after?: string; // the first end of its certificates
}

export interface Listener {
    name: string;
    addresses: string[];
    protocol: string;
    http2?: boolean;
    tls?: ListenerTls;
    connections: number;
    max_connections?: number;
    requests: number;
    requests_per_second: number;
    pool?: string;
    at?: string;
    routes?: Route[];
}

export interface Check {
    at?: string;
    ok: boolean;
    reason?: string;
    ms?: number;
}

export interface Backend {
    name: string;
    address: string;
    weight: number;
    backup: boolean;
    state: string;
    admin_state: string;
    since?: string;
    reason?: string;
    reason_text?: string;
    last_check?: Check;
    in_flight: number;
    requests: number;
    requests_per_second: number;
    failures: number;
    retries?: number;
    codes?: Codes;
    bytes_in?: number;
    bytes_out?: number;
    latency_ms?: Latency;
    history?: number[];
}

export interface Health {
    type: string;
    path?: string;
    interval_ms?: number;
}

export interface Pool {
    name: string;
    balance: string;
    protocol: string;
    backends_total: number;
    backends_up: number;
    waiting: number;
    requests: number;
    requests_per_second: number;
    retries: number;
    at?: string;
    latency_ms?: Latency;
    health?: Health;
    tls?: {verify: boolean};
    backends: Backend[];
}

export interface Tick {
    status: Status;
    listeners: Listener[];
    pools: Pool[];
}

export interface LogLine {
    at: string;
    level: string;
    area: string;
    message: string;
    fields?: Record<string, unknown>;
}

export interface HealthEvent {
    pool: string;
    backend: string;
    state: string;
    reason?: string;
    reason_text?: string;
}

export interface ChangeEvent {
    what: string;
    name: string;
    change: string;
    detail?: string;
}

export interface NewBackend {
    name?: string;
    address: string;
    weight: number;
    backup: boolean;
    save: boolean;
}

export type Wanted = {state: "ready" | "drain" | "disabled"} | {weight: number};

/** What the server, or the way to it, said against a call. */
export class ApiError extends Error {
    constructor(
        readonly status: number,
        readonly reason: string,
        message: string,
        readonly field?: string,
    ) {
        super(message);
    }

    /** A token would help, or a right one. */
    get needsToken(): boolean {
        return this.status === 401;
    }
}

interface ErrorBody {
    error?: {reason?: string; message?: string; field?: string};
}

async function errorOf(answer: Response): Promise<ApiError> {
    let body: ErrorBody = {};
    try {
        body = (await answer.json()) as ErrorBody;
    } catch {
        // Not JSON: the status has to say it.
    }
    const said = body.error ?? {};
    return new ApiError(answer.status, said.reason ?? "failed",
        said.message ?? `The balancer answered ${answer.status} ${answer.statusText}.`, said.field);
}

export async function call<T>(
    method: string, path: string, token: string | undefined, body?: unknown): Promise<T> {
    const headers: Record<string, string> = {Accept: "application/json"};
    if (token)
        headers["Authorization"] = `Bearer ${token}`;
    if (body !== undefined)
        headers["Content-Type"] = "application/json";
    let answer: Response;
    try {
        answer = await fetch(`/api/v1${path}`, {
            method, headers, cache: "no-store", credentials: "omit",
            ...(body === undefined ? {} : {body: JSON.stringify(body)}),
        });
    } catch {
        throw new ApiError(0, "unreachable", "The balancer cannot be reached; nothing was changed.");
    }
    if (!answer.ok)
        throw await errorOf(answer);
    const text = await answer.text();
    return (text ? JSON.parse(text) : {}) as T;
}

export function backendPath(pool: string, name?: string): string {
    const path = `/pools/${encodeURIComponent(pool)}/backends`;
    return name === undefined ? path : `${path}/${encodeURIComponent(name)}`;
}
