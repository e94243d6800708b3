# SPDX-License-Identifier: MIT
"""What HTTP/2 lets a client make a server do: each kind of it ends with its reason, and others are
served as if nothing was."""

import time

import pytest
from h2origin import Origin
from h2wire import (
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GET, HEADERS, PADDED,
    PING, POST, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, SETTINGS, WINDOW_UPDATE, Wire, frame, settings,
)  # fmt: skip
from programs import SCALE, config, pool, wait_until


@pytest.fixture
def origin(closing):
    return closing(Origin)


def conf(origin, **listener):
    return config(
        pool([("o", origin.address)]), listener=listener, access_log={"file": "-", "format": "json"}
    )


@pytest.fixture
def lb(start, origin):
    return start.poise(conf(origin))


def to(path):
    return GET[:2] + ((":path", path), GET[3])


def ends_with(lb, w, reason, code=ENHANCE_YOUR_CALM):
    """This connection is ended, for that reason; another is as good as ever."""
    assert w.end() == code
    wait_until(lambda: f'"reason":"{reason}"' in lb.out, lambda: lb.out)
    with Wire(lb.port) as other:
        assert other.get(1, "/hello").body == b"hello"


def rapid_reset(w):
    for i in range(1, 4000, 2):
        w.headers(i, to("/hang"))
        w.rst(i)


def test_cancelling_much_is_no_flood(lb):
    """Calls with deadlines, tiles of a map that moves on."""
    with Wire(lb.port) as w:
        for i in range(1, 1000, 2):
            w.headers(i, to("/hang"))
            w.rst(i)
        assert w.get(1001, "/hello").body == b"hello"


def made_you_reset(w):
    """The server is made to reset by mistakes that concern one stream alone."""
    for i in range(1, 4000, 2):
        w.headers(i, to("/hang"), end=False)
        w.headers(i, ((":method", "GET"),))
        w.until(lambda i=i: w.streams[i].reset is not None or w.goaway)


def malformed(w):
    for i in range(1, 4000, 2):
        w.headers(i, GET + (("connection", "close"),))
        w.until(lambda i=i: w.streams[i].reset is not None or w.goaway)


def continuations(w):
    w.headers(1, flags=0)
    for _ in range(100):
        w.frame(CONTINUATION, 0, 1, b"")


def continuations_with_fields(w):
    w.headers(1, flags=0)
    for _ in range(1000):
        w.frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100)


def broken_off(w):
    """A stream that the other end has reset: what comes for it may have been on its way."""
    w.headers(1, GET + (("X-Capital", "1"),))
    w.answer(1)


def headers_again(w):
    """Each block has to be decoded, though the stream is no more."""
    broken_off(w)
    w.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, w.encode(GET)) * 3000)


def long_headers_again(w):
    broken_off(w)
    w.send((frame(HEADERS, END_STREAM, 1) + frame(CONTINUATION, END_HEADERS, 1, b"\x82" * 16000)) * 200)


def many(*one, count=3000):
    return lambda w: w.send(frame(*one) * count)


