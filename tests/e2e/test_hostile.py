# SPDX-License-Identifier: MIT
"""Clients that do not read, that read slowly, that stop halfway, and too many of them."""

import re
import resource
import selectors
import socket
import time

import memory
import pytest
import web
from programs import config, pool, wait_until

BIG = 16384
ONE_BIG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG + b"k" * BIG
HALVES = b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1800, b"\r\nContent-Length: 1\r\n\r\nx"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
    + b"greeting" * 8192
)


class Origin(web.Acceptor):
    """A backend that counts what it was asked for: /big, /halves (a head in two segments), /up (an
    upgrade), /endless (a body of 64 MiB), and a short answer in chunks to everything else."""

    def __init__(self):
        self.asked = 0
        self.behind = []  # what came behind upgrades
        super().__init__()

    def _serve(self, s):
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with s, s.makefile("rb") as f:
                while line := f.readline():
                    while f.readline() not in (b"\r\n", b""):
                        pass
                    self.asked += 1
                    self._answer(s, f, line.split()[1])
        except OSError:
            pass

    def _answer(self, s, f, path):
        if path == b"/big":
            s.sendall(ONE_BIG)
        elif path == b"/halves":
            s.sendall(HALVES[0])
            time.sleep(0.003)
            s.sendall(HALVES[1])
        elif path == b"/up":
            s.sendall(SWITCHED)
            self.behind.append(f.read(4))
        elif path == b"/endless":
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
            for _ in range(64):
                s.sendall(b"e" * (1 << 20))
        else:
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n")


@pytest.fixture
def origin(closing):
    return closing(Origin)


@pytest.fixture
def many_files():
    """Room for the connections of a crowd, in this process and in those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 8192:
        pytest.skip("needs more descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ask(path, more=b""):
    return b"GET /%s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (path, more)


def small_window(port):
    """A client that takes little in advance."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(60)
    s.connect(("127.0.0.1", port))
    return s


def settled(origin):
    """Waits until nothing more is asked for, because nobody takes the answers; how much it was."""
    last = -1
    while last != origin.asked:
        last = origin.asked
        time.sleep(0.3)
    return last


def bigs_that_fit(origin, port):
    """How many big answers the way to a client that reads nothing takes until one is stuck."""
    with small_window(port) as s:
        s.sendall(ask(b"big") * 1500)
        before, origin.asked = origin.asked, 0
        count = settled(origin) + before
        origin.asked = 0
    assert 2 < count < 1500
    return count


def test_heads_in_halves_for_a_full_client(start, origin):
    """The client's socket becomes full while heads come in two segments: no byte is lost."""
    poise = start.poise(config(pool([("B1", origin.address)])), "--workers", "1")
    count = bigs_that_fit(origin, poise.port) - 4
    halves = 80
    with small_window(poise.port) as s:
        s.sendall(ask(b"big") * count + ask(b"halves") * halves)
        assert settled(origin) < count + halves, "the socket was never full"
        expected = ONE_BIG * count + b"".join(HALVES) * halves
        assert web.receive(s, len(expected)) == expected
    assert web.get(poise.port).body == b"good"


def test_upgrade_with_bytes_behind_it_for_a_full_client(start, origin):
    """101 meets a full socket while bytes of the client wait to go the other way."""
    poise = start.poise(config(pool([("B1", origin.address)])), "--workers", "1")
    stuck = bigs_that_fit(origin, poise.port)
    upgrade = ask(b"up", b"Connection: upgrade\r\nUpgrade: echo\r\n") + b"tail"
    for count in range(stuck - 4, stuck):
        with small_window(poise.port) as s:
            s.sendall(ask(b"big") * count + upgrade)
            settled(origin)
            origin.asked = 0
            assert web.receive(s, len(ONE_BIG) * count) == ONE_BIG * count
            head = web.receive(s, 13)
            assert head == b"HTTP/1.1 101 "
            while not head.endswith(b"\r\n\r\n"):
                head += web.receive(s, 1)
            greeting = SWITCHED.partition(b"\r\n\r\n")[2]
            assert web.receive(s, len(greeting)) == greeting
    wait_until(lambda: len(origin.behind) == 4, "the bytes behind the upgrades arrive")
    assert set(origin.behind) == {b"tail"}
    assert web.get(poise.port).body == b"good"


def test_a_slow_reader_is_not_a_dead_one(start, origin):
    settings = config(
        pool([("B1", origin.address)]),
        listener={"timeouts": {"send": "1s"}},
        access_log={"file": "-", "format": "json"},
    )
    poise = start.poise(settings, "--workers", "1")
    with small_window(poise.port) as slow, small_window(poise.port) as dead:
        dead.sendall(ask(b"endless"))
        slow.sendall(ask(b"endless"))
        ends = time.monotonic() + 3.5
        while time.monotonic() < ends:
            assert slow.recv(4096), "the slow reader was cut"
            time.sleep(0.01)
        poise.wait_for("client_too_slow")
        for _ in range(100):
            assert slow.recv(4096)
        assert poise.out.count("client_too_slow") == 1


def test_a_crowd_with_partial_heads(start, origin, many_files):
    """1,100 clients stop in the middle of a head: others do not notice."""
    poise = start.poise(config(pool([("B1", origin.address)])), "--workers", "1")
    partial = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2300
    with web.connect(poise.port) as kept:
        kept.sendall(ask(b"first"))
        assert_good(kept)
        crowd = [web.connect(poise.port) for _ in range(1100)]
        for s in crowd:
            s.sendall(partial)
        time.sleep(0.3)
        request = ask(b"split")
        for s in (kept, web.connect(poise.port)):
            s.sendall(request[:20])
            time.sleep(0.1)
            s.sendall(request[20:])
            assert_good(s)
        for s in crowd:
            s.close()


def assert_good(s):
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        piece = s.recv(65536)
        assert piece, data
        data += piece
    assert data.startswith(b"HTTP/1.1 200 ") and b"\r\n4\r\ngood\r\n" in data, data


def test_few_descriptors_and_many_clients(start, origin):
    """With 64 descriptors the clients over what fits wait in the kernel's queue; all are served."""
    poise = start.poise(
        config(pool([("B1", origin.address)])),
        "--workers",
        "1",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    poller, answers = selectors.DefaultSelector(), {}
    for _ in range(100):
        s = web.connect(poise.port)
        s.sendall(ask(b"", b"Connection: close\r\n"))
        poller.register(s, selectors.EVENT_READ)
        answers[s] = b""
    deadline = time.monotonic() + 60
    while poller.get_map() and time.monotonic() < deadline:
        for key, _ in poller.select(1):
            piece = key.fileobj.recv(65536)
            answers[key.fileobj] += piece
            if not piece:
                poller.unregister(key.fileobj)
                key.fileobj.close()
    assert not poller.get_map(), "some were never answered"
    assert {a[:13] for a in answers.values()} == {b"HTTP/1.1 200 "}
    assert memory.descriptors(poise.pid) <= 64
    assert processor_ticks(poise.pid) < 200


def processor_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = re.split(r"\s+", f.read().rpartition(")")[2].strip())
    return int(fields[11]) + int(fields[12])
