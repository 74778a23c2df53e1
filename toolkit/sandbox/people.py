"""Made-up tenants: users as the Management API returns them, and what people really see.

Nobody in here exists: names are put together from word lists, addresses are in
reserved domains, tokens in picture URLs are random. How often each shape of picture
occurs is a guess at an ordinary tenant; the shapes themselves are recorded facts.

`python -m toolkit.sandbox.people data` writes the sample tenant.
"""

import csv
import gzip
import hashlib
import json
import random
import string
import sys
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from toolkit.picture import Source
from toolkit.sandbox.moment import iso
from toolkit.sandbox.names import PAIRS, Name, initials, name

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
USERS = 5000
SEED = 1


@dataclass(frozen=True, slots=True)
class Person:
    """One made-up user.

    Attributes:
        record: the Auth0 user object, as the Management API returns it.
        gravatar: whether Gravatar has a picture for the hash in their picture URL.
        truth: what people really see, as a perfect probe would find it; decided by how
            the person was made, and never `unresolved`.
    """

    record: dict[str, Any]
    gravatar: bool
    truth: Source


_T = TypeVar("_T")


class _Dice:
    """Seeded chance that falls the same way on every platform and Python version.

    Everything rests on `Random.random`: the other methods of `Random` may change
    between Python versions, that one is promised not to.
    """

    def __init__(self, seed: int) -> None:
        self.roll: Callable[[], float] = random.Random(seed).random

    def chance(self, share: float) -> bool:
        return self.roll() < share

    def below(self, end: int) -> int:
        return int(self.roll() * end)

    def pick(self, items: Sequence[_T]) -> _T:
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
        blocks = (f"{int(self.roll() * 16**8):08x}" for _ in range(0, length, 8))
        return "".join(blocks)[:length]


_LETTERS = string.ascii_letters + string.digits + "-_"
_MAIL = (
    (34.0, "mail.example"),
    (20.0, "example.com"),
    (16.0, "inbox.example"),
    (12.0, "example.org"),
    (8.0, "example.net"),
    (6.0, "student.example"),
    (4.0, "studio.test"),
)


@dataclass(slots=True)
class _Someone:
    """What is known about a person before their picture; times in milliseconds since 1970."""

    dice: _Dice
    index: int
    called: Name
    shown: str
    email: str | None
    created: int
    login: int | None
    account: str | int = ""

    @property
    def seen(self) -> int:
        """When the picture was last taken over from the provider."""
        return self.login or self.created


class _Portrait(NamedTuple):
    """A picture, what people see of it, and whether its hash has a Gravatar."""

    picture: object
    truth: Source
    gravatar: bool = False


_Painter = Callable[[_Someone], _Portrait]
_ABSENT = object()

# --- Pictures that Auth0 itself writes ---------------------------------------


def _letters(who: _Someone) -> str:
    return f"cdn.auth0.com/avatars/{initials(who.shown, who.email)}.png"


def _gravatar(
    who: _Someone,
    email: str,
    default: str | None = None,
    *,
    host: str = "s.gravatar.com",
    digest: str = "md5",
) -> _Portrait:
    """Point at Gravatar, with Auth0's initials image behind it unless told otherwise."""
    hashed = hashlib.new(digest, email.strip().lower().encode(), usedforsecurity=False).hexdigest()
    # An address that only forwards is hardly ever registered with Gravatar.
    exists = who.dice.chance(0.02 if email.endswith("relay.example") else 0.31)
    if default is None:
        behind, truth = f"https://{_letters(who)}".replace(":", "%3A"), Source.INITIALS
    else:
        behind, truth = default, Source.PLACEHOLDER
    url = f"https://{host}/avatar/{hashed}?s=480&r=pg&d={behind.replace('/', '%2F')}"
    return _Portrait(url, Source.GRAVATAR if exists else truth, exists)


def _initials(who: _Someone) -> _Portrait:
    return _Portrait(f"https://{_letters(who)}", Source.INITIALS)


def _canonical(who: _Someone) -> _Portrait:
    return _gravatar(who, who.email) if who.email else _initials(who)


