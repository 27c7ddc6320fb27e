"""Who is online. The list is of a connection, so each new one is told it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from . import decode
from .current import Current
from .errors import ConnectionLost, NoAnswer, ServerError
from .events import Event, PresenceChanged
from .link import Link
from .model import Presence
from .options import Options


class PresenceWatch:
    def __init__(self, current: Current, options: Options, tell: Callable[[Event], None]) -> None:
        self._current = current
        self._options = options
        self._tell = tell
        self._watched: list[str] = []
        self.states: dict[str, Presence] = {}

    async def watch(self, peer_ids: Sequence[str]) -> list[Presence]:
        """Replaces the list. Without a connection, it is told to the next one."""
        self._watched = list(dict.fromkeys(peer_ids))
        self.states = {id: state for id, state in self.states.items() if id in self._watched}
        link = self._current.link
        if link is None:
            return []
        return await self._ask(link)

    async def set(self, presence: Literal["peers", "nobody"]) -> None:
        link = self._current.require()
        frame = {"action": "presence_set", "presence": presence}
        await link.ask(frame, self._options.call_timeout)

    async def connected(self, link: Link) -> None:
        if not self._watched:
            return
        try:
            states = await self._ask(link)
        except (ConnectionLost, NoAnswer, ServerError):
            return
        for state in states:
            self._tell(PresenceChanged(state))

    async def _ask(self, link: Link) -> list[Presence]:
        frame = {"action": "presence_watch", "peer_ids": self._watched}
        ack = await link.ask(frame, self._options.call_timeout)
        states = [Presence.read(raw) for raw in decode.objects(ack, "states")]
        self.states.update({state.peer_id: state for state in states})
        return states

    def heard(self, presence: Presence) -> None:
        self.states[presence.peer_id] = presence
        self._tell(PresenceChanged(presence))
