"""The bytes of an attachment; what a broken connection left out is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx

from .backoff import Backoff
from .errors import ConnectionLost
from .options import Options
from .rest import TRANSPORT_ERRORS, Rest, problem

_MAX_TRIES = 5


async def download(rest: Rest, path: str, options: Options) -> AsyncIterator[bytes]:
    """In pieces. A try that brought nothing counts; after five in a row it is given up."""
    got = 0
    tries = 0
    etag: str | None = None
    backoff = Backoff(options.backoff_base, options.backoff_cap)
    while True:
        headers = {"Authorization": f"Bearer {await rest.tokens.get()}"}
        if got:
            headers["Range"] = f"bytes={got}-"
            if etag is not None:
                headers["If-Range"] = etag
        try:
            async with rest.downloads.stream("GET", rest.url(path), headers=headers) as response:
                if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                    await response.aread()
                    raise problem(response)
                # Whole again, where the file is another or ranges are unknown.
                skip = got if response.status_code == httpx.codes.OK else 0
                etag = response.headers.get("ETag")
                async for chunk in response.aiter_raw():
                    fresh = chunk[skip:]
                    skip = max(skip - len(chunk), 0)
                    if fresh:
                        got += len(fresh)
                        tries = 0
                        yield fresh
                return
        except TRANSPORT_ERRORS as error:
            tries += 1
            if tries >= _MAX_TRIES:
                raise ConnectionLost(f"the download broke: {error!r}") from error
            await asyncio.sleep(backoff.next())
