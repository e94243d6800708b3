# SPDX-License-Identifier: MIT
"""WebSocket connections pass through an upgrade, over HTTP/1 in clear and TLS, and over HTTP/2."""

import asyncio
import os
import signal
import socket
import ssl
import threading

import admin
import certificates
import metrics
import pytest
import web
from programs import config, pool, wait_until

websockets = pytest.importorskip("websockets")


async def echo(connection, path=None):
    async for message in connection:
        await connection.send(message)


async def converse(start, **listener):
    """An echo server behind a balancer, in one event loop; yields nothing, runs the talk."""
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        settings = config(pool([("B1", f"127.0.0.1:{port}")]), listener=listener)
        poise = await asyncio.to_thread(start.poise, settings)
        async with websockets.connect(f"ws://127.0.0.1:{poise.port}/chat", max_size=None) as c:
            for message in ("hello", "ä" * 1000, os.urandom(3_000_000), b"", "x" * 65536):
                await c.send(message)
                assert await c.recv() == message
            await (await c.ping())
            await asyncio.sleep(1.5)  # longer than the idle time of requests
            await c.send("still here")
            assert await c.recv() == "still here"
        return poise


def test_echo(start):
    asyncio.run(converse(start, timeouts={"idle": "500ms", "request": "500ms"}))


def test_many_at_once(start):
    async def one(port, number):
        async with websockets.connect(f"ws://127.0.0.1:{port}/") as c:
            for i in range(20):
                await c.send(f"{number} {i}")
                assert await c.recv() == f"{number} {i}"

    async def all_of_them():
        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            settings = config(pool([("B1", f"127.0.0.1:{port}")]))
            poise = await asyncio.to_thread(start.poise, settings, "--workers", "2")
            await asyncio.gather(*(one(poise.port, n) for n in range(50)))

    asyncio.run(all_of_them())


def test_a_tunnel_ends_after_its_idle_time(start):
    async def silence():
        async with websockets.serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
            port = server.sockets[0].getsockname()[1]
            settings = config(
                pool([("B1", f"127.0.0.1:{port}")]), listener={"timeouts": {"tunnel": "500ms"}}
            )
            poise = await asyncio.to_thread(start.poise, settings)
            url = f"ws://127.0.0.1:{poise.port}/"
            async with websockets.connect(url, ping_interval=None) as c:
                with pytest.raises(websockets.ConnectionClosed):
                    await asyncio.wait_for(c.recv(), 20)

    asyncio.run(silence())


def test_what_the_server_declines_is_an_ordinary_answer(start):
    server = start.server("B1")
    poise = start.poise(config(pool([server])))
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert web.get(poise.port, headers=upgrade).status == 200


# ---- for long ----


class Echo:
    """An echo server on a thread of its own."""

    def __init__(self, tls=None):
        self.ready, self.loop = threading.Event(), asyncio.new_event_loop()
        self.over = asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(tls),))
        self.thread.start()
        assert self.ready.wait(20)

    async def serve(self, tls):
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, ssl=tls) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.over.wait()

    def entry(self):
        return ("B1", f"127.0.0.1:{self.port}")

    def stop(self):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def backend():
    servers = []

    def make(**options):
        servers.append(Echo(**options))
        return servers[-1]

    yield make
    for s in servers:
        s.stop()


def tunnels(a):
    m = metrics.scrape(a)
    return tuple(m.get(n, listener="web", protocol="websocket") for n in ("poise_tunnels", "poise_tunnels_total"))


def test_counted_and_listed(start, backend):
    settings = config(pool([backend().entry()]), admin=admin.config())
    poise = start.poise(settings)
    a = admin.Admin(poise)
    assert tunnels(a) == (0, 0)

    async def talk():
        url = f"ws://127.0.0.1:{poise.port}/chat"
        async with websockets.connect(url) as one, websockets.connect(url) as two:
            for c in (one, two):
                await c.send("hello")
                assert await c.recv() == "hello"
            assert await asyncio.to_thread(tunnels, a) == (2, 2)
            rows = (await asyncio.to_thread(a.get, "/api/v1/sessions"))["sessions"]
            assert [(r["state"], r["target"]) for r in rows] == [("tunnel", "/chat")] * 2

    asyncio.run(talk())
    wait_until(lambda: tunnels(a) == (0, 2), "both have ended")
    m = metrics.scrape(a)
    assert m.get("poise_requests_total", listener="web", code="101") == 2
    assert m.get("poise_tunnels_total", listener="web", protocol="other") == 0


