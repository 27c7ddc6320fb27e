"""What is done in one transaction of a SQLite store, on its thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from ..decode import encode
from ..errors import WrongUser
from ..model import Message, Thread, ThreadState, User
from ..sends import Send
from . import rules
from .base import Applied, Change, Changed, Saved

_PUT_MESSAGE = "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_THREAD = "INSERT OR REPLACE INTO threads VALUES (?, ?, ?, ?, ?)"
_THREAD = "SELECT state, peer, created FROM threads"


class Tables:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def _about(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def saved(self) -> Saved:
        rows = self._db.execute("SELECT send FROM outbox ORDER BY place")
        outbox = [Send.read(json.loads(send)) for (send,) in rows]
        return Saved(self._about("user_id"), self._about("cursor"), outbox)

    def bind(self, user_id: str) -> None:
        held = self._about("user_id")
        if held is None:
            self._set("user_id", user_id)
        elif held != user_id:
            raise WrongUser(f"the store is of {held}, the token of {user_id}")

    def apply(self, changes: Sequence[Change], cursor: str | None) -> Applied:
        user_id = self._about("user_id") or ""
        applied = Applied()
        for change in changes:
            if isinstance(change, Message):
                self._upsert_message(change, user_id, applied)
            else:
                self._upsert_thread(change, applied)
        if cursor is not None:
            self._set("cursor", cursor)
        return applied

    def _upsert_message(self, came: Message, user_id: str, applied: Applied) -> None:
        held = self.message(came.id)
        message = rules.merge_message(held, came)
        if message is not None:
            row = (
                message.id,
                message.thread,
                message.peer_of(user_id),
                message.sender_id,
                message.created,
                message.rev,
                message.is_gone,
                message.hidden,
                encode(message.raw),
            )
            self._db.execute(_PUT_MESSAGE, row)
            applied.changed.append(Changed(held, message))
        # An old copy says as well that it is stored.
        if came.sender_id == user_id and came.client_ref is not None:
            wanted = (came.client_ref,)
            row = self._db.execute("SELECT send FROM outbox WHERE client_ref = ?", wanted).fetchone()
            if row is not None:
                applied.settled.append((Send.read(json.loads(row[0])), came))
                self.drop_send(came.client_ref)

    def _upsert_thread(self, came: Thread | ThreadState, applied: Applied) -> None:
        held = self.thread(came.peer_id)
        thread = rules.merge_thread(held, came)
        if thread is not None:
            self._put_thread(thread)
            applied.changed.append(Changed(held, thread))

    def _put_thread(self, thread: Thread) -> None:
        state = encode(thread.state.to_json())
        peer = None if thread.peer is None else encode(thread.peer.to_json())
        row = (thread.peer_id, thread.state.last_id, state, peer, thread.created)
        self._db.execute(_PUT_THREAD, row)

    def clear(self) -> None:
        self._db.execute("DELETE FROM messages")
        self._db.execute("DELETE FROM threads")

    def wipe(self) -> None:
        self.clear()
        self._db.execute("DELETE FROM outbox")
        self._db.execute("DELETE FROM about")

    def mark(self, peer_id: str, seen_id: int, delivered_id: int) -> None:
        held = self.thread(peer_id)
        if held is not None:
            self._put_thread(rules.mark(held, seen_id, delivered_id))

    def know(self, user: User) -> None:
        row = (encode(user.to_json()), user.id)
        self._db.execute("UPDATE threads SET peer = ? WHERE peer_id = ?", row)

    def expire(self, before: str) -> None:
        self._db.execute("DELETE FROM messages WHERE created < ?", (before,))

    def message(self, message_id: int) -> Message | None:
        wanted = (message_id,)
        row = self._db.execute("SELECT object FROM messages WHERE id = ?", wanted).fetchone()
        return None if row is None else Message.read(json.loads(row[0]))

    def messages(self, peer_id: str, before: int | None, limit: int) -> list[Message]:
        rows = self._db.execute(
            "SELECT object FROM messages WHERE peer_id = ? AND id < ? AND NOT is_hidden "
            "ORDER BY id DESC LIMIT ?",
            (peer_id, 2**53 if before is None else before, limit),
        )
        return [Message.read(json.loads(row)) for (row,) in rows]

    def thread(self, peer_id: str) -> Thread | None:
        row = self._db.execute(f"{_THREAD} WHERE peer_id = ?", (peer_id,)).fetchone()
        return None if row is None else _thread(row)

    def threads(self) -> list[Thread]:
        rows = self._db.execute(
            f"{_THREAD} ORDER BY max(last_id, coalesce("
            "(SELECT max(id) FROM messages WHERE messages.peer_id = threads.peer_id), 0)) DESC"
        )
        return [_thread(row) for row in rows]

    def strangers(self) -> list[str]:
        rows = self._db.execute(
            "SELECT peer_id FROM messages UNION SELECT peer_id FROM threads "
            "EXCEPT SELECT peer_id FROM threads WHERE peer IS NOT NULL"
        )
        return [str(peer_id) for (peer_id,) in rows]

    def unread(self, peer_id: str) -> int:
        thread = self.thread(peer_id)
        if thread is None:
            return 0
        # As `rules.counts_as_unread` says.
        (newer,) = self._db.execute(
            "SELECT count(*) FROM messages WHERE peer_id = ?1 AND id > ?2 AND sender_id = ?1 "
            "AND thread = ?3 AND NOT is_gone",
            (peer_id, thread.state.last_id, thread.id),
        ).fetchone()
        return min(thread.state.unread + int(newer), rules.MAX_UNREAD)

    def add_send(self, send: Send, content: bytes | None) -> bool:
        added = self._db.execute(
            "INSERT OR IGNORE INTO outbox (client_ref, send, content) VALUES (?, ?, ?)",
            (send.client_ref, encode(send.to_json()), content),
        )
        return added.rowcount == 1

    def change_send(self, send: Send) -> None:
        row = (encode(send.to_json()), send.client_ref)
        self._db.execute("UPDATE outbox SET send = ? WHERE client_ref = ?", row)

    def drop_send(self, client_ref: str) -> bool:
        dropped = self._db.execute("DELETE FROM outbox WHERE client_ref = ?", (client_ref,))
        return dropped.rowcount == 1

    def content(self, client_ref: str) -> bytes | None:
        wanted = (client_ref,)
        row = self._db.execute("SELECT content FROM outbox WHERE client_ref = ?", wanted).fetchone()
        return None if row is None else row[0]


def _thread(row: tuple[str, str | None, str | None]) -> Thread:
    state, peer, created = row
    user = None if peer is None else User.read(json.loads(peer))
    return Thread(ThreadState.read(json.loads(state)), user, created)
