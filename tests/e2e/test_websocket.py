# SPDX-License-Identifier: MIT
"""WebSocket connections pass through an upgrade."""

import asyncio
import os

import pytest
import web
from programs import config, pool

websockets = pytest.importorskip("websockets")


async def echo(connection, path=None):
    async for message in connection:
        await connection.send(message)


async def converse(start, **listener):
    """An echo server behind a balancer, in one event loop; yields nothing, runs the talk."""
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        settings = config(pool([("B1", f"127.0.0.1:{port}")]), listener=listener)
        poise = await asyncio.to_thread(start.poise, settings)
        async with websockets.connect(f"ws://127.0.0.1:{poise.port}/chat", max_size=None) as c:
            for message in ("hello", "ä" * 1000, os.urandom(3_000_000), b"", "x" * 65536):
                await c.send(message)
                assert await c.recv() == message
            await (await c.ping())
            await asyncio.sleep(1.5)  # longer than the idle time of requests
            await c.send("still here")
            assert await c.recv() == "still here"
        return poise


def test_echo(start):
    asyncio.run(converse(start, timeouts={"idle": "500ms", "request": "500ms"}))


def test_many_at_once(start):
    async def one(port, number):
        async with websockets.connect(f"ws://127.0.0.1:{port}/") as c:
            for i in range(20):
                await c.send(f"{number} {i}")
                assert await c.recv() == f"{number} {i}"

    async def all_of_them():
        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            settings = config(pool([("B1", f"127.0.0.1:{port}")]))
            poise = await asyncio.to_thread(start.poise, settings, "--workers", "2")
            await asyncio.gather(*(one(poise.port, n) for n in range(50)))

    asyncio.run(all_of_them())


def test_a_tunnel_ends_after_its_idle_time(start):
    async def silence():
        async with websockets.serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
            port = server.sockets[0].getsockname()[1]
            settings = config(
                pool([("B1", f"127.0.0.1:{port}")]), listener={"timeouts": {"tunnel": "500ms"}}
            )
            poise = await asyncio.to_thread(start.poise, settings)
            url = f"ws://127.0.0.1:{poise.port}/"
            async with websockets.connect(url, ping_interval=None) as c:
                with pytest.raises(websockets.ConnectionClosed):
                    await asyncio.wait_for(c.recv(), 20)

    asyncio.run(silence())


def test_what_the_server_declines_is_an_ordinary_answer(start):
    server = start.server("B1")
    poise = start.poise(config(pool([server])))
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert web.get(poise.port, headers=upgrade).status == 200
