# SPDX-License-Identifier: MIT
"""The admin server as its friends and its enemies meet it."""

import base64
import hashlib
import json
import os
import random
import re
import resource
import signal
import socket
import stat
import threading
import time

import admin
import pytest
import web
from admin import TOKEN, Admin, Events
from programs import SCALE, Held, config, pool, wait_until

CHANGE = ("PATCH", "/api/v1/pools/app/backends/B1", '{"weight": 1}')
REFUSED = (401, 403)


@pytest.fixture
def served(start, work):
    """A balancer with two backends, and its admin server by address and by socket."""
    path = work / "run" / "admin.sock"
    options = admin.config(socket=str(path))
    poise = start.poise(config(pool(start.servers(2)), admin=options))
    return poise, Admin(poise), Admin(poise, path)


def test_what_there_is(served):
    poise, address, unix = served
    for a in (address, unix):
        status = a.get("/api/v1/status")
        assert status["state"] == "serving" and status["engine_pid"] == poise.engine_pid
        assert status["backends"] == {"total": 2, "up": 2}
        assert [p["name"] for p in a.get("/api/v1/pools")["pools"]] == ["app"]
        assert a.get("/api/v1/pools/app/backends")["backends"][0]["state"] == "up"
        assert a.get("/api/v1/listeners")["listeners"][0]["pool"] == "app"
        assert TOKEN not in json.dumps(a.get("/api/v1/config"))
        assert a.ask("GET", "/health").body == b"ok\n"
        assert b"poise_build_info" in a.ask("GET", "/metrics").body
        assert a.error(404, "GET", "/api/v1/pools/ap") == {
            "reason": "not_found",
            "message": "there is no pool 'ap'; did you mean 'app'?",
            "field": "pool",
        }
        head = a.ask("HEAD", "/api/v1/status")
        assert head.status == 200 and int(head.headers["Content-Length"]) > 0 and not head.body


