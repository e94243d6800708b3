# SPDX-License-Identifier: MIT
"""The parts of the benchmark. Each takes a Bench and returns what goes into the results under its name."""

import contextlib
import os
import random
import resource
import statistics
import subprocess
import time

from contenders import CONNECTIONS, ENVIRONMENT, Poise
import protocols
from measure import MEASURE_MS, ROUNDS, measure, median_interval, rounds_of, say, summary
from memory import descriptors
from workloads import (
    BACKENDS_HTTP, BACKENDS_TCP, CLOSE, FORWARDING, KEEP, MULTIPLEXED, ONE, OPEN, OPEN_SHARES, POLICIES, SECURE,
)  # fmt: skip

MANY = min(int(os.environ.get("BENCH_MANY", "10000")), CONNECTIONS)
IDLE = min(int(os.environ.get("BENCH_IDLE", "10000")), CONNECTIONS - 300)
SHORT = {"warm_ms": 100, "measure_ms": min(400, MEASURE_MS)}


@contextlib.contextmanager
def standing(bench, *makings):
    """Contenders for as long as the block lasts; a making is a kind, a variant and its options."""
    with contextlib.ExitStack() as stack:
        made = []
        for kind, variant, options in makings:
            options = {"backends": bench.load.backends, "cpus": bench.cpu} | options
            made.append(kind(directory=bench.directory, variant=variant, **options))
            stack.callback(made[-1].end)
        yield made


def noise(bench):
    say(f"bench: {bench.base} against itself")
    with standing(bench, (bench.kinds[0], "-twin", {})) as (twin,):
        samples = rounds_of(bench.load, [bench.contenders[0], twin], KEEP, bench.errors)
        return summary(samples, bench.base)[twin.label]


def forwarding(bench):
    out = {}
    for workload in filter(lambda w: bench.wants(w.name), FORWARDING):
        say(f"bench: {workload.name}")
        samples = rounds_of(bench.load, bench.contenders, workload, bench.errors)
        out[workload.name] = summary(samples, bench.base)
    return out


def logs(bench):
    """Access logs on for all; the contender without is there to tell what they cost."""
    makings = [(k, f"-{log}", {"log": log}) for k in bench.kinds for log in k.LOGS]
    out = {}
    with standing(bench, *makings) as logging:
        for workload in (KEEP, CLOSE):
            say(f"bench: access logs, {workload.name}")
            all_of = [bench.contenders[0], *logging]
            samples = rounds_of(bench.load, all_of, workload, bench.errors)
            rows = summary(samples, logging[0].label)
            for label in [c.label for c in logging if isinstance(c, Poise)]:
                pairs = list(zip(samples[label], samples[bench.base]))
                rows[label]["record_us"] = median_interval([a["us"] - b["us"] for a, b in pairs])
                rows[label]["record_worker_us"] = median_interval(
                    [a["worker_us"] - b["worker_us"] for a, b in pairs]
                )
            out[workload.name] = rows
    return out


class Direct:
    """The backends themselves, as if they were a proxy that costs nothing."""

    label = "direct"

    def __init__(self, load):
        self.http_port = load.backends[0]

    def pids(self):
        return []


def open_loop(bench):
    """Latency at shares of what the slowest proxy can do, from the instant a request was due."""
    proxies = [c for c in bench.contenders if c.name != "relay"]
    say("bench: capacity")
    capacity = rounds_of(bench.load, proxies, KEEP, bench.errors, rounds=min(3, ROUNDS))
    slowest = min(statistics.median(s["rate"] for s in of) for of in capacity.values())
    out = {}
    for share in OPEN_SHARES:
        rate = int(slowest * share)
        say(f"bench: open loop, {rate} a second")
        able = [Direct(bench.load), *bench.contenders]
        samples = rounds_of(bench.load, able, OPEN, bench.errors, rate=rate)
        rows = {}
        for label, of in samples.items():
            rows[label] = {
                p: statistics.median(s["latency"][p] for s in of) / 1000
                for p in ("p50", "p90", "p99", "p999", "max")
            }
            rows[label]["late_p99"] = statistics.median(s["late"]["p99"] for s in of) / 1000
            rows[label]["errors"] = sum(s["errors"] for s in of)
            rows[label]["us"] = statistics.median(s["us"] for s in of)
        out[f"{round(share * 100)} %"] = {"rate": rate, "rows": rows}
    return out


def prime(bench, contender, workload):
    """Enough requests for an idle connection to nearly every backend."""
    port = getattr(contender, workload.port)
    words = list(workload.words(port, 0, 0))
    words[5] = 3 * len(contender.addresses)
    answer = bench.load.ask(*words)
    if answer["errors"]:
        bench.errors.append(f"{contender.label}: {answer['errors']} errors: {answer['why']}")


def backends(bench):
    """Each policy with few and with many backends, each proxy against itself with 3."""
    out = {}
    for kind in [k for k in bench.kinds if k.name != "relay"]:
        counts = (3, 100, MANY) if kind is Poise else (3, MANY)
        for policy in POLICIES:
            makings = [
                (kind, f"-{n}", {"backends": bench.load.many(n), "balance": policy}) for n in counts
            ]
            with standing(bench, *makings) as able:
                for workload in (BACKENDS_HTTP, BACKENDS_TCP):
                    if workload is BACKENDS_TCP and kind is not Poise:
                        continue
                    say(f"bench: {kind.name}, {policy}, {workload.name}")
                    if workload is BACKENDS_HTTP:
                        for c in able:
                            prime(bench, c, workload)
                    samples = rounds_of(bench.load, able, workload, bench.errors, **SHORT)
                    rows = summary(samples, able[0].label)
                    out.setdefault(workload.name, {}).setdefault(policy, {}).update(rows)
    return out


