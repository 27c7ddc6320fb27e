"""What the kit does not ask of connecting and reading, against its server."""

import asyncio
import json
import unittest

from netrox_chat import (
    Closed,
    InvalidToken,
    MessageChanged,
    NotConnected,
    NotEnabled,
    RateLimited,
    SignedOut,
    State,
    StaysAway,
)

from support.case import Case
from support.people import PATIENCE, Witness
from support.scripted import problem, stage


class Connecting(Case):
    async def test_a_ticket_keeps_the_token_out_of_the_handshake(self):
        play = await stage(self, use_tickets=True)
        connection = await play.live()
        self.assertEqual(connection.ticket, "a-ticket")
        self.assertNotIn("authorization", connection.request.headers)
        self.assertNotIn("token-1", connection.request.target)

    async def test_the_token_is_in_the_header(self):
        play = await stage(self)
        connection = await play.live()
        self.assertEqual(connection.request.headers["authorization"], "Bearer token-1")
        self.assertNotIn("token", connection.request.target)
        self.assertNotIn("sec-websocket-protocol", connection.request.headers)
        self.assertNotIn("sec-websocket-extensions", connection.request.headers)

    async def test_live_says_why_it_stays_away(self):
        play = await stage(self)
        connection = await play.live()
        connection.close(4409)
        async with play.client.events() as events:
            async for event in events:
                if getattr(event, "state", None) is State.AWAY:
                    break
        with self.assertRaises(StaysAway):
            await play.client.live(PATIENCE)
        with self.assertRaises(NotConnected):
            await play.client.set_presence("nobody")

    async def test_who_is_signed_out_leaves_nothing(self):
        play = await stage(self)
        play.world.comes("secret")
        connection = await play.live()
        saw = Witness(play.client)
        self.assertEqual(len(await play.client.store.threads()), 1)
        sending = await play.client.enqueue(play.world.peer, "on its way")
        connection.close(4403)
        await saw.until(lambda: play.client.state is State.SIGNED_OUT)
        self.assertEqual(await play.client.store.threads(), [])
        with self.assertRaises(SignedOut):
            await sending

    async def test_a_reader_that_is_slow_holds_up_the_server_and_not_its_own_sends(self):
        play = await stage(self, max_events=10)
        connection = await play.live()
        events = play.client.events()
        for number in range(2_000):
            play.world.comes(f"message {number}")
            connection.tell_newest()
        serving = asyncio.create_task(connection.serve())
        self.addCleanup(serving.cancel)
        texts = []
        async for event in events:
            if isinstance(event, MessageChanged) and event.message.sender_id == play.world.peer:
                texts.append(event.message.text)
                if len(texts) in (1, 500):
                    # Nothing is read while this waits: its answer comes by another way.
                    sending = play.client.send(play.world.peer, f"answer {len(texts)}")
                    await asyncio.wait_for(sending, PATIENCE)
                if len(texts) == 2_000:
                    break
        self.assertEqual(texts, [f"message {number}" for number in range(2_000)])


    async def test_a_reader_that_is_forgotten_holds_up_nobody(self):
        play = await stage(self, max_events=3)
        connection = await play.live()
        forgotten = play.client.events()
        self.assertIsNotNone(forgotten)
        del forgotten
        saw = Witness(play.client)
        for number in range(50):
            play.world.comes(f"message {number}")
            connection.tell_newest()
        await saw.until(lambda: len(saw.appeared()) == 50)

    async def test_a_goodbye_that_does_not_end(self):
        play = await stage(self, hello_timeout=0.3)
        await play.client.start()
        connection = await play.connection_comes()
        connection.stays_open = True
        connection.close(4403)
        with self.assertRaises(SignedOut):
            await play.client.live(PATIENCE)

    async def test_a_frame_that_is_too_large_blames_no_send(self):
        play = await stage(self, max_frame_bytes=2_000, bug_backoff=0.05)
        connection = await play.live()
        sending = await play.client.enqueue(play.world.peer, "innocent")
        await connection.frame("chat_message")
        connection.send({"action": "fireworks", "colour": "x" * 3_000})
        again = await play.connection_comes()
        self.assertEqual(connection.close_code, 1009)
        again.greet()
        again.ack_send(await again.frame("chat_message"))
        await sending

    async def test_nothing_is_sent_by_who_is_signed_out_or_closed(self):
        play = await stage(self)
        connection = await play.live()
        saw = Witness(play.client)
        connection.close(4403)
        await saw.until(lambda: play.client.state is State.SIGNED_OUT)
        with self.assertRaises(SignedOut):
            await play.client.enqueue(play.world.peer, "too late")
        await play.client.close()
        with self.assertRaises(Closed):
            await play.client.enqueue(play.world.peer, "too late")


