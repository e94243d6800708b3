# SPDX-License-Identifier: MIT
"""A client that speaks HTTP/2 frame by frame and may break every rule of it (RFC 9113)."""

import collections
import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE = 0, 1, 2, 3, 4, 5
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL = 4, 5, 6, 8

Frame = collections.namedtuple("Frame", "type flags stream payload")


def frame(type, flags=0, stream=0, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", type, flags, stream) + payload


def literal(name, value):
    """A field that no table keeps."""
    name, value = name.encode("latin1"), value.encode("latin1")

    def text(s):
        n, out = len(s), b""
        if n < 127:
            return bytes([n]) + s
        n -= 127
        while n >= 128:
            out += bytes([n & 127 | 128])
            n >>= 7
        return b"\x7f" + out + bytes([n]) + s

    return b"\x00" + text(name) + text(value)


def settings(**values):
    """SETTINGS(NAME=value) as a payload."""
    return b"".join(struct.pack("!HI", globals()[k], v) for k, v in values.items())


GET = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "web.test"))
POST = ((":method", "POST"),) + GET[1:]


class Stream:
    """What came of one stream: response heads, body, trailers, and how it ended."""

    def __init__(self):
        self.heads, self.body, self.ended, self.reset = [], b"", False, None

    @property
    def fields(self):
        return dict(self.heads[-1])

    @property
    def status(self):
        return next((int(dict(h)[":status"]) for h in reversed(self.heads) if ":status" in dict(h)), None)


class Wire:
    """A connection. `streams` holds what came, `goaway` the (last stream, code) of GOAWAY."""

    def __init__(self, port, preface=PREFACE, first=b"", window=True, timeout=30, sock=None):
        self.s = sock or socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer, self.block = b"", b""
        self.streams = collections.defaultdict(Stream)
        self.settings, self.goaway, self.closed = {}, None, False
        self.frames = collections.Counter()
        self.last = time.monotonic()
        self.window = window  # opened again for what came
        if preface is not None:
            self.send(preface + frame(SETTINGS, 0, 0, first))

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- out ----

    def send(self, data):
        try:
            self.s.sendall(data)
        except OSError:
            pass  # what came before the end is still to be read

    def frame(self, type, flags, stream, payload=b""):
        self.send(frame(type, flags, stream, payload))

    def encode(self, fields):
        return self.encoder.encode([(n, v) for n, v in fields], huffman=False)

    def headers(self, stream, fields=GET, end=True, flags=END_HEADERS, block=None):
        block = self.encode(fields) if block is None else block
        self.frame(HEADERS, flags | (END_STREAM if end else 0), stream, block)

    def data(self, stream, payload=b"", end=True):
        self.frame(DATA, END_STREAM if end else 0, stream, payload)

    def update(self, stream, n):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", n))

    def rst(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack("!I", code))

    # ---- in ----

    def _fill(self):
        try:
            data = self.s.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
        self.buffer += data
        return bool(data)

    def read(self):
        """The next frame, or None at the end of the connection."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            if not self._fill():
                return None
        n = int.from_bytes(self.buffer[:3], "big")
        type, flags, stream = struct.unpack("!BBI", self.buffer[3:9])
        f = Frame(type, flags, stream & 0x7FFFFFFF, self.buffer[9 : 9 + n])
        self.buffer = self.buffer[9 + n :]
        self.take(f)
        return f

    def take(self, f):
        self.frames[f.type] += 1
        s = self.streams[f.stream] if f.stream else None
        if f.type in (HEADERS, CONTINUATION):
            self.block += f.payload
            if f.flags & END_HEADERS:
                s.heads.append(self.decoder.decode(self.block))
                self.block = b""
        elif f.type == DATA:
            s.body += f.payload
            if self.window and f.payload:
                self.update(0, len(f.payload))
                if not f.flags & END_STREAM:
                    self.update(f.stream, len(f.payload))
        elif f.type == RST_STREAM:
            s.reset = struct.unpack("!I", f.payload)[0]
        elif f.type == SETTINGS and not f.flags & ACK:
            for at in range(0, len(f.payload), 6):
                key, value = struct.unpack("!HI", f.payload[at : at + 6])
                self.settings[key] = value
            self.frame(SETTINGS, ACK, 0)
        elif f.type == PING and not f.flags & ACK:
            self.frame(PING, ACK, 0, f.payload)
        elif f.type == GOAWAY:
            self.goaway = struct.unpack("!II", f.payload[:8])
        if f.type in (DATA, HEADERS) and f.flags & END_STREAM:
            s.ended = True

    def until(self, done, what="it"):
        """Reads until `done()`; the end of the connection before that is a failure."""
        while not done():
            if self.read() is None:
                assert done(), f"closed before {what}: goaway={self.goaway} {dict(self.streams)}"
                return

    def answer(self, stream):
        """The whole response of a stream, or what was there when it was reset."""
        s = self.streams[stream]
        self.until(lambda: s.ended or s.reset is not None, f"an answer on stream {stream}")
        return s

    def get(self, stream, path="/", *fields):
        self.headers(stream, GET[:2] + ((":path", path), GET[3]) + fields)
        return self.answer(stream)

    def ping(self, payload=b"are you?"):
        """Whether the other end is there and speaks: it has then read all that was sent before."""
        self.frame(PING, 0, 0, payload)
        while True:
            f = self.read()
            assert f, f"closed: goaway={self.goaway}"
            if f.type == PING and f.flags & ACK:
                return f.payload

    def end(self):
        """Reads to the end of the connection and returns the code of GOAWAY, or None without."""
        while self.read():
            pass
        return self.goaway and self.goaway[1]
