// SPDX-License-Identifier: MIT
// How a request finds its way: listeners, their routes, the pools and the backends in them.
import type {ComponentChildren, JSX, RefObject} from "preact";
import {useLayoutEffect, useRef, useState} from "preact/hooks";
import type {Backend, Listener, Pool, Route} from "./api";
import {balanceWords, count, expiry, listenerLabels, matchWords, plural, poolLabels, rate, stateOrder, stateWords, time} from "./format";
import type {Label} from "./format";
import {useSeconds} from "./header";
import {StateGlyph} from "./icons";
import {memo} from "./memo";
import {useModel} from "./model";
import {ui, useUi} from "./ui";

const ROUTES_SHOWN = 8;
const POOLS_SHOWN = 8;
const CELLS_MAX = 48;

function Where(props: {at: string | undefined; children?: ComponentChildren}): JSX.Element | null {
    return props.at || props.children ? <span class="where">{props.at && <span>{props.at}</span>}{props.children}</span> : null;
}

function Labels(props: {labels: Label[]}): JSX.Element {
    return (
        <span class="labels">
            {props.labels.map(([word, says]) => <span class="tag" key={word} title={says}>{word}</span>)}
        </span>
    );
}

function Expiry(props: {notAfter: string}): JSX.Element {
    const skew = useModel((m) => m.clockSkew);
    const {words, tone} = expiry(props.notAfter, useSeconds() + skew);
    return <span class={tone ? `expiry tone-${tone}` : "expiry"} title={props.notAfter}>certificate {words}</span>;
}

interface RouteProps {
    id: string;
    route: Route;
    rest?: boolean;
}

const RouteNode = memo(({id, route, rest}: RouteProps): JSX.Element => (
    <li class="node route" data-node={id} title={route.at ? `${route.name}, ${route.at}` : route.name}>
        <span class="matches">
            {rest ? <span class="match rest">everything else</span>
                : matchWords(route.match).map((part) => <span class="match" key={part}>{part}</span>)}
        </span>
        <span class="to">{route.pool ?? "none"}</span>
    </li>
));

/** The routes in their order, and after them where the rest goes. */
function routesOf(listener: Listener): Route[] {
    const routes = [...(listener.routes ?? [])];
    if (listener.pool)
        routes.push({name: `${listener.name}, where no route matches`, pool: listener.pool});
    return routes;
}

const ListenerNode = memo(({listener, all}: {listener: Listener; all: boolean}): JSX.Element => {
    const routes = routesOf(listener);
    const own = (listener.routes ?? []).length;
    const shown = all ? routes : routes.slice(0, ROUTES_SHOWN);
    return (
        <div class="entry">
            <div class="node listener" data-node={`l:${listener.name}`}>
                <div class="node-head"><strong>{listener.name}</strong></div>
                <div class="mono small">{listener.addresses.join(", ")}</div>
                <Labels labels={listenerLabels(listener)} />
                <div class="node-numbers">
                    <span><b data-testid={`listener-rps-${listener.name}`}>{rate(listener.requests_per_second)}</b> /s</span>
                    <span><b>{count(listener.connections)}</b> open
                        {listener.max_connections ? ` of ${count(listener.max_connections)}` : ""}</span>
                </div>
                <Where at={listener.at}>
                    {listener.tls?.not_after && <Expiry notAfter={listener.tls.not_after} />}
                </Where>
            </div>
            <ul class="routes" aria-label={`Routes of ${listener.name}`}>
                {shown.map((route, i) => (
                    <RouteNode key={i} id={`r:${listener.name}:${i}`} route={route} rest={i >= own && own > 0} />
                ))}
                {shown.length < routes.length &&
                    <li class="node quiet more">and {plural(routes.length - shown.length, "more route")}</li>}
            </ul>
        </div>
    );
});

/** Each backend a cell; of many, a bar of shares. */
const Cells = memo(({states}: {states: string}): JSX.Element => {
    const list = states ? states.split(" ") : [];
    const words = stateOrder.map((state) => [state, list.filter((s) => s === state).length] as const)
        .filter(([, n]) => n > 0);
    const label = words.map(([state, n]) => `${n} ${stateWords(state).word.toLowerCase()}`).join(", ") || "no backends";
    return (
        <div class="cells" role="img" aria-label={label}>
            {list.length <= CELLS_MAX
                ? list.map((state, i) => <StateGlyph key={i} state={state} />)
                : <span class="shares">{words.map(([state, n]) => (
                    <i key={state} class={`tone-${stateWords(state).tone}`} style={{flexGrow: n}} />))}</span>}
        </div>
    );
});

function statesOf(backends: Backend[]): string {
    return backends.map((b) => b.state).join(" ");
}

const PoolNode = memo(({pool, chosen}: {pool: Pool; chosen: boolean}): JSX.Element => {
    const bad = pool.backends_up < pool.backends_total;
    return (
        <li>
            <button type="button" class="node pool" data-node={`p:${pool.name}`} aria-pressed={chosen}
                title={chosen ? "Show the backends of every pool" : `Show only the backends of ${pool.name}`}
                onClick={() => ui.change({pool: chosen ? undefined : pool.name})}>
                <span class="node-head">
                    <strong>{pool.name}</strong>
                    <span class="quiet">{balanceWords(pool.balance)}</span>
                </span>
                <span class="cells-line">
                    <Cells states={statesOf(pool.backends)} />
                    <Labels labels={poolLabels(pool)} />
                </span>
                <span class="node-numbers">
                    <span class={bad ? "strong" : ""}><b>{count(pool.backends_up)}</b> of {count(pool.backends_total)} up</span>
                    <span><b data-testid={`pool-rps-${pool.name}`}>{rate(pool.requests_per_second)}</b> /s</span>
                    <span>p99 <b>{time(pool.latency_ms?.p99)}</b></span>
                    {pool.waiting > 0 && <span><b>{count(pool.waiting)}</b> waiting</span>}
                </span>
            </button>
        </li>
    );
});

