# SPDX-License-Identifier: MIT
"""`make bench`: CPU time per request of Poise, nginx, HAProxy and a bare relay, side by side.

The proxies have one CPU and one worker; the load and the backends share one process on another CPU.
Every round measures each proxy once, in random order; what is compared are ratios within a round, so
that whatever else the machine does falls on all alike. docs/performance.md tells more, and has the
environment variables. With BENCH_CHART the results become a picture too.
"""

import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
from contenders import KINDS  # noqa: E402
from chart import write_chart  # noqa: E402
from protocols import certificate  # noqa: E402
from measure import BIN, LOAD_BUSY_MAX, ROUNDS, Load, say  # noqa: E402
from report import print_results  # noqa: E402
from sections import SECTIONS, noise  # noqa: E402


class Bench:
    """What all parts share: the load, the proxies that stand all the time, and what went wrong."""

    def __init__(self, directory, stack):
        cpus = sorted(os.sched_getaffinity(0))
        self.directory, self.cpu, self.errors = directory, cpus[0], []
        if cpus[0] == cpus[-1]:
            say("bench: only one CPU: load and proxy share it, so take the numbers with care")
        self.load = Load(cpus[-1])
        stack.callback(self.load.end)
        named = os.environ.get("BENCH_PROXIES", "").split()
        self.kinds = [k for k in KINDS if k.present() and (not named or k.name in named)]
        self.contenders = []
        for kind in self.kinds:
            self.contenders.append(kind(self.load.backends, directory, self.cpu))
            stack.callback(self.contenders[-1].end)
        self.base = self.contenders[0].label
        self.wanted = os.environ.get("BENCH_WORKLOADS", "")
        self.only = os.environ.get("BENCH_ONLY", "").replace(",", " ").split()
        self.certificate = certificate(Path(directory))

    def wants(self, name):
        return self.wanted in name

    def wants_section(self, section, names):
        """BENCH_ONLY=tls means tls_memory too."""
        named = not self.only or any(section == o or section.startswith(o + "_") for o in self.only)
        return named and any(self.wants(n) for n in names)


def busy_loads(results):
    """Warns where the load was the bottleneck; of the relay, which is as cheap as the load, it may be."""
    of = [r for part in ("workloads", "tls", "h2", "h2_backends") for r in results.get(part, {}).items()]
    for name, rows in of:
        for label, row in rows.items():
            if row and row["load_busy"] > LOAD_BUSY_MAX and label != "relay":
                say(f"bench: {name}: the load is the bottleneck of {label} ({row['load_busy']:.0%} busy)")


def run(directory, stack):
    bench = Bench(directory, stack)
    results = {
        "machine": platform.release(),
        "cpus": os.cpu_count(),
        "rounds": ROUNDS,
        "base": bench.base,
        "versions": {k.name: k.version() for k in bench.kinds if k.name != "relay"},
    }
    if not bench.only or "workloads" in bench.only:
        results["noise"] = noise(bench)
    for names, name, section in SECTIONS:
        if bench.wants_section(name, names):
            results[name] = section(bench)
    results["errors"] = bench.errors
    return results


def main():
    if not (BIN / "load").exists():
        sys.exit(f"bench: {BIN}/load is not built (make bench builds it)")
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="poise-bench-"))
        results = run(directory, stack)
    path = Path(os.environ.get("BENCH_JSON", BIN.parent / "bench-results.json"))
    path.write_text(json.dumps(results, indent=1) + "\n")
    print_results(results)
    busy_loads(results)
    if os.environ.get("BENCH_CHART"):
        write_chart(results, os.environ["BENCH_CHART"])
    for e in results["errors"]:
        say(f"bench: ERROR {e}")
    say(f"bench: {time.monotonic() - begin:.0f} s; results in {path}")
    return 1 if results["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
