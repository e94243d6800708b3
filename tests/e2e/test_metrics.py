# SPDX-License-Identifier: MIT
"""/metrics says what really happened, in a form that Prometheus takes."""

import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse

import admin
import metrics
import pytest
import web
from admin import Admin
from load import LoadTool
from metrics import scrape
from programs import ROOT, Held, config, pool, wait_until


@pytest.fixture
def tool():
    t = LoadTool(3)
    yield t
    t.end()


def settled(a, name, value, **labels):
    """Metrics once a counter has come to a value: a worker counts after the client has its answer."""

    def look():
        m = scrape(a)
        return m if m.get(name, **labels) == value else None

    return wait_until(look, f"{name} {labels} is {value}")


@pytest.mark.parametrize("log", [None, "json"])
def test_counts_are_those_of_the_load(start, work, tool, log):
    options = {"access_log": {"file": str(work / "a.log"), "format": log}} if log else {}
    poise = start.poise(
        config(pool(tool.backends), admin=admin.config(), **options), "--workers", "2"
    )
    a = Admin(poise)
    given = tool.run(poise.port, 6000, 16)
    m = settled(a, "poise_requests_total", 6000, listener="web")
    assert m.get("poise_requests_total", listener="web", pool="app", code="200", method="GET") == 6000
    for (name, _), count in zip(tool.backends, given):
        assert m.get("poise_backend_requests_total", backend=name) == count
        assert m.get("poise_backend_requests_total", backend=name, code="200") == count
        assert m.get("poise_backend_request_duration_seconds_count", backend=name) == count
        assert m.get("poise_backend_in_flight", backend=name) == 0
        assert m.get("poise_backend_up", backend=name) == 1
    assert m.get("poise_request_duration_seconds_count") == 6000
    assert m.get("poise_request_duration_seconds_bucket", le="+Inf") == 6000
    assert 0 < m.get("poise_request_duration_seconds_sum") < 6000
    assert m.get("poise_exchange_ends_total") == m.get("poise_exchange_ends_total", reason="ok") == 6000
    assert m.get("poise_worker_exchanges_total") == 6000
    assert m.get("poise_listener_connections_total", listener="web") == 16
    settled(a, "poise_listener_connections", 0, listener="web")
    ours = {d: m.get("poise_bytes_total", listener="web", direction=d) for d in ("in", "out")}
    for d, n in ours.items():
        assert n > 6000 * 50 and m.get("poise_backend_bytes_total", direction=d) == n
    assert m.get("poise_retries_total", pool="app") == 0
    assert m.get("poise_series_dropped_total") == 0
    assert m.get("poise_workers") == 2
    assert m.get("process_resident_memory_bytes") > 1 << 20
    assert m.get("process_open_fds") > 5 and m.get("process_cpu_seconds_total") > 0
    row = a.get("/api/v1/pools")["pools"][0]["backends"][0]
    assert row["requests"] == given[0] and row["codes"]["2xx"] == given[0]
    assert a.get("/api/v1/status")["codes"]["2xx"] == 6000


def buckets(m, **labels):
    found = {
        dict(pairs)["le"]: v
        for (n, pairs), v in m.samples.items()
        if n == "poise_request_duration_seconds_bucket" and set(labels.items()) <= set(pairs)
    }
    return [found[le] for le in sorted(found, key=float)]


def test_buckets_are_cumulative_and_know_the_time(start):
    """A backend that takes 60 ms is in no bucket below 50 ms and in all from 10 s."""
    slow = start.server("B1", "--delay", "60ms")
    poise = start.poise(config(pool([slow]), admin=admin.config()))
    for _ in range(5):
        assert web.get(poise.port).status == 200
    m = settled(Admin(poise), "poise_request_duration_seconds_count", 5)
    found = buckets(m, pool="app")
    assert found == sorted(found) and found[-1] == 5
    assert m.get("poise_request_duration_seconds_bucket", le="0.05") == 0
    assert m.get("poise_request_duration_seconds_bucket", le="60") == 5
    assert m.get("poise_request_duration_seconds_sum") >= 5 * 0.06


