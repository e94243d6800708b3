# SPDX-License-Identifier: MIT
"""ACME challenges: the folder is served through the supervisor, and certbot and uacme get certificates
from a certificate authority for tests (pebble) by way of the balancer."""

import itertools
import json
import os
import shutil
import stat
import subprocess
import threading

import certificates
import pytest
from programs import Held, pool, wait_until
from web import get

NAME = "www.example.com"
PATH = "/.well-known/acme-challenge/"

needs_pebble = pytest.mark.skipif(
    not all(shutil.which(p) for p in ("pebble", "pebble-challtestsrv", "openssl")), reason="needs pebble"
)


def config(work, server, **listener):
    folder = work / "root" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    plain = {"name": "plain", "listen": "127.0.0.1:0", "pool": "app", "acme_challenge": str(folder)}
    return folder, {"listeners": [plain | listener], "pools": [pool([server])]}


def test_files(work, start):
    folder, c = config(work, start.server("app"), redirect_https=443)
    poise = start.poise(c)
    (folder / "token").write_text("token.print")
    (folder / "secret").write_text("for root alone")
    (folder / "secret").chmod(0o600)
    (folder / "link").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe")
    (folder / "large").write_text("x" * 4097)
    answer = get(poise.port, PATH + "token")
    assert (answer.status, answer.body) == (200, b"token.print")
    assert answer.headers["X-Poise-Reason"] == "acme_challenge"
    # The supervisor reads, not the engine, which is somebody else where tests run as root.
    assert get(poise.port, PATH + "secret").body == b"for root alone"
    for name in ("link", "pipe", "large", "none", "..", ".", "%2e%2e%2ftoken", "token/", "tok%00en"):
        assert get(poise.port, PATH + name).status in (400, 404, 308), name
    assert get(poise.port, "/other").status == 308
    (folder / "token").unlink()
    assert get(poise.port, PATH + "token").status == 404


def test_a_listener_that_needs_no_pool(work, start):
    folder, c = config(work, start.server("app"), redirect_https=8443)
    del c["listeners"][0]["pool"], c["pools"]
    poise = start.poise(c | {"access_log": {"file": "-", "format": "json"}})
    (folder / "token").write_text("token.print")
    assert get(poise.port, PATH + "token").body == b"token.print"
    answer = get(poise.port, "/a?b")
    assert (answer.status, answer.headers["Location"]) == (308, "https://127.0.0.1:8443/a?b")
    wait_until(lambda: poise.out.count('"reason":') == 2, "both are logged")
    lines = [json.loads(line) for line in poise.out.splitlines() if line.startswith("{")]
    host = f"127.0.0.1:{poise.port}"
    assert {r["reason"]: (r["method"], r["host"], r["target"], r["pool"]) for r in lines} == {
        "acme_challenge": ("GET", host, PATH + "token", None),
        "redirected": ("GET", host, "/a?b", None),
    }


def test_reload_and_a_folder_that_goes(work, start):
    folder, c = config(work, start.server("app"))
    poise = start.poise(c)
    other = work / "other"
    other.mkdir()
    (folder / "t").write_text("before")
    (other / "t").write_text("after")
    assert get(poise.port, PATH + "t").body == b"before"
    c["listeners"][0]["acme_challenge"] = str(other)
    poise.config_path.write_text(json.dumps(c))
    poise.send(1)
    wait_until(lambda: get(poise.port, PATH + "t").body == b"after", "the other folder is served")
    shutil.rmtree(other)
    assert get(poise.port, PATH + "t").status == 404
    del c["listeners"][0]["acme_challenge"]
    poise.config_path.write_text(json.dumps(c))
    poise.send(1)
    wait_until(lambda: get(poise.port, PATH + "t").status == 200, "the backend is asked")


def flood(poise, tokens, done):
    """Asks for these without end from several connections; returns the threads and the statuses that came."""
    statuses = set()

    def ask(i):
        for n in itertools.count(i):
            if done.is_set():
                return
            statuses.add(get(poise.port, PATH + tokens(n)).status)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    return threads, statuses