def _imported(who: _Someone) -> _Portrait:
    return _gravatar(who, who.email, host="secure.gravatar.com") if who.email else _initials(who)


def _newer_hash(who: _Someone) -> _Portrait:
    if not who.email:
        return _initials(who)
    return _gravatar(who, who.email, host="www.gravatar.com", digest="sha256")


def _former_email(who: _Someone) -> _Portrait:
    """Hash the address that the person had before they changed it."""
    return _gravatar(who, f"{who.called.local}@former.example") if who.email else _initials(who)


def _silhouette(who: _Someone) -> _Portrait:
    if not who.email:
        return _initials(who)
    default = "https%3A//ssl.gstatic.com/s2/profiles/images/silhouette80.png"
    return _gravatar(who, who.email, default, host="secure.gravatar.com")


def _foreign_default(who: _Someone) -> _Portrait:
    if not who.email:
        return _initials(who)
    defaults = ("identicon", "retro", "mp", "https%3A//static.acme.example/img/face.png")
    return _gravatar(who, who.email, who.dice.pick(defaults))


def _resolved(who: _Someone) -> _Portrait:
    """Keep where Gravatar's redirect led to, as some applications do."""
    ending = "?ssl=1" if who.dice.chance(0.7) else ""
    return _Portrait(
        f"https://i{who.dice.below(3)}.wp.com/{_letters(who)}{ending}", Source.INITIALS
    )


# --- Pictures that applications and admins write ------------------------------


def _custom(who: _Someone) -> _Portrait:
    host = who.dice.pick(("assets.example.com", "media.example.org", "cdn.shop.example"))
    kind = who.dice.pick(("jpg", "png", "webp"))
    return _Portrait(f"https://{host}/people/{who.dice.hexadecimal(16)}.{kind}", Source.CUSTOM)


def _shared(_: _Someone) -> _Portrait:
    return _Portrait("https://static.acme.example/img/new-member.png", Source.CUSTOM)


def _insecure(who: _Someone) -> _Portrait:
    return _Portrait(f"http://pictures.example.org/u/{who.dice.digits(6)}.jpg", Source.CUSTOM)


def _null(_: _Someone) -> _Portrait:
    return _Portrait(None, Source.MISSING)


def _absent(_: _Someone) -> _Portrait:
    return _Portrait(_ABSENT, Source.MISSING)


def _empty(_: _Someone) -> _Portrait:
    return _Portrait("", Source.MISSING)


_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def _invalid(who: _Someone) -> _Portrait:
    picture: object = who.dice.share(
        (
            (16, _PIXEL),
            (8, "javascript:void(0)"),
            (18, f"/uploads/{who.dice.digits(5)}.png"),
            (10, "avatars/me.jpg"),
            (10, "my photo"),
            (8, "undefined"),
            (6, "ftp://files.example/me.png"),
            (6, "C:\\Pictures\\me.png"),
            (4, "https://"),
            (5, who.dice.below(9000)),
            (3, True),
            (3, {"url": "https://assets.example.com/me.png"}),
            (3, ["https://assets.example.com/me.png"]),
        )
    )
    return _Portrait(picture, Source.INVALID)


# --- Pictures that social and enterprise logins bring -------------------------


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


_SECOND = 1000
_DAY = 86_400 * _SECOND
_2019_JULY = _milliseconds(datetime(2019, 7, 1, tzinfo=UTC))
_2020 = _milliseconds(datetime(2020, 1, 1, tzinfo=UTC))
_2022 = _milliseconds(datetime(2022, 1, 1, tzinfo=UTC))


def _social(url: str) -> _Portrait:
    return _Portrait(url, Source.SOCIAL)


def _stock(url: str) -> _Portrait:
    return _Portrait(url, Source.PLACEHOLDER)


def _google(who: _Someone) -> _Portrait:
    """Write the URL as Google did at the time of the last login."""
    dice = who.dice
    if who.seen < _2020:
        path = f"-{dice.text(11)}/AAAAAAAAAAI/AAAAAAAA{dice.text(3)}/{dice.text(11)}/photo.jpg"
        return _social(f"https://lh{3 + dice.below(4)}.googleusercontent.com/{path}")
    size = "=s96-c" if dice.chance(0.9) else ""
    if who.seen < _2022:
        return _social(f"https://lh3.googleusercontent.com/a-/AOh14G{dice.text(38)}{size}")
    start = dice.pick(("AEdFTp", "ACg8oc"))
    return _social(f"https://lh3.googleusercontent.com/a/{start}{dice.text(42)}{size}")


