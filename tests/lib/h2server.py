# SPDX-License-Identifier: MIT
"""An HTTP/2 server in clear text, by prior knowledge, that does what a test wants and tells what came."""

import hashlib
import json
import select
import socket
import ssl
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

REFUSED = h2.errors.ErrorCodes.REFUSED_STREAM
CANCEL = h2.errors.ErrorCodes.CANCEL


class Request:
    def __init__(self, connection, number, headers):
        self.connection, self.id = connection, number
        self.fields = [(n.decode("latin1"), v.decode("latin1")) for n, v in headers]
        self.headers = dict(self.fields)
        self.method, self.path = self.headers[":method"], self.headers.get(":path", "")
        self.hash, self.size = hashlib.sha256(), 0
        self.trailers, self.reset, self.ended = None, None, False

    def answer(self, body=b"", status=200, fields=(), trailers=None, length=True):
        """The whole response; its body goes as fast as windows allow."""
        head = [(":status", str(status)), *fields]
        if length:
            head.append(("content-length", str(len(body))))
        self.connection.respond(self.id, head, body, trailers)


class Connection(threading.Thread):
    """One connection; `send` and `respond` may be called from any thread."""

    def __init__(self, server, sock):
        super().__init__(daemon=True)
        self.server, self.sock = server, sock
        self.lock = threading.RLock()
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False, header_encoding=None, validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.requests, self.output, self.goaway, self.closed = {}, {}, None, False
        self.under_way = self.most = 0

    def flush(self):
        with self.lock:
            data = self.h2.data_to_send()
            if data:
                try:
                    self.sock.sendall(data)
                except OSError:
                    pass

    def raw(self, data):
        """Bytes of the test's own behind what the library has said."""
        with self.lock:
            self.flush()
            self.sock.sendall(data)

    def reset(self, number, code=h2.errors.ErrorCodes.INTERNAL_ERROR):
        with self.lock:
            self.h2.reset_stream(number, code)
            self.under_way -= 1
            self.flush()

    def respond(self, number, head, body=b"", trailers=None):
        with self.lock:
            try:
                whole = not body and not trailers
                self.h2.send_headers(number, head, end_stream=whole)
                if whole:
                    self.under_way -= 1
                else:
                    self.output[number] = [memoryview(body), trailers, True]
                self.pump()
            except h2.exceptions.ProtocolError:
                pass  # the stream has gone

    def pump(self):
        with self.lock:
            for number in list(self.output):
                try:
                    self._pump(number)
                except h2.exceptions.ProtocolError:
                    self.output.pop(number, None)
            self.flush()

    def _pump(self, number):
        body, trailers, ends = self.output[number]
        while body:
            n = min(len(body), self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if n == 0:
                break
            last = ends and n == len(body) and not trailers
            self.h2.send_data(number, bytes(body[:n]), end_stream=last)
            body = body[n:]
        self.output[number][0] = body
        if not body:
            if trailers:
                self.h2.send_headers(number, trailers, end_stream=True)
            del self.output[number]
            self.under_way -= ends

    def run(self):
        try:
            with self.lock:
                self.h2.initiate_connection()
                self.h2.update_settings(self.server.settings)  # not insisted on before it is acknowledged
                self.h2.increment_flow_control_window(1 << 24)
                self.flush()
            self.server.on_connection(self)
            while data := self.sock.recv(65536):
                with self.lock:
                    events = self.h2.receive_data(data)
                for event in events:
                    self.handle(event)
                self.flush()
        except (OSError, h2.exceptions.ProtocolError) as e:
            self.error = e
        self.close()

    def handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            r = self.requests[event.stream_id] = Request(self, event.stream_id, event.headers)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            with self.server.lock:
                self.server.requests.append(r)
            self.server.on_request(r)
        elif isinstance(event, h2.events.DataReceived):
            r = self.requests[event.stream_id]
            r.hash.update(event.data)
            r.size += len(event.data)
            self.server.on_data(r, event)
        elif isinstance(event, h2.events.TrailersReceived):
            self.requests[event.stream_id].trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.requests[event.stream_id].ended = True
            self.server.on_end(self.requests[event.stream_id])
        elif isinstance(event, h2.events.StreamReset):
            if event.stream_id in self.requests:
                self.requests[event.stream_id].reset = event.error_code
                self.under_way -= 1
                with self.lock:
                    self.output.pop(event.stream_id, None)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self.pump()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code

    def acknowledge(self, event):
        with self.lock:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.flush()

    def close(self):
        self.closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class Both:
    """A TLS socket that one thread reads while another writes, which OpenSSL cannot do."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock, self.lock = sock, threading.Lock()

    def recv(self, n):
        while True:
            try:
                with self.lock:
                    return self.sock.recv(n)
            except ssl.SSLWantReadError:
                select.select([self.sock], [], [], 0.2)

    def sendall(self, data):
        data = memoryview(data)
        while data:
            try:
                with self.lock:
                    data = data[self.sock.send(data) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                select.select([], [self.sock], [], 0.2)

    def shutdown(self, how):
        self.sock.shutdown(how)

    def close(self):
        self.sock.close()


class Server:
    """Paths: /echo (what came as JSON), /bytes/N, /trailers, /wait (until `release`); POST and PUT give the
    SHA-256 of what came. Override on_* for more."""

    def __init__(self, settings=None, name="B1", tls=None):
        self.tls = tls
        self.settings = {
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535,
        } | (settings or {})
        self.name, self.lock = name, threading.Lock()
        self.connections, self.requests = [], []
        self.released = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                try:
                    s = Both(self.tls.wrap_socket(s, server_side=True))
                except OSError:
                    continue
            self.connections.append(Connection(self, s))
            self.connections[-1].start()

    def close(self):
        self.released.set()
        self.listener.shutdown(socket.SHUT_RDWR)  # or accept() goes on, perhaps on another's socket
        self.listener.close()
        for c in self.connections:
            c.close()

    # ---- what happens; on the thread of the connection ----

    def on_connection(self, connection):
        pass

    def on_request(self, r):
        pass

    def on_data(self, r, event):
        r.connection.acknowledge(event)

    def on_end(self, r):
        if r.path.startswith("/bytes/"):
            r.answer(block(int(r.path[7:])), length=False)
        elif r.path == "/trailers":
            r.answer(b"body", trailers=[("x-sum", "1"), ("grpc-status", "0")], length=False)
        elif r.path == "/wait":
            threading.Thread(target=self._later, args=(r,), daemon=True).start()
        elif r.path.startswith("/sleep/"):
            threading.Thread(target=self._sleep, args=(r,), daemon=True).start()
        elif r.method in ("POST", "PUT"):
            r.answer(f"{r.size} {r.hash.hexdigest()}".encode())
        else:
            said = json.dumps({"fields": r.fields, "name": self.name}).encode()
            r.answer(said, fields=[("x-backend", self.name), ("content-type", "application/json")])

    def _later(self, r):
        self.released.wait(30)
        r.answer(b"late")

    def _sleep(self, r):
        time.sleep(float(r.path[7:]))
        r.answer(b"slept")


BLOCK = hashlib.shake_256(b"h2").digest(1 << 20)


def block(size):
    return (BLOCK * (size // len(BLOCK) + 1))[:size]
