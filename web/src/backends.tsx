// SPDX-License-Identifier: MIT
// The list of backends: searched, filtered, sorted, and only as much of it as is on the screen.
import type {JSX} from "preact";
import {useEffect, useMemo, useRef, useState} from "preact/hooks";
import {count, needsAttention, plural, stateOrder, stateWords} from "./format";
import {SearchIcon} from "./icons";
import {useModel} from "./model";
import {BackendRow, PoolHeader} from "./rows";
import {countStates, keepOrder, select} from "./select";
import type {Choice, Item, SortKey} from "./select";
import {ui, useUi} from "./ui";
import {Windowed} from "./windowed";

const NARROW = "(max-width: 760px)";
const RESORT_TICKS = 4;

const columns: [SortKey | "", string, string, string][] = [
    ["state", "State", "", ""],
    ["name", "Backend", "", ""],
    ["rate", "Requests", "num", "Requests a second, and the last minute"],
    ["p50", "p50", "num", "Half of the requests of the last ten seconds were answered within"],
    ["p99", "p99", "num", "99 of 100 requests of the last ten seconds were answered within"],
    ["flight", "In flight", "num", "Exchanges under way"],
    ["failed", "Failed", "num", "Exchanges the backend failed since the start"],
    ["weight", "Weight", "num", "Its share of the traffic"],
    ["", "", "", ""],
];

const sortWords: Record<SortKey, string> = {
    file: "As configured", state: "State", name: "Name", rate: "Requests", p50: "p50", p99: "p99",
    flight: "In flight", failed: "Failed", weight: "Weight",
};

/** The first direction is the one asked for most: names from a, figures from the largest. */
function turn(choice: Choice, sort: SortKey): Partial<Choice> {
    const first = sort === "name";
    if (choice.sort !== sort)
        return {sort, up: first};
    return choice.up === first ? {up: !first} : {sort: "file", up: true};
}

function useNarrow(): boolean {
    const [narrow, set] = useState(() => matchMedia(NARROW).matches);
    useEffect(() => {
        const media = matchMedia(NARROW);
        const look = (): void => set(media.matches);
        media.addEventListener("change", look);
        return () => media.removeEventListener("change", look);
    }, []);
    return narrow;
}

const wide = (item: Item): number => (item.kind === "pool" ? 56 : 48);
const narrow = (item: Item): number => (item.kind === "pool" ? 100 : 128);
const idOf = (item: Item): string => item.id;

type Choose = (part: Partial<Choice>) => void;

function ColumnHeads(props: {choice: Choice; choose: Choose}): JSX.Element {
    const {choice, choose} = props;
    return (
        <div class="row heads" role="row">
            {columns.map(([sort, title, kind, says]) => {
                const on = sort !== "" && choice.sort === sort;
                return (
                    <div key={title} class={`cell ${kind}`} role="columnheader"
                        {...(sort ? {"aria-sort": on ? (choice.up ? "ascending" : "descending") : "none"} as const : {})}>
                        {sort ? (
                            <button type="button" title={says || `Sort by ${title.toLowerCase()}`}
                                onClick={() => choose(turn(choice, sort))}>
                                {title}<span class="arrow" aria-hidden="true">{on ? (choice.up ? "↑" : "↓") : ""}</span>
                            </button>
                        ) : <span class="hidden-text">Actions</span>}
                    </div>
                );
            })}
        </div>
    );
}

function StateFilter(props: {choice: Choice; choose: Choose}): JSX.Element {
    const {choice, choose} = props;
    const pools = useModel((m) => m.pools);
    const counts = countStates(pools, choice.pool);
    let total = 0;
    let attention = 0;
    for (const [state, n] of counts) {
        total += n;
        if (needsAttention(state))
            attention += n;
    }
    const chips: [string, string, number][] = [["", "All", total]];
    if (attention > 0 || choice.state === "attention")
        chips.push(["attention", "Needs attention", attention]);
    for (const state of stateOrder)
        if (counts.has(state) || choice.state === state)
            chips.push([state, stateWords(state).word, counts.get(state) ?? 0]);
    return (
        <div class="chips" role="group" aria-label="Show by state">
            {chips.map(([state, word, n]) => (
                <button key={state} type="button" class="chip" aria-pressed={choice.state === state}
                    onClick={() => choose({state})}>
                    {word} <span class="chip-count">{count(n)}</span>
                </button>
            ))}
        </div>
    );
}

function SearchBox(props: {words: string; choose: Choose}): JSX.Element {
    const input = useRef<HTMLInputElement>(null);
    useEffect(() => {
        const key = (event: KeyboardEvent): void => {
            const at = event.target as HTMLElement;
            if (event.key !== "/" || event.ctrlKey || event.metaKey || at.closest("input, textarea, select, dialog"))
                return;
            event.preventDefault();
            input.current?.focus();
        };
        document.addEventListener("keydown", key);
        return () => document.removeEventListener("keydown", key);
    }, []);
    return (
        <label class="search">
            <SearchIcon />
            <span class="hidden-text">Search backends</span>
            <input ref={input} type="search" placeholder="Name, address, reason" value={props.words}
                autocomplete="off" spellcheck={false}
                onInput={(event) => props.choose({words: event.currentTarget.value})}
                onKeyDown={(event) => {
                    if (event.key === "Escape")
                        props.choose({words: ""});
                }} />
            <kbd aria-hidden="true" title="Press / to search">/</kbd>
        </label>
    );
}

