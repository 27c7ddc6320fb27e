"""The verbs of REST, typed. What their answers hold goes into the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

from . import decode
from .decode import Json
from .errors import NotAllowed, NotFound, ServerError, TooLate
from .feed import Feed
from .model import Block, Limits, Me, Message, Thread, ThreadState
from .paging import Page, Pages
from .rest import Rest
from .store import Change

#: Leaves `meta` as it is.
UNCHANGED: Json = {}


class Api:
    def __init__(self, rest: Rest, feed: Feed) -> None:
        self._rest = rest
        self._feed = feed

    async def _learn(self, raw: Json, generation: int) -> Message:
        message = Message.read(raw)
        await self._feed.learn([message], generation)
        return message

    async def message(self, message_id: int) -> Message:
        generation = self._feed.generation
        _, raw = await self._rest.call("GET", f"/v2/messages/{message_id}")
        return await self._learn(raw, generation)

    async def edit(self, message_id: int, text: str, meta: Json | None = UNCHANGED) -> Message:
        body: dict[str, Any] = {"message_body": text}
        if meta is not UNCHANGED:
            body["meta"] = meta
        return await self._verb("PATCH", message_id, "", body=body)

    async def dispatch(self, message_id: int) -> Message:
        return await self._verb("POST", message_id, "/dispatch")

    async def delete(self, message_id: int, whose: Literal["everyone", "me"]) -> None:
        path = f"/v2/messages/{message_id}"
        try:
            await self._rest.call("DELETE", path, params={"for": whose})
        except (NotAllowed, TooLate, NotFound):
            await self._read_again(message_id)
            raise

    async def _verb(
        self, method: str, message_id: int, verb: str, *, body: object = None
    ) -> Message:
        generation = self._feed.generation
        try:
            _, raw = await self._rest.call(method, f"/v2/messages/{message_id}{verb}", body=body)
        except (NotAllowed, TooLate, NotFound):
            await self._read_again(message_id)
            raise
        return await self._learn(raw, generation)

    async def _read_again(self, message_id: int) -> None:
        """What was refused was decided on an old copy."""
        try:
            await self.message(message_id)
        except ServerError:
            pass

    async def find_send(self, client_ref: str) -> Message | None:
        """None: not stored so far, which is not never."""
        generation = self._feed.generation
        try:
            _, raw = await self._rest.call("GET", f"/v2/sends/{client_ref}")
        except NotFound:
            return None
        return await self._learn(raw, generation)

    async def thread(self, peer_id: str, *, with_last: bool = True) -> Thread:
        """Without its last message where the feed is still to bring it, in its place and as new."""
        generation = self._feed.generation
        _, raw = await self._rest.call("GET", f"/v2/threads/{_segment(peer_id)}")
        thread, last = Thread.read(raw)
        await self._feed.learn(_both([(thread, last if with_last else None)]), generation)
        return thread

    def threads(self, limit: int = 50) -> Pages[Thread]:
        async def read(next: str | None) -> Page[Thread]:
            generation = self._feed.generation
            query = {"limit": limit, "next": next}
            _, raw = await self._rest.call("GET", "/v2/threads", params=query)
            pairs = [Thread.read(item) for item in decode.objects(raw, "threads")]
            await self._feed.learn(_both(pairs), generation)
            return Page([thread for thread, _ in pairs], decode.optional_text(raw, "next"))

        return Pages(read)

    def history(
        self,
        peer_id: str,
        *,
        before: int | None = None,
        after: int | None = None,
        order: Literal["newest", "oldest"] = "newest",
        limit: int = 50,
    ) -> Pages[Message]:
        query = {"before": before, "after": after, "order": order}
        return self._messages(f"/v2/threads/{_segment(peer_id)}/messages", query, limit)

    def search(self, words: str, peer_id: str | None = None, limit: int = 50) -> Pages[Message]:
        return self._messages("/v2/search", {"q": words, "peer_id": peer_id}, limit)

    def _messages(self, path: str, query: dict[str, Any], limit: int) -> Pages[Message]:
        async def read(next: str | None) -> Page[Message]:
            generation = self._feed.generation
            # `next` holds the query.
            asked = {**(query if next is None else {"next": next}), "limit": limit}
            _, raw = await self._rest.call("GET", path, params=asked)
            messages = [Message.read(item) for item in decode.objects(raw, "messages")]
            await self._feed.learn(messages, generation)
            return Page(messages, decode.optional_text(raw, "next"))

        return Pages(read)

    async def mark(self, peer_id: str, kind: Literal["seen", "delivered"], up_to: int) -> ThreadState:
        generation = self._feed.generation
        path = f"/v2/threads/{_segment(peer_id)}/{kind}"
        _, raw = await self._rest.call("PUT", path, body={"up_to": up_to})
        state = ThreadState.read(raw)
        await self._feed.learn([state], generation)
        return state

    async def block(self, peer_id: str) -> None:
        await self._rest.call("PUT", f"/v2/blocks/{_segment(peer_id)}")

    async def unblock(self, peer_id: str) -> None:
        await self._rest.call("DELETE", f"/v2/blocks/{_segment(peer_id)}")

    def blocks(self, limit: int = 50) -> Pages[Block]:
        async def read(next: str | None) -> Page[Block]:
            query = {"limit": limit, "next": next}
            _, raw = await self._rest.call("GET", "/v2/blocks", params=query)
            blocks = [Block.read(item) for item in decode.objects(raw, "blocks")]
            return Page(blocks, decode.optional_text(raw, "next"))

        return Pages(read)

    async def me(self) -> Me:
        _, raw = await self._rest.call("GET", "/v2/me")
        return Me.read(raw)

    async def limits(self) -> Limits:
        return (await self.me()).limits

    async def ticket(self) -> str:
        """Opens one WebSocket, within 30 s."""
        _, raw = await self._rest.call("POST", "/v2/ticket", body={})
        return decode.text(raw, "ticket")

    async def link(self, attachment_url: str) -> str:
        """An address of a file that works without a token for a while (`--link-ttl`, 300 s by
        default)."""
        _, raw = await self._rest.call("POST", "/v2/ticket", body={"path": attachment_url})
        return str(self._rest.url(decode.text(raw, "url")))


def _both(pairs: Sequence[tuple[Thread, Message | None]]) -> list[Change]:
    changes: list[Change] = []
    for thread, last in pairs:
        changes.append(thread)
        if last is not None:
            changes.append(last)
    return changes


def _segment(value: str) -> str:
    return quote(value, safe="")
