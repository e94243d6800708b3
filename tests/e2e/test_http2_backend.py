# SPDX-License-Identifier: MIT
"""Backends that speak HTTP/2: many clients on few connections, and nothing that one request, one
backend or one client does harms another."""

import base64
import hashlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
import web
from programs import Held, config, pool, wait_until

pytest.importorskip("h2")
import h2.errors  # noqa: E402
import h2.settings  # noqa: E402
import certificates  # noqa: E402
import h2server  # noqa: E402

MIB = 1 << 20
SETTING = h2.settings.SettingCodes
ONE_WORKER = ("--workers", "1")


@pytest.fixture
def serve(closing):
    return lambda kind=h2server.Server, **options: closing(kind, **options)


def http2(servers, **options):
    servers = servers if isinstance(servers, list) else [servers]
    return config(pool([(s.name, s.address) for s in servers], protocol="http2", **options))


def balancer(start, servers, *args, **options):
    return start.poise(http2(servers, **options), *(args or ONE_WORKER))


def together(count, work):
    """`work(i)` in as many threads; what they returned."""
    results = [None] * count

    def one(i):
        try:
            results[i] = work(i)
        except Exception as e:  # noqa: BLE001
            results[i] = e

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


# ---- requests and responses ----


def test_what_arrives(start, serve):
    server = serve()
    poise = balancer(start, server)
    a = web.get(poise.port, "/a/../echo?x=1", headers={"X-Own": "v", "Cookie": "a=b", "Connection": "x-hop", "X-Hop": "1"})
    assert a.status == 200 and a.headers["X-Backend"] == "B1"
    fields = json.loads(a.body)["fields"]
    names = [n for n, _ in fields]
    seen = dict(fields)
    assert names[:4] == [":method", ":scheme", ":authority", ":path"]
    assert (seen[":method"], seen[":scheme"], seen[":path"]) == ("GET", "http", "/echo?x=1")
    assert seen[":authority"] == f"127.0.0.1:{poise.port}"
    assert (seen["x-own"], seen["cookie"], seen["x-forwarded-for"]) == ("v", "a=b", "127.0.0.1")
    assert len(seen["x-request-id"]) == 32
    assert not {"host", "connection", "x-hop", "transfer-encoding", "keep-alive"} & set(names)


def test_te_trailers_is_passed_on(start, serve):
    server = serve()
    poise = balancer(start, server)
    web.get(poise.port, "/echo", headers={"TE": "trailers, gzip", "Connection": "TE"})
    web.get(poise.port, "/echo", headers={"TE": "gzip", "Connection": "TE"})
    assert server.requests[0].headers["te"] == "trailers"
    assert "te" not in server.requests[1].headers


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 3 * MIB + 17])
def test_bodies(start, serve, size):
    server = serve()
    poise = balancer(start, server)
    a = web.get(poise.port, f"/bytes/{size}")
    assert (a.status, hashlib.sha256(a.body).digest()) == (200, hashlib.sha256(h2server.block(size)).digest())
    told = f"{size} {hashlib.sha256(h2server.block(size)).hexdigest()}".encode()
    assert web.get(poise.port, "/", "POST", h2server.block(size)).body == told
    assert server.requests[-1].headers["content-length"] == str(size)
    chunks = iter([h2server.block(size)[i : i + 100_001] for i in range(0, size, 100_001)])
    assert web.get(poise.port, "/", "PUT", chunks).body == told
    assert "content-length" not in server.requests[-1].headers


def test_head_and_bodyless(start, serve):
    class Kinds(h2server.Server):
        def on_end(self, r):
            if r.method == "HEAD":
                r.connection.respond(r.id, [(":status", "200"), ("content-length", "1000")])
            else:
                r.connection.respond(r.id, [(":status", r.path[1:])])

    poise = balancer(start, serve(Kinds))
    a = web.get(poise.port, "/", "HEAD")
    assert (a.status, a.headers["Content-Length"], a.body) == (200, "1000", b"")
    for status in (204, 304, 404):
        a = web.get(poise.port, f"/{status}")
        assert (a.status, a.body) == (status, b"")


