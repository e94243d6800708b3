# SPDX-License-Identifier: MIT
"""Reload: the file is written anew, HUP, and nobody notices but those who were meant to."""

import concurrent.futures
import contextlib
import http.client
import json
import re
import signal
import socket
import threading
import time

import memory
import pytest
import web
from programs import SANITIZER, Held, config, pool, wait_until

DONE = r"^.* reload +done generation=(\d+) changes=(\d+)"
FAILED = r"^.* reload +failed; the configuration before stays"
LIVE = r"out of use generation=\d+ live=(\d+)"


class Reloaded:
    """A balancer whose file can be changed. `settings` is what it holds now."""

    def __init__(self, start, settings, *args):
        self.settings = settings
        self.poise = start.poise(settings, *args)
        self.path = self.poise.config_path
        self.count = 0

    def hup(self, text=None, expected=DONE):
        """Writes the file and has it loaded; returns what the log says of that."""
        self.path.write_text(text if text is not None else json.dumps(self.settings, indent=1) + "\n")
        before = len(re.findall(expected, self.poise.err, re.MULTILINE))
        self.poise.send(signal.SIGHUP)
        return self.poise.wait_for(expected, before + 1)[-1]

    def settled(self):
        """Waits until no configuration but the present one is in use."""
        wait_until(lambda: (re.findall(LIVE, self.poise.err) or ["1"])[-1] == "1", "one configuration")


@contextlib.contextmanager
def loaded(port, connections):
    """A load while the block runs; afterwards all of it must have been answered."""
    load = web.Load(port, connections)
    try:
        yield load
    finally:
        load.stop()
    assert not load.errors and set(load.answers) == {200}, (load.errors[:5], load.answers, load.reasons)


