# SPDX-License-Identifier: MIT
"""gRPC from end to end: grpcio on either side, HTTP/2 in clear text."""

import functools
import os
import socket
import threading
import time

import certificates
import pytest
from programs import Held, config, pool, wait_until

grpc = pytest.importorskip("grpc", reason="python3-grpcio is not installed")
import grpcs  # noqa: E402

Code = grpc.StatusCode


@pytest.fixture
def server(closing):
    return functools.partial(closing, grpcs.Server)


def balancer(start, *servers, listener=None, settings=None, **options):
    pools = pool([s.entry() for s in servers], protocol="http2", **options)
    return start.poise(config(pools, listener=listener, **(settings or {})))


def failure(call):
    with pytest.raises(grpc.RpcError) as e:
        call()
    return e.value


# ---- the four kinds of calls ----


def test_unary(start, server):
    s = server()
    poise = balancer(start, s)
    with grpcs.Client(poise.port) as c:
        for size in (0, 1, 100, 16384, 65536, 200_000):
            message = os.urandom(size)
            assert c.echo(message, timeout=20) == message
    assert s.service.calls == 6


def test_server_streaming(start, server):
    poise = balancer(start, server())
    with grpcs.Client(poise.port) as c:
        assert [int(m) for m in c.count(b"1000", timeout=20)] == list(range(1000))
        assert list(c.count(b"0", timeout=20)) == []


def test_client_streaming(start, server):
    poise = balancer(start, server())
    with grpcs.Client(poise.port) as c:
        assert c.sum((b"x" * i for i in range(500)), timeout=20) == b"500 %d" % sum(range(500))
        assert c.sum(iter(()), timeout=20) == b"0 0"


def test_bidirectional(start, server):
    """Each message is answered before the next is sent."""
    poise = balancer(start, server())
    with grpcs.Client(poise.port) as c:
        turn = threading.Semaphore(1)

        def questions():
            for i in range(100):
                assert turn.acquire(timeout=20)
                yield b"%d" % i

        answers = []
        for answer in c.chat(questions(), timeout=30):
            answers.append(int(answer))
            turn.release()
        assert answers == list(range(100))


# ---- metadata and statuses ----


def test_metadata_both_ways(start, server):
    s = server()
    poise = balancer(start, s)
    with grpcs.Client(poise.port) as c:
        sent = (("trace", "abc"), ("secret-bin", b"\x00\x01\xfe\xff"), ("twice", "1"), ("twice", "2"))
        answer, call = c.echo.with_call(b"hello", metadata=sent, timeout=20)
        assert answer == b"hello"
        initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
        assert initial["backend"] == "B1"
        assert initial["initial-bin"] == b"\x00\xff\x80"
        assert trailing["final"] == "yes"
        assert trailing["final-bin"] == bytes(range(256))
    seen = [tuple(m) for m in s.service.seen[0]]
    assert [m for m in seen if m in sent] == list(sent)


def test_errors_of_the_server(start, server):
    poise = balancer(start, server())
    with grpcs.Client(poise.port) as c:
        e = failure(lambda: c.echo(b"", metadata=(("want", "abort"),), timeout=20))
        assert (e.code(), e.details()) == (Code.FAILED_PRECONDITION, "not so: 100 % wrong, ü")
        e = failure(lambda: c.echo(b"", metadata=(("want", "late"),), timeout=20))
        assert (e.code(), e.details()) == (Code.DATA_LOSS, "after the head")
        e = failure(lambda: c.nothing(b"", timeout=20))
        assert e.code() == Code.UNIMPLEMENTED


def reason(e):
    return dict(e.trailing_metadata() or ()).get("x-poise-reason")


def test_no_route(start, server):
    s = server()
    listener = {"pool": None, "routes": [{"match": {"path_prefix": "/other"}, "pool": "app"}]}
    settings = config(pool([s.entry()], protocol="http2"), listener=listener)
    del settings["listeners"][0]["pool"]
    poise = start.poise(settings)
    with grpcs.Client(poise.port) as c:
        e = failure(lambda: c.echo(b"", timeout=20))
        assert (e.code(), reason(e)) == (Code.UNIMPLEMENTED, "no_route")
        assert e.details() == "No route matches this request."


