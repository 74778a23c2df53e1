"""The ways into the made-up tenant, and the pictures that people who take each of them have.

How often each shape of picture occurs is a guess at an ordinary tenant; the shapes
themselves are recorded facts. Addresses are in reserved domains, tokens in them are random.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from toolkit.classification.sources import Source
from toolkit.sandbox.directory.fields import SECOND, iso, since_1970
from toolkit.sandbox.made_up.names import Dice, Name, initials


@dataclass(slots=True)
class Someone:
    """What is known about a person before their picture; times in milliseconds since 1970."""

    dice: Dice
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


class Portrait(NamedTuple):
    """A picture, what people see of it, and whether its hash has a Gravatar."""

    picture: object
    truth: Source
    gravatar: bool = False


_Painter = Callable[[Someone], Portrait]
ABSENT = object()
"""The picture of a user object that has no such key."""

# --- Pictures that Auth0 itself writes ---------------------------------------


def _letters(who: Someone) -> str:
    return f"cdn.auth0.com/avatars/{initials(who.shown, who.email)}.png"


def _gravatar(
    who: Someone,
    email: str,
    default: str | None = None,
    *,
    host: str = "s.gravatar.com",
    digest: str = "md5",
) -> Portrait:
    """Point at Gravatar, with Auth0's initials image behind it unless told otherwise."""
    hashed = hashlib.new(digest, email.strip().lower().encode(), usedforsecurity=False).hexdigest()
    # An address that only forwards is hardly ever registered with Gravatar.
    exists = who.dice.chance(0.02 if email.endswith("relay.example") else 0.31)
    if default is None:
        behind, truth = f"https://{_letters(who)}".replace(":", "%3A"), Source.INITIALS
    else:
        behind, truth = default, Source.PLACEHOLDER
    url = f"https://{host}/avatar/{hashed}?s=480&r=pg&d={behind.replace('/', '%2F')}"
    return Portrait(url, Source.GRAVATAR if exists else truth, exists)


def _initials(who: Someone) -> Portrait:
    return Portrait(f"https://{_letters(who)}", Source.INITIALS)


def _canonical(who: Someone) -> Portrait:
    return _gravatar(who, who.email) if who.email else _initials(who)


def _imported(who: Someone) -> Portrait:
    return _gravatar(who, who.email, host="secure.gravatar.com") if who.email else _initials(who)


def _newer_hash(who: Someone) -> Portrait:
    if not who.email:
        return _initials(who)
    return _gravatar(who, who.email, host="www.gravatar.com", digest="sha256")


def _former_email(who: Someone) -> Portrait:
    """Hash the address that the person had before they changed it."""
    return _gravatar(who, f"{who.called.local}@former.example") if who.email else _initials(who)


def _silhouette(who: Someone) -> Portrait:
    if not who.email:
        return _initials(who)
    default = "https%3A//ssl.gstatic.com/s2/profiles/images/silhouette80.png"
    return _gravatar(who, who.email, default, host="secure.gravatar.com")


def _foreign_default(who: Someone) -> Portrait:
    if not who.email:
        return _initials(who)
    defaults = ("identicon", "retro", "mp", "https%3A//static.acme.example/img/face.png")
    return _gravatar(who, who.email, who.dice.pick(defaults))


def _resolved(who: Someone) -> Portrait:
    """Keep where Gravatar's redirect led to, as some applications do."""
    ending = "?ssl=1" if who.dice.chance(0.7) else ""
    return Portrait(f"https://i{who.dice.below(3)}.wp.com/{_letters(who)}{ending}", Source.INITIALS)


# --- Pictures that applications and admins write ------------------------------


def _custom(who: Someone) -> Portrait:
    host = who.dice.pick(("assets.example.com", "media.example.org", "cdn.shop.example"))
    kind = who.dice.pick(("jpg", "png", "webp"))
    return Portrait(f"https://{host}/people/{who.dice.hexadecimal(16)}.{kind}", Source.CUSTOM)


def _shared(_: Someone) -> Portrait:
    return Portrait("https://static.acme.example/img/new-member.png", Source.CUSTOM)


def _insecure(who: Someone) -> Portrait:
    return Portrait(f"http://pictures.example.org/u/{who.dice.digits(6)}.jpg", Source.CUSTOM)


def _null(_: Someone) -> Portrait:
    return Portrait(None, Source.MISSING)


def _absent(_: Someone) -> Portrait:
    return Portrait(ABSENT, Source.MISSING)


