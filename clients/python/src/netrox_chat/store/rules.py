"""Which of two copies counts."""

from __future__ import annotations

from dataclasses import replace

from ..model import Message, Thread, ThreadState

#: `unread` is not counted further.
MAX_UNREAD = 1000


def merge_message(held: Message | None, came: Message) -> Message | None:
    """None where nothing changes. Of equal revs the later answer counts."""
    if held is None:
        return came
    if came.rev < held.rev or came == held:
        return None
    return came


def merge_state(held: ThreadState, came: ThreadState) -> ThreadState:
    """Marks only grow, also those of an answer that had no `rev`."""
    if came.rev < held.rev:
        return held
    return came.marked(
        seen_id=held.seen_id,
        delivered_id=held.delivered_id,
        peer_seen_id=held.peer_seen_id,
        peer_delivered_id=held.peer_delivered_id,
    )


def merge_thread(held: Thread | None, came: Thread | ThreadState) -> Thread | None:
    """None where nothing changes. A user is as new as the answer that told them."""
    if isinstance(came, ThreadState):
        came = Thread(came)
    if held is None:
        return came
    merged = Thread(
        merge_state(held.state, came.state),
        came.peer or held.peer,
        came.created or held.created,
    )
    return None if merged == held else merged


def mark(held: Thread, seen_id: int, delivered_id: int) -> Thread:
    delivered_id = max(seen_id, delivered_id)
    return replace(held, state=held.state.marked(seen_id=seen_id, delivered_id=delivered_id))


def counts_as_unread(message: Message, state: ThreadState) -> bool:
    """Beside the `unread` of the state: count each time, never add up frames."""
    is_newer = message.thread == state.id and message.id > state.last_id
    return is_newer and message.sender_id == state.peer_id and not message.is_gone
