"""Before and after: each kind of user of a tenant, counted, with real examples, and why.

One query reads a plan's own rows beside the snapshot that it was made from: what is shown is what
would be applied. That nobody loses a picture of their own is counted, not assumed. In the HTML all
is escaped, and pictures are data: the browser asks nobody. The colour `--pa-line` is the page's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from glob import escape as unglobbed
from html import escape
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import duckdb

from toolkit.analysis.duckdb_engine import engine, stored_users
from toolkit.analysis.groups import Seen
from toolkit.analysis.shown_picture import show
from toolkit.change.decide import CANNOT, CHANGE
from toolkit.change.plan_summary import Plan
from toolkit.change.preview.portrait import Portrait, Sight, View, drawn
from toolkit.change.ways import Way
from toolkit.classification.sources import Source, classify
from toolkit.errors import UnreadableInputError
from toolkit.formatting import mask, percent, plural, render
from toolkit.images.decode import thumbnail
from toolkit.reporting.palette import COLOURS, DEFAULT, DOT, LINES, ON_DARK, ON_LIGHT, STRIPE
from toolkit.snapshots.snapshot import Snapshot

_EXAMPLES: Final = 3

_QUERY = """
SELECT a.source, a.underlying, a.fallback, a.late, a.shows, a.sight, p.outcome, p.reason,
    count(*) AS users,
    arg_min(
        struct_pack(
            who := a.user_id, after := p."after", now := CASE a.shows
                WHEN 'override' THEN a.metadata_picture WHEN 'elsewhere' THEN a.elsewhere
                ELSE a.picture END
        ), a.file_row_number, $examples
    ) AS examples
