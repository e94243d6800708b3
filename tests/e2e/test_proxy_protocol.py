# SPDX-License-Identifier: MIT
"""The PROXY protocol: in from proxies that are trusted, out to backends that ask for it."""

import functools
import json
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import certificates
import proxies
import pytest
import web
from admin import Admin
from needs import need
from programs import Held, config, pool, wait_until
from proxies import LOCAL, SOURCE, Keeper, tlv, v1, v2

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
FROM_HERE = {"proxy_protocol_from": ["127.0.0.1"]}


@pytest.fixture
def keeper(closing):
    return functools.partial(closing, Keeper)


def said(port, data, source="127.0.0.1", piece=None):
    """All that is answered to these bytes; with `piece` they are sent so many at a time."""
    with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        try:
            for i in range(0, len(data), piece or len(data)):
                s.sendall(data[i : i + (piece or len(data))])
                if piece:
                    time.sleep(0.001)
            while got := s.recv(65536):
                answer += got
        except (ConnectionResetError, BrokenPipeError):
            pass
        return answer


GET = b"GET /headers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def forwarded_for(answer):
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    lines = [l for l in answer.split(b"\r\n") if l.lower().startswith(b"x-forwarded-for:")]
    assert len(lines) == 1, answer
    return lines[0].split(b": ", 1)[1].decode()


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def reasons(path):
    return [r["reason"] for r in records(path)]


@pytest.fixture
def logged(start, work):
    """A balancer behind trusted proxies, with an access log."""

    def make(listener=None, protocol="http", pools=None, **options):
        path = work / "access.log"
        made = start.poise(
            config(
                pools or pool(start.servers(1)),
                protocol,
                FROM_HERE | (listener or {}),
                access_log={"file": str(path), "format": "json"},
                **options,
            )
        )
        made.access = path
        return made

    return make


# ---- in ----


@pytest.mark.parametrize("piece", [None, 1, 7])
@pytest.mark.parametrize("header", [v1, v2])
def test_the_client_is_who_the_header_says(logged, header, piece):
    poise = logged()
    assert forwarded_for(said(poise.port, header() + GET, piece=piece)) == SOURCE[0]
    six = header(("2001:db8::7", 1), ("::1", 2))
    assert forwarded_for(said(poise.port, six + GET, piece=piece)) == "2001:db8::7"
    wait_until(lambda: len(records(poise.access)) == 2, "both are logged")
    assert {r["client"] for r in records(poise.access)} == {"192.0.2.1:56324", "[2001:db8::7]:1"}


def test_what_follows_the_header_is_not_lost(logged, keeper):
    """Many requests, and a long body, that come in one piece with the header."""
    poise = logged()
    body = bytes(random.Random(1).randbytes(300_000))
    requests = b"GET /headers HTTP/1.1\r\nHost: x\r\n\r\n" * 20
    post = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = said(poise.port, v2(tlvs=tlv(4, b"\0" * 3000)) + requests + post + body)
    assert answer.count(b"HTTP/1.1 200 ") == 21
    assert answer.endswith(body)
    assert answer.count(SOURCE[0].encode()) == 21


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN what ever\r\n",
        v2(None, command=LOCAL),
        v2(command=LOCAL),
        v2(None, tlvs=b"anything"),
        v2(family=0x12),
    ],
)
def test_a_proxy_that_speaks_for_itself(logged, header):
    poise = logged()
    assert forwarded_for(said(poise.port, header + GET)) == "127.0.0.1"


