"""A bot that answers. What it has written down to send survives a restart.

    pip install ./clients/python
    URL=http://127.0.0.1:8080 TOKEN=<token> python examples/python/bot.py
"""

import asyncio
import os

from netrox_chat import Client, MessageChanged, ServerError, SqliteStore

PHRASE = "You said: "


async def main() -> None:
    store = SqliteStore(os.environ.get("STORE", "bot.db"))
    client = Client(os.environ["URL"], os.environ["TOKEN"], store=store)
    async with client, client.events() as events:
        await client.live(30)
        print("live", flush=True)
        async for event in events:
            # `ring`: it is new, and of somebody else.
            if not isinstance(event, MessageChanged) or not event.ring:
                continue
            message = event.message
            client.seen(message.sender_id, message.id)
            # Another bot of this kind: they would answer each other for ever.
            if message.text.startswith(PHRASE):
                continue
            # As much as the server takes, without half a character.
            answer = (PHRASE + message.text).encode()[: client.limits.max_body_bytes]
            try:
                text = answer.decode(errors="ignore")
                sent = await client.send(message.sender_id, text, reply_to=message.id)
                print(f"answered {message.id} with {sent.message_id}", flush=True)
            except ServerError as error:
                # The next is answered still.
                print(f"no answer to {message.id}: {error}", flush=True)


asyncio.run(main())