def test_interim_responses(start, serve):
    class Hints(h2server.Server):
        def on_end(self, r):
            with r.connection.lock:
                r.connection.h2.send_headers(r.id, [(":status", "103"), ("link", "</x>")])
            r.answer(b"ok")

    poise = balancer(start, serve(Hints))
    with web.connect(poise.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: s.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert said.endswith(b"\r\n\r\nok")


def test_trailers_both_ways(start, serve):
    server = serve()
    poise = balancer(start, server)
    with web.connect(poise.port) as s:
        s.sendall(
            b"POST /trailers HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close, TE\r\n\r\n3\r\nabc\r\n0\r\nX-Check: 7\r\n\r\n"
        )
        said = b"".join(iter(lambda: s.recv(65536), b""))
    assert said.endswith(b"4\r\nbody\r\n0\r\nx-sum: 1\r\ngrpc-status: 0\r\n\r\n")
    (r,) = server.requests
    assert (r.size, r.trailers) == (3, {b"x-check": b"7"})


# ---- connections ----


def test_many_clients_on_one_connection(start, serve):
    server = serve()
    poise = balancer(start, server)
    answers = together(60, lambda i: web.get(poise.port, "/sleep/0.3").status)
    assert answers == [200] * 60
    assert len(server.connections) == 1 and server.connections[0].most > 30


def test_another_connection_when_one_is_full(start, serve):
    server = serve(settings={SETTING.MAX_CONCURRENT_STREAMS: 10})
    poise = balancer(start, server)
    assert web.get(poise.port, "/echo").status == 200  # the settings are known
    assert together(35, lambda i: web.get(poise.port, "/sleep/0.4").status) == [200] * 35
    assert 4 <= len(server.connections) <= 5
    assert max(c.most for c in server.connections) <= 10


@pytest.mark.parametrize("most", [1, 2])
def test_few_streams_allowed(start, serve, most):
    class Strict(h2server.Server):
        def on_request(self, r):
            if r.connection.under_way > most:
                r.refused = True
                r.connection.reset(r.id, h2server.REFUSED)

        def on_end(self, r):
            if not getattr(r, "refused", False):
                super().on_end(r)

    server = serve(Strict, settings={SETTING.MAX_CONCURRENT_STREAMS: most})
    poise = balancer(start, server)
    for _ in range(3):
        assert together(12, lambda i: web.get(poise.port, "/sleep/0.02").status) == [200] * 12


def test_uploads_wait_for_the_settings(start, serve):
    """None of them is one too many, for it could not be sent again."""

    class Strict(h2server.Server):
        def on_request(self, r):
            assert r.connection.under_way <= 3

        def on_end(self, r):
            threading.Timer(0.05, super().on_end, (r,)).start()

    server = serve(Strict, settings={SETTING.MAX_CONCURRENT_STREAMS: 3})
    poise = balancer(start, server)
    body = h2server.block(100_000)
    answers = together(20, lambda i: web.get(poise.port, "/", "POST", body).body)
    assert answers == [f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()] * 20


def test_idle_connections_close(start, serve):
    server = serve()
    poise = balancer(start, server, keepalive={"idle": "300ms"})
    assert web.get(poise.port, "/echo").status == 200
    wait_until(lambda: server.connections and server.connections[0].closed, "the idle connection closes")
    assert server.connections[0].goaway == 0
    assert web.get(poise.port, "/echo").status == 200
    assert len(server.connections) == 2


def test_no_idle_connections_at_all(start, serve):
    server = serve()
    poise = balancer(start, server, keepalive={"max_idle": 0})
    for _ in range(3):
        assert web.get(poise.port, "/echo").status == 200
    assert len(server.connections) == 3
    wait_until(lambda: all(c.closed for c in server.connections), "all are closed")


# ---- what goes wrong with one request ----


class Once(h2server.Server):
    """Does `first` with requests whose path says so, the first time."""

    def __init__(self, first, **options):
        self.first, self.count = first, 0
        super().__init__(**options)

    def on_request(self, r):
        r.spoilt = r.path == "/first" and self.count == 0
        if r.spoilt:
            self.count += 1
            self.first(r)

    def on_end(self, r):
        if not r.spoilt:
            super().on_end(r)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_streams_are_sent_again(start, serve, method):
    server = serve(Once, first=lambda r: r.connection.reset(r.id, h2server.REFUSED))
    poise = balancer(start, server)
    assert web.get(poise.port, "/first", method).status == 200
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_behind_a_goaway_are_sent_again(start, serve, method):
    def goaway(r):
        c = r.connection
        with c.lock:
            c.h2.close_connection(last_stream_id=r.id - 2)
            c.flush()

    server = serve(Once, first=goaway)
    poise = balancer(start, server)
    assert web.get(poise.port, "/echo").status == 200
    assert web.get(poise.port, "/first", method).status == 200
    assert len(server.connections) == 2
    wait_until(lambda: server.connections[0].closed, "the old connection is closed")


def test_goaway_lets_requests_finish(start, serve):
    server = serve()
    poise = balancer(start, server)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(web.get(poise.port, "/wait").body))
    waiting.start()
    wait_until(lambda: server.requests, "the request is there")
    c = server.connections[0]
    c.raw(bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + struct.pack(">II", (1 << 31) - 1, 0))

    def goes_elsewhere():
        assert web.get(poise.port, "/echo").status == 200
        return len(server.connections) == 2

    wait_until(goes_elsewhere, "another connection is used")
    server.released.set()
    waiting.join()
    assert answers == [b"late"]
    wait_until(lambda: c.closed, "the connection is closed when its last request is over")


