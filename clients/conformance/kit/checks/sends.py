"""What the client sends: once, in order, until it is known to be stored."""

import asyncio

from ..server import problem
from ..trial import check
from . import a_check

REFS = [f"0b5e0000-0000-4000-8000-0000000000{number:02x}" for number in range(1, 100)]


@a_check
async def the_answer_is_lost(trial):
    """Stored, and cut before the ack: the same `client_ref` again, stored once."""
    connection = await trial.live()
    await trial.send("hello", REFS[0])
    frame = await connection.frame("chat_message")
    trial.world.store(frame)
    trial.world.feed.clear()
    connection.cut()
    again = await trial.connection()
    again.greet()
    repeated = await again.frame("chat_message")
    check(repeated["client_ref"].lower() == REFS[0], "the repetition has another client_ref")
    again.ack_send(repeated)
    await trial.client.told("sent", client_ref=REFS[0])
    await trial.outbox_is_empty()
    check(len(trial.world.messages) == 1, "it is stored twice")


@a_check
async def the_request_is_lost(trial):
    """Cut before it was stored, twice."""
    connection = await trial.live()
    await trial.send("hello", REFS[0])
    for _ in range(2):
        await connection.frame("chat_message")
        connection.cut()
        connection = await trial.connection()
        connection.greet()
    connection.ack_send(await connection.frame("chat_message"))
    await trial.outbox_is_empty()
    check(len(trial.world.messages) == 1, "it is not stored once")


@a_check
async def the_frame_settles(trial):
    """After the cut only the message's own frame comes, and never an ack."""

    def answers_no_send(request):
        return problem(503, "unavailable") if request.method == "POST" else None

    trial.server.override = answers_no_send
    connection = await trial.live()
    await trial.send("hello", REFS[0])
    frame = await connection.frame("chat_message")
    trial.world.store(frame)
    connection.cut()
    again = await trial.connection()
    again.greet()
    await trial.outbox_is_empty()
    await trial.client.told("sent", client_ref=REFS[0])


@a_check
async def one_of_a_thread_under_way(trial):
    """The first is refused for now: those behind it wait, or the order is lost."""
    connection = await trial.live()
    texts = ["one", "two", "three"]
    for text, ref in zip(texts, REFS):
        await trial.send(text, ref)
    for _ in range(3):
        frame = await connection.frame("chat_message")
        check(frame["message_body"] == "one", "it sent another before the first was stored")
        connection.error(frame, "unavailable")
    for text in texts:
        frame = await connection.frame("chat_message")
        check(frame["message_body"] == text, f"it sent {frame['message_body']} instead of {text}")
        await asyncio.sleep(0.05)
        check(connection.came.empty(), "it sent another before the ack")
        connection.ack_send(frame)
    await trial.holds(*texts)


@a_check
async def threads_do_not_wait_for_each_other(trial):
    """One thread may not go on for an hour; another does."""
    other = "b0b00000-0000-4000-8000-000000000002"
    connection = await trial.live()
    await trial.send("one", REFS[0])
    connection.error(await connection.frame("chat_message"), "rate_limited", 3_600_000)
    await trial.send("two", REFS[1], peer=other)
    frame = await connection.frame("chat_message")
    check(frame["receiver_id"] == other, "it did not wait as it was told")
    connection.ack_send(frame)
    await trial.client.told("sent", client_ref=REFS[1])


@a_check
async def rate_limited(trial):
    """The same after `retry_after_ms`, not before."""
    connection = await trial.live()
    await trial.send("hello", REFS[0])
    connection.error(await connection.frame("chat_message"), "rate_limited", 700)
    began = asyncio.get_running_loop().time()
    frame = await connection.frame("chat_message")
    waited = asyncio.get_running_loop().time() - began
    check(waited > 0.65, f"it waited {waited:.2f} s and was told 0.7 s")
    check(frame["client_ref"].lower() == REFS[0], "the repetition has another client_ref")
    connection.ack_send(frame)
    await trial.outbox_is_empty()


