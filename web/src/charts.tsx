// SPDX-License-Identifier: MIT
// The three curves of the last five minutes, drawn by uPlot, and the small ones of backends.
import type {ComponentChildren, JSX} from "preact";
import {memo} from "./memo";
import {useEffect, useLayoutEffect, useRef} from "preact/hooks";
import uPlot from "uplot";
import {duration, millis, percent, rate} from "./format";
import {series, useModel} from "./model";
import {SERIES_SECONDS} from "./series";
import {useUi} from "./ui";

const SHOWN_LEAST_S = 90; // of a page just opened

interface Curve {
    label: string;
    colour: string; // a custom property of the style
    fill?: string;
    values: () => (number | null)[];
}

interface Kind {
    curves: Curve[];
    axis: (value: number) => string;
    least: number; // the axis never ends below: noise near nothing is no mountain
}

const requests: Kind = {
    curves: [{label: "requests", colour: "--ink-line", fill: "--ink-wash", values: () => series.rps}],
    axis: (v) => (v < 10 ? String(Number(v.toFixed(2))) : rate(v)),
    least: 1,
};

const latency: Kind = {
    curves: [
        {label: "p99", colour: "--ink-line-soft", values: () => series.p99},
        {label: "p50", colour: "--ink-line", values: () => series.p50},
    ],
    axis: (v) => (v === 0 ? "0" : duration(v)),
    least: 0.1,
};

const errors: Kind = {
    curves: [{label: "errors", colour: "--bad", fill: "--bad-wash", values: () => series.errors}],
    axis: (v) => (v < 10 ? String(Number(v.toFixed(2))) : rate(v)),
    least: 1,
};

function colour(name: string): string {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(kind: Kind, width: number, height: number): uPlot.Options {
    const grid = {stroke: colour("--line-soft"), width: 1};
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const stroke = colour("--muted");
    return {
        width, height,
        legend: {show: false},
        cursor: {show: false},
        padding: [6, 4, 0, 0],
        scales: {
            x: {time: true, range: (_u, min, max) => [max - Math.min(SERIES_SECONDS, Math.max(SHOWN_LEAST_S, max - min)), max]},
            y: {range: (_u, _min, max) => [0, Math.max(kind.least, max || 0) * 1.15]},
        },
        axes: [
            {
                stroke, font, grid: {show: false}, ticks: {show: false}, size: 24, gap: 6, space: 70,
                values: (_u, splits) => splits.map((t) => new Date(t * 1000).toTimeString().slice(0, 5)),
                incrs: [60, 120, 300],
            },
            {stroke, font, grid, ticks: {show: false}, size: 50, gap: 6, space: 28, values: (_u, splits) => splits.map(kind.axis)},
        ],
        series: [{}, ...kind.curves.map((curve) => ({
            label: curve.label, stroke: colour(curve.colour), width: 1.5, points: {show: false},
            ...(curve.fill ? {fill: colour(curve.fill)} : {}),
        }))],
    };
}

function dataOf(kind: Kind): uPlot.AlignedData {
    return [series.t, ...kind.curves.map((curve) => curve.values())];
}

const HEIGHT = 116; // as in the style

/** uPlot owns what is inside the frame; it is made anew for another width or other colours. */
function Plot(props: {kind: Kind}): JSX.Element {
    const frame = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot | undefined>(undefined);
    const ticks = useModel((m) => m.ticks);
    const theme = useUi((u) => (u.theme === "auto" ? u.system : u.theme));
    useLayoutEffect(() => {
        const at = frame.current!;
        const draw = (): void => {
            plot.current?.destroy();
            plot.current = new uPlot(options(props.kind, at.clientWidth, HEIGHT), dataOf(props.kind), at);
        };
        const resized = new ResizeObserver(() => {
            if (plot.current && at.clientWidth > 0 && plot.current.width !== at.clientWidth)
                plot.current.setSize({width: at.clientWidth, height: HEIGHT});
        });
        draw();
        resized.observe(at);
        return () => {
            resized.disconnect();
            plot.current?.destroy();
            plot.current = undefined;
        };
    }, [props.kind, theme]);
    useEffect(() => {
        if (!document.hidden)
            plot.current?.setData(dataOf(props.kind));
    }, [ticks, props.kind]);
    return <div class="plot" ref={frame} aria-hidden="true" />;
}

function Figure(props: {value: string; unit: string; label?: string; soft?: boolean; id: string}): JSX.Element {
    return (
        <div class={props.soft ? "figure soft" : "figure"}>
            {props.label && <span class="figure-label"><i class="swatch" />{props.label}</span>}
            <span class="figure-value" data-testid={props.id}>{props.value}</span>
            <span class="figure-unit">{props.unit}</span>
        </div>
    );
}

function Card(props: {title: string; kind: Kind; children: ComponentChildren}): JSX.Element {
    return (
        <section class="card chart">
            <h2>{props.title}</h2>
            <div class="figures">{props.children}</div>
            <Plot kind={props.kind} />
        </section>
    );
}

export function Charts(): JSX.Element {
    const status = useModel((m) => m.status);
    useModel((m) => m.ticks);
    const share = series.errorShare();
    const perSecond = series.errors[series.errors.length - 1] ?? undefined;
    const [p50, p50Unit] = millis(status?.latency_ms?.p50);
    const [p99, p99Unit] = millis(status?.latency_ms?.p99);
    const [errorsNow, errorsUnit] = percent(share).split(/ (?=%)/);
    return (
        <div class="charts" role="group" aria-label="The last five minutes">
            <Card title="Requests" kind={requests}>
                <Figure id="rps" value={rate(status?.requests_per_second)} unit="/s" />
            </Card>
            <Card title="Latency" kind={latency}>
                <Figure id="p50" label="p50" value={p50} unit={p50Unit} />
                <Figure id="p99" label="p99" value={p99} unit={p99Unit} soft />
            </Card>
            <Card title="Errors" kind={errors}>
                <Figure id="errors" value={errorsNow ?? "–"} unit={errorsUnit ?? ""} />
                <Figure id="error-rate" value={rate(perSecond)} unit="/s" soft />
            </Card>
        </div>
    );
}

const SPARK_SECONDS = 60;

function sparkPath(values: number[], width: number, height: number): string {
    const top = Math.max(1, ...values);
    const step = width / (SPARK_SECONDS - 1);
    const first = SPARK_SECONDS - values.length;
    return values.map((v, i) =>
        `${i === 0 ? "M" : "L"}${((first + i) * step).toFixed(1)} ${(height - 1.5 - (v / top) * (height - 3)).toFixed(1)}`).join("");
}

interface SparkProps {
    values: number[] | undefined;
    width: number;
    height: number;
    label?: string;
}

export const Spark = memo((props: SparkProps): JSX.Element => {
    const {width, height} = props;
    const values = (props.values ?? []).slice(-SPARK_SECONDS);
    const path = values.length > 1 ? sparkPath(values, width, height) : "";
    const start = ((SPARK_SECONDS - values.length) * width) / (SPARK_SECONDS - 1);
    return (
        <svg class="spark" viewBox={`0 0 ${width} ${height}`} width={width} height={height} preserveAspectRatio="none"
            {...(props.label ? {role: "img", "aria-label": props.label} : {"aria-hidden": true})}>
            {path && <path class="spark-area" d={`${path}L${width} ${height}L${start.toFixed(1)} ${height}Z`} />}
            {path && <path class="spark-line" d={path} />}
        </svg>
    );
});
