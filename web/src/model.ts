// SPDX-License-Identifier: MIT
// What the page knows. One plain object that is replaced at each change; parts that did not change
// stay the same objects, so that who shows them has nothing to do.
import type {Backend, Listener, Pool, Status, Tick} from "./api";
import {Cell, useCell} from "./cell";
import {Series} from "./series";

export type Link =
    | {is: "connecting"}
    | {is: "live"}
    | {is: "lost"; since: number; retryAt: number; why?: string};

export interface EventLine {
    id: number;
    at: string;
    kind: "log" | "health" | "change" | "page";
    level: string;
    area: string;
    text: string;
}

export interface Model {
    link: Link;
    status: Status | undefined;
    listeners: Listener[];
    pools: Pool[];
    ticks: number; // how many came: series below has changed when this has
    clockSkew: number; // the server's clock minus ours, ms
    restarted: string | undefined; // when the balancer was found to have started anew
    events: EventLine[]; // newest first
    eventsLost: number; // fell off the end
}

const EVENTS_MAX = 500;

const cell = new Cell<Model>({
    link: {is: "connecting"},
    status: undefined,
    listeners: [],
    pools: [],
    ticks: 0,
    clockSkew: 0,
    restarted: undefined,
    events: [],
    eventsLost: 0,
});

export const series = new Series();

export function current(): Model {
    return cell.value;
}

export function change(part: Partial<Model>): void {
    cell.change(part);
}

export function useModel<T>(select: (m: Model) => T): T {
    return useCell(cell, select);
}

/** next, with each part that equals its counterpart in prev replaced by that. */
export function share<T>(prev: unknown, next: T): T {
    if (Object.is(prev, next) || typeof next !== "object" || next === null ||
        typeof prev !== "object" || prev === null || Array.isArray(prev) !== Array.isArray(next))
        return next;
    const before = prev as Record<string, unknown>;
    const after = next as Record<string, unknown>;
    const keys = Object.keys(after);
    let same = keys.length === Object.keys(before).length;
    for (const key of keys) {
        const kept = share(before[key], after[key]);
        after[key] = kept;
        same = same && Object.is(kept, before[key]) && key in before;
    }
    return same ? (prev as T) : next;
}

function shareByName<T extends {name: string}>(prev: T[], next: T[]): T[] {
    const known = new Map(prev.map((item) => [item.name, item]));
    const kept = next.map((item) => share(known.get(item.name), item));
    return kept.length === prev.length && kept.every((item, i) => item === prev[i]) ? prev : kept;
}

function sharePools(prev: Pool[], next: Pool[]): Pool[] {
    const known = new Map(prev.map((pool) => [pool.name, pool]));
    for (const pool of next)
        pool.backends = shareByName(known.get(pool.name)?.backends ?? [], pool.backends ?? []);
    return shareByName(prev, next);
}

function isSameProcess(a: Status, b: Status): boolean {
    return a.started === b.started && (a.engine_pid ?? a.pid) === (b.engine_pid ?? b.pid);
}

/** hello: who is there. */
export function greet(status: Status, nowMs: number): void {
    const before = cell.value.status;
    const anew = before !== undefined && !isSameProcess(before, status);
    if (anew)
        series.restart();
    if (cell.value.ticks === 0)
        series.recall(status, nowMs);
    change({
        link: {is: "live"},
        status: share(before, status),
        restarted: anew ? status.started : cell.value.restarted,
        clockSkew: Date.parse(status.started) + status.uptime_ms - nowMs || 0,
    });
    if (anew)
        tell("page", "info", "page", "The balancer has been restarted; its counters begin at nothing.");
}

/** tick: everything, once a second. */
export function take(tick: Tick, nowMs: number): void {
    if (cell.value.status && !isSameProcess(cell.value.status, tick.status))
        greet(tick.status, nowMs);
    series.add(tick, nowMs);
    change({
        link: cell.value.link.is === "live" ? cell.value.link : {is: "live"},
        status: share(cell.value.status, tick.status),
        listeners: shareByName(cell.value.listeners, tick.listeners),
        pools: sharePools(cell.value.pools, tick.pools),
        ticks: cell.value.ticks + 1,
    });
}

let lastEvent = 0;

export function tell(
    kind: EventLine["kind"], level: string, area: string, text: string, at = new Date().toISOString()): void {
    const events = [{id: ++lastEvent, at, kind, level, area, text}, ...cell.value.events];
    const over = Math.max(0, events.length - EVENTS_MAX);
    change({events: over ? events.slice(0, EVENTS_MAX) : events, eventsLost: cell.value.eventsLost + over});
}

/** What a change was answered with, shown before the next tick says the same. */
export function patchBackend(pool: string, name: string, backend: Backend | undefined): void {
    const pools = cell.value.pools.map((p) => {
        if (p.name !== pool)
            return p;
        const at = p.backends.findIndex((b) => b.name === name);
        const backends = [...p.backends];
        if (backend && at >= 0)
            backends[at] = {...backends[at], ...backend};
        else if (backend)
            backends.push(backend);
        return {...p, backends};
    });
    change({pools});
}