def test_codes_methods_and_failures(start):
    held = Held()
    bad = start.server("B3", "--error-rate", "1")
    good = start.server("B2")
    pools = [
        pool([("B1", held.address), good], retries={"attempts": 2, "on": ["connect_failure"]}),
        pool([bad], "bad"),
        pool([("B4", held.address)], "lost", retries={"attempts": 0}),
    ]
    routes = [
        {"match": {"path_prefix": "/bad"}, "pool": "bad"},
        {"match": {"path_prefix": "/lost"}, "pool": "lost"},
        {"match": {"path_prefix": "/app"}, "pool": "app"},
    ]
    listener = {"routes": routes, "pool": None}
    c = config(pools, listener=listener, admin=admin.config())
    del c["listeners"][0]["pool"]
    poise = start.poise(c, "--workers", "1")
    a = Admin(poise)
    for method in ("GET", "POST", "DELETE", "BREW"):
        assert web.get(poise.port, "/app", method).status == 200
    assert web.get(poise.port, "/bad").status == 500
    assert web.get(poise.port, "/lost").status == 502
    assert web.get(poise.port, "/nowhere").status == 404
    with socket.create_connection(("127.0.0.1", poise.port)) as s:
        s.sendall(b"no request\r\n\r\n")
        assert s.recv(12) == b"HTTP/1.1 400"
    m = settled(a, "poise_requests_total", 8)
    for method in ("GET", "POST", "DELETE", "other"):
        assert m.get("poise_requests_total", pool="app", code="200", method=method) == 1
    assert m.get("poise_requests_total", pool="bad", code="500", method="GET") == 1
    assert m.get("poise_requests_total", pool="lost", code="502", method="GET") == 1
    assert m.get("poise_requests_total", pool="", code="404", method="GET") == 1
    assert m.get("poise_requests_total", pool="", code="400", method="none") == 1
    assert m.get("poise_exchange_ends_total", reason="no_route") == 1
    assert m.get("poise_exchange_ends_total", reason="connect_refused") == 1
    assert m.get("poise_backend_requests_total", backend="B3", code="500") == 1
    refused = m.get("poise_backend_connect_errors_total", backend="B1", reason="connect_refused")
    assert refused >= 1 and refused == m.get("poise_retries_total", pool="app")
    assert refused == m.get("poise_backend_retries_total", backend="B1")
    assert refused == m.get("poise_backend_failures_total", backend="B1")
    assert refused == m.get("poise_backend_requests_total", backend="B1", code="none")
    assert m.get("poise_backend_requests_total", backend="B2") == 4
    assert m.get("poise_backend_failures_total", backend="B2") == 0
    assert m.get("poise_backend_failures_total", backend="B4") == 1
    assert m.get("poise_backend_retries_total", backend="B4") == 0
    assert m.get("poise_retries_total", pool="lost") == 0
    held.close()


def test_tcp(start):
    poise = start.poise(config(pool(start.servers(1), protocol="tcp"), "tcp", admin=admin.config()))
    a = Admin(poise)
    with socket.create_connection(("127.0.0.1", poise.port)) as s:
        s.sendall(b"Hello from Client")
        assert web.receive(s, 13) == b"Hello from B1"
        assert s.recv(1) == b""
    m = settled(a, "poise_requests_total", 1)
    assert m.get("poise_requests_total", pool="app", code="none", method="none") == 1
    assert m.get("poise_backend_requests_total", backend="B1", code="none") == 1
    assert m.get("poise_bytes_total", direction="in") == 17
    assert m.get("poise_bytes_total", direction="out") == 13
    assert m.get("poise_backend_bytes_total", backend="B1", direction="out") == 13


def test_counters_only_grow_under_load(start):
    poise = start.poise(config(pool(start.servers(2)), admin=admin.config()), "--workers", "2")
    a = Admin(poise)
    wrk = subprocess.Popen(
        ["wrk", "-t", "1", "-c", "16", "-d", "2s", poise.url], stdout=subprocess.PIPE, text=True
    )
    seen, scrapes = {}, 0
    while wrk.poll() is None:
        now = scrape(a).counters()
        fallen = {k: (v, now.get(k)) for k, v in seen.items() if not v <= now.get(k, -1)}
        assert not fallen
        seen, scrapes = now, scrapes + 1
    done = int(re.search(r"(\d+) requests in", wrk.communicate()[0]).group(1))
    assert scrapes > 3
    wait_until(lambda: scrape(a).get("poise_listener_connections") == 0, "all connections are closed")
    m = scrape(a)
    assert done <= m.get("poise_requests_total") <= done + 16
    assert m.get("poise_requests_total") == m.get("poise_request_duration_seconds_count")
    assert m.get("poise_requests_total") == m.get("poise_exchange_ends_total")
    assert done <= m.get("poise_requests_total", code="200", method="GET")


def test_members_that_come_and_go(start):
    """A backend that takes the place of another has none of its counts; the rest is kept."""
    servers = start.servers(2)
    poise = start.poise(config(pool(servers), admin=admin.config()), "--workers", "1")
    a = Admin(poise)
    for _ in range(6):
        web.get(poise.port)
    m = settled(a, "poise_backend_requests_total", 6)
    answer = a.ask("DELETE", "/api/v1/pools/app/backends/B1", token=admin.TOKEN)
    assert answer.status == 200, answer
    wait_until(lambda: scrape(a).get("poise_backend_up", backend="B1") is None, "B1 is gone")
    body = {"name": "B9", "address": servers[0].address}
    assert a.ask("POST", "/api/v1/pools/app/backends", body, token=admin.TOKEN).status == 201
    m = scrape(a)
    assert not m.get("poise_backend_requests_total", backend="B9")
    assert m.get("poise_backend_requests_total", backend="B2") == 3
    assert m.get("poise_requests_total", pool="app") == 6
    for _ in range(4):
        web.get(poise.port)
    m = settled(a, "poise_requests_total", 10)
    assert m.get("poise_backend_requests_total", backend="B9") == 2
    assert m.get("poise_backend_request_duration_seconds_count", backend="B9") == 2


