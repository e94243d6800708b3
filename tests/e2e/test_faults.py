# SPDX-License-Identifier: MIT
"""Backends that die, hang and come back while requests go through."""

import os
import random
import signal
import socket
import time

import memory
import pytest
import web
from programs import SCALE, config, pool, wait_until

CHAOS_SECONDS = float(os.environ.get("POISE_CHAOS_SECONDS", "10"))
HEALTH = {"type": "http", "path": "/health", "interval": "200ms", "timeout": "1s", "rise": 1, "fall": 2}


def test_a_killed_backend_costs_no_request(start):
    """SIGKILL under 64 connections of GETs: no client notices, the event log does."""
    servers = start.servers(3)
    poise = start.poise(config(pool(servers, health=HEALTH)), "--workers", "2")
    load = web.Load(poise.port, 64)
    try:
        wait_until(lambda: load.count() > 1000, "the load runs")
        for _ in range(2):
            victim = servers[1]
            victim.kill()
            poise.wait_for(r"pool=app backend=B2 .*state=down.*|backend=B2.*state=down")
            before = load.count()
            wait_until(lambda: load.count() > before + 500, "the load goes on without B2")
            downs = len(poise.wait_for(r"backend=B2.*state=down"))
            servers[1] = start.again(victim)
            poise.wait_for(r"backend=B2.*state=up", count=downs)
            seen = load.backends["B2"]
            wait_until(lambda: load.backends["B2"] > seen + 50, "B2 gets requests again")
    finally:
        load.stop()
    assert load.errors == []
    assert set(load.answers) == {200}, load.reasons


def test_a_backend_that_hangs_is_left_out(start):
    servers = start.servers(2)
    poise = start.poise(
        config(pool(servers, health=HEALTH, timeouts={"response": "2s", "connect": "1s"}))
    )
    servers[0].send(signal.SIGSTOP)
    poise.wait_for(r"backend=B1.*state=down.*reason=probe_timeout")
    assert {web.get(poise.port).headers["X-Backend"] for _ in range(10)} == {"B2"}
    servers[0].send(signal.SIGCONT)
    poise.wait_for(r"backend=B1.*state=up")


def torment(start, servers, seconds, rng):
    """Kills, restarts and pauses servers at random; in the end all run."""
    paused, deadline = set(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        i = rng.randrange(len(servers))
        server = servers[i]
        if i in paused:
            server.send(signal.SIGCONT)
            paused.discard(i)
        elif not server.running():
            servers[i] = start.again(server)
        elif rng.random() < 0.6:
            server.kill()
        else:
            server.send(signal.SIGSTOP)
            paused.add(i)
        time.sleep(rng.uniform(0.05, 0.4))
    for i, server in enumerate(servers):
        if i in paused:
            server.send(signal.SIGCONT)
        if not server.running():
            servers[i] = start.again(server)


def test_chaos(start):
    """Every GET is answered: with 200, or with 502, 503 or 504 and a reason. Nothing leaks."""
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    servers = start.servers(4)
    app = pool(servers, health=HEALTH, timeouts={"response": "1s", "connect": "500ms"})
    poise = start.poise(config(app), "--workers", "2")
    assert web.get(poise.port).status == 200
    load = web.Load(poise.port, 32)
    try:
        torment(start, servers, CHAOS_SECONDS, random.Random(seed))
    finally:
        load.stop()
    assert load.errors == []
    assert set(load.answers) <= {200, 502, 503, 504}, load.answers
    assert load.answers[200] > 100
    assert all(reason for _, reason in load.reasons), load.reasons
    wait_until(lambda: web.get(poise.port).status == 200, "all is well again")


def test_descriptors_return_to_the_start(start):
    servers = start.servers(2)
    app = pool(servers, health=HEALTH, keepalive={"max_idle": 256, "idle": "500ms"})
    poise = start.poise(config(app))
    assert web.get(poise.port).status == 200
    time.sleep(1 * SCALE)
    before = memory.descriptors(poise.engine_pid)
    load = web.Load(poise.port, 50)
    wait_until(lambda: load.count() > 500, "the load runs")
    servers[0].kill()
    wait_until(lambda: load.count() > 1000, "the load goes on")
    servers[0] = start.again(servers[0])
    during = memory.descriptors(poise.engine_pid)
    load.stop()
    assert during >= before + 50
    # One or two more or less may be a probe that is under way.
    wait_until(lambda: memory.descriptors(poise.engine_pid) <= before + 2, "descriptors are given back")


@pytest.fixture
def full_backlog(closing):
    """An address that takes no more connections: its queue is full and nobody accepts."""
    return closing(web.FullQueue).address


def test_connect_timeout(start, full_backlog):
    app = pool([("B1", full_backlog)], timeouts={"connect": "300ms"}, retries={"attempts": 0})
    poise = start.poise(config(app))
    answer = web.get(poise.port)
    assert answer.status == 504
    assert answer.headers["X-Poise-Reason"] == "connect_timeout"


def test_connect_timeout_tries_another(start, full_backlog):
    (server,) = start.servers(1)
    backends = [("full", full_backlog), ("B1", server.address)]
    poise = start.poise(config(pool(backends, timeouts={"connect": "300ms"})))
    for _ in range(4):
        assert web.get(poise.port, method="POST", body=b"x").headers["X-Backend"] == "B1"


def test_a_client_that_leaves_ends_its_exchange(start):
    server = start.server("B1", "--delay", "500ms")
    settings = config(pool([server]), access_log={"file": "-", "format": "json"})
    poise = start.poise(settings)
    s = web.connect(poise.port)
    s.sendall(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.1)
    web.reset(s)
    poise.wait_for(r"/left.*client_(closed|reset)|client_(closed|reset).*/left")
    assert web.get(poise.port).status == 200


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_client_that_resets_while_it_waits_lets_its_backend_go(start, protocol):
    """The backend never answers; the first thing the client sends is what it waits for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        poise = start.poise(config(pool([("B1", address)], protocol=protocol), protocol))
        client = web.connect(poise.port)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        backend, _ = listener.accept()
        with backend:
            backend.settimeout(20)
            assert backend.recv(1000).startswith(b"GET / HTTP/1.1\r\n")
            web.reset(client)
            try:
                assert backend.recv(1000) == b""
            except ConnectionResetError:
                pass


def test_a_client_that_only_half_closes_gets_its_answer(start):
    server = start.server("B1", "--delay", "300ms")
    poise = start.poise(config(pool([server])))
    with web.connect(poise.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1000).startswith(b"HTTP/1.1 200")


def test_out_of_descriptors(start):
    """With too few descriptors some wait or are refused, nobody spins, and it passes."""
    import resource

    (server,) = start.servers(1)
    poise = start.poise(
        config(pool([server])),
        "--workers",
        "1",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    crowd = [web.connect(poise.port) for _ in range(150)]
    time.sleep(0.5)
    with open(f"/proc/{poise.engine_pid}/stat") as f:
        before = f.read().rpartition(")")[2].split()
    time.sleep(1)
    with open(f"/proc/{poise.engine_pid}/stat") as f:
        after = f.read().rpartition(")")[2].split()
    ticks = sum(int(after[i]) - int(before[i]) for i in (11, 12))
    assert ticks < 50 * SCALE, "half a CPU or more, with nothing to do"
    for s in crowd:
        s.close()

    def served():
        try:
            return web.get(poise.port).status == 200
        except ConnectionError:
            return False

    wait_until(served, "requests are served again")
