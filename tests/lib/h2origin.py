# SPDX-License-Identifier: MIT
"""A backend that speaks HTTP/1.1 and does by its path what an HTTP/2 client is to be told of."""

import hashlib
import base64
import socket
import threading
import time

import web

CHUNK = b"%x\r\n%s\r\n"


class Origin(web.Acceptor):
    """`seen` are the heads it was sent; `sent` counts bytes of /endless; `gone` the paths whose
    connection the other end closed while they were under way."""

    def __init__(self):
        self.seen, self.gone, self.sent, self.taken = [], [], 0, 0
        self.go = threading.Event()  # what /wait and /later wait for
        self.trailers = []
        super().__init__()

    def close(self):
        self.go.set()
        super().close()

    def _serve(self, s):
        path = None
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with s, s.makefile("rb") as f:
                while line := f.readline():
                    fields = {}
                    while (field := f.readline()) not in (b"\r\n", b""):
                        name, _, value = field.partition(b":")
                        fields[name.strip().lower().decode()] = value.strip().decode()
                    path = line.split()[1].decode().partition("?")[0]
                    self.seen.append((line.split()[0].decode(), line.split()[1].decode(), fields))
                    answer = getattr(self, "do_" + path.strip("/").replace("-", "_"), self.do_hello)
                    if answer(s, f, fields) is False:
                        return
                    path = None
        except OSError:
            pass
        if path:
            self.gone.append(path)

    def body(self, f, fields):
        if "content-length" in fields:
            return f.read(int(fields["content-length"]))
        if "transfer-encoding" not in fields:
            return b""
        data = b""
        while n := int(f.readline(), 16):
            data += f.read(n)
            f.readline()
        while (line := f.readline()) not in (b"\r\n", b""):
            self.trailers.append(line.decode().strip())
        return data

    def ok(self, s, body, *fields, status="200 OK"):
        lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}"]
        s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def do_hello(self, s, f, fields):
        self.body(f, fields)
        self.ok(s, b"hello", "X-Name: Value", "Connection: keep-alive, X-Hop", "X-Hop: gone")

    def do_echo(self, s, f, fields):
        self.ok(s, self.body(f, fields))

    def do_continue(self, s, f, fields):
        s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.ok(s, self.body(f, fields))

    def do_hints(self, s, f, fields):
        s.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        self.ok(s, b"hinted")

    def do_trailers(self, s, f, fields):
        self.body(f, fields)
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        for i in range(10):
            s.sendall(CHUNK % (5, b"piece"))
        s.sendall(b"0\r\nX-Sum: 42\r\nGrpc-Status: 0\r\n\r\n")

    def do_only_trailers(self, s, f, fields):
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 0\r\n\r\n")

    def do_nothing(self, s, f, fields):
        s.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def do_unchanged(self, s, f, fields):
        s.sendall(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 7\r\n\r\n')

    def do_head(self, s, f, fields):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    def do_empty(self, s, f, fields):
        self.ok(s, b"")

    def do_early(self, s, f, fields):
        self.ok(s, b"no", "Connection: close", status="413 Content Too Large")
        time.sleep(0.2)
        return False

    def do_big(self, s, f, fields):
        self.ok(s, b"b" * (4 << 20))

    def do_until_close(self, s, f, fields):
        s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"c" * 100000)
        return False

    def do_endless(self, s, f, fields):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
        while True:
            self.sent += s.send(b"e" * 65536)

    def do_hang(self, s, f, fields):
        s.recv(1)
        raise ConnectionError

    def do_wait(self, s, f, fields):
        self.go.wait(30)
        self.ok(s, b"waited")

    def do_unread(self, s, f, fields):
        """The body is not read until it may."""
        self.go.wait(30)
        body = self.body(f, fields)
        self.taken += len(body)
        self.ok(s, b"%d" % len(body))

    def do_cut(self, s, f, fields):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        return False

    def do_cut_chunks(self, s, f, fields):
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK % (4, b"this"))
        return False

    def do_socket(self, s, f, fields):
        """A WebSocket, as far as the handshake goes; then every byte comes back."""
        if fields.get("upgrade") != "websocket":
            self.ok(s, b"no upgrade", status="400 Bad Request")
            return True
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = hashlib.sha1((fields["sec-websocket-key"] + guid).encode()).digest()
        s.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        while data := s.recv(65536):
            s.sendall(data)
        return False
