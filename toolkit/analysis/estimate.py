"""How many Gravatars exist, and how many pictures are people's own, estimated from a sample."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from toolkit.analysis.file_header import items, read
from toolkit.classification.sources import Source

# The standard normal quantile of a two-sided 95 % interval.
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """A number of users that is not known exactly: at least, at most, and the best estimate."""

    low: float
    high: float
    middle: float

    def __add__(self, other: float) -> "Interval":
        """Shift by a known number of users."""
        return Interval(self.low + other, self.high + other, self.middle + other)


class _Counted(Protocol):
    """Users of whom some were drawn; of those, how many have what was asked for."""

    @property
    def users(self) -> int: ...
    @property
    def asked(self) -> int: ...
    @property
    def present(self) -> int: ...
    @property
    def unclear(self) -> int: ...


_S = TypeVar("_S", bound=_Counted)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Users of one connection whose Gravatar URL is unresolved, and a sample of them.

    Attributes:
        otherwise: what users without a Gravatar see: `initials` or `placeholder`.
        asked: how many of the `users`, chosen at random, Gravatar was asked about.
        present: how many of those have one; of the `unclear` ones nobody knows.
    """

    connection: str | None
    otherwise: Source
    users: int
    asked: int
    present: int
    unclear: int = 0

    def __post_init__(self) -> None:
        _ensure_possible(self)

    def as_own(self) -> "OwnStratum":
        """Return the same answers: who has a Gravatar sees a picture of their own."""
        counts = (self.users, self.asked, self.present, self.unclear)
        return OwnStratum(self.connection, Source.UNRESOLVED, *counts)


@dataclass(frozen=True, slots=True)
class OwnStratum:
    """Users of one connection and source whose picture may be their own, and a sample of them.

    Attributes:
        source: what their picture is: one of those that may be a picture of one's own.
        asked: of how many of the `users`, chosen at random, the picture was looked at, or for
            an unresolved Gravatar: how many Gravatar was asked about. Nobody, if neither tells.
        present: how many of those see a picture of their own: a photo or art that loads, or a
            Gravatar that exists; of the `unclear` ones nobody knows.
        certain: whether all `users` see one for certain; nobody needs to be asked.
    """

    connection: str | None
    source: Source
    users: int
    asked: int
    present: int
    unclear: int = 0
    certain: bool = False

    def __post_init__(self) -> None:
        _ensure_possible(self)


@dataclass(frozen=True, slots=True)
class _Sample(Generic[_S]):
    """A stratified sample."""

    strata: tuple[_S, ...]

    @property
    def users(self) -> int:
        """How many users the estimate covers."""
        return sum(stratum.users for stratum in self.strata)

    @property
    def asked(self) -> int:
        """How many of them were asked about, or looked at."""
        return sum(stratum.asked for stratum in self.strata)

    @property
    def unclear(self) -> int:
        """Of how many of those nobody knows."""
        return sum(stratum.unclear for stratum in self.strata)

    def where(self, test: Callable[[_S], bool]) -> Self:
        """Return the estimate of the strata that pass a test."""
        return type(self)(tuple(filter(test, self.strata)))


