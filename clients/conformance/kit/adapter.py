"""The client under test: a process that speaks JSON lines. README.md says which."""

import asyncio
import json
import subprocess

from . import PATIENCE


class Failed(AssertionError):
    """The client did what a correct one does not."""


class Adapter:
    def __init__(self, command):
        self._command = command
        self._process = None
        self._count = 0
        self._answers = {}
        #: All that it told, in order.
        self.events = []
        self._changed = asyncio.Event()
        self._task = None
        #: Gives the next token when the client wants one; None: there is none.
        self.tokens = lambda: "token-1"
        self.tokens_given = []

    async def __aenter__(self):
        await self.spawn()
        return self

    async def __aexit__(self, *_):
        await self.kill()

    async def spawn(self):
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=2**24,
        )
        self._task = asyncio.create_task(self._read())

    async def kill(self):
        """As a crash does: nothing more is written."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._task

    async def _read(self):
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "id" in told:
                answer = self._answers.pop(told["id"], None)
                if answer is not None and not answer.done():
                    answer.set_result(told)
            elif told["event"] == "token_wanted":
                token = self.tokens()
                self.tokens_given.append(token)
                self._write({"do": "token", "token": token})
            else:
                self.events.append(told)
            self._changed.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Failed("the adapter ended"))

    def _write(self, command):
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def do(self, what, **fields):
        """A command, and its answer."""
        self._count += 1
        answer = self._answers[self._count] = asyncio.get_running_loop().create_future()
        self._write({"id": self._count, "do": what, **fields})
        try:
            # A process that starts, on a busy machine: it is not what is measured.
            told = await asyncio.wait_for(answer, 30.0)
        except asyncio.TimeoutError:
            raise Failed(f"the adapter does not answer {what}") from None
        if not told.get("ok"):
            raise Failed(f"{what}: {told.get('error')}")
        return told

    def of(self, event, **fields):
        return [
            told
            for told in self.events
            if told["event"] == event and fields.items() <= told.items()
        ]

    async def until(self, is_so, what):
        """Waits for something that the client tells."""

        async def wait():
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(wait(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failed(f"waited in vain for {what}") from None

    async def told(self, event, **fields):
        await self.until(lambda: self.of(event, **fields), f"{event} {fields}")
        return self.of(event, **fields)[-1]
