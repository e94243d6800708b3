# SPDX-License-Identifier: MIT
"""How calls of gRPC ended, as the access log, the sessions and the metrics tell it."""

import json

import admin
import h2server
import metrics
import pytest
import web
from programs import Held, config, pool, wait_until

grpc = pytest.importorskip("grpc", reason="python3-grpcio is not installed")
import grpcs  # noqa: E402

NAMES = [code.name for code in sorted(grpc.StatusCode, key=lambda code: code.value[0])]


@pytest.fixture
def server(closing):
    return closing(grpcs.Server)


class Site:
    def __init__(self, start, work, entry, **options):
        self.log = work / "access.log"
        log = {"file": str(self.log), "format": "json"}
        pools = pool([entry], protocol="http2", **options)
        self.poise = start.poise(config(pools, admin=admin.config(), access_log=log))
        self.admin = admin.Admin(self.poise)
        self.client = grpcs.Client(self.poise.port)

    def fails(self, call):
        with pytest.raises(grpc.RpcError) as e:
            call()
        return e.value.code().value[0]

    def said(self, count):
        """Of so many calls: (grpc_status, reason) as the log and the sessions have them."""
        wait_until(lambda: self.log.read_bytes().count(b"\n") == count, f"{count} lines are in the log")
        logged = [json.loads(line) for line in self.log.read_text().splitlines()]
        rows = self.admin.get("/api/v1/sessions?recent=100")["sessions"][::-1]
        assert [r["grpc_status"] for r in rows] == [r["grpc_status"] for r in logged]
        assert {r["client_protocol"] for r in rows} == {r["protocol"].removesuffix(".0") for r in logged} == {"HTTP/2"}
        return [(r["grpc_status"], r["reason"]) for r in logged]

    def counted(self, status):
        m = metrics.scrape(self.admin)
        return m.get("poise_grpc_requests_total", listener="web", pool="app", status=status)


def test_of_the_backend(start, work, server):
    """In trailers, and where there are trailers only."""
    site = Site(start, work, server.entry())
    with site.client as c:
        for _ in range(3):
            assert c.echo(b"hello", timeout=20) == b"hello"
        assert list(c.count(b"3", timeout=20)) == [b"0", b"1", b"2"]
        for want, status in (("abort", 9), ("late", 15)):
            assert site.fails(lambda: c.echo(b"", metadata=(("want", want),), timeout=20)) == status
        assert site.fails(lambda: c.nothing(b"", timeout=20)) == 12
    assert site.said(7) == [(0, "ok")] * 4 + [(9, "ok"), (15, "ok"), (12, "ok")]
    found = {name: site.counted(name) for name in NAMES}
    expected = {"OK": 4, "FAILED_PRECONDITION": 1, "DATA_LOSS": 1, "UNIMPLEMENTED": 1}
    assert {name: n for name, n in found.items() if n is not None} == expected
    assert site.counted("none") is None


def test_of_ours(start, work):
    held = Held()
    site = Site(start, work, {"name": "B1", "address": f"127.0.0.1:{held.port}"}, health={"type": "none"})
    held.close()
    with site.client as c:
        assert site.fails(lambda: c.echo(b"", timeout=20)) == 14
    assert site.said(1) == [(14, "connect_refused")]
    assert site.counted("UNAVAILABLE") == 1


class BreaksOff(h2server.Server):
    """Answers with a head and a message, and no more."""

    def on_end(self, r):
        self.begun, c = r, r.connection
        with c.lock:
            c.h2.send_headers(r.id, [(":status", "200"), ("content-type", "application/grpc")])
            c.h2.send_data(r.id, b"\0\0\0\0\x01" + b"0")
            c.flush()


def test_a_backend_that_breaks_off(start, work):
    """The response has begun: its trailers are ours then."""
    server = BreaksOff()
    site = Site(start, work, {"name": "B1", "address": server.address}, health={"type": "none"})
    with site.client as c:
        answers = c.count(b"2", timeout=20)
        assert next(answers) == b"0"
        server.begun.connection.reset(server.begun.id)
        assert site.fails(lambda: next(answers)) == 14
    (status, reason), = site.said(1)
    assert status == 14 and reason != "ok", reason
    server.close()


def test_one_that_got_none(start, work, server):
    """Its client went, and nobody was told anything."""
    site = Site(start, work, server.entry())
    with site.client as c:
        call = c.echo.future(b"", metadata=(("want", "wait"),), timeout=20)
        wait_until(lambda: server.service.calls == 1, "the call")
        call.cancel()
        (status, reason), = site.said(1)
    assert status is None and reason == "client_cancelled"
    assert site.counted("none") == 1


def test_what_is_no_call(start, work, server):
    """A request over HTTP/2 that is none of gRPC says nothing of it."""
    site = Site(start, work, server.entry(), health={"type": "none"})
    with site.client as c:
        assert c.echo(b"1", timeout=20) == b"1"
    web.get(site.poise.port, "/", "POST", b"body", {"Content-Type": "application/json"})
    wait_until(lambda: site.log.read_bytes().count(b"\n") == 2, "both are in the log")
    logged = {r["target"]: r for r in map(json.loads, site.log.read_text().splitlines())}
    assert logged["/test.Test/Echo"]["grpc_status"] == 0 and "grpc_status" not in logged["/"]
    rows = site.admin.get("/api/v1/sessions?recent=9")["sessions"]
    row = next(r for r in rows if r["target"] == "/")
    assert row["client_protocol"] == "HTTP/1.1" and row["backend_protocol"] == "HTTP/2" and "grpc_status" not in row
    assert metrics.scrape(site.admin).get("poise_grpc_requests_total") == 1