class Asking(Case):
    async def test_what_may_be_repeated_is_repeated(self):
        play = await stage(self)
        answers = [problem(503, "unavailable"), problem(500, "internal"), problem(429, "rate_limited")]
        play.server.override = lambda request: answers.pop(0) if answers else None
        me = await play.client.api.me()
        self.assertEqual((me.user.id, len(play.server.requests)), (play.world.me, 4))

    async def test_it_gives_up_after_a_while(self):
        play = await stage(self, call_timeout=0.3)
        play.server.override = lambda request: problem(429, "rate_limited")
        with self.assertRaises(RateLimited):
            await play.client.api.me()

    async def test_a_refused_token_is_replaced_once(self):
        tokens = ["token-1", "token-2"]
        play = await stage(self, token=lambda: tokens.pop(0))
        asked = []

        def refuse(request):
            asked.append(request.headers["authorization"])
            is_old = request.headers["authorization"] == "Bearer token-1"
            return problem(401, "invalid_token") if is_old else None

        play.server.override = refuse
        await play.client.api.me()
        self.assertEqual(asked, ["Bearer token-1", "Bearer token-2"])
        play.server.override = lambda request: problem(401, "invalid_token")
        with self.assertRaises((InvalidToken, StaysAway)):
            await play.client.api.me()

    async def test_a_push_after_a_reset_takes_a_snapshot(self):
        play = await stage(self)
        play.world.comes("lost")
        await play.client.sync()
        play.world.restored(0)
        play.world.comes("in its place")
        self.assertEqual(await play.client.sync(), [])
        held = await play.client.store.messages(play.world.peer)
        self.assertEqual([message.text for message in held], ["in its place"])
        play.world.comes("next")
        self.assertEqual([message.text for message in await play.client.sync()], ["next"])
        (mark,) = [r for r in play.server.requests if r.path.endswith("/delivered")]
        self.assertEqual(json.loads(mark.body), {"up_to": 2})

    async def test_search(self):
        play = await stage(self)
        play.world.comes("hello there")
        found = [dict(play.world.messages[1])]
        pages = {None: {"messages": found, "next": "p2"}, "p2": {"messages": [], "next": None}}

        def answer(request):
            if request.path == "/v2/search":
                return 200, pages[request.query.get("next")]

        play.server.override = answer
        messages = await play.client.api.search("hello", peer_id=play.world.peer, limit=10).all()
        self.assertEqual([message.text for message in messages], ["hello there"])
        first, second = [r for r in play.server.requests if r.path == "/v2/search"]
        self.assertEqual(first.query, {"q": "hello", "peer_id": play.world.peer, "limit": "10"})
        self.assertEqual(second.query, {"next": "p2", "limit": "10"})
        play.server.override = lambda request: problem(404, "not_enabled")
        with self.assertRaises(NotEnabled):
            await play.client.api.search("hello").all()

    async def test_a_link_of_a_file(self):
        play = await stage(self)
        url = "/mediafiles/attachments/2026/01/01/x.txt"
        signed = {"url": f"{url}?signature=s", "expires_in_s": 300}
        play.server.override = lambda request: (200, signed)
        self.assertEqual(await play.client.api.link(url), f"{play.server.url}{url}?signature=s")
        self.assertEqual(json.loads(play.server.requests[0].body), {"path": url})

    async def test_an_answer_of_before_a_snapshot_is_not_applied_after_it(self):
        play = await stage(self)
        play.world.comes("of the old history")
        connection = await play.live()
        held = asyncio.Event()

        async def late():
            messages = [dict(message) for message in play.world.messages.values()]
            await held.wait()
            return 200, {"messages": messages, "next": None}

        play.server.override = lambda request: late() if request.path.endswith("/messages") else None
        asked = asyncio.create_task(play.client.api.history(play.world.peer).all())
        while not any(r.path.endswith("/messages") for r in play.server.requests):
            await asyncio.sleep(0.01)
        play.world.restored(0)
        play.world.threads.clear()
        connection.cut()
        (await play.connection_comes()).greet()
        (await play.connection_comes()).greet()
        await play.client.live(PATIENCE)
        held.set()
        self.assertEqual([message.text for message in await asked], ["of the old history"])
        self.assertEqual(await play.client.store.messages(play.world.peer), [])


if __name__ == "__main__":
    unittest.main()
