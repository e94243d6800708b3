# SPDX-License-Identifier: MIT
"""What a newcomer does first: three servers, the balancer, a client run three times."""

import subprocess

import pytest
from programs import BINARY, Poise, config, pool


def client(port, *args):
    return subprocess.run(
        [BINARY, "test-client", "--host", "127.0.0.1", "--port", str(port), *args],
        capture_output=True,
        text=True,
        timeout=60,
    )


def expected(port, backend):
    return (
        f"Connecting to 127.0.0.1:{port}...\n"
        "Sending: 'Hello from Client'\n"
        f"Received: 'Hello from {backend}'\n"
        "Closing the connection.\n"
    )


@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_tcp_clients_reach_the_servers_in_turn(start, workers):
    servers = start.servers(3)
    poise = start.poise(config(pool(servers, protocol="tcp"), "tcp"), "--workers", workers)
    for backend in ("B1", "B2", "B3") * 2:
        done = client(poise.port)
        assert done.stdout == expected(poise.port, backend)
        assert done.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_curl_reaches_the_servers_in_turn(start, workers):
    servers = start.servers(3)
    poise = start.poise(config(pool(servers)), "--workers", workers)
    for backend in ("B1", "B2", "B3") * 2:
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "30", poise.url], capture_output=True, text=True
        )
        head, _, body = done.stdout.replace("\r", "").partition("\n\n")
        assert body.strip() == f"Hello from {backend}"
        assert f"X-Backend: {backend}".lower() in head.lower()


def test_a_server_says_where_it_listens(start):
    server = start.server("B7")
    assert server.out.startswith(f"Backend server 'B7' listening on 127.0.0.1:{server.port}")


def test_a_server_answers_both_http_and_plain_bytes(start):
    server = start.server("B1")
    assert client(server.port).stdout == expected(server.port, "B1")
    assert "Received: 'Hello from B1'" in client(server.port, "--http").stdout


def test_without_a_file(start, work):
    """The flags say the same as a file, and --save writes that file."""
    servers = start.servers(2)
    saved = work / "saved.yaml"
    words = ["run", "--listen", "127.0.0.1:0", "--mode", "http", "--save", saved]
    for s in servers:
        words += ["--backend", s.address]
    first = start.program(BINARY, *words)
    ready = r"^Load Balancer listening on 127\.0\.0\.1:(\d+)$"
    (port,) = first.wait_for(ready)
    assert "Hello from B1" in client(port, "--http").stdout
    first.end()

    second = start.program(BINARY, "run", "-c", saved)
    (port,) = second.wait_for(ready)
    assert "Hello from B1" in client(port, "--http").stdout
    assert "Hello from B2" in client(port, "--http").stdout
    second.end()


def test_many_requests_make_a_table(start):
    servers = start.servers(3)
    poise = start.poise(config(pool(servers)))
    done = client(poise.port, "-n", "300", "-c", "10", "--http")
    assert done.returncode == 0, done.stderr
    for name in ("B1", "B2", "B3"):
        (line,) = [l for l in done.stdout.splitlines() if name in l]
        assert "100" in line.split(), done.stdout


def test_health_checks_are_on_without_a_file(start):
    (server,) = start.servers(1)
    words = ["run", "--listen", "127.0.0.1:0", "--backend", server.address]
    poise = start.program(BINARY, *words)
    poise.wait_for(r"^Load Balancer listening")
    server.kill()
    poise.wait_for(r"state=down", seconds=20)
    assert isinstance(poise, Poise) is False
    poise.end()
