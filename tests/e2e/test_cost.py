# SPDX-License-Identifier: MIT
"""What a request costs in the steady state, counted exactly by callgrind: nothing is allocated, no lock
is taken, no text is formatted, no system call is made without need, and the instructions in user space
are no more than bench/instructions.json says. docs/performance.md ("Gates") tells how to renew that."""

import collections
import json
import os
import platform
import re
import tempfile
import warnings
from pathlib import Path

import callgrind
import pytest
from load import LoadTool
from programs import ROOT, SANITIZER, Poise, pool, wait_until

REQUESTS, WARM = 2000, 400
BASELINE = ROOT / "bench" / "instructions.json"

# The kind of build, from meson; empty for one whose instructions say nothing.
BUILD = os.environ.get("POISE_BUILD")
ENGINE = os.environ.get("POISE_ENGINE") or "epoll"

# At most so many system calls and readings of the clock for each request, and so many times the
# instructions stored. Where several things happen at once it depends on how fast the load is how many
# of them a turn of the event loop finds: those counts vary.
# The end of a connection is a call more, so that it leaves in one packet with the last bytes. A large
# body is moved by two calls, and a third sees whether more has come.
Workload = collections.namedtuple("Workload", "listener keep connections body system clocks growth option")
WORKLOADS = {
    "http, keep-alive, 1 connection": Workload("http", "keep", 1, 64, 6, 5, 1.03, None),
    "http, keep-alive, 16 connections": Workload("http", "keep", 16, 64, 4.5, 1.5, 1.05, None),
    "http, keep-alive, 64 KiB": Workload("http", "keep", 16, 65536, 7.3, 1.5, 1.05, None),
    "http, keep-alive, access log": Workload("logged", "keep", 1, 64, 6, 5, 1.03, None),
    "http, a connection per request": Workload("http", "close", 1, 64, 9, 5, 1.03, None),
    "http, heads of a browser": Workload("http", "keep", 1, 64, 6, 5, 1.03, "browser=1"),
    "http, uploads of 4 KiB": Workload("http", "keep", 1, 64, 6, 5, 1.03, "upload=4096"),
    "tcp, keep-alive, 1 connection": Workload("tcp", "keep", 1, 64, 6, 4, 1.03, None),
    "tcp, keep-alive, 16 connections": Workload("tcp", "keep", 16, 64, 4.5, 1.5, 1.15, None),
    "tcp, a connection per request": Workload("tcp", "close", 1, 64, 22, 11, 1.1, None),
}
LOG = "http, keep-alive, access log"
LOG_WRITER = "the writer thread of the access log"
LOG_WRITER_GROWTH = 1.1  # it also looks around every few milliseconds
# Each run opens its connections anew, which is not what is counted here.
SLACK = 0.1

FORBIDDEN = {
    "allocation": r"_*(libc_)?(malloc|calloc|realloc|reallocarray|free|memalign|aligned_alloc|strn?dup"
    r"|posix_memalign|mmap(64)?|munmap|mremap|madvise|s?brk)",
    "lock": r"_*pthread_(mutex|rwlock|spin|cond|once)_?\w*|_*lll_\w+|sem_\w+",
    "formatted text": r"_*(v?[fds]?n?printf|v?asprintf|vs?n?printf|vfw?printf)(_chk|_internal)?"
    r"|_*strf(time|mon|rom)\w*|_*inet_ntop\w*|_*inet_ntoa|asctime\w*|ctime\w*|localtime\w*|gmtime\w*"
    r"|w_v?printf|log_event|log_format_line",
}

pytestmark = [
    pytest.mark.skipif(SANITIZER is not None, reason="a sanitizer's own work would be counted"),
    pytest.mark.skipif(BUILD == "", reason="only an optimised build is worth counting"),
    pytest.mark.skipif(callgrind.missing() is not None, reason=str(callgrind.missing())),
    pytest.mark.skipif(ENGINE not in ("auto", "epoll"), reason="callgrind knows only epoll"),
]


def configuration(backends, log):
    listeners = [
        {"name": "http", "listen": "127.0.0.1:0", "protocol": "http", "pool": "http"},
        {"name": "tcp", "listen": "127.0.0.1:0", "protocol": "tcp", "pool": "tcp"},
    ]
    pools = [pool(backends, "http"), pool(backends, "tcp", protocol="tcp")]
    plain = {"listeners": listeners, "pools": pools}
    log = {"access_log": {"file": str(log), "format": "json"}}
    return plain, {"listeners": listeners[:1], "pools": pools[:1]} | log


