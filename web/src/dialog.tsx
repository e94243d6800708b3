// SPDX-License-Identifier: MIT
// The browser's own dialog: it holds the focus, gives it back, and closes with Escape.
import type {ComponentChildren, JSX} from "preact";
import {useLayoutEffect, useRef} from "preact/hooks";
import {CloseIcon} from "./icons";

interface DialogProps {
    title: ComponentChildren;
    kind: "side" | "middle";
    onClose: () => void;
    children: ComponentChildren;
}

export function Dialog(props: DialogProps): JSX.Element {
    const dialog = useRef<HTMLDialogElement>(null);
    useLayoutEffect(() => {
        const before = document.activeElement as HTMLElement | null;
        const at = dialog.current!;
        at.showModal();
        (at.querySelector<HTMLElement>("[data-focus]") ?? at.querySelector<HTMLElement>("input, button"))?.focus();
        return () => {
            at.close();
            if (before?.isConnected)
                before.focus();
        };
    }, []);
    return (
        <dialog ref={dialog} class={`dialog ${props.kind}`} aria-labelledby="dialog-title"
            onCancel={(event) => {
                event.preventDefault();
                props.onClose();
            }}
            onClick={(event) => {
                if (event.target === dialog.current)
                    props.onClose();
            }}>
            <div class="dialog-body">
                <div class="dialog-head">
                    <h2 id="dialog-title">{props.title}</h2>
                    <button type="button" class="icon-button" aria-label="Close" onClick={props.onClose}><CloseIcon /></button>
                </div>
                {props.children}
            </div>
        </dialog>
    );
}

export function Check(props: {checked: boolean; onChange: (on: boolean) => void; children: ComponentChildren}): JSX.Element {
    return (
        <label class="check">
            <input type="checkbox" checked={props.checked} onChange={(event) => props.onChange(event.currentTarget.checked)} />
            <span>{props.children}</span>
        </label>
    );
}
