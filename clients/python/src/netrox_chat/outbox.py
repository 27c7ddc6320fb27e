"""Sends until they are stored: one of a thread under way, so that the order stays."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from .attempt import Attempts
from .backoff import Backoff
from .current import Current
from .decode import encode
from .errors import (
    ChatError,
    ConnectionLost,
    Expired,
    InvalidRequest,
    InvalidToken,
    MessageTooLarge,
    NoAnswer,
    NotFound,
    ProtocolViolation,
    SendCancelled,
    ServerError,
    SignedOut,
    StaysAway,
    UnknownRefusal,
    UserDeleted,
)
from .events import Event, SendRefused, SendSettled
from .link import Link
from .options import Options
from .sending import Progress, Sending
from .sends import Send, Sent
from .store import Store
from .tokens import Tokens

#: A send that was under way at so many closes for a bug is the bug.
_MAX_STRIKES = 3


class Outbox:
    def __init__(
        self,
        store: Store,
        current: Current,
        attempts: Attempts,
        tokens: Tokens,
        options: Options,
        tell: Callable[[Event], None],
        sign_out: Callable[[], None],
    ) -> None:
        self._store = store
        self._current = current
        self._attempts = attempts
        self._tokens = tokens
        self._options = options
        self._tell = tell
        self._sign_out = sign_out
        self._sendings: dict[str, Sending] = {}
        self._lanes: dict[str, deque[Sending]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(options.max_under_way)
        # What is written down first is first in its lane.
        self._order = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._sendings)

    def restore(self, sends: list[Send]) -> None:
        for send in sends:
            if send.client_ref not in self._sendings:
                sending = Sending(send, self.cancel, None)
                sending.was_tried = True
                self._enqueue(sending)

    async def add(
        self, send: Send, content: bytes | None = None, progress: Progress | None = None
    ) -> Sending:
        """It is in the store before its first byte leaves. The same reference is the same send."""
        async with self._order:
            sending = self._sendings.get(send.client_ref)
            if sending is None:
                sending = Sending(send, self.cancel, progress)
                await self._store.add_send(send, content)
                self._enqueue(sending)
            return sending

    def _enqueue(self, sending: Sending) -> None:
        self._sendings[sending.client_ref] = sending
        peer_id = sending.send.peer_id
        lane = self._lanes.get(peer_id)
        if lane is not None:
            lane.append(sending)
            return
        lane = self._lanes[peer_id] = deque([sending])
        task = asyncio.create_task(self._work(peer_id, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, peer_id: str, lane: deque[Sending]) -> None:
        while lane:
            await self._finish(lane[0])
            lane.popleft()
        del self._lanes[peer_id]

    async def _finish(self, sending: Sending) -> None:
        backoff = Backoff(self._options.backoff_base, self._options.backoff_cap)
        while not sending.done.done():
            wait: float | None = 0.0
            try:
                sent = await self._until_done(sending)
            except ServerError as error:
                wait = await self._answered(sending, error)
                if wait is None:
                    wait = backoff.next()
            except NoAnswer:
                sending.by_rest = True
            except (ConnectionLost, ProtocolViolation):
                # The next connection is waited for anyway.
                is_socket = sending.link is not None and not sending.by_rest
                wait = 0.0 if is_socket else backoff.next()
            except StaysAway:
                # A connection needs a token as well: where there is one again, so is the other.
                sending.by_rest = False
                wait = backoff.next()
                await self._until(sending, self._current.ready())
            except SignedOut:
                self._sign_out()
                return
            else:
                if sent is not None:
                    await self._settled(sending, sent)
            if wait and not sending.done.done():
                await asyncio.wait({sending.done}, timeout=wait)

    async def _until_done(self, sending: Sending) -> Sent | None:
        """None where a message frame came first."""
        async with self._places:
            return await self._until(sending, self._attempts.once(sending))

    async def _until(
        self, sending: Sending, step: Coroutine[Any, Any, Sent | Link]
    ) -> Sent | None:
        task = asyncio.create_task(step)
        try:
            either: set[asyncio.Future[Any]] = {task, sending.done}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return None
            result = task.result()
            return result if isinstance(result, Sent) else None
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _answered(self, sending: Sending, error: ServerError) -> float | None:
        """How long to wait before the same again; None: as backoff says."""
        if error.may_repeat:
            return error.retry_after_s
        if isinstance(error, InvalidToken):
            link = sending.link
            if link is not None and not sending.by_rest:
                try:
                    await self._tokens.other_than(link.token)
                except StaysAway:
                    pass
                sending.by_rest = True
            return None
        if isinstance(error, UserDeleted):
            self._sign_out()
            return None
        if isinstance(error, NotFound) and sending.send.reply_to is not None:
            # What it answers is gone: it is sent all the same.
            sending.send = replace(sending.send, reply_to=None)
            await self._store.change_send(sending.send)
            return 0.0
        if isinstance(error, UnknownRefusal) and not error.is_final:
            # A frame has no status that says whether this is final.
            sending.by_rest = True
            return 0.0
        await self._refused(sending, error)
        return 0.0

    async def _settled(self, sending: Sending, sent: Sent) -> None:
        was_there = await self._store.drop_send(sent.client_ref)
        if was_there and not sending.done.done():
            self._tell(SendSettled(sent))
        self._end(sending)
        sending.succeed(sent)

    def came(self, send: Send, sent: Sent) -> None:
        """A message with this reference came, and took the send out of the store."""
        sending = self._sendings.get(send.client_ref)
        if sending is not None:
            self._end(sending)
            sending.succeed(sent)

    async def _refused(self, sending: Sending, error: ChatError) -> bool:
        was_there = await self._store.drop_send(sending.client_ref)
        if was_there and not sending.done.done():
            self._tell(SendRefused(sending.client_ref, sending.send.peer_id, error))
            self._end(sending)
            sending.fail(error)
        return was_there

    def _end(self, sending: Sending) -> None:
        self._sendings.pop(sending.client_ref, None)

    async def cancel(self, sending: Sending) -> bool:
        if sending.done.done():
            return False
        return await self._refused(sending, SendCancelled("given up by the app"))

    async def expire(self, before: float) -> None:
        """Gives up what was written down before a time: the server keeps nothing so old."""
        for sending in list(self._sendings.values()):
            if sending.send.created < before:
                await self._refused(sending, Expired("expired", "older than the server keeps"))

    async def blame(self, link: Link, code: int) -> None:
        """The server closed this connection for a bug of ours: what did it is not sent for ever."""
        suspects = [s for s in self._sendings.values() if s.link is link]
        if code == 1009 and suspects:
            largest = max(suspects, key=lambda s: len(encode(s.send.fields())))
            error = MessageTooLarge("message_too_large", "the server closed with 1009")
            await self._refused(largest, error)
            return
        for sending in suspects:
            sending.strikes += 1
            if sending.strikes >= _MAX_STRIKES:
                reason = f"the server closed with {code}, again and again"
                await self._refused(sending, InvalidRequest("invalid_field", reason))

    async def close(self, error: ChatError) -> None:
        """Stops. What waits stays in the store."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sending in list(self._sendings.values()):
            sending.fail(error)
        self._sendings.clear()
        self._lanes.clear()

