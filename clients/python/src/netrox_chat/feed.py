"""All that changes the store goes through here, and is told to the app after it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .errors import Reset
from .events import Event, MessageChanged, SendSettled, ThreadChanged
from .model import Message
from .sends import Send, Sent
from .store import Applied, Change, Store


class Feed:
    def __init__(self, store: Store, tell: Callable[[Event], None]) -> None:
        self.store = store
        self.user_id: str | None = None
        #: Grows with each snapshot: an answer to a question of before is not applied after it.
        self.generation = 0
        #: Told of each send whose message came.
        self.on_settled: Callable[[Send, Sent], None] = lambda send, sent: None
        #: Told of peers whose thread the store does not hold.
        self.on_unknown_thread: Callable[[str], None] = lambda peer_id: None
        #: Told of each message of a peer that appeared.
        self.on_arrived: Callable[[Message], None] = lambda message: None
        self._tell = tell
        self._lock = asyncio.Lock()
        #: Peers whose thread the store holds: not looked up at each frame.
        self._known: set[str] = set()

    async def apply(
        self,
        changes: Sequence[Change],
        cursor: str | None = None,
        new: frozenset[int] = frozenset(),
        generation: int | None = None,
    ) -> None:
        """Changes of the feed, with the cursor behind the last. `new`: ids that are told as new.
        Raises `Reset` where a snapshot came since `generation`."""
        async with self._lock:
            if generation not in (None, self.generation):
                raise Reset("reset", "the store was replaced meanwhile")
            self._told(await self.store.apply(changes, cursor), new)
        await self._look_for_threads(changes)

    async def learn(self, changes: Sequence[Change], generation: int) -> None:
        """Objects of an answer. They say nothing about what came before them: no cursor."""
        async with self._lock:
            if generation != self.generation:
                return
            self._told(await self.store.apply(changes), frozenset())
        await self._look_for_threads(changes)

    async def replace(self, changes: Sequence[Change], cursor: str) -> None:
        """A snapshot. What it changes is not told one by one."""
        async with self._lock:
            self.generation += 1
            self._known.clear()
            applied = await self.store.replace(changes, cursor)
            self._settle(applied)

    def _told(self, applied: Applied, new: frozenset[int]) -> None:
        for changed in applied.changed:
            before, after = changed.before, changed.after
            if not isinstance(after, Message):
                assert not isinstance(before, Message)
                self._tell(ThreadChanged(after, before))
                continue
            assert before is None or isinstance(before, Message)
            is_of_peer = after.sender_id != self.user_id
            is_new = after.id in new
            ring = is_new and is_of_peer and before is None and not after.is_gone
            self._tell(MessageChanged(after, before, is_new, ring))
            if is_of_peer and before is None and not after.is_gone:
                self.on_arrived(after)
        self._settle(applied)

    def _settle(self, applied: Applied) -> None:
        for send, message in applied.settled:
            sent = Sent(send.client_ref, message.id, message.thread, message.created, False)
            self._tell(SendSettled(sent))
            self.on_settled(send, sent)

    async def look_for_strangers(self) -> None:
        """An earlier run may have ended before it had asked."""
        for peer_id in await self.store.strangers():
            self.on_unknown_thread(peer_id)

    async def _look_for_threads(self, changes: Sequence[Change]) -> None:
        """A frame has a thread's state, but not its peer, and a message not even that."""
        user_id = self.user_id
        if user_id is None:
            return
        peers = {
            change.peer_of(user_id) if isinstance(change, Message) else change.peer_id
            for change in changes
        }
        for peer_id in sorted(peers - self._known):
            held = await self.store.thread(peer_id)
            if held is None or held.peer is None:
                self.on_unknown_thread(peer_id)
            else:
                self._known.add(peer_id)
