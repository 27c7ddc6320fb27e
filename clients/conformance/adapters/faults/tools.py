"""How the faults are made."""

import dataclasses

from netrox_chat import closing, options

#: By the name of the check that has to see it.
FAULTS = {}


def fault(*checks):
    def take(function):
        for check in checks:
            FAULTS[check] = function
        return function

    return take


def with_options(**changes):
    usual = options.Options.scaled

    def scaled(self, factor):
        return dataclasses.replace(usual(self, factor), **changes)

    options.Options.scaled = scaled


def does_nothing(*_, **__):
    pass


async def does_nothing_later(*_, **__):
    pass


def after(decide):
    """What the client does after a close."""
    usual = closing.End.after.fget
    closing.End.after = property(lambda end: decide(end) or usual(end))
