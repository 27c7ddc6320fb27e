"""A store that ends with the process: for bots that start from a snapshot, and for tests."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import WrongUser
from ..model import Message, Thread, User
from ..sends import Send
from . import rules
from .base import Applied, Change, Changed, Saved, Store


class MemoryStore(Store):
    """Nothing here waits, so each method is one step for all others."""

    def __init__(self, *, max_messages: int = 100_000) -> None:
        """The messages with the smallest ids make room where there would be more."""
        self._max_messages = max_messages
        self._user_id: str | None = None
        self._cursor: str | None = None
        self._messages: dict[int, Message] = {}
        self._by_peer: dict[str, dict[int, Message]] = {}
        self._threads: dict[str, Thread] = {}
        self._outbox: dict[str, Send] = {}
        self._contents: dict[str, bytes] = {}

    async def open(self) -> Saved:
        return Saved(self._user_id, self._cursor, list(self._outbox.values()))

    async def close(self) -> None:
        """It may be opened again, by another client of the same user."""

    async def bind(self, user_id: str) -> None:
        if self._user_id not in (None, user_id):
            raise WrongUser(f"the store is of {self._user_id}, the token of {user_id}")
        self._user_id = user_id

    async def apply(self, changes: Sequence[Change], cursor: str | None = None) -> Applied:
        applied = Applied()
        for change in changes:
            self._upsert(change, applied)
        if cursor is not None:
            self._cursor = cursor
        self._make_room()
        return applied

    async def replace(self, changes: Sequence[Change], cursor: str) -> Applied:
        self._messages.clear()
        self._by_peer.clear()
        self._threads.clear()
        return await self.apply(changes, cursor)

    def _upsert(self, change: Change, applied: Applied) -> None:
        if not isinstance(change, Message):
            held = self._threads.get(change.peer_id)
            thread = rules.merge_thread(held, change)
            if thread is not None:
                self._threads[thread.peer_id] = thread
                applied.changed.append(Changed(held, thread))
            return
        before = self._messages.get(change.id)
        message = rules.merge_message(before, change)
        if message is not None:
            self._messages[message.id] = message
            self._by_peer.setdefault(self._peer(message), {})[message.id] = message
            applied.changed.append(Changed(before, message))
        # An old copy says as well that it is stored.
        if change.sender_id == self._user_id and change.client_ref in self._outbox:
            applied.settled.append((self._outbox.pop(change.client_ref), change))
            self._contents.pop(change.client_ref, None)

    def _peer(self, message: Message) -> str:
        return message.peer_of(self._user_id or "")

    def _make_room(self) -> None:
        # In one go for a tenth of them, so that it is not done at each message.
        if len(self._messages) > self._max_messages + self._max_messages // 10:
            oldest = sorted(self._messages)[: len(self._messages) - self._max_messages]
            for message_id in oldest:
                self._forget(message_id)

    def _forget(self, message_id: int) -> None:
        message = self._messages.pop(message_id)
        self._by_peer[self._peer(message)].pop(message_id, None)

    async def mark(self, peer_id: str, *, seen_id: int = 0, delivered_id: int = 0) -> None:
        held = self._threads.get(peer_id)
        if held is not None:
            self._threads[peer_id] = rules.mark(held, seen_id, delivered_id)

    async def know(self, user: User) -> None:
        held = self._threads.get(user.id)
        if held is not None:
            self._threads[user.id] = Thread(held.state, user, held.created)

    async def expire(self, before: str) -> None:
        for message_id in [m.id for m in self._messages.values() if m.created < before]:
            self._forget(message_id)

    async def wipe(self) -> None:
        self.__init__(max_messages=self._max_messages)  # type: ignore[misc]

    async def message(self, message_id: int) -> Message | None:
        return self._messages.get(message_id)

    async def messages(
        self, peer_id: str, *, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        held = self._by_peer.get(peer_id, {})
        ids = sorted((id for id in held if before is None or id < before), reverse=True)
        return [held[id] for id in ids if not held[id].hidden][:limit]

    async def thread(self, peer_id: str) -> Thread | None:
        return self._threads.get(peer_id)

    async def threads(self) -> list[Thread]:
        def last(thread: Thread) -> int:
            return max(thread.state.last_id, *self._by_peer.get(thread.peer_id, ()), 0)

        return sorted(self._threads.values(), key=last, reverse=True)

    async def strangers(self) -> list[str]:
        peers = {*self._threads, *(id for id, held in self._by_peer.items() if held)}
        known = {id for id, thread in self._threads.items() if thread.peer is not None}
        return sorted(peers - known)

    async def unread(self, peer_id: str) -> int:
        thread = self._threads.get(peer_id)
        if thread is None:
            return 0
        held = self._by_peer.get(peer_id, {}).values()
        newer = sum(rules.counts_as_unread(message, thread.state) for message in held)
        return min(thread.state.unread + newer, rules.MAX_UNREAD)

    async def add_send(self, send: Send, content: bytes | None = None) -> bool:
        if send.client_ref in self._outbox:
            return False
        self._outbox[send.client_ref] = send
        if content is not None:
            self._contents[send.client_ref] = content
        return True

    async def change_send(self, send: Send) -> None:
        if send.client_ref in self._outbox:
            self._outbox[send.client_ref] = send

    async def drop_send(self, client_ref: str) -> bool:
        self._contents.pop(client_ref, None)
        return self._outbox.pop(client_ref, None) is not None

    async def content(self, client_ref: str) -> bytes | None:
        return self._contents.get(client_ref)
