# SPDX-License-Identifier: MIT
"""`poise simulate`: a configuration in virtual time. The scenarios of docs/scenarios are tests too."""

import json
import math
import subprocess
from pathlib import Path

import pytest
import web
from programs import BINARY, config, pool, wait_until

SCENARIOS = Path(__file__).resolve().parents[2] / "docs" / "scenarios"

THREE = """config:
  listeners:
    - {name: web, listen: ":8080", pool: app}
  pools:
    - name: app
      health: {type: none}
      backends:
        - {name: B1, address: "127.0.0.1:8881"}
        - {name: B2, address: "127.0.0.1:8882"}
        - {name: B3, address: "127.0.0.1:8883"}
"""

TAIL = "duration: 1s\nclients: [{rate: 50/s}]\n"


def simulate(*words):
    return subprocess.run([BINARY, "simulate", *map(str, words)], capture_output=True, text=True, timeout=250)


def outcome(path, *words, code=0):
    done = simulate(path, *words, "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.fixture
def scenario(work):
    def write(text, name="scenario.yaml"):
        path = work / name
        path.write_text(text)
        return path

    return write


def shares(told):
    return {b["name"]: b["requests"] for b in told["backends"]}


def messages(told, area="health"):
    return [line["message"] for line in told["log"] if line["area"] == area]


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*-*.yaml")) + sorted(SCENARIOS.glob("[qrt]*.yaml")),
                         ids=lambda path: path.stem)
def test_the_examples_hold(path):
    told = outcome(path)
    assert told["good"] and told["stuck"] == 0
    assert told["requests"] == told["ok"] + told["failed"] > 1000


def test_the_same_seed_gives_the_same_bytes():
    path = SCENARIOS / "tier.yaml"
    first, again = simulate(path), simulate(path)
    assert first.stdout == again.stdout and "MISSED" not in first.stdout
    assert simulate(path, "--json").stdout == simulate(path, "--json").stdout
    other = simulate(path, "--seed", 2)
    assert other.returncode == 0 and other.stdout != first.stdout


def test_round_robin_is_exact(scenario):
    path = scenario(THREE + "duration: 30s\nclients: [{rate: 200/s, arrivals: even}]\n")
    told = outcome(path)
    counts = sorted(shares(told).values())
    assert sum(counts) == told["requests"] and counts[-1] - counts[0] <= 1
    weighed = THREE.replace('"127.0.0.1:8882"}', '"127.0.0.1:8882", weight: 3}')
    told = outcome(scenario(weighed + "duration: 30s\nclients: [{rate: 200/s}]\n"))
    counts = shares(told)
    assert abs(counts["B2"] - 3 * counts["B1"]) <= 5 and abs(counts["B1"] - counts["B3"]) <= 1


def test_round_robin_is_exact_over_workers(scenario):
    path = scenario(THREE + "workers: 4\nduration: 20s\nclients: [{rate: 200/s, keep_alive: false}]\n")
    counts = sorted(shares(outcome(path)).values())
    assert counts[-1] - counts[0] <= 1


def test_least_connections_spares_a_slow_backend():
    told = outcome(SCENARIOS / "slow-backend.yaml", "--balance", "round_robin,least_connections,p2c")
    robin, least, two = told
    assert [t["balance"] for t in told] == ["round_robin", "least_connections", "p2c"]
    assert robin["requests"] == least["requests"] == two["requests"], "all have the same arrivals"
    assert shares(robin)["B3"] > 2 * shares(least)["B3"]
    assert shares(robin)["B3"] > shares(two)["B3"]
    assert least["latency_ns"]["p99"] < 0.6 * robin["latency_ns"]["p99"]
    table = simulate(SCENARIOS / "slow-backend.yaml", "--balance", "round_robin,least_connections")
    assert table.returncode == 0 and len(table.stdout.splitlines()) == 5, table.stdout


def test_a_dying_backend_loses_no_request():
    told = outcome(SCENARIOS / "dead-backend.yaml")
    assert told["failed"] == 0 and told["retries"] > 0
    lost = sum(b["lost"] for b in told["backends"])
    assert lost > 0, "some were under way when it died"
    changes = messages(told)
    assert any("backend=B2 state=down" in m for m in changes), changes
    assert any("backend=B2 state=up" in m for m in changes), changes


