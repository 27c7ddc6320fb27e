"""What a store has to do. Each method is one transaction: after a crash all of it is there, or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..model import Message, Thread, ThreadState, User
from ..sends import Send

#: Of the feed or of an answer. A thread state is merged into the thread held.
Change: TypeAlias = Message | ThreadState | Thread


@dataclass(frozen=True)
class Changed:
    """What a change made of an object. What was old or the same is not told."""

    before: Message | Thread | None
    after: Message | Thread


@dataclass
class Applied:
    changed: list[Changed] = field(default_factory=list)
    #: Sends of the outbox whose message came.
    settled: list[tuple[Send, Message]] = field(default_factory=list)


@dataclass(frozen=True)
class Saved:
    """What an earlier run left."""

    user_id: str | None
    cursor: str | None
    #: In the order in which they were written down.
    outbox: list[Send]


class Store(ABC):
    """One for each user."""

    @abstractmethod
    async def open(self) -> Saved: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def bind(self, user_id: str) -> None:
        """Whose it is. Raises `WrongUser` if it is another's."""

    @abstractmethod
    async def apply(self, changes: Sequence[Change], cursor: str | None = None) -> Applied:
        """Upserts in this order by the rules of `rev`, settles sends, keeps the cursor after it."""

    @abstractmethod
    async def replace(self, changes: Sequence[Change], cursor: str) -> Applied:
        """A snapshot: all else but the outbox is removed."""

    @abstractmethod
    async def mark(self, peer_id: str, *, seen_id: int = 0, delivered_id: int = 0) -> None:
        """Marks that an answer told. They never go back."""

    @abstractmethod
    async def know(self, user: User) -> None:
        """The newest of a peer's profile."""

    @abstractmethod
    async def expire(self, before: str) -> None:
        """Removes messages created before a time: the server has removed them, too."""

    @abstractmethod
    async def wipe(self) -> None:
        """Removes all, the outbox as well."""

    @abstractmethod
    async def message(self, message_id: int) -> Message | None: ...

    @abstractmethod
    async def messages(
        self, peer_id: str, *, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        """Newest first, without hidden ones."""

    @abstractmethod
    async def thread(self, peer_id: str) -> Thread | None: ...

    @abstractmethod
    async def threads(self) -> list[Thread]:
        """The most recently active first."""

    @abstractmethod
    async def strangers(self) -> list[str]:
        """Peers of whom there are messages or a state, but no thread that told who they are."""

    @abstractmethod
    async def unread(self, peer_id: str) -> int:
        """0 to 1000 (1000: or more)."""

    @abstractmethod
    async def add_send(self, send: Send, content: bytes | None = None) -> bool:
        """Writes it down, behind all others. False where the reference is there already."""

    @abstractmethod
    async def change_send(self, send: Send) -> None: ...

    @abstractmethod
    async def drop_send(self, client_ref: str) -> bool:
        """False where it was not there."""

    @abstractmethod
    async def content(self, client_ref: str) -> bytes | None:
        """The bytes of a file that were given to `add_send`."""
