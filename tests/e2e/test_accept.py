# SPDX-License-Identifier: MIT
"""Who takes new connections: every worker its share, and the others in place of one that does not."""

import re
import resource
import socket

import pytest
import web
from load import LoadTool
from programs import config, pool, wait_until
from stalled import Stalled

STOPPED = r"stopped worker=(\d+) accepted=(\d+) relieved=(\d+)"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def stopped(poise):
    """Ends it; what each worker took, and how many of these in another worker's place."""
    poise.end()
    found = sorted((int(w), int(a), int(r)) for w, a, r in re.findall(STOPPED, poise.err))
    return [a for _, a, _ in found], [r for _, _, r in found]


def assert_balanced(accepted, total):
    assert sum(accepted) >= total, accepted
    assert max(accepted) <= 1.15 * sum(accepted) / len(accepted), accepted


@pytest.mark.parametrize("workers", [2, 4])
def test_every_worker_takes_its_share_of_one_client(start, workers):
    load = LoadTool()
    try:
        poise = start.poise(config(pool(load.backends)), "--workers", workers)
        load.run(poise.port, 10000, keep="close")
        accepted, _ = stopped(poise)
    finally:
        load.end()
    assert len(accepted) == workers
    assert_balanced(accepted, 10000)


@pytest.mark.parametrize("workers", [2, 4])
def test_every_worker_takes_its_share_of_many_clients(start, workers):
    server = start.server("B1")
    poise = start.poise(config(pool([server])), "--workers", workers)
    for i in range(4000):
        source = (f"127.0.{i % 5}.{i % 200 + 1}", 0)
        with socket.create_connection(("127.0.0.1", poise.port), 60, source) as s:
            s.sendall(REQUEST)
            assert s.recv(1000).startswith(b"HTTP/1.1 200")
    assert_balanced(stopped(poise)[0], 4000)


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_stalled_worker_strands_nobody(start, protocol):
    server = start.server("B1")
    poise = start.poise(config(pool([server], protocol=protocol), protocol), "--workers", "2")
    with Stalled(poise.engine_pid, "worker-0"):
        for _ in range(40):  # all of them at the other worker: 2^-40
            with web.connect(poise.port) as s:
                s.sendall(REQUEST if protocol == "http" else b"hello\n")
                assert b"Hello from B1" in web.receive(s, 1) + s.recv(1000)
        poise.wait_for("takes no connections; the others take them worker=0")

    def ordinary_again():
        with web.connect(poise.port) as s:
            s.sendall(REQUEST if protocol == "http" else b"hello\n")
            assert s.recv(1000)
        return "takes connections again worker=0" in poise.err

    wait_until(ordinary_again, "worker 0 is back")
    accepted, relieved = stopped(poise)
    assert accepted[0] > 0
    assert relieved[0] == 0 and relieved[1] > 0


def test_a_full_worker_strands_nobody(start):
    """There are 32 places beside those of pipes, and the kernel does not ask who has them."""
    server = start.server("B1")
    poise = start.poise(
        config(pool([server])),
        "--workers",
        "2",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96)),
    )
    clients = []
    for _ in range(32):
        s = web.connect(poise.port, timeout=30)  # less than the idle time that makes room
        clients.append(s)
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
    for s in clients:
        s.close()
    assert sum(stopped(poise)[0]) >= 32
