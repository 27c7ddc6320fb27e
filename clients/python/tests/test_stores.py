"""Both stores do the same."""

import dataclasses
import sqlite3
import tempfile
import unittest

from netrox_chat import MemoryStore, SqliteStore, WrongUser
from netrox_chat.errors import ChatError
from netrox_chat.model import Message, Thread, ThreadState, User
from netrox_chat.sends import File, Send

from support.case import Case

ME, PEER, OTHER = "a" * 36, "b" * 36, "c" * 36
TIME = "2026-01-01T00:00:00.000000Z"


def message(id, rev, text="text", sender=PEER, **fields):
    receiver = ME if sender != ME else fields.pop("receiver", PEER)
    raw = {
        "id": id,
        "thread": 1,
        "sender_id": sender,
        "receiver_id": receiver,
        "message": text,
        "created": TIME,
        "updated": TIME,
        "deleted": False,
        "hidden": False,
        "reply_to": None,
        "meta": None,
        "dispatched": None,
        "attachment": None,
        "client_ref": None,
        "rev": rev,
        "of_a_later_version": [1],
        **fields,
    }
    return Message.read(raw)


def state(rev, last_id=0, unread=0, **marks):
    names = ("seen_id", "delivered_id", "peer_seen_id", "peer_delivered_id")
    raw = {"id": 1, "peer_id": PEER, "last_id": last_id, "unread": unread, "blocked": False}
    return ThreadState.read({**raw, "rev": rev, **dict.fromkeys(names, 0), **marks})