def _google_stock(who: _Someone) -> _Portrait:
    if who.seen >= _2020:
        return _stock("https://lh3.googleusercontent.com/a/default-user=s96-c")
    path = "-XdUIqdMkCWA/AAAAAAAAAAI/AAAAAAAAAAA/"
    return _stock(f"https://lh3.googleusercontent.com/{path}{who.dice.text(11)}/photo.jpg")


def _facebook(who: _Someone) -> _Portrait:
    """Sign for exactly 30 days from the last login, as every recorded URL is."""
    dice, seconds = who.dice, who.seen // _SECOND
    if who.seen < _2019_JULY:
        picture = f"{dice.digits(8)}_{dice.digits(15)}_{dice.digits(15)}_n.jpg"
        signed = f"oh={dice.hexadecimal(32)}&oe={seconds + (45 + dice.below(45)) * 86_400:X}"
        return _social(f"https://scontent.xx.fbcdn.net/v/t1.0-1/p50x50/{picture}?{signed}")
    signed = f"ext={seconds + 30 * 86_400}&hash=Ae{dice.text(14)}"
    return _social(
        "https://platform-lookaside.fbsbx.com/platform/profilepic/"
        f"?asid={who.account}&height=50&width=50&{signed}"
    )


def _facebook_rewritten(who: _Someone) -> _Portrait:
    return _social(f"https://graph.facebook.com/v2.5/{who.account}/picture?type=large")


def _facebook_stock(who: _Someone) -> _Portrait:
    return _stock(f"https://static.xx.fbcdn.net/rsrc.php/v1/yi/r/{who.dice.text(11)}.gif")


def _github(who: _Someone) -> _Portrait:
    host, version = ("avatars", 4) if who.seen >= _2020 else (f"avatars{who.dice.below(4)}", 3)
    return _social(f"https://{host}.githubusercontent.com/u/{who.account}?v={version}")


def _twitter(who: _Someone) -> _Portrait:
    picture = f"9{who.dice.digits(3)}{who.dice.digits(15)}/{who.dice.text(8)}"
    return _social(f"https://pbs.twimg.com/profile_images/{picture}_normal.jpg")


def _twitter_stock(_: _Someone) -> _Portrait:
    return _stock("https://abs.twimg.com/sticky/default_profile_images/default_profile_normal.png")


def _linkedin(who: _Someone) -> _Portrait:
    """Sign for two to three months; now and then the URL arrives already expired."""
    dice = who.dice
    days = 60 + dice.below(31) if dice.chance(0.94) else -dice.below(80) - 1
    picture = f"C4E03AQ{dice.text(15)}/profile-displayphoto-shrink_800_800/0/{who.created}"
    signed = f"e={who.seen // _SECOND + days * 86_400}&v=beta&t={dice.text(43)}"
    return _social(f"https://media.licdn.com/dms/image/{picture}?{signed}")


def _linkedin_stock(who: _Someone) -> _Portrait:
    return _stock(f"https://static.licdn.com/sc/h/{who.dice.text(25).lower()}")


def _line(who: _Someone) -> _Portrait:
    return _social(f"https://profile.line-scdn.net/0h{who.dice.text(40)}")


def _own_id(who: _Someone) -> str:
    """Return the id that a custom social provider gave, without its connection's name."""
    return str(who.account).rpartition("|")[2]


def _discord(who: _Someone) -> _Portrait:
    picture = f"{_own_id(who)}/{who.dice.hexadecimal(32)}.png"
    return _social(f"https://cdn.discordapp.com/avatars/{picture}")


def _discord_stock(who: _Someone) -> _Portrait:
    return _stock(f"https://cdn.discordapp.com/embed/avatars/{who.dice.below(6)}.png")


