"""Where the client stands, and its waits, which `wake` ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .current import Current
from .errors import ChatError
from .events import Event, State, StateChanged


class Standing:
    def __init__(self, current: Current, tell: Callable[[Event], None]) -> None:
        self.state = State.IDLE
        #: Why it stays away, or is signed out.
        self.failure: ChatError | None = None
        #: Set, and replaced, at each change.
        self.changed = asyncio.Event()
        self._current = current
        self._tell = tell
        self._woken = asyncio.Event()

    def set(self, state: State, reason: str = "") -> None:
        if state is not self.state:
            self.state = state
            self._tell(StateChanged(state, reason))
            self.changed.set()
            self.changed = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    def begin(self) -> None:
        """Forgets who woke it before."""
        self._woken.clear()

    async def wait(self, seconds: float, reason: str) -> None:
        self._current.set(None)
        if seconds <= 0:
            return
        self.set(State.WAITING, reason)
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def stay_away(self, error: ChatError) -> None:
        """Until somebody wakes it."""
        self._current.set(None)
        self.failure = error
        self.set(State.AWAY, str(error))
        await self._woken.wait()
        self.failure = None
