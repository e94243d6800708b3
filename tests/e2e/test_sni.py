# SPDX-License-Identifier: MIT
"""TLS that passes through: TCP listeners route by the name in the ClientHello and end no TLS."""

import json
import os
import socket
import ssl
import struct
import subprocess
import time

import certificates
import pytest
import web
from needs import need
from programs import Held, pool, wait_until
from proxies import SOURCE, v2



class Servers:
    """Two servers with a certificate each, "a.example.com" and "b.example.com", and one for the rest;
    each answers with its name."""

    def __init__(self, start, work):
        self.ca = certificates.ca(work)
        self.addresses, self.held = {}, []
        for name in ("a.example.com", "b.example.com", "other.example.net"):
            leaf = self.ca.leaf([name, "*." + name])
            held = Held()
            conf = work / f"{name}.conf"
            folders = " ".join(
                f"{w}_temp_path {work}/t{i};"
                for i, w in enumerate(["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
            )
            conf.write_text(
                f"daemon off; worker_processes 1; pid {work}/{name}.pid; error_log {work}/{name}.log;"
                f"events {{ worker_connections 256; }} http {{ access_log off; {folders} server {{"
                f" listen {held.address} ssl; ssl_certificate {leaf.cert};"
                f" ssl_certificate_key {leaf.key}; ssl_protocols TLSv1.2 TLSv1.3;"
                f" location / {{ return 200 'this is {name}'; }} }} }}"
            )
            program = start.program(need("nginx"), "-e", work / f"{name}.log", "-c", conf, "-p", work, name=name)

            def listens(held=held, program=program):
                assert program.running(), program.err
                try:
                    socket.create_connection(("127.0.0.1", held.port), 1).close()
                    return True
                except OSError:
                    return False

            wait_until(listens, f"{name} listens")
            self.addresses[name] = held.address
            self.held.append(held)

    def pools(self, names=("a", "b", "other")):
        full = {n.split(".")[0]: n for n in self.addresses}
        return [pool([("B1", self.addresses[full[n]])], name=n, protocol="tcp") for n in names]

    def close(self):
        for h in self.held:
            h.close()


@pytest.fixture
def servers(start, work):
    made = Servers(start, work)
    yield made
    made.close()


ROUTES = [
    {"match": {"sni": ["a.example.com", "*.a.example.com"]}, "pool": "a"},
    {"match": {"sni": "b.example.com"}, "pool": "b"},
]


def balancer(start, work, servers, pool_of_rest="other", **listener):
    made = {"name": "tls", "listen": "127.0.0.1:0", "protocol": "tcp", "routes": ROUTES} | listener
    if pool_of_rest:
        made["pool"] = pool_of_rest
    path = work / "access.log"
    poise = start.poise(
        {
            "listeners": [made],
            "pools": servers.pools(),
            "access_log": {"file": str(path), "format": "json"},
        }
    )
    poise.access = path
    return poise


def ask(servers, port, name, first=b"", **options):
    """A verified TLS connection for that name: what the server answers."""
    context = ssl.create_default_context(cafile=str(servers.ca.cert))
    for key, value in options.items():
        setattr(context, key, value)
    context.check_hostname = name is not None
    with web.connect(port) as plain:
        if first:
            plain.sendall(first)
        with context.wrap_socket(plain, server_hostname=name) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while data := s.recv(65536):
                answer += data
    return answer.partition(b"\r\n\r\n")[2].decode()


def reasons(path):
    return [json.loads(line)["reason"] for line in path.read_text().splitlines()]


def test_by_name(start, work, servers):
    poise = balancer(start, work, servers)
    assert ask(servers, poise.port, "a.example.com") == "this is a.example.com"
    assert ask(servers, poise.port, "B.Example.COM") == "this is b.example.com"
    assert ask(servers, poise.port, "x.a.example.com") == "this is a.example.com"
    assert ask(servers, poise.port, "other.example.net") == "this is other.example.net"
    wait_until(lambda: len(reasons(poise.access)) == 4, "all are logged")
    lines = [json.loads(line) for line in poise.access.read_text().splitlines()]
    assert sorted(l["pool"] for l in lines) == ["a", "a", "b", "other"]


def test_versions(start, work, servers):
    poise = balancer(start, work, servers)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        options = {"maximum_version": version, "minimum_version": version}
        assert ask(servers, poise.port, "b.example.com", **options) == "this is b.example.com"


def test_without_a_name(start, work, servers):
    """Goes where what no route matches goes."""
    poise = balancer(start, work, servers)
    context = ssl.create_default_context(cafile=str(servers.ca.cert))
    context.check_hostname = False
    with web.connect(poise.port) as plain, context.wrap_socket(plain) as s:
        names = [v for k, v in s.getpeercert()["subjectAltName"]]
    assert "other.example.net" in names


def test_no_route(start, work, servers):
    poise = balancer(start, work, servers, pool_of_rest=None)
    with pytest.raises((ssl.SSLError, OSError)):
        ask(servers, poise.port, "c.example.com")
    assert ask(servers, poise.port, "a.example.com") == "this is a.example.com"
    wait_until(lambda: sorted(reasons(poise.access)) == ["no_route", "ok"], "both are logged")


def hello(name="a.example.com"):
    """A ClientHello as Python's TLS makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


@pytest.mark.parametrize("how", ["whole", "bytes", "records"])
def test_a_hello_in_pieces(start, work, servers, how):
    """The server sees each byte that the client sent, however it came."""
    poise = balancer(start, work, servers)
    whole = hello("b.example.com")
    pieces = {"whole": [whole], "bytes": [bytes([b]) for b in whole]}
    message = whole[5:]
    records = [message[:3], message[3:90], message[90:]]
    pieces["records"] = [b"\x16\x03\x01" + struct.pack(">H", len(r)) + r for r in records]
    with web.connect(poise.port) as s:
        for piece in pieces[how]:
            s.sendall(piece)
            if how != "whole":
                time.sleep(0.001)
        answer = web.receive(s, 6)
    assert answer[0] == 22 and answer[5] == 2, answer  # a ServerHello
    wait_until(lambda: reasons(poise.access), "it is logged")
    assert json.loads(poise.access.read_text())["pool"] == "b"


@pytest.mark.parametrize(
    "sent,reason",
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_tls"),
        (b"\x16\x03\x01\x00\x00", "client_hello_bad"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "not_tls"),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", "client_hello_bad"),
        (hello()[:-1] + b"", "client_closed"),
        (hello("a.example.com").replace(b"a.example.com", b"a.ex\0mple.com"), "client_hello_bad"),
        (b"".join(b"\x16\x03\x01\x00\x01" + bytes([b]) for b in hello()[5:]), "client_hello_bad"),
    ],
)
def test_what_is_no_hello(start, work, servers, sent, reason):
    poise = balancer(start, work, servers)
    with web.connect(poise.port) as s:
        try:
            s.sendall(sent)
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    wait_until(lambda: reasons(poise.access), "it is logged")
    assert reasons(poise.access) == [reason]
    assert ask(servers, poise.port, "a.example.com") == "this is a.example.com"


def test_too_slow(start, work, servers):
    poise = balancer(start, work, servers, timeouts={"handshake": "300ms"})
    with web.connect(poise.port) as s:
        s.sendall(hello()[:100])
        assert s.recv(1) == b""
    wait_until(lambda: reasons(poise.access) == ["handshake_timeout"], "it is logged")


def test_behind_a_proxy(start, work, servers):
    """First the PROXY header, then the hello."""
    poise = balancer(start, work, servers, proxy_protocol_from=["127.0.0.1"])
    assert ask(servers, poise.port, "b.example.com", v2()) == "this is b.example.com"
    wait_until(lambda: reasons(poise.access), "it is logged")
    one = json.loads(poise.access.read_text())
    assert one["client"] == "%s:%d" % SOURCE and one["pool"] == "b"


def test_where_tls_ends_here(start, work):
    """The name of the handshake decides as well, and of the bytes in it nothing is looked at."""
    authority = certificates.ca(work)
    leaf = authority.leaf(["a.example.com", "b.example.com", "c.example.com"])
    listener = {
        "name": "tls",
        "listen": "127.0.0.1:0",
        "protocol": "tcp",
        "tls": {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]},
        "routes": ROUTES,
    }
    pools = [pool([start.server(n.upper())], name=n, protocol="tcp") for n in ("a", "b")]
    poise = start.poise({"listeners": [listener], "pools": pools})
    context = ssl.create_default_context(cafile=str(authority.cert))
    for name, expected in (("a.example.com", b"A"), ("b.example.com", b"B"), ("c.example.com", None)):
        with web.connect(poise.port) as plain, context.wrap_socket(plain, server_hostname=name) as s:
            try:
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = s.recv(65536)
            except OSError:
                answer = b""
            assert (b"Hello from " + expected in answer) if expected else answer == b""


def test_a_session_is_resumed(start, work, servers):
    """Tickets of the server go through us unseen."""
    poise = balancer(start, work, servers)
    out = subprocess.run(
        [
            need("openssl"), "s_client", "-connect", f"127.0.0.1:{poise.port}", "-tls1_2",
            "-servername", "a.example.com", "-CAfile", str(servers.ca.cert), "-reconnect",
        ],
        input="", capture_output=True, text=True, timeout=60,
    ).stdout
    assert out.count("\nReused, TLSv1.2") == 5, out


def test_large_bodies(start, work, servers):
    """Over openssl's own server, in both directions."""
    leaf = servers.ca.leaf(["big.example.com"])
    (work / "big").write_bytes(os.urandom(1 << 20) * 8)
    held = Held()
    server = start.program(
        need("openssl"), "s_server", "-accept", held.address, "-cert", leaf.cert, "-key", leaf.key, "-WWW",
        "-quiet", cwd=work, name="s_server",
    )
    made = {
        "name": "tls", "listen": "127.0.0.1:0", "protocol": "tcp",
        "routes": [{"match": {"sni": "big.example.com"}, "pool": "big"}],
    }
    poise = start.poise(
        {"listeners": [made], "pools": [pool([("B1", held.address)], name="big", protocol="tcp", retries={"attempts": 5})]}
    )

    def fetch():
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "50", "--cacert", servers.ca.cert, "--http1.0",
             "--connect-to", f"big.example.com:443:127.0.0.1:{poise.port}", "https://big.example.com/big"],
            capture_output=True, timeout=60,
        )
        assert server.running(), server.err
        return done.stdout if done.returncode == 0 else None

    assert wait_until(fetch, "the file arrives") == (work / "big").read_bytes()
    held.close()