def _discord_proxied(who: _Someone) -> _Portrait:
    return _social(f"https://faces.guild.example/{_own_id(who)}.png")


def _slack(who: _Someone) -> _Portrait:
    day = iso(who.created / _SECOND)[:10]
    picture = f"{who.dice.digits(13)}_{who.dice.hexadecimal(20)}_192.jpg"
    return _social(f"https://avatars.slack-edge.com/{day}/{picture}")


def _slack_stock(who: _Someone) -> _Portrait:
    number = f"{who.dice.below(27):04}"
    return _stock(f"https://a.slack-edge.com/80588/img/avatars/ava_{number}-192.png")


def _staff(who: _Someone) -> _Portrait:
    picture = f"https://people.acme.example/photos/{who.dice.hexadecimal(12)}.jpg"
    return _Portrait(picture, Source.ENTERPRISE)


# --- Ids as the providers give them -------------------------------------------


def _object_id(who: _Someone) -> str:
    return f"{who.created // _SECOND:08x}{who.dice.hexadecimal(16)}"


def _long_number(who: _Someone) -> str:
    return f"9{who.dice.digits(5)}{who.dice.digits(15)}"


def _number(who: _Someone) -> int:
    """Return a GitHub id far above those in use: a smaller one would be somebody's."""
    return 9_000_000_000 + who.index * 100 + who.dice.below(100)


def _apple_id(who: _Someone) -> str:
    return f"00{who.dice.digits(4)}.{who.dice.hexadecimal(32)}.{who.dice.digits(4)}"


def _token(who: _Someone) -> str:
    return who.dice.text(43)


def _line_id(who: _Someone) -> str:
    return f"U{who.dice.hexadecimal(32)}"


def _saml_id(who: _Someone) -> str:
    return f"acme-saml|{who.called.local}@acme.example"


def _discord_id(who: _Someone) -> str:
    return f"discord|9{who.dice.digits(3)}{who.dice.digits(14)}"


def _slack_id(who: _Someone) -> str:
    return f"slack|U{who.dice.hexadecimal(10).upper()}"


