# SPDX-License-Identifier: MIT
"""A request whose body is still to come, and whose first backend is lost meanwhile."""

import signal
import socket
import threading
import time

import pytest
import web
from programs import config, pool, wait_until

PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


def read_until(s, end):
    data = b""
    while not data.endswith(end):
        piece = s.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


@pytest.fixture
def resetting():
    """The address of a backend that reads the head of one request and then resets, and an event."""
    gone = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        s, _ = listener.accept()
        read_until(s, b"\r\n\r\n")
        web.reset(s)
        listener.close()
        gone.set()

    thread = threading.Thread(target=serve)
    thread.start()
    yield "127.0.0.1:%d" % listener.getsockname()[1], gone
    thread.join()


@pytest.fixture
def crowded(closing):
    return closing(web.FullQueue)


def begin(start, resetting, crowded, connect_timeout):
    """A client whose PUT is connecting for the second time, and which has sent its body since."""
    address, gone = resetting
    before = crowded.connecting()
    app = pool([("B1", address), ("B2", crowded.address)], timeouts={"connect": connect_timeout})
    poise = start.poise(config(app), "--workers", "1")
    client = web.connect(poise.port)
    client.sendall(PUT)
    assert gone.wait(60)
    wait_until(lambda: crowded.connecting() > before, "it tries the other")
    client.sendall(b"hello")
    return client


def test_the_body_comes_while_the_retry_connects(start, resetting, crowded):
    with begin(start, resetting, crowded, "2s") as client:
        head = read_until(client, b"\n").partition(b"\r\n\r\n")[0]
        assert head.startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 504 ")), head
        assert b"\r\nX-Poise-Reason: " in head


def test_the_body_waits_for_the_retry_to_connect(start, resetting, crowded):
    listener = crowded.listener
    with begin(start, resetting, crowded, "20s") as client:
        time.sleep(0.1)  # its body is there
        for s in crowded.waiting:
            s.close()
        while True:
            listener.settimeout(60)
            backend, _ = listener.accept()
            backend.settimeout(60)
            if backend.recv(1, socket.MSG_PEEK):
                break
            backend.close()  # one of those who filled the queue
        with backend:
            head, _, body = read_until(backend, b"hello").partition(b"\r\n\r\n")
            assert head.startswith(b"PUT / ") and body == b"hello"
            backend.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstored")
        assert read_until(client, b"stored").startswith(b"HTTP/1.1 200 ")


BODY = bytes(i * 7 % 251 for i in range(60000))


def test_no_body_is_repeated_without_its_beginning(start):
    """The body comes while the kept connection it is meant for is already reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = pool([("B1", "127.0.0.1:%d" % listener.getsockname()[1])])
        poise = start.poise(config(app), "--workers", "1")
        client = web.connect(poise.port)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        kept, _ = listener.accept()
        read_until(kept, b"\r\n\r\n")
        kept.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        read_until(client, b"\r\n\r\n")
        client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        read_until(kept, b"\r\n\r\n")
        time.sleep(0.1)
        poise.send(signal.SIGSTOP)
        client.sendall(BODY[:50000])
        time.sleep(0.1)
        web.reset(kept)
        time.sleep(0.1)
        poise.send(signal.SIGCONT)
        listener.settimeout(2)
        try:
            again, _ = listener.accept()
        except TimeoutError:
            head = read_until(client, b"\n").partition(b"\r\n\r\n")[0]
            assert head.startswith(b"HTTP/1.1 502 "), head
        else:
            client.sendall(BODY[50000:])
            data = b""
            while b"\r\n\r\n" not in data:
                data += web.receive(again, 1)
            assert web.receive(again, len(BODY)) == BODY
            again.close()
        client.close()
