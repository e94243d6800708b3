// SPDX-License-Identifier: MIT
// The token, and a new backend.
import type {JSX} from "preact";
import {useState} from "preact/hooks";
import {ApiError} from "./api";
import {Check, Dialog} from "./dialog";
import {useModel} from "./model";
import {addBackend, setToken, toast, ui, useUi} from "./ui";

function TokenForm(props: {why: string; refused: boolean; word: string; done: (token: string | undefined) => void}): JSX.Element {
    const [text, setText] = useState("");
    const [forTab, setForTab] = useState(false);
    const has = useUi((u) => u.hasToken);
    return (
        <form class="form" onSubmit={(event) => {
            event.preventDefault();
            if (!text)
                return;
            setToken(text, forTab);
            props.done(text);
        }}>
            <p>{props.why}</p>
            {props.refused && <p class="error" role="alert">That token was refused. Please check it.</p>}
            <label for="token">Token</label>
            <input id="token" data-focus type="password" autocomplete="off" spellcheck={false} value={text}
                onInput={(event) => setText(event.currentTarget.value)} />
            <Check checked={forTab} onChange={setForTab}>Keep it until this tab is closed, reloads included</Check>
            <div class="buttons">
                {has && <button type="button" class="button" onClick={() => {
                    setToken(undefined, false);
                    toast("The token is forgotten.");
                    props.done(undefined);
                }}>Forget it</button>}
                <button type="button" class="button" onClick={() => props.done(undefined)}>Cancel</button>
                <button type="submit" class="button primary" disabled={!text}>{props.word}</button>
            </div>
        </form>
    );
}

export function TokenDialog(): JSX.Element | null {
    const asking = useUi((u) => u.asking);
    const signing = useUi((u) => u.signing);
    const close = (): void => ui.change({signing: false});
    if (asking)
        return (
            <Dialog key={String(asking.refused)} kind="middle" title="Token needed" onClose={() => asking.go(undefined)}>
                <TokenForm why={`${asking.why}: this needs the token of the admin section of the configuration.`}
                    refused={asking.refused} word="Go on" done={asking.go} />
            </Dialog>
        );
    if (!signing)
        return null;
    return (
        <Dialog kind="middle" title="Token for changes" onClose={close}>
            <TokenForm why="Looking needs none. Changes are sent with the token of the admin section of the configuration; this page keeps it in memory."
                refused={false} word="Use it" done={close} />
        </Dialog>
    );
}

function AddForm(props: {pool: string; close: () => void}): JSX.Element {
    const config = useModel((m) => m.status?.config);
    const [name, setName] = useState("");
    const [address, setAddress] = useState("");
    const [weight, setWeight] = useState("1");
    const [backup, setBackup] = useState(false);
    const [save, setSave] = useState(false);
    const [error, setError] = useState<{field?: string; message: string}>();
    const [busy, setBusy] = useState(false);
    const submit = async (): Promise<void> => {
        if (!/^\d+$/.test(weight)) {
            setError({field: "weight", message: "The weight is a whole number."});
            return;
        }
        setBusy(true);
        try {
            if (await addBackend(props.pool, {name, address, weight: Number(weight), backup, save}))
                props.close();
        } catch (e) {
            const said = e instanceof ApiError ? e : new ApiError(0, "failed", String(e));
            setError({message: said.message, ...(said.field ? {field: said.field} : {})});
        }
        setBusy(false);
    };
    const line = (key: string, label: string, value: string, set: (text: string) => void, hint: string): JSX.Element => (
        <div class="line">
            <label for={`add-${key}`}>{label}</label>
            <input id={`add-${key}`} value={value} placeholder={hint} autocomplete="off" spellcheck={false}
                {...(key === "address" ? {"data-focus": true} : {})}
                aria-invalid={error?.field === key} {...(error?.field === key ? {"aria-describedby": "add-error"} : {})}
                onInput={(event) => set(event.currentTarget.value.trim())} />
        </div>
    );
    return (
        <form class="form" onSubmit={(event) => {
            event.preventDefault();
            void submit();
        }}>
            {line("address", "Address", address, setAddress, "10.0.0.5:8080")}
            {line("name", "Name", name, setName, "as the address")}
            {line("weight", "Weight", weight, setWeight, "1")}
            <Check checked={backup} onChange={setBackup}>Backup: only where no other is up</Check>
            {config && <Check checked={save} onChange={setSave}>Also write it into <span class="mono">{config}</span></Check>}
            {error && <p class="error" id="add-error" role="alert">{error.message}</p>}
            <div class="buttons">
                <button type="button" class="button" onClick={props.close}>Cancel</button>
                <button type="submit" class="button primary" disabled={busy || !address}>Add backend</button>
            </div>
        </form>
    );
}

export function AddDialog(): JSX.Element | null {
    const pool = useUi((u) => u.adding);
    const close = (): void => ui.change({adding: undefined});
    if (pool === undefined)
        return null;
    return (
        <Dialog kind="middle" title={`Add a backend to ${pool}`} onClose={close}>
            <AddForm pool={pool} close={close} />
        </Dialog>
    );
}