def workers(bench):
    """One worker and two: what a request costs, and how evenly connections are shared out."""
    kinds = [k for k in bench.kinds if k.name != "relay"]
    both = {bench.cpu, bench.load.cpu}
    out = {}
    for name, cpus in (("one CPU", {bench.cpu}), ("two CPUs", both)):
        makings = [(k, f"-w{n}", {"workers": n, "cpus": cpus}) for k in kinds for n in (1, 2)]
        with standing(bench, *makings) as able:
            for workload in (KEEP, CLOSE):
                say(f"bench: workers, {name}, {workload.name}")
                if len(cpus) > 1:
                    bench.load.move(both)
                try:
                    samples = rounds_of(bench.load, able, workload, bench.errors, **SHORT)
                finally:
                    bench.load.move({bench.load.cpu})
                rows = {}
                for kind in kinds:
                    one, two = (f"{kind.name}-w{n}" for n in (1, 2))
                    rows |= summary({l: samples[l] for l in (one, two)}, one)
                    rows[two]["over_share"] = statistics.median(
                        2 * s["threads"][0] / max(1, sum(s["threads"][:2])) - 1 for s in samples[two]
                    )
                out.setdefault(name, {})[workload.name] = rows
    return out


def idle_front(bench, contender):
    """Growth of PSS for each idle client connection, after it has served before."""
    measure(bench.load, contender, KEEP, bench.errors, warm_ms=100, measure_ms=200)
    before = contender.pss()
    try:
        answer = bench.load.ask("open", contender.http_port, IDLE)
        if answer["errors"]:
            bench.errors.append(f"{contender.label}: {answer['errors']} idle connections failed")
        return (contender.pss() - before) / IDLE
    finally:
        bench.load.ask("shut")


def idle_upstream(bench, contender):
    """The same for idle connections to as many backends, one each, made by one client in turn."""

    def serve(requests):
        words = list(ONE.words(contender.http_port, 0, 0))
        words[5] = requests
        answer = bench.load.ask(*words)
        if answer["errors"]:
            bench.errors.append(f"{contender.label}: {answer['errors']} errors: {answer['why']}")

    open_files = lambda: sum(descriptors(p) for p in contender.pids())
    serve(max(len(contender.addresses) // 50, 1))
    before, files = contender.pss(), open_files()
    serve(len(contender.addresses))
    grown = open_files() - files
    return (contender.pss() - before) / grown if grown > 0 else None


def memory(bench):
    out = {"idle": IDLE, "upstream_idle": MANY, "front": {}, "upstream": {}}
    for kind in [k for k in bench.kinds if k.name != "relay"]:
        say(f"bench: memory of {kind.name}")
        with standing(bench, (kind, "-idle", {})) as (contender,):
            out["front"][kind.name] = idle_front(bench, contender)
        many = {"backends": bench.load.many(MANY), "tcp": False}
        with standing(bench, (kind, "-upstream", many)) as (contender,):
            out["upstream"][kind.name] = idle_upstream(bench, contender)
    return out


def time_check(contender):
    """Wall and CPU milliseconds of a check of the configuration."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = [str(a) for a in contender.check()]
    subprocess.run(words, check=True, capture_output=True, env=ENVIRONMENT)
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000, cpu * 1000


def time_start(contender):
    """Wall milliseconds from the start of the process to the first connection it takes."""
    begin = time.monotonic()
    contender.start()
    wall = time.monotonic() - begin
    contender.stop()
    return wall * 1000


def startup(bench):
    kinds = [k for k in bench.kinds if k.name != "relay"]
    options = {"backends": bench.load.many(MANY), "tcp": False, "start": False}
    samples = {k.name: [] for k in kinds}
    say(f"bench: start-up with {MANY} backends")
    with standing(bench, *[(k, "-start", options) for k in kinds]) as able:
        for _ in range(ROUNDS):
            for c in random.sample(able, len(able)):
                samples[c.name].append((*time_check(c), time_start(c)))
    keys = ("check_ms", "check_cpu_ms", "start_ms")
    return {n: dict(zip(keys, map(statistics.median, zip(*of)))) for n, of in samples.items()}


# What each is called in BENCH_WORKLOADS, and in BENCH_ONLY and the results.
SECTIONS = [
    ([w.name for w in FORWARDING], "workloads", forwarding),
    (["access logs"], "logs", logs),
    (["open loop"], "latency", open_loop),
    (["backends"], "backends", backends),
    (["workers"], "workers", workers),
    (["memory"], "memory", memory),
    (["start-up"], "startup", startup),
    ([w.name for w in SECURE], "tls", protocols.tls),
    ([w.name for w in MULTIPLEXED], "h2", protocols.h2),
    (["HTTP/2 backends"], "h2_backends", protocols.h2_backends),
    (["TLS memory"], "tls_memory", protocols.tls_memory),
]
