# SPDX-License-Identifier: MIT
"""What TLS knows of a client: routes go by it, backends are told, clients cannot forge it. Over HTTP/1
and HTTP/2, by curl; by Python's ssl where a session is resumed."""

import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess

import certificates
import h2wire
import pytest
from programs import pool, wait_until

pytestmark = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl, openssl")

NAME, OTHER = "www.example.com", "other.example.com"
FORGED = ["X-Client-Verify: SUCCESS", "X-Client-Subject: CN=admin", "X-Client-SAN: admin.example.com",
          "X-Client-Fingerprint: " + 64 * "0", "Client-Cert: :AA==:", "Client-Cert-Chain: :AA==:",
          "X_Client_Subject: CN=admin", "X-Forwarded-Proto: http"]  # fmt: skip


class Site:
    """A balancer with TLS in front of backends that say what reached them."""

    def __init__(self, work, poises, auth="require", routes=(), **listener):
        self.work, self.authority = work, certificates.ca(work)
        self.server = self.authority.leaf([NAME, OTHER, "127.0.0.1"])
        self.ann = self.authority.client("ann", ["email:ann@example.com", "ann.example.com"], organization="Example")
        self.bob = self.authority.client("bob", ["bob.example.com"])
        servers = [poises.server(name) for name in ("app", "special")]
        tls = {"certificates": [{"cert": str(self.server.cert), "key": str(self.server.key)}], "client_auth": auth}
        if auth != "none":
            tls["client_ca"] = str(self.authority.cert)
        routes = [{"match": self.fill(m), "pool": "special"} for m in routes]
        web = {"name": "web", "listen": "127.0.0.1:0", "pool": "app", "routes": routes}
        config = {
            "access_log": {"file": str(work / "access.log"), "format": "json"},
            "listeners": [web | {"tls": tls | listener.pop("tls", {})} | listener],
            "pools": [pool([servers[0]], "app"), pool([servers[1]], "special")],
        }
        self.poise = poises.poise(config)

    def fill(self, match):
        if match.get("client_fingerprint") == "ann":
            digits = self.ann.fingerprint.upper()
            match = {"client_fingerprint": ":".join(digits[i : i + 2] for i in range(0, 64, 2))}
        return match

    def curl(self, *words, client=None, version="1.1", name=NAME, path="/headers"):
        """Status, response fields (names in lower case) and the body."""
        port = self.poise.port
        who = ["--cert", client.cert, "--key", client.key] if client else []
        argv = ["curl", "-s", "-i", f"--http{version}", "--cacert", self.authority.cert, *who, "--max-time", 20,
                "--resolve", f"{name}:{port}:127.0.0.1", *words, f"https://{name}:{port}{path}"]  # fmt: skip
        run = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        if run.returncode != 0:
            return None, {}, f"curl ended with {run.returncode}"
        head, _, body = run.stdout.decode(errors="replace").partition("\r\n\r\n")
        status, *lines = head.split("\r\n")
        fields = [l.partition(": ") for l in lines]
        assert len({n.lower() for n, _, _ in fields}) == len(fields), fields
        return int(status.split()[1]), {n.lower(): v for n, _, v in fields}, body

    def told(self, *words, **options):
        """What reached the backend: its name, and the request's fields in lower case, each once."""
        status, fields, body = self.curl(*words, **options)
        assert status == 200, (status, fields, body)
        got = {}
        for line in body.splitlines():
            name, colon, value = line.partition(": ")
            if colon:
                assert name.lower() not in got, body
                got[name.lower()] = value
        return fields["x-backend"], got


