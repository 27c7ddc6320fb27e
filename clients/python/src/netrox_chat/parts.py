"""The parts of a client, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .api import Api
from .attempt import Attempts
from .background import Background
from .current import Current
from .dialer import Dialer
from .feed import Feed
from .options import Options
from .outbox import Outbox
from .presence import PresenceWatch
from .pump import Pump
from .receipts import Receipts
from .rest import Rest
from .runner import Runner
from .snapshot import Snapshots
from .standing import Standing
from .store import Store
from .subscriptions import Subscriptions
from .tokens import Tokens, TokenSource
from .typing_signals import TypingSignals

_SOCKET_PATH = "/ws/chat/room/"


class Parts:
    def __init__(
        self,
        url: str,
        token: str | TokenSource,
        store: Store,
        options: Options,
        on_signed_out: Callable[[], Awaitable[None]],
    ) -> None:
        url = url.rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise ValueError("the url has to begin with http:// or https://")
        self.readers = Subscriptions(options.max_events)
        tell = self.readers.tell
        self.background = Background()
        self.current = Current()
        self.standing = Standing(self.current, tell)
        tokens = Tokens(token)
        self.rest = Rest(url, tokens, options)
        self.feed = Feed(store, tell)
        self.api = Api(self.rest, self.feed)
        self.snapshots = Snapshots(self.rest, self.feed, options)
        attempts = Attempts(self.current, self.rest, store, options)
        self.outbox = Outbox(store, self.current, attempts, tokens, options, tell, self._sign_out)
        self.feed.on_settled = self.outbox.came
        self.receipts = Receipts(self.current, store, options)
        self.typing = TypingSignals(self.current, options, tell)
        self.presence = PresenceWatch(self.current, options, tell)
        self.dialer = Dialer(
            f"ws{url[len('http') :]}{_SOCKET_PATH}",
            tokens,
            self.api,
            self.feed,
            attempts,
            self.outbox,
            options,
            tell,
        )
        self.runner = Runner(
            self.dialer,
            self.snapshots,
            self.outbox,
            self.current,
            self.standing,
            tokens,
            self.presence,
            self.background,
            options,
            tell,
            on_signed_out,
        )
        self.runner.pump = Pump(
            self.feed,
            self.readers,
            self.typing,
            self.presence,
            self._stored,
            self.runner.went_live,
            self.runner.token_expires,
        )

    def _stored(self, cursor: str) -> None:
        self.runner.cursor = cursor

    def _sign_out(self) -> None:
        self.runner.sign_out()
