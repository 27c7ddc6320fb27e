"""Runs the checks against a client: `python run.py -- COMMAND OF ITS ADAPTER`. README.md says more."""

import argparse
import asyncio
import sys
import time

from kit.checks import CHECKS
from kit.trial import trial

#: Of one check.
LONGEST = 40


async def one(name, command):
    """None, or why it failed."""
    try:
        async with trial(command) as running:
            check = asyncio.create_task(CHECKS[name](running))
            await asyncio.wait({check}, timeout=LONGEST)
            if not check.done():
                check.cancel()
                await asyncio.gather(check, return_exceptions=True)
                return f"not over after {LONGEST} s"
            check.result()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def part_of(names, part):
    """Of "2/3" the second third."""
    which, of = (int(number) for number in part.split("/"))
    return [name for number, name in enumerate(names) if number % of == which - 1]


async def run(names, command, at_a_time):
    """The checks that failed, with why."""
    places = asyncio.Semaphore(at_a_time)
    failed = {}

    async def place(name):
        async with places:
            began = time.monotonic()
            why = await one(name, command)
            took = time.monotonic() - began
            print(f"{'ok    ' if why is None else 'FAILED'} {took:5.1f} s  {name}", flush=True)
            if why is not None:
                failed[name] = why

    await asyncio.gather(*(place(name) for name in names))
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="append", choices=sorted(CHECKS), help="only these")
    parser.add_argument("--part", default="1/1", help="1/2: the first half of them")
    parser.add_argument("--list", action="store_true", help="print the checks and what they ask")
    parser.add_argument("--at-a-time", type=int, default=6)
    parser.add_argument("command", nargs="*", help="the adapter, behind --")
    arguments = parser.parse_args()
    if arguments.list:
        for name, check in CHECKS.items():
            print(f"{name}: {' '.join((check.__doc__ or '').split())}")
        return 0
    if not arguments.command:
        parser.error("no adapter")
    names = part_of(arguments.check or list(CHECKS), arguments.part)
    failed = asyncio.run(run(names, arguments.command, arguments.at_a_time))
    for name, why in failed.items():
        print(f"\n{name}: {why}")
    print(f"\n{len(names) - len(failed)} of {len(names)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