def test_only_the_proxies_named_are_believed(logged):
    poise = logged()
    assert forwarded_for(said(poise.port, GET, "127.0.0.2")) == "127.0.0.2"
    answer = said(poise.port, v1() + GET, "127.0.0.2")
    assert answer.startswith(b"HTTP/1.1 400 ")
    answer = said(poise.port, v2() + GET, "127.0.0.2")
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_trusted_networks_are_those_of_the_client(logged):
    """X-Forwarded-For of a client is believed by its own address, not by the proxy's."""
    poise = logged({"trusted": ["192.0.2.0/24"]})
    get = GET.replace(b"Host", b"X-Forwarded-For: 203.0.113.9\r\nHost")
    assert forwarded_for(said(poise.port, v1() + get)) == f"203.0.113.9, {SOURCE[0]}"
    assert forwarded_for(said(poise.port, v1(("192.0.3.1", 1)) + get)) == "192.0.3.1"
    poise = logged({"trusted": ["127.0.0.0/8"]})
    assert forwarded_for(said(poise.port, v1() + get)) == SOURCE[0]


@pytest.mark.parametrize(
    "sent,reason",
    [
        (GET, "proxy_header_missing"),
        (b"\x16\x03\x01\x02", "proxy_header_missing"),
        (b"PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n" + GET, "proxy_header_missing"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n" + GET, "proxy_header_bad"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n" + GET, "proxy_header_bad"),
        (b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n" + GET, "proxy_header_bad"),
        (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n" + GET, "proxy_header_bad"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + GET, "proxy_header_bad"),
        (b"PROXY " + b"x" * 200, "proxy_header_bad"),
        (v2(command=0x22) + GET, "proxy_header_bad"),
        (v2(command=0x31) + GET, "proxy_header_bad"),
        (v2(family=0x41) + GET, "proxy_header_bad"),
        (v2(family=0x21) + GET, "proxy_header_bad"),
        (v2(tlvs=b"\x02\x00\x05ab") + GET, "proxy_header_bad"),
        (v2(tlvs=tlv(3, b"\0\0\0\0")) + GET, "proxy_header_bad"),
        (v2(tlvs=tlv(4, b"x" * 5000)) + GET, "proxy_header_bad"),
        (v2()[:20], "client_closed"),
        (v1()[:20], "client_closed"),
    ],
)
def test_headers_that_are_refused(logged, sent, reason):
    poise = logged()
    if reason == "client_closed":
        with socket.create_connection(("127.0.0.1", poise.port), 60) as s:
            s.sendall(sent)
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""
    else:
        assert said(poise.port, sent) == b""
    wait_until(lambda: records(poise.access), "it is logged")
    assert reasons(poise.access) == [reason]
    (one,) = records(poise.access)
    assert one["client"].startswith("127.0.0.1:") and one["status"] is None
    assert forwarded_for(said(poise.port, v2() + GET)) == SOURCE[0]


def test_a_connection_that_only_looks_is_no_failure(logged):
    poise = logged()
    for _ in range(3):
        socket.create_connection(("127.0.0.1", poise.port), 60).close()
    said(poise.port, v1() + GET)
    wait_until(lambda: records(poise.access), "the request is logged")
    assert reasons(poise.access) == ["ok"]


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 ", v2()[:27]])
def test_a_header_that_does_not_come_in_time(logged, sent):
    poise = logged({"timeouts": {"handshake": "300ms"}})
    with socket.create_connection(("127.0.0.1", poise.port), 60) as s:
        s.sendall(sent)
        assert s.recv(1) == b""
    said(poise.port, v1() + GET)
    wait_until(lambda: "ok" in reasons(poise.access), "the request is logged")
    assert sorted(reasons(poise.access)) == (["handshake_timeout", "ok"] if sent else ["ok"])


def test_dripping_does_not_gain_time(logged):
    poise = logged({"timeouts": {"handshake": "300ms"}})
    with socket.create_connection(("127.0.0.1", poise.port), 60) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises(OSError):
            for byte in b"PROXY UNKNOWN " + b"x" * 90:
                s.sendall(bytes([byte]))
                time.sleep(0.05)
    wait_until(lambda: reasons(poise.access) == ["handshake_timeout"], "it is closed and logged")


def wait_for_clients(poise, count):
    admin = Admin(poise)
    wait_until(
        lambda: admin.get("/api/v1/listeners")["listeners"][0]["connections"] == count, f"{count} clients are here"
    )


def test_waiting_headers_count_as_connections(logged):
    poise = logged({"max_connections": 2}, admin={"listen": "127.0.0.1:0"})
    waiting = [socket.create_connection(("127.0.0.1", poise.port), 60) for _ in range(2)]
    for s in waiting:
        s.sendall(b"PROXY ")
    wait_for_clients(poise, 2)
    assert said(poise.port, v1() + GET) == b""
    wait_until(lambda: reasons(poise.access) == ["too_many_connections"], "it is refused and logged")
    waiting[0].close()
    wait_until(lambda: said(poise.port, v1() + GET), "there is a place again")
    waiting[1].sendall(v1()[6:] + GET)
    assert waiting[1].recv(100).startswith(b"HTTP/1.1 200 ")
    waiting[1].close()


def test_an_end_in_good_order_waits_for_no_header(logged, keeper):
    """One that has begun may go on; one that says nothing is closed soon."""
    kept = keeper(b"answer")
    pools = pool([("B1", kept.address)], protocol="tcp")
    poise = logged({"timeouts": {"handshake": "1h"}}, "tcp", pools, admin={"listen": "127.0.0.1:0"})
    quiet = socket.create_connection(("127.0.0.1", poise.port), 60)
    begun = socket.create_connection(("127.0.0.1", poise.port), 60)
    begun.sendall(b"PROXY ")
    wait_for_clients(poise, 2)
    ending = threading.Thread(target=poise.end)
    ending.start()
    assert quiet.recv(1) == b""
    begun.sendall(v1()[6:] + GET)
    assert web.receive(begun, 6) == b"answer"
    begun.close()
    quiet.close()
    ending.join()


def test_by_source_address(logged, start):
    """Clients behind one proxy are told apart."""
    poise = logged(pools=pool(start.servers(4), balance="source_hash"))
    def backend(client):
        answer = said(poise.port, v2((client, 1)) + GET)
        return answer.split(b"X-Backend: ")[1][:2]
    first = [backend(f"192.0.2.{i}") for i in range(32)]
    assert len(set(first)) == 4
    assert [backend(f"192.0.2.{i}") for i in range(32)] == first


def test_tcp(logged, keeper):
    kept = keeper(b"answer", wait=False)
    poise = logged(protocol="tcp", pools=pool([("B1", kept.address)], protocol="tcp"))
    data = random.Random(2).randbytes(3_000_000)
    with socket.create_connection(("127.0.0.1", poise.port), 60) as s:
        s.sendall(v2() + data)
        assert web.receive(s, 6) == b"answer"
        wait_until(lambda: len(kept.all[0]) == len(data), "all has arrived")
    assert kept.all[0] == data
    wait_until(lambda: records(poise.access), "it is logged")
    assert records(poise.access)[0]["client"] == "%s:%d" % SOURCE


def test_tcp_header_alone(logged, keeper):
    """A backend that speaks first."""
    kept = keeper(greeting=b"220 hello\r\n")
    poise = logged(protocol="tcp", pools=pool([("B1", kept.address)], protocol="tcp"))
    with socket.create_connection(("127.0.0.1", poise.port), 60) as s:
        s.sendall(v1())
        assert web.receive(s, 11) == b"220 hello\r\n"


def test_tcp_when_no_backend_answers(logged):
    """The bytes that came with the header wait for a second backend."""
    gone = Held()
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = "127.0.0.1:%d" % there.getsockname()[1]
        pools = pool([("B1", gone.address), ("B2", address)], protocol="tcp")
        poise = logged(protocol="tcp", pools=pools)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", poise.port), 60) as s:
                s.sendall(v1() + b"hello")
                s.shutdown(socket.SHUT_WR)
                backend, _ = there.accept()
                with backend:
                    assert web.receive(backend, 5) == b"hello"
                    assert backend.recv(1) == b""
    gone.close()


# ---- out ----


def to_backend(start, kept, version, **options):
    return start.poise(config(pool([("B1", kept.address)], proxy_protocol=version, **options)))


def request(port, times=1):
    """So many requests over one connection; its own address."""
    with web.connect(port) as s:
        for _ in range(times):
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = b""
            while b"\r\n\r\nok" not in head:
                head += web.receive(s, 1)
        return s.getsockname()


def test_version_1_with_the_request(start, keeper):
    kept = keeper(ANSWER)
    poise = to_backend(start, kept, "v1")
    here = request(poise.port)
    expected = v1(here, ("127.0.0.1", poise.port))
    assert kept.first[0].startswith(expected + b"GET / HTTP/1.1\r\n"), kept.first[0]


def test_version_2_with_the_request(start, keeper):
    kept = keeper(ANSWER)
    poise = to_backend(start, kept, "v2")
    here = request(poise.port)
    header, rest = proxies.read_v2(kept.first[0])
    assert header == (0x21, here, ("127.0.0.1", poise.port), {})
    assert rest.startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_connection_is_of_one_client_alone(start, keeper, version):
    kept = keeper(ANSWER)
    poise = to_backend(start, kept, version)
    for _ in range(3):
        request(poise.port, 2)
    assert len(kept.first) == 6
    for data in kept.all:
        assert data.count(b"GET / HTTP/1.1") == 1 and b"\r\nConnection: close\r\n" in data
        assert data.count(b"PROXY ") + data.count(proxies.SIGNATURE) == 1


def test_from_a_unix_socket(start, keeper, work):
    kept = keeper(ANSWER)
    path = work / "s"
    for version in ("v1", "v2"):
        start.poise(
            config(pool([("B1", kept.address)], proxy_protocol=version), listener={"listen": f"unix:{path}{version}"})
        )
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(f"{path}{version}")
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    assert kept.first[0].startswith(b"PROXY UNKNOWN\r\nGET /")
    header, rest = kept.first[1][: 16 + 216], kept.first[1][16 + 216 :]
    assert header == proxies.SIGNATURE + b"\x21\x31\0\xd8" + bytes(216)
    assert rest.startswith(b"GET / HTTP/1.1\r\n")


def test_chained(start, keeper):
    """What one is told it tells the next, and that one its backend."""
    kept = keeper(ANSWER)
    last = start.poise(config(pool([("B1", kept.address)], proxy_protocol="v1"), listener=FROM_HERE))
    front = pool([("B1", f"127.0.0.1:{last.port}")], proxy_protocol="v2")
    first = start.poise(config(front, listener=FROM_HERE))
    with web.connect(first.port) as s:
        s.sendall(v1() + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    assert kept.first[0].startswith(v1() + b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_tcp_out(start, keeper, version):
    kept = keeper(b"x", wait=False)
    poise = start.poise(
        config(pool([("B1", kept.address)], protocol="tcp", proxy_protocol=version), "tcp")
    )
    data = random.Random(3).randbytes(8_000_000)
    with web.connect(poise.port) as s:
        here = s.getsockname()
        assert web.receive(s, 1) == b"x"  # the header does not wait for the client
        s.sendall(data)
        make = {"v1": v1, "v2": v2}[version]
        expected = make(here, ("127.0.0.1", poise.port)) + data
        wait_until(lambda: len(kept.all[0]) == len(expected), "all has arrived")
        assert kept.all[0] == expected


def test_tcp_out_both_ways_in_bulk(start):
    """Long enough in both directions for the kernel to move it."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = "127.0.0.1:%d" % there.getsockname()[1]
        poise = start.poise(config(pool([("B1", address)], protocol="tcp", proxy_protocol="v2"), "tcp"))
        data = random.Random(4).randbytes(1 << 20) * 24
        with web.connect(poise.port) as client:
            backend, _ = there.accept()
            backend.settimeout(60)
            header = web.receive(backend, 28)
            assert proxies.read_v2(header)[0][1] == client.getsockname()
            for sender, receiver in ((client, backend), (backend, client)):
                thread = threading.Thread(target=sender.sendall, args=(data,))
                thread.start()
                assert web.receive(receiver, len(data)) == data
                thread.join()
            backend.close()


@pytest.mark.parametrize("kind", ["tcp", "http"])
@pytest.mark.parametrize("version,header", [("v1", b"PROXY UNKNOWN\r\n"), ("v2", v2(None, command=LOCAL))])
def test_health_checks(start, keeper, version, header, kind):
    kept = keeper(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    start.poise(
        config(
            pool([("B1", kept.address)], proxy_protocol=version, health={"type": kind, "interval": "100ms"})
        )
    )
    wait_until(lambda: len(kept.all) >= 3 and kept.all[0], "checks arrive")
    asked = header + (b"GET / HTTP/1.1\r\n" if kind == "http" else b"")
    assert kept.all[0].startswith(asked)
    assert kind == "http" or kept.all[0] == header


def test_reload_turns_it_on_and_off(start, keeper):
    """Connections that stand belong to all, or to one; each is used as it began."""
    kept = keeper(ANSWER)
    made = config(pool([("B1", kept.address)]))
    poise = start.poise(made)
    request(poise.port, 2)
    assert len(kept.first) == 1
    for count, version in enumerate(("v1", "none"), 1):
        made["pools"][0]["proxy_protocol"] = version
        poise.config_path.write_text(json.dumps(made))
        poise.send(signal.SIGHUP)
        poise.wait_for("reload +done", count)
        request(poise.port, 2)
    introduced = [data for data in kept.all if data.startswith(b"PROXY ")]
    assert len(introduced) == 2 and all(data.count(b"GET / ") == 1 for data in introduced)
    assert b"".join(kept.all).count(b"GET / ") == 6
    assert b"".join(kept.all).count(b"PROXY ") == 2


# ---- together with TLS ----


def tls_of(leaf, **more):
    return {"tls": {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}], **more}}


def over_tls(port, first, request, context, name="a.example.com", piece=None):
    """Bytes in clear, then TLS, as pieces of one stream of bytes; all that is answered."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    answer = b""
    with web.connect(port) as s:

        def send():
            nonlocal first
            data, first = first + outgoing.read(), b""
            for i in range(0, len(data), piece or len(data) or 1):
                s.sendall(data[i : i + (piece or len(data))])
                if piece:
                    time.sleep(0.001)

        def step(call, *words):
            while True:
                try:
                    got = call(*words)
                    send()
                    return got
                except ssl.SSLWantReadError:
                    send()
                    data = s.recv(65536)
                    if data:
                        incoming.write(data)
                    else:
                        incoming.write_eof()

        step(tls.do_handshake)
        step(tls.write, request)
        try:
            while data := step(tls.read, 65536):
                answer += data
        except ssl.SSLZeroReturnError:
            pass
    return answer


def client_context(authority, *protocols, shown=None):
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.set_alpn_protocols(protocols or ["http/1.1"])
    if shown:
        context.load_cert_chain(shown.cert, shown.key)
    return context


@pytest.mark.parametrize("piece", [None, 31])
@pytest.mark.parametrize("header", [v1, v2])
def test_a_header_before_tls(logged, work, header, piece):
    """It may come in one piece with the ClientHello."""
    authority = certificates.ca(work)
    poise = logged(tls_of(authority.leaf(["a.example.com"])))
    context = client_context(authority)
    assert forwarded_for(over_tls(poise.port, header(), GET, context, piece=piece)) == SOURCE[0]
    with pytest.raises((ssl.SSLError, OSError)):
        over_tls(poise.port, b"", GET, context)
    with pytest.raises((ssl.SSLError, OSError)):
        over_tls(poise.port, b"PROXY TCP4 nonsense\r\n", GET, context)
    wait_until(lambda: len(records(poise.access)) == 3, "all are logged")
    assert sorted(reasons(poise.access)) == ["ok", "proxy_header_bad", "proxy_header_missing"]


def test_tls_facts_are_told(start, keeper, work):
    kept = keeper(ANSWER.replace(b"keep-alive", b"close"))
    authority = certificates.ca(work)
    ann = authority.client("ann")
    listener = tls_of(authority.leaf(["a.example.com"]), client_auth="optional", client_ca=str(authority.cert))
    poise = start.poise(config(pool([("B1", kept.address)], proxy_protocol="v2"), listener=listener))
    for shown in (None, ann):
        request = GET.replace(b"Host: x", b"Host: a.example.com")
        assert b" 200 " in over_tls(poise.port, b"", request, client_context(authority, shown=shown))
        (command, source, destination, found), rest = proxies.read_v2(kept.first[-1])
        assert command == 0x21 and rest.startswith(b"GET /headers")
        assert source[0] == "127.0.0.1" and destination == ("127.0.0.1", poise.port)
        assert found[0x01] == b"http/1.1" and found[0x02] == b"a.example.com"
        client, verify = struct.unpack(">BI", found[0x20][:5])
        inner = proxies.read_tlvs(found[0x20][5:])
        assert inner[0x21] == b"TLSv1.3" and inner[0x23].startswith(b"TLS_")
        assert (client, verify == 0, inner.get(0x22)) == ((7, True, b"ann") if shown else (1, False, None))


def test_clients_over_http2_and_tls_are_told_apart(start, keeper, work):
    """Requests of one connection are of one client, yet each goes over a connection of its own."""
    kept = keeper(ANSWER.replace(b"keep-alive", b"close"))
    authority = certificates.ca(work)
    poise = start.poise(
        config(
            pool([("B1", kept.address)], proxy_protocol="v2"), listener=tls_of(authority.leaf(["a.example.com"]))
        )
    )
    url = f"https://a.example.com:{poise.port}/"
    done = subprocess.run(
        ["curl", "-sS", "--http2", "--max-time", "30", "--cacert", str(authority.cert),
         "--connect-to", f"a.example.com:{poise.port}:127.0.0.1:{poise.port}", url, url, url],
        capture_output=True, timeout=60,
    )
    assert done.stdout == b"okokok", done
    heads = [proxies.read_v2(data)[0] for data in kept.first]
    assert len(heads) == 3 and len({h[1] for h in heads}) == 1
    assert all(h[3][0x01] == b"h2" for h in heads)


@pytest.mark.parametrize("words,name", [("send-proxy-v2-ssl", None), ("send-proxy-v2-ssl-cn", b"ann")])
def test_facts_from_haproxy(start, keeper, work, words, name):
    """It ends TLS and says how it was; we tell our backend the same."""
    kept = keeper(ANSWER.replace(b"keep-alive", b"close"))
    authority = certificates.ca(work)
    leaf, ann = authority.leaf(["a.example.com"]), authority.client("ann")
    poise = start.poise(config(pool([("B1", kept.address)], proxy_protocol="v2"), listener=FROM_HERE))
    held = Held()
    haproxy(
        start,
        work,
        f"frontend f\n  bind 127.0.0.1:{held.port} ssl crt {leaf.both} ca-file {authority.cert} verify optional\n"
        "  default_backend b\n"
        f"backend b\n  server s 127.0.0.1:{poise.port} {words}\n",
        held.port,
    )
    answer = over_tls(held.port, b"", GET, client_context(authority, shown=ann))
    assert b" 200 " in answer, answer
    (_, source, destination, found), _ = proxies.read_v2(kept.first[-1])
    assert destination == ("127.0.0.1", held.port)
    client, verify = struct.unpack(">BI", found[0x20][:5])
    inner = proxies.read_tlvs(found[0x20][5:])
    assert inner[0x21] == b"TLSv1.3" and inner.get(0x22) == name
    assert client & 3 == 3 and verify == 0
    held.close()


# ---- with what others wrote ----

NGINX = """
{first} daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 256; }}
{blocks}
"""

PATHS = """client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;"""


def nginx(start, work, blocks, port, first=""):
    binary = need("nginx")
    (work / "nginx.conf").write_text(NGINX.format(work=work, blocks=blocks, first=first))
    program = start.program(
        binary, "-e", work / "nginx.log", "-c", work / "nginx.conf", "-p", work, name="nginx"
    )
    ready(program, port)
    return program


def haproxy(start, work, text, port):
    binary = need("haproxy")
    (work / "haproxy.cfg").write_text(
        "global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 5s\n"
        "  timeout client 30s\n  timeout server 30s\n" + text
    )
    program = start.program(binary, "-db", "-f", work / "haproxy.cfg", name="haproxy")
    ready(program, port)
    return program


def ready(program, port):
    def answers():
        assert program.running(), program.out + program.err
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    wait_until(answers, f"{program.name} listens")


def check_and_ask(start, backend, version, asked):
    """Checks and requests of a backend that answers only what begins with a header. `asked()` counts
    what it has answered."""
    health = {"type": "http", "interval": "100ms"}
    poise = start.poise(config(pool([("B1", backend)], proxy_protocol=version, health=health)))
    wait_until(lambda: asked() >= 3, "it is checked")
    for _ in range(3):
        with web.connect(poise.port) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while data := s.recv(65536):
                answer += data
            assert answer.endswith(b"\r\n\r\n127.0.0.1:%d" % s.getsockname()[1]), answer
    assert "state=down" not in poise.out + poise.err


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_to_nginx(start, work, version):
    held, log = Held(), work / "access.log"
    nginx(
        start,
        work,
        f"http {{ access_log {log}; {PATHS.format(work=work)} server {{"
        f" listen 127.0.0.1:{held.port} proxy_protocol;"
        " location / { return 200 $proxy_protocol_addr:$proxy_protocol_port; } } }",
        held.port,
    )
    check_and_ask(start, held.address, version, lambda: log.read_text().count(" 200 "))
    held.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_to_haproxy(start, work, version):
    held = Held()
    program = haproxy(
        start,
        work,
        f"frontend f\n  bind 127.0.0.1:{held.port} accept-proxy\n  log stdout format raw local0\n"
        "  option httplog\n"
        "  http-request return status 200 content-type text/plain lf-string %ci:%cp\n",
        held.port,
    )
    check_and_ask(start, held.address, version, lambda: program.out.count(" 200 "))
    held.close()


@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_from_haproxy(logged, start, work, words):
    poise = logged()
    held = Held()
    unique = "  unique-id-format %ci-%cp\n" if "unique" in words else ""
    haproxy(
        start,
        work,
        f"frontend f\n  bind 127.0.0.1:{held.port}\n{unique}  default_backend b\n"
        f"backend b\n  server s 127.0.0.1:{poise.port} {words} check inter 200ms source 127.0.0.1\n",
        held.port,
    )
    answer = said(held.port, GET, "127.0.0.9")
    assert forwarded_for(answer) == "127.0.0.9"
    held.close()


def test_from_nginx(logged, start, work):
    poise = logged()
    held = Held()
    binary = need("nginx")
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    if not os.path.exists(module):
        pytest.skip(f"{binary} has no streams")
    nginx(
        start,
        work,
        f"stream {{ server {{ listen 127.0.0.1:{held.port}; proxy_protocol on;"
        f" proxy_pass 127.0.0.1:{poise.port}; }} }}",
        held.port,
        f"load_module {module};",
    )
    assert forwarded_for(said(held.port, GET, "127.0.0.9")) == "127.0.0.9"
    held.close()
