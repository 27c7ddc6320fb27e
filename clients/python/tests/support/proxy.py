"""A TCP proxy that cuts connections at random bytes."""

import asyncio
import random


class Proxy:
    """Cuts each connection after a random number of bytes, both ways counted, while cuts are left."""

    def __init__(self, target, cuts=0, longest=4000, seed=0):
        self._target = target
        self._longest = longest
        self._random = random.Random(seed)
        self._server = None
        self._tasks = set()
        self.cuts_left = cuts
        self.cuts = 0
        self.connections = 0
        self.all_cut = asyncio.Event()
        if cuts == 0:
            self.all_cut.set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._between(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _between(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        # The first bytes are as likely as all of the rest.
        shortest = self._random.choice((600, self._longest))
        left = [self._random.randint(0, shortest) if self.cuts_left > 0 else None]
        try:
            pipes = {
                asyncio.ensure_future(self._pipe(reader, far_writer, left)),
                asyncio.ensure_future(self._pipe(far_reader, writer, left)),
            }
            try:
                await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pipe in pipes:
                    pipe.cancel()
                await asyncio.gather(*pipes, return_exceptions=True)
        finally:
            far_writer.transport.abort()

    async def _pipe(self, reader, writer, left):
        while data := await reader.read(65536):
            if left[0] is not None and len(data) >= left[0]:
                writer.write(data[: left[0]])
                await writer.drain()
                if self.cuts_left > 0:
                    self.cuts_left -= 1
                    self.cuts += 1
                    if self.cuts_left == 0:
                        self.all_cut.set()
                # What was written leaves, then both ends break.
                await asyncio.sleep(0.005)
                return
            if left[0] is not None:
                left[0] -= len(data)
            writer.write(data)
            await writer.drain()
