"""One try of a send, by the socket or by REST."""

from __future__ import annotations

import asyncio

from . import decode
from .current import Current
from .errors import MessageTooLarge, NoAnswer
from .link import Link
from .model import Limits, Message
from .options import Options
from .rest import Rest
from .sending import Sending
from .sends import Sent
from .store import Store
from .upload import upload


class Attempts:
    def __init__(self, current: Current, rest: Rest, store: Store, options: Options) -> None:
        self._current = current
        self._rest = rest
        self._store = store
        self._options = options
        self.limits = Limits()

    async def once(self, sending: Sending) -> Sent:
        send = sending.send
        if send.file is not None:
            # Files wait for a connection as texts do: then there is a network, and a good token.
            await self._current.ready()
            if send.file.size > self.limits.max_attachment_bytes:
                raise MessageTooLarge("message_too_large", "the file is over max_attachment_bytes")
            content = None
            if send.file.path is None:
                content = await self._store.content(send.client_ref)
            return _sent(send.client_ref, *await upload(self._rest, sending, content))
        if sending.by_rest:
            sending.was_tried = True
            path = f"/v2/threads/{send.peer_id}/messages"
            status, raw = await self._rest.once("POST", path, body=send.fields())
            return _sent(send.client_ref, status == 200, raw)
        return await self._by_socket(sending)

    async def _by_socket(self, sending: Sending) -> Sent:
        send = sending.send
        link = await self._current.ready()
        frame = {"action": "chat_message", "receiver_id": send.peer_id, **send.fields()}
        # It would close the connection, for all others as well. The reference takes some bytes, too.
        if len(decode.encode(frame).encode()) + 64 > self.limits.max_frame_bytes:
            raise MessageTooLarge("message_too_large", "the frame is over max_frame_bytes")
        sending.link = link
        sending.was_tried = True
        ack = await _unless_stalled(link, frame, self._options.answer_timeout)
        return Sent(
            send.client_ref,
            decode.integer(ack, "message_id"),
            decode.integer(ack, "thread"),
            decode.text(ack, "created"),
            decode.boolean(ack, "repeated"),
        )


async def _unless_stalled(link: Link, frame: decode.Json, timeout: float) -> decode.Json:
    """A reader that waits for the app, which waits for this answer, would wait for ever."""
    asked = asyncio.ensure_future(link.ask(frame, timeout))
    stalled = asyncio.ensure_future(link.stalled.wait())
    try:
        await asyncio.wait({asked, stalled}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise NoAnswer("nothing is read, since events wait for the app")
        return await asked
    finally:
        asked.cancel()
        stalled.cancel()
        await asyncio.gather(asked, stalled, return_exceptions=True)


def _sent(client_ref: str, repeated: bool, raw: decode.Json) -> Sent:
    message = Message.read(raw)
    return Sent(client_ref, message.id, message.thread, message.created, repeated)
