"""The scripted server of the conformance kit, in this process."""

import asyncio
import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "conformance"))

from kit.server import Server, problem  # noqa: E402

from netrox_chat import Client  # noqa: E402

from .people import PATIENCE, QUICK  # noqa: E402


class Stage:
    """A server, and a client that is live on it."""

    def __init__(self, server, client):
        self.server = server
        self.world = server.world
        self.client = client
        self.connection = None

    async def connection_comes(self):
        self.connection = await asyncio.wait_for(self.server.waiting.get(), PATIENCE)
        return self.connection

    async def live(self):
        await self.client.start()
        (await self.connection_comes()).greet()
        await self.client.live(PATIENCE)
        return self.connection


async def stage(test, token="token-1", store=None, **options):
    server = await test.enterAsyncContext(Server())
    chosen = dataclasses.replace(QUICK, **options)
    client = Client(server.url, token, store=store, options=chosen)
    test.addAsyncCleanup(client.close)
    return Stage(server, client)


__all__ = ["problem", "stage"]
