# SPDX-License-Identifier: MIT
"""Programs under test: started with their output in files, watched, and ended by their own pid.

The environment names what is tested:
  POISE          the binary (default: build/poise)
  POISE_ENGINE   the event engine (default: the program's own choice)
"""

import json
import mmap
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import memory

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("POISE", str(ROOT / "build" / "poise"))
READY = r"^Load Balancer listening on (\S+)$"
SANITIZER_WORDS = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:|CHECK failed")


def sanitizer(path=BINARY):
    """The sanitizer a binary was built with: "address", "thread" or None."""
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if text.find(b"__asan_init") >= 0:
            return "address"
        if text.find(b"__tsan_init") >= 0:
            return "thread"
    return None


SANITIZER = sanitizer() if os.path.exists(BINARY) else None
SCALE = {None: 1, "address": 3, "thread": 8}[SANITIZER]  # of every wait


def wait_until(condition, what, seconds=10):
    """Polls until `condition()` is true and returns its value; a failure says `what`."""
    deadline = time.monotonic() + seconds * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * SCALE} s: {what}")
        time.sleep(0.01)


class Program:
    """One child process. `out` and `err` are its output so far; `end` checks how it exits."""

    count = 0

    def __init__(self, argv, directory, name=None, **options):
        Program.count += 1
        self.name = name or Path(argv[0]).name
        base = Path(directory) / f"{Program.count:03}-{self.name}"
        self.out_path, self.err_path = base.with_suffix(".out"), base.with_suffix(".err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=err, **options
            )
        self.pid = self.process.pid
        self.ended = False  # by `end`, with its checks

    @property
    def out(self):
        return self.out_path.read_text(errors="replace")

    @property
    def err(self):
        return self.err_path.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def wait_for(self, pattern, count=1, seconds=10):
        """Waits until `pattern` stands in the output `count` times; returns all matches."""

        def look():
            found = re.findall(pattern, self.out + self.err, re.MULTILINE)
            assert len(found) >= count or self.running(), f"{self.name} ended:\n{self.out}{self.err}"
            return found if len(found) >= count else None

        try:
            return wait_until(look, f"{self.name} says {pattern!r} {count} times", seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n--- output ---\n{self.out}{self.err}") from None

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=20):
        return self.process.wait(seconds * SCALE)

    def kill(self):
        """At once and without questions; a stopped process too."""
        if self.running():
            self.process.kill()
        self.process.wait()

    def end(self, expected=0, number=signal.SIGTERM, seconds=20):
        """Ends it in good order. Anything but `expected`, or a sanitizer's report, is a failure."""
        self.ended = True
        if self.running():
            self.send(number)
        try:
            code = self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end on signal {number}\n{self.err}") from None
        assert not SANITIZER_WORDS.search(self.err), self.err
        assert code == expected, f"{self.name} ended with {code}, not {expected}\n{self.err}"


class Poise(Program):
    """`poise run` with a configuration (a dictionary: JSON is YAML). `ports` has one entry for each
    listening address, in the order of the configuration; all are ready. `under` are words before the
    command: a tool to run it under, which then watches one process that does everything."""

    def __init__(self, config, directory, *args, ready=None, under=(), binary=BINARY, **options):
        path = Path(directory) / f"poise-{Program.count + 1}.yaml"
        path.write_text(json.dumps(config, indent=1) + "\n")
        self.config_path = path
        words = [*under, binary, "run", "-c", path, *args]
        if under:
            words += ["--no-supervisor"]
        engine = os.environ.get("POISE_ENGINE")
        if engine:
            words += ["--engine", engine]
        super().__init__(words, directory, "poise", **options)
        if ready is None:
            ready = sum(
                len(l["listen"]) if isinstance(l["listen"], list) else 1 for l in config["listeners"]
            )
        self.addresses = self.wait_for(READY, ready)
        self.ports = [int(a.rpartition(":")[2]) for a in self.addresses if not a.startswith("unix:")]

    @property
    def engine_pid(self):
        """The process that serves; the last one started if there are several."""
        return (memory.children(self.pid) or [self.pid])[-1]

    @property
    def port(self):
        return self.ports[0]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class TestServer(Program):
    """`poise test-server`; it can be started again on the same port."""

    __test__ = False  # no test class, whatever its name

    def __init__(self, name, directory, *args, port=0):
        self.backend, self.directory, self.args = name, directory, args
        super().__init__(
            [BINARY, "test-server", "--name", name, "--host", "127.0.0.1", "--port", port, *args],
            directory,
            name,
        )
        (found,) = self.wait_for(r"^Backend server '\w+' listening on \S+:(\d+)$")
        self.port = int(found)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def again(self):
        """A new process in the place of this one, which must have ended."""
        return TestServer(self.backend, self.directory, *self.args, port=self.port)


def pool(backends, name="app", **options):
    """A pool of (name, address) pairs, dictionaries or TestServers; without health checks."""

    def entry(b):
        if isinstance(b, dict):
            return b
        if isinstance(b, TestServer):
            return {"name": b.backend, "address": b.address}
        return {"name": b[0], "address": b[1]}

    return {"name": name, "health": {"type": "none"}, "backends": [entry(b) for b in backends]} | options


def config(pools, protocol="http", listener=None, **options):
    """A configuration with one listener on a port of the kernel's choice."""
    pools = pools if isinstance(pools, list) else [pools]
    web = {"name": "web", "listen": "127.0.0.1:0", "protocol": protocol, "pool": pools[0]["name"]}
    return {"listeners": [web | (listener or {})], "pools": pools} | options


class Held:
    """A port of the kernel's choice, held so that nobody else is given it, yet free to listen on for a
    server that sets SO_REUSEADDR. As long as nobody listens, connections to it are refused."""

    def __init__(self, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def close(self):
        self.socket.close()
