"""Marks: the last of each thread, told until the server has answered."""

from __future__ import annotations

import asyncio
from typing import Literal

from . import decode
from .current import Current
from .errors import ConnectionLost, NoAnswer, ProtocolViolation, ServerError
from .options import Options
from .store import Store

Kind = Literal["seen", "delivered"]


class Receipts:
    def __init__(self, current: Current, store: Store, options: Options) -> None:
        self._current = current
        self._store = store
        self._options = options
        #: What the server does not know yet.
        self._wanted: dict[tuple[str, Kind], int] = {}
        self._is_dirty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._wanted)

    def mark(self, peer_id: str, kind: Kind, up_to: int) -> None:
        """A lower one than waits already changes nothing; `seen` implies `delivered`."""
        seen = self._wanted.get((peer_id, "seen"), 0)
        if up_to <= max(seen, self._wanted.get((peer_id, kind), 0)):
            return
        self._wanted[peer_id, kind] = up_to
        if kind == "seen" and self._wanted.get((peer_id, "delivered"), 0) <= up_to:
            self._wanted.pop((peer_id, "delivered"), None)
        self._is_dirty.set()

    def forget(self) -> None:
        self._wanted.clear()

    async def run(self) -> None:
        while True:
            await self._is_dirty.wait()
            # Those of a batch become one.
            await asyncio.sleep(self._options.receipt_delay)
            await self._current.ready()
            self._is_dirty.clear()
            waiting = list(self._wanted.items())
            for at in range(0, len(waiting), 64):
                part = waiting[at : at + 64]
                await asyncio.gather(*(self._tell(*mark, up_to) for mark, up_to in part))

    async def _tell(self, peer_id: str, kind: Kind, up_to: int) -> None:
        frame = {"action": kind, "peer_id": peer_id, "up_to": up_to}
        try:
            link = await self._current.ready()
            ack = await link.ask(frame, self._options.answer_timeout)
            await self._answered(peer_id, kind, ack)
        except ServerError as error:
            if error.may_repeat:
                self._is_dirty.set()
                return
        except (ConnectionLost, NoAnswer):
            self._is_dirty.set()
            return
        except ProtocolViolation:
            pass
        # Unless there is a greater one meanwhile.
        if self._wanted.get((peer_id, kind)) == up_to:
            del self._wanted[peer_id, kind]

    async def _answered(self, peer_id: str, kind: Kind, ack: decode.Json) -> None:
        mark = decode.integer(ack, f"{kind}_id")
        if kind == "seen":
            await self._store.mark(peer_id, seen_id=mark)
        else:
            await self._store.mark(peer_id, delivered_id=mark)