def test_routes_by_method(start, server):
    s, other = server("B1"), server("B2")
    pools = [
        pool([s.entry()], name="app", protocol="http2"),
        pool([other.entry()], name="sums", protocol="http2"),
    ]
    routes = [{"match": {"path": "/test.Test/Sum"}, "pool": "sums"}]
    poise = start.poise(config(pools, listener={"routes": routes}))
    with grpcs.Client(poise.port) as c:
        assert c.echo(b"1", timeout=20) == b"1"
        assert c.sum(iter([b"12"]), timeout=20) == b"1 2"
    assert (s.service.calls, other.service.calls) == (1, 1)


def test_too_large(start, server):
    poise = balancer(start, server(), listener={"limits": {"body": "1MiB"}})
    with grpcs.Client(poise.port) as c:
        e = failure(lambda: c.echo(b"x" * 2_000_000, timeout=20))
        assert (e.code(), reason(e)) == (Code.RESOURCE_EXHAUSTED, "body_too_large")
        assert c.echo(b"x" * 100_000, timeout=20) == b"x" * 100_000


def test_large_messages(start, server):
    poise = balancer(start, server())
    message = os.urandom(4 * 1024 * 1024)
    with grpcs.Client(poise.port) as c:
        assert c.echo(message, timeout=60) == message
        assert c.sum(iter([message] * 4), timeout=60) == b"4 %d" % (4 * len(message))
        assert b"".join(c.chat(iter([message] * 3), timeout=60)) == message * 3


# ---- failures on the way ----


def test_nobody_is_there(start):
    held = Held()
    pools = pool([("B1", held.address)], protocol="http2")
    poise = start.poise(config(pools))
    with grpcs.Client(poise.port) as c:
        e = failure(lambda: c.echo(b"", timeout=20))
        assert (e.code(), reason(e)) == (Code.UNAVAILABLE, "connect_refused")
    held.close()


def test_a_call_goes_to_another_backend(start, server):
    """Where the first refuses the connection, which is always safe."""
    held, s = Held(), server("B2")
    pools = pool([("B1", held.address), s.entry()], protocol="http2")
    poise = start.poise(config(pools))
    with grpcs.Client(poise.port) as c:
        for _ in range(10):
            assert c.echo(b"x", timeout=20) == b"x"
    assert s.service.calls == 10
    held.close()


def test_killed_and_back(start, server):
    """Calls under way are UNAVAILABLE when their backend dies, later ones go on when it is back."""
    s = server()
    poise = balancer(start, s)
    with grpcs.Client(poise.port) as c:
        waiting = c.echo.future(b"", metadata=(("want", "wait"),), timeout=30)
        counting = c.count(b"100 every 0.5", timeout=30)
        assert next(counting) == b"0"
        wait_until(lambda: s.service.calls == 2, "both calls are there")
        s.server.stop(None)
        threading.Thread(target=s.close).start()
        assert waiting.exception(timeout=20).code() in (Code.UNAVAILABLE, Code.CANCELLED)
        assert failure(lambda: list(counting)).code() in (Code.UNAVAILABLE, Code.CANCELLED)
        wait_until(lambda: failure_or_none(c) == Code.UNAVAILABLE, "nobody is there")
        server("B1", port=s.port)
        assert c.echo(b"again", timeout=20) == b"again"


def failure_or_none(c):
    try:
        c.echo(b"", timeout=20)
    except grpc.RpcError as e:
        return e.code()
    return None


def test_a_backend_without_http2(start):
    backend = start.server("B1")
    poise = start.poise(config(pool([backend], protocol="http2")))
    with grpcs.Client(poise.port) as c:
        assert failure(lambda: c.echo(b"", timeout=20)).code() == Code.UNAVAILABLE


