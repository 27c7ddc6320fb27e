"""Access tokens, by a callback of the app."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from .errors import StaysAway

#: Gives a token. Called at first, and when the last one was refused or expires.
TokenSource = Callable[[], "str | Awaitable[str]"]


class Tokens:
    """The token of now. However many ask for another at a time, the app is asked once."""

    def __init__(self, source: str | TokenSource) -> None:
        self._source = source
        self._token: str | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        return await self.other_than(None)

    async def other_than(self, refused: str | None) -> str:
        """A token that is not the refused one. Raises `StaysAway` where the app has no other."""
        async with self._lock:
            if self._token is not None and self._token != refused:
                return self._token
            token = await self._ask()
            if token == refused:
                raise StaysAway("the token was refused, and there is no other")
            self._token = token
            return token

    @property
    def current(self) -> str | None:
        """The last one that the app gave."""
        return self._token

    def forget(self) -> None:
        """The app is asked again, and may give the same one."""
        self._token = None

    async def _ask(self) -> str:
        if isinstance(self._source, str):
            return self._source
        try:
            token = self._source()
            if inspect.isawaitable(token):
                token = await token
        except Exception as error:
            raise StaysAway(f"no token: {error}") from error
        return token
