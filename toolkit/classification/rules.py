"""The rule table: which host and path say what a picture is. Data only.

`RULES` is read from the top, and the first row that matches decides. Both classifiers, the
Action's JavaScript, the sandbox and the guide take the rows from here.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Self


class Source(StrEnum):
    """What a person's picture is, in the order in which charts and tables list it."""

    meaning: str
    """One line of plain words, for legends and tables."""

    def __new__(cls, name: str, meaning: str = "") -> Self:
        """Make a member: its value, and what it means."""
        member = str.__new__(cls, name)
        member._value_, member.meaning = name, meaning
        return member

    SOCIAL = "social", "brought by a social login: Google, Facebook, GitHub, …"
    ENTERPRISE = "enterprise", "brought by an enterprise login"
    GRAVATAR = "gravatar", "a Gravatar that exists"
    METADATA = "metadata", "user_metadata.picture overrides the profile"
    CUSTOM = "custom", "a picture set by hand or by your application"
    UNRESOLVED = "unresolved", "a Gravatar or its fallback: not known which"
    INITIALS = "initials", "Auth0's letters on a coloured square"
    PLACEHOLDER = (
        "placeholder",
        "a stock image, or letters or a pattern that a service draws",
    )
    MISSING = "missing", "no picture at all"
    INVALID = "invalid", "nothing that a browser could show"


class Fallback(StrEnum):
    """What a Gravatar URL shows where there is no Gravatar."""

    INITIALS = "initials"
    SILHOUETTE = "silhouette"
    GENERATED = "generated"
    CUSTOM = "custom"
    NONE = "none"