FLOODS = {
    "rapid reset": ("h2_rapid_reset", rapid_reset),
    "made you reset": ("h2_rapid_reset", made_you_reset),
    "malformed requests": ("h2_rapid_reset", malformed),
    "resets of one stream": ("h2_rapid_reset", lambda w: (w.headers(1, to("/hello")), w.answer(1),
                             w.send(frame(3, 0, 1, b"\0\0\0\x08") * 1500))),
    "empty continuations": ("h2_continuation_flood", continuations),
    "continuations": ("h2_continuation_flood", continuations_with_fields),
    "headers behind a reset": ("h2_rapid_reset", lambda w: (w.headers(1, to("/hang")), w.rst(1),
                               w.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, w.encode(GET)) * 1500))),
    "data behind a reset": ("h2_rapid_reset", lambda w: (w.headers(1, to("/hang")), w.rst(1),
                            w.send(frame(DATA, 0, 1, b"x") * 1500))),
    "headers of a reset stream": ("h2_header_flood", headers_again),
    "long headers of a reset stream": ("h2_header_flood", long_headers_again),
    "settings": ("h2_control_flood", many(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=65535))),
    "empty settings": ("h2_control_flood", many(SETTINGS, 0, 0, b"")),
    "large settings": ("h2_control_flood", many(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=9) * 40)),
    "pings": ("h2_control_flood", many(PING, 0, 0, b"12345678")),
    "ping answers": ("h2_control_flood", many(PING, ACK, 0, b"12345678")),
    "priorities": ("h2_control_flood", many(PRIORITY, 0, 1, b"\0\0\0\0\x10")),
    "window updates": ("h2_control_flood", many(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01")),
    "unknown frames": ("h2_control_flood", many(0xFE, 0, 0)),
    "empty data": ("h2_empty_frames", lambda w: (w.headers(1, POST, end=False),
                                                 w.send(frame(DATA, 0, 1) * 3000))),
    "empty data of a reset stream": ("h2_empty_frames", lambda w: (broken_off(w),
                                     w.send(frame(DATA, 0, 1) * 3000))),
    "padding alone": ("h2_empty_frames", lambda w: (w.headers(1, POST, end=False),
                                                    w.send(frame(DATA, PADDED, 1, b"\0") * 3000))),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
def test_flood(lb, name):
    reason, act = FLOODS[name]
    with Wire(lb.port) as w:
        w.ping()
        act(w)
        ends_with(lb, w, reason)


def test_requests_beyond_the_limit(lb):
    """A client that does not take note of how many it may have at a time."""
    with Wire(lb.port) as w:
        block = w.encode(to("/hang"))
        w.send(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, block) for i in range(1, 6001, 2)))
        ends_with(lb, w, "h2_header_flood")


def test_trailers_of_requests_beyond_the_limit(lb):
    """They were on their way when the request was refused, and are no mistake."""
    with Wire(lb.port) as w:
        head, trailers = w.encode(to("/hang")), w.encode((("x-end", "1"),))
        w.send(b"".join(
            frame(HEADERS, END_HEADERS, i, head) + frame(DATA, 0, i, b"x")
            + frame(HEADERS, END_HEADERS | END_STREAM, i, trailers)
            for i in range(1, 211, 2)
        ))  # fmt: skip
        w.until(lambda: len(w.streams) == 5, "five resets")
        w.ping()
        assert {i: s.reset for i, s in w.streams.items()} == dict.fromkeys(range(201, 211, 2), REFUSED_STREAM)


def test_one_request_more_than_the_confirmed_limit(lb):
    """The client knew better: the connection ends, and what was under way there says why."""
    with Wire(lb.port) as w:
        w.ping()
        for i in range(1, 202, 2):
            w.headers(i, to("/hang"))
        ends_with(lb, w, "h2_too_many_streams", PROTOCOL_ERROR)


def test_blocks_that_are_taken_are_no_flood(lb):
    """Whatever their number and their frames."""
    with Wire(lb.port) as w:
        block = w.encode(to("/hello")) + w.encode((("x-a", "b" * 3000), ("x-c", "d" * 3000)))
        for first in range(1, 1001, 20):
            w.send(b"".join(
                frame(HEADERS, END_STREAM, i, block[:40]) + frame(CONTINUATION, END_HEADERS, i, block[40:])
                for i in range(first, first + 20, 2)
            ))  # fmt: skip
            for i in range(first, first + 20, 2):
                assert w.answer(i).status == 200


def test_compressed_fields_that_unfold(lb):
    """One long field in the table, and then a byte for each time it is said again."""
    with Wire(lb.port) as w:
        first = w.encode(GET) + b"\x40\x01a" + b"\x7f\xb1\x1e" + b"b" * 4016
        w.headers(1, flags=0, block=first)
        w.frame(CONTINUATION, END_HEADERS, 1, b"\xbe" * 16000)
        assert w.end() == ENHANCE_YOUR_CALM
    wait_until(lambda: '"reason":"head_too_large"' in lb.out, "its reason")
    with Wire(lb.port) as w:
        assert w.get(1, "/hello").status == 200