class Rules:
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.store = self.make()
        await self.store.open()
        await self.store.bind(ME)

    async def asyncTearDown(self):
        await self.store.close()

    async def test_the_greater_rev_counts(self):
        await self.store.apply([message(1, 5, "new")], "c5")
        self.assertEqual((await self.store.apply([message(1, 4, "old")])).changed, [])
        self.assertEqual((await self.store.apply([message(1, 5, "new")])).changed, [])
        self.assertEqual((await self.store.message(1)).text, "new")
        self.assertEqual((await self.store.message(1)).raw["of_a_later_version"], [1])
        # Of equal ones the later answer counts.
        (changed,) = (await self.store.apply([message(1, 5, "later")])).changed
        self.assertEqual((changed.before.text, changed.after.text), ("new", "later"))
        self.assertEqual((await self.store.open()).cursor, "c5")

    async def test_marks_never_go_back(self):
        await self.store.apply([state(5, seen_id=10, peer_seen_id=3)])
        await self.store.mark(PEER, delivered_id=12)
        await self.store.apply([state(6, seen_id=9, peer_seen_id=4)])
        held = (await self.store.thread(PEER)).state
        self.assertEqual((held.seen_id, held.peer_seen_id, held.delivered_id), (10, 4, 12))
        await self.store.apply([state(4, seen_id=99)])
        self.assertEqual((await self.store.thread(PEER)).state.seen_id, 10)

    async def test_a_state_is_merged_into_its_thread(self):
        user = User(PEER, "peer@example.com", {"name": "Peer"})
        await self.store.apply([Thread(state(1), user, TIME)])
        await self.store.apply([state(2, last_id=7)])
        held = await self.store.thread(PEER)
        self.assertEqual((held.peer, held.created, held.state.last_id), (user, TIME, 7))
        await self.store.know(User(PEER, None, None))
        self.assertIsNone((await self.store.thread(PEER)).peer.email)

    async def test_unread(self):
        changes = [state(3, last_id=2, unread=2), *(message(id, id) for id in (1, 2, 3, 4, 5))]
        await self.store.apply(changes)
        self.assertEqual(await self.store.unread(PEER), 5)
        await self.store.apply([message(4, 9, "", deleted=True), message(6, 10, sender=ME)])
        self.assertEqual(await self.store.unread(PEER), 4)
        await self.store.apply([state(11, last_id=6, unread=0)])
        self.assertEqual(await self.store.unread(PEER), 0)
        self.assertEqual(await self.store.unread(OTHER), 0)

    async def test_a_message_settles_its_send(self):
        ref = "0b5e0000-0000-4000-8000-000000000001"
        send = Send(ref, PEER, "hello", 1.0, meta={"a": 1}, file=File("n", "t", 3, None))
        self.assertTrue(await self.store.add_send(send, b"abc"))
        self.assertFalse(await self.store.add_send(send))
        self.assertEqual((await self.store.open()).outbox, [send])
        self.assertEqual(await self.store.content(ref), b"abc")
        # Of the peer, with a reference that they should not have.
        await self.store.apply([message(1, 1, client_ref=ref)])
        self.assertEqual((await self.store.open()).outbox, [send])
        applied = await self.store.apply([message(2, 2, sender=ME, client_ref=ref.upper())])
        self.assertEqual([(s.client_ref, m.id) for s, m in applied.settled], [(ref, 2)])
        self.assertEqual((await self.store.open()).outbox, [])
        self.assertIsNone(await self.store.content(ref))
        self.assertFalse(await self.store.drop_send(ref))

    async def test_a_snapshot_replaces_all_but_the_outbox(self):
        send = Send("0b5e0000-0000-4000-8000-000000000001", PEER, "hello", 1.0)
        await self.store.add_send(send)
        await self.store.apply([state(90), message(1, 99, "of the old history")], "old")
        await self.store.replace([state(1), message(1, 1, "of the new one")], "new")
        saved = await self.store.open()
        self.assertEqual((saved.cursor, saved.outbox, saved.user_id), ("new", [send], ME))
        self.assertEqual((await self.store.message(1)).text, "of the new one")

    async def test_pages_and_order(self):
        await self.store.apply([message(id, id, hidden=id == 3) for id in range(1, 8)])
        page = await self.store.messages(PEER, limit=3)
        self.assertEqual([m.id for m in page], [7, 6, 5])
        page = await self.store.messages(PEER, before=5)
        self.assertEqual([m.id for m in page], [4, 2, 1])
        self.assertEqual(await self.store.strangers(), [PEER])
        older = dataclasses.replace(state(1), peer_id=OTHER, raw={**state(1).raw, "peer_id": OTHER})
        await self.store.apply([older, state(2)])
        self.assertEqual([t.peer_id for t in await self.store.threads()], [PEER, OTHER])

    async def test_what_is_over(self):
        late = "2026-02-01T00:00:00.000000Z"
        await self.store.apply([message(1, 1), message(2, 2, created=late)])
        await self.store.expire("2026-01-02T00:00:00.000000Z")
        self.assertEqual([m.id for m in await self.store.messages(PEER)], [2])

    async def test_it_is_of_one_user(self):
        with self.assertRaises(WrongUser):
            await self.store.bind(OTHER)
        await self.store.wipe()
        await self.store.bind(OTHER)
        self.assertEqual((await self.store.open()).user_id, OTHER)


class Memory(Rules, Case):
    def make(self):
        return MemoryStore()

    async def test_it_makes_room(self):
        store = MemoryStore(max_messages=100)
        await store.bind(ME)
        for first in range(1, 1001, 50):
            await store.apply([message(id, id) for id in range(first, first + 50)])
        held = await store.messages(PEER, limit=1000)
        self.assertTrue(100 <= len(held) <= 150 and held[0].id == 1000, len(held))


class Sqlite(Rules, Case):
    def make(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/store.db"
        return SqliteStore(self.path)

    async def test_all_of_a_step_or_nothing(self):
        broken = message(2, 2)
        object.__setattr__(broken, "id", "no id")
        with self.assertRaises(sqlite3.Error):
            await self.store.apply([message(1, 1), broken], "c2")
        self.assertIsNone(await self.store.message(1))
        self.assertIsNone((await self.store.open()).cursor)

    async def test_a_later_schema_is_left_alone(self):
        await self.store.close()
        with sqlite3.connect(self.path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        with self.assertRaises(ChatError):
            await self.store.open()


if __name__ == "__main__":
    unittest.main()
