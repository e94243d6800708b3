// SPDX-License-Identifier: MIT
// All there is to know of one backend, and all that can be done to it.
import type {ComponentChildren, JSX} from "preact";
import {useEffect, useState} from "preact/hooks";
import type {Backend, Wanted} from "./api";
import {Spark} from "./charts";
import {Check, Dialog} from "./dialog";
import {ago, bytes, clock, count, rate, stateWords, time} from "./format";
import {useSeconds} from "./header";
import {StateTag} from "./icons";
import {useModel} from "./model";
import {changeBackend, removeBackend, ui, useUi} from "./ui";

function Item(props: {name: string; children: ComponentChildren}): JSX.Element {
    return <div><dt>{props.name}</dt><dd>{props.children}</dd></div>;
}

function codesWords(b: Backend): string {
    const parts = Object.entries(b.codes ?? {}).map(([code, n]) => `${code} ${count(n)}`);
    return parts.join("  ") || "none yet";
}

function checkWords(b: Backend, nowMs: number): string {
    const check = b.last_check;
    if (!check)
        return "none yet";
    const took = check.ms === undefined ? "" : ` in ${time(check.ms)}`;
    const how = check.ok ? `passed${took}` : `failed${took}${check.reason ? ` (${check.reason})` : ""}`;
    return check.at ? `${how}, ${ago(check.at, nowMs)}` : how;
}

function Facts(props: {backend: Backend}): JSX.Element {
    const b = props.backend;
    const skew = useModel((m) => m.clockSkew);
    const nowMs = useSeconds() + skew;
    const l = b.latency_ms;
    return (
        <dl class="detail-facts">
            <Item name="Latency">p50 {time(l?.p50)} · p90 {time(l?.p90)} · p99 {time(l?.p99)} · max {time(l?.max)}</Item>
            <Item name="In flight">{count(b.in_flight)}</Item>
            <Item name="Requests">{count(b.requests)}, of which {count(b.failures)} failed, {count(b.retries ?? 0)} retried</Item>
            <Item name="Answers">{codesWords(b)}</Item>
            <Item name="Bytes">{bytes(b.bytes_in)} in, {bytes(b.bytes_out)} out</Item>
            <Item name="Last check">{checkWords(b, nowMs)}</Item>
            <Item name="In this state">{b.since ? `since ${clock(b.since)}, ${ago(b.since, nowMs)}` : "since the start"}</Item>
        </dl>
    );
}

type Act = (wanted: Wanted) => Promise<void>;

const positions: ["ready" | "drain" | "disabled", string, string][] = [
    ["ready", "In service", "Takes its share of traffic."],
    ["drain", "Drain", "Finishes what runs and takes nothing new."],
    ["disabled", "Disable", "Switched off: takes nothing."],
];

function Position(props: {backend: Backend; busy: boolean; act: Act}): JSX.Element {
    const now = props.backend.admin_state;
    const says = positions.find(([state]) => state === now)?.[2];
    return (
        <div class="control">
            <div class="segments" role="group" aria-label="Service">
                {positions.map(([state, word]) => (
                    <button key={state} type="button" aria-pressed={now === state} disabled={props.busy}
                        onClick={() => now !== state && void props.act({state})}>{word}</button>
                ))}
            </div>
            <p class="quiet">{says ?? "It is being removed."}</p>
        </div>
    );
}

function Weight(props: {backend: Backend; busy: boolean; act: Act}): JSX.Element {
    const [text, setText] = useState(String(props.backend.weight));
    useEffect(() => setText(String(props.backend.weight)), [props.backend.weight]);
    const weight = Number(text);
    const good = /^\d+$/.test(text) && weight <= 65535;
    return (
        <form class="control weight" onSubmit={(event) => {
            event.preventDefault();
            if (good)
                void props.act({weight});
        }}>
            <label for="weight">Weight</label>
            <input id="weight" inputMode="numeric" value={text} aria-invalid={!good}
                onInput={(event) => setText(event.currentTarget.value.trim())} />
            <button type="submit" class="button" disabled={props.busy || !good || weight === props.backend.weight}>Set</button>
            <span class="quiet">{good ? (weight === 0 ? "0: no share at all" : "") : "A whole number"}</span>
        </form>
    );
}

function Remove(props: {name: string; busy: boolean; act: () => Promise<void>}): JSX.Element {
    const [sure, setSure] = useState(false);
    if (!sure)
        return <button type="button" class="button danger" disabled={props.busy} onClick={() => setSure(true)}>Remove…</button>;
    return (
        <div class="sure" role="group" aria-label={`Remove ${props.name}?`}>
            <p>Remove {props.name}? It finishes what runs, then it is gone.</p>
            <button type="button" class="button danger-full" disabled={props.busy} onClick={() => void props.act()}>Remove {props.name}</button>
            <button type="button" class="button" ref={(button) => button?.focus()} onClick={() => setSure(false)}>Keep it</button>
        </div>
    );
}

function Controls(props: {pool: string; backend: Backend}): JSX.Element {
    const {pool, backend} = props;
    const config = useModel((m) => m.status?.config);
    const [save, setSave] = useState(false);
    const [busy, setBusy] = useState(false);
    const act: Act = async (wanted) => {
        setBusy(true);
        await changeBackend(pool, backend.name, wanted, save);
        setBusy(false);
    };
    const remove = async (): Promise<void> => {
        setBusy(true);
        const done = await removeBackend(pool, backend.name, save);
        setBusy(false);
        if (done)
            ui.change({open: undefined});
    };
    return (
        <section class="controls" aria-label={`Change ${backend.name}`}>
            <Position backend={backend} busy={busy} act={act} />
            <Weight backend={backend} busy={busy} act={act} />
            {config && <Check checked={save} onChange={setSave}>Also write changes into <span class="mono">{config}</span></Check>}
            <Remove name={backend.name} busy={busy} act={remove} />
        </section>
    );
}

function Gone(props: {name: string}): JSX.Element {
    return <p class="empty">{props.name} is not here any more: it was removed.</p>;
}

function Content(props: {pool: string; backend: Backend}): JSX.Element {
    const b = props.backend;
    const words = stateWords(b.state);
    const top = Math.max(0, ...(b.history ?? []));
    return (
        <>
            <p class="quiet mono">{props.pool} · {b.address}{b.backup ? " · backup" : ""}</p>
            <div class={`standing tone-${words.tone}`}>
                <StateTag state={b.state} />
                <p>{b.state !== "up" && b.reason_text ? b.reason_text : words.says}</p>
            </div>
            <div class="detail-chart">
                <div class="card-head"><h3>Requests, last minute</h3>
                    <span><b>{rate(b.requests_per_second)}</b> /s <span class="quiet">peak {rate(top)} /s</span></span></div>
                <Spark values={b.history} width={400} height={72} />
            </div>
            <Facts backend={b} />
            <Controls pool={props.pool} backend={b} />
        </>
    );
}

export function Detail(): JSX.Element | null {
    const open = useUi((u) => u.open);
    const backend = useModel((m) => open &&
        m.pools.find((p) => p.name === open.pool)?.backends.find((b) => b.name === open.name));
    if (!open)
        return null;
    return (
        <Dialog key={`${open.pool}\n${open.name}`} kind="side" title={open.name} onClose={() => ui.change({open: undefined})}>
            {backend ? <Content pool={open.pool} backend={backend} /> : <Gone name={open.name} />}
        </Dialog>
    );
}
