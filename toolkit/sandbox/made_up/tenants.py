"""Made-up tenants: users as the Management API returns them, and what people really see.

Nobody in here exists: names are put together from word lists, addresses are in reserved domains.
How they log in, and what pictures that brings, is `toolkit.sandbox.made_up.sign_ups`.

`python -m toolkit.sandbox.made_up.tenants data` writes the sample tenant. `RULES` and `ACTIONS`
are scripts that many tenants have: Rules that once decided which picture people see, which have
stopped with the end of Rules, and Actions that have nothing to do with pictures.
"""

import csv
import gzip
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Any

from toolkit.classification.sources import Source, classify
from toolkit.images.content import Content
from toolkit.sandbox.directory.fields import DAY, SECOND, iso, since_1970
from toolkit.sandbox.made_up.contents import content_at, content_of_gravatar
from toolkit.sandbox.made_up.names import PAIRS, Dice, name
from toolkit.sandbox.made_up.rare_pictures import PIXEL, signed
from toolkit.sandbox.made_up.sign_ups import ABSENT, KINDS, LINKED, Kind, Someone

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
USERS = 5000
SEED = 1


@dataclass(frozen=True, slots=True)
class Person:
    """One made-up user."""

    record: dict[str, Any]  # the user object, as the Management API returns it
    gravatar: bool  # whether Gravatar has a picture for the hash in their picture URL
    truth: Source  # what people really see, as a perfect probe would find it; never `unresolved`

    @property
    def content(self) -> Content | None:
        """What the picture that people see truly shows, if it loads; None where there is none."""
        if self.truth is Source.METADATA:
            return content_at(self.record["user_metadata"]["picture"])
        picture = self.record.get("picture")
        if not isinstance(picture, str):
            return None
        verdict = classify(picture)
        if self.gravatar and verdict.gravatar_hash:
            return content_of_gravatar(verdict.gravatar_hash)
        return content_at(picture, verdict)


_MAIL = (
    (34.0, "mail.example"),
    (20.0, "example.com"),
    (16.0, "inbox.example"),
    (12.0, "example.org"),
    (8.0, "example.net"),
    (6.0, "student.example"),
    (4.0, "studio.test"),
)

_LAUNCH = since_1970(datetime(2018, 1, 8, tzinfo=UTC))
_MONTH = (1.15, 1.0, 1.05, 1.0, 0.95, 0.85, 0.7, 0.75, 1.2, 1.15, 1.2, 0.9)
_WEEKDAY = (1.2, 1.25, 1.2, 1.15, 1.0, 0.6, 0.6)
_HOUR = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 11, 12, 12, 11, 10, 10, 11, 11, 9, 6, 4)
_HOURS = tuple(accumulate(_HOUR))
# How the imported users fell on the milliseconds in which the job wrote them.
_BURST = tuple(accumulate((22, 27, 25, 16, 10)))
_ONCE, _LATELY = 0.22, 0.6  # shares of people, added up


