"""A send on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from .errors import ChatError
from .link import Link
from .sends import Send, Sent

#: Called with the bytes that have left and the bytes of all.
Progress = Callable[[int, int], None]


class Sending:
    """`await sending` gives `Sent`, or raises why it is given up. It goes on whoever waits."""

    def __init__(
        self, send: Send, cancel: Callable[[Sending], Awaitable[bool]], progress: Progress | None
    ) -> None:
        self.send = send
        self.done: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        # Nobody has to ask what became of it: events tell.
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.progress = progress
        #: The connection of the last try.
        self.link: Link | None = None
        #: An earlier try may have arrived, in this run or one before.
        self.was_tried = False
        #: The next try goes by REST.
        self.by_rest = False
        #: Closes of connections that this may have caused.
        self.strikes = 0
        self._cancel = cancel

    @property
    def client_ref(self) -> str:
        return self.send.client_ref

    def __await__(self) -> Generator[Any, None, Sent]:
        return asyncio.shield(self.done).__await__()

    async def cancel(self) -> bool:
        """Gives it up; an upload is cut off. True if it was in the outbox still. What was under way may
        be stored: then its message comes as any other."""
        return await self._cancel(self)

    def succeed(self, sent: Sent) -> None:
        if not self.done.done():
            self.done.set_result(sent)

    def fail(self, error: ChatError) -> None:
        if not self.done.done():
            self.done.set_exception(error)
