# SPDX-License-Identifier: MIT
"""The verbs that look into a running balancer and change it, as a user types them."""

import json
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest
from admin import Admin
from programs import BINARY, SCALE, config, pool, wait_until

TOKEN = "a-token-of-the-test"


@pytest.fixture
def balancer(start, work):
    servers = start.servers(3)
    admin = {"listen": "127.0.0.1:0", "socket": str(work / "admin.sock"), "token": TOKEN}
    health = {"type": "http", "path": "/health", "interval": "100ms", "timeout": "1s", "rise": 1, "fall": 1}
    poise = start.poise(config(pool(servers, health=health), admin=admin))
    poise.servers, poise.socket = servers, admin["socket"]
    (found,) = poise.wait_for(r"^Admin at http://(\S+?)/?$")
    poise.admin = found
    return poise


def run(poise, *words, code=0, where=None, env=None):
    where = ["--socket", poise.socket] if where is None else where
    done = subprocess.run(
        [BINARY, *map(str, words), *where],
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        env=os.environ | {"NO_COLOR": "1"} | (env or {}),
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


def data(poise, *words):
    return json.loads(run(poise, *words, "--json"))


def configuration(poise):
    return Path(next(a for a in poise.process.args if a.endswith(".yaml")))


def backend(poise, name):
    return next(b for b in data(poise, "pools", "app")["backends"] if b["name"] == name)


def ask(poise, n):
    done = subprocess.run(
        [BINARY, "test-client", "--port", str(poise.port), "--http", "-n", str(n), "--json"],
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["backends"]


def test_status_says_how_it_is_doing(balancer):
    ask(balancer, 30)
    text = run(balancer, "status")
    assert re.match(r"Poise \d+\.\d+\.\d+, serving for \d+s, generation 1\n", text)
    assert "3 of 3 up" in text
    status = wait_until(
        lambda: (s := data(balancer, "status"))["requests"] >= 30 and s, "the requests are counted"
    )
    assert status["state"] == "serving" and status["backends"] == {"total": 3, "up": 3}


def test_a_log_line_does_not_steer_the_terminal(balancer):
    address = "unix:/nowhere/\x1b]0;owned\x07\x1b[2J"
    answer = Admin(balancer, balancer.socket).ask("POST", "/api/v1/pools/app/backends", {"address": address})
    assert answer.status == 201, answer.body
    text = wait_until(lambda: "owned" in (t := run(balancer, "logs")) and t, "the log says it")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), repr(text)


def test_a_dead_backend_is_named_with_its_reason(balancer):
    balancer.servers[1].kill()
    wait_until(lambda: backend(balancer, "B2")["state"] == "down", "B2 is down")
    for verb in ("status", "backends", "health"):
        text = run(balancer, verb)
        line = next(l for l in text.splitlines() if "B2" in l)
        assert "down" in line and "refused" in line, text


def test_health_fails_when_a_pool_has_nothing_left(balancer):
    run(balancer, "health")
    for server in balancer.servers:
        server.kill()
    wait_until(lambda: data(balancer, "status")["backends"]["up"] == 0, "all are down")
    run(balancer, "health", code=1)


def test_tables_have_a_row_for_each(balancer):
    pools = run(balancer, "pools").splitlines()
    assert pools[0].split()[0] == "POOL" and pools[1].split()[:2] == ["app", "http"] and len(pools) == 2
    backends = run(balancer, "backends", "app").splitlines()
    assert [l.split()[1] for l in backends[1:]] == ["B1", "B2", "B3"]
    assert "poise_build_info{" in run(balancer, "metrics")


def test_listeners_have_the_ports_they_got(balancer):
    with open(configuration(balancer)) as file:
        assert '"127.0.0.1:0"' in file.read()
    answer = Admin(balancer, balancer.socket).get("/api/v1/listeners")
    assert answer["listeners"][0]["addresses"] == [f"127.0.0.1:{balancer.port}"]


def test_a_wrong_name_is_answered_with_the_right_one(balancer):
    assert "there is no pool 'ap'; did you mean 'app'?" in run(balancer, "pools", "ap", code=1)
    assert "did you mean 'B2'?" in run(balancer, "drain", "app", "B22", code=1)


def test_draining_takes_a_backend_out_and_enabling_brings_it_back(balancer):
    run(balancer, "drain", "app", "B1", "--wait")
    assert backend(balancer, "B1")["state"] in ("draining", "drained")
    assert set(ask(balancer, 20)) == {"B2", "B3"}
    run(balancer, "backends", "enable", "app", "B1")
    assert ask(balancer, 30) == {"B1": 10, "B2": 10, "B3": 10}


def test_disabling_and_weights(balancer):
    run(balancer, "disable", "app", "B3")
    assert backend(balancer, "B3")["admin_state"] == "disabled"
    run(balancer, "weight", "app", "B1", 3)
    assert ask(balancer, 40) == {"B1": 30, "B2": 10}


def test_backends_come_and_go(balancer, start):
    server = start.server("B4")
    text = run(balancer, "backends", "add", "app", f"{server.address},name=B4,weight=2")
    assert "app/B4 added" in text
    wait_until(lambda: backend(balancer, "B4")["state"] == "up", "B4 is up")
    assert ask(balancer, 50) == {"B1": 10, "B2": 10, "B3": 10, "B4": 20}
    run(balancer, "remove", "app", "B4", "--wait")
    assert set(ask(balancer, 30)) == {"B1", "B2", "B3"}
    again = f"{balancer.servers[0].address},name=B1"
    assert "'B1'" in run(balancer, "backends", "add", "app", again, code=1)


def test_reload_tells_what_changed_and_refuses_what_is_wrong(balancer):
    path = configuration(balancer)
    text = path.read_text()
    path.write_text(text.replace('"name": "B3"', '"name": "B3", "weight": 5'))
    assert "B3" in run(balancer, "reload", "--plan")
    assert backend(balancer, "B3")["weight"] == 1
    run(balancer, "reload")
    assert backend(balancer, "B3")["weight"] == 5
    path.write_text(text.replace('"backends"', '"bakends"'))
    error = run(balancer, "reload", code=3)
    assert re.search(r"\.yaml:\d+:\d+", error) and "backends" in error
    assert data(balancer, "status")["generation"] == 2
    path.write_text(text)


def test_the_address_wants_the_token_for_changes(balancer):
    where = ["--admin", balancer.admin]
    run(balancer, "status", where=where)
    assert "--token" in run(balancer, "drain", "app", "B1", where=where, code=1)
    assert "not the token" in run(
        balancer, "drain", "app", "B1", where=[*where, "--token", "something-else"], code=1
    )
    run(balancer, "drain", "app", "B1", where=where, env={"POISE_TOKEN": TOKEN})


def test_the_configuration_tells_where_it_is(balancer):
    path = configuration(balancer)
    run(balancer, "status", where=["-c", path])


def test_nobody_there_is_said_with_what_to_do(start, work):
    error = run(None, "status", code=1, where=["--socket", work / "none.sock"])
    assert f"no balancer answers at unix:{work}/none.sock" in error and "--admin" in error


def test_logs_show_what_was_and_follow_what_comes(balancer, start):
    assert "started" in run(balancer, "logs")
    follower = start.program(BINARY, "logs", "-f", "-n", 1, "--socket", balancer.socket)
    follower.wait_for(r"(?m)^\d{4}-")
    balancer.servers[2].kill()
    follower.wait_for(r"health .*backend=B3.* state=down|health .*state=down.* backend=B3")


def test_sessions_show_what_runs(balancer, start):
    slow = start.program("curl", "-sS", f"{balancer.url}/delay/1500")
    row = wait_until(
        lambda: next(iter(data(balancer, "sessions")["sessions"]), None), "the request is under way"
    )
    assert row["target"] == "/delay/1500" and row["pool"] == "app" and row["backend"]
    assert "/delay/1500" in run(balancer, "sessions")
    ended = wait_until(
        lambda: next(
            (s for s in data(balancer, "sessions", "--recent")["sessions"] if s["target"] == "/delay/1500"), None
        ),
        "it has ended",
    )
    assert ended["status"] == 200 and ended["reason"] == "ok" and ended["total_ms"] >= 1500
    assert slow.wait() == 0


def read_screen(master, seconds):
    text, deadline = b"", time.monotonic() + seconds * SCALE
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.05)[0]:
            try:
                text += os.read(master, 65536)
            except OSError:
                break
    return text.decode(errors="replace")


def test_top_shows_backends_and_drains_with_a_key(balancer):
    try:
        pid, master = pty.fork()
    except OSError as e:  # a container without /dev/pts
        pytest.skip(f"no terminal can be had here: {e}")
    if pid == 0:
        os.environ.update(TERM="xterm", LINES="30", COLUMNS="140")
        os.execv(BINARY, [BINARY, "top", "--interval", "100ms", "--socket", balancer.socket])
    try:
        screen = read_screen(master, 1)
        assert "B1" in screen and "B3" in screen and "REQ/S" in screen, screen
        os.write(master, b"jd")
        wait_until(lambda: backend(balancer, "B2")["admin_state"] == "drain", "B2 is drained by its key")
        os.write(master, b"q")
        wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "top ends")
        pid = 0
    finally:
        if pid:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(master)
