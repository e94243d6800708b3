# SPDX-License-Identifier: MIT
"""A program under callgrind: instructions, calls and system calls of one of its threads between two
moments, exact and the same on an idle machine as on a busy one."""

import collections
import re
import shutil
import subprocess
from pathlib import Path

NAME = re.compile(r"\((\d+)\)(?: (.*))?$")

# What valgrind turns into system calls, though the kernel's vDSO answers it without one.
CLOCKS = {"clock_gettime", "gettimeofday", "time"}


def missing():
    """Why this cannot be used here, or None."""
    for program in ("valgrind", "vgdb"):
        if not shutil.which(program):
            return f"{program} is not installed (make test-deps installs it)"
    return None


class Counts:
    """`instructions` of a thread in all; `calls` and `system_calls` by the function's name."""

    def __init__(self, path):
        self.instructions = 0
        self.calls, self.system_calls = collections.Counter(), collections.Counter()
        self.names = {}
        self.read(path)

    def name(self, text):
        """Names are written out once and are numbers from then on. Versions of symbols, and what the
        optimiser adds to the name of a part of a function, are left out."""
        number, name = NAME.match(text).groups()
        if name is not None:
            self.names[number] = re.sub(r"@.*|\.(lto_priv|isra|part|constprop|cold).*", "", name)
        return self.names[number]

    def read(self, path):
        function = callee = None
        is_call = False  # the next line of costs is that of a call: counted where it was spent
        for line in path.read_text().splitlines():
            if line.startswith("fn="):
                function = self.name(line[3:])
            elif line.startswith("cfn="):
                callee = self.name(line[4:])
            elif line.startswith("calls="):
                self.calls[callee] += int(line[6:].split()[0])
                is_call = True
            elif line and line[0] in "0123456789+-*":
                if not is_call:
                    cost = [int(c) for c in line.split()[1:3]]
                    self.instructions += cost[0]
                    self.system_calls[function] += sum(cost[1:])
                is_call = False


class Callgrind:
    """Words to put before a command, and the counts of the process that this becomes."""

    def __init__(self, directory):
        self.out = Path(directory) / "callgrind"
        self.words = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={self.out}",
            f"--vgdb-prefix={directory}/vgdb",
            "--collect-systime=yes",
            "--separate-threads=yes",
            "--quiet",
        ]

    def cut(self, pid):
        """Ends one stretch of counting and begins the next; returns the counts of each thread, that with
        the most system calls first."""
        answer = subprocess.run(
            [
                "vgdb",
                f"--vgdb-prefix={self.out.parent}/vgdb",
                f"--pid={pid}",
                "--max-invoke-ms=5",
                "--cmd-time-out=20",
                "dump",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        threads = list(self.out.parent.glob(f"{self.out.name}.*"))
        assert answer.returncode == 0 and threads, f"vgdb reached nothing: {answer.stdout}{answer.stderr}"
        counts = [Counts(path) for path in threads]
        for path in threads:
            path.unlink()
        return sorted(counts, key=lambda c: -c.system_calls.total())
