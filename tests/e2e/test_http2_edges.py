# SPDX-License-Identifier: MIT
"""HTTP/2 where the order of events is unfortunate: ends, heads and credit that cross each other."""

import hashlib
import socket
import struct
import sys
import time

import pytest
import web
from programs import config, pool, wait_until

pytest.importorskip("h2")
import h2server  # noqa: E402
import h2wire  # noqa: E402
from h2wire import GET, POST, Wire, literal  # noqa: E402

sys.setrecursionlimit(10000)
MIB = 1 << 20
ONE_WORKER = ("--workers", "1")
END, END_HEADERS = 1, 4


@pytest.fixture
def serve(closing):
    return lambda kind=h2server.Server, **options: closing(kind, **options)


def balancer(start, server, listener=None, **options):
    p = pool([(server.name, server.address)], protocol="http2", **options)
    return start.poise(config(p, listener=listener), *ONE_WORKER)


def slow_client(port, path, then=()):
    """One whose kernel takes little until it reads."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(60)
    s.connect(("127.0.0.1", port))
    paths = [path, *then]
    for p in paths:
        last = "Connection: close\r\n" if p == paths[-1] else ""
        s.sendall(f"GET {p} HTTP/1.1\r\nHost: h\r\n{last}\r\n".encode())
    return s


def all_of(s):
    return b"".join(iter(lambda: s.recv(MIB), b""))


def capacity(poise, server):
    """Bytes of a response that a backend can say while such a client reads none."""
    count = len(server.requests)
    with slow_client(poise.port, f"/bytes/{32 * MIB}"):
        wait_until(lambda: len(server.requests) > count and server.requests[-1].ended, "the request is there")
        time.sleep(0.1)
        r, before = server.requests[-1], None
        while (now := len(r.connection.output[r.id][0])) != before:
            before = now
            time.sleep(0.3)
    return 32 * MIB - now


def head(stream, status, fields=(), flags=END_HEADERS):
    """Of any size: what does not fit one frame continues in others."""
    block = b"".join(literal(n, v) for n, v in [(":status", status), *fields])
    parts = [block[i : i + 16384] for i in range(0, len(block), 16384)]
    kinds = [h2wire.HEADERS] + [h2wire.CONTINUATION] * (len(parts) - 1)
    last = len(parts) - 1
    out = b""
    for i, (kind, part) in enumerate(zip(kinds, parts)):
        on = (flags & END if i == 0 else 0) | (flags & END_HEADERS if i == last else 0)
        out += h2wire.frame(kind, on, stream, part)
    return out


class Raw(h2server.Server):
    """Answers /raw with bytes of the test's own."""

    def __init__(self, answer, **options):
        self.answer = answer
        super().__init__(**options)

    def on_end(self, r):
        if r.path == "/raw":
            r.connection.raw(self.answer(r.id))
        else:
            super().on_end(r)


# ---- heads that come while the client does not read ----


def test_heads_for_a_slow_client(start, serve):
    """More interim responses than the client's kernel takes, then the response itself."""
    large = [(f"x-{i}", "h" * 4000) for i in range(7)]

    def answer(n):
        body = h2wire.frame(h2wire.DATA, END, n, b"body")
        return b"".join(head(n, "103", large) for _ in range(15)) + head(n, "200", [("content-length", "4")]) + body

    server = serve(Raw, answer=answer)
    poise = balancer(start, server)
    size = capacity(poise, server) - 3 * 65535
    slow = slow_client(poise.port, f"/bytes/{size}", then=["/raw"])
    wait_until(lambda: [r for r in server.requests if r.path == "/raw"], "the first response has gone")
    assert web.get(poise.port, "/echo").status == 200  # behind those heads, on their connection
    assert len(server.connections) == 1
    said = all_of(slow)[-600000:]
    heads = said[said.index(b"HTTP/1.1 103 ") :].split(b"\r\n\r\n")
    assert heads[-2].startswith(b"HTTP/1.1 200 ") and heads[-1] == b"body"
    assert all(h.startswith(b"HTTP/1.1 103 ") and len(h) > 28000 for h in heads[:-2])


def test_an_interim_head_and_the_end_of_the_connection(start, serve):
    """In one delivery: what was gathered for the client is still whole."""
    broken = h2wire.frame(h2wire.WINDOW_UPDATE, 0, 0, struct.pack("!I", 0))
    server = serve(Raw, answer=lambda n: head(n, "103", [("link", "</first>" * 40)]) + broken)
    poise = balancer(start, server, retries={"attempts": 0})
    for _ in range(3):
        said = all_of(slow_client(poise.port, "/raw"))
        assert said.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: " + b"</first>" * 40 + b"\r\n\r\nHTTP/1.1 502 "), said
    assert web.get(poise.port, "/echo").status == 200


# ---- a connection that ends behind complete responses ----