def test_a_flood_of_questions(work, start):
    folder, c = config(work, start.server("app"))
    poise = start.poise(c)
    (folder / "t").write_text("x")
    done = threading.Event()
    threads, statuses = flood(poise, lambda n: "t" if n % 2 else f"made-up-{n}", done)
    try:
        answers = []
        for i in range(100):  # each is there just before it is asked for
            (folder / f"real-{i}").write_text(f"proof {i}")
            answers.append(get(poise.port, f"{PATH}real-{i}"))
            (folder / f"real-{i}").unlink()
        assert get(poise.port, "/").status == 200
    finally:
        done.set()
        for t in threads:
            t.join()
    assert [(a.status, a.body) for a in answers] == [(200, f"proof {i}".encode()) for i in range(100)]
    assert statuses == {200, 404}


class Authority:
    """pebble, and a name server that knows every name as this machine; it asks at the balancer's port."""

    def __init__(self, work, start, http_port):
        authority = certificates.ca(work)
        leaf = authority.leaf(["localhost", "127.0.0.1"])
        self.held = [Held() for _ in range(3)]
        acme, management, dns = (h.port for h in self.held)
        self.names = start.program(
            "pebble-challtestsrv", "-management", f"127.0.0.1:{management}", "-dns01", f"127.0.0.1:{dns}",
            "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
        )  # fmt: skip
        settings = {"pebble": {
            "listenAddress": f"127.0.0.1:{acme}", "managementListenAddress": "", "certificate": str(leaf.cert),
            "privateKey": str(leaf.key), "httpPort": http_port, "tlsPort": 1, "ocspResponderURL": "",
        }}  # fmt: skip
        (work / "pebble.json").write_text(json.dumps(settings))
        env = dict(os.environ, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0")
        self.program = start.program(
            "pebble", "-config", work / "pebble.json", "-dnsserver", f"127.0.0.1:{dns}", env=env
        )
        self.cert, self.url = authority.cert, f"https://127.0.0.1:{acme}/dir"
        self.program.wait_for("ACME directory available|Listening on")


def run(*words, **env):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                          env=dict(os.environ, **{k: str(v) for k, v in env.items()}))  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@needs_pebble
@pytest.mark.skipif(not shutil.which("certbot"), reason="needs certbot")
def test_certbot(work, start):
    _, c = config(work, start.server("app"), redirect_https=443)
    poise = start.poise(c)
    ca = Authority(work, start, poise.port)
    run("certbot", "certonly", "--webroot", "-w", work / "root", "-d", NAME, "--server", ca.url, "--agree-tos", "-n",
        "--register-unsafely-without-email", "--config-dir", work / "c", "--work-dir", work / "w",
        "--logs-dir", work / "l", REQUESTS_CA_BUNDLE=ca.cert)  # fmt: skip
    live = work / "c" / "live" / NAME
    assert NAME in certificates.openssl("x509", "-in", live / "fullchain.pem", "-noout", "-text").decode()


@needs_pebble
@pytest.mark.skipif(not shutil.which("uacme"), reason="needs uacme")
@pytest.mark.skipif(subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0, reason="needs namespaces")
def test_uacme(work, start):
    folder, c = config(work, start.server("app"), redirect_https=443)
    poise = start.poise(c)
    ca = Authority(work, start, poise.port)
    hook = work / "hook"
    text = (certificates.Path(__file__).resolve().parents[2] / "docs" / "acme.md").read_text()
    script = text.split("```sh\n", 1)[1].split("```", 1)[0].replace("/var/lib/poise/acme", str(folder))
    hook.write_text(script)
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    # It knows no other authorities than the system's: here the test's lies in their place.
    trust = 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"'
    words = ["unshare", "-rm", "sh", "-c", trust, ca.cert, "uacme", "-a", ca.url, "-c", work / "uacme", "-y"]
    run(*words, "new")
    run(*words, "-h", hook, "issue", NAME)
    cert = work / "uacme" / NAME / "cert.pem"
    assert NAME in certificates.openssl("x509", "-in", cert, "-noout", "-text").decode()
    assert not list(folder.iterdir())  # the hook has tidied up
