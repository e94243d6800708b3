# SPDX-License-Identifier: MIT
"""What comes before the protocol on a TLS listener: connections that are no TLS, that stop, that are
cut, that are too many."""

import collections
import json
import ssl
import threading
import time

import certificates
import h2wire
import pytest
import web
from programs import config, pool, wait_until


class Listener:
    """A balancer with a TLS listener and an access log."""

    def __init__(self, start, work, listener=None, protocol="http"):
        self.authority = certificates.ca(work)
        leaf = self.authority.leaf(["a.example.com", "127.0.0.1"])
        self.path = work / "access.log"
        tls = {"tls": {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]}}
        backends = pool([start.server("B1")], protocol=protocol)
        self.poise = start.poise(
            config(
                backends,
                protocol,
                tls | (listener or {}),
                access_log={"file": str(self.path), "format": "json"},
            )
        )
        self.port = self.poise.port

    def reasons(self):
        if not self.path.exists():
            return collections.Counter()
        lines = self.path.read_text().splitlines()
        return collections.Counter(json.loads(line)["reason"] for line in lines)

    def expect(self, **reasons):
        wait_until(lambda: self.reasons() == collections.Counter(reasons), f"the log has {reasons}")

    def context(self):
        return ssl.create_default_context(cafile=str(self.authority.cert))

    def get(self, **options):
        """A request over TLS of its own."""
        with web.connect(self.port) as plain:
            with self.context().wrap_socket(plain, server_hostname="a.example.com") as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
                answer = b""
                while data := s.recv(65536):
                    answer += data
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return answer


@pytest.fixture
def listener(start, work):
    return lambda *words, **options: Listener(start, work, *words, **options)


def hello():
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def said(port, data):
    with web.connect(port) as s:
        answer = b""
        try:
            s.sendall(data)
            while got := s.recv(65536):
                answer += got
        except (ConnectionResetError, BrokenPipeError):
            pass
        return answer


def test_plain_http_is_told_so(listener):
    here = listener()
    for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.0\r\n\r\n", b"G"):
        answer = said(here.port, request)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"\r\nX-Poise-Reason: not_tls\r\n" in answer and b"\r\nConnection: close\r\n" in answer
    here.expect(not_tls=3)
    assert here.get()


def test_the_answer_arrives_before_a_long_request_is_over(listener):
    """What the client still sends is read for a while, or a reset would take the answer with it."""
    here = listener()
    with web.connect(here.port) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        time.sleep(0.1)
        s.sendall(b"x" * 500_000)
        time.sleep(0.1)
        assert s.recv(4096).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [b"\0", b"\x15\x03\x01\x00\x02\x02\x28", b"\x80\x2e\x01\x00\x02", b"\xff" * 500])
def test_what_is_neither(listener, sent):
    here = listener()
    assert said(here.port, sent) == b""
    here.expect(not_tls=1)
    assert here.get()


def test_plain_bytes_on_a_tcp_listener(listener):
    """There is no protocol to answer in."""
    here = listener(protocol="tcp")
    assert said(here.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    here.expect(not_tls=1)
    assert here.get()


def test_silence_and_half_a_hello(listener):
    here = listener({"timeouts": {"handshake": "400ms"}})
    with web.connect(here.port) as quiet, web.connect(here.port) as half:
        half.sendall(hello()[:80])
        assert half.recv(1) == b""
        assert quiet.recv(1) == b""
    here.expect(handshake_timeout=1)
    assert here.get()


def test_a_handshake_that_stops(listener):
    here = listener({"timeouts": {"handshake": "400ms"}})
    with web.connect(here.port) as s:
        s.sendall(hello())
        got = b""
        try:
            while data := s.recv(65536):
                got += data
        except ConnectionResetError:
            pass
        assert got[0] == 22
    here.expect(handshake_timeout=1)


@pytest.mark.parametrize("sent", [b"\x16", hello()[:50], hello()])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_clients_that_leave(listener, sent, how):
    here = listener()
    s = web.connect(here.port)
    s.sendall(sent)
    time.sleep(0.1)
    s.close() if how == "end" else web.reset(s)
    wait_until(lambda: sum(here.reasons().values()) == 1, "it is logged")
    assert set(here.reasons()) <= {"client_closed", "client_reset", "tls_truncated", "tls_handshake_failed"}
    assert here.get()


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_clients_that_go_without_a_word(listener, protocol):
    """Between requests that is no record: nothing was lost."""
    here = listener()
    context = here.context()
    context.set_alpn_protocols([protocol])
    with web.connect(here.port) as plain:
        s = context.wrap_socket(plain, server_hostname="a.example.com")
        if protocol == "h2":
            w = h2wire.Wire(here.port, sock=s)
            w.headers(1, h2wire.GET[:3] + ((":authority", "a.example.com"),))
            assert w.answer(1).status == 200
        else:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
        s.close()  # FIN alone
    here.poise.end()
    assert here.reasons() == {"ok": 1}


def test_who_does_not_trust_us(listener):
    here = listener()
    with pytest.raises(ssl.SSLCertVerificationError):
        with web.connect(here.port) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname="a.example.com")
    here.expect(tls_alert=1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_too_old(listener):
    here = listener()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        with web.connect(here.port) as plain:
            context.wrap_socket(plain, server_hostname="a.example.com")
    here.expect(tls_handshake_failed=1)


def test_handshakes_count_as_connections(listener):
    here = listener({"max_connections": 3})
    waiting = [web.connect(here.port) for _ in range(3)]
    for s in waiting:
        s.sendall(b"\x16")
    time.sleep(0.3)
    assert said(here.port, hello()) == b""
    here.expect(too_many_connections=1)
    for s in waiting:
        s.close()
    wait_until(lambda: here.reasons()["client_closed"] == 3, "their places are free")
    for _ in range(4):
        assert here.get()


def test_an_end_in_good_order(listener):
    """A handshake under way may go on, and its first request is served."""
    here = listener()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = here.context().wrap_bio(incoming, outgoing, server_hostname="a.example.com")

    def step(s, call, *words):
        while True:
            try:
                got = call(*words)
                s.sendall(outgoing.read())
                return got
            except ssl.SSLWantReadError:
                s.sendall(outgoing.read())
                incoming.write(s.recv(65536))

    with web.connect(here.port) as s:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        first = outgoing.read()
        s.sendall(first[:100])
        time.sleep(0.2)
        ending = threading.Thread(target=here.poise.end)
        ending.start()
        here.poise.wait_for("draining signal=TERM")
        s.sendall(first[100:])
        step(s, tls.do_handshake)
        step(s, tls.write, b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
        answer = step(s, tls.read, 65536)
        assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in answer
    ending.join()


def test_hundreds_at_once(listener):
    """Some stop half way, some are no TLS; every good one is served."""
    here = listener()
    answers, errors = [], []

    def client(i):
        try:
            if i % 3 == 0:
                with web.connect(here.port) as s:
                    s.sendall(hello()[: 20 + i])
            elif i % 3 == 1:
                said(here.port, b"GET / HTTP/1.1\r\n\r\n")
            else:
                answers.append(here.get())
        except Exception as e:  # noqa: BLE001
            errors.append(repr(e))

    for _ in range(3):
        threads = [threading.Thread(target=client, args=(i,)) for i in range(90)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert not errors, errors[:3]
    assert len(answers) == 90
    here.expect(ok=90, not_tls=90, client_closed=90)