def count(tool, poise, tools, workload, log):
    """The worker's counts for REQUESTS requests, and what the threads besides it ran. What ran before is
    no part of it."""

    def run(requests, lines):
        port = poise.ports[workload.listener == "tcp"]
        options = [workload.option] if workload.option else []
        tool.run(port, requests, workload.connections, workload.keep, workload.body, *options)
        if workload.listener == "logged":
            wait_until(lambda: log.read_bytes().count(b"\n") == lines, f"{lines} lines are in the log")

    # A connection of TCP is counted when it ends, which may be after its last answer: with the second
    # run the first has ended, and its rows are there.
    run(WARM, WARM)
    run(WARM, 2 * WARM)
    tools.cut(poise.pid)
    run(REQUESTS, 2 * WARM + REQUESTS)
    worker, *others = tools.cut(poise.pid)
    worker.others = sum(c.instructions for c in others)
    return worker


def measure(directory):
    tool, tools, started = LoadTool(), {}, {}
    log = directory / "access.log"
    # Meson has malloc fill what it gives; and the engine is ours to choose.
    env = {k: v for k, v in os.environ.items() if k not in ("MALLOC_PERTURB_", "POISE_ENGINE")}
    try:
        for name, config in zip(("plain", "logged"), configuration(tool.backends, log)):
            place = directory / name
            place.mkdir()
            tools[name] = callgrind.Callgrind(place)
            words = ("--workers", "1", "--engine", "epoll")
            started[name] = Poise(config, place, *words, under=tools[name].words, env=env)
        found = {}
        for name, workload in WORKLOADS.items():
            which = "logged" if workload.listener == "logged" else "plain"
            found[name] = count(tool, started[which], tools[which], workload, log)
        for poise in started.values():
            poise.end()
        return found
    finally:
        for poise in started.values():
            poise.kill()
        tool.end()


def measure_anew():
    with tempfile.TemporaryDirectory(prefix="poise-cost-") as directory:
        return measure(Path(directory))


@pytest.fixture(scope="module")
def measured():
    return measure_anew()


@pytest.fixture(params=WORKLOADS)
def case(request, measured):
    return request.param, WORKLOADS[request.param], measured[request.param]


def shown(counts):
    """Calls for each request, the most frequent first; strays are left out."""
    found = [f"{name} {n / REQUESTS:.2f}" for name, n in counts.most_common() if n >= REQUESTS / 50]
    return ", ".join(found)


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_nothing_of_the_kind(case, kind):
    name, _, counts = case
    found = {f: n for f, n in counts.calls.items() if re.fullmatch(FORBIDDEN[kind], f)}
    assert not found, f"{name}: calls in {REQUESTS} requests: {found}"


def test_system_calls(case):
    name, workload, counts = case
    each = counts.system_calls
    clocks = sum(each[f] for f in callgrind.CLOCKS) / REQUESTS
    made = each.total() / REQUESTS - clocks
    assert made > 2, f"{name}: nothing was counted: {shown(each)}"
    assert made <= workload.system + SLACK, f"{name}: {made:.2f} system calls a request: {shown(each)}"
    assert clocks <= workload.clocks + SLACK, f"{name}: the clock is read {clocks:.2f} times a request"


def kind_of_build():
    """What decides how many instructions the same source becomes."""
    return f"{BUILD}, {' '.join(platform.libc_ver())}"


def instructions(counts):
    each = {name: round(c.instructions / REQUESTS) for name, c in counts.items()}
    return each | {LOG_WRITER: round(counts[LOG].others / REQUESTS)}


def times_stored(each, stored):
    """How many times the stored instructions each needs, and whether that is too many."""
    for name, now in each.items():
        limit = WORKLOADS[name].growth if name in WORKLOADS else LOG_WRITER_GROWTH
        times = now / stored[name] if stored.get(name) else float("inf")
        yield name, round(times, 3), times > limit


def test_instructions(measured):
    each = instructions(measured)
    if not BUILD:
        pytest.skip(f"run by meson, which knows the kind of build; counted {each}")
    key = kind_of_build()
    stored = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if os.environ.get("POISE_UPDATE_BASELINE"):
        more = [each] + [instructions(measure_anew()) for _ in range(2)]
        stored[key] = {name: max(m[name] for m in more) for name in each}
        BASELINE.write_text(json.dumps(stored, indent=1) + "\n")
        return
    if key not in stored:
        pytest.skip(f"no baseline for {key}; counted {each}")
    compared = list(times_stored(each, stored[key]))
    grown = {name: times for name, times, too_many in compared if too_many}
    assert not grown, (
        f"times the instructions a request that {BASELINE.name} has for {key}: {grown}. If they are worth it: "
        "POISE_UPDATE_BASELINE=1 meson test -C build cost"
    )
    fewer = {name: times for name, times, _ in compared if times < 0.9}
    if fewer:
        warnings.warn(f"far below what is stored, time to renew {BASELINE.name}: {fewer}", stacklevel=1)
