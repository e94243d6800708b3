// SPDX-License-Identifier: MIT
// The last minutes, a point a second. A second nobody told us of is a gap, never a straight line.
import type {Pool, Status, Tick} from "./api";

export const SERIES_SECONDS = 300;
const ERROR_WINDOW_S = 10;

type Line = (number | null)[];

interface Totals {
    at: number;
    requests: number;
    errors: number;
}

/** Answers 5xx, and for what is not HTTP the exchanges that a backend failed. */
function errorsOf(status: Status, pools: Pool[]): number {
    let errors = status.codes?.["5xx"] ?? 0;
    for (const pool of pools)
        if (pool.protocol !== "http")
            for (const backend of pool.backends ?? [])
                errors += backend.failures;
    return errors;
}

export class Series {
    t: number[] = [];
    rps: Line = [];
    p50: Line = [];
    p99: Line = [];
    errors: Line = [];
    private totals: Totals[] = [];

    /** What the balancer remembers from before this page. */
    recall(status: Status, now: number): void {
        const seconds = Math.floor(now / 1000);
        const history = (status.history ?? []).slice(-60);
        history.forEach((n, i) => this.push(seconds - history.length + i, n, null, null, null));
    }

    add(tick: Tick, now: number): void {
        const t = Math.floor(now / 1000);
        const last = this.t[this.t.length - 1];
        if (last !== undefined && t <= last)
            this.drop(t);
        else if (last !== undefined && t - last > 3)
            this.push(last + 1, null, null, null, null);
        const totals = {at: now, requests: tick.status.requests, errors: errorsOf(tick.status, tick.pools)};
        const before = this.totals[this.totals.length - 1];
        this.totals.push(totals);
        while (this.totals.length > 2 && now - this.totals[0]!.at > ERROR_WINDOW_S * 1000)
            this.totals.shift();
        const passed = before ? (now - before.at) / 1000 : 0;
        const errors = before && passed > 0.2 ? Math.max(0, totals.errors - before.errors) / passed : null;
        const latency = tick.status.latency_ms;
        this.push(t, tick.status.requests_per_second, latency?.p50 ?? null, latency?.p99 ?? null, errors);
    }

    /** Counters begin at nothing. */
    restart(): void {
        this.totals = [];
    }

    /** The share of failed exchanges among those of the last ten seconds. */
    errorShare(): number | undefined {
        const first = this.totals[0];
        const last = this.totals[this.totals.length - 1];
        if (!first || !last || first === last)
            return undefined;
        const requests = last.requests - first.requests;
        return requests > 0 ? Math.min(1, Math.max(0, last.errors - first.errors) / requests) : 0;
    }

    private drop(from: number): void {
        while (this.t.length > 0 && this.t[this.t.length - 1]! >= from)
            for (const line of [this.t, this.rps, this.p50, this.p99, this.errors])
                line.pop();
    }

    private push(t: number, rps: number | null, p50: number | null, p99: number | null,
        errors: number | null): void {
        this.t.push(t);
        this.rps.push(rps);
        this.p50.push(p50);
        this.p99.push(p99);
        this.errors.push(errors);
        while (this.t[0]! < t - SERIES_SECONDS)
            for (const line of [this.t, this.rps, this.p50, this.p99, this.errors])
                line.shift();
    }
}
