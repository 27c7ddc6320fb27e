"""What comes: once, in order, the newest counts."""

import asyncio

from .. import frames
from ..trial import check
from . import a_check


@a_check
async def resumes_at_the_cursor(trial):
    """It names the last cursor that it was given, and misses nothing."""
    world = trial.world
    connection = await trial.live()
    world.comes("one")
    connection.tell_newest()
    await trial.holds("one")
    connection.cut()
    world.comes("two")
    again = await trial.connection()
    check(again.after == world.cursor(1), f"it resumed after {again.after}")
    again.greet()
    await trial.holds("one", "two")
    trial.appeared_once("one", "two")


@a_check
async def repeated_frames(trial):
    """The same frames again, as an older cursor brings them: told once."""
    world = trial.world
    connection = await trial.live()
    for text in ("one", "two", "three"):
        world.comes(text)
        connection.tell_newest()
    await trial.holds("one", "two", "three")
    connection.send(*world.changes(0), *world.changes(1))
    connection.cut()
    again = await trial.connection()
    again.accept()
    hello, *_ = again.greeting()
    again.send(hello, *world.changes(0), again.live())
    world.comes("four")
    again.tell_newest()
    await trial.holds("one", "two", "three", "four")
    trial.appeared_once("one", "two", "three", "four")


@a_check
async def the_smaller_rev_is_old(trial):
    """A slow copy of before an edit comes after it."""
    world = trial.world
    connection = await trial.live()
    world.comes("before")
    connection.tell_newest()
    (old,) = world.changes(0)
    await trial.holds("before")
    world.edited(1, "after")
    connection.tell_newest()
    await trial.holds("after")
    connection.send({**old, "cursor": world.cursor()})
    world.comes("next")
    connection.tell_newest()
    await trial.holds("after", "next")


@a_check
async def a_thread_that_it_does_not_hold(trial):
    """A message of an unknown thread: `GET /v2/threads/{peer_id}`."""
    connection = await trial.live()
    trial.world.comes("hello, I am new")
    connection.tell_newest()
    await trial.request("GET", f"/v2/threads/{trial.world.peer}")
    await trial.holds("hello, I am new")


@a_check
async def what_it_does_not_know(trial):
    """Unknown actions, keys and a binary zero of an `error`: ignored, and the connection stays."""
    world = trial.world
    connection = await trial.live()
    connection.send({"action": "fireworks", "colour": "red"})
    message = world.comes("one")
    message["reactions"] = [{"emoji": "\U0001f600"}]
    message["attachment"] = None
    connection.tell_newest()
    connection.send({"action": "error", "ref": "nobody's", "code": "confetti", "message": ""})
    connection.send({"action": "ack", "ref": None})
    world.comes("two")
    connection.tell_newest()
    await trial.holds("one", "two")
    check(not connection.ended.is_set(), "it closed the connection")


async def _serve_all(trial, connection):
    while True:
        await connection.serve()
        connection = await trial.connection(60)
        connection.greet()


async def _reset(trial, reset):
    world = trial.world
    world.comes("kept")
    world.comes("lost")
    connection = await trial.live()
    world_cursor = world.cursor()
    world.comes("lost, too")
    connection.tell_newest()
    await trial.client.told("message", text="lost, too")
    connection.cut()
    world.restored(1)
    again = await trial.connection()
    again.accept()
    again.send(again.world.hello(again.after, resumed=False, reset=reset), again.live())
    world.comes("in its place")
    again.tell_newest()

    # Whether it keeps the connection or makes another is its own.
    serving = asyncio.create_task(_serve_all(trial, again))
    try:
        await trial.request("GET", "/v2/sync")
        await trial.holds("in its place")
        held = [message["message_id"] for message in (await trial.client.do("state"))["messages"]]
        check(held == [2], f"it holds {held}: the old copy was not thrown away")
    finally:
        serving.cancel()
    check(world_cursor != world.cursor(), "the kit did not restore")


@a_check
async def reset_epoch(trial):
    """The database was put back: ids are given again. The old copy goes, a snapshot comes."""
    await _reset(trial, "epoch")


@a_check
async def reset_unknown(trial):
    await _reset(trial, "unknown")


