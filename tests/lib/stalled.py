# SPDX-License-Identifier: MIT
"""Threads that do not move."""

import ctypes
import os

import pytest
from programs import wait_until


class Stalled:
    """A thread that does not move, as under a debugger."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid, name):
        self.tid = wait_until(lambda: self.find(pid, name), f"{name} runs")
        self.libc = ctypes.CDLL(None, use_errno=True)

    @staticmethod
    def find(pid, name):
        for t in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{t}/comm") as comm:
                if comm.read().strip() == name:
                    return int(t)
        return None

    def ptrace(self, request):
        if self.libc.ptrace(request, self.tid, None, None) != 0:
            e = ctypes.get_errno()
            raise OSError(e, os.strerror(e))

    def __enter__(self):
        try:
            self.ptrace(self.SEIZE)
        except PermissionError:
            pytest.skip("tracing is not allowed here")
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.tid, self.WALL)

    def __exit__(self, *_):
        self.ptrace(self.DETACH)