BROKEN = {
    "priority": h2wire.frame(h2wire.PRIORITY, 0, 0, b"\0\0\0\0\1"),
    "data": h2wire.frame(h2wire.DATA, 0, 0, b"x"),
    "headers": h2wire.frame(h2wire.HEADERS, END_HEADERS, 1, b"\xff" * 9),
}


@pytest.mark.parametrize("how", ["fin", "goaway", "both", *BROKEN])
def test_a_whole_response_outlives_its_connection(start, serve, how):
    """The backend has said all and leaves, while the client has not read it."""

    server = serve()
    poise = balancer(start, server)
    size = capacity(poise, server)
    backend = server.connections[0]
    wait_until(lambda: not backend.output, "the first has gone")
    slow = slow_client(poise.port, f"/bytes/{size}")
    wait_until(lambda: server.requests[-1].path == f"/bytes/{size}" and server.requests[-1].ended, "it has begun")
    time.sleep(0.5)
    said = b""
    while backend.output:  # the kernel takes a little less this time
        said += slow.recv(4096)
    with backend.lock:
        if how in BROKEN:
            backend.raw(BROKEN[how])
        elif how != "fin":
            backend.h2.close_connection(last_stream_id=server.requests[-1].id)
            backend.flush()
        if how in ("fin", "both"):
            backend.sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: web.get(poise.port, "/echo").status == 200 and len(server.connections) > 1, "it was noticed")
    said += all_of(slow)
    assert len(said) > size and said.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("how", BROKEN)
def test_a_whole_response_and_a_mistake_behind_it(start, serve, how):
    """In one delivery: the first was all right."""
    body = h2server.block(10000)

    def answer(n):
        return head(n, "200", [("content-length", "10000")]) + h2wire.frame(h2wire.DATA, END, n, body) + BROKEN[how]

    server = serve(Raw, answer=answer)
    poise = balancer(start, server, retries={"attempts": 0})
    for _ in range(3):
        a = web.get(poise.port, "/raw")
        assert (a.status, a.body) == (200, body)
    assert len(server.connections) == 3, "none is used again"


# ---- windows ----


def test_many_slow_readers_stall_nobody(start, serve):
    server = serve()
    poise = balancer(start, server)
    slow = [slow_client(poise.port, f"/bytes/{16 * MIB}") for _ in range(24)]
    time.sleep(1)
    a = web.get(poise.port, f"/bytes/{2 * MIB}")
    assert hashlib.sha256(a.body).digest() == hashlib.sha256(h2server.block(2 * MIB)).digest()
    assert len(server.connections) == 1
    assert len(server.connections[0].output) == len(slow)  # none of them had to be given up
    for s in slow:
        s.close()


def test_held_data_of_reset_streams_gives_its_window_back(start, serve):
    server = serve()
    poise = balancer(start, server, max_connections=1, queue={"timeout": "60s"})
    posts = range(3, 123, 2)
    with Wire(poise.port) as w:
        w.headers(1, tuple((":path", "/wait") if f[0] == ":path" else f for f in GET))
        wait_until(lambda: server.requests, "the place is taken")
        for i in posts:  # nearly all that the connection's window allows
            w.headers(i, POST, end=False)
            w.data(i, bytes(16000), end=False)
        w.ping()
        for i in posts:
            w.rst(i)
        w.ping(b"and now?")
        server.released.set()
        w.until(lambda: w.streams[1].ended)
        for i in range(201, 217, 2):
            w.headers(i, POST, end=False)
            for n in range(5):
                w.data(i, bytes(12000), end=n == 4)
            w.until(lambda: w.streams[i].ended)
            assert w.streams[i].status == 200 and w.streams[i].body.startswith(b"60000 ")
    assert len(server.requests) == 1 + 8


# ---- timers ----


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_backend_that_never_speaks(start, serve, method):
    """An upload waits for its settings, but not for ever."""
    silent = socket.create_server(("127.0.0.1", 0))
    p = pool([("B1", f"127.0.0.1:{silent.getsockname()[1]}")], protocol="http2", timeouts={"response": "500ms"})
    poise = start.poise(config(p), *ONE_WORKER)
    a = web.get(poise.port, "/", method, b"body" if method == "POST" else b"")
    assert (a.status, a.headers["X-Poise-Reason"]) == (504, "response_timeout")
    silent.close()


def test_a_call_with_a_deadline_for_a_challenge(start, serve, work):
    """A listener that answers challenges has another use for an exchange's timer."""
    folder = work / "challenges"
    folder.mkdir()
    (folder / "token").write_text("secret")
    poise = balancer(start, serve(), listener={"acme_challenge": str(folder)})
    call = (("content-type", "application/grpc"), ("grpc-timeout", "50m"))
    target = (":path", "/.well-known/acme-challenge/token")
    with Wire(poise.port) as w:
        for i in range(20):
            fields = tuple(target if f[0] == ":path" else f for f in GET) + call
            w.headers(2 * i + 1, fields, end=False)
        time.sleep(0.3)
        w.headers(101)
        w.until(lambda: w.streams[101].ended)
        assert w.streams[101].status == 200
