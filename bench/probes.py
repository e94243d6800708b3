# SPDX-License-Identifier: MIT
"""Whether a port speaks a protocol: one attempt, no patience."""

import socket
import ssl
import urllib.request

SECONDS = 5
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = 4  # the type of the frame that either side begins with


def speaks_http(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS) as answer:
            return answer.status == 200
    except OSError:
        return False


def speaks_tls(port, protocol):
    """TLS 1.3 with this protocol by ALPN. A server without ALPN speaks HTTP/1.1."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([protocol])
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as plain:
            with context.wrap_socket(plain, server_hostname="www.example.org") as s:
                return (s.selected_alpn_protocol() or "http/1.1") == protocol
    except OSError:
        return False


def speaks_h2(port):
    """HTTP/2 in clear by prior knowledge."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as s:
            s.sendall(PREFACE + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]))
            head = b""
            while len(head) < 9:
                got = s.recv(9 - len(head))
                if not got:
                    return False
                head += got
            return head[3] == SETTINGS
    except OSError:
        return False
