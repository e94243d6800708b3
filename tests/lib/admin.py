# SPDX-License-Identifier: MIT
"""The admin API as a client sees it: over its address, or over its unix socket."""

import http.client
import json
import socket

from web import Answer

ADDRESS = r"^Admin at http://127\.0\.0\.1:(\d+)/$"
TOKEN = "a-token-of-tests"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Admin:
    """Asks a balancer that listens at a port of the kernel's choice, or at the path of a socket."""

    def __init__(self, poise, path=None):
        self.path = path
        self.port = None if path else int(poise.wait_for(ADDRESS)[0])

    def connection(self, timeout=60):
        if self.path:
            return UnixConnection(self.path, timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def connect(self, timeout=60):
        """A bare socket."""
        c = self.connection(timeout)
        c.connect()
        return c.sock

    def ask(self, method, path, body=None, token=None, headers=None):
        fields = dict(headers or {})
        if token:
            fields["Authorization"] = f"Bearer {token}"
        if isinstance(body, dict):
            body = json.dumps(body)
        connection = self.connection()
        try:
            connection.request(method, path, body=body, headers=fields)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path):
        """What a path that is there answers."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def error(self, status, *words, **options):
        """Asks what is refused, and returns why."""
        answer = self.ask(*words, **options)
        assert answer.status == status, answer
        return json.loads(answer.body)["error"]


class Events:
    """A reader of server-sent events."""

    def __init__(self, admin, timeout=30):
        self.socket = admin.connect(timeout)
        self.socket.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline() not in (b"\r\n", b""):
            pass

    def next(self):
        """(kind, data) of the next event."""
        kind, data = self.file.readline().decode(), self.file.readline().decode()
        assert kind.startswith("event: ") and data.startswith("data: "), (kind, data)
        assert self.file.readline() == b"\n"
        return kind[7:-1], json.loads(data[6:])

    def wait(self, kind, wanted=lambda data: True):
        while True:
            found, data = self.next()
            if found == kind and wanted(data):
                return data

    def close(self):
        self.file.close()
        self.socket.close()


def config(**more):
    """The admin part of a configuration."""
    return {"listen": "127.0.0.1:0", "token": TOKEN} | more
