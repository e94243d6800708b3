# SPDX-License-Identifier: MIT
"""Servers and clients of gRPC for tests: messages are plain bytes, so no code is generated.

The service `test.Test` has one method of each kind; what a call does stands in its request:
  Echo    unary: answers the request, with what "want" in its metadata asks for
  Count   server streaming: "N" answers "0" .. "N-1"; "N every S" sleeps S seconds between
  Sum     client streaming: answers the number of requests and of their bytes
  Chat    bidirectional: answers each request with itself
"""

import threading
import time
from concurrent import futures

import grpc

SERVING, NOT_SERVING = 1, 2


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def service_of(request):
    """The service that a HealthCheckRequest names."""
    if not request:
        return ""
    assert request[0] == 0x0A
    skip = 2 if request[1] < 0x80 else 3
    return request[skip:].decode()


class Service(grpc.GenericRpcHandler):
    def __init__(self, name, health=None):
        self.name = name
        self.health = health  # by service; None: there is no health service
        self.calls, self.checked = 0, []
        self.cancelled = threading.Event()
        self.release = threading.Event()
        self.seen = []  # metadata, by call

    def service(self, details):
        if details.method.startswith("/test.Test/"):
            self.calls += 1
            self.seen.append(details.invocation_metadata)
            return getattr(self, details.method.rpartition("/")[2].lower())()
        if details.method == "/grpc.health.v1.Health/Check" and self.health is not None:
            return grpc.unary_unary_rpc_method_handler(self.check)
        return None

    def check(self, request, context):
        name = service_of(request)
        self.checked.append(name)
        if name not in self.health:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        status = self.health[name]
        return b"\x08" + varint(status) if status else b""

    def metadata(self, context):
        context.send_initial_metadata((("backend", self.name), ("initial-bin", b"\x00\xff\x80")))
        context.set_trailing_metadata((("final", "yes"), ("final-bin", bytes(range(256)))))

    def echo(self):
        def echo(request, context):
            wanted = dict(context.invocation_metadata()).get("want", "")
            if wanted == "abort":  # trailers only
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so: 100 % wrong, ü")
            if wanted == "late":
                context.send_initial_metadata(())
                context.abort(grpc.StatusCode.DATA_LOSS, "after the head")
            if wanted == "wait":
                context.add_callback(self.cancelled.set)
                self.release.wait(30)
            self.metadata(context)
            return request

        return grpc.unary_unary_rpc_method_handler(echo)

    def count(self):
        def count(request, context):
            words = request.decode().split()
            self.metadata(context)
            context.add_callback(lambda: None if context.code() else self.cancelled.set())
            for i in range(int(words[0])):
                if not context.is_active():
                    return
                if len(words) > 1 and i > 0:
                    time.sleep(float(words[2]))
                yield b"%d" % i

        return grpc.unary_stream_rpc_method_handler(count)

    def sum(self):
        def total(requests, context):
            self.metadata(context)
            count = size = 0
            for request in requests:
                count, size = count + 1, size + len(request)
            return b"%d %d" % (count, size)

        return grpc.stream_unary_rpc_method_handler(total)

    def chat(self):
        def chat(requests, context):
            self.metadata(context)
            context.add_callback(lambda: None if context.code() else self.cancelled.set())
            yield from requests

        return grpc.stream_stream_rpc_method_handler(chat)


OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Server:
    """A gRPC server on a port of the kernel's choice (or the one given)."""

    def __init__(self, name="B1", health=None, port=0, threads=16, credentials=None):
        self.name = name
        self.service = Service(name, health)
        self.server = grpc.server(futures.ThreadPoolExecutor(threads), options=OPTIONS)
        self.server.add_generic_rpc_handlers((self.service,))
        at = f"127.0.0.1:{port}"
        if credentials:
            self.port = self.server.add_secure_port(at, credentials)
        else:
            self.port = self.server.add_insecure_port(at)
        assert self.port > 0
        self.server.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def entry(self):
        return {"name": self.name, "address": self.address}

    def close(self):
        self.service.release.set()
        self.server.stop(0).wait()


class Client:
    """Calls of test.Test over one channel."""

    def __init__(self, port, credentials=None, options=(), host="127.0.0.1"):
        options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1), *options]
        target = f"{host}:{port}"
        if credentials:
            self.channel = grpc.secure_channel(target, credentials, options)
        else:
            self.channel = grpc.insecure_channel(target, options)
        self.echo = self.channel.unary_unary("/test.Test/Echo")
        self.count = self.channel.unary_stream("/test.Test/Count")
        self.sum = self.channel.stream_unary("/test.Test/Sum")
        self.chat = self.channel.stream_stream("/test.Test/Chat")
        self.nothing = self.channel.unary_unary("/test.Test2/Nothing")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


def server_credentials(leaf):
    """Of a leaf of certificates.py."""
    return grpc.ssl_server_credentials([(leaf.key.read_bytes(), leaf.cert.read_bytes())])


def client_credentials(authority):
    return grpc.ssl_channel_credentials(root_certificates=authority.cert.read_bytes())
