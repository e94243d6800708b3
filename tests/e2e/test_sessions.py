# SPDX-License-Identifier: MIT
"""Exchanges under way and the last that ended, as the admin API lists them."""

import json
import socket
import ssl
import subprocess

import certificates
import h2server
import web
from admin import UnixConnection
from h2wire import Wire
from programs import BINARY, config, pool, wait_until


def sessions(path, query=""):
    return look(path, f"sessions{query}")


def look(path, what):
    c = UnixConnection(path)
    c.request("GET", f"/api/v1/{what}")
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


# ---- how both sides speak ----

NAME = "shop.example.com"


def context(authority, *alpn):
    c = ssl.create_default_context(cafile=str(authority.cert))
    c.set_alpn_protocols(alpn)
    return c


def tls_of(row, key):
    tls = row.get(key)
    return tls and (tls.get("version"), tls.get("cipher", "").split("_")[0], tls.get("sni"))


def test_what_is_spoken_in_clear(start, work):
    """Of both versions of HTTP/1, whatever a backend speaks."""
    lb, path = balancer(start, work, pool(start.servers(1)), "--workers", "1")
    web.get(lb.port)
    with web.connect(lb.port) as s:
        s.sendall(b"GET /old HTTP/1.0\r\n\r\n")
        while s.recv(65536):
            pass
    with Wire(lb.port) as w:
        assert w.get(1, "/hello").status == 200
    rows = sessions(path, "?recent=3")["sessions"]
    assert [r["client_protocol"] for r in rows] == ["HTTP/2", "HTTP/1.0", "HTTP/1.1"]
    assert [r["backend_protocol"] for r in rows] == ["HTTP/1.1"] * 3
    assert not [r for r in rows if "tls" in r or "backend_tls" in r or "grpc_status" in r]


def test_tls_on_both_sides(start, work):
    """What was agreed with each of them, of exchanges under way and of those that ended, and the same for people."""
    authority = certificates.ca(work)
    leaf = authority.leaf([NAME, "127.0.0.1"])
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(leaf.cert, leaf.key)
    inside.set_alpn_protocols(["h2"])
    server = h2server.Server(tls=inside)
    pools = pool([("B1", server.address)], protocol="http2", tls={"ca": str(authority.cert)})
    tls = {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]}
    lb, path = balancer(start, work, pools, "--workers", "1", listener={"tls": tls})
    raw = socket.create_connection(("127.0.0.1", lb.port))
    with Wire(lb.port, sock=context(authority, "h2").wrap_socket(raw, server_hostname=NAME)) as w:
        w.headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", "/wait")])
        wait_until(lambda: any(r.get("backend_tls") for r in sessions(path)["sessions"]), "it is with the backend")
        live = sessions(path)["sessions"]
        server.released.set()
        assert w.answer(1).status == 200
    old = context(authority, "http/1.1")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with old.wrap_socket(socket.create_connection(("127.0.0.1", lb.port)), server_hostname=NAME) as s:
        s.sendall(b"GET /old HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % NAME.encode())
        while s.recv(65536):
            pass
    wait_until(lambda: sessions(path, "?recent=9")["total"] == 2, "both have ended")
    ended = sessions(path, "?recent=2")["sessions"]
    assert [r["client_protocol"] for r in live + ended] == ["HTTP/2", "HTTP/1.1", "HTTP/2"]
    assert [tls_of(r, "tls") for r in live + ended] == [
        ("TLSv1.3", "TLS", NAME), ("TLSv1.2", "TLS", NAME), ("TLSv1.3", "TLS", NAME)]
    assert [tls_of(r, "backend_tls") for r in live + ended] == [("TLSv1.3", "TLS", None)] * 3
    assert [r["backend_protocol"] for r in live + ended] == ["HTTP/2"] * 3
    assert [r["target"] for r in live + ended] == ["/wait", "/old", "/wait"]
    assert look(path, "pools")["pools"][0]["tls"] == {"verify": True}
    said = subprocess.run([str(BINARY), "sessions", "--recent", "--admin", f"unix:{path}"], capture_output=True,
                          text=True, timeout=60, check=True).stdout
    heads, *lines = said.splitlines()
    assert "PROTOCOL" in heads and "UPSTREAM TLS" in heads
    assert any(l.count("TLSv1.3") == 2 and l.count("HTTP/2") == 2 and NAME in l for l in lines), said
    server.close()


def test_tls_that_passes_through(start, work):
    """Only its name is known."""
    routes = [{"match": {"sni": [NAME]}, "pool": "app"}]
    lb, path = balancer(start, work, pool(start.servers(1), protocol="tcp"), protocol="tcp",
                        listener={"routes": routes})
    unsafe = ssl._create_unverified_context()
    s = unsafe.wrap_socket(socket.create_connection(("127.0.0.1", lb.port)), server_hostname=NAME,
                           do_handshake_on_connect=False)
    s.setblocking(False)
    try:
        s.do_handshake()
    except ssl.SSLWantReadError:
        pass
    row = wait_until(lambda: sessions(path)["sessions"] + sessions(path, "?recent=1")["sessions"], "it is listed")[0]
    assert row["client_protocol"] == row["backend_protocol"] == "tcp" and row["tls"] == {"sni": NAME}, row
    s.close()


def test_a_websocket(start, work):
    """A tunnel is called by what it became, also once it has ended; one of another protocol is a tunnel."""

    class Upgrades(h2server.threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
            self.start()

        def run(self):
            for _ in range(2):
                s, _ = self.listener.accept()
                asked = s.recv(65536).decode().lower()
                kind = asked.split("upgrade: ")[1].split("\r")[0].replace("upgrade", "")
                s.sendall(f"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: {kind}\r\n\r\n".encode())
                s.recv(65536)
                s.close()

    server = Upgrades()
    lb, path = balancer(start, work, pool([("B1", server.address)], health={"type": "none"}), "--workers", "1")
    for kind, word in (("websocket", "websocket"), ("other", "tunnel")):
        with web.connect(lb.port) as s:
            s.sendall(f"GET /{kind} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {kind}\r\n\r\n".encode())
            assert s.recv(65536).startswith(b"HTTP/1.1 101")
            live, = sessions(path)["sessions"]
            assert (live["state"], live["client_protocol"], live["backend_protocol"]) == ("tunnel", word, "HTTP/1.1")
        wait_until(lambda: not sessions(path)["sessions"], "it has ended")
        ended = sessions(path, "?recent=1")["sessions"][0]
        assert ended["client_protocol"] == word and ended["protocol"] == "http" and "state" not in ended
