"""Two users, and what one of them saw."""

import asyncio
import uuid

from netrox_chat import Client, MessageChanged, Options, State

from .program import PATIENCE, token

#: Quick to come back, as nobody else is there.
QUICK = Options(
    backoff_base=0.01,
    backoff_cap=0.1,
    answer_timeout=5.0,
    hello_timeout=5.0,
    receipt_delay=0.02,
    silence=2.0,
    ping_timeout=2.0,
    drain_spread=0.1,
    trust_env=False,
)


def new_user():
    return str(uuid.uuid4())


def client(url, user_id, store=None, options=QUICK):
    return Client(url, lambda: token(user_id), store=store, options=options)


class Witness:
    """Writes down each event, from its making on."""

    def __init__(self, client):
        self.client = client
        self.events = []
        self._reader = client.events()
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._watch())

    async def _watch(self):
        async for event in self._reader:
            self.events.append(event)
            self._changed.set()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def appeared(self):
        """Texts of messages in the order in which they first appeared."""
        changes = self.of(MessageChanged)
        return [change.message.text for change in changes if change.before is None]

    async def until(self, is_so, what="an event"):
        async def wait():
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(wait(), PATIENCE)
        except asyncio.TimeoutError:
            raise AssertionError(f"waited in vain for {what}: {self.events[-5:]}") from None

    async def close(self):
        self._reader.close()
        await self._task


__all__ = ["QUICK", "State", "Witness", "client", "new_user"]
