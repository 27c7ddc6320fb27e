"""Who types, both ways. Nothing of it is stored, and what is lost is not missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from .current import Current
from .errors import ConnectionLost
from .events import Event, Typing
from .options import Options


class TypingSignals:
    def __init__(self, current: Current, options: Options, tell: Callable[[Event], None]) -> None:
        self._current = current
        self._options = options
        self._tell = tell
        #: Peers to whom this user types.
        self._own: dict[str, asyncio.Task[None]] = {}
        #: Peers who type, until then.
        self._peers: dict[str, asyncio.TimerHandle] = {}

    async def set(self, peer_id: str, typing: bool) -> None:
        task = self._own.pop(peer_id, None)
        if task is not None:
            task.cancel()
        if typing:
            self._own[peer_id] = asyncio.create_task(self._repeat(peer_id))
        elif task is not None:
            await self._say(peer_id, False)

    async def _repeat(self, peer_id: str) -> None:
        while True:
            await self._say(peer_id, True)
            await asyncio.sleep(self._options.typing_repeat)

    async def _say(self, peer_id: str, typing: bool) -> None:
        link = self._current.link
        if link is None:
            return
        try:
            await link.tell({"action": "typing", "peer_id": peer_id, "typing": typing})
        except ConnectionLost:
            pass

    def heard(self, peer_id: str, typing: bool) -> None:
        timer = self._peers.pop(peer_id, None)
        if timer is not None:
            timer.cancel()
        if typing:
            loop = asyncio.get_running_loop()
            expiry = self._options.typing_expiry
            self._peers[peer_id] = loop.call_later(expiry, self.heard, peer_id, False)
        if typing != (timer is not None):
            self._tell(Typing(peer_id, typing))

    async def close(self) -> None:
        for timer in self._peers.values():
            timer.cancel()
        self._peers.clear()
        tasks = list(self._own.values())
        self._own.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TypingTo:
    """`async with client.typing(peer_id):` while this user writes."""

    def __init__(self, signals: TypingSignals, peer_id: str) -> None:
        self._signals = signals
        self._peer_id = peer_id

    async def __aenter__(self) -> None:
        await self._signals.set(self._peer_id, True)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._signals.set(self._peer_id, False)
