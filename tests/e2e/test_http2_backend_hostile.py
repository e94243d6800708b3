# SPDX-License-Identifier: MIT
"""Backends that speak HTTP/2 and mean harm: each ends with a reason, and the next request is served."""

import re
import struct

import pytest
import web
from programs import wait_until

pytest.importorskip("h2")
import h2server  # noqa: E402
from h2wire import (  # noqa: E402
    CONTINUATION, DATA, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, literal,
)  # fmt: skip
from test_http2_backend import balancer, serve  # noqa: E402, F401


def head(stream, *fields, flags=4, status="200"):
    return frame(HEADERS, flags, stream, b"".join(literal(n, v) for n, v in [(":status", status), *fields]))


def bomb(stream):
    """4 KiB in the table, named again and again."""
    big = b"\x40" + literal("a", "b" * 4000)[1:]
    return frame(HEADERS, 4, stream, literal(":status", "200") + big + b"\xbe" * 10000)


def continuations(stream):
    return (
        frame(HEADERS, 0, stream, literal(":status", "200"))
        + b"".join(frame(CONTINUATION, 0, stream, literal("a", "b")) for _ in range(20000))
    )


HOSTILE = {
    "capitals": (lambda n: head(n, ("X-Bad", "1"), flags=5), {"bad_response_field", "backend_h2_error"}),
    "line end in a value": (lambda n: head(n, ("x", "a\r\nb: c"), flags=5), {"bad_response_field", "backend_h2_error"}),
    "field of a connection": (lambda n: head(n, ("connection", "close"), flags=5), {"bad_response_field", "backend_h2_error"}),
    "status of two digits": (lambda n: head(n, flags=5, status="20"), {"bad_status_line", "backend_h2_error"}),
    "no status": (lambda n: frame(HEADERS, 5, n, literal("x", "y")), {"bad_status_line", "backend_h2_error"}),
    "101": (lambda n: head(n, flags=4, status="101"), {"unexpected_upgrade", "backend_h2_error"}),
    "interim that ends": (lambda n: head(n, flags=5, status="103"), {"bad_status_line", "backend_h2_error"}),
    "too many interim": (lambda n: b"".join(head(n, status="103") for _ in range(30)), {"too_many_interim"}),
    "length twice": (lambda n: head(n, ("content-length", "1"), ("content-length", "2")), {"bad_response_length", "backend_h2_error"}),
    "length of an end": (lambda n: head(n, ("content-length", "5"), flags=5), {"bad_response_length", "backend_h2_error"}),
    "many fields": (lambda n: head(n, *[("a", "b")] * 200, flags=5), {"response_head_too_large"}),
    "long field": (lambda n: head(n, ("a", "b" * 9000), flags=5), {"response_head_too_large"}),
    "compression bomb": (bomb, {"response_head_too_large", "backend_h2_error"}),
    "continuations": (continuations, {"backend_h2_error", "response_head_too_large"}),
    "data first": (lambda n: frame(DATA, 1, n, b"x"), {"backend_h2_error", "backend_stream_reset"}),
    "bad compression": (lambda n: frame(HEADERS, 5, n, b"\xff\xff\xff\xff\xff\xff"), {"backend_h2_error"}),
    "pushed": (lambda n: frame(PUSH_PROMISE, 4, n, struct.pack(">I", 2) + literal(":status", "200")), {"backend_h2_error"}),
    "unknown stream": (lambda n: head(n + 100, flags=5), {"backend_h2_error"}),
    "heads of a stream that was": (lambda n: head(1) * 3000, {"backend_h2_error"}),
    "window of nothing": (lambda n: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)), {"backend_h2_error"}),
    "window too large": (lambda n: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)), {"backend_h2_error"}),
    "settings of a wrong size": (lambda n: frame(SETTINGS, 0, 0, b"abc"), {"backend_h2_error"}),
    "resets": (lambda n: frame(RST_STREAM, 0, 1, b"\0\0\0\x08") * 20000, {"backend_h2_error"}),
    "pings": (lambda n: frame(PING, 0, 0, b"12345678") * 20000, {"backend_h2_error"}),
    "settings": (lambda n: frame(SETTINGS) * 20000, {"backend_h2_error"}),
    "frame too large": (lambda n: b"\xff\xff\xff\x00\x00" + struct.pack(">I", n), {"backend_h2_error"}),
    "no HTTP/2": (lambda n: b"HTTP/1.1 400 Bad Request\r\n\r\n", {"backend_h2_error"}),
}


