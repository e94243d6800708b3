# SPDX-License-Identifier: MIT
"""Certificates for tests, made with the openssl command.

    authority = certificates.ca(work)                       # makes a folder work/ca
    leaf = authority.leaf(["a.example.com", "*.example.com", "127.0.0.1"])
    leaf.cert, leaf.key, leaf.both                          # paths: the chain, the key, both in one file
    ann = authority.client("ann", ["email:ann@example.com"])
    leaf.staple(days=1)                                     # path of an OCSP response in DER
    leaf.fingerprint                                        # SHA-256 of the certificate, hex in lower case
"""

import datetime
import hashlib
import ipaddress
import os
import re
import ssl
import subprocess
from pathlib import Path

CONFIG = """
[ca]
default_ca = this
[this]
dir = {dir}
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir/issued
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = optional
organizationName = optional
[req]
distinguished_name = empty
prompt = no
[empty]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

KEYS = {
    "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "ed25519": ["-algorithm", "ED25519"],
}


def openssl(*words, **options):
    words = ["openssl", *(str(w) for w in words)]
    run = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, **options)
    assert run.returncode == 0, f"{' '.join(words)}:\n{run.stderr.decode(errors='replace')}"
    return run.stdout


def moment(days):
    """So many days from now as openssl wants it; negative: ago."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return at.strftime("%Y%m%d%H%M%SZ")


def alternative(name):
    """A subject alternative name: "dns" and "ip" are told apart, others bear their kind."""
    if name.split(":")[0] in ("email", "URI", "DNS", "IP"):
        return name
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def write(path, text, mode=0o600):
    path.touch(mode=mode)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


class Leaf:
    def __init__(self, authority, base):
        self.authority = authority
        self.cert, self.key = base.with_suffix(".pem"), base.with_suffix(".key")
        self.both = base.with_suffix(".both.pem")

    @property
    def der(self):
        first = self.cert.read_text().split("-----END CERTIFICATE-----")[0]
        return ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN") :] + "-----END CERTIFICATE-----\n")

    @property
    def fingerprint(self):
        return hashlib.sha256(self.der).hexdigest()

    @property
    def not_after(self):
        text = openssl("x509", "-in", self.cert, "-noout", "-enddate").decode().split("=", 1)[1].strip()
        return int(ssl.cert_time_to_seconds(text))

    def staple(self, days=1, path=None, revoked=False):
        """An OCSP response of the authority; days < 0: one that is over (its signature too is not good then)."""
        return self.authority.staple(self, days, path or self.cert.with_suffix(".ocsp"), revoked)

    def replace(self, other):
        """Becomes another one in place, as renewals do: whole files are moved over the old ones."""
        for mine, its in ((self.key, other.key), (self.cert, other.cert), (self.both, other.both)):
            new = write(mine.with_name(mine.name + ".new"), its.read_bytes())
            os.replace(new, mine)


class Authority:
    """A CA in a folder of its own; `cert` is what to trust."""

    def __init__(self, folder, name, issuer=None):
        self.folder, self.name, self.issuer, self.count = Path(folder), name, issuer, 0
        (self.folder / "issued").mkdir(parents=True)
        self.cert, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self.config = write(self.folder / "openssl.cnf", CONFIG.format(dir=self.folder))
        write(self.folder / "index.txt", "")
        write(self.folder / "serial", "1000\n")
        self._key("ec", self.key)
        if issuer:
            issuer._sign(self.key, self.cert, f"/CN={name}", CONFIG.split("[root]")[1], 3650, -1)
        else:
            openssl("req", "-new", "-x509", "-key", self.key, "-out", self.cert, "-subj", f"/CN={name}",
                    "-days", 3650, "-config", self.config, "-extensions", "root")  # fmt: skip
        self.cert.chmod(0o644)

    def _key(self, kind, path):
        write(path, openssl("genpkey", *KEYS[kind]))

    def _sign(self, key, cert, subject, extensions, days, since):
        request, extra = cert.with_suffix(".csr"), cert.with_suffix(".ext")
        write(extra, extensions)
        openssl("req", "-new", "-key", key, "-out", request, "-subj", subject, "-config", self.config)
        openssl("ca", "-batch", "-notext", "-config", self.config, "-in", request, "-out", cert, "-extfile", extra,
                "-startdate", moment(since), "-enddate", moment(days))  # fmt: skip
        request.unlink()
        extra.unlink()

    def _issue(self, subject, extensions, key, days, since, name):
        self.count += 1
        leaf = Leaf(self, self.folder / (name or f"{self.count:03}-{key}"))
        self._key(key, leaf.key)
        self._sign(leaf.key, leaf.cert, subject, extensions, days, since)
        if self.issuer:
            leaf.cert.write_bytes(leaf.cert.read_bytes() + self.cert.read_bytes())
        leaf.cert.chmod(0o644)
        write(leaf.both, leaf.cert.read_bytes() + leaf.key.read_bytes())
        return leaf

    def leaf(self, names, key="ec", days=90, since=-1, cn=None, name=None, usage="serverAuth"):
        """Of a server. `names` are host names, "*.example.com" and IP addresses; none = no names at all.
        days < 0: expired. `name` is that of its files."""
        subject = "/CN=" + (cn or (names[0] if names else "nameless"))
        extensions = f"basicConstraints = CA:false\nextendedKeyUsage = {usage}\n"
        if names:
            extensions += "subjectAltName = " + ", ".join(alternative(n) for n in names) + "\n"
        return self._issue(subject, extensions, key, days, min(since, days - 1), name)

    def client(self, cn, sans=(), key="ec", days=90, organization=None, name=None):
        """Of a client: its common name and alternative names ("email:..", "URI:..", host names)."""
        subject = (f"/O={organization}" if organization else "") + f"/CN={cn}"
        extensions = "basicConstraints = CA:false\nextendedKeyUsage = clientAuth\n"
        if sans:
            extensions += "subjectAltName = " + ", ".join(alternative(n) for n in sans) + "\n"
        return self._issue(subject, extensions, key, days, min(-1, days - 1), name)

    def intermediate(self, name="Test Intermediate CA"):
        """A CA below this one; its leaves bring it along in their chain."""
        return Authority(self.folder / name.replace(" ", "-"), name, self)

    def staple(self, leaf, days, path, revoked):
        single = write(path.with_suffix(".one.pem"), leaf.cert.read_text().split("-----END CERTIFICATE-----")[0]
                       + "-----END CERTIFICATE-----\n")  # fmt: skip
        if revoked:
            openssl("ca", "-config", self.config, "-revoke", single)
        request = path.with_suffix(".request")
        openssl("ocsp", "-issuer", self.cert, "-cert", single, "-no_nonce", "-reqout", request)
        words = ["-index", self.folder / "index.txt", "-CA", self.cert, "-rsigner", self.cert, "-rkey", self.key]
        openssl("ocsp", *words, "-reqin", request, "-respout", path, "-ndays", max(days, 1))
        if days < 0:
            path.write_bytes(re.sub(rb"\d{14}Z", moment(days).encode(), path.read_bytes()))
        request.unlink()
        single.unlink()
        path.chmod(0o644)
        return path


def ca(work, name="Test CA"):
    """A new authority in a folder of its own below `work`."""
    return Authority(Path(work) / name.replace(" ", "-"), name)