def test_without_retries_it_does(scenario):
    config = (SCENARIOS / "poise.yaml").read_text().replace("balance:", "retries: {attempts: 0}\n    balance:")
    scenario(config, "poise.yaml")
    told = outcome(scenario((SCENARIOS / "dead-backend.yaml").read_text()), code=1)
    assert told["failed"] > 0
    assert set(told["failures"]) <= {"backend_reset", "connect_refused"}, told["failures"]
    assert {e["metric"]: e["holds"] for e in told["expect"]} == {"failed": False, "p99": True}


def test_what_theory_says_of_one_queue(scenario):
    """M/M/1 and M/D/1: the mean wait is S r/(1-r), and half of that. The standard error of the mean of n
    waits of M/M/1 is S sqrt(r (2 + 5r - 4r^2 + r^3) / (1-r)^4 / n); four of them are allowed."""
    for spread, factor in (("{exponential: 5ms}", 1.0), ("5ms", 0.5)):
        text = (SCENARIOS / "queue.yaml").read_text().replace("{exponential: 5ms}", spread)
        told = outcome(scenario(text))
        backend, busy, service_ns = told["backends"][0], 0.5, 5e6
        n = backend["requests"]
        error = math.sqrt(busy * (2 + 5 * busy - 4 * busy**2 + busy**3) / (1 - busy) ** 4 / n)
        wait = backend["queued_ns"] / n / service_ns
        assert abs(wait - factor * busy / (1 - busy)) < 4 * error, (spread, wait, error)
        # Little: what is served at a time is the rate times the time of service.
        served = backend["busy_ns"] / told["measured_ns"]
        assert abs(served - busy) < 4 * busy / math.sqrt(n), served
        mean = told["latency_ns"]["mean"] / service_ns
        assert abs(mean - (1 + wait)) < 0.02, "nothing else takes time"


def test_latency_is_that_of_the_network_and_the_service(scenario):
    text = THREE + "network: {latency: 2ms}\nduration: 5s\nclients: [{rate: 100/s, arrivals: even}]\nbackends: [{service: 10ms}]\n"
    told = outcome(scenario(text + 'warm_up: 1s\nexpect: {max: "<=18ms", mean: ">=18ms"}\n'))
    assert told["latency_ns"]["max"] == 4 * 2_000_000 + 10_000_000


def test_several_balancers_share_the_work():
    told = outcome(SCENARIOS / "tier.yaml")
    assert [b["name"] for b in told["balancers"]] == ["lb1", "lb2", "lb3", "lb4"]
    exchanges = [b["exchanges"] for b in told["balancers"]]
    assert max(exchanges) - min(exchanges) <= 10
    assert abs(sum(exchanges) - told["requests"]) <= 10
    downs = [line["who"] for line in told["log"] if "state=down" in line["message"]]
    assert sorted(downs) == ["lb1", "lb2", "lb3", "lb4"], "each found out by itself"


def test_what_operators_do():
    told = outcome(SCENARIOS / "rolling.yaml")
    assert told["failed"] == 0
    changes = messages(told, "pool")
    for part in ("backend=B1 change=draining", "backend=B1 state=drained", "backend=B1 change=enabled",
                 "backend=B4 change=added", "backend=B4 change=weight"):
        assert any(part in m for m in changes), (part, changes)
    assert shares(told)["B4"] > 0


def test_a_reload(scenario):
    scenario((SCENARIOS / "poise.yaml").read_text().replace("B3", "C3").replace("8883", "8893"), "next.yaml")
    scenario((SCENARIOS / "poise.yaml").read_text(), "poise.yaml")
    path = scenario("config: poise.yaml\nduration: 20s\nclients: [{rate: 300/s}]\n"
                    "events: [{at: 10s, do: reload, config: next.yaml}]\nexpect: {failed: 0}\n")
    told = outcome(path)
    assert any(m.startswith("done generation=2") for m in messages(told, "reload"))
    counts = shares(told)
    assert counts["B3"] > 0 and counts["C3"] > 0 and abs(counts["B3"] + counts["C3"] - counts["B1"]) <= 5