FROM shown AS a JOIN plan AS p USING (file_row_number)
GROUP BY ALL ORDER BY users DESC, p.outcome, p.reason, a.source
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One real user, by the user_id without its middle: what people see now, and would see."""

    who: str
    before: View
    after: View


@dataclass(frozen=True, slots=True)
class Kind:
    """The users whose pictures are alike, and how many of them change.

    Attributes:
        why: what becomes of them and why, each with its users; the most common first.
        examples: one to three of them.
    """

    name: str
    users: int
    changes: int
    why: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Gallery:
    """What a plan does to each kind of user, the most common first. Made by `gallery`.

    Attributes:
        before: users by what people see now, and `after` by what they would see.
        lost: users who see a picture of their own now and would not.
        doubtful: users of whom nobody knows whether they would lose one.
        image: the proposed default picture; None before it was fetched.
    """

    plan: Plan
    kinds: tuple[Kind, ...]
    before: Mapping[Sight, int]
    after: Mapping[Sight, int]
    lost: int
    doubtful: int
    image: bytes | None = field(default=None)

    @property
    def views(self) -> tuple[View, ...]:
        """Everything of which there is a picture to show."""
        every = (one for kind in self.kinds for one in kind.examples)
        return tuple(dict.fromkeys(view for one in every for view in (one.before, one.after)))

    @property
    def promise(self) -> str:
        """Whether anybody loses a picture of their own, as far as it is known."""
        if self.lost:
            return f"{plural(self.lost, 'person', 'people')} would lose a picture of their own"
        if self.doubtful:
            people = plural(self.doubtful, "person", "people")
            return f"{people} may lose a picture of their own: nobody knows"
        return "nobody loses a picture of their own"

    @property
    def headline(self) -> str:
        """The answer in one line."""
        plan = self.plan
        where = ", where user_metadata.picture is read" if plan.way is Way.METADATA else ""
        return f"{plan.effect()}{where} · {self.promise}"

    def __repr__(self) -> str:
        lines = [self.headline]
        for name, sights in (("before", self.before), ("after", self.after)):
            total = max(sum(sights.values()), 1)
            parts = (f"{one} {percent(n / total)}" for one, n in sights.items())
            lines.append(f"{name}: {', '.join(parts)}")
        lines += [f"{kind.users:>9,}  {kind.name}: {_reasons(kind)}" for kind in self.kinds]
        return "\n  ".join(lines)

    def _repr_html_(self) -> str:
        portraits = {view: drawn(view, self.image) for view in self.views}
        shown = bars(self.before, self.after) + table(self.kinds, portraits)
        return f"<div><p><b>{escape(self.headline)}</b></p>{shown}</div>"


def gallery(snapshot: Snapshot, plan: Plan, image: bytes | None = None) -> Gallery:
    """Return what a plan does to each kind of user.

    Args:
        snapshot: the one that the plan was made from.
        plan: with its file.
        image: the proposed default picture, as `toolkit.candidate` fetched it.

    Raises:
        UnreadableInputError: the plan is of another snapshot, or a file is damaged.
    """
    if plan.path is None:
        raise UnreadableInputError("The plan was only counted: make it again with a file.")
    if (plan.tenant, plan.users) != (snapshot.provenance.tenant, len(snapshot)):
        raise UnreadableInputError("The plan was made from another snapshot: make a new one.")
    overrides = True if plan.way is Way.METADATA else snapshot.overrides
    before, after = dict.fromkeys(Sight, 0), dict.fromkeys(Sight, 0)
    lost = doubtful = 0
    kinds: dict[str, list[_Part]] = {}
    for row in _rows(snapshot, plan):
        part = _part(row, plan, overrides)
        before[part.before] += part.users
        after[part.after] += part.users
        if part.before is Sight.OWN and part.after is not Sight.OWN:
            lost += part.users
        if part.before in {Sight.ON_WORD, Sight.UNKNOWN} and part.after not in _NO_LOSS:
            doubtful += part.users
        kinds.setdefault(part.kind, []).append(part)
    named = sorted((_kind(*one) for one in kinds.items()), key=lambda kind: -kind.users)
    before, after = ({one: n for one, n in some.items() if n} for some in (before, after))
    return Gallery(plan, tuple(named), before, after, lost, doubtful, image)


_NO_LOSS = frozenset({Sight.UNKNOWN, Sight.EITHER, Sight.ON_WORD, Sight.OWN})


def _rows(snapshot: Snapshot, plan: Plan) -> list[tuple[Any, ...]]:
    # A plan that writes overrides is of use only where they are shown.
    wiring = True if plan.way is Way.METADATA else snapshot.provenance.wiring
    with TemporaryDirectory(prefix="picture-audit-") as folder:
        path = snapshot.path
        if path is None:
            path = Path(folder) / "snapshot.parquet"
            snapshot.write(path)
        try:
            with engine("1GB") as opened:
                opened.execute("SET TimeZone = 'UTC'")
                stored_users(opened, path, numbered=True).create_view("users")
                show(opened, "shown", as_of=plan.made_at, wiring=wiring)
                rows = opened.from_parquet(unglobbed(str(plan.path)), file_row_number=True)
                rows.create_view("plan")
                found: list[tuple[Any, ...]] = opened.execute(
                    _QUERY, {"examples": _EXAMPLES}
                ).fetchall()
                return found
        # As of `toolkit.analysis.duckdb_engine`.
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise UnreadableInputError(
                f"{plan.path} and {path} cannot be read together: make a new plan."
            ) from error


class _Part(NamedTuple):
    """Users who are alike in everything that is looked at."""

    kind: str
    before: Sight
    after: Sight
    users: int
    changes: bool
    why: str
    examples: list[Example]


def _part(row: tuple[Any, ...], plan: Plan, overrides: bool | None) -> _Part:
    source, underlying, fallback, late, shows, sight, outcome, reason, users, found = row
    origin, root = Source(source), Source(underlying) if underlying else None
    uploaded = origin is Source.METADATA
    before = Sight[Seen(sight).name]
    shown = origin if shows == "override" else root or origin
    hidden = plan.way is Way.ROOT and uploaded and overrides is not False
    after, changes = before, outcome == CHANGE
    if changes and not (hidden and before in {Sight.OWN, Sight.ON_WORD, Sight.UNKNOWN}):
        after = _after(found[0]["after"], plan.policy.picture, root)
    examples = []
    for one in found:
        now = View(one["now"], before, shown)
        then = now if after is before else View(one["after"], after, shown)
        examples.append(Example(mask(one["who"] or ""), now, then))
    kind = _kind_name(origin, fallback, late=late, overrides=overrides)
    why = _why(outcome, reason, after, shown, late=late)
    return _Part(kind, before, after, users, changes, why, examples)


def _after(address: str, picture: str, root: Source | None) -> Sight:
    """Say what people see at an address that a plan writes or an Action hands out."""
    if address == picture:
        return Sight.DEFAULT
    if classify(address).gravatar_hash is None or root is Source.GRAVATAR:
        return Sight.OWN
    # A probe may have found already that there is no Gravatar.
    return Sight.DEFAULT if root in {Source.INITIALS, Source.PLACEHOLDER} else Sight.EITHER


_KINDS = {
    Source.INITIALS: "initials, no Gravatar",
    Source.GRAVATAR: "a real Gravatar",
    Source.SOCIAL: "Google, Facebook, GitHub, …",
    Source.ENTERPRISE: "a picture of their company's",
    Source.CUSTOM: "a picture set by your application",
    Source.PLACEHOLDER: "a stock image",
    Source.MISSING: "no picture at all",
    Source.INVALID: "no usable address",
}
_UPLOADS = {
    True: "uploaded a picture",
    False: "uploaded a picture that no application shows",
    None: "uploaded a picture that may be shown",
}


def _kind_name(source: Source, fallback: str | None, *, late: bool, overrides: bool | None) -> str:
    if source is Source.METADATA:
        return _UPLOADS[overrides]
    if late:
        return "expired: a broken image"
    if source is Source.UNRESOLVED:
        without = {"initials": "initials", "custom": "a fallback somebody chose"}
        return f"Gravatar or {without.get(fallback or '', 'a stock image')}"
    return _KINDS[source]


_INSTEAD = {
    Source.INITIALS: "replaced: Auth0's initials",
    Source.PLACEHOLDER: "replaced: a stock image",
    Source.MISSING: "set: there was none",
    Source.INVALID: "replaced: no browser can show it",
}


def _why(outcome: str, reason: str, after: Sight, shown: Source, *, late: bool) -> str:
    if outcome == CANNOT:
        return f"cannot be changed: {reason}"
    if outcome != CHANGE:
        return f"unchanged: {'a picture of their own' if after is Sight.OWN else reason}"
    if after is Sight.EITHER:
        return "Gravatar stays. Only what shows without one is replaced."
    if after is Sight.OWN:
        return reason
    return "replaced: its link has expired" if late else _INSTEAD.get(shown, f"replaced: {reason}")


def _kind(name: str, parts: Sequence[_Part]) -> Kind:
    why = Counter[str]()
    for part in parts:
        why[part.why] += part.users
    # One of each sort first, so that examples are unlike each other.
    rounds = zip_longest(*(part.examples for part in parts))
    examples = [one for some in rounds for one in some if one is not None]
    return Kind(
        name,
        sum(part.users for part in parts),
        sum(part.users for part in parts if part.changes),
        tuple(why.most_common()),
        tuple(examples[:_EXAMPLES]),
    )


def _reasons(kind: Kind) -> str:
    if len(kind.why) == 1:
        return kind.why[0][0]
    return "; ".join(f"{users:,} {why}" for why, users in kind.why)


SIZES: Final = (64, 32, 480)
"""Pixels at which apps commonly show pictures; 480 is what Auth0's addresses ask for."""