function Toolbar(props: {choice: Choice; choose: Choose; shown: number}): JSX.Element {
    const {choice, choose} = props;
    return (
        <div class="toolbar">
            <SearchBox words={choice.words} choose={choose} />
            <StateFilter choice={choice} choose={choose} />
            {choice.pool !== undefined && (
                <button type="button" class="chip is-set" onClick={() => ui.change({pool: undefined})}
                    aria-label={`Only the pool ${choice.pool}. Show every pool`}>
                    Pool {choice.pool} <span aria-hidden="true">×</span>
                </button>
            )}
            <label class="sort">
                <span>Sort by</span>
                <select value={choice.sort}
                    onChange={(event) => choose({sort: event.currentTarget.value as SortKey, up: event.currentTarget.value === "name"})}>
                    {(Object.keys(sortWords) as SortKey[]).map((key) => <option key={key} value={key}>{sortWords[key]}</option>)}
                </select>
            </label>
        </div>
    );
}

/** Up and down go from backend to backend. */
function onArrow(event: KeyboardEvent, items: Item[]): void {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const at = event.target as HTMLElement;
    if (step === 0 || !at.matches(".backend-name"))
        return;
    event.preventDefault();
    const here = items.findIndex((item) => item.id === at.closest<HTMLElement>("[data-row]")?.dataset["row"]);
    for (let i = here + step; i >= 0 && i < items.length; i += step) {
        const id = items[i]!.id;
        const next = [...document.querySelectorAll<HTMLElement>("[data-row]")].find((row) => row.dataset["row"] === id);
        const name = next?.querySelector<HTMLElement>(".backend-name");
        if (!next || name) {
            name?.focus();
            name?.scrollIntoView({block: "nearest"});
            return;
        }
    }
}

function useItems(choice: Choice): Item[] {
    const pools = useModel((m) => m.pools);
    const ticks = useModel((m) => m.ticks);
    const round = choice.sort === "file" ? 0 : Math.floor(ticks / RESORT_TICKS);
    const held = useRef<{choice: Choice; round: number; items: Item[]} | undefined>(undefined);
    return useMemo(() => {
        const items = select(pools, choice);
        const before = held.current;
        const calm = before && before.choice === choice && before.round === round && choice.sort !== "file";
        const next = calm ? keepOrder(before.items, items) : items;
        held.current = {choice, round, items: next};
        return next;
    }, [pools, choice, round]);
}

function Empty(props: {choice: Choice; choose: Choose}): JSX.Element {
    const some = useModel((m) => m.pools.some((pool) => pool.backends.length > 0));
    if (!some)
        return <p class="empty">There are no backends yet. Add one to a pool here, or in the configuration file.</p>;
    return (
        <div class="empty">
            <p>No backend fits.</p>
            <button type="button" class="button" onClick={() => {
                props.choose({words: "", state: ""});
                ui.change({pool: undefined});
            }}>Show all</button>
        </div>
    );
}

export function Backends(): JSX.Element {
    const pool = useUi((u) => u.pool);
    const [own, setOwn] = useState<Omit<Choice, "pool">>({words: "", state: "", sort: "file", up: true});
    const choice = useMemo<Choice>(() => ({...own, pool}), [own, pool]);
    const choose = (part: Partial<Choice>): void => setOwn((before) => ({...before, ...part}));
    const items = useItems(choice);
    const isNarrow = useNarrow();
    const cut = useModel((m) => m.pools.find((p) => p.backends_total > p.backends.length));
    const rows = items.filter((item) => item.kind === "backend").length;
    return (
        <section class="card backends" aria-labelledby="backends-title">
            <div class="card-head">
                <h2 id="backends-title">Backends</h2>
                <span class="quiet">{plural(rows, "backend")} shown</span>
            </div>
            <Toolbar choice={choice} choose={choose} shown={rows} />
            {cut && <p class="quiet cut">Of pool {cut.name} the first {count(cut.backends.length)} of {count(cut.backends_total)} are here.</p>}
            {items.length === 0 ? <Empty choice={choice} choose={choose} /> : (
                <div class="table" role="table" aria-label="Backends" aria-rowcount={items.length + 1}
                    onKeyDown={(event) => onArrow(event, items)}>
                    <ColumnHeads choice={choice} choose={choose} />
                    <Windowed items={items} height={isNarrow ? narrow : wide} id={idOf} row={(item, i) => (
                        item.kind === "pool"
                            ? <PoolHeader pool={item.pool} index={i + 2} />
                            : <BackendRow backend={item.backend} pool={item.pool.name} index={i + 2}
                                showPool={choice.sort !== "file"} />
                    )} />
                </div>
            )}
        </section>
    );
}