class _Calendar:
    """When people signed up: more every year, fewer in summer, at weekends and by night."""

    def __init__(self, now: int) -> None:
        start = datetime.fromtimestamp(_LAUNCH // SECOND, UTC)
        days = (start + timedelta(days=number) for number in range((now - _LAUNCH) // DAY + 1))
        self.now = now
        self.days = tuple(
            accumulate(
                (400 + number) * _MONTH[day.month - 1] * _WEEKDAY[day.weekday()]
                for number, day in enumerate(days)
            )
        )
        # A night in the middle of the tenant's life, at 02:00:00.417 UTC.
        self.job = _LAUNCH + len(self.days) // 2 * DAY + 7_200_417

    def sign_up(self, dice: Dice) -> int:
        while True:
            hours = dice.weighed(self.days) * 24 + dice.weighed(_HOURS)
            moment = _LAUNCH + (hours * 3600 * SECOND) + dice.below(3600 * SECOND)
            if moment < self.now:
                return moment

    def imported(self, dice: Dice) -> int:
        return min(self.job + dice.weighed(_BURST), self.now)

    def last_login(self, dice: Dice, created: int, *, imported: bool) -> int:
        """Return when somebody came last: many once, many lately, the rest at any time."""
        since = self.now - created
        roll = dice.roll()
        if roll < _ONCE and not imported:  # an import is no login
            return min(created + 40 + dice.below(4000), self.now)
        if roll < _LATELY:
            share = dice.roll()
            return self.now - int(since * share * share * share)
        return created + int(since * dice.roll())


_UNUSABLE: tuple[object, ...] = (
    "",
    None,
    "http://pictures.example.org/old/me.jpg",
    PIXEL,
    "/uploads/me.png",
    42,
)
_DOCUMENTATION = ("192.0.2.", "198.51.100.", "203.0.113.")


def _metadata(dice: Dice) -> dict[str, Any]:
    """Return what an application might keep about somebody."""
    if not dice.chance(0.3):
        return {}
    metadata: dict[str, Any] = {"theme": dice.pick(("light", "dark", "system"))}
    if dice.chance(0.5):
        metadata["locale"] = dice.pick(("en", "de", "fr", "ja", "pt-BR"))
    if dice.chance(0.3):
        metadata["notify"] = {"email": dice.chance(0.5), "push": dice.chance(0.5)}
    return metadata


def _identity(kind: Kind, account: str | int) -> dict[str, Any]:
    return {
        "connection": kind.connection,
        "isSocial": kind.social,
        "provider": kind.provider,
        "user_id": account,
    }


def _linked(kind: Kind, who: Someone) -> Iterator[dict[str, Any]]:
    """Yield the further identities of somebody; most have none."""
    dice = who.dice
    if not dice.chance(0.035):
        return
    wanted = 2 if dice.chance(0.2) else 1
    start = dice.below(len(LINKED))
    others = [other for other in LINKED[start:] + LINKED[:start] if other is not kind]
    for other in others[:wanted]:
        also = replace(who, account=other.account(who))
        picture = dice.share(other.portraits)(also).picture
        profile: dict[str, Any] = {"name": who.called.full, "picture": picture}
        if who.email:
            profile |= {"email": who.email, "email_verified": True}
        yield _identity(other, also.account) | {"profileData": profile}


def _someone(dice: Dice, index: int, offset: int, kind: Kind, calendar: _Calendar) -> Someone:
    called = name(index, offset, dice.roll())
    created = calendar.imported(dice) if kind.imported else calendar.sign_up(dice)
    email = None
    if dice.chance(kind.email):
        email = f"{called.local}@{kind.domain or called.domain or dice.share(_MAIL)}"
        if kind.provider == "apple" and dice.chance(0.4):
            email = f"{called.local}@{dice.share(_MAIL)}"  # the person did not hide it
        elif kind.provider == "samlp" and dice.chance(0.3):
            email = email.title()  # as directories write addresses; hashes ignore case
    if kind.provider == "sms":
        # 555-0100 to 555-0199 are kept for fiction in every North American area code.
        shown = f"+1{200 + index // 100 % 800}55501{index % 100:02}"
    elif dice.chance(kind.named):
        shown = called.full
    else:
        shown = email or called.local
    # A few never logged in: half-finished registrations, and many of those imported.
    never = kind.provider == "auth0" and dice.chance(0.3 if kind.imported else 0.012)
    login = None if never else calendar.last_login(dice, created, imported=kind.imported)
    who = Someone(dice, index, called, shown, email, created, login)
    return replace(who, account=kind.account(who))


def _profile(kind: Kind, who: Someone, now: int) -> dict[str, Any]:
    """Return the user object without picture and metadata."""
    dice, called = who.dice, who.called
    touched = who.seen + dice.below(30)
    if dice.chance(0.12):  # changed by an admin or an application since
        touched += int((now - who.seen) * dice.roll())
    record: dict[str, Any] = {
        "created_at": iso(who.created / SECOND),
        "identities": [_identity(kind, who.account), *_linked(kind, who)],
        "name": who.shown,
        "nickname": called.local if kind.provider != "sms" else "",
        "updated_at": iso(min(touched, now) / SECOND),
        "user_id": f"{kind.provider}|{who.account}",
    }
    if who.email:
        record["email"] = who.email
        record["email_verified"] = kind.provider != "auth0" or dice.chance(0.8)
    elif kind.provider == "sms":
        record |= {"phone_number": who.shown, "phone_verified": True}
    elif kind.provider == "auth0":
        record["username"] = called.local
    if kind.split and who.shown == called.full:
        record["given_name"] = called.first
        if called.last:
            record["family_name"] = called.last
    if who.login is not None:
        days = (who.login - who.created) // DAY
        share = dice.roll()
        record["last_login"] = iso(who.login / SECOND)
        record["logins_count"] = 1 + int(days * share * share * 0.4)
        if dice.chance(0.08):
            record["last_ip"] = f"2001:db8::{1 + dice.below(65000):x}"
        else:
            record["last_ip"] = f"{dice.pick(_DOCUMENTATION)}{1 + dice.below(254)}"
    return record


def _person(kind: Kind, who: Someone, now: int) -> Person:
    dice = who.dice
    picture, truth, gravatar = dice.share(kind.portraits)(who)
    record = _profile(kind, who, now)
    if picture is not ABSENT:
        record["picture"] = picture
    metadata = _metadata(dice)
    if dice.chance(0.05):
        if dice.chance(0.24):
            metadata["picture"] = dice.pick(_UNUSABLE)
        elif dice.chance(0.06):  # signed for a week
            metadata["picture"] = signed(who, "uploads.example.com")
            if who.seen + 7 * DAY > now:
                truth = Source.METADATA
        else:
            host = dice.pick(("assets.example.com", "img.example.net", "uploads.example.com"))
            metadata["picture"] = f"https://{host}/avatars/{dice:hexadecimal 20}.png"
            truth = Source.METADATA
    if kind.imported:
        record["app_metadata"] = {"legacy_id": 10_000 + who.index}
    elif dice.chance(0.12):
        record["app_metadata"] = {"plan": dice.pick(("free", "team", "business"))}
    _keep_elsewhere(kind, record, metadata)
    if metadata:
        record["user_metadata"] = metadata
    return Person(record, gravatar, truth)


def _keep_elsewhere(kind: Kind, record: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Give some users a photo that nobody shows: of a directory, or where applications keep them.

    The id decides, not the dice, which would make everybody who follows another person.
    """
    drawn = hashlib.sha256(record["user_id"].encode()).hexdigest()
    chance = int(drawn[:4], 16) / 0x10000
    if kind.domain and not kind.social and chance < 0.3:  # noqa: PLR2004 - a share
        record["thumbnailPhotoUrl"] = f"https://lh3.googleusercontent.com/a/ACg8oc{drawn[:42]}"
    elif kind.provider == "auth0" and chance < 0.04:  # noqa: PLR2004 - a share
        key = ("avatar", "avatar_url", "profile_picture", "photoURL")[int(drawn[4], 16) % 4]
        metadata[key] = f"https://uploads.example.com/faces/{drawn[:20]}.jpg"


def people(count: int = USERS, *, seed: int = SEED, now: datetime = NOW) -> Iterator[Person]:
    """Yield a made-up tenant, one person at a time, in no order.

    The same arguments give the same people everywhere; a larger `count` adds people to them, in
    the same proportions. `seed` decides which tenant it is. `now`, with a timezone, is the latest
    time in it.

    Raises:
        ValueError: At the first step, if `now` is before 8 January 2018, the tenant's first day.
    """
    latest = since_1970(now)
    if latest <= _LAUNCH:
        raise ValueError("now must be after 2018-01-08, the tenant's first day")
    dice, calendar = Dice(seed), _Calendar(latest)
    offset = dice.below(PAIRS)
    kinds = [(kind.percent, kind) for kind in KINDS]
    for index in range(count):
        kind = dice.share(kinds)
        yield _person(kind, _someone(dice, index, offset, kind, calendar), latest)


def loadable(person: Person) -> dict[str, Any]:
    """Return the user object as `picture-audit sandbox --load` takes it.

    `_gravatar: true` is added where Gravatar has a picture for the person's hash.
    """
    return person.record | {"_gravatar": True} if person.gravatar else dict(person.record)


def write(folder: Path) -> None:
    """Write `users.ndjson.gz` and, beside it, `truth.csv`; the same bytes every time."""
    with (
        (folder / "users.ndjson.gz").open("wb") as file,
        # No file name and no time in the header, so that only the people decide the bytes.
        gzip.GzipFile("", "wb", 9, file, mtime=0) as users,
        (folder / "truth.csv").open("w", encoding="utf-8", newline="") as table,
    ):
        truth = csv.writer(table, lineterminator="\n")
        truth.writerow(("user_id", "source", "gravatar"))
        for person in people():
            user = loadable(person)
            line = json.dumps(user, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
            users.write(line.encode() + b"\n")
            truth.writerow((user["user_id"], person.truth, json.dumps(person.gravatar)))


def main(arguments: Sequence[str]) -> int:
    """Write the sample tenant into the folder that is named; return the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        module = "toolkit.sandbox.made_up.tenants"
        sys.stderr.write(f"usage: python -m {module} FOLDER (an existing folder)\n")
        return 2
    write(Path(arguments[0]))
    return 0


def _script(name: str) -> str:
    return files("toolkit.sandbox.made_up").joinpath("scripts", f"{name}.js").read_text("utf-8")


RULES: tuple[Mapping[str, Any], ...] = (
    {"name": "Picture from the profile page", "script": _script("own_picture"), "enabled": True},
    {"name": "Placeholder for Gravatar", "script": _script("house_placeholder"), "enabled": True},
)
"""For `Sandbox(rules=…)`, in the order in which they run."""

ACTIONS: tuple[Mapping[str, Any], ...] = (
    {"name": "Add role to tokens", "code": _script("role")},
    {"name": "Closed countries", "code": _script("closed_countries")},
)
"""For `Sandbox(actions=…)`: deployed and bound, in this order."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
