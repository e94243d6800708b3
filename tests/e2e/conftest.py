# SPDX-License-Identifier: MIT
"""What every end-to-end test may ask for. Whatever a test starts is ended after it, and a balancer
that does not end well (exit code, a sanitizer's report) fails the test."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import certificates  # noqa: E402
from programs import Poise, Program, TestServer  # noqa: E402


@pytest.fixture
def work():
    """A directory of the test's own, which every user may enter."""
    path = Path(tempfile.mkdtemp(prefix="poise-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Starter:
    """Starts programs in the test's directory and remembers them."""

    def __init__(self, work):
        self.work, self.started = work, []

    def _keep(self, program):
        self.started.append(program)
        return program

    def poise(self, config, *args, **options):
        return self._keep(Poise(config, self.work, *args, **options))

    def server(self, name, *args, **options):
        return self._keep(TestServer(name, self.work, *args, **options))

    def servers(self, count, *args):
        return [self.server(f"B{i + 1}", *args) for i in range(count)]

    def again(self, server):
        return self._keep(server.again())

    def program(self, *argv, **options):
        return self._keep(Program(argv, self.work, **options))

    def end(self):
        failures = []
        for program in reversed(self.started):
            if isinstance(program, Poise) and not program.ended:
                try:
                    program.end()
                except AssertionError as e:
                    failures.append(str(e))
        for program in self.started:
            program.kill()
        assert not failures, "\n".join(failures)


@pytest.fixture
def start(work):
    starter = Starter(work)
    yield starter
    starter.end()


@pytest.fixture
def closing():
    """`closing(Kind, ...)` makes one and closes it after the test."""
    made = []

    def make(kind, *args, **options):
        made.append(kind(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def authority(work):
    return certificates.ca(work)
