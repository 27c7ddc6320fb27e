"""One check in progress: a server, a client, and what is asked of both."""

import asyncio
import contextlib
import pathlib
import tempfile

from . import PATIENCE, SCALE
from .adapter import Adapter, Failed
from .server import Server


class Trial:
    def __init__(self, server, client, directory):
        self.server = server
        self.world = server.world
        self.client = client
        self._directory = directory

    async def start(self, **fields):
        """The client begins, with a store that a later start finds again."""
        store = str(pathlib.Path(self._directory) / "store")
        given = {"url": self.server.url, "user_id": self.world.me, "store": store, "scale": SCALE}
        await self.client.do("start", **{**given, **fields})

    async def connection(self, within=PATIENCE):
        """The next handshake."""
        try:
            return await asyncio.wait_for(self.server.waiting.get(), within)
        except asyncio.TimeoutError:
            raise Failed(f"no connection within {within} s") from None

    async def live(self, **fields):
        """Starts the client; gives its first connection, greeted, when it is live."""
        await self.start(**fields)
        connection = await self.connection()
        connection.greet()
        await self.client.told("state", state="live")
        return connection

    async def stays_away(self, seconds):
        """Nobody connects for so long."""
        try:
            await asyncio.wait_for(self.server.waiting.get(), seconds)
        except asyncio.TimeoutError:
            return
        raise Failed("it came back, and should have stayed away")

    async def request(self, method, path):
        """The first request of this kind, which may have come already."""

        def found():
            return [r for r in self.server.requests if (r.method, r.path) == (method, path)]

        async def wait():
            while not found():
                self.server.changed.clear()
                await self.server.changed.wait()

        try:
            await asyncio.wait_for(wait(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failed(f"no {method} {path}") from None
        return found()[0]

    async def send(self, text, client_ref, peer=None, **fields):
        peer_id = peer or self.world.peer
        await self.client.do("send", peer_id=peer_id, text=text, client_ref=client_ref, **fields)

    async def holds(self, *texts):
        """The client's store has these messages of the peer, in this order, and no others."""
        seen = None
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while seen != list(texts):
                    state = await self.client.do("state")
                    seen = [message["text"] for message in state["messages"]]
                    await asyncio.sleep(0.02)
        check(seen == list(texts), f"it holds {seen}, and should hold {list(texts)}")

    async def outbox_is_empty(self):
        outbox = None
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while outbox != []:
                    outbox = (await self.client.do("state"))["outbox"]
                    await asyncio.sleep(0.02)
        check(outbox == [], f"the outbox still has {outbox}")

    def appeared_once(self, *texts):
        """The app was told of each once, in this order."""
        told = [event["text"] for event in self.client.of("message", first=True)]
        check(told == list(texts), f"it told {told}, and should have told {list(texts)}")


def check(is_so, what):
    if not is_so:
        raise Failed(what)


@contextlib.asynccontextmanager
async def trial(command):
    with tempfile.TemporaryDirectory(prefix="netrox-chat-kit.") as directory:
        async with Server() as server, Adapter(command) as client:
            yield Trial(server, client, directory)


def at_scale(seconds):
    return seconds * SCALE
