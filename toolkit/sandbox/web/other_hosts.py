"""Every other host of pictures, played by the sandbox: its people are made up, and so are they.

`/hosts/ADDRESS` answers for the picture at that address (percent-encoded) as its host
would: a face for a picture of somebody's own, a silhouette for a provider's stock image,
403 once a signed address has expired. What Gravatar, Auth0's CDN or the image proxy would
answer is redirected to where the sandbox plays those.

`/hosts` itself answers with `SIGN`: whoever sends something to a sandbox can find out before
that it is one, and not another service that took its port.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from toolkit.classification.sources import Source, classify
from toolkit.images import drawing
from toolkit.sandbox.api.gate import REST

ROOT = "/hosts"
SIGN = "auth0-picture-audit sandbox"
"""What a sandbox answers at `ROOT`, and nothing else does."""

_SIZE = 480
_KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif"}


@dataclass(frozen=True)
class Hosts:
    """The hosts of pictures; `clock` gives UNIX seconds, by which addresses expire."""

    clock: Callable[[], float]

    def routes(self) -> list[BaseRoute]:
        """Return the routes; Starlette answers HEAD where it answers GET."""
        return [Route(ROOT, self.sign), Route(f"{ROOT}/{{address:{REST}}}", self.picture)]

    def sign(self, _: Request) -> Response:
        """Say that this is a sandbox."""
        return PlainTextResponse(SIGN)

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
        kind = _KINDS.get(PurePosixPath(urlsplit(address).path).suffix.lower(), "png")
        if verdict.source is Source.PLACEHOLDER:
            return Response(drawing.silhouette(_SIZE, kind), media_type=f"image/{kind}")
        return Response(drawing.face(address, _SIZE, kind), media_type=f"image/{kind}")


def played(base_url: str, address: str) -> str:
    """Return where a sandbox answers for the picture at an address."""
    return f"{base_url}{ROOT}/{quote(address, safe='', errors='replace')}"
