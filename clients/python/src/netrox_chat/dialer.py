"""Makes a connection: token or ticket, handshake, `hello`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from . import decode
from .api import Api
from .attempt import Attempts
from .events import Event, Hello
from .feed import Feed
from .link import Link, open_link
from .model import Limits
from .options import Options
from .outbox import Outbox
from .tokens import Tokens


class Dialer:
    def __init__(
        self,
        url: str,
        tokens: Tokens,
        api: Api,
        feed: Feed,
        attempts: Attempts,
        outbox: Outbox,
        options: Options,
        tell: Callable[[Event], None],
    ) -> None:
        self._url = url
        self._tokens = tokens
        self._api = api
        self._feed = feed
        self._attempts = attempts
        self._outbox = outbox
        self._options = options
        self._tell = tell
        #: The token of the last try.
        self.token: str | None = None
        #: What the server's clock is ahead of this one, in seconds.
        self.clock_offset = 0.0
        self.limits = Limits()

    async def dial(self, cursor: str | None) -> Link:
        """Raises `Refused`, `WrongUser`, or what the app's callback of tokens leads to."""
        self.token = await self._tokens.get()
        credentials = {}
        if self._options.use_tickets:
            credentials["ticket"] = await self._api.ticket()
            # It may have taken a new token.
            self.token = await self._tokens.get()
        link = await open_link(self._url, credentials, self.token, cursor, self._options)
        try:
            await self._greeted(link)
        except BaseException:
            await link.abandon()
            raise
        return link

    async def _greeted(self, link: Link) -> None:
        hello = link.hello
        user_id = decode.text(hello, "user_id")
        await self._feed.store.bind(user_id)
        self._feed.user_id = user_id
        self.limits = self._attempts.limits = Limits.read(decode.obj(hello, "limits"))
        self._set_clock(decode.text(hello, "time"))
        told = Hello(
            user_id,
            decode.text(hello, "session_id"),
            decode.boolean(hello, "resumed"),
            decode.optional_text(hello, "reset"),
            decode.optional_integer(hello, "behind") or 0,
            self.limits,
        )
        self._tell(told)
        if self.limits.retain_s is not None:
            await self._forget_old(self.limits.retain_s)

    def _set_clock(self, told: str) -> None:
        try:
            now = datetime.strptime(told, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        except ValueError:
            return
        self.clock_offset = now.timestamp() - time.time()

    def server_time(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self.clock_offset)

    async def _forget_old(self, retain_s: int) -> None:
        """The server has removed it without a word."""
        oldest = self.server_time() - timedelta(seconds=retain_s)
        await self._feed.store.expire(oldest.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        await self._outbox.expire(time.time() - retain_s)