def test_other_troubles(scenario):
    text = THREE.replace("health: {type: none}", "health: {type: http, interval: 500ms, timeout: 200ms}\n"
                         "      timeouts: {response: 1s}")
    told = outcome(scenario(text + """duration: 60s
clients: [{rate: 300/s, body: 100KiB, timeout: 5s}]
backends: [{service: {uniform: {low: 2ms, high: 8ms}}, body: 400KiB, slots: 4, queue: 50, error_rate: 0.01}]
events:
  - {at: 5s, backend: B1, becomes: black_hole}
  - {at: 10s, backend: B1, becomes: alive}
  - {at: 20s, backend: B2, becomes: sick}
  - {at: 25s, backend: B2, becomes: alive}
  - {at: 30s, backend: B3, becomes: refusing}
  - {at: 35s, backend: B3, becomes: alive}
  - {at: 40s, backend: B1, becomes: slow, factor: 200}
  - {at: 50s, backend: B1, becomes: alive}
"""))
    changes = messages(told)
    for name, reason in (("B1", "connect_timeout"), ("B2", "probe_status"), ("B3", "connect_refused")):
        assert any(f"backend={name} state=down reason={reason}" in m for m in changes), (name, changes)
        assert any(f"backend={name} state=up" in m for m in changes), (name, changes)
    assert told["failures"]["backend_status"] > 50 and told["failures"]["response_timeout"] > 0, told["failures"]
    assert told["stuck"] == 0
    assert told["response_bytes"] >= told["ok"] * 400 * 1024


def test_tcp(scenario):
    told = outcome(scenario("""config:
  listeners:
    - {name: raw, listen: ":5432", protocol: tcp, pool: db}
  pools:
    - name: db
      protocol: tcp
      balance: least_connections
      backends: [{name: B1, address: "one.example:8881"}, {name: B2, address: "127.0.0.1:8882"}]
duration: 20s
clients: [{connections: 20, think: 1ms}]
backends: [{service: 5ms}]
events: [{at: 10s, backend: B1, becomes: dead}]
"""))
    assert told["requests"] > 10000 and told["failed"] <= 20 and told["stuck"] == 0
    assert set(told["failures"]) <= {"connection_lost"}
    assert any("backend=B1 state=resolved" in m for m in messages(told)), "names have addresses here"


def test_a_limit_queues_at_the_balancer(scenario):
    text = THREE.replace("health:", "max_connections: 1\n      queue: {max: 5, timeout: 1s}\n      health:")
    told = outcome(scenario(text + "duration: 20s\nclients: [{rate: 1000/s}]\nbackends: [{service: 10ms}]\n"))
    assert told["failures"].get("queue_full", 0) > told["requests"] / 2
    assert all(b["in_flight_peak"] == 1 for b in told["backends"]), "never more than one at a time"


def test_what_is_wrong_is_shown_in_place(scenario):
    path = scenario("""config: nowhere.yaml
duration: 5
clients:
  - {rate: 500, connectoins: 3}
backends:
  - {service: {lognormal: {p50: 8ms}}}
expect: {p99: fast}
""")
    done = simulate(path)
    assert done.returncode == 3 and not done.stdout
    for part in (":1:9: error: ", "no such file", ":2:11: error: '5' cannot be 'duration'", ":4:12: error: ",
                 "did you mean 'connections'?", ":6:27: error: 'p99' is missing", ":7:15: error: "):
        assert part in done.stderr, (part, done.stderr)
    path = scenario(THREE.replace("listen:", "lisen:") + "duration: 1s\nclients: [{rate: 5/s}]\n")
    done = simulate(path)
    assert done.returncode == 3 and f"{path}:3:19: error: unknown key 'lisen'" in done.stderr, done.stderr
    path = scenario(THREE + "duration: 1s\nclients: [{rate: 5/s, listener: wep}]\n"
                    "events: [{at: 1s, backend: B7, becomes: dead}]\n")
    done = simulate(path)
    assert done.returncode == 3 and "did you mean 'web'?" in done.stderr, done.stderr
    assert "no pool has a backend named 'B7'" in done.stderr, done.stderr


def test_other_exit_codes(scenario, work):
    assert simulate().returncode == 2
    assert simulate(work / "nothing.yaml").returncode == 4
    path = scenario(THREE + "duration: 1s\nclients: [{rate: 50/s}]\nexpect: {p50: \"<1ms\"}\n")
    missed = simulate(path)
    assert missed.returncode == 1 and "MISSED  p50 <1ms: it is " in missed.stdout
    wrong = simulate(path, "--balance", "round_robin,best")
    assert wrong.returncode == 2 and "'best' is not" in wrong.stderr and not wrong.stdout
    refused = simulate(scenario(THREE.replace("health:", "protocol: http2\n      health:")
                                + "duration: 1s\nclients: [{rate: 50/s}]\n"))
    assert refused.returncode == 3 and "HTTP/2 to its backends" in refused.stderr


