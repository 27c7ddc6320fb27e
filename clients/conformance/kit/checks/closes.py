"""What the client does after each close."""

import asyncio

from ..trial import at_scale, check
from . import a_check


@a_check
async def closed_before_hello(trial):
    """A code below 4000 counts only after `hello`: libraries make these up. The client comes back."""
    await trial.start()
    for code in (1000, 1001, 1002, 1006, 1008, 1009, 1011, 1013):
        connection = await trial.connection()
        if code == 1006:
            connection.cut()
        else:
            connection.close(code)
    (await trial.connection()).greet()
    await trial.client.told("state", state="live")


@a_check
async def comes_back(trial):
    """After 1001, 1011, 1012, 1013, 1000 unasked, an unknown 4500, and a cut."""
    await trial.live()
    for code in (1001, 1011, 1012, 1013, 1000, 4500, None):
        connection = trial.server.connections[-1]
        if code is None:
            connection.cut()
        else:
            connection.close(code)
        (await trial.connection()).greet()


async def _bug(trial, code):
    connection = await trial.live()
    began = asyncio.get_running_loop().time()
    connection.close(code)
    again = await trial.connection()
    waited = again.opened - began
    check(waited > at_scale(27), f"it came back after {waited:.2f} s, 30 s at scale are right")


@a_check
async def waits_after_1002(trial):
    await _bug(trial, 1002)


@a_check
async def waits_after_1008(trial):
    """A flood of its own: 30 s at least."""
    await _bug(trial, 1008)


@a_check
async def drops_the_frame_that_was_too_large(trial):
    """1009: the frame that did it is not sent again, those behind it are."""
    ref = "0b5e0000-0000-4000-8000-00000000000b"
    connection = await trial.live()
    await trial.send("x" * 10_000, ref)
    await connection.frame("chat_message")
    connection.close(1009)
    again = await trial.connection()
    again.greet()
    await trial.client.told("refused", client_ref=ref)
    await trial.send("small", "0b5e0000-0000-4000-8000-00000000000c")
    frame = await again.frame("chat_message")
    check(frame["message_body"] == "small", "it sent again what closed the connection")


def _tokens(trial, *tokens):
    waiting = list(tokens)
    trial.client.tokens = lambda: waiting.pop(0) if waiting else None


@a_check
async def a_new_token_after_4401(trial):
    """Before any `hello`, as a bad token is told."""
    _tokens(trial, "token-1", "token-2")
    await trial.start()
    first = await trial.connection()
    check(first.token == "token-1", f"it came with {first.token}")
    first.close(4401)
    again = await trial.connection()
    check(again.token == "token-2", f"it came back with {again.token}")
    again.greet()
    await trial.client.told("state", state="live")
    again.close(4401)
    await trial.client.told("state", state="away")


@a_check
async def no_new_token_after_4401(trial):
    """It stays away, until somebody has one and calls it back."""
    _tokens(trial, "token-1")
    connection = await trial.live()
    connection.close(4401)
    await trial.client.told("state", state="away")
    await trial.stays_away(0.7)
    _tokens(trial, "token-3")
    await trial.client.do("wake")
    again = await trial.connection()
    check(again.token == "token-3", f"it came back with {again.token}")


@a_check
async def signs_out_after_4403(trial):
    trial.world.comes("secret")
    connection = await trial.live()
    connection.close(4403)
    await trial.client.told("state", state="signed_out")
    await trial.client.do("wake")
    await trial.stays_away(0.7)


@a_check
async def signs_out_after_4403_before_hello(trial):
    await trial.start()
    (await trial.connection()).close(4403)
    await trial.client.told("state", state="signed_out")
    await trial.stays_away(0.7)


async def _away(trial, code):
    connection = await trial.live()
    connection.close(code)
    await trial.client.told("state", state="away")
    await trial.stays_away(0.7)
    await trial.client.do("wake")
    (await trial.connection()).greet()


@a_check
async def stays_away_after_4409(trial):
    """Else two devices evict each other for ever."""
    await _away(trial, 4409)


@a_check
async def stays_away_after_an_unknown_44xx(trial):
    await _away(trial, 4477)