_NAMED, _NUMBERED = 0.2, 0.06  # shares of a bar in which its name, its number has room


def bars(before: Mapping[Sight, int], after: Mapping[Sight, int]) -> str:
    """Draw users by what people see before and after as two bars, in HTML."""
    present = {**before, **after}
    return render(
        "change/preview/bars.html.j2",
        bars=[_bar("before", before), _bar("after", after)],
        keys=[{"words": one, "fill": _fill(one)} for one in Sight if one in present],
    )


def _bar(name: str, sights: Mapping[Sight, int]) -> dict[str, Any]:
    total = max(sum(sights.values()), 1)
    parts = []
    for one, users in sights.items():
        share = users / total
        ground, _, ink = _LOOKS[one]
        text = f"{one.partition(':')[0]} {percent(share)}"
        parts.append(
            {
                "users": users,
                "title": f"{one}: {users:,} people, {percent(share, 1)}",
                "label": text if share > _NAMED else percent(share) if share > _NUMBERED else "",
                "ink": ink,
                "fill": _fill(one),
                "ground": ground,
            }
        )
    said = "; ".join(f"{one} {percent(n / total, 1)}" for one, n in sights.items())
    return {"name": name, "parts": parts, "said": said}


# Of each part of a bar: its colour, that of its stripes, and that of its text.
_LOOKS = {
    Sight.OWN: (COLOURS[Source.SOCIAL], None, ON_DARK),
    Sight.ON_WORD: (COLOURS[Source.SOCIAL], DOT, ON_DARK),
    Sight.EITHER: (DEFAULT, COLOURS[Source.GRAVATAR], ON_DARK),
    Sight.DEFAULT: (DEFAULT, LINES, ON_DARK),
    Sight.UNKNOWN: (COLOURS[Source.UNRESOLVED], STRIPE, ON_LIGHT),
    Sight.INITIALS: (COLOURS[Source.INITIALS], None, ON_LIGHT),
    Sight.PLACEHOLDER: (COLOURS[Source.PLACEHOLDER], None, ON_LIGHT),
    Sight.BROKEN: (COLOURS[Source.SOCIAL], ON_DARK, ON_DARK),
    Sight.NONE: (COLOURS[Source.MISSING], None, ON_DARK),
}


def _fill(sight: Sight) -> str:
    """Return the background of a part of a bar, as CSS has it."""
    ground, stripes, _ = _LOOKS[sight]
    if sight is Sight.DEFAULT:  # level lines, as charts have them
        return f"repeating-linear-gradient({ground} 0 6px,{stripes} 6px 8px)"
    if sight is Sight.ON_WORD:  # dots, as there
        return f"radial-gradient({stripes} 1px, transparent 1.6px) 0 0/6px 6px, {ground}"
    if stripes is None:
        return ground
    return f"repeating-linear-gradient(45deg,{ground} 0 6px,{stripes} 6px 10px)"


def table(
    kinds: Iterable[Kind], portraits: Mapping[View, Portrait], *, size: int = 64, ground: str = ""
) -> str:
    """Write the kinds of users as an HTML table with their pictures.

    Pictures have `size` pixels a side; above 64 there is one example of each kind, above the
    reason. `ground` is the colour of the page behind them; "" for the page's own.
    """
    return render(
        "change/preview/kinds.html.j2",
        kinds=list(kinds),
        portraits=portraits,
        small=_small,
        size=size,
        large=size > SIZES[0],
        ground=ground,
    )


@lru_cache(maxsize=512)
def _small(png: bytes, size: int) -> bytes:
    # Twice as many pixels: sharp on screens that have them.
    small = thumbnail(png, min(size * 2, SIZES[-1]))
    return small if isinstance(small, bytes) else png
