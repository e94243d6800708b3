# SPDX-License-Identifier: MIT
"""HTTP/2 as RFC 9113 asks: every rule that a client can break, sections 3 to 8 and RFC 7541."""

import struct

import pytest
from h2wire import (
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, GET, GOAWAY, HEADERS, PADDED, PING, POST, PREFACE, PRIORITY,
    PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE,
    WITH_PRIORITY, Wire, frame, settings,
)  # fmt: skip
from programs import config, pool

import web


@pytest.fixture(scope="module")
def lb(tmp_path_factory):
    from conftest import Starter

    starter = Starter(tmp_path_factory.mktemp("http2"))
    server = starter.server("B1", "--body-size", "20000B")
    yield starter.poise(config(pool([server])))
    starter.end()


@pytest.fixture
def wire(lb):
    with Wire(lb.port) as w:
        yield w


def with_path(path):
    return GET[:2] + ((":path", path), GET[3])


def without(name):
    return tuple(f for f in GET if f[0] != name)


def half(w):
    """A request whose body is still to come."""
    w.headers(1, POST, end=False)


def stuck(w):
    """A complete request whose response has to wait for a window."""
    w.frame(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=0))
    w.headers(1)
    w.until(lambda: w.streams[1].heads, "a head")


def done(w):
    w.headers(1)
    w.answer(1)


def reset(w):
    """A stream the client has reset, which the other end has seen."""
    w.headers(1, POST, end=False)
    w.rst(1)
    w.ping()


# ---- what ends the connection, and with which code ----


def of(type, flags, stream, payload=b"", before=None):
    def act(w):
        if before:
            before(w)
        w.frame(type, flags, stream, payload)

    return act


def block_then(*frames):
    """A header block that is interrupted."""

    def act(w):
        w.headers(1, flags=0)
        for f in frames:
            w.send(frame(*f))

    return act


def raw_block(block):
    return lambda w: w.headers(1, block=block)


def after(first, *frames):
    def act(w):
        first(w)
        for f in frames:
            w.send(f(w) if callable(f) else frame(*f))

    return act


def headers_on(stream, end=True):
    return lambda w: w.headers(stream, end=end)


def twice(first, second):
    def act(w):
        first(w)
        second(w)

    return act


P, F, C, S, W = PROTOCOL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR, STREAM_CLOSED, FLOW_CONTROL_ERROR
BLOCK = b"\x82\x86\x84\x41\x08web.test"  # GET http / web.test

