"""From the handshake to `live`."""

import asyncio

from .. import frames
from ..trial import at_scale, check
from . import a_check


@a_check
async def hello_in_the_segment_of_the_101(trial):
    """`hello`, what was missed and `live` come with the 101, before anybody has read it."""
    (await trial.live()).cut()
    connection = await trial.connection()
    trial.world.comes("one")
    told = [*connection.greeting(), connection.live()]
    connection.accept(b"".join(frames.text(value) for value in told))
    await trial.holds("one")


@a_check
async def one_byte_at_a_time(trial):
    """The first frames trickle in."""
    (await trial.live()).cut()
    connection = await trial.connection()
    trial.world.comes("one")
    told = [*connection.greeting(), connection.live()]
    connection.accept()
    data = b"".join(frames.text(value) for value in told)
    # The first 40, the rest in larger pieces.
    for at in [*range(40), *range(40, len(data), 100)]:
        connection.write(data[at : at + (1 if at < 40 else 100)])
        await asyncio.sleep(0.001)
    await trial.holds("one")


@a_check
async def the_largest_legal_frame(trial):
    """131,071 bytes."""
    connection = await trial.live()
    message = trial.world.comes("")
    bare = len(frames.text(trial.world.changes(len(trial.world.feed) - 1)[0])) - 4
    message["message"] = "\u00e4" + "x" * (131_071 - bare - 2 - 6)
    frame = frames.text(trial.world.changes(len(trial.world.feed) - 1)[0])
    check(131_000 < len(frame) - 10 < 131_072, f"the kit made {len(frame)} bytes")
    connection.write(frame)
    await trial.holds(message["message"])


@a_check
async def cut_at_each_step(trial):
    """Before the 101, in it, after it, in `hello`, after it, in a frame, after one."""
    world = trial.world
    # From here on it has a cursor.
    (await trial.live()).cut()

    async def before(connection):
        pass

    async def in_the_101(connection):
        connection.write(connection.head()[:30])

    async def after_the_101(connection):
        connection.accept()

    async def in_hello(connection):
        connection.accept(frames.text(world.hello(connection.after))[:40])

    async def after_hello(connection):
        connection.accept(frames.text(connection.greeting()[0]))

    async def in_a_frame(connection):
        told = [frames.text(value) for value in connection.greeting()]
        connection.accept(b"".join(told)[:-30])

    async def after_a_frame(connection):
        connection.accept(b"".join(frames.text(value) for value in connection.greeting()))

    texts = []
    for number, step in enumerate(
        (before, in_the_101, after_the_101, in_hello, after_hello, in_a_frame, after_a_frame)
    ):
        for reset in (False, True):
            connection = await trial.connection()
            for part in "ab":
                texts.append(f"{number}{part}{reset}")
                world.comes(texts[-1])
            await step(connection)
            await asyncio.sleep(0.01)
            connection.cut(reset)
    last = await trial.connection()
    last.greet()
    await trial.holds(*texts)
    trial.appeared_once(*texts)


@a_check
async def no_hello(trial):
    """The server accepts and says nothing: after 10 s the client leaves, and comes back."""
    await trial.start()
    connection = await trial.connection()
    connection.accept()
    began = asyncio.get_running_loop().time()
    again = await trial.connection()
    waited = asyncio.get_running_loop().time() - began
    check(waited >= at_scale(8), f"it left after {waited:.2f} s")
    check(connection.ended.is_set(), "it left the silent connection open")
    again.greet()
    await trial.client.told("state", state="live")


@a_check
async def a_server_of_the_first_generation(trial):
    """Its first frame is no `hello`."""
    await trial.start()
    connection = await trial.connection()
    connection.accept()
    connection.send({"action": "re_message", "message_body": "old", "created_msg_id": 1})
    again = await trial.connection()
    check(connection.ended.is_set(), "it stayed with a server of the first generation")
    again.greet()
    await trial.client.told("state", state="live")
    await trial.holds()


@a_check
async def of_another_user(trial):
    """`hello` names another user than the store's: a bug, and nothing of it may be stored."""
    trial.world.comes("mine")
    connection = await trial.live()
    connection.cut()
    other = await trial.connection()
    world = trial.world
    stranger = "0b5e0000-0000-4000-8000-000000000001"
    other.accept()
    greeting = other.greeting(user_id=stranger)
    world.comes("of another")
    other.send(*greeting, world.changes(len(world.feed) - 1)[0], other.live())
    # Whether it stays away or tries again is its own.
    await other.ended.wait()
    await trial.holds("mine")


@a_check
async def backs_off(trial):
    """A server that takes each connection and ends it: n is not 0 again at the open."""
    await trial.start()
    gaps, last = [], None
    for _ in range(9):
        connection = await trial.connection()
        if last is not None:
            gaps.append(connection.opened - last)
        connection.greet()
        await asyncio.sleep(0.02)
        last = asyncio.get_running_loop().time()
        connection.cut()
    # Full jitter: min(60 s, 0.5 s · 2^n) at most, half of that on average.
    limits = [at_scale(min(60, 0.5 * 2**n)) for n in range(len(gaps))]
    is_short = all(gap < limit + 1.0 for gap, limit in zip(gaps, limits))
    check(is_short, f"it waited {gaps}, at most {limits} is right")
    # One in several thousand correct clients draws four that are so short.
    check(sum(gaps[-4:]) > at_scale(6), f"it waited {gaps}: no backoff")
    check(len({round(gap, 3) for gap in gaps}) > 2, f"it waited {gaps}: no jitter")


@a_check
async def a_refused_handshake(trial):
    """503 with Retry-After, then 429, then all is well."""
    await trial.start()
    (await trial.connection()).refuse(503, Retry_After=1)
    began = asyncio.get_running_loop().time()
    (await trial.connection()).refuse(429)
    (await trial.connection()).greet()
    await trial.client.told("state", state="live")
    check(asyncio.get_running_loop().time() - began < 8, "it waited too long")
