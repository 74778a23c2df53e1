"""The hosts of pictures, played by the sandbox for its made-up people.

Gravatar, Auth0's initials and the WordPress image proxy have routes of their own. For every
other host, `/hosts/ADDRESS` answers for the picture at that address (percent-encoded) as its
host would: drawn to show what `toolkit.sandbox.made_up.contents` says that it shows, at sizes and
qualities as hosts serve them; 403 once a signed address has expired. What Gravatar, Auth0's CDN or
the image proxy would answer is redirected to where the sandbox plays those. `/hosts` itself answers
with `SIGN`, so that nothing is sent to another service that took a sandbox's port.

Facts: Gravatar docs, "Images" (size, default, forcedefault, rating; which URLs can be a
default: http or https on the standard port, a known extension, no query string). A URL
default is answered with a redirect to i0.wp.com; here that is `/photon/…` of the sandbox
itself, so that nothing leaves the machine.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from toolkit.classification.sources import Source, classify
from toolkit.images.content import Content
from toolkit.images.decode import letters
from toolkit.images.drawing import emblem, file_of
from toolkit.sandbox.api.gate import REST
from toolkit.sandbox.directory.store import RATINGS
from toolkit.sandbox.made_up.contents import DEFAULT, content_at, content_of_gravatar

ROOT = "/hosts"
SIGN = "auth0-picture-audit sandbox"
"""What a sandbox answers at `ROOT`, and nothing else does."""

# Pixels, where the address does not say: Google `=s96-c`, Facebook `height=50`, Twitter `_normal`.
_SIZES = (80, 96, 128, 200, 256)
_SIZE_SAID = re.compile(r"(?:=s|height=|shrink_)([0-9]{2,4})")
_NORMAL = 48
_QUALITIES = (60, 75, 85, 92)  # of JPEG
_KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif"}
_AVATAR = re.compile(r"([0-9a-f]{64}|[0-9a-f]{32})(?:\.(png|jpg|jpeg))?", re.IGNORECASE)
_INITIALS = re.compile(r"([A-Za-z0-9]{1,3})\.png")
_HOST = re.compile(r"[a-z0-9.-]{1,253}", re.IGNORECASE)
_EXTENSIONS = (".jpg", ".jpeg", ".gif", ".png", ".heic")
_GENERATED = {"identicon", "monsterid", "wavatar", "retro", "robohash"}
_DEFAULT_SIZE = 80
_LARGEST = 2048
_DENIED = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>
"""


@dataclass(frozen=True)
class PlayedHosts:
    """Answers for every host of pictures.

    `gravatar` returns the rating of a hash's picture, or None where it has none; addresses expire
    by `clock`, in UNIX seconds.
    """

    gravatar: Callable[[str], str | None]
    clock: Callable[[], float]

    def routes(self) -> list[BaseRoute]:
        """Return the routes; Starlette answers HEAD where it answers GET."""
        return [
            Route("/avatar/{name}", self.avatar),
            Route("/avatars/{name}", self.initials),
            Route("/photon/cdn.auth0.com/avatars/{name}", self.initials),
            Route(f"/photon/{{address:{REST}}}", self.photon),
            Route(ROOT, PlainTextResponse(SIGN), methods=["GET"]),
            Route(f"{ROOT}/{{address:{REST}}}", self.picture),
        ]

    def avatar(self, request: Request) -> Response:
        """Answer as Gravatar does."""
        match = _AVATAR.fullmatch(request.path_params["name"])
        if match is None:
            return PlainTextResponse("404 Not Found", 404)
        asked = request.query_params
        digest = match[1].lower()
        kind = _KINDS.get(f".{match[2]}".lower(), "png")
        size = _size(asked)
        forced = _either(asked, "f", "forcedefault").lower() in {"y", "yes"}
        highest = _either(asked, "r", "rating").lower()
        # If no rating is asked for, only pictures for everybody (g) are shown.
        shown = RATINGS[: RATINGS.index(highest) + 1] if highest in RATINGS else RATINGS[:1]
        if not forced and self.gravatar(digest) in shown:
            return _image(file_of(content_of_gravatar(digest), digest, size, kind), kind)
        return _fallback(_either(asked, "d", "default"), digest, size, kind)

    def initials(self, request: Request) -> Response:
        """Answer as Auth0's CDN does: initials, or S3's error where there is no such file."""
        match = _INITIALS.fullmatch(request.path_params["name"])
        if match is None:
            return Response(_DENIED, 403, media_type="application/xml")
        return _image(letters(match[1].upper()), "png")

    def photon(self, request: Request) -> Response:
        """Answer as the proxy does for any other picture."""
        return _shown(f"https://{request.path_params['address']}")

    def picture(self, request: Request) -> Response:
        """Answer for the picture at an address."""
        address: str = request.path_params["address"]
        verdict = classify(address)
        if verdict.source in (Source.INVALID, Source.MISSING):
            return PlainTextResponse("404 Not Found", 404)
        if verdict.gravatar_hash:
            query = urlsplit(address).query
            return RedirectResponse(f"/avatar/{verdict.gravatar_hash}?{query}", 302)
        if verdict.source is Source.INITIALS:
            return RedirectResponse(f"/avatars/{quote(urlsplit(address).path.rsplit('/')[-1])}")
        now = datetime.fromtimestamp(self.clock(), UTC)
        if verdict.expires_at and verdict.expires_at < now:
            return PlainTextResponse("URL signature expired", 403)
        return _shown(address)