class Hostile(h2server.Server):
    def __init__(self, attack, **options):
        self.attack = attack
        super().__init__(**options)

    def on_end(self, r):
        if r.path != "/hostile":
            return super().on_end(r)
        try:
            r.connection.raw(self.attack(r.id))
        except OSError:
            pass


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers(start, serve, name):
    attack, reasons = HOSTILE[name]
    server = serve(Hostile, attack=attack)
    poise = balancer(start, server, retries={"attempts": 0}, timeouts={"response": "2s"})
    assert web.get(poise.port, "/echo").status == 200
    said = whole_answer(poise.port, "POST")
    if name == "too many interim":
        assert said.count(b"HTTP/1.1 103") <= 16
        said = said[said.rindex(b"HTTP/1.1 ") :]
    reason = re.search(rb"X-Poise-Reason: (\w+)", said)
    assert said.startswith(b"HTTP/1.1 502 ") and reason[1].decode() in reasons, said
    assert web.get(poise.port, "/echo").status == 200


def whole_answer(port, method="GET"):
    """All that comes until the connection ends, which it may do with a reset."""
    with web.connect(port, timeout=10) as s:
        s.sendall(method.encode() + b" /hostile HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        said = b""
        try:
            while piece := s.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
        return said


HOSTILE_BODIES = {
    "too long": lambda n: head(n, ("content-length", "3")) + frame(DATA, 1, n, b"12345"),
    "too short": lambda n: head(n, ("content-length", "9")) + frame(DATA, 1, n, b"12345"),
    "with 204": lambda n: head(n, status="204") + frame(DATA, 1, n, b"12345"),
    "trailers that frame": lambda n: head(n) + frame(DATA, 0, n, b"12345") + frame(HEADERS, 5, n, literal("content-length", "1")),
    "trailers with a status": lambda n: head(n) + frame(DATA, 0, n, b"12345") + frame(HEADERS, 5, n, literal(":status", "200")),
    "padded wrongly": lambda n: head(n) + frame(DATA, 9, n, b"\xffabc"),
}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_hostile_bodies_are_not_taken_for_whole(start, serve, name):
    server = serve(Hostile, attack=HOSTILE_BODIES[name])
    poise = balancer(start, server, retries={"attempts": 0}, timeouts={"response": "2s"})
    said, _, body = whole_answer(poise.port).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", said)
    if said.startswith(b"HTTP/1.1 502 "):
        assert b"X-Poise-Reason: b" in said
    elif b"chunked" in said:
        assert b"0\r\n\r\n" not in body
    elif length:
        assert len(body) < int(length[1])
    else:
        assert said == b"" or (b"204" in said and body == b"")
    assert web.get(poise.port, "/echo").status == 200


def test_a_window_that_is_not_kept(start, serve):
    """Nobody reads, and the backend sends on."""
    server = serve(Hostile, attack=lambda n: head(n) + frame(DATA, 0, n, bytes(16384)) * 640)
    poise = balancer(start, server, retries={"attempts": 0})
    with web.connect(poise.port) as s:
        s.sendall(b"GET /hostile HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_until(lambda: server.requests, "the request is there")
        wait_until(lambda: server.requests[0].reset is not None or server.connections[0].closed, "it is cut off")
        assert web.get(poise.port, "/echo").status == 200


def test_data_behind_the_end(start, serve):
    """It belongs to no request: the answer stands, and so do later ones."""
    server = serve(Hostile, attack=lambda n: head(n, ("content-length", "2")) + frame(DATA, 1, n, b"ok") + frame(DATA, 1, n, b"more"))
    poise = balancer(start, server)
    assert web.get(poise.port, "/hostile").body == b"ok"
    assert web.get(poise.port, "/echo").status == 200


def test_refused_for_ever(start, serve):
    class Never(h2server.Server):
        def on_request(self, r):
            r.connection.reset(r.id, h2server.REFUSED)

        def on_end(self, r):
            pass

    server = serve(Never)
    poise = balancer(start, server)
    a = web.get(poise.port, "/")
    assert (a.status, a.headers["X-Poise-Reason"]) == (502, "stream_refused")
    assert len(server.requests) <= 11
