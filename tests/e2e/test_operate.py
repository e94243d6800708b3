# SPDX-License-Identifier: MIT
"""Everything an operator does, at once, under wrk and with many WebSockets open: reloads, changes of
members, upgrades of the program. No request fails, no WebSocket is dropped by reloads and changes."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import threading

import memory
import pytest
from admin import Admin
from programs import BINARY, SANITIZER, config, pool, wait_until

websockets = pytest.importorskip("websockets")

FULL = bool(os.environ.get("POISE_FULL"))
SOCKETS = 200
RELOADS = 200 if FULL else 40
CHANGES = 2000 if FULL else 400
UPGRADES = 5 if FULL else 1
DONE = r"reload +done generation=\d+"


class Sockets:
    """WebSockets through the balancer to an echo server, in a thread of their own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.open = []

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(120)

    def serve(self):
        async def echo(socket, *_):
            async for message in socket:
                await socket.send(message)

        async def begin():
            self.server = await websockets.serve(echo, "127.0.0.1", 0, ping_interval=None)
            return self.server.sockets[0].getsockname()[1]

        return self.call(begin())

    def connect(self, port, count):
        async def one():
            return await websockets.connect(f"ws://127.0.0.1:{port}/ws", ping_interval=None)

        async def all_of_them():
            return [await one() for _ in range(count)]

        self.open = self.call(all_of_them())

    def alive(self, text):
        async def one(socket):
            await socket.send(text)
            return await asyncio.wait_for(socket.recv(), 30) == text

        async def all_of_them():
            return await asyncio.gather(*(one(s) for s in self.open))

        return all(self.call(all_of_them()))

    def end(self):
        async def close():
            await asyncio.gather(*(s.close() for s in self.open), return_exceptions=True)
            self.server.close()
            await self.server.wait_closed()

        self.call(close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


class Wrk:
    """wrk while the block runs; afterwards nothing may have failed."""

    def __init__(self, url):
        self.url = url

    def __enter__(self):
        self.process = subprocess.Popen(
            ["wrk", "-t1", "-c16", "-d600", self.url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.text = self.process.communicate(timeout=60)[0]
        requests = int(re.search(r"(\d+) requests in", self.text).group(1))
        assert requests > 1000, self.text
        assert "Socket errors" not in self.text and "Non-2xx" not in self.text, self.text


@pytest.fixture
def sockets():
    s = Sockets()
    yield s
    s.end()


def reload_often(poise, path, settings):
    for i in range(RELOADS):
        settings["pools"][0]["timeouts"] = {"response": f"{20 + i % 7}s"}
        settings["listeners"][0]["routes"][1:] = [{"match": {"path": "/extra"}, "pool": "app"}] * (i % 2)
        path.write_text(json.dumps(settings))
        before = len(re.findall(DONE, poise.err))
        poise.send(signal.SIGHUP)
        poise.wait_for(DONE, before + 1)


def change_often(unix, spare):
    base = "/api/v1/pools/app/backends"
    for i in range(CHANGES // 4):
        added = unix.ask("POST", base, {"name": f"X{i}", "address": spare, "weight": 1 + i % 3})
        assert added.status == 201, added.body
        assert unix.ask("PATCH", f"{base}/X{i}", {"weight": 4}).status == 200
        assert unix.ask("PATCH", f"{base}/B1", {"state": ("drain", "ready")[i % 2]}).status == 200
        assert unix.ask("DELETE", f"{base}/X{i}").status in (200, 202, 204)
    assert unix.ask("PATCH", f"{base}/B1", {"state": "ready"}).status == 200


def test_nobody_notices(start, work, sockets):
    program = work / "bin" / "poise"
    program.parent.mkdir(mode=0o755)
    shutil.copy(BINARY, program)
    servers = start.servers(3)
    echo = sockets.serve()
    health = {"type": "none"}
    settings = config(
        [pool(servers[:2], "app"), pool([("E", f"127.0.0.1:{echo}")], "ws", health=health)],
        listener={"routes": [{"match": {"path": "/ws"}, "pool": "ws"}]},
        admin={"listen": "127.0.0.1:0", "socket": str(work / "admin.sock")},
    )
    poise = start.poise(settings, binary=program)
    unix = Admin(poise, settings["admin"]["socket"])
    with Wrk(poise.url):  # what is allotted once is there before anything is counted
        reload_often(poise, poise.config_path, settings)
        change_often(unix, servers[2].address)
    sockets.connect(poise.port, SOCKETS)
    assert sockets.alive("first")
    engine = poise.engine_pid
    descriptors = memory.descriptors(engine)
    resident = memory.pss_bytes(engine)
    with Wrk(poise.url):
        reload_often(poise, poise.config_path, settings)
        assert sockets.alive("after reloads")
        change_often(unix, servers[2].address)
        assert sockets.alive("after changes")
    assert poise.engine_pid == engine
    # Idle upstream connections and wrk's own come and go; nothing is kept of what was removed.
    wait_until(lambda: memory.descriptors(engine) <= descriptors + 16, "descriptors are back")
    if SANITIZER is None:
        wait_until(lambda: memory.pss_bytes(engine) < resident * 1.1 + 1_000_000, "memory is back")
    with Wrk(poise.url):
        for i in range(UPGRADES):
            program.unlink()
            shutil.copy(BINARY, program)
            poise.send(signal.SIGUSR2)
            poise.wait_for(r"supervisor goes on version=\S+ engine=\d+", i + 1, 60)
    assert poise.engine_pid != engine
