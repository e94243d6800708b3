// SPDX-License-Identifier: MIT
// What happened, newest first. Not read aloud: what matters of it is announced on its own.
import type {JSX} from "preact";
import {useState} from "preact/hooks";
import {clock, plural} from "./format";
import {memo} from "./memo";
import {useModel} from "./model";
import type {EventLine} from "./model";

const SHOWN_MAX = 200;

const tones: Record<string, string> = {error: "bad", fatal: "bad", critical: "bad", warning: "warn", warn: "warn"};

const Line = memo(({line}: {line: EventLine}): JSX.Element => (
    <li class={`event tone-${tones[line.level] ?? "none"}`}>
        <span class="event-head">
            <time dateTime={line.at}>{clock(line.at)}</time>
            <span class="area">{line.area}</span>
            {tones[line.level] && <span class="level">{line.level}</span>}
        </span>
        <span class="event-text">{line.text}</span>
    </li>
));

export function Events(): JSX.Element {
    const live = useModel((m) => m.events);
    const [held, hold] = useState<EventLine[]>();
    const [problems, setProblems] = useState(false);
    const events = (held ?? live).filter((line) => !problems || tones[line.level] !== undefined);
    const missed = held ? live.filter((line) => line.id > (held[0]?.id ?? 0)).length : 0;
    return (
        <section class="card events" aria-labelledby="events-title">
            <div class="card-head">
                <h2 id="events-title">Events</h2>
                <span class="event-tools">
                    <button type="button" class="chip" aria-pressed={problems} onClick={() => setProblems(!problems)}>Problems</button>
                    <button type="button" class="chip" aria-pressed={held !== undefined}
                        onClick={() => hold(held ? undefined : live)}>
                        {held ? (missed > 0 ? `Paused, ${missed} new` : "Paused") : "Pause"}
                    </button>
                </span>
            </div>
            {events.length === 0
                ? <p class="empty">{problems ? "No problems so far." : "Nothing has happened since this page was opened."}</p>
                : <ol class="event-list" tabIndex={0} aria-label="Events, newest first">
                    {events.slice(0, SHOWN_MAX).map((line) => <Line key={line.id} line={line} />)}
                </ol>}
            {events.length > SHOWN_MAX && <p class="quiet">{plural(events.length - SHOWN_MAX, "older event")} not shown.</p>}
        </section>
    );
}
