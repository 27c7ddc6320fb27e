"""What a client does after its connection ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class After(str, Enum):
    #: Comes back with backoff.
    BACKOFF = "backoff"
    #: Comes back after a random time of `drain_spread`.
    DRAIN = "drain"
    #: A bug or a flood of its own: backoff from `bug_backoff`.
    BUG = "bug"
    #: Comes back with a new token; without one it stays away.
    NEW_TOKEN = "new_token"
    #: Stays away until somebody calls it back.
    STAY_AWAY = "stay_away"
    #: Signs out, for good.
    SIGN_OUT = "sign_out"


@dataclass(frozen=True)
class End:
    """How a connection ended, as its client saw it."""

    #: The server's; None where there was no close frame of the server.
    code: int | None
    reason: str = ""
    #: A `hello` had come.
    was_greeted: bool = False
    #: Seconds that the server asked to wait, in a refusal by HTTP.
    retry_after_s: float | None = None
    #: The frame that the server sent was none of the protocol.
    is_violation: bool = False

    @property
    def after(self) -> After:
        code = self.code
        if self.is_violation:
            return After.BUG
        # Libraries make up the others: before `hello` they mean a refused handshake.
        if code is None or (code < 4000 and not self.was_greeted):
            return After.BACKOFF
        if code == 1001:
            return After.DRAIN
        if code in (1002, 1007, 1008, 1009):
            return After.BUG
        if code == 4401:
            return After.NEW_TOKEN
        if code == 4403:
            return After.SIGN_OUT
        if 4400 <= code < 4500:
            return After.STAY_AWAY
        return After.BACKOFF