class Seen(StrEnum):
    """Where the shape of a rule's addresses was seen."""

    RECORDED = "recorded"
    DOCUMENTED = "documented"
    CODE = "public code"
    FAMILY = "host family"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the rule table; the first row that matches a URL decides.

    Attributes:
        source: the verdict.
        provider: whose picture it is, by Auth0's strategy name, or None.
        hosts: each stands for itself and any host below it.
        path: regular expression of the path's beginning, without lookaround: RE2 runs it, too.
        why: the reason, as shown to people.
        seen: where the shape was seen. `recorded`: in user objects that Auth0's SDK repositories
            recorded. `documented`: in Auth0's or the provider's documentation. `public code`: in
            programs and issues that others published. `host family`: a sibling of one of these,
            known in general; no Auth0 payload with it was found.
        expires: query parameter with the UNIX time at which the URL stops working, and its base
            (10 or 16), or None.
        expires_in_path: regular expression of the path's beginning; its one group is that time in
            hexadecimal digits. None if the path holds none.
        fallback: what people see of it where it stands behind a Gravatar URL. None for Gravatar and
            services like it: their URLs name a fallback themselves (`d`).
        hash_in: query parameter with the hash of a Gravatar's address, where the path has none.
        hashed: whether Gravatar decides about the hash in the path.
    """

    source: Source
    provider: str | None
    hosts: tuple[str, ...]
    path: str
    why: str
    seen: Seen
    expires: tuple[str, int] | None = None
    expires_in_path: str | None = None
    fallback: Fallback | None = Fallback.CUSTOM
    hash_in: str | None = None
    hashed: bool = False


def _rule(  # noqa: PLR0913 - one for each column
    source: Source,
    provider: str | None,
    address: str,
    why: str,
    seen: Seen = Seen.FAMILY,
    *,
    also: str = "",
    expires: tuple[str, int] | None = None,
    in_path: str | None = None,
    fallback: Fallback | None = Fallback.CUSTOM,
    hash_in: str | None = None,
    hashed: bool = False,
) -> Rule:
    """Return a rule; an address is its host and, from the first slash on, its path.

    `also` names further hosts with the same paths.
    """
    host, slash, path = address.partition("/")
    hosts = tuple(dict.fromkeys((host, *also.split())))
    path = slash + path
    return Rule(
        source, provider, hosts, path, why, seen, expires, in_path, fallback, hash_in, hashed
    )


_stock = partial(_rule, Source.PLACEHOLDER, fallback=Fallback.SILHOUETTE)
_drawn = partial(_rule, Source.PLACEHOLDER, fallback=Fallback.GENERATED)
_social = partial(_rule, Source.SOCIAL)
_custom = partial(_rule, Source.CUSTOM)
_unresolved = partial(_rule, Source.UNRESOLVED)

_RECORDED, _DOCUMENTED, _CODE = Seen.RECORDED, Seen.DOCUMENTED, Seen.CODE


def _any_case(digits: str) -> str:
    return "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in digits)


_HASH = "(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{32})"
# Nobody's hash: that of an empty address (MD5, SHA-256), and zeros.
_NOBODY = (
    "(?:0{64}|0{32}"
    f"|{_any_case('d41d8cd98f00b204e9800998ecf8427e')}"
    f"|{_any_case('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')})"
)
# They ask Gravatar, and some have pictures of their own: what Gravatar answers does not decide.
_ALIKE = (
    "libravatar.org cravatar.cn cravatar.com weavatar.com gravatar.loli.net gravatar.zeruns.tech "
    "gravatar.webp.se gravatar.cat.net gravatar.inwao.com gravatar.w3tt.com gravatar.helingqi.com "
    "sdn.geekzu.org fdn.geekzu.org dn-qiniu-avatar.qbox.me cdn.sep.cc cdn.v2ex.com"
)
_FACEBOOK_CDNS = "fbcdn-profile-a.akamaihd.net " + " ".join(
    f"fbcdn-{kind}-{letter}-a.akamaihd.net"
    for kind in ("sphotos", "photos")
    for letter in "abcdefgh"
)
_GOOGLE = (
    "lh4.googleusercontent.com lh5.googleusercontent.com lh6.googleusercontent.com "
    "yt3.googleusercontent.com ggpht.com"
)
_GITHUB = " ".join(f"avatars{number}.githubusercontent.com" for number in range(4))
_FORCE = "salesforce.com documentforce.com cloudforce.com salesforce-sites.com"
_STEAM = "steamcommunity.com steampowered.com steamcdn-a.akamaihd.net"
# As `/vp/SIGNATURE/TIME/…`, until 2019.
_OLD_SIGNED = "/vp/[0-9a-f]{32}/([0-9a-fA-F]{8})/"

# One row on as few lines as it takes: a table.
# fmt: off
RULES: tuple[Rule, ...] = (
    # --- Auth0 and Gravatar ---
    _rule(Source.INITIALS, None, "cdn.auth0.com/avatars/", "Auth0's own initials image", _RECORDED,
        fallback=Fallback.INITIALS),
    _stock(None, f"gravatar.com/avatar/{_NOBODY}(?:[./]|$)",
        "a Gravatar URL with nobody's hash: always its fallback", _CODE, also=_ALIKE),
    _unresolved(None, f"gravatar.com/avatar/{_HASH}(?:[./]|$)",
        "a Gravatar URL: the URL alone does not say whether that Gravatar exists", _RECORDED,
        fallback=None, hashed=True),
    _unresolved(None, r"gravatar.com/avatar(?:\.php)?/?$",
        "a Gravatar URL of the old form: it does not say whether that Gravatar exists", _CODE,
        fallback=None, hash_in="gravatar_id"),
    _unresolved(None, f"libravatar.org/(?:g?r?avatar|wavatar)/{_HASH}(?:[./]|$)",
        "a service like Gravatar: the URL alone does not say whether it has a picture", _CODE,
        also=_ALIKE, fallback=None),
    _unresolved(None, f"avatar-cdn.atlassian.com/{_HASH}(?:[./]|$)",
        "a service like Gravatar: the URL alone does not say whether it has a picture",
        fallback=None),
    _stock(None, "gravatar.com/avatar/",
        "a Gravatar URL without the hash of an address: always its fallback", _CODE, also=_ALIKE),
    _unresolved(None, "unavatar.io/", "a service that looks for a picture and may find none",
        _CODE),
    # --- Drawn by a service ---
    _drawn(None, "ui-avatars.com/", "letters drawn by ui-avatars", _CODE),
    _drawn(None, "dicebear.com/", "drawn by DiceBear", _CODE),
    _drawn(None, "robohash.org/", "a robot drawn by RoboHash", _CODE),
    _drawn(None, "multiavatar.com/", "drawn by Multiavatar", _CODE),
    _drawn(None, "boringavatars.com/", "drawn by Boring Avatars", _CODE,
        also="hostedboringavatars.vercel.app"),
    _drawn(None, "avatar.vercel.sh/", "a gradient drawn by Vercel", _CODE, also="avatar.tobi.sh"),
    _drawn(None, "img.clerk.com/eyJ0eXBlIjoiZGVmYXVsdCI",
        "drawn by Clerk for people without a picture"),
    _drawn(None, "adorable.io/", "drawn by a service",
        also="avatar.oxro.io avatars.abstractapi.com avatar-placeholder.iran.liara.run "
        "avatar.iran.liara.run tinygraphs.com joeschmoe.io eightbitavatar.herokuapp.com "
        "api.minimalavatars.com identicon.net blockies.io"),
    _drawn("github", "github.com/identicons/", "a pattern drawn by GitHub", _CODE),
    _drawn("github", "identicons.github.com/", "a pattern drawn by GitHub", _CODE),
    _drawn("bitbucket", "atl-paas.net/(?:.*/)?initials/", "letters drawn by Atlassian", _CODE,
        fallback=Fallback.INITIALS),
    _drawn("planningcenter", "planningcenteronline.com/uploads/initials/",
        "letters drawn by Planning Center", _CODE, fallback=Fallback.INITIALS),
    _drawn("telegram", r"t.me/i/userpic/.*\.svg$", "letters drawn by Telegram", also="telegram.org",
        fallback=Fallback.INITIALS),
    # --- Stock images ---
    _stock("google-oauth2", "lh3.googleusercontent.com/(?:a/default-user|-XdUIqdMkCWA/)",
        "Google's stock image", also=_GOOGLE),
    _stock("google-oauth2",
        "gstatic.com/(?:s2/profiles/images/silhouette|accounts/ui/avatar_|docs/common/profile/"
        "|identity/boq/profilepicturepicker/photosilhouette)", "Google's silhouette", _DOCUMENTED),
    _stock("github", "github.com/images/gravatars/", "GitHub's stock image",
        also="assets-cdn.github.com github.githubassets.com a248.e.akamai.net"),
    _stock("facebook", r"fbcdn.net/(?:static-ak/)?rsrc\.php/", "Facebook's stock image", _CODE,
        also="fbstatic-a.akamaihd.net fbcdn-profile-a.akamaihd.net"),
    _stock("facebook",
        r"fbcdn.net/(?:.*/)?(?:t1\.30497-1/|(?:10354686_10150004552801856_220367501106153455"
        "|10645251_10150004552801937_4553731092814901385"
        "|1379841_10150004552801901_469209496895221757)_)", "Facebook's silhouette", _CODE,
        also=f"{_FACEBOOK_CDNS} fbsbx.com"),
    _stock("instagram", "cdninstagram.com/(?:.*/)?(?:44884218_345707102882519_2446069589734326272"
        "|11906329_960233084022564_1448528159|464760996_1254146839119862_3605321457742435801)_",
        "Instagram's silhouette", _CODE, also="fbcdn.net"),
    _stock("instagram", "instagram.com/(?:.*/)?anonymousUser", "Instagram's silhouette", _CODE,
        also="instagramimages-a.akamaihd.net"),
    _stock("twitter",
        "twimg.com/(?:.*/)?(?:sticky/default_profile_images/|images/(?:.*/)?default_profile)",
        "Twitter's stock image", _RECORDED, also="twitter.com x.com"),
    _stock("linkedin", "static.licdn.com/", "LinkedIn's stock image",
        also="static-exp1.licdn.com static-exp2.licdn.com static-exp3.licdn.com "
        "static-ei.licdn.com"),
    _stock("linkedin", "licdn.com/(?:scds/|sc/|.*ghost)", "LinkedIn's silhouette", _CODE),
    _stock("discord", "cdn.discordapp.com/embed/avatars/", "Discord's stock image", _CODE,
        also="cdn.discord.com media.discordapp.net"),
    _stock("discord", "discord.com/assets/", "Discord's stock image", also="discordapp.com"),
    _stock("slack", "slack-edge.com/(?:.*/)?img/avatars/ava_", "Slack's stock image", _CODE),
    _stock("bitbucket", "atl-paas.net/(?:.*/)?default-avatar", "Atlassian's stock image", _CODE),
    _stock("bitbucket", "bitbucket.org/(?:.*/)?default_avatar", "Bitbucket's stock image",
        also="d301sr5gafysq2.cloudfront.net"),
    _stock("vkontakte", "vk.com/images/(?:camera|deactivated|question|contact|community|blocked)",
        "VK's stock image", _CODE, also="vk.ru vkontakte.ru userapi.com vk.me"),
    _stock("odnoklassniki", "ok.ru/(?:.*/)?stub_", "OK's stock image", also="mycdn.me"),
    _stock("yahoo", "yimg.com/(?:.*/)?(?:default_user_profile_pic|social/profile/profile_)",
        "Yahoo's stock image", _CODE),
    _stock("flickr", "flickr.com/(?:.*/)?images/buddyicon", "Flickr's stock image", _CODE,
        also="yimg.com staticflickr.com"),
    _stock("yandex", "yandex.net/get-yapic/0/0-0(?:/|$)", "Yandex' stock image", _CODE),
    _stock("weibo", "sinaimg.cn/(?:(?:.*/)?default/images/|[0-9]+/[0-9]+/0/[01]$)",
        "Weibo's stock image", _CODE),
    _stock("renren", "xiaonei.com/photos/0/0/", "Renren's stock image", also="xnimg.cn renren.com"),
    _stock("wechat",
        "qlogo.cn/(?:.*/)?POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1",
        "WeChat's stock image", _CODE),
    _stock("kakao", "kakaocdn.net/(?:.*/)?default_profile", "Kakao's stock image", _CODE,
        also="kakao.com kakao.co.kr"),
    _stock("naver", "pstatic.net/static/", "Naver's stock image", _CODE),
    _stock("naver", "static.nid.naver.com/", "Naver's stock image"),
    _stock("salesforce",
        "force.com/(?:.*/)?(?:profilephoto/005(?:/|$)|userprofile/default_profile)",
        "Salesforce's stock image", _CODE, also=_FORCE),
    _stock("fitbit", "fitbit.com/(?:.*/)?default_?[pP]rofile", "Fitbit's stock image", _CODE),
    _stock("yammer", "assets-yammer.com/(?:.*/)?no_photo", "Yammer's stock image", _CODE,
        also="yammer.com"),
    _stock("planningcenter", "planningcenteronline.com/static/", "Planning Center's stock image",
        _CODE),
    _stock("soundcloud", "sndcdn.com/images/default_avatar", "SoundCloud's stock image", _CODE),
    _stock("twitch", "jtvnw.net/(?:user-default-pictures|jtv_user_pictures/xarth/404_user)",
        "Twitch's stock image", _CODE),
    _stock("steam", "steamstatic.com/(?:.*/)?fef49e7fa7e1997310d705b2a6158ff8dc1cdfeb",
        "Steam's stock image", _CODE, also=_STEAM),
    _stock("reddit", "redditstatic.com/", "Reddit's stock image", _CODE),
    _stock("pinterest", "pinimg.com/images/user/default", "Pinterest's stock image", _CODE,
        also="pinterest.com"),
    _stock("untappd", "untappd.akamaized.net/(?:.*/)?default_avatar", "Untappd's stock image",
        _CODE, also="untappd.com d1c8v1qci5en44.cloudfront.net"),
    _stock("windowslive", "wlxrs.com/", "Microsoft's stock image", also="js.live.net"),
    _stock("dropbox", "dropboxstatic.com/(?:.*/)?faceholder", "Dropbox' stock image",
        also="dropbox.com"),
    _stock("thirtysevensignals", "37img.com/global/(?:.*/)?(?:missing|default|blank|avatar)",
        "Basecamp's stock image", also="basecamp.com 37signals.com basecamp-static.com"),
    _stock("amazon", "media-amazon.com/images/S/(?:amazon-avatars-global/default|sash/)",
        "Amazon's stock image", also="ssl-images-amazon.com images-amazon.com"),
    _stock("paypal", "paypalobjects.com/", "PayPal's stock image"),
    _stock("gitlab", "gitlab.com/assets/", "GitLab's stock image"),
    _stock(None, "pravatar.cc/", "a stock image for tests", _CODE,
        also="randomuser.me placehold.co placehold.it via.placeholder.com placeholder.com "
        "dummyimage.com placekitten.com picsum.photos loremflickr.com fakeimg.pl "
        "thispersondoesnotexist.com xsgames.co"),
    _stock(None, "pixabay.com/(?:.*/)?(?:blank-profile-picture|avatar-)",
        "a stock image of a library", _CODE),
    _stock(None, "w3schools.com/(?:howto|w3images|bootstrap4)/", "a stock image of a tutorial",
        _CODE, also="bootdey.com mdbootstrap.com mdbcdn.com"),
    _stock(None, "bootdey.com/", "a stock image of a tutorial", _CODE,
        also="mdbootstrap.com mdbcdn.com flaticon.com icons8.com"),
    _stock(None,
        "upload.wikimedia.org/.*(?:[Dd]efault_pfp|[Pp]laceholder|[Uu]nknown_person|[Bb]lank"
        "|No_image|no_avatar|User-avatar|Missing_avatar)", "a stock image of Wikimedia", _CODE),
    # --- Perhaps a picture, perhaps a Gravatar ---
    _unresolved("slack", "slack-edge.com/(?:.*/)?[0-9A-Z]+-[0-9A-Z]+-g[0-9a-f]{11}(?:-|$)",
        "a Gravatar that Slack copied, or its stock image: the URL alone does not say", _CODE),
    # --- Files that an application put on a provider's host ---
    _custom(None,
        "lh3.googleusercontent.com/(?:d|u/[0-9]+/d|pw|p|proxy|drive-viewer|fife|gps-[a-z]+|ci"
        "|sitesv|notebooks|docs|keep-bbsk?)/",
        "a file on Google Drive or Google Photos, not the picture of an account", _CODE,
        also=_GOOGLE),
    _custom(None, "cdn.discordapp.com/attachments/",
        "a file that somebody sent on Discord, signed (ex)",
        also="cdn.discord.com media.discordapp.net", expires=("ex", 16)),
    # --- Pictures of accounts ---
    _social("google-oauth2", "lh3.googleusercontent.com/",
        "served by Google (googleusercontent.com)", _RECORDED, also=_GOOGLE),
    _social("google-oauth2", "google.com/s2/(?:.*/)?photos/",
        "Google's old picture address for a person"),
    _social("github", "avatars.githubusercontent.com/u/",
        "served by GitHub (avatars.githubusercontent.com)", _DOCUMENTED, also=_GITHUB),
    _social("github", r"github.com/[0-9A-Za-z-]+\.png$",
        "GitHub's picture address for a person (github.com)", _CODE),
    _social("facebook", "fbsbx.com/", "served by Facebook, signed for 30 days (ext)", _CODE,
        also="lookaside.facebook.com", expires=("ext", 10)),
    _social("instagram", r"fbcdn.net/(?:.*/)?t51\.(?:2885-19|82787-19|29350-15)/",
        "served by Instagram on Facebook's CDN, signed (oe)", _CODE, expires=("oe", 16),
        in_path=_OLD_SIGNED),
    _social("facebook", "fbcdn.net/", "served by Facebook's CDN, signed (oe)", _CODE,
        also=_FACEBOOK_CDNS, expires=("oe", 16), in_path=_OLD_SIGNED),
    _social("facebook", "graph.facebook.com/",
        "Facebook's picture address for a person (graph.facebook.com)", _DOCUMENTED),
    _social("instagram", "cdninstagram.com/", "served by Instagram, signed (oe)", _CODE,
        expires=("oe", 16), in_path=_OLD_SIGNED),
    _social("instagram", "ak.instagram.com/", "served by Instagram",
        also="instagramimages-a.akamaihd.net"),
    _social("twitter", "twimg.com/profile_images/", "served by Twitter (pbs.twimg.com)", _CODE),
    _social("twitter", "twitter.com/[0-9A-Za-z_]+/profile_image",
        "Twitter's picture address for a person", also="x.com"),
    _social("linkedin", "licdn.com/", "served by LinkedIn, signed (e)", _CODE, expires=("e", 10)),
    _social("line", "line-scdn.net/", "served by LINE (line-scdn.net)", _CODE),
    _social("discord", "cdn.discordapp.com/(?:avatars|guilds/[0-9]+/users/[0-9]+/avatars)/",
        "served by Discord (cdn.discordapp.com)", _CODE,
        also="cdn.discord.com media.discordapp.net"),
    _social("slack", "slack-edge.com/", "served by Slack (slack-edge.com)", _CODE),
    _social("bitbucket", "bitbucket.org/account/", "Bitbucket's picture address for a person"),
    _social("bitbucket", "atl-paas.net/", "served by Atlassian", also="bytebucket.org"),
    _social("vkontakte", "userapi.com/", "served by VK (userapi.com)",
        also="vk.me vkuserphoto.ru vkuser.net"),
    _social("odnoklassniki", "mycdn.me/", "served by OK", also="okcdn.ru"),
    _social("yandex", "yandex.net/get-yapic/", "served by Yandex", also="yapic.yandex.ru"),
    _social("yahoo", "zenfs.com/", "served by Yahoo"),
    _social("yahoo", "yimg.com/ag/images/", "served by Yahoo"),
    _social("flickr", "staticflickr.com/(?:.*/)?buddyicons/", "served by Flickr",
        also="flickr.com"),
    _social("windowslive", "apis.live.net/", "Microsoft's picture address for a person",
        also="storage.live.com"),
    _social("weibo", "sinaimg.cn/", "served by Weibo, signed (Expires)", _CODE,
        expires=("Expires", 10)),
    _social("renren", "xnimg.cn/", "served by Renren", also="xiaonei.com"),
    _social("baidu", "himg.bdimg.com/sys/portraitn?/", "served by Baidu",
        also="himg.baidu.com gss0.bdstatic.com"),
    _social("qq", "qlogo.cn/(?:headimg_dl|qqapp/|g$)", "served by QQ"),
    _social("wechat", "qlogo.cn/", "served by WeChat", _CODE),
    _social("kakao", "k.kakaocdn.net/", "served by Kakao", also="img1.kakaocdn.net"),
    _social("naver", "phinf.pstatic.net/", "served by Naver"),
    _social("tiktok", "tiktokcdn.com/", "served by TikTok, signed for days (x-expires)", _CODE,
        also="tiktokcdn-us.com tiktokcdn-eu.com tiktokcdn-in.com muscdn.com byteoversea.com "
        "ibyteimg.com", expires=("x-expires", 10)),
    _social("salesforce", "force.com/(?:.*/)?profilephoto/", "served by Salesforce", _CODE,
        also=_FORCE),
    _social("fitbit", "d6y8zfzc2qfsl.cloudfront.net/", "served by Fitbit"),
    _social("yammer", "assets-yammer.com/mugshot/images/", "served by Yammer", also="yammer.com"),
    _social("planningcenter", "planningcenteronline.com/uploads/person/",
        "served by Planning Center"),
    _social("soundcloud", "sndcdn.com/avatars-", "served by SoundCloud"),
    _social("twitch", "jtvnw.net/jtv_user_pictures/", "served by Twitch", _CODE),
    _social("steam", "steamstatic.com/", "served by Steam", _CODE),
    _social("steam", "steamcdn-a.akamaihd.net/steamcommunity/public/images/avatars/",
        "served by Steam", also="steamcommunity.com steampowered.com"),
    _social("reddit", "redditmedia.com/", "served by Reddit", also="i.redd.it"),
    _social("pinterest", r"i.pinimg.com/[0-9]+x[0-9]+_RS/", "served by Pinterest"),
    _social("untappd", "untappd.akamaized.net/profile/", "served by Untappd", also="untappd.com"),
    _social("dropbox", "dropbox.com/account_photo/", "served by Dropbox"),
    _social("box", "box.com/api/avatar/", "Box' picture address for a person"),
    _social("thirtysevensignals", "basecamp-static.com/", "served by Basecamp", also="37img.com"),
    _social("amazon", "media-amazon.com/images/S/amazon-avatars-global/", "served by Amazon",
        also="ssl-images-amazon.com images-amazon.com"),
    _social("spotify", "scdn.co/image", "served by Spotify (scdn.co)"),
    _social("telegram", "t.me/i/userpic/", "served by Telegram", also="telegram.org"),
    _social("telegram", "telesco.pe/file/", "served by Telegram", also="telegram-cdn.org"),
    _social("gitlab", "gitlab.com/uploads/", "served by GitLab"),
)
# fmt: on

OF_HOST: dict[str, tuple[int, ...]] = {
    host: tuple(place for place, rule in enumerate(RULES) if host in rule.hosts)
    for host in sorted({host for rule in RULES for host in rule.hosts})
}
"""Where in `RULES` the rows of each host stand."""

ON_WORD: frozenset[str] = frozenset(
    {
        "baidu",
        "bitbucket",
        "box",
        "facebook",
        "github",
        "google-oauth2",
        "qq",
        "reddit",
        "thirtysevensignals",
        "tiktok",
        "wechat",
        "windowslive",
    }
)
"""Providers whose addresses do not tell a photo from letters, a pattern or a silhouette.