def test_crumbs_of_cookies_count(lb):
    with Wire(lb.port) as w:
        block = w.encode(GET + (("cookie", "a"),)) + b"\xbe" * 1000
        w.headers(1, block=block)
        s = w.answer(1)
        assert s.status == 431
        assert w.get(3, "/hello").status == 200


def test_a_block_without_end(start, origin):
    lb = start.poise(conf(origin, timeouts={"request": "300ms"}))
    with Wire(lb.port) as w:
        w.ping()
        w.headers(1, flags=0)
        ends_with(lb, w, "request_timeout")


def test_no_window_for_what_was_asked_for(start, origin):
    lb = start.poise(conf(origin, timeouts={"send": "300ms"}))
    with Wire(lb.port, first=settings(INITIAL_WINDOW_SIZE=0)) as w:
        w.headers(1, to("/hello"))
        s = w.streams[1]
        w.until(lambda: s.reset is not None, "a reset")
        assert s.status == 200 and s.body == b"" and s.reset == CANCEL
        wait_until(lambda: '"reason":"h2_stalled"' in lb.out, "its reason")
        w.frame(SETTINGS, 0, 0, settings(INITIAL_WINDOW_SIZE=100))
        assert w.get(3, "/hello").body == b"hello"


def test_no_window_for_the_connection(start, origin):
    lb = start.poise(conf(origin, timeouts={"send": "300ms"}))
    with Wire(lb.port, first=settings(INITIAL_WINDOW_SIZE=1 << 20), window=False) as w:
        for i in (1, 3, 5):
            w.headers(i, to("/big"))
        w.until(lambda: all(w.streams[i].reset is not None for i in (1, 3, 5)), "resets")
    wait_until(lambda: lb.out.count('"reason":"h2_stalled"') == 3, "their reason")


def test_a_window_opened_byte_by_byte_moves(start, origin):
    """Slow is not stalled."""
    lb = start.poise(conf(origin, timeouts={"send": f"{500 * SCALE}ms"}))
    with Wire(lb.port, first=settings(INITIAL_WINDOW_SIZE=0), window=False) as w:
        w.headers(1, to("/hello"))
        for i in range(1, 6):
            time.sleep(0.2 * SCALE)
            w.update(1, 1)
        assert w.answer(1).body == b"hello"


def test_a_client_that_does_not_read(start, origin):
    lb = start.poise(conf(origin, timeouts={"send": "500ms"}))
    with Wire(lb.port, first=settings(INITIAL_WINDOW_SIZE=0x7FFFFFFF), window=False) as w:
        w.update(0, 0x7FFFFFFF - 65535)
        for i in range(1, 21, 2):
            w.headers(i, to("/endless"))
        wait_until(lambda: lb.out.count('"reason":"client_too_slow"') >= 10, "its end")
    with Wire(lb.port) as w:
        assert w.get(1, "/hello").status == 200


def test_pings_of_one_who_reads_are_fine(lb):
    """Control frames in proportion to what is sent are no flood: each DATA frame may be answered."""
    with Wire(lb.port, first=settings(INITIAL_WINDOW_SIZE=1 << 20)) as w:
        w.update(0, 1 << 24)
        for stream in range(1, 21, 2):
            assert len(w.get(stream, "/big").body) == 4 << 20
        assert not w.goaway


def test_work_under_reset_is_not_piled_up(lb, origin):
    """What is reset in the same breath costs a bounded number of connections to the backend."""
    with Wire(lb.port) as w:
        block = w.encode(to("/hang"))
        w.send(b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, i, block) + frame(3, 0, i, b"\0\0\0\x08")
            for i in range(1, 181, 2)
        ))  # fmt: skip
        assert w.get(999, "/hello").status == 200
        wait_until(lambda: len(origin.gone) == len(origin.seen) - 1, "all cancelled")
