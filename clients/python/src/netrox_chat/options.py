"""What can be set, with units and defaults."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Options:
    """Times are seconds. The defaults are those of the protocol."""

    #: Close and come back where there is no `hello` after this.
    hello_timeout: float = 10.0
    #: Of TCP, TLS and the handshake together.
    open_timeout: float = 15.0
    #: Without any frame for so long, ask by `ping`.
    silence: float = 30.0
    #: Without any frame for so long after it, drop the connection.
    ping_timeout: float = 15.0
    #: How long a closed connection may take to end.
    close_timeout: float = 5.0
    #: A wait is a random time up to min(`backoff_cap`, `backoff_base` · 2^n).
    backoff_base: float = 0.5
    backoff_cap: float = 60.0
    #: n is 0 again so long after a `live`.
    steady: float = 30.0
    #: The least wait after a close that a bug or flood of one's own caused.
    bug_backoff: float = 30.0
    #: After a 1001 without `reconnect`: a random time up to this.
    drain_spread: float = 5.0
    #: More missed changes than this: a snapshot instead of a catch-up.
    far_behind: int = 5_000
    #: Threads of a snapshot: 1 to 200.
    snapshot_threads: int = 200
    #: A send without an answer for so long is tried again, by REST.
    answer_timeout: float = 30.0
    #: All tries of a call that is no send.
    call_timeout: float = 30.0
    #: Between two bytes of an answer of REST.
    read_timeout: float = 30.0
    #: Sends under way at a time, over all threads; one a thread.
    max_under_way: int = 64
    #: Marks wait so long, and become one a thread.
    receipt_delay: float = 0.25
    #: Tell that messages have reached this device.
    auto_delivered: bool = True
    #: `typing` is repeated as often.
    typing_repeat: float = 4.0
    #: A peer types for so long after the last word of it.
    typing_expiry: float = 6.0
    #: Events that wait for one reader of `Client.events`; the server waits when they are too many.
    max_events: int = 10_000
    #: Largest frame that is taken, in bytes.
    max_frame_bytes: int = 1_048_576
    #: Buy a ticket for each connection, so that the token stays out of the handshake.
    use_tickets: bool = False
    #: Remove all that the store has of a user who is signed out by the server.
    wipe_on_sign_out: bool = True
    #: Of `wss:` and `https:`; None: that of the system.
    tls: ssl.SSLContext | None = None
    #: Use proxies that the environment names.
    trust_env: bool = True
    user_agent: str = "netrox-chat-python"

    def scaled(self, factor: float) -> Options:
        """With all times multiplied: for tests."""
        times: dict[str, Any] = {
            field.name: getattr(self, field.name) * factor
            for field in fields(self)
            if field.type == "float"
        }
        return replace(self, **times)