class Connection:
    """A TLS connection that asks one thing after another."""

    def __init__(self, sock, port, version):
        self.sock, self.stream = sock, -1
        self.wire = h2wire.Wire(port, sock=sock) if version == "2" else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def get(self):
        """Status and X-Poise-Reason."""
        if self.wire:
            self.stream += 2
            self.wire.headers(self.stream, ((":method", "GET"), (":scheme", "https"), (":path", "/headers"), (":authority", NAME)))
            answer = self.wire.answer(self.stream)
            return answer.status, answer.fields.get("x-poise-reason")
        self.sock.sendall(f"GET /headers HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(self.sock)
        answer.begin()
        answer.read()
        return answer.status, answer.getheader("x-poise-reason")

    def ended(self):
        """Whether nothing more is served here."""
        return self.wire.end() == h2wire.NO_ERROR if self.wire else self.sock.recv(1) == b""


@pytest.fixture
def site(work, start):
    return lambda **options: Site(work, start, **options)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_backends_are_told(site, version):
    s = site()
    forged = [w for f in FORGED for w in ("-H", f)]
    _, got = s.told(*forged, client=s.ann, version=version)
    assert got["x-client-verify"] == "SUCCESS"
    assert got["x-client-subject"] == "O=Example,CN=ann"
    assert got["x-client-san"] == "ann@example.com, ann.example.com"
    assert got["x-client-fingerprint"] == s.ann.fingerprint
    assert got["x-forwarded-proto"] == "https"
    assert not {n for n in got if n.startswith("client-cert") or "_" in n}, got
    assert s.curl(version=version)[0] is None  # nobody without one
    log = s.work / "access.log"
    rows = lambda: [json.loads(l) for l in (log.read_text() if log.exists() else "").splitlines()]  # noqa: E731
    (row,) = wait_until(lambda: [r for r in rows() if r["status"] == 200], "the request is in the log")
    assert row["tls_version"] == "TLSv1.3" and row["sni"] == NAME and row["tls_cipher"].startswith("TLS_"), row
    assert row["client_subject"] == "O=Example,CN=ann", row


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_nothing_is_forged(site, version):
    s = site(auth="optional", trusted=["127.0.0.0/8"])
    forged = [w for f in FORGED[:-1] for w in ("-H", f)]
    _, got = s.told(*forged, version=version)
    assert got["x-client-verify"] == "NONE"
    assert not {n for n in got if n.replace("_", "-").startswith(("x-client-", "client-cert"))} - {"x-client-verify"}
    # Not even by way of trailers.
    body = ["-H", "Trailer: X-Client-Subject"]
    assert s.told(*body, version=version)[1]["x-client-verify"] == "NONE"


def test_what_a_certificate_says_is_escaped(site):
    s = site()
    evil = s.authority.client("x\r\nX-Client-Subject: CN=admin\r\n", name="evil")
    _, got = s.told(client=evil)
    assert got["x-client-fingerprint"] == evil.fingerprint
    assert "admin" in got["x-client-subject"] and got["x-client-subject"].startswith("CN=x\\0D\\0A")


@pytest.mark.parametrize("match, special", [
    ({"client_subject": "O=Example,CN=ann"}, "ann"),
    ({"client_san": "Ann@Example.com"}, None),
    ({"client_san": "ann@EXAMPLE.com"}, "ann"),
    ({"client_san": "*.example.com"}, "ann bob"),
    ({"client_san": "BOB.example.com"}, "bob"),
    ({"client_fingerprint": "ann"}, "ann"),
    ({"sni": NAME}, "ann bob nobody"),
    ({"sni": "*.com", "client_subject": "CN=bob"}, "bob"),
    ({"sni": OTHER}, None),
])  # fmt: skip
def test_routes(site, match, special):
    s = site(auth="optional", routes=[match])
    for name, client in (("ann", s.ann), ("bob", s.bob), ("nobody", None)):
        for version in ("1.1", "2"):
            backend, _ = s.told(client=client, version=version)
            assert backend == ("special" if name in (special or "").split() else "app"), (name, version)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_another_host_is_misdirected(site, version):
    s = site(tls={"hsts": "1h"})
    status, fields, _ = s.curl("-H", f"Host: {OTHER}", client=s.ann, version=version)
    assert status == 421 and fields["x-poise-reason"] == "misdirected"
    assert fields["strict-transport-security"] == "max-age=3600"
    assert s.curl("-H", f"Host: {NAME.upper()}:7", client=s.ann, version=version)[0] == 200
    assert s.curl(client=s.ann, version=version, name=OTHER)[0] == 200
    assert s.curl(client=s.ann, version=version, name="127.0.0.1")[0] == 200  # without SNI
    status, fields, _ = s.curl("-H", f"Host: {NAME}", client=s.ann, version=version, name="127.0.0.1")
    assert status == 421


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_other_hosts_are_served_where_nobody_is_asked(site, version):
    s = site(auth="none")
    assert s.curl("-H", f"Host: {OTHER}", version=version)[0] == 200


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_strict_transport_security(site, version):
    s = site(auth="none", tls={"hsts": "365d"}, routes=[{"host": NAME}])
    for words, path, expected in (
        ([], "/headers", 200), (["-I"], "/headers", 200), ([], "/status/503", 503), ([], "/chunked/100000", 200),
        ([], "/%2f", 400),
    ):  # fmt: skip
        status, fields, _ = s.curl(*words, path=path, version=version)
        assert status == expected and fields["strict-transport-security"] == "max-age=31536000", path


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_is_the_same_client(site, newest):
    s = site(auth="optional")
    context = ssl.create_default_context(cafile=str(s.authority.cert))
    context.maximum_version = newest
    context.load_cert_chain(s.ann.cert, s.ann.key)

    def ask(name, session=None):
        with socket.create_connection(("127.0.0.1", s.poise.port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname=name, session=session) as c:
                c.sendall(f"GET /headers HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                data = b""
                while piece := c.recv(65536):
                    data += piece
                return data.decode(), c.session, c.session_reused

    first, session, _ = ask(NAME)
    again, _, reused = ask(NAME, session)
    assert reused, "the session was not resumed"
    for text in (first, again):
        assert f"x-client-fingerprint: {s.ann.fingerprint}" in text.lower() and "o=example,cn=ann" in text.lower()


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_who_came_under_other_rules_is_not_served(site, version):
    """A reload that asks for certificates, or trusts another CA, is not evaded by connections from before."""
    s = site(auth="none")
    other = certificates.ca(s.work, "Other CA")
    config = json.loads(s.poise.config_path.read_text())
    tls = config["listeners"][0]["tls"]

    def reload(count, **changes):
        tls.update(changes)
        s.poise.config_path.write_text(json.dumps(config))
        s.poise.send(signal.SIGHUP)
        s.poise.wait_for("reload +done", count)

    def connect(client=None):
        context = ssl.create_default_context(cafile=str(s.authority.cert))
        context.set_alpn_protocols(["h2" if version == "2" else "http/1.1"])
        if client:
            context.load_cert_chain(client.cert, client.key)
        plain = socket.create_connection(("127.0.0.1", s.poise.port), timeout=20)
        return Connection(context.wrap_socket(plain, server_hostname=NAME), s.poise.port, version)

    with connect() as nobody:
        assert nobody.get()[0] == 200
        reload(1, min_version="1.3")  # which says nothing of clients
        assert nobody.get()[0] == 200
        reload(2, client_auth="require", client_ca=str(s.authority.cert))
        status, reason = nobody.get()
        assert (status, reason) == (421, "misdirected")
        assert nobody.ended()
    with connect(s.ann) as ann:
        assert ann.get()[0] == 200
        reload(3, min_version="1.2")
        assert ann.get()[0] == 200
        reload(4, client_ca=str(other.cert))
        assert ann.get() == (421, "misdirected")
        assert ann.ended()


def test_plain_connections_do_not_outlive_plain_listeners(site):
    s = site(auth="optional")
    config = json.loads(s.poise.config_path.read_text())
    tls = config["listeners"][0].pop("tls")
    for count, listener in enumerate([{}, {"tls": tls}], 1):
        config["listeners"][0] |= listener
        s.poise.config_path.write_text(json.dumps(config))
        s.poise.send(signal.SIGHUP)
        s.poise.wait_for("reload +done", count)
        if count == 1:
            c = http.client.HTTPConnection("127.0.0.1", s.poise.port, timeout=20)
            c.request("GET", "/headers")
            assert c.getresponse().read()
    sock = c.sock
    sock.sendall(b"GET /headers HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert sock.recv(65536).startswith(b"HTTP/1.1 421 ")
    c.close()


def test_from_http_to_https(work, start):
    authority = certificates.ca(work)
    leaf = authority.leaf([NAME])
    server = start.server("app")
    tls = {"certificates": [{"cert": str(leaf.both)}], "hsts": "1h"}
    config = {
        "listeners": [{"name": "secure", "listen": "127.0.0.1:0", "tls": tls, "pool": "app"}],
        "pools": [pool([server])],
    }
    first = start.poise(config)
    plain = {"name": "plain", "listen": "127.0.0.1:0", "redirect_https": first.port}
    second = start.poise(config | {"listeners": [plain]})
    for version in ("1.1", "2"):
        words = ["curl", "-s", "-L", f"--http{version}", "--max-time", "20", "--cacert", authority.cert, "-w", "%{url_effective}",
                 *(w for p in (first.port, second.port) for w in ("--resolve", f"{NAME}:{p}:127.0.0.1")),
                 f"http://{NAME}:{second.port}/headers?a=b"]  # fmt: skip
        out = subprocess.run([str(w) for w in words], capture_output=True, timeout=60, check=True).stdout.decode()
        assert out.endswith(f"https://{NAME}:{first.port}/headers?a=b"), out
        assert "https" in out.lower().split("x-forwarded-proto: ")[1][:5]
