"""Lists that come in pages, as async iterators of their items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

#: Reads the page behind `next`; the first one for None.
ReadPage = Callable[["str | None"], Awaitable["Page[T]"]]


class Page(Generic[T]):
    def __init__(self, items: list[T], next: str | None) -> None:
        self.items = items
        #: None at the end. A page may be short, even empty, and not be the last.
        self.next = next


class Pages(Generic[T]):
    """`async for item in pages`, or `async for page in pages.by_page()`."""

    def __init__(self, read: ReadPage[T]) -> None:
        self._read = read

    async def by_page(self) -> AsyncIterator[Page[T]]:
        next: str | None = None
        while True:
            page = await self._read(next)
            yield page
            next = page.next
            if next is None:
                return

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.by_page():
            for item in page.items:
                yield item

    async def all(self) -> list[T]:
        return [item async for item in self]
