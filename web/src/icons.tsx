// SPDX-License-Identifier: MIT
// Small drawings. A state has a shape of its own besides its colour.
import type {ComponentChildren, JSX} from "preact";
import {stateWords} from "./format";

function Icon(props: {children: ComponentChildren; size?: number; class?: string}): JSX.Element {
    const size = props.size ?? 16;
    return (
        <svg class={props.class ?? "icon"} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true"
            fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">
            {props.children}
        </svg>
    );
}

/** A beam in balance: the mark. */
export function Mark(): JSX.Element {
    return (
        <svg class="mark" width="22" height="22" viewBox="0 0 22 22" aria-hidden="true" fill="none"
            stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">
            <path d="M2.5 8h17M11 8v3" />
            <path d="M11 11l5 7.5H6z" fill="currentColor" />
            <circle cx="5" cy="4" r="1.6" fill="currentColor" stroke="none" />
            <circle cx="17" cy="4" r="1.6" fill="currentColor" stroke="none" />
        </svg>
    );
}

const glyphs: Record<string, JSX.Element> = {
    up: <circle cx="8" cy="8" r="4.5" fill="currentColor" stroke="none" />,
    down: <path d="M4 4l8 8M12 4l-8 8" stroke-width="2.6" />,
    ejected: <path d="M8 3l5.5 9.5h-11z" fill="currentColor" />,
    unresolved: <path d="M5.5 6a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.8-1.1 1.6M8 12.6v.1" stroke-width="2" />,
    draining: <><circle cx="8" cy="8" r="4.5" /><path d="M8 3.5a4.5 4.5 0 0 0 0 9z" fill="currentColor" /></>,
    drained: <circle cx="8" cy="8" r="4.5" />,
    disabled: <><circle cx="8" cy="8" r="4.5" /><path d="M5 11l6-6" /></>,
    removing: <path d="M3.5 8h9" stroke-width="2.6" />,
};

export function StateGlyph(props: {state: string}): JSX.Element {
    return (
        <Icon size={14} class={`glyph tone-${stateWords(props.state).tone}`}>
            {glyphs[props.state] ?? glyphs["unresolved"]}
        </Icon>
    );
}

export function StateTag(props: {state: string}): JSX.Element {
    const words = stateWords(props.state);
    return (
        <span class={`state tone-${words.tone}`} title={words.says}>
            <StateGlyph state={props.state} />
            {words.word}
        </span>
    );
}

export const CloseIcon = (): JSX.Element => <Icon><path d="M4 4l8 8M12 4l-8 8" /></Icon>;
export const SearchIcon = (): JSX.Element => <Icon><circle cx="7" cy="7" r="4" /><path d="M10 10l3.5 3.5" /></Icon>;
export const PlusIcon = (): JSX.Element => <Icon><path d="M8 3.5v9M3.5 8h9" /></Icon>;
export const KeyIcon = (): JSX.Element =>
    <Icon><circle cx="5" cy="8" r="2.6" /><path d="M7.6 8h6M11.5 8v2.4" /></Icon>;
export const SunIcon = (): JSX.Element => (
    <Icon>
        <circle cx="8" cy="8" r="2.8" />
        <path d="M8 1.6v1.2M8 13.2v1.2M1.6 8h1.2M13.2 8h1.2M3.5 3.5l.8.8M11.7 11.7l.8.8M12.5 3.5l-.8.8M4.3 11.7l-.8.8" />
    </Icon>
);
export const MoonIcon = (): JSX.Element => <Icon><path d="M13 9.6A5.6 5.6 0 1 1 6.4 3a4.6 4.6 0 0 0 6.6 6.6z" /></Icon>;
export const AutoIcon = (): JSX.Element =>
    <Icon><circle cx="8" cy="8" r="5.2" /><path d="M8 2.8a5.2 5.2 0 0 1 0 10.4z" fill="currentColor" /></Icon>;
