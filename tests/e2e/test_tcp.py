# SPDX-License-Identifier: MIT
"""TCP mode, where no byte is looked at."""

import os
import socket
import threading

import pytest
import web
from programs import config, pool


@pytest.fixture
def pair(start):
    """A client's socket and the backend's end of the same connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        poise = start.poise(config(pool([("B1", address)], protocol="tcp"), "tcp"))
        client = web.connect(poise.port)
        listener.settimeout(30)
        backend, _ = listener.accept()
        backend.settimeout(30)
        with client, backend:
            yield client, backend


def test_the_client_half_closes(pair):
    client, backend = pair
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert web.receive(backend, 8) == b"question"
    assert backend.recv(1) == b""
    backend.sendall(b"a late answer")
    backend.close()
    assert web.receive(client, 13) == b"a late answer"
    assert client.recv(1) == b""


def test_the_backend_half_closes(pair):
    client, backend = pair
    backend.sendall(b"greeting")
    backend.shutdown(socket.SHUT_WR)
    assert web.receive(client, 8) == b"greeting"
    assert client.recv(1) == b""
    client.sendall(b"still talking")
    client.close()
    assert web.receive(backend, 13) == b"still talking"
    assert backend.recv(1) == b""


def test_a_reset_of_the_client_reaches_the_backend(pair):
    client, backend = pair
    client.sendall(b"x")
    web.receive(backend, 1)
    web.reset(client)
    with pytest.raises(ConnectionResetError):
        while backend.recv(1):
            pass


def test_a_reset_of_the_backend_reaches_the_client(pair):
    client, backend = pair
    client.sendall(b"x")
    web.receive(backend, 1)
    web.reset(backend)
    with pytest.raises(ConnectionResetError):
        while client.recv(1):
            pass


def test_both_directions_at_once(pair):
    client, backend = pair
    data = os.urandom(1 << 20) * 8
    got = {}

    def exchange(name, s):
        writer = threading.Thread(target=s.sendall, args=(data,))
        writer.start()
        got[name] = web.receive(s, len(data))
        writer.join()

    threads = [threading.Thread(target=exchange, args=x) for x in (("c", client), ("b", backend))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got["c"] == data and got["b"] == data


def test_a_dead_backend_is_left_out(start):
    servers = start.servers(2)
    servers[0].kill()
    poise = start.poise(config(pool(servers, protocol="tcp"), "tcp"))
    for _ in range(4):
        with web.connect(poise.port) as s:
            s.sendall(b"hello\n")
            assert s.recv(100).startswith(b"Hello from B2")


def test_client_addresses_of_both_families(start):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    (server,) = start.servers(1)
    try:
        poise = start.poise(
            config(pool([server]), listener={"listen": ["127.0.0.1:0", "[::1]:0"]})
        )
    except AssertionError:
        if os.path.exists("/proc/net/if_inet6"):
            raise
        pytest.skip("no IPv6 here")
    for host, port in zip(("127.0.0.1", "::1"), poise.ports):
        with socket.create_connection((host, port), timeout=30) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 200")
