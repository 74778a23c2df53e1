"""The headline: how many see a picture of their own, how certain that is, the worst problem."""

import math
from dataclasses import dataclass

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.estimate import Interval
from toolkit.analysis.groups import Seen
from toolkit.classification.sources import Source
from toolkit.formatting import percent

_HALF = 0.4  # above this share, "1 in 2" is not exact enough
_TEN = 10


@dataclass(frozen=True, slots=True)
class Headline:
    """How many users see a picture of their own.

    Attributes:
        share: the share in words: "54 %", or "at least 38 %".
        doubt: "± 1.4" (points, of a 95 % interval), "up to 73 %", or nothing.
        people: the same as numbers of people, and why it is not exact.
    """

    share: str
    doubt: str
    people: str

    def __str__(self) -> str:
        between = ", " if self.doubt.startswith("up") else " "
        return f"{self.share}{between if self.doubt else ''}{self.doubt}"


def headline(coverage: Coverage, digits: int = 0) -> Headline:
    """Return how many users see a picture of their own; shares have so many `digits`."""
    total, own = coverage.users, coverage.own
    if not total:
        return Headline(percent(0, digits), "", "nobody was counted")
    low, high = math.floor(own.low), math.ceil(own.high)
    if low == high:
        return Headline(percent(low / total, digits), "", f"{low:,} of {total:,} people")
    if sample := sampled(coverage):
        words = f"{low:,} to {high:,} of {total:,} people: the 95\u00a0% interval from {sample}"
        others = coverage.seen.get(Seen.UNKNOWN, 0) - coverage.sources.get(Source.UNRESOLVED, 0)
        if others:
            words += f", and {others:,} people of whom nobody knows"
        share = percent(own.middle / total, digits)
        return Headline(share, f"± {100 * deviation(own) / total:.1f}", words)
    return Headline(
        f"at least {percent(low / total, digits)}",
        f"up to {percent(high / total, digits)}",
        f"{low:,} of {total:,} people; {high:,} if all who are unknown have one",
    )


def sampled(coverage: Coverage) -> str:
    """Return the basis of an estimate: "a sample of 2,000 probed Gravatars"; or nothing."""
    if coverage.estimate is None or not coverage.estimate.asked or not coverage.estimated:
        return ""
    return f"a sample of {coverage.estimate.asked:,} probed Gravatars"


def deviation(interval: Interval) -> float:
    """Return the larger distance from the best estimate to an end."""
    return max(interval.high - interval.middle, interval.middle - interval.low)


def between(low: float, high: float, digits: int = 0) -> str:
    """Write a share (0 to 1) with its lower and upper end: "38 to 73 %"."""
    first, last = percent(low, digits), percent(high, digits)
    return first if first == last else f"{first.removesuffix(' %')} to {last}"


def people_see(coverage: Coverage) -> dict[Seen, Interval]:
    """Return what people see, in users, in the order of `Seen`.

    A sample divides the unresolved; without one they are unknown, and the numbers exact.
    """
    counts, before, estimated = coverage.seen, coverage.sources, coverage.estimated
    shown = {name: Interval(n, n, n) for name, n in counts.items()}
    for source, part in estimated.items():
        name = Seen.OWN if source is Source.GRAVATAR else Seen(str(source))
        shown[name] = part + (counts.get(name, 0) - before.get(source, 0))
    if estimated:
        left = counts[Seen.UNKNOWN] - before[Source.UNRESOLVED]
        shown[Seen.UNKNOWN] = Interval(left, left, left)
    return {name: shown[name] for name in Seen if name in shown and shown[name].high > 0}


def problem(coverage: Coverage, *, overrides: bool | None) -> str:
    """Return the problem with the most people in one sentence; nothing if there is none.

    `overrides` says whether the tenant shows `user_metadata.picture`; None if not known.
    """
    total, sources = coverage.users, coverage.sources
    missing = coverage.seen.get(Seen.NONE, 0)
    part, has, _ = _part(missing, total)
    said = [(missing, f"{part} people {has} no picture at all.")]
    for source, users in coverage.broken.items():
        whole = total if source is Source.INVALID else sources[source]
        part, has, shows = _part(users, whole)
        if source is Source.INVALID:
            said.append((users, f"{part} people {has} a picture that no browser shows."))
        elif source is not Source.METADATA:
            words = f"{part} {source} pictures {has} expired and {shows} as a broken image."
            said.append((users, words))
    if overrides is False:
        unused = sources.get(Source.METADATA, 0)
        said.append((unused, f"{unused:,} pictures in user_metadata are shown by nothing."))
    worst, words = max(said)
    return words if worst else ""


def _part(users: int, total: int) -> tuple[str, str, str]:
    """Write a share in words, "1 in 9" or "6 in 10", with the verbs that follow it."""
    share = users / max(total, 1)
    if share > _HALF:
        return f"{math.floor(_TEN * share)} in {_TEN}", "have", "show"
    return (f"1 in {round(total / users):,}" if users else f"0 in {_TEN}"), "has", "shows"
