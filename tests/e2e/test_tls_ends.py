# SPDX-License-Identifier: MIT
"""Who cuts a TLS connection must not pass for its end: without close_notify the other side of the
balancer does not see bytes without a length of their own end in good order."""

import socket
import ssl
import threading

import pytest
import web
from programs import wait_until

UPGRADE = b"Connection: upgrade\r\nUpgrade: something\r\n"
ANSWERS = {
    "tcp": b"some bytes",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + b"\r\nsome bytes",
    "http10": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome bytes",
}


def request(mode):
    version = b"1.0" if mode == "http10" else b"1.1"
    return b"GET / HTTP/%s\r\nHost: x.test\r\n%s\r\n" % (version, UPGRADE if mode == "upgrade" else b"")


def rest(s):
    """What still comes, and whether it ends in good order."""
    got = b""
    try:
        while data := s.recv(65536):
            got += data
        return got, True
    except (ConnectionResetError, ssl.SSLEOFError):
        return got, False


def until(s, what):
    got = b""
    while what not in got:
        data = s.recv(65536)
        if not data:
            return None
        got += data
    return got


def finish(s, notify):
    if notify:
        s.unwrap()
    else:
        s.shutdown(socket.SHUT_WR)


class Server(web.Acceptor):
    """Hands every connection on which something is said to `talk`."""

    def __init__(self, talk, leaf=None):
        self.talk, self.context = talk, None
        if leaf:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(leaf.cert, leaf.key)
        super().__init__()

    def _serve(self, s):
        try:
            if self.context:
                s = self.context.wrap_socket(s, server_side=True)
            if until(s, b"\r\n\r\n"):
                self.talk(s)
        except OSError:
            pass  # the end of a test


def balancer(start, mode, backend, listener, pool):
    protocol = {"protocol": "tcp" if mode == "tcp" else "http"}
    return start.poise({
        "listeners": [{"name": "web", "listen": "127.0.0.1:0", "pool": "app"} | protocol | listener],
        "pools": [{"name": "app", "backends": [backend]} | protocol | pool],
    })  # fmt: skip


def connect(poise, authority, tls):
    s = socket.create_connection(("127.0.0.1", poise.port), timeout=30)
    if not tls:
        return s
    context = ssl.create_default_context(cafile=str(authority.cert))
    return context.wrap_socket(s, server_hostname="x.test", suppress_ragged_eofs=False)


@pytest.mark.parametrize("notify", [True, False])
@pytest.mark.parametrize("mode", ["tcp", "upgrade", "http10"])
@pytest.mark.parametrize("front", ["plain", "tls"])
def test_a_backend_cut_off(start, authority, front, mode, notify):
    leaf = authority.leaf(["127.0.0.1", "x.test"])
    go, over = threading.Event(), threading.Event()

    def talk(s):
        s.sendall(ANSWERS[mode])
        assert go.wait(60)
        finish(s, notify)
        over.wait(60)

    server = Server(talk, leaf)
    listener = {"tls": {"certificates": [{"cert": str(leaf.both)}]}} if front == "tls" else {}
    poise = balancer(start, mode, server.address, listener, {"tls": {"ca": str(authority.cert)}})
    with connect(poise, authority, front == "tls") as s:
        s.sendall(request(mode))
        assert until(s, b"some bytes")
        go.set()
        assert rest(s) == (b"", notify)
    over.set()
    server.listener.close()


@pytest.mark.parametrize("notify", [True, False])
@pytest.mark.parametrize("mode", ["tcp", "upgrade"])
def test_a_client_cut_off(start, authority, mode, notify):
    leaf = authority.leaf(["x.test"])
    ends = []

    def talk(s):
        s.sendall(ANSWERS[mode])
        ends.append(rest(s))
        s.close()

    server = Server(talk)
    poise = balancer(start, mode, server.address, {"tls": {"certificates": [{"cert": str(leaf.both)}]}}, {})
    with connect(poise, authority, True) as s:
        s.sendall(request(mode))
        assert until(s, b"some bytes")
        s.sendall(b"more")
        finish(s, notify)
        (end,) = wait_until(lambda: ends, "the backend sees an end")
    assert end[1] == notify and end[0] in ((b"more",) if notify else (b"more", b"")), end
    server.listener.close()
