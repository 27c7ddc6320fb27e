"""The adapter of the Python client. With `--broken NAME` it has that fault (faults/)."""

import asyncio
import dataclasses
import json
import sys

import netrox_chat as chat

from faults import FAULTS


class Adapter:
    def __init__(self):
        self.client = None
        self.tokens = asyncio.Queue()
        self.tasks = set()

    def tell(self, **fields):
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    async def token(self):
        self.tell(event="token_wanted")
        token = await self.tokens.get()
        if token is None:
            raise RuntimeError("there is no token")
        return token

    async def start(self, url, user_id, store, scale):
        options = dataclasses.replace(chat.Options().scaled(scale), trust_env=False)
        kept = chat.MemoryStore() if store is None else chat.SqliteStore(f"{store}.db")
        self.client = chat.Client(url, self.token, store=kept, options=options)
        events = self.client.events()
        self.begin(self.watch(events))
        await self.client.start()

    def begin(self, work):
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def watch(self, events):
        async for event in events:
            match event:
                case chat.StateChanged(state=state):
                    self.tell(event="state", state=state.value)
                case chat.MessageChanged(message=message, before=before, ring=ring):
                    self.tell(
                        event="message",
                        message_id=message.id,
                        text=message.text,
                        first=before is None,
                        ring=ring,
                    )
                case chat.SendSettled(sent=sent):
                    self.tell(event="sent", client_ref=sent.client_ref, message_id=sent.message_id)
                case chat.SendRefused(client_ref=client_ref, error=error):
                    code = getattr(error, "code", type(error).__name__)
                    self.tell(event="refused", client_ref=client_ref, code=code)
                case chat.Typing(peer_id=peer_id, typing=typing):
                    self.tell(event="typing", peer_id=peer_id, typing=typing)
                case chat.PresenceChanged(presence=presence):
                    self.tell(event="presence", peer_id=presence.peer_id, online=presence.online)

    async def state(self):
        store = self.client.store
        messages, unread = [], {}
        for thread in await store.threads():
            unread[thread.peer_id] = await store.unread(thread.peer_id)
        for message in await self.held():
            messages.append({"message_id": message.id, "text": message.text})
        outbox = [send.client_ref for send in (await store.open()).outbox]
        return {"messages": messages, "unread": unread, "outbox": outbox}

    async def held(self):
        """All messages, the oldest first."""
        store = self.client.store
        peers = {thread.peer_id for thread in await store.threads()}
        lists = [await store.messages(peer_id, limit=100_000) for peer_id in peers]
        return sorted((m for part in lists for m in part), key=lambda message: message.id)

    async def do(self, what, fields):
        client = self.client
        match what:
            case "start":
                await self.start(**fields)
            case "stop":
                await client.close()
            case "send":
                await client.enqueue(**fields)
            case "seen":
                client.seen(**fields)
            case "wake":
                client.wake()
            case "typing":
                await client.set_typing(**fields)
            case "watch":
                self.begin(client.watch_presence(fields["peer_ids"]))
            case "state":
                return await self.state()
            case _:
                raise ValueError(f"unknown: {what}")
        return {}

    async def run(self):
        reader = asyncio.StreamReader(limit=2**24)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            what = command.pop("do")
            if what == "token":
                self.tokens.put_nowait(command["token"])
                continue
            self.begin(self.answer(command.pop("id"), what, command))

    async def answer(self, id, what, fields):
        try:
            self.tell(id=id, ok=True, **await self.do(what, fields))
        except Exception as error:
            self.tell(id=id, ok=False, error=repr(error))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--broken"]:
        FAULTS[sys.argv[2]]()
    asyncio.run(Adapter().run())
