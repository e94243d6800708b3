// SPDX-License-Identifier: MIT
// Who this is and how it goes, in one look.
import type {ComponentChildren, JSX} from "preact";
import {useEffect, useState} from "preact/hooks";
import type {Status} from "./api";
import {bytes, clock, count, expiry, plural, span} from "./format";
import {AutoIcon, KeyIcon, Mark, MoonIcon, SunIcon} from "./icons";
import {useModel} from "./model";
import type {Link} from "./model";
import {setTheme, ui, useUi} from "./ui";
import type {Theme} from "./ui";

export function useSeconds(): number {
    const [now, set] = useState(Date.now);
    useEffect(() => {
        const timer = setInterval(() => set(Date.now()), 1000);
        return () => clearInterval(timer);
    }, []);
    return now;
}

const nextTheme: Record<Theme, Theme> = {auto: "light", light: "dark", dark: "auto"};
const themeWords: Record<Theme, string> = {auto: "as the system", light: "light", dark: "dark"};

function ThemeButton(): JSX.Element {
    const theme = useUi((u) => u.theme);
    const label = `Colours: ${themeWords[theme]}`;
    return (
        <button class="icon-button" type="button" title={label} aria-label={`${label}. Change to ${themeWords[nextTheme[theme]]}`}
            onClick={() => setTheme(nextTheme[theme])}>
            {theme === "light" ? <SunIcon /> : theme === "dark" ? <MoonIcon /> : <AutoIcon />}
        </button>
    );
}

function TokenButton(): JSX.Element {
    const has = useUi((u) => u.hasToken);
    const label = has ? "A token is set: changes are sent with it" : "Token for changes";
    return (
        <button class={`icon-button${has ? " is-on" : ""}`} type="button" title={label} aria-label={label}
            onClick={() => ui.change({signing: true})}>
            <KeyIcon />
        </button>
    );
}

function linkWords(link: Link, status: Status | undefined): [string, string] {
    if (link.is === "connecting")
        return ["Connecting", "off"];
    if (link.is === "lost")
        return ["Not connected", "bad"];
    return status?.state === "draining" ? ["Draining", "move"] : ["Serving", "good"];
}

function Fact(props: {name: string; children: ComponentChildren; minor?: boolean}): JSX.Element {
    return (
        <div class={props.minor ? "fact minor" : "fact"}>
            <dt>{props.name}</dt>
            <dd>{props.children}</dd>
        </div>
    );
}

function Uptime(): JSX.Element {
    const started = useModel((m) => m.status?.started);
    const skew = useModel((m) => m.clockSkew);
    const now = useSeconds();
    return <>{started ? span(now + skew - Date.parse(started)) : "–"}</>;
}

export function Header(): JSX.Element {
    const link = useModel((m) => m.link);
    const status = useModel((m) => m.status);
    const [word, tone] = linkWords(link, status);
    return (
        <header class="top">
            <div class="bar">
                <h1 class="brand"><Mark />Poise</h1>
                <span class={`pill tone-${tone}`} data-testid="process-state">{word}</span>
                <dl class="facts">
                    <Fact name="Uptime"><Uptime /></Fact>
                    <Fact name="Version">{status?.version ?? "–"}</Fact>
                    <Fact name="Clients">{count(status?.clients)}</Fact>
                    <Fact name="In flight">{count(status?.in_flight)}</Fact>
                    <Fact name="Retries" minor>{count(status?.retries)}</Fact>
                    <Fact name="In / out" minor>{bytes(status?.bytes_in)} / {bytes(status?.bytes_out)}</Fact>
                    <Fact name="Workers" minor>{status ? `${status.workers} × ${status.engine}` : "–"}</Fact>
                    <Fact name="Configuration" minor>{status ? `no. ${status.generation}` : "–"}</Fact>
                </dl>
                <div class="tools">
                    <TokenButton />
                    <ThemeButton />
                </div>
            </div>
        </header>
    );
}

function LostNotice(props: {link: Link & {is: "lost"}}): JSX.Element {
    const now = useSeconds();
    const known = useModel((m) => m.status !== undefined);
    const wait = Math.max(0, Math.ceil((props.link.retryAt - now) / 1000));
    return (
        <div class="notice tone-bad" data-testid="lost">
            <strong>{known ? `Connection lost at ${clock(props.link.since)}.` : "The balancer does not answer."}</strong>
            <span>
                {wait > 0 ? `Trying again in ${wait} s.` : "Trying again."}
                {known ? " What you see is from then." : ""}
                {props.link.why ? ` ${props.link.why}` : ""}
            </span>
        </div>
    );
}

function ReloadNotice(): JSX.Element | null {
    const reload = useModel((m) => m.status?.last_reload);
    if (!reload || reload.ok)
        return null;
    return (
        <div class="notice tone-bad">
            <strong>The last reload was refused{reload.at ? ` at ${clock(reload.at)}` : ""}.</strong>
            <span>The configuration before it keeps serving. {reload.message}</span>
        </div>
    );
}

/** The listeners whose certificate ends soon. */
function ExpiryNotice(): JSX.Element | null {
    const listeners = useModel((m) => m.listeners);
    const skew = useModel((m) => m.clockSkew);
    const now = useSeconds() + skew;
    const near = listeners.flatMap((l) => l.tls?.not_after ? [{name: l.name, ...expiry(l.tls.not_after, now)}] : [])
        .filter((l) => l.tone);
    if (near.length === 0)
        return null;
    return (
        <div class={`notice tone-${near.some((l) => l.tone === "bad") ? "bad" : "warn"}`} data-testid="expiry">
            <strong>{near.length === 1 ? "A certificate ends." : "Certificates end."}</strong>
            <span>{near.map((l) => `That of ${l.name} ${l.words}.`).join(" ")}</span>
        </div>
    );
}

export function Notices(): JSX.Element {
    const link = useModel((m) => m.link);
    const restarted = useModel((m) => m.restarted);
    const [dismissed, dismiss] = useState<string>();
    return (
        <div class="notices">
            {link.is === "lost" && <LostNotice link={link} />}
            <ReloadNotice />
            <ExpiryNotice />
            {restarted && restarted !== dismissed && (
                <div class="notice" data-testid="restarted">
                    <strong>The balancer was restarted at {clock(restarted)}.</strong>
                    <span>Its counters begin at nothing.</span>
                    <button type="button" class="link" onClick={() => dismiss(restarted)}>Dismiss</button>
                </div>
            )}
        </div>
    );
}

/** One sentence on the backends, and each that is not as it should be. */
export function Summary(props: {
    total: number; up: number; aside: number; children: ComponentChildren;
}): JSX.Element {
    const {total, up, aside} = props;
    const out = aside === 0 ? "" : aside === 1 ? ", 1 is taken out on purpose" : `, ${count(aside)} are taken out on purpose`;
    const sentence = total === 0 ? "No backends are configured yet."
        : total === 1 && up === 1 ? "The one backend is up."
        : up === total ? `All ${plural(total, "backend")} are up.`
        : `${count(up)} of ${plural(total, "backend")} ${up === 1 ? "is" : "are"} up${out}.`;
    return (
        <section class="summary" aria-label="Health">
            <p class="sentence">{sentence}</p>
            {props.children}
        </section>
    );
}
