# SPDX-License-Identifier: MIT
"""What is asked of the proxies. A name says all that matters, for it stands in the results."""

from dataclasses import dataclass, field

KIB = 1024


@dataclass(frozen=True)
class Workload:
    name: str
    port: str  # http_port, tcp_port, https_port, h2_port or https_h2_port
    keep: str  # keep or close
    connections: int
    body: int  # bytes of every answer
    options: dict = field(default_factory=dict)  # see load.c

    def words(self, port, warm_ms, measure_ms, **more):
        options = [f"{k}={v}" for k, v in (self.options | more).items()]
        return "run", port, self.keep, self.connections, self.body, 0, warm_ms, measure_ms, *options


SMALL = 128
ONE = Workload("HTTP keep-alive, 1 connection", "http_port", "keep", 1, SMALL)
KEEP = Workload("HTTP keep-alive, 64 connections", "http_port", "keep", 64, SMALL)
CLOSE = Workload("HTTP, a connection per request", "http_port", "close", 64, SMALL)
TCP_CLOSE = Workload("TCP, a connection per request", "tcp_port", "close", 64, SMALL)

FORWARDING = [
    ONE,
    KEEP,
    Workload("HTTP keep-alive, 512 connections", "http_port", "keep", 512, SMALL),
    Workload("HTTP keep-alive, 64, browser heads", "http_port", "keep", 64, SMALL, {"browser": 1}),
    Workload("HTTP keep-alive, 64, 4 KiB", "http_port", "keep", 64, 4 * KIB, {"browser": 1}),
    Workload("HTTP keep-alive, 64, 64 KiB", "http_port", "keep", 64, 64 * KIB),
    Workload("HTTP keep-alive, 64, 1 MiB", "http_port", "keep", 64, 1024 * KIB),
    Workload("HTTP uploads, 64, 64 KiB", "http_port", "keep", 64, SMALL, {"upload": 64 * KIB}),
    Workload("HTTP pipelined, 64, bursts of 8", "http_port", "keep", 64, SMALL, {"depth": 8}),
    CLOSE,
    Workload("TCP keep-alive, 64 connections", "tcp_port", "keep", 64, SMALL),
    Workload("TCP keep-alive, 64, 64 KiB", "tcp_port", "keep", 64, 64 * KIB),
    TCP_CLOSE,
]

TLS = {"tls": 1}
STREAMS = {"streams": 32}
HTTPS = Workload("HTTPS keep-alive, 64 connections", "https_port", "keep", 64, SMALL, TLS)
SECURE = [
    HTTPS,
    Workload("HTTPS keep-alive, 64, 64 KiB", "https_port", "keep", 64, 64 * KIB, TLS),
    Workload("HTTPS, a full handshake per request", "https_port", "close", 64, SMALL, TLS),
    Workload("HTTPS, a resumed handshake per request", "https_port", "close", 64, SMALL, TLS | {"resume": 1}),
]
MULTIPLEXED = [
    Workload("HTTP/2, 16 × 32 streams", "h2_port", "keep", 16, SMALL, STREAMS),
    Workload("HTTP/2 over TLS, 16 × 32 streams", "https_h2_port", "keep", 16, SMALL, STREAMS | TLS),
]
BACKENDS_H2 = [
    Workload(f"HTTP keep-alive, {n} connections", "http_port", "keep", n, SMALL) for n in (64, 512)
]

# Clients from 64 addresses, so that a policy that goes by them spreads as well.
SPREAD = {"sources": 64}
BACKENDS_HTTP = Workload("HTTP keep-alive, 64", "http_port", "keep", 64, SMALL, SPREAD)
BACKENDS_TCP = Workload(TCP_CLOSE.name, "tcp_port", "close", 64, SMALL, SPREAD)
POLICIES = ("round_robin", "least_connections", "random", "p2c", "source_hash")

OPEN = Workload("open loop", "http_port", "keep", 128, SMALL)
OPEN_SHARES = (0.3, 0.6, 0.8)  # of what the slowest proxy can do