@a_check
async def the_outbox_outlives_a_reset(trial):
    """What was not acknowledged is sent to the database that was put back."""
    connection = await trial.live()
    ref = "0b5e0000-0000-4000-8000-00000000000a"
    await trial.send("mine", ref)
    await connection.frame("chat_message")
    connection.cut()
    trial.world.restored(0)
    again = await trial.connection()
    again.accept()
    again.send(trial.world.hello(again.after, resumed=False, reset="epoch"), again.live())
    # Whether it keeps the connection or makes another is its own.
    serving = asyncio.create_task(_serve_all(trial, again))
    try:
        await trial.client.told("sent", client_ref=ref)
        await trial.outbox_is_empty()
        check(ref in trial.world.sends, "it is not stored")
    finally:
        serving.cancel()


@a_check
async def far_behind(trial):
    """A hundred thousand changes were missed: a snapshot, not a catch-up."""
    world = trial.world
    connection = await trial.live()
    connection.cut()
    world.comes("the last of many")
    again = await trial.connection()
    trial.server.requests.clear()
    again.accept()
    again.send(world.hello(again.after, behind=100_000))
    await trial.request("GET", "/v2/sync")
    last = await trial.connection()
    check(last.after == world.cursor(), f"it came back after {last.after}")
    last.greet()
    await trial.holds("the last of many")


@a_check
async def unread_is_counted(trial):
    """The state's own count, plus messages above its `last_id`: whatever comes in which order."""
    world = trial.world
    for text in ("one", "two"):
        world.comes(text)
    connection = await trial.live()
    for text in ("three", "four"):
        world.comes(text)
        connection.tell_newest()
    # A state that was read late: it has counted what is still to come, and what came comes again.
    state = {**world.threads[world.peer], "rev": len(world.feed)}
    connection.send({"action": "thread", "cursor": world.cursor(), "thread": state})
    connection.send(*world.changes(2))
    world.comes("five")
    connection.tell_newest()
    await trial.client.told("message", text="five")
    unread = (await trial.client.do("state"))["unread"]
    check(unread == {world.peer: 5}, f"it counts {unread}, and 5 are unread")


@a_check
async def a_slow_answer_is_old(trial):
    """`GET /v2/threads/{peer_id}` was read before a receipt, and answered after its frame."""
    world = trial.world
    held = asyncio.Event()

    async def late(thread):
        await held.wait()
        return 200, thread

    def slowly(request):
        if request.path == f"/v2/threads/{world.peer}":
            return late(world.thread_object(world.peer))

    connection = await trial.live()
    trial.server.override = slowly
    world.comes("one")
    connection.tell_newest()
    await trial.request("GET", f"/v2/threads/{world.peer}")
    world.marked("seen", world.peer, 1)
    connection.tell_newest()
    await connection.has_read()
    held.set()
    await asyncio.sleep(0.2)
    world.comes("two")
    connection.tell_newest()
    await trial.client.told("message", text="two")
    unread = (await trial.client.do("state"))["unread"]
    check(unread == {world.peer: 1}, f"it counts {unread}, and 1 is unread")


@a_check
async def what_the_server_keeps_no_longer(trial):
    """`limits.retain_s`: the server has removed it without a word, and so does the client."""
    world = trial.world
    connection = await trial.live()
    # A minute before the server's clock.
    world.comes("old")
    connection.tell_newest()
    await trial.holds("old")
    connection.cut()
    world.limits["retain_s"] = 30
    (await trial.connection()).greet()
    await trial.holds()


@a_check
async def in_pieces_at_random(trial):
    """A long catch-up that breaks again and again: each message once, in order."""
    world = trial.world
    (await trial.live()).cut()
    texts = [f"message {number}" for number in range(60)]
    for text in texts:
        world.comes(text)
    connection = await trial.connection()
    cut_at = 130
    while True:
        told = [frames.text(value) for value in (*connection.greeting(), connection.live())]
        data = b"".join(told)
        connection.accept(data[:cut_at])
        if cut_at >= len(data):
            break
        await asyncio.sleep(0.01)
        connection.cut()
        cut_at += 4_000
        connection = await trial.connection()
    await trial.holds(*texts)
    trial.appeared_once(*texts)
