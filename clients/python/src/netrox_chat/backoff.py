"""How long to wait before the next try: full jitter, so that many clients do not come back at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """A random time up to min(cap, base · 2^n)."""

    def __init__(
        self, base: float, cap: float, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._base = base
        self._cap = cap
        self._draw = draw
        self._tries = 0

    def reset(self) -> None:
        self._tries = 0

    def next(self, at_least: float = 0.0) -> float:
        # 2^n is not computed where it is over the cap anyway.
        longest = min(self._cap, self._base * 2 ** min(self._tries, 30))
        self._tries += 1
        return at_least + self._draw(0.0, longest)