interface Line {
    key: string;
    path: string;
    live: boolean;
}

function curve(from: DOMRect, to: DOMRect, origin: DOMRect): string {
    const x1 = from.right - origin.left;
    const y1 = from.top + from.height / 2 - origin.top;
    const x2 = to.left - origin.left;
    const y2 = to.top + to.height / 2 - origin.top;
    const bend = Math.max(8, (x2 - x1) / 2);
    return `M${x1.toFixed(1)} ${y1.toFixed(1)}C${(x1 + bend).toFixed(1)} ${y1.toFixed(1)} ` +
        `${(x2 - bend).toFixed(1)} ${y2.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`;
}

function measure(frame: HTMLElement, listeners: Listener[]): Line[] {
    const nodes = new Map<string, DOMRect>();
    for (const node of frame.querySelectorAll<HTMLElement>("[data-node]"))
        nodes.set(node.dataset["node"]!, node.getBoundingClientRect());
    const origin = frame.getBoundingClientRect();
    const lines: Line[] = [];
    const join = (a: string, b: string, live: boolean): void => {
        const from = nodes.get(a);
        const to = nodes.get(b);
        if (from && to && to.left >= from.right)
            lines.push({key: `${a} ${b}`, path: curve(from, to, origin), live});
    };
    for (const listener of listeners) {
        const live = listener.requests_per_second > 0;
        routesOf(listener).forEach((route, i) => {
            join(`l:${listener.name}`, `r:${listener.name}:${i}`, live);
            join(`r:${listener.name}:${i}`, `p:${route.pool}`, live);
        });
    }
    return lines;
}

function Links(props: {frame: RefObject<HTMLDivElement | null>; listeners: Listener[]; shape: string}): JSX.Element {
    const [lines, set] = useState<Line[]>([]);
    const listeners = useRef(props.listeners);
    listeners.current = props.listeners;
    useLayoutEffect(() => {
        const frame = props.frame.current!;
        const draw = (): void => set(measure(frame, listeners.current));
        const resized = new ResizeObserver(draw);
        resized.observe(frame);
        draw();
        return () => resized.disconnect();
    }, [props.shape]);
    return (
        <svg class="links" aria-hidden="true">
            {lines.map((line) => <path key={line.key} d={line.path} class={line.live ? "live" : ""} />)}
        </svg>
    );
}

/** Pools in the order in which the routes name them, so that few lines cross; then the others. */
function poolsByUse(listeners: Listener[], pools: Pool[]): Pool[] {
    const names = new Set(listeners.flatMap((l) => routesOf(l).map((r) => r.pool)));
    const byName = new Map(pools.map((p) => [p.name, p]));
    const used = [...names].map((name) => byName.get(name ?? "")).filter((p): p is Pool => p !== undefined);
    return [...used, ...pools.filter((p) => !names.has(p.name))];
}

/** What decides where the lines go. */
function shapeOf(listeners: Listener[], pools: Pool[], all: boolean): string {
    const live = listeners.map((l) => `${l.name}${l.requests_per_second > 0}${l.addresses.length}${l.tls?.not_after}` +
        routesOf(l).map((r) => `${r.name}>${r.pool}`).join());
    return `${all}|${live.join(";")}|${pools.map((p) => `${p.name}${p.backends.length}${p.waiting > 0}`).join()}`;
}

export function TrafficMap(): JSX.Element | null {
    const listeners = useModel((m) => m.listeners);
    const inFile = useModel((m) => m.pools);
    const pools = poolsByUse(listeners, inFile);
    const chosen = useUi((u) => u.pool);
    const [all, showAll] = useState(false);
    const frame = useRef<HTMLDivElement>(null);
    const hidden = pools.length > POOLS_SHOWN || listeners.some((l) => routesOf(l).length > ROUTES_SHOWN);
    return (
        <section class="card map" aria-labelledby="map-title">
            <div class="card-head">
                <h2 id="map-title">Traffic</h2>
                {hidden && (
                    <button type="button" class="link" aria-expanded={all} onClick={() => showAll(!all)}>
                        {all ? "Show fewer" : "Show all"}
                    </button>
                )}
            </div>
            <div class="map-frame" ref={frame}>
                <Links frame={frame} listeners={listeners} shape={shapeOf(listeners, pools, all)} />
                <div class="entries">
                    <div class="map-titles"><h3>Listeners</h3><h3>Routes</h3></div>
                    {listeners.map((listener) => <ListenerNode key={listener.name} listener={listener} all={all} />)}
                    {listeners.length === 0 && <p class="empty">No listener is configured.</p>}
                </div>
                <div class="pools">
                    <div class="map-titles"><h3>Pools</h3></div>
                    <ul>
                        {(all ? pools : pools.slice(0, POOLS_SHOWN)).map((pool) => (
                            <PoolNode key={pool.name} pool={pool} chosen={chosen === pool.name} />
                        ))}
                    </ul>
                    {pools.length === 0 && <p class="empty">No pool is configured.</p>}
                    {!all && pools.length > POOLS_SHOWN &&
                        <p class="quiet">and {plural(pools.length - POOLS_SHOWN, "more pool")}</p>}
                </div>
            </div>
        </section>
    );
}
