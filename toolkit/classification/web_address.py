"""Reading a picture's address as browsers do: its parts, what it copies, when it ends.

Nothing in here knows whose picture it is: `toolkit.classification.rules` does.
`toolkit/change/policy.js` reads addresses in the same way.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import unquote


class Address(NamedTuple):
    """The parts of a web address. `scheme` is empty if it begins with `//`: the page's counts."""

    scheme: str
    host: str
    path: str
    query: str


# How browsers read a URL (WHATWG URL): outer blanks and inner line breaks are dropped, a backslash
# is a slash, everything before the last @ is credentials.
BLANKS: Final = "".join(map(chr, range(0x21)))
_LINE_BREAKS = str.maketrans("", "", "\t\n\r")
_URL = re.compile(
    r"(?:(https?):)?[/\\]{2}([^/?#\\]*)([^?#]*)(?:\?([^#]*))?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
# 0 to 65535, with leading zeros, as browsers take it.
_PORT = r"0*(?:[1-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?"
_HOST = re.compile(rf"(?:(\[[0-9a-f:.]+\])|([^:]*))(?::{_PORT})?", re.ASCII | re.IGNORECASE)
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#/:<>?@\\\[\]^|%\x7f]")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)
_IMAGE = re.compile(r"data:image/[a-z0-9.+-]+(?:;[^,]*)?,.", re.ASCII | re.IGNORECASE | re.DOTALL)

# Fact: Jetpack's documentation ("Photon"): `i0.wp.com/HOST/PATH` is the proxy's copy of
# `HOST/PATH`, on i0, i1 or i2. Gravatar redirects to it where a default shows.
PROXIES: Final = ("i0.wp.com", "i1.wp.com", "i2.wp.com")
_COPIED = re.compile(r"/([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?:/|$)")

# What a template leaves in a path if there was nothing to fill it with.
_UNFILLED_WORD = r"/(?:undefined|null|nan|none|nil|%28null%29|\(null\))(?:/|(?:\.[a-z]{3,4})?"
_UNFILLED_MARK = (
    r"\[object(?: |%20|\+)object\]|%5bobject(?:%20|\+)object%5d"
    r"|\{\{|%7b%7b|<%|%3c%|\{[a-z0-9_.]+\}|%7b[a-z0-9_.]+%7d"
)
UNFILLED: Final = f"{_UNFILLED_WORD}$)|{_UNFILLED_MARK}"
"""What the path contains of a URL whose template was not filled in. For RE2, too."""
_UNFILLED = re.compile(UNFILLED, re.ASCII | re.IGNORECASE)
NO_HOSTS: Final = frozenset({"undefined", "null", "nan", "none"})

NOBODY: Final = frozenset(
    {
        "0" * 32,
        "0" * 64,
        "d41d8cd98f00b204e9800998ecf8427e",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
)
"""Hashes of nobody's address: zeros, and the hashes of nothing."""

SIGNED: Final = r"[?&](?:x-[a-z]{3,4}-expires|expires|se|policy)="
"""What every URL that is signed in one of the general ways contains. For RE2, too."""
_SIGNED = re.compile(SIGNED, re.ASCII | re.IGNORECASE)
# Facts: AWS, "Authenticating Requests: Using Query Parameters (Signature Version 4)" (X-Amz-Date,
# X-Amz-Expires in seconds) and "(Version 2)" (Expires, AWSAccessKeyId); Google Cloud, "Signed
# URLs" (X-Goog-Date, X-Goog-Expires; earlier Expires, GoogleAccessId); Alibaba Cloud, "Include
# signatures in a URL" (the same with x-oss, OSSAccessKeyId); Azure, "Create a service SAS" (se,
# sig); CloudFront, "Use signed URLs" (Expires or Policy, Key-Pair-Id).
CLOUDS: Final = ("amz", "goog", "oss", "tos", "obs")
KEYS: Final = ("awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "accesskeyid", "key-pair-id")
_STAMP = re.compile(r"(2[01]\d\d)(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_MOMENT = re.compile(
    r"(2[01]\d\d)-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?Z)?", re.ASCII
)
_ENDS = re.compile(rb'"DateLessThan":\{"AWS:EpochTime":([0-9]{1,10})\}')
LONGEST: Final = 604_800 * 10  # seconds; every cloud allows a week at most
# Later than any signature in use; keeps nonsense out of the timestamps.
MAX_EXPIRY: Final = 2**33


def cleaned(url: str) -> str:
    """Return a URL without what browsers drop from it: outer blanks, inner line breaks."""
    return url.strip(BLANKS).translate(_LINE_BREAKS)


def parsed(url: str) -> Address | None:
    """Split a web address as browsers do; None if they could not load it.

    A copy at Gravatar's image proxy has the parts of what it copied.
    """
    match = _URL.match(cleaned(url))
    parts = _HOST.fullmatch(match[2].rpartition("@")[2]) if match else None
    if match is None or parts is None:
        return None
    scheme, _, path, query = match.groups()
    number, name = parts.groups()
    host = (number or unquote(name).removesuffix(".")).lower()
    if not number and (not host or _FORBIDDEN_IN_HOST.search(host)):
        return None
    path = path.replace("\\", "/") or "/"
    if host in PROXIES and (copied := _COPIED.match(path)):
        host, path = copied[1].lower(), path[copied.end(1) :] or "/"
    return Address((scheme or "").lower(), host, path, query or "")


def is_image(url: str) -> bool:
    """Whether it is a `data:` URL of an image, which browsers show as any other picture."""
    return _IMAGE.match(cleaned(url)) is not None


def scheme_of(url: str) -> str | None:
    """Return what stands before the first colon, in lower case, if it could be a scheme."""
    found = _SCHEME.match(url.strip(BLANKS))
    return found[1].lower() if found else None


def unfilled(address: Address) -> bool:
    """Whether a template was filled with nothing: `/undefined/picture`, `null.png`, `{{id}}`."""
    return address.host in NO_HOSTS or _UNFILLED.search(address.path) is not None


def number(text: str, base: int) -> int | None:
    """Read the seconds since 1970 in a URL; None if that is no time in use."""
    digits = "0123456789abcdef"[:base]
    if not text or len(text) > len(str(MAX_EXPIRY)) or text.lower().strip(digits):
        return None
    seconds = int(text, base)
    return seconds if 0 < seconds < MAX_EXPIRY else None


def signed_until(query: str, parameters: Mapping[str, str]) -> int | None:
    """Return when a URL that is signed in one of the general ways ends, in seconds since 1970.

    Args:
        query: the query as it stands in the URL.
        parameters: what it holds, decoded.
    """
    if not _SIGNED.search(f"?{query}"):
        return None
    held = {name.lower(): text for name, text in parameters.items()}
    for cloud in CLOUDS:
        begun, lasts = held.get(f"x-{cloud}-date", ""), held.get(f"x-{cloud}-expires", "")
        stamp, seconds = _STAMP.fullmatch(begun), number(lasts, 10)
        if stamp and seconds and seconds <= LONGEST:
            begins = _seconds(stamp.groups())
            return None if begins is None else begins + seconds
    if any(key in held for key in KEYS):
        if "expires" in held:
            return number(held["expires"], 10)
        return _end_of_policy(held.get("policy", ""))
    moment = _MOMENT.fullmatch(held.get("se", "")) if "sig" in held else None
    return _seconds(moment.groups()) if moment else None


def _seconds(parts: tuple[str | None, ...]) -> int | None:
    try:
        moment = datetime(*(int(part or 0) for part in parts), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:  # no such day
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _end_of_policy(policy: str) -> int | None:
    """Return when CloudFront's custom policy ends."""
    text = policy.translate(str.maketrans("-_~", "+=/")).rstrip("=")
    if re.fullmatch("[A-Za-z0-9+/]+", text) is None or len(text) % 4 == 1:
        return None
    found = _ENDS.search(b64decode(text + "=" * (-len(text) % 4)).translate(None, b" \n\r\t"))
    return number(found[1].decode(), 10) if found else None