def test_reset_before_the_response(start, serve):
    first = serve(Once, first=lambda r: r.connection.reset(r.id))
    poise = balancer(start, first)
    a = web.get(poise.port, "/first", "POST")
    assert (a.status, a.headers["X-Poise-Reason"]) == (502, "backend_stream_reset")
    spoilt = [serve(Once, first=lambda r: r.connection.reset(r.id), name=n) for n in ("B1", "B2")]
    poise = balancer(start, [spoilt[0], serve(name="B3")])
    assert [web.get(poise.port, "/first").status for _ in range(2)] == [200, 200]
    assert len(spoilt[0].connections) == 1  # and it lives on


def test_reset_in_the_middle(start, serve):
    read = threading.Event()

    class Half(h2server.Server):
        def on_end(self, r):
            if r.path != "/half":
                return super().on_end(r)
            with r.connection.lock:
                r.connection.h2.send_headers(r.id, [(":status", "200")])
                r.connection.h2.send_data(r.id, b"half")
                r.connection.flush()
            read.wait(20)
            r.connection.reset(r.id)

    server = serve(Half)
    poise = balancer(start, server)
    with web.connect(poise.port) as s:
        s.sendall(b"GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
        said = b""
        try:
            while piece := s.recv(65536):
                said += piece
                if b"half" in said:
                    read.set()
        except ConnectionResetError:
            pass
    assert b"4\r\nhalf\r\n" in said and b"\r\n0\r\n" not in said
    assert web.get(poise.port, "/echo").status == 200
    assert len(server.connections) == 1


def test_a_cancelled_request_is_reset(start, serve):
    server = serve()
    poise = balancer(start, server)
    s = web.connect(poise.port)
    s.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_until(lambda: server.requests, "the request is there")
    web.reset(s)
    wait_until(lambda: server.requests[0].reset == h2server.CANCEL, "it is cancelled")
    assert web.get(poise.port, "/echo").status == 200
    assert len(server.connections) == 1


def test_an_early_answer_ends_the_upload(start, serve):
    class Early(h2server.Server):
        def on_request(self, r):
            if r.method == "POST":
                r.answer(b"no", status=413)

        def on_data(self, r, event):
            pass

        def on_end(self, r):
            if r.method != "POST":
                super().on_end(r)

    server = serve(Early)
    poise = balancer(start, server)
    with web.connect(poise.port) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n" + bytes(1000))
        assert s.recv(65536).startswith(b"HTTP/1.1 413 ")
    wait_until(lambda: server.requests[0].reset is not None, "the upload is broken off")
    assert web.get(poise.port, "/echo").status == 200
    assert len(server.connections) == 1


def test_response_timeout(start, serve):
    server = serve()
    poise = balancer(start, server, timeouts={"response": "300ms"})
    a = web.get(poise.port, "/wait")
    assert (a.status, a.headers["X-Poise-Reason"]) == (504, "response_timeout")
    wait_until(lambda: server.requests[0].reset == h2server.CANCEL, "it is cancelled")
    assert web.get(poise.port, "/echo").status == 200


def test_connect_timeout_and_refusal(start, serve):
    held = Held()
    poise = start.poise(config(pool([("B1", held.address)], protocol="http2")))
    a = web.get(poise.port)
    assert (a.status, a.headers["X-Poise-Reason"]) == (502, "connect_refused")
    server = serve()
    poise = start.poise(config(pool([("B1", held.address), ("B2", server.address)], protocol="http2")))
    assert [web.get(poise.port, "/", "POST", b"x").status for _ in range(4)] == [200] * 4


# ---- flow control ----


def test_a_slow_reader_stalls_nobody(start, serve):
    server = serve()
    poise = balancer(start, server)
    slow = web.connect(poise.port)
    slow.sendall(f"GET /bytes/{16 * MIB} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    time.sleep(0.5)
    for _ in range(3):
        a = web.get(poise.port, f"/bytes/{2 * MIB}")
        assert hashlib.sha256(a.body).digest() == hashlib.sha256(h2server.block(2 * MIB)).digest()
    assert len(server.connections) == 1
    left = len(server.connections[0].output[server.requests[0].id][0])
    assert left > 1 * MIB  # it waits where it comes from
    said = b"".join(iter(lambda: slow.recv(1 << 20), b""))
    assert len(said) > 16 * MIB and said.endswith(b"\r\n0\r\n\r\n")


def test_a_slow_backend_stalls_nobody(start, serve):
    """An upload whose window stays shut waits with its client."""

    class Deaf(h2server.Server):
        def on_data(self, r, event):
            if r.path == "/deaf" and not hasattr(r, "heard"):
                r.held = [*getattr(r, "held", []), event]
            else:
                super().on_data(r, event)

    server = serve(Deaf)
    poise = balancer(start, server)
    body = h2server.block(4 * MIB)
    result = []
    t = threading.Thread(target=lambda: result.append(web.get(poise.port, "/deaf", "POST", body)))
    t.start()
    wait_until(lambda: server.requests and server.requests[0].size == 65535, "the window is full")
    for _ in range(3):
        assert web.get(poise.port, "/", "POST", body[: MIB - 1]).status == 200
    deaf = server.requests[0]
    deaf.heard = True
    for event in deaf.held:
        deaf.connection.acknowledge(event)
    t.join()
    assert result[0].body == f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    assert len(server.connections) == 1


def test_a_window_that_stays_shut_ends(start, serve):
    class Deaf(h2server.Server):
        def on_data(self, r, event):
            pass

    server = serve(Deaf)
    poise = balancer(start, server, timeouts={"idle": "400ms"})
    a = web.get(poise.port, "/", "POST", h2server.block(MIB))
    assert (a.status, a.headers["X-Poise-Reason"]) == (504, "backend_too_slow")


# ---- backends that go ----


def start_nghttpd(start, work, port):
    (work / "www").mkdir(exist_ok=True)
    (work / "www" / "index.html").write_text("hello\n")
    server = start.program("nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", work / "www", port)
    wait_until(lambda: listens(port), "nghttpd listens")
    return server


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_killed_under_load(start, work):
    held = [Held(), Held()]
    servers = [start_nghttpd(start, work, h.port) for h in held]
    poise = start.poise(
        config(pool([(f"B{i}", h.address) for i, h in enumerate(held)], protocol="http2", retries={"attempts": 3})),
        "--workers", "2",
    )
    load = web.Load(poise.port, 12, "/index.html")
    for _ in range(2):
        wait_until(lambda n=load.count(): load.count() > n + 300, "requests are answered")
        servers[0].kill()
        wait_until(lambda n=load.count(): load.count() > n + 300, "requests are answered")
        servers[0] = start_nghttpd(start, work, held[0].port)
    load.stop()
    assert not load.errors and set(load.answers) == {200}, (load.errors, load.reasons)


def test_a_member_removed_by_a_reload(start, serve):
    servers = [serve(name=n) for n in ("B1", "B2")]
    poise = balancer(start, servers, "--workers", "2")
    load = web.Load(poise.port, 8, "/echo")
    for round_ in range(5):
        wait_until(lambda n=load.count(): load.count() > n + 200, "requests are answered")
        poise.config_path.write_text(json.dumps(http2(servers if round_ % 2 else servers[:1])))
        poise.send(signal.SIGHUP)
        poise.wait_for(r"reload  done", round_ + 1)
    wait_until(lambda n=load.count(): load.count() > n + 200, "requests are answered")
    load.stop()
    assert not load.errors and set(load.answers) == {200}, (load.errors, load.reasons)
    assert set(load.backends) == {"B1", "B2"}
    wait_until(lambda: all(c.closed for c in servers[1].connections), "the connections to B2 are closed")
    assert any(not c.closed for c in servers[0].connections)


def test_a_server_without_http2(start):
    poise = start.poise(config(pool([start.server("B1")], protocol="http2", retries={"attempts": 0})))
    for method in ("GET", "POST"):
        a = web.get(poise.port, "/", method)
        said = a.headers["X-Poise-Reason"]  # it answers in its own tongue, or hangs up
        assert a.status == 502 and said in ("backend_no_http2", "backend_closed", "backend_reset")


@pytest.mark.parametrize("offered", [["h2", "http/1.1"], ["http/1.1"], []])
def test_over_tls(start, serve, work, offered):
    authority = certificates.ca(work)
    leaf = authority.leaf(["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.cert, leaf.key)
    if offered:
        context.set_alpn_protocols(offered)
    server = serve(tls=context)
    poise = balancer(start, server, tls={"ca": str(authority.cert)}, retries={"attempts": 0})
    a = web.get(poise.port, "/echo")
    if "h2" not in offered:
        assert (a.status, a.headers["X-Poise-Reason"]) == (502, "backend_no_http2")
        return
    assert dict(json.loads(a.body)["fields"])[":scheme"] == "https"
    body = h2server.block(2 * MIB)
    told = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    answers = together(10, lambda i: web.get(poise.port, "/", "POST", body).body)
    assert answers == [told] * 10 and len(server.connections) == 1
    assert web.get(poise.port, f"/bytes/{len(body)}").body == body


# ---- WebSocket ----


UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Tunnel(h2server.Server):
    """Extended CONNECT: what comes goes back."""

    def __init__(self, status="200", **options):
        self.status = status
        super().__init__(settings={SETTING.ENABLE_CONNECT_PROTOCOL: 1}, **options)

    def on_request(self, r):
        if r.method == "CONNECT":
            with r.connection.lock:
                r.connection.h2.send_headers(
                    r.id, [(":status", self.status), ("sec-websocket-protocol", "chat")], end_stream=self.status != "200"
                )
                r.connection.flush()

    def on_data(self, r, event):
        super().on_data(r, event)
        with r.connection.lock:
            left = r.connection.output.get(r.id, [b"", None, False])[0]
            r.connection.output[r.id] = [memoryview(bytes(left) + event.data), None, False]
            r.connection.pump()

    def on_end(self, r):
        if r.method != "CONNECT":
            return super().on_end(r)
        with r.connection.lock:
            r.connection.h2.end_stream(r.id)
            r.connection.flush()


def answer_head(s):
    said = b""
    while b"\r\n\r\n" not in said:
        piece = s.recv(65536)
        assert piece, said
        said += piece
    return said.partition(b"\r\n\r\n")


@pytest.mark.parametrize("warm", [False, True])
def test_websocket(start, serve, warm):
    server = serve(Tunnel)
    poise = balancer(start, server, timeouts={"response": "500ms"})
    if warm:
        assert web.get(poise.port, "/echo").status == 200
    with web.connect(poise.port) as s:
        s.sendall(UPGRADE)
        said, _, rest = answer_head(s)
        assert said.startswith(b"HTTP/1.1 101 ") and rest == b""
        accept = base64.b64encode(hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        fields = dict(line.split(b": ") for line in said.lower().split(b"\r\n")[1:])
        assert fields[b"sec-websocket-accept"] == accept.lower()
        assert fields[b"upgrade"] == b"websocket" and fields[b"sec-websocket-protocol"] == b"chat"
        for message in (b"x", os.urandom(30000), os.urandom(50000)):
            s.sendall(message)
            assert web.receive(s, len(message)) == message
        time.sleep(0.7)  # longer than a response may take
        assert web.get(poise.port, "/echo").status == 200
        s.sendall(b"still here")
        assert web.receive(s, 10) == b"still here"
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    (r,) = [r for r in server.requests if r.method == "CONNECT"]
    assert r.headers[":protocol"] == "websocket" and r.headers[":path"] == "/chat"
    assert "sec-websocket-key" not in r.headers and r.headers["sec-websocket-version"] == "13"
    assert len(server.connections) == 1


def test_websocket_refused_by_the_backend(start, serve):
    poise = balancer(start, serve(Tunnel, status="403"))
    with web.connect(poise.port) as s:
        s.sendall(UPGRADE)
        assert answer_head(s)[0].startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("warm", [False, True])
def test_websocket_not_offered(start, serve, warm):
    poise = balancer(start, serve())
    if warm:
        assert web.get(poise.port, "/echo").status == 200
    with web.connect(poise.port) as s:
        s.sendall(UPGRADE)
        said = answer_head(s)[0]
        assert said.startswith(b"HTTP/1.1 502 ") and b"X-Poise-Reason: backend_no_websocket" in said


def test_other_upgrades_are_left_out(start, serve):
    server = serve()
    poise = balancer(start, server)
    a = web.get(poise.port, "/echo", headers={"Connection": "Upgrade", "Upgrade": "foo/2"})
    assert a.status == 200 and "upgrade" not in server.requests[0].headers


# ---- other servers ----


def test_nginx(start, work):
    held = Held()
    (work / "www").mkdir()
    body = os.urandom(3 * MIB)
    (work / "www" / "file").write_bytes(body)
    (work / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {work}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f;"
        f" uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;"
        f" server {{ listen 127.0.0.1:{held.port} http2; root {work}/www; }} }}\n"
    )
    if subprocess.run(["sh", "-c", "command -v nginx"], stdout=subprocess.DEVNULL).returncode:
        pytest.skip("nginx is not installed")
    start.program("nginx", "-c", work / "nginx.conf", "-e", "stderr")
    wait_until(lambda: listens(held.port), "nginx listens")
    poise = start.poise(config(pool([("B1", held.address)], protocol="http2")))
    for a in together(8, lambda i: web.get(poise.port, "/file")):
        assert a.status == 200 and a.body == body
    assert web.get(poise.port, "/none").status == 404
    assert web.get(poise.port, "/file", "POST", body[:100000]).status == 405