def test_reloads_leave_it_alone(start, backend):
    poise = start.poise(config(pool([backend().entry()]), admin=admin.config()))
    a = admin.Admin(poise)

    async def talk():
        async with websockets.connect(f"ws://127.0.0.1:{poise.port}/") as c:
            for i in range(3):
                poise.send(signal.SIGHUP)
                await asyncio.to_thread(poise.wait_for, "reloaded|reload ", i + 1)
                await c.send(f"{i}")
                assert await c.recv() == f"{i}"
            assert await asyncio.to_thread(tunnels, a) == (1, 1)

    asyncio.run(talk())


@pytest.mark.parametrize("over", ["h1", "h2"])
def test_a_drain_waits_until_its_deadline(start, backend, over):
    """A tunnel goes on while the balancer drains, and is cut when the time is over."""
    poise = start.poise(config(pool([backend().entry()]), drain={"deadline": "2s"}))
    c = (Http1 if over == "h1" else Http2)(poise.port)
    assert c.say(b"before") == b"before"
    poise.send(signal.SIGTERM)
    poise.wait_for("draining")
    assert c.say(b"during") == b"during"
    assert c.wait_end()
    poise.wait()
    c.close()


# ---- over TLS ----


def server_tls(leaf):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(leaf.cert, leaf.key)
    return context


@pytest.mark.parametrize("inside", [False, True])
def test_over_tls(start, backend, work, inside):
    """wss:// outside, and inside to a server that speaks TLS as well or not."""
    authority = certificates.ca(work)
    leaf = authority.leaf(["localhost", "127.0.0.1"])
    tls = {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]}
    options = {"tls": {"ca": str(authority.cert)}} if inside else {}
    server = backend(tls=server_tls(leaf)) if inside else backend()
    poise = start.poise(config(pool([server.entry()], **options), listener={"tls": tls}))

    async def talk():
        trust = ssl.create_default_context(cafile=authority.cert)
        async with websockets.connect(f"wss://localhost:{poise.port}/chat", ssl=trust, max_size=None) as c:
            for message in ("hello", os.urandom(3_000_000), b"", "x" * 65536):
                await c.send(message)
                assert await c.recv() == message

    asyncio.run(talk())


# ---- over HTTP/2 (RFC 8441) ----


def mask(data):
    key = os.urandom(4)
    return key + bytes(b ^ key[i % 4] for i, b in enumerate(data))


