"""The connection of now."""

from __future__ import annotations

import asyncio

from .errors import NotConnected
from .link import Link


class Current:
    def __init__(self) -> None:
        self._link: Link | None = None
        self._changed = asyncio.Event()

    def set(self, link: Link | None) -> None:
        self._link = link
        self._changed.set()

    @property
    def link(self) -> Link | None:
        link = self._link
        return None if link is None or link.end.done() else link

    def require(self) -> Link:
        link = self.link
        if link is None:
            raise NotConnected("there is no connection now")
        return link

    async def ready(self) -> Link:
        """Waits for one that has not ended, after its `hello`."""
        while True:
            link = self.link
            if link is not None:
                return link
            self._changed.clear()
            await self._changed.wait()
