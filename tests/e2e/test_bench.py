# SPDX-License-Identifier: MIT
"""The benchmark runs: one short round of a few workloads, without an error. Its figures are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from load import TOOL, LoadTool
from programs import BINARY, ROOT, SANITIZER

sys.path.insert(0, str(ROOT / "bench"))
from contenders import Nginx  # noqa: E402


@pytest.mark.parametrize(
    "wanted, part",
    [("64, 64 KiB", "workloads"), ("uploads", "workloads"), ("pipelined", "workloads"),
     ("open loop", "latency"), ("memory", "memory"), ("start-up", "startup"), ("access logs", "logs")],
)  # fmt: skip
def test_one_round(work, wanted, part):
    results = bench(work, "poise relay", wanted, part)
    if part == "workloads":
        for rows in results[part].values():
            assert rows["poise"]["us"] > 0 and rows["poise"]["ratio"] == [1, 1, 1]
        assert (work / "chart.svg").read_text().count("<rect") > 2


@pytest.mark.parametrize(
    "wanted, part",
    [("HTTPS keep-alive, 64 connections", "tls"), ("handshake", "tls"), ("HTTP/2", "h2"),
     ("TLS memory", "tls_memory")],
)  # fmt: skip
def test_tls_and_http2(work, wanted, part):
    """Beside a server that is not ours, if there is one, which shows that the load speaks what it should."""
    proxies = ["poise", *(["nginx"] if Nginx.present() else [])]
    results = bench(work, " ".join(proxies), wanted, part)
    if part == "tls_memory":
        # So few connections may hold less than what their handshakes gave back.
        if SANITIZER is None:  # whose own memory would be measured
            assert results[part]["bytes"]["poise"] < 14 * 1024, results[part]
        assert all(results[part]["bytes"][p] > 0 for p in proxies[1:]), results[part]
        return
    for rows in (results[part] | results.get("h2_backends", {})).values():
        assert all(rows[p]["us"] > 0 for p in (*proxies, "poise again")), rows
    for rows in results.get("h2_backends", {}).values():
        assert rows["poise/h2"]["us"] > 0, rows


@pytest.mark.parametrize("body", [0, 128, 40000])
def test_http2_of_the_load(body):
    """Its clients and backends over HTTP/2 agree with each other, with windows that fill and open again."""
    tool = LoadTool()
    try:
        result = tool.ask("run", tool.h2_ports[0], "keep", 4, body, 5000, 0, 0, "streams=32")
        assert (result["errors"], result["requests"], result["backends"]) == (0, 5000, [5000, 0, 0]), result
        refused = tool.ask("run", tool.ports[0], "keep", 1, body, 1, 0, 0, "streams=1")
        assert refused["errors"] == 1, "a server of HTTP/1 passed for one of HTTP/2"
    finally:
        tool.end()


def bench(work, proxies, wanted, part):
    """The results of a run that is as short as can be."""
    env = os.environ | {
        "POISE": BINARY,
        "BENCH_BIN": str(TOOL.parent),
        "BENCH_PROXIES": proxies,
        "BENCH_ONLY": part,
        "BENCH_ROUNDS": "1",
        "BENCH_WARM_MS": "50",
        "BENCH_MEASURE_MS": "400",
        "BENCH_MANY": "200",
        "BENCH_IDLE": "200",
        "BENCH_IDLE_TLS": "200",
        "BENCH_WORKLOADS": wanted,
        "BENCH_JSON": str(work / "results.json"),
        "BENCH_CHART": str(work / "chart.svg"),
    }
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "run.py"], env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(Path(work / "results.json").read_text())
    assert results["errors"] == [] and results[part]
    return results
