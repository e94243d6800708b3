# SPDX-License-Identifier: MIT
"""The benchmark runs: one short round of a few workloads, without an error. Its figures are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from load import TOOL
from programs import BINARY, ROOT


@pytest.mark.parametrize(
    "wanted, part",
    [("64, 64 KiB", "workloads"), ("uploads", "workloads"), ("pipelined", "workloads"),
     ("open loop", "latency"), ("memory", "memory"), ("start-up", "startup"), ("access logs", "logs")],
)  # fmt: skip
def test_one_round(work, wanted, part):
    env = os.environ | {
        "POISE": BINARY,
        "BENCH_BIN": str(TOOL.parent),
        "BENCH_PROXIES": "poise relay",
        "BENCH_ROUNDS": "1",
        "BENCH_WARM_MS": "50",
        "BENCH_MEASURE_MS": "400",
        "BENCH_MANY": "200",
        "BENCH_IDLE": "200",
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
    if part == "workloads":
        for rows in results[part].values():
            assert rows["poise"]["us"] > 0 and rows["poise"]["ratio"] == [1, 1, 1]
        assert (work / "chart.svg").read_text().count("<rect") > 2
