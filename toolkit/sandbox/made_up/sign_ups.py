"""The ways into the made-up tenant, and the pictures that people who take each of them have.

How often each shape of picture occurs is a guess at an ordinary tenant; the shapes
themselves are recorded facts. Addresses are in reserved domains, tokens in them are random.
The order in which the dice fall decides who the people are: no line may roll earlier or later.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from toolkit.classification.sources import Source
from toolkit.sandbox.directory.fields import SECOND, iso, since_1970
from toolkit.sandbox.made_up.names import Dice, Name, initials
from toolkit.sandbox.made_up.rare_pictures import RARE


@dataclass(frozen=True, slots=True)
class Someone:
    """A person before they have a picture; times in milliseconds since 1970."""

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

    @property
    def own_id(self) -> str:
        """The id that a custom social provider gave, without its connection's name."""
        return str(self.account).rpartition("|")[2]

    def fill(self, template: str) -> str:
        """Fill in `{who.…}`, and what `Dice` draws for `{dice:…}`."""
        return template.format(who=self, dice=self.dice)


class Portrait(NamedTuple):
    """A picture, what people see of it, and whether its hash has a Gravatar."""

    picture: object
    truth: Source
    gravatar: bool = False


_RELAY = "relay.example"
_PictureOf = Callable[[Someone], Portrait]
ABSENT = object()
"""The picture of a user object that has no such key."""


def _at(source: Source, picture: object) -> _PictureOf:
    """Return what gives people a picture: by a function, a template of `Someone.fill`, or as is."""

    def picture_of(who: Someone) -> Portrait:
        if callable(picture):
            return Portrait(picture(who), source)
        return Portrait(who.fill(picture) if isinstance(picture, str) else picture, source)

    return picture_of


_social = partial(_at, Source.SOCIAL)
_stock = partial(_at, Source.PLACEHOLDER)


# --- Pictures that Auth0 itself writes ---------------------------------------


def _letters(who: Someone) -> str:
    return f"cdn.auth0.com/avatars/{initials(who.shown, who.email)}.png"


def _initials(who: Someone) -> Portrait:
    return Portrait(f"https://{_letters(who)}", Source.INITIALS)


def _gravatar(
    host: str = "s",
    digest: str = "md5",
    former_domain: str | None = None,
    defaults: Sequence[str] = (),
) -> _PictureOf:
    """Point at Gravatar, with Auth0's initials image behind it unless there are `defaults`.

    With a `former_domain` the hash is of the address that people had before they changed it.
    """

    def picture_of(who: Someone) -> Portrait:
        if not who.email:
            return _initials(who)
        email = f"{who.called.local}@{former_domain}" if former_domain else who.email
        behind, truth = f"https%3A//{_letters(who)}", Source.INITIALS
        if defaults:
            behind = who.dice.pick(defaults) if len(defaults) > 1 else defaults[0]
            truth = Source.PLACEHOLDER
        address = email.strip().lower().encode()
        hashed = hashlib.new(digest, address, usedforsecurity=False).hexdigest()
        # An address that only forwards is hardly ever registered with Gravatar.
        exists = who.dice.chance(0.02 if email.endswith(_RELAY) else 0.31)
        default = behind.replace("/", "%2F")
        url = f"https://{host}.gravatar.com/avatar/{hashed}?s=480&r=pg&d={default}"
        return Portrait(url, Source.GRAVATAR if exists else truth, exists)

    return picture_of


_canonical = _gravatar()
_silhouette = _gravatar(
    "secure", defaults=["https%3A//ssl.gstatic.com/s2/profiles/images/silhouette80.png"]
)
_foreign_default = _gravatar(
    defaults=[
        *("identicon", "retro", "mp", "https%3A//static.acme.example/img/face.png"),
        "https%3A//ui-avatars.com/api//Member/128",
    ]
)


def _resolved(who: Someone) -> str:
    """Return what Gravatar redirected to: some applications store that."""
    ending = "?ssl=1" if who.dice.chance(0.7) else ""
    return f"https://i{who.dice.below(3)}.wp.com/{_letters(who)}{ending}"