def ws_frame(data, opcode=2):
    """A frame of a client, of at most 65535 bytes."""
    head = bytes([0x80 | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    else:
        head += b"\xfe" + len(data).to_bytes(2, "big")
    return head + mask(data)


def ws_parse(got):
    """(payload, rest) of a server's frame, or None when it is not complete."""
    if len(got) < 2:
        return None
    n, at = got[1], 2
    if n == 126:
        n, at = int.from_bytes(got[2:4], "big"), 4
    return (got[at : at + n], got[at + n :]) if len(got) >= at + n else None


class Talk:
    """Frames of WebSocket over whatever carries its bytes."""

    got = b""

    def say(self, data):
        self.send(ws_frame(data))
        while (found := ws_parse(self.got)) is None:
            self.receive()
        self.got = found[1]
        return found[0]

    def wait_end(self):
        try:
            while True:
                self.receive()
        except (EOFError, OSError):
            return True


class Http1(Talk):
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.sendall(
            b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        while b"\r\n\r\n" not in self.got:
            self.receive()
        head, _, self.got = self.got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.got += data

    def close(self):
        self.socket.close()


class Http2(Talk):
    """One WebSocket on a connection that may have others; `of` shares an earlier one's."""

    def __init__(self, port=None, of=None, path="/chat", protocol="websocket"):
        h2 = pytest.importorskip("h2", reason="python3-h2 is not installed")
        import h2.connection
        import h2.events

        self.events = h2.events
        if of:
            self.socket, self.h2, self.streams = of.socket, of.h2, of.streams
        else:
            self.socket, self.streams = socket.create_connection(("127.0.0.1", port), timeout=20), {}
            self.h2 = h2.connection.H2Connection()
            self.h2.initiate_connection()
            self.flush()
            while not self.h2.remote_settings.enable_connect_protocol:
                self.read()
        self.id = self.h2.get_next_available_stream_id()
        self.streams[self.id], self.status, self.ended = self, None, False
        fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path)]
        self.h2.send_headers(self.id, [*fields, (":authority", "x"), ("sec-websocket-version", "13")])
        self.flush()
        while self.status is None:
            self.read()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        for e in self.h2.receive_data(data):
            s = self.streams.get(getattr(e, "stream_id", None))
            if s and isinstance(e, self.events.ResponseReceived):
                s.fields = {n: v for n, v in ((n.decode(), v.decode()) if isinstance(n, bytes) else (n, v) for n, v in e.headers)}
                s.status = int(s.fields[":status"])
            elif s and isinstance(e, self.events.DataReceived):
                s.got += e.data
                self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif s and isinstance(e, (self.events.StreamEnded, self.events.StreamReset)):
                s.ended = True
        self.flush()

    def receive(self):
        if self.ended:
            raise EOFError
        self.read()

    def send(self, data):
        while data:
            room = min(self.h2.local_flow_control_window(self.id), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.read()
                continue
            self.h2.send_data(self.id, data[:room])
            data = data[room:]
            self.flush()

    def close(self):
        self.socket.close()


def test_over_http2(start, backend):
    """Several on one connection, and requests beside them."""
    poise = start.poise(config(pool([backend().entry()]), admin=admin.config()))
    a = admin.Admin(poise)
    one = Http2(poise.port)
    two = Http2(of=one)
    assert (one.status, two.status) == (200, 200)
    assert "sec-websocket-accept" not in one.fields and "upgrade" not in one.fields
    for i in range(20):
        assert one.say(b"one %d" % i) == b"one %d" % i
        assert two.say(b"two %d" % i) == b"two %d" % i
    large = os.urandom(60000)
    assert one.say(large) == large
    assert tunnels(a) == (2, 2)
    rows = a.get("/api/v1/sessions")["sessions"]
    assert [(r["state"], r["client_protocol"]) for r in rows] == [("tunnel", "websocket")] * 2
    one.h2.end_stream(one.id)
    one.flush()
    assert one.wait_end()
    assert two.say(b"still here") == b"still here"
    wait_until(lambda: tunnels(a) == (1, 2), "one has ended")
    two.close()
    wait_until(lambda: tunnels(a) == (0, 2), "both have ended")


def test_over_http2_after_the_time_of_tunnels(start, backend):
    listener = {"timeouts": {"tunnel": "500ms", "body": "200ms", "idle": "200ms"}}
    poise = start.poise(config(pool([backend().entry()], timeouts={"idle": "200ms"}), listener=listener))
    c = Http2(poise.port)
    assert c.say(b"hello") == b"hello"
    assert c.wait_end()
    c.close()


def test_over_http2_what_the_server_declines(start):
    server = start.server("B1")
    poise = start.poise(config(pool([server])))
    c = Http2(poise.port)
    assert (c.status, c.fields["x-poise-reason"]) == (502, "backend_no_websocket")
    c.close()


def test_over_http2_on_both_sides(start, backend):
    """A balancer behind a balancer, HTTP/2 between them."""
    inner = start.poise(config(pool([backend().entry()])))
    outer = start.poise(config(pool([("inner", f"127.0.0.1:{inner.port}")], protocol="http2")))
    for make in (Http1, Http2):
        c = make(outer.port)
        for i in range(10):
            assert c.say(b"%d" % i) == b"%d" % i
        c.close()
