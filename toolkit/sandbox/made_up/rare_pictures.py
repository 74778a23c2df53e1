"""Pictures that few people of a tenant have, and what each of them truly shows.

The shapes are those of the rule table and of public bug reports; how often each occurs is a guess.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from toolkit.classification.sources import Source

if TYPE_CHECKING:
    from toolkit.sandbox.made_up.sign_ups import Someone

_DAY = 86_400_000  # milliseconds
_SECOND = 1000


class Rare(NamedTuple):
    """One shape of picture that few people have.

    Attributes:
        login: the connection or strategy whose people have it; `member` for the tenant's database.
        percent: how many of them.
        picture: makes the address: a template of `Someone.fill`, or a function.
        pattern: regular expression of the beginning of all addresses that it makes.
        truth: what people see.
        kind: what is in the picture: `photo`, `letters`, `pattern`, `silhouette`, `plain`; or
            `nothing` where the address answers with none.
    """

    login: str
    percent: float
    picture: "str | Callable[[Someone], str]"
    pattern: str
    truth: Source
    kind: str


def _hashed(who: "Someone") -> str:
    address = (who.email or str(who.account)).strip().lower().encode()
    return hashlib.md5(address, usedforsecurity=False).hexdigest()


def _old_gravatar(who: "Someone") -> str:
    return f"http://www.gravatar.com/avatar.php?gravatar_id={_hashed(who)}&default=identicon"


def _mirrored(who: "Someone") -> str:
    return f"https://cravatar.cn/avatar/{_hashed(who)}?s=96&d=identicon"


def _slack_gravatar(who: "Someone") -> str:
    return f"https://ca.slack-edge.com/T0ACME-{who.own_id}-g{_hashed(who)[:11]}-512"


def _letters(who: "Someone") -> str:
    return f"https://ui-avatars.com/api/?name={who.called.local}&background=random"


def _copied_letters(who: "Someone") -> str:
    return f"https://i0.wp.com/ui-avatars.com/api/{who.called.local}/128?ssl=1"


def signed(who: "Someone", host: str) -> str:
    """Sign an address as S3 does, for a week from when the picture was taken over."""
    begun = datetime.fromtimestamp(who.seen // _SECOND, UTC)
    return (
        f"https://{host}/avatars/{who.dice:hexadecimal 16}.png?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Date={begun:%Y%m%dT%H%M%SZ}&X-Amz-Expires=604800&X-Amz-SignedHeaders=host"
        f"&X-Amz-Signature={who.dice:hexadecimal 16}"
    )


def _stored(who: "Someone") -> str:
    return signed(who, "acme-people.s3.us-east-1.amazonaws.com")


def _facebook_silhouette(who: "Someone") -> str:
    ends = (who.seen + 60 * _DAY) // _SECOND
    file = "84628273_176159830277856_972693363922829312_n.jpg"
    signature = f"_nc_cat=1&oh=00_{who.dice:text 8}&oe={ends:X}"
    return f"https://scontent-iad3-1.xx.fbcdn.net/v/t1.30497-1/{file}?{signature}"


def _instagram(who: "Someone") -> str:
    ends = (who.seen + 30 * _DAY) // _SECOND
    return (
        f"https://scontent.cdninstagram.com/v/t51.2885-19/{who.dice:digits 9}_n.jpg"
        f"?_nc_ht=scontent.cdninstagram.com&oh=00_{who.dice:text 8}&oe={ends:X}"
    )


def _linkedin(who: "Someone") -> str:
    ends = (who.seen + 60 * _DAY) // _SECOND
    return (
        f"https://media-exp1.licdn.com/dms/image/C4E03AQ{who.dice:text 12}"
        f"/profile-displayphoto-shrink_100_100/0?e={ends}&v=beta&t={who.dice:text 12}"
    )


def _tiktok(who: "Someone") -> str:
    ends = (who.seen + 2 * _DAY) // _SECOND
    return (
        f"https://p16-sign-va.tiktokcdn.com/tos-maliva-avt-0068/{who.dice:hexadecimal 16}"
        f"~c5_100x100.jpeg?x-expires={ends}&x-signature={who.dice:text 12}%3D"
    )


PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
"""A picture of one pixel, in the address itself."""
_SOCIAL, _CUSTOM, _STAND_IN = Source.SOCIAL, Source.CUSTOM, Source.PLACEHOLDER
_DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJg"
)

# fmt: off - a table: one row on as few lines as it takes
RARE: tuple[Rare, ...] = (
    Rare("member", 0.9, _letters, r"https://ui-avatars\.com/", _STAND_IN, "letters"),
    Rare(
        "member",
        0.1,
        _copied_letters,
        r"https://i0\.wp\.com/ui-avatars\.com/",
        _STAND_IN,
        "letters",
    ),
    Rare(
        "member",
        0.3,
        "https://api.dicebear.com/7.x/identicon/svg?seed={dice:text 8}",
        r"https://api\.dicebear\.com/",
        _STAND_IN,
        "pattern",
    ),
    Rare(
        "member",
        0.1,
        "https://robohash.org/{dice:text 8}.png",
        r"https://robohash\.org/",
        _STAND_IN,
        "pattern",
    ),
    Rare(
        "member",
        0.1,
        "https://avatar.vercel.sh/{dice:text 8}",
        r"https://avatar\.vercel\.sh/",
        _STAND_IN,
        "plain",
    ),
    Rare(
        "member",
        0.2,
        "https://ssl.gstatic.com/accounts/ui/avatar_2x.png",
        r"https://ssl\.gstatic\.com/accounts/",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "member",
        0.2,
        "https://gravatar.com/avatar/00000000000000000000000000000000?d=mp",
        r"https://gravatar\.com/avatar/0{32}",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "member",
        0.1,
        "https://secure.gravatar.com/avatar/?s=96&d=mm&r=g",
        r"https://secure\.gravatar\.com/avatar/\?",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "member",
        0.05,
        _old_gravatar,
        r"http://www\.gravatar\.com/avatar\.php",
        _STAND_IN,
        "pattern",
    ),
    Rare("member", 0.1, _mirrored, r"https://cravatar\.cn/", _STAND_IN, "pattern"),
    Rare("member", 0.8, _stored, r"https://acme-people\.s3\.", _CUSTOM, "photo"),
    Rare(
        "member",
        0.2,
        "https://lh3.googleusercontent.com/d/1{dice:text 32}",
        r"https://lh3\.googleusercontent\.com/d/",
        _CUSTOM,
        "photo",
    ),
    Rare(
        "member",
        0.05,
        "//media.example.org/people/{dice:hexadecimal 16}.png",
        r"//media\.example\.org/",
        _CUSTOM,
        "photo",
    ),
    Rare(
        "member",
        0.1,
        "https://github.com/{who.called.last}-example.png",
        r"https://github\.com/[^/]+\.png",
        _SOCIAL,
        "photo",
    ),
    Rare("member", 0.1, _linkedin, r"https://media-exp1\.licdn\.com/", _SOCIAL, "photo"),
    Rare(
        "member",
        0.05,
        "https://media.example.org/people/undefined.png",
        r"https://media\.example\.org/people/undefined",
        Source.INVALID,
        "nothing",
    ),
    Rare(
        "google-oauth2",
        0.2,
        "https://lh3.googleusercontent.com/a/ACg8ocL{dice:text 38}=s96-c",
        r"https://lh3\.googleusercontent\.com/a/ACg8ocL",
        _SOCIAL,
        "letters",
    ),
    Rare(
        "facebook",
        4.0,
        _facebook_silhouette,
        r"https://scontent-iad3-1\.xx\.fbcdn\.net/v/t1\.30",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "facebook",
        0.1,
        "https://graph.facebook.com/undefined/picture?type=large",
        r"https://graph\.facebook\.com/undefined/",
        _STAND_IN,
        "nothing",
    ),
    Rare(
        "twitter",
        4.0,
        "http://a0.twimg.com/sticky/default_profile_images/default_profile_3_normal.png",
        r"http://a0\.twimg\.com/sticky/",
        _STAND_IN,
        "silhouette",
    ),
    Rare("linkedin", 12.0, _linkedin, r"https://media-exp1\.licdn\.com/", _SOCIAL, "photo"),
    Rare(
        "discord",
        1.0,
        "https://cdn.discordapp.com/avatars/{who.own_id}/null.png",
        r"https://cdn\.discordapp\.com/avatars/[0-9]+/null\.png",
        _STAND_IN,
        "nothing",
    ),
    Rare("slack", 15.0, _slack_gravatar, r"https://ca\.slack-edge\.com/", _STAND_IN, "silhouette"),
    Rare(
        "acme-saml",
        3.0,
        f"data:image/png;base64,{_DOT}gg==",
        r"data:image/png;base64,",
        Source.ENTERPRISE,
        "plain",
    ),
    Rare(
        "instagram",
        25.0,
        "https://instagram.fcbr1-1.fna.fbcdn.net/v/t51.2885-19/"
        "44884218_345707102882519_2446069589734326272_n.jpg?oh=1&oe=65A1B2C3",
        r"https://instagram\.fcbr1-1\.fna\.fbcdn\.net/",
        _STAND_IN,
        "silhouette",
    ),
    Rare("instagram", 75.0, _instagram, r"https://scontent\.cdninstagram\.com/", _SOCIAL, "photo"),
    Rare(
        "vkontakte",
        30.0,
        "https://vk.com/images/camera_200.png",
        r"https://vk\.com/images/",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "vkontakte",
        70.0,
        "https://sun9-1.userapi.com/{dice:text 20}.jpg",
        r"https://sun9-1\.userapi\.com/",
        _SOCIAL,
        "photo",
    ),
    Rare(
        "yahoo",
        60.0,
        "https://s.yimg.com/ag/images/default_user_profile_pic_192sq.jpg",
        r"https://s\.yimg\.com/ag/images/default",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "yahoo",
        40.0,
        "https://s.yimg.com/ag/images/{dice:hexadecimal 16}_192sq.jpg",
        r"https://s\.yimg\.com/ag/images/[0-9a-f]+_",
        _SOCIAL,
        "photo",
    ),
    Rare(
        "salesforce",
        50.0,
        "https://c.na40.content.force.com/profilephoto/005/F",
        r"https://c\.na40\.content\.force\.com/profilephoto/005/",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "salesforce",
        50.0,
        "https://c.na40.content.force.com/profilephoto/729{dice:text 12}/F",
        r"https://c\.na40\.content\.force\.com/profilephoto/729",
        _SOCIAL,
        "photo",
    ),
    Rare("tiktok", 100.0, _tiktok, r"https://p16-sign-va\.tiktokcdn\.com/", _SOCIAL, "photo"),
    Rare(
        "twitch",
        30.0,
        "https://static-cdn.jtvnw.net/user-default-pictures-uv/{dice:hexadecimal 8}-300x300.png",
        r"https://static-cdn\.jtvnw\.net/user-default",
        _STAND_IN,
        "silhouette",
    ),
    Rare(
        "twitch",
        70.0,
        "https://static-cdn.jtvnw.net/jtv_user_pictures/{dice:hexadecimal 16}-300x300.png",
        r"https://static-cdn\.jtvnw\.net/jtv_user_pictures/",
        _SOCIAL,
        "photo",
    ),
    Rare(
        "bitbucket",
        40.0,
        "https://avatar-management--avatars.us-west-2.prod.public.atl-paas.net/initials/KV-1.png",
        r"https://avatar-management--avatars\.[^/]+/initials/",
        _STAND_IN,
        "letters",
    ),
    Rare(
        "bitbucket",
        60.0,
        "https://avatar-management--avatars.us-west-2.prod.public.atl-paas.net"
        "/{dice:hexadecimal 24}/128",
        r"https://avatar-management--avatars\.[^/]+/[0-9a-f]+/",
        _SOCIAL,
        "photo",
    ),
)
# fmt: on
"""In the order of the logins; percentages of one login add up to 100 at most."""
