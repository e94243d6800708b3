# SPDX-License-Identifier: MIT
"""The benchmark's load generator (bench/load.c) as a tool of tests: it answers requests itself, counts
exactly which backend got how many, and checks every answer to the last byte."""

import json
import os
import subprocess
from pathlib import Path

from programs import BINARY

TOOL = Path(os.environ.get("BENCH_BIN", Path(BINARY).resolve().parent / "bench")) / "load"


class LoadTool:
    def __init__(self, backends=3):
        self.process = subprocess.Popen(
            [TOOL, str(backends)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        greeting = json.loads(self.process.stdout.readline())
        self.ports, self.h2_ports = greeting["backends"], greeting["h2_backends"]
        self.backends = [(f"B{i + 1}", f"127.0.0.1:{p}") for i, p in enumerate(self.ports)]

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def run(self, port, requests, connections=64, keep="keep", body=64, *options):
        result = self.ask("run", port, keep, connections, body, requests, 0, 0, *options)
        assert result["errors"] == 0, result
        assert result["requests"] == requests, result
        return result["backends"]

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
