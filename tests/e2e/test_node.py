# SPDX-License-Identifier: MIT
"""Clients and servers that run on Node: @grpc/grpc-js and ws. Their packages (tests/node/package-lock.json)
are fetched by npm when first needed; without node, npm or a network these tests are skipped."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import certificates
import pytest
from programs import ROOT, config, pool
from test_websocket import Echo

pytest.importorskip("grpc", reason="python3-grpcio is not installed")
import grpcs  # noqa: E402

SOURCE = ROOT / "tests" / "node"
NPM = ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-progress", "--loglevel=error"]
NPM += ["--fetch-retries=1", "--fetch-timeout=30000"]


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """Runs a program of tests/node and returns the JSON it prints."""
    for name in ("node", "npm"):
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
    kept = os.environ.get("POISE_NODE")  # a folder that outlives the test
    there = Path(kept) if kept else tmp_path_factory.mktemp("node")
    there.mkdir(parents=True, exist_ok=True)
    for name in SOURCE.iterdir():
        shutil.copy(name, there)
    wanted, fetched = (there / "package-lock.json").read_text(), there / "fetched"
    if not fetched.exists() or fetched.read_text() != wanted:
        done = subprocess.run(NPM, cwd=there, capture_output=True, text=True, timeout=150)
        if done.returncode != 0:
            pytest.skip(f"npm packages cannot be had: {done.stderr[:300]}")
        fetched.write_text(wanted)

    def run(program, *words):
        words = ["node", there / program, *(str(w) for w in words)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    run.folder = there
    return run


@pytest.fixture
def server(closing):
    return closing(grpcs.Server)


@pytest.mark.parametrize("tls", [False, True])
def test_grpc_client(start, work, node, server, tls):
    listener, ca = None, []
    if tls:
        authority = certificates.ca(work)
        leaf = authority.leaf(["localhost"])
        listener, ca = {"tls": {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]}}, [authority.cert]
    poise = start.poise(config(pool([server.entry()], protocol="http2"), listener=listener))
    assert node("client.mjs", poise.port, *ca) == {
        "unary": "hello",
        "initial": ["B1", "00ff80"],
        "trailing": 256,
        "error": [9, "not so: 100 % wrong, ü"],
        "deadline": 4,
        "large": 4 * 1024 * 1024,
        "count": 4950,
        "sum": "100 190",
        "chat": 50,
        "many": True,
        "cancelled": 1,
    }
    assert server.service.cancelled.wait(10)


def test_grpc_server(start, node):
    program = start.program("node", node.folder / "server.mjs")
    (port,) = program.wait_for(r"^listening on (\d+)$")
    poise = start.poise(config(pool([("B1", f"127.0.0.1:{port}")], protocol="http2")))
    with grpcs.Client(poise.port) as c:
        message = os.urandom(4 * 1024 * 1024)
        assert c.echo(message, timeout=60) == message
        assert [int(m) for m in c.count(b"500", timeout=20)] == list(range(500))
        assert c.sum((b"x" * i for i in range(100)), timeout=20) == b"100 4950"
        assert list(c.chat((b"%d" % i for i in range(100)), timeout=20)) == [b"%d" % i for i in range(100)]


@pytest.mark.parametrize("tls", [False, True])
def test_websocket_client(start, work, node, tls):
    echo = Echo()
    try:
        listener, ca, scheme = None, [], "ws"
        if tls:
            authority = certificates.ca(work)
            leaf = authority.leaf(["localhost"])
            listener = {"tls": {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]}}
            ca, scheme = [authority.cert], "wss"
        poise = start.poise(config(pool([echo.entry()]), listener=listener))
        url = f"{scheme}://localhost:{poise.port}/"
        assert node("websocket.mjs", url, *ca) == {"whole": 7, "code": 1000}
    finally:
        echo.stop()
