# SPDX-License-Identifier: MIT
"""Exchanges under way and the last that ended, as the admin API lists them."""

import json

import web
from admin import UnixConnection
from programs import config, pool, wait_until


def sessions(path, query=""):
    c = UnixConnection(path)
    c.request("GET", f"/api/v1/sessions{query}")
    answer = c.getresponse()
    body = json.loads(answer.read())
    c.close()
    assert answer.status == 200, body
    return body


def balancer(start, work, pools, *args, **options):
    path = work / "admin.sock"
    return start.poise(config(pools, admin={"socket": str(path)}, **options), *args), path


def test_the_last_that_ended(start, work):
    """Newest first, of all workers, with what is known of each; the ring keeps 4,096 of each."""
    lb, path = balancer(start, work, pool(start.servers(1)), "--workers", "2")
    for i in range(20):
        web.get(lb.port, f"/p{i}?q", headers={"X-Request-Id": f"id-{i}"})
    seen = sessions(path, "?recent=12")
    assert seen["total"] == 20 and len(seen["sessions"]) == 12, seen
    assert [s["target"] for s in seen["sessions"]] == [f"/p{i}?q" for i in range(19, 7, -1)]
    first = seen["sessions"][0]
    expected = {"method": "GET", "host": f"127.0.0.1:{lb.port}", "listener": "web", "pool": "app", "backend": "B1",
                "status": 200, "reason": "ok", "protocol": "http", "request_id": "id-19", "retries": 0}
    assert expected.items() <= first.items(), first
    assert first["client"].startswith("127.0.0.1:") and first["bytes_in"] > 0 and first["bytes_out"] > 0
    assert first["total_ms"] >= 0 and "state" not in first


def test_the_ring_is_full(start, work):
    lb, path = balancer(start, work, pool(start.servers(1)), "--workers", "1")
    with web.connect(lb.port) as s:
        batch, count = 100, 4200
        for _ in range(count // batch):
            s.sendall(b"GET /n HTTP/1.1\r\nHost: x\r\n\r\n" * batch)
            got = b""
            while got.count(b"HTTP/1.1 200") < batch:
                got += s.recv(65536)
        s.sendall(b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while s.recv(65536):
            pass
    seen = sessions(path, "?recent=4096")
    assert seen["total"] == count + 1 and len(seen["sessions"]) == 4096
    assert seen["sessions"][0]["target"] == "/last"


def test_what_is_under_way(start, work):
    """A slow answer, and no more of it once it has ended."""
    lb, path = balancer(start, work, pool(start.servers(1)), "--workers", "2")
    with web.connect(lb.port) as s:
        s.sendall(b"GET /delay/1500 HTTP/1.1\r\nHost: slow.example\r\n\r\n")
        seen = wait_until(lambda: sessions(path)["sessions"], "the slow exchange is listed")
        slow = seen[0]
        expected = {"method": "GET", "target": "/delay/1500", "host": "slow.example", "listener": "web",
                    "pool": "app", "backend": "B1", "protocol": "http"}
        assert expected.items() <= slow.items(), slow
        assert slow["state"] in ("connecting", "sending", "responding") and "status" not in slow
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
    assert wait_until(lambda: not sessions(path)["sessions"], "it has ended")
    assert sessions(path, "?recent=1")["sessions"][0]["target"] == "/delay/1500"


def test_a_tcp_connection(start, work):
    lb, path = balancer(start, work, pool(start.servers(1)), protocol="tcp")
    with web.connect(lb.port):
        def tunnels():
            return [s for s in sessions(path)["sessions"] if s["protocol"] == "tcp"]
        row = wait_until(tunnels, "the connection is listed")[0]
        assert row["backend"] == "B1" and "method" not in row
    wait_until(lambda: sessions(path, "?recent=5")["sessions"], "it has ended")
