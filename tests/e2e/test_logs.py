# SPDX-License-Identifier: MIT
"""The access log as the tools read it that people have for the formats of others."""

import json
import shutil
import socket
import subprocess

import pytest
import web
from programs import config, pool, wait_until

REQUESTS = 40


def logged(start, work, form, backends=None):
    """A log of requests that went well, one that had no route, and one that made no sense."""
    access = work / f"{form}.log"
    listener = {"routes": [{"match": {"path": "/none"}, "pool": "none"}]}
    pools = [pool(backends or start.servers(2)), pool([("N1", "127.0.0.1:1")], name="none")]
    pools[1]["backends"][0]["weight"] = 0
    balancer = start.poise(config(pools, listener=listener, access_log={"file": str(access), "format": form}))
    for i in range(REQUESTS):
        web.get(balancer.port, f"/{i}?q={{|}}", headers={"User-Agent": 'a "quoted" \\ agent', "Referer": "http://x/"})
    assert web.get(balancer.port, "/none").status == 503
    with socket.create_connection(("127.0.0.1", balancer.port), timeout=20) as s:
        s.sendall(b"NONSENSE\r\n\r\n")
        while s.recv(4096):
            pass
    balancer.end()
    return access


def run(*words, text=None):
    done = subprocess.run([*map(str, words)], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.skipif(not shutil.which("goaccess"), reason="goaccess is not there")
@pytest.mark.parametrize("form,name", [("combined", "COMBINED"), ("clf", "COMMON")])
def test_goaccess_reads_every_request(start, work, form, name):
    access = logged(start, work, form)
    report = work / "report.json"
    invalid = work / "invalid"
    run("goaccess", access, "--no-global-config", f"--log-format={name}", f"--invalid-requests={invalid}",
        "--ignore-panel=REFERRERS", "-o", report)
    general = json.loads(report.read_text())["general"]
    bad = invalid.read_text() if invalid.exists() else ""
    assert not bad and general["failed_requests"] == 0, (general, bad)
    assert general["valid_requests"] == REQUESTS + 2, general


@pytest.mark.skipif(not shutil.which("halog"), reason="halog is not there")
def test_halog_reads_ours(start, work):
    text = logged(start, work, "haproxy").read_text()
    assert len(text.splitlines()) == REQUESTS + 2
    # it expects the header that syslog puts before
    lines = "".join(f"Nov 21 09:00:00 host haproxy[1]: {line}\n" for line in text.splitlines())
    codes = [row.split() for row in run("halog", "-st", "-H", "-q", text=lines).splitlines() if row[:1].isdigit()]
    counted = {row.split()[0]: int(row.split()[1]) for row in run("halog", "-tc", "-q", text=lines).splitlines() if row}
    assert counted == {"--": REQUESTS, "PR": 1, "SC": 1}, counted
    servers = run("halog", "-srv", "-H", "-q", text=lines)
    assert "app/B1" in servers and "none/<NOSRV>" in servers, servers
    assert {int(code): int(n) for code, n, *_ in codes} == {200: REQUESTS, 400: 1, 503: 1}, codes


def test_each_record_says_why_in_words(start, work):
    records = [json.loads(line) for line in logged(start, work, "json").read_text().splitlines()]
    words = {r["reason"]: r["reason_text"] for r in records}
    assert words["ok"] == "The exchange completed."
    assert words["no_backend"] == "No backend of the pool is available."
    assert set(words) == {"ok", "no_backend", "bad_request_line"}, words


@pytest.mark.parametrize("length", [1, 3000])
def test_requests_without_a_pool_are_told_as_well(start, length):
    listener = {"name": "web", "listen": "127.0.0.1:0", "limits": {"body": "1B"}}
    listener["routes"] = [{"match": {"path_prefix": "/some"}, "pool": "app"}]
    poise = start.poise(
        {
            "access_log": {"file": "-", "format": "json"},
            "listeners": [listener],
            "pools": [pool([start.server("B1")])],
        }
    )
    agent = "a" * length
    assert web.get(poise.port, "/none?x", headers={"User-Agent": agent, "X-Request-Id": "id"}).status == 404
    assert web.get(poise.port, "/some", "POST", body=b"two").status == 413
    wait_until(lambda: poise.out.count('"reason":') == 2, "both are logged")
    records = [json.loads(line) for line in poise.out.splitlines() if line.startswith("{")]
    keys = ("method", "target", "host", "user_agent", "request_id")
    told = {r["reason"]: [r[k] and r[k][:99] for k in keys] for r in records}
    here = f"127.0.0.1:{poise.port}"
    assert told == {
        "no_route": ["GET", "/none?x", here, agent[:99], "id"],
        "body_too_large": ["POST", "/some", here, None, None],
    }
