"""Getting up to date by REST: the snapshot, and the feed without a socket."""

from __future__ import annotations

from . import decode
from .decode import Json
from .errors import ProtocolViolation
from .feed import Feed
from .model import Me, Message, Thread, ThreadState
from .options import Options
from .rest import Rest
from .store import Change

_PAGE = 200


class Snapshots:
    def __init__(self, rest: Rest, feed: Feed, options: Options) -> None:
        self._rest = rest
        self._feed = feed
        self._options = options

    async def me(self) -> Me:
        """Whose the token is. The store may be no other's."""
        _, raw = await self._rest.call("GET", "/v2/me")
        me = Me.read(raw)
        await self._feed.store.bind(me.user.id)
        self._feed.user_id = me.user.id
        return me

    async def take(self) -> tuple[str, int]:
        """Replaces the store, but for the outbox. Gives the cursor and `unread_total`."""
        await self.me()
        query = {"limit": self._options.snapshot_threads}
        _, raw = await self._rest.call("GET", "/v2/sync", params=query)
        changes: list[Change] = []
        for item in decode.objects(raw, "threads"):
            thread, last = Thread.read(item)
            changes.append(thread)
            if last is not None:
                changes.append(last)
        cursor = decode.text(raw, "cursor")
        await self._feed.replace(changes, cursor)
        return cursor, decode.integer(raw, "unread_total")

    async def catch_up(self, after: str) -> tuple[str, list[Message]]:
        """All that was missed since a cursor. Gives the next one, and messages of peers that came.
        Raises `Reset` where a snapshot is needed."""
        arrived: list[Message] = []
        while True:
            generation = self._feed.generation
            query = {"after": after, "limit": _PAGE}
            _, raw = await self._rest.call("GET", "/v2/sync", params=query)
            changes, new = read_changes(decode.objects(raw, "changes"))
            after = decode.text(raw, "cursor")
            await self._feed.apply(changes, after, new, generation)
            messages = [change for change in changes if isinstance(change, Message)]
            arrived += [m for m in messages if m.sender_id != self._feed.user_id and not m.is_gone]
            if not decode.boolean(raw, "more"):
                return after, arrived


def read_change(frame: Json) -> Change:
    action = frame.get("action")
    if action == "message":
        return Message.read(decode.obj(frame, "message"))
    if action == "thread":
        return ThreadState.read(decode.obj(frame, "thread"))
    raise ProtocolViolation(f"{action!r} is no change")


def read_changes(frames: list[Json]) -> tuple[list[Change], frozenset[int]]:
    """Without those of a later version. And the ids that are new."""
    known = [frame for frame in frames if frame.get("action") in ("message", "thread")]
    changes = [read_change(frame) for frame in known]
    new = frozenset(
        change.id
        for frame, change in zip(known, changes)
        if isinstance(change, Message) and frame.get("new") is True
    )
    return changes, new
