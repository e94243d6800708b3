# SPDX-License-Identifier: MIT
"""PROXY headers, and a backend that keeps what it is sent."""

import ipaddress
import socket
import struct
import threading

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
SOURCE, DESTINATION = ("192.0.2.1", 56324), ("198.51.100.7", 443)


def v1(source=SOURCE, destination=DESTINATION):
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def v2(source=SOURCE, destination=DESTINATION, tlvs=b"", command=PROXY, family=None):
    """`source` None: no addresses."""
    body = b""
    if source:
        a, b = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
        family = family or (0x11 if a.version == 4 else 0x21)
        body = a.packed + b.packed + struct.pack(">HH", source[1], destination[1])
    body += tlvs
    return SIGNATURE + struct.pack(">BBH", command, family or 0, len(body)) + body


def read_v2(data):
    """(header without its TLVs' order, what follows): command, source, destination, {type: value}."""
    assert data.startswith(SIGNATURE), data[:64]
    command, family, length = struct.unpack(">BBH", data[12:16])
    body, rest = data[16 : 16 + length], data[16 + length :]
    assert len(body) == length
    size = {0x11: 4, 0x21: 16}.get(family, 0)
    source = destination = None
    if size:
        ports = struct.unpack(">HH", body[2 * size : 2 * size + 4])
        source = (str(ipaddress.ip_address(body[:size])), ports[0])
        destination = (str(ipaddress.ip_address(body[size : 2 * size])), ports[1])
        body = body[2 * size + 4 :]
    return (command, source, destination, read_tlvs(body)), rest


def read_tlvs(body):
    found = {}
    while body:
        kind, length = struct.unpack(">BH", body[:3])
        assert kind not in found and len(body) >= 3 + length
        found[kind], body = body[3 : 3 + length], body[3 + length :]
    return found


class Keeper:
    """A backend that keeps the first bytes of each connection, as they were received at once, then
    all the rest; it answers `answer` to the first bytes and closes when the peer does."""

    def __init__(self, answer=b"", greeting=b"", wait=True):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.answer, self.greeting, self.wait = answer, greeting, wait
        self.first, self.all, self.open = [], [], []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        number = len(self.first)
        self.first.append(b"")
        self.all.append(b"")
        with connection:
            try:
                if self.greeting:
                    connection.sendall(self.greeting)
                while data := connection.recv(1 << 20):
                    if not self.first[number]:
                        self.first[number] = data
                    self.all[number] += data
                    if self.answer and (not self.wait or b"\r\n\r\n" in self.all[number][16:]):
                        connection.sendall(self.answer)
            except OSError:
                pass

    def close(self):
        # Closing alone leaves the thread in accept(), where it may take what comes to whoever has that descriptor next.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
