"""Seeded chance, of which made-up people are made."""

import random
import string
from bisect import bisect
from collections.abc import Callable, Sequence
from typing import TypeVar

_T = TypeVar("_T")
_LETTERS = string.ascii_letters + string.digits + "-_"


class Dice:
    """Seeded chance that falls the same way on every platform and Python version.

    Everything rests on `Random.random`: the other methods of `Random` may change
    between Python versions, that one is promised not to.
    """

    def __init__(self, seed: int) -> None:
        self.roll: Callable[[], float] = random.Random(seed).random  # noqa: S311 - to be repeated, not secret

    def chance(self, share: float) -> bool:
        """Tell whether it falls within a share, 0 to 1."""
        return self.roll() < share

    def below(self, end: int) -> int:
        """Pick a number from 0, less than `end`."""
        return int(self.roll() * end)

    def pick(self, items: Sequence[_T]) -> _T:
        """Pick one of these."""
        return items[int(self.roll() * len(items))]

    def share(self, table: Sequence[tuple[float, _T]]) -> _T:
        """Pick by percentages; the last row takes what the others leave."""
        left = self.roll() * 100
        for percent, item in table:
            left -= percent
            if left < 0:
                return item
        return table[-1][1]

    def weighed(self, running: Sequence[float]) -> int:
        """Pick an index by running totals of weights."""
        return bisect(running, self.roll() * running[-1], 0, len(running) - 1)

    def text(self, length: int) -> str:
        """Return a token of URL-safe base64 letters."""
        roll = self.roll
        return "".join([_LETTERS[int(roll() * 64)] for _ in range(length)])

    def digits(self, length: int) -> str:
        """Return at most 15 digits, none of them a leading zero."""
        low: int = 10 ** (length - 1)
        return str(low + int(self.roll() * 9 * low))

    def hexadecimal(self, length: int) -> str:
        """Return hexadecimal digits."""
        blocks = (f"{int(self.roll() * 16**8):08x}" for _ in range(0, length, 8))
        return "".join(blocks)[:length]
