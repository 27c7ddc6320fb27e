"""Requests to `/v2/`: the token, errors, and tries until a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from . import decode
from .backoff import Backoff
from .decode import Json
from .errors import (
    ChatError,
    Closed,
    ConnectionLost,
    InvalidToken,
    ProtocolViolation,
    ServerError,
    SignedOut,
    UserDeleted,
    refusal,
)
from .options import Options
from .tokens import Tokens

#: What a transport raises where the answer is lost.
TRANSPORT_ERRORS = (httpx.TransportError, httpx.StreamError)


class Rest:
    def __init__(self, base_url: str, tokens: Tokens, options: Options) -> None:
        self._tokens = tokens
        self._options = options
        timeout = httpx.Timeout(options.read_timeout, connect=options.open_timeout)
        self._base = httpx.URL(base_url.rstrip("/"))

        def make(keep: int) -> httpx.AsyncClient:
            return httpx.AsyncClient(
                timeout=timeout,
                limits=httpx.Limits(max_connections=16, max_keepalive_connections=keep),
                verify=True if options.tls is None else options.tls,
                trust_env=options.trust_env,
                headers={"User-Agent": options.user_agent},
            )

        self._client = make(8)
        # A connection on which an upload was refused may not serve the next one.
        self._uploads = make(0)
        self._is_closed = False

    async def close(self) -> None:
        self._is_closed = True
        await self._client.aclose()
        await self._uploads.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
        timeout: float | None = None,
    ) -> tuple[int, Json]:
        """Repeats what may be repeated until `timeout`; every verb of the protocol may. Gives the
        status and the JSON of the answer, which is empty for 204."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._options.call_timeout if timeout is None else timeout)
        backoff = Backoff(self._options.backoff_base, self._options.backoff_cap)
        while True:
            try:
                return await self.once(method, path, params=params, body=body)
            except ServerError as error:
                if not error.may_repeat:
                    raise
                failure: ChatError = error
                wait = error.retry_after_s
            except ConnectionLost as error:
                failure, wait = error, None
            wait = backoff.next() if wait is None else wait
            if loop.time() + wait > deadline:
                raise failure
            await asyncio.sleep(wait)

    async def once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
    ) -> tuple[int, Json]:
        """One try; a second one with another token, where the first was refused."""
        headers: dict[str, str] = {}
        content: bytes | None = None
        if body is not None:
            content = decode.encode(body).encode()
            headers["Content-Type"] = "application/json"
        token = await self._tokens.get()
        for is_last in (False, True):
            try:
                response = await self._send(method, path, params, content, headers, token)
                return response.status_code, read_answer(response)
            except InvalidToken:
                if is_last:
                    raise
                token = await self._tokens.other_than(token)
            except UserDeleted as error:
                raise SignedOut("the user is deleted") from error
        raise AssertionError("unreachable")

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        headers: dict[str, str],
        token: str,
    ) -> httpx.Response:
        if self._is_closed:
            raise Closed("the client was closed")
        given = {key: value for key, value in (params or {}).items() if value is not None}
        try:
            return await self._client.request(
                method,
                self.url(path),
                params=given,
                content=content,
                headers={**headers, "Authorization": f"Bearer {token}"},
            )
        except TRANSPORT_ERRORS as error:
            raise ConnectionLost(f"no answer: {error!r}") from error

    def url(self, path: str) -> httpx.URL:
        return httpx.URL(f"{self._base}{path}")

    @property
    def uploads(self) -> httpx.AsyncClient:
        return self._uploads

    @property
    def downloads(self) -> httpx.AsyncClient:
        return self._client

    @property
    def tokens(self) -> Tokens:
        return self._tokens


def read_answer(response: httpx.Response) -> Json:
    """The JSON of a success; raises the error of all else."""
    status = response.status_code
    if 200 <= status < 300:
        if status == 204:
            return {}
        try:
            return decode.parse(response.content)
        except ProtocolViolation:
            # A page of a proxy, or half an answer: the request may have been done.
            raise refusal(None, "the answer is not JSON", status=502) from None
    raise problem(response)


def problem(response: httpx.Response) -> ServerError:
    try:
        told = decode.parse(response.content)
    except ProtocolViolation:
        told = {}
    return refusal(
        decode.optional_text(told, "code"),
        decode.optional_text(told, "detail") or decode.optional_text(told, "title") or "",
        status=response.status_code,
        retry_after_s=_retry_after(response),
        reset=decode.optional_text(told, "reset"),
    )


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(float(response.headers["Retry-After"]), 0.0)
    except (KeyError, ValueError):
        return None
