"""Against the real program."""

import tempfile
import unittest

from netrox_chat import (
    InvalidReceiver,
    MessageChanged,
    MessageTooLarge,
    NotAllowed,
    NotFound,
    SqliteStore,
    StateChanged,
    ThreadChanged,
)

from support.case import Case
from support.people import PATIENCE, Witness, client, new_user
from support.program import Program


class AgainstProgram(Case):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.program = await self.enterAsyncContext(Program())

    async def join(self, user_id, **given):
        joined = await self.enterAsyncContext(client(self.program.url, user_id, **given))
        await joined.live(PATIENCE)
        return joined

    async def test_a_conversation(self):
        ada_id, bob_id = new_user(), new_user()
        ada, bob = await self.join(ada_id), await self.join(bob_id)
        ada_saw, bob_saw = Witness(ada), Witness(bob)
        first = await ada.send(bob_id, "hello \u00fc \U0001f600", meta={"kind": "greeting"})
        self.assertFalse(first.repeated)
        await bob_saw.until(lambda: bob_saw.appeared(), "the message")
        came = bob_saw.of(MessageChanged)[0]
        self.assertTrue(came.ring and came.new)
        self.assertEqual(came.message.meta, {"kind": "greeting"})
        await bob_saw.until(lambda: bob_saw.of(ThreadChanged), "the thread")
        self.assertEqual(await bob.store.unread(ada_id), 1)

        again = await ada.send(bob_id, "another", client_ref=first.client_ref.upper())
        self.assertTrue(again.repeated)
        self.assertEqual(again.message_id, first.message_id)

        answer = await bob.send(ada_id, "and you?", reply_to=first.message_id)
        bob.seen(ada_id, first.message_id)

        def is_seen():
            threads = [change.thread.state for change in ada_saw.of(ThreadChanged)]
            return threads and threads[-1].peer_seen_id == first.message_id

        await ada_saw.until(is_seen, "the receipt")
        await bob_saw.until(lambda: len(bob._parts.receipts) == 0 and bob_saw.of(ThreadChanged))
        self.assertEqual(await bob.store.unread(ada_id), 0)

        edited = await ada.api.edit(first.message_id, "hello again")
        self.assertEqual((edited.text, edited.meta), ("hello again", {"kind": "greeting"}))
        with self.assertRaises(NotAllowed):
            await bob.api.edit(first.message_id, "not mine")
        await bob.api.delete(answer.message_id, "everyone")
        await ada_saw.until(lambda: any(c.message.deleted for c in ada_saw.of(MessageChanged)))
        self.assertEqual([m.text for m in await ada.store.messages(bob_id)], ["", "hello again"])

        with self.assertRaises(InvalidReceiver):
            await ada.send(new_user(), "nobody")
        with self.assertRaises(InvalidReceiver):
            await ada.send(ada_id, "oneself")
        with self.assertRaises(MessageTooLarge):
            await ada.send(bob_id, "x" * 16_385)
        with self.assertRaises(NotFound):
            await ada.api.message(2**40)
        # What it answers was never there: it is sent all the same.
        orphan = await ada.send(bob_id, "an answer", reply_to=2**40)
        self.assertIsNone((await ada.api.message(orphan.message_id)).reply_to)
        self.assertEqual(ada.outbox_size, 0)

        await bob.api.block(ada_id)
        self.assertEqual([block.peer_id async for block in bob.api.blocks()], [ada_id])
        await ada.send(bob_id, "swallowed")
        await bob.api.unblock(ada_id)
        await ada.send(bob_id, "after it")
        await bob_saw.until(lambda: "after it" in bob_saw.appeared())
        self.assertNotIn("swallowed", bob_saw.appeared())

    async def test_pages(self):
        ada_id, bob_id = new_user(), new_user()
        ada, _ = await self.join(ada_id), await self.join(bob_id)
        texts = [f"message {number}" for number in range(25)]
        sendings = [await ada.enqueue(bob_id, text) for text in texts]
        for sending in sendings:
            await sending
        oldest = ada.api.history(bob_id, order="oldest", limit=10)
        self.assertEqual([message.text async for message in oldest], texts)
        newest = await ada.api.history(bob_id, limit=7).all()
        self.assertEqual([message.text for message in newest], texts[::-1])
        threads = await ada.api.threads(limit=1).all()
        self.assertEqual([thread.peer_id for thread in threads], [bob_id])
        self.assertEqual((await ada.api.me()).user.id, ada_id)

    async def test_a_file(self):
        ada_id, bob_id = new_user(), new_user()
        ada, bob = await self.join(ada_id), await self.join(bob_id)
        bob_saw = Witness(bob)
        content = bytes(range(256)) * 2_000
        told = []
        sending = await ada.enqueue_file(
            bob_id,
            content,
            text="a file",
            name='holiday "1" \u00fc.bin',
            progress=lambda sent, of: told.append((sent, of)),
        )
        sent = await sending
        self.assertEqual(told[-1], (len(content), len(content)))
        await bob_saw.until(lambda: bob_saw.appeared(), "the file")
        attachment = bob_saw.of(MessageChanged)[0].message.attachment
        self.assertEqual((attachment.name, attachment.size), ('holiday "1" \u00fc.bin', len(content)))
        loaded = b"".join([piece async for piece in bob.download(attachment.url)])
        self.assertEqual(loaded, content)
        again = await ada.enqueue_file(bob_id, b"another", client_ref=sent.client_ref)
        self.assertEqual(((await again).repeated, (await again).message_id), (True, sent.message_id))

    async def test_a_restart_loses_nothing(self):
        ada_id, bob_id = new_user(), new_user()
        with tempfile.TemporaryDirectory() as directory:
            ada = await self.join(ada_id, store=SqliteStore(f"{directory}/ada.db"))
            bob = await self.join(bob_id)
            bob_saw = Witness(bob)
            await ada.send(bob_id, "before")
            await self.program.kill()
            sending = await ada.enqueue(bob_id, "while it is away")
            await ada.close()
            # What was written down is sent by the next run.
            self.assertTrue(sending.done.done())
            await self.program.start()
            ada = await self.join(ada_id, store=SqliteStore(f"{directory}/ada.db"))
            await ada.send(bob_id, "after")
            await bob_saw.until(lambda: "after" in bob_saw.appeared())
            self.assertEqual(bob_saw.appeared(), ["before", "while it is away", "after"])
            self.assertEqual(ada.outbox_size, 0)
            self.assertEqual(len(await ada.store.messages(bob_id)), 3)

    async def test_a_drain_is_survived(self):
        ada = await self.join(new_user())
        ada_saw = Witness(ada)
        await self.program.stop()
        await self.program.start()
        await ada_saw.until(lambda: ada_saw.of(StateChanged), "the end of the connection")
        await ada.live(PATIENCE)

    async def test_woken_by_a_push(self):
        ada_id, bob_id = new_user(), new_user()
        ada = await self.join(ada_id)
        bob = client(self.program.url, bob_id)
        self.addAsyncCleanup(bob.close)
        self.assertEqual(await bob.sync(), [])
        await ada.send(bob_id, "wake up")
        self.assertEqual([message.text for message in await bob.sync()], ["wake up"])
        self.assertEqual((await ada.api.thread(bob_id)).state.peer_delivered_id, 1)
        self.assertEqual(await bob.sync(), [])


if __name__ == "__main__":
    unittest.main()