def test_names_of_any_kind(start, work):
    """Whatever a name has in it, the text stays well-formed."""
    names = ['a "quoted" one', "back\\slash", "ünï"]
    backends = [{"address": f"unix:{work}/{n}"} for n in names]
    poise = start.poise(config(pool(backends), admin=admin.config()))
    m = scrape(Admin(poise))
    assert m.get("poise_pool_backends", pool="app") == len(names)
    assert 'backend="unix:' in m.text and '\\"quoted\\"' in m.text and "back\\\\slash" in m.text
    metrics.promtool("check", "metrics", text=m.text)


def test_promtool_has_nothing_to_say(start, tool):
    """Of many backends, in use and not, and of a text that is not small."""
    backends = [(f"B{i}", tool.backends[i % 3][1]) for i in range(1000)]
    idle = pool([(f"I{i}", "127.0.0.1:1") for i in range(20)], "idle")
    poise = start.poise(config([pool(backends), idle], admin=admin.config()), "--workers", "2")
    tool.run(poise.port, 3000, 8)
    m = settled(Admin(poise), "poise_backend_requests_total", 3000, pool="app")
    assert {m.get("poise_backend_requests_total", backend=f"B{i}") for i in range(1000)} == {3}
    assert metrics.promtool("check", "metrics", text=m.text) == ""


def test_rules_and_dashboard_ask_for_what_there_is(start):
    packaging = ROOT / "packaging"
    metrics.promtool("check", "config", str(packaging / "prometheus" / "poise.yml"))
    poise = start.poise(config(pool([("B1", "127.0.0.1:1")]), admin=admin.config()))
    known = set(scrape(Admin(poise)).types)
    asked = (packaging / "prometheus" / "poise-alerts.yml").read_text()
    dashboard = (packaging / "grafana" / "poise.json").read_text()
    panels = [p for p in json.loads(dashboard)["panels"] if p["type"] != "row"]
    assert len(panels) > 10 and all(t["expr"] for p in panels for t in p["targets"])
    names = set(re.findall(r"\b(?:poise|process)_[a-z_]+", asked + dashboard))
    assert len(names) > 15
    assert {re.sub(r"_(bucket|count|sum)$", "", n) for n in names} - known == set()


class Prometheus:
    """A real one, which looks every second, with our alert rules."""

    def __init__(self, start, work, target):
        rules = ROOT / "packaging" / "prometheus" / "poise-alerts.yml"
        text = (ROOT / "packaging" / "prometheus" / "poise.yml").read_text()
        text = text.replace("10s", "1s").replace("127.0.0.1:9900", target)
        path = work / "prometheus.yml"
        path.write_text(text.replace("- poise-alerts.yml", f"- {rules}"))
        self.program = start.program(
            shutil.which("prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={work / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            cwd=work,
        )
        (self.port,) = self.program.wait_for(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', seconds=30)

    def ask(self, path):
        answer = web.get(int(self.port), path)
        assert answer.status == 200, answer
        return json.loads(answer.body)["data"]

    def query(self, expression):
        """The values by their labels."""
        found = self.ask("/api/v1/query?query=" + urllib.parse.quote(expression))["result"]
        return [(r["metric"], float(r["value"][1])) for r in found]


def test_a_real_prometheus_takes_it(start, work, tool):
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed (make test-deps installs it)")
    held = Held()
    backends = [("B1", tool.backends[0][1]), ("B2", held.address)]
    health = {"type": "tcp", "interval": "200ms", "fall": 1}
    poise = start.poise(config(pool(backends, health=health), admin=admin.config()))
    a = Admin(poise)
    wait_until(lambda: scrape(a).get("poise_backend_up", backend="B2") == 0, "B2 is found down")
    prometheus = Prometheus(start, work, f"127.0.0.1:{a.port}")
    background = threading.Thread(target=tool.run, args=(poise.port, 1000, 4))
    background.start()
    background.join()
    total = "sum(poise_requests_total)"
    wait_until(lambda: [v for _, v in prometheus.query(total)] == [1000], "the count is there", 30)
    (target,) = prometheus.ask("/api/v1/targets")["activeTargets"]
    assert target["health"] == "up" and target["lastError"] == ""
    ((_, p99),) = prometheus.query(
        "histogram_quantile(0.99, sum by (le) (poise_request_duration_seconds_bucket))"
    )
    assert 0 < p99 < 60
    (found,) = [m for m, v in prometheus.query("poise_backend_up == 0")]
    assert found["backend"] == "B2" and found["pool"] == "app"
    pending = wait_until(lambda: prometheus.query("ALERTS"), "an alert is pending", 30)
    assert {m["alertname"] for m, _ in pending} >= {"PoiseBackendDown"}
    groups = prometheus.ask("/api/v1/rules")["groups"]
    wait_until(
        lambda: all(r["health"] == "ok" for g in prometheus.ask("/api/v1/rules")["groups"] for r in g["rules"]),
        f"all rules work: {groups}",
        30,
    )
    held.close()
