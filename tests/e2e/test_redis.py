# SPDX-License-Identifier: MIT
"""Redis through TCP mode."""

import re
import shutil
import subprocess

import pytest
from programs import SANITIZER, Held, config, pool, wait_until
import web


@pytest.fixture
def redis(start, work):
    if not shutil.which("redis-server") or not shutil.which("redis-cli"):
        pytest.skip("redis is not installed")
    held = Held()
    program = start.program(
        *["redis-server", "--port", held.port, "--bind", "127.0.0.1", "--dir", work],
        *["--save", "", "--appendonly", "no"],
    )

    def listens():
        assert program.running(), program.out
        try:
            web.connect(held.port).close()
            return True
        except OSError:
            return False

    wait_until(listens, "redis listens")
    app = pool([("redis", held.address)], protocol="tcp", health={"type": "tcp", "interval": "1s"})
    yield start.poise(config(app, "tcp"), "--workers", "2")
    program.end()
    held.close()


def cli(port, *words, **options):
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *words], capture_output=True, timeout=60, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_values(redis):
    assert cli(redis.port, "SET", "key", "value") == b"OK"
    assert cli(redis.port, "GET", "key") == b"value"
    big = b"x" * 5_000_000
    assert cli(redis.port, "-x", "SET", "big", input=big) == b"OK"
    assert cli(redis.port, "GET", "big") == big


def test_benchmark(redis):
    requests = "20000" if not SANITIZER else "2000"
    done = subprocess.run(
        ["redis-benchmark", "-p", str(redis.port), "-n", requests, "-c", "50", "-P", "4", "-q"]
        + ["-t", "set,get,lpush,lrange_100"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"requests per second", done.stdout)) >= 4, done.stdout
    assert "rror" not in done.stdout + done.stderr, done.stdout