They serve all of them under addresses of the same shape.
Facts: Google draws a letter for accounts without a photo, GitHub an identicon, Reddit a figure;
the picture addresses of Facebook, Microsoft, Bitbucket, Box and Baidu lead to a stock image for
people without a photo; TikTok, QQ and WeChat keep stock images among the photos.
"""

RATING = r"(?i)[?&](?:r|rating)=(g|pg|r|x)(?:[&#]|$)"
"""The highest rating that a Gravatar URL asks for; without one, `g`.

Fact: docs.gravatar.com, "Images".
"""

TOKEN_ONLY = (
    r"^https?://graph\.microsoft\.com/[^#]*/photos?/",
    r"^https?://outlook\.office(?:365)?\.com/[^#]*photo",
    r"^https?://(?:www|people)\.googleapis\.com/",
    r"^https?://api\.linkedin\.com/",
    r"^https?://files\.slack\.com/",
    r"^https?://[^/]+\.sharepoint\.com/_layouts/15/userphoto\.aspx",
)
"""Addresses that answer only to requests with an access token, which no `<img>` sends.

Regular expressions without lookaround and without `.`, which RE2, Python and JavaScript read alike.
They rest on general knowledge of these interfaces: no Auth0 payload with one of them was found.
"""

# Auth0's connection strategies by kind (Management API, ConnectionStrategyEnum).
ENTERPRISE_STRATEGIES = frozenset(
    "ad adfs auth0-adldap auth0-oidc google-apps ip office365 oidc okta pingfederate samlp "
    "sharepoint waad".split()
)
SOCIAL_STRATEGIES = frozenset(
    "amazon aol apple baidu bitbucket bitly box daccount dropbox dwolla evernote evernote-sandbox "
    "exact facebook fitbit flickr github google-oauth2 google-openid instagram line linkedin "
    "miicard oauth1 oauth2 paypal paypal-sandbox planningcenter renren salesforce "
    "salesforce-community salesforce-sandbox shop shopify soundcloud thecity thecity-sandbox "
    "thirtysevensignals twitter untappd vkontakte weibo windowslive wordpress yahoo yammer "
    "yandex".split()
)
