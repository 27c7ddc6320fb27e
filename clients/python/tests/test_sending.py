"""What the kit does not ask of sends, uploads and signals, against its server."""

import asyncio
import unittest

from netrox_chat import (
    PresenceChanged,
    SendCancelled,
    SendRefused,
    SendSettled,
    UnknownRefusal,
    UserChanged,
)

from support.case import Case
from support.people import PATIENCE, Witness
from support.scripted import problem, stage


class Sending(Case):
    async def test_an_unknown_code_is_decided_by_its_status(self):
        play = await stage(self)
        connection = await play.live()
        play.server.override = lambda r: problem(418, "teapot") if r.method == "POST" else None
        sending = await play.client.enqueue(play.world.peer, "tea")
        connection.error(await connection.frame("chat_message"), "teapot")
        with self.assertRaises(UnknownRefusal) as refused:
            await sending
        self.assertEqual((refused.exception.code, refused.exception.status), ("teapot", 418))

    async def test_a_send_that_is_given_up(self):
        play = await stage(self)
        connection = await play.live()
        saw = Witness(play.client)
        sending = await play.client.enqueue(play.world.peer, "a mistake")
        behind = await play.client.enqueue(play.world.peer, "behind it")
        await connection.frame("chat_message")
        self.assertTrue(await sending.cancel())
        self.assertFalse(await sending.cancel())
        with self.assertRaises(SendCancelled):
            await sending
        frame = await connection.frame("chat_message")
        self.assertEqual(frame["message_body"], "behind it")
        connection.ack_send(frame)
        await behind
        self.assertEqual(len(saw.of(SendRefused)), 1)
        self.assertEqual(len(saw.of(SendSettled)), 1)
        self.assertEqual(play.client.outbox_size, 0)

    async def test_an_upload_asks_before_it_is_repeated(self):
        play = await stage(self)
        await play.live()
        uploads = []

        def answer(request):
            if request.path.endswith("/attachments"):
                uploads.append(request)
                frame = {"client_ref": request.query["client_ref"], "receiver_id": play.world.peer}
                play.world.store({**frame, "message_body": "the file"})
                # It is stored, and nobody says so.
                return problem(503, "outcome_unknown")

        play.server.override = answer
        sending = await play.client.enqueue_file(play.world.peer, b"x" * 1_000, text="the file")
        sent = await asyncio.wait_for(asyncio.shield(sending.done), PATIENCE)
        self.assertEqual((sent.message_id, sent.repeated, len(uploads)), (1, True, 1))
        (upload,) = uploads
        self.assertEqual(upload.query["dispatch"], "true")
        self.assertIn(b"x" * 1_000, upload.body)
        self.assertEqual(int(upload.headers["content-length"]), len(upload.body))

    async def test_an_upload_that_is_cancelled(self):
        play = await stage(self)
        await play.live()
        began, told = asyncio.Event(), []

        async def never():
            await asyncio.sleep(3_600)

        def answer(request):
            if request.path.endswith("/attachments"):
                began.set()
                return never()

        play.server.override = answer
        sending = await play.client.enqueue_file(
            play.world.peer, b"x" * 200_000, progress=lambda sent, of: told.append((sent, of))
        )
        await asyncio.wait_for(began.wait(), PATIENCE)
        self.assertTrue(await sending.cancel())
        with self.assertRaises(SendCancelled):
            await sending
        self.assertEqual(told[0], (65_536, 200_000))
        self.assertEqual(told[-1], (200_000, 200_000))
        self.assertEqual(play.client.outbox_size, 0)


class Signals(Case):
    async def test_presence(self):
        play = await stage(self)
        connection = await play.live()
        saw = Witness(play.client)
        asking = asyncio.create_task(play.client.watch_presence([play.world.peer.upper()]))
        frame = await connection.frame("presence_watch")
        self.assertEqual(frame["peer_ids"], [play.world.peer])
        connection.serve_one(frame)
        self.assertEqual([state.online for state in await asking], [True])
        last_seen = "2026-01-01T00:00:00.000000Z"
        told = {"action": "presence", "peer_id": play.world.peer, "online": False}
        connection.send({**told, "last_seen": last_seen})
        await saw.until(lambda: saw.of(PresenceChanged))
        self.assertEqual(saw.of(PresenceChanged)[0].presence.last_seen, last_seen)
        hiding = asyncio.create_task(play.client.set_presence("nobody"))
        frame = await connection.frame("presence_set")
        self.assertEqual(frame["presence"], "nobody")
        connection.ack(frame)
        await hiding

    async def test_a_profile_that_changes(self):
        play = await stage(self)
        play.world.comes("hello")
        connection = await play.live()
        saw = Witness(play.client)
        user = {**play.world.user(play.world.peer), "profile": {"name": "Bob"}}
        connection.send({"action": "user", "user": user})
        await saw.until(lambda: saw.of(UserChanged))
        thread = await play.client.store.thread(play.world.peer)
        self.assertEqual(thread.peer.profile, {"name": "Bob"})

    async def test_who_writes_is_told(self):
        play = await stage(self)
        connection = await play.live()
        async with play.client.typing(play.world.peer):
            frame = await connection.frame("typing")
            self.assertIs(frame["typing"], True)
        while (await connection.frame("typing"))["typing"]:
            pass

    async def test_delivered_is_told_once_for_many(self):
        play = await stage(self, receipt_delay=0.2)
        connection = await play.live()
        for number in range(30):
            play.world.comes(f"message {number}")
            connection.tell_newest()
        frame = await connection.frame("delivered")
        connection.serve_one(frame)
        self.assertEqual((frame["peer_id"], frame["up_to"]), (play.world.peer, 30))


if __name__ == "__main__":
    unittest.main()
