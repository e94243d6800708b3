# SPDX-License-Identifier: MIT
"""PostgreSQL through TCP mode: a transaction goes on while another backend is killed."""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess

import memory
import pytest
from programs import Held, config, pool, wait_until

HEALTH = {"type": "tcp", "interval": "200ms", "rise": 1, "fall": 1}


def tools():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not found or not shutil.which("psql"):
        pytest.skip("PostgreSQL is not installed")
    return found[-1]


def owner():
    """PostgreSQL does not run as root: then another user owns it."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        except KeyError:
            continue
    pytest.skip("no user to run PostgreSQL as")


class Cluster:
    def __init__(self, start, template, directory, name):
        self.held, who = Held(), owner()
        self.data = directory / name
        subprocess.run(["cp", "-a", template, self.data], check=True)
        self.program = start.program(
            *[f"{tools()}/postgres", "-D", self.data, "-p", self.held.port, "-h", "127.0.0.1"],
            *["-k", "", "-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap"],
            name=name,
            cwd=directory,
            **who,
        )
        self.program.wait_for("ready to accept connections", seconds=30)

    @property
    def address(self):
        return self.held.address

    def kill(self):
        """The whole server at once, as a power cut would."""
        if self.program.running():
            for pid in memory.children(self.program.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.program.kill()


@pytest.fixture
def clusters(start, work):
    """Two servers with equal contents; table "who" says which one it is."""
    who, template = owner(), work / "template"
    template.mkdir()
    if who:
        os.chown(template, who["user"], who["group"])
    words = [f"{tools()}/initdb", "-D", template, "-A", "trust", "-U", "test", "-N", "--no-locale"]
    subprocess.run(words, check=True, capture_output=True, timeout=100, cwd=work, **who)
    both = [Cluster(start, template, work, f"pg{i}") for i in (1, 2)]
    yield both
    for cluster in both:
        cluster.kill()
        cluster.held.close()


class Session:
    """psql at a prompt, one statement at a time."""

    def __init__(self, port):
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", "test", "postgres"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ask(self, statement):
        self.process.stdin.write(f"{statement};\n\\echo done.\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline().rstrip("\n")) != "done.":
            assert self.process.poll() is None or line, lines
            lines.append(line)
        return lines

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


def test_a_transaction_outlives_another_backend(start, clusters):
    backends = [("pg1", clusters[0].address), ("pg2", clusters[1].address)]
    app = pool(backends, protocol="tcp", health=HEALTH)
    poise = start.poise(config(app, "tcp"), "--workers", "2")
    sessions = [Session(poise.port), Session(poise.port)]
    ports = [s.ask("SELECT inet_server_port()")[0] for s in sessions]
    assert sorted(ports) == sorted(str(c.held.port) for c in clusters)

    session = sessions[ports.index(str(clusters[0].held.port))]
    session.ask("CREATE TABLE t (n int)")
    session.ask("BEGIN")
    session.ask("INSERT INTO t SELECT generate_series(1, 10000)")
    clusters[1].kill()
    poise.wait_for(r"backend=pg2.*state=down")
    assert session.ask("SELECT count(*), sum(n) FROM t") == ["10000|50005000"]
    session.ask("INSERT INTO t VALUES (7)")
    session.ask("COMMIT")

    # Everybody new is taken to the one that lives, and finds what was committed.
    for _ in range(3):
        again = Session(poise.port)
        assert again.ask("SELECT count(*), sum(n) FROM t") == ["10001|50005007"]
        again.end()
    for s in sessions:
        s.end()


def test_large_results(start, clusters):
    poise = start.poise(config(pool([("pg", clusters[0].address)], protocol="tcp"), "tcp"))
    session = Session(poise.port)
    rows = session.ask("SELECT repeat('x', 10000) || n FROM generate_series(1, 1000) n")
    assert len(rows) == 1000 and rows[999] == "x" * 10000 + "1000"
    session.end()


def test_pgbench(start, clusters):
    poise = start.poise(config(pool([("pg", clusters[0].address)], protocol="tcp"), "tcp"))
    words = ["-h", "127.0.0.1", "-p", str(poise.port), "-U", "test", "postgres"]
    pgbench = f"{tools()}/pgbench"
    subprocess.run([pgbench, "-i", "-q", *words], check=True, capture_output=True, timeout=60)
    done = subprocess.run(
        [pgbench, "-c", "8", "-t", "50", *words], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "number of transactions actually processed: 400/400" in done.stdout, done.stdout
    wait_until(lambda: poise.running(), "it runs")
