# SPDX-License-Identifier: MIT
"""TLS to backends: who they are is verified unless that is switched off, sessions are resumed."""

import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import certificates
import memory
import pytest
import web
from needs import need
from programs import BINARY, Held, config, pool, wait_until

BODY = bytes(range(256)) * 4096


@pytest.fixture
def backend(start, work):
    """An nginx that answers with what it knows of the connection."""
    held = []

    def make(leaf, more="", listen="ssl", name="B1", protocols="TLSv1.2 TLSv1.3"):
        port = Held()
        held.append(port)
        folders = " ".join(
            f"{w}_temp_path {work}/t{i}-{name};"
            for i, w in enumerate(["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
        )
        files = work / "files"
        files.mkdir(exist_ok=True)
        (files / "large").write_bytes(BODY * 8)
        files.chmod(0o755)
        conf = work / f"{name}.conf"
        conf.write_text(
            f"daemon off; worker_processes 1; pid {work}/{name}.pid; error_log {work}/{name}.log;\n"
            f"events {{ worker_connections 256; }}\n"
            f"http {{ access_log off; {folders} client_max_body_size 100m;\n"
            f" server {{ listen {port.address} {listen}; ssl_protocols {protocols};\n"
            f"  ssl_certificate {leaf.cert}; ssl_certificate_key {leaf.key};\n"
            f"  ssl_session_cache shared:s:1m; {more}\n"
            "  location / { return 200 'reused=$ssl_session_reused name=$ssl_server_name"
            " client=$ssl_client_s_dn protocol=$ssl_protocol proxied=$proxy_protocol_addr'; }\n"
            f"  location /files/ {{ alias {files}/; }}\n"
            " }\n}\n"
        )
        program = start.program(need("nginx"), "-e", work / f"{name}.log", "-c", conf, "-p", work, name=name)

        def listens():
            assert program.running(), program.err
            try:
                socket.create_connection(("127.0.0.1", port.port), 1).close()
                return True
            except OSError:
                return False

        wait_until(listens, "nginx listens")
        program.address = port.address
        return program

    yield make
    for h in held:
        h.close()


def balancer(start, work, backends, tls, protocol="http", **options):
    made = pool([(f"B{i + 1}", b if isinstance(b, str) else b.address) for i, b in enumerate(backends)],
                tls=tls, protocol=protocol, **options)
    path = work / "access.log"
    path.unlink(missing_ok=True)
    poise = start.poise(
        config(made, protocol, access_log={"file": str(path), "format": "json"}), "--workers", "1"
    )
    poise.access = path
    return poise


def facts(answer):
    assert answer.status == 200, answer
    return dict(re.findall(r"(\w+)=(\S*)", answer.body.decode()))


def refused(poise, reason):
    answer = web.get(poise.port)
    assert answer.status == 502 and answer.headers["X-Poise-Reason"] == reason, answer


# ---- who is it ----


def test_a_backend_that_is_known(start, work, authority, backend):
    server = backend(authority.leaf(["127.0.0.1"]))
    poise = balancer(start, work, [server], {"ca": str(authority.cert)})
    got = facts(web.get(poise.port))
    assert got["protocol"] == "TLSv1.3" and got["name"] == ""  # an address is no name to ask for


def test_a_stranger_is_refused(start, work, authority, backend):
    """Nothing said, the system's CAs are asked, who do not know it."""
    server = backend(authority.leaf(["127.0.0.1"]))
    refused(balancer(start, work, [server], {}), "backend_certificate")


def test_somebody_elses_ca(start, work, authority, backend):
    server = backend(authority.leaf(["127.0.0.1"]))
    other = certificates.ca(work, "Other CA")
    refused(balancer(start, work, [server], {"ca": str(other.cert)}), "backend_certificate")


@pytest.mark.parametrize("names", [["127.0.0.2"], ["b.example.com"], ["localhost"]])
def test_another_name(start, work, authority, backend, names):
    server = backend(authority.leaf(names))
    refused(balancer(start, work, [server], {"ca": str(authority.cert)}), "backend_certificate")


def test_the_name_given(start, work, authority, backend):
    server = backend(authority.leaf(["*.example.com"]))
    given = {"ca": str(authority.cert), "sni": "b.example.com"}
    assert facts(web.get(balancer(start, work, [server], given).port))["name"] == "b.example.com"
    refused(balancer(start, work, [server], given | {"sni": "b.example.org"}), "backend_certificate")
    refused(balancer(start, work, [server], given | {"sni": "a.b.example.com"}), "backend_certificate")


def test_a_backend_given_by_name(start, work, authority, backend):
    server = backend(authority.leaf(["localhost"]))
    address = "localhost:" + server.address.rpartition(":")[2]
    poise = balancer(start, work, [address], {"ca": str(authority.cert)})
    poise.wait_for("state=resolved")
    assert facts(web.get(poise.port))["name"] == "localhost"


def test_an_expired_certificate(start, work, authority, backend):
    server = backend(authority.leaf(["127.0.0.1"], days=-1, since=-10))
    refused(balancer(start, work, [server], {"ca": str(authority.cert)}), "backend_certificate")


def test_a_clients_certificate_is_none_of_a_server(start, work, authority, backend):
    server = backend(authority.client("ann", ["IP:127.0.0.1"]))
    refused(balancer(start, work, [server], {"ca": str(authority.cert)}), "backend_certificate")


def test_verification_switched_off(start, work, authority, backend):
    server = backend(authority.leaf(["nobody.example.com"]))
    poise = balancer(start, work, [server], {"verify": False, "sni": "x.example.com"})
    assert facts(web.get(poise.port))["name"] == "x.example.com"


def test_a_backend_without_tls(start, work, authority):
    server = start.server("B1")
    refused(balancer(start, work, [server], {"ca": str(authority.cert)}), "backend_tls_failed")


def test_our_own_certificate(start, work, authority, backend):
    ann = authority.client("ann")
    server = backend(
        authority.leaf(["127.0.0.1"]), f"ssl_client_certificate {authority.cert}; ssl_verify_client on;"
    )
    given = {"ca": str(authority.cert)}
    assert web.get(balancer(start, work, [server], given).port).status == 400
    shown = balancer(start, work, [server], given | {"cert": str(ann.cert), "key": str(ann.key)})
    assert "CN=ann" in facts(web.get(shown.port))["client"]


# ---- what follows ----


def test_the_next_backend(start, work, authority, backend):
    """A request that has not been sent goes to another, whatever its method."""
    good = backend(authority.leaf(["127.0.0.1"]))
    bad = backend(authority.leaf(["127.0.0.9"]), name="B2")
    plain = start.server("B3")
    poise = balancer(
        start, work, [bad, plain.address, good], {"ca": str(authority.cert)}, retries={"attempts": 2}
    )
    for _ in range(6):
        assert web.get(poise.port, method="POST", body=b"x" * 1000).status in (200, 405)
    assert not [line for line in poise.access.read_text().splitlines() if '"status":502' in line]


def test_passive_health(start, work, authority, backend):
    good = backend(authority.leaf(["127.0.0.1"]))
    bad = backend(authority.leaf(["127.0.0.9"]), name="B2")
    poise = balancer(
        start,
        work,
        [bad, good],
        {"ca": str(authority.cert)},
        passive_health={"failures": 3, "window": "10s", "eject_for": "60s"},
    )
    for _ in range(20):
        assert web.get(poise.port).status == 200
    poise.wait_for("backend=B1 state=ejected reason=passive_failures .*last=backend_certificate")


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_health_checks(start, work, authority, backend, kind):
    good = backend(authority.leaf(["127.0.0.1"]))
    bad = backend(authority.leaf(["127.0.0.9"]), name="B2")
    plain = start.server("B3")
    poise = balancer(
        start,
        work,
        [good, bad, plain.address],
        {"ca": str(authority.cert)},
        health={"type": kind, "interval": "200ms"},
    )
    poise.wait_for('backend=B2 state=down reason=backend_certificate .*detail="IP address mismatch"')
    poise.wait_for('backend=B3 state=down reason=backend_tls_failed .*detail="wrong version number"')
    for _ in range(6):
        assert web.get(poise.port).status == 200
    assert "backend=B1 state=down" not in poise.err


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_sessions_are_resumed(start, work, authority, backend, protocol):
    server = backend(authority.leaf(["127.0.0.1"]), protocols=protocol)
    poise = balancer(start, work, [server], {"ca": str(authority.cert)}, keepalive={"max_idle": 0})
    got = [facts(web.get(poise.port)) for _ in range(8)]
    assert [g["reused"] for g in got] == ["."] + ["r"] * 7, got


def test_connections_are_kept(start, work, authority, backend):
    """One connection, one handshake, for all requests of all clients."""
    server = backend(authority.leaf(["127.0.0.1"]))
    poise = balancer(start, work, [server], {"ca": str(authority.cert)})
    assert {facts(web.get(poise.port))["reused"] for _ in range(8)} == {"."}


def test_large_bodies(start, work, authority, backend):
    server = backend(authority.leaf(["127.0.0.1"]))
    poise = balancer(start, work, [server], {"ca": str(authority.cert)})
    for _ in range(3):
        answer = web.get(poise.port, "/files/large")
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(BODY * 8).digest()


def test_tcp(start, work, authority, backend):
    """Bytes of a client that speaks no TLS go over TLS."""
    server = backend(authority.leaf(["127.0.0.1"]))
    poise = balancer(start, work, [server], {"ca": str(authority.cert)}, "tcp")
    assert facts(web.get(poise.port))["protocol"] == "TLSv1.3"
    assert web.get(poise.port, "/files/large").body == BODY * 8


def test_tcp_refused(start, work, authority, backend):
    server = backend(authority.leaf(["127.0.0.9"]))
    poise = balancer(start, work, [server], {"ca": str(authority.cert)}, "tcp")
    with web.connect(poise.port) as s:
        assert s.recv(1) == b""
    wait_until(lambda: "backend_certificate" in poise.access.read_text(), "it is logged")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_with_a_proxy_header(start, work, authority, backend, version, protocol):
    """The header is in clear, ahead of TLS; checks speak it too."""
    server = backend(authority.leaf(["127.0.0.1"]), listen="ssl proxy_protocol")
    poise = balancer(
        start,
        work,
        [server],
        {"ca": str(authority.cert)},
        protocol,
        proxy_protocol=version,
        health={"type": "tcp", "interval": "100ms"},
    )
    for source in ("127.0.0.1", "127.0.0.7"):
        with socket.create_connection(("127.0.0.1", poise.port), 60, (source, 0)) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while data := s.recv(65536):
                answer += data
        assert b"proxied=%s" % source.encode() in answer, answer
    assert "state=down" not in poise.err


class Truncating:
    """A TLS server that says how long its answer is only by its end, and ends as it is told."""

    def __init__(self, leaf, notify, answer):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf.cert, leaf.key)
        self.notify, self.answer = notify, answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                plain, _ = self.listener.accept()
                tls = self.context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
                while b"\r\n\r\n" not in tls.recv(65536):
                    pass
                tls.sendall(self.answer)
                if self.notify:
                    tls.unwrap().close()
                else:
                    tls.shutdown(socket.SHUT_WR)
                    tls.close()
            except OSError:
                if self.listener.fileno() < 0:
                    return


@pytest.mark.parametrize("notify", [True, False])
def test_an_end_without_notice_is_no_end(start, work, authority, notify):
    """Somebody in between may have cut it: the client must not take it for whole."""
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it"
    server = Truncating(authority.leaf(["127.0.0.1"]), notify, answer)
    poise = balancer(start, work, [server], {"ca": str(authority.cert)})
    with web.connect(poise.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got, whole = b"", False
        try:
            while data := s.recv(65536):
                got += data
                whole = whole or got.endswith(b"0\r\n\r\n")
                if whole:
                    break
        except ConnectionResetError:
            pass
    server.listener.close()
    assert whole == notify, got
    wait_until(lambda: poise.access.read_text(), "it is logged")
    reason = json.loads(poise.access.read_text().splitlines()[0])["reason"]
    assert reason == ("ok" if notify else "backend_tls_truncated")


def test_a_reload_changes_how_it_is_asked(start, work, authority, backend):
    """Connections kept from before are not used by other rules."""
    server = backend(authority.leaf(["127.0.0.1"]))
    other = certificates.ca(work, "Other CA")
    poise = balancer(start, work, [server], {"ca": str(authority.cert)})
    assert facts(web.get(poise.port))["reused"] == "."
    made = json.loads(poise.config_path.read_text())
    for count, (tls, status) in enumerate([({"ca": str(other.cert)}, 502), ({"verify": False}, 200)], 1):
        made["pools"][0]["tls"] = tls
        poise.config_path.write_text(json.dumps(made))
        poise.send(signal.SIGHUP)
        poise.wait_for("reload +done", count)
        wait_until(lambda: web.get(poise.port).status == status, f"answered with {status}")
        assert web.get(poise.port).status == status


def test_a_reload_changes_the_protocol(start, work, authority, backend):
    """What a handshake offers is what is spoken then, however long the other pools take to follow."""
    leaf = authority.leaf(["127.0.0.1"])
    servers = [(name, backend(leaf, listen="ssl http2", name=name).address) for name in ("B1", "B2")]
    others = [pool([("B1", "127.0.0.1:1")], name=f"other{i}") for i in range(2000)]
    made = config(pool(servers, tls={"ca": str(authority.cert)}, protocol="http"))
    made["pools"] = others + made["pools"]
    poise = start.poise(made, "--workers", "1")
    load = web.Load(poise.port, 16)
    for count in range(1, 13):
        made = json.loads(poise.config_path.read_text())
        made["pools"][-1]["protocol"] = "http2" if count % 2 else "http"
        poise.config_path.write_text(json.dumps(made))
        poise.send(signal.SIGHUP)
        poise.wait_for("reload +done", count)
    load.stop()
    assert not load.errors and set(load.answers) == {200}, (load.errors, load.reasons)


# ---- the first of it, while all goes on ----

FIRST = """\
admin: {{socket: {work}/admin.sock}}
listeners:
  - {{name: web, listen: "127.0.0.1:0", pool: app}}
pools:
  - name: app
    health: {{type: none}}
    backends:
      - {{name: B1, address: "127.0.0.1:1"}}
"""
SECURE = """\
  - name: secure
    tls: {{}}      # the system's store
    health: {{type: none}}
    backends:
      - {{name: S0, address: "{address}", weight: 0}}
"""


@pytest.mark.parametrize("known", [False, True])
def test_the_first_pool_that_speaks_tls(start, work, authority, backend, known):
    """It comes by a reload, its backends by the API, and all of it is saved. The system's bundle may
    be read from then on, by this engine and by the one that comes in its place. `known`: the running
    configuration had such a pool already."""
    bundle = work / "bundle.pem"
    system = Path("/etc/ssl/certs/ca-certificates.crt")
    bundle.write_bytes((system.read_bytes() if system.exists() else b"") + authority.cert.read_bytes())
    server = backend(authority.leaf(["127.0.0.1"]))
    another = backend(authority.leaf(["127.0.0.1"]), name="B2")
    file = work / "poise.yaml"
    secure = SECURE.format(address=server.address)
    file.write_text(FIRST.format(work=work) + (secure if known else ""))
    environment = os.environ | {"SSL_CERT_FILE": str(bundle)}
    poise = start.program(BINARY, "run", "-c", file, name="poise", env=environment)
    (address,) = poise.wait_for(r"^Load Balancer listening on 127.0.0.1:(\d+)$")

    def words(*what):
        done = subprocess.run(
            [BINARY, *what, "--socket", f"{work}/admin.sock"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def asked():
        answer = web.get(int(address))
        return answer.status == 200 and facts(answer)["protocol"] == "TLSv1.3"

    words("backends", "add", "app", f"{server.address},name=plain", "--save")
    file.write_text(file.read_text().replace("pool: app", "pool: secure") + ("" if known else secure))
    words("reload")
    words("backends", "add", "secure", f"{another.address},name=S1", "--save")
    assert f"{{name: S1, address: {another.address}}}" in file.read_text(), file.read_text()
    assert "# the system's store" in file.read_text()
    assert asked()
    words("backends", "remove", "secure", "S0", "--save")
    assert "S0" not in file.read_text() and asked()
    words("reload")
    assert asked()
    (engine,) = memory.children(poise.pid)
    os.kill(engine, signal.SIGKILL)
    poise.wait_for("engine +started", 2)
    wait_until(asked, "the next engine asks it")
    assert "refused to read" not in poise.err
    poise.end()
