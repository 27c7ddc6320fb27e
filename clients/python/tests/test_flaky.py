"""Two users write to each other through a network that cuts at random bytes: each message once, in order."""

import asyncio
import os
import random
import tempfile
import time
import unittest

from netrox_chat import SqliteStore

from support.case import Case
from support.people import PATIENCE, Witness, client, new_user
from support.program import Program
from support.proxy import Proxy

CUTS = int(os.environ.get("NETROX_CHAT_TEST_CUTS", "40"))
KILLS = CUTS // 10
FILES = CUTS // 4
#: Seconds for all of it.
LONGEST = max(45, CUTS * 1.5)


class ThroughCuts(Case):
    async def test_each_message_arrives_once_and_in_order(self):
        seed = int(os.environ.get("NETROX_CHAT_TEST_SEED", time.time()))
        with tempfile.TemporaryDirectory() as directory, self.subTest(seed=seed, cuts=CUTS):
            async with Program() as program:
                async with Proxy(program.address, CUTS, seed=seed) as proxy:
                    talk = self.talk(proxy.url, proxy.all_cut, directory)
                    await asyncio.wait_for(talk, LONGEST)
                    self.assertEqual(proxy.cuts, CUTS)

    async def test_each_message_arrives_once_where_the_server_is_killed(self):
        with tempfile.TemporaryDirectory() as directory:
            async with Program() as program:
                is_over = asyncio.Event()

                async def kill():
                    for _ in range(KILLS):
                        await asyncio.sleep(random.uniform(0.1, 0.6))
                        await program.kill()
                        await program.start()
                    is_over.set()

                talk = self.talk(program.url, is_over, directory)
                await asyncio.wait_for(asyncio.gather(talk, kill()), LONGEST)

    async def test_files_come_through_whole_and_once(self):
        seed = int(os.environ.get("NETROX_CHAT_TEST_SEED", time.time()))
        with self.subTest(seed=seed):
            async with Program() as program:
                async with Proxy(program.address, FILES, longest=600_000, seed=seed) as proxy:
                    await asyncio.wait_for(self.exchange(proxy), LONGEST)

    async def exchange(self, proxy):
        ada_id, bob_id = new_user(), new_user()
        sent = []
        async with client(proxy.url, ada_id) as ada, client(proxy.url, bob_id) as bob:
            await bob.live(PATIENCE)
            saw = Witness(bob)
            while not proxy.all_cut.is_set() or not sent:
                sent.append(random.randbytes(300_000))
                sending = await ada.enqueue_file(bob_id, sent[-1], text=f"file {len(sent)}")
                await sending
                await saw.until(lambda: len(saw.appeared()) == len(sent), "the file")
                (message,) = await bob.store.messages(ada_id, limit=1)
                pieces = bob.download(message.attachment.url)
                self.assertEqual(b"".join([piece async for piece in pieces]), sent[-1])
            stored = await ada.api.history(bob_id, order="oldest").all()
            texts = [f"file {number}" for number in range(1, len(sent) + 1)]
            self.assertEqual([message.text for message in stored], texts)
            self.assertEqual(saw.appeared(), texts)

    async def talk(self, url, is_over, directory):
        ids = {"ada": new_user(), "bob": new_user()}
        people, witnesses = {}, {}
        for name, peer in (("ada", "bob"), ("bob", "ada")):
            store = SqliteStore(f"{directory}/{name}.db")
            people[name] = client(url, ids[name], store=store)
            witnesses[name] = Witness(people[name])
        # Only what comes after a first snapshot is told one by one.
        for person in people.values():
            await person.start()
            await person.live(PATIENCE)

        sent = {"ada": [], "bob": []}

        async def write(name, peer):
            number = 0
            while not is_over.is_set() or number < 20:
                text = f"{name} {number}"
                sending = await people[name].enqueue(ids[peer], text)
                sent[name].append(text)
                number += 1
                # Some wait behind each other, some do not.
                if number % 3 == 0:
                    await sending

        async def touch(name, peer):
            while not is_over.is_set():
                newest = await people[name].store.messages(ids[peer], limit=1)
                if newest:
                    people[name].seen(ids[peer], newest[0].id)
                await asyncio.sleep(0.1)

        pairs = (("ada", "bob"), ("bob", "ada"))
        writers = (write(*pair) for pair in pairs)
        touchers = (touch(*pair) for pair in pairs)
        await asyncio.gather(*writers, *touchers)

        total = len(sent["ada"]) + len(sent["bob"])
        for name, peer in pairs:
            witness, person = witnesses[name], people[name]
            await witness.until(lambda w=witness: len(w.appeared()) >= total, f"{total} messages")
            while person.outbox_size:
                await asyncio.sleep(0.01)
            appeared = witness.appeared()
            for writer in ("ada", "bob"):
                of_writer = [text for text in appeared if text.startswith(writer)]
                self.assertEqual(of_writer, sent[writer], f"what {name} saw of {writer}")
            stored = await person.store.messages(ids[peer], limit=total + 1)
            history = await person.api.history(ids[peer], limit=200).all()
            self.assertEqual([m.id for m in stored], [m.id for m in history])
            self.assertEqual([m.text for m in stored], [m.text for m in history])
        both = [[t for t in witness.appeared()] for witness in witnesses.values()]
        self.assertEqual(*both)
        for person in people.values():
            await person.close()
            saved = await person.store.open()
            self.assertEqual(saved.outbox, [])
            await person.store.close()


if __name__ == "__main__":
    unittest.main()