def played(base_url: str, address: str) -> str:
    """Return where a sandbox answers for the picture at an address."""
    return f"{base_url}{ROOT}/{quote(address, safe='', errors='replace')}"


def _fallback(default: str, digest: str, size: int, kind: str) -> Response:
    """What shows where there is no Gravatar."""
    if default == "404":
        return PlainTextResponse("404 Not Found", 404)
    if default in _GENERATED:
        return _image(file_of(Content.PATTERN, f"{default} {digest}", size, kind), kind)
    if default == "blank":
        return _image(file_of(Content.PLAIN, "blank", size), "png")
    if target := _photon(default):
        return RedirectResponse(target, 302)
    return _image(file_of(Content.SILHOUETTE, "mp", size, kind), kind)


def _shown(address: str) -> Response:
    """Draw what the picture at an address shows: always the same, at a size that hosts serve."""
    content = content_at(address)
    if content is None or not address.startswith("http"):
        return PlainTextResponse("404 Not Found", 404)
    if DEFAULT.fullmatch(address) and content is Content.PATTERN:
        return _image(emblem(), "png")
    die = zlib.crc32(address.encode("utf-8", "replace"))
    said = _SIZE_SAID.search(address)
    size = min(int(said[1]), _SIZES[-1]) if said else _SIZES[die % len(_SIZES)]
    size = _NORMAL if "_normal." in address else max(size, _NORMAL)
    suffix = PurePosixPath(urlsplit(address).path).suffix.lower()
    kind = _KINDS.get(suffix, "png") if suffix else ("png", "jpeg")[die >> 8 & 1]
    # A provider has one stock image, and everybody is somebody else.
    seed = address if content is not Content.SILHOUETTE else urlsplit(address).netloc
    quality = _QUALITIES[die % len(_QUALITIES)]
    return _image(file_of(content, seed, size, kind, quality), kind)


def _photon(default: str) -> str | None:
    """Return the sandbox's own proxy path for a default URL that Gravatar would take."""
    try:
        url = urlsplit(default)
        port = {"http": 80, "https": 443}[url.scheme]
        is_standard = url.port in {None, port}
    except (KeyError, ValueError):  # another scheme, a bad port, an unclosed bracket
        return None
    is_picture = url.path.lower().endswith(_EXTENSIONS) and not url.query
    if not (is_standard and is_picture and _HOST.fullmatch(url.hostname or "")):
        return None
    secure = "?ssl=1" if url.scheme == "https" else ""
    return f"/photon/{url.hostname}{quote(url.path, safe='/%')}{secure}"


def _size(asked: QueryParams) -> int:
    text = _either(asked, "s", "size")
    is_number = re.fullmatch(r"-?[0-9]{1,9}", text)
    return min(max(int(text), 1), _LARGEST) if is_number else _DEFAULT_SIZE


def _either(asked: QueryParams, short: str, long: str) -> str:
    """A parameter under either of its two names."""
    return asked.get(short) or asked.get(long) or ""


def _image(content: bytes, kind: str) -> Response:
    return Response(content, media_type=f"image/{kind}")