@a_check
async def it_may_be_stored(trial):
    """`unavailable`, `outcome_unknown`, `internal`: the same again, with the same `client_ref`."""
    connection = await trial.live()
    await trial.send("hello", REFS[0])
    for code in ("unavailable", "outcome_unknown", "internal"):
        frame = await connection.frame("chat_message")
        check(frame["client_ref"].lower() == REFS[0], "the repetition has another client_ref")
        connection.error(frame, code)
    connection.ack_send(await connection.frame("chat_message"))
    await trial.outbox_is_empty()
    check(len(trial.world.messages) == 1, "it is not stored once")


@a_check
async def refused_for_good(trial):
    """A final error: told, not repeated, and the next one goes on."""
    connection = await trial.live()
    codes = ("invalid_receiver", "invalid_field", "message_too_large", "not_allowed")
    for number, code in enumerate(codes):
        await trial.send(code, REFS[number])
        frame = await connection.frame("chat_message")
        check(frame["message_body"] == code, "it repeated what was refused for good")
        connection.error(frame, code)
        await trial.client.told("refused", client_ref=REFS[number])
    await trial.send("good", REFS[50])
    frame = await connection.frame("chat_message")
    check(frame["message_body"] == "good", "it repeated what was refused for good")
    connection.ack_send(frame)
    await trial.outbox_is_empty()


@a_check
async def what_it_answers_is_gone(trial):
    """`not_found` for its `reply_to`: again without it, with the same `client_ref`."""
    connection = await trial.live()
    await trial.send("an answer", REFS[0], reply_to=77)
    frame = await connection.frame("chat_message")
    check(frame.get("reply_to") == 77, "reply_to is missing")
    connection.error(frame, "not_found")
    frame = await connection.frame("chat_message")
    check(frame.get("reply_to") is None, "reply_to is still there")
    check(frame["client_ref"].lower() == REFS[0], "the repetition has another client_ref")
    connection.ack_send(frame)
    await trial.outbox_is_empty()


@a_check
async def killed_with_a_send_under_way(trial):
    """The process dies before the ack. The next one sends what it wrote down, by the same name."""
    connection = await trial.live()
    await trial.send("hello", REFS[0])
    trial.world.store(await connection.frame("chat_message"))
    trial.world.feed.clear()
    await trial.client.kill()
    await trial.client.spawn()
    await trial.start()
    again = await trial.connection()
    again.greet()
    frame = await again.frame("chat_message")
    check(frame["client_ref"].lower() == REFS[0], "the repetition has another client_ref")
    again.ack_send(frame)
    await trial.outbox_is_empty()
    check(len(trial.world.messages) == 1, "it is stored twice")


@a_check
async def killed_in_a_catch_up(trial):
    """The cursor in the store is never newer than what is in the store."""
    world = trial.world
    texts = []
    connection = await trial.live()
    # At any instant: it is busy with what came.
    for later in (0.05, 1.2):
        for count in (10, 30):
            for _ in range(count):
                texts.append(f"message {len(texts)}")
                world.comes(texts[-1])
                connection.tell_newest()
            if count == 10:
                await trial.client.told("message", text=texts[-1])
        await connection.has_read()
        await asyncio.sleep(later)
        await trial.client.kill()
        await trial.client.spawn()
        await trial.start()
        connection = await trial.connection()
        connection.greet()
        await trial.client.told("state", state="live")
    await trial.holds(*texts)


@a_check
async def as_utf8(trial):
    """A text of 16 KiB fits into a frame, but not in escapes."""
    connection = await trial.live()
    await trial.send("\u00fc" * 8_192, REFS[0])
    raw = await connection.raw()
    while b"chat_message" not in raw:
        raw = await connection.raw()
    check(len(raw) < 20_000, f"the frame has {len(raw)} bytes")
    check("\u00fc".encode() in raw, "the text is in escapes")
