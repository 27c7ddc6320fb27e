"""A connection that lives: silence, and the change from one to the next."""

import asyncio

from ..trial import at_scale, check
from . import a_check


@a_check
async def hangs_without_closing(trial):
    """Nothing comes any more, and nobody closes: `ping` after 30 s, gone 15 s later."""
    connection = await trial.live()
    connection.hang()
    began = asyncio.get_running_loop().time()
    trial.world.comes("meanwhile")
    again = await trial.connection(within=at_scale(120))
    waited = asyncio.get_running_loop().time() - began
    check(waited > at_scale(15), f"it left after {waited:.2f} s")
    again.greet()
    await trial.holds("meanwhile")


@a_check
async def a_quiet_server_is_not_left(trial):
    """It answers each `ping`, and says nothing else."""
    connection = await trial.live()
    serving = asyncio.create_task(connection.serve())
    await trial.stays_away(at_scale(75))
    check(not connection.ended.is_set(), "it left a server that answers")
    serving.cancel()


@a_check
async def reconnects_as_told(trial):
    """`reconnect`: after that time a new connection, then the old one is closed, and serves till then."""
    world = trial.world
    old = await trial.live()
    told = asyncio.get_running_loop().time()
    old.send({"action": "reconnect", "after_ms": 300})
    world.comes("before")
    old.tell_newest()
    new = await trial.connection()
    check(new.opened - told > 0.25, "it did not wait as it was told")
    check(not old.ended.is_set(), "it closed the old one first")
    world.comes("between")
    old.tell_newest()
    await trial.client.told("message", text="between")
    new.greet()
    world.comes("after")
    new.tell_newest()
    await asyncio.wait_for(old.ended.wait(), 5)
    await trial.holds("before", "between", "after")
    trial.appeared_once("before", "between", "after")
    await trial.send("hello", "0b5e0000-0000-4000-8000-00000000000d")
    new.ack_send(await new.frame("chat_message"))
    await trial.outbox_is_empty()


@a_check
async def never_two_connections(trial):
    """But while it reconnects as told."""
    await trial.start()
    for number in range(5):
        connection = await trial.connection()
        open_ones = [c for c in trial.server.connections[:-1] if not c.ended.is_set()]
        check(not open_ones, f"{len(open_ones)} others are open at connection {number}")
        connection.greet()
        await asyncio.sleep(0.03)
        # The server says goodbye, and waits for the client's.
        connection.close(1013)


@a_check
async def wakes_at_once(trial):
    """The system tells of a new network in the middle of a long wait."""
    # 30 s are 15.
    connection = await trial.live(scale=0.5)
    connection.close(1008)
    await connection.ended.wait()
    await trial.stays_away(0.5)
    await trial.client.do("wake")
    await trial.connection()


@a_check
async def refreshes_its_token(trial):
    """`token_expiring`: a new token, told on the same connection."""
    tokens = ["token-1", "token-2"]
    trial.client.tokens = lambda: tokens.pop(0) if tokens else None
    connection = await trial.live()
    connection.send({"action": "token_expiring", "in_s": 60})
    frame = await connection.frame("token_refresh")
    check(frame["token"] == "token-2", f"it told {frame['token']}")
    connection.ack(frame, expires="2026-01-01T01:00:00.000000Z")
    connection.cut()
    again = await trial.connection()
    check(again.token == "token-2", f"it came back with {again.token}")
