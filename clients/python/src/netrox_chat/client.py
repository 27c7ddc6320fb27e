"""The client: what an app calls."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Literal

from .decode import Json
from .download import download
from .errors import ChatError, Closed, NotFound, Reset
from .events import Replaced, State
from .files import describe
from .model import Limits, Message, Presence
from .options import Options
from .parts import Parts
from .sending import Progress, Sending
from .sends import Send, Sent
from .store import MemoryStore, Store
from .subscriptions import Subscription
from .tokens import TokenSource
from .typing_signals import TypingTo


class Client:
    """One user on one device. `async with Client(url, token) as client:` connects, and stays connected
    until it is left."""

    def __init__(
        self,
        url: str,
        token: str | TokenSource,
        *,
        store: Store | None = None,
        options: Options | None = None,
    ) -> None:
        """`url` is that of the server: `https://chat.example.com`. `token` is a token, or a function,
        async or not, that gives one each time the last one is refused or expires."""
        self.options = options or Options()
        self.store = store or MemoryStore()
        self._parts = parts = Parts(url, token, self.store, self.options, self._signed_out)
        #: The verbs of REST: reading, editing, deleting, blocking, searching.
        self.api = parts.api
        parts.feed.on_unknown_thread = self._fetch_thread
        parts.feed.on_arrived = self._arrived
        self._fetching: set[str] = set()
        self._is_open = False
        self._is_closed = False

    # --- its life ---

    async def open(self) -> None:
        """Opens the store, without connecting: enough for `sync`, as a push wakes an app."""
        if self._is_closed:
            raise Closed("the client was closed")
        if not self._is_open:
            saved = await self.store.open()
            self._is_open = True
            self._parts.feed.user_id = saved.user_id
            self._parts.runner.cursor = saved.cursor
            self._parts.outbox.restore(saved.outbox)

    async def start(self) -> None:
        """Connects, and comes back by itself from now on."""
        await self.open()
        if self._parts.standing.state is State.IDLE:
            self._parts.standing.set(State.CONNECTING)
            self._parts.background.start(self._parts.runner.run())
            self._parts.background.start(self._parts.receipts.run())

    async def close(self) -> None:
        """Ends the connection. What waits in the outbox stays in the store."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._parts.typing.close()
        self._parts.readers.release()
        await self._parts.background.end()
        await self._parts.outbox.close(Closed("the client was closed"))
        await self._parts.rest.close()
        if self._is_open:
            await self.store.close()
        self._parts.standing.set(State.CLOSED)
        self._parts.readers.end()

    async def __aenter__(self) -> Client:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def state(self) -> State:
        return self._parts.standing.state

    @property
    def user_id(self) -> str | None:
        """None until the server has said whose the token is."""
        return self._parts.feed.user_id

    @property
    def limits(self) -> Limits:
        """Of the last `hello`."""
        return self._parts.dialer.limits

    @property
    def outbox_size(self) -> int:
        return len(self._parts.outbox)

    def server_time(self) -> datetime:
        return self._parts.dialer.server_time()

    async def live(self, timeout: float | None = None) -> None:
        """Waits until all that was missed is there. Raises why the client stays away, if it does."""

        async def wait() -> None:
            while self._parts.standing.state is not State.LIVE:
                if self._parts.standing.state in (State.AWAY, State.SIGNED_OUT):
                    raise self._parts.standing.failure or ChatError("away")
                if self._parts.standing.state is State.CLOSED:
                    raise Closed("the client was closed")
                await self._parts.standing.changed.wait()

        await asyncio.wait_for(wait(), timeout)

    def wake(self) -> None:
        """The user is back, or there is a new network: comes back at once, and looks if a connection
        that there is still lives."""
        self._parts.runner.wake()

    def events(self) -> Subscription:
        """All that happens from now on, as an async iterator. `async with` ends it."""
        return self._parts.readers.add()

    # --- sending ---

    async def enqueue(
        self,
        peer_id: str,
        text: str,
        *,
        reply_to: int | None = None,
        meta: Json | None = None,
        client_ref: str | None = None,
    ) -> Sending:
        """Writes it into the outbox: from then on it is sent until it is stored, over restarts too."""
        await self._may_send()
        send = Send(
            _reference(client_ref), peer_id.lower(), text, time.time(), reply_to=reply_to, meta=meta
        )
        return await self._parts.outbox.add(send)

    async def send(
        self,
        peer_id: str,
        text: str,
        *,
        reply_to: int | None = None,
        meta: Json | None = None,
        client_ref: str | None = None,
    ) -> Sent:
        """`enqueue`, and waits until it is stored. Raises why it is refused."""
        return await (
            await self.enqueue(
                peer_id, text, reply_to=reply_to, meta=meta, client_ref=client_ref
            )
        )

    async def enqueue_file(
        self,
        peer_id: str,
        source: str | os.PathLike[str] | bytes,
        *,
        text: str = "",
        name: str | None = None,
        content_type: str | None = None,
        reply_to: int | None = None,
        meta: Json | None = None,
        dispatch: bool = True,
        progress: Progress | None = None,
        client_ref: str | None = None,
    ) -> Sending:
        """A file, of a path or of bytes. `progress` is called with the bytes sent and all of them."""
        await self._may_send()
        file, content = await describe(source, name, content_type)
        send = Send(
            _reference(client_ref), peer_id.lower(), text, time.time(), reply_to, meta, file, dispatch
        )
        return await self._parts.outbox.add(send, content, progress)

    async def _may_send(self) -> None:
        await self.open()
        if self.state is State.SIGNED_OUT:
            raise self._parts.standing.failure or ChatError("signed out")

    # --- receipts, typing, presence ---

    def seen(self, peer_id: str, up_to: int) -> None:
        """What is on the screen of an active app. Told soon, once for many, until it has arrived."""
        self._parts.receipts.mark(peer_id.lower(), "seen", up_to)

    def delivered(self, peer_id: str, up_to: int) -> None:
        self._parts.receipts.mark(peer_id.lower(), "delivered", up_to)

    async def set_typing(self, peer_id: str, typing: bool) -> None:
        """Repeated until it is false."""
        await self._parts.typing.set(peer_id.lower(), typing)

    def typing(self, peer_id: str) -> TypingTo:
        return TypingTo(self._parts.typing, peer_id.lower())

    async def watch_presence(self, peer_ids: Sequence[str]) -> list[Presence]:
        """Replaces the list, at most 100. Each connection is told it again."""
        return await self._parts.presence.watch([peer_id.lower() for peer_id in peer_ids])

    async def set_presence(self, presence: Literal["peers", "nobody"]) -> None:
        await self._parts.presence.set(presence)

    # --- without a socket ---

    async def sync(self) -> list[Message]:
        """Woken by a push: all that was missed, by REST alone. Gives messages of peers that came."""
        await self.open()
        cursor = self._parts.runner.cursor
        arrived: list[Message] = []
        try:
            if cursor is None:
                raise Reset("reset", "there is no cursor yet")
            if self._parts.feed.user_id is None:
                await self._parts.snapshots.me()
            cursor, arrived = await self._parts.snapshots.catch_up(cursor)
        except Reset:
            cursor, unread = await self._parts.snapshots.take()
            self._parts.readers.tell(Replaced(unread))
        self._parts.runner.cursor = cursor
        if self.options.auto_delivered:
            last = {message.sender_id: message.id for message in arrived}
            for peer_id, up_to in last.items():
                await self.api.mark(peer_id, "delivered", up_to)
        return arrived

    def download(self, attachment_url: str) -> AsyncIterator[bytes]:
        """The bytes of `Message.attachment.url`, in pieces."""
        return download(self._parts.rest, attachment_url, self.options)

    # --- what happens by itself ---

    def _arrived(self, message: Message) -> None:
        if self.options.auto_delivered and self._parts.standing.state is not State.IDLE:
            self._parts.receipts.mark(message.sender_id, "delivered", message.id)

    def _fetch_thread(self, peer_id: str) -> None:
        if peer_id not in self._fetching and not self._is_closed:
            self._fetching.add(peer_id)
            self._parts.background.start(self._fetch(peer_id))

    async def _fetch(self, peer_id: str) -> None:
        try:
            await self.api.thread(peer_id, with_last=False)
        except NotFound:
            pass
        except ChatError:
            # The next frame of the thread asks again.
            pass
        finally:
            self._fetching.discard(peer_id)

    async def _signed_out(self) -> None:
        await self._parts.outbox.close(self._parts.standing.failure or Closed("signed out"))
        self._parts.receipts.forget()
        if self.options.wipe_on_sign_out:
            await self.store.wipe()


def _reference(given: str | None) -> str:
    return str(uuid.uuid4() if given is None else uuid.UUID(given))