def _empty(_: Someone) -> Portrait:
    return Portrait("", Source.MISSING)


PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
"""A picture of one pixel, in the address itself."""


def _invalid(who: Someone) -> Portrait:
    picture: object = who.dice.share(
        (
            (16, PIXEL),
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
    return Portrait(picture, Source.INVALID)


# --- Pictures that social and enterprise logins bring -------------------------


_2019_JULY = since_1970(datetime(2019, 7, 1, tzinfo=UTC))
_2020 = since_1970(datetime(2020, 1, 1, tzinfo=UTC))
_2022 = since_1970(datetime(2022, 1, 1, tzinfo=UTC))


def _social(url: str) -> Portrait:
    return Portrait(url, Source.SOCIAL)


def _stock(url: str) -> Portrait:
    return Portrait(url, Source.PLACEHOLDER)


def _google(who: Someone) -> Portrait:
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


def _google_stock(who: Someone) -> Portrait:
    if who.seen >= _2020:
        return _stock("https://lh3.googleusercontent.com/a/default-user=s96-c")
    path = "-XdUIqdMkCWA/AAAAAAAAAAI/AAAAAAAAAAA/"
    return _stock(f"https://lh3.googleusercontent.com/{path}{who.dice.text(11)}/photo.jpg")


def _facebook(who: Someone) -> Portrait:
    """Sign for exactly 30 days from the last login, as every recorded URL is."""
    dice, seconds = who.dice, who.seen // SECOND
    if who.seen < _2019_JULY:
        picture = f"{dice.digits(8)}_{dice.digits(15)}_{dice.digits(15)}_n.jpg"
        signed = f"oh={dice.hexadecimal(32)}&oe={seconds + (45 + dice.below(45)) * 86_400:X}"
        return _social(f"https://scontent.xx.fbcdn.net/v/t1.0-1/p50x50/{picture}?{signed}")
    signed = f"ext={seconds + 30 * 86_400}&hash=Ae{dice.text(14)}"
    return _social(
        "https://platform-lookaside.fbsbx.com/platform/profilepic/"
        f"?asid={who.account}&height=50&width=50&{signed}"
    )


def _facebook_rewritten(who: Someone) -> Portrait:
    return _social(f"https://graph.facebook.com/v2.5/{who.account}/picture?type=large")


def _facebook_stock(who: Someone) -> Portrait:
    return _stock(f"https://static.xx.fbcdn.net/rsrc.php/v1/yi/r/{who.dice.text(11)}.gif")


def _github(who: Someone) -> Portrait:
    host, version = ("avatars", 4) if who.seen >= _2020 else (f"avatars{who.dice.below(4)}", 3)
    return _social(f"https://{host}.githubusercontent.com/u/{who.account}?v={version}")


def _twitter(who: Someone) -> Portrait:
    picture = f"9{who.dice.digits(3)}{who.dice.digits(15)}/{who.dice.text(8)}"
    return _social(f"https://pbs.twimg.com/profile_images/{picture}_normal.jpg")


def _twitter_stock(_: Someone) -> Portrait:
    return _stock("https://abs.twimg.com/sticky/default_profile_images/default_profile_normal.png")


def _linkedin(who: Someone) -> Portrait:
    """Sign for two to three months; now and then the URL arrives already expired."""
    dice = who.dice
    days = 60 + dice.below(31) if dice.chance(0.94) else -dice.below(80) - 1
    picture = f"C4E03AQ{dice.text(15)}/profile-displayphoto-shrink_800_800/0/{who.created}"
    signed = f"e={who.seen // SECOND + days * 86_400}&v=beta&t={dice.text(43)}"
    return _social(f"https://media.licdn.com/dms/image/{picture}?{signed}")


def _linkedin_stock(who: Someone) -> Portrait:
    return _stock(f"https://static.licdn.com/sc/h/{who.dice.text(25).lower()}")


def _line(who: Someone) -> Portrait:
    return _social(f"https://profile.line-scdn.net/0h{who.dice.text(40)}")


def _own_id(who: Someone) -> str:
    """Return the id that a custom social provider gave, without its connection's name."""
    return str(who.account).rpartition("|")[2]


def _discord(who: Someone) -> Portrait:
    picture = f"{_own_id(who)}/{who.dice.hexadecimal(32)}.png"
    return _social(f"https://cdn.discordapp.com/avatars/{picture}")


def _discord_stock(who: Someone) -> Portrait:
    return _stock(f"https://cdn.discordapp.com/embed/avatars/{who.dice.below(6)}.png")


def _discord_proxied(who: Someone) -> Portrait:
    return _social(f"https://faces.guild.example/{_own_id(who)}.png")


def _slack(who: Someone) -> Portrait:
    day = iso(who.created / SECOND)[:10]
    picture = f"{who.dice.digits(13)}_{who.dice.hexadecimal(20)}_192.jpg"
    return _social(f"https://avatars.slack-edge.com/{day}/{picture}")


def _slack_stock(who: Someone) -> Portrait:
    number = f"{who.dice.below(27):04}"
    return _stock(f"https://a.slack-edge.com/80588/img/avatars/ava_{number}-192.png")


def _staff(who: Someone) -> Portrait:
    picture = f"https://people.acme.example/photos/{who.dice.hexadecimal(12)}.jpg"
    return Portrait(picture, Source.ENTERPRISE)


# --- Ids as the providers give them -------------------------------------------


def _object_id(who: Someone) -> str:
    return f"{who.created // SECOND:08x}{who.dice.hexadecimal(16)}"


def _long_number(who: Someone) -> str:
    return f"9{who.dice.digits(5)}{who.dice.digits(15)}"


def _number(who: Someone) -> int:
    """Return a GitHub id far above those in use: a smaller one would be somebody's."""
    return 9_000_000_000 + who.index * 100 + who.dice.below(100)


def _apple_id(who: Someone) -> str:
    return f"00{who.dice.digits(4)}.{who.dice.hexadecimal(32)}.{who.dice.digits(4)}"


def _token(who: Someone) -> str:
    return who.dice.text(43)


def _line_id(who: Someone) -> str:
    return f"U{who.dice.hexadecimal(32)}"


def _saml_id(who: Someone) -> str:
    return f"acme-saml|{who.called.local}@acme.example"


def _discord_id(who: Someone) -> str:
    return f"discord|9{who.dice.digits(3)}{who.dice.digits(14)}"


def _slack_id(who: Someone) -> str:
    return f"slack|U{who.dice.hexadecimal(10).upper()}"


# --- The tenant's connections --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
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
    account: Callable[[Someone], str | int]
    portraits: Sequence[tuple[float, _Painter]]
    social: bool = True
    imported: bool = False
    email: float = 1.0
    named: float = 1.0
    split: bool = False
    domain: str | None = None


_DATABASE = "Username-Password-Authentication"
KINDS: tuple[tuple[float, Kind], ...] = (
    (
        38.0,
        Kind(
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
        Kind(
            "google-oauth2",
            "google-oauth2",
            _long_number,
            ((4.0, _google_stock), (0.0, _google)),
            split=True,
        ),
    ),
    (
        9.0,
        Kind(
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
        Kind(
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
    (5.0, Kind("github", "github", _number, ((0.0, _github),), email=0.85)),
    (
        3.0,
        Kind(
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
        Kind(
            "linkedin",
            "linkedin",
            lambda who: who.dice.text(10),
            ((12.0, _canonical), (3.0, _linkedin_stock), (0.0, _linkedin)),
            split=True,
        ),
    ),
    (
        2.5,
        Kind(
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
        Kind(
            "twitter",
            "twitter",
            _long_number,
            ((14.0, _twitter_stock), (0.0, _twitter)),
            email=0.6,
        ),
    ),
    (
        2.0,
        Kind(
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
        Kind("email", "email", _object_id, ((0.0, _canonical),), social=False, named=0.0),
    ),
    (1.2, Kind("sms", "sms", _object_id, ((0.0, _initials),), social=False, email=0.0)),
    (
        0.8,
        Kind(
            "discord",
            "oauth2",
            _discord_id,
            ((18.0, _discord_stock), (10.0, _discord_proxied), (0.0, _discord)),
        ),
    ),
    (0.4, Kind("line", "line", _line_id, ((0.0, _line),), email=0.5)),
    (
        0.4,
        Kind("slack", "oauth2", _slack_id, ((20.0, _slack_stock), (0.0, _slack)), split=True),
    ),
)
"""Percentages of ways in; the last row takes the rest."""

LINKED = tuple(
    kind
    for _, kind in KINDS
    if kind.connection in {"google-oauth2", "github", "facebook", "linkedin"}
)
"""What people link to the account that they already have."""
