"""A store in a file. All of SQLite runs on one thread of its own: the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..model import Message, Thread, User
from ..sends import Send
from .base import Applied, Change, Saved, Store
from .schema import prepare
from .tables import Tables

T = TypeVar("T")


class SqliteStore(Store):
    """Several processes may have the file open, one client of them connected."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._thread: ThreadPoolExecutor | None = None
        self._db: sqlite3.Connection | None = None

    async def open(self) -> Saved:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "netrox-chat-store")

        def connect() -> None:
            if self._db is None:
                db = sqlite3.connect(self._path, isolation_level=None)
                try:
                    prepare(db)
                except BaseException:
                    db.close()
                    raise
                self._db = db

        await asyncio.get_running_loop().run_in_executor(self._thread, connect)
        return await self._read(lambda tables: tables.saved())

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return

        def end() -> None:
            if self._db is not None:
                self._db.close()
                self._db = None

        await asyncio.get_running_loop().run_in_executor(thread, end)
        thread.shutdown(wait=False)

    async def _write(self, step: Callable[[Tables], T]) -> T:
        return await self._run(step, "BEGIN IMMEDIATE")

    async def _read(self, step: Callable[[Tables], T]) -> T:
        return await self._run(step, "BEGIN")

    async def _run(self, step: Callable[[Tables], T], begin: str) -> T:
        if self._thread is None:
            raise RuntimeError("the store is not open")

        def transaction() -> T:
            db = self._db
            if db is None:
                raise RuntimeError("the store is not open")
            db.execute(begin)
            try:
                result = step(Tables(db))
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return result

        # What was begun ends, whether or not somebody still waits for it.
        done = asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        return await asyncio.shield(done)

    async def bind(self, user_id: str) -> None:
        await self._write(lambda tables: tables.bind(user_id))

    async def apply(self, changes: Sequence[Change], cursor: str | None = None) -> Applied:
        return await self._write(lambda tables: tables.apply(changes, cursor))

    async def replace(self, changes: Sequence[Change], cursor: str) -> Applied:
        def step(tables: Tables) -> Applied:
            tables.clear()
            return tables.apply(changes, cursor)

        return await self._write(step)

    async def mark(self, peer_id: str, *, seen_id: int = 0, delivered_id: int = 0) -> None:
        await self._write(lambda tables: tables.mark(peer_id, seen_id, delivered_id))

    async def know(self, user: User) -> None:
        await self._write(lambda tables: tables.know(user))

    async def expire(self, before: str) -> None:
        await self._write(lambda tables: tables.expire(before))

    async def wipe(self) -> None:
        await self._write(lambda tables: tables.wipe())

    async def message(self, message_id: int) -> Message | None:
        return await self._read(lambda tables: tables.message(message_id))

    async def messages(
        self, peer_id: str, *, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        return await self._read(lambda tables: tables.messages(peer_id, before, limit))

    async def thread(self, peer_id: str) -> Thread | None:
        return await self._read(lambda tables: tables.thread(peer_id))

    async def threads(self) -> list[Thread]:
        return await self._read(lambda tables: tables.threads())

    async def strangers(self) -> list[str]:
        return await self._read(lambda tables: tables.strangers())

    async def unread(self, peer_id: str) -> int:
        return await self._read(lambda tables: tables.unread(peer_id))

    async def add_send(self, send: Send, content: bytes | None = None) -> bool:
        return await self._write(lambda tables: tables.add_send(send, content))

    async def change_send(self, send: Send) -> None:
        await self._write(lambda tables: tables.change_send(send))

    async def drop_send(self, client_ref: str) -> bool:
        return await self._write(lambda tables: tables.drop_send(client_ref))

    async def content(self, client_ref: str) -> bytes | None:
        return await self._read(lambda tables: tables.content(client_ref))
