"""A file in one request, streamed, with progress."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from io import BytesIO
from typing import BinaryIO

import httpx

from . import decode
from .decode import Json
from .errors import ConnectionLost, InvalidRequest, InvalidToken, NotFound
from .rest import TRANSPORT_ERRORS, Rest, read_answer
from .sends import File, Send
from .sending import Progress, Sending

_CHUNK = 65_536


async def upload(rest: Rest, sending: Sending, content: bytes | None) -> tuple[bool, Json]:
    """One try. Gives whether an earlier one had arrived, and the message."""
    send = sending.send
    assert send.file is not None
    if sending.was_tried:
        # A small question before a large body. It also brings a good token.
        try:
            _, raw = await rest.once("GET", f"/v2/sends/{send.client_ref}")
            return True, raw
        except NotFound:
            pass
    sending.was_tried = True
    token = await rest.tokens.get()
    path = f"/v2/threads/{send.peer_id}/attachments"
    query = {"client_ref": send.client_ref, "dispatch": "true" if send.dispatch else "false"}
    source = await _open(send.file, content)
    try:
        body = _Body(send, send.file, source, sending.progress)
        response = await rest.uploads.post(
            rest.url(path),
            params=query,
            content=body.stream(),
            headers={
                "Content-Type": body.content_type,
                "Content-Length": str(body.length),
                "Authorization": f"Bearer {token}",
            },
        )
    except TRANSPORT_ERRORS as error:
        raise ConnectionLost(f"the upload broke: {error!r}") from error
    finally:
        source.close()
    try:
        return response.status_code == httpx.codes.OK, read_answer(response)
    except InvalidToken:
        await rest.tokens.other_than(token)
        raise ConnectionLost("the token was refused, there is another") from None


async def _open(file: File, content: bytes | None) -> BinaryIO:
    if file.path is None:
        return BytesIO(content or b"")
    path = file.path
    try:
        return await asyncio.to_thread(open, path, "rb")
    except OSError as error:
        raise InvalidRequest("file_gone", str(error)) from error


class _Body:
    """multipart/form-data."""

    def __init__(
        self, send: Send, file: File, source: BinaryIO, progress: Progress | None
    ) -> None:
        boundary = uuid.uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        fields = {"message_body": send.text}
        if send.reply_to is not None:
            fields["reply_to"] = str(send.reply_to)
        if send.meta is not None:
            fields["meta"] = decode.encode(send.meta)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="attached_file"; '
            f'filename="{_quoted(file.name)}"\r\nContent-Type: {file.content_type}\r\n\r\n'
        )
        self._head = "".join(parts).encode("utf-8", "replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._source = source
        self._progress = progress
        self.length = len(self._head) + file.size + len(self._tail)

    async def stream(self) -> AsyncIterator[bytes]:
        yield self._head
        sent = 0
        while sent < self._file.size:
            # Never more than was announced, should the file have grown.
            wanted = min(_CHUNK, self._file.size - sent)
            chunk = await asyncio.to_thread(self._source.read, wanted)
            if not chunk:
                raise InvalidRequest("file_changed", "the file is shorter than it was")
            yield chunk
            sent += len(chunk)
            if self._progress is not None:
                self._progress(sent, self._file.size)
        yield self._tail


def _quoted(name: str) -> str:
    """As browsers write it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