def test_a_change_needs_the_token(served):
    _, address, unix = served
    assert address.error(401, *CHANGE)["reason"] == "token_needed"
    for wrong in ("wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
        assert address.ask(*CHANGE, token=wrong).status == 401
    basic = base64.b64encode(f":{TOKEN}".encode()).decode()
    assert address.ask(*CHANGE, headers={"Authorization": f"Basic {basic}"}).status == 401
    assert address.ask(*CHANGE, token=TOKEN).status not in REFUSED
    assert unix.ask(*CHANGE).status not in REFUSED
    assert address.ask("POST", "/api/v1/stop").status == 401
    assert address.get("/api/v1/status")["state"] == "serving"


def test_without_a_configured_token_the_address_changes_nothing(start, work):
    path = work / "a.sock"
    options = {"listen": "127.0.0.1:0", "socket": str(path)}
    poise = start.poise(config(pool([("B1", "127.0.0.1:9")]), admin=options))
    assert Admin(poise).error(403, *CHANGE, token=TOKEN)["reason"] == "forbidden"
    assert Admin(poise, path).ask(*CHANGE).status not in REFUSED


def test_pages_of_other_sites_are_refused(served):
    _, address, unix = served
    own = f"http://127.0.0.1:{address.port}"
    foreign = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": own, "Sec-Fetch-Site": "cross-site"},
        {"Origin": f"http://127.0.0.1:{address.port + 1}", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ]
    for fields in foreign:
        for a in (address, unix):
            assert a.error(403, *CHANGE, token=TOKEN, headers=fields)["reason"] == "forbidden"
            assert a.ask("GET", "/api/v1/status", headers=fields).status == 403, fields
            assert a.ask("OPTIONS", CHANGE[1], headers=fields).status in (403, 405)
    kept = address.ask("OPTIONS", CHANGE[1], headers={"Origin": own})
    assert not [name for name in kept.headers if name.lower().startswith("access-control")]
    same = {"Origin": own, "Sec-Fetch-Site": "same-origin"}
    assert address.ask(*CHANGE, token=TOKEN, headers=same).status not in REFUSED
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert address.ask("GET", "/", headers=link).status == 200
    assert address.ask("GET", "/api/v1/config", headers=link).status == 403


def test_a_name_that_leads_here_is_refused(served):
    _, address, _ = served
    for host in ("evil.example", f"evil.example:{address.port}", "127.0.0.1.evil.example", "*"):
        assert address.ask("GET", "/api/v1/status", headers={"Host": host}).status in (400, 403)
        assert address.ask(*CHANGE, token=TOKEN, headers={"Host": host}).status in (400, 403)
    for host in ("localhost", "LOCALHOST:1", "[::1]", "127.0.0.1:9900", "10.0.0.1"):
        assert address.ask("GET", "/health", headers={"Host": host}).status == 200


def answers(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def test_the_socket_is_its_owners(start, work):
    path = work / "made" / "admin.sock"
    os.umask(0)  # whatever the starter's is
    poise = start.poise(config(pool([("B1", "127.0.0.1:9")]), admin={"socket": str(path)}))
    os.umask(0o022)
    assert "Admin at" not in poise.out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Admin(poise, path).ask("GET", "/health").status == 200
    poise.process.kill()
    poise.wait()
    poise.ended = True
    assert path.exists()
    wait_until(lambda: not answers(path), "the kernel has closed the socket")
    again = start.poise(config(pool([("B1", "127.0.0.1:9")]), admin={"socket": str(path)}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.end()
    assert not path.exists()


def test_what_cannot_be_opened_is_an_error_at_start(start, work):
    held = Held()
    held.socket.listen()
    plain = config(pool([("B1", "127.0.0.1:9")]))
    cases = [
        {"listen": held.address},
        {"socket": str(work / "a" / "b" / "c.sock")},
        {"listen": "192.0.2.1:1"},
    ]
    for n, options in enumerate(cases):
        path = work / f"bad{n}.yaml"
        path.write_text(json.dumps(plain | {"admin": options}))
        failed = start.program(os.environ.get("POISE", "build/poise"), "run", "-c", path)
        assert failed.wait() == 4, failed.err
        assert "admin: cannot listen on" in failed.err, failed.err
    held.close()


def test_words_of_the_command_line(start, work):
    path = work / "words.sock"
    binary = os.environ.get("POISE", "build/poise")
    words = ["run", "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:9"]
    for where, pattern in ((f"unix:{path}", r"socket=\S+words.sock"), ("127.0.0.1:0", admin.ADDRESS)):
        poise = start.program(binary, *words, "--admin", where)
        poise.wait_for(pattern)
        a = Admin(poise, path if where.startswith("unix:") else None)
        assert a.get("/api/v1/status")["config"] == "command line"
        poise.end()


def test_the_page(served):
    _, address, _ = served
    page = address.ask("GET", "/")
    policy = page.headers["Content-Security-Policy"]
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert re.match(r"default-src '(self|none)'", policy) and "unsafe" not in policy
    for kind in (b"style", b"script"):
        for text in re.findall(rb"<%s[^>]*>(.*?)</%s>" % (kind, kind), page.body, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
            assert f"'sha256-{digest}'" in policy, kind
    etag = page.headers["ETag"]
    if etag:
        assert address.ask("GET", "/", headers={"If-None-Match": etag}).status == 304


def test_bodies_that_are_too_large(served):
    _, address, unix = served
    for a in (address, unix):
        assert a.ask(*CHANGE[:2], body="x" * 65536, token=TOKEN).status == 400
        s = a.connect()
        head = f"{CHANGE[0]} {CHANGE[1]} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        s.sendall(head.encode() + b"Content-Length: 65537\r\n\r\n")
        assert b" 413 " in s.recv(64)
        s.close()
        s = a.connect()
        s.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            s.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        assert b" 413 " in s.recv(64)
        s.close()
        s = a.connect()
        s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000)
        assert b" 431 " in s.recv(64)
        s.close()


def test_pipelined_requests_are_answered_in_order(served):
    _, address, unix = served
    count = 300
    for a in (address, unix):
        s = a.connect()
        paths = ["/health", "/api/v1/nothing"]
        text = b"".join(
            f"GET {paths[i % 2]}{i if i % 2 else ''} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            for i in range(count)
        )
        sender = threading.Thread(target=s.sendall, args=(text,))
        sender.start()
        f = s.makefile("rb")
        for i in range(count):
            status = f.readline()
            assert (b" 200 " in status) == (i % 2 == 0), (i, status)
            length = 0
            for line in iter(f.readline, b"\r\n"):
                if line.startswith(b"Content-Length:"):
                    length = int(line.split()[1])
            f.read(length)
        sender.join()
        s.close()


def test_expect_continue_and_chunks(served):
    _, address, _ = served
    s = address.connect()
    s.sendall(
        f"PATCH /api/v1/pools/app/backends/B1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    assert web.receive(s, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    s.sendall(b'5\r\n{"wei\r\n6\r\nght": \r\n5\r\n"x"} \r\n0\r\n\r\n')
    assert b" 400 Bad Request" in s.recv(1000)
    s.close()


def test_events(start, served):
    poise, address, unix = served
    readers = [Events(address), Events(unix)]
    for r in readers:
        kind, status = r.next()
        assert kind == "hello" and status["engine_pid"] == poise.engine_pid
        tick = r.wait("tick")
        assert set(tick) == {"status", "listeners", "pools"}
        assert [b["name"] for b in tick["pools"][0]["backends"]] == ["B1", "B2"]
    poise.send(signal.SIGUSR1)
    for r in readers:
        line = r.wait("log", lambda d: d["area"] == "engine")
        assert line["message"] == "log files reopened" and line["level"] == "info"
        r.close()


def test_health_is_told(start, work):
    backends = start.servers(2)
    health = {"type": "tcp", "interval": "50ms", "timeout": "50ms"}
    poise = start.poise(config(pool(backends, health=health), admin=admin.config()))
    a = Admin(poise)
    events = Events(a)
    backends[1].kill()
    told = events.wait("health")
    assert (told["pool"], told["backend"], told["state"]) == ("app", "B2", "down")
    assert told["reason"] == "connect_refused" and told["reason_text"]
    b = a.get("/api/v1/pools/app/backends/B2")
    assert (b["state"], b["reason"]) == ("down", "connect_refused") and b["since"]
    check = b["last_check"]
    assert (check["ok"], check["reason"]) == (False, "connect_refused") and check["at"], check
    path = "/api/v1/pools/app/backends/B1"
    wait_until(lambda: a.get(path).get("last_check", {}).get("ok"), "B1 has been checked")
    start.again(backends[1])
    assert events.wait("health", lambda d: d["state"] == "up")["backend"] == "B2"
    assert "reason" not in a.get("/api/v1/pools/app/backends/B2")
    events.close()


def test_log_lines_keep_their_values(start, work):
    health = {"type": "tcp", "interval": "50ms", "timeout": "50ms"}
    server = start.server("B1")
    poise = start.poise(config(pool([server], health=health), admin=admin.config()))
    events = Events(Admin(poise))
    server.kill()
    line = events.wait("log", lambda d: d["area"] == "health")
    assert line["fields"]["pool"] == "app" and line["fields"]["state"] == "down"
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z$", line["at"])
    events.close()


def test_readers_of_events_are_limited(served):
    poise, address, unix = served
    readers = [Events(address if i % 2 else unix) for i in range(16)]
    assert all(r.status == 200 for r in readers)
    assert address.error(429, "GET", "/api/v1/events")["reason"] == "too_many"
    readers.pop().close()
    wait_until(lambda: address.ask("HEAD", "/api/v1/events").status == 200, "a place is free")
    for r in readers:
        r.close()
    assert poise.running()


def test_a_reader_that_does_not_read_is_closed(start):
    many = [(f"B{i}", f"127.0.0.1:{i + 1}") for i in range(3000)]
    poise = start.poise(config(pool(many), admin=admin.config()))
    a = Admin(poise)
    s = a.connect()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    other = Events(a)
    ticks = [other.wait("tick") for _ in range(3)]
    assert len(ticks[0]["pools"][0]["backends"]) == 1000
    assert len(a.get("/api/v1/pools/app/backends")["backends"]) == 3000

    def gone():
        """The reader that reads sees that there is one connection less than before."""
        other.wait("tick")
        return len(descriptors(poise)) < before

    before = len(descriptors(poise))
    wait_until(gone, "the reader is closed", 60)
    other.close()
    s.close()


def descriptors(poise):
    names = []
    for fd in os.listdir(f"/proc/{poise.engine_pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{poise.engine_pid}/fd/{fd}"))
        except OSError:
            pass
    return [n for n in names if n.startswith("socket:")]


def test_connections_are_limited_and_the_quietest_gives_way(served):
    poise, address, unix = served
    before = len(descriptors(poise))
    held = []
    for i in range(200):
        held.append(address.connect())
        if i % 50 == 49:
            assert address.ask("GET", "/health").status == 200
            assert unix.ask("GET", "/health").status == 200
    assert len(descriptors(poise)) - before <= 64
    for s in held:
        s.close()
    wait_until(lambda: len(descriptors(poise)) <= before, "all are closed")


def test_slow_heads_do_not_keep_others_out(served):
    _, address, unix = served
    slow = [address.connect() for _ in range(48)]
    for s in slow:
        s.sendall(b"GET /health HT")
    began = time.monotonic()
    assert unix.ask("GET", "/health").status == 200

    def answered():
        try:
            return address.ask("GET", "/health").status == 200
        except OSError:
            return False

    wait_until(answered, "a slow one gives way", 5)
    assert time.monotonic() - began < 9 * SCALE
    # Each that is left is told that it took too long, although its bytes drip.
    for drip in (b"T", b"P"):
        time.sleep(1)
        for s in slow:
            try:
                s.sendall(drip)
            except OSError:
                pass  # it has given way
    told = 0
    for s in slow:
        s.settimeout(30 * SCALE)
        try:
            told += b" 408 " in s.recv(100)
        except OSError:
            pass
        s.close()
    assert told >= 40, told


def garbage(rng):
    """A request that is wrong in one way or in many."""
    methods = ["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "TRACE", "get", "", "G\0T"]
    paths = [
        "/api/v1/stop",
        "/api/v1/reload",
        "/api/v1/pools/app/backends/B1",
        "/api/v1/pools/app/backends",
        "/api/v1/pools/%2e%2e/%2e%2e/stop",
        "/../../etc/passwd",
        "/api/v1/pools/" + "a" * rng.randrange(3000),
        "http://localhost/api/v1/stop",
        "*",
        "/api/v1/sessions?recent=" + str(rng.randrange(-9, 99999)),
        "/\xff\xfe",
    ]
    bodies = [
        '{"weight": 0}',
        '{"state": "disabled"}',
        '{"now": true}',
        "[" * rng.randrange(5000),
        '{"a":' * rng.randrange(2000),
        "{" + ",".join(f'"k{i}":{i}' for i in range(rng.randrange(300))) + "}",
        '{"weight": 1e' + "9" * rng.randrange(3000) + "}",
        '{"weight": ' + "9" * rng.randrange(3000) + "}",
        '{"state": "\\ud800\\u0000"}',
        "\0" * rng.randrange(100),
    ]
    fields = [
        "Host: localhost",
        "Host: evil.example",
        "Authorization: Bearer wrong",
        "Authorization: Bearer " + TOKEN[:-1],
        "Authorization: Bearer",
        "Origin: http://evil.example",
        "Transfer-Encoding: chunked",
        "Content-Length: 5",
        "Content-Length: 99999999999999999999",
        "Expect: 100-continue",
        "Connection: close",
        "X" * rng.randrange(1, 300) + ": y",
        " folded",
        "bad field",
        "Cookie: " + "z" * rng.randrange(9000),
    ]
    body = rng.choice(bodies)
    lines = [f"{rng.choice(methods)} {rng.choice(paths)} HTTP/1.{rng.choice('0119x')}"]
    lines += ["Host: localhost"] * (rng.random() < 0.8)
    lines += [rng.choice(fields) for _ in range(rng.randrange(4))]
    lines += [f"Content-Length: {len(body)}"] * (rng.random() < 0.7)
    text = bytearray(("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1", "replace"))
    for _ in range(rng.choice([0, 0, 1, 3, 20])):
        if text:
            text[rng.randrange(len(text))] = rng.randrange(256)
    if rng.random() < 0.1:
        del text[rng.randrange(len(text) + 1) :]
    return bytes(text)


def drop(s, rng):
    """Leaves as clients leave: at an answer, at once, or with a reset."""
    how = rng.random()
    try:
        if how < 0.7:
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        elif how < 0.85:
            web.reset(s)
            return
    except OSError:
        pass
    s.close()


def test_ten_thousand_malformed_requests(served):
    poise, address, unix = served
    before = address.get("/api/v1/pools")
    rng = random.Random(20261121)
    for i in range(10000):
        while True:
            try:
                s = address.connect(30 * SCALE)
                break
            except OSError:  # the server is busy closing the ones of before
                time.sleep(0.01)
        try:
            for _ in range(rng.choice([1, 1, 1, 3])):
                s.sendall(garbage(rng))
        except OSError:
            pass
        drop(s, rng)
        if i % 1000 == 0:
            assert poise.running()
            assert unix.ask("GET", "/health").status == 200
    after = address.get("/api/v1/pools")
    for a, b in zip(before["pools"][0]["backends"], after["pools"][0]["backends"], strict=True):
        assert [a[k] for k in ("name", "weight", "state")] == [b[k] for k in ("name", "weight", "state")]
    assert address.get("/api/v1/status")["state"] == "serving"


def flood(a, stopping, kind):
    rng = random.Random(kind)
    while not stopping.is_set():
        try:
            s = a.connect(5)
            if kind % 3 == 0:
                s.sendall(b"GET /api/v1/pools HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500)
                s.settimeout(0.2)
                while not stopping.is_set() and s.recv(65536):
                    pass
            elif kind % 3 == 1:
                s.sendall(garbage(rng))
            s.close()
        except OSError:
            pass


def test_a_flood_does_not_touch_traffic(served):
    poise, address, unix = served
    stopping = threading.Event()
    threads = [threading.Thread(target=flood, args=(address, stopping, k)) for k in range(9)]
    load = web.Load(poise.port, 4)
    wait_until(lambda: load.count() > 100, "traffic runs")
    for t in threads:
        t.start()
    for _ in range(20):
        time.sleep(0.1)
        assert unix.ask("GET", "/health").status == 200  # its owner still gets in
    during = load.count()
    wait_until(lambda: load.count() > during + 500, "traffic still runs", 60)
    stopping.set()
    for t in threads:
        t.join()
    load.stop()
    assert not load.errors, load.errors[:3]
    assert set(load.answers) == {200}, load.answers
    assert address.get("/api/v1/status")["state"] == "serving"


def test_it_answers_when_descriptors_are_short(start, work):
    path = work / "a.sock"
    options = admin.config(socket=str(path))
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))  # noqa: E731
    poise = start.poise(config(pool(start.servers(1)), admin=options), preexec_fn=limit)
    a, unix = Admin(poise), Admin(poise, path)
    held = [web.connect(poise.port) for _ in range(400)]
    for s in held:
        s.sendall(b"GET / HTTP/1.1\r\n")
    wait_until(lambda: a.get("/api/v1/status")["clients"] > 50, "it has taken what it may")
    for _ in range(3):
        assert a.get("/api/v1/status")["clients"] > 50
        assert unix.ask("GET", "/health").status == 200
    for s in held:
        s.close()
    wait_until(lambda: a.get("/api/v1/status")["clients"] == 0, "all clients are gone")
    assert web.get(poise.port).status == 200


def test_changes_of_members(start, served):
    poise, address, unix = served
    third = start.server("B3")
    events = Events(address)
    events.wait("hello")
    base = "/api/v1/pools/app/backends"
    added = unix.ask("POST", base, {"name": "B3", "address": third.address, "weight": 2})
    assert added.status == 201 and json.loads(added.body)["weight"] == 2, added
    assert unix.error(409, "POST", base, {"name": "B3", "address": third.address})["reason"] == "conflict"
    assert unix.error(400, "POST", base, {"name": "B4", "address": "nonsense"})["field"] == "address"
    for text, name in (("[0:0::1]:9", "[::1]:9"), ("unix:/no/such", "unix:/no/such")):
        unnamed = unix.ask("POST", base, {"address": text, "weight": 0})
        assert unnamed.status == 201 and json.loads(unnamed.body)["name"] == name, unnamed
        assert unix.ask("DELETE", f"{base}/{name}").status == 200
    change = events.wait("change")
    assert (change["what"], change["change"]) == ("backend", "added") and "B3" in change["name"]
    seen = {web.get(poise.port).body for _ in range(20)}
    assert len(seen) == 3, seen
    for name in ("B1", "B2"):
        drained = address.ask("PATCH", f"{base}/{name}", {"state": "drain"}, token=TOKEN)
        b = json.loads(drained.body)
        assert drained.status == 200 and b["admin_state"] == "drain", b
        assert b["state"] in ("draining", "drained"), b
    wait_until(lambda: {web.get(poise.port).body for _ in range(9)} == {b"Hello from B3"}, "B3 alone")
    told = events.wait("health", lambda d: d["backend"] == "B2")
    assert told["admin_state"] == "drain"
    ready = unix.ask("PATCH", f"{base}/B1", {"state": "ready", "weight": 7})
    b = json.loads(ready.body)
    assert (b["admin_state"], b["weight"]) == ("ready", 7), b
    assert unix.ask("DELETE", f"{base}/B3").status == 200
    wait_until(lambda: len(address.get(base)["backends"]) == 2, "B3 has gone")
    assert address.ask("GET", f"{base}/B3").status == 404
    events.close()


def test_thousands_of_changes_on_one_connection(start, served):
    poise, _, unix = served
    load = web.Load(poise.port, 4)
    connection = unix.connection()
    for i in range(2000):
        connection.request("PATCH", "/api/v1/pools/app/backends/B1", body=f'{{"weight": {1 + i % 3}}}')
        response = connection.getresponse()
        response.read()
        assert response.status == 200
    connection.close()
    load.stop()
    assert not load.errors and set(load.answers) == {200}, (load.errors[:3], load.answers)


def test_stop(start, served):
    poise, address, unix = served
    held = web.connect(poise.port)
    held.sendall(b"GET /delay/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_until(lambda: address.get("/api/v1/status")["in_flight"] == 1, "a request runs")
    answer = address.ask("POST", "/api/v1/stop", token=TOKEN)
    assert json.loads(answer.body)["ok"] is True
    assert unix.ask("GET", "/health").status == 503
    assert address.get("/api/v1/status")["state"] == "draining"
    unix.ask("POST", "/api/v1/stop", {"now": True})
    poise.ended = True
    assert poise.wait() == 0, poise.err
    held.close()


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_large_answers_are_rationed_on_any_connection(start, connection):
    """So many bytes a second: whoever takes a new connection for each answer gets no more of them."""
    backends = [f"127.0.1.{i // 200 + 1}:{1000 + i}" for i in range(3000)]
    one = {"name": "app", "health": {"type": "none"}, "backends": backends}
    poise = start.poise(config(one, admin={"listen": "127.0.0.1:0"}))
    admin, taken = Admin(poise), 0
    began = time.monotonic()
    kept = admin.connection()
    while time.monotonic() - began < 2:
        c = kept if connection == "keep-alive" else admin.connection()
        c.request("GET", "/api/v1/pools", headers={"Connection": connection})
        taken += len(c.getresponse().read())
        if c is not kept:
            c.close()
    kept.close()
    seconds = time.monotonic() - began
    assert 0 < taken < (1 + seconds) * 4096 * 4096 * 1.5


def test_questions_about_many_backends_are_rationed(start):
    """Anybody may ask, and an answer looks at every backend on the thread that also checks their health."""
    count = 20000
    backends = [f"127.1.{i // 200}.{i % 200 + 1}:1000" for i in range(count)]
    poise = start.poise(
        config({"name": "app", "health": {"type": "none"}, "backends": backends}, admin={"listen": "127.0.0.1:0"})
    )
    admin, asked = Admin(poise), 0
    began = time.monotonic()
    while time.monotonic() - began < 2:
        assert admin.ask("POST", "/api/v1/explain", {"request": "GET /"}).status == 200
        asked += 1
    seconds = time.monotonic() - began
    assert asked <= 2 + (1 + seconds) * 4096 / (count * 512 / 4096)
