# SPDX-License-Identifier: MIT
"""A plain HTTP/1.1 client over raw sockets, and small loads, for tests that must see every byte."""

import collections
import http.client
import socket
import struct
import threading
import time

from programs import wait_until

Answer = collections.namedtuple("Answer", "status headers body")


def get(port, path="/", method="GET", body=None, headers=None, timeout=60):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def connect(port, timeout=60):
    s = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def receive(s, count):
    """Exactly `count` bytes."""
    data = b""
    while len(data) < count:
        piece = s.recv(count - len(data))
        assert piece, f"closed after {len(data)} of {count} bytes: {data[:200]!r}"
        data += piece
    return data


def reset(s):
    """Closes with a reset instead of an end."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Acceptor:
    """A server of a test: it gives each connection to a thread of its own, which does `_serve(s)`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # or accept() goes on, perhaps on another's socket
        self.listener.close()

    def _run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()


class FullQueue:
    """Listens at `address`, but with a full queue: whoever connects waits until `waiting` are closed and
    what is there is accepted."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.waiting = [socket.socket() for _ in range(8)]
        for s in self.waiting:
            s.setblocking(False)
            s.connect_ex(self.listener.getsockname())
        wait_until(self.connecting, "the queue is full")

    def connecting(self):
        """How many want to connect and have no answer yet, those of `waiting` among them."""
        with open("/proc/net/tcp") as f:
            lines = [line.split() for line in f]
        syn_sent, there = "02", f"0100007F:{self.port:04X}"
        return sum(words[2] == there and words[3] == syn_sent for words in lines)

    def close(self):
        for s in [*self.waiting, self.listener]:
            s.close()


class Load:
    """GETs without pause over `connections` kept connections (or, without `keep`, over a new one each),
    until stopped. `answers` counts the
    statuses; `errors` collects what was no answer, with when and where it happened."""

    def __init__(self, port, connections, path="/", keep=True):
        self.port, self.path, self.keep = port, path, keep
        self.answers, self.reasons, self.errors = (
            collections.Counter(),
            collections.Counter(),
            [],
        )
        self.backends = collections.Counter()
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(connections)]
        for t in self.threads:
            t.start()

    def _run(self):
        connection = None
        while not self.stopping.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                connection.request("GET", self.path)
                response = connection.getresponse()
                response.read()
                with self.lock:
                    self.answers[response.status] += 1
                    self.backends[response.headers.get("X-Backend")] += 1
                    if response.status != 200:
                        self.reasons[(response.status, response.headers.get("X-Poise-Reason"))] += 1
                if response.will_close or not self.keep:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as e:
                with self.lock:
                    self.errors.append(f"{time.monotonic():.3f} {e!r}")
                if connection:
                    connection.close()
                connection = None
                time.sleep(0.01)
        if connection:
            connection.close()

    def count(self):
        with self.lock:
            return sum(self.answers.values())

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()
        return self
