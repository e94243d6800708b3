# SPDX-License-Identifier: MIT
"""Certificates and keys: read at a start, a reload and when their files change; what is wrong with them is said,
and what was good stays."""

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import certificates
import memory
import pytest
from admin import Admin, Events
from metrics import promtool, scrape
from programs import BINARY, SANITIZER, config, pool, wait_until

ADMIN = {"admin": {"listen": "127.0.0.1:0"}}
LOOK = os.environ | {"POISE_TLS_LOOK_MS": "50"}
READ_AGAIN = r"certificates read again listener=web"


@pytest.fixture
def ca(work):
    return certificates.ca(work)


def files(leaf, **more):
    return {"cert": str(leaf.cert), "key": str(leaf.key)} | more


def tls(*leaves, **more):
    """The listener's part of a configuration."""
    return {"tls": {"certificates": [c if isinstance(c, dict) else files(c) for c in leaves]} | more}


def context(authority=None, **more):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if authority:
        c.load_verify_locations(authority.cert)
        c.verify_mode = ssl.CERT_REQUIRED
    for name, value in more.items():
        setattr(c, name, value)
    return c


class Client:
    """A connection over TLS that HTTP/1.1 is spoken on."""

    def __init__(self, port, name="a.example.com", ctx=None, session=None):
        raw = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket = (ctx or context()).wrap_socket(raw, server_hostname=name, session=session)
        self.fingerprint = hashlib.sha256(self.socket.getpeercert(True)).hexdigest()

    def get(self, path="/"):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a.example.com\r\n\r\n".encode())
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        answer.read()
        return answer.status

    def close(self):
        self.socket.close()


def shown(port, name="a.example.com"):
    """The fingerprint of the certificate that is shown for this name."""
    client = Client(port, name)
    client.close()
    return client.fingerprint


def s_client(port, *words, name="a.example.com"):
    """What `openssl s_client` says of a connection."""
    name = ["-servername", name] if name else ["-noservername"]
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *name, *(str(w) for w in words)]
    run = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return (run.stdout + run.stderr).decode(errors="replace")


def rewrite(poise, text, reload=True):
    """Another configuration; waits until it runs."""
    generation = len(re.findall(r"reload +done", poise.err)) + 1
    poise.config_path.write_text(as_json(text))
    if reload:
        poise.send(signal.SIGHUP)
        poise.wait_for(r"reload +done", generation)


def as_json(text):
    return json.dumps(text, indent=1) + "\n"


def refuse(poise, text, pattern):
    """A configuration that is not to be taken."""
    failed = len(re.findall(r"reload +failed", poise.err)) + 1
    poise.config_path.write_text(as_json(text))
    poise.send(signal.SIGHUP)
    poise.wait_for(r"reload +failed; the configuration before stays", failed)
    poise.wait_for(pattern)


# ---- at the start ----


def run_refused(work, text, *words):
    path = work / "refused.yaml"
    path.write_text(as_json(text))
    return subprocess.run([BINARY, "run", "-c", path, *words], capture_output=True, text=True, timeout=60)


def with_pass_phrase(ca):
    leaf = ca.leaf(["a.example.com"])
    sealed = leaf.key.with_suffix(".sealed")
    certificates.openssl("pkey", "-in", leaf.key, "-aes128", "-passout", "pass:secret", "-out", sealed)
    return files(leaf) | {"key": str(sealed)}


