"""Signed download links, as a content network checks them.

Facts: Auth0 docs, "Bulk User Exports" (`?Expires=…&Key-Pair-Id=…&Signature=…`; valid for 60
seconds); the refusals are CloudFront's and S3's.
"""

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

VALIDITY = 60
"""Seconds that a link is good for."""


@dataclass(frozen=True)
class Links:
    """Signs links to files and tells good ones from others.

    Attributes:
        base_url: Where the files are.
        clock: UNIX seconds.
    """

    base_url: str
    clock: Callable[[], float]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _key_id: str = field(default_factory=lambda: "K" + secrets.token_hex(7).upper())

    def sign(self, path: str, valid: int = VALIDITY) -> str:
        """Return a link to a path that is good for so many seconds."""
        expires = str(int(self.clock()) + valid)
        asked = {
            "Expires": expires,
            "Key-Pair-Id": self._key_id,
            "Signature": self._signature(path, expires),
        }
        return f"{self.base_url}{quote(path)}?{urlencode(asked)}"

    def allows(self, path: str, asked: QueryParams) -> bool:
        """Tell whether these parameters open this path now."""
        expires = asked.get("Expires", "")
        signature = self._signature(path, expires).encode()
        given = asked.get("Signature", "").encode("utf-8", "replace")
        # Nothing but digits is ever signed, so that a good signature makes a good number.
        return hmac.compare_digest(signature, given) and self.clock() < int(expires)

    def _signature(self, path: str, expires: str) -> str:
        message = f"{path}?{expires}".encode("utf-8", "replace")
        digest = hmac.digest(self._key, message, "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def access_denied() -> Response:
    """Return the answer to a link that is wrong or too old."""
    return _xml(403, "AccessDenied", "Access Denied")


def two_proofs() -> Response:
    """Return the answer to a signed link that comes with an Authorization header as well."""
    text = "Only one auth mechanism allowed; use the signed URL or the Authorization header"
    return _xml(400, "InvalidArgument", text)


def _xml(status: int, code: str, message: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(text, status, media_type="application/xml")
