"""The state machine: connects, serves, and comes back as the end of a connection says."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from . import decode
from .background import Background, log
from .backoff import Backoff
from .closing import After, End
from .current import Current
from .dialer import Dialer
from .errors import ChatError, ConnectionLost, InvalidToken, ServerError, SignedOut, StaysAway, WrongUser
from .events import Event, Live, Replaced, State
from .link import Link, Refused
from .options import Options
from .outbox import Outbox
from .presence import PresenceWatch
from .pump import Pump
from .snapshot import Snapshots
from .standing import Standing
from .tokens import Tokens


class Runner:
    def __init__(
        self,
        dialer: Dialer,
        snapshots: Snapshots,
        outbox: Outbox,
        current: Current,
        standing: Standing,
        tokens: Tokens,
        presence: PresenceWatch,
        background: Background,
        options: Options,
        tell: Callable[[Event], None],
        on_signed_out: Callable[[], Awaitable[None]],
    ) -> None:
        self._dialer = dialer
        self._snapshots = snapshots
        self._outbox = outbox
        self._current = current
        self._tokens = tokens
        self._presence = presence
        self._background = background
        self._options = options
        self._tell = tell
        self._on_signed_out = on_signed_out
        self.standing = standing
        self.pump: Pump
        #: As it is in the store.
        self.cursor: str | None = None
        self._backoff = Backoff(options.backoff_base, options.backoff_cap)
        self._live_since: float | None = None
        #: The last connection.
        self._served: Link | None = None
        self._refused_tokens = 0
        self._resets = 0
        self._signed_out = asyncio.Event()

    def wake(self) -> None:
        """Ends each wait. A connection that there is has to show that it lives."""
        link = self._current.link
        if link is None:
            self.standing.wake()
        else:
            self._background.start(self._look(link))

    async def _look(self, link: Link) -> None:
        if not await link.is_alive():
            self.standing.wake()
            link.drop()

    def sign_out(self) -> None:
        self._signed_out.set()

    async def run(self) -> None:
        """Until the user is signed out, or the task is cancelled."""
        going = asyncio.create_task(self._go())
        out = asyncio.create_task(self._signed_out.wait())
        try:
            await asyncio.wait({going, out}, return_when=asyncio.FIRST_COMPLETED)
            if going.done():
                going.result()
        finally:
            going.cancel()
            out.cancel()
            await asyncio.gather(going, out, return_exceptions=True)
            self._current.set(None)
        self.standing.failure = SignedOut("the user is deleted, or an operator ended the session")
        await self._on_signed_out()
        self.standing.set(State.SIGNED_OUT)

    async def _go(self) -> None:
        while True:
            self._live_since = None
            self._served = None
            try:
                link = await self._connect()
                end = await self._serve(link) if link is not None else None
            except Refused as refused:
                end = refused.end
            except (StaysAway, WrongUser) as error:
                await self._stay_away(error)
                continue
            except InvalidToken as error:
                # Of REST. The server says the same by 4401.
                self._dialer.token = self._tokens.current
                end = End(4401, str(error))
            except SignedOut:
                return
            except Exception as error:
                if not isinstance(error, (ChatError, OSError, sqlite3.Error)):
                    log.exception("a fault of this package: it comes back all the same")
                wait = error.retry_after_s if isinstance(error, ServerError) else None
                end = End(None, str(error), retry_after_s=wait)
            self._current.set(None)
            if end is not None and await self._recover(end):
                return

    async def _connect(self) -> Link | None:
        """None where a snapshot has to be taken first."""
        self.standing.begin()
        if self.cursor is None:
            self.standing.set(State.SNAPSHOT)
            self.cursor, unread = await self._snapshots.take()
            self._tell(Replaced(unread))
        self.standing.set(State.CONNECTING)
        link = await self._dialer.dial(self.cursor)
        self._refused_tokens = 0
        if not self._needs_snapshot(link):
            return link
        await self._background.start(self._goodbye(link, None))
        # A server that says so each time is not asked at once each time.
        self._resets += 1
        if self._resets > 1:
            await self.standing.wait(self._backoff.next(), "the cursor was refused again")
        return None

    def _needs_snapshot(self, link: Link) -> bool:
        reset = decode.optional_text(link.hello, "reset")
        behind = decode.optional_integer(link.hello, "behind") or 0
        is_needed = reset is not None or behind > self._options.far_behind
        if is_needed:
            self.cursor = None
        return is_needed

    # --- while it is connected ---

    def _adopt(self, link: Link) -> tuple[asyncio.Task[None], asyncio.Future[float]]:
        reconnect: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        pump = self._background.start(self.pump.run(link, reconnect))
        self._current.set(link)
        self._served = link
        self._background.start(self._presence.connected(link))
        return pump, reconnect

    async def _serve(self, link: Link) -> End | None:
        """How it ended; None where a snapshot has to be taken."""
        pump, reconnect = self._adopt(link)
        retired: list[asyncio.Task[None]] = []
        try:
            if not link.is_live:
                self.standing.set(State.CATCHING_UP)
            while True:
                either: set[asyncio.Future[Any]] = {pump, reconnect}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if pump.done():
                    return await link.end
                told = asyncio.get_running_loop().time()
                await asyncio.wait({pump}, timeout=reconnect.result())
                if pump.done():
                    # As told, also where it ended before.
                    passed = asyncio.get_running_loop().time() - told
                    await self.standing.wait(max(reconnect.result() - passed, 0.0), "the server drains")
                    return None
                try:
                    next_link = await self._dialer.dial(self.cursor)
                except (Refused, ChatError, OSError) as error:
                    log.info("no other connection yet: %s", error)
                    await asyncio.wait({pump})
                    return await link.end
                if self._needs_snapshot(next_link):
                    await asyncio.gather(self._goodbye(next_link, None), self._goodbye(link, pump))
                    # What the old one brought meanwhile does not make the store whole.
                    self.cursor = None
                    return None
                next_pump, reconnect = self._adopt(next_link)
                # The old one serves until the new one is up to date.
                await self._until_live(next_link, pump)
                retired.append(self._background.start(self._goodbye(link, pump)))
                link, pump = next_link, next_pump
        finally:
            await asyncio.gather(*retired, return_exceptions=True)
            if not link.end.done():
                await self._background.start(self._goodbye(link, pump))

    async def _until_live(self, link: Link, old: asyncio.Task[None]) -> None:
        while not link.is_live and not link.end.done() and not old.done():
            changed = asyncio.create_task(link.went_live.wait())
            either: set[asyncio.Future[Any]] = {changed, old, link.end}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()

    async def _goodbye(self, link: Link, pump: asyncio.Task[None] | None) -> None:
        """Closes it. What came before its end is stored."""
        try:
            await asyncio.wait_for(link.close(), self._options.close_timeout * 2)
        except asyncio.TimeoutError:
            link.drop()
        if pump is not None:
            await asyncio.wait({pump})
        await link.abandon()

    def went_live(self, link: Link, unread_total: int) -> None:
        if link is self._current.link:
            self._live_since = asyncio.get_running_loop().time()
            self._resets = 0
            self.standing.set(State.LIVE)
        self._tell(Live(unread_total))

    def token_expires(self, link: Link) -> None:
        self._background.start(self._refresh(link))

    async def _refresh(self, link: Link) -> None:
        try:
            token = await self._tokens.other_than(link.token)
            frame = {"action": "token_refresh", "token": token}
            await link.ask(frame, self._options.call_timeout)
        except (ChatError, ConnectionLost) as error:
            # The close that comes will ask for one again.
            log.warning("the token of the connection is not refreshed: %s", error)
            return
        link.token = token

    # --- when it is not ---

    async def _recover(self, end: End) -> bool:
        """Waits as the end says. True where it is for good."""
        after, link = end.after, self._served
        if after is After.SIGN_OUT:
            return True
        lived = self._live_since
        now = asyncio.get_running_loop().time()
        if lived is not None and now - lived >= self._options.steady:
            self._backoff.reset()
        reason = f"{end.code or ''} {end.reason}".strip()
        if after is After.STAY_AWAY:
            await self._stay_away(StaysAway(reason))
        elif after is After.NEW_TOKEN:
            await self._renew(link, reason, end.retry_after_s)
        elif after is After.DRAIN:
            await self.standing.wait(random.uniform(0.0, self._options.drain_spread), reason)
        else:
            is_bug = after is After.BUG
            if is_bug and link is not None and end.code is not None:
                await self._outbox.blame(link, end.code)
            wait = self._backoff.next(self._options.bug_backoff if is_bug else 0.0)
            await self.standing.wait(max(wait, end.retry_after_s or 0.0), reason)
        return False

    async def _renew(self, link: Link | None, reason: str, retry_after: float | None) -> None:
        try:
            await self._tokens.other_than(self._dialer.token if link is None else link.token)
        except StaysAway as error:
            await self._stay_away(error)
            return
        self._refused_tokens += 1
        if self._refused_tokens > 1:
            # The server counts these: one at once, others later.
            await self.standing.wait(max(self._backoff.next(), retry_after or 0.0), reason)

    async def _stay_away(self, error: ChatError) -> None:
        """Until somebody calls `wake`."""
        self._tokens.forget()
        await self.standing.stay_away(error)
        self._backoff.reset()
