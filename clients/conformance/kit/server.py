"""The scripted server: REST by itself, WebSockets by the check."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from .connection import Connection
from .world import World


@dataclass
class Request:
    method: str
    target: str
    headers: dict
    body: bytes = b""

    @property
    def path(self):
        return urlsplit(self.target).path.rstrip("/")

    @property
    def query(self):
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}


class Server:
    def __init__(self):
        self.world = World()
        #: Handshakes that no check has taken yet.
        self.waiting = asyncio.Queue()
        self.connections = []
        #: All requests of REST, as they came.
        self.requests = []
        self.changed = asyncio.Event()
        #: Asked first: a status and a body, or None for the usual answer.
        self.override = lambda request: None
        self._server = None
        self._tasks = set()

    async def __aenter__(self):
        # The largest body that a check sends fits.
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for connection in self.connections:
            await connection.end()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        is_rest = True
        try:
            while is_rest:
                is_rest = await self._one(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            if is_rest:
                writer.transport.abort()
            self._tasks.discard(task)

    async def _one(self, reader, writer):
        """Whether the connection serves a further request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.split(":", 1) for line in lines if line)
        request = Request(method, target, {k.lower(): v.strip() for k, v in pairs})
        if request.headers.get("upgrade", "").lower() == "websocket":
            connection = Connection(self.world, request, reader, writer)
            self.connections.append(connection)
            self.waiting.put_nowait(connection)
            self.changed.set()
            return False
        if request.headers.get("transfer-encoding", "").lower() == "chunked":
            request.body = await _chunks(reader)
        else:
            request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
        self.requests.append(request)
        self.changed.set()
        answer = self.override(request) or self.answer(request)
        if asyncio.iscoroutine(answer):
            answer = await answer
        status, body = answer
        content = b"" if body is None else json.dumps(body).encode()
        kind = "application/json" if status < 400 else "application/problem+json"
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        with contextlib.suppress(OSError):
            await writer.drain()
        return True

    def answer(self, request):
        """As a server does where nothing is wrong."""
        world = self.world
        parts = [unquote(part) for part in request.path.split("/")[1:]]
        match request.method, parts:
            case "GET", ["v2", "me"]:
                return 200, {
                    "user": world.user(world.me),
                    "presence": "peers",
                    "unread_total": world.unread_total(),
                    "limits": world.limits,
                }
            case "GET", ["v2", "sync"] if "after" in request.query:
                return self._changes(request.query["after"])
            case "GET", ["v2", "sync"]:
                cursor = world.cursor()
                total = world.unread_total()
                threads = world.thread_list()
                return 200, {
                    "threads": threads, "next": None, "cursor": cursor, "unread_total": total
                }
            case "GET", ["v2", "threads"]:
                total = world.unread_total()
                return 200, {"threads": world.thread_list(), "next": None, "unread_total": total}
            case "GET", ["v2", "threads", peer_id] if peer_id in world.threads:
                return 200, world.thread_object(peer_id)
            case "GET", ["v2", "threads", peer_id, "messages"]:
                mine = [
                    m for m in world.messages.values() if peer_id in (m["sender_id"], m["receiver_id"])
                ]
                return 200, {"messages": mine[::-1], "next": None}
            case "POST", ["v2", "threads", peer_id, "messages"]:
                body = json.loads(request.body)
                message, repeated = world.store({**body, "receiver_id": peer_id})
                return (200 if repeated else 201), message
            case "PUT", ["v2", "threads", peer_id, "seen" | "delivered" as kind]:
                up_to = json.loads(request.body)["up_to"]
                return 200, world.marked(kind, peer_id, up_to)
            case "GET", ["v2", "sends", client_ref] if client_ref in world.sends:
                return 200, world.messages[world.sends[client_ref]]
            case "GET", ["v2", "messages", message_id] if int(message_id) in world.messages:
                return 200, world.messages[int(message_id)]
            case "GET", ["v2", "blocks"]:
                return 200, {"blocks": [], "next": None}
            case "POST", ["v2", "ticket"]:
                return 200, {"ticket": "a-ticket", "expires_in_s": 30}
            case _:
                return problem(404, "not_found")

    def _changes(self, after):
        place = self.world.place(after)
        if place is None:
            return problem(410, "reset", reset="epoch")
        changes = [
            {key: value for key, value in change.items() if key != "cursor"}
            for change in self.world.changes(place)
        ]
        cursor, total = self.world.cursor(), self.world.unread_total()
        return 200, {"changes": changes, "cursor": cursor, "more": False, "unread_total": total}


def problem(status, code, **more):
    told = {"type": "about:blank", "title": code, "status": status, "detail": code, "code": code}
    return status, {**told, **more}


async def _chunks(reader):
    body = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