def client(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


def ask(connection, path="/", **headers):
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    return response


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


def two_pools(start, **listener):
    """web goes to B1; a second pool holds B2."""
    one, two = start.servers(2)
    settings = config([pool([one], "app"), pool([two], "api")], listener=listener)
    return Reloaded(start, settings, "--workers", "2")


def test_nothing_to_change(start):
    balancer = two_pools(start)
    connection = client(balancer.poise.port)
    assert ask(connection).status == 200
    assert balancer.hup() == ("2", "0")
    assert ask(connection).status == 200
    balancer.settled()


@pytest.mark.parametrize(
    "text, said",
    [
        ("listeners: [\n", r"poise-\d+.yaml:\d+:\d+: "),
        ("listeners: []\npols: []\n", r"poise-\d+.yaml:2:1: .*pols"),
        ("listeners:\n  - {name: web, listen: ':1', pool: no}\npools: [{name: a, backends: [':2']}]\n", ":2:37: "),
    ],
)
def test_broken_file(start, text, said):
    balancer = two_pools(start)
    connection = client(balancer.poise.port)
    assert ask(connection).status == 200
    balancer.hup(text, FAILED)
    assert re.search(said, balancer.poise.err), balancer.poise.err
    assert ask(connection).headers["X-Backend"] == "B1"
    assert web.get(balancer.poise.port).status == 200
    assert balancer.hup()[0] == "2"  # and a good one is taken


def test_address_in_use(start):
    balancer = two_pools(start)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listener = balancer.settings["listeners"][0]
        listener["listen"] = [listener["listen"], f"127.0.0.1:{other.getsockname()[1]}"]
        listener["pool"] = "api"
        balancer.hup(expected=FAILED)
    assert "another program uses it" in balancer.poise.err
    assert web.get(balancer.poise.port).headers["X-Backend"] == "B1"


def test_every_address_in_place_of_one(start):
    """Not in one step, and it is said what to do."""
    balancer, held = two_pools(start), Held()
    port, listener = balancer.poise.port, balancer.settings["listeners"][0]
    listener["listen"] = f":{port}"
    balancer.hup(expected=FAILED)
    assert f"cannot listen on [::]:{port} while 127.0.0.1:{port} is open; take that away" in balancer.poise.err
    assert web.get(port).status == 200
    listener["listen"] = held.address
    balancer.hup()
    assert web.get(held.port).status == 200
    listener["listen"] = f":{port}"
    balancer.hup()
    assert web.get(port).status == 200
    held.close()


def test_routes_take_effect_on_open_connections(start):
    balancer = two_pools(start)
    connection = client(balancer.poise.port)
    assert ask(connection, "/api/x").headers["X-Backend"] == "B1"
    listener = balancer.settings["listeners"][0]
    listener["routes"] = [{"match": {"path_prefix": "/api"}, "pool": "api"}]
    balancer.hup()
    assert ask(connection, "/api/x").headers["X-Backend"] == "B2"
    assert ask(connection, "/").headers["X-Backend"] == "B1"
    del listener["routes"]
    balancer.hup()
    assert ask(connection, "/api/x").headers["X-Backend"] == "B1"


def test_limits_take_effect_on_open_connections(start):
    balancer = two_pools(start)
    connection = client(balancer.poise.port)
    assert ask(connection, "/", Padding="x" * 2000).status == 200
    balancer.settings["listeners"][0]["limits"] = {"line": "1KiB"}
    balancer.hup()
    assert ask(connection, "/", Padding="x" * 2000).status == 431


def test_listener_added_and_removed(start):
    held = Held()
    balancer = two_pools(start)
    listeners = balancer.settings["listeners"]
    listeners.append({"name": "new", "listen": held.address, "pool": "api"})
    held.close()
    balancer.hup()
    assert web.get(held.port).headers["X-Backend"] == "B2"
    quiet, asking = client(held.port), client(held.port)
    assert ask(quiet).status == ask(asking).status == 200
    listeners.pop()
    balancer.hup()
    wait_until(lambda: not accepts(held.port), "the port is closed")
    # An idle connection's next request is still served, and told that it was the last.
    response = ask(asking)
    assert (response.status, response.headers["Connection"]) == (200, "close")
    assert quiet.sock.recv(1) == b""  # a quiet one is closed
    balancer.settled()
    assert web.get(balancer.poise.port).headers["X-Backend"] == "B1"


def test_address_changed(start):
    held = Held()
    balancer = two_pools(start)
    connection = client(balancer.poise.port)
    assert ask(connection).status == 200
    held.close()
    balancer.settings["listeners"][0]["listen"] = held.address
    balancer.hup()
    wait_until(lambda: accepts(held.port), "the new port is open")
    assert web.get(held.port).headers["X-Backend"] == "B1"
    wait_until(lambda: not accepts(balancer.poise.port), "the old port is closed")
    response = ask(connection)  # the listener is the same: its clients stay
    assert (response.status, response.headers["Connection"]) == (200, None)


def test_address_goes_to_another_listener(start):
    balancer = two_pools(start)
    port = balancer.poise.port
    listener = balancer.settings["listeners"][0]
    with loaded(port, 4):
        for i in range(4):
            listener["name"] = f"web{i}"
            listener["pool"] = ("api", "app")[i % 2]
            balancer.hup()
            assert web.get(port).headers["X-Backend"] == ("B2", "B1")[i % 2]
    balancer.settled()


def test_protocol_changed(start):
    """The address stays, what is spoken there does not."""
    balancer = two_pools(start)
    port = balancer.poise.port
    assert web.get(port).status == 200
    balancer.settings["listeners"][0]["protocol"] = "tcp"
    del balancer.settings["pools"][1]
    balancer.hup()
    with web.connect(port) as s:  # bytes pass as they are, errors of ours included
        s.sendall(b"NONSENSE\r\n\r\n")
        assert b"X-Poise" not in s.recv(1000)
    balancer.settings["listeners"][0]["protocol"] = "http"
    balancer.hup()
    assert web.get(port).status == 200


def test_max_connections(start):
    balancer = two_pools(start)
    port = balancer.poise.port
    first = client(port)
    assert ask(first).status == 200
    balancer.settings["listeners"][0]["max_connections"] = 1
    balancer.hup()
    assert web.get(port).status == 503
    assert ask(first).status == 200
    del balancer.settings["listeners"][0]["max_connections"]
    balancer.hup()
    assert web.get(port).status == 200


def test_pool_added_changed_removed(start):
    balancer = two_pools(start)
    port = balancer.poise.port
    third = start.server("B3")
    connection = client(port)
    assert ask(connection).headers["X-Backend"] == "B1"
    pools, listener = balancer.settings["pools"], balancer.settings["listeners"][0]
    pools.insert(0, pool([third], "more"))
    listener["pool"] = "more"
    balancer.hup()
    assert ask(connection).headers["X-Backend"] == "B3"
    pools[0]["backends"].append({"name": "B1", "address": pools[1]["backends"][0]["address"]})
    for balance in ("least_connections", "random", "p2c", "source_hash", "round_robin"):
        pools[0]["balance"] = balance
        balancer.hup()
        assert {ask(connection).headers["X-Backend"] for _ in range(20)} <= {"B1", "B3"}
    seen = [ask(connection).headers["X-Backend"] for _ in range(20)]
    assert seen.count("B1") == seen.count("B3") == 10
    pools.pop(0)
    listener["pool"] = "api"
    balancer.hup()
    assert ask(connection).headers["X-Backend"] == "B2"
    balancer.settled()


def test_backends_added_and_removed_under_load(start):
    servers = start.servers(3)
    balancer = Reloaded(start, config(pool(servers)), "--workers", "2")
    backends = balancer.settings["pools"][0]["backends"]
    everyone = list(backends)
    with loaded(balancer.poise.port, 6) as load:
        for i in range(20):
            backends[:] = [b for k, b in enumerate(everyone) if k != i % 3]
            balancer.hup()
            wait_until(lambda n=load.count(): load.count() > n + 20, "requests are answered")


def test_queue_added_and_removed(start):
    """A limit of connections with its queue comes and goes under load."""
    server = start.server("B1", "--delay", "5ms")
    balancer = Reloaded(start, config(pool([server])), "--workers", "2")
    app = balancer.settings["pools"][0]
    with loaded(balancer.poise.port, 8) as load:
        for i in range(6):
            if i % 2 == 0:
                app |= {"max_connections": 2, "queue": {"timeout": "30s"}}
            else:
                del app["max_connections"], app["queue"]
            balancer.hup()
            wait_until(lambda n=load.count(): load.count() > n + 20, "requests are answered")


def test_fewer_idle_connections_than_there_are(start):
    """A request that must not be repeated passes over old connections, which then may be too many."""
    server = start.server("B1", "--delay", "100ms")
    settings = config(pool([server], "app"))
    balancer = Reloaded(start, settings, "--workers", "1")
    engine = balancer.poise.engine_pid
    with loaded(balancer.poise.port, 8) as load:
        wait_until(lambda: load.count() >= 16, "as many connections to the backend")
    time.sleep(1.2)
    settings["pools"][0]["keepalive"] = {"max_idle": 1}
    balancer.hup()
    connection = client(balancer.poise.port)
    connection.request("POST", "/", body=b"x")
    assert connection.getresponse().status == 200
    assert balancer.poise.engine_pid == engine


def test_health_is_kept(start):
    """A backend that is down stays down over a reload, without a moment of being up."""
    held, server = Held(), start.server("B2")
    health = {"type": "tcp", "interval": "200ms", "timeout": "1s", "rise": 1, "fall": 1}
    settings = config(pool([("B1", held.address), server], health=health, retries={"attempts": 0}))
    balancer = Reloaded(start, settings, "--workers", "2")
    balancer.poise.wait_for(r"backend=B1 state=down")
    for i in range(10):
        balancer.settings["pools"][0]["timeouts"] = {"response": f"{i + 5}s"}
        balancer.hup()
        assert [web.get(balancer.poise.port).status for _ in range(6)] == [200] * 6
    assert len(re.findall("backend=B1 state=", balancer.poise.err)) == 1
    held.close()


def test_logs_follow(start):
    balancer = two_pools(start)
    first, second = start.work / "first.log", start.work / "second.log"
    connection = client(balancer.poise.port)
    assert ask(connection, "/unseen").status == 200
    for number, path in enumerate((first, second)):
        balancer.settings["access_log"] = {"file": str(path), "format": "json"}
        balancer.hup()
        wait_until(lambda p=path: p.exists(), f"{path} is there")
        wait_until(lambda p=path: ask(connection, "/seen") and p.read_text(), "a record is written")
    size = len(first.read_text())
    del balancer.settings["access_log"]
    balancer.hup()
    balancer.hup()
    size2 = len(second.read_text())
    assert ask(connection).status == 200
    targets = [json.loads(line)["target"] for line in first.read_text().splitlines()]
    assert set(targets[1:]) <= {"/seen"} and targets[0] in ("/seen", None), targets  # it may have begun before
    assert (len(first.read_text()), len(second.read_text())) == (size, size2)


def test_restart_needed(start):
    balancer = Reloaded(start, config(pool([start.server("B1")])))
    balancer.settings["workers"] = 7
    balancer.hup()
    assert re.search(r"process needs restart name=poise detail=\"workers auto .* 7\"", balancer.poise.err)


def test_refused_while_draining(start):
    balancer = two_pools(start)
    slow = web.connect(balancer.poise.port)
    slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    balancer.poise.send(signal.SIGTERM)
    balancer.poise.wait_for("draining signal=TERM")
    balancer.poise.send(signal.SIGHUP)
    balancer.poise.wait_for("the balancer is draining; nothing was changed")
    slow.close()


# ---- streams ----


class Echo:
    """A TCP server that sends back what it gets."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(s,), daemon=True).start()

    def _echo(self, s):
        with s:
            while data := s.recv(65536):
                s.sendall(data)


class Upgrading(Echo):
    """The same behind an upgrade."""

    def _echo(self, s):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += s.recv(1)
        s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        super()._echo(s)


def upgraded(port):
    s = web.connect(port)
    s.sendall(b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += web.receive(s, 1)
    assert b" 101 " in head
    return s


def alive(streams, text):
    for s in streams:
        s.sendall(text)
    return all(web.receive(s, len(text)) == text for s in streams)


def everything(start):
    """HTTP with a pool that upgrades, and TCP."""
    servers, echo, upgrading = start.servers(3), Echo(), Upgrading()
    pools = [
        pool(servers, "app", health={"type": "tcp", "interval": "500ms"}, keepalive={"idle": "300ms"}),
        pool([("U1", upgrading.address)], "up"),
        pool([("T1", echo.address)], "tcp", protocol="tcp"),
    ]
    route = {"match": {"path": "/up"}, "pool": "up"}
    settings = config(pools, listener={"routes": [route]})
    settings["listeners"].append(
        {"name": "tcp", "listen": "127.0.0.1:0", "protocol": "tcp", "pool": "tcp"}
    )
    return Reloaded(start, settings, "--workers", "2")


def test_streams_outlive_their_pool(start):
    """A pool that is removed serves what it has, and goes with the last of it."""
    balancer = everything(start)
    streams = [upgraded(balancer.poise.port) for _ in range(4)]
    assert alive(streams, b"before")
    del balancer.settings["pools"][1]
    del balancer.settings["listeners"][0]["routes"]
    for _ in range(3):
        balancer.hup()
        assert alive(streams, b"still here")
    assert web.get(balancer.poise.port, "/up").headers["X-Backend"] in ("B1", "B2", "B3")
    for s in streams:
        s.close()
    balancer.settled()


def test_streams_of_a_removed_listener_end_at_the_deadline(start):
    balancer = everything(start)
    http_port, tcp_port = balancer.poise.ports
    streams = [web.connect(tcp_port) for _ in range(4)]
    assert alive(streams, b"before")
    balancer.settings["listeners"].pop()
    balancer.settings["drain"] = {"deadline": "2s"}
    balancer.hup()
    wait_until(lambda: not accepts(tcp_port), "the port is closed")
    assert alive(streams, b"still here")
    for s in streams:
        assert s.recv(1) == b""
    balancer.poise.wait_for("the drain deadline has passed")
    balancer.settled()
    assert web.get(http_port).status == 200


@contextlib.contextmanager
def newcomers(port, count):
    """Clients that connect anew for each request; yields the statuses of all answers."""
    stop, statuses = threading.Event(), []

    def run():
        while not stop.is_set():
            try:
                statuses.append(web.get(port).status)
            except (OSError, http.client.HTTPException) as e:
                statuses.append(repr(e))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for t in threads:
        t.start()
    try:
        yield statuses
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert set(statuses) == {200}, [s for s in statuses if s != 200][:5]


def fill_recorders(port):
    """Ends more exchanges in each worker than its flight recorder keeps, so that all the memory that it
    may take is in use. The connections are so many that no worker goes without its share."""
    requests = 1000
    request = b"GET / HTTP/1.1\r\nHost: x\r\n"
    text = (request + b"\r\n") * (requests - 1) + request + b"Connection: close\r\n\r\n"

    def run(s):
        with s:
            sender = threading.Thread(target=s.sendall, args=(text,))
            sender.start()
            answers = b"".join(iter(lambda: s.recv(65536), b""))
            sender.join()
        return answers.count(b"HTTP/1.1 200 ")

    with concurrent.futures.ThreadPoolExecutor(32) as threads:
        assert list(threads.map(run, [web.connect(port) for _ in range(32)])) == [requests] * 32


RELOADS = 200


def test_many_reloads_under_load(start):
    """Listeners, pools, backends, routes and limits change 200 times while requests run on kept and
    on new connections and streams stay open: nothing fails, and nothing is left of it."""
    balancer = everything(start)
    http_port, tcp_port = balancer.poise.ports
    pid, parent = balancer.poise.engine_pid, balancer.poise.pid
    descriptors = memory.descriptors(pid)  # before any connection, but perhaps a check's
    parents = memory.descriptors(parent)
    extra = pool(balancer.settings["pools"][0]["backends"][:1], "extra", keepalive={"idle": "300ms"})
    everyone = list(balancer.settings["pools"][0]["backends"])
    held = Held()
    held.close()

    def vary(i):
        settings = balancer.settings
        app, listener = settings["pools"][0], settings["listeners"][0]
        app["backends"] = everyone if i % 3 == 0 else everyone[: 1 + i % 3]
        app["balance"] = ("round_robin", "least_connections", "source_hash")[i // 7 % 3]
        app["timeouts"] = {"response": f"{20 + i % 5}s"}
        listener["timeouts"] = {"idle": f"{30 + i % 7}s"}
        listener["routes"][1:] = [{"match": {"path": "/extra"}, "pool": "extra"}] * (i % 2)
        settings["pools"][3:] = [extra] * (i % 2)
        settings["listeners"][2:] = [
            {"name": "extra", "listen": held.address, "pool": "app"}
        ] * (i // 2 % 2)

    def warm_up():
        for i in range(12):
            vary(i)
            balancer.hup()
        vary(0)
        balancer.hup()
        balancer.settled()

    with loaded(http_port, 6):
        warm_up()
    if SANITIZER is None:
        fill_recorders(http_port)
    streams = [upgraded(http_port) for _ in range(10)] + [web.connect(tcp_port) for _ in range(10)]
    assert alive(streams, b"before")
    resident = memory.pss_bytes(pid)
    with loaded(http_port, 6) as kept, newcomers(http_port, 2) as fresh:
        for i in range(1, RELOADS + 1):
            vary(i)
            balancer.hup()
            if i % 20 == 0:
                assert alive(streams, f"after {i}".encode())
        vary(0)
        balancer.hup()
    assert kept.count() > RELOADS and len(fresh) > RELOADS / 4
    assert alive(streams, b"at the end")
    if SANITIZER is None:
        wait_until(lambda: memory.pss_bytes(pid) < resident + 700_000, "memory is back")
    for s in streams:
        s.close()
    balancer.settled()
    wait_until(lambda: memory.descriptors(pid) <= descriptors, "descriptors are back")
    assert memory.descriptors(parent) <= parents
    assert balancer.poise.engine_pid == pid  # the very same process
