// SPDX-License-Identifier: MIT
// A long list of which only what is on the screen exists. It scrolls with the page.
import type {JSX} from "preact";
import {useLayoutEffect, useMemo, useRef, useState} from "preact/hooks";

const OVERSCAN_PX = 400;

export interface WindowedProps<T> {
    items: T[];
    height: (item: T) => number;
    id: (item: T) => string;
    row: (item: T, index: number) => JSX.Element;
}

/** The first index whose end is past y. */
function indexAt(ends: number[], y: number): number {
    let low = 0;
    let high = ends.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (ends[middle]! <= y)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/** Whichever row has the focus stays, though it be scrolled away. */
function useFocusedRow(frame: {current: HTMLDivElement | null}): string | undefined {
    const [focused, set] = useState<string>();
    useLayoutEffect(() => {
        const at = frame.current!;
        const enter = (event: FocusEvent): void =>
            set((event.target as HTMLElement).closest<HTMLElement>("[data-row]")?.dataset["row"]);
        const leave = (): void => set(undefined);
        at.addEventListener("focusin", enter);
        at.addEventListener("focusout", leave);
        return () => {
            at.removeEventListener("focusin", enter);
            at.removeEventListener("focusout", leave);
        };
    }, []);
    return focused;
}

export function Windowed<T>(props: WindowedProps<T>): JSX.Element {
    const {items, height, id, row} = props;
    const frame = useRef<HTMLDivElement>(null);
    const [view, setView] = useState<[number, number]>([0, 1000]);
    const focused = useFocusedRow(frame);
    const ends = useMemo(() => {
        let y = 0;
        return items.map((item) => (y += height(item)));
    }, [items, height]);
    useLayoutEffect(() => {
        const look = (): void => {
            const top = -frame.current!.getBoundingClientRect().top;
            // By steps, so that not every pixel renders.
            const from = Math.floor((top - OVERSCAN_PX) / 200) * 200;
            const to = Math.ceil((top + window.innerHeight + OVERSCAN_PX) / 200) * 200;
            setView((before) => (before[0] === from && before[1] === to ? before : [from, to]));
        };
        const moved = new ResizeObserver(look); // what is above may grow
        look();
        moved.observe(document.body);
        window.addEventListener("scroll", look, {passive: true});
        window.addEventListener("resize", look);
        return () => {
            moved.disconnect();
            window.removeEventListener("scroll", look);
            window.removeEventListener("resize", look);
        };
    }, []);
    const first = indexAt(ends, view[0]);
    const last = Math.min(items.length, indexAt(ends, view[1]) + 1);
    const shown = new Set<number>();
    for (let i = first; i < last; i++)
        shown.add(i);
    if (focused !== undefined) {
        const at = items.findIndex((item) => id(item) === focused);
        if (at >= 0)
            shown.add(at);
    }
    return (
        <div class="windowed" role="rowgroup" ref={frame} style={{height: `${ends[ends.length - 1] ?? 0}px`}}>
            {[...shown].map((i) => {
                const item = items[i]!;
                return (
                    <div key={id(item)} data-row={id(item)} class="windowed-row" role="presentation"
                        style={{transform: `translateY(${(ends[i] ?? 0) - height(item)}px)`, height: `${height(item)}px`}}>
                        {row(item, i)}
                    </div>
                );
            })}
        </div>
    );
}
