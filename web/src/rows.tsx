// SPDX-License-Identifier: MIT
// One line of the list: a pool's or a backend's.
import type {JSX} from "preact";
import {useState} from "preact/hooks";
import type {Backend, Health, Pool} from "./api";
import {Spark} from "./charts";
import {balanceWords, count, duration, rate, stateWords, time} from "./format";
import {PlusIcon, StateTag} from "./icons";
import {memo} from "./memo";
import {changeBackend, ui} from "./ui";

export function healthWords(health: Health | undefined): string {
    if (!health || health.type === "none")
        return "no health checks";
    const every = health.interval_ms ? ` every ${duration(health.interval_ms)}` : "";
    return health.type === "http" ? `checks GET ${health.path ?? "/"}${every}` : `checks by ${health.type}${every}`;
}

export const PoolHeader = memo(({pool, index}: {pool: Pool; index: number}): JSX.Element => (
    <div class="pool-row" role="row" aria-rowindex={index}>
        <div role="cell" class="pool-cell">
            <h3>{pool.name}</h3>
            <span class="quiet pool-facts">
                {balanceWords(pool.balance)} · {healthWords(pool.health)}{pool.at ? ` · ${pool.at}` : ""}
            </span>
        </div>
        <div role="cell" class="pool-numbers">
            <span><b>{count(pool.backends_up)}</b> of {count(pool.backends_total)} up</span>
            <span><b>{rate(pool.requests_per_second)}</b> /s</span>
            <span class="minor">p50 <b>{time(pool.latency_ms?.p50)}</b></span>
            <span class="minor">p99 <b>{time(pool.latency_ms?.p99)}</b></span>
            {pool.retries > 0 && <span class="minor"><b>{count(pool.retries)}</b> retries</span>}
            {pool.waiting > 0 && <span><b>{count(pool.waiting)}</b> waiting</span>}
            <button type="button" class="button small" aria-label={`Add a backend to ${pool.name}`}
                onClick={() => ui.change({adding: pool.name})}><PlusIcon />Add</button>
        </div>
    </div>
));

function QuickAction(props: {pool: string; backend: Backend}): JSX.Element {
    const [busy, setBusy] = useState(false);
    const {name, admin_state, state} = props.backend;
    const ready = admin_state === "ready";
    const word = ready ? "Drain" : "Enable";
    const act = async (): Promise<void> => {
        setBusy(true);
        await changeBackend(props.pool, name, {state: ready ? "drain" : "ready"}, false);
        setBusy(false);
    };
    return (
        <button type="button" class="button small quiet-button" disabled={busy || state === "removing"}
            aria-label={`${word} ${name} of ${props.pool}`} onClick={() => void act()}>
            {word}
        </button>
    );
}

interface RowProps {
    backend: Backend;
    pool: string;
    index: number;
    showPool: boolean;
}

/** Under the name: why it is not up, where that is so; else where it is. */
function SecondLine(props: {backend: Backend; pool: string; showPool: boolean}): JSX.Element {
    const b = props.backend;
    if (b.state !== "up" && b.reason_text)
        return <span class={`reason tone-${stateWords(b.state).tone}`} title={b.reason_text}>{b.reason_text}</span>;
    return <span class="mono small">{props.showPool ? `${props.pool} · ` : ""}{b.name === b.address ? "" : b.address}</span>;
}

function Latency(props: {name: string; value: number | undefined; quiet?: boolean}): JSX.Element {
    return (
        <div role="cell" class="cell num latency">
            <span class="cell-label">{props.name}</span>
            {time(props.value)}
        </div>
    );
}

export const BackendRow = memo(({backend: b, pool, index, showPool}: RowProps): JSX.Element => (
    <div class={`row backend tone-row-${stateWords(b.state).tone}`} role="row" aria-rowindex={index}
        data-testid={`backend-${pool}-${b.name}`}>
        <div role="cell" class="cell state-cell"><StateTag state={b.state} /></div>
        <div role="cell" class="cell name-cell">
            <span class="name-line">
                <button type="button" class="backend-name" aria-haspopup="dialog"
                    onClick={() => ui.change({open: {pool, name: b.name}})}>{b.name}</button>
                {b.backup && <span class="tag">backup</span>}
            </span>
            <SecondLine backend={b} pool={pool} showPool={showPool} />
        </div>
        <div role="cell" class="cell num rate-cell">
            <Spark values={b.history} width={84} height={24} />
            <span class="rate"><b data-testid="rate">{rate(b.requests_per_second)}</b> /s</span>
        </div>
        <Latency name="p50" value={b.latency_ms?.p50} />
        <Latency name="p99" value={b.latency_ms?.p99} />
        <div role="cell" class="cell num"><span class="cell-label">in flight</span>{count(b.in_flight)}</div>
        <div role="cell" class={`cell num${b.failures > 0 ? "" : " zero"}`}>
            <span class="cell-label">failed</span>{count(b.failures)}
        </div>
        <div role="cell" class="cell num"><span class="cell-label">weight</span>{count(b.weight)}</div>
        <div role="cell" class="cell action-cell"><QuickAction pool={pool} backend={b} /></div>
    </div>
));
