"""A bot that answers. What it has written down to send survives a restart.

    pip install ./clients/python
    URL=http://127.0.0.1:8080 TOKEN=<token> python examples/python/bot.py
"""

import asyncio
import os

from netrox_chat import Client, MessageChanged, SqliteStore


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
            answer = f"You said: {message.text}"
            sent = await client.send(message.sender_id, answer, reply_to=message.id)
            print(f"answered {message.id} with {sent.message_id}", flush=True)


asyncio.run(main())