def test_what_no_simulation_can_do_is_refused(scenario):
    """An address with two protocols, a pool that is not there, an event when all is over."""
    two = THREE.replace("config:\n  listeners:", "config:\n  listeners:\n"
                        '    - {name: raw, listen: ":9000", protocol: tcp, pool: tcp}')
    two += '    - {name: tcp, protocol: tcp, backends: [{name: R1, address: "127.0.0.1:8881"}]}\n'
    some = "duration: 1s\nclients: [{rate: 50/s}, {rate: 50/s, listener: raw}]\n"
    add = 'events: [{at: 1ms, do: add, backend: N, address: "127.0.0.1:1"%s}]\n'
    for text, part in ((two + some, ":2:3: error: pools tcp and app"),
                       (THREE + TAIL + add % ", pool: nobody", ":13:10: error: there is no pool named 'nobody'"),
                       (two.replace("8881\"}]", "8891\"}]") + some + add % "", "error: 'pool' is missing"),
                       (THREE + TAIL + "events: [{at: 2s, backend: B1, becomes: dead}]\n",
                        ":13:10: error: this would be after 'duration' is over")):
        done = simulate(scenario(text))
        assert done.returncode == 3 and part in done.stderr, (part, done)


def test_an_order_finds_the_pool_of_its_backend(scenario):
    text = THREE + '    - {name: other, backends: [{name: O1, address: "127.0.0.1:8891"}]}\n'
    told = outcome(scenario(text + TAIL + "events: [{at: 1ms, do: drain, backend: O1}]\n"))
    assert any("pool=other backend=O1 change=draining" in m for m in messages(told, "pool")), told["log"]


def test_of_no_answer_there_is_no_time(scenario):
    text = THREE + TAIL + "backends: [{error_rate: 1}]\nexpect: {p99: \"<1s\", max: \"<1s\", failed: \">0\"}\n"
    told = outcome(scenario(text), code=1)
    assert told["ok"] == 0 and {e["metric"]: e["holds"] for e in told["expect"]} == {
        "p99": False, "max": False, "failed": True}


def test_an_expectation_says_when_it_knows_little(scenario):
    done = simulate(scenario(THREE + TAIL + 'expect: {p50: "<50ms", p99: "<50ms"}\n'))
    assert done.returncode == 0, done
    lines = [line for line in done.stdout.splitlines() if line.startswith("holds")]
    assert [line.endswith("too few answers to be sure") for line in lines] == [False, True], lines


def test_a_backend_has_its_name_in_each_pool(scenario):
    """What befalls it by one name befalls it; it is listed once."""
    text = THREE + '    - {name: other, backends: [{name: O1, address: "127.0.0.1:8881"}]}\n'
    told = outcome(scenario(text + TAIL + "events: [{at: 1ms, backend: O1, becomes: dead}]\n"))
    assert messages(told, "backend") == ["backend=O1 is dead"] and told["retries"] > 0, told["log"]
    assert sorted(shares(told)) == ["B1", "B2", "B3"] and shares(told)["B1"] == 0


def test_tls_is_left_out_and_said_so(scenario):
    path = scenario(THREE.replace("pool: app}", "pool: app, tls: {certificates: [{cert: /none.pem}]}}")
                    + "duration: 2s\nclients: [{rate: 50/s}]\nexpect: {failed: 0}\n")
    done = simulate(path)
    assert done.returncode == 0 and "note: listener web: TLS is left out" in done.stderr, done


def test_there_are_no_files_of_acme(scenario):
    path = scenario(THREE.replace("pool: app}", "pool: app, acme_challenge: /nowhere}")
                    + "duration: 2s\nclients: [{rate: 50/s, path: /.well-known/acme-challenge/abc}]\n")
    told = outcome(path)
    assert told["requests"] > 50 and told["failures"] == {"acme_unknown": told["requests"]}


