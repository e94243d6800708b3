# SPDX-License-Identifier: MIT
"""`make bench`: CPU time per request of Poise, nginx, HAProxy and a bare relay, side by side.

The proxies have one CPU and one worker; the load and the backends share one process on another CPU.
Every round measures each proxy once, in random order; what is compared are ratios within a round, so
that whatever else the machine does falls on all alike. docs/performance.md tells more.

Environment: BENCH_ROUNDS (5), BENCH_MEASURE_MS (600), BENCH_WORKLOADS (words that names must contain),
NGINX and HAPROXY (other binaries), POISE, POISE_ENGINE, BENCH_JSON (where the results go).
"""

import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from contenders import CONNECTIONS, KINDS, ROOT  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
WARM_MS, MEASURE_MS = 200, int(os.environ.get("BENCH_MEASURE_MS", "600"))
BIN = Path(os.environ.get("BENCH_BIN", ROOT / "build" / "bench"))
# name, port, keep or close, connections, bytes of body
WORKLOADS = [
    ("HTTP keep-alive, 1 connection", "http_port", "keep", 1, 128),
    ("HTTP keep-alive, 64 connections", "http_port", "keep", 64, 128),
    ("HTTP keep-alive, 512 connections", "http_port", "keep", 512, 128),
    ("HTTP keep-alive, 64 connections, 64 KiB", "http_port", "keep", 64, 65536),
    ("HTTP, a connection per request", "http_port", "close", 64, 128),
    ("TCP keep-alive, 64 connections", "tcp_port", "keep", 64, 128),
    ("TCP, a connection per request", "tcp_port", "close", 64, 128),
]
IDLE = (4000, min(10000, CONNECTIONS - 300))


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Load:
    """The process that drives and answers; see load.c."""

    def __init__(self, cpu, backends=3):
        self.process = subprocess.Popen(
            [BIN / "load", str(backends)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        )
        self.backends = json.loads(self.process.stdout.readline())["backends"]

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended: {words}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


def median_interval(values, repeats=2000):
    """The median and its 95 % interval by bootstrap."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(repeats))
    return statistics.median(values), medians[repeats // 40], medians[-repeats // 40]


def measure(load, contender, workload, errors):
    _, port, keep, connections, body = workload
    result = load.ask(
        "run", getattr(contender, port), keep, connections, body, 0, WARM_MS, MEASURE_MS, *contender.pids()
    )
    if result["errors"] or not result["requests"]:
        errors.append(f"{contender.label}, {workload[0]}: {result['errors']} errors: {result['why']}")
    n = max(result["requests"], 1)
    return {
        "us": result["cpu_ns"] / n / 1000,
        "rate": n / (result["ns"] / 1e9),
        "load_busy": result["self_ns"] / result["ns"],
    }


def compare(load, contenders, workload, errors, rounds=ROUNDS):
    """Rounds of all contenders that have this workload's port; results by label."""
    able = [c for c in contenders if getattr(c, workload[1])]
    samples = {c.label: [] for c in able}
    for _ in range(rounds):
        for c in random.sample(able, len(able)):
            samples[c.label].append(measure(load, c, workload, errors))
    return samples


def summary(samples, base):
    """By label: CPU time, rate, and the ratio to the base within the same round."""
    out = {}
    base = base if base in samples else next(iter(samples))
    for label, of in samples.items():
        ratios = [a["us"] / b["us"] for a, b in zip(of, samples[base])]
        median, low, high = median_interval(ratios)
        out[label] = {
            "us": statistics.median(s["us"] for s in of),
            "rate": statistics.median(s["rate"] for s in of),
            "load_busy": max(s["load_busy"] for s in of),
            "ratio": [median, low, high],
        }
    return out


def idle_memory(kind, load, directory, cpu, errors):
    """Growth of PSS for each idle connection, from a fresh process that has served before."""
    contender = kind(load.backends, directory, cpu, "-idle")
    out = {}
    try:
        measure(load, contender, WORKLOADS[1], errors)
        before = contender.pss()
        held = 0
        for count in IDLE:
            answer = load.ask("open", contender.http_port, count - held)
            held = count
            if answer["errors"]:
                errors.append(f"{contender.label}: {answer['errors']} idle connections failed")
            out[count] = (contender.pss() - before) / count
    finally:
        load.ask("shut")
        contender.end()
    return out


def print_tables(results, base):
    labels = list(dict.fromkeys(l for r in results["workloads"].values() for l in r))
    others = [l for l in labels if l != base]
    print(f"\nCPU microseconds per request, and how many times that of {base} (95 % interval)\n")
    print("| workload | " + " | ".join([base, *others]) + " |")
    print("|---" * (len(others) + 2) + "|")
    for name, r in results["workloads"].items():
        cells = [f"{r[base]['us']:.2f}" if base in r else "–"]
        for label in others:
            if label not in r:
                cells.append("–")
                continue
            median, low, high = r[label]["ratio"]
            cells.append(f"{r[label]['us']:.2f} · {median:.2f} ({low:.2f}–{high:.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    median, low, high = results["noise"]["ratio"]
    print(f"\nNoise: the same program against itself {median:.3f} ({low:.3f}–{high:.3f})")
    print("\nBytes of memory for each idle keep-alive connection (growth of PSS)\n")
    print("| connections | " + " | ".join(results["idle_bytes"]) + " |")
    print("|---" * (len(results["idle_bytes"]) + 1) + "|")
    for count in IDLE:
        row = [f"{of[count]:.0f}" for of in results["idle_bytes"].values()]
        print(f"| {count} | " + " | ".join(row) + " |")


def run(directory, stack):
    cpus = sorted(os.sched_getaffinity(0))
    proxy_cpu, load_cpu = cpus[0], cpus[-1]
    if proxy_cpu == load_cpu:
        say("bench: only one CPU: load and proxy share it, so take the numbers with care")
    load = Load(load_cpu)
    stack.callback(load.end)
    kinds = [k for k in KINDS if k.present()]
    contenders = []
    for kind in kinds:
        contenders.append(kind(load.backends, directory, proxy_cpu))
        stack.callback(contenders[-1].end)
    base, errors = contenders[0].label, []
    wanted = os.environ.get("BENCH_WORKLOADS", "")
    results = {"machine": platform.release(), "rounds": ROUNDS, "base": base, "workloads": {}}

    twin = kinds[0](load.backends, directory, proxy_cpu, "-twin")
    say(f"bench: {base} against itself")
    samples = compare(load, [contenders[0], twin], WORKLOADS[1], errors)
    results["noise"] = summary(samples, base)[twin.label]
    twin.end()

    for workload in WORKLOADS:
        if wanted not in workload[0]:
            continue
        say(f"bench: {workload[0]}")
        results["workloads"][workload[0]] = summary(compare(load, contenders, workload, errors), base)
    say("bench: memory")
    results["idle_bytes"] = {
        k.name: idle_memory(k, load, directory, proxy_cpu, errors) for k in kinds if k.name != "relay"
    }
    return results, base, errors


def main():
    if not (BIN / "load").exists():
        sys.exit(f"bench: {BIN}/load is not built (make bench builds it)")
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="poise-bench-"))
        results, base, errors = run(directory, stack)
    results["errors"] = errors
    path = Path(os.environ.get("BENCH_JSON", BIN.parent / "bench-results.json"))
    path.write_text(json.dumps(results, indent=1) + "\n")
    print_tables(results, base)
    for e in errors:
        say(f"bench: ERROR {e}")
    say(f"bench: results in {path}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
