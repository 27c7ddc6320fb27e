"""What waits in the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import decode
from .decode import Json


@dataclass(frozen=True)
class File:
    """The file of a send: a path, or bytes that the store keeps."""

    name: str
    content_type: str
    size: int
    #: None where the store keeps the bytes.
    path: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "content_type": self.content_type,
            "size": self.size,
            "path": self.path,
        }

    @classmethod
    def read(cls, raw: Json) -> File:
        return cls(
            decode.text(raw, "name"),
            decode.text(raw, "content_type"),
            decode.integer(raw, "size"),
            decode.optional_text(raw, "path"),
        )


@dataclass(frozen=True)
class Send:
    """Written down before its first byte leaves."""

    client_ref: str
    peer_id: str
    text: str
    #: Seconds since the epoch, by this machine's clock.
    created: float
    reply_to: int | None = None
    meta: Json | None = None
    file: File | None = None
    dispatch: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "client_ref": self.client_ref,
            "peer_id": self.peer_id,
            "text": self.text,
            "created": self.created,
            "reply_to": self.reply_to,
            "meta": self.meta,
            "file": None if self.file is None else self.file.to_json(),
            "dispatch": self.dispatch,
        }

    @classmethod
    def read(cls, raw: Json) -> Send:
        file = decode.optional_obj(raw, "file")
        return cls(
            client_ref=decode.text(raw, "client_ref"),
            peer_id=decode.text(raw, "peer_id"),
            text=decode.text(raw, "text"),
            created=float(raw["created"]),
            reply_to=decode.optional_integer(raw, "reply_to"),
            meta=decode.optional_obj(raw, "meta"),
            file=None if file is None else File.read(file),
            dispatch=raw.get("dispatch") is not False,
        )

    def fields(self) -> dict[str, Any]:
        """Of a frame or a body of JSON, without the receiver."""
        fields: dict[str, Any] = {"message_body": self.text, "client_ref": self.client_ref}
        if self.reply_to is not None:
            fields["reply_to"] = self.reply_to
        if self.meta is not None:
            fields["meta"] = self.meta
        return fields


@dataclass(frozen=True)
class Sent:
    """A send that is stored for good."""

    client_ref: str
    message_id: int
    thread: int
    created: str
    #: An earlier try had arrived.
    repeated: bool
