"""Takes the frames of a connection in their order: into the store, then to the app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from . import decode
from .background import log
from .decode import Json
from .errors import ProtocolViolation
from .events import UserChanged
from .feed import Feed
from .link import Link
from .model import Message, Presence, User
from .presence import PresenceWatch
from .snapshot import read_changes
from .subscriptions import Subscriptions
from .typing_signals import TypingSignals

#: Frames in one transaction of the store.
_BATCH = 100


class Pump:
    def __init__(
        self,
        feed: Feed,
        readers: Subscriptions,
        typing: TypingSignals,
        presence: PresenceWatch,
        on_cursor: Callable[[str], None],
        on_live: Callable[[Link, int], None],
        on_expiring: Callable[[Link], None],
    ) -> None:
        self._feed = feed
        self._readers = readers
        self._typing = typing
        self._presence = presence
        self._on_cursor = on_cursor
        self._on_live = on_live
        self._on_expiring = on_expiring

    async def run(self, link: Link, reconnect: asyncio.Future[float]) -> None:
        """Until the connection has ended and all that it brought is stored."""
        try:
            while True:
                frame = await link.inbox.get()
                batch: list[Json] = []
                while frame is not None:
                    batch.append(frame)
                    if len(batch) >= _BATCH or link.inbox.empty():
                        break
                    frame = link.inbox.get_nowait()
                await self._take(link, batch, reconnect)
                if frame is None:
                    return
        except ProtocolViolation:
            # What is skipped would be a hole before the next cursor.
            link.violated()
        except Exception:
            log.exception("what came could not be stored")
            link.drop()

    async def _take(
        self, link: Link, batch: list[Json], reconnect: asyncio.Future[float]
    ) -> None:
        changes: list[Json] = []
        for frame in batch:
            if frame.get("action") in ("message", "thread"):
                changes.append(frame)
                continue
            if frame.get("action") == "live":
                # In the order of the feed.
                await self._store(changes)
                changes = []
            await self._other(link, frame, reconnect)
        await self._store(changes)

    async def _store(self, frames: list[Json]) -> None:
        if not frames:
            return
        await self._readers.wait_for_room()
        changes, new = read_changes(frames)
        cursor = decode.text(frames[-1], "cursor")
        for change in changes:
            if isinstance(change, Message) and change.sender_id != self._feed.user_id:
                self._typing.heard(change.sender_id, False)
        await self._feed.apply(changes, cursor, new)
        self._on_cursor(cursor)

    async def _other(self, link: Link, frame: Json, reconnect: asyncio.Future[float]) -> None:
        action = frame.get("action")
        if action == "live":
            cursor = decode.text(frame, "cursor")
            await self._feed.apply([], cursor)
            self._on_cursor(cursor)
            link.went_live.set()
            await self._feed.look_for_strangers()
            self._on_live(link, decode.integer(frame, "unread_total"))
        elif action == "typing":
            peer_id = decode.text(frame, "peer_id")
            self._typing.heard(peer_id, decode.boolean(frame, "typing"))
        elif action == "presence":
            self._presence.heard(Presence.read(frame))
        elif action == "user":
            user = User.read(decode.obj(frame, "user"))
            await self._feed.store.know(user)
            self._readers.tell(UserChanged(user))
        elif action == "token_expiring":
            self._on_expiring(link)
        elif action == "reconnect" and not reconnect.done():
            reconnect.set_result(decode.integer(frame, "after_ms") / 1000)
