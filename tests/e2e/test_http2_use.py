# SPDX-License-Identifier: MIT
"""HTTP/2 clients and HTTP/1 backends: bodies, trailers, windows, cancellation, drains, WebSocket."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import memory
import pytest
from admin import UnixConnection
from h2origin import Origin
from h2wire import (
    GET, GOAWAY, INTERNAL_ERROR, NO_ERROR, WINDOW_UPDATE,
    Wire, settings,
)  # fmt: skip
from programs import SCALE, config, pool, wait_until


@pytest.fixture
def origin(closing):
    return closing(Origin)


@pytest.fixture
def lb(start, origin):
    return start.poise(conf(origin))


def conf(origin, listener=None, **options):
    return config(
        pool([("o", origin.address)]),
        listener=listener,
        access_log={"file": "-", "format": "json"},
        **options,
    )


def to(path, method="GET", *fields):
    return ((":method", method), GET[1], (":path", path), GET[3]) + fields


def reasons(lb):
    return re.findall(r'"reason":"(\w+)"', lb.out)


def wait_for_reason(lb, reason, count=1):
    wait_until(lambda: reasons(lb).count(reason) >= count, f"{reason} in {reasons(lb)}")


# ---- messages ----


def test_request_as_the_backend_sees_it(lb, origin):
    with Wire(lb.port) as w:
        w.headers(1, to("/hello?a=b", "GET", ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"),
                        ("x-forwarded-for", "6.6.6.6"), ("accept", "*/*")))  # fmt: skip
        s = w.answer(1)
        assert s.status == 200 and s.body == b"hello"
        assert s.fields["x-name"] == "Value" and "x-hop" not in s.fields
        assert "connection" not in s.fields and "keep-alive" not in s.fields
    method, target, fields = origin.seen[0]
    assert (method, target) == ("GET", "/hello?a=b")
    assert fields["host"] == "web.test" and fields["cookie"] == "a=1; b=2"
    assert fields["x-forwarded-for"] == "127.0.0.1" and fields["x-forwarded-proto"] == "http"
    assert "te" not in fields and "transfer-encoding" not in fields
    wait_until(lambda: '"protocol":"HTTP/2.0"' in lb.out, "HTTP/2.0 in the log")


@pytest.mark.parametrize("size", [0, 1, 1023, 1025, 16384, 65535, 65536, 300000])
@pytest.mark.parametrize("sized", [True, False])
def test_bodies_both_ways(lb, size, sized):
    body = os.urandom(size)
    length = (("content-length", str(size)),) if sized else ()
    with Wire(lb.port, timeout=60) as w:
        w.headers(1, to("/echo", "POST", *length), end=size == 0)
        credit, sent = 65535, 0
        while sent < size:
            n = min(credit, 16384, size - sent)
            if n == 0:
                f = w.read()
                if f.type == WINDOW_UPDATE and f.stream == 1:
                    credit += int.from_bytes(f.payload, "big")
                continue
            sent += n
            credit -= n
            w.data(1, body[sent - n : sent], end=sent == size)
        s = w.answer(1)
        assert s.status == 200 and s.body == body


@pytest.mark.parametrize(
    "path, method, status, size",
    [
        ("/head", "HEAD", 200, 0),
        ("/nothing", "GET", 204, 0),
        ("/unchanged", "GET", 304, 0),
        ("/empty", "GET", 200, 0),
        ("/until-close", "GET", 200, 100000),
        ("/big", "GET", 200, 4 << 20),
    ],
)
def test_ends_of_responses(lb, path, method, status, size):
    with Wire(lb.port, first=settings(INITIAL_WINDOW_SIZE=1 << 20)) as w:
        for stream in (1, 3, 5):
            w.headers(stream, to(path, method))
            s = w.answer(stream)
            assert (s.status, s.reset, len(s.body)) == (status, None, size)


def test_trailers_of_a_response(lb):
    with Wire(lb.port) as w:
        s = w.get(1, "/trailers")
        assert s.body == b"piece" * 10
        assert dict(s.heads[1]) == {"x-sum": "42", "grpc-status": "0"}
        s = w.get(3, "/only-trailers")
        assert s.body == b"" and dict(s.heads[1]) == {"x-sum": "0"}


def test_trailers_of_a_request(lb, origin):
    with Wire(lb.port) as w:
        w.headers(1, to("/echo", "POST"), end=False)
        w.data(1, b"body", end=False)
        w.headers(1, (("x-sum", "43"),))
        assert w.answer(1).body == b"body"
    assert origin.trailers == ["x-sum: 43"]


def test_interim_responses(lb):
    with Wire(lb.port) as w:
        s = w.get(1, "/hints")
        assert [dict(h)[":status"] for h in s.heads] == ["103", "200"] and s.body == b"hinted"
        w.headers(3, to("/continue", "POST", ("expect", "100-continue")), end=False)
        s = w.streams[3]
        w.until(lambda: s.heads, "100")
        w.data(3, b"now")
        assert w.answer(3).body == b"now"
        assert [dict(h)[":status"] for h in s.heads] == ["100", "200"]


def test_early_response_ends_the_upload(lb):
    with Wire(lb.port) as w:
        w.headers(1, to("/early", "POST", ("content-length", "1000000")), end=False)
        s = w.streams[1]
        w.until(lambda: s.reset is not None, "a reset behind the response")
        assert s.status == 413 and s.body == b"no" and s.ended and s.reset == NO_ERROR
        w.data(1, b"still on its way", end=False)
        assert w.get(3, "/hello").status == 200


@pytest.mark.parametrize("path", ["/cut", "/cut-chunks"])
def test_broken_responses_do_not_look_whole(lb, path):
    with Wire(lb.port) as w:
        s = w.get(1, path)
        assert s.status == 200 and not s.ended and s.reset == INTERNAL_ERROR
        assert w.get(3, "/hello").status == 200
    wait_for_reason(lb, "backend_closed")


def test_answers_of_ours(start, origin):
    lb = start.poise(config(pool([("o", "127.0.0.1:1")])))
    with Wire(lb.port) as w:
        s = w.get(1)
        assert s.status == 502 and s.fields["x-poise-reason"] == "connect_refused" and s.body
        w.headers(3, to("/", "HEAD"))
        s = w.answer(3)
        assert s.status == 502 and s.body == b"" and s.ended


# ---- windows ----


def test_a_stream_without_a_window_stalls_no_other(lb, origin):
    with Wire(lb.port, window=False) as w:
        w.update(0, 1 << 30)
        w.headers(1, to("/endless"))
        w.until(lambda: len(w.streams[1].body) == 65535, "a window full")
        for stream in range(3, 203, 2):
            assert w.get(stream, "/hello").body == b"hello"
        before = origin.sent
        for stream in range(203, 303, 2):
            assert w.get(stream, "/hello").body == b"hello"
        assert origin.sent - before < 8 << 20, "the backend is held back"
        w.update(1, 100000)
        w.until(lambda: len(w.streams[1].body) == 165535, "more of it")


def test_memory_of_many_stalled_streams(lb, origin):
    with Wire(lb.port, window=False) as w:
        assert w.get(1, "/hello").status == 200
        before = memory.pss_bytes(lb.engine_pid)
        for i in range(100):
            w.headers(3 + 2 * i, to("/endless"))
        w.until(lambda: sum(len(s.body) for s in w.streams.values()) >= 65535, "the window full")
        time.sleep(1)
        assert w.ping()
        assert memory.pss_bytes(lb.engine_pid) - before < (64 << 20) * SCALE


def test_an_upload_that_is_not_read_is_held_back(lb, origin):
    with Wire(lb.port) as w:
        size = 32 << 20
        w.headers(1, to("/unread", "POST", ("content-length", str(size))), end=False)
        credit, sent = 65535, 0
        w.s.settimeout(1 * SCALE)
        stalled = False
        while not stalled:
            n = min(credit, 16384)
            if n:
                w.data(1, b"u" * n, end=False)
                credit, sent = credit - n, sent + n
                continue
            try:
                f = w.read()
                if f.type == WINDOW_UPDATE and f.stream == 1:
                    credit += int.from_bytes(f.payload, "big")
            except TimeoutError:
                stalled = True
        assert sent < 24 << 20, "what the kernels of both ends hold, and a window"
        w.s.settimeout(30)
        for stream in (3, 5):
            w.headers(stream, to("/echo", "POST"), end=False)
            w.data(stream, b"x" * 1000)
            assert w.answer(stream).body == b"x" * 1000
        w.rst(1)
    wait_for_reason(lb, "client_cancelled")


def test_uploads_that_wait_stall_no_other(lb, origin):
    """Their windows are shut, that of the connection is not, however many they are."""
    with Wire(lb.port) as w:
        credit = 65535

        def send(stream, data, end):
            nonlocal credit
            for at in range(0, len(data), 15000):
                while credit < 15000:
                    f = w.read()
                    if f.type == WINDOW_UPDATE and f.stream == 0:
                        credit += int.from_bytes(f.payload, "big")
                w.data(stream, data[at : at + 15000], end=end and at + 15000 == len(data))
                credit -= 15000

        fields = to("/hang", "CONNECT", (":protocol", "websocket"), ("sec-websocket-version", "13"))
        waiting = range(1, 101, 2)
        for stream in waiting:  # nobody accepts them
            w.headers(stream, fields, end=False)
            send(stream, b"w" * 60000, end=False)
        w.headers(201, to("/echo", "POST"), end=False)
        send(201, b"x" * 60000, end=True)
        assert w.answer(201).body == b"x" * 60000
        assert not any(w.streams[i].heads or w.streams[i].reset for i in waiting), "none had to give way"


def test_input_of_a_byte_each_is_held_in_little(lb, origin):
    """A window of one-byte frames while nobody takes them costs a window, not a buffer each."""
    with Wire(lb.port) as w:
        fields = to("/socket", "CONNECT", (":protocol", "websocket"), ("sec-websocket-version", "13"))
        w.headers(1, fields, end=False)
        w.send(b"\0\0\x01\0\0\0\0\0\x01z" * 60000)
        s = w.streams[1]
        w.until(lambda: len(s.body) == 60000, "all of it back")
        assert s.status == 200 and s.body == b"z" * 60000


# ---- cancellation ----


def test_a_cancel_reaches_the_backend(lb, origin):
    with Wire(lb.port) as w:
        w.headers(1, to("/hang"))
        wait_until(lambda: len(origin.seen) == 1, "the request")
        w.rst(1)
        wait_until(lambda: origin.gone == ["/hang"], "its end")
        assert w.get(3, "/hello").status == 200
    wait_for_reason(lb, "client_cancelled")


def test_a_cancel_ends_a_download(lb, origin):
    with Wire(lb.port) as w:
        w.headers(1, to("/endless"))
        w.until(lambda: len(w.streams[1].body) > 100000, "some of it")
        w.rst(1)
        wait_until(lambda: origin.gone == ["/endless"], "its end")
        assert w.get(3, "/hello").status == 200


def test_a_closed_connection_cancels_all(lb, origin):
    with Wire(lb.port) as w:
        for stream in (1, 3, 5):
            w.headers(stream, to("/hang"))
        wait_until(lambda: len(origin.seen) == 3, "the requests")
        w.ping()  # nothing is left unread, which would be a reset
    wait_until(lambda: origin.gone == ["/hang"] * 3, "their end")
    wait_for_reason(lb, "client_closed", 3)


# ---- drains, timeouts ----


def test_drain(lb, origin):
    with Wire(lb.port) as w:
        w.headers(1, to("/wait"))
        wait_until(lambda: len(origin.seen) == 1, "the request")
        lb.send(signal.SIGTERM)
        w.until(lambda: w.goaway, "GOAWAY")
        assert w.goaway == (0x7FFFFFFF, NO_ERROR)
        w.until(lambda: w.frames[GOAWAY] == 2, "the real last stream")
        assert w.goaway == (1, NO_ERROR) and not w.closed
        origin.go.set()
        assert w.answer(1).body == b"waited"
        assert w.end() == NO_ERROR
    lb.end()


def test_drain_takes_what_was_on_its_way(start, origin):
    lb = start.poise(conf(origin))
    with Wire(lb.port) as w:
        assert w.get(1, "/hello").status == 200
        lb.send(signal.SIGTERM)
        w.until(lambda: w.goaway, "GOAWAY")
        assert w.end() == NO_ERROR
    lb.end()


def test_idle_connections_are_told(start, origin):
    lb = start.poise(conf(origin, listener={"timeouts": {"idle": "200ms"}}))
    with Wire(lb.port) as w:
        assert w.get(1, "/hello").status == 200
        assert w.end() == NO_ERROR
    assert "ok" in reasons(lb) and len(reasons(lb)) == 1


def test_a_silent_client_is_closed(start, origin):
    lb = start.poise(conf(origin, listener={"timeouts": {"request": "200ms"}}))
    with Wire(lb.port, preface=b"PRI * HT") as w:
        assert w.end() is None


def test_an_upload_that_stops(start, origin):
    lb = start.poise(conf(origin, listener={"timeouts": {"body": "300ms"}}))
    with Wire(lb.port) as w:
        w.headers(1, to("/echo", "POST"), end=False)
        w.data(1, b"begun", end=False)
        s = w.answer(1)
        assert s.status == 408 and s.fields["x-poise-reason"] == "request_timeout"
        assert w.get(3, "/hello").status == 200


def test_requests_under_way_are_listed(start, origin, work):
    path = work / "admin.sock"
    lb = start.poise(conf(origin, admin={"socket": str(path)}))
    with Wire(lb.port) as w:
        for stream in (1, 3, 5):
            w.headers(stream, to(f"/wait?{stream}"))
        wait_until(lambda: len(origin.seen) == 3, "the requests")
        connection = UnixConnection(path)
        connection.request("GET", "/api/v1/sessions")
        seen = json.loads(connection.getresponse().read())
        connection.close()
        assert seen["total"] == 3
        assert {s["target"] for s in seen["sessions"]} == {"/wait?1", "/wait?3", "/wait?5"}
        origin.go.set()
        for stream in (1, 3, 5):
            assert w.answer(stream).body == b"waited"


# ---- WebSocket (RFC 8441) ----

SOCKET = to("/socket", "CONNECT", (":protocol", "websocket"), ("sec-websocket-version", "13"))


def test_websocket(lb, origin):
    with Wire(lb.port) as w:
        w.ping()
        assert w.settings[8] == 1
        w.headers(1, SOCKET, end=False)
        s = w.streams[1]
        w.until(lambda: s.heads, "200")
        assert s.status == 200 and "sec-websocket-accept" not in s.fields and "upgrade" not in s.fields
        for i in range(1, 20):
            w.data(1, b"m%d" % i * 1000, end=False)
        want = b"".join(b"m%d" % i * 1000 for i in range(1, 20))
        w.until(lambda: len(s.body) == len(want), "the echo")
        assert s.body == want
        assert w.get(3, "/hello").status == 200
        w.data(1, b"", end=True)
        w.until(lambda: s.ended or s.reset is not None, "its end")
        assert s.ended and s.reset in (None, NO_ERROR)
    method, _, fields = origin.seen[0]
    assert method == "GET" and fields["upgrade"] == "websocket" and fields["sec-websocket-key"]


@pytest.mark.parametrize("path, status, body", [("/early", 413, b"no"), ("/hello", 502, None)])
def test_websocket_refused_by_the_backend(lb, path, status, body):
    """A 200 of a backend that knows no WebSocket must not look like one that accepts it."""
    fields = to(path, "CONNECT", (":protocol", "websocket"), ("sec-websocket-version", "13"))
    with Wire(lb.port) as w:
        w.headers(1, fields, end=False)
        s = w.answer(1)
        assert s.status == status and s.ended and body in (None, s.body)
        assert w.get(3, "/hello").status == 200


def test_websocket_reset_by_the_client(lb, origin):
    with Wire(lb.port) as w:
        w.headers(1, SOCKET, end=False)
        w.until(lambda: w.streams[1].heads, "200")
        w.rst(1)
        wait_for_reason(lb, "client_cancelled")


# ---- clients of others ----


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not there")
def test_reloads_under_load(start, origin):
    server = start.server("B1")
    settings_ = config(pool([server]))
    lb = start.poise(settings_)
    load = subprocess.Popen(
        ["h2load", "-n", str(30000 // SCALE), "-c", "8", "-m", "16", lb.url + "/hello"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    reloads = 0
    while load.poll() is None:
        reloads += 1
        settings_["pools"][0]["retries"] = {"attempts": 1 + reloads % 3}
        lb.config_path.write_text(json.dumps(settings_))
        lb.send(signal.SIGHUP)
        time.sleep(0.05)
    out = load.communicate()[0]
    assert reloads > 1 and " 0 failed, 0 errored, 0 timeout" in out, out


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not there")
def test_curl(lb, work):
    body = work / "body"
    body.write_bytes(os.urandom(1 << 20))
    words = ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}"]
    run = subprocess.run(
        [*words, "-o", work / "out", "--data-binary", f"@{body}", lb.url + "/echo"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.stdout == "2 200", run
    assert (work / "out").read_bytes() == body.read_bytes()


@pytest.mark.skipif(not shutil.which("nghttp"), reason="nghttp is not there")
def test_nghttp(lb):
    run = subprocess.run(["nghttp", "-ans", lb.url + "/big"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and " 200 " in run.stdout, run
