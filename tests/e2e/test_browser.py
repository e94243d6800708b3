# SPDX-License-Identifier: MIT
"""Chromium through the balancer: HTTP/2 by ALPN, and WebSocket on the same connection (RFC 8441)."""

import http.server
import json
import shutil
import threading

import certificates
import pytest
from programs import config, pool
from test_websocket import Echo

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PAGE = b"""<!doctype html><title>page</title><script>
const talk = (url) => new Promise((resolve) => {
    const socket = new WebSocket(url), got = [];
    socket.onopen = () => ["one", "two", "x".repeat(100000)].forEach((m) => socket.send(m));
    socket.onmessage = (e) => { got.push(e.data.length); if (got.length === 3) socket.close(1000); };
    socket.onerror = () => resolve("error");
    socket.onclose = (e) => resolve([...got, e.code]);
});
(async () => {
    const result = {};
    try {
        const texts = await Promise.all(Array.from({length: 50}, (_, i) => fetch("/n/" + i).then((r) => r.text())));
        result.texts = texts.every((t, i) => t === "/n/" + i);
        result.upload = await fetch("/upload", {method: "POST", body: new Blob([new Uint8Array(3000000)])})
            .then((r) => r.text());
        result.socket = await talk(location.href.replace("https", "wss") + "chat");
        result.protocols = [...new Set(["navigation", "resource"].flatMap((kind) =>
            performance.getEntriesByType(kind).map((e) => e.nextHopProtocol)))];
    } catch (e) {
        result.error = String(e);
    }
    await fetch("/result", {method: "POST", body: JSON.stringify(result)});
})();
</script>"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, kind="text/plain"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/":
            self.answer(PAGE, "text/html")
        else:
            self.answer(self.path.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(str(len(body)).encode())
        if self.path == "/result":
            self.server.result = json.loads(body)
            self.server.done.set()

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.done = True, threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_http2_and_websocket(start, work, site):
    echo = Echo()
    try:
        leaf = certificates.ca(work).leaf(["localhost"])
        pools = [
            pool([("B1", f"127.0.0.1:{site.server_address[1]}")], name="site"),
            pool([echo.entry()], name="chat"),
        ]
        listener = {
            "tls": {"certificates": [{"cert": str(leaf.cert), "key": str(leaf.key)}]},
            "routes": [{"match": {"path": "/chat"}, "pool": "chat"}],
        }
        log = work / "access.log"
        poise = start.poise(config(pools, listener=listener, access_log={"file": str(log), "format": "json"}))
        browser = start.program(
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--ignore-certificate-errors",
            f"--user-data-dir={work}/profile",
            f"https://localhost:{poise.port}/",
        )
        assert site.done.wait(60), browser.err[-2000:]
        browser.send(15)
        browser.wait(30)
        assert site.result == {
            "texts": True,
            "upload": "3000000",
            "socket": [3, 3, 100000, 1000],
            "protocols": ["h2"],
        }
        poise.end()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        (chat,) = [line for line in lines if line.get("target") == "/chat"]
        assert chat["protocol"].startswith("HTTP/2"), chat
    finally:
        echo.stop()
