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
        doubt: "± 1.4" (points, of a 95 % interval), "up to 73 %", or nothing. Pictures that nobody
            has looked at are no part of an interval: then it is "up to".
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
    share = f"at least {percent(low / total, digits)}"
    most, sample = f"up to {percent(high / total, digits)}", sampled(coverage)
    if coverage.looked is not None:
        sample = f"a sample of {coverage.looked.asked:,} pictures that were looked at"
    if coverage.on_word:
        words = (
            f"{low:,} of {total:,} people for certain, {coverage.on_word:,} more perhaps: nobody "
        )
        words += "has looked at their pictures"
        if sample:
            words += f"; {high:,} at most: the 95\u00a0% interval from {sample}"
        elif high > low + coverage.on_word:
            words += f"; {high:,} if all who are unknown have one"
        return Headline(share, most, words)
    if sample:
        words = f"{low:,} to {high:,} of {total:,} people: the 95\u00a0% interval from {sample}"
        if coverage.looked is not None:
            others = coverage.looked.blind
        else:
            others = coverage.seen.get(Seen.UNKNOWN, 0) - coverage.estimate.users  # type: ignore[union-attr] # sampled
        if others:
            words += f", and {others:,} people of whom nobody knows"
        guess = percent(own.middle / total, digits)
        return Headline(guess, f"± {100 * deviation(own) / total:.1f}", words)
    words = f"{low:,} of {total:,} people; {high:,} if all who are unknown have one"
    return Headline(share, most, words)


def sampled(coverage: Coverage) -> str:
    """Return the basis of an estimate: "a sample of 2,000 probed Gravatars"; or nothing."""
    if coverage.estimate is None or not coverage.estimate.asked or not coverage.estimated:
        return ""
    return f"a sample of {coverage.estimate.asked:,} probed Gravatars"


def deviation(interval: Interval) -> float:
    """Return the larger distance from the best estimate to an end."""
    return max(interval.high - interval.middle, interval.middle - interval.low)


def difference(old: Coverage, new: Coverage) -> str:
    """Say in a sentence whether the share with a picture of their own has changed.

    It is more than chance if that is outside of the 95 % interval of the difference.
    """
    if not old.users or not new.users:
        return "Nobody was counted on one of these days."
    was, became = headline(old, 1), headline(new, 1)
    said = f"Own pictures: {was} before, {became} now"
    shares = [
        [end / one.users for end in (one.own.low, one.own.high, one.own.middle)]
        for one in (old, new)
    ]
    (low, high, middle), (now_low, now_high, now_middle) = shares
    if low == high and now_low == now_high:
        change = now_middle - middle
        how = "unchanged" if not change else f"{100 * change:+.1f} points"
        return f"{said}: {how}. Everybody was counted, so chance plays no part."
    if now_low > high or now_high < low:
        return f"{said}: that is more than chance."
    if any(one.doubt.startswith("up") for one in (was, became)):
        return f"{said}: not enough is known to say whether it changed. Ask Gravatar about both."
    least = math.hypot(*(deviation(one.own) / one.users for one in (old, new)))
    if abs(now_middle - middle) > least:
        return f"{said}: that is more than chance."
    return f"{said}: a difference below {100 * least:.1f} points can be chance."


def between(low: float, high: float, digits: int = 0) -> str:
    """Write a share (0 to 1) with its lower and upper end: "38 to 73 %"."""
    first, last = percent(low, digits), percent(high, digits)
    return first if first == last else f"{first.removesuffix(' %')} to {last}"


def people_see(coverage: Coverage) -> dict[Seen, Interval]:
    """Return what people see, in users, in the order of `Seen`.

    A sample divides the unresolved; without one they are unknown, and the numbers exact.
    """
    counts, looked = coverage.seen, coverage.looked
    shown = {name: Interval(n, n, n) for name, n in counts.items()}
    estimate = coverage.estimate if coverage.estimated else None
    if estimate is not None and looked is not None:
        # Where a script may replace a Gravatar, whether it exists does not tell what people see.
        estimate = estimate.where(lambda one: one.as_own() in looked.strata)
    if estimate is not None:
        # Where your default is live, it shows in the place of a missing Gravatar.
        rest = {
            Seen(str(source)): estimate.where(lambda one, source=source: one.otherwise is source)  # type: ignore[misc] # bound at once
            for source in (Source.INITIALS, Source.PLACEHOLDER)
        }
        rest = {Seen.DEFAULT: estimate} if Seen.DEFAULT in counts else rest
        found = {name: part.gravatars for name, part in rest.items()}
        without = {
            name: Interval(*(part.users - n for n in (one.high, one.low, one.middle)))
            for (name, part), one in zip(rest.items(), found.values(), strict=True)
        }
        left = counts[Seen.UNKNOWN] - estimate.users
        shown[Seen.UNKNOWN] = Interval(left, left, left)
        for name, users in {Seen.OWN: estimate.gravatars, **without}.items():
            shown[name] = users + counts.get(name, 0)
    if looked is not None:
        # Those of the others that are nobody's own are mostly drawn by their providers.
        asked = {one.as_own() for one in estimate.strata} if estimate else set()
        others = looked.where(lambda one: one not in asked and (one.asked > 0 or one.certain))
        found_own, before = others.own, shown.get(Seen.PLACEHOLDER, Interval(0, 0, 0))
        load = sum(counts.get(name, 0) for name in (Seen.OWN, Seen.ON_WORD, Seen.UNKNOWN))
        load -= looked.blind + (estimate.users if estimate else 0)  # the others are broken
        shown[Seen.PLACEHOLDER] = Interval(
            before.low + max(load - found_own.high, 0),
            before.high + max(load - found_own.low, 0),
            before.middle + max(load - found_own.middle, 0),
        )
        shown[Seen.OWN] = looked.own
        shown[Seen.UNKNOWN] = Interval(*[looked.blind] * 3)
        shown.pop(Seen.ON_WORD, None)
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
            said.append((users, f"{part} {source} pictures {shows} as a broken image."))
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