# --- The tenant's connections --------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way in, and what the people who took it look like.

    Attributes:
        connection: the connection's name.
        provider: its strategy.
        account: makes the id that the provider gave.
        portraits: percentages of pictures; the last row takes the rest.
        social: whether Auth0 calls the identity social.
        imported: whether these people came with the bulk import.
        email: share of people with an e-mail address.
        named: share of people whose name is more than their e-mail address.
        split: whether the provider tells given and family name apart.
        domain: e-mail domain where it is not anybody's own choice.
    """

    connection: str
    provider: str
    account: Callable[[_Someone], str | int]
    portraits: Sequence[tuple[float, _Painter]]
    social: bool = True
    imported: bool = False
    email: float = 1.0
    named: float = 1.0
    split: bool = False
    domain: str | None = None


_DATABASE = "Username-Password-Authentication"
_KINDS: tuple[tuple[float, _Kind], ...] = (
    (
        38.0,
        _Kind(
            _DATABASE,
            "auth0",
            _object_id,
            (
                (5.0, _custom),
                (3.2, _shared),
                (3.0, _resolved),
                (3.0, _former_email),
                (1.5, _absent),
                (1.5, _invalid),
                (1.2, _null),
                (1.0, _insecure),
                (1.0, _foreign_default),
                (0.6, _empty),
                (0.6, _newer_hash),
                (0.5, _initials),
                (0.0, _canonical),
            ),
            social=False,
            email=0.985,
            named=0.45,
        ),
    ),
    (
        25.0,
        _Kind(
            "google-oauth2",
            "google-oauth2",
            _long_number,
            ((4.0, _google_stock), (0.0, _google)),
            split=True,
        ),
    ),
    (
        9.0,
        _Kind(
            "facebook",
            "facebook",
            _long_number,
            ((6.0, _facebook_rewritten), (3.0, _facebook_stock), (0.0, _facebook)),
            email=0.95,
            split=True,
        ),
    ),
    (
        7.0,
        _Kind(
            _DATABASE,
            "auth0",
            _object_id,
            (
                (5.0, _custom),
                (3.0, _insecure),
                (2.0, _empty),
                (2.0, _invalid),
                (1.0, _null),
                (0.0, _imported),
            ),
            social=False,
            imported=True,
            named=0.7,
        ),
    ),
    (5.0, _Kind("github", "github", _number, ((0.0, _github),), email=0.85)),
    (
        3.0,
        _Kind(
            "apple",
            "apple",
            _apple_id,
            ((0.0, _canonical),),
            named=0.4,
            split=True,
            domain="relay.example",
        ),
    ),
    (
        2.5,
        _Kind(
            "linkedin",
            "linkedin",
            lambda who: who.dice.text(10),
            ((12.0, _canonical), (3.0, _linkedin_stock), (0.0, _linkedin)),
            split=True,
        ),
    ),
    (
        2.5,
        _Kind(
            "corp-ad",
            "waad",
            _token,
            ((25.0, _silhouette), (15.0, _staff), (0.0, _canonical)),
            social=False,
            email=0.65,
            split=True,
            domain="corp.example",
        ),
    ),
    (
        2.0,
        _Kind(
            "twitter",
            "twitter",
            _long_number,
            ((14.0, _twitter_stock), (0.0, _twitter)),
            email=0.6,
        ),
    ),
    (
        2.0,
        _Kind(
            "acme-saml",
            "samlp",
            _saml_id,
            ((25.0, _canonical), (5.0, _absent), (0.0, _staff)),
            social=False,
            split=True,
            domain="acme.example",
        ),
    ),
    (
        1.2,
        _Kind("email", "email", _object_id, ((0.0, _canonical),), social=False, named=0.0),
    ),
    (1.2, _Kind("sms", "sms", _object_id, ((0.0, _initials),), social=False, email=0.0)),
    (
        0.8,
        _Kind(
            "discord",
            "oauth2",
            _discord_id,
            ((18.0, _discord_stock), (10.0, _discord_proxied), (0.0, _discord)),
        ),
    ),
    (0.4, _Kind("line", "line", _line_id, ((0.0, _line),), email=0.5)),
    (
        0.4,
        _Kind("slack", "oauth2", _slack_id, ((20.0, _slack_stock), (0.0, _slack)), split=True),
    ),
)
# What people link to the account they already have.
_LINKED = tuple(
    kind
    for _, kind in _KINDS
    if kind.connection in {"google-oauth2", "github", "facebook", "linkedin"}
)

# --- Time -----------------------------------------------------------------------

_LAUNCH = _milliseconds(datetime(2018, 1, 8, tzinfo=UTC))
_MONTH = (1.15, 1.0, 1.05, 1.0, 0.95, 0.85, 0.7, 0.75, 1.2, 1.15, 1.2, 0.9)
_WEEKDAY = (1.2, 1.25, 1.2, 1.15, 1.0, 0.6, 0.6)
_HOUR = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 11, 12, 12, 11, 10, 10, 11, 11, 9, 6, 4)
_HOURS = tuple(accumulate(float(weight) for weight in _HOUR))
# How the imported users fell on the milliseconds in which the job wrote them.
_BURST = (22.0, 27.0, 25.0, 16.0, 10.0)


class _Calendar:
    """When people signed up: more every year, fewer in summer, at weekends and by night."""

    def __init__(self, now: int) -> None:
        start = datetime.fromtimestamp(_LAUNCH // _SECOND, UTC)
        days = (start + timedelta(days=number) for number in range((now - _LAUNCH) // _DAY + 1))
        self.now = now
        self.days = tuple(
            accumulate(
                (400 + number) * _MONTH[day.month - 1] * _WEEKDAY[day.weekday()]
                for number, day in enumerate(days)
            )
        )
        # A night in the middle of the tenant's life, at 02:00:00.417 UTC.
        self.job = _LAUNCH + len(self.days) // 2 * _DAY + 7_200_417
        self.burst = tuple(accumulate(_BURST))

    def sign_up(self, dice: _Dice) -> int:
        while True:
            hours = dice.weighed(self.days) * 24 + dice.weighed(_HOURS)
            moment = _LAUNCH + (hours * 3600 * _SECOND) + dice.below(3600 * _SECOND)
            if moment < self.now:
                return moment

    def imported(self, dice: _Dice) -> int:
        return min(self.job + dice.weighed(self.burst), self.now)

    def last_login(self, dice: _Dice, created: int, *, imported: bool) -> int:
        """Return when somebody came last: many once, many lately, the rest at any time."""
        since = self.now - created
        roll = dice.roll()
        if roll < _ONCE and not imported:  # an import is no visit
            return min(created + 40 + dice.below(4000), self.now)
        if roll < _LATELY:
            share = dice.roll()
            return self.now - int(since * share * share * share)
        return created + int(since * dice.roll())


_ONCE, _LATELY = 0.22, 0.6

# --- Everything else about a user ----------------------------------------------

_UNUSABLE: tuple[object, ...] = (
    "",
    None,
    "http://pictures.example.org/old/me.jpg",
    _PIXEL,
    "/uploads/me.png",
    42,
)
_DOCUMENTATION = ("192.0.2.", "198.51.100.", "203.0.113.")


def _override(dice: _Dice) -> tuple[object, bool]:
    """Return a `user_metadata.picture`, and whether it may stand in for the profile's."""
    if dice.chance(0.24):
        return dice.pick(_UNUSABLE), False
    host = dice.pick(("assets.example.com", "img.example.net", "uploads.example.com"))
    return f"https://{host}/avatars/{dice.hexadecimal(20)}.png", True


