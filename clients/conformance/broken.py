"""Each check has a client, broken on purpose, that fails it: `python broken.py [--part 1/2] [CHECK…]`.

Passes if all fail.
"""

import argparse
import asyncio
import pathlib
import re
import sys

import kit

# A correct client has more time (run.py). Before the modules that take it from there.
kit.PATIENCE = 3.0

from kit.checks import CHECKS  # noqa: E402
from run import one, part_of  # noqa: E402

ADAPTER = pathlib.Path(__file__).parent / "adapters" / "python.py"


async def main(names):
    places = asyncio.Semaphore(8)
    passed, crashed = [], []

    async def place(name):
        async with places:
            why = await one(name, [sys.executable, str(ADAPTER), "--broken", name])
            print(f"{name}: {why}", flush=True)
            if why is None:
                passed.append(name)
            elif re.search("adapter ended|^start:|KeyError", why):
                crashed.append(name)

    await asyncio.gather(*(place(name) for name in names))
    for name in passed:
        print(f"\nits broken client passes {name}")
    for name in crashed:
        print(f"\nthe broken client of {name} does not run")
    print(f"\n{len(names) - len(passed) - len(crashed)} of {len(names)} saw their fault")
    return 1 if passed or crashed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="1/1")
    parser.add_argument("check", nargs="*")
    arguments = parser.parse_args()
    chosen = part_of(arguments.check or list(CHECKS), arguments.part)
    sys.exit(asyncio.run(main(chosen)))
