// SPDX-License-Identifier: MIT
// What the operator has open and asked for, and the changes that follow from it.
import {ApiError, backendPath, call} from "./api";
import type {Backend, NewBackend, Wanted} from "./api";
import {announce} from "./announce";
import {Cell, useCell} from "./cell";
import {patchBackend} from "./model";

export type Theme = "auto" | "light" | "dark";

/** A change that waits for a token. */
export interface Asking {
    why: string;
    refused: boolean;
    go: (token: string | undefined) => void;
}

export interface Toast {
    id: number;
    text: string;
    bad: boolean;
}

export interface Ui {
    open: {pool: string; name: string} | undefined;
    adding: string | undefined;
    asking: Asking | undefined;
    signing: boolean; // the token's own dialog
    hasToken: boolean;
    toast: Toast | undefined;
    pool: string | undefined; // the list shows only this one
    theme: Theme;
    system: "light" | "dark";
}

const TOKEN_KEY = "poise-token";
const THEME_KEY = "poise-theme";

/** Storage may be forbidden: then the page forgets, and works. */
function recall(storage: () => Storage, key: string): string | undefined {
    try {
        return storage().getItem(key) ?? undefined;
    } catch {
        return undefined;
    }
}

function keep(storage: () => Storage, key: string, value: string | undefined): void {
    try {
        if (value === undefined)
            storage().removeItem(key);
        else
            storage().setItem(key, value);
    } catch {
        // As above.
    }
}

let token = recall(() => sessionStorage, TOKEN_KEY);

function themeOf(text: string | undefined): Theme {
    return text === "light" || text === "dark" ? text : "auto";
}

export const ui = new Cell<Ui>({
    open: undefined,
    adding: undefined,
    asking: undefined,
    signing: false,
    hasToken: token !== undefined,
    toast: undefined,
    pool: undefined,
    theme: themeOf(recall(() => localStorage, THEME_KEY)),
    system: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
});

export function useUi<T>(select: (value: Ui) => T): T {
    return useCell(ui, select);
}

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

function paint(theme: Theme): void {
    const dark = theme === "dark" || (theme === "auto" && darkSystem.matches);
    document.documentElement.dataset["theme"] = dark ? "dark" : "light";
}

export function startTheme(): void {
    paint(ui.value.theme);
    darkSystem.addEventListener("change", () => {
        paint(ui.value.theme);
        ui.change({system: darkSystem.matches ? "dark" : "light"});
    });
}

export function setTheme(theme: Theme): void {
    paint(theme);
    keep(() => localStorage, THEME_KEY, theme === "auto" ? undefined : theme);
    ui.change({theme});
}

/** Kept in memory, and where wanted as long as this tab is there; never longer. */
export function setToken(value: string | undefined, forTab: boolean): void {
    token = value;
    keep(() => sessionStorage, TOKEN_KEY, forTab ? value : undefined);
    ui.change({hasToken: value !== undefined});
}

let toasts = 0;

export function toast(text: string, bad = false): void {
    const id = ++toasts;
    ui.change({toast: {id, text, bad}});
    announce(text);
    window.setTimeout(() => {
        if (ui.value.toast?.id === id)
            ui.change({toast: undefined});
    }, bad ? 10000 : 5000);
}

function askToken(why: string, refused: boolean): Promise<string | undefined> {
    return new Promise((resolve) => {
        ui.change({
            asking: {
                why, refused, go: (given) => {
                    ui.change({asking: undefined});
                    resolve(given);
                },
            },
        });
    });
}

/** A call that may need a token: asks for one until it fits. Undefined: the operator gave up. */
async function changing<T>(why: string, method: string, path: string, body?: unknown): Promise<T | undefined> {
    for (;;) {
        try {
            return await call<T>(method, path, token, body);
        } catch (error) {
            if (!(error instanceof ApiError) || !error.needsToken)
                throw error;
        }
        const refused = token !== undefined;
        setToken(undefined, false);
        if (await askToken(why, refused) === undefined)
            return undefined;
    }
}

function told(error: unknown): string {
    return error instanceof Error ? error.message : String(error);
}

const asked: Record<string, (name: string) => [string, string]> = {
    ready: (name) => [`Take traffic at ${name} again`, `${name} takes traffic again.`],
    drain: (name) => [`Drain ${name}`, `${name} drains: it takes nothing new.`],
    disabled: (name) => [`Disable ${name}`, `${name} is disabled.`],
};

export async function changeBackend(pool: string, name: string, wanted: Wanted, save: boolean): Promise<boolean> {
    const [why, done] = "state" in wanted
        ? asked[wanted.state]!(name)
        : [`Set the weight of ${name}`, `The weight of ${name} is ${wanted.weight}.`];
    try {
        const backend = await changing<Backend>(why, "PATCH", backendPath(pool, name), save ? {...wanted, save} : wanted);
        if (!backend)
            return false;
        patchBackend(pool, name, backend.name === name ? backend : undefined);
        toast(done + (save ? " Saved." : ""));
        return true;
    } catch (error) {
        toast(`${why}: ${told(error)}`, true);
        return false;
    }
}

export async function removeBackend(pool: string, name: string, save: boolean): Promise<boolean> {
    const why = `Remove ${name}`;
    try {
        const answer = await changing<unknown>(why, "DELETE", backendPath(pool, name), save ? {save} : undefined);
        if (answer === undefined)
            return false;
        toast(`${name} is removed: it goes when its last exchange ends.`);
        return true;
    } catch (error) {
        toast(`${why}: ${told(error)}`, true);
        return false;
    }
}

/** Throws what the server says of the fields; false: given up. */
export async function addBackend(pool: string, wanted: NewBackend): Promise<boolean> {
    const {name, save, ...rest} = wanted;
    const body = {...rest, ...(name ? {name} : {}), ...(save ? {save} : {})};
    const backend = await changing<Backend>(`Add a backend to ${pool}`, "POST", backendPath(pool), body);
    if (!backend)
        return false;
    patchBackend(pool, backend.name, backend);
    toast(`${backend.name} is added to ${pool}.`);
    return true;
}
