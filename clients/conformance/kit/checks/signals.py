"""Receipts, typing, presence."""

import asyncio
import json

from ..trial import at_scale, check
from . import a_check


@a_check
async def receipts_become_one(trial):
    """Fifty marks in a moment: few frames, and the last mark."""
    world = trial.world
    for number in range(50):
        world.comes(f"message {number}")
    connection = await trial.live()
    for up_to in range(1, 51):
        await trial.client.do("seen", peer_id=world.peer, up_to=up_to)
    count = 0
    while True:
        frame = await connection.frame("seen")
        count += 1
        connection.serve_one(frame)
        if frame["up_to"] == 50:
            break
    check(count <= 10, f"{count} frames for 50 marks")


@a_check
async def a_lost_receipt_is_told_again(trial):
    world = trial.world
    world.comes("one")
    connection = await trial.live()
    await trial.client.do("seen", peer_id=world.peer, up_to=1)
    await connection.frame("seen")
    connection.cut()
    again = await trial.connection()
    again.greet()
    frame = await again.frame("seen")
    check((frame["peer_id"], frame["up_to"]) == (world.peer, 1), f"it told {frame}")


@a_check
async def typing_ends_by_itself(trial):
    """6 s after the last word of it, or with the next message of that peer."""
    world = trial.world
    connection = await trial.live()
    connection.send({"action": "typing", "peer_id": world.peer, "typing": True})
    await trial.client.told("typing", peer_id=world.peer, typing=True)
    await trial.client.told("typing", peer_id=world.peer, typing=False)
    trial.client.events.clear()
    connection.send({"action": "typing", "peer_id": world.peer, "typing": True})
    await trial.client.told("typing", peer_id=world.peer, typing=True)
    world.comes("here it is")
    connection.tell_newest()
    await trial.client.told("message", text="here it is")
    # Whichever of the two is told first.
    await trial.client.do("state")
    check(trial.client.of("typing", typing=False), "the message did not end typing")


@a_check
async def typing_is_repeated(trial):
    """Every 4 s, until it is over."""
    connection = await trial.live()
    await trial.client.do("typing", peer_id=trial.world.peer, typing=True)
    times = []
    for _ in range(3):
        frame = await connection.frame("typing")
        check(frame["typing"] is True, "it ended too early")
        times.append(asyncio.get_running_loop().time())
    check(times[2] - times[0] > at_scale(6), "it is told too often")
    await trial.client.do("typing", peer_id=trial.world.peer, typing=False)
    while (await connection.frame("typing"))["typing"]:
        pass


@a_check
async def presence_is_watched_again(trial):
    """The list is of a connection: the next one is told it, too."""
    connection = await trial.live()
    await trial.client.do("watch", peer_ids=[trial.world.peer])
    frame = await connection.frame("presence_watch")
    check(frame["peer_ids"] == [trial.world.peer], f"it watches {frame}")
    connection.serve_one(frame)
    told = {"action": "presence", "peer_id": trial.world.peer, "online": False, "last_seen": None}
    connection.send(told)
    await trial.client.told("presence", peer_id=trial.world.peer, online=False)
    connection.cut()
    again = await trial.connection()
    again.greet()
    frame = await again.frame("presence_watch")
    check(json.dumps(frame["peer_ids"]) == json.dumps([trial.world.peer]), f"it watches {frame}")
