"""One connection, from its handshake to its end."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from . import decode
from .closing import End
from .decode import Json
from .errors import ConnectionLost, NoAnswer, ProtocolViolation, ServerError, refusal
from .options import Options

#: Frames that wait for the store. The server waits behind them.
_INBOX = 256


class Refused(Exception):
    """No connection came about."""

    def __init__(self, end: End) -> None:
        super().__init__(end.reason)
        self.end = end


class Link:
    """Reads frames: answers go to who asked, the rest waits in `inbox`, in order, and None at its end."""

    def __init__(self, socket: ClientConnection, hello: Json, token: str, options: Options) -> None:
        self.hello = hello
        #: What the connection stands on.
        self.token = token
        self.inbox: asyncio.Queue[Json | None] = asyncio.Queue(_INBOX)
        #: Set when the connection has ended.
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.went_live = asyncio.Event()
        self._socket = socket
        self._options = options
        self._asked: dict[str, asyncio.Future[Json]] = {}
        self._count = 0
        self._last_frame = asyncio.get_running_loop().time()
        self._heard = asyncio.Event()
        self._violation = False
        #: Set while nothing is read, since the app is slow: no answer can come.
        self.stalled = asyncio.Event()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._watch())]

    @property
    def is_live(self) -> bool:
        return self.went_live.is_set()

    # --- asking ---

    async def ask(self, frame: Json, timeout: float) -> Json:
        """Sends a frame and gives its `ack`. Raises `ServerError`, `ConnectionLost` or `NoAnswer`."""
        self._count += 1
        ref = str(self._count)
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._asked[ref] = answer
        try:
            await self._send({**frame, "ref": ref})
            return await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            raise NoAnswer("no answer in time") from None
        finally:
            self._asked.pop(ref, None)
            answer.cancel()

    async def tell(self, frame: Json) -> None:
        """Sends a frame that has no answer."""
        await self._send(frame)

    async def _send(self, frame: Json) -> None:
        if self.end.done():
            raise ConnectionLost("the connection has ended")
        try:
            await self._socket.send(decode.encode(frame))
        except ConnectionClosed as closed:
            raise ConnectionLost("the connection ended while it was sent") from closed

    # --- reading ---

    async def _read(self) -> None:
        try:
            while True:
                data = await self._socket.recv()
                self._last_frame = asyncio.get_running_loop().time()
                self._heard.set()
                frame = decode.parse(data)
                if frame.get("action") in ("ack", "error"):
                    self._answer(frame)
                else:
                    if self.inbox.full():
                        self.stalled.set()
                    await self.inbox.put(frame)
                    self.stalled.clear()
        except ConnectionClosed:
            pass
        except ProtocolViolation:
            # What is skipped would be a hole before the next cursor.
            self.violated()
        finally:
            self._finish()

    def _answer(self, frame: Json) -> None:
        ref = frame.get("ref")
        answer = self._asked.get(ref) if isinstance(ref, str) else None
        if answer is None or answer.done():
            return
        if frame["action"] == "ack":
            answer.set_result(frame)
        else:
            answer.set_exception(_error_of(frame))

    async def _watch(self) -> None:
        """Asks a silent server, and drops one that does not answer: libraries do not notice."""
        loop = asyncio.get_running_loop()
        while True:
            quiet = loop.time() - self._last_frame
            if quiet < self._options.silence or self.stalled.is_set():
                await asyncio.sleep(max(self._options.silence - quiet, 0.01))
            elif not await self.is_alive():
                self.drop()
                return

    async def is_alive(self) -> bool:
        """Whether any frame comes within `ping_timeout` of a `ping`."""
        self._heard.clear()
        try:
            timeout = self._options.ping_timeout
            await asyncio.wait_for(self._send({"action": "ping"}), timeout)
            await asyncio.wait_for(self._heard.wait(), timeout)
        except (ConnectionLost, asyncio.TimeoutError):
            # Who does not read cannot hear.
            return self.stalled.is_set() and not self.end.done()
        return not self.end.done()

    # --- ending ---

    def drop(self) -> None:
        """Without waiting for its close."""
        self._socket.transport.abort()

    def violated(self) -> None:
        self._violation = True
        self.drop()

    async def close(self) -> None:
        """Says goodbye. What the server sent before its answer still comes."""
        await self._socket.close(1000)

    def _finish(self) -> None:
        if not self.end.done():
            self.end.set_result(_end_of(self._socket, is_violation=self._violation))
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionLost("the connection ended before the answer"))
                # Whoever asked may be gone.
                answer.exception()
        self._tasks[1].cancel()
        if self.inbox.full():
            # The end has to fit; its reader is behind, and gets all that was taken.
            self._tasks.append(asyncio.create_task(self.inbox.put(None)))
        else:
            self.inbox.put_nowait(None)

    async def abandon(self) -> None:
        """Drops it and waits for its tasks."""
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _error_of(frame: Json) -> ServerError:
    retry_after = decode.optional_integer(frame, "retry_after_ms")
    return refusal(
        decode.optional_text(frame, "code"),
        decode.optional_text(frame, "message") or "",
        retry_after_s=None if retry_after is None else retry_after / 1000,
    )


def _end_of(socket: ClientConnection, *, is_violation: bool, was_greeted: bool = True) -> End:
    received = socket.protocol.close_rcvd
    if received is not None and not socket.protocol.close_rcvd_then_sent:
        # An answer to a close of this side: its library met a frame that it does not take.
        is_violation = socket.protocol.close_sent is not None and socket.protocol.close_sent.code != 1000
        return End(None, "closed by this side", was_greeted, is_violation=is_violation)
    if received is None:
        return End(None, "the connection broke", was_greeted, is_violation=is_violation)
    return End(int(received.code), received.reason, was_greeted)


async def open_link(
    url: str, credentials: dict[str, str], token: str, after: str | None, options: Options
) -> Link:
    """Connects and waits for `hello`. `credentials` is a ticket's parameter, or nothing: then the token
    goes into the header."""
    query = {"protocol": "2", **credentials}
    if after is not None:
        query["after"] = after
    headers = {} if credentials else {"Authorization": f"Bearer {token}"}
    try:
        socket = await connect(
            f"{url}?{urlencode(query)}",
            additional_headers=headers,
            user_agent_header=options.user_agent,
            compression=None,
            # Its pings are not ours to see: `ping` of the protocol finds a hung host.
            ping_interval=None,
            open_timeout=options.open_timeout,
            close_timeout=options.close_timeout,
            max_size=options.max_frame_bytes,
            max_queue=_INBOX,
            proxy=True if options.trust_env else None,
            **_tls(url, options),
        )
    except InvalidStatus as refused:
        status = refused.response.status_code
        # An edge of before says so before the 101.
        code = 4401 if status == 401 else None
        wait = _seconds(refused.response.headers.get("Retry-After"))
        raise Refused(End(code, f"HTTP {status}", retry_after_s=wait)) from refused
    except (InvalidHandshake, OSError, asyncio.TimeoutError, EOFError) as error:
        raise Refused(End(None, f"no connection: {error}")) from error
    try:
        data = await asyncio.wait_for(socket.recv(), options.hello_timeout)
        hello = decode.parse(data)
        if hello.get("action") != "hello":
            raise ProtocolViolation("another frame before hello: a server of the first generation")
    except ConnectionClosed as closed:
        end = _end_of(socket, is_violation=False, was_greeted=False)
        raise Refused(end) from closed
    except (asyncio.TimeoutError, ProtocolViolation) as error:
        socket.transport.abort()
        if socket.protocol.close_rcvd is not None:
            # It said goodbye, and did not go.
            raise Refused(_end_of(socket, is_violation=False, was_greeted=False)) from error
        raise Refused(End(None, str(error) or "no hello")) from error
    except BaseException:
        socket.transport.abort()
        raise
    return Link(socket, hello, token, options)


def _tls(url: str, options: Options) -> dict[str, Any]:
    if options.tls is None or not url.startswith("wss:"):
        return {}
    return {"ssl": options.tls}


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(float(value), 0.0)
    except ValueError:
        return None