# --- Pictures that applications and admins write ------------------------------


def _custom(who: Someone) -> str:
    host = who.dice.pick(("assets.example.com", "media.example.org", "cdn.shop.example"))
    kind = who.dice.pick(("jpg", "png", "webp"))
    return f"https://{host}/people/{who.dice:hexadecimal 16}.{kind}"


def _invalid(who: Someone) -> object:
    return who.dice.share(
        (
            (16, "data:text/plain,me"),
            (8, "javascript:void(0)"),
            (18, f"/uploads/{who.dice:digits 5}.png"),
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


_uploaded = _at(Source.CUSTOM, _custom)
_insecure = _at(Source.CUSTOM, "http://pictures.example.org/u/{dice:digits 6}.jpg")
_absent = _at(Source.MISSING, ABSENT)
_null = _at(Source.MISSING, None)
_empty = _at(Source.MISSING, "")
_unusable = _at(Source.INVALID, _invalid)

# --- Pictures that social and enterprise logins bring -------------------------

_2019_JULY = since_1970(datetime(2019, 7, 1, tzinfo=UTC))
_2020 = since_1970(datetime(2020, 1, 1, tzinfo=UTC))
_2022 = since_1970(datetime(2022, 1, 1, tzinfo=UTC))


def _google(who: Someone) -> str:
    """Write the URL as Google did at the time of the last login."""
    dice = who.dice
    if who.seen < _2020:
        path = f"-{dice:text 11}/AAAAAAAAAAI/AAAAAAAA{dice:text 3}/{dice:text 11}/photo.jpg"
        return f"https://lh{3 + dice.below(4)}.googleusercontent.com/{path}"
    size = "=s96-c" if dice.chance(0.9) else ""
    if who.seen < _2022:
        return f"https://lh3.googleusercontent.com/a-/AOh14G{dice:text 38}{size}"
    start = dice.pick(("AEdFTp", "ACg8oc"))
    return f"https://lh3.googleusercontent.com/a/{start}{dice:text 42}{size}"


def _google_stock(who: Someone) -> str:
    if who.seen >= _2020:
        return "https://lh3.googleusercontent.com/a/default-user=s96-c"
    path = "-XdUIqdMkCWA/AAAAAAAAAAI/AAAAAAAAAAA/"
    return f"https://lh3.googleusercontent.com/{path}{who.dice:text 11}/photo.jpg"


def _facebook(who: Someone) -> str:
    """Sign for exactly 30 days from the last login, as every recorded URL is."""
    dice, seconds = who.dice, who.seen // SECOND
    if who.seen < _2019_JULY:
        picture = f"{dice:digits 8}_{dice:digits 15}_{dice:digits 15}_n.jpg"
        signed = f"oh={dice:hexadecimal 32}&oe={seconds + (45 + dice.below(45)) * 86_400:X}"
        return f"https://scontent.xx.fbcdn.net/v/t1.0-1/p50x50/{picture}?{signed}"
    return (
        f"https://platform-lookaside.fbsbx.com/platform/profilepic/?asid={who.account}"
        f"&height=50&width=50&ext={seconds + 30 * 86_400}&hash=Ae{dice:text 14}"
    )


def _github(who: Someone) -> str:
    host, version = ("avatars", 4) if who.seen >= _2020 else (f"avatars{who.dice.below(4)}", 3)
    return f"https://{host}.githubusercontent.com/u/{who.account}?v={version}"


def _linkedin(who: Someone) -> str:
    """Sign for two to three months; now and then the URL arrives already expired."""
    dice = who.dice
    days = 60 + dice.below(31) if dice.chance(0.94) else -dice.below(80) - 1
    picture = f"C4E03AQ{dice:text 15}/profile-displayphoto-shrink_800_800/0/{who.created}"
    signed = f"e={who.seen // SECOND + days * 86_400}&v=beta&t={dice:text 43}"
    return f"https://media.licdn.com/dms/image/{picture}?{signed}"


def _linkedin_stock(who: Someone) -> str:
    return f"https://static.licdn.com/sc/h/{who.dice.text(25).lower()}"


def _slack_stock(who: Someone) -> str:
    return f"https://a.slack-edge.com/80588/img/avatars/ava_{who.dice.below(27):04}-192.png"


def _slack(who: Someone) -> str:
    day = iso(who.created / SECOND)[:10]
    picture = f"{who.dice:digits 13}_{who.dice:hexadecimal 20}_192.jpg"
    return f"https://avatars.slack-edge.com/{day}/{picture}"


# --- Ids as the providers give them -------------------------------------------


def _id(template: str) -> Callable[[Someone], str]:
    return lambda who: who.fill(template)


def _object_id(who: Someone) -> str:
    return f"{who.created // SECOND:08x}{who.dice:hexadecimal 16}"


def _github_id(who: Someone) -> int:
    """Return an id far above those in use: a smaller one would be somebody's."""
    return 9_000_000_000 + who.index * 100 + who.dice.below(100)


def _slack_id(who: Someone) -> str:
    return f"slack|U{who.dice.hexadecimal(10).upper()}"


_long_number = _id("9{dice:digits 5}{dice:digits 15}")
_apple_id = _id("00{dice:digits 4}.{dice:hexadecimal 32}.{dice:digits 4}")
_saml_id = _id("acme-saml|{who.called.local}@acme.example")


def _of(name: str, custom: bool) -> Callable[[Someone], str]:
    """Return what makes the ids of a provider; those of a custom one begin with its name."""
    return _id(f"{f'{name}|' if custom else ''}9{{dice:digits 4}}{{dice:digits 14}}")


_discord_id = _id("discord|9{dice:digits 3}{dice:digits 14}")

# --- How often people of one provider have which picture, in percent ------------


def _rare(login: str) -> tuple[tuple[float, _PictureOf], ...]:
    """Return the rows of the pictures that few people of a login have."""
    return tuple((row.percent, _at(row.truth, row.picture)) for row in RARE if row.login == login)


_MEMBERS = (
    *_rare("member"),
    (5.0, _uploaded),
    (3.2, _at(Source.CUSTOM, "https://static.acme.example/img/new-member.png")),
    (3.0, _at(Source.INITIALS, _resolved)),
    (3.0, _gravatar(former_domain="former.example")),
    (1.5, _absent),
    (1.5, _unusable),
    (1.2, _null),
    (1.0, _insecure),
    (1.0, _foreign_default),
    (0.6, _empty),
    (0.6, _gravatar("www", "sha256")),
    (0.5, _initials),
    (0.0, _canonical),
)
_IMPORTED = (
    (5.0, _uploaded),
    (3.0, _insecure),
    (2.0, _empty),
    (2.0, _unusable),
    (1.0, _null),
    (0.0, _gravatar("secure")),
)
_GOOGLE = (*_rare("google-oauth2"), (4.0, _stock(_google_stock)), (0.0, _social(_google)))
_FACEBOOK = (
    *_rare("facebook"),
    (6.0, _social("https://graph.facebook.com/v2.5/{who.account}/picture?type=large")),
    (3.0, _stock("https://static.xx.fbcdn.net/rsrc.php/v1/yi/r/{dice:text 11}.gif")),
    (0.0, _social(_facebook)),
)
_GITHUB = ((0.0, _social(_github)),)
_TWITTER_FACES = "https://abs.twimg.com/sticky/default_profile_images"
_TWITTER_PICTURE = "9{dice:digits 3}{dice:digits 15}/{dice:text 8}_normal.jpg"
_TWITTER = (
    *_rare("twitter"),
    (14.0, _stock(f"{_TWITTER_FACES}/default_profile_normal.png")),
    (0.0, _social(f"https://pbs.twimg.com/profile_images/{_TWITTER_PICTURE}")),
)
_LINKEDIN = (
    *_rare("linkedin"),
    (12.0, _canonical),
    (3.0, _stock(_linkedin_stock)),
    (0.0, _social(_linkedin)),
)
_staff = _at(Source.ENTERPRISE, "https://people.acme.example/photos/{dice:hexadecimal 12}.jpg")
_DIRECTORY = ((25.0, _silhouette), (15.0, _staff), (0.0, _canonical))
_SAML = (*_rare("acme-saml"), (25.0, _canonical), (5.0, _absent), (0.0, _staff))
_DISCORD = (
    *_rare("discord"),
    (18.0, _stock("https://cdn.discordapp.com/embed/avatars/{dice:below 6}.png")),
    (10.0, _social("https://faces.guild.example/{who.own_id}.png")),
    (0.0, _social("https://cdn.discordapp.com/avatars/{who.own_id}/{dice:hexadecimal 32}.png")),
)
_LINE = ((0.0, _social("https://profile.line-scdn.net/0h{dice:text 40}")),)
_SLACK = (*_rare("slack"), (20.0, _stock(_slack_stock)), (0.0, _social(_slack)))
_GRAVATAR = ((0.0, _canonical),)
_INITIALS = ((0.0, _initials),)

# --- The tenant's connections --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """One way in, and what the people who took it look like."""

    percent: float  # of all people
    connection: str
    provider: str  # the connection's strategy
    account: Callable[[Someone], str | int]  # makes the id that the provider gave
    portraits: Sequence[tuple[float, _PictureOf]]  # percentages; the last row takes the rest
    social: bool = True  # as Auth0 marks the identity
    imported: bool = False  # by the bulk import
    email: float = 1.0  # share of people with an e-mail address
    named: float = 1.0  # share of people whose name is more than their e-mail address
    split: bool = False  # whether the provider tells given and family name apart
    domain: str | None = None  # of the e-mail addresses, if people cannot choose it


_DATABASE = "Username-Password-Authentication"
KINDS = (
    Kind(36.35, _DATABASE, "auth0", _object_id, _MEMBERS, social=False, email=0.985, named=0.45),
    Kind(24.9, "google-oauth2", "google-oauth2", _long_number, _GOOGLE, split=True),
    Kind(9.0, "facebook", "facebook", _long_number, _FACEBOOK, email=0.95, split=True),
    Kind(7.0, _DATABASE, "auth0", _object_id, _IMPORTED, social=False, imported=True, named=0.7),
    Kind(5.0, "github", "github", _github_id, _GITHUB, email=0.85),
    Kind(3.0, "apple", "apple", _apple_id, _GRAVATAR, named=0.4, split=True, domain=_RELAY),
    Kind(2.5, "linkedin", "linkedin", _id("{dice:text 10}"), _LINKEDIN, split=True),
    Kind(
        2.5,
        "corp-ad",
        "waad",
        _id("{dice:text 43}"),
        _DIRECTORY,
        social=False,
        email=0.65,
        split=True,
        domain="corp.example",
    ),
    Kind(2.0, "twitter", "twitter", _long_number, _TWITTER, email=0.6),
    Kind(
        2.0, "acme-saml", "samlp", _saml_id, _SAML, social=False, split=True, domain="acme.example"
    ),
    Kind(1.2, "email", "email", _object_id, _GRAVATAR, social=False, named=0.0),
    Kind(1.2, "sms", "sms", _object_id, _INITIALS, social=False, email=0.0),
    Kind(0.8, "discord", "oauth2", _discord_id, _DISCORD),
    *(
        Kind(percent, name, "oauth2" if custom else name, _of(name, custom), _rare(name))
        for percent, name, custom in (
            (0.4, "instagram", False),
            (0.3, "vkontakte", False),
            (0.3, "yahoo", False),
            (0.2, "salesforce", False),
            (0.2, "bitbucket", False),
            (0.2, "tiktok", True),
            (0.2, "twitch", True),
        )
    ),
    Kind(0.4, "line", "line", _id("U{dice:hexadecimal 32}"), _LINE, email=0.5),
    Kind(0.4, "slack", "oauth2", _slack_id, _SLACK, split=True),
)
"""Every way in; the last one takes the people that the percentages of the others leave."""

LINKED = tuple(
    kind for kind in KINDS if kind.connection in {"google-oauth2", "github", "facebook", "linkedin"}
)
"""What people link to the account that they already have."""
