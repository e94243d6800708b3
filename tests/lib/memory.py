# SPDX-License-Identifier: MIT
"""What a process holds: memory, descriptors and children, from /proc."""

import os
import re


def pss_bytes(pid):
    """Its proportional share of memory, that of files left out: how many others share a program's text
    changes with every process that starts or ends."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        found = dict(re.findall(r"^(Pss\w*):\s+(\d+) kB", f.read(), re.MULTILINE))
    return (int(found["Pss"]) - int(found["Pss_File"])) * 1024


def peak_rss_bytes(pid):
    """The most it ever had resident."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.MULTILINE)[1]) * 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid):
    """Its child processes, those of all its threads."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += map(int, f.read().split())
        except OSError:
            pass  # that thread has just ended
    return found