# ---- time ----


def test_a_deadline_with_a_silent_backend(start):
    """Where nobody else keeps the time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        poise = start.poise(config(pool([("B1", address)], protocol="http2")))
        with grpcs.Client(poise.port) as c:
            e = failure(lambda: c.echo(b"", metadata=(("grpc-timeout", "300m"),)))
            assert (e.code(), reason(e)) == (Code.DEADLINE_EXCEEDED, "deadline_exceeded")
            assert e.details() == "The deadline that the client set for its call passed."


def test_a_deadline_ends_the_call_everywhere(start, server):
    s = server()
    poise = balancer(start, s)
    with grpcs.Client(poise.port) as c:
        asked = (("want", "wait"), ("grpc-timeout", "300m"))
        assert failure(lambda: c.echo(b"", metadata=asked)).code() == Code.DEADLINE_EXCEEDED
        assert s.service.cancelled.wait(10)
        s.service.release.set()
        assert c.echo(b"next", timeout=20) == b"next"


def test_a_deadline_in_the_middle(start, server):
    s = server()
    poise = balancer(start, s)
    with grpcs.Client(poise.port) as c:
        call = c.count(b"1000 every 0.05", metadata=(("grpc-timeout", "500m"),))
        got = []
        with pytest.raises(grpc.RpcError) as e:
            for m in call:
                got.append(m)
        assert e.value.code() == Code.DEADLINE_EXCEEDED
        assert 0 < len(got) < 1000
        assert s.service.cancelled.wait(10)


def test_a_deadline_in_the_queue(start, server):
    s = server()
    poise = balancer(start, s, max_connections=1, queue={"timeout": "20s"})
    with grpcs.Client(poise.port) as c:
        first = c.echo.future(b"", metadata=(("want", "wait"),), timeout=30)
        wait_until(lambda: s.service.calls == 1, "the first is there")
        e = failure(lambda: c.echo(b"", metadata=(("grpc-timeout", "200m"),)))
        assert e.code() == Code.DEADLINE_EXCEEDED
        s.service.release.set()
        assert first.result(timeout=20) == b""
        assert c.echo(b"next", timeout=20) == b"next"
    assert s.service.calls == 2


def test_the_client_cancels(start, server):
    s = server()
    poise = balancer(start, s)
    with grpcs.Client(poise.port) as c:
        call = c.echo.future(b"", metadata=(("want", "wait"),))
        wait_until(lambda: s.service.calls == 1, "it is there")
        call.cancel()
        assert s.service.cancelled.wait(10)
        s.service.release.set()
        s.service.cancelled.clear()
        counting = c.count(b"1000 every 0.02")
        assert next(counting) == b"0"
        counting.cancel()
        assert s.service.cancelled.wait(10)


def test_quiet_streams_stay(start, server):
    """Longer than the time in which a body must go on."""
    s = server()
    poise = balancer(
        start, s, listener={"timeouts": {"body": "300ms", "idle": "300ms"}}, timeouts={"idle": "300ms"}
    )
    with grpcs.Client(poise.port) as c:
        assert [int(m) for m in c.count(b"3 every 1", timeout=20)] == [0, 1, 2]

        def slowly():
            for i in range(3):
                yield b"%d" % i
                time.sleep(0.8)

        assert list(c.chat(slowly(), timeout=20)) == [b"0", b"1", b"2"]


def test_quiet_streams_end_after_the_time_of_tunnels(start, server):
    s = server()
    poise = balancer(start, s, listener={"timeouts": {"tunnel": "500ms"}})
    with grpcs.Client(poise.port) as c:
        call = c.count(b"2 every 30", timeout=25)
        assert next(call) == b"0"
        e = failure(lambda: next(call))
        assert (e.code(), reason(e)) == (Code.DEADLINE_EXCEEDED, "idle_timeout")


# ---- many ----


def test_many_calls_over_one_channel(start, server):
    s = server(threads=32)
    poise = balancer(start, s)
    with grpcs.Client(poise.port) as c:
        for _ in range(5):
            calls = [(i, c.echo.future(b"%d" % i, timeout=30)) for i in range(200)]
            for i, call in calls:
                assert call.result() == b"%d" % i
    assert s.service.calls == 1000


def test_calls_are_balanced(start, server):
    """Not connections: one channel has the calls go around."""
    servers = [server(f"B{i + 1}") for i in range(3)]
    poise = balancer(start, *servers)
    with grpcs.Client(poise.port) as c:
        for _ in range(30):
            c.echo(b"", timeout=20)
    assert [s.service.calls for s in servers] == [10, 10, 10]


def test_reloads_under_calls(start, server):
    servers = [server(f"B{i + 1}") for i in range(2)]
    poise = balancer(start, *servers)
    failures, done, over = [], [], threading.Event()

    def work():
        with grpcs.Client(poise.port) as c:
            while not over.is_set():
                try:
                    c.echo(b"x", timeout=20)
                    done.append(1)
                except grpc.RpcError as e:
                    failures.append((e.code(), e.details()))

    with grpcs.Client(poise.port) as c:
        watching = c.count(b"20 every 0.1", timeout=30)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads:
            t.start()
        for i in range(8):
            poise.send(1)
            poise.wait_for(r"generation=\d+|reloaded|reload", i + 1)
            time.sleep(0.1)
        over.set()
        for t in threads:
            t.join()
        assert [int(m) for m in watching] == list(range(20))
    assert failures == []
    assert len(done) > 20


def test_a_drain_ends_calls_with_its_deadline(start, server):
    s = server()
    poise = balancer(start, s, settings={"drain": {"deadline": "1s"}})
    with grpcs.Client(poise.port) as c:
        call = c.count(b"1000 every 0.1", timeout=30)
        assert next(call) == b"0"
        poise.send(15)
        assert failure(lambda: list(call)).code() in (Code.UNAVAILABLE, Code.CANCELLED, Code.INTERNAL)
        poise.wait()


# ---- over TLS ----


def test_over_tls_on_both_sides(start, server, authority):
    """HTTP/2 by ALPN, as grpcio insists; the health check goes over TLS as well."""
    leaf = authority.leaf(["localhost", "127.0.0.1"])
    s = server(health={"": grpcs.NOT_SERVING}, credentials=grpcs.server_credentials(leaf))
    health = {"type": "grpc", "interval": "100ms", "timeout": "5s", "rise": 1, "fall": 1}
    tls = {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]}
    poise = balancer(
        start, s, listener={"tls": tls}, health=health, tls={"ca": str(authority.cert)}
    )
    poise.wait_for("state=down reason=probe_not_serving")
    s.service.health[""] = grpcs.SERVING
    poise.wait_for("state=up")
    with grpcs.Client(poise.port, grpcs.client_credentials(authority), host="localhost") as c:
        assert c.echo(b"hello", timeout=20) == b"hello"
        assert [int(m) for m in c.count(b"100", timeout=20)] == list(range(100))
        message = os.urandom(1024 * 1024)
        assert b"".join(c.chat(iter([message] * 4), timeout=60)) == message * 4
        e = failure(lambda: c.echo(b"", metadata=(("want", "abort"),), timeout=20))
        assert e.code() == Code.FAILED_PRECONDITION


def test_a_backend_that_is_not_trusted(start, server, authority, work):
    leaf = authority.leaf(["localhost", "127.0.0.1"])
    s = server(credentials=grpcs.server_credentials(leaf))
    other = certificates.ca(work, "other")
    poise = balancer(start, s, tls={"ca": str(other.cert)})
    with grpcs.Client(poise.port) as c:
        e = failure(lambda: c.echo(b"", timeout=20))
        assert (e.code(), reason(e)) == (Code.UNAVAILABLE, "backend_certificate")
    assert s.service.calls == 0
