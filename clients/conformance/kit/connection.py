"""One connection of the client under test, of which a check decides every byte."""

import asyncio
import json
import socket
import struct
from urllib.parse import parse_qs, urlsplit

from . import PATIENCE, frames
from .adapter import Failed

_ACTIONS = {
    "chat_message",
    "message_edit",
    "message_delete",
    "delivered",
    "seen",
    "typing",
    "presence_watch",
    "presence_set",
    "block",
    "unblock",
    "token_refresh",
    "ping",
}


class Connection:
    def __init__(self, world, request, reader, writer):
        self.world = world
        self.request = request
        self.opened = asyncio.get_running_loop().time()
        query = parse_qs(urlsplit(request.target).query)
        self.after = query.get("after", [None])[0]
        self.ticket = query.get("ticket", [None])[0]
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        self.token = bearer if scheme else query.get("token", [None])[0]
        #: Frames of the client, in their order. None is its end.
        self.came = asyncio.Queue()
        self.close_code = None
        self.ended = asyncio.Event()
        self.ponged = asyncio.Event()
        self.is_hung = False
        #: After the goodbyes nobody closes TCP.
        self.stays_open = False
        self._reader = reader
        self._writer = writer
        self._is_accepted = False
        self._is_gone = False
        self._task = asyncio.create_task(self._read())

    # --- the client's side ---

    async def _read(self):
        try:
            while True:
                opcode, payload = await frames.read(self._reader)
                if self.is_hung:
                    continue
                if opcode == frames.TEXT:
                    self.came.put_nowait(payload)
                elif opcode == frames.PING:
                    self.write(frames.frame(frames.PONG, payload))
                elif opcode == frames.PONG:
                    self.ponged.set()
                elif opcode == frames.CLOSE:
                    if self.close_code is None:
                        self.close_code = int.from_bytes(payload[:2], "big") or 1005
                    if not self._is_gone:
                        self.write(frames.frame(frames.CLOSE, payload))
                    if not self.stays_open:
                        self._writer.close()
                    break
        except (OSError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended.set()
            self.came.put_nowait(None)

    async def raw(self, wanted="a frame"):
        """The bytes of the next frame of the client; None when it has gone."""
        try:
            return await asyncio.wait_for(self.came.get(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failed(f"the client did not send {wanted}") from None

    async def frame(self, *actions):
        """The next frame of one of these actions. Pings and marks between are served."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            if loop.time() > deadline:
                raise Failed(f"the client did not send {' or '.join(actions)}")
            payload = await self.raw(" or ".join(actions))
            if payload is None:
                raise Failed(f"the client went away before it sent {actions}")
            frame = json.loads(payload)
            if frame.get("action") in actions:
                return frame
            self.serve_one(frame)

    # --- the server's side ---

    def write(self, data):
        if not self._writer.is_closing():
            self._writer.write(data)

    def head(self):
        key = frames.accept_key(self.request.headers["sec-websocket-key"])
        offered = self.request.headers.get("sec-websocket-protocol", "")
        named = ""
        if "netrox.chat.v2" in [name.strip() for name in offered.split(",")]:
            named = "Sec-WebSocket-Protocol: netrox.chat.v2\r\n"
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n{named}\r\n"
        ).encode()

    def accept(self, then=b""):
        """The 101, with what follows in the same segment."""
        self._is_accepted = True
        self.write(self.head() + then)

    def refuse(self, status, **headers):
        lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
        self.write(f"HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n{lines}\r\n".encode())
        self._writer.close()

    def send(self, *values):
        """In one segment."""
        self.write(b"".join(frames.text(value) for value in values))

    def greeting(self, **changes):
        """`hello` and all that was missed, without `live`."""
        hello = self.world.hello(self.after, **changes)
        place = self.world.place(self.after)
        return [hello, *([] if place is None else self.world.changes(place))]

    def live(self):
        total = self.world.unread_total()
        return {"action": "live", "cursor": self.world.cursor(), "unread_total": total}

    def greet(self, **changes):
        """As a server does where nothing is wrong."""
        if not self._is_accepted:
            self.accept()
        self.send(*self.greeting(**changes), self.live())

    def tell_newest(self):
        """The last change of the feed."""
        self.send(self.world.changes(len(self.world.feed) - 1)[-1])

    def ack(self, frame, **fields):
        self.send({"action": "ack", "ref": frame.get("ref"), **fields})

    def error(self, frame, code, retry_after_ms=None):
        error = {"action": "error", "ref": frame.get("ref"), "client_ref": frame.get("client_ref")}
        self.send({**error, "code": code, "message": code, "retry_after_ms": retry_after_ms})

    def ack_send(self, frame, told=True):
        """Stores it and acknowledges it. `told`: with the message's own frame."""
        message, repeated = self.world.store(frame)
        if told and not repeated:
            self.tell_newest()
        self.ack(
            frame,
            client_ref=message["client_ref"],
            message_id=message["id"],
            thread=message["thread"],
            created=message["created"],
            repeated=repeated,
        )
        return message

    def serve_one(self, frame):
        """Answers as a server does where nothing is wrong."""
        action = frame.get("action")
        if action == "chat_message":
            self.ack_send(frame)
        elif action in ("seen", "delivered"):
            thread = self.world.marked(action, frame["peer_id"], frame["up_to"])
            told = {"unread": thread["unread"], "last_id": thread["last_id"]}
            mark = {f"{action}_id": thread[f"{action}_id"]}
            self.ack(frame, peer_id=frame["peer_id"], **mark, **(told if action == "seen" else {}))
        elif action == "ping":
            self.ack(frame, time="2026-01-01T00:01:00.000000Z")
        elif action == "presence_watch":
            states = [
                {"peer_id": id, "online": True, "last_seen": None} for id in frame["peer_ids"]
            ]
            self.ack(frame, states=states)
        elif action == "token_refresh":
            self.ack(frame, expires="2026-01-01T01:00:00.000000Z")
        elif action in _ACTIONS:
            if frame.get("ref") is not None:
                self.ack(frame)
        else:
            self.error(frame, "unknown_action")

    async def serve(self):
        """Until the client has gone."""
        while (payload := await self.came.get()) is not None:
            self.serve_one(json.loads(payload))

    async def has_read(self):
        """All that was sent has come to the client's library, which answers pings by itself."""
        self.ponged.clear()
        self.write(frames.frame(frames.PING, b"read"))
        try:
            await asyncio.wait_for(self.ponged.wait(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failed("the client answers no ping of the WebSocket") from None

    def hang(self):
        """Takes all and answers nothing, pings included."""
        self.is_hung = True

    def close(self, code):
        if not self._is_accepted:
            self.accept()
        self._is_gone = True
        self.write(frames.close(code))

    def cut(self, reset=False):
        self._is_gone = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def end(self):
        self._writer.transport.abort()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
