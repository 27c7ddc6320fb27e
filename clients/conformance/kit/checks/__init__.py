"""All checks, by name."""

CHECKS = {}


def a_check(function):
    CHECKS[function.__name__] = function
    return function


from . import closes, connecting, feeds, life, sends, signals  # noqa: E402, F401
