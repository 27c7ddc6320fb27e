"""Events on their way to the app: bounded, and none is left out."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from types import TracebackType

from .events import Event


class Subscription:
    """An async iterator of events, from its making on. It ends with the client."""

    def __init__(self, owner: Subscriptions, limit: int) -> None:
        self._owner = owner
        self._limit = limit
        self._events: deque[Event] = deque()
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_over = False

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._is_over:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        event = self._events.popleft()
        if len(self._events) < self._limit:
            self._room.set()
        return event

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing more is kept for this reader."""
        self._owner.drop(self)
        self._end()
        self._events.clear()

    def _end(self) -> None:
        self._is_over = True
        self._came.set()
        self._room.set()

    def _put(self, event: Event) -> None:
        if self._is_over:
            return
        self._events.append(event)
        self._came.set()
        if len(self._events) >= self._limit:
            self._room.clear()


class Subscriptions:
    """All readers. One that nobody holds any more is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._readers: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._is_over = False

    def add(self) -> Subscription:
        reader = Subscription(self, self._limit)
        if self._is_over:
            reader._end()
        else:
            self._readers.add(reader)
        return reader

    def drop(self, reader: Subscription) -> None:
        self._readers.discard(reader)

    def tell(self, event: Event) -> None:
        for reader in list(self._readers):
            reader._put(event)

    async def wait_for_room(self) -> None:
        """Until no reader is full. What brings events in masses waits here between two of them."""
        # None is held while it is waited for: one that is forgotten must not stop all others.
        for reader, room in [(weakref.ref(reader), reader._room) for reader in self._readers]:
            while not room.is_set() and reader() is not None:
                try:
                    await asyncio.wait_for(room.wait(), 1.0)
                except asyncio.TimeoutError:
                    continue

    def release(self) -> None:
        """Nobody is waited for any more."""
        for reader in list(self._readers):
            reader._room.set()

    def end(self) -> None:
        self._is_over = True
        for reader in list(self._readers):
            reader._end()
        self._readers.clear()
