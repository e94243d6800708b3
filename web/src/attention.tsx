// SPDX-License-Identifier: MIT
// The backends that somebody should look at, each with its reason in words.
import type {JSX} from "preact";
import type {Backend} from "./api";
import {needsAttention, plural, span, stateWords} from "./format";
import {Summary, useSeconds} from "./header";
import {StateGlyph} from "./icons";
import {useModel} from "./model";
import {ui} from "./ui";

const SHOWN_MAX = 4;

function Trouble(props: {pool: string; backend: Backend}): JSX.Element {
    const {pool, backend: b} = props;
    const skew = useModel((m) => m.clockSkew);
    const passed = useSeconds() + skew - Date.parse(b.since ?? "");
    const words = stateWords(b.state);
    return (
        <li class={`trouble tone-${words.tone}`}>
            <StateGlyph state={b.state} />
            <span>
                <button type="button" class="backend-link" onClick={() => ui.change({open: {pool, name: b.name}})}>{b.name}</button>
                {" "}of {pool} is {words.word.toLowerCase()}
                {passed >= 0 ? ` for ${span(passed)}` : ""}: {b.reason_text ?? words.says}
            </span>
        </li>
    );
}

export function Attention(): JSX.Element {
    const pools = useModel((m) => m.pools);
    const backends = useModel((m) => m.status?.backends);
    const bad = pools.flatMap((pool) => pool.backends.filter((b) => needsAttention(b.state)).map((backend) => ({pool, backend})));
    const aside = pools.reduce((n, p) => n + p.backends.filter((b) => b.state !== "up" && !needsAttention(b.state)).length, 0);
    return (
        <Summary aside={aside} total={backends?.total ?? 0} up={backends?.up ?? 0}>
            {bad.length > 0 && (
                <ul class="troubles">
                    {bad.slice(0, SHOWN_MAX).map(({pool, backend}) =>
                        <Trouble key={`${pool.name}\n${backend.name}`} pool={pool.name} backend={backend} />)}
                    {bad.length > SHOWN_MAX && <li class="quiet">and {plural(bad.length - SHOWN_MAX, "more backend")}</li>}
                </ul>
            )}
        </Summary>
    );
}
