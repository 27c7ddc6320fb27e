"""What can go wrong, one class for each answer of a client to it."""

from __future__ import annotations


class ChatError(Exception):
    """All that this package raises."""


class NotConnected(ChatError):
    """A signal that only a live connection takes, and there is none. Nothing was sent."""


class ConnectionLost(ChatError):
    """The connection ended before the answer. What was asked may have happened."""


class NoAnswer(ChatError):
    """The server did not answer in time. What was asked may have happened."""


class ProtocolViolation(ChatError):
    """The server sent what the protocol does not have."""


class WrongUser(ChatError):
    """The store is of another user than the token."""


class SignedOut(ChatError):
    """The user is deleted, or an operator has ended the session."""


class StaysAway(ChatError):
    """The client does not come back by itself: `reason` says why, `Client.wake` ends it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Closed(ChatError):
    """The client was closed. Sends stay in the outbox of its store."""


class SendCancelled(ChatError):
    """The app gave the send up. It may be stored nevertheless."""


class ServerError(ChatError):
    """A refusal of the server, with the code of the protocol."""

    #: The same again, with the same `client_ref`, may get another answer.
    may_repeat = False

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        reset: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        #: Of REST; None where the refusal came over the WebSocket.
        self.status = status
        self.retry_after_s = retry_after_s
        #: Of a 410: "epoch" or "unknown".
        self.reset = reset


class InvalidRequest(ServerError):
    """A bug of who calls: `invalid_json`, `unknown_action`, `invalid_field` and their like."""


class MessageTooLarge(InvalidRequest):
    """A text, file or frame is over a limit."""


class InvalidReceiver(ServerError):
    """Nobody who could receive it: unknown, deleted, malformed, or oneself."""


class NotFound(ServerError):
    """Not there, or not visible to this user."""


class NotAllowed(ServerError):
    """Not this user's right."""


class TooLate(ServerError):
    """The window is over, or the message is deleted."""


class Expired(ServerError):
    """The send is older than the server keeps messages; it was given up by the client."""


class RateLimited(ServerError):
    """`retry_after_s` says when the same may be tried again."""

    may_repeat = True


class Unavailable(ServerError):
    """`unavailable`, `outcome_unknown`, `internal`: it may have happened."""

    may_repeat = True


class InvalidToken(ServerError):
    """The token is missing, bad, expired or revoked."""


class UserDeleted(ServerError):
    """The user of the token is deleted."""


class Reset(ServerError):
    """The cursor is no place to go on from: take a snapshot."""


class NotEnabled(ServerError):
    """The operator has not switched this on."""


class UnknownRefusal(ServerError):
    """A code of a newer server. Its status says whether it is final; a frame has none."""

    @property
    def is_final(self) -> bool:
        return self.status is not None and 400 <= self.status < 500


_BY_CODE: dict[str, type[ServerError]] = {
    "invalid_json": InvalidRequest,
    "unknown_action": InvalidRequest,
    "invalid_field": InvalidRequest,
    "method_not_allowed": InvalidRequest,
    "unsupported_media_type": InvalidRequest,
    "message_too_large": MessageTooLarge,
    "invalid_receiver": InvalidReceiver,
    "not_found": NotFound,
    "not_allowed": NotAllowed,
    "too_late": TooLate,
    "rate_limited": RateLimited,
    "unavailable": Unavailable,
    "outcome_unknown": Unavailable,
    "internal": Unavailable,
    "invalid_token": InvalidToken,
    "user_deleted": UserDeleted,
    "reset": Reset,
    "not_enabled": NotEnabled,
}

# Where a proxy answered, not the server: there is no code.
_BY_STATUS: dict[int, str] = {401: "invalid_token", 413: "message_too_large", 429: "rate_limited"}


def refusal(
    code: str | None,
    message: str = "",
    *,
    status: int | None = None,
    retry_after_s: float | None = None,
    reset: str | None = None,
) -> ServerError:
    """The error of a code; of a status where there is none."""
    if code is None:
        fallback = "unavailable" if status is None or status >= 500 else f"status_{status}"
        code = _BY_STATUS.get(status or 0, fallback)
    kind = _BY_CODE.get(code, UnknownRefusal)
    if kind is UnknownRefusal and status is not None and status >= 500:
        kind = Unavailable
    return kind(code, message, status=status, retry_after_s=retry_after_s, reset=reset)
