// SPDX-License-Identifier: MIT
// The page, top to bottom.
import type {JSX} from "preact";
import {useEffect, useLayoutEffect, useRef} from "preact/hooks";
import {Attention} from "./attention";
import {Backends} from "./backends";
import {Charts} from "./charts";
import {Detail} from "./detail";
import {Events} from "./events";
import {AddDialog, TokenDialog} from "./forms";
import {needsAttention} from "./format";
import {Header, Notices} from "./header";
import {TrafficMap} from "./map";
import {useModel} from "./model";
import {ui, useUi} from "./ui";

/** On top of everything, an open dialog too, where the browser has such a layer. */
function ToastBox(): JSX.Element | null {
    const toast = useUi((u) => u.toast);
    const box = useRef<HTMLDivElement>(null);
    useLayoutEffect(() => {
        const at = box.current as (HTMLDivElement & {showPopover?: () => void}) | null;
        if (!at?.showPopover)
            return;
        at.setAttribute("popover", "manual");
        at.showPopover();
    }, [toast?.id]);
    if (!toast)
        return null;
    return (
        <div key={toast.id} ref={box} class={`toast${toast.bad ? " tone-bad" : ""}`} data-testid="toast">
            <span>{toast.text}</span>
            <button type="button" class="link" onClick={() => ui.change({toast: undefined})}>Close</button>
        </div>
    );
}

function Waiting(): JSX.Element {
    const lost = useModel((m) => m.link.is === "lost");
    return (
        <div class="waiting">
            <p>{lost ? "Waiting for the balancer. This page comes alive as soon as it answers." : "Connecting to the balancer."}</p>
        </div>
    );
}

/** The tab's own line, read when another tab is in front. */
function Title(): null {
    const link = useModel((m) => m.link.is);
    const out = useModel((m) => m.pools.reduce((n, p) => n + p.backends.filter((b) => needsAttention(b.state)).length, 0));
    useEffect(() => {
        document.title = link === "lost" ? "Not connected – Poise" : out > 0 ? `${out} out – Poise` : "Poise";
    }, [link, out]);
    return null;
}

export function App(): JSX.Element {
    const known = useModel((m) => m.ticks > 0);
    const stale = useModel((m) => m.link.is === "lost");
    return (
        <>
            <a class="skip" href="#backends-title">Skip to the backends</a>
            <Header />
            <main class={stale && known ? "page is-stale" : "page"}>
                <Notices />
                {known ? (
                    <div class="columns">
                        <div class="main-column">
                            <Attention />
                            <Charts />
                            <TrafficMap />
                            <Backends />
                        </div>
                        <Events />
                    </div>
                ) : <Waiting />}
            </main>
            <Detail />
            <AddDialog />
            <TokenDialog />
            <ToastBox />
            <Title />
        </>
    );
}
