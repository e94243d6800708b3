# SPDX-License-Identifier: MIT
"""The parts of the benchmark about TLS and HTTP/2, in the same way as sections.py. Every one has its own
contenders, the first of them twice, which shows the noise of each workload."""

import contextlib
import os
import subprocess

from contenders import CONNECTIONS
from measure import measure, rounds_of, say, summary
from workloads import BACKENDS_H2, HTTPS, MULTIPLEXED, SECURE

IDLE_TLS = min(int(os.environ.get("BENCH_IDLE_TLS", "4000")), CONNECTIONS - 300)
AGAIN = " again"


def certificate(directory):
    """ECDSA with P-256, and its key, in one file; as good for all as any other."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=www.example.org -addext subjectAltName=DNS:www.example.org"
    )
    done = subprocess.run([*words.split(), "-keyout", key, "-out", cert], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl: {done.stderr}")
    cert.write_text(cert.read_text() + key.read_text())
    key.unlink()
    return cert


@contextlib.contextmanager
def able(bench, variant, twin=True, **options):
    """Those that start with these options, by their names alone. Others are reported as not available."""
    with contextlib.ExitStack() as stack:
        made = []

        def make(kind, twin=False):
            all_options = {"backends": bench.load.backends, "cpus": bench.cpu, "tcp": False} | options
            name = variant + ("-twin" if twin else "")
            try:
                made.append(kind(directory=bench.directory, variant=name, **all_options))
            except (RuntimeError, AssertionError) as e:
                say(f"bench: {kind.name}{variant}: not available: {str(e).strip()}")
                return
            stack.callback(made[-1].end)
            made[-1].label = kind.name + (AGAIN if twin else "")

        for kind in [k for k in bench.kinds if k.name != "relay"]:
            make(kind)
        first = next((c for c in made if c.https_port or c.h2_port or "cert" not in options), None)
        if first and twin:
            make(type(first), True)
        yield made


def rows_of(bench, contenders, workload):
    """By label; None is not available."""
    say(f"bench: {workload.name}")
    samples = rounds_of(bench.load, contenders, workload, bench.errors)
    names = [k.name for k in bench.kinds if k.name != "relay"]
    return {n: None for n in names} | (summary(samples, names[0]) if samples else {})


def compare(bench, variant, workloads):
    with able(bench, variant, cert=bench.certificate) as contenders:
        return {w.name: rows_of(bench, contenders, w) for w in workloads if bench.wants(w.name)}


def tls(bench):
    return compare(bench, "-tls", SECURE)


def h2(bench):
    return compare(bench, "-h2", MULTIPLEXED)


def h2_backends(bench):
    """HTTP/1 clients with backends over HTTP/1 and over HTTP/2, in the same rounds."""
    out = {}
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(able(bench, "-b1"))
        two = stack.enter_context(
            able(bench, "-b2", twin=False, backends=bench.load.h2_backends, backends_h2=True)
        )
        for contender in two:
            contender.label += "/h2"
        for workload in BACKENDS_H2:
            say(f"bench: {workload.name}, backends over HTTP/1 and HTTP/2")
            samples = rounds_of(bench.load, one + two, workload, bench.errors)
            rows = {}
            for kind in [c.name for c in one if not c.label.endswith(AGAIN)]:
                mine = {l: s for l, s in samples.items() if l.partition("/")[0].removesuffix(AGAIN) == kind}
                rows |= {kind + "/h2": None} | summary(mine, kind)
            out[workload.name] = rows
    return out


def tls_memory(bench):
    """Growth of PSS for each idle HTTPS connection, after it has served before."""
    out = {}
    for kind in [k for k in bench.kinds if k.name != "relay"]:
        out[kind.name] = None
    with able(bench, "-idle-tls", twin=False, cert=bench.certificate) as contenders:
        for contender in [c for c in contenders if c.https_port]:
            say(f"bench: memory of {contender.name}, TLS")
            measure(bench.load, contender, HTTPS, bench.errors, warm_ms=100, measure_ms=200)
            before = contender.pss()
            try:
                answer = bench.load.ask("open", contender.https_port, IDLE_TLS, "tls=1")
                if answer["errors"]:
                    bench.errors.append(f"{contender.name}: {answer['errors']} idle connections failed")
                out[contender.name] = (contender.pss() - before) / IDLE_TLS
            finally:
                bench.load.ask("shut")
    return {"idle": IDLE_TLS, "bytes": out}
