// SPDX-License-Identifier: MIT
// Which backends the list shows, and in which order.
import type {Backend, Pool} from "./api";
import {needsAttention, stateOrder, stateWords} from "./format";

export type SortKey = "file" | "state" | "name" | "rate" | "p50" | "p99" | "flight" | "failed" | "weight";

export interface Choice {
    words: string;
    state: string; // "", a state, or "attention"
    pool: string | undefined;
    sort: SortKey;
    up: boolean; // ascending
}

export interface Row {
    kind: "backend";
    id: string;
    pool: Pool;
    backend: Backend;
}

export interface PoolRow {
    kind: "pool";
    id: string;
    pool: Pool;
    shown: number;
}

export type Item = Row | PoolRow;

const figures: Record<Exclude<SortKey, "file" | "name">, (b: Backend) => number> = {
    state: (b) => (stateOrder.indexOf(b.state) + stateOrder.length) % stateOrder.length,
    rate: (b) => b.requests_per_second,
    p50: (b) => b.latency_ms?.p50 ?? -1,
    p99: (b) => b.latency_ms?.p99 ?? -1,
    flight: (b) => b.in_flight,
    failed: (b) => b.failures,
    weight: (b) => b.weight,
};

function fits(pool: Pool, b: Backend, words: string[], state: string): boolean {
    if (state === "attention" ? !needsAttention(b.state) : state && b.state !== state)
        return false;
    if (words.length === 0)
        return true;
    const text = `${pool.name} ${b.name} ${b.address} ${b.state} ${stateWords(b.state).word} ${b.reason_text ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
}

export function rowId(pool: string, backend: string): string {
    return `${pool}\n${backend}`;
}

function filtered(pools: Pool[], choice: Choice): Map<Pool, Row[]> {
    const words = choice.words.toLowerCase().split(/\s+/).filter(Boolean);
    const found = new Map<Pool, Row[]>();
    for (const pool of pools) {
        if (choice.pool !== undefined && pool.name !== choice.pool)
            continue;
        const rows = pool.backends.filter((b) => fits(pool, b, words, choice.state))
            .map((backend): Row => ({kind: "backend", id: rowId(pool.name, backend.name), pool, backend}));
        if (rows.length > 0 || (words.length === 0 && !choice.state))
            found.set(pool, rows);
    }
    return found;
}

function sorted(rows: Row[], choice: Choice): Row[] {
    const sign = choice.up ? 1 : -1;
    const byName = (a: Row, b: Row): number => a.backend.name.localeCompare(b.backend.name, "en", {numeric: true});
    if (choice.sort === "name" || choice.sort === "file")
        return rows.sort((a, b) => sign * byName(a, b));
    const figure = figures[choice.sort];
    return rows.sort((a, b) => sign * (figure(a.backend) - figure(b.backend)) || byName(a, b));
}

/** By pool in the order of the configuration, or all in one order of figures. */
export function select(pools: Pool[], choice: Choice): Item[] {
    const found = filtered(pools, choice);
    if (choice.sort !== "file")
        return sorted([...found.values()].flat(), choice);
    return [...found].flatMap(([pool, rows]): Item[] =>
        [{kind: "pool", id: `pool\n${pool.name}`, pool, shown: rows.length}, ...rows]);
}

/**
 * Items in the order of before where their set is the same: figures move each second, and rows that
 * jump about cannot be read or hit.
 */
export function keepOrder(before: Item[], items: Item[]): Item[] {
    if (before.length !== items.length)
        return items;
    const known = new Map(items.map((item) => [item.id, item]));
    const kept = before.map((item) => known.get(item.id));
    return kept.every((item) => item !== undefined) ? (kept as Item[]) : items;
}

export function countStates(pools: Pool[], pool: string | undefined): Map<string, number> {
    const counts = new Map<string, number>();
    for (const p of pools) {
        if (pool !== undefined && p.name !== pool)
            continue;
        for (const b of p.backends)
            counts.set(b.state, (counts.get(b.state) ?? 0) + 1);
    }
    return counts;
}
