// SPDX-License-Identifier: MIT
// A value that is watched: components render again only when what they take from it changed.
import {useLayoutEffect, useRef, useState} from "preact/hooks";

export class Cell<T extends object> {
    private readonly watchers = new Set<() => void>();

    constructor(private held: T) {}

    get value(): T {
        return this.held;
    }

    change(part: Partial<T>): void {
        this.held = {...this.held, ...part};
        for (const watcher of [...this.watchers])
            watcher();
    }

    watch(watcher: () => void): () => void {
        this.watchers.add(watcher);
        return () => void this.watchers.delete(watcher);
    }
}

export function useCell<T extends object, V>(cell: Cell<T>, select: (value: T) => V): V {
    const [, again] = useState(0);
    const value = select(cell.value);
    const shown = useRef({value, select});
    shown.current = {value, select};
    useLayoutEffect(() => {
        const look = (): void => {
            if (!Object.is(shown.current.select(cell.value), shown.current.value))
                again((n) => n + 1);
        };
        const stop = cell.watch(look);
        look();
        return stop;
    }, [cell]);
    return value;
}
