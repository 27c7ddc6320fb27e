"""Makes the file of a send from what an app has."""

from __future__ import annotations

import asyncio
import mimetypes
import os

from .sends import File


async def describe(
    source: str | os.PathLike[str] | bytes, name: str | None, content_type: str | None
) -> tuple[File, bytes | None]:
    """A path is read when it is sent, and has to stay until then. Bytes go into the store."""
    if isinstance(source, bytes):
        name = name or "file"
        return File(name, _type(name, content_type), len(source), None), source
    path = os.path.abspath(os.fspath(source))
    size = (await asyncio.to_thread(os.stat, path)).st_size
    name = name or os.path.basename(path)
    return File(name, _type(name, content_type), size, path), None


def _type(name: str, content_type: str | None) -> str:
    return content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