@dataclass(frozen=True, slots=True)
class OwnEstimate(_Sample[OwnStratum]):
    """What a stratified sample says about who sees a picture of their own.

    It covers everybody who may see one; those who do for certain are counted, and a sample of the
    others was asked about. Everybody else certainly sees none, so this is a number for the whole
    tenant. The interval is that of `Estimate`.
    """

    strata: tuple[OwnStratum, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_json` of this version or a former one wrote.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        strata = [{"certain": False, **one} for one in items(values["strata"])]
        return read(cls, {"strata": strata})

    @property
    def blind(self) -> int:
        """How many are in a stratum of which nobody was asked about."""
        return self.where(lambda one: not one.asked and not one.certain).users

    @property
    def own(self) -> Interval:
        """How many users see a picture of their own."""
        certain = sum(one.users for one in self.strata if one.certain)
        return _interval([one for one in self.strata if not one.certain]) + certain

    def __repr__(self) -> str:
        found = self.own
        whole = max(self.users, 1)
        return (
            f"{found.middle / whole:.1%} of {self.users:,} users whose picture may be their own "
            f"see one (95 %: {found.low / whole:.1%} to {found.high / whole:.1%}; "
            f"{self.asked:,} looked at)"
        )


@dataclass(frozen=True, slots=True)
class Estimate(_Sample[Stratum]):
    """What a stratified sample says about all users whose Gravatar URL is unresolved.

    The 95 % interval is Wilson's (1927), for the effective size of the stratified sample, with the
    correction for a finite population (Cochran, "Sampling Techniques", 5.4 and 3.2): a stratum of
    which every user was asked adds no uncertainty. An unclear answer counts as absent at the lower
    end, as present at the upper end.

    It is too narrow if most of the uncertainty is in strata with only a few questions.
    """

    strata: tuple[Stratum, ...]

    @property
    def gravatars(self) -> Interval:
        """How many of these users have a Gravatar."""
        return _interval(self.strata)

    def __repr__(self) -> str:
        found = self.gravatars
        whole = max(self.users, 1)
        return (
            f"{found.middle / whole:.1%} of {self.users:,} unresolved users have a Gravatar "
            f"(95 %: {found.low / whole:.1%} to {found.high / whole:.1%}; {self.asked:,} asked)"
        )


def allocated(users: Sequence[int], size: int) -> list[int]:
    """Divide a sample among strata in proportion to their users, at least two each if possible.

    Args:
        users: how many users each stratum has.
        size: how many users to draw altogether, or all if there are fewer.
    """
    size = min(size, sum(users))
    least = [min(2, n) for n in users]
    if sum(least) > size:
        least = [0] * len(users)
    rest, room = size - sum(least), [n - m for n, m in zip(users, least, strict=True)]
    whole = max(sum(room), 1)
    shares = [rest * n / whole for n in room]
    extra = [math.floor(share) for share in shares]
    # Add the rest from rounding down to the largest remainders.
    order = sorted(range(len(users)), key=lambda i: shares[i] - extra[i], reverse=True)
    for i in order[: rest - sum(extra)]:
        extra[i] += 1
    return [m + n for m, n in zip(least, extra, strict=True)]


def _ensure_possible(stratum: _Counted) -> None:
    if not stratum.present + stratum.unclear <= stratum.asked <= stratum.users:
        raise ValueError("more answers than questions, or more questions than users")


def _interval(strata: Sequence[_Counted]) -> Interval:
    low, _, best = _wilson(strata, 0)
    _, high, most = _wilson(strata, 1)
    return Interval(low, high, (best + most) / 2)


def _wilson(strata: Sequence[_Counted], unclear: int) -> tuple[float, float, float]:
    """Return low, high and best estimate, in users; unclear answers count as present or not."""
    drawn = [one for one in strata if one.asked]
    blind = sum(one.users for one in strata if not one.asked)
    whole = sum(one.users for one in drawn)
    if not whole:
        return 0.0, float(blind), blind / 2
    share = smooth = variance = 0.0
    for one in drawn:
        weight, present = one.users / whole, one.present + unclear * one.unclear
        # Smoothed (Agresti and Coull, 1998): a stratum of which none was found in the
        # sample may still have some.
        guess = (present + 2) / (one.asked + 4)
        missing = (one.users - one.asked) / max(one.users - 1, 1)
        share += weight * present / one.asked
        smooth += weight * guess
        variance += weight**2 * missing * guess * (1 - guess) / one.asked
    if variance <= 0:
        low = high = share
    else:
        size = smooth * (1 - smooth) / variance
        middle = (share + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
        half = _Z * math.sqrt(share * (1 - share) / size + _Z**2 / (4 * size**2))
        half /= 1 + _Z**2 / size
        low, high = max(0.0, middle - half), min(1.0, middle + half)
    # The interval never excludes what was observed.
    known = sum(one.present for one in drawn)
    absent = sum(one.asked - one.present - one.unclear for one in drawn)
    return (
        max(float(known), low * whole),
        min(float(whole - absent), high * whole) + blind,
        share * (whole + blind),
    )
