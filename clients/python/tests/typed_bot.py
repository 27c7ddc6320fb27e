"""A bot that the type checker reads, against the installed package: the start of README.md."""

import asyncio

from netrox_chat import Client, MessageChanged, SqliteStore


async def get_token() -> str:
    return "a token of your auth service"


async def main() -> None:
    client = Client("https://chat.example.com", get_token, store=SqliteStore("bot.db"))
    async with client, client.events() as events:
        async for event in events:
            if isinstance(event, MessageChanged) and event.ring:
                message = event.message
                await client.send(message.sender_id, f"You said: {message.text}")
                client.seen(message.sender_id, message.id)


if __name__ == "__main__":
    asyncio.run(main())