def _metadata(dice: _Dice) -> dict[str, Any]:
    """Return what an application might keep about somebody."""
    if not dice.chance(0.3):
        return {}
    metadata: dict[str, Any] = {"theme": dice.pick(("light", "dark", "system"))}
    if dice.chance(0.5):
        metadata["locale"] = dice.pick(("en", "de", "fr", "ja", "pt-BR"))
    if dice.chance(0.3):
        metadata["notify"] = {"email": dice.chance(0.5), "push": dice.chance(0.5)}
    return metadata


def _identity(kind: _Kind, who: _Someone) -> dict[str, Any]:
    return {
        "connection": kind.connection,
        "isSocial": kind.social,
        "provider": kind.provider,
        "user_id": who.account,
    }


def _linked(kind: _Kind, who: _Someone) -> Iterator[dict[str, Any]]:
    """Yield the further identities of somebody; most have none."""
    dice = who.dice
    if not dice.chance(0.035):
        return
    wanted = 2 if dice.chance(0.2) else 1
    start = dice.below(len(_LINKED))
    others = [other for other in _LINKED[start:] + _LINKED[:start] if other is not kind]
    for other in others[:wanted]:
        also = replace(who, account="")
        also.account = other.account(also)
        picture = dice.share(other.portraits)(also).picture
        profile: dict[str, Any] = {"name": who.called.full, "picture": picture}
        if who.email:
            profile |= {"email": who.email, "email_verified": True}
        yield _identity(other, also) | {"profileData": profile}


def _someone(dice: _Dice, index: int, offset: int, kind: _Kind, calendar: _Calendar) -> _Someone:
    called = name(index, offset, dice.roll())
    created = calendar.imported(dice) if kind.imported else calendar.sign_up(dice)
    email = None
    if dice.chance(kind.email):
        email = f"{called.local}@{kind.domain or called.domain or dice.share(_MAIL)}"
        if kind.provider == "apple" and dice.chance(0.4):
            email = f"{called.local}@{dice.share(_MAIL)}"  # did not hide it
        elif kind.provider == "samlp" and dice.chance(0.3):
            email = email.title()  # as directories write addresses; hashes ignore case
    if kind.provider == "sms":
        # 555-0100 to 555-0199 are kept for fiction in every North American area code.
        shown = f"+1{200 + index // 100 % 800}55501{index % 100:02}"
    elif dice.chance(kind.named):
        shown = called.full
    else:
        shown = email or called.local
    # A few never came: half-finished registrations, and many of those imported.
    never = kind.provider == "auth0" and dice.chance(0.3 if kind.imported else 0.012)
    login = None if never else calendar.last_login(dice, created, imported=kind.imported)
    who = _Someone(dice, index, called, shown, email, created, login)
    who.account = kind.account(who)
    return who