def recorded(work, rows):
    path = work / "recorded.log"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_recorded_log_meets_the_same_backends(start, work):
    """What ran for real runs again: every request goes to where it went, and takes the time that it took."""
    servers = [start.server(f"B{i + 1}", "--delay", f"{5 + 10 * i}ms", "--jitter", "3ms") for i in range(3)]
    log = work / "access.log"
    weighed = [{"name": s.backend, "address": s.address, "weight": i + 1} for i, s in enumerate(servers)]
    balancer = start.poise(config(pool(weighed), access_log={"file": str(log), "format": "json"}))
    for i in range(150):
        assert web.get(balancer.port, f"/{i}").status == 200
    wait_until(lambda: len(log.read_text().splitlines()) == 150, "the log to be whole")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    told = outcome("--trace", log, "-c", balancer.config_path)
    assert told["requests"] == told["ok"] == 150
    assert shares(told) == {s.backend: sum(r["backend"] == s.backend for r in rows) for s in servers}
    # The way to the backend and back is 0.5 ms and in the times; that of the client comes on top, and
    # so does one for each connection that had to be made.
    made = told["client_connections"] + sum(b["connections"] for b in told["backends"])
    mean = sum(r["response"] for r in rows) / len(rows) * 1e9 + 500_000 * (1 + made / len(rows))
    assert abs(told["latency_ns"]["mean"] - mean) < 2000, (told["latency_ns"], mean)


def test_a_log_and_a_scenario(scenario, work):
    scenario((SCENARIOS / "poise.yaml").read_text(), "poise.yaml")
    rows = [{"time": f"2026-11-21T23:59:{59 if i < 50 else 58}.{i:03}Z", "pool": "app", "backend": "B1", "method": "GET",
             "host": "h", "target": f"/{i}", "status": 200, "response": 0.0105 if i % 2 else 0.0205}
            for i in range(100)]
    log = recorded(work, ["no JSON", *rows, {"time": "yesterday"}, "[]"])
    path = scenario("config: poise.yaml\nbackends: [{name: B3, service: 40ms}]\nexpect: {requests: 100, max: \"<50ms\"}\n")
    done = simulate(path, "--trace", log, "--json")
    assert done.returncode == 0 and "lines that are no requests: 3" in done.stderr, done
    told = json.loads(done.stdout)
    assert sorted(shares(told).values()) == [33, 33, 34]
    by_name = {b["name"]: b for b in told["backends"]}
    b2, b3 = by_name["B2"], by_name["B3"]
    assert b3["busy_ns"] > 30 * b3["requests"] * 1_000_000, "an entry of its name stands before the log"
    assert b2["requests"] * 10_000_000 <= b2["busy_ns"] <= b2["requests"] * 20_000_000, "B2 goes by all times"


def test_logs_that_cannot_be_used(scenario, work):
    path = scenario(THREE)
    assert simulate(path).returncode == 3, "clients are missing"
    assert simulate(path, "--trace", work / "nothing.log").returncode == 4
    empty = simulate(path, "--trace", recorded(work, ["127.0.0.1 - - [x] GET /"]))
    assert empty.returncode == 3 and "in the format json" in empty.stderr
    assert simulate("-c", path).returncode == 2
    assert simulate(path, "-c", path, "--trace", work / "x").returncode == 2
    line = {"time": "2026-11-21T23:59:59.000Z", "target": "/", "response": 0.01}
    for name, rows, code, part in (
            ("year", [line, {**line, "time": "2027-11-21T23:59:59.000Z"}], 3, "more than 7 days"),
            ("hour", [{**line, "time": "2026-11-21T99:59:59.000Z"}], 3, "no request in it"),
            ("minus", [{**line, "time": "2026-11-21T-3:-9:-8.-99Z"}], 3, "no request in it"),
            ("long", [line, {**line, "target": "/" + 2000000 * "a"}], 3, "line 2 is longer than 1048576 bytes"),
            ("warm", [line], 3, "before 'warm_up' is over")):
        warm = scenario(THREE + "duration: 60s\nwarm_up: 5s\n") if name == "warm" else path
        done = simulate(warm, "--trace", recorded(work, rows))
        assert done.returncode == code and part in done.stderr, (name, done)
    assert simulate(path, "--trace", "/dev/zero").returncode == 3
    assert "Is a directory" in simulate(path, "--trace", work).stderr