BAD = {
    "no certificate": (lambda ca, good: files(good) | {"cert": "/nowhere/a.pem"}, 4,
                       r"the certificate /nowhere/a.pem cannot be read: No such file or directory; check the path"),
    "no key": (lambda ca, good: files(good) | {"key": "/nowhere/a.key"}, 4,
               r"the key /nowhere/a.key cannot be read: No such file"),
    "a folder": (lambda ca, good: files(good) | {"cert": str(ca.folder)}, 4, r"cannot be read: it is no regular file"),
    "another's key": (lambda ca, good: files(good) | {"key": str(ca.key)}, 3,
                      r"certificate \S+\.pem with key \S+ca.key cannot be used: the private key does not belong"),
    "no PEM": (lambda ca, good: files(good) | {"cert": str(ca.config)}, 3, r"there is no certificate in it"),
    "no key in it": (lambda ca, good: {"cert": str(good.cert)}, 3, r"there is no private key in \S+ \(PEM is wanted\); say where it is with key: FILE"),
    "a pass phrase": (lambda ca, good: with_pass_phrase(ca), 3, r"needs a pass phrase"),
    "a short key": (lambda ca, good: files(ca.leaf(["a.example.com"], "rsa1024")), 3, r"1024 bits is too short"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD, ids=[n.replace(" ", "-") for n in BAD])
@pytest.mark.parametrize("words", [(), ("--no-supervisor",)], ids=["supervised", "alone"])
def test_a_start_is_refused(work, ca, what, words):
    make, status, message = BAD[what]
    good = ca.leaf(["a.example.com"])
    text = config(pool([("B1", "127.0.0.1:1")]), listener=tls(good, make(ca, good)))
    done = run_refused(work, text, *words)
    assert done.returncode == status, done.stderr
    assert re.search(r"refused.yaml:\d+: listener web: .*" + message, done.stderr), done.stderr
    assert "listening" not in done.stdout
    number = int(re.search(r"refused.yaml:(\d+):", done.stderr)[1])
    lines = (work / "refused.yaml").read_text().splitlines()
    assert '"cert"' in lines[number], lines[number - 1 : number + 1]  # the brace before it


def test_other_files_of_tls(work, ca):
    good = ca.leaf(["a.example.com"])
    text = config(pool([("B1", "127.0.0.1:1")]), listener=tls(good, client_auth="require", client_ca="/nowhere/ca"))
    done = run_refused(work, text)
    assert done.returncode == 4 and "the CA file for clients /nowhere/ca cannot be read" in done.stderr
    text = config(pool([("B1", "127.0.0.1:1")], tls={"ca": str(good.key)}))
    done = run_refused(work, text)
    assert done.returncode == 3, done.stderr
    assert re.search(r"pool app: the CA file \S+ cannot be used: there is no CA certificate", done.stderr)
    text = config(pool([("B1", "127.0.0.1:1")], tls={"cert": str(good.cert), "key": str(ca.key)}))
    done = run_refused(work, text)
    assert done.returncode == 3 and "does not belong to the certificate" in done.stderr


def test_check_looks_at_the_files(work, ca):
    good, old, soon = ca.leaf(["a.example.com"]), ca.leaf(["b.example.com"], days=-3), ca.leaf(["c"], days=9.5)
    good.key.chmod(0o644)
    path = work / "check.yaml"

    def check(*certs):
        path.write_text(as_json(config(pool([("B1", "127.0.0.1:1")]), listener=tls(*certs))))
        return subprocess.run([BINARY, "check", "-c", path], capture_output=True, text=True, timeout=60)

    done = check(good, old, soon, files(soon) | {"cert": "/nowhere/x.pem"})
    assert done.returncode == 0, done.stderr
    assert f"every user of this machine may read the key in {good.key}" in done.stderr
    assert re.search(r"check.yaml:\d+:\d+: warning: the certificate /nowhere/x.pem cannot be read", done.stderr)
    done = check(good, old, soon)
    assert re.search(rf"warning: certificate {old.cert} expired 3 days ago", done.stderr), done.stderr
    assert re.search(rf"warning: certificate {soon.cert} expires in 9 days", done.stderr)
    done = check(files(good) | {"key": str(old.key)})
    assert done.returncode == 3
    assert re.search(r"check.yaml:\d+:\d+: error: .* does not belong to the certificate", done.stderr)


def test_keys_that_only_root_may_read(start, work, ca):
    """The engine is another user, and reads none of them itself."""
    leaf = ca.leaf(["a.example.com"])
    ca.folder.chmod(0o700)
    poise = start.poise(config(pool(start.servers(1)), listener=tls(leaf), **ADMIN))
    assert leaf.key.stat().st_mode & 0o777 == 0o600
    client = Client(poise.port, ctx=context(ca))
    assert client.get() == 200
    if os.geteuid() == 0 and not SANITIZER:
        uid = os.stat(f"/proc/{poise.engine_pid}").st_uid
        assert uid != 0


def test_a_user_that_cannot_read_them(start, work, ca):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    leaf = ca.leaf(["a.example.com"])
    text = config(pool(start.servers(1)), listener=tls(leaf), user="nobody")
    poise = start.poise(text)
    assert Client(poise.port).get() == 200
    work.chmod(0o755)
    path = work / "refused.yaml"
    path.write_text(as_json(text))
    path.chmod(0o644)
    program = shutil.copy(BINARY, work / "poise")  # the build may lie where only root comes
    done = subprocess.run(
        [program, "run", "-c", path], capture_output=True, text=True, timeout=60, user="nobody", group="nogroup"
    )
    assert done.returncode == 4, done.stderr
    assert "cannot be read: Permission denied; check the path, and that the user who starts poise may" in done.stderr


# ---- which one is shown ----


def test_names(start, ca):
    first = ca.leaf(["first.example.com"])
    exact = ca.leaf(["a.example.com", "b.example.com"])
    star = ca.leaf(["*.example.com"])
    said = ca.leaf(["other.example.com"])
    poise = start.poise(
        config(pool(start.servers(1)), listener=tls(first, exact, star, files(said, names=["said.example.org"])))
    )
    wanted = {
        "first.example.com": first,
        "a.example.com": exact,
        "B.example.com": exact,
        "c.example.com": star,
        "x.c.example.com": first,  # one label for the star
        "example.com": first,
        "said.example.org": said,
        "other.example.com": star,
        "nowhere.example.org": first,
    }
    for name, leaf in wanted.items():
        assert shown(poise.port, name) == leaf.fingerprint, name
    out = s_client(poise.port, name=None)
    assert "CN = first.example.com" in out


def test_rsa_and_ecdsa_side_by_side(start, ca):
    ec, rsa = ca.leaf(["a.example.com"]), ca.leaf(["a.example.com"], "rsa")
    poise = start.poise(config(pool(start.servers(1)), listener=tls(ec, rsa)))
    both = {"rsa": ("RSA", "ECDHE-RSA-AES128-GCM-SHA256"), "ec": ("ECDSA", "ECDHE-ECDSA-AES128-GCM-SHA256")}
    for kind, cipher in both.values():
        out = s_client(poise.port, "-tls1_2", "-cipher", cipher)
        assert f"Cipher is {cipher}" in out, out
    out = s_client(poise.port, "-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256")
    assert "Peer signature type: RSA-PSS" in out
    out = s_client(poise.port, "-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256")
    assert "Peer signature type: ECDSA" in out


def test_a_chain_is_sent_whole(start, ca):
    leaf = ca.intermediate().leaf(["a.example.com"])
    poise = start.poise(config(pool(start.servers(1)), listener=tls({"cert": str(leaf.both)})))
    client = Client(poise.port, ctx=context(ca))
    assert client.fingerprint == leaf.fingerprint and client.get() == 200


def test_stapling(start, ca):
    good, other, old = (ca.leaf([n]) for n in ("a.example.com", "b.example.com", "c.example.com"))
    staple = good.staple()
    listener = tls(
        files(good, ocsp=str(staple)),
        files(other, ocsp=str(good.staple(path=other.cert.with_suffix(".ocsp")))),  # about another certificate
        files(old, ocsp=str(old.staple(-1))),
    )
    poise = start.poise(config(pool(start.servers(1)), listener=listener, **ADMIN), env=LOOK)
    assert "OCSP Response Status: successful" in s_client(poise.port, "-status")
    assert "OCSP response: no response sent" in s_client(poise.port, "-status", name="b.example.com")
    assert "OCSP response: no response sent" in s_client(poise.port, "-status", name="c.example.com")
    poise.wait_for(r"the OCSP response \S+ is not stapled: the OCSP response is about another certificate")
    poise.wait_for(r"the OCSP response \S+ is not stapled: it has expired")
    shows = Admin(poise).get("/api/v1/listeners")["listeners"][0]["tls"]["certificates"]
    assert [c["ocsp_stapled"] for c in shows] == [True, False, False]
    old.staple(2)  # a new one in its place
    poise.wait_for(READ_AGAIN)
    wait_until(
        lambda: "OCSP Response Status: successful" in s_client(poise.port, "-status", name="c.example.com"),
        "the new response is stapled",
    )
    staple.unlink()  # none any more: the certificate is shown all the same
    poise.wait_for(READ_AGAIN, 2)
    assert "OCSP response: no response sent" in s_client(poise.port, "-status")


# ---- others take their place ----


def test_a_reload(start, ca):
    first, second = ca.leaf(["a.example.com"]), ca.leaf(["a.example.com"])
    servers = start.servers(1)
    poise = start.poise(config(pool(servers), listener=tls(first)))
    standing = Client(poise.port)
    assert standing.fingerprint == first.fingerprint and standing.get() == 200
    rewrite(poise, config(pool(servers), listener=tls(second)))
    poise.wait_for(r"listener changed name=web detail=.*tls.certificates\[0\].cert")
    assert shown(poise.port) == second.fingerprint
    assert standing.get() == 200  # goes on as it began
    refuse(
        poise,
        config(pool(servers), listener=tls(files(first) | {"key": str(second.key)})),
        r"reload +\S+:\d+: listener web: certificate .* does not belong to the certificate",
    )
    assert shown(poise.port) == second.fingerprint
    refuse(poise, config(pool(servers), listener=tls({"cert": "/nowhere/a.pem"})), r"/nowhere/a.pem cannot be read")
    assert shown(poise.port) == second.fingerprint and standing.get() == 200
    rewrite(poise, config(pool(servers)))  # in clear
    with socket.create_connection(("127.0.0.1", poise.port), timeout=60) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200")
    assert standing.get() == 200
    rewrite(poise, config(pool(servers), listener=tls(first, second)))
    assert shown(poise.port) == first.fingerprint
    assert memory.children(poise.pid) == [poise.engine_pid]


def test_a_file_that_changes(start, ca):
    leaf, new = ca.leaf(["a.example.com"]), ca.leaf(["a.example.com"])
    fingerprint = leaf.fingerprint
    poise = start.poise(config(pool(start.servers(1)), listener=tls(leaf)), env=LOOK)
    standing = Client(poise.port)
    assert standing.fingerprint == fingerprint
    leaf.replace(new)
    poise.wait_for(READ_AGAIN)
    assert shown(poise.port) == new.fingerprint != fingerprint
    assert standing.get() == 200
    leaf.key.write_bytes(leaf.key.read_bytes())  # written to, in place
    poise.wait_for(READ_AGAIN, 2)
    assert shown(poise.port) == new.fingerprint


def test_a_file_that_becomes_bad(start, ca):
    leaf, new = ca.leaf(["a.example.com"]), ca.leaf(["a.example.com"])
    fingerprint = leaf.fingerprint
    good = leaf.cert.read_bytes(), leaf.key.read_bytes()
    poise = start.poise(config(pool(start.servers(1)), listener=tls(leaf)), env=LOOK)
    refused = r"error +tls +\S+:\d+: listener web: .*; what was read before stays in use"
    leaf.cert.write_bytes(new.cert.read_bytes())  # its key has not come yet
    poise.wait_for(refused)
    assert "the private key does not belong to the certificate" in poise.err
    assert shown(poise.port) == fingerprint
    time.sleep(0.5)  # ten looks
    assert len(re.findall(refused, poise.err)) == 1
    leaf.key.unlink()
    poise.wait_for(refused, 2)
    assert shown(poise.port) == fingerprint
    certificates.write(leaf.key, new.key.read_bytes())
    poise.wait_for(READ_AGAIN)
    assert shown(poise.port) == new.fingerprint
    leaf.cert.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    poise.wait_for(refused, 3)
    leaf.cert.write_bytes(good[0])  # and back to the first
    leaf.key.write_bytes(good[1])
    poise.wait_for(READ_AGAIN, 2)
    assert shown(poise.port) == fingerprint


def test_the_end_of_a_certificate_is_announced(start, work, ca):
    old, soon, later = ca.leaf(["a.example.com"], days=-3), ca.leaf(["b"], days=2.5), ca.leaf(["c"], days=9.5)
    far = ca.leaf(["d"], days=20)
    poise = start.poise(config(pool(start.servers(1)), listener=tls(old, soon, later, far), **ADMIN))
    poise.wait_for(rf"error tls +certificate expired 3 days ago listener=web file={old.cert}")
    poise.wait_for(rf"error tls +certificate expires in 2 days listener=web file={soon.cert}")
    poise.wait_for(rf"warn +tls +certificate expires in 9 days listener=web file={later.cert}")
    assert str(far.cert) not in poise.err
    admin = Admin(poise)
    samples = scrape(admin)
    for leaf in (old, soon, later, far):
        assert (
            samples.get(
                "poise_certificate_not_after_timestamp_seconds", listener="web", certificate=str(leaf.cert), key="ECDSA"
            )
            == leaf.not_after
        )
    assert promtool("check", "metrics", text=samples.text) == ""
    shows = admin.get("/api/v1/listeners")["listeners"][0]["tls"]
    assert [c["fingerprint"] for c in shows["certificates"]] == [c.fingerprint for c in (old, soon, later, far)]
    first = shows["certificates"][0]
    assert first["subject"] == "CN=a.example.com" and first["issuer"] == "CN=Test CA"
    assert first["names"] == ["a.example.com"] and first["key"] == "ECDSA 256"
    assert (shows["min_version"], shows["client_auth"]) == ("1.2", "none")
    assert shows["not_after"] == first["not_after"]  # it ends first
    events = Events(admin)
    tick = events.wait("tick")["listeners"][0]["tls"]
    events.close()
    assert tick["not_after"] == first["not_after"] and "certificates" not in tick
    told = subprocess.run([BINARY, "status", "--admin", f"127.0.0.1:{admin.port}"], capture_output=True, text=True, timeout=60)
    assert re.search(rf"certificate +{old.cert} of listener web expired .*ago\n", told.stdout), told
    assert f"{soon.cert} of listener web expires in " in told.stdout
    assert str(far.cert) not in told.stdout


def test_what_listeners_do_is_shown(start, work, ca):
    match = {"sni": ["a.example.com"], "client_san": ["ann"], "client_subject": ["CN=ann"]}
    match["client_fingerprint"] = ["ab" * 32]
    web = tls(ca.leaf(["a.example.com"]), client_auth="optional", client_ca=str(ca.cert))
    web["routes"] = [{"match": match, "pool": "app"}]
    c = config(pool(start.servers(1)), listener=web, **ADMIN)
    plain = {"redirect_https": 443, "acme_challenge": str(work)}
    c["listeners"].append({"name": "plain", "listen": "127.0.0.1:0"} | plain)
    shown = Admin(start.poise(c)).get("/api/v1/listeners")["listeners"]
    assert shown[0]["routes"][0]["match"] == match
    assert {k: shown[1][k] for k in plain} == plain and not plain.keys() & shown[0].keys()
    assert shown[0]["http2"] and shown[1]["http2"] and "tls" not in shown[1]


# ---- tickets, and other processes ----


def resumed(port, ctx, session):
    """Whether a connection went on with this session, and the session for the next."""
    client = Client(port, ctx=ctx, session=session)
    assert client.get() == 200
    reused, session = client.socket.session_reused, client.socket.session
    client.close()
    return reused, session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_sessions_go_on(start, ca, version):
    """On every worker, and over reloads and other certificates."""
    leaf, new = ca.leaf(["a.example.com"]), ca.leaf(["a.example.com"])
    servers = start.servers(1)
    poise = start.poise(config(pool(servers), listener=tls(leaf), workers=3, **ADMIN), env=LOOK)
    ctx = context(minimum_version=version, maximum_version=version)
    reused, session = resumed(poise.port, ctx, None)
    assert not reused
    for _ in range(20):
        reused, session = resumed(poise.port, ctx, session)
        assert reused
    rewrite(poise, config(pool(servers), listener=tls(leaf, min_version="1.2", hsts="1h"), workers=3, **ADMIN))
    reused, session = resumed(poise.port, ctx, session)
    assert reused
    leaf.replace(new)
    poise.wait_for(READ_AGAIN)
    reused, session = resumed(poise.port, ctx, session)
    assert reused
    word = "1.3" if version == ssl.TLSVersion.TLSv1_3 else "1.2"
    samples = scrape(Admin(poise))
    assert samples.get("poise_tls_handshakes_total", listener="web", version=word, resumed="true") == 22
    assert samples.get("poise_tls_handshakes_total", listener="web", version=word, resumed="false") == 1
    assert samples.get("poise_tls_handshakes_total") == 23
    rewrite(poise, config(pool(servers), listener=tls(leaf, tickets=False), workers=3, **ADMIN))
    reused, _ = resumed(poise.port, ctx, session)
    assert not reused


def test_failed_handshakes_are_counted(start, ca):
    leaf = ca.leaf(["a.example.com"])
    poise = start.poise(config(pool(start.servers(1)), listener=tls(leaf), **ADMIN))
    admin = Admin(poise)
    with socket.create_connection(("127.0.0.1", poise.port), timeout=60) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 400 " in s.recv(1000)
    other = certificates.ca(leaf.cert.parent, "Unknown CA")
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(poise.port, ctx=context(other))

    def failed(reason):
        return scrape(admin).get("poise_tls_handshake_failures_total", listener="web", reason=reason)

    wait_until(lambda: failed("not_tls") == 1, "plain HTTP is counted")
    wait_until(lambda: failed("tls_alert") == 1, "an alert is counted")


def test_another_engine_has_them_too(start, ca):
    leaf, new = ca.leaf(["a.example.com"]), ca.leaf(["a.example.com"])
    poise = start.poise(config(pool(start.servers(1)), listener=tls(leaf)))
    before = poise.engine_pid
    leaf.replace(new)
    os.kill(before, signal.SIGKILL)
    poise.wait_for(r"engine serves again engine=(\d+)")
    client = Client(poise.port)
    assert client.get() == 200 and client.fingerprint == new.fingerprint


def test_an_engine_waits_for_good_files(start, ca):
    leaf = ca.leaf(["a.example.com"])
    poise = start.poise(config(pool(start.servers(1)), listener=tls(leaf)))
    key = leaf.key.read_bytes()
    leaf.key.unlink()
    os.kill(poise.engine_pid, signal.SIGKILL)
    poise.wait_for(r"the key \S+ cannot be read: No such file", 2)
    assert poise.running()
    certificates.write(leaf.key, key)
    poise.wait_for(r"engine serves again engine=(\d+)", seconds=60)
    assert Client(poise.port).get() == 200


def test_an_upgrade(start, work, ca):
    leaf = ca.leaf(["a.example.com"])
    program = work / "installed-poise"
    shutil.copyfile(BINARY, program)
    program.chmod(0o755)
    poise = start.poise(config(pool(start.servers(1)), listener=tls(leaf)), binary=program, env=LOOK)
    poise.send(signal.SIGUSR2)
    poise.wait_for(r"supervisor goes on version=\S+ engine=\d+", seconds=30)
    assert Client(poise.port, ctx=context(ca)).get() == 200
    new = ca.leaf(["a.example.com"])
    leaf.replace(new)  # looked at by the new engine, through the new supervisor
    poise.wait_for(READ_AGAIN)
    assert shown(poise.port) == new.fingerprint
    poise.wait_for(r"engine before this one has ended")
    assert "refused to read" not in poise.err
    key = leaf.key.read_bytes()
    leaf.key.unlink()  # no upgrade to what cannot serve
    poise.send(signal.SIGUSR2)
    poise.wait_for(r"no upgrade", seconds=30)
    assert Client(poise.port).get() == 200
    certificates.write(leaf.key, key)


# ---- to backends ----


class Backend(threading.Thread):
    """An HTTPS server that says whose certificate it was shown."""

    def __init__(self, leaf, clients=None):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf.cert, leaf.key)
        if clients:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(clients.cert)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.subjects = []
        self.start()

    def run(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            try:
                raw.settimeout(60)
                with self.context.wrap_socket(raw, server_side=True) as s:
                    self.subjects.append(s.getpeercert())
                    while b"\r\n\r\n" not in s.recv(4096):
                        pass
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                raw.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # or accept() goes on, perhaps on another's socket
        self.listener.close()


@pytest.fixture
def backend(ca):
    b = Backend(ca.leaf(["127.0.0.1", "localhost"]), ca)
    yield b
    b.stop()


def status(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers.get("X-Poise-Reason")


def test_what_backends_are_trusted_by(start, work, ca, backend):
    other = certificates.ca(work, "Other CA")
    ann = ca.client("ann")
    own = {"cert": str(ann.cert), "key": str(ann.key)}
    trusted = certificates.write(work / "trusted.pem", other.cert.read_bytes())

    def text(**more):
        return config(pool([("B1", f"127.0.0.1:{backend.port}")], tls=own | more))

    poise = start.poise(text(ca=str(trusted)), env=LOOK | {"SSL_CERT_FILE": str(ca.cert)})
    assert status(poise.port) == (502, "backend_certificate")
    trusted.write_bytes(ca.cert.read_bytes())
    poise.wait_for(r"files of TLS read again pool=app")
    assert status(poise.port)[0] == 200
    assert (("commonName", "ann"),) in backend.subjects[-1]["subject"]
    rewrite(poise, text(ca=str(other.cert)))
    assert status(poise.port) == (502, "backend_certificate")
    rewrite(poise, text())  # the system's
    assert status(poise.port)[0] == 200
    rewrite(poise, text(verify=False))
    assert status(poise.port)[0] == 200
    rewrite(poise, config(pool([("B1", f"127.0.0.1:{backend.port}")], tls={"ca": str(ca.cert)})))
    assert status(poise.port)[0] == 502  # shows no certificate of ours
    rewrite(poise, text(ca=str(ca.cert)))
    assert status(poise.port)[0] == 200
    rewrite(poise, config(pool([("B1", f"127.0.0.1:{backend.port}")])))  # in clear
    assert status(poise.port)[0] == 502
    os.kill(poise.engine_pid, signal.SIGKILL)
    poise.wait_for(r"engine serves again engine=(\d+)")


def test_a_pool_that_changes_to_tls_uses_no_connection_in_clear(start):
    (server,) = start.servers(1)
    poise = start.poise(config(pool([server])))
    assert status(poise.port)[0] == 200  # its connection is kept
    rewrite(poise, config(pool([server], tls={"verify": False})))
    for _ in range(5):
        assert status(poise.port) == (502, "backend_tls_failed")
    rewrite(poise, config(pool([server])))
    assert status(poise.port)[0] == 200
