# SPDX-License-Identifier: MIT
"""Large bodies arrive bit by bit, and no reader, however slow, makes the balancer grow."""

import hashlib
import os
import resource
import socket
import time

import memory
import pytest
import web
from programs import SANITIZER, config, pool

MIB = 1 << 20
SIZE = 1024 * MIB if os.environ.get("POISE_FULL") == "1" else 256 * MIB
if SANITIZER:
    SIZE = 32 * MIB
LIMIT = 50 * MIB
BLOCK = hashlib.shake_256(b"poise").digest(MIB + 4097)  # of an odd length: pieces never repeat aligned


def pieces(size):
    """The bytes of a body, made as they are needed."""
    done = 0
    while done < size:
        n = min(len(BLOCK), size - done)
        yield memoryview(BLOCK)[:n]
        done += n


def digest(size):
    h = hashlib.sha256()
    for piece in pieces(size):
        h.update(piece)
    return h.hexdigest()


class Origin(web.Acceptor):
    """An HTTP server for one exchange after the other that makes and eats large bodies: GET /SIZE sends
    so many bytes, GET /chunked/SIZE in chunks; POST answers with the SHA-256 of what came."""

    def __init__(self):
        self.sent = 0
        super().__init__()

    def _serve(self, s):
        try:
            with s, s.makefile("rb") as f:
                while line := f.readline():
                    method, path, _ = line.decode().split()
                    fields = {}
                    while (line := f.readline().decode().strip()) != "":
                        name, _, value = line.partition(":")
                        fields[name.lower()] = value.strip()
                    if method == "POST":
                        self._eat(s, f, fields)
                    else:
                        self._make(s, path)
        except OSError:
            pass  # the other side has gone

    def _eat(self, s, f, fields):
        h = hashlib.sha256()
        if fields.get("transfer-encoding") == "chunked":
            while size := int(f.readline(), 16):
                h.update(f.read(size))
                f.readline()
            f.readline()
        else:
            left = int(fields["content-length"])
            while left:
                data = f.read1(min(left, MIB))
                h.update(data)
                left -= len(data)
        text = h.hexdigest().encode()
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

    def _make(self, s, path):
        chunked, size = "chunked" in path, int(path.rpartition("/")[2])
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        s.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for piece in pieces(size):
            if chunked:
                s.sendall(b"%x\r\n" % len(piece))
            s.sendall(piece)
            if chunked:
                s.sendall(b"\r\n")
            self.sent += len(piece)
        if chunked:
            s.sendall(b"0\r\n\r\n")


@pytest.fixture
def origin(closing):
    return closing(Origin)


def check_memory(poise):
    if not SANITIZER:
        assert memory.peak_rss_bytes(poise.engine_pid) < LIMIT


def receive_digest(s, count):
    h = hashlib.sha256()
    while count:
        data = s.recv(min(count, MIB))
        assert data, f"{count} bytes are missing"
        h.update(data)
        count -= len(data)
    return h.hexdigest()


def read_head(s):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += web.receive(s, 1)
    return head


def test_download(start, origin):
    poise = start.poise(config(pool([("B1", origin.address)])))
    with web.connect(poise.port) as s:
        s.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % SIZE)
        assert read_head(s).startswith(b"HTTP/1.1 200 ")
        assert receive_digest(s, SIZE) == digest(SIZE)
    check_memory(poise)


def test_download_in_chunks(start, origin):
    import http.client

    poise = start.poise(config(pool([("B1", origin.address)])))
    size, h = SIZE // 4, hashlib.sha256()
    connection = http.client.HTTPConnection("127.0.0.1", poise.port, timeout=60)
    connection.request("GET", f"/chunked/{size}")
    response = connection.getresponse()
    while data := response.read(MIB):
        h.update(data)
    connection.close()
    assert h.hexdigest() == digest(size)
    check_memory(poise)


def test_upload(start, origin):
    poise = start.poise(config(pool([("B1", origin.address)])))
    with web.connect(poise.port) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for piece in pieces(SIZE):
            s.sendall(piece)
        assert read_head(s).startswith(b"HTTP/1.1 200 ")
        assert web.receive(s, 64).decode() == digest(SIZE)
    check_memory(poise)


def test_upload_in_chunks(start, origin):
    poise = start.poise(config(pool([("B1", origin.address)])))
    size = SIZE // 4
    with web.connect(poise.port) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces(size):
            s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        s.sendall(b"0\r\n\r\n")
        assert read_head(s).startswith(b"HTTP/1.1 200 ")
        assert web.receive(s, 64).decode() == digest(size)
    check_memory(poise)


def test_tcp_both_ways(start, origin):
    poise = start.poise(config(pool([("B1", origin.address)], protocol="tcp"), "tcp"))
    with web.connect(poise.port) as s:
        s.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % SIZE)
        read_head(s)
        assert receive_digest(s, SIZE) == digest(SIZE)
        s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for piece in pieces(SIZE):
            s.sendall(piece)
        read_head(s)
        assert web.receive(s, 64).decode() == digest(SIZE)
    check_memory(poise)


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_slow_reader_does_not_make_it_grow(start, origin, protocol):
    poise = start.poise(config(pool([("B1", origin.address)], protocol=protocol), protocol))
    with web.connect(poise.port) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        s.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % (1024 * MIB))
        read_head(s)
        time.sleep(0.5)
        before, sent = memory.pss_bytes(poise.engine_pid), origin.sent
        for _ in range(30):  # three seconds at 1 KB/s
            web.receive(s, 100)
            time.sleep(0.1)
        assert memory.pss_bytes(poise.engine_pid) < before + 2 * MIB
        assert origin.sent < sent + 32 * MIB, "the origin is held back too"
    if not SANITIZER:
        assert memory.peak_rss_bytes(poise.engine_pid) < LIMIT


def test_slow_readers_leave_descriptors_for_new_clients(start, origin):
    """Each of them may have a pipe, but pipes have a share of their own of the descriptors."""
    files, count = 300, 90
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    settings = config(pool([("B1", origin.address)]))
    poise = start.poise(settings, "--workers", "1", preexec_fn=limit)
    readers = []
    for _ in range(count):
        s = socket.socket()
        readers.append(s)
        s.settimeout(20)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", poise.port))
        s.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % (8 * MIB))
        assert s.recv(12) == b"HTTP/1.1 200"
    held = -1
    while held != (held := origin.sent):  # until nobody takes more
        time.sleep(0.3)
    assert held < count * 8 * MIB
    for _ in range(10):
        assert web.get(poise.port, "/5", timeout=20).status == 200
    for s in readers:
        s.close()


def test_a_slow_backend_does_not_make_it_grow(start):
    """It reads nothing at all while a client would like to send a gigabyte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        poise = start.poise(config(pool([("B1", address)])))
        with web.connect(poise.port) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (1024 * MIB))
            backend, _ = listener.accept()
            s.settimeout(1)
            sent = 0
            with pytest.raises(TimeoutError):
                while sent < 200 * MIB:
                    sent += s.send(BLOCK)
            if not SANITIZER:
                assert memory.peak_rss_bytes(poise.engine_pid) < LIMIT
            backend.close()