CONNECTION = {
    # 3.4, 4.2, 4.3
    "large headers": (F, of(HEADERS, END_HEADERS | END_STREAM, 1, b"\0" * 16385)),
    "large data": (F, of(DATA, 0, 1, b"\0" * 16385, half)),
    "bad block": (C, raw_block(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
    "priority within a block": (P, block_then((PRIORITY, 0, 1, b"\0\0\0\0\xff"))),
    "headers within a block": (P, block_then((HEADERS, END_HEADERS | END_STREAM, 3, BLOCK))),
    "unknown within a block": (P, block_then((0xFE, 0, 1, b"12345678"))),
    # 5.1
    "idle data": (P, of(DATA, END_STREAM, 1, b"x")),
    "idle reset": (P, of(RST_STREAM, 0, 1, b"\0\0\0\x08")),
    "idle window update": (P, of(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")),
    "idle continuation": (P, of(CONTINUATION, END_HEADERS, 1, BLOCK)),
    "half closed continuation": (P, of(CONTINUATION, END_HEADERS, 1, BLOCK, headers_on(1))),
    "reset continuation": (P, of(CONTINUATION, END_HEADERS, 1, BLOCK, reset)),
    "closed data": (S, of(DATA, END_STREAM, 1, b"x", done)),
    "closed headers": (S, twice(done, headers_on(1))),
    "closed continuation": (P, of(CONTINUATION, END_HEADERS, 1, BLOCK, done)),
    "even stream": (P, headers_on(2)),
    "smaller stream": (P, twice(headers_on(5), headers_on(3))),
    "unknown even data": (P, of(DATA, 0, 2, b"x")),
    # 6.1 to 6.4
    "data without stream": (P, of(DATA, 0, 0, b"x")),
    "data padding": (P, of(DATA, PADDED | END_STREAM, 1, b"\x06test", half)),
    "headers without stream": (P, headers_on(0)),
    "headers padding": (P, of(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, b"\xff" + BLOCK)),
    "priority on itself": (P, of(PRIORITY, 0, 1, b"\0\0\0\x01\xff")),
    "head that depends on itself": (P, of(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1,
                                          b"\0\0\0\x01\xff" + BLOCK)),
    "priority without stream": (P, of(PRIORITY, 0, 0, b"\0\0\0\0\xff")),
    "reset without stream": (P, of(RST_STREAM, 0, 0, b"\0\0\0\x08")),
    "reset length": (F, of(RST_STREAM, 0, 1, b"\0\0\0", half)),
    # 6.5
    "settings ack with payload": (F, of(SETTINGS, ACK, 0, b"\0")),
    "settings on stream": (P, of(SETTINGS, 0, 1, settings(MAX_CONCURRENT_STREAMS=1))),
    "settings length": (F, of(SETTINGS, 0, 0, b"\0\x03\0")),
    "enable push 2": (P, of(SETTINGS, 0, 0, settings(ENABLE_PUSH=2))),
    "window too large": (W, of(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=0x80000000))),
    "frame size too small": (P, of(SETTINGS, 0, 0, settings(MAX_FRAME_SIZE=16383))),
    "frame size too large": (P, of(SETTINGS, 0, 0, settings(MAX_FRAME_SIZE=16777216))),
    "connect protocol 2": (P, of(SETTINGS, 0, 0, settings(ENABLE_CONNECT_PROTOCOL=2))),
    # 6.6 to 6.10
    "push promise": (P, of(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + BLOCK, half)),
    "ping on stream": (P, of(PING, 0, 1, b"12345678")),
    "ping length": (F, of(PING, 0, 0, b"1234567")),
    "goaway on stream": (P, of(GOAWAY, 0, 1, b"\0" * 8)),
    "window update 0": (P, of(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")),
    "window update length": (F, of(WINDOW_UPDATE, 0, 0, b"\0\0\x01")),
    "window overflow": (W, of(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")),
    "continuation without stream": (P, block_then((CONTINUATION, END_HEADERS, 0, b""))),
    "continuation of another": (P, block_then((CONTINUATION, END_HEADERS, 3, b""))),
    "continuation after the end": (P, of(CONTINUATION, END_HEADERS, 1, BLOCK, headers_on(1))),
    "continuation after continuation": (
        P,
        block_then((CONTINUATION, END_HEADERS, 1, b""), (CONTINUATION, END_HEADERS, 1, b"")),
    ),
    "continuation after data": (P, of(CONTINUATION, END_HEADERS, 1, BLOCK, half)),
    "data within a block": (P, block_then((DATA, END_STREAM, 1, b"x"))),
    # RFC 7541
    "index 0": (C, raw_block(b"\x80")),
    "index beyond the table": (C, raw_block(b"\xc6")),
    "literal of an index beyond": (C, raw_block(b"\x7f\x07\x01x")),
    "table size behind fields": (C, raw_block(BLOCK + b"\x20")),
    "table size too large": (C, raw_block(b"\x3f\xe2\x1f" + BLOCK)),
    "huffman padding of 8 bits": (C, raw_block(BLOCK + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")),
    "huffman padding of zeros": (C, raw_block(BLOCK + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")),
    "huffman with its end": (C, raw_block(BLOCK + b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\xff\xff\xff\xff\xff\xff\xff")),
    "length of a string too long": (C, raw_block(BLOCK + b"\x00\x7f\xff\xff\xff\xff\xff\x0f")),
}  # fmt: skip


@pytest.mark.parametrize("name", CONNECTION)
def test_connection_error(lb, name):
    code, act = CONNECTION[name]
    with Wire(lb.port) as w:
        w.ping()
        act(w)
        assert w.end() == code
    with Wire(lb.port) as w:  # nobody else is hurt
        assert w.get(1).status == 200


# ---- what ends one stream, or with it the connection ----

# RFC 9113 section 5.1, half-closed (remote): "If an endpoint receives additional frames, other than
# WINDOW_UPDATE, PRIORITY, or RST_STREAM, for a stream that is in this state, it MUST respond with a stream
# error (Section 5.4.2) of type STREAM_CLOSED"; section 6.9 asks for one of type PROTOCOL_ERROR for an
# increment of 0. Section 5.4.1: "An endpoint can end a connection at any time. In particular, an endpoint MAY
# choose to treat a stream error as a connection error." nghttp2 does, and has no option about it; either is
# right, with that code.
EITHER = {
    "half closed data": (S, of(DATA, END_STREAM, 1, b"x", stuck)),
    "half closed headers": (S, twice(headers_on(1), headers_on(1))),
    "window update 0 of a stream": (P, of(WINDOW_UPDATE, 0, 1, b"\0\0\0\0", half)),
}


@pytest.mark.parametrize("name", EITHER)
def test_stream_or_connection_error(lb, name):
    code, act = EITHER[name]
    with Wire(lb.port) as w:
        w.ping()
        act(w)
        s = w.streams[1]
        w.until(lambda: s.reset is not None or w.goaway, "an error")
        assert s.reset == code if s.reset is not None else w.end() == code
    with Wire(lb.port) as w:
        assert w.get(1).status == 200


# ---- what ends one stream ----


def headers_with(*fields, end=True):
    return lambda w: w.headers(1, GET + fields, end=end)


def trailers(*fields, end=True):
    def act(w):
        half(w)
        w.data(1, b"body", end=False)
        w.headers(1, fields, end=end)

    return act


def upload(length, *pieces):
    def act(w):
        w.headers(1, POST + (("content-length", length),), end=not pieces)
        for i, p in enumerate(pieces):
            w.data(1, p, end=i == len(pieces) - 1)

    return act


STREAM = {
    # 5.1
    "data behind a reset": (S, of(DATA, 0, 1, b"late", reset)),
    "data right behind a reset": (
        S,
        lambda w: w.send(
            frame(HEADERS, END_HEADERS, 1, BLOCK) + frame(RST_STREAM, 0, 1, b"\0\0\0\x08") + frame(DATA, 0, 1, b"late")
        ),
    ),
    "headers behind a reset": (S, twice(reset, headers_on(1))),
    # 6.9
    "all windows overflow": (
        W,
        after(
            half,
            lambda w: frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\0\0"),
            lambda w: frame(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=0x7FFFFFFF)),
        ),
    ),
    "window overflow": (W, of(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff", half)),
    # 8.1, 8.2, 8.3
    "second head": (P, twice(lambda w: w.headers(1, POST, end=False), headers_on(1, end=False))),
    "capital": (P, headers_with(("X-A", "b"))),
    "unknown pseudo": (P, headers_with((":test", "x"))),
    "status in a request": (P, headers_with((":status", "200"))),
    "pseudo in trailers": (P, trailers((":method", "GET"))),
    "pseudo behind fields": (P, lambda w: w.headers(1, (("x-a", "b"),) + GET)),
    "connection": (P, headers_with(("connection", "keep-alive"))),
    "keep-alive": (P, headers_with(("keep-alive", "5"))),
    "proxy-connection": (P, headers_with(("proxy-connection", "close"))),
    "transfer-encoding": (P, headers_with(("transfer-encoding", "chunked"))),
    "upgrade": (P, headers_with(("upgrade", "h2c"))),
    "te": (P, headers_with(("te", "trailers, deflate"))),
    "empty path": (P, lambda w: w.headers(1, with_path(""))),
    "no method": (P, lambda w: w.headers(1, without(":method"))),
    "no scheme": (P, lambda w: w.headers(1, without(":scheme"))),
    "no path": (P, lambda w: w.headers(1, without(":path"))),
    "method twice": (P, lambda w: w.headers(1, GET[:1] + GET)),
    "scheme twice": (P, lambda w: w.headers(1, GET[1:2] + GET)),
    "path twice": (P, lambda w: w.headers(1, GET[2:3] + GET)),
    "authority twice": (P, lambda w: w.headers(1, GET[3:4] + GET)),
    "no fields at all": (P, lambda w: w.headers(1, ())),
    "length too long": (P, upload("5", b"four")),
    "length too short": (P, upload("3", b"fo", b"ur")),
    "length of nothing": (P, upload("1")),
    "length ended by trailers": (
        P,
        twice(
            lambda w: w.headers(1, POST + (("content-length", "5"),), end=False),
            lambda w: w.headers(1, (("x-sum", "1"),)),
        ),
    ),
    "length twice": (P, headers_with(("content-length", "0"), ("content-length", "0"))),
    "length malformed": (P, headers_with(("content-length", "1a"))),
    "trailers that do not end": (P, trailers(("x-sum", "1"), end=False)),
    "connect with a path": (P, lambda w: w.headers(1, ((":method", "CONNECT"),) + GET[1:])),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAM)
def test_stream_error(lb, name):
    code, act = STREAM[name]
    with Wire(lb.port) as w:
        act(w)
        s = w.streams[1]
        w.until(lambda: s.reset is not None or (s.ended and s.status == 400), "a reset")
        assert s.reset == code
        assert w.get(3).status == 200, "the connection goes on"


# ---- what HTTP/1's rules refuse: an answer says why ----

REFUSED = {
    "no authority, no host": (400, "missing_host", without(":authority")),
    "hosts that differ": (400, "bad_host", GET + (("host", "other.test"),)),
    "escape in path": (400, "bad_path", with_path("/%zz")),
    "slash in escape": (400, "bad_path", with_path("/a%2fb")),
    "dots above the root": (400, "bad_path", with_path("/../x")),
    "space in path": (400, "bad_target", with_path("/a b")),
    "fragment": (400, "bad_target", with_path("/a#b")),
    "value with a line end": (400, "bad_field_value", GET + (("x-a", "b\r\nx-c: d"),)),
    "value with NUL": (400, "bad_field_value", GET + (("x-a", "b\0"),)),
    "name with a space": (400, "bad_field_name", GET + (("x a", "b"),)),
    "name with a colon": (400, "bad_field_name", GET + (("x:a", "b"),)),
    "empty name": (400, "bad_field_name", GET + (("", "b"),)),
    "method with a space": (400, "bad_method", ((":method", "GET /x"),) + GET[1:]),
    "scheme": (400, "bad_target", GET[:1] + ((":scheme", "ftp"),) + GET[2:]),
    "expectation": (417, "bad_expectation", POST + (("expect", "miracles"),)),
    "connect": (501, "connect_refused_method", ((":method", "CONNECT"), (":authority", "web.test:80"))),
    "fields": (431, "too_many_fields", GET + tuple((f"x-{i}", "y") for i in range(101))),
    "a long field": (431, "head_too_large", GET + (("x-a", "b" * 8200),)),
    "a long head": (431, "head_too_large", GET + tuple((f"x-{i}", "y" * 1000) for i in range(40))),
    "a long path": (414, "target_too_long", with_path("/" + "a" * 8200)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(lb, name):
    status, reason, fields = REFUSED[name]
    with Wire(lb.port) as w:
        block = w.encode(fields)
        pieces = [block[i : i + 16000] for i in range(0, len(block), 16000)] or [b""]
        w.frame(HEADERS, END_STREAM | (0 if pieces[1:] else END_HEADERS), 1, pieces[0])
        for i, p in enumerate(pieces[1:], 2):
            w.frame(CONTINUATION, END_HEADERS if i == len(pieces) else 0, 1, p)
        s = w.answer(1)
        assert (s.status, s.reset) in ((status, None), (None, PROTOCOL_ERROR)), s.heads
        if s.status:
            assert s.fields["x-poise-reason"] == reason
            assert int(s.fields["content-length"]) == len(s.body)
        assert w.get(3).status == 200, "the connection goes on"


# ---- what must be taken ----


def test_settings_and_window(lb, wire):
    wire.ping()
    assert wire.settings[3] == 100 and wire.settings[8] == 1
    assert wire.frames[SETTINGS] == 2, "ours, and the answer to the client's"


def test_ping_is_answered(wire):
    assert wire.ping(b"12345678") == b"12345678"


def test_ping_answers_are_not_answered(wire):
    wire.frame(PING, ACK, 0, b"an ack!!")
    assert wire.ping() == b"are you?"


def test_unknown_things_are_ignored(wire):
    wire.frame(0xFE, 0xFF, 0, b"12345678")
    wire.frame(0xFE, 0, 7, b"")
    wire.frame(PING, 0x16, 0, b"flags...")
    wire.frame(SETTINGS, 0, 0, struct.pack("!HI", 0xFF, 1))
    wire.send(struct.pack("!I", 8)[1:] + struct.pack("!BBI", PING, 0, 0x80000000) + b"reserved")
    assert wire.get(1).status == 200


def test_largest_data(lb, wire):
    wire.headers(1, POST, end=False)
    wire.data(1, b"\0" * 16384)
    assert wire.answer(1).status == 200


def test_padding_and_priority(wire):
    wire.headers(1, POST, end=False, flags=END_HEADERS)
    wire.frame(DATA, PADDED, 1, b"\xff" + b"\0" * 255)
    wire.frame(DATA, PADDED | END_STREAM, 1, b"\x02x\0\0")
    assert wire.answer(1).status == 200
    wire.frame(HEADERS, PADDED | WITH_PRIORITY | END_HEADERS | END_STREAM, 3,
               b"\x03" + b"\0\0\0\x01\xff" + BLOCK + b"\0\0\0")  # fmt: skip
    wire.frame(PRIORITY, 0, 3, b"\0\0\0\x01\x10")
    wire.frame(PRIORITY, 0, 9, b"\0\0\0\x01\x10")
    assert wire.answer(3).status == 200


def test_block_in_pieces(wire):
    block = wire.encode(GET + (("x-a", "b" * 100),))
    wire.frame(HEADERS, END_STREAM, 1, block[:1])
    for i in range(1, 8):
        wire.frame(CONTINUATION, 0, 1, block[i : i + 1])
    wire.frame(CONTINUATION, END_HEADERS, 1, block[8:])
    assert wire.answer(1).status == 200


def test_window_of_one(lb):
    with Wire(lb.port, first=settings(INITIAL_WINDOW_SIZE=1), window=False) as w:
        w.headers(1)
        w.until(lambda: w.streams[1].body, "the first byte")
        w.ping()
        assert len(w.streams[1].body) == 1
        w.frame(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=3))
        w.until(lambda: len(w.streams[1].body) == 3, "three bytes")
        w.frame(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=1))  # now it is below 0
        w.update(1, 1)
        w.ping()
        assert len(w.streams[1].body) == 3
        w.update(1, 2)
        w.until(lambda: len(w.streams[1].body) == 4, "one more")
        w.update(1, 20000)
        assert len(w.answer(1).body) == 20000


def test_streams_broken_off_take_what_was_on_its_way(wire):
    trailers((":method", "GET"))(wire)
    wire.until(lambda: wire.streams[1].reset == PROTOCOL_ERROR, "a reset")
    wire.data(1, b"late", end=False)
    wire.headers(1, (("x-late", "1"),))
    assert wire.get(3).status == 200
    assert wire.streams[1].reset == PROTOCOL_ERROR, "and nothing more is said of it"


def test_too_many_streams(lb, wire):
    wire.ping()
    for i in range(100):
        wire.headers(2 * i + 1, POST, end=False)
    wire.headers(201)
    wire.until(lambda: wire.goaway or wire.streams[201].reset is not None)
    assert wire.streams[201].reset == REFUSED_STREAM or wire.goaway[1] == PROTOCOL_ERROR


def test_byte_by_byte(lb):
    with Wire(lb.port, preface=None) as w:
        stream = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK)
        for i in range(len(stream)):
            w.send(stream[i : i + 1])
        assert w.answer(1).status == 200


def test_preface_at_every_split(lb):
    stream = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK)
    for split in range(1, 40):
        with Wire(lb.port, preface=None) as w:
            w.send(stream[:split])
            w.s.setsockopt(6, 1, 1)
            if split < 24:
                assert web.get(lb.port).status == 200  # time for it to arrive
            w.send(stream[split:])
            assert w.answer(1).status == 200


@pytest.mark.parametrize("text", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI / HTTP/1.1\r\nHost: a\r\n\r\n",
                                  b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n"])  # fmt: skip
@pytest.mark.parametrize("split", [3, 12, 20])
def test_what_only_begins_like_the_preface(lb, text, split):
    """It is HTTP/1, and is answered like that."""
    s = web.connect(lb.port)
    s.sendall(text[:split])
    assert web.get(lb.port).status == 200
    s.sendall(text[split:])
    answer = s.recv(65536)
    assert answer.startswith(b"HTTP/1.1 "), answer
    s.close()


def test_switched_off(start):
    server = start.server("B1")
    lb = start.poise(config(pool([server]), listener={"http2": False}))
    s = web.connect(lb.port)
    s.sendall(PREFACE)
    answer = s.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400"), answer
