# SPDX-License-Identifier: MIT
"""What auditors find on a TLS listener: sslscan and testssl.sh, the latter in short, and as a whole with
POISE_FULL=1, which takes minutes. Nothing that they rate as weak is let pass but what is listed here."""

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from programs import SCALE, Held, config, pool

FULL = os.environ.get("POISE_FULL")
TESTSSL = shutil.which("testssl") or shutil.which("testssl.sh")
SHORT = ["--fast", "-p", "-s", "-f", "-U"]  # protocols, suites, forward secrecy, vulnerabilities

# Mozilla's intermediate configuration.
CIPHERS = {
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
}  # fmt: skip
GROUPS = {"x25519", "secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)"}

# Findings of testssl.sh that say nothing against the server.
EXCEPTIONS = {
    "cipher_order": "every suite on offer is strong, so the client chooses by what its machine does well",
    "engine_problem": "a WARN: the openssl of this machine has no GOST",
    "RC4": "a WARN: the openssl of this machine has no RC4 to try; sslscan brings its own and finds none",
    "sessionresumption_ticket": "a WARN: openssl may end before the ticket is there that follows a handshake",
    "cert_revocation": "the authority of the test publishes no list and has no responder",
    "DNS_CAArecord": "localhost has no DNS record",
    "cert_serialNumberLen": "the authority of the test counts its certificates",
    "security_headers": "a MEDIUM: they are the application's to send",
}


class Scanned:
    """What sslscan saw."""

    def __init__(self, port, work):
        path = work / "sslscan.xml"
        run("sslscan", "--show-certificate", f"--xml={path}", f"localhost:{port}")
        self.test = ElementTree.parse(path).find("ssltest")
        assert self.test is not None, path.read_text()

    def all(self, tag, key):
        return {e.get(key) for e in self.test.findall(tag)}

    def protocols(self):
        on = [e for e in self.test.findall("protocol") if e.get("enabled") == "1"]
        return {e.get("type").upper() + e.get("version") for e in on}


def run(*words, seconds=280):
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds * SCALE
    )
    assert done.stdout, f"{words}: {done.stderr}"
    return done


@pytest.fixture
def listener(start, authority):
    """The port of a listener that does what its defaults are, with certificates of both kinds."""
    leaves = [authority.leaf(["localhost"], key, days=300) for key in ("ec", "rsa")]
    files = [{"cert": str(l.cert), "key": str(l.key)} for l in leaves]
    settings = config(pool([start.server("B1")]), listener={"tls": {"certificates": files, "hsts": "365d"}})
    return start.poise(settings).port


@pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed")
def test_sslscan(listener, work):
    found = Scanned(listener, work)
    assert found.protocols() == {"TLS1.2", "TLS1.3"}
    assert found.all("cipher", "cipher") == CIPHERS
    assert found.all("cipher", "strength") <= {"strong", "acceptable"}
    assert found.all("group", "name") == GROUPS
    assert found.all("heartbleed", "vulnerable") == {"0"}
    assert found.all("renegotiation", "supported") == {"0"} or found.all("renegotiation", "secure") == {"1"}
    assert found.all("compression", "supported") <= {"0"}
    assert found.test.find("fallback") is None or found.all("fallback", "supported") == {"1"}


@pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed")
def test_sslscan_sees_what_is_weak(start, work, authority):
    """The same eyes on a server that is open to everything its library still has."""
    leaf, held = authority.leaf(["localhost"], "rsa"), Held()
    weak = ["-min_protocol", "TLSv1", "-cipher", "ALL:@SECLEVEL=0", "-groups", "P-521:P-256"]
    server = start.program(
        "openssl", "s_server", "-accept", f"127.0.0.1:{held.port}", "-cert", leaf.cert, "-key", leaf.key, "-www", *weak
    )
    server.wait_for("ACCEPT")
    found = Scanned(held.port, work)
    assert {"TLS1.0", "TLS1.1"} < found.protocols()
    assert "AES128-SHA" in found.all("cipher", "cipher") - CIPHERS
    assert found.all("group", "name") - GROUPS
    held.close()


@pytest.mark.skipif(not TESTSSL, reason="testssl.sh is not installed")
def test_testssl(listener, work, authority):
    path = work / "testssl.json"
    words = [TESTSSL, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"]
    words += [] if FULL else SHORT
    words += ["--add-ca", authority.cert, "--jsonfile", path, f"localhost:{listener}"]
    done = run(*(str(w) for w in words), seconds=1500 if FULL else 280)
    findings = json.loads(path.read_text())
    looked_at = {f["id"] for f in findings}
    assert {"TLS1_1", "heartbleed", "ROBOT", "LUCKY13"} <= looked_at, done.stdout
    bad = [f for f in findings if f["severity"] not in ("OK", "INFO") and f["id"].split()[0] not in EXCEPTIONS]
    assert not bad, json.dumps(bad, indent=1) + done.stdout