def _profile(kind: _Kind, who: _Someone, now: int) -> dict[str, Any]:
    """Return the user object without picture and metadata."""
    dice, called = who.dice, who.called
    touched = who.seen + dice.below(30)
    if dice.chance(0.12):  # changed by an admin or an application since
        touched += int((now - who.seen) * dice.roll())
    record: dict[str, Any] = {
        "created_at": iso(who.created / _SECOND),
        "identities": [_identity(kind, who), *_linked(kind, who)],
        "name": who.shown,
        "nickname": called.local if kind.provider != "sms" else "",
        "updated_at": iso(min(touched, now) / _SECOND),
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
        days = (who.login - who.created) // _DAY
        share = dice.roll()
        record["last_login"] = iso(who.login / _SECOND)
        record["logins_count"] = 1 + int(days * share * share * 0.4)
        if dice.chance(0.08):
            record["last_ip"] = f"2001:db8::{1 + dice.below(65000):x}"
        else:
            record["last_ip"] = f"{dice.pick(_DOCUMENTATION)}{1 + dice.below(254)}"
    return record


def _person(kind: _Kind, who: _Someone, now: int) -> Person:
    dice = who.dice
    picture, truth, gravatar = dice.share(kind.portraits)(who)
    record = _profile(kind, who, now)
    if picture is not _ABSENT:
        record["picture"] = picture
    metadata = _metadata(dice)
    if dice.chance(0.05):
        metadata["picture"], usable = _override(dice)
        if usable:
            truth = Source.METADATA
    if metadata:
        record["user_metadata"] = metadata
    if kind.imported:
        record["app_metadata"] = {"legacy_id": 10_000 + who.index}
    elif dice.chance(0.12):
        record["app_metadata"] = {"plan": dice.pick(("free", "team", "business"))}
    return Person(record, gravatar, truth)


def people(count: int = USERS, *, seed: int = SEED, now: datetime = NOW) -> Iterator[Person]:
    """Yield a made-up tenant, one person at a time, in no order.

    The same arguments give the same people everywhere; a larger count adds people to
    them, in the same proportions.

    Args:
        count: how many people.
        seed: which tenant.
        now: the latest time in it, with a timezone; after 8 January 2018.

    Raises:
        ValueError: At the first step, if `now` is before the tenant's first day.
    """
    latest = _milliseconds(now)
    if latest <= _LAUNCH:
        raise ValueError("now must be after 2018-01-08, the tenant's first day")
    dice, calendar = _Dice(seed), _Calendar(latest)
    offset = dice.below(PAIRS)
    for index in range(count):
        kind = dice.share(_KINDS)
        yield _person(kind, _someone(dice, index, offset, kind, calendar), latest)


def loadable(person: Person) -> dict[str, Any]:
    """Return the user object as `picture-audit sandbox --load` takes it.

    `_gravatar: true` is added where Gravatar has a picture for the person's hash.
    """
    return person.record | {"_gravatar": True} if person.gravatar else dict(person.record)


def write(folder: Path, *, count: int = USERS, seed: int = SEED) -> None:
    """Write `users.ndjson.gz` and, beside it, `truth.csv`; the same bytes every time."""
    with (
        (folder / "users.ndjson.gz").open("wb") as file,
        # No file name and no time in the header, so that only the people decide the bytes.
        gzip.GzipFile("", "wb", 9, file, mtime=0) as users,
        (folder / "truth.csv").open("w", encoding="utf-8", newline="") as table,
    ):
        truth = csv.writer(table, lineterminator="\n")
        truth.writerow(("user_id", "source", "gravatar"))
        for person in people(count, seed=seed):
            line = json.dumps(
                loadable(person), ensure_ascii=False, separators=(",", ":"), sort_keys=True
            )
            users.write(line.encode() + b"\n")
            truth.writerow(
                (person.record["user_id"], person.truth, "true" if person.gravatar else "false")
            )


def main(arguments: Sequence[str]) -> int:
    """Write the sample tenant into the folder that is named; return the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m toolkit.sandbox.people FOLDER (an existing folder)\n")
        return 2
    write(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
