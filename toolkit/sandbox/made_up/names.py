"""Names of people who do not exist, and the seeded chance of which they are made."""

import random
import string
from bisect import bisect
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

FIRST = (
    "Ada Aiko Amara Anders Anouk Asha Basil Bela Bianca Boris Carla Chidi Clara Dalia Dario Dina "
    "Edda Elio Emre Esme Farah Felix Fiona Gita Goran Hana Hugo Ines Ivo Jalil Jonas Juno Kaja "
    "Kenji Lara Leif Lina Luca Mai Malik Mara Milo Nadia Nils Noor Odile Omar Paloma Pavel Quinn "
    "Rania Remi Rosa Samir Selma Tariq Tove Uma Vera Yuki"
).split()
_PLACE = (
    "Aspen Bramble Clover Drift Elder Fern Gold Heather Iron Juniper Kettle Lark Maple Nettle "
    "Oat Pebble Quill Raven Silver Thistle Umber Vine Willow Yarrow"
).split()
_ENDING = "brook combe dale field ford gate hollow ley moor stone wick worth".split()
# Surnames are put together from parts: no list of real people's names is behind them.
SURNAMES = tuple(place + ending for place in _PLACE for ending in _ENDING)
PAIRS = len(FIRST) * len(SURNAMES)
# It has no divisor in common with PAIRS, so these steps reach every pair before one comes again.
_STRIDE = 7919


class Name(NamedTuple):
    """What one made-up person is called, and what that means for their e-mail address.

    Attributes:
        local: the part before the @; no two people share it.
        domain: the part after it, where the name asks for one.
    """

    full: str
    first: str
    last: str
    local: str
    domain: str | None = None


# Auth0 takes these names, and they are hard to show, sort, export or hash.
_ODD = (
    Name("Zoë Ñandú-Åsgård", "Zoë", "Ñandú-Åsgård", "zoe"),
    Name("Jürgen Größe", "Jürgen", "Größe", "jürgen", "bücher.example"),
    Name("<b>Bo</b>", "<b>Bo</b>", "", "bo"),
    Name("Pip 🦊 Foxglove", "Pip", "Foxglove", "pip"),
    Name("نور النهر", "نور", "النهر", "noor"),
    Name("שירה כוכב", "שירה", "כוכב", "shira"),
    Name("青空 花子", "花子", "青空", "hanako", "例え.example"),
    Name('Rob "Quote" O\'Tick', "Rob", "O'Tick", "o'tick"),
    Name("=SUM(A1:A9)", "=SUM(A1:A9)", "", "sum"),
    Name("Semicolon; Comma, Esq.", "Semicolon", "Comma", "semi+comma"),
    Name("Maximiliana " * 24 + "Longworth", "Maximiliana", "Longworth", "max"),
    Name("X", "X", "", "x"),
)
_ODD_EVERY = 251
_ODD_FIRST = 17


def name(index: int, offset: int, style: float) -> Name:
    """Return the name of the person with this index; no two share an address.

    The first pair of names is at `offset`, 0 ≤ offset < `PAIRS`; `style`, 0 ≤ style < 1, decides
    how the address is built from the name.
    """
    if index % _ODD_EVERY == _ODD_FIRST:
        odd = _ODD[index // _ODD_EVERY % len(_ODD)]
        return odd._replace(local=f"{odd.local}{index}")
    place, surname = divmod((offset + index * _STRIDE) % PAIRS, len(SURNAMES))
    first, last = FIRST[place], SURNAMES[surname]
    # After the last pair the first comes again: a number keeps addresses apart.
    again = f".{index // PAIRS + 1}" if index >= PAIRS else ""
    # Each style has a mark that the others lack (a dot, digits, an underscore, the order).
    styles = (
        (0.5, f"{first}.{last}{again}"),
        (0.6, f"{first}.{last}{60 + index % 40}{again}"),
        (0.7, f"{first}_{last}{again}"),
        (0.8, f"{last}.{first}{again}"),
        (1.0, f"{first[0]}{last}{index}"),
    )
    local = next(text for bound, text in styles if style < bound)
    return Name(f"{first} {last}", first, last, local.lower())


def initials(shown: str, email: str | None) -> str:
    """Return the two letters that Auth0 draws for this name.

    Fact: of every recorded user, one word gives its first two characters, two words give their
    first letters, digits count. INFERRED: of three words the first two count, and for other
    characters those of the e-mail address.
    """
    words = shown.split()
    letters = words[0][0] + words[1][0] if len(words) > 1 else shown[:2]
    if not (letters.isascii() and letters.isalnum()):
        plain = (letter for letter in email or shown if letter.isascii() and letter.isalnum())
        letters = "".join(plain)[:2]
    return letters.lower()


_T = TypeVar("_T")
_LETTERS = string.ascii_letters + string.digits + "-_"


class Dice:
    """Seeded chance, the same on every platform and Python version.

    Of all methods of `Random`, only `random` is promised not to change between Python versions.
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
        return items[self.below(len(items))]

    def share(self, table: Sequence[tuple[float, _T]]) -> _T:
        """Pick by percentages; the last row takes the rest."""
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
        roll = self.roll  # a local name, because this is the slowest part of making people up
        return "".join([_LETTERS[int(roll() * 64)] for _ in range(length)])

    def digits(self, length: int) -> str:
        """Return at most 15 digits, none of them a leading zero."""
        low: int = 10 ** (length - 1)
        return str(low + int(self.roll() * 9 * low))

    def __format__(self, drawn: str) -> str:
        """Return what a method of this name draws: `f"{dice:digits 8}"` is `dice.digits(8)`."""
        method, number = drawn.split()
        return str(getattr(self, method)(int(number)))

    def hexadecimal(self, length: int) -> str:
        """Return hexadecimal digits."""
        blocks = (f"{int(self.roll() * 16**8):08x}" for _ in range(0, length, 8))
        return "".join(blocks)[:length]
