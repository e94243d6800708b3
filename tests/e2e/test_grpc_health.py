# SPDX-License-Identifier: MIT
"""Health checks of type grpc, against the servers people run."""

import functools

import pytest
from programs import config, pool

grpcs = pytest.importorskip("grpcs", reason="python3-grpcio is not installed")

CHECKS = {"type": "grpc", "interval": "100ms", "timeout": "2s", "rise": 1, "fall": 1}


@pytest.fixture
def server(closing):
    return functools.partial(closing, grpcs.Server)


def watched(start, *servers, **health):
    pools = pool([s.entry() for s in servers], protocol="http2", health=CHECKS | health)
    return start.poise(config(pools))


def test_serving_and_not(start, server):
    s = server("B1", {"": grpcs.SERVING})
    poise = watched(start, s)
    s.service.health[""] = grpcs.NOT_SERVING
    poise.wait_for(r"pool=app backend=B1 state=down reason=probe_not_serving")
    s.service.health[""] = grpcs.SERVING
    poise.wait_for(r"pool=app backend=B1 state=up")
    assert s.service.checked[0] == ""


def test_the_service_asked_about(start, server):
    name = "shop.Cart" + "x" * 200  # a length of two bytes
    s = server("B1", {"": grpcs.NOT_SERVING, name: grpcs.NOT_SERVING})
    poise = watched(start, s, service=name)
    poise.wait_for(r"state=down reason=probe_not_serving")
    s.service.health[name] = grpcs.SERVING
    poise.wait_for(r"state=up")
    assert set(s.service.checked) == {name}


def test_a_service_that_the_server_does_not_know(start, server):
    poise = watched(start, server("B1", {"": grpcs.SERVING}), service="shop.Cart")
    poise.wait_for(r"state=down reason=probe_unknown_service")


def test_a_server_without_the_health_service(start, server):
    poise = watched(start, server("B1"))
    poise.wait_for(r"state=down reason=probe_unimplemented")


def test_a_backend_without_http2(start):
    backend = start.server("B1")
    pools = pool([backend], protocol="http2", health=CHECKS)
    poise = start.poise(config(pools))
    poise.wait_for(r"state=down reason=backend_no_http2")


def test_a_server_that_goes_and_comes_back(start, server):
    s = server("B1", {"": grpcs.SERVING})
    poise = watched(start, s)
    s.close()
    poise.wait_for(r"state=down reason=(connect_refused|backend_reset|probe_closed|stream_refused)")
    server("B1", {"": grpcs.SERVING}, port=s.port)
    poise.wait_for(r"state=up")
