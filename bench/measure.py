# SPDX-License-Identifier: MIT
"""How one figure comes about: a round of every contender in random order, and ratios within rounds."""

import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

from contenders import ROOT

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
WARM_MS = int(os.environ.get("BENCH_WARM_MS", "200"))
MEASURE_MS = int(os.environ.get("BENCH_MEASURE_MS", "600"))
BIN = Path(os.environ.get("BENCH_BIN", ROOT / "build" / "bench"))
LOAD_BUSY_MAX = 0.97  # beyond it the load is the bottleneck


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Load:
    """The process that drives and answers; see load.c."""

    def __init__(self, cpu, backends=3):
        self.process = subprocess.Popen(
            [BIN / "load", str(backends), "spread"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        )
        self.cpu = cpu
        greeting = json.loads(self.process.stdout.readline())
        self.backends, self.spread = greeting["backends"], greeting["spread"]
        self.h2_backends = greeting["h2_backends"]

    def many(self, count):
        """The addresses of any number of backends."""
        if count <= len(self.backends):
            return self.backends[:count]
        return [f"127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}:{self.spread}" for i in range(count)]

    def move(self, cpus):
        os.sched_setaffinity(self.process.pid, cpus)

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
    return [statistics.median(values), medians[repeats // 40], medians[-repeats // 40]]


def measure(load, contender, workload, errors, warm_ms=WARM_MS, measure_ms=MEASURE_MS, **options):
    """One run. What went wrong in it is added to `errors`."""
    words = workload.words(getattr(contender, workload.port), warm_ms, measure_ms, **options)
    result = load.ask(*words, *contender.pids())
    if result["errors"] or not result["requests"]:
        errors.append(f"{contender.label}, {workload.name}: {result['errors']} errors: {result['why']}")
    n = max(result["requests"], 1)
    workers = [ns for name, ns in result["tasks"] if not name.startswith("logwriter")]
    return {
        "us": result["cpu_ns"] / n / 1000,
        "worker_us": sum(workers) / n / 1000,
        "threads": sorted(workers, reverse=True),
        "rate": n / (result["ns"] / 1e9),
        "load_busy": result["self_ns"] / result["ns"],
        "proxy_busy": result["cpu_ns"] / result["ns"],
        "ticks": result["ticks"],
        "errors": result["errors"],
        "latency": result.get("latency"),
        "late": result.get("late"),
    }


def rounds_of(load, contenders, workload, errors, rounds=None, **more):
    """Rounds of all contenders that have this workload's port; samples by label."""
    able = [c for c in contenders if getattr(c, workload.port)]
    samples = {c.label: [] for c in able}
    for _ in range(rounds or ROUNDS):
        for c in random.sample(able, len(able)):
            samples[c.label].append(measure(load, c, workload, errors, **more))
    return samples


def summary(samples, base):
    """By label: CPU time, rate, and the ratio to the base within the same round."""
    out = {}
    base = base if base in samples else next(iter(samples))
    for label, of in samples.items():
        # A run without an answer is in the errors already; it has no ratio.
        pairs = [(a["us"], b["us"]) for a, b in zip(of, samples[base]) if a["us"] and b["us"]]
        user, system = (sum(s["ticks"][i] for s in of) for i in (0, 1))
        out[label] = {
            "us": statistics.median(s["us"] for s in of),
            "worker_us": statistics.median(s["worker_us"] for s in of),
            "rate": statistics.median(s["rate"] for s in of),
            "load_busy": statistics.median(s["load_busy"] for s in of),
            "proxy_busy": statistics.median(s["proxy_busy"] for s in of),
            "user_share": user / (user + system) if user + system else None,
            "ratio": median_interval([a / b for a, b in pairs] or [0.0]),
        }
    return out
