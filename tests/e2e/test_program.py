# SPDX-License-Identifier: MIT
"""The program as an operator meets it: words, exit codes, signals."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest
import web
from programs import BINARY, config, pool, wait_until


def poise(*words, **options):
    return subprocess.run(
        [BINARY, *map(str, words)], capture_output=True, text=True, timeout=100, **options
    )


def test_version_and_help():
    assert re.match(r"poise \d+\.\d+\.\d+", poise("--version").stdout)
    for words in (["--help"], ["help"], ["help", "run"], ["run", "--help"]):
        done = poise(*words)
        assert done.returncode == 0 and "run" in done.stdout, words


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run", "--nonsense"],
        ["run", "--listen"],
        ["run", "--listen", "127.0.0.1:0"],
        ["test-server", "--port", "many"],
        ["check", "one", "two", "three"],
    ],
)
def test_wrong_words_exit_with_2(words):
    done = poise(*words)
    assert done.returncode == 2, done
    assert done.stderr.strip() and not done.stdout, done


BROKEN = """listeners:
  - name: web
    listen: 127.0.0.1:0
    protocl: http
    pool: app
pools:
  - name: app
    balance: rund_robin
    backends:
      - {name: B1, address: 127.0.0.1:1}
      - {name: B1, address: 127.0.0.1:2, weight: heavy}
"""


@pytest.mark.parametrize("verb", ["run", "check"])
def test_every_error_of_a_configuration_in_one_run(work, verb):
    path = work / "broken.yaml"
    path.write_text(BROKEN)
    done = poise(verb, "-c", path)
    assert done.returncode == 3, done
    said = done.stderr + done.stdout
    for line, column in ((4, 5), (8, 14), (11, 16), (11, 50)):
        assert f"{path}:{line}:{column}:" in said, said
    assert re.search(r"did you mean '?protocol", said), said
    assert re.search(r"did you mean '?round_robin", said), said
    assert "    protocl: http" in said and "^" in said, said
    assert ":11:" in said and "B1" in said, said


def test_a_file_that_is_not_there(work):
    assert poise("run", "-c", work / "absent.yaml").returncode in (3, 4)


def test_a_good_file_is_good(work):
    path = work / "good.yaml"
    path.write_text(json.dumps(config(pool([("B1", "127.0.0.1:1")]))))
    assert poise("check", "-c", path).returncode == 0
    effective = poise("check", "-c", path, "--effective")
    assert effective.returncode == 0 and "round_robin" in effective.stdout


def test_an_address_in_use_exits_with_4(work):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = work / "poise.yaml"
        listener = {"listen": "127.0.0.1:%d" % taken.getsockname()[1]}
        path.write_text(json.dumps(config(pool([("B1", "127.0.0.1:1")]), listener=listener)))
        done = poise("run", "-c", path)
        assert done.returncode == 4, done
        assert str(taken.getsockname()[1]) in done.stderr, done


def test_a_second_balancer_on_the_same_port_exits_with_4(start, work):
    first = start.poise(config(pool([("B1", "127.0.0.1:1")])))
    path = work / "second.yaml"
    listener = {"listen": f"127.0.0.1:{first.port}"}
    path.write_text(json.dumps(config(pool([("B1", "127.0.0.1:1")]), listener=listener)))
    assert poise("run", "-c", path).returncode == 4


def test_a_log_that_cannot_be_opened_exits_with_4(work):
    path = work / "poise.yaml"
    log = {"file": str(work / "no" / "such" / "folder" / "log")}
    path.write_text(json.dumps(config(pool([("B1", "127.0.0.1:1")]), access_log=log | {"format": "json"})))
    assert poise("run", "-c", path).returncode == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_end_it_gracefully(start, number):
    server = start.server("B1", "--delay", "1s")
    balancer = start.poise(config(pool([server])))
    with web.connect(balancer.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: socket_count(balancer.engine_pid) >= 2, "the request is under way")
        balancer.send(number)
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
    balancer.end(0, number=0)


def socket_count(pid):
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except OSError:
            pass
    return count


def test_a_second_term_ends_it_at_once(start):
    server = start.server("B1", "--delay", "60s")
    balancer = start.poise(config(pool([server]), drain={"deadline": "10m"}))
    with web.connect(balancer.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: socket_count(balancer.engine_pid) >= 3, "the request is under way")
        balancer.send(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            balancer.process.wait(0.5)
        balancer.send(signal.SIGTERM)
        balancer.process.wait(20)


def test_nobody_new_is_let_in_while_it_drains(start):
    server = start.server("B1", "--delay", "2s")
    balancer = start.poise(config(pool([server])))
    with web.connect(balancer.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: socket_count(balancer.engine_pid) >= 3, "the request is under way")
        balancer.send(signal.SIGTERM)

        def refused():
            try:
                web.connect(balancer.port, timeout=5).close()
                return False
            except ConnectionError:
                return True

        wait_until(refused, "new connections are refused")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
    balancer.end(0, number=0)


def test_logs_are_opened_anew_on_usr1(start, work):
    access, events = work / "access.log", work / "events.log"
    settings = config(
        pool(start.servers(1)),
        log={"file": str(events)},
        access_log={"file": str(access), "format": "json"},
    )
    balancer = start.poise(settings)
    web.get(balancer.port, "/one")
    wait_until(lambda: "/one" in access.read_text(), "the first record")
    access.rename(work / "old")
    events.rename(work / "old-events")
    balancer.send(signal.SIGUSR1)
    wait_until(lambda: access.exists() and events.exists(), "new files")
    web.get(balancer.port, "/two")
    wait_until(lambda: "/two" in access.read_text(), "the second record")
    assert "/two" not in (work / "old").read_text()


def test_every_exchange_has_one_record(start, work):
    access = work / "access.log"
    settings = config(pool(start.servers(2)), access_log={"file": str(access), "format": "json"})
    balancer = start.poise(settings, "--workers", "2")
    for i in range(50):
        web.get(balancer.port, f"/{i}")
    balancer.end()
    records = [json.loads(line) for line in access.read_text().splitlines()]
    assert sorted(r["target"] for r in records) == sorted(f"/{i}" for i in range(50))
    assert {r["status"] for r in records} == {200} and {r["reason"] for r in records} == {"ok"}
    assert len({r["request_id"] for r in records}) == 50


def test_the_demo_ends_by_itself():
    done = poise("demo", "--seconds", "5", stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_a_full_disk_of_logs_stops_nothing(start):
    settings = config(pool(start.servers(1)), access_log={"file": "/dev/full", "format": "json"})
    balancer = start.poise(settings)
    for _ in range(200):
        assert web.get(balancer.port).status == 200
