"""What a client tells its app."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from .errors import ChatError
from .model import Limits, Message, Presence, Thread, User
from .sends import Sent


class State(str, Enum):
    IDLE = "idle"
    CONNECTING = "connecting"
    SNAPSHOT = "snapshot"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    #: Comes back after a while.
    WAITING = "waiting"
    #: Comes back when `Client.wake` is called.
    AWAY = "away"
    SIGNED_OUT = "signed_out"
    CLOSED = "closed"


@dataclass(frozen=True)
class StateChanged:
    state: State
    reason: str = ""


@dataclass(frozen=True)
class Hello:
    user_id: str
    session_id: str
    resumed: bool
    reset: str | None
    behind: int
    limits: Limits


@dataclass(frozen=True)
class Live:
    """What was missed is through."""

    unread_total: int


@dataclass(frozen=True)
class Replaced:
    """The store was replaced by a snapshot: read it anew."""

    unread_total: int


@dataclass(frozen=True)
class MessageChanged:
    """A message appeared or changed. It is in the store already."""

    message: Message
    #: What the store had before.
    before: Message | None
    #: It first appeared after this client was last up to date.
    new: bool
    #: Worth a notification: new, of the peer, not held before, neither deleted nor hidden.
    ring: bool


@dataclass(frozen=True)
class ThreadChanged:
    thread: Thread
    before: Thread | None


@dataclass(frozen=True)
class SendSettled:
    """A send of the outbox is stored for good."""

    sent: Sent


@dataclass(frozen=True)
class SendRefused:
    """A send is given up: nothing of it is stored, unless `error` is `SendCancelled`."""

    client_ref: str
    peer_id: str
    error: ChatError


@dataclass(frozen=True)
class Typing:
    peer_id: str
    typing: bool


@dataclass(frozen=True)
class PresenceChanged:
    presence: Presence


@dataclass(frozen=True)
class UserChanged:
    user: User


Event: TypeAlias = (
    StateChanged
    | Hello
    | Live
    | Replaced
    | MessageChanged
    | ThreadChanged
    | SendSettled
    | SendRefused
    | Typing
    | PresenceChanged
    | UserChanged
)
