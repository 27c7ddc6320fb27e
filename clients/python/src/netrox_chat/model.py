"""The objects of the protocol. `raw` has each as it came, with keys that this package does not know."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from . import decode
from .decode import Json


@dataclass(frozen=True)
class User:
    id: str
    email: str | None
    profile: Any

    @classmethod
    def read(cls, raw: Json) -> User:
        id = decode.text(raw, "id")
        return cls(id, decode.optional_text(raw, "email"), raw.get("profile"))

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "email": self.email, "profile": self.profile}


@dataclass(frozen=True)
class Attachment:
    #: A path on the server.
    url: str
    name: str
    size: int
    content_type: str

    @classmethod
    def read(cls, raw: Json) -> Attachment:
        return cls(
            decode.text(raw, "url"),
            decode.text(raw, "name"),
            decode.integer(raw, "size"),
            decode.text(raw, "content_type"),
        )


@dataclass(frozen=True)
class Message:
    id: int
    thread: int
    sender_id: str
    receiver_id: str
    text: str
    created: str
    updated: str
    deleted: bool
    hidden: bool
    reply_to: int | None
    meta: Json | None
    dispatched: str | None
    attachment: Attachment | None
    client_ref: str | None
    rev: int
    raw: Json = field(repr=False, default_factory=dict, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Message:
        attachment = decode.optional_obj(raw, "attachment")
        client_ref = decode.optional_text(raw, "client_ref")
        return cls(
            id=decode.integer(raw, "id"),
            thread=decode.integer(raw, "thread"),
            sender_id=decode.text(raw, "sender_id"),
            receiver_id=decode.text(raw, "receiver_id"),
            text=decode.text(raw, "message"),
            created=decode.text(raw, "created"),
            updated=decode.text(raw, "updated"),
            deleted=decode.boolean(raw, "deleted"),
            hidden=decode.boolean(raw, "hidden"),
            reply_to=decode.optional_integer(raw, "reply_to"),
            meta=decode.optional_obj(raw, "meta"),
            dispatched=decode.optional_text(raw, "dispatched"),
            attachment=None if attachment is None else Attachment.read(attachment),
            client_ref=None if client_ref is None else client_ref.lower(),
            rev=decode.integer(raw, "rev"),
            raw=raw,
        )

    @property
    def is_gone(self) -> bool:
        """Deleted for both or hidden for this user."""
        return self.deleted or self.hidden

    def peer_of(self, user_id: str) -> str:
        return self.receiver_id if self.sender_id == user_id else self.sender_id


@dataclass(frozen=True)
class ThreadState:
    id: int
    peer_id: str
    last_id: int
    unread: int
    seen_id: int
    delivered_id: int
    peer_seen_id: int
    peer_delivered_id: int
    blocked: bool
    rev: int
    raw: Json = field(repr=False, default_factory=dict, compare=False)

    @classmethod
    def read(cls, raw: Json) -> ThreadState:
        return cls(
            id=decode.integer(raw, "id"),
            peer_id=decode.text(raw, "peer_id"),
            last_id=decode.integer(raw, "last_id"),
            unread=decode.integer(raw, "unread"),
            seen_id=decode.integer(raw, "seen_id"),
            delivered_id=decode.integer(raw, "delivered_id"),
            peer_seen_id=decode.integer(raw, "peer_seen_id"),
            peer_delivered_id=decode.integer(raw, "peer_delivered_id"),
            blocked=decode.boolean(raw, "blocked"),
            rev=decode.integer(raw, "rev"),
            raw=raw,
        )

    def marked(self, **marks: int) -> ThreadState:
        """With marks that are not lower than those held: they never go back."""
        greater = {name: max(mark, getattr(self, name)) for name, mark in marks.items()}
        return replace(self, raw={**self.raw, **greater}, **greater)

    def to_json(self) -> dict[str, Any]:
        return dict(self.raw)


@dataclass(frozen=True)
class Thread:
    """A thread state, and what only a list or a snapshot tells: None until one did."""

    state: ThreadState
    peer: User | None = None
    created: str | None = None

    @property
    def id(self) -> int:
        return self.state.id

    @property
    def peer_id(self) -> str:
        return self.state.peer_id

    @classmethod
    def read(cls, raw: Json) -> tuple[Thread, Message | None]:
        peer = decode.optional_obj(raw, "peer")
        last = decode.optional_obj(raw, "last_message")
        apart = ("peer", "created", "last_message")
        state = {key: value for key, value in raw.items() if key not in apart}
        thread = cls(
            ThreadState.read(state),
            None if peer is None else User.read(peer),
            decode.optional_text(raw, "created"),
        )
        return thread, None if last is None else Message.read(last)


@dataclass(frozen=True)
class Limits:
    """Of the server. Windows and `retain_s` are None where they never end."""

    max_body_bytes: int = 16_384
    max_frame_bytes: int = 65_536
    max_server_frame_bytes: int = 131_072
    max_attachment_bytes: int = 26_214_400
    max_meta_bytes: int = 4_096
    edit_window_s: int | None = None
    delete_window_s: int | None = None
    retain_s: int | None = None
    ping_interval_s: int = 25
    search: bool = False

    @classmethod
    def read(cls, raw: Json) -> Limits:
        known: dict[str, Any] = {}
        for name, standard in cls.__dataclass_fields__.items():
            value = raw.get(name, standard.default)
            is_number = isinstance(value, int) or value is None
            known[name] = value if is_number else standard.default
        return cls(**known)


@dataclass(frozen=True)
class Presence:
    peer_id: str
    online: bool
    #: To the minute; None where hidden or never.
    last_seen: str | None

    @classmethod
    def read(cls, raw: Json) -> Presence:
        last_seen = decode.optional_text(raw, "last_seen")
        return cls(decode.text(raw, "peer_id"), decode.boolean(raw, "online"), last_seen)


@dataclass(frozen=True)
class Block:
    peer_id: str
    created: str

    @classmethod
    def read(cls, raw: Json) -> Block:
        return cls(decode.text(raw, "peer_id"), decode.text(raw, "created"))


@dataclass(frozen=True)
class Me:
    user: User
    presence: str | None
    unread_total: int
    limits: Limits

    @classmethod
    def read(cls, raw: Json) -> Me:
        return cls(
            User.read(decode.obj(raw, "user")),
            decode.optional_text(raw, "presence"),
            decode.integer(raw, "unread_total"),
            Limits.read(decode.obj(raw, "limits")),
        )
