"""A test that also fails where a task failed and nobody looked."""

import asyncio
import gc
import unittest


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        loop = asyncio.get_running_loop()
        # The noise of slow steps is of no interest here.
        loop.set_debug(False)
        self.unseen = []
        loop.set_exception_handler(lambda _, context: self.unseen.append(context))
        # The last of all: what was cleaned up before it is gone.
        self.addAsyncCleanup(self.nothing_unseen)

    async def nothing_unseen(self):
        gc.collect()
        await asyncio.sleep(0)
        self.assertEqual(self.unseen, [])
        left = [task for task in asyncio.all_tasks() if "netrox_chat" in repr(task.get_coro())]
        self.assertEqual(left, [], "tasks that were left behind")
