# SPDX-License-Identifier: MIT
"""How requests are shared out, counted exactly over the whole process."""

import pytest
import web
from load import LoadTool
from programs import SANITIZER, config, pool

REQUESTS = 100_000 if not SANITIZER else 9_000


@pytest.fixture
def load():
    tool = LoadTool()
    yield tool
    tool.end()


@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_round_robin_is_exact(start, load, workers):
    poise = start.poise(config(pool(load.backends)), "--workers", workers)
    counts = load.run(poise.port, REQUESTS)
    assert sum(counts) == REQUESTS
    assert max(counts) - min(counts) <= 1, counts


def test_round_robin_is_exact_with_a_connection_per_request(start, load):
    poise = start.poise(config(pool(load.backends)), "--workers", "2")
    counts = load.run(poise.port, REQUESTS // 10, keep="close")
    assert sum(counts) == REQUESTS // 10
    assert max(counts) - min(counts) <= 1, counts


def test_round_robin_is_exact_over_tcp_connections(start, load):
    backends = pool(load.backends, protocol="tcp")
    poise = start.poise(config(backends, "tcp"), "--workers", "2")
    counts = load.run(poise.port, 3000, keep="close")
    assert counts == [1000, 1000, 1000]


def test_two_listeners_share_one_turn(start, load):
    settings = config(pool(load.backends))
    settings["listeners"].append(settings["listeners"][0] | {"name": "two"})
    poise = start.poise(settings)
    first = load.run(poise.ports[0], 1000)
    second = load.run(poise.ports[1], 1000)
    counts = [a + b for a, b in zip(first, second)]
    assert max(counts) - min(counts) <= 1, counts


@pytest.mark.parametrize("workers", ["1", "4"])
def test_weights_are_exact(start, load, workers):
    weights = (5, 1, 1)
    backends = [
        {"name": n, "address": a, "weight": w} for (n, a), w in zip(load.backends, weights)
    ]
    poise = start.poise(config(pool(backends)), "--workers", workers)
    requests = REQUESTS // 7 // 10 * 7
    assert load.run(poise.port, requests) == [requests * w // 7 for w in weights]


def test_weights_are_exact_in_every_seven(start):
    servers = start.servers(3)
    backends = [
        {"name": s.backend, "address": s.address, "weight": w} for s, w in zip(servers, (5, 1, 1))
    ]
    poise = start.poise(config(pool(backends)))
    for _ in range(4):
        seen = [web.get(poise.port).headers["X-Backend"] for _ in range(7)]
        assert (seen.count("B1"), seen.count("B2"), seen.count("B3")) == (5, 1, 1), seen
        assert seen != ["B1"] * 5 + ["B2", "B3"], "the turns should be spread"


def test_random_is_fair_over_many(start, load):
    poise = start.poise(config(pool(load.backends, balance="random")))
    for count in load.run(poise.port, 9000):
        assert 2600 < count < 3400  # nine standard deviations


@pytest.mark.parametrize("workers", ["1", "2"])
def test_least_connections_spares_the_slow(start, workers):
    """With one of three backends ten times slower it gets about a tenth of what the others get."""
    quick = [start.server(f"B{i}", "--delay", "10ms") for i in (1, 2)]
    slow = start.server("B3", "--delay", "100ms")
    backends = pool([*quick, slow], balance="least_connections")
    poise = start.poise(config(backends), "--workers", workers)
    load = web.Load(poise.port, 24)
    try:
        while load.count() < (4000 if not SANITIZER else 1000):
            load.stopping.wait(0.05)
    finally:
        load.stop()
    assert load.errors == [] and set(load.answers) == {200}
    shares = {name: n / sum(load.backends.values()) for name, n in load.backends.items()}
    # The ideal is 1/21 of all, a tenth of each other one's share.
    assert 0.02 < shares["B3"] < 0.10, shares
    assert abs(shares["B1"] - shares["B2"]) < 0.1, shares


def test_source_hash_keeps_a_client_at_its_backend(start):
    servers = start.servers(3)
    poise = start.poise(config(pool(servers, balance="source_hash")))
    assert len({web.get(poise.port).headers["X-Backend"] for _ in range(30)}) == 1


def test_p2c_uses_every_backend(start, load):
    poise = start.poise(config(pool(load.backends, balance="p2c")))
    assert min(load.run(poise.port, 9000)) > 1500
